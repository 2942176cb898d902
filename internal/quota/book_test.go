package quota

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

var windows = Windows{Count: 11, SizeMs: 1000}

// TestThrottleIsKafkas: numbers by hand from Kafka's formulas (Rate.windowSize, QuotaUtils.throttleTime).
func TestThrottleIsKafkas(t *testing.T) {
	b, who := NewBook(Produce, windows), Subject{ClientID: "c"}
	for i, c := range []struct {
		nowMs  int64
		value  float64
		wantMs int64
	}{
		{5000, 1000, 0},    // 1000 over the ten windows that count as past
		{5000, 9000, 0},    // exactly the limit, 1000 a second
		{5000, 500, 500},   // 10500 over 10 s: (1050-1000)/1000 × 10 s
		{5500, 0, 0},       // over 10.5 s it is the limit
		{6000, 0, 500},     // one window has ended, and one fewer counts as past: 10 s again
		{15000, 0, 500},    // ten whole windows: still over 10 s
		{15500, 0, 0},      // over 10.5 s it is the limit
		{15999, 1000, 501}, // 11500 over 10.999 s
		{16000, 0, 500},    // the first window's last value was at 5500, so it counts until 16500
		{16500, 0, 0},      // it is gone
	} {
		if got := b.Charge(who, 1000, c.value, c.nowMs); got != c.wantMs {
			t.Errorf("step %d at %d ms: %d ms, want %d", i, c.nowMs, got, c.wantMs)
		}
	}
}

func TestRequestTimeIsBounded(t *testing.T) {
	b := NewBook(RequestTime, windows)
	if got := b.Charge(Subject{}, 1, 1e6, 1); got != 1000 {
		t.Errorf("throttled for %d ms, more than a window", got)
	}
	one := NewBook(Produce, Windows{Count: 1, SizeMs: 1000})
	if got := one.Charge(Subject{}, 1, 1e6, 1); got != 0 {
		t.Errorf("the only window has just begun: %d", got)
	}
	if got := one.Charge(Subject{}, 1, 1e30, 2); got != 1<<31-1 {
		t.Errorf("more than throttle_time_ms can say: %d", got)
	}
}

// TestLongRunRate: whatever a client sends that is quiet when it is told to, over any stretch of time it gets no more than its quota,
// the burst of unused windows and one request.
func TestLongRunRate(t *testing.T) {
	for seed := range uint64(50) {
		dice := rand.New(rand.NewPCG(seed, 9))
		b, who := NewBook(Produce, windows), Subject{User: "u"}
		limit := float64(1 + dice.IntN(100_000))
		largest := 0.0
		sent, now := 0.0, int64(dice.IntN(5000))
		begin := now
		for now-begin < 300_000 {
			value := limit * dice.Float64() * float64(1+dice.IntN(5))
			largest = max(largest, value)
			sent += value
			ms := b.Charge(who, limit, value, now)
			now += ms
			if dice.IntN(4) == 0 {
				now += int64(dice.IntN(3000)) // it may be quieter than it must
			}
			elapsed := float64(now-begin) / 1000
			if most := limit*(elapsed+11) + largest; sent > most {
				t.Fatalf("seed %d: %.0f in %.1f s with %.0f a second, at most %.0f", seed, sent, elapsed, limit, most)
			}
		}
	}
}

// TestFullSpeed: who always has more to send gets its whole quota.
func TestFullSpeed(t *testing.T) {
	b, who := NewBook(Produce, windows), Subject{User: "u"}
	sent, now := 0.0, int64(0)
	for now < 600_000 {
		sent += 10_000
		now += 1 + b.Charge(who, 100_000, 10_000, now)
	}
	if rate := sent / float64(now) * 1000; rate < 95_000 || rate > 105_000 {
		t.Errorf("%.0f a second of 100000", rate)
	}
}

func TestRefund(t *testing.T) {
	b, who := NewBook(Fetch, windows), Subject{User: "u"}
	if b.Charge(who, 10, 1000, 1) == 0 {
		t.Fatal("not throttled")
	}
	b.Refund(who, 1000, 1)
	if got := b.Charge(who, 10, 100, 2); got != 0 {
		t.Errorf("throttled for %d ms by what was taken back", got)
	}
	if got := b.Most(10); got != 100 {
		t.Errorf("at once: %v", got)
	}
	b.Refund(Subject{User: "nobody"}, 5, 2)
}

// TestTokens: KIP-599's example and its two ways.
func TestTokens(t *testing.T) {
	b, who := NewBook(Mutations, Windows{Count: 100, SizeMs: 1000}), Subject{User: "u"}
	take := func(tokens int, strict bool, nowMs, wantMs int64, want bool) {
		t.Helper()
		if ms, ok := b.Take(who, 5, tokens, strict, nowMs); ms != wantMs || ok != want {
			t.Errorf("%d tokens at %d: %d ms, %v", tokens, nowMs, ms, ok)
		}
	}
	take(560, true, 1000, 0, true)        // 500 saved up: 60 short
	take(1, true, 1000, 12_000, false)    // 60 / 5 a second
	take(1, true, 6000, 7000, false)      // refusals take nothing
	take(5, false, 6000, 8000, true)      // the lenient way goes deeper
	take(0, true, 14_000, 0, true)        // back at none
	take(3000, false, 1e9, 500_000, true) // no more than a burst is saved
}

// TestBookIsBounded: strangers without end take a bounded amount of memory, and do not push out who is busy.
func TestBookIsBounded(t *testing.T) {
	b, busy := NewBook(Produce, windows), Subject{ClientID: "busy"}
	long := make([]byte, 1000)
	now := int64(0)
	for i := range 50_000 {
		b.Charge(Subject{ClientID: fmt.Sprint(i) + string(long)}, 10, 1, now)
		if i%100 == 0 {
			b.Charge(busy, 10, 1, now)
		}
	}
	_, _, remembered := b.Report(Produce, 10, now)
	if b.bytes > mostBytes || remembered < 1000 || remembered > mostBytes/1000 {
		t.Errorf("%d subjects in %d bytes", remembered, b.bytes)
	}
	if b.Charge(busy, 10, 1000, now) == 0 {
		t.Error("the busy one was forgotten")
	}
	now += idleMs + 1
	b.Charge(busy, 10, 1, now)
	if _, _, remembered = b.Report(Produce, 10, now); remembered != 1 || b.bytes != b.sizeOf(b.newest) {
		t.Errorf("%d subjects after an hour, %d bytes", remembered, b.bytes)
	}
}

func TestReport(t *testing.T) {
	b := NewBook(Produce, windows)
	for i := range 5 {
		who := Subject{ClientID: fmt.Sprint(i)}
		b.Note(who, b.Charge(who, 10, float64(100*i), 5))
	}
	throttled, more, remembered := b.Report(Produce, 2, 5)
	if len(throttled) != 2 || more != 1 || remembered != 5 || throttled[0].Who.ClientID != "4" || throttled[0].Throttles != 1 ||
		throttled[0].ThrottledMs != 30_000 || throttled[0].Used != 40 || throttled[0].Limit != 10 {
		t.Errorf("%+v, %d more of %d", throttled, more, remembered)
	}
}

// TestChargeAllocatesNothing, once the windows are there.
func TestChargeAllocatesNothing(t *testing.T) {
	b, l, now := NewBook(Produce, windows), NewLimits(), int64(0)
	for _, level := range levelsOf[3:] {
		l.Add(level.entity, "producer_byte_rate", 1e6)
	}
	charge := func() {
		now += 300
		who, limit, _ := l.Find(Produce, "u", "c")
		b.Note(who, b.Charge(who, limit, 1e6, now))
	}
	for range 100 {
		charge()
	}
	if n := testing.AllocsPerRun(1000, charge); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCharge(b *testing.B) {
	book, l, now := NewBook(Produce, windows), NewLimits(), int64(0)
	for _, level := range levelsOf {
		l.Add(level.entity, "producer_byte_rate", 1e6)
	}
	for b.Loop() {
		now++
		who, limit, _ := l.Find(Produce, "u", "other")
		book.Charge(who, limit, 100, now)
	}
}
