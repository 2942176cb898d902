package api

import (
	"strconv"

	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// ListConfigResources, key 74, versions 0-1. KIP-1142: what settings can be asked of. Topics and live brokers are listed whether or not they
// have overrides, groups and client metrics only if they do. Version 0 lists client metrics; no type at all means every type. One that does not
// exist makes the whole answer UNSUPPORTED_VERSION.

func (t *Table) listConfigResources(r *Request) Outcome {
	var (
		d    wire.Decoder
		req  wire.ListConfigResourcesRequest
		resp wire.ListConfigResourcesResponse
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	resp.Default()
	types := req.ResourceTypes
	if r.Version == 0 {
		types = []int8{metadata.ResourceClientMetrics}
	} else if len(types) == 0 {
		types = []int8{metadata.ResourceTopic, metadata.ResourceBroker, resourceBrokerLogger, metadata.ResourceClientMetrics, metadata.ResourceGroup}
	}
	v := t.view(r)
	listed := make(map[int8]bool)
	for _, kind := range types {
		if !knownResource(kind) {
			resp.ErrorCode, resp.ConfigResources = wire.ErrorUnsupportedVersion, nil
			return reply(r, &resp)
		}
		if !listed[kind] {
			listed[kind] = true
			for _, name := range v.configurable(kind) {
				resp.ConfigResources = append(resp.ConfigResources, wire.ListConfigResourcesResponseConfigResource{ResourceName: name, ResourceType: kind})
			}
		}
	}
	return reply(r, &resp)
}

// configurable are the names of the resources of one type.
func (v view) configurable(kind int8) (names []string) {
	switch kind {
	case metadata.ResourceTopic:
		for _, topic := range v.image.Topics() {
			names = append(names, topic.Name)
		}
	case metadata.ResourceBroker, resourceBrokerLogger:
		for _, b := range v.image.Brokers() {
			if v.alive(b.ID) {
				names = append(names, strconv.Itoa(int(b.ID)))
			}
		}
	default:
		names = v.image.Configured(kind)
	}
	return names
}
