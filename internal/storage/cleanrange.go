package storage

import (
	"slices"

	"github.com/ottla-io/ottla/internal/compaction"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
)

// cleanRange is what compaction could do for one log now.
type cleanRange struct {
	log *Log
	compaction.Range
}

// cleanable finds the range; ok is false for a log that has nothing to compact.
func (l *Log) cleanable(nowMs int64) (r cleanRange, ok bool, err error) {
	r.log = l
	cfg, segments := l.Config(), l.list()
	if !cfg.Compact || len(segments) < 2 || l.Err() != nil {
		return r, false, nil
	}
	sealed := segments[:len(segments)-1]
	start := l.LogStart()
	r.FirstDirty, ok = l.dir.firstDirty(l.tp)
	if !ok || r.FirstDirty < start || r.FirstDirty > l.LogEnd() {
		r.FirstDirty = start // never compacted; or deleted, or lost, beyond the checkpoint
	}
	from := max(segmentAt(sealed, r.FirstDirty), 0)
	dirty := sealed[from:]
	if r.FirstDirty >= segments[len(sealed)].base {
		dirty = nil
	}
	if r.FirstUncleanable, err = l.firstUncleanable(cfg, segments, dirty, nowMs); err != nil {
		return r, false, err
	}
	if i := segmentAt(segments, r.FirstUncleanable); i >= 0 {
		r.FirstUncleanable = max(segments[i].base, r.FirstDirty)
	} else {
		r.FirstUncleanable = r.FirstDirty
	}
	for i, s := range sealed {
		r.Count(s.base, segments[i+1].base, s.size.Load(), i+1 == len(sealed))
	}
	if cfg.MaxCompactionLagMs > 0 && cfg.MaxCompactionLagMs < longestMs {
		if r.Overdue, err = overdue(dirty, nowMs-cfg.MaxCompactionLagMs); err != nil {
			return r, false, err
		}
	}
	return r, r.Some(), nil
}

// firstUncleanable is the least of: the active segment, the last stable offset, the segments with records younger than min.compaction.lag.ms, and those that
// reach beyond the recovery point: recovery, which may have to cut there, sees only what was appended.
func (l *Log) firstUncleanable(cfg LogConfig, segments, dirty []*segment, nowMs int64) (ids.Offset, error) {
	stable := l.DurableEnd()
	if hw := l.HighWatermark(); hw >= 0 {
		stable = min(stable, hw)
	}
	bound := min(segments[len(segments)-1].base, l.LastStable(stable))
	point, _, _ := l.dir.points(l.tp)
	if i := slices.IndexFunc(segments, func(s *segment) bool { return s.base > point }); i > 0 {
		bound = min(bound, segments[i-1].base)
	} else if i == 0 {
		bound = 0
	}
	if cfg.MinCompactionLagMs <= 0 {
		return bound, nil
	}
	for _, s := range dirty {
		largest, err := s.largestTimestamp()
		if err != nil {
			return 0, err
		}
		if largest > nowMs-cfg.MinCompactionLagMs {
			return min(bound, s.base), nil
		}
	}
	return bound, nil
}

// overdue tells that the first batch of a segment is older than limitMs. Records without a timestamp have no age.
func overdue(dirty []*segment, limitMs int64) (bool, error) {
	for _, s := range dirty {
		s.mu.Lock()
		first := s.firstTimestamp
		s.mu.Unlock()
		if first == record.NoTimestamp {
			if err := s.readFirstTimestamp(); err != nil {
				return false, err
			}
			s.mu.Lock()
			first = s.firstTimestamp
			s.mu.Unlock()
		}
		if first > 0 && first < limitMs {
			return true, nil
		}
	}
	return false, nil
}
