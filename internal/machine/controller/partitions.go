package controller

import (
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// CreatePartitions decides on more partitions of existing topics (KIP-195), in Kafka 4.3.1's order of checks and with its
// sentences. Each topic succeeds or fails by itself; a name that is given twice fails. The reply has one result per name,
// in the request's order (Kafka puts duplicates first and the others in the order of a hash). With ValidateOnly there are
// no records, and the reply is what it would be.
func (c *Controller) CreatePartitions(req *wire.CreatePartitionsRequest, allow Allow, _ machine.Moment) ([]machine.Record, *wire.CreatePartitionsResponse) {
	count := make(map[string]int, len(req.Topics))
	for i := range req.Topics {
		count[req.Topics[i].Name]++
	}
	var messages []wire.MetadataRecord
	resp := answerPartitions(req, func(t *wire.CreatePartitionsRequestCreatePartitionsTopic) *problem {
		if count[t.Name] > 1 {
			return refuse(wire.ErrorInvalidRequest, "Duplicate topic name.")
		}
		more, refused := c.morePartitions(t, maxRecords-len(messages), allow)
		messages = append(messages, more...)
		return refused
	})
	if req.ValidateOnly {
		return nil, resp
	}
	return encode(messages), resp
}

// FailCreatePartitions answers a request of which nothing is known to have happened.
func FailCreatePartitions(req *wire.CreatePartitionsRequest, code wire.ErrorCode) *wire.CreatePartitionsResponse {
	return answerPartitions(req, func(*wire.CreatePartitionsRequestCreatePartitionsTopic) *problem { return &problem{code: code} })
}

// answerPartitions makes one result per name; decide tells what became of its first mention.
func answerPartitions(req *wire.CreatePartitionsRequest, decide func(*wire.CreatePartitionsRequestCreatePartitionsTopic) *problem) *wire.CreatePartitionsResponse {
	resp := new(wire.CreatePartitionsResponse)
	resp.Default()
	settled := make(map[string]bool, len(req.Topics))
	for i := range req.Topics {
		t := &req.Topics[i]
		if settled[t.Name] {
			continue
		}
		settled[t.Name] = true
		result := wire.CreatePartitionsResponseCreatePartitionsTopicResult{Name: t.Name}
		if refused := decide(t); refused != nil {
			result.ErrorCode = refused.code
			result.ErrorMessage = wire.NullString{Value: refused.message, Valid: refused.message != ""}
		}
		resp.Results = append(resp.Results, result)
	}
	return resp
}

// morePartitions makes the records of one topic's new partitions, at most limit. They have as many replicas as the topic's
// first partition, and are spread as those of a new topic.
func (c *Controller) morePartitions(t *wire.CreatePartitionsRequestCreatePartitionsTopic, limit int, allow Allow) ([]wire.MetadataRecord, *problem) {
	topic, ok := c.image.Topic(t.Name)
	if !ok {
		return nil, &problem{code: wire.ErrorUnknownTopicOrPartition}
	}
	have := len(topic.Partitions)
	additional := int(t.Count) - have
	switch {
	case additional == 0:
		return nil, refuse(wire.ErrorInvalidPartitions, "Topic already has %d partition(s).", have)
	case additional < 0:
		return nil, refuse(wire.ErrorInvalidPartitions, "The topic %s currently has %d partition(s); %d would not be an increase.", t.Name, have, t.Count)
	case coordinated(t.Name):
		return nil, refuse(wire.ErrorInvalidRequest, "Topic %s cannot have more partitions: groups, transactions and the like are found by the number of partitions it began with.", t.Name)
	case t.Assignments != nil && len(t.Assignments) != additional:
		return nil, refuse(wire.ErrorInvalidReplicaAssignment,
			"Attempted to add %d additional partition(s), but only %d assignment(s) were specified.", additional, len(t.Assignments))
	case additional > limit:
		// Kafka fails here with UNKNOWN_SERVER_ERROR and no words.
		return nil, refuse(wire.ErrorPolicyViolation, "Excessively large number of partitions per request.")
	}
	if refused := allow.check(additional); refused != nil {
		return nil, refused
	}
	factor := len(topic.Partitions[0].Replicas)
	var replicas [][]ids.BrokerID
	var refused *problem
	if t.Assignments == nil {
		replicas, refused = c.place(additional, factor)
	} else {
		replicas, refused = c.assignedMore(t, topic, factor)
	}
	if refused != nil {
		return nil, refused
	}
	messages := make([]wire.MetadataRecord, additional)
	for i, r := range replicas {
		messages[i] = c.newPartition(topic.ID, int32(have+i), r)
	}
	return messages, nil
}

// coordinated names the topics whose partitions coordinators choose by a hash.
func coordinated(topic string) bool {
	return topic == "__consumer_offsets" || topic == "__transaction_state" || topic == "__share_group_state"
}

// assignedMore checks replicas that the request names for partitions after those that the topic has.
func (c *Controller) assignedMore(t *wire.CreatePartitionsRequestCreatePartitionsTopic, topic *metadata.Topic, factor int) ([][]ids.BrokerID, *problem) {
	placed := make([][]ids.BrokerID, len(t.Assignments))
	for i, a := range t.Assignments {
		replicas, refused := c.assignedReplicas(a.BrokerIds, factor, int32(len(topic.Partitions)+i))
		if refused != nil {
			return nil, refused
		}
		placed[i] = replicas
	}
	return placed, nil
}
