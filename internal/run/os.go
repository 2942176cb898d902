package run

import (
	"context"
	cryptorand "crypto/rand"
	"fmt"
	"runtime/pprof"
	"sync"
	"time"
)

// processStart is where Monotonic counts from, the same for every real Env of the process.
var processStart = time.Now()

// osEnv is the process that we really run in.
type osEnv struct {
	// timers keeps stopped timers for Signal.WaitFor, which would otherwise allocate on each wait.
	timers sync.Pool
	// labels are the profiler's labels for each name of a goroutine: there are few names, and goroutines that live for one sync or one timer.
	labels sync.Map // of context.Context
}

// OS returns the real Env. A goroutine started through it that panics crashes the process, and the panic says the
// goroutine's name: a panic is a bug of ours, never something to carry on after.
func OS() Env {
	env := &osEnv{}
	env.timers.New = func() any {
		timer := time.NewTimer(time.Hour)
		timer.Stop()
		return timer
	}
	return env
}

func (e *osEnv) Now() time.Time           { return time.Now() }
func (e *osEnv) Monotonic() time.Duration { return time.Since(processStart) }

func (e *osEnv) Random(p []byte) {
	// Since Go 1.24 this never fails: the runtime crashes the process where the kernel has no randomness.
	_, _ = cryptorand.Read(p)
}

func (e *osEnv) Go(name string, fn func()) {
	go runNamed(e.labelled(name), name, fn)
}

func (e *osEnv) labelled(name string) context.Context {
	if labels, ok := e.labels.Load(name); ok {
		return labels.(context.Context)
	}
	labels := pprof.WithLabels(context.Background(), pprof.Labels("goroutine", name))
	e.labels.Store(name, labels)
	return labels
}

// runNamed labels the goroutine for profiles and gives a panic its name.
func runNamed(labels context.Context, name string, fn func()) {
	pprof.SetGoroutineLabels(labels)
	defer func() {
		if cause := recover(); cause != nil {
			panic(fmt.Sprintf("goroutine %q: %v", name, cause))
		}
	}()
	fn()
}

func (e *osEnv) AfterFunc(d time.Duration, name string, fn func()) Timer {
	labels := e.labelled(name)
	return osTimer{time.AfterFunc(d, func() { runNamed(labels, name, fn) })}
}

type osTimer struct{ timer *time.Timer }

func (t osTimer) Stop() bool            { return t.timer.Stop() }
func (t osTimer) Reset(d time.Duration) { t.timer.Reset(d) }

func (e *osEnv) NewSignal() Signal {
	return &osSignal{env: e, set: make(chan struct{}, 1)}
}

// osSignal is a channel that holds the one Set that nobody has consumed yet.
type osSignal struct {
	env *osEnv
	set chan struct{}
}

func (s *osSignal) Set() {
	select {
	case s.set <- struct{}{}:
	default:
	}
}

func (s *osSignal) Wait() { <-s.set }

func (s *osSignal) WaitFor(d time.Duration) bool {
	select {
	case <-s.set:
		return true
	default:
	}
	if d <= 0 {
		return false
	}
	timer := s.env.timers.Get().(*time.Timer)
	timer.Reset(d)
	defer func() {
		// Since Go 1.23 no stale value is received from a timer after Stop.
		timer.Stop()
		s.env.timers.Put(timer)
	}()
	select {
	case <-s.set:
		return true
	case <-timer.C:
		return false
	}
}
