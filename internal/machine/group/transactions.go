package group

import (
	"maps"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
)

// Offsets that were committed in a transaction (TxnOffsetCommit) count when the transaction's marker says so. Until then they
// are unstable, and fetches that require stable offsets wait. A log that Kafka wrote may hold such records.

func (m *Machine) putUnstable(producer ids.ProducerID, group string, tp ids.TopicPartition, c Committed) {
	g := m.group(group)
	if g.unstable == nil {
		g.unstable = make(map[ids.ProducerID]map[ids.TopicPartition]Committed)
	}
	if g.unstable[producer] == nil {
		g.unstable[producer] = make(map[ids.TopicPartition]Committed)
	}
	g.unstable[producer][tp] = c
	if m.transactions[producer] == nil {
		m.transactions[producer] = make(map[*Group]bool)
	}
	m.transactions[producer][g] = true
}

// endTransaction keeps or drops what a producer committed since its last transaction. What was committed otherwise in the
// meantime stays.
func (m *Machine) endTransaction(producer ids.ProducerID, committed bool) {
	for g := range m.transactions[producer] {
		if committed {
			for tp, c := range g.unstable[producer] {
				if old, there := g.offset(tp.Topic, tp.Partition); !there || c.at > old.at {
					g.putOffset(tp.Topic, tp.Partition, c)
				}
			}
		}
		delete(g.unstable, producer)
		m.forget(g)
	}
	delete(m.transactions, producer)
}

// removeUnstable forgets what all open transactions say about a partition.
func (m *Machine) removeUnstable(g *Group, topic string, partition int32) {
	for producer, offsets := range g.unstable {
		if delete(offsets, ids.TopicPartition{Topic: topic, Partition: partition}); len(offsets) == 0 {
			delete(g.unstable, producer)
			delete(m.transactions[producer], g)
		}
	}
}

func (g *Group) isUnstable(topic string, partition int32) bool {
	for _, offsets := range g.unstable {
		if _, there := offsets[ids.TopicPartition{Topic: topic, Partition: partition}]; there {
			return true
		}
	}
	return false
}

// newestUnstable is the last of the open transactions' offsets of a partition.
func (g *Group) newestUnstable(topic string, partition int32) (newest Committed) {
	newest.at = -1
	for _, offsets := range g.unstable {
		if c, there := offsets[ids.TopicPartition{Topic: topic, Partition: partition}]; there && c.at > newest.at {
			newest = c
		}
	}
	return newest
}

// allTopics and allPartitions are as topics and partitions, with those that only open transactions name.
func (g *Group) allTopics() []string {
	if len(g.unstable) == 0 {
		return g.topics()
	}
	all := make(map[string]bool)
	for topic := range g.offsets {
		all[topic] = true
	}
	for _, offsets := range g.unstable {
		for tp := range offsets {
			all[tp.Topic] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func (g *Group) allPartitions(topic string) []int32 {
	if len(g.unstable) == 0 {
		return g.partitions(topic)
	}
	all := maps.Clone(g.offsets[topic])
	if all == nil {
		all = make(map[int32]Committed)
	}
	for _, offsets := range g.unstable {
		for tp, c := range offsets {
			if tp.Topic == topic {
				all[tp.Partition] = c
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}
