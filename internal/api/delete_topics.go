package api

import (
	"slices"

	"github.com/ottla-io/ottla/internal/wire"
)

// DeleteTopics, key 20, versions 1-6. KIP-4, KIP-516 (by topic id, v6), KIP-599 (message, v5). All rules are the
// controller's, except delete.topic.enable, and that a timeout of 0 or less leaves no time for anything.
//
// Where we differ from Kafka 4.3.1, on purpose: results come in the request's order (Kafka shuffles them). A topic goes into the trash for its
// ottla.topic.trash.ms; with the tagged field 10000 Purge it is deleted for good, and one in the trash, named by its id, too. Offsets of groups are forgotten when
// it is. A topic whose ottla.topic.deletion.protection is true is POLICY_VIOLATION.

func (t *Table) deleteTopics(r *Request) Outcome {
	req := new(wire.DeleteTopicsRequest)
	var d wire.Decoder
	if err := decode(r, &d, req); err != nil {
		return hangup(r, err)
	}
	if r.Version < 6 {
		req.Topics = req.Topics[:0]
		for _, name := range req.TopicNames {
			req.Topics = append(req.Topics, wire.DeleteTopicsRequestDeleteTopicState{Name: wire.SomeString(name)})
		}
		req.TopicNames = nil
	}
	named := slices.Clone(req.Topics)
	if !t.deps.Settings.DeleteTopics {
		code := wire.ErrorTopicDeletionDisabled
		if r.Version < 3 {
			code = wire.ErrorInvalidRequest
		}
		refusal := deleteNone(named, code)
		t.audit(r).topicsDeleted(refusal)
		return reply(r, refusal)
	}
	c := &controllerCall{late: func() wire.Message { return deleteNone(named, wire.ErrorRequestTimedOut) }}
	if req.TimeoutMs <= 0 {
		return c.Finish(r)
	}
	a := t.audit(r)
	limit := milliseconds(req.TimeoutMs)
	c.mutations = r.mutations(strictDeleteTopics)
	t.deps.Controller.DeleteTopics(req, c.mutations.allow(), answered(c, a.topicsDeleted))
	return c.await(t, r, limit, "DeleteTopics timeout")
}

// deleteNone answers every topic alike.
func deleteNone(named []wire.DeleteTopicsRequestDeleteTopicState, code wire.ErrorCode) *wire.DeleteTopicsResponse {
	resp := new(wire.DeleteTopicsResponse)
	resp.Default()
	for i := range named {
		resp.Responses = append(resp.Responses, wire.DeleteTopicsResponseDeletableTopicResult{
			Name: named[i].Name, TopicId: named[i].TopicId, ErrorCode: code})
	}
	return resp
}
