package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
	"github.com/ottla-io/ottla/internal/wire"
)

// TestBadFrameEndsTheConnection sends one good request and a bad frame: the good one is answered, then the connection
// ends for the right cause.
func TestBadFrameEndsTheConnection(t *testing.T) {
	length := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	truncatedHeader := append(length(9), request(echoKey, 1, nil)[4:13]...)
	tooLong := request(regionKey, 1, nil)
	binary.BigEndian.PutUint32(tooLong, 64<<20+1)
	for _, test := range []struct {
		name   string
		bytes  []byte
		reason Reason
	}{
		{"negative length", length(1<<32 - 1), BadFrame},
		{"most negative length", length(1 << 31), BadFrame},
		{"length 0", length(0), BadFrame},
		{"length below a header", append(length(7), 0, 3, 0, 1, 0, 0, 0), BadFrame},
		{"length 2^31-1", length(1<<31 - 1), BadFrame},
		{"length above socket.request.max.bytes", length(100<<20 + 1), BadFrame},
		{"length above the entry's bound", tooLong, BadFrame},
		{"header that ends in the client id", truncatedHeader, BadFrame},
		{"unknown key", frame(unservedID, 0, 1, nil), UnknownAPI},
		{"negative key", frame(-1, 0, 1, nil), UnknownAPI},
		{"version above", frame(echoKey, 13, 1, nil), UnknownAPI},
		{"version below", frame(parkKey, 2, 1, nil), UnknownAPI},
		{"negative version", frame(echoKey, -1, 1, nil), UnknownAPI},
		{"hangup of a handler", request(hangupKey, 1, nil), HandlerHangup},
		{"hangup of a finish", request(parkKey, 1, []byte{byte(finishHangup)}), HandlerHangup},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, Limits{})
			defer r.stop()
			c := r.dial()
			defer c.Close()
			mustWrite(t, c, append(request(echoKey, 7, []byte("good")), test.bytes...))
			wantReply(t, c, 7, []byte("good"))
			wantEnd(t, c)
			c.Close()
			if closed := r.awaitClosed(test.reason); closed.Err == nil || closed.RemoteHost != "127.0.0.1" {
				t.Errorf("report says too little: %+v", closed)
			}
			if n := r.server.Stats().Closed[test.reason]; n != 1 {
				t.Errorf("%d connections counted as %v, want 1", n, test.reason)
			}
		})
	}
}

// TestRepliesSurviveAHangup: what was sent after the request that ends the connection must not reset it before the
// client has read the replies.
func TestRepliesSurviveAHangup(t *testing.T) {
	r := newRig(t, Limits{})
	defer r.stop()
	c := r.dial()
	defer c.Close()
	const size = 2 << 20
	mustWrite(t, c, request(regionKey, 1, regionBody(1, size)))
	mustWrite(t, c, request(hangupKey, 2, nil))
	mustWrite(t, c, request(echoKey, 3, make([]byte, 100_000)))
	wantReply(t, c, 1, regionReply(1, size))
	wantEnd(t, c)
	r.awaitClosedSoon(c)
}

func (r *rig) awaitClosedSoon(c transport.Conn) {
	r.t.Helper()
	c.Close()
	r.await("all connections closed", func() bool { return r.server.Stats().Open == 0 })
}

// TestApiVersionsOfAnyVersion: whatever the version and its header, the handler answers, with response header 0 (KIP-35).
func TestApiVersionsOfAnyVersion(t *testing.T) {
	r := newRig(t, Limits{})
	defer r.stop()
	c := r.dial()
	defer c.Close()
	flexible := frame(wire.ApiVersionsKey, 3, 3, []byte{0, 'b'})
	for i, sent := range [][]byte{
		frame(wire.ApiVersionsKey, 99, 0, []byte{0xff, 0xff, 0xff, 0xff, 0xff}), // tags that make no sense
		frame(wire.ApiVersionsKey, -5, 1, nil),
		frame(wire.ApiVersionsKey, 0, 2, nil),
		flexible,
	} {
		mustWrite(t, c, sent)
		wantReply(t, c, int32(i), sent[7:8]) // the fake answers the low byte of the version
	}
}

// TestFlexibleHeader: tags in the request header are skipped, and the reply has header 1.
func TestFlexibleHeader(t *testing.T) {
	r := newRig(t, Limits{})
	defer r.stop()
	c := r.dial()
	defer c.Close()
	mustWrite(t, c, frame(echoKey, 9, 5, []byte{1, 0, 2, 'x', 'y', 'b'})) // one tag 0 of two bytes, then the body
	wantReply(t, c, 5, []byte{0, 'b'})
}

// TestMemoryFollowsWhatArrived: a length field alone costs nothing; bytes cost what they are, times a bound.
func TestMemoryFollowsWhatArrived(t *testing.T) {
	r := newRig(t, Limits{})
	defer r.stop()
	const clients, claimed, arrived = 50, 60 << 20, 200 << 10
	head := frame(parkKey, 7, 1, []byte{byte(wakeInHandler)})
	binary.BigEndian.PutUint32(head, claimed)
	for range clients {
		c := r.dial()
		defer c.Close()
		mustWrite(t, c, head)
	}
	used := func() int64 { return r.server.Stats().MemoryUsed }
	r.await("heads read", func() bool { return r.server.Stats().BytesIn == uint64(clients*len(head)) })
	r.await("small buffers", func() bool { return used() <= clients*stashBytes })

	c := r.dial()
	defer c.Close()
	mustWrite(t, c, head)
	before := used()
	mustWrite(t, c, make([]byte, arrived))
	r.await("bytes read", func() bool {
		return r.server.Stats().BytesIn == uint64((clients+1)*len(head)+arrived)
	})
	if grown := used() - before; grown > 8*arrived+readBytes {
		t.Errorf("%d bytes of a frame take %d bytes of memory", arrived, grown)
	}
}

// TestMemoryBound: with far too little memory for all, every large frame is served in the end.
func TestMemoryBound(t *testing.T) {
	const size, connections, rounds = 1 << 20, 8, 3
	r := newRig(t, Limits{MemoryBytes: 3 << 20})
	defer r.stop()
	body := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	clients := run.NewGroup(r.env)
	for n := range connections {
		c := r.dial()
		defer c.Close()
		clients.Go("client", func() {
			for range rounds {
				if _, err := c.Write(request(echoKey, int32(n), body)); err != nil {
					t.Error(err)
					return
				}
				got, gotBody, err := readReply(c)
				if err != nil || got != int32(n) || !bytes.Equal(gotBody, body) {
					t.Errorf("connection %d: reply %d of %d bytes, %v", n, got, len(gotBody), err)
					return
				}
			}
		})
	}
	var highest int64
	want := uint64(connections * rounds)
	r.await("all frames served", func() bool {
		stats := r.server.Stats()
		highest = max(highest, stats.MemoryUsed)
		return len(stats.APIs) == 1 && stats.APIs[0].Replies == want
	})
	clients.Close()
	// One connection at a time may pass the limit, with a buffer of its class and the one that it outgrows; replies are
	// not held back.
	if bound := int64(3<<20 + 3<<20 + connections*2<<20); highest > bound {
		t.Errorf("%d bytes were in use, want at most %d", highest, bound)
	}
}

func TestDripFedFrameIsServed(t *testing.T) {
	r := newRig(t, Limits{})
	defer r.stop()
	c := r.dial()
	defer c.Close()
	for _, b := range request(echoKey, 9, []byte("drip")) {
		mustWrite(t, c, []byte{b})
		runtime.Gosched()
	}
	wantReply(t, c, 9, []byte("drip"))
}

func TestSlowClientsAreEnded(t *testing.T) {
	const soon = 60 * time.Millisecond
	first := request(echoKey, 1, []byte("x"))
	for _, test := range []struct {
		name   string
		limits Limits
		send   func(*testing.T, *rig, transport.Conn)
		reason Reason
	}{
		{"nothing sent", Limits{FirstRequestTime: soon}, func(*testing.T, *rig, transport.Conn) {}, FirstRequestTooSlow},
		{"part of the first request", Limits{FirstRequestTime: soon}, func(t *testing.T, r *rig, c transport.Conn) {
			mustWrite(t, c, first[:10])
		}, FirstRequestTooSlow},
		{"first request dripping", Limits{FirstRequestTime: soon, FrameTime: time.Hour}, drip, FirstRequestTooSlow},
		{"later frame dripping", Limits{FrameTime: soon}, func(t *testing.T, r *rig, c transport.Conn) {
			mustWrite(t, c, first)
			wantReply(t, c, 1, []byte("x"))
			drip(t, r, c)
		}, FrameTooSlow},
		{"large frame dripping", Limits{FrameTime: soon}, func(t *testing.T, r *rig, c transport.Conn) {
			mustWrite(t, c, append(first, request(echoKey, 2, make([]byte, 1<<20))[:100_000]...))
			wantReply(t, c, 1, []byte("x"))
		}, FrameTooSlow},
		{"idle", Limits{IdleTime: soon}, func(t *testing.T, r *rig, c transport.Conn) {
			mustWrite(t, c, first)
			wantReply(t, c, 1, []byte("x"))
		}, IdleTooLong},
		{"reads no replies", Limits{StallTime: soon}, func(t *testing.T, r *rig, c transport.Conn) {
			mustWrite(t, c, request(regionKey, 1, regionBody(50, 1<<20)))
		}, ReaderStalled},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, test.limits)
			defer r.stop()
			c := r.dial()
			defer c.Close()
			test.send(t, r, c)
			if closed := r.awaitClosed(test.reason); closed.Err == nil {
				t.Errorf("no cause given: %+v", closed)
			}
		})
	}
}

// drip sends a frame byte by byte until the server ends the connection.
func drip(t *testing.T, r *rig, c transport.Conn) {
	pause := r.env.NewSignal()
	for _, b := range request(echoKey, 2, make([]byte, 10_000)) {
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
		pause.WaitFor(time.Millisecond)
	}
	t.Error("all bytes were taken")
}

// TestParkedIsNotIdle: a request that waits for longer than the idle limit gets its reply.
func TestParkedIsNotIdle(t *testing.T) {
	const idle = 40 * time.Millisecond
	r := newRig(t, Limits{IdleTime: idle})
	defer r.stop()
	c := r.dial()
	defer c.Close()
	mustWrite(t, c, request(parkKey, 1, []byte{byte(wakeLater), 'a'}))
	r.await("request parked", func() bool { return r.fakes.parkedLater() == 1 })
	r.env.NewSignal().WaitFor(4 * idle)
	r.fakes.wakeAll()
	wantReply(t, c, 1, []byte("a"))
}

func TestFirstRequestMaxBytes(t *testing.T) {
	r := newRig(t, Limits{FirstRequestMaxBytes: 1000})
	defer r.stop()
	c := r.dial()
	defer c.Close()
	mustWrite(t, c, request(echoKey, 1, make([]byte, 900)))
	wantReply(t, c, 1, make([]byte, 900))
	mustWrite(t, c, request(echoKey, 2, make([]byte, 2000)))
	wantReply(t, c, 2, make([]byte, 2000))

	late := r.dial()
	defer late.Close()
	mustWrite(t, late, request(echoKey, 1, make([]byte, 2000)))
	wantEnd(t, late)
	late.Close()
	r.awaitClosed(BadFrame)
}

func TestConnectionLimits(t *testing.T) {
	for _, test := range []struct {
		limits Limits
		reason Reason
	}{
		{Limits{Connections: ConnectionLimits{Max: 2, MaxPerIP: 9}}, TooManyConnections},
		{Limits{Connections: ConnectionLimits{Max: 9, MaxPerIP: 2}}, TooManyFromIP},
	} {
		t.Run(test.reason.String(), func(t *testing.T) {
			r := newRig(t, test.limits)
			defer r.stop()
			served := func(c transport.Conn) {
				t.Helper()
				mustWrite(t, c, request(echoKey, 1, nil))
				wantReply(t, c, 1, nil)
			}
			a, b := r.dial(), r.dial()
			defer a.Close()
			defer b.Close()
			served(a)
			served(b)
			refused := r.dial()
			defer refused.Close()
			wantEnd(t, refused)
			r.awaitClosed(test.reason)
			served(b)
			a.Close()
			r.await("room", func() bool { return r.server.Stats().Open == 1 })
			again := r.dial()
			defer again.Close()
			served(again)
		})
	}
}

func TestClosedReportsAreRateLimited(t *testing.T) {
	r := newRig(t, Limits{})
	defer r.stop()
	const bad = 100
	for range bad {
		c := r.dial()
		mustWrite(t, c, []byte{0xff, 0xff, 0xff, 0xff})
		wantEnd(t, c)
		c.Close()
	}
	r.await("all counted", func() bool { return r.server.Stats().Closed[BadFrame] == bad })
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.closed); n == 0 || n > bad/2 {
		t.Errorf("%d of %d ends were reported", n, bad)
	}
}

// shortSource ends after a few bytes.
type shortSource struct{ io.ReaderAt }

func (s shortSource) ReadAt(p []byte, offset int64) (int, error) {
	n, _ := s.ReaderAt.ReadAt(p[:min(len(p), 1000)], offset)
	return n, io.EOF
}

// TestShortSourceEndsTheConnection is the second half of invariant 7: those bytes or a closed connection.
func TestShortSourceEndsTheConnection(t *testing.T) {
	for _, size := range []int{2000, 3 * smallRegionBytes} {
		r := newRig(t, Limits{})
		r.fakes.source = shortSource{pattern{}}
		c := r.dial()
		mustWrite(t, c, append(request(regionKey, 1, regionBody(3, size)), request(echoKey, 2, nil)...))
		got, err := io.ReadAll(io.LimitReader(c, int64(3*size)))
		if whole := regionReply(1, size); len(got) >= len(whole) && err == nil {
			t.Errorf("%d bytes came of a reply whose region has 1000", len(got))
		} else if rest := got[min(len(got), 8):]; !bytes.HasPrefix(whole, rest) {
			t.Errorf("other bytes than those of the source")
		}
		c.Close()
		if closed := r.awaitClosed(ReplyFailed); !errors.Is(closed.Err, io.ErrUnexpectedEOF) {
			t.Errorf("cause is %v, want a short source", closed.Err)
		}
		r.stop()
	}
}

// TestStalledClientKeepsRegionsUntilItEnds: regions of a client that stops reading are held while it may still read
// them, and released once when it goes or when the server closes (rig.stop counts).
func TestStalledClientKeepsRegionsUntilItEnds(t *testing.T) {
	for _, clientGoes := range []bool{true, false} {
		r := newRig(t, Limits{})
		c := r.dial()
		for i := range int32(20) {
			mustWrite(t, c, request(regionKey, i, regionBody(4, 1<<20)))
			mustWrite(t, c, request(regionKey, i, regionBody(4, 100)))
		}
		r.await("handlers ran", func() bool { return r.fakes.takenRegions() > 0 })
		if clientGoes {
			c.Close()
			r.await("connection gone", func() bool { return r.server.Stats().Open == 0 })
		}
		r.stop()
		c.Close()
	}
}

// TestStalledClientHoldsNobodyUp: of connections whose replies become ready in one go, some have clients that read nothing. All others get theirs.
func TestStalledClientHoldsNobodyUp(t *testing.T) {
	const stalled, others = 5, 100
	r := newRig(t, Limits{})
	park := func(size int) transport.Conn {
		c := r.dial()
		mustWrite(t, c, request(parkKey, 1, append([]byte{byte(wakeLater)}, make([]byte, size)...)))
		return c
	}
	var silent, reading []transport.Conn
	for range stalled {
		// More than the sockets of both ends take.
		c := r.dial()
		mustWrite(t, c, request(parkKey, 1, []byte{byte(wakeLater)}))
		mustWrite(t, c, request(regionKey, 2, regionBody(64, 1<<20)))
		silent = append(silent, c)
	}
	for range others {
		reading = append(reading, park(100))
	}
	r.await("all are parked", func() bool { return r.fakes.parkedLater() == stalled+others && r.fakes.takenRegions() == 64*stalled })
	r.fakes.wakeAll()
	for _, c := range reading {
		wantReply(t, c, 1, make([]byte, 100))
	}
	for _, c := range append(silent, reading...) {
		c.Close()
	}
	r.stop()
}

func TestIsLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:9092": true, "127.9.9.9:1": true, "[::1]:9092": true, "localhost:9092": true, "LocalHost:9092": true, "[::ffff:127.0.0.1]:1": true,
		":9092": false, "0.0.0.0:9092": false, "[::]:9092": false, "10.0.0.1:9092": false, "broker.example:9092": false, "localhost.example:1": false, "": false,
	} {
		if got := IsLoopback(address); got != want {
			t.Errorf("IsLoopback(%q) = %v", address, got)
		}
	}
}

func TestReasonsHaveNames(t *testing.T) {
	seen := make(map[string]bool)
	for reason := range reasons {
		name := reason.String()
		if strings.TrimSpace(name) == "" || seen[name] {
			t.Errorf("reason %d is called %q", reason, name)
		}
		seen[name] = true
	}
}
