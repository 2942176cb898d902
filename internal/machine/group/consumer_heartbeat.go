package group

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// heartbeatByClientID is the version of ConsumerGroupHeartbeat at which members choose their ids (KIP-1082).
const heartbeatByClientID = 1

// refusal is why a request of a consumer group's member fails, in Kafka's words; nil is no refusal.
type refusal struct {
	code    wire.ErrorCode
	message string
}

func refuse(code wire.ErrorCode, format string, args ...any) *refusal {
	message := fmt.Sprintf(format, args...)
	if len(message) > maxNameBytes { // it repeats what the client sent, and must fit into a string itself
		message = strings.ToValidUTF8(message[:maxNameBytes], "")
	}
	return &refusal{code, message}
}

// ConsumerGroupHeartbeat makes the client a member, or hears from one, or lets one leave, and answers with what it has to do.
func (m *Machine) ConsumerGroupHeartbeat(at machine.Moment, client Client, req *wire.ConsumerGroupHeartbeatRequest) ([]machine.Record, *wire.ConsumerGroupHeartbeatResponse) {
	settings := m.cfg.Settings()
	refused := checkHeartbeat(client, req, settings.ConsumerAssignors)
	var records []machine.Record
	resp := new(wire.ConsumerGroupHeartbeatResponse)
	if refused == nil {
		if req.MemberEpoch < 0 {
			records, refused = m.consumerLeaves(at, req, resp)
		} else {
			records, refused = m.consumerBeats(at, client, req, settings, resp)
		}
	}
	if refused != nil {
		return nil, &wire.ConsumerGroupHeartbeatResponse{ErrorCode: refused.code, ErrorMessage: wire.SomeString(refused.message)}
	}
	return records, resp
}

// checkHeartbeat finds what is wrong with a request whatever the group is.
func checkHeartbeat(client Client, req *wire.ConsumerGroupHeartbeatRequest, assignors []string) *refusal {
	invalid := func(message string) *refusal { return &refusal{wire.ErrorInvalidRequest, message} }
	isBlank := func(s string) bool { return strings.TrimSpace(s) == "" }
	needsID := client.Version >= heartbeatByClientID || req.MemberEpoch > 0 || req.MemberEpoch == leavingEpoch
	switch {
	case needsID && isBlank(req.MemberId):
		return invalid("MemberId can't be empty.")
	case isBlank(req.GroupId):
		return invalid("GroupId can't be empty.")
	case req.InstanceId.Valid && isBlank(req.InstanceId.Value):
		return invalid("InstanceId can't be empty.")
	case req.RackId.Valid && isBlank(req.RackId.Value):
		return invalid("RackId can't be empty.")
	}
	switch {
	case req.MemberEpoch == joiningEpoch:
		switch {
		case req.RebalanceTimeoutMs == -1:
			return invalid("RebalanceTimeoutMs must be provided in first request.")
		case req.TopicPartitions == nil || len(req.TopicPartitions) > 0:
			return invalid("TopicPartitions must be empty when (re-)joining.")
		case req.SubscribedTopicNames == nil && !req.SubscribedTopicRegex.Valid:
			return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
		}
	case req.MemberEpoch == staticLeaveEpoch && !req.InstanceId.Valid:
		return invalid("InstanceId can't be null.")
	case req.MemberEpoch < staticLeaveEpoch:
		return invalid("MemberEpoch is invalid.")
	}
	if req.ServerAssignor.Valid && (!slices.Contains(assignors, req.ServerAssignor.Value) || assignorOf(req.ServerAssignor.Value) == nil) {
		return refuse(wire.ErrorUnsupportedAssignor, "ServerAssignor %s is not supported. Supported assignors: %s.", req.ServerAssignor.Value, strings.Join(assignors, ", "))
	}
	return nil
}

// beat is one request of a member of a consumer group: a heartbeat, or a JoinGroup of a classic member.
type beat struct {
	m        *Machine
	at       machine.Moment
	client   Client
	settings Settings
	image    *metadata.Image
	g        *Group
	isNew    bool           // the group was not there before
	c        *consumerGroup // the group as it was before the request; or, if that was a classic one, as it is converted
	records  []machine.Record
	// succeeded are changes of the volatile state that wait until nothing can refuse the request any more.
	succeeded []func()

	regexes  map[string]resolvedRegex // after the request
	owned    ownedPartitions          // what the member says that it has
	replaced string                   // id of the static member whose place it takes
}

// ownedPartitions is what a member says that it owns; known is false if it does not say.
type ownedPartitions struct {
	share share
	known bool
}

// newBeat begins a request of the member of a group. The caller ends it with done.
func (m *Machine) newBeat(at machine.Moment, client Client, group string, settings Settings) *beat {
	b := &beat{m: m, at: at, client: client, settings: settings, image: m.image(), g: m.groups[group]}
	if b.g == nil {
		b.g, b.isNew = m.group(group), true
	}
	return b
}

// done ends a request.
func (b *beat) done(refused *refusal) ([]machine.Record, *refusal) {
	if refused != nil {
		if b.isNew {
			b.m.forget(b.g)
		}
		return nil, refused
	}
	for _, change := range b.succeeded {
		change()
	}
	return b.records, nil
}

func (m *Machine) consumerBeats(at machine.Moment, client Client, req *wire.ConsumerGroupHeartbeatRequest, settings Settings,
	resp *wire.ConsumerGroupHeartbeatResponse) ([]machine.Record, *refusal) {
	b := m.newBeat(at, client, req.GroupId, settings)
	return b.done(b.heartbeat(req, resp))
}

// heartbeat creates or updates the member, then the target assignment, then brings the member closer to it.
func (b *beat) heartbeat(req *wire.ConsumerGroupHeartbeatRequest, resp *wire.ConsumerGroupHeartbeatResponse) *refusal {
	joins := req.MemberEpoch == joiningEpoch
	if refused := b.findGroup(joins); refused != nil {
		return refused
	}
	id := req.MemberId
	if refused := b.checkRoom(id); refused != nil {
		return refused
	}
	if id == "" {
		id = b.m.newMemberUUID()
	}
	b.regexes = b.c.regexes
	b.owned = ownedPartitions{ownedBy(req.TopicPartitions), req.TopicPartitions != nil}
	before, refused := b.member(id, req.InstanceId, req.MemberEpoch, false)
	if refused != nil {
		return refused
	}
	updated := *before
	updated.client, updated.host, updated.classic = b.client.ID, b.client.Host, nil
	orElse := func(value *wire.NullString, given wire.NullString) {
		if given.Valid {
			*value = given
		}
	}
	orElse(&updated.instance, req.InstanceId)
	orElse(&updated.rack, req.RackId)
	orElse(&updated.assignor, req.ServerAssignor)
	orElse(&updated.regex, req.SubscribedTopicRegex)
	if req.RebalanceTimeoutMs != -1 {
		updated.rebalanceMs = req.RebalanceTimeoutMs
	}
	if req.SubscribedTopicNames != nil {
		updated.topics = sortedNames(req.SubscribedTopicNames)
	}
	after, refused := b.advance(before, &updated)
	if refused != nil {
		return refused
	}
	own := b.m.consumerSettings(b.g, b.image)
	b.m.touchConsumer(b.at, b.g, after.id, milliseconds(own.SessionMs))
	b.m.liveOf(b.g, after.id).software = b.client.Software
	resp.MemberId, resp.MemberEpoch, resp.HeartbeatIntervalMs = wire.SomeString(after.id), after.epoch, own.HeartbeatMs
	isFull := req.RebalanceTimeoutMs != -1 && (req.SubscribedTopicNames != nil || req.SubscribedTopicRegex.Valid) && req.TopicPartitions != nil
	if joins || isFull || !after.assigned.equal(before.assigned) {
		resp.Assignment = assignmentOf(after.assigned)
	}
	return nil
}

func assignmentOf(s share) *wire.ConsumerGroupHeartbeatResponseAssignment {
	topics := make([]wire.ConsumerGroupHeartbeatResponseTopicPartitions, len(s))
	for i, t := range s {
		topics[i] = wire.ConsumerGroupHeartbeatResponseTopicPartitions{TopicId: wire.UUID(t.topic), Partitions: t.partitions}
	}
	return &wire.ConsumerGroupHeartbeatResponseAssignment{TopicPartitions: topics}
}

func ownedBy(topics []wire.ConsumerGroupHeartbeatRequestTopicPartitions) (s share) {
	for _, t := range topics {
		s = append(s, topicShare{topic: ids.TopicID(t.TopicId), partitions: slices.Clone(t.Partitions)})
	}
	return normal(s)
}

// findGroup finds the group, or with create makes one; a classic group that may become one is converted.
func (b *beat) findGroup(create bool) *refusal {
	g := b.g
	switch {
	case b.isNew && !create:
		return refuse(wire.ErrorGroupIDNotFound, "Consumer group %s not found.", g.id)
	case g.consumer != nil:
		b.c = g.consumer
		return nil
	case !create:
		return refuse(wire.ErrorGroupIDNotFound, "Group %s is not a consumer group.", g.id)
	case g.isEmpty():
		b.c = newConsumerGroup()
		if g.stored != nil {
			b.records = append(b.records, tombstone(&wire.GroupMetadataKey{Group: g.id}))
		}
		b.succeeded = append(b.succeeded, func() { b.m.dropClassic(g) })
		return nil
	}
	return b.convertClassic()
}

// dropClassic forgets the volatile half of a classic group that is none any more.
func (m *Machine) dropClassic(g *Group) {
	c := g.classic
	if c == nil {
		return
	}
	for id := range c.pending {
		m.removePending(c, id)
	}
	m.timers.stop(&c.joinTimer)
	m.timers.stop(&c.syncTimer)
	for _, one := range c.members {
		m.timers.stop(&one.session)
	}
	g.classic = nil
}

// checkRoom refuses a new member of a full group.
func (b *beat) checkRoom(id string) *refusal {
	if len(b.c.members) >= int(b.settings.ConsumerMaxSize) && (id == "" || b.c.members[id] == nil) {
		return refuse(wire.ErrorGroupMaxSizeReached, "The consumer group has reached its maximum capacity of %d members.", b.settings.ConsumerMaxSize)
	}
	return nil
}

// newMemberUUID is a random id in Kafka's text form. None begins with a dash, so that tools can take it as an argument.
func (m *Machine) newMemberUUID() string {
	for {
		var id ids.UUID
		m.cfg.Random(id[:])
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
		if text := id.String(); text[0] != '-' {
			return text
		}
	}
}

// member finds the member that the request is from, or makes it if it joins. A static member that joins takes the place of the
// one with its instance id. A classic member's epoch is not looked at.
func (b *beat) member(id string, instance wire.NullString, epoch int32, classic bool) (*consumer, *refusal) {
	joins := epoch == joiningEpoch
	if !instance.Valid {
		one := b.c.members[id]
		switch {
		case one == nil && !joins:
			return nil, refuse(wire.ErrorUnknownMemberID, "Member %s is not a member of group %s.", id, b.g.id)
		case one == nil:
			b.note(id)
			return newConsumer(id), nil
		case classic:
			return one, nil
		}
		return one, checkEpoch(one, epoch, b.owned)
	}
	one := b.c.static(instance)
	if joins {
		if one == nil {
			b.note(id)
			if other := b.c.members[id]; other != nil {
				return other, nil
			}
			return newConsumer(id), nil
		}
		if !classic && one.classic == nil && one.epoch != staticLeaveEpoch {
			return nil, refuse(wire.ErrorUnreleasedInstanceID, "Static member %s with instance id %s cannot join the group because the instance id is owned by %s member.",
				id, instance.Value, one.id)
		}
		return b.replace(one, id), nil
	}
	switch {
	case one == nil:
		return nil, refuse(wire.ErrorUnknownMemberID, "Instance id %s is unknown.", instance.Value)
	case one.id != id:
		return nil, fencedInstance(one, id, instance)
	case classic:
		return one, nil
	}
	return one, checkEpoch(one, epoch, b.owned)
}

func fencedInstance(one *consumer, id string, instance wire.NullString) *refusal {
	return refuse(wire.ErrorFencedInstanceID, "Static member %s with instance id %s was fenced by member %s.", id, instance.Value, one.id)
}

// checkEpoch fences a member whose epoch is not the one that it was told, nor the one before in case the answer was lost.
func checkEpoch(one *consumer, epoch int32, owned ownedPartitions) *refusal {
	fenced := func(how string) *refusal {
		return refuse(wire.ErrorFencedMemberEpoch, "The consumer group member has a %s member epoch (%d) than the one known by the group coordinator (%d). "+
			"The member must abandon all its partitions and rejoin.", how, epoch, one.epoch)
	}
	switch {
	case epoch == joiningEpoch || epoch == one.epoch:
		return nil
	case epoch > one.epoch:
		return fenced("greater")
	case epoch != one.previousEpoch || !owned.known || !owned.share.within(one.assigned):
		return fenced("smaller")
	}
	return nil
}

// within tells whether the other share has all partitions of this one.
func (s share) within(other share) bool {
	for i := range s {
		for _, p := range s[i].partitions {
			if !other.has(s[i].topic, p) {
				return false
			}
		}
	}
	return true
}

// replace gives the place of a static member to a new id.
func (b *beat) replace(old *consumer, id string) *consumer {
	one := *old
	one.id, one.epoch, one.previousEpoch = id, joiningEpoch, 0
	b.records = append(b.records, removalOf(b.g.id, old.id)...)
	b.records = append(b.records, memberRecord(b.g.id, &one), targetRecord(b.g.id, id, b.c.target[old.id]), currentRecord(b.g.id, &one))
	if old.id != id {
		b.replaced = old.id
		b.succeeded = append(b.succeeded, func() { b.m.stopConsumer(b.g, old.id) })
	}
	return &one
}
