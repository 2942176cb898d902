package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

func mustAppend(t *testing.T, l *storage.Log, b record.Batch, epoch ids.LeaderEpoch) storage.Appended {
	t.Helper()
	a, err := l.Append(b, epoch, 0)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Invariant 5: a failed fsync succeeds nobody, is not retried, and its tail is not served after a restart either: with the mark that the directory
// keeps of it, and the page cache still showing the bytes.
func TestFailedSync(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpSync, vfs.OpSyncDir} {
		t.Run(string(op), func(t *testing.T) {
			mem := vfs.NewMem(1)
			faults := vfs.NewFault(mem)
			var offline atomic.Int32
			s, err := storage.Open(storage.Config{FS: faults, Env: run.OS(), Dirs: []string{"data"}, NodeID: 1,
				Events: storage.Events{DirectoryOffline: func(_ string, _ error, marked bool) {
					offline.Add(1)
					if !marked {
						t.Error("the failure was not recorded on the disk")
					}
				}}})
			if err != nil {
				t.Fatal(err)
			}
			l := openLog(t, s, storage.LogConfig{})
			w := waitOn(run.OS(), l)
			first := makeBatch(t, 3, 100, 1)
			if op == vfs.OpSync {
				mustAppend(t, l, first, 0)
				if err := w.flush(l); err != nil {
					t.Fatal(err)
				}
			}
			durable := l.DurableEnd()
			mustAppend(t, l, makeBatch(t, 5, 100, 2), 0)
			glob := "*.log"
			if op == vfs.OpSyncDir {
				glob = "t-0"
			}
			rule := faults.Add(vfs.Rule{Op: op, Glob: glob, Limit: 1})
			var down *storage.OfflineError
			if err := w.flush(l); !errors.As(err, &down) {
				t.Fatalf("flush: %v", err)
			}
			waitFor(t, "the event, which comes after the log's owner may know", func() bool { return offline.Load() > 0 })
			if l.DurableEnd() != durable || offline.Load() != 1 || rule.Matched() != 1 {
				t.Fatalf("durable end %d, want %d; %d events; %d syncs tried", l.DurableEnd(), durable, offline.Load(), rule.Matched())
			}
			if _, err := l.Append(makeBatch(t, 1, 1, 3), 0, 0); !errors.As(err, &down) {
				t.Fatalf("append: %v", err)
			}
			if _, err := l.Read(0, 8, 1000, true); !errors.As(err, &down) {
				t.Fatalf("read: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, mem, "data") // the process restarts; the memory disk is the page cache, it shows everything
			defer s.Close()
			l = openLog(t, s, storage.LogConfig{})
			if l.LogEnd() != durable || l.DurableEnd() != durable {
				t.Fatalf("after the restart the log ends at %d, and %d was durable", l.LogEnd(), durable)
			}
			if _, err := mem.Stat("data/ottla.failed-sync"); err == nil {
				t.Fatal("the mark is still there")
			}
			if a := mustAppend(t, l, makeBatch(t, 1, 1, 3), 1); a.BaseOffset != durable {
				t.Fatalf("appended at %d", a.BaseOffset)
			}
		})
	}
}

// Without the mark, what recovery calls durable was written again, so that a kernel that dropped the first write cannot lose it.
func TestRecoveryWritesTheTailAgain(t *testing.T) {
	mem := vfs.NewMem(1)
	faults := vfs.NewFault(mem)
	s := openStore(t, faults, "data")
	l := openLog(t, s, storage.LogConfig{})
	b := makeBatch(t, 3, 1000, 1)
	mustAppend(t, l, b, 0)
	// The kernel fails to write the pages and takes them for clean; the mark fails, too.
	faults.Add(vfs.Rule{Op: vfs.OpSync, Glob: "*.log", Limit: 1})
	faults.Add(vfs.Rule{Op: vfs.OpCreate, Glob: "ottla.failed-sync*"})
	if err := waitOn(run.OS(), l).flush(l); err == nil {
		t.Fatal("flush succeeded")
	}
	s.Close()
	writes := 0
	again := vfs.NewFault(mem, vfs.Rule{Op: vfs.OpWrite, Glob: "*.log", Action: vfs.Pass, Hook: func(vfs.Op, string) { writes++ }})
	s = openStore(t, again, "data")
	defer s.Close()
	l = openLog(t, s, storage.LogConfig{})
	if l.LogEnd() != 3 || writes == 0 {
		t.Fatalf("log ends at %d after %d writes", l.LogEnd(), writes)
	}
	left := mem.Crash()
	s2 := openStore(t, left, "data")
	defer s2.Close()
	if l := openLog(t, s2, storage.LogConfig{}); l.LogEnd() != 3 {
		t.Fatalf("lost after a crash: log ends at %d", l.LogEnd())
	}
}

func TestFullDisk(t *testing.T) {
	mem := vfs.NewMem(1)
	mem.SetCapacity(400 << 10)
	lows := make(chan bool, 10)
	s, err := storage.Open(storage.Config{FS: mem, Env: run.OS(), Dirs: []string{"data"}, NodeID: 1, ReserveBytes: 100 << 10,
		Events: storage.Events{LowSpace: func(_ string, low bool, _ int64) { lows <- low }}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := openLog(t, s, storage.LogConfig{SegmentBytes: 40_000, Delete: true, RetentionMs: -1, RetentionBytes: 50_000, FileDeleteDelayMs: 60_000})
	w := waitOn(run.OS(), l)
	var want []byte
	for {
		b := makeBatch(t, 1, 10_000, 1)
		if _, err = l.Append(b, 0, 0); err != nil {
			break
		}
		want = append(want, b...)
		if err := w.flush(l); err != nil {
			t.Fatal(err)
		}
	}
	var low *storage.LowSpaceError
	if !errors.Is(err, vfs.ErrNoSpace) || !errors.As(err, &low) {
		t.Fatalf("append to a disk at its reserve: %v", err)
	}
	if got, err := readAll(l, 0, l.LogEnd(), 5000); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes, want %d: %v", len(got), len(want), err)
	}
	internal, err := s.OpenLog(ids.TopicPartition{Topic: "__cluster_metadata"}, ids.TopicID{9}, storage.LogConfig{Internal: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := internal.Append(makeBatch(t, 1, 1000, 1), 0, 0); err != nil {
		t.Fatalf("metadata at the reserve: %v", err)
	}
	// The reserve is used up, too: the append fails, and the log is as before.
	mem.SetCapacity(1)
	end := internal.LogEnd()
	if _, err := internal.Append(makeBatch(t, 1, 20_000, 1), 0, 0); !errors.Is(err, vfs.ErrNoSpace) || errors.As(err, &low) {
		t.Fatalf("append to a full disk: %v", err)
	}
	if internal.LogEnd() != end || internal.Err() != nil {
		t.Fatalf("log ends at %d, want %d: %v", internal.LogEnd(), end, internal.Err())
	}
	mem.SetCapacity(400 << 10)
	if _, err := internal.Append(makeBatch(t, 1, 2000, 1), 0, 0); err != nil {
		t.Fatalf("append once there is room: %v", err)
	}
	if got, err := readAll(internal, 0, internal.LogEnd(), 1<<20); err != nil || len(got) == 0 {
		t.Fatal(err)
	}
	// Retention frees the disk, at once in spite of file.delete.delay.ms, and appends go on.
	if err := l.ApplyRetention(0); err != nil {
		t.Fatal(err)
	}
	if low := <-lows; !low {
		t.Fatal("the first event says that there is room")
	}
	if low := <-lows; low {
		t.Fatal("the second event says that there is no room")
	}
	if _, err := l.Append(makeBatch(t, 1, 100, 1), 0, 0); err != nil {
		t.Fatalf("append once retention made room: %v", err)
	}
}

// A write that fails is taken back; if that fails too, only this log goes offline, and says so to its owner.
func TestFailedWrite(t *testing.T) {
	mem := vfs.NewMem(1)
	faults := vfs.NewFault(mem)
	s := openStore(t, faults, "data")
	defer s.Close()
	l := openLog(t, s, storage.LogConfig{})
	w := waitOn(run.OS(), l)
	first := makeBatch(t, 2, 50, 1)
	mustAppend(t, l, first, 0)
	short := faults.Add(vfs.Rule{Op: vfs.OpWrite, Glob: "*.log", Action: vfs.ShortWrite, Limit: 1})
	if _, err := l.Append(makeBatch(t, 2, 50, 1), 0, 0); err == nil || short.Hits() != 1 {
		t.Fatalf("short write: %v", err)
	}
	if l.LogEnd() != 2 || l.Err() != nil {
		t.Fatalf("log ends at %d: %v", l.LogEnd(), l.Err())
	}
	second := makeBatch(t, 1, 10, 2)
	mustAppend(t, l, second, 0)
	if got, err := readAll(l, 0, 3, 1000); err != nil || !bytes.Equal(got, append(bytes.Clone(first), second...)) {
		t.Fatalf("read %d bytes: %v", len(got), err)
	}
	faults.Add(vfs.Rule{Op: vfs.OpWrite, Glob: "*.log", Action: vfs.ShortWrite, Limit: 1})
	faults.Add(vfs.Rule{Op: vfs.OpTruncate, Glob: "*.log", Limit: 1})
	if _, err := l.Append(makeBatch(t, 2, 50, 1), 0, 0); err == nil {
		t.Fatal("append succeeded")
	}
	w.signal.Wait() // the owner is told
	var down *storage.OfflineError
	if !errors.As(l.Err(), &down) || !strings.HasSuffix(down.Path, "t-0") {
		t.Fatalf("Err is %v", l.Err())
	}
}

func flip(t *testing.T, disk vfs.FS, path string, bit int) {
	t.Helper()
	f, err := disk.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var p [1]byte
	if _, err := f.ReadAt(p[:], int64(bit/8)); err != nil {
		t.Fatal(err)
	}
	p[0] ^= 1 << (bit % 8)
	if _, err := f.WriteAt(p[:], int64(bit/8)); err != nil {
		t.Fatal(err)
	}
}

// A process out of descriptors closes files that it keeps for later; the disk has not failed.
func TestOutOfDescriptors(t *testing.T) {
	faults := vfs.NewFault(vfs.NewMem(1))
	s := openStore(t, faults, "data")
	defer s.Close()
	l := openLog(t, s, storage.LogConfig{SegmentBytes: 500})
	w := waitOn(run.OS(), l)
	for range 10 {
		mustAppend(t, l, makeBatch(t, 1, 300, 1), 0)
	}
	if err := w.flush(l); err != nil {
		t.Fatal(err)
	}
	kept := s.OpenFiles()
	rule := faults.Add(vfs.Rule{Op: vfs.OpCreate, Glob: "*.log", Limit: 1})
	mustAppend(t, l, makeBatch(t, 1, 300, 1), 0)
	if n := s.OpenFiles(); rule.Hits() != 1 || n >= kept {
		t.Errorf("%d hits; %d files kept open of %d", rule.Hits(), n, kept)
	}
	faults.Add(vfs.Rule{Op: vfs.OpOpen, Glob: "*index", Limit: 1})
	if err := w.flush(l); err != nil {
		t.Error(err)
	}
}

// A crash at any step of the start after a failed sync leaves the same log in the end.
func TestCrashWhileCuttingAfterFailedSync(t *testing.T) {
	mem := vfs.NewMem(1)
	faults := vfs.NewFault(mem)
	s := openStore(t, faults, "data")
	cfg := storage.LogConfig{SegmentBytes: 1000, IndexIntervalBytes: 100}
	l := openLog(t, s, cfg)
	w := waitOn(run.OS(), l)
	var want []byte
	for i := range 8 {
		b := makeBatch(t, 1, 300, int64(i))
		mustAppend(t, l, b, 0)
		want = append(want, b...)
	}
	if err := w.flush(l); err != nil {
		t.Fatal(err)
	}
	durable := l.DurableEnd()
	for range 8 {
		mustAppend(t, l, makeBatch(t, 1, 300, 9), 0)
	}
	faults.Add(vfs.Rule{Op: vfs.OpSync, Glob: "*.log", Limit: 1})
	if err := w.flush(l); err == nil {
		t.Fatal("flush succeeded")
	}
	s.Close()
	check := func(disk *vfs.Mem, when string) {
		t.Helper()
		s := openStore(t, disk, "data")
		defer s.Close()
		l := openLog(t, s, cfg)
		got, err := readAll(l, 0, l.LogEnd(), 1<<20)
		if err != nil || !bytes.Equal(got, want) || l.LogEnd() != durable {
			t.Fatalf("%s: log ends at %d, %d was durable; %d bytes, want %d: %v", when, l.LogEnd(), durable, len(got), len(want), err)
		}
	}
	var mu sync.Mutex // a stop syncs several files at a time
	var left []*vfs.Mem
	mem.OnOp(func(int, string) {
		mu.Lock()
		defer mu.Unlock()
		left = append(left, mem.Crash())
	})
	check(mem, "without a crash")
	mem.OnOp(nil)
	for i, disk := range left {
		check(disk, fmt.Sprint("after a crash at step ", i))
	}
	if len(left) < 10 {
		t.Errorf("%d steps", len(left))
	}
}
