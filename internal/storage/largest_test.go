package storage_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

// What recovery reads lies above the recovery point, also where the records' timestamps do not grow, and it finds the same timestamps as one that reads all.
func TestRecoveryReadsLittleWhateverTheTimestamps(t *testing.T) {
	const interval, large = 4096, 3 << 20
	for name, timestamp := range map[string]func(i int) int64{
		"growing":   func(i int) int64 { return int64(1000 + i) },
		"all alike": func(int) int64 { return 1000 },
		"falling":   func(i int) int64 { return int64(1_000_000 - i) },
		"one from the future": func(i int) int64 {
			if i == 3 {
				return 9_000_000
			}
			return int64(1000 + i)
		},
	} {
		t.Run(name, func(t *testing.T) {
			disk := killedAbove(t, large, timestamp)
			without := disk.Crash()
			if _, err := without.Stat("data/ottla.largest-timestamps"); err == nil {
				if err := errors.Join(without.Remove("data/ottla.largest-timestamps"), without.SyncDir("data")); err != nil {
					t.Fatal(err)
				}
			} else if name != "growing" {
				t.Fatal(err)
			}
			with, scanned := recovered(t, disk)
			if scanned > 100<<10+2*interval {
				t.Errorf("%d bytes were scanned", scanned)
			}
			if want, _ := recovered(t, without); want != with {
				t.Errorf("with the file %s", cmp.Diff(want, with))
			}
			if _, again := recovered(t, disk); again > 2*interval {
				t.Errorf("killed again, soon after: %d bytes were scanned", again)
			}
		})
	}
}

// killedAbove is the disk of a log of some bytes whose last few are above the recovery point.
func killedAbove(t *testing.T, size int64, timestamp func(i int) int64) *vfs.Mem {
	disk := vfs.NewMem(5)
	sim := run.NewSim(1)
	var left *vfs.Mem
	sim.Run(func() {
		s, err := storage.Open(storage.Config{FS: disk, Env: sim, Dirs: []string{"data"}, NodeID: 1, CheckpointBytes: 1 << 40, CheckpointMs: 1000, RetentionCheckMs: 1 << 40})
		if err != nil {
			t.Error(err)
			return
		}
		l, err := s.OpenLog(tp0, topicID, storage.LogConfig{})
		if err != nil {
			t.Error(err)
			return
		}
		w := waitOn(sim, l)
		for i := 0; l.Size() < size; i++ {
			mustAppend(t, l, makeBatch(t, 2, 500, timestamp(i)), 0)
		}
		if err := w.flush(l); err != nil {
			t.Error(err)
		}
		sim.NewSignal().WaitFor(2 * time.Second) // the checkpoint
		for i := range 20 {
			mustAppend(t, l, makeBatch(t, 2, 500, timestamp(100_000+i)), 0)
		}
		if err := w.flush(l); err != nil {
			t.Error(err)
		}
		if err := disk.SyncFS("data"); err != nil { // a kill takes nothing from the page cache, which a power cut does
			t.Error(err)
		}
		left = disk.Crash()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return left
}

// timesFound is what a log says of its timestamps, and the last of them once it is rolled.
type timesFound struct {
	Max, At1000, AtFuture, AfterAll storage.FoundOffset
	End                             ids.Offset
}

// recovered opens the log as a killed process' successor, and leaves the disk as this one's kill would, a while later.
func recovered(t *testing.T, disk *vfs.Mem) (found timesFound, scanned int64) {
	t.Helper()
	sim := run.NewSim(2)
	sim.Run(func() {
		s, err := storage.Open(storage.Config{FS: disk, Env: sim, Dirs: []string{"data"}, NodeID: 1, CheckpointMs: 1000, RetentionCheckMs: 1 << 40,
			Events: storage.Events{Recovered: func(r storage.Recovery) { scanned = r.ScannedBytes }}})
		if err != nil {
			t.Error(err)
			return
		}
		l, err := s.OpenLog(tp0, topicID, storage.LogConfig{})
		if err != nil {
			t.Error(err)
			return
		}
		found.End = l.LogEnd()
		for ts, to := range map[int64]*storage.FoundOffset{1000: &found.At1000, 9_000_000: &found.AtFuture, 9_000_001: &found.AfterAll} {
			if *to, _, err = l.OffsetForTimestamp(ts, l.LogEnd()); err != nil {
				t.Error(err)
			}
		}
		if found.Max, _, err = l.MaxTimestamp(l.LogEnd()); err != nil {
			t.Error(err)
		}
		sim.NewSignal().WaitFor(2 * time.Second)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := errors.Join(disk.Remove("data/.kafka_cleanshutdown"), disk.Remove(manifestPath), disk.SyncDir("data")); err != nil {
			t.Error(err)
		}
	})
	return found, scanned
}

// Whatever bytes the file has, the log is recovered.
func TestDamagedLargestTimestamps(t *testing.T) {
	const path = "data/ottla.largest-timestamps"
	disk := killedAbove(t, 1200<<10, func(int) int64 { return 1000 })
	good := contents(t, disk, path)
	want, _ := recovered(t, disk.Crash())
	random := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		left := disk.Crash()
		bad := bytes.Clone(good)
		bad[random.IntN(len(bad))] ^= byte(1 + random.IntN(255))
		put(t, left, path, bad[:len(bad)-random.IntN(2)*random.IntN(len(bad))])
		if got, scanned := recovered(t, left); got != want || scanned < 1<<20 {
			t.Fatalf("%s, and %d bytes were scanned", cmp.Diff(want, got), scanned)
		}
	}
}
