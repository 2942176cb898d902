package api

import (
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// DescribeTopicPartitions, key 75, version 0. KIP-966: topics sorted by name, paged. A reply holds at most as many partitions
// as the request and max.request.partition.size.limit allow, at least one; its cursor is where the next one goes on.
//
// Where we differ from Kafka 4.3.1, on purpose: an empty name is INVALID_TOPIC_EXCEPTION. Kafka fails on it inside: UNKNOWN_SERVER_ERROR. A request with the
// tagged field 10000 Trash is answered with the topics in the trash, tag 10000, and no others.

func (t *Table) describeTopicPartitions(r *Request) Outcome {
	var (
		d    wire.Decoder
		req  wire.DescribeTopicPartitionsRequest
		resp wire.DescribeTopicPartitionsResponse
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	resp.Default()
	if req.Trash {
		resp.Trash = t.trash()
		return reply(r, &resp)
	}
	if !validCursor(&req) {
		for i := range req.Topics {
			resp.Topics = append(resp.Topics, describedTopic(req.Topics[i].Name, wire.ErrorInvalidRequest))
		}
		return reply(r, &resp)
	}
	p := topicPager{view: t.view(r), resp: &resp, left: max(min(int(req.ResponsePartitionLimit), t.deps.Settings.DescribePartitionsLimit), 1)}
	if req.Cursor != nil {
		p.from = *req.Cursor
	}
	if len(req.Topics) == 0 {
		for topic := range p.view.image.TopicsFrom(p.from.TopicName) {
			if !p.add(topic.Name, topic) {
				break
			}
		}
		return reply(r, &resp)
	}
	names := make([]string, 0, len(req.Topics))
	for i := range req.Topics {
		if name := req.Topics[i].Name; name >= p.from.TopicName {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		topic, _ := p.view.image.Topic(name)
		if !p.add(name, topic) {
			break
		}
	}
	return reply(r, &resp)
}

// trash lists the deleted topics that can be restored, those deleted first at the front. The sizes are those of this broker's replicas.
func (t *Table) trash() []wire.DescribeTopicPartitionsResponseTrashedTopic {
	trash, sizes := t.deps.Cluster.Image().Trash(), t.deps.Logs.TrashBytes()
	listed := make([]wire.DescribeTopicPartitionsResponseTrashedTopic, len(trash))
	for i, one := range trash {
		listed[i] = wire.DescribeTopicPartitionsResponseTrashedTopic{Name: one.Topic.Name, TopicId: wire.UUID(one.Topic.ID),
			PartitionCount: int32(len(one.Topic.Partitions)), TrashedMs: one.TrashedMs, UntilMs: one.UntilMs, SizeBytes: sizes[one.Topic.ID]}
	}
	return listed
}

// validCursor is Kafka's rule: a partition ≥ 0, of one of the topics asked for if any are.
func validCursor(req *wire.DescribeTopicPartitionsRequest) bool {
	if req.Cursor == nil {
		return true
	}
	if req.Cursor.PartitionIndex < 0 {
		return false
	}
	return len(req.Topics) == 0 || slices.ContainsFunc(req.Topics, func(topic wire.DescribeTopicPartitionsRequestTopicRequest) bool {
		return topic.Name == req.Cursor.TopicName
	})
}

func describedTopic(name string, code wire.ErrorCode) wire.DescribeTopicPartitionsResponseTopic {
	var to wire.DescribeTopicPartitionsResponseTopic
	to.Default()
	to.Name, to.ErrorCode, to.IsInternal = wire.SomeString(name), code, isInternal(name)
	return to
}

// topicPager fills one page.
type topicPager struct {
	view view
	from wire.DescribeTopicPartitionsRequestCursor
	resp *wire.DescribeTopicPartitionsResponse
	left int // partitions that still fit
}

// add describes a topic, nil if there is none of that name; false means that the page is full and the cursor set.
func (p *topicPager) add(name string, topic *metadata.Topic) bool {
	if p.left == 0 {
		p.resp.NextCursor = &wire.DescribeTopicPartitionsResponseCursor{TopicName: name}
		return false
	}
	code := wire.ErrorNone
	if topic == nil {
		code = wire.ErrorUnknownTopicOrPartition
		if topicNameProblem(name) != "" {
			code = wire.ErrorInvalidTopicException
		}
	}
	to := describedTopic(name, code)
	to.TopicAuthorizedOperations = topicOperations
	if topic == nil {
		p.resp.Topics = append(p.resp.Topics, to)
		return true
	}
	to.TopicId = wire.UUID(topic.ID)
	first := 0
	if name == p.from.TopicName {
		first = min(int(p.from.PartitionIndex), len(topic.Partitions))
	}
	end := min(first+p.left, len(topic.Partitions))
	for i := first; i < end; i++ {
		to.Partitions = append(to.Partitions, p.partition(int32(i), &topic.Partitions[i]))
	}
	p.left -= end - first
	p.resp.Topics = append(p.resp.Topics, to)
	if end < len(topic.Partitions) {
		p.resp.NextCursor = &wire.DescribeTopicPartitionsResponseCursor{TopicName: name, PartitionIndex: int32(end)}
		return false
	}
	return true
}

func (p *topicPager) partition(index int32, from *metadata.Partition) wire.DescribeTopicPartitionsResponsePartition {
	var to wire.DescribeTopicPartitionsResponsePartition
	to.Default()
	to.PartitionIndex, to.LeaderId, to.LeaderEpoch = index, int32(from.Leader), int32(from.LeaderEpoch)
	if from.Leader == ids.NoBroker || !p.view.alive(from.Leader) {
		to.ErrorCode, to.LeaderId = wire.ErrorLeaderNotAvailable, -1
	}
	to.ReplicaNodes, to.IsrNodes, to.OfflineReplicas = brokers(from.Replicas), brokers(from.ISR), p.view.offline(from)
	to.EligibleLeaderReplicas, to.LastKnownElr = brokers(from.ELR), brokers(from.LastKnownELR)
	return to
}
