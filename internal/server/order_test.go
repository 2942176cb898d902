package server

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
)

func TestRepliesLeaveInRequestOrder(t *testing.T) {
	r := newRig(t, Limits{})
	defer r.stop()
	c := r.dial()
	defer c.Close()
	mustWrite(t, c, bytes.Join([][]byte{
		request(parkKey, 1, []byte{byte(wakeLater), 'a'}),
		request(echoKey, 2, []byte("b")),
		request(silentKey, 3, nil),
		request(parkKey, 4, []byte{byte(wakeInHandler), 'c'}),
		request(regionKey, 5, regionBody(2, 100<<10)),
		request(regionKey, 6, regionBody(3, 1000)),
	}, nil))
	r.await("all requests handled", func() bool {
		return r.server.Stats().BytesIn > 0 && r.fakes.parkedLater() == 1 && r.fakes.takenRegions() == 5
	})
	r.fakes.wakeAll()
	wantReply(t, c, 1, []byte("a"))
	wantReply(t, c, 2, []byte("b"))
	wantReply(t, c, 4, []byte("c"))
	wantReply(t, c, 5, regionReply(2, 100<<10))
	wantReply(t, c, 6, regionReply(3, 1000))
}

// TestOrderProperty is invariant 4 of the design: under random pipelining, stalls of either side, parks, timeouts, mutes, wakes
// from many goroutines and failed finishes, replies come in request order, exactly one a request, none for Silent.
func TestOrderProperty(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			orderProperty(t, run.OS(), transport.OS(), seed)
		})
	}
}

func orderProperty(t *testing.T, env run.Env, network transport.Network, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 2))
	limits := Limits{
		RequestsInFlight:        1 + random.IntN(20),
		ReplyBytesPerConnection: 1 + random.IntN(10_000),
		MemoryBytes:             int64(64<<10 + random.IntN(1<<20)),
	}
	r := startRig(t, env, network, limits, seed)
	defer r.stop()
	clients := run.NewGroup(env)
	defer clients.Close()
	for n := range 1 + random.IntN(6) {
		script := newScript(seed*100+uint64(n), random.IntN(3) == 0)
		stream := r.dial()
		clients.Go("client writer", func() { script.write(env, stream) })
		clients.Go("client reader", func() {
			defer stream.Close()
			if err := script.read(env, stream); err != nil {
				t.Errorf("seed %d, connection %d: %v", seed, n, err)
			}
		})
	}
}

// TestOrderPropertySimulated is the same over the simulated network, in many more orders, and each seed has one order.
func TestOrderPropertySimulated(t *testing.T) {
	seeds := uint64(80)
	if raceEnabled {
		seeds = 15
	}
	traces := make(map[uint64]bool)
	for seed := range seeds {
		trace := simulateOrder(t, seed)
		traces[trace] = true
		if seed < 5 {
			if again := simulateOrder(t, seed); again != trace {
				t.Errorf("seed %d: two runs took different ways", seed)
			}
		}
	}
	if len(traces) < int(seeds)/2 {
		t.Errorf("%d seeds took only %d ways", seeds, len(traces))
	}
}

func simulateOrder(t *testing.T, seed uint64) uint64 {
	sim := run.NewSim(seed)
	random := rand.New(rand.NewPCG(seed, 4))
	sim.Run(func() {
		network := transport.NewSim(sim)
		network.SetDelay(func(string, string) time.Duration { return time.Duration(random.IntN(300)) * time.Microsecond })
		orderProperty(t, sim, network.Host("broker"), seed)
	})
	return sim.Trace()
}

func (f *fakes) takenRegions() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.taken
}

type expected struct {
	correlation int32
	body        []byte
}

// script is what one client sends and what it must get back.
type script struct {
	chunks   [][]byte
	replies  []expected
	hangs    bool // the server hangs up after replies
	giveUpAt int  // the client closes after so many replies; -1 is never
	mu       sync.Mutex
	random   *rand.Rand
}

func newScript(seed uint64, hangs bool) *script {
	random := rand.New(rand.NewPCG(seed, 3))
	s := &script{random: random, hangs: hangs, giveUpAt: -1}
	if random.IntN(4) == 0 {
		s.giveUpAt = random.IntN(50)
	}
	var sent []byte
	count := 20 + random.IntN(150)
	for i := range int32(count) {
		key, body := echoKey, randomBody(random)
		reply := body
		switch random.IntN(8) {
		case 0, 1, 2:
			key = parkKey
			body = append([]byte{byte(random.IntN(int(wakeByTimer) + 1))}, body...)
		case 3:
			key, reply = silentKey, nil
		case 4:
			n, size := 1+random.IntN(4), random.IntN(3*smallRegionBytes/2)
			key, body, reply = regionKey, regionBody(n, size), regionReply(n, size)
		case 5:
			key, body = muteKey, append([]byte{byte(random.IntN(2)), 0, 0, byte(random.IntN(3))}, body...)
		}
		sent = append(sent, request(key, i, body)...)
		if key != silentKey {
			s.replies = append(s.replies, expected{i, reply})
		}
	}
	if hangs {
		key, body := hangupKey, []byte(nil)
		if random.IntN(2) == 0 {
			key, body = parkKey, []byte{byte(finishHangup)}
		}
		sent = append(sent, request(key, 1000, body)...)
		sent = append(sent, request(echoKey, 1001, nil)...)
	}
	for len(sent) > 0 {
		n := min(len(sent), 1+random.IntN(1<<random.IntN(18)))
		s.chunks = append(s.chunks, sent[:n])
		sent = sent[n:]
	}
	return s
}

func randomBody(random *rand.Rand) []byte {
	body := make([]byte, random.IntN(1<<random.IntN(18)))
	for i := range body {
		body[i] = byte(random.Uint32())
	}
	return body
}

// stall makes either side of the client pause now and then.
func (s *script) stall(env run.Env) {
	s.mu.Lock()
	pause := time.Duration(0)
	if s.random.IntN(10) == 0 {
		pause = time.Duration(s.random.IntN(1500)) * time.Microsecond
	}
	s.mu.Unlock()
	if pause > 0 {
		env.NewSignal().WaitFor(pause)
	}
}

func (s *script) write(env run.Env, w io.Writer) {
	for _, chunk := range s.chunks {
		s.stall(env)
		if _, err := w.Write(chunk); err != nil {
			return // the reader tells whether that was right
		}
	}
}

func (s *script) read(env run.Env, r io.Reader) error {
	for i, want := range s.replies {
		if i == s.giveUpAt {
			return nil
		}
		s.stall(env)
		correlation, body, err := readReply(r)
		if err != nil {
			return fmt.Errorf("reply %d of %d: %w", i, len(s.replies), err)
		}
		if correlation != want.correlation || !bytes.Equal(body, want.body) {
			return fmt.Errorf("reply %d has correlation id %d and %d bytes, want %d and %d bytes", i, correlation, len(body), want.correlation, len(want.body))
		}
	}
	if s.hangs {
		if correlation, _, err := readReply(r); err == nil {
			return fmt.Errorf("got reply %d after a hangup", correlation)
		}
	}
	return nil
}
