package group

import (
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

const fetchByTopicID = 10 // OffsetFetch at which topics are named by id (KIP-848)

// maxFetchBytes bounds the metadata texts of one group's answer: a request may name the same partition a million times, at four
// bytes each.
const maxFetchBytes = 64 << 20

// OffsetFetch answers for one group of the request: offset -1, without an error, where nothing is committed. Topics that are
// null are all that have offsets. With requireStable, one that an open transaction may change is UNSTABLE_OFFSET_COMMIT (KIP-447).
func (m *Machine) OffsetFetch(client Client, asked *wire.OffsetFetchRequestGroup, requireStable bool) wire.OffsetFetchResponseGroup {
	answer := wire.OffsetFetchResponseGroup{GroupId: asked.GroupId, Topics: []wire.OffsetFetchResponseTopics{}}
	g := m.groups[asked.GroupId]
	if g != nil && g.consumer != nil {
		if answer.ErrorCode = mayFetchConsumers(g.consumer, asked); answer.ErrorCode != wire.ErrorNone {
			return answer
		}
	}
	budget := maxFetchBytes
	if asked.Topics == nil {
		if g != nil {
			m.fetchAll(client, g, asked.Journal, &answer, &budget)
		}
	} else {
		answer.Topics = make([]wire.OffsetFetchResponseTopics, len(asked.Topics))
		for i := range asked.Topics {
			m.fetchTopic(client, g, &asked.Topics[i], &answer.Topics[i], fetchTerms{asked.Journal, &budget})
		}
	}
	if g != nil && requireStable && len(g.unstable) > 0 {
		m.refuseUnstable(g, &answer)
	}
	return answer
}

// refuseUnstable takes back what an open transaction may change.
func (m *Machine) refuseUnstable(g *Group, answer *wire.OffsetFetchResponseGroup) {
	for i := range answer.Topics {
		t := &answer.Topics[i]
		name := t.Name
		if topic := m.topicByID(ids.TopicID(t.TopicId)); topic != nil {
			name = topic.Name
		}
		for k := range t.Partitions {
			if p := &t.Partitions[k]; g.isUnstable(name, p.PartitionIndex) {
				*p = noOffset(p.PartitionIndex, wire.ErrorUnstableOffsetCommit)
			}
		}
	}
}

func noOffset(partition int32, code wire.ErrorCode) wire.OffsetFetchResponsePartitions {
	return wire.OffsetFetchResponsePartitions{PartitionIndex: partition, CommittedOffset: -1, CommittedLeaderEpoch: -1, Metadata: wire.SomeString(""), ErrorCode: code}
}

// fetchTerms are whether journals are asked for, and how many bytes of texts the answer may still have.
type fetchTerms struct {
	journal bool
	budget  *int
}

func (m *Machine) fetchTopic(client Client, g *Group, asked *wire.OffsetFetchRequestTopics, answer *wire.OffsetFetchResponseTopics, terms fetchTerms) {
	answer.Name, answer.TopicId = asked.Name, asked.TopicId
	answer.Partitions = make([]wire.OffsetFetchResponsePartitions, len(asked.PartitionIndexes))
	topic := m.topic(asked.Name)
	name := asked.Name
	if client.Version >= fetchByTopicID {
		if topic = m.topicByID(ids.TopicID(asked.TopicId)); topic != nil {
			name = topic.Name
		}
	}
	for k, index := range asked.PartitionIndexes {
		p := &answer.Partitions[k]
		*p = noOffset(index, wire.ErrorNone)
		if topic == nil && client.Version >= fetchByTopicID {
			p.ErrorCode = wire.ErrorUnknownTopicID
			continue
		}
		if g == nil {
			continue
		}
		if c, ok := g.offset(name, index); ok && m.shows(topic, c) {
			var journal []wire.OffsetFetchResponseReplacedOffset
			if terms.journal && c.Journal != nil {
				journal = toldJournal(c.Journal)
				*terms.budget -= journalBytes(*c.Journal)
			}
			if *terms.budget -= len(c.Metadata); *terms.budget < 0 {
				p.ErrorCode = wire.ErrorUnknownServerError
				continue
			}
			p.CommittedOffset, p.CommittedLeaderEpoch, p.Metadata, p.Replaced = int64(c.Offset), int32(c.LeaderEpoch), wire.SomeString(c.Metadata), journal
		}
	}
}

// shows tells whether an offset is one of this topic; of a topic that does not exist, nil, those are shown that are about to be forgotten.
func (m *Machine) shows(topic *metadata.Topic, c Committed) bool {
	if topic == nil {
		return !m.inTrash(c.Topic)
	}
	return c.of(topic)
}

func (m *Machine) fetchAll(client Client, g *Group, journal bool, answer *wire.OffsetFetchResponseGroup, budget *int) {
	for _, name := range g.topics() {
		asked := wire.OffsetFetchRequestTopics{Name: name}
		topic := m.topic(name)
		switch {
		case topic != nil:
			asked.TopicId = wire.UUID(topic.ID)
		case client.Version >= fetchByTopicID:
			continue // it has no id to be named by
		}
		for _, index := range g.partitions(name) {
			if m.shows(topic, g.offsets[name][index]) {
				asked.PartitionIndexes = append(asked.PartitionIndexes, index)
			}
		}
		if len(asked.PartitionIndexes) > 0 {
			answer.Topics = append(answer.Topics, wire.OffsetFetchResponseTopics{})
			m.fetchTopic(client, g, &asked, &answer.Topics[len(answer.Topics)-1], fetchTerms{journal, budget})
		}
	}
}
