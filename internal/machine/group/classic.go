package group

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/wire"
)

// state is a classic group's state.
//
//	            join            all joined, or timeout        leader syncs
//	Empty ─────────────▶ PreparingRebalance ─────────▶ CompletingRebalance ─────────▶ Stable
//	  ▲                      │   ▲                             │  a member joins,        │
//	  └──────────────────────┘   └─────────────────────────────┴──leaves, times out──────┘
//	         nobody is left
//
// Kafka's Dead is a group that does not exist; none of ours is in it.
type state int8

const (
	empty state = iota
	preparingRebalance
	completingRebalance
	stable
)

// String is Kafka's name of the state.
func (s state) String() string {
	return [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable"}[s]
}

// consumerProtocolType is the protocol type of classic groups whose members consume; the broker understands their
// subscriptions, and no others.
const consumerProtocolType = "consumer"

// classic is the volatile half of a classic group.
type classic struct {
	group *Group

	state          state
	initial        bool // it rebalances from Empty: it waits for more members than those that are there
	newMember      bool // somebody joined in the present initial delay
	generation     int32
	protocolType   string // "" until somebody joins
	protocol       wire.NullString
	leader         string // "" if there is no member
	stateChangedMs int64  // wall clock; -1 if unknown
	// subscribed are the topics that members of a consumer group subscribe to; known is false if the members' metadata cannot
	// be read, and then they may subscribe to any.
	subscribed      map[string]bool
	subscribedKnown bool

	members  []*member      // in order of joining
	knowing  map[string]int // members that know each protocol
	bytes    int            // of what all members say of themselves
	byID     map[string]*member
	byStatic map[string]*member // by group.instance.id
	joining  int                // members that wait in JoinGroup
	pending  map[string]*timer  // member ids that were given to clients which have not come back with them yet

	joinTimer timer // ends PreparingRebalance
	syncTimer timer // ends CompletingRebalance
	unsynced  map[string]bool

	rebalance Rebalance // the present one
	paused    time.Duration
}

// member is a member of a classic group.
type member struct {
	id         string
	instanceID wire.NullString
	client     Client

	rebalanceTimeoutMs int32
	sessionTimeoutMs   int32
	protocols          []wire.JoinGroupRequestProtocol
	assignment         []byte

	isNew   bool                           // it has not been in a generation yet
	join    Reply[*wire.JoinGroupResponse] // it waits in JoinGroup
	sync    Reply[*wire.SyncGroupResponse] // it waits in SyncGroup
	session timer
}

// loadClassic makes the volatile half of a group of its record.
func (m *Machine) loadClassic(at machine.Moment, g *Group) {
	if g.stored == nil {
		return
	}
	var value wire.GroupMetadataValue
	if err := decodeValue(&value, g.stored); err != nil {
		panic(fmt.Sprintf("group: %q was applied and cannot be read: %v", g.id, err))
	}
	c := m.newClassic(g)
	c.generation, c.protocolType, c.protocol = value.Generation, value.ProtocolType, value.Protocol
	c.stateChangedMs = value.CurrentStateTimestamp
	for i := range value.Members {
		stored := &value.Members[i]
		loaded := &member{id: stored.MemberId, instanceID: stored.GroupInstanceId,
			client:             Client{ID: stored.ClientId, Host: stored.ClientHost},
			rebalanceTimeoutMs: stored.RebalanceTimeout, sessionTimeoutMs: stored.SessionTimeout,
			protocols:  []wire.JoinGroupRequestProtocol{{Name: value.Protocol.Value, Metadata: stored.Subscription}},
			assignment: stored.Assignment}
		if c.byID[loaded.id] != nil || loaded.instanceID.Valid && c.byStatic[loaded.instanceID.Value] != nil {
			continue // no coordinator writes a member twice
		}
		if loaded.rebalanceTimeoutMs == -1 {
			loaded.rebalanceTimeoutMs = loaded.sessionTimeoutMs
		}
		c.add(loaded)
		c.know(loaded, 1)
		m.touch(at, c, loaded)
	}
	g.classic = c
	c.subscribe()
	if len(c.members) == 0 {
		return
	}
	c.state = stable
	if c.byID[value.Leader.Value] != nil {
		c.leader = value.Leader.Value
	}
	if size := m.cfg.Settings().MaxSize; len(c.members) > int(size) {
		m.prepareRebalance(at, c, fmt.Sprintf("loaded with %d members, more than group.max.size %d", len(c.members), size))
	}
}

func (m *Machine) newClassic(g *Group) *classic {
	c := &classic{group: g, stateChangedMs: -1, knowing: make(map[string]int), byID: make(map[string]*member), byStatic: make(map[string]*member),
		pending: make(map[string]*timer), unsynced: make(map[string]bool)}
	c.joinTimer.group, c.syncTimer.group = g, g
	return c
}

// forgettable tells whether nothing keeps the group but its records.
func (c *classic) forgettable() bool {
	return c == nil || c.state == empty && len(c.pending) == 0
}

// add makes somebody a member; the first one leads.
func (c *classic) add(one *member) {
	c.members = append(c.members, one)
	c.byID[one.id] = one
	if one.instanceID.Valid {
		c.byStatic[one.instanceID.Value] = one
	}
	if c.leader == "" {
		c.leader = one.id
	}
}

// remove ends a membership. If the leader goes, the longest member leads.
func (m *Machine) remove(c *classic, one *member) {
	c.answerJoin(one, failedJoin("", wire.ErrorUnknownMemberID))
	answerSync(one, &wire.SyncGroupResponse{ErrorCode: wire.ErrorUnknownMemberID, Assignment: []byte{}})
	c.know(one, -1)
	c.members = slices.DeleteFunc(c.members, func(other *member) bool { return other == one })
	delete(c.byID, one.id)
	if one.instanceID.Valid && c.byStatic[one.instanceID.Value] == one {
		delete(c.byStatic, one.instanceID.Value)
	}
	delete(c.unsynced, one.id)
	m.timers.stop(&one.session)
	if c.leader == one.id {
		c.leader = ""
		if len(c.members) > 0 {
			c.leader = c.members[0].id
		}
	}
}

// touch gives a member a new session.
func (m *Machine) touch(at machine.Moment, c *classic, one *member) {
	m.touchFor(at, c, one, milliseconds(one.sessionTimeoutMs))
}

func (m *Machine) touchFor(at machine.Moment, c *classic, one *member, session time.Duration) {
	if one.session.fire == nil {
		one.session.group = c.group
		one.session.fire = func(at machine.Moment) []machine.Record { return m.sessionEnded(at, c, one) }
	}
	m.timers.set(&one.session, at.Monotonic+session)
}

// metadata is what a member says about itself for a protocol.
func (one *member) metadata(protocol string) []byte {
	for i := range one.protocols {
		if one.protocols[i].Name == protocol {
			return one.protocols[i].Metadata
		}
	}
	return nil
}

// subscribe learns which topics the members of a consumer group subscribe to.
func (c *classic) subscribe() {
	c.subscribed, c.subscribedKnown = nil, false
	if c.protocolType != consumerProtocolType {
		return
	}
	topics := make(map[string]bool)
	if len(c.members) > 0 && !c.protocol.Valid {
		return
	}
	for _, one := range c.members {
		if !subscription(one.metadata(c.protocol.Value), topics) {
			return
		}
	}
	c.subscribed, c.subscribedKnown = topics, true
}

// subscription adds the topics of a consumer's metadata; all versions begin with those of version 0.
func subscription(metadata []byte, topics map[string]bool) bool {
	if len(metadata) < 2 || int16(binary.BigEndian.Uint16(metadata)) < 0 {
		return false
	}
	var decoder wire.Decoder
	decoder.Reset(metadata[2:])
	var s wire.ConsumerProtocolSubscription
	if s.Decode(&decoder, 0) != nil {
		return false
	}
	for _, topic := range s.Topics {
		topics[topic] = true
	}
	return true
}

// subscribes tells whether members may read this topic, so that its offsets must stay.
func (c *classic) subscribes(topic string) bool {
	if c == nil {
		return false
	}
	if !c.subscribedKnown {
		return c.protocolType == consumerProtocolType
	}
	return c.subscribed[topic]
}

// know counts a member's protocols and bytes, or with by = -1 no longer.
func (c *classic) know(one *member, by int) {
	c.bytes += by * one.size()
	for i := range one.protocols {
		name := one.protocols[i].Name
		if c.knowing[name] += by; c.knowing[name] == 0 {
			delete(c.knowing, name)
		}
	}
}

// size is what a member says of itself, in bytes.
func (one *member) size() int {
	n := len(one.id) + len(one.instanceID.Value) + len(one.client.ID) + len(one.client.Host)
	for i := range one.protocols {
		n += len(one.protocols[i].Name) + len(one.protocols[i].Metadata)
	}
	return n
}

// supports tells whether somebody with these protocols can be a member: all members have one of them in common.
func (c *classic) supports(protocolType string, protocols []wire.JoinGroupRequestProtocol) bool {
	if c.state == empty {
		return protocolType != "" && len(protocols) > 0
	}
	if protocolType != c.protocolType {
		return false
	}
	return slices.ContainsFunc(protocols, func(p wire.JoinGroupRequestProtocol) bool { return c.knowing[p.Name] == len(c.members) })
}

// elect picks the protocol that most members like best, of those that all know. Ties go to the one that the longest member
// likes better; Kafka's go by its hash tables.
func (c *classic) elect() string {
	votes := make(map[string]int)
	var order []string
	for _, one := range c.members {
		for i := range one.protocols {
			if name := one.protocols[i].Name; c.knowing[name] == len(c.members) {
				if votes[name]++; votes[name] == 1 {
					order = append(order, name)
				}
				break
			}
		}
	}
	best := ""
	for _, name := range order {
		if votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

// record is the group's durable state, as it is now: written when the group changes generation.
func (c *classic) record() machine.Record {
	value := &wire.GroupMetadataValue{ProtocolType: c.protocolType, Generation: c.generation, Protocol: c.protocol,
		Leader: nullable(c.leader), CurrentStateTimestamp: c.stateChangedMs,
		Members: make([]wire.GroupMetadataValueMemberMetadata, len(c.members))}
	for i, one := range c.members {
		value.Members[i] = wire.GroupMetadataValueMemberMetadata{MemberId: one.id, GroupInstanceId: one.instanceID,
			ClientId: one.client.ID, ClientHost: one.client.Host,
			RebalanceTimeout: one.rebalanceTimeoutMs, SessionTimeout: one.sessionTimeoutMs,
			Subscription: one.metadata(c.protocol.Value), Assignment: one.assignment}
	}
	return encode(&wire.GroupMetadataKey{Group: c.group.id}, value, groupMetadataVersion)
}
