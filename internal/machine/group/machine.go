package group

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// Config is what a Machine needs from outside.
type Config struct {
	// Random fills p with random bytes, for member ids.
	Random func(p []byte)
	// Settings are the settings as they are now. Nil is DefaultSettings.
	Settings func() Settings
	// ConsumerSettings are those of one consumer group, if it has some of its own in this image. Nil is Settings.Consumer for all.
	ConsumerSettings func(image *metadata.Image, group string) (s ConsumerSettings, own bool)
	// Image is the cluster's state as this node knows it now.
	Image  func() *metadata.Image
	Events Events
}

// Client is who sent a request.
type Client struct {
	ID      string // client.id
	Host    string // as Kafka writes it: "/127.0.0.1"
	Version int16  // of the request

	Software Software
}

// Software is what a client is, in its own words (KIP-511). No record has it: it is volatile, and known again of a member that was heard
// of since its group was loaded. Its names are short, and no bound on what members say of themselves counts them.
type Software struct{ Name, Version string }

// String is "NAME/VERSION", or nothing if the client never said a name.
func (s Software) String() string {
	if s.Name == "" {
		return ""
	}
	return s.Name + "/" + s.Version
}

// Reply is where a command that waits for others puts its answer, once: a *machine.Reply.
type Reply[R any] interface{ Set(R) }

// Machine is the state and its rules. It implements machine.Timed; one goroutine uses it at a time.
type Machine struct {
	cfg    Config
	groups map[string]*Group
	timers timers
	// transactions are the groups with offsets of each open transaction.
	transactions map[ids.ProducerID]map[*Group]bool

	expiry  expiry
	scratch offsetScratch
	commits committing
	totals  Totals
	hashes  map[string]topicHash // of topics that consumer groups subscribe to
}

// Group is one group: what its records say, and what is volatile. It exists as long as it has one of them.
type Group struct {
	id      string
	offsets map[string]map[int32]Committed // by topic and partition; no empty maps
	// journals counts those with a Journal.
	journals int
	// unstable are offsets of transactions that are open.
	unstable map[ids.ProducerID]map[ids.TopicPartition]Committed
	// stored is the last GroupMetadataValue with its version before it, as in the log; nil if there is none.
	stored []byte

	// consumer is the durable half of a consumer group; nil if it is none.
	consumer *consumerGroup
	// live is the volatile half of a consumer group.
	live consumerLive

	classic *classic // volatile; nil is an empty group without a protocol type, or one that is not classic
}

var _ machine.Timed = (*Machine)(nil)

// New is the machine of an empty log.
func New(cfg Config) *Machine {
	if cfg.Settings == nil {
		cfg.Settings = DefaultSettings
	}
	return &Machine{cfg: cfg, groups: make(map[string]*Group), transactions: make(map[ids.ProducerID]map[*Group]bool), hashes: make(map[string]topicHash)}
}

// Apply implements machine.Machine.
func (m *Machine) Apply(records []machine.Record, _ ids.Offset, _ ids.LeaderEpoch) error {
	for i := range records {
		if err := m.applyRecord(&records[i]); err != nil {
			return err
		}
	}
	return nil
}

// Loaded implements machine.Timed: it gives every member of a classic group a new session, and starts the check for offsets
// that nobody needs any more.
func (m *Machine) Loaded(at machine.Moment) {
	for _, g := range m.sorted() {
		m.loadClassic(at, g)
		m.loadConsumers(at, g)
	}
	m.startExpiry(at)
}

// Due implements machine.Timed.
func (m *Machine) Due() (time.Duration, bool) { return m.timers.next() }

// Tick implements machine.Timed. It runs timers until one of them wants to change a group whose records of this tick are not
// applied yet; that one runs in the next round.
func (m *Machine) Tick(at machine.Moment) (records []machine.Record) {
	var touched []*Group
	for {
		t := m.timers.peek(at.Monotonic)
		if t == nil || len(records) > 0 && (t.group == nil || slices.Contains(touched, t.group)) {
			return records
		}
		m.timers.stop(t)
		if more := t.fire(at); len(more) > 0 {
			records, touched = append(records, more...), append(touched, t.group)
			if t.group == nil {
				return records
			}
		}
	}
}

// group is the group of this name, made if there is none. The caller gives it something to live for, or calls forget.
func (m *Machine) group(id string) *Group {
	g := m.groups[id]
	if g == nil {
		g = &Group{id: id}
		m.groups[id] = g
	}
	return g
}

// forget removes a group that has nothing any more.
func (m *Machine) forget(g *Group) {
	if g.stored == nil && g.consumer == nil && len(g.live.members) == 0 && len(g.offsets) == 0 && len(g.unstable) == 0 && g.classic.forgettable() {
		delete(m.groups, g.id)
	}
}

// sorted are all groups by name, so that what walks over them does the same every time.
func (m *Machine) sorted() []*Group {
	return slices.SortedFunc(maps.Values(m.groups), func(a, b *Group) int { return cmp.Compare(a.id, b.id) })
}

// topic finds a topic in the image; nil if there is none.
func (m *Machine) topic(name string) *metadata.Topic {
	if m.cfg.Image == nil {
		return nil
	}
	topic, _ := m.cfg.Image().Topic(name)
	return topic
}

func (m *Machine) topicByID(id ids.TopicID) *metadata.Topic {
	if m.cfg.Image == nil {
		return nil
	}
	topic, _ := m.cfg.Image().TopicByID(id)
	return topic
}

func nullable(s string) wire.NullString { return wire.NullString{Value: s, Valid: s != ""} }
