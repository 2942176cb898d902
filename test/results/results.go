// Package results remembers what a test drove a broker with: the program, its version, the Kafka client inside, and the versions of the requests that it
// sent, as the broker's own trace shows them. docs/clients.md and docs/engines.md are written from the files that it keeps.
//
// Nothing is written unless OTTLA_RESULTS is set, so that a usual run leaves the tree as it is.
package results

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ottla-io/ottla/test/broker"
)

// Entry is one program and what it did.
type Entry struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Clients are the Kafka client libraries that it spoke with, as they name themselves to the broker (KIP-511).
	Clients []string `json:"clients"`
	// Did is a sentence about what was run and what came out.
	Did string `json:"did"`
	// Date is when, YYYY-MM-DD in UTC.
	Date string `json:"date"`
	// APIs are the requests that it sent, in alphabetical order: "Produce 13", or "Fetch 12, 13" if in several versions.
	APIs []string `json:"apis"`
}

// Watch is a look at the requests that a broker answers, from its start until Stop; it survives restarts of the broker.
type Watch struct {
	cancel context.CancelFunc
	done   chan struct{}
	mu     sync.Mutex
	seen   map[Request]bool
}

// Request is what the trace says of one, as far as it matters here.
type Request struct {
	ClientID string `json:"clientId"`
	// Software is NAME/VERSION, or unknown/unknown.
	Software string `json:"software"`
	API      string `json:"api"`
	Version  int    `json:"version"`
	// Group and Topic are those that the request names, if it names exactly one.
	Group, Topic string `json:"-"`
}

// unknownSoftware is how the trace names a client that did not say what it is.
const unknownSoftware = "unknown/unknown"

// Start begins to watch the broker whose admin port is at admin, HOST:PORT. Of a broker that has none, as Kafka, and without OTTLA_RESULTS,
// it sees nothing.
func Start(admin string) *Watch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &Watch{cancel: cancel, done: make(chan struct{}), seen: map[Request]bool{}}
	if os.Getenv("OTTLA_RESULTS") == "" {
		close(w.done)
		return w
	}
	go w.run(ctx, admin)
	return w
}

func (w *Watch) run(ctx context.Context, admin string) {
	defer close(w.done)
	for ctx.Err() == nil {
		w.follow(ctx, admin)
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// follow reads a trace until it ends: with the broker, or with ctx.
func (w *Watch) follow(ctx context.Context, admin string) {
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/trace?for=30m", nil)
	if err != nil {
		return
	}
	reply, err := http.DefaultClient.Do(ask)
	if err != nil {
		return
	}
	defer reply.Body.Close()
	lines := bufio.NewScanner(reply.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			Request
			Groups []string `json:"groups"`
			Topics []struct {
				Name string `json:"name"`
			} `json:"topics"`
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil || line.API == "" { // the last line tells how many were dropped
			continue
		}
		r := line.Request
		if len(line.Groups) == 1 {
			r.Group = line.Groups[0]
		}
		if len(line.Topics) == 1 {
			r.Topic = line.Topics[0].Name
		}
		w.mu.Lock()
		w.seen[r] = true
		w.mu.Unlock()
	}
}

// Stop ends the watch.
func (w *Watch) Stop() {
	w.cancel()
	<-w.done
}

// Seen are the software and the APIs of the requests that mine says yes to, as in an Entry.
func (w *Watch) Seen(mine func(Request) bool) (clients, apis []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	versions := map[string][]int{}
	for r := range w.seen {
		if !mine(r) {
			continue
		}
		if r.Software != unknownSoftware {
			clients = append(clients, strings.TrimSuffix(r.Software, "/unknown"))
		}
		versions[r.API] = append(versions[r.API], r.Version)
	}
	for _, api := range slices.Sorted(maps.Keys(versions)) {
		slices.Sort(versions[api])
		list := fmt.Sprint(slices.Compact(versions[api]))
		apis = append(apis, api+" "+strings.ReplaceAll(strings.Trim(list, "[]"), " ", ", "))
	}
	slices.Sort(clients)
	return slices.Compact(clients), apis
}

// Versions are the versions of the foreign programs that test/install.sh installed, by their names in test/env, which prints them.
func Versions(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.Command(filepath.Join(broker.ModuleDir(), "env")).Output()
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if name, version, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			words := strings.Fields(version)
			last := words[len(words)-1] // of the module in front of it
			if name == "kcat" || name == "librdkafka" {
				last = words[0]
			}
			versions[name] = strings.TrimPrefix(strings.TrimPrefix(last, "kafka-clients-"), "v")
		}
	}
	return versions
}

// Record puts an entry into file, in place of the one of its name, with today's date; a test that failed, or that ran against another broker than
// Ottla, leaves it as it is.
func Record(t *testing.T, file string, entry Entry) {
	t.Helper()
	if os.Getenv("OTTLA_RESULTS") == "" || t.Failed() || broker.Peer() != broker.Ottla {
		return
	}
	if err := put(file, entry); err != nil {
		t.Error(err)
	}
}

func put(file string, entry Entry) error {
	entries, err := Read(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entry.Date = time.Now().UTC().Format(time.DateOnly)
	byName := map[string]Entry{}
	for _, e := range append(entries, entry) {
		byName[e.Name] = e
	}
	entries = slices.SortedFunc(maps.Values(byName), func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	content, err := json.MarshalIndent(entries, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(content, '\n'), 0o644)
}

// Read is what lies in file.
func Read(file string) ([]Entry, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	if err := json.Unmarshal(content, &entries); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return entries, nil
}
