package compaction

import (
	"cmp"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
)

// cleanedTxns follows the transactions of a log while compaction walks over its batches, as Kafka's CleanedTransactionMetadata: which data was aborted and may go at
// once, and which markers have no data left and may go in their time.
type cleanedTxns struct {
	aborted   []producerstate.Completed // not begun yet, by first offset
	ongoing   map[ids.ProducerID]*abortedTxn
	committed map[ids.ProducerID]struct{} // producers of data that is not aborted, whose marker is to come
	// keep is told each aborted transaction of which data was seen: its entry stays in the transaction index. nil: nobody asks.
	keep func(producerstate.Completed)
}

type abortedTxn struct {
	producerstate.Completed
	seen bool // a batch of it
}

func newCleanedTxns() *cleanedTxns {
	return &cleanedTxns{ongoing: make(map[ids.ProducerID]*abortedTxn), committed: make(map[ids.ProducerID]struct{})}
}

// add tells of the aborted transactions of the segment that comes next. One may be told again.
func (t *cleanedTxns) add(aborted []producerstate.Completed) {
	t.aborted = append(t.aborted, aborted...)
	slices.SortStableFunc(t.aborted, func(a, b producerstate.Completed) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
}

func (t *cleanedTxns) beginUpTo(offset ids.Offset) {
	n := 0
	for n < len(t.aborted) && t.aborted[n].FirstOffset <= offset {
		if a := t.aborted[n]; t.ongoing[a.ProducerID] == nil {
			t.ongoing[a.ProducerID] = &abortedTxn{Completed: a}
		}
		n++
	}
	t.aborted = t.aborted[n:]
}

// data tells that a batch of data belongs to an aborted transaction.
func (t *cleanedTxns) data(b record.Batch) bool {
	t.beginUpTo(b.LastOffset())
	if !b.IsTransactional() {
		return false
	}
	if a := t.ongoing[b.ProducerID()]; a != nil {
		a.seen = true
		return true
	}
	t.committed[b.ProducerID()] = struct{}{}
	return false
}

// control tells that a control batch ends a transaction of which nothing is left.
func (t *cleanedTxns) control(b record.Batch) (empty bool, err error) {
	t.beginUpTo(b.LastOffset())
	records := b.Records(record.Limits{})
	defer records.Close()
	if !records.Next() {
		return records.Err() == nil, records.Err() // emptied before
	}
	kind, err := record.ParseControlKey(records.Record().Key)
	if err != nil {
		return false, err
	}
	id := b.ProducerID()
	switch kind {
	case record.ControlAbort:
		a := t.ongoing[id]
		delete(t.ongoing, id)
		if a == nil || !a.seen {
			return true, nil
		}
		if t.keep != nil {
			t.keep(a.Completed)
		}
		return false, nil
	case record.ControlCommit:
		_, some := t.committed[id]
		delete(t.committed, id)
		return !some, nil
	}
	return false, nil
}
