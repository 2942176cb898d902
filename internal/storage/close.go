package storage

import (
	"errors"
	"fmt"

	"github.com/ottla-io/ottla/internal/ids"
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
	s.work.stop()
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
		if err := d.lock.Close(); err != nil {
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
	whole := true
	for _, l := range d.store.logsIn(d) {
		if err := l.settle(); err != nil {
			whole = false
			d.store.problem("write indexes of "+l.tp.String(), err)
		}
	}
	if err := d.checkpoint(); err != nil {
		return err
	}
	if !whole || !d.store.allSound(d) {
		return nil
	}
	content := []byte(`{"version":0,"brokerEpoch":-1}`)
	return writeFileAtomically(d.store.cfg.FS, d.path, cleanFile, content)
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

// settle writes what lies in memory only, so that a start after a clean stop finds it.
func (l *Log) settle() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure.Load() != nil {
		return nil
	}
	if s := l.active(); s != nil {
		if err := s.spillIndexes(true); err != nil {
			return err
		}
		l.writeSnapshot()
		if len(l.newSnapshots) > 0 && s.base == l.lastSnapshot {
			// It stays for as long as the segment, and is not looked at again once the log has grown.
			if err := l.dir.flusher.syncOne(&syncItem{path: s.path(snapshotSuffix)}); err != nil {
				return err
			}
		}
		if len(s.txns.pending) > 0 {
			return fmt.Errorf("its transaction index lacks what was aborted from offset %d on", s.txns.first)
		}
	}
	return nil
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
const snapshotBytes = 64 << 20

// prepareCheckpoint makes the log ready for its recovery point to move: indexes in their files, epochs durable in theirs. false: the budget of epoch files is
// spent, or the transaction index lags behind durable.
func (l *Log) prepareCheckpoint(durable ids.Offset, budget *int, all bool) (bool, error) {
	l.naming.Lock() // else another log's directory could have the path by the time the epochs are written
	defer l.naming.Unlock()
	if l.failure.Load() != nil {
		return false, nil
	}
	entries, dirty := l.epochs.snapshot()
	if dirty {
		if *budget <= 0 && !all {
			return false, nil
		}
		*budget--
		if err := writeFileAtomically(l.store.cfg.FS, l.path, epochsFile, encodeEpochs(entries)); err != nil {
			return false, err
		}
		l.epochs.written(entries)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.active(); s != nil && l.failure.Load() == nil {
		if s.txns.lags(durable) {
			return false, nil
		}
		if err := s.spillIndexes(false); err != nil {
			l.store.problem("write the index of "+l.tp.String()+" early; it stays in memory", err)
		}
		if l.sinceSnapshot >= snapshotBytes {
			l.writeSnapshot()
		}
	}
	return true, nil
}
