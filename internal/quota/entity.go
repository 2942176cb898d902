package quota

import (
	"cmp"
	"iter"
)

// Kind is what a quota limits.
type Kind uint8

const (
	Produce        Kind = iota // producer_byte_rate: bytes a second of Produce requests
	Fetch                      // consumer_byte_rate: bytes a second of Fetch responses
	RequestTime                // request_percentage: hundredths of one thread's time
	Mutations                  // controller_mutation_rate: partitions created or deleted a second
	ConnectionRate             // connection_creation_rate: connections a second from one address
	// Kinds is how many there are.
	Kinds
)

var keys = [Kinds]string{"producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate", "connection_creation_rate"}

// Key is Kafka's name of the quota.
func (k Kind) Key() string { return keys[k] }

// KindOf finds a kind by Kafka's name.
func KindOf(key string) (Kind, bool) {
	for k, name := range keys {
		if name == key {
			return Kind(k), true
		}
	}
	return 0, false
}

// Types of the parts of entities, as in AlterClientQuotas (KIP-546, KIP-612).
const (
	User     = "user"
	ClientID = "client-id"
	IP       = "ip"
)

// Part is one part of an Entity. The zero value means that the entity has no such part.
type Part struct {
	Named   bool   // Name is whom the quotas are for
	Default bool   // they are for all who have none of their own; in the protocol a null name
	Name    string // not empty, where the controller let it pass
}

// Present tells that the entity has this part.
func (p Part) Present() bool { return p.Named || p.Default }

// Compare puts absent before default before named, and those by name.
func (p Part) Compare(other Part) int {
	rank := func(p Part) int {
		switch {
		case p.Named:
			return 2
		case p.Default:
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(p), rank(other)), cmp.Compare(p.Name, other.Name))
}

// Entity is whom quotas are for: a user, a client id, both, or an address.
type Entity struct{ User, ClientID, IP Part }

// Compare orders entities by user, client id and address.
func (e Entity) Compare(other Entity) int {
	return cmp.Or(e.User.Compare(other.User), e.ClientID.Compare(other.ClientID), e.IP.Compare(other.IP))
}

// Part finds one part by its type; nil if there is no such type.
func (e *Entity) Part(kind string) *Part {
	switch kind {
	case User:
		return &e.User
	case ClientID:
		return &e.ClientID
	case IP:
		return &e.IP
	}
	return nil
}

// Parts yields the parts that the entity has, with their types.
func (e Entity) Parts() iter.Seq2[string, Part] {
	return func(yield func(string, Part) bool) {
		for _, kind := range []string{ClientID, User, IP} {
			if p := e.Part(kind); p.Present() && !yield(kind, *p) {
				return
			}
		}
	}
}

// Size is how many parts the entity has.
func (e Entity) Size() int {
	n := 0
	for range e.Parts() {
		n++
	}
	return n
}
