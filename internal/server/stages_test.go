package server

import (
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
	"github.com/ottla-io/ottla/internal/wire"
)

// TestStages: what a request's time went into is told by stage. In a simulated world time passes only while everybody waits, so the
// parked request waits exactly as long as it is left waiting, and the one behind it has nothing but that to wait for.
func TestStages(t *testing.T) {
	const wait = 70 * time.Millisecond
	sim := run.NewSim(1)
	sim.Run(func() {
		r := startRig(t, sim, transport.NewSim(sim).Host("broker"), Limits{}, 1)
		defer r.stop()
		r.fakes.table[echoKey].Handle = func(q *api.Request) api.Outcome {
			resp := wire.HeartbeatResponse{ErrorCode: wire.ErrorRebalanceInProgress}
			if err := resp.Encode(q.Reply, 0); err != nil {
				t.Error(err)
			}
			return api.Replied
		}
		c := r.dial()
		defer c.Close()
		mustWrite(t, c, append(request(parkKey, 1, []byte{byte(wakeLater)}), append(request(echoKey, 2, nil), request(silentKey, 3, nil)...)...))
		r.await("both handled", func() bool { return r.fakes.parkedLater() == 1 })
		sim.NewSignal().WaitFor(wait)
		r.fakes.wakeAll()
		wantReply(t, c, 1, nil)
		wantReply(t, c, 2, []byte{0, byte(wire.ErrorRebalanceInProgress)})
		stats := map[int16]APIStats{}
		for _, one := range r.server.Stats().APIs {
			stats[one.Key] = one
			sum, count := time.Duration(0), uint64(0)
			for _, stage := range one.Stages {
				sum += stage.Sum
			}
			for _, n := range one.Latency.Buckets {
				count += n
			}
			if sum != one.Latency.Sum || count != 1 {
				t.Errorf("%s: stages add up to %v of %v; %d observed, want 1", one.Name, sum, one.Latency.Sum, count)
			}
		}
		parked, behind := stats[parkKey], stats[echoKey]
		if got := parked.Stages[StageWait].Sum; got < wait || got > wait+20*time.Millisecond || parked.Stages[StageWait].Buckets[17] != 1 {
			t.Errorf("the parked request waited %v, want %v, in bucket 17: %v", got, wait, parked.Stages[StageWait].Buckets)
		}
		if got := behind.Stages[StageOrder].Sum; got != parked.Stages[StageWait].Sum || behind.Stages[StageWait].Sum != 0 {
			t.Errorf("the reply behind it waited %v for its turn and %v for itself, want %v and nothing", got, behind.Stages[StageWait].Sum, parked.Stages[StageWait].Sum)
		}
		if got := behind.Errors[wire.ErrorRebalanceInProgress]; got != 1 || len(behind.Errors) != 1 {
			t.Errorf("errors %v, want one REBALANCE_IN_PROGRESS", behind.Errors)
		}
		if silent := stats[silentKey]; silent.Replies != 0 || silent.Requests != 1 {
			t.Errorf("a request without a reply: %d replies of %d requests", silent.Replies, silent.Requests)
		}
	})
}
