package admin

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
)

func start(t *testing.T, config Config) (base string, server *Server) {
	t.Helper()
	config.Env, config.Network = run.OS(), transport.OS()
	server, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	address, err := server.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(time.Second); err != nil {
			t.Error(err)
		}
	})
	return "http://" + address, server
}

// client keeps no connection, so that leaks are the server's.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	reply, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply.StatusCode, string(body)
}

func TestChecks(t *testing.T) {
	var recovering error
	base, _ := start(t, Config{
		Health: []Check{{"storage", func() error { return nil }}},
		Ready: []Check{
			{"storage", func() error { return nil }},
			{"controller", func() error { return recovering }},
		},
	})
	for _, test := range []struct {
		path   string
		broken error
		status int
		want   checkReport
	}{
		{"/healthz", errors.New("x"), 200, checkReport{true, []checkResult{{Name: "storage", OK: true}}}},
		{"/readyz", nil, 200, checkReport{true, []checkResult{{Name: "storage", OK: true}, {Name: "controller", OK: true}}}},
		{"/readyz", errors.New("replays its log"), 503, checkReport{false, []checkResult{{Name: "storage", OK: true}, {"controller", false, "replays its log"}}}},
	} {
		recovering = test.broken
		status, body := get(t, base+test.path)
		var got checkReport
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatalf("%s: %v in %q", test.path, err, body)
		}
		if diff := cmp.Diff(test.want, got); status != test.status || diff != "" {
			t.Errorf("%s while controller says %v: status %d, want %d; %s", test.path, test.broken, status, test.status, diff)
		}
	}
}

func TestMetrics(t *testing.T) {
	base, _ := start(t, Config{Collectors: []prometheus.Collector{Samples(func(emit func(Sample)) {
		for _, api := range []string{"Produce", "Fetch"} {
			emit(Sample{Name: "ottla_requests_total", Help: "Requests handled.", Labels: []Label{{"api", api}}, Value: float64(len(api))})
		}
		emit(Sample{Name: "ottla_connections", Help: "Open connections.", Kind: Gauge, Value: 3})
		emit(Sample{Name: "ottla_request_seconds", Help: "Time.", Kind: Histogram, Value: 1.5, Bounds: []float64{0.1, 1}, Counts: []uint64{4, 2, 1}})
	})}})
	status, body := get(t, base+"/metrics")
	if status != 200 {
		t.Fatalf("status %d: %s", status, body)
	}
	for _, line := range []string{
		"# TYPE ottla_requests_total counter", `ottla_requests_total{api="Produce"} 7`, `ottla_requests_total{api="Fetch"} 5`,
		"# TYPE ottla_connections gauge", "ottla_connections 3",
		`ottla_request_seconds_bucket{le="0.1"} 4`, `ottla_request_seconds_bucket{le="1"} 6`, `ottla_request_seconds_bucket{le="+Inf"} 7`,
		"ottla_request_seconds_sum 1.5", "ottla_request_seconds_count 7",
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
	for _, name := range []string{"go_goroutines ", "process_resident_memory_bytes ", "process_open_fds "} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("no metric %q", name)
		}
	}
}

// TestBrokenMetricHidesNoOther: two samples that clash are reported, and the rest is there.
func TestBrokenMetricHidesNoOther(t *testing.T) {
	failed := make(chan string, 10)
	base, _ := start(t, Config{
		Failed: func(line string) { failed <- line },
		Collectors: []prometheus.Collector{Samples(func(emit func(Sample)) {
			emit(Sample{Name: "ottla_twice_total", Help: "x", Value: 1})
			emit(Sample{Name: "ottla_twice_total", Help: "x", Value: 2})
			emit(Sample{Name: "ottla_good_total", Help: "x", Value: 1})
		})},
	})
	status, body := get(t, base+"/metrics")
	if status != 200 || !strings.Contains(body, "ottla_good_total 1\n") {
		t.Errorf("status %d, without the good metric: %.200s", status, body)
	}
	select {
	case line := <-failed:
		if !strings.Contains(line, "ottla_twice_total") {
			t.Errorf("reported %q", line)
		}
	default:
		t.Error("nothing was reported")
	}
}

func TestPprofAndRoutes(t *testing.T) {
	base, _ := start(t, Config{})
	for path, want := range map[string]string{
		"/":                              "/readyz",
		"/debug/pprof/":                  "goroutine",
		"/debug/pprof/goroutine?debug=1": "goroutine profile:",
		"/debug/pprof/heap?debug=1":      "heap profile:",
		"/debug/pprof/cmdline":           "admin",
	} {
		if status, body := get(t, base+path); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: status %d, no %q in %.200q", path, status, want, body)
		}
	}
	if status, _ := get(t, base+"/nowhere"); status != 404 {
		t.Errorf("/nowhere: status %d", status)
	}
	reply, err := client.Post(base+"/metrics", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	reply.Body.Close()
	if reply.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /metrics: status %d", reply.StatusCode)
	}
}

func TestOnlyLoopbackUnlessAllowed(t *testing.T) {
	server, err := New(Config{Env: run.OS(), Network: transport.OS()})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close(time.Second)
	for _, address := range []string{"0.0.0.0:0", "[::]:0", ":0"} {
		if bound, err := server.Listen(address); err == nil || !strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("Listen(%q) = %q, %v", address, bound, err)
		}
	}
	if _, err := server.Listen("localhost:0"); err != nil {
		t.Error(err)
	}
}

// TestConnectionsAreBounded: silent clients take a bounded number of connections, and when they go there is room again.
func TestConnectionsAreBounded(t *testing.T) {
	base, _ := start(t, Config{})
	network := transport.OS()
	address := strings.TrimPrefix(base, "http://")
	var silent []transport.Conn
	for range connectionsMax {
		c, err := network.Dial(address, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		silent = append(silent, c)
	}
	refused, err := network.Dial(address, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer refused.Close()
	if _, err := refused.Read(make([]byte, 1)); err == nil {
		t.Error("a connection too many was served")
	}
	for _, c := range silent {
		c.Close()
	}
	pause := run.OS().NewSignal()
	for range 1000 {
		if reply, err := client.Get(base + "/healthz"); err == nil {
			reply.Body.Close()
			return
		}
		pause.WaitFor(time.Millisecond)
	}
	t.Error("no room after the silent clients went")
}

// TestCloseWaitsThenGivesUp: a running request ends in time or is cut off; nothing is left.
func TestCloseWaitsThenGivesUp(t *testing.T) {
	before := runtime.NumGoroutine()
	entered, leave := make(chan struct{}), make(chan struct{})
	server, err := New(Config{Env: run.OS(), Network: transport.OS(), Health: []Check{{"slow", func() error {
		close(entered)
		<-leave
		return nil
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	address, err := server.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	clients := run.NewGroup(run.OS())
	clients.Go("client", func() {
		if reply, err := client.Get("http://" + address + "/healthz"); err == nil {
			reply.Body.Close()
			t.Error("a request was answered that Close had to cut off")
		}
	})
	<-entered
	if err := server.Close(10 * time.Millisecond); err != nil {
		t.Error(err)
	}
	close(leave)
	clients.Close()
	if err := server.Close(time.Second); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := server.Listen("127.0.0.1:0"); !errors.Is(err, ErrClosed) {
		t.Errorf("Listen after Close: %v", err)
	}
	pause := run.OS().NewSignal()
	for i := 0; runtime.NumGoroutine() > before; i++ {
		if i == 2000 {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		pause.WaitFor(time.Millisecond)
	}
}
