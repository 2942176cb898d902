package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/ottla-io/ottla/ottlatest"
)

// TestYAMLHasTheFieldsOfJSON: every command that knows -o json prints the same with -o yaml.
func TestYAMLHasTheFieldsOfJSON(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	must(t, "", "topic", "create", "t", "-p", "2", "-c", "retention.ms=5000", "-b", b)
	must(t, "true\n1\nthird: line\n", "produce", "t", "-k", "null", "-b", b)
	must(t, "", "group", "reset", "g", "--to", "1", "--topic", "t", "--yes", "-b", b)
	for _, line := range []string{"topic describe t", "topic list", "config get topic t", "config get topic t --all", "group list", "consume t", "consume t -p 0 -n 0"} {
		args := append(strings.Fields(line), "-b", b)
		fromJSON := decodeAll(t, json.NewDecoder(strings.NewReader(must(t, "", append(args, "-o", "json")...))).Decode)
		text := must(t, "", append(args, "-o", "yaml")...)
		fromYAML := decodeAll(t, yaml.NewDecoder(strings.NewReader(text)).Decode)
		if diff := cmp.Diff(normal(t, fromJSON), normal(t, fromYAML)); diff != "" {
			t.Errorf("%s: json and yaml differ:\n%s\n%s", line, diff, text)
		}
	}
	if got, want := must(t, "", "group", "reset", "g", "--to", "2", "--topic", "t:1", "-o", "yaml", "-b", b), "group: g\ndone: false\nmoves:\n  - topic: t\n"; !strings.HasPrefix(got, want) {
		t.Errorf("order and style: %s\nwant it to begin %s", got, want)
	}
	if r := ottlaRuns(t, "", "topic", "list", "-o", "xml", "-b", b); r.code != 1 || !strings.Contains(r.stderr, "want table, json or yaml") {
		t.Errorf("%+v", r)
	}
	if out := must(t, "", "topic", "list", "-o", "yaml", "--help"); !strings.Contains(out, "Usage:") {
		t.Errorf("help: %s", out)
	}
}

// decodeAll reads documents to the end.
func decodeAll(t *testing.T, next func(any) error) (all []any) {
	t.Helper()
	for {
		var one any
		if err := next(&one); err != nil {
			if err.Error() != "EOF" {
				t.Fatal(err)
			}
			return all
		}
		all = append(all, one)
	}
}

// normal has numbers of one type.
func normal(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestYAMLOfAnyString: strings that YAML would take for something else come back as they were, however the JSON is cut into writes.
func TestYAMLOfAnyString(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	values := []string{"", "~", "null", "true", "no", "Yes", "0x1f", "1_000", "1e3", "-1", ".5", "2026-01-02", "- a", "a: b", "a #b", "#", "&a", "*a", "!t", "%", "@", "`", "'", "\"",
		"line\nline\n", "tab\t", "\x00\x1f", "\u2028", "\U0001F600", "<<", "=", " lead", "trail ", "{a}", "[a]", "?", "|", ">", "---", "...", "\u0085", "\ufeff"}
	for i := range 300 {
		value := values[random.IntN(len(values))]
		if i < len(values) {
			value = values[i]
		} else {
			value += values[random.IntN(len(values))]
		}
		document := map[string]any{value: value, "list": []any{value, 1, nil, true, map[string]any{}}}
		text, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		w := &yamlWriter{to: &out}
		text = fmt.Appendf(nil, "%s\n%s\n", text, text)
		cut := random.IntN(len(text))
		for _, piece := range [][]byte{text[:cut], text[cut:]} {
			if _, err := w.Write(piece); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
		back := decodeAll(t, yaml.NewDecoder(&out).Decode)
		if got, want := normal(t, back), normal(t, []any{document, document}); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
	if _, err := (&yamlWriter{to: &bytes.Buffer{}}).Write([]byte("not a document\n")); err == nil {
		t.Error("text passed for a document")
	}
}

// TestOutputEverywhere: what prints data does so as a table, JSON and YAML. These commands print none, or in a form of their own.
func TestOutputEverywhere(t *testing.T) {
	without := []string{"serve", "export", "completion", "man", "profile set", "profile use", "profile remove"}
	eachCommand(newRoot(), func(cmd *cobra.Command) {
		if cmd.HasSubCommands() || slices.Contains(without, strings.TrimPrefix(cmd.CommandPath(), "ottla ")) {
			return
		}
		flag := cmd.Flags().Lookup("output")
		if flag == nil {
			t.Errorf("%s has no -o", cmd.CommandPath())
			return
		}
		if _, ok := flag.Value.(*outputFlag); !ok {
			t.Errorf("%s has a -o of its own: register outputFormat", cmd.CommandPath())
		}
	})
}
