package cli_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/ottla-io/ottla/ottlatest"
)

// TestYAMLHasTheFieldsOfJSON: every command that knows -o json prints the same with -o yaml.
func TestYAMLHasTheFieldsOfJSON(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	shell.Must(t, "", "topic", "create", "t", "-p", "2", "-c", "retention.ms=5000", "-b", b)
	shell.Must(t, "true\n1\nthird: line\n", "produce", "t", "-k", "null", "-b", b)
	shell.Must(t, "", "group", "reset", "g", "--to", "1", "--topic", "t", "--yes", "-b", b)
	for _, line := range []string{"topic describe t", "topic list", "config get topic t", "config get topic t --all", "group list", "consume t", "consume t -p 0 -n 0"} {
		args := append(strings.Fields(line), "-b", b)
		fromJSON := decodeAll(t, json.NewDecoder(strings.NewReader(shell.Must(t, "", append(args, "-o", "json")...))).Decode)
		text := shell.Must(t, "", append(args, "-o", "yaml")...)
		fromYAML := decodeAll(t, yaml.NewDecoder(strings.NewReader(text)).Decode)
		if diff := cmp.Diff(normal(t, fromJSON), normal(t, fromYAML)); diff != "" {
			t.Errorf("%s: json and yaml differ:\n%s\n%s", line, diff, text)
		}
	}
	if got, want := shell.Must(t, "", "group", "reset", "g", "--to", "2", "--topic", "t:1", "-o", "yaml", "-b", b), "group: g\ndone: false\nmoves:\n  - topic: t\n"; !strings.HasPrefix(got, want) {
		t.Errorf("order and style: %s\nwant it to begin %s", got, want)
	}
	if r := shell.Runs(t, "", "topic", "list", "-o", "xml", "-b", b); r.Code != 1 || !strings.Contains(r.Stderr, "want table, json or yaml") {
		t.Errorf("%+v", r)
	}
	if out := shell.Must(t, "", "topic", "list", "-o", "yaml", "--help"); !strings.Contains(out, "Usage:") {
		t.Errorf("help: %s", out)
	}
}
