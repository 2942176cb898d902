package record

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRecompress: every codec to every other, with the records and all of the header but codec, length and checksum as they were.
func TestRecompress(t *testing.T) {
	for from := None; from <= Zstd; from++ {
		for to := None; to <= Zstd; to++ {
			b := NewBuilder(from, DefaultLevel)
			b.At(77, 5)
			b.Producer(9, 2, 40)
			b.Transactional()
			for i := range 50 {
				b.Append(1000+int64(i), fmt.Appendf(nil, "key %d", i), bytes.Repeat([]byte{'v'}, 100), Header{Key: []byte("h")})
			}
			batch, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			before := bytes.Clone(batch)
			got, err := batch.Recompress(to, 1, Limits{})
			if err != nil {
				t.Fatalf("%s to %s: %v", from, to, err)
			}
			if !bytes.Equal(before, batch) {
				t.Errorf("%s to %s changes the batch that was given", from, to)
			}
			if whole, rest, err := Next(got); err != nil || len(rest) > 0 || len(whole) != len(got) || got.CRC() != got.ComputeCRC() || got.Codec() != to {
				t.Errorf("%s to %s: %d bytes, codec %s, framing %v", from, to, len(got), got.Codec(), err)
			}
			want := append(Batch(nil), batch[:HeaderSize]...)
			for _, field := range [][2]int{{offLength, 4}, {offCRC, 4}} {
				copy(want[field[0]:field[0]+field[1]], got[field[0]:])
			}
			want[offAttributes+1] = want[offAttributes+1]&^attrCodec | byte(to)
			if diff := cmp.Diff([]byte(want), []byte(got[:HeaderSize])); diff != "" {
				t.Errorf("%s to %s: header: %s", from, to, diff)
			}
			if diff := cmp.Diff(recordsOf(t, batch), recordsOf(t, got)); diff != "" {
				t.Errorf("%s to %s: records: %s", from, to, diff)
			}
		}
	}
}

// TestRecompressRefuses: what cannot be opened, or opens to too much.
func TestRecompressRefuses(t *testing.T) {
	b := NewBuilder(Gzip, DefaultLevel)
	b.Append(1, nil, make([]byte, 100_000))
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := batch.Recompress(None, 0, Limits{OutputBytes: 50_000}); err == nil {
		t.Errorf("a batch past the limit: %d bytes", len(got))
	}
	copy(batch[HeaderSize:], "no gzip")
	if got, err := batch.Recompress(None, 0, Limits{}); err == nil {
		t.Errorf("garbage: %d bytes", len(got))
	}
}

func recordsOf(t *testing.T, b Batch) (out []string) {
	t.Helper()
	it := b.Records(Limits{})
	defer it.Close()
	for it.Next() {
		r := it.Record()
		out = append(out, fmt.Sprint(r.Offset, r.TimestampMs, string(r.Key), string(r.Value), r.Headers))
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
