package group

import (
	"bytes"
	"slices"

	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/wire"
)

// Members of the classic protocol in a consumer group: the broker assigns for them too. To them, a member epoch is a generation;
// they are asked to join again whenever there is something to give up or to get, and nobody of them leads.

// consumers is the consumer group of this name; nil if there is none.
func (m *Machine) consumers(name string) *Group {
	if g := m.groups[name]; g != nil && g.consumer != nil {
		return g
	}
	return nil
}

// joinConsumers is JoinGroup to a consumer group with members.
func (m *Machine) joinConsumers(at machine.Moment, client Client, req *wire.JoinGroupRequest, reply Reply[*wire.JoinGroupResponse]) []machine.Record {
	b := m.newBeat(at, client, req.GroupId, m.cfg.Settings())
	b.c = b.g.consumer
	answer, refused := b.join(req)
	records, refused := b.done(refused)
	if refused != nil {
		return refuseJoin(reply, req.MemberId, refused.code)
	}
	reply.Set(answer)
	return records
}

func (b *beat) join(req *wire.JoinGroupRequest) (*wire.JoinGroupResponse, *refusal) {
	if !b.settings.UpgradeOnline && !b.settings.DowngradeOnline {
		return nil, refuse(wire.ErrorInconsistentGroupProtocol, "")
	}
	id, epoch := req.MemberId, int32(joiningEpoch)
	if id == "" {
		id = b.m.newMemberUUID()
	} else if req.GroupInstanceId.Valid {
		epoch = leavingEpoch // it must be a member already; its epoch is not looked at
	}
	if refused := b.checkRoom(id); refused != nil {
		return nil, refused
	}
	knowsOurs := func(p wire.JoinGroupRequestProtocol) bool { return b.c.protocols[p.Name] == b.c.classics }
	if req.ProtocolType != consumerProtocolType || !slices.ContainsFunc(req.Protocols, knowsOurs) {
		return nil, refuse(wire.ErrorInconsistentGroupProtocol, "")
	}
	if req.MemberId == "" && !req.GroupInstanceId.Valid && b.client.Version >= joinWithMemberID {
		return failedJoin(id, wire.ErrorMemberIDRequired), nil
	}
	subscription, ok := readSubscription(req.Protocols[0].Metadata)
	if !ok {
		return nil, refuse(wire.ErrorUnknownServerError, "")
	}
	static := b.c.static(req.GroupInstanceId)
	downgrades := static != nil && static.classic == nil && b.c.classics == len(b.c.members)-1 && b.settings.DowngradeOnline && len(b.c.members) <= int(b.settings.MaxSize)
	b.regexes = b.c.regexes
	b.owned = ownedPartitions{ownedByTopic(subscription.OwnedPartitions, b.image), true}
	before, refused := b.member(id, req.GroupInstanceId, epoch, true)
	if refused != nil {
		return nil, refused
	}
	updated := *before
	if req.GroupInstanceId.Valid {
		updated.instance = req.GroupInstanceId
	}
	if subscription.RackId.Value != "" {
		updated.rack = subscription.RackId
	}
	switch {
	case b.client.Version == 0:
		updated.rebalanceMs = req.SessionTimeoutMs
	case req.RebalanceTimeoutMs != -1:
		updated.rebalanceMs = req.RebalanceTimeoutMs
	}
	updated.topics, updated.regex = sortedNames(subscription.Topics), wire.SomeString("")
	updated.client, updated.host = b.client.ID, b.client.Host
	updated.classic = &classicConsumer{sessionMs: req.SessionTimeoutMs, protocols: ownProtocols(req.Protocols)}
	after, refused := b.advanceClassic(before, &updated, downgrades)
	if refused != nil {
		return nil, refused
	}
	return &wire.JoinGroupResponse{MemberId: after.id, GenerationId: after.epoch, ProtocolType: wire.SomeString(consumerProtocolType),
		ProtocolName: wire.SomeString(req.Protocols[0].Name)}, nil
}

// ownProtocols copies protocols out of a request, each name once.
func ownProtocols(given []wire.JoinGroupRequestProtocol) (own []wire.JoinGroupRequestProtocol) {
	for _, p := range given {
		if !slices.ContainsFunc(own, func(other wire.JoinGroupRequestProtocol) bool { return other.Name == p.Name }) {
			own = append(own, wire.JoinGroupRequestProtocol{Name: p.Name, Metadata: bytes.Clone(p.Metadata)})
		}
	}
	return own
}

// advanceClassic is advance for a classic member. If a static one took the place of the last member of the new protocol, the
// group becomes a classic one; the members rebalance only if there is something new to assign.
func (b *beat) advanceClassic(before, updated *consumer, downgrades bool) (*consumer, *refusal) {
	if !downgrades {
		after, refused := b.advance(before, updated)
		if refused != nil {
			return nil, refused
		}
		t := b.m.liveOf(b.g, after.id)
		t.software = b.client.Software
		b.m.timers.stop(&t.join)
		b.m.timers.set(&t.session, b.at.Monotonic+milliseconds(after.classic.sessionMs))
		b.m.timers.set(&t.sync, b.at.Monotonic+milliseconds(after.rebalanceMs))
		return after, nil
	}
	s, refused := b.subscribe(before, updated)
	if refused != nil {
		return nil, refused
	}
	after, rebalance := updated, b.c.targetEpoch < s.epoch
	if !rebalance {
		after = b.reconcile(updated, b.c.targetEpoch, b.c.targetOf(updated), s.namesChanged || s.regexChanged)
	}
	records, ok := b.m.toClassic(b.at, b.g, nil, after, rebalance)
	if !ok {
		return nil, refuse(wire.ErrorGroupIDNotFound, "")
	}
	b.g.classic.byID[after.id].client.Software = b.client.Software
	b.records = append(b.records, records...)
	b.succeeded = append(b.succeeded, func() { b.g.live = consumerLive{} }) // no consumer group is left
	return after, nil
}

// validConsumer finds the classic member that a SyncGroup or Heartbeat is from.
func (c *consumerGroup) validConsumer(id string, instance wire.NullString, generation int32) (*consumer, wire.ErrorCode) {
	one := c.members[id]
	if instance.Valid {
		one = c.static(instance)
	}
	switch {
	case one == nil:
		return nil, wire.ErrorUnknownMemberID
	case one.id != id:
		return nil, wire.ErrorFencedInstanceID
	case one.classic == nil || len(one.classic.protocols) == 0:
		return nil, wire.ErrorUnknownMemberID
	case one.epoch != generation:
		return nil, wire.ErrorIllegalGeneration
	}
	return one, wire.ErrorNone
}

// syncConsumers is SyncGroup to a consumer group.
func (m *Machine) syncConsumers(at machine.Moment, g *Group, req *wire.SyncGroupRequest) *wire.SyncGroupResponse {
	failed := func(code wire.ErrorCode) *wire.SyncGroupResponse {
		return &wire.SyncGroupResponse{ErrorCode: code, Assignment: []byte{}}
	}
	one, code := g.consumer.validConsumer(req.MemberId, req.GroupInstanceId, req.GenerationId)
	if code != wire.ErrorNone {
		return failed(code)
	}
	protocol := one.classic.protocols[0]
	version, ok := embeddedVersionOf(protocol.Metadata)
	switch {
	case req.ProtocolType.Valid && req.ProtocolType.Value != consumerProtocolType || req.ProtocolName.Valid && req.ProtocolName.Value != protocol.Name:
		return failed(wire.ErrorInconsistentGroupProtocol)
	case g.consumer.targetEpoch > one.epoch && one.state != consumerUnrevoked:
		m.awaitJoin(at, g, one)
		return failed(wire.ErrorRebalanceInProgress)
	case !ok:
		return failed(wire.ErrorUnknownServerError)
	}
	m.timers.stop(&m.liveOf(g, one.id).sync)
	m.touchConsumer(at, g, one.id, milliseconds(one.classic.sessionMs))
	return &wire.SyncGroupResponse{ProtocolType: req.ProtocolType, ProtocolName: req.ProtocolName, Assignment: embedAssignment(one.assigned, version, m.image())}
}

// awaitJoin gives a classic member its rebalance timeout to join again.
func (m *Machine) awaitJoin(at machine.Moment, g *Group, one *consumer) {
	if t := m.liveOf(g, one.id); t.join.index == 0 {
		m.timers.set(&t.join, at.Monotonic+milliseconds(one.rebalanceMs))
	}
}

// heartbeatConsumers is Heartbeat to a consumer group.
func (m *Machine) heartbeatConsumers(at machine.Moment, software Software, g *Group, req *wire.HeartbeatRequest) wire.ErrorCode {
	one, code := g.consumer.validConsumer(req.MemberId, req.GroupInstanceId, req.GenerationId)
	if code != wire.ErrorNone {
		return code
	}
	m.touchConsumer(at, g, one.id, milliseconds(one.classic.sessionMs))
	m.liveOf(g, one.id).software = software
	if one.epoch < g.consumer.targetEpoch || one.state == consumerUnrevoked || one.state == consumerUnreleased && !g.consumer.waits(one) {
		m.awaitJoin(at, g, one)
		return wire.ErrorRebalanceInProgress
	}
	return wire.ErrorNone
}

// waits tells whether somebody else still owns partitions that the target gives to the member.
func (c *consumerGroup) waits(one *consumer) bool {
	for _, t := range c.target[one.id] {
		for _, p := range t.partitions {
			if _, owned := c.owner[t.topic][p]; owned && !one.assigned.has(t.topic, p) {
				return true
			}
		}
	}
	return false
}

// leaveConsumers is LeaveGroup to a consumer group.
func (m *Machine) leaveConsumers(at machine.Moment, g *Group, req *wire.LeaveGroupRequest) ([]machine.Record, *wire.LeaveGroupResponse) {
	c, resp := g.consumer, &wire.LeaveGroupResponse{Members: make([]wire.LeaveGroupResponseMemberResponse, len(req.Members))}
	var gone []*consumer
	reason := ""
	for i := range req.Members {
		leaving := &req.Members[i]
		one, code := c.members[leaving.MemberId], wire.ErrorNone
		if leaving.GroupInstanceId.Valid {
			one = c.static(leaving.GroupInstanceId)
		}
		switch {
		case one == nil:
			code = wire.ErrorUnknownMemberID
		case leaving.GroupInstanceId.Valid && leaving.MemberId != "" && leaving.MemberId != one.id:
			code = wire.ErrorFencedInstanceID
		case !slices.Contains(gone, one):
			gone = append(gone, one)
			noteID(&g.live.rebalance.Left, one.id)
			reason = "member " + one.id + " left" + because(leaving.Reason)
		}
		resp.Members[i] = wire.LeaveGroupResponseMemberResponse{MemberId: leaving.MemberId, GroupInstanceId: leaving.GroupInstanceId, ErrorCode: code}
	}
	if len(gone) == 0 {
		return nil, resp
	}
	return m.fence(at, g, gone, reason), resp
}
