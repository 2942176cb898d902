package api

import (
	"sync"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/wire"
)

// InitProducerId, key 22, versions 0-5; version 6 (KIP-939) is not offered: Java sends it if it is. KIP-98, KIP-360 (an
// idempotent producer that resets itself gets another id; what it says of its old one does not matter).
//
// There are no transactions yet: a transactional id is UNSUPPORTED_VERSION, which is fatal in every client.

func (t *Table) initProducerID(r *Request) Outcome {
	var (
		d   wire.Decoder
		req wire.InitProducerIdRequest
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	p := new(initProducerRequest)
	p.resp.Default()
	p.resp.ProducerId, p.resp.ProducerEpoch = int64(ids.NoProducerID), -1
	switch {
	case req.TransactionalId.Valid && req.TransactionalId.Value == "",
		(req.ProducerId == int64(ids.NoProducerID)) != (req.ProducerEpoch == -1):
		p.resp.ErrorCode = wire.ErrorInvalidRequest
		return reply(r, &p.resp)
	case req.TransactionalId.Valid:
		p.resp.ErrorCode = wire.ErrorUnsupportedVersion
		return reply(r, &p.resp)
	}
	p.expect(1)
	t.producers.get(p)
	r.Pending = p
	if p.park(t.deps.Env, r, controllerWait, "InitProducerId timeout") {
		return Parked
	}
	return p.Finish(r)
}

// initProducerRequest is the state of one InitProducerId request.
type initProducerRequest struct {
	gate
	resp    wire.InitProducerIdResponse
	granted bool // guarded by the gate's lock, as are id and code
	id      ids.ProducerID
	code    wire.ErrorCode
	next    *initProducerRequest // in producerIDs.waiting
}

func (p *initProducerRequest) grant(id ids.ProducerID, code wire.ErrorCode) {
	p.arrive(func() { p.granted, p.id, p.code = true, id, code })
}

// Finish implements Pending. Without an id the client tries again: COORDINATOR_LOAD_IN_PROGRESS, as Kafka answers while it
// has no block of ids.
func (p *initProducerRequest) Finish(r *Request) Outcome {
	p.settle()
	p.mu.Lock()
	switch {
	case p.granted && p.code == wire.ErrorNone:
		p.resp.ProducerId, p.resp.ProducerEpoch = int64(p.id), 0
	default:
		p.resp.ErrorCode = wire.ErrorCoordinatorLoadInProgress
	}
	p.mu.Unlock()
	return reply(r, &p.resp)
}

// Cancel implements Pending. An id that comes for it is wasted.
func (p *initProducerRequest) Cancel() { p.settle() }

// producerIDs gives out ids from the blocks that the controller allocates to this broker (KIP-730). No id is given twice;
// what is left of a block when the broker stops is given to nobody.
type producerIDs struct {
	deps *Deps

	mu      sync.Mutex
	next    ids.ProducerID       // next < end: the rest of the block
	end     ids.ProducerID       //
	asking  bool                 // for another block
	waiting *initProducerRequest // oldest first
	last    *initProducerRequest
}

func (l *producerIDs) init(deps *Deps) { l.deps = deps }

// get grants p an id, now or when the controller has given a block.
func (l *producerIDs) get(p *initProducerRequest) {
	l.mu.Lock()
	if l.waiting == nil && l.next < l.end {
		id := l.next
		l.next++
		l.mu.Unlock()
		p.grant(id, wire.ErrorNone)
		return
	}
	if l.waiting == nil {
		l.waiting = p
	} else {
		l.last.next = p
	}
	l.last = p
	ask := !l.asking
	l.asking = true
	l.mu.Unlock()
	if ask {
		l.deps.Controller.AllocateProducerIDs(l.block)
	}
}

// block takes a block and serves those who wait, or fails them all.
func (l *producerIDs) block(first ids.ProducerID, count int32, code wire.ErrorCode) {
	type grant struct {
		to *initProducerRequest
		id ids.ProducerID
	}
	var grants []grant
	l.mu.Lock()
	l.asking = false
	if code == wire.ErrorNone && count > 0 {
		l.next, l.end = first, first+ids.ProducerID(count)
	} else if code == wire.ErrorNone {
		code = wire.ErrorUnknownServerError
	}
	for l.waiting != nil && (code != wire.ErrorNone || l.next < l.end) {
		p := l.waiting
		l.waiting, p.next = p.next, nil
		grants = append(grants, grant{p, l.next})
		if code == wire.ErrorNone {
			l.next++
		}
	}
	ask := l.waiting != nil
	l.asking = ask
	l.mu.Unlock()
	for _, g := range grants {
		g.to.grant(g.id, code)
	}
	if ask {
		l.deps.Controller.AllocateProducerIDs(l.block)
	}
}
