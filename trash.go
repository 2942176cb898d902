package ottla

import (
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/controller"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/storage"
)

// settleTrash brings the disk to what the metadata says of deleted topics, before any log is opened: a crash may have come between a deletion's record and the
// renaming of its logs. What a restored topic has in the trash is taken out when it is opened.
func (c *cluster) settleTrash(image *metadata.Image) {
	c.store.RetainTrash(func(id ids.TopicID) bool {
		_, trashed := image.Trashed(id)
		_, lives := image.TopicByID(id)
		return trashed || lives
	})
	var late []storage.LogName
	for _, found := range c.store.Found() {
		if _, trashed := image.Trashed(found.ID); trashed {
			late = append(late, storage.LogName(found))
		}
	}
	if err := c.store.TrashLogs(late...); err != nil {
		c.logger.Error("logs of deleted topics could not be put into the trash: the next start tries again", "logs", len(late), "error", err)
	}
}

// removeDeleted ends the partitions of topics that are gone. The logs go into the trash if the topic did, or if it is already restored: then that takes them out.
func (c *cluster) removeDeleted(delta *metadata.Delta) {
	var gone, trashed []ids.TopicID
	for _, topic := range delta.Deleted {
		_, inTrash := delta.After.Trashed(topic.ID)
		_, restored := delta.After.TopicByID(topic.ID)
		if inTrash || restored {
			trashed = append(trashed, topic.ID)
		} else {
			gone = append(gone, topic.ID)
		}
	}
	if len(gone) > 0 {
		if err := c.partitions.Remove(gone...); err != nil {
			c.logger.Error("logs of deleted topics could not be removed: they take space until the next start", "topics", len(gone), "error", err)
		}
	}
	if len(trashed) > 0 {
		if err := c.partitions.Trash(trashed...); err != nil {
			c.logger.Error("logs of deleted topics could not be put into the trash: the next start tries again", "topics", len(trashed), "error", err)
		}
	}
}

// purge removes the logs of topics that left the trash for good.
func (c *cluster) purge(delta *metadata.Delta) {
	var gone []ids.TopicID
	for _, t := range delta.Untrashed {
		if _, restored := delta.After.TopicByID(t.Topic.ID); !restored {
			gone = append(gone, t.Topic.ID)
			c.logger.Info("a deleted topic was purged from the trash", "topic", t.Topic.Name, "id", t.Topic.ID)
		}
	}
	if len(gone) == 0 {
		return
	}
	if err := c.store.PurgeTrash(gone...); err != nil {
		c.logger.Error("logs in the trash could not be removed: they take space as strays", "topics", len(gone), "error", err)
	}
}

// isNew tells that a created topic can have no log anywhere: this broker was running when it was made, and it does not come from the trash.
func (c *cluster) isNew(delta *metadata.Delta, topic *metadata.Topic) bool {
	if c.image.Load() == nil {
		return false
	}
	ofTopic := func(t *metadata.Topic) bool { return t.ID == topic.ID }
	return !slices.ContainsFunc(delta.Deleted, ofTopic) &&
		!slices.ContainsFunc(delta.Untrashed, func(t *metadata.Trashed) bool { return ofTopic(t.Topic) })
}

// makeRoom purges the topic that lies longest in the trash of a directory whose file system is short of space. Storage asks again while that is so.
func (c *cluster) makeRoom(gate *controllerGate, dir ids.DirectoryID) {
	var there []ids.TopicID
	for _, log := range c.store.Trash() {
		if log.Directory == dir && log.SizeBytes > 0 && !slices.Contains(there, log.ID) {
			there = append(there, log.ID)
		}
	}
	gate.purgeOldest(there, func(purged *metadata.Trashed, err error) {
		if purged == nil || err != nil {
			c.store.TrashSettled(dir)
			return
		}
		c.logger.Warn("the disk is short of space: a deleted topic can no longer be restored", "topic", purged.Topic.Name, "id", purged.Topic.ID)
	})
}

// purgeOldest purges one of some topics in the trash; purged is nil if none of them is there any more.
func (g *controllerGate) purgeOldest(among []ids.TopicID, done func(purged *metadata.Trashed, err error)) {
	machine.Submit(g.runtime, func(c *controller.Controller, at machine.Moment) ([]machine.Record, *metadata.Trashed) {
		records, purged, _ := c.PurgeOldest(among, at)
		return records, purged
	}, done)
}
