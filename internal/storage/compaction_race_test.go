package storage_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

// TestReadersBesideCompaction: whoever reads while segments are swapped, and files of others are closed, gets whole batches in order, and never an error.
func TestReadersBesideCompaction(t *testing.T) {
	rounds := make(chan struct{}, 1000)
	store, err := storage.Open(storage.Config{FS: vfs.NewMem(1), Env: run.OS(), Dirs: []string{"data"}, NodeID: 1, CheckpointBytes: 1, CheckpointMs: 1,
		MaxOpenFiles: 8, Cleaner: storage.CleanerConfig{BackoffMs: 1, BufferBytes: 1}, Events: storage.Events{
			Compacted:   func(storage.Compaction) { rounds <- struct{}{} },
			Uncleanable: func(_ ids.TopicPartition, err error) { t.Error(err) },
			Problem:     func(what string, err error) { t.Errorf("%s: %v", what, err) },
		}})
	if err != nil {
		t.Fatal(err)
	}
	l := openLog(t, store, storage.LogConfig{Compact: true, SegmentBytes: 3000, IndexIntervalBytes: 200, FileDeleteDelayMs: 0})
	var done atomic.Bool
	var others sync.WaitGroup
	for n := range 2 {
		others.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 3))
			for !done.Load() {
				end := l.DurableEnd()
				from := ids.Offset(random.Int64N(int64(end) + 1))
				region, err := l.Read(from, end, 1+random.IntN(4000), true)
				if err != nil {
					t.Errorf("read from %d to %d: %v", from, end, err)
					return
				}
				data := make([]byte, region.Size())
				if source, at := region.Source(); source != nil {
					if _, err := source.ReadAt(data, at); err != nil {
						t.Errorf("read the region from %d: %v", from, err)
					}
				}
				if err := l.Aborted(&region, from, func(producerstate.Completed) {}); err != nil {
					t.Errorf("aborted transactions from %d: %v", from, err)
				}
				region.Release()
				for next := from; len(data) > 0; {
					b, rest, err := record.Next(data)
					if err != nil || b.CRC() != b.ComputeCRC() || b.NextOffset() <= next || b.LastOffset() >= end {
						t.Errorf("a region from %d to %d has %d bytes that are no batch after %d (%v)", from, end, len(data), next, err)
						return
					}
					next, data = b.NextOffset(), rest
				}
				if _, _, err := l.OffsetForTimestamp(random.Int64N(2000), end); err != nil {
					t.Errorf("look up a time: %v", err)
				}
				if _, _, err := l.MaxTimestamp(end); err != nil {
					t.Errorf("look up the largest time: %v", err)
				}
			}
		})
	}
	want := 15
	if raceEnabled {
		want = 6
	}
	for at, compacted := 0, 0; compacted < want && !t.Failed(); at++ {
		var batches []record.Batch
		if at%5 == 0 {
			pair := abortedTransaction(t, ids.ProducerID(at), int64(at))
			batches = pair[:]
		} else {
			b := record.NewBuilder(record.Codec(at%5), record.DefaultLevel)
			b.Append(int64(at), fmt.Appendf(nil, "key %d", at%7), make([]byte, at*37%300))
			batch, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			batches = []record.Batch{batch}
		}
		for _, b := range batches {
			if _, err := l.Append(b, 1, int64(at)); err != nil {
				t.Fatal(err)
			}
		}
		l.SetHighWatermark(l.LogEnd())
		l.Flush(true)
		if at%60 == 59 { // some segments more
			<-rounds
			compacted++
		}
	}
	done.Store(true)
	others.Wait()
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}
