package storage

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/vfs"
)

// errStopped ends a compaction that is no longer wanted: the store closes, the log was deleted, or its segments are not the ones that were read.
var errStopped = errors.New("compaction was stopped")

// batchReader reads the batches of a segment in order and checks every one: what compaction copies or drops was whole.
type batchReader struct {
	log      *Log
	segment  *segment
	handle   *handle
	buf      []byte // lent by the cleaner
	start    int64  // position of buf[0]
	filled   int
	position int64 // of the next batch
	end      int64
	next     ids.Offset  // no batch begins below
	bound    ids.Offset  // none reaches this
	spend    func(int64) // is told the bytes read
}

// batch returns the next whole batch, valid until the next call; io.EOF at the end. Damage is errTorn, wrapped.
func (r *batchReader) batch() (record.Batch, error) {
	if r.position == r.end {
		return nil, io.EOF
	}
	head, err := r.at(record.HeaderSize)
	if err != nil {
		return nil, err
	}
	size, err := record.FrameSize(head)
	if err != nil {
		return nil, r.damaged(err)
	}
	if int64(size) > r.end-r.position {
		return nil, r.damaged(fmt.Errorf("a batch of %d bytes, and %d are left", size, r.end-r.position))
	}
	if size > len(r.buf) {
		// The length is believed once the checksum says so: it must not size a buffer before.
		if err := r.checkLarge(record.Batch(head).CRC(), size); err != nil {
			return nil, err
		}
		r.buf, r.filled = make([]byte, size), 0
	}
	whole, err := r.at(size)
	if err != nil {
		return nil, err
	}
	b := record.Batch(whole)
	if b.CRC() != b.ComputeCRC() {
		return nil, r.damaged(errors.New("its checksum is wrong"))
	}
	if b.LastOffsetDelta() < 0 {
		return nil, r.damaged(errors.New("its last offset delta is negative"))
	}
	if err := r.log.inPlace(b, r.next, r.bound); err != nil { // what rots outside of the checksum must not be made new
		return nil, r.damaged(err)
	}
	r.position += int64(size)
	r.next = b.NextOffset()
	return b, nil
}

// at returns n bytes at the position, from the buffer, which holds that many.
func (r *batchReader) at(n int) ([]byte, error) {
	if int64(n) > r.end-r.position {
		return nil, r.damaged(fmt.Errorf("%d bytes are left", r.end-r.position))
	}
	if at := r.position - r.start; at < 0 || at+int64(n) > int64(r.filled) {
		want := int(min(int64(len(r.buf)), r.end-r.position))
		r.spend(int64(want))
		r.filled = 0
		if err := vfs.ReadFull(r.handle.file, r.buf[:want], r.position); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, r.damaged(err)
			}
			return nil, fmt.Errorf("read %s: %w", r.segment.path(logfiles.LogSuffix), err)
		}
		r.start, r.filled = r.position, want
	}
	at := int(r.position - r.start)
	return r.buf[at : at+n : at+n], nil
}

func (r *batchReader) checkLarge(crc uint32, size int) error {
	const covered = 21 // where what the checksum covers begins
	sum := uint32(0)
	r.spend(int64(size))
	for at := int64(covered); at < int64(size); {
		part := r.buf[:min(int64(len(r.buf)), int64(size)-at)]
		r.filled = 0
		if err := vfs.ReadFull(r.handle.file, part, r.position+at); err != nil {
			return fmt.Errorf("read %s: %w", r.segment.path(logfiles.LogSuffix), err)
		}
		sum = crc32.Update(sum, castagnoli, part)
		at += int64(len(part))
	}
	if sum != crc {
		return r.damaged(errors.New("its checksum is wrong"))
	}
	return nil
}

func (r *batchReader) damaged(err error) error {
	return r.segment.damaged(r.position, fmt.Errorf("%w: %w", errTorn, err))
}

// segmentWriter makes the segment that takes the place of others: files that end in .cleaned, with their indexes.
type segmentWriter struct {
	log      *Log
	segment  *segment
	handles  []*handle // log, index, time index: open until the segment has its names
	buf      []byte    // not written yet
	limit    int       // bytes that buf gathers
	written  int64     // bytes in the file
	aborted  []byte    // the transaction index
	next     ids.Offset
	synced   int64 // bytes that a sync has covered
	interval int
	spend    func(int64) // is told the bytes written
}

// syncEvery is how much of a compacted segment is written between syncs: the disk's queue, which clients' flushes share, stays short.
const syncEvery = 16 << 20

// begin makes the files.
func (w *segmentWriter) begin() error {
	l, s := w.log, w.segment
	s.setTransit(logfiles.CleanedSuffix)
	l.naming.Lock()
	defer l.naming.Unlock()
	if l.failure.Load() != nil {
		return errStopped
	}
	for _, file := range [...]struct {
		slot   *fileSlot
		suffix string
	}{{&s.log, logfiles.LogSuffix}, {&s.index, logfiles.IndexSuffix}, {&s.timeIndex, logfiles.TimeIndexSuffix}} {
		if err := w.create(file.slot, file.suffix); err != nil {
			return err
		}
	}
	return nil
}

func (w *segmentWriter) create(slot *fileSlot, suffix string) error {
	h, err := w.segment.files.acquire(slot, createNew, func() string { return w.segment.path(suffix) })
	if err != nil {
		return err
	}
	w.handles = append(w.handles, h)
	return nil
}

// add appends a batch, copying it.
func (w *segmentWriter) add(b record.Batch) error {
	if len(w.buf) > 0 && len(w.buf)+len(b) > w.limit {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.note(b)
	w.buf = append(w.buf, b...)
	return w.spillEarly()
}

// addBuilt is add for a batch that build appends to the buffer.
func (w *segmentWriter) addBuilt(build func(dst []byte) ([]byte, error)) error {
	if len(w.buf) >= w.limit/2 {
		if err := w.flush(); err != nil {
			return err
		}
	}
	at := len(w.buf)
	buf, err := build(w.buf)
	if err != nil {
		return err
	}
	w.buf = buf[:at]
	w.note(buf[at:])
	w.buf = buf
	return w.spillEarly()
}

func (w *segmentWriter) note(b record.Batch) {
	position := w.written + int64(len(w.buf))
	w.segment.noteBatch(b, position, len(b), w.interval)
	w.next = b.NextOffset()
}

func (w *segmentWriter) spillEarly() error {
	if len(w.segment.offsets.Tail) < spillEntries {
		return nil
	}
	return w.segment.spillIndexes(false)
}

func (w *segmentWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	if w.written+int64(len(w.buf)) > math.MaxInt32 {
		return fmt.Errorf("compact a segment of %s: it would grow beyond 2 GiB", w.log.tp)
	}
	w.spend(int64(len(w.buf)))
	if n, err := w.handles[0].file.WriteAt(w.buf, w.written); err != nil || n < len(w.buf) {
		if err == nil {
			err = io.ErrShortWrite
		}
		return fmt.Errorf("write %s: %w", w.segment.path(logfiles.LogSuffix), err)
	}
	w.written += int64(len(w.buf))
	w.segment.size.Store(w.written)
	if cap(w.buf) > 2*w.limit {
		w.buf = nil
	}
	w.buf = w.buf[:0]
	if w.written-w.synced >= syncEvery {
		return w.sync(w.handles[0])
	}
	return nil
}

func (w *segmentWriter) sync(h *handle) error {
	if err := h.file.Sync(); err != nil {
		return &syncError{fmt.Errorf("sync a compacted segment of %s: %w", w.log.tp, err)}
	}
	w.synced = w.written
	return nil
}

// finish brings everything to the disk: log, indexes, transaction index.
func (w *segmentWriter) finish() error {
	s := w.segment
	if err := w.flush(); err != nil {
		return err
	}
	if err := s.spillIndexes(true); err != nil {
		return err
	}
	for _, h := range w.handles {
		if err := w.sync(h); err != nil {
			return err
		}
	}
	s.txns.readers.all.Store(&w.aborted)
	if len(w.aborted) > 0 {
		if err := w.writeAborted(); err != nil {
			return err
		}
	}
	s.synced, s.statsKnown = w.written, true
	return nil
}

// writeAborted makes the transaction index.
func (w *segmentWriter) writeAborted() error {
	l := w.log
	l.naming.Lock() // else another log's directory could have the path
	defer l.naming.Unlock()
	if l.failure.Load() != nil {
		return errStopped
	}
	path := w.segment.path(logfiles.TxnIndexSuffix)
	if err := vfs.WriteTail(w.segment.files.fs, path, 0, w.aborted, false); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := l.dir.flusher.syncOne(&syncItem{path: path}); err != nil {
		return &syncError{err}
	}
	w.segment.txns.written = int64(len(w.aborted))
	return nil
}

// keep notes an aborted transaction for the transaction index.
func (w *segmentWriter) keep(done producerstate.Completed) {
	w.aborted = done.AppendTxnIndexEntry(w.aborted)
}

// release lets go of the files. They stay open in the cache.
func (w *segmentWriter) release() {
	for _, h := range w.handles {
		h.release()
	}
	w.handles = nil
}

// syncError is a sync that failed: the directory goes offline.
type syncError struct{ err error }

func (e *syncError) Error() string { return e.err.Error() }
func (e *syncError) Unwrap() error { return e.err }
