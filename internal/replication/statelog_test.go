package replication

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/partition"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/vfs"
	"github.com/ottla-io/ottla/internal/wire"
)

var partitionT0 = ids.TopicPartition{Topic: "t"}

func stateLog(t *testing.T, b *bench, epoch ids.LeaderEpoch) (*StateLog, chan struct{}) {
	t.Helper()
	log, err := b.StateLog(partitionT0, epoch)
	if err != nil {
		t.Fatal(err)
	}
	changed := make(chan struct{}, 1)
	log.OnCommitted(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	return log, changed
}

// await waits for news until Committed answers as done wants.
func await(t *testing.T, log *StateLog, changed chan struct{}, done func(ids.Offset, error) bool) {
	t.Helper()
	for {
		committed, err := log.Committed()
		if done(committed, err) {
			return
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Fatalf("no news; committed %d, %v", committed, err)
		}
	}
}

// TestStateLogCommitsByTheDisk: a batch is committed when it is durable, and read back as it was written.
func TestStateLogCommitsByTheDisk(t *testing.T) {
	b := newBench(t, fsync())
	log, changed := stateLog(t, b, 1)
	if start, end := log.Bounds(); start != 0 || end != 0 {
		t.Fatalf("an empty log has offsets %d to %d", start, end)
	}
	var want []byte
	for n := range 3 {
		batch := record.Batch(batchOf("a", "b"))
		base, err := log.Append(batch, 1)
		if err != nil || base != ids.Offset(2*n) {
			t.Fatalf("append %d: offset %d, %v", n, base, err)
		}
		await(t, log, changed, func(committed ids.Offset, err error) bool { return err == nil && committed == base+2 })
		disk, _ := b.store.OpenLog(partitionT0, topicT, fsync().Log)
		if disk.DurableEnd() < base+2 {
			t.Fatalf("committed %d, and durable only up to %d", base+2, disk.DurableEnd())
		}
		want = append(want, batch...)
	}
	got, err := log.Read(0)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes, %v; appended %d", len(got), err, len(want))
	}
	if first, err := log.Read(2); err != nil || !bytes.Equal(first, want[len(want)/3:]) {
		t.Fatalf("read from the second batch: %d bytes, %v", len(first), err)
	}
}

// TestStateLogIsFenced: an epoch that is over appends nothing, and commits nothing more; whoever waits hears of it.
func TestStateLogIsFenced(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*testing.T, *bench)
	}{
		{"another leader", func(t *testing.T, b *bench) { b.lead(t, 0, 2, 2, nil) }},
		{"another epoch of ours", func(t *testing.T, b *bench) { b.lead(t, 0, self, 2, nil) }},
		{"topic deleted", func(t *testing.T, b *bench) {
			if err := b.Remove(topicT); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, fsync())
			log, changed := stateLog(t, b, 1)
			if _, err := log.Append(batchOf("a"), 1); err != nil {
				t.Fatal(err)
			}
			await(t, log, changed, func(committed ids.Offset, err error) bool { return err == nil && committed == 1 })
			c.end(t, b)
			await(t, log, changed, func(_ ids.Offset, err error) bool { return errors.Is(err, machine.ErrStaleEpoch) })
			if _, err := log.Append(batchOf("late"), 1); !errors.Is(err, machine.ErrStaleEpoch) {
				t.Errorf("append in an epoch that is over: %v", err)
			}
			if _, end := log.Bounds(); end != 1 {
				t.Errorf("the log ends at %d", end)
			}
		})
	}
	b := newBench(t, fsync())
	log, _ := stateLog(t, b, 1)
	if _, err := log.Append(batchOf("a"), 2); !errors.Is(err, machine.ErrStaleEpoch) {
		t.Errorf("append in an epoch that the log was not made for: %v", err)
	}
}

func TestStateLogTellsFailures(t *testing.T) {
	b := newBench(t, fsync())
	if _, err := b.StateLog(ids.TopicPartition{Topic: "t", Partition: 1}, 1); !errors.Is(err, ErrNoReplica) {
		t.Errorf("a partition that is not here: %v", err)
	}
	log, changed := stateLog(t, b, 1)
	b.fault.Add(vfs.Rule{Op: vfs.OpSync, Glob: "*.log", Action: vfs.FailIO})
	if _, err := log.Append(batchOf("a"), 1); err != nil {
		t.Fatal(err)
	}
	await(t, log, changed, func(committed ids.Offset, err error) bool {
		if committed > 0 {
			t.Fatal("committed although the sync failed")
		}
		return err != nil && !errors.Is(err, machine.ErrStaleEpoch)
	})
	few := fsync()
	few.MinInSyncReplicas = 2
	c := newBench(t, few)
	lone, _ := stateLog(t, c, 1)
	if _, err := lone.Append(batchOf("a"), 1); err != nil {
		t.Errorf("one replica is all there are: %v", err) // as for acks=all
	}
	state := partition.State{Leader: self, LeaderEpoch: 2, PartitionEpoch: 2, Replicas: []ids.BrokerID{self, 2}, ISR: []ids.BrokerID{self}}
	if err := c.Assign(Replica{Name: partitionT0, Topic: topicT, State: state}, &few); err != nil {
		t.Fatal(err)
	}
	short, _ := stateLog(t, c, 2)
	if _, err := short.Append(batchOf("a"), 2); !errors.Is(err, wire.ErrorNotEnoughReplicas) {
		t.Errorf("one of two replicas in sync, and two wanted: %v", err)
	}
}
