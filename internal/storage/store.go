package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/vfs"
)

// Store is all logs of one broker.
type Store struct {
	cfg       Config
	clusterID string
	dirs      []*directory
	files     openFiles
	work      background

	mu     sync.Mutex // guards the rest; held for memory only
	logs   map[ids.TopicPartition]*Log
	found  map[ids.TopicPartition]*foundLog
	closed bool
}

// foundLog is a partition's directory that was there at start and isn't open yet.
type foundLog struct {
	dir     *directory
	id      ids.TopicID
	known   bool // partition.metadata could be read
	opening bool
	broken  error // OpenLog refused it: it is left alone
}

// FoundLog is a partition found on disk. ID is zero where partition.metadata is missing.
type FoundLog struct {
	Topic ids.TopicPartition
	ID    ids.TopicID
}

// Directory describes one log directory.
type Directory struct {
	ID      ids.DirectoryID
	Path    string
	Offline error // nil while it serves
	// WasClean tells that the last process to use it stopped cleanly.
	WasClean bool
	// OnlyMetadata tells that it is for the log of MetadataTopic alone: Config.MetadataDir, and none of Config.Dirs.
	OnlyMetadata bool
}

// Open locks the directories and reads what they say about themselves; logs are recovered by OpenLog. A *RefusedError says in one sentence why
// a directory cannot be used; nothing was changed then.
func Open(cfg Config) (*Store, error) {
	s := &Store{
		cfg: cfg.withDefaults(), clusterID: cfg.ClusterID,
		logs: make(map[ids.TopicPartition]*Log), found: make(map[ids.TopicPartition]*foundLog),
	}
	s.files.fs, s.files.limit = cfg.FS, s.cfg.MaxOpenFiles
	s.work.init(s)
	if len(cfg.Dirs) == 0 {
		return nil, errors.New("open storage: no log directory is configured")
	}
	if err := s.openDirs(); err != nil {
		for _, d := range s.dirs {
			d.lock.Close() //nolint:errcheck // the first error matters
		}
		return nil, err
	}
	s.work.start()
	for _, d := range s.dirs {
		d.flusher.start()
	}
	return s, nil
}

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
		if err := makeDirDurably(s.cfg.FS, path); err != nil {
			return &RefusedError{path, fmt.Sprintf("cannot be made (%v)", err), err}
		}
		lock, err := s.cfg.FS.Lock(path + "/" + lockFile)
		if errors.Is(err, vfs.ErrLocked) {
			return &RefusedError{path, "is in use by another process; stop that one or use another directory", err}
		}
		if err != nil {
			return &RefusedError{path, fmt.Sprintf("cannot be locked (%v)", err), err}
		}
		d.lock = lock
		s.dirs = append(s.dirs, d)
		if s.clusterID, listings[i], err = d.load(s.clusterID); err != nil {
			return err
		}
	}
	for i, d := range s.dirs {
		if err := s.findLogs(d, listings[i]); err != nil {
			return err
		}
	}
	for i, d := range s.dirs {
		if err := d.begin(listings[i]); err != nil {
			return err
		}
	}
	return nil
}

// findLogs notes the partitions of one directory.
func (s *Store) findLogs(d *directory, entries []vfs.Entry) error {
	var found []*foundLog
	var names []string
	for _, e := range entries {
		tp, ok := parsePartitionDir(e.Name)
		if !ok || !e.IsDir {
			continue
		}
		if other := s.found[tp]; other != nil {
			return &RefusedError{d.path, fmt.Sprintf("and %s both hold partition %s; move one of the two away", other.dir.path, tp), nil}
		}
		f := &foundLog{dir: d}
		s.found[tp] = f
		found, names = append(found, f), append(names, e.Name)
	}
	parallel(s.env(), len(found), func(i int) {
		f := found[i]
		var err error
		if f.id, err = readPartitionMetadata(s.cfg.FS, d.path+"/"+names[i]+"/"+partitionMetadataFile); err == nil {
			f.known = true
		} else if !errors.Is(err, fs.ErrNotExist) {
			s.problem("read the topic id of "+names[i], err)
		}
	})
	return nil
}

// begin makes the directory ready for writing: from here on a crash is an unclean stop.
func (d *directory) begin(entries []vfs.Entry) error {
	fsys := d.store.cfg.FS
	d.clean = slices.ContainsFunc(entries, func(e vfs.Entry) bool { return e.Name == cleanFile })
	if d.clean {
		d.loadManifest()
	}
	for _, e := range entries {
		if e.Name != cleanFile && e.Name != manifestFile {
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
	// A log that was deleted just before a crash may still have its recovery point: the next of its name must not inherit it.
	if err := d.forget(func(tp ids.TopicPartition) bool { f := d.store.found[tp]; return f == nil || f.dir != d }); err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir && discardedDir.MatchString(e.Name) {
			d.store.work.discard(0, d.path+"/"+e.Name)
		}
	}
	d.measure()
	return nil
}

// readPartitionMetadata reads Kafka's partition.metadata.
func readPartitionMetadata(fsys vfs.FS, path string) (ids.TopicID, error) {
	data, err := readWholeFile(fsys, path, 4096)
	if err != nil {
		return ids.TopicID{}, err
	}
	var version int
	var text string
	if _, err := fmt.Sscanf(string(data), "version: %d\ntopic_id: %s", &version, &text); err != nil || version != 0 {
		return ids.TopicID{}, fmt.Errorf("%s: not a version 0 with a topic id", path)
	}
	return ids.ParseTopicID(text)
}

// ClusterID is the cluster that the directories belong to.
func (s *Store) ClusterID() string { return s.clusterID }

// Directories describes all log directories.
func (s *Store) Directories() []Directory {
	out := make([]Directory, len(s.dirs))
	for i, d := range s.dirs {
		out[i] = Directory{ID: d.id, Path: d.path, Offline: d.err(), WasClean: d.clean, OnlyMetadata: d.onlyMetadata}
	}
	return out
}

// Space is what the file system of a directory holds, and what is left of it for us, in bytes.
func (s *Store) Space(dir string) (total, usable int64, err error) { return s.cfg.FS.Space(dir) }

// Found lists the partitions that were on disk at start, or are open, sorted.
func (s *Store) Found() []FoundLog {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]FoundLog, 0, len(s.found)+len(s.logs))
	for tp, f := range s.found {
		out = append(out, FoundLog{tp, f.id})
	}
	for tp, l := range s.logs {
		out = append(out, FoundLog{tp, l.id})
	}
	slices.SortFunc(out, func(a, b FoundLog) int { return compareTopicPartitions(a.Topic, b.Topic) })
	return out
}

// Usable is the bytes left for ordinary logs in the fullest directory, after the reserve, and whether appends are refused for lack of them.
func (s *Store) Usable() (bytes int64, low bool) {
	bytes = -1
	for _, d := range s.dirs {
		_, usable, err := s.cfg.FS.Space(d.path)
		if err != nil {
			continue
		}
		if left := max(usable-s.cfg.ReserveBytes, 0); bytes < 0 || left < bytes {
			bytes = left
		}
		low = low || d.low.Load()
	}
	return max(bytes, 0), low
}

// OpenFiles is how many files are kept open between uses.
func (s *Store) OpenFiles() int { return s.files.open() }

// Flush asks every directory with unsynced appends for a round that starts at once. It doesn't wait.
func (s *Store) Flush() {
	for _, d := range s.dirs {
		d.flusher.requestIfDirty()
	}
}

// OpenLog opens the partition's log, recovering it if need be, or makes a new one, of which nothing is on disk before its first append.
// Bytes of another topic id are set aside first. A *CorruptError leaves the files as they are.
func (s *Store) OpenLog(tp ids.TopicPartition, id ids.TopicID, cfg LogConfig) (*Log, error) {
	if l, err := s.openedLog(tp, id); l != nil || err != nil {
		return l, err
	}
	s.mu.Lock()
	f := s.found[tp]
	if f != nil {
		if f.opening {
			s.mu.Unlock()
			return nil, fmt.Errorf("open %s: it is being opened already", tp)
		}
		if f.broken != nil {
			s.mu.Unlock()
			return nil, f.broken
		}
		f.opening = true
	}
	s.mu.Unlock()
	l, err := s.openFound(f, tp, id, cfg)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if f != nil && s.found[tp] == f {
			f.opening = false
			var c *CorruptError
			if errors.As(err, &c) {
				f.broken = err
			}
		}
		return nil, err
	}
	if s.closed {
		return nil, ErrClosed
	}
	delete(s.found, tp)
	s.logs[tp] = l
	return l, nil
}

func (s *Store) openedLog(tp ids.TopicPartition, id ids.TopicID) (*Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	l := s.logs[tp]
	if l != nil && l.id != id {
		return nil, fmt.Errorf("open %s with topic id %s: it is open with %s; delete that one first", tp, id, l.id)
	}
	return l, nil
}

// openFound opens what was found for tp, if it is of this topic id; f is nil if nothing was.
func (s *Store) openFound(f *foundLog, tp ids.TopicPartition, id ids.TopicID, cfg LogConfig) (*Log, error) {
	if f != nil {
		if err := f.dir.err(); err != nil {
			return nil, err
		}
		mine, err := s.sameTopic(f, tp, id)
		if err != nil {
			return nil, err
		}
		if mine {
			return s.loadLog(f, tp, id, cfg)
		}
		why := "its topic id is not " + id.String()
		if err := s.setAside(f.dir, tp, strayDirSuffix, why); err != nil {
			return nil, err
		}
	}
	dir, err := s.place(tp)
	if err != nil {
		return nil, err
	}
	return s.newLog(dir, tp, id, cfg), nil
}

// sameTopic decides whether a found directory holds the topic's own records. One without a topic id does if it has no records at all: it is what
// a crash left of a first append.
func (s *Store) sameTopic(f *foundLog, tp ids.TopicPartition, id ids.TopicID) (bool, error) {
	if f.known {
		return f.id == id, nil
	}
	path := f.dir.path + "/" + tp.String()
	entries, err := s.cfg.FS.List(path)
	if err != nil {
		return false, fmt.Errorf("open %s: %w", tp, err)
	}
	for _, e := range entries {
		if _, ok := parseSegmentName(e.Name, logSuffix); ok && e.Size > 0 {
			return false, nil
		}
	}
	if err := writeFileAtomically(s.cfg.FS, path, partitionMetadataFile, encodePartitionMetadata(id)); err != nil {
		return false, err
	}
	f.id, f.known = id, true
	return true, nil
}

// place chooses the directory of a new log.
func (s *Store) place(tp ids.TopicPartition) (*directory, error) {
	if tp.Topic != MetadataTopic || s.cfg.MetadataDir == "" {
		return s.emptiest()
	}
	d := s.dirs[slices.IndexFunc(s.dirs, func(d *directory) bool { return d.path == s.cfg.MetadataDir })]
	return d, d.err()
}

// emptiest is the directory for all topics that holds the fewest logs.
func (s *Store) emptiest() (*directory, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := make(map[*directory]int, len(s.dirs))
	for _, l := range s.logs {
		counts[l.dir]++
	}
	var best *directory
	var err error
	for _, d := range s.dirs {
		if e := d.err(); e != nil {
			err = e
		} else if d.onlyMetadata {
			continue
		} else if best == nil || counts[d] < counts[best] {
			best = d
		}
	}
	if best == nil {
		return nil, err
	}
	return best, nil
}

func (s *Store) newLog(d *directory, tp ids.TopicPartition, id ids.TopicID, cfg LogConfig) *Log {
	l := &Log{store: s, dir: d, tp: tp, id: id, path: d.path + "/" + tp.String(), cfg: cfg.withDefaults(), lastSnapshot: -1}
	l.producers.expirationMs = s.cfg.ProducerExpirationMs
	l.highWatermark.Store(-1)
	l.firstUnstable.Store(noUnstable)
	if cfg.SegmentJitterMs > 0 {
		id := s.randomUUID()
		l.jitterMs = int64(id[0])<<16 | int64(id[1])<<8 | int64(id[2])
	}
	return l
}

// logsIn lists the open logs of one directory, sorted.
func (s *Store) logsIn(d *directory) []*Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*Log, 0, len(s.logs))
	for _, l := range s.logs {
		if l.dir == d {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b *Log) int { return compareTopicPartitions(a.tp, b.tp) })
	return out
}

func (s *Store) randomUUID() ids.UUID {
	var u ids.UUID
	for {
		s.cfg.Env.Random(u[:])
		u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
		if u.String()[0] != '-' { // Kafka's tools would take it for an option
			return u
		}
	}
}

func (s *Store) problem(what string, err error) {
	if f := s.cfg.Events.Problem; f != nil {
		f(what, err)
	}
}

func (s *Store) corrupt(c *CorruptError) {
	if f := s.cfg.Events.Corrupt; f != nil {
		f(c)
	}
}

// env is the Store's door to time.
func (s *Store) env() run.Env { return s.cfg.Env }
