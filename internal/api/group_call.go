package api

import (
	"sync"

	"github.com/ottla-io/ottla/internal/wire"
)

// groupCall is what requests are made of that come often and ask one group's coordinator for one command: those are pooled, and allocate
// nothing. Whoever embeds it keeps the request and the answer beside it. A command may run after its request was answered; it
// still owns both then, so such a call is not used again.
type groupCall struct {
	gate
	table *Table
	// command and end are decide of whoever embeds the call, and ended, bound once.
	command groupCommand
	end     func(error)
	outcome groupEnd // guarded by the gate's lock
}

func (c *groupCall) init(t *Table, command groupCommand) {
	c.table, c.command, c.end = t, command, c.ended
}

// ask hands the command to the coordinator of the group, unless code says why there is none.
func (c *groupCall) ask(name string) (code wire.ErrorCode) {
	coordinator, code := c.table.deps.Groups.For(name)
	if code == wire.ErrorNone {
		c.expect(1)
		coordinator.Submit(c.command, c.end)
	}
	return code
}

func (c *groupCall) ended(err error) {
	c.mu.Lock()
	c.outcome = groupEnd{true, err}
	r := c.arrivedLocked()
	c.mu.Unlock()
	if r != nil {
		r.Wake()
	}
}

// await parks the request, if need be.
func (c *groupCall) await(r *Request, p Pending) Outcome {
	r.Pending = p
	if c.park(c.table.waits, r, commitWait, "group commit timeout") {
		return Parked
	}
	return p.Finish(r)
}

// close ends the waiting. code is why it is not known that the command was done; free tells that nobody holds the call any more.
func (c *groupCall) close() (code wire.ErrorCode, free bool) {
	late := c.settle()
	c.mu.Lock()
	end := c.outcome
	c.mu.Unlock()
	if !end.done {
		return wire.ErrorCoordinatorNotAvailable, false
	}
	return groupCode(end.err), !late
}

// recycle makes a free call ready for another request.
func (c *groupCall) recycle(p *sync.Pool, whole any) {
	c.outcome = groupEnd{}
	c.gate.reset()
	p.Put(whole)
}
