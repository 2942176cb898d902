package storage_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

// compactionCrash cuts the power at every operation that a compaction, and what runs beside it, does to the disk.
type compactionCrash struct {
	*compactionModel
	disk    *vfs.Mem
	points  int
	busy    bool
	what    string
	durable ids.Offset
	after   map[string]int // points by the kind of the operation
}

func (c *compactionCrash) failf(format string, args ...any) {
	panic(fmt.Sprintf("seed %d, point %d (%s): %s", c.seed, c.points, c.what, fmt.Sprintf(format, args...)))
}

func (c *compactionCrash) point(op string) {
	c.points++
	c.what = op
	for _, kind := range []string{".cleaned", ".swap", ".deleted", "cleaner-offset-checkpoint"} {
		if strings.Contains(op, kind) {
			c.after[kind]++
		}
	}
	if c.log != nil {
		c.durable = max(c.durable, c.log.DurableEnd())
	}
	left := c.disk.Crash()
	again := left.Crash() // all on it is durable: a copy
	content := c.recover(left, false, "recovered")
	switch c.random.IntN(6) {
	case 0:
		if second := c.recover(left.Crash(), false, "recovered twice"); content != second {
			c.failf("a second recovery gives another log:\n%s", gocmp.Diff(content, second))
		}
	case 1:
		stopAt := again.Ops() + 1 + c.random.IntN(40)
		var inside *vfs.Mem
		again.OnOp(func(n int, _ string) {
			if n == stopAt {
				inside = again.Crash()
			}
		})
		c.recover(again, false, "recovered")
		if inside != nil {
			if third := c.recover(inside, false, "recovered after a crash in recovery"); content != third {
				c.failf("a crash inside recovery gives another log:\n%s", gocmp.Diff(content, third))
			}
		}
	case 2:
		c.recover(again, true, "recovered and compacted")
	}
}

// recover opens the log on a disk that a crash left, holds it against the model, and returns what it holds, as text.
func (c *compactionCrash) recover(disk *vfs.Mem, compact bool, when string) string {
	sim := run.NewSim(c.seed + uint64(c.points)<<20)
	var text strings.Builder
	sim.Run(func() {
		m := *c.compactionModel // its random is shared
		m.config.FS, m.config.Env, m.fs, m.env = disk, sim, disk, sim
		m.config.Cleaner.Off = !compact
		m.config.Events = storage.Events{
			Uncleanable: func(_ ids.TopicPartition, err error) { c.failf("%s: %v", when, err) },
			Corrupt:     func(err *storage.CorruptError) { c.failf("%s: %v", when, err) },
		}
		var err error
		if m.store, err = storage.Open(m.config); err != nil {
			c.failf("%s: open: %v", when, err)
		}
		if m.log, err = m.store.OpenLog(tp0, topicID, m.cfg); err != nil {
			c.failf("%s: open log: %v", when, err)
		}
		c.check(&m, when)
		if compact {
			m.settle()
			c.check(&m, when)
		}
		records, _ := m.survivors()
		for _, r := range records {
			fmt.Fprintln(&text, r)
		}
		if err := m.store.Close(); err != nil {
			c.failf("%s: close: %v", when, err)
		}
	})
	return text.String()
}

// check: nothing that was durable is lost, nothing changed, the newest of each key is what it was, and so are the producers.
func (c *compactionCrash) check(m *compactionModel, when string) {
	log := m.log
	if log.LogEnd() < c.durable || log.LogStart() != 0 {
		c.failf("%s: the log is from %d to %d, and was durable up to %d", when, log.LogStart(), log.LogEnd(), c.durable)
	}
	left, batches := m.survivors()
	log.SetHighWatermark(log.LogEnd())
	stable := log.LastStable(log.LogEnd())
	got := make(map[string]ids.Offset)
	for _, r := range left {
		if diff := gocmp.Diff(c.appended[r.Offset], r); diff != "" {
			c.failf("%s: the record at %d changed:\n%s", when, r.Offset, diff)
		}
		if r.Offset < stable && !c.aborted[r.Offset] {
			got[r.Key] = r.Offset
		}
	}
	want := make(map[string]ids.Offset)
	for _, o := range slices.Sorted(maps.Keys(c.appended)) {
		if o < stable && !c.aborted[o] {
			want[c.appended[o].Key] = o
		}
	}
	for _, m := range []map[string]ids.Offset{got, want} {
		maps.DeleteFunc(m, func(_ string, o ids.Offset) bool { return c.appended[o].Tombstone })
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		c.failf("%s: log to %d, stable %d, %d records in %d batches, the newest offsets of each key:\n%s", when, log.LogEnd(), stable, len(left), len(batches), diff)
	}
	next, bytes := ids.Offset(0), 0
	for _, b := range batches {
		bytes += len(b)
		if b.BaseOffset() < next {
			c.failf("%s: a batch at %d after %d", when, b.BaseOffset(), next)
		}
		next = b.NextOffset()
	}
	if int64(bytes) != log.Size() {
		c.failf("%s: %d bytes were read, and the segments have %d: they overlap", when, bytes, log.Size())
	}
	c.checkProducers(m, when)
	for o := range readCommitted(c.t, log, 0, stable) {
		if c.aborted[o] && slices.ContainsFunc(left, func(r cleanRecord) bool { return r.Offset == o }) {
			c.failf("%s: the aborted record at %d is served as committed", when, o)
		}
	}
}

func (c *compactionCrash) checkProducers(m *compactionModel, when string) {
	want, got := make(map[ids.ProducerID]sentBatch), make(map[ids.ProducerID]sentBatch)
	for _, b := range c.sent {
		if b.last < m.log.LogEnd() {
			want[b.id] = b
		}
	}
	for _, p := range m.log.Producers() {
		if p.LastOffset >= 0 {
			got[p.ID] = sentBatch{p.ID, p.LastOffset, p.LastSequence}
		}
	}
	if diff := gocmp.Diff(want, got, gocmp.AllowUnexported(sentBatch{})); diff != "" {
		c.failf("%s: the last batches of the producers:\n%s", when, diff)
	}
}

// TestCompactionCrashPoints: a power cut at each operation on the disk, while logs are compacted and their segments swapped, leaves the log from before or after:
// the newest record of every key, whole batches, each producer's last, and no aborted record that looks committed. Recovering twice, or crashing inside
// recovery, gives the same log, and compaction goes on.
func TestCompactionCrashPoints(t *testing.T) {
	want := 600
	rounds := 3
	if raceEnabled {
		want, rounds = 150, 2
	}
	if n, err := strconv.Atoi(os.Getenv("OTTLA_CRASH_POINTS")); err == nil {
		want = n / 5
	}
	after := make(map[string]int)
	points := 0
	for seed := *crashSeed; points < want; seed++ {
		c := &compactionCrash{compactionModel: newCompactionModel(t, seed), after: after}
		c.disk = c.fs.(*vfs.Mem)
		c.cfg.DeleteRetentionMs = int64(c.random.IntN(3)) * 1000
		c.env.Run(func() {
			c.disk.OnOp(func(_ int, op string) {
				if !c.busy {
					c.busy = true
					c.point(op)
					c.busy = false
				}
			})
			c.openStore()
			for range rounds {
				for range 10 + c.random.IntN(30) {
					c.append()
					for _, id := range slices.Sorted(maps.Keys(c.open)) {
						if c.random.IntN(4) == 0 {
							c.end(id)
						}
					}
				}
				c.settle()
			}
			c.disk.OnOp(nil)
			if err := c.store.Close(); err != nil {
				c.fatalf("close: %v", err)
			}
		})
		points += c.points
	}
	t.Logf("%d crash points, of them %v", points, after)
	for _, kind := range []string{".cleaned", ".swap", ".deleted", "cleaner-offset-checkpoint"} {
		if after[kind] == 0 {
			t.Errorf("no crash at an operation on %s", kind)
		}
	}
}
