package controller

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ottla-io/ottla/internal/config"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// resourceBrokerLogger is a type of resource that has no settings here.
const resourceBrokerLogger int8 = 8

// resourceKey names a resource as a request does.
type resourceKey struct {
	kind int8
	name string
}

// AlterConfigs decides on changes of settings: those of IncrementalAlterConfigs (KIP-339), or, with replace, those of the
// older AlterConfigs (KIP-133), whose settings, all SET, are all that a resource then has. It keeps Kafka 4.3.1's order of
// checks and its sentences. Each resource succeeds or fails by itself and as a whole. With ValidateOnly there are no
// records, and the reply is what it would be.
//
// Kafka checks a broker's settings on that broker, before the controller sees the request. With one node that is here.
func (c *Controller) AlterConfigs(req *wire.IncrementalAlterConfigsRequest, replace bool, _ machine.Moment) ([]machine.Record, *wire.IncrementalAlterConfigsResponse) {
	named := make(map[resourceKey]int, len(req.Resources))
	for i := range req.Resources {
		named[resourceKey{req.Resources[i].ResourceType, req.Resources[i].ResourceName}]++
	}
	var messages accepted
	resp := answerConfigs(req, func(r *wire.IncrementalAlterConfigsRequestAlterConfigsResource) *problem {
		if named[resourceKey{r.ResourceType, r.ResourceName}] > 1 {
			return refuse(wire.ErrorInvalidRequest, "Each resource must appear at most once.")
		}
		return messages.add(c.alterResource(r, replace))
	})
	if req.ValidateOnly {
		return nil, resp
	}
	return encode(messages), resp
}

// FailAlterConfigs answers a request of which nothing is known to have happened.
func FailAlterConfigs(req *wire.IncrementalAlterConfigsRequest, code wire.ErrorCode) *wire.IncrementalAlterConfigsResponse {
	return answerConfigs(req, func(*wire.IncrementalAlterConfigsRequestAlterConfigsResource) *problem { return &problem{code: code} })
}

// answerConfigs makes one result per resource of the request.
func answerConfigs(req *wire.IncrementalAlterConfigsRequest, decide func(*wire.IncrementalAlterConfigsRequestAlterConfigsResource) *problem) *wire.IncrementalAlterConfigsResponse {
	resp := new(wire.IncrementalAlterConfigsResponse)
	resp.Default()
	for i := range req.Resources {
		r := &req.Resources[i]
		result := wire.IncrementalAlterConfigsResponseAlterConfigsResourceResponse{ResourceType: r.ResourceType, ResourceName: r.ResourceName}
		if refused := decide(r); refused != nil {
			result.ErrorCode = refused.code
			result.ErrorMessage = wire.NullString{Value: refused.message, Valid: refused.message != ""}
		}
		resp.Responses = append(resp.Responses, result)
	}
	return resp
}

// alterResource makes the records of one resource.
func (c *Controller) alterResource(r *wire.IncrementalAlterConfigsRequestAlterConfigsResource, replace bool) ([]wire.MetadataRecord, *problem) {
	if refused := checkOperations(r.Configs); refused != nil {
		return nil, refused
	}
	switch {
	case r.ResourceType == metadata.ResourceTopic:
		return c.alterTopic(r, replace)
	case r.ResourceType == metadata.ResourceBroker:
		return c.alterBroker(r, replace)
	case r.ResourceType == resourceBrokerLogger && !replace:
		return nil, c.alterLoggers(r)
	case r.ResourceType == metadata.ResourceClientMetrics:
		return c.alterClientMetrics(r, replace)
	case r.ResourceType == metadata.ResourceGroup:
		return c.alterGroup(r, replace)
	}
	return nil, refuse(wire.ErrorInvalidRequest, "Unknown resource type %d", r.ResourceType)
}

// checkOperations refuses what is wrong whatever the resource.
func checkOperations(configs []wire.IncrementalAlterConfigsRequestAlterableConfig) *problem {
	seen := make(map[string]bool, len(configs))
	var nulls []string
	for _, o := range configs {
		if seen[o.Name] {
			return refuse(wire.ErrorInvalidRequest, "Error due to duplicate config keys")
		}
		seen[o.Name] = true
		if !o.Value.Valid && config.Operation(o.ConfigOperation) != config.Delete {
			nulls = append(nulls, o.Name)
		}
	}
	if len(nulls) > 0 {
		return refuse(wire.ErrorInvalidRequest, "Null value not supported for : %s", strings.Join(nulls, ", "))
	}
	for _, o := range configs {
		if !config.Operation(o.ConfigOperation).Known() {
			// Kafka fails here with UNKNOWN_SERVER_ERROR and no words.
			return refuse(wire.ErrorInvalidRequest, "Unknown operation %d", o.ConfigOperation)
		}
	}
	return nil
}

// edited are the settings that the resource would have.
func edited(scope config.Scope, current map[string]string, configs []wire.IncrementalAlterConfigsRequestAlterableConfig, replace bool) (map[string]string, error) {
	values := make(map[string]string, len(current)+len(configs))
	if !replace {
		maps.Copy(values, current)
	}
	for _, o := range configs {
		switch op := config.Operation(o.ConfigOperation); op {
		case config.Set:
			values[o.Name] = o.Value.Value
		case config.Delete:
			delete(values, o.Name)
		default:
			had, ok := current[o.Name]
			value, err := op.Edit(scope, o.Name, o.Value.Value, had, ok)
			if err != nil {
				return nil, err
			}
			values[o.Name] = value
		}
	}
	return values, nil
}

// changes are the records that lead from one set of settings to another, in the order of names.
func changes(kind int8, name string, from, to map[string]string) []wire.MetadataRecord {
	names := make(map[string]bool, len(from)+len(to))
	for n := range from {
		names[n] = true
	}
	for n := range to {
		names[n] = true
	}
	var messages []wire.MetadataRecord
	for _, n := range slices.Sorted(maps.Keys(names)) {
		before, had := from[n]
		after, has := to[n]
		if had == has && before == after {
			continue
		}
		messages = append(messages, &wire.ConfigRecord{ResourceType: kind, ResourceName: name, Name: n, Value: wire.NullString{Value: after, Valid: has}})
	}
	return messages
}

// alterTopic changes a topic's settings. All that the topic then has is checked, not only what changes.
func (c *Controller) alterTopic(r *wire.IncrementalAlterConfigsRequestAlterConfigsResource, replace bool) ([]wire.MetadataRecord, *problem) {
	current := c.image.TopicConfig(r.ResourceName)
	values, err := edited(config.Topic, current, r.Configs, replace)
	if err != nil {
		return nil, refuse(wire.ErrorInvalidConfig, "%s", err)
	}
	if r.ResourceName == "" {
		return nil, refuse(wire.ErrorInvalidRequest, "Default topic resources are not allowed.")
	}
	if why := InvalidTopicName(r.ResourceName); why != "" {
		return nil, refuse(wire.ErrorInvalidTopicException, "%s", why)
	}
	overrides := make([]config.Override, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		overrides = append(overrides, config.Override{Name: name, Value: values[name]})
	}
	if err := config.ValidateTopic(overrides); err != nil {
		return nil, refuse(wire.ErrorInvalidConfig, "%s", err)
	}
	if _, ok := c.image.Topic(r.ResourceName); !ok {
		return nil, refuse(wire.ErrorUnknownTopicOrPartition, "The topic '%s' does not exist.", r.ResourceName)
	}
	return changes(metadata.ResourceTopic, r.ResourceName, current, values), nil
}

// alterBroker changes this broker's dynamic settings, or, of the resource without a name, those that all brokers have
// unless they have their own.
func (c *Controller) alterBroker(r *wire.IncrementalAlterConfigsRequestAlterConfigsResource, replace bool) ([]wire.MetadataRecord, *problem) {
	name := ""
	if r.ResourceName != "" {
		if refused := c.checkNode(r.ResourceName, "Unexpected broker id, expected %d, but received %d"); refused != nil {
			return nil, refused
		}
		name = strconv.Itoa(int(c.cfg.NodeID)) // "+1" and "01" are 1
	}
	current := c.image.Config(metadata.ConfigResource{Type: metadata.ResourceBroker, Name: name})
	values, err := edited(config.Broker, current, r.Configs, replace)
	if err != nil {
		return nil, refuse(wire.ErrorInvalidConfig, "%s", err)
	}
	if err := config.ValidateDynamic(values); err != nil {
		var unknown *config.UnknownName
		if errors.As(err, &unknown) {
			return nil, refuse(wire.ErrorInvalidConfig, "%s", err)
		}
		return nil, refuse(wire.ErrorInvalidRequest, "%s", err)
	}
	layers := c.settings(nil)
	if name == "" {
		layers.DynamicDefaultBroker = values
	} else {
		layers.DynamicBroker = values
	}
	if err := layers.ValidateTogether(); err != nil {
		return nil, refuse(wire.ErrorInvalidRequest, "%s", err)
	}
	return changes(metadata.ResourceBroker, name, current, values), nil
}

// alterGroup changes a group's settings (KIP-848); the group need not exist. All that it then has is checked, not only what changes.
func (c *Controller) alterGroup(r *wire.IncrementalAlterConfigsRequestAlterConfigsResource, replace bool) ([]wire.MetadataRecord, *problem) {
	if r.ResourceName == "" {
		return nil, refuse(wire.ErrorInvalidRequest, "Default group resources are not allowed.")
	}
	current := c.image.Config(metadata.ConfigResource{Type: metadata.ResourceGroup, Name: r.ResourceName})
	values, err := edited(config.Group, current, r.Configs, replace)
	if err != nil {
		return nil, refuse(wire.ErrorInvalidConfig, "%s", err)
	}
	layers := c.settings(nil)
	layers.Group = values
	if err := layers.ValidateGroup(); err != nil {
		return nil, refuse(wire.ErrorInvalidConfig, "%s", err)
	}
	return changes(metadata.ResourceGroup, r.ResourceName, current, values), nil
}

// checkNode refuses the name of another node: its settings are its own to check. sentence is Kafka's.
func (c *Controller) checkNode(name, sentence string) *problem {
	id, err := strconv.ParseInt(name, 10, 32)
	switch {
	case err != nil:
		return refuse(wire.ErrorInvalidRequest, "Node id must be an integer, but it is: %s", name)
	case int32(id) != int32(c.cfg.NodeID):
		return refuse(wire.ErrorInvalidRequest, sentence, c.cfg.NodeID, id)
	}
	return nil
}

// alterLoggers refuses every logger: a broker has none whose level could be set (KIP-412).
func (c *Controller) alterLoggers(r *wire.IncrementalAlterConfigsRequestAlterConfigsResource) *problem {
	if refused := c.checkNode(r.ResourceName, "Unexpected node id. Expected %d, but received %d"); refused != nil {
		return refused
	}
	if len(r.Configs) == 0 {
		return nil
	}
	first := r.Configs[0] // the first is refused already
	if op := config.Operation(first.ConfigOperation); op == config.Append || op == config.Subtract {
		return refuse(wire.ErrorInvalidRequest, "%s operation is not allowed for the BROKER_LOGGER resource", op)
	}
	return refuse(wire.ErrorInvalidConfig, "Logger %s does not exist!", first.Name)
}

// alterClientMetrics changes the settings of a subscription of client metrics (KIP-714), which is there as long as it has any.
func (c *Controller) alterClientMetrics(r *wire.IncrementalAlterConfigsRequestAlterConfigsResource, replace bool) ([]wire.MetadataRecord, *problem) {
	current := c.image.Config(metadata.ConfigResource{Type: metadata.ResourceClientMetrics, Name: r.ResourceName})
	values, err := edited(config.ClientMetrics, current, r.Configs, replace)
	if err != nil {
		return nil, refuse(wire.ErrorInvalidConfig, "%s", err)
	}
	if r.ResourceName == "" {
		return nil, refuse(wire.ErrorInvalidRequest, "Subscription name can't be empty")
	}
	if err := config.ValidateClientMetrics(values); err != nil {
		var invalid config.InvalidSubscription
		if errors.As(err, &invalid) {
			return nil, refuse(wire.ErrorInvalidRequest, "%s", err)
		}
		return nil, refuse(wire.ErrorInvalidConfig, "%s", err)
	}
	return changes(metadata.ResourceClientMetrics, r.ResourceName, current, values), nil
}
