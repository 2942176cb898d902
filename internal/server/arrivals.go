package server

import (
	"time"

	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
)

// mostRefused bounds the connections that wait to be closed; those beyond are closed at once.
const mostRefused = 1024

// closeLater closes a connection that was refused after a delay.
func (s *Server) closeLater(stream transport.Conn, delay time.Duration) {
	s.mu.Lock()
	keep := !s.draining.Load() && len(s.refused) < mostRefused
	if keep {
		s.refused[stream] = nil
	}
	s.mu.Unlock()
	if !keep {
		stream.Close()
		return
	}
	timer := s.env.AfterFunc(delay, "server refused connection", func() { s.closeOne(stream) })
	s.mu.Lock()
	if _, waits := s.refused[stream]; waits {
		s.refused[stream] = timer
	}
	s.mu.Unlock()
}

func (s *Server) closeOne(stream transport.Conn) {
	s.mu.Lock()
	_, waits := s.refused[stream]
	delete(s.refused, stream)
	s.mu.Unlock()
	if waits {
		stream.Close()
	}
}

// closeRefused closes those that wait.
func (s *Server) closeRefused() {
	s.mu.Lock()
	refused := s.refused
	s.refused = make(map[transport.Conn]run.Timer)
	s.mu.Unlock()
	for stream, timer := range refused {
		if timer != nil {
			timer.Stop()
		}
		stream.Close()
	}
}
