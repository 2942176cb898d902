package machine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/run"
)

// sums is a machine: each record adds its value to its key.
type sums struct {
	Sums map[string]int
	End  ids.Offset
}

func newSums() *sums { return &sums{Sums: map[string]int{}} }

func (s *sums) Apply(records []Record, end ids.Offset, _ ids.LeaderEpoch) error {
	for _, r := range records {
		n, err := strconv.Atoi(string(r.Value))
		if err != nil {
			return err
		}
		s.Sums[string(r.Key)] += n
	}
	s.End = end
	return nil
}

func (s *sums) Snapshot() func(io.Writer) error {
	data, err := json.Marshal(s)
	return func(w io.Writer) error {
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	}
}

func (s *sums) Restore(r io.Reader, _ SnapshotID) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, s)
}

func add(key string, n int) func(*sums, Moment) ([]Record, int) {
	return func(s *sums, _ Moment) ([]Record, int) {
		return []Record{{Key: []byte(key), Value: []byte(strconv.Itoa(n))}}, s.Sums[key] + n
	}
}

func get(key string) func(*sums, Moment) ([]Record, int) {
	return func(s *sums, _ Moment) ([]Record, int) { return nil, s.Sums[key] }
}

var errDisk = errors.New("disk failed")

// fakeLog commits a batch some time after its append, unless told to fail.
type fakeLog struct {
	env       run.Env
	batches   []record.Batch
	start     ids.Offset
	committed ids.Offset
	changed   func()
	failed    error
	appends   int

	failAppend, failCommit func() bool
	hold                   bool // commit only when release is called
	refuses                error
}

func (l *fakeLog) Ready() error { return l.refuses }

func newFakeLog(env run.Env) *fakeLog {
	never := func() bool { return false }
	return &fakeLog{env: env, failAppend: never, failCommit: never}
}

func (l *fakeLog) Bounds() (start, end ids.Offset) {
	if n := len(l.batches); n > 0 {
		return l.start, l.batches[n-1].NextOffset()
	}
	return l.start, l.start
}

func (l *fakeLog) Append(b record.Batch, epoch ids.LeaderEpoch) (ids.Offset, error) {
	if l.failAppend() {
		return 0, errDisk
	}
	l.failed = nil
	l.appends++
	_, base := l.Bounds()
	b.SetBaseOffset(base)
	b.SetLeaderEpoch(epoch)
	l.batches = append(l.batches, b)
	if !l.hold {
		l.env.AfterFunc(time.Millisecond, "commit", l.release)
	}
	return base, nil
}

func (l *fakeLog) release() {
	if l.failCommit() {
		l.failed = errDisk
		for len(l.batches) > 0 && l.batches[len(l.batches)-1].NextOffset() > l.committed {
			l.batches = l.batches[:len(l.batches)-1]
		}
	} else {
		_, l.committed = l.Bounds()
	}
	l.changed()
}

func (l *fakeLog) Read(from ids.Offset) ([]byte, error) {
	var data []byte
	for i, b := range l.batches {
		if b.NextOffset() <= from {
			continue
		}
		data = append(data, b...)
		if i+1 < len(l.batches) {
			cut := l.batches[i+1]
			return append(data, cut[:1+int(from)*7%(len(cut)-1)]...), nil // of any length
		}
		return data, nil
	}
	return nil, errors.New("read past the end")
}

func (l *fakeLog) Committed() (ids.Offset, error) { return l.committed, l.failed }
func (l *fakeLog) OnCommitted(changed func())     { l.changed = changed }

// replay is what a machine loaded from the committed log alone holds.
func (l *fakeLog) replay(t *testing.T) *sums {
	s := newSums()
	for _, b := range l.batches {
		if b.NextOffset() > l.committed {
			break
		}
		records, err := recordsOf(b, 0)
		if err == nil {
			err = s.Apply(records, b.NextOffset(), b.LeaderEpoch())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

type fakeStore struct {
	files map[SnapshotID][]byte
	fail  bool
}

func (f *fakeStore) List() ([]SnapshotID, error) {
	all := slices.Collect(maps.Keys(f.files))
	slices.SortFunc(all, func(a, b SnapshotID) int { return int(b.End - a.End) })
	return all, nil
}

func (f *fakeStore) Open(id SnapshotID) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(f.files[id])), nil
}

func (f *fakeStore) Create(id SnapshotID, write func(io.Writer) error) error {
	if f.fail {
		return errDisk
	}
	var out bytes.Buffer
	if err := write(&out); err != nil {
		return err
	}
	f.files[id] = out.Bytes()
	return nil
}

// simulate runs fn in a simulated environment whose whole behaviour follows from the seed.
func simulate(seed uint64, fn func(env run.Env)) {
	sim := run.NewSim(seed)
	sim.Run(func() { fn(sim) })
}

// TestRandomRuns holds, under failing appends and commits, from many seeds: the live state equals the replayed log after
// every batch (invariant 8); replies come in the order of submission, each exactly once; a positive reply is in the
// committed log; a restart finds all of it.
func TestRandomRuns(t *testing.T) {
	for seed := range uint64(150) {
		simulate(seed, func(env run.Env) {
			dice := rand.New(rand.NewPCG(seed, 7))
			log := newFakeLog(env)
			store := &fakeStore{files: map[SnapshotID][]byte{}}
			cfg := Config[*sums]{Name: "sums-0", Env: env, Log: log, New: newSums, Snapshots: store, SnapshotBytes: 700, SnapshotCloseBytes: 1}
			cfg.Committed = func(s *sums) {
				if diff := cmp.Diff(log.replay(t), s); diff != "" {
					t.Errorf("seed %d: replayed log and live state differ:\n%s", seed, diff)
				}
			}
			sure := map[string]int{} // what was answered; each key is added to once
			for range 3 {            // incarnations
				r, err := Start(cfg)
				if err != nil {
					t.Errorf("seed %d: %v", seed, err)
					return
				}
				log.failAppend = func() bool { return dice.IntN(10) == 0 }
				log.failCommit = func() bool { return dice.IntN(10) == 0 }
				answered := env.NewSignal()
				next, submitted := 0, 0
				for range 60 {
					number, key := submitted, fmt.Sprintf("%d-%d", cfg.Epoch, submitted)
					submitted++
					decide := add(key, 1)
					if dice.IntN(3) == 0 {
						decide = get(key)
					}
					Submit(r, decide, func(value int, err error) {
						if number != next {
							t.Errorf("seed %d: reply %d came when %d was due", seed, number, next)
						}
						next++
						if err == nil && value == 1 {
							sure[key] = 1
							if log.replay(t).Sums[key] != 1 {
								t.Errorf("seed %d: %s was answered and is not committed", seed, key)
							}
						}
						if err != nil && !errors.Is(err, errDisk) {
							t.Errorf("seed %d: %v", seed, err)
						}
						answered.Set()
					})
					if dice.IntN(4) == 0 {
						env.NewSignal().WaitFor(time.Duration(dice.IntN(3)) * time.Millisecond)
					}
				}
				for next < submitted {
					answered.Wait()
				}
				never := func() bool { return false }
				log.failAppend, log.failCommit = never, never
				r.Close()
				cfg.Epoch++
			}
			r, err := Start(cfg)
			if err != nil {
				t.Errorf("seed %d: %v", seed, err)
				return
			}
			defer r.Close()
			for key := range sure {
				if got, err := Do(r, get(key)); got != 1 || err != nil {
					t.Errorf("seed %d: %s = %d, %v after restart", seed, key, got, err)
				}
			}
			if len(sure) < 50 || len(store.files) == 0 {
				t.Errorf("seed %d: only %d answers, %d snapshots", seed, len(sure), len(store.files))
			}
		})
		if t.Failed() {
			return
		}
	}
}

// TestCommandsShareAppends: what arrives during a commit goes into one batch, and nobody is answered before it.
func TestCommandsShareAppends(t *testing.T) {
	simulate(1, func(env run.Env) {
		log := newFakeLog(env)
		log.hold = true
		r, err := Start(Config[*sums]{Name: "sums-0", Env: env, Log: log, New: newSums})
		if err != nil {
			t.Error(err)
			return
		}
		answered := []int{}
		done := func(value int, err error) { answered = append(answered, value) }
		settle := func() { env.NewSignal().WaitFor(time.Millisecond) }
		Submit(r, add("a", 1), done)
		settle()
		for range 9 {
			Submit(r, add("a", 1), done)
		}
		Submit(r, get("a"), done)
		settle()
		if len(answered) != 0 || log.appends != 1 {
			t.Errorf("before the commit: answers %v, %d appends", answered, log.appends)
		}
		log.release()
		settle()
		if !slices.Equal(answered, []int{1}) || log.appends != 2 {
			t.Errorf("after the first commit: answers %v, %d appends", answered, log.appends)
		}
		log.release()
		settle()
		if !slices.Equal(answered, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10}) || log.appends != 2 {
			t.Errorf("at the end: answers %v, %d appends", answered, log.appends)
		}
		r.Close()
	})
}

func TestBatchBytesSplitRounds(t *testing.T) {
	simulate(1, func(env run.Env) {
		log := newFakeLog(env)
		r, err := Start(Config[*sums]{Name: "sums-0", Env: env, Log: log, New: newSums, BatchBytes: 100})
		if err != nil {
			t.Error(err)
			return
		}
		got := 0
		for n := range 50 {
			Submit(r, func(s *sums, at Moment) ([]Record, int) {
				if at.Next != ids.Offset(n) {
					t.Errorf("command %d was told offset %d for its record", n, at.Next)
				}
				return add("a", 1)(s, at)
			}, func(value int, err error) { got = value })
		}
		r.Close()
		if got != 50 || log.appends < 5 || log.appends > 25 {
			t.Errorf("sum %d in %d appends", got, log.appends)
		}
	})
}

func TestRefusals(t *testing.T) {
	simulate(1, func(env run.Env) {
		log := newFakeLog(env)
		log.hold = true
		r, err := Start(Config[*sums]{Name: "sums-0", Env: env, Log: log, New: newSums, QueueLimit: 2})
		if err != nil {
			t.Error(err)
			return
		}
		var errs []error
		done := func(_ int, err error) { errs = append(errs, err) }
		Submit(r, add("a", 1), done)
		env.NewSignal().WaitFor(time.Millisecond) // now it waits for its commit
		for range 3 {
			Submit(r, add("a", 1), done)
		}
		if len(errs) != 1 || !errors.Is(errs[0], ErrBusy) {
			t.Errorf("full queue: %v", errs)
		}
		log.hold = false
		log.release()
		r.Close()
		if len(errs) != 4 || errs[3] != nil {
			t.Errorf("Close left commands: %v", errs)
		}
		if _, err := Do(r, get("a")); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// TestLoad covers snapshots: used, too old to matter, damaged, beyond the log, and logs cut below them.
func TestLoad(t *testing.T) {
	simulate(1, func(env run.Env) {
		log := newFakeLog(env)
		store := &fakeStore{files: map[SnapshotID][]byte{}}
		cfg := Config[*sums]{Name: "sums-0", Env: env, Log: log, New: newSums, Snapshots: store, SnapshotCloseBytes: 1}
		live := func(n int) {
			r, err := Start(cfg)
			if err != nil {
				t.Error(err)
				return
			}
			for range n {
				if _, err := Do(r, add("a", 1)); err != nil {
					t.Error(err)
				}
			}
			r.Close()
		}
		var from SnapshotID
		batches, bad := 0, 0
		cfg.Events = Events{Loaded: func(id SnapshotID, n int, _ ids.Offset) { from, batches = id, n }, SnapshotBad: func(SnapshotID, error) { bad++ }}
		live(5)
		live(3)
		if len(store.files) != 2 || from.End != 5 || batches != 0 {
			t.Errorf("%d snapshots, loaded from %+v and %d batches", len(store.files), from, batches)
		}
		store.files[SnapshotID{End: 8}] = []byte("damaged")
		live(0)
		if bad != 1 || from.End != 5 || batches != 3 {
			t.Errorf("%d bad snapshots, loaded from %+v and %d batches", bad, from, batches)
		}
		store.files[SnapshotID{End: 8}] = []byte("damaged") // Close had mended it
		log.batches, log.start = log.batches[6:], 6
		if _, err := Start(cfg); !errors.Is(err, ErrUnreadable) {
			t.Errorf("a gap between snapshot and log: %v", err)
		}
		delete(store.files, SnapshotID{End: 5})
		if _, err := Start(cfg); !errors.Is(err, ErrUnreadable) {
			t.Errorf("no readable snapshot and a cut log: %v", err)
		}
		store.files = map[SnapshotID][]byte{{End: 99}: []byte(`{"Sums":{},"End":99}`)}
		if _, err := Start(cfg); !errors.Is(err, ErrUnreadable) {
			t.Errorf("a snapshot beyond the log: %v", err)
		}
		store.files, log.start = nil, 0
		log.batches[0][65] ^= 1
		if _, err := Start(cfg); !errors.Is(err, ErrUnreadable) {
			t.Errorf("a damaged batch: %v", err)
		}
	})
}

func TestSnapshotFailureIsNotFatal(t *testing.T) {
	simulate(3, func(env run.Env) {
		store := &fakeStore{files: map[SnapshotID][]byte{}, fail: true}
		failed := 0
		r, err := Start(Config[*sums]{Name: "sums-0", Env: env, Log: newFakeLog(env), New: newSums, Snapshots: store, SnapshotBytes: 1,
			Events: Events{SnapshotFailed: func(SnapshotID, error) { failed++ }}})
		if err != nil {
			t.Error(err)
			return
		}
		for n := range 5 {
			if got, err := Do(r, add("a", 1)); err != nil || got != n+1 {
				t.Errorf("add %d: %d, %v", n, got, err)
			}
		}
		r.Close()
		if failed == 0 || len(store.files) != 0 {
			t.Errorf("%d failures, %d files", failed, len(store.files))
		}
	})
}

func TestSnapshotNames(t *testing.T) {
	id := SnapshotID{End: 1234, Epoch: 5}
	if name := id.FileName(); name != "00000000000000001234-0000000005.checkpoint" {
		t.Error(name)
	}
	if got, ok := ParseSnapshotName(id.FileName()); !ok || got != id {
		t.Errorf("%+v %v", got, ok)
	}
	for _, name := range []string{"", "1234-5.checkpoint", "00000000000000001234-0000000005.checkpoint.part", "00000000000000001234.log", "-0000000000000001234-0000000005.checkpoint"} {
		if _, ok := ParseSnapshotName(name); ok {
			t.Errorf("%q taken", name)
		}
	}
}
