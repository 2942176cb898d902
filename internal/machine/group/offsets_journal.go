package group

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// Who resets the offsets of a group commits as somebody who is no member, and what was committed before would be gone. So the record of such a commit also
// says what it replaced, in its tagged field 10000, and later commits of the partition carry that on. Kafka's tools skip it, and compaction keeps
// it with the newest record. A plain consumer without a group membership commits in the same way; it moves on, and no journal is kept of that.

const (
	journalLength        = 10      // resets that are remembered of a partition
	journalMetadataBytes = 1 << 10 // of their metadata together; the newest is always remembered
)

// adminClients is how the client ids of Kafka's admin clients, and so of its tools and of most consoles, begin by default.
const adminClients = "adminclient"

// Replaced is what was committed before a reset. Offset -1 is nothing.
type Replaced = wire.OffsetCommitValueReplacedOffset

// Journal is what resets replaced, the latest first. It never changes.
type Journal []Replaced

// String tells it all.
func (j *Journal) String() string {
	if j == nil {
		return ""
	}
	return fmt.Sprintf("%+v", []Replaced(*j))
}

// reset says whether a commit is one, and when, in milliseconds of the wall clock: later than all resets of the group before.
type reset struct {
	is bool
	ms int64
}

// resetBy tells whether a request resets offsets: it says so, comes from an admin client, or moves one back.
func (m *Machine) resetBy(at machine.Moment, client Client, g *Group, req *wire.OffsetCommitRequest) reset {
	if req.GenerationIdOrMemberEpoch >= 0 || req.MemberId != "" || req.GroupInstanceId.Valid || req.RetentionTimeMs >= 0 {
		return reset{} // of a member; or its records have no place for it
	}
	if !req.Reset && !strings.HasPrefix(client.ID, adminClients) && !m.goesBack(client, g, req) {
		return reset{}
	}
	r := reset{true, at.NowMs}
	if g == nil || g.journals == 0 {
		return r
	}
	for _, partitions := range g.offsets {
		for _, c := range partitions {
			if c.Journal != nil {
				r.ms = max(r.ms, (*c.Journal)[0].ResetMs+1)
			}
		}
	}
	return r
}

// goesBack tells whether a commit moves a partition back.
func (m *Machine) goesBack(client Client, g *Group, req *wire.OffsetCommitRequest) bool {
	if g == nil {
		return false
	}
	for i := range req.Topics {
		topic, _ := m.committedTopic(client, &req.Topics[i])
		if topic == nil {
			continue
		}
		for k := range req.Topics[i].Partitions {
			p := &req.Topics[i].Partitions[k]
			if old, there := g.offset(topic.Name, p.PartitionIndex); there && old.of(topic) && p.CommittedOffset < int64(old.Offset) {
				return true
			}
		}
	}
	return false
}

// journalOf is what the record of a commit says about the resets of its partition.
func (g *Group) journalOf(topic *metadata.Topic, p *wire.OffsetCommitRequestPartition, r reset) []Replaced {
	if !r.is && (g == nil || g.journals == 0) {
		return nil
	}
	replaced := Replaced{ResetMs: r.ms, Offset: -1, LeaderEpoch: -1}
	var journal Journal
	same := false
	if g != nil {
		if old, there := g.offset(topic.Name, p.PartitionIndex); there && old.of(topic) {
			replaced.Offset, replaced.LeaderEpoch, replaced.Metadata = int64(old.Offset), int32(old.LeaderEpoch), old.Metadata
			same = int64(old.Offset) == p.CommittedOffset
			if old.Journal != nil {
				journal = *old.Journal
			}
		}
	}
	if !r.is || same {
		return journal
	}
	return append(Journal{replaced}, journal...).bounded()
}

// bounded drops the oldest of what is too much.
func (j Journal) bounded() Journal {
	size := 0
	for i := range j {
		size += len(j[i].Metadata)
		if i == journalLength || i > 0 && size > journalMetadataBytes {
			return j[:i]
		}
	}
	return j
}

// newJournal is the journal of a record, which owns its memory; nil if it has none.
func newJournal(replaced []Replaced) *Journal {
	if len(replaced) == 0 {
		return nil
	}
	j := Journal(slices.Clone(replaced))
	return &j
}

// journalBytes is what it takes in a record, about.
func journalBytes(replaced []Replaced) (size int) {
	for i := range replaced {
		size += 24 + len(replaced[i].Metadata)
	}
	return size
}

// toldJournal is a journal as OffsetFetch tells it.
func toldJournal(j *Journal) []wire.OffsetFetchResponseReplacedOffset {
	if j == nil {
		return nil
	}
	told := make([]wire.OffsetFetchResponseReplacedOffset, len(*j))
	for i, one := range *j {
		told[i] = wire.OffsetFetchResponseReplacedOffset(one)
	}
	return told
}
