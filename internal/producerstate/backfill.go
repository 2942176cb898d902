package producerstate

import (
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
)

// Backfill rebuilds windows of a loaded State from the log below its snapshot. Feed it batches in order of offset,
// starting anywhere and ending at the snapshot's offset, then call Done, before the replay with Update. A retry that was in
// flight when the broker stopped is at most Window batches old per producer, so the last few MB of the log are enough in
// practice; with less, an older retry is answered OUT_OF_ORDER_SEQUENCE_NUMBER, as Kafka answers it.
type Backfill struct {
	state *State
	tails map[ids.ProducerID]*producer
}

// NewBackfill starts one. Wants tells whether it can be of use.
func (s *State) NewBackfill() *Backfill {
	return &Backfill{state: s, tails: make(map[ids.ProducerID]*producer)}
}

// WantsBackfill is true while some producer's window is short and its oldest known batch did not begin at sequence 0.
func (s *State) WantsBackfill() bool {
	for _, p := range s.producers {
		if p.n > 0 && p.n < Window && p.window[0].firstSeq() != 0 {
			return true
		}
	}
	return false
}

// Add takes a batch below the snapshot's offset. Only its header is read.
func (f *Backfill) Add(b record.Batch) {
	if !b.HasProducer() || b.IsControl() {
		return
	}
	id := b.ProducerID()
	p := f.state.producers[id]
	if p == nil || p.n == 0 || p.epoch != b.ProducerEpoch() || b.LastOffset() > p.window[0].lastOffset {
		return
	}
	if b.LastOffset() == p.window[0].lastOffset { // the snapshot gave it the time of the marker after it, if there was one
		p.window[0].timestampMs = b.MaxTimestamp()
		return
	}
	tail := f.tails[id]
	if tail == nil {
		tail = newProducer()
		f.tails[id] = tail
	}
	tail.push(batchOf(b))
}

// Done puts what was collected in front of the windows, as far back as it joins on without a gap in the sequence: what
// lies before a gap was forgotten by expiry, and forgotten it stays.
func (f *Backfill) Done() {
	for id, tail := range f.tails {
		p := f.state.producers[id]
		if p == nil {
			continue
		}
		for i := tail.n - 1; i >= 0 && p.n > 0 && p.n < Window; i-- {
			if next(tail.window[i].lastSeq) != p.window[0].firstSeq() {
				break
			}
			copy(p.window[1:p.n+1], p.window[:p.n])
			p.window[0] = tail.window[i]
			p.n++
		}
	}
	f.tails = nil
}
