package ottla_test

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

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
	for _, m := range regexp.MustCompile(`(?m)^# HELP (ottla_\w+) (.*)\n# TYPE \w+ (\w+)\n\w+(?:\{(.*)\})?`).FindAllStringSubmatch(scrape, -1) {
		var labels []string
		for _, label := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(m[4], -1) {
			if label[1] != "le" {
				labels = append(labels, "`"+label[1]+"`")
			}
		}
		table += row("`"+m[1]+"`", m[3], strings.Join(labels, ", "), m[2])
	}
	block(t, "docs/metrics.md", "metrics", table)
}
