// Package parity holds Ottla's answers against those of Apache Kafka 4.3.1, request by request.
//
// A scenario sends requests, good and bad, over a socket to a broker that has just been started, and writes the decoded answers down as
// text. Kafka's transcripts lie in testdata; `go test ./parity -kafka` records them anew from a live Kafka. Every line of Ottla's must be
// the same, but for the differences that deliberate_test.go names with their reasons: each must still be there, too.
package parity

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/test/broker"
)

var withKafka = flag.Bool("kafka", false, "run Kafka 4.3.1, too, and record its answers in testdata")

// scenario is one list of requests. Scenarios share a broker and so must use topics of their own.
type scenario struct {
	name string
	run  func(*session)
}

// scenarios in the order in which they run.
var scenarios = slicesOf(clusterScenarios, topicScenarios, configScenarios, adminScenarios, produceScenarios, fetchScenarios, offsetScenarios, deleteRecordsScenarios, wireScenarios, groupScenarios, consumerScenarios, featureScenarios, telemetryScenarios, brokerSettingScenarios, quotaScenarios)

// settingsOf are those of the broker that a scenario runs against, beside the defaults.
func settingsOf(sc scenario) map[string]string {
	for i := range consumerScenarios {
		if consumerScenarios[i].name == sc.name {
			return map[string]string{"group.initial.rebalance.delay.ms": "0", "group.consumer.assignment.interval.ms": "0"}
		}
	}
	for i := range telemetryScenarios {
		if telemetryScenarios[i].name == sc.name {
			return map[string]string{"telemetry.max.bytes": "5000"}
		}
	}
	for i := range brokerSettingScenarios {
		if brokerSettingScenarios[i].name == sc.name {
			return map[string]string{"log.retention.ms": "600000", "max.connections": "1000"}
		}
	}
	for i := range featureScenarios {
		if featureScenarios[i].name == sc.name {
			return map[string]string{"group.initial.rebalance.delay.ms": "1", "group.consumer.assignment.interval.ms": "0"} // a broker of its own
		}
	}
	for i := range quotaScenarios {
		if quotaScenarios[i].name == sc.name {
			return map[string]string{"quota.window.num": "11"} // a broker of their own
		}
	}
	for i := range groupScenarios {
		if groupScenarios[i].name == sc.name {
			return map[string]string{"group.initial.rebalance.delay.ms": "0"}
		}
	}
	return nil
}

func slicesOf(all ...[]scenario) []scenario {
	var out []scenario
	for _, some := range all {
		out = append(out, some...)
	}
	return out
}

func TestParity(t *testing.T) {
	kinds := []broker.Kind{broker.Ottla}
	if *withKafka {
		kinds = []broker.Kind{broker.Kafka, broker.Ottla}
	}
	type which struct {
		kind     broker.Kind
		settings string
	}
	addrs := map[which]string{}
	addr := func(kind broker.Kind, sc scenario) string {
		settings := settingsOf(sc)
		key := which{kind, fmt.Sprint(settings)}
		if addrs[key] == "" {
			if kind == broker.Kafka { // without a receiver it hides the APIs of client metrics
				if settings == nil {
					settings = map[string]string{}
				}
				settings["metric.reporters"] = "Receiver"
			}
			b, err := broker.Start(broker.Config{Kind: kind, Dir: t.TempDir(), Settings: settings})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(b.Kill)
			addrs[key] = b.Addr()
		}
		return addrs[key]
	}
	used := make([]bool, len(deliberate))
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			golden := filepath.Join("testdata", sc.name+".txt")
			var s *session
			for _, kind := range kinds {
				s = newSession(t, addr(kind, sc))
				sc.run(s)
				s.hangUp()
				if kind == broker.Kafka {
					if err := os.WriteFile(golden, []byte(s.transcript()), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, sc.name, parse(string(want)), s.exchanges, used)
		})
	}
	if t.Failed() {
		return
	}
	for i, was := range used {
		if d := deliberate[i]; !was && ranAll() {
			t.Errorf("deliberate difference %s (%s → %s) is not there any more: remove it from the table and docs/compatibility.md", d.where, d.kafka, d.ottla)
		}
	}
}

// ranAll reports whether no scenario was left out by -run.
func ranAll() bool {
	run := flag.Lookup("test.run")
	return run == nil || !strings.Contains(run.Value.String(), "/")
}

// parse reads a transcript.
func parse(text string) []exchange {
	var out []exchange
	for _, part := range strings.Split("\n"+text, "\n## ")[1:] {
		name, answer, _ := strings.Cut(part, "\n")
		out = append(out, exchange{name, strings.TrimSuffix(answer, "\n")})
	}
	return out
}

func compare(t *testing.T, scenario string, kafka, ottla []exchange, used []bool) {
	t.Helper()
	if len(kafka) != len(ottla) {
		t.Errorf("%d exchanges, Kafka's transcript has %d: record it anew with -kafka", len(ottla), len(kafka))
	}
	for i := range min(len(kafka), len(ottla)) {
		k, o := kafka[i], ottla[i]
		if k.name != o.name {
			t.Fatalf("exchange %d is %q, in Kafka's transcript %q: record it anew with -kafka", i, o.name, k.name)
		}
		where := scenario + "/" + k.name
		want := expected(where, k.answer, used)
		if got := clean(where, want, o.answer); want != got {
			t.Errorf("%s\n%s", k.name, differences(want, got))
		}
	}
}

// differences shows the lines of two answers that differ.
func differences(kafka, ottla string) string {
	k, o := strings.Split(kafka, "\n"), strings.Split(ottla, "\n")
	if len(k) == 1 || len(o) == 1 {
		return fmt.Sprintf("Kafka: %s\nOttla: %s", kafka, ottla)
	}
	in := func(lines []string) map[string]int {
		count := map[string]int{}
		for _, l := range lines {
			count[l]++
		}
		return count
	}
	ik, io := in(k), in(o)
	var b strings.Builder
	for _, l := range k {
		if io[l] < ik[l] {
			fmt.Fprintf(&b, "Kafka: %s\n", l)
		}
	}
	for _, l := range o {
		if ik[l] < io[l] {
			fmt.Fprintf(&b, "Ottla: %s\n", l)
		}
	}
	if b.Len() == 0 {
		return "the same lines in another order\nKafka: " + kafka + "\nOttla: " + ottla
	}
	return b.String()
}
