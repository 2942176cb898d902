package server

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/run"
)

// resting counts the connections that rest.
func (r *rig) resting() (n int) {
	for _, c := range r.server.open() {
		if c.rest.Load() == resting {
			n++
		}
	}
	return n
}

// TestIdleConnectionsRest: they answer on when they are asked again, also for what was parked meanwhile, and a begun frame does not rest.
func TestIdleConnectionsRest(t *testing.T) {
	r := newRig(t, Limits{RestTime: 20 * time.Millisecond})
	defer r.stop()
	idle, parked, half := r.dial(), r.dial(), r.dial()
	for _, c := range []interface{ Close() error }{idle, parked, half} {
		defer func() { _ = c.Close() }()
	}
	for i := range int32(3) {
		mustWrite(t, idle, request(echoKey, i, []byte("x")))
		wantReply(t, idle, i, []byte("x"))
		r.await("the idle one rests", func() bool { return r.resting() > 0 })
	}
	mustWrite(t, parked, request(parkKey, 5, []byte{byte(wakeLater), 'a'}))
	mustWrite(t, half, request(echoKey, 1, nil))
	wantReply(t, half, 1, nil)
	mustWrite(t, half, request(echoKey, 2, []byte("rest of it"))[:9])
	r.await("two rest", func() bool { return r.resting() == 2 })
	mustWrite(t, half, request(echoKey, 2, []byte("rest of it"))[9:])
	wantReply(t, half, 2, []byte("rest of it"))
	r.fakes.wakeAll()
	wantReply(t, parked, 5, []byte("a"))
	mustWrite(t, parked, request(regionKey, 6, regionBody(2, 100)))
	wantReply(t, parked, 6, regionReply(2, 100))
	r.await("all rest", func() bool { return r.resting() == 3 })
	if !r.server.Drain(10 * time.Second) {
		t.Error("connections that rest do not end in time")
	}
}

// TestRestRaces: requests that come at about the moment at which the reader is asked to rest are answered, in order, and Drain ends all.
func TestRestRaces(t *testing.T) {
	r := newRig(t, Limits{RestTime: 10 * time.Millisecond})
	defer r.stop()
	clients := run.NewGroup(r.env)
	for client := range 8 {
		random := rand.New(rand.NewPCG(uint64(client), 2))
		stream := r.dial()
		clients.Go("client", func() {
			defer func() { _ = stream.Close() }()
			pause := r.env.NewSignal()
			for i := range int32(100) {
				mode := []parkMode{wakeInHandler, wakeByOther, wakeByTimer}[random.IntN(3)]
				mustWrite(t, stream, request(parkKey, i, []byte{byte(mode), byte(i)}))
				wantReply(t, stream, i, []byte{byte(i)})
				pause.WaitFor(10*time.Millisecond + time.Duration(random.IntN(20_000))*time.Microsecond)
			}
		})
	}
	clients.Close()
	last := r.dial()
	defer func() { _ = last.Close() }()
	mustWrite(t, last, request(echoKey, 1, nil))
	wantReply(t, last, 1, nil)
	pause := r.env.NewSignal()
	pause.WaitFor(20 * time.Millisecond) // it is asked to rest at about now
	if !r.server.Drain(10 * time.Second) {
		t.Error("a connection did not end in time")
	}
}
