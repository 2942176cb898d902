package background

import (
	"sync/atomic"
	"time"

	"github.com/ottla-io/ottla/internal/run"
)

// The budget while clients wait for the disk: steps of a millisecond, a quarter of one core, and a rate that leaves a disk room. While nobody does,
// background work takes what there is.
const (
	busyWindow   = 100 * time.Millisecond // since the last time that somebody waited
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
	foreground atomic.Int64 // Env.Monotonic when somebody last waited, plus one; 0: never
	until      atomic.Int64 // Env.Monotonic when the debt is paid
}

// noteForeground is called when clients begin to wait.
func (p *pace) noteForeground(now time.Duration) { p.foreground.Store(int64(now) + 1) }

// busy tells that clients are being served.
func (p *pace) busy(now time.Duration) bool {
	last := p.foreground.Load()
	return last != 0 && now-time.Duration(last-1) < busyWindow
}

// resumes is when the next step may run.
func (p *pace) resumes() time.Duration { return time.Duration(p.until.Load()) }

// charge makes the next steps wait for what one cost. The caller holds Scheduler.mu.
func (p *pace) charge(now, took time.Duration, bytes int64) {
	if !p.busy(now) {
		return
	}
	pause := max(took*(busyCPU-1), time.Duration(bytes)*time.Second/busyPerSec)
	p.until.Store(int64(min(max(p.resumes(), now)+pause, now+longestPause)))
}

// Slice is the share of the budget that one step may use.
type Slice struct {
	env   run.Env
	ends  time.Duration
	bytes int64
	limit int64
}

// IdleSlice is a slice as a step has it while no client waits, for work that is done outside of a Scheduler.
func IdleSlice(env run.Env) *Slice {
	s := &Slice{env: env}
	s.begin(env.Monotonic(), false)
	return s
}

func (s *Slice) begin(now time.Duration, busy bool) {
	s.ends, s.limit = now+idleStep, idleBytes
	if busy {
		s.ends, s.limit = now+busyStep, busyBytes
	}
}

// Spend counts bytes read or written.
func (s *Slice) Spend(bytes int64) { s.bytes += bytes }

// Spent is the bytes that were counted.
func (s *Slice) Spent() int64 { return s.bytes }

// Limit lowers the bytes after which the step should end.
func (s *Slice) Limit(bytes int64) { s.limit = min(s.limit, bytes) }

// Over tells that the step should end. It reads the clock: ask once for each log, file or chunk, not for each record.
func (s *Slice) Over() bool { return s.bytes >= s.limit || s.env.Monotonic() >= s.ends }

// Pass is a walk over a list in bounded pieces. What comes into being meanwhile is left to the next pass.
type Pass[T any] struct{ left []T }

// Idle tells that no pass is under way.
func (p *Pass[T]) Idle() bool { return p.left == nil }

// Begin starts a pass over items, in their order. None may be under way.
func (p *Pass[T]) Begin(items []T) { p.left = items }

// Each calls fn for the next items until the slice is over; true if the pass is complete.
func (p *Pass[T]) Each(s *Slice, fn func(T)) bool {
	for i, item := range p.left {
		fn(item)
		if i+1 < len(p.left) && s.Over() {
			p.left = p.left[i+1:]
			return false
		}
	}
	p.left = nil
	return true
}
