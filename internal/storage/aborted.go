package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/vfs"
)

// abortedReaders is what those who read a segment's transaction index need, without the append lock.
type abortedReaders struct {
	state atomic.Int32
	// tail are the entries that may not be in the file yet. The bytes that it shows never change.
	tail atomic.Pointer[[]byte]
	// all are the entries of a segment whose file has not the name, or not any more, that it should have: compaction is making the segment, or put another
	// in its place. nil: look into the file.
	all atomic.Pointer[[]byte]
}

// Values of abortedReaders.state.
const (
	abortedUnknown int32 = iota // the file was not looked for yet
	abortedNone
	abortedSome
)

// note is called with the append lock held: with what is pending, nil once it is in the file.
func (r *abortedReaders) note(pending []byte) {
	if len(pending) == 0 {
		r.tail.Store(nil)
		return
	}
	r.tail.Store(&pending)
	r.state.Store(abortedSome)
}

// Aborted calls visit for every transaction that was aborted and has records in the region, which Read gave from `from` on, in the order of their markers:
// what a read_committed consumer must know about it. It takes no lock, and for a log without aborted transactions looks into memory only. It looks at the
// segments that there were when the region was read: compaction may have replaced one of them since, and forgotten what it removed.
func (l *Log) Aborted(region *Region, from ids.Offset, visit func(producerstate.Completed)) error {
	return l.abortedIn(region.segments, from, region.bound, visit)
}

// abortedIn visits the aborted transactions that overlap [from, bound), of which segments hold the markers.
func (l *Log) abortedIn(segments []*segment, from, bound ids.Offset, visit func(producerstate.Completed)) error {
	for _, s := range segments {
		var done bool
		err := l.vetAborted(s)
		if err == nil {
			done, err = s.aborted(from, bound, visit)
		}
		if err != nil {
			return l.readFailed(fmt.Errorf("read the aborted transactions of %s: %w", l.tp, err), from)
		}
		if done {
			return nil
		}
	}
	return nil
}

// aborted visits one segment's entries in the order of their markers. done tells that all transactions with records below bound had ended by the last one.
func (s *segment) aborted(from, bound ids.Offset, visit func(producerstate.Completed)) (done bool, err error) {
	r := &s.txns.readers
	if r.state.Load() == abortedNone {
		return false, nil
	}
	tail := r.tail.Load() // before the file: what leaves the tail is in the file by then
	data, err := s.abortedEntries()
	if err != nil {
		return false, err
	}
	last := s.base - 1
	each := func(data []byte) error {
		for ; len(data) >= producerstate.TxnIndexEntrySize && !done; data = data[producerstate.TxnIndexEntrySize:] {
			e, err := producerstate.ParseTxnIndexEntry(data)
			if err != nil {
				return err
			}
			if e.LastOffset <= last {
				continue // in the tail and in the file
			}
			last = e.LastOffset
			if e.LastOffset >= from && e.FirstOffset < bound {
				visit(e)
			}
			done = e.LastStableOffset >= bound
		}
		return nil
	}
	if err := each(data); err != nil || tail == nil {
		return done, err
	}
	return done, each(*tail)
}

// abortedEntries is what a segment's transaction index holds; none if there is none.
func (s *segment) abortedEntries() ([]byte, error) {
	r := &s.txns.readers
	if all := r.all.Load(); all != nil {
		return *all, nil
	}
	data, err := vfs.ReadWhole(s.files.fs, s.path(logfiles.TxnIndexSuffix), 1<<30)
	if all := r.all.Load(); all != nil {
		return *all, nil // it has another name since, and the name another file perhaps
	}
	if errors.Is(err, fs.ErrNotExist) {
		r.state.CompareAndSwap(abortedUnknown, abortedNone)
		return nil, nil
	}
	return data, err
}

// vetAborted compares the transaction index of a segment with the markers in its log, once, where this process did not write it: it has no checksum. A
// damaged one is made anew. Of a compacted log, and where the producer snapshot at the segment's base is gone, it is believed.
func (l *Log) vetAborted(s *segment) error {
	r := &s.txns.readers
	if r.state.Load() != abortedUnknown || s.checked.until == 0 || l.dir.mayHaveGaps(l) {
		return nil
	}
	data, err := vfs.ReadWhole(s.files.fs, s.path(logfiles.TxnIndexSuffix), 1<<30)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	want, ok, err := l.replayAborted(s, s.walk)
	if err != nil {
		return err
	}
	if ok && !bytes.Equal(data[:min(s.checked.txns, int64(len(data)))], want) {
		if want, _, err = l.replayAborted(s, s.walkChecked); err != nil {
			return err
		}
		if err := l.replaceAborted(s, want); err != nil {
			return err
		}
	}
	r.state.CompareAndSwap(abortedUnknown, abortedSome)
	return nil
}

// replayAborted makes the entries of the markers that a segment had when it was opened; ok is false if it can't.
func (l *Log) replayAborted(s *segment, walk func(int64, func(record.Batch, int64, *handle) error) error) (want []byte, ok bool, err error) {
	state := producerstate.New(l.producers.expirationMs)
	data, err := vfs.ReadWhole(s.files.fs, s.dir+"/"+logfiles.SegmentName(s.base, logfiles.SnapshotSuffix), 1<<30)
	if err == nil {
		state, err = producerstate.Load(data, s.base, l.producers.expirationMs)
	} else if errors.Is(err, fs.ErrNotExist) && s.base == 0 {
		err = nil
	}
	if err != nil {
		return nil, false, nil //nolint:nilerr // nothing to begin from
	}
	err = walk(0, func(b record.Batch, position int64, h *handle) error {
		if b.BaseOffset() >= s.checked.until {
			return errFound
		}
		if b.IsControl() {
			whole, err := s.readBatch(h, position)
			if err != nil {
				return err
			}
			b = whole
		}
		if done, ended := state.Update(b); ended && done.Aborted {
			want = done.AppendTxnIndexEntry(want)
		}
		return nil
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return want, true, err
}

// replaceAborted puts want in the place of the entries that a segment's index had when it was opened.
func (l *Log) replaceAborted(s *segment, want []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	data, err := vfs.ReadWhole(s.files.fs, s.path(logfiles.TxnIndexSuffix), 1<<30)
	if err != nil {
		return err
	}
	want = append(want, data[min(s.checked.txns, int64(len(data))):]...)
	if err := vfs.Replace(s.files.fs, s.dir, logfiles.SegmentName(s.base, logfiles.TxnIndexSuffix), want); err != nil {
		return err
	}
	s.txns.written = int64(len(want))
	l.store.problem("a transaction index was damaged, and is made anew", fmt.Errorf("%s differs from the markers in the log", s.path(logfiles.TxnIndexSuffix)))
	return nil
}
