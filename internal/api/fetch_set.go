package api

import (
	"sync"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/replication"
)

// fetchEntry is one partition of a fetchSet.
//
// An entry is dirty when looking at its partition may find something to tell: it is new, its offset was moved by the
// client, it had data at the last look, or its waiter fired. A clean entry is watched: it costs nothing until it fires. So
//
//	work of a fetch = O(dirty entries), not O(entries)
type fetchEntry struct {
	waiter replication.Waiter
	set    *fetchSet
	query  replication.FetchQuery
	// maxBytes is what the client takes of this partition at once.
	maxBytes int32
	// toldHighWatermark and toldLogStart are what the client of a session knows; -1 if it must be told again.
	toldHighWatermark, toldLogStart ids.Offset

	next, prev *fetchEntry // in the set's dirty list
	dirty      bool

	// Guarded by set.mu.
	watched   bool        // the waiter is registered, or about to fire
	queued    bool        // in set.news
	nextNews  *fetchEntry // below it in set.news
	forgotten bool        // no longer in its session
}

// fetchSet is the partitions of one fetch session, or of one request without a session.
//
// One request owns it at a time, and with it the dirty list and all entries. Partitions whose waiters fire only touch what
// mu guards.
type fetchSet struct {
	dirty dirtyList

	mu   sync.Mutex
	news *fetchEntry   // entries whose waiter fired, newest first
	poll *fetchRequest // parked on this set, to be woken by news; nil while nobody is parked
	// looking says that a goroutine which brought news looks whether they are enough. It owns the set meanwhile.
	looking bool
}

// dirtyList is a doubly linked list of entries, in the order in which they are served. Entries that gave data go to its
// end, so that one busy partition cannot starve the others (KIP-227, as Kafka's sessions do).
type dirtyList struct{ first, last *fetchEntry }

func (l *dirtyList) pushBack(e *fetchEntry) {
	if e.dirty {
		return
	}
	e.dirty, e.prev, e.next = true, l.last, nil
	if l.last != nil {
		l.last.next = e
	} else {
		l.first = e
	}
	l.last = e
}

func (l *dirtyList) remove(e *fetchEntry) {
	if !e.dirty {
		return
	}
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		l.last = e.prev
	}
	e.dirty, e.prev, e.next = false, nil, nil
}

// Fired implements replication.WaiterOwner: the partition has something to tell.
func (e *fetchEntry) Fired(w *replication.Waiter) {
	s := e.set
	s.mu.Lock()
	e.watched = false
	if e.forgotten {
		s.mu.Unlock()
		return
	}
	if !e.queued {
		e.queued, e.nextNews, s.news = true, s.news, e
	}
	poll := s.poll
	if poll == nil || s.looking {
		s.mu.Unlock()
		return
	}
	// One look less for the common case: any new byte is enough.
	if w.Error != 0 || (poll.anyByte && w.HighWatermark > e.query.Offset) {
		r := s.takeLocked()
		s.mu.Unlock()
		r.Wake()
		return
	}
	s.looking = true
	s.mu.Unlock()
	poll.lookAgain()
}

// takeLocked takes the parked request out: whoever has it wakes it.
func (s *fetchSet) takeLocked() *Request {
	r := s.poll.request
	s.poll = nil
	return r
}

// drain makes the entries whose waiters fired dirty, in the order in which they fired.
func (s *fetchSet) drain() {
	s.mu.Lock()
	var first *fetchEntry // reversed
	for e := s.news; e != nil; {
		next := e.nextNews
		e.queued, e.nextNews = false, first
		first, e = e, next
	}
	s.news = nil
	s.mu.Unlock()
	for e := first; e != nil; {
		next := e.nextNews
		e.nextNews = nil
		if !e.forgotten {
			s.dirty.pushBack(e)
		}
		e = next
	}
}

// watch registers e's waiter and reports whether it did; if not, there are news already.
func (s *fetchSet) watch(e *fetchEntry, res *replication.Fetched, partitions Partitions) bool {
	s.mu.Lock()
	if e.watched {
		s.mu.Unlock()
		return true
	}
	e.watched = true // before the call: it may fire within
	s.mu.Unlock()
	if partitions.Watch(&e.query.Target, replication.Seen{HighWatermark: res.HighWatermark, LogStart: res.LogStart}, &e.waiter) {
		return true
	}
	s.mu.Lock()
	e.watched = false
	s.mu.Unlock()
	return false
}

// unwatch takes e's waiter back. late means that it is still about to fire, so that e must not be reused.
func (s *fetchSet) unwatch(e *fetchEntry, partitions Partitions) (late bool) {
	s.mu.Lock()
	watched := e.watched
	s.mu.Unlock()
	if !watched {
		return false
	}
	removed := partitions.Unwatch(&e.waiter)
	s.mu.Lock()
	defer s.mu.Unlock()
	if removed {
		e.watched = false
	}
	return e.watched
}

// forget makes e's waiter mute. The caller owns the set and has taken e out of the dirty list.
func (s *fetchSet) forget(e *fetchEntry) {
	s.mu.Lock()
	e.forgotten = true
	s.mu.Unlock()
}
