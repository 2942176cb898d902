package group

import (
	"fmt"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/wire"
)

// consumerVersion is the version of all values of a consumer group's records that Kafka 4.3.1 writes.
const consumerVersion = 0

func epochRecord(group string, epoch int32, hash int64) machine.Record {
	return encode(&wire.ConsumerGroupMetadataKey{GroupId: group}, &wire.ConsumerGroupMetadataValue{Epoch: epoch, MetadataHash: hash}, consumerVersion)
}

func memberRecord(group string, one *consumer) machine.Record {
	value := &wire.ConsumerGroupMemberMetadataValue{InstanceId: one.instance, RackId: one.rack, ClientId: one.client, ClientHost: one.host,
		SubscribedTopicNames: one.topics, SubscribedTopicRegex: one.regex, RebalanceTimeoutMs: one.rebalanceMs, ServerAssignor: one.assignor}
	if value.SubscribedTopicNames == nil {
		value.SubscribedTopicNames = []string{}
	}
	if one.classic != nil {
		protocols := make([]wire.ConsumerGroupMemberMetadataValueClassicProtocol, len(one.classic.protocols))
		for i, p := range one.classic.protocols {
			protocols[i] = wire.ConsumerGroupMemberMetadataValueClassicProtocol{Name: p.Name, Metadata: present(p.Metadata)}
		}
		value.ClassicMemberMetadata = &wire.ConsumerGroupMemberMetadataValueClassicMemberMetadata{
			SessionTimeoutMs: one.classic.sessionMs, SupportedProtocols: protocols}
	}
	return encode(&wire.ConsumerGroupMemberMetadataKey{GroupId: group, MemberId: one.id}, value, consumerVersion)
}

func targetRecord(group, member string, s share) machine.Record {
	value := &wire.ConsumerGroupTargetAssignmentMemberValue{TopicPartitions: make([]wire.ConsumerGroupTargetAssignmentMemberValueTopicPartition, len(s))}
	for i, t := range s {
		value.TopicPartitions[i] = wire.ConsumerGroupTargetAssignmentMemberValueTopicPartition{TopicId: wire.UUID(t.topic), Partitions: t.partitions}
	}
	return encode(&wire.ConsumerGroupTargetAssignmentMemberKey{GroupId: group, MemberId: member}, value, consumerVersion)
}

func targetEpochRecord(group string, epoch int32, atMs int64) machine.Record {
	return encode(&wire.ConsumerGroupTargetAssignmentMetadataKey{GroupId: group},
		&wire.ConsumerGroupTargetAssignmentMetadataValue{AssignmentEpoch: epoch, AssignmentTimestamp: atMs}, consumerVersion)
}

func currentRecord(group string, one *consumer) machine.Record {
	list := func(s share) []wire.ConsumerGroupCurrentMemberAssignmentValueTopicPartitions {
		topics := make([]wire.ConsumerGroupCurrentMemberAssignmentValueTopicPartitions, len(s))
		for i, t := range s {
			topics[i] = wire.ConsumerGroupCurrentMemberAssignmentValueTopicPartitions{TopicId: wire.UUID(t.topic), Partitions: t.partitions, AssignmentEpochs: t.epochs}
		}
		return topics
	}
	return encode(&wire.ConsumerGroupCurrentMemberAssignmentKey{GroupId: group, MemberId: one.id},
		&wire.ConsumerGroupCurrentMemberAssignmentValue{MemberEpoch: one.epoch, PreviousMemberEpoch: one.previousEpoch, State: int8(one.state),
			AssignedPartitions: list(one.assigned), PartitionsPendingRevocation: list(one.revoking)}, consumerVersion)
}

func regexRecord(group, regex string, r resolvedRegex) machine.Record {
	return encode(&wire.ConsumerGroupRegularExpressionKey{GroupId: group, RegularExpression: regex},
		&wire.ConsumerGroupRegularExpressionValue{Topics: r.topics, Version: r.version, Timestamp: r.atMs}, consumerVersion)
}

func regexTombstone(group, regex string) machine.Record {
	return tombstone(&wire.ConsumerGroupRegularExpressionKey{GroupId: group, RegularExpression: regex})
}

// removalOf are the tombstones of a member, in the order that Kafka's loader wants.
func removalOf(group, member string) []machine.Record {
	return []machine.Record{
		tombstone(&wire.ConsumerGroupCurrentMemberAssignmentKey{GroupId: group, MemberId: member}),
		tombstone(&wire.ConsumerGroupTargetAssignmentMemberKey{GroupId: group, MemberId: member}),
		tombstone(&wire.ConsumerGroupMemberMetadataKey{GroupId: group, MemberId: member}),
	}
}

// tombstones end a consumer group. renamed, if not nil, maps members to ids that earlier records of the same command gave them.
func (c *consumerGroup) tombstones(group string, renamed map[string]string) (records []machine.Record) {
	var names []string
	for _, one := range c.sorted() {
		name := one.id
		if other, ok := renamed[name]; ok {
			name = other
		}
		names = append(names, name)
	}
	for _, name := range names {
		records = append(records, tombstone(&wire.ConsumerGroupCurrentMemberAssignmentKey{GroupId: group, MemberId: name}))
	}
	for _, name := range names {
		records = append(records, tombstone(&wire.ConsumerGroupTargetAssignmentMemberKey{GroupId: group, MemberId: name}))
	}
	records = append(records, tombstone(&wire.ConsumerGroupTargetAssignmentMetadataKey{GroupId: group}))
	for _, name := range names {
		records = append(records, tombstone(&wire.ConsumerGroupMemberMetadataKey{GroupId: group, MemberId: name}))
	}
	for _, regex := range sortedKeys(c.regexes) {
		records = append(records, regexTombstone(group, regex))
	}
	return append(records, tombstone(&wire.ConsumerGroupPartitionMetadataKey{GroupId: group}), tombstone(&wire.ConsumerGroupMetadataKey{GroupId: group}))
}

func (m *Machine) applyConsumerRecord(key wire.CoordinatorRecord, r *machine.Record) error {
	change, err := consumerRecordOf(key, r.Value)
	if err != nil || change.apply == nil {
		return err
	}
	g := m.groups[change.group]
	if g == nil || g.consumer == nil {
		if !change.found {
			return nil
		}
		g = m.group(change.group)
		g.consumer = newConsumerGroup()
	}
	change.apply(g.consumer)
	if g.consumer.isBlank() {
		g.consumer = nil
		m.forget(g)
	}
	return nil
}

// apply is applyConsumerRecord for records that only a group in preparation has seen: all are those of one group.
func (c *consumerGroup) apply(records []machine.Record) {
	for i := range records {
		key, err := decodeKey(records[i].Key)
		if err == nil {
			var change consumerRecord
			if change, err = consumerRecordOf(key, records[i].Value); err == nil && change.apply != nil {
				change.apply(c)
			}
		}
		if err != nil {
			panic(fmt.Sprintf("group: our own record cannot be read: %v", err))
		}
	}
}

// consumerRecord is a record of a consumer group, decoded: what its value does to the group.
type consumerRecord struct {
	group string
	apply func(c *consumerGroup) // changes the group; nil for a record of another kind
	found bool                   // the value is not null, so that there is a group
}

// consumerRecordOf decodes a record of a consumer group.
func consumerRecordOf(key wire.CoordinatorRecord, value []byte) (r consumerRecord, err error) {
	r.found = value != nil
	switch key := key.(type) {
	case *wire.ConsumerGroupMetadataKey:
		r.group = key.GroupId
		var v wire.ConsumerGroupMetadataValue
		v.Epoch = firstEpoch
		err = decodeUnlessNull(&v, value)
		r.apply = func(c *consumerGroup) { c.epoch, c.metadataHash, c.stored = v.Epoch, v.MetadataHash, value != nil }
	case *wire.ConsumerGroupPartitionMetadataKey:
		r.group = key.GroupId
		r.apply = func(c *consumerGroup) { c.legacy = value != nil }
	case *wire.ConsumerGroupTargetAssignmentMetadataKey:
		r.group = key.GroupId
		var v wire.ConsumerGroupTargetAssignmentMetadataValue
		v.AssignmentEpoch = -1
		err = decodeUnlessNull(&v, value)
		r.apply = func(c *consumerGroup) {
			c.targetEpoch, c.targetMs, c.targeted = v.AssignmentEpoch, v.AssignmentTimestamp, value != nil
		}
	case *wire.ConsumerGroupMemberMetadataKey:
		r.group = key.GroupId
		r.apply, err = applyMember(key.MemberId, value)
	case *wire.ConsumerGroupCurrentMemberAssignmentKey:
		r.group = key.GroupId
		r.apply, err = applyCurrent(key.MemberId, value)
	case *wire.ConsumerGroupTargetAssignmentMemberKey:
		r.group = key.GroupId
		r.apply, err = applyTarget(key.MemberId, value)
	case *wire.ConsumerGroupRegularExpressionKey:
		r.group = key.GroupId
		r.apply, err = applyRegex(key.RegularExpression, value)
	}
	return r, err
}

func decodeUnlessNull(into wire.CoordinatorRecord, value []byte) error {
	if value == nil {
		return nil
	}
	return decodeValue(into, value)
}

func applyMember(id string, value []byte) (func(*consumerGroup), error) {
	if value == nil {
		return func(c *consumerGroup) { c.remove(id) }, nil
	}
	var v wire.ConsumerGroupMemberMetadataValue
	if err := decodeValue(&v, value); err != nil {
		return nil, err
	}
	return func(c *consumerGroup) {
		one := c.memberOrNew(id)
		one.instance, one.rack, one.client, one.host = v.InstanceId, v.RackId, v.ClientId, v.ClientHost
		one.topics, one.regex, one.rebalanceMs, one.assignor = sortedNames(v.SubscribedTopicNames), v.SubscribedTopicRegex, v.RebalanceTimeoutMs, v.ServerAssignor
		one.classic = nil
		if v.ClassicMemberMetadata != nil {
			one.classic = &classicConsumer{sessionMs: v.ClassicMemberMetadata.SessionTimeoutMs}
			for _, p := range v.ClassicMemberMetadata.SupportedProtocols {
				one.classic.protocols = append(one.classic.protocols, wire.JoinGroupRequestProtocol(p))
			}
		}
		c.put(one)
	}, nil
}

func applyCurrent(id string, value []byte) (func(*consumerGroup), error) {
	if value == nil {
		return func(c *consumerGroup) {
			if c.members[id] == nil {
				return
			}
			one := c.memberOrNew(id)
			one.epoch, one.previousEpoch, one.assigned, one.revoking = leavingEpoch, leavingEpoch, nil, nil
			c.put(one)
		}, nil
	}
	var v wire.ConsumerGroupCurrentMemberAssignmentValue
	if err := decodeValue(&v, value); err != nil {
		return nil, err
	}
	return func(c *consumerGroup) {
		one := c.memberOrNew(id)
		one.epoch, one.previousEpoch, one.state = v.MemberEpoch, v.PreviousMemberEpoch, consumerState(v.State)
		one.assigned, one.revoking = ownedShare(v.AssignedPartitions, v.MemberEpoch), ownedShare(v.PartitionsPendingRevocation, v.MemberEpoch)
		c.put(one)
	}, nil
}

func applyTarget(id string, value []byte) (func(*consumerGroup), error) {
	if value == nil {
		return func(c *consumerGroup) { delete(c.target, id) }, nil
	}
	var v wire.ConsumerGroupTargetAssignmentMemberValue
	if err := decodeValue(&v, value); err != nil {
		return nil, err
	}
	var s share
	for _, t := range v.TopicPartitions {
		s = append(s, topicShare{topic: ids.TopicID(t.TopicId), partitions: t.Partitions})
	}
	s = normal(s)
	return func(c *consumerGroup) { c.target[id] = s }, nil
}

func applyRegex(regex string, value []byte) (func(*consumerGroup), error) {
	if value == nil {
		return func(c *consumerGroup) { c.removeRegex(regex) }, nil
	}
	var v wire.ConsumerGroupRegularExpressionValue
	if err := decodeValue(&v, value); err != nil {
		return nil, err
	}
	return func(c *consumerGroup) {
		c.putRegex(regex, resolvedRegex{topics: sortedNames(v.Topics), version: v.Version, atMs: v.Timestamp})
	}, nil
}

// memberOrNew is a copy of the member to change and put, or a new one.
func (c *consumerGroup) memberOrNew(id string) *consumer {
	if old := c.members[id]; old != nil {
		one := *old
		return &one
	}
	return newConsumer(id)
}

// ownedShare reads what a member owns. Records of Kafka before 4.3 do not say since when.
func ownedShare(topics []wire.ConsumerGroupCurrentMemberAssignmentValueTopicPartitions, epoch int32) (s share) {
	for _, t := range topics {
		epochs := t.AssignmentEpochs
		if len(epochs) != len(t.Partitions) {
			epochs = slices.Repeat([]int32{max(epoch, 0)}, len(t.Partitions))
		}
		s = append(s, topicShare{topic: ids.TopicID(t.TopicId), partitions: t.Partitions, epochs: epochs})
	}
	return normal(s)
}

// normal brings a share that somebody else has written into our order: Kafka's records have none.
func normal(s share) share {
	s = slices.DeleteFunc(s, func(t topicShare) bool { return len(t.partitions) == 0 })
	slices.SortStableFunc(s, func(a, b topicShare) int { return compareTopics(a.topic, b.topic) })
	for i := range s {
		t := &s[i]
		if slices.IsSorted(t.partitions) {
			continue
		}
		if t.epochs == nil {
			slices.Sort(t.partitions)
			continue
		}
		byPartition := make(map[int32]int32, len(t.partitions))
		for k, p := range t.partitions {
			byPartition[p] = t.epochs[k]
		}
		slices.Sort(t.partitions)
		for k, p := range t.partitions {
			t.epochs[k] = byPartition[p]
		}
	}
	return s
}

// sortedNames are names in order, each once.
func sortedNames(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}
