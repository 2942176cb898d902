package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

// TestAlterReplicaLogDirs: each partition is asked for with its directory, and topics are answered once, whatever directories they are named under.
func TestAlterReplicaLogDirs(t *testing.T) {
	type topic = wire.AlterReplicaLogDirsRequestAlterReplicaLogDirTopic
	req := &wire.AlterReplicaLogDirsRequest{Dirs: []wire.AlterReplicaLogDirsRequestAlterReplicaLogDir{
		{Path: "/one", Topics: []topic{{Name: "a", Partitions: []int32{0}}, {Name: "b", Partitions: []int32{0}}}},
		{Path: "/two", Topics: []topic{{Name: "a", Partitions: []int32{1}}}}}}
	for version := int16(1); version <= 2; version++ {
		g := newRig(t, run.OS())
		g.logs.moveCode = wire.ErrorLogDirNotFound
		var resp wire.AlterReplicaLogDirsResponse
		g.do(wire.AlterReplicaLogDirsKey, version, req, &resp)
		if diff := cmp.Diff([]string{"a-0 to /one", "b-0 to /one", "a-1 to /two"}, g.logs.moves); diff != "" {
			t.Error(diff)
		}
		type result = wire.AlterReplicaLogDirsResponseAlterReplicaLogDirPartitionResult
		want := []wire.AlterReplicaLogDirsResponseAlterReplicaLogDirTopicResult{
			{TopicName: "a", Partitions: []result{{PartitionIndex: 0, ErrorCode: 57}, {PartitionIndex: 1, ErrorCode: 57}}},
			{TopicName: "b", Partitions: []result{{PartitionIndex: 0, ErrorCode: 57}}}}
		if diff := cmp.Diff(want, resp.Results); diff != "" {
			t.Error(diff)
		}
	}
}
