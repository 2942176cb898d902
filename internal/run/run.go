// Package run is the only door to goroutines, clocks, timers and randomness.
//
// Everything that starts work, waits, or asks the time gets an Env. OS() gives the real one; NewSim
// gives a simulated one, in which all goroutines of a program take turns on one token in an order that
// a seed decides, and time passes only when all of them wait.
//
// Code under run never uses a go statement, time.Now, time.Sleep, time.After or math/rand, and parks a
// goroutine only in Signal.Wait, so that the simulator knows who is asleep. Mutexes are allowed where the
// holder neither waits nor calls out.
//
// It must never know what the work is. Everybody may call it; nothing here survives a crash.
package run

import "time"

// Env is what a component may use of the process that it runs in.
type Env interface {
	// Now is the wall clock, for record timestamps and retention; it may jump either way.
	Now() time.Time
	// Monotonic is the time since the process started; it never goes back. Timeouts are measured with it.
	Monotonic() time.Duration
	// AfterFunc runs fn once, d from now, on a goroutine of its own. A negative or zero d runs it at once.
	AfterFunc(d time.Duration, name string, fn func()) Timer
	// Go runs fn on a goroutine labelled name. Prefer Group.Go, which also waits for it.
	Go(name string, fn func())
	// NewSignal makes an unset signal.
	NewSignal() Signal
	// Random fills p with random bytes: unpredictable in the real Env, from the seed in a simulation.
	Random(p []byte)
}

// Timer is one pending call of AfterFunc.
type Timer interface {
	// Stop prevents the call and reports whether it did; false means the call has started or was stopped before.
	Stop() bool
	// Reset makes the call due d from now, whether or not it ran before.
	Reset(d time.Duration)
}

// Signal wakes one waiting goroutine. It remembers at most one Set: setting it twice before a Wait wakes once.
type Signal interface {
	// Set never blocks and may be called from any goroutine.
	Set()
	// Wait returns after a Set that no other Wait has consumed.
	Wait()
	// WaitFor is Wait with a limit; it reports whether the signal was set.
	WaitFor(d time.Duration) bool
}
