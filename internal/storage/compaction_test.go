package storage_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

var compactionSeeds = flag.Int("compactionseeds", 20, "how many seeds TestCompactionModel runs")

// cleanRecord is a record as the model of compaction knows it.
type cleanRecord struct {
	Offset     ids.Offset
	Timestamp  int64
	Key, Value string
	Tombstone  bool
	Headers    string
	Epoch      ids.LeaderEpoch
	Producer   ids.ProducerID
}

// sentBatch is the last record of an idempotent batch.
type sentBatch struct {
	id       ids.ProducerID
	last     ids.Offset
	sequence int32
}

// compactionModel appends to a log that is compacted in the background of simulated time, and knows what must be left of it.
type compactionModel struct {
	t      *testing.T
	seed   uint64
	random *rand.Rand
	fs     vfs.FS
	env    *run.Sim
	store  *storage.Store
	log    *storage.Log
	config storage.Config
	cfg    storage.LogConfig
	epoch  ids.LeaderEpoch
	// appended are all data records by offset; aborted tells those whose transaction was.
	appended  map[ids.Offset]cleanRecord
	aborted   map[ids.Offset]bool
	came      map[ids.Offset]int64 // when, by the clock
	open      map[ids.ProducerID][]ids.Offset
	sequences map[ids.ProducerID]int32
	sent      []sentBatch
	// rounds are the compactions that were reported, and when.
	rounds []storage.Compaction
	times  []int64
	failed error
}

func newCompactionModel(t *testing.T, seed uint64) *compactionModel {
	random := rand.New(rand.NewPCG(seed, 77))
	env := run.NewSim(seed)
	m := &compactionModel{t: t, seed: seed, random: random, fs: vfs.NewMem(seed), env: env, appended: make(map[ids.Offset]cleanRecord),
		aborted: make(map[ids.Offset]bool), came: make(map[ids.Offset]int64), open: make(map[ids.ProducerID][]ids.Offset), sequences: make(map[ids.ProducerID]int32)}
	m.cfg = storage.LogConfig{SegmentBytes: 1000 + random.IntN(3000), IndexIntervalBytes: 100, Compact: true, DeleteRetentionMs: int64(random.IntN(2)) * 5_000,
		FileDeleteDelayMs: int64(random.IntN(2)) * 100, RetentionMs: -1, RetentionBytes: -1}
	m.config = storage.Config{FS: m.fs, Env: env, Dirs: []string{"data"}, NodeID: 1, ClusterID: "AAAAAAAAAAAAAAAAAAAAAA", CheckpointBytes: 1, CheckpointMs: 10,
		Cleaner: storage.CleanerConfig{BackoffMs: 100, DedupeBufferBytes: []int64{24 * 6, 24 * 40, 1 << 20}[random.IntN(3)]},
		Events: storage.Events{
			Compacted:   func(c storage.Compaction) { m.rounds, m.times = append(m.rounds, c), append(m.times, m.nowMs()) },
			Uncleanable: func(_ ids.TopicPartition, err error) { m.failed = err },
			Corrupt:     func(err *storage.CorruptError) { m.failed = err },
			Problem:     func(what string, err error) { m.failed = fmt.Errorf("%s: %w", what, err) },
		}}
	return m
}

func (m *compactionModel) fatalf(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("seed %d: %s", m.seed, fmt.Sprintf(format, args...))
}

func (m *compactionModel) nowMs() int64 { return m.env.Now().UnixMilli() }

func (m *compactionModel) openStore() {
	var err error
	if m.store, err = storage.Open(m.config); err != nil {
		m.fatalf("open: %v", err)
	}
	if m.log, err = m.store.OpenLog(tp0, topicID, m.cfg); err != nil {
		m.fatalf("open log: %v", err)
	}
	m.epoch++
}

// append writes a batch of random keys: plain, idempotent, or part of a transaction.
func (m *compactionModel) append() {
	r := m.random
	codec := []record.Codec{record.None, record.None, record.Gzip, record.Snappy, record.LZ4, record.Zstd}[r.IntN(6)]
	b := record.NewBuilder(codec, record.DefaultLevel)
	id := ids.NoProducerID
	transactional := false
	if r.IntN(2) == 0 {
		id = ids.ProducerID(1 + r.IntN(4))
		b.Producer(id, 0, m.sequences[id])
		if transactional = id > 2; transactional {
			b.Transactional()
		}
	}
	if r.IntN(8) == 0 {
		b.LogAppendTime(m.nowMs())
	}
	var records []cleanRecord
	for range 1 + r.IntN(4) {
		c := cleanRecord{Timestamp: m.nowMs() - int64(r.IntN(50)), Key: fmt.Sprintf("k%d", r.IntN(12)), Epoch: m.epoch, Producer: id}
		if r.IntN(3) == 0 {
			c.Key += strings.Repeat("long", 8)
		}
		var value []byte
		if c.Tombstone = r.IntN(4) == 0; !c.Tombstone {
			c.Value = fmt.Sprint(r.IntN(1000), strings.Repeat("v", r.IntN(60)))
			value = []byte(c.Value)
		}
		var headers []record.Header
		if r.IntN(3) == 0 {
			headers = []record.Header{{Key: []byte("h"), Value: []byte(c.Value)}, {Key: []byte("null")}}
		}
		c.Headers = fmt.Sprint(headers)
		b.Append(c.Timestamp, []byte(c.Key), value, headers...)
		records = append(records, c)
	}
	batch, err := b.Build()
	if err != nil {
		m.fatalf("%v", err)
	}
	// It may be on the disk before Append returns.
	base := m.log.LogEnd()
	for i, c := range records {
		c.Offset = base + ids.Offset(i)
		if batch.TimestampType() == record.LogAppendTime {
			c.Timestamp = batch.MaxTimestamp()
		}
		m.appended[c.Offset], m.came[c.Offset] = c, m.nowMs()
		if transactional {
			m.open[id] = append(m.open[id], c.Offset)
		}
	}
	if id != ids.NoProducerID {
		m.sequences[id] += int32(len(records))
		m.sent = append(m.sent, sentBatch{id, base + ids.Offset(len(records)) - 1, m.sequences[id] - 1})
	}
	if _, err := m.log.Append(batch, m.epoch, m.nowMs()); err != nil {
		m.fatalf("append: %v", err)
	}
}

// end writes the marker of an open transaction.
func (m *compactionModel) end(id ids.ProducerID) {
	kind := record.ControlType(m.random.IntN(2))
	marker := record.EndTransactionMarker(id, 0, record.EndTransaction{Type: kind, CoordinatorEpoch: 1}, m.nowMs())
	for _, o := range m.open[id] {
		m.aborted[o] = kind == record.ControlAbort
	}
	delete(m.open, id)
	if _, err := m.log.Append(marker, m.epoch, m.nowMs()); err != nil {
		m.fatalf("append a marker: %v", err)
	}
}

// settle lets everything become durable, and the compactions that are due run.
func (m *compactionModel) settle() {
	w := waitOn(m.env, m.log)
	if err := w.flush(m.log); err != nil {
		m.fatalf("flush: %v", err)
	}
	m.log.SetHighWatermark(m.log.LogEnd())
	m.env.NewSignal().WaitFor(2 * time.Second)
	if m.failed != nil {
		m.fatalf("%v", m.failed)
	}
}

// reopen starts the store again, perhaps without what a recovery can make anew.
func (m *compactionModel) reopen() {
	before := m.producers()
	if err := m.store.Close(); err != nil {
		m.fatalf("close: %v", err)
	}
	unclean := m.random.IntN(2) == 0
	if unclean {
		for _, name := range []string{".kafka_cleanshutdown", "ottla.manifest"} {
			if err := m.fs.Remove("data/" + name); err != nil {
				m.fatalf("%v", err)
			}
		}
		entries, err := m.fs.List("data/t-0")
		if err != nil {
			m.fatalf("%v", err)
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name, ".snapshot") || strings.HasSuffix(e.Name, "index") && !strings.HasSuffix(e.Name, ".txnindex") {
				if err := m.fs.Remove("data/t-0/" + e.Name); err != nil {
					m.fatalf("%v", err)
				}
			}
		}
	}
	m.openStore()
	after := m.producers()
	if diff := gocmp.Diff(before, after); diff != "" {
		m.fatalf("producers after a start (unclean: %v):\n%s", unclean, diff)
	}
}

// producers is what must survive: of each producer the last batch, and its epoch.
func (m *compactionModel) producers() []producerstate.Producer {
	all := m.log.Producers()
	for i := range all {
		all[i].Batches, all[i].LastTimestampMs = 0, 0
		all[i].CoordinatorEpoch = 0 // a marker may be gone
	}
	return all
}

// survivors reads the log, batch by batch.
func (m *compactionModel) survivors() ([]cleanRecord, []record.Batch) {
	data, err := readAll(m.log, m.log.LogStart(), m.log.LogEnd(), 1+m.random.IntN(2000))
	if err != nil {
		m.fatalf("read: %v", err)
	}
	var records []cleanRecord
	var batches []record.Batch
	for len(data) > 0 {
		b, rest, err := record.Next(data)
		if err != nil || b.CRC() != b.ComputeCRC() {
			m.fatalf("a batch that is not whole: %v", err)
		}
		data, batches = rest, append(batches, b)
		it := b.Records(record.Limits{})
		for it.Next() {
			if b.IsControl() {
				continue
			}
			r := it.Record()
			var headers []record.Header
			r.Headers.All(func(h record.Header) bool { headers = append(headers, h); return true })
			records = append(records, cleanRecord{r.Offset, r.TimestampMs, string(r.Key), string(r.Value), r.Value == nil, fmt.Sprint(headers), b.LeaderEpoch(), b.ProducerID()})
		}
		if err := it.Err(); err != nil {
			m.fatalf("open a batch: %v", err)
		}
		it.Close()
	}
	return records, batches
}

// check compares what is left with the model.
func (m *compactionModel) check(when string) {
	m.t.Helper()
	left, batches := m.survivors()
	end := ids.Offset(0) // where the last compaction ended
	for _, r := range m.rounds {
		end = max(end, r.End)
	}
	// What is left was appended, as it is.
	present := make(map[ids.Offset]bool)
	for _, r := range left {
		if diff := gocmp.Diff(m.appended[r.Offset], r); diff != "" {
			m.fatalf("%s: the record at %d changed:\n%s", when, r.Offset, diff)
		}
		if present[r.Offset] {
			m.fatalf("%s: offset %d twice", when, r.Offset)
		}
		present[r.Offset] = true
		if r.Offset < end && m.aborted[r.Offset] {
			m.fatalf("%s: the aborted record at %d is left below %d", when, r.Offset, end)
		}
	}
	// The newest of each key below the end of the last compaction is there, unless it is a tombstone whose time has come, and no other.
	newest := make(map[string]ids.Offset)
	for _, o := range slices.Sorted(maps.Keys(m.appended)) {
		switch {
		case o >= end && !present[o] && !m.aborted[o]:
			m.fatalf("%s: the record at %d is gone, and no compaction went beyond %d", when, o, end)
		case o < end && !m.aborted[o]:
			newest[m.appended[o].Key] = o
		}
	}
	for o := range m.appended {
		if o >= end || m.aborted[o] {
			continue
		}
		key := m.appended[o].Key
		switch {
		case present[o] && newest[key] != o:
			m.fatalf("%s: %q at %d is left, and %d is newer", when, key, o, newest[key])
		case !present[o] && newest[key] == o && !(m.appended[o].Tombstone && m.mayBeGone(o)):
			m.fatalf("%s: %q at %d is gone, and it is the newest below %d (tombstone: %v)", when, key, o, end, m.appended[o].Tombstone)
		}
	}
	m.checkBatches(batches, when)
	m.checkReads(left, when)
	m.checkTimes(batches, when)
}

// mayBeGone: one compaction after the tombstone came gave it its horizon, and one after that time removed it.
func (m *compactionModel) mayBeGone(o ids.Offset) bool {
	i := slices.IndexFunc(m.times, func(at int64) bool { return at >= m.came[o] })
	return i >= 0 && m.times[len(m.times)-1] >= m.times[i]-m.rounds[i].Took.Milliseconds()+m.cfg.DeleteRetentionMs
}

// checkBatches looks at order, epochs, and that each producer's last batch is there.
func (m *compactionModel) checkBatches(batches []record.Batch, when string) {
	next := ids.Offset(0)
	lastOf := make(map[ids.ProducerID]record.Batch)
	for _, b := range batches {
		if b.BaseOffset() < next {
			m.fatalf("%s: a batch at %d after %d", when, b.BaseOffset(), next)
		}
		next = b.NextOffset()
		if e := m.log.EpochAt(b.BaseOffset()); e != b.LeaderEpoch() {
			m.fatalf("%s: epoch %d at %d, and the batch has %d", when, e, b.BaseOffset(), b.LeaderEpoch())
		}
		if !b.IsControl() && b.HasProducer() {
			lastOf[b.ProducerID()] = b
		}
	}
	if n := len(m.rounds); n > 0 && m.rounds[n-1].MapUse < 0.5 {
		end := m.rounds[n-1].End
		if !slices.ContainsFunc(batches, func(b record.Batch) bool { return b.NextOffset() == end }) {
			m.fatalf("%s: no batch ends at %d, where the last compaction did", when, end)
		}
	}
	if next != m.log.LogEnd() {
		m.fatalf("%s: the last batch ends at %d, and the log at %d", when, next, m.log.LogEnd())
	}
	for id, sequence := range m.sequences {
		if id != ids.NoProducerID && sequence > 0 && (lastOf[id] == nil || lastOf[id].LastSequence() != sequence-1) {
			m.fatalf("%s: the last batch of producer %d, with sequence %d, is gone", when, id, sequence-1)
		}
	}
}

// checkReads reads from random offsets and times, committed records only.
func (m *compactionModel) checkReads(left []cleanRecord, when string) {
	stable := m.log.LastStable(m.log.LogEnd())
	want := make(map[ids.Offset]bool)
	for _, r := range left {
		if r.Offset < stable && !m.aborted[r.Offset] {
			want[r.Offset] = true
		}
	}
	from := ids.Offset(m.random.Int64N(int64(stable) + 1))
	got := readCommitted(m.t, m.log, from, stable)
	maps.DeleteFunc(want, func(o ids.Offset, _ bool) bool { return o < from })
	for o := range got {
		if _, ok := m.appended[o]; !ok || !slices.ContainsFunc(left, func(r cleanRecord) bool { return r.Offset == o }) {
			delete(got, o) // the helper names whole ranges of batches
		}
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		m.fatalf("%s: committed records from %d to %d:\n%s", when, from, stable, diff)
	}
}

// checkTimes looks up a timestamp, and the largest. Markers have timestamps, too.
func (m *compactionModel) checkTimes(batches []record.Batch, when string) {
	var all []storage.FoundOffset
	for _, b := range batches {
		it := b.Records(record.Limits{})
		for it.Next() {
			all = append(all, storage.FoundOffset{Offset: it.Record().Offset, TimestampMs: it.Record().TimestampMs, Epoch: b.LeaderEpoch()})
		}
		it.Close()
	}
	if len(all) == 0 {
		return
	}
	most := slices.MaxFunc(all, func(a, b storage.FoundOffset) int { return cmp.Compare(a.TimestampMs, b.TimestampMs) })
	target := all[m.random.IntN(len(all))].TimestampMs - 1
	want := all[slices.IndexFunc(all, func(f storage.FoundOffset) bool { return f.TimestampMs >= target })]
	if f, ok, err := m.log.OffsetForTimestamp(target, m.log.LogEnd()); err != nil || !ok || f != want {
		m.fatalf("%s: timestamp %d is at %+v %v %v, want %+v", when, target, f, ok, err, want)
	}
	if f, ok, err := m.log.MaxTimestamp(m.log.LogEnd()); err != nil || !ok || f != most {
		m.fatalf("%s: largest timestamp at %+v %v %v, want %+v", when, f, ok, err, most)
	}
}

// TestCompactionModel compares logs that are compacted in the background with a model: whatever was newest of its key stays, nothing older does, tombstones and
// markers stay for their time, aborted records go, and producers go on.
func TestCompactionModel(t *testing.T) {
	for n := range *compactionSeeds {
		seed := uint64(n) + 1
		m := newCompactionModel(t, seed)
		random := m.random
		m.env.Run(func() {
			m.openStore()
			for range 8 {
				for range random.IntN(60) {
					m.append()
					for _, id := range slices.Sorted(maps.Keys(m.open)) {
						if random.IntN(4) == 0 {
							m.end(id)
						}
					}
				}
				m.settle()
				m.check("compacted")
				if random.IntN(3) == 0 {
					m.reopen()
					m.check("reopened")
				}
			}
			if err := m.store.Close(); err != nil {
				m.fatalf("close: %v", err)
			}
		})
		if len(m.rounds) == 0 {
			t.Errorf("seed %d: nothing was compacted", seed)
		}
	}
}

// readCommitted is what a read_committed consumer takes from a log, by offset, as if no batch had holes.
func readCommitted(t *testing.T, l *storage.Log, from, end ids.Offset) map[ids.Offset]bool {
	t.Helper()
	seen := make(map[ids.Offset]bool)
	for at := from; at < end; {
		region, err := l.Read(at, end, 700, true)
		if err != nil {
			t.Fatal(err)
		}
		if region.Size() == 0 {
			break
		}
		source, position := region.Source()
		data := make([]byte, region.Size())
		if _, err := source.ReadAt(data, position); err != nil {
			t.Fatal(err)
		}
		aborted := make(map[ids.ProducerID][]producerstate.Completed)
		err = l.Aborted(&region, at, func(c producerstate.Completed) { aborted[c.ProducerID] = append(aborted[c.ProducerID], c) })
		if err != nil {
			t.Fatal(err)
		}
		region.Release()
		for len(data) > 0 {
			b, rest, err := record.Next(data)
			if err != nil {
				break // cut by the size of the read
			}
			skip := b.IsControl() || b.IsTransactional() && slices.ContainsFunc(aborted[b.ProducerID()], func(a producerstate.Completed) bool {
				return a.FirstOffset <= b.BaseOffset() && b.BaseOffset() <= a.LastOffset
			})
			for o := b.BaseOffset(); o <= b.LastOffset() && !skip; o++ {
				if o >= from {
					seen[o] = true
				}
			}
			at, data = b.NextOffset(), rest
		}
	}
	return seen
}
