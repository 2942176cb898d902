package parity

import (
	"encoding/binary"
	"fmt"
	"math"
	"regexp"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var produceScenarios = []scenario{
	{"produce", produceGood},
	{"produce-targets", produceTargets},
	{"produce-batches", produceBatches},
	{"produce-records", produceRecords},
	{"produce-records-strict", produceRecordsStrict},
	{"produce-codecs", produceCodecs},
	{"produce-codecs-strict", produceCodecsStrict},
	{"produce-recompressed", produceRecompressed},
	{"produce-timestamps", produceTimestamps},
	{"produce-compacted", produceCompacted},
	{"produce-sizes", produceSizes},
	{"produce-idempotent", produceIdempotent},
	{"produce-transactional", produceTransactional},
	{"produce-acks", produceAcks},
	{"init-producer-id", initProducerID},
}

// produceReq is a Produce request of one partition; it names the topic by name and by id, of which the version takes one.
func produceReq(acks int16, topic string, id [16]byte, partition int32, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = acks, 10_000
	return andProduce(req, topic, id, partition, records)
}

func andProduce(req *kmsg.ProduceRequest, topic string, id [16]byte, partition int32, records []byte) *kmsg.ProduceRequest {
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, records
	if n := len(req.Topics); n > 0 && req.Topics[n-1].Topic == topic && req.Topics[n-1].TopicID == id {
		req.Topics[n-1].Partitions = append(req.Topics[n-1].Partitions, p)
		return req
	}
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID, t.Partitions = topic, id, []kmsg.ProduceRequestTopicPartition{p}
	req.Topics = append(req.Topics, t)
	return req
}

// produceVersions are those at which the answer's layout or rules change.
var produceVersions = []int16{3, 7, 8, 9, 10, 12, 13}

func produceGood(s *session) {
	id := s.topic("written", 2)
	for v := int16(3); v <= 13; v++ {
		req := produceReq(-1, "written", id, 0, plain(s.beganMs, 3).bytes())
		andProduce(req, "written", id, 1, plain(s.beganMs, 1).bytes())
		s.send("two partitions", v, req)
	}
	s.send("nothing", 9, kmsg.NewPtrProduceRequest())
	empty := kmsg.NewPtrProduceRequest()
	empty.Acks = -1
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID = "written", id
	empty.Topics = append(empty.Topics, t)
	s.send("no partitions", 9, empty)
	stamped := s.topic("stamped", 1, "message.timestamp.type", "LogAppendTime")
	for _, v := range produceVersions {
		s.send("log append time", v, produceReq(-1, "stamped", stamped, 0, plain(s.beganMs, 2).bytes()))
	}
	s.send("log append time, compressed", 9, produceReq(-1, "stamped", stamped, 0, plain(s.beganMs, 2).compressed(codecGzip).bytes()))
	s.send("log append time, timestamp far off", 9, produceReq(-1, "stamped", stamped, 0, plain(1, 2).bytes()))
	s.send("log append time, as an attribute", 9, produceReq(-1, "written", id, 0, plain(s.beganMs, 2).with(func(b *kmsg.RecordBatch) { b.Attributes |= 8 }).bytes()))
	s.send("reserved attributes", 9, produceReq(-1, "written", id, 0, plain(s.beganMs, 2).with(func(b *kmsg.RecordBatch) { b.Attributes |= 0x700 }).bytes()))
	s.send("delete horizon", 9, produceReq(-1, "written", id, 0, plain(s.beganMs, 2).with(func(b *kmsg.RecordBatch) { b.Attributes |= 0x40 }).bytes()))
	s.send("base offset and epoch set", 9, produceReq(-1, "written", id, 0, plain(s.beganMs, 2).with(func(b *kmsg.RecordBatch) { b.FirstOffset, b.PartitionLeaderEpoch = 77, 5 }).bytes()))
}

func produceTargets(s *session) {
	id, other := s.topic("target", 1), s.topic("target-two", 1)
	good := plain(s.beganMs, 1).bytes()
	for _, v := range produceVersions {
		s.send("unknown topic", v, produceReq(-1, "nobody", madeUp, 0, good))
		s.send("unknown partition", v, produceReq(-1, "target", id, 1, good))
		s.send("negative partition", v, produceReq(-1, "target", id, -1, good))
		s.send("bad name, zero id", v, produceReq(-1, "a b", [16]byte{}, 0, good))
		s.send("empty name, zero id", v, produceReq(-1, "", [16]byte{}, 0, good))
		mixed := produceReq(-1, "target", id, 0, good)
		andProduce(mixed, "nobody", madeUp, 0, good)
		andProduce(mixed, "target-two", other, 0, good)
		andProduce(mixed, "target-two", other, 5, good)
		s.send("good and bad", v, mixed)
	}
	for _, name := range []string{"__consumer_offsets", "__transaction_state", "__cluster_metadata"} {
		s.send("internal "+name, 9, produceReq(-1, name, madeUp, 0, good))
	}
	wide := s.topic("target-wide", 2)
	split := produceReq(-1, "target-wide", wide, 0, good)
	andProduce(split, "nobody", madeUp, 0, good)
	andProduce(split, "target-wide", wide, 1, good)
	s.send("topic twice", 9, split)
	twice := produceReq(-1, "target", id, 0, good)
	andProduce(twice, "target", id, 0, plain(s.beganMs, 2).bytes())
	s.send("partition twice", 9, twice)
}

func produceBatches(s *session) {
	id := s.topic("batches", 1)
	good := plain(s.beganMs, 2)
	be := binary.BigEndian
	cases := []struct {
		name    string
		records []byte
	}{
		{"null", nil},
		{"empty", []byte{}},
		{"one byte", []byte{0}},
		{"60 bytes", good.bytes()[:60]},
		{"header only", good.bytes()[:61]},
		{"cut by a byte", good.bytes()[:len(good.bytes())-1]},
		{"a byte more", append(good.bytes(), 0)},
		{"20 bytes more", append(good.bytes(), make([]byte, 20)...)},
		{"two batches", append(good.bytes(), good.bytes()...)},
		{"CRC", good.spoilt(func(b []byte) []byte { b[17] ^= 1; return b }).bytes()},
		{"flipped bit in a record", good.spoilt(func(b []byte) []byte { b[len(b)-2] ^= 1; return b }).bytes()},
		{"length -1", good.spoilt(func(b []byte) []byte { be.PutUint32(b[8:], math.MaxUint32); return b }).bytes()},
		{"length 0", good.spoilt(func(b []byte) []byte { be.PutUint32(b[8:], 0); return b }).bytes()},
		{"length 48", good.spoilt(func(b []byte) []byte { be.PutUint32(b[8:], 48); return b }).bytes()},
		{"length 1 less", good.spoilt(func(b []byte) []byte { be.PutUint32(b[8:], be.Uint32(b[8:])-1); return b }).bytes()},
		{"length 1 more", good.spoilt(func(b []byte) []byte { be.PutUint32(b[8:], be.Uint32(b[8:])+1); return b }).bytes()},
		{"length 2^31-1", good.spoilt(func(b []byte) []byte { be.PutUint32(b[8:], math.MaxInt32); return b }).bytes()},
		{"magic 0", messageSet(0)},
		{"magic 1", messageSet(1)},
		{"magic 0 in a batch", good.spoilt(func(b []byte) []byte { b[16] = 0; return b }).bytes()},
		{"magic 1 in a batch", good.spoilt(func(b []byte) []byte { b[16] = 1; return b }).bytes()},
		{"magic 3", good.spoilt(func(b []byte) []byte { b[16] = 3; return b }).bytes()},
		{"magic -1", good.spoilt(func(b []byte) []byte { b[16] = 0xff; return b }).bytes()},
		{"magic 2 and magic 1", append(good.bytes(), messageSet(1)...)},
		{"control", good.with(func(b *kmsg.RecordBatch) { b.Attributes |= 0x20 }).bytes()},
		{"control with a marker's key", plain(s.beganMs, 1).record(0, func(r *kmsg.Record) { r.Key, r.Value = []byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 0} }).with(func(b *kmsg.RecordBatch) { b.Attributes |= 0x20 }).bytes()},
		{"no records", batch{timeMs: s.beganMs}.bytes()},
		{"no records, delta 0", batch{timeMs: s.beganMs}.with(func(b *kmsg.RecordBatch) { b.LastOffsetDelta = 0 }).bytes()},
		{"codec 5", good.with(func(b *kmsg.RecordBatch) { b.Attributes |= 5 }).bytes()},
		{"codec 7", good.with(func(b *kmsg.RecordBatch) { b.Attributes |= 7 }).bytes()},
		{"base offset", good.with(func(b *kmsg.RecordBatch) { b.FirstOffset = 5 }).bytes()},
		{"base offset negative", good.with(func(b *kmsg.RecordBatch) { b.FirstOffset = -5 }).bytes()},
		{"epoch negative", good.with(func(b *kmsg.RecordBatch) { b.PartitionLeaderEpoch = -5 }).bytes()},
	}
	for _, v := range []int16{3, 7, 8, 13} {
		for _, c := range cases {
			s.send(c.name, v, produceReq(-1, "batches", id, 0, c.records))
		}
	}
	s.send("the end", 6, listReq(-1, listOf("batches", listPart(0, -1))))
}

func produceRecords(s *session) {
	id := s.topic("records", 1)
	good := plain(s.beganMs, 3)
	set := func(change func(*kmsg.RecordBatch)) batch { return good.with(change) }
	raw := s.rawRecords
	cases := []struct {
		name string
		b    batch
	}{
		{"good", good},
		{"count 1 more", set(func(b *kmsg.RecordBatch) { b.NumRecords++ })},
		{"count 1 less", set(func(b *kmsg.RecordBatch) { b.NumRecords-- })},
		{"count and delta 1 more", set(func(b *kmsg.RecordBatch) { b.NumRecords++; b.LastOffsetDelta++ })},
		{"count and delta 1 less", set(func(b *kmsg.RecordBatch) { b.NumRecords--; b.LastOffsetDelta-- })},
		{"count 0", set(func(b *kmsg.RecordBatch) { b.NumRecords = 0 })},
		{"count -1", set(func(b *kmsg.RecordBatch) { b.NumRecords = -1 })},
		{"count 2^31-1", set(func(b *kmsg.RecordBatch) { b.NumRecords = math.MaxInt32 })},
		{"count and delta 2^31-1", set(func(b *kmsg.RecordBatch) { b.NumRecords = math.MaxInt32; b.LastOffsetDelta = math.MaxInt32 - 1 })},
		{"delta 1 more", set(func(b *kmsg.RecordBatch) { b.LastOffsetDelta++ })},
		{"delta 0", set(func(b *kmsg.RecordBatch) { b.LastOffsetDelta = 0 })},
		{"delta -1", set(func(b *kmsg.RecordBatch) { b.LastOffsetDelta = -1 })},
		{"record attributes", good.record(0, func(r *kmsg.Record) { r.Attributes = 0x7f })},
		{"null key, null value", good.record(1, func(r *kmsg.Record) { r.Key, r.Value = nil, nil })},
		{"headers", good.record(1, func(r *kmsg.Record) { r.Headers = []kmsg.Header{{Key: "a", Value: []byte("b")}, {Key: "a"}, {Key: ""}} })},
		{"garbage", raw("\x7f\x7f\x7f", 1)},
		{"record of length -1", raw("\x01\x00\x00\x00\x01\x01\x00", 1)},
		{"record of length 0", raw("\x00", 1)},
		{"record too short", raw("\x04\x00\x00", 1)},
		{"record longer than the batch", raw("\x7e\x00\x00\x00\x01\x01\x00", 1)},
		{"bytes behind the headers", raw("\x0e\x00\x00\x00\x01\x01\x00\x00", 1)},
		{"key longer than the record", raw("\x0c\x00\x00\x00\x70\x01\x00", 1)},
		{"headers -1", raw("\x0c\x00\x00\x00\x01\x01\x01", 1)},
		{"headers too many", raw("\x0c\x00\x00\x00\x01\x01\x7e", 1)},
		{"header with a null key", raw("\x10\x00\x00\x00\x01\x01\x02\x01\x01", 1)},
		{"bytes behind the records", raw("\x0c\x00\x00\x00\x01\x01\x00zzz", 1)},
		{"max timestamp too low", good.record(1, func(r *kmsg.Record) { r.TimestampDelta64 = 100 }).with(func(b *kmsg.RecordBatch) { b.MaxTimestamp = b.FirstTimestamp })},
		{"max timestamp too high", set(func(b *kmsg.RecordBatch) { b.MaxTimestamp += 100 })},
	}
	for _, v := range []int16{7, 8} {
		for _, c := range cases {
			s.send(c.name, v, produceReq(-1, "records", id, 0, c.b.bytes()))
		}
	}
	s.send("the end", 6, listReq(-1, listOf("records", listPart(0, -1), listPart(0, -3))))
}

// rawRecords is a batch of anything.
func (s *session) rawRecords(records string, n int32) batch {
	return batch{timeMs: s.beganMs}.with(func(b *kmsg.RecordBatch) { b.Records, b.NumRecords, b.LastOffsetDelta = []byte(records), n, n-1 })
}

// produceRecordsStrict is what Ottla refuses and Kafka takes, or fails on.
func produceRecordsStrict(s *session) {
	id := s.topic("records-strict", 1)
	good, raw := plain(s.beganMs, 3), s.rawRecords
	for _, c := range []struct {
		name string
		b    batch
	}{
		{"gap in deltas", good.record(2, func(r *kmsg.Record) { r.OffsetDelta = 4 })},
		{"deltas from 1", good.record(0, func(r *kmsg.Record) { r.OffsetDelta = 1 })},
		{"delta twice", good.record(2, func(r *kmsg.Record) { r.OffsetDelta = 1 })},
		{"deltas fall", good.record(1, func(r *kmsg.Record) { r.OffsetDelta = 2 }).record(2, func(r *kmsg.Record) { r.OffsetDelta = 1 })},
		{"delta negative", good.record(0, func(r *kmsg.Record) { r.OffsetDelta = -1 })},
		{"key of length -2", raw("\x0c\x00\x00\x00\x03\x01\x00", 1)},
		{"value of length -2", raw("\x0c\x00\x00\x00\x01\x03\x00", 1)},
		{"header value of length -2", raw("\x10\x00\x00\x00\x01\x01\x02\x00\x03", 1)},
		{"varint too long", raw("\xff\xff\xff\xff\xff\xff\x01\x00", 1)},
	} {
		s.send(c.name, 8, produceReq(-1, "records-strict", id, 0, c.b.bytes()))
	}
}

func produceCodecs(s *session) {
	id := s.topic("codecs", 1)
	for _, codec := range []int16{codecGzip, codecSnappy, codecLZ4, codecZstd} {
		for _, v := range []int16{3, 6, 7, 8, 13} {
			s.send(fmt.Sprintf("codec %d", codec), v, produceReq(-1, "codecs", id, 0, plain(s.beganMs, 5).compressed(codec).bytes()))
		}
	}
	s.send("zstd in v3, other partition good", 3, andProduce(produceReq(-1, "codecs", id, 0, plain(s.beganMs, 1).compressed(codecZstd).bytes()), "codecs", id, 1, plain(s.beganMs, 1).bytes()))
}

// produceCodecsStrict is what Kafka finds when it opens compressed batches.
func produceCodecsStrict(s *session) {
	id := s.topic("codecs-strict", 1)
	for _, codec := range []int16{codecGzip, codecSnappy, codecLZ4, codecZstd} {
		garbage := plain(s.beganMs, 2).with(func(b *kmsg.RecordBatch) { b.Attributes, b.Records = codec, []byte("this is not compressed at all") })
		s.send(fmt.Sprintf("codec %d garbage", codec), 8, produceReq(-1, "codecs-strict", id, 0, garbage.bytes()))
		nothing := plain(s.beganMs, 2).with(func(b *kmsg.RecordBatch) { b.Attributes, b.Records = codec, nil })
		s.send(fmt.Sprintf("codec %d nothing", codec), 8, produceReq(-1, "codecs-strict", id, 0, nothing.bytes()))
		gap := plain(s.beganMs, 2).record(1, func(r *kmsg.Record) { r.OffsetDelta = 3 }).compressed(codec)
		s.send(fmt.Sprintf("codec %d gap", codec), 8, produceReq(-1, "codecs-strict", id, 0, gap.bytes()))
		more := plain(s.beganMs, 2).compressed(codec).with(func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 3, 2 })
		s.send(fmt.Sprintf("codec %d count 1 more", codec), 8, produceReq(-1, "codecs-strict", id, 0, more.bytes()))
	}
}

// produceRecompressed is what a topic with a codec of its own stores.
func produceRecompressed(s *session) {
	codecs := []int16{0, codecGzip, codecSnappy, codecLZ4, codecZstd}
	for i, name := range []string{"uncompressed", "gzip", "snappy", "lz4", "zstd"} {
		topic := "own-" + name
		id := s.topic(topic, 1, "compression.type", name)
		for _, codec := range codecs {
			s.send(fmt.Sprintf("%s, codec %d", name, codec), 13, produceReq(-1, topic, id, 0, plain(s.beganMs, 5).compressed(codec).bytes()))
			s.send(fmt.Sprintf("%s, codec %d, idempotent", name, codec), 13, produceReq(-1, topic, id, 0, plain(s.beganMs, 2).idempotent(7000+int64(i), 0, 2*int32(codec)).compressed(codec).bytes()))
			s.send(fmt.Sprintf("%s, codec %d again", name, codec), 13, produceReq(-1, topic, id, 0, plain(s.beganMs, 2).idempotent(7000+int64(i), 0, 2*int32(codec)).compressed(codec).bytes()))
		}
		s.stored(name+", stored", id)
		stamped := s.topic("stamped-"+name, 1, "compression.type", name, "message.timestamp.type", "LogAppendTime")
		s.send(name+", log append time", 13, produceReq(-1, "stamped-"+name, stamped, 0, plain(s.beganMs-1000, 5).compressed(codecLZ4).bytes()))
		s.stored(name+", log append time, stored", stamped)
		for _, codec := range codecs[1:] {
			garbage := plain(s.beganMs, 2).with(func(b *kmsg.RecordBatch) { b.Attributes, b.Records = codec, []byte("this is not compressed at all") })
			s.send(fmt.Sprintf("%s, codec %d garbage", name, codec), 8, produceReq(-1, topic, id, 0, garbage.bytes()))
			late := plain(s.beganMs, 2).record(1, func(r *kmsg.Record) { r.TimestampDelta64 = 7_200_000 })
			s.send(fmt.Sprintf("%s, codec %d, a record too late", name, codec), 8, produceReq(-1, topic, id, 0, late.compressed(codec).bytes()))
		}
		compacted := s.topic("own-compacted-"+name, 1, "compression.type", name, "cleanup.policy", "compact")
		s.send(name+", no key", 8, produceReq(-1, "own-compacted-"+name, compacted, 0, plain(s.beganMs, 2).record(1, func(r *kmsg.Record) { r.Key = nil }).compressed(codecLZ4).bytes()))
	}
	small := s.topic("own-small", 1, "compression.type", "uncompressed", "max.message.bytes", "500")
	swells := plain(s.beganMs, 1).record(0, func(r *kmsg.Record) { r.Value = make([]byte, 5000) }).compressed(codecGzip)
	for _, v := range []int16{7, 8, 13} {
		s.send("larger uncompressed", v, produceReq(-1, "own-small", small, 0, swells.bytes()))
	}
	shrinks := s.topic("own-shrinks", 1, "compression.type", "gzip", "max.message.bytes", "500")
	s.send("smaller compressed", 13, produceReq(-1, "own-shrinks", shrinks, 0, plain(s.beganMs, 1).record(0, func(r *kmsg.Record) { r.Value = make([]byte, 5000) }).bytes()))
}

var batchSize = regexp.MustCompile(` of \d+ bytes`)

// stored notes how the batches of a topic are stored, but for their sizes: encoders differ.
func (s *session) stored(name string, id [16]byte) {
	resp := s.quiet(13, fetchReq(0, fetchOf("", id, 0, 0))).(*kmsg.FetchResponse)
	s.note(name, batchSize.ReplaceAllString(s.batches(resp.Topics[0].Partitions[0].RecordBatches), ""))
}

func produceTimestamps(s *session) {
	id := s.topic("timed", 1)
	window := s.topic("window", 1, "message.timestamp.before.max.ms", "60000", "message.timestamp.after.max.ms", "60000")
	hour := int64(3_600_000)
	for _, v := range []int16{7, 8} {
		for _, c := range []struct {
			name string
			ms   int64
		}{{"now", s.beganMs}, {"0", 0}, {"-1", -1}, {"-2", -2}, {"in two hours", s.beganMs + 2*hour}, {"in half an hour", s.beganMs + hour/2}, {"two hours ago", s.beganMs - 2*hour}, {"end of time", math.MaxInt64}} {
			s.send("open topic "+c.name, v, produceReq(-1, "timed", id, 0, plain(c.ms, 2).bytes()))
			s.send("window topic "+c.name, v, produceReq(-1, "window", window, 0, plain(c.ms, 2).bytes()))
		}
		second := plain(s.beganMs, 3).record(1, func(r *kmsg.Record) { r.TimestampDelta64 = 2 * hour })
		s.send("second record in two hours", v, produceReq(-1, "timed", id, 0, second.bytes()))
		s.send("second record in two hours, compressed", v, produceReq(-1, "timed", id, 0, second.compressed(codecGzip).bytes()))
		both := second.record(2, func(r *kmsg.Record) { r.TimestampDelta64 = -2 * hour })
		s.send("two records outside", v, produceReq(-1, "window", window, 0, both.bytes()))
		back := plain(s.beganMs, 2).record(1, func(r *kmsg.Record) { r.TimestampDelta64 = -5 })
		s.send("time falls", v, produceReq(-1, "timed", id, 0, back.bytes()))
		s.send("negative in a record", v, produceReq(-1, "timed", id, 0, plain(1, 2).record(1, func(r *kmsg.Record) { r.TimestampDelta64 = -9 }).bytes()))
	}
}

func produceCompacted(s *session) {
	id := s.topic("compacted", 1, "cleanup.policy", "compact")
	both := s.topic("compacted-deleted", 1, "cleanup.policy", "compact,delete")
	for _, v := range []int16{7, 8} {
		for _, codec := range []int16{0, codecGzip} {
			name := func(what string) string { return fmt.Sprintf("%s, codec %d", what, codec) }
			noKey := plain(s.beganMs, 4).record(1, func(r *kmsg.Record) { r.Key = nil }).record(3, func(r *kmsg.Record) { r.Key = nil }).compressed(codec)
			s.send(name("null keys"), v, produceReq(-1, "compacted", id, 0, noKey.bytes()))
			s.send(name("null keys, compact,delete"), v, produceReq(-1, "compacted-deleted", both, 0, noKey.bytes()))
			s.send(name("all keys"), v, produceReq(-1, "compacted", id, 0, plain(s.beganMs, 4).compressed(codec).bytes()))
			s.send(name("empty key"), v, produceReq(-1, "compacted", id, 0, plain(s.beganMs, 1).record(0, func(r *kmsg.Record) { r.Key = []byte{} }).compressed(codec).bytes()))
			s.send(name("null value"), v, produceReq(-1, "compacted", id, 0, plain(s.beganMs, 1).record(0, func(r *kmsg.Record) { r.Value = nil }).compressed(codec).bytes()))
			early := plain(s.beganMs, 3).record(0, func(r *kmsg.Record) { r.Key = nil }).record(2, func(r *kmsg.Record) { r.TimestampDelta64 = 7_200_000 }).compressed(codec)
			s.send(name("null key and a bad timestamp"), v, produceReq(-1, "compacted", id, 0, early.bytes()))
		}
	}
}

func produceSizes(s *session) {
	id := s.topic("small", 1, "max.message.bytes", "500")
	of := func(n int) batch {
		return plain(s.beganMs, 1).record(0, func(r *kmsg.Record) { r.Value = make([]byte, n) })
	}
	for _, v := range []int16{7, 8, 13} {
		s.send("fits", v, produceReq(-1, "small", id, 0, of(400).bytes()))
		exact := 500 - len(of(400).bytes()) + 400
		s.send("fits to a byte", v, produceReq(-1, "small", id, 0, of(exact).bytes()))
		s.send("a byte too large", v, produceReq(-1, "small", id, 0, of(exact+1).bytes()))
		s.send("too large", v, produceReq(-1, "small", id, 0, of(5000).bytes()))
		s.send("too large and of bad CRC", v, produceReq(-1, "small", id, 0, of(5000).spoilt(func(b []byte) []byte { b[20] ^= 1; return b }).bytes()))
		s.send("fits as compressed", v, produceReq(-1, "small", id, 0, of(5000).compressed(codecGzip).bytes()))
	}
	zero := s.topic("tiny", 1, "max.message.bytes", "0")
	s.send("a limit of 0", 9, produceReq(-1, "tiny", zero, 0, of(1).bytes()))
	large := s.topic("large", 1)
	s.send("1 MiB", 9, produceReq(-1, "large", large, 0, of(1<<20).bytes()))
	s.send("2 MiB", 9, produceReq(-1, "large", large, 0, of(2<<20).bytes()))
}

func (s *session) newProducer() int64 {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.ProducerID, req.ProducerEpoch = -1, -1
	id := int64(-1)
	s.waitFor("producer id", func() bool { // Kafka answers COORDINATOR_LOAD_IN_PROGRESS while it has no block of ids
		resp := s.quiet(4, req).(*kmsg.InitProducerIDResponse)
		id = resp.ProducerID
		return resp.ErrorCode == 0
	})
	symbolic("producer", &s.producers, id)
	return id
}

// produceAs writes one idempotent batch of two records.
func (s *session) produceAs(topic string, partition int32, id int64, epoch int16, sequence int32) {
	s.quiet(9, produceReq(-1, topic, [16]byte{}, partition, plain(s.beganMs, 2).idempotent(id, epoch, sequence).bytes()))
}

func produceIdempotent(s *session) {
	topic := s.topic("exactly", 1)
	s.newProducer() // the transcripts number producers from this one on
	send := func(name string, v int16, b batch) { s.send(name, v, produceReq(-1, "exactly", topic, 0, b.bytes())) }
	two := plain(s.beganMs, 2)
	for _, v := range []int16{7, 8} {
		id := s.newProducer()
		send("first sequence 5", v, two.idempotent(id, 0, 5))
		other := s.newProducer()
		send("first of another", v, two.idempotent(other, 0, 0))
		send("sequence again", v, two.idempotent(other, 0, 0))
		send("sequence partly again", v, two.idempotent(other, 0, 1))
		send("sequence next", v, two.idempotent(other, 0, 2))
		send("sequence gap", v, two.idempotent(other, 0, 9))
		send("sequence before", v, plain(s.beganMs, 1).idempotent(other, 0, 0))
		send("one more record than before", v, plain(s.beganMs, 3).idempotent(other, 0, 2))
		for i := int32(4); i < 16; i += 2 {
			send(fmt.Sprintf("sequence %d", i), v, two.idempotent(other, 0, i))
		}
		send("sequence out of the window", v, two.idempotent(other, 0, 0))
		send("oldest of the window", v, two.idempotent(other, 0, 6))
		send("newest of the window", v, two.idempotent(other, 0, 14))
		send("epoch 1, sequence 3", v, two.idempotent(other, 1, 3))
		send("epoch 1", v, two.idempotent(other, 1, 0))
		send("epoch 0 again", v, two.idempotent(other, 0, 16))
		send("epoch 32767", v, two.idempotent(other, 32767, 0))
		send("no sequence", v, two.idempotent(other, 32767, -1))
		send("sequence -2", v, two.idempotent(other, 32767, -2))
		send("no epoch", v, two.idempotent(other, -1, 0))
		send("epoch without id", v, two.idempotent(-1, 0, 0))
		send("sequence without id", v, two.idempotent(-1, -1, 7))
		send("id -2", v, two.idempotent(-2, 0, 0))
		wrap := s.newProducer()
		send("sequence 2^31-1", v, two.idempotent(wrap, 0, math.MaxInt32))
		send("id that nobody gave", v, two.idempotent(1<<40+int64(v), 0, 0))
		send("compressed", v, two.compressed(codecLZ4).idempotent(other, 32767, 2))
		send("compressed again", v, two.compressed(codecLZ4).idempotent(other, 32767, 2))
		send("acks 1", v, two.idempotent(other, 32767, 4))
		send("no records", v, batch{timeMs: s.beganMs}.idempotent(other, 32767, 6))
	}
	s.send("acks 1", 9, produceReq(1, "exactly", topic, 0, two.idempotent(s.newProducer(), 0, 0).bytes()))
	stamped := s.topic("exactly-stamped", 1, "message.timestamp.type", "LogAppendTime")
	last := s.newProducer()
	s.send("stamped", 9, produceReq(-1, "exactly-stamped", stamped, 0, two.idempotent(last, 0, 0).bytes()))
	s.send("stamped again", 9, produceReq(-1, "exactly-stamped", stamped, 0, two.idempotent(last, 0, 0).bytes()))
}

func produceTransactional(s *session) {
	topic := s.topic("transacted", 1)
	id := s.newProducer()
	transactional := plain(s.beganMs, 1).idempotent(id, 0, 0)
	change := transactional.change
	transactional.change = func(b *kmsg.RecordBatch) { change(b); b.Attributes |= 0x10 }
	for _, v := range produceVersions {
		req := produceReq(-1, "transacted", topic, 0, transactional.bytes())
		s.send("batch without id", v, req)
		s.send("batch without id, unknown topic", v, produceReq(-1, "nobody", madeUp, 0, transactional.bytes()))
		mixed := andProduce(produceReq(-1, "transacted", topic, 0, plain(s.beganMs, 1).bytes()), "transacted", topic, 1, transactional.bytes())
		s.send("mixed without id", v, mixed)
		plainBatch := produceReq(-1, "transacted", topic, 0, plain(s.beganMs, 1).bytes())
		plainBatch.TransactionID = ptr("someone")
		s.send("id without transactional batch", v, plainBatch)
		idempotent := produceReq(-1, "transacted", topic, 0, plain(s.beganMs, 1).idempotent(s.newProducer(), 0, 0).bytes())
		idempotent.TransactionID = ptr("")
		s.send("empty id, idempotent batch", v, idempotent)
	}
	bad := produceReq(5, "transacted", topic, 0, transactional.bytes())
	s.send("and bad acks", 9, bad)
	s.acksZero("acks 0", 9, produceReq(0, "transacted", topic, 0, transactional.bytes()))
}

func produceAcks(s *session) {
	id := s.topic("acked", 1)
	good, bad := plain(s.beganMs, 1).bytes(), plain(s.beganMs, 1).spoilt(func(b []byte) []byte { b[17] ^= 1; return b }).bytes()
	for _, v := range produceVersions {
		s.send("acks 1", v, produceReq(1, "acked", id, 0, good))
		for _, acks := range []int16{2, -2, 32767, -32768} {
			s.send(fmt.Sprintf("acks %d", acks), v, produceReq(acks, "acked", id, 0, good))
		}
		s.acksZero("acks 0", v, produceReq(0, "acked", id, 0, good))
		s.acksZero("acks 0, bad CRC", v, produceReq(0, "acked", id, 0, bad))
		s.acksZero("acks 0, unknown topic", v, produceReq(0, "nobody", madeUp, 0, good))
		mixed := andProduce(produceReq(0, "acked", id, 0, good), "acked", id, 9, good)
		s.acksZero("acks 0, one of two bad", v, mixed)
	}
	s.acksZero("acks 0, nothing", 9, func() *kmsg.ProduceRequest { r := kmsg.NewPtrProduceRequest(); r.Acks = 0; return r }())
	many := produceReq(7, "acked", id, 0, good)
	andProduce(many, "acked", id, 9, good)
	andProduce(many, "nobody", madeUp, 0, good)
	for _, v := range []int16{9, 13} {
		s.send("bad acks, many", v, many)
	}
	for _, timeout := range []int32{0, -1, math.MinInt32} {
		one := produceReq(1, "acked", id, 0, good)
		one.TimeoutMillis = timeout
		s.send(fmt.Sprintf("acks 1, timeout %d", timeout), 9, one)
	}
	min := s.topic("starved", 1, "min.insync.replicas", "1")
	s.send("min.insync.replicas 1", 9, produceReq(-1, "starved", min, 0, good))
	starved := s.topic("starved-two", 1, "min.insync.replicas", "2")
	for _, acks := range []int16{-1, 1} {
		s.send(fmt.Sprintf("min.insync.replicas 2, acks %d", acks), 9, produceReq(acks, "starved-two", starved, 0, good))
	}
	s.send("min.insync.replicas 2, bad CRC", 9, produceReq(-1, "starved-two", starved, 0, bad))
}

func initProducerID(s *session) {
	for v := int16(0); v <= 5; v++ {
		for _, c := range []struct {
			name    string
			id      int64
			epoch   int16
			timeout int32
		}{{"new", -1, -1, 60_000}, {"timeout 0", -1, -1, 0}, {"timeout -1", -1, -1, -1}, {"epoch only", -1, 3, 60_000}, {"id only", 3, -1, 60_000}, {"id and epoch", 3, 1, 60_000}, {"id -2", -2, -1, 60_000}, {"last epoch", 3, 32767, 60_000}} {
			req := kmsg.NewPtrInitProducerIDRequest()
			req.ProducerID, req.ProducerEpoch, req.TransactionTimeoutMillis = c.id, c.epoch, c.timeout
			s.send(c.name, v, req)
		}
		empty := kmsg.NewPtrInitProducerIDRequest()
		empty.TransactionalID = ptr("")
		s.send("empty transactional id", v, empty)
	}
	for _, v := range []int16{3, 4, 5} {
		for _, c := range []struct {
			id    int64
			epoch int16
		}{{-1, 0}, {5, -1}} {
			req := kmsg.NewPtrInitProducerIDRequest()
			req.TransactionalID, req.ProducerID, req.ProducerEpoch = ptr("half"), c.id, c.epoch
			s.send(fmt.Sprintf("transactional with %d, %d", c.id, c.epoch), v, req)
		}
	}
}
