package api

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

type fetchPart struct {
	topic     string
	partition int32
	offset    int64
}

// newFetch asks for whole batches of up to 1 MiB, for a second, by name.
func newFetch(parts ...fetchPart) *wire.FetchRequest {
	req := new(wire.FetchRequest)
	req.Default()
	req.MaxWaitMs, req.MinBytes, req.MaxBytes = 1000, 1, 1<<20
	for _, p := range parts {
		addFetch(req, p, ids.TopicID{})
	}
	return req
}

func addFetch(req *wire.FetchRequest, p fetchPart, topic ids.TopicID) {
	var part wire.FetchRequestFetchPartition
	part.Default()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = p.partition, p.offset, 1<<20
	req.Topics = append(req.Topics, wire.FetchRequestFetchTopic{Topic: p.topic, TopicId: wire.UUID(topic), Partitions: []wire.FetchRequestFetchPartition{part}})
}

func session(req *wire.FetchRequest, id, epoch int32) *wire.FetchRequest {
	req.SessionId, req.SessionEpoch = id, epoch
	return req
}

type fetchAnswer struct {
	Topic     string
	Partition int32
	Code      wire.ErrorCode
	Watermark int64
	Bytes     int
}

func fetched(resp *wire.FetchResponse) (out []fetchAnswer) {
	for _, topic := range resp.Responses {
		for _, p := range topic.Partitions {
			out = append(out, fetchAnswer{topic.Topic, p.PartitionIndex, p.ErrorCode, p.HighWatermark, len(p.Records.Bytes)})
		}
	}
	return out
}

// checkIdle holds that nothing given out is still out, and nobody but sessions waits.
func (g *rig) checkIdle(waiters int) {
	g.t.Helper()
	if g.partitions.regions != 0 {
		g.t.Errorf("%d regions not released", g.partitions.regions)
	}
	if n := g.partitions.waiting(); n != waiters {
		g.t.Errorf("%d waiters, want %d", n, waiters)
	}
}

func TestFetchAnswers(t *testing.T) {
	simulated(t, 1, func(env run.Env) {
		g := newRig(t, env)
		one := batchOf(3, 10)
		g.partitions.append("a", 0, one)
		g.partitions.append("a", 0, one)
		g.partitions.append("b", 0, one)
		size := len(one)
		tests := []struct {
			name string
			req  *wire.FetchRequest
			want []fetchAnswer
		}{
			{"in the request's order", newFetch(fetchPart{"b", 0, 0}, fetchPart{"a", 0, 0}), []fetchAnswer{{"b", 0, 0, 3, size}, {"a", 0, 0, 6, 2 * size}}},
			{"an offset inside a batch gives the whole batch", newFetch(fetchPart{"a", 0, 4}), []fetchAnswer{{"a", 0, 0, 6, size}}},
			{"a partition without data is there too", newFetch(fetchPart{"a", 1, 0}, fetchPart{"a", 0, 3}), []fetchAnswer{{"a", 1, 0, 0, 0}, {"a", 0, 0, 6, size}}},
			{"unknown topic, unknown partition", newFetch(fetchPart{"nope", 0, 0}, fetchPart{"a", 9, 0}), []fetchAnswer{{"nope", 0, 3, -1, 0}, {"a", 9, 3, -1, 0}}},
			{"an offset past the end has no offsets in its answer", newFetch(fetchPart{"a", 0, 99}, fetchPart{"a", 0, -1}), []fetchAnswer{{"a", 0, 1, -1, 0}, {"a", 0, 1, -1, 0}}},
			{"an error comes with what there is", newFetch(fetchPart{"nope", 0, 0}, fetchPart{"a", 0, 0}), []fetchAnswer{{"nope", 0, 3, -1, 0}, {"a", 0, 0, 6, 2 * size}}},
		}
		for _, test := range tests {
			begun := env.Monotonic()
			var resp wire.FetchResponse
			g.do(wire.FetchKey, 12, test.req, &resp)
			if diff := cmp.Diff(test.want, fetched(&resp)); diff != "" {
				t.Errorf("%s: %s", test.name, diff)
			}
			if env.Monotonic() != begun {
				t.Errorf("%s: answered after %v", test.name, env.Monotonic()-begun)
			}
			if resp.SessionId != 0 {
				t.Errorf("%s: session %d", test.name, resp.SessionId)
			}
		}
		g.checkIdle(0)
	})
}

// TestFetchBytes holds KIP-74: the first batch comes whole, whatever the limits; then the limits hold.
func TestFetchBytes(t *testing.T) {
	g := newRig(t, run.OS(), func(s *Settings) { s.FetchMaxBytes = 5000 })
	big := batchOf(1, 1000)
	for range 10 {
		g.partitions.append("a", 0, big)
		g.partitions.append("a", 1, big)
	}
	n := len(big)
	tests := []struct {
		name              string
		max, partitionMax int32
		want              []int
	}{
		{"both limits below one batch", 1, 1, []int{n, 0}},
		{"zero limits", 0, 0, []int{n, 0}},
		{"negative limits", -1, -1, []int{0, 0}},
		{"negative whole limit", -1, 1 << 20, []int{0, n}},
		{"negative partition limit", 5000, -1, []int{0, 0}},
		{"partition limit", 5000, int32(2*n + 5), []int{2 * n, 2 * n}},
		{"whole limit", int32(3*n + 5), 1 << 20, []int{3 * n, 0}},
		{"broker's limit", 1 << 30, 1 << 30, []int{4 * n, 0}},
		{"partition limit below one batch, only the first is exempt", 5000, 10, []int{n, 0}},
	}
	for _, test := range tests {
		req := newFetch(fetchPart{"a", 0, 0}, fetchPart{"a", 1, 0})
		req.MaxBytes = test.max
		for i := range req.Topics {
			req.Topics[i].Partitions[0].PartitionMaxBytes = test.partitionMax
		}
		var resp wire.FetchResponse
		g.do(wire.FetchKey, 12, req, &resp)
		var got []int
		for _, a := range fetched(&resp) {
			got = append(got, a.Bytes)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
	g.checkIdle(0)
}

// TestFetchIsolation: a level that does not exist fails the request as a whole; before version 13 each partition says so, too.
func TestFetchIsolation(t *testing.T) {
	g := newRig(t, run.OS())
	g.partitions.append("a", 0, batchOf(1, 10))
	for _, version := range []int16{4, 7, 12, 13, 18} {
		for _, level := range []int8{2, -1} {
			req := newFetch(fetchPart{"a", 0, 0}, fetchPart{"a", 1, 0})
			req.IsolationLevel = level
			var resp wire.FetchResponse
			g.do(wire.FetchKey, version, req, &resp)
			if code := resp.ErrorCode; version >= 7 && code != wire.ErrorUnknownServerError {
				t.Errorf("version %d level %d: %s", version, level, code)
			}
			want := 2
			if version >= 13 {
				want = 0
			}
			got := 0
			for _, topic := range resp.Responses {
				for _, p := range topic.Partitions {
					if got++; p.ErrorCode != wire.ErrorUnknownServerError {
						t.Errorf("version %d level %d: %+v", version, level, p)
					}
				}
			}
			if got != want {
				t.Errorf("version %d level %d: %d partitions in the answer, want %d", version, level, got, want)
			}
		}
	}
	g.checkIdle(0)
}

func TestFetchVersions(t *testing.T) {
	g := newRig(t, run.OS())
	batch := batchOf(1, 10)
	g.partitions.append("a", 0, batch)
	for version := int16(4); version <= 18; version++ {
		req := newFetch()
		if version >= 13 {
			addFetch(req, fetchPart{"", 0, 0}, id(1))
			addFetch(req, fetchPart{"", 0, 0}, id(9))
			addFetch(req, fetchPart{"", 0, 0}, ids.TopicID{})
		} else {
			addFetch(req, fetchPart{"a", 0, 0}, ids.TopicID{})
		}
		var resp wire.FetchResponse
		g.do(wire.FetchKey, version, req, &resp)
		p := resp.Responses[0].Partitions[0]
		if !bytes.Equal(p.Records.Bytes, batch) || p.HighWatermark != 1 || p.LastStableOffset != 1 || p.PreferredReadReplica != -1 || p.AbortedTransactions != nil {
			t.Errorf("version %d: %+v", version, p)
		}
		if wantStart := int64(0); version >= 5 && p.LogStartOffset != wantStart {
			t.Errorf("version %d: log start %d", version, p.LogStartOffset)
		}
		if version < 13 {
			continue
		}
		if resp.Responses[0].TopicId != wire.UUID(id(1)) || resp.Responses[1].Partitions[0].ErrorCode != wire.ErrorUnknownTopicID ||
			resp.Responses[2].Partitions[0].ErrorCode != wire.ErrorUnknownTopicID {
			t.Errorf("version %d: %+v", version, resp.Responses)
		}
	}
}

func TestFetchHints(t *testing.T) {
	g := newRig(t, run.OS())
	g.cluster.apply(t, brokerRecord(8, false))
	g.partitions.log("a", 0).leader = 8
	g.partitions.fail("a", 0, wire.ErrorNotLeaderOrFollower)
	for _, version := range []int16{12, 16} {
		req := newFetch()
		addFetch(req, fetchPart{"a", 0, 0}, map[bool]ids.TopicID{true: id(1)}[version >= 13])
		var resp wire.FetchResponse
		g.do(wire.FetchKey, version, req, &resp)
		if got := resp.Responses[0].Partitions[0].CurrentLeader; got != (wire.FetchResponseLeaderIdAndEpoch{LeaderId: 8, LeaderEpoch: 9}) {
			t.Errorf("version %d: %+v", version, got)
		}
		if version >= 16 && (len(resp.NodeEndpoints) != 1 || resp.NodeEndpoints[0].Host != "host-8" || resp.NodeEndpoints[0].Port != 9008) {
			t.Errorf("version %d: %+v", version, resp.NodeEndpoints)
		}
	}
}

// TestFetchEpochs: what a client says of epochs reaches the partition, and a diverging log is told at once (KIP-320, KIP-595).
func TestFetchEpochs(t *testing.T) {
	simulated(t, 1, func(env run.Env) {
		g := newRig(t, env)
		g.partitions.log("a", 0).diverging = 17
		req := newFetch(fetchPart{"a", 0, 0})
		req.Topics[0].Partitions[0].CurrentLeaderEpoch, req.Topics[0].Partitions[0].LastFetchedEpoch = 5, 4
		var resp wire.FetchResponse
		g.do(wire.FetchKey, 12, req, &resp)
		if p := resp.Responses[0].Partitions[0]; p.DivergingEpoch != (wire.FetchResponseEpochEndOffset{Epoch: 1, EndOffset: 17}) {
			t.Errorf("%+v", p.DivergingEpoch)
		}
		if q := g.partitions.queries[0]; q.CurrentLeaderEpoch != 5 || q.LastFetchedEpoch != 4 {
			t.Errorf("%+v", q)
		}
		if env.Monotonic() != 0 {
			t.Error("waited")
		}
	})
}

func TestFetchLongPoll(t *testing.T) {
	size := len(batchOf(1, 10))
	tests := []struct {
		name     string
		adjust   func(*wire.FetchRequest)
		event    func(g *rig)
		wantWake bool
		want     []fetchAnswer
	}{
		{"data for a named partition", nil, func(g *rig) { g.partitions.append("a", 1, batchOf(1, 10)) }, true,
			[]fetchAnswer{{"a", 0, 0, 0, 0}, {"a", 1, 0, 1, size}}},
		{"data for another partition", nil, func(g *rig) { g.partitions.append("b", 0, batchOf(1, 10)) }, false,
			[]fetchAnswer{{"a", 0, 0, 0, 0}, {"a", 1, 0, 0, 0}}},
		{"an error", nil, func(g *rig) { g.partitions.fail("a", 0, wire.ErrorNotLeaderOrFollower) }, true,
			[]fetchAnswer{{"a", 0, 6, -1, 0}, {"a", 1, 0, 0, 0}}},
		{"less than min_bytes", func(r *wire.FetchRequest) { r.MinBytes = int32(size) + 1 }, func(g *rig) { g.partitions.append("a", 1, batchOf(1, 10)) }, false,
			[]fetchAnswer{{"a", 0, 0, 0, 0}, {"a", 1, 0, 1, size}}},
		{"min_bytes from two partitions", func(r *wire.FetchRequest) { r.MinBytes = int32(size) + 1 }, func(g *rig) {
			g.partitions.append("a", 1, batchOf(1, 10))
			g.partitions.append("a", 0, batchOf(1, 10))
		}, true, []fetchAnswer{{"a", 0, 0, 1, size}, {"a", 1, 0, 1, size}}},
		{"min_bytes from one partition twice", func(r *wire.FetchRequest) { r.MinBytes = int32(size) + 1 }, func(g *rig) {
			g.partitions.append("a", 1, batchOf(1, 10))
			g.partitions.append("a", 1, batchOf(1, 10))
		}, true, []fetchAnswer{{"a", 0, 0, 0, 0}, {"a", 1, 0, 2, 2 * size}}},
		{"read_committed below the last stable offset", func(r *wire.FetchRequest) { r.IsolationLevel = 1 }, func(g *rig) {
			g.partitions.log("a", 1).stable = 0
			g.partitions.append("a", 1, batchOf(1, 10))
		}, false, []fetchAnswer{{"a", 0, 0, 0, 0}, {"a", 1, 0, 1, 0}}},
		{"read_committed after the transaction ended", func(r *wire.FetchRequest) { r.IsolationLevel = 1 }, func(g *rig) {
			g.partitions.log("a", 1).stable = 0
			g.partitions.append("a", 1, batchOf(1, 10))
			g.partitions.log("a", 1).stable = 2
			g.partitions.append("a", 1, batchOf(1, 10))
		}, true, []fetchAnswer{{"a", 0, 0, 0, 0}, {"a", 1, 0, 2, 2 * size}}},
		{"an append below the client's offset", func(r *wire.FetchRequest) { r.Topics[1].Partitions[0].FetchOffset = 3 }, func(g *rig) {
			g.partitions.log("a", 1).end = 5
			g.partitions.advance("a", 1, 2)
		}, false, []fetchAnswer{{"a", 0, 0, 0, 0}, {"a", 1, 0, 2, 0}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			simulated(t, 1, func(env run.Env) {
				g := newRig(t, env)
				g.partitions.log("a", 1).end = 0
				req := newFetch(fetchPart{"a", 0, 0}, fetchPart{"a", 1, 0})
				if test.adjust != nil {
					test.adjust(req)
				}
				if req.Topics[1].Partitions[0].FetchOffset > 0 {
					g.partitions.log("a", 1).end = 5
				}
				c := g.start(wire.FetchKey, 12, req)
				if c.outcome != Parked || g.partitions.regions != 0 {
					t.Fatalf("outcome %d, %d regions", c.outcome, g.partitions.regions)
				}
				test.event(g)
				if c.woken() != test.wantWake {
					t.Errorf("woken %v", c.woken())
				}
				var resp wire.FetchResponse
				c.reply(&resp)
				if diff := cmp.Diff(test.want, fetched(&resp)); diff != "" {
					t.Error(diff)
				}
				if waited := env.Monotonic(); (waited >= time.Second) == test.wantWake {
					t.Errorf("answered after %v", waited)
				}
				g.checkIdle(0)
			})
		})
	}
}

// TestFetchDoesNotWait: a client that does not want to wait, or asks for nothing, is answered at once.
func TestFetchDoesNotWait(t *testing.T) {
	g := newRig(t, run.OS())
	for name, req := range map[string]*wire.FetchRequest{
		"max wait 0":       func() *wire.FetchRequest { r := newFetch(fetchPart{"a", 0, 0}); r.MaxWaitMs = 0; return r }(),
		"negative wait":    func() *wire.FetchRequest { r := newFetch(fetchPart{"a", 0, 0}); r.MaxWaitMs = -1; return r }(),
		"min bytes 0":      func() *wire.FetchRequest { r := newFetch(fetchPart{"a", 0, 0}); r.MinBytes = 0; return r }(),
		"nothing to fetch": newFetch(),
	} {
		if c := g.start(wire.FetchKey, 12, req); c.outcome != Replied {
			t.Errorf("%s: outcome %d", name, c.outcome)
		}
	}
}

// TestFetchNewsBetweenLookAndWatch: what is appended after the look and before the registration is not missed.
func TestFetchNewsBetweenLookAndWatch(t *testing.T) {
	g := newRig(t, run.OS())
	appended := false
	g.partitions.onWatch = func(*replication.Target) {
		if !appended {
			appended = true
			g.partitions.append("a", 0, batchOf(1, 10))
		}
	}
	c := g.start(wire.FetchKey, 12, newFetch(fetchPart{"a", 0, 0}))
	if c.outcome != Replied {
		t.Fatalf("outcome %d", c.outcome)
	}
	var resp wire.FetchResponse
	c.reply(&resp)
	if got := fetched(&resp); got[0].Watermark != 1 || got[0].Bytes == 0 {
		t.Errorf("%+v", got)
	}
	g.checkIdle(0)
}

// TestFetchEndlessNews: a partition that always has news, but never a byte for this client, is answered, not looked at forever.
func TestFetchEndlessNews(t *testing.T) {
	g := newRig(t, run.OS())
	g.partitions.onWatch = func(*replication.Target) { g.partitions.log("a", 0).start-- }
	c := g.start(wire.FetchKey, 12, newFetch(fetchPart{"a", 0, 0}))
	if c.outcome != Replied || g.partitions.fetches > 2*looksBeforeReply {
		t.Errorf("outcome %d after %d looks", c.outcome, g.partitions.fetches)
	}
}

func TestFetchAbortedTransactions(t *testing.T) {
	g := newRig(t, run.OS())
	g.partitions.append("a", 0, batchOf(1, 10))
	g.partitions.append("a", 1, batchOf(1, 10))
	g.partitions.log("a", 0).aborted = []replication.AbortedTransaction{{ProducerID: 7, FirstOffset: 3}}
	req := newFetch(fetchPart{"a", 0, 0}, fetchPart{"a", 1, 0})
	req.IsolationLevel = 1
	for range 2 {
		var resp wire.FetchResponse
		g.do(wire.FetchKey, 12, req, &resp)
		want := []wire.FetchResponseAbortedTransaction{{ProducerId: 7, FirstOffset: 3}}
		parts := []wire.FetchResponsePartitionData{resp.Responses[0].Partitions[0], resp.Responses[0].Partitions[1]}
		if diff := cmp.Diff(want, parts[0].AbortedTransactions); diff != "" {
			t.Error(diff)
		}
		if parts[1].AbortedTransactions == nil || len(parts[1].AbortedTransactions) != 0 {
			t.Errorf("%v: want an empty list, not null", parts[1].AbortedTransactions)
		}
	}
}

func TestFetchCancel(t *testing.T) {
	simulated(t, 1, func(env run.Env) {
		g := newRig(t, env)
		for range 3 {
			c := g.start(wire.FetchKey, 12, newFetch(fetchPart{"a", 0, 0}))
			c.r.Pending.Cancel()
			g.checkIdle(0)
		}
		g.partitions.append("a", 0, batchOf(1, 1))
		var resp wire.FetchResponse
		g.do(wire.FetchKey, 12, newFetch(fetchPart{"a", 0, 0}), &resp)
		if len(fetched(&resp)) != 1 {
			t.Errorf("%+v", fetched(&resp))
		}
		env.NewSignal().WaitFor(2 * time.Second) // timers of the cancelled ones
		g.checkIdle(0)
	})
}

// TestFetchRandomConsumers lets consumers, with and without sessions, read what producers append, in many orders, with
// failing partitions, forgotten and retaken ones, and cancelled polls. Each must see every byte once, in order, and none may
// hang: a fetch never lasts longer than its wait.
func TestFetchRandomConsumers(t *testing.T) {
	seeds := uint64(150)
	if testing.Short() {
		seeds = 20
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		simulated(t, seed, func(env run.Env) {
			g := newRig(t, env)
			group := run.NewGroup(env)
			const appends = 25
			names := []ids.TopicPartition{{Topic: "a"}, {Topic: "a", Partition: 1}, {Topic: "b"}}
			random := rand.New(rand.NewPCG(seed, 1))
			group.Go("producer", func() {
				for i := range appends * len(names) {
					tp := names[i%len(names)]
					g.partitions.append(tp.Topic, tp.Partition, batchOf(1+random.IntN(3), random.IntN(50)))
					switch random.IntN(8) {
					case 0:
						g.partitions.fail(tp.Topic, tp.Partition, wire.ErrorNotLeaderOrFollower)
						env.NewSignal().WaitFor(time.Millisecond)
						g.partitions.fail(tp.Topic, tp.Partition, wire.ErrorNone)
					case 1, 2:
						env.NewSignal().WaitFor(time.Duration(random.IntN(3000)) * time.Millisecond)
					}
				}
			})
			for consumer := range 4 {
				group.Go(fmt.Sprintf("consumer %d", consumer), func() {
					c := &randomConsumer{g: g.anotherConn(), random: rand.New(rand.NewPCG(seed, uint64(consumer)+2)), sessions: consumer > 0, committed: consumer == 3,
						next: map[ids.TopicPartition]int64{}, sent: map[ids.TopicPartition]int64{}, all: names}
					c.run(func() bool { return c.reached(appends) })
				})
			}
			group.Close()
			g.table.Close()
			g.checkIdle(0)
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// randomConsumer reads all partitions to their end.
type randomConsumer struct {
	g                   *rig
	random              *rand.Rand
	sessions, committed bool
	id, epoch           int32
	all                 []ids.TopicPartition
	next                map[ids.TopicPartition]int64 // offset to read next
	sent                map[ids.TopicPartition]int64 // what the session knows of it
	batches             int
}

func (c *randomConsumer) reached(appends int) bool {
	return c.batches == appends*len(c.all)
}

func (c *randomConsumer) run(done func() bool) {
	t := c.g.t
	for rounds := 0; !done(); rounds++ {
		if rounds > 3000 {
			t.Errorf("consumer has %v after %d rounds", c.next, rounds)
			return
		}
		req := c.request()
		begun := c.g.env.Monotonic()
		call := c.g.start(wire.FetchKey, 12, req)
		if call.outcome == Parked && c.random.IntN(10) == 0 {
			// The connection breaks; the client starts anew.
			call.r.Pending.Cancel()
			c.epoch = 0
			continue
		}
		var resp wire.FetchResponse
		call.reply(&resp)
		wait := time.Duration(req.MaxWaitMs) * time.Millisecond
		if waited := c.g.env.Monotonic() - begun; waited > wait+max(wait/32, time.Millisecond) { // see run.Coarse
			t.Errorf("a fetch took %v", waited)
		}
		c.take(&resp)
	}
}

func (c *randomConsumer) request() *wire.FetchRequest {
	req := newFetch()
	req.MaxWaitMs, req.MinBytes, req.MaxBytes = int32(c.random.IntN(600)), int32(c.random.IntN(3)*100), int32(50+c.random.IntN(400))
	if c.committed {
		req.IsolationLevel = 1
	}
	if !c.sessions || c.random.IntN(20) == 0 {
		c.epoch = 0
	}
	full := c.epoch == 0
	if full {
		clear(c.sent)
		req.SessionId = c.id
		if !c.sessions {
			req.SessionEpoch = finalSessionEpoch
		} else {
			req.SessionEpoch = initialSessionEpoch
		}
	} else {
		req.SessionId, req.SessionEpoch = c.id, c.epoch
	}
	for _, tp := range c.all {
		known, in := c.sent[tp]
		if !full && in && c.random.IntN(10) == 0 {
			delete(c.sent, tp)
			req.ForgottenTopicsData = append(req.ForgottenTopicsData, wire.FetchRequestForgottenTopic{Topic: tp.Topic, Partitions: []int32{tp.Partition}})
			continue
		}
		if !in || known != c.next[tp] {
			addFetch(req, fetchPart{tp.Topic, tp.Partition, c.next[tp]}, ids.TopicID{})
			c.sent[tp] = c.next[tp]
		}
	}
	return req
}

func (c *randomConsumer) take(resp *wire.FetchResponse) {
	t := c.g.t
	switch resp.ErrorCode {
	case wire.ErrorNone:
	case wire.ErrorFetchSessionIDNotFound:
		c.epoch, c.id = 0, 0
		return
	default:
		t.Errorf("consumer got %v", resp.ErrorCode)
		return
	}
	if c.sessions && resp.SessionId != 0 {
		if c.epoch == 0 {
			c.id = resp.SessionId
		}
		c.epoch = nextSessionEpoch(c.epoch)
	} else {
		c.id, c.epoch = 0, 0
	}
	backOff := false // else no time would pass in which the partition could heal
	for _, topic := range resp.Responses {
		for _, p := range topic.Partitions {
			tp := ids.TopicPartition{Topic: topic.Topic, Partition: p.PartitionIndex}
			switch p.ErrorCode {
			case wire.ErrorNone:
			case wire.ErrorNotLeaderOrFollower:
				backOff = true
			default:
				t.Errorf("%v: %v", tp, p.ErrorCode)
			}
			for rest := p.Records.Bytes; len(rest) > 0; {
				b, after, err := record.Next(rest)
				if err != nil {
					t.Error(err)
					return
				}
				if int64(b.BaseOffset()) != c.next[tp] {
					t.Errorf("%v: batch at %d, want %d", tp, b.BaseOffset(), c.next[tp])
				}
				c.next[tp], rest = int64(b.NextOffset()), after
				c.batches++
			}
		}
	}
	if backOff {
		c.g.env.NewSignal().WaitFor(time.Millisecond)
	}
}

func TestNextSessionEpoch(t *testing.T) {
	for epoch, want := range map[int32]int32{0: 1, 1: 2, math.MaxInt32: 1} {
		if got := nextSessionEpoch(epoch); got != want {
			t.Errorf("after %d comes %d, want %d", epoch, got, want)
		}
	}
}
