package clients

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/test/broker"
)

const cliCluster = `topics:
  arrivals:
    partitions: 2
    replicationFactor: 1
    config:
      compression.type: zstd
  flights:
    partitions: 6
    replicationFactor: 1
    config:
      cleanup.policy: compact,delete
      retention.ms: 86400000
brokers:
  default:
    log.retention.ms: 90000000
groups:
  billing:
    consumer.session.timeout.ms: 55000
quotas:
  - entity:
      client-id: null
    limits:
      request_percentage: 12.5
  - entity:
      user: alice
    limits:
      consumer_byte_rate: 2097152
      producer_byte_rate: 1048576
`

// TestCommandLine: our own command line says and does the same with Ottla and with Kafka.
func TestCommandLine(t *testing.T) {
	binary, err := broker.Binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []broker.Kind{broker.Ottla, broker.Kafka} {
		t.Run(string(kind), func(t *testing.T) {
			b, err := broker.Start(broker.Config{Kind: kind, Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Kill()
			run := func(code int, stdin, line string) string {
				t.Helper()
				cmd := exec.CommandContext(t.Context(), binary, strings.Fields(line)...)
				cmd.Env = append(os.Environ(), "OTTLA_BOOTSTRAP="+b.Addr(), "XDG_CONFIG_HOME="+t.TempDir())
				cmd.Stdin = strings.NewReader(stdin)
				var out, problems strings.Builder
				cmd.Stdout, cmd.Stderr = &out, &problems
				if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
					t.Fatalf("ottla %s: %v, want exit code %d:\n%s%s", line, err, code, out.String(), problems.String())
				}
				return out.String()
			}
			run(1, cliCluster, "diff -")
			run(1, cliCluster, "apply -")
			want(t, "apply", run(0, cliCluster, "apply - --yes"), `(?s)^~ all brokers\n.*\n\+ topic arrivals\n.*6 changes made\n$`)
			want(t, "apply again", run(0, cliCluster, "apply - --yes"), `nothing to do\n$`)
			exported := run(0, "", "export")
			if got := strings.Replace(exported, "    min.insync.replicas: 1\n", "", 1); got != cliCluster { // Kafka's own, for eligible leader replicas
				t.Errorf("export:\n%s\nwant\n%s", got, cliCluster)
			}
			run(0, exported, "diff - --prune")
			want(t, "apply --prune", run(1, "topics: {flights: {partitions: 3}}", "apply - --prune --yes"), `! topic flights has 6 partitions, not 3`)
			want(t, "apply --prune", run(0, "topics: {flights: }\nquotas: []", "apply - --prune --yes"), `(?s)- quota user=alice\n.*- topic arrivals\n.*\n4 changes made\n$`)
			run(0, "one\ntwo\nthree\n", "produce flights -k k")
			want(t, "producers", run(0, "", "producers flights"), `(?m)^flights +\d +\d+ +0 +2 +20`)
			want(t, "trim", run(0, "", "topic trim flights --before 2 --yes"), `(?m)^flights +\d +0 +2 +3 +2 records deleted$`)
			want(t, "alter", run(0, "", "topic alter flights segment.ms=3600000 retention.ms-"), `topic flights: set segment.ms=3600000 retention.ms-`)
			want(t, "config get", run(0, "", "config get topic flights -o yaml"), `(?m)^- name: segment.ms\n  value: "3600000"\n  source: dynamic topic$`)
			want(t, "cluster info", run(0, "", "cluster info"), `(?m)^1 +voter +\d+ +0 `)
			want(t, "cluster features", run(0, "", "cluster features"), `(?m)^metadata.version +30 `)
			want(t, "completion", run(0, "", "__complete topic describe f"), `(?m)^flights$`)
		})
	}
}
