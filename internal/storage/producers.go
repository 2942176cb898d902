package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/vfs"
)

// producers is a log's producer state, made when the first producer appears. Guarded by the append lock.
type producers struct {
	state        *producerstate.State // nil: no producer, or unread
	expirationMs int64
	// unread: the state lies in the snapshot at Log.lastSnapshot and was not needed yet. No transaction is open, and no producer has appended since.
	unread bool
	// fillBelow: windows may lack batches from below this offset, and are filled up before the next batch is checked. 0: they don't.
	fillBelow ids.Offset
}

// SetProducerExpiration changes producer.id.expiration.ms. It counts from the next look at idle producers.
func (s *Store) SetProducerExpiration(ms int64) { s.producerExpirationMs.Store(ms) }

func (p *producers) ensure() *producerstate.State {
	if p.state == nil {
		p.state = producerstate.New(p.expirationMs)
	}
	return p.state
}

func (p *producers) check(b record.Batch, nowMs int64) (producerstate.Verdict, error) {
	return p.ensure().Check(b, !b.IsControl(), nowMs)
}

// Producers are the producers that the log remembers, by id.
func (l *Log) Producers() []producerstate.Producer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.readProducers(); err != nil {
		l.store.problem("read the producers of "+l.tp.String(), err)
	}
	if l.producers.state == nil {
		return nil
	}
	return l.producers.state.Producers()
}

// readProducers makes the state whole, of which a start leaves on disk what it can. Called under the append lock, before the state is used.
func (l *Log) readProducers() error {
	if l.producers.unread {
		if err := l.readSnapshot(); err != nil {
			return fmt.Errorf("read the producers of %s: %w", l.tp, err)
		}
		l.producers.unread = false
	}
	if below := l.producers.fillBelow; below > 0 {
		fill := l.producers.state.NewBackfill()
		if err := l.walkBack(below, backfillBytes, func(b record.Batch) { fill.Add(b) }); err != nil {
			return fmt.Errorf("read the producers of %s: %w", l.tp, err)
		}
		fill.Done()
		l.producers.fillBelow = 0
	}
	return nil
}

// readSnapshot loads what the manifest left unread.
func (l *Log) readSnapshot() error {
	entries, err := l.store.cfg.FS.List(l.path)
	if err != nil {
		return err
	}
	l.producers.state = nil // what an attempt that failed may have left
	r := &recovery{log: l, point: l.LogEnd()}
	for _, e := range entries {
		if at, ok := logfiles.ParseSegmentName(e.Name, logfiles.SnapshotSuffix); ok && e.Size > 0 && at <= l.LogEnd() {
			r.snapshots = append(r.snapshots, at)
		}
	}
	return r.loadProducers()
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

// writeSnapshot leaves a producer snapshot at LogEnd; the next round syncs it, if durably. Nothing depends on that but the time of a recovery: without it more
// is replayed. The one before stays, since this one may be above the recovery point for a while. Called under the append lock.
func (l *Log) writeSnapshot(durably bool) {
	end := l.LogEnd()
	if !l.created {
		return
	}
	if l.lastSnapshot == end { // by a clean stop, perhaps, which does not sync it
		l.newSnapshots = append(l.newSnapshots, end)
		return
	}
	if err := l.readProducers(); err != nil {
		l.store.problem("write a producer snapshot", err)
		return
	}
	state := l.producers.state
	if state == nil {
		state = producerstate.New(l.producers.expirationMs)
	}
	path := l.path + "/" + logfiles.SegmentName(end, logfiles.SnapshotSuffix)
	if err := vfs.WriteWhole(l.store.cfg.FS, path, state.Snapshot(), false); err != nil {
		l.store.problem("write producer snapshot "+path, err)
		return
	}
	l.dropSnapshot(l.olderSnapshot)
	l.olderSnapshot, l.lastSnapshot, l.sinceSnapshot = l.lastSnapshot, end, 0
	if durably {
		l.newSnapshots, l.newFiles = append(l.newSnapshots, end), true
		l.queueForSync()
	}
}

// dropSnapshot removes one that was superseded, unless a segment begins there: that one serves truncation.
func (l *Log) dropSnapshot(at ids.Offset) {
	if at < 0 || slices.ContainsFunc(l.list(), func(s *segment) bool { return s.base == at }) {
		return
	}
	path := l.path + "/" + logfiles.SegmentName(at, logfiles.SnapshotSuffix)
	if err := l.store.cfg.FS.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.store.problem("remove producer snapshot "+path, err)
	}
}

// backfillBytes is how much log below a snapshot is read to find the batches of the producers' windows that the snapshot lacks.
const backfillBytes = 4 << 20

// dropSnapshots removes the snapshots above end. Their absence must be durable before the log grows past them again: one that came back would speak of batches
// that were lost.
func (r *recovery) dropSnapshots(end ids.Offset) error {
	kept := r.snapshots[:0]
	for _, at := range r.snapshots {
		if at <= end {
			kept = append(kept, at)
			continue
		}
		r.changed = true
		if err := r.log.store.cfg.FS.Remove(r.log.path + "/" + logfiles.SegmentName(at, logfiles.SnapshotSuffix)); err != nil {
			return fmt.Errorf("remove a producer snapshot of lost batches: %w", err)
		}
	}
	r.snapshots = kept
	return nil
}

// loadProducers makes the producer state at LogEnd: the newest valid of the snapshots, and what the log holds since. After a scan it begins at or below the
// recovery point, because the transaction indexes are made anew from there. The snapshots that nobody needs become leftovers.
func (r *recovery) loadProducers() error {
	l := r.log
	limit, from := l.LogEnd(), l.LogStart()
	if segments := l.list(); len(segments) > 0 {
		from = segments[0].base // the producers of deleted records are known for as long as the records are there
	}
	if r.scanned {
		limit = min(limit, r.point)
	}
	l.lastSnapshot = -1
	slices.Sort(r.snapshots)
	for _, at := range slices.Backward(r.snapshots) {
		needed := slices.ContainsFunc(l.list(), func(s *segment) bool { return s.base == at })
		if l.lastSnapshot >= 0 || at > limit && !needed {
			if !needed {
				r.leftovers = append(r.leftovers, l.path+"/"+logfiles.SegmentName(at, logfiles.SnapshotSuffix))
			}
			continue
		}
		state, err := r.loadSnapshot(at)
		if err != nil {
			return fmt.Errorf("recover producers: %w", err)
		}
		if state == nil || at < from {
			r.leftovers = append(r.leftovers, l.path+"/"+logfiles.SegmentName(at, logfiles.SnapshotSuffix))
		} else if at <= limit {
			l.lastSnapshot, from = at, at
			if state.Len() > 0 {
				l.producers.state = state
			}
		}
	}
	if state := l.producers.state; state != nil && state.WantsBackfill() {
		l.producers.fillBelow = from
	}
	if err := r.replayProducers(from); err != nil {
		return fmt.Errorf("recover producers: %w", err)
	}
	if state := l.producers.state; state != nil {
		state.SetHighWatermark(min(l.HighWatermark(), l.LogEnd())) // who learns that it is this one already tells nobody
	}
	l.noteUnstable()
	return nil
}

// loadSnapshot reads a snapshot, nil if it is damaged. One at or above the recovery point may not be durable yet.
func (r *recovery) loadSnapshot(at ids.Offset) (*producerstate.State, error) {
	l := r.log
	path := l.path + "/" + logfiles.SegmentName(at, logfiles.SnapshotSuffix)
	data, err := vfs.ReadWhole(l.store.cfg.FS, path, 1<<30)
	if err != nil {
		return nil, err
	}
	state, err := producerstate.Load(data, at, l.producers.expirationMs)
	if err != nil {
		return nil, nil //nolint:nilerr // a damaged snapshot costs time, nothing else
	}
	switch {
	case !r.scanned || at < r.point:
	case l.LogEnd() > r.point && !r.mayWait:
		r.unsynced = true
		if err := l.dir.flusher.syncOne(&syncItem{path: path}); err != nil {
			return nil, r.failed(err)
		}
	default: // the next round does it: the log was at rest, and starting with it must cost no sync, or its owner doesn't count on one
		l.newSnapshots = append(l.newSnapshots, at)
	}
	return state, nil
}

// replayProducers updates the state with the batches from offset on.
func (r *recovery) replayProducers(from ids.Offset) error {
	l := r.log
	segments := l.list()
	rebuild := max(segmentAt(segments, r.point), 0)
	for i := max(segmentAt(segments, from), 0); i < len(segments); i++ {
		s := segments[i]
		var aborted []byte
		start, err := s.seek(from)
		if err != nil {
			return err
		}
		err = s.walk(start, func(b record.Batch, position int64, h *handle) error {
			if size, err := record.FrameSize(b); err == nil {
				l.sinceSnapshot += int64(size)
			}
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
			if done, ended := l.producers.ensure().Update(b); ended && done.Aborted && done.LastOffset >= r.point {
				aborted = done.AppendTxnIndexEntry(aborted)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if !r.scanned || i < rebuild {
			continue
		}
		if err := r.rebuildAborted(s, aborted); err != nil {
			return err
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

// seek is the position of the first batch that ends above offset, or the segment's end.
func (s *segment) seek(offset ids.Offset) (int64, error) {
	if offset <= s.base || s.size.Load() == 0 {
		return 0, nil
	}
	h, err := s.open(readWrite)
	if err != nil {
		return 0, err
	}
	defer h.release()
	p, _, err := s.find(h, s.positionAt(offset), offset)
	return p.position, err
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
	if err := vfs.ReadFull(h.file, data, position); err != nil {
		return nil, s.damaged(position, err)
	}
	if b := record.Batch(data); b.CRC() != b.ComputeCRC() {
		return nil, s.damaged(position, fmt.Errorf("%w: its checksum is wrong", errTorn))
	}
	return data, nil
}
