package api

import (
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/wire"
)

// Heartbeat, key 12, versions 0-4. KIP-345 (static members, v3). While the group is being loaded its members are told that all is
// well, as Kafka does: some clients take COORDINATOR_LOAD_IN_PROGRESS here for the end.

// heartbeatRequest is all state of one Heartbeat, pooled.
type heartbeatRequest struct {
	groupCall
	decoder wire.Decoder
	from    group.Software
	req     wire.HeartbeatRequest
	code    wire.ErrorCode         // the machine's
	resp    wire.HeartbeatResponse // the request's own
}

func (t *Table) heartbeat(r *Request) Outcome {
	h, _ := t.heartbeats.Get().(*heartbeatRequest)
	if h == nil {
		h = new(heartbeatRequest)
		h.init(t, h.decide)
	}
	if err := decode(r, &h.decoder, &h.req); err != nil {
		h.recycle(&t.heartbeats, h)
		return hangup(r, err)
	}
	h.from = software(r)
	if code := h.ask(h.req.GroupId); code != wire.ErrorNone {
		outcome := h.answer(r, code)
		h.recycle(&t.heartbeats, h)
		return outcome
	}
	return h.await(r, h)
}

func (h *heartbeatRequest) decide(m *group.Machine, at machine.Moment) []machine.Record {
	h.code = m.Heartbeat(at, h.from, &h.req)
	return nil
}

func (h *heartbeatRequest) answer(r *Request, code wire.ErrorCode) Outcome {
	if code == wire.ErrorCoordinatorLoadInProgress {
		code = wire.ErrorNone
	}
	h.resp.Default()
	h.resp.ErrorCode = code
	return reply(r, &h.resp)
}

// Finish implements Pending. A command that has not ended may yet happen: COORDINATOR_NOT_AVAILABLE, as in Kafka.
func (h *heartbeatRequest) Finish(r *Request) Outcome {
	code, free := h.close()
	if code == wire.ErrorNone {
		code = h.code
	}
	outcome := h.answer(r, code)
	if free {
		h.recycle(&h.table.heartbeats, h)
	}
	return outcome
}

// Cancel implements Pending.
func (h *heartbeatRequest) Cancel() {
	if _, free := h.close(); free {
		h.recycle(&h.table.heartbeats, h)
	}
}
