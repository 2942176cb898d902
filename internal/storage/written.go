package storage

import (
	"errors"
	"fmt"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
)

// WrittenAt is when the batch was written that holds the first record at or after from, below limit: its oldest record's timestamp, or
// its append time where the topic's times are the broker's. ok is false if there is none, or it has no timestamp. It reads a header, not the batch.
func (l *Log) WrittenAt(from, limit ids.Offset) (timestampMs int64, ok bool, err error) {
	for {
		if err := l.Err(); err != nil {
			return 0, false, err
		}
		segments := l.list()
		timestampMs, ok, err = writtenAt(segments, max(from, l.LogStart()), min(limit, l.LogEnd()))
		if !errors.Is(err, errGone) {
			return timestampMs, ok, l.readFailed(err, from)
		}
	}
}

func writtenAt(segments []*segment, from, limit ids.Offset) (timestampMs int64, ok bool, err error) {
	for i := max(segmentAt(segments, from), 0); i < len(segments) && max(from, segments[i].base) < limit; i++ {
		if timestampMs, ok, err = segments[i].writtenAt(max(from, segments[i].base), limit); ok || err != nil {
			return timestampMs, ok, err
		}
	}
	return 0, false, nil
}

func (s *segment) writtenAt(from, limit ids.Offset) (timestampMs int64, ok bool, err error) {
	h, err := s.open(readWrite)
	if err != nil {
		return 0, false, err
	}
	defer h.release()
	p, found, err := s.find(h, s.positionAt(from), from)
	if err != nil || !found || p.base >= limit {
		return 0, false, err
	}
	head := make(record.Batch, record.HeaderSize)
	if _, err := h.file.ReadAt(head, p.position); err != nil {
		return 0, false, fmt.Errorf("read a batch's header at position %d: %w", p.position, err)
	}
	timestampMs = head.BaseTimestamp()
	if head.TimestampType() == record.LogAppendTime || head.HasDeleteHorizon() { // which lies where the oldest timestamp was
		timestampMs = head.MaxTimestamp()
	}
	return timestampMs, timestampMs >= 0, nil
}
