package parity

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"hash/crc32"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is the CRC that a batch should have.
func checksum(batch []byte) uint32 { return crc32.Checksum(batch[21:], castagnoli) }

// batch builds record batches, right ones and wrong ones: change is called before the codec, the length and the CRC are applied.
type batch struct {
	records []kmsg.Record
	codec   int16
	timeMs  int64
	change  func(*kmsg.RecordBatch)
	// spoil is called on the finished bytes, after the CRC.
	spoil func([]byte) []byte
}

// plain is n good records with keys.
func plain(timeMs int64, n int) batch {
	b := batch{timeMs: timeMs}
	for i := range n {
		b.records = append(b.records, kmsg.Record{OffsetDelta: int32(i), Key: []byte("k"), Value: []byte("value")})
	}
	return b
}

func (b batch) with(change func(*kmsg.RecordBatch)) batch { b.change = change; return b }
func (b batch) compressed(codec int16) batch              { b.codec = codec; return b }
func (b batch) spoilt(spoil func([]byte) []byte) batch    { b.spoil = spoil; return b }

// record changes record i.
func (b batch) record(i int, change func(*kmsg.Record)) batch {
	b.records = append([]kmsg.Record(nil), b.records...)
	change(&b.records[i])
	return b
}

// idempotent gives the batch a producer.
func (b batch) idempotent(id int64, epoch int16, sequence int32) batch {
	before := b.change
	b.change = func(r *kmsg.RecordBatch) {
		r.ProducerID, r.ProducerEpoch, r.FirstSequence = id, epoch, sequence
		if before != nil {
			before(r)
		}
	}
	return b
}

func (b batch) bytes() []byte {
	var raw []byte
	maxMs := b.timeMs
	for _, r := range b.records {
		maxMs = max(maxMs, b.timeMs+r.TimestampDelta64)
		r.Length = 0
		body := r.AppendTo(nil)[1:] // behind the length 0
		raw = append(binary.AppendVarint(raw, int64(len(body))), body...)
	}
	r := kmsg.RecordBatch{Magic: 2, Attributes: b.codec, LastOffsetDelta: int32(len(b.records) - 1), FirstTimestamp: b.timeMs, MaxTimestamp: maxMs,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(len(b.records)), Records: compress(b.codec, raw)}
	if b.change != nil {
		b.change(&r)
	}
	r.Length = int32(49 + len(r.Records))
	out := r.AppendTo(nil)
	binary.BigEndian.PutUint32(out[17:], checksum(out))
	if b.spoil != nil {
		out = b.spoil(out)
	}
	return out
}

// Codecs of a batch's attributes.
const (
	codecGzip   int16 = 1
	codecSnappy int16 = 2
	codecLZ4    int16 = 3
	codecZstd   int16 = 4
)

func compress(codec int16, raw []byte) []byte {
	var out bytes.Buffer
	switch codec {
	case codecGzip:
		w := gzip.NewWriter(&out)
		_, _ = w.Write(raw)
		_ = w.Close()
	case codecSnappy:
		return s2.EncodeSnappy(nil, raw)
	case codecLZ4:
		w := lz4.NewWriter(&out)
		_, _ = w.Write(raw)
		_ = w.Close()
	case codecZstd:
		w, _ := zstd.NewWriter(nil)
		return w.EncodeAll(raw, nil)
	default:
		return raw
	}
	return out.Bytes()
}

// messageSet is a message of the formats before 2.
func messageSet(magic int8) []byte {
	var out []byte
	if magic == 0 {
		m := kmsg.MessageV0{Key: []byte("k"), Value: []byte("value")}
		m.MessageSize = int32(len(m.AppendTo(nil)) - 12)
		out = m.AppendTo(nil)
	} else {
		m := kmsg.MessageV1{Magic: magic, Timestamp: 1, Key: []byte("k"), Value: []byte("value")}
		m.MessageSize = int32(len(m.AppendTo(nil)) - 12)
		out = m.AppendTo(nil)
	}
	binary.BigEndian.PutUint32(out[12:], crc32.ChecksumIEEE(out[16:]))
	return out
}
