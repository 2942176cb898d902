package topics

import (
	"strings"
	"testing"

	"github.com/ottla-io/ottla/ottlatest"
)

func TestTopicAddPartitions(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	shell.Must(t, "", "topic", "create", "t", "u", "-p", "2", "-b", b)
	if got := shell.Must(t, "", "topic", "add-partitions", "t", "--to", "4", "-b", b); got != "topic t has 4 partitions now\n" {
		t.Errorf("text: %q", got)
	}
	shell.Must(t, "k:v\n", "produce", "t", "-K", ":", "-p", "3", "-b", b)
	if got := shell.Must(t, "", "consume", "t", "-f", `%p %s\n`, "-b", b); got != "3 v\n" {
		t.Errorf("read back %q", got)
	}
	r := shell.Runs(t, "", "topic", "add-partitions", "t", "u", "absent", "--to", "3", "-o", "json", "-b", b)
	if want := "[\n  {\n    \"topic\": \"u\",\n    \"partitions\": 3\n  }\n]\n"; r.Stdout != want || r.Code == 0 {
		t.Errorf("exit code %d, json: %s", r.Code, r.Stdout)
	}
	for _, want := range []string{
		"topic t: INVALID_PARTITIONS: The topic t currently has 4 partition(s); 3 would not be an increase.", "topic absent: UNKNOWN_TOPIC_OR_PARTITION",
	} {
		if !strings.Contains(r.Stderr, want) {
			t.Errorf("%q lacks %q", r.Stderr, want)
		}
	}
	if r := shell.Runs(t, "", "topic", "add-partitions", "t", "-b", b); r.Code == 0 || !strings.Contains(r.Stderr, "to") {
		t.Errorf("without --to: %+v", r)
	}
}
