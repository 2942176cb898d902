package group

import (
	"container/heap"
	"time"

	"github.com/ottla-io/ottla/internal/machine"
)

// timer calls fire in a Tick at or after due, once each time that it is set. The zero timer is stopped.
type timer struct {
	group *Group // whose records fire may want to change; nil: any
	fire  func(at machine.Moment) []machine.Record

	due    time.Duration
	queued time.Duration // its place in the heap: queued ≤ due
	seq    uint64        // order among those queued at the same time
	index  int           // in the heap, plus one; 0 is stopped
}

// timers are the timers that run. Moving one to a later time, as each heartbeat does, changes the timer and not the heap: it is
// found early there, and then put where it belongs.
type timers struct {
	heap timerHeap
	seq  uint64
}

// set starts t, or moves it.
func (q *timers) set(t *timer, due time.Duration) {
	t.due = due
	switch {
	case t.index == 0:
		q.seq++
		t.queued, t.seq = due, q.seq
		heap.Push(&q.heap, t)
	case due < t.queued:
		t.queued = due
		heap.Fix(&q.heap, t.index-1)
	}
}

func (q *timers) stop(t *timer) {
	if t.index > 0 {
		heap.Remove(&q.heap, t.index-1)
	}
}

// next is when peek may find something.
func (q *timers) next() (time.Duration, bool) {
	if len(q.heap) == 0 {
		return 0, false
	}
	return q.heap[0].queued, true
}

// peek is the earliest timer that is due, still set; nil if there is none.
func (q *timers) peek(now time.Duration) *timer {
	for len(q.heap) > 0 && q.heap[0].queued <= now {
		t := q.heap[0]
		if t.due <= now {
			return t
		}
		t.queued = t.due
		heap.Fix(&q.heap, 0)
	}
	return nil
}

type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }

func (h timerHeap) Less(i, j int) bool {
	if h[i].queued != h[j].queued {
		return h[i].queued < h[j].queued
	}
	return h[i].seq < h[j].seq
}

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	*h = append(*h, t)
	t.index = len(*h)
}

func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = 0
	return t
}
