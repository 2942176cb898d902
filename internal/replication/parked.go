package replication

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

// Waker is a parked request: Wake marks it ready, from any goroutine, exactly once (api.Request).
type Waker interface{ Wake() }

// Parked is a request that waits for watermarks of one or several partitions, or for its time to pass. Its owner keeps and reuses it:
// Begin, then a Wait for each partition, then Arm or Ready; after Wake it calls End and looks at its Waits.
//
// It is woken exactly once a life: whoever sets woken calls Waker.Wake.
type Parked struct {
	waker Waker
	// left is what is still missing: watermarks (produce), or bytes (fetch), plus one until Arm has run, so that the
	// request cannot be woken while it is still being built.
	left  atomic.Int64
	woken atomic.Bool
	// byTimer tells that the deadline woke it.
	byTimer atomic.Bool
	timer   run.Timer
}

// Begin starts a life. missing is the number of bytes that a fetch still wants, or 0 for a produce, whose waits count themselves.
func (p *Parked) Begin(waker Waker, missing int64) {
	p.waker = waker
	p.woken.Store(false)
	p.byTimer.Store(false)
	p.left.Store(missing + 1)
}

// Arm lets the request be woken, by its waits or after the timeout, whichever is first.
func (p *Parked) Arm(env run.Env, timeout time.Duration) {
	if p.timer == nil {
		p.timer = env.AfterFunc(timeout, "request-timeout", p.expire)
	} else {
		p.timer.Reset(timeout)
	}
	p.reduce(1)
}

func (p *Parked) expire() {
	if p.woken.CompareAndSwap(false, true) {
		p.byTimer.Store(true)
		p.waker.Wake()
	}
}

// reduce takes what came from what is missing, and wakes the request if nothing is.
func (p *Parked) reduce(came int64) {
	if p.settle(came) {
		p.waker.Wake()
	}
}

// settle is reduce without the wake: it reports whether the caller must call Wake.
func (p *Parked) settle(came int64) bool {
	return p.left.Add(-came) <= 0 && p.woken.CompareAndSwap(false, true)
}

// End closes a life after Wake, or when the connection is gone: nothing will fire any more. It reports whether the Parked, and the
// waits with it, may be used again; not so where a timer is just about to fire for the life that ends.
func (p *Parked) End(waits []Wait) (reusable bool) {
	for i := range waits {
		waits[i].leave()
	}
	// Nobody may wake a dead life.
	p.woken.Store(true)
	return p.timer == nil || p.timer.Stop() || p.byTimer.Load()
}

// TimedOut reports whether the deadline woke the request.
func (p *Parked) TimedOut() bool { return p.byTimer.Load() }

// Wait is one partition's part of a Parked. It is linked into the partition's list while it waits.
type Wait struct {
	parked    *Parked
	partition *Partition
	// need: fires once when highWatermark ≥ need. For a long poll (stream) it takes each advance's bytes instead.
	need   ids.Offset
	stream bool

	prev, next *Wait
	linked     bool
	// Code is why the wait ended early, such as NOT_LEADER_OR_FOLLOWER; ErrorNone while it waits and where the watermark came.
	Code wire.ErrorCode
	// Done is set when the watermark reached need.
	Done bool
}

func (w *Wait) leave() {
	if w.partition != nil {
		w.partition.waits.remove(w)
		w.partition = nil
	}
}

// waitList holds the waits of one partition. Its methods return what must be woken, for the caller to wake without locks.
type waitList struct {
	mu    sync.Mutex
	first *Wait
	size  int
	// streams counts the long polls in the list: an append flushes at once where one waits.
	streams atomic.Int32
}

// add links the wait, unless the watermark has passed meanwhile or the partition has failed: then it settles at once and
// returns false. current is read under the lock, so that no advance falls between the check and the link.
func (l *waitList) add(w *Wait, current *atomic.Int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ids.Offset(current.Load()) >= w.need {
		return false
	}
	w.next, w.prev, w.linked = l.first, nil, true
	if l.first != nil {
		l.first.prev = w
	}
	l.first = w
	l.size++
	if w.stream {
		l.streams.Add(1)
	}
	return true
}

func (l *waitList) remove(w *Wait) {
	l.mu.Lock()
	l.unlink(w)
	l.mu.Unlock()
}

func (l *waitList) unlink(w *Wait) {
	if !w.linked {
		return
	}
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		l.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	}
	w.prev, w.next, w.linked = nil, nil, false
	l.size--
	if w.stream {
		l.streams.Add(-1)
	}
}

// advance settles the waits that the new watermark satisfies, and credits its bytes to the long polls.
func (l *waitList) advance(highWatermark ids.Offset, bytes int64) {
	l.sweep(func(w *Wait) (came int64, done bool) {
		if w.stream {
			return bytes, false
		}
		if highWatermark < w.need {
			return 0, false
		}
		w.Done = true
		return 1, true
	})
}

// fail ends every wait with the code.
func (l *waitList) fail(code wire.ErrorCode) {
	l.sweep(func(w *Wait) (came int64, done bool) {
		w.Code = code
		if w.stream {
			return everything, true // an error completes a fetch at once
		}
		return 1, true
	})
}

// everything is more than any request can miss.
const everything = int64(1) << 62

// sweep visits all waits under the lock and wakes those that it settled after it. Settled waits leave the list and are
// chained by next until they are woken: their owner touches them only afterwards, or unlinks what is not linked.
func (l *waitList) sweep(visit func(*Wait) (came int64, done bool)) {
	var wake *Wait
	l.mu.Lock()
	for w := l.first; w != nil; {
		next := w.next
		came, done := visit(w)
		settled := came != 0 && w.parked.settle(came)
		if done || settled {
			l.unlink(w)
		}
		if settled {
			w.next, wake = wake, w
		}
		w = next
	}
	l.mu.Unlock()
	for wake != nil {
		w := wake
		wake = w.next
		w.next = nil
		w.parked.waker.Wake()
	}
}
