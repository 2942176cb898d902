package controller

import (
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// directoryFor is where a broker is to put a replica (KIP-858): its directories take turns within a topic, and topics begin at a random one. Kafka leaves the
// choice to a broker with several and learns of it afterwards; here it is on record before anything is written, so that a broker whose disk is gone cannot
// mistake the replica for a new one. The zero id, Kafka's "unassigned", is for a broker that has told of no directory.
func directoryFor(b *metadata.Broker, topic ids.TopicID, n int32) ids.DirectoryID {
	if len(b.Directories) == 0 {
		return ids.DirectoryID{}
	}
	return b.Directories[(int64(topic[0])+int64(n))%int64(len(b.Directories))]
}

// AssignReplicasToDirs takes over where a broker's replicas lie, as far as it isn't what is on record (KIP-858).
func (c *Controller) AssignReplicasToDirs(req *wire.AssignReplicasToDirsRequest, _ machine.Moment) ([]machine.Record, *wire.AssignReplicasToDirsResponse) {
	resp := new(wire.AssignReplicasToDirsResponse)
	resp.Default()
	id := ids.BrokerID(req.BrokerId)
	if resp.ErrorCode = c.checkEpoch(id, req.BrokerEpoch); resp.ErrorCode != wire.ErrorNone {
		return nil, resp
	}
	var messages []wire.MetadataRecord
	for _, dir := range req.Directories {
		result := wire.AssignReplicasToDirsResponseDirectoryData{Id: dir.Id}
		for _, t := range dir.Topics {
			answered := wire.AssignReplicasToDirsResponseTopicData{TopicId: t.TopicId}
			topic, ok := c.image.TopicByID(ids.TopicID(t.TopicId))
			for _, p := range t.Partitions {
				code := wire.ErrorUnknownTopicID
				if ok {
					var change *wire.PartitionChangeRecord
					if change, code = moveTo(topic, p.PartitionIndex, id, ids.DirectoryID(dir.Id)); change != nil {
						messages = append(messages, change)
					}
				}
				answered.Partitions = append(answered.Partitions, wire.AssignReplicasToDirsResponsePartitionData{PartitionIndex: p.PartitionIndex, ErrorCode: code})
			}
			result.Topics = append(result.Topics, answered)
		}
		resp.Directories = append(resp.Directories, result)
	}
	return encode(messages), resp
}

// moveTo is the change that puts a replica's directory on record; nil if it is there already.
func moveTo(topic *metadata.Topic, n int32, broker ids.BrokerID, dir ids.DirectoryID) (*wire.PartitionChangeRecord, wire.ErrorCode) {
	if n < 0 || int(n) >= len(topic.Partitions) {
		return nil, wire.ErrorUnknownTopicOrPartition
	}
	p := &topic.Partitions[n]
	at := slices.Index(p.Replicas, broker)
	if at < 0 {
		return nil, wire.ErrorNotLeaderOrFollower
	}
	if len(p.Directories) == len(p.Replicas) && p.Directories[at] == dir {
		return nil, wire.ErrorNone
	}
	change := new(wire.PartitionChangeRecord)
	change.Default()
	change.TopicId, change.PartitionId = wire.UUID(topic.ID), n
	change.Directories = make([]wire.UUID, len(p.Replicas))
	for i := range change.Directories {
		if i < len(p.Directories) {
			change.Directories[i] = wire.UUID(p.Directories[i])
		}
	}
	change.Directories[at] = wire.UUID(dir)
	return change, wire.ErrorNone
}

// LoseDirectories takes directories that failed from a broker's registration, as its heartbeat does in Kafka (OfflineLogDirs, KIP-858): no new replica goes
// there. The last one stays on record: a broker without any serves nothing.
func (c *Controller) LoseDirectories(req *wire.BrokerHeartbeatRequest, _ machine.Moment) ([]machine.Record, wire.ErrorCode) {
	id := ids.BrokerID(req.BrokerId)
	if code := c.checkEpoch(id, req.BrokerEpoch); code != wire.ErrorNone {
		return nil, code
	}
	b, _ := c.image.Broker(id)
	left := make([]wire.UUID, 0, len(b.Directories))
	for _, dir := range b.Directories {
		if !slices.Contains(req.OfflineLogDirs, wire.UUID(dir)) {
			left = append(left, wire.UUID(dir))
		}
	}
	if len(left) == 0 || len(left) == len(b.Directories) {
		return nil, wire.ErrorNone
	}
	change := new(wire.BrokerRegistrationChangeRecord)
	change.Default()
	change.BrokerId, change.BrokerEpoch, change.LogDirs = req.BrokerId, req.BrokerEpoch, left
	return encode([]wire.MetadataRecord{change}), wire.ErrorNone
}

// checkEpoch tells whether a broker speaks for the registration that is in force.
func (c *Controller) checkEpoch(id ids.BrokerID, epoch int64) wire.ErrorCode {
	b, ok := c.image.Broker(id)
	switch {
	case !ok:
		return wire.ErrorBrokerIDNotRegistered
	case int64(b.Epoch) != epoch:
		return wire.ErrorStaleBrokerEpoch
	}
	return wire.ErrorNone
}
