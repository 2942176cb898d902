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
	req := new(wire.AlterClientQuotasRequest)
	var d wire.Decoder
	if err := decode(r, &d, req); err != nil {
		return hangup(r, err)
	}
	var named []wire.AlterClientQuotasResponseEntryData
	for i := range req.Entries {
		result := wire.AlterClientQuotasResponseEntryData{ErrorCode: wire.ErrorRequestTimedOut, ErrorMessage: wire.SomeString(wire.ErrorRequestTimedOut.Message())}
		for _, part := range req.Entries[i].Entity {
			result.Entity = append(result.Entity, wire.AlterClientQuotasResponseEntityData(part))
		}
		named = append(named, result)
	}
	a := t.auditUnless(req.ValidateOnly, r)
	c := &controllerCall{late: func() wire.Message { return &wire.AlterClientQuotasResponse{Entries: named} }}
	t.deps.Controller.AlterClientQuotas(req, answered(c, a.quotasAltered))
	return c.await(t, r, controllerWait, "AlterClientQuotas timeout")
}

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
