package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/ottla-io/ottla/internal/ids"
)

// HeaderSize is the size in bytes of a v2 batch without records: the smallest batch.
const HeaderSize = 61

// PrefixSize is how many bytes FrameSize needs: up to and with the magic byte.
const PrefixSize = 17

// NoTimestamp is what a record without a timestamp carries.
const NoTimestamp int64 = -1

// NoSequence is the base sequence of a batch without an idempotent producer, and of control batches.
const NoSequence int32 = -1

// magicV2 is the only batch format that Kafka 4 accepts.
const magicV2 = 2

const (
	offBaseOffset      = 0
	offLength          = 8
	offLeaderEpoch     = 12
	offMagic           = 16
	offCRC             = 17
	offAttributes      = 21
	offLastOffsetDelta = 23
	offBaseTimestamp   = 27
	offMaxTimestamp    = 35
	offProducerID      = 43
	offProducerEpoch   = 51
	offBaseSequence    = 53
	offCount           = 57

	lengthOverhead = 12 // bytes before and with batchLength
	minLegacySize  = 14 // Kafka's smallest batchLength: a v0 message without its offset and size
)

const (
	attrCodec         = 0x07
	attrLogAppendTime = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
	attrDeleteHorizon = 0x40
)

// ErrCorrupt means bytes that cannot be a batch, or whose checksum is wrong: Kafka's CORRUPT_MESSAGE (2).
var ErrCorrupt = errors.New("corrupt record batch")

// ErrLegacyMagic means a message set of format v0 or v1, which Kafka 4 neither takes from clients nor writes.
var ErrLegacyMagic = errors.New("record batch of format 0 or 1, which is not supported since Kafka 4.0")

// ErrTruncated means that the bytes end before the batch does: the usual state of a fetch response's or a torn log's tail.
var ErrTruncated = errors.New("record batch is cut off")

// Kept as a variable only because Go has no constant tables; never written.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is exactly one whole v2 batch: HeaderSize ≤ len(b) == FrameSize(b). Next and Validate return only such; the
// accessors rely on it. They don't check the CRC.
type Batch []byte

// FrameSize tells from the first PrefixSize bytes how long the whole batch is, in bytes, header and all. It checks the
// magic: ErrLegacyMagic for 0 and 1, ErrCorrupt for what cannot be a batch, ErrTruncated for a shorter prefix.
// The size is at least HeaderSize and otherwise unbounded (below 2 GiB): the caller bounds it before allocating.
func FrameSize(prefix []byte) (int, error) {
	if len(prefix) < PrefixSize {
		return 0, ErrTruncated
	}
	length := int32(binary.BigEndian.Uint32(prefix[offLength:]))
	magic := prefix[offMagic]
	if length < minLegacySize {
		return 0, fmt.Errorf("%w: batch length %d is less than the minimum %d", ErrCorrupt, length, minLegacySize)
	}
	if magic < magicV2 {
		return 0, ErrLegacyMagic
	}
	if magic > magicV2 {
		return 0, fmt.Errorf("%w: unknown magic %d", ErrCorrupt, int8(magic))
	}
	if length < HeaderSize-lengthOverhead {
		return 0, fmt.Errorf("%w: batch length %d is less than a v2 header's %d", ErrCorrupt, length, HeaderSize-lengthOverhead)
	}
	return int(length) + lengthOverhead, nil
}

// Next splits the first batch off data. It checks the framing only: length and magic, not the CRC.
func Next(data []byte) (b Batch, rest []byte, err error) {
	size, err := FrameSize(data)
	if err != nil {
		return nil, data, err
	}
	if size > len(data) {
		return nil, data, ErrTruncated
	}
	return Batch(data[:size:size]), data[size:], nil
}

// BaseOffset is the offset of the batch's first record, as written; compaction may have removed that record.
func (b Batch) BaseOffset() ids.Offset {
	return ids.Offset(binary.BigEndian.Uint64(b[offBaseOffset:]))
}

// LastOffset is BaseOffset + LastOffsetDelta.
func (b Batch) LastOffset() ids.Offset { return b.BaseOffset() + ids.Offset(b.LastOffsetDelta()) }

// NextOffset is LastOffset + 1.
func (b Batch) NextOffset() ids.Offset { return b.LastOffset() + 1 }

// LeaderEpoch is the epoch of the leader that appended the batch.
func (b Batch) LeaderEpoch() ids.LeaderEpoch {
	return ids.LeaderEpoch(binary.BigEndian.Uint32(b[offLeaderEpoch:]))
}

// CRC is the stored CRC-32C.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[offCRC:]) }

// ComputeCRC is what CRC should be.
func (b Batch) ComputeCRC() uint32 { return crc32.Checksum(b[offAttributes:], castagnoli) }

// Attributes are the 16 flag bits.
func (b Batch) Attributes() uint16 { return binary.BigEndian.Uint16(b[offAttributes:]) }

// Codec is how the records are compressed. It may be a value that no codec has: see Codec.Known.
func (b Batch) Codec() Codec { return Codec(b[offAttributes+1] & attrCodec) }

// TimestampType tells whether record timestamps are the producer's or MaxTimestamp for all.
func (b Batch) TimestampType() TimestampType {
	if b[offAttributes+1]&attrLogAppendTime != 0 {
		return LogAppendTime
	}
	return CreateTime
}

// IsTransactional is true for data of a transaction and for its markers.
func (b Batch) IsTransactional() bool { return b[offAttributes+1]&attrTransactional != 0 }

// IsControl is true for batches that brokers write for themselves: markers, leader changes, snapshot frames.
func (b Batch) IsControl() bool { return b[offAttributes+1]&attrControl != 0 }

// HasDeleteHorizon is true if compaction has set the time from which tombstones may go (KIP-534); DeleteHorizonMs is it.
func (b Batch) HasDeleteHorizon() bool { return b[offAttributes+1]&attrDeleteHorizon != 0 }

// DeleteHorizonMs is meaningful only if HasDeleteHorizon.
func (b Batch) DeleteHorizonMs() int64 { return b.BaseTimestamp() }

// LastOffsetDelta is LastOffset − BaseOffset.
func (b Batch) LastOffsetDelta() int32 {
	return int32(binary.BigEndian.Uint32(b[offLastOffsetDelta:]))
}

// BaseTimestamp is what records' timestamp deltas count from, in ms since 1970.
func (b Batch) BaseTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[offBaseTimestamp:])) }

// MaxTimestamp is the largest timestamp of the batch in ms since 1970, NoTimestamp if it has none.
func (b Batch) MaxTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[offMaxTimestamp:])) }

// ProducerID is ids.NoProducerID for producers without idempotence.
func (b Batch) ProducerID() ids.ProducerID {
	return ids.ProducerID(binary.BigEndian.Uint64(b[offProducerID:]))
}

// HasProducer is Kafka's test: any id above -1.
func (b Batch) HasProducer() bool { return b.ProducerID() > ids.NoProducerID }

// ProducerEpoch is meaningful only if HasProducer.
func (b Batch) ProducerEpoch() ids.ProducerEpoch {
	return ids.ProducerEpoch(binary.BigEndian.Uint16(b[offProducerEpoch:]))
}

// BaseSequence is the sequence number of the first record, NoSequence where there is none.
func (b Batch) BaseSequence() int32 { return int32(binary.BigEndian.Uint32(b[offBaseSequence:])) }

// LastSequence is the sequence number of the last record: BaseSequence + LastOffsetDelta, wrapping from 2^31-1 to 0.
// NoSequence where there is none.
func (b Batch) LastSequence() int32 {
	base := b.BaseSequence()
	if base == NoSequence {
		return NoSequence
	}
	return AddSequence(base, b.LastOffsetDelta())
}

// Count is the number of records as the header says.
func (b Batch) Count() int32 { return int32(binary.BigEndian.Uint32(b[offCount:])) }

// Payload is the bytes after the header: the records, compressed if Codec says so.
func (b Batch) Payload() []byte { return b[HeaderSize:] }

// SetBaseOffset patches the batch's place in the log; outside the CRC.
func (b Batch) SetBaseOffset(o ids.Offset) {
	binary.BigEndian.PutUint64(b[offBaseOffset:], uint64(o))
}

// SetLeaderEpoch patches the appending leader's epoch; outside the CRC.
func (b Batch) SetLeaderEpoch(e ids.LeaderEpoch) {
	binary.BigEndian.PutUint32(b[offLeaderEpoch:], uint32(e))
}

// SetLogAppendTime makes ms the timestamp of all records (message.timestamp.type=LogAppendTime) and rewrites the CRC.
func (b Batch) SetLogAppendTime(ms int64) {
	b[offAttributes+1] |= attrLogAppendTime
	binary.BigEndian.PutUint64(b[offMaxTimestamp:], uint64(ms))
	b.sealCRC()
}

// setMaxTimestamp corrects a header that disagrees with its records, and the CRC.
func (b Batch) setMaxTimestamp(ms int64) {
	binary.BigEndian.PutUint64(b[offMaxTimestamp:], uint64(ms))
	b.sealCRC()
}

func (b Batch) sealCRC() { binary.BigEndian.PutUint32(b[offCRC:], b.ComputeCRC()) }

// AddSequence adds n ≥ 0 to a sequence number, wrapping from 2^31-1 to 0 as Kafka's DefaultRecordBatch does.
func AddSequence(sequence, n int32) int32 {
	return int32((int64(sequence) + int64(n)) & 0x7fffffff)
}

// TimestampType is what record timestamps mean.
type TimestampType uint8

const (
	// CreateTime: the producer's clock, per record.
	CreateTime TimestampType = 0
	// LogAppendTime: the broker's clock, one for the whole batch.
	LogAppendTime TimestampType = 1
)

// String is Kafka's config value.
func (t TimestampType) String() string {
	if t == LogAppendTime {
		return "LogAppendTime"
	}
	return "CreateTime"
}
