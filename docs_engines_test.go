package ottla_test

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// result is what a test of the test module wrote down about a foreign program (test/results).
type result struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Clients []string `json:"clients"`
	Did     string   `json:"did"`
	Date    string   `json:"date"`
	APIs    []string `json:"apis"`
}

func readResults(t *testing.T, path string) []result {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var results []result
	if err := json.Unmarshal(content, &results); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, r := range results {
		if r.Name == "" || r.Version == "" || r.Did == "" || r.Date == "" || len(r.APIs) == 0 {
			t.Errorf("%s: %+v lacks something", path, r)
		}
	}
	return results
}

// TestDocsEngines writes docs/engines.md from what the tests in test/engines ran with, and from the files that they ran.
func TestDocsEngines(t *testing.T) {
	ran, asked := heading("Engine", "Version", "Kafka client", "What was run, and what came of it", "Date"), heading("Engine", "Requests, with their versions")
	for _, r := range readResults(t, "test/engines/results.json") {
		ran += row(r.Name, r.Version, strings.Join(r.Clients, ", "), r.Did, r.Date)
		asked += row(r.Name, strings.Join(r.APIs, "; "))
	}
	block(t, "docs/engines.md", "engines", ran)
	block(t, "docs/engines.md", "requests of engines", asked)
	for _, file := range []string{"connect/standalone.properties", "connect/distributed.properties", "connect/source.properties", "connect/sink.properties",
		"spark/stream.py", "spark/batch.py", "flume/agent.properties", "storm/Flights.java", "storm/pom.xml"} {
		content, err := os.ReadFile(filepath.Join("test/engines", file))
		if err != nil {
			t.Fatal(err)
		}
		block(t, "docs/engines.md", file, "```"+strings.TrimPrefix(filepath.Ext(file), ".")+"\n"+strings.TrimSpace(string(content))+"\n```")
	}
}

// TestDocsClients does the same for docs/clients.md.
func TestDocsClients(t *testing.T) {
	for _, part := range []struct{ name, path, did string }{
		{"clients", "test/clients/results.json", "Codecs"}, {"groups of clients", "test/groups/results.json", "Group protocol"},
	} {
		table := heading("Client", "Version", "Names itself", part.did, "Requests, with their versions", "Date")
		for _, r := range readResults(t, part.path) {
			table += row(r.Name, r.Version, cmp.Or(strings.Join(r.Clients, ", "), "not at all"), r.Did, strings.Join(r.APIs, "; "), r.Date)
		}
		block(t, "docs/clients.md", part.name, table)
	}
}
