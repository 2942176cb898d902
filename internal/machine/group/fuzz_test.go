package group

import (
	"fmt"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/wire"
)

// FuzzApply: what a damaged or foreign log may hold is refused or taken, and the machine runs on with what was taken.
func FuzzApply(f *testing.F) {
	l := newLive(f)
	for _, line := range []string{"topic t", "join g v=3", "join g static=s", "pass 9s", "sync g id=c-1 assign=c-1:x", "commit g generation=1 id=c-1 t:0:1",
		"commit h t:0:1 retention=5", "leave g c-1", "pass 1h", "forget h t:0"} {
		l.run(line)
	}
	for i := range l.log {
		f.Add(l.log[i].Key, l.log[i].Value, i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, key, value []byte, alive bool) {
		l := newLive(t)
		if !alive {
			value = nil
		}
		if l.m.Apply([]machine.Record{{Key: key, Value: value}}, 1, 0) != nil {
			return
		}
		before := durable(l.m)
		l.m.Loaded(l.at)
		if err := l.consistent(); err != nil {
			t.Fatal(err)
		}
		if after := durable(l.m); after != before {
			t.Fatalf("loaded: %s\nwas: %s", after, before)
		}
		for range 100 { // a record may ask for timers at any distance
			due, ok := l.m.Due()
			if !ok || due > 40*24*time.Hour {
				break
			}
			l.to(max(due, l.at.Monotonic))
			l.commit(l.m.Tick(l.at))
		}
		if err := l.consistent(); err != nil {
			t.Fatal(err)
		}
	})
}

// steady is a stable group of n members, and a heartbeat of each.
func steady(t testing.TB, n int) (*live, []*wire.HeartbeatRequest) {
	l := newLive(t)
	l.run("topic t partitions=100")
	var beats []*wire.HeartbeatRequest
	for i := range n {
		l.run("join g v=3 session=1800000 rebalance=1800000")
		beats = append(beats, &wire.HeartbeatRequest{GroupId: "g", GenerationId: 1, MemberId: long(fmt.Sprintf("c-%d", i+1))})
	}
	l.run("pass 3s")
	l.run("pass 1s")
	for range 2000 {
		if l.m.groups["g"].classic.state == completingRebalance {
			break
		}
		l.run("pass 1s")
	}
	l.run("sync g id=c-1")
	for i := range n - 1 {
		l.run(fmt.Sprintf("sync g id=c-%d", i+2))
	}
	return l, beats
}

// TestHeartbeatAllocates: nothing.
func TestHeartbeatAllocates(t *testing.T) {
	l, beats := steady(t, 10)
	n := 0
	allocs := testing.AllocsPerRun(1000, func() {
		l.at.Monotonic += time.Millisecond
		if code := l.m.Heartbeat(l.at, Software{}, beats[n%len(beats)]); code != 0 {
			t.Fatal(code)
		}
		n++
	})
	if allocs != 0 {
		t.Errorf("a heartbeat allocates %v times", allocs)
	}
}

func BenchmarkHeartbeat(b *testing.B) {
	l, beats := steady(b, 1000)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		l.at.Monotonic += time.Microsecond
		l.m.Heartbeat(l.at, Software{}, beats[n%len(beats)])
		n++
	}
}

func BenchmarkOffsetCommit(b *testing.B) {
	l, _ := steady(b, 10)
	req := &wire.OffsetCommitRequest{GroupId: "g", GenerationIdOrMemberEpoch: 1, MemberId: long("c-1"), RetentionTimeMs: -1,
		Topics: []wire.OffsetCommitRequestTopic{{Name: "t", Partitions: []wire.OffsetCommitRequestPartition{{CommittedOffset: 7}}}}}
	b.ReportAllocs()
	resp := new(wire.OffsetCommitResponse)
	for b.Loop() {
		records := l.m.OffsetCommit(l.at, Client{Version: 9}, req, resp)
		if err := l.m.Apply(records, 0, 0); err != nil || len(records) != 1 {
			b.Fatal(err)
		}
	}
}
