package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/cmd/ottla/internal/clitest"
	"github.com/ottla-io/ottla/ottlatest"
)

// TestErrorsSayWhatWhyAndWhatNext runs command lines that fail: exit code 1, one line, and the words that help.
func TestErrorsSayWhatWhyAndWhatNext(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	shell.Must(t, "", "topic", "create", "exists", "-b", b)
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("listen: [unclosed"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"consme"}, []string{"did you mean consume?"}},
		{[]string{"topic", "creat", "x"}, []string{"did you mean create?"}},
		{[]string{"topic", "create", "x", "--partition", "3"}, []string{"--partitions"}},
		{[]string{"serve", "--lisen", "x"}, []string{"--listen"}},
		{[]string{"serve", "--set", "num.partition=3"}, []string{"num.partitions"}},
		{[]string{"serve", "--set", "num.partitions"}, []string{"KEY=VALUE"}},
		{[]string{"serve", "--config", "/nowhere/ottla.yaml"}, []string{"/nowhere/ottla.yaml", "no such file"}},
		{[]string{"serve", "--config", broken}, []string{broken, "yaml"}},
		{[]string{"topic", "create", "exists", "-b", b}, []string{"exists", "TOPIC_ALREADY_EXISTS"}},
		{[]string{"topic", "create", "bad name", "-b", b}, []string{"INVALID_TOPIC_EXCEPTION"}},
		{[]string{"topic", "create", "x", "-r", "3", "-b", b}, []string{"INVALID_REPLICATION_FACTOR"}},
		{[]string{"topic", "create", "x", "-c", "retention.mss=1", "-b", b}, []string{"INVALID_CONFIG", "retention.ms"}},
		{[]string{"topic", "delete", "nope", "-b", b}, []string{"UNKNOWN_TOPIC_OR_PARTITION"}},
		{[]string{"consume", "nope", "-b", b}, []string{"does not exist", "topic list"}},
		{[]string{"consume", "exists", "-p", "7", "-b", b}, []string{"no partition 7"}},
		{[]string{"consume", "exists", "--from", "yesterday", "-b", b}, []string{"yesterday", "earliest"}},
		{[]string{"consume", "exists", "-f", "%q", "-b", b}, []string{"%q"}},
		{[]string{"produce", "exists", "-z", "brotli", "-b", b}, []string{"zstd"}},
		{[]string{"produce", "exists", "-K", ":", "-b", b}, []string{"line 1", "key delimiter"}},
		{[]string{"topic", "list", "-b", "127.0.0.1:1", "--timeout", "1s"}, []string{"127.0.0.1:1", "ottla serve"}},
		{[]string{"log", "verify", "/nowhere"}, []string{"/nowhere"}},
	} {
		r := shell.Runs(t, "no delimiter here\n", c.args...)
		line := strings.TrimSpace(r.Stderr)
		if r.Code != 1 || strings.Contains(line, "\n") {
			t.Errorf("ottla %s: exit code %d, stderr %q; want 1 and one line", strings.Join(c.args, " "), r.Code, r.Stderr)
		}
		for _, want := range c.want {
			if !strings.Contains(line, want) {
				t.Errorf("ottla %s: %q does not say %q", strings.Join(c.args, " "), line, want)
			}
		}
	}
}

func TestUnknownVariableIsNamed(t *testing.T) {
	t.Setenv("OTTLA_LOG_RETENTION_HOUR", "1")
	if r := shell.Runs(t, "", "serve", "--data", t.TempDir()); r.Code != 1 || !strings.Contains(r.Stderr, "OTTLA_LOG_RETENTION_HOUR") {
		t.Fatalf("%+v", r)
	}
}

func TestServeRunsUntilItIsTold(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	out, ready := clitest.NewLineWaiter()
	t.Setenv("OTTLA_NUM_PARTITIONS", "4")
	exit := make(chan int, 1)
	var stderr bytes.Buffer
	go func() {
		exit <- shell.Execute(ctx, []string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--admin", "none", "--log-level", "error"}, strings.NewReader(""), out, &stderr)
	}()
	var line string
	select {
	case line = <-ready:
	case code := <-exit:
		t.Fatalf("exit code %d before it was ready: %s", code, stderr.String())
	}
	_, rest, _ := strings.Cut(line, "kafka ")
	address, _, ok := strings.Cut(rest, ",")
	if !ok || !strings.Contains(line, "data ") {
		t.Fatalf("ready line %q", line)
	}
	if out := shell.Must(t, "", "topic", "create", "t", "-b", address); !strings.Contains(out, "4 partitions") {
		t.Errorf("OTTLA_NUM_PARTITIONS=4, and %q", out)
	}
	stop()
	if code := <-exit; code != 0 {
		t.Fatalf("exit code %d after it was told to stop: %s", code, stderr.String())
	}
}

func TestVersion(t *testing.T) {
	var v map[string]string
	if err := json.Unmarshal([]byte(shell.Must(t, "", "version", "-o", "json")), &v); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"version", "commit", "go"} {
		if v[field] == "" {
			t.Errorf("no %s in %v", field, v)
		}
	}
}
