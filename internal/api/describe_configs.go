package api

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/ottla-io/ottla/internal/config"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// DescribeConfigs, key 32, versions 1-4. KIP-226 (synonyms), KIP-569 (types and documentation, v3).
//
// Resources: topics; this broker; the default of all brokers (name ""), of which, as in Kafka, only what is set is listed.
// This broker's loggers are none: it has no levels to set. Groups (KIP-848) have, under any name, what was set and the broker's
// defaults; so have subscriptions of client metrics (KIP-714). Share and streams groups have the defaults of their settings, which
// describe_configs_defaults.go lists: nothing sets them yet. A resource type that does not exist makes the
// whole request an INVALID_REQUEST.
//
// Where we differ from Kafka 4.3.1, on purpose: a resource that is named twice is described once, and refused with INVALID_REQUEST
// the second time, as are groups and client metrics past the first thousand, so that the answer is bounded by what the cluster has:
// seven bytes of request ask for five kilobytes.

// resourceBrokerLogger is a type of resource that has no ConfigRecords here.
const resourceBrokerLogger int8 = 8

// describedDefaults bounds how many groups and client metrics one request may describe: any name goes.
const describedDefaults = 1000

func (t *Table) describeConfigs(r *Request) Outcome {
	var (
		d    wire.Decoder
		req  wire.DescribeConfigsRequest
		resp wire.DescribeConfigsResponse
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	resp.Default()
	c := configDescriber{view: t.view(r), synonyms: req.IncludeSynonyms, documentation: req.IncludeDocumentation}
	type resource struct {
		kind int8
		name string
	}
	described := make(map[resource]bool)
	resp.Results = make([]wire.DescribeConfigsResponseDescribeConfigsResult, 0, len(req.Resources))
	for i := range req.Resources {
		if !knownResource(req.Resources[i].ResourceType) {
			return reply(r, refuseResources(&req, &resp))
		}
	}
	for i := range req.Resources {
		from := &req.Resources[i]
		if name := (resource{from.ResourceType, from.ResourceName}); described[name] {
			resp.Results = append(resp.Results, refusedConfigs(from, wire.ErrorInvalidRequest, "Each resource must appear at most once."))
		} else {
			described[name] = true
			resp.Results = append(resp.Results, c.describe(from))
		}
	}
	return reply(r, &resp)
}

func knownResource(kind int8) bool {
	switch kind {
	case metadata.ResourceTopic, metadata.ResourceBroker, resourceBrokerLogger, metadata.ResourceClientMetrics, metadata.ResourceGroup:
		return true
	}
	return false
}

// refuseResources refuses a request as a whole, as Kafka does where it fails on a resource type.
func refuseResources(req *wire.DescribeConfigsRequest, resp *wire.DescribeConfigsResponse) *wire.DescribeConfigsResponse {
	for i := range req.Resources {
		resp.Results = append(resp.Results, refusedConfigs(&req.Resources[i], wire.ErrorInvalidRequest, wire.ErrorInvalidRequest.Message()))
	}
	return resp
}

func refusedConfigs(resource *wire.DescribeConfigsRequestDescribeConfigsResource, code wire.ErrorCode, message string) (to wire.DescribeConfigsResponseDescribeConfigsResult) {
	to.Default()
	to.ResourceType, to.ResourceName = resource.ResourceType, resource.ResourceName
	if len(message) > maxMessageBytes {
		message = message[:maxMessageBytes] + "…"
	}
	to.ErrorCode, to.ErrorMessage = code, wire.SomeString(message)
	return to
}

// maxMessageBytes bounds a sentence that quotes the request, which otherwise might not fit a string of the protocol.
const maxMessageBytes = 8 << 10

type configDescriber struct {
	view                    view
	synonyms, documentation bool
	defaults                int // groups and client metrics that were described
}

func (c *configDescriber) describe(resource *wire.DescribeConfigsRequestDescribeConfigsResource) wire.DescribeConfigsResponseDescribeConfigsResult {
	var to wire.DescribeConfigsResponseDescribeConfigsResult
	to.Default()
	to.ResourceType, to.ResourceName = resource.ResourceType, resource.ResourceName
	to.ErrorMessage = wire.SomeString("") // Kafka's way to say nothing
	var entries []config.Entry
	code, message := wire.ErrorNone, ""
	switch resource.ResourceType {
	case metadata.ResourceTopic:
		entries, code, message = c.topic(resource.ResourceName)
	case metadata.ResourceBroker:
		entries, code, message = c.broker(resource.ResourceName)
	case resourceBrokerLogger:
		code, message = c.logger(resource.ResourceName)
	case metadata.ResourceClientMetrics:
		entries, code, message = c.clientMetrics(resource.ResourceName)
	case metadata.ResourceGroup:
		entries, code, message = c.group(resource.ResourceName)
	}
	if code != wire.ErrorNone {
		return refusedConfigs(resource, code, message)
	}
	for i := range entries {
		// No keys, as null, means all of them.
		if len(resource.ConfigurationKeys) == 0 || slices.Contains(resource.ConfigurationKeys, entries[i].Name) {
			to.Configs = append(to.Configs, c.entry(&entries[i]))
		}
	}
	return to
}

func (c *configDescriber) layers() *config.Layers {
	self := strconv.Itoa(int(c.view.settings.NodeID))
	var static map[string]string
	if c.view.settings.Static != nil {
		static = c.view.settings.Static()
	}
	return &config.Layers{
		Static:               static,
		DynamicBroker:        c.view.image.Config(metadata.ConfigResource{Type: metadata.ResourceBroker, Name: self}),
		DynamicDefaultBroker: c.view.image.Config(metadata.ConfigResource{Type: metadata.ResourceBroker}),
	}
}

func (c *configDescriber) topic(name string) ([]config.Entry, wire.ErrorCode, string) {
	if problem := topicNameProblem(name); problem != "" {
		return nil, wire.ErrorInvalidTopicException, problem
	}
	if _, ok := c.view.image.Topic(name); !ok {
		return nil, wire.ErrorUnknownTopicOrPartition, ""
	}
	layers := c.layers()
	layers.Topic = c.view.image.TopicConfig(name)
	return layers.DescribeAll(config.Topic), wire.ErrorNone, ""
}

func (c *configDescriber) broker(name string) ([]config.Entry, wire.ErrorCode, string) {
	layers := c.layers()
	if name == "" {
		layers.Static, layers.DynamicBroker = nil, nil
		entries := slices.DeleteFunc(layers.DescribeAll(config.Broker), func(e config.Entry) bool { return e.Source != config.DynamicDefaultBroker })
		for i := range entries {
			entries[i].Synonyms = entries[i].Synonyms[:1] // as Kafka: what lies behind it is each broker's
		}
		return entries, wire.ErrorNone, ""
	}
	if code, message := c.ours(name, "%d or empty string, but"); code != wire.ErrorNone {
		return nil, code, message
	}
	return layers.DescribeAll(config.Broker), wire.ErrorNone, ""
}

// group describes the settings of consumer groups, and the defaults of share and streams groups.
func (c *configDescriber) group(name string) ([]config.Entry, wire.ErrorCode, string) {
	others, code, message := c.defaultsOf(groupDefaults, name, "Group name must not be empty")
	if code != wire.ErrorNone {
		return nil, code, message
	}
	layers := c.layers()
	layers.Group = c.view.image.Config(metadata.ConfigResource{Type: metadata.ResourceGroup, Name: name})
	return append(layers.DescribeAll(config.Group), others...), wire.ErrorNone, ""
}

// clientMetrics describes a subscription of client metrics (KIP-714): under any name, what was set and the defaults.
func (c *configDescriber) clientMetrics(name string) ([]config.Entry, wire.ErrorCode, string) {
	if _, code, message := c.defaultsOf(nil, name, "Client metrics subscription name must not be empty"); code != wire.ErrorNone {
		return nil, code, message
	}
	layers := config.Layers{ClientMetrics: c.view.image.Config(metadata.ConfigResource{Type: metadata.ResourceClientMetrics, Name: name})}
	return layers.DescribeAll(config.ClientMetrics), wire.ErrorNone, ""
}

func (c *configDescriber) logger(name string) (wire.ErrorCode, string) {
	if name == "" {
		return wire.ErrorInvalidRequest, "Broker id must not be empty"
	}
	return c.ours(name, "%d but")
}

// defaultsOf describes a resource that has nothing but defaults.
func (c *configDescriber) defaultsOf(rows []defaultRow, name, nameless string) ([]config.Entry, wire.ErrorCode, string) {
	if name == "" {
		return nil, wire.ErrorInvalidRequest, nameless
	}
	if c.defaults++; c.defaults > describedDefaults {
		return nil, wire.ErrorInvalidRequest, fmt.Sprintf("A request may ask for at most %d groups and client metrics subscriptions.", describedDefaults)
	}
	entries := make([]config.Entry, len(rows))
	for i := range rows {
		entries[i] = rows[i].entry()
	}
	return entries, wire.ErrorNone, ""
}

// ours refuses the name of another broker: each answers for itself, and clients route by the name. want is Kafka's wording.
func (c *configDescriber) ours(name, want string) (wire.ErrorCode, string) {
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return wire.ErrorInvalidRequest, "Broker id must be an integer, but it is: " + name
	}
	if self := c.view.settings.NodeID; int32(id) != int32(self) {
		return wire.ErrorInvalidRequest, fmt.Sprintf("Unexpected broker id, expected "+want+" received %s", self, name)
	}
	return wire.ErrorNone, ""
}

func (c *configDescriber) entry(from *config.Entry) wire.DescribeConfigsResponseDescribeConfigsResourceResult {
	var to wire.DescribeConfigsResponseDescribeConfigsResourceResult
	to.Default()
	to.Name, to.ReadOnly, to.IsSensitive = from.Name, from.ReadOnly(), from.Sensitive
	to.Value = wire.NullString{Value: from.Value, Valid: !from.ValueNull}
	to.Documentation = wire.NullString{}
	to.ConfigSource, to.ConfigType = int8(from.Source), int8(from.Type)
	if c.synonyms {
		for _, s := range from.Synonyms {
			to.Synonyms = append(to.Synonyms, wire.DescribeConfigsResponseDescribeConfigsSynonym{
				Name: s.Name, Value: wire.NullString{Value: s.Value, Valid: !s.Null}, Source: int8(s.Source)})
		}
	}
	if c.documentation {
		to.Documentation = wire.SomeString(from.Doc)
	}
	return to
}
