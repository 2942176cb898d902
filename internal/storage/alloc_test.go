package storage_test

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

func benchLog(b testing.TB, durability storage.Durability) (*storage.Store, *storage.Log) {
	s := openStore(b, vfs.OS(), b.TempDir()+"/data")
	return s, openLog(b, s, storage.LogConfig{Durability: durability})
}

// idempotent is a batch whose sequence the returned function sets to the next one.
func idempotent(t testing.TB, size int) (record.Batch, func()) {
	b := record.NewBuilder(record.None, record.DefaultLevel)
	b.Producer(7, 0, 0)
	b.Append(1, nil, make([]byte, size))
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	sequence := int32(0)
	return batch, func() {
		putInt32(batch[53:], sequence)
		putInt32(batch[17:], int32(batch.ComputeCRC()))
		sequence++
	}
}

func putInt32(p []byte, v int32) {
	p[0], p[1], p[2], p[3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
}

func TestAppendDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget at random")
	}
	s, l := benchLog(t, storage.Replicated)
	defer s.Close()
	batch, next := idempotent(t, 1024)
	n := testing.AllocsPerRun(5000, func() {
		next()
		if _, err := l.Append(batch, 1, 0); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations per append", n)
	}
}

func TestReadDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget at random")
	}
	s, l := benchLog(t, storage.Replicated)
	defer s.Close()
	batch, next := idempotent(t, 1024)
	for range 5000 {
		next()
		if _, err := l.Append(batch, 1, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, maxBytes := range []int{1, 16 << 10} {
		from := ids.Offset(0)
		n := testing.AllocsPerRun(200, func() {
			r, err := l.Read(from, l.LogEnd(), maxBytes, true)
			if err != nil || r.Size() == 0 {
				t.Fatalf("%d bytes at %d: %v", r.Size(), from, err)
			}
			from += ids.Offset(r.Size() / len(batch))
			r.Release()
		})
		if n != 0 {
			t.Errorf("%v allocations per read of %d bytes", n, maxBytes)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"1KiB", 1 << 10}, {"64KiB", 64 << 10}, {"1MiB", 1 << 20}} {
		b.Run(size.name, func(b *testing.B) {
			s, l := benchLog(b, storage.Replicated)
			defer s.Close()
			l.SetConfig(storage.LogConfig{Durability: storage.Replicated, SegmentBytes: 256 << 20, Delete: true, RetentionBytes: 512 << 20})
			batch, next := idempotent(b, size.bytes)
			b.SetBytes(int64(size.bytes))
			b.ReportAllocs()
			written := 0
			for b.Loop() {
				next()
				if _, err := l.Append(batch, 1, 0); err != nil {
					b.Fatal(err)
				}
				if written += size.bytes; written > 256<<20 {
					written = 0
					b.StopTimer()
					if err := l.ApplyRetention(0); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
			}
		})
	}
}

func BenchmarkAppendAndFlush(b *testing.B) {
	s, l := benchLog(b, storage.Fsync)
	defer s.Close()
	w := waitOn(run.OS(), l)
	batch, next := idempotent(b, 1<<10)
	for b.Loop() {
		next()
		if _, err := l.Append(batch, 1, 0); err != nil {
			b.Fatal(err)
		}
		if err := w.flush(l); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for _, c := range []struct {
		name            string
		batch, maxBytes int
	}{{"1MiB of 16KiB", 16 << 10, 1 << 20}, {"16KiB of 1KiB", 1 << 10, 16 << 10}, {"tail 1KiB", 1 << 10, 1 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			s, l := benchLog(b, storage.Replicated)
			defer s.Close()
			l.SetConfig(storage.LogConfig{Durability: storage.Replicated, SegmentBytes: 8 << 20})
			batch, next := idempotent(b, c.batch)
			for range 64 << 20 / c.batch {
				next()
				if _, err := l.Append(batch, 1, 0); err != nil {
					b.Fatal(err)
				}
			}
			from := ids.Offset(0)
			b.ReportAllocs()
			for b.Loop() {
				if c.name == "tail 1KiB" {
					from = l.LogEnd() - 1
				} else if from >= l.LogEnd() {
					from = 0
				}
				r, err := l.Read(from, l.LogEnd(), c.maxBytes, true)
				if err != nil || r.Size() == 0 {
					b.Fatalf("%d bytes at %d of %d: %v", r.Size(), from, l.LogEnd(), err)
				}
				from += ids.Offset(r.Size() / len(batch))
				r.Release()
			}
		})
	}
}

// BenchmarkGroupCommit is durable appends of 1 KiB by many waiters at once, on as many logs.
func BenchmarkGroupCommit(b *testing.B) {
	for _, waiters := range []int{1, 16, 128} {
		b.Run(fmt.Sprint(waiters), func(b *testing.B) {
			s := openStore(b, vfs.OS(), b.TempDir()+"/data")
			defer s.Close()
			var left atomic.Int64
			left.Store(int64(b.N))
			var group sync.WaitGroup
			b.ResetTimer()
			for i := range int32(waiters) {
				l, err := s.OpenLog(ids.TopicPartition{Topic: "t", Partition: i}, topicID, storage.LogConfig{})
				if err != nil {
					b.Fatal(err)
				}
				w := waitOn(run.OS(), l)
				batch, next := idempotent(b, 1<<10)
				group.Go(func() {
					for left.Add(-1) >= 0 {
						next()
						if _, err := l.Append(batch, 1, 0); err != nil {
							b.Error(err)
							return
						}
						if err := w.flush(l); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "acks/s")
		})
	}
}

// An idle log costs no file, no goroutine and little memory.
func TestIdleLogsAreCheap(t *testing.T) {
	mem := vfs.NewMem(1)
	s := openStore(t, mem, "data")
	defer s.Close()
	const n = 5000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	goroutines, ops := runtime.NumGoroutine(), mem.Ops()
	logs := make([]*storage.Log, n)
	for i := range int32(n) {
		l, err := s.OpenLog(ids.TopicPartition{Topic: "t", Partition: i}, topicID, storage.LogConfig{})
		if err != nil {
			t.Fatal(err)
		}
		logs[i] = l
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := int64(after.HeapAlloc-before.HeapAlloc) / n
	if each > 2048 || runtime.NumGoroutine() != goroutines || mem.Ops() != ops || s.OpenFiles() != 0 {
		t.Errorf("%d bytes, %d goroutines more, %d operations on the disk, %d files", each, runtime.NumGoroutine()-goroutines, mem.Ops()-ops, s.OpenFiles())
	}
	t.Logf("%d bytes a log", each)
	runtime.KeepAlive(logs)
}
