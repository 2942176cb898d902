package api

import (
	"fmt"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// AlterPartitionReassignments, key 45, versions 0-1. KIP-455, KIP-860 (v1). With one broker there is one place for a replica: where it is.
// Asking for that is granted, and changes nothing; all else gets Kafka's refusals.

func (t *Table) alterPartitionReassignments(r *Request) Outcome {
	var (
		d    wire.Decoder
		req  wire.AlterPartitionReassignmentsRequest
		resp wire.AlterPartitionReassignmentsResponse
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	resp.Default()
	if len(req.Topics) == 0 {
		return reply(r, &resp)
	}
	resp.ErrorMessage = wire.NullString{}
	resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
	image := t.deps.Cluster.Image()
	for i := range req.Topics {
		to := wire.AlterPartitionReassignmentsResponseReassignableTopicResponse{Name: req.Topics[i].Name}
		for j := range req.Topics[i].Partitions {
			from := &req.Topics[i].Partitions[j]
			result := wire.AlterPartitionReassignmentsResponseReassignablePartitionResponse{PartitionIndex: from.PartitionIndex}
			code, sentence := reassign(image, ids.TopicPartition{Topic: to.Name, Partition: from.PartitionIndex}, from.Replicas)
			result.ErrorCode = code
			if sentence != "" {
				result.ErrorMessage = wire.SomeString(sentence)
			}
			to.Partitions = append(to.Partitions, result)
		}
		resp.Responses = append(resp.Responses, to)
	}
	t.audit(r).reassigned(&resp)
	return reply(r, &resp)
}

// reassign judges one wish; replicas are nil for the wish to take an earlier one back.
func reassign(image *metadata.Image, tp ids.TopicPartition, replicas []int32) (code wire.ErrorCode, sentence string) {
	p, ok := image.Partition(tp)
	if !ok {
		if _, ok := image.Topic(tp.Topic); !ok {
			return wire.ErrorUnknownTopicOrPartition, fmt.Sprintf("Unable to find a topic named %s.", tp.Topic)
		}
		return wire.ErrorUnknownTopicOrPartition, fmt.Sprintf("Unable to find partition %s:%d.", tp.Topic, tp.Partition)
	}
	if replicas == nil {
		return wire.ErrorNoReassignmentInProgress, ""
	}
	const manual = "The manual partition assignment includes "
	if len(replicas) == 0 {
		return wire.ErrorInvalidReplicaAssignment, manual + "an empty replica list."
	}
	for _, id := range slices.Sorted(slices.Values(replicas)) {
		if _, ok := image.Broker(ids.BrokerID(id)); !ok {
			return wire.ErrorInvalidReplicaAssignment, fmt.Sprintf("%sbroker %d, but no such broker is registered.", manual, id)
		}
	}
	for i, id := range replicas {
		if slices.Contains(replicas[:i], id) {
			return wire.ErrorInvalidReplicaAssignment, fmt.Sprintf("%sthe broker %d more than once.", manual, id)
		}
	}
	if !slices.Equal(replicas, brokers(p.Replicas)) {
		return wire.ErrorInvalidReplicaAssignment, "Partitions cannot be moved: this broker has no others to replicate to."
	}
	return wire.ErrorNone, ""
}
