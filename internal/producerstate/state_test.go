package producerstate_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
)

const day = 86_400_000

// data makes a batch of count records as a client sends it.
func data(id ids.ProducerID, epoch ids.ProducerEpoch, sequence int32, count int, txn bool) record.Batch {
	w := record.NewBuilder(record.None, record.DefaultLevel)
	w.Producer(id, epoch, sequence)
	if txn {
		w.Transactional()
	}
	for range count {
		w.Append(1000, nil, nil)
	}
	b, err := w.Build()
	if err != nil {
		panic(err)
	}
	return b
}

func marker(id ids.ProducerID, epoch ids.ProducerEpoch, commit bool, coordinator int32) record.Batch {
	kind := record.ControlAbort
	if commit {
		kind = record.ControlCommit
	}
	return record.EndTransactionMarker(id, epoch, record.EndTransaction{Type: kind, CoordinatorEpoch: coordinator}, 1000)
}

// appendTo checks b and, if accepted, appends it at the state's end, as a log does.
func appendTo(s *producerstate.State, b record.Batch) (producerstate.Verdict, error) {
	v, err := s.Check(b, !b.IsControl(), 1000)
	if err == nil && !v.Duplicate {
		b.SetBaseOffset(s.End())
		s.Update(b)
	}
	return v, err
}

func TestSequences(t *testing.T) {
	const big = math.MaxInt32
	type step struct {
		epoch    ids.ProducerEpoch
		sequence int32
		count    int
		want     any // nil, an error, or the original base offset of a duplicate
	}
	for name, steps := range map[string][]step{
		"in order":                        {{0, 0, 3, nil}, {0, 3, 1, nil}, {0, 4, 2, nil}},
		"gap":                             {{0, 0, 3, nil}, {0, 4, 1, producerstate.ErrOutOfOrderSequence}, {0, 3, 1, nil}},
		"overlap is no duplicate":         {{0, 0, 3, nil}, {0, 1, 2, producerstate.ErrOutOfOrderSequence}, {0, 0, 2, producerstate.ErrOutOfOrderSequence}},
		"unknown producer begins at will": {{5, 77, 3, nil}, {5, 80, 1, nil}},
		"new epoch begins at 0":           {{1, 0, 3, nil}, {2, 3, 1, producerstate.ErrOutOfOrderSequence}, {2, 0, 1, nil}, {1, 3, 1, producerstate.ErrInvalidProducerEpoch}},
		"same sequence of the old epoch":  {{1, 0, 3, nil}, {2, 0, 3, nil}, {1, 0, 3, producerstate.ErrInvalidProducerEpoch}},
		"duplicates in the window of five": {{0, 0, 1, nil}, {0, 1, 2, nil}, {0, 3, 1, nil}, {0, 4, 1, nil}, {0, 5, 1, nil}, {0, 6, 1, nil},
			{0, 1, 2, ids.Offset(1)}, {0, 3, 1, ids.Offset(3)}, {0, 6, 1, ids.Offset(6)}, {0, 0, 1, producerstate.ErrOutOfOrderSequence}, {0, 7, 1, nil}},
		"wrap inside a batch":  {{0, big - 1, 4, nil}, {0, big - 1, 4, ids.Offset(0)}, {0, 3, 1, producerstate.ErrOutOfOrderSequence}, {0, 2, 1, nil}},
		"wrap between batches": {{0, big, 1, nil}, {0, 1, 1, producerstate.ErrOutOfOrderSequence}, {0, 0, 1, nil}, {0, big, 1, ids.Offset(0)}},
	} {
		t.Run(name, func(t *testing.T) {
			s := producerstate.New(day)
			for i, st := range steps {
				v, err := appendTo(s, data(9, st.epoch, st.sequence, st.count, false))
				switch want := st.want.(type) {
				case nil:
					if err != nil || v.Duplicate {
						t.Fatalf("step %d: %+v %v", i, v, err)
					}
				case error:
					var se *producerstate.SequenceError
					if !errors.Is(err, want) || !errors.As(err, &se) || se.Code() <= 0 || se.ProducerID != 9 || se.Sequence != st.sequence {
						t.Fatalf("step %d: %v, want %v", i, err, want)
					}
				case ids.Offset:
					if err != nil || !v.Duplicate || v.BaseOffset != want || v.LastOffset != want+ids.Offset(st.count)-1 || v.TimestampMs != 1000 {
						t.Fatalf("step %d: %+v %v, want duplicate of %d", i, v, err, want)
					}
				}
			}
		})
	}
}

func TestTransactions(t *testing.T) {
	s := producerstate.New(day)
	unstable := func(want ids.Offset) {
		t.Helper()
		got, ok := s.FirstUnstable()
		if !ok {
			got = -1
		}
		if got != want {
			t.Fatalf("first unstable %d, want %d", got, want)
		}
	}
	must := func(b record.Batch) producerstate.Completed {
		t.Helper()
		if _, err := s.Check(b, !b.IsControl(), 1000); err != nil {
			t.Fatal(err)
		}
		b.SetBaseOffset(s.End())
		done, _ := s.Update(b)
		return done
	}
	refused := func(b record.Batch, want error) {
		t.Helper()
		if _, err := s.Check(b, !b.IsControl(), 1000); !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
	}
	unstable(-1)
	must(data(1, 0, 0, 2, true)) // 0-1
	must(data(2, 0, 0, 3, true)) // 2-4
	must(data(1, 0, 2, 1, true)) // 5
	unstable(0)
	refused(data(1, 0, 3, 1, false), producerstate.ErrInvalidTransactionState)
	if got, want := must(marker(2, 0, false, 5)), (producerstate.Completed{ProducerID: 2, FirstOffset: 2, LastOffset: 6, LastStableOffset: 0, Aborted: true}); got != want {
		t.Fatalf("%+v, want %+v", got, want)
	}
	if got, want := must(marker(1, 0, true, 5)), (producerstate.Completed{ProducerID: 1, FirstOffset: 0, LastOffset: 7, LastStableOffset: 8}); got != want {
		t.Fatalf("%+v, want %+v", got, want)
	}
	unstable(0)
	s.SetHighWatermark(7) // passes the marker at 6, not the one at 7
	unstable(0)
	s.SetHighWatermark(8)
	unstable(-1)
	refused(marker(1, 0, true, 4), producerstate.ErrCoordinatorFenced)
	if got := must(marker(1, 0, true, 6)); got != (producerstate.Completed{}) {
		t.Fatalf("an empty transaction completed: %+v", got)
	}
	must(marker(1, 3, false, 6)) // fences: epoch 3
	refused(data(1, 0, 3, 1, true), producerstate.ErrInvalidProducerEpoch)
	must(data(1, 3, 0, 1, true))
	unstable(10)
}

func TestExpiry(t *testing.T) {
	s := producerstate.New(5000)
	for id := range ids.ProducerID(4) {
		if _, err := appendTo(s, data(id, 0, 0, 1, id == 3)); err != nil { // record timestamps and clock: 1000
			t.Fatal(err)
		}
	}
	b := data(1, 0, 1, 1, false)
	if _, err := s.Check(b, true, 4000); err != nil {
		t.Fatal(err)
	}
	b.SetBaseOffset(4)
	s.Update(b)
	if n := s.Expire(5999); n != 0 || s.Len() != 4 {
		t.Fatalf("too early: %d expired", n)
	}
	if n := s.Expire(6000); n != 2 || s.Len() != 2 { // 0 and 2; 1 was seen at 4000, 3 has a transaction
		t.Fatalf("%d expired", n)
	}
	if _, err := s.Check(data(0, 0, 40, 1, false), true, 6000); err != nil {
		t.Fatalf("an expired producer begins anew: %v", err)
	}
	// After a restart only the log's own timestamps count.
	again, err := producerstate.Load(s.Snapshot(), s.End(), 5000)
	if err != nil {
		t.Fatal(err)
	}
	if n := again.Expire(6000); n != 1 || again.Len() != 1 {
		t.Fatalf("%d expired after Load", n)
	}
	s.TruncateFullyAndStartAt(100)
	if _, ok := s.FirstUnstable(); ok || s.Len() != 0 || s.End() != 100 {
		t.Fatal("not empty after TruncateFullyAndStartAt")
	}
}

func kafkaData(t *testing.T) string {
	t.Helper()
	for _, dir := range []string{"../../testdata/kafka-4.3.1", "/work/shared/data/kafka-4.3.1"} {
		if _, err := os.Stat(filepath.Join(dir, "t-0")); err == nil {
			return dir
		}
	}
	t.Fatal("testdata/kafka-4.3.1 is missing")
	return ""
}

// Kafka's snapshots decode and encode to the same bytes, and replaying Kafka's log leads to the same snapshot and index.
func TestKafkaSnapshots(t *testing.T) {
	paths, err := filepath.Glob(kafkaData(t) + "/*/*.snapshot")
	if err != nil || len(paths) < 4 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		number, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(path), ".snapshot"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		s, err := producerstate.Load(want, ids.Offset(number), day)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if got := s.Snapshot(); !bytes.Equal(got, want) {
			t.Errorf("%s: encoded\n%x, want\n%x", path, got, want)
		}
		log, err := os.ReadFile(filepath.Join(filepath.Dir(path), "00000000000000000000.log"))
		if err != nil {
			t.Fatal(err)
		}
		replayed := producerstate.New(day)
		var index []byte
		for len(log) > 0 {
			var b record.Batch
			if b, log, err = record.Next(log); err != nil {
				t.Fatal(err)
			}
			if done, ok := replayed.Update(b); ok && done.Aborted {
				index = done.AppendTxnIndexEntry(index)
			}
		}
		if got := replayed.Snapshot(); !bytes.Equal(got, want) || int64(replayed.End()) != number {
			t.Errorf("%s: replay ends at %d with\n%x, want\n%x", path, replayed.End(), got, want)
		}
		wantIndex, err := os.ReadFile(filepath.Join(filepath.Dir(path), "00000000000000000000.txnindex"))
		if err == nil && !bytes.Equal(index, wantIndex) {
			t.Errorf("%s: txnindex %x, want %x", path, index, wantIndex)
		}
	}
}

func TestCorruptSnapshots(t *testing.T) {
	s := producerstate.New(day)
	for id := range ids.ProducerID(3) {
		if _, err := appendTo(s, data(id, 0, 0, 2, false)); err != nil {
			t.Fatal(err)
		}
	}
	good := s.Snapshot()
	for i := range good {
		for bit := range 8 {
			bad := slices.Clone(good)
			bad[i] ^= 1 << bit
			if _, err := producerstate.Load(bad, 6, day); !errors.Is(err, producerstate.ErrCorruptSnapshot) {
				t.Fatalf("flip of bit %d in byte %d: %v", bit, i, err)
			}
		}
	}
	for n := range good {
		if _, err := producerstate.Load(good[:n], 6, day); !errors.Is(err, producerstate.ErrCorruptSnapshot) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

func TestTxnIndexEntry(t *testing.T) {
	want := producerstate.Completed{ProducerID: 1, FirstOffset: 2, LastOffset: 3, LastStableOffset: 4, Aborted: true}
	p := want.AppendTxnIndexEntry(nil)
	if got, err := producerstate.ParseTxnIndexEntry(p); err != nil || got != want || len(p) != producerstate.TxnIndexEntrySize {
		t.Fatalf("%+v %v", got, err)
	}
	if _, err := producerstate.ParseTxnIndexEntry(p[1:]); err == nil {
		t.Fatal("short entry accepted")
	}
	p[1] = 1
	if _, err := producerstate.ParseTxnIndexEntry(p); err == nil {
		t.Fatal("version 1 accepted")
	}
}

// A restart keeps the original timestamp of a batch that a transaction marker followed.
func TestBackfillRestoresTimestamp(t *testing.T) {
	s := producerstate.New(day)
	b := data(1, 0, 0, 2, true)
	s.Update(b)
	end := record.EndTransactionMarker(1, 0, record.EndTransaction{Type: record.ControlCommit}, 9999)
	end.SetBaseOffset(2)
	s.Update(end)
	s, err := producerstate.Load(s.Snapshot(), 3, day)
	if err != nil {
		t.Fatal(err)
	}
	f := s.NewBackfill()
	f.Add(b)
	f.Done()
	want := producerstate.Verdict{Duplicate: true, BaseOffset: 0, LastOffset: 1, TimestampMs: 1000}
	if v, err := s.Check(data(1, 0, 0, 2, true), true, 10_000); err != nil || v != want {
		t.Fatalf("%+v %v, want %+v", v, err, want)
	}
}

// A model that keeps every batch ever appended and derives each answer from the whole history.
type model struct {
	log []record.Batch
	end ids.Offset
}

func (m *model) check(b record.Batch) string {
	epoch, known := ids.ProducerEpoch(-1), false
	var same []record.Batch // data batches of the current epoch
	coordinator, open := int32(-1), false
	for _, old := range m.log {
		if old.ProducerID() != b.ProducerID() {
			continue
		}
		if known && old.ProducerEpoch() != epoch {
			same = nil
		}
		epoch, known = old.ProducerEpoch(), true
		if old.IsControl() {
			coordinator, open = coordinatorOf(old), false
			continue
		}
		same = append(same, old)
		open = open || old.IsTransactional()
	}
	if !known {
		return "ok"
	}
	if b.IsControl() {
		if b.ProducerEpoch() < epoch {
			return "47"
		}
		if coordinatorOf(b) < coordinator {
			return "52"
		}
		return "ok"
	}
	if b.ProducerEpoch() == epoch {
		for _, old := range same[max(0, len(same)-5):] {
			if old.BaseSequence() == b.BaseSequence() && old.Count() == b.Count() {
				return fmt.Sprintf("duplicate %d-%d", old.BaseOffset(), old.LastOffset())
			}
		}
	}
	if b.ProducerEpoch() < epoch {
		return "47"
	}
	want := int32(0)
	if b.ProducerEpoch() == epoch && len(same) > 0 {
		last := same[len(same)-1]
		want = int32((int64(last.BaseSequence()) + int64(last.Count())) % (1 << 31))
	}
	if b.BaseSequence() != want {
		return "45"
	}
	if open && !b.IsTransactional() {
		return "48"
	}
	return "ok"
}

func coordinatorOf(b record.Batch) int32 {
	it := b.Records(record.Limits{})
	it.Next()
	m, _, err := record.ParseEndTransaction(it.Record().Key, it.Record().Value)
	if err != nil {
		panic(err)
	}
	return m.CoordinatorEpoch
}

func (m *model) firstUnstable() string {
	first := map[ids.ProducerID]ids.Offset{}
	for _, b := range m.log {
		if _, open := first[b.ProducerID()]; b.IsControl() {
			delete(first, b.ProducerID())
		} else if b.IsTransactional() && !open {
			first[b.ProducerID()] = b.BaseOffset()
		}
	}
	lowest := "none"
	best := ids.Offset(math.MaxInt64)
	for _, o := range first {
		if o < best {
			best, lowest = o, fmt.Sprint(o)
		}
	}
	return lowest
}

// Random producers, retries, gaps, epochs, transactions, and restarts (snapshot anywhere, backfill, replay): the state
// always answers as the model does.
func TestAgainstModel(t *testing.T) {
	for range 60 {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 7))
		s, m := producerstate.New(day), &model{}
		type snap struct {
			data []byte
			end  ids.Offset
		}
		snaps := []snap{{s.Snapshot(), 0}}
		for step := range 400 {
			switch rng.IntN(40) {
			case 0:
				snaps = append(snaps, snap{s.Snapshot(), s.End()})
			case 1: // restart; sometimes with a truncated tail, which the model loses too
				from := snaps[rng.IntN(len(snaps))]
				if rng.IntN(3) == 0 {
					for len(m.log) > 0 && m.log[len(m.log)-1].LastOffset() >= from.end && rng.IntN(4) > 0 {
						m.end = m.log[len(m.log)-1].BaseOffset()
						m.log = m.log[:len(m.log)-1]
					}
					snaps = slices.DeleteFunc(snaps, func(x snap) bool { return x.end > m.end })
				}
				var err error
				if s, err = producerstate.Load(from.data, from.end, day); err != nil {
					t.Fatalf("seed %d step %d: %v", seed, step, err)
				}
				f := s.NewBackfill()
				for _, b := range m.log {
					if b.LastOffset() < from.end {
						f.Add(b)
					}
				}
				f.Done()
				for _, b := range m.log {
					if b.BaseOffset() >= from.end {
						s.Update(b)
					}
				}
				s.SetHighWatermark(m.end)
			}
			b := randomBatch(rng, m)
			want := m.check(b)
			v, err := s.Check(b, !b.IsControl(), 1000)
			got := "ok"
			var se *producerstate.SequenceError
			switch {
			case errors.As(err, &se):
				got = fmt.Sprint(se.Code())
			case v.Duplicate:
				got = fmt.Sprintf("duplicate %d-%d", v.BaseOffset, v.LastOffset)
			}
			if got != want {
				t.Fatalf("seed %d step %d: producer %d epoch %d sequence %d: got %s, want %s", seed, step, b.ProducerID(), b.ProducerEpoch(), b.BaseSequence(), got, want)
			}
			if got == "ok" {
				b.SetBaseOffset(m.end)
				s.Update(b)
				s.SetHighWatermark(b.NextOffset())
				m.log, m.end = append(m.log, b), b.NextOffset()
			}
			unstable := "none"
			if o, ok := s.FirstUnstable(); ok {
				unstable = fmt.Sprint(o)
			}
			if diff := cmp.Diff(m.firstUnstable(), unstable); diff != "" {
				t.Fatalf("seed %d step %d: first unstable: %s", seed, step, diff)
			}
		}
	}
}

// randomBatch mostly continues a producer where the model's log has it, sometimes repeats, skips or fences.
func randomBatch(rng *rand.Rand, m *model) record.Batch {
	id := ids.ProducerID(rng.IntN(3))
	epoch, sequence, txn := ids.ProducerEpoch(0), int32(math.MaxInt32-rng.IntN(6)), rng.IntN(2) == 0
	var mine []record.Batch
	for _, b := range m.log {
		if b.ProducerID() == id {
			mine = append(mine, b)
			epoch = b.ProducerEpoch()
			if !b.IsControl() {
				sequence = record.AddSequence(b.LastSequence(), 1)
				txn = b.IsTransactional()
			}
		}
	}
	switch rng.IntN(8) {
	case 0:
		if len(mine) > 0 {
			return slices.Clone(mine[max(0, len(mine)-1-rng.IntN(8))])
		}
	case 1:
		sequence = record.AddSequence(sequence, int32(rng.IntN(4)))
	case 2:
		epoch += ids.ProducerEpoch(rng.IntN(3) - 1)
		sequence = int32(rng.IntN(2))
		epoch = max(epoch, 0)
	case 3:
		return marker(id, epoch+ids.ProducerEpoch(rng.IntN(2)), rng.IntN(2) == 0, int32(rng.IntN(3)))
	case 4:
		txn = !txn
	}
	return data(id, epoch, sequence, 1+rng.IntN(4), txn)
}

func TestNoAllocationPerBatch(t *testing.T) {
	s := producerstate.New(day)
	b := data(1, 0, 0, 1, false)
	sequence := int32(0)
	batches := make([]record.Batch, 2000)
	for i := range batches {
		batches[i] = data(1, 0, int32(i), 1, false)
	}
	s.Update(b)
	if n := testing.AllocsPerRun(1000, func() {
		sequence++
		next := batches[sequence]
		if _, err := s.Check(next, true, 1000); err != nil {
			t.Fatal(err)
		}
		next.SetBaseOffset(s.End())
		s.Update(next)
	}); n != 0 {
		t.Fatalf("%v allocations per batch", n)
	}
}

func BenchmarkCheckUpdate(b *testing.B) {
	s := producerstate.New(day)
	for id := range ids.ProducerID(1000) {
		s.Update(data(id, 0, 0, 10, false))
	}
	retry := data(500, 0, 0, 10, false)
	b.ReportAllocs()
	for b.Loop() {
		if v, err := s.Check(retry, true, 1000); err != nil || !v.Duplicate {
			b.Fatal(v, err)
		}
	}
}
