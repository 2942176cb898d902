package group

import (
	"encoding/binary"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// convertClassic makes a consumer group of a classic one whose members consume, because a member of the new kind joins. The
// members stay, with what they have been assigned, and go on with the classic protocol.
func (b *beat) convertClassic() *refusal {
	cl, id := b.g.classic, b.g.id
	cannot := func(why string) *refusal {
		return refuse(wire.ErrorGroupIDNotFound, "Cannot upgrade classic group %s to consumer group because %s.", id, why)
	}
	switch {
	case !b.settings.UpgradeOnline:
		return cannot("online upgrade is disabled")
	case cl.protocolType != consumerProtocolType:
		return cannot("the group does not use the consumer embedded protocol")
	case len(cl.members) > int(b.settings.ConsumerMaxSize):
		return cannot("the group size exceeds the consumer group maximum size")
	}
	if b.g.stored != nil {
		b.records = append(b.records, tombstone(&wire.GroupMetadataKey{Group: id}))
	}
	members, taken := make([]*consumer, len(cl.members)), make(map[ids.TopicID]map[int32]bool)
	for i, old := range cl.members {
		one, why := consumerOf(cl, old, b.image)
		if why != "" {
			return cannot(why)
		}
		one.assigned = one.assigned.without(taken)
		members[i] = one
	}
	records := make([]machine.Record, 0, 3*len(members)+2)
	subscribed := make(map[string]subscribers)
	for _, one := range members {
		records = append(records, memberRecord(id, one))
		countNames(subscribed, one.topics, 1)
	}
	records = append(records, epochRecord(id, cl.generation, b.m.metadataHash(b.image, subscribed)))
	for _, one := range members {
		target := slices.Clone(one.assigned)
		for i := range target {
			target[i].epochs = nil
		}
		records = append(records, targetRecord(id, one.id, target))
	}
	records = append(records, targetEpochRecord(id, cl.generation, 0))
	for _, one := range members {
		records = append(records, currentRecord(id, one))
	}
	b.c = newConsumerGroup()
	b.c.apply(records)
	b.records = append(b.records, records...)
	b.succeeded = append(b.succeeded, func() {
		for _, old := range cl.members {
			cl.answerJoin(old, failedJoin(old.id, wire.ErrorRebalanceInProgress))
			answerSync(old, &wire.SyncGroupResponse{ErrorCode: wire.ErrorRebalanceInProgress, Assignment: []byte{}})
			b.m.touchConsumer(b.at, b.g, old.id, milliseconds(old.sessionTimeoutMs))
			b.m.liveOf(b.g, old.id).software = old.client.Software
		}
		b.m.dropClassic(b.g)
	})
	return nil
}

// consumerOf is a member of a classic group as one of a consumer group; why says why it cannot be.
func consumerOf(cl *classic, old *member, image *metadata.Image) (one *consumer, why string) {
	const malformed = "the embedded consumer protocol is malformed"
	protocol := cl.protocol.Value
	if !cl.protocol.Valid {
		protocol = cl.elect()
	}
	subscription, ok := readSubscription(old.metadata(protocol))
	if !ok {
		return nil, malformed
	}
	one = newConsumer(old.id)
	one.epoch, one.previousEpoch = cl.generation, cl.generation
	one.instance, one.rack, one.rebalanceMs = old.instanceID, nullable(subscription.RackId.Value), old.rebalanceTimeoutMs
	one.client, one.host, one.topics = old.client.ID, old.client.Host, sortedNames(subscription.Topics)
	one.classic = &classicConsumer{sessionMs: old.sessionTimeoutMs, protocols: old.protocols}
	if len(old.assignment) == 0 {
		return one, "" // it has joined, and not asked for its assignment yet
	}
	assignment, ok := readAssignment(old.assignment)
	switch {
	case !ok:
		return nil, malformed
	case len(assignment.UserData) > 0:
		return nil, "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default assignor before re-attempting the upgrade"
	}
	one.assigned = shareOf(assignment.AssignedPartitions, cl.generation, image)
	return one, ""
}

// shareOf is what a client's assignor gave, as far as it exists, each partition once: it may say anything.
func shareOf(given []wire.ConsumerProtocolAssignmentTopicPartition, epoch int32, image *metadata.Image) (s share) {
	for _, t := range given {
		topic, ok := image.Topic(t.Topic)
		if !ok || s.of(topic.ID) != nil {
			continue
		}
		one := topicShare{topic: topic.ID}
		for _, p := range slices.Compact(slices.Sorted(slices.Values(t.Partitions))) {
			if p >= 0 && int(p) < len(topic.Partitions) {
				one.add(p, epoch)
			}
		}
		s = normal(s.with(one))
	}
	return s
}

// without takes the partitions that others have out of a share, and adds the rest to what others have.
func (s share) without(others map[ids.TopicID]map[int32]bool) (rest share) {
	for _, t := range s {
		if others[t.topic] == nil {
			others[t.topic] = make(map[int32]bool)
		}
		one := topicShare{topic: t.topic}
		for i, p := range t.partitions {
			if !others[t.topic][p] {
				others[t.topic][p] = true
				one.add(p, t.epochs[i])
			}
		}
		rest = rest.with(one)
	}
	return rest
}

// The embedded protocol of consumers: what a client of the classic protocol says of itself, and what its assignor gives it.
//
//	int16 version | ConsumerProtocolSubscription or ConsumerProtocolAssignment of that version
//
// A version that is too new is read as the newest that we know.
const embeddedVersion = 3

func readSubscription(data []byte) (s wire.ConsumerProtocolSubscription, ok bool) {
	version, ok := embeddedVersionOf(data)
	if !ok {
		return s, false
	}
	var decoder wire.Decoder
	decoder.Reset(data[2:])
	return s, s.Decode(&decoder, version) == nil
}

func readAssignment(data []byte) (a wire.ConsumerProtocolAssignment, ok bool) {
	version, ok := embeddedVersionOf(data)
	if !ok {
		return a, false
	}
	var decoder wire.Decoder
	decoder.Reset(data[2:])
	return a, a.Decode(&decoder, version) == nil
}

func embeddedVersionOf(data []byte) (version int16, ok bool) {
	if len(data) < 2 {
		return 0, false
	}
	version = int16(binary.BigEndian.Uint16(data))
	return min(version, embeddedVersion), version >= 0
}

// embedAssignment writes a share as an assignment for a member that speaks this version. Topics that are gone are left out.
func embedAssignment(s share, version int16, image *metadata.Image) []byte {
	a := wire.ConsumerProtocolAssignment{AssignedPartitions: []wire.ConsumerProtocolAssignmentTopicPartition{}}
	for _, t := range s {
		if topic, ok := image.TopicByID(t.topic); ok {
			a.AssignedPartitions = append(a.AssignedPartitions, wire.ConsumerProtocolAssignmentTopicPartition{Topic: topic.Name, Partitions: t.partitions})
		}
	}
	encoder := wire.Encoder{Buf: binary.BigEndian.AppendUint16(nil, uint16(version))}
	if err := a.Encode(&encoder, version); err != nil {
		panic("group: encode an assignment: " + err.Error()) // topics' names fit, and the version is known
	}
	return encoder.Buf
}

// mayDowngrade tells whether the members that would be left without those gone all speak the classic protocol, and may go on as
// a classic group.
func (m *Machine) mayDowngrade(c *consumerGroup, gone []*consumer) bool {
	left, classics := len(c.members)-len(gone), c.classics
	for _, one := range gone {
		if one.classic != nil {
			classics--
		}
	}
	settings := m.cfg.Settings()
	return classics == left && left > 0 && settings.DowngradeOnline && left <= int(settings.MaxSize)
}

// toClassic makes a classic group of the members that are left of a consumer group. joining, if not nil, is a static member in
// the place of replaced; its records were written already. With rebalance, the members have to join again; else they go on with
// what the last target assignment gives them. It fails if a member's subscription cannot be read.
func (m *Machine) toClassic(at machine.Moment, g *Group, gone []*consumer, joining *consumer, rebalance bool) ([]machine.Record, bool) {
	c, image := g.consumer, m.image()
	cl := m.newClassic(g)
	cl.generation, cl.protocolType, cl.state, cl.stateChangedMs = c.epoch, consumerProtocolType, stable, at.NowMs
	targets := make(map[string]share)
	renamed := make(map[string]string)
	for _, one := range c.sorted() {
		target := c.target[one.id]
		if slices.Contains(gone, one) {
			continue
		}
		if joining != nil && one.instance.Valid && one.instance == joining.instance {
			renamed[one.id] = joining.id
			one = joining
		}
		if one.classic == nil {
			return nil, false
		}
		targets[one.id] = target
		old := &member{id: one.id, instanceID: one.instance, client: Client{ID: one.client, Host: one.host, Software: g.live.softwareOf(one.id)},
			rebalanceTimeoutMs: one.rebalanceMs, sessionTimeoutMs: one.classic.sessionMs, protocols: one.classic.protocols}
		cl.add(old)
		cl.know(old, 1)
	}
	cl.protocol = wire.SomeString(cl.elect())
	for _, one := range cl.members {
		version, ok := embeddedVersionOf(one.metadata(cl.protocol.Value))
		if !ok {
			return nil, false
		}
		one.assignment = embedAssignment(targets[one.id], version, image)
	}
	cl.subscribe()
	records := append(c.tombstones(g.id, renamed), cl.record())
	for _, id := range sortedKeys(g.live.members) {
		m.stopConsumer(g, id)
	}
	g.live = consumerLive{rebalance: Rebalance{Joined: g.live.rebalance.Joined, Left: g.live.rebalance.Left, TimedOut: g.live.rebalance.TimedOut}}
	cl.rebalance, g.live.rebalance = g.live.rebalance, Rebalance{}
	g.classic = cl
	for _, one := range cl.members {
		m.touch(at, cl, one)
	}
	if rebalance {
		records = append(records, m.prepareRebalance(at, cl, "the last member of the consumer protocol left: a classic group now")...)
	}
	return records, true
}

// ownedByTopic is what a classic member says that it owns.
func ownedByTopic(topics []wire.ConsumerProtocolSubscriptionTopicPartition, image *metadata.Image) (s share) {
	for _, t := range topics {
		if topic, ok := image.Topic(t.Topic); ok {
			s = append(s, topicShare{topic: ids.TopicID(topic.ID), partitions: slices.Clone(t.Partitions)})
		}
	}
	return normal(s)
}
