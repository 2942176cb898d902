package group

import (
	"unicode/utf16"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

const (
	commitOfModernGroups = 9  // OffsetCommit at which a missing group has its own code (KIP-848)
	commitByTopicID      = 10 // and at which topics are named by id (KIP-848)
)

// OffsetCommit keeps how far a group has read. A group without members takes commits of anybody, with generation -1. It makes resp the whole
// answer, reusing its memory. The records are valid until the machine's next commit.
func (m *Machine) OffsetCommit(at machine.Moment, client Client, req *wire.OffsetCommitRequest, resp *wire.OffsetCommitResponse) []machine.Record {
	resp.Default()
	m.commits.reset()
	code, checked := wire.ErrorNone, false
	size := 0
	var g *Group
	var resets reset
	var each func(ids.TopicID, int32) wire.ErrorCode
	for i := range req.Topics {
		asked := &req.Topics[i]
		if len(asked.Partitions) == 0 {
			continue // Kafka does not answer what asks nothing
		}
		resp.Topics = extend(resp.Topics, 1)
		answer := &resp.Topics[len(resp.Topics)-1]
		answer.Name, answer.TopicId = asked.Name, asked.TopicId
		answer.Partitions = extend(answer.Partitions[:0], len(asked.Partitions))
		topic, unknown := m.committedTopic(client, asked)
		for k := range asked.Partitions {
			p := &asked.Partitions[k]
			result := &answer.Partitions[k]
			*result = wire.OffsetCommitResponsePartition{PartitionIndex: p.PartitionIndex}
			if topic == nil || p.PartitionIndex < 0 || int(p.PartitionIndex) >= len(topic.Partitions) {
				result.ErrorCode = unknown
				continue
			}
			if !checked { // as in Kafka, the group is asked only if there is something to commit
				checked = true
				g = m.groups[req.GroupId]
				resets = m.resetBy(at, client, g, req)
				if g := m.consumers(req.GroupId); g != nil {
					code, each = mayCommitConsumers(g.consumer, client, req)
				} else {
					code = m.mayCommit(at, client, req)
				}
			}
			result.ErrorCode = code
			if code == wire.ErrorNone && each != nil {
				result.ErrorCode = each(topic.ID, p.PartitionIndex)
			}
			switch {
			case result.ErrorCode != wire.ErrorNone:
			case tooLong(p.CommittedMetadata.Value, m.cfg.Settings().OffsetMetadataMaxBytes):
				result.ErrorCode = wire.ErrorOffsetMetadataTooLarge
			default:
				journal := g.journalOf(topic, p, resets)
				size += len(req.GroupId) + len(topic.Name) + len(p.CommittedMetadata.Value) + journalBytes(journal) + commitOverhead
				if size <= maxCommitBytes {
					m.commits.add(at, req, topic, p, journal)
				}
			}
		}
	}
	if size > maxCommitBytes {
		refuseCommit(resp, wire.ErrorUnknownServerError) // Kafka's code for what is too large for a batch
		return nil
	}
	m.totals.Commits += len(m.commits.records)
	return m.commits.take()
}

// extend makes s n longer. Elements that it had the room for are as they were, for the memory that they hold.
func extend[T any](s []T, n int) []T {
	if len(s)+n <= cap(s) {
		return s[:len(s)+n]
	}
	return append(s, make([]T, n)...)
}

// maxCommitBytes bounds the records of one commit: a short entry of the request becomes a record with the group's whole name.
// Kafka's bound is that of every batch, message.max.bytes.
const maxCommitBytes = 16 << 20

// commitOverhead is what a record takes beside its texts, about.
const commitOverhead = 64

// refuseCommit puts code where it says that an offset was taken.
func refuseCommit(resp *wire.OffsetCommitResponse, code wire.ErrorCode) {
	for i := range resp.Topics {
		for k := range resp.Topics[i].Partitions {
			if p := &resp.Topics[i].Partitions[k]; p.ErrorCode == wire.ErrorNone {
				p.ErrorCode = code
			}
		}
	}
}

// committedTopic is the topic that a commit names, or the code for one that does not exist.
func (m *Machine) committedTopic(client Client, asked *wire.OffsetCommitRequestTopic) (*metadata.Topic, wire.ErrorCode) {
	if client.Version < commitByTopicID {
		return m.topic(asked.Name), wire.ErrorUnknownTopicOrPartition
	}
	topic := m.topicByID(ids.TopicID(asked.TopicId))
	if topic == nil {
		return nil, wire.ErrorUnknownTopicID
	}
	return topic, wire.ErrorUnknownTopicOrPartition
}

// mayCommit tells whether the request is from somebody who may commit, and gives that member a new session.
func (m *Machine) mayCommit(at machine.Moment, client Client, req *wire.OffsetCommitRequest) wire.ErrorCode {
	g := m.groups[req.GroupId]
	switch {
	case g == nil && req.GenerationIdOrMemberEpoch < 0:
		return wire.ErrorNone // the first commit makes the group
	case g == nil && client.Version >= commitOfModernGroups:
		return wire.ErrorGroupIDNotFound
	case g == nil:
		return wire.ErrorIllegalGeneration
	}
	return m.mayCommitClassic(at, g.classic, req)
}

func (m *Machine) mayCommitClassic(at machine.Moment, c *classic, req *wire.OffsetCommitRequest) wire.ErrorCode {
	isEmpty := c == nil || c.state == empty
	if isEmpty && req.GenerationIdOrMemberEpoch < 0 {
		return wire.ErrorNone
	}
	if c == nil || req.GenerationIdOrMemberEpoch < 0 && req.MemberId == "" && !req.GroupInstanceId.Valid {
		return wire.ErrorUnknownMemberID
	}
	one, code := c.find(req.MemberId, req.GroupInstanceId)
	switch {
	case code != wire.ErrorNone:
		return code
	case req.GenerationIdOrMemberEpoch != c.generation:
		return wire.ErrorIllegalGeneration
	case c.state == completingRebalance:
		return wire.ErrorRebalanceInProgress // it has joined, so what it commits may belong to another member already
	}
	m.touch(at, c, one)
	return wire.ErrorNone
}

// tooLong counts as Kafka does, in UTF-16.
func tooLong(s string, limit int) bool {
	return len(s) > limit && len(utf16.Encode([]rune(s))) > limit
}

// committing makes the records of one commit, in memory that the next one uses again.
type committing struct {
	records []machine.Record
	encoder wire.Encoder
	key     wire.OffsetCommitRecordKey
	value   wire.OffsetCommitValue
}

// retainCommitBytes is how much of it stays: more is the collector's.
const retainCommitBytes = 64 << 10

func (c *committing) reset() { c.records, c.encoder.Buf = c.records[:0], c.encoder.Buf[:0] }

func (c *committing) take() []machine.Record {
	records := c.records
	if cap(c.encoder.Buf) > retainCommitBytes {
		*c = committing{}
	}
	return records
}

func (c *committing) add(at machine.Moment, req *wire.OffsetCommitRequest, topic *metadata.Topic, p *wire.OffsetCommitRequestPartition, journal []Replaced) {
	c.key = wire.OffsetCommitRecordKey{Group: req.GroupId, Topic: topic.Name, Partition: p.PartitionIndex}
	c.value = wire.OffsetCommitValue{Offset: p.CommittedOffset, LeaderEpoch: p.CommittedLeaderEpoch, Metadata: p.CommittedMetadata.Value,
		CommitTimestamp: at.NowMs, ExpireTimestamp: -1, TopicId: wire.UUID(topic.ID), Replaced: journal}
	version := int16(offsetVersion)
	if req.RetentionTimeMs >= 0 {
		c.value.ExpireTimestamp, version = at.NowMs+req.RetentionTimeMs, offsetWithDeadlineVersion
	}
	begin := len(c.encoder.Buf)
	encodePart(&c.encoder, c.key.CoordinatorKey(), &c.key, 0)
	middle := len(c.encoder.Buf)
	encodePart(&c.encoder, version, &c.value, version)
	end := len(c.encoder.Buf)
	// Should the buffer move when it grows, the records before keep the old one.
	c.records = append(c.records, machine.Record{Key: c.encoder.Buf[begin:middle:middle], Value: c.encoder.Buf[middle:end:end]})
}

func offsetTombstone(g *Group, topic string, partition int32) machine.Record {
	return tombstone(&wire.OffsetCommitRecordKey{Group: g.id, Topic: topic, Partition: partition})
}

// OffsetDelete forgets offsets of topics that no member of the group reads.
func (m *Machine) OffsetDelete(req *wire.OffsetDeleteRequest) ([]machine.Record, *wire.OffsetDeleteResponse) {
	resp := new(wire.OffsetDeleteResponse)
	g := m.groups[req.GroupId]
	switch {
	case g == nil:
		resp.ErrorCode = wire.ErrorGroupIDNotFound
		return nil, resp
	case !g.isEmpty() && g.protocolType() != consumerProtocolType:
		resp.ErrorCode = wire.ErrorNonEmptyGroup
		return nil, resp
	}
	var records []machine.Record
	resp.Topics = make([]wire.OffsetDeleteResponseTopic, len(req.Topics))
	for i := range req.Topics {
		asked, answer := &req.Topics[i], &resp.Topics[i]
		answer.Name = asked.Name
		answer.Partitions = make([]wire.OffsetDeleteResponsePartition, len(asked.Partitions))
		topic, subscribed := m.topic(asked.Name), g.subscribes(asked.Name)
		for k := range asked.Partitions {
			index := asked.Partitions[k].PartitionIndex
			result := &answer.Partitions[k]
			result.PartitionIndex = index
			_, there := g.offset(asked.Name, index)
			switch {
			case topic == nil || index < 0 || int(index) >= len(topic.Partitions):
				result.ErrorCode = wire.ErrorUnknownTopicOrPartition
			case subscribed:
				result.ErrorCode = wire.ErrorGroupSubscribedToTopic
			case there || g.isUnstable(asked.Name, index):
				records = append(records, offsetTombstone(g, asked.Name, index))
			}
		}
	}
	return records, resp
}

// of tells whether the offset is one of this topic, and not of an earlier one of the same name.
func (c Committed) of(topic *metadata.Topic) bool { return c.Topic.IsZero() || c.Topic == topic.ID }
