package group

import (
	"fmt"

	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// ConsumerGroupDescribe describes consumer groups, in the order of names. AuthorizedOperations is left to the caller.
func (m *Machine) ConsumerGroupDescribe(names []string) []wire.ConsumerGroupDescribeResponseDescribedGroup {
	image := m.image()
	described := make([]wire.ConsumerGroupDescribeResponseDescribedGroup, len(names))
	for i, name := range names {
		d := &described[i]
		d.GroupId, d.AuthorizedOperations = name, noOperations
		switch g := m.groups[name]; {
		case name == "":
			d.ErrorCode = wire.ErrorInvalidGroupID
		case g == nil:
			d.ErrorCode, d.ErrorMessage = wire.ErrorGroupIDNotFound, wire.SomeString(fmt.Sprintf("Group %s not found.", name))
		case g.consumer == nil:
			d.ErrorCode, d.ErrorMessage = wire.ErrorGroupIDNotFound, wire.SomeString(fmt.Sprintf("Group %s is not a consumer group.", name))
		default:
			g.consumer.describe(image, d)
			for j := range d.Members {
				d.Members[j].ClientSoftware = g.live.softwareOf(d.Members[j].MemberId).String()
			}
			d.AssignorName = preferred(g.consumer.assignors, m.cfg.Settings().ConsumerAssignors)
		}
	}
	return described
}

func (c *consumerGroup) describe(image *metadata.Image, d *wire.ConsumerGroupDescribeResponseDescribedGroup) {
	d.GroupState, d.GroupEpoch, d.AssignmentEpoch = c.state(), c.epoch, c.targetEpoch
	d.Members = make([]wire.ConsumerGroupDescribeResponseMember, 0, len(c.members))
	for _, one := range c.sorted() {
		owned := one.assigned // what it has to give up is still its own
		for _, t := range one.revoking {
			owned = union(owned, t)
		}
		shown := wire.ConsumerGroupDescribeResponseMember{MemberId: one.id, InstanceId: one.instance, RackId: one.rack, MemberEpoch: one.epoch,
			ClientId: one.client, ClientHost: one.host, SubscribedTopicNames: one.topics, SubscribedTopicRegex: one.regex,
			Assignment: describeShare(image, owned), TargetAssignment: describeShare(image, c.target[one.id]), MemberType: 1}
		if shown.SubscribedTopicNames == nil {
			shown.SubscribedTopicNames = []string{}
		}
		if one.classic != nil {
			shown.MemberType = 0
		}
		d.Members = append(d.Members, shown)
	}
}

// describeShare names the topics of a share that still exist.
func describeShare(image *metadata.Image, s share) wire.ConsumerGroupDescribeResponseAssignment {
	topics := make([]wire.ConsumerGroupDescribeResponseTopicPartitions, 0, len(s))
	for _, t := range s {
		if topic, ok := image.TopicByID(t.topic); ok {
			topics = append(topics, wire.ConsumerGroupDescribeResponseTopicPartitions{TopicId: wire.UUID(t.topic), TopicName: topic.Name, Partitions: t.partitions})
		}
	}
	return wire.ConsumerGroupDescribeResponseAssignment{TopicPartitions: topics}
}
