package settings

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla/ottlatest"
)

// TestRiskyChangesAskForYes: what would lose records, or makes it easier to lose them, is said and not done without --yes; what loses nothing that is
// there is done.
func TestRiskyChangesAskForYes(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	shell.Must(t, "", "topic", "create", "empty", "-b", b)
	shell.Must(t, "", "topic", "create", "full", "-c", "retention.ms=604800000", "-b", b)
	shell.Must(t, "", "topic", "create", "old", "-c", "retention.ms=86400000", "-c", "segment.ms=7200000", "-b", b)
	shell.Must(t, "", "topic", "create", "heir", "-b", b)
	for _, topic := range []string{"full", "heir"} {
		shell.Must(t, "k:one\nk:two\n", "produce", topic, "-K", ":", "-b", b)
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
		r := shell.Runs(t, "", append(args, "-b", b)...)
		switch {
		case c.want == "" && r.Code != 0:
			t.Errorf("%s: %s", c.args, r.Stderr)
		case c.want != "" && (r.Code != 1 || !strings.Contains(r.Stderr, c.want)):
			t.Errorf("%s: exit code %d, %q; want %q", c.args, r.Code, r.Stderr, c.want)
		case c.want != "" && !strings.Contains(c.want, "UNKNOWN") && !strings.Contains(r.Stderr, "nothing was changed: --yes does it"):
			t.Errorf("%s: %q does not ask for --yes", c.args, r.Stderr)
		}
	}
	if out := shell.Must(t, "", "config", "get", "topic", "full", "cleanup.policy", "retention.bytes", "-b", b); strings.Contains(out, "compact") || strings.Contains(out, " 10 ") {
		t.Errorf("a refused change was made:\n%s", out)
	}
	shell.Must(t, "", "config", "set", "topic", "full", "cleanup.policy=compact", "retention.bytes=10", "--yes", "-b", b)
	if r := shell.Runs(t, "", "topic", "alter", "full", "retention.ms=0", "-b", b); r.Code != 1 || !strings.Contains(r.Stderr, "--yes") {
		t.Errorf("topic alter: %+v", r)
	}
	shell.Must(t, "", "topic", "alter", "full", "retention.ms=0", "-y", "-b", b)
	if out := shell.Must(t, "", "config", "get", "topic", "full", "-b", b); !strings.Contains(out, "compact") {
		t.Errorf("with --yes nothing was changed:\n%s", out)
	}
}
