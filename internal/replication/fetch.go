package replication

import (
	"errors"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/wire"
)

func (r *Fetched) refuse(code wire.ErrorCode) {
	*r = Fetched{Code: code, HighWatermark: noOffset, LastStable: noOffset, LogStart: noOffset}
}

// Read hands out one partition's batches below the watermark. The region must be released, also an empty one.
func (m *Manager) Read(q *Fetch, answer *Fetched) {
	p, code := m.find(&q.Target)
	if code != wire.ErrorNone {
		answer.refuse(code)
		return
	}
	code, leader := p.leading(q.Current)
	if code != wire.ErrorNone {
		answer.refuse(code)
		answer.Leader = leader
		return
	}
	p.read(q, answer)
	if answer.Code == wire.ErrorNone {
		m.readBytes(p, answer.Region.Size())
	}
}

func (p *Partition) read(q *Fetch, answer *Fetched) {
	// The watermark is read before the log is: what lies below it is there, whatever is appended or retained meanwhile.
	highWatermark := p.HighWatermark()
	*answer = Fetched{HighWatermark: highWatermark, LastStable: p.log.LastStable(highWatermark), LogStart: p.log.LogStart()}
	if q.LastFetched != ids.NoLeaderEpoch {
		epoch, end := p.log.EndOffsetForEpoch(q.LastFetched)
		switch {
		case epoch == ids.NoLeaderEpoch || end == noOffset:
			answer.Code = wire.ErrorOffsetOutOfRange
			return
		case epoch < q.LastFetched || end < q.From:
			answer.Diverging = &EpochEnd{Epoch: epoch, End: end}
			return
		}
	}
	limit := highWatermark
	if q.ReadCommitted {
		limit = answer.LastStable
	}
	region, err := p.log.Read(q.From, limit, q.MaxBytes, q.MinOne)
	switch {
	case err == nil:
		answer.Region = region
	case errors.Is(err, storage.ErrOffsetOutOfRange):
		answer.Code = wire.ErrorOffsetOutOfRange
	case errors.Is(err, storage.ErrClosed):
		answer.refuse(wire.ErrorUnknownTopicOrPartition)
	default:
		answer.refuse(wire.ErrorKafkaStorageError)
		if p.manager.events.StorageError != nil {
			p.manager.events.StorageError(p.name, err)
		}
	}
}

// Watch lets parked wait for more of a partition than lay below the watermark when from was answered with highWatermark: each
// advance counts its bytes against what the fetch misses, and an error completes it. It reports false, and registers nothing, where the
// watermark has moved meanwhile or the partition cannot be read: then the fetch should be answered now.
func (m *Manager) Watch(target *Target, highWatermark ids.Offset, parked *Parked, w *Wait) bool {
	p, code := m.find(target)
	if code != wire.ErrorNone || p.log == nil {
		return false
	}
	*w = Wait{parked: parked, partition: p, need: highWatermark + 1, stream: true}
	if !p.waits.add(w, &p.highWatermark) {
		w.partition = nil
		return false
	}
	if p.log.Err() != nil {
		p.waits.fail(wire.ErrorKafkaStorageError)
	} else if p.HighWatermark() < p.log.LogEnd() {
		p.log.Flush(true) // somebody waits for what is not durable yet
	}
	return true
}
