package storage

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/vfs"
)

// A log in the trash is a directory that keeps its files and has another name:
//
//	TOPIC-P.TOPICIDHEX-stray/
//	├── ottla.trash      what the checkpoints said of the log: recovery-point, log-start, high-watermark, first-dirty
//	└── …                all the log's files, as a crash at this moment would have left them
//
// The suffix is the one form of a name that Kafka starts with and neither removes nor serves. A directory that was set aside as a stray has random digits where
// one in the trash has its topic's id, which is how the two are told apart. Which of them are wanted, the cluster's metadata says; what it
// doesn't know stays a stray. Opening a log whose id is in the trash takes it out again, as recovery from a crash would, also where a
// crash came between the record that restores the topic and the renaming.

// trashKey finds a log in the trash.
type trashKey struct {
	id        ids.TopicID
	partition int32
}

// trashedLog is a log in the trash.
type trashedLog struct {
	dir       *directory
	name      string // of its directory
	sizeBytes int64  // -1: not asked for yet; guarded by Store.mu
}

// TrashedLog tells what a log in the trash takes. SizeBytes are those of all its files.
type TrashedLog struct {
	ID        ids.TopicID
	Partition int32
	Directory ids.DirectoryID
	SizeBytes int64
}

// noteTrash takes note of a directory that is in the trash, or a stray.
func (d *directory) noteTrash(e vfs.Entry) {
	tp, id, ok := logfiles.ParseStrayDir(e.Name)
	if !ok || !e.IsDir {
		return
	}
	d.store.addTrash(trashKey{ids.TopicID(id), tp.Partition}, &trashedLog{dir: d, name: e.Name, sizeBytes: -1})
}

func (s *Store) addTrash(key trashKey, t *trashedLog) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trash[key] = t
	t.dir.trashed.Add(1)
}

func (s *Store) dropTrash(key trashKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.trash[key]; t != nil {
		delete(s.trash, key)
		t.dir.trashed.Add(-1)
	}
}

// RetainTrash forgets what looks like trash and is not, by the cluster's metadata: it stays where it lies, as a stray. It must be called before any log is opened.
func (s *Store) RetainTrash(wanted func(ids.TopicID) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, t := range s.trash {
		if !wanted(key.id) {
			delete(s.trash, key)
			t.dir.trashed.Add(-1)
		}
	}
}

// TrashLogs puts logs into the trash: durably, their names are free from then on. A log that doesn't exist is no error; one with another id is. OpenPlaced with the
// id takes it out again, under whatever name.
func (s *Store) TrashLogs(names ...LogName) error {
	var failed []error
	doomed := s.doomAll(names, &failed)
	known := make(map[ids.TopicPartition]ids.TopicID, len(names))
	for _, n := range names {
		known[n.Topic] = n.ID
	}
	for _, d := range s.dirs {
		logs := doomed[d]
		if len(logs) == 0 {
			continue
		}
		parallel(s.env(), len(logs), func(i int) {
			logs[i].id = ids.UUID(known[logs[i].tp])
			if err := d.noteCheckpoints(logs[i].tp); err != nil {
				s.problem("keep what the checkpoints say of "+logs[i].tp.String()+"; it is restored from its first record on", err)
			}
		})
		if err := d.discard(logs, logfiles.StrayDirSuffix); err != nil {
			failed = append(failed, err)
		}
		for _, log := range logs {
			if log.path != "" {
				s.addTrash(trashKey{ids.TopicID(log.id), log.tp.Partition}, &trashedLog{dir: d, name: log.path[len(d.path)+1:], sizeBytes: -1})
			}
		}
		d.measure()
	}
	return errors.Join(failed...)
}

// noteCheckpoints writes what the checkpoints say of a log into its directory, durably: they forget it now, and a log start or a recovery point is not to be
// found anywhere else.
func (d *directory) noteCheckpoints(tp ids.TopicPartition) error {
	if d.err() != nil {
		return nil // it stays where it is
	}
	fsys, path := d.store.cfg.FS, d.path+"/"+tp.String()
	if _, err := fsys.Stat(path); err != nil {
		return nil //nolint:nilerr // nothing was ever appended; discard finds out if it is something else
	}
	said := logfiles.Checkpointed{FirstDirty: -1}
	said.RecoveryPoint, said.LogStart, said.HighWatermark = d.points(tp)
	if dirty, ok := d.firstDirty(tp); ok {
		said.FirstDirty = dirty
	}
	return d.sparing(func() error { return vfs.Replace(fsys, path, logfiles.Trash, logfiles.EncodeTrash(said)) })
}

// restore takes a log out of the trash if it is there: its directory gets the wanted name, and the checkpoints what they said of it. Every step may be repeated after
// a crash: until the directory is renamed the checkpoints' entries belong to nothing, and the next start drops them.
func (s *Store) restore(w Wanted) error {
	key := trashKey{w.ID, w.Topic.Partition}
	s.mu.Lock()
	t, f := s.trash[key], s.found[w.Topic]
	s.mu.Unlock()
	if t == nil {
		return nil
	}
	d := t.dir
	if err := d.err(); err != nil {
		return err
	}
	if f != nil && !f.known { // what a crash left of a first append, under the name that this one gets
		if err := s.setAside(f.dir, w.Topic, logfiles.StrayDirSuffix, notOf(w.ID)); err != nil {
			return err
		}
	} else if f != nil {
		return fmt.Errorf("restore %s: %s/%s lies beside %s, and both hold the same partition; move one of the two away", w.Topic, d.path, t.name, w.Topic)
	}
	if err := d.freeName(w.Topic); err != nil {
		return err
	}
	from, to := d.path+"/"+t.name, d.path+"/"+w.Topic.String()
	if err := d.rememberCheckpoints(from, w.Topic); err != nil {
		return fmt.Errorf("restore %s: %w", w.Topic, err)
	}
	fsys := s.cfg.FS
	err := d.sparing(func() error { return s.keepTopicID(from, w.ID) })
	if err == nil {
		err = d.sparing(func() error { return fsys.Rename(from, to) })
	}
	if err == nil {
		err = fsys.SyncDir(d.path)
	}
	if blamesDisk(err) {
		d.fail(err)
	}
	if err != nil {
		return fmt.Errorf("restore %s: %w", w.Topic, err)
	}
	s.dropTrash(key)
	if err := fsys.RemoveAll(to + "/" + logfiles.Trash); err != nil {
		s.problem("remove "+to+"/"+logfiles.Trash, err)
	}
	s.mu.Lock()
	s.found[w.Topic] = &foundLog{dir: d, id: w.ID, known: true, restored: true}
	s.mu.Unlock()
	return nil
}

// keepTopicID writes partition.metadata again where a power cut before the log's first sync damaged it: so far the directory's name told the id.
func (s *Store) keepTopicID(path string, id ids.TopicID) error {
	if have, err := readPartitionMetadata(s.cfg.FS, path+"/"+logfiles.PartitionMetadata); err == nil && have == id {
		return nil
	}
	return vfs.Replace(s.cfg.FS, path, logfiles.PartitionMetadata, logfiles.EncodePartitionMetadata(id))
}

// rememberCheckpoints gives the checkpoints back what the file in a trashed log's directory says. Without the file they say nothing, and all of the log is scanned.
func (d *directory) rememberCheckpoints(path string, tp ids.TopicPartition) error {
	data, err := vfs.ReadWhole(d.store.cfg.FS, path+"/"+logfiles.Trash, 4096)
	if err != nil {
		d.store.problem("read "+path+"/"+logfiles.Trash+"; the log is restored from its first record on", err)
		return nil
	}
	said := logfiles.ParseTrash(data)
	return d.sparing(func() error {
		return d.writing(func() error {
			for _, part := range []struct {
				offset ids.Offset
				file   string
				have   *logfiles.OffsetCheckpoint
			}{{said.LogStart, logfiles.LogStarts, &d.starts}, {said.FirstDirty, logfiles.CleanerOffsets, &d.cleaned}, {said.RecoveryPoint, logfiles.RecoveryPoints, &d.recovery},
				{said.HighWatermark, logfiles.HighWatermarks, &d.watermarks}} {
				if part.offset >= 0 {
					if err := d.write(part.file, part.have, part.have.With(tp, part.offset)); err != nil {
						return err
					}
				}
			}
			return nil
		})
	})
}

// PurgeTrash removes logs of the trash for good, soon. What is not there is no error.
func (s *Store) PurgeTrash(topics ...ids.TopicID) error {
	var failed []error
	renamed := make(map[*directory][]string)
	for key, t := range s.trashOf(topics) {
		named, _, _ := logfiles.ParseStrayDir(t.name)
		path := t.dir.path + "/" + logfiles.DiscardedName(ids.TopicPartition{Topic: named.Topic, Partition: key.partition}, s.randomUUID(), logfiles.DeleteDirSuffix)
		if t.dir.err() != nil {
			continue // the start that finds it takes it for a stray
		}
		if err := t.dir.sparing(func() error { return s.cfg.FS.Rename(t.dir.path+"/"+t.name, path) }); err != nil {
			failed = append(failed, fmt.Errorf("purge %s/%s: %w", t.dir.path, t.name, err))
			continue
		}
		s.dropTrash(key)
		renamed[t.dir] = append(renamed[t.dir], path)
	}
	for _, d := range s.dirs {
		if len(renamed[d]) == 0 {
			continue
		}
		if err := s.cfg.FS.SyncDir(d.path); err != nil {
			d.fail(err)
			failed = append(failed, d.err())
			continue
		}
		s.work.discard(0, renamed[d]...)
	}
	return errors.Join(failed...)
}

// trashOf are the logs in the trash of some topics.
func (s *Store) trashOf(topics []ids.TopicID) map[trashKey]*trashedLog {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := make(map[trashKey]*trashedLog)
	for key, t := range s.trash {
		if slices.Contains(topics, key.id) {
			found[key] = t
		}
	}
	return found
}

// Trash lists the logs in the trash, in no order. Their files are looked at once.
func (s *Store) Trash() []TrashedLog {
	s.mu.Lock()
	all := make(map[trashKey]*trashedLog, len(s.trash))
	for key, t := range s.trash {
		all[key] = t
	}
	s.mu.Unlock()
	out := make([]TrashedLog, 0, len(all))
	for key, t := range all {
		out = append(out, TrashedLog{key.id, key.partition, t.dir.id, s.trashedBytes(t)})
	}
	return out
}

func (s *Store) trashedBytes(t *trashedLog) int64 {
	s.mu.Lock()
	size := t.sizeBytes
	s.mu.Unlock()
	if size >= 0 {
		return size
	}
	entries, err := s.cfg.FS.List(t.dir.path + "/" + t.name)
	if err != nil {
		return 0 // it was taken out meanwhile
	}
	size = 0
	for _, e := range entries {
		size += e.Size
	}
	s.mu.Lock()
	t.sizeBytes = size
	s.mu.Unlock()
	return size
}

// trashFloor is the usable space that trash must leave in a file system of total bytes.
func (d *directory) trashFloor(total int64) int64 {
	reserve := d.store.cfg.ReserveBytes
	return max(min(d.store.cfg.TrashFreeBytes, total/10), reserve+reserve/4)
}

// pressTrash asks the owner to purge trash of this directory, if there is any and it was not asked already.
func (d *directory) pressTrash() {
	if ask := d.store.cfg.Events.TrashInTheWay; ask != nil && d.trashed.Load() > 0 && d.pressed.CompareAndSwap(false, true) {
		ask(d.id)
	}
}

// TrashSettled tells that nothing more is going to be purged for a TrashInTheWay.
func (s *Store) TrashSettled(dir ids.DirectoryID) {
	for _, d := range s.dirs {
		if d.id == dir {
			d.pressed.Store(false)
		}
	}
}

// AskForRoomAgain looks at the space of directories for which TrashInTheWay was called: files were removed, or nobody could answer.
func (s *Store) AskForRoomAgain() {
	for _, d := range s.dirs {
		if d.pressed.CompareAndSwap(true, false) {
			d.measure()
		}
	}
}
