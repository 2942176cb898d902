package storage

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/vfs"
)

// scan checks every batch from the recovery point on, cuts a torn tail, rebuilds indexes and epochs of what it checked, and finds LogEnd.
func (r *recovery) scan(segments []*segment) error {
	l := r.log
	r.scanned = true
	first := max(segmentAt(segments, r.point), 0)
	if first > 0 && segments[first].base == r.point {
		// It may have been sealed after the checkpoint: the rounds since have not synced its indexes for sure.
		first--
	}
	next := segments[first].base
	for i := first; i < len(segments); i++ {
		s := segments[i]
		if i > first && s.base != next && !(s.base > next && r.compactedTo(s.base)) {
			// The segment before lost its end, or an earlier recovery cut it and crashed before it had removed this one.
			if next < r.bound {
				return &CorruptError{l.tp, s.path(logfiles.LogSuffix), 0, next, fmt.Sprintf("the next segment begins at offset %d", s.base)}
			}
			if err := r.dropFrom(segments, i); err != nil {
				return err
			}
			segments = segments[:i]
			break
		}
		end, damage, err := r.scanSegment(s, i == first)
		if err != nil {
			return err
		}
		next = end.next
		if damage == nil {
			if i+1 < len(segments) {
				if err := s.spillIndexes(true); err != nil {
					return err
				}
				s.sealedUnsynced, r.unsynced = true, true
			}
			continue
		}
		if next < r.bound {
			return &CorruptError{l.tp, s.path(logfiles.LogSuffix), end.position, next, damage.Error()}
		}
		if err := r.cut(s, end); err != nil {
			return err
		}
		if err := r.dropFrom(segments, i+1); err != nil {
			return err
		}
		segments = segments[:i+1]
	}
	last := segments[len(segments)-1]
	if next < r.bound {
		return &CorruptError{l.tp, last.path(logfiles.LogSuffix), last.size.Load(), next, fmt.Sprintf("ends before offset %d, below which it was durable", r.bound)}
	}
	if next < r.start {
		// What was left ends below the log start, which a deletion had moved past all that was durable: the log is empty.
		if err := r.dropFrom(segments, 0); err != nil {
			return err
		}
		segments, next = nil, r.start
	}
	l.setSegments(segments)
	l.logEnd.Store(int64(next))
	return nil
}

// scanEnd is where the whole batches of a segment end.
type scanEnd struct {
	position int64
	next     ids.Offset
}

// scanSegment checks one segment from the recovery point, or its start, on. damage says why the end is not the file's.
func (r *recovery) scanSegment(s *segment, first bool) (end scanEnd, damage, err error) {
	l := r.log
	start, startOffset, err := r.scanStart(s)
	if err != nil {
		return end, nil, err
	}
	if first {
		l.epochs.TruncateEnd(startOffset)
	}
	s.statsKnown = true
	h, err := s.open(readWrite)
	if err != nil {
		return end, nil, err
	}
	defer h.release()
	c := newScanner(h.file, s.size.Load())
	defer c.close()
	end = scanEnd{start, startOffset}
	gap := scanEnd{start, math.MaxInt64} // what the last batch left out, if anything
	pointAt := int64(-1)
	for end.position < c.end {
		b, size, err := c.batch(end.position)
		if err == nil && (!r.follows(b, s, end.next) || b.LeaderEpoch() < l.epochs.Latest()) {
			err = fmt.Errorf("%w: offset %d of epoch %d follows offset %d of epoch %d", errTorn, b.BaseOffset(), b.LeaderEpoch(), end.next-1, l.epochs.Latest())
			if gap.next <= b.BaseOffset() && b.BaseOffset() < end.next && gap.next < r.bound {
				// The batch before it left a gap, and overlaps it: not this one is out of its place.
				return end, nil, &CorruptError{l.tp, s.path(logfiles.LogSuffix), gap.position, gap.next, err.Error()}
			}
		}
		if err == nil {
			err = r.inEpoch(b)
		}
		if errors.Is(err, errTorn) {
			damage = err
			break
		}
		if err != nil {
			return end, nil, fmt.Errorf("scan %s: %w", s.path(logfiles.LogSuffix), err)
		}
		if pointAt < 0 && b.BaseOffset() >= r.point {
			pointAt = end.position
		}
		gap = scanEnd{end.position, math.MaxInt64}
		if b.BaseOffset() > end.next {
			gap.next = end.next
		}
		l.epochs.Assign(b.LeaderEpoch(), b.BaseOffset())
		s.noteBatch(b, end.position, int(size), l.cfg.IndexIntervalBytes)
		r.report.ScannedBytes += size
		end = scanEnd{end.position + size, b.NextOffset()}
	}
	if err := r.settleIndexes(s, damage == nil && end.next == r.point); err != nil {
		return end, nil, err
	}
	s.checked.own.Store(start)
	if pointAt >= 0 {
		if err := r.rewrite(s, h, pointAt, end.position); err != nil {
			return end, nil, err
		}
	}
	if r.point == 0 || pointAt >= 0 {
		r.unsynced = true
		s.synced = -1
	}
	if start > 0 {
		if err := s.readFirstTimestamp(); err != nil {
			return end, nil, err
		}
	}
	if damage != nil {
		r.report.ValidAfterCut = r.report.ValidAfterCut || validAfter(c, end.position)
	}
	return end, damage, nil
}

// follows checks what the checksum doesn't cover: that the offsets go on from next. Compaction leaves gaps; elsewhere there are none above the recovery point.
func (r *recovery) follows(b record.Batch, s *segment, next ids.Offset) bool {
	base := b.BaseOffset()
	if base < next || b.LastOffset()-s.base > math.MaxInt32 {
		return false
	}
	if next < r.bound && b.NextOffset() > r.bound {
		return false // the recovery point was a batch's end once
	}
	return base == next || next < r.point || r.gaps
}

// compactedTo tells that compaction may have removed what lay before a segment that begins at base. It never comes beyond the recovery point, and segments are made
// at the log's end: a hole before one above that is what a crash lost.
func (r *recovery) compactedTo(base ids.Offset) bool {
	d := r.log.dir
	dirty, _ := d.firstDirty(r.log.tp)
	return r.gaps && (base <= r.point || base <= dirty || d.cleanedLost)
}

// inEpoch checks a batch's leader epoch, which its checksum doesn't cover either, where leader-epoch-checkpoint is complete.
func (r *recovery) inEpoch(b record.Batch) error {
	if want, have := r.fileEpochs.At(b.LastOffset()), b.LeaderEpoch(); b.NextOffset() <= r.bound && want >= 0 && have != ids.NoLeaderEpoch && have != want {
		return fmt.Errorf("%w: offset %d has leader epoch %d, and %s says %d", errTorn, b.BaseOffset(), have, logfiles.Epochs, want)
	}
	return nil
}

// validAfter tells whether the damaged batch at position is followed by a whole one, as far as its length can be believed.
func validAfter(c *scanner, position int64) bool {
	if position+record.HeaderSize > c.end {
		return false
	}
	head, err := c.at(position, record.HeaderSize)
	if err != nil {
		return false
	}
	size, err := record.FrameSize(head)
	if err != nil {
		return false
	}
	_, _, err = c.batch(position + int64(size))
	return err == nil
}

// loadedIndexes are a segment's indexes as their files have them, up to the recovery point.
type loadedIndexes struct {
	offsets, times logfiles.SparseIndex
	kept           [2]int // entries of each that the scan began with
}

// scanStart finds a batch boundary at or below the recovery point from the index, after checking that a batch begins there, and leaves of both indexes, in
// memory, what lies before it. The start is low enough for the largest timestamp before it to be in the time index, unless that is known otherwise.
func (r *recovery) scanStart(s *segment) (int64, ids.Offset, error) {
	r.loaded = loadedIndexes{}
	s.maxTimestamp, s.bytesSinceIndex = record.NoTimestamp, 0
	s.offsets, s.times = logfiles.SparseIndex{}, logfiles.SparseIndex{}
	if r.point <= s.base {
		return 0, s.base, nil
	}
	offsets, err := s.loadIndex(logfiles.OffsetIndex, int64(r.point-1-s.base))
	if err != nil {
		return 0, 0, err
	}
	times, err := s.loadIndex(logfiles.TimeIndex, 1<<62)
	if err != nil {
		return 0, 0, err
	}
	r.loaded.offsets, r.loaded.times = offsets, times
	known, isKnown := r.log.dir.largestOf(r.log.tp, r.log.id, r.point)
	limit := int64(r.point - 1 - s.base)
	if isKnown = isKnown && known.Base == s.base; !isKnown {
		newest, n, err := s.search(&times, logfiles.TimeIndex, limit, true)
		if err != nil || n == 0 {
			return 0, s.base, err
		}
		limit = int64(newest.Value)
	}
	entry, offsetCount, err := s.search(&offsets, logfiles.OffsetIndex, limit, false)
	if err != nil {
		return 0, 0, err
	}
	if offsetCount == 0 {
		return 0, s.base, nil
	}
	base, ok, err := s.batchAt(int64(entry.Value), s.base+ids.Offset(entry.Key))
	if err != nil {
		return 0, 0, err
	}
	if !ok {
		r.loaded = loadedIndexes{} // it leads somewhere else
		return 0, s.base, nil
	}
	newest, n, err := s.search(&times, logfiles.TimeIndex, entry.Key, true)
	if err != nil {
		return 0, 0, err
	}
	if isKnown {
		s.maxTimestamp, s.maxOffset = known.Timestamp, known.Offset
	} else if n > 0 {
		s.maxTimestamp, s.maxOffset = newest.Key, s.base+ids.Offset(newest.Value)
	}
	s.offsets = logfiles.SparseIndex{Written: int32(offsetCount), Last: entry, Some: true}
	s.times = logfiles.SparseIndex{Written: int32(n), Last: newest, Some: n > 0}
	r.loaded.kept = [2]int{offsetCount, n}
	return int64(entry.Value), base, nil
}

// settleIndexes makes the index files hold nothing but what the scan kept, and later spills, unless the segment ends at the recovery point and its files are
// right as they are: a log that was at rest is opened without a write.
func (r *recovery) settleIndexes(s *segment, atRest bool) error {
	x := &r.loaded
	if atRest && x.offsets.Written+x.times.Written > 0 {
		whole, err := r.wholeIndexes(s)
		if err != nil {
			return err
		}
		if whole {
			s.offsets, s.times = x.offsets, x.times
			s.bytesSinceIndex = int(s.size.Load()) - int(x.offsets.Last.Value)
			return nil
		}
	}
	if err := s.trimFile(logfiles.OffsetIndex, x.kept[0]); err != nil {
		return err
	}
	return s.trimFile(logfiles.TimeIndex, x.kept[1])
}

// wholeIndexes tells whether the files hold the loaded entries and nothing else, all of them of batches below the recovery point.
func (r *recovery) wholeIndexes(s *segment) (bool, error) {
	x := &r.loaded
	if x.times.Some && s.base+ids.Offset(x.times.Last.Value) >= r.point {
		return false, nil
	}
	for _, file := range []struct {
		kind logfiles.IndexKind
		n    int32
	}{{logfiles.OffsetIndex, x.offsets.Written}, {logfiles.TimeIndex, x.times.Written}} {
		entry, err := s.files.fs.Stat(s.path(file.kind.Suffix))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		if entry.Size != int64(file.n)*file.kind.Width {
			return false, nil
		}
	}
	return true, nil
}

// batchAt tells whether the batch at position ends with offset last, and its base offset.
func (s *segment) batchAt(position int64, last ids.Offset) (ids.Offset, bool, error) {
	h, err := s.open(readWrite)
	if err != nil {
		return 0, false, err
	}
	defer h.release()
	w := newWalker(h.file, s.size.Load())
	defer w.close()
	head, _, err := w.header(position)
	if errors.Is(err, errTorn) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	return head.BaseOffset(), head.LastOffset() == last, nil
}

// rewrite writes the bytes between two positions once more, as they are. A kernel that failed to write them before the last stop holds them in its cache marked
// as written, and a sync alone would not reach the disk.
func (r *recovery) rewrite(s *segment, h *handle, from, to int64) error {
	if r.log.cfg.Durability != Fsync {
		return nil
	}
	buf := scanBuffers.get()
	defer scanBuffers.put(buf)
	for from < to {
		p := (*buf)[:min(int64(len(*buf)), to-from)]
		if err := vfs.ReadFull(h.file, p, from); err != nil {
			return fmt.Errorf("rewrite %s: %w", s.path(logfiles.LogSuffix), err)
		}
		if _, err := h.file.WriteAt(p, from); err != nil {
			return fmt.Errorf("rewrite %s: %w", s.path(logfiles.LogSuffix), err)
		}
		from += int64(len(p))
	}
	return nil
}

// cut ends a segment at the last whole batch.
func (r *recovery) cut(s *segment, end scanEnd) error {
	h, err := s.open(readWrite)
	if err != nil {
		return err
	}
	defer h.release()
	if err := h.file.Truncate(end.position); err != nil {
		return fmt.Errorf("cut the torn tail of %s: %w", s.path(logfiles.LogSuffix), err)
	}
	r.report.CutBytes += s.size.Load() - end.position
	r.report.CutOffset = end.next
	s.size.Store(end.position)
	s.synced = -1
	r.changed = true
	return nil
}

// dropFrom removes the segments from the i-th on, the newest first, so that what a crash leaves of them has no gap.
func (r *recovery) dropFrom(segments []*segment, i int) error {
	for n := len(segments) - 1; n >= i; n-- {
		r.report.CutBytes += segments[n].size.Load()
		if err := r.remove(segments[n]); err != nil {
			return err
		}
	}
	return nil
}

// walkEpochs derives the epochs from all batch headers. An epoch that falls, or one of a last batch that a clean stop did not write down, is damage.
func (r *recovery) walkEpochs() error {
	l := r.log
	l.epochs.Replace(nil)
	var last *CorruptError
	for _, s := range l.list() {
		err := s.walk(0, func(b record.Batch, position int64, _ *handle) error {
			latest := l.epochs.Latest()
			last = &CorruptError{l.tp, s.path(logfiles.LogSuffix), position, b.BaseOffset(), fmt.Sprintf("leader epoch %d follows epoch %d", b.LeaderEpoch(), latest)}
			if epoch := b.LeaderEpoch(); epoch != ids.NoLeaderEpoch && epoch < latest {
				return last
			}
			l.epochs.Assign(b.LeaderEpoch(), b.BaseOffset())
			return nil
		})
		if errors.Is(err, errTorn) {
			return &CorruptError{Log: l.tp, File: s.path(logfiles.LogSuffix), Offset: s.base, Reason: err.Error()}
		}
		if err != nil {
			return err
		}
	}
	file, _ := r.fileEpochs.Snapshot()
	found, _ := l.epochs.Snapshot()
	if n := len(found); n > 1 && slices.Equal(file, found[:n-1]) && found[n-1].Start == last.Offset {
		last.Reason += ", and " + logfiles.Epochs + " does not know it"
		return last
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// scanBuffers are what a scan reads at once.
var scanBuffers = bufferPool{size: 1 << 20}

// scanner reads a segment front to back and checks every batch's checksum.
type scanner struct {
	file   io.ReaderAt
	end    int64
	buf    *[]byte
	ahead  int64 // read at once, if a batch doesn't need more
	start  int64
	filled int64
}

func newScanner(file io.ReaderAt, end int64) *scanner {
	buf := scanBuffers.get()
	return &scanner{file: file, end: end, buf: buf, ahead: int64(len(*buf))}
}

func (c *scanner) close() { scanBuffers.put(c.buf) }

// at returns n bytes at position, from the buffer; n must not exceed it.
func (c *scanner) at(position, n int64) ([]byte, error) {
	if position < c.start || position+n > c.start+c.filled {
		c.start, c.filled = position, min(max(c.ahead, n), c.end-position)
		if err := vfs.ReadFull(c.file, (*c.buf)[:c.filled], position); err != nil {
			c.filled = 0
			return nil, fmt.Errorf("scan: %w", err)
		}
	}
	at := position - c.start
	return (*c.buf)[at : at+n : at+n], nil
}

// batch checks the batch at position and returns it, whole if it fits the buffer, else its header; and its size. errTorn: none there.
func (c *scanner) batch(position int64) (record.Batch, int64, error) {
	if position+record.HeaderSize > c.end {
		return nil, 0, fmt.Errorf("%w: %d bytes are left", errTorn, c.end-position)
	}
	head, err := c.at(position, record.HeaderSize)
	if err != nil {
		return nil, 0, err
	}
	n, err := record.FrameSize(head)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errTorn, err)
	}
	size := int64(n)
	if position+size > c.end {
		return nil, 0, fmt.Errorf("%w: a batch of %d bytes, and %d are left", errTorn, size, c.end-position)
	}
	if size <= int64(len(*c.buf)) {
		whole, err := c.at(position, size)
		if err != nil {
			return nil, 0, err
		}
		b := record.Batch(whole)
		if b.CRC() != b.ComputeCRC() || b.LastOffsetDelta() < 0 {
			return nil, 0, fmt.Errorf("%w: its checksum is wrong", errTorn)
		}
		return b, size, nil
	}
	b := record.Batch(slices.Clone(head))
	crc := uint32(0)
	for at := position + 21; at < position+size; {
		part, err := c.at(at, min(int64(len(*c.buf)), position+size-at))
		if err != nil {
			return nil, 0, err
		}
		crc = crc32.Update(crc, castagnoli, part)
		at += int64(len(part))
	}
	if crc != b.CRC() || b.LastOffsetDelta() < 0 {
		return nil, 0, fmt.Errorf("%w: its checksum is wrong", errTorn)
	}
	return b, size, nil
}
