package metadata

import (
	"cmp"
	"maps"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/quota"
)

// Delta is what differs between two Images. All lists are sorted.
type Delta struct {
	Before, After *Image
	Created       []*Topic   // in After
	Deleted       []*Topic   // in Before; a topic that was deleted and created anew is in both lists. Those in After's trash are among them
	Untrashed     []*Trashed // in Before's trash and not in After's: restored if After has the topic, else purged
	Changed       []TopicChange
	Configs       []ConfigResource // whose overrides differ
	Quotas        []quota.Entity   // whose quotas differ
	Brokers       []ids.BrokerID   // registered, changed or unregistered
	Features      bool
	ProducerIDs   bool
}

// TopicChange is a topic, the same in name and id, some of whose partitions are new or different.
type TopicChange struct {
	Before, After *Topic
	Partitions    []int32
}

// Between tells what leads from one Image to another, in time proportional to what they do not share. before may be
// Empty: everything is new then.
func Between(before, after *Image) *Delta {
	d := &Delta{Before: before, After: after}
	for name := range difference(before.topics, after.topics) {
		old, _ := before.topics.get(name)
		new, _ := after.topics.get(name)
		switch {
		case old == new:
		case old != nil && new != nil && old.ID == new.ID:
			if partitions := changedPartitions(old, new); len(partitions) > 0 {
				d.Changed = append(d.Changed, TopicChange{old, new, partitions})
			}
		default:
			if old != nil {
				d.Deleted = append(d.Deleted, old)
			}
			if new != nil {
				d.Created = append(d.Created, new)
			}
		}
	}
	for id := range difference(before.trash, after.trash) {
		if was, ok := before.trash.get(id); ok {
			if _, still := after.trash.get(id); !still {
				d.Untrashed = append(d.Untrashed, was)
			}
		}
	}
	for resource := range difference(before.configs, after.configs) {
		if !maps.Equal(before.Config(resource), after.Config(resource)) {
			d.Configs = append(d.Configs, resource)
		}
	}
	for entity := range difference(before.quotas, after.quotas) {
		if !maps.Equal(before.Quotas(entity), after.Quotas(entity)) {
			d.Quotas = append(d.Quotas, entity)
		}
	}
	for _, b := range before.brokers {
		if now, ok := after.Broker(b.ID); !ok || now != b {
			d.Brokers = append(d.Brokers, b.ID)
		}
	}
	for _, b := range after.brokers {
		if _, ok := before.Broker(b.ID); !ok {
			d.Brokers = append(d.Brokers, b.ID)
		}
	}
	d.Features = !maps.Equal(before.features, after.features)
	d.ProducerIDs = before.producerIDs != after.producerIDs
	byName := func(a, b *Topic) int { return cmp.Compare(a.Name, b.Name) }
	slices.SortFunc(d.Created, byName)
	slices.SortFunc(d.Deleted, byName)
	slices.SortFunc(d.Untrashed, byTrashing)
	slices.SortFunc(d.Changed, func(a, b TopicChange) int { return cmp.Compare(a.After.Name, b.After.Name) })
	slices.SortFunc(d.Configs, func(a, b ConfigResource) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(d.Quotas, quota.Entity.Compare)
	slices.Sort(d.Brokers)
	return d
}

// Empty reports that the Images say the same, apart from their offsets and what nothing acts on.
func (d *Delta) Empty() bool {
	return len(d.Created)+len(d.Deleted)+len(d.Changed)+len(d.Configs)+len(d.Quotas)+len(d.Brokers)+len(d.Untrashed) == 0 && !d.Features && !d.ProducerIDs
}

func changedPartitions(old, new *Topic) []int32 {
	var changed []int32
	for n := range new.Partitions {
		// Every change of a partition's registration raises its PartitionEpoch.
		if n >= len(old.Partitions) || old.Partitions[n].PartitionEpoch != new.Partitions[n].PartitionEpoch ||
			!slices.Equal(old.Partitions[n].ELR, new.Partitions[n].ELR) {
			changed = append(changed, int32(n))
		}
	}
	return changed
}
