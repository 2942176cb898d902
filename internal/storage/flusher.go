package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/run"
)

const (
	// fewFiles are synced each on a goroutine of its own; more take one syncfs where the directory is its own file system, and all that is dirty is to be synced.
	fewFiles = 4
	// syncWorkers bounds the threads that wait for the disk in one round.
	syncWorkers = 16
)

// In which of its flusher's lists a log is: Log.queue.
const (
	unqueued  int32 = iota
	unhurried       // something was appended that nobody asked to have synced yet: with Replicated durability
	queued          // the next round is to cover it
)

// flusher makes the logs of one directory durable, in rounds: all that became dirty while one round ran share the next.
type flusher struct {
	dir    *directory
	env    run.Env
	linger time.Duration
	signal run.Signal
	done   run.Signal
	// dedicated: the directory is a file system of its own, so one syncfs may stand for many fdatasyncs. Set before the start.
	dedicated bool

	mu        sync.Mutex // guards the next six, and of the logs unhurriedAt and what changes queue, but for its reset; held for memory only
	dirty     []*Log
	unhurried []*Log // no round covers them for others' sake, which would wait for their bytes
	now       bool
	due       time.Duration // Env.Monotonic when the linger ends; 0: nobody asked
	closing   bool
	running   bool

	// Only the round uses these.
	spare    []*Log
	jobs     []flushJob
	items    []syncItem
	dirs     []string
	noSyncFS bool
}

// flushJob is one log in a round: all below end will be durable.
type flushJob struct {
	log       *Log
	end       ids.Offset
	active    *segment // and its size, for the hint; nil: none
	size      int64
	items     int // the log's in flusher.items, which lie together
	forgotten bool
	mark      durableMark
	// truncations are the log's at the capture. Where it has been truncated since, end says nothing.
	truncations int64
}

// syncItem is one file to sync: a segment's log, opened already or by its path, or another by its path.
type syncItem struct {
	segment *segment
	handle  *handle
	size    int64 // of a segment's log; of what has only a path, 0 tells that it is another file
	path    string
}

func newFlusher(dir *directory, env run.Env, linger time.Duration) *flusher {
	return &flusher{dir: dir, env: env, linger: linger, signal: env.NewSignal(), done: env.NewSignal()}
}

// add lists a log for the next round whatever its state: the round tells its owner that it failed.
func (f *flusher) add(l *Log) {
	f.mu.Lock()
	f.dirty = append(f.dirty, l)
	f.mu.Unlock()
}

// enlist lists a log once. full tells that too many are unhurried: all of them are for the next round now, and the caller asks for it.
func (f *flusher) enlist(l *Log, hurried bool) (full bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	state := l.queue.Load()
	switch {
	case state == queued || state == unhurried && !hurried:
	case hurried:
		f.drop(l)
		f.dirty = append(f.dirty, l)
		l.queue.Store(queued)
	default:
		l.unhurriedAt = len(f.unhurried)
		f.unhurried = append(f.unhurried, l)
		l.queue.Store(unhurried)
		if full = len(f.unhurried) > f.dir.store.cfg.MaxUnsyncedLogs; full {
			f.hurry()
		}
	}
	return full
}

// hurry makes all that is unhurried the next round's; the caller holds mu.
func (f *flusher) hurry() {
	for _, l := range f.unhurried {
		l.queue.Store(queued)
	}
	f.dirty = append(f.dirty, f.unhurried...)
	clear(f.unhurried)
	f.unhurried = f.unhurried[:0]
}

// drop takes a log off the unhurried ones, if it is one; the caller holds mu.
func (f *flusher) drop(l *Log) {
	if l.queue.Load() != unhurried {
		return
	}
	last := len(f.unhurried) - 1
	f.unhurried[l.unhurriedAt] = f.unhurried[last]
	f.unhurried[l.unhurriedAt].unhurriedAt = l.unhurriedAt
	f.unhurried[last] = nil
	f.unhurried = f.unhurried[:last]
	l.queue.Store(unqueued)
}

// forget keeps no log that failed, or was deleted.
func (f *flusher) forget(l *Log) {
	f.mu.Lock()
	f.drop(l)
	f.mu.Unlock()
}

// request asks for a round: at once, or within the linger.
func (f *flusher) request(now bool) {
	f.mu.Lock()
	wake := false
	if now && !f.now {
		f.now, wake = true, true
	} else if !now && !f.now && f.due == 0 {
		f.due, wake = f.env.Monotonic()+f.linger, true
	}
	f.mu.Unlock()
	if wake {
		f.signal.Set()
	}
}

// requestIfDirty asks for a round at once if a log waits for one; unhurried ones don't.
func (f *flusher) requestIfDirty() {
	f.mu.Lock()
	wake := len(f.dirty) > 0 && !f.now
	if wake {
		f.now = true
	}
	f.mu.Unlock()
	if wake {
		f.signal.Set()
	}
}

// waiting lists the logs with something that no round has covered yet.
func (f *flusher) waiting() []*Log {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Concat(f.dirty, f.unhurried)
}

// othersDirty tells that the file system has bytes of logs that nobody asked to have synced: a sync of all of it would wait for them.
func (f *flusher) othersDirty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.unhurried) > 0
}

// start begins the flusher's goroutine.
func (f *flusher) start() {
	f.running = true
	f.env.Go("storage flusher", func() {
		defer f.done.Set()
		for f.turn() {
		}
	})
}

// stop ends it, after the round that runs.
func (f *flusher) stop() {
	f.mu.Lock()
	f.closing = true
	f.mu.Unlock()
	f.signal.Set()
	if f.running {
		f.done.Wait()
		f.running = false
	}
}

// turn waits for work and does it; false ends the goroutine.
func (f *flusher) turn() bool {
	f.mu.Lock()
	if f.closing {
		f.mu.Unlock()
		return false
	}
	if !f.now && f.due == 0 {
		f.mu.Unlock()
		f.signal.Wait()
		return true
	}
	if !f.now {
		if left := f.due - f.env.Monotonic(); left > 0 {
			f.mu.Unlock()
			f.signal.WaitFor(left)
			return true
		}
	}
	if f.now {
		f.dir.store.work.NoteForeground(f.env.Monotonic())
	}
	logs := f.take()
	f.mu.Unlock()
	f.round(logs)
	return true
}

// take empties the list; the caller holds mu.
func (f *flusher) take() []*Log {
	logs := f.dirty
	f.dirty, f.spare = f.spare[:0], nil
	f.now, f.due = false, 0
	return logs
}

// flushAll runs one round over all that is dirty, on the caller's goroutine. The flusher's own must have ended.
func (f *flusher) flushAll() {
	f.mu.Lock()
	f.hurry()
	logs := f.take()
	f.mu.Unlock()
	f.round(logs)
}

// round makes logs durable, or takes the directory offline.
func (f *flusher) round(logs []*Log) {
	start := f.env.Monotonic()
	f.jobs, f.items, f.dirs = f.jobs[:0], f.items[:0], f.dirs[:0]
	parent := false
	for _, l := range logs {
		if f.capture(l) {
			parent = true
		}
	}
	files := len(f.items)
	if s := f.dir.suspect.Load(); s != nil {
		f.dir.fail(s.err)
	}
	err := f.dir.err()
	if err == nil {
		if err = f.syncEverything(parent); err != nil {
			f.dir.fail(err)
		}
	}
	for _, item := range f.items {
		if item.handle != nil {
			item.handle.release()
		}
	}
	items := f.items
	for i := range f.jobs {
		j := &f.jobs[i]
		if err == nil && !j.forgotten {
			j.log.flushed(j, items[:j.items])
		}
		items = items[j.items:]
	}
	for i := range f.jobs {
		f.jobs[i].log.notify()
	}
	f.dir.store.files.shrink(4 * len(f.jobs)) // what was kept open for want of a sync need not be any more
	if n := len(f.jobs); n > 0 && err == nil && f.dir.store.cfg.Events.FlushRound != nil {
		f.dir.store.cfg.Events.FlushRound(f.dir.path, f.env.Monotonic()-start, n, files)
	}
	clear(f.items)
	clear(f.jobs)
	clear(logs)
	f.spare = logs[:0]
	f.dir.afterRound()
}

// capture notes what a round has to sync for one log, and tells whether the parent directory has a new entry.
func (f *flusher) capture(l *Log) (newDir bool) {
	l.queue.Store(unqueued) // before looking: what comes after is the next round's
	l.mu.Lock()
	defer l.mu.Unlock()
	j := flushJob{log: l, end: l.LogEnd(), forgotten: l.failure.Load() != nil, truncations: l.truncations.Load()}
	if s := l.active(); s != nil {
		j.active, j.size, j.mark = s, s.size.Load(), s.mark(j.end)
	}
	before := len(f.items)
	if !j.forgotten {
		for _, s := range l.unsynced {
			l.writeAborted(s)
			if s.txns.unsynced {
				f.items = append(f.items, syncItem{path: s.path(logfiles.TxnIndexSuffix)})
				s.txns.unsynced = false
			}
			if s.pin != nil {
				s.pin.retain()
				f.items = append(f.items, syncItem{segment: s, handle: s.pin, size: s.size.Load()})
			} else if size := s.size.Load(); s.synced < size { // recovery found it
				f.items = append(f.items, syncItem{segment: s, path: s.path(logfiles.LogSuffix), size: size})
			}
			if s.sealedUnsynced {
				f.items = append(f.items, syncItem{segment: s, path: s.path(logfiles.IndexSuffix)}, syncItem{segment: s, path: s.path(logfiles.TimeIndexSuffix)})
			}
		}
		for _, at := range l.newSnapshots {
			f.items = append(f.items, syncItem{path: l.path + "/" + logfiles.SegmentName(at, logfiles.SnapshotSuffix)})
		}
		l.newSnapshots = l.newSnapshots[:0]
		if l.newFiles {
			f.dirs = append(f.dirs, l.path)
			l.newFiles, l.namesInRound = false, true
		}
		if l.newDir {
			f.items = append(f.items, syncItem{path: l.path + "/" + logfiles.PartitionMetadata})
			l.newDir, newDir = false, true
		}
	}
	l.unflushed = 0
	j.items = len(f.items) - before
	f.jobs = append(f.jobs, j)
	return newDir
}

// syncEverything syncs the captured files, then the directories that name them.
func (f *flusher) syncEverything(parent bool) error {
	store := f.dir.store
	if len(f.items) > fewFiles && f.dedicated && !f.noSyncFS && !f.othersDirty() {
		err := store.cfg.FS.SyncFS(f.dir.path)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			return fmt.Errorf("sync the file system of %s: %w", f.dir.path, err)
		}
		f.noSyncFS = true
	}
	if err := f.syncFiles(); err != nil {
		return err
	}
	slices.Sort(f.dirs)
	for _, dir := range slices.Compact(f.dirs) {
		// A topic that is being deleted has its directory renamed under us; nobody waits for it any more.
		if err := store.cfg.FS.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sync directory %s: %w", dir, err)
		}
	}
	if parent {
		if err := store.cfg.FS.SyncDir(f.dir.path); err != nil {
			return fmt.Errorf("sync directory %s: %w", f.dir.path, err)
		}
	}
	return nil
}

// syncFiles syncs all items, several at a time.
func (f *flusher) syncFiles() error {
	if len(f.items) == 0 {
		return nil
	}
	if len(f.items) == 1 {
		return f.syncOne(&f.items[0])
	}
	workers := int32(min(len(f.items), syncWorkers))
	var (
		next   atomic.Int32
		left   atomic.Int32
		failed atomic.Pointer[failure]
		done   = f.env.NewSignal()
	)
	left.Store(workers)
	work := func() {
		for failed.Load() == nil {
			i := int(next.Add(1)) - 1
			if i >= len(f.items) {
				break
			}
			if err := f.syncOne(&f.items[i]); err != nil {
				failed.CompareAndSwap(nil, &failure{err})
			}
		}
		if left.Add(-1) == 0 {
			done.Set()
		}
	}
	for range workers - 1 {
		f.env.Go("storage sync", work)
	}
	work()
	done.Wait()
	if e := failed.Load(); e != nil {
		return e.err
	}
	return nil
}

// syncPath syncs a file by its name. One that was deleted meanwhile is no error.
func (f *flusher) syncPath(path string) error { return f.syncOne(&syncItem{path: path}) }

func (f *flusher) syncOne(item *syncItem) error {
	if item.handle != nil {
		if err := item.handle.file.Sync(); err != nil {
			return fmt.Errorf("sync %s: %w", item.segment.path(logfiles.LogSuffix), err)
		}
		return nil
	}
	file, err := f.dir.store.cfg.FS.Open(item.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.dir.store.files.shed() // perhaps the process has no descriptor left
		file, err = f.dir.store.cfg.FS.Open(item.path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // deleted meanwhile, with its topic or by retention
	}
	if err != nil {
		return fmt.Errorf("sync %s: %w", item.path, err)
	}
	err = file.Sync()
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("sync %s: %w", item.path, err)
	}
	return nil
}

// flushed moves the durable end after a round that succeeded.
func (l *Log) flushed(j *flushJob, items []syncItem) {
	l.mu.Lock()
	if l.truncations.Load() != j.truncations {
		if len(l.unsynced) > 0 {
			l.queueForSync()
		}
		l.mu.Unlock()
		return
	}
	var bytes int64
	for _, item := range items {
		s := item.segment
		if s == nil {
			continue
		}
		if item.handle == nil && item.size == 0 {
			s.sealedUnsynced = false
			continue
		}
		bytes += max(item.size-s.synced, 0)
		s.synced = item.size
		if s.pin != nil && s.size.Load() == s.synced {
			s.pin.release()
			s.pin = nil
		}
	}
	l.unsynced = slices.DeleteFunc(l.unsynced, func(s *segment) bool {
		return s.synced >= s.size.Load() && !s.sealedUnsynced && len(s.txns.pending) == 0
	})
	if j.active != nil {
		l.hints.add(byRead, j.active, j.end, j.size)
	}
	l.durableMark = j.mark
	l.namesInRound = false
	l.durable.Store(int64(j.end))
	l.mu.Unlock()
	l.dir.flushedBytes.Add(bytes)
}
