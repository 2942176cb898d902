package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/manifest"
	"github.com/ottla-io/ottla/internal/vfs"
)

// manifestLimit bounds what is read of one: 1 GiB is some five million partitions.
const manifestLimit = 1 << 30

// loadManifest reads what the last stop left, if it was a clean one. Without it, each log is looked at.
func (d *directory) loadManifest() {
	data, err := vfs.ReadWhole(d.store.cfg.FS, d.path+"/"+logfiles.Manifest, manifestLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		d.manifest, err = manifest.Open(data)
	}
	if err != nil {
		d.store.problem("read "+logfiles.Manifest+" in "+d.path+"; each log is looked at instead", err)
	}
}

// takeManifestEntry hands out what the manifest says of a log, once.
func (d *directory) takeManifestEntry(tp ids.TopicPartition) (manifest.Log, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, ok := d.manifest.Take(tp)
	if len(d.manifest) == 0 {
		d.manifest = nil
	}
	return e, ok
}

func hashListing(entries []vfs.Entry) manifest.Listing {
	var sum manifest.Listing
	for _, e := range entries {
		sum.Add(e.Name, e.Size)
	}
	return sum
}

// fromManifest opens the log by its entry in the manifest, without opening a file. false: it must be looked at.
func (r *recovery) fromManifest() bool {
	l := r.log
	e, ok := l.dir.takeManifestEntry(l.tp)
	if !ok || e.ID != l.id || e.LogEnd != r.point || e.LogStart != max(r.start, e.Segments[0].Base) {
		return false
	}
	entries, err := l.store.cfg.FS.List(l.path)
	if err != nil || hashListing(entries) != e.Listing {
		return false
	}
	segments := make([]*segment, len(e.Segments))
	for i, m := range e.Segments {
		s := newSegment(&l.store.files, l.path, m.Base)
		s.size.Store(m.Size)
		s.checked.own.Store(m.Size)
		s.synced = m.Size
		s.offsets.Written, s.times.Written = int32(m.Offsets), int32(m.Times)
		s.txns.written = m.AbortedBytes
		segments[i] = s
	}
	active := segments[len(segments)-1]
	active.offsets.Last, active.offsets.Some = logfiles.IndexEntry{Key: e.LastOffset.Key, Value: e.LastOffset.Value}, active.offsets.Written > 0
	active.times.Last, active.times.Some = logfiles.IndexEntry{Key: e.LastTime.Key, Value: e.LastTime.Value}, active.times.Written > 0
	active.firstTimestamp, active.maxTimestamp, active.maxOffset = e.FirstTimestamp, e.MaxTimestamp, e.MaxOffset
	active.statsKnown, active.trimmed = true, true
	active.bytesSinceIndex = int(active.size.Load()) - int(e.LastOffset.Value)
	l.setSegments(segments)
	starts := make([]logfiles.EpochStart, len(e.Epochs))
	for i, epoch := range e.Epochs {
		starts[i] = logfiles.EpochStart(epoch)
	}
	l.epochs.Load(starts)
	l.logStart.Store(int64(e.LogStart))
	l.logEnd.Store(int64(e.LogEnd))
	l.durable.Store(int64(e.LogEnd))
	l.firstUnstable.Store(noUnstable)
	l.lastSnapshot = e.LogEnd
	l.producers.unread = e.Producers
	l.durableMark = active.mark(e.LogEnd)
	l.noteForeign()
	return true
}

// manifestEntry describes a log that was settled and has nothing unsynced. false: the next start has to look at it.
func (l *Log) manifestEntry() (manifest.Log, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	active := l.active()
	if active == nil || l.failure.Load() != nil || l.LogEnd() != l.DurableEnd() || l.lastSnapshot != l.LogEnd() || l.firstUnstable.Load() != noUnstable {
		return manifest.Log{}, false
	}
	if all := l.list(); len(all) > 1 && all[1].base <= l.LogStart() {
		return manifest.Log{}, false // the first goes at the next start
	}
	entries, err := l.store.cfg.FS.List(l.path)
	if err != nil || !l.onlyItsFiles(entries) {
		return manifest.Log{}, false
	}
	epochs, dirty := l.epochs.Snapshot()
	e := manifest.Log{
		Topic: l.tp, ID: l.id, Listing: hashListing(entries), LogStart: l.LogStart(), LogEnd: l.LogEnd(),
		Producers: l.producers.unread || l.producers.state != nil && l.producers.state.Len() > 0,
	}
	for _, epoch := range epochs {
		e.Epochs = append(e.Epochs, manifest.Epoch(epoch))
	}
	for _, s := range l.list() {
		s.mu.Lock()
		e.Segments = append(e.Segments, manifest.Segment{Base: s.base, Size: s.size.Load(), Offsets: int64(s.offsets.Written), Times: int64(s.times.Written), AbortedBytes: s.txns.written})
		dirty = dirty || len(s.offsets.Tail)+len(s.times.Tail) > 0
		s.mu.Unlock()
	}
	e.LastOffset, e.LastTime = manifest.IndexEntry{Key: active.offsets.Last.Key, Value: active.offsets.Last.Value}, manifest.IndexEntry{Key: active.times.Last.Key, Value: active.times.Last.Value}
	e.FirstTimestamp, e.MaxTimestamp, e.MaxOffset = active.firstTimestamp, active.maxTimestamp, active.maxOffset
	return e, !dirty
}

// onlyItsFiles tells that a start would find nothing to finish or to remove in the log's directory.
func (l *Log) onlyItsFiles(entries []vfs.Entry) bool {
	segments := l.list()
	for _, e := range entries {
		base, kind, ok := logfiles.ParsePlain(e.Name)
		var s *segment
		if i := segmentAt(segments, base); i >= 0 && segments[i].base == base {
			s = segments[i]
		}
		switch {
		case !ok:
			for _, suffix := range []string{logfiles.DeletedSuffix, logfiles.CleanedSuffix, logfiles.SwapSuffix} {
				if strings.HasSuffix(e.Name, suffix) {
					return false
				}
			}
		case kind == logfiles.SnapshotSuffix:
			if e.Size == 0 || base > l.LogEnd() {
				return false
			}
		case s == nil || e.Size != s.sizeOf(kind):
			return false
		}
	}
	return true
}

// sizeOf is the bytes that a file of the segment should have.
func (s *segment) sizeOf(suffix string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch suffix {
	case logfiles.LogSuffix:
		return s.size.Load()
	case logfiles.IndexSuffix:
		return int64(s.offsets.Written) * logfiles.OffsetIndex.Width
	case logfiles.TimeIndexSuffix:
		return int64(s.times.Written) * logfiles.TimeIndex.Width
	default:
		return s.txns.written
	}
}

// writeManifest leaves what makes the next start quick.
func (d *directory) writeManifest() error {
	logs := d.store.logsIn(d)
	entries := make([]manifest.Log, len(logs))
	parallel(d.store.env(), len(logs), func(i int) {
		if e, ok := logs[i].manifestEntry(); ok {
			entries[i] = e
		}
	})
	entries = slices.DeleteFunc(entries, func(e manifest.Log) bool { return e.Segments == nil })
	if err := vfs.Replace(d.store.cfg.FS, d.path, logfiles.Manifest, manifest.Encode(entries)); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	return nil
}
