package controller

import (
	"math"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// Versions of features that a new cluster finalizes: those of Kafka 4.3. The other features of Kafka (transactions …) are finalized by
// those who bring them.
const (
	MetadataVersionFeature       = "metadata.version"
	MetadataVersion        int16 = 30
	GroupVersionFeature          = "group.version" // 1: consumer groups (KIP-848)
	GroupVersion           int16 = 1
)

// Bootstrap are the first records of an empty log. Features of a cluster that has records are its operator's: UpdateFeatures changes them.
func (c *Controller) Bootstrap(machine.Moment) []machine.Record {
	if c.image.Feature(MetadataVersionFeature) != 0 {
		return nil
	}
	return encode([]wire.MetadataRecord{
		&wire.FeatureLevelRecord{Name: MetadataVersionFeature, FeatureLevel: MetadataVersion},
		&wire.FeatureLevelRecord{Name: GroupVersionFeature, FeatureLevel: GroupVersion},
	})
}

// RegisterBroker admits a new incarnation of a broker (KIP-631) and, in the same batch, unfences it and bumps the leader
// epoch of every partition that it leads: the incarnation may have lost an unsynced tail, and must not go on in an epoch
// in which followers may hold that tail. Partitions without a leader that it was in sync with, or eligible for (KIP-966),
// it leads from now on. Its broker epoch is the offset of the registration.
//
// An incarnation that registers again, because it did not see the reply, gets the epoch it has.
func (c *Controller) RegisterBroker(req *wire.BrokerRegistrationRequest, at machine.Moment) ([]machine.Record, *wire.BrokerRegistrationResponse) {
	resp := new(wire.BrokerRegistrationResponse)
	resp.Default()
	id := ids.BrokerID(req.BrokerId)
	known, ok := c.image.Broker(id)
	switch {
	case req.ClusterId != c.cfg.ClusterID:
		resp.ErrorCode = wire.ErrorInconsistentClusterID
		return nil, resp
	case id < 0 || len(req.Listeners) == 0:
		resp.ErrorCode = wire.ErrorInvalidRegistration
		return nil, resp
	case !supportsMetadata(req.Features, c.image.Feature(MetadataVersionFeature)):
		resp.ErrorCode = wire.ErrorUnsupportedVersion
		return nil, resp
	case ok && known.IncarnationID == req.IncarnationId:
		resp.BrokerEpoch = int64(known.Epoch)
		return nil, resp
	}
	resp.BrokerEpoch = int64(at.Next)
	r := &wire.RegisterBrokerRecord{BrokerId: req.BrokerId, IncarnationId: req.IncarnationId, BrokerEpoch: resp.BrokerEpoch, Rack: req.Rack, Fenced: true, LogDirs: req.LogDirs}
	for _, l := range req.Listeners {
		r.EndPoints = append(r.EndPoints, wire.RegisterBrokerRecordBrokerEndpoint(l))
	}
	for _, f := range req.Features {
		r.Features = append(r.Features, wire.RegisterBrokerRecordBrokerFeature(f))
	}
	unfence := new(wire.BrokerRegistrationChangeRecord)
	unfence.Default()
	unfence.BrokerId, unfence.BrokerEpoch, unfence.Fenced = req.BrokerId, resp.BrokerEpoch, -1
	messages := []wire.MetadataRecord{r, unfence}
	for _, t := range c.image.Topics() {
		for n := range t.Partitions {
			if change := leadAnew(&t.Partitions[n], id); change != nil {
				change.TopicId, change.PartitionId = wire.UUID(t.ID), int32(n)
				messages = append(messages, change)
			}
		}
	}
	return encode(messages), resp
}

func supportsMetadata(features []wire.BrokerRegistrationRequestFeature, level int16) bool {
	for _, f := range features {
		if f.Name == MetadataVersionFeature {
			return f.MinSupportedVersion <= level && level <= f.MaxSupportedVersion
		}
	}
	return level == 0
}

// leadAnew is the change by which a broker goes on leading a partition, or begins to, in a new leader epoch; nil if
// somebody else leads, or the broker may lack records.
func leadAnew(p *metadata.Partition, id ids.BrokerID) *wire.PartitionChangeRecord {
	change := new(wire.PartitionChangeRecord)
	change.Default()
	change.Leader = int32(id)
	switch {
	case p.Leader == id:
	case p.Leader != ids.NoBroker:
		return nil
	case contains(p.ISR, id):
	case len(p.ISR) == 0 && contains(p.ELR, id):
		change.Isr = []int32{int32(id)}
		change.EligibleLeaderReplicas = []int32{}
		for _, e := range p.ELR {
			if e != id {
				change.EligibleLeaderReplicas = append(change.EligibleLeaderReplicas, int32(e))
			}
		}
	default:
		return nil
	}
	return change
}

func contains(brokers []ids.BrokerID, id ids.BrokerID) bool {
	for _, b := range brokers {
		if b == id {
			return true
		}
	}
	return false
}

// ProducerIDBlock is how many producer ids a broker gets at once (KIP-730).
const ProducerIDBlock = 1000

// AllocateProducerIDs gives a broker the next block of producer ids, which nobody ever had.
func (c *Controller) AllocateProducerIDs(req *wire.AllocateProducerIdsRequest, _ machine.Moment) ([]machine.Record, *wire.AllocateProducerIdsResponse) {
	resp := new(wire.AllocateProducerIdsResponse)
	resp.Default()
	b, ok := c.image.Broker(ids.BrokerID(req.BrokerId))
	next := c.image.ProducerIDs().Next
	switch {
	case !ok:
		resp.ErrorCode = wire.ErrorBrokerIDNotRegistered
	case int64(b.Epoch) != req.BrokerEpoch:
		resp.ErrorCode = wire.ErrorStaleBrokerEpoch
	case next > math.MaxInt64-ProducerIDBlock:
		resp.ErrorCode = wire.ErrorUnknownServerError
	default:
		resp.ProducerIdStart, resp.ProducerIdLen = int64(next), ProducerIDBlock
		return encode([]wire.MetadataRecord{&wire.ProducerIdsRecord{BrokerId: req.BrokerId, BrokerEpoch: req.BrokerEpoch, NextProducerId: int64(next) + ProducerIDBlock}}), resp
	}
	return nil, resp
}
