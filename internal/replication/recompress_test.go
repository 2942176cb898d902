package replication

import (
	"bytes"
	"testing"

	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/wire"
)

// TestRecompression: a topic with a codec of its own stores every batch with it; one that has it already is stored as it came.
func TestRecompression(t *testing.T) {
	settings := fsync()
	settings.Recompress, settings.Codec, settings.CompressionLevel = true, record.Zstd, 3
	settings.MaxMessageBytes = 2000
	b := newBench(t, settings)
	build := func(codec record.Codec, value []byte) record.Batch {
		builder := record.NewBuilder(codec, record.DefaultLevel)
		builder.Append(1_700_000_000_000, nil, value)
		batch, err := builder.Build()
		if err != nil {
			t.Fatal(err)
		}
		return batch
	}
	for i, codec := range []record.Codec{record.None, record.Gzip, record.Zstd} {
		value := bytes.Repeat([]byte{byte('a' + i)}, 1000)
		sent := build(codec, value)
		as := bytes.Clone(sent)
		if got, _ := b.produce(1, sent, nil); got.Error != wire.ErrorNone {
			t.Fatalf("%s: %s %s", codec, got.Error.Name(), got.ErrorMessage)
		}
		region, err := b.byName["t"].partitions[0].log().Read(0, 100, 1<<20, true)
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, region.Size())
		source, at := region.Source()
		if _, err := source.ReadAt(data, at); err != nil {
			t.Fatal(err)
		}
		region.Release()
		var last record.Batch
		for len(data) > 0 {
			var err error
			if last, data, err = record.Next(data); err != nil {
				t.Fatal(err)
			}
		}
		if last.Codec() != record.Zstd || last.CRC() != last.ComputeCRC() {
			t.Errorf("%s is stored as %s", codec, last.Codec())
		}
		if codec == record.Zstd && !bytes.Equal(last.Payload(), record.Batch(as).Payload()) {
			t.Errorf("a batch of the topic's codec was made anew")
		}
		it := last.Records(record.Limits{})
		if !it.Next() || !bytes.Equal(it.Record().Value, value) {
			t.Errorf("%s: another value is stored: %v", codec, it.Err())
		}
		it.Close()
	}
	settings.Codec = record.None
	b.Configure("t", &settings)
	if got, _ := b.produce(1, build(record.Gzip, make([]byte, 5000)), nil); got.Error != wire.ErrorMessageTooLarge {
		t.Errorf("a batch that is too large as it would be stored: %s", got.Error.Name())
	}
}
