package api

import (
	"time"

	"github.com/ottla-io/ottla/internal/wire"
)

// CreateTopics, key 19, versions 2-7. KIP-4, KIP-464 (-1 for the brokers' defaults), KIP-525 (configs in the reply, v5),
// KIP-516 (topic ids, v7). All rules are the controller's, except that a timeout of 0 or less leaves no time for anything.
//
// Where we differ from Kafka 4.3.1, on purpose: a topic with the tagged field 10000 RestoredTopicId is the one of that id in the trash, restored under the name of
// the request.

const (
	// autoCreateWait bounds how long Metadata waits for topics that it creates.
	autoCreateWait = 15 * time.Second
	// controllerWait bounds the wait of requests to the controller that name no timeout.
	controllerWait = time.Minute
	// From these versions on, requests over controller_mutation_rate are refused (KIP-599).
	strictCreateTopics, strictCreatePartitions, strictDeleteTopics int16 = 6, 3, 5
)

func (t *Table) createTopics(r *Request) Outcome {
	c := new(createTopicsRequest)
	var d wire.Decoder
	if err := decode(r, &d, &c.req); err != nil {
		return hangup(r, err)
	}
	for i := range c.req.Topics {
		c.names = append(c.names, c.req.Topics[i].Name)
	}
	if c.req.TimeoutMs <= 0 {
		return c.Finish(r)
	}
	var a *audit
	if !c.req.ValidateOnly {
		a = t.audit(r)
	}
	c.mutations = r.mutations(strictCreateTopics)
	c.expect(1)
	t.deps.Controller.CreateTopics(&c.req, c.mutations.allow(), func(resp *wire.CreateTopicsResponse) {
		a.topicsCreated(resp)
		c.arrive(func() { c.resp = resp })
	})
	r.Pending = c
	if c.park(t.deps.Env, r, time.Duration(c.req.TimeoutMs)*time.Millisecond, "CreateTopics timeout") {
		return Parked
	}
	return c.Finish(r)
}

// createTopicsRequest is the state of one CreateTopics request. The controller owns req from the call on.
type createTopicsRequest struct {
	gate
	mutations *mutations
	req       wire.CreateTopicsRequest
	names     []string
	resp      *wire.CreateTopicsResponse // guarded by the gate's lock
}

// Finish implements Pending. Topics of which nothing is known in time are REQUEST_TIMED_OUT; they may yet appear.
func (c *createTopicsRequest) Finish(r *Request) Outcome {
	c.gate.settle()
	c.mutations.settle(r)
	c.mu.Lock()
	resp := c.resp
	c.mu.Unlock()
	if resp == nil {
		resp = new(wire.CreateTopicsResponse)
		resp.Default()
		for _, name := range c.names {
			var result wire.CreateTopicsResponseCreatableTopicResult
			result.Default()
			result.Name, result.ErrorCode = name, wire.ErrorRequestTimedOut
			result.ErrorMessage, result.Configs = wire.NullString{}, []wire.CreateTopicsResponseCreatableTopicConfigs{}
			resp.Topics = append(resp.Topics, result)
		}
	}
	return reply(r, resp)
}

// Cancel implements Pending.
func (c *createTopicsRequest) Cancel() { c.gate.settle() }
