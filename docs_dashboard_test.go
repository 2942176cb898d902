package ottla_test

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla"
)

// dashboard is what a test needs of Grafana's model.
type dashboard struct {
	Panels []struct {
		ID      int
		Type    string
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr, LegendFormat string }
	}
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
}

// promWords are the words of PromQL that the dashboard may use; all others in an expression must be metrics.
var promWords = []string{"sum", "max", "min", "topk", "rate", "histogram_quantile", "by", "ignoring", "group_left"}

// selector is one metric of an expression, with its matchers.
type selector struct {
	metric   string
	matchers map[string]string // values as patterns
}

var (
	promLabels   = regexp.MustCompile(`\b(by|ignoring|on) *\(([^)]*)\)`)
	promRange    = regexp.MustCompile(`\[[^\]]*\]`)
	promSelector = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([^}]*)\})?`)
	promMatcher  = regexp.MustCompile(`^\s*(\w+)(=~|=)"([^"]*)"\s*$`)
	grafanaLabel = regexp.MustCompile(`\{\{(\w+)\}\}`)
	grafanaVar   = regexp.MustCompile(`\$\w+`)
)

// parseExpr finds the metrics of an expression, and the labels that it groups by.
func parseExpr(t *testing.T, expr string) (selectors []selector, labels []string) {
	t.Helper()
	for _, m := range promLabels.FindAllStringSubmatch(expr, -1) {
		for _, label := range strings.Split(m[2], ",") {
			labels = append(labels, strings.TrimSpace(label))
		}
	}
	rest := promRange.ReplaceAllString(promLabels.ReplaceAllString(expr, "$1"), "")
	for _, m := range promSelector.FindAllStringSubmatch(rest, -1) {
		if slices.Contains(promWords, m[1]) {
			continue
		}
		one := selector{metric: m[1], matchers: map[string]string{}}
		for _, text := range strings.Split(m[2], ",") {
			if text == "" {
				continue
			}
			matcher := promMatcher.FindStringSubmatch(text)
			if matcher == nil {
				t.Errorf("%s: matcher %q is not understood", expr, text)
				continue
			}
			value := grafanaVar.ReplaceAllString(matcher[3], ".*")
			if matcher[2] == "=" {
				value = regexp.QuoteMeta(value)
			}
			one.matchers[matcher[1]] = value
		}
		selectors = append(selectors, one)
	}
	return selectors, labels
}

// matches tells whether labels, as Prometheus adds instance and job to them, are selected, and which labels a matcher asks for in vain.
func (s *selector) matches(labels map[string]string) (yes bool, unknown string) {
	for name, pattern := range s.matchers {
		value, ok := labels[name]
		if !ok {
			return false, name
		}
		if !regexp.MustCompile("^(?:" + pattern + ")$").MatchString(value) {
			return false, ""
		}
	}
	return true, ""
}

// byMetric orders samples of a scrape by metric, as sets of labels.
func byMetric(samples map[string]float64) map[string][]map[string]string {
	all := map[string][]map[string]string{}
	for sample := range samples {
		name, rest, _ := strings.Cut(sample, "{")
		labels := map[string]string{"instance": "broker:9642", "job": "ottla"}
		for _, m := range regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`).FindAllStringSubmatch(rest, -1) {
			labels[m[1]] = m[2]
		}
		all[name] = append(all[name], labels)
	}
	return all
}

// TestDocsDashboard: every metric and label that docs/grafana/ottla.json names is exported, and in a broker with a little traffic no panel is empty.
func TestDocsDashboard(t *testing.T) {
	content, err := os.ReadFile("docs/grafana/ottla.json")
	if err != nil {
		t.Fatal(err)
	}
	var board dashboard
	if err := json.Unmarshal(content, &board); err != nil {
		t.Fatal(err)
	}
	exported := byMetric(busyScrape(t))
	check := func(where, expr, legend string) {
		selectors, grouped := parseExpr(t, expr)
		if len(selectors) == 0 {
			t.Errorf("%s: no metric in %s", where, expr)
		}
		known := map[string]bool{}
		for _, s := range selectors {
			if len(exported[s.metric]) == 0 {
				t.Errorf("%s: %s is not exported", where, s.metric)
				continue
			}
			found, unknown := false, ""
			for _, labels := range exported[s.metric] {
				yes, missing := s.matches(labels)
				found = found || yes
				unknown += missing
				for label := range labels {
					known[label] = true
				}
			}
			if !found {
				t.Errorf("%s: no sample of %s matches %v (unknown label %q)", where, s.metric, s.matchers, unknown)
			}
		}
		for _, label := range grouped {
			if !known[label] {
				t.Errorf("%s: label %s of %s does not exist", where, label, expr)
			}
		}
		for _, m := range grafanaLabel.FindAllStringSubmatch(legend, -1) {
			if !slices.Contains(grouped, m[1]) {
				t.Errorf("%s: the legend names %s, which %s does not keep", where, m[1], expr)
			}
		}
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, panel := range board.Panels {
		if ids[panel.ID] {
			t.Errorf("panel %q: its id %d is another's, too", panel.Title, panel.ID)
		}
		ids[panel.ID] = true
		for x := panel.GridPos.X; x < panel.GridPos.X+panel.GridPos.W; x++ {
			for y := panel.GridPos.Y; y < panel.GridPos.Y+panel.GridPos.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok {
					t.Fatalf("panels %q and %q lie over each other", panel.Title, other)
				}
				taken[[2]int{x, y}] = panel.Title
			}
		}
		if panel.Type != "row" && len(panel.Targets) == 0 {
			t.Errorf("panel %q shows nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			check("panel "+panel.Title, target.Expr, target.LegendFormat)
		}
	}
	for _, variable := range board.Templating.List {
		if variable.Type != "query" {
			continue
		}
		m := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`).FindStringSubmatch(variable.Definition)
		if m == nil || len(exported[m[1]]) == 0 || exported[m[1]][0][m[2]] == "" {
			t.Errorf("variable %s: %s has no values", variable.Name, variable.Definition)
		}
	}
}

// TestDashboardParser: an expression with a metric, a label or a legend that is wrong would be found.
func TestDashboardParser(t *testing.T) {
	selectors, grouped := parseExpr(t, `topk(10, sum by (topic, le) (rate(ottla_x_total{instance=~"$instance", api="Produce"}[$__rate_interval]))) / ignoring (stage) group_left sum(typo)`)
	if len(selectors) != 2 || selectors[0].metric != "ottla_x_total" || selectors[1].metric != "typo" || !slices.Equal(grouped, []string{"topic", "le", "stage"}) {
		t.Fatalf("found %v grouped by %v", selectors, grouped)
	}
	for _, test := range []struct {
		labels  map[string]string
		yes     bool
		unknown string
	}{
		{map[string]string{"instance": "a", "api": "Produce"}, true, ""},
		{map[string]string{"instance": "a", "api": "Produced"}, false, ""},
		{map[string]string{"instance": "a"}, false, "api"},
	} {
		if yes, unknown := selectors[0].matches(test.labels); yes != test.yes || unknown != test.unknown {
			t.Errorf("%v: %v %q", test.labels, yes, unknown)
		}
	}
}

// busyScrape is what a broker tells that has had producers, consumers, a group that is behind, an error and a closed connection.
func busyScrape(t *testing.T) map[string]float64 {
	broker, err := ottla.Start(ottla.Config{InMemory: true, Admin: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close(context.Background())
	client := newClient(t, broker)
	produce(t, client, "t", 0, 10)
	consumer := newClient(t, broker, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	consumer.PollFetches(patient(t))
	consumer.Close()
	var offsets kadm.Offsets
	offsets.AddOffset("t", 0, 3, -1)
	admin := kadm.NewClient(client)
	if _, err := admin.CommitOffsets(patient(t), "g", offsets); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.DeleteGroup(patient(t), "nobody"); err == nil {
		t.Fatal("a group that is not there was deleted")
	}
	client.Close()
	for ctx := patient(t); ; {
		samples := scrapeSamples(t, broker, "/metrics")
		if samples[`ottla_connections_closed_total{reason="peer closed"}`] > 0 {
			return samples
		}
		if err := ctx.Err(); err != nil {
			t.Fatal("the client's connections are still open")
		}
	}
}
