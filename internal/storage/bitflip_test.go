package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

// files is a data directory as bytes.
type files map[string][]byte

func readFiles(t *testing.T, fs vfs.FS, dir string, into files) {
	t.Helper()
	entries, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := dir + "/" + e.Name
		if e.IsDir {
			readFiles(t, fs, name, into)
			continue
		}
		f, err := fs.OpenReadOnly(name)
		if err != nil {
			t.Fatal(err)
		}
		into[name] = make([]byte, e.Size)
		if n, err := f.ReadAt(into[name], 0); n < len(into[name]) {
			t.Fatal(err)
		}
		f.Close()
	}
}

func (f files) disk(t *testing.T) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem(1)
	for name, data := range f {
		if err := mem.MkdirAll(path.Dir(name)); err != nil {
			t.Fatal(err)
		}
		file, err := mem.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(data, 0); err != nil {
			t.Fatal(err)
		}
		file.Close()
	}
	return mem
}

// flipRig is a small log with something of everything, and what is true of it.
type flipRig struct {
	t       *testing.T
	batches []record.Batch
	times   map[int64]ids.Offset // of every record: the first offset with that timestamp or a later one
	aborted []producerstate.Completed
	epochs  map[ids.LeaderEpoch]ids.Offset // where they end
	// Directories after a clean stop, with and without the manifest; the same without the mark of it; and as a kill -9 before the first checkpoint leaves it.
	states map[string]files
}

var flipConfig = storage.LogConfig{SegmentBytes: 900, IndexIntervalBytes: 150}

func newFlipRig(t *testing.T) *flipRig {
	t.Helper()
	r := &flipRig{t: t, times: make(map[int64]ids.Offset), epochs: make(map[ids.LeaderEpoch]ids.Offset), states: make(map[string]files)}
	mem := vfs.NewMem(1)
	s, err := storage.Open(storage.Config{FS: mem, Env: run.OS(), Dirs: []string{"data"}, NodeID: 1, CheckpointMs: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	l := openLog(t, s, flipConfig)
	w := waitOn(run.OS(), l)
	stamp, sequence := int64(1_000), int32(0)
	for round := range 5 {
		epoch := ids.LeaderEpoch([]int{2, 2, 5, 5, 8}[round])
		plain := makeBatch(t, 3, 30, stamp)
		b := record.NewBuilder(record.Gzip, record.DefaultLevel)
		b.Producer(1, 0, sequence)
		sequence += 2
		b.Append(stamp+10, []byte("key"), []byte("compressed"))
		b.Append(stamp+12, nil, []byte("more"))
		idempotent, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		aborted := abortedTransaction(t, ids.ProducerID(10+round), stamp+5)
		for _, b := range []record.Batch{plain, aborted[0], idempotent, aborted[1]} {
			mustAppend(t, l, b, epoch)
			r.batches = append(r.batches, bytes.Clone(b))
		}
		r.epochs[epoch] = l.LogEnd()
		stamp += 100
	}
	if err := w.flush(l); err != nil {
		t.Fatal(err)
	}
	if r.aborted, err = allAborted(t, l); err != nil || len(r.aborted) != 5 {
		t.Fatal(r.aborted, err)
	}
	if n := l.Segments(); n < 3 {
		t.Fatalf("%d segments", n)
	}
	for _, b := range slices.Backward(r.batches) {
		for it := b.Records(record.Limits{}); it.Next(); {
			r.times[it.Record().TimestampMs] = it.Record().Offset
		}
	}
	l.SetHighWatermark(l.LogEnd())
	early, clean := make(files), make(files)
	readFiles(t, mem, "data", early)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	readFiles(t, mem, "data", clean)
	killed := maps.Clone(clean)
	delete(killed, "data/.kafka_cleanshutdown")
	plain := maps.Clone(clean)
	delete(plain, manifestPath)
	delete(killed, manifestPath)
	if len(clean[manifestPath]) < 50 {
		t.Fatal("the manifest says nothing of the log")
	}
	r.states = map[string]files{"clean": clean, "without manifest": plain, "killed": killed, "early": early}
	return r
}

// from is all bytes of the batches from the one on that holds offset.
func (r *flipRig) from(offset ids.Offset) []byte {
	i := slices.IndexFunc(r.batches, func(b record.Batch) bool { return b.NextOffset() > offset })
	if i < 0 {
		return nil
	}
	return bytes.Join(toBytes(r.batches[i:]), nil)
}

func toBytes(batches []record.Batch) (out [][]byte) {
	for _, b := range batches {
		out = append(out, b)
	}
	return out
}

// observe opens a disk and does everything that a log can do. It returns all that was not true; refusals are none.
func (r *flipRig) observe(disk *vfs.Mem, early bool) (wrong []string) {
	not := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	s, err := storage.Open(storage.Config{FS: disk, Env: run.OS(), Dirs: []string{"data"}, NodeID: 1})
	if err != nil {
		if refused := new(storage.RefusedError); !errors.As(err, &refused) {
			not("open: %v", err)
		}
		return wrong
	}
	defer func() {
		if err := s.Close(); err != nil {
			not("close: %v", err)
		}
	}()
	l, err := s.OpenLog(tp0, topicID, flipConfig)
	if err != nil {
		if corrupt := new(storage.CorruptError); !errors.As(err, &corrupt) {
			not("open log: %v", err)
		}
		return wrong
	}
	end := r.batches[len(r.batches)-1].NextOffset()
	if l.LogEnd() != end && !(early && l.LogEnd() < end) {
		not("end: %d", l.LogEnd())
	}
	if l.LogStart() != 0 {
		not("start: %d", l.LogStart())
	}
	whole := r.reads(l, not)
	r.lookups(l, min(end, l.LogEnd()), not)
	if !whole || len(wrong) > 0 {
		return wrong
	}
	r.appends(l, not)
	return wrong
}

// corruptRead tells an error that reports damage.
func corruptRead(err error) bool {
	corrupt := new(storage.CorruptError)
	return errors.As(err, &corrupt)
}

// reads reads from every offset, with several sizes. whole tells that nothing was refused.
func (r *flipRig) reads(l *storage.Log, not func(string, ...any)) (whole bool) {
	whole = true
	end := l.LogEnd()
	for _, size := range []int{1, 300} {
		for offset := ids.Offset(0); offset < end; offset++ {
			region, err := l.Read(offset, end, size, true)
			if corruptRead(err) {
				whole = false
				continue
			}
			if err != nil {
				not("read: at %d: %v", offset, err)
				continue
			}
			got := regionBytes(r.t, &region)
			region.Release()
			if len(got) < record.HeaderSize || !bytes.HasPrefix(r.from(offset), got) {
				not("read: at %d: %d bytes are not what was written", offset, len(got))
			}
		}
	}
	return whole
}

func (r *flipRig) lookups(l *storage.Log, end ids.Offset, not func(string, ...any)) {
	for timestamp, offset := range r.times {
		found, ok, err := l.OffsetForTimestamp(timestamp, end)
		switch {
		case corruptRead(err):
		case err != nil || ok && (found.Offset != offset || found.TimestampMs != timestamp) || ok != (offset < end):
			not("time: %d is found at %+v %v %v, not at %d", timestamp, found, ok, err, offset)
		}
	}
	start := ids.Offset(0)
	for _, epoch := range slices.Sorted(maps.Keys(r.epochs)) {
		want := min(r.epochs[epoch], end)
		if at, got := l.EndOffsetForEpoch(epoch); start < end && (at != epoch || got != want) {
			not("epoch: %d ends at %d of epoch %d, not at %d", epoch, got, at, want)
		}
		start = want
	}
	aborted, err := allAborted(r.t, l)
	want := slices.DeleteFunc(slices.Clone(r.aborted), func(e producerstate.Completed) bool { return e.LastOffset >= end })
	if err == nil && !slices.Equal(aborted, want) || err != nil && !corruptRead(err) {
		not("aborted: %v %v", aborted, err)
	}
}

// allAborted reads the whole log, and names the transactions that were aborted.
func allAborted(t *testing.T, l *storage.Log) (all []producerstate.Completed, err error) {
	for from := ids.Offset(0); from < l.LogEnd(); {
		region, err := l.Read(from, l.LogEnd(), 1<<20, true)
		if err != nil {
			return nil, err
		}
		err = l.Aborted(&region, from, func(e producerstate.Completed) {
			if !slices.Contains(all, e) {
				all = append(all, e)
			}
		})
		if err != nil {
			region.Release()
			return nil, err
		}
		for rest := regionBytes(t, &region); len(rest) > 0; {
			var b record.Batch
			if b, rest, err = record.Next(rest); err != nil {
				region.Release()
				return nil, err
			}
			from = b.NextOffset()
		}
		region.Release()
	}
	return all, nil
}

// appends appends what is a duplicate, and what is new, and reads it back.
func (r *flipRig) appends(l *storage.Log, not func(string, ...any)) {
	end := l.LogEnd()
	sent := slices.IndexFunc(r.batches, func(b record.Batch) bool { return b.ProducerID() == 1 && b.NextOffset() > end-12 })
	if b := r.batches[sent]; b.NextOffset() <= end {
		a, err := l.Append(bytes.Clone(b), 8, 0)
		if err != nil || !a.Duplicate || a.BaseOffset != b.BaseOffset() {
			not("duplicate: %+v %v", a, err)
		}
	}
	b := makeBatch(r.t, 2, 30, 5_000)
	a, err := l.Append(b, 8, 0)
	if err != nil || a.BaseOffset != end {
		not("append: %+v %v", a, err)
		return
	}
	if got, err := readAll(l, end, l.LogEnd(), 1<<20); err != nil || !bytes.Equal(got, b) {
		not("append: read back %d bytes: %v", len(got), err)
	}
}

// exception is a flip that is not noticed.
type exception struct {
	what  string
	wrong string // the kind of untruth
	is    func(r *flipRig, state, name string, at int) bool
}

// uncovered are the bits that no checksum covers and nothing else tells, with what comes of a flip. Every other flip is refused, cut away where it cannot be told
// from a torn write, or harmless.
var uncovered = []exception{
	{"a leader epoch above the recovery point that leaves epochs rising: fetched with its batch", "read",
		func(r *flipRig, state, name string, at int) bool {
			return state == "early" && strings.HasSuffix(name, ".log") && r.isEpoch(name, at)
		}},
	{"a leader epoch above the recovery point, in an answer about epochs", "epoch",
		func(r *flipRig, state, name string, at int) bool {
			return state == "early" && strings.HasSuffix(name, ".log") && r.isEpoch(name, at)
		}},
	{"a digit of leader-epoch-checkpoint that leaves epochs rising: OffsetForLeaderEpoch is wrong, until a fetch of the batches in between is refused", "epoch",
		func(_ *flipRig, state, name string, _ int) bool {
			return state != "early" && strings.HasSuffix(name, "/leader-epoch-checkpoint")
		}},
}

// isEpoch tells that byte at of a segment is of a batch's leader epoch.
func (r *flipRig) isEpoch(name string, at int) bool {
	for rest, begin := r.states["clean"][name], 0; len(rest) > 0; {
		b, next, err := record.Next(rest)
		if err != nil {
			r.t.Fatal(err)
		}
		if at < begin+len(b) {
			return at >= begin+12 && at < begin+16
		}
		rest, begin = next, begin+len(b)
	}
	return false
}

// TestEveryByteFlipped flips a bit of every byte of every file of a small log, and every bit of leader epochs, which have no checksum, after a clean stop, after a kill, and after
// one before the first checkpoint. Whatever the broker then says of the log is true, or it refuses, but for what uncovered lists.
func TestEveryByteFlipped(t *testing.T) {
	r := newFlipRig(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	flips, untrue, seen := 0, 0, make([]int, len(uncovered))
	step := 1
	if raceEnabled { // a sample: the whole takes many minutes
		step = 41
	}
	for _, state := range slices.Sorted(maps.Keys(r.states)) {
		good := r.states[state]
		if wrong := r.observe(good.disk(t), state == "early"); len(wrong) > 0 {
			t.Fatalf("%s, undamaged: %v", state, wrong)
		}
		for _, name := range slices.Sorted(maps.Keys(good)) {
			for at := rng.IntN(step); at < len(good[name]); at += step {
				first := rng.IntN(8)
				bits := []int{first}
				if strings.HasSuffix(name, "/leader-epoch-checkpoint") || strings.HasSuffix(name, ".log") && r.isEpoch(name, at) {
					bits = []int{0, 1, 2, 3, 4, 5, 6, 7}
				}
				for _, bit := range bits {
					flips++
					bad := maps.Clone(good)
					bad[name] = bytes.Clone(good[name])
					bad[name][at] ^= 1 << bit
					for _, wrong := range r.observe(bad.disk(t), state == "early") {
						kind, _, _ := strings.Cut(wrong, ":")
						i := slices.IndexFunc(uncovered, func(e exception) bool { return e.wrong == kind && e.is(r, state, name, at) })
						if i < 0 {
							t.Errorf("%s, %s byte %d bit %d: %s", state, name, at, bit, wrong)
							if untrue++; untrue == 20 {
								t.Fatal("and so on")
							}
						} else {
							seen[i]++
						}
					}
				}
			}
		}
	}
	for i, u := range uncovered {
		if seen[i] == 0 && step == 1 {
			t.Errorf("never met: %s", u.what)
		}
	}
	if flips < 6_000/step {
		t.Errorf("only %d flips", flips)
	}
}

// A log start beyond the end of a log that was closed is damage: it would delete the whole log.
func TestLogStartBeyondTheEnd(t *testing.T) {
	r := newFlipRig(t)
	for start, want := range map[int]bool{13: true, 30: true, 36: false, 93: false} {
		data := maps.Clone(r.states["clean"])
		data["data/log-start-offset-checkpoint"] = fmt.Appendf(nil, "0\n1\nt 0 %d\n", start)
		disk := data.disk(t)
		s := openStore(t, disk, "data")
		l, err := s.OpenLog(tp0, topicID, flipConfig)
		switch {
		case !want && !corruptRead(err):
			t.Errorf("start %d: %v", start, err)
		case want && (err != nil || l.LogStart() != ids.Offset(start)):
			t.Errorf("start %d: %v", start, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if left := make(files); !want {
			readFiles(t, disk, "data/t-0", left)
			if len(left["data/t-0/00000000000000000000.log"]) == 0 {
				t.Errorf("start %d: segments are gone", start)
			}
		}
	}
}

// A damaged batch does not keep its segment from becoming old.
func TestDamagedSegmentIsRetired(t *testing.T) {
	r := newFlipRig(t)
	for _, at := range []int{100, 300, 700} { // in each of them the segment's last batch in time may be the damaged one
		data := maps.Clone(r.states["clean"])
		name := "data/t-0/00000000000000000000.log"
		data[name] = bytes.Clone(data[name])
		data[name][at] ^= 1
		s := openStore(t, data.disk(t), "data")
		config := flipConfig
		config.Delete, config.RetentionMs, config.RetentionBytes = true, 100, -1
		l, err := s.OpenLog(tp0, topicID, config)
		if err != nil {
			t.Fatal(err)
		}
		l.SetHighWatermark(l.LogEnd())
		if err := l.ApplyRetention(1_300); err != nil || l.LogStart() != 13 { // the first segment's newest record is of 1112
			t.Errorf("byte %d: log start %d, %v", at, l.LogStart(), err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A damaged batch is told once, however often readers come back to it; the others of its segment are served.
func TestDamageIsToldOnce(t *testing.T) {
	r := newFlipRig(t)
	data := maps.Clone(r.states["clean"])
	name := "data/t-0/00000000000000000013.log"
	data[name] = bytes.Clone(data[name])
	data[name][300] ^= 1 // in the aborted batch of offset 17
	var told []*storage.CorruptError
	s, err := storage.Open(storage.Config{FS: data.disk(t), Env: run.OS(), Dirs: []string{"data"}, NodeID: 1,
		Events: storage.Events{Corrupt: func(c *storage.CorruptError) { told = append(told, c) }}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := openLog(t, s, flipConfig)
	for range 3 {
		for offset := ids.Offset(0); offset < l.LogEnd(); offset++ {
			region, err := l.Read(offset, l.LogEnd(), 1, true)
			if refused := offset == 17; corruptRead(err) != refused || err != nil && !refused {
				t.Errorf("read at %d: %v", offset, err)
			}
			if err == nil && !bytes.HasPrefix(r.from(offset), regionBytes(t, &region)) {
				t.Errorf("read at %d: other bytes", offset)
			}
			region.Release()
		}
	}
	if len(told) != 1 || told[0].File != name || told[0].Position != 256 || told[0].Offset != 17 || told[0].Log != tp0 {
		t.Errorf("told: %v", told)
	}
}
