package api

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

// What comes late: a waiter that fires after its request was answered, a timer that runs while somebody looks, a connection
// that goes away meanwhile. Each is answered once, and never touches the next request that uses the pooled state.

func TestProduceWaiterFiresLate(t *testing.T) {
	for name, end := range map[string]func(*call){
		"timed out":     func(c *call) { c.reply(new(wire.ProduceResponse)) },
		"disconnected":  func(c *call) { c.r.Pending.Cancel() },
		"just in time":  func(*call) {},
		"reused before": func(c *call) { c.reply(new(wire.ProduceResponse)) },
	} {
		simulated(t, 1, func(env run.Env) {
			g := newRig(t, env)
			appends(g)
			req := newProduce(-1, 100)
			produceTo(req, "a", ids.TopicID{}, producePart{0, batchOf(1, 1)})
			other := newProduce(-1, 100_000)
			produceTo(other, "a", ids.TopicID{}, producePart{1, batchOf(1, 1)})
			c := g.start(wire.ProduceKey, 9, req)
			var next *call
			g.partitions.beforeFired = func() {
				end(c)
				if name == "reused before" {
					next = g.start(wire.ProduceKey, 9, other)
				}
			}
			g.partitions.advance("a", 0, 1)
			if next == nil {
				next = g.start(wire.ProduceKey, 9, other)
			}
			if next.outcome != Parked || next.woken() {
				t.Fatalf("%s: outcome %d, woken %v", name, next.outcome, next.woken())
			}
			g.partitions.advance("a", 1, 1)
			var resp wire.ProduceResponse
			next.reply(&resp)
			if got := answersOf(&resp); len(got) != 1 || got[0].Code != 0 || got[0].Index != 1 {
				t.Errorf("%s: %+v", name, got)
			}
		})
	}
}

func TestFetchWaiterFiresLate(t *testing.T) {
	for name, end := range map[string]func(*call){
		"timed out":    func(c *call) { c.reply(new(wire.FetchResponse)) },
		"disconnected": func(c *call) { c.r.Pending.Cancel() },
	} {
		for _, sessions := range []bool{false, true} {
			simulated(t, 1, func(env run.Env) {
				g := newRig(t, env)
				req := newFetch(fetchPart{"a", 0, 0})
				if sessions {
					id := g.begin(fetchPart{"a", 0, 0})
					req = session(newFetch(), id, 1)
				}
				c := g.start(wire.FetchKey, 12, req)
				var next *call
				g.partitions.beforeFired = func() {
					end(c)
					next = g.start(wire.FetchKey, 12, newFetch(fetchPart{"a", 1, 0}))
				}
				g.partitions.append("a", 0, batchOf(1, 1))
				if next.outcome != Parked || next.woken() {
					t.Fatalf("%s: outcome %d, woken %v", name, next.outcome, next.woken())
				}
				g.partitions.append("a", 1, batchOf(1, 1))
				var resp wire.FetchResponse
				next.reply(&resp)
				if got := fetched(&resp); len(got) != 1 || got[0].Partition != 1 || got[0].Bytes == 0 {
					t.Errorf("%s: %+v", name, got)
				}
				if sessions && name == "timed out" {
					if got := fetched(g.next(req.SessionId, 2)); len(got) != 1 || got[0].Bytes == 0 {
						t.Errorf("news that came after the answer must be in the next one: %+v", got)
					}
				}
				g.table.Close()
				g.checkIdle(0)
			})
		}
	}
}

// TestFetchNewsBeforeParking: what happens after the registration, before the request is parked, is not missed.
func TestFetchNewsBeforeParking(t *testing.T) {
	g := newRig(t, run.OS())
	g.partitions.afterWatch = func() { g.partitions.append("a", 0, batchOf(1, 10)) }
	c := g.start(wire.FetchKey, 12, newFetch(fetchPart{"a", 0, 0}))
	if c.outcome != Replied {
		t.Fatalf("outcome %d", c.outcome)
	}
	var resp wire.FetchResponse
	c.reply(&resp)
	if got := fetched(&resp); got[0].Bytes == 0 {
		t.Errorf("%+v", got)
	}
}

// lateTimers is an Env whose timers are never stopped in time: they run when the test says so.
type lateTimers struct {
	run.Env
	due []func()
}

type lateTimer struct{}

func (lateTimer) Stop() bool          { return false }
func (lateTimer) Reset(time.Duration) {}

func (e *lateTimers) AfterFunc(_ time.Duration, _ string, fn func()) run.Timer {
	e.due = append(e.due, fn)
	return lateTimer{}
}

// TestTimerRunsLate: the timer of an answered request neither wakes nor ends the next one, on the same session or not.
func TestTimerRunsLate(t *testing.T) {
	env := &lateTimers{Env: run.OS()}
	g := newRig(t, env)
	g.table.fetch.waits = env
	appends(g)
	id := g.begin(fetchPart{"a", 0, 0})
	fetch := func(epoch int32, offset int64) *call {
		return g.start(wire.FetchKey, 12, session(newFetch(fetchPart{"a", 0, offset}), id, epoch))
	}
	first := fetch(1, 0)
	g.partitions.append("a", 0, batchOf(1, 1))
	first.reply(new(wire.FetchResponse))
	second := fetch(2, 1)
	produce := func() *call {
		req := newProduce(-1, 1000)
		produceTo(req, "b", ids.TopicID{}, producePart{0, batchOf(1, 1)})
		return g.start(wire.ProduceKey, 9, req)
	}
	third := produce()
	g.partitions.advance("b", 0, 1)
	third.reply(new(wire.ProduceResponse))
	fourth := produce()
	if len(env.due) != 4 {
		t.Fatalf("%d timers: state that a late timer holds must not be used again", len(env.due))
	}
	env.due[0]()
	env.due[2]()
	if second.outcome != Parked || fourth.outcome != Parked || second.woken() || fourth.woken() {
		t.Error("a late timer woke the next request")
	}
	env.due[1]()
	env.due[3]()
	if !second.woken() || !fourth.woken() {
		t.Error("a timer did not wake its request")
	}
}

// TestFetchEndsWhileSomebodyLooks: news are looked at on the goroutine that brought them, while the time runs out or the
// connection breaks.
func TestFetchEndsWhileSomebodyLooks(t *testing.T) {
	for _, sessions := range []bool{false, true} {
		for _, disconnect := range []bool{false, true} {
			simulated(t, 1, func(env run.Env) {
				g := newRig(t, env)
				req := newFetch(fetchPart{"a", 0, 0})
				if sessions {
					req = session(newFetch(), g.begin(fetchPart{"a", 0, 0}), 1)
				}
				req.MinBytes = 1 << 19
				c := g.start(wire.FetchKey, 12, req)
				g.partitions.onFetch = func() {
					if disconnect {
						c.r.Pending.Cancel()
						return
					}
					env.NewSignal().WaitFor(2 * time.Second)
					if c.woken() {
						t.Error("woken under who looks")
					}
					g.partitions.append("a", 0, batchOf(1, 10)) // more news meanwhile
				}
				g.partitions.append("a", 0, batchOf(1, 10))
				if c.woken() == disconnect {
					t.Errorf("woken %v, disconnected %v", c.woken(), disconnect)
				}
				if !disconnect {
					var resp wire.FetchResponse
					c.reply(&resp)
					if got := fetched(&resp); len(got) != 1 || got[0].Watermark != 2 || got[0].Bytes == 0 {
						t.Errorf("%+v", got)
					}
				}
				g.table.Close()
				g.checkIdle(0)
			})
		}
	}
}

// TestCancelOfControllerRequests: the controller answers nobody.
func TestCancelOfControllerRequests(t *testing.T) {
	simulated(t, 1, func(env run.Env) {
		g := newRig(t, env)
		g.partitions.log("a", 0).flushing = true
		calls := []*call{
			g.start(wire.CreateTopicsKey, 7, &wire.CreateTopicsRequest{TimeoutMs: 10, Topics: []wire.CreateTopicsRequestCreatableTopic{{Name: "x"}}}),
			g.start(wire.DeleteTopicsKey, 6, &wire.DeleteTopicsRequest{TimeoutMs: 10}),
			g.start(wire.InitProducerIdKey, 5, newInitProducer()),
			g.start(wire.MetadataKey, 12, newMetadata([]string{"new"})),
			g.start(wire.ListOffsetsKey, 9, newListOffsets(fetchPart{"a", 0, -1})),
		}
		for _, c := range calls {
			if c.outcome != Parked {
				t.Fatalf("%s: outcome %d", wire.APIName(c.r.Key), c.outcome)
			}
			c.r.Pending.Cancel()
		}
		for _, create := range g.controller.creates {
			create.done(&wire.CreateTopicsResponse{})
		}
		g.controller.deletes[0].done(&wire.DeleteTopicsResponse{})
		g.controller.blocks[0](1, 1, wire.ErrorNone)
		env.NewSignal().WaitFor(time.Hour)
		for _, c := range calls {
			if c.woken() {
				t.Errorf("%s woken after its connection was gone", wire.APIName(c.r.Key))
			}
		}
		g.checkIdle(0)
	})
}

// TestRealGoroutines runs consumers and producers at each other on real goroutines, for the race detector.
func TestRealGoroutines(t *testing.T) {
	env := run.OS()
	g := newRig(t, env)
	appends(g)
	group := run.NewGroup(env)
	var mu sync.Mutex // of g.partitions.produce
	produce := g.partitions.produce
	g.partitions.produce = func(q *replication.ProduceQuery, res *replication.Produced, w *replication.Waiter) bool {
		mu.Lock()
		defer mu.Unlock()
		return produce(q, res, w)
	}
	const rounds = 150
	for i := range 3 {
		group.Go(fmt.Sprintf("appender %d", i), func() {
			for n := range rounds {
				g.partitions.append([]string{"a", "a", "b"}[i], []int32{0, 1, 0}[i], batchOf(1, 20))
				env.NewSignal().WaitFor(time.Duration(n%5) * 100 * time.Microsecond)
			}
		})
		group.Go(fmt.Sprintf("producer %d", i), func() {
			g := g.anotherConn()
			for n := range rounds {
				req := newProduce(-1, int32(n%3))
				produceTo(req, "a", ids.TopicID{}, producePart{0, batchOf(1, 1)}, producePart{1, batchOf(1, 1)})
				c := g.start(wire.ProduceKey, 9, req)
				if c.outcome == Parked && n%7 == 0 {
					c.r.Pending.Cancel()
					continue
				}
				c.reply(new(wire.ProduceResponse))
			}
		})
		group.Go(fmt.Sprintf("consumer %d", i), func() {
			g := g.anotherConn()
			random := rand.New(rand.NewPCG(1, uint64(i)))
			var id, epoch int32
			for range rounds {
				req := newFetch()
				if epoch == 0 {
					req = newFetch(fetchPart{"a", 0, int64(random.IntN(50))}, fetchPart{"a", 1, int64(random.IntN(50))}, fetchPart{"b", 0, 0})
				}
				req.MaxWaitMs, req.MinBytes = int32(random.IntN(4)), int32(random.IntN(3)*5000)
				req.SessionId, req.SessionEpoch = id, epoch
				if i == 0 {
					req.SessionEpoch = -1
				}
				c := g.start(wire.FetchKey, 12, req)
				if c.outcome == Parked && random.IntN(7) == 0 {
					c.r.Pending.Cancel()
					epoch = 0
					continue
				}
				var resp wire.FetchResponse
				c.reply(&resp)
				if id = resp.SessionId; id == 0 {
					epoch = 0
				} else {
					epoch++
				}
			}
		})
	}
	group.Close()
	g.table.Close()
	if g.partitions.regions != 0 {
		t.Errorf("%d regions not released", g.partitions.regions)
	}
}
