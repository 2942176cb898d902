package server

import (
	"sync"
	"time"

	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/wire"
)

const (
	fifoMin = 8
	// fifoKeep is how many slot pointers an idle connection keeps.
	fifoKeep = 16
	// replyBufferKeep is the capacity up to which a reply's buffer is reused.
	replyBufferKeep = 128 << 10
)

// fifo is a ring of the slots whose replies have not left, oldest first. The connection bounds it.
type fifo struct {
	ring  []*slot // a power of two
	first int
	count int
}

func (f *fifo) push(s *slot) {
	if f.count == len(f.ring) {
		grown := make([]*slot, max(fifoMin, 2*len(f.ring)))
		for i := range f.count {
			grown[i] = f.ring[(f.first+i)&(len(f.ring)-1)]
		}
		f.ring, f.first = grown, 0
	}
	f.ring[(f.first+f.count)&(len(f.ring)-1)] = s
	f.count++
}

func (f *fifo) head() *slot {
	if f.count == 0 {
		return nil
	}
	return f.ring[f.first]
}

func (f *fifo) pop() *slot {
	s := f.ring[f.first]
	f.ring[f.first] = nil
	f.first = (f.first + 1) & (len(f.ring) - 1)
	f.count--
	return s
}

// shrink gives up a large ring that is empty.
func (f *fifo) shrink() {
	if f.count == 0 && len(f.ring) > fifoKeep {
		f.ring, f.first = nil, 0
	}
}

// slot is one request on its way through the connection. It is reused, unless its connection ended while it was parked:
// then a late Wake may still come.
type slot struct {
	request api.Request
	encoder wire.Encoder
	reply   *replyBuffer // where encoder.Buf comes from, nil while it has none
	conn    *connection
	stats   *apiCounters
	header  int  // bytes of the response header in encoder.Buf, the length field included
	size    int  // bytes of the request frame, the length field included
	sent    int  // bytes of the reply
	waited  bool // the request was parked
	// Monotonic times of the request's way: the handler was called, and returned; the reply was ready, which for a parked one is when it
	// was woken (under conn.mu).
	started, handled, readied time.Duration
	traced                    *Traced // nil unless somebody traces it
	// abandoned: its handler panicked, so that nobody knows who still holds the request.
	abandoned bool
	waker     func(*api.Request)

	// Under conn.mu.
	ready bool // the reply is encoded
	woken bool // parked, and Finish may run
}

// replyBuffer is what encoders write into. A parked request holds none.
type replyBuffer struct{ bytes []byte }

// pools keeps what every connection needs now and then. What they hold is small, so the collector may have it.
type pools struct {
	slots   sync.Pool
	replies sync.Pool
	writers sync.Pool
}

func (p *pools) slot(c *connection) *slot {
	s, _ := p.slots.Get().(*slot)
	if s == nil {
		s = &slot{}
		s.waker = s.wake
	}
	s.conn = c
	s.request.Conn = &c.public
	s.request.Reply = &s.encoder
	s.request.Waker = s.waker
	return s
}

// recycle releases the regions of a slot that nobody can wake any more, and keeps the slot for later.
func (p *pools) recycle(s *slot) {
	s.releaseRegions()
	if s.abandoned {
		return
	}
	p.takeReplyBuffer(s)
	s.request = api.Request{}
	s.sent, s.traced = 0, nil
	s.conn, s.stats, s.waited, s.ready, s.woken, s.readied = nil, nil, false, false, false, 0
	p.slots.Put(s)
}

func (p *pools) takeReplyBuffer(s *slot) {
	buf := s.encoder.Buf
	s.encoder.Reset()
	s.encoder.Buf = nil
	reply := s.reply
	s.reply = nil
	if reply == nil {
		return
	}
	if cap(buf) <= replyBufferKeep {
		reply.bytes = buf[:0]
		p.replies.Put(reply)
	}
}

// startReply gives the encoder a buffer and writes the response header: the length, which is not known yet, the
// correlation id, and from header version 1 on an empty set of tagged fields.
func (p *pools) startReply(s *slot) {
	s.reply, _ = p.replies.Get().(*replyBuffer)
	if s.reply == nil {
		s.reply = &replyBuffer{bytes: make([]byte, 0, 512)}
	}
	id := uint32(s.request.CorrelationID)
	buf := append(s.reply.bytes[:0], 0, 0, 0, 0, byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
	if wire.ResponseHeaderVersion(s.request.Key, s.request.Version) >= 1 {
		buf = append(buf, 0)
	}
	s.encoder.Buf = buf
	s.header = len(buf)
}

func (s *slot) releaseRegions() {
	for i := range s.encoder.Splices {
		if region, ok := s.encoder.Splices[i].Region.(api.FileRegion); ok {
			region.Release()
		}
	}
	clear(s.encoder.Splices)
	s.encoder.Splices = s.encoder.Splices[:0]
}

// wake is the request's Waker.
func (s *slot) wake(*api.Request) {
	c := s.conn
	now := c.server.env.Monotonic()
	c.mu.Lock()
	if s.woken {
		c.mu.Unlock()
		panic("server: a request was woken twice")
	}
	s.woken, s.readied = true, now
	// While a batch runs, the reader flushes at its end; while somebody writes, he looks again before he stops.
	start := !c.closed && !c.writing && !c.inBatch && c.fifo.head() == s
	if start {
		c.writing = true
	}
	c.mu.Unlock()
	if start {
		c.server.writers.write(c)
	}
}

// push puts a request that was handled at the end of the FIFO.
func (c *connection) push(s *slot, outcome api.Outcome) {
	pools := &c.server.pools
	s.ready = outcome == api.Replied
	s.request.Body = nil
	bytes := 0
	if s.ready {
		bytes = len(s.encoder.Buf)
		c.server.buffers.charge(int64(bytes))
	} else {
		s.waited = true
		s.stats.waiting.Add(1)
		if len(s.encoder.Buf) == s.header && len(s.encoder.Splices) == 0 {
			pools.takeReplyBuffer(s)
		}
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		c.drop(s)
		return
	}
	c.fifo.push(s)
	c.inFlight++
	c.replyBytes += bytes
	c.full = c.isFull()
	c.mu.Unlock()
}

func (c *connection) isFull() bool {
	return c.inFlight >= c.server.limits.RequestsInFlight || c.replyBytes >= c.server.limits.ReplyBytesPerConnection
}

// drop ends a request whose reply nobody will read.
func (c *connection) drop(s *slot) {
	if s.request.Trace != nil {
		s.endTrace(EndedWithConnection, s.tracePath())
	}
	if s.ready {
		c.server.buffers.charge(-int64(len(s.encoder.Buf)))
		c.server.pools.recycle(s)
		return
	}
	s.releaseRegions()
	s.stats.waiting.Add(-1)
	s.request.Pending.Cancel()
}

// abandon drops what is left in the FIFO of a closed connection.
func (c *connection) abandon() {
	for {
		c.mu.Lock()
		if c.fifo.count == 0 {
			c.mu.Unlock()
			return
		}
		s := c.fifo.pop()
		c.inFlight--
		c.mu.Unlock()
		c.drop(s)
	}
}

// waitForRoom sends what is ready and waits until the FIFO has room for another request, or the connection is closed.
func (c *connection) waitForRoom() {
	signal := c.signal()
	for {
		c.flush()
		c.mu.Lock()
		if c.closed || !c.isFull() {
			c.inBatch, c.full = true, false
			c.mu.Unlock()
			return
		}
		c.readerWaits = true
		c.mu.Unlock()
		signal.Wait()
	}
}

// finishReplies sends the replies of all requests in the FIFO, waiting for those that are parked.
func (c *connection) finishReplies() {
	signal := c.signal()
	for {
		c.flush()
		c.mu.Lock()
		if c.closed || (c.inFlight == 0 && !c.writing) {
			c.mu.Unlock()
			return
		}
		c.readerWaits = true
		c.mu.Unlock()
		signal.Wait()
	}
}

// finish encodes the reply of a parked request that was woken. It runs without the lock, by the owner of the write side.
func (c *connection) finish(s *slot) api.Outcome {
	if s.reply == nil {
		c.server.pools.startReply(s)
	}
	s.stats.waiting.Add(-1)
	outcome := c.runFinish(s)
	c.muteFor(s)
	s.request.Pending = nil
	if outcome == api.Parked {
		panic("server: a request was parked by its Finish")
	}
	return outcome
}

// runFinish is run for the second half of a request.
func (c *connection) runFinish(s *slot) (outcome api.Outcome) {
	defer func() {
		if cause := recover(); cause != nil {
			outcome = c.panicked(s, cause)
		}
	}()
	return s.request.Finish()
}

// path is what a reply that was taken for sending at collected, and left at now, spent its time with. Its parts add up to the whole.
func (s *slot) path(collected, now time.Duration) Path {
	ready := max(s.readied, s.handled) // one that was woken before it was parked did not wait
	taken := max(collected, ready)     // and one may wake while those before it are being taken
	return Path{s.started - s.request.Received, s.handled - s.started, ready - s.handled, taken - ready, now - taken}
}

// observe adds a reply that left at now to the statistics.
func (s *slot) observe(collected, now time.Duration) {
	path := s.path(collected, now)
	s.stats.reply(s, path)
	if s.request.Trace != nil {
		s.endTrace(EndedByReply, path)
	}
}
