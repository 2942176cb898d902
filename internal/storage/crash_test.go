package storage_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
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

// CI asks for more through the environment: OTTLA_CRASH_POINTS.
var crashPoints = flag.Int("crashpoints", 5000, "how many crash points TestCrashPoints tries")
var crashSeed = flag.Uint64("crashseed", 1, "seed of the first script of TestCrashPoints")

// life is one topic id of the partition, as the owner knows it: what was appended, where, and what he was told is durable.
type life struct {
	id      ids.TopicID
	bytes   []byte
	starts  []int        // of each batch, in bytes; one more at the end
	offsets []ids.Offset // of each batch; one more at the end
	start   ids.Offset   // the largest log start it had in memory: that much is on disk
	asked   ids.Offset   // the furthest that a call which has not returned may move it
	anew    ids.Offset   // where a call which has not returned lets it begin, empty; -1: none does
	durable ids.Offset
}

func newLife(n int) *life {
	return &life{anew: -1, id: ids.TopicID{byte(n), byte(n >> 8), 9}, starts: []int{0}, offsets: []ids.Offset{0}}
}

func (l *life) add(b record.Batch) {
	l.bytes = append(l.bytes, b...)
	l.starts = append(l.starts, len(l.bytes))
	l.offsets = append(l.offsets, b.NextOffset())
}

// slice is the bytes from the batch that holds an offset up to a batch boundary; ok is false if that is none.
func (l *life) slice(from, to ids.Offset) ([]byte, bool) {
	if from == to {
		return nil, from <= l.offsets[len(l.offsets)-1]
	}
	a, b := -1, -1
	for i, o := range l.offsets {
		if o <= from {
			a = l.starts[i]
		}
		if o == to {
			b = l.starts[i]
		}
	}
	if a < 0 || b < a {
		return nil, false
	}
	return l.bytes[a:b], true
}

// cut makes the life end at an offset where a crash left the log. Where that lies inside a batch, the batch's records below it were deleted and what was left
// of it was lost.
func (l *life) cut(end ids.Offset) {
	for len(l.offsets) > 1 && l.offsets[len(l.offsets)-1] > end {
		l.offsets = l.offsets[:len(l.offsets)-1]
		l.starts = l.starts[:len(l.starts)-1]
	}
	l.bytes = l.bytes[:l.starts[len(l.starts)-1]]
	if l.offsets[len(l.offsets)-1] < end {
		l.offsets, l.starts = append(l.offsets, end), append(l.starts, len(l.bytes))
	}
}

// crashScript runs random operations on one partition; at each operation of the disk a crash is tried.
type crashScript struct {
	t       *testing.T
	seed    uint64
	random  *rand.Rand
	disk    *vfs.Mem
	faults  *vfs.Fault // over disk
	env     run.Env
	store   *storage.Store
	log     *storage.Log
	lives   []*life // the last two matter: the one being deleted, and the one there is now
	gone    bool    // the last life was deleted, by a call that returned
	going   bool    // … by a call that has not returned
	cutting bool    // a truncation has not returned: the log's ends in memory say nothing
	epoch   ids.LeaderEpoch
	points  int
	ts      int64
	config  storage.LogConfig
	busy    bool // inside a crash point
	// manifests of earlier stops
	manifests [][]byte
	what      string
	script    []string
}

func (c *crashScript) life() *life { return c.lives[len(c.lives)-1] }

func crashConfig(fs vfs.FS, env run.Env) storage.Config {
	return storage.Config{FS: fs, Env: env, Dirs: []string{"data"}, NodeID: 1, ClusterID: "AAAAAAAAAAAAAAAAAAAAAA",
		CheckpointBytes: 3000, CheckpointMs: 50, RetentionCheckMs: 1 << 40}
}

func (c *crashScript) fatalf(format string, args ...any) {
	message := fmt.Sprintf("seed %d, point %d (%s) after %v: %s", c.seed, c.points, c.what, c.script, fmt.Sprintf(format, args...))
	if c.busy {
		panic(message) // some goroutine of the store is at the disk, and the others would wait for it for ever
	}
	c.t.Helper()
	c.t.Fatal(message)
}

// run plays the script; each operation on the disk is a crash point.
func (c *crashScript) run(steps int) {
	sim := run.NewSim(c.seed)
	c.env = sim
	sim.Run(func() {
		c.disk.OnOp(func(_ int, op string) {
			if c.busy {
				return
			}
			c.busy = true
			c.point(op)
			c.busy = false
		})
		c.open()
		for range steps {
			c.step()
		}
		c.disk.OnOp(nil)
		if c.store != nil {
			if err := c.store.Close(); err != nil {
				c.fatalf("close: %v", err)
			}
		}
	})
}

func (c *crashScript) open() {
	var err error
	c.faults = vfs.NewFault(volume{c.disk, c.seed%2 == 1})
	if c.store, err = storage.Open(crashConfig(c.faults, c.env)); err != nil {
		c.fatalf("open: %v", err)
	}
	c.openLog()
}

func (c *crashScript) openLog() {
	var err error
	if c.log, err = c.store.OpenLog(tp0, c.life().id, c.config); err != nil {
		c.fatalf("open log: %v", err)
	}
	c.epoch++
}

func (c *crashScript) step() {
	r := c.random.IntN(100)
	switch {
	case r < 45:
		c.note("append")
		c.append(false)
	case r < 55:
		c.note("abort")
		c.abort()
	case r < 60:
		c.note("failed append")
		rule := c.faults.Add(vfs.Rule{Op: vfs.OpWrite, Glob: "*.log", Limit: 1, Action: vfs.ShortWrite})
		c.append(true)
		rule.Remove()
	case r < 75:
		c.note("flush")
		c.flush()
	case r < 80:
		c.note("wait")
		signal := c.env.NewSignal()
		signal.WaitFor(time.Duration(c.random.IntN(100)) * time.Millisecond)
	case r < 84:
		c.note("retain")
		c.life().asked = c.log.LogEnd()
		if err := c.log.ApplyRetention(c.ts); err != nil {
			c.fatalf("retention: %v", err)
		}
		c.moved()
	case r < 87:
		c.note("delete records")
		c.deleteRecords(false)
	case r < 88:
		c.note("truncate")
		c.truncate()
	case r < 89:
		c.note("delete records, disk full")
		rule := c.faults.Add(vfs.Rule{Op: vfs.OpWrite, Glob: "log-start-offset-checkpoint*", Action: vfs.FailNoSpace})
		c.deleteRecords(true)
		rule.Remove()
	case r < 93:
		c.note("reopen")
		if err := c.store.Close(); err != nil {
			c.fatalf("close: %v", err)
		}
		c.life().durable = c.log.LogEnd()
		c.busy = true // an operator's hand is no crash point
		spoilManifest(c.t, c.random, c.disk, &c.manifests)
		c.busy = false
		c.open()
		c.check(c.disk, c.log, "reopened")
	case r < 96:
		c.note("delete")
		c.going = true
		full := c.faults.Add(vfs.Rule{Op: vfs.OpWrite, Glob: "*-checkpoint*", Action: vfs.FailNoSpace, Limit: 1, Probability: 0.3, Seed: c.random.Uint64()})
		if err := c.store.DeleteLogs(storage.LogName{Topic: tp0, ID: c.life().id}); err != nil {
			c.fatalf("delete: %v", err)
		}
		c.going, c.gone = false, true
		full.Remove()
		c.lives = append(c.lives, newLife(len(c.lives)))
		c.gone = false
		c.openLog()
	case r < 98:
		c.trash()
	case r < 99:
		c.note("kill")
		c.kill()
	default:
		c.note("crash")
		c.crashAndGoOn()
	}
	c.life().durable = max(c.life().durable, c.log.DurableEnd())
}

// trash puts the log into the trash and takes it out again, perhaps after a restart, and perhaps after another topic had its name. Whenever a crash comes, the log
// with its id is the one that it was.
func (c *crashScript) trash() {
	c.note("trash")
	if err := c.store.TrashLogs(storage.LogName{Topic: tp0, ID: c.life().id}); err != nil {
		c.fatalf("trash: %v", err)
	}
	if !c.deletedOnDisk(c.store, c.life()) {
		c.fatalf("trash: the name is not free")
	}
	if c.random.IntN(2) == 0 {
		c.note("reopen")
		if err := c.store.Close(); err != nil {
			c.fatalf("close: %v", err)
		}
		c.faults = vfs.NewFault(c.disk)
		var err error
		if c.store, err = storage.Open(crashConfig(c.faults, c.env)); err != nil {
			c.fatalf("open: %v", err)
		}
	}
	if c.random.IntN(2) == 0 {
		c.note("another of its name")
		other := ids.TopicID{77, byte(len(c.script))}
		log, err := c.store.OpenLog(tp0, other, c.config)
		if err == nil && log.LogEnd() != 0 {
			c.fatalf("a new topic begins at %d", log.LogEnd())
		}
		if err == nil {
			_, err = log.Append(makeBatch(c.t, 2, 100, c.ts), 1, c.ts)
		}
		if err == nil {
			err = c.store.DeleteLogs(storage.LogName{Topic: tp0, ID: other})
		}
		if err != nil {
			c.fatalf("another topic: %v", err)
		}
	}
	c.openLog()
	c.check(c.disk, c.log, "restored")
	l := c.life()
	l.cut(c.log.LogEnd())
	l.start, l.durable = c.log.LogStart(), c.log.DurableEnd()
}

func (c *crashScript) note(what string) { c.script = append(c.script, what) }

// append writes a random batch; the disk fails in the middle of it where fails says so.
func (c *crashScript) append(fails bool) {
	c.ts += int64(c.random.IntN(50))
	b := makeBatch(c.t, 1+c.random.IntN(4), 1+c.random.IntN(700), c.ts)
	if c.random.IntN(2) == 0 {
		setProducer(b, c.sequence())
	}
	// The batch may be on the disk before Append returns.
	l := c.life()
	mark := *l
	b.SetBaseOffset(c.log.LogEnd())
	b.SetLeaderEpoch(c.epoch)
	l.add(b)
	if _, err := c.log.Append(bytes.Clone(b), c.epoch, c.ts); (err != nil) != fails {
		c.fatalf("append: %v", err)
	}
	if fails {
		l.bytes, l.starts, l.offsets = mark.bytes, mark.starts, mark.offsets
	}
}

// deleteRecords moves the log start to a random offset, also inside a batch, and also over what is not durable yet, as replicated durability allows.
func (c *crashScript) deleteRecords(full bool) {
	start, end := c.log.LogStart(), c.log.LogEnd()
	before := start + ids.Offset(c.random.Int64N(int64(end-start)+1))
	if c.random.IntN(5) == 0 {
		before = end
	}
	c.life().asked = before
	deletions := []storage.RecordDeletion{{Log: c.log, Before: before}}
	c.store.DeleteRecords(deletions)
	want := before
	if full && before > start {
		want = start
	}
	if err := deletions[0].Err; (err != nil) != (full && before > start) || c.log.LogStart() != want {
		c.fatalf("delete records below %d of %d to %d: %v, and it starts at %d", before, start, end, err, c.log.LogStart())
	}
	c.moved()
}

// truncate cuts the log at a random offset, or empties it and lets it begin elsewhere, as a follower does, and goes on in a later epoch.
func (c *crashScript) truncate() {
	l := c.life()
	start, end := c.log.LogStart(), c.log.LogEnd()
	at := start + ids.Offset(c.random.Int64N(int64(end-start)+1))
	c.cutting = true
	if c.random.IntN(4) == 0 {
		at = ids.Offset(c.random.Int64N(int64(end) + 20))
		l.durable, l.anew, l.asked = 0, at, at
		if err := c.log.TruncateFullyAndStartAt(at); err != nil {
			c.fatalf("start anew at %d: %v", at, err)
		}
		*l = life{anew: -1, id: l.id, starts: []int{0}, offsets: []ids.Offset{at}, start: at}
	} else {
		boundary := l.floor(at)
		l.durable = min(l.durable, boundary)
		if err := c.log.TruncateTo(at); err != nil {
			c.fatalf("truncate to %d: %v", at, err)
		}
		l.cut(max(boundary, start))
	}
	c.cutting = false
	if c.log.LogStart() != l.start || c.log.LogEnd() != l.offsets[len(l.offsets)-1] || at < end && c.log.DurableEnd() != c.log.LogEnd() {
		c.fatalf("truncated to %d: log from %d to %d, %d durable, want %d to %d", at, c.log.LogStart(), c.log.LogEnd(), c.log.DurableEnd(), l.start, l.offsets[len(l.offsets)-1])
	}
	l.durable = c.log.DurableEnd()
	c.epoch++
	c.check(c.disk, c.log, "truncated")
}

// floor is the batch boundary at or below an offset.
func (l *life) floor(at ids.Offset) (boundary ids.Offset) {
	for _, o := range l.offsets {
		if o <= at {
			boundary = o
		}
	}
	return boundary
}

// moved notes that a call which may move the log start has returned.
func (c *crashScript) moved() { c.life().start, c.life().asked = c.log.LogStart(), 0 }

// abort writes a transaction and the marker that aborts it, or the marker only.
func (c *crashScript) abort() {
	c.ts += int64(c.random.IntN(50))
	for i, b := range abortedTransaction(c.t, ids.ProducerID(100+len(c.script)), c.ts) {
		if i == 0 && c.random.IntN(5) == 0 {
			continue
		}
		b.SetBaseOffset(c.log.LogEnd())
		b.SetLeaderEpoch(c.epoch)
		c.life().add(b)
		if _, err := c.log.Append(bytes.Clone(b), c.epoch, c.ts); err != nil {
			c.fatalf("append: %v", err)
		}
	}
}

// setProducer makes a batch idempotent.
func setProducer(b record.Batch, sequence int32) {
	copy(b[43:], []byte{0, 0, 0, 0, 0, 0, 0, 7, 0, 0}) // producer 7, epoch 0
	putInt32(b[53:], sequence)
	putInt32(b[17:], int32(b.ComputeCRC()))
}

// sequence is what the producer sends next: it goes on from what the log holds.
func (c *crashScript) sequence() int32 {
	if b := lastOfProducer(c.life().bytes); b != nil {
		return b.LastSequence() + 1
	}
	return 0
}

func lastOfProducer(batches []byte) (last record.Batch) {
	for len(batches) > 0 {
		b, rest, err := record.Next(batches)
		if err != nil {
			panic(err)
		}
		if b.ProducerID() == 7 {
			last = b
		}
		batches = rest
	}
	return last
}

func (c *crashScript) flush() {
	w := waitOn(c.env, c.log)
	if err := w.flush(c.log); err != nil {
		c.fatalf("flush: %v", err)
	}
}

// crashAndGoOn continues the script on what a crash leaves. The old store is abandoned as a dead process would.
func (c *crashScript) crashAndGoOn() {
	c.life().durable = max(c.life().durable, c.log.DurableEnd())
	left := c.disk.Crash()
	c.disk.OnOp(nil)
	if err := c.store.Close(); err != nil { // on the old disk, to end its goroutines
		c.fatalf("close: %v", err)
	}
	c.log = nil
	c.disk = left
	c.disk.OnOp(func(_ int, op string) {
		if !c.busy {
			c.busy = true
			c.point(op)
			c.busy = false
		}
	})
	c.open()
	c.check(c.disk, c.log, "after a crash")
	// What was lost is no part of the log any more, and what was found is durable.
	l := c.life()
	l.cut(c.log.LogEnd())
	l.start, l.asked = c.log.LogStart(), 0
	l.durable = c.log.DurableEnd()
}

// kill ends the store as a dead process does, and goes on with what the disk shows: nothing that was appended is lost, whatever is durable of it.
func (c *crashScript) kill() {
	c.life().durable = max(c.life().durable, c.log.DurableEnd())
	end := c.log.LogEnd()
	c.busy = true // nothing reaches the disk
	dead := c.faults.Add(vfs.Rule{Action: vfs.FailIO})
	c.store.Close() //nolint:errcheck // every operation of it fails
	dead.Remove()
	c.busy = false
	c.log = nil
	c.open()
	if c.log.LogEnd() != end || c.config.Durability == storage.Fsync && c.log.DurableEnd() != end {
		c.fatalf("killed: the log ends at %d, %d is durable, and it had ended at %d", c.log.LogEnd(), c.log.DurableEnd(), end)
	}
	c.check(c.disk, c.log, "killed")
}

// check compares a log with the last life. The model may know more than was durable.
func (c *crashScript) check(disk *vfs.Mem, log *storage.Log, when string) []byte {
	l := c.life()
	start, end := log.LogStart(), log.LogEnd()
	if l.anew >= 0 && start == end && (start == l.anew || start == l.start || start == l.offsets[len(l.offsets)-1]) {
		return nil // emptied
	}
	if end < l.durable {
		c.fatalf("%s: log ends at %d, and %d was durable", when, end, l.durable)
	}
	if start < l.start || start > max(l.start, l.asked) {
		c.fatalf("%s: log starts at %d, want %d to %d", when, start, l.start, l.asked)
	}
	if log.DurableEnd() > end || log.DurableEnd() < start {
		c.fatalf("%s: durable end %d of a log from %d to %d", when, log.DurableEnd(), start, end)
	}
	want, ok := l.slice(start, end)
	if !ok {
		c.fatalf("%s: log from %d to %d, which are not batch boundaries of %v", when, start, end, l.offsets)
	}
	got, err := readAll(log, start, end, 1+c.random.IntN(3000))
	if err != nil || !bytes.Equal(got, want) {
		c.fatalf("%s: read %d bytes of offsets %d to %d, want %d: %v", when, len(got), start, end, len(want), err)
	}
	epoch := ids.NoLeaderEpoch
	for rest := got; len(rest) > 0; {
		b, tail, err := record.Next(rest)
		if err != nil {
			c.fatalf("%s: %v", when, err)
		}
		if e := log.EpochAt(max(b.BaseOffset(), start)); e != b.LeaderEpoch() {
			c.fatalf("%s: offset %d has epoch %d, and the cache says %d", when, b.BaseOffset(), b.LeaderEpoch(), e)
		}
		epoch, rest = b.LeaderEpoch(), tail
	}
	c.checkTimes(log, got, when)
	c.checkAborted(disk, got, start, when)
	if latest := log.LatestEpoch(); len(got) > 0 && latest != epoch {
		c.fatalf("%s: latest epoch %d, want %d", when, latest, epoch)
	}
	return got
}

// checkAborted compares the transaction indexes with the markers of the log.
func (c *crashScript) checkAborted(disk *vfs.Mem, content []byte, start ids.Offset, when string) {
	want := make(map[ids.Offset]producerstate.Completed)
	begun := make(map[ids.ProducerID]ids.Offset)
	for rest := content; len(rest) > 0; {
		b, tail, err := record.Next(rest)
		if err != nil {
			c.fatalf("%s: %v", when, err)
		}
		first, ok := begun[b.ProducerID()]
		switch {
		case b.IsControl() && ok:
			want[b.BaseOffset()] = producerstate.Completed{ProducerID: b.ProducerID(), FirstOffset: first, LastOffset: b.BaseOffset(), LastStableOffset: b.NextOffset(), Aborted: true}
			delete(begun, b.ProducerID())
		case b.IsTransactional() && !b.IsControl():
			begun[b.ProducerID()] = b.BaseOffset()
		}
		rest = tail
	}
	entries, err := disk.List("data/t-0")
	if err != nil && len(content) > 0 {
		c.fatalf("%s: %v", when, err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name, ".txnindex") {
			continue
		}
		for data := getFile(c.t, disk, "data/t-0/"+e.Name); len(data) > 0; data = data[producerstate.TxnIndexEntrySize:] {
			got, err := producerstate.ParseTxnIndexEntry(data)
			if err != nil {
				c.fatalf("%s: %s: %v", when, e.Name, err)
			}
			if got.FirstOffset < start {
				continue // its data are gone, and perhaps its marker
			}
			if w, ok := want[got.LastOffset]; !ok || got.ProducerID != w.ProducerID || got.FirstOffset != w.FirstOffset {
				c.fatalf("%s: %s has %+v, want %+v", when, e.Name, got, w)
			}
			delete(want, got.LastOffset)
		}
	}
	if len(want) > 0 {
		c.fatalf("%s: aborted transactions without an entry: %v", when, want)
	}
}

// checkTimes looks up one of the timestamps that the log holds, and the largest.
func (c *crashScript) checkTimes(log *storage.Log, content []byte, when string) {
	if len(content) == 0 {
		return
	}
	target := c.ts - int64(c.random.IntN(1000))
	var want, most storage.FoundOffset
	ok := false
	for len(content) > 0 {
		b, rest, err := record.Next(content)
		if err != nil {
			c.fatalf("%s: %v", when, err)
		}
		for i := range b.Count() { // makeBatch's timestamps rise by one
			if b.BaseOffset()+ids.Offset(i) < log.LogStart() {
				continue
			}
			f := storage.FoundOffset{Offset: b.BaseOffset() + ids.Offset(i), TimestampMs: b.BaseTimestamp() + int64(i), Epoch: b.LeaderEpoch()}
			if f.TimestampMs >= target && !ok {
				want, ok = f, true
			}
			if f.TimestampMs > most.TimestampMs {
				most = f
			}
		}
		content = rest
	}
	if got, found, err := log.OffsetForTimestamp(target, log.LogEnd()); err != nil || found != ok || got != want {
		c.fatalf("%s: timestamp %d: %+v %v %v, want %+v %v", when, target, got, found, err, want, ok)
	}
	if got, _, err := log.MaxTimestamp(log.LogEnd()); err != nil || most.TimestampMs > 0 && got != most {
		c.fatalf("%s: largest timestamp: %+v %v, want %+v", when, got, err, most)
	}
}

// point is one crash: the disk that it leaves is recovered, twice, and once with a crash inside the recovery.
func (c *crashScript) point(op string) {
	c.points++
	c.what = op
	l := c.life()
	if c.log != nil && c.log.ID() == l.id && !c.going && !c.cutting {
		l.durable = max(l.durable, c.log.DurableEnd())
		l.start = max(l.start, c.log.LogStart())
	}
	left := c.disk.Crash()
	again := left.Crash() // all on it is durable: a copy
	content := c.recover(left, "recovered")
	if c.random.IntN(4) == 0 {
		if second := c.recover(left.Crash(), "recovered twice"); !bytes.Equal(content, second) {
			c.fatalf("a second recovery gives another log: %d bytes, then %d", len(content), len(second))
		}
	}
	if c.random.IntN(4) == 0 {
		stopAt := again.Ops() + 1 + c.random.IntN(30)
		var inside *vfs.Mem
		again.OnOp(func(n int, _ string) {
			if n == stopAt {
				inside = again.Crash()
			}
		})
		c.recover(again, "recovered")
		if inside != nil {
			if third := c.recover(inside, "recovered after a crash in recovery"); !bytes.Equal(content, third) {
				c.fatalf("a crash inside recovery gives another log: %d bytes, then %d", len(content), len(third))
			}
		}
	}
}

// recover opens the log on a disk that a crash left and returns what it holds.
func (c *crashScript) recover(disk *vfs.Mem, when string) (content []byte) {
	sim := run.NewSim(c.seed + uint64(c.points)<<20)
	sim.Run(func() {
		store, err := storage.Open(crashConfig(disk, sim))
		if err != nil {
			c.fatalf("%s: open: %v", when, err)
		}
		l := c.life()
		if c.going && c.deletedOnDisk(store, l) {
			return // the deletion is on the disk, and no owner asks for that id again
		}
		log, err := store.OpenLog(tp0, l.id, c.config)
		if err != nil {
			c.fatalf("%s: open log: %v", when, err)
		}
		content = c.check(disk, log, when)
		if b := lastOfProducer(content); b != nil {
			a, err := log.Append(bytes.Clone(b), log.LatestEpoch(), c.ts)
			durable := a.LastOffset < log.DurableEnd() || c.config.Durability == storage.Replicated
			if err != nil || !a.Duplicate || a.BaseOffset != b.BaseOffset() || !durable {
				c.fatalf("%s: the producer's last batch, at %d, sent again: %+v, %v", when, b.BaseOffset(), a, err)
			}
		}
	})
	return content
}

func (c *crashScript) deletedOnDisk(store *storage.Store, l *life) bool {
	for _, f := range store.Found() {
		if f.Topic == tp0 && f.ID == l.id {
			return false
		}
	}
	return true
}

// TestCrashPoints holds invariants 1, 2, 3, 6 and 10 of docs: a crash after every operation on the disk of random scripts loses nothing that was durable, brings
// nothing back of another topic id, and leaves whole batches only; recovering twice, or crashing inside recovery, gives the same log.
func TestCrashPoints(t *testing.T) {
	want := *crashPoints
	if n, err := strconv.Atoi(os.Getenv("OTTLA_CRASH_POINTS")); err == nil {
		want = n
	}
	if testing.Short() {
		want = min(want, 500)
	}
	points := 0
	for seed := *crashSeed; points < want; seed++ {
		random := rand.New(rand.NewPCG(seed, 7))
		c := &crashScript{t: t, seed: seed, random: random, disk: vfs.NewMem(seed), lives: []*life{newLife(0)}}
		c.config = storage.LogConfig{
			SegmentBytes: 500 + random.IntN(6000), IndexIntervalBytes: 1 + random.IntN(1000), Delete: true,
			RetentionMs: int64(500 + random.IntN(3000)), RetentionBytes: -1, FileDeleteDelayMs: int64(random.IntN(2)) * 30,
		}
		if seed%3 == 0 {
			c.config.Durability = storage.Replicated
		}
		if random.IntN(2) == 0 {
			c.config.RetentionMs, c.config.RetentionBytes = -1, int64(3000+random.IntN(10000))
		}
		c.run(60)
		points += c.points
	}
	t.Logf("%d crash points", points)
}
