package run

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"
)

// TestCoarseTimersAreNeverEarly: in simulations, timers that are set, moved and stopped at random go off once each time that they are set, and
// neither early nor later than their wait allows.
func TestCoarseTimersAreNeverEarly(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		s := NewSim(seed)
		s.Run(func() {
			env := Coarse(s)
			type one struct {
				timer    Timer
				set      time.Duration // when
				wait     time.Duration
				expected bool
			}
			all := make([]one, 40)
			fire := func(n int) {
				o := &all[n]
				late := s.Monotonic() - o.set - o.wait
				if !o.expected || late < 0 || late > max(o.wait/coarseness, coarseLeast) {
					t.Errorf("seed %d: timer of %v went off %v late, expected %v", seed, o.wait, late, o.expected)
				}
				o.expected = false
			}
			pause := s.NewSignal()
			for range 2000 {
				n := random.IntN(len(all))
				o := &all[n]
				wait := time.Duration(random.Int64N(1 << random.Int64N(36)))
				switch {
				case o.timer == nil:
					o.set, o.wait, o.expected = s.Monotonic(), wait, true
					o.timer = env.AfterFunc(wait, "test", func() { fire(n) })
				case random.IntN(3) == 0:
					if o.timer.Stop() != o.expected {
						t.Errorf("seed %d: Stop says %v", seed, !o.expected)
					}
					o.expected = false
				default:
					o.set, o.wait, o.expected = s.Monotonic(), wait, true
					o.timer.Reset(wait)
				}
				pause.WaitFor(time.Duration(random.Int64N(int64(20 * time.Millisecond))))
			}
			pause.WaitFor(time.Minute * 3)
			for n := range all {
				if all[n].expected {
					t.Errorf("seed %d: timer %d never went off", seed, n)
				}
			}
			if c := env.(*coarseEnv); len(c.order) != 0 || len(c.byDue) != 0 {
				t.Errorf("seed %d: %d moments are left", seed, len(c.order))
			}
		})
	}
}

// countingTimers counts how often an Env's timers go off.
type countingTimers struct {
	Env
	fired atomic.Int32
}

func (e *countingTimers) AfterFunc(d time.Duration, name string, fn func()) Timer {
	return e.Env.AfterFunc(d, name, func() { e.fired.Add(1); fn() })
}

// TestCoarseTimersGoOffTogether: a thousand waits of half a second that begin within half a second wake the process less than a hundred times.
func TestCoarseTimersGoOffTogether(t *testing.T) {
	s := NewSim(1)
	s.Run(func() {
		counting := &countingTimers{Env: s}
		env := Coarse(counting)
		ended, pause := 0, s.NewSignal()
		for range 1000 {
			env.AfterFunc(500*time.Millisecond, "test", func() { ended++ })
			pause.WaitFor(500 * time.Microsecond)
		}
		pause.WaitFor(time.Second)
		if n := counting.fired.Load(); ended != 1000 || n > 100 {
			t.Errorf("%d ended, the process was woken %d times", ended, n)
		}
	})
}

// TestCoarseMomentsAreFew: timers that are stopped before their time leave no more behind than the moments that lie ahead.
func TestCoarseMomentsAreFew(t *testing.T) {
	s := NewSim(1)
	s.Run(func() {
		env := Coarse(s)
		timer, pause := env.AfterFunc(time.Hour, "test", func() {}), s.NewSignal()
		for range 100_000 {
			timer.Reset(30 * 24 * time.Hour)
			timer.Stop()
			pause.WaitFor(time.Minute)
		}
		if n := len(env.(*coarseEnv).order); n > 2*coarseness+1 {
			t.Errorf("%d moments", n)
		}
	})
}

func TestCoarseTimersDoNotAllocate(t *testing.T) {
	env := Coarse(OS())
	timer := env.AfterFunc(time.Hour, "test", func() {})
	if n := testing.AllocsPerRun(10_000, func() {
		timer.Reset(30 * time.Second)
		timer.Stop()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTimers(b *testing.B) {
	for name, env := range map[string]Env{"os": OS(), "coarse": Coarse(OS())} {
		for _, others := range []int{0, 10_000} {
			b.Run(fmt.Sprint(name, " beside ", others), func(b *testing.B) {
				for range others {
					timer := env.AfterFunc(time.Hour, "other", func() {})
					defer timer.Stop()
				}
				timer := env.AfterFunc(time.Hour, "test", func() {})
				for b.Loop() {
					timer.Reset(30 * time.Second)
					timer.Stop()
				}
			})
		}
	}
}
