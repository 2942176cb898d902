package metadata

import (
	"maps"
	"slices"

	"github.com/ottla-io/ottla/internal/quota"
	"github.com/ottla-io/ottla/internal/wire"
)

// Quotas are an entity's quotas by key, nil if it has none. The map is shared: do not change it.
func (i *Image) Quotas(e quota.Entity) map[string]float64 {
	values, _ := i.quotas.get(e)
	return values
}

// QuotaEntities are all entities that have quotas, sorted.
func (i *Image) QuotaEntities() []quota.Entity {
	entities := make([]quota.Entity, 0, i.quotas.size)
	for e := range i.quotas.all() {
		entities = append(entities, e)
	}
	slices.SortFunc(entities, quota.Entity.Compare)
	return entities
}

// QuotaPart is a part of an entity as messages have it: a null name is the default.
func QuotaPart(name wire.NullString) quota.Part {
	return quota.Part{Named: name.Valid, Default: !name.Valid, Name: name.Value}
}

// QuotaRecord says that an entity has a quota.
func QuotaRecord(e quota.Entity, key string, value float64) *wire.ClientQuotaRecord {
	r := &wire.ClientQuotaRecord{Key: key, Value: value}
	for kind, part := range e.Parts() {
		r.Entity = append(r.Entity, wire.ClientQuotaRecordEntityData{EntityType: kind, EntityName: wire.NullString{Value: part.Name, Valid: part.Named}})
	}
	return r
}

// setQuota sets or removes one quota. An entity of a type that is not known is an error: to forget it would lift a limit.
func (c *change) setQuota(r *wire.ClientQuotaRecord) error {
	var entity quota.Entity
	for _, p := range r.Entity {
		part := entity.Part(p.EntityType)
		if part == nil {
			return corrupt("a quota is for an entity of type %q", p.EntityType)
		}
		*part = QuotaPart(p.EntityName)
	}
	if entity.Size() == 0 {
		return corrupt("a quota is for nobody")
	}
	values, _ := c.quotas.get(entity)
	if !c.ownQuotas[entity] {
		if c.ownQuotas == nil {
			c.ownQuotas = make(map[quota.Entity]bool)
		}
		c.ownQuotas[entity] = true
		values = maps.Clone(values)
	}
	if r.Remove {
		delete(values, r.Key)
	} else {
		if values == nil {
			values = make(map[string]float64)
		}
		values[r.Key] = r.Value
	}
	if len(values) == 0 {
		c.quotas.remove(entity)
		return nil
	}
	c.quotas.set(entity, values)
	return nil
}

func quotaRecords(i *Image, yield func(wire.MetadataRecord) bool) bool {
	for _, e := range i.QuotaEntities() {
		values := i.Quotas(e)
		for _, key := range slices.Sorted(maps.Keys(values)) {
			if !yield(QuotaRecord(e, key, values[key])) {
				return false
			}
		}
	}
	return true
}
