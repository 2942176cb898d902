package api

import (
	"time"

	"github.com/ottla-io/ottla/internal/wire"
)

// DeleteTopics, key 20, versions 1-6. KIP-4, KIP-516 (by topic id, v6), KIP-599 (message, v5). All rules are the
// controller's, except delete.topic.enable, and that a timeout of 0 or less leaves no time for anything.
//
// Where we differ from Kafka 4.3.1, on purpose: results come in the request's order (Kafka shuffles them). A topic goes into the trash for its
// ottla.topic.trash.ms; with the tagged field 10000 Purge it is deleted for good, and one in the trash, named by its id, too. Offsets of groups are forgotten when
// it is. A topic whose ottla.topic.deletion.protection is true is POLICY_VIOLATION.

func (t *Table) deleteTopics(r *Request) Outcome {
	c := &deleteTopicsRequest{req: new(wire.DeleteTopicsRequest)}
	var d wire.Decoder
	if err := decode(r, &d, c.req); err != nil {
		return hangup(r, err)
	}
	if r.Version < 6 {
		c.req.Topics = c.req.Topics[:0]
		for _, name := range c.req.TopicNames {
			c.req.Topics = append(c.req.Topics, wire.DeleteTopicsRequestDeleteTopicState{Name: wire.SomeString(name)})
		}
		c.req.TopicNames = nil
	}
	c.named = append(c.named, c.req.Topics...)
	if !t.deps.Settings.DeleteTopics {
		code := wire.ErrorTopicDeletionDisabled
		if r.Version < 3 {
			code = wire.ErrorInvalidRequest
		}
		refusal := c.all(code)
		t.audit(r).topicsDeleted(refusal)
		return reply(r, refusal)
	}
	if c.req.TimeoutMs <= 0 {
		return c.Finish(r)
	}
	a := t.audit(r)
	c.mutations = r.mutations(strictDeleteTopics)
	c.expect(1)
	t.deps.Controller.DeleteTopics(c.req, c.mutations.allow(), func(resp *wire.DeleteTopicsResponse) {
		a.topicsDeleted(resp)
		c.arrive(func() { c.resp = resp })
	})
	r.Pending = c
	if c.park(t.deps.Env, r, time.Duration(c.req.TimeoutMs)*time.Millisecond, "DeleteTopics timeout") {
		return Parked
	}
	return c.Finish(r)
}

// deleteTopicsRequest is the state of one DeleteTopics request. The controller owns req from the call on.
type deleteTopicsRequest struct {
	gate
	mutations *mutations
	req       *wire.DeleteTopicsRequest
	named     []wire.DeleteTopicsRequestDeleteTopicState
	resp      *wire.DeleteTopicsResponse // guarded by the gate's lock
}

// all answers every topic alike.
func (c *deleteTopicsRequest) all(code wire.ErrorCode) *wire.DeleteTopicsResponse {
	resp := new(wire.DeleteTopicsResponse)
	resp.Default()
	for i := range c.named {
		resp.Responses = append(resp.Responses, wire.DeleteTopicsResponseDeletableTopicResult{
			Name: c.named[i].Name, TopicId: c.named[i].TopicId, ErrorCode: code})
	}
	return resp
}

// Finish implements Pending.
func (c *deleteTopicsRequest) Finish(r *Request) Outcome {
	c.gate.settle()
	c.mutations.settle(r)
	c.mu.Lock()
	resp := c.resp
	c.mu.Unlock()
	if resp == nil {
		resp = c.all(wire.ErrorRequestTimedOut)
	}
	return reply(r, resp)
}

// Cancel implements Pending.
func (c *deleteTopicsRequest) Cancel() { c.gate.settle() }
