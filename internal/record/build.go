package record

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/ottla-io/ottla/internal/ids"
)

// Builder makes one batch from records. The zero value is not ready: use NewBuilder. It may be used again after Reset.
type Builder struct {
	codec Codec
	level int

	baseOffset  ids.Offset
	leaderEpoch ids.LeaderEpoch
	attributes  uint16
	appendTime  int64
	producerID  ids.ProducerID
	epoch       ids.ProducerEpoch
	sequence    int32
	horizon     int64

	records []byte
	count   int32
	last    int32
	base    int64
	max     int64
}

// NewBuilder compresses with codec at level (DefaultLevel for the codec's own).
func NewBuilder(codec Codec, level int) *Builder {
	b := &Builder{codec: codec, level: level}
	b.Reset()
	return b
}

// Reset forgets records and settings, except codec and level.
func (b *Builder) Reset() {
	*b = Builder{codec: b.codec, level: b.level, records: b.records[:0], leaderEpoch: ids.NoLeaderEpoch,
		producerID: ids.NoProducerID, epoch: -1, sequence: NoSequence, last: -1, base: NoTimestamp, max: NoTimestamp}
}

// At sets the base offset and leader epoch (0 and -1 otherwise, as clients send).
func (b *Builder) At(base ids.Offset, epoch ids.LeaderEpoch) {
	b.baseOffset, b.leaderEpoch = base, epoch
}

// Producer makes the batch idempotent; baseSequence is the first record's.
func (b *Builder) Producer(id ids.ProducerID, epoch ids.ProducerEpoch, baseSequence int32) {
	b.producerID, b.epoch, b.sequence = id, epoch, baseSequence
}

// Transactional marks the batch as part of a transaction.
func (b *Builder) Transactional() { b.attributes |= attrTransactional }

// Control marks a control batch. Prefer the functions that make whole ones.
func (b *Builder) Control() { b.attributes |= attrControl }

// LogAppendTime gives all records the broker's timestamp ms.
func (b *Builder) LogAppendTime(ms int64) { b.attributes |= attrLogAppendTime; b.appendTime = ms }

// DeleteHorizon sets the time from which tombstones of the batch may be removed (KIP-534). It becomes the base timestamp;
// set it before the first Append.
func (b *Builder) DeleteHorizon(ms int64) { b.attributes |= attrDeleteHorizon; b.horizon = ms }

// Append adds a record with the next offset. A nil key or value is null. The arguments are copied.
func (b *Builder) Append(timestampMs int64, key, value []byte, headers ...Header) {
	b.AppendAt(b.last+1, timestampMs, key, value, headers...)
}

// AppendAt adds a record at an offset delta, which must exceed the last one's: compaction leaves holes.
func (b *Builder) AppendAt(delta int32, timestampMs int64, key, value []byte, headers ...Header) {
	if delta <= b.last {
		panic(fmt.Sprintf("record: offset delta %d after %d", delta, b.last))
	}
	if b.count == 0 {
		b.base = timestampMs
		if b.attributes&attrDeleteHorizon != 0 {
			b.base = b.horizon
		}
	}
	b.max = max(b.max, timestampMs)
	b.records = appendRecord(b.records, timestampMs-b.base, delta, key, value, headers)
	b.last = delta
	b.count++
}

// LastOffsetDelta raises the last offset delta above the last record's: a batch keeps its range when compaction removes
// its last records.
func (b *Builder) LastOffsetDelta(delta int32) { b.last = max(b.last, delta) }

// Count is the number of records so far.
func (b *Builder) Count() int { return int(b.count) }

// Size is the batch's size in bytes so far, were it not compressed.
func (b *Builder) Size() int { return HeaderSize + len(b.records) }

// Build makes the batch, in memory of its own. It fails only where the batch would pass 2 GiB or the codec is unknown.
func (b *Builder) Build() (Batch, error) { return b.AppendTo(nil) }

// AppendTo appends the batch to dst and returns the whole; the batch is what follows len(dst).
func (b *Builder) AppendTo(dst []byte) ([]byte, error) {
	at := len(dst)
	dst = grow(dst, HeaderSize+len(b.records))[:at+HeaderSize]
	dst, err := Compress(b.codec, b.level, dst, b.records)
	if err != nil {
		return nil, fmt.Errorf("build batch: %w", err)
	}
	h := dst[at:]
	if len(h) > math.MaxInt32 {
		return nil, fmt.Errorf("build batch: %d bytes are more than a batch can hold", len(h))
	}
	attributes := b.attributes | uint16(b.codec)
	largest := b.max
	if attributes&attrLogAppendTime != 0 {
		largest = b.appendTime
	}
	base := b.base
	if attributes&attrDeleteHorizon != 0 {
		base = b.horizon
	}
	binary.BigEndian.PutUint64(h[offBaseOffset:], uint64(b.baseOffset))
	binary.BigEndian.PutUint32(h[offLength:], uint32(len(h)-lengthOverhead))
	binary.BigEndian.PutUint32(h[offLeaderEpoch:], uint32(b.leaderEpoch))
	h[offMagic] = magicV2
	binary.BigEndian.PutUint16(h[offAttributes:], attributes)
	binary.BigEndian.PutUint32(h[offLastOffsetDelta:], uint32(b.last))
	binary.BigEndian.PutUint64(h[offBaseTimestamp:], uint64(base))
	binary.BigEndian.PutUint64(h[offMaxTimestamp:], uint64(largest))
	binary.BigEndian.PutUint64(h[offProducerID:], uint64(b.producerID))
	binary.BigEndian.PutUint16(h[offProducerEpoch:], uint16(b.epoch))
	binary.BigEndian.PutUint32(h[offBaseSequence:], uint32(b.sequence))
	binary.BigEndian.PutUint32(h[offCount:], uint32(b.count))
	Batch(h).sealCRC()
	return dst, nil
}

func appendRecord(dst []byte, timestampDelta int64, offsetDelta int32, key, value []byte, headers []Header) []byte {
	size := 1 + sizeVarlong(timestampDelta) + sizeVarint(offsetDelta) + sizeBytes(key) + sizeBytes(value) + sizeVarint(int32(len(headers)))
	for _, h := range headers {
		size += sizeVarint(int32(len(h.Key))) + len(h.Key) + sizeBytes(h.Value)
	}
	dst = appendVarint(dst, int32(size))
	dst = append(dst, 0)
	dst = appendVarlong(dst, timestampDelta)
	dst = appendVarint(dst, offsetDelta)
	dst = appendBytes(dst, key)
	dst = appendBytes(dst, value)
	dst = appendVarint(dst, int32(len(headers)))
	for _, h := range headers {
		dst = appendVarint(dst, int32(len(h.Key)))
		dst = append(dst, h.Key...)
		dst = appendBytes(dst, h.Value)
	}
	return dst
}

func sizeBytes(p []byte) int {
	if p == nil {
		return 1
	}
	return sizeVarint(int32(len(p))) + len(p)
}

func appendBytes(dst, p []byte) []byte {
	if p == nil {
		return append(dst, 1) // zigzag of -1
	}
	dst = appendVarint(dst, int32(len(p)))
	return append(dst, p...)
}

// Like resets b to make a batch in the place of o: its offsets, epoch, producer, flags and codec, with records to come. A delete horizon is not taken over. Once
// the records are appended, LastOffsetDelta must restore the end of o's range.
func (b *Builder) Like(o Batch) {
	b.codec = o.Codec()
	b.Reset()
	b.baseOffset, b.leaderEpoch = o.BaseOffset(), o.LeaderEpoch()
	b.attributes = o.Attributes() & (attrLogAppendTime | attrTransactional | attrControl)
	b.appendTime = o.MaxTimestamp()
	b.producerID, b.epoch, b.sequence = o.ProducerID(), o.ProducerEpoch(), o.BaseSequence()
}

// AppendEmptied appends to dst what remains of b when all its records are compacted away and its producer's sequence number, or the end of the log, must not
// get lost: a header without records or codec, of the same offsets, producer and largest timestamp (Kafka's DefaultRecordBatch.writeEmptyHeader).
func (b Batch) AppendEmptied(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, b[:HeaderSize]...)
	h := Batch(dst[at:])
	binary.BigEndian.PutUint32(h[offLength:], HeaderSize-lengthOverhead)
	binary.BigEndian.PutUint16(h[offAttributes:], b.Attributes()&(attrLogAppendTime|attrTransactional|attrControl))
	noTimestamp := NoTimestamp
	binary.BigEndian.PutUint64(h[offBaseTimestamp:], uint64(noTimestamp))
	binary.BigEndian.PutUint32(h[offCount:], 0)
	h.sealCRC()
	return dst
}
