package api

import (
	"fmt"

	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/quota"
	"github.com/ottla-io/ottla/internal/wire"
)

// DescribeClientQuotas, key 48, versions 0-1. KIP-546 (users and client ids), KIP-612 (addresses).
//
// Where we differ from Kafka 4.3.1, on purpose: entities come in the order of users, client ids and addresses, and quotas in that of
// their keys (Kafka's come from a hash).

// How a component of the filter matches a name.
const (
	matchExact     int8 = 0
	matchDefault   int8 = 1
	matchSpecified int8 = 2 // any name, and the default
)

func (t *Table) describeClientQuotas(r *Request) Outcome {
	var (
		d    wire.Decoder
		req  wire.DescribeClientQuotasRequest
		resp wire.DescribeClientQuotasResponse
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	resp.Default()
	filter, code, why := quotaFilter(req.Components)
	if code != wire.ErrorNone {
		resp.ErrorCode, resp.ErrorMessage, resp.Entries = code, wire.SomeString(why), nil
		return reply(r, &resp)
	}
	resp.ErrorMessage, resp.Entries = wire.SomeString(""), []wire.DescribeClientQuotasResponseEntryData{}
	if len(filter) > 0 || !req.Strict {
		image := t.deps.Cluster.Image()
		for _, e := range image.QuotaEntities() {
			if matches(filter, e, req.Strict) {
				resp.Entries = append(resp.Entries, describeQuota(image, e))
			}
		}
	}
	return reply(r, &resp)
}

// quotaFilter checks the components, in Kafka's order and with its sentences, and gives them by type of entity.
func quotaFilter(components []wire.DescribeClientQuotasRequestComponentData) (filter map[string]*wire.DescribeClientQuotasRequestComponentData, code wire.ErrorCode, why string) {
	filter = make(map[string]*wire.DescribeClientQuotasRequestComponentData, min(len(components), 3))
	for i := range components {
		c := &components[i]
		switch kind := c.EntityType; {
		case kind == "":
			return nil, wire.ErrorInvalidRequest, "Invalid empty entity type."
		case filter[kind] != nil:
			return nil, wire.ErrorInvalidRequest, "Entity type " + kind + " cannot appear more than once in the filter."
		case new(quota.Entity).Part(kind) == nil:
			return nil, wire.ErrorUnsupportedVersion, fmt.Sprintf("Unsupported entity type %.1000s", kind)
		case c.MatchType == matchExact && !c.Match.Valid:
			return nil, wire.ErrorInvalidRequest, "Request specified MATCH_TYPE_EXACT, but set match string to null."
		case c.MatchType == matchDefault && c.Match.Valid:
			return nil, wire.ErrorInvalidRequest, "Request specified MATCH_TYPE_DEFAULT, but also specified a match string."
		case c.MatchType == matchSpecified && c.Match.Valid:
			return nil, wire.ErrorInvalidRequest, "Request specified MATCH_TYPE_SPECIFIED, but also specified a match string."
		case c.MatchType < matchExact || c.MatchType > matchSpecified:
			return nil, wire.ErrorInvalidRequest, fmt.Sprintf("Unknown match type %d", c.MatchType)
		}
		filter[c.EntityType] = c
	}
	if filter[quota.IP] != nil && len(filter) > 1 {
		return nil, wire.ErrorInvalidRequest, "Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component."
	}
	return filter, wire.ErrorNone, ""
}

// matches tells whether an entity has all that the filter names and, if strict, nothing else.
func matches(filter map[string]*wire.DescribeClientQuotasRequestComponentData, e quota.Entity, strict bool) bool {
	for kind, c := range filter {
		part := e.Part(kind)
		if !part.Present() || c.MatchType != matchSpecified && *part != metadata.QuotaPart(c.Match) {
			return false
		}
	}
	return !strict || e.Size() == len(filter)
}

func describeQuota(image *metadata.Image, e quota.Entity) wire.DescribeClientQuotasResponseEntryData {
	var entry wire.DescribeClientQuotasResponseEntryData
	for kind, part := range e.Parts() {
		entry.Entity = append(entry.Entity, wire.DescribeClientQuotasResponseEntityData{EntityType: kind, EntityName: wire.NullString{Value: part.Name, Valid: part.Named}})
	}
	for key, value := range sorted(image.Quotas(e)) {
		entry.Values = append(entry.Values, wire.DescribeClientQuotasResponseValueData{Key: key, Value: value})
	}
	return entry
}
