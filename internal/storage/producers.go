package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
)

// producers is a log's producer state, made when the first producer appears. Guarded by the append lock.
type producers struct {
	state        *producerstate.State // nil: no producer
	expirationMs int64
}

func (p *producers) ensure() *producerstate.State {
	if p.state == nil {
		p.state = producerstate.New(p.expirationMs)
	}
	return p.state
}

func (p *producers) check(b record.Batch, nowMs int64) (producerstate.Verdict, error) {
	return p.ensure().Check(b, !b.IsControl(), nowMs)
}

// noteProducer records an appended batch, and an aborted transaction in the segment's transaction index.
func (l *Log) noteProducer(s *segment, b record.Batch) {
	done, ended := l.producers.ensure().Update(b)
	if b.IsTransactional() {
		l.noteUnstable()
	}
	if ended && done.Aborted {
		s.txns.add(done)
		l.writeAborted(s)
	}
}

// writeAborted brings a segment's aborted transactions to its transaction index, sooner or later: until then the recovery point waits below them.
func (l *Log) writeAborted(s *segment) {
	made, err := s.writeAborted()
	if err != nil {
		l.store.problem("write the transaction index of "+l.tp.String()+"; it is tried again", err)
	}
	l.newFiles = l.newFiles || made
}

func (l *Log) noteUnstable() {
	first := noUnstable
	if l.producers.state != nil {
		if o, ok := l.producers.state.FirstUnstable(); ok {
			first = int64(o)
		}
	}
	l.firstUnstable.Store(first)
}

// writeSnapshot leaves a producer snapshot at LogEnd; the next round syncs it. Nothing depends on that but the time of a recovery: without it more is
// replayed. Called under the append lock.
func (l *Log) writeSnapshot() {
	end := l.LogEnd()
	if l.lastSnapshot == end || !l.created {
		return
	}
	state := l.producers.state
	if state == nil {
		state = producerstate.New(l.producers.expirationMs)
	}
	path := l.path + "/" + segmentName(end, snapshotSuffix)
	if err := writeWholeFile(l.store.cfg.FS, path, state.Snapshot(), false); err != nil {
		l.store.problem("write producer snapshot "+path, err)
		return
	}
	l.dropSnapshot(l.lastSnapshot)
	l.lastSnapshot, l.sinceSnapshot = end, 0
	l.newSnapshots, l.newFiles = append(l.newSnapshots, end), true
	l.queueForSync()
}

// dropSnapshot removes one that was superseded, unless a segment begins there: that one serves truncation.
func (l *Log) dropSnapshot(at ids.Offset) {
	if at < 0 || slices.ContainsFunc(l.list(), func(s *segment) bool { return s.base == at }) {
		return
	}
	path := l.path + "/" + segmentName(at, snapshotSuffix)
	if err := l.store.cfg.FS.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.store.problem("remove producer snapshot "+path, err)
	}
}

// backfillBytes is how much log below a snapshot is read to find the batches of the producers' windows that the snapshot lacks.
const backfillBytes = 4 << 20

// dropSnapshots removes the snapshots above end and tells whether there were any. Their absence must be durable before the log grows past them again: one
// that came back would speak of batches that were lost.
func (l *Log) dropSnapshots(snapshots []ids.Offset, end ids.Offset) (dropped bool, err error) {
	for _, at := range snapshots {
		if at <= end {
			continue
		}
		dropped = true
		if err := l.store.cfg.FS.Remove(l.path + "/" + segmentName(at, snapshotSuffix)); err != nil {
			return true, fmt.Errorf("remove a producer snapshot of lost batches: %w", err)
		}
	}
	return dropped, nil
}

// loadProducers makes the producer state at LogEnd: the newest valid of the snapshots, and what the log holds since. scanned tells
// that the log's tail was just recovered, so that its transaction index may lack entries.
func (l *Log) loadProducers(snapshots []ids.Offset, scanned bool) error {
	end := l.LogEnd()
	from := l.LogStart()
	l.lastSnapshot = -1
	slices.Sort(snapshots)
	for i := len(snapshots) - 1; i >= 0; i-- {
		at := snapshots[i]
		path := l.path + "/" + segmentName(at, snapshotSuffix)
		if at > end || l.lastSnapshot >= 0 {
			continue
		}
		data, err := readWholeFile(l.store.cfg.FS, path, 1<<30)
		if err != nil {
			return fmt.Errorf("recover producers: %w", err)
		}
		state, err := producerstate.Load(data, at, l.producers.expirationMs)
		if err != nil || at < from {
			l.removeSnapshot(path)
			continue
		}
		l.lastSnapshot, from = at, at
		if state.Len() > 0 {
			l.producers.state = state
		}
	}
	if state := l.producers.state; state != nil && state.WantsBackfill() {
		fill := state.NewBackfill()
		err := l.walkBack(from, backfillBytes, func(b record.Batch) { fill.Add(b) })
		if err != nil {
			return fmt.Errorf("recover producers: %w", err)
		}
		fill.Done()
	}
	if err := l.replayProducers(from, scanned); err != nil {
		return err
	}
	l.noteUnstable()
	return nil
}

func (l *Log) removeSnapshot(path string) {
	if err := l.store.cfg.FS.Remove(path); err != nil {
		l.store.problem("remove unusable producer snapshot "+path, err)
	}
}

// replayProducers updates the state with the batches from offset on.
func (l *Log) replayProducers(from ids.Offset, scanned bool) error {
	segments := l.list()
	for i := max(segmentAt(segments, from), 0); i < len(segments); i++ {
		s := segments[i]
		fresh := scanned && s.base >= from // its transaction index is rebuilt whole
		var aborted []byte
		err := s.walk(s.positionAt(from), func(b record.Batch, position int64, h *handle) error {
			l.sinceSnapshot += int64(record.HeaderSize)
			if b.NextOffset() <= from || !b.HasProducer() {
				return nil
			}
			if b.IsControl() {
				whole, err := s.readBatch(h, position)
				if err != nil {
					return err
				}
				b = whole
			}
			if done, ended := l.producers.ensure().Update(b); ended && done.Aborted {
				aborted = done.AppendTxnIndexEntry(aborted)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("recover producers: %w", err)
		}
		if !fresh || len(aborted) == 0 {
			continue
		}
		if err := writeWholeFile(s.files.fs, s.path(txnIndexSuffix), aborted, false); err != nil {
			return fmt.Errorf("rebuild the transaction index: %w", err)
		}
	}
	return nil
}

// walkBack calls fn for the headers of the batches below end, beginning about maxBytes before it.
func (l *Log) walkBack(end ids.Offset, maxBytes int64, fn func(record.Batch)) error {
	segments := l.list()
	i := segmentAt(segments, end-1)
	for start := i; start >= 0; start-- {
		size := segments[start].size.Load()
		position := int64(0)
		if size > maxBytes {
			position = segments[start].boundaryBelow(size - maxBytes)
		}
		if position == 0 && start > 0 && size < maxBytes {
			maxBytes -= size
			continue
		}
		for ; start <= i; start, position = start+1, 0 {
			err := segments[start].walk(position, func(b record.Batch, _ int64, _ *handle) error {
				if b.NextOffset() <= end {
					fn(b)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

// walk calls fn for each published batch's header from position on.
func (s *segment) walk(position int64, fn func(b record.Batch, position int64, h *handle) error) error {
	if s.size.Load() == 0 {
		return nil
	}
	h, err := s.open(readWrite)
	if err != nil {
		return err
	}
	defer h.release()
	w := newWalker(h.file, s.size.Load())
	defer w.close()
	for position < w.end {
		head, size, err := w.header(position)
		if err != nil {
			return s.damaged(position, err)
		}
		if err := fn(head, position, h); err != nil {
			return err
		}
		position += size
	}
	return nil
}

// readBatch reads the whole batch at position.
func (s *segment) readBatch(h *handle, position int64) (record.Batch, error) {
	w := newWalker(h.file, s.size.Load())
	defer w.close()
	_, size, err := w.header(position)
	if err != nil {
		return nil, s.damaged(position, err)
	}
	data := make([]byte, size)
	if err := readFull(h.file, data, position); err != nil {
		return nil, s.damaged(position, err)
	}
	return data, nil
}
