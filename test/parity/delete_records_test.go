package parity

import (
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var deleteRecordsScenarios = []scenario{
	{"delete-records", deleteRecords},
	{"delete-records-bad", deleteRecordsBad},
}

func deletePart(partition int32, offset int64) kmsg.DeleteRecordsRequestTopicPartition {
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	return p
}

func deleteOf(topic string, partitions ...kmsg.DeleteRecordsRequestTopicPartition) kmsg.DeleteRecordsRequestTopic {
	t := kmsg.NewDeleteRecordsRequestTopic()
	t.Topic, t.Partitions = topic, partitions
	return t
}

func deleteRecordsReq(topics ...kmsg.DeleteRecordsRequestTopic) *kmsg.DeleteRecordsRequest {
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis, req.Topics = 10_000, topics
	return req
}

// look shows where the partition begins and ends, by offset and by time, and what a fetch says around its start.
func (s *session) look(name, topic string, around ...int64) {
	for _, c := range []struct {
		name string
		ms   int64
	}{{"end", -1}, {"start", -2}, {"newest", -3}, {"any time", 0}, {"second", s.beganMs + 1}, {"sixth", s.beganMs + 1500}} {
		s.send(name+", "+c.name, 11, listReq(-1, listOf(topic, listPart(0, c.ms))))
	}
	for _, offset := range around {
		s.send(fmt.Sprintf("%s, fetch at %d", name, offset), 12, fetchReq(0, fetchOf(topic, [16]byte{}, 0, offset)))
	}
}

func deleteRecords(s *session) {
	for v := int16(0); v <= 2; v++ {
		topic := fmt.Sprintf("shortened-%d", v)
		id := s.topic(topic, 1)
		for i := range int64(3) {
			b := plain(s.beganMs+1000*i, 3).record(1, func(r *kmsg.Record) { r.TimestampDelta64 = 700 }).record(2, func(r *kmsg.Record) { r.TimestampDelta64 = 500 })
			s.quiet(13, produceReq(-1, topic, id, 0, b.bytes()))
		}
		s.send("nothing", v, deleteRecordsReq(deleteOf(topic, deletePart(0, 0))))
		s.look("before", topic)
		s.send("inside a batch", v, deleteRecordsReq(deleteOf(topic, deletePart(0, 2))))
		s.look("inside a batch", topic, 1, 2, 3)
		s.send("less again", v, deleteRecordsReq(deleteOf(topic, deletePart(0, 1))))
		s.send("a batch's end", v, deleteRecordsReq(deleteOf(topic, deletePart(0, 6))))
		s.look("a batch's end", topic, 5, 6)
		for _, offset := range []int64{10, 1 << 40, math.MaxInt64, -2, math.MinInt64} {
			s.send(fmt.Sprintf("before %d", offset), v, deleteRecordsReq(deleteOf(topic, deletePart(0, offset))))
		}
		s.send("all", v, deleteRecordsReq(deleteOf(topic, deletePart(0, -1))))
		s.look("all", topic, 8, 9, 10)
		s.send("all again", v, deleteRecordsReq(deleteOf(topic, deletePart(0, 9))))
		s.quiet(13, produceReq(-1, topic, id, 0, plain(s.beganMs, 2).bytes()))
		s.look("and on", topic, 9, 10)
	}
}

func deleteRecordsBad(s *session) {
	s.topic("short-compacted", 1, "cleanup.policy", "compact")
	s.topic("short-both", 1, "cleanup.policy", "compact,delete")
	s.topic("short-kept", 1, "cleanup.policy", "")
	s.topic("short-bad", 2)
	for v := int16(0); v <= 2; v++ {
		s.send("compacted", v, deleteRecordsReq(deleteOf("short-compacted", deletePart(0, -1))))
		s.send("compacted, out of range", v, deleteRecordsReq(deleteOf("short-compacted", deletePart(0, 5))))
		s.send("compacted and deleted", v, deleteRecordsReq(deleteOf("short-both", deletePart(0, -1))))
		s.send("no policy", v, deleteRecordsReq(deleteOf("short-kept", deletePart(0, -1))))
		s.send("unknown topic", v, deleteRecordsReq(deleteOf("nobody", deletePart(0, -1))))
		s.send("bad name", v, deleteRecordsReq(deleteOf("a b", deletePart(0, -1))))
		s.send("empty name", v, deleteRecordsReq(deleteOf("", deletePart(0, -1))))
		s.send("internal", v, deleteRecordsReq(deleteOf("__cluster_metadata", deletePart(0, -1))))
		s.send("unknown partition", v, deleteRecordsReq(deleteOf("short-bad", deletePart(2, -1))))
		s.send("partition -1", v, deleteRecordsReq(deleteOf("short-bad", deletePart(-1, -1))))
		s.send("none", v, deleteRecordsReq())
		s.send("no partitions", v, deleteRecordsReq(deleteOf("short-bad")))
		s.send("twice", v, deleteRecordsReq(deleteOf("short-bad", deletePart(0, 5), deletePart(0, 0))))
		s.send("twice, the last is bad", v, deleteRecordsReq(deleteOf("short-bad", deletePart(0, 0), deletePart(0, 5))))
		s.send("topic twice", v, deleteRecordsReq(deleteOf("short-bad", deletePart(0, 0)), deleteOf("short-bad", deletePart(0, 5))))
		for _, timeout := range []int32{0, -1, math.MinInt32} {
			req := deleteRecordsReq(deleteOf("short-bad", deletePart(0, 0)))
			req.TimeoutMillis = timeout
			s.send(fmt.Sprintf("timeout %d", timeout), v, req)
		}
	}
}
