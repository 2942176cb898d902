package api

import (
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/wire"
)

// Heartbeat, key 12, versions 0-4. KIP-345 (static members, v3). While the group is being loaded its members are told that all is
// well, as Kafka does: some clients take COORDINATOR_LOAD_IN_PROGRESS here for the end.

func (t *Table) heartbeat(r *Request) Outcome {
	var d wire.Decoder
	req, resp := new(wire.HeartbeatRequest), new(wire.HeartbeatResponse)
	if err := decode(r, &d, req); err != nil {
		return hangup(r, err)
	}
	from := software(r)
	return t.inGroup(r, req.GroupId, func(m *group.Machine, at machine.Moment) []machine.Record {
		resp.ErrorCode = m.Heartbeat(at, from, req)
		return nil
	}, func() wire.Message { return resp }, func(code wire.ErrorCode) wire.Message {
		if code == wire.ErrorCoordinatorLoadInProgress {
			code = wire.ErrorNone
		}
		return &wire.HeartbeatResponse{ErrorCode: code}
	})
}
