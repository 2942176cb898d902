package server

import (
	"cmp"
	"slices"
	"time"
)

// trimEvery is how often buffers that nobody needs are dropped.
const trimEvery = 30 * time.Second

// watchConnections ends the connections whose time is up. One goroutine looks at all of them a few times within the
// shortest limit, so that a request costs the store of a number instead of setting a timer.
func (s *Server) watchConnections() {
	limits := s.limits
	tick := min(limits.FirstRequestTime, limits.FrameTime, limits.IdleTime, limits.StallTime) / 4
	tick = min(max(tick, 10*time.Millisecond), time.Second)
	trimAt := s.env.Monotonic() + trimEvery
	for !s.closing.Load() {
		s.mu.Lock()
		open := len(s.connections)
		s.mu.Unlock()
		_, kept := s.buffers.account()
		switch {
		case open > 0:
			s.watch.WaitFor(tick)
		case kept > 0:
			s.watch.WaitFor(trimEvery)
		default:
			s.watch.Wait()
		}
		now := s.env.Monotonic()
		if now >= trimAt {
			s.buffers.trim()
			trimAt = now + trimEvery
		}
		for _, c := range s.overdue(now) {
			c.endOverdue(now)
		}
	}
}

func (s *Server) overdue(now time.Duration) []*connection {
	var late []*connection
	s.mu.Lock()
	for c := range s.connections {
		if c.readBy.passed(now) || c.writeBy.passed(now) {
			late = append(late, c)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(late, func(a, b *connection) int { return cmp.Compare(a.public.ID, b.public.ID) })
	return late
}
