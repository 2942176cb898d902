package api

import (
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine/controller"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// Metadata, key 3, versions 0-13. KIP-4, KIP-112 (offline replicas, v5), KIP-320 (leader epochs, v7), KIP-430 (authorized
// operations, v8), KIP-516 (topic ids, v10; in requests from v12 on), KIP-1102 (top-level error, v13).
//
// Where we differ from Kafka 4.3.1, on purpose:
//   - A topic that the request creates is in the reply, with its partitions, instead of UNKNOWN_TOPIC_OR_PARTITION and a
//     second request: the reply waits for the controller.
//   - Internal topics are not created by asking for them.
//   - A topic with neither name nor id is INVALID_REQUEST. Kafka fails on it inside: UNKNOWN_SERVER_ERROR.

func (t *Table) metadata(r *Request) Outcome {
	m := &metadataRequest{table: t}
	var d wire.Decoder
	if err := decode(r, &d, &m.req); err != nil {
		return hangup(r, err)
	}
	if refused, ok := m.refuse(r.Version); ok {
		return reply(r, refused)
	}
	m.everything = m.req.Topics == nil || (r.Version == 0 && len(m.req.Topics) == 0)
	if missing := m.missing(); len(missing) > 0 {
		m.create(missing, t.audit(r), r.mutations(0).allow())
		r.Pending = m
		if m.park(t.deps.Env, r, autoCreateWait, "topic auto-creation") {
			return Parked
		}
	}
	return m.Finish(r)
}

// metadataRequest is the state of one Metadata request.
type metadataRequest struct {
	gate
	table      *Table
	req        wire.MetadataRequest
	everything bool
	created    map[string]wire.ErrorCode // what the controller said; guarded by the gate's lock
}

// refuse answers requests that cannot be served as a whole, as Kafka does: no brokers, and the code at every topic.
func (m *metadataRequest) refuse(version int16) (*wire.MetadataResponse, bool) {
	refuse := false
	for i := range m.req.Topics {
		topic := &m.req.Topics[i]
		named, identified := topic.Name.Valid, topic.TopicId != wire.UUID{}
		refuse = refuse || (identified && version < 12) || (!named && !identified)
	}
	if !refuse {
		return nil, false
	}
	resp := new(wire.MetadataResponse)
	resp.Default()
	resp.ErrorCode = wire.ErrorInvalidRequest
	for i := range m.req.Topics {
		topic := &m.req.Topics[i]
		answer := newTopicAnswer(wire.ErrorInvalidRequest)
		answer.Name, answer.TopicId = topic.Name, topic.TopicId
		if !answer.Name.Valid {
			answer.Name = wire.SomeString("")
		}
		resp.Topics = append(resp.Topics, answer)
	}
	return resp, true
}

func newTopicAnswer(code wire.ErrorCode) wire.MetadataResponseTopic {
	var answer wire.MetadataResponseTopic
	answer.Default()
	answer.Name, answer.ErrorCode = wire.NullString{}, code
	return answer
}

// missing are the topics to create.
func (m *metadataRequest) missing() []string {
	if m.everything || !m.req.AllowAutoTopicCreation || !m.table.deps.Settings.AutoCreateTopics || m.byID() {
		return nil
	}
	image := m.table.deps.Cluster.Image()
	var names []string
	seen := map[string]bool{}
	for i := range m.req.Topics {
		name := m.req.Topics[i].Name.Value
		if _, exists := image.Topic(name); exists || seen[name] || isInternal(name) || topicNameProblem(name) != "" {
			continue
		}
		seen[name] = true
		names = append(names, name)
	}
	return names
}

// create asks the controller for topics with the brokers' defaults.
func (m *metadataRequest) create(names []string, a *audit, allow controller.Allow) {
	req := new(wire.CreateTopicsRequest)
	req.Default()
	for _, name := range names {
		var topic wire.CreateTopicsRequestCreatableTopic
		topic.Default()
		topic.Name, topic.NumPartitions, topic.ReplicationFactor = name, -1, -1
		req.Topics = append(req.Topics, topic)
	}
	m.expect(1)
	m.table.deps.Controller.CreateTopics(req, allow, func(resp *wire.CreateTopicsResponse) {
		a.topicsCreated(resp)
		m.arrive(func() {
			m.created = make(map[string]wire.ErrorCode, len(resp.Topics))
			for i := range resp.Topics {
				m.created[resp.Topics[i].Name] = resp.Topics[i].ErrorCode
			}
		})
	})
}

// byID reports whether the request names topics by id: then names in it are ignored, as Kafka does.
func (m *metadataRequest) byID() bool {
	for i := range m.req.Topics {
		if (m.req.Topics[i].TopicId != wire.UUID{}) {
			return true
		}
	}
	return false
}

// Finish implements Pending.
func (m *metadataRequest) Finish(r *Request) Outcome {
	m.settle()
	v := m.table.view(r)
	resp := new(wire.MetadataResponse)
	resp.Default()
	for _, b := range v.image.Brokers() {
		if !v.alive(b.ID) {
			continue
		}
		if a, ok := v.address(b); ok {
			resp.Brokers = append(resp.Brokers, wire.MetadataResponseBroker{NodeId: int32(b.ID), Host: a.Host, Port: a.Port, Rack: rack(b)})
		}
	}
	resp.ClusterId = wire.SomeString(v.settings.ClusterID)
	resp.ControllerId = v.controller()
	m.addTopics(v, resp)
	if m.req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	return reply(r, resp)
}

// Cancel implements Pending.
func (m *metadataRequest) Cancel() { m.settle() }

func (m *metadataRequest) addTopics(v view, resp *wire.MetadataResponse) {
	switch {
	case m.everything:
		for _, topic := range v.image.Topics() {
			resp.Topics = append(resp.Topics, m.topic(v, topic))
		}
	case m.byID():
		seen := map[ids.TopicID]bool{}
		for i := range m.req.Topics {
			id := topicID(m.req.Topics[i].TopicId)
			if id.IsZero() || seen[id] {
				continue
			}
			seen[id] = true
			if topic, ok := v.image.TopicByID(id); ok {
				resp.Topics = append(resp.Topics, m.topic(v, topic))
				continue
			}
			answer := newTopicAnswer(wire.ErrorUnknownTopicID)
			answer.TopicId = wire.UUID(id)
			resp.Topics = append(resp.Topics, answer)
		}
	default:
		seen := map[string]bool{}
		for i := range m.req.Topics {
			name := m.req.Topics[i].Name.Value
			if seen[name] {
				continue
			}
			seen[name] = true
			if topic, ok := v.image.Topic(name); ok {
				resp.Topics = append(resp.Topics, m.topic(v, topic))
				continue
			}
			answer := newTopicAnswer(m.absent(name))
			answer.Name, answer.IsInternal = wire.SomeString(name), isInternal(name)
			if m.req.IncludeTopicAuthorizedOperations {
				answer.TopicAuthorizedOperations = topicOperations
			}
			resp.Topics = append(resp.Topics, answer)
		}
	}
}

// absent is why a topic is not there. What the controller could not do for a reason that passes is
// UNKNOWN_TOPIC_OR_PARTITION, which makes every client ask again.
func (m *metadataRequest) absent(name string) wire.ErrorCode {
	m.mu.Lock()
	code, asked := m.created[name]
	m.mu.Unlock()
	switch {
	case topicNameProblem(name) != "":
		return wire.ErrorInvalidTopicException
	case asked && code != wire.ErrorNone && !code.Retriable():
		return code
	}
	return wire.ErrorUnknownTopicOrPartition
}

func (m *metadataRequest) topic(v view, topic *metadata.Topic) wire.MetadataResponseTopic {
	answer := newTopicAnswer(wire.ErrorNone)
	answer.Name, answer.TopicId, answer.IsInternal = wire.SomeString(topic.Name), wire.UUID(topic.ID), isInternal(topic.Name)
	if m.req.IncludeTopicAuthorizedOperations {
		answer.TopicAuthorizedOperations = topicOperations
	}
	answer.Partitions = make([]wire.MetadataResponsePartition, len(topic.Partitions))
	for i := range topic.Partitions {
		from, to := &topic.Partitions[i], &answer.Partitions[i]
		to.Default()
		to.PartitionIndex, to.LeaderId, to.LeaderEpoch = int32(i), int32(from.Leader), int32(from.LeaderEpoch)
		if from.Leader == ids.NoBroker || !v.alive(from.Leader) {
			to.ErrorCode, to.LeaderId = wire.ErrorLeaderNotAvailable, -1
		}
		to.ReplicaNodes, to.IsrNodes, to.OfflineReplicas = brokers(from.Replicas), brokers(from.ISR), v.offline(from)
	}
	return answer
}
