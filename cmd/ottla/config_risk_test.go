package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla"
	"github.com/ottla-io/ottla/ottlatest"
)

// TestRiskyChangesAskForYes: what would lose records, or makes it easier to lose them, is said and not done without --yes; what loses nothing that is
// there is done.
func TestRiskyChangesAskForYes(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	must(t, "", "topic", "create", "empty", "-b", b)
	must(t, "", "topic", "create", "full", "-c", "retention.ms=604800000", "-b", b)
	must(t, "", "topic", "create", "old", "-c", "retention.ms=86400000", "-c", "segment.ms=7200000", "-b", b)
	must(t, "", "topic", "create", "heir", "-b", b)
	for _, topic := range []string{"full", "heir"} {
		must(t, "k:one\nk:two\n", "produce", topic, "-K", ":", "-b", b)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "old", Timestamp: time.Now().Add(-2 * time.Hour), Value: []byte("one")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		want string // what would be lost; "": it is done
	}{
		{"topic empty retention.ms=1", ""},
		{"topic empty cleanup.policy=compact", ""},
		{"topic full retention.ms=3600000", ""}, // nothing is that old
		{"topic full retention.ms=0", "with retention.ms=0 instead of 3600000, records older than 0 ms are deleted"},
		{"topic full retention.ms=-1", ""},
		{"topic full retention.bytes=1000000", ""}, // it is not that large
		{"topic full retention.bytes=10", "the oldest records of partitions larger than 10 bytes are deleted"},
		{"topic full cleanup.policy=compact", "only the newest record of each key is kept"},
		{"topic full cleanup.policy=delete", ""},
		{"topic full min.insync.replicas=2", ""},
		{"topic full min.insync.replicas=1", "with min.insync.replicas=1 instead of 2, acks=all is answered once 1 replicas"},
		{"topic full unclean.leader.election.enable=true", "may become leader that lacks acknowledged records"},
		{"topic full ottla.durability=replicated", "a power cut of all replicas loses what was acknowledged last"},
		{"topic full ottla.durability=fsync max.message.bytes=5", ""},
		{"topic old segment.ms=3600000", ""}, // its record is within retention.ms
		{"topic old retention.ms=3600000", "records older than 3600000 ms are deleted"},
		{"broker ottla.durability=replicated", "change settings of all brokers: with ottla.durability=replicated instead of fsync"},
		{"broker log.retention.bytes=10", "partitions larger than 10 bytes"},                                                    // heir has no setting of its own
		{"broker 1 log.retention.ms=3600000", ""},                                                                               // old has its own, and heir nothing that old
		{"topic old retention.ms-", "with retention.ms=3600000 instead of 86400000, records older than 3600000 ms are deleted"}, // the broker's counts then
		{"group g consumer.session.timeout.ms=50000", ""},
		{"topic absent retention.ms=1", "UNKNOWN_TOPIC_OR_PARTITION"},
	} {
		args := append([]string{"config", "set"}, strings.Fields(c.args)...)
		if key, taken := strings.CutSuffix(args[len(args)-1], "-"); taken {
			args[1], args[len(args)-1] = "unset", key
		}
		r := ottlaRuns(t, "", append(args, "-b", b)...)
		switch {
		case c.want == "" && r.code != 0:
			t.Errorf("%s: %s", c.args, r.stderr)
		case c.want != "" && (r.code != 1 || !strings.Contains(r.stderr, c.want)):
			t.Errorf("%s: exit code %d, %q; want %q", c.args, r.code, r.stderr, c.want)
		case c.want != "" && !strings.Contains(c.want, "UNKNOWN") && !strings.Contains(r.stderr, "nothing was changed: --yes does it"):
			t.Errorf("%s: %q does not ask for --yes", c.args, r.stderr)
		}
	}
	if out := must(t, "", "config", "get", "topic", "full", "cleanup.policy", "retention.bytes", "-b", b); strings.Contains(out, "compact") || strings.Contains(out, " 10 ") {
		t.Errorf("a refused change was made:\n%s", out)
	}
	must(t, "", "config", "set", "topic", "full", "cleanup.policy=compact", "retention.bytes=10", "--yes", "-b", b)
	if r := ottlaRuns(t, "", "topic", "alter", "full", "retention.ms=0", "-b", b); r.code != 1 || !strings.Contains(r.stderr, "--yes") {
		t.Errorf("topic alter: %+v", r)
	}
	must(t, "", "topic", "alter", "full", "retention.ms=0", "-y", "-b", b)
	if out := must(t, "", "config", "get", "topic", "full", "-b", b); !strings.Contains(out, "compact") {
		t.Errorf("with --yes nothing was changed:\n%s", out)
	}
}

func TestConfigExplain(t *testing.T) {
	for key, want := range map[string][]string{
		"retention.ms":                    {"retention.ms, a setting of a topic", "at least -1", "604800000", "the broker's log.retention.ms, else log.retention.minutes, else log.retention.hours", "risk     A lower value deletes"},
		"compression.type":                {"a setting of a topic", "a setting of a broker"},
		"num.io.threads":                  {"without effect", "in a running broker"},
		"node.id":                         {"at the next start"},
		"authorizer.class.name":           {"Only the default is accepted: there is no authorization yet"},
		"consumer.assignment.interval.ms": {"a setting of a group", "the broker's group.consumer.assignment.interval.ms"},
	} {
		out := must(t, "", "config", "explain", key)
		for _, part := range want {
			if !strings.Contains(out, part) {
				t.Errorf("%s: no %q in\n%s", key, part, out)
			}
		}
	}
	if r := ottlaRuns(t, "", "config", "explain", "retention.sm"); r.code != 1 || !strings.Contains(r.stderr, "did you mean retention.ms?") {
		t.Errorf("%+v", r)
	}
	var all []explainedSetting
	if err := json.Unmarshal([]byte(must(t, "", "config", "explain", "retention.ms", "log.retention.ms", "-o", "json")), &all); err != nil || len(all) != 2 {
		t.Fatalf("%v, %d settings", err, len(all))
	}
	if all[1].Default != nil || all[1].Of != "broker" || *all[0].Default != "604800000" {
		t.Errorf("%+v", all)
	}
}

// TestConfigPrint: each value is named with the source that wins.
func TestConfigPrint(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ottla.yaml")
	if err := os.WriteFile(file, []byte("num.partitions: 2\nlog.retention.hours: 5\nlog.segment.bytes: 2000000\nlisten: 127.0.0.1:7\nnum.io.threads: 4\nlog.dirs: [/a, /b]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTTLA_NUM_PARTITIONS", "3")
	t.Setenv("OTTLA_LOG_RETENTION_HOURS", "6")
	var printed []printedSetting
	text := must(t, "", "config", "print", "--config", file, "--set", "log.retention.hours=7", "--node-id", "4", "-o", "json")
	if err := json.Unmarshal([]byte(text), &printed); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range printed {
		got[s.Name] = fmt.Sprintf("%s from %s, %v", *s.Value, s.Source, s.Effect)
	}
	for name, want := range map[string]string{
		"num.partitions": "3 from variable OTTLA_NUM_PARTITIONS, true", "log.retention.hours": "7 from flag --set, true", "log.segment.bytes": "2000000 from file " + file + ", true",
		"listen": "127.0.0.1:7 from file " + file + ", true", "node-id": "4 from flag --node-id, true", "num.io.threads": "4 from file " + file + ", false", "log.dirs": "/a,/b from file " + file + ", true",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if len(got) != 7 {
		t.Errorf("printed without --all: %v", got)
	}
	if out := must(t, "", "config", "print", "max.connections", "data"); !strings.Contains(out, "2147483647  default") || !strings.Contains(out, "ottla-data  default") {
		t.Errorf("named settings:\n%s", out)
	}
	for args, want := range map[string]string{"--set num.partitions=x": "Not a number of type INT", "retention.ms": "no setting of a broker", "num.partitionz": "did you mean num.partitions?", "--set sasl.enabled.mechanisms=PLAIN": "no authentication yet"} {
		if r := ottlaRuns(t, "", append([]string{"config", "print"}, strings.Fields(args)...)...); r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: %+v", args, r)
		}
	}
	b := ottlatest.Start(t, func(c *ottla.Config) {
		c.Settings = map[string]string{"log.retention.ms": "70000", "num.io.threads": "3"}
	}).Addr()
	must(t, "", "config", "set", "broker", "1", "log.retention.ms=80000", "-b", b)
	out := must(t, "", "config", "print", "--addr", b)
	if !strings.Contains(out, "80000") || !strings.Contains(out, "log.retention.ms=70000 (static broker)") || !strings.Contains(out, "does nothing here") {
		t.Errorf("of a running broker:\n%s", out)
	}
}
