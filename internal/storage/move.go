package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla-io/ottla/internal/background"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/manifest"
	"github.com/ottla-io/ottla/internal/vfs"
)

// A log moves to another directory of its broker (KIP-113) in steps, each durable before the next:
//
//	1  a row in the new directory's ottla.moves names the move           a crash up to 4: the start removes the copy, the row says where
//	2  TOPIC-P.UUID-future holds all but the log's last bytes            it lies, and the log is where it was
//	3  the owner lets nothing be appended: the rest follows, is synced,
//	   and the new directory's checkpoints speak of the log
//	4  the copy is renamed to TOPIC-P                                    a crash: both are there and the same; the row says which goes
//	5  the old TOPIC-P is renamed to TOPIC-P.UUID-delete                 a crash: the copy is the log
//	6  the owner takes the new log; the row goes
//
// So whatever was acknowledged lies, at every moment, in the directory that a start would take: before 5 nothing is appended to the copy, after 5 nothing to
// the original. Files are copied as they are: offsets, what compaction left out, indexes, and producers' snapshots.

// Move is the move of one log, from Store.MoveLog until Log.Err of the old one is ErrClosed, or it is over without.
type Move struct {
	store *Store
	log   *Log
	to    *directory
	ready func(*Move)
	path  string // of the copy, until it has the log's own name

	cancelled atomic.Bool
	bytes     atomic.Int64 // that were copied
	end       atomic.Int64 // offsets below it were

	// Only the job uses these, and Finish, which it calls.
	made   bool
	copied map[*segment]*copiedSegment
	buf    []byte
	over   bool
	// admitted: the new directory's checkpoints speak of the log.
	admitted bool
}

// copiedSegment is how much of a segment is in the copy.
type copiedSegment struct {
	file   vfs.File // nil once it is whole
	bytes  int64
	sealed bool // with its indexes, and synced
}

const (
	moveChunk = 128 << 10
	// moveTail is the most that is left to be copied while nothing is appended.
	moveTail = 256 << 10
	// moveRetry is when a move that has no room goes on.
	moveRetry = time.Second
)

// MoveState tells how far a move is.
type MoveState struct {
	Topic ids.TopicPartition
	To    ids.DirectoryID
	Bytes int64      // of the copy
	Lag   ids.Offset // offsets that it has not yet
}

// moves are the moves under way, as a job of the background work.
type moves struct {
	store *Store
	task  *background.Task
	mu    sync.Mutex // guards the list; held for memory only
	list  []*Move
}

// MoveLog begins to move a log to another directory, in the background. When all but its last bytes are copied, ready is called, without locks: it is to keep
// appends off, call Finish, and use what that returns. A move of the log that is under way to another place is given up; to the log's own directory nothing is
// moved. Errors: ErrNoDirectory, *OfflineError if the directory is, ErrClosed.
func (s *Store) MoveLog(l *Log, path string, ready func(*Move)) error {
	at := slices.IndexFunc(s.dirs, func(d *directory) bool { return d.path == path && !d.onlyMetadata })
	if at < 0 {
		return ErrNoDirectory
	}
	to := s.dirs[at]
	if err := errors.Join(to.err(), l.Err()); err != nil {
		return err
	}
	m := &s.moves
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, other := range m.list {
		if other.log == l && !other.cancelled.Load() {
			if other.to == to {
				return nil
			}
			other.cancelled.Store(true)
		}
	}
	if to != l.dir {
		id := s.randomUUID()
		m.list = append(m.list, &Move{store: s, log: l, to: to, ready: ready, path: to.path + "/" + logfiles.DiscardedName(l.tp, id, logfiles.FutureDirSuffix),
			copied: make(map[*segment]*copiedSegment)})
	}
	s.work.Wake(m.task, 0)
	return nil
}

// Moves tells which moves are under way.
func (s *Store) Moves() []MoveState {
	s.moves.mu.Lock()
	defer s.moves.mu.Unlock()
	var out []MoveState
	for _, m := range s.moves.list {
		if !m.cancelled.Load() {
			out = append(out, MoveState{m.log.tp, m.to.id, m.bytes.Load(), m.log.LogEnd() - max(ids.Offset(m.end.Load()), m.log.LogStart())})
		}
	}
	return out
}

// step goes on with the first move that can: one after the other, they are no faster side by side on one disk.
func (j *moves) Step(s *background.Slice) time.Duration {
	j.mu.Lock()
	list := slices.Clone(j.list)
	j.mu.Unlock()
	next := background.Never
	for _, m := range list {
		wait := m.step(s)
		if m.over {
			j.mu.Lock()
			j.list = slices.DeleteFunc(j.list, func(other *Move) bool { return other == m })
			j.mu.Unlock()
			wait = 0
		}
		if wait == 0 {
			return 0
		}
		next = min(next, j.store.env().Monotonic()+wait)
	}
	return next
}

// step does a bounded piece of one move, and tells how long to wait with the next.
func (m *Move) step(s *background.Slice) time.Duration {
	if m.cancelled.Load() || m.log.Err() != nil || m.to.err() != nil {
		m.abandon()
		return 0
	}
	if m.to.measure(); m.to.room() != nil {
		return moveRetry
	}
	behind, err := m.copy(s)
	switch {
	case errors.Is(err, errGone): // retention or compaction took a segment: the next step looks again
	case err != nil:
		m.fail(err)
	case !behind:
		m.ready(m)
		if !m.over {
			m.abandon()
		}
	}
	return 0
}

// fail gives a move up. The log stays where it is.
func (m *Move) fail(err error) {
	var there *copyError
	if errors.As(err, &there) && blamesDisk(err) {
		m.to.fail(err)
	}
	if !errors.Is(err, errCancelled) {
		m.store.problem("move "+m.log.tp.String()+" to "+m.to.path+": it stays where it is", err)
	}
	m.abandon()
}

// abandon removes the copy. What cannot be removed keeps its row, so that the next start does.
func (m *Move) abandon() {
	m.over = true
	for _, c := range m.copied {
		c.close() //nolint:errcheck // nobody needs it any more
	}
	if !m.made || m.to.err() != nil {
		return
	}
	fsys, mine := m.store.cfg.FS, func(tp ids.TopicPartition) bool { return tp == m.log.tp }
	err := fsys.RemoveAll(m.path)
	if err == nil {
		err = fsys.SyncDir(m.to.path)
	}
	if err == nil && m.admitted {
		err = m.to.forget(mine)
	}
	if err != nil {
		m.to.forgetLater(map[ids.TopicPartition]bool{m.log.tp: true})
		m.store.problem("remove "+m.path, err)
		return
	}
	m.forget()
}

// copyError is a failure of the directory that a log moves to.
type copyError struct{ err error }

func (e *copyError) Error() string { return "write the copy: " + e.err.Error() }
func (e *copyError) Unwrap() error { return e.err }

func copying(err error) error {
	if err == nil {
		return nil
	}
	return &copyError{err}
}

var errCancelled = errors.New("the move was cancelled")

// forget takes the move's row away.
func (m *Move) forget() {
	if err := m.to.setMove(m.log.tp, logfiles.MoveRow{}); err != nil {
		m.store.problem("write "+logfiles.Moves+" in "+m.to.path, err)
	}
}

func (c *copiedSegment) close() error {
	if c.file == nil {
		return nil
	}
	f := c.file
	c.file = nil
	return f.Close()
}

// make is step 1, and the copy's directory.
func (m *Move) make() error {
	if m.made {
		return nil
	}
	if err := m.to.setMove(m.log.tp, logfiles.MoveRow{From: m.log.dir.id, Copy: m.path[len(m.to.path)+1:]}); err != nil {
		return err
	}
	m.made, m.buf = true, make([]byte, moveChunk)
	if err := m.store.cfg.FS.MkdirAll(m.path); err != nil {
		return copying(err)
	}
	return copying(vfs.WriteWhole(m.store.cfg.FS, m.path+"/"+logfiles.PartitionMetadata, logfiles.EncodePartitionMetadata(m.log.id), true))
}

// copy brings the copy up to the log, within the slice if there is one. behind: there is more than the last bytes to copy.
func (m *Move) copy(s *background.Slice) (behind bool, err error) {
	l := m.log
	l.mu.Lock()
	segments, end, created := l.list(), l.LogEnd(), l.created
	l.mu.Unlock()
	if !created {
		return false, nil
	}
	if err := m.make(); err != nil {
		return false, err
	}
	if err := m.drop(segments); err != nil {
		return false, err
	}
	for i, seg := range segments {
		last := i+1 == len(segments)
		if more, err := m.copySegment(seg, seg.size.Load(), s); more || err != nil {
			return true, err
		}
		if c := m.copied[seg]; !last && !c.sealed {
			seal := m.seal
			if s == nil {
				seal = m.sealNamed // by Finish, which holds naming
			}
			if err := seal(seg); err != nil {
				return true, err
			}
			c.sealed = true
		}
		if !last {
			m.end.Store(int64(segments[i+1].base))
		}
	}
	m.end.Store(int64(end))
	now := l.list()
	if len(now) == 0 {
		return false, nil
	}
	active := now[len(now)-1]
	c := m.copied[active]
	return c == nil || active.size.Load()-c.bytes > moveTail, nil
}

// drop removes from the copy what the log has no more.
func (m *Move) drop(segments []*segment) error {
	for seg, c := range m.copied {
		if slices.Contains(segments, seg) {
			continue
		}
		c.close() //nolint:errcheck // the file goes
		for _, suffix := range logfiles.SegmentSuffixes {
			if err := m.store.cfg.FS.Remove(m.path + "/" + logfiles.SegmentName(seg.base, suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return copying(err)
			}
		}
		m.bytes.Add(-c.bytes)
		delete(m.copied, seg)
	}
	return nil
}

// copySegment copies a segment's bytes up to size. more: the slice is over.
func (m *Move) copySegment(seg *segment, size int64, s *background.Slice) (more bool, err error) {
	c := m.copied[seg]
	if c == nil {
		c = new(copiedSegment)
		if c.file, err = openFile(m.store.cfg.FS, m.path+"/"+logfiles.SegmentName(seg.base, logfiles.LogSuffix), createNew); err != nil {
			return false, copying(err)
		}
		m.copied[seg] = c
	}
	if c.bytes >= size {
		return false, nil
	}
	h, err := seg.open(readWrite)
	if err != nil {
		return false, err
	}
	defer h.release()
	for c.bytes < size {
		chunk := m.buf[:min(int64(len(m.buf)), size-c.bytes)]
		if err := vfs.ReadFull(h.file, chunk, c.bytes); err != nil {
			return false, fmt.Errorf("read %s: %w", seg.path(logfiles.LogSuffix), err)
		}
		n, err := c.file.WriteAt(chunk, c.bytes)
		if err == nil && n < len(chunk) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return false, copying(err)
		}
		c.bytes += int64(n)
		m.bytes.Add(int64(n))
		if s == nil {
			continue
		}
		if s.Spend(int64(2 * n)); s.Over() && c.bytes < size {
			return true, nil
		}
	}
	return false, nil
}

// seal syncs a segment that is copied whole, and copies what lies beside it.
func (m *Move) seal(seg *segment) error {
	m.log.naming.Lock()
	defer m.log.naming.Unlock()
	return m.sealNamed(seg)
}

// sealNamed is seal; the caller holds naming.
func (m *Move) sealNamed(seg *segment) error {
	if !slices.Contains(m.log.list(), seg) {
		return errGone
	}
	for _, suffix := range []string{logfiles.IndexSuffix, logfiles.TimeIndexSuffix, logfiles.TxnIndexSuffix, logfiles.SnapshotSuffix} {
		from := seg.path(suffix)
		if suffix == logfiles.SnapshotSuffix {
			from = m.log.path + "/" + logfiles.SegmentName(seg.base, suffix)
		}
		if err := m.copyFile(from, logfiles.SegmentName(seg.base, suffix)); err != nil {
			return err
		}
	}
	c := m.copied[seg]
	if c.file == nil {
		return nil
	}
	if err := c.file.Sync(); err != nil {
		return copying(err)
	}
	return copying(c.close())
}

// copyFile copies a small file, if there is one, durably but for its name.
func (m *Move) copyFile(from, name string) error {
	data, err := vfs.ReadWhole(m.store.cfg.FS, from, 1<<30)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return copying(vfs.WriteWhole(m.store.cfg.FS, m.path+"/"+name, data, true))
}

// Finish is steps 3 to 5, and gives the new log, which has what the old one had; the old one is closed then. It blocks on the disks. Its caller keeps appends off
// until it uses the new log, and calls Done after. After an error the old log serves on, or Err says why it does not.
func (m *Move) Finish() (*Log, error) {
	l := m.log
	l.naming.Lock()
	l.setTruncating(true)
	l.truncations.Add(1) // what a checkpoint or a flush round that is under way knows of the log counts no more
	fresh, err := m.finish()
	l.naming.Unlock()
	if err == nil {
		m.over = true
		l.discardMemory()
	}
	l.setTruncating(false)
	l.truncations.Add(1)
	if err != nil {
		m.fail(err)
		l.queueForSync()
		return nil, err
	}
	return fresh, nil
}

// Done tells those who wait for the old log that it is over, and takes the row away. No lock may be held.
func (m *Move) Done() {
	m.log.notify()
	if m.made {
		m.forget()
	}
}

func (m *Move) finish() (*Log, error) {
	l, s := m.log, m.store
	if err := errors.Join(l.Err(), m.to.err()); err != nil {
		return nil, err
	}
	if m.cancelled.Load() {
		return nil, errCancelled
	}
	if err := m.to.freeName(l.tp); err != nil {
		return nil, err
	}
	fresh := s.newLog(m.to, l.tp, l.id, l.Config())
	fresh.highWatermark.Store(l.highWatermark.Load())
	if !l.created {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.forgetIn(l.dir, l.tp)
		s.logs[l.tp] = fresh
		m.to.logs++
		return fresh, nil
	}
	if err := m.copyRest(); err != nil {
		return nil, err
	}
	named := m.to.path + "/" + l.tp.String()
	if err := s.cfg.FS.Rename(m.path, named); err != nil {
		return nil, copying(err)
	}
	m.path = named // what abandon removes
	if err := s.cfg.FS.SyncDir(m.to.path); err != nil {
		return nil, copying(err)
	}
	fresh.created = true
	from := []doomedLog{{tp: l.tp}}
	err := m.open(fresh)
	if err == nil {
		err = errors.Join(l.dir.discard(from, logfiles.DeleteDirSuffix), l.dir.err())
	}
	if err != nil {
		fresh.discardMemory()
		return nil, err
	}
	if from[0].path != "" {
		s.work.discard(l.dir.deleteDelay(l.Config()), from[0].path)
	}
	s.mu.Lock()
	s.logs[l.tp] = fresh
	m.to.logs++
	s.mu.Unlock()
	return fresh, nil
}

// open recovers the copy, as a start would.
func (m *Move) open(fresh *Log) error {
	l := m.log
	r := &recovery{log: fresh, point: l.LogEnd(), start: l.LogStart(), gaps: m.to.mayHaveGaps(fresh)}
	if err := fresh.asCorrupt(r.run(false), l.LogStart()); err != nil {
		return err
	}
	if fresh.LogEnd() != l.LogEnd() || fresh.LogStart() != l.LogStart() {
		return fmt.Errorf("the copy has offsets %d to %d, the log %d to %d", fresh.LogStart(), fresh.LogEnd(), l.LogStart(), l.LogEnd())
	}
	return nil
}

// copyRest is step 3. The caller holds naming, and nothing is appended.
func (m *Move) copyRest() error {
	l := m.log
	l.mu.Lock()
	l.writeSnapshot(false)
	active := l.active()
	var spilled error
	if active != nil {
		spilled = active.spillIndexes(false)
	}
	for _, s := range l.unsynced {
		l.writeAborted(s)
	}
	entries, _ := l.epochs.Snapshot()
	end, start, last := l.LogEnd(), l.LogStart(), l.lastSnapshot
	var mark durableMark
	if active != nil {
		mark = active.mark(end)
	}
	l.mu.Unlock()
	if spilled != nil {
		return spilled
	}
	if active != nil && len(active.txns.pending) > 0 {
		return errors.New("its transaction index could not be written")
	}
	if _, err := m.copy(nil); err != nil {
		return err
	}
	if active != nil {
		if err := m.sealNamed(active); err != nil {
			return err
		}
	}
	if last >= 0 {
		name := logfiles.SegmentName(last, logfiles.SnapshotSuffix)
		if err := m.copyFile(l.path+"/"+name, name); err != nil {
			return err
		}
	}
	if err := vfs.WriteWhole(m.store.cfg.FS, m.path+"/"+logfiles.Epochs, logfiles.EncodeEpochs(entries), true); err != nil {
		return copying(err)
	}
	if err := m.store.cfg.FS.SyncDir(m.path); err != nil {
		return copying(err)
	}
	m.admitted = true
	return m.to.admit(l, start, end, mark)
}

// admit makes the checkpoints of a directory speak of a log that moves in, all of which is durable there.
func (d *directory) admit(l *Log, start, end ids.Offset, mark durableMark) error {
	dirty, compacted := l.dir.firstDirty(l.tp)
	if !compacted && l.dir.cleanedLost {
		dirty, compacted = start, true
	}
	return d.writing(func() error {
		for _, c := range []struct {
			name string
			have *logfiles.OffsetCheckpoint
			at   ids.Offset
			ok   bool
		}{{logfiles.CleanerOffsets, &d.cleaned, dirty, compacted}, {logfiles.LogStarts, &d.starts, start, true}, {logfiles.RecoveryPoints, &d.recovery, end, true},
			{logfiles.HighWatermarks, &d.watermarks, l.HighWatermark(), l.HighWatermark() >= 0}} {
			want := maps.Clone(*c.have)
			if delete(want, l.tp); c.ok {
				want[l.tp] = c.at
			}
			if err := d.write(c.name, c.have, want); err != nil {
				return err
			}
		}
		timestamps := maps.Clone(d.largest)
		if delete(timestamps, l.tp); mark.far {
			timestamps[l.tp] = manifest.Largest{ID: l.id, Base: mark.segment.base, Point: end, Timestamp: mark.timestamp, Offset: mark.offset}
		}
		return d.writeLargest(timestamps)
	})
}
