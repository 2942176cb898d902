package parity

import (
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var offsetScenarios = []scenario{
	{"list-offsets", listOffsets},
	{"list-offsets-bad", listOffsetsBad},
	{"offset-for-leader-epoch", offsetForLeaderEpoch},
}

func listPart(partition int32, timestamp int64) kmsg.ListOffsetsRequestTopicPartition {
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp, p.CurrentLeaderEpoch = partition, timestamp, -1
	return p
}

func listOf(topic string, partitions ...kmsg.ListOffsetsRequestTopicPartition) kmsg.ListOffsetsRequestTopic {
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic, t.Partitions = topic, partitions
	return t
}

func listReq(replica int32, topics ...kmsg.ListOffsetsRequestTopic) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID, req.TimeoutMillis, req.Topics = replica, 10_000, topics
	return req
}

func listOffsets(s *session) {
	id := s.topic("listed", 2)
	for i := range int64(3) {
		b := plain(s.beganMs+1000*i, 3).record(1, func(r *kmsg.Record) { r.TimestampDelta64 = 700 }).record(2, func(r *kmsg.Record) { r.TimestampDelta64 = 500 })
		s.quiet(13, produceReq(-1, "listed", id, 0, b.bytes()))
	}
	times := []struct {
		name string
		ms   int64
	}{{"latest", -1}, {"earliest", -2}, {"max timestamp", -3}, {"local", -4}, {"tiered", -5}, {"pending", -6}, {"-7", -7}, {"least", math.MinInt64}, {"0", 0}, {"first", s.beganMs}, {"second", s.beganMs + 1},
		{"between", s.beganMs + 701}, {"700", s.beganMs + 700}, {"a batch later", s.beganMs + 1000}, {"last", s.beganMs + 2700}, {"too late", s.beganMs + 2701}, {"end of time", math.MaxInt64}}
	for v := int16(1); v <= 11; v++ {
		for _, c := range times {
			s.send(c.name, v, listReq(-1, listOf("listed", listPart(0, c.ms))))
			if c.ms < 0 {
				s.send(c.name+", empty log", v, listReq(-1, listOf("listed", listPart(1, c.ms))))
			}
		}
		if v < 2 {
			continue
		}
		for _, level := range []int8{1, 2, -1} {
			req := listReq(-1, listOf("listed", listPart(0, -1), listPart(1, -2)), listOf("nobody", listPart(0, -1)))
			req.IsolationLevel = level
			s.send(fmt.Sprintf("isolation level %d", level), v, req)
		}
	}
	zip := s.topic("listed-zipped", 1)
	for i := range int64(2) {
		b := plain(s.beganMs+1000*i, 3).record(1, func(r *kmsg.Record) { r.TimestampDelta64 = 700 }).record(2, func(r *kmsg.Record) { r.TimestampDelta64 = 500 }).compressed(codecGzip)
		s.quiet(13, produceReq(-1, "listed-zipped", zip, 0, b.bytes()))
	}
	for _, c := range times {
		s.send(c.name+", compressed", 11, listReq(-1, listOf("listed-zipped", listPart(0, c.ms))))
	}
	stamped := s.topic("listed-stamped", 1, "message.timestamp.type", "LogAppendTime")
	s.quiet(13, produceReq(-1, "listed-stamped", stamped, 0, plain(5, 3).bytes()))
	for _, ms := range []int64{-1, -2, -3, 5, 1} {
		s.send(fmt.Sprintf("%d, log append time", ms), 11, listReq(-1, listOf("listed-stamped", listPart(0, ms))))
	}
	none := s.topic("listed-untimed", 1)
	s.quiet(13, produceReq(-1, "listed-untimed", none, 0, plain(-1, 3).bytes()))
	for _, ms := range []int64{-1, -2, -3, 0, 1} {
		s.send(fmt.Sprintf("%d, no timestamps", ms), 11, listReq(-1, listOf("listed-untimed", listPart(0, ms))))
	}
}

func listOffsetsBad(s *session) {
	s.topic("listed-bad", 2)
	for _, v := range []int16{1, 4, 6, 7, 10, 11} {
		s.send("unknown topic", v, listReq(-1, listOf("nobody", listPart(0, -1), listPart(1, 0))))
		s.send("bad name", v, listReq(-1, listOf("a b", listPart(0, -1)), listOf("", listPart(0, -1))))
		s.send("unknown partition", v, listReq(-1, listOf("listed-bad", listPart(2, -1), listPart(-1, -1), listPart(0, -1))))
		s.send("none", v, listReq(-1))
		s.send("no partitions", v, listReq(-1, listOf("listed-bad")))
		s.send("twice", v, listReq(-1, listOf("listed-bad", listPart(0, -1), listPart(0, -2))))
		s.send("twice, and another", v, listReq(-1, listOf("listed-bad", listPart(1, -1), listPart(0, -1), listPart(0, -2), listPart(0, -2))))
		s.send("twice in two topics", v, listReq(-1, listOf("listed-bad", listPart(0, -1)), listOf("nobody", listPart(0, -1)), listOf("listed-bad", listPart(0, -1), listPart(1, -1))))
		s.send("topic twice", v, listReq(-1, listOf("listed-bad", listPart(0, -1)), listOf("nobody", listPart(0, -1)), listOf("listed-bad", listPart(1, -1))))
		s.send("unknown twice", v, listReq(-1, listOf("nobody", listPart(0, -1), listPart(0, -1))))
		if v >= 4 {
			for _, epoch := range []int32{0, 1, 9, -2, math.MinInt32} {
				p := listPart(0, -1)
				p.CurrentLeaderEpoch = epoch
				s.send(fmt.Sprintf("current epoch %d", epoch), v, listReq(-1, listOf("listed-bad", p)))
			}
		}
		for _, timeout := range []int32{0, -1, math.MinInt32} {
			req := listReq(-1, listOf("listed-bad", listPart(0, -1), listPart(1, 0)))
			req.TimeoutMillis = timeout
			s.send(fmt.Sprintf("timeout %d", timeout), v, req)
		}
		s.send("unknown timestamp of an unknown topic", v, listReq(-1, listOf("nobody", listPart(0, -9))))
		s.send("replica -2", v, listReq(-2, listOf("listed-bad", listPart(0, -1))))
	}
}

func epochPart(partition, current, epoch int32) kmsg.OffsetForLeaderEpochRequestTopicPartition {
	p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = partition, current, epoch
	return p
}

func epochOf(topic string, partition, current, epoch int32) kmsg.OffsetForLeaderEpochRequestTopic {
	t := kmsg.NewOffsetForLeaderEpochRequestTopic()
	t.Topic, t.Partitions = topic, []kmsg.OffsetForLeaderEpochRequestTopicPartition{epochPart(partition, current, epoch)}
	return t
}

func epochReq(topics ...kmsg.OffsetForLeaderEpochRequestTopic) *kmsg.OffsetForLeaderEpochRequest {
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.ReplicaID, req.Topics = -1, topics
	return req
}

func offsetForLeaderEpoch(s *session) {
	id := s.topic("epoch-end", 2)
	s.fill("epoch-end", id, 0, 2, 5)
	for v := int16(2); v <= 4; v++ {
		for _, epoch := range []int32{-1, 0, 1, 7, -2, math.MinInt32, math.MaxInt32} {
			for p := range int32(2) {
				s.send(fmt.Sprintf("epoch %d of partition %d", epoch, p), v, epochReq(epochOf("epoch-end", p, -1, epoch)))
				s.send(fmt.Sprintf("current epoch %d of partition %d", epoch, p), v, epochReq(epochOf("epoch-end", p, epoch, 0)))
			}
		}
		s.send("unknown", v, epochReq(epochOf("nobody", 0, -1, 0), epochOf("epoch-end", 5, -1, 0), epochOf("epoch-end", -1, -1, 0), epochOf("a b", 0, 0, 0)))
		s.send("none", v, epochReq())
		s.send("topic twice", v, epochReq(epochOf("epoch-end", 0, -1, 0), epochOf("nobody", 0, -1, 0), epochOf("epoch-end", 0, -1, 0), epochOf("epoch-end", 1, -1, 0)))
		two := epochOf("epoch-end", 0, -1, 0)
		two.Partitions = append(two.Partitions, two.Partitions[0], epochPart(1, -1, 0))
		s.send("partition twice", v, epochReq(two))
	}
	for _, replica := range []int32{-2, 0, 1, 7} {
		req := epochReq(epochOf("epoch-end", 0, -1, 0))
		req.ReplicaID = replica
		s.send(fmt.Sprintf("replica %d", replica), 4, req)
	}
}
