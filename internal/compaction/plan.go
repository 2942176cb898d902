package compaction

import (
	"math"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
)

// Range is what a round could do for one log now, as Kafka's LogToClean.
//
//	logStart ≤ FirstDirty ≤ FirstUncleanable ≤ recovery point ≤ durableEnd
type Range struct {
	// FirstDirty: below it each key has one record, but for tombstones whose time comes. FirstUncleanable: nothing from there on may be compacted yet.
	FirstDirty, FirstUncleanable ids.Offset
	CleanBytes, CleanableBytes   int64
	// Overdue: a dirty record is older than max.compaction.lag.ms.
	Overdue bool
}

// Count adds the bytes of a sealed segment that holds the offsets from base to before end; last: it is the newest of them.
func (r *Range) Count(base, end ids.Offset, bytes int64, last bool) {
	switch {
	case base < r.FirstDirty && (last || end <= r.FirstDirty):
		r.CleanBytes += bytes
	case end <= r.FirstUncleanable:
		r.CleanableBytes += bytes
	}
}

// Some tells that there is something to compact.
func (r *Range) Some() bool { return r.CleanBytes+r.CleanableBytes > 0 }

// Ratio is the share of dirty bytes among those that a round would read.
func (r *Range) Ratio() float64 {
	if r.Some() {
		return float64(r.CleanableBytes) / float64(r.CleanBytes+r.CleanableBytes)
	}
	return 0
}

// Due tells that the log's settings ask for a round now; minRatio is min.cleanable.dirty.ratio.
func (r *Range) Due(minRatio float64) bool {
	return r.Overdue && r.CleanableBytes > 0 || r.Ratio() > minRatio
}

// Segment is how much there is of a segment that holds the offsets from Base to before End.
type Segment struct {
	Base, End                               ids.Offset
	Bytes, OffsetIndexBytes, TimeIndexBytes int64
}

// Group puts segments that lie side by side into groups that fit one segment each, as Kafka's groupSegmentsBySize: of segmentBytes (segment.bytes), with indexes of
// indexBytes (segment.index.bytes). It tells how many are in each; one that is too large is a group by itself.
func Group(segments []Segment, segmentBytes, indexBytes int64) (counts []int) {
	for i := 0; i < len(segments); {
		first := i
		var bytes, offsets, times int64
		for ; i < len(segments); i++ {
			s := &segments[i]
			if i > first && (bytes+s.Bytes > segmentBytes || offsets+s.OffsetIndexBytes > indexBytes ||
				times+s.TimeIndexBytes > indexBytes || s.Bytes > 0 && s.End-1-segments[first].Base > math.MaxInt32) {
				break
			}
			bytes, offsets, times = bytes+s.Bytes, offsets+s.OffsetIndexBytes, times+s.TimeIndexBytes
		}
		counts = append(counts, i-first)
	}
	return counts
}

// Throttle holds compaction to a rate, as a debt that is paid by waiting.
type Throttle struct{ until time.Duration }

// After is when the next step may run, by the clock that tells now, after one that read and wrote so many bytes, at a rate in bytes a second; 0: at once.
func (t *Throttle) After(now time.Duration, bytes int64, rate float64) time.Duration {
	if rate <= 0 {
		return 0
	}
	t.until = max(t.until, now) + time.Duration(float64(bytes)/rate*float64(time.Second))
	return t.until
}
