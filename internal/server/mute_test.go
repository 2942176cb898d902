package server

import (
	"encoding/binary"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
	"github.com/ottla-io/ottla/internal/wire"
)

// muteKey replies its body after 4 bytes, the milliseconds to be mute; if the first of them is 1, by a Finish that says so after 10 ms.
const muteKey = wire.ListOffsetsKey

type mutePending struct {
	ms   int32
	body []byte
}

func (p *mutePending) Finish(r *api.Request) api.Outcome {
	r.MuteMs = p.ms
	r.Reply.Buf = append(r.Reply.Buf, p.body...)
	return api.Replied
}

func (*mutePending) Cancel() {}

func (f *fakes) mute(r *api.Request) api.Outcome {
	p := &mutePending{ms: int32(binary.BigEndian.Uint32(r.Body) & 0xffffff), body: append([]byte(nil), r.Body[4:]...)}
	if r.Body[0] == 1 {
		r.Pending = p
		f.env.AfterFunc(10*time.Millisecond, "fake", r.Wake)
		return api.Parked
	}
	return p.Finish(r)
}

func muteRequest(correlation, ms int32, inFinish bool) []byte {
	body := binary.BigEndian.AppendUint32(nil, uint32(ms))
	if inFinish {
		body[0] = 1
	}
	return request(muteKey, correlation, append(body, "muted"...))
}

// simulatedRig runs a test in a simulated world.
func simulatedRig(t *testing.T, limits Limits, arrivals Arrivals, test func(r *rig)) {
	t.Helper()
	sim := run.NewSim(1)
	sim.Run(func() {
		network := transport.NewSim(sim).Host("broker")
		r := startRig(t, sim, network, limits, 1)
		r.server.arrivals = arrivals
		defer r.stop()
		test(r)
	})
}

// TestMutedClient: the reply that mutes leaves at once, and so do those before it; what comes behind waits, whether it was read before or
// comes later, and is answered in order; time beyond the mute counts as that of any client.
func TestMutedClient(t *testing.T) {
	for _, inFinish := range []bool{false, true} {
		simulatedRig(t, Limits{}, nil, func(r *rig) {
			c := r.dial()
			defer c.Close()
			begin := r.env.Monotonic()
			within := func(what string, from, to time.Duration) {
				t.Helper()
				if took := r.env.Monotonic() - begin; took < from || took > to {
					t.Errorf("in Finish %v: %s after %v, want %v to %v", inFinish, what, took, from, to)
				}
			}
			mustWrite(t, c, request(parkKey, 1, []byte{byte(wakeByTimer), 'a'}))
			mustWrite(t, c, muteRequest(2, 700, inFinish))
			wantReply(t, c, 1, []byte("a"))
			wantReply(t, c, 2, []byte("muted"))
			within("the replies", 0, 50*time.Millisecond)
			mustWrite(t, c, append(request(echoKey, 3, []byte("b")), request(echoKey, 4, []byte("c"))[:6]...))
			mustWrite(t, c, request(echoKey, 4, []byte("c"))[6:])
			wantReply(t, c, 3, []byte("b"))
			within("the next reply", 700*time.Millisecond, 750*time.Millisecond)
			wantReply(t, c, 4, []byte("c"))
			mustWrite(t, c, request(echoKey, 5, nil))
			wantReply(t, c, 5, nil)
			within("one more", 700*time.Millisecond, 760*time.Millisecond)
		})
	}
}

// TestMutedInOneRead: requests of one read behind the one that mutes wait too, and a longer mute is not shortened by one that follows.
func TestMutedInOneRead(t *testing.T) {
	simulatedRig(t, Limits{}, nil, func(r *rig) {
		c := r.dial()
		defer c.Close()
		large := make([]byte, 40<<10)
		mustWrite(t, c, append(append(request(echoKey, 1, large), muteRequest(2, 900, false)...), request(echoKey, 3, large)...))
		wantReply(t, c, 1, large)
		wantReply(t, c, 2, []byte("muted"))
		if now := r.env.Monotonic(); now > 100*time.Millisecond {
			t.Errorf("the reply that mutes took %v", now)
		}
		wantReply(t, c, 3, large)
		if now := r.env.Monotonic(); now < 900*time.Millisecond || now > 1000*time.Millisecond {
			t.Errorf("the reply behind it came after %v", now)
		}
	})
}

// TestMuteEndsWithDrain: what was read before is answered, and the server does not wait for the mute.
func TestMuteEndsWithDrain(t *testing.T) {
	simulatedRig(t, Limits{IdleTime: time.Hour}, nil, func(r *rig) {
		c := r.dial()
		mustWrite(t, c, append(muteRequest(1, 600_000, false), request(echoKey, 2, []byte("b"))...))
		wantReply(t, c, 1, []byte("muted"))
		group := run.NewGroup(r.env)
		defer group.Close()
		group.Go("client", func() {
			wantReply(t, c, 2, []byte("b"))
			wantEnd(t, c)
			c.Close()
		})
		if !r.server.Drain(10*time.Second) || r.env.Monotonic() > 2*time.Second {
			t.Errorf("drained after %v", r.env.Monotonic())
		}
	})
}

// TestMutedForTooLong: a client is idle that says nothing for connections.max.idle.ms because it is not heard, as in Kafka; and while it is
// mute it is not taken for one that is slow to send a frame.
func TestMutedForTooLong(t *testing.T) {
	simulatedRig(t, Limits{IdleTime: 5 * time.Second, FrameTime: time.Second}, nil, func(r *rig) {
		c := r.dial()
		mustWrite(t, c, append(muteRequest(1, 3000, false), request(echoKey, 2, []byte("b"))[:9]...))
		wantReply(t, c, 1, []byte("muted"))
		r.env.NewSignal().WaitFor(2500 * time.Millisecond)
		mustWrite(t, c, request(echoKey, 2, []byte("b"))[9:])
		wantReply(t, c, 2, []byte("b"))
		mustWrite(t, c, muteRequest(3, 60_000, false))
		wantReply(t, c, 3, []byte("muted"))
		begin := r.env.Monotonic()
		wantEnd(t, c)
		c.Close()
		if took := r.env.Monotonic() - begin; took < 5*time.Second || took > 10*time.Second {
			t.Errorf("ended after %v", took)
		}
		r.awaitClosed(IdleTooLong)
	})
}

// fakeArrivals refuses every second connection for a while.
type fakeArrivals struct {
	mu    sync.Mutex
	count int
	delay time.Duration
}

func (a *fakeArrivals) Arrived(string) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count++
	if a.count%2 == 0 {
		return a.delay
	}
	return 0
}

// TestRefusedArrivals: a connection over its rate is closed after the delay, unheard, or with the server.
func TestRefusedArrivals(t *testing.T) {
	simulatedRig(t, Limits{}, &fakeArrivals{delay: 800 * time.Millisecond}, func(r *rig) {
		first, second := r.dial(), r.dial()
		defer first.Close()
		mustWrite(t, first, request(echoKey, 1, []byte("a")))
		wantReply(t, first, 1, []byte("a"))
		begin := r.env.Monotonic()
		mustWrite(t, second, request(echoKey, 1, []byte("b")))
		if n, err := second.Read(make([]byte, 100)); n > 0 || err == nil {
			t.Errorf("a refused connection got %d bytes, %v", n, err)
		}
		if took := r.env.Monotonic() - begin; took < 700*time.Millisecond || took > 900*time.Millisecond {
			t.Errorf("closed after %v", took)
		}
		second.Close()
		r.awaitClosed(TooManyNew)
		if open := r.server.Stats().Open; open != 1 {
			t.Errorf("%d connections", open)
		}
		third, fourth := r.dial(), r.dial()
		defer third.Close()
		mustWrite(t, third, request(echoKey, 1, nil))
		wantReply(t, third, 1, nil)
		r.await("the fourth was refused", func() bool { return r.server.Stats().Closed[TooManyNew] == 2 })
		r.server.Close()
		if _, err := fourth.Read(make([]byte, 1)); err == nil || err == io.ErrNoProgress {
			t.Errorf("a refused connection outlives the server: %v", err)
		}
		fourth.Close()
	})
}
