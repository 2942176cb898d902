package inspect_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/inspect"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

// What storage writes is good, after clean closes and after a power cut, recovery and a clean close. Two independent readings of
// the formats agree, or one of them is wrong.
func TestStorageWritesGoodFiles(t *testing.T) {
	for round := range 15 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Logf("seed %d", seed)
			rng := rand.New(rand.NewPCG(seed, 1))
			mem := vfs.NewMem(seed)
			for incarnation := range 4 {
				store, l := open(t, mem)
				for range 100 {
					appendRandom(t, rng, l, ids.LeaderEpoch(incarnation))
					if rng.IntN(10) == 0 {
						l.Flush(true) // and a checkpoint soon, at random before the next appends or after them
					}
				}
				if round%2 == 1 && incarnation%2 == 1 {
					left := mem.Crash()
					if err := store.Close(); err != nil {
						t.Fatal(err)
					}
					mem = left
					store, _ = open(t, mem)
				}
				if err := store.Close(); err != nil {
					t.Fatal(err)
				}
				sum, err := inspect.Verify(mem, []string{"data"}, func(f inspect.Finding) {
					t.Errorf("incarnation %d: %v", incarnation, f)
				})
				if err != nil || sum.Partitions != 1 || incarnation == 0 && sum.Batches != 100 {
					t.Fatalf("incarnation %d: %+v %v", incarnation, sum, err)
				}
			}
		})
	}
}

func open(t *testing.T, fs vfs.FS) (*storage.Store, *storage.Log) {
	t.Helper()
	store, err := storage.Open(storage.Config{FS: fs, Env: run.OS(), Dirs: []string{"data"}, NodeID: 1, CheckpointBytes: 2_000, Events: storage.Events{
		Problem: func(what string, err error) { t.Logf("problem: %s: %v", what, err) },
	}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := store.OpenLog(ids.TopicPartition{Topic: "t"}, ids.TopicID{1}, storage.LogConfig{SegmentBytes: 6_000, IndexIntervalBytes: 300})
	if err != nil {
		t.Fatal(err)
	}
	return store, l
}

// appendRandom appends one batch: plain, idempotent, transactional or a marker.
func appendRandom(t *testing.T, rng *rand.Rand, l *storage.Log, epoch ids.LeaderEpoch) {
	t.Helper()
	for {
		id := ids.ProducerID(rng.IntN(4))
		w := record.NewBuilder(codecOf(rng), record.DefaultLevel)
		switch id {
		case 0:
		case 1:
			w.Producer(id, 0, int32(rng.IntN(3)))
		default:
			w.Producer(id, 0, 0)
			w.Transactional()
		}
		for range 1 + rng.IntN(5) {
			w.Append(1_700_000_000_000+rng.Int64N(1_000_000), []byte("key"), make([]byte, rng.IntN(200)))
		}
		b, err := w.Build()
		if err != nil {
			t.Fatal(err)
		}
		if id >= 2 && rng.IntN(3) == 0 {
			b = record.EndTransactionMarker(id, 0, record.EndTransaction{Type: record.ControlType(rng.IntN(2)), CoordinatorEpoch: 1}, 1_700_000_000_000)
		}
		a, err := l.Append(b, epoch, 1_700_000_000_000)
		var refused *producerstate.SequenceError
		if errors.As(err, &refused) { // append what it wants
			w.Producer(id, 0, refused.Wanted)
			if b, err = w.Build(); err != nil {
				t.Fatal(err)
			}
			a, err = l.Append(b, epoch, 1_700_000_000_000)
		}
		if err != nil {
			t.Fatal(err)
		}
		if !a.Duplicate {
			return
		}
	}
}

func codecOf(rng *rand.Rand) record.Codec { return record.Codec(rng.IntN(5)) }
