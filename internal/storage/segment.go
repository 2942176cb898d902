package storage

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/vfs"
)

// segment is one .log file with its indexes. Its batches hold the offsets from base up to the next segment's base.
type segment struct {
	files *openFiles
	dir   string // of the partition
	base  ids.Offset
	// size is the bytes that readers may see: whole batches only. The file may be longer while an append writes.
	size atomic.Int64

	// transit is what the files' names end in beyond their suffix while compaction makes the segment and swaps it in; nil: nothing. The files that
	// readers open are open through all of that.
	transit atomic.Pointer[string]
	checked checkedBytes

	log, index, timeIndex fileSlot

	// Guarded by the log's append lock:
	synced          int64   // bytes known to be durable
	pin             *handle // keeps the file open from an append until synced == size; nil otherwise
	bytesSinceIndex int
	sealedUnsynced  bool  // indexes were written at a roll and not synced yet
	timesAt         int64 // where the batch begins that the newest entry of the time index was added with; 0: unknown
	trimmed         bool  // the index files end where the indexes do, all of them are there, and nothing was appended since
	txns            txnIndex

	mu sync.Mutex // guards the rest, for memory only; changed under the append lock, too
	// offsets and times are complete up to the last index interval.
	offsets, times logfiles.SparseIndex
	// firstTimestamp is the first batch's largest timestamp: segment.ms counts from it. NoTimestamp: no batch, or not read yet.
	firstTimestamp int64
	maxTimestamp   int64      // NoTimestamp: none, or not read yet
	maxOffset      ids.Offset // last offset of the batch that holds maxTimestamp
	statsKnown     bool
}

func newSegment(files *openFiles, dir string, base ids.Offset) *segment {
	return &segment{files: files, dir: dir, base: base, firstTimestamp: record.NoTimestamp, maxTimestamp: record.NoTimestamp}
}

func (s *segment) path(suffix string) string {
	path := s.dir + "/" + logfiles.SegmentName(s.base, suffix)
	if transit := s.transit.Load(); transit != nil {
		path += *transit
	}
	return path
}

func (s *segment) slot(k logfiles.IndexKind) *fileSlot {
	if k == logfiles.OffsetIndex {
		return &s.index
	}
	return &s.timeIndex
}

// open returns the segment's log file, retained, for reading and writing.
func (s *segment) open(mode openMode) (*handle, error) {
	return s.files.acquire(&s.log, mode, func() string { return s.path(logfiles.LogSuffix) })
}

// retire forbids opening any of the files again.
func (s *segment) retire() {
	s.log.retire()
	s.index.retire()
	s.timeIndex.retire()
}

// noteBatch updates index and statistics with a batch that was written at position. Called under the append lock.
func (s *segment) noteBatch(b record.Batch, position int64, size, intervalBytes int) {
	timestamp, last := b.MaxTimestamp(), b.LastOffset()
	s.trimmed = false
	s.mu.Lock()
	defer s.mu.Unlock()
	if position == 0 {
		s.firstTimestamp = timestamp
	}
	if timestamp > s.maxTimestamp && b.Count() > 0 { // what compaction emptied has no record of that time
		s.maxTimestamp, s.maxOffset = timestamp, last
	}
	if s.bytesSinceIndex > intervalBytes {
		s.offsets.Add(logfiles.IndexEntry{Key: int64(last - s.base), Value: int32(position)})
		if s.maxTimestamp >= 0 && s.times.Add(logfiles.IndexEntry{Key: s.maxTimestamp, Value: int32(s.maxOffset - s.base)}) {
			s.timesAt = position
		}
		s.bytesSinceIndex = 0
	}
	s.bytesSinceIndex += size
}

// spillIndexes writes both indexes' newest entries to their files. At a roll or close the time index gets the largest timestamp, too.
func (s *segment) spillIndexes(sealing bool) error {
	if s.trimmed {
		return nil
	}
	if sealing {
		s.mu.Lock()
		if s.maxTimestamp >= 0 {
			s.times.Add(logfiles.IndexEntry{Key: s.maxTimestamp, Value: int32(s.maxOffset - s.base)})
		}
		s.mu.Unlock()
	}
	if err := s.spill(&s.offsets, logfiles.OffsetIndex, sealing); err != nil {
		return err
	}
	if err := s.spill(&s.times, logfiles.TimeIndex, sealing); err != nil {
		return err
	}
	s.trimmed = sealing
	return nil
}

// lookup finds the entry with the greatest key (byValue: value) ≤ limit; none is the zero entry, which is right for .index.
func (s *segment) lookup(x *logfiles.SparseIndex, k logfiles.IndexKind, limit int64, byValue bool) (logfiles.IndexEntry, bool) {
	s.mu.Lock()
	if e, ok := x.Below(limit, byValue); ok {
		s.mu.Unlock()
		return e, true
	}
	n := int(x.Written)
	s.mu.Unlock()
	if n == 0 {
		return logfiles.IndexEntry{}, false
	}
	h, err := s.files.acquire(s.slot(k), readWrite, func() string { return s.path(k.Suffix) })
	if err != nil {
		return logfiles.IndexEntry{}, false
	}
	e, at, err := searchIndex(k, h, n, limit, byValue)
	h.release()
	return e, at > 0 && err == nil
}

// positionAt is a position from which a walk finds the batch that holds offset: at or before that batch.
func (s *segment) positionAt(offset ids.Offset) int64 {
	e, ok := s.lookup(&s.offsets, logfiles.OffsetIndex, int64(offset-s.base), false)
	if !ok || e.Value < 0 || int64(e.Value) >= s.size.Load() {
		return 0
	}
	return int64(e.Value)
}

// boundaryBelow is a batch's position at or below position, after the index.
func (s *segment) boundaryBelow(position int64) int64 {
	e, ok := s.lookup(&s.offsets, logfiles.OffsetIndex, position, true)
	if !ok {
		return 0
	}
	return int64(e.Value)
}

// walkBuffers hold the headers of a few small batches.
var walkBuffers = bufferPool{size: 4096}

// walker reads batch headers from a file, one after the other.
type walker struct {
	file   io.ReaderAt
	end    int64 // bytes that may be read
	buf    *[]byte
	start  int64 // position of the buffer's first byte
	filled int
}

// errTorn means that the file ends inside a batch, or holds something else than a batch.
var errTorn = errors.New("no whole batch")

func newWalker(file io.ReaderAt, end int64) walker {
	return walker{file: file, end: end, buf: walkBuffers.get()}
}

func (w *walker) close() { walkBuffers.put(w.buf) }

// header returns the header of the batch at position (HeaderSize bytes, valid until the next call) and the batch's whole size, which
// lies within w.end. errTorn (wrapped) if there is no such batch; other errors are the disk's.
func (w *walker) header(position int64) (record.Batch, int64, error) {
	if position+record.HeaderSize > w.end {
		return nil, 0, fmt.Errorf("%w: %d bytes left", errTorn, w.end-position)
	}
	at := position - w.start
	if at < 0 || at+record.HeaderSize > int64(w.filled) {
		n := min(int64(len(*w.buf)), w.end-position)
		w.filled = 0
		if err := vfs.ReadFull(w.file, (*w.buf)[:n], position); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, 0, fmt.Errorf("%w: file is shorter", errTorn)
			}
			return nil, 0, fmt.Errorf("read batch header: %w", err)
		}
		w.start, w.filled, at = position, int(n), 0
	}
	head := record.Batch((*w.buf)[at : at+record.HeaderSize])
	size, err := record.FrameSize(head)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errTorn, err)
	}
	if position+int64(size) > w.end {
		return nil, 0, fmt.Errorf("%w: batch of %d bytes, %d left", errTorn, size, w.end-position)
	}
	if head.LastOffsetDelta() < 0 {
		return nil, 0, fmt.Errorf("%w: negative offset delta", errTorn)
	}
	return head, int64(size), nil
}

// place is where a batch begins and ends.
type place struct {
	position, size int64
	base, next     ids.Offset // its first offset, and the one after its last
}

// find walks from position to the first batch that ends above offset, or to the end of what is published: ok is false, position is the end then.
func (s *segment) find(h *handle, position int64, offset ids.Offset) (place, bool, error) {
	end := s.size.Load()
	w := newWalker(h.file, end)
	defer w.close()
	first := true
	for position < end {
		head, size, err := w.header(position)
		if err == nil && first && position > 0 && head.BaseOffset() > offset {
			err = errTorn // the index led past it
		}
		if err != nil {
			if first && position > 0 && errors.Is(err, errTorn) {
				position, first = 0, false // a wrong hint costs time, never truth
				continue
			}
			return place{}, false, s.damaged(position, err)
		}
		first = false
		if next := head.NextOffset(); next > offset {
			return place{position, size, head.BaseOffset(), next}, true, nil
		}
		position += size
	}
	return place{position: end}, false, nil
}

// damagedError is where a batch that should be there could not be read. It wraps errTorn for damage, else the disk's error.
type damagedError struct {
	file     string
	position int64
	err      error
}

func (e *damagedError) Error() string {
	return fmt.Sprintf("%s at byte %d: %v", e.file, e.position, e.err)
}
func (e *damagedError) Unwrap() error { return e.err }

func (s *segment) damaged(position int64, err error) error {
	return &damagedError{s.path(logfiles.LogSuffix), position, err}
}

// asCorrupt turns damage into a *CorruptError and leaves other errors alone.
func (l *Log) asCorrupt(err error, offset ids.Offset) error {
	var c *CorruptError
	if !errors.Is(err, errTorn) || errors.As(err, &c) {
		return err
	}
	c = &CorruptError{Log: l.tp, File: l.path, Offset: offset, Reason: err.Error()}
	var d *damagedError
	if errors.As(err, &d) {
		c.File, c.Position, c.Reason = d.file, d.position, d.err.Error()
	}
	return c
}

// setTransit changes what the names of the segment's files end in; "" is nothing.
func (s *segment) setTransit(suffix string) {
	if suffix == "" {
		s.transit.Store(nil)
		return
	}
	s.transit.Store(&suffix)
}
