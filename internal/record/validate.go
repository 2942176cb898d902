package record

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/ottla-io/ottla/internal/ids"
)

// Reason is why Validate refuses a batch. Its value is Kafka's error code, as Produce answers it.
type Reason int16

const (
	// Corrupt: framing or checksum is wrong. CORRUPT_MESSAGE.
	Corrupt Reason = 2
	// TooLarge: the batch is larger than max.message.bytes. MESSAGE_TOO_LARGE.
	TooLarge Reason = 10
	// InvalidTimestamp: a record lies outside the topic's timestamp window. INVALID_TIMESTAMP.
	InvalidTimestamp Reason = 32
	// UnsupportedFormat: UNSUPPORTED_FOR_MESSAGE_FORMAT.
	UnsupportedFormat Reason = 43
	// UnsupportedCodec: zstd in Produce before version 7. UNSUPPORTED_COMPRESSION_TYPE.
	UnsupportedCodec Reason = 76
	// InvalidRecord: the records break a rule. INVALID_RECORD.
	InvalidRecord Reason = 87
	// Unknown: what Kafka fails on without a code of its own, such as a codec that does not exist. UNKNOWN_SERVER_ERROR.
	Unknown Reason = -1
)

// Invalid is the error of Validate. Records lists the offending ones where a rule concerns single records (Produce v8+).
type Invalid struct {
	Reason  Reason
	Message string
	Records []RecordError
	// Framing: what came is not one batch of a format that is served. Kafka finds that out before it looks for the log.
	Framing bool
}

func (e *Invalid) Error() string { return e.Message }

// RecordError names one record of a batch by its index in the batch, from 0.
type RecordError struct {
	Index   int
	Message string
}

// maxRecordErrors bounds Invalid.Records: a batch of null keys would otherwise be answered with megabytes.
const maxRecordErrors = 100

// Rules are what a topic and a request ask of a batch. The zero value checks nothing that can be left out.
type Rules struct {
	// MaxBatchBytes is max.message.bytes; 0 means no limit.
	MaxBatchBytes int
	// Compacted: cleanup.policy has compact, so each record needs a key, and compressed batches are opened.
	Compacted bool
	// LogAppendTime: the topic's timestamps are the broker's, so the window is not checked. The caller rewrites them.
	LogAppendTime bool
	// NowMs is the broker's clock.
	NowMs int64
	// BeforeMaxMs and AfterMaxMs are message.timestamp.{before,after}.max.ms. The window is
	// NowMs − BeforeMaxMs ≤ timestamp ≤ NowMs + AfterMaxMs; math.MaxInt64 means no bound. Checked only if CheckTimestamps.
	BeforeMaxMs, AfterMaxMs int64
	CheckTimestamps         bool
	// OpenCompressed walks the records of compressed batches too (ottla.record.validation=full).
	OpenCompressed bool
	// Limits bound what opening may cost.
	Limits Limits
	// AllowControl is for batches that brokers make; clients may not.
	AllowControl bool
	// ZstdAllowed is false for Produce before version 7 (KIP-110).
	ZstdAllowed bool
	// AnyBaseOffset accepts a base offset other than 0: batches from another broker.
	AnyBaseOffset bool
	// Partition is named in messages about single records.
	Partition ids.TopicPartition
}

func invalid(r Reason, format string, args ...any) *Invalid {
	return &Invalid{Reason: r, Message: fmt.Sprintf(format, args...)}
}

// Validate checks that records is what Produce v3+ must carry for a partition, exactly one v2 batch, that the rules
// accept, and returns it. As Kafka does, it ignores what follows the batch if that is too short to be another one, and
// corrects a MaxTimestamp that its records belie, and a timestamp type that only brokers may set (rewriting the CRC).
// A refusal is an *Invalid with Kafka's code. Stricter than Kafka, because one such batch breaks some consumer:
// offset deltas of uncompressed records must be dense, and key and value lengths below -1 are no nulls.
//
// A valid batch costs no allocation, except that opening a compressed one may grow pooled buffers.
func Validate(records []byte, rules *Rules) (Batch, error) {
	b, err := single(records)
	if err != nil {
		return nil, err
	}
	if b.Codec() == Zstd && !rules.ZstdAllowed {
		refusal := invalid(UnsupportedCodec, "Produce requests before version 7 are not allowed to use ZStandard compression")
		refusal.Framing = true
		return nil, refusal
	}
	if base := b.BaseOffset(); base != 0 && !rules.AnyBaseOffset {
		return nil, invalid(InvalidRecord, "The baseOffset of the record batch should be 0, but it is %d", base)
	}
	if rules.MaxBatchBytes > 0 && len(b) > rules.MaxBatchBytes {
		return nil, invalid(TooLarge, "The record batch size is %d bytes which exceeds the maximum configured value of %d", len(b), rules.MaxBatchBytes)
	}
	if crc := b.ComputeCRC(); crc != b.CRC() {
		return nil, invalid(Corrupt, "Record is corrupt (stored crc = %d, computed crc = %d)", b.CRC(), crc)
	}
	if !b.Codec().Known() {
		return nil, invalid(Unknown, "Unknown compression type id: %d", b.Codec())
	}
	if err := checkHeader(b, rules); err != nil {
		return nil, err
	}
	return b, checkRecords(b, rules)
}

// single frames the one batch of a produce request.
func single(records []byte) (Batch, error) {
	b, rest, err := Next(records)
	switch {
	case err == nil:
	case isLegacy(err):
		return nil, misframed("Produce requests are only allowed to contain record batches with magic version 2")
	case isTruncated(err):
		return nil, misframed("Produce requests must have at least one record batch per partition")
	default:
		return nil, corrupt(records, err)
	}
	if len(rest) < lengthOverhead {
		return b, nil
	}
	switch _, _, err := Next(rest); {
	case isTruncated(err):
		return b, nil
	case err == nil || isLegacy(err):
		return nil, misframed("Produce requests are only allowed to contain exactly one record batch per partition")
	default:
		return nil, corrupt(rest, err)
	}
}

func misframed(message string) *Invalid {
	return &Invalid{Reason: InvalidRecord, Message: message, Framing: true}
}

// corrupt says in Kafka's words why no batch can begin like data, of which FrameSize has read a prefix.
func corrupt(data []byte, err error) *Invalid {
	refusal := invalid(Corrupt, "%v", err)
	length, magic := int32(binary.BigEndian.Uint32(data[offLength:])), data[offMagic]
	switch {
	case length < minLegacySize:
		refusal.Message = fmt.Sprintf("Record size %d is less than the minimum record overhead (%d)", length, minLegacySize)
	case magic > magicV2:
		refusal.Message = fmt.Sprintf("Invalid magic found in record: %d", int8(magic))
	}
	return refusal
}

func checkHeader(b Batch, rules *Rules) error {
	base, last := b.BaseOffset(), b.LastOffset()
	if b.LastOffsetDelta() < 0 || last < base {
		return invalid(InvalidRecord, "Batch has an invalid offset range: [%d, %d]", base, last)
	}
	if n := b.Count(); int64(n) != int64(b.LastOffsetDelta())+1 {
		return invalid(InvalidRecord, "Inconsistent batch offset range [%d, %d] and count of records %d", base, last, n)
	}
	if b.IsControl() && !rules.AllowControl {
		return invalid(InvalidRecord, "Clients are not allowed to write control records")
	}
	if b.HasProducer() && b.BaseSequence() < 0 && !b.IsControl() {
		return invalid(InvalidRecord, "Invalid sequence number %d in record batch with producerId %d", b.BaseSequence(), b.ProducerID())
	}
	return nil
}

// checkRecords walks the records of uncompressed batches, and of compressed ones where the rules ask for it. A compressed batch is opened, without being asked, where
// its header lies outside the timestamp window: only its records can tell which of them to name.
func checkRecords(b Batch, rules *Rules) error {
	if b.TimestampType() == LogAppendTime && !rules.AllowControl {
		if rules.LogAppendTime || b.MaxTimestamp() == NoTimestamp {
			return refuseAll(b, "Invalid timestamp type in message. Producer should not set timestamp type to LogAppendTime.")
		}
		// Kafka takes it for CreateTime on a topic of CreateTime.
		b[offAttributes+1] &^= attrLogAppendTime
		b.sealCRC()
	}
	if b.Codec() == None {
		return checkWalk(b, b.Payload(), rules)
	}
	if !rules.Compacted && !rules.OpenCompressed && !headerOutsideWindow(b, rules) {
		return nil
	}
	scratch := getScratch()
	defer scratch.put()
	opened, err := decompress(b.Codec(), scratch.buf[:0], b.Payload(), rules.Limits.output())
	scratch.buf = opened
	if err != nil {
		return invalid(InvalidRecord, "the %s-compressed records cannot be opened: %v", b.Codec(), err)
	}
	return checkWalk(b, opened, rules)
}

func headerOutsideWindow(b Batch, rules *Rules) bool {
	return rules.CheckTimestamps && !rules.LogAppendTime && (rules.outside(b.MaxTimestamp()) || rules.outside(b.BaseTimestamp()))
}

// outside is Kafka's LogValidator.recordHasInvalidTimestamp. The differences are compared, as there, so that bounds near
// the end of the int64 range need no care; a difference that overflows is outside.
func (r *Rules) outside(ms int64) bool {
	if ms == NoTimestamp {
		return false
	}
	d := r.NowMs - ms
	if (d > 0) != (r.NowMs > ms) && r.NowMs != ms {
		return true
	}
	return d > r.BeforeMaxMs || -d > r.AfterMaxMs
}

// checkWalk checks the framing of all records and what each must fulfil.
func checkWalk(b Batch, payload []byte, rules *Rules) error {
	var (
		f       frame
		at      int
		bad     recordErrors
		count   = int(b.Count())
		base    = b.BaseTimestamp()
		window  = rules.CheckTimestamps && !rules.LogAppendTime
		largest = NoTimestamp
	)
	for i := range count {
		if at == len(payload) {
			return invalid(InvalidRecord, "Incorrect declared batch size, premature EOF reached after %d of %d records", i, count)
		}
		if !f.skim(payload, at) {
			if problem := f.parse(payload, at); problem != "" {
				return invalid(InvalidRecord, "record %d of the batch: %s", i, problem)
			}
		}
		if int(f.offsetDelta) != i {
			bad.add(InvalidRecord, i, "record %d of the batch has offset delta %d instead of incremental ones", i, f.offsetDelta)
		}
		if rules.Compacted && f.keyLen < 0 && !b.IsControl() {
			bad.add(InvalidRecord, i, "Compacted topic cannot accept message without key in topic partition %s", rules.Partition)
		}
		ms := base + f.timestampDelta
		if window && rules.outside(ms) {
			bad.add(InvalidTimestamp, i, "Timestamp %d of message with offset %d is out of range. The timestamp should be within [%d, %d]",
				ms, i, saturatingSub(rules.NowMs, rules.BeforeMaxMs), saturatingAdd(rules.NowMs, rules.AfterMaxMs))
		}
		if ms > largest {
			largest = ms
		}
		at = f.end
	}
	if at != len(payload) {
		return invalid(InvalidRecord, "Incorrect declared batch size, records still remaining in file: %d bytes after the last record", len(payload)-at)
	}
	if err := bad.err(); err != nil {
		return err
	}
	if largest != b.MaxTimestamp() && b.TimestampType() == CreateTime && !rules.LogAppendTime {
		b.setMaxTimestamp(largest)
	}
	return nil
}

// refuseAll names every record of the batch for the same timestamp error.
func refuseAll(b Batch, message string) error {
	var bad recordErrors
	for i := range int(b.Count()) {
		bad.add(InvalidTimestamp, i, "%s", message)
	}
	return bad.err()
}

// recordErrors collects what is wrong with single records. As in Kafka, one timestamp among them decides the code.
type recordErrors struct {
	reason Reason
	total  int
	list   []RecordError
}

func (e *recordErrors) add(r Reason, index int, format string, args ...any) {
	if e.total == 0 || r == InvalidTimestamp {
		e.reason = r
	}
	e.total++
	if len(e.list) < maxRecordErrors {
		e.list = append(e.list, RecordError{Index: index, Message: fmt.Sprintf(format, args...)})
	}
}

func (e *recordErrors) err() error {
	if e.total == 0 {
		return nil
	}
	if e.reason == InvalidTimestamp {
		return &Invalid{Reason: e.reason, Message: "One or more records have been rejected due to invalid timestamp", Records: e.list}
	}
	var shown []string
	for _, bad := range e.list[:min(3, len(e.list))] {
		shown = append(shown, fmt.Sprintf("RecordError(batchIndex=%d, message='%s')", bad.Index, bad.Message))
	}
	return &Invalid{Reason: e.reason, Records: e.list, Message: fmt.Sprintf(
		"One or more records have been rejected due to %d record errors in total, and only showing the first three errors at most: [%s]",
		e.total, strings.Join(shown, ", "))}
}

func saturatingSub(a, b int64) int64 {
	if d := a - b; b < 0 || d <= a {
		return d
	}
	return -1 << 63
}

func saturatingAdd(a, b int64) int64 {
	if s := a + b; b < 0 || s >= a {
		return s
	}
	return 1<<63 - 1
}
