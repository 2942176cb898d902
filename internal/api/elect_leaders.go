package api

import (
	"fmt"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// ElectLeaders, key 43, versions 0-2. KIP-183, KIP-460 (unclean elections, v1). With one broker there is nobody to elect: a partition has its
// preferred leader, or none that could lead it.

const (
	electPreferred int8 = 0
	electUnclean   int8 = 1
)

func (t *Table) electLeaders(r *Request) Outcome {
	var (
		d    wire.Decoder
		req  wire.ElectLeadersRequest
		resp wire.ElectLeadersResponse
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	resp.Default()
	image := t.deps.Cluster.Image()
	known := req.ElectionType == electPreferred || req.ElectionType == electUnclean
	if !known && (req.TopicPartitions == nil || len(req.TopicPartitions) > 0) {
		resp.ErrorCode = wire.ErrorInvalidRequest
	}
	if req.TopicPartitions == nil && known {
		for _, topic := range image.Topics() {
			resp.ReplicaElectionResults = append(resp.ReplicaElectionResults, electAll(topic, req.ElectionType))
		}
	}
	for i := range req.TopicPartitions {
		from := &req.TopicPartitions[i]
		to := wire.ElectLeadersResponseReplicaElectionResult{Topic: from.Topic}
		for _, index := range from.Partitions {
			var result wire.ElectLeadersResponsePartitionResult
			if known {
				result = elect(image, ids.TopicPartition{Topic: from.Topic, Partition: index}, req.ElectionType)
			} else {
				result.ErrorCode, result.ErrorMessage = wire.ErrorInvalidRequest, wire.SomeString(fmt.Sprintf("Unknown election type %d", req.ElectionType))
			}
			result.PartitionId = index
			to.PartitionResult = append(to.PartitionResult, result)
		}
		resp.ReplicaElectionResults = append(resp.ReplicaElectionResults, to)
	}
	t.audit(r).elected(&req, &resp)
	return reply(r, &resp)
}

// electAll is the answer about a topic that was not named: partitions that need no election are left out.
func electAll(topic *metadata.Topic, kind int8) wire.ElectLeadersResponseReplicaElectionResult {
	to := wire.ElectLeadersResponseReplicaElectionResult{Topic: topic.Name}
	for i := range topic.Partitions {
		if result := electOne(&topic.Partitions[i], kind); result.ErrorCode != wire.ErrorElectionNotNeeded {
			result.PartitionId = int32(i)
			to.PartitionResult = append(to.PartitionResult, result)
		}
	}
	return to
}

func elect(image *metadata.Image, tp ids.TopicPartition, kind int8) (result wire.ElectLeadersResponsePartitionResult) {
	p, ok := image.Partition(tp)
	if ok {
		return electOne(p, kind)
	}
	sentence := "No such topic as " + tp.Topic
	if _, ok := image.Topic(tp.Topic); ok {
		sentence = fmt.Sprintf("No such partition as %s-%d", tp.Topic, tp.Partition)
	}
	result.ErrorCode, result.ErrorMessage = wire.ErrorUnknownTopicOrPartition, wire.SomeString(sentence)
	return result
}

func electOne(p *metadata.Partition, kind int8) (result wire.ElectLeadersResponsePartitionResult) {
	led := p.Leader != ids.NoBroker
	switch {
	case led && (kind == electUnclean || len(p.Replicas) > 0 && p.Replicas[0] == p.Leader):
		result.ErrorCode = wire.ErrorElectionNotNeeded
		result.ErrorMessage = wire.SomeString("Leader election not needed for topic partition.")
	case kind == electUnclean:
		result.ErrorCode = wire.ErrorEligibleLeadersNotAvailable
		result.ErrorMessage = wire.SomeString(wire.ErrorEligibleLeadersNotAvailable.Message())
	default:
		result.ErrorCode = wire.ErrorPreferredLeaderNotAvailable
		result.ErrorMessage = wire.SomeString(wire.ErrorPreferredLeaderNotAvailable.Message())
	}
	return result
}
