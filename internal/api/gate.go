package api

import (
	"sync"
	"time"

	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

// gate counts what a request still waits for and wakes it when that is nothing, or when its time is over. Its owner embeds
// it and may reuse it after close said that nobody holds it any more.
type gate struct {
	mu      sync.Mutex
	pending int      // done calls to come
	parked  *Request // set while the request may be woken
	expired bool     // the timer ran
	timer   run.Timer
	armed   bool // the timer was set for this request
}

// expect announces n calls of done. Before park only.
func (g *gate) expect(n int) {
	g.mu.Lock()
	g.pending += n
	g.mu.Unlock()
}

// arrive notes under the gate's lock, with note, that one awaited thing came, and wakes the request if it was the last.
// From any goroutine.
func (g *gate) arrive(note func()) {
	g.mu.Lock()
	note()
	r := g.arrivedLocked()
	g.mu.Unlock()
	if r != nil {
		r.Wake()
	}
}

// arrivedLocked returns the request that is to be woken, by the caller after it has unlocked; nil if there is none.
func (g *gate) arrivedLocked() (wake *Request) {
	g.pending--
	if g.pending == 0 {
		wake, g.parked = g.parked, nil
	}
	return wake
}

// park parks r unless all that was expected has arrived: then it returns false, and the handler replies at once. After the
// limit the request is woken anyway; a negative limit means none.
func (g *gate) park(env run.Env, r *Request, limit time.Duration, name string) bool {
	g.mu.Lock()
	waiting := g.pending > 0
	g.mu.Unlock()
	if !waiting {
		return false
	}
	if limit >= 0 {
		// Armed before the request is parked: after that, it may be finished, and the gate reused, at any moment.
		g.arm(env, limit, name)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pending == 0 || g.expired {
		return false
	}
	g.parked = r
	return true
}

// arm starts the timer of a gate that is not parked. Between two waits of one gate it is reused.
func (g *gate) arm(env run.Env, limit time.Duration, name string) {
	g.armed = true
	if g.timer == nil {
		g.timer = env.AfterFunc(limit, name, g.expire)
	} else {
		g.timer.Reset(limit)
	}
}

func (g *gate) expire() {
	g.mu.Lock()
	g.expired = true
	r := g.parked
	g.parked = nil
	g.mu.Unlock()
	if r != nil {
		r.Wake()
	}
}

// settle ends the waiting: nobody is woken from here on. It stops the timer and reports whether it might still run.
func (g *gate) settle() (late bool) {
	g.mu.Lock()
	g.parked = nil
	expired := g.expired
	g.mu.Unlock()
	return g.armed && !expired && !g.timer.Stop()
}

// reset makes a gate that nobody holds ready for another request. A timer that was stopped stays, for reuse.
func (g *gate) reset() { g.pending, g.parked, g.expired, g.armed = 0, nil, false, false }

// slot is one wait for a partition within a request. Slots are allocated one by one: a registered waiter must not move.
type slot struct {
	waiter replication.Waiter
	gate   *gate
	// waiting says that the waiter was registered; fired and code, guarded by the gate's lock, what became of it.
	waiting bool
	fired   bool
	code    wire.ErrorCode
}

// Fired implements replication.WaiterOwner.
func (s *slot) Fired(w *replication.Waiter) {
	g := s.gate
	g.mu.Lock()
	s.fired, s.code = true, w.Error
	r := g.arrivedLocked()
	g.mu.Unlock()
	if r != nil {
		r.Wake()
	}
}

// outcome ends the wait and tells its code; a wait that had not ended is REQUEST_TIMED_OUT. late means that Fired is still
// to come, so that slot and gate must not be reused.
func (s *slot) outcome(partitions interface {
	Unwatch(*replication.Waiter) bool
}) (code wire.ErrorCode, late bool) {
	s.gate.mu.Lock()
	fired, code := s.fired, s.code
	s.gate.mu.Unlock()
	if fired {
		return code, false
	}
	if partitions.Unwatch(&s.waiter) {
		return wire.ErrorRequestTimedOut, false
	}
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	if s.fired {
		return s.code, false
	}
	return wire.ErrorRequestTimedOut, true
}

// slots hands out the slots of one request and keeps them for the next.
type slots struct {
	all  []*slot
	used int
}

func (l *slots) next(g *gate) *slot {
	if l.used == len(l.all) {
		s := &slot{gate: g}
		s.waiter.Owner = s
		l.all = append(l.all, s)
	}
	s := l.all[l.used]
	l.used++
	s.waiting, s.fired, s.code = false, false, wire.ErrorNone
	return s
}
