package group

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/wire"
)

// describeMissing is the version of DescribeGroups that has a code for a group that does not exist (KIP-1043).
const describeMissing = 6

// noOperations is DescribedGroup.AuthorizedOperations for clients that did not ask for it.
const noOperations = -1 << 31

// state is the group's state in Kafka's words.
func (g *Group) state() string {
	switch {
	case g.consumer != nil:
		return g.consumer.state()
	case g.classic == nil:
		return empty.String()
	}
	return g.classic.state.String()
}

func (g *Group) isEmpty() bool {
	if g.consumer != nil {
		return len(g.consumer.members) == 0
	}
	return g.classic == nil || g.classic.state == empty
}

// protocolType is "consumer" for groups that consume.
func (g *Group) protocolType() string {
	switch {
	case g.consumer != nil:
		return consumerProtocolType
	case g.classic == nil:
		return ""
	}
	return g.classic.protocolType
}

// subscribes tells whether members of the group may read this topic.
func (g *Group) subscribes(topic string) bool {
	if g.consumer != nil {
		_, subscribed := g.consumer.subscribed[topic]
		return subscribed
	}
	return g.classic.subscribes(topic)
}

// kind is the group's type in Kafka's words.
func (g *Group) kind() string {
	if g.consumer != nil {
		return "consumer"
	}
	return "classic"
}

// ListGroups lists the groups in one of the states, and of one of the types, that the request asks for; no filter asks for all.
func (m *Machine) ListGroups(req *wire.ListGroupsRequest) []wire.ListGroupsResponseListedGroup {
	passes := func(filter []string, value string) bool {
		return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(strings.TrimSpace(f), value) })
	}
	var listed []wire.ListGroupsResponseListedGroup
	for _, g := range m.sorted() {
		if !passes(req.StatesFilter, g.state()) || !passes(req.TypesFilter, g.kind()) {
			continue
		}
		one := wire.ListGroupsResponseListedGroup{GroupId: g.id, GroupState: g.state(), GroupType: g.kind()}
		one.ProtocolType = g.protocolType()
		listed = append(listed, one)
	}
	return listed
}

// DescribeGroups describes classic groups, in the order of names. AuthorizedOperations is left to the caller.
func (m *Machine) DescribeGroups(client Client, names []string) []wire.DescribeGroupsResponseDescribedGroup {
	described := make([]wire.DescribeGroupsResponseDescribedGroup, len(names))
	for i, name := range names {
		d := &described[i]
		d.GroupId, d.AuthorizedOperations = name, noOperations
		g := m.groups[name]
		if g == nil || g.consumer != nil {
			why := fmt.Sprintf("Group %s not found.", name)
			if g != nil {
				why = fmt.Sprintf("Group %s is not a classic group.", name)
			}
			d.GroupState = "Dead"
			if client.Version >= describeMissing {
				d.ErrorCode, d.ErrorMessage = wire.ErrorGroupIDNotFound, wire.SomeString(why)
			}
			continue
		}
		d.GroupState = g.state()
		if g.classic != nil {
			g.classic.describe(d)
		}
	}
	return described
}

func (c *classic) describe(d *wire.DescribeGroupsResponseDescribedGroup) {
	d.ProtocolType = c.protocolType
	if c.state == stable {
		d.ProtocolData = c.protocol.Value
	}
	d.Members = make([]wire.DescribeGroupsResponseDescribedGroupMember, len(c.members))
	for i, one := range c.members {
		shown := wire.DescribeGroupsResponseDescribedGroupMember{MemberId: one.id, GroupInstanceId: one.instanceID,
			ClientId: one.client.ID, ClientHost: one.client.Host, MemberMetadata: []byte{}, MemberAssignment: present(one.assignment),
			ClientSoftware: one.client.Software.String()}
		if c.state == stable {
			shown.MemberMetadata = present(one.metadata(c.protocol.Value))
		}
		d.Members[i] = shown
	}
}

// DeleteGroups deletes groups that have no members, with their offsets.
func (m *Machine) DeleteGroups(names []string) ([]machine.Record, []wire.DeleteGroupsResponseDeletableGroupResult) {
	var records []machine.Record
	results := make([]wire.DeleteGroupsResponseDeletableGroupResult, len(names))
	for i, name := range names {
		results[i].GroupId = name
		g := m.groups[name]
		switch {
		case g == nil:
			results[i].ErrorCode = wire.ErrorGroupIDNotFound
		case !g.isEmpty():
			results[i].ErrorCode = wire.ErrorNonEmptyGroup
		case !slices.Contains(names[:i], name):
			records = append(records, m.deleteGroup(g)...)
		}
	}
	return records, results
}

// deleteGroup ends an empty group. Clients that were given a member id and have not joined yet get a new one.
func (m *Machine) deleteGroup(g *Group) (records []machine.Record) {
	for _, topic := range g.allTopics() {
		for _, partition := range g.allPartitions(topic) {
			records = append(records, offsetTombstone(g, topic, partition))
		}
	}
	if g.classic != nil {
		for id := range g.classic.pending {
			m.removePending(g.classic, id)
		}
		g.classic = nil
	}
	return append(records, m.groupTombstones(g)...)
}

// groupTombstones end what the records say about an empty group but its offsets.
func (m *Machine) groupTombstones(g *Group) (records []machine.Record) {
	if g.stored != nil {
		records = append(records, tombstone(&wire.GroupMetadataKey{Group: g.id}))
	}
	if g.consumer != nil {
		records = append(records, g.consumer.tombstones(g.id, nil)...)
	}
	return records
}
