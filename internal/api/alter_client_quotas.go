package api

import (
	"strconv"

	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/quota"
	"github.com/ottla-io/ottla/internal/wire"
)

// AlterClientQuotas, key 49, versions 0-1. KIP-546 (users and client ids), KIP-612 (addresses). All rules are the controller's.
//
// Where we differ from Kafka 4.3.1, on purpose: results come in the request's order (Kafka's comes from a hash), NaN is refused
// (Kafka takes it, and limits nothing), and an address must be a number (Kafka's controller resolves names, and each broker again).

func (t *Table) alterClientQuotas(r *Request) Outcome {
	c := new(alterClientQuotasRequest)
	var d wire.Decoder
	if err := decode(r, &d, &c.req); err != nil {
		return hangup(r, err)
	}
	for i := range c.req.Entries {
		result := wire.AlterClientQuotasResponseEntryData{ErrorCode: wire.ErrorRequestTimedOut, ErrorMessage: wire.SomeString(wire.ErrorRequestTimedOut.Message())}
		for _, part := range c.req.Entries[i].Entity {
			result.Entity = append(result.Entity, wire.AlterClientQuotasResponseEntityData(part))
		}
		c.named = append(c.named, result)
	}
	var a *audit
	if !c.req.ValidateOnly {
		a = t.audit(r)
	}
	c.expect(1)
	t.deps.Controller.AlterClientQuotas(&c.req, func(resp *wire.AlterClientQuotasResponse) {
		a.quotasAltered(resp)
		c.arrive(func() { c.resp = resp })
	})
	r.Pending = c
	if c.park(t.deps.Env, r, controllerWait, "AlterClientQuotas timeout") {
		return Parked
	}
	return c.Finish(r)
}

// alterClientQuotasRequest is the state of one AlterClientQuotas request. The controller owns req from the call on.
type alterClientQuotasRequest struct {
	gate
	req   wire.AlterClientQuotasRequest
	named []wire.AlterClientQuotasResponseEntryData // the answers, if nothing is known in time
	resp  *wire.AlterClientQuotasResponse           // guarded by the gate's lock
}

// Finish implements Pending. Entities of which nothing is known in time are REQUEST_TIMED_OUT; they may yet change.
func (c *alterClientQuotasRequest) Finish(r *Request) Outcome {
	c.settle()
	c.mu.Lock()
	resp := c.resp
	c.mu.Unlock()
	if resp == nil {
		resp = &wire.AlterClientQuotasResponse{Entries: c.named}
	}
	return reply(r, resp)
}

// Cancel implements Pending.
func (c *alterClientQuotasRequest) Cancel() { c.settle() }

// quotasAltered tells about all quotas of the entities that were named.
func (a *audit) quotasAltered(resp *wire.AlterClientQuotasResponse) {
	if a == nil {
		return
	}
	image := a.table.deps.Cluster.Image()
	for i := range resp.Entries {
		result := &resp.Entries[i]
		var entity quota.Entity
		name := ""
		for _, p := range result.Entity {
			if name != "" {
				name += ","
			}
			name += p.EntityType + "=" + p.EntityName.Value
			if !p.EntityName.Valid {
				name += "<default>"
			}
			if part := entity.Part(p.EntityType); part != nil {
				*part = metadata.QuotaPart(p.EntityName)
			}
		}
		c := Change{Kind: "quota", Name: name, Before: quotaState(a.before, entity), Error: result.ErrorCode, Message: result.ErrorMessage.Value}
		if c.Error == wire.ErrorNone {
			c.After = quotaState(image, entity)
		}
		a.add(c)
	}
	a.tell()
}

func quotaState(image *metadata.Image, e quota.Entity) State {
	values := image.Quotas(e)
	if values == nil {
		return nil
	}
	state := State{}
	for key, value := range values {
		if len(state) < mostProperties {
			state[key] = strconv.FormatFloat(value, 'f', -1, 64)
		}
	}
	return state
}
