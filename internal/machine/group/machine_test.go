package group

import (
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// answer is a Reply that a test can look at.
type answer[R any] struct {
	value R
	isSet bool
}

func (a *answer[R]) Set(value R) {
	if a.isSet {
		panic("a reply was set twice")
	}
	a.value, a.isSet = value, true
}

// live is a machine with a log and a clock, run as the runtime runs it.
type live struct {
	t     testing.TB
	m     *Machine
	image *metadata.Image
	log   []machine.Record
	at    machine.Moment
	set   Settings
	ids   byte

	rebalances []Rebalance
}

const startMs = 1_700_000_000_000

func newLive(t testing.TB) *live {
	l := &live{t: t, image: metadata.Empty(), set: DefaultSettings(), at: machine.Moment{NowMs: startMs}}
	l.m = l.empty()
	l.m.Loaded(l.at)
	return l
}

func (l *live) empty() *Machine {
	return New(Config{
		Random:   func(p []byte) { l.ids++; clear(p); p[15] = l.ids },
		Settings: func() Settings { return l.set },
		Image:    func() *metadata.Image { return l.image },
		Events:   Events{Rebalanced: func(r Rebalance) { l.rebalances = append(l.rebalances, r) }},
	})
}

// commit appends and applies what a command decided on.
func (l *live) commit(records []machine.Record) {
	l.t.Helper()
	for i := range records {
		records[i].Offset, records[i].TimestampMs = l.at.Next, l.at.NowMs
		l.at.Next++
	}
	if err := l.m.Apply(records, l.at.Next, 0); err != nil {
		l.t.Fatal(err)
	}
	l.log = append(l.log, records...)
}

// pass lets time go by, with all timers on the way.
func (l *live) pass(d time.Duration) {
	end := l.at.Monotonic + d
	for {
		due, ok := l.m.Due()
		if !ok || due > end {
			break
		}
		l.to(max(due, l.at.Monotonic))
		l.commit(l.m.Tick(l.at))
	}
	l.to(end)
}

func (l *live) to(monotonic time.Duration) {
	l.at.NowMs += (monotonic - l.at.Monotonic).Milliseconds()
	l.at.Monotonic = monotonic
}

// create adds a topic.
func (l *live) create(name string, partitions int) {
	id := ids.TopicID{0: 1, 15: byte(l.image.TopicCount() + 1)}
	records := []wire.MetadataRecord{&wire.TopicRecord{Name: name, TopicId: wire.UUID(id)}}
	for i := range partitions {
		records = append(records, &wire.PartitionRecord{PartitionId: int32(i), TopicId: wire.UUID(id), Replicas: []int32{1}, Isr: []int32{1}, Leader: 1})
	}
	image, err := l.image.Apply(records, l.image.End()+ids.Offset(len(records)), 0)
	if err != nil {
		l.t.Fatal(err)
	}
	l.image = image
}

func (l *live) join(client Client, req *wire.JoinGroupRequest) *answer[*wire.JoinGroupResponse] {
	a := new(answer[*wire.JoinGroupResponse])
	l.commit(l.m.JoinGroup(l.at, client, req, a))
	return a
}

func (l *live) sync(req *wire.SyncGroupRequest) *answer[*wire.SyncGroupResponse] {
	a := new(answer[*wire.SyncGroupResponse])
	l.commit(l.m.SyncGroup(l.at, req, a))
	return a
}

func joinRequest(group, member string) *wire.JoinGroupRequest {
	return &wire.JoinGroupRequest{GroupId: group, MemberId: member, SessionTimeoutMs: 10_000, RebalanceTimeoutMs: 60_000, ProtocolType: "consumer",
		Protocols: []wire.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0, 0, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 0}}}}
}

// TestOneMember walks one member through a whole life, and commits on the way.
func TestOneMember(t *testing.T) {
	l := newLive(t)
	l.create("t", 1)
	client := Client{ID: "c", Host: "/127.0.0.1", Version: 9}
	first := l.join(client, joinRequest("g", ""))
	if first.value.ErrorCode != wire.ErrorMemberIDRequired || first.value.MemberId == "" {
		t.Fatalf("first join: %+v", first.value)
	}
	id := first.value.MemberId
	second := l.join(client, joinRequest("g", id))
	if second.isSet {
		t.Fatal("the initial rebalance delay was skipped")
	}
	l.pass(3 * time.Second)
	if !second.isSet || second.value.ErrorCode != 0 || second.value.GenerationId != 1 || second.value.Leader != id || len(second.value.Members) != 1 {
		t.Fatalf("second join: %+v", second.value)
	}
	synced := l.sync(&wire.SyncGroupRequest{GroupId: "g", GenerationId: 1, MemberId: id,
		Assignments: []wire.SyncGroupRequestAssignment{{MemberId: id, Assignment: []byte("all")}}})
	if string(synced.value.Assignment) != "all" {
		t.Fatalf("sync: %+v", synced.value)
	}
	if code := l.m.Heartbeat(l.at, &wire.HeartbeatRequest{GroupId: "g", GenerationId: 1, MemberId: id}); code != 0 {
		t.Fatal(code)
	}
	records, committed := l.m.OffsetCommit(l.at, client, &wire.OffsetCommitRequest{GroupId: "g", GenerationIdOrMemberEpoch: 1, MemberId: id, RetentionTimeMs: -1,
		Topics: []wire.OffsetCommitRequestTopic{{Name: "t", Partitions: []wire.OffsetCommitRequestPartition{{CommittedOffset: 7, CommittedLeaderEpoch: 2}}}}})
	l.commit(records)
	if code := committed.Topics[0].Partitions[0].ErrorCode; code != 0 {
		t.Fatal(code)
	}
	fetched := l.m.OffsetFetch(client, &wire.OffsetFetchRequestGroup{GroupId: "g"})
	if p := fetched.Topics[0].Partitions[0]; p.CommittedOffset != 7 || p.CommittedLeaderEpoch != 2 {
		t.Fatalf("fetched %+v", p)
	}
	l.pass(10 * time.Second)
	if got := l.m.DescribeGroups(client, []string{"g"})[0]; got.GroupState != "Empty" {
		t.Fatalf("after its session: %+v", got)
	}
	if len(l.rebalances) != 2 || l.rebalances[1].TimedOut[0] != id {
		t.Fatalf("rebalances: %+v", l.rebalances)
	}
	l.pass(8 * 24 * time.Hour)
	if len(l.m.groups) != 0 {
		t.Fatal("the group outlived its offsets")
	}
}
