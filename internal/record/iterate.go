package record

import (
	"errors"
	"fmt"

	"github.com/ottla-io/ottla/internal/ids"
)

// Header is one record header. Keys may repeat; a nil Value is null.
type Header struct {
	Key   []byte
	Value []byte
}

// Record is one record of a batch. Key and Value are nil for null. All bytes alias the batch or the iterator's buffer.
type Record struct {
	Offset      ids.Offset
	TimestampMs int64 // NoTimestamp if it has none
	Key, Value  []byte
	Headers     Headers
}

// Headers are a record's headers, not yet parsed.
type Headers struct {
	raw   []byte
	count int
}

// Len is the number of headers.
func (h Headers) Len() int { return h.count }

// All yields the headers in order. They were checked when the record was read.
func (h Headers) All(yield func(Header) bool) {
	at := 0
	for range h.count {
		key, value, next := header(h.raw, at)
		if next == 0 || !yield(Header{Key: key, Value: value}) {
			return
		}
		at = next
	}
}

func isLegacy(err error) bool    { return errors.Is(err, ErrLegacyMagic) }
func isTruncated(err error) bool { return errors.Is(err, ErrTruncated) }

// Iterator reads the records of one batch in order. Use:
//
//	it := b.Records(limits)
//	for it.Next() { … it.Record() … }
//	err := it.Err()
//	it.Close()
type Iterator struct {
	batch   Batch
	payload []byte
	at      int
	left    int32
	record  Record
	err     error
	scratch *scratch
}

// Records starts an iteration. A compressed batch is opened whole, within limits. What the iterator hands out is valid
// until Close, and after it if the batch is not compressed.
func (b Batch) Records(limits Limits) Iterator {
	it := Iterator{batch: b, payload: b.Payload(), left: b.Count()}
	if codec := b.Codec(); codec != None {
		it.scratch = getScratch()
		opened, err := decompress(codec, it.scratch.buf[:0], it.payload, limits.output())
		it.scratch.buf, it.payload = opened, opened
		if err != nil {
			it.fail(err)
		}
	}
	if it.left < 0 {
		it.fail(fmt.Errorf("record count %d", it.left))
	}
	return it
}

func (it *Iterator) fail(err error) {
	if it.err == nil {
		it.err = fmt.Errorf("%w: batch at offset %d: %w", ErrCorrupt, it.batch.BaseOffset(), err)
	}
}

// Next advances to the next record; false at the end and on an error.
func (it *Iterator) Next() bool {
	if it.err != nil {
		return false
	}
	if it.left == 0 {
		if rest := len(it.payload) - it.at; rest != 0 {
			it.fail(fmt.Errorf("%d bytes follow the last record", rest))
		}
		return false
	}
	var f frame
	p := it.payload
	if problem := f.parse(p, it.at); problem != "" {
		it.fail(errors.New(problem))
		return false
	}
	it.left--
	it.at = f.end
	r := &it.record
	r.Offset = it.batch.BaseOffset() + ids.Offset(f.offsetDelta)
	if it.batch.TimestampType() == LogAppendTime {
		r.TimestampMs = it.batch.MaxTimestamp()
	} else {
		r.TimestampMs = it.batch.BaseTimestamp() + f.timestampDelta
	}
	r.Key, r.Value = nil, nil
	if f.keyLen >= 0 {
		r.Key = p[f.keyAt : f.keyAt+f.keyLen : f.keyAt+f.keyLen]
	}
	if f.valLen >= 0 {
		r.Value = p[f.valAt : f.valAt+f.valLen : f.valAt+f.valLen]
	}
	r.Headers = Headers{raw: p[f.headersAt:f.end], count: f.headers}
	return true
}

// Record is the current record; the pointer is the same at every step.
func (it *Iterator) Record() *Record { return &it.record }

// Err tells why Next returned false: nil at a proper end. It wraps ErrCorrupt, and ErrTooMuch if Limits ended it.
func (it *Iterator) Err() error { return it.err }

// Close gives the buffer of a compressed batch back.
func (it *Iterator) Close() {
	if it.scratch != nil {
		it.scratch.put()
		it.scratch = nil
		it.payload = nil
	}
}
