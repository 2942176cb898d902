package storage

import (
	"errors"
	"fmt"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/record"
)

// FoundOffset is a record's place in time.
type FoundOffset struct {
	Offset      ids.Offset
	TimestampMs int64 // NoTimestamp for Earliest
	Epoch       ids.LeaderEpoch
}

// Earliest is the log start with the epoch of the batch there, as ListOffsets answers timestamp -2.
func (l *Log) Earliest() FoundOffset {
	start := l.LogStart()
	return FoundOffset{start, record.NoTimestamp, l.epochs.At(start)}
}

// OffsetForTimestamp finds the first record below limit whose timestamp is timestampMs or later, as ListOffsets asks; ok is false if there is none.
// Only the batch that holds it is opened.
func (l *Log) OffsetForTimestamp(timestampMs int64, limit ids.Offset) (found FoundOffset, ok bool, err error) {
	return l.lookupRetrying(limit, func(s *segment, limit ids.Offset) (FoundOffset, bool, error) {
		largest, err := s.largestTimestamp()
		if err != nil || largest < timestampMs {
			return FoundOffset{}, false, err
		}
		position := int64(0)
		if e, ok := s.lookup(&s.times, logfiles.TimeIndex, timestampMs-1, false); ok {
			at, ok, err := s.timeEntry(e)
			if err != nil {
				return FoundOffset{}, false, err
			}
			if ok {
				position = at
			}
		}
		return s.firstAtOrAfter(position, timestampMs, l.LogStart(), limit)
	})
}

// lookupRetrying calls find for each segment in order until it finds something, and again from the start if retention takes one away.
func (l *Log) lookupRetrying(limit ids.Offset, find func(*segment, ids.Offset) (FoundOffset, bool, error)) (FoundOffset, bool, error) {
	for {
		found, ok, err := l.lookupOnce(limit, find)
		if !errors.Is(err, errGone) {
			return found, ok, l.readFailed(err, l.LogStart())
		}
	}
}

func (l *Log) lookupOnce(limit ids.Offset, find func(*segment, ids.Offset) (FoundOffset, bool, error)) (FoundOffset, bool, error) {
	if err := l.Err(); err != nil {
		return FoundOffset{}, false, err
	}
	limit = min(limit, l.LogEnd())
	for _, s := range l.list() {
		if s.base >= limit {
			break
		}
		found, ok, err := find(s, limit)
		if ok || err != nil {
			return found, ok, err
		}
	}
	return FoundOffset{}, false, nil
}

// errFound ends a walk early.
var errFound = errors.New("found")

// firstAtOrAfter walks from position to the first record in [start, limit) with a timestamp ≥ timestampMs.
func (s *segment) firstAtOrAfter(position, timestampMs int64, start, limit ids.Offset) (found FoundOffset, ok bool, err error) {
	err = s.walkChecked(position, func(b record.Batch, at int64, h *handle) error {
		if b.BaseOffset() >= limit {
			return errFound
		}
		if b.MaxTimestamp() < timestampMs || b.LastOffset() < start {
			return nil
		}
		f, inside, err := s.inBatch(h, at, start, limit, func(t int64) bool { return t >= timestampMs })
		if err != nil {
			return err
		}
		if inside {
			found, ok = f, true
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return found, ok, err
}

// inBatch opens the batch at a position and finds its first record in [start, limit) whose timestamp is wanted.
func (s *segment) inBatch(h *handle, at int64, start, limit ids.Offset, wanted func(int64) bool) (FoundOffset, bool, error) {
	b, err := s.readBatch(h, at)
	if err != nil {
		return FoundOffset{}, false, err
	}
	epoch := b.LeaderEpoch()
	records := b.Records(record.Limits{})
	defer records.Close()
	for records.Next() {
		r := records.Record()
		if r.Offset >= limit {
			break
		}
		if r.Offset >= start && wanted(r.TimestampMs) {
			return FoundOffset{r.Offset, r.TimestampMs, epoch}, true, nil
		}
	}
	if err := records.Err(); err != nil {
		return FoundOffset{}, false, fmt.Errorf("open the batch at byte %d of %s: %w", at, s.path(logfiles.LogSuffix), err)
	}
	return FoundOffset{}, false, nil
}

// MaxTimestamp finds the first record with the largest timestamp below limit, as ListOffsets answers timestamp -3 (KIP-734); ok is false for an
// empty log.
func (l *Log) MaxTimestamp(limit ids.Offset) (found FoundOffset, ok bool, err error) {
	largest := record.NoTimestamp - 1
	_, _, err = l.lookupRetrying(limit, func(s *segment, limit ids.Offset) (FoundOffset, bool, error) {
		most, err := s.largestTimestamp()
		if err != nil || most <= largest {
			return FoundOffset{}, false, err
		}
		s.mu.Lock()
		holder := s.maxOffset
		s.mu.Unlock()
		start := l.LogStart()
		if s.base >= start && holder < limit && most >= 0 {
			largest = most
			return FoundOffset{}, false, nil
		}
		// The largest of the segment may lie below start, at or above limit: look between them, batch by batch.
		err = s.walkChecked(0, func(b record.Batch, at int64, h *handle) error {
			if b.BaseOffset() >= limit {
				return errFound
			}
			if b.BaseOffset() >= start && b.LastOffset() < limit {
				largest = max(largest, b.MaxTimestamp())
				return nil
			}
			if b.LastOffset() < start {
				return nil
			}
			_, _, err := s.inBatch(h, at, start, limit, func(t int64) bool {
				largest = max(largest, t)
				return false
			})
			return err
		})
		if errors.Is(err, errFound) {
			err = nil
		}
		return FoundOffset{}, false, err
	})
	if err != nil || largest < record.NoTimestamp {
		return FoundOffset{}, false, err
	}
	return l.OffsetForTimestamp(largest, limit)
}
