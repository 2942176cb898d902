package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/vfs"
)

// A compacted segment takes the place of those that it was made from in steps, each durable before the next, with Kafka's names:
//
//	1  BASE.log.cleaned and its indexes are whole, and synced       a crash: removed, nothing has happened
//	2  .cleaned is renamed to .swap, the log last                   a crash: while a .cleaned is there, both are removed
//	3  in memory the new segment replaces the old ones; their       a crash from here on: completed at the start, by the range of
//	   files are renamed to .deleted                                offsets that the .log.swap covers
//	4  BASE.log.swap is renamed to BASE.log
//	5  the indexes get their names                                  a crash: those that still end in .swap are renamed
//
// Readers that hold regions of the old segments keep their files; those that come meanwhile find one or the other segment whole.

// swapIn puts the finished segment in the place of old ones that lie side by side in the log. errStopped: they do not any more. It lets go of the writer's files.
func (w *segmentWriter) swapIn(old []*segment) error {
	l := w.log
	l.naming.Lock()
	defer l.naming.Unlock()
	if l.failure.Load() != nil || l.find(old) < 0 {
		return errStopped
	}
	if err := w.commitSwap(); err != nil {
		return err
	}
	if err := keepAborted(old); err != nil {
		return errors.Join(err, w.revokeSwap())
	}
	if !l.replace(old, w.segment) {
		if err := w.revokeSwap(); err != nil {
			return err
		}
		return errStopped
	}
	err := w.finishSwap(old)
	w.release()
	if err != nil {
		// The names on the disk are between the two: the next start puts them right.
		err = &OfflineError{l.path, fmt.Errorf("swap a compacted segment in: %w", err)}
		l.fail(err)
		l.queueForSync() // the flusher tells the owner
		l.dir.flusher.request(true)
	}
	return err
}

// find is where the segments lie side by side in the log, -1 if they do not.
func (l *Log) find(old []*segment) int {
	all := l.list()
	i := slices.Index(all, old[0])
	if i < 0 || i+len(old) >= len(all) || !slices.Equal(all[i:i+len(old)], old) {
		return -1
	}
	return i
}

// suffixes are those of the segment's files, the log last.
func (w *segmentWriter) suffixes() []string {
	suffixes := []string{logfiles.IndexSuffix, logfiles.TimeIndexSuffix}
	if len(w.aborted) > 0 {
		suffixes = append(suffixes, logfiles.TxnIndexSuffix)
	}
	return append(suffixes, logfiles.LogSuffix)
}

func (w *segmentWriter) rename(from, to string, suffixes ...string) error {
	fsys, s := w.segment.files.fs, w.segment
	for _, suffix := range suffixes {
		path := s.dir + "/" + logfiles.SegmentName(s.base, suffix)
		if err := fsys.Rename(path+from, path+to); err != nil {
			return fmt.Errorf("rename %s: %w", path+from, err)
		}
	}
	return nil
}

func (w *segmentWriter) syncNames() error {
	if err := w.segment.files.fs.SyncDir(w.log.path); err != nil {
		return &syncError{fmt.Errorf("sync directory %s: %w", w.log.path, err)}
	}
	return nil
}

// commitSwap is step 2. After an error the segment still counts as never made.
func (w *segmentWriter) commitSwap() error {
	if err := w.syncNames(); err != nil { // the .cleaned files are there, should a crash lose the new names of some
		return err
	}
	if err := w.rename(logfiles.CleanedSuffix, logfiles.SwapSuffix, w.suffixes()...); err != nil {
		return errors.Join(err, w.revokeSwap())
	}
	w.segment.setTransit(logfiles.SwapSuffix)
	return w.syncNames()
}

// revokeSwap takes step 2 back: whatever is left of it after a crash has a .cleaned beside it.
func (w *segmentWriter) revokeSwap() error {
	suffixes := w.suffixes()
	slices.Reverse(suffixes)
	for _, suffix := range suffixes {
		if err := w.rename(logfiles.SwapSuffix, logfiles.CleanedSuffix, suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	w.segment.setTransit(logfiles.CleanedSuffix)
	return w.syncNames()
}

// keepAborted keeps the transaction indexes of segments in memory for those who read them without a lock.
func keepAborted(old []*segment) error {
	for _, s := range old {
		entries, err := s.abortedEntries()
		if err != nil {
			return fmt.Errorf("read %s: %w", s.path(logfiles.TxnIndexSuffix), err)
		}
		s.txns.readers.all.Store(&entries)
	}
	return nil
}

// replace puts a segment in the place of old ones, in memory; false if they are not there any more.
func (l *Log) replace(old []*segment, s *segment) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.find(old)
	if i < 0 {
		return false
	}
	l.setSegments(slices.Replace(slices.Clone(l.list()), i, i+len(old), s))
	l.dropUnsynced(old)
	return true
}

// dropUnsynced forgets what segments that left the log still had to sync, and forbids opening them. The caller holds mu.
func (l *Log) dropUnsynced(gone []*segment) {
	for _, s := range gone {
		s.retire()
		if s.pin != nil {
			s.pin.release()
			s.pin = nil
		}
		s.sealedUnsynced = false
	}
	l.unsynced = slices.DeleteFunc(l.unsynced, func(s *segment) bool { return slices.Contains(gone, s) })
}

// finishSwap is steps 3 to 5 on the disk.
func (w *segmentWriter) finishSwap(old []*segment) error {
	l := w.log
	var deleted []string
	for _, s := range old {
		paths, err := l.renameDeleted(s, s.base == w.segment.base)
		if err != nil {
			return err
		}
		deleted = append(deleted, paths...)
	}
	if err := w.syncNames(); err != nil {
		return err
	}
	l.store.work.discard(l.dir.deleteDelay(w.log.Config()), deleted...)
	if err := w.rename(logfiles.SwapSuffix, "", logfiles.LogSuffix); err != nil {
		return err
	}
	if err := w.syncNames(); err != nil {
		return err
	}
	suffixes := w.suffixes()
	if err := w.rename(logfiles.SwapSuffix, "", suffixes[:len(suffixes)-1]...); err != nil {
		return err
	}
	w.segment.setTransit("")
	if readers := &w.segment.txns.readers; len(w.aborted) > 0 {
		readers.state.Store(abortedSome)
	} else {
		readers.state.Store(abortedNone)
	}
	w.segment.txns.readers.all.Store(nil)
	return w.syncNames()
}

// renameDeleted gives the files of a replaced segment names that end in .deleted. The producer snapshot at a base that stays a segment's is still good, and the
// newest one is still needed.
func (l *Log) renameDeleted(s *segment, baseStays bool) ([]string, error) {
	l.mu.Lock()
	keepSnapshot := baseStays || l.lastSnapshot == s.base
	l.mu.Unlock()
	var paths []string
	for _, suffix := range logfiles.SegmentSuffixes {
		if suffix == logfiles.SnapshotSuffix && keepSnapshot {
			continue
		}
		path := s.path(suffix)
		err := s.files.fs.Rename(path, path+logfiles.DeletedSuffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("rename %s: %w", path, err)
		}
		paths = append(paths, path+logfiles.DeletedSuffix)
	}
	return paths, nil
}

// discard removes the files of a segment that is not swapped in. What cannot be removed the next start, or the next compaction, takes for what it is.
func (w *segmentWriter) discard() {
	l := w.log
	w.segment.retire()
	w.release()
	l.naming.Lock()
	defer l.naming.Unlock()
	if l.failure.Load() != nil {
		return
	}
	for _, suffix := range []string{logfiles.IndexSuffix, logfiles.TimeIndexSuffix, logfiles.TxnIndexSuffix, logfiles.LogSuffix} {
		path := w.segment.dir + "/" + logfiles.SegmentName(w.segment.base, suffix) + logfiles.CleanedSuffix
		if err := w.segment.files.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.store.problem("remove "+path+", which a compaction left unfinished", err)
		}
	}
}

// finishSwaps removes what was deleted or cleaned but not swapped in, and completes what was being swapped in, as Kafka does at start. It returns what lies in
// the directory then.
func (r *recovery) finishSwaps(entries []vfs.Entry) ([]vfs.Entry, error) {
	dir := r.log.path
	firstCleaned := ids.Offset(-1)
	for _, e := range entries {
		if base, _, ok := logfiles.ParseTransitional(e.Name, logfiles.CleanedSuffix); ok && (firstCleaned < 0 || base < firstCleaned) {
			firstCleaned = base
		}
	}
	out := entries[:0:0]
	var swaps []vfs.Entry
	var swapped, cleaned []string
	for _, e := range entries {
		_, _, isDeleted := logfiles.ParseTransitional(e.Name, logfiles.DeletedSuffix)
		_, _, isCleaned := logfiles.ParseTransitional(e.Name, logfiles.CleanedSuffix)
		base, _, isSwap := logfiles.ParseTransitional(e.Name, logfiles.SwapSuffix)
		switch {
		case isSwap && firstCleaned >= 0 && base >= firstCleaned:
			swapped = append(swapped, e.Name)
		case isSwap:
			swaps = append(swaps, e)
		case isDeleted || isCleaned:
			cleaned = append(cleaned, e.Name)
		default:
			out = append(out, e)
		}
	}
	// While one of the .cleaned files is there, a crash in the middle of this leaves the .swap files what they are.
	if err := r.removeAll(swapped); err != nil {
		return nil, err
	}
	if len(swapped) > 0 {
		if err := r.syncNames(); err != nil {
			return nil, err
		}
	}
	if err := r.removeAll(cleaned); err != nil {
		return nil, err
	}
	if len(swaps) == 0 {
		return out, nil
	}
	if err := r.completeSwaps(out, swaps); err != nil {
		return nil, err
	}
	entries, err := r.log.store.cfg.FS.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	return entries, nil
}

func (r *recovery) removeAll(names []string) error {
	for _, name := range names {
		r.changed = true
		if err := r.log.store.cfg.FS.Remove(r.log.path + "/" + name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("finish an interrupted deletion: %w", err)
		}
	}
	return nil
}

func (r *recovery) syncNames() error {
	if err := r.log.store.cfg.FS.SyncDir(r.log.path); err != nil {
		return r.failed(err)
	}
	return nil
}

// completeSwaps does steps 3 to 5 for what was swapped in. Each step may have been done before, in part. Kafka keeps one range for all; several segments of
// one swap (of a split) lie side by side.
func (r *recovery) completeSwaps(plain, swaps []vfs.Entry) error {
	r.changed = true
	if err := r.removeReplaced(plain, swaps); err != nil {
		return err
	}
	for _, logs := range []bool{true, false} {
		for _, e := range swaps {
			_, name, _ := logfiles.ParseTransitional(e.Name, logfiles.SwapSuffix)
			if _, isLog := logfiles.ParseSegmentName(name, logfiles.LogSuffix); isLog != logs {
				continue
			}
			if err := r.log.store.cfg.FS.Rename(r.log.path+"/"+e.Name, r.log.path+"/"+name); err != nil {
				return fmt.Errorf("swap a compacted segment in: %w", err)
			}
		}
		if err := r.syncNames(); err != nil {
			return err
		}
	}
	return nil
}

// removeReplaced removes the segments in whose place one is being swapped in: those with a base in the range of its offsets. A producer snapshot there stays: it
// speaks of offsets, which are the same.
func (r *recovery) removeReplaced(plain, swaps []vfs.Entry) error {
	for _, e := range swaps {
		_, name, _ := logfiles.ParseTransitional(e.Name, logfiles.SwapSuffix)
		base, isLog := logfiles.ParseSegmentName(name, logfiles.LogSuffix)
		if !isLog {
			continue
		}
		end, err := r.endOfSwap(e, base)
		if err != nil {
			return err
		}
		var names []string
		for _, p := range plain {
			at, suffix, ok := logfiles.ParsePlain(p.Name)
			if ok && suffix != logfiles.SnapshotSuffix && (at == base || at >= base && at < end) {
				names = append(names, p.Name)
			}
		}
		if err := r.removeAll(names); err != nil {
			return err
		}
	}
	return r.syncNames()
}

// endOfSwap is the offset after the last of a segment that is being swapped in.
func (r *recovery) endOfSwap(e vfs.Entry, base ids.Offset) (ids.Offset, error) {
	s := newSegment(&r.log.store.files, r.log.path, base)
	s.setTransit(logfiles.SwapSuffix)
	s.size.Store(e.Size)
	defer s.retire()
	h, err := s.open(readWrite)
	if err != nil {
		return 0, err
	}
	defer h.release()
	end := base
	c := newScanner(h.file, e.Size)
	defer c.close()
	for position := int64(0); position < e.Size; {
		b, size, err := c.batch(position)
		if err != nil {
			return 0, s.damaged(position, err)
		}
		end, position = b.NextOffset(), position+size
	}
	return end, nil
}
