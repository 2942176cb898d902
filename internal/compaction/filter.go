package compaction

import (
	"fmt"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
)

// filter decides what remains of each batch, as Kafka's Cleaner and MemoryRecords.filterTo do.
type filter struct {
	newest            *offsetMap
	txns              *cleanedTxns
	producers         map[ids.ProducerID]producerstate.Producer // those that may go on, at the start of the group
	nowMs             int64
	deleteRetentionMs int64
	// roundEnd is the first offset that the round may not clean. The batch that ends there stays, if only emptied: the range of the log must not shrink.
	roundEnd ids.Offset

	kept    []record.Record // of the batch at hand
	headers []record.Header
	builder *record.Builder

	records, retained, keyless int64
}

// Outcome is what becomes of a batch.
type Outcome uint8

const (
	// Dropped: it goes.
	Dropped Outcome = iota
	// Emptied: it stays without its records, as record.Batch.AppendEmptied makes it.
	Emptied
	// Verbatim: it stays as it is.
	Verbatim
	// Rebuilt: Round.AppendRebuilt makes what takes its place.
	Rebuilt
)

// decide looks at one batch, in the order of the log. After Rebuilt, the builder holds the new one.
func (f *filter) decide(b record.Batch) (Outcome, error) {
	discard, emptyTxn := false, false
	if b.IsControl() {
		// Markers wait for the delete horizon like tombstones, once all data of their transaction is gone.
		empty, err := f.txns.control(b)
		if err != nil {
			return Dropped, err
		}
		emptyTxn = empty
		discard = empty && b.HasDeleteHorizon() && b.DeleteHorizonMs() <= f.nowMs
	} else {
		discard = f.txns.data(b)
	}
	stays := b.HasProducer() && f.isLastOfProducer(b) || b.NextOffset() == f.roundEnd
	whole, tombstones := true, false
	f.kept = f.kept[:0]
	if discard {
		f.records += int64(max(b.Count(), 0))
		whole = false
	} else {
		records := b.Records(record.Limits{})
		defer records.Close()
		var err error
		if whole, tombstones, err = f.sift(b, &records); err != nil {
			return Dropped, err
		}
	}
	switch {
	case len(f.kept) == 0 && stays:
		return Emptied, nil
	case len(f.kept) == 0:
		return Dropped, nil
	}
	f.retained += int64(len(f.kept))
	if whole && (b.HasDeleteHorizon() || !tombstones && !emptyTxn) {
		return Verbatim, nil
	}
	f.prepare(b, tombstones || emptyTxn)
	return Rebuilt, nil
}

// isLastOfProducer tells that the producer's state after a restart comes from this batch: its last data, or, where it has none, a marker of its epoch.
func (f *filter) isLastOfProducer(b record.Batch) bool {
	p, ok := f.producers[b.ProducerID()]
	if !ok {
		return false
	}
	if p.LastOffset >= 0 {
		return b.LastOffset() == p.LastOffset
	}
	return b.IsControl() && b.ProducerEpoch() == p.Epoch
}

// sift collects the records that stay. whole tells that all do, tombstones that one of them has no value.
func (f *filter) sift(b record.Batch, records *record.Iterator) (whole, tombstones bool, err error) {
	whole = true
	previous, last := b.BaseOffset()-1, b.LastOffset()
	for records.Next() {
		r := records.Record()
		if r.Offset <= previous || r.Offset > last {
			return false, false, fmt.Errorf("record offset %d after %d in a batch up to %d", r.Offset, previous, last)
		}
		previous = r.Offset
		f.records++
		if !b.IsControl() && !f.stays(b, r) {
			whole = false
			continue
		}
		tombstones = tombstones || r.Value == nil
		f.kept = append(f.kept, *r)
	}
	if err := records.Err(); err != nil {
		return false, false, err
	}
	return whole, tombstones, nil
}

// stays tells that a record is the newest of its key, as far as the map knows, and no tombstone beyond its horizon.
func (f *filter) stays(b record.Batch, r *record.Record) bool {
	if r.Offset > f.newest.latest {
		return true
	}
	if r.Key == nil {
		f.keyless++
		return false
	}
	if r.Offset < f.newest.get(r.Key) {
		return false
	}
	return r.Value != nil || !b.HasDeleteHorizon() || f.nowMs < b.DeleteHorizonMs()
}

// prepare sets the builder up for the records that stay. The first compaction that sees a tombstone, or a marker without data, sets the batch's horizon (KIP-534).
func (f *filter) prepare(b record.Batch, wantsHorizon bool) {
	f.builder.Like(b)
	if b.HasDeleteHorizon() {
		f.builder.DeleteHorizon(b.DeleteHorizonMs())
	} else if wantsHorizon {
		f.builder.DeleteHorizon(f.nowMs + f.deleteRetentionMs)
	}
	base := b.BaseOffset()
	for i := range f.kept {
		r := &f.kept[i]
		f.headers = f.headers[:0]
		r.Headers.All(func(h record.Header) bool {
			f.headers = append(f.headers, h)
			return true
		})
		f.builder.AppendAt(int32(r.Offset-base), r.TimestampMs, r.Key, r.Value, f.headers...)
	}
	f.builder.LastOffsetDelta(b.LastOffsetDelta())
}
