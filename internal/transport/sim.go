package transport

import (
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	// simWindowBytes is how much one direction of a connection holds: in flight and not yet read. A writer waits for room.
	simWindowBytes = 64 << 10
	simBacklog     = 128
	// simFirstPort is the first that port 0 picks.
	simFirstPort = 32768
)

// Signal is what the simulated network waits on; run.Signal is one.
type Signal interface {
	Set()
	Wait()
	WaitFor(d time.Duration) bool
}

// Env is the part of run.Env that the simulated network needs. S and T stand for run.Signal and run.Timer, so that neither
// package imports the other; the compiler finds them from the argument of NewSim.
type Env[S Signal, T any] interface {
	Now() time.Time
	AfterFunc(d time.Duration, name string, fn func()) T
	NewSignal() S
}

// Sim is a network in memory between named hosts. Bytes arrive in order, after a delay. Where a direction between two hosts is cut,
// they wait, as TCP's do, until it is healed. Its only randomness is what the delay function brings.
type Sim struct {
	now       func() time.Time
	after     func(d time.Duration, fn func())
	newSignal func() Signal
	pool      *sync.Pool

	mu      sync.Mutex
	delay   func(from, to string) time.Duration
	hosts   map[string]*SimHost
	byIP    map[string]*SimHost
	cut     map[direction]bool
	streams map[uint64]*simStream // of open connections
	lastID  uint64
}

type direction struct{ from, to string }

// NewSim makes a network without hosts, delays or cuts.
func NewSim[S Signal, T any](env Env[S, T]) *Sim {
	return &Sim{
		now:       env.Now,
		after:     func(d time.Duration, fn func()) { env.AfterFunc(d, "network", fn) },
		newSignal: func() Signal { return env.NewSignal() },
		pool:      newCopyBuffers(),
		delay:     func(string, string) time.Duration { return 0 },
		hosts:     make(map[string]*SimHost),
		byIP:      make(map[string]*SimHost),
		cut:       make(map[direction]bool),
		streams:   make(map[uint64]*simStream),
	}
}

// Host returns the host of that name, made on first use. It is a Network: what listens and dials through it is on that
// host. Other hosts reach it by its name or its IP address (10.0.0.1 and on); it reaches itself as localhost and 127.0.0.1 too.
func (s *Sim) Host(name string) *SimHost {
	s.mu.Lock()
	defer s.mu.Unlock()
	if host, ok := s.hosts[name]; ok {
		return host
	}
	n := len(s.hosts) + 1
	host := &SimHost{sim: s, name: name, ip: net.IPv4(10, byte(n>>16), byte(n>>8), byte(n)).To4(),
		listeners: make(map[int]*simListener), lastPort: simFirstPort - 1}
	s.hosts[name], s.byIP[host.ip.String()] = host, host
	return host
}

// SetDelay has delay say how long each write from one host takes to another. It is called with the network locked: it must not call back.
func (s *Sim) SetDelay(delay func(from, to string) time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = delay
}

// Cut stops everything that goes from one host to the other; the opposite direction stays. Dials between them time out.
func (s *Sim) Cut(from, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut[direction{from, to}] = true
}

// Heal ends a Cut: what waited arrives.
func (s *Sim) Heal(from, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.cut, direction{from, to})
	for _, id := range slices.Sorted(maps.Keys(s.streams)) {
		if stream, open := s.streams[id]; open && stream.from.name == from && stream.to.name == to {
			stream.deliver()
		}
	}
}

// Break resets all connections between two hosts, both ends, and tells how many there were.
func (s *Sim) Break(a, b string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resetWhere(func(from, to string) bool { return from == a && to == b || from == b && to == a })
}

func (s *Sim) resetWhere(matches func(from, to string) bool) int {
	count := 0
	for _, id := range slices.Sorted(maps.Keys(s.streams)) {
		if stream, open := s.streams[id]; open && matches(stream.from.name, stream.to.name) {
			stream.writer.reset()
			stream.reader.reset()
			count++
		}
	}
	return count
}

// SimHost is one host of a Sim.
type SimHost struct {
	sim       *Sim
	name      string
	ip        net.IP
	listeners map[int]*simListener
	lastPort  int
	refusing  bool
	clock     func() time.Time // what deadlines are measured against; nil is the network's own
}

// SetClock tells the network what the host's process takes for the time, where that is not the network's own: deadlines come in it.
func (h *SimHost) SetClock(now func() time.Time) {
	h.sim.mu.Lock()
	defer h.sim.mu.Unlock()
	h.clock = now
}

// Refuse has the host refuse all dials, or take them again.
func (h *SimHost) Refuse(refuse bool) {
	h.sim.mu.Lock()
	defer h.sim.mu.Unlock()
	h.refusing = refuse
}

// Down does what the kernel does when the host's process dies: its listeners close and its connections are reset.
func (h *SimHost) Down() {
	h.sim.mu.Lock()
	defer h.sim.mu.Unlock()
	for _, port := range slices.Sorted(maps.Keys(h.listeners)) {
		h.listeners[port].close()
	}
	h.sim.resetWhere(func(from, to string) bool { return from == h.name || to == h.name })
}

func (h *SimHost) isLocal(host string) bool {
	switch host {
	case "", "localhost", "127.0.0.1", "0.0.0.0", "::", "::1", h.name, h.ip.String():
		return true
	}
	return false
}

// Listen implements Network.
func (h *SimHost) Listen(address string) (Listener, error) {
	host, port, err := splitAddress(address)
	if err == nil && !h.isLocal(host) {
		err = syscall.EADDRNOTAVAIL
	}
	if err != nil {
		return nil, simError("listen", address, err)
	}
	h.sim.mu.Lock()
	defer h.sim.mu.Unlock()
	if port == 0 {
		h.lastPort++
		port = h.lastPort
	}
	if h.listeners[port] != nil {
		return nil, simError("listen", address, syscall.EADDRINUSE)
	}
	l := &simListener{host: h, port: port, signal: h.sim.newSignal()}
	h.listeners[port] = l
	return l, nil
}

func splitAddress(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("port %q is not a number from 0 to 65535", text)
	}
	return host, port, nil
}

func simError(op, address string, err error) error {
	return fmt.Errorf("%s %s: %w", op, address, err)
}

// Dial implements Network.
func (h *SimHost) Dial(address string, timeout time.Duration) (Conn, error) {
	conn, wait, err := h.dial(address)
	if err != nil && wait < 0 {
		wait = timeout // nobody answers
	}
	if wait > timeout {
		wait, err = timeout, os.ErrDeadlineExceeded
	}
	if wait > 0 {
		h.sim.newSignal().WaitFor(wait)
	}
	if err != nil {
		if conn != nil {
			conn.Close()
		}
		return nil, simError("dial", address, err)
	}
	return conn, nil
}

// dial connects at once and tells how long that should have taken; with an error, a negative wait means the whole timeout.
func (h *SimHost) dial(address string) (conn *simConn, wait time.Duration, err error) {
	host, port, err := splitAddress(address)
	if err != nil {
		return nil, 0, err
	}
	s := h.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	to := h
	if !h.isLocal(host) {
		if to = s.hosts[host]; to == nil {
			to = s.byIP[host]
		}
	}
	if to == nil {
		return nil, 0, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if s.cut[direction{h.name, to.name}] || s.cut[direction{to.name, h.name}] {
		return nil, -1, os.ErrDeadlineExceeded
	}
	wait = s.delay(h.name, to.name) + s.delay(to.name, h.name)
	l := to.listeners[port]
	if l == nil || to.refusing {
		return nil, wait, syscall.ECONNREFUSED
	}
	if len(l.backlog) >= simBacklog {
		return nil, -1, os.ErrDeadlineExceeded
	}
	h.lastPort++
	client, server := s.connect(h, h.lastPort, to, port)
	l.backlog = append(l.backlog, server)
	l.signal.Set()
	return client, wait, nil
}

// connect makes the two ends of a connection.
func (s *Sim) connect(from *SimHost, fromPort int, to *SimHost, toPort int) (client, server *simConn) {
	end := func(local *SimHost, localPort int, remote *SimHost, remotePort int) *simConn {
		return &simConn{sim: s, readSignal: s.newSignal(), writeSignal: s.newSignal(),
			local: &net.TCPAddr{IP: local.ip, Port: localPort}, remote: &net.TCPAddr{IP: remote.ip, Port: remotePort}}
	}
	client, server = end(from, fromPort, to, toPort), end(to, toPort, from, fromPort)
	there := &simStream{sim: s, from: from, to: to, writer: client, reader: server}
	back := &simStream{sim: s, from: to, to: from, writer: server, reader: client}
	for _, stream := range []*simStream{there, back} {
		s.lastID++
		stream.id = s.lastID
		s.streams[stream.id] = stream
	}
	client.out, client.in = there, back
	server.out, server.in = back, there
	return client, server
}

type simListener struct {
	host    *SimHost
	port    int
	signal  Signal
	backlog []*simConn
	closed  bool
}

func (l *simListener) Accept() (Conn, error) {
	for {
		l.host.sim.mu.Lock()
		if l.closed {
			l.host.sim.mu.Unlock()
			l.signal.Set() // for the next that waits
			return nil, simError("accept", l.Addr().String(), net.ErrClosed)
		}
		if len(l.backlog) > 0 {
			conn := l.backlog[0]
			l.backlog = l.backlog[1:]
			if len(l.backlog) > 0 {
				l.signal.Set()
			}
			l.host.sim.mu.Unlock()
			return conn, nil
		}
		l.host.sim.mu.Unlock()
		l.signal.Wait()
	}
}

func (l *simListener) Addr() net.Addr { return &net.TCPAddr{IP: l.host.ip, Port: l.port} }

func (l *simListener) Close() error {
	l.host.sim.mu.Lock()
	defer l.host.sim.mu.Unlock()
	if l.closed {
		return simError("close", l.Addr().String(), net.ErrClosed)
	}
	l.close()
	return nil
}

// close resets who waits to be accepted. The caller holds the lock.
func (l *simListener) close() {
	l.closed = true
	delete(l.host.listeners, l.port)
	for _, conn := range l.backlog {
		conn.out.reader.reset()
		conn.reset()
	}
	l.backlog = nil
	l.signal.Set()
}

// simStream is one direction of a connection; all its fields are guarded by the network's lock.
type simStream struct {
	sim            *Sim
	id             uint64
	from, to       *SimHost
	writer, reader *simConn

	arrived  []byte       // what the reader may read
	flying   []simSegment // on the way, in order
	inFlight int          // bytes of flying
	finished bool         // the writer's end has arrived: end of stream after what arrived
}

// simSegment is what one write put on the way; the last of a stream has no bytes.
type simSegment struct {
	due   time.Time
	bytes []byte
}

// send puts a segment on the way. One that is due before an earlier one waits for it: see deliver.
func (s *simStream) send(bytes []byte) {
	delay := s.sim.delay(s.from.name, s.to.name)
	s.flying = append(s.flying, simSegment{due: s.sim.now().Add(delay), bytes: bytes})
	s.inFlight += len(bytes)
	if delay <= 0 {
		s.deliver()
		return
	}
	s.sim.after(delay, func() {
		s.sim.mu.Lock()
		defer s.sim.mu.Unlock()
		s.deliver()
	})
}

// deliver lets arrive, in order, all that is due.
func (s *simStream) deliver() {
	if s.sim.cut[direction{s.from.name, s.to.name}] {
		return
	}
	now := s.sim.now()
	for len(s.flying) > 0 && !s.flying[0].due.After(now) {
		segment := s.flying[0]
		s.flying = s.flying[1:]
		s.inFlight -= len(segment.bytes)
		switch {
		case len(segment.bytes) == 0:
			s.finished = true
		case s.reader.closed:
			// Bytes for a socket that is gone: its kernel answers with a reset.
			s.writer.reset()
			return
		default:
			s.arrived = append(s.arrived, segment.bytes...)
		}
		s.reader.readSignal.Set()
	}
	if s.finished && s.reader.closed {
		s.forget()
	}
}

// forget takes the stream out of the network once nothing can happen to it any more.
func (s *simStream) forget() { delete(s.sim.streams, s.id) }

// simConn is one end of a connection.
type simConn struct {
	sim           *Sim
	local, remote net.Addr
	in, out       *simStream
	// One goroutine may wait on each.
	readSignal, writeSignal     Signal
	readDeadline, writeDeadline time.Time
	closed, broken              bool
}

// reset breaks this end: what was on its way in or out is lost. The caller holds the lock.
func (c *simConn) reset() {
	c.broken = true
	for _, stream := range []*simStream{c.in, c.out} {
		stream.flying, stream.inFlight = nil, 0
		stream.forget()
	}
	c.in.arrived = nil
	c.readSignal.Set()
	c.writeSignal.Set()
}

// wait releases the lock, waits on signal until the deadline and takes the lock again, also where the wait ends the goroutine (a killed
// process of a simulation): the callers' deferred calls release it.
func (c *simConn) wait(signal Signal, deadline time.Time) error {
	var left time.Duration
	if !deadline.IsZero() {
		if left = deadline.Sub(c.sim.now()); left <= 0 {
			return os.ErrDeadlineExceeded
		}
	}
	c.sim.mu.Unlock()
	defer c.sim.mu.Lock()
	if deadline.IsZero() {
		signal.Wait()
	} else {
		signal.WaitFor(left)
	}
	return nil
}

// state is the error of an end that can neither read nor write any more.
func (c *simConn) state() error {
	switch {
	case c.closed:
		return net.ErrClosed
	case c.broken:
		return syscall.ECONNRESET
	}
	return nil
}

func (c *simConn) describe(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return fmt.Errorf("%s %v->%v: %w", op, c.local, c.remote, err)
}

// awaitReadable returns with the lock held.
func (c *simConn) awaitReadable() error {
	for {
		if err := c.state(); err != nil {
			return err
		}
		if !c.readDeadline.IsZero() && !c.readDeadline.After(c.sim.now()) {
			return os.ErrDeadlineExceeded
		}
		if len(c.in.arrived) > 0 || c.in.finished {
			return nil
		}
		if err := c.wait(c.readSignal, c.readDeadline); err != nil {
			return err
		}
	}
}

func (c *simConn) Read(p []byte) (int, error) {
	c.sim.mu.Lock()
	defer c.sim.mu.Unlock()
	if err := c.awaitReadable(); err != nil {
		return 0, c.describe("read", err)
	}
	if len(c.in.arrived) == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	n := copy(p, c.in.arrived)
	c.in.arrived = c.in.arrived[n:]
	if len(c.in.arrived) == 0 {
		c.in.arrived = nil
	}
	c.in.writer.writeSignal.Set()
	return n, nil
}

func (c *simConn) Write(p []byte) (int, error) {
	c.sim.mu.Lock()
	defer c.sim.mu.Unlock()
	written := 0
	for written < len(p) {
		if err := c.state(); err != nil {
			return written, c.describe("write", err)
		}
		if !c.writeDeadline.IsZero() && !c.writeDeadline.After(c.sim.now()) {
			return written, c.describe("write", os.ErrDeadlineExceeded)
		}
		room := simWindowBytes - len(c.out.arrived) - c.out.inFlight
		if room <= 0 {
			if err := c.wait(c.writeSignal, c.writeDeadline); err != nil {
				return written, c.describe("write", err)
			}
			continue
		}
		n := min(room, len(p)-written)
		c.out.send(slices.Clone(p[written : written+n]))
		written += n
	}
	return written, c.describe("write", c.state())
}

func (c *simConn) WriteBuffers(buffers [][]byte) error {
	for _, buffer := range buffers {
		if _, err := c.Write(buffer); err != nil {
			return err
		}
	}
	return nil
}

func (c *simConn) SendFile(head []byte, source io.ReaderAt, offset, n int64) error {
	return copyFile(c, c.sim.pool, head, source, offset, n)
}

func (c *simConn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(&c.readDeadline, t, c.readSignal)
}

func (c *simConn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(&c.writeDeadline, t, c.writeSignal)
}

func (c *simConn) setDeadline(deadline *time.Time, t time.Time, signal Signal) error {
	c.sim.mu.Lock()
	defer c.sim.mu.Unlock()
	if c.closed {
		return c.describe("set deadline of", net.ErrClosed)
	}
	if clock := c.out.from.clock; clock != nil && !t.IsZero() {
		t = c.sim.now().Add(t.Sub(clock()))
	}
	*deadline = t
	signal.Set() // who waits looks at the new one
	return nil
}

func (c *simConn) LocalAddr() net.Addr  { return c.local }
func (c *simConn) RemoteAddr() net.Addr { return c.remote }

// Close ends the stream for the other side after what was written, or, where bytes lie unread, resets it, as TCP does.
func (c *simConn) Close() error {
	c.sim.mu.Lock()
	defer c.sim.mu.Unlock()
	if c.closed {
		return c.describe("close", net.ErrClosed)
	}
	unread := len(c.in.arrived) > 0 && !c.sim.cut[direction{c.out.from.name, c.out.to.name}]
	c.closed = true
	c.readSignal.Set()
	c.writeSignal.Set()
	switch {
	case c.broken:
	case unread:
		c.out.reader.reset()
	default:
		c.out.send(nil)
		if c.in.finished {
			c.in.forget()
		}
	}
	return nil
}
