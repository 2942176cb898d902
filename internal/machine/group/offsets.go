package group

import (
	"maps"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
)

// Committed is how far a group has read a partition.
type Committed struct {
	Offset      ids.Offset      // of the next record to read
	LeaderEpoch ids.LeaderEpoch // of the last record read; -1 if the client did not say
	Metadata    string          // the client's
	CommitMs    int64           // wall clock
	ExpireMs    int64           // wall clock, from a retention of the commit's own (OffsetCommit 2-4); -1 is none
	Topic       ids.TopicID     // zero in records of Kafka before 4.1
	Journal     *Journal        // what resets replaced; nil if there were none

	at ids.Offset // of its record in the log
}

func (g *Group) putOffset(topic string, partition int32, c Committed) {
	partitions := g.offsets[topic]
	if partitions == nil {
		if g.offsets == nil {
			g.offsets = make(map[string]map[int32]Committed)
		}
		partitions = make(map[int32]Committed)
		g.offsets[topic] = partitions
	}
	g.countJournals(partitions[partition].Journal, c.Journal)
	partitions[partition] = c
}

func (g *Group) countJournals(before, after *Journal) {
	if before != nil {
		g.journals--
	}
	if after != nil {
		g.journals++
	}
}

func (g *Group) removeOffset(topic string, partition int32) {
	partitions := g.offsets[topic]
	g.countJournals(partitions[partition].Journal, nil)
	delete(partitions, partition)
	if len(partitions) == 0 {
		delete(g.offsets, topic)
	}
}

func (g *Group) offset(topic string, partition int32) (Committed, bool) {
	c, ok := g.offsets[topic][partition]
	return c, ok
}

// topics are the topics with offsets, sorted; partitions the partitions of one.
func (g *Group) topics() []string { return slices.Sorted(maps.Keys(g.offsets)) }

func (g *Group) partitions(topic string) []int32 { return slices.Sorted(maps.Keys(g.offsets[topic])) }
