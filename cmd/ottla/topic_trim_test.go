package main

import (
	"strings"
	"testing"

	"github.com/ottla-io/ottla/ottlatest"
)

func TestTopicTrim(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	must(t, "", "topic", "create", "t", "-p", "2", "-b", b)
	must(t, "", "topic", "create", "compacted", "-c", "cleanup.policy=compact", "-b", b)
	must(t, "a\nb\nc\n", "produce", "t", "-p", "0", "-b", b)
	must(t, "d\ne\n", "produce", "t", "-p", "1", "-b", b)
	must(t, "f\n", "produce", "compacted", "-k", "k", "-b", b)
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
		if got := must(t, "", append([]string{"topic", "-b", b}, strings.Fields(step.args)...)...); got != step.want {
			t.Errorf("%s:\n%s\nwant\n%s", step.args, got, step.want)
		}
		if got := must(t, "", "consume", "t", "-f", `%s\n`, "-b", b); !sameLines(strings.TrimSpace(got), strings.Join(strings.Split(step.left, ""), "\n")) {
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
		if r := ottlaRuns(t, "", append([]string{"topic", "trim", "-b", b}, strings.Fields(c.args)...)...); r.code == 0 || !strings.Contains(r.stderr, c.want) {
			t.Errorf("%s: exit code %d, %q, want %q", c.args, r.code, r.stderr, c.want)
		}
	}
}

func TestTopicAlter(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	must(t, "", "topic", "create", "t", "-c", "cleanup.policy=compact", "-b", b)
	for _, step := range []struct{ args, want string }{
		{"alter t retention.ms=5 cleanup.policy-", "topic t: set retention.ms=5 cleanup.policy-\n"},
		{"alter t retention.ms- segment.ms=7 -o json", "{\n  \"resource\": \"topic t\",\n  \"set\": {\n    \"segment.ms\": \"7\"\n  },\n  \"unset\": [\n    \"retention.ms\"\n  ]\n}\n"},
	} {
		if got := must(t, "", append([]string{"topic", "-b", b}, strings.Fields(step.args)...)...); got != step.want {
			t.Errorf("%s:\n%s\nwant\n%s", step.args, got, step.want)
		}
	}
	if got, want := must(t, "", "config", "get", "topic", "t", "-b", b), "SETTING               VALUE  SOURCE\nsegment.ms            7      dynamic topic\nottla.topic.trash.ms  0      static broker\n"; got != want {
		t.Errorf("after all: %s\nwant %s", got, want)
	}
	for _, c := range []struct{ args, want string }{
		{"t retention.mss=1", "change settings of topic t: INVALID_CONFIG: Unknown topic config name: retention.mss (did you mean retention.ms?)"},
		{"t retention.ms", "want KEY=VALUE"},
		{"t", "at least 2"},
		{"absent retention.ms-", "UNKNOWN_TOPIC_OR_PARTITION"},
	} {
		if r := ottlaRuns(t, "", append([]string{"topic", "alter", "-b", b}, strings.Fields(c.args)...)...); r.code == 0 || !strings.Contains(r.stderr, c.want) {
			t.Errorf("%s: exit code %d, %q, want %q", c.args, r.code, r.stderr, c.want)
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
