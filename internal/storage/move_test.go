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
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

// moveScript moves a log from directory to directory while it is written, and cuts the power at every operation on the disk.
type moveScript struct {
	t        *testing.T
	seed     uint64
	random   *rand.Rand
	disk     *vfs.Mem
	env      run.Env
	store    *storage.Store
	log      *storage.Log
	config   storage.LogConfig
	offsets  []ids.Offset // of batches
	batches  [][]byte
	sequence int32
	durable  ids.Offset // what was, of the log that is in use
	start    ids.Offset
	asked    ids.Offset // the start that a deletion under way asks for
	busy     bool
	points   int
	what     string
	kinds    map[string]int
}

func movesConfig(fs vfs.FS, env run.Env) storage.Config {
	c := crashConfig(fs, env)
	c.Dirs = []string{"a", "b", "c"}
	return c
}

func (m *moveScript) failf(format string, args ...any) {
	panic(fmt.Sprintf("seed %d, point %d (%s): %s", m.seed, m.points, m.what, fmt.Sprintf(format, args...)))
}

func (m *moveScript) pause(d time.Duration) { m.env.NewSignal().WaitFor(d) }

func (m *moveScript) append() {
	n := 1 + m.random.IntN(3)
	b := makeBatch(m.t, n, 20+m.random.IntN(300), int64(1000+len(m.batches)))
	setProducer(b, m.sequence) // goes on in each directory
	m.sequence += int32(n)
	epoch := ids.LeaderEpoch(1 + len(m.batches)/5)
	b.SetBaseOffset(m.log.LogEnd())
	b.SetLeaderEpoch(epoch)
	m.offsets, m.batches = append(m.offsets, m.log.LogEnd()), append(m.batches, bytes.Clone(b)) // a crash in the middle may keep it
	if _, err := m.log.Append(b, epoch, 0); err != nil {
		m.failf("append: %v", err)
	}
}

// move moves the log and goes on appending until it has moved.
func (m *moveScript) move(to string) {
	before, over := m.log, false
	err := m.store.MoveLog(m.log, to, func(move *storage.Move) {
		// The sim runs one goroutine at a time, and the script waits below: nothing is appended meanwhile.
		over = true
		for range m.random.IntN(3) { // before the owner keeps appends off
			m.append()
		}
		fresh, err := move.Finish()
		if err != nil {
			m.failf("finish: %v", err)
		}
		if fresh.DurableEnd() != before.LogEnd() || fresh.LogStart() != before.LogStart() || fresh.LatestEpoch() != before.LatestEpoch() {
			m.failf("the moved log is durable from %d to %d, epoch %d; it was from %d to %d, epoch %d", fresh.LogStart(), fresh.DurableEnd(), fresh.LatestEpoch(),
				before.LogStart(), before.LogEnd(), before.LatestEpoch())
		}
		m.log = fresh
		move.Done()
	})
	if err != nil {
		m.failf("move: %v", err)
	}
	for i := 0; m.log == before; i++ {
		if i > 1000 {
			m.failf("the move never ends")
		}
		if !over {
			m.append()
			m.log.Flush(m.random.IntN(2) == 0)
		}
		m.pause(time.Duration(m.random.IntN(3)) * time.Millisecond)
	}
	if err := before.Err(); !errors.Is(err, storage.ErrClosed) {
		m.failf("the old log: %v", err)
	}
}

func (m *moveScript) run() {
	sim := run.NewSim(m.seed)
	m.env = sim
	sim.Run(func() {
		m.disk.OnOp(func(_ int, op string) {
			if !m.busy {
				m.busy = true
				m.point(op)
				m.busy = false
			}
		})
		var err error
		if m.store, err = storage.Open(movesConfig(m.disk, sim)); err != nil {
			m.failf("open: %v", err)
		}
		if m.log, err = m.store.OpenLog(tp0, topicID, m.config); err != nil {
			m.failf("open log: %v", err)
		}
		dirs := []string{"b", "c", "a", "c"}
		if m.random.IntN(3) > 0 {
			for range 1 + m.random.IntN(12) {
				m.append()
			}
		}
		for _, to := range dirs {
			m.move(to)
			for range m.random.IntN(6) {
				m.append()
			}
			m.log.Flush(true)
			m.pause(time.Duration(m.random.IntN(80)) * time.Millisecond)
			if m.random.IntN(2) == 0 {
				m.deleteRecords()
			}
		}
		m.disk.OnOp(nil)
		m.check(m.log, "at last")
		if err := m.store.Close(); err != nil {
			m.failf("close: %v", err)
		}
	})
}

func (m *moveScript) deleteRecords() {
	m.asked = m.start + ids.Offset(m.random.IntN(int(m.log.DurableEnd()-m.start)+1))
	d := []storage.RecordDeletion{{Log: m.log, Before: m.asked}}
	m.store.DeleteRecords(d)
	if d[0].Err != nil {
		m.failf("delete records: %v", d[0].Err)
	}
	m.start = m.log.LogStart()
}

func (m *moveScript) point(op string) {
	m.points++
	m.what = op
	for _, kind := range []string{"-future", "ottla.moves", "-delete", "t-0"} {
		if strings.Contains(op, kind) {
			m.kinds[kind]++
		}
	}
	if m.log != nil {
		m.durable = max(m.durable, m.log.DurableEnd())
	}
	left := m.disk.Crash()
	again := left.Crash()
	content := m.recover(left, "recovered")
	switch m.random.IntN(4) {
	case 0:
		if second := m.recover(left.Crash(), "recovered twice"); !bytes.Equal(content, second) {
			m.failf("a second recovery gives another log: %d bytes, %d before", len(second), len(content))
		}
	case 1:
		stopAt := again.Ops() + 1 + m.random.IntN(40)
		var inside *vfs.Mem
		again.OnOp(func(n int, _ string) {
			if n == stopAt {
				inside = again.Crash()
			}
		})
		m.recover(again, "recovered")
		if inside != nil {
			if third := m.recover(inside, "recovered after a crash in recovery"); !bytes.Equal(content, third) {
				m.failf("a crash inside recovery gives another log: %d bytes, %d before", len(third), len(content))
			}
		}
	}
}

// recover opens the log on a disk that a crash left, and holds it against the script.
func (m *moveScript) recover(disk *vfs.Mem, when string) (content []byte) {
	sim := run.NewSim(m.seed + uint64(m.points)<<20)
	sim.Run(func() {
		config := movesConfig(disk, sim)
		config.Events.Corrupt = func(err *storage.CorruptError) { m.failf("%s: %v", when, err) }
		store, err := storage.Open(config)
		if err != nil {
			m.failf("%s: open: %v", when, err)
		}
		log, err := store.OpenLog(tp0, topicID, m.config)
		if err != nil {
			m.failf("%s: open log: %v", when, err)
		}
		content = m.check(log, when)
		if err := store.Close(); err != nil {
			m.failf("%s: close: %v", when, err)
		}
		held := 0
		for _, dir := range config.Dirs {
			entries, err := disk.List(dir)
			if err != nil {
				m.failf("%s: %v", when, err)
			}
			for _, e := range entries {
				if strings.HasSuffix(e.Name, "-future") || e.Name == "ottla.moves" {
					m.failf("%s: %s/%s is left of a move", when, dir, e.Name)
				}
				if e.Name == tp0.String() {
					held++
				}
			}
		}
		if held > 1 {
			m.failf("%s: the partition lies in %d directories", when, held)
		}
	})
	return content
}

// check: nothing that was durable is lost, what is there is what was appended.
func (m *moveScript) check(log *storage.Log, when string) []byte {
	start, end := log.LogStart(), log.LogEnd()
	if end < m.durable || start < m.start || start > max(m.start, m.asked) {
		m.failf("%s: the log is from %d to %d; %d was durable, and it began at %d to %d", when, start, end, m.durable, m.start, m.asked)
	}
	got, err := readAll(log, start, end, 1+m.random.IntN(3000))
	if err != nil {
		m.failf("%s: read: %v", when, err)
	}
	var want []byte
	for i, at := range m.offsets {
		if b := record.Batch(m.batches[i]); b.NextOffset() > start && at < end {
			want = append(want, b...)
		}
	}
	if !bytes.Equal(got, want) {
		m.failf("%s: %d bytes of offsets %d to %d, want %d", when, len(got), start, end, len(want))
	}
	for i := range m.offsets {
		if b := record.Batch(m.batches[i]); m.offsets[i] >= start && m.offsets[i] < end && log.EpochAt(m.offsets[i]) != b.LeaderEpoch() {
			m.failf("%s: offset %d has epoch %d, and the cache says %d", when, m.offsets[i], b.LeaderEpoch(), log.EpochAt(m.offsets[i]))
		}
	}
	return got
}

// TestMoveCrashPoints: a log that moves between directories while it is written loses nothing that was durable, and lies in one place, whenever the power is cut.
func TestMoveCrashPoints(t *testing.T) {
	want := min(*crashPoints, 4000)
	if testing.Short() {
		want = 500
	}
	points, kinds := 0, map[string]int{}
	for seed := *crashSeed; points < want; seed++ {
		m := &moveScript{t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 11)), disk: vfs.NewMem(seed), kinds: kinds,
			config: storage.LogConfig{SegmentBytes: 1000 + int(seed%5)*700, IndexIntervalBytes: 100, RetentionMs: -1, RetentionBytes: -1, Delete: true,
				FileDeleteDelayMs: int64(seed%2) * 30}}
		m.run()
		points += m.points
	}
	t.Logf("%d crash points: %v", points, kinds)
	for _, kind := range []string{"-future", "ottla.moves", "-delete", "t-0"} {
		if kinds[kind] == 0 {
			t.Errorf("no crash at an operation on %s", kind)
		}
	}
}

// moving opens a store on directories a and b and a log of n batches in a.
func moving(t *testing.T, fs vfs.FS, n int) (*storage.Store, *storage.Log) {
	t.Helper()
	s, err := storage.Open(storage.Config{FS: fs, Env: run.OS(), Dirs: []string{"a", "b"}, NodeID: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	l := openLog(t, s, storage.LogConfig{SegmentBytes: 2000, RetentionMs: -1, RetentionBytes: -1})
	for i := range n {
		if _, err := l.Append(makeBatch(t, 2, 200, int64(i)), 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	if n > 0 {
		if err := waitOn(run.OS(), l).flush(l); err != nil {
			t.Fatal(err)
		}
	}
	return s, l
}

func names(t *testing.T, fs vfs.FS, dir string) (out []string) {
	t.Helper()
	entries, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir || e.Name == "ottla.moves" {
			out = append(out, e.Name)
		}
	}
	return out
}

// finished moves a log and returns the new one.
func finished(t *testing.T, s *storage.Store, l *storage.Log, to string) (*storage.Log, error) {
	t.Helper()
	type outcome struct {
		log *storage.Log
		err error
	}
	done := make(chan outcome, 1)
	if err := s.MoveLog(l, to, func(m *storage.Move) {
		fresh, err := m.Finish()
		if err == nil {
			m.Done()
		}
		done <- outcome{fresh, err}
	}); err != nil {
		t.Fatal(err)
	}
	o := <-done
	return o.log, o.err
}

// TestMoveFailures: a directory that cannot be written, or a name that cannot be changed, leaves the log where it is, whole and writable, and nothing behind.
func TestMoveFailures(t *testing.T) {
	for _, rule := range []vfs.Rule{
		{Op: vfs.OpRename, Glob: "b/t-0.*-future", Action: vfs.FailNoSpace},
		{Op: vfs.OpRename, Glob: "b/recovery-point-offset-checkpoint.tmp", Action: vfs.FailNoSpace},
	} {
		t.Run(fmt.Sprint(rule.Op, " of ", rule.Glob), func(t *testing.T) {
			mem := vfs.NewMem(5)
			faults := vfs.NewFault(mem)
			s, l := moving(t, faults, 40)
			active := faults.Add(rule)
			if _, err := finished(t, s, l, "b"); err == nil || active.Hits() == 0 {
				t.Fatalf("finished with %v after %d faults", err, active.Hits())
			}
			active.Remove()
			if got, err := readAll(l, 0, l.LogEnd(), 1000); err != nil || len(got) == 0 || l.LogEnd() != 80 {
				t.Errorf("%d bytes up to %d: %v", len(got), l.LogEnd(), err)
			}
			if _, err := l.Append(makeBatch(t, 1, 10, 0), 0, 0); err != nil {
				t.Error(err)
			}
			for len(s.Moves()) > 0 {
				run.OS().NewSignal().WaitFor(time.Millisecond)
			}
			if got := names(t, mem, "b"); len(got) != 0 {
				t.Errorf("left in b: %q", got)
			}
			fresh, err := finished(t, s, l, "b")
			if err != nil || fresh.LogEnd() != 81 {
				t.Fatalf("the next try: %v", err)
			}
		})
	}
}

// TestMoveCancelled: to ask for the directory that a log lies in ends its move, and another place takes over from the first.
func TestMoveCancelled(t *testing.T) {
	mem := vfs.NewMem(6)
	s, l := moving(t, mem, 60)
	called := make(chan bool, 10)
	if err := s.MoveLog(l, "nowhere", nil); !errors.Is(err, storage.ErrNoDirectory) {
		t.Errorf("to a directory that is not there: %v", err)
	}
	if err := s.MoveLog(l, "b", func(m *storage.Move) { called <- true }); err != nil { // who never finishes gives up
		t.Fatal(err)
	}
	if err := s.MoveLog(l, "a", nil); err != nil {
		t.Fatal(err)
	}
	if got := s.Moves(); len(got) != 0 {
		t.Errorf("moves %+v", got)
	}
	fresh, err := finished(t, s, l, "b")
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, mem, "b"); !slices.Equal(got, []string{"t-0"}) {
		t.Errorf("in b: %q", got)
	}
	if got, err := readAll(fresh, 0, fresh.LogEnd(), 1000); err != nil || fresh.LogEnd() != 120 || len(got) == 0 {
		t.Errorf("%d bytes up to %d, %v", len(got), fresh.LogEnd(), err)
	}
}

// TestMoveOfAnEmptyLog: of which nothing is on disk.
func TestMoveOfAnEmptyLog(t *testing.T) {
	mem := vfs.NewMem(7)
	s, l := moving(t, mem, 0)
	fresh, err := finished(t, s, l, "b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.Append(makeBatch(t, 1, 10, 0), 0, 0); err != nil {
		t.Fatal(err)
	}
	if got := append(names(t, mem, "a"), names(t, mem, "b")...); !slices.Equal(got, []string{"t-0"}) {
		t.Errorf("directories %q", got)
	}
}

// TestMoveOfADeletedLog: a log that is deleted while its last bytes are to follow leaves nothing.
func TestMoveOfADeletedLog(t *testing.T) {
	mem := vfs.NewMem(8)
	s, l := moving(t, mem, 40)
	done := make(chan error, 1)
	if err := s.MoveLog(l, "b", func(m *storage.Move) {
		if err := s.DeleteLogs(storage.LogName{Topic: tp0, ID: topicID}); err != nil {
			t.Error(err)
		}
		_, err := m.Finish()
		done <- err
	}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, storage.ErrClosed) {
		t.Errorf("finished with %v", err)
	}
	for len(s.Moves()) > 0 || len(names(t, mem, "a"))+len(names(t, mem, "b")) > 0 {
		run.OS().NewSignal().WaitFor(time.Millisecond)
	}
}

// TestMoveToAFailingDisk: a sync that fails takes the new directory offline; the log serves on where it is.
func TestMoveToAFailingDisk(t *testing.T) {
	mem := vfs.NewMem(9)
	faults := vfs.NewFault(mem)
	s, l := moving(t, faults, 40)
	faults.Add(vfs.Rule{Op: vfs.OpSync, Glob: "b/*/*.log", Action: vfs.FailIO})
	if err := s.MoveLog(l, "b", func(m *storage.Move) { m.Finish() }); err != nil { //nolint:errcheck // it has its own test
		t.Fatal(err)
	}
	for len(s.Moves()) > 0 {
		run.OS().NewSignal().WaitFor(time.Millisecond)
	}
	if dirs := s.Directories(); dirs[0].Offline != nil || dirs[1].Offline == nil {
		t.Errorf("directories %+v", dirs)
	}
	if _, err := l.Append(makeBatch(t, 1, 10, 0), 0, 0); err != nil {
		t.Error(err)
	}
	var offline *storage.OfflineError
	if err := s.MoveLog(l, "b", nil); !errors.As(err, &offline) {
		t.Errorf("move to an offline directory: %v", err)
	}
}

// TestMoveFromAFailingDisk: where the old directory fails at the last step, the copy is not used and does not stay; the next start has the log whole.
func TestMoveFromAFailingDisk(t *testing.T) {
	mem := vfs.NewMem(10)
	faults := vfs.NewFault(mem)
	s, l := moving(t, faults, 40)
	want, err := readAll(l, 0, l.LogEnd(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	faults.Add(vfs.Rule{Op: vfs.OpRename, Glob: "a/t-0", Action: vfs.FailIO})
	if _, err := finished(t, s, l, "b"); err == nil || l.Err() == nil {
		t.Fatalf("finished with %v, and the log says %v", err, l.Err())
	}
	for len(s.Moves()) > 0 {
		run.OS().NewSignal().WaitFor(time.Millisecond)
	}
	if got := names(t, mem, "b"); len(got) != 0 {
		t.Errorf("left in b: %q", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = storage.Open(storage.Config{FS: mem, Env: run.OS(), Dirs: []string{"a", "b"}, NodeID: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	again := openLog(t, s, storage.LogConfig{RetentionMs: -1, RetentionBytes: -1})
	if got, err := readAll(again, 0, again.LogEnd(), 1000); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes after a restart, want %d: %v", len(got), len(want), err)
	}
}
