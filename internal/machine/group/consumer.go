package group

import (
	"cmp"
	"maps"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/wire"
)

// A consumer group (KIP-848) goes by three epochs:
//
//	member epoch ≤ target epoch ≤ group epoch
//
// The group epoch rises when members, subscriptions or topics change. The target assignment is then computed for it. Each
// member goes to the target's epoch on its own, by heartbeats: it first gives up what it must, then gets what others have given
// up. A partition has one owner at any time: the member that has it in assigned or in revoking.

// Epochs in requests and in records that are no epochs.
const (
	joiningEpoch     = 0  // the member joins, or joins again after it was fenced
	leavingEpoch     = -1 // the member leaves
	staticLeaveEpoch = -2 // the static member leaves, and will come back
	firstEpoch       = 1  // of a group that nothing has happened to yet
)

// consumerState is how far a member is on its way to the target assignment; the numbers are those of Kafka's records.
type consumerState int8

const (
	consumerStable     consumerState = 0 // it has all that its epoch gives it
	consumerUnrevoked  consumerState = 1 // it has to give up revoking first, and stays in its epoch until then
	consumerUnreleased consumerState = 2 // it waits for what others have to give up
)

// consumer is a member of a consumer group, as its records say. It never changes: a new one replaces it.
type consumer struct {
	id             string
	epoch          int32
	previousEpoch  int32 // -1 before the first one
	state          consumerState
	instance, rack wire.NullString
	client, host   string
	rebalanceMs    int32    // how long it may take to give up partitions
	topics         []string // that it subscribes to by name, sorted
	regex          wire.NullString
	assignor       wire.NullString // that it prefers
	assigned       share           // with epochs
	revoking       share           // with epochs
	classic        *classicConsumer
}

// classicConsumer is what a member has that speaks the classic protocol.
type classicConsumer struct {
	sessionMs int32
	protocols []wire.JoinGroupRequestProtocol // the one that is used first
}

// newConsumer is a member that nothing is known of yet.
func newConsumer(id string) *consumer {
	return &consumer{id: id, previousEpoch: -1, rebalanceMs: -1, regex: wire.SomeString("")}
}

// reconciledTo tells whether the member is where this target assignment wants it.
func (one *consumer) reconciledTo(target int32) bool {
	return one.state == consumerStable && one.epoch == target
}

// size is what a member says of itself, in bytes.
func (one *consumer) size() int {
	n := len(one.id) + len(one.instance.Value) + len(one.rack.Value) + len(one.client) + len(one.host) + len(one.regex.Value) + namesSize(one.topics)
	if one.classic != nil {
		for i := range one.classic.protocols {
			n += len(one.classic.protocols[i].Name) + len(one.classic.protocols[i].Metadata)
		}
	}
	return n
}

// namesSize counts names, each with the header that it has in memory.
func namesSize(names []string) (n int) {
	for _, name := range names {
		n += len(name) + 16
	}
	return n
}

func (r resolvedRegex) size() int { return namesSize(r.topics) }

// sameMetadata tells whether the member's metadata record would stay the same.
func (one *consumer) sameMetadata(other *consumer) bool {
	return one.instance == other.instance && one.rack == other.rack && one.client == other.client && one.host == other.host &&
		one.rebalanceMs == other.rebalanceMs && one.regex == other.regex && one.assignor == other.assignor &&
		slices.Equal(one.topics, other.topics) && one.classic.equal(other.classic)
}

// sameAssignment tells whether the member's assignment record would stay the same.
func (one *consumer) sameAssignment(other *consumer) bool {
	return one.epoch == other.epoch && one.previousEpoch == other.previousEpoch && one.state == other.state &&
		one.assigned.equal(other.assigned) && one.revoking.equal(other.revoking)
}

func (c *classicConsumer) equal(other *classicConsumer) bool {
	if c == nil || other == nil {
		return c == other
	}
	return c.sessionMs == other.sessionMs && slices.EqualFunc(c.protocols, other.protocols, sameProtocol)
}

func sameProtocol(a, b wire.JoinGroupRequestProtocol) bool {
	return a.Name == b.Name && string(a.Metadata) == string(b.Metadata)
}

// resolvedRegex is which topics match a regular expression.
type resolvedRegex struct {
	topics  []string // sorted
	version int64    // of the metadata: its end offset
	atMs    int64    // wall clock
}

// subscribers counts who subscribes to a topic: members by its name, and regular expressions that match it.
type subscribers struct{ byName, byRegex int }

// consumerGroup is the durable half of a consumer group. Only its apply methods change it.
type consumerGroup struct {
	epoch        int32
	stored       bool // its epoch is in the log
	metadataHash int64
	targetEpoch  int32
	targetMs     int64 // wall clock; 0 is unknown
	targeted     bool  // the target's epoch is in the log
	members      map[string]*consumer
	target       map[string]share
	regexes      map[string]resolvedRegex
	legacy       bool // a record of type 4, of Kafka before 4.1, is in the log

	// What follows sums up the members and regexes.
	byInstance map[string]string // ids of static members
	subscribed map[string]subscribers
	regexUse   map[string]int // members by regular expression
	assignors  map[string]int // members by assignor
	owner      map[ids.TopicID]map[int32]string
	stableAt   map[int32]int  // members in state stable, by epoch
	classics   int            // members that speak the classic protocol
	protocols  map[string]int // of those, by protocol that they know
	bytes      int            // of what members say of themselves, and of the topics that match regular expressions
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func newConsumerGroup() *consumerGroup {
	return &consumerGroup{epoch: firstEpoch, targetEpoch: firstEpoch, members: make(map[string]*consumer), target: make(map[string]share),
		regexes: make(map[string]resolvedRegex), byInstance: make(map[string]string), subscribed: make(map[string]subscribers),
		regexUse: make(map[string]int), assignors: make(map[string]int), owner: make(map[ids.TopicID]map[int32]string),
		stableAt: make(map[int32]int), protocols: make(map[string]int)}
}

// isBlank tells whether nothing but offsets is left of the group.
func (c *consumerGroup) isBlank() bool {
	return !c.stored && !c.targeted && len(c.members) == 0 && len(c.target) == 0 && len(c.regexes) == 0 && !c.legacy
}

// state is the group's state in Kafka's words.
func (c *consumerGroup) state() string {
	switch {
	case len(c.members) == 0:
		return "Empty"
	case c.epoch > c.targetEpoch:
		return "Assigning"
	case c.stableAt[c.targetEpoch] < len(c.members):
		return "Reconciling"
	}
	return "Stable"
}

// sorted are the members by id.
func (c *consumerGroup) sorted() []*consumer {
	return slices.SortedFunc(maps.Values(c.members), func(a, b *consumer) int { return cmp.Compare(a.id, b.id) })
}

// static is the member with this instance id; nil if there is none.
func (c *consumerGroup) static(instance wire.NullString) *consumer {
	if !instance.Valid {
		return nil
	}
	return c.members[c.byInstance[instance.Value]]
}

// put adds or replaces a member.
func (c *consumerGroup) put(one *consumer) {
	if old := c.members[one.id]; old != nil {
		c.count(old, -1)
		if old.instance.Valid && c.byInstance[old.instance.Value] == one.id {
			delete(c.byInstance, old.instance.Value)
		}
	}
	c.members[one.id] = one
	c.count(one, 1)
	if one.instance.Valid {
		c.byInstance[one.instance.Value] = one.id
	}
}

func (c *consumerGroup) remove(id string) {
	one := c.members[id]
	if one == nil {
		return
	}
	c.count(one, -1)
	delete(c.members, id)
	if one.instance.Valid && c.byInstance[one.instance.Value] == id {
		delete(c.byInstance, one.instance.Value)
	}
}

// count adds a member to the sums, or with by = -1 takes it out.
func (c *consumerGroup) count(one *consumer, by int) {
	c.bytes += by * one.size()
	countNames(c.subscribed, one.topics, by)
	if one.regex.Value != "" {
		addTo(c.regexUse, one.regex.Value, by)
	}
	if one.assignor.Valid {
		addTo(c.assignors, one.assignor.Value, by)
	}
	if one.state == consumerStable {
		addTo(c.stableAt, one.epoch, by)
	}
	if one.classic != nil {
		c.classics += by
		for _, p := range one.classic.protocols {
			addTo(c.protocols, p.Name, by)
		}
	}
	for _, s := range [...]share{one.assigned, one.revoking} {
		for i := range s {
			c.own(&s[i], one.id, by)
		}
	}
}

func (c *consumerGroup) own(t *topicShare, member string, by int) {
	owned := c.owner[t.topic]
	if by > 0 && owned == nil {
		owned = make(map[int32]string, len(t.partitions))
		c.owner[t.topic] = owned
	}
	for _, p := range t.partitions {
		if by > 0 {
			owned[p] = member
		} else if owned[p] == member {
			delete(owned, p)
		}
	}
	if len(owned) == 0 {
		delete(c.owner, t.topic)
	}
}

func addTo[K comparable](counts map[K]int, key K, by int) {
	if counts[key] += by; counts[key] == 0 {
		delete(counts, key)
	}
}

func countNames(subscribed map[string]subscribers, topics []string, by int) {
	for _, topic := range topics {
		s := subscribed[topic]
		s.byName += by
		setSubscribers(subscribed, topic, s)
	}
}

func countRegex(subscribed map[string]subscribers, topics []string, by int) {
	for _, topic := range topics {
		s := subscribed[topic]
		s.byRegex += by
		setSubscribers(subscribed, topic, s)
	}
}

func setSubscribers(subscribed map[string]subscribers, topic string, s subscribers) {
	if s == (subscribers{}) {
		delete(subscribed, topic)
	} else {
		subscribed[topic] = s
	}
}

func (c *consumerGroup) putRegex(regex string, resolved resolvedRegex) {
	c.removeRegex(regex)
	c.regexes[regex] = resolved
	c.bytes += resolved.size()
	countRegex(c.subscribed, resolved.topics, 1)
}

func (c *consumerGroup) removeRegex(regex string) {
	c.bytes -= c.regexes[regex].size()
	countRegex(c.subscribed, c.regexes[regex].topics, -1)
	delete(c.regexes, regex)
}

// targetOf is the target assignment of a member, or that of the member whose place it takes.
func (c *consumerGroup) targetOf(one *consumer) share {
	if replaced := c.static(one.instance); replaced != nil {
		return c.target[replaced.id]
	}
	if one.instance.Valid {
		return nil
	}
	return c.target[one.id]
}
