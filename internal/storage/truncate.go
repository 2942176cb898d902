package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
)

// The methods of this file are for followers, which replication will run: a replica whose log has left its leader's goes back to where they part (KIP-101).
// Until then tests are their only callers.

// TruncateTo removes every batch that holds offset or a later one, durably: afterwards logEnd ≤ offset. An offset at or above logEnd changes
// nothing; one below logStart empties the log and lets it begin there. The owner must not append meanwhile, and must have let no consumer see what goes. It
// blocks on the disk. After an error the log is as it was, or Err says that it no longer serves.
func (l *Log) TruncateTo(offset ids.Offset) error {
	if err := l.Err(); err != nil {
		return err
	}
	switch {
	case offset >= l.LogEnd():
		return nil
	case offset < l.LogStart():
		return l.TruncateFullyAndStartAt(offset)
	}
	end, err := l.batchStart(offset)
	if err == nil {
		err = l.truncate(end, (*recovery).cutTo, l.LogStart())
	}
	if err != nil {
		return fmt.Errorf("truncate %s to offset %d: %w", l.tp, offset, err)
	}
	return nil
}

// batchStart is the base of the batch that holds an offset below logEnd, or of the next one.
func (l *Log) batchStart(offset ids.Offset) (ids.Offset, error) {
	segments := l.list()
	for _, s := range segments[max(segmentAt(segments, offset), 0):] {
		h, err := s.open(readWrite)
		if err != nil {
			return 0, err
		}
		p, ok, err := s.find(h, s.positionAt(offset), offset)
		h.release()
		if err = l.readFailed(err, offset); ok || err != nil {
			return p.base, err
		}
	}
	return l.LogEnd(), nil
}

// TruncateFullyAndStartAt removes all records, durably; the log goes on at offset, also at one below its start: a follower's leader has nothing older, or
// began anew. Terms and errors are those of TruncateTo.
func (l *Log) TruncateFullyAndStartAt(offset ids.Offset) error {
	if err := l.Err(); err != nil {
		return err
	}
	if err := l.truncate(0, (*recovery).cutAll, offset); err != nil {
		return fmt.Errorf("truncate %s and start at offset %d: %w", l.tp, offset, err)
	}
	return nil
}

// truncate lowers the recovery point to bound, so that a start does not miss what goes, cuts the files, recovers what is left as a start would, and puts that in
// the place of what is in memory. A crash leaves the log as it was, or cut somewhere above bound; or, where all goes, empty.
func (l *Log) truncate(bound ids.Offset, cut func(*recovery, ids.Offset) error, start ids.Offset) error {
	l.naming.Lock()
	defer l.naming.Unlock()
	l.setTruncating(true)
	defer l.setTruncating(false)
	lowest := bound
	if l.dir.mayHaveGaps(l) {
		lowest = 0 // compaction may have removed what lay before bound: where the log ends then, only a scan tells
	}
	point, err := l.dir.lowerPoint(l, lowest, start)
	if err != nil {
		return err
	}
	fresh, err := l.recut(point, bound, cut, start)
	if err == nil {
		err = fresh.clampFirstDirty()
	}
	if err != nil {
		if l.Err() == nil {
			l.fail(&OfflineError{l.path, err})
		}
		l.notify()
		return l.Err()
	}
	l.become(fresh)
	return nil
}

func (l *Log) setTruncating(is bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.truncating = is
}

// recut cuts the files and recovers what is left.
func (l *Log) recut(point, bound ids.Offset, cut func(*recovery, ids.Offset) error, start ids.Offset) (*Log, error) {
	if err := l.letGo(start); err != nil {
		return nil, err
	}
	fresh := l.store.newLog(l.dir, l.tp, l.id, l.Config())
	fresh.created = l.created
	if !l.created {
		return fresh, nil
	}
	r := &recovery{log: fresh, point: point, start: l.LogStart(), gaps: l.dir.mayHaveGaps(l)}
	if err := cut(r, bound); err != nil {
		return nil, err
	}
	if start != r.start {
		if err := l.dir.moveStart(l, start, start); err != nil {
			return nil, err
		}
		r.start, r.point = start, start
	}
	r.changed = true // whatever else there is to sync, the end is
	return fresh, l.asCorrupt(r.run(false), start)
}

// lowerPoint makes the recovery point of a log at most bound, durably, and tells where it is then. Where the log is to start elsewhere it starts, until all is
// gone, at its end: a crash that takes some of its segments and not others must not leave a log of the rest.
func (d *directory) lowerPoint(l *Log, bound, start ids.Offset) (point ids.Offset, err error) {
	d.mu.Lock()
	point = min(d.recovery[l.tp], bound)
	d.mu.Unlock()
	old := l.LogStart()
	if start != old {
		old = l.LogEnd()
	}
	if err := d.moveStart(l, old, point); err != nil {
		return 0, err
	}
	return point, nil
}

// moveStart writes the start and the recovery point of a log that is being truncated. What a checkpoint or a flush round that is under way knows of the log
// counts no more.
func (d *directory) moveStart(l *Log, start, point ids.Offset) error {
	return d.writing(func() error {
		starts, recovery := maps.Clone(d.starts), maps.Clone(d.recovery)
		lower := point < recovery[l.tp]
		starts[l.tp], recovery[l.tp] = start, point
		if lower { // what was durable must not look lost between the two
			if err := d.write(logfiles.RecoveryPoints, &d.recovery, recovery); err != nil {
				return err
			}
		}
		if err := d.write(logfiles.LogStarts, &d.starts, starts); err != nil {
			return err
		}
		if err := d.write(logfiles.RecoveryPoints, &d.recovery, recovery); err != nil {
			return err
		}
		if l.truncations.Load()%2 == 0 {
			l.truncations.Add(1)
		}
		return nil
	})
}

// letGo leaves the flusher nothing to do: the files are about to change under it, and recovery syncs them. A log that is to begin above 0 needs a directory, or
// the next start would not find it.
func (l *Log) letGo(start ids.Offset) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if start > 0 {
		if err := l.createDir(); err != nil {
			return err
		}
	}
	for _, s := range l.unsynced {
		if s.pin != nil {
			s.pin.release()
			s.pin = nil
		}
	}
	l.unsynced, l.newSnapshots, l.newFiles, l.newDir, l.namesInRound = nil, nil, false, false, false
	return nil
}

// become takes over what recovery found.
func (l *Log) become(fresh *Log) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.truncations.Add(1) // even again
	l.logStart.Store(fresh.logStart.Load())
	l.highWatermark.Store(min(l.highWatermark.Load(), fresh.logEnd.Load()))
	l.durable.Store(fresh.logEnd.Load())
	l.logEnd.Store(fresh.logEnd.Load())
	gone := l.list()
	l.setSegments(fresh.list())
	for _, s := range gone {
		s.retire()
	}
	kept, _ := fresh.epochs.Snapshot()
	l.epochs.Replace(kept)
	l.producers, l.lastSnapshot, l.sinceSnapshot, l.newSnapshots = fresh.producers, fresh.lastSnapshot, fresh.sinceSnapshot, fresh.newSnapshots
	l.unflushed, l.olderSnapshot = 0, -1
	l.noteUnstable()
}

// cutAll removes all segments, the newest first, and what is derived of them.
func (r *recovery) cutAll(ids.Offset) error {
	defer func() { r.snapshots, r.leftovers = nil, nil }() // run lists them again
	segments, err := r.list()
	if err != nil {
		return err
	}
	if err := r.dropFrom(segments, 0); err != nil {
		return err
	}
	paths := append(r.leftovers, r.log.path+"/"+logfiles.Epochs)
	for _, at := range r.snapshots {
		paths = append(paths, r.log.path+"/"+logfiles.SegmentName(at, logfiles.SnapshotSuffix))
	}
	for _, path := range paths {
		if err := r.log.store.cfg.FS.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", path, err)
		}
	}
	return r.log.store.cfg.FS.SyncDir(r.log.path)
}
