package replication

import (
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/wire"
)

func (r *FoundOffset) none(code wire.ErrorCode) {
	*r = FoundOffset{Error: code, Offset: noOffset, TimestampMs: record.NoTimestamp, LeaderEpoch: ids.NoLeaderEpoch}
}

// ListOffset finds one offset. A question about the end of a log whose tail is not durable yet flushes it and, given a w, waits for
// it, so that whoever wrote with acks=1 finds his records.
func (m *Manager) ListOffset(q *OffsetQuery, res *FoundOffset, w *Waiter) (waiting bool) {
	p, code := m.find(&q.Target)
	var leaderEpoch ids.LeaderEpoch
	if code == wire.ErrorNone {
		code, _, leaderEpoch = p.leading(q.CurrentLeaderEpoch)
	}
	res.none(code)
	if code != wire.ErrorNone {
		return false
	}
	if end := p.log().LogEnd(); w != nil && q.TimestampMs != EarliestTimestamp && p.watermark() < end {
		p.log().Flush(true)
		if p.await(w, end, false) {
			return true
		}
	}
	log := p.log()
	err := p.listOffset(log, q, leaderEpoch, res)
	for err != nil && log != p.log() { // the partition has moved to another directory
		log = p.log()
		err = p.listOffset(log, q, leaderEpoch, res)
	}
	if err != nil {
		res.none(wire.ErrorKafkaStorageError)
		if m.events.StorageError != nil {
			m.events.StorageError(p.name, err)
		}
	}
	return false
}

// listOffset asks the log. A leader's epoch begins at the log's end when it takes over, though the log learns of it only with its
// first batch: an offset at which there is no batch yet has the leader's epoch.
func (p *Partition) listOffset(log *storage.Log, q *OffsetQuery, leaderEpoch ids.LeaderEpoch, res *FoundOffset) error {
	limit := p.watermark()
	if q.ReadCommitted {
		limit = log.LastStable(limit)
	}
	switch q.TimestampMs {
	case LatestTimestamp:
		res.Offset, res.LeaderEpoch = limit, leaderEpoch
	case EarliestTimestamp, EarliestLocalTimestamp:
		// Without tiered storage the local log is the whole log (KIP-405).
		res.Offset = log.LogStart()
		if res.LeaderEpoch = log.EpochAt(res.Offset); res.LeaderEpoch == ids.NoLeaderEpoch && log.LatestEpoch() == ids.NoLeaderEpoch {
			res.LeaderEpoch = leaderEpoch
		}
	case LatestTieredTimestamp, EarliestPendingTimestamp:
		// Nothing is tiered.
	case MaxTimestamp:
		found, ok, err := log.MaxTimestamp(limit)
		if err != nil || !ok {
			return err
		}
		res.Offset, res.TimestampMs, res.LeaderEpoch = found.Offset, found.TimestampMs, found.Epoch
	default:
		found, ok, err := log.OffsetForTimestamp(q.TimestampMs, limit)
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
	var leaderEpoch ids.LeaderEpoch
	if code == wire.ErrorNone {
		code, _, leaderEpoch = p.leading(q.CurrentLeaderEpoch)
	}
	*res = EpochEnd{Error: code, LeaderEpoch: ids.NoLeaderEpoch, EndOffset: noOffset}
	if code == wire.ErrorNone {
		res.LeaderEpoch, res.EndOffset = p.epochEnd(q.LeaderEpoch, leaderEpoch)
	}
}

// epochEnd is where an epoch ends in our log, which is led in leaderEpoch. The leader's own epoch, also without a batch, ends at the
// log's end; one below the first that the log knows ends, under its own number, where that one begins.
func (p *Partition) epochEnd(epoch, leaderEpoch ids.LeaderEpoch) (ids.LeaderEpoch, ids.Offset) {
	latest := p.log().LatestEpoch()
	switch {
	case epoch == ids.NoLeaderEpoch || epoch > leaderEpoch:
		return ids.NoLeaderEpoch, noOffset
	case epoch == leaderEpoch:
		return epoch, p.log().LogEnd()
	case epoch < 0:
		return epoch, p.log().LogStart()
	case latest == ids.NoLeaderEpoch:
		return epoch, p.log().LogEnd()
	case epoch > latest: // its leader wrote nothing
		return latest, p.log().LogEnd()
	}
	return p.log().EndOffsetForEpoch(epoch)
}
