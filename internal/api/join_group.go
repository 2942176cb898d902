package api

import (
	"bytes"

	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/wire"
)

// JoinGroup, key 11, versions 0-9. KIP-62 (rebalance timeout, v1), KIP-394 (MEMBER_ID_REQUIRED, v4), KIP-345 (static members, v5),
// KIP-559 (the protocol in the reply, v7), KIP-800 (reasons, v8), KIP-814 (v9). It is answered when all members have joined.

func (t *Table) joinGroup(r *Request) Outcome {
	var d wire.Decoder
	req := new(wire.JoinGroupRequest)
	r.Body = bytes.Clone(r.Body) // the machine reads the protocols' metadata later
	if err := decode(r, &d, req); err != nil {
		return hangup(r, err)
	}
	from, version := client(r), r.Version
	return inGroupLater(t, r, req.GroupId, func(m *group.Machine, at machine.Moment, reply group.Reply[*wire.JoinGroupResponse]) []machine.Record {
		return m.JoinGroup(at, from, req, reply)
	}, func(resp *wire.JoinGroupResponse, code wire.ErrorCode) wire.Message {
		if code != wire.ErrorNone {
			resp = &wire.JoinGroupResponse{ErrorCode: code, GenerationId: -1, MemberId: req.MemberId}
		}
		if version < 7 {
			resp.ProtocolName.Valid = true // null came with version 7
		}
		return resp
	})
}
