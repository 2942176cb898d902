package parity

import (
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var fetchScenarios = []scenario{
	{"fetch", fetchGood},
	{"fetch-targets", fetchTargets},
	{"fetch-offsets", fetchOffsets},
	{"fetch-bounds", fetchBounds},
	{"fetch-epochs", fetchEpochs},
	{"fetch-sessions", fetchSessions},
	{"fetch-session-errors", fetchSessionErrors},
	{"fetch-waits", fetchWaits},
}

// fetchTarget is one partition of a Fetch request, by name and by id.
type fetchTarget struct {
	topic string
	id    [16]byte
	part  kmsg.FetchRequestTopicPartition
}

func fetchOf(topic string, id [16]byte, partition int32, offset int64) fetchTarget {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch, p.LastFetchedEpoch, p.LogStartOffset = partition, offset, 1<<20, -1, -1, -1
	return fetchTarget{topic, id, p}
}

// fetchReq is a fetch without a session.
func fetchReq(maxWaitMs int32, targets ...fetchTarget) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = -1, maxWaitMs, 1, 50<<20, -1
	for _, t := range targets {
		if n := len(req.Topics); n > 0 && req.Topics[n-1].Topic == t.topic && req.Topics[n-1].TopicID == t.id {
			req.Topics[n-1].Partitions = append(req.Topics[n-1].Partitions, t.part)
			continue
		}
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic, topic.TopicID, topic.Partitions = t.topic, t.id, []kmsg.FetchRequestTopicPartition{t.part}
		req.Topics = append(req.Topics, topic)
	}
	return req
}

// fill writes batches of n records each.
func (s *session) fill(topic string, id [16]byte, partition int32, batches, n int) {
	s.t.Helper()
	for range batches {
		resp := s.quiet(13, produceReq(-1, topic, id, partition, plain(s.beganMs, n).bytes())).(*kmsg.ProduceResponse)
		if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
			s.t.Fatalf("produce: %s", codeName(code))
		}
	}
}

// fetchVersions are those at which the answer's layout or rules change.
var fetchVersions = []int16{4, 5, 7, 9, 11, 12, 13, 15, 16, 17, 18}

func fetchGood(s *session) {
	id := s.topic("read", 2)
	s.fill("read", id, 0, 3, 5)
	for v := int16(4); v <= 18; v++ {
		s.send("from the start", v, fetchReq(0, fetchOf("read", id, 0, 0), fetchOf("read", id, 1, 0)))
		s.send("from within a batch", v, fetchReq(0, fetchOf("read", id, 0, 7)))
		s.send("from the end", v, fetchReq(0, fetchOf("read", id, 0, 15)))
	}
	for _, level := range []int8{0, 1, 2, -1, 127} {
		for _, v := range []int16{4, 12, 13, 18} {
			req := fetchReq(0, fetchOf("read", id, 0, 0), fetchOf("read", id, 1, 0), fetchOf("read", id, 0, 99))
			req.IsolationLevel = level
			s.send(fmt.Sprintf("isolation level %d", level), v, req)
		}
	}
	for _, v := range []int16{12, 17} {
		req := fetchReq(0, fetchOf("read", id, 0, 0))
		if v < 15 {
			req.ReplicaID = -2
		} else {
			req.ReplicaState.ID = -2
		}
		s.send("replica -2", v, req)
	}
	late := fetchReq(0, fetchOf("read", id, 0, 0))
	late.ReplicaState.ID = -2
	s.send("a later version's tag", 12, late)
	rack := fetchReq(0, fetchOf("read", id, 0, 0))
	rack.Rack = "r1"
	s.send("rack", 12, rack)
	cluster := fetchReq(0, fetchOf("read", id, 0, 0))
	cluster.ClusterID = ptr("another")
	s.send("another cluster's id", 12, cluster)
}

func fetchTargets(s *session) {
	id := s.topic("aim", 1)
	s.fill("aim", id, 0, 1, 2)
	for _, v := range fetchVersions {
		s.send("unknown topic", v, fetchReq(0, fetchOf("nobody", madeUp, 0, 0)))
		s.send("zero id", v, fetchReq(0, fetchOf("", [16]byte{}, 0, 0)))
		s.send("unknown partition", v, fetchReq(0, fetchOf("aim", id, 1, 0)))
		s.send("negative partition", v, fetchReq(0, fetchOf("aim", id, -1, 0)))
		s.send("bad name", v, fetchReq(0, fetchOf("a b", madeUp, 0, 0)))
		s.send("good and bad", v, fetchReq(0, fetchOf("aim", id, 5, 0), fetchOf("nobody", madeUp, 0, 0), fetchOf("aim", id, 0, 0)))
		s.send("nothing", v, fetchReq(0))
		s.send("twice", v, fetchReq(0, fetchOf("aim", id, 0, 0), fetchOf("aim", id, 0, 1)))
	}
	s.send("metadata log", 12, fetchReq(0, fetchOf("__cluster_metadata", [16]byte{15: 1}, 0, 0)))
}

func fetchOffsets(s *session) {
	id := s.topic("reach", 1)
	s.fill("reach", id, 0, 2, 5)
	for _, v := range fetchVersions {
		for _, offset := range []int64{-1, -2, 9, 10, 11, math.MaxInt64, math.MinInt64} {
			s.send(fmt.Sprintf("offset %d", offset), v, fetchReq(0, fetchOf("reach", id, 0, offset)))
		}
	}
	for _, start := range []int64{0, 5, -7, 99} {
		t := fetchOf("reach", id, 0, 0)
		t.part.LogStartOffset = start
		s.send(fmt.Sprintf("client's log start %d", start), 12, fetchReq(0, t))
	}
}

func fetchBounds(s *session) {
	id := s.topic("bounds", 3)
	for p := range int32(3) {
		s.fill("bounds", id, p, 3, 10)
	}
	size := int32(len(plain(s.beganMs, 10).bytes()))
	all := func() *kmsg.FetchRequest {
		return fetchReq(0, fetchOf("bounds", id, 0, 0), fetchOf("bounds", id, 1, 0), fetchOf("bounds", id, 2, 0))
	}
	for _, v := range []int16{4, 12, 18} {
		for _, max := range []int32{0, -1, 1, size - 1, size, size + 1, 2*size + 30, 3*size + 5, 4 * size, math.MinInt32} {
			req := all()
			req.MaxBytes = max
			s.send(fmt.Sprintf("max bytes %d", max), v, req)
			req = all()
			for i := range req.Topics[0].Partitions {
				req.Topics[0].Partitions[i].PartitionMaxBytes = max
			}
			s.send(fmt.Sprintf("partition max bytes %d", max), v, req)
		}
		mixed := all()
		mixed.Topics[0].Partitions[0].PartitionMaxBytes = 0
		mixed.Topics[0].Partitions[1].PartitionMaxBytes = 1
		s.send("partition max bytes 0 first", v, mixed)
		mixed.MaxBytes = 1
		s.send("partition max bytes 0 first, max bytes 1", v, mixed)
		order := fetchReq(0, fetchOf("bounds", id, 2, 0), fetchOf("bounds", id, 0, 0), fetchOf("bounds", id, 1, 0))
		order.MaxBytes = size
		s.send("another order", v, order)
		bad := fetchReq(0, fetchOf("bounds", id, 2, 99), fetchOf("bounds", id, 0, 0))
		bad.MaxBytes = 1
		s.send("first is out of range", v, bad)
	}
	for _, min := range []int32{0, -1, math.MaxInt32, math.MinInt32} {
		req := all()
		req.MinBytes = min
		s.send(fmt.Sprintf("min bytes %d", min), 12, req)
	}
}

func fetchEpochs(s *session) {
	id := s.topic("epochs", 1)
	s.fill("epochs", id, 0, 2, 5)
	for _, v := range []int16{9, 12, 13, 16, 18} {
		for _, epoch := range []int32{-1, 0, 1, 7, -2, math.MinInt32, math.MaxInt32} {
			t := fetchOf("epochs", id, 0, 0)
			t.part.CurrentLeaderEpoch = epoch
			s.send(fmt.Sprintf("current epoch %d", epoch), v, fetchReq(0, t))
			if v < 12 {
				continue
			}
			t = fetchOf("epochs", id, 0, 5)
			t.part.LastFetchedEpoch = epoch
			s.send(fmt.Sprintf("last fetched epoch %d", epoch), v, fetchReq(0, t))
			t.part.FetchOffset = 99
			s.send(fmt.Sprintf("last fetched epoch %d, out of range", epoch), v, fetchReq(0, t))
			t.part.FetchOffset = 0
			s.send(fmt.Sprintf("last fetched epoch %d, at 0", epoch), v, fetchReq(0, t))
		}
	}
	empty := s.topic("epochs-empty", 1)
	for _, epoch := range []int32{-1, 0, 1, 7, -2} {
		t := fetchOf("epochs-empty", empty, 0, 0)
		t.part.LastFetchedEpoch = epoch
		s.send(fmt.Sprintf("empty log, last fetched epoch %d", epoch), 12, fetchReq(0, t))
	}
}

func inSession(id, epoch int32, req *kmsg.FetchRequest) *kmsg.FetchRequest {
	req.SessionID, req.SessionEpoch = id, epoch
	return req
}

func forget(req *kmsg.FetchRequest, topic string, id [16]byte, partitions ...int32) *kmsg.FetchRequest {
	f := kmsg.NewFetchRequestForgottenTopic()
	f.Topic, f.TopicID, f.Partitions = topic, id, partitions
	req.ForgottenTopics = append(req.ForgottenTopics, f)
	return req
}

// begin starts a session and returns its id.
func (s *session) begin(name string, version int16, req *kmsg.FetchRequest) int32 {
	s.t.Helper()
	resp, ok := s.send(name, version, inSession(0, 0, req)).(*kmsg.FetchResponse)
	if !ok {
		s.t.Fatalf("%s: no session", name)
	}
	return resp.SessionID
}

func fetchSessions(s *session) {
	for _, v := range []int16{7, 11, 12, 13, 18} {
		topic := fmt.Sprintf("session-v%d", v)
		id := s.topic(topic, 3)
		s.fill(topic, id, 0, 1, 2)
		sid := s.begin("begin", v, fetchReq(0, fetchOf(topic, id, 0, 0), fetchOf(topic, id, 1, 0)))
		s.send("again, same offsets", v, inSession(sid, 1, fetchReq(0)))
		s.send("moved", v, inSession(sid, 2, fetchReq(0, fetchOf(topic, id, 0, 2))))
		s.send("nothing new", v, inSession(sid, 3, fetchReq(0)))
		s.fill(topic, id, 1, 1, 1)
		s.send("news in the other", v, inSession(sid, 4, fetchReq(0)))
		s.send("add a partition", v, inSession(sid, 5, fetchReq(0, fetchOf(topic, id, 2, 0))))
		s.send("forget one", v, inSession(sid, 6, forget(fetchReq(0), topic, id, 1)))
		s.fill(topic, id, 2, 1, 1)
		s.send("news in the added", v, inSession(sid, 7, fetchReq(0)))
		s.send("out of range", v, inSession(sid, 8, fetchReq(0, fetchOf(topic, id, 0, 99))))
		s.send("out of range still", v, inSession(sid, 9, fetchReq(0)))
		s.send("back in range", v, inSession(sid, 10, fetchReq(0, fetchOf(topic, id, 0, 2))))
		s.send("add an unknown partition", v, inSession(sid, 11, fetchReq(0, fetchOf(topic, id, 9, 0))))
		s.send("add an unknown topic", v, inSession(sid, 12, fetchReq(0, fetchOf("nobody", madeUp, 0, 0))))
		s.send("errors still", v, inSession(sid, 13, fetchReq(0)))
		s.send("forget and add the same", v, inSession(sid, 14, forget(fetchReq(0, fetchOf(topic, id, 0, 0)), topic, id, 0)))
		s.send("forget what is not there", v, inSession(sid, 15, forget(fetchReq(0), "stranger", madeUp, 3)))
		s.send("wrong epoch", v, inSession(sid, 99, fetchReq(0)))
		s.send("after the wrong epoch", v, inSession(sid, 16, fetchReq(0)))
		s.send("close", v, inSession(sid, -1, fetchReq(0)))
		s.send("closed", v, inSession(sid, 17, fetchReq(0)))
	}
}

func fetchSessionErrors(s *session) {
	topic := "session-errors"
	id := s.topic(topic, 2)
	s.fill(topic, id, 0, 1, 2)
	for _, v := range []int16{7, 12, 13} {
		s.send("unknown session", v, inSession(12345, 1, fetchReq(0)))
		s.send("unknown session, epoch 0", v, inSession(12345, 0, fetchReq(0, fetchOf(topic, id, 0, 0))))
		s.send("unknown session, epoch -1", v, inSession(12345, -1, fetchReq(0, fetchOf(topic, id, 0, 0))))
		s.send("no session, epoch 1", v, inSession(0, 1, fetchReq(0)))
		s.send("no session, epoch -2", v, inSession(0, -2, fetchReq(0)))
		s.send("session -1", v, inSession(-1, 1, fetchReq(0)))
		s.send("begin without partitions", v, inSession(0, 0, fetchReq(0)))
		s.send("begin with errors only", v, inSession(0, 0, fetchReq(0, fetchOf("nobody", madeUp, 0, 0))))
		one := s.begin("begin", v, fetchReq(0, fetchOf(topic, id, 0, 0)))
		s.send("begin anew", v, inSession(one, 0, fetchReq(0, fetchOf(topic, id, 0, 0))))
		s.send("the old one", v, inSession(one, 1, fetchReq(0)))
		two := s.begin("begin two", v, fetchReq(0, fetchOf(topic, id, 0, 0)))
		s.send("forget all", v, inSession(two, 1, forget(fetchReq(0), topic, id, 0)))
		s.send("after forgetting all", v, inSession(two, 2, fetchReq(0)))
		three := s.begin("begin three", v, fetchReq(0, fetchOf(topic, id, 0, 0)))
		s.send("forgotten in a full fetch", v, inSession(three, -1, forget(fetchReq(0, fetchOf(topic, id, 0, 0)), topic, id, 0)))
		four := s.begin("begin four, twice the same", v, fetchReq(0, fetchOf(topic, id, 0, 0), fetchOf(topic, id, 0, 1)))
		s.send("four goes on", v, inSession(four, 1, fetchReq(0)))
	}
	byName := s.begin("begin by name", 12, fetchReq(0, fetchOf(topic, id, 0, 0)))
	s.send("goes on by id", 13, inSession(byName, 1, fetchReq(0)))
	s.send("goes on by name", 12, inSession(byName, 1, fetchReq(0)))
	s.send("goes on by name, next", 12, inSession(byName, 2, fetchReq(0)))
	byID := s.begin("begin by id", 13, fetchReq(0, fetchOf(topic, id, 0, 0)))
	s.send("goes on by name", 12, inSession(byID, 1, fetchReq(0)))
	s.send("goes on by id", 13, inSession(byID, 1, fetchReq(0)))
	s.send("goes on by id, next", 13, inSession(byID, 2, fetchReq(0)))
}

func fetchWaits(s *session) {
	topic := "patient"
	id := s.topic(topic, 2)
	s.fill(topic, id, 0, 1, 2)
	waits := func(name string, req *kmsg.FetchRequest) { s.send(name, 12, req) }
	waits("nothing, 50 ms", fetchReq(50, fetchOf(topic, id, 1, 0)))
	waits("nothing, negative wait", fetchReq(-1, fetchOf(topic, id, 1, 0)))
	waits("nothing, least wait", fetchReq(math.MinInt32, fetchOf(topic, id, 1, 0)))
	waits("an error ends the wait", fetchReq(60_000, fetchOf(topic, id, 1, 0), fetchOf(topic, id, 7, 0)))
	waits("out of range ends the wait", fetchReq(60_000, fetchOf(topic, id, 1, 0), fetchOf(topic, id, 0, 9)))
	waits("data ends the wait", fetchReq(60_000, fetchOf(topic, id, 1, 0), fetchOf(topic, id, 0, 0)))
	none := fetchReq(60_000, fetchOf(topic, id, 1, 0))
	none.MinBytes = 0
	waits("min bytes 0 does not wait", none)
	none.MinBytes = -5
	waits("min bytes -5 does not wait", none)
	waits("no partitions do not wait", fetchReq(60_000))
	many := fetchReq(50, fetchOf(topic, id, 0, 0))
	many.MinBytes = 1 << 20
	waits("too few bytes", many)
	small := fetchReq(60_000, fetchOf(topic, id, 0, 0))
	small.MinBytes, small.MaxBytes = 1<<20, 10
	waits("min bytes above max bytes", withWait(small, 50))
}

func withWait(req *kmsg.FetchRequest, ms int32) *kmsg.FetchRequest {
	req.MaxWaitMillis = ms
	return req
}
