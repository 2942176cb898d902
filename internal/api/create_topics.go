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
	req := new(wire.CreateTopicsRequest)
	var d wire.Decoder
	if err := decode(r, &d, req); err != nil {
		return hangup(r, err)
	}
	names := make([]string, len(req.Topics))
	for i := range req.Topics {
		names[i] = req.Topics[i].Name
	}
	c := &controllerCall{late: func() wire.Message { return createTopicsLate(names) }}
	if req.TimeoutMs <= 0 {
		return c.Finish(r)
	}
	a := t.auditUnless(req.ValidateOnly, r)
	limit := milliseconds(req.TimeoutMs)
	c.mutations = r.mutations(strictCreateTopics)
	t.deps.Controller.CreateTopics(req, c.mutations.allow(), answered(c, a.topicsCreated))
	return c.await(t, r, limit, "CreateTopics timeout")
}

func createTopicsLate(names []string) *wire.CreateTopicsResponse {
	resp := new(wire.CreateTopicsResponse)
	resp.Default()
	for _, name := range names {
		var result wire.CreateTopicsResponseCreatableTopicResult
		result.Default()
		result.Name, result.ErrorCode = name, wire.ErrorRequestTimedOut
		result.ErrorMessage, result.Configs = wire.NullString{}, []wire.CreateTopicsResponseCreatableTopicConfigs{}
		resp.Topics = append(resp.Topics, result)
	}
	return resp
}
