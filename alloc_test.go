package ottla_test

import (
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/ottla-io/ottla"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/wire"
	"github.com/ottla-io/ottla/ottlatest"
)

// rawClient speaks the protocol without a client library, and without an allocation once its buffers have grown, so that what a
// request allocates is the broker's.
type rawClient struct {
	t       testing.TB
	conn    net.Conn
	encoder wire.Encoder
	reply   []byte
}

func dialRaw(t testing.TB, broker *ottla.Broker) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", broker.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &rawClient{t: t, conn: conn, reply: make([]byte, 1<<20)}
}

// build encodes one request as a frame.
func (c *rawClient) build(key, version int16, body wire.Message) []byte {
	var header wire.RequestHeader
	header.Default()
	header.RequestApiKey, header.RequestApiVersion, header.CorrelationId, header.ClientId = key, version, 1, wire.SomeString("raw")
	c.encoder.Reset()
	c.encoder.Buf = append(c.encoder.Buf[:0], 0, 0, 0, 0)
	if err := header.Encode(&c.encoder, wire.RequestHeaderVersion(key, version)); err != nil {
		c.t.Fatal(err)
	}
	if err := body.Encode(&c.encoder, version); err != nil {
		c.t.Fatal(err)
	}
	binary.BigEndian.PutUint32(c.encoder.Buf, uint32(len(c.encoder.Buf)-4))
	return append([]byte(nil), c.encoder.Buf...)
}

// roundTrip sends a frame and reads the reply, without its length.
func (c *rawClient) roundTrip(frame []byte) []byte {
	if _, err := c.conn.Write(frame); err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.ReadFull(c.conn, c.reply[:4]); err != nil {
		c.t.Fatal(err)
	}
	n := binary.BigEndian.Uint32(c.reply)
	if _, err := io.ReadFull(c.conn, c.reply[:n]); err != nil {
		c.t.Fatal(err)
	}
	return c.reply[:n]
}

func produceFrame(c *rawClient, topic string, acks int16) []byte {
	builder := record.NewBuilder(record.None, record.DefaultLevel)
	builder.Append(time.Now().UnixMilli(), nil, make([]byte, 1024))
	batch, err := builder.Build()
	if err != nil {
		c.t.Fatal(err)
	}
	var req wire.ProduceRequest
	req.Default()
	req.Acks, req.TimeoutMs = acks, 10_000
	req.TopicData = []wire.ProduceRequestTopicProduceData{{Name: topic, PartitionData: []wire.ProduceRequestPartitionProduceData{{Index: 0, Records: wire.Records{Bytes: batch}}}}}
	return c.build(wire.ProduceKey, 9, &req)
}

func fetchFrame(c *rawClient, topic string, offset int64) []byte {
	var req wire.FetchRequest
	req.Default()
	req.MaxWaitMs, req.MinBytes, req.MaxBytes = 100, 1, 1<<20
	partition := wire.FetchRequestFetchPartition{}
	partition.Default()
	partition.FetchOffset, partition.PartitionMaxBytes = offset, 16<<10
	req.Topics = []wire.FetchRequestFetchTopic{{Topic: topic, Partitions: []wire.FetchRequestFetchPartition{partition}}}
	return c.build(wire.FetchKey, 12, &req)
}

// allocationsPerRequest is how many heap objects the whole process makes for one round trip.
func allocationsPerRequest(c *rawClient, frame []byte) float64 {
	const warm, counted = 500, 2000
	for range warm {
		c.roundTrip(frame)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range counted {
		c.roundTrip(frame)
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / counted
}

// TestAllocationsOfTheWholePath holds: none for a batch, at most two for a request, from socket to file and back.
func TestAllocationsOfTheWholePath(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget at random")
	}
	const most = 2.0
	for _, durability := range []string{"replicated", "fsync"} {
		// On a real disk: the memory disk allocates pages, and copies them at each sync.
		broker := ottlatest.Start(t, ottlatest.WithDataDir(t.TempDir()), ottlatest.WithSetting("ottla.durability", durability))
		client := newClient(t, broker)
		produce(t, client, "t", 0, 1)
		for _, key := range []string{"producer_byte_rate", "consumer_byte_rate", "request_percentage"} { // counting costs none either
			setQuota(t, client, "client-id", "raw", key, 1e12)
		}
		raw := dialRaw(t, broker)
		for _, c := range []struct {
			name  string
			frame []byte
		}{
			{"produce acks=1", produceFrame(raw, "t", 1)},
			{"produce acks=all", produceFrame(raw, "t", -1)},
			{"fetch", fetchFrame(raw, "t", 0)},
		} {
			n := allocationsPerRequest(raw, c.frame)
			t.Logf("%s, %s: %.2f allocations a request", durability, c.name, n)
			if n > most {
				t.Errorf("%s, %s: %.2f allocations a request, want at most %.0f", durability, c.name, n, most)
			}
		}
	}
}

// BenchmarkStart is an empty broker in a test, from Start to Close; the aim is under 50 ms.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		broker, err := ottla.Start(ottla.Config{InMemory: true})
		if err != nil {
			b.Fatal(err)
		}
		if err := broker.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
