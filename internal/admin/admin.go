package admin

import (
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
)

// Bounds against slow and many clients. A profile may take up to writeTime.
const (
	headerTime        = 5 * time.Second
	readTime          = 10 * time.Second
	writeTime         = 2 * time.Minute
	idleTime          = time.Minute
	headerBytes       = 16 << 10
	connectionsMax    = 64
	metricsInParallel = 2
)

// Config is what a Server shows. Env and Network are required.
type Config struct {
	Env     run.Env
	Network transport.Network
	// Health and Ready are asked at each request of /healthz and /readyz, in this order. They must not wait.
	Health, Ready []Check
	// Collectors are added to those of the Go runtime and the process. See Samples.
	Collectors []prometheus.Collector
	// Named are what /metrics?names=NAME shows instead, with those of the process.
	Named map[string]prometheus.Collector
	// Trace, if set, answers /trace. See Tracer.
	Trace Tracer
	// AllowRemote lets Listen bind addresses that other machines can reach.
	AllowRemote bool
	// Failed tells of an HTTP connection or a collector that failed, in one line. May be nil.
	Failed func(line string)
}

// Server serves HTTP from Listen to Close.
type Server struct {
	config Config
	http   *http.Server
	group  *run.Group
	traces atomic.Int32 // that run

	mu     sync.Mutex
	closed bool
}

// ErrClosed is the error of Listen after Close.
var ErrClosed = errors.New("admin server is closed")

// New makes a server that listens nowhere yet. The error is a collector that clashes with another.
func New(config Config) (*Server, error) {
	registry := prometheus.NewRegistry()
	all := append([]prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}, config.Collectors...)
	for _, collector := range all {
		if err := registry.Register(collector); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	registries := map[string]*prometheus.Registry{"": registry}
	for name, collector := range config.Named {
		registries[name] = prometheus.NewRegistry()
		process := collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})
		if err := errors.Join(registries[name].Register(collector), registries[name].Register(process)); err != nil {
			return nil, fmt.Errorf("register metrics by the names of %s: %w", name, err)
		}
	}
	s := &Server{config: config, group: run.NewGroup(config.Env)}
	failures := log.New(lineWriter{config.Failed}, "", 0)
	s.http = &http.Server{
		Handler:           s.routes(registries, failures),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          failures,
	}
	return s, nil
}

func (s *Server) routes(registries map[string]*prometheus.Registry, failures *log.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metricsByName(registries, failures))
	if s.config.Trace != nil {
		mux.HandleFunc("GET /trace", s.trace)
	}
	mux.HandleFunc("GET /healthz", answerChecks(s.config.Health))
	mux.HandleFunc("GET /readyz", answerChecks(s.config.Ready))
	// Importing pprof also registers on http.DefaultServeMux, which nothing here serves.
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "/metrics\n/healthz\n/readyz\n/trace\n/debug/pprof/")
	})
	return mux
}

// metricsByName shows the metrics that the query parameter names asks for.
func metricsByName(registries map[string]*prometheus.Registry, failures *log.Logger) http.Handler {
	handlers := make(map[string]http.Handler, len(registries))
	for name, registry := range registries {
		handlers[name] = promhttp.HandlerFor(registry, promhttp.HandlerOpts{
			ErrorLog:            failures,
			ErrorHandling:       promhttp.ContinueOnError, // one broken collector must not hide all others
			MaxRequestsInFlight: metricsInParallel,
		})
	}
	known := slices.Sorted(maps.Keys(handlers))[1:] // the first is the empty one
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, ok := handlers[r.URL.Query().Get("names")]
		if !ok {
			http.Error(w, "there are no metrics by that name: names may be "+strings.Join(known, " or "), http.StatusBadRequest)
			return
		}
		handler.ServeHTTP(w, r)
	})
}

// Listen binds HOST:PORT, serves there until Close, and returns the address that it got.
func (s *Server) Listen(address string) (string, error) {
	bound, err := s.config.Network.Listen(address)
	if err != nil {
		return "", fmt.Errorf("listen on admin address %s: %w", address, err)
	}
	if !s.config.AllowRemote && !isLoopback(bound.Addr()) {
		bound.Close()
		return "", fmt.Errorf("admin address %s can be reached from other machines and nothing there is authenticated: use 127.0.0.1", address)
	}
	listener := transport.StdListener(&boundedListener{Listener: bound})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		bound.Close()
		return "", ErrClosed
	}
	s.group.Go("admin http", func() {
		if err := s.http.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) && s.config.Failed != nil {
			s.config.Failed(fmt.Sprintf("admin address %s is no longer served: %v", address, err))
		}
	})
	return bound.Addr().String(), nil
}

// Close lets running requests end, for at most limit, and closes all connections. Closing twice is fine.
func (s *Server) Close(limit time.Duration) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	patience, giveUp := context.WithCancel(context.Background())
	timer := s.config.Env.AfterFunc(limit, "admin close", giveUp)
	err := s.http.Shutdown(patience)
	timer.Stop()
	giveUp()
	if err != nil {
		err = s.http.Close()
	}
	s.group.Close()
	return err
}

func isLoopback(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// lineWriter is where net/http and promhttp complain.
type lineWriter struct{ failed func(string) }

func (w lineWriter) Write(p []byte) (int, error) {
	if w.failed != nil {
		w.failed(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

// boundedListener refuses connections while connectionsMax are open, so that this door cannot take the file descriptors
// of the other.
type boundedListener struct {
	transport.Listener

	mu   sync.Mutex
	open int
}

func (l *boundedListener) Accept() (transport.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		full := l.open >= connectionsMax
		if !full {
			l.open++
		}
		l.mu.Unlock()
		if !full {
			return &boundedConn{Conn: c, listener: l}, nil
		}
		c.Close()
	}
}

type boundedConn struct {
	transport.Conn
	listener *boundedListener
	once     sync.Once
}

func (c *boundedConn) Close() error {
	c.once.Do(func() {
		c.listener.mu.Lock()
		c.listener.open--
		c.listener.mu.Unlock()
	})
	return c.Conn.Close()
}
