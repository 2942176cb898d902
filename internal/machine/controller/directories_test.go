package controller

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/wire"
)

// TestDirectoriesTakeTurns: partitions of a topic spread over a broker's directories, evenly and on record, and not to those that failed.
func TestDirectoriesTakeTurns(t *testing.T) {
	b := newBench(t, nil)
	records, resp := b.c.RegisterBroker(&wire.BrokerRegistrationRequest{BrokerId: 1, ClusterId: "cluster", IncarnationId: wire.UUID{1},
		Listeners: []wire.BrokerRegistrationRequestListener{{Name: "PLAINTEXT", Host: "localhost", Port: 9092}},
		Features:  []wire.BrokerRegistrationRequestFeature{{Name: "metadata.version", MinSupportedVersion: 7, MaxSupportedVersion: 30}},
		LogDirs:   []wire.UUID{{1}, {2}, {3}}}, b.at)
	b.run(records)
	count := func(name string) map[ids.DirectoryID]int {
		counts := make(map[ids.DirectoryID]int)
		topic, _ := b.c.Image().Topic(name)
		for _, p := range topic.Partitions {
			counts[p.Directories[0]]++
		}
		return counts
	}
	b.create(false, topic("a", 9, 1))
	if diff := cmp.Diff(map[ids.DirectoryID]int{{1}: 3, {2}: 3, {3}: 3}, count("a")); diff != "" {
		t.Error(diff)
	}
	lose := func(epoch int64, lost ...wire.UUID) wire.ErrorCode {
		records, code := b.c.LoseDirectories(&wire.BrokerHeartbeatRequest{BrokerId: 1, BrokerEpoch: epoch, OfflineLogDirs: lost}, b.at)
		b.run(records)
		return code
	}
	if code := lose(resp.BrokerEpoch+1, wire.UUID{2}); code != wire.ErrorStaleBrokerEpoch {
		t.Errorf("a directory lost in another incarnation: %s", code.Name())
	}
	for range 2 { // the second changes nothing
		if code := lose(resp.BrokerEpoch, wire.UUID{2}, wire.UUID{9}); code != wire.ErrorNone {
			t.Errorf("a directory lost: %s", code.Name())
		}
	}
	b.create(false, topic("b", 8, 1))
	if diff := cmp.Diff(map[ids.DirectoryID]int{{1}: 4, {3}: 4}, count("b")); diff != "" {
		t.Error(diff)
	}
	lose(resp.BrokerEpoch, wire.UUID{1}, wire.UUID{2}, wire.UUID{3})
	if broker, _ := b.c.Image().Broker(1); len(broker.Directories) != 2 {
		t.Errorf("with all lost, %v are on record", broker.Directories)
	}
}

// TestAssignReplicasToDirs: what a broker tells of its replicas' places is on record afterwards; what is there already costs no record.
func TestAssignReplicasToDirs(t *testing.T) {
	b := newBench(t, nil, 1, 2)
	b.create(false, topic("a", 3, 2))
	made, _ := b.c.Image().Topic("a")
	broker, _ := b.c.Image().Broker(2)
	assign := func(epoch int64, numbers ...int32) (records int, codes []int16) {
		req := &wire.AssignReplicasToDirsRequest{BrokerId: 2, BrokerEpoch: epoch}
		of := wire.AssignReplicasToDirsRequestTopicData{TopicId: wire.UUID(made.ID)}
		for _, n := range numbers {
			of.Partitions = append(of.Partitions, wire.AssignReplicasToDirsRequestPartitionData{PartitionIndex: n})
		}
		req.Directories = []wire.AssignReplicasToDirsRequestDirectoryData{{Id: wire.UUID{77}, Topics: []wire.AssignReplicasToDirsRequestTopicData{of, {
			TopicId: wire.UUID{99}, Partitions: []wire.AssignReplicasToDirsRequestPartitionData{{PartitionIndex: 0}}}}}}
		got, resp := b.c.AssignReplicasToDirs(req, b.at)
		b.run(got)
		if resp.ErrorCode != wire.ErrorNone {
			return len(got), []int16{int16(resp.ErrorCode)}
		}
		for _, t := range resp.Directories[0].Topics {
			for _, p := range t.Partitions {
				codes = append(codes, int16(p.ErrorCode))
			}
		}
		return len(got), codes
	}
	if n, codes := assign(int64(broker.Epoch)+1, 1); n != 0 || !cmp.Equal(codes, []int16{77}) {
		t.Errorf("in another incarnation: %d records, codes %v", n, codes)
	}
	if n, codes := assign(int64(broker.Epoch), 1, 7, -1); n != 1 || !cmp.Equal(codes, []int16{0, 3, 3, 100}) {
		t.Errorf("%d records, codes %v", n, codes)
	}
	if n, codes := assign(int64(broker.Epoch), 1); n != 0 || !cmp.Equal(codes, []int16{0, 100}) {
		t.Errorf("once more: %d records, codes %v", n, codes)
	}
	topic, _ := b.c.Image().Topic("a")
	for n, p := range topic.Partitions {
		for i, replica := range p.Replicas {
			want := ids.DirectoryID{200, byte(replica)}
			if n == 1 && replica == 2 {
				want = ids.DirectoryID{77}
			}
			if p.Directories[i] != want {
				t.Errorf("partition %d of broker %d is in %v, want %v", n, replica, p.Directories[i], want)
			}
		}
		if p.Leader != made.Partitions[n].Leader || p.LeaderEpoch != made.Partitions[n].LeaderEpoch {
			t.Errorf("partition %d changed its leader", n)
		}
	}
}
