package api

import (
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/wire"
)

// OffsetCommit, key 8, versions 2-10. KIP-211 (no retention of its own since v5), KIP-320 (leader epochs, v6), KIP-345 (static
// members, v7), KIP-848 (member epochs and their codes, v9; topics by id, v10).

func (t *Table) offsetCommit(r *Request) Outcome {
	var d wire.Decoder
	req := new(wire.OffsetCommitRequest)
	if err := decode(r, &d, req); err != nil {
		return hangup(r, err)
	}
	var resp *wire.OffsetCommitResponse
	from, outside := client(r), t.outsideCommit(r, req)
	return t.inGroupTold(r, req.GroupId, func(m *group.Machine, at machine.Moment) (records []machine.Record) {
		outside.look(m)
		records, resp = m.OffsetCommit(at, from, req)
		return records
	}, func() wire.Message { return resp }, func(code wire.ErrorCode) wire.Message { return refusedCommit(req, code) },
		func(code wire.ErrorCode) { outside.ended(resp, code) })
}

func refusedCommit(req *wire.OffsetCommitRequest, code wire.ErrorCode) *wire.OffsetCommitResponse {
	resp := &wire.OffsetCommitResponse{Topics: make([]wire.OffsetCommitResponseTopic, len(req.Topics))}
	for i := range req.Topics {
		from, to := &req.Topics[i], &resp.Topics[i]
		to.Name, to.TopicId, to.Partitions = from.Name, from.TopicId, make([]wire.OffsetCommitResponsePartition, len(from.Partitions))
		for k := range from.Partitions {
			to.Partitions[k] = wire.OffsetCommitResponsePartition{PartitionIndex: from.Partitions[k].PartitionIndex, ErrorCode: code}
		}
	}
	return resp
}
