package replication

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/vfs"
	"github.com/ottla-io/ottla/internal/wire"
)

func (b *bench) deleteRecords(t *testing.T, queries ...DeletionQuery) []Deleted {
	t.Helper()
	done := make(chan []Deleted, 1)
	b.DeleteRecords(queries, func(results []Deleted) { done <- results })
	return <-done
}

func before(partition int32, offset ids.Offset) DeletionQuery {
	return DeletionQuery{Target{Topic: "t", Partition: partition}, offset}
}

// TestDeleteRecordsOutcomes: Kafka's codes, and the low watermark of those that succeed. What was written with acks=1 counts.
func TestDeleteRecordsOutcomes(t *testing.T) {
	for name, settings := range map[string]TopicSettings{"fsync": fsync(), "replicated": replicated()} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, settings)
			t.Cleanup(b.Manager.Close)
			compacted := settings
			compacted.Log.Delete, compacted.Log.Compact = false, true
			internal := settings
			internal.RefuseClients = true
			b.lead(t, 1, 1, 1, &compacted)
			b.lead(t, 2, 9, 1, &settings)
			b.lead(t, 3, 1, 1, &internal)
			b.produce(1, batchOf("a", "b", "c", "d"), nil)
			b.produce(1, batchOf("e"), nil)
			got := b.deleteRecords(t, before(0, 2), before(1, HighWatermark), before(2, 0), before(3, 0), before(4, 0))
			want := []Deleted{{LowWatermark: 2}, {wire.ErrorPolicyViolation, -1}, {wire.ErrorNotLeaderOrFollower, -1}, {wire.ErrorInvalidTopicException, -1}, {wire.ErrorUnknownTopicOrPartition, -1}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if f := b.fetch(1); f.Error != wire.ErrorOffsetOutOfRange || f.LogStart != 2 {
				t.Errorf("fetch of a deleted record: %+v", f)
			}
			if f := b.fetch(2); f.Error != wire.ErrorNone || f.Region == nil || f.LogStart != 2 {
				t.Errorf("fetch inside a batch: %+v", f)
			}
			for _, c := range []struct {
				before ids.Offset
				want   Deleted
			}{
				{1, Deleted{LowWatermark: 2}}, {6, Deleted{wire.ErrorOffsetOutOfRange, -1}}, {-2, Deleted{wire.ErrorOffsetOutOfRange, -1}},
				{HighWatermark, Deleted{LowWatermark: 5}}, {5, Deleted{LowWatermark: 5}},
			} {
				if got := b.deleteRecords(t, before(0, c.before)); got[0] != c.want {
					t.Errorf("before %d: %+v, want %+v", c.before, got[0], c.want)
				}
			}
			b.Manager.Close()
			if got := b.deleteRecords(t, before(0, 5)); got[0].Error != wire.ErrorNotLeaderOrFollower {
				t.Errorf("while closing: %+v", got)
			}
		})
	}
}

// TestDeleteRecordsNotDurable: where the disk refuses the new log start, the client hears so, and nothing is deleted.
func TestDeleteRecordsNotDurable(t *testing.T) {
	b := newBench(t, fsync())
	t.Cleanup(b.Manager.Close)
	b.produce(1, batchOf("a", "b"), nil)
	rule := b.fault.Add(vfs.Rule{Op: vfs.OpWrite, Glob: "log-start-offset-checkpoint*", Action: vfs.FailNoSpace})
	if got := b.deleteRecords(t, before(0, 2)); got[0].Error != wire.ErrorKafkaStorageError {
		t.Errorf("on a full disk: %+v", got)
	}
	if f := b.fetch(0); f.Error != wire.ErrorNone || f.Region == nil {
		t.Errorf("after a deletion that failed: %+v", f)
	}
	rule.Remove()
	if got := b.deleteRecords(t, before(0, 2)); got[0] != (Deleted{LowWatermark: 2}) {
		t.Errorf("once there is space: %+v", got)
	}
}
