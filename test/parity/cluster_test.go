package parity

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// madeUp is a topic id that no topic has.
var madeUp = [16]byte{0: 0xee, 7: 1, 15: 0xee}

func ptr[T any](v T) *T { return &v }

var clusterScenarios = []scenario{
	{"api-versions", apiVersions},
	{"metadata", metadata},
	{"metadata-create", metadataCreate},
	{"describe-cluster", describeCluster},
	{"describe-topic-partitions", describeTopicPartitions},
	{"list-partition-reassignments", listPartitionReassignments},
}

func apiVersions(s *session) {
	for v := int16(0); v <= 4; v++ {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "parity", "1.0"
		s.send("list", v, req)
	}
	for _, bad := range [][2]string{{"", "1"}, {"a", ""}, {"-a", "1"}, {"a-", "1"}, {"a.b-c", "1.0.0-rc.1"}, {"a_b", "1"}, {"ä", "1"}, {"a b", "1"}, {"a", "1+2"}, {strings.Repeat("n", 2000), "1"}} {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = bad[0], bad[1]
		s.send(fmt.Sprintf("software %.10q %q", bad[0], bad[1]), 3, req)
	}
	for _, v := range []int16{5, 6, 99, 32767, -1, -32768} {
		req := kmsg.NewPtrApiVersionsRequest()
		req.SetVersion(v)
		s.sendFrame(fmt.Sprintf("unknown version %d", v), s.rawFrame(18, v, v >= 3, nil), req)
	}
}

func metadataReq(topics ...kmsg.MetadataRequestTopic) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = append([]kmsg.MetadataRequestTopic{}, topics...)
	return req
}

func named(name string) kmsg.MetadataRequestTopic {
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &name
	return t
}

func identified(id [16]byte) kmsg.MetadataRequestTopic {
	t := kmsg.NewMetadataRequestTopic()
	t.TopicID = id
	return t
}

func metadata(s *session) {
	one, two := s.topic("meta-one", 1), s.topic("meta-two", 3)
	for v := int16(0); v <= 13; v++ {
		all := metadataReq()
		all.Topics = nil
		s.send("null topics", v, all)
		s.send("no topics", v, metadataReq())
		s.send("a topic", v, metadataReq(named("meta-one")))
		if v >= 4 { // before, asking makes the topic
			s.send("many", v, metadataReq(named("meta-two"), named("meta-nobody"), named("meta-one"), named("meta-two"), named("meta-nobody")))
		}
		s.send("bad names", v, metadataReq(named(""), named("."), named(".."), named("a b"), named("ä"), named("meta/one"), named(strings.Repeat("x", 250))))
		if v >= 8 {
			req := metadataReq(named("meta-one"), named("meta-nobody"))
			req.IncludeTopicAuthorizedOperations, req.IncludeClusterAuthorizedOperations = true, true
			s.send("operations", v, req)
		}
		if v >= 10 {
			s.send("by id", v, metadataReq(identified(two), identified(one), identified(two)))
			s.send("unknown id", v, metadataReq(identified(madeUp), identified(one)))
			both := named("meta-one")
			both.TopicID = two
			s.send("id and name", v, metadataReq(both))
			s.send("id, and another's name", v, metadataReq(identified(one), named("meta-two")))
			s.send("neither id nor name", v, metadataReq(kmsg.NewMetadataRequestTopic()))
			s.send("neither, among others", v, metadataReq(named("meta-one"), kmsg.NewMetadataRequestTopic()))
		}
	}
	s.send("internal, not to be created", 12, metadataReq(named("__consumer_offsets"), named("__transaction_state"), named("__share_group_state"), named("__cluster_metadata")))
}

func metadataCreate(s *session) {
	for _, v := range []int16{1, 4, 8, 12, 13} {
		req := metadataReq(named(fmt.Sprintf("made-by-v%d", v)))
		req.AllowAutoTopicCreation = true
		s.send("create", v, req)
		s.waitFor("created topic", func() bool { return s.servesAll(fmt.Sprintf("made-by-v%d", v), 1) })
		resp := s.quiet(v, req).(*kmsg.MetadataResponse)
		s.topics[resp.Topics[0].TopicID] = fmt.Sprintf("made-by-v%d", v)
		s.send("created", v, req)
	}
	bad := metadataReq(named("a b"), named(""), named("made.by-v1"), named("made_by-v1"))
	bad.AllowAutoTopicCreation = true
	s.send("bad names", 12, bad)
}

func describeCluster(s *session) {
	for v := int16(0); v <= 2; v++ {
		s.send("plain", v, kmsg.NewPtrDescribeClusterRequest())
		for _, kind := range []int8{0, 1, 2, 3, -1, 127} {
			if v == 0 {
				break
			}
			req := kmsg.NewPtrDescribeClusterRequest()
			req.EndpointType = kind
			s.send(fmt.Sprintf("endpoint type %d", kind), v, req)
		}
		req := kmsg.NewPtrDescribeClusterRequest()
		req.IncludeClusterAuthorizedOperations, req.IncludeFencedBrokers = true, true
		s.send("operations, fenced", v, req)
	}
}

func describePartitionsReq(limit int32, cursor *kmsg.DescribeTopicPartitionsRequestCursor, names ...string) *kmsg.DescribeTopicPartitionsRequest {
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit, req.Cursor = limit, cursor
	for _, name := range names {
		t := kmsg.NewDescribeTopicPartitionsRequestTopic()
		t.Topic = name
		req.Topics = append(req.Topics, t)
	}
	return req
}

func cursor(topic string, partition int32) *kmsg.DescribeTopicPartitionsRequestCursor {
	c := kmsg.NewDescribeTopicPartitionsRequestCursor()
	c.Topic, c.Partition = topic, partition
	return &c
}

func describeTopicPartitions(s *session) {
	s.topic("page-a", 2)
	s.topic("page-b", 3)
	s.topic("page-c", 1)
	ask := func(name string, limit int32, c *kmsg.DescribeTopicPartitionsRequestCursor, topics ...string) {
		s.send(name, 0, describePartitionsReq(limit, c, topics...))
	}
	ask("three", 100, nil, "page-c", "page-a", "page-b")
	ask("twice", 100, nil, "page-a", "page-a")
	ask("unknown", 100, nil, "page-a", "page-nobody")
	ask("bad name", 100, nil, "page-a", "a b")
	ask("bad names", 100, nil, "page-a", ".", "..", strings.Repeat("x", 250))
	ask("empty name", 100, nil, "page-a", "")
	ask("empty name only", 100, nil, "")
	for _, limit := range []int32{1, 2, 3, 4, 5, 6, 0, -1} {
		ask(fmt.Sprintf("limit %d", limit), limit, nil, "page-c", "page-a", "page-b")
	}
	ask("limit with unknown", 1, nil, "page-a", "page-aa", "page-b")
	ask("limit 2 with unknown", 2, nil, "page-a", "page-aa", "page-b")
	ask("cursor within", 2, cursor("page-b", 1), "page-c", "page-a", "page-b")
	ask("cursor at the end", 2, cursor("page-b", 3), "page-c", "page-a", "page-b")
	ask("cursor past the end", 2, cursor("page-b", 30), "page-c", "page-a", "page-b")
	ask("cursor negative", 2, cursor("page-b", -1), "page-c", "page-a", "page-b")
	ask("cursor of another topic", 2, cursor("page-d", 0), "page-c", "page-a", "page-b")
	ask("cursor of an unknown topic", 2, cursor("page-nobody", 1), "page-nobody", "page-a", "page-z")
	ask("all from a cursor", 3, cursor("page-a", 1))
	ask("all from a topic that is gone", 3, cursor("page-aaa", 0))
	ask("all from the end", 3, cursor("zzzz", 0))
	ask("cursor with an empty name", 2, cursor("", 0))
	ask("all, negative cursor", 3, cursor("page-a", -1))
	ask("internal", 3, nil, "__consumer_offsets")
}

func listPartitionReassignments(s *session) {
	s.topic("still", 2)
	for _, timeout := range []int32{60_000, 0, -1} {
		req := kmsg.NewPtrListPartitionReassignmentsRequest()
		req.TimeoutMillis = timeout
		s.send(fmt.Sprintf("all, timeout %d", timeout), 0, req)
		t := kmsg.NewListPartitionReassignmentsRequestTopic()
		t.Topic, t.Partitions = "still", []int32{0, 1, 7, -1, 0}
		u := kmsg.NewListPartitionReassignmentsRequestTopic()
		u.Topic, u.Partitions = "nobody", []int32{0}
		req.Topics = append(req.Topics, t, u)
		s.send(fmt.Sprintf("some, timeout %d", timeout), 0, req)
		req.Topics = req.Topics[:0]
		s.send(fmt.Sprintf("none, timeout %d", timeout), 0, req)
	}
}
