package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ottla-io/ottla"
	"github.com/ottla-io/ottla/ottlatest"
)

// TestConfigPrint: each value is named with the source that wins.
func TestConfigPrint(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ottla.yaml")
	if err := os.WriteFile(file, []byte("num.partitions: 2\nlog.retention.hours: 5\nlog.segment.bytes: 2000000\nlisten: 127.0.0.1:7\nnum.io.threads: 4\nlog.dirs: [/a, /b]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTTLA_NUM_PARTITIONS", "3")
	t.Setenv("OTTLA_LOG_RETENTION_HOURS", "6")
	var printed []struct {
		Name, Source string
		Value        *string
		Effect       bool
	}
	text := shell.Must(t, "", "config", "print", "--config", file, "--set", "log.retention.hours=7", "--node-id", "4", "-o", "json")
	if err := json.Unmarshal([]byte(text), &printed); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range printed {
		got[s.Name] = fmt.Sprintf("%s from %s, %v", *s.Value, s.Source, s.Effect)
	}
	for name, want := range map[string]string{
		"num.partitions": "3 from variable OTTLA_NUM_PARTITIONS, true", "log.retention.hours": "7 from flag --set, true", "log.segment.bytes": "2000000 from file " + file + ", true",
		"listen": "127.0.0.1:7 from file " + file + ", true", "node-id": "4 from flag --node-id, true", "num.io.threads": "4 from file " + file + ", false", "log.dirs": "/a,/b from file " + file + ", true",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if len(got) != 7 {
		t.Errorf("printed without --all: %v", got)
	}
	if out := shell.Must(t, "", "config", "print", "max.connections", "data"); !strings.Contains(out, "2147483647  default") || !strings.Contains(out, "ottla-data  default") {
		t.Errorf("named settings:\n%s", out)
	}
	for args, want := range map[string]string{"--set num.partitions=x": "Not a number of type INT", "retention.ms": "no setting of a broker", "num.partitionz": "did you mean num.partitions?", "--set sasl.enabled.mechanisms=PLAIN": "no authentication yet"} {
		if r := shell.Runs(t, "", append([]string{"config", "print"}, strings.Fields(args)...)...); r.Code != 1 || !strings.Contains(r.Stderr, want) {
			t.Errorf("%s: %+v", args, r)
		}
	}
	b := ottlatest.Start(t, func(c *ottla.Config) {
		c.Settings = map[string]string{"log.retention.ms": "70000", "num.io.threads": "3"}
	}).Addr()
	shell.Must(t, "", "config", "set", "broker", "1", "log.retention.ms=80000", "-b", b)
	out := shell.Must(t, "", "config", "print", "--addr", b)
	if !strings.Contains(out, "80000") || !strings.Contains(out, "log.retention.ms=70000 (static broker)") || !strings.Contains(out, "does nothing here") {
		t.Errorf("of a running broker:\n%s", out)
	}
}
