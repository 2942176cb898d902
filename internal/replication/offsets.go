package replication

import (
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/wire"
)

func (r *ListedOffset) refuse(code wire.ErrorCode) {
	*r = ListedOffset{Code: code, Offset: noOffset, TimestampMs: record.NoTimestamp, Epoch: ids.NoLeaderEpoch}
}

// ListOffset finds one offset. With a non-nil parked, a question about the end of a log whose tail is not durable yet waits for
// it (see ListedOffset.Waiting).
func (m *Manager) ListOffset(q *ListOffset, parked *Parked, w *Wait, answer *ListedOffset) {
	p, code := m.find(&q.Target)
	if code == wire.ErrorNone {
		code, _ = p.leading(q.Current)
	}
	if code != wire.ErrorNone {
		answer.refuse(code)
		return
	}
	if q.TimestampMs != Earliest && parked != nil {
		if end := p.log.LogEnd(); p.HighWatermark() < end {
			p.log.Flush(true)
			if p.await(parked, w, end) {
				answer.refuse(wire.ErrorNone)
				answer.Waiting = true
				return
			}
		}
	}
	if err := p.listOffset(q, answer); err != nil {
		answer.refuse(wire.ErrorKafkaStorageError)
		if m.events.StorageError != nil {
			m.events.StorageError(p.name, err)
		}
	}
}

func (p *Partition) listOffset(q *ListOffset, answer *ListedOffset) error {
	answer.refuse(wire.ErrorNone)
	limit := p.HighWatermark()
	if q.ReadCommitted {
		limit = p.log.LastStable(limit)
	}
	switch q.TimestampMs {
	case Latest:
		answer.Offset = limit
		answer.Epoch = p.leader.Load().Epoch
	case Earliest:
		answer.Offset = p.log.LogStart()
		answer.Epoch = p.log.EpochAt(answer.Offset)
	case MaxTimestamp:
		found, ok, err := p.log.MaxTimestamp(limit)
		if err != nil {
			return err
		}
		if ok {
			answer.Offset, answer.TimestampMs, answer.Epoch = found.Offset, found.TimestampMs, found.Epoch
		}
	default:
		found, ok, err := p.log.OffsetForTimestamp(q.TimestampMs, limit)
		if err != nil {
			return err
		}
		if ok {
			answer.Offset, answer.TimestampMs, answer.Epoch = found.Offset, found.TimestampMs, found.Epoch
		}
	}
	return nil
}

// EndOfEpoch tells where a leader epoch ends in the leader's log: the largest epoch not above the one asked for, and its end
// (KIP-101, KIP-279). ids.NoLeaderEpoch and -1 where the log knows no such epoch.
func (m *Manager) EndOfEpoch(target *Target, current, epoch ids.LeaderEpoch) (EpochEnd, wire.ErrorCode) {
	unknown := EpochEnd{Epoch: ids.NoLeaderEpoch, End: noOffset}
	p, code := m.find(target)
	if code == wire.ErrorNone {
		code, _ = p.leading(current)
	}
	if code != wire.ErrorNone {
		return unknown, code
	}
	found, end := p.log.EndOffsetForEpoch(epoch)
	// The leader's current epoch has not ended: consumers compare with the watermark's log end, as Kafka answers.
	return EpochEnd{Epoch: found, End: end}, wire.ErrorNone
}
