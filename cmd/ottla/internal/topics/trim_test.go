package topics

import (
	"strings"
	"testing"

	"github.com/ottla-io/ottla/ottlatest"
)

func TestTopicTrim(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	shell.Must(t, "", "topic", "create", "t", "-p", "2", "-b", b)
	shell.Must(t, "", "topic", "create", "compacted", "-c", "cleanup.policy=compact", "-b", b)
	shell.Must(t, "a\nb\nc\n", "produce", "t", "-p", "0", "-b", b)
	shell.Must(t, "d\ne\n", "produce", "t", "-p", "1", "-b", b)
	shell.Must(t, "f\n", "produce", "compacted", "-k", "k", "-b", b)
	for _, step := range []struct{ args, want, left string }{
		{"trim t --partition 0 --before 2", "TOPIC  PARTITION  START  NEW START  END  \nt      0          0      2          3    deletes 2 records\nnothing was changed: --yes does it\n", "abcde"},
		{"trim t --partition 0 --before 2 --yes", "TOPIC  PARTITION  START  NEW START  END  \nt      0          0      2          3    2 records deleted\n", "cde"},
		{"delete-records t --before 2001-02-03T04:05:06Z --yes -o yaml", "done: true\npartitions:\n  - topic: t\n    partition: 0\n    startOffset: 2\n    newStartOffset: 2\n    endOffset: 3\n    deleted: 0\n" +
			"  - topic: t\n    partition: 1\n    startOffset: 0\n    newStartOffset: 0\n    endOffset: 2\n    deleted: 0\n", "cde"},
		{"trim t --before 2999-01-01T00:00:00Z", "TOPIC  PARTITION  START  NEW START  END  \nt      0          2      3          3    deletes 1 record\nt      1          0      2          2    deletes 2 records\nnothing was changed: --yes does it\n", "cde"},
		{"trim t --before 1 --partition 0 --yes", "TOPIC  PARTITION  START  NEW START  END  \nt      0          2      2          3    stays\n", "cde"},
		{"trim t --before 9 --partition 0", "TOPIC  PARTITION  START  NEW START  END  \nt      0          2      3          3    deletes 1 record\nnothing was changed: --yes does it\n", "cde"},
		{"trim t --before end --yes", "TOPIC  PARTITION  START  NEW START  END  \nt      0          2      3          3    1 record deleted\nt      1          0      2          2    2 records deleted\n", ""},
	} {
		if got := shell.Must(t, "", append([]string{"topic", "-b", b}, strings.Fields(step.args)...)...); got != step.want {
			t.Errorf("%s:\n%s\nwant\n%s", step.args, got, step.want)
		}
		if got := shell.Must(t, "", "consume", "t", "-f", `%s\n`, "-b", b); !sameLines(strings.TrimSpace(got), strings.Join(strings.Split(step.left, ""), "\n")) {
			t.Errorf("%s leaves %q, want %q", step.args, got, step.left)
		}
	}
	for _, c := range []struct{ args, want string }{
		{"compacted --before end --yes", "partition 0 of topic compacted: POLICY_VIOLATION"},
		{"absent --before end", "topic absent: UNKNOWN_TOPIC_OR_PARTITION"},
		{"t --partition 7 --before end", "no partition 7"},
		{"t --before yesterday", "want an offset"},
		{"t --before -1", "0 or more"},
		{"t", "before"},
	} {
		if r := shell.Runs(t, "", append([]string{"topic", "trim", "-b", b}, strings.Fields(c.args)...)...); r.Code == 0 || !strings.Contains(r.Stderr, c.want) {
			t.Errorf("%s: exit code %d, %q, want %q", c.args, r.Code, r.Stderr, c.want)
		}
	}
}

// sameLines compares without regard to order.
func sameLines(a, b string) bool {
	count := map[string]int{}
	for _, line := range strings.Split(a, "\n") {
		count[line]++
	}
	for _, line := range strings.Split(b, "\n") {
		count[line]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}
