package storage_test

import (
	"testing"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

var replicated = storage.LogConfig{Durability: storage.Replicated}

// wait lets the flusher do what it was asked for.
func wait(sim *run.Sim) { sim.NewSignal().WaitFor(1e9) }

// partitionLog opens a log of partition n.
func partitionLog(t *testing.T, s *storage.Store, n int, cfg storage.LogConfig) *storage.Log {
	t.Helper()
	l, err := s.OpenLog(ids.TopicPartition{Topic: "t", Partition: int32(n)}, topicID, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// ottla.durability=replicated: nothing is synced for an append, except new files; flush.messages does it when asked.
func TestReplicatedDurability(t *testing.T) {
	sim := run.NewSim(1)
	sim.Run(func() {
		s, err := storage.Open(storage.Config{FS: vfs.NewMem(1), Env: sim, Dirs: []string{"data"}, NodeID: 1})
		if err != nil {
			t.Fatal(err)
		}
		l := openLog(t, s, storage.LogConfig{Durability: storage.Replicated})
		wait := func() { sim.NewSignal().WaitFor(1e9) }
		b := makeBatch(t, 1, 10, 1)
		mustAppend(t, l, b, 0)
		wait()
		if l.DurableEnd() != 1 {
			t.Errorf("durable end %d after the first append: its directory must be synced soon", l.DurableEnd())
		}
		for range 9 {
			mustAppend(t, l, b, 0)
		}
		wait()
		if l.DurableEnd() != 1 || l.LogEnd() != 10 {
			t.Errorf("durable end %d of %d", l.DurableEnd(), l.LogEnd())
		}
		l.SetConfig(storage.LogConfig{Durability: storage.Replicated, FlushMessages: 5})
		mustAppend(t, l, b, 0)
		wait()
		if l.DurableEnd() != 11 {
			t.Errorf("durable end %d with flush.messages=5", l.DurableEnd())
		}
		l.SetConfig(storage.LogConfig{Durability: storage.Replicated, FlushMs: 200})
		mustAppend(t, l, b, 0)
		if sim.NewSignal().WaitFor(1e8); l.DurableEnd() != 11 {
			t.Errorf("durable end %d 100 ms after an append with flush.ms=200", l.DurableEnd())
		}
		if wait(); l.DurableEnd() != 12 {
			t.Errorf("durable end %d with flush.ms=200", l.DurableEnd())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A round for one log does not write another's bytes that nobody asked to have synced: its acks would wait for them. When the topic's durability becomes fsync, they are.
func TestReplicatedIsNotSyncedForOthers(t *testing.T) {
	sim := run.NewSim(1)
	sim.Run(func() {
		faults := vfs.NewFault(vfs.NewMem(1))
		s, err := storage.Open(storage.Config{FS: faults, Env: sim, Dirs: []string{"data"}, NodeID: 1})
		if err != nil {
			t.Fatal(err)
		}
		waits, other := partitionLog(t, s, 0, storage.LogConfig{}), partitionLog(t, s, 1, replicated)
		b := makeBatch(t, 1, 10, 1)
		mustAppend(t, waits, b, 0)
		mustAppend(t, other, b, 0)
		wait(sim) // the files' names are on the disk
		syncs := faults.Add(vfs.Rule{Op: vfs.OpSync, Glob: "data/t-1/*.log", Action: vfs.Pass})
		for range 10 {
			mustAppend(t, other, b, 0)
			mustAppend(t, waits, b, 0)
			waits.Flush(true)
			wait(sim)
		}
		if waits.DurableEnd() != 11 || other.DurableEnd() != 1 || syncs.Matched() != 0 {
			t.Errorf("durable up to %d and %d, want 11 and 1; %d syncs of the other's segment", waits.DurableEnd(), other.DurableEnd(), syncs.Matched())
		}
		other.SetConfig(storage.LogConfig{})
		if wait(sim); other.DurableEnd() != 11 {
			t.Errorf("durable up to %d after ottla.durability became fsync", other.DurableEnd())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A sync of the whole file system stands for those of many files only while it would not wait for bytes that nobody asked to have synced.
func TestReplicatedIsNotSyncedWithTheFileSystem(t *testing.T) {
	sim := run.NewSim(1)
	sim.Run(func() {
		faults := vfs.NewFault(volume{vfs.NewMem(1), true})
		s, err := storage.Open(storage.Config{FS: faults, Env: sim, Dirs: []string{"data"}, NodeID: 1})
		if err != nil {
			t.Fatal(err)
		}
		other := partitionLog(t, s, 0, replicated)
		var logs []*storage.Log
		for n := range 8 {
			logs = append(logs, partitionLog(t, s, n+1, storage.LogConfig{}))
		}
		b := makeBatch(t, 1, 10, 1)
		whole := faults.Add(vfs.Rule{Op: vfs.OpSyncFS, Action: vfs.Pass})
		appendToAll := func(when string, wantWhole bool) {
			t.Helper()
			before := whole.Matched()
			for _, l := range logs {
				mustAppend(t, l, b, 0)
			}
			logs[0].Flush(true)
			wait(sim)
			for _, l := range logs {
				if l.DurableEnd() != l.LogEnd() {
					t.Errorf("%s: %s is durable up to %d of %d", when, l.Topic(), l.DurableEnd(), l.LogEnd())
				}
			}
			if got := whole.Matched() > before; got != wantWhole {
				t.Errorf("%s: the whole file system was synced: %v", when, got)
			}
		}
		appendToAll("nothing else is dirty", true)
		mustAppend(t, other, b, 0)
		wait(sim) // its new files
		appendToAll("another is durable", true)
		mustAppend(t, other, b, 0)
		appendToAll("another is dirty", false)
		other.Flush(true)
		wait(sim)
		appendToAll("another is durable again", true)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Of too many logs that keep a file open for want of a sync, all are synced, and their files closed down to the limit.
func TestTooManyUnsyncedLogs(t *testing.T) {
	const most = 100
	sim := run.NewSim(1)
	sim.Run(func() {
		s, err := storage.Open(storage.Config{FS: vfs.NewMem(1), Env: sim, Dirs: []string{"data"}, NodeID: 1, MaxOpenFiles: 10, MaxUnsyncedLogs: most})
		if err != nil {
			t.Fatal(err)
		}
		b := makeBatch(t, 1, 10, 1)
		var logs []*storage.Log
		for n := range most + 1 {
			l := partitionLog(t, s, n, replicated)
			mustAppend(t, l, b, 0)
			logs = append(logs, l)
		}
		wait(sim)
		check := func(when string, written, durable, openFiles int) {
			t.Helper()
			for n, l := range logs {
				want := 1
				if n < written {
					want = durable
				}
				if got := int(l.DurableEnd()); got != want {
					t.Fatalf("%s: log %d is durable up to %d, want %d", when, n, got, want)
				}
			}
			if got := s.OpenFiles(); got > openFiles {
				t.Errorf("%s: %d files are open, at most %d may", when, got, openFiles)
			}
		}
		check("new", most, 1, 10)
		for _, l := range logs[:most] {
			mustAppend(t, l, b, 0)
		}
		wait(sim)
		check("as many as may be", most, 1, most)
		mustAppend(t, logs[most], b, 0)
		wait(sim)
		check("one too many", most+1, 2, 10)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// What a kill leaves unsynced of a log with replicated durability is served at once, without waiting for the disk, and counts as durable after a sync only: a power
// cut after it takes no more than one before the kill would have.
func TestReplicatedStartsWithoutSync(t *testing.T) {
	for seed := range uint64(powerCuts) {
		sim := run.NewSim(seed)
		sim.Run(func() {
			mem := vfs.NewMem(seed)
			faults := vfs.NewFault(mem)
			open := func(fs vfs.FS) (*storage.Store, *storage.Log) {
				s, err := storage.Open(storage.Config{FS: fs, Env: sim, Dirs: []string{"data"}, NodeID: 1})
				if err != nil {
					t.Fatal(err)
				}
				return s, partitionLog(t, s, 0, storage.LogConfig{Durability: storage.Replicated, SegmentBytes: 500})
			}
			s, l := open(faults)
			mustAppend(t, l, makeBatch(t, 1, 10, 1), 0)
			wait(sim)
			for range 9 { // over several segments
				mustAppend(t, l, makeBatch(t, 1, 100, 1), 0)
			}
			dead := faults.Add(vfs.Rule{Action: vfs.FailIO})
			s.Close() //nolint:errcheck // as a killed process: nothing reaches the disk
			dead.Remove()

			again := vfs.NewFault(mem)
			syncs := again.Add(vfs.Rule{Op: vfs.OpSync, Glob: "*.log", Action: vfs.Pass})
			s, l = open(again)
			if l.LogEnd() != 10 || l.DurableEnd() > 1 || syncs.Matched() != 0 {
				t.Errorf("log up to %d, %d durable, %d syncs of segments", l.LogEnd(), l.DurableEnd(), syncs.Matched())
			}
			if seed%2 == 0 {
				l.Flush(true)
				if wait(sim); l.DurableEnd() != 10 {
					t.Errorf("durable up to %d after a flush", l.DurableEnd())
				}
			}
			durable := l.DurableEnd()
			left := mem.Crash()
			s.Close() //nolint:errcheck // of no interest here
			s, l = open(left)
			if l.LogEnd() < durable {
				t.Errorf("disk %d: a power cut left %d of %d that were durable", seed, l.LogEnd(), durable)
			}
			if got, err := readAll(l, 0, l.LogEnd(), 1000); err != nil || len(got) == 0 && l.LogEnd() > 0 {
				t.Errorf("disk %d: %d bytes, %v", seed, len(got), err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// The segment that a deletion of all records begins is empty, and its name may be in the cache only when a kill comes: what is appended to it in the next life is
// not durable before the name is.
func TestEmptySegmentThatAKillLeft(t *testing.T) {
	for seed := range uint64(powerCuts) {
		sim := run.NewSim(seed)
		sim.Run(func() {
			mem := vfs.NewMem(seed)
			open := func(fs vfs.FS) (*storage.Store, *storage.Log) {
				s, err := storage.Open(storage.Config{FS: fs, Env: sim, Dirs: []string{"data"}, NodeID: 1, CheckpointMs: 10})
				if err != nil {
					t.Fatal(err)
				}
				cfg := storage.LogConfig{FileDeleteDelayMs: 1}
				if seed%2 == 0 {
					cfg.Durability = storage.Replicated
				}
				return s, partitionLog(t, s, 0, cfg)
			}
			faults := vfs.NewFault(mem)
			s, l := open(faults)
			mustAppend(t, l, makeBatch(t, 1, 10, 1), 0)
			l.Flush(true)
			wait(sim)
			deletions := []storage.RecordDeletion{{Log: l, Before: 1}}
			if s.DeleteRecords(deletions); deletions[0].Err != nil {
				t.Fatal(deletions[0].Err)
			}
			wait(sim) // the old segment's files are gone
			dead := faults.Add(vfs.Rule{Action: vfs.FailIO})
			s.Close() //nolint:errcheck // as a killed process: nothing reaches the disk
			dead.Remove()

			s, l = open(mem)
			var left *vfs.Mem
			l.OnDurable(func(end ids.Offset) {
				if left == nil && end == 2 { // before a checkpoint syncs the directory for another reason
					left = mem.Crash()
				}
			})
			mustAppend(t, l, makeBatch(t, 1, 10, 1), 0)
			l.Flush(true)
			wait(sim)
			s.Close() //nolint:errcheck // of no interest here
			if left == nil {
				t.Fatal("the record did not become durable")
			}
			if s, l = open(left); l.LogEnd() != 2 {
				t.Errorf("disk %d: a power cut left %d of 2 that were durable", seed, l.LogEnd())
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
