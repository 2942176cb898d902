package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/vfs"
)

func (s *Store) openDirs() error {
	dirs := s.cfg.Dirs
	if dir := s.cfg.MetadataDir; dir != "" && !slices.Contains(dirs, dir) {
		dirs = append(slices.Clone(dirs), dir)
	}
	listings := make([][]vfs.Entry, len(dirs))
	for i, path := range dirs {
		d := &directory{store: s, path: path, onlyMetadata: i == len(s.cfg.Dirs)}
		d.flusher = newFlusher(d, s.cfg.Env, time.Duration(s.cfg.FlushLingerMs)*time.Millisecond)
		d.addJobs()
		s.dirs = append(s.dirs, d)
		err := d.enter()
		if err == nil {
			d.flusher.dedicated = s.cfg.FS.Dedicated(path)
			s.clusterID, listings[i], err = d.load(s.clusterID)
		}
		if d.unreadable, err = d.offlineAtStart(err); err != nil {
			return err
		}
	}
	for i, d := range s.dirs {
		if d.err() == nil {
			if err := s.findLogs(d, listings[i]); err != nil {
				return err
			}
		}
	}
	if err := s.endMoves(); err != nil {
		return err
	}
	for i, d := range s.dirs {
		if d.err() == nil {
			if _, err := d.offlineAtStart(d.begin(listings[i])); err != nil {
				return err
			}
		}
	}
	return s.someDirectory()
}

// someDirectory refuses a start without any directory that can be used.
func (s *Store) someDirectory() error {
	for _, d := range s.dirs {
		if d.err() == nil && !d.onlyMetadata {
			return nil
		}
	}
	var down *OfflineError
	if !errors.As(s.dirs[0].err(), &down) {
		return s.dirs[0].err()
	}
	return &RefusedError{down.Path, down.Err.Error(), down.Err}
}

// offlineAtStart takes a directory that the disk doesn't let us use out of service; the others may serve without it. What an operator has to put right, and
// the disk is not to blame for, stays an error. It tells whether the directory is offline.
func (d *directory) offlineAtStart(err error) (bool, error) {
	var refused *RefusedError
	if err == nil || errors.As(err, &refused) {
		return false, err
	}
	var down *OfflineError
	if !errors.As(err, &down) {
		down = &OfflineError{d.path, err}
	}
	first := d.failed.CompareAndSwap(nil, &failure{down})
	d.unlock() //nolint:errcheck // there is nothing to be said beyond err
	if f := d.store.cfg.Events.DirectoryOffline; f != nil && first {
		f(d.path, down.Err, false)
	}
	return true, nil
}

// enter makes the directory if need be, and locks it.
func (d *directory) enter() error {
	fsys := d.store.cfg.FS
	if err := vfs.MakeDirs(fsys, d.path); err != nil {
		return fmt.Errorf("cannot be made (%w)", err)
	}
	lock, err := fsys.Lock(d.path + "/" + logfiles.Lock)
	if errors.Is(err, vfs.ErrLocked) {
		return &RefusedError{d.path, "is in use by another process; stop that one or use another directory", err}
	}
	if err != nil {
		return fmt.Errorf("cannot be locked (%w)", err)
	}
	d.lock = lock
	return nil
}

// unlock lets another process have the directory.
func (d *directory) unlock() error {
	if d.lock == nil {
		return nil
	}
	lock := d.lock
	d.lock = nil
	return lock.Close()
}

// findLogs notes the partitions of one directory.
func (s *Store) findLogs(d *directory, entries []vfs.Entry) error {
	var found []*foundLog
	var names []string
	for _, e := range entries {
		tp, ok := logfiles.ParsePartitionDir(e.Name)
		if !ok || !e.IsDir {
			d.noteTrash(e)
			continue
		}
		f := &foundLog{tp: tp, dir: d, next: s.found[tp]}
		s.found[tp] = f
		found, names = append(found, f), append(names, e.Name)
	}
	parallel(s.env(), len(found), func(i int) {
		f := found[i]
		id, err := readPartitionMetadata(s.cfg.FS, d.path+"/"+names[i]+"/"+logfiles.PartitionMetadata)
		switch {
		case err == nil:
			f.id, f.known = id, true
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, logfiles.ErrDamaged):
			s.problem("read the topic id of "+names[i], err)
		default: // whose it is, is unknown: another log must not take its place
			f.broken = &OfflineError{d.path + "/" + names[i], err}
			s.problem("read the topic id of "+names[i], err)
		}
	})
	for i, f := range found {
		for other := f.next; other != nil; other = other.next {
			if d.movesFrom(f.tp, other.dir) || other.dir.movesFrom(f.tp, d) {
				continue // a crash came when both were whole: endMoves
			}
			if !f.known || !other.known || f.id == other.id {
				return &RefusedError{d.path, fmt.Sprintf("and %s both hold partition %s; move one of the two away", other.dir.path, names[i]), nil}
			}
		}
	}
	return nil
}

// begin makes the directory ready for writing: from here on a crash is an unclean stop.
func (d *directory) begin(entries []vfs.Entry) error {
	fsys := d.store.cfg.FS
	d.clean = slices.ContainsFunc(entries, func(e vfs.Entry) bool { return e.Name == logfiles.CleanMark })
	if d.clean {
		d.loadManifest()
	}
	for _, e := range entries {
		if e.Name != logfiles.CleanMark && e.Name != logfiles.Manifest {
			continue
		}
		if err := fsys.Remove(d.path + "/" + e.Name); err != nil {
			return fmt.Errorf("open %s: %w", d.path, err)
		}
		if err := fsys.SyncDir(d.path); err != nil {
			return fmt.Errorf("open %s: %w", d.path, err)
		}
	}
	if err := d.cutFailedSync(); err != nil {
		return err
	}
	if i := slices.IndexFunc(entries, func(e vfs.Entry) bool { return e.Name == logfiles.Reserve }); i >= 0 {
		d.reserve.held = entries[i].Size
	}
	// A log that was deleted just before a crash may still have its recovery point: the next of its name must not inherit it.
	if err := d.forget(func(tp ids.TopicPartition) bool { return d.store.foundIn(d, tp) == nil }); err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir && logfiles.IsDeletedDir(e.Name) {
			d.store.work.discard(0, d.path+"/"+e.Name)
		}
	}
	if err := d.dropMoves(); err != nil {
		return err
	}
	d.measure()
	d.restoreReserve()
	return nil
}

// readPartitionMetadata reads Kafka's partition.metadata.
func readPartitionMetadata(fsys vfs.FS, path string) (ids.TopicID, error) {
	data, err := vfs.ReadWhole(fsys, path, 4096)
	if err != nil {
		return ids.TopicID{}, err
	}
	id, err := logfiles.ParsePartitionMetadata(data)
	if err != nil {
		return ids.TopicID{}, fmt.Errorf("%s: %w", path, err)
	}
	return id, nil
}

// dropOthers sets aside what bears a log's name and is of another topic. What lies in a directory that is offline is left to a later start.
func (s *Store) dropOthers(w Wanted) error {
	var others []*foundLog
	s.mu.Lock()
	for f := s.found[w.Topic]; f != nil; f = f.next {
		if f.known && f.id != w.ID {
			others = append(others, f)
		}
	}
	s.mu.Unlock()
	for _, f := range others {
		d := f.dir
		if d.err() == nil {
			if healed, err := s.healTopicID(f, w.Topic, w.ID); healed {
				continue
			} else if err != nil {
				return err
			}
		}
		if d.err() != nil {
			s.mu.Lock()
			s.forgetIn(d, w.Topic)
			s.mu.Unlock()
			continue
		}
		if err := s.setAside(d, w.Topic, logfiles.StrayDirSuffix, notOf(w.ID)); err != nil {
			return err
		}
	}
	return nil
}

// foundIn is what was found under a name in one directory.
func (s *Store) foundIn(d *directory, tp ids.TopicPartition) *foundLog {
	f := s.found[tp]
	for f != nil && f.dir != d {
		f = f.next
	}
	return f
}

// forgetIn removes the log of that name in a directory from what is open and found. The caller holds mu.
func (s *Store) forgetIn(d *directory, tp ids.TopicPartition) {
	if l := s.logs[tp]; l != nil && l.dir == d {
		delete(s.logs, tp)
		d.logs--
	}
	var kept *foundLog
	for f := s.found[tp]; f != nil; {
		next := f.next
		if f.dir != d {
			f.next, kept = kept, f
		}
		f = next
	}
	if kept == nil {
		delete(s.found, tp)
	} else {
		s.found[tp] = kept
	}
}

// place chooses the directory of a log of which there is nothing on disk.
func (s *Store) place(w Wanted) (*directory, error) {
	if w.Topic.Topic == MetadataTopic && s.cfg.MetadataDir != "" {
		d := s.dirs[slices.IndexFunc(s.dirs, func(d *directory) bool { return d.path == s.cfg.MetadataDir })]
		return d, d.err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.New {
		return s.emptiest(w.Directory)
	}
	if !w.Directory.Reserved() {
		for _, d := range s.dirs {
			if d.id == w.Directory {
				return d, d.err()
			}
		}
	}
	// It may be old, and lie where we cannot look.
	for _, d := range s.dirs {
		if d.unreadable {
			return nil, d.err()
		}
	}
	if !w.Directory.Reserved() {
		return nil, &OfflineError{"log directory " + w.Directory.String(), errors.New("it is on record for the partition, and none of log.dirs has this id; bring it back, or delete the topic")}
	}
	return s.emptiest(w.Directory)
}

// emptiest is the directory for all topics that holds the fewest logs, or the wanted one. The caller holds mu.
func (s *Store) emptiest(wanted ids.DirectoryID) (*directory, error) {
	var best *directory
	var err error
	for _, d := range s.dirs {
		if e := d.err(); e != nil {
			err = e
		} else if d.onlyMetadata {
			continue
		} else if d.id == wanted {
			return d, nil
		} else if best == nil || d.logs < best.logs {
			best = d
		}
	}
	if best == nil {
		return nil, err
	}
	return best, nil
}
