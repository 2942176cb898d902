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
	// log is nil where it could not be opened; broken then says why.
	log    *storage.Log
	broken error

	settings atomic.Pointer[TopicSettings]
	// leader is a copy of the metadata's leader for readers that take no lock.
	leader atomic.Pointer[Leader]

	// highWatermark mirrors replica.HighWatermark() for readers without the lock; only a holder of mu stores it.
	highWatermark atomic.Int64

	mu      sync.Mutex
	replica partition.Replica
	// appendedBytes counts what was appended since the partition was opened; passedBytes is how much of that lies below the
	// watermark. Their difference is credited to long polls when the watermark moves.
	appendedBytes, passedBytes int64
	// removed: the topic was deleted; every later call answers UNKNOWN_TOPIC_OR_PARTITION.
	removed bool

	waits waitList
}

// HighWatermark is the offset below which consumers may read.
func (p *Partition) HighWatermark() ids.Offset { return ids.Offset(p.highWatermark.Load()) }

// assign takes over a state from the metadata. Requests that waited for this broker as leader are told when it no longer is.
func (p *Partition) assign(state partition.State) {
	p.mu.Lock()
	changed := p.replica.Assign(state)
	leads := p.replica.Leads()
	p.leader.Store(&Leader{Broker: state.Leader, Epoch: state.LeaderEpoch})
	moved, bytes := false, int64(0)
	if changed && leads && p.log != nil {
		moved, bytes = p.advanceLocked(p.end())
	}
	p.mu.Unlock()
	if moved {
		p.waits.advance(p.HighWatermark(), bytes)
	}
	if changed && !leads {
		p.waits.fail(wire.ErrorNotLeaderOrFollower)
	}
}

// end is our replica's end in the sense of package partition: durable, or just appended, as the topic's durability says.
func (p *Partition) end() ids.Offset {
	if p.settings.Load().Log.Durability == storage.Fsync {
		return p.log.DurableEnd()
	}
	return p.log.LogEnd()
}

// advanceLocked reports our end to the rules, and returns whether the watermark moved and how many bytes it uncovered.
func (p *Partition) advanceLocked(end ids.Offset) (moved bool, bytes int64) {
	before := p.replica.HighWatermark()
	if !p.replica.Advance(p.manager.self, end) {
		return false, 0
	}
	now := p.replica.HighWatermark()
	p.highWatermark.Store(int64(now))
	p.log.SetHighWatermark(now)
	// Where appends went on during the flush, the watermark stops short of the log's end: the bytes below it are then
	// estimated from the share of records. A long poll for more than one byte may wake a little early, or late by one advance.
	pending := p.appendedBytes - p.passedBytes
	if logEnd := p.log.LogEnd(); now < logEnd {
		pending = pending * int64(now-before) / int64(logEnd-before)
	}
	pending = max(pending, 1)
	p.passedBytes = min(p.passedBytes+pending, p.appendedBytes)
	return true, pending
}

// durable is called by the flusher, without its locks, when the log's durable end moved or the log failed.
func (p *Partition) durable(end ids.Offset) {
	if p.log.Err() != nil {
		p.waits.fail(wire.ErrorKafkaStorageError)
		return
	}
	if p.settings.Load().Log.Durability != storage.Fsync {
		return
	}
	p.mu.Lock()
	moved, bytes := p.advanceLocked(end)
	p.mu.Unlock()
	if moved {
		p.waits.advance(p.HighWatermark(), bytes)
	}
}

// remove ends the partition's service: its topic was deleted. The caller deletes the log.
func (p *Partition) remove() {
	p.mu.Lock()
	p.removed = true
	p.mu.Unlock()
	p.waits.fail(wire.ErrorUnknownTopicOrPartition)
}

// configure takes over changed topic settings.
func (p *Partition) configure(settings *TopicSettings) {
	p.settings.Store(settings)
	if p.log == nil {
		return
	}
	p.log.SetConfig(settings.Log)
	// A switch from fsync to replicated makes everything appended visible.
	p.mu.Lock()
	moved, bytes := false, int64(0)
	if p.replica.Leads() {
		moved, bytes = p.advanceLocked(p.end())
	}
	p.mu.Unlock()
	if moved {
		p.waits.advance(p.HighWatermark(), bytes)
	}
}

// leading checks that this broker leads the partition in the epoch that the client named, and that its log works. A code
// other than ErrorNone comes with the leader to go to.
func (p *Partition) leading(current ids.LeaderEpoch) (wire.ErrorCode, Leader) {
	p.mu.Lock()
	standing := p.replica.Check(current)
	p.mu.Unlock()
	leader := *p.leader.Load()
	switch standing {
	case partition.Fenced:
		return wire.ErrorFencedLeaderEpoch, leader
	case partition.Ahead:
		return wire.ErrorUnknownLeaderEpoch, leader
	case partition.NotLeading:
		return wire.ErrorNotLeaderOrFollower, leader
	}
	if p.log == nil || p.log.Err() != nil {
		return wire.ErrorKafkaStorageError, leader
	}
	return wire.ErrorNone, leader
}

// await registers a wait for the watermark to reach need, unless it has: then it reports false and counts nothing.
func (p *Partition) await(parked *Parked, w *Wait, need ids.Offset) bool {
	*w = Wait{parked: parked, partition: p, need: need}
	parked.left.Add(1)
	if !p.waits.add(w, &p.highWatermark) {
		parked.left.Add(-1)
		w.partition = nil
		w.Done = true
		return false
	}
	// A failure between the append and the link would otherwise be missed: it swept the list before we were in it.
	if p.log.Err() != nil {
		p.waits.fail(wire.ErrorKafkaStorageError)
	}
	return true
}
