package api

import (
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

// newMetadata asks for topics by name; ids name topics by id.
func newMetadata(names []string, topics ...ids.TopicID) *wire.MetadataRequest {
	req := new(wire.MetadataRequest)
	req.Default()
	if names == nil && topics == nil {
		req.Topics = nil
		return req
	}
	req.Topics = []wire.MetadataRequestTopic{}
	for _, name := range names {
		req.Topics = append(req.Topics, wire.MetadataRequestTopic{Name: wire.SomeString(name)})
	}
	for _, topic := range topics {
		req.Topics = append(req.Topics, wire.MetadataRequestTopic{TopicId: wire.UUID(topic)})
	}
	return req
}

type topicAnswer struct {
	Name string
	ID   byte
	Code wire.ErrorCode
	Ops  int32
	N    int
}

func topicsOf(resp *wire.MetadataResponse) (out []topicAnswer) {
	for _, topic := range resp.Topics {
		if topic.Name.Valid == (topic.ErrorCode == wire.ErrorUnknownTopicID) { // null exactly for ids that nobody has
			topic.Name.Value += " (null: " + strconv.FormatBool(!topic.Name.Valid) + ")"
		}
		out = append(out, topicAnswer{topic.Name.Value, topic.TopicId[0], topic.ErrorCode, topic.TopicAuthorizedOperations, len(topic.Partitions)})
	}
	return out
}

// TestMetadataWhichTopics: v0 empty = all; v1+ null = all, empty = none; ids from v12 on only, and then names don't count.
func TestMetadataWhichTopics(t *testing.T) {
	const none = noOperations
	a, b := topicAnswer{"a", 0, 0, none, 2}, topicAnswer{"b", 0, 0, none, 1}
	a1 := topicAnswer{"a", 1, 0, none, 2}
	tests := []struct {
		name    string
		version int16
		req     *wire.MetadataRequest
		want    []topicAnswer
	}{
		{"v0 empty", 0, newMetadata([]string{}), []topicAnswer{a, b}},
		{"v0 named", 0, newMetadata([]string{"b"}), []topicAnswer{b}},
		{"v1 null", 1, newMetadata(nil), []topicAnswer{a, b}},
		{"v1 empty", 1, newMetadata([]string{}), nil},
		{"v9 named twice", 9, newMetadata([]string{"b", "a", "b"}), []topicAnswer{b, a}},
		{"v12 by id", 12, newMetadata([]string{}, id(1), id(9), id(1)), []topicAnswer{a1, {"", 9, wire.ErrorUnknownTopicID, none, 0}}},
		{"v12 by id and name", 12, func() *wire.MetadataRequest {
			r := newMetadata([]string{"b"}, id(1))
			r.Topics[1].Name = wire.SomeString("x")
			return r
		}(), []topicAnswer{a1}},
		{"v13 null", 13, newMetadata(nil), []topicAnswer{a1, {"b", 2, 0, none, 1}}},
		{"unknown and bad names", 12, newMetadata([]string{"nope", "bad name", "", "..", "__consumer_offsets"}), []topicAnswer{
			{"nope", 0, 3, none, 0}, {"bad name", 0, 17, none, 0}, {"", 0, 17, none, 0}, {"..", 0, 17, none, 0}, {"__consumer_offsets", 0, 3, none, 0}}},
	}
	for _, test := range tests {
		g := newRig(t, run.OS())
		test.req.AllowAutoTopicCreation = false
		if test.version < 4 {
			g = newRig(t, run.OS(), func(s *Settings) { s.AutoCreateTopics = false })
			test.req.AllowAutoTopicCreation = true // cannot be said otherwise
		}
		var resp wire.MetadataResponse
		g.do(wire.MetadataKey, test.version, test.req, &resp)
		if diff := cmp.Diff(test.want, topicsOf(&resp)); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
		if len(g.controller.creates) != 0 {
			t.Errorf("%s: created topics", test.name)
		}
	}
}

// TestMetadataRefusesTopicIDsBeforeVersion12, and topics without name and id: as Kafka, with nothing else in the answer.
func TestMetadataRefusesTopicIDsBeforeVersion12(t *testing.T) {
	g := newRig(t, run.OS())
	for _, version := range []int16{10, 11} {
		req := newMetadata([]string{"a", "b"})
		req.Topics[0].TopicId = wire.UUID(id(1))
		var resp wire.MetadataResponse
		g.do(wire.MetadataKey, version, req, &resp)
		want := []topicAnswer{{"a", 1, 42, noOperations, 0}, {"b", 0, 42, noOperations, 0}}
		if diff := cmp.Diff(want, topicsOf(&resp)); diff != "" || len(resp.Brokers) != 0 || resp.ClusterId.Valid || resp.ControllerId != -1 {
			t.Errorf("version %d: %+v %s", version, resp, diff)
		}
	}
	var resp wire.MetadataResponse
	g.do(wire.MetadataKey, 13, newMetadata([]string{}, ids.TopicID{}), &resp)
	if resp.ErrorCode != wire.ErrorInvalidRequest {
		t.Errorf("a request that is refused as a whole: top-level %s", resp.ErrorCode)
	}
	if diff := cmp.Diff([]topicAnswer{{"", 0, 42, noOperations, 0}}, topicsOf(&resp)); diff != "" {
		t.Error(diff)
	}
}

// TestMetadataBrokers: the advertised address of the listener, else where the client reached us; the controller is in the
// list; fenced brokers are not, nor those without the listener; the cluster id is never null.
func TestMetadataBrokers(t *testing.T) {
	for version := int16(0); version <= 13; version++ {
		g := newRig(t, run.OS(), func(s *Settings) { s.Advertised = map[string]Address{"OUTSIDE": {"kafka.example", 443}} })
		other := brokerRecord(8, false)
		other.Rack = wire.SomeString("r1")
		elsewhere := brokerRecord(10, false)
		elsewhere.EndPoints[0].Name = "OTHER"
		g.cluster.apply(t, other, brokerRecord(9, true), elsewhere)
		var resp wire.MetadataResponse
		g.do(wire.MetadataKey, version, newMetadata([]string{}), &resp)
		want := []wire.MetadataResponseBroker{{NodeId: 7, Host: "10.0.0.1", Port: 1234}, {NodeId: 8, Host: "host-8", Port: 9008, Rack: wire.SomeString("r1")}}
		if version == 0 {
			want[1].Rack = wire.NullString{}
		}
		if diff := cmp.Diff(want, resp.Brokers); diff != "" {
			t.Errorf("version %d: %s", version, diff)
		}
		if version >= 1 && resp.ControllerId != 7 || version >= 2 && resp.ClusterId != wire.SomeString(clusterID) {
			t.Errorf("version %d: controller %d, cluster %v", version, resp.ControllerId, resp.ClusterId)
		}
		g.conn.Listener = "OUTSIDE"
		g.do(wire.MetadataKey, version, newMetadata([]string{}), &resp)
		if diff := cmp.Diff([]wire.MetadataResponseBroker{{NodeId: 7, Host: "kafka.example", Port: 443}}, resp.Brokers); diff != "" {
			t.Errorf("version %d: %s", version, diff)
		}
	}
}

// TestMetadataPartitions: epochs are those of the cluster's metadata, -1 only before version 7 said them; who has no leader
// says so.
func TestMetadataPartitions(t *testing.T) {
	g := newRig(t, run.OS())
	p := topicRecords("c", id(3), 2)
	p[1].(*wire.PartitionRecord).Leader, p[1].(*wire.PartitionRecord).Replicas = -1, []int32{7, 99}
	g.cluster.apply(t, p...)
	for _, version := range []int16{4, 5, 6, 7, 13} {
		var resp wire.MetadataResponse
		g.do(wire.MetadataKey, version, newMetadata([]string{"c"}), &resp)
		parts := resp.Topics[0].Partitions
		epoch := int32(3)
		if version < 7 {
			epoch = -1
		}
		if parts[0].ErrorCode != wire.ErrorLeaderNotAvailable || parts[0].LeaderId != -1 || parts[1].LeaderId != 7 || parts[1].LeaderEpoch != epoch {
			t.Errorf("version %d: %+v", version, parts)
		}
		if version >= 5 {
			if diff := cmp.Diff([]int32{99}, parts[0].OfflineReplicas); diff != "" {
				t.Errorf("version %d: %s", version, diff)
			}
		}
	}
}

// TestMetadataAuthorizedOperations: without an authorizer everything is allowed, to who asks.
func TestMetadataAuthorizedOperations(t *testing.T) {
	g := newRig(t, run.OS())
	for version := int16(7); version <= 13; version++ {
		for _, ask := range []bool{false, true} {
			req := newMetadata([]string{"a"})
			req.IncludeClusterAuthorizedOperations, req.IncludeTopicAuthorizedOperations = ask, ask
			var resp wire.MetadataResponse
			g.do(wire.MetadataKey, version, req, &resp)
			topic, cluster := noOperations, noOperations
			if ask && version >= 8 {
				topic = 3576
			}
			if ask && version >= 8 && version <= 10 {
				cluster = 8096
			}
			if resp.Topics[0].TopicAuthorizedOperations != topic || resp.ClusterAuthorizedOperations != cluster {
				t.Errorf("version %d ask %v: %d %d", version, ask, resp.Topics[0].TopicAuthorizedOperations, resp.ClusterAuthorizedOperations)
			}
		}
	}
}

func TestMetadataAutoCreate(t *testing.T) {
	simulated(t, 1, func(env run.Env) {
		g := newRig(t, env)
		c := g.start(wire.MetadataKey, 12, newMetadata([]string{"new", "a", "new", "bad name", "two", "__consumer_offsets"}))
		if c.outcome != Parked || len(g.controller.creates) != 1 {
			t.Fatalf("outcome %d, %d commands", c.outcome, len(g.controller.creates))
		}
		create := g.controller.creates[0]
		var asked []string
		for _, topic := range create.req.Topics {
			asked = append(asked, topic.Name)
			if topic.NumPartitions != -1 || topic.ReplicationFactor != -1 {
				t.Errorf("%+v", topic)
			}
		}
		if diff := cmp.Diff([]string{"new", "two"}, asked); diff != "" || create.req.ValidateOnly {
			t.Error(diff)
		}
		g.createTopic("new", id(4), 3)
		create.done(&wire.CreateTopicsResponse{Topics: []wire.CreateTopicsResponseCreatableTopicResult{{Name: "new"}, {Name: "two", ErrorCode: wire.ErrorInvalidReplicationFactor}}})
		var resp wire.MetadataResponse
		c.reply(&resp)
		const none = noOperations
		want := []topicAnswer{{"new", 4, 0, none, 3}, {"a", 1, 0, none, 2}, {"bad name", 0, 17, none, 0}, {"two", 0, 38, none, 0}, {"__consumer_offsets", 0, 3, none, 0}}
		if diff := cmp.Diff(want, topicsOf(&resp)); diff != "" {
			t.Error(diff)
		}
		// The controller is silent: the client asks again later.
		c = g.start(wire.MetadataKey, 12, newMetadata([]string{"late"}))
		c.reply(&resp)
		if diff := cmp.Diff([]topicAnswer{{"late", 0, 3, none, 0}}, topicsOf(&resp)); diff != "" || env.Monotonic() != autoCreateWait {
			t.Errorf("after %v: %s", env.Monotonic(), diff)
		}
		g.controller.creates[1].done(&wire.CreateTopicsResponse{}) // too late hurts nobody
		// Who must not create gets no topic.
		req := newMetadata([]string{"never"})
		req.AllowAutoTopicCreation = false
		if c := g.start(wire.MetadataKey, 12, req); c.outcome != Replied {
			t.Errorf("outcome %d", c.outcome)
		}
	})
}
