package server

import (
	"errors"
	"math"
	"os"
	"time"

	"github.com/ottla-io/ottla/internal/wire"
)

// A connection that has been idle for a while rests: its reader ends and leaves the wait to a new goroutine, because a
// goroutine's stack that once grew for a request stays at twice the size that a wait needs, and most of what an idle
// connection costs is stack. What it kept for its next requests goes too.
//
//	awake ── watchdog, after RestTime without a byte ──► asked ── reader, when roused ──► resting ── reader, with the next byte ──► awake
const (
	awake int32 = iota
	restAsked
	resting
)

var endedByServer = ending{ServerClosed, nil}

// idleSince is when the last byte came, where no frame has begun; else never.
func (c *connection) idleSince() time.Duration {
	at := c.readBy.at.Load()
	if at == 0 || c.inFrame.Load() || !c.greeted.Load() {
		return math.MaxInt64
	}
	return time.Duration(at) - c.server.limits.IdleTime
}

// askToRest rouses the reader. An error means that the stream is closed already.
func (c *connection) askToRest() {
	if c.rest.CompareAndSwap(awake, restAsked) {
		_ = c.stream.SetReadDeadline(time.Unix(1, 0))
	}
}

// roused tells whether err ended a wait only because of askToRest, and makes waiting possible again. The reader may have
// begun to read meanwhile: it goes on then. After stopReading waits are to fail, and do.
func (c *connection) roused(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || c.server.draining.Load() || c.stream.SetReadDeadline(time.Time{}) != nil {
		return false
	}
	// stopReading may have come before the deadline was taken away; it sets draining first.
	if c.server.draining.Load() {
		c.stopReading()
	}
	return true
}

// forget gives up what only saves work while there is some.
func (c *connection) forget() {
	c.public.Strings = wire.StringTable{}
	c.mu.Lock()
	if c.fifo.count == 0 {
		c.fifo = fifo{}
	}
	c.mu.Unlock()
}
