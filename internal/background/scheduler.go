package background

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla-io/ottla/internal/run"
)

// Job is one kind of work. To add one: implement Job, hand it to Scheduler.Add, and call Scheduler.Wake when there is something to do.
//
// Step does a bounded piece of the work: it ends soon after Slice.Over says so, and returns when it wants to be called next, by Env.Monotonic: 0 for at once
// (there is more), Never for only when it is woken. It may find nothing to do. A job's steps never run at the same time as each other, so that what they
// remember from one to the next needs no lock; steps of different jobs do. No lock is held meanwhile, and a step must not keep one between two.
//
// The scheduler measures how long a step took and charges that, and the bytes it told the slice, to the job's kind and to the budget (see pace). After
// Scheduler.Stop no step runs; what a job left half done must be something that a start, or the job's next step, can deal with as after a crash.
type Job interface {
	Step(slice *Slice) (next time.Duration)
}

// Never is the time of a step that only Wake calls for.
const Never = time.Duration(math.MaxInt64)

// Priority decides which of the due jobs is first, and whether it keeps to the budget.
type Priority uint8

const (
	// Urgent jobs don't wait for the budget: somebody counts on their time.
	Urgent Priority = iota
	// Steady jobs keep to the budget, and to a goroutine that bulk jobs never occupy.
	Steady
	// Bulk jobs come last.
	Bulk
)

// Stats is what the jobs of one kind did so far.
type Stats struct {
	Steps  int64
	Busy   time.Duration // inside of steps
	Waited time.Duration // due, and kept waiting for the budget or for other work
	Bytes  int64         // read and written, as far as the jobs count them
	Active int           // steps that run now
}

// counters is the live form of Stats.
type counters struct{ steps, busy, waited, bytes, active atomic.Int64 }

// Task is a job with its time.
type Task struct {
	job      Job
	kind     int
	priority Priority

	// Guarded by Scheduler.mu:
	due     time.Duration
	running bool
	woken   time.Duration // the earliest wake during a step; Never: none
}

// Scheduler runs jobs on two goroutines: one for jobs that are done soon, one that takes bulk work, too.
type Scheduler struct {
	env     run.Env
	stepped func(kind int, took time.Duration, bytes int64)
	pace    pace
	workers [2]worker
	started bool
	counts  []counters

	mu      sync.Mutex // guards the rest, and the tasks' times; held for memory only
	tasks   []*Task
	closing bool
}

// worker is one of the goroutines.
type worker struct {
	most         Priority // the last that it takes
	signal, done run.Signal
	slice        Slice
}

// New makes a scheduler for jobs of kinds 0 to kinds-1, which no goroutine runs before Start. stepped, if not nil, is told how long each step took, and the
// bytes that it read and wrote; no lock is held then.
func New(env run.Env, kinds int, stepped func(kind int, took time.Duration, bytes int64)) *Scheduler {
	w := &Scheduler{env: env, stepped: stepped, counts: make([]counters, kinds)}
	for i, most := range []Priority{Steady, Bulk} {
		w.workers[i] = worker{most: most, signal: env.NewSignal(), done: env.NewSignal()}
	}
	return w
}

// Add makes a job known; its first step is when it is woken.
func (w *Scheduler) Add(kind int, p Priority, j Job) *Task {
	t := &Task{job: j, kind: kind, priority: p, due: Never, woken: Never}
	w.mu.Lock()
	w.tasks = append(w.tasks, t)
	w.mu.Unlock()
	return t
}

// Start begins the goroutines, called name.
func (w *Scheduler) Start(name string) {
	w.started = true
	for i := range w.workers {
		worker := &w.workers[i]
		w.env.Go(name, func() {
			defer worker.done.Set()
			for w.turn(worker) {
			}
		})
	}
}

// Stop ends them, after the steps that run.
func (w *Scheduler) Stop() {
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

// Wake makes a job due at a time, 0 for at once. The earliest of several times counts.
func (w *Scheduler) Wake(t *Task, due time.Duration) {
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

// WakeIn is Wake after a while.
func (w *Scheduler) WakeIn(t *Task, after time.Duration) {
	w.Wake(t, w.env.Monotonic()+after)
}

// NoteForeground tells that clients wait for the disk at a time, by Env.Monotonic: the budget is small for a while.
func (w *Scheduler) NoteForeground(now time.Duration) { w.pace.noteForeground(now) }

// Stats tells what the jobs of each kind did.
func (w *Scheduler) Stats(kind int) Stats {
	c := &w.counts[kind]
	return Stats{
		Steps: c.steps.Load(), Busy: time.Duration(c.busy.Load()), Waited: time.Duration(c.waited.Load()), Bytes: c.bytes.Load(), Active: int(c.active.Load()),
	}
}

// signal tells the goroutines that may take a job of this priority.
func (w *Scheduler) signal(p Priority) {
	for i := range w.workers {
		if p <= w.workers[i].most {
			w.workers[i].signal.Set()
		}
	}
}

// turn runs one step of the most urgent job that is due, or waits for one; false ends the goroutine.
func (w *Scheduler) turn(worker *worker) bool {
	now := w.env.Monotonic()
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
		t.running, t.due = true, Never
	}
	w.mu.Unlock()
	switch {
	case t != nil:
		w.run(worker, t, now, waited)
	case wait == Never:
		worker.signal.Wait()
	default:
		worker.signal.WaitFor(wait)
	}
	return true
}

// pick finds the job to run now, or how long there is none. Jobs that keep to the budget are due when it allows them. The caller holds mu.
func (w *Scheduler) pick(worker *worker, now, resumes time.Duration) (*Task, time.Duration) {
	var best *Task
	var bestDue time.Duration
	next := Never
	for _, t := range w.tasks {
		if t.running || t.due == Never || t.priority > worker.most {
			continue
		}
		due := t.due
		if t.priority != Urgent {
			due = max(due, resumes)
		}
		if due > now {
			next = min(next, due)
		} else if best == nil || t.priority < best.priority || t.priority == best.priority && t.due < bestDue {
			best, bestDue = t, t.due
		}
	}
	if next != Never {
		next -= now
	}
	return best, next
}

// run does one step of a job.
func (w *Scheduler) run(worker *worker, t *Task, now, waited time.Duration) {
	c := &w.counts[t.kind]
	c.active.Add(1)
	s := &worker.slice
	*s = Slice{env: w.env}
	s.begin(now, w.pace.busy(now))
	next := t.job.Step(s)
	ended := w.env.Monotonic()
	took := ended - now
	c.active.Add(-1)
	c.steps.Add(1)
	c.busy.Add(int64(took))
	c.waited.Add(int64(waited))
	c.bytes.Add(s.bytes)
	w.mu.Lock()
	w.pace.charge(ended, took, s.bytes)
	t.running = false
	t.due, t.woken = min(next, t.woken), Never
	again := t.due != Never
	w.mu.Unlock()
	if again {
		w.signal(t.priority) // the other goroutine may sleep past it
	}
	if w.stepped != nil {
		w.stepped(t.kind, took, s.bytes)
	}
}
