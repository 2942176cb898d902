package server

import (
	"testing"
	"time"
)

// TestArrivalsArePaced: connections above max.connection.creation.rate wait, none is refused, and a rest of ten seconds may come at once, as in Kafka.
func TestArrivalsArePaced(t *testing.T) {
	for _, c := range []struct {
		perSecond   int
		least, most time.Duration
	}{{0, 0, time.Second}, {2, 15 * time.Second, 30 * time.Second}} {
		simulatedRig(t, Limits{Connections: ConnectionLimits{PerSecond: c.perSecond}}, nil, func(r *rig) {
			begin := r.env.Monotonic()
			for range 60 {
				conn := r.dial()
				mustWrite(t, conn, request(echoKey, 1, nil))
				wantReply(t, conn, 1, nil)
				conn.Close()
			}
			if took := r.env.Monotonic() - begin; took < c.least || took > c.most {
				t.Errorf("60 connections at %d a second took %v", c.perSecond, took)
			}
			r.server.SetConnectionLimits(ConnectionLimits{Max: 9, MaxPerIP: 9})
			begin = r.env.Monotonic()
			for range 20 {
				conn := r.dial()
				mustWrite(t, conn, request(echoKey, 1, nil))
				wantReply(t, conn, 1, nil)
				conn.Close()
				r.await("its end", func() bool { return r.server.Stats().Open == 0 })
			}
			if took := r.env.Monotonic() - begin; took > 2*time.Second {
				t.Errorf("without a limit 20 connections took %v", took)
			}
		})
	}
}
