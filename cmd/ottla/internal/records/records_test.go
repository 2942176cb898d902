package records

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/cmd/ottla/internal/clitest"
	"github.com/ottla-io/ottla/ottlatest"
)

func TestPublishAndRead(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	shell.Must(t, "", "topic", "create", "t", "-p", "3", "-b", b)
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		shell.Must(t, "k1:first "+codec+"\nk2:second\n", "produce", "t", "-K", ":", "-z", codec, "-p", "1", "-H", "h=1", "-b", b)
	}
	lines := strings.Split(strings.TrimSpace(shell.Must(t, "", "consume", "t", "-f", `%t/%p/%o %k=%s %h %S %K\n`, "-b", b)), "\n")
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
		if got := shell.Must(t, "", args...); got != c.want {
			t.Errorf("%v: got %q, want %q", c.args, got, c.want)
		}
	}
}

func TestJSONLinesRoundTrip(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	input := `{"key":"k","value":"v","headers":[{"key":"a","value":"1"},{"key":"a","value":null}]}` + "\n" + `{"key":null,"value":null}` + "\n"
	shell.Must(t, input, "produce", "t", "--json", "-b", b)
	out := shell.Must(t, "", "consume", "t", "-o", "json", "-b", b)
	shell.Must(t, "", "topic", "create", "u", "-p", "1", "-b", b)
	shell.Must(t, out, "produce", "u", "--json", "-b", b)
	second := shell.Must(t, "", "consume", "u", "-o", "json", "-b", b)
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
	shell.Must(t, "one\n", "produce", "t", "-b", b)
	done := make(chan clitest.Ran, 1)
	go func() { done <- shell.Runs(t, "", "consume", "t", "--follow", "-n", "2", "-b", b) }()
	shell.Must(t, "two\n", "produce", "t", "-b", b)
	if r := <-done; r.Code != 0 || r.Stdout != "one\ntwo\n" {
		t.Fatalf("%+v", r)
	}
}

func TestFormatEscapes(t *testing.T) {
	for _, c := range []struct{ format, problem string }{{"%", "lone"}, {`\`, "backslash"}, {`\q`, `\q`}, {`\x1`, "hexadecimal"}, {"%%%s\\x41", ""}} {
		_, err := parseFormat(c.format)
		if (err == nil) != (c.problem == "") || (err != nil && !strings.Contains(err.Error(), c.problem)) {
			t.Errorf("%q: %v, want %q", c.format, err, c.problem)
		}
	}
}
