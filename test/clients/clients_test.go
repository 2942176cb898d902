package clients

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ottla-io/ottla/test/broker"
	"github.com/ottla-io/ottla/test/results"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// One broker serves all tests that do not kill it.
var shared *broker.Broker

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ottla-clients-")
	if err == nil {
		shared, err = broker.Start(broker.Config{Dir: dir})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := shared.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if code != 0 {
		fmt.Fprintln(os.Stderr, "the broker said, at the end:", lastLines(shared.Output(), 30))
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// everyClient makes one of each, by their order of speed.
func everyClient(addr string) []Client {
	return []Client{NewFranz(addr), newSarama(addr), NewLibrdkafka(addr), newKafkaPython(addr), newKcat(addr), newJava(addr)}
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	return ctx
}

// makeRecords makes n records of a partition with everything that the client can carry: null and empty keys and values, bytes, doubled and
// null headers, one large value, timestamps of the last half hour that mostly rise.
func makeRecords(seed uint64, n int, partition int32, traits Traits) []Record {
	random := rand.New(rand.NewPCG(seed, uint64(partition)))
	base := time.Now().Add(-30 * time.Minute).UnixMilli()
	records := make([]Record, n)
	for i := range records {
		r := Record{Partition: partition, TimestampMs: base + int64(i)*10}
		if i%17 == 16 {
			r.TimestampMs -= 35
		}
		r.Key = fmt.Appendf(nil, "key-%d-%d", partition, i)
		r.Value = fmt.Appendf(nil, "value-%d-%d-%s", partition, i, strings.Repeat("ö", random.IntN(40)))
		if traits.TextOnly {
			if i < n/2 {
				r.Headers = []Header{{"half", []byte("first")}, {"half", []byte("again")}}
			}
			records[i] = r
			continue
		}
		switch i % 10 {
		case 1:
			r.Key = nil
		case 2:
			r.Key = []byte{}
		case 3:
			r.Value = nil
		case 4:
			r.Value = []byte{}
		case 5:
			r.Value = make([]byte, 1+random.IntN(3000))
			for j := range r.Value {
				r.Value[j] = byte(random.Uint32())
			}
		case 6:
			r.Headers = []Header{{"name", []byte("wert")}, {"name", []byte("twice")}, {"empty", []byte{}}, {"übel", []byte{0, 1, 255}}}
			if !traits.NoNullHeaders {
				r.Headers = append(r.Headers, Header{"null", nil})
			}
		}
		if i == n/2 {
			r.Value = bytes.Repeat([]byte("0123456789abcdef"), 40_000)
		}
		records[i] = r
	}
	return records
}

func sameBytes(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// wantRecords fails unless got is want: keys, values, headers, timestamps, order and offsets.
func wantRecords(t *testing.T, what string, got, want []Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d records, want %d", what, len(got), len(want))
	}
	wrong := 0
	for i := range min(len(got), len(want)) {
		g, w := got[i], want[i]
		same := g.Offset == w.Offset && g.TimestampMs == w.TimestampMs && sameBytes(g.Key, w.Key) && sameBytes(g.Value, w.Value) && len(g.Headers) == len(w.Headers)
		for j := range min(len(g.Headers), len(w.Headers)) {
			same = same && g.Headers[j].Key == w.Headers[j].Key && sameBytes(g.Headers[j].Value, w.Headers[j].Value)
		}
		if !same {
			if wrong++; wrong <= 3 {
				t.Errorf("%s: record %d is\n  %s, want\n  %s", what, i, show(g), show(w))
			}
		}
	}
	if wrong > 3 {
		t.Errorf("%s: %d records differ in all", what, wrong)
	}
}

func ignore(int64) {}

// TestProduceAndRead: each client writes with each codec that it has; an independent client must find exactly that; the client itself must
// then read it, and what the independent client wrote, from earliest, the middle of a batch, a timestamp and latest.
func TestProduceAndRead(t *testing.T) {
	for _, client := range everyClient(shared.Addr()) {
		t.Run(client.Name(), func(t *testing.T) {
			defer client.Close()
			watch := results.Start(shared.AdminAddr())
			for _, codec := range client.Traits().Codecs {
				t.Run(codec, func(t *testing.T) { produceAndRead(t, client, codec, true) })
			}
			t.Run("not-idempotent", func(t *testing.T) { produceAndRead(t, client, "none", false) })
			watch.Stop()
			record(t, client, watch)
		})
	}
}

// record writes down what a client ran with, if the environment asks for it.
func record(t *testing.T, client Client, watch *results.Watch) {
	t.Helper()
	if os.Getenv("OTTLA_RESULTS") == "" {
		return
	}
	// franz-go, whose client id is kgo, is also what each client's work is checked with.
	software, apis := watch.Seen(func(r results.Request) bool { return (r.ClientID == "kgo") == (client.Name() == "franz-go") })
	program := map[string]string{"java": "kafka"}[client.Name()]
	results.Record(t, "results.json", results.Entry{Name: client.Name(), Version: results.Versions(t)[cmp.Or(program, client.Name())],
		Clients: software, APIs: apis, Did: strings.Join(client.Traits().Codecs, ", ")})
}

// createTopic creates a topic and waits until each partition answers: Kafka says yes before its partitions are open, and a first batch refused
// then lets a second one of the same producer go before it.
func createTopic(t *testing.T, ctx context.Context, addr, topic string, partitions int) {
	t.Helper()
	franz := NewFranz(addr)
	if err := franz.CreateTopic(ctx, topic, partitions, 1, nil); err != nil {
		t.Fatal(err)
	}
	for p := range partitions {
		for {
			_, err := franz.Offsets(ctx, topic, int32(p), []int64{-1})
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				t.Fatal(err)
			}
		}
	}
}

// topics makes names new, so that tests can run several times against one broker.
var topics atomic.Int32

const perPartition = 120

func produceAndRead(t *testing.T, client Client, codec string, idempotent bool) {
	ctx, traits := testContext(t), client.Traits()
	franz := NewFranz(shared.Addr())
	topic := fmt.Sprintf("read.%s.%s.%v.%d", client.Name(), codec, idempotent, topics.Add(1))
	createTopic(t, ctx, shared.Addr(), topic, 3)
	seed := uint64(len(topic))
	own := [2][]Record{makeRecords(seed, perPartition, 0, traits), makeRecords(seed, perPartition, 1, traits)}
	var mixed []Record
	for i := range perPartition {
		mixed = append(mixed, own[0][i], own[1][i])
	}
	begun := time.Now().UnixMilli()
	offsets, err := client.Produce(ctx, ProduceConfig{Topic: topic, Codec: codec, Idempotent: idempotent && !traits.NoIdempotence}, mixed)
	if err != nil {
		t.Fatal(err)
	}
	for i := range offsets {
		if want := int64(i / 2); offsets[i] != want {
			t.Fatalf("record %d was acknowledged at offset %d, want %d", i, offsets[i], want)
		}
	}
	for p := range own {
		stored, err := franz.Consume(ctx, topic, int32(p), From{Kind: "earliest"}, perPartition, ignore)
		if err != nil {
			t.Fatal(err)
		}
		for i := range own[p] {
			own[p][i].Offset = int64(i)
			if traits.NoTimestamps && i < len(stored) {
				if at := stored[i].TimestampMs; at < begun || at > time.Now().UnixMilli() {
					t.Fatalf("record %d has timestamp %d, not of this test (from %d)", i, at, begun)
				}
				own[p][i].TimestampMs = stored[i].TimestampMs
			}
		}
		wantRecords(t, fmt.Sprintf("franz-go reads partition %d", p), stored, own[p])
	}
	wanted := codec
	if codec == "lz4" && traits.Librdkafka && !advertises(t, ctx, findCoordinatorKey) {
		// librdkafka takes a broker without FindCoordinator for one before 0.9 and silently leaves LZ4 out.
		wanted = "none"
	}
	middle := checkBatches(t, ctx, topic, wanted, idempotent && !traits.NoIdempotence)

	read := func(what string, partition int32, from From, want []Record) {
		t.Helper()
		got, err := client.Consume(ctx, topic, partition, from, len(want), ignore)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		wantRecords(t, what, got, want)
	}
	read("from earliest", 0, From{Kind: "earliest"}, own[0])
	read("from the middle of a batch", 0, From{"offset", middle}, own[0][middle:])
	at := own[0][perPartition/3].TimestampMs
	first := slices.IndexFunc(own[0], func(r Record) bool { return r.TimestampMs >= at })
	read("from a timestamp", 0, From{"timestamp", at}, own[0][first:])
	checkOffsets(t, ctx, client, topic, own[0], at, int64(first))

	foreign := makeRecords(seed+1, perPartition, 2, traits)
	if _, err := franz.Produce(ctx, ProduceConfig{Topic: topic, Codec: codec, Idempotent: true}, foreign); err != nil {
		t.Fatal(err)
	}
	for i := range foreign {
		foreign[i].Offset = int64(i)
	}
	read("what franz-go wrote", 2, From{Kind: "earliest"}, foreign)
	readLatest(t, ctx, client, topic, codec)
}

const findCoordinatorKey = 10

// advertises asks whether the broker's ApiVersions lists an API.
func advertises(t *testing.T, ctx context.Context, key int16) bool {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(shared.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, client)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(resp.ApiKeys, func(k kmsg.ApiVersionsResponseApiKey) bool { return k.ApiKey == key })
}

// checkBatches looks at partition 0 as stored and returns an offset in the middle of one of its batches.
func checkBatches(t *testing.T, ctx context.Context, topic, codec string, idempotent bool) int64 {
	batches, err := batchesOf(ctx, shared.Addr(), topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	middle := int64(-1)
	for _, b := range batches {
		// librdkafka and others leave a batch as it is when compressing makes it no smaller.
		if b.Codec != codec && (b.Codec != "none" || b.Records > 5) {
			t.Errorf("batch %d–%d has codec %s, want %s", b.Base, b.Last, b.Codec, codec)
		}
		if (b.ProducerID >= 0) != idempotent {
			t.Errorf("batch %d–%d has producer id %d, idempotent is %v", b.Base, b.Last, b.ProducerID, idempotent)
		}
		if b.Records > 2 && b.Records != int32(b.Last-b.Base+1) {
			t.Errorf("batch %d–%d counts %d records", b.Base, b.Last, b.Records)
		}
		if b.Last-b.Base >= 2 {
			middle = b.Base + (b.Last-b.Base)/2
		}
	}
	if middle < 0 {
		t.Fatalf("no batch of three records among %d: the client did not batch, the test proves nothing", len(batches))
	}
	return middle
}

func checkOffsets(t *testing.T, ctx context.Context, client Client, topic string, records []Record, at, first int64) {
	largest := 0
	for i := range records {
		if records[i].TimestampMs > records[largest].TimestampMs {
			largest = i
		}
	}
	// The large record compresses a thousandfold: a broker that looks for the timestamp of the next one must open that batch.
	large := records[len(records)/2+1].TimestampMs
	firstLarge := slices.IndexFunc(records, func(r Record) bool { return r.TimestampMs >= large })
	ats, want := []int64{-2, -1, at, large}, []int64{0, int64(len(records)), first, int64(firstLarge)}
	if !client.Traits().NoMaxTimestamp {
		ats, want = append(ats, -3), append(want, int64(largest))
	}
	got, err := client.Offsets(ctx, topic, 0, ats)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("offsets of %v: %v (%v), want %v", ats, got, err, want)
	}
}

// readLatest: the client waits at the end, records come after, it reads exactly those.
func readLatest(t *testing.T, ctx context.Context, client Client, topic, codec string) {
	late := makeRecords(99, 20, 1, client.Traits())
	position := make(chan int64, 1)
	var (
		got     []Record
		readErr error
		done    = make(chan struct{})
	)
	go func() {
		defer close(done)
		got, readErr = client.Consume(ctx, topic, 1, From{Kind: "latest"}, len(late), func(at int64) { position <- at })
	}()
	select {
	case at := <-position:
		if at != perPartition {
			t.Errorf("latest is %d, want %d", at, perPartition)
		}
	case <-done:
		t.Errorf("from latest: %v before it was ready", readErr)
		return
	}
	if _, err := NewFranz(shared.Addr()).Produce(ctx, ProduceConfig{Topic: topic, Codec: codec, Idempotent: true}, late); err != nil {
		t.Error(err)
	}
	<-done
	if readErr != nil {
		t.Errorf("from latest: %v", readErr)
		return
	}
	for i := range late {
		late[i].Offset = int64(perPartition + i)
	}
	wantRecords(t, "from latest", got, late)
}

// TestAdmin: topics through each client's own admin calls, and what it says of the cluster.
func TestAdmin(t *testing.T) {
	for _, client := range everyClient(shared.Addr()) {
		t.Run(client.Name(), func(t *testing.T) {
			defer client.Close()
			ctx, traits, topic := testContext(t), client.Traits(), fmt.Sprintf("admin.%s.%d", client.Name(), topics.Add(1))
			maker := client
			if traits.NoAdmin {
				maker = NewFranz(shared.Addr())
			}
			configs := map[string]string{"retention.ms": "123456789", "max.message.bytes": "2000000"}
			if err := maker.CreateTopic(ctx, topic, 3, 1, configs); err != nil {
				t.Fatal(err)
			}
			names, err := client.ListTopics(ctx)
			if err != nil || !slices.Contains(names, topic) {
				t.Errorf("list of topics %v (%v) lacks %s", names, err, topic)
			}
			d, err := client.DescribeTopic(ctx, topic)
			if err != nil || d.Partitions != 3 || d.Leader < 0 || d.Nodes != 1 {
				t.Errorf("description is %+v (%v), want 3 partitions, a leader, 1 node", d, err)
			}
			if !traits.NoConfigs && (d.Configs["retention.ms"] != "123456789" || d.Configs["max.message.bytes"] != "2000000" || d.Configs["cleanup.policy"] != "delete") {
				t.Errorf("configs are %v, want retention.ms=123456789, max.message.bytes=2000000, cleanup.policy=delete", d.Configs)
			}
			if traits.NoAdmin {
				return
			}
			for what, err := range map[string]error{
				"a topic that exists":     client.CreateTopic(ctx, topic, 3, 1, nil),
				"three replicas":          client.CreateTopic(ctx, topic+".rf", 1, 3, nil),
				"a name with a space":     client.CreateTopic(ctx, "no such name", 1, 1, nil),
				"an unknown config":       client.CreateTopic(ctx, topic+".cfg", 1, 1, map[string]string{"no.such": "1"}),
				"a config out of range":   client.CreateTopic(ctx, topic+".cfg2", 1, 1, map[string]string{"retention.ms": "minus"}),
				"delete of a topic never": client.DeleteTopic(ctx, topic+".never"),
			} {
				if err == nil {
					t.Errorf("no error for %s", what)
				}
			}
			if err := client.DeleteTopic(ctx, topic); err != nil {
				t.Fatal(err)
			}
			// Kafka answers a delete before its own metadata cache has heard of it.
			for deadline := time.Now().Add(10 * time.Second); ; {
				names, err = client.ListTopics(ctx)
				if err == nil && !slices.Contains(names, topic) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("list of topics %v (%v) still has %s", names, err, topic)
				}
			}
		})
	}
}

// TestAdminCodes: the error code of each refusal, as Kafka 4.3.1 answers.
func TestAdminCodes(t *testing.T) {
	ctx, franz := testContext(t), NewFranz(shared.Addr())
	taken := fmt.Sprintf("codes.%d", topics.Add(1))
	if err := franz.CreateTopic(ctx, taken, 1, 1, nil); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct{ got, want error }{
		"a topic that exists":         {franz.CreateTopic(ctx, taken, 1, 1, nil), kerr.TopicAlreadyExists},
		"more replicas than brokers":  {franz.CreateTopic(ctx, "codes.rf", 1, 3, nil), kerr.InvalidReplicationFactor},
		"no replicas":                 {franz.CreateTopic(ctx, "codes.rf0", 1, 0, nil), kerr.InvalidReplicationFactor},
		"no partitions":               {franz.CreateTopic(ctx, "codes.p0", 0, 1, nil), kerr.InvalidPartitions},
		"a bad name":                  {franz.CreateTopic(ctx, "bad name", 1, 1, nil), kerr.InvalidTopicException},
		"the name ..":                 {franz.CreateTopic(ctx, "..", 1, 1, nil), kerr.InvalidTopicException},
		"a name of 250":               {franz.CreateTopic(ctx, strings.Repeat("n", 250), 1, 1, nil), kerr.InvalidTopicException},
		"an unknown config":           {franz.CreateTopic(ctx, "codes.c", 1, 1, map[string]string{"no.such": "1"}), kerr.InvalidConfig},
		"a config that is no number":  {franz.CreateTopic(ctx, "codes.c", 1, 1, map[string]string{"retention.ms": "x"}), kerr.InvalidConfig},
		"a cleanup policy of no kind": {franz.CreateTopic(ctx, "codes.c", 1, 1, map[string]string{"cleanup.policy": "burn"}), kerr.InvalidConfig},
		"delete of an unknown topic":  {franz.DeleteTopic(ctx, "codes.never"), kerr.UnknownTopicOrPartition},
	} {
		if kerr.ErrorForCode(codeOf(c.got)) != c.want {
			t.Errorf("%s: %v, want %v", what, c.got, c.want)
		}
	}
}

func codeOf(err error) int16 {
	var typed *kerr.Error
	if errors.As(err, &typed) {
		return typed.Code
	}
	return 0
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// TestLookupInsideZstd: the first thing that a fresh broker has to open is one large, highly compressible batch of librdkafka's, whose zstd frame
// tells no size: a broker that reuses buffers must not depend on an earlier batch having grown them.
func TestLookupInsideZstd(t *testing.T) {
	ctx := testContext(t)
	b, err := broker.Start(broker.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Kill()
	client := NewLibrdkafka(b.Addr())
	defer client.Close()
	createTopic(t, ctx, b.Addr(), "lookup", 1)
	records := makeRecords(1, perPartition, 0, Traits{})
	if _, err := client.Produce(ctx, ProduceConfig{Topic: "lookup", Codec: "zstd", Idempotent: true}, records); err != nil {
		t.Fatal(err)
	}
	at := records[perPartition-2].TimestampMs
	want := slices.IndexFunc(records, func(r Record) bool { return r.TimestampMs >= at })
	got, err := NewFranz(b.Addr()).Offsets(ctx, "lookup", 0, []int64{at})
	if err != nil || got[0] != int64(want) {
		t.Errorf("the offset of timestamp %d is %v (%v), want %d", at, got, err, want)
	}
}
