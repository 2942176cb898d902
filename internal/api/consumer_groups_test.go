package api

import (
	"testing"

	"github.com/ottla-io/ottla/internal/run"

	"github.com/ottla-io/ottla/internal/wire"
)

// newBeat is a heartbeat of a member that reads topic a; at epoch 0 it joins.
func newBeat(name, member string, epoch int32) *wire.ConsumerGroupHeartbeatRequest {
	req := &wire.ConsumerGroupHeartbeatRequest{GroupId: name, MemberId: member, MemberEpoch: epoch, RebalanceTimeoutMs: -1}
	if epoch == 0 {
		req.RebalanceTimeoutMs, req.SubscribedTopicNames = 60_000, []string{"a"}
		req.TopicPartitions = []wire.ConsumerGroupHeartbeatRequestTopicPartitions{}
	}
	return req
}

// TestConsumerGroup walks a member of the new protocol through its life, in both versions.
func TestConsumerGroup(t *testing.T) {
	for version := range int16(2) {
		g := newRig(t, run.OS())
		member := ""
		if version > 0 {
			member = "mine"
		}
		var beat wire.ConsumerGroupHeartbeatResponse
		g.do(wire.ConsumerGroupHeartbeatKey, version, newBeat("g", member, 0), &beat)
		if beat.ErrorCode != 0 || beat.MemberId.Value == "" || member != "" && beat.MemberId.Value != member || beat.MemberEpoch == 0 || beat.HeartbeatIntervalMs != 5000 {
			t.Fatalf("version %d: joins: %+v", version, beat)
		}
		member = beat.MemberId.Value
		if a := beat.Assignment; a == nil || len(a.TopicPartitions) != 1 || a.TopicPartitions[0].TopicId != wire.UUID(id(1)) || len(a.TopicPartitions[0].Partitions) == 0 {
			t.Fatalf("version %d: is assigned %+v", version, a)
		}
		epoch := beat.MemberEpoch
		g.do(wire.ConsumerGroupHeartbeatKey, version, newBeat("g", member, epoch), &beat)
		if beat.ErrorCode != 0 || beat.MemberEpoch != epoch || beat.Assignment != nil {
			t.Fatalf("version %d: is alive: %+v", version, beat)
		}
		g.do(wire.ConsumerGroupHeartbeatKey, version, newBeat("g", member, epoch+1), &beat)
		if beat.ErrorCode != wire.ErrorFencedMemberEpoch || beat.ErrorMessage.Value == "" {
			t.Fatalf("version %d: from the future: %+v", version, beat)
		}
		var described wire.ConsumerGroupDescribeResponse
		g.do(wire.ConsumerGroupDescribeKey, version, &wire.ConsumerGroupDescribeRequest{GroupIds: []string{"g", "none"}, IncludeAuthorizedOperations: true}, &described)
		one, none := described.Groups[0], described.Groups[1]
		if one.GroupState != "Stable" || len(one.Members) != 1 || one.Members[0].MemberId != member || one.Members[0].Assignment.TopicPartitions[0].TopicName != "a" || one.AuthorizedOperations != groupOperations {
			t.Errorf("version %d: %+v", version, one)
		}
		if none.ErrorCode != wire.ErrorGroupIDNotFound || none.ErrorMessage.Value != "Group none not found." || none.AuthorizedOperations != noOperations {
			t.Errorf("version %d: %+v", version, none)
		}
		commit := newCommit("g", commitPart{"a", 0, 7, ""})
		commit.MemberId, commit.GenerationIdOrMemberEpoch = member, epoch+1
		var committed wire.OffsetCommitResponse
		g.do(wire.OffsetCommitKey, 10, commit, &committed)
		if code := committed.Topics[0].Partitions[0].ErrorCode; code != wire.ErrorStaleMemberEpoch {
			t.Errorf("version %d: a commit from the future: %s", version, code.Name())
		}
		g.do(wire.ConsumerGroupHeartbeatKey, version, newBeat("g", member, -1), &beat)
		if beat.ErrorCode != 0 || beat.MemberEpoch != -1 {
			t.Errorf("version %d: leaves: %+v", version, beat)
		}
	}
}
