package group

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/wire"
)

// TestLongestNames: the longest strings that a request can carry fit into what is kept of them.
func TestLongestNames(t *testing.T) {
	l := newLive(t)
	l.run("topic t")
	long := strings.Repeat("n", 1<<15-1)
	client := Client{ID: long, Host: "/h", Version: 9}
	var id string
	join := func(instance wire.NullString) {
		req := &wire.JoinGroupRequest{GroupId: long, MemberId: id, GroupInstanceId: instance, SessionTimeoutMs: 10_000, RebalanceTimeoutMs: 10_000,
			ProtocolType: long, Protocols: []wire.JoinGroupRequestProtocol{{Name: long, Metadata: []byte("m")}}}
		l.commit(l.m.JoinGroup(l.at, client, req, &answer[*wire.JoinGroupResponse]{tell: func(r *wire.JoinGroupResponse) { id = r.MemberId }}))
	}
	join(wire.NullString{})
	join(wire.NullString{})
	l.run("pass 3s")
	id = ""
	join(wire.SomeString(long))
	g := l.m.groups[long]
	if len(g.classic.members) != 2 {
		t.Fatalf("%d members", len(g.classic.members))
	}
	for _, one := range g.classic.members {
		if len(one.id) > 1<<15-1 {
			t.Errorf("a member id has %d bytes", len(one.id))
		}
	}
	l.run("pass 1m")
	records, resp := l.offsetCommit(Client{Version: 9}, &wire.OffsetCommitRequest{GroupId: strings.ToUpper(long), GenerationIdOrMemberEpoch: -1, RetentionTimeMs: -1,
		Topics: []wire.OffsetCommitRequestTopic{{Name: "t", Partitions: []wire.OffsetCommitRequestPartition{{CommittedMetadata: wire.SomeString(long[:4096])}}}}})
	l.commit(records)
	if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
		t.Error(code)
	}
	if err := l.check(); err != nil {
		t.Fatal(err)
	}
}

// TestCommitOfTooMuch: a request cannot make records without bounds out of a long group name and many short entries.
func TestCommitOfTooMuch(t *testing.T) {
	l := newLive(t)
	l.run("topic t")
	req := &wire.OffsetCommitRequest{GroupId: strings.Repeat("g", 30_000), GenerationIdOrMemberEpoch: -1, RetentionTimeMs: -1,
		Topics: []wire.OffsetCommitRequestTopic{{Name: "t", Partitions: make([]wire.OffsetCommitRequestPartition, 1000)}, {Name: "nope", Partitions: make([]wire.OffsetCommitRequestPartition, 1)}}}
	records, resp := l.offsetCommit(Client{Version: 9}, req)
	if len(records) != 0 || resp.Topics[0].Partitions[0].ErrorCode != wire.ErrorUnknownServerError || resp.Topics[0].Partitions[999].ErrorCode != wire.ErrorUnknownServerError ||
		resp.Topics[1].Partitions[0].ErrorCode != wire.ErrorUnknownTopicOrPartition {
		t.Fatalf("%d records, %v", len(records), resp.Topics[0].Partitions[0].ErrorCode)
	}
	req.Topics[0].Partitions = req.Topics[0].Partitions[:500]
	if records, _ = l.offsetCommit(Client{Version: 9}, req); len(records) != 500 {
		t.Fatalf("%d of 500 records", len(records))
	}
}

// TestGroupOfTooMuch: members whose metadata is too large in sum are refused, and an assignment that is, too.
func TestGroupOfTooMuch(t *testing.T) {
	l := newLive(t)
	code := make(map[int]wire.ErrorCode)
	for i := range 5 {
		req := &wire.JoinGroupRequest{GroupId: "g", SessionTimeoutMs: 10_000, RebalanceTimeoutMs: 10_000, ProtocolType: "x",
			Protocols: []wire.JoinGroupRequestProtocol{{Name: "p", Metadata: make([]byte, 10<<20)}}}
		l.commit(l.m.JoinGroup(l.at, Client{Version: 3}, req, &answer[*wire.JoinGroupResponse]{tell: func(r *wire.JoinGroupResponse) { code[i] = r.ErrorCode }}))
	}
	l.run("pass 6s")
	full := wire.ErrorGroupMaxSizeReached
	if diff := cmp.Diff(map[int]wire.ErrorCode{0: 0, 1: 0, 2: 0, 3: full, 4: full}, code); diff != "" {
		t.Fatal(diff)
	}
	leader := l.m.groups["g"].classic.leader
	var synced *wire.SyncGroupResponse
	sync := func(size int) {
		req := &wire.SyncGroupRequest{GroupId: "g", GenerationId: 1, MemberId: leader, Assignments: []wire.SyncGroupRequestAssignment{
			{MemberId: leader, Assignment: bytes.Repeat([]byte("a"), size)}, {MemberId: "nobody", Assignment: make([]byte, 80<<20)}}}
		l.commit(l.m.SyncGroup(l.at, req, &answer[*wire.SyncGroupResponse]{tell: func(r *wire.SyncGroupResponse) { synced = r }}))
	}
	sync(40 << 20)
	if synced == nil || synced.ErrorCode != wire.ErrorUnknownServerError || l.m.groups["g"].state() != "PreparingRebalance" {
		t.Fatalf("a too large assignment: %+v", synced.ErrorCode)
	}
	if err := l.consistent(); err != nil {
		t.Fatal(err)
	}
}

// TestFetchOfTooMuch: a request that names one partition again and again does not get its metadata each time without bounds.
func TestFetchOfTooMuch(t *testing.T) {
	l := newLive(t)
	l.run("topic t")
	l.run("commit g t:0:1 metadata=" + strings.Repeat("m", 4096))
	got := l.m.OffsetFetch(Client{Version: 9}, &wire.OffsetFetchRequestGroup{GroupId: "g", MemberEpoch: -1,
		Topics: []wire.OffsetFetchRequestTopics{{Name: "t", PartitionIndexes: make([]int32, 20_000)}}}, false)
	size := 0
	for _, p := range got.Topics[0].Partitions {
		size += len(p.Metadata.Value)
	}
	if last := got.Topics[0].Partitions[19_999]; size > 64<<20 || last.ErrorCode != wire.ErrorUnknownServerError || last.CommittedOffset != -1 {
		t.Errorf("%d bytes of metadata, at last %+v", size, last)
	}
}
