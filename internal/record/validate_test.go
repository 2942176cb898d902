package record_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/internal/record"
)

// reseal makes the CRC of edited bytes right again, and the length field.
func reseal(b []byte) []byte {
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// header makes a batch with raw record bytes.
func raw(count int, payload ...byte) []byte {
	w := record.NewBuilder(record.None, record.DefaultLevel)
	w.LastOffsetDelta(int32(count - 1))
	b, err := w.Build()
	if err != nil {
		panic(err)
	}
	binary.BigEndian.PutUint32(b[57:], uint32(count))
	return reseal(append(b, payload...))
}

func edit(b []byte, at int, p ...byte) []byte {
	c := slices.Clone(b)
	copy(c[at:], p)
	return reseal(c)
}

func three(codec record.Codec, stamps ...int64) []byte {
	w := record.NewBuilder(codec, record.DefaultLevel)
	for i := range 3 {
		ms := int64(1000)
		if len(stamps) > 0 {
			ms = stamps[i]
		}
		w.Append(ms, []byte("key"), []byte("value"))
	}
	b, err := w.Build()
	if err != nil {
		panic(err)
	}
	return b
}

func keyless(codec record.Codec) []byte {
	w := record.NewBuilder(codec, record.DefaultLevel)
	w.Append(1000, []byte("key"), nil)
	w.Append(1000, nil, []byte("v"))
	w.Append(1000, []byte{}, []byte("v"))
	w.Append(1000, nil, nil)
	b, err := w.Build()
	if err != nil {
		panic(err)
	}
	return b
}

// rejection is one input of Produce and what becomes of it.
type rejection struct {
	name    string
	in      []byte
	rules   record.Rules
	want    record.Reason // 0: accepted
	indexes []int
	// kafka is what Kafka 4.3.1 answers where we deliberately answer otherwise; why says why.
	kafka record.Reason
	why   string
}

const maxInt = math.MaxInt64

// rejections is the table of TestRejections and TestKafkaAgrees; now is the broker's clock in ms.
func rejections(now int64) []rejection {
	good := three(record.None)
	window := record.Rules{ZstdAllowed: true, CheckTimestamps: true, NowMs: now, BeforeMaxMs: 100_000, AfterMaxMs: 50_000}
	compacted := record.Rules{ZstdAllowed: true, Compacted: true}
	return []rejection{
		{name: "good", in: good},
		{name: "empty", in: nil, want: record.InvalidRecord},
		{name: "cut in the header", in: good[:40], want: record.InvalidRecord},
		{name: "cut in the records", in: good[:len(good)-1], want: record.InvalidRecord},
		{name: "magic 0", in: edit(good, 16, 0), want: record.InvalidRecord},
		{name: "magic 1", in: edit(good, 16, 1), want: record.InvalidRecord},
		{name: "magic 3", in: edit(good, 16, 3), want: record.Corrupt},
		{name: "length 5", in: func() []byte { c := slices.Clone(good); copy(c[8:], []byte{0, 0, 0, 5}); return c }(), want: record.Corrupt},
		{name: "length 20", in: func() []byte { c := slices.Clone(good); copy(c[8:], []byte{0, 0, 0, 20}); return c }(), want: record.Corrupt},
		{name: "two batches", in: slices.Concat(good, good), want: record.InvalidRecord},
		{name: "trailing bytes", in: slices.Concat(good, []byte{1, 2, 3})},
		{name: "trailing twenty zero bytes", in: slices.Concat(good, make([]byte, 20)), want: record.Corrupt},
		{name: "checksum", in: func() []byte { c := slices.Clone(good); c[len(c)-1] ^= 1; return c }(), want: record.Corrupt},
		{name: "base offset", in: edit(good, 7, 5), want: record.InvalidRecord},
		{name: "size limit", in: good, rules: record.Rules{MaxBatchBytes: len(good) - 1}, want: record.TooLarge},
		{name: "size limit met", in: good, rules: record.Rules{MaxBatchBytes: len(good)}},
		{name: "codec 5", in: edit(good, 22, 5), want: record.Unknown},
		{name: "zstd too early", in: three(record.Zstd), want: record.UnsupportedCodec},
		{name: "last offset delta -1", in: edit(good, 23, 255, 255, 255, 255), want: record.InvalidRecord},
		{name: "count too small", in: edit(good, 57, 0, 0, 0, 2), want: record.InvalidRecord},
		{name: "count too large", in: edit(good, 57, 0, 0, 0, 4), want: record.InvalidRecord},
		{name: "no records", in: raw(0), want: record.InvalidRecord},
		{name: "control", in: edit(good, 22, 0x20), want: record.InvalidRecord},
		{name: "control allowed", in: edit(good, 22, 0x20), rules: record.Rules{AllowControl: true}, kafka: record.InvalidRecord, why: "no client may"},
		{name: "delete horizon", in: edit(good, 22, 0x40)},
		{name: "unused attribute bits", in: edit(good, 21, 0xff, 0x80)},
		{name: "producer id -2", in: edit(good, 43, 255, 255, 255, 255, 255, 255, 255, 254)},
		{name: "producer without sequence", in: edit(good, 43, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0), want: record.InvalidRecord},
		{name: "producer with sequence", in: edit(good, 43, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)},
		{name: "sequence without producer", in: edit(good, 53, 0, 0, 0, 7)},
		{name: "log append time on a topic of create time", in: edit(good, 22, 0x08)},
		{name: "log append time without a time", in: edit(edit(good, 22, 0x08), 35, 255, 255, 255, 255, 255, 255, 255, 255), want: record.InvalidTimestamp, indexes: []int{0, 1, 2}},
		{name: "log append time", in: edit(good, 22, 0x08), rules: record.Rules{LogAppendTime: true}, want: record.InvalidTimestamp, indexes: []int{0, 1, 2}},
		{name: "log append time, compressed", in: edit(three(record.Gzip), 22, 0x09), rules: record.Rules{LogAppendTime: true}, want: record.InvalidTimestamp, indexes: []int{0, 1, 2}},
		{name: "too few records", in: edit(edit(good, 23, 0, 0, 0, 3), 57, 0, 0, 0, 4), want: record.InvalidRecord},
		{name: "too many records", in: edit(edit(good, 23, 0, 0, 0, 1), 57, 0, 0, 0, 2), want: record.InvalidRecord},
		{name: "record past the end", in: raw(1, 100, 0, 0, 0, 1, 1, 0), want: record.InvalidRecord},
		{name: "record of negative length", in: raw(1, 1, 0, 0, 0, 1, 1, 0), want: record.InvalidRecord},
		{name: "record of length 0", in: raw(1, 0), want: record.InvalidRecord},
		{name: "smallest record", in: raw(1, 12, 0, 0, 0, 1, 1, 0)},
		{name: "record attributes are ignored", in: raw(1, 12, 99, 0, 0, 1, 1, 0)},
		{name: "record longer than its parts", in: raw(1, 14, 0, 0, 0, 1, 1, 0, 0), want: record.InvalidRecord},
		{name: "key past the record", in: raw(1, 12, 0, 0, 0, 20, 1, 0), want: record.InvalidRecord},
		{name: "value past the record", in: raw(1, 12, 0, 0, 0, 1, 20, 0), want: record.InvalidRecord},
		{name: "header count past the record", in: raw(1, 12, 0, 0, 0, 1, 1, 20), want: record.InvalidRecord},
		{name: "negative header count", in: raw(1, 12, 0, 0, 0, 1, 1, 1), want: record.InvalidRecord},
		{name: "null header key", in: raw(1, 16, 0, 0, 0, 1, 1, 2, 1, 1), want: record.InvalidRecord},
		{name: "null header value", in: raw(1, 16, 0, 0, 0, 1, 1, 2, 0, 1)},
		{name: "varint of six bytes", in: raw(1, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0, 0), want: record.InvalidRecord, kafka: record.Unknown, why: "Kafka fails without a code"},
		{name: "key length -2", in: raw(1, 12, 0, 0, 0, 3, 1, 0), want: record.InvalidRecord, kafka: 0, why: "Kafka takes it for null; some clients fail on it"},
		{name: "offset delta 1", in: raw(1, 12, 0, 0, 2, 1, 1, 0), want: record.InvalidRecord, indexes: []int{0}, kafka: 0, why: "Kafka stores it and its consumers see a hole"},

		{name: "timestamps in the window", in: three(record.None, now-90_000, now+40_000, record.NoTimestamp), rules: window},
		{name: "too old", in: three(record.None, now-110_000, now, now-110_000), rules: window, want: record.InvalidTimestamp, indexes: []int{0, 2}},
		{name: "too new", in: three(record.None, now, now+60_000, now), rules: window, want: record.InvalidTimestamp, indexes: []int{1}},
		{name: "too new, compressed", in: three(record.Snappy, now, now+60_000, now), rules: window, want: record.InvalidTimestamp, indexes: []int{1}},
		{name: "the largest timestamp", in: three(record.None, now, maxInt, now), rules: window, want: record.InvalidTimestamp, indexes: []int{1}},
		{name: "no bound before", in: three(record.None, 0, 0, 0), rules: record.Rules{CheckTimestamps: true, NowMs: now, BeforeMaxMs: maxInt, AfterMaxMs: 0}},
		{name: "window of a LogAppendTime topic", in: three(record.None, 0, 0, 0), rules: record.Rules{CheckTimestamps: true, LogAppendTime: true, NowMs: now}},

		{name: "null keys", in: keyless(record.None), rules: compacted, want: record.InvalidRecord, indexes: []int{1, 3}},
		{name: "null keys, gzip", in: keyless(record.Gzip), rules: compacted, want: record.InvalidRecord, indexes: []int{1, 3}},
		{name: "null keys, zstd", in: keyless(record.Zstd), rules: compacted, want: record.InvalidRecord, indexes: []int{1, 3}},
		{name: "null keys where not compacted", in: keyless(record.None)},
		{name: "compressed garbage unopened", in: edit(three(record.LZ4), 70, 1, 2, 3), kafka: record.Unknown, why: "Kafka opens every batch"},
		{name: "compressed garbage opened", in: edit(three(record.LZ4), 61, 1, 2, 3), rules: compacted, want: record.InvalidRecord, kafka: record.Unknown, why: "Kafka fails without a code"},
	}
}

func TestRejections(t *testing.T) {
	for _, tc := range rejections(1_700_000_000_000) {
		t.Run(tc.name, func(t *testing.T) {
			b, err := record.Validate(slices.Clone(tc.in), &tc.rules)
			if tc.want == 0 {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				if b.ComputeCRC() != b.CRC() || b.TimestampType() != record.CreateTime {
					t.Fatalf("accepted with a wrong checksum, or as %v", b.TimestampType())
				}
				return
			}
			var bad *record.Invalid
			if !errors.As(err, &bad) || bad.Reason != tc.want || bad.Message == "" {
				t.Fatalf("got %v, want reason %d", err, tc.want)
			}
			var indexes []int
			for _, r := range bad.Records {
				indexes = append(indexes, r.Index)
			}
			if !slices.Equal(indexes, tc.indexes) {
				t.Fatalf("records %v, want %v", indexes, tc.indexes)
			}
		})
	}
}

// Kafka recomputes the largest timestamp from the records; a client cannot keep a segment alive with a lie.
func TestMaxTimestampIsCorrected(t *testing.T) {
	for _, codec := range []record.Codec{record.None, record.Gzip} {
		b := edit(three(codec, 5, 9, 7), 35, 0x7f, 0xff)
		got, err := record.Validate(b, &record.Rules{CheckTimestamps: true, NowMs: 10, BeforeMaxMs: 100, AfterMaxMs: 100})
		if err != nil || got.MaxTimestamp() != 9 || got.CRC() != got.ComputeCRC() {
			t.Errorf("%v: max timestamp %d, %v", codec, got.MaxTimestamp(), err)
		}
	}
}

func TestValidateAllocatesNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, codec := range codecs {
		b := build(t, codec, randomRecords(rng, 100))
		rules := record.Rules{ZstdAllowed: true, CheckTimestamps: true, NowMs: 1_700_000_000_000, BeforeMaxMs: 1000, AfterMaxMs: 1000, MaxBatchBytes: 1 << 20}
		if n := testing.AllocsPerRun(100, func() {
			if _, err := record.Validate(b, &rules); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v: %v allocations", codec, n)
		}
	}
}

func FuzzValidate(f *testing.F) {
	f.Add([]byte(three(record.None)), false)
	for _, codec := range codecs {
		f.Add(three(codec), true)
		f.Add(keyless(codec), true)
	}
	f.Add(raw(1, 16, 0, 0, 0, 1, 1, 2, 0, 1), true)
	f.Fuzz(func(t *testing.T, in []byte, seal bool) {
		if seal && len(in) >= 61 {
			in = reseal(slices.Clone(in))
		}
		rules := record.Rules{ZstdAllowed: true, Compacted: true, CheckTimestamps: true, NowMs: 2000, BeforeMaxMs: math.MaxInt64, AfterMaxMs: math.MaxInt64}
		bounded(t, len(in), func() {
			b, err := record.Validate(in, &rules)
			if err != nil {
				var bad *record.Invalid
				if !errors.As(err, &bad) || strings.Contains(bad.Message, record.ErrPanicked.Error()) {
					t.Fatalf("untyped error %v", err)
				}
				return
			}
			if b.CRC() != b.ComputeCRC() {
				t.Fatal("accepted with a wrong checksum")
			}
			it := b.Records(record.Limits{})
			defer it.Close()
			n := 0
			for ; it.Next(); n++ {
				headers := 0
				for range it.Record().Headers.All {
					headers++
				}
				if int(it.Record().Offset) != n || it.Record().Key == nil || headers != it.Record().Headers.Len() {
					t.Fatalf("record %d: %+v", n, it.Record())
				}
			}
			if it.Err() != nil || n != int(b.Count()) {
				t.Fatalf("validated, but iteration ends after %d of %d: %v", n, b.Count(), it.Err())
			}
		})
	})
}

// FuzzIterate walks bytes that were never validated, as inspect does.
func FuzzIterate(f *testing.F) {
	for _, codec := range codecs {
		f.Add(three(codec))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		bounded(t, len(in), func() {
			for rest := in; ; {
				b, next, err := record.Next(rest)
				if err != nil {
					return
				}
				rest = next
				it := b.Records(record.Limits{OutputBytes: 1 << 20})
				for it.Next() {
					for range it.Record().Headers.All {
					}
					if b.IsControl() {
						record.ParseEndTransaction(it.Record().Key, it.Record().Value)
					}
				}
				if errors.Is(it.Err(), record.ErrPanicked) {
					t.Fatal(it.Err())
				}
				it.Close()
				b.LastSequence()
				b.NextOffset()
			}
		})
	})
}

func BenchmarkValidate(b *testing.B) {
	for _, size := range []int{100, 1000} {
		w := record.NewBuilder(record.None, record.DefaultLevel)
		for w.Size() < 64<<10 {
			w.Append(1000+int64(w.Count()%7), []byte("key-123"), make([]byte, size))
		}
		batch, err := w.Build()
		if err != nil {
			b.Fatal(err)
		}
		rules := record.Rules{CheckTimestamps: true, NowMs: 2000, BeforeMaxMs: math.MaxInt64, AfterMaxMs: 1000}
		b.Run(map[int]string{100: "100B", 1000: "1000B"}[size], func(b *testing.B) {
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := record.Validate(batch, &rules); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(w.Count()), "ns/record")
		})
		b.Run(map[int]string{100: "crc-only-100B", 1000: "crc-only-1000B"}[size], func(b *testing.B) {
			b.SetBytes(int64(len(batch)))
			for b.Loop() {
				if batch.ComputeCRC() != batch.CRC() {
					b.Fatal("checksum")
				}
			}
		})
	}
}
