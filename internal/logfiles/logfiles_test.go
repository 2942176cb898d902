package logfiles

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/internal/ids"
)

const kafkaDir = "../../testdata/kafka-4.3.1"

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestKafkasFiles: what Kafka wrote reads, and what we would write in its place is the same, byte for byte but for the order of rows, which is a hash's there.
func TestKafkasFiles(t *testing.T) {
	sorted := func(data []byte) []string { return slices.Sorted(strings.Lines(string(data))) }
	partitions := 0
	err := filepath.WalkDir(kafkaDir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		switch name := entry.Name(); {
		case name == RecoveryPoints || name == LogStarts || name == HighWatermarks || name == CleanerOffsets:
			data := read(t, path)
			c, err := ParseOffsets(data)
			if err != nil {
				t.Error(err)
			} else if len(data) > 0 && !slices.Equal(sorted(c.Encode()), sorted(data)) {
				t.Errorf("%s: %q instead of %q", path, c.Encode(), data)
			}
		case name == Epochs:
			data := read(t, path)
			entries, err := ParseEpochs(data)
			if err != nil {
				t.Error(err)
			} else if got := EncodeEpochs(entries); !bytes.Equal(got, data) {
				t.Errorf("%s: %q instead of %q", path, got, data)
			}
		case name == PartitionMetadata:
			partitions++
			data := read(t, path)
			id, err := ParsePartitionMetadata(data)
			if err != nil {
				t.Error(err)
			} else if got := EncodePartitionMetadata(id); !bytes.Equal(got, data) {
				t.Errorf("%s: %q instead of %q", path, got, data)
			}
			if dir := filepath.Base(filepath.Dir(path)); !isPartitionDir(dir) {
				t.Errorf("%s is no partition's directory", dir)
			}
		case name == Meta:
			if m := ParseProperties(string(read(t, path))); m["version"] != "1" || m["cluster.id"] == "" || m["directory.id"] == "" {
				t.Errorf("%s: %v", path, m)
			}
		case strings.HasSuffix(name, "index"):
			base, suffix, ok := ParsePlain(name)
			if !ok || SegmentName(base, suffix) != name {
				t.Errorf("%s is read as %d and %q", name, base, suffix)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if partitions == 0 {
		t.Fatal("there is no partition in " + kafkaDir)
	}
}

func isPartitionDir(name string) bool {
	tp, ok := ParsePartitionDir(name)
	return ok && tp.String() == name
}

// TestTextsCutShort: no beginning of a text passes for a text with fewer rows.
func TestTextsCutShort(t *testing.T) {
	a, b := ids.TopicPartition{Topic: "a", Partition: 10}, ids.TopicPartition{Topic: "b.c", Partition: 0}
	offsets := OffsetCheckpoint{a: 1234, b: 0}.Encode()
	epochs := EncodeEpochs([]EpochStart{{0, 0}, {3, 17}})
	moves := EncodeMoves(map[ids.TopicPartition]MoveRow{a: {ids.DirectoryID{1}, "a-10.00-future"}, b: {ids.DirectoryID{2}, "b.c-0.00-future"}})
	for n := range offsets[:len(offsets)-2] { // without the newline it is whole, and a shorter last number is a number
		if c, err := ParseOffsets(offsets[:n]); n > 0 && !errors.Is(err, ErrDamaged) && len(c) != 2 {
			t.Errorf("%q is read as %v, %v", offsets[:n], c, err)
		}
	}
	for n := range epochs[:len(epochs)-3] {
		if got, err := ParseEpochs(epochs[:n]); err == nil {
			t.Errorf("%q is read as %v", epochs[:n], got)
		}
	}
	for n := range moves[:len(moves)-2] {
		if got, err := ParseMoves(moves[:n]); err == nil {
			t.Errorf("%q is read as %v", moves[:n], got)
		}
	}
	if got, err := ParseMoves(moves); err != nil || len(got) != 2 || got[b] != (MoveRow{ids.DirectoryID{2}, "b.c-0.00-future"}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestBadMoves(t *testing.T) {
	for _, row := range []string{
		"a x AQAAAAAAAAAAAAAAAAAAAA a-0.00-future", "a 0 AQ a-0.00-future", "a 0 AQAAAAAAAAAAAAAAAAAAAA ../a-0.00-future", "a 0 AQAAAAAAAAAAAAAAAAAAAA a-0",
	} {
		_, err := ParseMoves([]byte("0\n1\n" + row + "\n"))
		var bad *BadMoveError
		if !errors.As(err, &bad) || bad.Row != row {
			t.Errorf("%q: %v", row, err)
		}
	}
}

func TestWith(t *testing.T) {
	a, b := ids.TopicPartition{Topic: "a"}, ids.TopicPartition{Topic: "b"}
	c := OffsetCheckpoint{a: 1}
	if got := c.With(b, 2); !maps.Equal(got, OffsetCheckpoint{a: 1, b: 2}) || len(c) != 1 {
		t.Errorf("%v, and before %v", got, c)
	}
	if got := OffsetCheckpoint(nil).With(a, 3); !maps.Equal(got, OffsetCheckpoint{a: 3}) {
		t.Errorf("%v", got)
	}
}

func TestTrash(t *testing.T) {
	for _, c := range []Checkpointed{{1, 2, 3, 4}, {0, 0, -1, -1}} {
		if got := ParseTrash(EncodeTrash(c)); got != c {
			t.Errorf("%v is read as %v", c, got)
		}
	}
	if got := ParseTrash([]byte("log-start=12\nrecovery-point=x\nhigh-watermark=-7")); got.LogStart != 12 || got.RecoveryPoint >= 0 || got.HighWatermark >= 0 || got.FirstDirty >= 0 {
		t.Errorf("%v", got)
	}
}

func TestDirectoryNames(t *testing.T) {
	for name, ok := range map[string]bool{"a-0": true, "a-b-12": true, "-0": false, "a-": false, "a-01": false, "a--1": true, "a-2147483648": false, "a": false} {
		if got := isPartitionDir(name); got != ok {
			t.Errorf("%s: %v", name, got)
		}
	}
	tp, id := ids.TopicPartition{Topic: strings.Repeat("t", 249), Partition: 2147483647}, ids.UUID{1, 2, 255}
	for _, suffix := range []string{DeleteDirSuffix, StrayDirSuffix, FutureDirSuffix} {
		name := DiscardedName(tp, id, suffix)
		if len(name) > 255 || isPartitionDir(name) {
			t.Errorf("%s has %d bytes", name, len(name))
		}
		got, gotID, stray := ParseStrayDir(name)
		if stray != (suffix == StrayDirSuffix) || stray && (gotID != id || got.Partition != tp.Partition || !strings.HasPrefix(tp.Topic, got.Topic)) {
			t.Errorf("%s: %v %v %v", name, got, gotID, stray)
		}
		if IsDeletedDir(name) != (suffix == DeleteDirSuffix) {
			t.Errorf("%s counts as deleted: %v", name, IsDeletedDir(name))
		}
	}
}

func TestTransitionalNames(t *testing.T) {
	for _, suffix := range SegmentSuffixes {
		base, plain, ok := ParseTransitional(SegmentName(17, suffix)+SwapSuffix, SwapSuffix)
		if !ok || base != 17 || plain != SegmentName(17, suffix) {
			t.Errorf("%s: %d %s %v", suffix, base, plain, ok)
		}
	}
	for _, name := range []string{SwapSuffix, "x.log.swap", SegmentName(17, LogSuffix), SegmentName(17, "") + SwapSuffix} {
		if _, _, ok := ParseTransitional(name, SwapSuffix); ok {
			t.Errorf("%s is taken for a file that is being replaced", name)
		}
	}
}

func TestIndexEntries(t *testing.T) {
	for _, k := range []IndexKind{OffsetIndex, TimeIndex} {
		var x SparseIndex
		for i := range int64(100) {
			if !x.Add(IndexEntry{i*10 + 5, int32(i * 7)}) || x.Add(IndexEntry{i*10 + 5, int32(i*7 + 1)}) {
				t.Fatalf("entry %d", i)
			}
		}
		file := make([]byte, k.Width*100)
		for i, e := range x.Tail {
			k.Put(file[int64(i)*k.Width:], e)
		}
		for cut := range file {
			got := k.Parse(file[:cut], 1<<40, 1<<30)
			if n := int(int64(cut) / k.Width); int(got.Written) != n || n > 0 && got.Last != x.Tail[n-1] || got.Some != (n > 0) {
				t.Fatalf("%s of %d bytes: %v", k.Suffix, cut, got)
			}
		}
		if got := k.Parse(append(slices.Clone(file), make([]byte, 64)...), 1<<40, 1<<30); got.Count() != 100 {
			t.Errorf("%s with zeros behind: %d entries", k.Suffix, got.Count())
		}
		if got := k.Parse(file, 499, 1<<30); got.Last.Key != 495 {
			t.Errorf("%s up to key 499: %v", k.Suffix, got.Last)
		}
		if got := k.Parse(file, 1<<40, 70); (k == OffsetIndex) != (got.Last.Value == 63) {
			t.Errorf("%s of a segment of 70 bytes: %v", k.Suffix, got.Last)
		}
		for _, byValue := range []bool{false, true} {
			for limit := range int64(1100) {
				got, ok := x.Below(limit, byValue)
				i, _ := slices.BinarySearchFunc(x.Tail, limit+1, func(e IndexEntry, limit int64) int { return int(e.Field(byValue) - limit) })
				if ok != (i > 0) || ok && got != x.Tail[i-1] {
					t.Fatalf("%s at or below %d: %v %v", k.Suffix, limit, got, ok)
				}
			}
		}
	}
}

// FuzzTexts: whatever the bytes are, a parser ends, and what it reads is what it would write.
func FuzzTexts(f *testing.F) {
	f.Add([]byte("0\n1\nt 0 17\n"))
	f.Add([]byte("0\n2\n0 0\n3 17\n"))
	f.Add([]byte("0\n1\nt 0 AQAAAAAAAAAAAAAAAAAAAA t-0.00-future\n"))
	f.Add([]byte("version: 0\ntopic_id: AQAAAAAAAAAAAAAAAAAAAA"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := ParseOffsets(data); err == nil {
			if again, err := ParseOffsets(c.Encode()); err != nil || !maps.Equal(c, again) {
				t.Errorf("%v is read back as %v, %v", c, again, err)
			}
		} else if !errors.Is(err, ErrDamaged) {
			t.Errorf("%v is no ErrDamaged", err)
		}
		if entries, err := ParseEpochs(data); err == nil {
			if again, err := ParseEpochs(EncodeEpochs(entries)); err != nil || !slices.Equal(entries, again) {
				t.Errorf("%v is read back as %v, %v", entries, again, err)
			}
		}
		if moves, err := ParseMoves(data); err == nil {
			if again, err := ParseMoves(EncodeMoves(moves)); err != nil || !maps.Equal(moves, again) {
				t.Errorf("%v is read back as %v, %v", moves, again, err)
			}
		}
		if id, err := ParsePartitionMetadata(data); err == nil {
			if again, err := ParsePartitionMetadata(EncodePartitionMetadata(id)); err != nil || again != id {
				t.Errorf("%v is read back as %v, %v", id, again, err)
			}
		}
		c := ParseTrash(data)
		_ = EncodeTrash(c)
		for _, k := range []IndexKind{OffsetIndex, TimeIndex} {
			if x := k.Parse(data, 1<<40, 1<<20); int64(x.Written)*k.Width > int64(len(data)) {
				t.Errorf("%d entries in %d bytes", x.Written, len(data))
			}
		}
	})
}
