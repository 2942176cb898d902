package api

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

// addGroupRequests adds requests of groups, for tests that send every request.
func addGroupRequests(requests map[int16]wire.Message) {
	commit := newCommit("g", commitPart{"a", 0, 5, "m"})
	requests[wire.OffsetCommitKey] = commit
	requests[wire.OffsetFetchKey] = newOffsetFetch("g", map[string][]int32{"a": {0}})
	requests[wire.JoinGroupKey] = newJoin("g", "", "range", "metadata")
	requests[wire.SyncGroupKey] = &wire.SyncGroupRequest{GroupId: "g", MemberId: "m", Assignments: []wire.SyncGroupRequestAssignment{{MemberId: "m", Assignment: []byte("x")}}}
	requests[wire.HeartbeatKey] = &wire.HeartbeatRequest{GroupId: "g", MemberId: "m"}
	requests[wire.LeaveGroupKey] = &wire.LeaveGroupRequest{GroupId: "g", MemberId: "m", Members: []wire.LeaveGroupRequestMemberIdentity{{MemberId: "m"}}}
	requests[wire.ConsumerGroupHeartbeatKey] = newBeat("g", "m", 0)
	requests[wire.ConsumerGroupDescribeKey] = &wire.ConsumerGroupDescribeRequest{GroupIds: []string{"g"}}
	requests[wire.DescribeGroupsKey] = &wire.DescribeGroupsRequest{Groups: []string{"g"}}
	requests[wire.ListGroupsKey] = &wire.ListGroupsRequest{StatesFilter: []string{"Stable"}, TypesFilter: []string{"classic"}}
	requests[wire.DeleteGroupsKey] = &wire.DeleteGroupsRequest{GroupsNames: []string{"g"}}
	requests[wire.OffsetDeleteKey] = &wire.OffsetDeleteRequest{GroupId: "g", Topics: []wire.OffsetDeleteRequestTopic{{Name: "a", Partitions: make([]wire.OffsetDeleteRequestPartition, 1)}}}
}

type commitPart struct {
	topic     string
	partition int32
	offset    int64
	metadata  string
}

// newCommit is a commit of nobody in particular. Topics a and b are named by their ids, too.
func newCommit(name string, parts ...commitPart) *wire.OffsetCommitRequest {
	req := &wire.OffsetCommitRequest{GroupId: name, GenerationIdOrMemberEpoch: -1, RetentionTimeMs: -1}
	for _, p := range parts {
		topic := wire.OffsetCommitRequestTopic{Name: p.topic, TopicId: wire.UUID(id(p.topic[0] - 'a' + 1))}
		topic.Partitions = []wire.OffsetCommitRequestPartition{{PartitionIndex: p.partition, CommittedOffset: p.offset, CommittedLeaderEpoch: 3, CommittedMetadata: wire.SomeString(p.metadata)}}
		req.Topics = append(req.Topics, topic)
	}
	return req
}

// newOffsetFetch asks for topics a and b, in the forms of all versions; nil for all.
func newOffsetFetch(name string, partitions map[string][]int32) *wire.OffsetFetchRequest {
	req := &wire.OffsetFetchRequest{GroupId: name}
	one := wire.OffsetFetchRequestGroup{GroupId: name, MemberEpoch: -1}
	for topic, which := range sorted(partitions) {
		req.Topics = append(req.Topics, wire.OffsetFetchRequestTopic{Name: topic, PartitionIndexes: which})
		one.Topics = append(one.Topics, wire.OffsetFetchRequestTopics{Name: topic, TopicId: wire.UUID(id(topic[0] - 'a' + 1)), PartitionIndexes: which})
	}
	req.Groups = []wire.OffsetFetchRequestGroup{one}
	return req
}

func newJoin(name, member, protocol, metadata string) *wire.JoinGroupRequest {
	return &wire.JoinGroupRequest{GroupId: name, MemberId: member, SessionTimeoutMs: 10_000, RebalanceTimeoutMs: 20_000, ProtocolType: "custom",
		Protocols: []wire.JoinGroupRequestProtocol{{Name: protocol, Metadata: []byte(metadata)}}}
}

// join joins as a member of a group without others, with the two steps of KIP-394 where they are, and brings the group's answer.
func (g *rig) join(version int16, name string) *wire.JoinGroupResponse {
	g.t.Helper()
	resp := new(wire.JoinGroupResponse)
	member := ""
	if version >= 4 {
		g.do(wire.JoinGroupKey, version, newJoin(name, "", "range", "metadata"), resp)
		if resp.ErrorCode != wire.ErrorMemberIDRequired || resp.MemberId == "" {
			g.t.Fatalf("version %d: %+v", version, resp)
		}
		member = resp.MemberId
	}
	c := g.start(wire.JoinGroupKey, version, newJoin(name, member, "range", "metadata"))
	if c.outcome != Parked || c.woken() {
		g.t.Fatalf("version %d: outcome %d", version, c.outcome)
	}
	g.groups.here.tick()
	c.reply(resp)
	if resp.ErrorCode != wire.ErrorNone || resp.Leader != resp.MemberId {
		g.t.Fatalf("version %d: %+v", version, resp)
	}
	return resp
}

// TestClassicGroup: a member joins, syncs, lives, commits and leaves, at every version of each request.
func TestClassicGroup(t *testing.T) {
	for version := int16(0); version <= 9; version++ {
		g := newRig(t, run.OS())
		name := "g"
		joined := g.join(version, name)
		if len(joined.Members) != 1 || string(joined.Members[0].Metadata) != "metadata" || joined.GenerationId != 1 || joined.ProtocolName != wire.SomeString("range") {
			t.Errorf("version %d: %+v", version, joined)
		}
		if (version >= 7) != joined.ProtocolType.Valid {
			t.Errorf("version %d: protocol type %v", version, joined.ProtocolType)
		}
		at := func(highest int16) int16 { return min(version, highest) }
		sync := &wire.SyncGroupRequest{GroupId: name, GenerationId: 1, MemberId: joined.MemberId, ProtocolType: wire.SomeString("custom"), ProtocolName: wire.SomeString("range"),
			Assignments: []wire.SyncGroupRequestAssignment{{MemberId: joined.MemberId, Assignment: []byte("all of it")}}}
		var synced wire.SyncGroupResponse
		g.do(wire.SyncGroupKey, at(5), sync, &synced)
		if synced.ErrorCode != wire.ErrorNone || string(synced.Assignment) != "all of it" {
			t.Errorf("version %d: %+v", version, synced)
		}
		var beat wire.HeartbeatResponse
		g.do(wire.HeartbeatKey, at(4), &wire.HeartbeatRequest{GroupId: name, GenerationId: 1, MemberId: joined.MemberId}, &beat)
		if beat.ErrorCode != wire.ErrorNone {
			t.Errorf("version %d: heartbeat %s", version, beat.ErrorCode.Name())
		}
		var described wire.DescribeGroupsResponse
		g.do(wire.DescribeGroupsKey, at(6), &wire.DescribeGroupsRequest{Groups: []string{"g"}, IncludeAuthorizedOperations: version >= 3}, &described)
		wantOperations := noOperations
		if version >= 3 {
			wantOperations = groupOperations
		}
		if one := described.Groups[0]; one.GroupState != "Stable" || one.AuthorizedOperations != wantOperations || len(one.Members) != 1 || one.Members[0].ClientHost != "/192.0.2.1" ||
			one.Members[0].ClientId != "tester" || string(one.Members[0].MemberAssignment) != "all of it" {
			t.Errorf("version %d: %+v", version, one)
		}
		leave := &wire.LeaveGroupRequest{GroupId: name, MemberId: "nobody", Members: []wire.LeaveGroupRequestMemberIdentity{{MemberId: "nobody"}}}
		var left wire.LeaveGroupResponse
		for _, want := range []wire.ErrorCode{wire.ErrorUnknownMemberID, wire.ErrorNone} {
			g.do(wire.LeaveGroupKey, at(5), leave, &left)
			code := left.ErrorCode
			if at(5) >= 3 {
				code = left.Members[0].ErrorCode
			}
			if code != want {
				t.Errorf("version %d: %+v", version, left)
			}
			leave.MemberId, leave.Members[0].MemberId = joined.MemberId, joined.MemberId
		}
	}
}

// TestSyncGroupNamesTheProtocol: from version 5 on it must (KIP-559).
func TestSyncGroupNamesTheProtocol(t *testing.T) {
	g := newRig(t, run.OS())
	for version, want := range map[int16]wire.ErrorCode{4: wire.ErrorUnknownMemberID, 5: wire.ErrorInconsistentGroupProtocol} {
		for _, req := range []*wire.SyncGroupRequest{{GroupId: "g", ProtocolName: wire.SomeString("range")}, {GroupId: "g", ProtocolType: wire.SomeString("consumer")}} {
			var resp wire.SyncGroupResponse
			if g.do(wire.SyncGroupKey, version, req, &resp); resp.ErrorCode != want {
				t.Errorf("version %d: %s", version, resp.ErrorCode.Name())
			}
		}
	}
}

// TestOffsets: what is committed at any version is fetched at any version; what is not there is -1, or a code.
func TestOffsets(t *testing.T) {
	g := newRig(t, run.OS())
	for version := int16(2); version <= 10; version++ {
		name := fmt.Sprint("g", version)
		req := newCommit(name, commitPart{"a", 1, 40 + int64(version), "note"}, commitPart{"a", 7, 1, ""}, commitPart{"z", 0, 1, ""}, commitPart{"b", 0, 2, ""})
		var resp wire.OffsetCommitResponse
		g.do(wire.OffsetCommitKey, version, req, &resp)
		unknown := wire.ErrorUnknownTopicOrPartition
		if version >= 10 {
			unknown = wire.ErrorUnknownTopicID
		}
		var codes []wire.ErrorCode
		for _, topic := range resp.Topics {
			codes = append(codes, topic.Partitions[0].ErrorCode)
		}
		if diff := cmp.Diff([]wire.ErrorCode{0, wire.ErrorUnknownTopicOrPartition, unknown, 0}, codes); diff != "" {
			t.Errorf("commit version %d: %s", version, diff)
		}
		for fetch := int16(1); fetch <= 10; fetch++ {
			g.checkOffsets(fetch, name, 40+int64(version), version >= 6)
		}
	}
	if g.groups.here.asked == 0 || g.groups.x.asked != 0 {
		t.Errorf("%d and %d commands", g.groups.here.asked, g.groups.x.asked)
	}
}

// checkOffsets fetches what TestOffsets committed, with a leader epoch if the commit's version had room for it.
func (g *rig) checkOffsets(version int16, name string, want int64, hasEpoch bool) {
	g.t.Helper()
	for _, all := range []bool{false, true} {
		asked := map[string][]int32{"a": {1, 0}}
		if all {
			asked = nil
		}
		if all && version < 2 {
			continue // null came with version 2
		}
		got := offsetsOf(g.fetchOffsets(version, newOffsetFetch(name, asked)), version)
		epoch := int32(3)
		if version < 5 || !hasEpoch {
			epoch = -1
		}
		if asked != nil {
			if diff := cmp.Diff([]wire.OffsetFetchResponsePartitions{
				{PartitionIndex: 1, CommittedOffset: want, CommittedLeaderEpoch: epoch, Metadata: wire.SomeString("note")},
				{PartitionIndex: 0, CommittedOffset: -1, CommittedLeaderEpoch: -1, Metadata: wire.SomeString("")},
			}, got); diff != "" {
				g.t.Errorf("%s fetched at version %d: %s", name, version, diff)
			}
		} else if len(got) != 2 || got[0].CommittedOffset != want || got[1].CommittedOffset != 2 {
			g.t.Errorf("%s fetched at version %d: %+v", name, version, got)
		}
	}
}

func (g *rig) fetchOffsets(version int16, req *wire.OffsetFetchRequest) *wire.OffsetFetchResponse {
	resp := new(wire.OffsetFetchResponse)
	g.do(wire.OffsetFetchKey, version, req, resp)
	return resp
}

// offsetsOf are the partitions of a response of one group; without leader epochs, which came with version 5, those are -1.
func offsetsOf(resp *wire.OffsetFetchResponse, version int16) (got []wire.OffsetFetchResponsePartitions) {
	if version >= fetchOfSeveralGroup {
		for _, topic := range resp.Groups[0].Topics {
			got = append(got, topic.Partitions...)
		}
		return got
	}
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			one := wire.OffsetFetchResponsePartitions{PartitionIndex: p.PartitionIndex, CommittedOffset: p.CommittedOffset,
				CommittedLeaderEpoch: p.CommittedLeaderEpoch, Metadata: p.Metadata, ErrorCode: p.ErrorCode}
			if version < 5 {
				one.CommittedLeaderEpoch = -1
			}
			got = append(got, one)
		}
	}
	return got
}

// TestSeveralGroups: requests about groups of several coordinators, some of which are not here, are answered in the order of the request.
func TestSeveralGroups(t *testing.T) {
	g := newRig(t, run.OS())
	for _, name := range []string{"one", "xtwo"} {
		g.do(wire.OffsetCommitKey, 9, newCommit(name, commitPart{"a", 0, 9, ""}), new(wire.OffsetCommitResponse))
	}
	g.groups.refused["elsewhere"] = wire.ErrorNotCoordinator
	names := append([]string{"xtwo", "elsewhere", "one", "missing", "one"}, slices.Repeat([]string{"one"}, 100)...)

	fetch := &wire.OffsetFetchRequest{}
	for _, name := range names {
		fetch.Groups = append(fetch.Groups, newOffsetFetch(name, map[string][]int32{"a": {0}}).Groups...)
	}
	fetched := g.fetchOffsets(8, fetch)
	for i, want := range []string{"xtwo NONE 9", "elsewhere NOT_COORDINATOR", "one NONE 9", "missing NONE -1", "one NONE 9"} {
		got := fmt.Sprint(fetched.Groups[i].GroupId, " ", fetched.Groups[i].ErrorCode.Name())
		if len(fetched.Groups[i].Topics) > 0 {
			got += fmt.Sprint(" ", fetched.Groups[i].Topics[0].Partitions[0].CommittedOffset)
		}
		if got != want {
			t.Errorf("OffsetFetch: %q, want %q", got, want)
		}
	}
	var described wire.DescribeGroupsResponse
	g.do(wire.DescribeGroupsKey, 6, &wire.DescribeGroupsRequest{Groups: names}, &described)
	for i, want := range []string{"xtwo NONE Empty", "elsewhere NOT_COORDINATOR ", "one NONE Empty", "missing GROUP_ID_NOT_FOUND Dead", "one NONE Empty"} {
		d := described.Groups[i]
		if got := fmt.Sprint(d.GroupId, " ", d.ErrorCode.Name(), " ", d.GroupState); got != want {
			t.Errorf("DescribeGroups: %q, want %q", got, want)
		}
	}
	last := len(names) - 1
	if f, d := fetched.Groups[last], described.Groups[last]; f.ErrorCode != wire.ErrorInvalidRequest || d.ErrorCode != wire.ErrorInvalidRequest ||
		fetched.Groups[last-1].ErrorCode != wire.ErrorNone || described.Groups[last-1].ErrorCode != wire.ErrorNone {
		t.Errorf("named again for the 101st time: %s, %s", f.ErrorCode.Name(), d.ErrorCode.Name())
	}
	list := func() (listed wire.ListGroupsResponse) {
		g.do(wire.ListGroupsKey, 5, &wire.ListGroupsRequest{}, &listed)
		return listed
	}
	if got := list(); len(got.Groups) != 2 || got.Groups[0].GroupId != "one" || got.Groups[1].GroupId != "xtwo" || got.Groups[0].GroupType != "classic" {
		t.Errorf("ListGroups: %+v", got)
	}
	g.groups.x.fail = machine.ErrStaleEpoch
	if got := list(); got.ErrorCode != wire.ErrorNone || len(got.Groups) != 1 {
		t.Errorf("ListGroups while a partition moves: %+v", got)
	}
	g.groups.x.fail = errors.New("disk")
	if got := list(); got.ErrorCode != wire.ErrorCoordinatorNotAvailable || len(got.Groups) != 0 {
		t.Errorf("ListGroups while a partition fails: %+v", got)
	}
	g.groups.x.fail, g.groups.loading = nil, wire.ErrorCoordinatorLoadInProgress
	if got := list(); got.ErrorCode != wire.ErrorCoordinatorLoadInProgress || len(got.Groups) != 0 {
		t.Errorf("ListGroups while a partition is being loaded: %+v", got)
	}
	var deleted wire.DeleteGroupsResponse
	g.do(wire.DeleteGroupsKey, 2, &wire.DeleteGroupsRequest{GroupsNames: append(names, names...)}, &deleted)
	for i, want := range []string{"elsewhere NOT_COORDINATOR", "missing GROUP_ID_NOT_FOUND", "one NONE", "xtwo NONE"} {
		if got := fmt.Sprint(deleted.Results[i].GroupId, " ", deleted.Results[i].ErrorCode.Name()); got != want {
			t.Errorf("DeleteGroups: %q, want %q", got, want)
		}
	}
}

// TestGroupCodes: what a coordinator that is not here, or fails, does to each request.
func TestGroupCodes(t *testing.T) {
	all := map[int16]wire.Message{}
	addGroupRequests(all)
	delete(all, wire.ListGroupsKey) // TestSeveralGroups
	code := func(g *rig, key int16) wire.ErrorCode {
		entry, _ := g.table.Lookup(key)
		resp := wire.NewResponse(key)
		g.do(key, entry.Max, all[key], resp)
		switch resp := resp.(type) {
		case *wire.OffsetCommitResponse:
			return resp.Topics[0].Partitions[0].ErrorCode
		case *wire.OffsetFetchResponse:
			return resp.Groups[0].ErrorCode
		case *wire.JoinGroupResponse:
			return resp.ErrorCode
		case *wire.SyncGroupResponse:
			return resp.ErrorCode
		case *wire.HeartbeatResponse:
			return resp.ErrorCode
		case *wire.LeaveGroupResponse:
			return resp.ErrorCode
		case *wire.DescribeGroupsResponse:
			return resp.Groups[0].ErrorCode
		case *wire.DeleteGroupsResponse:
			return resp.Results[0].ErrorCode
		case *wire.ConsumerGroupHeartbeatResponse:
			return resp.ErrorCode
		case *wire.ConsumerGroupDescribeResponse:
			return resp.Groups[0].ErrorCode
		case *wire.OffsetDeleteResponse:
			return resp.ErrorCode
		}
		t.Fatalf("%T", resp)
		return 0
	}
	all[wire.SyncGroupKey].(*wire.SyncGroupRequest).ProtocolType = wire.SomeString("custom")
	all[wire.SyncGroupKey].(*wire.SyncGroupRequest).ProtocolName = wire.SomeString("range")
	for key := range all {
		for _, refused := range []wire.ErrorCode{wire.ErrorNotCoordinator, wire.ErrorCoordinatorLoadInProgress, wire.ErrorCoordinatorNotAvailable} {
			g := newRig(t, run.OS())
			g.groups.refused["g"] = refused
			want := refused
			if key == wire.HeartbeatKey && refused == wire.ErrorCoordinatorLoadInProgress {
				want = wire.ErrorNone
			}
			if got := code(g, key); got != want {
				t.Errorf("%s, refused with %s: %s", wire.APIName(key), refused.Name(), got.Name())
			}
		}
		for failure, want := range map[error]wire.ErrorCode{
			fmt.Errorf("append: %w", machine.ErrStaleEpoch): wire.ErrorNotCoordinator, machine.ErrClosed: wire.ErrorNotCoordinator,
			machine.ErrBusy: wire.ErrorCoordinatorLoadInProgress, machine.ErrUnreadable: wire.ErrorCoordinatorNotAvailable,
		} {
			g := newRig(t, run.OS())
			g.groups.here.fail = failure
			if key == wire.HeartbeatKey && failure == machine.ErrBusy {
				want = wire.ErrorNone
			}
			if got := code(g, key); got != want {
				t.Errorf("%s, failed with %q: %s, want %s", wire.APIName(key), failure, got.Name(), want.Name())
			}
		}
	}
}

// TestGroupCommandIsLate: a request is answered when its command is committed; after commitWait it says that nobody knows, and what
// comes later does not matter.
func TestGroupCommandIsLate(t *testing.T) {
	simulated(t, 1, func(env run.Env) {
		g := newRig(t, env)
		g.groups.here.hold = true
		req := newCommit("g", commitPart{"a", 0, 5, ""})
		var resp wire.OffsetCommitResponse
		c := g.start(wire.OffsetCommitKey, 9, req)
		if c.outcome != Parked || c.woken() {
			t.Fatalf("outcome %d before the commit", c.outcome)
		}
		g.groups.here.release()
		if c.reply(&resp); resp.Topics[0].Partitions[0].ErrorCode != wire.ErrorNone {
			t.Errorf("%+v", resp)
		}
		g.groups.here.hold = true
		began := env.Monotonic()
		c = g.start(wire.OffsetCommitKey, 9, req)
		c.reply(&resp)
		if waited := env.Monotonic() - began; resp.Topics[0].Partitions[0].ErrorCode != wire.ErrorCoordinatorNotAvailable || waited < commitWait || waited > commitWait+commitWait/32 {
			t.Errorf("after %v: %+v", waited, resp)
		}
		late := g.groups.here.held
		g.groups.here.held = nil
		next := g.start(wire.OffsetCommitKey, 9, newCommit("g", commitPart{"a", 0, 6, ""}))
		for _, done := range late {
			done()
		}
		if next.outcome != Parked || next.woken() {
			t.Error("the end of a command whose request was answered ended the next request")
		}
		g.groups.here.release()
		if next.reply(&resp); resp.Topics[0].Partitions[0].ErrorCode != wire.ErrorNone {
			t.Errorf("%+v", resp)
		}
		g.groups.here.hold = true
		c = g.start(wire.DescribeGroupsKey, 6, &wire.DescribeGroupsRequest{Groups: []string{"g"}})
		c.r.Pending.Cancel()
		g.groups.here.release()
		if c.woken() {
			t.Error("a request whose connection is gone was woken")
		}
	})
}

// TestJoinWaits: a join has no time of its own, and one whose connection is gone is not woken.
func TestJoinWaits(t *testing.T) {
	simulated(t, 1, func(env run.Env) {
		g := newRig(t, env)
		first := g.join(9, "g")
		second := g.start(wire.JoinGroupKey, 3, newJoin("g", "", "range", "other"))
		gone := g.start(wire.JoinGroupKey, 3, newJoin("g", "", "range", "third"))
		gone.r.Pending.Cancel()
		env.NewSignal().WaitFor(time.Minute)
		if second.woken() {
			t.Fatal("the group has not settled")
		}
		again := g.start(wire.JoinGroupKey, 9, newJoin("g", first.MemberId, "range", "metadata"))
		var resp wire.JoinGroupResponse
		if again.reply(&resp); resp.GenerationId != 2 || len(resp.Members) != 3 {
			t.Errorf("%+v", resp)
		}
		if second.reply(&resp); resp.GenerationId != 2 || resp.Leader != first.MemberId {
			t.Errorf("%+v", resp)
		}
		if gone.woken() {
			t.Error("a request whose connection is gone was woken")
		}
	})
}

func TestClientHost(t *testing.T) {
	for host, want := range map[string]string{"127.0.0.1": "/127.0.0.1", "::1": "/0:0:0:0:0:0:0:1", "2001:db8::ff00:42": "/2001:db8:0:0:0:0:ff00:42",
		"::ffff:10.0.0.1": "/10.0.0.1", "sim-client": "/sim-client"} {
		if got := clientHost(host); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}

// TestSoftwareIsToldToOurs: which software a member is, is told to Ottla's own command line alone.
func TestSoftwareIsToldToOurs(t *testing.T) {
	g := newRig(t, run.OS())
	g.conn.SoftwareName, g.conn.SoftwareVersion = "kgo", "1.2"
	g.join(9, "old")
	var beat wire.ConsumerGroupHeartbeatResponse
	g.do(wire.ConsumerGroupHeartbeatKey, 1, newBeat("new", "mine", 0), &beat)
	for name, want := range map[string]string{"ottla": "kgo/1.2", "kgo": "", "unknown": ""} {
		other := g.anotherConn()
		other.conn.SoftwareName = name
		for version := int16(4); version <= 6; version++ {
			var described wire.DescribeGroupsResponse
			other.do(wire.DescribeGroupsKey, version, &wire.DescribeGroupsRequest{Groups: []string{"old"}}, &described)
			wanted := want
			if version < 5 { // no tagged fields
				wanted = ""
			}
			if members := described.Groups[0].Members; len(members) != 1 || members[0].ClientSoftware != wanted {
				t.Errorf("%s, version %d: %+v, want %q", name, version, members, wanted)
			}
		}
		for version := range int16(2) {
			var described wire.ConsumerGroupDescribeResponse
			other.do(wire.ConsumerGroupDescribeKey, version, &wire.ConsumerGroupDescribeRequest{GroupIds: []string{"new"}}, &described)
			if members := described.Groups[0].Members; len(members) != 1 || members[0].ClientSoftware != want {
				t.Errorf("%s, version %d: %+v, want %q", name, version, members, want)
			}
		}
	}
	g.conn.SoftwareName = "unknown"
	g.do(wire.ConsumerGroupHeartbeatKey, 1, newBeat("new", "mine", beat.MemberEpoch), &beat)
	g.conn.SoftwareName = "ottla"
	var described wire.ConsumerGroupDescribeResponse
	g.do(wire.ConsumerGroupDescribeKey, 1, &wire.ConsumerGroupDescribeRequest{GroupIds: []string{"new"}}, &described)
	if got := described.Groups[0].Members[0].ClientSoftware; got != "" {
		t.Errorf("of a client that did not say: %q", got)
	}
}
