package api

import (
	"time"

	"github.com/ottla-io/ottla/internal/wire"
)

// CreatePartitions, key 37, versions 0-3. KIP-195. All rules are the controller's, except that a timeout of 0 or less leaves no time
// for anything.
//
// Where we differ from Kafka 4.3.1, on purpose: results come in the request's order (Kafka's comes from a hash), more
// than 10,000 new partitions in one request are POLICY_VIOLATION (Kafka says UNKNOWN_SERVER_ERROR), and the topics of coordinators
// cannot have more (in Kafka groups lose their offsets with that, at the next restart).

func (t *Table) createPartitions(r *Request) Outcome {
	c := new(createPartitionsRequest)
	var d wire.Decoder
	if err := decode(r, &d, &c.req); err != nil {
		return hangup(r, err)
	}
	named := make(map[string]bool, len(c.req.Topics))
	for i := range c.req.Topics {
		if name := c.req.Topics[i].Name; !named[name] {
			named[name] = true
			c.names = append(c.names, name)
		}
	}
	if c.req.TimeoutMs <= 0 {
		return c.Finish(r)
	}
	var a *audit
	if !c.req.ValidateOnly {
		a = t.audit(r)
	}
	c.mutations = r.mutations(strictCreatePartitions)
	c.expect(1)
	t.deps.Controller.CreatePartitions(&c.req, c.mutations.allow(), func(resp *wire.CreatePartitionsResponse) {
		a.partitionsCreated(resp)
		c.arrive(func() { c.resp = resp })
	})
	r.Pending = c
	if c.park(t.deps.Env, r, time.Duration(c.req.TimeoutMs)*time.Millisecond, "CreatePartitions timeout") {
		return Parked
	}
	return c.Finish(r)
}

// createPartitionsRequest is the state of one CreatePartitions request. The controller owns req from the call on.
type createPartitionsRequest struct {
	gate
	mutations *mutations
	req       wire.CreatePartitionsRequest
	names     []string                       // each once
	resp      *wire.CreatePartitionsResponse // guarded by the gate's lock
}

// Finish implements Pending. Topics of which nothing is known in time are REQUEST_TIMED_OUT; they may yet grow.
func (c *createPartitionsRequest) Finish(r *Request) Outcome {
	c.gate.settle()
	c.mutations.settle(r)
	c.mu.Lock()
	resp := c.resp
	c.mu.Unlock()
	if resp == nil {
		resp = new(wire.CreatePartitionsResponse)
		resp.Default()
		for _, name := range c.names {
			resp.Results = append(resp.Results, wire.CreatePartitionsResponseCreatePartitionsTopicResult{
				Name: name, ErrorCode: wire.ErrorRequestTimedOut, ErrorMessage: wire.SomeString(wire.ErrorRequestTimedOut.Message())})
		}
	}
	return reply(r, resp)
}

// Cancel implements Pending.
func (c *createPartitionsRequest) Cancel() { c.gate.settle() }
