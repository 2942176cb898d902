package api

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// Retained memory of one pooled request: larger ones are left to the garbage collector.
const (
	retainTopics     = 1024
	retainPartitions = 16 << 10
)

// produceFactor bounds what the arrays of a Produce may take of memory, in sizes of the request. It may be 100 MiB, and an entry takes,
// with its answer, hundreds of bytes here: that is little beside a batch, but a request of entries without records would be a bomb. With
// one batch of one empty record in each partition of as many topics, an honest one needs 1.2.
const produceFactor = 2

// decode reads r's body. The result may alias it, except for strings.
func decode(r *Request, d *wire.Decoder, m wire.Message) error {
	d.Strings = &r.Conn.Strings
	d.Reset(r.Body)
	if r.Key == wire.ProduceKey {
		d.Allow(produceFactor)
	}
	err := m.Decode(d, r.Version)
	d.Reset(nil)
	d.Strings = nil
	if err == nil {
		r.Trace.asked(m)
	}
	r.Acting = true
	return err
}

// hangup ends the connection, as Kafka does with a request that it cannot parse.
func hangup(r *Request, err error) Outcome {
	r.Err = err
	return Hangup
}

// reply encodes a whole response. What cannot be encoded is our own fault, and nothing can be said to the client any more.
func reply(r *Request, m wire.Message) Outcome {
	r.Acting = false
	if r.meter.quotas != nil {
		r.tellThrottle(m)
	}
	r.Trace.answered(m)
	if err := m.Encode(r.Reply, r.Version); err != nil {
		return hangup(r, fmt.Errorf("answer %s: %w", wire.APIName(r.Key), err))
	}
	return Replied
}

// resize makes s n long and keeps elements, for the capacity of the slices inside them.
func resize[T any](s []T, n int) []T {
	if n <= cap(s) && s != nil {
		return s[:n]
	}
	grown := make([]T, n, max(n, 2*cap(s)))
	copy(grown, s[:cap(s)])
	return grown
}

// topicID is id as a request or a response carries it.
func topicID(id wire.UUID) ids.TopicID { return ids.TopicID(id) }

func brokers(from []ids.BrokerID) []int32 {
	to := make([]int32, len(from))
	for i, id := range from {
		to[i] = int32(id)
	}
	return to
}

// view is the cluster as one connection may see it.
type view struct {
	image    *metadata.Image
	settings *Settings
	conn     *Conn
}

func (t *Table) view(r *Request) view {
	return view{image: t.deps.Cluster.Image(), settings: &t.deps.Settings, conn: r.Conn}
}

// address is where a client of the connection's listener reaches a broker; ok is false if the broker has no such listener.
func (v view) address(b *metadata.Broker) (Address, bool) {
	if b.ID == v.settings.NodeID {
		return v.self(), true
	}
	for i := range b.Endpoints {
		if e := &b.Endpoints[i]; e.Name == v.conn.Listener {
			return Address{Host: e.Host, Port: int32(e.Port)}, true
		}
	}
	return Address{}, false
}

func (v view) self() Address {
	if a, ok := v.settings.Advertised[v.conn.Listener]; ok {
		return a
	}
	return Address{Host: v.conn.LocalHost, Port: v.conn.LocalPort}
}

// controller is a live broker of the list that clients get: all forward to whoever is the controller.
func (v view) controller() int32 { return int32(v.settings.NodeID) }

// alive reports whether a broker is registered and not fenced. We are, whatever the image of the moment says.
func (v view) alive(id ids.BrokerID) bool {
	if id == v.settings.NodeID {
		return true
	}
	b, ok := v.image.Broker(id)
	return ok && !b.Fenced
}

// reach is where a client of the connection's listener reaches a live broker.
func (v view) reach(id ids.BrokerID) (Address, bool) {
	if id == v.settings.NodeID {
		return v.self(), true
	}
	if b, ok := v.image.Broker(id); ok && !b.Fenced {
		return v.address(b)
	}
	return Address{}, false
}

// offline are those replicas that cannot be served: their broker is gone, or the directory that they lie in (KIP-858).
func (v view) offline(p *metadata.Partition) []int32 {
	down := []int32{}
	for i, id := range p.Replicas {
		if !v.alive(id) || i < len(p.Directories) && v.lost(id, p.Directories[i]) {
			down = append(down, int32(id))
		}
	}
	return down
}

// lost tells that a directory is none of those that the broker has told of. Kafka's reserved ids stand for no directory.
func (v view) lost(broker ids.BrokerID, dir ids.DirectoryID) bool {
	b, ok := v.image.Broker(broker)
	return ok && len(b.Directories) > 0 && !dir.Reserved() && !slices.Contains(b.Directories, dir)
}

func rack(b *metadata.Broker) wire.NullString {
	return wire.NullString{Value: b.Rack, Valid: b.Rack != ""}
}

// Authorized operations as bits, one for each AclOperation that makes sense on the resource: all of them, as there is no
// authorizer (KIP-430).
const (
	clusterOperations int32 = 8096 // alter, alter configs, cluster action, create, describe, describe configs, idempotent write
	groupOperations   int32 = 3400 // alter configs, delete, describe, describe configs, read
	topicOperations   int32 = 3576 // alter, alter configs, create, delete, describe, describe configs, read, write
	noOperations      int32 = -1 << 31
)

// isInternal names the topics that Kafka reports as internal.
func isInternal(topic string) bool {
	switch topic {
	case "__consumer_offsets", "__transaction_state", "__share_group_state":
		return true
	}
	return false
}

// topicNameProblem is Kafka's sentence about a name that no topic can have, or "".
func topicNameProblem(name string) string {
	const prefix = "Topic name is invalid: "
	switch {
	case name == "":
		return prefix + "the empty string is not allowed"
	case name == "." || name == "..":
		return prefix + "'" + name + "' is not allowed"
	case len(name) > 249:
		return fmt.Sprintf("%sthe length of '%s' is longer than the max allowed length 249", prefix, name)
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return prefix + "'" + name + "' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
		}
	}
	return ""
}

// sorted ranges over a map in the order of its keys.
func sorted[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}
