package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/manifest"
	"github.com/ottla-io/ottla/internal/vfs"
)

// directory is one log directory: its lock, its checkpoints, its flusher.
type directory struct {
	store   *Store
	path    string
	id      ids.DirectoryID
	lock    io.Closer
	flusher *flusher
	clean   bool // the last stop was a clean one
	// unreadable: it could not even be looked into at the start, so what lies there is unknown.
	unreadable bool
	logs       int // open ones; guarded by Store.mu
	// onlyMetadata: for the log of MetadataTopic alone.
	onlyMetadata bool

	failed       atomic.Pointer[failure]
	suspect      atomic.Pointer[failure] // why the flusher is to take it offline
	low          atomic.Bool             // below the reserve
	usable       atomic.Int64            // bytes, at the last look
	total        atomic.Int64
	flushedBytes atomic.Int64 // since the last checkpoint
	unmeasured   atomic.Int64 // bytes appended since the last look at the space
	reserve      reserve
	trashed      atomic.Int32                // logs in the trash
	pressed      atomic.Bool                 // the owner was asked to make room
	stale        map[ids.TopicPartition]bool // names of deleted logs that a full disk kept in the checkpoints; guarded by mu

	checkpoints checkpoints
	retention   retention
	expiry      expiry

	mu sync.Mutex // guards the checkpoints and their files; held while writing them
	// recovery, starts and watermarks are what the checkpoint files say, for logs not opened, too.
	recovery, starts, watermarks logfiles.OffsetCheckpoint
	// cleaned is the first dirty offset of each log that was ever compacted: below it, offsets may be missing, whatever its policy is now.
	cleaned     logfiles.OffsetCheckpoint
	manifest    manifest.Manifest
	largest     manifest.LargestTimestamps
	moves       map[ids.TopicPartition]logfiles.MoveRow
	cleanedLost bool // the file was damaged: any log may have been compacted
}

func (d *directory) err() error {
	if f := d.failed.Load(); f != nil {
		return f.err
	}
	return nil
}

// fail takes the directory offline after a sync that failed: nothing in it is served or synced again in this process. It records, if
// the disk still can, where each log's durable part ends.
func (d *directory) fail(cause error) {
	if !d.failed.CompareAndSwap(nil, &failure{&OfflineError{d.path, cause}}) {
		return
	}
	logs := d.store.logsIn(d)
	bounds := logfiles.OffsetCheckpoint{}
	for _, l := range logs {
		bounds[l.tp] = l.DurableEnd()
	}
	err := vfs.Replace(d.store.cfg.FS, d.path, logfiles.FailedSync, bounds.Encode())
	if f := d.store.cfg.Events.DirectoryOffline; f != nil {
		f(d.path, cause, err == nil)
	}
	for _, l := range logs {
		l.notify()
	}
}

// blamesDisk tells that an error is the disk's: neither a lack of space or of descriptors, nor a file that a deletion took away.
func blamesDisk(err error) bool {
	return err != nil && !errors.Is(err, vfs.ErrNoSpace) && !errors.Is(err, vfs.ErrTooManyFiles) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errGone)
}

// suspectDisk has the flusher take the directory offline, for an error of an append, whose goroutine holds locks. New logs go elsewhere then.
func (d *directory) suspectDisk(err error) {
	if blamesDisk(err) && d.suspect.CompareAndSwap(nil, &failure{err}) {
		d.flusher.request(true)
	}
}

// room refuses appends of ordinary logs while the disk is below its reserve.
func (d *directory) room() error {
	if d.low.Load() {
		return &LowSpaceError{d.path, d.usable.Load(), d.store.cfg.ReserveBytes}
	}
	return nil
}

// afterRound looks at the space left and wakes the background work if a checkpoint is due.
func (d *directory) afterRound() {
	d.measure()
	if d.flushedBytes.Load() > 0 {
		d.checkpoints.want()
	}
}

// measure compares the space left with the reserve.
func (d *directory) measure() {
	reserve := d.store.cfg.ReserveBytes
	if reserve <= 0 || d.failed.Load() != nil {
		return
	}
	total, usable, err := d.store.cfg.FS.Space(d.path)
	if err != nil {
		d.store.problem("measure the space of "+d.path, err)
		return
	}
	d.total.Store(total)
	d.usable.Store(usable)
	d.unmeasured.Store(0)
	if usable < d.trashFloor(total) {
		d.pressTrash()
	}
	low := d.low.Load()
	switch {
	case !low && usable < reserve && d.low.CompareAndSwap(false, true):
		d.store.work.WakeIn(d.store.work.spaces, lowSpaceCheck)
	case low && usable >= reserve+reserve/4 && d.low.CompareAndSwap(true, false):
	default:
		return
	}
	if f := d.store.cfg.Events.LowSpace; f != nil {
		f(d.path, !low, usable)
	}
}

// load reads or makes what the directory says about itself. It changes nothing but meta.properties of a new directory.
func (d *directory) load(clusterID string) (string, []vfs.Entry, error) {
	fsys := d.store.cfg.FS
	entries, err := fsys.List(d.path)
	if err != nil {
		return clusterID, nil, fmt.Errorf("cannot be read (%w)", err)
	}
	clusterID, err = d.loadMeta(clusterID, entries)
	if err != nil {
		return clusterID, nil, err
	}
	for _, file := range []struct {
		name string
		to   *logfiles.OffsetCheckpoint
	}{{logfiles.RecoveryPoints, &d.recovery}, {logfiles.LogStarts, &d.starts}, {logfiles.HighWatermarks, &d.watermarks}} {
		if *file.to, err = readOffsetCheckpoint(fsys, d.path+"/"+file.name); err != nil && !errors.Is(err, logfiles.ErrDamaged) {
			return clusterID, nil, fmt.Errorf("cannot be read (%w)", err)
		} else if err != nil {
			return clusterID, nil, &RefusedError{d.path, fmt.Sprintf("%s is damaged (%v); without it, durable records could be taken for a torn tail; restore it from a backup, or write 0 for a partition to have it scanned whole", file.name, err), err}
		}
	}
	if d.cleaned, err = readOffsetCheckpoint(fsys, d.path+"/"+logfiles.CleanerOffsets); err != nil {
		d.store.problem("read "+logfiles.CleanerOffsets+" in "+d.path+"; all compacted logs count as dirty", err)
		d.cleaned, d.cleanedLost = logfiles.OffsetCheckpoint{}, true
	}
	d.loadLargest()
	if err := d.readMoves(); err != nil {
		return clusterID, nil, err
	}
	return clusterID, entries, nil
}

// loadMeta reads meta.properties, or makes it in a directory that has none and no partitions either.
func (d *directory) loadMeta(clusterID string, entries []vfs.Entry) (string, error) {
	fsys, nodeID := d.store.cfg.FS, d.store.cfg.NodeID
	data, err := vfs.ReadWhole(fsys, d.path+"/"+logfiles.Meta, 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		for _, e := range entries {
			if _, ok := logfiles.ParsePartitionDir(e.Name); ok && e.IsDir {
				return clusterID, &RefusedError{d.path, "has partitions (" + e.Name + ") but no meta.properties, so whose they are is unknown; restore the file, or use an empty directory", err}
			}
		}
		given := clusterID
		if clusterID == "" {
			clusterID = d.store.randomUUID().String()
		}
		d.id = ids.DirectoryID(d.store.randomUUID())
		if err := vfs.Replace(fsys, d.path, logfiles.Meta, logfiles.EncodeMeta(clusterID, nodeID, d.id)); err != nil {
			return given, err
		}
		return clusterID, nil
	}
	if err != nil {
		return clusterID, fmt.Errorf("its meta.properties cannot be read (%w)", err)
	}
	meta := logfiles.ParseProperties(string(data))
	if v := meta["version"]; v != "1" {
		return "", &RefusedError{d.path, fmt.Sprintf("meta.properties has version %q, and only 1 is known", v), nil}
	}
	if got := meta["node.id"]; got != strconv.Itoa(int(nodeID)) {
		return "", &RefusedError{d.path, fmt.Sprintf("belongs to node %s, and this is node %d; start with node.id=%s or use another directory", got, nodeID, got), nil}
	}
	if got := meta["cluster.id"]; clusterID != "" && got != clusterID {
		return "", &RefusedError{d.path, fmt.Sprintf("belongs to cluster %s, and this is cluster %s", got, clusterID), nil}
	}
	id, err := ids.ParseUUID(meta["directory.id"])
	if err != nil {
		return "", &RefusedError{d.path, fmt.Sprintf("meta.properties has no valid directory.id (%v)", err), err}
	}
	d.id = ids.DirectoryID(id)
	return meta["cluster.id"], nil
}

// writing runs fn with mu held, and takes the directory offline, without it, if fn failed for another reason than a full disk: it may have been a sync.
func (d *directory) writing(fn func() error) error {
	if err := d.err(); err != nil {
		return err
	}
	d.mu.Lock()
	err := fn()
	d.mu.Unlock()
	if err != nil && !errors.Is(err, vfs.ErrNoSpace) && !errors.Is(err, vfs.ErrTooManyFiles) {
		d.fail(err)
		return d.err()
	}
	return err
}

// write replaces one checkpoint file if its content changed; the caller holds mu.
func (d *directory) write(name string, have *logfiles.OffsetCheckpoint, want logfiles.OffsetCheckpoint) error {
	if maps.Equal(*have, want) {
		return nil
	}
	if err := vfs.Replace(d.store.cfg.FS, d.path, name, want.Encode()); err != nil {
		return err
	}
	*have = want
	return nil
}

// forget removes logs from the checkpoints, durably, so that a later log of the same name starts with nothing.
func (d *directory) forget(gone func(ids.TopicPartition) bool) error {
	return d.sparing(func() error { return d.forgetOnce(gone) })
}

func (d *directory) forgetOnce(gone func(ids.TopicPartition) bool) error {
	drop := func(c logfiles.OffsetCheckpoint) logfiles.OffsetCheckpoint {
		c = maps.Clone(c)
		maps.DeleteFunc(c, func(tp ids.TopicPartition, _ ids.Offset) bool { return gone(tp) || d.stale[tp] })
		return c
	}
	return d.writing(func() error {
		timestamps := maps.Clone(d.largest)
		maps.DeleteFunc(timestamps, func(tp ids.TopicPartition, _ manifest.Largest) bool { return gone(tp) })
		if err := d.writeLargest(timestamps); err != nil {
			return err
		}
		if err := d.write(logfiles.RecoveryPoints, &d.recovery, drop(d.recovery)); err != nil {
			return err
		}
		if err := d.write(logfiles.LogStarts, &d.starts, drop(d.starts)); err != nil {
			return err
		}
		if err := d.write(logfiles.CleanerOffsets, &d.cleaned, drop(d.cleaned)); err != nil {
			return err
		}
		if err := d.write(logfiles.HighWatermarks, &d.watermarks, drop(d.watermarks)); err != nil {
			return err
		}
		d.stale = nil
		return nil
	})
}

// forgetLater remembers names of deleted logs that could not be taken from the checkpoints.
func (d *directory) forgetLater(gone map[ids.TopicPartition]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stale == nil {
		d.stale = make(map[ids.TopicPartition]bool, len(gone))
	}
	maps.Copy(d.stale, gone)
}

// freeName makes sure that a new log inherits nothing from a deleted one of its name.
func (d *directory) freeName(tp ids.TopicPartition) error {
	d.mu.Lock()
	stale := d.stale[tp]
	d.mu.Unlock()
	if !stale {
		return nil
	}
	if err := d.forget(func(ids.TopicPartition) bool { return false }); err != nil {
		return fmt.Errorf("take the deleted log of the name %s from the checkpoints: %w", tp, err)
	}
	return nil
}

// firstDirty is what cleaner-offset-checkpoint says of a log; ok is false if it was never compacted.
func (d *directory) firstDirty(tp ids.TopicPartition) (offset ids.Offset, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	offset, ok = d.cleaned[tp]
	return offset, ok
}

// mayHaveGaps tells that offsets of a log may be missing: it is compacted, or was once.
func (d *directory) mayHaveGaps(l *Log) bool {
	_, once := d.firstDirty(l.tp)
	return once || d.cleanedLost || l.cfg.Compact
}

// points is what the checkpoints say of one log.
func (d *directory) points(tp ids.TopicPartition) (recovery, start, watermark ids.Offset) {
	d.mu.Lock()
	defer d.mu.Unlock()
	watermark, ok := d.watermarks[tp]
	if !ok {
		watermark = -1
	}
	return d.recovery[tp], d.starts[tp], watermark
}

// clampFirstDirty brings the first dirty offset down to the end of a log that was cut: what comes there next no compaction has seen.
func (l *Log) clampFirstDirty() error {
	if dirty, ok := l.dir.firstDirty(l.tp); !ok || dirty <= l.LogEnd() {
		return nil
	}
	return l.dir.setFirstDirty(l, l.LogEnd())
}

// setFirstDirty writes cleaner-offset-checkpoint, durably.
func (d *directory) setFirstDirty(l *Log, offset ids.Offset) error {
	return d.writing(func() error {
		if l.failure.Load() != nil {
			return nil // another may have its name by now
		}
		cleaned := maps.Clone(d.cleaned)
		cleaned[l.tp] = offset
		return d.write(logfiles.CleanerOffsets, &d.cleaned, cleaned)
	})
}
