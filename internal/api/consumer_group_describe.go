package api

import (
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/wire"
)

// ConsumerGroupDescribe, key 69, versions 0-1. KIP-848 (v0), KIP-1099 (which protocol a member speaks, v1).

func (t *Table) consumerGroupDescribe(r *Request) Outcome {
	var d wire.Decoder
	req := new(wire.ConsumerGroupDescribeRequest)
	if err := decode(r, &d, req); err != nil {
		return hangup(r, err)
	}
	if !t.consumerGroups() {
		resp := new(wire.ConsumerGroupDescribeResponse)
		for _, id := range req.GroupIds {
			resp.Groups = append(resp.Groups, wire.ConsumerGroupDescribeResponseDescribedGroup{
				GroupId: id, ErrorCode: wire.ErrorUnsupportedVersion, AuthorizedOperations: noOperations})
		}
		return reply(r, resp)
	}
	described := make([]wire.ConsumerGroupDescribeResponseDescribedGroup, len(req.GroupIds))
	ours := isOurs(r)
	p := &groupRequest{answer: func() wire.Message {
		for i := range described {
			described[i].AuthorizedOperations = noOperations
			if req.IncludeAuthorizedOperations && described[i].ErrorCode == wire.ErrorNone {
				described[i].AuthorizedOperations = groupOperations
			}
			for j := range described[i].Members {
				if !ours {
					described[i].Members[j].ClientSoftware = ""
				}
			}
		}
		return &wire.ConsumerGroupDescribeResponse{Groups: described}
	}}
	t.askEach(p, req.GroupIds, func(which []int, names []string) groupPart {
		var found []wire.ConsumerGroupDescribeResponseDescribedGroup
		return groupPart{func(m *group.Machine, _ machine.Moment) []machine.Record {
			found = m.ConsumerGroupDescribe(names)
			return nil
		}, func() {
			for i, place := range which {
				described[place] = found[i]
			}
		}, func(code wire.ErrorCode) {
			for i, place := range which {
				described[place] = wire.ConsumerGroupDescribeResponseDescribedGroup{GroupId: names[i], ErrorCode: code}
			}
		}, nil}
	})
	return t.await(p, r, "ConsumerGroupDescribe timeout")
}
