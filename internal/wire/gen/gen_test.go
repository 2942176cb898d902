package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTreeIsGenerated fails if the schema or the generator changed and go generate was not run, or if a generated file
// was edited.
func TestTreeIsGenerated(t *testing.T) {
	want, err := generate("../schema")
	if err != nil {
		t.Fatal(err)
	}
	got, err := generatedFiles("..")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range want {
		if !bytes.Equal(got[name], content) {
			t.Errorf("%s is not what gen writes: run go generate ./internal/wire", name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is generated no more: run go generate ./internal/wire", name)
		}
	}
	if len(want) < 250 {
		t.Errorf("%d files: too few for one a message", len(want))
	}
}

// TestRun writes into an empty directory twice: the second run changes nothing and removes a leftover.
func TestRun(t *testing.T) {
	directory := t.TempDir()
	if err := os.CopyFS(filepath.Join(directory, "schema"), os.DirFS("../schema")); err != nil {
		t.Fatal(err)
	}
	leftover := filepath.Join(directory, "gone_request.go")
	if err := os.WriteFile(leftover, []byte(generatedMark), 0o644); err != nil {
		t.Fatal(err)
	}
	byHand := filepath.Join(directory, "hand.go")
	if err := os.WriteFile(byHand, []byte("package wire\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(directory); err != nil {
		t.Fatal(err)
	}
	first, err := generatedFiles(directory)
	if err != nil {
		t.Fatal(err)
	}
	if err := run(directory); err != nil {
		t.Fatal(err)
	}
	second, err := generatedFiles(directory)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(first, second, bytes.Equal) {
		t.Error("a second run changes files")
	}
	if first["gone_request.go"] != nil {
		t.Error("a file that is generated no more stays")
	}
	if _, err := os.Stat(byHand); err != nil {
		t.Errorf("a file without our mark is gone: %v", err)
	}
}

func TestParseVersions(t *testing.T) {
	for text, want := range map[string]versions{
		"0+": {0, openEnd}, "3-13": {3, 13}, "7": {7, 7}, "none": none,
	} {
		got, err := parseVersions(text)
		if err != nil || got != want {
			t.Errorf("parseVersions(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "1-", "-1", "+"} {
		if got, err := parseVersions(text); err == nil {
			t.Errorf("parseVersions(%q) = %v, want an error", text, got)
		}
	}
}

func TestSchemaErrors(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown attribute":     {"data A versions=0 flexible=none\n  X int8 0+ nulable=0+\n", "A.txt:2: unknown attribute"},
		"nested below a scalar": {"data A versions=0 flexible=none\n  X int8 0+\n    Y int8 0+\n", "A.txt:3: nested below"},
		"unknown struct":        {"data A versions=0 flexible=none\n  X B 0+\n", "no struct B"},
		"same struct twice":     {"data A versions=0 flexible=none\n  X B 0+\n    Y int8 0+\n  Z B 0+\n    Y int8 0+\n", "defines B twice"},
		"contains itself":       {"data A versions=0 flexible=none\n  X []B 0+\n  struct B 0+\n    Y []B 0+\n", "contains itself"},
	} {
		messages, err := parseSchema("A.txt", c.text)
		if err == nil {
			err = resolve(messages)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func TestFileName(t *testing.T) {
	for message, want := range map[string]string{
		"ListOffsetsRequest": "list_offsets_request.go", "KRaftVersionRecord": "k_raft_version_record.go", "AbortedTxn": "aborted_txn.go",
	} {
		if got := fileName(message); got != want {
			t.Errorf("fileName(%s) = %s, want %s", message, got, want)
		}
	}
}
