package storage

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla-io/ottla/internal/run"
)

// job is one kind of background work of a store, or of one of its directories. To add one: implement job, hand it to background.add before the store
// starts, and call background.wake when there is something to do.
//
// step does a bounded piece of the work: it ends soon after slice.over says so, and returns when it wants to be called next, by Env.Monotonic: 0 for at once
// (there is more), never for only when it is woken. It may find nothing to do. A job's steps never run at the same time as each other, so that what they
// remember from one to the next needs no lock; steps of different jobs do. No lock is held meanwhile, and a step must not keep one between two.
//
// The scheduler measures how long a step took and charges that, and the bytes it told the slice, to the job and to the budget (see pace). After
// background.stop no step runs; what a job left half done must be something that a start, or the job's next step, can deal with as after a crash.
type job interface {
	step(slice *slice) (next time.Duration)
}

// never is the time of a step that only wake calls for.
const never = time.Duration(math.MaxInt64)

// priority decides which of the due jobs is first, and whether it keeps to the budget.
type priority uint8

const (
	// urgent jobs don't wait for the budget: somebody counts on their time.
	urgent priority = iota
	// steady jobs keep to the budget, and to a goroutine that bulk jobs never occupy: checkpoints, retention, removal.
	steady
	// bulk jobs come last: compaction.
	bulk
)

// BackgroundKind names a kind of background work.
type BackgroundKind uint8

// The kinds, in the order of their priority.
const (
	BackgroundFlush      BackgroundKind = iota // rounds that flush.ms asks for
	BackgroundSpace                            // looking at directories below their reserve
	BackgroundCheckpoint                       // recovery points, log starts, watermarks
	BackgroundRemoval                          // files and directories that were deleted a while ago
	BackgroundRetention                        // retention.ms, retention.bytes
	BackgroundExpiry                           // idle producers
	BackgroundCompaction                       // compacted logs
	BackgroundMove                             // logs on their way to another directory
	backgroundKinds
)

// String is the kind as metrics and logs name it.
func (k BackgroundKind) String() string {
	return [...]string{"flush", "space", "checkpoint", "removal", "retention", "expiry", "compaction", "move"}[k]
}

// BackgroundStats is what one kind of background work did since the store was opened.
type BackgroundStats struct {
	Kind   BackgroundKind
	Steps  int64
	Busy   time.Duration // inside of steps
	Waited time.Duration // due, and kept waiting for the budget or for other work
	Bytes  int64         // read and written, as far as the job counts them
	Active int           // steps that run now
}

// backgroundCounters is the live form of BackgroundStats.
type backgroundCounters struct{ steps, busy, waited, bytes, active atomic.Int64 }

// task is a job with its time.
type task struct {
	job      job
	kind     BackgroundKind
	priority priority

	// Guarded by background.mu:
	due     time.Duration
	running bool
	woken   time.Duration // the earliest wake during a step; never: none
}

// background runs everything that nobody waits for, on two goroutines: one for jobs that are done soon, one that takes bulk work, too. They sleep until the
// next job is due: there is no timer and no goroutine for each log, and nothing runs while nothing is due.
type background struct {
	store   *Store
	pace    pace
	workers [2]worker
	started bool
	counts  [backgroundKinds]backgroundCounters

	removals removals
	// The store's own tasks; those of a directory lie there.
	flushes, spaces, removes *task

	mu      sync.Mutex // guards the rest, and the tasks' times; held for memory only
	tasks   []*task
	closing bool
}

// worker is one of the goroutines.
type worker struct {
	most         priority // the last that it takes
	signal, done run.Signal
	slice        slice
}

func (w *background) init(s *Store) {
	w.store = s
	for i, most := range []priority{steady, bulk} {
		w.workers[i] = worker{most: most, signal: s.env().NewSignal(), done: s.env().NewSignal()}
	}
	w.removals.store = s
	w.flushes = w.add(BackgroundFlush, urgent, overdueFlushes{s})
	w.spaces = w.add(BackgroundSpace, urgent, lowSpace{s})
	w.removes = w.add(BackgroundRemoval, steady, &w.removals)
}

// add makes a job known; its first step is when it is woken.
func (w *background) add(kind BackgroundKind, p priority, j job) *task {
	t := &task{job: j, kind: kind, priority: p, due: never, woken: never}
	w.mu.Lock()
	w.tasks = append(w.tasks, t)
	w.mu.Unlock()
	return t
}

// start begins the goroutines.
func (w *background) start() {
	w.started = true
	for i := range w.workers {
		worker := &w.workers[i]
		w.store.env().Go("storage background", func() {
			defer worker.done.Set()
			for w.turn(worker) {
			}
		})
	}
}

// stop ends them, after the steps that run.
func (w *background) stop() {
	w.mu.Lock()
	w.closing = true
	w.mu.Unlock()
	if !w.started {
		return
	}
	for i := range w.workers {
		w.workers[i].signal.Set()
	}
	for i := range w.workers {
		w.workers[i].done.Wait()
	}
}

// wake makes a job due at a time, 0 for at once. The earliest of several times counts.
func (w *background) wake(t *task, due time.Duration) {
	w.mu.Lock()
	earlier := due < min(t.due, t.woken)
	if earlier && t.running {
		t.woken = due
	} else if earlier {
		t.due = due
	}
	w.mu.Unlock()
	if earlier {
		w.signal(t.priority)
	}
}

// wakeIn is wake after a while.
func (w *background) wakeIn(t *task, after time.Duration) {
	w.wake(t, w.store.env().Monotonic()+after)
}

// signal tells the goroutines that may take a job of this priority.
func (w *background) signal(p priority) {
	for i := range w.workers {
		if p <= w.workers[i].most {
			w.workers[i].signal.Set()
		}
	}
}

// turn runs one step of the most urgent job that is due, or waits for one; false ends the goroutine.
func (w *background) turn(worker *worker) bool {
	now := w.store.env().Monotonic()
	resumes := w.pace.resumes()
	w.mu.Lock()
	if w.closing {
		w.mu.Unlock()
		return false
	}
	t, wait := w.pick(worker, now, resumes)
	var waited time.Duration
	if t != nil {
		waited = max(now-t.due, 0)
		if t.due == 0 {
			waited = 0 // there was more, or somebody just asked
		}
		t.running, t.due = true, never
	}
	w.mu.Unlock()
	switch {
	case t != nil:
		w.run(worker, t, now, waited)
	case wait == never:
		worker.signal.Wait()
	default:
		worker.signal.WaitFor(wait)
	}
	return true
}

// pick finds the job to run now, or how long there is none. Jobs that keep to the budget are due when it allows them. The caller holds mu.
func (w *background) pick(worker *worker, now, resumes time.Duration) (*task, time.Duration) {
	var best *task
	var bestDue time.Duration
	next := never
	for _, t := range w.tasks {
		if t.running || t.due == never || t.priority > worker.most {
			continue
		}
		due := t.due
		if t.priority != urgent {
			due = max(due, resumes)
		}
		if due > now {
			next = min(next, due)
		} else if best == nil || t.priority < best.priority || t.priority == best.priority && t.due < bestDue {
			best, bestDue = t, t.due
		}
	}
	if next != never {
		next -= now
	}
	return best, next
}

// run does one step of a job.
func (w *background) run(worker *worker, t *task, now, waited time.Duration) {
	c := &w.counts[t.kind]
	c.active.Add(1)
	s := &worker.slice
	*s = slice{env: w.store.env(), pace: &w.pace}
	s.begin(now)
	next := t.job.step(s)
	ended := w.store.env().Monotonic()
	took := ended - now
	c.active.Add(-1)
	c.steps.Add(1)
	c.busy.Add(int64(took))
	c.waited.Add(int64(waited))
	c.bytes.Add(s.bytes)
	w.mu.Lock()
	w.pace.charge(ended, took, s.bytes)
	t.running = false
	t.due, t.woken = min(next, t.woken), never
	again := t.due != never
	w.mu.Unlock()
	if again {
		w.signal(t.priority) // the other goroutine may sleep past it
	}
	if f := w.store.cfg.Events.BackgroundStep; f != nil {
		f(t.kind, took, s.bytes)
	}
}

// Background tells what the background work did, one entry for each kind.
func (s *Store) Background() []BackgroundStats {
	out := make([]BackgroundStats, backgroundKinds)
	for k := range out {
		c := &s.work.counts[k]
		out[k] = BackgroundStats{
			Kind: BackgroundKind(k), Steps: c.steps.Load(), Busy: time.Duration(c.busy.Load()), Waited: time.Duration(c.waited.Load()),
			Bytes: c.bytes.Load(), Active: int(c.active.Load()),
		}
	}
	return out
}

// The budget while clients wait for flush rounds: steps of a millisecond, a quarter of one core, and a rate that leaves a disk room. While nobody does,
// background work takes what there is.
const (
	busyWindow   = 100 * time.Millisecond // since the last round that somebody asked for
	busyStep     = time.Millisecond
	busyCPU      = 4 // one part in so many of a core
	busyBytes    = 256 << 10
	busyPerSec   = 32 << 20
	longestPause = 100 * time.Millisecond
	idleStep     = 10 * time.Millisecond
	idleBytes    = 8 << 20
)

// pace is the budget of CPU and I/O that the jobs share, as a debt that grows with each step and is paid by waiting.
type pace struct {
	foreground atomic.Int64 // Env.Monotonic of the last round that somebody waited for, plus one; 0: never
	until      atomic.Int64 // Env.Monotonic when the debt is paid
}

// noteForeground is called when a round begins that clients wait for.
func (p *pace) noteForeground(now time.Duration) { p.foreground.Store(int64(now) + 1) }

// busy tells that clients are being served.
func (p *pace) busy(now time.Duration) bool {
	last := p.foreground.Load()
	return last != 0 && now-time.Duration(last-1) < busyWindow
}

// resumes is when the next step may run.
func (p *pace) resumes() time.Duration { return time.Duration(p.until.Load()) }

// charge makes the next steps wait for what one cost. The caller holds background.mu.
func (p *pace) charge(now, took time.Duration, bytes int64) {
	if !p.busy(now) {
		return
	}
	pause := max(took*(busyCPU-1), time.Duration(bytes)*time.Second/busyPerSec)
	p.until.Store(int64(min(max(p.resumes(), now)+pause, now+longestPause)))
}

// slice is the share of the budget that one step may use.
type slice struct {
	env   run.Env
	pace  *pace
	ends  time.Duration
	bytes int64
	limit int64
}

func (s *slice) begin(now time.Duration) {
	s.ends, s.limit = now+idleStep, idleBytes
	if s.pace.busy(now) {
		s.ends, s.limit = now+busyStep, busyBytes
	}
}

// spend counts bytes read or written.
func (s *slice) spend(bytes int64) { s.bytes += bytes }

// over tells that the step should end. It reads the clock: ask once for each log, file or chunk, not for each record.
func (s *slice) over() bool { return s.bytes >= s.limit || s.env.Monotonic() >= s.ends }

// pass is a walk over the open logs of a directory in bounded pieces, oldest snapshot of the list first. Logs that came meanwhile are left to the next pass.
type pass struct{ logs []*Log }

// begin starts a pass, unless one is under way.
func (p *pass) begin(d *directory) {
	if p.logs == nil {
		p.logs = d.store.logsIn(d)
	}
}

// each calls fn for the next logs until the slice is over; true if the pass is complete.
func (p *pass) each(s *slice, fn func(*Log)) bool {
	for i, l := range p.logs {
		fn(l)
		if i+1 < len(p.logs) && s.over() {
			p.logs = p.logs[i+1:]
			return false
		}
	}
	p.logs = nil
	return true
}
