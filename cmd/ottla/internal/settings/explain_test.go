package settings

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestConfigExplain(t *testing.T) {
	for key, want := range map[string][]string{
		"retention.ms":                    {"retention.ms, a setting of a topic", "at least -1", "604800000", "the broker's log.retention.ms, else log.retention.minutes, else log.retention.hours", "risk     A lower value deletes"},
		"compression.type":                {"a setting of a topic", "a setting of a broker"},
		"num.io.threads":                  {"without effect", "in a running broker"},
		"node.id":                         {"at the next start"},
		"authorizer.class.name":           {"Only the default is accepted: there is no authorization yet"},
		"consumer.assignment.interval.ms": {"a setting of a group", "the broker's group.consumer.assignment.interval.ms"},
	} {
		out := shell.Must(t, "", "config", "explain", key)
		for _, part := range want {
			if !strings.Contains(out, part) {
				t.Errorf("%s: no %q in\n%s", key, part, out)
			}
		}
	}
	if r := shell.Runs(t, "", "config", "explain", "retention.sm"); r.Code != 1 || !strings.Contains(r.Stderr, "did you mean retention.ms?") {
		t.Errorf("%+v", r)
	}
	var all []explainedSetting
	if err := json.Unmarshal([]byte(shell.Must(t, "", "config", "explain", "retention.ms", "log.retention.ms", "-o", "json")), &all); err != nil || len(all) != 2 {
		t.Fatalf("%v, %d settings", err, len(all))
	}
	if all[1].Default != nil || all[1].Of != "broker" || *all[0].Default != "604800000" {
		t.Errorf("%+v", all)
	}
}
