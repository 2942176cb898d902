package storage_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

// A read_committed consumer that skips, of each region, what Aborted names, sees exactly the committed records: from any offset, with transactions
// that span segments, before and after a restart.
func TestAbortedTransactionsAreNamed(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	mem := vfs.NewMem(seed)
	cfg := storage.LogConfig{SegmentBytes: 1500, IndexIntervalBytes: 200}
	store := openStore(t, mem, "data")
	l := openLog(t, store, cfg)
	open, sequences := map[ids.ProducerID][]ids.Offset{}, map[ids.ProducerID]int32{}
	committed, ended := map[ids.Offset]bool{}, ids.Offset(0)
	for step := 0; step < 200 || len(open) > 0; step++ {
		id := ids.ProducerID(1 + rng.IntN(4))
		if offsets := open[id]; step >= 200 && len(offsets) == 0 {
			continue
		} else if len(offsets) > 0 && (step >= 200 || rng.IntN(3) == 0) {
			kind := record.ControlType(rng.IntN(2))
			marker := record.EndTransactionMarker(id, 0, record.EndTransaction{Type: kind, CoordinatorEpoch: 1}, 1)
			ended = mustAppend(t, l, marker, 0).LastOffset + 1
			for _, o := range offsets {
				committed[o] = kind == record.ControlCommit
			}
			delete(open, id)
			continue
		}
		w := record.NewBuilder(record.None, record.DefaultLevel)
		w.Producer(id, 0, sequences[id])
		w.Transactional()
		for range 1 + rng.IntN(3) {
			w.Append(1, nil, fmt.Appendf(nil, "step %d", step))
		}
		b, err := w.Build()
		if err != nil {
			t.Fatal(err)
		}
		a := mustAppend(t, l, b, 0)
		for o := a.BaseOffset; o <= a.LastOffset; o++ {
			open[id] = append(open[id], o)
		}
		sequences[id] += int32(a.LastOffset-a.BaseOffset) + 1
	}
	for round := range 2 {
		for from := ids.Offset(0); from < ended; from += 1 + ids.Offset(rng.IntN(20)) {
			want := map[ids.Offset]bool{}
			for o, ok := range committed {
				if ok && o >= from {
					want[o] = true
				}
			}
			if diff := cmp.Diff(want, consumeCommitted(t, l, from, ended)); diff != "" {
				t.Fatalf("round %d, from %d: (-want +got)\n%s", round, from, diff)
			}
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			store = openStore(t, mem, "data")
			l = openLog(t, store, cfg)
		}
	}
}

// consumeCommitted reads as a client does: a transaction that Aborted names is skipped from its first offset to its marker.
func consumeCommitted(t *testing.T, l *storage.Log, from, end ids.Offset) map[ids.Offset]bool {
	t.Helper()
	seen := map[ids.Offset]bool{}
	for at := from; at < end; {
		region, err := l.Read(at, end, 700, true)
		if err != nil {
			t.Fatal(err)
		}
		source, position := region.Source()
		data := make([]byte, region.Size())
		if _, err := source.ReadAt(data, position); err != nil {
			t.Fatal(err)
		}
		var aborted []producerstate.Completed
		if err := l.Aborted(&region, at, func(c producerstate.Completed) { aborted = append(aborted, c) }); err != nil {
			t.Fatal(err)
		}
		region.Release()
		for len(data) > 0 {
			b, rest, err := record.Next(data)
			if err != nil {
				break // cut by the size of the read
			}
			skip := b.IsControl()
			for _, a := range aborted {
				skip = skip || a.ProducerID == b.ProducerID() && a.FirstOffset <= b.BaseOffset() && b.BaseOffset() <= a.LastOffset
			}
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

// A watermark that was at the log's end before a crash is there after it, too, and nobody says so again: transactions that were aborted below it hold up no reader.
func TestStableOffsetAfterACrash(t *testing.T) {
	r := newFlipRig(t)
	end := r.batches[len(r.batches)-1].NextOffset()
	for _, watermark := range []ids.Offset{0, 20, end, end + 10} {
		data := maps.Clone(r.states["early"])
		data["data/replication-offset-checkpoint"] = fmt.Appendf(nil, "0\n1\nt 0 %d\n", watermark)
		s := openStore(t, data.disk(t), "data")
		l := openLog(t, s, flipConfig)
		want := end
		for _, a := range r.aborted {
			if a.LastOffset >= watermark {
				want = min(want, a.FirstOffset)
			}
		}
		if got := l.LastStable(end); got != want {
			t.Errorf("watermark %d: stable up to %d, want %d", watermark, got, want)
		}
		if l.SetHighWatermark(end); l.LastStable(end) != end {
			t.Errorf("watermark %d: stable up to %d in the end", watermark, l.LastStable(end))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
