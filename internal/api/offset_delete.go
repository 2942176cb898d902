package api

import (
	"slices"

	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/wire"
)

// OffsetDelete, key 47, version 0. KIP-496.

func (t *Table) offsetDelete(r *Request) Outcome {
	var d wire.Decoder
	req := new(wire.OffsetDeleteRequest)
	if err := decode(r, &d, req); err != nil {
		return hangup(r, err)
	}
	if req.GroupId == "" {
		return reply(r, &wire.OffsetDeleteResponse{ErrorCode: wire.ErrorInvalidGroupID})
	}
	var resp *wire.OffsetDeleteResponse
	a := t.audit(r)
	var before []group.Position
	return t.inGroupTold(r, req.GroupId, func(m *group.Machine, _ machine.Moment) (records []machine.Record) {
		if a != nil {
			before = m.Committed(req.GroupId, deletedPositions(req), nil)
		}
		records, resp = m.OffsetDelete(req)
		return records
	}, func() wire.Message {
		// As in Kafka, a topic without partitions is left out.
		resp.Topics = slices.DeleteFunc(resp.Topics, func(topic wire.OffsetDeleteResponseTopic) bool { return len(topic.Partitions) == 0 })
		return resp
	}, func(code wire.ErrorCode) wire.Message { return &wire.OffsetDeleteResponse{ErrorCode: code} },
		func(code wire.ErrorCode) { a.offsetsDeleted(req.GroupId, before, resp, code) })
}
