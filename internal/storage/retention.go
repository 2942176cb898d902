package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/vfs"
)

// ApplyRetention deletes segments that retention.ms and retention.bytes no longer ask for, the oldest first, as Kafka does: whole
// segments, by their largest record timestamp, the active one too if it has expired whole.
func (l *Log) ApplyRetention(nowMs int64) error {
	r, err := l.planRetention(nowMs)
	if err != nil || r.log == nil {
		return err
	}
	raises := []raise{r}
	if err := l.dir.raiseLogStarts(raises); err != nil {
		return err
	}
	raises[0].retained()
	return nil
}

// planRetention tells where retention wants the log start; the zero raise means that it may stay.
func (l *Log) planRetention(nowMs int64) (raise, error) {
	l.mu.Lock()
	start, rolledTo, err := l.retainFrom(nowMs)
	l.mu.Unlock()
	if rolledTo >= 0 {
		l.rolled(rolledTo)
	}
	if err != nil || start == 0 {
		return raise{}, err
	}
	return raise{log: l, to: start}, nil
}

// retainFrom is the base of the first segment that stays, 0 if all do. Where none may stay it rolls, and tells so.
func (l *Log) retainFrom(nowMs int64) (start, rolledTo ids.Offset, err error) {
	segments := l.list()
	if l.Err() != nil || l.truncating { // under the lock: the name may be another log's already
		return 0, notRolled, nil
	}
	if !l.cfg.Delete || len(segments) == 0 {
		return 0, notRolled, nil
	}
	n, err := l.expired(segments, nowMs)
	if err != nil || n == 0 {
		return 0, notRolled, err
	}
	l.keepWindows()
	if n < len(segments) {
		return segments[n].base, notRolled, nil
	}
	var fresh *segment
	err = l.dir.sparing(func() (err error) { fresh, err = l.roll(); return err })
	if err != nil {
		return 0, notRolled, fmt.Errorf("roll an expired segment: %w", err)
	}
	return fresh.base, fresh.base, nil
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
		if i+1 < len(segments) && s.size.Load() == 0 {
			continue // compaction left nothing of it: it goes with the one after it
		}
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
		// What remains is at least retention.bytes: so the active segment goes by size only where they are 0.
		big := l.cfg.RetentionBytes >= 0 && excess-size >= 0
		if !old && !big {
			break
		}
		excess -= size
		n = i + 1
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
	known, n := s.statsKnown, int(s.times.Written)
	s.mu.Unlock()
	if known {
		return nil
	}
	largest, at := record.NoTimestamp, ids.Offset(0)
	var entry logfiles.IndexEntry // the last one, good or not
	if n > 0 {
		e, found, err := s.search(&s.times, logfiles.TimeIndex, 1<<62, false)
		if err == nil && found == n {
			entry = e
			if _, found, err := s.timeEntry(e); err == nil && found {
				largest, at = e.Key, s.base+ids.Offset(e.Value)
			}
		}
	}
	if largest < 0 {
		err := s.walkChecked(0, func(b record.Batch, _ int64, _ *handle) error {
			if t := b.MaxTimestamp(); t > largest && b.Count() > 0 {
				largest, at = t, b.LastOffset()
			}
			return nil
		})
		if errors.Is(err, errTorn) && entry.Key > 0 {
			// Records are damaged. Their segment must become old and go all the same.
			largest, at, err = entry.Key, s.base+ids.Offset(entry.Value), nil
		}
		if err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.maxTimestamp, s.maxOffset, s.statsKnown = largest, at, true
	s.mu.Unlock()
	return nil
}

// retained removes the files of what retention took out of the log, and tells about it.
func (r *raise) retained() {
	if len(r.segments) > 0 && r.removeFiles() && r.log.store.cfg.Events.RetentionDeleted != nil {
		r.log.store.cfg.Events.RetentionDeleted(r.log.tp, len(r.segments), r.bytes, r.log.LogStart())
	}
}

// removeFiles renames the files to .deleted and has them removed after file.delete.delay.ms. It is false if the log ended meanwhile: its directory, and
// perhaps another's of its name, are not ours any more.
func (r *raise) removeFiles() bool {
	l := r.log
	l.naming.Lock()
	defer l.naming.Unlock()
	if l.failure.Load() != nil || l.truncations.Load() != r.truncations && len(r.segments) > 0 {
		return false // a truncation has removed what it found below the start
	}
	l.mu.Lock()
	delay := l.dir.deleteDelay(l.cfg)
	l.dropUnsynced(r.segments)
	l.mu.Unlock()
	for _, s := range r.segments {
		if err := removeSegmentFiles(s.files.fs, s, logfiles.DeletedSuffix); err != nil {
			l.store.problem("delete a segment of "+l.tp.String(), err)
			continue
		}
		var paths []string
		for _, suffix := range logfiles.SegmentSuffixes {
			paths = append(paths, s.path(suffix)+logfiles.DeletedSuffix)
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

// removeSegmentFiles removes the files of a segment, or renames them where renamed is a suffix. The log file goes last but for the snapshot, so that a crash in
// between leaves no index that a later segment at the same base could take for its own.
func removeSegmentFiles(fsys vfs.FS, s *segment, renamed string) error {
	for _, suffix := range [...]string{logfiles.IndexSuffix, logfiles.TimeIndexSuffix, logfiles.TxnIndexSuffix, logfiles.LogSuffix, logfiles.SnapshotSuffix} {
		path := s.path(suffix)
		var err error
		if renamed != "" {
			err = fsys.Rename(path, path+renamed)
		} else if suffix != logfiles.SnapshotSuffix {
			err = fsys.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", path, err)
		}
	}
	return nil
}
