package api

import (
	"time"

	"github.com/ottla-io/ottla/internal/wire"
)

// controllerCall is a request that the controller answers as a whole: parked until it has, or until its time is over.
type controllerCall struct {
	gate
	mutations *mutations // what it takes of controller_mutation_rate; nil for nothing
	// late makes the answer where nothing is known in time: all that was named is REQUEST_TIMED_OUT, and may yet come about. It may run while the controller
	// has the request, which is the controller's from the call on, and must not touch that.
	late   func() wire.Message
	answer wire.Message // guarded by the gate's lock; nil: not known
}

// answered is what the controller is to call with its answer, once; tell has it first. Before await only.
func answered[R wire.Message](c *controllerCall, tell func(R)) (done func(R)) {
	c.expect(1)
	return func(resp R) {
		tell(resp)
		c.arrive(func() { c.answer = resp })
	}
}

// await answers now, or when the controller has, but after limit at the latest.
func (c *controllerCall) await(t *Table, r *Request, limit time.Duration, name string) Outcome {
	r.Pending = c
	if c.park(t.deps.Env, r, limit, name) {
		return Parked
	}
	return c.Finish(r)
}

// Finish implements Pending.
func (c *controllerCall) Finish(r *Request) Outcome {
	c.gate.settle()
	c.mutations.settle(r)
	c.mu.Lock()
	answer := c.answer
	c.mu.Unlock()
	if answer == nil {
		answer = c.late()
	}
	return reply(r, answer)
}

// Cancel implements Pending.
func (c *controllerCall) Cancel() { c.gate.settle() }

// milliseconds is a request's timeout, more than 0.
func milliseconds(timeoutMs int32) time.Duration { return time.Duration(timeoutMs) * time.Millisecond }
