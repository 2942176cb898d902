package quota

import (
	"math"
	"testing"
)

func named(name string) Part { return Part{Named: true, Name: name} }

var byDefault = Part{Default: true}

// levelsOf are Kafka's eight levels for user u and client id c, the most specific first, with whom each binds together.
var levelsOf = []struct {
	entity Entity
	who    Subject
}{
	{Entity{User: named("u"), ClientID: named("c")}, Subject{User: "u", ClientID: "c"}},
	{Entity{User: named("u"), ClientID: byDefault}, Subject{User: "u", ClientID: "c"}},
	{Entity{User: named("u")}, Subject{User: "u"}},
	{Entity{User: byDefault, ClientID: named("c")}, Subject{User: "u", ClientID: "c"}},
	{Entity{User: byDefault, ClientID: byDefault}, Subject{User: "u", ClientID: "c"}},
	{Entity{User: byDefault}, Subject{User: "u"}},
	{Entity{ClientID: named("c")}, Subject{ClientID: "c"}},
	{Entity{ClientID: byDefault}, Subject{ClientID: "c"}},
}

// TestPrecedence: of every set of the eight levels, the first one decides, and those of other users, clients and kinds never do.
func TestPrecedence(t *testing.T) {
	for set := range 1 << len(levelsOf) {
		l := NewLimits()
		for _, other := range []Entity{{User: named("x"), ClientID: named("c")}, {User: named("u"), ClientID: named("x")}, {User: named("x")}, {ClientID: named("x")},
			{User: byDefault, ClientID: named("x")}, {User: named("x"), ClientID: byDefault}} {
			l.Add(other, "producer_byte_rate", 1000)
		}
		l.Add(Entity{User: named("u")}, "consumer_byte_rate", 2000)
		first, firstOfUsers := -1, -1
		for i, level := range levelsOf {
			if set&(1<<i) == 0 {
				continue
			}
			l.Add(level.entity, "producer_byte_rate", float64(i+1))
			if first < 0 {
				first = i
			}
			if firstOfUsers < 0 && !level.entity.ClientID.Present() {
				firstOfUsers = i
			}
		}
		who, limit, ok := l.Find(Produce, "u", "c")
		if ok != (first >= 0) || ok && (limit != float64(first+1) || who != levelsOf[first].who) {
			t.Errorf("set %08b: %+v %v %v, want level %d", set, who, limit, ok, first+1)
		}
		// Who gives no client id is bound by quotas of users only.
		who, limit, ok = l.Find(Produce, "u", "")
		if ok != (firstOfUsers >= 0) || ok && (limit != float64(firstOfUsers+1) || who != Subject{User: "u"}) {
			t.Errorf("set %08b, no client id: %+v %v %v, want level %d", set, who, limit, ok, firstOfUsers+1)
		}
	}
}

func TestConnectionsAndNonsense(t *testing.T) {
	l := NewLimits()
	for _, bad := range []float64{0, -1, math.NaN(), math.Inf(1), math.Inf(-1)} {
		l.Add(Entity{User: named("u")}, "producer_byte_rate", bad)
	}
	l.Add(Entity{User: named("u")}, "no_such_key", 5)
	l.Add(Entity{IP: named("some.host")}, "connection_creation_rate", 5)
	if !l.Empty() {
		t.Error("what limits nothing is a limit")
	}
	l.Add(Entity{IP: named("10.0.0.1")}, "connection_creation_rate", 5)
	l.Add(Entity{IP: named("2001:db8:0:0::1")}, "connection_creation_rate", 6)
	for host, want := range map[string]float64{"10.0.0.1": 5, "::ffff:10.0.0.1": 5, "2001:db8::1": 6, "10.0.0.2": 0, "nonsense": 0} {
		if got, ok := l.Connections(host); got != want || ok != (want > 0) {
			t.Errorf("%s: %v %v", host, got, ok)
		}
	}
	l.Add(Entity{IP: byDefault}, "connection_creation_rate", 7)
	if got, _ := l.Connections("10.0.0.2"); got != 7 {
		t.Errorf("default: %v", got)
	}
	if l.Any(Produce) || !l.Any(ConnectionRate) || l.Empty() {
		t.Error("kinds are mixed up")
	}
}
