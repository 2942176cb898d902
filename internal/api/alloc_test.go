package api

import (
	"testing"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

// stillPartitions answers as a data plane on its steady path does: at once, or after a wait that the test ends, without an
// allocation of its own.
type stillPartitions struct {
	Offsets
	waiters []*replication.Waiter
	region  stillRegion
	empty   bool
}

type stillRegion struct{ FileRegion }

func (*stillRegion) Size() int { return 100 }

func (p *stillPartitions) Produce(q *replication.ProduceQuery, res *replication.Produced, w *replication.Waiter) bool {
	*res = replication.Produced{BaseOffset: 1, LogAppendTimeMs: -1, Leader: ids.NoBroker, LeaderEpoch: ids.NoLeaderEpoch}
	if q.Acks == -1 {
		p.waiters = append(p.waiters, w)
		return true
	}
	return false
}

func (p *stillPartitions) Fetch(_ *replication.FetchQuery, res *replication.Fetched) {
	*res = replication.Fetched{HighWatermark: 9, LastStable: 9, DivergingEpoch: -1, DivergingEnd: -1, Leader: ids.NoBroker, LeaderEpoch: ids.NoLeaderEpoch}
	if !p.empty {
		res.Region = &p.region
	}
}

func (p *stillPartitions) Watch(_ *replication.Target, _ replication.Seen, w *replication.Waiter) bool {
	p.waiters = append(p.waiters, w)
	return true
}

func (p *stillPartitions) Flush() {}

func (p *stillPartitions) Unwatch(*replication.Waiter) bool { return true }

func (p *stillPartitions) fireAll() {
	for i, w := range p.waiters {
		p.waiters[i] = nil
		w.HighWatermark = 10
		w.Owner.Fired(w)
	}
	p.waiters = p.waiters[:0]
}

// TestSteadyPathAllocations holds the promise of Produce and Fetch: nothing per batch or partition, at most two allocations
// a request, with waiting and without.
func TestSteadyPathAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop what it is given")
	}
	const partitions = 20
	produce := func(acks int16) wire.Message {
		req := newProduce(acks, 30_000)
		for i := range int32(partitions) {
			produceTo(req, "a", ids.TopicID{}, producePart{i, batchOf(1, 10)})
		}
		return req
	}
	fetch := newFetch()
	for i := range int32(partitions) {
		addFetch(fetch, fetchPart{"a", i, 9}, ids.TopicID{})
	}
	tests := []struct {
		name    string
		key     int16
		version int16
		req     wire.Message
		empty   bool
	}{
		{"produce acks=1", wire.ProduceKey, 9, produce(1), false},
		{"produce acks=all", wire.ProduceKey, 9, produce(-1), false},
		{"produce acks=all, version 3", wire.ProduceKey, 3, produce(-1), false},
		{"fetch with data", wire.FetchKey, 12, fetch, false},
		{"fetch that waits", wire.FetchKey, 12, fetch, true},
		{"fetch with data, version 4", wire.FetchKey, 4, fetch, false},
	}
	for _, test := range tests {
		g := newRig(t, run.OS())
		still := &stillPartitions{empty: test.empty}
		g.table = NewTable(Deps{Env: run.OS(), Partitions: still, Cluster: g.cluster, Settings: g.table.deps.Settings})
		var e wire.Encoder
		if err := test.req.Encode(&e, test.version); err != nil {
			t.Fatal(err)
		}
		entry, _ := g.table.Lookup(test.key)
		r := &Request{Conn: g.conn, Key: test.key, Version: test.version, Body: e.Buf, Reply: new(wire.Encoder), Waker: func(*Request) {}}
		parked := false
		got := testing.AllocsPerRun(200, func() {
			r.Reply.Reset()
			outcome := entry.Handle(r)
			if outcome == Parked {
				parked = true
				still.empty = false
				still.fireAll()
				outcome = r.Pending.Finish(r)
				still.empty = test.empty
			}
			still.waiters = still.waiters[:0]
			if outcome != Replied {
				t.Fatal(outcome, r.Err)
			}
		})
		if got > 2 {
			t.Errorf("%s of %d partitions: %v allocations", test.name, partitions, got)
		}
		if wantParked := test.name[:5] == "produ" && test.name != "produce acks=1" || test.empty; parked != wantParked {
			t.Errorf("%s: parked %v", test.name, parked)
		}
		t.Logf("%s: %v allocations", test.name, got)
	}
}

// TestSessionAllocations: nor does an incremental fetch that waits, is woken and answered.
func TestSessionAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop what it is given")
	}
	g := newRig(t, run.OS())
	still := &stillPartitions{empty: true}
	g.table = NewTable(Deps{Env: run.OS(), Partitions: still, Cluster: g.cluster, Settings: g.table.deps.Settings})
	begun := session(newFetch(fetchPart{"a", 0, 9}, fetchPart{"a", 1, 9}), 0, 0)
	begun.MaxWaitMs = 0
	var resp wire.FetchResponse
	g.do(wire.FetchKey, 12, begun, &resp)
	epoch := int32(0)
	req := session(newFetch(fetchPart{"a", 0, 9}), resp.SessionId, 0)
	var e wire.Encoder
	r := &Request{Conn: g.conn, Key: wire.FetchKey, Version: 12, Reply: new(wire.Encoder), Waker: func(*Request) {}}
	entry, _ := g.table.Lookup(wire.FetchKey)
	got := testing.AllocsPerRun(200, func() {
		epoch++
		req.SessionEpoch = epoch
		e.Reset()
		if err := req.Encode(&e, 12); err != nil {
			t.Fatal(err)
		}
		r.Body = e.Buf
		r.Reply.Reset()
		if outcome := entry.Handle(r); outcome != Parked {
			t.Fatal(outcome, r.Err)
		}
		still.empty = false
		still.fireAll()
		if outcome := r.Pending.Finish(r); outcome != Replied {
			t.Fatal(outcome)
		}
		still.empty = true
	})
	if got > 2 {
		t.Errorf("%v allocations", got)
	}
}

// stillGroups is one coordinator, which answers when the test says so, without an allocation of its own.
type stillGroups struct {
	Groups
	GroupCoordinator
	machine *group.Machine
	done    []func(error)
}

func (s *stillGroups) For(string) (GroupCoordinator, wire.ErrorCode) { return s, wire.ErrorNone }

func (s *stillGroups) Submit(decide func(*group.Machine, machine.Moment) []machine.Record, done func(error)) {
	if err := s.machine.Apply(decide(s.machine, machine.Moment{NowMs: 1}), 1, 0); err != nil {
		panic(err)
	}
	s.done = append(s.done, done)
}

// TestGroupCallAllocations: commits and heartbeats, of which there are many, cost no memory on their way to the machine and back.
func TestGroupCallAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop what it is given")
	}
	for _, test := range []struct {
		key, version int16
		req          wire.Message
	}{
		{wire.OffsetCommitKey, 2, newCommit("g", commitPart{"a", 0, 5, "text"})},
		{wire.OffsetCommitKey, 9, newCommit("g", commitPart{"a", 0, 5, "text"}, commitPart{"a", 1, 7, ""}, commitPart{"b", 0, 7, ""})},
		{wire.HeartbeatKey, 4, &wire.HeartbeatRequest{GroupId: "g", MemberId: "nobody"}},
	} {
		g := newRig(t, run.OS())
		settings := group.DefaultSettings()
		still := &stillGroups{machine: group.New(group.Config{Image: g.cluster.Image, Settings: func() group.Settings { return settings }})}
		told := 0
		g.table = NewTable(Deps{Env: run.OS(), Groups: still, Cluster: g.cluster, Settings: g.table.deps.Settings, Audit: func(AuditEvent) { told++ }})
		var e wire.Encoder
		if err := test.req.Encode(&e, test.version); err != nil {
			t.Fatal(err)
		}
		entry, _ := g.table.Lookup(test.key)
		woken := 0
		r := &Request{Conn: g.conn, Key: test.key, Version: test.version, Body: e.Buf, Reply: new(wire.Encoder), Waker: func(*Request) { woken++ }}
		got := testing.AllocsPerRun(200, func() {
			r.Reply.Reset()
			if outcome := entry.Handle(r); outcome != Parked {
				t.Fatal(outcome, r.Err)
			}
			still.done[0](nil)
			still.done = still.done[:0]
			if outcome := r.Pending.Finish(r); outcome != Replied {
				t.Fatal(outcome, r.Err)
			}
		})
		if got > 0 {
			t.Errorf("%s version %d: %v allocations", wire.APIName(test.key), test.version, got)
		}
		if woken != 201 || told > 1 {
			t.Errorf("%s version %d: woken %d times, audited %d times", wire.APIName(test.key), test.version, woken, told)
		}
		if commits := still.machine.Stats().Commits; test.key == wire.OffsetCommitKey && commits < 201 {
			t.Errorf("version %d: %d commits", test.version, commits)
		}
	}
}

func BenchmarkProduceOnePartition(b *testing.B) {
	still := &stillPartitions{}
	table := NewTable(Deps{Env: run.OS(), Partitions: still, Cluster: &fakeCluster{}, Settings: Settings{FetchMaxBytes: 1 << 20}})
	req := newProduce(-1, 30_000)
	produceTo(req, "a", ids.TopicID{}, producePart{0, batchOf(1, 1024)})
	var e wire.Encoder
	if err := req.Encode(&e, 9); err != nil {
		b.Fatal(err)
	}
	entry, _ := table.Lookup(wire.ProduceKey)
	r := &Request{Conn: &Conn{}, Key: wire.ProduceKey, Version: 9, Body: e.Buf, Reply: new(wire.Encoder), Waker: func(*Request) {}}
	b.ReportAllocs()
	for b.Loop() {
		r.Reply.Reset()
		entry.Handle(r)
		still.fireAll()
		r.Pending.Finish(r)
	}
}
