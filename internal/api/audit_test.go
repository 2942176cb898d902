package api

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

// TestEveryAPIIsJudged: somebody has thought about what an audit says of each API that is served.
func TestEveryAPIIsJudged(t *testing.T) {
	table := NewTable(Deps{})
	for i := range table.entries {
		if _, known := Mutates(table.entries[i].Key); !known {
			t.Errorf("%s is served, and Mutates in audit.go does not say whether it changes what an operator answers for", wire.APIName(table.entries[i].Key))
		}
	}
}

// listen gathers what a rig's audit is told.
func (g *rig) listen() func() []AuditEvent {
	var mu sync.Mutex
	var told []AuditEvent
	g.table.deps.Audit = func(e AuditEvent) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, e)
	}
	return func() []AuditEvent {
		mu.Lock()
		defer mu.Unlock()
		news := told
		told = nil
		return news
	}
}

// TestAuditOfClientsThatLeave: who hangs up after he asked for a change is on record with its outcome all the same.
func TestAuditOfClientsThatLeave(t *testing.T) {
	g := newRig(t, run.OS())
	told := g.listen()
	g.conn.RemotePort = 5000
	c := g.start(wire.DeleteTopicsKey, 6, &wire.DeleteTopicsRequest{TimeoutMs: 1000, Topics: []wire.DeleteTopicsRequestDeleteTopicState{{Name: wire.SomeString("a")}}})
	if c.outcome != Parked || len(told()) != 0 {
		t.Fatalf("outcome %d; an outcome that is not known was told", c.outcome)
	}
	c.r.Pending.Cancel()
	g.controller.deletes[0].done(&wire.DeleteTopicsResponse{Responses: []wire.DeleteTopicsResponseDeletableTopicResult{{Name: wire.SomeString("a")}}})
	want := []AuditEvent{{API: "DeleteTopics", Version: 6, Principal: "User:ANONYMOUS", ClientID: "tester", SoftwareName: "unknown", SoftwareVersion: "unknown",
		Listener: "PLAINTEXT", Host: "192.0.2.1", Port: 5000,
		Changes: []Change{{Kind: "topic", Name: "a", Before: State{"topicId": id(1).String(), "partitions": "2", "replicationFactor": "1"}}}}}
	if diff := cmp.Diff(want, told()); diff != "" {
		t.Error(diff)
	}
}

// TestAuditIsBounded: a request of many names is one event of at most mostChanges, and says how many it left out.
func TestAuditIsBounded(t *testing.T) {
	g := newRig(t, run.OS())
	told := g.listen()
	req := &wire.CreateAclsRequest{}
	for range mostChanges + 7 {
		req.Creations = append(req.Creations, wire.CreateAclsRequestAclCreation{ResourceType: 2, ResourceName: "t", ResourcePatternType: 3, Principal: "User:x", Host: "*", Operation: 3, PermissionType: 3})
	}
	g.do(wire.CreateAclsKey, 3, req, new(wire.CreateAclsResponse))
	events := told()
	if len(events) != 1 || len(events[0].Changes) != mostChanges || events[0].Omitted != 7 {
		t.Fatalf("%d events, want one of %d changes that left out 7", len(events), mostChanges)
	}
	if c := events[0].Changes[0]; c.Name != "User:x from *: READ on TOPIC t" || c.Error != wire.ErrorSecurityDisabled {
		t.Errorf("told %q, %v", c.Name, c.Error)
	}
}

// TestAuditOfOffsets: of commits by others than members the first of a connection is told, and those that go back, with the offsets that
// are lost by them; those of members never.
func TestAuditOfOffsets(t *testing.T) {
	g := newRig(t, run.OS())
	told := g.listen()
	commit := func(member string, generation int32, offset int64) {
		t.Helper()
		g.do(wire.OffsetCommitKey, 8, &wire.OffsetCommitRequest{GroupId: "g", MemberId: member, GenerationIdOrMemberEpoch: generation,
			Topics: []wire.OffsetCommitRequestTopic{{Name: "a", Partitions: []wire.OffsetCommitRequestPartition{{PartitionIndex: 1, CommittedOffset: offset}}}}}, new(wire.OffsetCommitResponse))
	}
	want := func(what string, changes ...Change) {
		t.Helper()
		var got []Change
		for _, e := range told() {
			got = append(got, e.Changes...)
		}
		if diff := cmp.Diff(changes, got); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	commit("", -1, 10)
	want("the first", Change{Kind: "group", Name: "g", Before: State{}, After: State{"a-1": "10"}})
	commit("", -1, 20)
	want("one that goes on")
	commit("", -1, 5)
	want("one that goes back", Change{Kind: "group", Name: "g", Before: State{"a-1": "20"}, After: State{"a-1": "5"}})
	commit("somebody", 3, 6)
	want("a member's")
	g.anotherConn().do(wire.OffsetCommitKey, 8, &wire.OffsetCommitRequest{GroupId: "g", GenerationIdOrMemberEpoch: -1,
		Topics: []wire.OffsetCommitRequestTopic{{Name: "nobody", Partitions: []wire.OffsetCommitRequestPartition{{CommittedOffset: 6}}}}}, new(wire.OffsetCommitResponse))
	want("of a topic that is not there", Change{Kind: "group", Name: "g", Before: State{}, Error: wire.ErrorUnknownTopicOrPartition})
	g.do(wire.OffsetDeleteKey, 0, &wire.OffsetDeleteRequest{GroupId: "g", Topics: []wire.OffsetDeleteRequestTopic{{Name: "a", Partitions: []wire.OffsetDeleteRequestPartition{{PartitionIndex: 1}}}}},
		new(wire.OffsetDeleteResponse))
	want("deleted", Change{Kind: "group", Name: "g", Before: State{"a-1": "5"}, After: State{}})
	if positions, ok := g.groups.here.machine.Positions("g"); ok && len(positions) > 0 {
		t.Errorf("left over: %v", positions)
	}
	commit("", -1, 1)
	told()
	g.do(wire.DeleteGroupsKey, 2, &wire.DeleteGroupsRequest{GroupsNames: []string{"g", "none"}}, new(wire.DeleteGroupsResponse))
	want("groups deleted", Change{Kind: "group", Name: "g", Before: State{"a-1": "1"}}, Change{Kind: "group", Name: "none", Error: wire.ErrorGroupIDNotFound})
}

// TestAuditOfRemovedMembers: members that leave by themselves are no news; those that an administrator takes out are.
func TestAuditOfRemovedMembers(t *testing.T) {
	g := newRig(t, run.OS())
	told := g.listen()
	leave := func(version int16, member wire.LeaveGroupRequestMemberIdentity) int {
		g.do(wire.LeaveGroupKey, version, &wire.LeaveGroupRequest{GroupId: "g", Members: []wire.LeaveGroupRequestMemberIdentity{member}}, new(wire.LeaveGroupResponse))
		return len(told())
	}
	if n := leave(5, wire.LeaveGroupRequestMemberIdentity{MemberId: "m", Reason: wire.SomeString("the consumer is being closed")}); n != 0 {
		t.Error("a member that left was told")
	}
	if n := leave(4, wire.LeaveGroupRequestMemberIdentity{GroupInstanceId: wire.SomeString("i")}); n != 1 {
		t.Errorf("the removal of a static member was told %d times", n)
	}
	if n := leave(5, wire.LeaveGroupRequestMemberIdentity{MemberId: "m", Reason: wire.SomeString(removedByAdmin + ": because")}); n != 1 {
		t.Errorf("the removal of a member was told %d times", n)
	}
}

func TestAuditOfQuotas(t *testing.T) {
	g := newRig(t, run.OS())
	told := g.listen()
	u := wire.AlterClientQuotasRequestEntityData{EntityType: "user", EntityName: wire.SomeString("u")}
	any := wire.AlterClientQuotasRequestEntityData{EntityType: "client-id"}
	g.cluster.apply(t, &wire.ClientQuotaRecord{Entity: []wire.ClientQuotaRecordEntityData{wire.ClientQuotaRecordEntityData(u), wire.ClientQuotaRecordEntityData(any)}, Key: "producer_byte_rate", Value: 1.5e9})
	c := g.start(wire.AlterClientQuotasKey, 1, &wire.AlterClientQuotasRequest{Entries: []wire.AlterClientQuotasRequestEntryData{{Entity: []wire.AlterClientQuotasRequestEntityData{u, any}}, {Entity: []wire.AlterClientQuotasRequestEntityData{u}}}})
	g.cluster.apply(t, &wire.ClientQuotaRecord{Entity: []wire.ClientQuotaRecordEntityData{wire.ClientQuotaRecordEntityData(u), wire.ClientQuotaRecordEntityData(any)}, Key: "producer_byte_rate", Remove: true})
	result := func(code wire.ErrorCode, parts ...wire.AlterClientQuotasRequestEntityData) wire.AlterClientQuotasResponseEntryData {
		e := wire.AlterClientQuotasResponseEntryData{ErrorCode: code}
		for _, p := range parts {
			e.Entity = append(e.Entity, wire.AlterClientQuotasResponseEntityData(p))
		}
		return e
	}
	g.controller.quotas[0].done(&wire.AlterClientQuotasResponse{Entries: []wire.AlterClientQuotasResponseEntryData{result(0, u, any), result(42, u)}})
	c.reply(new(wire.AlterClientQuotasResponse))
	want := []Change{{Kind: "quota", Name: "user=u,client-id=<default>", Before: State{"producer_byte_rate": "1500000000"}}, {Kind: "quota", Name: "user=u", Error: 42}}
	if diff := cmp.Diff(want, told()[0].Changes); diff != "" {
		t.Error(diff)
	}
	g.start(wire.AlterClientQuotasKey, 1, &wire.AlterClientQuotasRequest{ValidateOnly: true})
	g.controller.quotas[1].done(&wire.AlterClientQuotasResponse{Entries: []wire.AlterClientQuotasResponseEntryData{result(0, u)}})
	if events := told(); len(events) > 0 {
		t.Errorf("told of what only was validated: %+v", events)
	}
}
