package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ottla-io/ottla/ottlatest"
)

// ran is what one command line did.
type ran struct {
	code           int
	stdout, stderr string
}

func ottlaRuns(t *testing.T, stdin string, args ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	code := execute(ctx, newRoot(), args, strings.NewReader(stdin), &stdout, &stderr)
	if ctx.Err() != nil {
		t.Fatalf("ottla %s took more than 30 s", strings.Join(args, " "))
	}
	return ran{code, stdout.String(), stderr.String()}
}

// must fails the test unless the command succeeds, and returns its output.
func must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	r := ottlaRuns(t, stdin, args...)
	if r.code != 0 {
		t.Fatalf("ottla %s: exit code %d: %s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r.stdout
}

func TestPublishAndRead(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	must(t, "", "topic", "create", "t", "-p", "3", "-b", b)
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		must(t, "k1:first "+codec+"\nk2:second\n", "produce", "t", "-K", ":", "-z", codec, "-p", "1", "-H", "h=1", "-b", b)
	}
	lines := strings.Split(strings.TrimSpace(must(t, "", "consume", "t", "-f", `%t/%p/%o %k=%s %h %S %K\n`, "-b", b)), "\n")
	if len(lines) != 10 || lines[0] != "t/1/0 k1=first none h=1 10 2" || lines[9] != "t/1/9 k2=second h=1 6 2" {
		t.Fatalf("read back:\n%s", strings.Join(lines, "\n"))
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--from", "3"}, "second\nfirst snappy\nsecond\nfirst lz4\nsecond\nfirst zstd\nsecond\n"},
		{[]string{"--from", "3", "--until", "5"}, "second\nfirst snappy\n"},
		{[]string{"--from", "-2"}, "first zstd\nsecond\n"},
		{[]string{"--from", "earliest", "-n", "1"}, "first none\n"},
		{[]string{"--from", "latest"}, ""},
		{[]string{"--from", "@-1h", "--until", "1"}, "first none\n"},
		{[]string{"--from", "@4102444800000"}, ""},
		{[]string{"-p", "0"}, ""},
	} {
		args := append([]string{"consume", "t", "-b", b}, c.args...)
		if !strings.Contains(strings.Join(c.args, " "), "-p") {
			args = append(args, "-p", "1")
		}
		if got := must(t, "", args...); got != c.want {
			t.Errorf("%v: got %q, want %q", c.args, got, c.want)
		}
	}
}

func TestJSONLinesRoundTrip(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	input := `{"key":"k","value":"v","headers":[{"key":"a","value":"1"},{"key":"a","value":null}]}` + "\n" + `{"key":null,"value":null}` + "\n"
	must(t, input, "produce", "t", "--json", "-b", b)
	out := must(t, "", "consume", "t", "-o", "json", "-b", b)
	must(t, "", "topic", "create", "u", "-p", "1", "-b", b)
	must(t, out, "produce", "u", "--json", "-b", b)
	second := must(t, "", "consume", "u", "-o", "json", "-b", b)
	strip := func(text string) (records []map[string]any) {
		for line := range strings.Lines(text) {
			var record map[string]any
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			for _, field := range []string{"topic", "timestampMs", "offset", "partition"} {
				delete(record, field)
			}
			records = append(records, record)
		}
		return records
	}
	if a, b := fmt.Sprint(strip(out)), fmt.Sprint(strip(second)); a != b || len(strip(out)) != 2 {
		t.Fatalf("first %s\nthen  %s", a, b)
	}
}

func TestFollow(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	must(t, "one\n", "produce", "t", "-b", b)
	done := make(chan ran, 1)
	go func() { done <- ottlaRuns(t, "", "consume", "t", "--follow", "-n", "2", "-b", b) }()
	must(t, "two\n", "produce", "t", "-b", b)
	if r := <-done; r.code != 0 || r.stdout != "one\ntwo\n" {
		t.Fatalf("%+v", r)
	}
}

func TestTopics(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	must(t, "", "topic", "create", "a", "b", "-p", "2", "-c", "retention.ms=1234567", "-b", b)
	var listed []listedTopic
	if err := json.Unmarshal([]byte(must(t, "", "topic", "list", "-o", "json", "-b", b)), &listed); err != nil {
		t.Fatal(err)
	}
	if len(listed) != 2 || listed[0].Topic != "a" || listed[0].Partitions != 2 || len(listed[0].ID) != 22 {
		t.Fatalf("%+v", listed)
	}
	if out := must(t, "", "topic", "describe", "a", "-b", b); !strings.Contains(out, "retention.ms=1234567") || !strings.Contains(out, listed[0].ID) {
		t.Errorf("describe:\n%s", out)
	}
	must(t, "", "topic", "create", "a", "--if-not-exists", "-b", b)
	must(t, "", "topic", "delete", "a", "b", "-b", b)
	if out := must(t, "", "topic", "list", "-b", b); strings.Contains(out, "a ") {
		t.Errorf("after delete:\n%s", out)
	}
}

// TestErrorsSayWhatWhyAndWhatNext runs command lines that fail: exit code 1, one line, and the words that help.
func TestErrorsSayWhatWhyAndWhatNext(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	must(t, "", "topic", "create", "exists", "-b", b)
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
		r := ottlaRuns(t, "no delimiter here\n", c.args...)
		line := strings.TrimSpace(r.stderr)
		if r.code != 1 || strings.Contains(line, "\n") {
			t.Errorf("ottla %s: exit code %d, stderr %q; want 1 and one line", strings.Join(c.args, " "), r.code, r.stderr)
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
	if r := ottlaRuns(t, "", "serve", "--data", t.TempDir()); r.code != 1 || !strings.Contains(r.stderr, "OTTLA_LOG_RETENTION_HOUR") {
		t.Fatalf("%+v", r)
	}
}

func TestServeRunsUntilItIsTold(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	out, ready := newLineWaiter()
	t.Setenv("OTTLA_NUM_PARTITIONS", "4")
	exit := make(chan int, 1)
	var stderr bytes.Buffer
	go func() {
		exit <- execute(ctx, newRoot(), []string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--admin", "none", "--log-level", "error"}, strings.NewReader(""), out, &stderr)
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
	if out := must(t, "", "topic", "create", "t", "-b", address); !strings.Contains(out, "4 partitions") {
		t.Errorf("OTTLA_NUM_PARTITIONS=4, and %q", out)
	}
	stop()
	if code := <-exit; code != 0 {
		t.Fatalf("exit code %d after it was told to stop: %s", code, stderr.String())
	}
}

// lineWaiter hands on the first line written to it.
type lineWaiter struct {
	buffer bytes.Buffer
	line   chan string
	done   bool
}

func newLineWaiter() (*lineWaiter, <-chan string) {
	w := &lineWaiter{line: make(chan string, 1)}
	return w, w.line
}

func (w *lineWaiter) Write(p []byte) (int, error) {
	w.buffer.Write(p)
	if line, _, ok := strings.Cut(w.buffer.String(), "\n"); ok && !w.done {
		w.done = true
		w.line <- line
	}
	return len(p), nil
}

func TestFormatEscapes(t *testing.T) {
	for _, c := range []struct{ format, problem string }{{"%", "lone"}, {`\`, "backslash"}, {`\q`, `\q`}, {`\x1`, "hexadecimal"}, {"%%%s\\x41", ""}} {
		_, err := parseFormat(c.format)
		if (err == nil) != (c.problem == "") || (err != nil && !strings.Contains(err.Error(), c.problem)) {
			t.Errorf("%q: %v, want %q", c.format, err, c.problem)
		}
	}
}

func TestVersion(t *testing.T) {
	var v map[string]string
	if err := json.Unmarshal([]byte(must(t, "", "version", "-o", "json")), &v); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"version", "commit", "go"} {
		if v[field] == "" {
			t.Errorf("no %s in %v", field, v)
		}
	}
}

func TestLogVerifyAndDumpReadWhatKafkaWrote(t *testing.T) {
	if out := must(t, "", "log", "verify", "../../testdata/kafka-4.3.1"); !strings.Contains(out, " 0 findings") {
		t.Errorf("verify: %s", out)
	}
	if out := must(t, "", "log", "verify", "-o", "json", "../../testdata/kafka-4.3.1"); !strings.HasPrefix(out, `{"kind":"summary","files":`) || !strings.HasSuffix(out, `"findings":0}`+"\n") {
		t.Errorf("verify -o json: %s", out)
	}
	if out := must(t, "", "log", "stat", "-o", "json", "../../testdata/kafka-4.3.1"); strings.Count(out, `{"kind":"partition","path":`) != 4 || strings.Count(out, `{"kind":"directory","path":`) != 1 {
		t.Errorf("stat -o json: %s", out)
	}
	if out := must(t, "", "log", "dump", "-o", "json", "../../testdata/kafka-4.3.1/t-0"); !strings.Contains(out, "{") {
		t.Errorf("dump: %s", out)
	}
}
