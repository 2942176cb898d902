package replication

import (
	"errors"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/wire"
)

// HighWatermark as the offset of a DeletionQuery means: all that consumers can see.
const HighWatermark ids.Offset = -1

// DeletionQuery is one partition of a DeleteRecords request.
type DeletionQuery struct {
	Target
	// Before is the first offset that stays: 0 to the high watermark, or HighWatermark.
	Before ids.Offset
}

// Deleted is the outcome of a DeletionQuery.
type Deleted struct {
	Error wire.ErrorCode
	// LowWatermark is the lowest log start of all replicas; -1 with an error.
	LowWatermark ids.Offset
}

func (r *Deleted) refuse(code wire.ErrorCode) { *r = Deleted{code, noOffset} }

// deletionWait bounds the wait for records that were appended and not acknowledged yet to become visible, so that they can be deleted.
const deletionWait = 5 * time.Second

// DeleteRecords deletes the records below an offset in each of the partitions, all at the cost of one write to the disk. It doesn't wait: done is called once, from
// a goroutine of the manager, with the outcomes in the order of the queries, when those that succeeded are durable. No partition may be named twice.
func (m *Manager) DeleteRecords(queries []DeletionQuery, done func([]Deleted)) {
	started := m.group.Go("delete records", func() { done(m.deleteRecords(queries)) })
	if started {
		return
	}
	results := make([]Deleted, len(queries))
	for i := range results {
		results[i].refuse(wire.ErrorNotLeaderOrFollower) // the broker is closing
	}
	done(results)
}

func (m *Manager) deleteRecords(queries []DeletionQuery) []Deleted {
	results := make([]Deleted, len(queries))
	partitions := make([]*Partition, len(queries))
	for i := range queries {
		var code wire.ErrorCode
		partitions[i], code = m.deletable(&queries[i].Target)
		results[i].refuse(code)
	}
	m.awaitVisible(queries, partitions, results)
	var deletions []storage.RecordDeletion
	var asked []int
	for i, p := range partitions {
		if results[i].Error != wire.ErrorNone {
			continue
		}
		before, watermark := queries[i].Before, p.watermark()
		if before == HighWatermark {
			before = watermark
		}
		if before < 0 || before > watermark {
			results[i].refuse(wire.ErrorOffsetOutOfRange)
			continue
		}
		deletions, asked = append(deletions, storage.RecordDeletion{Log: p.log(), Before: before}), append(asked, i)
	}
	m.store.DeleteRecords(deletions)
	for n, i := range asked {
		if log := partitions[i].movedFrom(deletions[n].Log, deletions[n].Err); log != nil {
			again := []storage.RecordDeletion{{Log: log, Before: deletions[n].Before}}
			m.store.DeleteRecords(again)
			deletions[n].Err = again[0].Err
		}
		if err := deletions[n].Err; err != nil {
			m.refuseDeletion(partitions[i], &results[i], err)
		} else {
			results[i].LowWatermark = partitions[i].log().LogStart() // the only replica's
		}
	}
	return results
}

// deletable checks, in Kafka's order, that a partition is here, and that its records may be deleted.
func (m *Manager) deletable(target *Target) (*Partition, wire.ErrorCode) {
	p, code := m.find(target)
	if code != wire.ErrorNone {
		return nil, code
	}
	settings := p.settings.Load()
	if settings.RefuseClients {
		return nil, wire.ErrorInvalidTopicException
	}
	if code, _, _ := p.leading(ids.NoLeaderEpoch); code != wire.ErrorNone {
		return nil, code
	}
	if settings.Log.Compact && !settings.Log.Delete { // with an empty cleanup.policy, records stay until they are deleted here
		return nil, wire.ErrorPolicyViolation
	}
	return p, wire.ErrorNone
}

// awaitVisible flushes what was appended, where the deletion concerns it, and waits until it is below the watermark: whoever wrote with acks=1 may delete what
// he wrote, as in Kafka.
func (m *Manager) awaitVisible(queries []DeletionQuery, partitions []*Partition, results []Deleted) {
	deadline := m.env.Monotonic() + deletionWait
	waits := make([]*visibleWait, len(queries))
	for i, p := range partitions {
		if results[i].Error != wire.ErrorNone {
			continue
		}
		end, need := p.log().LogEnd(), queries[i].Before
		if need == HighWatermark {
			need = end
		}
		if need > end || need <= p.watermark() {
			continue
		}
		p.log().Flush(true)
		w := &visibleWait{signal: m.env.NewSignal()}
		w.Owner = w
		if p.await(&w.Waiter, need, false) {
			waits[i] = w
		}
	}
	for i, w := range waits {
		if w == nil {
			continue
		}
		if !w.signal.WaitFor(max(deadline-m.env.Monotonic(), 0)) {
			if m.Unwatch(&w.Waiter) {
				continue // the offset is judged by the watermark that there is
			}
			w.signal.Wait() // it is being fired
		}
		if w.Error != wire.ErrorNone {
			results[i].refuse(w.Error)
		}
	}
}

// visibleWait is a waiter with a goroutine behind it.
type visibleWait struct {
	Waiter
	signal run.Signal
}

// Fired implements WaiterOwner.
func (w *visibleWait) Fired(*Waiter) { w.signal.Set() }

// refuseDeletion turns an error of the log into Kafka's code.
func (m *Manager) refuseDeletion(p *Partition, res *Deleted, err error) {
	switch {
	case errors.Is(err, storage.ErrOffsetOutOfRange):
		res.refuse(wire.ErrorOffsetOutOfRange)
	case errors.Is(err, storage.ErrClosed):
		res.refuse(wire.ErrorUnknownTopicOrPartition) // deleted meanwhile
	default:
		res.refuse(wire.ErrorKafkaStorageError)
		if m.events.StorageError != nil {
			m.events.StorageError(p.name, err)
		}
	}
}
