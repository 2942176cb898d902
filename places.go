package ottla

import (
	"sync"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/wire"
)

// places is where replicas of this broker lie, as far as the metadata says something else: not on record yet, moved by an operator, or put elsewhere because
// a directory had just failed. The controller is told.
type places struct {
	mu   sync.Mutex // guards the rest; held for memory only
	gate *controllerGate
	dirs map[ids.DirectoryID]map[ids.TopicID][]int32
}

func (p *places) note(dir ids.DirectoryID, topic ids.TopicID, n int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dirs == nil {
		p.dirs = make(map[ids.DirectoryID]map[ids.TopicID][]int32)
	}
	if p.dirs[dir] == nil {
		p.dirs[dir] = make(map[ids.TopicID][]int32)
	}
	p.dirs[dir][topic] = append(p.dirs[dir][topic], n)
}

// take hands out what is to be told, once the broker is registered.
func (p *places) take() (*controllerGate, []wire.AssignReplicasToDirsRequestDirectoryData) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gate == nil {
		return nil, nil
	}
	var all []wire.AssignReplicasToDirsRequestDirectoryData
	for dir, topics := range p.dirs {
		data := wire.AssignReplicasToDirsRequestDirectoryData{Id: wire.UUID(dir)}
		for id, numbers := range topics {
			topic := wire.AssignReplicasToDirsRequestTopicData{TopicId: wire.UUID(id)}
			for _, n := range numbers {
				topic.Partitions = append(topic.Partitions, wire.AssignReplicasToDirsRequestPartitionData{PartitionIndex: n})
			}
			data.Topics = append(data.Topics, topic)
		}
		all = append(all, data)
	}
	p.dirs = nil
	return p.gate, all
}

// reportPlaces tells the controller what it does not have on record. Nobody waits for it: until it is there, a start without the directory refuses to serve
// the partition, and does not take it for a new one.
func (c *cluster) reportPlaces() {
	gate, dirs := c.places.take()
	if len(dirs) == 0 {
		return
	}
	gate.assignDirectories(dirs, func(code wire.ErrorCode) {
		if code != wire.ErrorNone {
			c.logger.Warn("where partitions lie could not be put on record; the next start tries again", "code", code.Name())
		}
	})
}

// moved puts on record that a partition's log has moved to another directory. Until it is, a start finds it all the same.
func (c *cluster) moved(tp ids.TopicPartition, topic ids.TopicID, dir ids.DirectoryID) {
	for _, d := range c.store.Directories() {
		if d.ID == dir {
			c.logger.Info("a partition has moved to another data directory", "partition", tp, "directory", d.Path)
		}
	}
	c.places.note(dir, topic, tp.Partition)
	c.reportPlaces()
}

// registered is called once this incarnation is known to the controller.
func (c *cluster) registered(gate *controllerGate) {
	c.places.mu.Lock()
	c.places.gate = gate
	c.places.mu.Unlock()
	c.reportPlaces()
	c.loseDirectories()
}

// loseDirectories tells the controller which directories are offline, so that no new partition is put there.
func (c *cluster) loseDirectories() {
	c.places.mu.Lock()
	gate := c.places.gate
	c.places.mu.Unlock()
	var lost []wire.UUID
	for _, dir := range c.store.Directories() {
		if dir.Offline != nil && !dir.OnlyMetadata {
			lost = append(lost, wire.UUID(dir.ID))
		}
	}
	if gate == nil || len(lost) == 0 {
		return
	}
	gate.loseDirectories(lost, func(code wire.ErrorCode) {
		if code != wire.ErrorNone {
			c.logger.Warn("the failure of a directory could not be put on record; the next start does it", "code", code.Name())
		}
	})
}
