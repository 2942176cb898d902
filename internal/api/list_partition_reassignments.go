package api

import (
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// ListPartitionReassignments, key 46, version 0. KIP-455: partitions that are being moved. Topics and partitions that do not
// exist, or are not moved, are left out, as Kafka does.

func (t *Table) listPartitionReassignments(r *Request) Outcome {
	var (
		d    wire.Decoder
		req  wire.ListPartitionReassignmentsRequest
		resp wire.ListPartitionReassignmentsResponse
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	resp.Default()
	resp.ErrorMessage = wire.NullString{}
	image := t.deps.Cluster.Image()
	if req.Topics == nil {
		for _, topic := range image.Topics() {
			addReassignments(&resp, topic, nil)
		}
		return reply(r, &resp)
	}
	for i := range req.Topics {
		if topic, ok := image.Topic(req.Topics[i].Name); ok {
			addReassignments(&resp, topic, append([]int32{}, req.Topics[i].PartitionIndexes...))
		}
	}
	return reply(r, &resp)
}

// addReassignments adds what moves of a topic: of all its partitions if indexes is nil.
func addReassignments(resp *wire.ListPartitionReassignmentsResponse, topic *metadata.Topic, indexes []int32) {
	if indexes == nil {
		for i := range topic.Partitions {
			indexes = append(indexes, int32(i))
		}
	}
	to := wire.ListPartitionReassignmentsResponseOngoingTopicReassignment{Name: topic.Name}
	for _, index := range indexes {
		if index < 0 || int(index) >= len(topic.Partitions) {
			continue
		}
		p := &topic.Partitions[index]
		if len(p.AddingReplicas) == 0 && len(p.RemovingReplicas) == 0 {
			continue
		}
		to.Partitions = append(to.Partitions, wire.ListPartitionReassignmentsResponseOngoingPartitionReassignment{PartitionIndex: index,
			Replicas: brokers(p.Replicas), AddingReplicas: brokers(p.AddingReplicas), RemovingReplicas: brokers(p.RemovingReplicas)})
	}
	if len(to.Partitions) > 0 {
		resp.Topics = append(resp.Topics, to)
	}
}
