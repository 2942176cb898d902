package storage

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/background"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/vfs"
)

// BenchmarkCompaction compacts a log of 1 KiB records in batches of 16 whose keys occur four times each, on the disk, on one goroutine. MB/s is of the log as it was;
// all of it is read twice, and what is left is written.
func BenchmarkCompaction(b *testing.B) {
	for _, codec := range []record.Codec{record.None, record.LZ4} {
		b.Run(codec.String(), func(b *testing.B) {
			const records, batch, value = 128 << 10, 16, 1000
			var bytes int64
			for b.Loop() {
				b.StopTimer()
				l, compact := benchLog(b, codec, records, batch, value)
				bytes = l.Size()
				b.StartTimer()
				compact()
				b.StopTimer()
				if left := l.Size(); left > bytes*6/10 {
					b.Fatalf("%d of %d bytes are left", left, bytes)
				}
				if err := l.store.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.SetBytes(bytes)
		})
	}
}

// benchLog writes a log, and returns what compacts it.
func benchLog(b *testing.B, codec record.Codec, records, batch, size int) (*Log, func()) {
	b.Helper()
	store, err := Open(Config{FS: vfs.OS(), Env: run.OS(), Dirs: []string{b.TempDir()}, NodeID: 1, CheckpointBytes: 1, CheckpointMs: 1,
		Cleaner: CleanerConfig{Off: true}})
	if err != nil {
		b.Fatal(err)
	}
	l, err := store.OpenLog(ids.TopicPartition{Topic: "t"}, ids.TopicID{1}, LogConfig{Compact: true, SegmentBytes: 32 << 20})
	if err != nil {
		b.Fatal(err)
	}
	builder := record.NewBuilder(codec, record.DefaultLevel)
	payload := make([]byte, size)
	noise := rand.NewChaCha8([32]byte{1})
	for i := 0; i < records; i += batch {
		builder.Reset()
		for j := range batch {
			noise.Read(payload[:size/2]) //nolint:errcheck // it cannot fail
			key := (i + j) * 2654435761 % (records / 4)
			builder.Append(1, fmt.Appendf(nil, "user-%016d", key), payload)
		}
		made, err := builder.Build()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := l.Append(made, 1, 1); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.awaitDurable(l.LogEnd()); err != nil {
		b.Fatal(err)
	}
	l.SetHighWatermark(l.LogEnd())
	for point, _, _ := l.dir.points(l.tp); point < l.DurableEnd(); point, _, _ = l.dir.points(l.tp) {
		run.OS().NewSignal().WaitFor(time.Millisecond)
	}
	return l, func() {
		r, ok, err := l.cleanable(1)
		if err != nil || !ok {
			b.Fatalf("cleanable: %v %v", ok, err)
		}
		c := store.cleaner.beginCompaction(r, store.cleaner.config())
		for done := false; !done; {
			s := background.IdleSlice(run.OS())
			if done, err = c.step(s, s.Spend); err != nil {
				b.Fatal(err)
			}
		}
		c.close()
	}
}
