package server

import (
	"errors"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/run"
)

// TestDrainAnswersWhatWasRead: parked requests finish, idle and half-sent connections end, nobody new comes in.
func TestDrainAnswersWhatWasRead(t *testing.T) {
	r := newRig(t, Limits{})
	defer r.stop()
	parked, idle, half := r.dial(), r.dial(), r.dial()
	defer parked.Close()
	defer idle.Close()
	defer half.Close()
	mustWrite(t, idle, request(echoKey, 1, nil))
	wantReply(t, idle, 1, nil)
	mustWrite(t, half, request(echoKey, 1, nil)[:9])
	mustWrite(t, parked, request(parkKey, 5, []byte{byte(wakeLater), 'a'}))
	mustWrite(t, parked, request(echoKey, 6, []byte("b")))
	r.await("all read", func() bool { return r.fakes.parkedLater() == 1 && r.server.Stats().Open == 3 })

	drained := make(chan bool, 1)
	helpers := run.NewGroup(r.env)
	defer helpers.Close()
	helpers.Go("drain", func() { drained <- r.server.Drain(10 * time.Second) })
	wantEnd(t, idle)
	idle.Close()
	wantEnd(t, half)
	half.Close()
	if _, err := r.network.Dial(r.address, time.Second); err == nil {
		t.Error("a draining server accepts")
	}
	r.fakes.wakeAll()
	wantReply(t, parked, 5, []byte("a"))
	wantReply(t, parked, 6, []byte("b"))
	wantEnd(t, parked)
	parked.Close()
	if !<-drained {
		t.Error("Drain says that it was not in time")
	}
	if _, err := r.server.Listen("PLAINTEXT", "127.0.0.1:0"); !errors.Is(err, ErrClosed) {
		t.Errorf("Listen after Drain: %v", err)
	}
}

func TestDrainGivesUpAtItsLimit(t *testing.T) {
	r := newRig(t, Limits{})
	c := r.dial()
	defer c.Close()
	mustWrite(t, c, request(parkKey, 5, []byte{byte(wakeLater)}))
	r.await("request parked", func() bool { return r.fakes.parkedLater() == 1 })
	if r.server.Drain(20 * time.Millisecond) {
		t.Error("Drain says that a request which never wakes is finished")
	}
	r.stop()
	if r.fakes.cancelled != 1 || r.fakes.finished != 0 {
		t.Errorf("%d cancelled, %d finished, want 1 and 0", r.fakes.cancelled, r.fakes.finished)
	}
}

// TestCloseCancelsParked: also those behind others, and once each; a wake that comes later does nothing; closing twice is fine.
func TestCloseCancelsParked(t *testing.T) {
	r := newRig(t, Limits{})
	c := r.dial()
	defer c.Close()
	for i := range int32(10) {
		mustWrite(t, c, request(parkKey, i, []byte{byte(wakeLater)}))
	}
	r.await("requests parked", func() bool { return r.fakes.parkedLater() == 10 })
	r.server.Close()
	r.stop()
	if r.fakes.cancelled != 10 || r.fakes.finished != 0 {
		t.Errorf("%d cancelled, %d finished, want 10 and 0", r.fakes.cancelled, r.fakes.finished)
	}
}

// TestClientGoneCancelsParked: a client that closes frees what it waited for at once.
func TestClientGoneCancelsParked(t *testing.T) {
	r := newRig(t, Limits{})
	defer r.stop()
	c := r.dial()
	mustWrite(t, c, request(parkKey, 1, []byte{byte(wakeLater)}))
	r.await("request parked", func() bool { return r.fakes.parkedLater() == 1 })
	c.Close()
	r.await("cancelled", func() bool {
		r.fakes.mu.Lock()
		defer r.fakes.mu.Unlock()
		return r.fakes.cancelled == 1
	})
}

func TestListenAfterServe(t *testing.T) {
	r := newRig(t, Limits{})
	defer r.stop()
	address, err := r.server.Listen("SECOND", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.network.Dial(address, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	mustWrite(t, c, request(echoKey, 1, []byte("x")))
	wantReply(t, c, 1, []byte("x"))
	if _, err := r.server.Listen("TAKEN", address); err == nil {
		t.Error("an address was bound twice")
	}
}
