package group

import (
	"bytes"
	"fmt"

	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/wire"
)

// SyncGroup takes the leader's assignment, and answers each member with its own when it is there.
func (m *Machine) SyncGroup(at machine.Moment, req *wire.SyncGroupRequest, reply Reply[*wire.SyncGroupResponse]) []machine.Record {
	if g := m.consumers(req.GroupId); g != nil && len(g.consumer.members) > 0 {
		reply.Set(m.syncConsumers(at, g, req))
		return nil
	}
	one, code := m.syncing(req)
	if code != wire.ErrorNone {
		reply.Set(&wire.SyncGroupResponse{ErrorCode: code, Assignment: []byte{}})
		return nil
	}
	c := m.groups[req.GroupId].classic
	delete(c.unsynced, one.id)
	if len(c.unsynced) == 0 {
		m.timers.stop(&c.syncTimer)
	}
	if c.state == stable {
		reply.Set(c.synced(one))
		return nil
	}
	answerSync(one, &wire.SyncGroupResponse{ErrorCode: wire.ErrorRebalanceInProgress, Assignment: []byte{}}) // an earlier request
	one.sync = reply
	if one.id != c.leader {
		return nil
	}
	return m.assign(at, c, req)
}

// maxGroupBytes bounds a group's record. Kafka's bound is that of every batch, message.max.bytes.
const maxGroupBytes = 64 << 20

// assign gives every member what the leader says. A group that would be too large for its record has to try again.
func (m *Machine) assign(at machine.Moment, c *classic, req *wire.SyncGroupRequest) []machine.Record {
	assigned := make(map[string][]byte, len(req.Assignments))
	for i := range req.Assignments {
		assigned[req.Assignments[i].MemberId] = req.Assignments[i].Assignment
	}
	bytesInAll := c.bytes
	for _, one := range c.members {
		bytesInAll += len(assigned[one.id])
	}
	if bytesInAll > maxGroupBytes {
		for _, one := range c.members {
			answerSync(one, &wire.SyncGroupResponse{ErrorCode: wire.ErrorUnknownServerError, Assignment: []byte{}})
			m.touch(at, c, one)
		}
		return m.prepareRebalance(at, c, fmt.Sprintf("an assignment of %d bytes is too large to be kept", bytesInAll))
	}
	c.transition(at, stable)
	for _, one := range c.members {
		one.assignment = bytes.Clone(assigned[one.id])
		if one.sync != nil {
			answerSync(one, c.synced(one))
			m.touch(at, c, one)
		}
	}
	m.settled(at, c)
	return []machine.Record{c.record()}
}

// syncing finds the member that a SyncGroup is from, in a group that is past joining.
func (m *Machine) syncing(req *wire.SyncGroupRequest) (*member, wire.ErrorCode) {
	if req.GroupId == "" {
		return nil, wire.ErrorInvalidGroupID
	}
	g := m.groups[req.GroupId]
	if g == nil || g.classic == nil || g.classic.state == empty {
		return nil, wire.ErrorUnknownMemberID
	}
	c := g.classic
	one, code := c.find(req.MemberId, req.GroupInstanceId)
	differs := func(theirs wire.NullString, ours string) bool {
		return theirs.Valid && ours != "" && theirs.Value != ours
	}
	switch {
	case code != wire.ErrorNone:
		return nil, code
	case req.GenerationId != c.generation:
		return nil, wire.ErrorIllegalGeneration
	case differs(req.ProtocolType, c.protocolType) || differs(req.ProtocolName, c.protocol.Value):
		return nil, wire.ErrorInconsistentGroupProtocol
	case c.state == preparingRebalance:
		return nil, wire.ErrorRebalanceInProgress
	}
	return one, wire.ErrorNone
}

func (c *classic) synced(one *member) *wire.SyncGroupResponse {
	return &wire.SyncGroupResponse{ProtocolType: nullable(c.protocolType), ProtocolName: c.protocol, Assignment: present(one.assignment)}
}

// present is p, not null.
func present(p []byte) []byte {
	if p == nil {
		return []byte{}
	}
	return p
}

// Heartbeat gives a member a new session. It never changes the durable state.
func (m *Machine) Heartbeat(at machine.Moment, software Software, req *wire.HeartbeatRequest) wire.ErrorCode {
	if req.GroupId == "" {
		return wire.ErrorInvalidGroupID
	}
	if g := m.consumers(req.GroupId); g != nil {
		return m.heartbeatConsumers(at, software, g, req)
	}
	g := m.groups[req.GroupId]
	if g == nil || g.classic == nil {
		return wire.ErrorUnknownMemberID
	}
	c := g.classic
	one, code := c.find(req.MemberId, req.GroupInstanceId)
	switch {
	case code != wire.ErrorNone:
		return code
	case req.GenerationId != c.generation:
		return wire.ErrorIllegalGeneration
	}
	m.touch(at, c, one)
	one.client.Software = software
	if c.state == preparingRebalance {
		return wire.ErrorRebalanceInProgress
	}
	return wire.ErrorNone
}
