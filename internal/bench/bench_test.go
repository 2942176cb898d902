package bench

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestQuantiles: against the sorted values themselves, over all magnitudes, in one histogram and in two that are merged.
func TestQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, highest := range []int64{1, 100, 1_000, 1_000_000, 1 << 40, 1<<62 + 12345} {
		var whole, first, second Histogram
		values := make([]time.Duration, 10_000)
		for i := range values {
			values[i] = time.Duration(random.Int64N(highest))
			whole.Add(values[i])
			if i%3 == 0 {
				first.Add(values[i])
			} else {
				second.Add(values[i])
			}
		}
		first.Merge(&second)
		slices.Sort(values)
		for _, share := range []float64{0, .5, .95, .99, .999, 1} {
			want := values[max(0, int(share*float64(len(values)))-1)]
			got := whole.Quantile(share)
			if merged := first.Quantile(share); merged != got {
				t.Errorf("up to %d: quantile %v is %d, and %d of the merged", highest, share, got, merged)
			}
			if got < want || float64(got-want) > float64(want)/subBuckets {
				t.Errorf("up to %d: quantile %v is %d, want %d or up to 1/%d more", highest, share, got, want, subBuckets)
			}
		}
		if got := whole.Latency().Max; got != float64(values[len(values)-1])/1e6 || whole.Count() != 10_000 {
			t.Errorf("max %v of %d", got, whole.Count())
		}
	}
}

func TestEmptyHistogram(t *testing.T) {
	var h Histogram
	if h.Latency() != (Latency{}) {
		t.Errorf("%+v", h.Latency())
	}
	h.Add(-time.Second)
	if h.Latency() != (Latency{}) || h.Count() != 1 {
		t.Errorf("a negative duration: %+v", h.Latency())
	}
}

func TestBucketsAreWithoutGaps(t *testing.T) {
	for bucket := range 50 * subBuckets {
		highest := highestOf(bucket)
		if bucketOf(highest) != bucket || bucketOf(highest+1) != bucket+1 {
			t.Fatalf("bucket %d ends at %d, which lies in %d; its successor in %d", bucket, highest, bucketOf(highest), bucketOf(highest+1))
		}
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		client Client
		want   string // "" for no limit
	}{
		{Client{Cores: .5, MayUse: 2, Workers: 4, Machine: .5}, ""},
		{Client{Cores: 1.8, MayUse: 2, Workers: 4, Machine: -1}, "the client used 1.80 of the 2 cores"},
		{Client{Cores: .5, MayUse: 2, Workers: 4, Machine: .97}, "97 % busy"},
		{Client{Cores: .5, MayUse: 2, Workers: 4, Machine: -1, Paced: true, LateShare: .5}, "50 % of the records left later"},
		{Client{Cores: .5, MayUse: 2, Workers: 4, Machine: -1, LateShare: .5}, ""},
		{Client{Cores: .9, MayUse: 8, Workers: 1, Machine: .2}, "more of them may reach more"},
		{Client{Cores: .9, MayUse: 8, Workers: 2, Machine: .2}, ""},
	} {
		c.client.Judge()
		if (c.want == "") != (c.client.Limit == "") || !strings.Contains(c.client.Limit, c.want) {
			t.Errorf("%+v: want %q", c.client, c.want)
		}
	}
}
