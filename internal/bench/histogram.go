package bench

import (
	"math"
	"math/bits"
	"time"
)

// A bucket is at most 1/subBuckets of its value wide: a percentile is too high by 0.8 % at most.
const (
	subBucketBits = 7
	subBuckets    = 1 << subBucketBits
)

// Histogram counts durations in buckets that grow with the value. The zero value is empty and ready. It is for one goroutine.
type Histogram struct {
	buckets []uint64
	count   uint64
	sum     time.Duration
	max     time.Duration
}

// Add counts one duration; a negative one counts as zero.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	i := bucketOf(uint64(d))
	for i >= len(h.buckets) {
		h.buckets = append(h.buckets, make([]uint64, subBuckets)...)
	}
	h.buckets[i]++
	h.count++
	h.sum += d
	h.max = max(h.max, d)
}

// Merge adds all that other has counted.
func (h *Histogram) Merge(other *Histogram) {
	for len(h.buckets) < len(other.buckets) {
		h.buckets = append(h.buckets, make([]uint64, subBuckets)...)
	}
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
	h.count += other.count
	h.sum += other.sum
	h.max = max(h.max, other.max)
}

// Count is how many durations were added.
func (h *Histogram) Count() uint64 { return h.count }

// Quantile is the duration that a share of all durations, 0 to 1, does not exceed; 0 if there are none.
func (h *Histogram) Quantile(share float64) time.Duration {
	rank := uint64(math.Ceil(share * float64(h.count)))
	rank = min(max(rank, 1), h.count)
	seen := uint64(0)
	for i, n := range h.buckets {
		if seen += n; n > 0 && seen >= rank {
			return min(time.Duration(highestOf(i)), h.max)
		}
	}
	return 0
}

// bucketOf puts values below subBuckets into a bucket of their own each, and each further power of two into subBuckets buckets.
func bucketOf(value uint64) int {
	if value < subBuckets {
		return int(value)
	}
	shift := bits.Len64(value) - 1 - subBucketBits
	return (shift+1)*subBuckets + int(value>>shift) - subBuckets
}

// highestOf is the highest value of a bucket.
func highestOf(bucket int) uint64 {
	if bucket < subBuckets {
		return uint64(bucket)
	}
	shift := bucket/subBuckets - 1
	return (uint64(bucket%subBuckets+subBuckets)+1)<<shift - 1
}

// Latency is what a histogram comes to, in milliseconds.
type Latency struct {
	P50  float64 `json:"p50Ms"`
	P95  float64 `json:"p95Ms"`
	P99  float64 `json:"p99Ms"`
	P999 float64 `json:"p999Ms"`
	Max  float64 `json:"maxMs"`
	Mean float64 `json:"meanMs"`
}

// Latency sums the histogram up; all is 0 if it is empty.
func (h *Histogram) Latency() Latency {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	l := Latency{P50: ms(h.Quantile(.5)), P95: ms(h.Quantile(.95)), P99: ms(h.Quantile(.99)), P999: ms(h.Quantile(.999)), Max: ms(h.max)}
	if h.count > 0 {
		l.Mean = ms(h.sum) / float64(h.count)
	}
	return l
}
