package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
)

// LogName is a log by its partition and its topic's id.
type LogName struct {
	Topic ids.TopicPartition
	ID    ids.TopicID
}

// DeleteLogs forgets logs for good: their directories are renamed to TOPIC-P.UUIDHEX-delete, durably, and removed after each log's file.delete.delay.ms. From
// then on the names are free for other topic ids. A log that doesn't exist is no error; one with another id is. All logs share one sync of each data
// directory and one write of its checkpoints.
func (s *Store) DeleteLogs(names ...LogName) error {
	var failed []error
	doomed := s.doomAll(names, &failed)
	for _, d := range s.dirs {
		if len(doomed[d]) == 0 {
			continue
		}
		d.measure()
		if err := d.discard(doomed[d], logfiles.DeleteDirSuffix); err != nil {
			failed = append(failed, err)
		}
		for _, log := range doomed[d] {
			if log.path != "" {
				s.work.discard(d.deleteDelay(log.cfg), log.path)
			}
		}
	}
	return errors.Join(failed...)
}

// doomAll ends the use of logs and sorts them by the directory that holds them.
func (s *Store) doomAll(names []LogName, failed *[]error) map[*directory][]doomedLog {
	doomed := make(map[*directory][]doomedLog)
	for _, n := range names {
		dir, log, err := s.doom(n)
		if err != nil {
			*failed = append(*failed, err)
		} else if dir != nil {
			doomed[dir] = append(doomed[dir], log)
		}
	}
	return doomed
}

// doomedLog is a log on its way out.
type doomedLog struct {
	tp   ids.TopicPartition
	id   ids.UUID // in the name of the directory that it becomes; zero: a random one
	cfg  LogConfig
	path string // where its directory is now; "" if it has none
}

// doom ends the use of a log and tells the directory that holds it, nil if there is none.
func (s *Store) doom(n LogName) (*directory, doomedLog, error) {
	s.mu.Lock()
	l, f := s.logs[n.Topic], s.found[n.Topic]
	for other := f; other != nil; other = other.next {
		if other.known && other.id == n.ID {
			f = other
		}
	}
	s.mu.Unlock()
	log := doomedLog{tp: n.Topic}
	switch {
	case l != nil && l.id != n.ID:
		return nil, log, fmt.Errorf("delete %s of topic id %s: it has id %s", n.Topic, n.ID, l.id)
	case l != nil:
		log.cfg = l.Config()
		l.discardMemory()
		l.notify()
		return l.dir, log, nil
	case f != nil && f.known && f.id != n.ID:
		return nil, log, fmt.Errorf("delete %s of topic id %s: it has id %s", n.Topic, n.ID, f.id)
	case f != nil:
		return f.dir, log, nil
	}
	return nil, log, nil
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
	return s.setAside(dir, tp, logfiles.StrayDirSuffix, "unknown to the cluster's metadata")
}

// setAside renames the directory of tp and forgets it.
func (s *Store) setAside(dir *directory, tp ids.TopicPartition, suffix, why string) error {
	if err := dir.err(); err != nil {
		return fmt.Errorf("set %s aside: %w", tp, err)
	}
	log := []doomedLog{{tp: tp}}
	if err := dir.discard(log, suffix); err != nil {
		return fmt.Errorf("set aside: %w", err)
	}
	if f := s.cfg.Events.Quarantined; f != nil && log[0].path != "" {
		f(dir.path+"/"+tp.String(), log[0].path, why)
	}
	return nil
}

// discard renames the directories of logs, durably, and removes the logs from the store and the checkpoints. The order matters: a recovery point that outlived
// its log would make a later log of the same name look corrupt. Where the disk is too full for the checkpoints, the names are not free until it is not. In a
// directory that is offline, or goes offline, the logs are forgotten and the files stay.
func (d *directory) discard(logs []doomedLog, suffix string) error {
	var failed []error
	gone := make(map[ids.TopicPartition]bool, len(logs))
	for i := range logs {
		if err := d.rename(&logs[i], suffix); err != nil && d.err() == nil {
			failed = append(failed, fmt.Errorf("delete %s: %w", logs[i].tp, err))
			continue
		}
		gone[logs[i].tp] = true
	}
	if d.err() == nil && slices.ContainsFunc(logs, func(l doomedLog) bool { return l.path != "" }) {
		if err := d.store.cfg.FS.SyncDir(d.path); err != nil {
			d.fail(err)
		}
	}
	if d.err() == nil {
		d.store.forgetAll(d, gone)
		if err := d.forget(func(tp ids.TopicPartition) bool { return gone[tp] }); d.err() == nil && err != nil {
			d.forgetLater(gone)
			d.store.problem("take deleted logs from the checkpoints of "+d.path, err)
		}
	}
	if d.err() != nil {
		for i := range logs {
			logs[i].path = ""
			d.store.leaveOffline(d, logs[i].tp)
		}
	}
	return errors.Join(failed...)
}

// rename gives a log's directory the name of one that was discarded.
func (d *directory) rename(log *doomedLog, suffix string) error {
	if err := d.err(); err != nil {
		return err
	}
	id := log.id
	if id == (ids.UUID{}) {
		id = d.store.randomUUID()
	}
	path := d.path + "/" + logfiles.DiscardedName(log.tp, id, suffix)
	err := d.sparing(func() error { return d.store.cfg.FS.Rename(d.path+"/"+log.tp.String(), path) })
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // nothing was ever appended
	case blamesDisk(err):
		d.fail(err)
	case err == nil:
		log.path = path
	}
	return err
}

// forgetAll removes logs of a directory from what is open and found.
func (s *Store) forgetAll(d *directory, gone map[ids.TopicPartition]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for tp := range gone {
		s.forgetIn(d, tp)
	}
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
