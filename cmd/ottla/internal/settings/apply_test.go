package settings

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/ottlatest"
)

const clusterA = `topics:
  a:
    partitions: 3
    replicationFactor: 1
    config:
      cleanup.policy: compact,delete
      retention.ms: 86400000
  b:
    partitions: 1
    replicationFactor: 1
brokers:
  "1":
    log.segment.bytes: 80000000
  default:
    log.retention.ms: 90000000
groups:
  g:
    consumer.session.timeout.ms: 55000
`

// exported is what a broker has, without quotas, which TestApplyQuotas is about.
func exported(t *testing.T, b string) string {
	t.Helper()
	text, _, _ := strings.Cut(shell.Must(t, "", "export", "-b", b), "quotas:")
	return text
}

// TestApply: an empty broker becomes what the file says, the file is what it then exports, and applied again it changes nothing.
func TestApply(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	file := filepath.Join(t.TempDir(), "a.yaml")
	if err := os.WriteFile(file, []byte(clusterA), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := shell.Runs(t, "", "diff", file, "-b", b); r.Code != 1 || !strings.HasPrefix(r.Stdout, "~ broker 1\n    + log.segment.bytes: 80000000\n~ all brokers\n") || !strings.Contains(r.Stderr, "in 5 things") {
		t.Fatalf("%+v", r)
	}
	if r := shell.Runs(t, "", "apply", file, "-b", b); r.Code != 1 || !strings.Contains(r.Stderr, "nothing was changed: --yes does it") {
		t.Fatalf("%+v", r)
	}
	if got := exported(t, b); strings.Contains(got, "  a:") {
		t.Fatalf("changed without --yes:\n%s", got)
	}
	if got := shell.Must(t, "", "apply", file, "-b", b, "--yes"); !strings.HasSuffix(got, "\n5 changes made\n") {
		t.Errorf("apply:\n%s", got)
	}
	if diff := cmp.Diff(clusterA, exported(t, b)); diff != "" {
		t.Error(diff)
	}
	for _, args := range []string{"diff", "diff --prune", "apply", "apply --prune --yes"} {
		line := append(strings.Fields(args), file, "-b", b)
		want := ""
		if strings.HasPrefix(args, "apply") {
			want = "nothing to do\n"
		}
		if got := shell.Must(t, "", line...); got != want {
			t.Errorf("%s again: %q, want %q", args, got, want)
		}
	}
}

// TestApplyStepwise: what is changed, kept, refused and lost.
func TestApplyStepwise(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	shell.Must(t, clusterA, "apply", "-", "--yes", "-b", b)
	shell.Must(t, "x\n", "produce", "b", "-k", "k", "-b", b)
	for _, step := range []struct {
		file, args string
		code       int
		want       string // of stdout
		says       string // of stderr
	}{
		{"topics: {a: {partitions: 2}, b: {partitions: 4}}", "apply - --yes", 1,
			"~ topic b\n    ~ partitions: 1 -> 4\n! topic a has 3 partitions, not 2: partitions cannot be taken away; make a new topic, or change the file\n" +
				"not in the file, and left as it is: topic a: cleanup.policy; topic a: retention.ms\n", "nothing was changed: topic a has 3 partitions"},
		{"topics: {b: {partitions: 4, config: {segment.ms: 5000}}}", "apply - --yes", 0,
			"~ topic b\n    ~ partitions: 1 -> 4\n    + segment.ms: 5000\nnot in the file, and left as it is: topic a\n1 change made\n", ""},
		{"topics: {b: {config: {cleanup.policy: compact}}}", "apply -", 1,
			"~ topic b\n    + cleanup.policy: compact\n    loses data: with cleanup.policy=compact instead of delete, only the newest record of each key is kept\n" +
				"not in the file, and left as it is: topic a; topic b: segment.ms\n", "it would lose data, and is done with --yes only"},
		{"topics: {b: {config: {nonsense: 1}}, c: {config: {retention.mss: 1}}, d: {}}", "apply - --yes", 1,
			"~ topic b\n    + nonsense: 1\n+ topic c\n    + retention.mss: 1\n+ topic d\nnot in the file, and left as it is: topic a; topic b: segment.ms\n1 change made\n",
			"change settings of topic b: INVALID_CONFIG: Unknown topic config name: nonsense"},
		{"topics: {a: {config: {retention.ms: 86400000}}, d: {}}\ngroups: {}", "apply - --prune", 1,
			"~ topic a\n    - cleanup.policy: compact,delete\n~ group g\n    - consumer.session.timeout.ms: 55000\n- topic b\n    - partitions: 4\n    loses data: its records are deleted\n",
			"it would lose data"},
		{"topics: {a: {config: {retention.ms: 86400000}}, d: {}}\ngroups: {}", "apply - --prune --yes -o json", 0, "", ""},
		{"topics: [", "apply -", 1, "", "docs/apply.md"},
	} {
		r := shell.Runs(t, step.file, append(strings.Fields(step.args), "-b", b)...)
		if r.Code != step.code || step.want != "" && r.Stdout != step.want || !strings.Contains(r.Stderr, step.says) {
			t.Errorf("%s, with %s: exit code %d\n%s\n%s\nwant %d\n%s\n%s", step.args, step.file, r.Code, r.Stdout, r.Stderr, step.code, step.want, step.says)
		}
	}
	want := "topics:\n  a:\n    partitions: 3\n    replicationFactor: 1\n    config:\n      retention.ms: 86400000\n  d:\n    partitions: 1\n    replicationFactor: 1\n" +
		"brokers:\n  \"1\":\n    log.segment.bytes: 80000000\n  default:\n    log.retention.ms: 90000000\ngroups: {}\n"
	if diff := cmp.Diff(want, exported(t, b)); diff != "" {
		t.Errorf("after all: %s", diff)
	}
	var report struct {
		Done    bool
		Changes []struct{ Action, Kind, Name string }
	}
	r := shell.Runs(t, "topics: {e: {}}", "apply", "-", "-o", "json", "-b", b)
	if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil || report.Done || len(report.Changes) != 1 || report.Changes[0].Name != "e" || r.Code != 1 {
		t.Errorf("%v: %+v", err, r)
	}
	if r := shell.Runs(t, "", "diff", "/nowhere.yaml", "-b", b); r.Code != 1 || !strings.Contains(r.Stderr, "/nowhere.yaml") {
		t.Errorf("%+v", r)
	}
}

// terminal answers like somebody at a terminal.
type terminal struct{ *strings.Reader }

func (terminal) Stat() (os.FileInfo, error) { return terminalInfo{}, nil }

type terminalInfo struct{ os.FileInfo }

func (terminalInfo) Mode() fs.FileMode { return fs.ModeDevice | fs.ModeCharDevice }

func TestApplyAsks(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	file := filepath.Join(t.TempDir(), "a.yaml")
	if err := os.WriteFile(file, []byte("topics: {a: {}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		answer string
		code   int
	}{{"n\n", 1}, {"", 1}, {"y\n", 0}} {
		var stdout, stderr bytes.Buffer
		code := shell.Execute(t.Context(), []string{"apply", file, "-b", b}, terminal{strings.NewReader(c.answer)}, &stdout, &stderr)
		if code != c.code || !strings.HasPrefix(stderr.String(), "make 1 change? [y/N] ") {
			t.Errorf("%q: exit code %d, %s", c.answer, code, stderr.String())
		}
		if made := strings.Contains(shell.Must(t, "", "topic", "list", "-b", b), "\na "); made != (c.code == 0) {
			t.Errorf("%q: made %v", c.answer, made)
		}
	}
}

func TestApplyQuotas(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	const quotas = "quotas:\n  - entity:\n      ip: 127.0.0.9\n    limits:\n      connection_creation_rate: 5\n" +
		"  - entity:\n      client-id: null\n      user: alice\n    limits:\n      producer_byte_rate: 1048576\n"
	for _, step := range []struct{ file, args, want, left string }{
		{quotas, "apply - --yes", "~ quota ip=127.0.0.9\n    + connection_creation_rate: 5\n~ quota user=alice, client-id=<default>\n    + producer_byte_rate: 1048576\n2 changes made\n", quotas},
		{quotas, "apply - --yes --prune", "nothing to do\n", quotas},
		{"quotas: [{entity: {ip: 127.0.0.9}, limits: {connection_creation_rate: 7}}]", "apply - --yes", "~ quota ip=127.0.0.9\n    ~ connection_creation_rate: 5 -> 7\n" +
			"not in the file, and left as it is: quota user=alice, client-id=<default>\n1 change made\n", strings.Replace(quotas, ": 5", ": 7", 1)},
		{"quotas: [{entity: {ip: 127.0.0.9}, limits: {connection_creation_rate: null}}]", "apply - --yes --prune",
			"~ quota ip=127.0.0.9\n    - connection_creation_rate: 7\n- quota user=alice, client-id=<default>\n    - producer_byte_rate: 1048576\n2 changes made\n", "quotas: []\n"},
	} {
		if got := shell.Must(t, step.file, append(strings.Fields(step.args), "-b", b)...); got != step.want {
			t.Errorf("%s:\n%s\nwant\n%s", step.file, got, step.want)
		}
		_, left, _ := strings.Cut(shell.Must(t, "", "export", "-b", b), "quotas:")
		if diff := cmp.Diff(step.left, "quotas:"+left); diff != "" {
			t.Errorf("%s leaves:\n%s", step.file, diff)
		}
	}
}
