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
			described[i].AuthorizedOperations = operationsOn(described[i].ErrorCode, req.IncludeAuthorizedOperations)
			for j := range described[i].Members {
				if !ours {
					described[i].Members[j].ClientSoftware = ""
				}
			}
		}
		return &wire.DescribeGroupsResponse{Groups: described}
	}}
	from := client(r)
	describe := func(m *group.Machine, names []string) []wire.DescribeGroupsResponseDescribedGroup {
		return m.DescribeGroups(from, names)
	}
	t.askEach(p, req.Groups, describing(described, describe, func(name string, code wire.ErrorCode) wire.DescribeGroupsResponseDescribedGroup {
		return wire.DescribeGroupsResponseDescribedGroup{GroupId: name, ErrorCode: code}
	}))
	return t.await(p, r, "DescribeGroups timeout")
}

// describing makes the parts of a request that changes nothing and has one description for each name. look asks the machine of some groups; refused is
// what is told of a group whose machine does not answer.
func describing[G any](described []G, look func(m *group.Machine, names []string) []G, refused func(name string, code wire.ErrorCode) G) func(which []int, names []string) groupPart {
	return func(which []int, names []string) groupPart {
		var found []G
		return groupPart{func(m *group.Machine, _ machine.Moment) []machine.Record {
			found = look(m, names)
			return nil
		}, func() {
			for i, place := range which {
				described[place] = found[i]
			}
		}, func(code wire.ErrorCode) {
			for i, place := range which {
				described[place] = refused(names[i], code)
			}
		}, nil}
	}
}

// operationsOn is what a client may do to a group, if it asked and the group was found.
func operationsOn(code wire.ErrorCode, asked bool) int32 {
	if asked && code == wire.ErrorNone {
		return groupOperations
	}
	return noOperations
}
