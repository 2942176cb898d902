package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"
)

// Limits of one message's decoded size: the arrays of a message of n bytes may take budgetFactor·n + budgetFloor bytes of
// memory. An honest message needs far less than 16 times its size; one of nothing but empty strings and arrays needs up
// to about 24 times, which is what the floor leaves room for in small messages.
const (
	budgetFactor = 16
	budgetFloor  = 64 << 10
)

// Decoder reads messages from one byte slice. The zero value is ready for Reset. The first violation sticks: later reads
// give zero values and the message's Decode returns the error.
type Decoder struct {
	buf    []byte // ends where the message, or the tagged field being read, ends
	off    int    // 0 ≤ off ≤ len(buf)
	budget int    // bytes of memory that arrays may still take
	reason string // why decoding failed, "" while it has not

	// Strings, if not nil, interns what is decoded, so that strings seen before cost no allocation.
	Strings *StringTable
}

// Reset makes d read body from its start, with a fresh budget. Decoded messages will alias body.
func (d *Decoder) Reset(body []byte) {
	d.buf, d.off, d.reason = body, 0, ""
	d.budget = budgetFactor*len(body) + budgetFloor
}

// Allow lowers the budget of the message to come: its arrays may take no more than factor times its size, and budgetFloor, of memory.
// It is for messages whose honest senders stay far below the general factor, and whose answers are large.
func (d *Decoder) Allow(factor int) {
	d.budget = min(d.budget, factor*len(d.buf)+budgetFloor)
}

// Remaining is how many bytes are not yet read, 0 after a failure.
func (d *Decoder) Remaining() int { return len(d.buf) - d.off }

// Rest is what is not yet read, nil after a failure. It aliases the input.
func (d *Decoder) Rest() []byte {
	if d.reason != "" {
		return nil
	}
	return d.buf[d.off:]
}

// DecodeError says why bytes are not the message they claim to be. It is always the sender's fault.
type DecodeError struct {
	Message string // such as ProduceRequest
	Version int16
	Reason  string
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("decode %s version %d: %s", e.Message, e.Version, e.Reason)
}

// begin checks the version and forgets the failure of an earlier message.
func (d *Decoder) begin(version, lowest, highest int16) bool {
	if version < lowest || version > highest {
		d.fail("unknown version")
		return false
	}
	return d.reason == ""
}

func (d *Decoder) result(message string, version int16) error {
	if d.reason == "" {
		return nil
	}
	return &DecodeError{Message: message, Version: version, Reason: d.reason}
}

func (d *Decoder) ok() bool { return d.reason == "" }

// fail makes all later reads fail too: nothing remains.
func (d *Decoder) fail(reason string) {
	if d.reason == "" {
		d.reason = reason
	}
	d.buf, d.off = nil, 0
}

const truncated = "truncated"

func (d *Decoder) failTruncated() { d.fail(truncated) }

func (d *Decoder) readInt8() int8 {
	if d.off >= len(d.buf) {
		d.failTruncated()
		return 0
	}
	v := d.buf[d.off]
	d.off++
	return int8(v)
}

func (d *Decoder) readBool() bool { return d.readInt8() != 0 }

func (d *Decoder) readUint16() uint16 {
	if len(d.buf)-d.off < 2 {
		d.failTruncated()
		return 0
	}
	v := binary.BigEndian.Uint16(d.buf[d.off:])
	d.off += 2
	return v
}

func (d *Decoder) readInt16() int16         { return int16(d.readUint16()) }
func (d *Decoder) readErrorCode() ErrorCode { return ErrorCode(d.readUint16()) }

func (d *Decoder) readInt32() int32 {
	if len(d.buf)-d.off < 4 {
		d.failTruncated()
		return 0
	}
	v := binary.BigEndian.Uint32(d.buf[d.off:])
	d.off += 4
	return int32(v)
}

func (d *Decoder) readInt64() int64 {
	if len(d.buf)-d.off < 8 {
		d.failTruncated()
		return 0
	}
	v := binary.BigEndian.Uint64(d.buf[d.off:])
	d.off += 8
	return int64(v)
}

func (d *Decoder) readFloat64() float64 { return math.Float64frombits(uint64(d.readInt64())) }

func (d *Decoder) readUUID() (u UUID) {
	if len(d.buf)-d.off < len(u) {
		d.failTruncated()
		return u
	}
	copy(u[:], d.buf[d.off:])
	d.off += len(u)
	return u
}

// readUvarint reads an unsigned varint of at most 5 bytes and 32 bits, as Kafka's ByteUtils.readUnsignedVarint does.
func (d *Decoder) readUvarint() uint32 {
	if d.off < len(d.buf) && d.buf[d.off] < 0x80 {
		v := d.buf[d.off]
		d.off++
		return uint32(v)
	}
	return d.readLongUvarint()
}

func (d *Decoder) readLongUvarint() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		if d.off >= len(d.buf) {
			d.failTruncated()
			return 0
		}
		b := d.buf[d.off]
		d.off++
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if v > math.MaxUint32 {
				break
			}
			return uint32(v)
		}
	}
	d.fail("varint longer than 32 bits")
	return 0
}

// readLength reads the length that stands before a string (short) or before bytes and arrays. -1 is null. A length that
// the remaining bytes cannot hold, at one byte a unit, is a failure, and so is null where it is not allowed.
//
//	                 string          bytes, array
//	flexible     uvarint(n+1)        uvarint(n+1)     0 is null
//	otherwise    int16(n)            int32(n)         negative is null
func (d *Decoder) readLength(flexible, short, nullable bool) int {
	var n int
	switch {
	case flexible:
		n = int(d.readUvarint()) - 1
	case short:
		n = int(d.readInt16())
	default:
		n = int(d.readInt32())
	}
	if n > len(d.buf)-d.off {
		d.fail("length exceeds what remains")
		return -1
	}
	if short && n > math.MaxInt16 {
		d.fail("string of more than 32767 bytes") // as in Kafka: it has to fit into versions that are not flexible, too
		return -1
	}
	if n < 0 {
		if !nullable {
			d.fail("null where none is allowed")
		}
		return -1
	}
	return n
}

// take returns the next n bytes, which readLength has checked. Their capacity ends with them.
func (d *Decoder) take(n int) []byte {
	end := d.off + n
	b := d.buf[d.off:end:end]
	d.off = end
	return b
}

func (d *Decoder) text(n int) string {
	if n <= 0 {
		return ""
	}
	b := d.take(n)
	if d.Strings != nil {
		return d.Strings.intern(b)
	}
	return string(b)
}

func (d *Decoder) readString(flexible bool) string {
	return d.text(d.readLength(flexible, true, false))
}

func (d *Decoder) readNullString(flexible, nullable bool) NullString {
	n := d.readLength(flexible, true, nullable)
	if n < 0 {
		return NullString{}
	}
	return NullString{Value: d.text(n), Valid: true}
}

// readBytes aliases the input; nil is null.
func (d *Decoder) readBytes(flexible, nullable bool) []byte {
	n := d.readLength(flexible, false, nullable)
	if n < 0 {
		return nil
	}
	return d.take(n)
}

func (d *Decoder) readRecords(flexible, nullable bool) Records {
	return Records{Bytes: d.readBytes(flexible, nullable)}
}

// readPresence reads the byte before a nullable struct: -1 is null, 1 is not.
func (d *Decoder) readPresence() bool { return d.readInt8() >= 0 }

// readTagPresence reads the varint before a nullable struct in a tagged field: there 0 is null.
func (d *Decoder) readTagPresence() bool { return d.readUvarint() != 0 }

// readArray reads an array's count and returns s, grown or cut to it; the caller decodes every element. An element takes
// at least minBytes of input; its size in memory is charged to the budget.
func readArray[T any](d *Decoder, s []T, flexible, nullable bool, minBytes int) []T {
	n := d.readLength(flexible, false, nullable)
	if n < 0 {
		if nullable {
			return nil
		}
		return s[:0]
	}
	if n > (len(d.buf)-d.off)/minBytes {
		d.fail("array count exceeds what remains")
		return s[:0]
	}
	var element T
	if n*int(unsafe.Sizeof(element)) > d.budget {
		d.fail("message is too large when decoded")
		return s[:0]
	}
	d.budget -= n * int(unsafe.Sizeof(element))
	return resize(s, n)
}

// resize keeps the elements of s, also those past its length, for the capacity of the slices inside them.
func resize[T any](s []T, n int) []T {
	if n <= cap(s) && s != nil {
		return s[:n]
	}
	grown := make([]T, n)
	copy(grown, s[:cap(s)])
	return grown
}

// emptied is s without its elements, never nil: nil would be null.
func emptied[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s[:0]
}

// reused is a pointer's target if it has one, so that decoding again allocates nothing.
func reused[T any](p *T) *T {
	if p == nil {
		return new(T)
	}
	return p
}

func (d *Decoder) readStrings(s []string, flexible, nullable bool) []string {
	minBytes := 2
	if flexible {
		minBytes = 1
	}
	s = readArray(d, s, flexible, nullable, minBytes)
	for i := range s {
		s[i] = d.readString(flexible)
		if !d.ok() {
			break
		}
	}
	return s
}

func (d *Decoder) readInt8s(s []int8, flexible, nullable bool) []int8 {
	s = readArray(d, s, flexible, nullable, 1)
	for i := range s {
		s[i] = d.readInt8()
	}
	return s
}

func (d *Decoder) readInt16s(s []int16, flexible, nullable bool) []int16 {
	s = readArray(d, s, flexible, nullable, 2)
	for i := range s {
		s[i] = d.readInt16()
	}
	return s
}

func (d *Decoder) readInt32s(s []int32, flexible, nullable bool) []int32 {
	s = readArray(d, s, flexible, nullable, 4)
	for i := range s {
		s[i] = d.readInt32()
	}
	return s
}

func (d *Decoder) readInt64s(s []int64, flexible, nullable bool) []int64 {
	s = readArray(d, s, flexible, nullable, 8)
	for i := range s {
		s[i] = d.readInt64()
	}
	return s
}

func (d *Decoder) readUUIDs(s []UUID, flexible, nullable bool) []UUID {
	s = readArray(d, s, flexible, nullable, 16)
	for i := range s {
		s[i] = d.readUUID()
	}
	return s
}

// readTagCount reads how many tagged fields follow. Each takes two bytes at least: its number and its size.
func (d *Decoder) readTagCount() int {
	n := d.readUvarint()
	if int64(n) > int64(len(d.buf)-d.off)/2 {
		d.fail("tagged field count exceeds what remains")
		return 0
	}
	return int(n)
}

// tagFrame is where a tagged field ends and where the bytes around it end.
type tagFrame struct{ outer []byte }

// beginTag reads a tagged field's number and narrows d to its payload. -1 means that decoding failed.
func (d *Decoder) beginTag() (tag int, frame tagFrame) {
	tag = int(d.readUvarint())
	size := d.readUvarint()
	if !d.ok() {
		return -1, tagFrame{}
	}
	if int64(size) > int64(len(d.buf)-d.off) {
		d.fail("tagged field exceeds what remains")
		return -1, tagFrame{}
	}
	frame.outer = d.buf
	d.buf = d.buf[:d.off+int(size)]
	return tag, frame
}

// endTag widens d again. A known field must have been read to its end.
func (d *Decoder) endTag(frame tagFrame) bool {
	if !d.ok() {
		return false
	}
	if d.off != len(d.buf) {
		d.fail("tagged field is longer than its content")
		return false
	}
	d.buf = frame.outer
	return true
}

// skipTag passes over the payload of a tagged field that this version does not know.
func (d *Decoder) skipTag() { d.off = len(d.buf) }

// skipTags passes over the tagged fields of a struct that knows none. Almost always there are none.
func (d *Decoder) skipTags() {
	if d.off < len(d.buf) && d.buf[d.off] == 0 {
		d.off++
		return
	}
	for n := d.readTagCount(); n > 0; n-- {
		tag, frame := d.beginTag()
		if tag < 0 {
			return
		}
		d.skipTag()
		d.endTag(frame)
	}
}
