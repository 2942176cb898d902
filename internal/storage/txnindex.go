package storage

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/vfs"
)

// txnIndex is a segment's .txnindex: an entry for each aborted transaction whose marker lies in the segment, in the order of the markers
// (producerstate draws it). The file is made with the first entry.
//
// Entries whose markers lie below the recovery point are durable: the round that moves the durable end over a marker syncs its entry. Recovery makes
// those above it anew, from the batches. The log's append lock guards it.
type txnIndex struct {
	written  int64      // bytes of whole entries in the file
	pending  []byte     // entries that the disk has refused so far
	first    ids.Offset // the marker of the first pending one
	unsynced bool

	readers abortedReaders
}

// add notes an aborted transaction; write brings it to the file.
func (x *txnIndex) add(done producerstate.Completed) {
	if len(x.pending) == 0 {
		x.first = done.LastOffset
	}
	x.pending = done.AppendTxnIndexEntry(x.pending)
	x.readers.note(x.pending)
}

// lags tells that the file lacks an entry of a marker below end.
func (x *txnIndex) lags(end ids.Offset) bool { return len(x.pending) > 0 && x.first < end }

// writeAborted brings the pending entries to the file, and tells whether it made the file. After an error they are still pending.
func (s *segment) writeAborted() (made bool, err error) {
	x := &s.txns
	if len(x.pending) == 0 {
		return false, nil
	}
	made = x.written == 0
	if err := vfs.WriteTail(s.files.fs, s.path(logfiles.TxnIndexSuffix), x.written, x.pending, false); err != nil {
		return false, err
	}
	x.written += int64(len(x.pending))
	x.pending, x.unsynced = nil, true
	x.readers.note(nil)
	return made, nil
}

// rebuildAborted makes a segment's .txnindex what it must be after a crash: the entries below point as they are, then those that the replay found. What lies
// above point in the file may be torn, or speak of markers that were lost. A new file's entry in the directory is synced with the batches that it is about.
func (r *recovery) rebuildAborted(s *segment, found []byte) error {
	path := s.path(logfiles.TxnIndexSuffix)
	data, err := vfs.ReadWhole(s.files.fs, path, 1<<30)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rebuild the transaction index: %w", err)
	}
	kept, err := r.goodAborted(s, data)
	if err != nil {
		return fmt.Errorf("rebuild the transaction index: %w", err)
	}
	s.txns.written = kept + int64(len(found))
	if len(found) == 0 && int64(len(data)) == kept {
		return nil
	}
	if err := vfs.WriteTail(s.files.fs, path, kept, found, true); err != nil {
		return fmt.Errorf("rebuild the transaction index: %w", err)
	}
	return nil
}

// goodAborted is how many bytes of a transaction index are entries of markers below the recovery point. One above it may be torn, and look like
// an earlier one; it leads to no marker then. Damage on the way there is an error: what it hides must not count as torn.
func (r *recovery) goodAborted(s *segment, data []byte) (kept int64, err error) {
	for last := s.base - 1; int64(len(data))-kept >= producerstate.TxnIndexEntrySize; kept += producerstate.TxnIndexEntrySize {
		e, err := producerstate.ParseTxnIndexEntry(data[kept:])
		if err != nil || e.LastOffset <= last || e.LastOffset >= r.point {
			return kept, nil //nolint:nilerr // here the good ones end
		}
		marker, _, ok, err := s.holding(e.LastOffset)
		if err != nil {
			return 0, err
		}
		if !ok || marker.BaseOffset() != e.LastOffset || !marker.IsControl() || marker.ProducerID() != e.ProducerID {
			return kept, nil
		}
		last = e.LastOffset
	}
	return kept, nil
}
