package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
)

// DeleteLog forgets a log for good: its directory is renamed to TOPIC-P.UUIDHEX-delete, durably, and removed after the log's file.delete.delay.ms. From
// then on the name is free for another topic id. A log that doesn't exist is no error; one with another id is.
func (s *Store) DeleteLog(tp ids.TopicPartition, id ids.TopicID) error {
	s.mu.Lock()
	l, f := s.logs[tp], s.found[tp]
	s.mu.Unlock()
	var dir *directory
	delay := time.Duration(0)
	switch {
	case l != nil:
		if l.id != id {
			return fmt.Errorf("delete %s of topic id %s: it has id %s", tp, id, l.id)
		}
		dir, delay = l.dir, l.dir.deleteDelay(l.Config())
		l.discardMemory()
		l.notify()
	case f != nil:
		if f.known && f.id != id {
			return fmt.Errorf("delete %s of topic id %s: it has id %s", tp, id, f.id)
		}
		dir = f.dir
	default:
		return nil
	}
	path, err := s.discardDir(dir, tp, deleteDirSuffix)
	switch {
	case err != nil && dir.err() != nil:
		s.leaveOffline(dir, tp)
	case err != nil:
		return fmt.Errorf("delete %s: %w", tp, err)
	case path != "":
		s.work.discard(delay, path)
	}
	return nil
}

// leaveOffline forgets a log that lies in a directory that is offline. Its files are set aside by the start that finds them, since no topic has their id.
func (s *Store) leaveOffline(dir *directory, tp ids.TopicPartition) {
	s.mu.Lock()
	s.forgetIn(dir, tp)
	s.mu.Unlock()
	s.problem("the files of "+tp.String()+" stay where they are until a start finds them", dir.err())
}

// Quarantine sets a partition aside that the cluster's metadata doesn't know: its directory is renamed to TOPIC-P.UUIDHEX-stray and kept.
func (s *Store) Quarantine(tp ids.TopicPartition) error {
	s.mu.Lock()
	l, f := s.logs[tp], s.found[tp]
	s.mu.Unlock()
	var dir *directory
	switch {
	case l != nil:
		dir = l.dir
		l.discardMemory()
		l.notify()
	case f != nil:
		dir = f.dir
	default:
		return nil
	}
	if dir.err() != nil {
		s.leaveOffline(dir, tp)
		return nil
	}
	return s.setAside(dir, tp, strayDirSuffix, "unknown to the cluster's metadata")
}

// setAside renames the directory of tp and forgets it.
func (s *Store) setAside(dir *directory, tp ids.TopicPartition, suffix, why string) error {
	path, err := s.discardDir(dir, tp, suffix)
	if err != nil {
		return fmt.Errorf("set %s aside: %w", tp, err)
	}
	if f := s.cfg.Events.Quarantined; f != nil && path != "" {
		f(dir.path+"/"+tp.String(), path, why)
	}
	return nil
}

// discardDir renames the directory of tp, durably, removes it from the checkpoints and from the store. The order matters: a recovery point that outlived
// its log would make a later log of the same name look corrupt.
func (s *Store) discardDir(dir *directory, tp ids.TopicPartition, suffix string) (string, error) {
	if err := dir.err(); err != nil {
		return "", err
	}
	fsys := s.cfg.FS
	path := dir.path + "/" + discardedName(tp, s.randomUUID(), suffix)
	err := fsys.Rename(dir.path+"/"+tp.String(), path)
	if errors.Is(err, fs.ErrNotExist) {
		path, err = "", nil // nothing was ever appended
	}
	if blamesDisk(err) {
		dir.fail(err)
		return "", dir.err()
	}
	if err != nil {
		return "", err
	}
	if path != "" {
		if err := fsys.SyncDir(dir.path); err != nil {
			dir.fail(err)
			return "", dir.err()
		}
	}
	s.mu.Lock()
	s.forgetIn(dir, tp)
	s.mu.Unlock()
	if err := dir.forget(func(other ids.TopicPartition) bool { return other == tp }); err != nil {
		return "", err
	}
	return path, nil
}

// discardMemory ends all use of the log; readers that hold regions keep their files.
func (l *Log) discardMemory() {
	l.naming.Lock()
	defer l.naming.Unlock()
	l.close()
	for _, seg := range l.list() {
		seg.retire()
	}
}
