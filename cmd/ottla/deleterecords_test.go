package main

import (
	"strings"
	"testing"

	"github.com/ottla-io/ottla/ottlatest"
)

func TestTopicDeleteRecords(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	must(t, "", "topic", "create", "t", "-p", "2", "-b", b)
	must(t, "", "topic", "create", "compacted", "-c", "cleanup.policy=compact", "-b", b)
	must(t, "a\nb\nc\n", "produce", "t", "-p", "0", "-b", b)
	must(t, "d\ne\n", "produce", "t", "-p", "1", "-b", b)
	if got := must(t, "", "topic", "delete-records", "t", "--partition", "0", "--before", "2", "-b", b); got != "topic t, partition 0: begins at offset 2 now\n" {
		t.Errorf("text: %q", got)
	}
	if got := must(t, "", "consume", "t", "-f", `%p:%o:%s\n`, "-b", b); !sameLines(got, "0:2:c\n1:0:d\n1:1:e\n") {
		t.Errorf("read back %q", got)
	}
	if got := must(t, "", "topic", "delete-records", "t", "--before", "2001-02-03T04:05:06Z", "-o", "json", "-b", b); !strings.Contains(got, `"startOffset": 2`) || !strings.Contains(got, `"startOffset": 0`) {
		t.Errorf("nothing is so old: %s", got)
	}
	if got := must(t, "", "topic", "delete-records", "t", "--before", "end", "-b", b); got != "topic t, partition 0: begins at offset 3 now\ntopic t, partition 1: begins at offset 2 now\n" {
		t.Errorf("all: %q", got)
	}
	if got := must(t, "", "consume", "t", "-f", `%s\n`, "-b", b); got != "" {
		t.Errorf("after all were deleted: %q", got)
	}
	for _, c := range []struct{ args, want string }{
		{"t --partition 0 --before 4", "partition 0 of topic t: OFFSET_OUT_OF_RANGE"},
		{"compacted --before end", "partition 0 of topic compacted: POLICY_VIOLATION"},
		{"absent --before end", "topic absent: UNKNOWN_TOPIC_OR_PARTITION"},
		{"t --partition 7 --before end", "no partition 7"},
		{"t --before yesterday", "want an offset"},
		{"t --before -1", "0 or more"},
		{"t", "before"},
	} {
		if r := ottlaRuns(t, "", append([]string{"topic", "delete-records", "-b", b}, strings.Fields(c.args)...)...); r.code == 0 || !strings.Contains(r.stderr, c.want) {
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
