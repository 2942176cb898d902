package storage

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ottla-io/ottla/internal/background"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/vfs"
)

// Store is all logs of one broker.
type Store struct {
	cfg Config
	// producerExpirationMs is producer.id.expiration.ms.
	producerExpirationMs atomic.Int64
	clusterID            string
	dirs                 []*directory
	files                openFiles
	work                 work
	cleaner              cleaner
	moves                moves
	met                  metDamage

	mu     sync.Mutex // guards the rest; held for memory only
	logs   map[ids.TopicPartition]*Log
	found  map[ids.TopicPartition]*foundLog
	trash  map[trashKey]*trashedLog
	closed bool
}

// foundLog is a partition's directory that was there at start and isn't open yet.
type foundLog struct {
	tp      ids.TopicPartition
	dir     *directory
	id      ids.TopicID
	known   bool // partition.metadata could be read
	opening bool
	// restored: it was in the trash, so nothing that a clean stop left speaks of it.
	restored bool
	broken   error // OpenLog refused it: it is left alone
	// next has the same name in another directory, and another topic id: it is left from a topic that was deleted while its directory was offline.
	next *foundLog
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
		trash: make(map[trashKey]*trashedLog),
	}
	s.producerExpirationMs.Store(s.cfg.ProducerExpirationMs)
	s.files.fs, s.files.limit = cfg.FS, s.cfg.MaxOpenFiles
	s.work.init(s)
	s.cleaner.init(s)
	s.moves.store = s
	s.moves.task = s.work.add(BackgroundMove, background.Bulk, &s.moves)
	if len(cfg.Dirs) == 0 {
		return nil, errors.New("open storage: no log directory is configured")
	}
	if err := s.openDirs(); err != nil {
		for _, d := range s.dirs {
			d.unlock() //nolint:errcheck // the first error matters
		}
		return nil, err
	}
	s.work.Start("storage background")
	for _, d := range s.dirs {
		d.flusher.start()
	}
	return s, nil
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
		for ; f != nil; f = f.next {
			var down *OfflineError
			if f.known || !errors.As(f.broken, &down) { // whose an unreadable one is, nobody can say
				out = append(out, FoundLog{tp, f.id})
			}
		}
	}
	for tp, l := range s.logs {
		out = append(out, FoundLog{tp, l.id})
	}
	slices.SortFunc(out, func(a, b FoundLog) int { return a.Topic.Compare(b.Topic) })
	return out
}

// Usable is the bytes left for ordinary logs in the fullest directory, after the reserve, and whether appends are refused for lack of them.
func (s *Store) Usable() (bytes int64, low bool) {
	bytes = -1
	for _, d := range s.dirs {
		if d.err() != nil {
			continue
		}
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

// Flush asks every directory with appends that somebody waits to have synced for a round that starts at once. It doesn't wait.
func (s *Store) Flush() {
	for _, d := range s.dirs {
		d.flusher.requestIfDirty()
	}
}

// OpenLog opens the partition's log, recovering it if need be, or makes a new one, of which nothing is on disk before its first append.
// Bytes of another topic id are set aside first. A *CorruptError leaves the files as they are. OpenPlaced is for logs whose directory is on record.
func (s *Store) OpenLog(tp ids.TopicPartition, id ids.TopicID, cfg LogConfig) (*Log, error) {
	return s.OpenPlaced(Wanted{Topic: tp, ID: id, Config: cfg})
}

// OpenPlaced is OpenLog with what is on record about the log's directory, so that no empty log takes the place of one that lies in a directory that cannot be
// used now: that is an *OfflineError.
func (s *Store) OpenPlaced(w Wanted) (*Log, error) {
	if l, err := s.openedLog(w.Topic, w.ID); l != nil || err != nil {
		return l, err
	}
	if err := s.dropOthers(w); err != nil {
		return nil, err
	}
	if err := s.restore(w); err != nil {
		return nil, err
	}
	s.mu.Lock()
	f := s.found[w.Topic]
	if f != nil {
		if f.opening {
			s.mu.Unlock()
			return nil, fmt.Errorf("open %s: it is being opened already", w.Topic)
		}
		if f.broken != nil {
			s.mu.Unlock()
			return nil, f.broken
		}
		f.opening = true
	}
	s.mu.Unlock()
	l, err := s.openFound(f, w)
	if err := s.register(f, l, w.Topic, err); err != nil {
		return nil, err
	}
	l.enlistRecovered()
	return l, nil
}

// register lists an opened log, or notes why what was found could not be opened.
func (s *Store) register(f *foundLog, l *Log, tp ids.TopicPartition, err error) error {
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
		return err
	}
	if s.closed {
		return ErrClosed
	}
	delete(s.found, tp)
	s.logs[tp] = l
	l.dir.logs++
	return nil
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

// openFound opens what was found for a log; f is nil if nothing was.
func (s *Store) openFound(f *foundLog, w Wanted) (*Log, error) {
	if f != nil {
		if err := f.dir.err(); err != nil {
			return nil, err
		}
		mine, err := s.sameTopic(f, w.Topic, w.ID)
		if err != nil {
			return nil, err
		}
		if mine {
			return s.loadLog(f, w.Topic, w.ID, w.Config)
		}
		if err := s.setAside(f.dir, w.Topic, logfiles.StrayDirSuffix, notOf(w.ID)); err != nil {
			return nil, err
		}
	}
	dir, err := s.place(w)
	if err != nil {
		return nil, err
	}
	if err := dir.freeName(w.Topic); err != nil {
		return nil, err
	}
	return s.newLog(dir, w.Topic, w.ID, w.Config), nil
}

func notOf(id ids.TopicID) string { return "its topic id is not " + id.String() }

// sameTopic decides whether a found directory holds the topic's own records. One without a topic id does if it has no records at all: it is what
// a crash left of a first append.
func (s *Store) sameTopic(f *foundLog, tp ids.TopicPartition, id ids.TopicID) (bool, error) {
	if f.known && f.id == id {
		return true, nil
	}
	if healed, err := s.healTopicID(f, tp, id); healed || err != nil {
		return healed, err
	}
	if f.known {
		return false, nil
	}
	path := f.dir.path + "/" + tp.String()
	entries, err := s.cfg.FS.List(path)
	if err != nil {
		return false, fmt.Errorf("open %s: %w", tp, err)
	}
	for _, e := range entries {
		if _, ok := logfiles.ParseSegmentName(e.Name, logfiles.LogSuffix); ok && e.Size > 0 {
			return false, nil
		}
	}
	if err := vfs.Replace(s.cfg.FS, path, logfiles.PartitionMetadata, logfiles.EncodePartitionMetadata(id)); err != nil {
		return false, err
	}
	f.id, f.known = id, true
	return true, nil
}

// healTopicID writes partition.metadata again if one byte of it is not what it must be for id: that is damage, not another topic's id, which would be random.
func (s *Store) healTopicID(f *foundLog, tp ids.TopicPartition, id ids.TopicID) (bool, error) {
	path := f.dir.path + "/" + tp.String()
	have, err := vfs.ReadWhole(s.cfg.FS, path+"/"+logfiles.PartitionMetadata, 4096)
	want := logfiles.EncodePartitionMetadata(id)
	if err != nil || len(have) != len(want) {
		return false, nil //nolint:nilerr // judged by who asks
	}
	differ := 0
	for i := range want {
		if have[i] != want[i] {
			differ++
		}
	}
	if differ > 1 {
		return false, nil
	}
	if err := vfs.Replace(s.cfg.FS, path, logfiles.PartitionMetadata, want); err != nil {
		return false, err
	}
	s.problem("a byte of a topic id was damaged, and is written again", fmt.Errorf("%s/%s", path, logfiles.PartitionMetadata))
	f.id, f.known = id, true
	return true, nil
}

func (s *Store) newLog(d *directory, tp ids.TopicPartition, id ids.TopicID, cfg LogConfig) *Log {
	l := &Log{store: s, dir: d, tp: tp, id: id, path: d.path + "/" + tp.String(), cfg: cfg.withDefaults(), lastSnapshot: -1, olderSnapshot: -1}
	l.producers.expirationMs = s.producerExpirationMs.Load()
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
	slices.SortFunc(out, func(a, b *Log) int { return a.tp.Compare(b.tp) })
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
