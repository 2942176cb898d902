package groups

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/cmd/ottla/internal/clitest"
	"github.com/ottla-io/ottla/ottlatest"
)

// startForGroups starts a broker whose groups begin at once.
func startForGroups(t *testing.T) string {
	return ottlatest.Start(t, ottlatest.WithSetting("group.initial.rebalance.delay.ms", "0")).Addr()
}

func described(t *testing.T, b string, args ...string) (groups []groupView) {
	t.Helper()
	out := shell.Must(t, "", append([]string{"group", "describe", "-o", "json", "-b", b}, args...)...)
	// lag writes unknown as null; what is read back is 0 then.
	if err := json.Unmarshal([]byte(strings.NewReplacer(`"records"`, `"Records"`, `"seconds"`, `"Seconds"`).Replace(out)), &groups); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return groups
}

func TestConsumeAsAGroup(t *testing.T) {
	b := startForGroups(t)
	shell.Must(t, "", "topic", "create", "t", "-p", "2", "-b", b)
	for p := range 2 {
		shell.Must(t, "1\n2\n3\n", "produce", "t", "-p", fmt.Sprint(p), "-b", b)
	}
	if out := shell.Must(t, "", "consume", "t", "--group", "g", "-n", "2", "-b", b); out != "1\n2\n" {
		t.Fatalf("the first two: %q", out)
	}
	if out := shell.Must(t, "", "consume", "t", "--group", "g", "-b", b); len(strings.Fields(out)) != 4 {
		t.Fatalf("the rest: %q", out)
	}
	if out := shell.Must(t, "", "consume", "t", "--group", "g", "-b", b); out != "" {
		t.Fatalf("nothing is left: %q", out)
	}
	if out := shell.Must(t, "", "consume", "t", "--group", "late", "--from", "latest", "-b", b); out != "" {
		t.Fatalf("from the end: %q", out)
	}
	shell.Must(t, "4\n", "produce", "t", "-p", "0", "-b", b)
	g := described(t, b, "g")[0]
	if g.Group != "g" || g.Type != "classic" || g.State != "Empty" || len(g.Partitions) != 2 || g.Lag.Records != 1 || g.Lag.Seconds <= 0 || g.Lag.Seconds > 25 {
		t.Fatalf("%+v", g)
	}
	if p := g.Partitions[0]; p.Committed != 3 || p.End != 4 || p.Lag.Records != 1 {
		t.Errorf("%+v", p)
	}
	if p := g.Partitions[1]; p.Committed != 3 || p.End != 3 || p.Lag != (lag{}) {
		t.Errorf("%+v", p)
	}
}

func TestGroupMembers(t *testing.T) {
	b := startForGroups(t)
	shell.Must(t, "1\n2\n", "produce", "t", "-p", "0", "-b", b)
	done := make(chan clitest.Ran, 1)
	go func() { done <- shell.Runs(t, "", "consume", "t", "--group", "g", "--follow", "-n", "3", "-b", b) }()
	var g groupView
	for deadline := time.Now().Add(20 * time.Second); len(g.Partitions) != 1 || g.Partitions[0].Committed != 2; {
		if time.Now().After(deadline) {
			t.Fatalf("the member has not read after 20 s: %+v", g)
		}
		if groups := described(t, b); len(groups) == 1 {
			g = groups[0]
		}
	}
	if p := g.Partitions[0]; g.State != "Stable" || p.Member == "" || p.Member != g.Members[0].Member || p.Client != "kgo" || p.Host != "127.0.0.1" {
		t.Errorf("%+v", g)
	}
	if out := shell.Must(t, "", "group", "members", "g", "-b", b); !strings.Contains(out, g.Members[0].Member) || !strings.Contains(out, "t 0") {
		t.Errorf("members:\n%s", out)
	}
	for _, args := range [][]string{{"reset", "g", "--to", "earliest", "--yes"}, {"delete", "g"}, {"delete", "g", "--topic", "t"}} {
		r := shell.Runs(t, "", append(append([]string{"group"}, args...), "-b", b)...)
		if r.Code != 1 || !strings.Contains(r.Stderr, "stop them first") {
			t.Errorf("%v with a member: %+v", args, r)
		}
	}
	shell.Must(t, "3\n", "produce", "t", "-p", "0", "-b", b)
	if r := <-done; r.Code != 0 || r.Stdout != "1\n2\n3\n" {
		t.Errorf("%+v", r)
	}
}

// TestGroupSoftware: members of either protocol are shown with what their clients said that they are.
func TestGroupSoftware(t *testing.T) {
	b := startForGroups(t)
	shell.Must(t, "1\n", "produce", "t", "-p", "0", "-b", b)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	open := func(name, version string, options ...kgo.Opt) *kgo.Client {
		client, err := kgo.NewClient(append(options, kgo.SeedBrokers(b), kgo.SoftwareNameAndVersion(name, version))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		return client
	}
	if fetches := open("billing", "1.2.3", kgo.ConsumerGroup("old"), kgo.ConsumeTopics("t")).PollFetches(ctx); fetches.NumRecords() != 1 {
		t.Fatalf("%v", fetches.Errors())
	}
	joins := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	joins.Group, joins.MemberID, joins.RebalanceTimeoutMillis, joins.SubscribedTopicNames = "new", "mine", 60_000, []string{"t"}
	joins.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	if joined, err := joins.RequestWith(ctx, open("shipping", "4.5")); err != nil || joined.ErrorCode != 0 {
		t.Fatalf("%+v, %v", joined, err)
	}
	for name, want := range map[string]string{"old": "billing/1.2.3", "new": "shipping/4.5"} {
		g := described(t, b, name)[0]
		if len(g.Members) != 1 || g.Members[0].Software != want || len(g.Partitions) == 0 || g.Partitions[0].Software != want {
			t.Errorf("%s: %+v, want %s", name, g, want)
		}
		for _, command := range []string{"members", "describe"} {
			if out := shell.Must(t, "", "group", command, name, "-b", b); !strings.Contains(out, want) {
				t.Errorf("%s of %s:\n%s", command, name, out)
			}
		}
	}
}

func TestGroupReset(t *testing.T) {
	b := startForGroups(t)
	shell.Must(t, "", "topic", "create", "t", "-p", "2", "-b", b)
	shell.Must(t, strings.Repeat("x\n", 10), "produce", "t", "-p", "0", "-b", b)
	shell.Must(t, "", "consume", "t", "--group", "g", "-b", b)
	for _, c := range []struct {
		args []string
		to   int64
		does string
	}{
		{[]string{"--to", "earliest"}, 0, "replays 10 records"},
		{[]string{"--to", "latest"}, 10, "stays"},
		{[]string{"--to", "4"}, 4, "replays 6 records"},
		{[]string{"--to", "400"}, 10, "stays"},
		{[]string{"--by", "-1"}, 9, "replays 1 record"},
		{[]string{"--by", "-99"}, 0, "replays 10 records"},
		{[]string{"--by", "5"}, 10, "stays"},
		{[]string{"--to", "@-1h"}, 0, "replays 10 records"},
		{[]string{"--to", "@0"}, 0, "replays 10 records"},
		{[]string{"--to", "@2100-01-01T00:00:00Z"}, 10, "stays"},
	} {
		args := append([]string{"group", "reset", "g", "-b", b}, c.args...)
		var report resetReport
		if err := json.Unmarshal([]byte(shell.Must(t, "", append(args, "-o", "json")...)), &report); err != nil {
			t.Fatal(err)
		}
		if len(report.Moves) != 1 || report.Moves[0].To != c.to || report.Moves[0].effect() != c.does || report.Done {
			t.Errorf("%v: %+v", c.args, report)
		}
		if out := shell.Must(t, "", args...); !strings.Contains(out, "nothing was changed") || !strings.Contains(out, c.does) {
			t.Errorf("%v:\n%s", c.args, out)
		}
	}
	if g := described(t, b, "g")[0]; g.Partitions[0].Committed != 10 {
		t.Fatalf("a look has changed something: %+v", g)
	}
	shell.Must(t, "", "group", "reset", "g", "--to", "3", "--topic", "t:0", "--yes", "-b", b)
	if out := shell.Must(t, "", "consume", "t", "--group", "g", "-f", "%o ", "-b", b); out != "3 4 5 6 7 8 9 " {
		t.Errorf("after a reset: %q", out)
	}
	shell.Must(t, "", "group", "reset", "new", "--to", "latest", "--topic", "t", "-y", "-b", b)
	if g := described(t, b, "new")[0]; len(g.Partitions) != 2 || g.Lag != (lag{}) {
		t.Errorf("%+v", g)
	}
	shell.Must(t, "", "group", "delete", "g", "--topic", "t", "-b", b)
	shell.Must(t, "", "group", "delete", "g", "new", "-b", b)
	if out := shell.Must(t, "", "group", "list", "-o", "json", "-b", b); strings.TrimSpace(out) != "[]" {
		t.Errorf("after delete: %s", out)
	}
}

func TestGroupErrors(t *testing.T) {
	b := startForGroups(t)
	shell.Must(t, "x\n", "produce", "t", "-b", b)
	if r := shell.Runs(t, "", "group", "lst"); r.Code != 1 || !strings.Contains(r.Stderr, "did you mean list?") {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"group", "describe", "nobody"}, "'ottla group list'"},
		{[]string{"group", "members", "nobody"}, "'ottla group list'"},
		{[]string{"group", "delete", "nobody"}, "'ottla group list'"},
		{[]string{"group", "reset", "nobody", "--to", "latest"}, "'ottla group list'"},
		{[]string{"group", "reset", "g", "--to", "-5", "--topic", "t"}, "--by -5"},
		{[]string{"group", "reset", "g", "--to", "soon", "--topic", "t"}, "earliest"},
		{[]string{"group", "reset", "g", "--by", "1", "--topic", "t"}, "use --to"},
		{[]string{"group", "reset", "g", "--to", "latest", "--topic", "t:x"}, "TOPIC:PARTITION"},
		{[]string{"group", "reset", "g", "--to", "latest", "--topic", "t:9"}, "no partition 9"},
		{[]string{"group", "reset", "g"}, "to"},
		{[]string{"consume", "t", "--group", "g", "-p", "0"}, "--partition"},
		{[]string{"consume", "t", "--group", "g", "--from", "3"}, "group reset"},
		{[]string{"consume", "t", "--group", "g", "--until", "3"}, "--until"},
		{[]string{"consume", "nothing", "--group", "g"}, "'ottla topic list'"},
	} {
		r := shell.Runs(t, "", append(c.args, "-b", b)...)
		if r.Code != 1 || !strings.Contains(r.Stderr, c.want) || strings.Count(strings.TrimSpace(r.Stderr), "\n") > 0 {
			t.Errorf("%v: %+v, want %q", c.args, r, c.want)
		}
	}
}

// TestGroupResetFirst: the first thing that a broker hears of groups is a reset, before it has a place for them.
func TestGroupResetFirst(t *testing.T) {
	b := startForGroups(t)
	shell.Must(t, "x\n", "produce", "t", "-p", "0", "-b", b)
	shell.Must(t, "", "group", "reset", "g", "--to", "latest", "--topic", "t", "-y", "-b", b)
	if g := described(t, b, "g")[0]; g.Partitions[0].Committed != 1 {
		t.Errorf("%+v", g)
	}
}
