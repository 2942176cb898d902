package server

import (
	"slices"
	"sync"
	"time"

	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/wire"
)

// Traced is one request that was traced, when it is over.
type Traced struct {
	At         time.Time // when it was over
	Connection uint64
	Listener   string
	Host       string
	Port       int32
	ClientID   string
	// SoftwareName and SoftwareVersion are what the client had said when the request came.
	SoftwareName, SoftwareVersion string

	Key, Version  int16
	CorrelationID int32
	// RequestBytes and ReplyBytes are of the frames, with their length.
	RequestBytes, ReplyBytes int
	// Path is where its time went.
	Path Path
	// Codes are the error codes of its reply.
	Codes []wire.CodeCount
	// Ended is how it ended.
	Ended Ended
	// Err is why the connection was closed, with EndedByHangup.
	Err   error
	About *api.Trace
}

// Ended is how a traced request ended.
type Ended uint8

const (
	// EndedByReply is a reply that left.
	EndedByReply Ended = iota
	// EndedSilently is a request that gets no reply.
	EndedSilently
	// EndedByHangup closed its connection.
	EndedByHangup
	// EndedWithConnection is a request whose client was gone before its reply had left.
	EndedWithConnection

	endings
)

func (e Ended) String() string {
	return [endings]string{"replied", "no reply", "closed", "client gone"}[e]
}

// tracer is somebody who traces.
type tracer struct {
	wants func(*api.Request) bool
	tell  func(*Traced)
}

// tracers are all who trace. Requests look at an immutable list; nil while nobody traces.
type tracers struct {
	mu  sync.Mutex
	all []*tracer
}

// Trace tells of every request that begins from now on and that wants says yes to, until stop. wants sees the header, and what of the
// connection never changes; it and tell run on the connections' goroutines, with no lock held, and must not block. A Traced may be kept.
func (s *Server) Trace(wants func(*api.Request) bool, tell func(*Traced)) (stop func()) {
	one := &tracer{wants, tell}
	s.change(func(all []*tracer) []*tracer { return append(all, one) })
	return func() {
		s.change(func(all []*tracer) []*tracer { return slices.DeleteFunc(all, func(t *tracer) bool { return t == one }) })
	}
}

func (s *Server) change(with func([]*tracer) []*tracer) {
	s.tracers.mu.Lock()
	defer s.tracers.mu.Unlock()
	s.tracers.all = with(slices.Clone(s.tracers.all))
	if len(s.tracers.all) == 0 {
		s.tracing.Store(nil)
		return
	}
	all := s.tracers.all
	s.tracing.Store(&all)
}

// beginTrace marks a request that somebody wants to know about.
func (s *slot) beginTrace(all []*tracer) {
	for _, t := range all {
		if t.wants(&s.request) {
			r := &s.request
			r.Trace = new(api.Trace)
			s.traced = &Traced{Connection: r.Conn.ID, Listener: r.Conn.Listener, Host: r.Conn.RemoteHost, Port: r.Conn.RemotePort, ClientID: r.ClientID,
				SoftwareName: r.Conn.SoftwareName, SoftwareVersion: r.Conn.SoftwareVersion,
				Key: r.Key, Version: r.Version, CorrelationID: r.CorrelationID, RequestBytes: s.size, About: r.Trace}
			return
		}
	}
}

// endTrace tells of a traced request that is over.
func (s *slot) endTrace(ended Ended, path Path) {
	server, told := s.conn.server, s.traced
	s.traced, s.request.Trace = nil, nil
	all := server.tracing.Load()
	if all == nil {
		return
	}
	told.At, told.Path, told.Ended, told.Err = server.env.Now(), path, ended, s.request.Err
	told.ReplyBytes, told.Codes = s.sent, slices.Clone(s.encoder.Codes())
	for _, t := range *all {
		if t.wants(&s.request) {
			t.tell(told)
		}
	}
}

// tracePath is the path of a request that ends without a reply.
func (s *slot) tracePath() Path {
	now := s.conn.server.env.Monotonic()
	return s.path(now, now)
}
