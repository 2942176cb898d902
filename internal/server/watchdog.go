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
	tick := min(limits.FirstRequestTime, limits.FrameTime, limits.IdleTime, limits.RestTime, limits.StallTime) / 4
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
		late, idle := s.look(now)
		for _, c := range late {
			c.endOverdue(now)
		}
		for _, c := range idle {
			c.askToRest()
		}
	}
}

// look finds the connections whose time is up, and those that have been idle for so long that they should rest.
func (s *Server) look(now time.Duration) (late, idle []*connection) {
	s.mu.Lock()
	for c := range s.connections {
		switch {
		case c.readBy.passed(now) || c.writeBy.passed(now):
			late = append(late, c)
		case c.idleSince() < now-s.limits.RestTime && c.rest.Load() == awake:
			idle = append(idle, c)
		}
	}
	s.mu.Unlock()
	byID := func(a, b *connection) int { return cmp.Compare(a.public.ID, b.public.ID) }
	slices.SortFunc(late, byID)
	slices.SortFunc(idle, byID)
	return late, idle
}
