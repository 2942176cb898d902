package storage

import (
	"math"
	"testing"
)

// TestLongestTimesDoNotOverflow: Kafka's defaults say "never" as Long.MAX_VALUE. Added to a clock that is in the past, and the
// background goroutine once found flush.ms overdue for ever.
func TestLongestTimesDoNotOverflow(t *testing.T) {
	c := LogConfig{
		FlushMs: math.MaxInt64, SegmentMs: math.MaxInt64, SegmentJitterMs: math.MaxInt64,
		RetentionMs: math.MaxInt64, FileDeleteDelayMs: math.MaxInt64,
	}.withDefaults()
	if c.FlushMs != 0 {
		t.Errorf("flush.ms %d, want never (0)", c.FlushMs)
	}
	const nowMs = int64(1) << 41
	for name, ms := range map[string]int64{"segment.ms": c.SegmentMs, "jitter": c.SegmentJitterMs, "retention.ms": c.RetentionMs, "file.delete.delay.ms": c.FileDeleteDelayMs} {
		if ms <= 0 || nowMs+ms < nowMs || ms*1_000_000 < ms {
			t.Errorf("%s: %d overflows as milliseconds added to a clock, or as nanoseconds", name, ms)
		}
	}
}
