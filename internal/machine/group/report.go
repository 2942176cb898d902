package group

import (
	"cmp"
	"maps"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
)

// Report is one group as metrics show it.
type Report struct {
	Group   string
	State   string // in Kafka's words
	Members int
	Read    []Position // by topic and partition
}

// Position is how far a group has read one partition.
type Position struct {
	Topic     string
	Partition int32
	Offset    ids.Offset // of the next record to read
}

// Report tells about the first groups by name that have at most limit offsets together; omitted is how many more there are. The caller
// may keep what it gets.
func (m *Machine) Report(limit int) (reports []Report, omitted int) {
	all := m.sorted()
	for i, g := range all {
		count := g.offsetCount()
		if count > limit {
			return reports, len(all) - i
		}
		limit -= max(count, 1)
		r := Report{Group: g.id, State: g.state(), Members: g.memberCount(), Read: make([]Position, 0, count)}
		for topic, partitions := range g.offsets {
			now := m.topic(topic)
			for partition, c := range partitions {
				if c.Offset < 0 || !m.shows(now, c) {
					continue
				}
				r.Read = append(r.Read, Position{topic, partition, c.Offset})
			}
		}
		slices.SortFunc(r.Read, func(a, b Position) int {
			return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
		})
		reports = append(reports, r)
	}
	return reports, 0
}

// Positions are how far a group has read, by topic and partition; false if there is no such group.
func (m *Machine) Positions(name string) ([]Position, bool) {
	g, ok := m.groups[name]
	if !ok {
		return nil, false
	}
	read := make([]Position, 0, g.offsetCount())
	for _, topic := range g.topics() {
		for _, partition := range g.partitions(topic) {
			c, _ := g.offset(topic, partition)
			read = append(read, Position{topic, partition, c.Offset})
		}
	}
	return read, true
}

// Committed appends to read those of the partitions asked for that a group has read, and how far, in the order of asked.
func (m *Machine) Committed(name string, asked, read []Position) []Position {
	g, ok := m.groups[name]
	if !ok {
		return read
	}
	for _, p := range asked {
		if c, ok := g.offset(p.Topic, p.Partition); ok {
			read = append(read, Position{p.Topic, p.Partition, c.Offset})
		}
	}
	return read
}

func (g *Group) memberCount() int {
	switch {
	case g.consumer != nil:
		return len(g.consumer.members)
	case g.classic == nil:
		return 0
	}
	return len(g.classic.members)
}

func (g *Group) offsetCount() (count int) {
	for partitions := range maps.Values(g.offsets) {
		count += len(partitions)
	}
	return count
}
