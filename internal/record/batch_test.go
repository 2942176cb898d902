package record_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
)

var codecs = []record.Codec{record.None, record.Gzip, record.Snappy, record.LZ4, record.Zstd}

// plain is a record with its headers unpacked, for comparisons.
type plain struct {
	Offset      ids.Offset
	TimestampMs int64
	Key, Value  []byte
	Headers     []record.Header
}

func readAll(t testing.TB, b record.Batch, limits record.Limits) []plain {
	t.Helper()
	it := b.Records(limits)
	defer it.Close()
	var all []plain
	clone := func(p []byte) []byte {
		if p == nil {
			return nil
		}
		return append([]byte{}, p...)
	}
	for it.Next() {
		r := it.Record()
		p := plain{Offset: r.Offset, TimestampMs: r.TimestampMs, Key: clone(r.Key), Value: clone(r.Value)}
		for h := range r.Headers.All {
			p.Headers = append(p.Headers, record.Header{Key: clone(h.Key), Value: clone(h.Value)})
		}
		all = append(all, p)
	}
	if err := it.Err(); err != nil {
		t.Fatalf("iterate: %v", err)
	}
	return all
}

func randomRecords(rng *rand.Rand, n int) []plain {
	bytesOf := func(most int) []byte {
		switch rng.IntN(6) {
		case 0:
			return nil
		case 1:
			return []byte{}
		}
		p := make([]byte, rng.IntN(most))
		for i := range p {
			p[i] = byte('a' + rng.IntN(4))
		}
		return p
	}
	all := make([]plain, n)
	for i := range all {
		all[i] = plain{Offset: ids.Offset(i), TimestampMs: 1_700_000_000_000 + rng.Int64N(1000) - 500, Key: bytesOf(20), Value: bytesOf(3000)}
		for range rng.IntN(4) {
			key := bytesOf(9)
			if key == nil {
				key = []byte{}
			}
			all[i].Headers = append(all[i].Headers, record.Header{Key: key, Value: bytesOf(50)})
		}
	}
	return all
}

func build(t testing.TB, codec record.Codec, records []plain) record.Batch {
	t.Helper()
	b := record.NewBuilder(codec, record.DefaultLevel)
	for _, r := range records {
		b.Append(r.TimestampMs, r.Key, r.Value, r.Headers...)
	}
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

func openRules() *record.Rules { return &record.Rules{ZstdAllowed: true, OpenCompressed: true} }

func TestRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, codec := range codecs {
		t.Run(codec.String(), func(t *testing.T) {
			for range 20 {
				want := randomRecords(rng, 1+rng.IntN(100))
				b := build(t, codec, want)
				got, err := record.Validate(b, openRules())
				if err != nil {
					t.Fatalf("Validate: %v", err)
				}
				if read := readAll(t, got, record.Limits{}); !reflect.DeepEqual(want, read) {
					t.Fatalf("records differ (-want +got):\n%s", cmp.Diff(want, read))
				}
				last := ids.Offset(len(want) - 1)
				if b.LastOffset() != last || int(b.Count()) != len(want) || b.NextOffset() != last+1 || b.Codec() != codec {
					t.Fatalf("header: last %d count %d codec %v", b.LastOffset(), b.Count(), b.Codec())
				}
			}
		})
	}
}

func TestPatchingOutsideTheChecksum(t *testing.T) {
	b := build(t, record.None, randomRecords(rand.New(rand.NewPCG(1, 1)), 3))
	crc := b.CRC()
	b.SetBaseOffset(1 << 40)
	b.SetLeaderEpoch(77)
	if b.ComputeCRC() != crc || b.BaseOffset() != 1<<40 || b.LastOffset() != 1<<40+2 || b.LeaderEpoch() != 77 {
		t.Fatalf("base %d epoch %d crc %x, computed %x", b.BaseOffset(), b.LeaderEpoch(), crc, b.ComputeCRC())
	}
	b.SetLogAppendTime(123456)
	if b.ComputeCRC() != b.CRC() || b.CRC() == crc {
		t.Fatal("SetLogAppendTime left a stale checksum")
	}
	for _, r := range readAll(t, b, record.Limits{}) {
		if r.TimestampMs != 123456 {
			t.Fatalf("timestamp %d after SetLogAppendTime", r.TimestampMs)
		}
	}
}

func TestFrameSize(t *testing.T) {
	good := build(t, record.None, randomRecords(rand.New(rand.NewPCG(2, 1)), 2))
	with := func(at int, p ...byte) []byte {
		c := append([]byte{}, good...)
		copy(c[at:], p)
		return c
	}
	for _, tc := range []struct {
		name string
		in   []byte
		want error
	}{
		{"empty", nil, record.ErrTruncated},
		{"sixteen bytes", good[:16], record.ErrTruncated},
		{"magic 0", with(16, 0), record.ErrLegacyMagic},
		{"magic 1", with(16, 1), record.ErrLegacyMagic},
		{"magic 3", with(16, 3), record.ErrCorrupt},
		{"magic -1", with(16, 255), record.ErrCorrupt},
		{"length 13", with(8, 0, 0, 0, 13), record.ErrCorrupt},
		{"length 48", with(8, 0, 0, 0, 48), record.ErrCorrupt},
		{"length negative", with(8, 255, 255, 255, 255), record.ErrCorrupt},
		{"length 2^31-1", with(8, 127, 255, 255, 255), record.ErrTruncated},
		{"cut", good[:len(good)-1], record.ErrTruncated},
		{"good", good, nil},
	} {
		if _, _, err := record.Next(tc.in); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	two := append(append([]byte{}, good...), good...)
	b, rest, err := record.Next(two)
	if err != nil || len(b) != len(good) || len(rest) != len(good) || cap(b) != len(good) {
		t.Fatalf("Next: %d, rest %d, %v", len(b), len(rest), err)
	}
}

// kafkaData is a data directory that Kafka 4.3.1 wrote.
func kafkaData(t testing.TB) string {
	t.Helper()
	for _, dir := range []string{"../../testdata/kafka-4.3.1", "/work/shared/data/kafka-4.3.1"} {
		if _, err := os.Stat(filepath.Join(dir, "t-0")); err == nil {
			return dir
		}
	}
	t.Fatal("testdata/kafka-4.3.1 is missing")
	return ""
}

// Kafka's own batches: checksums hold, records are dense, and the Builder makes the same bytes from the same content.
func TestKafkaLogs(t *testing.T) {
	logs, err := filepath.Glob(kafkaData(t) + "/*/*.log")
	if err != nil || len(logs) < 4 {
		t.Fatalf("logs: %v %v", logs, err)
	}
	for _, path := range logs {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		next := ids.Offset(0)
		for len(data) > 0 {
			var b record.Batch
			if b, data, err = record.Next(data); err != nil {
				t.Fatalf("%s after offset %d: %v", path, next, err)
			}
			if b.ComputeCRC() != b.CRC() || b.BaseOffset() != next {
				t.Fatalf("%s: batch at %d (want %d), crc %x computed %x", path, b.BaseOffset(), next, b.CRC(), b.ComputeCRC())
			}
			next = b.NextOffset()
			rebuilt := rebuild(t, b)
			if !bytes.Equal(b, rebuilt) {
				t.Fatalf("%s: batch at %d rebuilt differs:\n%s", path, b.BaseOffset(), cmp.Diff([]byte(b), []byte(rebuilt)))
			}
		}
	}
}

func rebuild(t *testing.T, b record.Batch) record.Batch {
	t.Helper()
	w := record.NewBuilder(b.Codec(), record.DefaultLevel)
	w.At(b.BaseOffset(), b.LeaderEpoch())
	w.Producer(b.ProducerID(), b.ProducerEpoch(), b.BaseSequence())
	if b.IsTransactional() {
		w.Transactional()
	}
	if b.IsControl() {
		w.Control()
	}
	for _, r := range readAll(t, b, record.Limits{}) {
		w.Append(r.TimestampMs, r.Key, r.Value, r.Headers...)
	}
	out, err := w.Build()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestControlBatches(t *testing.T) {
	b := record.EndTransactionMarker(7, 3, record.EndTransaction{Type: record.ControlCommit, CoordinatorEpoch: 9}, 1000)
	if !b.IsControl() || !b.IsTransactional() || b.ProducerID() != 7 || b.ProducerEpoch() != 3 || b.LastSequence() != record.NoSequence {
		t.Fatalf("marker header: %x", []byte(b))
	}
	r := readAll(t, b, record.Limits{})[0]
	marker, ok, err := record.ParseEndTransaction(r.Key, r.Value)
	if err != nil || !ok || marker != (record.EndTransaction{Type: record.ControlCommit, CoordinatorEpoch: 9}) {
		t.Fatalf("marker %+v %v %v", marker, ok, err)
	}
	c := record.ControlBatch(record.ControlSnapshotHeader, 5, 2, 1000, []byte{0, 1})
	r = readAll(t, c, record.Limits{})[0]
	if kind, err := record.ParseControlKey(r.Key); kind != record.ControlSnapshotHeader || err != nil || c.BaseOffset() != 5 || c.LeaderEpoch() != 2 {
		t.Fatalf("control batch: %v %v at %d", kind, err, c.BaseOffset())
	}
	for _, key := range [][]byte{nil, {0, 0, 0}, {255, 255, 0, 0}} {
		if _, err := record.ParseControlKey(key); !errors.Is(err, record.ErrCorrupt) {
			t.Errorf("key %x: %v", key, err)
		}
	}
	if _, _, err := record.ParseEndTransaction(record.ControlKey(record.ControlAbort), []byte{0, 0, 0}); !errors.Is(err, record.ErrCorrupt) {
		t.Errorf("short marker: %v", err)
	}
}

func TestBuilderHoles(t *testing.T) {
	w := record.NewBuilder(record.None, record.DefaultLevel)
	w.DeleteHorizon(5_000)
	w.At(100, 4)
	w.AppendAt(3, 7_000, []byte("k"), nil)
	w.AppendAt(9, 6_000, []byte("l"), []byte("v"))
	w.LastOffsetDelta(12)
	b, err := w.Build()
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(b.BaseOffset(), b.LastOffset(), b.Count(), b.HasDeleteHorizon(), b.DeleteHorizonMs(), b.MaxTimestamp())
	if want := "100 112 2 true 5000 7000"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	all := readAll(t, b, record.Limits{})
	if all[0].Offset != 103 || all[0].TimestampMs != 7000 || all[1].Offset != 109 || all[1].TimestampMs != 6000 {
		t.Fatalf("%+v", all)
	}
}

func TestAddSequence(t *testing.T) {
	for _, tc := range []struct{ seq, n, want int32 }{{0, 0, 0}, {5, 4, 9}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 1, 3, 1}} {
		if got := record.AddSequence(tc.seq, tc.n); got != tc.want {
			t.Errorf("AddSequence(%d, %d) = %d, want %d", tc.seq, tc.n, got, tc.want)
		}
	}
}

func TestCodecNames(t *testing.T) {
	for _, c := range codecs {
		if got, ok := record.ParseCodec(c.String()); !ok || got != c {
			t.Errorf("ParseCodec(%q) = %v %v", c.String(), got, ok)
		}
	}
	if _, ok := record.ParseCodec("lzma"); ok || record.Codec(5).Known() || !strings.Contains(record.Codec(5).String(), "5") {
		t.Error("unknown codecs")
	}
}
