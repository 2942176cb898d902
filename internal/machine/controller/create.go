package controller

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ottla-io/ottla/internal/config"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// metadataTopic is the name of the log that the controller itself writes.
const metadataTopic = "__cluster_metadata"

// maxPartitionsPerRequest is Kafka's bound on what one CreateTopics may make.
const maxPartitionsPerRequest = 10_000

// CreateTopics decides on new topics, in Kafka 4.3.1's order of checks and with its sentences. Each topic succeeds or
// fails by itself, except where the request as a whole is too large. The reply has one result per name, in the request's
// order. With ValidateOnly there are no records, and the reply is what it would be.
func (c *Controller) CreateTopics(req *wire.CreateTopicsRequest, allow Allow, _ machine.Moment) ([]machine.Record, *wire.CreateTopicsResponse) {
	resp := new(wire.CreateTopicsResponse)
	resp.Default()
	count := make(map[string]int, len(req.Topics))
	for i := range req.Topics {
		count[req.Topics[i].Name]++
	}
	var messages []wire.MetadataRecord
	settled := make(map[string]bool, len(req.Topics))
	m := &creation{Controller: c, defaults: c.settings(nil).BrokerConfig(), many: len(req.Topics) > 1, allow: allow}
	tooMany := m.tooManyPartitions(req, count)
	for i := range req.Topics {
		t := &req.Topics[i]
		if settled[t.Name] {
			continue
		}
		settled[t.Name] = true
		result := newResult(t.Name)
		var refused *problem
		var created []wire.MetadataRecord
		switch {
		case count[t.Name] > 1:
			refused = refuse(wire.ErrorInvalidRequest, "Duplicate topic name.")
		case t.Name == metadataTopic:
			refused = refuse(wire.ErrorInvalidRequest, "Creation of internal topic %s is prohibited.", metadataTopic)
		case tooMany:
			refused = refuse(wire.ErrorPolicyViolation, "Excessively large number of partitions per request.")
		default:
			created, refused = m.createTopic(t, &result)
		}
		if refused != nil {
			result = newResult(t.Name)
			result.ErrorCode, result.ErrorMessage = refused.code, wire.NullString{Value: refused.message, Valid: refused.message != ""}
		}
		messages = append(messages, created...)
		if len(messages) > maxRecords {
			return nil, failCreate(req, wire.ErrorPolicyViolation, wire.SomeString("Unable to perform excessively large batch operation."))
		}
		resp.Topics = append(resp.Topics, result)
	}
	if req.ValidateOnly {
		return nil, resp
	}
	return encode(messages), resp
}

// creation is what the topics of one request share, so that one with very many of them costs no more than its size.
type creation struct {
	*Controller
	defaults config.BrokerConfig
	many     bool // the request names more than one topic
	allow    Allow
	// plain describes the settings of a topic without any of its own; nil until one is made.
	plain []wire.CreateTopicsResponseCreatableTopicConfigs
	// byShape finds existing topics by their shape; nil until it is asked for.
	byShape map[string]string
	// restored are the topics of the trash that the request takes out.
	restored []*metadata.Trashed
}

// FailCreateTopics answers a request of which nothing is known to have happened.
func FailCreateTopics(req *wire.CreateTopicsRequest, code wire.ErrorCode) *wire.CreateTopicsResponse {
	return failCreate(req, code, wire.NullString{})
}

func failCreate(req *wire.CreateTopicsRequest, code wire.ErrorCode, message wire.NullString) *wire.CreateTopicsResponse {
	resp := new(wire.CreateTopicsResponse)
	resp.Default()
	settled := make(map[string]bool, len(req.Topics))
	for i := range req.Topics {
		if name := req.Topics[i].Name; !settled[name] {
			settled[name] = true
			result := newResult(name)
			result.ErrorCode, result.ErrorMessage = code, message
			resp.Topics = append(resp.Topics, result)
		}
	}
	return resp
}

func newResult(name string) wire.CreateTopicsResponseCreatableTopicResult {
	var r wire.CreateTopicsResponseCreatableTopicResult
	r.Default()
	r.Name, r.ErrorMessage = name, wire.NullString{}
	return r
}

func (m *creation) tooManyPartitions(req *wire.CreateTopicsRequest, count map[string]int) bool {
	total := int64(0)
	for i := range req.Topics {
		t := &req.Topics[i]
		switch {
		case count[t.Name] > 1:
		case len(t.Assignments) > 0:
			total += int64(len(t.Assignments))
		case t.NumPartitions == -1:
			total += int64(m.defaults.NumPartitions)
		default:
			total += int64(max(t.NumPartitions, 0))
		}
	}
	return total > maxPartitionsPerRequest
}

// createTopic makes the records of one topic and fills its result.
func (m *creation) createTopic(t *wire.CreateTopicsRequestCreatableTopic, result *wire.CreateTopicsResponseCreatableTopicResult) ([]wire.MetadataRecord, *problem) {
	if refused := m.checkName(t.Name); refused != nil {
		return nil, refused
	}
	if t.RestoredTopicId != (wire.UUID{}) {
		return m.restoreTopic(t, result)
	}
	overrides := make([]config.Override, len(t.Configs))
	values := make(map[string]string, len(t.Configs))
	for i, o := range t.Configs {
		overrides[i] = config.Override{Name: o.Name, Value: o.Value.Value, Null: !o.Value.Valid}
		values[o.Name] = o.Value.Value
	}
	if len(overrides) > 0 {
		if err := config.ValidateTopic(overrides); err != nil {
			return nil, refuse(wire.ErrorInvalidConfig, "%s", err)
		}
	}
	replicas, refused := m.replicasOf(t)
	if refused != nil {
		return nil, refused
	}
	if refused := m.allow.check(len(replicas)); refused != nil {
		return nil, refused
	}
	id := m.newTopicID()
	messages := []wire.MetadataRecord{&wire.TopicRecord{Name: t.Name, TopicId: wire.UUID(id)}}
	for i, o := range t.Configs {
		if !laterOverride(t.Configs[i+1:], o.Name) {
			messages = append(messages, &wire.ConfigRecord{ResourceType: metadata.ResourceTopic, ResourceName: t.Name, Name: o.Name, Value: o.Value})
		}
	}
	for n, r := range replicas {
		messages = append(messages, m.newPartition(id, int32(n), r))
	}
	result.TopicId = wire.UUID(id)
	result.NumPartitions, result.ReplicationFactor = int32(len(replicas)), int16(len(replicas[0]))
	if len(t.Configs) > 0 {
		result.Configs = m.describe(values)
		return messages, nil
	}
	if m.plain == nil {
		m.plain = m.describe(nil)
	}
	result.Configs = m.plain
	return messages, nil
}

// describe lists the settings that a topic with these overrides has.
func (m *creation) describe(overrides map[string]string) (configs []wire.CreateTopicsResponseCreatableTopicConfigs) {
	for _, e := range m.settings(overrides).DescribeAll(config.Topic) {
		configs = append(configs, wire.CreateTopicsResponseCreatableTopicConfigs{Name: e.Name,
			Value: wire.NullString{Value: e.Value, Valid: !e.ValueNull}, ReadOnly: e.ReadOnly(), ConfigSource: int8(e.Source), IsSensitive: e.Sensitive})
	}
	return configs
}

func laterOverride(rest []wire.CreateTopicsRequestCreatableTopicConfig, name string) bool {
	return slices.ContainsFunc(rest, func(o wire.CreateTopicsRequestCreatableTopicConfig) bool { return o.Name == name })
}

// checkName holds Kafka's rules for names, and refuses those that exist or differ from an existing one only in '.' and
// '_', which metric names cannot tell apart.
func (m *creation) checkName(name string) *problem {
	if why := InvalidTopicName(name); why != "" {
		return refuse(wire.ErrorInvalidTopicException, "%s", why)
	}
	if _, ok := m.image.Topic(name); ok {
		return refuse(wire.ErrorTopicAlreadyExists, "Topic '%s' already exists.", name)
	}
	if other := m.collision(name); other != "" {
		return refuse(wire.ErrorInvalidTopicException, "Topic '%s' collides with existing topic: %s", name, other)
	}
	return nil
}

// InvalidTopicName is Kafka's sentence about a name that no topic can have, or "".
func InvalidTopicName(name string) string {
	const prefix = "Topic name is invalid: "
	switch {
	case name == "":
		return prefix + "the empty string is not allowed"
	case name == "." || name == "..":
		return prefix + "'" + name + "' is not allowed"
	case utf8.RuneCountInString(name) > 249:
		return prefix + "the length of '" + name + "' is longer than the max allowed length 249"
	}
	for i := range len(name) {
		switch b := name[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '.', b == '_', b == '-':
		default:
			return prefix + "'" + name + "' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
		}
	}
	return ""
}

// collision finds an existing topic whose name is the same but for '.' and '_'.
func (m *creation) collision(name string) (found string) {
	if !strings.ContainsAny(name, "._") {
		return ""
	}
	if m.many {
		if m.byShape == nil {
			m.byShape = make(map[string]string, m.image.TopicCount())
			m.image.EachTopic(func(t *metadata.Topic) bool {
				m.byShape[shape(t.Name)] = t.Name
				return true
			})
		}
		return m.byShape[shape(name)]
	}
	m.image.EachTopic(func(t *metadata.Topic) bool {
		if len(t.Name) == len(name) && shape(t.Name) == shape(name) {
			found = t.Name
		}
		return found == ""
	})
	return found
}

// shape is what colliding names have in common.
func shape(name string) string { return strings.ReplaceAll(name, ".", "_") }

// newPartition is the first registration of a partition: every replica that is alive is in sync, the first one leads.
func (c *Controller) newPartition(topic ids.TopicID, n int32, replicas []ids.BrokerID) *wire.PartitionRecord {
	p := metadata.Partition{Replicas: replicas, Leader: ids.NoBroker}
	for _, r := range replicas {
		b, _ := c.image.Broker(r)
		if active(b) {
			p.ISR = append(p.ISR, r)
			if p.Leader == ids.NoBroker {
				p.Leader = r
			}
		}
		p.Directories = append(p.Directories, directoryFor(b, topic, n))
	}
	return metadata.PartitionRecord(topic, n, &p)
}

// active reports whether a broker may be in sync and lead.
func active(b *metadata.Broker) bool { return !b.Fenced && !b.InControlledShutdown }
