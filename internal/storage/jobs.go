package storage

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla-io/ottla/internal/background"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/manifest"
	"github.com/ottla-io/ottla/internal/vfs"
)

// addJobs makes the directory's work known.
func (d *directory) addJobs() {
	w := &d.store.work
	d.checkpoints = checkpoints{dir: d}
	d.checkpoints.task = w.add(BackgroundCheckpoint, background.Steady, &d.checkpoints)
	d.retention = retention{dir: d}
	d.retention.task = w.add(BackgroundRetention, background.Steady, &d.retention)
	d.expiry = expiry{dir: d}
	d.expiry.task = w.add(BackgroundExpiry, background.Bulk, &d.expiry)
	for _, t := range []*background.Task{d.retention.task, d.expiry.task} {
		w.WakeIn(t, d.store.retentionCheck())
	}
}

func (s *Store) retentionCheck() time.Duration {
	return time.Duration(s.cfg.RetentionCheckMs) * time.Millisecond
}

// overdueFlushes asks for a round where flush.ms has run out.
type overdueFlushes struct{ store *Store }

// flushWithin serves flush.ms: the first of several deadlines counts.
func (w *work) flushWithin(d time.Duration) { w.WakeIn(w.flushes, d) }

func (j overdueFlushes) Step(*background.Slice) time.Duration {
	env := j.store.env()
	now, next := env.Now().UnixMilli(), background.Never
	for _, d := range j.store.dirs {
		for _, l := range d.flusher.waiting() {
			l.mu.Lock()
			asked := l.cfg.FlushMs > 0 && l.unflushed > 0
			left := l.oldestUnflushed + l.cfg.FlushMs - now
			l.mu.Unlock()
			if asked && left <= 0 {
				l.Flush(true)
			} else if asked {
				next = min(next, env.Monotonic()+time.Duration(left)*time.Millisecond)
			}
		}
	}
	return next
}

// lowSpaceCheck is how often a directory below its reserve is looked at: no flush round does, while appends are refused.
const lowSpaceCheck = time.Second

// lowSpace looks at the directories below their reserve.
type lowSpace struct{ store *Store }

func (j lowSpace) Step(*background.Slice) time.Duration {
	if !j.store.measureLow() {
		return background.Never
	}
	return j.store.env().Monotonic() + lowSpaceCheck
}

// measureLow tells whether a directory is still below its reserve.
func (s *Store) measureLow() bool {
	low := false
	for _, d := range s.dirs {
		if d.low.Load() {
			d.measure()
			low = low || d.low.Load()
		}
	}
	return low
}

// removals removes what was renamed away, once it is due: in this life of the process or the next.
type removals struct {
	store *Store
	mu    sync.Mutex // guards the list; held for memory only
	list  []discarded
}

// discarded is a path to remove once it is due.
type discarded struct {
	due  time.Duration
	path string
}

// discard removes paths after delay.
func (w *work) discard(delay time.Duration, paths ...string) {
	due := w.store.env().Monotonic() + delay
	r := &w.removals
	r.mu.Lock()
	for _, p := range paths {
		r.list = append(r.list, discarded{due, p})
	}
	r.mu.Unlock()
	w.Wake(w.removes, due)
}

// take cuts the paths that are due from the list, and tells when the next one is.
func (r *removals) take(now time.Duration) (due []discarded, next time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	keep := r.list[:0]
	next = background.Never
	for _, d := range r.list {
		if d.due <= now {
			due = append(due, d)
		} else {
			keep = append(keep, d)
			next = min(next, d.due)
		}
	}
	r.list = keep
	return due, next
}

func (r *removals) Step(s *background.Slice) time.Duration {
	due, next := r.take(r.store.env().Monotonic())
	for len(due) > 0 {
		if err := r.store.cfg.FS.RemoveAll(due[0].path); err != nil {
			r.store.problem("remove "+due[0].path, err)
		}
		if due = due[1:]; s.Over() {
			break
		}
	}
	r.store.measureLow()
	r.store.AskForRoomAgain()
	if len(due) > 0 {
		r.mu.Lock()
		r.list = append(r.list, due...)
		r.mu.Unlock()
		return 0
	}
	return next
}

// checkpoints moves the recovery points of one directory to the durable ends: soon after CheckpointBytes were flushed, and CheckpointMs after a flush, with
// the watermarks then. One checkpoint is several steps: the logs are made ready one by one, then the files are written.
type checkpoints struct {
	dir  *directory
	task *background.Task
	due  atomic.Int64 // Env.Monotonic; 0: nothing was flushed since the last

	pass       background.Pass[*Log]
	run        *checkpoint // under way; nil: none
	watermarks bool
}

// want is called after each flush round that moved a durable end.
func (c *checkpoints) want() {
	w := &c.dir.store.work
	if c.due.Load() == 0 {
		due := w.store.env().Monotonic() + c.delay()
		if c.due.CompareAndSwap(0, int64(due)) {
			w.Wake(c.task, due)
		}
	}
	if c.dir.flushedBytes.Load() >= w.store.cfg.CheckpointBytes {
		w.Wake(c.task, 0)
	}
}

func (c *checkpoints) delay() time.Duration {
	return time.Duration(c.dir.store.cfg.CheckpointMs) * time.Millisecond
}

// next is when the next checkpoint is due, after flushes that came already.
func (c *checkpoints) next() time.Duration {
	if c.dir.flushedBytes.Load() >= c.dir.store.cfg.CheckpointBytes {
		return 0
	}
	if due := c.due.Load(); due != 0 {
		return time.Duration(due)
	}
	return background.Never
}

func (c *checkpoints) Step(s *background.Slice) time.Duration {
	d := c.dir
	if d.err() != nil {
		return background.Never
	}
	if c.run == nil {
		next := c.next()
		now := d.store.env().Monotonic()
		if next > now {
			return next
		}
		due := c.due.Load()
		c.watermarks = due != 0 && time.Duration(due) <= now
		if c.watermarks {
			c.due.Store(0)
		}
		c.run = d.beginCheckpoint(false)
		c.pass.Begin(d.store.logsIn(d))
	}
	run := c.run
	if !c.pass.Each(s, run.prepare) {
		return 0
	}
	if len(run.epochs) > 0 {
		run.writeEpochs()
		return 0
	}
	c.run, c.pass = nil, background.Pass[*Log]{}
	if err := run.write(c.watermarks); err != nil && d.err() == nil {
		d.store.problem("write checkpoints in "+d.path, err)
	}
	if run.skipped && c.due.Load() == 0 {
		c.due.CompareAndSwap(0, int64(d.store.env().Monotonic()+c.delay()))
	}
	return c.next()
}

// epochBudget is how many epoch files one checkpoint writes and syncs; logs beyond it keep their recovery point until the next.
const epochBudget = 64

// checkpoint is one writing of the checkpoint files of a directory.
type checkpoint struct {
	dir     *directory
	ready   map[*Log]readyPoint
	logs    []*Log
	epochs  []*Log // whose epoch files are to be written before the recovery points
	budget  int
	all     bool // lifts the budget, for a clean stop
	skipped bool // the budget was spent
	err     error
}

// readyPoint is the recovery point that a log was made ready for. It counts for as long as the log is not truncated.
type readyPoint struct {
	offset      ids.Offset
	truncations int64
	largest     manifest.Largest // if far
	far         bool
}

func (d *directory) beginCheckpoint(all bool) *checkpoint {
	d.flushedBytes.Store(0)
	return &checkpoint{dir: d, ready: make(map[*Log]readyPoint), budget: epochBudget, all: all}
}

// prepare makes one log ready for its recovery point to move.
func (c *checkpoint) prepare(l *Log) {
	if l.failure.Load() != nil || c.err != nil {
		return
	}
	c.logs = append(c.logs, l)
	truncations := l.truncations.Load()
	l.mu.Lock()
	durable := l.DurableEnd() // before the epochs: each that begins below it is in the file then
	largest, far := l.largestAt(durable)
	l.mu.Unlock()
	if point, _, _ := c.dir.points(l.tp); durable == point {
		return
	}
	_, dirty := l.epochs.Snapshot()
	if dirty && c.budget <= 0 && !c.all || !l.prepareCheckpoint(durable) {
		c.skipped = true
		return
	}
	if dirty {
		c.budget--
		c.epochs = append(c.epochs, l)
	}
	c.ready[l] = readyPoint{durable, truncations, largest, far}
}

// writeEpochs brings the epochs of the prepared logs to their files, durably, several logs at a time: their syncs share what the disk does for one.
func (c *checkpoint) writeEpochs() {
	todo := c.epochs
	c.epochs = nil
	failed := make([]error, len(todo))
	parallel(c.dir.store.env(), len(todo), func(i int) { failed[i] = todo[i].writeEpochs() })
	for i, err := range failed {
		if todo[i].failure.Load() != nil { // deleted meanwhile, its directory renamed under us
			delete(c.ready, todo[i])
		} else if err != nil && c.err == nil {
			c.err = err
		}
	}
}

func (l *Log) writeEpochs() error {
	l.naming.Lock() // else another log's directory could have the path by now
	defer l.naming.Unlock()
	entries, dirty := l.epochs.Snapshot()
	if !dirty || l.failure.Load() != nil {
		return nil
	}
	if err := vfs.Replace(l.store.cfg.FS, l.path, logfiles.Epochs, logfiles.EncodeEpochs(entries)); err != nil {
		return err
	}
	l.epochs.Written(entries)
	return nil
}

// write replaces the files: the watermarks too, unless it is only much data that made the checkpoint due.
func (c *checkpoint) write(withWatermarks bool) error {
	d := c.dir
	return d.writing(func() error {
		if c.err != nil {
			return c.err
		}
		recovery, starts, watermarks := maps.Clone(d.recovery), maps.Clone(d.starts), maps.Clone(d.watermarks)
		timestamps := maps.Clone(d.largest)
		for _, l := range c.logs {
			truncations := l.truncations.Load()
			if l.failure.Load() != nil || truncations%2 == 1 {
				continue // who ends a log takes it from the checkpoints after that; who truncates it writes what it needs
			}
			if point, ok := c.ready[l]; ok && point.truncations == truncations {
				recovery[l.tp] = min(point.offset, l.DurableEnd())
				if point.far && recovery[l.tp] == point.offset {
					timestamps[l.tp] = point.largest
				} else {
					delete(timestamps, l.tp)
				}
			}
			if start := l.LogStart(); start > 0 || starts[l.tp] != start {
				starts[l.tp] = start
			}
			if hw := l.HighWatermark(); hw >= 0 {
				watermarks[l.tp] = hw
			}
		}
		if err := d.write(logfiles.LogStarts, &d.starts, starts); err != nil {
			return err
		}
		if err := d.writeLargest(timestamps); err != nil {
			return err
		}
		if err := d.write(logfiles.RecoveryPoints, &d.recovery, recovery); err != nil {
			return err
		}
		if !withWatermarks {
			return nil
		}
		return d.write(logfiles.HighWatermarks, &d.watermarks, watermarks)
	})
}

// checkpoint writes everything at once, for a clean stop.
func (d *directory) checkpoint() error {
	c := d.beginCheckpoint(true)
	for _, l := range d.store.logsIn(d) {
		c.prepare(l)
	}
	c.writeEpochs()
	return c.write(true)
}

// retention applies retention to the logs of one directory, with one write of their log starts for each step.
type retention struct {
	dir  *directory
	task *background.Task
	pass background.Pass[*Log]
}

func (r *retention) Step(s *background.Slice) time.Duration {
	d := r.dir
	if d.err() != nil {
		return background.Never
	}
	if r.pass.Idle() {
		d.pressed.Store(false) // whatever became of it
		d.measure()
		d.restoreReserve()
		r.pass.Begin(d.store.logsIn(d))
	}
	nowMs := d.store.env().Now().UnixMilli()
	var raises []raise
	complete := r.pass.Each(s, func(l *Log) {
		r, err := l.planRetention(nowMs)
		if err != nil {
			d.store.problem("apply retention to "+l.tp.String(), err)
		}
		if r.log != nil {
			raises = append(raises, r)
		}
	})
	if err := d.raiseLogStarts(raises); err != nil {
		d.store.problem("write log start offsets in "+d.path, err)
	}
	for i := range raises {
		raises[i].retained()
	}
	if !complete {
		return 0
	}
	return d.store.env().Monotonic() + d.store.retentionCheck()
}

// expiry forgets the producers of one directory's logs that were idle for producer.id.expiration.ms.
type expiry struct {
	dir  *directory
	task *background.Task
	pass background.Pass[*Log]
}

func (e *expiry) Step(s *background.Slice) time.Duration {
	store := e.dir.store
	if e.pass.Idle() {
		e.pass.Begin(store.logsIn(e.dir))
	}
	nowMs := store.env().Now().UnixMilli()
	if !e.pass.Each(s, func(l *Log) { l.expireProducers(nowMs) }) {
		return 0
	}
	return store.env().Monotonic() + store.retentionCheck()
}

func (l *Log) expireProducers(nowMs int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.producers.expirationMs = l.store.producerExpirationMs.Load()
	if l.producers.state != nil {
		l.producers.state.SetExpiration(l.producers.expirationMs)
		l.producers.state.Expire(nowMs)
	}
}
