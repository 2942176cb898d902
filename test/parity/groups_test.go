package parity

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// groupScenarios run against a broker of their own, in which groups don't wait for more members at first.
var groupScenarios = []scenario{
	{"find-coordinator", findCoordinator},
	{"groups-list", groupsList},
	{"groups-one-member", groupsOneMember},
	{"groups-join-bad", groupsJoinBad},
	{"groups-rebalance", groupsRebalance},
	{"groups-static", groupsStatic},
	{"offset-commit", offsetCommit},
	{"offset-fetch", offsetFetch},
	{"offset-delete", offsetDelete},
	{"delete-groups", deleteGroups},
	{"groups-timeouts", groupsTimeouts},
}

// coordinator waits until the broker coordinates groups.
func (s *session) coordinator() {
	s.t.Helper()
	s.waitFor("coordinator", func() bool {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorKey = "any"
		if s.quiet(2, req).(*kmsg.FindCoordinatorResponse).ErrorCode != 0 {
			return false
		}
		describe := kmsg.NewPtrDescribeGroupsRequest()
		for i := range 60 {
			describe.Groups = append(describe.Groups, fmt.Sprint("warm-", i))
		}
		for _, g := range s.quiet(5, describe).(*kmsg.DescribeGroupsResponse).Groups {
			if g.ErrorCode != 0 {
				return false
			}
		}
		return true
	})
}

func findCoordinator(s *session) {
	s.coordinator()
	for v := int16(0); v <= 6; v++ {
		for _, key := range []string{"group", "", strings.Repeat("g", 300)} {
			req := kmsg.NewPtrFindCoordinatorRequest()
			req.CoordinatorKey, req.CoordinatorKeys = key, []string{key, "another"}
			s.send(fmt.Sprintf("group of %d characters", len(key)), v, req)
		}
		if v < 1 {
			continue
		}
		for _, kind := range []int8{2, 3, -1} {
			if kind == 2 && v >= 6 {
				continue // share groups, which Kafka serves
			}
			req := kmsg.NewPtrFindCoordinatorRequest()
			req.CoordinatorKey, req.CoordinatorKeys, req.CoordinatorType = "x", []string{"x"}, kind
			s.send(fmt.Sprintf("type %d", kind), v, req)
		}
	}
}

func joinReq(group, member, instance string, protocols ...string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis, req.ProtocolType = group, member, 30_000, 30_000, "custom"
	req.InstanceID = optional(instance)
	for _, name := range protocols {
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = name, []byte("m-"+name)
		req.Protocols = append(req.Protocols, p)
	}
	return req
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// join joins as a new member, at a version from 4 on with the two steps, and gives the member's id.
func (s *session) join(name string, v int16, group, instance string, protocols ...string) string {
	s.t.Helper()
	joined := s.send(name, v, joinReq(group, "", instance, protocols...)).(*kmsg.JoinGroupResponse)
	if joined.ErrorCode == 79 { // MEMBER_ID_REQUIRED
		joined = s.send(name+" with an id", v, joinReq(group, joined.MemberID, instance, protocols...)).(*kmsg.JoinGroupResponse)
	}
	return joined.MemberID
}

func syncReq(group string, generation int32, member, instance string, assignments ...string) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.Generation, req.MemberID, req.InstanceID = group, generation, member, optional(instance)
	custom, first := "custom", "first"
	req.ProtocolType, req.Protocol = &custom, &first
	for i := 0; i < len(assignments); i += 2 {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = assignments[i], []byte(assignments[i+1])
		req.GroupAssignment = append(req.GroupAssignment, a)
	}
	return req
}

func heartbeatReq(group string, generation int32, member, instance string) *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.Generation, req.MemberID, req.InstanceID = group, generation, member, optional(instance)
	return req
}

func leaveReq(group string, members ...string) *kmsg.LeaveGroupRequest {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = group
	for _, id := range members {
		m := kmsg.NewLeaveGroupRequestMember()
		m.MemberID, req.MemberID = id, id
		req.Members = append(req.Members, m)
	}
	return req
}

func describeReq(groups ...string) *kmsg.DescribeGroupsRequest {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups, req.IncludeAuthorizedOperations = groups, true
	return req
}

func groupsOneMember(s *session) {
	s.coordinator()
	id := s.topic("one-member", 1)
	for v := int16(0); v <= 9; v++ {
		group := fmt.Sprint("one-", v)
		sync, beat, leave, describe, commit := min(v, 5), min(v, 4), min(v, 5), min(v, 6), min(v+2, 10)
		member := s.join("join", v, group, "", "first", "second")
		s.send("describe while it has no assignment", describe, describeReq(group))
		s.send("heartbeat before the assignment", beat, heartbeatReq(group, 1, member, ""))
		s.send("commit before the assignment", commit, commitReq(group, 1, member, "one-member", id, 0, 1))
		s.send("sync of another generation", sync, syncReq(group, 2, member, "", member, "x"))
		s.send("sync of nobody", sync, syncReq(group, 1, "nobody", "", member, "x"))
		s.send("sync without a group", sync, syncReq("", 1, member, "", member, "x"))
		if v >= 5 {
			other := syncReq(group, 1, member, "", member, "x")
			second := "second"
			other.Protocol = &second
			s.send("sync of another protocol", sync, other)
			other = syncReq(group, 1, member, "", member, "x")
			other.ProtocolType = &second
			s.send("sync of another type", sync, other)
			other.ProtocolType = nil
			s.send("sync of no type", sync, other)
		}
		s.send("sync", sync, syncReq(group, 1, member, "", member, "assignment", "stranger", "ignored"))
		s.send("sync again", sync, syncReq(group, 1, member, "", member, "another"))
		s.send("heartbeat", beat, heartbeatReq(group, 1, member, ""))
		s.send("heartbeat of an earlier generation", beat, heartbeatReq(group, 0, member, ""))
		s.send("heartbeat of a later generation", beat, heartbeatReq(group, 2, member, ""))
		s.send("heartbeat of nobody", beat, heartbeatReq(group, 1, "nobody", ""))
		s.send("heartbeat without an id", beat, heartbeatReq(group, 1, "", ""))
		s.send("heartbeat without a group", beat, heartbeatReq("", 1, member, ""))
		s.send("heartbeat in an unknown group", beat, heartbeatReq("unknown", 1, member, ""))
		s.send("commit", commit, commitReq(group, 1, member, "one-member", id, 0, 17))
		s.send("commit of an earlier generation", commit, commitReq(group, 0, member, "one-member", id, 0, 18))
		s.send("commit of a later generation", commit, commitReq(group, 2, member, "one-member", id, 0, 18))
		s.send("commit of nobody", commit, commitReq(group, 1, "nobody", "one-member", id, 0, 18))
		s.send("commit of no member", commit, commitReq(group, -1, "", "one-member", id, 0, 18))
		s.send("commit without a generation", commit, commitReq(group, -1, member, "one-member", id, 0, 18))
		s.send("commit of a generation without a member", commit, commitReq(group, 1, "", "one-member", id, 0, 18))
		s.send("describe", describe, describeReq(group))
		s.send("fetch", min(commit, 10), fetchOffsetsReq(min(commit, 10), group, "one-member", id, 0))
		s.send("join again, the leader", v, joinReq(group, member, "", "first", "second"))
		s.send("join of nobody", v, joinReq(group, "nobody", "", "first"))
		s.send("join of other protocols", v, joinReq(group, "", "", "third"))
		another := joinReq(group, "", "", "first")
		another.ProtocolType = "consumer"
		s.send("join of another type", v, another)
		s.send("delete while it has a member", min(v, 2), deleteGroupsReq(group))
		s.send("leave of nobody", leave, leaveReq(group, "nobody"))
		s.send("leave of an unknown group", leave, leaveReq("unknown", member))
		s.send("leave without a group", leave, leaveReq("", member))
		if v >= 3 {
			s.send("leave of no members", leave, leaveReq(group))
		}
		s.send("leave", leave, leaveReq(group, member))
		s.send("leave again", leave, leaveReq(group, member))
		s.send("heartbeat after leaving", beat, heartbeatReq(group, 2, member, ""))
		s.send("describe empty", describe, describeReq(group))
		s.send("commit of no member, empty", commit, commitReq(group, -1, "", "one-member", id, 0, 19))
		s.send("commit of a member, empty", commit, commitReq(group, 3, member, "one-member", id, 0, 20))
		s.send("sync after leaving", sync, syncReq(group, 2, member, "", member, "x"))
		s.send("delete", min(v, 2), deleteGroupsReq(group))
		s.send("describe deleted", describe, describeReq(group))
		s.send("fetch deleted", min(commit, 10), fetchOffsetsReq(min(commit, 10), group, "one-member", id, 0))
	}
}

func groupsJoinBad(s *session) {
	s.coordinator()
	for v := int16(0); v <= 9; v++ {
		send := func(name string, change func(*kmsg.JoinGroupRequest)) {
			req := joinReq(fmt.Sprint("bad-", v), "", "", "first")
			change(req)
			s.send(name, v, req)
		}
		send("no group", func(r *kmsg.JoinGroupRequest) { r.Group = "" })
		send("short session", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 5_999 })
		send("long session", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1_800_001 })
		send("negative session", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = -1 })
		send("unknown member", func(r *kmsg.JoinGroupRequest) { r.MemberID = "nobody" })
		send("no type", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "" })
		send("no protocols", func(r *kmsg.JoinGroupRequest) { r.Protocols = nil })
		if v >= 5 {
			instance := "instance"
			send("unknown member of an instance", func(r *kmsg.JoinGroupRequest) { r.MemberID, r.InstanceID = "nobody", &instance })
		}
		s.send("describe", min(v, 6), describeReq(fmt.Sprint("bad-", v)))
	}
}

// peer is another connection of the same transcript.
func (s *session) peer() *session {
	other := *s
	other.conn = nil
	s.t.Cleanup(other.hangUp)
	return &other
}

// park sends a request whose answer waits for others; the function that it returns reads that.
func (s *session) park(name string, version int16, req kmsg.Request) func(into *session) kmsg.Response {
	s.t.Helper()
	req.SetVersion(version)
	frame := s.frame(req)
	if err := s.write(frame); err != nil {
		s.t.Fatal(err)
	}
	return func(into *session) kmsg.Response {
		setDeadline(s.conn)
		body, err := readFrame(s.conn)
		if err != nil {
			into.note(name, s.ending(err))
			return nil
		}
		resp, text := s.decode(body, req)
		into.note(fmt.Sprintf("%s v%d", name, version), text)
		return resp
	}
}

func groupsRebalance(s *session) {
	s.coordinator()
	id := s.topic("rebalanced", 1)
	for _, v := range []int16{2, 5, 9} {
		group := fmt.Sprint("pair-", v)
		sync, beat, commit := min(v, 5), min(v, 4), min(v+1, 9)
		first := s.join("first joins", v, group, "", "first")
		s.send("first syncs", sync, syncReq(group, 1, first, "", first, "all"))
		other := s.peer()
		second := ""
		if v >= 4 {
			second = s.send("second asks for an id", v, joinReq(group, "", "", "first")).(*kmsg.JoinGroupResponse).MemberID
			s.send("first while there is an id", beat, heartbeatReq(group, 1, first, ""))
		}
		joining := other.park("second joins", v, joinReq(group, second, "", "first"))
		s.waitFor("rebalance", func() bool {
			return s.quiet(beat, heartbeatReq(group, 1, first, "")).(*kmsg.HeartbeatResponse).ErrorCode == 27
		})
		s.send("first beats", beat, heartbeatReq(group, 1, first, ""))
		s.send("first commits meanwhile", commit, commitReq(group, 1, first, "rebalanced", id, 0, 3))
		s.send("first syncs meanwhile", sync, syncReq(group, 1, first, "", first, "all"))
		s.send("describe meanwhile", min(v, 6), describeReq(group))
		s.send("first joins again", v, joinReq(group, first, "", "first"))
		second = joining(s).(*kmsg.JoinGroupResponse).MemberID
		s.send("first beats in the new generation", beat, heartbeatReq(group, 2, first, ""))
		s.send("first commits in the old generation", commit, commitReq(group, 1, first, "rebalanced", id, 0, 4))
		s.send("first commits in the new generation", commit, commitReq(group, 2, first, "rebalanced", id, 0, 4))
		following := other.park("second syncs", sync, syncReq(group, 2, second, ""))
		s.send("first syncs for both", sync, syncReq(group, 2, first, "", first, "one", second, "two"))
		following(s)
		s.send("second joins again, not the leader", v, joinReq(group, second, "", "first"))
		s.send("describe both", min(v, 6), describeReq(group))
		s.send("first leaves", min(v, 5), leaveReq(group, first))
		s.send("second beats", beat, heartbeatReq(group, 2, second, ""))
		s.send("second joins again, alone", v, joinReq(group, second, "", "first"))
		s.send("second leaves unsynced", min(v, 5), leaveReq(group, second))
		other.hangUp()
	}
}

func groupsStatic(s *session) {
	s.coordinator()
	id := s.topic("static", 1)
	for _, v := range []int16{5, 7, 9} {
		group := fmt.Sprint("static-", v)
		sync, beat, commit := min(v, 5), int16(4), min(v, 9)
		first := s.join("join", v, group, "instance", "first")
		s.send("sync", sync, syncReq(group, 1, first, "instance", first, "all"))
		s.send("beat", beat, heartbeatReq(group, 1, first, "instance"))
		s.send("beat of another instance", beat, heartbeatReq(group, 1, first, "other"))
		s.send("beat of another member", beat, heartbeatReq(group, 1, "nobody", "instance"))
		again := s.send("join anew", v, joinReq(group, "", "instance", "first")).(*kmsg.JoinGroupResponse).MemberID
		s.send("sync anew", sync, syncReq(group, 1, again, "instance"))
		s.send("beat of the old", beat, heartbeatReq(group, 1, first, "instance"))
		s.send("sync of the old", sync, syncReq(group, 1, first, "instance"))
		s.send("join of the old", v, joinReq(group, first, "instance", "first"))
		old := commitReq(group, 1, first, "static", id, 0, 4)
		old.InstanceID = optional("instance")
		s.send("commit of the old", max(commit, 7), old)
		s.send("beat of the new", beat, heartbeatReq(group, 1, again, "instance"))
		s.send("beat of the new without its instance", beat, heartbeatReq(group, 1, again, ""))
		s.send("describe", 5, describeReq(group))
		leave := leaveReq(group, first)
		leave.Members[0].InstanceID = optional("instance")
		s.send("leave of the old", min(v, 5), leave)
		leave = leaveReq(group, "", "", "nobody")
		leave.Members[0].InstanceID, leave.Members[1].InstanceID = optional("instance"), optional("unknown")
		s.send("leave by instance, and of others", min(v, 5), leave)
		s.send("describe empty", 5, describeReq(group))
	}
}

func groupsList(s *session) {
	s.coordinator()
	id := s.topic("list-of-groups", 1)
	s.send("commit", 9, commitReq("only-offsets", -1, "", "list-of-groups", id, 0, 1))
	member := s.join("join", 4, "with-a-member", "", "first")
	s.send("sync", 3, syncReq("with-a-member", 1, member, "", member, "x"))
	for v := int16(0); v <= 5; v++ {
		for _, states := range [][]string{nil, {"Stable"}, {"stable", "EMPTY"}, {"Dead"}, {"nonsense"}, {""}} {
			for _, types := range [][]string{nil, {"classic"}, {"Consumer", "CLASSIC"}, {"share"}, {"nonsense"}} {
				if v < 4 && states != nil || v < 5 && types != nil {
					continue
				}
				req := kmsg.NewPtrListGroupsRequest()
				req.StatesFilter, req.TypesFilter = states, types
				s.send(fmt.Sprintf("states %q types %q", states, types), v, req)
			}
		}
	}
	for v := int16(0); v <= 6; v++ {
		s.send("describe several", v, describeReq("with-a-member", "only-offsets", "unknown", "", "with-a-member"))
		s.send("describe none", v, describeReq())
	}
	s.quiet(4, leaveReq("with-a-member", member))
}

func commitReq(group string, generation int32, member, topic string, id [16]byte, partition int32, offset int64) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation, req.MemberID, req.RetentionTimeMillis = group, generation, member, -1
	req.Topics = append(req.Topics, commitOf(topic, id, partition, offset, "note"))
	return req
}

func commitOf(topic string, id [16]byte, partition int32, offset int64, note string) kmsg.OffsetCommitRequestTopic {
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.TopicID = topic, id
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, offset, 0, &note
	t.Partitions = append(t.Partitions, p)
	return t
}

// fetchReq asks for partitions of one topic, in the form of the version; -100 asks for all topics.
func fetchOffsetsReq(v int16, group, topic string, id [16]byte, partitions ...int32) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	if v < 8 {
		t := kmsg.NewOffsetFetchRequestTopic()
		t.Topic, t.Partitions = topic, partitions
		req.Topics = append(req.Topics, t)
		return req
	}
	req.Groups = append(req.Groups, fetchGroup(group, topic, id, partitions...))
	return req
}

func fetchGroup(group, topic string, id [16]byte, partitions ...int32) kmsg.OffsetFetchRequestGroup {
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	t := kmsg.NewOffsetFetchRequestGroupTopic()
	t.Topic, t.TopicID, t.Partitions = topic, id, partitions
	g.Topics = append(g.Topics, t)
	return g
}

func offsetCommit(s *session) {
	s.coordinator()
	id := s.topic("committed", 2)
	unknown := [16]byte{0xee, 15: 0xee}
	for v := int16(2); v <= 10; v++ {
		group := fmt.Sprint("commits-", v)
		topics := func(name string, topics ...kmsg.OffsetCommitRequestTopic) {
			req := commitReq(group, -1, "", "", id, 0, 0)
			req.Topics = topics
			s.send(name, v, req)
		}
		s.send("member of an unknown group", v, commitReq(group, 1, "nobody", "committed", id, 0, 5))
		s.send("generation without a member, unknown group", v, commitReq(group, 1, "", "committed", id, 0, 5))
		topics("unknown topic, unknown group", commitOf("unknown", unknown, 0, 5, ""))
		topics("nobody", commitOf("committed", id, 0, 5, "note"))
		topics("no topics")
		topics("unknown topic", commitOf("unknown", unknown, 0, 5, ""))
		topics("unknown topic and a known one", commitOf("unknown", unknown, 0, 5, ""), commitOf("committed", id, 0, 6, ""))
		topics("unknown partition", commitOf("committed", id, 2, 5, ""))
		topics("negative partition", commitOf("committed", id, -1, 5, ""))
		topics("negative offset", commitOf("committed", id, 1, -5, ""))
		topics("note of 4096", commitOf("committed", id, 1, 7, strings.Repeat("n", 4096)))
		topics("note of 4097", commitOf("committed", id, 1, 8, strings.Repeat("n", 4097)))
		topics("note of 4096 letters, each of two bytes", commitOf("committed", id, 1, 9, strings.Repeat("ä", 4096)))
		null := commitOf("committed", id, 1, 10, "")
		null.Partitions[0].Metadata = nil
		topics("null note", null)
		twice := commitOf("committed", id, 1, 11, "")
		twice.Partitions = append(twice.Partitions, commitOf("committed", id, 1, 12, "").Partitions...)
		topics("partition twice", twice)
		s.send("no group", v, commitReq("", -1, "", "committed", id, 0, 5))
		if v < 5 {
			kept := commitReq(group, -1, "", "committed", id, 0, 13)
			kept.RetentionTimeMillis = 1_000_000
			s.send("with a retention", v, kept)
		}
		s.send("what is there", 9, fetchOffsetsReq(9, group, "committed", id, 0, 1))
	}
}

func offsetFetch(s *session) {
	s.coordinator()
	id := s.topic("fetched", 3)
	unknown := [16]byte{0xee, 15: 0xee}
	s.quiet(9, commitReq("has-offsets", -1, "", "fetched", id, 0, 5))
	s.quiet(9, commitReq("has-offsets", -1, "", "fetched", id, 2, 7))
	s.quiet(9, commitReq("has-others", -1, "", "fetched", id, 1, 8))
	for v := int16(1); v <= 10; v++ {
		s.send("one", v, fetchOffsetsReq(v, "has-offsets", "fetched", id, 0))
		s.send("several", v, fetchOffsetsReq(v, "has-offsets", "fetched", id, 2, 1, 0))
		s.send("twice", v, fetchOffsetsReq(v, "has-offsets", "fetched", id, 0, 0))
		s.send("unknown partition", v, fetchOffsetsReq(v, "has-offsets", "fetched", id, 7, -1))
		s.send("unknown topic", v, fetchOffsetsReq(v, "has-offsets", "unknown", unknown, 0))
		s.send("unknown group", v, fetchOffsetsReq(v, "nobody", "fetched", id, 0))
		s.send("unknown group and topic", v, fetchOffsetsReq(v, "nobody", "unknown", unknown, 0))
		s.send("no group", v, fetchOffsetsReq(v, "", "fetched", id, 0))
		s.send("no partitions", v, fetchOffsetsReq(v, "has-offsets", "fetched", id))
		none := fetchOffsetsReq(v, "has-offsets", "fetched", id)
		none.Topics = []kmsg.OffsetFetchRequestTopic{}
		if v >= 8 {
			none.Groups[0].Topics = []kmsg.OffsetFetchRequestGroupTopic{}
		}
		s.send("no topics", v, none)
		if v >= 2 {
			for _, group := range []string{"has-offsets", "nobody"} {
				all := fetchOffsetsReq(v, group, "fetched", id)
				all.Topics = nil
				if v >= 8 {
					all.Groups[0].Topics = nil
				}
				s.send("all of "+group, v, all)
			}
		}
		if v >= 7 {
			stable := fetchOffsetsReq(v, "has-offsets", "fetched", id, 0)
			stable.RequireStable = true
			s.send("stable", v, stable)
		}
		if v >= 8 {
			many := kmsg.NewPtrOffsetFetchRequest()
			many.Groups = append(many.Groups, fetchGroup("has-offsets", "fetched", id, 0), fetchGroup("nobody", "fetched", id, 0), fetchGroup("has-others", "fetched", id, 1))
			s.send("many", v, many)
			many.Groups = nil
			s.send("no groups", v, many)
		}
		if v >= 9 {
			member := "nobody"
			for _, epoch := range []int32{-1, 0, 5} {
				for _, group := range []string{"has-offsets", "nobody"} {
					req := fetchOffsetsReq(v, group, "fetched", id, 0)
					req.Groups[0].MemberID, req.Groups[0].MemberEpoch = &member, epoch
					s.send(fmt.Sprintf("member with epoch %d of %s", epoch, group), v, req)
				}
			}
		}
	}
}

func offsetDelete(s *session) {
	s.coordinator()
	id := s.topic("undone", 2)
	other := s.topic("undone-too", 1)
	del := func(name, group string, topics ...any) {
		req := kmsg.NewPtrOffsetDeleteRequest()
		req.Group = group
		for i := 0; i < len(topics); i += 2 {
			t := kmsg.NewOffsetDeleteRequestTopic()
			t.Topic = topics[i].(string)
			for _, partition := range topics[i+1].([]int32) {
				p := kmsg.NewOffsetDeleteRequestTopicPartition()
				p.Partition = partition
				t.Partitions = append(t.Partitions, p)
			}
			req.Topics = append(req.Topics, t)
		}
		s.send(name, 0, req)
	}
	s.quiet(9, commitReq("undoes", -1, "", "undone", id, 0, 5))
	s.quiet(9, commitReq("undoes", -1, "", "undone", id, 1, 6))
	del("no group", "", "undone", []int32{0})
	del("unknown group", "nobody", "undone", []int32{0})
	del("unknown group and topic", "nobody", "unknown", []int32{0})
	del("unknown topic", "undoes", "unknown", []int32{0})
	del("unknown partition", "undoes", "undone", []int32{2, -1})
	del("no topics", "undoes")
	del("no partitions", "undoes", "undone", []int32{})
	del("not committed", "undoes", "undone-too", []int32{0})
	del("one", "undoes", "undone", []int32{0})
	del("again", "undoes", "undone", []int32{0})
	s.send("what is left", 9, fetchOffsetsReq(9, "undoes", "undone", id, 0, 1))
	del("all", "undoes", "undone", []int32{0, 1})
	s.send("describe without offsets", 6, describeReq("undoes"))

	member := s.join("join", 5, "undoes-custom", "", "first")
	s.send("sync", 3, syncReq("undoes-custom", 1, member, "", member, "x"))
	s.send("commit", 8, commitReq("undoes-custom", 1, member, "undone", id, 0, 7))
	del("of a group with another protocol", "undoes-custom", "undone", []int32{0})
	s.send("leave", 4, leaveReq("undoes-custom", member))
	del("of it, empty", "undoes-custom", "undone", []int32{0})

	joinConsumer := func(member string) *kmsg.JoinGroupRequest {
		req := joinReq("undoes-consumer", member, "", "first")
		req.ProtocolType, req.Protocols[0].Metadata = "consumer", subscription("undone")
		return req
	}
	asked := s.send("consumer asks", 5, joinConsumer("")).(*kmsg.JoinGroupResponse)
	member = s.send("consumer joins", 5, joinConsumer(asked.MemberID)).(*kmsg.JoinGroupResponse).MemberID
	s.send("consumer syncs", 3, syncReq("undoes-consumer", 1, member, "", member, "x"))
	s.quiet(8, commitReq("undoes-consumer", 1, member, "undone", id, 0, 7))
	s.quiet(8, commitReq("undoes-consumer", 1, member, "undone-too", other, 0, 7))
	del("subscribed and not", "undoes-consumer", "undone", []int32{0, 1}, "undone-too", []int32{0}, "unknown", []int32{0})
	s.send("what is left of it", 9, fetchOffsetsReq(9, "undoes-consumer", "undone", id, 0))
	s.send("consumer leaves", 4, leaveReq("undoes-consumer", member))
	del("subscribed before", "undoes-consumer", "undone", []int32{0})
}

// subscription is what a consumer says of itself: version 0, its topics, no data.
func subscription(topics ...string) []byte {
	b := binary.BigEndian.AppendUint16(nil, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(topics)))
	for _, topic := range topics {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(topic))), topic...)
	}
	return binary.BigEndian.AppendUint32(b, 0)
}

func deleteGroupsReq(groups ...string) *kmsg.DeleteGroupsRequest {
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = groups
	return req
}

func deleteGroups(s *session) {
	s.coordinator()
	id := s.topic("deleted-with", 1)
	for v := int16(0); v <= 2; v++ {
		group := fmt.Sprint("deleted-", v)
		s.quiet(9, commitReq(group, -1, "", "deleted-with", id, 0, 5))
		s.send("unknown", v, deleteGroupsReq("nobody"))
		s.send("no name", v, deleteGroupsReq(""))
		s.send("none", v, deleteGroupsReq())
		s.send("one, and unknown", v, deleteGroupsReq("nobody", group))
		s.send("again", v, deleteGroupsReq(group))
		s.send("its offsets", 9, fetchOffsetsReq(9, group, "deleted-with", id, 0))
		s.quiet(9, commitReq(group, -1, "", "deleted-with", id, 0, 5))
		s.send("twice", v, deleteGroupsReq(group, group))
	}
}
