package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/wire"
)

const (
	lengthBytes = 4
	// headerBytes is the least that a request header has: ApiKey, version, correlation id.
	headerBytes = 8
	// firstBytes is what a connection without a buffer can take: a heartbeat, a fetch, a commit. What is longer goes on in the buffer that is borrowed then.
	firstBytes = 256
)

// ending is why the reader stopped.
type ending struct {
	reason Reason
	cause  error
}

// read serves requests until the connection is over, or rests, which is nil.
func (c *connection) read() *ending {
	for {
		if c.muted.at.Load() != 0 {
			if end := c.pause(); end != nil {
				return end
			}
		}
		if c.input == nil || len(c.input.bytes) < readBytes {
			if rests, end := c.begin(); rests || end != nil {
				return end
			}
		} else if end := c.fill(); end != nil {
			return end
		}
		if end := c.handleBatch(); end != nil {
			return end
		}
	}
}

// begin reads at least one byte. Without a begun frame it waits without a buffer; with the beginning of a short one, with a small buffer.
// rests tells that the connection is to rest.
func (c *connection) begin() (rests bool, end *ending) {
	n, err := c.stream.Read(c.first[:])
	for n == 0 && err != nil && c.roused(err) {
		if c.input == nil && c.rest.CompareAndSwap(restAsked, resting) {
			return true, nil
		}
		n, err = c.stream.Read(c.first[:])
	}
	if end := c.arrived(n, len(c.first), err); end != nil {
		return false, end
	}
	if end := c.borrowInput(c.readSize()); end != nil {
		return false, end
	}
	c.end += copy(c.input.bytes[c.end:], c.first[:n])
	return false, nil
}

// readSize is what a read should ask for: more of a client that has sent frames of about that size before. Those of a client that has sent much
// larger ones are read straight into buffers of their own, where what was read ahead of them would have to be copied.
func (c *connection) readSize() int {
	if c.proven > readBytes && c.proven <= bulkReadBytes/2 {
		return bulkReadBytes
	}
	return readBytes
}

// fill reads at least one byte more.
func (c *connection) fill() *ending {
	room := c.input.bytes[c.end:]
	n, err := c.readInto(room)
	c.end += n
	return c.arrived(n, len(room), err)
}

// arrived accounts for a read.
func (c *connection) arrived(n, room int, err error) *ending {
	c.readBy.clear() // from here on it is us who take time
	if err != nil {
		return c.readFailed(err)
	}
	c.drained = n < room
	if c.rest.Load() != awake {
		c.rest.Store(awake)
	}
	c.received = c.server.env.Monotonic()
	c.clock = c.received
	c.server.stats.bytesIn.Add(uint64(n))
	return nil
}

// borrowInput exchanges the input buffer, if there is one, for one of at least size bytes, with the same content.
func (c *connection) borrowInput(size int) *ending {
	pool := &c.server.buffers
	fresh := pool.borrow(c, size)
	if fresh == nil {
		return &ending{ServerClosed, nil} // whoever closed it has said why
	}
	if c.input == nil {
		c.start, c.end = 0, 0
	} else {
		c.end = copy(fresh.bytes, c.input.bytes[c.start:c.end])
		c.start = 0
		pool.giveBack(c, c.input)
	}
	c.input = fresh
	return nil
}

// readInto is Read, which being roused does not end.
func (c *connection) readInto(buf []byte) (int, error) {
	for {
		n, err := c.stream.Read(buf)
		if n > 0 || err == nil || !c.roused(err) {
			return n, err
		}
	}
}

func (c *connection) readFailed(err error) *ending {
	if errors.Is(err, os.ErrDeadlineExceeded) && c.server.draining.Load() {
		return &ending{ServerClosed, nil}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return &ending{PeerClosed, err}
}

// handleBatch handles all complete requests of the input, sends what is ready, and arranges the rest.
func (c *connection) handleBatch() *ending {
	c.mu.Lock()
	c.inBatch = true
	c.mu.Unlock()
	handled := 0
	for {
		total, entry, end := c.nextFrame()
		if end != nil {
			return end
		}
		if total == 0 || c.end-c.start < total {
			c.flush()
			if total > len(c.input.bytes) {
				return c.readLarge(total)
			}
			return c.settle(handled > 0)
		}
		if c.muted.at.Load() != 0 {
			c.flush()
			if end := c.pause(); end != nil {
				return end
			}
			c.mu.Lock()
			c.inBatch = true
			c.mu.Unlock()
		}
		frame := c.input.bytes[c.start+lengthBytes : c.start+total]
		c.start += total
		handled++
		if end := c.handle(frame, entry); end != nil {
			return end
		}
	}
}

// nextFrame checks the beginning of the frame at start, as far as it is there. total is its size with its length field,
// 0 while too little is there to judge it.
func (c *connection) nextFrame() (total int, entry *api.Entry, end *ending) {
	rest := c.input.bytes[c.start:c.end]
	if len(rest) < lengthBytes {
		return 0, nil, nil
	}
	size := int(int32(binary.BigEndian.Uint32(rest)))
	most := c.server.limits.RequestMaxBytes
	if !c.greeted.Load() {
		most = min(most, c.server.limits.FirstRequestMaxBytes)
	}
	if size < headerBytes || size > most {
		return 0, nil, &ending{BadFrame, fmt.Errorf("frame of %d bytes, allowed are %d to %d", size, headerBytes, most)}
	}
	if len(rest) < lengthBytes+headerBytes {
		return 0, nil, nil
	}
	key := int16(binary.BigEndian.Uint16(rest[lengthBytes:]))
	version := int16(binary.BigEndian.Uint16(rest[lengthBytes+2:]))
	entry, ok := c.server.table.Lookup(key)
	if !ok {
		return 0, nil, &ending{UnknownAPI, fmt.Errorf("ApiKey %d is not served", key)}
	}
	if !served(entry, version) && key != wire.ApiVersionsKey {
		return 0, nil, &ending{UnknownAPI, fmt.Errorf("%s version %d is not served, only %d to %d", wire.APIName(key), version, entry.Min, entry.Max)}
	}
	if entry.BodyMax > 0 && size > int(entry.BodyMax) {
		return 0, nil, &ending{BadFrame, fmt.Errorf("%s of %d bytes, allowed are %d", wire.APIName(key), size, entry.BodyMax)}
	}
	return lengthBytes + size, entry, nil
}

func served(entry *api.Entry, version int16) bool {
	return entry.Min <= version && version <= entry.Max
}

// settle arranges what is left of the input when the next frame is not complete. begun tells that it is a frame whose
// time starts now.
func (c *connection) settle(begun bool) *ending {
	limits := &c.server.limits
	left := c.end - c.start
	c.fifoIdle()
	if left == 0 {
		c.server.buffers.giveBack(c, c.input)
		c.input, c.start, c.end = nil, 0, 0
		c.inFrame.Store(false)
		c.readBy.set(c.received + limits.IdleTime)
		return nil
	}
	if begun || !c.inFrame.Load() {
		c.inFrame.Store(true)
		c.frameDue = c.received + limits.FrameTime
		if len(c.input.bytes) > readBytes { // readLarge would give as much
			c.frameDue += limits.FrameTime
		}
	}
	if c.drained && left <= stashBytes {
		if end := c.borrowInput(stashBytes); end != nil {
			return end
		}
	} else {
		copy(c.input.bytes, c.input.bytes[c.start:c.end])
		c.start, c.end = 0, left
	}
	c.readBy.set(c.due())
	return nil
}

// due is until when the frame that has begun must make progress.
func (c *connection) due() time.Duration {
	if !c.greeted.Load() {
		return c.began + c.server.limits.FirstRequestTime
	}
	return c.frameDue
}

// fifoIdle gives up memory that only a busy connection needs.
func (c *connection) fifoIdle() {
	c.mu.Lock()
	c.fifo.shrink()
	c.mu.Unlock()
}

// readLarge reads the rest of a frame that does not fit a read buffer, straight into its own buffer, and handles it. The
// buffer grows as the frame arrives, except up to a size that this client has filled before.
func (c *connection) readLarge(total int) *ending {
	limits := &c.server.limits
	c.inFrame.Store(true)
	c.frameDue = c.received + limits.FrameTime
	progress := c.end - c.start
	if end := c.borrowInput(min(total, max(c.proven, growthFactor*progress))); end != nil {
		return end
	}
	for c.end < total {
		if c.end == len(c.input.bytes) {
			if end := c.borrowInput(min(total, growthFactor*c.end)); end != nil {
				return end
			}
		}
		c.readBy.set(c.due())
		n, err := c.readInto(c.input.bytes[c.end:min(total, len(c.input.bytes))])
		c.readBy.clear()
		if err != nil {
			return c.readFailed(err)
		}
		c.end += n
		c.received = c.server.env.Monotonic()
		c.clock = c.received
		c.server.stats.bytesIn.Add(uint64(n))
		if c.end-progress >= frameProgressBytes {
			progress = c.end
			c.frameDue = c.received + limits.FrameTime
		}
	}
	c.proven = max(c.proven, total)
	c.drained = false
	return c.handleBatch()
}

// handle runs the handler of one request.
func (c *connection) handle(frame []byte, entry *api.Entry) *ending {
	if c.full {
		c.waitForRoom()
		c.clock = c.server.env.Monotonic()
	}
	pools := &c.server.pools
	s := pools.slot(c)
	r := &s.request
	if err := c.decodeHeader(r, frame, entry); err != nil {
		pools.recycle(s)
		return &ending{BadFrame, err}
	}
	if !c.greeted.Load() {
		c.greeted.Store(true)
	}
	r.Received = c.received
	s.size = lengthBytes + len(frame)
	r.SizeBytes = len(frame)
	s.stats = c.server.stats.of(r.Key)
	s.stats.request(s.size)
	pools.startReply(s)
	if all := c.server.tracing.Load(); all != nil {
		s.beginTrace(*all)
	}
	s.started = c.clock
	outcome := c.run(s, entry)
	c.clock = c.server.env.Monotonic()
	s.handled = c.clock
	c.muteFor(s)
	switch outcome {
	case api.Replied, api.Parked:
		c.push(s, outcome)
		return nil
	case api.Silent:
		path := s.path(c.clock, c.clock)
		s.stats.silent(path)
		if r.Trace != nil {
			s.endTrace(EndedSilently, path)
		}
		pools.recycle(s)
		return nil
	default:
		if r.Trace != nil {
			s.endTrace(EndedByHangup, s.tracePath())
		}
		end := &ending{hangupReason(r.Err), fmt.Errorf("%s version %d: %w", wire.APIName(r.Key), r.Version, hangupCause(r.Err))}
		pools.recycle(s)
		return end
	}
}

// run calls the handler and turns a panic that is the request's alone into the end of its connection. See the package's doc.
func (c *connection) run(s *slot, entry *api.Entry) (outcome api.Outcome) {
	defer func() {
		if cause := recover(); cause != nil {
			outcome = c.panicked(s, cause)
		}
	}()
	return entry.Handle(&s.request)
}

// panicked decides on a panic of a handler or a Finish, within whose deferred call it runs.
func (c *connection) panicked(s *slot, cause any) api.Outcome {
	if s.request.Acting {
		panic(cause)
	}
	stack := "its stack was reported before"
	if c.server.stackTold.CompareAndSwap(false, true) {
		stack = string(debug.Stack())
	}
	s.abandoned = true // who was given the request may still hold it
	s.request.Err = &panicError{cause, stack}
	return api.Hangup
}

// panicError is a panic that ended a connection instead of the process.
type panicError struct {
	cause any
	stack string
}

func (e *panicError) Error() string {
	return fmt.Sprintf("a bug of this broker, please report it: panic: %v\n%s", e.cause, e.stack)
}

func hangupReason(err error) Reason {
	var bug *panicError
	if errors.As(err, &bug) {
		return HandlerPanicked
	}
	return HandlerHangup
}

func hangupCause(err error) error {
	if err == nil {
		return errors.New("no cause given")
	}
	return err
}

// decodeHeader fills r from the frame. Of an ApiVersions request of a version that nobody knows, only the beginning of
// the header can be trusted to mean anything (KIP-35): the handler gets no body then.
func (c *connection) decodeHeader(r *api.Request, frame []byte, entry *api.Entry) error {
	r.Key = int16(binary.BigEndian.Uint16(frame))
	r.Version = int16(binary.BigEndian.Uint16(frame[2:]))
	r.CorrelationID = int32(binary.BigEndian.Uint32(frame[4:]))
	c.decoder.Reset(frame)
	err := c.header.Decode(&c.decoder, wire.RequestHeaderVersion(r.Key, r.Version))
	if err != nil && served(entry, r.Version) {
		return fmt.Errorf("%s version %d: %w", wire.APIName(r.Key), r.Version, err)
	}
	if err == nil {
		r.ClientID = c.header.ClientId.Value
		r.Body = c.decoder.Rest()
	}
	return nil
}
