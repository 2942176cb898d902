package replication

import (
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/wire"
)

func (r *FoundOffset) none(code wire.ErrorCode) {
	*r = FoundOffset{Error: code, Offset: noOffset, TimestampMs: record.NoTimestamp, LeaderEpoch: ids.NoLeaderEpoch}
}

// ListOffset finds one offset. A question about the end of a log whose tail is not durable yet flushes it and, given a w, waits for
// it, so that whoever wrote with acks=1 finds his records.
func (m *Manager) ListOffset(q *OffsetQuery, res *FoundOffset, w *Waiter) (waiting bool) {
	p, code := m.find(&q.Target)
	if code == wire.ErrorNone {
		code, _, _ = p.leading(q.CurrentLeaderEpoch)
	}
	res.none(code)
	if code != wire.ErrorNone {
		return false
	}
	if end := p.log.LogEnd(); w != nil && q.TimestampMs != EarliestTimestamp && p.watermark() < end {
		p.log.Flush(true)
		if p.await(w, end, false) {
			return true
		}
	}
	if err := p.listOffset(q, res); err != nil {
		res.none(wire.ErrorKafkaStorageError)
		if m.events.StorageError != nil {
			m.events.StorageError(p.name, err)
		}
	}
	return false
}

func (p *Partition) listOffset(q *OffsetQuery, res *FoundOffset) error {
	limit := p.watermark()
	if q.ReadCommitted {
		limit = p.log.LastStable(limit)
	}
	switch q.TimestampMs {
	case LatestTimestamp:
		// The epoch is the one that the next record would have: Kafka answers the leader's latest.
		res.Offset, res.LeaderEpoch = limit, p.log.LatestEpoch()
	case EarliestTimestamp, EarliestLocalTimestamp:
		// Without tiered storage the local log is the whole log (KIP-405).
		res.Offset = p.log.LogStart()
		res.LeaderEpoch = p.log.EpochAt(res.Offset)
	case LatestTieredTimestamp, EarliestPendingTimestamp:
		// Nothing is tiered.
	case MaxTimestamp:
		found, ok, err := p.log.MaxTimestamp(limit)
		if err != nil || !ok {
			return err
		}
		res.Offset, res.TimestampMs, res.LeaderEpoch = found.Offset, found.TimestampMs, found.Epoch
	default:
		found, ok, err := p.log.OffsetForTimestamp(q.TimestampMs, limit)
		if err != nil || !ok {
			return err
		}
		res.Offset, res.TimestampMs, res.LeaderEpoch = found.Offset, found.TimestampMs, found.Epoch
	}
	return nil
}

// EpochEnd tells where a leader epoch ends in our log (KIP-101, KIP-279).
func (m *Manager) EpochEnd(q *EpochQuery, res *EpochEnd) {
	p, code := m.find(&q.Target)
	if code == wire.ErrorNone {
		code, _, _ = p.leading(q.CurrentLeaderEpoch)
	}
	*res = EpochEnd{Error: code, LeaderEpoch: ids.NoLeaderEpoch, EndOffset: noOffset}
	if code == wire.ErrorNone {
		res.LeaderEpoch, res.EndOffset = p.log.EndOffsetForEpoch(q.LeaderEpoch)
	}
}
