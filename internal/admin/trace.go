package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Bounds of one trace, and of all.
const (
	traceLines  = 4096 // that wait to be sent
	traceLook   = 200 * time.Millisecond
	traceTime   = 10 * time.Second // unless ?for= says another
	traceMost   = time.Hour
	tracesAtOne = 4
)

// Tracer begins to tell of what query asks for, until stop. tell takes one thing that JSON can say, from any goroutine, and never blocks.
// The error is one sentence for whoever asked.
type Tracer func(query url.Values, tell func(any)) (stop func(), err error)

// traceBuffer is what a trace has to say and its client has not got yet.
type traceBuffer struct {
	mu      sync.Mutex
	lines   []any
	told    uint64
	dropped uint64
}

func (b *traceBuffer) add(line any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told++
	if len(b.lines) == traceLines {
		b.dropped++
		return
	}
	b.lines = append(b.lines, line)
}

func (b *traceBuffer) take() []any {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := b.lines
	b.lines = nil
	return lines
}

// traceEnd is the last line of a trace: how many things there were, and how many of them were dropped because the client reads too slowly.
type traceEnd struct {
	Traced  uint64 `json:"traced"`
	Dropped uint64 `json:"dropped"`
}

// trace streams lines of JSON until its time is over, its client goes, or the server closes.
func (s *Server) trace(w http.ResponseWriter, r *http.Request) {
	limit := traceTime
	if text := r.URL.Query().Get("for"); text != "" {
		var err error
		if limit, err = time.ParseDuration(text); err != nil || limit <= 0 || limit > traceMost {
			http.Error(w, fmt.Sprintf("for=%s: want a time up to %v, such as 10s", text, traceMost), http.StatusBadRequest)
			return
		}
	}
	if s.traces.Add(1) > tracesAtOne {
		s.traces.Add(-1)
		http.Error(w, fmt.Sprintf("%d traces run already: wait until one is over", tracesAtOne), http.StatusTooManyRequests)
		return
	}
	defer s.traces.Add(-1)
	var buffer traceBuffer
	stop, err := s.config.Trace(r.URL.Query(), buffer.add)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	defer stop()
	w.Header().Set("Content-Type", "application/x-ndjson")
	s.stream(r.Context(), w, limit, &buffer)
	stop()
	sendLines(w, buffer.take())
	buffer.mu.Lock()
	end := traceEnd{buffer.told, buffer.dropped}
	buffer.mu.Unlock()
	sendLines(w, []any{end})
}

// stream sends what comes, for at most limit.
func (s *Server) stream(ctx context.Context, w http.ResponseWriter, limit time.Duration, buffer *traceBuffer) {
	control, pause := http.NewResponseController(w), s.config.Env.NewSignal()
	for until := s.config.Env.Monotonic() + limit; ; {
		left := until - s.config.Env.Monotonic()
		if left <= 0 || ctx.Err() != nil || s.isClosed() {
			return
		}
		// The server's own deadline is for one answer; this one goes on as long as its client reads.
		if err := control.SetWriteDeadline(s.config.Env.Now().Add(writeTime)); err != nil {
			return
		}
		if !sendLines(w, buffer.take()) || control.Flush() != nil {
			return
		}
		pause.WaitFor(min(left, traceLook))
	}
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// sendLines reports whether the client could take them.
func sendLines(w http.ResponseWriter, lines []any) bool {
	encoder := json.NewEncoder(w)
	for _, line := range lines {
		if encoder.Encode(line) != nil {
			return false
		}
	}
	return true
}
