package server

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
	"github.com/ottla-io/ottla/internal/wire"
)

// lingerTime is how long a client may take to close after it was told that nothing more comes.
const lingerTime = time.Second

// deadline is a moment of Env.Monotonic that the watchdog looks at; 0 is none.
type deadline struct{ at atomic.Int64 }

func (d *deadline) set(at time.Duration) { d.at.Store(int64(at)) }
func (d *deadline) clear()               { d.at.Store(0) }
func (d *deadline) passed(now time.Duration) bool {
	at := d.at.Load()
	return at != 0 && int64(now) > at
}

// connection is one client. What is not marked otherwise belongs to its reader.
type connection struct {
	server *Server
	stream transport.Conn
	public api.Conn

	header  wire.RequestHeader
	decoder wire.Decoder

	first    [firstBytes]byte // where a read goes while there is no input to read into
	input    *buffer          // nil while idle
	start    int              // input.bytes[start:end] is read and not handled
	end      int              //
	drained  bool             // the last read found less than there was room for
	received time.Duration    // Monotonic after the last read
	clock    time.Duration    // Monotonic when the reader last looked: a handler returned, or the last read
	proven   int              // bytes of the largest frame that came whole: what the next one may borrow at once
	full     bool             // the FIFO has no room for another request
	began    time.Duration    // Monotonic when the connection was accepted
	frameDue time.Duration    // until when the begun frame must make progress

	// Under buffers.mu.
	lent    int64 // bytes that buffers has lent
	wants   int64 // bytes that the connection waits for
	granted bool  // they are charged

	// What the watchdog reads, written by the reader and, writeBy, by the writer.
	readBy  deadline
	writeBy deadline
	inFrame atomic.Bool  // readBy is about a begun frame, not about idleness
	greeted atomic.Bool  // the first request was complete
	muted   deadline     // until when the client is not listened to: see mute.go
	rest    atomic.Int32 // see rest.go; it rests, or is about to

	nextWaiting *connection // for a writer; guarded by writers.mu

	mu          sync.Mutex
	fifo        fifo
	inFlight    int     // slots in the FIFO or being written
	replyBytes  int     // of the ready replies among them
	inBatch     bool    // the reader handles requests and will flush when it is through
	writing     bool    // somebody owns the write side
	readerWaits bool    // for room or for the last replies; whoever makes some sets wake
	closed      bool    // the stream is closed; nothing leaves any more
	lingering   *ending // why it ends, once it only waits for the client to close
	wake        run.Signal
	reason      Reason
	cause       error
}

func newConnection(s *Server, id uint64, listener string, stream transport.Conn) *connection {
	c := &connection{server: s, stream: stream, began: s.env.Monotonic()}
	c.public = api.Conn{ID: id, Listener: listener, SoftwareName: "unknown", SoftwareVersion: "unknown"}
	c.public.LocalHost, c.public.LocalPort = splitAddress(stream.LocalAddr().String())
	c.public.RemoteHost, c.public.RemotePort = splitAddress(stream.RemoteAddr().String())
	c.decoder.Strings = &c.public.Strings
	c.readBy.set(c.began + s.limits.FirstRequestTime)
	return c
}

// serve is the reader's goroutine: the connection's whole life.
func (c *connection) serve() {
	ending := c.read()
	if ending == nil {
		c.forget()
		if c.server.group.Go("server connection", c.serve) {
			return
		}
		ending = &endedByServer
	}
	if ending.reason != PeerClosed {
		// The replies to what came before leave first, as they would if the client had waited for them.
		c.finishReplies()
		c.linger(*ending)
	}
	c.close(ending.reason, ending.cause)
	if c.input != nil {
		c.server.buffers.giveBack(c, c.input)
		c.input = nil
	}
	c.abandon()
	c.server.remove(c)
	c.server.report(Closed{
		ID: c.public.ID, Listener: c.public.Listener, RemoteHost: c.public.RemoteHost,
		SoftwareName: c.public.SoftwareName, SoftwareVersion: c.public.SoftwareVersion,
		Reason: c.reason, Err: c.cause,
	})
}

// linger tells the client that nothing more will come, and reads on for a while without looking, until it closes too.
// A socket that closes with unread bytes resets the connection, and the reset may overtake the last replies.
func (c *connection) linger(end ending) {
	half, ok := c.stream.(interface{ CloseWrite() error })
	if !ok || c.isClosed() || half.CloseWrite() != nil || c.stream.SetReadDeadline(time.Time{}) != nil {
		return
	}
	c.mu.Lock()
	c.lingering = &end
	c.mu.Unlock()
	c.readBy.set(c.server.env.Monotonic() + lingerTime)
	void := c.server.buffers.scratch()
	defer c.server.buffers.giveBack(nil, void)
	for {
		if _, err := c.readInto(void.bytes); err != nil {
			return
		}
	}
}

// close closes the stream, which makes the reader and the writer return; the first reason stays.
func (c *connection) close(reason Reason, cause error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	if c.lingering != nil {
		reason, cause = c.lingering.reason, c.lingering.cause
	}
	c.reason, c.cause = reason, cause
	c.mu.Unlock()
	c.stream.Close()
	c.wakeReader()
}

// endOverdue ends the connection unless it is found to be alive after all.
func (c *connection) endOverdue(now time.Duration) {
	limits := &c.server.limits
	due := c.readBy.at.Load()
	switch {
	case c.writeBy.passed(now):
		c.close(ReaderStalled, fmt.Errorf("the client read nothing for %v", limits.StallTime))
	case !c.readBy.passed(now): // it has just moved on
	case c.isLingering():
		c.close(PeerClosed, nil) // the reason is known
	case !c.greeted.Load():
		c.close(FirstRequestTooSlow, fmt.Errorf("no complete request within %v", limits.FirstRequestTime))
	case c.inFrame.Load():
		c.close(FrameTooSlow, fmt.Errorf("less than %d bytes of a frame within %v", frameProgressBytes, limits.FrameTime))
	default:
		c.mu.Lock()
		busy := c.inFlight > 0
		c.mu.Unlock()
		if busy {
			c.readBy.at.CompareAndSwap(due, int64(now+limits.IdleTime))
			return
		}
		c.close(IdleTooLong, fmt.Errorf("no request for %v", limits.IdleTime))
	}
}

// stopReading makes the reader return when it next waits for the client. Nothing else sets a read deadline.
func (c *connection) stopReading() {
	// Any moment that has passed will do; an error means that the stream is closed already.
	_ = c.stream.SetReadDeadline(time.Unix(1, 0))
	c.wakeReader() // a mute client is listened to once more
}

// wakeReader ends the reader's wait for room, memory, or the last replies, if it waits.
func (c *connection) wakeReader() {
	c.mu.Lock()
	wake := c.wake
	c.mu.Unlock()
	if wake != nil {
		wake.Set()
	}
}

// signal is where the reader waits. Most connections never need one.
func (c *connection) signal() run.Signal {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wake == nil {
		c.wake = c.server.env.NewSignal()
	}
	return c.wake
}

func (c *connection) isLingering() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lingering != nil
}

func (c *connection) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}
