package record_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/ottla-io/ottla/internal/record"
)

// bounded fails t if fn takes more time or memory than its input can justify. Decompression may cost what Limits say, so
// the bounds are generous in the constant and strict in what matters: no count or size from the bytes decides.
func bounded(t testing.TB, input int, fn func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	fn()
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if limit := 5 * time.Second; took > limit {
		t.Fatalf("%d bytes took %v", input, took)
	}
	if grown, limit := after.TotalAlloc-before.TotalAlloc, uint64(3*record.MaxOutputBytes); grown > limit {
		t.Fatalf("%d bytes allocated %d MB", input, grown>>20)
	}
}

const limit = 8 << 20

// bombs are small inputs that claim or unpack to far more than limit.
func bombs(t testing.TB) map[string]struct {
	codec record.Codec
	bytes []byte
} {
	t.Helper()
	type bomb = struct {
		codec record.Codec
		bytes []byte
	}
	all := map[string]bomb{}
	zeros := make([]byte, 64<<20)
	for _, codec := range codecs[1:] {
		if codec == record.Snappy {
			continue // 64 MB of xerial chunks are 3 MB: the next entries are smaller and worse
		}
		p, err := record.Compress(codec, record.DefaultLevel, nil, zeros)
		if err != nil {
			t.Fatal(err)
		}
		all["64 MB of zeros, "+codec.String()] = bomb{codec, p}
	}
	all["snappy: 6 bytes that declare 4 GB"] = bomb{record.Snappy, []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0}}
	all["snappy: declares 100 MB"] = bomb{record.Snappy, append(binary.AppendUvarint(nil, 100<<20), make([]byte, 100)...)}
	chunk := s2.EncodeSnappy(nil, make([]byte, 60<<10))
	xerial := []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1}
	for range 2000 {
		xerial = append(binary.BigEndian.AppendUint32(xerial, uint32(len(chunk))), chunk...)
	}
	all["snappy: 2,000 xerial chunks of 60 KB"] = bomb{record.Snappy, xerial}
	one, err := record.Compress(record.Gzip, 9, nil, zeros[:1<<20])
	if err != nil {
		t.Fatal(err)
	}
	var members []byte
	for range 200 {
		members = append(members, one...)
	}
	all["gzip: 200 members of 1 MB"] = bomb{record.Gzip, members}
	all["zstd: frame of 128 MB window and 2^60 bytes"] = bomb{record.Zstd, slices.Concat([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0}, binary.LittleEndian.AppendUint64(nil, 1<<60), []byte{1, 0, 0})}
	all["zstd: largest window"] = bomb{record.Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0xff, 0x03, 0, 0, 0}}
	// RLE blocks of 128 KB, 4 bytes each.
	rle := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3}
	for range 2000 {
		const block = 128<<10<<3 | 1<<1 // size and type RLE, not the last
		rle = append(rle, block&0xff, block>>8&0xff, block>>16, 0)
	}
	all["zstd: 2,000 RLE blocks"] = bomb{record.Zstd, append(rle, 1, 0, 0)}
	return all
}

func TestBombs(t *testing.T) {
	for name, bomb := range bombs(t) {
		t.Run(name, func(t *testing.T) {
			// Once to warm the pools, once to measure.
			for round := range 2 {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				start := time.Now()
				out, err := record.Decompress(bomb.codec, nil, bomb.bytes, limit)
				took := time.Since(start)
				runtime.ReadMemStats(&after)
				if err == nil {
					t.Fatalf("%d bytes became %d without an error", len(bomb.bytes), len(out))
				}
				if grown := after.TotalAlloc - before.TotalAlloc; round == 1 && grown > 6*limit {
					t.Errorf("%d bytes allocated %d MB for a limit of %d MB: %v", len(bomb.bytes), grown>>20, limit>>20, err)
				}
				if took > 2*time.Second {
					t.Errorf("%d bytes took %v", len(bomb.bytes), took)
				}
			}
		})
	}
}

// A batch of a bomb is refused by Validate with Kafka's INVALID_RECORD and by Records with ErrTooMuch.
func TestBombInBatch(t *testing.T) {
	w := record.NewBuilder(record.Gzip, record.DefaultLevel)
	w.Append(0, []byte("k"), make([]byte, 64<<20))
	b, err := w.Build()
	if err != nil {
		t.Fatal(err)
	}
	limits := record.Limits{OutputBytes: 1 << 20}
	var bad *record.Invalid
	if _, err := record.Validate(b, &record.Rules{OpenCompressed: true, Limits: limits}); !errors.As(err, &bad) || bad.Reason != record.InvalidRecord {
		t.Fatalf("Validate: %v", err)
	}
	it := b.Records(limits)
	if it.Next() || !errors.Is(it.Err(), record.ErrTooMuch) || !errors.Is(it.Err(), record.ErrCorrupt) {
		t.Fatalf("Records: %v", it.Err())
	}
	it.Close()
}

func TestDecompressForeign(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, size := range []int{0, 1, 1000, 32 << 10, 100_000, 3 << 20} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(rng.IntN(3)) + byte(i>>9)
		}
		cut := rng.IntN(size + 1)
		compress := func(codec record.Codec, p []byte) []byte {
			out, err := record.Compress(codec, record.DefaultLevel, nil, p)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		best, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		for name, in := range map[string]struct {
			codec record.Codec
			bytes []byte
		}{
			"gzip of two members":   {record.Gzip, append(compress(record.Gzip, want[:cut]), compress(record.Gzip, want[cut:])...)},
			"raw snappy":            {record.Snappy, s2.EncodeSnappy(nil, want)},
			"xerial snappy":         {record.Snappy, compress(record.Snappy, want)},
			"lz4":                   {record.LZ4, compress(record.LZ4, want)},
			"lz4 with checksums":    {record.LZ4, lz4Frame(t, want)},
			"zstd":                  {record.Zstd, compress(record.Zstd, want)},
			"zstd of two frames":    {record.Zstd, append(compress(record.Zstd, want[:cut]), compress(record.Zstd, want[cut:])...)},
			"zstd best, with check": {record.Zstd, best.EncodeAll(want, nil)},
			"zstd without size":     {record.Zstd, zstdStream(t, want)},
		} {
			if size == 0 && len(in.bytes) == 0 {
				continue
			}
			got, err := record.Decompress(in.codec, []byte("prefix"), in.bytes, size)
			if err != nil || string(got) != "prefix"+string(want) {
				t.Errorf("%s of %d bytes: %d bytes, %v", name, size, len(got), err)
			}
			if size == 0 {
				continue
			}
			if _, err := record.Decompress(in.codec, nil, in.bytes, size-1); !errors.Is(err, record.ErrTooMuch) {
				t.Errorf("%s of %d bytes with one byte less: %v", name, size, err)
			}
			if _, err := record.Decompress(in.codec, nil, in.bytes[:len(in.bytes)-1-rng.IntN(len(in.bytes)/2+1)], size); err == nil && in.codec != record.Snappy && !strings.Contains(name, "of two") { // which a cut may leave whole
				t.Errorf("%s of %d bytes, cut: no error", name, size)
			}
		}
	}
}

func TestLevels(t *testing.T) {
	p := build(t, record.None, randomRecords(rand.New(rand.NewPCG(4, 4)), 50)).Payload()
	for codec, levels := range map[record.Codec][]int{record.Gzip: {-1, 0, 1, 5, 9, 10}, record.LZ4: {0, 1, 9, 10, 12, 17, 18}, record.Zstd: {-131072, -1, 0, 1, 3, 9, 22, 23}} {
		for _, level := range levels {
			c, err := record.Compress(codec, level, nil, p)
			if err != nil {
				t.Fatalf("%v level %d: %v", codec, level, err)
			}
			back, err := record.Decompress(codec, nil, c, len(p))
			if err != nil || !cmp.Equal(back, []byte(p)) {
				t.Fatalf("%v level %d: %v", codec, level, err)
			}
		}
	}
}

func lz4Frame(t *testing.T, p []byte) []byte {
	t.Helper()
	out := &writer{}
	w := lz4.NewWriter(out)
	if err := w.Apply(lz4.ChecksumOption(true), lz4.BlockChecksumOption(true), lz4.BlockSizeOption(lz4.Block4Mb)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.p
}

func zstdStream(t *testing.T, p []byte) []byte {
	t.Helper()
	out := &writer{}
	w, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for len(p) > 0 {
		n := min(len(p), 1000)
		if _, err := w.Write(p[:n]); err != nil {
			t.Fatal(err)
		}
		p = p[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.p
}

type writer struct{ p []byte }

func (w *writer) Write(p []byte) (int, error) { w.p = append(w.p, p...); return len(p), nil }

func FuzzDecompress(f *testing.F) {
	for codec := range record.Codec(5) {
		p, err := record.Compress(codec, record.DefaultLevel, nil, []byte("the quick brown fox, the quick brown fox"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(codec), p)
	}
	f.Add(uint8(2), s2.EncodeSnappy(nil, []byte("raw raw raw raw raw raw")))
	f.Fuzz(func(t *testing.T, codec uint8, in []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		out, err := record.Decompress(record.Codec(codec%5), nil, in, 1<<20)
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if errors.Is(err, record.ErrPanicked) {
			t.Fatal(err)
		}
		if err == nil && len(out) > 1<<20 {
			t.Fatalf("%d bytes beyond the limit", len(out))
		}
		// 24 MB: a codec's own tables on first use, a block of lz4 (8 MB), and the limit itself with its doublings.
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 24<<20+64*uint64(len(in)) || took > 2*time.Second {
			t.Fatalf("%d bytes cost %v and %d KB", len(in), took, grown>>10)
		}
	})
}
