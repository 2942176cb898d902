package controller

import (
	"slices"
	"time"

	"github.com/ottla-io/ottla/internal/config"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

const deletionProtection = "ottla.topic.deletion.protection"

// purgeTimer is when the trash is looked at next. It is volatile; a load finds it again.
type purgeTimer struct {
	due time.Duration // Moment.Monotonic
	set bool
}

// longestPurgeWait bounds how long the wall clock is not looked at while there is trash: it may be set, or the machine may sleep.
const longestPurgeWait = time.Hour

// in makes sure that the trash is looked at when a topic has been in it for so long.
func (t *purgeTimer) in(waitMs int64, at machine.Moment) {
	wait := longestPurgeWait
	if waitMs < wait.Milliseconds() {
		wait = time.Duration(max(waitMs, 0)) * time.Millisecond
	}
	if due := at.Monotonic + wait; !t.set || due < t.due {
		t.due, t.set = due, true
	}
}

// Loaded implements machine.Timed.
func (c *Controller) Loaded(at machine.Moment) {
	for _, t := range c.image.Trash() {
		c.purge.in(t.UntilMs-at.NowMs, at)
	}
}

// Due implements machine.Timed.
func (c *Controller) Due() (time.Duration, bool) { return c.purge.due, c.purge.set }

// Tick implements machine.Timed: it purges the topics whose time in the trash is over.
func (c *Controller) Tick(at machine.Moment) []machine.Record {
	c.purge = purgeTimer{}
	var over []wire.UUID
	for _, t := range c.image.Trash() {
		if t.UntilMs <= at.NowMs {
			over = append(over, wire.UUID(t.Topic.ID))
		} else {
			c.purge.in(t.UntilMs-at.NowMs, at)
		}
	}
	return purgeRecords(over)
}

func purgeRecords(topics []wire.UUID) []machine.Record {
	if len(topics) == 0 {
		return nil
	}
	return encode([]wire.MetadataRecord{&wire.NoOpRecord{PurgedTopicIds: topics}})
}

// PurgeOldest purges that of some topics which went into the trash first, because its space is needed. found is false if none of them is in the trash.
func (c *Controller) PurgeOldest(among []ids.TopicID, _ machine.Moment) (records []machine.Record, purged *metadata.Trashed, found bool) {
	for _, t := range c.image.Trash() {
		if slices.Contains(among, t.Topic.ID) {
			return purgeRecords([]wire.UUID{wire.UUID(t.Topic.ID)}), t, true
		}
	}
	return nil, nil, false
}

// removal is the record that ends a topic: it goes into the trash, or for good.
func (c *Controller) removal(topic *metadata.Topic, purge bool, at machine.Moment) wire.MetadataRecord {
	if _, trashed := c.image.Trashed(topic.ID); trashed {
		return &wire.NoOpRecord{PurgedTopicIds: []wire.UUID{wire.UUID(topic.ID)}}
	}
	r := &wire.RemoveTopicRecord{TopicId: wire.UUID(topic.ID)}
	trashMs := c.topicConfig(topic.Name).TrashMs
	if trashMs > 0 && !purge {
		r.TrashedMs, r.TrashedUntilMs = at.NowMs, at.NowMs+min(trashMs, longestTrashMs)
		c.purge.in(trashMs, at)
	}
	return r
}

// maxTrashed is how many topics the trash holds: each costs memory and directories, and a test suite may delete thousands an hour.
const maxTrashed = 1000

// overflow is the record that purges the oldest topics of the trash, if there is no room for those that go there now.
func (c *Controller) overflow(messages []wire.MetadataRecord) []wire.MetadataRecord {
	coming, leaving := 0, make(map[wire.UUID]bool)
	for _, m := range messages {
		switch m := m.(type) {
		case *wire.RemoveTopicRecord:
			if m.TrashedUntilMs > 0 {
				coming++
			}
		case *wire.NoOpRecord:
			for _, id := range m.PurgedTopicIds {
				leaving[id] = true
			}
		}
	}
	if coming == 0 {
		return nil
	}
	trash := c.image.Trash()
	tooMany := len(trash) - len(leaving) + coming - maxTrashed
	purge := new(wire.NoOpRecord)
	for _, t := range trash {
		if id := wire.UUID(t.Topic.ID); len(purge.PurgedTopicIds) < tooMany && !leaving[id] {
			purge.PurgedTopicIds = append(purge.PurgedTopicIds, id)
		}
	}
	if len(purge.PurgedTopicIds) == 0 {
		return nil
	}
	return []wire.MetadataRecord{purge}
}

func (c *Controller) topicConfig(name string) config.TopicConfig {
	return c.settings(c.image.TopicConfig(name)).TopicConfig()
}

// protected tells that a topic must not be deleted.
func (c *Controller) protected(name string) bool { return c.topicConfig(name).DeletionProtection }

// longestTrashMs keeps the sum of a clock and a setting far below what 64 bits hold: about 278 years.
const longestTrashMs = int64(1) << 43

// restoreTopic makes the records that take a topic out of the trash, under the name that the request gives it, and fills its result. Its id, partitions and
// settings are those it had; each partition begins a new leader epoch, as after a restart: its log may have lost an unsynced tail.
func (m *creation) restoreTopic(t *wire.CreateTopicsRequestCreatableTopic, result *wire.CreateTopicsResponseCreatableTopicResult) ([]wire.MetadataRecord, *problem) {
	if len(t.Configs)+len(t.Assignments) > 0 || t.NumPartitions != -1 || t.ReplicationFactor != -1 {
		return nil, refuse(wire.ErrorInvalidRequest, "A restored topic has the partitions and settings that it had; change them afterwards.")
	}
	trashed, ok := m.image.Trashed(ids.TopicID(t.RestoredTopicId))
	if !ok || slices.Contains(m.restored, trashed) {
		return nil, refuse(wire.ErrorUnknownTopicID, "No topic with the id %s is in the trash.", ids.TopicID(t.RestoredTopicId))
	}
	if refused := m.allow.check(len(trashed.Topic.Partitions)); refused != nil {
		return nil, refused
	}
	m.restored = append(m.restored, trashed)
	topic := &metadata.Topic{Name: t.Name, ID: trashed.Topic.ID, Partitions: slices.Clone(trashed.Topic.Partitions)}
	for n := range topic.Partitions {
		p := &topic.Partitions[n]
		p.LeaderEpoch++
		p.PartitionEpoch++
		if !slices.Contains(p.ISR, p.Leader) || !m.alive(p.Leader) {
			p.Leader = ids.NoBroker
			if at := slices.IndexFunc(p.ISR, m.alive); at >= 0 {
				p.Leader = p.ISR[at]
			}
		}
	}
	messages := append(metadata.TopicRecords(topic),
		metadata.ConfigRecords(metadata.ConfigResource{Type: metadata.ResourceTopic, Name: t.Name}, trashed.Configs)...)
	result.TopicId = t.RestoredTopicId
	result.NumPartitions, result.ReplicationFactor = int32(len(topic.Partitions)), int16(len(topic.Partitions[0].Replicas))
	result.Configs = m.describe(trashed.Configs)
	return messages, nil
}

func (c *Controller) alive(id ids.BrokerID) bool {
	b, ok := c.image.Broker(id)
	return ok && active(b)
}
