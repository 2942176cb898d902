package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Encoder appends messages to Buf. The zero value is ready for use; a warm one allocates nothing.
type Encoder struct {
	// Buf holds what was encoded, without the bytes of regions.
	Buf []byte
	// Splices tells which regions' bytes belong between the bytes of Buf, in ascending order of At.
	Splices []Splice

	err error // the first thing that could not be encoded

	codes codeTally
}

// codeTally counts the error codes that a message says, but ErrorNone. It costs nothing where there are none.
type codeTally struct {
	used int
	each [tallyCodes]CodeCount
}

// tallyCodes is how many different codes of one message are told apart; what comes after them is counted with the last.
const tallyCodes = 4

// CodeCount is how often a message says an error code.
type CodeCount struct {
	Code  ErrorCode
	Count int32
}

func (t *codeTally) add(code ErrorCode) {
	for i := range t.used {
		if t.each[i].Code == code {
			t.each[i].Count++
			return
		}
	}
	if t.used < tallyCodes {
		t.used++
	}
	last := &t.each[t.used-1]
	if last.Count == 0 {
		last.Code = code
	}
	last.Count++
}

// Codes are the error codes, ErrorNone left out, of what was encoded since Reset: up to four different ones, later ones are counted
// with the fourth. The slice is the encoder's own.
func (e *Encoder) Codes() []CodeCount { return e.codes.each[:e.codes.used] }

// Splice says that the region's bytes belong between Buf[:At] and Buf[At:].
type Splice struct {
	At     int
	Region Region
}

// Region is a run of bytes that need not be in memory, such as a piece of a log segment. Its size never changes.
type Region interface {
	// Size is in bytes, 0 to 2³¹-1.
	Size() int
}

// Records is a record set: opaque bytes here. Decode sets Bytes, which alias the input (nil is null). Encode writes Bytes
// or, if Region is not nil, the length of the region, and adds a Splice.
type Records struct {
	Bytes  []byte
	Region Region
}

// Reset empties e and keeps its capacity.
func (e *Encoder) Reset() {
	clear(e.Splices)
	e.Buf, e.Splices, e.err = e.Buf[:0], e.Splices[:0], nil
	if e.codes.used > 0 {
		e.codes = codeTally{}
	}
}

// Size is the number of bytes encoded, those of regions included.
func (e *Encoder) Size() int {
	n := len(e.Buf)
	for i := range e.Splices {
		n += e.Splices[i].Region.Size()
	}
	return n
}

// Mark is how far an Encoder has come.
type Mark struct{ bytes, splices int }

// Mark is where e stands.
func (e *Encoder) Mark() Mark { return Mark{len(e.Buf), len(e.Splices)} }

// SizeFrom is the number of bytes encoded since the mark, those of regions included.
func (e *Encoder) SizeFrom(m Mark) int {
	n := len(e.Buf) - m.bytes
	for i := m.splices; i < len(e.Splices); i++ {
		n += e.Splices[i].Region.Size()
	}
	return n
}

// Rewind forgets what was encoded since the mark; who owns its regions does not change.
func (e *Encoder) Rewind(m Mark) {
	clear(e.Splices[m.splices:])
	e.Buf, e.Splices, e.err = e.Buf[:m.bytes], e.Splices[:m.splices], nil
}

// Why a message cannot be said in a version; Encode wraps them. They are faults of the caller.
var (
	ErrNotNullable    = errors.New("a string or a struct is null and this version has no null for it")
	ErrTooLong        = errors.New("a string, an array or bytes are longer than their length field can say")
	ErrUnknownVersion = errors.New("unknown version")
)

func (e *Encoder) begin(version, lowest, highest int16) bool {
	if version < lowest || version > highest {
		e.fail(ErrUnknownVersion)
		return false
	}
	return true
}

func (e *Encoder) result(message string, version int16) error {
	if e.err == nil {
		return nil
	}
	err := e.err
	e.err = nil
	return fmt.Errorf("encode %s version %d: %w", message, version, err)
}

func (e *Encoder) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

func (e *Encoder) writeInt8(v int8) { e.Buf = append(e.Buf, byte(v)) }

func (e *Encoder) writeBool(v bool) {
	var b byte
	if v {
		b = 1
	}
	e.Buf = append(e.Buf, b)
}

func (e *Encoder) writeUint16(v uint16) { e.Buf = binary.BigEndian.AppendUint16(e.Buf, v) }
func (e *Encoder) writeInt16(v int16)   { e.writeUint16(uint16(v)) }
func (e *Encoder) writeErrorCode(v ErrorCode) {
	if v != ErrorNone {
		e.codes.add(v)
	}
	e.writeUint16(uint16(v))
}
func (e *Encoder) writeInt32(v int32)     { e.Buf = binary.BigEndian.AppendUint32(e.Buf, uint32(v)) }
func (e *Encoder) writeInt64(v int64)     { e.Buf = binary.BigEndian.AppendUint64(e.Buf, uint64(v)) }
func (e *Encoder) writeFloat64(v float64) { e.writeInt64(int64(math.Float64bits(v))) }
func (e *Encoder) writeUUID(v UUID)       { e.Buf = append(e.Buf, v[:]...) }
func (e *Encoder) writeUvarint(v uint32)  { e.Buf = binary.AppendUvarint(e.Buf, uint64(v)) }

// writeLength writes the length before a string (short), bytes or an array; -1 is null. See Decoder.readLength.
func (e *Encoder) writeLength(n int, flexible, short bool) {
	switch {
	case n > math.MaxInt32-1 || short && n > math.MaxInt16:
		e.fail(ErrTooLong)
	case flexible:
		e.writeUvarint(uint32(n + 1))
	case short:
		e.writeInt16(int16(n))
	default:
		e.writeInt32(int32(n))
	}
}

// writeCount writes an array's count. Nil is null where that is allowed, else empty.
func (e *Encoder) writeCount(n int, null, flexible, nullable bool) {
	if null && nullable {
		n = -1
	}
	e.writeLength(n, flexible, false)
}

func (e *Encoder) writeString(v string, flexible bool) {
	e.writeLength(len(v), flexible, true)
	e.Buf = append(e.Buf, v...)
}

func (e *Encoder) writeNullString(v NullString, flexible, nullable bool) {
	if v.Valid {
		e.writeString(v.Value, flexible)
		return
	}
	if !nullable {
		e.fail(ErrNotNullable)
		return
	}
	e.writeLength(-1, flexible, true)
}

func (e *Encoder) writeBytes(v []byte, flexible, nullable bool) {
	e.writeCount(len(v), v == nil, flexible, nullable)
	e.Buf = append(e.Buf, v...)
}

func (e *Encoder) writeRecords(v Records, flexible, nullable bool) {
	if v.Region == nil {
		e.writeBytes(v.Bytes, flexible, nullable)
		return
	}
	e.writeLength(v.Region.Size(), flexible, false)
	e.Splices = append(e.Splices, Splice{At: len(e.Buf), Region: v.Region})
}

// writePresence writes the byte before a nullable struct and reports whether the struct follows.
func (e *Encoder) writePresence(present, nullable bool) bool {
	switch {
	case present && nullable:
		e.writeInt8(1)
	case nullable:
		e.writeInt8(-1)
	case !present:
		e.fail(ErrNotNullable)
	}
	return present
}

// writeTagPresence is writePresence in a tagged field, where null is 0.
func (e *Encoder) writeTagPresence(present bool) bool {
	e.writeBool(present)
	return present
}

func (e *Encoder) writeStrings(v []string, flexible, nullable bool) {
	e.writeCount(len(v), v == nil, flexible, nullable)
	for _, s := range v {
		e.writeString(s, flexible)
	}
}

func (e *Encoder) writeInt8s(v []int8, flexible, nullable bool) {
	e.writeCount(len(v), v == nil, flexible, nullable)
	for _, n := range v {
		e.writeInt8(n)
	}
}

func (e *Encoder) writeInt16s(v []int16, flexible, nullable bool) {
	e.writeCount(len(v), v == nil, flexible, nullable)
	for _, n := range v {
		e.writeInt16(n)
	}
}

func (e *Encoder) writeInt32s(v []int32, flexible, nullable bool) {
	e.writeCount(len(v), v == nil, flexible, nullable)
	for _, n := range v {
		e.writeInt32(n)
	}
}

func (e *Encoder) writeInt64s(v []int64, flexible, nullable bool) {
	e.writeCount(len(v), v == nil, flexible, nullable)
	for _, n := range v {
		e.writeInt64(n)
	}
}

func (e *Encoder) writeUUIDs(v []UUID, flexible, nullable bool) {
	e.writeCount(len(v), v == nil, flexible, nullable)
	for _, u := range v {
		e.writeUUID(u)
	}
}

// Tagged fields: count, then for each its number, its size and its payload. Neither the count nor a size is known before
// the payload is written; both are written as one byte and corrected afterwards. No message has 128 tagged fields.

// writeNoTags writes the section of a struct that knows no tagged field.
func (e *Encoder) writeNoTags() { e.Buf = append(e.Buf, 0) }

// beginTags starts the section and returns where its count is.
func (e *Encoder) beginTags() (section int) {
	section = len(e.Buf)
	e.Buf = append(e.Buf, 0)
	return section
}

// beginTag starts one tagged field of a section and returns where its payload begins.
func (e *Encoder) beginTag(section int, tag uint32) (payload int) {
	e.Buf[section]++
	e.writeUvarint(tag)
	e.Buf = append(e.Buf, 0)
	return len(e.Buf)
}

// endTag sets the size of the tagged field whose payload began there, and moves the payload if the size needs more than
// one byte. No tagged field holds records, so no splice moves.
func (e *Encoder) endTag(payload int) {
	size := len(e.Buf) - payload
	if size < 0x80 {
		e.Buf[payload-1] = byte(size)
		return
	}
	var prefix [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(prefix[:], uint64(size))
	e.Buf = append(e.Buf, prefix[1:n]...)
	copy(e.Buf[payload-1+n:], e.Buf[payload:payload+size])
	copy(e.Buf[payload-1:], prefix[:n])
}
