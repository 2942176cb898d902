package storage

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/vfs"
)

// Appended is where a batch went.
type Appended struct {
	BaseOffset, LastOffset ids.Offset
	// LogAppendTimeMs is the batch's time if its timestamps are of the append, else -1, as Produce answers.
	LogAppendTimeMs int64
	// Duplicate: the producer sent this batch before; the offsets are those of the first time. It may not be durable yet.
	Duplicate bool
}

// Append writes one validated batch and patches its base offset and epoch in place. On any error the log is as it was before,
// or Err says that it no longer serves.
//
// Errors: those of producerstate; ErrStaleEpoch; *OfflineError; vfs.ErrNoSpace and *LowSpaceError, wrapped, after which reads
// go on and later appends may succeed; ErrClosed.
func (l *Log) Append(b record.Batch, epoch ids.LeaderEpoch, nowMs int64) (Appended, error) {
	l.dir.noteAppended(len(b))
	l.mu.Lock()
	rolledTo, appended, err := l.appendOne(b, epoch, nowMs)
	spare := err != nil && l.cfg.Internal && errors.Is(err, vfs.ErrNoSpace)
	l.mu.Unlock()
	if rolledTo >= 0 {
		l.rolled(rolledTo)
	}
	if spare && l.dir.releaseReserve() {
		return l.Append(b, epoch, nowMs)
	}
	if err != nil && errors.Is(err, vfs.ErrNoSpace) {
		l.dir.pressTrash()
	}
	return appended, err
}

func (l *Log) rolled(base ids.Offset) {
	if f := l.store.cfg.Events.SegmentRolled; f != nil {
		f(l.tp, base)
	}
}

const notRolled ids.Offset = -1

func (l *Log) appendOne(b record.Batch, epoch ids.LeaderEpoch, nowMs int64) (ids.Offset, Appended, error) {
	if err := l.writable(); err != nil {
		return notRolled, Appended{}, err
	}
	if latest := l.epochs.Latest(); epoch < latest {
		return notRolled, Appended{}, fmt.Errorf("append with epoch %d after %d: %w", epoch, latest, ErrStaleEpoch)
	}
	logAppendTime := int64(-1)
	if b.TimestampType() == record.LogAppendTime {
		logAppendTime = b.MaxTimestamp()
	}
	if b.HasProducer() {
		if err := l.readProducers(); err != nil {
			return notRolled, Appended{}, err
		}
		verdict, err := l.producers.check(b, nowMs)
		if err != nil {
			return notRolled, Appended{}, err
		}
		if verdict.Duplicate {
			if logAppendTime >= 0 {
				logAppendTime = verdict.TimestampMs
			}
			return notRolled, Appended{verdict.BaseOffset, verdict.LastOffset, logAppendTime, true}, nil
		}
	}
	base := l.LogEnd()
	b.SetBaseOffset(base)
	b.SetLeaderEpoch(epoch)
	rolledTo, err := l.write(b, span{base, b.LastOffset(), b.MaxTimestamp()}, nowMs)
	if err != nil {
		return rolledTo, Appended{}, err
	}
	return rolledTo, Appended{BaseOffset: base, LastOffset: b.LastOffset(), LogAppendTimeMs: logAppendTime}, nil
}

// AppendAsFollower writes whole batches that have their offsets and epochs already: from the leader, or from a replay. They must begin
// at LogEnd and follow each other; in a compacted topic there may be gaps. All go in one write. Nothing is written if one of them is unfit.
func (l *Log) AppendAsFollower(batches []byte, nowMs int64) (Appended, error) {
	l.mu.Lock()
	rolledTo, appended, err := l.appendAll(batches, nowMs)
	l.mu.Unlock()
	if rolledTo >= 0 {
		l.rolled(rolledTo)
	}
	return appended, err
}

func (l *Log) appendAll(batches []byte, nowMs int64) (ids.Offset, Appended, error) {
	if err := l.writable(); err != nil {
		return notRolled, Appended{}, err
	}
	if err := l.readProducers(); err != nil {
		return notRolled, Appended{}, err
	}
	next, epoch := l.LogEnd(), l.epochs.Latest()
	all := span{base: -1, maxTimestamp: record.NoTimestamp}
	for rest := batches; len(rest) > 0; {
		b, tail, err := record.Next(rest)
		if err != nil {
			return notRolled, Appended{}, fmt.Errorf("append batches of the leader: %w", err)
		}
		if b.BaseOffset() < next || b.BaseOffset() > next && !l.cfg.Compact || b.LastOffset() < b.BaseOffset() {
			return notRolled, Appended{}, fmt.Errorf("append offsets %d to %d at %d: %w", b.BaseOffset(), b.LastOffset(), next, ErrOutOfOrder)
		}
		if b.LeaderEpoch() < epoch {
			return notRolled, Appended{}, fmt.Errorf("append with epoch %d after %d: %w", b.LeaderEpoch(), epoch, ErrStaleEpoch)
		}
		if all.base < 0 {
			all.base = b.BaseOffset()
		}
		next, epoch, all.last = b.NextOffset(), b.LeaderEpoch(), b.LastOffset()
		all.maxTimestamp = max(all.maxTimestamp, b.MaxTimestamp())
		rest = tail
	}
	if len(batches) == 0 {
		return notRolled, Appended{BaseOffset: next, LastOffset: next - 1, LogAppendTimeMs: -1}, nil
	}
	if all.last-l.LogEnd() > math.MaxInt32 {
		return notRolled, Appended{}, fmt.Errorf("append offsets up to %d at %d, further than one segment reaches: %w", all.last, l.LogEnd(), ErrOutOfOrder)
	}
	rolledTo, err := l.write(batches, all, nowMs)
	return rolledTo, Appended{BaseOffset: all.base, LastOffset: all.last, LogAppendTimeMs: -1}, err
}

// writableByOwner refuses a log that failed, or whose owner does two things at once. Called under the append lock.
func (l *Log) writableByOwner() error {
	if err := l.Err(); err != nil {
		return err
	}
	if l.truncating {
		return ErrBusy
	}
	return nil
}

// Writable tells why an append would be refused now, if so: as Append, for what depends on the log and not on the batch.
func (l *Log) Writable() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writable()
}

func (l *Log) writable() error {
	if err := l.writableByOwner(); err != nil {
		return err
	}
	if !l.cfg.Internal {
		return l.dir.room()
	}
	return nil
}

// span is what several batches cover together.
type span struct {
	base, last   ids.Offset
	maxTimestamp int64
}

// write appends bytes, rolling before if they don't fit, and notes each batch. It tells the base of a segment that it began.
func (l *Log) write(data []byte, covers span, nowMs int64) (ids.Offset, error) {
	rolledTo := notRolled
	s := l.active()
	if s == nil || l.mustRoll(s, len(data), covers, nowMs) {
		fresh, err := l.roll()
		if err != nil {
			l.dir.suspectDisk(err)
			return notRolled, err
		}
		if s != nil {
			rolledTo = fresh.base
		}
		s = fresh
	}
	if err := l.pin(s, readWrite); err != nil {
		l.dir.suspectDisk(err)
		return rolledTo, err
	}
	position := s.size.Load()
	n, err := s.pin.file.WriteAt(data, position)
	if err == nil && n < len(data) {
		err = io.ErrShortWrite
	}
	if err != nil {
		if undo := s.pin.file.Truncate(position); undo != nil {
			err = &OfflineError{l.path, fmt.Errorf("undo a failed write: %w after %w", undo, err)}
			l.fail(err)
			l.dir.flusher.add(l) // the flusher tells the owner
			l.dir.flusher.request(true)
			return rolledTo, err
		}
		return rolledTo, fmt.Errorf("append to %s: %w", s.path(logfiles.LogSuffix), err)
	}
	l.noteBatches(s, data, position)
	end := int64(covers.last) + 1
	s.size.Store(position + int64(len(data)))
	l.logEnd.Store(end)
	l.hints.add(byAppend, s, ids.Offset(end), position+int64(len(data)))
	l.sinceSnapshot += int64(len(data))
	l.enlist(l.cfg.Durability == Fsync)
	l.flushByCount(int64(covers.last-covers.base)+1, nowMs)
	return rolledTo, nil
}

// noteBatches updates indexes, epochs and producers with what was just written at position.
func (l *Log) noteBatches(s *segment, data []byte, position int64) {
	for len(data) > 0 {
		b, rest, err := record.Next(data)
		if err != nil {
			panic("storage: appended bytes are not whole batches: " + err.Error())
		}
		l.epochs.Assign(b.LeaderEpoch(), b.BaseOffset())
		s.noteBatch(b, position, len(b), l.cfg.IndexIntervalBytes)
		if b.HasProducer() {
			l.noteProducer(s, b)
		}
		position += int64(len(b))
		data = rest
	}
	if len(s.offsets.Tail) >= spillEntries {
		if err := s.spillIndexes(false); err != nil {
			l.store.problem("write the index of "+l.tp.String()+" early; it stays in memory", err)
		}
	}
}

// flushByCount serves flush.messages and flush.ms.
func (l *Log) flushByCount(records, nowMs int64) {
	if l.unflushed == 0 {
		l.oldestUnflushed = nowMs
		if l.cfg.FlushMs > 0 {
			l.store.work.flushWithin(time.Duration(l.cfg.FlushMs) * time.Millisecond)
		}
	}
	l.unflushed += records
	if n := l.cfg.FlushMessages; n > 0 && l.unflushed >= n {
		l.askForSync(true)
	} else if l.newFiles || l.newDir || l.sinceFlush() > replicatedBytes {
		// New files are made durable soon in any mode: a roll is when Kafka flushes, too, and a topic id must not get lost behind its records.
		l.askForSync(false)
	}
}

// replicatedBytes bounds what recovery must scan of a log that nobody flushes.
const replicatedBytes = 64 << 20

func (l *Log) sinceFlush() int64 {
	s := l.active()
	return s.size.Load() - s.synced
}

// mustRoll follows Kafka's LogSegment.shouldRoll.
func (l *Log) mustRoll(s *segment, size int, covers span, nowMs int64) bool {
	have := s.size.Load()
	if have == 0 {
		return covers.last-s.base > math.MaxInt32
	}
	if have+int64(size) > int64(l.cfg.SegmentBytes) || covers.last-s.base > math.MaxInt32 {
		return true
	}
	if s.offsets.Count() >= l.cfg.SegmentIndexBytes/8 || s.times.Count() >= l.cfg.SegmentIndexBytes/12-1 {
		return true
	}
	// segment.ms runs by record timestamps: from the segment's first batch to this one.
	if first := s.firstTimestamp; first >= 0 {
		waited := nowMs - first
		if covers.maxTimestamp >= 0 {
			waited = covers.maxTimestamp - first
		}
		limit := l.cfg.SegmentMs - l.jitter()
		if l.cfg.Compact && l.cfg.MaxCompactionLagMs > 0 {
			limit = min(limit, l.cfg.MaxCompactionLagMs) // the active segment is never compacted
		}
		return waited > limit
	}
	return false
}

func (l *Log) jitter() int64 {
	if l.cfg.SegmentJitterMs <= 0 {
		return 0
	}
	return l.jitterMs % min(l.cfg.SegmentJitterMs, l.cfg.SegmentMs)
}

// pin keeps the segment's file open until it is synced, and lists the segment as unsynced.
func (l *Log) pin(s *segment, mode openMode) error {
	if s.pin != nil {
		return nil
	}
	h, err := s.open(mode)
	if err != nil {
		return fmt.Errorf("append to %s: %w", s.path(logfiles.LogSuffix), err)
	}
	s.pin = h
	if !slices.Contains(l.unsynced, s) {
		l.unsynced = append(l.unsynced, s)
	}
	return nil
}

// roll begins a new segment at LogEnd and seals the active one.
func (l *Log) roll() (*segment, error) {
	base := l.LogEnd()
	old := l.active()
	if err := l.createDir(); err != nil {
		return nil, err
	}
	if old != nil {
		if err := old.spillIndexes(true); err != nil {
			return nil, fmt.Errorf("roll %s: %w", l.tp, err)
		}
		made, err := old.writeAborted()
		if err != nil {
			return nil, fmt.Errorf("roll %s: %w", l.tp, err)
		}
		l.newFiles = l.newFiles || made
		if err := l.syncNames(); err != nil {
			return nil, err
		}
	}
	if old != nil && old.base == base { // an empty active segment, too far below the first offset of a leader's batches
		panic("storage: roll of an empty segment at its own base")
	}
	fresh := newSegment(&l.store.files, l.path, base)
	fresh.statsKnown = true
	l.newFiles = true
	if err := l.pin(fresh, createNew); err != nil {
		return nil, err
	}
	if old != nil {
		old.sealedUnsynced = true
		if !slices.Contains(l.unsynced, old) {
			l.unsynced = append(l.unsynced, old)
		}
		l.writeSnapshot(true)
	}
	segments := l.list()
	l.setSegments(append(slices.Clone(segments), fresh))
	l.queueForSync()
	return fresh, nil
}

// syncNames makes durable that the segments before a new one exist, if no round has since they were made: a crash that lost one of them and kept the next would
// leave a log without its head, which nothing tells from one whose head was deleted.
func (l *Log) syncNames() error {
	if !l.newFiles && !l.namesInRound {
		return nil
	}
	if err := l.store.cfg.FS.SyncDir(l.path); err != nil {
		err = &OfflineError{l.path, fmt.Errorf("sync directory %s: %w", l.path, err)}
		l.fail(err)
		l.dir.flusher.add(l) // the flusher tells the owner
		l.dir.flusher.request(true)
		return err
	}
	l.newFiles = false
	return nil
}

// queueForSync lists the log with the flusher, for the next round, although nothing was appended.
func (l *Log) queueForSync() { l.enlist(true) }

// askForSync has a round cover the log: at once, or within the linger.
func (l *Log) askForSync(now bool) {
	l.enlist(true)
	l.dir.flusher.request(now)
}

// enlist lists the log with the flusher, if it isn't yet.
func (l *Log) enlist(hurried bool) {
	if state := l.queue.Load(); state == queued || state == unhurried && !hurried {
		return
	}
	if l.dir.flusher.enlist(l, hurried) {
		l.dir.flusher.request(false)
	}
}
