package storage_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

// TestBulkDeletion: many logs cost one sync of the data directory and one write of each checkpoint file, however many they are.
func TestBulkDeletion(t *testing.T) {
	faults := vfs.NewFault(vfs.NewMem(1))
	s := openStore(t, faults, "data")
	var names []storage.LogName
	for i := range int32(100) {
		tp := ids.TopicPartition{Topic: "t", Partition: i}
		l, err := s.OpenLog(tp, topicID, storage.LogConfig{})
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, l, makeBatch(t, 1, 10, 1), 0)
		names = append(names, storage.LogName{Topic: tp, ID: topicID})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, faults, "data")
	defer s.Close()
	for _, n := range names[:90] {
		if _, err := s.OpenLog(n.Topic, n.ID, storage.LogConfig{}); err != nil {
			t.Fatal(err)
		}
	}
	syncs := faults.Add(vfs.Rule{Op: vfs.OpSyncDir, Action: vfs.Pass})
	renames := faults.Add(vfs.Rule{Op: vfs.OpRename, Glob: "*-checkpoint*", Action: vfs.Pass})
	names = append(names, storage.LogName{Topic: ids.TopicPartition{Topic: "absent"}, ID: topicID})
	if err := s.DeleteLogs(names...); err != nil {
		t.Fatal(err)
	}
	if syncs.Hits() > 5 || renames.Hits() > 4 {
		t.Errorf("%d syncs of directories and %d checkpoint files written", syncs.Hits(), renames.Hits())
	}
	if found := s.Found(); len(found) != 0 {
		t.Errorf("%d logs are left", len(found))
	}
	if err := s.DeleteLogs(names...); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// One log that has another id, or cannot be renamed, does not keep the others.
func TestDeletionOfSomeFails(t *testing.T) {
	faults := vfs.NewFault(vfs.NewMem(1))
	s := openStore(t, faults, "data")
	defer s.Close()
	var names []storage.LogName
	for i := range int32(3) {
		n := storage.LogName{Topic: ids.TopicPartition{Topic: "t", Partition: i}, ID: topicID}
		l, err := s.OpenLog(n.Topic, n.ID, storage.LogConfig{})
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, l, makeBatch(t, 1, 10, 1), 0)
		names = append(names, n)
	}
	names[1].ID = ids.TopicID{99}
	faults.Add(vfs.Rule{Op: vfs.OpRename, Glob: "data/t-2", Limit: 1, Action: vfs.FailNoSpace})
	err := s.DeleteLogs(names...)
	if err == nil || !strings.Contains(err.Error(), "t-1") || !errors.Is(err, vfs.ErrNoSpace) {
		t.Errorf("delete: %v", err)
	}
	if found := s.Found(); len(found) != 2 {
		t.Errorf("left: %v", found)
	}
	if err := s.DeleteLogs(names[2]); err != nil {
		t.Errorf("the one that could not be renamed, once more: %v", err)
	}
}

// fill takes all space that is left on a disk, as another program would.
func fill(t *testing.T, mem *vfs.Mem) {
	t.Helper()
	f, err := mem.Open("foreign")
	if err != nil {
		if f, err = mem.Create("foreign"); err != nil {
			t.Fatal(err)
		}
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	for chunk := 1 << 16; chunk > 0; {
		n, err := f.WriteAt(bytes.Repeat([]byte{1}, chunk), size)
		size += int64(n)
		if err != nil {
			chunk /= 2
		}
	}
}

// TestAFullDiskCanBeFreed: with not a byte left, because somebody else took them, metadata can be written, records and logs be deleted, and retention be
// lowered, each of which gives bytes back. Also after a start on the full disk.
func TestAFullDiskCanBeFreed(t *testing.T) {
	deletions := map[string]func(t *testing.T, s *storage.Store, l *storage.Log){
		"DeleteRecords": func(t *testing.T, s *storage.Store, l *storage.Log) {
			d := []storage.RecordDeletion{{Log: l, Before: l.LogEnd()}}
			if s.DeleteRecords(d); d[0].Err != nil {
				t.Fatal(d[0].Err)
			}
		},
		"DeleteLogs": func(t *testing.T, s *storage.Store, _ *storage.Log) {
			if err := s.DeleteLogs(storage.LogName{Topic: tp0, ID: topicID}); err != nil {
				t.Fatal(err)
			}
		},
		"retention": func(t *testing.T, _ *storage.Store, l *storage.Log) {
			cfg := l.Config()
			cfg.RetentionMs = 1
			l.SetConfig(cfg)
			if err := l.ApplyRetention(1 << 40); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, free := range deletions {
		for _, restart := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				mem := vfs.NewMem(1)
				mem.SetCapacity(2 << 20)
				open := func() (*storage.Store, *storage.Log, *storage.Log) {
					s, err := storage.Open(storage.Config{FS: mem, Env: run.OS(), Dirs: []string{"data"}, NodeID: 1, ReserveBytes: 200 << 10, ReserveFileBytes: 128 << 10})
					if err != nil {
						t.Fatal(err)
					}
					l := openLog(t, s, storage.LogConfig{Delete: true, RetentionMs: -1, RetentionBytes: -1, FileDeleteDelayMs: 60_000})
					metadata, err := s.OpenLog(ids.TopicPartition{Topic: storage.MetadataTopic}, ids.TopicID{9}, storage.LogConfig{Internal: true})
					if err != nil {
						t.Fatal(err)
					}
					return s, l, metadata
				}
				s, l, metadata := open()
				mustAppend(t, metadata, makeBatch(t, 1, 100, 1), 0)
				for range 30 {
					mustAppend(t, l, makeBatch(t, 1, 30_000, 1000), 0)
				}
				if err := errors.Join(waitOn(run.OS(), l).flush(l), waitOn(run.OS(), metadata).flush(metadata)); err != nil {
					t.Fatal(err)
				}
				fill(t, mem)
				if restart {
					_ = s.Close() // which may not be able to write its checkpoints
					s, l, metadata = open()
				}
				defer s.Close()
				for range 3 {
					if _, err := metadata.Append(makeBatch(t, 1, 1000, 1), 1, 0); err != nil {
						t.Fatalf("metadata on a full disk: %v", err)
					}
				}
				if err := waitOn(run.OS(), metadata).flush(metadata); err != nil {
					t.Fatal(err)
				}
				free(t, s, l)
				waitFor(t, "the bytes to be free", func() bool {
					_, usable, _ := mem.Space("data")
					return usable > 800<<10
				})
				if name == "DeleteLogs" {
					l = openLog(t, s, storage.LogConfig{})
				}
				if l.LogStart() != l.LogEnd() {
					t.Errorf("log from %d to %d", l.LogStart(), l.LogEnd())
				}
				waitFor(t, "appends", func() bool {
					_, err := l.Append(makeBatch(t, 1, 1000, 1), 1, 0)
					return err == nil
				})
			})
		}
	}
}

// A name that a full disk kept in the checkpoints is not free, and the log that had it is gone all the same.
func TestDeletionWithoutSpaceForCheckpoints(t *testing.T) {
	mem := vfs.NewMem(1)
	faults := vfs.NewFault(mem)
	s := openStore(t, faults, "data")
	l := openLog(t, s, storage.LogConfig{})
	for range 5 {
		mustAppend(t, l, makeBatch(t, 3, 100, 1), 0)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, faults, "data")
	openLog(t, s, storage.LogConfig{})
	full := faults.Add(vfs.Rule{Op: vfs.OpWrite, Glob: "recovery-point-offset-checkpoint*", Action: vfs.FailNoSpace})
	if err := s.DeleteLogs(storage.LogName{Topic: tp0, ID: topicID}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the files to go", func() bool {
		entries, err := mem.List("data")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir {
				return false
			}
		}
		return true
	})
	other := ids.TopicID{77}
	if _, err := s.OpenLog(tp0, other, storage.LogConfig{}); !errors.Is(err, vfs.ErrNoSpace) {
		t.Errorf("open the name while the old recovery point stands: %v", err)
	}
	full.Remove()
	l, err := s.OpenLog(tp0, other, storage.LogConfig{})
	if err != nil {
		t.Fatal(err)
	}
	b := makeBatch(t, 1, 10, 1)
	mustAppend(t, l, b, 0)
	if err := waitOn(run.OS(), l).flush(l); err != nil {
		t.Fatal(err)
	}
	left := mem.Crash()
	s.Close()
	s = openStore(t, left, "data")
	defer s.Close()
	if l, err = s.OpenLog(tp0, other, storage.LogConfig{}); err != nil {
		t.Fatalf("the new log after a power cut: %v", err)
	}
	if got, err := readAll(l, 0, l.LogEnd(), 1000); err != nil || !bytes.Equal(got, b) {
		t.Errorf("the new log has %d bytes, want %d: %v", len(got), len(b), err)
	}
}

// TestReserveHoldsBetweenRounds: without a single flush round, what is appended does not use the reserve up.
func TestReserveHoldsBetweenRounds(t *testing.T) {
	const reserve = 400 << 10
	mem := vfs.NewMem(1)
	mem.SetCapacity(4 << 20)
	s, err := storage.Open(storage.Config{FS: mem, Env: run.OS(), Dirs: []string{"data"}, NodeID: 1, ReserveBytes: reserve, FlushLingerMs: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := openLog(t, s, storage.LogConfig{Durability: storage.Replicated})
	var low *storage.LowSpaceError
	for err == nil {
		_, err = l.Append(makeBatch(t, 1, 10_000, 1), 0, 0)
	}
	if !errors.As(err, &low) {
		t.Fatalf("an append that is refused: %v", err)
	}
	if _, usable, _ := mem.Space("data"); usable < reserve/2 {
		t.Errorf("%d bytes of a reserve of %d are left", usable, reserve)
	}
}

// waitFor asks until it is so, for some seconds.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	env := run.OS()
	pause := env.NewSignal()
	for deadline := env.Monotonic() + 10*time.Second; !so(); pause.WaitFor(time.Millisecond) {
		if env.Monotonic() > deadline {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestDeletionUnderLoad: while records are appended and deleted, by requests and by retention, a read gets the batch that holds its offset or is told that the
// offset is out of range: never what follows it. Lookups find nothing that was deleted before they began.
func TestDeletionUnderLoad(t *testing.T) {
	s := openStore(t, vfs.NewMem(1), "data")
	defer s.Close()
	l := openLog(t, s, storage.LogConfig{SegmentBytes: 3000, Delete: true, RetentionMs: 400, RetentionBytes: -1})
	w := waitOn(run.OS(), l)
	done := make(chan struct{})
	var others sync.WaitGroup
	beside := func(fn func(random *rand.Rand)) {
		seed := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
		others.Add(1)
		go func() {
			defer others.Done()
			for {
				select {
				case <-done:
					return
				default:
					fn(seed)
				}
			}
		}()
	}
	for range 2 {
		beside(func(random *rand.Rand) {
			start, end := l.LogStart(), l.LogEnd()
			from := start + ids.Offset(random.Int64N(int64(end-start)+1))
			r, err := l.Read(from, end, 500, true)
			if errors.Is(err, storage.ErrOffsetOutOfRange) {
				if from >= l.LogStart() {
					t.Errorf("offset %d is out of range %d to %d", from, l.LogStart(), l.LogEnd())
				}
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			if data := regionBytes(t, &r); len(data) == 0 && from < end {
				t.Errorf("nothing at offset %d of %d", from, end)
			} else if len(data) > 0 && record.Batch(data).BaseOffset() > from {
				t.Errorf("a read at offset %d gets offset %d", from, record.Batch(data).BaseOffset())
			}
		})
	}
	beside(func(random *rand.Rand) {
		start := l.LogStart()
		if f, ok, err := l.OffsetForTimestamp(random.Int64N(3000), l.LogEnd()); err != nil || ok && f.Offset < start {
			t.Errorf("lookup finds offset %d below %d: %v", f.Offset, start, err)
		}
		if stable := l.LastStable(l.DurableEnd()); stable < start {
			t.Errorf("last stable offset %d below %d", stable, start)
		}
	})
	beside(func(random *rand.Rand) {
		start := l.LogStart()
		d := []storage.RecordDeletion{{Log: l, Before: start + ids.Offset(random.Int64N(int64(l.DurableEnd()-start)+1)/2)}}
		if s.DeleteRecords(d); d[0].Err != nil {
			t.Error(d[0].Err)
		}
	})
	for i := range 1500 {
		mustAppend(t, l, makeBatch(t, 1+i%4, 100, int64(i)), 0)
		if i%10 == 0 {
			if err := w.flush(l); err != nil {
				t.Fatal(err)
			}
		}
		if i%50 == 0 {
			if err := l.ApplyRetention(int64(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(done)
	others.Wait()
	if l.LogStart() == 0 || l.LogStart() > l.LogEnd() {
		t.Errorf("log from %d to %d", l.LogStart(), l.LogEnd())
	}
}
