package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/ottla-io/ottla/internal/api"
)

const (
	// smallRegionBytes is up to which size a region is read into memory and leaves with its neighbours in one vectored
	// write; larger ones go by SendFile. See BenchmarkRegion.
	smallRegionBytes = 64 << 10
	// writeBatchBytes is about how much is gathered for one vectored write.
	writeBatchBytes = 256 << 10
	// writeBatchPieces is within the kernel's bound of 1,024 pieces.
	writeBatchPieces = 512
	// sendChunkBytes is one SendFile: what a client must read within StallTime.
	sendChunkBytes = 4 << 20
)

// replyWriter is what the owner of a connection's write side works with.
type replyWriter struct {
	slots     []*slot // replies collected, in order
	bytes     int     // of their encoders
	hangup    error   // a Finish ended the connection after the slots collected
	vector    [][]byte
	pending   int       // bytes in vector
	scratch   []*buffer // where small regions were read to
	filled    int       // bytes used of the last scratch
	collected time.Duration
}

// flush ends the reader's batch: it sends what is ready, unless somebody else is at it.
func (c *connection) flush() {
	c.server.table.EndOfRead(&c.public)
	c.mu.Lock()
	c.inBatch = false
	head := c.fifo.head()
	if c.writing || c.closed || head == nil || !(head.ready || head.woken) {
		c.mu.Unlock()
		return
	}
	c.writing = true
	c.mu.Unlock()
	c.writeReady()
}

// writeReady owns the write side until nothing is ready any more.
func (c *connection) writeReady() {
	w, _ := c.server.pools.writers.Get().(*replyWriter)
	if w == nil {
		w = &replyWriter{}
	}
	for c.collect(w) {
		err := c.send(w)
		hangup := w.hangup
		c.sent(w, err == nil)
		switch {
		case err != nil:
			c.close(sendReason(err), err)
		case hangup != nil:
			c.close(hangupReason(hangup), hangup)
		}
	}
	c.server.pools.writers.Put(w)
}

// collect takes the ready prefix off the FIFO, finishing parked requests that were woken. If there is none, it gives the
// write side up.
func (c *connection) collect(w *replyWriter) bool {
	w.collected = c.server.env.Monotonic()
	c.mu.Lock()
	for !c.closed && w.hangup == nil && w.bytes < writeBatchBytes && len(w.slots) < writeBatchPieces {
		s := c.fifo.head()
		if s == nil || !(s.ready || s.woken) {
			break
		}
		c.fifo.pop()
		if !s.ready {
			c.mu.Unlock()
			outcome := c.finish(s)
			c.take(w, s, outcome)
			c.mu.Lock()
			continue
		}
		w.bytes += len(s.encoder.Buf)
		w.slots = append(w.slots, s)
	}
	if len(w.slots) > 0 || w.hangup != nil {
		c.mu.Unlock()
		return true
	}
	c.writing = false
	c.unlockAndWakeReader()
	return false
}

// take adds what Finish made of a request to what is collected.
func (c *connection) take(w *replyWriter, s *slot, outcome api.Outcome) {
	switch outcome {
	case api.Replied:
		n := len(s.encoder.Buf)
		c.server.buffers.charge(int64(n))
		w.bytes += n
		w.slots = append(w.slots, s)
		c.mu.Lock()
		c.replyBytes += n
		c.mu.Unlock()
		return
	case api.Hangup:
		if s.request.Trace != nil {
			s.endTrace(EndedByHangup, s.tracePath())
		}
		w.hangup = hangupCause(s.request.Err)
	}
	c.server.pools.recycle(s)
	c.mu.Lock()
	c.inFlight--
	c.mu.Unlock()
}

// unlockAndWakeReader ends a change that the reader may wait for.
func (c *connection) unlockAndWakeReader() {
	wake := c.wake
	if !c.readerWaits {
		wake = nil
	}
	c.readerWaits = false
	c.mu.Unlock()
	if wake != nil {
		wake.Set()
	}
}

// sent accounts for the collected replies, whether or not they left, and lets go of them.
func (c *connection) sent(w *replyWriter, left bool) {
	c.writeBy.clear()
	now := c.server.env.Monotonic()
	for i, s := range w.slots {
		if left {
			s.observe(w.collected, now)
		} else if s.request.Trace != nil {
			s.endTrace(EndedWithConnection, s.path(w.collected, now))
		}
		c.server.pools.recycle(s)
		w.slots[i] = nil
	}
	count, bytes := len(w.slots), w.bytes
	w.slots, w.bytes, w.hangup = w.slots[:0], 0, nil
	w.reset(c)
	c.server.buffers.charge(-int64(bytes))
	c.mu.Lock()
	c.inFlight -= count
	c.replyBytes -= bytes
	c.unlockAndWakeReader()
}

// errReply marks errors that are not the client's.
var errReply = errors.New("reply failed")

func sendReason(err error) Reason {
	if errors.Is(err, errReply) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ReplyFailed
	}
	return PeerClosed
}

// send writes the collected replies.
func (c *connection) send(w *replyWriter) error {
	for _, s := range w.slots {
		if err := w.add(c, s); err != nil {
			return err
		}
	}
	return w.flush(c)
}

// add appends one reply to the vector, or sends it as far as it is too large for that.
func (w *replyWriter) add(c *connection, s *slot) error {
	e := &s.encoder
	s.sent = e.Size()
	if s.sent-lengthBytes > math.MaxInt32 {
		return fmt.Errorf("%w: %d bytes are more than a frame can have", errReply, s.sent)
	}
	binary.BigEndian.PutUint32(e.Buf, uint32(s.sent-lengthBytes))
	from := 0
	for i := range e.Splices {
		splice := &e.Splices[i]
		w.append(e.Buf[from:splice.At])
		from = splice.At
		region, ok := splice.Region.(api.FileRegion)
		if !ok {
			return fmt.Errorf("%w: a region of type %T has no source", errReply, splice.Region)
		}
		if err := w.addRegion(c, region); err != nil {
			return err
		}
	}
	w.append(e.Buf[from:])
	if len(w.vector) >= writeBatchPieces {
		return w.flush(c)
	}
	return nil
}

func (w *replyWriter) append(piece []byte) {
	if len(piece) > 0 {
		w.vector = append(w.vector, piece)
		w.pending += len(piece)
	}
}

func (w *replyWriter) addRegion(c *connection, region api.FileRegion) error {
	n := region.Size()
	if n == 0 {
		return nil
	}
	source, offset := region.Source()
	if n > smallRegionBytes {
		return w.sendRegion(c, source, offset, n)
	}
	if w.pending+n > writeBatchBytes || len(w.vector)+2 >= writeBatchPieces {
		if err := w.flush(c); err != nil {
			return err
		}
	}
	if len(w.scratch) == 0 || w.filled+n > readBytes {
		w.scratch = append(w.scratch, c.server.buffers.scratch())
		w.filled = 0
	}
	into := w.scratch[len(w.scratch)-1].bytes[w.filled : w.filled+n]
	if got, err := source.ReadAt(into, offset); got < n {
		return fmt.Errorf("%w: %d of %d bytes at offset %d: %w", errReply, got, n, offset, shortRead(err))
	}
	w.filled += n
	w.append(into)
	return nil
}

func shortRead(err error) error {
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// sendRegion sends the vector and then the region; the last piece of the vector shares a segment with its beginning.
func (w *replyWriter) sendRegion(c *connection, source io.ReaderAt, offset int64, n int) error {
	var head []byte
	if last := len(w.vector) - 1; last >= 0 {
		head = w.vector[last]
		if last > 0 {
			w.vector = w.vector[:last]
			w.pending -= len(head)
			if err := w.write(c); err != nil {
				return err
			}
		}
	}
	for left := int64(n); left > 0; {
		chunk := min(left, sendChunkBytes)
		c.writeBy.set(c.server.env.Monotonic() + c.server.limits.StallTime)
		if err := c.stream.SendFile(head, source, offset, chunk); err != nil {
			return fmt.Errorf("send %d bytes from offset %d: %w", chunk, offset, err)
		}
		c.server.stats.bytesOut.Add(uint64(len(head)) + uint64(chunk))
		head = nil
		offset += chunk
		left -= chunk
	}
	w.reset(c)
	return nil
}

// flush writes the vector and gives the scratch buffers back.
func (w *replyWriter) flush(c *connection) error {
	if len(w.vector) == 0 {
		return nil
	}
	err := w.write(c)
	w.reset(c)
	return err
}

func (w *replyWriter) write(c *connection) error {
	c.writeBy.set(w.collected + c.server.limits.StallTime)
	n := w.pending
	var err error
	if len(w.vector) == 1 {
		_, err = c.stream.Write(w.vector[0])
	} else {
		err = c.stream.WriteBuffers(w.vector)
	}
	if err == nil {
		c.server.stats.bytesOut.Add(uint64(n))
	}
	return err
}

func (w *replyWriter) reset(c *connection) {
	clear(w.vector)
	w.vector, w.pending = w.vector[:0], 0
	for i, lent := range w.scratch {
		c.server.buffers.giveBack(nil, lent)
		w.scratch[i] = nil
	}
	w.scratch, w.filled = w.scratch[:0], 0
}
