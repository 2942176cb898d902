package replication

import (
	"sync"
	"sync/atomic"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/wire"
)

// waiters are those registered with one partition. Those that fire leave the list under its lock, chained by next, and are
// told after it: until then only the chain refers to them.
type waiters struct {
	mu    sync.Mutex
	first *Waiter
	// polls counts the long polls in the list: an append is flushed at once where one waits.
	polls atomic.Int32
	// observer, if any, is told after the waiters, of everything that could fire one (StateLog.OnCommitted).
	observer atomic.Pointer[func()]
}

// add links w unless the watermark, read under the lock, has reached what it needs: then it returns false. No advance
// can fall between the check and the link, because advances store the watermark before they take the lock.
func (l *waiters) add(w *Waiter, highWatermark *atomic.Int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ids.Offset(highWatermark.Load()) >= w.links.need {
		return false
	}
	w.Error = wire.ErrorNone
	w.links.prev, w.links.next, w.links.linked = nil, l.first, true
	if l.first != nil {
		l.first.links.prev = w
	}
	l.first = w
	if w.links.poll {
		l.polls.Add(1)
	}
	return true
}

// remove takes w back and reports whether it was still waiting.
func (l *waiters) remove(w *Waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !w.links.linked {
		return false
	}
	l.unlink(w)
	return true
}

func (l *waiters) unlink(w *Waiter) {
	links := &w.links
	if links.prev != nil {
		links.prev.links.next = links.next
	} else {
		l.first = links.next
	}
	if links.next != nil {
		links.next.links.prev = links.prev
	}
	links.prev, links.next, links.linked = nil, nil, false
	if links.poll {
		l.polls.Add(-1)
	}
}

// fire tells every waiter that due accepts: its condition came true, or code says why it never will.
func (l *waiters) fire(highWatermark ids.Offset, code wire.ErrorCode, due func(*Waiter) bool) {
	var chain *Waiter
	l.mu.Lock()
	for w := l.first; w != nil; {
		next := w.links.next
		if due(w) {
			l.unlink(w)
			w.Error, w.HighWatermark = code, highWatermark
			w.links.next, chain = chain, w
		}
		w = next
	}
	l.mu.Unlock()
	for chain != nil {
		w := chain
		chain = w.links.next
		w.links.next = nil
		w.Owner.Fired(w)
	}
	l.observed()
}

func (l *waiters) observed() {
	if observer := l.observer.Load(); observer != nil {
		(*observer)()
	}
}

// advance fires those that waited for no more than the watermark.
func (l *waiters) advance(highWatermark ids.Offset) {
	l.fire(highWatermark, wire.ErrorNone, func(w *Waiter) bool { return w.links.need <= highWatermark })
}

// fail fires all.
func (l *waiters) fail(highWatermark ids.Offset, code wire.ErrorCode) {
	l.fire(highWatermark, code, func(*Waiter) bool { return true })
}
