package replication

import (
	"errors"
	"io"
	"sync"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/wire"
)

// region carries a storage.Region to the socket without an allocation a fetch: it comes from a pool and returns on Release.
type region struct {
	storage.Region
	tally *tally // where its bytes count; nil once they have
}

var regions = sync.Pool{New: func() any { return new(region) }}

// Source implements Region. Its bytes count as handed out from now on: a fetch that waits looks at regions that it gives back, and nobody reads them.
func (r *region) Source() (io.ReaderAt, int64) {
	if r.tally != nil {
		r.tally.bytesOut.Add(int64(r.Size()))
		r.tally = nil
	}
	return r.Region.Source()
}

// Release lets the file go. The region must not be touched afterwards.
func (r *region) Release() {
	r.Region.Release()
	r.tally = nil
	regions.Put(r)
}

func (r *Fetched) refuse(code wire.ErrorCode) {
	*r = Fetched{Error: code, HighWatermark: noOffset, LastStable: noOffset, LogStart: noOffset,
		DivergingEpoch: ids.NoLeaderEpoch, DivergingEnd: noOffset, Aborted: r.Aborted[:0], Leader: ids.NoBroker, LeaderEpoch: ids.NoLeaderEpoch}
}

// Fetch hands out one partition's batches below the watermark.
func (m *Manager) Fetch(q *FetchQuery, res *Fetched) {
	p, code := m.find(&q.Target)
	if code != wire.ErrorNone {
		m.gone.failedFetches.Add(1)
		res.refuse(code)
		return
	}
	p.tally.fetches.Add(1)
	code, leader, epoch := p.leading(q.CurrentLeaderEpoch)
	res.refuse(code)
	if code != wire.ErrorNone {
		if code == wire.ErrorNotLeaderOrFollower || code == wire.ErrorFencedLeaderEpoch {
			res.Leader, res.LeaderEpoch = leader, epoch
		}
		p.tally.failedFetches.Add(1)
		return
	}
	p.read(q, epoch, res)
	if res.Error != wire.ErrorNone {
		p.tally.failedFetches.Add(1)
	}
}

// read asks the log, and, should the partition move to another directory meanwhile, the one there.
func (p *Partition) read(q *FetchQuery, leaderEpoch ids.LeaderEpoch, res *Fetched) {
	for {
		log := p.log()
		if p.readLog(log, q, leaderEpoch, res); log == p.log() || res.Error == wire.ErrorNone {
			return
		}
		res.refuse(wire.ErrorNone)
	}
}

func (p *Partition) readLog(log *storage.Log, q *FetchQuery, leaderEpoch ids.LeaderEpoch, res *Fetched) {
	// The watermark is read before the log is: what lies below it is there, whatever is appended or retained meanwhile.
	// The start is read before both, so that no deletion in between puts it above them.
	res.LogStart = log.LogStart()
	res.HighWatermark = p.watermark()
	res.LastStable = log.LastStable(res.HighWatermark)
	if q.LastFetchedEpoch != ids.NoLeaderEpoch {
		epoch, end := p.epochEnd(q.LastFetchedEpoch, leaderEpoch)
		switch {
		case epoch == ids.NoLeaderEpoch || end == noOffset:
			res.refuse(wire.ErrorOffsetOutOfRange)
			return
		case epoch < q.LastFetchedEpoch || end < q.Offset:
			res.DivergingEpoch, res.DivergingEnd = epoch, end
			return
		}
	}
	limit := res.HighWatermark
	if q.ReadCommitted {
		limit = res.LastStable
	}
	if q.MaxBytes <= 0 && !q.WholeFirst {
		if q.Offset < res.LogStart || q.Offset > log.LogEnd() {
			res.outOfRange()
		}
		return
	}
	found, err := log.Read(q.Offset, limit, q.MaxBytes, q.WholeFirst)
	switch {
	case err == nil && found.Size() > 0 && q.ReadCommitted && !p.aborted(log, &found, q.Offset, res):
		found.Release()
	case err == nil && found.Size() > 0:
		pooled := regions.Get().(*region)
		pooled.Region, pooled.tally = found, p.tally
		res.Region = pooled
	case err == nil:
		found.Release()
	case errors.Is(err, storage.ErrOffsetOutOfRange):
		res.outOfRange()
	case errors.Is(err, storage.ErrClosed):
		res.refuse(wire.ErrorUnknownTopicOrPartition)
	default:
		res.refuse(wire.ErrorKafkaStorageError)
		if p.manager.events.StorageError != nil {
			p.manager.events.StorageError(p.name, err)
		}
	}
}

// aborted names the transactions whose records a read_committed consumer must skip. It fails the answer, and returns false, where they cannot be told:
// without them, aborted records would look committed.
func (p *Partition) aborted(log *storage.Log, found *storage.Region, from ids.Offset, res *Fetched) bool {
	err := log.Aborted(found, from, func(t producerstate.Completed) {
		res.Aborted = append(res.Aborted, AbortedTransaction{ProducerID: t.ProducerID, FirstOffset: t.FirstOffset})
	})
	if err == nil {
		return true
	}
	res.refuse(wire.ErrorKafkaStorageError)
	if p.manager.events.StorageError != nil {
		p.manager.events.StorageError(p.name, err)
	}
	return false
}

// outOfRange keeps the offsets in the answer, as Kafka does: they tell the client where it may go on.
func (r *Fetched) outOfRange() { r.Error = wire.ErrorOffsetOutOfRange }

// Watch registers w to fire when the partition has more to tell than seen. It returns false where that is so already, or
// where the partition is not led here.
func (m *Manager) Watch(target *Target, seen Seen, w *Waiter) bool {
	p, code := m.find(target)
	if code != wire.ErrorNone {
		return false
	}
	if code, _, _ := p.leading(ids.NoLeaderEpoch); code != wire.ErrorNone || p.watermark() != seen.HighWatermark || p.log().LogStart() != seen.LogStart {
		return false
	}
	if !p.await(w, seen.HighWatermark+1, true) {
		return false
	}
	if p.watermark() < p.log().LogEnd() {
		p.log().Flush(true) // somebody waits for what is not durable yet
	}
	return true
}

// Unwatch takes a registration back and reports whether it did.
func (m *Manager) Unwatch(w *Waiter) bool {
	if w.links.partition == nil {
		return false
	}
	return w.links.partition.waiters.remove(w)
}
