package partition

import (
	"math/rand/v2"
	"testing"

	"github.com/ottla-io/ottla/internal/ids"
)

func leading(isr ...ids.BrokerID) State {
	return State{Leader: 1, LeaderEpoch: 5, PartitionEpoch: 1, Replicas: isr, ISR: isr}
}

func TestCheckComparesEpochBeforeRole(t *testing.T) {
	r := New(1, 0)
	check := func(current ids.LeaderEpoch) Standing {
		state := r.State()
		return state.Check(1, current)
	}
	if got := check(ids.NoLeaderEpoch); got != NotLeading {
		t.Fatalf("a replica without a role: %v, want NotLeading", got)
	}
	r.Assign(leading(1))
	for _, c := range []struct {
		epoch ids.LeaderEpoch
		want  Standing
	}{{ids.NoLeaderEpoch, Leading}, {5, Leading}, {4, Fenced}, {6, Ahead}} {
		if got := check(c.epoch); got != c.want {
			t.Errorf("epoch %d: %v, want %v", c.epoch, got, c.want)
		}
	}
	r.Assign(State{Leader: 2, LeaderEpoch: 6, PartitionEpoch: 2, ISR: []ids.BrokerID{2}})
	if got := check(6); got != NotLeading {
		t.Errorf("after broker 2 took over: %v, want NotLeading", got)
	}
	if got := check(5); got != Fenced {
		t.Errorf("an old epoch at a follower: %v, want Fenced", got)
	}
}

func TestWatermarkIsTheLowestEndOfTheISR(t *testing.T) {
	r := New(1, 0)
	r.Assign(leading(1, 2, 3))
	if r.Advance(1, 10) || r.Advance(2, 7) {
		t.Fatal("the watermark moved before every in-sync replica reported")
	}
	if !r.Advance(3, 4) || r.HighWatermark() != 4 {
		t.Fatalf("watermark %d, want 4", r.HighWatermark())
	}
	if r.Advance(4, 100) {
		t.Fatal("a broker outside the ISR moved the watermark")
	}
	// The slow replica leaves the ISR: the next report of another moves the watermark past it.
	r.Assign(State{Leader: 1, LeaderEpoch: 5, PartitionEpoch: 2, ISR: []ids.BrokerID{1, 2}})
	if !r.Advance(2, 8) || r.HighWatermark() != 8 {
		t.Fatalf("watermark %d, want 8", r.HighWatermark())
	}
}

func TestStaleAssignmentIsIgnored(t *testing.T) {
	r := New(1, 0)
	r.Assign(leading(1))
	for _, stale := range []State{
		{Leader: 2, LeaderEpoch: 4, PartitionEpoch: 9},
		{Leader: 1, LeaderEpoch: 5, PartitionEpoch: 1},
	} {
		if r.Assign(stale) {
			t.Errorf("took over %+v after epoch 5/1", stale)
		}
	}
}

// TestWatermarkNeverRetreats holds invariant 2 over random reports and assignments.
func TestWatermarkNeverRetreats(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		r := New(1, 0)
		state := leading(1, 2, 3)
		r.Assign(state)
		before := r.HighWatermark()
		for range 200 {
			if rng.IntN(10) == 0 {
				state.PartitionEpoch++
				if rng.IntN(3) == 0 {
					state.LeaderEpoch++
				}
				state.ISR = [][]ids.BrokerID{{1}, {1, 2}, {1, 2, 3}}[rng.IntN(3)]
				r.Assign(state)
			}
			r.Advance(ids.BrokerID(1+rng.IntN(4)), ids.Offset(rng.IntN(1000)))
			if r.HighWatermark() < before {
				t.Fatalf("seed %d: watermark went from %d to %d", seed, before, r.HighWatermark())
			}
			before = r.HighWatermark()
			for _, member := range r.ends {
				if member.broker == 1 && len(state.ISR) == 1 && member.end < before {
					t.Fatalf("seed %d: watermark %d above our end %d", seed, before, member.end)
				}
			}
		}
	}
}
