package storage

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/vfs"
)

// Close flushes and checkpoints all logs and leaves the mark of a clean stop in each directory whose logs are all whole. The logs' owners must have
// stopped.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.work.Stop()
	s.cleaner.stop()
	var errs []error
	for _, d := range s.dirs {
		d.flusher.stop()
		if err := d.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", d.path, err))
		}
		for _, l := range s.logsIn(d) {
			l.close()
		}
	}
	s.files.closeAll()
	for _, d := range s.dirs {
		if err := d.unlock(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// close makes the next start a quick one.
func (d *directory) close() error {
	if d.err() != nil {
		return nil // offline: whoever looks at it next must not take it for clean
	}
	d.flusher.flushAll()
	if err := d.err(); err != nil {
		return err
	}
	whole, err := d.settle()
	if err == nil {
		err = d.checkpoint()
	}
	if err != nil {
		return err
	}
	if !whole || !d.store.allSound(d) {
		return nil
	}
	if err := d.writeManifest(); err != nil {
		d.store.problem("stop in "+d.path+"; the next start takes longer", err)
	}
	content := []byte(`{"version":0,"brokerEpoch":-1}`)
	return vfs.Replace(d.store.cfg.FS, d.path, logfiles.CleanMark, content)
}

// allSound tells that every log of the directory is known to be whole: the ones never opened by the last clean stop.
func (s *Store) allSound(d *directory) bool {
	for _, l := range s.logsIn(d) {
		if l.Err() != nil || l.DurableEnd() != l.LogEnd() {
			return false
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.found {
		if f.dir == d && (!d.clean || f.broken != nil || f.opening) {
			return false
		}
	}
	return true
}

// settle writes what all logs have in memory only, and makes it durable. whole is false if one of them has something that cannot be written.
func (d *directory) settle() (whole bool, err error) {
	logs := d.store.logsIn(d)
	written := make([][]string, len(logs))
	var unsettled atomic.Bool
	parallel(d.store.env(), len(logs), func(i int) {
		var err error
		if written[i], err = logs[i].settle(); err != nil {
			unsettled.Store(true)
			d.store.problem("write indexes of "+logs[i].tp.String(), err)
		}
	})
	err = d.writing(func() error {
		if err := d.syncAll(slices.Concat(written...), d.flusher.syncPath); err != nil {
			return err
		}
		return d.renameEpochs(logs)
	})
	return !unsettled.Load(), err
}

// renameEpochs puts the epoch files in place that settle wrote.
func (d *directory) renameEpochs(logs []*Log) error {
	var dirs []string
	for _, l := range logs {
		if !l.settling {
			continue
		}
		path := l.path + "/" + logfiles.Epochs
		if err := d.store.cfg.FS.Rename(path+vfs.TempSuffix, path); err != nil {
			return fmt.Errorf("replace %s: %w", path, err)
		}
		dirs = append(dirs, l.path)
	}
	if err := d.syncAll(dirs, d.store.cfg.FS.SyncDir); err != nil {
		return err
	}
	for _, l := range logs {
		if l.settling {
			entries, _ := l.epochs.Snapshot()
			l.epochs.Written(entries)
		}
	}
	return nil
}

// manyPaths are more than one syncs one by one at a stop, even where a sync of the whole file system writes what others have there, too.
const manyPaths = 64

// syncAll syncs paths, each by sync, or all at once.
func (d *directory) syncAll(paths []string, sync func(path string) error) error {
	if len(paths) > manyPaths {
		err := d.store.cfg.FS.SyncFS(d.path)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			return fmt.Errorf("sync the file system of %s: %w", d.path, err)
		}
	}
	var failed atomic.Pointer[failure]
	parallel(d.store.env(), len(paths), func(i int) {
		if err := sync(paths[i]); err != nil {
			failed.CompareAndSwap(nil, &failure{err})
		}
	})
	if f := failed.Load(); f != nil {
		return f.err
	}
	return nil
}

// settle writes what lies in memory only, so that a start after a clean stop finds it, and tells what is not synced yet. The epochs' file has its temporary
// name then.
func (l *Log) settle() (paths []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure.Load() != nil {
		return nil, nil
	}
	if entries, dirty := l.epochs.Snapshot(); dirty && l.created {
		path := l.path + "/" + logfiles.Epochs + vfs.TempSuffix
		if err := vfs.WriteWhole(l.store.cfg.FS, path, logfiles.EncodeEpochs(entries), false); err != nil {
			return nil, err
		}
		l.settling = true
		paths = append(paths, path)
	}
	s := l.active()
	if s == nil {
		return paths, nil
	}
	if !s.trimmed {
		if err := s.spillIndexes(true); err != nil {
			return paths, err
		}
		paths = append(paths, s.path(logfiles.IndexSuffix), s.path(logfiles.TimeIndexSuffix))
	}
	l.writeSnapshot(true)
	l.dropSnapshot(l.olderSnapshot)
	l.olderSnapshot = -1
	for _, at := range l.newSnapshots {
		paths = append(paths, l.path+"/"+logfiles.SegmentName(at, logfiles.SnapshotSuffix))
	}
	if len(s.txns.pending) > 0 {
		return paths, fmt.Errorf("its transaction index lacks what was aborted from offset %d on", s.txns.first)
	}
	return paths, nil
}

// close lets go of the files; reads that are under way finish.
func (l *Log) close() {
	l.fail(ErrClosed)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.unsynced {
		if s.pin != nil {
			s.pin.release()
			s.pin = nil
		}
	}
	l.unsynced = nil
}

// snapshotBytes of log without a producer snapshot are the most that recovery has to replay for the producers' sake.
const snapshotBytes = 4 << 20

// prepareCheckpoint makes the log's indexes ready for its recovery point to move. false: the transaction index lags behind durable.
func (l *Log) prepareCheckpoint(durable ids.Offset) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.active(); s != nil && l.failure.Load() == nil {
		if s.txns.lags(durable) {
			return false
		}
		if err := s.spillIndexes(false); err != nil {
			l.store.problem("write the index of "+l.tp.String()+" early; it stays in memory", err)
		}
		if l.sinceSnapshot >= snapshotBytes {
			l.writeSnapshot(false)
		}
	}
	return true
}
