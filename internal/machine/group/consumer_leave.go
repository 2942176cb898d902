package group

import (
	"maps"
	"slices"

	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// consumerLeaves lets a member go for good, or a static one for a while.
func (m *Machine) consumerLeaves(at machine.Moment, req *wire.ConsumerGroupHeartbeatRequest, resp *wire.ConsumerGroupHeartbeatResponse) ([]machine.Record, *refusal) {
	g := m.groups[req.GroupId]
	switch {
	case g == nil:
		return nil, refuse(wire.ErrorGroupIDNotFound, "Group %s not found.", req.GroupId)
	case g.consumer == nil:
		return nil, refuse(wire.ErrorGroupIDNotFound, "Group %s is not a consumer group.", req.GroupId)
	}
	one := g.consumer.members[req.MemberId]
	if req.InstanceId.Valid {
		one = g.consumer.static(req.InstanceId)
	}
	switch {
	case one == nil && req.InstanceId.Valid:
		return nil, refuse(wire.ErrorUnknownMemberID, "Instance id %s is unknown.", req.InstanceId.Value)
	case one == nil:
		return nil, refuse(wire.ErrorUnknownMemberID, "Member %s is not a member of group %s.", req.MemberId, req.GroupId)
	case one.id != req.MemberId:
		return nil, fencedInstance(one, req.MemberId, req.InstanceId)
	}
	resp.MemberId, resp.MemberEpoch = wire.SomeString(one.id), req.MemberEpoch
	if req.InstanceId.Valid && req.MemberEpoch == staticLeaveEpoch {
		// Its partitions stay its own until it is back, or its session ends.
		away := *one
		away.epoch, away.revoking, away.assigned = staticLeaveEpoch, nil, one.assigned.sinceZero()
		return []machine.Record{currentRecord(g.id, &away)}, nil
	}
	noteID(&g.live.rebalance.Left, one.id)
	return m.fence(at, g, []*consumer{one}, "member "+one.id+" left"), nil
}

// sinceZero is the share with all partitions assigned at epoch 0: whatever epoch the member comes back with may commit.
func (s share) sinceZero() share {
	s = slices.Clone(s)
	for i := range s {
		s[i].epochs = make([]int32, len(s[i].partitions))
	}
	return s
}

// fence removes members. If only classic ones are left, the group becomes a classic one.
func (m *Machine) fence(at machine.Moment, g *Group, gone []*consumer, reason string) (records []machine.Record) {
	c := g.consumer
	if m.mayDowngrade(c, gone) {
		if records, ok := m.toClassic(at, g, gone, nil, true); ok {
			return records
		}
	}
	use, subscribed := maps.Clone(c.regexUse), maps.Clone(c.subscribed)
	for _, one := range gone {
		records = append(records, removalOf(g.id, one.id)...)
		countNames(subscribed, one.topics, -1)
		if one.regex.Value != "" {
			addTo(use, one.regex.Value, -1)
		}
	}
	for _, regex := range sortedKeys(c.regexes) {
		if use[regex] == 0 {
			records = append(records, regexTombstone(g.id, regex))
			countRegex(subscribed, c.regexes[regex].topics, -1)
		}
	}
	records = append(records, epochRecord(g.id, c.epoch+1, m.metadataHash(m.image(), subscribed)))
	for _, one := range gone {
		m.stopConsumer(g, one.id)
	}
	g.live.begin(at, reason)
	if len(gone) == len(c.members) {
		m.consumersSettled(at, g, c.epoch+1, 0)
	}
	return records
}

// image is the cluster's state now.
func (m *Machine) image() *metadata.Image {
	if m.cfg.Image == nil {
		return metadata.Empty()
	}
	return m.cfg.Image()
}

// begin starts a rebalance, unless there is one.
func (l *consumerLive) begin(at machine.Moment, reason string) {
	if l.rebalance.Reason == "" {
		l.rebalance.Reason, l.since = reason, at.Monotonic
	}
}

func noteID(list *[]string, id string) {
	if len(*list) < maxNoted {
		*list = append(*list, id)
	}
}

// note remembers who joined.
func (b *beat) note(id string) {
	b.succeeded = append(b.succeeded, func() { noteID(&b.g.live.rebalance.Joined, id) })
}

func (b *beat) begin(reason string) {
	b.succeeded = append(b.succeeded, func() { b.g.live.begin(b.at, reason) })
}

// settle ends the rebalance if this request brings the last member to the target of the group epoch.
func (b *beat) settle(s *step, after *consumer, targetEpoch int32) {
	members, stable := len(b.c.members), b.c.stableAt[targetEpoch]
	before := b.c.members[after.id]
	if b.replaced != "" {
		before = b.c.members[b.replaced]
	}
	switch {
	case before == nil:
		members++
	case before.reconciledTo(targetEpoch):
		stable--
	}
	if targetEpoch >= s.epoch && after.reconciledTo(targetEpoch) && stable+1 == members {
		b.succeeded = append(b.succeeded, func() {
			if b.g.live.rebalance.Reason != "" {
				b.m.consumersSettled(b.at, b.g, targetEpoch, members)
			}
		})
	}
}

func (m *Machine) consumersSettled(at machine.Moment, g *Group, epoch int32, members int) {
	r := g.live.rebalance
	g.live.rebalance = Rebalance{}
	r.Group, r.Generation, r.Members, r.Paused = g.id, epoch, members, at.Monotonic-g.live.since
	m.totals.Rebalances++
	m.totals.Paused += r.Paused
	if m.cfg.Events.Rebalanced != nil {
		m.cfg.Events.Rebalanced(r)
	}
}
