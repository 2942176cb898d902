package ottla_test

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla"
)

// TestDocsMetrics writes docs/metrics.md from what a broker says of itself.
func TestDocsMetrics(t *testing.T) {
	broker, err := ottla.Start(ottla.Config{InMemory: true, Admin: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close(context.Background())
	// A connection that was served and closed, so that metrics with labels have samples.
	client := newClient(t, broker)
	produce(t, client, "t", 0, 1)
	commits := kadm.Offsets{}
	commits.AddOffset("t", 0, 1, -1)
	if _, err := kadm.NewClient(client).CommitOffsets(patient(t), "g", commits); err != nil {
		t.Fatal(err)
	}
	if _, err := kadm.NewClient(client).DeleteGroup(patient(t), "nobody"); err == nil { // a reply with an error code
		t.Fatal("a group that is not there was deleted")
	}
	setQuota(t, client, "client-id", "slow", "request_percentage", 1e-9)
	slow := newClient(t, broker, kgo.ClientID("slow"))
	if err := slow.Ping(patient(t)); err != nil {
		t.Fatal(err)
	}
	slow.Close()
	client.Close()
	scrape := ""
	for ctx := patient(t); !strings.Contains(scrape, "ottla_connections_closed_total{"); {
		if err := ctx.Err(); err != nil {
			t.Fatalf("the client's connections are still open: %v\n%s", err, scrape)
		}
		response, err := http.Get("http://" + broker.AdminAddr() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		scrape = readBody(t, response)
	}
	table := heading("Metric", "Type", "Labels", "Meaning")
	for _, m := range families(scrape, "ottla_") {
		table += row("`"+m.name+"`", m.kind, strings.Join(m.labels, ", "), m.help)
	}
	block(t, "docs/metrics.md", "metrics", table)
	response, err := http.Get("http://" + broker.AdminAddr() + "/metrics?names=jmx")
	if err != nil {
		t.Fatal(err)
	}
	table = heading("Metric", "Type", "Labels")
	for _, m := range families(readBody(t, response), "kafka_") {
		table += row("`"+m.name+"`", m.kind, strings.Join(m.labels, ", "))
	}
	block(t, "docs/metrics.md", "metrics by Kafka's names", table)
}

// family is the metrics of one name in a scrape.
type family struct {
	name, help, kind string
	labels           []string // of any of its samples, but le
}

// families are those in a scrape whose names begin with prefix.
func families(scrape, prefix string) (all []family) {
	samples := regexp.MustCompile(`(?m)^(\w+?)(?:_bucket|_sum|_count)?\{(.*)\} `)
	for _, m := range regexp.MustCompile(`(?m)^# HELP (`+prefix+`\w+) (.*)\n# TYPE \w+ (\w+)\n((?:[^#].*\n)*)`).FindAllStringSubmatch(scrape, -1) {
		one := family{name: m[1], help: m[2], kind: m[3]}
		for _, sample := range samples.FindAllStringSubmatch(m[4], -1) {
			for _, label := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(sample[2], -1) {
				if quoted := "`" + label[1] + "`"; label[1] != "le" && !slices.Contains(one.labels, quoted) {
					one.labels = append(one.labels, quoted)
				}
			}
		}
		all = append(all, one)
	}
	return all
}
