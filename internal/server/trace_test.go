package server

import (
	"slices"
	"sync"
	"testing"

	"github.com/ottla-io/ottla/internal/api"
)

// TestTrace: every traced request is told once, however it ends, and none that nobody wants.
func TestTrace(t *testing.T) {
	r := newRig(t, Limits{})
	defer r.stop()
	var mu sync.Mutex
	var told []*Traced
	tell := func(one *Traced) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, one)
	}
	endings := func() (all []string) {
		mu.Lock()
		defer mu.Unlock()
		for _, one := range told {
			all = append(all, one.Ended.String())
			if one.Host != "127.0.0.1" || one.Port == 0 || one.ClientID != "test" || one.RequestBytes == 0 || one.Path.Total() < 0 {
				t.Errorf("who and what: %+v", one)
			}
		}
		slices.Sort(all)
		return all
	}
	stop := r.server.Trace(func(q *api.Request) bool { return q.Key != regionKey }, tell)
	c := r.dial()
	defer c.Close()
	mustWrite(t, c, slices.Concat(request(echoKey, 1, []byte("a")), request(silentKey, 2, nil), request(regionKey, 3, regionBody(1, 10)), request(parkKey, 4, []byte{byte(wakeInHandler)})))
	wantReply(t, c, 1, []byte("a"))
	wantReply(t, c, 3, regionReply(1, 10))
	wantReply(t, c, 4, nil)
	gone := r.dial()
	mustWrite(t, gone, request(parkKey, 1, []byte{byte(wakeLater)}))
	r.await("parked", func() bool { return r.fakes.parkedLater() == 1 })
	gone.Close()
	refused := r.dial()
	defer refused.Close()
	mustWrite(t, refused, request(hangupKey, 1, nil))
	wantEnd(t, refused)
	hung := r.dial()
	defer hung.Close()
	mustWrite(t, hung, request(parkKey, 1, []byte{byte(finishHangup)}))
	wantEnd(t, hung)
	want := []string{"client gone", "closed", "closed", "no reply", "replied", "replied"}
	r.await("all told", func() bool { return len(endings()) >= len(want) })
	stop()
	mustWrite(t, c, request(echoKey, 5, []byte("b")))
	wantReply(t, c, 5, []byte("b"))
	if got := endings(); !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
	if r.server.tracing.Load() != nil {
		t.Error("requests still look for somebody who traces")
	}
}
