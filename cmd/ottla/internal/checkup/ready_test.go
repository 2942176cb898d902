package checkup

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
	if out := shell.Must(t, "", "ready", "--admin", broker.AdminAddr()); out != "ready\n" {
		t.Errorf("%q", out)
	}
	if out := shell.Must(t, "", "ready", "--admin", broker.AdminAddr(), "-o", "json"); !strings.Contains(out, `"ready": true`) && !strings.Contains(out, `"ready":true`) {
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
		r := shell.Runs(t, "", "ready", "--admin", strings.TrimPrefix(other.URL, "http://"))
		other.Close()
		if r.Code != 1 || !strings.Contains(r.Stderr, want) {
			t.Errorf("%s: exit code %d, %q", answer, r.Code, r.Stderr)
		}
	}
	if r := shell.Runs(t, "", "ready", "--admin", "127.0.0.1:1"); r.Code != 1 || !strings.Contains(r.Stderr, "--admin HOST:PORT") {
		t.Errorf("nobody there: exit code %d, %q", r.Code, r.Stderr)
	}
}

// TestUnreachableAddress: a broker whose advertised address does not answer from here is a sentence or a blank, not the end of the command.
func TestUnreachableAddress(t *testing.T) {
	broker := ottlatest.Start(t, func(c *ottla.Config) { c.Advertise = "127.0.0.1:1" })
	r := shell.Runs(t, "", "cluster", "info", "-b", broker.Addr(), "--timeout", "3s")
	if !strings.Contains(r.Stdout+r.Stderr, "127.0.0.1:1") {
		t.Errorf("exit code %d, %q, %q", r.Code, r.Stdout, r.Stderr)
	}
}
