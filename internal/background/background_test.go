package background

import (
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/run"
)

// stepper is a job whose steps take a while and count bytes, and which counts them.
type stepper struct {
	env    run.Env
	took   time.Duration
	bytes  int64
	next   time.Duration
	hold   run.Signal // a step waits for it; nil: none
	steps  int
	within int // steps that run now
	t      *testing.T
	ran    run.Signal
}

func (j *stepper) Step(s *Slice) time.Duration {
	if j.within++; j.within > 1 {
		j.t.Error("two steps of one job at a time")
	}
	if j.hold != nil {
		j.hold.Wait()
	}
	if j.took > 0 {
		j.env.NewSignal().WaitFor(j.took)
	}
	s.Spend(j.bytes)
	j.steps++
	j.within--
	j.ran.Set()
	return j.next
}

func sleep(env run.Env, d time.Duration) { env.NewSignal().WaitFor(d) }

// Kinds of the jobs here.
const (
	quickKind = iota
	steadyKind
	bulkKind
	kinds
)

// withScheduler runs body on a scheduler in simulated time.
func withScheduler(t *testing.T, body func(w *Scheduler, job func(kind int, p Priority) (*stepper, *Task))) {
	sim := run.NewSim(1)
	sim.Run(func() {
		w := New(sim, kinds, nil)
		w.Start("work")
		body(w, func(kind int, p Priority) (*stepper, *Task) {
			j := &stepper{env: sim, next: Never, t: t, ran: sim.NewSignal()}
			return j, w.Add(kind, p, j)
		})
		w.Stop()
	})
}

// TestKeepsToTheBudget: while clients wait for rounds, a job that always has more gets a quarter of a core, or its rate; else all there is.
func TestKeepsToTheBudget(t *testing.T) {
	const second = time.Second
	for _, test := range []struct {
		name     string
		took     time.Duration
		bytes    int64
		busy     bool
		min, max int
	}{
		{"idle", time.Millisecond, 1 << 20, false, 990, 1001},
		{"busy, by time", time.Millisecond, 0, true, 230, 270},
		{"busy, by bytes", time.Microsecond, 256 << 10, true, 110, 140},
		{"busy, one long step", 50 * time.Millisecond, 0, true, 6, 8},
	} {
		t.Run(test.name, func(t *testing.T) {
			withScheduler(t, func(w *Scheduler, job func(int, Priority) (*stepper, *Task)) {
				j, task := job(bulkKind, Bulk)
				j.took, j.bytes, j.next = test.took, test.bytes, 0
				w.Wake(task, 0)
				for range 1000 {
					if test.busy {
						w.NoteForeground(w.env.Monotonic())
					}
					sleep(w.env, second/1000)
				}
				if j.steps < test.min || j.steps > test.max {
					t.Errorf("%d steps in a second, want %d to %d", j.steps, test.min, test.max)
				}
				stats := w.Stats(bulkKind)
				if stats.Steps < int64(j.steps) || stats.Bytes < int64(j.steps)*test.bytes || stats.Busy < time.Duration(j.steps)*test.took {
					t.Errorf("%d steps of %v and %d bytes, and the statistics say %+v", j.steps, test.took, test.bytes, stats)
				}
				j.next = Never
			})
		})
	}
}

// TestUrgentWorkWaitsForNoBudget although a debt is being paid.
func TestUrgentWorkWaitsForNoBudget(t *testing.T) {
	withScheduler(t, func(w *Scheduler, job func(int, Priority) (*stepper, *Task)) {
		heavy, heavyTask := job(bulkKind, Bulk)
		heavy.took = 30 * time.Millisecond
		quick, quickTask := job(quickKind, Urgent)
		slow, slowTask := job(steadyKind, Steady)
		w.NoteForeground(w.env.Monotonic())
		w.Wake(heavyTask, 0)
		heavy.ran.Wait()
		sleep(w.env, time.Millisecond)
		w.Wake(quickTask, 0)
		w.Wake(slowTask, 0)
		sleep(w.env, time.Millisecond)
		if quick.steps != 1 || slow.steps != 0 {
			t.Errorf("in the debt of a heavy step: %d urgent steps and %d steady ones, want 1 and 0", quick.steps, slow.steps)
		}
		sleep(w.env, longestPause)
		if slow.steps != 1 {
			t.Errorf("after the debt was paid: %d steady steps, want 1", slow.steps)
		}
	})
}

// TestBulkWorkLeavesAGoroutine to what must not wait for it.
func TestBulkWorkLeavesAGoroutine(t *testing.T) {
	withScheduler(t, func(w *Scheduler, job func(int, Priority) (*stepper, *Task)) {
		stuck, stuckTask := job(bulkKind, Bulk)
		stuck.hold = w.env.NewSignal()
		more, moreTask := job(bulkKind, Bulk)
		checkpoint, checkpointTask := job(steadyKind, Steady)
		for _, task := range []*Task{stuckTask, moreTask, checkpointTask} {
			w.Wake(task, 0)
		}
		sleep(w.env, time.Second)
		if checkpoint.steps != 1 || more.steps != 0 || stuck.within != 1 {
			t.Errorf("beside a bulk step that hangs: %d steady and %d bulk steps, want 1 and 0", checkpoint.steps, more.steps)
		}
		if active := w.Stats(bulkKind).Active; active != 1 {
			t.Errorf("%d active steps, want 1", active)
		}
		stuck.hold.Set()
		sleep(w.env, time.Second)
		if more.steps != 1 || stuck.steps != 1 {
			t.Errorf("once it went on: %d and %d steps, want 1 and 1", stuck.steps, more.steps)
		}
	})
}

// TestWakeDuringAStepIsNotLost, nor is the earlier of two times.
func TestWakeDuringAStepIsNotLost(t *testing.T) {
	withScheduler(t, func(w *Scheduler, job func(int, Priority) (*stepper, *Task)) {
		j, task := job(steadyKind, Steady)
		j.hold = w.env.NewSignal()
		w.WakeIn(task, time.Hour)
		w.Wake(task, 0)
		sleep(w.env, time.Millisecond) // it is inside of a step
		w.WakeIn(task, 3*time.Second)
		w.WakeIn(task, 2*time.Second)
		j.hold.Set()
		sleep(w.env, time.Millisecond)
		if j.steps != 1 {
			t.Fatalf("%d steps, want 1", j.steps)
		}
		j.hold.Set()
		sleep(w.env, 2*time.Second)
		if j.steps != 2 {
			t.Errorf("%d steps after the time that was asked for during the first, want 2", j.steps)
		}
		j.hold.Set()
		sleep(w.env, 2*time.Hour)
		if j.steps != 2 {
			t.Errorf("%d steps, but the hour was overtaken by an earlier time", j.steps)
		}
	})
}
