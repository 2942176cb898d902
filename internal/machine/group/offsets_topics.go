package group

import (
	"maps"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/wire"
)

// Offsets follow their topics: they go when a topic is gone, stay unseen while it is in the trash, and move when it is restored under another name.

// maxForgotten is how many records one command makes about topics that are gone, so that its batch stays far below what a segment holds.
const maxForgotten = 10_000

// fate is what becomes of an offset: it is kept, moved to the topic's present name, or, with neither, forgotten.
type fate struct {
	kept    bool
	movedTo string
}

// TopicsDeleted forgets the offsets of topics that were deleted, but for those in the trash. Those of a new topic of the same name stay. If it says that there are
// more, it is to be called again.
func (m *Machine) TopicsDeleted(deleted map[string]ids.TopicID) (records []machine.Record, more bool) {
	names := slices.Sorted(maps.Keys(deleted))
	return m.settleOffsets(func(*Group) []string { return names }, func(topic string, c Committed) fate {
		if c.Topic.IsZero() {
			return fate{} // with the next topic of that name it could be taken for one of it
		}
		if c.Topic != deleted[topic] {
			return fate{kept: true}
		}
		return m.fateOf(topic, c)
	})
}

// TopicsUntrashed forgets the offsets of topics that were purged, and moves those of topics that were restored under another name. The names are those that the
// topics had in the trash. If it says that there are more, it is to be called again.
func (m *Machine) TopicsUntrashed(names []string) (records []machine.Record, more bool) {
	return m.settleOffsets(func(*Group) []string { return names }, m.fateOf)
}

// ForgetMissingTopics does both for all topics, for what happened while nobody led this partition. The caller knows that the image is at least as new as every
// commit. If it says that there are more, it is to be called again.
func (m *Machine) ForgetMissingTopics() (records []machine.Record, more bool) {
	return m.settleOffsets((*Group).allTopics, m.fateOf)
}

// fateOf is what the present image says of an offset that was committed under a topic's name.
func (m *Machine) fateOf(name string, c Committed) fate {
	if topic := m.topic(name); topic != nil && c.of(topic) {
		return fate{kept: true}
	}
	if c.Topic.IsZero() {
		return fate{}
	}
	if topic := m.topicByID(c.Topic); topic != nil {
		return fate{movedTo: topic.Name}
	}
	return fate{kept: m.inTrash(c.Topic)}
}

func (m *Machine) inTrash(id ids.TopicID) bool {
	if m.cfg.Image == nil || id.IsZero() {
		return false
	}
	_, there := m.cfg.Image().Trashed(id)
	return there
}

// settleOffsets has every group forget or move offsets of its topics.
func (m *Machine) settleOffsets(topics func(*Group) []string, decide func(topic string, c Committed) fate) (records []machine.Record, more bool) {
	for _, g := range m.sorted() {
		for _, topic := range topics(g) {
			for _, partition := range g.allPartitions(topic) {
				c, there := g.offset(topic, partition)
				if !there {
					c = g.newestUnstable(topic, partition)
				}
				what := decide(topic, c)
				if what.kept {
					continue
				}
				if len(records) >= maxForgotten {
					return records, true
				}
				old, taken := g.offset(what.movedTo, partition)
				if there && what.movedTo != "" && !(taken && m.shows(m.topic(what.movedTo), old)) {
					records = append(records, movedOffset(g, what.movedTo, partition, c))
				}
				records = append(records, offsetTombstone(g, topic, partition))
			}
		}
	}
	return records, false
}

// movedOffset is an offset under another name of its topic.
func movedOffset(g *Group, topic string, partition int32, c Committed) machine.Record {
	value := &wire.OffsetCommitValue{Offset: int64(c.Offset), LeaderEpoch: int32(c.LeaderEpoch), Metadata: c.Metadata,
		CommitTimestamp: c.CommitMs, ExpireTimestamp: c.ExpireMs, TopicId: wire.UUID(c.Topic)}
	if c.Journal != nil {
		value.Replaced = *c.Journal
	}
	return encode(&wire.OffsetCommitRecordKey{Group: g.id, Topic: topic, Partition: partition}, value, offsetVersion)
}
