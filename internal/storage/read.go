package storage

import (
	"errors"
	"fmt"
	"io"

	"github.com/ottla-io/ottla/internal/ids"
)

// Region is a piece of a segment: Size bytes of whole batches. The zero Region is empty. It is a value; release it once.
type Region struct {
	handle   *handle
	position int64
	size     int
	bound    ids.Offset
	// segments are the one that it lies in and those after it, as they were.
	segments []*segment
}

// Bound is an offset that no batch of the region reaches: the limit that was asked for, or the base of the next segment.
func (r *Region) Bound() ids.Offset { return r.bound }

// Size is how many bytes the region has.
func (r *Region) Size() int { return r.size }

// Source is the file and the position of the first byte. The file stays readable until Release, through roll, retention and eviction.
func (r *Region) Source() (io.ReaderAt, int64) {
	if r.handle == nil {
		return nil, 0
	}
	return r.handle.file, r.position
}

// Release lets the file go. A second call does nothing.
func (r *Region) Release() {
	if r.handle != nil {
		r.handle.release()
		r.handle, r.segments = nil, nil
	}
}

// Read returns whole batches, the first being the one that holds from or the next after it, none that reaches limit or beyond. They have
// at most maxBytes together; with minOne the first comes whole even if it is larger. The region is empty if there is nothing,
// and never spans two segments. ErrOffsetOutOfRange if from < LogStart or from > LogEnd.
func (l *Log) Read(from, limit ids.Offset, maxBytes int, minOne bool) (Region, error) {
	if err := l.Err(); err != nil {
		return Region{}, err
	}
	for {
		end := l.LogEnd()
		segments := l.list() // before the start: what is missing in it lies below
		if start := l.LogStart(); from < start || from > end {
			return Region{}, ErrOffsetOutOfRange
		}
		limit = min(limit, end)
		region, err := l.readFrom(segments, from, limit, maxBytes, minOne)
		if errors.Is(err, errGone) {
			// Retention took the segment after we found it: logStart is above it by now, unless the log itself is gone.
			if err := l.Err(); err != nil {
				return Region{}, err
			}
			continue
		}
		return region, err
	}
}

func (l *Log) readFrom(segments []*segment, from, limit ids.Offset, maxBytes int, minOne bool) (Region, error) {
	for i := max(segmentAt(segments, from), 0); i < len(segments) && from < limit; i++ {
		s := segments[i]
		sealed := i+1 < len(segments) && segments[i+1].base <= limit
		h, err := s.open(readWrite)
		if err != nil {
			return Region{}, fmt.Errorf("read %s: %w", l.tp, err)
		}
		position, size, found, err := l.cut(s, h, readRange{from, limit, maxBytes, minOne, sealed})
		if err != nil {
			h.release()
			return Region{}, l.readFailed(err, from)
		}
		if found {
			bound := limit
			if i+1 < len(segments) {
				bound = min(bound, segments[i+1].base)
			}
			if size == 0 {
				err := l.checkNone(s, h, from, position)
				h.release()
				return Region{}, l.readFailed(err, from)
			}
			if err := l.check(s, h, stretch{from, bound, position, position + size}); err != nil {
				h.release()
				return Region{}, l.readFailed(err, from)
			}
			return Region{h, position, int(size), bound, segments[i:]}, nil
		}
		err = l.checkNone(s, h, from, s.size.Load())
		h.release()
		if err != nil {
			return Region{}, l.readFailed(err, from)
		}
		if i+1 < len(segments) {
			from = max(from, segments[i+1].base)
		}
	}
	return Region{}, nil
}

// readFailed reports damage found by a reader.
func (l *Log) readFailed(err error, offset ids.Offset) error {
	err = l.asCorrupt(err, offset)
	var c *CorruptError
	if errors.As(err, &c) && l.store.met.first(c) {
		l.store.corrupt(c)
	}
	return err
}

// readRange is what Read was asked for, for one segment.
type readRange struct {
	from, limit ids.Offset
	maxBytes    int
	minOne      bool
	sealed      bool // the whole segment lies below limit
}

// cut finds the bytes of s for r. found is false if s holds nothing at or after r.from; no bytes with found mean that the first batch may not
// be returned.
func (l *Log) cut(s *segment, h *handle, r readRange) (position, size int64, found bool, err error) {
	position, ok := l.hints.find(s, r.from)
	if !ok {
		p, ok, err := s.find(h, s.positionAt(r.from), r.from)
		if err != nil || !ok {
			return 0, 0, false, err
		}
		position = p.position
	} else if position >= s.size.Load() {
		return 0, 0, false, nil
	}
	end, err := l.endBelow(s, h, position, r)
	if err != nil {
		return 0, 0, false, err
	}
	if end-position <= int64(r.maxBytes) {
		return position, max(end-position, 0), true, nil
	}
	last, err := s.trim(h, position, position+int64(r.maxBytes), r.minOne)
	if err != nil {
		return 0, 0, false, err
	}
	if last.position > position {
		l.hints.add(byRead, s, last.base, last.position)
	}
	return position, min(last.position, end) - position, true, nil
}

// endBelow is the position where the bytes below r.limit end, or one beyond what r.maxBytes allows.
func (l *Log) endBelow(s *segment, h *handle, position int64, r readRange) (int64, error) {
	if r.sealed {
		return s.size.Load(), nil
	}
	if end, ok := l.hints.find(s, r.limit); ok {
		return end, nil
	}
	known := max(position, l.hints.floor(s, r.limit))
	if known-position > int64(r.maxBytes) {
		return known, nil
	}
	p, _, err := s.find(h, max(known, s.positionAt(r.limit)), r.limit)
	if err != nil {
		return 0, err
	}
	l.hints.add(byRead, s, r.limit, p.position)
	return p.position, nil
}

// walkBatches is up to how many batches a walk from header to header is cheaper than a search in the index file, which takes some five reads.
const walkBatches = 4

// trim finds the last batch boundary at or below target; the returned place begins there. With minOne the boundary
// is after the first batch at least.
func (s *segment) trim(h *handle, position, target int64, minOne bool) (place, error) {
	w := newWalker(h.file, s.size.Load())
	defer w.close()
	at, searched := position, false
	for next := ids.Offset(-1); ; {
		if at >= w.end {
			return place{position: at, base: next}, nil
		}
		head, size, err := w.header(at)
		if err != nil {
			if at > position && next < 0 { // a wrong hint of the index: walk from the start
				at = position
				continue
			}
			return place{}, s.damaged(at, err)
		}
		if !searched && walkBatches*size < target-at {
			searched = true
			if hint := s.boundaryBelow(target); hint > at && hint <= target {
				at, next = hint, -1
				continue
			}
		}
		if next < 0 {
			next = head.BaseOffset()
		}
		if at+size > target && !(minOne && at == position) {
			return place{position: at, base: next}, nil
		}
		at += size
		next = head.NextOffset()
	}
}
