package parity

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var topicScenarios = []scenario{
	{"create-topics", createTopics},
	{"create-topics-bad", createTopicsBad},
	{"create-topics-configs", createTopicsConfigs},
	{"create-topics-timeouts", createTopicsTimeouts},
	{"delete-topics", deleteTopics},
	{"delete-topics-bad", deleteTopicsBad},
}

func newTopic(name string, partitions int32, replicas int16, configs ...string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, replicas
	for i := 0; i < len(configs); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name = configs[i]
		if configs[i+1] != "NULL" {
			c.Value = &configs[i+1]
		}
		t.Configs = append(t.Configs, c)
	}
	return t
}

func createReq(topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis, req.Topics = 30_000, topics
	return req
}

// create sends a CreateTopics request and takes the new ids' names; the configs of the answer are written down on demand only.
func (s *session) create(name string, version int16, req *kmsg.CreateTopicsRequest, configs bool) {
	s.t.Helper()
	req.SetVersion(version)
	label := fmt.Sprintf("%s v%d", name, version)
	body, err := s.roundTrip(s.frame(req))
	if err != nil {
		s.note(label, s.ending(err))
		return
	}
	decoded, text := s.decode(body, req)
	resp, ok := decoded.(*kmsg.CreateTopicsResponse)
	if !ok {
		s.note(label, text)
		return
	}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if t.TopicID != [16]byte{} {
			s.topics[t.TopicID] = t.Topic
		}
		if !configs && len(t.Configs) > 0 {
			t.Configs = t.Configs[:0]
		}
	}
	s.note(label, s.render(resp))
}

func assign(t kmsg.CreateTopicsRequestTopic, from int32, replicas ...[]int32) kmsg.CreateTopicsRequestTopic {
	for i, r := range replicas {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition, a.Replicas = from+int32(i), r
		t.ReplicaAssignment = append(t.ReplicaAssignment, a)
	}
	return t
}

func createTopics(s *session) {
	for v := int16(2); v <= 7; v++ {
		name := fmt.Sprintf("new-v%d", v)
		s.create("one", v, createReq(newTopic(name, 3, 1)), v == 7)
		s.create("again", v, createReq(newTopic(name, 3, 1)), true)
		s.create("unknown config", v, createReq(newTopic(name+"-x", 1, 1, "no.such", "1")), true)
		s.create("none", v, createReq(), true)
		s.create("twice", v, createReq(newTopic(name+"-b", 1, 1), newTopic(name+"-b", 2, 1), newTopic(name+"-c", 1, 1)), false)
		s.create("bad name", v, createReq(newTopic("a b", 1, 1)), true)
		s.create("defaults", v, createReq(newTopic(name+"-d", -1, -1)), false)
		s.create("assigned", v, createReq(assign(newTopic(name+"-e", -1, -1), 0, []int32{1}, []int32{1})), false)
		dry := createReq(newTopic(name+"-f", 2, 1, "retention.ms", "5000"))
		dry.ValidateOnly = true
		s.create("validate only", v, dry, v == 7)
		dry.Topics[0].Topic = name
		s.create("validate only, exists", v, dry, true)
		dry.Topics[0].Topic = "a b"
		s.create("validate only, bad", v, dry, true)
	}
	s.create("with settings", 7, createReq(newTopic("new-set", 1, 1, "cleanup.policy", "compact", "segment.bytes", "2097152", "retention.ms", "-1")), true)
}

func createTopicsBad(s *session) {
	s.topic("taken.name", 1)
	one := func(name string, t kmsg.CreateTopicsRequestTopic) { s.create(name, 7, createReq(t), false) }
	one("collides", newTopic("taken_name", 1, 1))
	one("collides with other", newTopic("taken.name", 1, 1))
	s.create("collide with each other", 7, createReq(newTopic("a.b.c", 1, 1), newTopic("a_b.c", 1, 1)), false)
	for _, name := range []string{"", ".", "..", "a/b", "ä", "a\x00", strings.Repeat("y", 249), strings.Repeat("y", 250), "__cluster_metadata", "__consumer_offsets_x", "-", "_"} {
		one(fmt.Sprintf("name %.20q of %d", name, len(name)), newTopic(name, 1, 1))
	}
	for _, n := range []int32{0, -1, -2, -2147483648} {
		one(fmt.Sprintf("%d partitions", n), newTopic(fmt.Sprintf("count-%d", n), n, 1))
	}
	for _, n := range []int16{0, -1, -2, 2, 5, 32767} {
		one(fmt.Sprintf("%d replicas", n), newTopic(fmt.Sprintf("replicas-%d", n), 1, n))
	}
	one("partitions and replicas bad", newTopic("both-bad", 0, 0))
	one("10001 partitions", newTopic("wide", 10_001, 1))
	one("2147483647 partitions", newTopic("wide", 2147483647, 1))
	s.create("many partitions in two", 7, createReq(newTopic("wide-a", 6_000, 1), newTopic("wide-b", 6_000, 1)), false)
	one("assigned to nobody", assign(newTopic("assigned-1", -1, -1), 0, []int32{}))
	one("assigned to an unknown broker", assign(newTopic("assigned-2", -1, -1), 0, []int32{99}))
	one("assigned to a negative broker", assign(newTopic("assigned-3", -1, -1), 0, []int32{-1}))
	one("assigned twice to one broker", assign(newTopic("assigned-4", -1, -1), 0, []int32{1, 1}))
	one("assigned in different numbers", assign(newTopic("assigned-5", -1, -1), 0, []int32{1}, []int32{1, 2}))
	one("assigned from 1", assign(newTopic("assigned-6", -1, -1), 1, []int32{1}, []int32{1}))
	one("assigned one twice", assign(assign(newTopic("assigned-7", -1, -1), 0, []int32{1}), 0, []int32{1}))
	one("assigned a negative partition", assign(newTopic("assigned-8", -1, -1), -1, []int32{1}))
	one("assigned with partitions", assign(newTopic("assigned-9", 1, -1), 0, []int32{1}))
	one("assigned with replicas", assign(newTopic("assigned-10", -1, 1), 0, []int32{1}))
	one("assigned with a gap", assign(assign(newTopic("assigned-11", -1, -1), 0, []int32{1}), 2, []int32{1}))
	s.create("one good, many bad", 7, createReq(newTopic("good-one", 1, 1), newTopic("a b", 1, 1), newTopic("good-two", 1, 1), newTopic("bad-three", 1, 3), newTopic("taken.name", 1, 1)), false)
	s.create("thrice, with a bad config", 7, createReq(newTopic("thrice", 1, 1, "no.such", "1"), newTopic("thrice", 1, 1), newTopic("thrice", 0, 0)), false)
	s.create("bad name twice", 7, createReq(newTopic("a b", 1, 1), newTopic("a b", 1, 1)), false)
}

func createTopicsConfigs(s *session) {
	n := 0
	one := func(configs ...string) {
		n++
		s.create(strings.Join(configs, "="), 7, createReq(newTopic(fmt.Sprintf("configs-%d", n), 1, 1, configs...)), false)
	}
	for _, c := range [][]string{
		{"no.such", "1"}, {"", "1"}, {"retention.ms", "NULL"}, {"retention.ms", ""}, {"retention.ms", "abc"}, {"retention.ms", "-2"}, {"retention.ms", " 5000 "},
		{"retention.ms", "9223372036854775808"}, {"retention.ms", "1", "retention.ms", "2"}, {"retention.ms", "1", "retention.ms", "abc"},
		{"cleanup.policy", "bogus"}, {"cleanup.policy", ""}, {"cleanup.policy", "compact,delete"}, {"cleanup.policy", "delete,delete"}, {"cleanup.policy", "Compact"},
		{"cleanup.policy", "compact, delete"}, {"cleanup.policy", "none"},
		{"compression.type", "bogus"}, {"compression.type", "zstd"}, {"compression.type", "none"}, {"compression.gzip.level", "0"}, {"compression.gzip.level", "10"},
		{"compression.lz4.level", "18"}, {"compression.zstd.level", "23"}, {"segment.bytes", "13"}, {"segment.bytes", "1048575"}, {"segment.bytes", "2147483648"},
		{"segment.bytes", "1.5"}, {"segment.ms", "0"}, {"max.message.bytes", "-1"}, {"max.message.bytes", "0"}, {"min.insync.replicas", "0"}, {"min.insync.replicas", "9"},
		{"message.timestamp.type", "Bogus"}, {"message.timestamp.type", "LogAppendTime"}, {"message.timestamp.before.max.ms", "-1"}, {"message.timestamp.after.max.ms", "x"},
		{"preallocate", "maybe"}, {"preallocate", "TRUE"}, {"unclean.leader.election.enable", "true"}, {"min.cleanable.dirty.ratio", "1.5"}, {"min.cleanable.dirty.ratio", "0.25"},
		{"min.compaction.lag.ms", "10", "max.compaction.lag.ms", "5"}, {"flush.messages", "0"}, {"flush.ms", "-1"}, {"index.interval.bytes", "-1"}, {"segment.index.bytes", "3"},
		{"leader.replication.throttled.replicas", "0:1"}, {"leader.replication.throttled.replicas", "bogus"}, {"follower.replication.throttled.replicas", "*"},
		{"remote.storage.enable", "true"}, {"local.retention.ms", "10", "retention.ms", "5"}, {"local.retention.bytes", "10", "retention.bytes", "5"},
		{"local.retention.ms", "-3"}, {"message.format.version", "2.8"}, {"message.downconversion.enable", "true"}, {"internal.segment.bytes", "100"},
		{"delete.retention.ms", "-1"}, {"file.delete.delay.ms", "0"}, {"max.compaction.lag.ms", "0"}, {"segment.jitter.ms", "-1"}, {"RETENTION.MS", "1"},
		{"log.retention.ms", "1"}, {"remote.log.copy.disable", "true"}, {"remote.log.delete.on.disable", "true"},
	} {
		one(c...)
	}
}

func createTopicsTimeouts(s *session) {
	for _, v := range []int16{2, 5, 7} {
		for _, timeout := range []int32{0, -1, -2147483648} {
			req := createReq(newTopic("in-no-time", 1, 1), newTopic("a b", 1, 1), newTopic("in-no-time-b", 1, 1), newTopic("in-no-time-b", 1, 1))
			req.TimeoutMillis = timeout
			s.create(fmt.Sprintf("timeout %d", timeout), v, req, true)
		}
	}
	req := createReq()
	req.TimeoutMillis = 0
	s.create("none, timeout 0", 7, req, true)
	dry := createReq(newTopic("in-no-time", 1, 1))
	dry.TimeoutMillis, dry.ValidateOnly = 0, true
	s.create("validate only, timeout 0", 7, dry, true)
	s.send("none was made", 12, metadataReq(named("in-no-time"), named("in-no-time-b")))
}

func deleteReq(names ...string) *kmsg.DeleteTopicsRequest {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis, req.TopicNames = 30_000, names
	for _, name := range names {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = ptr(name)
		req.Topics = append(req.Topics, t)
	}
	return req
}

func deleteByID(ids ...[16]byte) *kmsg.DeleteTopicsRequest {
	req := deleteReq()
	for _, id := range ids {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.TopicID = id
		req.Topics = append(req.Topics, t)
	}
	return req
}

func deleteTopics(s *session) {
	for v := int16(1); v <= 6; v++ {
		name := fmt.Sprintf("doomed-v%d", v)
		s.topic(name, 2)
		s.topic(name+"-b", 1)
		s.send("two and an unknown", v, deleteReq(name, "nobody", name+"-b"))
		s.gone(name)
		s.send("again", v, deleteReq(name))
		s.send("none", v, deleteReq())
		s.topic(name, 1)
		s.send("twice", v, deleteReq(name, name))
		s.send("unknown twice", v, deleteReq("nobody", "nobody"))
		s.send("bad names", v, deleteReq("", "a b", "."))
	}
	id := s.topic("doomed-id", 1)
	s.send("by id", 6, deleteByID(id))
	s.gone("doomed-id")
	s.send("by id again", 6, deleteByID(id))
}

func deleteTopicsBad(s *session) {
	id, other := s.topic("kept", 1), s.topic("kept-other", 1)
	s.send("unknown id", 6, deleteByID(madeUp))
	s.send("neither", 6, deleteByID([16]byte{}))
	s.send("neither twice", 6, deleteByID([16]byte{}, [16]byte{}))
	both := deleteReq("kept")
	both.Topics[0].TopicID = id
	s.send("name and id", 6, both)
	both.Topics[0].TopicID = madeUp
	s.send("name and unknown id", 6, both)
	mixed := deleteReq("kept")
	mixed.Topics = append(mixed.Topics, deleteByID(id).Topics...)
	s.send("by name and by id", 6, mixed)
	s.send("id twice", 6, deleteByID(other, other))
	s.send("unknown id twice", 6, deleteByID(madeUp, madeUp))
	for _, v := range []int16{1, 4, 5, 6} {
		for _, timeout := range []int32{0, -1} {
			req := deleteReq("kept", "nobody", "kept")
			req.TimeoutMillis = timeout
			s.send(fmt.Sprintf("timeout %d", timeout), v, req)
		}
	}
	late := deleteByID(id, madeUp)
	late.TimeoutMillis = 0
	s.send("by id, timeout 0", 6, late)
	s.send("which are left", 12, metadataReq(named("kept"), named("kept-other")))
}
