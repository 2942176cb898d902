package metadata

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/wire"
)

// The trash holds deleted topics until they are restored or purged. No record type of Kafka's knows of it, so it is said in what Kafka skips:
//
//	RemoveTopicRecord, tags 10000 TrashedMs and 10001 TrashedUntilMs   the topic goes into the trash
//	TopicRecord of an id in the trash, ConfigRecords, PartitionRecords it is restored, perhaps under another name
//	NoOpRecord, tag 10000 PurgedTopicIds                              topics leave the trash for good
//
// To Kafka these are a deletion, a creation and nothing. A snapshot creates each topic of the trash and removes it again, before those that live: only so
// can it say what the topic was.

// Trashed is a deleted topic that can be restored.
type Trashed struct {
	Topic     *Topic            // as it was when it was deleted
	Configs   map[string]string // its overrides; shared: do not change it
	TrashedMs int64             // wall clock: when it was deleted
	UntilMs   int64             // wall clock: when it is to be purged
}

// Trash are all topics in the trash, those deleted first at the front. Callers own the slice.
func (i *Image) Trash() []*Trashed {
	if i.trash.size == 0 {
		return nil
	}
	all := make([]*Trashed, 0, i.trash.size)
	for _, t := range i.trash.all() {
		all = append(all, t)
	}
	slices.SortFunc(all, byTrashing)
	return all
}

// Trashed finds a topic in the trash.
func (i *Image) Trashed(id ids.TopicID) (*Trashed, bool) { return i.trash.get(id) }

func byTrashing(a, b *Trashed) int {
	return cmp.Or(cmp.Compare(a.TrashedMs, b.TrashedMs), cmp.Compare(a.Topic.Name, b.Topic.Name), bytes.Compare(a.Topic.ID[:], b.Topic.ID[:]))
}

// purge forgets topics of the trash. One that is not there is no error: Kafka may have written the snapshot before, which has no trash then.
func (c *change) purge(r *wire.NoOpRecord) {
	for _, id := range r.PurgedTopicIds {
		c.trash.remove(ids.TopicID(id))
	}
}

func trashRecords(i *Image, yield func(wire.MetadataRecord) bool) bool {
	for _, t := range i.Trash() {
		records := append(TopicRecords(t.Topic), ConfigRecords(ConfigResource{ResourceTopic, t.Topic.Name}, t.Configs)...)
		records = append(records, &wire.RemoveTopicRecord{TopicId: wire.UUID(t.Topic.ID), TrashedMs: t.TrashedMs, TrashedUntilMs: t.UntilMs})
		for _, r := range records {
			if !yield(r) {
				return false
			}
		}
	}
	return true
}
