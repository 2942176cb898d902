package server

import (
	"time"
)

// muteFor has the reader not listen to the client for as long as the request's handler, or its Finish, asks for (KIP-219): its replies
// leave, nothing more is read, and what was read already waits.
func (c *connection) muteFor(s *slot) {
	if s.request.MuteMs <= 0 {
		return
	}
	until := int64(c.server.env.Monotonic() + time.Duration(s.request.MuteMs)*time.Millisecond)
	s.request.MuteMs = 0
	for {
		was := c.muted.at.Load()
		if was >= until || c.muted.at.CompareAndSwap(was, until) {
			return
		}
	}
}

// pause waits until the client may be listened to again. It also ends when the server drains: then what was read is handled, as that of
// every connection is. A client that is mute for longer than IdleTime is idle, and its connection ends. The caller has flushed.
func (c *connection) pause() *ending {
	if left := c.end - c.start; c.input != nil && classOf(max(left, stashBytes)) < c.input.class {
		if end := c.borrowInput(max(left, stashBytes)); end != nil {
			return end
		}
	}
	c.server.buffers.unexcuse(c)
	signal, env := c.signal(), c.server.env
	c.inFrame.Store(false)
	c.readBy.set(env.Monotonic() + c.server.limits.IdleTime)
	for !c.server.draining.Load() {
		if c.isClosed() {
			return &ending{ServerClosed, nil} // whoever closed it has said why
		}
		until := c.muted.at.Load()
		left := time.Duration(until) - env.Monotonic()
		if left <= 0 && c.muted.at.CompareAndSwap(until, 0) {
			break
		}
		signal.WaitFor(max(left, 0))
	}
	c.received = env.Monotonic()
	c.clock = c.received
	if c.end > c.start {
		c.inFrame.Store(true)
		c.frameDue = c.received + c.server.limits.FrameTime
		c.readBy.set(c.due())
	} else {
		c.readBy.set(c.received + c.server.limits.IdleTime)
	}
	return nil
}
