package api

import (
	"github.com/ottla-io/ottla/internal/wire"
)

// CreatePartitions, key 37, versions 0-3. KIP-195. All rules are the controller's, except that a timeout of 0 or less leaves no time
// for anything.
//
// Where we differ from Kafka 4.3.1, on purpose: results come in the request's order (Kafka's comes from a hash), more
// than 10,000 new partitions in one request are POLICY_VIOLATION (Kafka says UNKNOWN_SERVER_ERROR), and the topics of coordinators
// cannot have more (in Kafka groups lose their offsets with that, at the next restart).

func (t *Table) createPartitions(r *Request) Outcome {
	req := new(wire.CreatePartitionsRequest)
	var d wire.Decoder
	if err := decode(r, &d, req); err != nil {
		return hangup(r, err)
	}
	var names []string // each once
	named := make(map[string]bool, len(req.Topics))
	for i := range req.Topics {
		if name := req.Topics[i].Name; !named[name] {
			named[name] = true
			names = append(names, name)
		}
	}
	c := &controllerCall{late: func() wire.Message { return createPartitionsLate(names) }}
	if req.TimeoutMs <= 0 {
		return c.Finish(r)
	}
	a := t.auditUnless(req.ValidateOnly, r)
	limit := milliseconds(req.TimeoutMs)
	c.mutations = r.mutations(strictCreatePartitions)
	t.deps.Controller.CreatePartitions(req, c.mutations.allow(), answered(c, a.partitionsCreated))
	return c.await(t, r, limit, "CreatePartitions timeout")
}

func createPartitionsLate(names []string) *wire.CreatePartitionsResponse {
	resp := new(wire.CreatePartitionsResponse)
	resp.Default()
	for _, name := range names {
		resp.Results = append(resp.Results, wire.CreatePartitionsResponseCreatePartitionsTopicResult{
			Name: name, ErrorCode: wire.ErrorRequestTimedOut, ErrorMessage: wire.SomeString(wire.ErrorRequestTimedOut.Message())})
	}
	return resp
}
