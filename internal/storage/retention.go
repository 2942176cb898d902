package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/vfs"
)

// retentionPlan is the segments that a log no longer needs. Its log start is above them already; their files go once that is durable.
type retentionPlan struct {
	log      *Log
	segments []*segment
	bytes    int64
}

// ApplyRetention deletes segments that retention.ms and retention.bytes no longer ask for, the oldest first, as Kafka does: whole
// segments, by their largest record timestamp, the active one too if it has expired whole.
func (l *Log) ApplyRetention(nowMs int64) error {
	plan, err := l.planRetention(nowMs)
	if err != nil || len(plan.segments) == 0 {
		return err
	}
	if err := l.dir.writeLogStarts(l); err != nil {
		return err
	}
	plan.carryOut()
	return nil
}

// planRetention moves the log start above what may go.
func (l *Log) planRetention(nowMs int64) (retentionPlan, error) {
	plan := retentionPlan{log: l}
	if l.Err() != nil {
		return plan, nil
	}
	l.mu.Lock()
	rolledTo := notRolled
	err := l.plan(&plan, nowMs, &rolledTo)
	l.mu.Unlock()
	if rolledTo >= 0 {
		l.rolled(rolledTo)
	}
	return plan, err
}

func (l *Log) plan(plan *retentionPlan, nowMs int64, rolledTo *ids.Offset) error {
	segments := l.list()
	if !l.cfg.Delete || len(segments) == 0 {
		return nil
	}
	n, err := l.expired(segments, nowMs)
	if err != nil || n == 0 {
		return err
	}
	if n == len(segments) {
		fresh, err := l.roll()
		if err != nil {
			return fmt.Errorf("roll an expired segment: %w", err)
		}
		*rolledTo = fresh.base
		segments = l.list()
	}
	plan.segments = segments[:n]
	for _, s := range plan.segments {
		plan.bytes += s.size.Load()
	}
	l.logStart.Store(int64(max(l.LogStart(), segments[n].base)))
	l.setSegments(slices.Clone(segments[n:]))
	l.epochs.truncateStart(l.LogStart())
	return nil
}

// expired counts the segments at the front that may go.
func (l *Log) expired(segments []*segment, nowMs int64) (int, error) {
	bound := l.DurableEnd()
	if hw := l.HighWatermark(); hw >= 0 {
		bound = min(bound, hw)
	}
	excess := int64(-1)
	if l.cfg.RetentionBytes >= 0 {
		excess = l.Size() - l.cfg.RetentionBytes
	}
	n := 0
	for i, s := range segments {
		end := l.LogEnd()
		last := i+1 == len(segments)
		if !last {
			end = segments[i+1].base
		}
		size := s.size.Load()
		if end > bound || last && size == 0 {
			break
		}
		largest, err := s.largestTimestamp()
		if err != nil {
			return n, err
		}
		// Records without a timestamp have no age. Those from the future are not old yet.
		old := l.cfg.RetentionMs >= 0 && largest >= 0 && nowMs-largest > l.cfg.RetentionMs
		// By size the active segment stays: what remains must be at least retention.bytes.
		big := l.cfg.RetentionBytes >= 0 && excess-size >= 0 && !last
		if !old && !big {
			break
		}
		excess -= size
		n++
	}
	return n, nil
}

// largestTimestamp is the segment's largest record timestamp, from its time index or, where it has none, from its batches.
func (s *segment) largestTimestamp() (int64, error) {
	if err := s.loadStats(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.maxTimestamp, nil
}

// loadStats makes maxTimestamp known for a segment that was sealed before this start.
func (s *segment) loadStats() error {
	s.mu.Lock()
	known, n := s.statsKnown, int(s.times.written)
	s.mu.Unlock()
	if known {
		return nil
	}
	largest, at := record.NoTimestamp, ids.Offset(0)
	if n > 0 {
		e, found, err := s.search(&s.times, timeIndexKind, 1<<62, false)
		if err == nil && found > 0 {
			largest, at = e.key, s.base+ids.Offset(e.value)
		}
	}
	if largest < 0 {
		err := s.walk(0, func(b record.Batch, _ int64, _ *handle) error {
			if t := b.MaxTimestamp(); t > largest {
				largest, at = t, b.LastOffset()
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.maxTimestamp, s.maxOffset, s.statsKnown = largest, at, true
	s.mu.Unlock()
	return nil
}

// carryOut renames the files to .deleted and removes them after file.delete.delay.ms.
func (p *retentionPlan) carryOut() {
	l := p.log
	if !p.removeFiles() {
		return
	}
	if f := l.store.cfg.Events.RetentionDeleted; f != nil {
		f(l.tp, len(p.segments), p.bytes, l.LogStart())
	}
}

// removeFiles is false if the log ended meanwhile: its directory, and perhaps another's of its name, are not ours any more.
func (p *retentionPlan) removeFiles() bool {
	l := p.log
	l.naming.Lock()
	defer l.naming.Unlock()
	if l.failure.Load() != nil {
		return false
	}
	l.mu.Lock()
	delay := l.dir.deleteDelay(l.cfg)
	for _, s := range p.segments {
		s.retire()
		if s.pin != nil {
			s.pin.release()
			s.pin = nil
		}
		s.sealedUnsynced = false
	}
	l.unsynced = slices.DeleteFunc(l.unsynced, func(s *segment) bool { return slices.Contains(p.segments, s) })
	l.mu.Unlock()
	for _, s := range p.segments {
		if err := removeSegmentFiles(s.files.fs, s, deletedSuffix); err != nil {
			l.store.problem("delete a segment of "+l.tp.String(), err)
			continue
		}
		var paths []string
		for _, suffix := range segmentSuffixes {
			paths = append(paths, s.path(suffix)+deletedSuffix)
		}
		l.store.work.discard(delay, paths...)
	}
	return true
}

// deleteDelay is file.delete.delay.ms, or nothing while the disk is short of space.
func (d *directory) deleteDelay(cfg LogConfig) time.Duration {
	if d.low.Load() {
		return 0
	}
	return time.Duration(cfg.FileDeleteDelayMs) * time.Millisecond
}

var segmentSuffixes = [...]string{logSuffix, indexSuffix, timeIndexSuffix, txnIndexSuffix, snapshotSuffix}

// removeSegmentFiles removes the files of a segment, or renames them where renamed is a suffix. The log file goes last but for the snapshot, so that a crash in
// between leaves no index that a later segment at the same base could take for its own.
func removeSegmentFiles(fsys vfs.FS, s *segment, renamed string) error {
	for _, suffix := range [...]string{indexSuffix, timeIndexSuffix, txnIndexSuffix, logSuffix, snapshotSuffix} {
		path := s.path(suffix)
		var err error
		if renamed != "" {
			err = fsys.Rename(path, path+renamed)
		} else if suffix != snapshotSuffix {
			err = fsys.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", path, err)
		}
	}
	return nil
}
