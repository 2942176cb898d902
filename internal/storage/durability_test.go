package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

// powerCuts is how many disks are cut at the same step: each tosses anew for what was not synced.
const powerCuts = 40

// A deletion that has returned stays one across a power cut.
func TestDeletionIsDurable(t *testing.T) {
	for seed := range uint64(powerCuts) {
		mem := vfs.NewMem(seed)
		s := openStore(t, mem, "data")
		l := openLog(t, s, storage.LogConfig{FileDeleteDelayMs: 60_000})
		mustAppend(t, l, makeBatch(t, 1, 100, 1), 0)
		if err := waitOn(run.OS(), l).flush(l); err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteLogs(storage.LogName{Topic: tp0, ID: topicID}); err != nil {
			t.Fatal(err)
		}
		left := mem.Crash()
		s.Close()
		s = openStore(t, left, "data")
		if found := s.Found(); len(found) != 0 {
			t.Errorf("disk %d: after a power cut there is %v again", seed, found)
		}
		s.Close()
	}
}

// A directory that was opened is not clean any more, also if nothing else was written to it before the power went.
func TestOpeningTakesTheCleanMarkAway(t *testing.T) {
	for seed := range uint64(powerCuts) {
		mem := vfs.NewMem(seed)
		openStore(t, mem, "data").Close()
		s := openStore(t, mem, "data")
		if !s.Directories()[0].WasClean {
			t.Fatal("not clean after Close")
		}
		left := mem.Crash()
		s.Close()
		s = openStore(t, left, "data")
		if s.Directories()[0].WasClean {
			t.Errorf("disk %d: clean after a power cut", seed)
		}
		s.Close()
	}
}

// Index entries that lead past what recovery found are cut off, durably: behind newer entries they could pass for the log's own later.
func TestStaleIndexEntriesAreCut(t *testing.T) {
	for seed := range uint64(powerCuts) {
		mem := vfs.NewMem(seed)
		cfg := storage.LogConfig{IndexIntervalBytes: 100}
		s := openStore(t, mem, "data")
		l := openLog(t, s, cfg)
		for i := range 20 {
			mustAppend(t, l, makeBatch(t, 1, 200, int64(i)), 0)
		}
		s.Close()
		if err := mem.Remove("data/.kafka_cleanshutdown"); err != nil {
			t.Fatal(err)
		}
		good := make(map[string]int64)
		for file, stale := range map[string][]byte{
			".index":     {0, 0, 0, 40, 0, 0, 0x20, 0, 0, 0, 0, 41, 0, 0, 0x21, 0},
			".timeindex": {0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 40},
		} {
			path := "data/t-0/00000000000000000000" + file
			f, err := mem.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			size, err := f.Size()
			if err != nil || size == 0 {
				t.Fatalf("%s has %d bytes: %v", path, size, err)
			}
			_, err = f.WriteAt(stale, size)
			if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
				t.Fatal(err)
			}
			good[path] = size
		}
		s = openStore(t, mem, "data")
		openLog(t, s, cfg)
		for when, disk := range map[string]*vfs.Mem{"after recovery": mem, "after a power cut": mem.Crash()} {
			for path, size := range good {
				if e, err := disk.Stat(path); err != nil || e.Size > size {
					t.Errorf("disk %d, %s: %s has %d bytes, and %d of them are good: %v", seed, when, path, e.Size, size, err)
				}
			}
		}
		s.Close()
	}
}

// Retention takes nothing that is not on the disk yet, or that a replica may lack: the watermark would pass what nobody can read any more.
func TestRetentionWaitsForTheDisk(t *testing.T) {
	sim := run.NewSim(1)
	sim.Run(func() {
		s, err := storage.Open(storage.Config{FS: vfs.NewMem(1), Env: sim, Dirs: []string{"data"}, NodeID: 1})
		if err != nil {
			t.Fatal(err)
		}
		l := openLog(t, s, storage.LogConfig{SegmentBytes: 2_000, Delete: true, RetentionMs: 1, RetentionBytes: -1})
		for range 10 {
			mustAppend(t, l, makeBatch(t, 1, 900, 1), 0)
		}
		retain := func(when string, want ids.Offset) {
			if err := l.ApplyRetention(1_000_000); err != nil {
				t.Fatal(err)
			}
			if got := l.LogStart(); got != want {
				t.Errorf("%s: the log starts at %d, want %d", when, got, want)
			}
		}
		if l.DurableEnd() != 0 { // no time has passed
			t.Fatalf("durable up to %d without a flush", l.DurableEnd())
		}
		retain("nothing is durable", 0)
		if err := waitOn(sim, l).flush(l); err != nil {
			t.Fatal(err)
		}
		l.SetHighWatermark(5)
		retain("the watermark is at 5", 4)
		l.SetHighWatermark(10)
		retain("all is committed", 10)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// What is deleted gives its space back although it had been read, and files kept open for the next read.
func TestDeletedFilesGiveTheirSpaceBack(t *testing.T) {
	sim := run.NewSim(1)
	sim.Run(func() {
		mem := vfs.NewMem(1)
		s, err := storage.Open(storage.Config{FS: mem, Env: sim, Dirs: []string{"data"}, NodeID: 1})
		if err != nil {
			t.Fatal(err)
		}
		used := func() int64 {
			total, usable, err := mem.Space("data")
			if err != nil {
				t.Fatal(err)
			}
			return total - usable
		}
		before := used()
		l := openLog(t, s, storage.LogConfig{SegmentBytes: 20_000, Delete: true, RetentionMs: -1, RetentionBytes: 30_000})
		for range 20 {
			mustAppend(t, l, makeBatch(t, 1, 9_000, 1), 0)
		}
		if err := waitOn(sim, l).flush(l); err != nil {
			t.Fatal(err)
		}
		if _, err := readAll(l, 0, l.LogEnd(), 1_000); err != nil {
			t.Fatal(err)
		}
		settle := func() { sim.NewSignal().WaitFor(time.Second) }
		if err := l.ApplyRetention(1); err != nil {
			t.Fatal(err)
		}
		if settle(); used()-before > 80_000 {
			t.Errorf("%d bytes are taken after retention left %d of %d", used()-before, l.Size(), 20*9_000)
		}
		if err := s.DeleteLogs(storage.LogName{Topic: tp0, ID: topicID}); err != nil {
			t.Fatal(err)
		}
		if settle(); used() > before+8192 { // the checkpoints, a page each
			t.Errorf("%d bytes are taken after the log was deleted", used()-before)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Index files without their log, and snapshots without content, are what a power cut leaves of a roll: a start removes them, durably, so that a segment
// made at the same offset later does not take them for its own.
func TestLeftoversAreRemoved(t *testing.T) {
	for _, clean := range []bool{false, true} {
		mem := vfs.NewMem(1)
		s := openStore(t, mem, "data")
		l := openLog(t, s, storage.LogConfig{})
		for range 3 {
			mustAppend(t, l, makeBatch(t, 1, 100, 1), 0)
		}
		if err := waitOn(run.OS(), l).flush(l); err != nil {
			t.Fatal(err)
		}
		left := mem.Crash()
		s.Close()
		if clean {
			left = mem
		}
		var made []string
		for name, content := range map[string]string{"5.index": "12345678", "5.timeindex": "", "5.txnindex": "stale", "2.snapshot": "", "1.snapshot": "damaged"} {
			path := fmt.Sprintf("data/t-0/%020d%s", name[0]-'0', name[1:])
			putFile(t, left, path, []byte(content))
			made = append(made, path)
		}
		if err := left.SyncDir("data/t-0"); err != nil {
			t.Fatal(err)
		}
		s = openStore(t, left, "data")
		if l := openLog(t, s, storage.LogConfig{}); l.LogEnd() != 3 || l.LogStart() != 0 {
			t.Fatalf("log from %d to %d", l.LogStart(), l.LogEnd())
		}
		for n := range powerCuts {
			disk := left
			if n > 0 {
				disk = left.Crash()
			}
			for _, path := range made {
				if _, err := disk.Stat(path); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("clean %v, disk %d: %s is still there: %v", clean, n, path, err)
				}
			}
		}
		s.Close()
	}
}

func putFile(t *testing.T, disk vfs.FS, path string, content []byte) {
	t.Helper()
	f, err := disk.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func getFile(t *testing.T, disk vfs.FS, path string) []byte {
	t.Helper()
	f, err := disk.OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, size)
	if _, err := f.ReadAt(content, 0); err != nil && size > 0 {
		t.Fatal(err)
	}
	return content
}

// After kill -9 the page cache shows what the disk may not have. What recovery takes over of it is durable when it returns, snapshots and transaction
// indexes included: the recovery point will pass them.
func TestRecoveryAfterAKillIsDurable(t *testing.T) {
	killed := vfs.NewMem(1)
	s := openStore(t, killed, "data")
	cfg := storage.LogConfig{SegmentBytes: 700}
	l := openLog(t, s, cfg)
	for producer := range ids.ProducerID(12) {
		abort(t, l, producer)
	}
	if l.Segments() < 3 {
		t.Fatalf("%d segments", l.Segments())
	}
	cached := vfs.NewMem(2) // with all that was written, and nothing of it synced
	for _, dir := range []string{"data", "data/t-0"} {
		if err := cached.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := cached.SyncDir("."); err != nil {
			t.Fatal(err)
		}
		entries, err := killed.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir || e.Name == ".lock" {
				continue
			}
			f, err := cached.Create(dir + "/" + e.Name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(getFile(t, killed, dir+"/"+e.Name), 0); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
	}
	s.Close()
	s = openStore(t, cached, "data")
	l = openLog(t, s, cfg)
	defer s.Close()
	if l.LogEnd() != 24 || l.DurableEnd() != 24 {
		t.Fatalf("recovered up to %d, durable up to %d", l.LogEnd(), l.DurableEnd())
	}
	entries, err := cached.List("data/t-0")
	if err != nil {
		t.Fatal(err)
	}
	for n := range powerCuts {
		left := cached.Crash()
		for _, e := range entries {
			if strings.HasSuffix(e.Name, ".index") || strings.HasSuffix(e.Name, ".timeindex") {
				continue // made anew as far as they are trusted
			}
			path := "data/t-0/" + e.Name
			if got, want := getFile(t, left, path), getFile(t, cached, path); !bytes.Equal(got, want) {
				t.Errorf("disk %d: %s has %d bytes, had %d before the power cut", n, path, len(got), len(want))
			}
		}
	}
}

// A transaction index that the disk refuses holds the recovery point back and is written later: no aborted transaction is forgotten.
func TestRefusedTransactionIndex(t *testing.T) {
	sim := run.NewSim(1)
	sim.Run(func() {
		mem := vfs.NewMem(1)
		faults := vfs.NewFault(mem)
		s, err := storage.Open(storage.Config{FS: faults, Env: sim, Dirs: []string{"data"}, NodeID: 1, CheckpointMs: 10})
		if err != nil {
			t.Fatal(err)
		}
		l := openLog(t, s, storage.LogConfig{})
		w := waitOn(sim, l)
		flush := func() {
			t.Helper()
			if err := w.flush(l); err != nil {
				t.Fatal(err)
			}
			sim.NewSignal().WaitFor(time.Second)
		}
		point := func() string {
			data := make([]byte, 100)
			f, err := mem.Open("data/recovery-point-offset-checkpoint")
			if errors.Is(err, fs.ErrNotExist) {
				return ""
			}
			if err != nil {
				t.Fatal(err)
			}
			n, _ := f.ReadAt(data, 0)
			return string(data[:n])
		}
		size := func() int64 {
			e, err := mem.Stat("data/t-0/00000000000000000000.txnindex")
			if errors.Is(err, fs.ErrNotExist) {
				return 0
			}
			if err != nil {
				t.Fatal(err)
			}
			return e.Size
		}
		refusal := faults.Add(vfs.Rule{Op: vfs.OpWrite, Glob: "*.txnindex", Action: vfs.ShortWrite})
		abort(t, l, 5)
		flush()
		if got := point(); got != "" {
			t.Errorf("the recovery point moved past an abort that is in no index: %q", got)
		}
		refusal.Remove()
		abort(t, l, 6)
		flush()
		if got := point(); got != "0\n1\nt 0 4\n" || size() != 68 {
			t.Errorf("recovery point %q, transaction index of %d bytes, want 4 and 68", got, size())
		}
		left := mem.Crash()
		if e, err := left.Stat("data/t-0/00000000000000000000.txnindex"); err != nil || e.Size != 68 {
			t.Errorf("after a power cut the transaction index has %d bytes: %v", e.Size, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// abort appends a transaction of one record and its abort marker.
func abort(t *testing.T, l *storage.Log, producer ids.ProducerID) {
	t.Helper()
	for _, b := range abortedTransaction(t, producer, 1) {
		mustAppend(t, l, b, 0)
	}
}

// Where the log survives a power cut and its transaction index does not, recovery makes the index anew, from below the recovery point, whatever newer
// snapshots there are: each abort marker has its entry, and each entry its marker.
func TestTransactionIndexAfterAPowerCut(t *testing.T) {
	markers := 0
	for seed := range uint64(powerCuts) {
		mem := vfs.NewMem(seed)
		cfg := storage.LogConfig{SegmentBytes: 700}
		s := openStore(t, mem, "data")
		l := openLog(t, s, cfg)
		for producer := range ids.ProducerID(12) {
			abort(t, l, producer)
			if producer == 5 {
				if err := waitOn(run.OS(), l).flush(l); err != nil {
					t.Fatal(err)
				}
			}
		}
		left := mem.Crash()
		s.Close()
		s = openStore(t, left, "data")
		l = openLog(t, s, cfg)
		content, err := readAll(l, 0, l.LogEnd(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		want := map[ids.Offset]bool{}
		for len(content) > 0 {
			b, rest, err := record.Next(content)
			if err != nil {
				t.Fatal(err)
			}
			if b.IsControl() {
				want[b.BaseOffset()] = true
			}
			content = rest
		}
		markers += len(want)
		entries, err := left.List("data/t-0")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name, ".txnindex") {
				continue
			}
			f, err := left.OpenReadOnly("data/t-0/" + e.Name)
			if err != nil {
				t.Fatal(err)
			}
			data := make([]byte, e.Size)
			if _, err := f.ReadAt(data, 0); err != nil {
				t.Fatal(err)
			}
			for ; len(data) > 0; data = data[producerstate.TxnIndexEntrySize:] {
				done, err := producerstate.ParseTxnIndexEntry(data)
				if err != nil || !want[done.LastOffset] || done.FirstOffset != done.LastOffset-1 {
					t.Fatalf("disk %d: %s has %+v: %v", seed, e.Name, done, err)
				}
				delete(want, done.LastOffset)
			}
			f.Close()
		}
		if len(want) > 0 {
			t.Errorf("disk %d: aborts without an entry: %v", seed, want)
		}
		s.Close()
	}
	if markers < 6*powerCuts+10 { // six of each disk were flushed
		t.Errorf("only %d aborts survived on %d disks", markers, powerCuts)
	}
}
