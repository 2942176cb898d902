package api

import (
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/wire"
)

// DescribeGroups, key 15, versions 0-6. KIP-430 (authorized operations, v3), KIP-345 (static members, v4), KIP-1043 (a code for groups
// that do not exist, v6).
//
// Where we differ from Kafka 4.3.1, on purpose: a group that has neither members nor offsets does not exist. In Kafka it stays for a while,
// also after a join that was refused.
// After a hundred groups that one request names again, here and in ConsumerGroupDescribe and OffsetFetch, more of them are INVALID_REQUEST:
// a few bytes must not ask for megabytes each time.

func (t *Table) describeGroups(r *Request) Outcome {
	var d wire.Decoder
	req := new(wire.DescribeGroupsRequest)
	if err := decode(r, &d, req); err != nil {
		return hangup(r, err)
	}
	described := make([]wire.DescribeGroupsResponseDescribedGroup, len(req.Groups))
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
		return &wire.DescribeGroupsResponse{Groups: described}
	}}
	from := client(r)
	t.askEach(p, req.Groups, func(which []int, names []string) groupPart {
		var found []wire.DescribeGroupsResponseDescribedGroup
		return groupPart{func(m *group.Machine, _ machine.Moment) []machine.Record {
			found = m.DescribeGroups(from, names)
			return nil
		}, func() {
			for i, place := range which {
				described[place] = found[i]
			}
		}, func(code wire.ErrorCode) {
			for i, place := range which {
				described[place] = wire.DescribeGroupsResponseDescribedGroup{GroupId: names[i], ErrorCode: code}
			}
		}, nil}
	})
	return t.await(p, r, "DescribeGroups timeout")
}
