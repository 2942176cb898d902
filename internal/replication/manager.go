package replication

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/partition"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/wire"
)

// Config is what a Manager needs.
type Config struct {
	Self   ids.BrokerID
	Env    run.Env
	Store  *storage.Store
	Limits record.Limits // what opening one compressed batch may cost
	Events Events
}

// Events are what can be observed. Each may be nil; they are called without locks held.
type Events struct {
	// StorageError tells that a partition answered KAFKA_STORAGE_ERROR, and why.
	StorageError func(tp ids.TopicPartition, err error)
	// Moved tells that a partition's log lies in another directory now.
	Moved func(tp ids.TopicPartition, topic ids.TopicID, dir ids.DirectoryID)
	// Refused tells that a produce was refused with the code.
	Refused func(tp ids.TopicPartition, code wire.ErrorCode)
}

// Manager owns the partitions of one broker.
type Manager struct {
	self   ids.BrokerID
	env    run.Env
	store  *storage.Store
	limits record.Limits
	events Events
	group  *run.Group

	gone                   tally // of topics that were deleted, and of requests for what is not here
	isrShrinks, isrExpands atomic.Int64

	mu     sync.RWMutex
	byName map[string]*topic
	byID   map[ids.TopicID]*topic
}

// topic is one life of a topic on this broker; partitions may have holes where other brokers hold the replicas.
type topic struct {
	name       string
	id         ids.TopicID
	partitions []*Partition
	tally      *tally // shared by all that this topic is replaced by when it gets partitions
}

// New makes a manager without partitions; Assign adds them.
func New(config Config) *Manager {
	return &Manager{
		self: config.Self, env: config.Env, store: config.Store, limits: config.Limits, events: config.Events,
		group: run.NewGroup(config.Env), byName: map[string]*topic{}, byID: map[ids.TopicID]*topic{},
	}
}

// Close waits for the deletions of records that are under way, and refuses new ones. The store must still be open.
func (m *Manager) Close() { m.group.Close() }

// find looks a partition up, as Target says.
func (m *Manager) find(target *Target) (*Partition, wire.ErrorCode) {
	m.mu.RLock()
	var t *topic
	if !target.TopicID.IsZero() {
		t = m.byID[target.TopicID]
	} else {
		t = m.byName[target.Topic]
	}
	m.mu.RUnlock()
	switch {
	case t == nil && !target.TopicID.IsZero():
		return nil, wire.ErrorUnknownTopicID
	case t != nil && !target.TopicID.IsZero() && target.Topic != "" && target.Topic != t.name:
		return nil, wire.ErrorInconsistentTopicID
	case t == nil || target.Partition < 0 || int(target.Partition) >= len(t.partitions) || t.partitions[target.Partition] == nil:
		return nil, wire.ErrorUnknownTopicOrPartition
	}
	return t.partitions[target.Partition], wire.ErrorNone
}

// Replica is what the metadata says of a replica on this broker.
type Replica struct {
	Name  ids.TopicPartition
	Topic ids.TopicID
	State partition.State
	// Directory is where its log lies, as far as is on record; New: it never had one. See storage.Wanted.
	Directory ids.DirectoryID
	New       bool
}

// Assign gives this broker a replica, or changes the role of one that it has. A log that cannot be opened leaves the
// partition in place: it answers KAFKA_STORAGE_ERROR, and the error is returned for the log.
func (m *Manager) Assign(r Replica, settings *TopicSettings) error {
	tp := r.Name
	m.mu.RLock()
	t := m.byID[r.Topic]
	m.mu.RUnlock()
	if t != nil && int(tp.Partition) < len(t.partitions) && t.partitions[tp.Partition] != nil {
		t.partitions[tp.Partition].assign(r.State)
		return nil
	}
	counts := new(tally)
	if t != nil {
		counts = t.tally
	}
	p, err := m.open(r, settings, counts)
	p.assign(r.State)
	m.mu.Lock()
	defer m.mu.Unlock()
	next := &topic{name: tp.Topic, id: r.Topic, tally: counts}
	if t = m.byID[r.Topic]; t != nil {
		next.partitions = t.partitions
	}
	next.partitions = put(next.partitions, int(tp.Partition), p)
	m.byID[r.Topic], m.byName[tp.Topic] = next, next
	return err
}

// put returns the partitions with p at index at. Readers hold the old slice without the lock: what lies within its length is never
// written, so filling a hole copies, while the usual next partition of a growing topic only extends the array.
func put(partitions []*Partition, at int, p *Partition) []*Partition {
	if at < len(partitions) {
		partitions = slices.Clone(partitions)
		partitions[at] = p
		return partitions
	}
	for len(partitions) < at {
		partitions = append(partitions, nil)
	}
	return append(partitions, p)
}

// open makes the partition and its log.
func (m *Manager) open(r Replica, settings *TopicSettings, counts *tally) (*Partition, error) {
	tp := r.Name
	p := &Partition{manager: m, name: tp, topicID: r.Topic, tally: counts}
	p.settings.Store(settings)
	log, err := m.store.OpenPlaced(storage.Wanted{Topic: tp, ID: r.Topic, Config: settings.Log, Directory: r.Directory, New: r.New})
	if err != nil {
		p.broken = err
		p.replica = partition.New(m.self, 0)
		return p, fmt.Errorf("open partition %s: %w", tp, err)
	}
	p.current.Store(log)
	// What recovery found counts as our end, and every replica that was in sync had all that was acknowledged: with
	// this broker alone in the ISR the watermark comes back at the log's end as soon as it leads.
	start := max(log.LogStart(), min(log.HighWatermark(), p.end()))
	p.replica = partition.New(m.self, start)
	p.highWatermark.Store(int64(start))
	log.OnDurable(p.durable)
	return p, nil
}

// Directory is where a partition's log lies; false if it has none that could be opened.
func (m *Manager) Directory(topic ids.TopicID, n int32) (ids.DirectoryID, bool) {
	p, code := m.find(&Target{TopicID: topic, Partition: n})
	if code != wire.ErrorNone || p.log() == nil {
		return ids.DirectoryID{}, false
	}
	return p.log().Directory(), true
}

// Configure gives a topic's partitions changed settings; an unknown topic is ignored.
func (m *Manager) Configure(name string, settings *TopicSettings) {
	m.mu.RLock()
	t := m.byName[name]
	m.mu.RUnlock()
	if t == nil {
		return
	}
	for _, p := range t.partitions {
		if p != nil {
			p.configure(settings)
		}
	}
}

// Remove ends the service of deleted topics' partitions and hands their logs to deletion, all at once: the cost on the disk does not
// grow with their number but for a rename each.
func (m *Manager) Remove(topics ...ids.TopicID) error {
	if err := m.store.DeleteLogs(m.end(topics)...); err != nil {
		return fmt.Errorf("delete logs: %w", err)
	}
	return nil
}

// Trash is Remove for topics that can be restored: their logs go into the trash, from which Assign takes them out again.
func (m *Manager) Trash(topics ...ids.TopicID) error {
	if err := m.store.TrashLogs(m.end(topics)...); err != nil {
		return fmt.Errorf("put logs into the trash: %w", err)
	}
	return nil
}

// end ends the service of topics' partitions, and names their logs.
func (m *Manager) end(topics []ids.TopicID) []storage.LogName {
	var partitions []*Partition
	m.mu.Lock()
	for _, id := range topics {
		t := m.byID[id]
		if t == nil {
			continue
		}
		delete(m.byID, id)
		m.gone.absorb(t.tally)
		if m.byName[t.name] == t {
			delete(m.byName, t.name)
		}
		partitions = append(partitions, t.partitions...)
	}
	m.mu.Unlock()
	names := make([]storage.LogName, 0, len(partitions))
	for _, p := range partitions {
		if p != nil {
			p.remove()
			names = append(names, storage.LogName{Topic: p.name, ID: p.topicID})
		}
	}
	return names
}

// TrashBytes are the bytes that each topic in the trash takes here; topics without a file here are not in it.
func (m *Manager) TrashBytes() map[ids.TopicID]int64 {
	sizes := make(map[ids.TopicID]int64)
	for _, log := range m.store.Trash() {
		sizes[log.ID] += log.SizeBytes
	}
	return sizes
}

// Partitions tells how many partitions this broker holds, how many of them it leads, and how many cannot be served.
func (m *Manager) Partitions() (held, led, offline int) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, t := range m.byID {
		for _, p := range t.partitions {
			if p == nil {
				continue
			}
			held++
			if role := p.role.Load(); role.state.LedBy(m.self) {
				led++
			}
			if p.log() == nil || p.log().Err() != nil {
				offline++
			}
		}
	}
	return held, led, offline
}
