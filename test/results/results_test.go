package results

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ottla-io/ottla/test/broker"
)

// TestWatch: what a trace shows is sorted by API; a trace that breaks off, as when a broker is killed, is asked for again.
func TestWatch(t *testing.T) {
	t.Setenv("OTTLA_RESULTS", "1")
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		line := `{"clientId":%q,"software":%q,"api":%q,"version":%d,"groups":["g"],"topics":[{"name":"t"}]}` + "\n"
		fmt.Fprintf(out, line, "a", "java/4", "Produce", 13)
		fmt.Fprintf(out, line, "a", "unknown/unknown", "ApiVersions", 4)
		fmt.Fprintf(out, line, "ours", "kgo/1", "Produce", 12)
		fmt.Fprintln(out, `{"traced":3,"dropped":0}`)
		if asked.Add(1) > 1 {
			fmt.Fprintf(out, line, "a", "java/4", "Produce", 9)
		}
	}))
	defer server.Close()
	w := Start(strings.TrimPrefix(server.URL, "http://"))
	seen := func() (clients, apis []string) {
		return w.Seen(func(r Request) bool { return r.ClientID == "a" && r.Group == "g" && r.Topic == "t" })
	}
	want := []string{"ApiVersions 4", "Produce 9, 13"}
	for deadline := time.Now().Add(10 * time.Second); ; {
		clients, apis := seen()
		if slices.Equal(apis, want) && slices.Equal(clients, []string{"java/4"}) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("seen: %q by %q, wanted %q by java/4", apis, clients, want)
		}
		<-time.After(10 * time.Millisecond)
	}
	w.Stop()
}

// TestRecord: an entry takes the place of the one of its name, and only if it is asked for.
func TestRecord(t *testing.T) {
	if broker.Peer() != broker.Ottla {
		t.Skip("nothing is written of other brokers")
	}
	file := filepath.Join(t.TempDir(), "results.json")
	t.Setenv("OTTLA_RESULTS", "")
	Record(t, file, Entry{Name: "a"})
	if _, err := Read(file); err == nil {
		t.Fatal("there is a file although OTTLA_RESULTS is not set")
	}
	t.Setenv("OTTLA_RESULTS", "1")
	for _, e := range []Entry{{Name: "b", Version: "1"}, {Name: "a", Version: "1"}, {Name: "b", Version: "2"}} {
		Record(t, file, e)
	}
	entries, err := Read(file)
	if err != nil || len(entries) != 2 || entries[0].Name != "a" || entries[1].Name != "b" || entries[1].Version != "2" || entries[1].Date == "" {
		t.Fatalf("entries: %+v, %v; wanted a and the second b", entries, err)
	}
}
