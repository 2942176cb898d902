package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

var (
	topicID = ids.TopicID{1, 2, 3}
	tp0     = ids.TopicPartition{Topic: "t", Partition: 0}
)

// makeBatch builds a batch of n records of about size bytes each, with timestamps from ts on.
func makeBatch(t testing.TB, n, size int, ts int64) record.Batch {
	t.Helper()
	b := record.NewBuilder(record.None, record.DefaultLevel)
	for i := range n {
		b.Append(ts+int64(i), fmt.Appendf(nil, "k%d", i), bytes.Repeat([]byte{byte('a' + i%26)}, size))
	}
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// waiter waits for DurableEnd with a run.Signal, so that it works under any Env.
type waiter struct{ signal run.Signal }

func waitOn(env run.Env, l *storage.Log) *waiter {
	w := &waiter{env.NewSignal()}
	l.OnDurable(func(ids.Offset) { w.signal.Set() })
	return w
}

// flush asks for a round and returns once all appended is durable, or the log failed.
func (w *waiter) flush(l *storage.Log) error {
	end := l.LogEnd()
	l.Flush(true)
	for l.DurableEnd() < end && l.Err() == nil {
		w.signal.Wait()
	}
	return l.Err()
}

func openStore(t testing.TB, fs vfs.FS, dir string) *storage.Store {
	t.Helper()
	s, err := storage.Open(storage.Config{FS: fs, Env: run.OS(), Dirs: []string{dir}, NodeID: 1, Events: storage.Events{
		Problem: func(what string, err error) { t.Logf("problem: %s: %v", what, err) },
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openLog(t testing.TB, s *storage.Store, cfg storage.LogConfig) *storage.Log {
	t.Helper()
	l, err := s.OpenLog(tp0, topicID, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// readAll reads [from, limit) in fetches of maxBytes and returns the bytes.
func readAll(l *storage.Log, from, limit ids.Offset, maxBytes int) ([]byte, error) {
	var out []byte
	for from < limit {
		r, err := l.Read(from, limit, maxBytes, true)
		if err != nil {
			return out, err
		}
		if r.Size() == 0 {
			return out, nil
		}
		p := make([]byte, r.Size())
		src, at := r.Source()
		_, err = src.ReadAt(p, at)
		r.Release()
		if err != nil {
			return out, err
		}
		out = append(out, p...)
		for len(p) > 0 {
			b, rest, err := record.Next(p)
			if err != nil {
				return out, fmt.Errorf("region at %d is not whole batches: %w", from, err)
			}
			from, p = b.NextOffset(), rest
		}
	}
	return out, nil
}

func TestAppendReadReopenOnDisk(t *testing.T) {
	dir := t.TempDir() + "/data"
	s := openStore(t, vfs.OS(), dir)
	cfg := storage.LogConfig{SegmentBytes: 20_000, IndexIntervalBytes: 500}
	l := openLog(t, s, cfg)
	w := waitOn(run.OS(), l)
	var want []byte
	for i := range 200 {
		b := makeBatch(t, 1+i%5, 100, int64(1000+i))
		a, err := l.Append(b, ids.LeaderEpoch(i/50), 0)
		if err != nil {
			t.Fatal(err)
		}
		if a.BaseOffset != b.BaseOffset() || a.LastOffset != b.LastOffset() {
			t.Fatalf("append says %+v of a batch at %d", a, b.BaseOffset())
		}
		want = append(want, b...)
	}
	if err := w.flush(l); err != nil {
		t.Fatal(err)
	}
	check := func(l *storage.Log) {
		t.Helper()
		for _, maxBytes := range []int{1, 700, 5000, 1 << 20} {
			got, err := readAll(l, 0, l.LogEnd(), maxBytes)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("read back %d bytes by %d, want %d: %v", len(got), maxBytes, len(want), err)
			}
		}
		if epoch, end := l.EndOffsetForEpoch(1); epoch != 1 || l.EpochAt(end-1) != 1 || l.EpochAt(end) != 2 {
			t.Fatalf("epoch 1 ends at %d (epoch %d)", end, epoch)
		}
	}
	check(l)
	if l.Segments() < 3 {
		t.Fatalf("%d segments", l.Segments())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, vfs.OS(), dir)
	defer s.Close()
	if !s.Directories()[0].WasClean {
		t.Fatal("not clean after Close")
	}
	l = openLog(t, s, cfg)
	check(l)
	if _, err := l.Append(makeBatch(t, 1, 10, 5000), 2, 0); !errors.Is(err, storage.ErrStaleEpoch) {
		t.Fatalf("append of an old epoch: %v", err)
	}
	if _, err := l.Read(l.LogEnd()+1, l.LogEnd(), 100, true); !errors.Is(err, storage.ErrOffsetOutOfRange) {
		t.Fatalf("read past the end: %v", err)
	}
	if f, ok, err := l.OffsetForTimestamp(1100, l.LogEnd()); err != nil || !ok || f.TimestampMs < 1100 {
		t.Fatalf("timestamp lookup: %+v %v %v", f, ok, err)
	}
}

// abortedTransaction is a batch of one record and the marker that aborts it.
func abortedTransaction(t testing.TB, producer ids.ProducerID, ts int64) [2]record.Batch {
	t.Helper()
	b := record.NewBuilder(record.None, record.DefaultLevel)
	b.Producer(producer, 0, 0)
	b.Transactional()
	b.Append(ts, nil, []byte("taken back"))
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return [2]record.Batch{batch, record.EndTransactionMarker(producer, 0, record.EndTransaction{Type: record.ControlAbort, CoordinatorEpoch: 1}, ts)}
}
