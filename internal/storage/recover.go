package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/ottla-io/ottla/internal/epochs"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/vfs"
)

// loadLog opens an existing directory: quickly after a clean stop, else by a scan from the recovery point. Everything found is durable when
// it returns, but for what a log with Replicated durability holds above its recovery point: that stays as it was before the stop, for a flush round to come.
func (s *Store) loadLog(f *foundLog, tp ids.TopicPartition, id ids.TopicID, cfg LogConfig) (*Log, error) {
	l := s.newLog(f.dir, tp, id, cfg)
	l.created = true
	point, start, watermark := f.dir.points(tp)
	l.highWatermark.Store(int64(watermark))
	r := &recovery{log: l, point: point, start: start, gaps: f.dir.mayHaveGaps(l), mayWait: l.cfg.Durability == Replicated}
	began := s.env().Monotonic()
	clean := f.dir.clean && !f.restored
	if clean && r.fromManifest() {
		return l, nil
	}
	err := l.asCorrupt(r.run(clean), l.LogStart())
	if err == nil {
		err = l.clampFirstDirty()
	}
	if err != nil {
		var c *CorruptError
		if errors.As(err, &c) {
			s.corrupt(c)
		}
		return nil, fmt.Errorf("open %s: %w", tp, err)
	}
	if r.scanned && l.DurableEnd() > point {
		f.dir.flushedBytes.Add(r.report.ScannedBytes) // the next kill is not to find as much again
		f.dir.checkpoints.want()
	}
	if r.scanned && s.cfg.Events.Recovered != nil {
		r.report.Restored = f.restored
		r.report.Log, r.report.LogEnd, r.report.Took = tp, l.LogEnd(), s.env().Monotonic()-began
		s.cfg.Events.Recovered(r.report)
	}
	return l, nil
}

// recovery is the opening of one log. Every step may be repeated after a crash in the middle of it.
type recovery struct {
	log   *Log
	point ids.Offset // scan from here
	start ids.Offset
	// bound: all from start up to here is durable, so damage there is corruption. 0 if the recovery point is below the log start: nothing is known then.
	bound     ids.Offset
	snapshots []ids.Offset
	leftovers []string // files that belong to no segment, and snapshots that a crash left empty
	scanned   bool
	loaded    loadedIndexes // of the segment that is being scanned
	gaps      bool          // offsets may be missing: compaction
	// changed: files are gone, or shorter, or have other names: that is durable before anything is appended.
	changed bool
	// unsynced: there are whole batches above the recovery point, and files about them, that the disk may not have.
	unsynced bool
	mayWait  bool // a flush round may sync what is unsynced, if nothing changed
	// fileEpochs is what leader-epoch-checkpoint says: all below the recovery point, and perhaps more.
	fileEpochs epochs.Cache
	// rebuildEpochs: the epochs' file is missing or not what the batches say.
	rebuildEpochs bool
	report        Recovery
}

func (r *recovery) run(clean bool) error {
	l := r.log
	if clean && r.start > r.point && l.tp.Topic != MetadataTopic { // Kafka does not move that one's point at a stop
		return &CorruptError{l.tp, l.dir.path + "/" + logfiles.LogStarts, 0, r.start, fmt.Sprintf("the log begins at offset %d there, and ended at %d when it was closed", r.start, r.point)}
	}
	segments, err := r.list()
	if err != nil {
		return err
	}
	r.bound = r.point
	if len(segments) > 0 {
		r.start = max(r.start, segments[0].base)
	}
	if r.bound <= r.start {
		r.bound = 0
	}
	if len(segments) == 0 {
		return r.empty()
	}
	// Not up to the start: that may lie inside a batch, and what the index says of the batches between point and start was never made durable.
	r.point = max(r.point, segments[0].base)
	l.setSegments(segments)
	l.logStart.Store(int64(r.start))
	r.loadEpochs()
	quick := false
	if clean {
		if quick, err = r.tail(segments[len(segments)-1]); err != nil {
			return err
		}
	}
	if !quick {
		if err := r.scan(segments); err != nil {
			return err
		}
	}
	if r.rebuildEpochs {
		if err := r.walkEpochs(); err != nil {
			return err
		}
	}
	l.epochs.TruncateEnd(l.LogEnd())
	l.epochs.TruncateStart(r.start)
	if err := r.dropSnapshots(l.LogEnd()); err != nil {
		return err
	}
	if err := r.loadProducers(); err != nil {
		return err
	}
	if err := r.removeLeftovers(); err != nil {
		return err
	}
	if r.unsynced && r.mayWait && !r.changed {
		r.leaveToFlusher()
	} else {
		if r.changed || r.unsynced {
			if err := r.sync(); err != nil {
				return err
			}
		} else if r.scanned {
			l.newFiles = true // the last segment may be empty, and its name nowhere but in the cache: it costs no sync until something is appended
		}
		l.durable.Store(l.logEnd.Load())
		if s := l.active(); s != nil {
			l.durableMark = s.mark(l.LogEnd())
		}
	}
	l.noteForeign()
	return nil
}

// empty is a directory whose first append was lost, or never came, or whose records were all deleted.
func (r *recovery) empty() error {
	l := r.log
	if r.bound > 0 {
		return &CorruptError{Log: l.tp, File: l.path, Offset: r.start, Reason: fmt.Sprintf("all segments are missing, and it was durable up to offset %d", r.bound)}
	}
	r.loadEpochs()
	l.epochs.TruncateEnd(r.start)
	l.logStart.Store(int64(r.start))
	l.logEnd.Store(int64(r.start))
	l.durable.Store(int64(r.start))
	if err := r.dropSnapshots(r.start); err != nil {
		return err
	}
	if err := r.removeLeftovers(); err != nil {
		return err
	}
	return r.sync()
}

// removeLeftovers removes what would speak of the wrong batches if a segment of its name were made again.
func (r *recovery) removeLeftovers() error {
	for _, path := range r.leftovers {
		if strings.HasSuffix(path, logfiles.SnapshotSuffix) {
			r.unsynced = true // should it come back, it is removed again: it lies above the recovery point, or speaks of batches that are there
		} else {
			r.changed = true
		}
		if err := r.log.store.cfg.FS.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what a crash left: %w", err)
		}
	}
	return nil
}

// list finds the segments, finishes what a crash interrupted, and drops what lies wholly below the log start.
func (r *recovery) list() ([]*segment, error) {
	l := r.log
	entries, err := l.store.cfg.FS.List(l.path)
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	if entries, err = r.finishSwaps(entries); err != nil {
		return nil, err
	}
	var segments []*segment
	for _, e := range entries {
		if base, ok := logfiles.ParseSegmentName(e.Name, logfiles.LogSuffix); ok {
			s := newSegment(&l.store.files, l.path, base)
			s.size.Store(e.Size)
			s.checked.own.Store(e.Size)
			s.synced = e.Size
			segments = append(segments, s)
		}
	}
	r.sort(entries, segments)
	for len(segments) > 1 && segments[1].base <= r.start {
		if err := r.remove(segments[0]); err != nil {
			return nil, err
		}
		segments = segments[1:]
	}
	for _, s := range segments[:max(len(segments)-1, 0)] {
		if err := s.trustIndexes(entries); err != nil {
			return nil, err
		}
	}
	return segments, nil
}

// sort tells what lies beside the segments: snapshots that may be used, and leftovers.
func (r *recovery) sort(entries []vfs.Entry, segments []*segment) {
	for _, e := range entries {
		if at, ok := logfiles.ParseSegmentName(e.Name, logfiles.SnapshotSuffix); ok && e.Size > 0 {
			r.snapshots = append(r.snapshots, at)
			continue
		} else if ok {
			r.leftovers = append(r.leftovers, r.log.path+"/"+e.Name)
			continue
		}
		for _, suffix := range [...]string{logfiles.IndexSuffix, logfiles.TimeIndexSuffix, logfiles.TxnIndexSuffix} {
			base, ok := logfiles.ParseSegmentName(e.Name, suffix)
			if !ok {
				continue
			}
			if i := segmentAt(segments, base); i < 0 || segments[i].base != base {
				r.leftovers = append(r.leftovers, r.log.path+"/"+e.Name)
			} else if suffix == logfiles.TxnIndexSuffix {
				segments[i].txns.written = e.Size / producerstate.TxnIndexEntrySize * producerstate.TxnIndexEntrySize
			}
		}
	}
}

// trustIndexes takes a sealed segment's index files as they are: their length says how many entries they have. Readers check where entries lead.
func (s *segment) trustIndexes(entries []vfs.Entry) error {
	for _, e := range entries {
		switch e.Name {
		case logfiles.SegmentName(s.base, logfiles.IndexSuffix):
			s.offsets.Written = int32(e.Size / logfiles.OffsetIndex.Width)
		case logfiles.SegmentName(s.base, logfiles.TimeIndexSuffix):
			s.times.Written = int32(e.Size / logfiles.TimeIndex.Width)
		}
	}
	return nil
}

// remove deletes a segment's files.
func (r *recovery) remove(s *segment) error {
	r.changed = true
	s.retire()
	return removeSegmentFiles(s.files.fs, s, "")
}

// loadEpochs reads leader-epoch-checkpoint; if that fails, the epochs are taken from the batches, all of them.
func (r *recovery) loadEpochs() {
	l := r.log
	entries, err := readEpochs(l.store.cfg.FS, l.path+"/"+logfiles.Epochs)
	if err != nil {
		r.rebuildEpochs = true
		return
	}
	l.epochs.Load(entries)
	r.fileEpochs.Load(slices.Clone(entries))
}

// tail finds the end of the last segment after a clean stop, from its last index entry on. false: it is not as a clean stop leaves it.
func (r *recovery) tail(s *segment) (bool, error) {
	l := r.log
	var err error
	if s.offsets, err = s.loadIndex(logfiles.OffsetIndex, 1<<31-1); err != nil {
		return false, err
	}
	if s.times, err = s.loadIndex(logfiles.TimeIndex, 1<<62); err != nil {
		return false, err
	}
	if s.times.Some {
		if _, ok, err := s.timeEntry(s.times.Last); err != nil || !ok {
			return false, err
		}
	}
	// Begin where the time index ends, which may have lost entries in a crash after the clean stop: what follows is seen in the walk.
	var start logfiles.IndexEntry
	entries := 0
	if s.times.Some {
		if start, entries, err = s.search(&s.offsets, logfiles.OffsetIndex, int64(s.times.Last.Value), false); err != nil {
			return false, err
		}
	}
	position := int64(start.Value)
	next, epoch := s.base, ids.NoLeaderEpoch
	err = s.walk(position, func(b record.Batch, at int64, _ *handle) error {
		if entries > 0 && at == position && b.LastOffset() != s.base+ids.Offset(start.Key) || b.BaseOffset() < next {
			return errTorn
		}
		next, epoch = b.NextOffset(), b.LeaderEpoch()
		s.noteStats(b)
		return nil
	})
	if errors.Is(err, errTorn) {
		l.store.problem("open "+l.tp.String()+" after a clean stop: its end is not where it should be, so it is scanned", err)
		s.offsets, s.times = logfiles.SparseIndex{}, logfiles.SparseIndex{}
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if next < r.bound {
		return false, &CorruptError{l.tp, s.path(logfiles.LogSuffix), s.size.Load(), next, fmt.Sprintf("ends before offset %d, below which it was durable", r.bound)}
	}
	if epoch >= 0 && l.epochs.Latest() != epoch {
		r.rebuildEpochs = true
	}
	if next != r.point {
		s.offsets, s.times = logfiles.SparseIndex{}, logfiles.SparseIndex{}
		return false, nil // somebody appended since
	}
	if t := s.times.Last; s.times.Some && t.Key > s.maxTimestamp {
		s.maxTimestamp, s.maxOffset = t.Key, s.base+ids.Offset(t.Value)
	}
	s.statsKnown = true
	s.bytesSinceIndex = int(s.size.Load())
	if s.offsets.Some {
		s.bytesSinceIndex -= int(s.offsets.Last.Value)
	}
	l.logEnd.Store(int64(next))
	return true, s.readFirstTimestamp()
}

// readFirstTimestamp sets what segment.ms counts from.
func (s *segment) readFirstTimestamp() error {
	err := s.walk(0, func(b record.Batch, _ int64, _ *handle) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.firstTimestamp = b.MaxTimestamp()
		return errFound
	})
	if errors.Is(err, errFound) {
		return nil
	}
	return err
}

// noteStats is noteBatch without the index.
func (s *segment) noteStats(b record.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := b.MaxTimestamp(); t > s.maxTimestamp && b.Count() > 0 {
		s.maxTimestamp, s.maxOffset = t, b.LastOffset()
	}
}

// sync makes durable what recovery found and did.
func (r *recovery) sync() error {
	l := r.log
	fsys := l.store.cfg.FS
	for _, s := range l.list() {
		if s.synced >= s.size.Load() && !s.sealedUnsynced {
			continue
		}
		h, err := s.open(readWrite)
		if err != nil {
			return err
		}
		err = h.file.Sync()
		h.release()
		if err != nil {
			return r.failed(fmt.Errorf("sync %s: %w", s.path(logfiles.LogSuffix), err))
		}
		if s.sealedUnsynced {
			for _, suffix := range []string{logfiles.IndexSuffix, logfiles.TimeIndexSuffix} {
				item := syncItem{segment: s, path: s.path(suffix)}
				if err := l.dir.flusher.syncOne(&item); err != nil {
					return r.failed(err)
				}
			}
		}
		s.synced, s.sealedUnsynced = s.size.Load(), false
	}
	f, err := fsys.Open(l.path + "/" + logfiles.PartitionMetadata)
	if err != nil {
		return fmt.Errorf("sync the topic id: %w", err)
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return r.failed(err)
	}
	if err := fsys.SyncDir(l.path); err != nil {
		return r.failed(err)
	}
	if err := fsys.SyncDir(l.dir.path); err != nil {
		return r.failed(err)
	}
	return nil
}

// leaveToFlusher lists what recovery found as unsynced, as if it had just been appended; durable is what the recovery point says. No file is pinned: the bytes
// were written through a descriptor of another process, so that keeping one of ours open tells no more of them.
func (r *recovery) leaveToFlusher() {
	l := r.log
	for _, s := range l.list() {
		if s.synced < s.size.Load() || s.sealedUnsynced {
			l.unsynced = append(l.unsynced, s)
		}
	}
	l.newFiles, l.newDir = true, true
	l.durable.Store(int64(max(r.bound, r.start)))
}

// enlistRecovered lists the log with the flusher if recovery left it something. The store lists the log by then, so that a failed sync is recorded for it, too.
func (l *Log) enlistRecovered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.unsynced) > 0 {
		l.enlist(false)
	}
}

func (r *recovery) failed(err error) error {
	r.log.dir.fail(err)
	return r.log.dir.err()
}
