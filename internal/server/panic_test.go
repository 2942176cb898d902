package server

import (
	"strings"
	"testing"

	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
)

// panicker is a handler that panics, at once or when it finishes.
type panicker struct{}

func (p *panicker) handle(r *api.Request) api.Outcome {
	if len(r.Body) == 0 {
		panic("in the handler")
	}
	r.Pending = p
	r.Wake()
	return api.Parked
}

func (p *panicker) Finish(*api.Request) api.Outcome { panic("in the finish") }
func (p *panicker) Cancel()                         {}

// TestPanicEndsTheConnection: a bug met while decoding or encoding costs one connection, is counted, and is told with its stack once.
func TestPanicEndsTheConnection(t *testing.T) {
	r := newRig(t, Limits{})
	defer r.stop()
	r.fakes.table[hangupKey].Handle = (&panicker{}).handle
	for i, body := range [][]byte{nil, {1}, nil} {
		c := r.dial()
		mustWrite(t, c, append(request(echoKey, 7, []byte("good")), request(hangupKey, 8, body)...))
		wantReply(t, c, 7, []byte("good"))
		wantEnd(t, c)
		c.Close()
		r.await("the report", func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return len(r.closed) == i+1
		})
		if n := r.server.Stats().Closed[HandlerPanicked]; n != uint64(i+1) {
			t.Errorf("%d connections counted, want %d", n, i+1)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	stacks := 0
	for _, closed := range r.closed {
		if strings.Contains(closed.Err.Error(), "(*panicker).handle") {
			stacks++
		}
		if !strings.Contains(closed.Err.Error(), "panic: in the ") {
			t.Errorf("report says too little: %v", closed.Err)
		}
	}
	if stacks != 1 {
		t.Errorf("%d stacks in %d reports", stacks, len(r.closed))
	}
}

// TestPanicWhileActingIsNotSurvived: the simulation ends with it, as the process would.
func TestPanicWhileActingIsNotSurvived(t *testing.T) {
	defer func() {
		if cause := recover(); cause == nil || !strings.Contains(cause.(error).Error(), "halfway") {
			t.Errorf("recovered %v", cause)
		}
	}()
	sim := run.NewSim(1)
	network := transport.NewSim(sim)
	sim.Run(func() {
		r := startRig(t, sim, network.Host("broker"), Limits{}, 1)
		r.fakes.table[hangupKey].Handle = func(r *api.Request) api.Outcome {
			r.Acting = true
			panic("halfway")
		}
		c, err := network.Host("broker").Dial(r.address, 0)
		if err != nil {
			t.Error(err)
			return
		}
		mustWrite(t, c, request(hangupKey, 1, nil))
		sim.NewSignal().Wait()
	})
}
