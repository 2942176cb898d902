package api

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

type producePart struct {
	index   int32
	records []byte
}

func produceTo(req *wire.ProduceRequest, name string, topic ids.TopicID, parts ...producePart) {
	data := wire.ProduceRequestTopicProduceData{Name: name, TopicId: wire.UUID(topic)}
	for _, p := range parts {
		data.PartitionData = append(data.PartitionData, wire.ProduceRequestPartitionProduceData{Index: p.index, Records: wire.Records{Bytes: p.records}})
	}
	req.TopicData = append(req.TopicData, data)
}

func newProduce(acks int16, timeoutMs int32) *wire.ProduceRequest {
	req := new(wire.ProduceRequest)
	req.Default()
	req.Acks, req.TimeoutMs = acks, timeoutMs
	return req
}

// appends answers every Produce as a log would: base offsets of one record each, and with acks=-1 a wait for the watermark.
func appends(g *rig) {
	next := map[ids.TopicPartition]ids.Offset{}
	g.partitions.produce = func(q *replication.ProduceQuery, res *replication.Produced, w *replication.Waiter) bool {
		topic := q.Topic
		if topic == "" {
			topic = g.partitions.names[q.TopicID]
		}
		tp := ids.TopicPartition{Topic: topic, Partition: q.Partition}
		res.BaseOffset, res.LogStart = next[tp], 0
		next[tp]++
		if q.Acks == -1 {
			g.partitions.await(topic, q.Partition, next[tp], w)
			return true
		}
		return false
	}
}

type produceAnswer struct {
	Topic   string
	ID      byte
	Index   int32
	Code    wire.ErrorCode
	Base    int64
	Message string
}

func answersOf(resp *wire.ProduceResponse) (out []produceAnswer) {
	for _, topic := range resp.Responses {
		for _, p := range topic.PartitionResponses {
			out = append(out, produceAnswer{topic.Name, topic.TopicId[0], p.Index, p.ErrorCode, p.BaseOffset, p.ErrorMessage.Value})
		}
	}
	return out
}

func TestProduceAnswers(t *testing.T) {
	ok := batchOf(1, 10)
	transactional := func() []byte {
		b := record.NewBuilder(record.None, 0)
		b.Producer(5, 0, 0)
		b.Transactional()
		b.Append(1, nil, nil)
		batch, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return batch
	}()
	const noTransactions = "this broker does not serve transactions yet"
	tests := []struct {
		name    string
		version int16
		acks    int16
		txn     string
		fill    func(*wire.ProduceRequest)
		want    []produceAnswer
	}{
		{"acks=1 by name", 9, 1, "", func(r *wire.ProduceRequest) {
			produceTo(r, "a", ids.TopicID{}, producePart{1, ok}, producePart{0, ok})
			produceTo(r, "nope", ids.TopicID{}, producePart{0, ok})
		}, []produceAnswer{{"a", 0, 1, 0, 0, ""}, {"a", 0, 0, 0, 0, ""}, {"nope", 0, 0, 3, -1, ""}}},
		{"by topic id from version 13", 13, 1, "", func(r *wire.ProduceRequest) {
			produceTo(r, "", id(1), producePart{0, ok})
			produceTo(r, "", id(9), producePart{0, ok})
			produceTo(r, "", ids.TopicID{}, producePart{0, ok})
		}, []produceAnswer{{"", 1, 0, 0, 0, ""}, {"", 9, 0, 100, -1, ""}, {"", 0, 0, 100, -1, ""}}},
		{"unknown partitions", 9, 1, "", func(r *wire.ProduceRequest) {
			produceTo(r, "a", ids.TopicID{}, producePart{2, ok}, producePart{-1, ok})
		}, []produceAnswer{{"a", 0, 2, 3, -1, ""}, {"a", 0, -1, 3, -1, ""}}},
		{"acks=2 is INVALID_REQUIRED_ACKS where the topic exists", 9, 2, "", func(r *wire.ProduceRequest) {
			produceTo(r, "a", ids.TopicID{}, producePart{0, ok})
			produceTo(r, "nope", ids.TopicID{}, producePart{0, ok})
		}, []produceAnswer{{"a", 0, 0, 21, -1, ""}, {"nope", 0, 0, 3, -1, ""}}},
		{"acks=-2 by id", 13, -2, "", func(r *wire.ProduceRequest) {
			produceTo(r, "", id(1), producePart{0, ok})
			produceTo(r, "", id(9), producePart{0, ok})
		}, []produceAnswer{{"", 1, 0, 21, -1, ""}, {"", 9, 0, 100, -1, ""}}},
		{"a transactional batch without transactional id", 9, -1, "", func(r *wire.ProduceRequest) {
			produceTo(r, "a", ids.TopicID{}, producePart{0, ok}, producePart{1, transactional})
			produceTo(r, "nope", ids.TopicID{}, producePart{0, ok})
		}, []produceAnswer{{"a", 0, 0, 53, -1, noTransactions}, {"a", 0, 1, 53, -1, noTransactions}, {"nope", 0, 0, 53, -1, noTransactions}}},
		{"a transactional batch with transactional id", 9, -1, "t", func(r *wire.ProduceRequest) {
			produceTo(r, "a", ids.TopicID{}, producePart{1, transactional})
		}, []produceAnswer{{"a", 0, 1, 53, -1, noTransactions}}},
		{"a plain batch with transactional id, as Kafka", 9, 1, "t", func(r *wire.ProduceRequest) {
			produceTo(r, "a", ids.TopicID{}, producePart{1, ok})
		}, []produceAnswer{{"a", 0, 1, 0, 0, ""}}},
		{"a partition named twice gets both batches", 9, 1, "", func(r *wire.ProduceRequest) {
			produceTo(r, "a", ids.TopicID{}, producePart{0, ok}, producePart{0, ok})
		}, []produceAnswer{{"a", 0, 0, 0, 0, ""}, {"a", 0, 0, 0, 1, ""}}},
		{"nothing", 9, -1, "", func(r *wire.ProduceRequest) {}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := newRig(t, run.OS())
			appends(g)
			req := newProduce(test.acks, 1000)
			req.TransactionalId = wire.NullString{Value: test.txn, Valid: test.txn != ""}
			test.fill(req)
			var resp wire.ProduceResponse
			g.do(wire.ProduceKey, test.version, req, &resp)
			if diff := cmp.Diff(test.want, answersOf(&resp)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProduceVersions(t *testing.T) {
	for version := int16(3); version <= 13; version++ {
		g := newRig(t, run.OS())
		var zstd []bool
		g.partitions.produce = func(q *replication.ProduceQuery, res *replication.Produced, _ *replication.Waiter) bool {
			zstd = append(zstd, q.ZstdAllowed)
			*res = replication.Produced{Error: wire.ErrorInvalidRecord, ErrorMessage: "bad", RecordErrors: []record.RecordError{{Index: 4, Message: "no key"}, {Index: 6}},
				BaseOffset: -1, LogAppendTimeMs: -1, LogStart: -1, Leader: -1, LeaderEpoch: -1}
			return false
		}
		req := newProduce(-1, 1000)
		name, topic := "a", ids.TopicID{}
		if version >= 13 {
			name, topic = "", id(1)
		}
		produceTo(req, name, topic, producePart{0, batchOf(1, 1)})
		var resp wire.ProduceResponse
		g.do(wire.ProduceKey, version, req, &resp)
		got := resp.Responses[0].PartitionResponses[0]
		if got.ErrorCode != wire.ErrorInvalidRecord {
			t.Errorf("version %d: %v", version, got.ErrorCode)
		}
		if zstd[0] != (version >= 7) {
			t.Errorf("version %d: zstd allowed is %v", version, zstd[0])
		}
		if version < 8 {
			continue
		}
		want := []wire.ProduceResponseBatchIndexAndErrorMessage{{BatchIndex: 4, BatchIndexErrorMessage: wire.SomeString("no key")}, {BatchIndex: 6}}
		if diff := cmp.Diff(want, got.RecordErrors); diff != "" || got.ErrorMessage != wire.SomeString("bad") {
			t.Errorf("version %d: %v %s", version, got.ErrorMessage, diff)
		}
	}
}

// TestProduceLeaderHint holds KIP-951: who is not the leader names the one it knows, and where it is.
func TestProduceLeaderHint(t *testing.T) {
	g := newRig(t, run.OS())
	g.cluster.apply(t, brokerRecord(8, false))
	g.partitions.produce = func(_ *replication.ProduceQuery, res *replication.Produced, _ *replication.Waiter) bool {
		res.Error, res.Leader, res.LeaderEpoch = wire.ErrorNotLeaderOrFollower, 8, 12
		return false
	}
	for _, version := range []int16{9, 10} {
		req := newProduce(1, 1000)
		produceTo(req, "a", ids.TopicID{}, producePart{0, batchOf(1, 1)}, producePart{1, batchOf(1, 1)})
		var resp wire.ProduceResponse
		g.do(wire.ProduceKey, version, req, &resp)
		want := []wire.ProduceResponseNodeEndpoint{{NodeId: 8, Host: "host-8", Port: 9008}}
		hint := resp.Responses[0].PartitionResponses[1].CurrentLeader
		if version < 10 {
			want, hint = nil, wire.ProduceResponseLeaderIdAndEpoch{LeaderId: 8, LeaderEpoch: 12}
		}
		if diff := cmp.Diff(want, resp.NodeEndpoints); diff != "" || hint != (wire.ProduceResponseLeaderIdAndEpoch{LeaderId: 8, LeaderEpoch: 12}) {
			t.Errorf("version %d: %v %s", version, hint, diff)
		}
	}
}

func TestProduceAcksAllWaitsForEveryPartition(t *testing.T) {
	simulated(t, 1, func(env run.Env) {
		g := newRig(t, env)
		appends(g)
		req := newProduce(-1, 1000)
		produceTo(req, "a", ids.TopicID{}, producePart{0, batchOf(1, 1)}, producePart{1, batchOf(1, 1)})
		c := g.start(wire.ProduceKey, 9, req)
		if c.outcome != Parked {
			t.Fatalf("outcome %d", c.outcome)
		}
		g.partitions.advance("a", 1, 1)
		if c.woken() {
			t.Fatal("woken before all partitions were durable")
		}
		g.partitions.advance("a", 0, 1)
		if !c.woken() {
			t.Fatal("not woken")
		}
		var resp wire.ProduceResponse
		c.reply(&resp)
		if diff := cmp.Diff([]produceAnswer{{"a", 0, 0, 0, 0, ""}, {"a", 0, 1, 0, 0, ""}}, answersOf(&resp)); diff != "" {
			t.Error(diff)
		}
	})
}

// TestProduceTimeout: what is not durable in time is REQUEST_TIMED_OUT, and says where the records are, which stay.
func TestProduceTimeout(t *testing.T) {
	for _, timeoutMs := range []int32{1500, 0, -1} {
		simulated(t, 2, func(env run.Env) {
			g := newRig(t, env)
			appends(g)
			req := newProduce(-1, timeoutMs)
			produceTo(req, "a", ids.TopicID{}, producePart{0, batchOf(1, 1)}, producePart{1, batchOf(1, 1)})
			begun := env.Monotonic()
			c := g.start(wire.ProduceKey, 9, req)
			g.partitions.advance("a", 1, 1)
			var resp wire.ProduceResponse
			c.reply(&resp)
			if waited := env.Monotonic() - begun; waited != time.Duration(max(timeoutMs, 0))*time.Millisecond {
				t.Errorf("timeout of %d ms after %v", timeoutMs, waited)
			}
			if diff := cmp.Diff([]produceAnswer{{"a", 0, 0, 7, 0, ""}, {"a", 0, 1, 0, 0, ""}}, answersOf(&resp)); diff != "" {
				t.Error(diff)
			}
			if n := g.partitions.waiting(); n != 0 {
				t.Errorf("%d waiters left", n)
			}
			g.partitions.advance("a", 0, 5) // nobody is hurt
		})
	}
}

// TestProduceFlushesOncePerRead: all requests of one read share one flush, and those that wait for none start none.
func TestProduceFlushesOncePerRead(t *testing.T) {
	simulated(t, 1, func(env run.Env) {
		g := newRig(t, env)
		appends(g)
		send := func(acks int16, topic string) {
			req := newProduce(acks, 1000)
			produceTo(req, topic, ids.TopicID{}, producePart{0, batchOf(1, 1)}, producePart{1, batchOf(1, 1)})
			g.start(wire.ProduceKey, 9, req)
		}
		for _, read := range []struct {
			send func()
			want int
		}{
			{func() { send(1, "a"); send(-1, "nope") }, 0},
			{func() { send(-1, "a"); send(-1, "a"); send(1, "a") }, 1},
			{func() {}, 1},
			{func() { send(-1, "a") }, 2},
		} {
			read.send()
			g.table.EndOfRead(g.conn)
			if g.partitions.flushes != read.want {
				t.Errorf("%d flushes, want %d", g.partitions.flushes, read.want)
			}
		}
	})
}

func TestProduceWaitEndsWithError(t *testing.T) {
	simulated(t, 3, func(env run.Env) {
		g := newRig(t, env)
		appends(g)
		req := newProduce(-1, 60_000)
		produceTo(req, "a", ids.TopicID{}, producePart{0, batchOf(1, 1)})
		c := g.start(wire.ProduceKey, 9, req)
		g.partitions.fail("a", 0, wire.ErrorNotEnoughReplicasAfterAppend)
		var resp wire.ProduceResponse
		c.reply(&resp)
		if got := resp.Responses[0].PartitionResponses[0].ErrorCode; got != wire.ErrorNotEnoughReplicasAfterAppend {
			t.Error(got)
		}
	})
}

// TestProduceAcksZero: no reply to a success, a closed connection for a failure.
func TestProduceAcksZero(t *testing.T) {
	g := newRig(t, run.OS())
	appends(g)
	good := newProduce(0, 1000)
	produceTo(good, "a", ids.TopicID{}, producePart{0, batchOf(1, 1)})
	if c := g.start(wire.ProduceKey, 9, good); c.outcome != Silent || len(c.r.Reply.Buf) != 0 {
		t.Errorf("outcome %d with %d bytes", c.outcome, len(c.r.Reply.Buf))
	}
	bad := newProduce(0, 1000)
	produceTo(bad, "a", ids.TopicID{}, producePart{0, batchOf(1, 1)})
	produceTo(bad, "nope", ids.TopicID{}, producePart{0, batchOf(1, 1)})
	c := g.start(wire.ProduceKey, 9, bad)
	if c.outcome != Hangup || !errors.Is(c.r.Err, wire.ErrorUnknownTopicOrPartition) {
		t.Errorf("outcome %d, %v", c.outcome, c.r.Err)
	}
}

// TestProduceCancel: a parked request whose connection is gone leaves nothing registered, and its state serves others.
func TestProduceCancel(t *testing.T) {
	simulated(t, 4, func(env run.Env) {
		g := newRig(t, env)
		appends(g)
		for i := range 3 {
			req := newProduce(-1, 1000)
			produceTo(req, "a", ids.TopicID{}, producePart{0, batchOf(1, 1)})
			c := g.start(wire.ProduceKey, 9, req)
			c.r.Pending.Cancel()
			if n := g.partitions.waiting(); n != 0 {
				t.Fatalf("%d waiters left", n)
			}
			c = g.start(wire.ProduceKey, 9, req)
			g.partitions.advance("a", 0, ids.Offset(2*i+2))
			var resp wire.ProduceResponse
			c.reply(&resp)
			if got := resp.Responses[0].PartitionResponses[0]; got.ErrorCode != 0 || got.BaseOffset != int64(2*i+1) {
				t.Errorf("round %d: %+v", i, got)
			}
		}
	})
}

// TestProduceWakesOnce runs timers, watermarks and errors of many requests against each other, in many orders.
func TestProduceWakesOnce(t *testing.T) {
	for seed := uint64(1); seed <= 60; seed++ {
		simulated(t, seed, func(env run.Env) {
			g := newRig(t, env)
			appends(g)
			group := run.NewGroup(env)
			const requests = 20
			calls := make([]*call, requests)
			for i := range calls {
				req := newProduce(-1, int32(i%4))
				produceTo(req, "a", ids.TopicID{}, producePart{0, batchOf(1, 1)}, producePart{1, batchOf(1, 1)})
				calls[i] = g.start(wire.ProduceKey, 9, req)
				group.Go("advance", func() {
					if i%3 > 0 {
						env.NewSignal().WaitFor(time.Duration(i%4) * time.Millisecond)
					}
					g.partitions.advance("a", int32(i%2), ids.Offset(i+1))
				})
			}
			for i, c := range calls {
				var resp wire.ProduceResponse
				c.reply(&resp)
				for _, a := range answersOf(&resp) {
					if a.Base != int64(i) || (a.Code != 0 && a.Code != wire.ErrorRequestTimedOut) {
						t.Errorf("seed %d request %d: %+v", seed, i, a)
					}
				}
			}
			group.Close()
			g.partitions.advance("a", 0, math.MaxInt64)
			g.partitions.advance("a", 1, math.MaxInt64)
			if n := g.partitions.waiting(); n != 0 {
				t.Errorf("seed %d: %d waiters left", seed, n)
			}
		})
	}
}
