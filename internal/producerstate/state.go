package producerstate

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
)

// Window is how many batches of each producer are remembered, and so how many requests it may have in flight.
const Window = 5

// noOffset stands for "none" wherever an offset is stored.
const noOffset ids.Offset = -1

// noEpoch is the epoch of a producer that has written nothing.
const noEpoch ids.ProducerEpoch = -1

// What Check refuses with; each is wrapped in a *SequenceError.
var (
	// ErrOutOfOrderSequence: OUT_OF_ORDER_SEQUENCE_NUMBER (45).
	ErrOutOfOrderSequence = errors.New("out of order sequence number")
	// ErrInvalidProducerEpoch: INVALID_PRODUCER_EPOCH (47).
	ErrInvalidProducerEpoch = errors.New("producer epoch is smaller than the last seen one")
	// ErrInvalidTransactionState: INVALID_TXN_STATE (48): a plain batch inside a transaction.
	ErrInvalidTransactionState = errors.New("expected a transactional write from a producer with an open transaction")
	// ErrCoordinatorFenced: TRANSACTION_COORDINATOR_FENCED (52): a marker of an earlier transaction coordinator.
	ErrCoordinatorFenced = errors.New("transaction marker of an earlier coordinator epoch")
)

// SequenceError tells what a producer sent and what the log expected of it.
type SequenceError struct {
	Reason     error // one of the errors above
	ProducerID ids.ProducerID
	// Epoch and Sequence are what came; for ErrCoordinatorFenced, Sequence is the marker's coordinator epoch.
	Epoch    ids.ProducerEpoch
	Sequence int32
	// CurrentEpoch and Wanted are what the log knows: the epoch, and the next sequence (or the coordinator epoch).
	CurrentEpoch ids.ProducerEpoch
	Wanted       int32
}

func (e *SequenceError) Error() string {
	return fmt.Sprintf("%v for producer %d: got epoch %d and number %d, have epoch %d and want number %d",
		e.Reason, e.ProducerID, e.Epoch, e.Sequence, e.CurrentEpoch, e.Wanted)
}

func (e *SequenceError) Unwrap() error { return e.Reason }

// Code is Kafka's error code.
func (e *SequenceError) Code() int16 {
	switch e.Reason {
	case ErrOutOfOrderSequence:
		return 45
	case ErrInvalidProducerEpoch:
		return 47
	case ErrInvalidTransactionState:
		return 48
	case ErrCoordinatorFenced:
		return 52
	}
	return -1
}

// batch is one remembered append. Its first offset and sequence follow from delta.
type batch struct {
	lastOffset  ids.Offset
	timestampMs int64
	lastSeq     int32
	delta       int32 // last offset − first offset
}

func (b batch) firstOffset() ids.Offset { return b.lastOffset - ids.Offset(b.delta) }

// firstSeq undoes record.AddSequence: before 0 comes 2^31-1.
func (b batch) firstSeq() int32 { return int32((int64(b.lastSeq) - int64(b.delta)) & 0x7fffffff) }

// producer is what is known of one producer id. window[:n] is in the order of the log; all its batches carry epoch.
type producer struct {
	window           [Window]batch
	n                int8
	epoch            ids.ProducerEpoch
	coordinatorEpoch int32 // -1 before the first marker
	timestampMs      int64 // of the last batch or marker, from the log
	seenMs           int64 // the broker's clock at the last append that was checked, 0 before
	firstTxnOffset   ids.Offset
}

func newProducer() *producer {
	return &producer{epoch: noEpoch, coordinatorEpoch: -1, timestampMs: record.NoTimestamp, firstTxnOffset: noOffset}
}

// lastSeq is the sequence after which the next must follow; -1 makes that 0.
func (p *producer) lastSeq() int32 {
	if p.n == 0 {
		return record.NoSequence
	}
	return p.window[p.n-1].lastSeq
}

func (p *producer) setEpoch(e ids.ProducerEpoch) {
	if p.epoch != e {
		p.epoch, p.n = e, 0
	}
}

func (p *producer) push(b batch) {
	if p.n == Window {
		copy(p.window[:], p.window[1:])
		p.n--
	}
	p.window[p.n] = b
	p.n++
}

// transaction is one that has begun in this partition; last is its marker's offset, noOffset while it is open.
type transaction struct {
	producer    ids.ProducerID
	first, last ids.Offset
}

// State is what one partition knows of its producers. It is not safe for concurrent use.
//
// Invariants: open is sorted by first offset, and holds exactly the producers with a firstTxnOffset;
// for every window, offsets rise strictly, and all are below End.
type State struct {
	expirationMs int64
	producers    map[ids.ProducerID]*producer
	open         []transaction // by first
	undecided    []transaction // ended, but the marker is not below the high watermark yet; by first
	end          ids.Offset
	nowMs        int64
}

// New makes an empty state. expirationMs is producer.id.expiration.ms (KIP-854).
func New(expirationMs int64) *State {
	return &State{expirationMs: expirationMs, producers: make(map[ids.ProducerID]*producer)}
}

// Verdict is what Check found. If Duplicate, the other fields are those of the original append.
type Verdict struct {
	Duplicate              bool
	BaseOffset, LastOffset ids.Offset
	TimestampMs            int64
}

// Check decides whether b may be appended. fromClient is false for what brokers append for themselves (transaction
// markers): their epochs are checked, sequences not. A refusal is a *SequenceError. nowMs is the broker's clock.
//
// An unknown producer, or one that has expired, may begin with any sequence number, as in Kafka since 2.5: its
// earlier batches may have fallen to retention. It changes nothing but the clock.
func (s *State) Check(b record.Batch, fromClient bool, nowMs int64) (Verdict, error) {
	s.nowMs = nowMs
	if !b.HasProducer() {
		return Verdict{}, nil
	}
	p := s.producers[b.ProducerID()]
	if p == nil {
		return Verdict{}, nil
	}
	if b.IsControl() {
		return Verdict{}, p.checkMarker(b)
	}
	if fromClient {
		if d, ok := p.duplicate(b); ok {
			return Verdict{Duplicate: true, BaseOffset: d.firstOffset(), LastOffset: d.lastOffset, TimestampMs: d.timestampMs}, nil
		}
	}
	if b.ProducerEpoch() < p.epoch {
		return Verdict{}, p.refuse(ErrInvalidProducerEpoch, b)
	}
	if fromClient && !p.inSequence(b) {
		return Verdict{}, p.refuse(ErrOutOfOrderSequence, b)
	}
	if p.firstTxnOffset != noOffset && !b.IsTransactional() {
		return Verdict{}, p.refuse(ErrInvalidTransactionState, b)
	}
	return Verdict{}, nil
}

func (p *producer) duplicate(b record.Batch) (batch, bool) {
	if b.ProducerEpoch() != p.epoch {
		return batch{}, false
	}
	first, last := b.BaseSequence(), b.LastSequence()
	for _, old := range p.window[:p.n] {
		if old.lastSeq == last && old.firstSeq() == first {
			return old, true
		}
	}
	return batch{}, false
}

func (p *producer) inSequence(b record.Batch) bool {
	if p.epoch == noEpoch {
		return true
	}
	if b.ProducerEpoch() != p.epoch {
		return b.BaseSequence() == 0
	}
	return b.BaseSequence() == next(p.lastSeq())
}

// next is the sequence after last: 0 after none and after 2^31-1.
func next(last int32) int32 {
	if last == record.NoSequence {
		return 0
	}
	return record.AddSequence(last, 1)
}

func (p *producer) checkMarker(b record.Batch) error {
	if b.ProducerEpoch() < p.epoch {
		return p.refuse(ErrInvalidProducerEpoch, b)
	}
	if marker, ok := endTransaction(b); ok && marker.CoordinatorEpoch < p.coordinatorEpoch {
		err := p.refuse(ErrCoordinatorFenced, b)
		err.Sequence, err.Wanted = marker.CoordinatorEpoch, p.coordinatorEpoch
		return err
	}
	return nil
}

func (p *producer) refuse(reason error, b record.Batch) *SequenceError {
	wanted := int32(0)
	if b.ProducerEpoch() == p.epoch {
		wanted = next(p.lastSeq())
	}
	return &SequenceError{Reason: reason, ProducerID: b.ProducerID(), Epoch: b.ProducerEpoch(), Sequence: b.BaseSequence(),
		CurrentEpoch: p.epoch, Wanted: wanted}
}

// endTransaction reads a control batch's one record. Control batches are never compressed.
func endTransaction(b record.Batch) (record.EndTransaction, bool) {
	it := b.Records(record.Limits{})
	defer it.Close()
	if !it.Next() {
		return record.EndTransaction{}, false
	}
	marker, ok, err := record.ParseEndTransaction(it.Record().Key, it.Record().Value)
	return marker, ok && err == nil
}

// Completed is a transaction that a marker ended in this partition. Aborted ones belong into the .txnindex.
type Completed struct {
	ProducerID ids.ProducerID
	// FirstOffset is that of its first batch, LastOffset the marker's.
	FirstOffset, LastOffset ids.Offset
	// LastStableOffset is the partition's, once the marker is replicated: no transaction was open below it.
	LastStableOffset ids.Offset
	Aborted          bool
}

// Update records a batch that the log now holds, with its offset assigned: after an append, and in replay, in order.
// ok is true if the batch is a marker that ended a transaction which had written to this partition. Of data batches
// only the header is read; a control batch must be whole.
func (s *State) Update(b record.Batch) (done Completed, ok bool) {
	s.end = max(s.end, b.NextOffset())
	if !b.HasProducer() {
		return Completed{}, false
	}
	id := b.ProducerID()
	if b.IsControl() {
		marker, is := endTransaction(b)
		if !is {
			return Completed{}, false
		}
		return s.endOfTransaction(s.producer(id), id, b, marker)
	}
	p := s.producer(id)
	p.setEpoch(b.ProducerEpoch())
	p.push(batchOf(b))
	p.timestampMs, p.seenMs = b.MaxTimestamp(), s.nowMs
	if b.IsTransactional() && p.firstTxnOffset == noOffset {
		p.firstTxnOffset = b.BaseOffset()
		s.begin(transaction{producer: id, first: b.BaseOffset(), last: noOffset})
	}
	return Completed{}, false
}

func batchOf(b record.Batch) batch {
	return batch{lastOffset: b.LastOffset(), timestampMs: b.MaxTimestamp(), lastSeq: b.LastSequence(), delta: b.LastOffsetDelta()}
}

func (s *State) producer(id ids.ProducerID) *producer {
	p := s.producers[id]
	if p == nil {
		p = newProducer()
		s.producers[id] = p
	}
	return p
}

func (s *State) endOfTransaction(p *producer, id ids.ProducerID, b record.Batch, marker record.EndTransaction) (Completed, bool) {
	p.setEpoch(b.ProducerEpoch())
	p.coordinatorEpoch = marker.CoordinatorEpoch
	p.timestampMs, p.seenMs = b.MaxTimestamp(), s.nowMs
	first := p.firstTxnOffset
	if first == noOffset {
		return Completed{}, false
	}
	p.firstTxnOffset = noOffset
	s.open = slices.DeleteFunc(s.open, func(t transaction) bool { return t.producer == id })
	done := Completed{ProducerID: id, FirstOffset: first, LastOffset: b.BaseOffset(), LastStableOffset: b.BaseOffset() + 1,
		Aborted: marker.Type == record.ControlAbort}
	if len(s.open) > 0 {
		done.LastStableOffset = s.open[0].first
	}
	insert(&s.undecided, transaction{producer: id, first: first, last: done.LastOffset})
	return done, true
}

func (s *State) begin(t transaction) { insert(&s.open, t) }

func insert(list *[]transaction, t transaction) {
	at, _ := slices.BinarySearchFunc(*list, t.first, func(e transaction, first ids.Offset) int { return cmp.Compare(e.first, first) })
	*list = slices.Insert(*list, at, t)
}

// FirstUnstable is the offset of the first transaction that is open, or whose marker the high watermark has not passed
// yet; false if there is none. The last stable offset is min(it, highWatermark).
func (s *State) FirstUnstable() (ids.Offset, bool) {
	first, ok := noOffset, false
	if len(s.open) > 0 {
		first, ok = s.open[0].first, true
	}
	if len(s.undecided) > 0 && (!ok || s.undecided[0].first < first) {
		first, ok = s.undecided[0].first, true
	}
	return first, ok
}

// SetHighWatermark tells that all below highWatermark is replicated: transactions whose markers are, are decided.
func (s *State) SetHighWatermark(highWatermark ids.Offset) {
	if len(s.undecided) > 0 {
		s.undecided = slices.DeleteFunc(s.undecided, func(t transaction) bool { return t.last < highWatermark })
	}
}

// End is the offset after the last batch that Update saw: the offset that a snapshot taken now is named by.
func (s *State) End() ids.Offset { return s.end }

// Len is the number of known producers.
func (s *State) Len() int { return len(s.producers) }

// Expire forgets the producers that have no open transaction and have been silent for the expiration time. Silence is
// counted from the broker's clock where this State checked the append; for what came from a snapshot or replay, from
// the batch's timestamp, as Kafka always does. It returns how many it forgot.
func (s *State) Expire(nowMs int64) int {
	before := len(s.producers)
	for id, p := range s.producers {
		if p.firstTxnOffset == noOffset && nowMs-max(p.timestampMs, p.seenMs) >= s.expirationMs {
			delete(s.producers, id)
		}
	}
	return before - len(s.producers)
}

// SetExpiration changes producer.id.expiration.ms from now on.
func (s *State) SetExpiration(ms int64) { s.expirationMs = ms }

// TruncateFullyAndStartAt forgets everything: the log is now empty and begins at offset. To truncate to an offset
// inside the log, load the newest snapshot at or below it and replay from there.
func (s *State) TruncateFullyAndStartAt(offset ids.Offset) {
	clear(s.producers)
	s.open, s.undecided, s.end = nil, nil, offset
}

// Producer describes one producer, for DescribeProducers and inspection.
type Producer struct {
	ID               ids.ProducerID
	Epoch            ids.ProducerEpoch
	LastSequence     int32      // -1 if no batch is known
	LastOffset       ids.Offset // -1 if no batch is known
	OffsetDelta      int32
	LastTimestampMs  int64
	CoordinatorEpoch int32      // -1 before the first transaction marker
	TxnFirstOffset   ids.Offset // -1 if no transaction is open
	Batches          int        // of the window that are known, 0 to Window
}

// Producers lists all by id.
func (s *State) Producers() []Producer {
	all := make([]Producer, 0, len(s.producers))
	for id, p := range s.producers {
		d := Producer{ID: id, Epoch: p.epoch, LastSequence: p.lastSeq(), LastOffset: noOffset, LastTimestampMs: p.timestampMs,
			CoordinatorEpoch: p.coordinatorEpoch, TxnFirstOffset: p.firstTxnOffset, Batches: int(p.n)}
		if p.n > 0 {
			d.LastOffset, d.OffsetDelta = p.window[p.n-1].lastOffset, p.window[p.n-1].delta
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b Producer) int { return cmp.Compare(a.ID, b.ID) })
	return all
}
