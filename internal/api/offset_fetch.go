package api

import (
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/wire"
)

// OffsetFetch, key 9, versions 1-10. KIP-88 (all topics, and a code for the group, v2), KIP-320 (leader epochs, v5), KIP-447
// (requireStable, v7), KIP-709 (several groups, v8), KIP-848 (member epochs, v9; topics by id, v10).
//
// Where we differ from Kafka 4.3.1, on purpose: a group of the request with the tagged field 10000 Journal is answered with what resets replaced, in the tagged
// field 10000 of each partition.

const (
	fetchWithGroupCode  = 2 // before, a code is that of each partition
	fetchOfSeveralGroup = 8
)

func (t *Table) offsetFetch(r *Request) Outcome {
	var d wire.Decoder
	req := new(wire.OffsetFetchRequest)
	if err := decode(r, &d, req); err != nil {
		return hangup(r, err)
	}
	version := r.Version
	if version < fetchOfSeveralGroup {
		req.Groups = []wire.OffsetFetchRequestGroup{oneGroup(req)}
	}
	answers := make([]wire.OffsetFetchResponseGroup, len(req.Groups))
	p := &groupRequest{answer: func() wire.Message {
		if version < fetchOfSeveralGroup {
			return oneAnswer(&answers[0], version)
		}
		return &wire.OffsetFetchResponse{Groups: answers}
	}}
	from := client(r)
	repeats := newRepeats()
	for i := range req.Groups {
		asked := &req.Groups[i]
		if repeats.tooMany(asked.GroupId) {
			answers[i] = refusedOffsets(asked, version, wire.ErrorInvalidRequest)
			continue
		}
		var fetched wire.OffsetFetchResponseGroup
		t.ask(p, asked.GroupId, groupPart{func(m *group.Machine, _ machine.Moment) []machine.Record {
			fetched = m.OffsetFetch(from, asked, req.RequireStable)
			return nil
		}, func() { answers[i] = fetched }, func(code wire.ErrorCode) { answers[i] = refusedOffsets(asked, version, code) }, nil})
	}
	return t.await(p, r, "OffsetFetch timeout")
}

// oneGroup is a request of before version 8 in today's form.
func oneGroup(req *wire.OffsetFetchRequest) wire.OffsetFetchRequestGroup {
	one := wire.OffsetFetchRequestGroup{GroupId: req.GroupId, MemberEpoch: -1}
	if req.Topics == nil {
		return one
	}
	one.Topics = make([]wire.OffsetFetchRequestTopics, len(req.Topics))
	for i := range req.Topics {
		one.Topics[i] = wire.OffsetFetchRequestTopics{Name: req.Topics[i].Name, PartitionIndexes: req.Topics[i].PartitionIndexes}
	}
	return one
}

// oneAnswer is an answer in the form of before version 8.
func oneAnswer(from *wire.OffsetFetchResponseGroup, version int16) *wire.OffsetFetchResponse {
	resp := &wire.OffsetFetchResponse{Topics: make([]wire.OffsetFetchResponseTopic, len(from.Topics))}
	if version >= fetchWithGroupCode {
		resp.ErrorCode = from.ErrorCode
	}
	for i := range from.Topics {
		topic := &resp.Topics[i]
		topic.Name, topic.Partitions = from.Topics[i].Name, make([]wire.OffsetFetchResponsePartition, len(from.Topics[i].Partitions))
		for k, one := range from.Topics[i].Partitions {
			topic.Partitions[k] = wire.OffsetFetchResponsePartition{PartitionIndex: one.PartitionIndex, CommittedOffset: one.CommittedOffset,
				CommittedLeaderEpoch: one.CommittedLeaderEpoch, Metadata: one.Metadata, ErrorCode: one.ErrorCode}
		}
	}
	return resp
}

// refusedOffsets tells a code of the group: of each partition where the response has no other place.
func refusedOffsets(asked *wire.OffsetFetchRequestGroup, version int16, code wire.ErrorCode) wire.OffsetFetchResponseGroup {
	answer := wire.OffsetFetchResponseGroup{GroupId: asked.GroupId, ErrorCode: code}
	if version >= fetchWithGroupCode {
		return answer
	}
	answer.Topics = make([]wire.OffsetFetchResponseTopics, len(asked.Topics))
	for i := range asked.Topics {
		topic := &answer.Topics[i]
		topic.Name = asked.Topics[i].Name
		for _, index := range asked.Topics[i].PartitionIndexes {
			topic.Partitions = append(topic.Partitions, wire.OffsetFetchResponsePartitions{PartitionIndex: index, CommittedOffset: -1,
				CommittedLeaderEpoch: -1, Metadata: wire.SomeString(""), ErrorCode: code})
		}
	}
	return answer
}
