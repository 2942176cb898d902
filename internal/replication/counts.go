package replication

import (
	"errors"
	"sync/atomic"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/partition"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/wire"
)

// Counters are totals since start, for metrics.
type Counters struct {
	BytesIn, RecordsIn, BatchesIn int64 // appended for producers
	BytesOut                      int64 // of batches handed to consumers
	BytesRejected                 int64 // of batches that were too large
	Duplicates                    int64 // batches that an idempotent producer had sent before
	// Produces and Fetches are partitions asked for, one for each in a request; each look of a fetch that waits counts.
	Produces, FailedProduces, Fetches, FailedFetches int64
}

func (c *Counters) add(t *tally) {
	c.BytesIn += t.bytesIn.Load()
	c.RecordsIn += t.recordsIn.Load()
	c.BatchesIn += t.batchesIn.Load()
	c.BytesOut += t.bytesOut.Load()
	c.BytesRejected += t.bytesRejected.Load()
	c.Duplicates += t.duplicates.Load()
	c.Produces += t.produces.Load()
	c.FailedProduces += t.failedProduces.Load()
	c.Fetches += t.fetches.Load()
	c.FailedFetches += t.failedFetches.Load()
}

// tally is what is counted of one topic: each partition of it counts here, and nobody counts the sum of all topics.
type tally struct {
	bytesIn, recordsIn, batchesIn, bytesOut, bytesRejected, duplicates, produces, failedProduces, fetches, failedFetches atomic.Int64
}

// absorb adds what another tally has counted.
func (t *tally) absorb(other *tally) {
	var c Counters
	c.add(other)
	t.bytesIn.Add(c.BytesIn)
	t.recordsIn.Add(c.RecordsIn)
	t.batchesIn.Add(c.BatchesIn)
	t.bytesOut.Add(c.BytesOut)
	t.bytesRejected.Add(c.BytesRejected)
	t.duplicates.Add(c.Duplicates)
	t.produces.Add(c.Produces)
	t.failedProduces.Add(c.FailedProduces)
	t.fetches.Add(c.Fetches)
	t.failedFetches.Add(c.FailedFetches)
}

func (t *tally) appended(batch record.Batch, duplicate bool) {
	if duplicate {
		t.duplicates.Add(1)
		return
	}
	t.bytesIn.Add(int64(len(batch)))
	t.recordsIn.Add(int64(batch.Count()))
	t.batchesIn.Add(1)
}

// rejected counts the bytes of a batch that was refused for its size (Kafka's BytesRejected).
func (t *tally) rejected(bytes int, err error) {
	var invalid *record.Invalid
	if errors.As(err, &invalid) && invalid.Reason == record.TooLarge {
		t.bytesRejected.Add(int64(bytes))
	}
}

// Counters returns the totals of all topics, deleted ones too, and of requests for what is not here.
func (m *Manager) Counters() (all Counters) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all.add(&m.gone)
	for _, t := range m.byID {
		all.add(t.tally)
	}
	return all
}

// TopicCounters are the totals of one topic.
type TopicCounters struct {
	Topic string
	Counters
}

// TopicCounters returns the totals of each topic that is here, in no order.
func (m *Manager) TopicCounters() []TopicCounters {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := make([]TopicCounters, 0, len(m.byID))
	for _, t := range m.byID {
		one := TopicCounters{Topic: t.name}
		one.add(t.tally)
		all = append(all, one)
	}
	return all
}

// Status is one partition as metrics show it.
type Status struct {
	Name          ids.TopicPartition
	Leads         bool // this broker leads it
	Leader        ids.BrokerID
	Preferred     bool // the leader is the first of the replicas
	Replicas, ISR int
	// MinISR is min.insync.replicas, no more than there are replicas.
	MinISR int
	// Offline: it cannot be served; then all that follows is 0.
	Offline               bool
	Start, Watermark, End ids.Offset
	SizeBytes             int64
	Segments              int
}

// EachPartition visits all partitions here.
func (m *Manager) EachPartition(visit func(Status)) {
	m.mu.RLock()
	topics := make([][]*Partition, 0, len(m.byID))
	for _, t := range m.byID {
		topics = append(topics, t.partitions)
	}
	m.mu.RUnlock()
	for _, partitions := range topics {
		for _, p := range partitions {
			if p != nil {
				visit(p.status())
			}
		}
	}
}

func (p *Partition) status() Status {
	state := p.role.Load().state
	s := Status{Name: p.name, Leads: state.LedBy(p.manager.self), Leader: state.Leader, Replicas: len(state.Replicas), ISR: len(state.ISR),
		MinISR:    min(p.settings.Load().MinInSyncReplicas, len(state.Replicas)),
		Preferred: len(state.Replicas) > 0 && state.Replicas[0] == state.Leader, Offline: p.log() == nil || p.log().Err() != nil}
	if !s.Offline {
		// In this order, so that start ≤ watermark ≤ end whatever is appended meanwhile.
		s.Start, s.Watermark, s.End = p.log().LogStart(), p.watermark(), p.log().LogEnd()
		s.SizeBytes, s.Segments = p.log().Size(), p.log().Segments()
	}
	return s
}

// isrChanged counts a state's ISR against the one before it.
func (m *Manager) isrChanged(before, after partition.State) {
	switch was, now := len(before.ISR), len(after.ISR); {
	case was == 0: // it is new here
	case now < was:
		m.isrShrinks.Add(1)
	case now > was:
		m.isrExpands.Add(1)
	}
}

// ISRChanges is how often a partition here lost, and got, in-sync replicas.
func (m *Manager) ISRChanges() (shrinks, expands int64) {
	return m.isrShrinks.Load(), m.isrExpands.Load()
}

// WrittenAt is when the first record of a partition led here was written that is at or after from and can be read, to the accuracy of its batch; false if
// there is none, or nobody knows.
func (m *Manager) WrittenAt(target *Target, from ids.Offset) (timestampMs int64, ok bool) {
	p, code := m.find(target)
	if code == wire.ErrorNone {
		code, _, _ = p.leading(ids.NoLeaderEpoch)
	}
	if code != wire.ErrorNone {
		return 0, false
	}
	timestampMs, ok, err := p.log().WrittenAt(from, p.watermark())
	if err != nil && m.events.StorageError != nil {
		m.events.StorageError(p.name, err)
	}
	return timestampMs, ok && err == nil
}
