package replication

import (
	"sync"
	"sync/atomic"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/partition"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/wire"
)

// Partition is this broker's replica of one partition, with its log.
type Partition struct {
	manager *Manager
	name    ids.TopicPartition
	topicID ids.TopicID
	tally   *tally // of its topic
	// current is the log, nil where it could not be opened; broken then says why. Another takes its place when it moves to another directory: a holder of mu
	// stores it, and who reads without mu asks again where what it had is closed.
	current atomic.Pointer[storage.Log]
	broken  error

	settings atomic.Pointer[TopicSettings]
	// role is what readers without the lock need of replica and removed; only a holder of mu stores it.
	role atomic.Pointer[role]
	// highWatermark mirrors replica.HighWatermark() for readers without the lock; only a holder of mu stores it.
	highWatermark atomic.Int64

	mu      sync.Mutex
	replica partition.Replica
	// removed: the topic was deleted; every later call answers UNKNOWN_TOPIC_OR_PARTITION.
	removed bool

	waiters waiters
}

// role is never changed once it is published.
type role struct {
	state   partition.State
	removed bool
}

// log is the log in use, nil if there is none.
func (p *Partition) log() *storage.Log { return p.current.Load() }

func (p *Partition) watermark() ids.Offset { return ids.Offset(p.highWatermark.Load()) }

// assign takes over a state from the metadata. Requests that waited for this broker as leader are told when it no longer is.
func (p *Partition) assign(state partition.State) {
	p.mu.Lock()
	before := p.replica.State()
	changed := p.replica.Assign(state)
	leads := p.replica.Leads()
	p.role.Store(&role{p.replica.State(), p.removed})
	moved := leads && p.log() != nil && p.advanceLocked(p.end())
	p.mu.Unlock()
	if changed {
		p.manager.isrChanged(before, state)
	}
	if moved {
		p.waiters.advance(p.watermark())
	}
	switch {
	case changed && !leads:
		p.waiters.fail(p.watermark(), wire.ErrorNotLeaderOrFollower)
	case changed:
		p.waiters.observed() // the epoch may be another
	}
}

// end is our replica's end in the sense of package partition: durable, or just appended, as the topic's durability says.
func (p *Partition) end() ids.Offset {
	if p.settings.Load().Log.Durability == storage.Fsync {
		return p.log().DurableEnd()
	}
	return p.log().LogEnd()
}

// advanceLocked reports our end to the rules and tells whether the watermark moved; if so the caller tells the waiters,
// after it has let go of the lock.
func (p *Partition) advanceLocked(end ids.Offset) (moved bool) {
	if !p.replica.Advance(p.manager.self, end) {
		return false
	}
	now := p.replica.HighWatermark()
	p.highWatermark.Store(int64(now))
	p.log().SetHighWatermark(now)
	return true
}

// durable is called by the flusher, without its locks, when the log's durable end moved or the log failed.
func (p *Partition) durable(end ids.Offset) {
	if p.log().Err() != nil {
		p.waiters.fail(p.watermark(), wire.ErrorKafkaStorageError)
		return
	}
	if p.settings.Load().Log.Durability != storage.Fsync {
		return
	}
	p.mu.Lock()
	moved := p.advanceLocked(end)
	p.mu.Unlock()
	if moved {
		p.waiters.advance(p.watermark())
	}
}

// remove ends the partition's service: its topic was deleted. The caller deletes the log.
func (p *Partition) remove() {
	p.mu.Lock()
	p.removed = true
	p.role.Store(&role{p.replica.State(), true})
	p.mu.Unlock()
	p.waiters.fail(p.watermark(), wire.ErrorUnknownTopicOrPartition)
}

// configure takes over changed topic settings. A switch from fsync to replicated makes everything appended visible.
func (p *Partition) configure(settings *TopicSettings) {
	p.settings.Store(settings)
	if p.log() == nil {
		return
	}
	p.log().SetConfig(settings.Log)
	p.mu.Lock()
	moved := p.replica.Leads() && p.advanceLocked(p.end())
	p.mu.Unlock()
	if moved {
		p.waiters.advance(p.watermark())
	}
}

// leading checks that this broker leads the partition in the epoch that the client named, and that its log works. Who leads,
// and in which epoch, is for errors that send the client elsewhere (KIP-951).
func (p *Partition) leading(current ids.LeaderEpoch) (code wire.ErrorCode, leader ids.BrokerID, epoch ids.LeaderEpoch) {
	role := p.role.Load()
	standing := role.state.Check(p.manager.self, current)
	switch {
	case role.removed:
		code = wire.ErrorUnknownTopicOrPartition
	case standing == partition.Fenced:
		code = wire.ErrorFencedLeaderEpoch
	case standing == partition.Ahead:
		code = wire.ErrorUnknownLeaderEpoch
	case standing == partition.NotLeading:
		code = wire.ErrorNotLeaderOrFollower
	case p.log() == nil || p.log().Err() != nil:
		code = wire.ErrorKafkaStorageError
	}
	return code, role.state.Leader, role.state.LeaderEpoch
}

// await registers w to fire when the watermark reaches need, or never will. It returns false if it already has.
func (p *Partition) await(w *Waiter, need ids.Offset, poll bool) bool {
	w.links = waiterLinks{partition: p, need: need, poll: poll}
	if !p.waiters.add(w, &p.highWatermark) {
		return false
	}
	// A failure before the link swept the list without us: look once more.
	if p.log().Err() != nil {
		p.waiters.fail(p.watermark(), wire.ErrorKafkaStorageError)
	}
	return true
}
