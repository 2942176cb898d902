package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ottla-io/ottla"
	"github.com/ottla-io/ottla/ottlatest"
)

func TestReady(t *testing.T) {
	broker := ottlatest.Start(t, func(c *ottla.Config) { c.Admin = "127.0.0.1:0" })
	if out := must(t, "", "ready", "--admin", broker.AdminAddr()); out != "ready\n" {
		t.Errorf("%q", out)
	}
	if out := must(t, "", "ready", "--admin", broker.AdminAddr(), "-o", "json"); !strings.Contains(out, `"ready": true`) && !strings.Contains(out, `"ready":true`) {
		t.Errorf("%q", out)
	}
	for answer, want := range map[string]string{
		`{"ok":false,"checks":[{"name":"disk space","ok":false,"reason":"7 bytes are left"},{"name":"partitions","ok":true}]}`: "not ready: disk space: 7 bytes are left",
		`{}`:    "is this a broker of Ottla?",
		`hello`: "/readyz",
	} {
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(answer))
		}))
		r := ottlaRuns(t, "", "ready", "--admin", strings.TrimPrefix(other.URL, "http://"))
		other.Close()
		if r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: exit code %d, %q", answer, r.code, r.stderr)
		}
	}
	if r := ottlaRuns(t, "", "ready", "--admin", "127.0.0.1:1"); r.code != 1 || !strings.Contains(r.stderr, "--admin HOST:PORT") {
		t.Errorf("nobody there: exit code %d, %q", r.code, r.stderr)
	}
}

// TestUnreachableAddress: a broker whose advertised address does not answer from here is a sentence or a blank, not the end of the command.
func TestUnreachableAddress(t *testing.T) {
	broker := ottlatest.Start(t, func(c *ottla.Config) { c.Advertise = "127.0.0.1:1" })
	r := ottlaRuns(t, "", "cluster", "info", "-b", broker.Addr(), "--timeout", "3s")
	if !strings.Contains(r.stdout+r.stderr, "127.0.0.1:1") {
		t.Errorf("exit code %d, %q, %q", r.code, r.stdout, r.stderr)
	}
}
