package server

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla-io/ottla/internal/quota"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
)

const (
	// acceptRetry is the pause after an accept that failed, such as for want of file descriptors.
	acceptRetry = 50 * time.Millisecond
	// closedEventsPerSecond bounds the reports of closed connections.
	closedEventsPerSecond = 10
)

// ErrClosed is the error of Listen and Serve after Drain or Close began.
var ErrClosed = errors.New("server is closed")

// Server accepts connections and serves them. All methods may be called from any goroutine.
type Server struct {
	env     run.Env
	network transport.Network
	table   Table
	limits  Limits
	events  Events
	// arrivals is nil where nothing limits how often clients connect.
	arrivals Arrivals

	group   *run.Group
	buffers buffers
	pools   pools
	writers writers
	stats   counters

	tracers tracers
	tracing atomic.Pointer[[]*tracer] // what requests see of tracers

	mu          sync.Mutex
	listeners   []listener
	connections map[*connection]struct{}
	perIP       map[string]int
	admitting   ConnectionLimits
	allArrivals *quota.Book                  // nil until their rate is bounded
	refused     map[transport.Conn]run.Timer // connections that are closed later
	nextID      uint64
	serving     bool
	reports     reportWindow

	draining atomic.Bool // no new connection, no new request
	closing  atomic.Bool // everything ends
	// stackTold: the stack of one recovered panic was reported. Those that follow are mostly of the same one.
	stackTold atomic.Bool
	watch     run.Signal // wakes the watchdog when it has, or no longer has, something to watch
	changed   run.Signal // wakes Drain when a connection ended
	retry     run.Signal // ends the pause of a failed accept
}

type listener struct {
	name string
	transport.Listener
}

// reportWindow limits the rate of ConnectionClosed.
type reportWindow struct {
	second     int64
	reported   int
	suppressed int
}

// New makes a server that listens nowhere yet.
func New(config Config) *Server {
	s := &Server{
		env:         config.Env,
		network:     config.Network,
		table:       config.Table,
		limits:      config.Limits.withDefaults(),
		events:      config.Events,
		arrivals:    config.Arrivals,
		refused:     make(map[transport.Conn]run.Timer),
		group:       run.NewGroup(config.Env),
		connections: make(map[*connection]struct{}),
		perIP:       make(map[string]int),
		watch:       config.Env.NewSignal(),
		changed:     config.Env.NewSignal(),
		retry:       config.Env.NewSignal(),
	}
	s.admitting = s.limits.Connections
	s.writers.server = s
	s.buffers.limit, s.buffers.retain = s.limits.MemoryBytes, s.limits.RetainBytes
	return s
}

// Listen binds HOST:PORT and returns the address that it got. Connections wait in the kernel until Serve; after Serve
// they are accepted at once. name is Kafka's listener name, such as PLAINTEXT.
func (s *Server) Listen(name, address string) (string, error) {
	bound, err := s.network.Listen(address)
	if err != nil {
		return "", fmt.Errorf("listen on %s for %s: %w", address, name, err)
	}
	s.mu.Lock()
	if s.draining.Load() {
		s.mu.Unlock()
		bound.Close()
		return "", ErrClosed
	}
	l := listener{name: name, Listener: bound}
	s.listeners = append(s.listeners, l)
	serving := s.serving
	s.mu.Unlock()
	if serving {
		s.accept(l)
	}
	return bound.Addr().String(), nil
}

// Serve begins to accept on all listeners and returns.
func (s *Server) Serve() error {
	s.mu.Lock()
	if s.draining.Load() {
		s.mu.Unlock()
		return ErrClosed
	}
	if s.serving {
		s.mu.Unlock()
		return nil
	}
	s.serving = true
	listeners := append([]listener(nil), s.listeners...)
	s.mu.Unlock()
	s.group.Go("server watchdog", s.watchConnections)
	for _, l := range listeners {
		s.accept(l)
	}
	return nil
}

// Drain stops accepting and reading, waits at most limit until the replies to what was read have left, and closes all
// connections. It reports whether every connection had finished in time. Close must still be called.
func (s *Server) Drain(limit time.Duration) bool {
	s.stopListening()
	for _, c := range s.open() {
		c.stopReading()
	}
	deadline := s.env.Monotonic() + limit
	for {
		s.mu.Lock()
		open := len(s.connections)
		s.mu.Unlock()
		if open == 0 {
			return true
		}
		left := deadline - s.env.Monotonic()
		if left <= 0 {
			break
		}
		s.changed.WaitFor(left)
	}
	s.endAll()
	return false
}

// Close ends everything and waits for it: listeners, connections, goroutines; parked requests are cancelled, buffers and
// regions released. Closing twice is fine.
func (s *Server) Close() error {
	s.stopListening()
	s.closing.Store(true)
	s.watch.Set()
	s.retry.Set()
	s.endAll()
	s.closeRefused()
	s.writers.close()
	s.group.Close()
	return nil
}

// Goroutines lists the goroutines that still run, for leak audits; none after Close.
func (s *Server) Goroutines() []string { return s.group.Names() }

func (s *Server) stopListening() {
	s.mu.Lock()
	s.draining.Store(true)
	listeners := s.listeners
	s.listeners = nil
	s.mu.Unlock()
	for _, l := range listeners {
		l.Close()
	}
}

func (s *Server) endAll() {
	for _, c := range s.open() {
		c.close(ServerClosed, nil)
	}
}

// open lists the connections, in the order in which they came.
func (s *Server) open() []*connection {
	s.mu.Lock()
	open := slices.Collect(maps.Keys(s.connections))
	s.mu.Unlock()
	slices.SortFunc(open, func(a, b *connection) int { return cmp.Compare(a.public.ID, b.public.ID) })
	return open
}

func (s *Server) accept(l listener) {
	s.group.Go("server accept "+l.name, func() {
		for {
			stream, err := l.Accept()
			if s.draining.Load() {
				if err == nil {
					stream.Close()
				}
				return
			}
			if err != nil {
				if s.events.AcceptFailed != nil {
					s.events.AcceptFailed(l.name, err)
				}
				s.retry.WaitFor(acceptRetry)
				continue
			}
			s.admit(l.name, stream)
			if pause := s.paceArrivals(); pause > 0 {
				s.retry.WaitFor(pause)
			}
		}
	})
}

// arrivalWindows are what the rate of all connections is measured over: Kafka's defaults, which let a rest of ten seconds come at once.
var arrivalWindows = quota.Windows{Count: 11, SizeMs: 1000}

// paceArrivals counts a connection and says how long no other may be taken (KIP-612).
func (s *Server) paceArrivals() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.admitting.PerSecond <= 0 || s.admitting.PerSecond >= unbounded {
		return 0
	}
	if s.allArrivals == nil {
		s.allArrivals = quota.NewBook(quota.ConnectionRate, arrivalWindows)
	}
	return time.Duration(s.allArrivals.Charge(quota.Subject{}, float64(s.admitting.PerSecond), 1, s.env.Monotonic().Milliseconds())) * time.Millisecond
}

// SetConnectionLimits changes how many connections are taken from now on. It ends none that is open.
func (s *Server) SetConnectionLimits(limits ConnectionLimits) {
	s.mu.Lock()
	s.admitting = limits
	s.mu.Unlock()
}

// admit starts the connection or refuses it.
func (s *Server) admit(listener string, stream transport.Conn) {
	host, _ := splitAddress(stream.RemoteAddr().String())
	if s.arrivals != nil {
		if delay := s.arrivals.Arrived(host); delay > 0 {
			s.closeLater(stream, delay)
			s.report(Closed{Listener: listener, RemoteHost: host, Reason: TooManyNew, Err: fmt.Errorf("over the quota connection_creation_rate; closed after %v", delay)})
			return
		}
	}
	s.mu.Lock()
	s.nextID++
	id := s.nextID
	refused, limit := PeerClosed, 0
	switch {
	case len(s.connections) >= s.admitting.Max:
		refused, limit = TooManyConnections, s.admitting.Max
	case s.perIP[host] >= s.admitting.of(host):
		refused, limit = TooManyFromIP, s.admitting.of(host)
	}
	if refused != PeerClosed {
		s.mu.Unlock()
		stream.Close()
		s.report(Closed{ID: id, Listener: listener, RemoteHost: host, Reason: refused, Err: fmt.Errorf("limit is %d", limit)})
		return
	}
	c := newConnection(s, id, listener, stream)
	s.connections[c] = struct{}{}
	s.perIP[host]++
	first := len(s.connections) == 1
	s.mu.Unlock()
	s.stats.accepted.Add(1)
	if first {
		s.watch.Set()
	}
	if !s.group.Go("server connection", c.serve) {
		stream.Close()
		s.remove(c)
		return
	}
	// Drain or Close may have looked at the connections before this one was among them.
	if s.draining.Load() {
		c.stopReading()
	}
	if s.closing.Load() {
		c.close(ServerClosed, nil)
	}
}

// remove forgets a connection that has ended.
func (s *Server) remove(c *connection) {
	s.mu.Lock()
	delete(s.connections, c)
	if s.perIP[c.public.RemoteHost]--; s.perIP[c.public.RemoteHost] == 0 {
		delete(s.perIP, c.public.RemoteHost)
	}
	s.mu.Unlock()
	if s.draining.Load() {
		s.changed.Set()
	}
}

// report counts the end of a connection and tells of it, unless it is ordinary or there were too many lately.
func (s *Server) report(closed Closed) {
	s.stats.closed[closed.Reason].Add(1)
	if closed.Reason == PeerClosed || closed.Reason == ServerClosed || s.events.ConnectionClosed == nil {
		return
	}
	second := int64(s.env.Monotonic() / time.Second)
	s.mu.Lock()
	if s.reports.second != second {
		s.reports.second, s.reports.reported = second, 0
	}
	if s.reports.reported >= closedEventsPerSecond {
		s.reports.suppressed++
		s.mu.Unlock()
		return
	}
	s.reports.reported++
	closed.Suppressed, s.reports.suppressed = s.reports.suppressed, 0
	s.mu.Unlock()
	s.events.ConnectionClosed(closed)
}
