package run

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// inEnv runs a test in the real Env, with coarse timers too, and in simulations of several seeds.
func inEnv(t *testing.T, body func(t *testing.T, env Env)) {
	t.Run("os", func(t *testing.T) { body(t, OS()) })
	t.Run("coarse", func(t *testing.T) { body(t, Coarse(OS())) })
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("sim seed ", seed), func(t *testing.T) {
			s := NewSim(seed)
			s.Run(func() { body(t, s) })
		})
	}
}

func TestSignalRemembersOneSet(t *testing.T) {
	inEnv(t, func(t *testing.T, env Env) {
		signal := env.NewSignal()
		signal.Set()
		signal.Set()
		signal.Wait()
		if signal.WaitFor(time.Millisecond) {
			t.Error("the second Set was remembered too")
		}
		if signal.WaitFor(0) || signal.WaitFor(-time.Second) {
			t.Error("WaitFor without a limit found a Set")
		}
		signal.Set()
		if !signal.WaitFor(0) {
			t.Error("WaitFor(0) missed a Set")
		}
	})
}

// TestNoLostWakeUp passes a ball between two goroutines; a lost Set would stop it.
func TestNoLostWakeUp(t *testing.T) {
	inEnv(t, func(t *testing.T, env Env) {
		const rounds = 2000
		ping, pong := env.NewSignal(), env.NewSignal()
		group := NewGroup(env)
		hits := 0
		group.Go("pong", func() {
			for range rounds {
				ping.Wait()
				hits++
				pong.Set()
			}
		})
		for i := range rounds {
			ping.Set()
			if i%2 == 0 {
				pong.Wait()
			} else if !pong.WaitFor(time.Minute) {
				t.Fatal("a wake-up was lost")
			}
		}
		group.Close()
		if hits != rounds {
			t.Errorf("%d of %d rounds", hits, rounds)
		}
	})
}

func TestTimers(t *testing.T) {
	inEnv(t, func(t *testing.T, env Env) {
		fired := env.NewSignal()
		var count atomic.Int32
		begin := env.Monotonic()
		timer := env.AfterFunc(5*time.Millisecond, "tick", func() { count.Add(1); fired.Set() })
		fired.Wait()
		if waited := env.Monotonic() - begin; waited < 5*time.Millisecond {
			t.Errorf("fired after %v", waited)
		}
		if timer.Stop() {
			t.Error("Stop says that it prevented a call that ran")
		}
		timer.Reset(time.Millisecond)
		fired.Wait()
		timer.Reset(time.Hour)
		if !timer.Stop() || timer.Stop() {
			t.Error("Stop of a pending timer must be true once")
		}
		env.AfterFunc(-time.Second, "past", fired.Set)
		fired.Wait()
		if count.Load() != 2 {
			t.Errorf("ran %d times, want 2", count.Load())
		}
	})
}

func TestGroup(t *testing.T) {
	inEnv(t, func(t *testing.T, env Env) {
		group := NewGroup(env)
		stop := [2]Signal{env.NewSignal(), env.NewSignal()}
		for i, name := range []string{"b", "a"} {
			if !group.Go(name, stop[i].Wait) {
				t.Fatal("an open group refused")
			}
		}
		if got := group.Names(); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("names %q", got)
		}
		closed := env.NewSignal()
		env.Go("closer", func() {
			group.Close()
			if names := group.Names(); len(names) > 0 {
				t.Errorf("closed with %q running", names)
			}
			closed.Set()
		})
		stop[0].Set()
		if closed.WaitFor(2 * time.Millisecond) {
			t.Error("Close did not wait for a")
		}
		if !group.Closing() || group.Go("late", func() {}) {
			t.Error("a closing group took a goroutine")
		}
		stop[1].Set()
		group.Close()
		closed.Wait()
	})
}

func TestGroupConcurrently(t *testing.T) {
	group := NewGroup(OS())
	var ran, started atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			for range 200 {
				if group.Go("worker", func() { ran.Add(1) }) {
					started.Add(1)
				}
			}
			group.Close()
		}()
	}
	all.Wait()
	if ran.Load() != started.Load() || len(group.Names()) > 0 {
		t.Errorf("ran %d of %d, left %q", ran.Load(), started.Load(), group.Names())
	}
}

// program starts workers that race for a shared list and returns the order in which they got to it.
func program(s *Sim) (order string) {
	s.Run(func() {
		done := s.NewSignal()
		left := 5
		for i := range 5 {
			s.Go(fmt.Sprint("worker ", i), func() {
				pause := s.NewSignal()
				for range 3 {
					var b [1]byte
					s.Random(b[:])
					pause.WaitFor(time.Duration(b[0]%4) * time.Millisecond)
					order += fmt.Sprint(i)
				}
				if left--; left == 0 {
					done.Set()
				}
			})
		}
		done.Wait()
	})
	return order
}

func TestSimRepeatsItself(t *testing.T) {
	orders := make(map[string]bool)
	traces := make(map[uint64]bool)
	for seed := range uint64(50) {
		a, b := NewSim(seed), NewSim(seed)
		order := program(a)
		if again := program(b); again != order || a.Trace() != b.Trace() {
			t.Fatalf("seed %d: order %s, then %s; trace %x, then %x", seed, order, again, a.Trace(), b.Trace())
		}
		orders[order], traces[a.Trace()] = true, true
	}
	if len(orders) < 45 || len(traces) < 50 {
		t.Errorf("50 seeds gave only %d orders, %d traces", len(orders), len(traces))
	}
}

// TestSimFindsLostUpdate: a read and a write with a wait in between must meet another goroutine's in some seeds and not in others.
func TestSimFindsLostUpdate(t *testing.T) {
	seen := make(map[int]bool)
	for seed := range uint64(50) {
		s := NewSim(seed)
		counter := 0
		s.Run(func() {
			group := NewGroup(s)
			for range 2 {
				group.Go("increment", func() {
					read := counter
					s.Yield()
					counter = read + 1
				})
			}
			group.Close()
		})
		seen[counter] = true
	}
	if !seen[1] || !seen[2] {
		t.Errorf("50 seeds explored only %v", seen)
	}
}

func TestSimTimeJumps(t *testing.T) {
	s := NewSim(1)
	began := time.Now()
	s.Run(func() {
		signal := s.NewSignal()
		if signal.WaitFor(1000 * time.Hour) {
			t.Error("woken without a Set")
		}
		if s.Monotonic() != 1000*time.Hour {
			t.Errorf("it is %v", s.Monotonic())
		}
		wall := s.Now()
		s.SkewClock(-time.Hour)
		if got := wall.Sub(s.Now()); got != time.Hour || s.Monotonic() != 1000*time.Hour {
			t.Errorf("the wall clock went back by %v, monotonic %v", got, s.Monotonic())
		}
	})
	if real := time.Since(began); real > time.Minute {
		t.Errorf("took %v", real)
	}
}

// TestSimTimerOfNow: what is due does not wait until everybody is idle, or busy goroutines could keep it off for ever.
func TestSimTimerOfNow(t *testing.T) {
	s := NewSim(3)
	s.Run(func() {
		fired := false
		s.AfterFunc(0, "now", func() { fired = true })
		for i := 0; !fired; i++ {
			if i > 1000 {
				t.Fatal("a timer that is due did not run")
			}
			s.Yield()
		}
	})
}

func panicOf(fn func()) (message string) {
	defer func() { message = fmt.Sprint(recover()) }()
	fn()
	return ""
}

func TestSimReportsDeadlock(t *testing.T) {
	s := NewSim(42)
	unwound := 0
	message := panicOf(func() {
		s.Run(func() {
			defer func() { unwound++ }()
			s.Go("waiter", func() {
				defer func() { unwound++ }()
				s.NewSignal().Wait()
			})
			s.NewSignal().Wait()
		})
	})
	for _, want := range []string{"deadlock", "seed 42", "sim/main#1", "sim/waiter#2"} {
		if !strings.Contains(message, want) {
			t.Errorf("the report %q lacks %q", message, want)
		}
	}
	if unwound != 2 {
		t.Errorf("%d of 2 goroutines were unwound", unwound)
	}
}

func TestSimReportsPanic(t *testing.T) {
	s := NewSim(7)
	message := panicOf(func() {
		s.Run(func() {
			s.Go("bad", func() { panic("boom") })
			s.NewSignal().Wait()
		})
	})
	for _, want := range []string{"seed 7", `"bad"`, "boom", "TestSimReportsPanic"} {
		if !strings.Contains(message, want) {
			t.Errorf("the report %q lacks %q", message, want)
		}
	}
}

func TestSimLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for seed := range uint64(20) {
		s := NewSim(seed)
		s.Run(func() {
			for range 10 {
				s.Go("stuck", func() {
					defer func() {
						s.Go("from a deferred call", func() {})
						s.NewSignal().WaitFor(time.Second)
					}()
					s.NewSignal().Wait()
				})
				s.AfterFunc(time.Hour, "never", func() { t.Error("a timer ran after the end") })
			}
			s.Yield()
		})
	}
	// The last goroutine hands over its turn before it is gone.
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
}

func TestSimKillsProcess(t *testing.T) {
	for seed := range uint64(20) {
		s := NewSim(seed)
		s.Run(func() {
			victim := s.NewProcess("victim")
			survivor := s.NewProcess("survivor")
			steps, unwound, lives := 0, false, 0
			victim.Go("loop", func() {
				defer func() { unwound = true }()
				pause := victim.NewSignal()
				for {
					pause.WaitFor(time.Second)
					steps++
				}
			})
			victim.AfterFunc(time.Hour, "timer", func() { t.Error("a timer of a dead process ran") })
			survivor.Go("loop", func() {
				for pause := survivor.NewSignal(); ; lives++ {
					pause.WaitFor(time.Second)
				}
			})
			s.NewSignal().WaitFor(10*time.Second + time.Millisecond)
			victim.Kill()
			victim.Go("late", func() { t.Error("a dead process started a goroutine") })
			s.NewSignal().WaitFor(2 * time.Hour)
			if steps != 10 || !unwound || lives < 7000 || !victim.Dead() {
				t.Errorf("seed %d: victim made %d steps, unwound %v; survivor %d", seed, steps, unwound, lives)
			}
		})
	}
}

// TestPanicNamesGoroutine runs itself as a process that must crash.
func TestPanicNamesGoroutine(t *testing.T) {
	if os.Getenv("OTTLA_TEST_PANIC") != "" {
		env := OS()
		env.Go("flusher of /data", func() { panic("boom") })
		env.NewSignal().Wait()
	}
	child := exec.Command(os.Args[0], "-test.run=^TestPanicNamesGoroutine$")
	child.Env = append(os.Environ(), "OTTLA_TEST_PANIC=1")
	output, err := child.CombinedOutput()
	if err == nil || !strings.Contains(string(output), `goroutine "flusher of /data": boom`) {
		t.Errorf("error %v, output %s", err, output)
	}
}

func TestRandomDiffers(t *testing.T) {
	inEnv(t, func(t *testing.T, env Env) {
		var a, b [16]byte
		env.Random(a[:])
		env.Random(b[:])
		if a == b || a == [16]byte{} {
			t.Errorf("%x, then %x", a, b)
		}
	})
}

func TestWaitDoesNotAllocate(t *testing.T) {
	signal := OS().NewSignal()
	if n := testing.AllocsPerRun(1000, func() {
		signal.WaitFor(time.Nanosecond)
		signal.Set()
		signal.WaitFor(time.Second)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSimSwitch(b *testing.B) {
	s := NewSim(1)
	s.Run(func() {
		s.Go("other", func() {
			for {
				s.Yield()
			}
		})
		for b.Loop() {
			s.Yield()
		}
	})
}

// TestParallel: each index once, on no more goroutines than were asked for, and all before it returns.
func TestParallel(t *testing.T) {
	for _, n := range []int{0, 1, 3, 100} {
		for _, workers := range []int{0, 1, 4} {
			sim := NewSim(uint64(n))
			sim.Run(func() {
				calls := make([]int, n)
				now, most := 0, 0 // simulated goroutines take turns
				Parallel(sim, "test", workers, n, func(i int) {
					calls[i]++
					now++
					most = max(most, now)
					sim.NewSignal().WaitFor(time.Millisecond)
					now--
				})
				for i, c := range calls {
					if c != 1 {
						t.Errorf("%d of %d with %d workers: called %d times", i, n, workers, c)
					}
				}
				if want := min(n, max(workers, 1)); most != want || now != 0 {
					t.Errorf("%d with %d workers: %d at a time, want %d; %d run on", n, workers, most, want, now)
				}
			})
		}
	}
}
