package api

import (
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/quota"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

// limit gives the rig's table quotas for its one client: keys and values in turn.
func (g *rig) limit(values map[string]float64) *Quotas {
	windows := quota.Windows{Count: 11, SizeMs: 1000}
	q := NewQuotas(g.env, windows, windows)
	g.table.deps.Quotas = q
	g.table = NewTable(g.table.deps)
	q.Set(limitsFor("tester", values))
	return q
}

func limitsFor(clientID string, values map[string]float64) *quota.Limits {
	l := quota.NewLimits()
	for key, value := range values {
		l.Add(quota.Entity{ClientID: quota.Part{Named: true, Name: clientID}}, key, value)
	}
	return l
}

func TestProduceIsThrottled(t *testing.T) {
	for _, acks := range []int16{0, 1, -1} {
		simulated(t, 1, func(env run.Env) {
			g := newRig(t, env)
			appends(g)
			q := g.limit(map[string]float64{"producer_byte_rate": 100})
			req := newProduce(acks, 1000)
			produceTo(req, "a", ids.TopicID{}, producePart{0, batchOf(1, 100)})
			send := func() (told, mute int32) {
				c := g.start(wire.ProduceKey, 9, req)
				mute = c.r.MuteMs // already when the handler returns: the reply may have to wait for the disk
				if acks == 0 {
					if c.outcome != Silent {
						t.Fatalf("outcome %d", c.outcome)
					}
					return 0, mute
				}
				if acks == -1 {
					g.partitions.advance("a", 0, 1000)
				}
				var resp wire.ProduceResponse
				c.reply(&resp)
				return resp.ThrottleTimeMs, mute
			}
			// The sizes of frames are the server's to tell; here it is none.
			if told, mute := send(); told != 0 || mute != 0 {
				t.Errorf("acks=%d within the quota: told %d, mute %d", acks, told, mute)
			}
			q.charge(quota.Produce, q.limits.Load(), "tester", 1200)
			if told, mute := send(); mute != 2000 || acks != 0 && told != 2000 {
				t.Errorf("acks=%d over the quota: told %d, mute %d", acks, told, mute)
			}
			q.Set(quota.NewLimits())
			if told, mute := send(); told != 0 || mute != 0 {
				t.Errorf("acks=%d, the quota is gone: told %d, mute %d", acks, told, mute)
			}
		})
	}
}

// TestFetchIsThrottled: over the quota the answer is empty, costs nothing, and what it would have told stays new; a session that the
// request would have begun is not there.
func TestFetchIsThrottled(t *testing.T) {
	simulated(t, 1, func(env run.Env) {
		g := newRig(t, env)
		g.partitions.append("a", 0, batchOf(1, 100))
		g.partitions.advance("a", 0, 1)
		var resp wire.FetchResponse
		begin := session(newFetch(fetchPart{"a", 0, 0}), 0, 0)
		g.do(wire.FetchKey, 12, begin, &resp)
		id := resp.SessionId
		free := len(resp.Responses[0].Partitions[0].Records.Bytes)
		if id == 0 || free == 0 {
			t.Fatalf("session %d, %d bytes", id, free)
		}
		q := g.limit(map[string]float64{"consumer_byte_rate": 100})
		charge := func(bytes float64) { q.charge(quota.Fetch, q.limits.Load(), "tester", bytes) }
		g.do(wire.FetchKey, 12, begin, &resp)
		id = resp.SessionId
		charge(1500)
		throttled := func(req *wire.FetchRequest, wantID int32) {
			t.Helper()
			c := g.start(wire.FetchKey, 12, req)
			c.reply(&resp)
			if resp.ThrottleTimeMs < 4000 || c.r.MuteMs != resp.ThrottleTimeMs || len(resp.Responses) > 0 || resp.SessionId != wantID || resp.ErrorCode != 0 {
				t.Errorf("over the quota: %+v, mute %d", resp, c.r.MuteMs)
			}
		}
		again := session(newFetch(fetchPart{"a", 0, 0}), id, 1)
		throttled(again, id)
		throttled(begin, 0)
		throttled(newFetch(fetchPart{"a", 0, 0}), 0)
		if used, _, _ := q.Report(quota.Fetch, 5); len(used) != 1 || used[0].Throttles < 3 || used[0].Used > 200 {
			t.Errorf("report: %+v", used)
		}
		charge(-1500)
		g.do(wire.FetchKey, 12, session(newFetch(), id, 2), &resp)
		if resp.ThrottleTimeMs != 0 || len(resp.Responses) != 1 || len(resp.Responses[0].Partitions[0].Records.Bytes) != free {
			t.Errorf("after it: %+v", resp)
		}
		if g.partitions.regions != 0 {
			t.Errorf("%d regions were not given back", g.partitions.regions)
		}
	})
}

// TestFetchFitsItsQuota: a client is given no more at once than unused windows can bear, so that it is not throttled by one answer.
func TestFetchFitsItsQuota(t *testing.T) {
	simulated(t, 1, func(env run.Env) {
		g := newRig(t, env)
		g.limit(map[string]float64{"consumer_byte_rate": 7})
		c := g.start(wire.FetchKey, 12, newFetch(fetchPart{"a", 0, 0}))
		if got := c.r.mostFetchBytes(1000); got != 70 {
			t.Errorf("%d bytes", got)
		}
		c.finish()
	})
}

// TestRequestTimeIsThrottled: any request counts, also for the time of its second half, and every response tells.
func TestRequestTimeIsThrottled(t *testing.T) {
	simulated(t, 1, func(env run.Env) {
		g := newRig(t, env)
		q := g.limit(map[string]float64{"request_percentage": 1})
		q.charge(quota.RequestTime, q.limits.Load(), "tester", 50)
		var topics wire.MetadataResponse
		c := g.start(wire.MetadataKey, 9, newMetadata([]string{"a"}))
		c.reply(&topics)
		if topics.ThrottleTimeMs != 1000 || c.r.MuteMs != 1000 { // at most a window
			t.Errorf("told %d, mute %d", topics.ThrottleTimeMs, c.r.MuteMs)
		}
		var created wire.CreateTopicsResponse
		c = g.start(wire.CreateTopicsKey, 5, &wire.CreateTopicsRequest{TimeoutMs: 5000, Topics: []wire.CreateTopicsRequestCreatableTopic{{Name: "x"}}})
		g.controller.creates[0].done(&wire.CreateTopicsResponse{})
		c.reply(&created)
		if created.ThrottleTimeMs != 1000 || c.r.MuteMs != 1000 {
			t.Errorf("told %d, mute %d", created.ThrottleTimeMs, c.r.MuteMs)
		}
		var m meter
		m.quotas, m.limits, m.timed, m.spent = q, q.limits.Load(), true, 30*time.Millisecond
		r := &Request{meter: m, ClientID: "tester"}
		before, _, _ := q.Report(quota.RequestTime, 1)
		r.chargeTime()
		r.chargeTime()
		after, _, _ := q.Report(quota.RequestTime, 1)
		if got := (after[0].Used - before[0].Used) * 10; got < 2.9 || got > 3.1 { // 30 ms are 3 % of a second; once
			t.Errorf("counted %.2f %%", got)
		}
	})
}

// TestMutationsAreThrottled: refused from the strict versions on, slowed down before; the time that passes until the reply is told off.
func TestMutationsAreThrottled(t *testing.T) {
	for version := int16(4); version <= 7; version++ {
		simulated(t, 1, func(env run.Env) {
			g := newRig(t, env)
			g.limit(map[string]float64{"controller_mutation_rate": 2})
			var resp wire.CreateTopicsResponse
			ask := func(partitions int, wait time.Duration) bool {
				c := g.start(wire.CreateTopicsKey, version, &wire.CreateTopicsRequest{TimeoutMs: 60_000, Topics: []wire.CreateTopicsRequestCreatableTopic{{Name: "x"}}})
				last := g.controller.creates[len(g.controller.creates)-1]
				allowed := last.allow(partitions)
				env.NewSignal().WaitFor(wait)
				last.done(&wire.CreateTopicsResponse{})
				c.reply(&resp)
				if c.r.MuteMs != resp.ThrottleTimeMs {
					t.Errorf("told %d, mute %d", resp.ThrottleTimeMs, c.r.MuteMs)
				}
				return allowed
			}
			strict := version >= 6
			// 22 tokens are saved up; 30 leave a debt of 8, which takes 4 s.
			if !ask(30, 0) || strict != (resp.ThrottleTimeMs == 0) || !strict && resp.ThrottleTimeMs != 4000 {
				t.Errorf("version %d, first: told %d", version, resp.ThrottleTimeMs)
			}
			if allowed := ask(2, time.Second); allowed == strict || resp.ThrottleTimeMs != map[bool]int32{true: 3000, false: 4000}[strict] {
				t.Errorf("version %d, second: %v, told %d", version, allowed, resp.ThrottleTimeMs)
			}
		})
	}
}

func TestConnectionRate(t *testing.T) {
	simulated(t, 1, func(env run.Env) {
		windows := quota.Windows{Count: 11, SizeMs: 1000}
		q := NewQuotas(env, windows, windows)
		if q.Arrived("10.0.0.1") != 0 {
			t.Error("no quota, and a delay")
		}
		l := quota.NewLimits()
		l.Add(quota.Entity{IP: quota.Part{Named: true, Name: "10.0.0.1"}}, "connection_creation_rate", 2)
		q.Set(l)
		accepted := 0
		for range 100 {
			if q.Arrived("10.0.0.1") == 0 {
				accepted++
			}
			if q.Arrived("10.0.0.2") != 0 {
				t.Fatal("another address is delayed")
			}
		}
		if delay := q.Arrived("10.0.0.1"); accepted != 20 || delay <= 0 || delay > time.Second {
			t.Errorf("%d accepted at once, then a delay of %v", accepted, delay)
		}
		env.NewSignal().WaitFor(11 * time.Second)
		if q.Arrived("10.0.0.1") != 0 {
			t.Error("refused connections count")
		}
	})
}

// TestMeteredAllocations: counting costs no memory.
func TestMeteredAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop what it is given")
	}
	g := newRig(t, run.OS())
	q := g.limit(map[string]float64{"producer_byte_rate": 1, "consumer_byte_rate": 1e12, "request_percentage": 1e6})
	r := &Request{Conn: g.conn, ClientID: "tester"}
	resp := new(wire.ProduceResponse)
	charge := func() {
		r.meter, r.MuteMs = meter{quotas: q, limits: q.limits.Load(), timed: true}, 0
		r.throttle(r.chargeBytes(quota.Produce, 1000))
		r.chargeBytes(quota.Fetch, 1000)
		r.refundBytes(quota.Fetch, 1000)
		r.tellThrottle(resp)
	}
	charge()
	if resp.ThrottleTimeMs == 0 {
		t.Error("not throttled")
	}
	// A new window is allocated once a second, the first eleven times.
	if n := testing.AllocsPerRun(1000, charge); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkProduceMetered is BenchmarkProduceOnePartition without quotas, with quotas for others, and with three that bind the client.
func BenchmarkProduceMetered(b *testing.B) {
	windows := quota.Windows{Count: 11, SizeMs: 1000}
	for name, limits := range map[string]*quota.Limits{
		"none": quota.NewLimits(), "others": limitsFor("other", map[string]float64{"producer_byte_rate": 1e12}),
		"bound": limitsFor("tester", map[string]float64{"producer_byte_rate": 1e12, "request_percentage": 1e9}),
	} {
		b.Run(name, func(b *testing.B) {
			still, env := &stillPartitions{}, run.OS()
			q := NewQuotas(env, windows, windows)
			q.Set(limits)
			table := NewTable(Deps{Env: env, Partitions: still, Cluster: &fakeCluster{}, Quotas: q, Settings: Settings{FetchMaxBytes: 1 << 20}})
			req := newProduce(-1, 30_000)
			produceTo(req, "a", ids.TopicID{}, producePart{0, batchOf(1, 1024)})
			var e wire.Encoder
			if err := req.Encode(&e, 9); err != nil {
				b.Fatal(err)
			}
			entry, _ := table.Lookup(wire.ProduceKey)
			r := &Request{Conn: &Conn{}, Key: wire.ProduceKey, Version: 9, Body: e.Buf, ClientID: "tester", SizeBytes: 1100, Reply: new(wire.Encoder), Waker: func(*Request) {}}
			b.ReportAllocs()
			for b.Loop() {
				r.meter = meter{}
				r.Reply.Reset()
				entry.Handle(r)
				still.fireAll()
				r.Finish()
			}
		})
	}
}
