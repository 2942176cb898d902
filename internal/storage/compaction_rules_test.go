package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
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

// cleanRig is a store in simulated time whose compactions are noted.
type cleanRig struct {
	t           *testing.T
	env         *run.Sim
	disk        *vfs.Mem
	faults      *vfs.Fault
	store       *storage.Store
	log         *storage.Log
	rounds      []storage.Compaction
	uncleanable []error
	corrupt     []*storage.CorruptError
	problems    []string
}

// withCleaner runs body on a log of small segments.
func withCleaner(t *testing.T, cfg storage.LogConfig, cleaner storage.CleanerConfig, body func(r *cleanRig)) {
	t.Helper()
	sim := run.NewSim(1)
	sim.Run(func() {
		disk := vfs.NewMem(1)
		r := &cleanRig{t: t, env: sim, disk: disk, faults: vfs.NewFault(disk)}
		if cleaner.BackoffMs == 0 {
			cleaner.BackoffMs = 100
		}
		var err error
		r.store, err = storage.Open(storage.Config{FS: r.faults, Env: sim, Dirs: []string{"data"}, NodeID: 1, CheckpointBytes: 1, CheckpointMs: 10,
			RetentionCheckMs: 500, Cleaner: cleaner, Events: storage.Events{
				Compacted:   func(c storage.Compaction) { r.rounds = append(r.rounds, c) },
				Uncleanable: func(_ ids.TopicPartition, err error) { r.uncleanable = append(r.uncleanable, err) },
				Corrupt:     func(err *storage.CorruptError) { r.corrupt = append(r.corrupt, err) },
				Problem:     func(what string, err error) { r.problems = append(r.problems, what+": "+err.Error()) },
			}})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Compact = true
		if cfg.SegmentBytes == 0 {
			cfg.SegmentBytes = 2000
		}
		r.log = openLog(t, r.store, cfg)
		body(r)
		if err := r.store.Close(); err != nil {
			t.Error(err)
		}
	})
}

// put appends one record; a nil value is a tombstone.
func (r *cleanRig) put(key string, value []byte) ids.Offset {
	r.t.Helper()
	b := record.NewBuilder(record.None, record.DefaultLevel)
	b.Append(r.env.Now().UnixMilli(), []byte(key), value)
	return r.append(b)
}

func (r *cleanRig) append(b *record.Builder) ids.Offset {
	r.t.Helper()
	batch, err := b.Build()
	if err != nil {
		r.t.Fatal(err)
	}
	a, err := r.log.Append(batch, 1, r.env.Now().UnixMilli())
	if err != nil {
		r.t.Fatal(err)
	}
	return a.BaseOffset
}

// fill appends records of a few keys until there are n more segments.
func (r *cleanRig) fill(n int) {
	r.t.Helper()
	for i, want := 0, r.log.Segments()+n; r.log.Segments() < want; i++ {
		r.put(fmt.Sprintf("filler %d", i%3), bytes.Repeat([]byte("f"), 150))
	}
}

// settle makes what there is durable and waits.
func (r *cleanRig) settle(d time.Duration) {
	r.t.Helper()
	if err := waitOn(r.env, r.log).flush(r.log); err != nil {
		r.t.Fatal(err)
	}
	r.log.SetHighWatermark(r.log.LogEnd())
	r.env.NewSignal().WaitFor(d)
}

// left are the offsets that are left of one key, and those of control records.
func (r *cleanRig) left(key string) (offsets, markers []ids.Offset) {
	r.t.Helper()
	data, err := readAll(r.log, r.log.LogStart(), r.log.LogEnd(), 1<<20)
	if err != nil {
		r.t.Fatal(err)
	}
	for len(data) > 0 {
		b, rest, err := record.Next(data)
		if err != nil {
			r.t.Fatal(err)
		}
		data = rest
		it := b.Records(record.Limits{})
		for it.Next() {
			if b.IsControl() {
				markers = append(markers, it.Record().Offset)
			} else if string(it.Record().Key) == key {
				offsets = append(offsets, it.Record().Offset)
			}
		}
		it.Close()
	}
	return offsets, markers
}

// TestTombstonesStayForTheirTime: delete.retention.ms counts from the first compaction that sees one.
func TestTombstonesStayForTheirTime(t *testing.T) {
	withCleaner(t, storage.LogConfig{DeleteRetentionMs: 10_000}, storage.CleanerConfig{}, func(r *cleanRig) {
		r.put("k", []byte("v"))
		at := r.put("k", nil)
		r.settle(20 * time.Second) // in the active segment no time counts
		r.fill(2)
		r.settle(9 * time.Second)
		r.fill(1)
		r.settle(500 * time.Millisecond)
		if got, _ := r.left("k"); !slices.Equal(got, []ids.Offset{at}) {
			t.Errorf("before its time %v are left, want the tombstone at %d", got, at)
		}
		r.settle(time.Second)
		if got, _ := r.left("k"); !slices.Equal(got, []ids.Offset{at}) {
			t.Errorf("without a compaction after its time %v are left, want the tombstone at %d", got, at)
		}
		r.fill(1)
		r.settle(time.Second)
		if got, _ := r.left("k"); len(got) != 0 {
			t.Errorf("after its time %v are left", got)
		}
	})
}

// TestMarkersOutliveTheirRecords: aborted records go at once, their marker with the first compaction that finds none of them and gives it a time, and only then; the
// records of a committed transaction stay, and so does their marker.
func TestMarkersOutliveTheirRecords(t *testing.T) {
	withCleaner(t, storage.LogConfig{DeleteRetentionMs: 5_000}, storage.CleanerConfig{}, func(r *cleanRig) {
		transaction := func(id ids.ProducerID, key string, kind record.ControlType) (data, marker ids.Offset) {
			b := record.NewBuilder(record.None, record.DefaultLevel)
			b.Producer(id, 0, 0)
			b.Transactional()
			b.Append(r.env.Now().UnixMilli(), []byte(key), []byte("v"))
			data = r.append(b)
			a, err := r.log.Append(record.EndTransactionMarker(id, 0, record.EndTransaction{Type: kind, CoordinatorEpoch: 1}, r.env.Now().UnixMilli()), 1, 0)
			if err != nil {
				t.Fatal(err)
			}
			return data, a.BaseOffset
		}
		kept, keptMarker := transaction(1, "kept", record.ControlCommit)
		_, goneMarker := transaction(2, "gone", record.ControlAbort)
		for id := range ids.ProducerID(2) { // so that neither batch is its producer's last
			b := record.NewBuilder(record.None, record.DefaultLevel)
			b.Producer(id+1, 0, 1)
			b.Append(r.env.Now().UnixMilli(), []byte("later"), []byte("v"))
			r.append(b)
		}
		for _, step := range []struct {
			markers []ids.Offset
			wait    time.Duration
		}{
			{[]ids.Offset{keptMarker, goneMarker}, time.Second},     // the records go
			{[]ids.Offset{keptMarker, goneMarker}, time.Second},     // the marker has none, and gets its time
			{[]ids.Offset{keptMarker, goneMarker}, time.Second},     // not yet
			{[]ids.Offset{keptMarker, goneMarker}, 2 * time.Second}, // a time that counted from the first compaction would be over
			{[]ids.Offset{keptMarker}, time.Second},                 // now
		} {
			rounds := len(r.rounds)
			r.fill(2)
			r.settle(time.Second)
			if len(r.rounds) == rounds {
				t.Fatal("no compaction")
			}
			if aborted, markers := r.left("gone"); len(aborted) != 0 || !slices.Equal(markers, step.markers) {
				t.Errorf("after %d compactions the aborted records %v and the markers %v are left, want %v", len(r.rounds), aborted, markers, step.markers)
			}
			if committed, _ := r.left("kept"); !slices.Equal(committed, []ids.Offset{kept}) {
				t.Errorf("of the committed record at %d %v are left", kept, committed)
			}
			r.settle(step.wait)
		}
	})
}

// TestRegionOutlivesCompaction holds invariant 7 where segments are swapped: a reader gets the bytes that it began to read, and the aborted transactions that
// are theirs.
func TestRegionOutlivesCompaction(t *testing.T) {
	withCleaner(t, storage.LogConfig{FileDeleteDelayMs: 0}, storage.CleanerConfig{}, func(r *cleanRig) {
		for _, b := range abortedTransaction(t, 9, 1) {
			if _, err := r.log.Append(b, 1, 1); err != nil {
				t.Fatal(err)
			}
		}
		later := record.NewBuilder(record.None, record.DefaultLevel)
		later.Producer(9, 0, 1)
		later.Append(1, []byte("later"), nil)
		r.append(later) // so that nothing keeps the aborted batch
		r.fill(1)
		end := r.log.LogEnd()
		if err := waitOn(r.env, r.log).flush(r.log); err != nil {
			t.Fatal(err)
		}
		region, err := r.log.Read(0, end, 1<<20, true)
		if err != nil {
			t.Fatal(err)
		}
		source, position := region.Source()
		before := make([]byte, region.Size())
		if _, err := source.ReadAt(before, position); err != nil {
			t.Fatal(err)
		}
		r.fill(2)
		r.settle(time.Second)
		r.fill(2)
		r.settle(time.Second)
		if len(r.rounds) < 2 {
			t.Fatalf("%d compactions", len(r.rounds))
		}
		now, err := readAll(r.log, 0, end, 1<<20)
		if err != nil || bytes.HasPrefix(now, before) {
			t.Fatalf("the log still has what the region has (%v)", err)
		}
		after := make([]byte, region.Size())
		if _, err := source.ReadAt(after, position); err != nil || !bytes.Equal(before, after) {
			t.Errorf("the region has other bytes after a compaction (%v)", err)
		}
		var aborted []ids.ProducerID
		if err := r.log.Aborted(&region, 0, func(c producerstate.Completed) { aborted = append(aborted, c.ProducerID) }); err != nil || !slices.Equal(aborted, []ids.ProducerID{9}) {
			t.Errorf("the region's aborted transactions are those of producers %v (%v), want 9", aborted, err)
		}
		region.Release()
	})
}

// TestUncleanableLog: damage below the recovery point ends the compaction of that log, once; it is served as before.
func TestUncleanableLog(t *testing.T) {
	withCleaner(t, storage.LogConfig{}, storage.CleanerConfig{}, func(r *cleanRig) {
		r.fill(1)
		r.settle(0)
		const name = "data/t-0/00000000000000000000.log"
		f, err := r.disk.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{0xff}, 100); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		r.fill(2)
		r.settle(10 * time.Second)
		if len(r.uncleanable) != 1 || len(r.corrupt) != 1 || len(r.rounds) != 0 {
			t.Fatalf("%d reports that it is uncleanable (%v), %d of damage, %d compactions", len(r.uncleanable), r.uncleanable, len(r.corrupt), len(r.rounds))
		}
		if c := r.corrupt[0]; c.File != name || c.Position != 0 {
			t.Errorf("the damage is said to be in %s at %d", c.File, c.Position)
		}
		if stats := r.store.Cleaner(); stats.Logs != 1 || stats.Uncleanable != 1 || stats.UncleanableBytes != r.log.Size() {
			t.Errorf("%+v", stats)
		}
		if r.log.Err() != nil || r.put("k", []byte("v")) < 0 {
			t.Errorf("the log does not serve any more: %v", r.log.Err())
		}
		for _, name := range r.names() {
			if strings.HasSuffix(name, ".cleaned") {
				t.Errorf("%s was left", name)
			}
		}
	})
}

func (r *cleanRig) names() (names []string) {
	entries, err := r.disk.List("data/t-0")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return names
}

// TestCompactionSurvivesTheDisk: whatever fails in the middle, the log keeps all that it had, is compacted later or not at all, and what a start finds is whole.
func TestCompactionSurvivesTheDisk(t *testing.T) {
	for _, fault := range []struct {
		rule    vfs.Rule
		again   bool // it is compacted later
		offline bool
	}{
		{vfs.Rule{Op: vfs.OpWrite, Glob: "*.cleaned", Limit: 1, Action: vfs.FailNoSpace}, true, false},
		{vfs.Rule{Op: vfs.OpWrite, Glob: "*.log.cleaned", Limit: 1, Action: vfs.ShortWrite}, false, false},
		{vfs.Rule{Op: vfs.OpCreate, Glob: "*.timeindex.cleaned", Limit: 2, Action: vfs.FailIO}, false, false},
		{vfs.Rule{Op: vfs.OpRename, Glob: "*.timeindex.cleaned", Limit: 1, Action: vfs.FailIO}, false, false},
		{vfs.Rule{Op: vfs.OpRename, Glob: "*.log.cleaned", Limit: 1, Action: vfs.FailIO}, false, false},
		{vfs.Rule{Op: vfs.OpRename, Glob: "*.log.swap", Limit: 1, Action: vfs.FailIO}, false, true},
		{vfs.Rule{Op: vfs.OpRename, Glob: "*.index.swap", Limit: 1, Action: vfs.FailIO}, false, true},
		{vfs.Rule{Op: vfs.OpSync, Glob: "*.log.cleaned", Limit: 1, Action: vfs.FailIO}, false, true},
		{vfs.Rule{Op: vfs.OpSync, Glob: "*.index.cleaned", Limit: 1, Action: vfs.FailIO}, false, true},
		{vfs.Rule{Op: vfs.OpWrite, Glob: "cleaner-offset-checkpoint*", Limit: 1, Action: vfs.FailNoSpace}, true, false},
	} {
		t.Run(fmt.Sprint(fault.rule.Op, fault.rule.Glob, fault.rule.Action), func(t *testing.T) {
			withCleaner(t, storage.LogConfig{}, storage.CleanerConfig{}, func(r *cleanRig) {
				r.fill(3)
				r.put("k", []byte("v"))
				rule := r.faults.Add(fault.rule)
				r.settle(5 * time.Second)
				if hits := rule.Hits(); hits == 0 {
					t.Fatal("the fault was never met")
				}
				if again := len(r.rounds) > 0; again != fault.again {
					t.Errorf("compacted later: %v, want %v (%v, %v)", again, fault.again, r.uncleanable, r.problems)
				}
				if offline := r.log.Err() != nil; offline != fault.offline {
					t.Errorf("offline: %v (%v), want %v", offline, r.log.Err(), fault.offline)
				}
				if !fault.again && !fault.offline && len(r.uncleanable) != 1 {
					t.Errorf("reported as uncleanable: %v", r.uncleanable)
				}
				if fault.offline {
					var offline *storage.OfflineError
					if !errors.As(r.log.Err(), &offline) {
						t.Errorf("offline with %v", r.log.Err())
					}
				} else {
					r.checkFillers(r.log)
				}
				left := r.disk.Crash()
				sim := run.NewSim(2)
				sim.Run(func() {
					store, err := storage.Open(storage.Config{FS: left, Env: sim, Dirs: []string{"data"}, NodeID: 1})
					if err != nil {
						t.Fatal(err)
					}
					r.checkFillers(openLog(t, store, r.log.Config()))
					if err := store.Close(); err != nil {
						t.Error(err)
					}
				})
			})
		})
	}
}

// checkFillers: the newest record of each key is there.
func (r *cleanRig) checkFillers(l *storage.Log) {
	r.t.Helper()
	other := *r
	other.log = l
	for _, key := range []string{"filler 0", "filler 1", "filler 2", "k"} {
		if offsets, _ := other.left(key); len(offsets) == 0 {
			r.t.Errorf("nothing is left of %q", key)
		}
	}
}

// TestCompactionLags: min.compaction.lag.ms keeps records for a while, max.compaction.lag.ms has them compacted although few bytes are dirty.
func TestCompactionLags(t *testing.T) {
	withCleaner(t, storage.LogConfig{MinCompactionLagMs: 10_000}, storage.CleanerConfig{}, func(r *cleanRig) {
		r.fill(3)
		r.settle(9 * time.Second)
		if len(r.rounds) > 0 {
			t.Errorf("compacted before min.compaction.lag.ms: %+v", r.rounds)
		}
		r.settle(2 * time.Second)
		if len(r.rounds) != 1 {
			t.Errorf("%d compactions after min.compaction.lag.ms", len(r.rounds))
		}
	})
	withCleaner(t, storage.LogConfig{MinCleanableRatio: 1, MaxCompactionLagMs: 10_000}, storage.CleanerConfig{}, func(r *cleanRig) {
		r.fill(3)
		r.settle(9 * time.Second)
		if len(r.rounds) > 0 {
			t.Errorf("compacted before max.compaction.lag.ms: %+v", r.rounds)
		}
		r.settle(2 * time.Second)
		if len(r.rounds) != 1 {
			t.Errorf("%d compactions after max.compaction.lag.ms", len(r.rounds))
		}
		segments := r.log.Segments()
		r.settle(11 * time.Second)
		r.put("k", []byte("v"))
		if r.log.Segments() != segments+1 {
			t.Errorf("an active segment older than max.compaction.lag.ms was not rolled")
		}
	})
}

// TestDirtyRatio: a log is compacted once more than min.cleanable.dirty.ratio of it is dirty.
func TestDirtyRatio(t *testing.T) {
	withCleaner(t, storage.LogConfig{MinCleanableRatio: 0.5}, storage.CleanerConfig{}, func(r *cleanRig) {
		for i := range 60 { // of which nothing can go
			r.put(fmt.Sprintf("k%d", i), bytes.Repeat([]byte("v"), 150))
		}
		r.settle(time.Second)
		if len(r.rounds) != 1 {
			t.Fatalf("%d compactions of a log that is all dirty", len(r.rounds))
		}
		clean := r.log.Segments() - 1
		for n := 1; n < clean-1; n++ {
			r.fill(1)
			r.settle(time.Second)
		}
		if len(r.rounds) != 1 {
			t.Errorf("%d compactions below the ratio of %v", len(r.rounds), r.store.Cleaner().MaxDirtyRatio)
		}
		r.fill(3)
		r.settle(time.Second)
		if len(r.rounds) != 2 {
			t.Errorf("%d compactions above the ratio (%v)", len(r.rounds), r.store.Cleaner().MaxDirtyRatio)
		}
	})
}

// TestCompactAndDelete: with both policies old segments go whole, also those that compaction has emptied.
func TestCompactAndDelete(t *testing.T) {
	withCleaner(t, storage.LogConfig{Delete: true, RetentionMs: 60_000, RetentionBytes: -1}, storage.CleanerConfig{}, func(r *cleanRig) {
		r.fill(6)
		first := r.put("k", []byte("v"))
		r.fill(2)
		r.settle(2 * time.Second)
		if len(r.rounds) == 0 || r.log.LogStart() != 0 {
			t.Fatalf("%d compactions, log start %d", len(r.rounds), r.log.LogStart())
		}
		if offsets, _ := r.left("k"); !slices.Equal(offsets, []ids.Offset{first}) {
			t.Fatalf("%v are left of k", offsets)
		}
		r.settle(70 * time.Second)
		if start := r.log.LogStart(); start != r.log.LogEnd() {
			t.Errorf("the log starts at %d after retention.ms, want its end, %d", start, r.log.LogEnd())
		}
	})
}

// TestCompactionKeepsToItsRate: log.cleaner.io.max.bytes.per.second.
func TestCompactionKeepsToItsRate(t *testing.T) {
	const rate = 2_000
	withCleaner(t, storage.LogConfig{}, storage.CleanerConfig{MaxBytesPerSecond: rate, BufferBytes: 1}, func(r *cleanRig) {
		r.fill(20)
		dirty := r.log.Size()
		r.settle(0)
		began := r.env.Monotonic()
		for len(r.rounds) == 0 && r.env.Monotonic()-began < 10*time.Minute {
			r.env.NewSignal().WaitFor(time.Second)
		}
		took := r.env.Monotonic() - began
		least := time.Duration(dirty * 2 * int64(time.Second) / rate)
		if len(r.rounds) == 0 || took < least*8/10 || took > least*2 {
			t.Errorf("%d bytes at %d a second, read twice and in part written, took %v in %d compactions, want about %v", dirty, rate, took, len(r.rounds), least)
		}
	})
}

// TestCleanerOff: log.cleaner.enable=false; SetCleaner begins later.
func TestCleanerOff(t *testing.T) {
	withCleaner(t, storage.LogConfig{}, storage.CleanerConfig{Off: true}, func(r *cleanRig) {
		r.fill(3)
		r.settle(10 * time.Second)
		if len(r.rounds) != 0 {
			t.Error("compacted although it is off")
		}
		r.store.SetCleaner(storage.CleanerConfig{BackoffMs: 100})
		r.settle(time.Second)
		if len(r.rounds) != 1 {
			t.Errorf("%d compactions after it was switched on", len(r.rounds))
		}
	})
}

// TestDeleteDuringCompaction: a topic may be deleted, and made again, at any moment; nothing of the compaction appears in the new one.
func TestDeleteDuringCompaction(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	for n := range 40 {
		withCleaner(t, storage.LogConfig{}, storage.CleanerConfig{MaxBytesPerSecond: 20_000, BufferBytes: 1, BackoffMs: 10}, func(r *cleanRig) {
			r.fill(4)
			r.settle(time.Duration(random.IntN(1500)) * time.Millisecond)
			if err := r.store.DeleteLogs(storage.LogName{Topic: tp0, ID: topicID}); err != nil {
				t.Fatal(err)
			}
			next := topicID
			next[0]++
			var err error
			if r.log, err = r.store.OpenLog(tp0, next, r.log.Config()); err != nil {
				t.Fatal(err)
			}
			at := r.put("new", []byte("v"))
			r.settle(5 * time.Second)
			if offsets, _ := r.left("new"); !slices.Equal(offsets, []ids.Offset{at}) || r.log.Segments() != 1 || r.log.Err() != nil {
				t.Errorf("run %d: the new topic has %v in %d segments: %v", n, offsets, r.log.Segments(), r.log.Err())
			}
			for _, name := range r.names() {
				if strings.HasSuffix(name, ".cleaned") || strings.HasSuffix(name, ".swap") {
					t.Errorf("run %d: the new topic's directory has %s", n, name)
				}
			}
			if len(r.uncleanable) > 0 || len(r.problems) > 0 {
				t.Errorf("run %d: %v %v", n, r.uncleanable, r.problems)
			}
		})
	}
}

// TestTruncationMakesDirty: what is appended where a compacted part was cut off is compacted like all else.
func TestTruncationMakesDirty(t *testing.T) {
	withCleaner(t, storage.LogConfig{}, storage.CleanerConfig{}, func(r *cleanRig) {
		r.fill(3)
		r.settle(time.Second)
		if len(r.rounds) != 1 {
			t.Fatalf("%d compactions", len(r.rounds))
		}
		r.log.SetHighWatermark(0)
		if err := r.log.TruncateTo(2); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			r.put("again", []byte("v"))
		}
		r.fill(5)
		r.settle(time.Second)
		if offsets, _ := r.left("again"); len(offsets) != 1 {
			t.Errorf("%v are left of one key, after %+v", offsets, r.rounds)
		}
	})
}
