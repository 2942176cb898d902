package quota

import "math"

// Windows are what rates are measured over.
type Windows struct {
	Count  int   // of them, the one that is still open included, at least 1
	SizeMs int64 // of each, at least 1
}

func (w Windows) spanMs() int64 { return int64(w.Count) * w.SizeMs }

// rate sums up values in windows, as Kafka's Rate over a WindowedSum does: a window begins with the first value after the end of the
// one before, and counts until its last value is older than all windows together.
type rate struct {
	samples []sample // at most one more than there are windows
	current int
}

type sample struct {
	value           float64
	startMs, lastMs int64
}

// record adds a value, which may be negative to take one back.
func (r *rate) record(w Windows, value float64, nowMs int64) {
	if len(r.samples) == 0 {
		r.samples = append(r.samples, sample{startMs: nowMs, lastMs: nowMs})
	}
	s := &r.samples[r.current]
	if nowMs-s.startMs >= w.SizeMs {
		r.current = (r.current + 1) % (w.Count + 1)
		if r.current >= len(r.samples) {
			r.samples = append(r.samples, sample{})
		}
		s = &r.samples[r.current]
		*s = sample{startMs: nowMs}
	}
	s.value += value
	s.lastMs = nowMs
}

// measure is the value a second, and the time over which it was taken: at least all windows but one, as if there had been windows
// without a value before the first.
func (r *rate) measure(w Windows, nowMs int64) (perSecond float64, overMs int64) {
	sum, oldest := 0.0, nowMs
	for i := range r.samples {
		s := &r.samples[i]
		if nowMs-s.lastMs >= w.spanMs() {
			*s = sample{startMs: nowMs, lastMs: nowMs}
		}
		sum += s.value
		oldest = min(oldest, s.startMs)
	}
	overMs = nowMs - oldest
	if whole, least := overMs/w.SizeMs, int64(w.Count-1); whole < least {
		overMs += (least - whole) * w.SizeMs
	}
	if overMs <= 0 {
		return 0, 0 // the only window has just begun
	}
	return sum / float64(overMs) * 1000, overMs
}

// throttle is how long a client must be quiet until its rate would be the limit, if it sent nothing: the X of R·W/(W+X) = limit.
func throttle(perSecond, limit float64, overMs int64) (ms int64) {
	if !(perSecond > limit) {
		return 0
	}
	return clampMs((perSecond - limit) / limit * float64(overMs))
}

// clampMs rounds to what throttle_time_ms can say. Kafka's number wraps around.
func clampMs(ms float64) int64 {
	return int64(math.Floor(min(ms+0.5, math.MaxInt32)))
}

// bucket holds tokens: limit of them come in a second, up to a burst of as much as all windows may have; it begins full. It may go
// below zero, and whoever takes then must wait until it is back (KIP-599).
type bucket struct {
	begun     bool
	tokens    float64
	updatedMs int64
}

func (b *bucket) refill(w Windows, limit float64, nowMs int64) {
	burst := float64(w.spanMs()) / 1000 * limit
	if !b.begun {
		b.begun, b.tokens = true, burst
	} else {
		b.tokens = min(burst, b.tokens+limit*float64(nowMs-b.updatedMs)/1000)
	}
	b.updatedMs = nowMs
}

// wait is until when there are no fewer than no tokens.
func (b *bucket) wait(limit float64) (ms int64) {
	if b.tokens >= 0 {
		return 0
	}
	return clampMs(-b.tokens / limit * 1000)
}
