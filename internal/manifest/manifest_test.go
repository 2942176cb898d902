package manifest

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
)

func someLogs(random *rand.Rand) (logs []Log) {
	for n := range random.IntN(5) {
		l := Log{
			Topic: ids.TopicPartition{Topic: "topic"[:1+random.IntN(5)], Partition: int32(n)}, ID: ids.TopicID{byte(random.IntN(256)), 15: 3}, Listing: Listing(random.Uint64()),
			LogStart: ids.Offset(random.Int64N(1 << 40)), LogEnd: ids.Offset(random.Int64N(1 << 40)), Producers: random.IntN(2) == 0, Epochs: []Epoch{},
			LastOffset: IndexEntry{random.Int64N(1 << 31), random.Int32()}, LastTime: IndexEntry{random.Int64() - random.Int64(), random.Int32()},
			FirstTimestamp: -1, MaxTimestamp: random.Int64N(1 << 45), MaxOffset: ids.Offset(random.Int64N(1 << 40)),
		}
		for range random.IntN(4) {
			l.Epochs = append(l.Epochs, Epoch{ids.LeaderEpoch(random.Int32()), ids.Offset(random.Int64N(1 << 40))})
		}
		for range 1 + random.IntN(4) {
			l.Segments = append(l.Segments, Segment{ids.Offset(random.Int64N(1 << 40)), random.Int64N(1 << 31), random.Int64N(1 << 20), random.Int64N(1 << 20), random.Int64N(1 << 20)})
		}
		logs = append(logs, l)
	}
	return logs
}

func TestReadsWhatItWrote(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		logs := someLogs(random)
		m, err := Open(Encode(logs))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, want := range logs {
			got, ok := m.Take(want.Topic)
			if diff := cmp.Diff(want, got); !ok || diff != "" {
				t.Fatalf("seed %d: %v %s", seed, ok, diff)
			}
			if _, again := m.Take(want.Topic); again {
				t.Fatalf("seed %d: %v was handed out twice", seed, want.Topic)
			}
		}
		largest := LargestTimestamps{}
		for _, l := range logs {
			largest[l.Topic] = Largest{l.ID, l.LogStart, l.LogEnd, -l.MaxTimestamp, l.MaxOffset}
		}
		back, err := OpenLargest(largest.Encode())
		if diff := cmp.Diff(largest, back); err != nil || diff != "" {
			t.Fatalf("seed %d: %v %s", seed, err, diff)
		}
	}
}

// FuzzOpen: no bytes make it panic, or read more than there is, also behind a checksum that is right.
func FuzzOpen(f *testing.F) {
	for seed := range uint64(5) {
		logs := someLogs(rand.New(rand.NewPCG(seed, 2)))
		f.Add(Encode(logs)[len(magic):], false)
		f.Add(LargestTimestamps{{Topic: "t"}: {}}.Encode()[len(magic):], true)
	}
	f.Fuzz(func(t *testing.T, body []byte, asLargest bool) {
		if asLargest {
			_, _ = OpenLargest(frame(largestMagic, [][]byte{body})) //nolint:errcheck // either is right
			return
		}
		_, _ = Open(append([]byte(magic), body...)) //nolint:errcheck // either is right
		m, err := Open(frame(magic, [][]byte{body}))
		if err != nil {
			return
		}
		for tp := range m {
			m.Take(tp)
		}
	})
}

// TestListing: it tells names from sizes and files from each other, and does not depend on their order.
func TestListing(t *testing.T) {
	type file struct {
		name string
		size int64
	}
	seen := make(map[Listing][]file)
	for _, files := range [][]file{
		nil, {{"a", 0}}, {{"a", 1}}, {{"b", 1}}, {{"a", 256}}, {{"a", 1}, {"b", 0}}, {{"a", 0}, {"b", 1}}, {{"ab", 0}}, {{"a", 1}, {"a", 1}},
	} {
		var l, reversed Listing
		for i := range files {
			l.Add(files[i].name, files[i].size)
			f := files[len(files)-1-i]
			reversed.Add(f.name, f.size)
		}
		if l != reversed {
			t.Errorf("%v: %x, and %x in reverse", files, l, reversed)
		}
		if other, ok := seen[l]; ok && len(files) > 0 {
			t.Errorf("%v and %v are both %x", files, other, l)
		}
		seen[l] = files
	}
}
