package api

import (
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/wire"
)

// LeaveGroup, key 13, versions 0-5. KIP-345 (several members, also static ones, v3), KIP-800 (reasons, v5).

func (t *Table) leaveGroup(r *Request) Outcome {
	var d wire.Decoder
	req := new(wire.LeaveGroupRequest)
	if err := decode(r, &d, req); err != nil {
		return hangup(r, err)
	}
	version := r.Version
	if version < 3 {
		req.Members = []wire.LeaveGroupRequestMemberIdentity{{MemberId: req.MemberId}}
	}
	var a *audit
	if removesOthers(req) {
		a = t.audit(r)
	}
	var resp *wire.LeaveGroupResponse
	return t.inGroupTold(r, req.GroupId, func(m *group.Machine, at machine.Moment) (records []machine.Record) {
		records, resp = m.LeaveGroup(at, req)
		return records
	}, func() wire.Message {
		if version < 3 {
			if resp.ErrorCode == wire.ErrorNone {
				resp.ErrorCode = resp.Members[0].ErrorCode
			}
			resp.Members = nil
		}
		return resp
	}, func(code wire.ErrorCode) wire.Message { return &wire.LeaveGroupResponse{ErrorCode: code} },
		func(code wire.ErrorCode) { a.membersRemoved(req, resp, code) })
}
