package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
	"github.com/ottla-io/ottla/internal/wire"
)

// The fake handlers. Bodies of requests: see each.
const (
	echoKey    = wire.MetadataKey        // replies its body
	parkKey    = wire.ProduceKey         // as its first byte says (parkMode), then replies the rest
	regionKey  = wire.FetchKey           // replies n regions of a size: uint32 n, uint32 size
	silentKey  = wire.FindCoordinatorKey // no reply
	hangupKey  = wire.HeartbeatKey       // Hangup
	unservedID = 1000
)

type parkMode byte

const (
	wakeInHandler parkMode = iota // before the handler returns
	wakeByOther                   // by a goroutine of the waker, in random order
	wakeByTimer                   // by a timer of its own
	wakeLater                     // by test.wakeAll
	finishHangup                  // by a goroutine; Finish hangs up
	parkModes
)

// fakes is a dispatch table whose handlers count what happens to their requests.
type fakes struct {
	env    run.Env
	group  *run.Group
	source io.ReaderAt // of regions; position i of it has byte(i*7)
	table  map[int16]*api.Entry

	mu        sync.Mutex
	random    *rand.Rand
	toWake    []*api.Request
	later     []*api.Request
	wakeMore  run.Signal
	closing   bool
	finished  int
	cancelled int
	silent    int
	taken     int // regions
	released  int
	twice     []string
}

func newFakes(env run.Env, seed uint64) *fakes {
	f := &fakes{env: env, group: run.NewGroup(env), random: rand.New(rand.NewPCG(seed, 1)), wakeMore: env.NewSignal(), source: pattern{}}
	add := func(key, min, max int16, handle api.Handler) {
		f.table[key] = &api.Entry{Key: key, Min: min, Max: max, AdvertisedMin: min, BodyMax: 64 << 20, Handle: handle}
	}
	f.table = make(map[int16]*api.Entry)
	add(echoKey, 0, 12, func(r *api.Request) api.Outcome {
		r.Reply.Buf = append(r.Reply.Buf, r.Body...)
		return api.Replied
	})
	add(parkKey, 3, 8, f.park)
	add(regionKey, 4, 11, f.regions)
	add(muteKey, 1, 11, f.mute)
	add(silentKey, 0, 3, func(*api.Request) api.Outcome {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.silent++
		return api.Silent
	})
	add(hangupKey, 0, 3, func(r *api.Request) api.Outcome {
		r.Err = errors.New("asked to")
		return api.Hangup
	})
	add(wire.ApiVersionsKey, 0, 4, func(r *api.Request) api.Outcome {
		r.Reply.Buf = append(r.Reply.Buf, byte(r.Version))
		return api.Replied
	})
	for range 3 {
		f.group.Go("waker", f.wakeInRandomOrder)
	}
	return f
}

func (f *fakes) EndOfRead(*api.Conn) {}

func (f *fakes) Lookup(key int16) (*api.Entry, bool) {
	entry, ok := f.table[key]
	return entry, ok
}

func (f *fakes) close() {
	f.mu.Lock()
	f.closing = true
	f.mu.Unlock()
	for range 3 {
		f.wakeMore.Set()
	}
	f.group.Close()
}

func (f *fakes) wakeInRandomOrder() {
	for {
		f.mu.Lock()
		if len(f.toWake) == 0 {
			done := f.closing
			f.mu.Unlock()
			if done {
				f.wakeMore.Set()
				return
			}
			f.wakeMore.WaitFor(time.Millisecond)
			continue
		}
		at := f.random.IntN(len(f.toWake))
		r := f.toWake[at]
		f.toWake[at] = f.toWake[len(f.toWake)-1]
		f.toWake = f.toWake[:len(f.toWake)-1]
		f.mu.Unlock()
		r.Wake()
	}
}

func (f *fakes) wakeAll() {
	f.mu.Lock()
	later := f.later
	f.later = nil
	f.mu.Unlock()
	for _, r := range later {
		r.Wake()
	}
}

func (f *fakes) parkedLater() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.later)
}

// pending is a parked request of parkKey.
type pending struct {
	fakes *fakes
	body  []byte
	mode  parkMode
	ended bool
}

func (p *pending) end(count *int) {
	p.fakes.mu.Lock()
	defer p.fakes.mu.Unlock()
	if p.ended {
		p.fakes.twice = append(p.fakes.twice, fmt.Sprintf("pending of mode %d ended twice", p.mode))
	}
	p.ended = true
	*count++
}

func (p *pending) Finish(r *api.Request) api.Outcome {
	p.end(&p.fakes.finished)
	if p.mode == finishHangup {
		r.Err = errors.New("finish failed")
		return api.Hangup
	}
	r.Reply.Buf = append(r.Reply.Buf, p.body...)
	return api.Replied
}

func (p *pending) Cancel() { p.end(&p.fakes.cancelled) }

func (f *fakes) park(r *api.Request) api.Outcome {
	p := &pending{fakes: f, mode: parkMode(r.Body[0]), body: bytes.Clone(r.Body[1:])}
	r.Pending = p
	switch p.mode {
	case wakeInHandler:
		r.Wake()
	case wakeByTimer:
		f.mu.Lock()
		wait := time.Duration(f.random.IntN(2000)) * time.Microsecond
		f.mu.Unlock()
		f.env.AfterFunc(wait, "fake timeout", r.Wake)
	case wakeLater:
		f.mu.Lock()
		f.later = append(f.later, r)
		f.mu.Unlock()
	default:
		f.mu.Lock()
		f.toWake = append(f.toWake, r)
		f.mu.Unlock()
		f.wakeMore.Set()
	}
	return api.Parked
}

// pattern is an endless source.
type pattern struct{}

func (pattern) ReadAt(p []byte, offset int64) (int, error) {
	for i := range p {
		p[i] = byte((offset + int64(i)) * 7)
	}
	return len(p), nil
}

type region struct {
	fakes    *fakes
	offset   int64
	size     int
	released bool
}

func (r *region) Size() int                    { return r.size }
func (r *region) Source() (io.ReaderAt, int64) { return r.fakes.source, r.offset }
func (r *region) Release() {
	r.fakes.mu.Lock()
	defer r.fakes.mu.Unlock()
	if r.released {
		r.fakes.twice = append(r.fakes.twice, "region released twice")
	}
	r.released = true
	r.fakes.released++
}

// regions replies: for each region its size in 4 bytes, its bytes; then an end mark.
func (f *fakes) regions(r *api.Request) api.Outcome {
	n, size := binary.BigEndian.Uint32(r.Body), binary.BigEndian.Uint32(r.Body[4:])
	for i := range n {
		r.Reply.Buf = binary.BigEndian.AppendUint32(r.Reply.Buf, size)
		f.mu.Lock()
		f.taken++
		f.mu.Unlock()
		r.Reply.Splices = append(r.Reply.Splices, wire.Splice{
			At: len(r.Reply.Buf), Region: &region{fakes: f, offset: int64(i), size: int(size)},
		})
	}
	r.Reply.Buf = append(r.Reply.Buf, "end"...)
	return api.Replied
}

func regionBody(n, size int) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(n)), uint32(size))
}

func regionReply(n, size int) []byte {
	var reply []byte
	for i := range n {
		reply = binary.BigEndian.AppendUint32(reply, uint32(size))
		bytes := make([]byte, size)
		pattern{}.ReadAt(bytes, int64(i))
		reply = append(reply, bytes...)
	}
	return append(reply, "end"...)
}

// frame is a request of a non-flexible version with its length.
func frame(key, version int16, correlation int32, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+2+4+len(body)))
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	b = binary.BigEndian.AppendUint16(b, 4)
	b = append(b, "test"...)
	return append(b, body...)
}

// versionOf is a non-flexible version of each fake.
func versionOf(key int16) int16 {
	switch key {
	case parkKey:
		return 7
	case regionKey:
		return 11
	}
	return 1
}

func request(key int16, correlation int32, body []byte) []byte {
	return frame(key, versionOf(key), correlation, body)
}

// readReply reads one reply whose header is of version 0.
func readReply(r io.Reader) (correlation int32, body []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	body = make([]byte, int(binary.BigEndian.Uint32(head[:]))-4)
	_, err = io.ReadFull(r, body)
	return int32(binary.BigEndian.Uint32(head[4:])), body, err
}

// rig is a server on loopback with fakes.
type rig struct {
	t       testing.TB
	env     run.Env
	network transport.Network
	fakes   *fakes
	server  *Server
	address string

	mu     sync.Mutex
	closed []Closed
}

func newRig(t testing.TB, limits Limits) *rig {
	return startRig(t, run.OS(), transport.OS(), limits, 1)
}

func startRig(t testing.TB, env run.Env, network transport.Network, limits Limits, seed uint64) *rig {
	r := &rig{t: t, env: env, network: network, fakes: newFakes(env, seed)}
	r.server = New(Config{Env: env, Network: network, Table: r.fakes, Limits: limits, Events: Events{
		ConnectionClosed: func(c Closed) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.closed = append(r.closed, c)
		},
	}})
	address, err := r.server.Listen("PLAINTEXT", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = address
	if err := r.server.Serve(); err != nil {
		t.Fatal(err)
	}
	return r
}

// stop closes the server and checks that nothing is left of it, and that nothing was ended twice or not at all.
func (r *rig) stop() {
	r.t.Helper()
	r.server.Close()
	r.fakes.wakeAll()
	r.fakes.close()
	if left := r.server.Goroutines(); len(left) > 0 {
		r.t.Errorf("goroutines after Close: %v", left)
	}
	if used, _ := r.server.buffers.account(); used != 0 {
		r.t.Errorf("%d bytes are still lent after Close", used)
	}
	for _, one := range r.server.Stats().APIs {
		if one.Waiting != 0 {
			r.t.Errorf("%d requests of %s wait after Close", one.Waiting, one.Name)
		}
	}
	f := r.fakes
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.taken != f.released {
		r.t.Errorf("%d regions were taken, %d released", f.taken, f.released)
	}
	for _, what := range f.twice {
		r.t.Error(what)
	}
}

func (r *rig) dial() transport.Conn {
	r.t.Helper()
	stream, err := r.network.Dial(r.address, time.Second)
	if err != nil {
		r.t.Fatal(err)
	}
	return stream
}

// await waits until condition holds.
func (r *rig) await(what string, condition func() bool) {
	r.t.Helper()
	pause := r.env.NewSignal()
	for deadline := r.env.Monotonic() + 10*time.Second; !condition(); pause.WaitFor(time.Millisecond) {
		if r.env.Monotonic() > deadline {
			r.t.Fatalf("waited in vain: %s", what)
		}
	}
}

func (r *rig) awaitClosed(reason Reason) Closed {
	r.t.Helper()
	var found Closed
	r.await("connection closed: "+reason.String(), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, c := range r.closed {
			if c.Reason == reason {
				found = c
				return true
			}
		}
		return false
	})
	return found
}

func mustWrite(t testing.TB, w io.Writer, p []byte) {
	t.Helper()
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
}

func wantReply(t testing.TB, r io.Reader, correlation int32, body []byte) {
	t.Helper()
	got, gotBody, err := readReply(r)
	if err != nil {
		t.Fatalf("reply %d: %v", correlation, err)
	}
	if got != correlation || !bytes.Equal(gotBody, body) {
		t.Fatalf("reply %d with %d bytes %.40q, want %d with %d bytes %.40q", got, len(gotBody), gotBody, correlation, len(body), body)
	}
}

func wantEnd(t testing.TB, r io.Reader) {
	t.Helper()
	if correlation, _, err := readReply(r); err == nil {
		t.Fatalf("got reply %d, want the end of the connection", correlation)
	}
}
