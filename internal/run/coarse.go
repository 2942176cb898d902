package run

import (
	"container/heap"
	"sync"
	"time"
)

// Timers of a coarse Env go off up to 1/coarseness of their wait late, and at least at whole multiples of coarseLeast.
const (
	coarseness  = 32
	coarseLeast = time.Millisecond
)

// Coarse is env, but that timers which are due at about the same time go off together: each up to 1/32 of its wait late, or a millisecond.
// A thousand requests that each wait half a second then wake the process a hundred times a second, and not two thousand times. Setting and
// stopping such a timer costs a lock and a list, however many there are.
//
// The functions of one moment run one after the other on one goroutine, so each must be short and must not wait.
func Coarse(env Env) Env {
	return &coarseEnv{Env: env, byDue: make(map[time.Duration]*coarseMoment)}
}

// coarseEnv keeps its timers by the moment at which they go off. Those moments are few: of each power of two, less than 2·coarseness lie ahead.
type coarseEnv struct {
	Env

	mu     sync.Mutex // guards what follows, all moments and the links of all timers; held for memory and to set wake
	byDue  map[time.Duration]*coarseMoment
	order  coarseOrder
	spare  *coarseMoment
	batch  []func()      // what run uses, while nobody runs
	wake   Timer         // goes off at wakeAt
	wakeAt time.Duration // 0: it is not set
}

// coarseMoment is a list of timers that go off together; it stays, if they are all stopped, until its time has come.
type coarseMoment struct {
	due   time.Duration
	first *coarseTimer
	next  *coarseMoment // in spare
}

type coarseTimer struct {
	env        *coarseEnv
	fn         func()
	moment     *coarseMoment // nil: it is stopped, or goes off now
	prev, next *coarseTimer
}

// AfterFunc implements Env.
func (e *coarseEnv) AfterFunc(d time.Duration, _ string, fn func()) Timer {
	t := &coarseTimer{env: e, fn: fn}
	t.Reset(d)
	return t
}

// coarseDue is when a timer that is set now goes off.
func coarseDue(now, wait time.Duration) time.Duration {
	step := coarseLeast
	for step <= wait/(2*coarseness) {
		step *= 2
	}
	due := now + max(wait, 0) + step - 1
	return due - due%step
}

// Reset implements Timer.
func (t *coarseTimer) Reset(d time.Duration) {
	e := t.env
	due := coarseDue(e.Monotonic(), d)
	e.mu.Lock()
	defer e.mu.Unlock()
	t.unlink()
	m := e.byDue[due]
	if m == nil {
		m = e.newMoment(due)
	}
	t.moment, t.prev, t.next = m, nil, m.first
	if m.first != nil {
		m.first.prev = t
	}
	m.first = t
	e.setWake()
}

// Stop implements Timer.
func (t *coarseTimer) Stop() bool {
	t.env.mu.Lock()
	defer t.env.mu.Unlock()
	return t.unlink()
}

func (t *coarseTimer) unlink() (was bool) {
	if t.moment == nil {
		return false
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		t.moment.first = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.moment, t.prev, t.next = nil, nil, nil
	return true
}

func (e *coarseEnv) newMoment(due time.Duration) *coarseMoment {
	m := e.spare
	if m == nil {
		m = new(coarseMoment)
	} else {
		e.spare = m.next
	}
	*m = coarseMoment{due: due}
	e.byDue[due] = m
	heap.Push(&e.order, m)
	return m
}

// setWake has the process woken for the earliest moment.
func (e *coarseEnv) setWake() {
	if len(e.order) == 0 || e.wakeAt != 0 && e.wakeAt <= e.order[0].due {
		return
	}
	e.wakeAt = e.order[0].due
	wait := e.wakeAt - e.Monotonic()
	if e.wake == nil {
		e.wake = e.Env.AfterFunc(wait, "coarse timers", e.run)
	} else {
		e.wake.Reset(wait)
	}
}

// run calls the functions of all moments that have come.
func (e *coarseEnv) run() {
	now := e.Monotonic()
	e.mu.Lock()
	due := e.batch[:0]
	e.batch, e.wakeAt = nil, 0
	for len(e.order) > 0 && e.order[0].due <= now {
		m := heap.Pop(&e.order).(*coarseMoment)
		for m.first != nil {
			due = append(due, m.first.fn)
			m.first.unlink()
		}
		delete(e.byDue, m.due)
		m.next, e.spare = e.spare, m
	}
	e.setWake()
	e.mu.Unlock()
	for _, fn := range due {
		fn()
	}
	clear(due)
	e.mu.Lock()
	e.batch = due
	e.mu.Unlock()
}

// coarseOrder is a heap: the earliest moment is the first.
type coarseOrder []*coarseMoment

func (h coarseOrder) Len() int           { return len(h) }
func (h coarseOrder) Less(i, j int) bool { return h[i].due < h[j].due }
func (h coarseOrder) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *coarseOrder) Push(m any)        { *h = append(*h, m.(*coarseMoment)) }

func (h *coarseOrder) Pop() any {
	last := len(*h) - 1
	m := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return m
}
