package storage

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/run"
)

// RecordDeletion asks that all records of a log below an offset be deleted.
type RecordDeletion struct {
	Log    *Log
	Before ids.Offset // logStart ≤ Before ≤ logEnd; one below logStart changes nothing
	// Err is the outcome: ErrOffsetOutOfRange if Before lies above logEnd, ErrClosed, *OfflineError, or what kept the disk from taking the new log
	// start (vfs.ErrNoSpace, wrapped). The log start has not moved then.
	Err error
}

// DeleteRecords moves log starts up. When it returns they are durable, nobody sees the records below them any more, and the files of segments that lie wholly
// below are on their way out. What is not durable yet becomes so first. All deletions share one write to each directory. The call blocks on the disk. The
// caller keeps Before at or below the high watermark.
func (s *Store) DeleteRecords(deletions []RecordDeletion) {
	for i := range deletions {
		if r := &deletions[i]; r.Before > r.Log.DurableEnd() {
			r.Log.Flush(true) // all share a round
		}
	}
	for _, d := range s.dirs {
		var raises []raise
		var asked []*RecordDeletion
		for i := range deletions {
			r := &deletions[i]
			if r.Log.dir != d {
				continue
			}
			if r.Err = r.Log.prepareDeletion(r.Before); r.Err == nil && r.Before >= r.Log.LogStart() {
				raises, asked = append(raises, raise{log: r.Log, to: r.Before}), append(asked, r)
			}
		}
		if err := d.raiseLogStarts(raises); err != nil {
			for _, r := range asked {
				r.Err = fmt.Errorf("delete records of %s: %w", r.Log.tp, err)
			}
			continue
		}
		for i := range raises {
			if asked[i].Err = raises[i].refused; asked[i].Err != nil {
				continue
			}
			if raises[i].removeFiles() && raises[i].moved && s.cfg.Events.RecordsDeleted != nil {
				s.cfg.Events.RecordsDeleted(raises[i].log.tp, len(raises[i].segments), raises[i].bytes, raises[i].log.LogStart())
			}
		}
	}
}

// prepareDeletion checks the offset and makes the log durable up to it. Where all records go, the active segment is rolled, so that its bytes go, too; Kafka
// would keep them.
func (l *Log) prepareDeletion(before ids.Offset) error {
	if end := l.LogEnd(); before > end {
		return fmt.Errorf("delete records of %s below %d, and it ends at %d: %w", l.tp, before, end, ErrOffsetOutOfRange)
	}
	if err := l.awaitDurable(before); err != nil {
		return err
	}
	l.mu.Lock()
	if err := l.writableByOwner(); err != nil {
		l.mu.Unlock()
		return err
	}
	l.keepWindows()
	rolledTo := notRolled
	if s := l.active(); before == l.LogEnd() && s != nil && s.size.Load() > 0 {
		var fresh *segment
		err := l.dir.sparing(func() (err error) { fresh, err = l.roll(); return err })
		if err != nil {
			l.store.problem("roll "+l.tp.String()+", all of whose records are deleted; the last segment stays", err)
		} else {
			rolledTo = fresh.base
		}
	}
	l.mu.Unlock()
	if rolledTo >= 0 {
		l.rolled(rolledTo)
	}
	return nil
}

// keepWindows makes the producers known before segments go that hold the batches of their windows. Called under the append lock.
func (l *Log) keepWindows() {
	if err := l.readProducers(); err != nil {
		l.store.problem("delete records of "+l.tp.String()+"; a producer that repeats one of its last batches may be refused", err)
	}
}

// awaitDurable returns once the log is durable up to an offset ≤ logEnd, or failed.
func (l *Log) awaitDurable(offset ids.Offset) error {
	if l.DurableEnd() >= offset || l.Err() != nil {
		return l.Err()
	}
	signal := l.store.env().NewSignal()
	l.durableWaits.add(signal)
	defer l.durableWaits.remove(signal)
	for l.DurableEnd() < offset && l.Err() == nil {
		l.Flush(true)
		signal.Wait()
	}
	return l.Err()
}

// durableWaits are those who wait for a log's durable end.
type durableWaits struct {
	some atomic.Bool // list is not empty

	mu   sync.Mutex // held for memory only
	list []run.Signal
}

func (w *durableWaits) add(signal run.Signal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, signal)
	w.some.Store(true)
}

func (w *durableWaits) remove(signal run.Signal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = slices.DeleteFunc(w.list, func(other run.Signal) bool { return other == signal })
	w.some.Store(len(w.list) > 0)
}

func (w *durableWaits) wake() {
	if !w.some.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, signal := range w.list {
		signal.Set()
	}
}

// raise is one log start on its way up.
type raise struct {
	log *Log
	to  ids.Offset
	// segments and bytes are what left the log.
	segments    []*segment
	bytes       int64
	truncations int64 // the log's then
	moved       bool
	refused     error // why nothing was done, if so
}

// raiseLogStarts moves the starts of logs of this directory up to where raises say: in the checkpoint first, durably, then in memory. Nobody is told that
// records are gone which a crash would bring back, and after an error nothing has moved. The files of what left the logs are the caller's to remove. A log
// start moves nowhere else, and never down, but for TruncateFullyAndStartAt.
func (d *directory) raiseLogStarts(raises []raise) error {
	if len(raises) == 0 {
		return nil
	}
	return d.sparing(func() error { return d.raiseOnce(raises) })
}

func (d *directory) raiseOnce(raises []raise) error {
	return d.writing(func() error {
		starts := maps.Clone(d.starts)
		for i := range raises {
			l := raises[i].log
			if start := max(l.LogStart(), raises[i].to); l.steady() && start > starts[l.tp] {
				starts[l.tp] = start
			}
		}
		if err := d.write(logfiles.LogStarts, &d.starts, starts); err != nil {
			return err
		}
		for i := range raises {
			raises[i].apply()
		}
		return nil
	})
}

// steady tells that neither truncation nor a move is about to change what the checkpoints say of the log.
func (l *Log) steady() bool { return l.failure.Load() == nil && l.truncations.Load()%2 == 0 }

// apply moves the start in memory and takes the segments wholly below out of the log. Readers find the new start before they miss a segment.
func (r *raise) apply() {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.refused = l.writableByOwner(); r.refused != nil {
		return
	}
	start := max(l.LogStart(), r.to)
	r.moved = start > l.LogStart()
	l.logStart.Store(int64(start))
	l.epochs.TruncateStart(start)
	segments := l.list()
	n := 0
	for n+1 < len(segments) && segments[n+1].base <= start {
		r.bytes += segments[n].size.Load()
		n++
	}
	if n > 0 {
		r.segments, r.truncations = segments[:n], l.truncations.Load()
		l.setSegments(slices.Clone(segments[n:]))
	}
}
