package settings

import (
	"strings"
	"testing"

	"github.com/ottla-io/ottla/ottlatest"
)

func TestTopicAlter(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	shell.Must(t, "", "topic", "create", "t", "-c", "cleanup.policy=compact", "-b", b)
	for _, step := range []struct{ args, want string }{
		{"alter t retention.ms=5 cleanup.policy-", "topic t: set retention.ms=5 cleanup.policy-\n"},
		{"alter t retention.ms- segment.ms=7 -o json", "{\n  \"resource\": \"topic t\",\n  \"set\": {\n    \"segment.ms\": \"7\"\n  },\n  \"unset\": [\n    \"retention.ms\"\n  ]\n}\n"},
	} {
		if got := shell.Must(t, "", append([]string{"topic", "-b", b}, strings.Fields(step.args)...)...); got != step.want {
			t.Errorf("%s:\n%s\nwant\n%s", step.args, got, step.want)
		}
	}
	if got, want := shell.Must(t, "", "config", "get", "topic", "t", "-b", b), "SETTING               VALUE  SOURCE\nsegment.ms            7      dynamic topic\nottla.topic.trash.ms  0      static broker\n"; got != want {
		t.Errorf("after all: %s\nwant %s", got, want)
	}
	for _, c := range []struct{ args, want string }{
		{"t retention.mss=1", "change settings of topic t: INVALID_CONFIG: Unknown topic config name: retention.mss (did you mean retention.ms?)"},
		{"t retention.ms", "want KEY=VALUE"},
		{"t", "at least 2"},
		{"absent retention.ms-", "UNKNOWN_TOPIC_OR_PARTITION"},
	} {
		if r := shell.Runs(t, "", append([]string{"topic", "alter", "-b", b}, strings.Fields(c.args)...)...); r.Code == 0 || !strings.Contains(r.Stderr, c.want) {
			t.Errorf("%s: exit code %d, %q, want %q", c.args, r.Code, r.Stderr, c.want)
		}
	}
}
