package group

import (
	"strings"

	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/wire"
)

// LeaveGroup removes the members of req.Members, each by its id, its instance id, or both.
func (m *Machine) LeaveGroup(at machine.Moment, req *wire.LeaveGroupRequest) ([]machine.Record, *wire.LeaveGroupResponse) {
	resp := &wire.LeaveGroupResponse{Members: make([]wire.LeaveGroupResponseMemberResponse, len(req.Members))}
	if req.GroupId == "" {
		resp.ErrorCode, resp.Members = wire.ErrorInvalidGroupID, nil
		return nil, resp
	}
	if g := m.consumers(req.GroupId); g != nil {
		return m.leaveConsumers(at, g, req)
	}
	var c *classic
	if g := m.groups[req.GroupId]; g != nil {
		c = g.classic
	}
	var gone []string
	for i := range req.Members {
		leaving := &req.Members[i]
		code := wire.ErrorUnknownMemberID
		if c != nil {
			code = m.leave(c, leaving)
		}
		if code == wire.ErrorNone {
			gone = append(gone, leaving.MemberId+because(leaving.Reason))
		}
		resp.Members[i] = wire.LeaveGroupResponseMemberResponse{MemberId: leaving.MemberId, GroupInstanceId: leaving.GroupInstanceId, ErrorCode: code}
	}
	if len(gone) == 0 {
		return nil, resp
	}
	if c.state == empty {
		m.forget(c.group)
		return nil, resp
	}
	return m.rebalanceOrComplete(at, c, "left: "+strings.Join(gone[:min(len(gone), maxNoted)], ", ")), resp
}

func (m *Machine) leave(c *classic, leaving *wire.LeaveGroupRequestMemberIdentity) wire.ErrorCode {
	one := (*member)(nil)
	switch {
	case leaving.MemberId == "":
		if leaving.GroupInstanceId.Valid {
			one = c.byStatic[leaving.GroupInstanceId.Value]
		}
		if one == nil {
			return wire.ErrorUnknownMemberID
		}
	case c.pending[leaving.MemberId] != nil:
		m.removePending(c, leaving.MemberId)
		return wire.ErrorNone
	default:
		var code wire.ErrorCode
		if one, code = c.find(leaving.MemberId, leaving.GroupInstanceId); code != wire.ErrorNone {
			return code
		}
	}
	c.note(&c.rebalance.Left, one)
	m.remove(c, one)
	return wire.ErrorNone
}
