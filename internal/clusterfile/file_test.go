package clusterfile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func parsed(t *testing.T, text string) *File {
	t.Helper()
	f, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return f
}

const whole = `topics:
  a:
    partitions: 6
    replicationFactor: 3
    config:
      cleanup.policy: compact,delete
      min.cleanable.dirty.ratio: 0.50
      odd: '# "'
      preallocate: true
      retention.ms: 0086400000
      taken.back: null
  b: {}
brokers:
  "1":
    log.retention.ms: 5
  default:
    empty: ""
groups: {}
quotas:
  - entity:
      client-id: null
      user: alice
    limits:
      consumer_byte_rate: null
      producer_byte_rate: 1048576
`

// TestTextIsParsedBack: what is written is read as the same, and written as the same again.
func TestTextIsParsedBack(t *testing.T) {
	for _, text := range []string{whole, "topics: {}\nbrokers: {}\ngroups: {}\nquotas: []\n", "{}\n"} {
		f := parsed(t, text)
		got, err := f.Text()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(text, string(got)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(f, parsed(t, string(got))); diff != "" {
			t.Errorf("read again: %s", diff)
		}
	}
	if f := parsed(t, ""); f.Topics != nil || f.Brokers != nil || f.Groups != nil || f.Quotas != nil {
		t.Errorf("nothing speaks of %+v", f)
	}
	if f := parsed(t, "topics: {a: , b: {config: }}"); len(f.Topics) != 2 || f.Topics["b"].Config != nil {
		t.Errorf("%+v", f)
	}
	shared := parsed(t, "topics:\n  a: &a {partitions: 2, config: &std {retention.ms: &v 5, segment.ms: 7}}\n  b: {<<: *a, config: *std}\n  c: {config: {<<: *std, segment.ms: *v}}")
	if b, c := shared.Topics["b"], shared.Topics["c"]; b.Partitions != 2 || *b.Config["segment.ms"] != "7" || *c.Config["retention.ms"] != "5" || *c.Config["segment.ms"] != "5" {
		t.Errorf("anchors: %+v", shared)
	}
	if f := parsed(t, "topics: {a: {config: {cleanup.policy: [compact, delete]}}}"); *f.Topics["a"].Config["cleanup.policy"] != "compact,delete" {
		t.Errorf("%+v", f)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"topcs: {}", "topcs"},
		{"topics:\n  a: {partition: 1}", "line 2: field partition not found"},
		{"topics: {a: {partitions: -1}}", "topic a: partitions"},
		{"topics: {a: {partitions: many}}", "many"},
		{"topics: {a: {}, a: {}}", "a"},
		{"topics: {'': {}}", "no name"},
		{"topics: {a: {config: [x]}}", "KEY: VALUE"},
		{"topics:\n  a:\n    config:\n      k: 1\n      k: 2", `line 5: mapping key "k" already defined at line 4`},
		{"topics: {a: {config: {k: {l: m}}}}", "k: want a value, a list or null"},
		{"topics: {a: {config: {k: [[m]]}}}", "k: want a list of words"},
		{"brokers: {one: {k: v}}", "one is neither a broker's id nor default"},
		{"quotas: [{limits: {producer_byte_rate: 1}}]", "number 1 has no entity"},
		{"quotas: [{entity: {group: x}}]", "group is none of user, client-id, ip"},
		{"quotas: [{entity: {user: x}}, {entity: {user: x}}]", "user=x is there twice"},
		{"quotas: [{entity: {user: x}, limits: {producer_byte_rate: -1}}]", "want a number from 0 on"},
		{"quotas: [{entity: {user: x}, limits: {producer_byte_rate: .nan}}]", "want a number from 0 on"},
		{"topics: {}\n---\ntopics: {}", "more than one document"},
		{"topics: [", "line 1"},
	} {
		if _, err := Parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) || strings.ContainsAny(err.Error(), "\n") || strings.Contains(err.Error(), "clusterfile.") {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse(text)
		if err != nil {
			return
		}
		again, err := file.Text()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(again)
		if err != nil {
			t.Fatalf("%s\n%v", again, err)
		}
		if d := Compare(file, back, true); len(d.Changes)+len(d.Impossible) > 0 {
			t.Fatalf("%s\n%+v", again, d)
		}
	})
}
