package checkup

import (
	"regexp"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/cmd/ottla/internal/clitest"
	"github.com/ottla-io/ottla/ottlatest"
)

func TestCluster(t *testing.T) {
	b := ottlatest.Start(t, ottlatest.WithNodeID(7)).Addr()
	for _, c := range []struct{ args, want string }{
		{"cluster info", "cluster ID, controller 7\nBROKER ADDRESS RACK STATE SPEAKS\n7 ADDRESS - in use -\n\n" +
			"quorum: leader 7, epoch N, high watermark N\nNODE ROLE END LAG LAST CAUGHT UP\n7 voter N 0 TIME\n"},
		{"cluster info -o yaml", "cluster ID\ncontroller: 7\nbrokers:\n  - broker: 7\n    address: ADDRESS\n    fenced: false\nquorum:\n  leader: 7\n  epoch: N\n  highWatermark: N\n" +
			"  members:\n    - node: 7\n      role: voter\n      endOffset: N\n      lag: 0\n      lastCaughtUpMs: TIME\n"},
	} {
		if got := clitest.Masked(shell.Must(t, "", append(strings.Fields(c.args), "-b", b)...)); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.args, got, c.want)
		}
	}
	features := shell.Must(t, "", "cluster", "features", "-b", b)
	if !regexp.MustCompile(`(?m)^metadata.version +30 +\d+..30$`).MatchString(features) || !regexp.MustCompile(`(?m)^group.version +1 +0..1$`).MatchString(features) {
		t.Errorf("features:\n%s", features)
	}
}
