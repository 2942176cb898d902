package controller

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/quota"
	"github.com/ottla-io/ottla/internal/wire"
)

// AlterClientQuotas decides on changes of quotas (KIP-546, KIP-612), in Kafka 4.3.1's order of checks and with its sentences. Each
// entity succeeds or fails as a whole. The reply has one result per entity: of one that is named twice the first change counts, and
// the result is an error, as in Kafka. With ValidateOnly there are no records, and the reply is what it would be.
//
// Addresses must be numbers: Kafka's controller asks the name service for the others, and this one reaches nothing.
func (c *Controller) AlterClientQuotas(req *wire.AlterClientQuotasRequest, _ machine.Moment) ([]machine.Record, *wire.AlterClientQuotasResponse) {
	var messages accepted
	resp := answerQuotas(req, func(e namedEntity, ops []wire.AlterClientQuotasRequestOpData) *problem {
		return messages.add(c.alterQuotas(e, ops))
	})
	if req.ValidateOnly {
		return nil, resp
	}
	return encode(messages), resp
}

// FailAlterClientQuotas answers a request of which nothing is known to have happened.
func FailAlterClientQuotas(req *wire.AlterClientQuotasRequest, code wire.ErrorCode) *wire.AlterClientQuotasResponse {
	return answerQuotas(req, func(namedEntity, []wire.AlterClientQuotasRequestOpData) *problem { return &problem{code: code} })
}

// namedEntity is an entity as a request names it, sorted by type; of a type that is given twice the last name counts.
type namedEntity []wire.AlterClientQuotasRequestEntityData

func nameEntity(parts []wire.AlterClientQuotasRequestEntityData) namedEntity {
	e := namedEntity{}
	for _, p := range parts {
		at, found := slices.BinarySearchFunc(e, p.EntityType, func(p wire.AlterClientQuotasRequestEntityData, kind string) int {
			return strings.Compare(p.EntityType, kind)
		})
		if found {
			e[at] = p
		} else {
			e = slices.Insert(e, at, p)
		}
	}
	return e
}

// String is as Kafka writes an entity.
func (e namedEntity) String() string {
	texts := make([]string, len(e))
	for i, p := range e {
		name := "null"
		if p.EntityName.Valid {
			name = p.EntityName.Value
		}
		texts[i] = p.EntityType + "=" + name
	}
	return "ClientQuotaEntity(entries={" + strings.Join(texts, ", ") + "})"
}

// key tells entities apart, also those whose names contain anything.
func (e namedEntity) key() string {
	var b strings.Builder
	for _, p := range e {
		fmt.Fprintf(&b, "%q=%t%q,", p.EntityType, p.EntityName.Valid, p.EntityName.Value)
	}
	return b.String()
}

// answerQuotas makes one result per entity, in the order of the request; decide tells what became of its first mention.
func answerQuotas(req *wire.AlterClientQuotasRequest, decide func(namedEntity, []wire.AlterClientQuotasRequestOpData) *problem) *wire.AlterClientQuotasResponse {
	resp := new(wire.AlterClientQuotasResponse)
	resp.Default()
	results := make(map[string]int, len(req.Entries))
	for i := range req.Entries {
		entry := &req.Entries[i]
		entity := nameEntity(entry.Entity)
		key := entity.key()
		at, again := results[key]
		var refused *problem
		if again || repeatsKey(entry.Ops) {
			refused = refuse(wire.ErrorInvalidRequest, "Ignoring duplicate entity %s", entity)
		} else {
			refused = decide(entity, entry.Ops)
		}
		if !again {
			at = len(resp.Entries)
			results[key] = at
			result := wire.AlterClientQuotasResponseEntryData{}
			for _, p := range entity {
				result.Entity = append(result.Entity, wire.AlterClientQuotasResponseEntityData(p))
			}
			resp.Entries = append(resp.Entries, result)
		}
		if refused != nil {
			resp.Entries[at].ErrorCode = refused.code
			resp.Entries[at].ErrorMessage = wire.NullString{Value: refused.message, Valid: refused.message != ""}
		}
	}
	return resp
}

func repeatsKey(ops []wire.AlterClientQuotasRequestOpData) bool {
	seen := make(map[string]bool, len(ops))
	for i := range ops {
		if seen[ops[i].Key] {
			return true
		}
		seen[ops[i].Key] = true
	}
	return false
}

// alterQuotas makes the records of one entity.
func (c *Controller) alterQuotas(named namedEntity, ops []wire.AlterClientQuotasRequestOpData) ([]wire.MetadataRecord, *problem) {
	entity, refused := checkEntity(named)
	if refused != nil {
		return nil, refused
	}
	current := c.image.Quotas(entity)
	var messages []wire.MetadataRecord
	for i := range ops {
		o := &ops[i]
		value, had := current[o.Key]
		if o.Remove {
			if had {
				r := metadata.QuotaRecord(entity, o.Key, 0)
				r.Remove = true
				messages = append(messages, r)
			}
			continue
		}
		if refused := checkQuota(entity, o.Key, o.Value); refused != nil {
			return nil, refused
		}
		if !had || value != o.Value {
			messages = append(messages, metadata.QuotaRecord(entity, o.Key, o.Value))
		}
	}
	return messages, nil
}

func checkEntity(named namedEntity) (quota.Entity, *problem) {
	var entity quota.Entity
	if len(named) == 0 {
		return entity, refuse(wire.ErrorInvalidRequest, "Invalid empty client quota entity")
	}
	for _, p := range named {
		part := entity.Part(p.EntityType)
		if part == nil {
			return entity, refuse(wire.ErrorInvalidRequest, "Unhandled client quota entity type: %s", p.EntityType)
		}
		*part = metadata.QuotaPart(p.EntityName)
		if p.EntityName.Valid && p.EntityName.Value == "" {
			return entity, refuse(wire.ErrorInvalidRequest, "Empty %s not supported", p.EntityType)
		}
	}
	if entity.IP.Present() && len(named) > 1 {
		return entity, refuse(wire.ErrorInvalidRequest, "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId")
	}
	if entity.IP.Named {
		if _, err := netip.ParseAddr(entity.IP.Name); err != nil {
			return entity, refuse(wire.ErrorInvalidRequest, "%s is not a valid IP or resolvable host.", entity.IP.Name)
		}
	}
	return entity, nil
}

// fraction is what Kafka allows a whole number to be above one.
const fraction = 1e-6

// checkQuota checks one quota's key and value. Kafka takes NaN, by which nothing can be limited.
func checkQuota(e quota.Entity, key string, value float64) *problem {
	kind, known := quota.KindOf(key)
	if !known || (kind == quota.ConnectionRate) != e.IP.Present() {
		return refuse(wire.ErrorInvalidRequest, "Invalid configuration key %s", key)
	}
	switch {
	case math.IsNaN(value):
		return refuse(wire.ErrorInvalidRequest, "Quota %s must be a number", key)
	case value <= 0:
		return refuse(wire.ErrorInvalidRequest, "Quota %s must be greater than 0", key)
	case kind == quota.ConnectionRate && value > math.MaxInt32:
		return refuse(wire.ErrorInvalidRequest, "Proposed value for %s is too large for an INT.", key)
	case (kind == quota.Produce || kind == quota.Fetch) && value > math.MaxInt64:
		return refuse(wire.ErrorInvalidRequest, "Proposed value for %s is too large for a LONG.", key)
	case kind != quota.RequestTime && kind != quota.Mutations && math.Mod(value, 1) > fraction:
		return refuse(wire.ErrorInvalidRequest, "%s cannot be a fractional value.", key)
	}
	return nil
}

// Allow tells whether so many partitions may be created or deleted now, and counts them (controller_mutation_rate, KIP-599). What it
// remembers is not part of the state, and nil allows all.
type Allow func(partitions int) bool

func (a Allow) check(partitions int) *problem {
	if a == nil || a(partitions) {
		return nil
	}
	return &problem{code: wire.ErrorThrottlingQuotaExceeded} // Kafka says no more either
}
