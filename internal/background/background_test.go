package storage

import (
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/vfs"
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

func (j *stepper) step(s *slice) time.Duration {
	if j.within++; j.within > 1 {
		j.t.Error("two steps of one job at a time")
	}
	if j.hold != nil {
		j.hold.Wait()
	}
	if j.took > 0 {
		j.env.NewSignal().WaitFor(j.took)
	}
	s.spend(j.bytes)
	j.steps++
	j.within--
	j.ran.Set()
	return j.next
}

func sleep(env run.Env, d time.Duration) { env.NewSignal().WaitFor(d) }

// withStore runs body on a store in simulated time.
func withStore(t *testing.T, body func(s *Store, job func(kind BackgroundKind, p priority) (*stepper, *task))) {
	sim := run.NewSim(1)
	sim.Run(func() {
		s, err := Open(Config{FS: vfs.NewMem(1), Env: sim, Dirs: []string{"data"}, NodeID: 1, RetentionCheckMs: 1 << 40})
		if err != nil {
			t.Error(err)
			return
		}
		body(s, func(kind BackgroundKind, p priority) (*stepper, *task) {
			j := &stepper{env: sim, next: never, t: t, ran: sim.NewSignal()}
			return j, s.work.add(kind, p, j)
		})
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestBackgroundKeepsToTheBudget: while clients wait for rounds, a job that always has more gets a quarter of a core, or its rate; else all there is.
func TestBackgroundKeepsToTheBudget(t *testing.T) {
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
			withStore(t, func(s *Store, job func(BackgroundKind, priority) (*stepper, *task)) {
				j, task := job(BackgroundExpiry, bulk)
				j.took, j.bytes, j.next = test.took, test.bytes, 0
				s.work.wake(task, 0)
				for range 1000 {
					if test.busy {
						s.work.pace.noteForeground(s.env().Monotonic())
					}
					sleep(s.env(), second/1000)
				}
				if j.steps < test.min || j.steps > test.max {
					t.Errorf("%d steps in a second, want %d to %d", j.steps, test.min, test.max)
				}
				stats := s.Background()[BackgroundExpiry]
				if stats.Steps < int64(j.steps) || stats.Bytes < int64(j.steps)*test.bytes || stats.Busy < time.Duration(j.steps)*test.took {
					t.Errorf("%d steps of %v and %d bytes, and the statistics say %+v", j.steps, test.took, test.bytes, stats)
				}
				j.next = never
			})
		})
	}
}

// TestUrgentWorkWaitsForNoBudget although a debt is being paid.
func TestUrgentWorkWaitsForNoBudget(t *testing.T) {
	withStore(t, func(s *Store, job func(BackgroundKind, priority) (*stepper, *task)) {
		heavy, heavyTask := job(BackgroundExpiry, bulk)
		heavy.took = 30 * time.Millisecond
		quick, quickTask := job(BackgroundFlush, urgent)
		slow, slowTask := job(BackgroundRetention, steady)
		s.work.pace.noteForeground(s.env().Monotonic())
		s.work.wake(heavyTask, 0)
		heavy.ran.Wait()
		sleep(s.env(), time.Millisecond)
		s.work.wake(quickTask, 0)
		s.work.wake(slowTask, 0)
		sleep(s.env(), time.Millisecond)
		if quick.steps != 1 || slow.steps != 0 {
			t.Errorf("in the debt of a heavy step: %d urgent steps and %d steady ones, want 1 and 0", quick.steps, slow.steps)
		}
		sleep(s.env(), longestPause)
		if slow.steps != 1 {
			t.Errorf("after the debt was paid: %d steady steps, want 1", slow.steps)
		}
	})
}

// TestBulkWorkLeavesAGoroutine to what must not wait for it.
func TestBulkWorkLeavesAGoroutine(t *testing.T) {
	withStore(t, func(s *Store, job func(BackgroundKind, priority) (*stepper, *task)) {
		stuck, stuckTask := job(BackgroundExpiry, bulk)
		stuck.hold = s.env().NewSignal()
		more, moreTask := job(BackgroundExpiry, bulk)
		checkpoint, checkpointTask := job(BackgroundCheckpoint, steady)
		for _, task := range []*task{stuckTask, moreTask, checkpointTask} {
			s.work.wake(task, 0)
		}
		sleep(s.env(), time.Second)
		if checkpoint.steps != 1 || more.steps != 0 || stuck.within != 1 {
			t.Errorf("beside a bulk step that hangs: %d steady and %d bulk steps, want 1 and 0", checkpoint.steps, more.steps)
		}
		if active := s.Background()[BackgroundExpiry].Active; active != 1 {
			t.Errorf("%d active steps, want 1", active)
		}
		stuck.hold.Set()
		sleep(s.env(), time.Second)
		if more.steps != 1 || stuck.steps != 1 {
			t.Errorf("once it went on: %d and %d steps, want 1 and 1", stuck.steps, more.steps)
		}
	})
}

// TestWakeDuringAStepIsNotLost, nor is the earlier of two times.
func TestWakeDuringAStepIsNotLost(t *testing.T) {
	withStore(t, func(s *Store, job func(BackgroundKind, priority) (*stepper, *task)) {
		j, task := job(BackgroundCheckpoint, steady)
		j.hold = s.env().NewSignal()
		s.work.wakeIn(task, time.Hour)
		s.work.wake(task, 0)
		sleep(s.env(), time.Millisecond) // it is inside of a step
		s.work.wakeIn(task, 3*time.Second)
		s.work.wakeIn(task, 2*time.Second)
		j.hold.Set()
		sleep(s.env(), time.Millisecond)
		if j.steps != 1 {
			t.Fatalf("%d steps, want 1", j.steps)
		}
		j.hold.Set()
		sleep(s.env(), 2*time.Second)
		if j.steps != 2 {
			t.Errorf("%d steps after the time that was asked for during the first, want 2", j.steps)
		}
		j.hold.Set()
		sleep(s.env(), 2*time.Hour)
		if j.steps != 2 {
			t.Errorf("%d steps, but the hour was overtaken by an earlier time", j.steps)
		}
	})
}
