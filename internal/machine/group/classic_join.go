package group

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/wire"
)

// Versions of JoinGroup at which the rules change.
const (
	joinWithMemberID       = 4 // a dynamic member first gets its id, and joins with it (KIP-394)
	joinSkippingAssignment = 9 // a static leader that comes back need not assign (KIP-814)
)

// JoinGroup makes the client a member, or learns that it still is one, and answers when the group's next generation begins.
func (m *Machine) JoinGroup(at machine.Moment, client Client, req *wire.JoinGroupRequest, reply Reply[*wire.JoinGroupResponse]) []machine.Record {
	settings := m.cfg.Settings()
	switch {
	case req.GroupId == "":
		return refuseJoin(reply, req.MemberId, wire.ErrorInvalidGroupID)
	case req.SessionTimeoutMs < settings.MinSessionTimeoutMs || req.SessionTimeoutMs > settings.MaxSessionTimeoutMs:
		return refuseJoin(reply, req.MemberId, wire.ErrorInvalidSessionTimeout)
	}
	g := m.groups[req.GroupId]
	if g != nil && g.consumer != nil && len(g.consumer.members) > 0 {
		return m.joinConsumers(at, client, req, reply)
	}
	isNew := g == nil || g.consumer != nil
	if isNew {
		if req.MemberId != "" {
			return refuseJoin(reply, req.MemberId, wire.ErrorUnknownMemberID)
		}
		g = m.group(req.GroupId)
	}
	if g.classic == nil {
		g.classic = m.newClassic(g)
		g.classic.stateChangedMs = at.NowMs
	}
	j := &join{m: m, at: at, c: g.classic, client: client, req: req, reply: reply, settings: settings}
	records := j.run()
	if isNew {
		switch {
		case g.classic.forgettable():
			g.classic = nil
			m.forget(g)
			return nil
		case len(records) == 0:
			records = append(records, emptyGroup(at, g)) // so that the group is there before its first generation, as in Kafka
		}
		if g.consumer != nil { // an empty one, which becomes a classic group
			records = append(g.consumer.tombstones(g.id, nil), records...)
		}
	}
	return records
}

// join is one JoinGroup of a classic group.
type join struct {
	m        *Machine
	at       machine.Moment
	c        *classic
	client   Client
	req      *wire.JoinGroupRequest
	reply    Reply[*wire.JoinGroupResponse]
	settings Settings
}

func (j *join) run() []machine.Record {
	c, req := j.c, j.req
	switch {
	case !j.hasRoom():
		if one := c.byID[req.MemberId]; one != nil {
			j.m.remove(c, one)
		}
		j.m.removePending(c, req.MemberId)
		return refuseJoin(j.reply, "", wire.ErrorGroupMaxSizeReached)
	case !c.supports(req.ProtocolType, req.Protocols):
		return refuseJoin(j.reply, req.MemberId, wire.ErrorInconsistentGroupProtocol)
	case req.MemberId != "":
		return j.known()
	}
	id := j.newMemberID()
	if req.GroupInstanceId.Valid {
		if old := c.byStatic[req.GroupInstanceId.Value]; old != nil {
			return j.replace(old, id)
		}
		return j.add(id)
	}
	if j.client.Version < joinWithMemberID {
		return j.add(id)
	}
	pending := &timer{group: c.group, fire: func(at machine.Moment) []machine.Record { return j.m.pendingEnded(at, c, id) }}
	c.pending[id] = pending
	j.m.timers.set(pending, j.at.Monotonic+milliseconds(req.SessionTimeoutMs))
	return refuseJoin(j.reply, id, wire.ErrorMemberIDRequired)
}

// maxMembersBytes bounds what all members of a group say of themselves. Kafka has no such bound, and fails later: such a group's
// record is far above message.max.bytes.
const maxMembersBytes = 32 << 20

// hasRoom tells whether group.max.size, and memory, let this member in.
func (j *join) hasRoom() bool {
	one, size := j.c.byID[j.req.MemberId], int(j.settings.MaxSize)
	asked := member{client: j.client, protocols: j.req.Protocols}
	if bytes := j.c.bytes + asked.size(); one == nil && bytes > maxMembersBytes || one != nil && bytes-one.size() > maxMembersBytes {
		return false
	}
	switch j.c.state {
	case empty:
		return true
	case preparingRebalance:
		return one != nil && one.join != nil || j.c.joining < size
	}
	return one != nil || len(j.c.members) < size
}

// maxNameBytes bounds what a member id takes of the client's or the instance's name: ids are strings of Kafka's records.
const maxNameBytes = 32_000

// newMemberID is the client's or the instance's name and a random UUID.
func (j *join) newMemberID() string {
	name := j.client.ID
	if j.req.GroupInstanceId.Valid {
		name = j.req.GroupInstanceId.Value
	}
	return name[:min(len(name), maxNameBytes)] + "-" + j.m.newUUID()
}

// newUUID is a random UUID in its usual text form.
func (m *Machine) newUUID() string {
	var p [16]byte
	m.cfg.Random(p[:])
	p[6], p[8] = p[6]&0x0f|0x40, p[8]&0x3f|0x80
	text := hex.EncodeToString(p[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// known joins with a member id: a pending one, or a member that joins again.
func (j *join) known() []machine.Record {
	c, req := j.c, j.req
	if c.pending[req.MemberId] != nil && !req.GroupInstanceId.Valid {
		return j.add(req.MemberId)
	}
	one, code := c.find(req.MemberId, req.GroupInstanceId)
	if code != wire.ErrorNone {
		return refuseJoin(j.reply, req.MemberId, code)
	}
	same := slices.EqualFunc(one.protocols, req.Protocols, func(a, b wire.JoinGroupRequestProtocol) bool {
		return a.Name == b.Name && bytes.Equal(a.Metadata, b.Metadata)
	})
	isLeader := one.id == c.leader
	switch {
	case c.state == preparingRebalance:
		return j.rejoin(one, "member %s joined again")
	case !same:
		return j.rejoin(one, "member %s changed its metadata")
	case c.state == stable && isLeader:
		return j.rejoin(one, "leader %s joined again")
	}
	// It lost the answer of the join before.
	answer := c.joined(one)
	if isLeader {
		answer.Members = c.joinedMembers()
	}
	j.reply.Set(answer)
	return nil
}

// find is the member of this id, which must be that of the instance if one is named.
func (c *classic) find(id string, instance wire.NullString) (*member, wire.ErrorCode) {
	if instance.Valid {
		one := c.byStatic[instance.Value]
		if one == nil {
			return nil, wire.ErrorUnknownMemberID
		}
		if one.id != id {
			return nil, wire.ErrorFencedInstanceID
		}
	}
	if one := c.byID[id]; one != nil {
		return one, wire.ErrorNone
	}
	return nil, wire.ErrorUnknownMemberID
}

// add makes a new member, and a rebalance with it.
func (j *join) add(id string) []machine.Record {
	c, m := j.c, j.m
	m.removePending(c, id)
	one := &member{id: id, instanceID: j.req.GroupInstanceId, client: j.client, isNew: true}
	c.know(one, 1)
	if len(c.members) == 0 {
		c.protocolType = j.req.ProtocolType
	}
	if c.state == preparingRebalance && c.initial {
		c.newMember = true
	}
	c.add(one)
	j.update(one)
	m.touchFor(j.at, c, one, newMemberSession)
	c.note(&c.rebalance.Joined, one)
	return m.rebalanceOrComplete(j.at, c, fmt.Sprintf("member %s joined%s", id, because(j.req.Reason)))
}

// rejoin takes a member's new metadata, and starts a rebalance if there is none.
func (j *join) rejoin(one *member, reason string) []machine.Record {
	j.update(one)
	return j.m.rebalanceOrComplete(j.at, j.c, fmt.Sprintf(reason, one.id)+because(j.req.Reason))
}

// update takes what the request says of a member, which then waits for the next generation.
func (j *join) update(one *member) {
	j.c.know(one, -1)
	one.protocols = one.protocols[:0:0]
	for _, p := range j.req.Protocols {
		if !slices.ContainsFunc(one.protocols, func(other wire.JoinGroupRequestProtocol) bool { return other.Name == p.Name }) {
			one.protocols = append(one.protocols, wire.JoinGroupRequestProtocol{Name: p.Name, Metadata: bytes.Clone(p.Metadata)})
		}
	}
	j.c.know(one, 1)
	one.sessionTimeoutMs, one.rebalanceTimeoutMs = j.req.SessionTimeoutMs, j.req.RebalanceTimeoutMs
	if j.client.Version == 0 {
		one.rebalanceTimeoutMs = one.sessionTimeoutMs
	}
	j.c.answerJoin(one, failedJoin(one.id, wire.ErrorRebalanceInProgress)) // an earlier request, on a connection that broke
	one.join = j.reply
	j.c.joining++
}

// replace lets a static member that starts anew take the place of the one with the same instance id. In a stable group whose
// protocol stays the same that needs no rebalance (KIP-345).
func (j *join) replace(old *member, id string) []machine.Record {
	c, m := j.c, j.m
	leaderBefore := c.leader
	c.answerJoin(old, failedJoin(old.id, wire.ErrorFencedInstanceID))
	answerSync(old, &wire.SyncGroupResponse{ErrorCode: wire.ErrorFencedInstanceID, Assignment: []byte{}})
	m.timers.stop(&old.session)
	c.know(old, -1)
	one := &member{id: id, instanceID: old.instanceID, client: old.client, protocols: old.protocols, assignment: old.assignment}
	c.know(one, 1)
	c.members[slices.Index(c.members, old)] = one
	delete(c.byID, old.id)
	c.byID[id], c.byStatic[one.instanceID.Value] = one, one
	if c.leader == old.id {
		c.leader = id
	}
	if c.unsynced[old.id] {
		delete(c.unsynced, old.id)
		c.unsynced[id] = true
	}
	j.update(one)
	m.touch(j.at, c, one)
	switch c.state {
	case stable:
		if c.elect() == c.protocol.Value {
			break
		}
		return m.rebalanceOrComplete(j.at, c, fmt.Sprintf("static member %s joined with another protocol%s", id, because(j.req.Reason)))
	case completingRebalance:
		return m.prepareRebalance(j.at, c, fmt.Sprintf("static member %s joined anew%s", id, because(j.req.Reason)))
	default:
		return m.maybeCompleteJoin(j.at, c)
	}
	c.subscribe()
	answer := c.joined(one)
	if j.client.Version < joinSkippingAssignment {
		answer.Leader = leaderBefore // so that it does not assign, and gets what the old one had
	} else if c.leader == id {
		answer.Members, answer.SkipAssignment = c.joinedMembers(), true
	}
	c.answerJoin(one, answer)
	return []machine.Record{c.record()}
}

// joined tells a member that it is one of the present generation.
func (c *classic) joined(one *member) *wire.JoinGroupResponse {
	return &wire.JoinGroupResponse{GenerationId: c.generation, ProtocolType: nullable(c.protocolType), ProtocolName: c.protocol,
		Leader: c.leader, MemberId: one.id}
}

// joinedMembers is what the leader needs for assigning.
func (c *classic) joinedMembers() []wire.JoinGroupResponseMember {
	members := make([]wire.JoinGroupResponseMember, len(c.members))
	for i, one := range c.members {
		members[i] = wire.JoinGroupResponseMember{MemberId: one.id, GroupInstanceId: one.instanceID, Metadata: one.metadata(c.protocol.Value)}
	}
	return members
}

func (c *classic) answerJoin(one *member, answer *wire.JoinGroupResponse) {
	if one.join != nil {
		one.join.Set(answer)
		one.join = nil
		c.joining--
	}
}

func answerSync(one *member, answer *wire.SyncGroupResponse) {
	if one.sync != nil {
		one.sync.Set(answer)
		one.sync = nil
	}
}

func failedJoin(memberID string, code wire.ErrorCode) *wire.JoinGroupResponse {
	return &wire.JoinGroupResponse{ErrorCode: code, GenerationId: -1, MemberId: memberID}
}

func refuseJoin(reply Reply[*wire.JoinGroupResponse], memberID string, code wire.ErrorCode) []machine.Record {
	reply.Set(failedJoin(memberID, code))
	return nil
}

// because is what a client says about why it joins or leaves.
func because(reason wire.NullString) string {
	if !reason.Valid || reason.Value == "" {
		return ""
	}
	return " (" + reason.Value + ")"
}

// emptyGroup is the record of a group that has no generation yet.
func emptyGroup(at machine.Moment, g *Group) machine.Record {
	return encode(&wire.GroupMetadataKey{Group: g.id}, &wire.GroupMetadataValue{CurrentStateTimestamp: at.NowMs}, groupMetadataVersion)
}
