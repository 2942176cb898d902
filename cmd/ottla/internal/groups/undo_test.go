package groups

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ottla-io/ottla"
)

// committedIn are the offsets of a group in a topic, by partition.
func committedIn(t *testing.T, b, group, topic string) (offsets []int64) {
	t.Helper()
	for _, g := range described(t, b, group) {
		for _, p := range g.Partitions {
			if p.Topic == topic {
				offsets = append(offsets, p.Committed)
			}
		}
	}
	return offsets
}

// TestGroupUndo: resets are taken back one by one or several at once, and undoing is undone, also after a restart.
func TestGroupUndo(t *testing.T) {
	config := ottla.Config{DataDir: filepath.Join(t.TempDir(), "data"), NodeID: 1, Listen: "127.0.0.1:0"}
	start := func() *ottla.Broker {
		broker, err := ottla.Start(config)
		if err != nil {
			t.Fatal(err)
		}
		return broker
	}
	broker := start()
	b := broker.Addr()
	shell.Must(t, "", "topic", "create", "t", "-p", "2", "-b", b)
	for p := range 2 {
		shell.Must(t, strings.Repeat("v\n", 10), "produce", "t", "-p", fmt.Sprint(p), "-b", b)
	}
	at := func(want ...int64) {
		t.Helper()
		if got := committedIn(t, b, "g", "t"); !slices.Equal(got, want) {
			t.Errorf("the group is at %v, want %v", got, want)
		}
	}
	for _, reset := range [][]string{{"--to", "4", "--topic", "t"}, {"--to", "8"}, {"--to", "2", "--topic", "t:1"}} {
		shell.Must(t, "", append([]string{"group", "reset", "g", "--yes", "-b", b}, reset...)...)
	}
	at(8, 2)
	if out := shell.Must(t, "", "group", "undo", "g", "-b", b); !strings.Contains(out, "skips 6 records") || !strings.Contains(out, "nothing was changed") {
		t.Errorf("a look at it: %s", out)
	}
	at(8, 2)
	if err := broker.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	broker = start()
	defer broker.Close(t.Context()) //nolint:errcheck // the test is over
	b = broker.Addr()
	shell.Must(t, "", "group", "undo", "g", "--yes", "-b", b)
	at(8, 8)
	shell.Must(t, "", "group", "undo", "g", "--yes", "-b", b)
	at(8, 2)
	var resets []rememberedReset
	if err := json.Unmarshal([]byte(shell.Must(t, "", "group", "undo", "g", "--list", "-o", "json", "-b", b)), &resets); err != nil || len(resets) != 5 || resets[4].Partitions != 2 || resets[4].Back != 5 {
		t.Fatalf("remembered: %+v, %v", resets, err)
	}
	shell.Must(t, "", "group", "undo", "g", "--back", "4", "--yes", "-b", b)
	at(4, 4)
	var report undoReport
	if err := json.Unmarshal([]byte(shell.Must(t, "", "group", "undo", "g", "--back", "6", "-o", "json", "-b", b)), &report); err != nil || report.Done || len(report.Moves) != 2 || report.Moves[0].To != -1 {
		t.Errorf("back to nothing: %+v, %v", report, err)
	}
	if r := shell.Runs(t, "", "group", "undo", "g", "--back", "7", "-b", b); r.Code != 1 || !strings.Contains(r.Stderr, "6 resets are remembered") {
		t.Errorf("further than is remembered: %+v", r)
	}
	if r := shell.Runs(t, "", "group", "undo", "nobody", "-b", b); r.Code != 1 || !strings.Contains(r.Stderr, "does not exist") {
		t.Errorf("a group that is not there: %+v", r)
	}
}
