package api

import (
	"slices"
	"strings"

	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/wire"
)

// ListGroups, key 16, versions 0-5. KIP-518 (states, v4), KIP-848 (types, v5). It lists the groups that this broker coordinates; clients
// ask every broker.

func (t *Table) listGroups(r *Request) Outcome {
	var d wire.Decoder
	req := new(wire.ListGroupsRequest)
	if err := decode(r, &d, req); err != nil {
		return hangup(r, err)
	}
	coordinators, failed := t.deps.Groups.All()
	if failed != wire.ErrorNone {
		return reply(r, &wire.ListGroupsResponse{ErrorCode: failed})
	}
	var all []wire.ListGroupsResponseListedGroup
	p := &groupRequest{answer: func() wire.Message {
		if failed != wire.ErrorNone {
			return &wire.ListGroupsResponse{ErrorCode: failed}
		}
		slices.SortFunc(all, func(a, b wire.ListGroupsResponseListedGroup) int { return strings.Compare(a.GroupId, b.GroupId) })
		return &wire.ListGroupsResponse{Groups: all}
	}}
	for _, coordinator := range coordinators {
		var listed []wire.ListGroupsResponseListedGroup
		p.askOne(coordinator, groupPart{func(m *group.Machine, _ machine.Moment) []machine.Record {
			listed = m.ListGroups(req)
			return nil
		}, func() { all = append(all, listed...) }, func(code wire.ErrorCode) {
			if code != wire.ErrorNotCoordinator { // else these groups are another broker's to list
				failed = code
			}
		}, nil})
	}
	return t.await(p, r, "ListGroups timeout")
}
