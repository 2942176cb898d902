package storage_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
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

var modelSeeds = flag.Int("modelseeds", 40, "how many seeds TestModel runs")

// modelBatch is one batch as the model knows it.
type modelBatch struct {
	bytes []byte
	base  ids.Offset
	next  ids.Offset
	times []int64
	epoch ids.LeaderEpoch
	first int32 // sequence of the first record, if it is idempotent
	// of transactions: whose it is (0: none's), and whether it is the marker that ends one
	transaction     ids.ProducerID
	marker, aborted bool
}

// modelSegment is a segment as the model expects it.
type modelSegment struct {
	base          ids.Offset
	bytes         int
	first, newest int64 // timestamps: the first batch's largest, and the segment's
}

// model runs the same operations on a slice and on a log.
type model struct {
	t       *testing.T
	seed    uint64
	random  *rand.Rand
	fs      vfs.FS
	store   *storage.Store
	log     *storage.Log
	cfg     storage.LogConfig
	batches []modelBatch
	// segments are those that the log has, the last being the active one.
	segments []modelSegment
	start    ids.Offset
	// forgotten batches, the first of batches, are unknown to the log's producer state.
	forgotten int
	ts        int64
	epoch     ids.LeaderEpoch
	// of one idempotent producer: what the log accepted of it, and the last five of those that it is sure to know
	sent   []modelBatch
	window []modelBatch
	// of earlier stops
	manifests [][]byte
}

func (m *model) fatalf(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("seed %d: %s", m.seed, fmt.Sprintf(format, args...))
}

func (m *model) end() ids.Offset {
	if len(m.batches) == 0 {
		return 0
	}
	return m.batches[len(m.batches)-1].next
}

func (m *model) reopen() {
	if m.store != nil {
		if err := m.store.Close(); err != nil {
			m.fatalf("close: %v", err)
		}
		spoilManifest(m.t, m.random, m.fs, &m.manifests)
	}
	m.store = openStore(m.t, m.fs, "data")
	m.log = openLog(m.t, m.store, m.cfg)
	m.log.SetHighWatermark(m.end())
	if m.log.DurableEnd() != m.end() {
		m.fatalf("reopened log is durable up to %d of %d", m.log.DurableEnd(), m.end())
	}
	m.raise(m.start) // a segment wholly below it may be left from before a truncation to the very start
	m.recallWindow()
	m.shape("reopened")
}

// recallWindow is what recovery finds of the producer: a snapshot, in Kafka's format, has its last batch; those before it are read in the log, if they are there.
func (m *model) recallWindow() {
	if len(m.sent) == 0 {
		m.window = nil
		return
	}
	known := slices.DeleteFunc(slices.Clone(m.sent), func(b modelBatch) bool { return b.base < m.segments[0].base })
	if len(known) == 0 {
		known = m.sent[len(m.sent)-1:]
	}
	m.window = slices.Clone(known[max(0, len(known)-producerstate.Window):])
}

func (m *model) sequence() int32 {
	if n := len(m.sent); n > 0 {
		return m.sent[n-1].first + int32(len(m.sent[n-1].times))
	}
	return 0
}

// shape compares what can be seen of the log's extent.
func (m *model) shape(when string) {
	m.t.Helper()
	size := 0
	for _, s := range m.segments {
		size += s.bytes
	}
	if m.log.LogStart() != m.start || m.log.LogEnd() != m.end() || m.log.Segments() != len(m.segments) || m.log.Size() != int64(size) {
		m.fatalf("%s: log from %d to %d, %d segments of %d bytes, want %d to %d, %d of %d", when, m.log.LogStart(), m.log.LogEnd(),
			m.log.Segments(), m.log.Size(), m.start, m.end(), len(m.segments), size)
	}
	m.stable(when)
	if m.start > 0 {
		if _, err := m.log.Read(m.start-1, m.end(), 10, true); !errors.Is(err, storage.ErrOffsetOutOfRange) {
			m.fatalf("%s: read below the log start: %v", when, err)
		}
	}
}

// grow notes a batch in the segment that it must have gone to (Kafka's LogSegment.shouldRoll).
func (m *model) grow(b modelBatch) {
	newest := slices.Max(b.times)
	if n := len(m.segments); n > 0 {
		s := &m.segments[n-1]
		if s.bytes == 0 {
			s.first, s.newest = newest, newest
		}
		if s.bytes == 0 || s.bytes+len(b.bytes) <= m.cfg.SegmentBytes && newest-s.first <= m.cfg.SegmentMs {
			s.bytes, s.newest = s.bytes+len(b.bytes), max(s.newest, newest)
			return
		}
	}
	m.segments = append(m.segments, modelSegment{b.base, len(b.bytes), newest, newest})
}

// raise moves the log start; segments wholly below it go.
func (m *model) raise(start ids.Offset) {
	m.start = max(m.start, start)
	for len(m.segments) > 1 && m.segments[1].base <= m.start {
		m.segments = m.segments[1:]
	}
}

// truncate cuts the log at a random offset, as a follower does when its leader's log parts from its own, and goes on in a later epoch.
func (m *model) truncate() {
	if m.random.IntN(10) == 0 {
		m.startAnew(ids.Offset(m.random.Int64N(int64(m.end()) + 50)))
		return
	}
	at := m.start + ids.Offset(m.random.Int64N(int64(m.end()-m.start)+2))
	if err := m.log.TruncateTo(at); err != nil {
		m.fatalf("truncate to %d: %v", at, err)
	}
	if at < m.end() {
		for len(m.batches) > 0 && m.end() > at {
			m.batches = m.batches[:len(m.batches)-1]
		}
		m.sent = slices.DeleteFunc(m.sent, func(b modelBatch) bool { return b.next > m.end() })
		m.resize()
		if m.end() < m.start { // one batch held both the start and the cut
			m.batches = append(m.batches, modelBatch{base: m.start, next: m.start})
			m.segments, m.sent, m.forgotten = nil, nil, len(m.batches)
		}
		m.raise(m.start)
		m.recallWindow()
		m.forgotten = min(m.forgotten, len(m.batches))
		m.log.SetHighWatermark(m.end())
	}
	m.epoch++
	m.shape(fmt.Sprintf("truncated to %d", at))
}

// resize makes the segments hold the batches that there are.
func (m *model) resize() {
	for n := len(m.segments); n > 1 && m.segments[n-1].base > m.end(); n = len(m.segments) {
		m.segments = m.segments[:n-1]
	}
	for i := range m.segments {
		end := m.end() + 1
		if i+1 < len(m.segments) {
			end = m.segments[i+1].base
		}
		s := modelSegment{base: m.segments[i].base}
		for _, b := range m.batches {
			if b.base < s.base || b.base >= end || len(b.bytes) == 0 {
				continue
			}
			newest := slices.Max(b.times)
			if s.bytes == 0 {
				s.first, s.newest = newest, newest
			}
			s.bytes, s.newest = s.bytes+len(b.bytes), max(s.newest, newest)
		}
		m.segments[i] = s
	}
}

// startAnew empties the log and lets it begin at an offset.
func (m *model) startAnew(at ids.Offset) {
	if err := m.log.TruncateFullyAndStartAt(at); err != nil {
		m.fatalf("start anew at %d: %v", at, err)
	}
	m.start, m.segments, m.sent, m.window = at, nil, nil, nil
	m.batches, m.forgotten = []modelBatch{{base: at, next: at}}, 0
	m.log.SetHighWatermark(m.end())
	m.epoch++
	m.shape(fmt.Sprintf("begun anew at %d", at))
}

// rollAtEnd begins a segment where all records of the last one go.
func (m *model) rollAtEnd() {
	if m.segments[len(m.segments)-1].bytes > 0 {
		m.segments = append(m.segments, modelSegment{base: m.end()})
	}
}

// deleteRecords deletes up to a random offset, now and then one that is deleted already, or beyond the end.
func (m *model) deleteRecords() {
	before := m.start + ids.Offset(m.random.Int64N(int64(m.end()-m.start)+1))
	switch m.random.IntN(8) {
	case 0:
		before = m.end()
	case 1:
		before = ids.Offset(m.random.Int64N(int64(m.start) + 1))
	case 2:
		before = m.end() + 1
	}
	deletions := []storage.RecordDeletion{{Log: m.log, Before: before}}
	m.store.DeleteRecords(deletions)
	err := deletions[0].Err
	if before > m.end() {
		if !errors.Is(err, storage.ErrOffsetOutOfRange) {
			m.fatalf("delete records below %d of %d: %v", before, m.end(), err)
		}
	} else if err != nil {
		m.fatalf("delete records below %d: %v", before, err)
	} else {
		if before == m.end() && len(m.segments) > 0 {
			m.rollAtEnd()
		}
		m.raise(before)
	}
	m.shape("after DeleteRecords")
}

// append adds a batch of random shape; half of them are idempotent, and sometimes one of the last five is sent again.
func (m *model) append() {
	if len(m.window) > 0 && m.random.IntN(6) == 0 {
		want := m.window[m.random.IntN(len(m.window))]
		a, err := m.log.Append(bytes.Clone(want.bytes), m.epoch, m.ts)
		if err != nil || !a.Duplicate || a.BaseOffset != want.base || a.LastOffset != want.next-1 {
			m.fatalf("the batch at %d sent again: %+v, %v", want.base, a, err)
		}
		return
	}
	codec := []record.Codec{record.None, record.Gzip, record.Snappy, record.LZ4, record.Zstd}[m.random.IntN(5)]
	b := record.NewBuilder(codec, record.DefaultLevel)
	idempotent := m.random.IntN(2) == 0
	if idempotent {
		b.Producer(77, 3, m.sequence())
	}
	made := modelBatch{epoch: m.epoch, first: m.sequence()}
	for range 1 + m.random.IntN(5) {
		m.ts += int64(m.random.IntN(40)) - 10
		b.Append(m.ts, nil, bytes.Repeat([]byte{byte(m.ts)}, m.random.IntN(300)))
		made.times = append(made.times, m.ts)
	}
	batch, err := b.Build()
	if err != nil {
		m.fatalf("%v", err)
	}
	a, err := m.log.Append(batch, m.epoch, m.ts)
	if err != nil || a.Duplicate || a.BaseOffset != m.end() {
		m.fatalf("append at %d: %+v, %v", m.end(), a, err)
	}
	made = m.added(made, batch, a)
	if idempotent {
		m.sent = append(m.sent, made)
		m.window = append(m.window, made)
		m.window = m.window[max(0, len(m.window)-producerstate.Window):]
	}
}

// added notes a batch that the log took.
func (m *model) added(made modelBatch, batch record.Batch, a storage.Appended) modelBatch {
	made.bytes, made.base, made.next = batch, a.BaseOffset, a.LastOffset+1
	m.batches = append(m.batches, made)
	m.grow(made)
	m.log.SetHighWatermark(m.end())
	m.shape("after an append")
	return made
}

// transact goes on with one of a few transactions: with data, or with the marker that ends it, now and then one that is not open.
func (m *model) transact() {
	producer := ids.ProducerID(200 + m.random.IntN(3))
	made := modelBatch{epoch: m.epoch, transaction: producer, times: []int64{m.ts}}
	var batch record.Batch
	if m.random.IntN(3) == 0 {
		end := record.EndTransaction{Type: record.ControlCommit, CoordinatorEpoch: 1}
		if made.marker, made.aborted = true, m.random.IntN(2) == 0; made.aborted {
			end.Type = record.ControlAbort
		}
		batch = record.EndTransactionMarker(producer, 0, end, m.ts)
	} else {
		for _, b := range m.batches[m.forgotten:] {
			if b.transaction == producer && !b.marker {
				made.first = b.first + 1
			}
		}
		b := record.NewBuilder(record.None, record.DefaultLevel)
		b.Producer(producer, 0, made.first)
		b.Transactional()
		b.Append(m.ts, nil, bytes.Repeat([]byte("t"), m.random.IntN(200)))
		var err error
		if batch, err = b.Build(); err != nil {
			m.fatalf("%v", err)
		}
	}
	a, err := m.log.Append(batch, m.epoch, m.ts)
	if err != nil {
		m.fatalf("append of transaction %d at %d: %v", producer, m.end(), err)
	}
	m.added(made, batch, a)
}

// transactions are the first offsets of the open ones, and those that were aborted.
func (m *model) transactions() (open map[ids.ProducerID]ids.Offset, aborted []producerstate.Completed) {
	open = make(map[ids.ProducerID]ids.Offset)
	for _, b := range m.batches[m.forgotten:] {
		first, begun := open[b.transaction]
		switch {
		case b.transaction == 0:
		case b.marker:
			if delete(open, b.transaction); begun && b.aborted {
				aborted = append(aborted, producerstate.Completed{ProducerID: b.transaction, FirstOffset: first, LastOffset: b.base, Aborted: true})
			}
		case !begun:
			open[b.transaction] = b.base
		}
	}
	return open, aborted
}

// stable compares the last stable offset.
func (m *model) stable(when string) {
	m.t.Helper()
	open, _ := m.transactions()
	want := m.end()
	for _, first := range open {
		want = min(want, first)
	}
	want = max(want, m.start)
	if got := m.log.LastStable(m.end()); got != want {
		m.fatalf("%s: last stable offset %d, want %d of %d to %d", when, got, want, m.start, m.end())
	}
}

// abortions compares what a read_committed consumer is told of a region.
func (m *model) abortions(r *storage.Region, from ids.Offset) {
	m.t.Helper()
	var got, want []producerstate.Completed
	err := m.log.Aborted(r, from, func(t producerstate.Completed) {
		t.LastStableOffset = 0
		got = append(got, t)
	})
	if err != nil {
		m.fatalf("aborted transactions from %d on: %v", from, err)
	}
	_, aborted := m.transactions()
	for _, t := range aborted {
		if t.LastOffset >= from && t.FirstOffset < r.Bound() {
			want = append(want, t)
		}
	}
	if !slices.EqualFunc(got, want, func(a, b producerstate.Completed) bool {
		return a.ProducerID == b.ProducerID && a.FirstOffset == b.FirstOffset && a.LastOffset == b.LastOffset
	}) {
		m.fatalf("aborted from %d, below %d: %+v, want %+v", from, r.Bound(), got, want)
	}
}

// read compares one Read at random offsets and limits with the model.
func (m *model) read() {
	start, end := m.log.LogStart(), m.log.LogEnd()
	from := start + ids.Offset(m.random.Int64N(int64(end-start)+1))
	limit := start + ids.Offset(m.random.Int64N(int64(end-start)+2))
	maxBytes, minOne := m.random.IntN(4000), m.random.IntN(2) == 0
	r, err := m.log.Read(from, limit, maxBytes, minOne)
	if err != nil {
		m.fatalf("read at %d: %v", from, err)
	}
	if r.Size() > 0 {
		m.abortions(&r, from)
	}
	got := regionBytes(m.t, &r)
	want := m.wantFrom(from, min(limit, end))
	if len(got) == 0 {
		if len(want) > 0 && (minOne || len(want[0].bytes) <= maxBytes) {
			m.fatalf("read [%d, %d) of %d to %d, %d bytes, %v: empty", from, limit, start, end, maxBytes, minOne)
		}
		return
	}
	n := 0
	for size := 0; size < len(got); n++ {
		if n == len(want) || size+len(want[n].bytes) > len(got) || !bytes.Equal(want[n].bytes, got[size:size+len(want[n].bytes)]) {
			m.fatalf("read [%d, %d): batch %d is not the model's", from, limit, n)
		}
		size += len(want[n].bytes)
	}
	if len(got) > maxBytes && !(minOne && n == 1) {
		m.fatalf("read %d bytes in %d batches, asked for %d", len(got), n, maxBytes)
	}
}

func (m *model) wantFrom(from, limit ids.Offset) []modelBatch {
	var out []modelBatch
	for _, b := range m.batches {
		if b.next > from && b.next <= limit && from < limit {
			out = append(out, b)
		}
	}
	return out
}

func regionBytes(t testing.TB, r *storage.Region) []byte {
	t.Helper()
	defer r.Release()
	p := make([]byte, r.Size())
	if len(p) == 0 {
		return p
	}
	src, at := r.Source()
	if _, err := src.ReadAt(p, at); err != nil {
		t.Fatal(err)
	}
	return p
}

// times compares timestamp lookups.
func (m *model) times() {
	start, end := m.log.LogStart(), m.log.LogEnd()
	target := m.ts - int64(m.random.IntN(3000)) + 50
	limit := start + ids.Offset(m.random.Int64N(int64(end-start)+1))
	var want, most storage.FoundOffset
	found, any := false, false
	for _, b := range m.batches {
		for i, ts := range b.times {
			o := b.base + ids.Offset(i)
			if o < start || o >= limit {
				continue
			}
			if ts >= target && !found {
				want, found = storage.FoundOffset{Offset: o, TimestampMs: ts, Epoch: b.epoch}, true
			}
			if !any || ts > most.TimestampMs {
				most, any = storage.FoundOffset{Offset: o, TimestampMs: ts, Epoch: b.epoch}, true
			}
		}
	}
	if got, ok, err := m.log.OffsetForTimestamp(target, limit); err != nil || ok != found || got != want {
		m.fatalf("timestamp %d below %d: %+v %v %v, want %+v %v", target, limit, got, ok, err, want, found)
	}
	if got, ok, err := m.log.MaxTimestamp(limit); err != nil || ok != any || got != most {
		m.fatalf("largest timestamp below %d: %+v %v %v, want %+v %v", limit, got, ok, err, most, any)
	}
}

// stale appends as a leader whose time is over, which is refused.
func (m *model) stale() {
	latest := m.log.LatestEpoch()
	if latest <= 0 {
		return
	}
	if _, err := m.log.Append(makeBatch(m.t, 1, 10, m.ts), latest-1, m.ts); !errors.Is(err, storage.ErrStaleEpoch) {
		m.fatalf("append with epoch %d after %d: %v", latest-1, latest, err)
	}
}

// retain predicts what retention deletes: whole segments from the front that are too old or too much, the active one only if all have expired.
func (m *model) retain() {
	if err := waitOn(run.OS(), m.log).flush(m.log); err != nil {
		m.fatalf("flush: %v", err)
	}
	now := m.ts + int64(m.random.IntN(2000))
	if err := m.log.ApplyRetention(now); err != nil {
		m.fatalf("retention: %v", err)
	}
	size := 0
	for _, s := range m.segments {
		size += s.bytes
	}
	excess := size - int(m.cfg.RetentionBytes)
	n := 0
	for i, s := range m.segments {
		active := i+1 == len(m.segments)
		old := m.cfg.RetentionMs >= 0 && now-s.newest > m.cfg.RetentionMs
		big := m.cfg.RetentionBytes >= 0 && excess >= s.bytes
		if s.bytes == 0 && active || !old && !big {
			break
		}
		excess -= s.bytes
		n++
	}
	if n > 0 {
		if n == len(m.segments) {
			m.rollAtEnd()
		}
		m.raise(m.segments[n].base)
	}
	m.shape("after retention")
}

func (m *model) epochs() {
	epoch := ids.LeaderEpoch(m.random.IntN(int(m.epoch) + 2))
	gotEpoch, got := m.log.EndOffsetForEpoch(epoch)
	start := m.log.LogStart()
	wantEpoch, want := ids.NoLeaderEpoch, ids.Offset(-1)
	newest := ids.NoLeaderEpoch
	first := ids.NoLeaderEpoch
	for _, b := range m.batches {
		if b.next <= start {
			continue
		}
		if first < 0 {
			first = b.epoch
		}
		newest = b.epoch
		if b.epoch <= epoch {
			wantEpoch, want = b.epoch, b.next
		}
	}
	switch {
	case newest < 0:
		return
	case epoch > newest:
		wantEpoch, want = ids.NoLeaderEpoch, -1
	case epoch < first:
		wantEpoch, want = epoch, start
	}
	if gotEpoch != wantEpoch || got != want {
		m.fatalf("epoch %d ends at %d (%d), want %d (%d)", epoch, got, gotEpoch, want, wantEpoch)
	}
}

// TestModel holds the log against a slice of batches: append, roll, retain, delete records, truncate, reopen, read at random offsets and limits, timestamps, epochs, and the
// window of five batches of an idempotent producer across restarts (invariant 9).
func TestModel(t *testing.T) {
	seeds := *modelSeeds
	if testing.Short() {
		seeds = min(seeds, 10)
	}
	for seed := range uint64(seeds) {
		random := rand.New(rand.NewPCG(seed, 3))
		m := &model{t: t, seed: seed, random: random, fs: vfs.NewMem(seed), ts: 1_000_000}
		m.cfg = storage.LogConfig{SegmentBytes: 300 + random.IntN(8000), IndexIntervalBytes: 1 + random.IntN(1500), Delete: true,
			RetentionMs: -1, RetentionBytes: int64(5000 + random.IntN(30_000)), SegmentMs: int64(1000 + random.IntN(100_000))}
		if random.IntN(10) == 0 {
			m.cfg.RetentionBytes = 0
		}
		if random.IntN(3) == 0 {
			m.cfg.RetentionMs, m.cfg.RetentionBytes = int64(1000+random.IntN(4000)), -1
		}
		m.reopen()
		for range 300 {
			switch r := random.IntN(100); {
			case r < 35:
				m.append()
			case r < 45:
				m.transact()
			case r < 75:
				m.read()
			case r < 85:
				m.times()
			case r < 90:
				m.epochs()
			case r < 92:
				m.retain()
			case r < 94:
				m.deleteRecords()
			case r < 95:
				m.truncate()
			case r < 97:
				m.epoch++
				m.stale()
			default:
				m.reopen()
			}
		}
		if err := m.store.Close(); err != nil {
			m.fatalf("close: %v", err)
		}
	}
}

// Invariant 9, after an unclean stop: the window is rebuilt from the log.
func TestProducersSurviveACrash(t *testing.T) {
	mem := vfs.NewMem(5)
	s := openStore(t, mem, "data")
	cfg := storage.LogConfig{SegmentBytes: 600}
	l := openLog(t, s, cfg)
	batch, next := idempotent(t, 100)
	var sent []record.Batch
	for range 12 {
		next()
		mustAppend(t, l, batch, 0)
		sent = append(sent, bytes.Clone(batch))
	}
	if err := waitOn(run.OS(), l).flush(l); err != nil {
		t.Fatal(err)
	}
	left := mem.Crash()
	s.Close()
	s = openStore(t, left, "data")
	defer s.Close()
	l = openLog(t, s, cfg)
	for i, b := range sent {
		a, err := l.Append(bytes.Clone(b), 1, 0)
		if i >= len(sent)-producerstate.Window {
			if err != nil || !a.Duplicate || a.BaseOffset != ids.Offset(i) {
				t.Errorf("batch %d sent again: %+v, %v", i, a, err)
			}
		} else if !errors.Is(err, producerstate.ErrOutOfOrderSequence) {
			t.Errorf("batch %d, out of the window, sent again: %+v, %v", i, a, err)
		}
	}
	next()
	next()
	if _, err := l.Append(batch, 1, 0); !errors.Is(err, producerstate.ErrOutOfOrderSequence) {
		t.Errorf("a gap: %v", err)
	}
}

// Invariant 7: a region that was handed out reads the same bytes through roll, retention, removal and eviction, and reads of what is gone are refused.
func TestRegionOutlivesRetentionAndEviction(t *testing.T) {
	mem := vfs.NewMem(1)
	s, err := storage.Open(storage.Config{FS: mem, Env: run.OS(), Dirs: []string{"data"}, NodeID: 1, MaxOpenFiles: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := openLog(t, s, storage.LogConfig{SegmentBytes: 1000, Delete: true, RetentionMs: -1, RetentionBytes: 1500})
	w := waitOn(run.OS(), l)
	var want [][]byte
	var regions []storage.Region
	for i := range 20 {
		b := makeBatch(t, 1, 400, int64(i))
		mustAppend(t, l, b, 0)
		want = append(want, b)
		r, err := l.Read(ids.Offset(i), l.LogEnd(), 1<<20, true)
		if err != nil {
			t.Fatal(err)
		}
		regions = append(regions, r)
		if i%5 == 4 {
			if err := w.flush(l); err != nil {
				t.Fatal(err)
			}
			if err := l.ApplyRetention(0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if l.LogStart() == 0 {
		t.Fatal("nothing was deleted")
	}
	if _, err := l.Read(0, l.LogEnd(), 100, true); !errors.Is(err, storage.ErrOffsetOutOfRange) {
		t.Fatalf("read of what was deleted: %v", err)
	}
	if err := s.DeleteLogs(storage.LogName{Topic: tp0, ID: topicID}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Read(l.LogStart(), l.LogEnd(), 100, true); !errors.Is(err, storage.ErrClosed) {
		t.Fatalf("read of a deleted log: %v", err)
	}
	for i := range regions {
		if got := regionBytes(t, &regions[i]); !bytes.Equal(got, want[i]) {
			t.Errorf("region %d has other bytes", i)
		}
	}
	other, err := s.OpenLog(ids.TopicPartition{Topic: "u"}, ids.TopicID{8}, storage.LogConfig{})
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, other, makeBatch(t, 1, 1, 1), 0)
	if n := s.OpenFiles(); n > 2 {
		t.Errorf("%d files are kept open", n)
	}
}

func TestOpenRefuses(t *testing.T) {
	mem := vfs.NewMem(1)
	s := openStore(t, mem, "data")
	l := openLog(t, s, storage.LogConfig{})
	mustAppend(t, l, makeBatch(t, 1, 1, 1), 0)
	open := func(cfg storage.Config) error {
		cfg.FS, cfg.Env, cfg.Dirs = mem, run.OS(), append(cfg.Dirs, "data")
		s, err := storage.Open(cfg)
		if err == nil {
			s.Close()
		}
		return err
	}
	refused := func(cfg storage.Config, want string) {
		t.Helper()
		var r *storage.RefusedError
		if err := open(cfg); !errors.As(err, &r) || !strings.Contains(err.Error(), want) {
			t.Errorf("open: %v, want %q", err, want)
		}
	}
	refused(storage.Config{NodeID: 1}, "in use by another process")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	refused(storage.Config{NodeID: 2}, "belongs to node 1, and this is node 2")
	refused(storage.Config{NodeID: 1, ClusterID: "other"}, "belongs to cluster")
	if err := open(storage.Config{NodeID: 1}); err != nil {
		t.Error(err)
	}
	if err := mem.Remove("data/meta.properties"); err != nil {
		t.Fatal(err)
	}
	refused(storage.Config{NodeID: 1}, "no meta.properties")
}

// Another topic id never gets old bytes: those are set aside, kept, and a quarantined log's too.
func TestOtherTopicIDIsSetAside(t *testing.T) {
	mem := vfs.NewMem(1)
	s := openStore(t, mem, "data")
	l := openLog(t, s, storage.LogConfig{})
	b := makeBatch(t, 3, 10, 1)
	mustAppend(t, l, b, 4)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, mem, "data")
	l, err := s.OpenLog(tp0, ids.TopicID{5}, storage.LogConfig{})
	if err != nil || l.LogEnd() != 0 || l.LatestEpoch() != ids.NoLeaderEpoch {
		t.Fatalf("log of another id ends at %d: %v", l.LogEnd(), err)
	}
	mustAppend(t, l, makeBatch(t, 1, 10, 1), 0)
	if err := s.Quarantine(tp0); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, mem, "data")
	defer s.Close()
	if found := s.Found(); len(found) != 0 {
		t.Errorf("found %v", found)
	}
	strays := 0
	entries, err := mem.List("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name, "t-0.") && strings.HasSuffix(e.Name, "-stray") {
			strays++
		}
	}
	if strays != 2 {
		t.Errorf("%d directories set aside: %v", strays, entries)
	}
}
