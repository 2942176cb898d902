package checkup

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/ottla-io/ottla"
	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
	"github.com/ottla-io/ottla/cmd/ottla/internal/clitest"
	"github.com/ottla-io/ottla/ottlatest"
)

// topShown is what 'ottla top -o json' prints, with unknown figures as nil.
type topShown struct {
	Cluster string `json:"cluster"`
	Brokers []struct {
		Address     string   `json:"address"`
		Connections *float64 `json:"connections"`
	} `json:"brokers"`
	Topics []struct {
		Topic      string   `json:"topic"`
		Partitions int      `json:"partitions"`
		Records    *float64 `json:"recordsPerSecond"`
		Size       *float64 `json:"sizeBytes"`
		Out        *float64 `json:"bytesOutPerSecond"`
	} `json:"topics"`
	Groups []struct {
		Group   string   `json:"group"`
		Type    string   `json:"type"`
		Members *float64 `json:"members"`
		Lag     *float64 `json:"lag"`
		Seconds *float64 `json:"lagSeconds"`
	} `json:"groups"`
}

func TestTopOnce(t *testing.T) {
	b, _ := clitest.StartOnDisk(t, nil)
	addr := b.Addr()
	shell.Must(t, "", "topic", "create", "t", "-p", "2", "-b", addr)
	shell.Must(t, "1\n2\n3\n", "produce", "t", "-p", "0", "-b", addr)
	shell.Must(t, "", "consume", "t", "--group", "g", "-n", "1", "-b", addr)
	out := shell.Must(t, "", "top", "-o", "json", "--interval", "200ms", "-b", addr, "--admin", b.AdminAddr())
	var shown topShown
	if err := json.Unmarshal([]byte(out), &shown); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(shown.Brokers) != 1 || shown.Brokers[0].Address != addr || shown.Brokers[0].Connections == nil || *shown.Brokers[0].Connections < 1 || shown.Cluster != b.ClusterID() {
		t.Errorf("brokers: %s", out)
	}
	last := shown.Topics[len(shown.Topics)-1]
	if last.Topic != "t" || last.Partitions != 2 || last.Records == nil || *last.Records != 0 || last.Size == nil || *last.Size < 3 || last.Out == nil || *last.Out != 0 {
		t.Errorf("topics: %s", out)
	}
	if g := shown.Groups; len(g) != 1 || g[0].Group != "g" || g[0].Type != "classic" || *g[0].Members != 0 || *g[0].Lag != 2 || g[0].Seconds == nil || *g[0].Seconds <= 0 || *g[0].Seconds > 30 {
		t.Errorf("groups: %s", out)
	}
	text := shell.Must(t, "", "top", "--interval", "100ms", "-b", addr, "--admin", "none", "--internal")
	for _, want := range []string{"BROKER", "t                            2", "__consumer_offsets", "GROUP"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	r := shell.Runs(t, "", "top", "--once", "--interval", "100ms", "-b", addr, "--admin", "127.0.0.1:1")
	if r.Code != 0 || !strings.Contains(r.Stderr, "the admin port: ") || !strings.Contains(r.Stdout, "GROUP") {
		t.Errorf("%+v", r)
	}
}

func TestTopRefuses(t *testing.T) {
	for want, args := range map[string][]string{
		"want --interval": {"--interval", "1ms"},
		"--rows of 1":     {"--rows", "0"},
	} {
		if r := shell.Runs(t, "", append([]string{"top"}, args...)...); r.Code != 1 || !strings.Contains(r.Stderr, want) {
			t.Errorf("%v: %+v, want %q", args, r, want)
		}
	}
	if r := shell.Runs(t, "", "top", "--once", "-b", "127.0.0.1:1", "--timeout", "2s"); r.Code != 1 || !strings.Contains(r.Stderr, "look at the cluster: ") {
		t.Errorf("%+v", r)
	}
}

// TestTopPollsInTurn: of a large cluster a round asks for what is on the screen, and for a part of the rest; some rounds ask for all.
func TestTopPollsInTurn(t *testing.T) {
	b := ottlatest.Start(t, func(c *ottla.Config) { c.Settings = map[string]string{"auto.create.topics.enable": "false"} }).Addr()
	for i := range 5 {
		shell.Must(t, "", "topic", "create", fmt.Sprintf("t%d", i), "-p", "900", "-b", b)
	}
	flags := &topFlags{ClientFlags: cli.ClientFlags{Version: clitest.Version, Bootstrap: []string{b}, Timeout: 20 * time.Second}, admin: "none", interval: time.Second}
	client, err := flags.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	poller := &topPoller{flags: flags, client: client, admin: kadm.NewClient(client), topics: map[string][]string{}}
	asked := map[string]int{}
	for range 5 {
		o := poller.poll(t.Context(), []string{"t3", "gone"}, []string{"gone"})
		if o.Err != "" {
			t.Fatal(o.Err)
		}
		topics := map[string]bool{}
		for p := range o.Ends {
			topics[p.Topic] = true
		}
		if n := len(o.Ends); !topics["t3"] || n < topPartitions || n > topPartitions+2*900 {
			t.Errorf("%d partitions of %v", n, topics)
		}
		for topic := range topics {
			asked[topic]++
		}
	}
	if len(asked) != 5 || asked["t3"] != 5 {
		t.Errorf("asked for %v", asked)
	}
	poller.all = true
	if o := poller.poll(t.Context(), nil, nil); len(o.Ends) != 4500 || len(o.Starts) != 4500 || len(o.Sizes) != 4500 {
		t.Errorf("%d ends, %d starts, %d sizes: %s", len(o.Ends), len(o.Starts), len(o.Sizes), o.Err)
	}
}
