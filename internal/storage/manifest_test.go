package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

const manifestPath = "data/ottla.manifest"

// change does something to a file, durably.
func change(t testing.TB, fs vfs.FS, path string, fn func(f vfs.File) error) {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fn(f), f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func contents(t testing.TB, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, size)
	if n, err := f.ReadAt(p, 0); n < len(p) {
		t.Fatal(err)
	}
	return p
}

func put(t testing.TB, fs vfs.FS, path string, content []byte) {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		f, err = fs.Create(path)
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(content, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// spoilManifest leaves the manifest of a stopped store as it is, or removes or damages it, or puts an older one in its place. old holds those seen.
func spoilManifest(t testing.TB, random *rand.Rand, fs vfs.FS, old *[][]byte) {
	t.Helper()
	if _, err := fs.Stat(manifestPath); err != nil {
		return
	}
	now := contents(t, fs, manifestPath)
	switch random.IntN(6) {
	case 0:
		if err := fs.Remove(manifestPath); err != nil {
			t.Fatal(err)
		}
	case 1:
		put(t, fs, manifestPath, now[:random.IntN(len(now))])
	case 2:
		bad := bytes.Clone(now)
		bad[random.IntN(len(bad))] ^= 1 << random.IntN(8)
		put(t, fs, manifestPath, bad)
	case 3:
		if n := len(*old); n > 0 {
			put(t, fs, manifestPath, (*old)[random.IntN(n)])
		}
	}
	*old = append(*old, now)
}

// someLog writes a log of several segments, epochs and producers, and stops the store.
func someLog(t *testing.T, random *rand.Rand, disk *vfs.Mem, cfg storage.LogConfig) {
	s := openStore(t, disk, "data")
	l := openLog(t, s, cfg)
	for life := range 2 {
		for i := range 5 + random.IntN(30) {
			b := makeBatch(t, 1+random.IntN(4), random.IntN(300), int64(1000+10*i+random.IntN(40)))
			if random.IntN(3) == 0 {
				copy(b[43:], []byte{0, 0, 0, 0, 0, 0, 0, byte(random.IntN(3)), 0, byte(life)})
				putInt32(b[53:], 0)
				putInt32(b[17:], int32(b.ComputeCRC()))
			}
			if _, err := l.Append(b, ids.LeaderEpoch(6*life+i/7), 0); err != nil && !errors.As(err, new(*producerstate.SequenceError)) {
				t.Fatal(err)
			}
		}
		if random.IntN(2) == 0 {
			if err := l.ApplyRetention(1 << 40); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if life == 0 {
			s = openStore(t, disk, "data")
			l = openLog(t, s, cfg)
		}
	}
}

// tampering is what happens to a data directory between a stop and a start.
var tampering = []struct {
	name string
	do   func(t *testing.T, random *rand.Rand, disk *vfs.Mem)
}{
	{"nothing", func(*testing.T, *rand.Rand, *vfs.Mem) {}},
	{"a file removed", func(t *testing.T, random *rand.Rand, disk *vfs.Mem) {
		if err := disk.Remove(anyFile(t, random, disk)); err != nil {
			t.Fatal(err)
		}
	}},
	{"a file cut", func(t *testing.T, random *rand.Rand, disk *vfs.Mem) {
		change(t, disk, anyFile(t, random, disk), func(f vfs.File) error {
			size, err := f.Size()
			if err != nil {
				return err
			}
			return f.Truncate(random.Int64N(size + 1))
		})
	}},
	{"a file longer", func(t *testing.T, random *rand.Rand, disk *vfs.Mem) {
		change(t, disk, anyFile(t, random, disk), func(f vfs.File) error {
			size, err := f.Size()
			if err != nil {
				return err
			}
			_, err = f.WriteAt(make([]byte, 1+random.IntN(100)), size)
			return err
		})
	}},
	{"a file more", func(t *testing.T, random *rand.Rand, disk *vfs.Mem) {
		put(t, disk, fmt.Sprintf("data/t-0/%020d.log", random.IntN(2000)), nil)
	}},
	{"another topic's id", func(t *testing.T, _ *rand.Rand, disk *vfs.Mem) {
		put(t, disk, "data/t-0/partition.metadata", []byte("version: 0\ntopic_id: "+ids.TopicID{9}.String()))
	}},
	{"an older recovery point", func(t *testing.T, random *rand.Rand, disk *vfs.Mem) {
		put(t, disk, "data/recovery-point-offset-checkpoint", fmt.Appendf(nil, "0\n1\nt 0 %d\n", random.IntN(5)))
	}},
	{"a later log start", func(t *testing.T, random *rand.Rand, disk *vfs.Mem) {
		put(t, disk, "data/log-start-offset-checkpoint", fmt.Appendf(nil, "0\n1\nt 0 %d\n", random.IntN(60)))
	}},
}

func anyFile(t *testing.T, random *rand.Rand, disk *vfs.Mem) string {
	t.Helper()
	entries, err := disk.List("data/t-0")
	if err != nil {
		t.Fatal(err)
	}
	return "data/t-0/" + entries[random.IntN(len(entries))].Name
}

// logState is what can be seen of a log.
type logState struct {
	Err             string
	Start, End      ids.Offset
	Durable         ids.Offset
	Size            int64
	Segments        int
	Bytes           []byte
	Epochs          []ids.LeaderEpoch
	Found           []storage.FoundOffset
	Producers       string
	Stray           []string
	Appended, Again string
}

// lookAt opens the log and notes all that can be seen, then appends and stops.
func lookAt(t *testing.T, disk *vfs.Mem, cfg storage.LogConfig) (state logState) {
	s := openStore(t, disk, "data")
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	l, err := s.OpenLog(tp0, topicID, cfg)
	if err != nil {
		state.Err = err.Error()
		return state
	}
	state.Start, state.End, state.Durable, state.Size, state.Segments = l.LogStart(), l.LogEnd(), l.DurableEnd(), l.Size(), l.Segments()
	if state.Bytes, err = readAll(l, state.Start, state.End, 3000); err != nil {
		state.Err = err.Error()
	}
	for o := state.Start; o <= state.End; o++ {
		state.Epochs = append(state.Epochs, l.EpochAt(o))
	}
	for ts := int64(900); ts < 1500; ts += 7 {
		found, ok, err := l.OffsetForTimestamp(ts, state.End)
		if err != nil || !ok {
			found = storage.FoundOffset{Offset: -1}
		}
		state.Found = append(state.Found, found)
	}
	state.Producers = fmt.Sprintf("%+v", l.Producers())
	b := makeBatch(t, 1, 10, 2000)
	for _, to := range []*string{&state.Appended, &state.Again} {
		copy(b[43:], []byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 9})
		putInt32(b[53:], 0)
		putInt32(b[17:], int32(b.ComputeCRC()))
		a, err := l.Append(bytes.Clone(b), 99, 0)
		*to = fmt.Sprintf("%+v %v", a, err)
	}
	return state
}

// Invariant 11: a start with the manifest and one without it see the same, whatever happened to the directory since the stop.
func TestManifestIsACache(t *testing.T) {
	for seed := range uint64(150) {
		random := rand.New(rand.NewPCG(seed, 11))
		cfg := storage.LogConfig{SegmentBytes: 500 + random.IntN(5000), IndexIntervalBytes: 1 + random.IntN(600), Delete: true, RetentionMs: -1,
			RetentionBytes: int64(2000 + random.IntN(10_000))}
		disk := vfs.NewMem(seed)
		someLog(t, random, disk, cfg)
		how := tampering[seed%uint64(len(tampering))]
		how.do(t, random, disk)
		if err := errors.Join(disk.SyncDir("data/t-0"), disk.SyncDir("data")); err != nil {
			t.Fatal(err)
		}
		with, without := disk.Crash(), disk.Crash()
		if err := errors.Join(without.Remove(manifestPath), without.SyncDir("data")); err != nil {
			t.Fatal(err)
		}
		for life := range 2 {
			if diff := cmp.Diff(lookAt(t, without, cfg), lookAt(t, with, cfg)); diff != "" {
				t.Fatalf("seed %d, %s, start %d: without the manifest (-) and with it (+): %s", seed, how.name, life, diff)
			}
		}
	}
}

// After a clean stop a log is there without any of its files being opened, and what was left unread is found when it is needed.
func TestStartOpensNoFile(t *testing.T) {
	disk := vfs.NewMem(7)
	cfg := storage.LogConfig{SegmentBytes: 2000, IndexIntervalBytes: 100}
	s := openStore(t, disk, "data")
	l := openLog(t, s, cfg)
	batch, next := idempotent(t, 200)
	for range 40 {
		next()
		mustAppend(t, l, batch, 0)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for start := range 3 { // the second and third begin with what the one before left untouched
		faults := vfs.NewFault(disk)
		opened := 0
		rule := faults.Add(vfs.Rule{Op: vfs.OpOpen, Glob: "data/t-0/[0-9]*", Action: vfs.Pass, Hook: func(vfs.Op, string) { opened++ }})
		s = openStore(t, faults, "data")
		l = openLog(t, s, cfg)
		if opened > 0 || l.LogEnd() != 40 || l.DurableEnd() != 40 {
			t.Fatalf("start %d opened %d files and found the end at %d", start, opened, l.LogEnd())
		}
		rule.Remove()
		if start < 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	defer s.Close()
	again, err := l.Append(bytes.Clone(batch), 0, 0)
	if err != nil || !again.Duplicate || again.BaseOffset != 39 {
		t.Errorf("the last batch again: %+v, %v", again, err)
	}
	if got, err := readAll(l, 0, 40, 1000); err != nil || len(got) != 40*len(batch) {
		t.Errorf("%d bytes read, %v", len(got), err)
	}
}

// A manifest is written by a clean stop only, and is gone as soon as the directory is in use.
func TestManifestDoesNotOutliveTheStart(t *testing.T) {
	disk := vfs.NewMem(8)
	s := openStore(t, disk, "data")
	mustAppend(t, openLog(t, s, storage.LogConfig{}), makeBatch(t, 1, 10, 1), 0)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := disk.Stat(manifestPath); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, disk, "data")
	defer s.Close()
	for range 20 {
		if _, err := disk.Crash().Stat(manifestPath); err == nil {
			t.Fatal("the manifest is there while the directory is in use, or after a power cut")
		}
	}
}

// Whatever bytes a manifest has, reading it ends, and no log is refused for it.
func TestDamagedManifest(t *testing.T) {
	disk := vfs.NewMem(9)
	cfg := storage.LogConfig{SegmentBytes: 400}
	someLog(t, rand.New(rand.NewPCG(1, 1)), disk, cfg)
	good := contents(t, disk, manifestPath)
	for i := range good {
		left := disk.Crash()
		bad := bytes.Clone(good)
		bad[i] ^= 0x41
		put(t, left, manifestPath, bad)
		problems := 0
		s, err := storage.Open(storage.Config{FS: left, Env: run.OS(), Dirs: []string{"data"}, NodeID: 1,
			Events: storage.Events{Problem: func(string, error) { problems++ }}})
		if err != nil {
			t.Fatal(err)
		}
		l := openLog(t, s, cfg)
		if problems != 1 || l.LogEnd() == 0 {
			t.Errorf("byte %d changed: %d problems told, log end %d", i, problems, l.LogEnd())
		}
		s.Close()
	}
}

// A log that was at rest when the broker was killed is opened without a write, a sync or a change of a name.
func TestKilledAtRestNeedsNoWrite(t *testing.T) {
	for _, batches := range []int{1, 7, 60} {
		disk := vfs.NewMem(10)
		cfg := storage.LogConfig{SegmentBytes: 6000, IndexIntervalBytes: 300}
		s := openStore(t, disk, "data")
		l := openLog(t, s, cfg)
		for i := range batches {
			b := makeBatch(t, 1+i%3, 100, int64(100+i))
			setProducer(b, int32(l.LogEnd())) // the only producer: each record counts one
			mustAppend(t, l, b, 0)
		}
		end := l.LogEnd()
		if err := errors.Join(s.Close(), disk.Remove("data/.kafka_cleanshutdown"), disk.SyncDir("data")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			faults := vfs.NewFault(disk)
			var mu sync.Mutex // the stop syncs several files at a time
			var changes []string
			note := func(op vfs.Op, path string) {
				mu.Lock()
				defer mu.Unlock()
				changes = append(changes, fmt.Sprint(op, " ", path))
			}
			for _, op := range []vfs.Op{vfs.OpWrite, vfs.OpTruncate, vfs.OpSync, vfs.OpSyncDir, vfs.OpSyncFS, vfs.OpRename, vfs.OpRemove, vfs.OpCreate} {
				for _, glob := range []string{"data/t-0", "data/t-0/*"} {
					faults.Add(vfs.Rule{Op: op, Glob: glob, Action: vfs.Pass, Hook: note})
				}
			}
			s = openStore(t, faults, "data")
			l = openLog(t, s, cfg)
			if len(changes) > 0 || l.LogEnd() != end {
				t.Errorf("%d batches: opened up to %d of %d with %q", batches, l.LogEnd(), end, changes)
			}
			disk = disk.Crash() // killed again; the store of the old disk ends without it
			s.Close()
		}
	}
}
