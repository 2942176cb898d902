package api

import (
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
			described[i].AuthorizedOperations = operationsOn(described[i].ErrorCode, req.IncludeAuthorizedOperations)
			for j := range described[i].Members {
				if !ours {
					described[i].Members[j].ClientSoftware = ""
				}
			}
		}
		return &wire.ConsumerGroupDescribeResponse{Groups: described}
	}}
	t.askEach(p, req.GroupIds, describing(described, (*group.Machine).ConsumerGroupDescribe, func(name string, code wire.ErrorCode) wire.ConsumerGroupDescribeResponseDescribedGroup {
		return wire.ConsumerGroupDescribeResponseDescribedGroup{GroupId: name, ErrorCode: code}
	}))
	return t.await(p, r, "ConsumerGroupDescribe timeout")
}
