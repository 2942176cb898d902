package compaction

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
)

// TestOffsetMapAgainstModel: short keys, long ones and those that differ in length only, until it is full and beyond.
func TestOffsetMapAgainstModel(t *testing.T) {
	for _, bytes := range []int64{0, 40 * mapSlotBytes, 4000 * mapSlotBytes, 2 * manySlots * mapSlotBytes} {
		random := rand.New(rand.NewPCG(uint64(bytes), 1))
		m := newOffsetMap(bytes, 0.9, [16]byte{1, 2, 3})
		want := make(map[string]ids.Offset)
		refused := 0
		for offset := range ids.Offset(3 * m.slots) {
			key := fmt.Sprintf("%0*d", random.IntN(24), random.IntN(2*m.slots))
			_, had := want[key]
			if m.put([]byte(key), offset) {
				want[key] = offset
			} else if refused++; had || len(want) < m.most && len(m.shards) == 1 {
				t.Fatalf("%d bytes: %q is refused with %d of %d entries, known before: %v", bytes, key, len(want), m.most, had)
			}
		}
		if refused == 0 || m.entries != len(want) || m.entries > m.most {
			t.Errorf("%d bytes: %d entries of at most %d, %d keys, %d refused", bytes, m.entries, m.most, len(want), refused)
		}
		for key, offset := range want {
			if got := m.get([]byte(key)); got != offset {
				t.Fatalf("%d bytes: %q is at offset %d, want %d", bytes, key, got, offset)
			}
		}
		if got := m.get([]byte("a key that was never put")); got != -1 {
			t.Errorf("%d bytes: an unknown key is at offset %d", bytes, got)
		}
	}
}

// keyed makes a batch at base with a record for each key; a key in capitals gets no value.
func keyed(t testing.TB, base ids.Offset, keys string) record.Batch {
	t.Helper()
	builder := record.NewBuilder(record.None, record.DefaultLevel)
	for _, k := range keys {
		var value []byte
		if k >= 'a' {
			value = []byte("v")
		}
		builder.Append(1, []byte{byte(k) | 0x20}, value)
	}
	b, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	b.SetBaseOffset(base)
	return b
}

// compact runs a round over batches and returns what is left: the key of each offset. Batches that are rebuilt take the place of those in the list.
func compact(t testing.TB, s Settings, batches []record.Batch) ([]record.Batch, map[ids.Offset]string, *Round) {
	t.Helper()
	r := NewRound(s)
	for _, b := range batches {
		if b.LastOffset() < s.FirstDirty {
			continue
		}
		took, err := r.Note(b)
		if err != nil {
			t.Fatal(err)
		}
		if !took {
			break
		}
	}
	r.BeginDeciding()
	r.BeginSegment(nil, func(producerstate.Completed) { t.Error("an aborted transaction is kept that nobody told of") })
	var out []record.Batch
	left := make(map[ids.Offset]string)
	for _, b := range batches {
		what, err := r.Decide(b)
		if err != nil {
			t.Fatal(err)
		}
		switch what {
		case Dropped:
			continue
		case Emptied:
			b = b.AppendEmptied(nil)
		case Rebuilt:
			data, err := r.AppendRebuilt(nil)
			if err != nil {
				t.Fatal(err)
			}
			b = data
		case Verbatim:
		}
		out = append(out, b)
		records := b.Records(record.Limits{})
		for records.Next() {
			left[records.Record().Offset] = string(records.Record().Key)
		}
		if err := records.Err(); err != nil {
			t.Fatal(err)
		}
		records.Close()
	}
	return out, left, r
}

// TestRound: each key keeps its newest record, a tombstone until its time has come, and the range of offsets does not shrink.
func TestRound(t *testing.T) {
	log := []record.Batch{keyed(t, 0, "abc"), keyed(t, 3, "aB"), keyed(t, 5, "ad"), keyed(t, 7, "da")}
	s := Settings{End: 9, NowMs: 1000, DeleteRetentionMs: 10, MapBytes: 1 << 20, LoadFactor: 0.9}
	log, left, r := compact(t, s, log)
	if want := map[ids.Offset]string{2: "c", 4: "b", 7: "d", 8: "a"}; !maps.Equal(left, want) {
		t.Fatalf("%v, want %v", left, want)
	}
	if records, retained, keyless := r.Counts(); records != 9 || retained != 4 || keyless != 0 || r.End() != 9 {
		t.Errorf("%d records, %d retained, %d keyless, end %d", records, retained, keyless, r.End())
	}
	s.NowMs = 1009
	if _, left, _ = compact(t, s, log); left[4] != "b" {
		t.Errorf("a tombstone goes before its time: %v", left)
	}
	s.NowMs = 1010
	if log, left, _ = compact(t, s, log); left[4] != "" || len(left) != 3 {
		t.Errorf("a tombstone stays beyond its time: %v", left)
	}
	log = append(log, keyed(t, 9, "cda"))
	s.FirstDirty, s.End = 9, 12
	if log, left, _ = compact(t, s, log); len(left) != 3 || log[len(log)-1].LastOffset() != 11 {
		t.Errorf("after newer records of all keys: %v", left)
	}
	s.End = 9 // the batch that ends there stays, without its records
	emptied := []record.Batch{keyed(t, 7, "da"), keyed(t, 9, "da")}
	s.FirstDirty = 7
	if log, _, _ = compact(t, s, emptied); len(log) != 2 || log[0].NextOffset() != 9 || log[0].Count() != 0 {
		t.Errorf("the last batch of the range is not emptied: %d batches", len(log))
	}
}

// TestFullMap: what lies behind the key that the map did not take stays, and the next round begins there.
func TestFullMap(t *testing.T) {
	s := Settings{End: 100, MapBytes: 4 * mapSlotBytes, LoadFactor: 0.9}
	_, left, r := compact(t, s, []record.Batch{keyed(t, 0, "aab"), keyed(t, 3, "bcdef"), keyed(t, 8, "abc")})
	if r.End() != 5 {
		t.Fatalf("the round ends at %d", r.End())
	}
	if got, want := slices.Sorted(maps.Keys(left)), []ids.Offset{1, 3, 4, 5, 6, 7, 8, 9, 10}; !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
}

func TestRange(t *testing.T) {
	r := Range{FirstDirty: 20, FirstUncleanable: 40}
	for i, bytes := range []int64{100, 10, 20, 30} { // up to 10, 20, 30, 40
		r.Count(ids.Offset(10*i), ids.Offset(10*i+10), bytes, i == 3)
	}
	if r.CleanBytes != 110 || r.CleanableBytes != 50 || !r.Some() || r.Ratio() != 50.0/160 {
		t.Errorf("%+v, ratio %f", r, r.Ratio())
	}
	if r.Due(0.4) || !r.Due(0.3) {
		t.Error("it is not due by its ratio")
	}
	if r.Overdue = true; !r.Due(0.4) {
		t.Error("it is overdue, and not due")
	}
	if (&Range{Overdue: true}).Due(0) {
		t.Error("nothing is due")
	}
}

func TestGroup(t *testing.T) {
	many := ids.Offset(1) << 31
	for _, test := range []struct {
		name     string
		segments []Segment
		want     []int
	}{
		{"none", nil, nil},
		{"by bytes", []Segment{{0, 1, 60, 0, 0}, {1, 2, 40, 0, 0}, {2, 3, 1, 0, 0}}, []int{2, 1}},
		{"too large by itself", []Segment{{0, 1, 200, 0, 0}, {1, 2, 200, 0, 0}, {2, 3, 1, 0, 0}}, []int{1, 1, 1}},
		{"by the offset index", []Segment{{0, 1, 1, 8, 0}, {1, 2, 1, 8, 0}}, []int{1, 1}},
		{"by the time index", []Segment{{0, 1, 1, 0, 8}, {1, 2, 1, 0, 2}, {2, 3, 1, 0, 1}}, []int{2, 1}},
		{"by offsets", []Segment{{0, 10, 1, 0, 0}, {10, many + 1, 1, 0, 0}}, []int{1, 1}},
		{"by offsets, just", []Segment{{0, 10, 1, 0, 0}, {10, many, 1, 0, 0}}, []int{2}},
		{"without bytes", []Segment{{0, 10, 1, 0, 0}, {10, many + 1, 0, 0, 0}}, []int{2}},
	} {
		if got := Group(test.segments, 100, 10); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestThrottle(t *testing.T) {
	var th Throttle
	if at := th.After(time.Second, 1<<30, 0); at != 0 {
		t.Errorf("without a rate it waits until %v", at)
	}
	if at := th.After(time.Second, 50, 100); at != 1500*time.Millisecond {
		t.Errorf("50 bytes at 100 a second: until %v", at)
	}
	if at := th.After(1200*time.Millisecond, 50, 100); at != 2*time.Second {
		t.Errorf("and 50 more before that: until %v", at)
	}
}
