package api

import (
	"slices"

	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/wire"
)

// DeleteGroups, key 42, versions 0-2. KIP-229. A group that is named twice is answered once.

func (t *Table) deleteGroups(r *Request) Outcome {
	var d wire.Decoder
	req := new(wire.DeleteGroupsRequest)
	if err := decode(r, &d, req); err != nil {
		return hangup(r, err)
	}
	slices.Sort(req.GroupsNames)
	req.GroupsNames = slices.Compact(req.GroupsNames)
	results := make([]wire.DeleteGroupsResponseDeletableGroupResult, len(req.GroupsNames))
	p := &groupRequest{answer: func() wire.Message { return &wire.DeleteGroupsResponse{Results: results} }}
	a := t.audit(r)
	t.askEach(p, req.GroupsNames, func(which []int, names []string) groupPart {
		var deleted []wire.DeleteGroupsResponseDeletableGroupResult
		var had []State
		return groupPart{func(m *group.Machine, _ machine.Moment) (records []machine.Record) {
			if a != nil {
				had = groupStates(m, names)
			}
			records, deleted = m.DeleteGroups(names)
			return records
		}, func() {
			for i, place := range which {
				results[place] = deleted[i]
			}
		}, func(code wire.ErrorCode) {
			for i, place := range which {
				results[place] = wire.DeleteGroupsResponseDeletableGroupResult{GroupId: names[i], ErrorCode: code}
			}
		}, func(code wire.ErrorCode) { a.groupsDeleted(names, had, deleted, code) }}
	})
	return t.await(p, r, "DeleteGroups timeout")
}
