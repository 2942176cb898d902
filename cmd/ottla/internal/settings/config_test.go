package settings

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/ottlatest"
)

func TestConfig(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	shell.Must(t, "", "topic", "create", "t", "-b", b)
	for _, step := range []struct{ args, want string }{
		{"get topic t", "SETTING               VALUE  SOURCE\nottla.topic.trash.ms  0      static broker\n"},
		{"set topic t retention.ms=5 cleanup.policy=compact,delete", "topic t: set retention.ms=5 cleanup.policy=compact,delete\n"},
		{"get topic t retention.ms segment.bytes", "SETTING        VALUE       SOURCE\nretention.ms   5           dynamic topic\nsegment.bytes  1073741824  default\n"},
		{"unset topic t cleanup.policy retention.ms", "topic t: unset cleanup.policy retention.ms\n"},
		{"set broker 1 log.retention.ms=7", "broker 1: set log.retention.ms=7\n"},
		{"set broker log.retention.ms=8 log.segment.bytes=2000000", "all brokers: set log.retention.ms=8 log.segment.bytes=2000000\n"},
		{"get topic t", "SETTING               VALUE    SOURCE\nsegment.bytes         2000000  dynamic default broker\nretention.ms          7        dynamic broker\nottla.topic.trash.ms  0        static broker\n"},
		{"get broker 1 log.retention.ms", "SETTING           VALUE  SOURCE\nlog.retention.ms  7      dynamic broker\n"},
		{"unset broker 1 log.retention.ms", "broker 1: unset log.retention.ms\n"},
		{"unset broker log.segment.bytes", "all brokers: unset log.segment.bytes\n"},
		{"get broker", "SETTING           VALUE  SOURCE\nlog.retention.ms  8      dynamic default broker\n"},
		{"set -o json topic t retention.ms=9", "{\n  \"resource\": \"topic t\",\n  \"set\": {\n    \"retention.ms\": \"9\"\n  }\n}\n"},
		{"unset -o json topic t segment.ms", "{\n  \"resource\": \"topic t\",\n  \"unset\": [\n    \"segment.ms\"\n  ]\n}\n"},
	} {
		verb, rest, _ := strings.Cut(step.args, " ")
		args := append([]string{"config", verb}, strings.Fields(strings.ReplaceAll(rest, "-o json ", ""))...)
		if strings.Contains(rest, "-o json") {
			args = append(args, "-o", "json")
		}
		if got := shell.Must(t, "", append(args, "-b", b)...); got != step.want {
			t.Errorf("config %s:\n%s\nwant\n%s", step.args, got, step.want)
		}
	}
	var shown []shownSetting
	if err := json.Unmarshal([]byte(shell.Must(t, "", "config", "get", "topic", "t", "-o", "json", "-b", b)), &shown); err != nil {
		t.Fatal(err)
	}
	nine, zero := "9", "0"
	if diff := cmp.Diff([]shownSetting{{"retention.ms", &nine, "dynamic topic"}, {"ottla.topic.trash.ms", &zero, "static broker"}}, shown); diff != "" {
		t.Error(diff)
	}
	if got := strings.Count(shell.Must(t, "", "config", "get", "topic", "t", "--all", "-b", b), "\n"); got < 30 {
		t.Errorf("--all shows %d lines", got)
	}
}

func TestConfigRefusals(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	shell.Must(t, "", "topic", "create", "t", "-b", b)
	for _, c := range []struct{ args, want string }{
		{"set topic t retention.mss=5", "change settings of topic t: INVALID_CONFIG: Unknown topic config name: retention.mss (did you mean retention.ms?)"},
		{"set topic t retention.ms=x", "Invalid value x for configuration retention.ms: Not a number of type LONG"},
		{"set topic absent retention.ms=5", "change settings of topic absent: UNKNOWN_TOPIC_OR_PARTITION: The topic 'absent' does not exist."},
		{"set topic t retention.ms", "want KEY=VALUE"},
		{"set topic t", "which settings of topic t? want KEY=VALUE..."},
		{"unset broker", "which settings of all brokers? want KEY..."},
		{"set topic", "want topic NAME"},
		{"set broker 1 num.partitions=5", "INVALID_REQUEST: Cannot update these configs dynamically: [num.partitions]"},
		{"get topic absent", "read the settings of topic absent: UNKNOWN_TOPIC_OR_PARTITION"},
		{"get topic t nope", "there is no setting nope"},
	} {
		args := append([]string{"config"}, strings.Fields(c.args)...)
		if r := shell.Runs(t, "", append(args, "-b", b)...); r.Code == 0 || !strings.Contains(r.Stderr, c.want) {
			t.Errorf("config %s: exit code %d, %q; want %q", c.args, r.Code, r.Stderr, c.want)
		}
	}
}
