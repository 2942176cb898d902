package clusterfile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompare(t *testing.T) {
	have := `
topics:
  a: {partitions: 3, replicationFactor: 1, config: {retention.ms: 5, cleanup.policy: "compact,delete", preallocate: "true"}}
  old: {partitions: 2, replicationFactor: 1}
brokers:
  default: {log.retention.ms: 7}
  "2": {log.retention.ms: 8}
groups:
  g: {consumer.session.timeout.ms: 50000}
quotas:
  - {entity: {user: alice}, limits: {producer_byte_rate: 1000000, consumer_byte_rate: 5}}
  - {entity: {ip: null}, limits: {connection_creation_rate: 5}}
`
	for _, c := range []struct {
		name, want, printed string
		prune               bool
	}{
		{"the same", have, "", true},
		{"nothing is spoken of", "", "", true},
		{"the same in other words", "topics: {a: {config: {retention.ms: ' 05', cleanup.policy: [compact, delete], preallocate: TRUE}}, old: }", "", false},
		{"new", "topics: {new: {partitions: 2, config: {retention.ms: 5, segment.ms: null}}, plain: }", `
+ topic new
    + partitions: 2
    + retention.ms: 5
+ topic plain
not in the file, and left as it is: topic a; topic old
`, false},
		{"changes", `
topics: {a: {partitions: 6, config: {retention.ms: 6, segment.ms: 9, preallocate: null}}, old: {partitions: 1, replicationFactor: 3}}
brokers: {default: {log.retention.ms: 9}}
groups: {g: {consumer.session.timeout.ms: 50000}, h: {consumer.session.timeout.ms: 60000}}
quotas: [{entity: {user: alice}, limits: {producer_byte_rate: 2e6, consumer_byte_rate: null}}, {entity: {user: bob, client-id: null}, limits: {request_percentage: 12.5}}]
`, `
~ all brokers
    ~ log.retention.ms: 7 -> 9
~ topic a
    ~ partitions: 3 -> 6
    - preallocate: true
    ~ retention.ms: 5 -> 6
    + segment.ms: 9
~ group h
    + consumer.session.timeout.ms: 60000
~ quota user=alice
    - consumer_byte_rate: 5
    ~ producer_byte_rate: 1000000 -> 2000000
~ quota user=bob, client-id=<default>
    + request_percentage: 12.5
! topic old has 2 partitions, not 1: partitions cannot be taken away; make a new topic, or change the file
! topic old has replication factor 1, not 3: apply moves no replicas; reassign its partitions, or change the file
not in the file, and left as it is: broker 2; topic a: cleanup.policy; quota ip=<default>
`, false},
		{"prune", "topics: {a: {config: {retention.ms: 5}}}\nbrokers: {}\nquotas: []", `
~ broker 2
    - log.retention.ms: 8
~ all brokers
    - log.retention.ms: 7
~ topic a
    - cleanup.policy: compact,delete
    - preallocate: true
- quota ip=<default>
    - connection_creation_rate: 5
- quota user=alice
    - consumer_byte_rate: 5
    - producer_byte_rate: 1000000
- topic old
    - partitions: 2
    loses data: its records are deleted
`, true},
	} {
		d := Compare(parsed(t, have), parsed(t, c.want), c.prune)
		var out strings.Builder
		if err := d.Print(&out); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.TrimPrefix(c.printed, "\n"), out.String()); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
}

func TestSameValue(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"5", "5", true}, {"5", " 5", true}, {"5", "05", true}, {"5", "5.0", false}, {"0.5", "0.50", true}, {"9223372036854775807", "9223372036854775806", false},
		{"a,b", "a, b", true}, {"a,b", "b,a", false}, {"True", "true", true}, {"a", "A", false}, {"", " ", true}, {"-1", "1", false}, {"1", "a", false}, {"a", "1", false},
	} {
		if sameValue(c.a, c.b) != c.same {
			t.Errorf("%q and %q: same %v, want %v", c.a, c.b, !c.same, c.same)
		}
	}
}
