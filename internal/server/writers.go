package server

import (
	"sync"

	"github.com/ottla-io/ottla/internal/run"
)

// writersKept is how many idle writer goroutines wait for the next connection.
const writersKept = 32

// writers lends goroutines to connections whose head reply became ready while their reader waits for the client. There
// are as many as connections being written to by them at the moment, and a few idle ones.
//
// A connection that is to be written to waits for a writer that is on its way. A writer takes one connection, sends another writer on its way if more
// wait, and only then writes. So connections that become ready together are served by a few goroutines, each going from one to the next, and
// none waits for another's client:
//
//	a connection waits ⇒ a writer is on its way
type writers struct {
	server *Server

	mu          sync.Mutex
	first, last *connection // that wait, by connection.nextWaiting
	coming      bool        // a writer is on its way
	idle        []*writer   // the last one to become idle is the first to go on: its stack is warm
	closed      bool
}

// writer is one goroutine.
type writer struct {
	next run.Signal
	end  bool // set with next: there is nothing more to do
}

// write runs c.writeReady, whose caller owns c's write side, on another goroutine.
func (w *writers) write(c *connection) {
	w.mu.Lock()
	if w.last != nil {
		w.last.nextWaiting = c
	} else {
		w.first = c
	}
	w.last = c
	w.sendAndUnlock()
}

// sendAndUnlock sends a writer on its way, if one is needed.
func (w *writers) sendAndUnlock() {
	if w.first == nil || w.coming {
		w.mu.Unlock()
		return
	}
	w.coming = true
	if last := len(w.idle) - 1; last >= 0 {
		lent := w.idle[last]
		w.idle[last] = nil
		w.idle = w.idle[:last]
		w.mu.Unlock()
		lent.next.Set()
		return
	}
	w.mu.Unlock()
	if !w.server.group.Go("server writer", w.run) {
		w.refuse()
	}
}

// refuse ends the waiting: the server closes, and nothing will leave.
func (w *writers) refuse() {
	w.mu.Lock()
	w.coming = false
	c := w.first
	w.first, w.last = nil, nil
	w.mu.Unlock()
	for c != nil {
		next := c.nextWaiting
		c.nextWaiting = nil
		c.mu.Lock()
		c.writing = false
		c.mu.Unlock()
		c = next
	}
}

func (w *writers) run() {
	self := &writer{next: w.server.env.NewSignal()}
	for {
		c, idle := w.take(self, true)
		for c != nil {
			c.writeReady()
			c, idle = w.take(self, false)
		}
		if !idle {
			return
		}
		self.next.Wait()
		if self.end {
			return
		}
	}
}

// take is the connection that waits longest. With none the writer becomes idle, or is one too many.
func (w *writers) take(self *writer, arrives bool) (c *connection, idle bool) {
	w.mu.Lock()
	if arrives {
		w.coming = false
	}
	if c := w.first; c != nil {
		w.first, c.nextWaiting = c.nextWaiting, nil
		if w.first == nil {
			w.last = nil
		}
		w.sendAndUnlock()
		return c, false
	}
	defer w.mu.Unlock()
	if w.closed || len(w.idle) >= writersKept {
		return nil, false
	}
	w.idle = append(w.idle, self)
	return nil, true
}

// close ends the idle writers; the others end when their connections are closed.
func (w *writers) close() {
	w.mu.Lock()
	idle := w.idle
	w.idle, w.closed = nil, true
	w.mu.Unlock()
	for _, each := range idle {
		each.end = true
		each.next.Set()
	}
}
