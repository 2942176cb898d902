package machine

import (
	"errors"
	"fmt"
	"io"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
)

// load makes a machine from the newest readable snapshot and the log after it.
func (r *Runtime[M]) load() error {
	m, from, err := r.restore()
	if err != nil {
		return err
	}
	start, end := r.cfg.Log.Bounds()
	switch {
	case from.End < start:
		return fmt.Errorf("%w: %s begins at offset %d, and the newest readable snapshot ends at %d", ErrUnreadable, r.cfg.Name, start, from.End)
	case from.End > end:
		return fmt.Errorf("%w: a snapshot of %s ends at offset %d, and the log already at %d: its files were lost or replaced", ErrUnreadable, r.cfg.Name, from.End, end)
	}
	r.end, r.epoch, r.tail = from.End, from.Epoch, 0
	batches := 0
	for r.end < end {
		data, err := r.cfg.Log.Read(r.end)
		if err != nil {
			return fmt.Errorf("read %s from offset %d: %w", r.cfg.Name, r.end, err)
		}
		if len(data) == 0 { // compaction left nothing up to the end
			if err := m.Apply(nil, end, max(r.epoch, 0)); err != nil {
				return fmt.Errorf("%w: %s at offset %d: %w", ErrUnreadable, r.cfg.Name, end, err)
			}
			r.end = end
			break
		}
		n, err := r.replay(m, data)
		if err != nil {
			return err
		}
		batches += n
	}
	r.machine, r.loaded = m, true
	if timed, ok := any(m).(Timed); ok {
		timed.Loaded(r.moment())
	}
	if r.cfg.Events.Loaded != nil {
		r.cfg.Events.Loaded(from, batches, r.end)
	}
	return nil
}

// restore reads the newest snapshot that can be read.
func (r *Runtime[M]) restore() (m M, from SnapshotID, err error) {
	if r.cfg.Snapshots == nil {
		return r.cfg.New(), SnapshotID{}, nil
	}
	all, err := r.cfg.Snapshots.List()
	if err != nil {
		return m, SnapshotID{}, fmt.Errorf("list the snapshots of %s: %w", r.cfg.Name, err)
	}
	for _, id := range all {
		m = r.cfg.New()
		if err := r.read(any(m).(Snapshotter), id); err != nil {
			if r.cfg.Events.SnapshotBad != nil {
				r.cfg.Events.SnapshotBad(id, err)
			}
			continue
		}
		return m, id, nil
	}
	return r.cfg.New(), SnapshotID{}, nil
}

func (r *Runtime[M]) read(m Snapshotter, id SnapshotID) error {
	file, err := r.cfg.Snapshots.Open(id)
	if err != nil {
		return err
	}
	return errors.Join(m.Restore(file, id), file.Close())
}

// replay applies the batches in data that the machine does not hold yet.
func (r *Runtime[M]) replay(m M, data []byte) (batches int, err error) {
	for len(data) > 0 {
		var b record.Batch
		if b, data, err = record.Next(data); errors.Is(err, record.ErrTruncated) && batches > 0 {
			return batches, nil // cut off by the size of the read: it comes whole with the next one
		} else if err != nil {
			return batches, fmt.Errorf("%w: %s after offset %d: %w", ErrUnreadable, r.cfg.Name, r.end, err)
		}
		if b.NextOffset() <= r.end {
			continue // before the offset asked for, or already in the snapshot
		}
		records, err := recordsOf(b, r.end)
		if err == nil {
			err = m.Apply(records, b.NextOffset(), b.LeaderEpoch())
		}
		if err != nil {
			return batches, fmt.Errorf("%w: %s at offset %d: %w", ErrUnreadable, r.cfg.Name, b.BaseOffset(), err)
		}
		r.end, r.epoch = b.NextOffset(), b.LeaderEpoch()
		r.tail += int64(len(b))
		batches++
	}
	if batches == 0 {
		return 0, fmt.Errorf("%w: %s has no batch at or above offset %d", ErrUnreadable, r.cfg.Name, r.end)
	}
	return batches, nil
}

// recordsOf are a batch's records at or above from. Of control batches a machine sees only the ends of transactions.
func recordsOf(b record.Batch, from ids.Offset) ([]Record, error) {
	if b.ComputeCRC() != b.CRC() {
		return nil, fmt.Errorf("checksum is %#x, the header says %#x", b.ComputeCRC(), b.CRC())
	}
	it := b.Records(record.Limits{})
	defer it.Close()
	records := make([]Record, 0, min(int(b.Count()), len(b)))
	for it.Next() {
		got := it.Record()
		if got.Offset < from {
			continue
		}
		r := Record{Offset: got.Offset, TimestampMs: got.TimestampMs}
		switch {
		case b.IsControl():
			state, err := endOfTransaction(got.Key)
			if err != nil {
				return nil, err
			}
			if state == NoTransaction {
				continue
			}
			r.Transaction = Transaction{b.ProducerID(), state}
		case b.IsTransactional():
			r.Transaction = Transaction{b.ProducerID(), TransactionOpen}
			fallthrough
		default:
			r.Key, r.Value = clone(got.Key), clone(got.Value)
		}
		records = append(records, r)
	}
	return records, it.Err()
}

// endOfTransaction is what a control record says about a transaction, if anything.
func endOfTransaction(key []byte) (TransactionState, error) {
	t, err := record.ParseControlKey(key)
	switch {
	case err != nil:
		return NoTransaction, err
	case t == record.ControlCommit:
		return TransactionCommitted, nil
	case t == record.ControlAbort:
		return TransactionAborted, nil
	}
	return NoTransaction, nil
}

// clone copies, because an iterator over a compressed batch reuses its memory; nil stays nil.
func clone(p []byte) []byte {
	if p == nil {
		return nil
	}
	return append([]byte{}, p...)
}

// snapshotIfDue stores a snapshot on another goroutine if the log since the last one is long, or it is old. It is called
// when all that the machine holds is committed.
func (r *Runtime[M]) snapshotIfDue() {
	if r.cfg.Snapshots == nil || r.tail == 0 {
		return
	}
	nowMs := r.cfg.Env.Now().UnixMilli()
	old := r.cfg.SnapshotMs > 0 && nowMs-r.lastSnapshotMs >= r.cfg.SnapshotMs
	if r.tail < r.cfg.SnapshotBytes && !old {
		return
	}
	r.mu.Lock()
	busy := r.snapshotting
	r.snapshotting = true
	r.mu.Unlock()
	if busy {
		return
	}
	id, write := r.snapshot()
	if write == nil || !r.group.Go("snapshot of "+r.cfg.Name, func() { r.store(id, write) }) {
		r.mu.Lock()
		r.snapshotting = false
		r.mu.Unlock()
		return
	}
	r.tail, r.lastSnapshotMs = 0, nowMs
}

func (r *Runtime[M]) snapshot() (SnapshotID, func(io.Writer) error) {
	return SnapshotID{End: r.end, Epoch: max(r.epoch, 0)}, any(r.machine).(Snapshotter).Snapshot()
}

func (r *Runtime[M]) store(id SnapshotID, write func(io.Writer) error) {
	err := r.cfg.Snapshots.Create(id, write)
	r.mu.Lock()
	r.snapshotting = false
	r.mu.Unlock()
	switch {
	case err != nil && r.cfg.Events.SnapshotFailed != nil:
		r.cfg.Events.SnapshotFailed(id, err)
	case err == nil && r.cfg.Events.SnapshotStored != nil:
		r.cfg.Events.SnapshotStored(id)
	}
	r.work.Set() // finish may be waiting
}

// finish stores the last snapshot, if that is worth it, so that the next start need not replay.
func (r *Runtime[M]) finish() {
	for {
		r.mu.Lock()
		busy := r.snapshotting
		r.mu.Unlock()
		if !busy {
			break
		}
		r.work.Wait()
	}
	if r.cfg.Snapshots == nil || !r.loaded || r.tail < r.cfg.SnapshotCloseBytes {
		return
	}
	if id, write := r.snapshot(); write != nil {
		r.store(id, write)
	}
}
