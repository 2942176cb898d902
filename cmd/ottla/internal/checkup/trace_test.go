package checkup

import (
	"strings"
	"testing"

	"github.com/ottla-io/ottla"
	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
	"github.com/ottla-io/ottla/ottlatest"
)

func TestTraceCommand(t *testing.T) {
	broker := ottlatest.Start(t, func(c *ottla.Config) { c.Admin = "127.0.0.1:0" })
	for _, test := range []struct{ args, want string }{
		{"--admin " + broker.AdminAddr() + " --api Prduce", "no API is called Prduce: did you mean Produce?"},
		{"--admin " + broker.AdminAddr() + " --for 2h", "want a time up to 1h0m0s"},
		{"--admin 127.0.0.1:1", "cannot reach the admin port 127.0.0.1:1"},
	} {
		var out, problems strings.Builder
		if code := shell.Execute(t.Context(), append([]string{"trace"}, strings.Fields(test.args)...), strings.NewReader(""), &out, &problems); code != 1 || !strings.Contains(problems.String(), test.want) {
			t.Errorf("%s: code %d, %q, want %q", test.args, code, problems.String(), test.want)
		}
	}
}

func TestTracedRequestText(t *testing.T) {
	var out strings.Builder
	cmd := newTrace()
	cmd.SetOut(&out)
	lines := `{"time":"2026-11-30T20:15:04.117Z","clientId":"billing 1","software":"kgo/1.2","client":"10.0.0.1:5","api":"Produce","version":13,"topics":[{"name":"t","partitions":[0,1],"morePartitions":3}],"moreTopics":2,"requestBytes":100,"replyBytes":50,"totalUs":2500,"stagesUs":{"queue":0,"local":500,"wait":2000,"order":0,"send":0},"errors":{"NOT_LEADER_OR_FOLLOWER":2},"ended":"client gone"}
{"traced":1,"dropped":0}`
	if err := showTrace(cmd, strings.NewReader(lines), cli.OutputText); err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(out.String(), " ")
	want := `Produce v13 "billing 1" kgo/1.2 10.0.0.1:5 t[0,1,+3] and 2 topics more in 100 out 50 2.500 ms (queue 0.000, local 0.500, wait 2.000, order 0.000, send 0.000) NOT_LEADER_OR_FOLLOWER×2 client gone` + "\n"
	if text != want {
		t.Errorf("%q, want %q", text, want)
	}
}
