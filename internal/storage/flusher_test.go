package storage_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

// What is appended while a round syncs is not durable after it: the next round's, though it may be on the disk already.
func TestRoundCoversOnlyWhatItSaw(t *testing.T) {
	mem := vfs.NewMem(1)
	faults := vfs.NewFault(mem)
	s := openStore(t, faults, "data")
	defer s.Close()
	l := openLog(t, s, storage.LogConfig{})
	mustAppend(t, l, makeBatch(t, 2, 10, 1), 0)
	ends := make(chan ids.Offset, 10)
	l.OnDurable(func(end ids.Offset) { ends <- end })
	late := makeBatch(t, 1, 10, 1)
	faults.Add(vfs.Rule{Op: vfs.OpSync, Glob: "*.log", Limit: 1, Action: vfs.Pass, Hook: func(vfs.Op, string) {
		if _, err := l.Append(late, 0, 0); err != nil {
			t.Error(err)
		}
		l.Flush(true)
	}})
	l.Flush(true)
	if first, second := <-ends, <-ends; first != 2 || second != 3 {
		t.Fatalf("durable ends %d, then %d; want 2, then 3", first, second)
	}
}

// Without anybody waiting, the linger ends a quiet log's wait; and one round takes all logs that are dirty, with one syncfs if the disk is its own.
func TestRoundsAreShared(t *testing.T) {
	for _, dedicated := range []bool{false, true} {
		t.Run(fmt.Sprint("dedicated=", dedicated), func(t *testing.T) {
			sim := run.NewSim(3)
			mem := vfs.NewMem(1)
			syncFS, syncs := 0, 0
			faults := vfs.NewFault(volume{mem, dedicated},
				vfs.Rule{Op: vfs.OpSyncFS, Action: vfs.Pass, Hook: func(vfs.Op, string) { syncFS++ }},
				vfs.Rule{Op: vfs.OpSync, Glob: "*.log", Action: vfs.Pass, Hook: func(vfs.Op, string) { syncs++ }})
			rounds, covered := 0, 0
			sim.Run(func() {
				s, err := storage.Open(storage.Config{FS: faults, Env: sim, Dirs: []string{"data"}, NodeID: 1, FlushLingerMs: 7,
					Events: storage.Events{FlushRound: func(_ string, _ time.Duration, logs, _ int) { rounds++; covered += logs }}})
				if err != nil {
					t.Fatal(err)
				}
				const n = 40
				left := n
				done := sim.NewSignal()
				for i := range int32(n) {
					l, err := s.OpenLog(ids.TopicPartition{Topic: "t", Partition: i}, topicID, storage.LogConfig{})
					if err != nil {
						t.Fatal(err)
					}
					l.OnDurable(func(ids.Offset) {
						if left--; left == 0 {
							done.Set()
						}
					})
					mustAppend(t, l, makeBatch(t, 1, 10, 1), 0)
					l.Flush(false)
				}
				start := sim.Monotonic()
				done.Wait()
				if took := sim.Monotonic() - start; took != 7*time.Millisecond {
					t.Errorf("durable after %v", took)
				}
				if rounds != 1 || covered != n {
					t.Errorf("%d rounds covered %d logs", rounds, covered)
				}
				if dedicated && (syncFS != 1 || syncs != 0) || !dedicated && (syncFS != 0 || syncs != n) {
					t.Errorf("%d syncfs, %d syncs", syncFS, syncs)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// volume is a disk that is a file system of its own, or is not.
type volume struct {
	vfs.FS
	dedicated bool
}

func (v volume) Dedicated(string) bool { return v.dedicated }

// Invariant 5 for a round of one syncfs: its failure succeeds nobody, and it is not tried again.
func TestFailedSyncFS(t *testing.T) {
	faults := vfs.NewFault(volume{vfs.NewMem(1), true})
	offline := 0
	s, err := storage.Open(storage.Config{FS: faults, Env: run.OS(), Dirs: []string{"data"}, NodeID: 1,
		Events: storage.Events{DirectoryOffline: func(string, error, bool) { offline++ }}})
	if err != nil {
		t.Fatal(err)
	}
	const n = 10
	logs, told := make([]*storage.Log, n), make(chan ids.Offset, n)
	for i := range logs {
		if logs[i], err = s.OpenLog(ids.TopicPartition{Topic: "t", Partition: int32(i)}, topicID, storage.LogConfig{}); err != nil {
			t.Fatal(err)
		}
		logs[i].OnDurable(func(end ids.Offset) { told <- end })
		mustAppend(t, logs[i], makeBatch(t, 1, 10, 1), 0)
	}
	rule := faults.Add(vfs.Rule{Op: vfs.OpSyncFS, Limit: 1})
	logs[0].Flush(true)
	for range logs {
		<-told
	}
	for _, l := range logs {
		if l.DurableEnd() != 0 || l.Err() == nil {
			t.Errorf("%d is durable, error %v", l.DurableEnd(), l.Err())
		}
		l.Flush(true)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if rule.Matched() != 1 || offline != 1 {
		t.Errorf("%d syncs of the file system, offline %d times", rule.Matched(), offline)
	}
}

// A recovery point that a deletion left behind does not make the next topic of that name look corrupt.
func TestStaleRecoveryPointIsDropped(t *testing.T) {
	mem := vfs.NewMem(1)
	s := openStore(t, mem, "data")
	l := openLog(t, s, storage.LogConfig{})
	mustAppend(t, l, makeBatch(t, 50, 10, 1), 0)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// As a crash right after the rename leaves it.
	if err := mem.Rename("data/t-0", "data/t-0.0123456789abcdef0123456789abcdef-delete"); err != nil {
		t.Fatal(err)
	}
	if err := mem.SyncDir("data"); err != nil {
		t.Fatal(err)
	}
	if err := mem.Remove("data/.kafka_cleanshutdown"); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, mem, "data")
	id := ids.TopicID{77}
	l, err := s.OpenLog(tp0, id, storage.LogConfig{})
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, makeBatch(t, 1, 10, 1), 0)
	if err := waitOn(run.OS(), l).flush(l); err != nil {
		t.Fatal(err)
	}
	left := mem.Crash()
	s.Close()
	s = openStore(t, left, "data")
	defer s.Close()
	if l, err = s.OpenLog(tp0, id, storage.LogConfig{}); err != nil || l.LogEnd() != 1 {
		t.Fatalf("the new topic: %v", err)
	}
}

// Readers, an appender and retention at once: readers get whole, right batches or are told that the offset is gone.
func TestConcurrently(t *testing.T) {
	s, err := storage.Open(storage.Config{FS: vfs.NewMem(1), Env: run.OS(), Dirs: []string{"data"}, NodeID: 1, MaxOpenFiles: 3, FlushLingerMs: 1, CheckpointBytes: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := openLog(t, s, storage.LogConfig{SegmentBytes: 4000, IndexIntervalBytes: 300, Delete: true, RetentionMs: -1, RetentionBytes: 12_000})
	w := waitOn(run.OS(), l)
	var stop atomic.Bool
	var readers sync.WaitGroup
	var gone, read atomic.Int64
	for i := range 3 {
		readers.Go(func() {
			for from := ids.Offset(0); !stop.Load(); {
				got, err := readAll(l, from, l.LogEnd(), 500+i*1500)
				if errors.Is(err, storage.ErrOffsetOutOfRange) {
					gone.Add(1)
					from = l.LogStart()
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				read.Add(int64(len(got)))
				if _, _, err := l.OffsetForTimestamp(int64(from), l.LogEnd()); err != nil {
					t.Error(err)
					return
				}
				from = max(l.LogStart(), l.LogEnd()-ids.Offset(20*i))
			}
		})
	}
	b := makeBatch(t, 2, 100, 1)
	for i := range 3000 {
		mustAppend(t, l, b, 0)
		l.Flush(false)
		if i%20 == 0 {
			if err := w.flush(l); err != nil {
				t.Fatal(err)
			}
			if err := l.ApplyRetention(0); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop.Store(true)
	readers.Wait()
	if read.Load() == 0 || l.LogStart() == 0 {
		t.Errorf("read %d bytes, log starts at %d", read.Load(), l.LogStart())
	}
	t.Logf("read %d bytes, %d times the offset was gone", read.Load(), gone.Load())
}
