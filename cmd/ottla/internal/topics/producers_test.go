package topics

import (
	"strings"
	"testing"

	"github.com/ottla-io/ottla/cmd/ottla/internal/clitest"
	"github.com/ottla-io/ottla/ottlatest"
)

func TestProducers(t *testing.T) {
	b := ottlatest.Start(t).Addr()
	shell.Must(t, "", "topic", "create", "t", "-p", "2", "-b", b)
	shell.Must(t, "a\nb\n", "produce", "t", "-p", "1", "-b", b)
	shell.Must(t, "a\n", "produce", "t", "-p", "0", "--acks", "1", "-b", b) // not idempotent: nobody remembers it
	for _, c := range []struct{ args, want string }{
		{"t", "TOPIC PARTITION PRODUCER EPOCH LAST SEQUENCE LAST TIME OPEN SINCE OFFSET\nt 1 0 0 1 TIME -\n"},
		{"t -o yaml", "- topic: t\n  partition: 1\n  producerId: 0\n  producerEpoch: 0\n  lastSequence: 1\n  lastTimestampMs: TIME\n  transactionStartOffset: -1\n  leader: 1\n"},
		{"t --open -o json", "[]\n"},
	} {
		if got := clitest.Masked(shell.Must(t, "", append(strings.Fields("producers "+c.args), "-b", b)...)); got != c.want {
			t.Errorf("producers %s:\n%s\nwant\n%s", c.args, got, c.want)
		}
	}
	if r := shell.Runs(t, "", "producers", "absent", "-b", b); r.Code != 1 || !strings.Contains(r.Stderr, "topic absent: UNKNOWN_TOPIC_OR_PARTITION") {
		t.Errorf("%+v", r)
	}
}
