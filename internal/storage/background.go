package storage

import (
	"sync"
	"time"

	"github.com/ottla-io/ottla/internal/run"
)

// background is the store's one goroutine for everything that nobody waits for: checkpoints, retention, expiry of producers, removal of what was deleted
// a while ago, flush.ms. It sleeps until the next of them is due.
type background struct {
	store        *Store
	signal, done run.Signal

	mu            sync.Mutex // guards the rest; held for memory only
	closing       bool
	checkpointNow bool
	checkpointDue time.Duration // 0: none
	retentionDue  time.Duration
	flushDue      time.Duration // 0: none
	discards      []discarded
}

// discarded is a path to remove once it is due.
type discarded struct {
	due  time.Duration
	path string
}

func (w *background) init(s *Store) {
	w.store = s
	env := s.env()
	w.signal, w.done = env.NewSignal(), env.NewSignal()
	w.retentionDue = env.Monotonic() + time.Duration(s.cfg.RetentionCheckMs)*time.Millisecond
}

// start begins the goroutine.
func (w *background) start() {
	w.store.env().Go("storage background", func() {
		defer w.done.Set()
		for w.turn() {
		}
	})
}

func (w *background) stop() {
	w.mu.Lock()
	w.closing = true
	w.mu.Unlock()
	w.signal.Set()
	w.done.Wait()
}

// discard removes a path after delay, this or the next life of the process.
func (w *background) discard(delay time.Duration, paths ...string) {
	due := w.store.env().Monotonic() + delay
	w.mu.Lock()
	for _, p := range paths {
		w.discards = append(w.discards, discarded{due, p})
	}
	w.mu.Unlock()
	w.signal.Set()
}

func (s *Store) wakeForCheckpoint(now bool) {
	w := &s.work
	w.mu.Lock()
	wake := false
	if now && !w.checkpointNow {
		w.checkpointNow, wake = true, true
	}
	if w.checkpointDue == 0 {
		w.checkpointDue, wake = s.env().Monotonic()+time.Duration(s.cfg.CheckpointMs)*time.Millisecond, true
	}
	w.mu.Unlock()
	if wake {
		w.signal.Set()
	}
}

// flushWithin serves flush.ms: the first of several deadlines counts.
func (w *background) flushWithin(d time.Duration) {
	due := w.store.env().Monotonic() + d
	w.mu.Lock()
	earlier := w.flushDue == 0 || due < w.flushDue
	if earlier {
		w.flushDue = due
	}
	w.mu.Unlock()
	if earlier {
		w.signal.Set()
	}
}

// lowSpaceCheck is how often a directory below its reserve is looked at: no flush round does, while appends are refused.
const lowSpaceCheck = time.Second

// measureLow looks at the directories below their reserve and tells whether one still is.
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

// turn does what is due, or waits for the next; false ends the goroutine.
func (w *background) turn() bool {
	low := w.store.measureLow()
	now := w.store.env().Monotonic()
	w.mu.Lock()
	if w.closing {
		w.mu.Unlock()
		return false
	}
	overdue := w.checkpointDue != 0 && w.checkpointDue <= now
	checkpoint := w.checkpointNow || overdue
	w.checkpointNow = false
	if overdue {
		w.checkpointDue = 0
	}
	flush := w.flushDue != 0 && w.flushDue <= now
	if flush {
		w.flushDue = 0
	}
	retain := w.retentionDue <= now
	if retain {
		w.retentionDue = now + time.Duration(w.store.cfg.RetentionCheckMs)*time.Millisecond
	}
	var remove []string
	keep := w.discards[:0]
	for _, d := range w.discards {
		if d.due <= now {
			remove = append(remove, d.path)
		} else {
			keep = append(keep, d)
		}
	}
	w.discards = keep
	wait := w.wait(now)
	if low {
		wait = min(wait, lowSpaceCheck)
	}
	w.mu.Unlock()
	if !checkpoint && !flush && !retain && len(remove) == 0 {
		w.signal.WaitFor(wait)
		return true
	}
	w.do(dueWork{checkpoint, overdue, flush, retain}, remove)
	return true
}

// wait is how long nothing is due; the caller holds mu.
func (w *background) wait(now time.Duration) time.Duration {
	next := w.retentionDue
	for _, due := range []time.Duration{w.checkpointDue, w.flushDue} {
		if due != 0 && due < next {
			next = due
		}
	}
	for _, d := range w.discards {
		next = min(next, d.due)
	}
	return max(next-now, 0)
}

// dueWork is what one turn does.
type dueWork struct {
	checkpoint bool
	overdue    bool // by time: write the watermarks, too
	flush      bool
	retain     bool
}

func (w *background) do(due dueWork, remove []string) {
	s := w.store
	for _, path := range remove {
		if err := s.cfg.FS.RemoveAll(path); err != nil {
			s.problem("remove "+path, err)
		}
	}
	if len(remove) > 0 {
		s.measureLow()
	}
	if due.flush {
		s.flushOverdue()
	}
	if due.checkpoint {
		for _, d := range s.dirs {
			if err := d.checkpoint(due.overdue, false); err != nil && d.err() == nil {
				s.problem("write checkpoints in "+d.path, err)
			}
		}
	}
	if due.retain {
		now := s.env().Now().UnixMilli()
		for _, d := range s.dirs {
			d.measure()
			s.retainAll(d, now)
		}
	}
}

// flushOverdue asks for a round where flush.ms has run out.
func (s *Store) flushOverdue() {
	now := s.env().Now().UnixMilli()
	for _, d := range s.dirs {
		for _, l := range s.logsIn(d) {
			l.mu.Lock()
			overdue := l.cfg.FlushMs > 0 && l.unflushed > 0
			left := l.oldestUnflushed + l.cfg.FlushMs - now
			l.mu.Unlock()
			if !overdue {
				continue
			}
			if left <= 0 {
				l.Flush(true)
			} else {
				s.work.flushWithin(time.Duration(left) * time.Millisecond)
			}
		}
	}
}

// retainAll applies retention to all logs of a directory, with one write of their log starts.
func (s *Store) retainAll(d *directory, nowMs int64) {
	var plans []retentionPlan
	var logs []*Log
	for _, l := range s.logsIn(d) {
		l.expireProducers(nowMs)
		plan, err := l.planRetention(nowMs)
		if err != nil {
			s.problem("apply retention to "+l.tp.String(), err)
		}
		if len(plan.segments) > 0 {
			plans, logs = append(plans, plan), append(logs, l)
		}
	}
	if len(plans) == 0 {
		return
	}
	if err := d.writeLogStarts(logs...); err != nil {
		s.problem("write log start offsets in "+d.path, err)
		return
	}
	for _, p := range plans {
		p.carryOut()
	}
}

func (l *Log) expireProducers(nowMs int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.producers.state != nil {
		l.producers.state.Expire(nowMs)
	}
}
