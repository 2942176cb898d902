package compaction

import (
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
)

// Settings are what a round is about, and what bounds it.
type Settings struct {
	// FirstDirty is the first offset whose key no round has seen; nothing from End on may be compacted yet.
	FirstDirty, End ids.Offset
	// NowMs is when the round began; what it sees first of a tombstone lets it stay for DeleteRetentionMs: delete.retention.ms.
	NowMs, DeleteRetentionMs int64
	// MapBytes bounds the memory of the map of keys, of which LoadFactor is used at most.
	MapBytes   int64
	LoadFactor float64
	// Random is any 16 bytes that clients don't know, against keys that are made to collide in the map.
	Random [16]byte
}

// Round is one compaction of one log. Its caller guards it.
type Round struct {
	firstDirty ids.Offset
	newest     *offsetMap
	txns       *cleanedTxns
	filter     filter
}

// NewRound begins with the first pass.
func NewRound(s Settings) *Round {
	r := &Round{firstDirty: s.FirstDirty, newest: newOffsetMap(s.MapBytes, s.LoadFactor, s.Random), txns: newCleanedTxns()}
	r.newest.latest = s.FirstDirty - 1
	r.filter = filter{newest: r.newest, nowMs: s.NowMs, deleteRetentionMs: s.DeleteRetentionMs, roundEnd: s.End,
		builder: record.NewBuilder(record.None, record.DefaultLevel)}
	return r
}

// Aborted tells of the aborted transactions with data in what comes next of the pass. One may be told again.
func (r *Round) Aborted(found []producerstate.Completed) { r.txns.add(found) }

// Note puts the keys of one batch into the map; false if it is full. What it holds of the batch then is good.
func (r *Round) Note(b record.Batch) (took bool, err error) {
	if b.IsControl() {
		if _, err := r.txns.control(b); err != nil {
			return false, err
		}
	} else if !r.txns.data(b) {
		records := b.Records(record.Limits{})
		defer records.Close()
		for records.Next() {
			rec := records.Record()
			if rec.Key == nil || rec.Offset < r.firstDirty {
				continue
			}
			if !r.newest.put(rec.Key, rec.Offset) {
				return false, nil
			}
			r.newest.latest = rec.Offset
		}
		if err := records.Err(); err != nil {
			return false, err
		}
	}
	r.newest.latest = max(r.newest.latest, b.LastOffset())
	return true, nil
}

// Noted tells that all batches below end were: the last of them may end before.
func (r *Round) Noted(end ids.Offset) { r.newest.latest = max(r.newest.latest, end-1) }

// End is the offset below which the map knows the newest offset of each key: what the second pass goes up to.
func (r *Round) End() ids.Offset { return r.newest.latest + 1 }

// MapUse is the share of the map's slots that are taken.
func (r *Round) MapUse() float64 { return r.newest.utilization() }

// BeginDeciding ends the first pass.
func (r *Round) BeginDeciding() {
	r.txns = newCleanedTxns()
	r.filter.txns = r.txns
}

// BeginSegment tells the producers that may go on, and who is to be told the aborted transactions whose entries belong into the transaction index of the segment
// that is made of the batches that come next.
func (r *Round) BeginSegment(producers []producerstate.Producer, keep func(producerstate.Completed)) {
	r.filter.producers = make(map[ids.ProducerID]producerstate.Producer)
	for _, p := range producers {
		r.filter.producers[p.ID] = p
	}
	r.txns.keep = keep
}

// Decide tells what becomes of a batch.
func (r *Round) Decide(b record.Batch) (Outcome, error) { return r.filter.decide(b) }

// AppendRebuilt appends the batch that takes the place of the one that Decide last said Rebuilt of.
func (r *Round) AppendRebuilt(dst []byte) ([]byte, error) { return r.filter.builder.AppendTo(dst) }

// Counts are the records that Decide saw, those that stay, and those without a key among the others: no newest of their key can be told.
func (r *Round) Counts() (records, retained, keyless int64) {
	return r.filter.records, r.filter.retained, r.filter.keyless
}
