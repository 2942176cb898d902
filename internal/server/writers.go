package server

import (
	"sync"

	"github.com/ottla-io/ottla/internal/run"
)

// writersKept is how many idle writer goroutines wait for the next connection.
const writersKept = 32

// writers lends goroutines to connections whose head reply became ready while their reader waits for the client. There
// are as many as connections being written to by them at the moment, and a few idle ones.
type writers struct {
	server *Server

	mu     sync.Mutex
	idle   []*writer // the last one to become idle is the first to go on: its stack is warm
	closed bool
}

// writer is one goroutine.
type writer struct {
	next run.Signal
	conn *connection // what to write when next is set; nil means to end
}

// write runs c.writeReady, whose caller owns c's write side, on another goroutine.
func (w *writers) write(c *connection) {
	w.mu.Lock()
	if last := len(w.idle) - 1; last >= 0 {
		lent := w.idle[last]
		w.idle[last] = nil
		w.idle = w.idle[:last]
		lent.conn = c
		w.mu.Unlock()
		lent.next.Set()
		return
	}
	w.mu.Unlock()
	if !w.server.group.Go("server writer", func() { w.run(c) }) {
		c.mu.Lock()
		c.writing = false // the server closes: nothing will leave
		c.mu.Unlock()
	}
}

func (w *writers) run(c *connection) {
	self := &writer{next: w.server.env.NewSignal()}
	for c != nil {
		c.writeReady()
		self.conn = nil
		w.mu.Lock()
		if w.closed || len(w.idle) >= writersKept {
			w.mu.Unlock()
			return
		}
		w.idle = append(w.idle, self)
		w.mu.Unlock()
		self.next.Wait()
		c = self.conn
	}
}

// close ends the idle writers; the others end when their connections are closed.
func (w *writers) close() {
	w.mu.Lock()
	idle := w.idle
	w.idle, w.closed = nil, true
	w.mu.Unlock()
	for _, each := range idle {
		each.next.Set()
	}
}
