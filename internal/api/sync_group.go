package api

import (
	"bytes"

	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/wire"
)

// SyncGroup, key 14, versions 0-5. KIP-345 (static members, v3), KIP-559 (the protocol, which must be named, v5). It is answered when
// the leader has sent its own.

func (t *Table) syncGroup(r *Request) Outcome {
	var d wire.Decoder
	req := new(wire.SyncGroupRequest)
	r.Body = bytes.Clone(r.Body) // the machine reads the assignments later
	if err := decode(r, &d, req); err != nil {
		return hangup(r, err)
	}
	refuse := func(code wire.ErrorCode) *wire.SyncGroupResponse {
		return &wire.SyncGroupResponse{ErrorCode: code, Assignment: []byte{}}
	}
	if r.Version >= 5 && (!req.ProtocolType.Valid || !req.ProtocolName.Valid) {
		return reply(r, refuse(wire.ErrorInconsistentGroupProtocol))
	}
	return inGroupLater(t, r, req.GroupId, func(m *group.Machine, at machine.Moment, reply group.Reply[*wire.SyncGroupResponse]) []machine.Record {
		return m.SyncGroup(at, req, reply)
	}, func(resp *wire.SyncGroupResponse, code wire.ErrorCode) wire.Message {
		if code != wire.ErrorNone {
			return refuse(code)
		}
		return resp
	})
}
