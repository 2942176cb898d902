package ottla

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
	"github.com/ottla-io/ottla/internal/vfs"
	"github.com/ottla-io/ottla/internal/wire"
)

// What a request of n bytes may cost, as relations: time ≤ n·5 µs + 2 s (a machine may be busy, and anything quadratic takes minutes),
// memory ≤ 96·n + 16 MiB, the cluster's own size aside. An answer in an honest client's sizes costs a tenth of that.
const (
	timePerByte  = 5 * time.Microsecond
	timeFloor    = 2 * time.Second
	bytesPerByte = 96
	bytesFloor   = 16 << 20
	// For each partition that a request creates.
	bytesPerCreated = 16 << 10
	timePerCreated  = 500 * time.Microsecond
)

// victim is a broker whose handlers are called directly, without sockets.
type victim struct {
	t      testing.TB
	broker *Broker
	conn   *api.Conn
	// Of the last call.
	last     cost
	response wire.Message
}

func newVictim(t testing.TB) *victim {
	broker, err := startWith(Config{DataDir: "data", NodeID: 1}, doors{env: run.OS(), disk: vfs.NewMem(1), network: transport.OS()})
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{t: t, broker: broker, conn: &api.Conn{Listener: listenerName, LocalHost: "127.0.0.1", LocalPort: 9092}}
	for _, topic := range []*wire.CreateTopicsRequest{createOne("a", 3), createOne("b", 1, "cleanup.policy", "compact"), createOne("c", 1, "ottla.record.validation", "full")} {
		if outcome := v.call(wire.CreateTopicsKey, 7, encoded(topic, 7)); outcome != api.Replied {
			t.Fatal("cannot create a topic")
		}
	}
	return v
}

func (v *victim) close() {
	if err := v.broker.Close(context.Background()); err != nil {
		v.t.Error(err)
	}
}

func encoded(m wire.Message, version int16) []byte {
	var e wire.Encoder
	if err := m.Encode(&e, version); err != nil {
		panic(fmt.Sprintf("%T version %d: %v", m, version, err))
	}
	return e.Buf
}

// call hands a body to a handler, as a connection's reader would, and waits for what parked for a moment. A handler has
// no claim to the body once it has returned. The reply must be one that a client can read.
func (v *victim) call(key, version int16, body []byte) api.Outcome {
	v.t.Helper()
	entry, ok := v.broker.table.Lookup(key)
	if !ok {
		v.t.Fatalf("key %d is not served", key)
	}
	var mu sync.Mutex
	wakes := 0
	woken := run.OS().NewSignal()
	reply := new(wire.Encoder)
	r := &api.Request{Conn: v.conn, Key: key, Version: version, Body: bytes.Clone(body), Reply: reply, Received: v.broker.doors.env.Monotonic(), Waker: func(*api.Request) {
		mu.Lock()
		wakes++
		mu.Unlock()
		woken.Set()
	}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := v.broker.doors.env.Monotonic()
	defer func() { v.last.bytes = after.TotalAlloc - before.TotalAlloc }()
	outcome := entry.Handle(r)
	for i := range r.Body {
		r.Body[i] = 0xEE
	}
	v.broker.table.EndOfRead(v.conn)
	if outcome == api.Parked {
		wait := 20 * time.Millisecond
		if key != wire.FetchKey && key != wire.ProduceKey {
			wait = time.Minute // these wait for the controller only
		}
		if !woken.WaitFor(wait) {
			r.Pending.Cancel()
			v.last = cost{}
			after = before
			return api.Parked
		}
		outcome = r.Pending.Finish(r)
	}
	v.last = cost{time: v.broker.doors.env.Monotonic() - start, reply: reply.Size()}
	runtime.ReadMemStats(&after)
	mu.Lock()
	defer mu.Unlock()
	if wakes > 1 {
		v.t.Fatalf("%s version %d was woken %d times", wire.APIName(key), version, wakes)
	}
	switch outcome {
	case api.Replied:
		v.checkReply(key, version, entry, reply)
	case api.Silent:
		if key != wire.ProduceKey {
			v.t.Fatalf("%s version %d got no reply", wire.APIName(key), version)
		}
	case api.Hangup:
		if r.Err == nil {
			v.t.Errorf("%s version %d hung up without a cause", wire.APIName(key), version)
		}
	}
	return outcome
}

// checkReply decodes the reply into v.response.
func (v *victim) checkReply(key, version int16, entry *api.Entry, reply *wire.Encoder) {
	v.t.Helper()
	body := make([]byte, 0, reply.Size())
	at := 0
	for _, s := range reply.Splices {
		body = append(body, reply.Buf[at:s.At]...)
		at = s.At
		region := s.Region.(api.FileRegion)
		file, offset := region.Source()
		from := len(body)
		body = append(body, make([]byte, region.Size())...)
		if _, err := file.ReadAt(body[from:], offset); err != nil {
			v.t.Fatalf("%s version %d: a region cannot be read: %v", wire.APIName(key), version, err)
		}
		region.Release()
	}
	body = append(body, reply.Buf[at:]...)
	if version < entry.Min || version > entry.Max {
		version = 0 // of ApiVersions
	}
	var d wire.Decoder
	d.Reset(body)
	v.response = wire.NewResponse(key)
	err := v.response.Decode(&d, version)
	if err != nil && strings.Contains(err.Error(), "budget") {
		return // our own decoder takes no more from anybody
	}
	if err != nil || d.Remaining() != 0 {
		v.t.Fatalf("%s version %d: the reply cannot be read: %v, %d bytes remain", wire.APIName(key), version, err, d.Remaining())
	}
}

// cost is what one call took.
type cost struct {
	time  time.Duration
	bytes uint64
	reply int
}

// check holds a call against the bounds.
func (v *victim) check(what string, key, version int16, body []byte) (cost, api.Outcome) {
	v.t.Helper()
	before := v.broker.cluster.Image()
	outcome := v.call(key, version, body)
	c := v.last
	// What the cluster holds may be told, and what a request of a few bytes may create, as Kafka lets it: up to 10,000 partitions.
	state, partitions := 0, 0
	for _, image := range []*metadata.Image{before, v.broker.cluster.Image()} {
		held := 0
		for _, topic := range image.Topics() {
			state += 8 << 10
			held += len(topic.Partitions)
		}
		state += 1 << 10 * held
		partitions = held - partitions
	}
	created := max(partitions, 0)
	limit := bytesPerByte*len(body) + bytesFloor + 4*state + 8*c.reply + bytesPerCreated*created
	if c.reply > 48*len(body)+1<<20+2*state {
		v.t.Errorf("%s: %s version %d: %d bytes of reply to %d bytes of request", what, wire.APIName(key), version, c.reply, len(body))
	}
	if int(c.bytes) > limit {
		v.t.Errorf("%s: %s version %d: %d bytes allocated for %d bytes of request and %d of reply", what, wire.APIName(key), version, c.bytes, len(body), c.reply)
	}
	if limit := timeFloor + time.Duration(len(body))*timePerByte + time.Duration(created)*timePerCreated; c.time > limit {
		v.t.Errorf("%s: %s version %d: %v for %d bytes", what, wire.APIName(key), version, c.time, len(body))
	}
	return c, outcome
}

// hostileRequest is a request that nobody sends who means well.
type hostileRequest struct {
	name    string
	version int16
	request func() wire.Message
	want    api.Outcome
}

func many[T any](n int, each func(i int) T) []T {
	all := make([]T, n)
	for i := range all {
		all[i] = each(i)
	}
	return all
}

// largeRequests are some that ask for much: each is of the order of a megabyte.
var largeRequests = []hostileRequest{
	{"10,000 new names", 12, func() wire.Message {
		return &wire.MetadataRequest{AllowAutoTopicCreation: true, Topics: many(10_000, func(i int) wire.MetadataRequestTopic {
			return wire.MetadataRequestTopic{Name: wire.SomeString(fmt.Sprintf("new_%d", i))}
		})}
	}, api.Replied},
	{"100,000 new names", 12, func() wire.Message {
		return &wire.MetadataRequest{AllowAutoTopicCreation: true, Topics: many(100_000, func(i int) wire.MetadataRequestTopic {
			return wire.MetadataRequestTopic{Name: wire.SomeString(fmt.Sprintf("_%d", i))}
		})}
	}, api.Replied},
	{"one topic 100,000 times", 12, func() wire.Message {
		return &wire.MetadataRequest{Topics: many(100_000, func(int) wire.MetadataRequestTopic {
			return wire.MetadataRequestTopic{Name: wire.SomeString("a")}
		})}
	}, api.Replied},
	{"100,000 topic ids", 12, func() wire.Message {
		return &wire.MetadataRequest{Topics: many(100_000, func(i int) wire.MetadataRequestTopic {
			return wire.MetadataRequestTopic{TopicId: wire.UUID{byte(i), byte(i >> 8), byte(i >> 16), 1}}
		})}
	}, api.Replied},
	{"100,000 impossible names", 12, func() wire.Message {
		return &wire.MetadataRequest{AllowAutoTopicCreation: true, Topics: many(100_000, func(i int) wire.MetadataRequestTopic {
			return wire.MetadataRequestTopic{Name: wire.SomeString(fmt.Sprintf("/%d", i))}
		})}
	}, api.Replied},
	{"one topic 100,000 times", 4, func() wire.Message { return describeConfigs(100_000, 2, "a") }, api.Replied},
	{"this broker 100,000 times", 4, func() wire.Message { return describeConfigs(100_000, 4, "1") }, api.Replied},
	{"all brokers 100,000 times", 4, func() wire.Message { return describeConfigs(100_000, 4, "") }, api.Replied},
	{"100,000 keys", 4, func() wire.Message {
		req := describeConfigs(1, 2, "a")
		req.Resources[0].ConfigurationKeys = many(100_000, func(i int) string { return fmt.Sprintf("retention.%d", i) })
		return req
	}, api.Replied},
	{"100,000 partitions", 12, func() wire.Message { return fetchMany("a", 100_000, func(i int) int32 { return int32(i) }) }, api.Replied},
	{"one partition 100,000 times", 12, func() wire.Message { return fetchMany("a", 100_000, func(int) int32 { return 0 }) }, api.Replied},
	{"100,000 partitions in a session", 12, func() wire.Message {
		req := fetchMany("a", 100_000, func(i int) int32 { return int32(i) })
		req.SessionEpoch = 0
		return req
	}, api.Replied},
	{"100,000 topics to forget", 12, func() wire.Message {
		req := fetchMany("a", 0, nil)
		req.ForgottenTopicsData = many(100_000, func(i int) wire.FetchRequestForgottenTopic {
			return wire.FetchRequestForgottenTopic{Topic: "a", Partitions: []int32{0}}
		})
		return req
	}, api.Replied},
	{"10,000 topics", 7, func() wire.Message { return createMany(10_000, 1) }, api.Replied},
	{"100,000 topics of no partition", 7, func() wire.Message { return createMany(100_000, 0) }, api.Replied},
	{"100,000 topics of default size", 7, func() wire.Message { return createMany(100_000, -1) }, api.Replied},
	{"2³¹-1 partitions", 7, func() wire.Message { return createOne("huge", 1<<31-1) }, api.Replied},
	{"-2³¹ partitions", 7, func() wire.Message { return createOne("huge", -1<<31) }, api.Replied},
	{"100,000 times the same setting", 7, func() wire.Message {
		req := createOne("settings", 1)
		req.Topics[0].Configs = many(100_000, func(int) wire.CreateTopicsRequestCreatableTopicConfig {
			return wire.CreateTopicsRequestCreatableTopicConfig{Name: "retention.ms", Value: wire.SomeString("1000")}
		})
		return req
	}, api.Replied},
	{"100 unknown settings of 32 KB", 7, func() wire.Message {
		req := createMany(100, 1)
		for i := range req.Topics {
			req.Topics[i].Configs = []wire.CreateTopicsRequestCreatableTopicConfig{{Name: strings.Repeat("retention.ms", 2700), Value: wire.SomeString("1")}}
		}
		return req
	}, api.Replied},
	{"a setting of 32 KB", 7, func() wire.Message {
		req := createOne("setting", 1)
		req.Topics[0].Configs = []wire.CreateTopicsRequestCreatableTopicConfig{{Name: "leader.replication.throttled.replicas", Value: wire.SomeString(strings.Repeat("0:1,", 8000) + "0:1")}}
		return req
	}, api.Replied},
	{"100,000 assignments of one partition", 7, func() wire.Message {
		req := createOne("assigned", -1)
		req.Topics[0].ReplicationFactor = -1
		req.Topics[0].Assignments = many(100_000, func(int) wire.CreateTopicsRequestCreatableReplicaAssignment {
			return wire.CreateTopicsRequestCreatableReplicaAssignment{BrokerIds: []int32{1}}
		})
		return req
	}, api.Replied},
	{"100,000 replicas", 7, func() wire.Message {
		req := createOne("assigned", -1)
		req.Topics[0].ReplicationFactor = -1
		req.Topics[0].Assignments = []wire.CreateTopicsRequestCreatableReplicaAssignment{{BrokerIds: make([]int32, 100_000)}}
		return req
	}, api.Replied},
	{"100,000 topics", 6, func() wire.Message {
		return &wire.DeleteTopicsRequest{Topics: many(100_000, func(i int) wire.DeleteTopicsRequestDeleteTopicState {
			return wire.DeleteTopicsRequestDeleteTopicState{Name: wire.SomeString(fmt.Sprintf("gone-%d", i))}
		})}
	}, api.Replied},
	{"100,000 topics", 0, func() wire.Message {
		return &wire.DescribeTopicPartitionsRequest{ResponsePartitionLimit: 1<<31 - 1, Topics: many(100_000, func(i int) wire.DescribeTopicPartitionsRequestTopicRequest {
			return wire.DescribeTopicPartitionsRequestTopicRequest{Name: fmt.Sprintf("t%d", i)}
		})}
	}, api.Replied},
	{"100,000 partitions", 11, func() wire.Message {
		return &wire.ListOffsetsRequest{ReplicaId: -1, Topics: []wire.ListOffsetsRequestListOffsetsTopic{{Name: "a", Partitions: many(100_000, func(i int) wire.ListOffsetsRequestListOffsetsPartition {
			return wire.ListOffsetsRequestListOffsetsPartition{PartitionIndex: int32(i % 50_000), CurrentLeaderEpoch: -1, Timestamp: -1}
		})}}}
	}, api.Replied},
	{"100,000 partitions", 4, func() wire.Message {
		return &wire.OffsetForLeaderEpochRequest{ReplicaId: -1, Topics: []wire.OffsetForLeaderEpochRequestOffsetForLeaderTopic{{Topic: "a", Partitions: many(100_000, func(i int) wire.OffsetForLeaderEpochRequestOffsetForLeaderPartition {
			return wire.OffsetForLeaderEpochRequestOffsetForLeaderPartition{Partition: int32(i), CurrentLeaderEpoch: -1}
		})}}}
	}, api.Replied},
	{"100,000 partitions", 0, func() wire.Message {
		return &wire.ListPartitionReassignmentsRequest{Topics: many(10, func(int) wire.ListPartitionReassignmentsRequestListPartitionReassignmentsTopics {
			return wire.ListPartitionReassignmentsRequestListPartitionReassignmentsTopics{Name: "a", PartitionIndexes: make([]int32, 10_000)}
		})}
	}, api.Replied},
	{"100,000 empty partitions", 9, func() wire.Message { return produceMany(100_000, nil) }, api.Hangup},
	{"100,000 partitions of garbage", 9, func() wire.Message { return produceMany(100_000, make([]byte, 20)) }, api.Replied},
	{"20,000 batches", 9, func() wire.Message { return produceMany(20_000, smallBatch()) }, api.Replied},
	{"100,000 topics", 9, func() wire.Message {
		return &wire.ProduceRequest{Acks: 1, TopicData: many(100_000, func(i int) wire.ProduceRequestTopicProduceData {
			return wire.ProduceRequestTopicProduceData{Name: fmt.Sprintf("t%d", i), PartitionData: []wire.ProduceRequestPartitionProduceData{{Records: wire.Records{Bytes: smallBatch()}}}}
		})}
	}, api.Replied},
	{"names of 32 KB", 3, func() wire.Message {
		return &wire.ApiVersionsRequest{ClientSoftwareName: strings.Repeat("a", 32767), ClientSoftwareVersion: strings.Repeat("1", 32767)}
	}, api.Replied},
}

func describeConfigs(n int, kind int8, name string) *wire.DescribeConfigsRequest {
	return &wire.DescribeConfigsRequest{IncludeSynonyms: true, IncludeDocumentation: true, Resources: many(n, func(int) wire.DescribeConfigsRequestDescribeConfigsResource {
		return wire.DescribeConfigsRequestDescribeConfigsResource{ResourceType: kind, ResourceName: name}
	})}
}

func fetchMany(topic string, n int, partition func(i int) int32) *wire.FetchRequest {
	req := fetchOne(topic, make([]int64, n), 0)
	for i := range n {
		req.Topics[0].Partitions[i].Partition = partition(i)
	}
	return req
}

func createMany(n int, partitions int32) *wire.CreateTopicsRequest {
	return &wire.CreateTopicsRequest{TimeoutMs: 60_000, Topics: many(n, func(i int) wire.CreateTopicsRequestCreatableTopic {
		return wire.CreateTopicsRequestCreatableTopic{Name: fmt.Sprintf("many.%d.%d", partitions, i), NumPartitions: partitions, ReplicationFactor: 1}
	})}
}

func produceMany(n int, records []byte) *wire.ProduceRequest {
	return &wire.ProduceRequest{Acks: 1, TimeoutMs: 1000, TopicData: []wire.ProduceRequestTopicProduceData{{Name: "a", PartitionData: many(n, func(i int) wire.ProduceRequestPartitionProduceData {
		return wire.ProduceRequestPartitionProduceData{Index: int32(i % 4), Records: wire.Records{Bytes: records}}
	})}}}
}

func smallBatch() record.Batch {
	b := record.NewBuilder(record.None, record.DefaultLevel)
	b.Append(time.Now().UnixMilli(), nil, []byte("v"))
	batch, err := b.Build()
	if err != nil {
		panic(err)
	}
	return batch
}

// keyOf finds the ApiKey of a request by its type.
func keyOf(m wire.Message) int16 {
	for key := range int16(128) {
		if _, _, ok := wire.SupportedVersions(key); ok && fmt.Sprintf("%T", wire.NewRequest(key)) == fmt.Sprintf("%T", m) {
			return key
		}
	}
	panic(fmt.Sprintf("%T is not a request", m))
}

func TestRequestsThatAskForMuch(t *testing.T) {
	v := newVictim(t)
	defer v.close()
	for _, h := range largeRequests {
		req := h.request()
		key := keyOf(req)
		body := encoded(req, h.version)
		c, outcome := v.check(h.name, key, h.version, body)
		if outcome != h.want {
			t.Errorf("%s: %s: outcome %d, want %d", wire.APIName(key), h.name, outcome, h.want)
		}
		t.Logf("%-28s %-42s %8d bytes: %10v, %5.1f bytes a byte, reply %8d", wire.APIName(key), h.name, len(body), c.time.Round(time.Microsecond), float64(c.bytes)/float64(len(body)), c.reply)
	}
	if n := v.broker.cluster.Image().TopicCount(); n > 25_000 {
		t.Errorf("%d topics", n)
	}
}

// TestFetchSessionsAreBounded: sessions take no more memory than all clients of a large cluster need together.
func TestFetchSessionsAreBounded(t *testing.T) {
	v := newVictim(t)
	defer v.close()
	const many = 200_000 // of 500,000
	for i := range 3 {
		req := fetchMany("a", many, func(i int) int32 { return int32(i) })
		req.SessionEpoch = 0
		if outcome := v.call(wire.FetchKey, 12, encoded(req, 12)); outcome != api.Replied {
			t.Fatalf("outcome %d", outcome)
		}
		resp := v.response.(*wire.FetchResponse)
		if begun := resp.SessionId != 0; begun != (i < 2) || len(resp.Responses[0].Partitions) != many {
			t.Errorf("fetch %d: session %d, %d partitions answered", i, resp.SessionId, len(resp.Responses[0].Partitions))
		}
	}
	// One that began small and grows past the bound is ended.
	req := fetchMany("b", 1, func(int) int32 { return 0 })
	req.SessionEpoch = 0
	v.call(wire.FetchKey, 12, encoded(req, 12))
	id := v.response.(*wire.FetchResponse).SessionId
	for epoch, want := range []wire.ErrorCode{wire.ErrorNone, wire.ErrorNone, wire.ErrorFetchSessionIDNotFound} {
		req := fetchMany("a", 60_000, func(i int) int32 { return int32(epoch*60_000 + i) })
		req.SessionId, req.SessionEpoch = id, int32(epoch)+1
		v.call(wire.FetchKey, 12, encoded(req, 12))
		if code := v.response.(*wire.FetchResponse).ErrorCode; code != want {
			t.Errorf("request %d of session %d, which grows: %s", epoch, id, code.Name())
		}
	}
}

// TestManyCollidingNames: names that might collide are not each compared with every topic there is.
func TestManyCollidingNames(t *testing.T) {
	v := newVictim(t)
	defer v.close()
	there := createMany(4000, 1)
	for n := range there.Topics {
		there.Topics[n].Name = fmt.Sprintf("there_%04d", n)
	}
	if outcome := v.call(wire.CreateTopicsKey, 7, encoded(there, 7)); outcome != api.Replied {
		t.Fatalf("outcome %d", outcome)
	}
	req := createMany(100_000, 0)
	for n := range req.Topics {
		req.Topics[n].Name = fmt.Sprintf("there.%06d", n)
	}
	req.Topics[0].Name = "there.0000"
	v.check("100,000 topics among 4,000", wire.CreateTopicsKey, 7, encoded(req, 7))
	if got := v.response.(*wire.CreateTopicsResponse).Topics[0].ErrorCode; got != wire.ErrorInvalidTopicException {
		t.Errorf("a name that collides: %s", got.Name())
	}
	t.Logf("%v", v.last.time)
}

// TestSoftwareNamesAreNotKept: what a connection remembers of its client is short.
func TestSoftwareNamesAreNotKept(t *testing.T) {
	v := newVictim(t)
	defer v.close()
	v.call(wire.ApiVersionsKey, 3, encoded(&wire.ApiVersionsRequest{ClientSoftwareName: strings.Repeat("a", 32767), ClientSoftwareVersion: "1"}, 3))
	if got := v.conn.SoftwareName; len(got) != 64 {
		t.Errorf("%d bytes of the name are kept", len(got))
	}
}

// honestRequests are small requests as clients send them, one or more of each type: where mutations start.
func honestRequests() []wire.Message {
	metadata, fetch := new(wire.MetadataRequest), fetchOne("a", []int64{0, 0, 5}, 1)
	metadata.Default()
	metadata.Topics = []wire.MetadataRequestTopic{{Name: wire.SomeString("a")}, {Name: wire.SomeString("made-by-metadata")}}
	session := fetchOne("b", []int64{0}, 1)
	session.SessionEpoch = 0
	session.ForgottenTopicsData = []wire.FetchRequestForgottenTopic{{Topic: "b", Partitions: []int32{1, 2}}}
	assigned := createOne("assigned", -1, "cleanup.policy", "compact", "retention.ms", "5")
	assigned.Topics[0].ReplicationFactor = -1
	assigned.Topics[0].Assignments = []wire.CreateTopicsRequestCreatableReplicaAssignment{{BrokerIds: []int32{1}}}
	configs := describeConfigs(1, 2, "a")
	configs.Resources = append(configs.Resources, describeConfigs(1, 4, "1").Resources...)
	configs.Resources[0].ConfigurationKeys = []string{"retention.ms"}
	producer := new(wire.InitProducerIdRequest)
	producer.Default()
	producer.TransactionalId = wire.NullString{}
	return []wire.Message{
		metadata, fetch, session, assigned, createOne("created", 2), configs, producer,
		produceOne("a", 0, -1, 10, smallBatch()), produceOne("b", 0, 1, 10, smallBatch()), produceOne("c", 0, 0, 10, smallBatch()),
		&wire.ListOffsetsRequest{ReplicaId: -1, Topics: []wire.ListOffsetsRequestListOffsetsTopic{{Name: "a", Partitions: []wire.ListOffsetsRequestListOffsetsPartition{
			{CurrentLeaderEpoch: -1, Timestamp: -1}, {PartitionIndex: 1, CurrentLeaderEpoch: 0, Timestamp: 12}}}}},
		&wire.ApiVersionsRequest{ClientSoftwareName: "test", ClientSoftwareVersion: "1.0"},
		&wire.DeleteTopicsRequest{TopicNames: []string{"created"}, Topics: []wire.DeleteTopicsRequestDeleteTopicState{{Name: wire.SomeString("assigned")}}},
		&wire.OffsetForLeaderEpochRequest{ReplicaId: -1, Topics: []wire.OffsetForLeaderEpochRequestOffsetForLeaderTopic{{Topic: "a", Partitions: []wire.OffsetForLeaderEpochRequestOffsetForLeaderPartition{{CurrentLeaderEpoch: -1}}}}},
		&wire.ListPartitionReassignmentsRequest{Topics: []wire.ListPartitionReassignmentsRequestListPartitionReassignmentsTopics{{Name: "a", PartitionIndexes: []int32{0}}}},
		&wire.DescribeClusterRequest{EndpointType: 1},
		&wire.DescribeTopicPartitionsRequest{ResponsePartitionLimit: 2, Topics: []wire.DescribeTopicPartitionsRequestTopicRequest{{Name: "a"}, {Name: "b"}},
			Cursor: &wire.DescribeTopicPartitionsRequestCursor{TopicName: "a", PartitionIndex: 1}},
	}
}

// corpus encodes the honest requests in every version that the broker serves and that can say them.
func (v *victim) corpus() (all []fuzzRequest) {
	for _, m := range honestRequests() {
		entry, ok := v.broker.table.Lookup(keyOf(m))
		if !ok {
			v.t.Fatalf("%T is not served", m)
		}
		for version := entry.Min; version <= entry.Max; version++ {
			var e wire.Encoder
			if m.Encode(&e, version) == nil {
				all = append(all, fuzzRequest{entry.Key, version, e.Buf})
			}
		}
	}
	return all
}

type fuzzRequest struct {
	key, version int16
	body         []byte
}

// mutate returns what a fuzzer would make of a body.
func mutate(random *rand.Rand, body []byte, others []fuzzRequest) []byte {
	body = bytes.Clone(body)
	for range 1 + random.IntN(4) {
		at := random.IntN(len(body) + 1)
		switch random.IntN(7) {
		case 0:
			body = body[:at]
		case 1:
			body = append(body[:at:at], others[random.IntN(len(others))].body...)
		case 2: // a huge count, fixed or variable
			huge := [][]byte{{0x7f, 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0xff, 0x0f}, {0x80, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff}, {0, 0, 0xff, 0xff}, {0, 0}, {0x7f, 0xff}}
			copy(body[at:], huge[random.IntN(len(huge))])
		default:
			if at < len(body) {
				body[at] = []byte{0, 1, 0x7f, 0x80, 0xff, body[at] + 1, body[at] - 1, byte(random.Uint32())}[random.IntN(8)]
			}
		}
	}
	return body
}

// TestRandomRequests sends mutated requests to every handler for a while.
func TestRandomRequests(t *testing.T) {
	v := newVictim(t)
	defer func() { v.close() }()
	corpus := v.corpus()
	for _, r := range corpus {
		// From version 13 on a topic is named by id, which these have not: an error, and with acks=0 the end.
		if _, outcome := v.try(r); outcome == api.Hangup && (r.key != wire.ProduceKey || r.version < 13) {
			t.Errorf("%s version %d: an honest request is not understood", wire.APIName(r.key), r.version)
		}
	}
	// Found at random once: 24 bytes that create 6,658 partitions. It must cost in proportion to them.
	manyPartitions, err := hex.DecodeString("02086372656274656400001a020001010100000075300000")
	if err != nil {
		t.Fatal(err)
	}
	v.try(fuzzRequest{wire.CreateTopicsKey, 7, manyPartitions})
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	end := time.Now().Add(3 * time.Second)
	count, outcomes := 0, map[api.Outcome]int{}
	for ; time.Now().Before(end) && !t.Failed(); count++ {
		r := corpus[random.IntN(len(corpus))]
		r.body = mutate(random, r.body, corpus)
		last, outcome := v.try(r)
		outcomes[outcome]++
		if t.Failed() {
			t.Logf("seed %d, request %d: key %d version %d, %x, %+v", seed, count, r.key, r.version, r.body, last)
		}
		v = v.orFresh()
	}
	t.Logf("%d requests, outcomes %v", count, outcomes)
	if outcomes[api.Replied] == 0 || outcomes[api.Hangup] == 0 {
		t.Errorf("one kind of outcome is missing: %v", outcomes)
	}
}

func (v *victim) try(r fuzzRequest) (cost, api.Outcome) {
	v.t.Helper()
	return v.check("mutated", r.key, r.version, r.body)
}

// orFresh replaces a broker that the requests have filled with topics.
func (v *victim) orFresh() *victim {
	if v.broker.cluster.Image().TopicCount() < 500 {
		return v
	}
	v.close()
	return newVictim(v.t)
}

// FuzzRequests is TestRandomRequests under Go's fuzzer, which finds its way by coverage: go test -fuzz FuzzRequests .
func FuzzRequests(f *testing.F) {
	v := newVictim(f)
	defer func() { v.close() }()
	for _, r := range v.corpus() {
		f.Add(r.key, r.version, []byte(r.body))
	}
	// A count of tagged fields that cost a minute of another broker's time, and the like for an array.
	f.Add(wire.ApiVersionsKey, int16(3), []byte{1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add(wire.MetadataKey, int16(12), []byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add(wire.FetchKey, int16(11), append(make([]byte, 25), 0x7f, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		entry, ok := v.broker.table.Lookup(key)
		if !ok || len(body) > 1<<20 {
			return
		}
		if version < entry.Min || version > entry.Max {
			if key != wire.ApiVersionsKey {
				return
			}
			body = nil // as the server does
		}
		v.t = t
		v.try(fuzzRequest{key, version, body})
		v = v.orFresh()
	})
}
