package ottla

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
)

// metadataTopic is Kafka's, and metadataTopicID is the id that Kafka reserves for it.
const metadataTopic = storage.MetadataTopic

var metadataTopicID = ids.TopicID{15: 1}

// metadataReadBytes is how much of the log one replay step reads.
const metadataReadBytes = 1 << 20

// metadataLog is the controller's log on one node: __cluster_metadata-0, an ordinary log, committed when it is durable. With a
// quorum, package quorum takes this place (machine.Log is what both are).
type metadataLog struct {
	log    *storage.Log
	env    run.Env
	buffer []byte
}

// openMetadataLog opens the log and begins a new leader epoch in it, as Kafka's Raft does at each election.
func openMetadataLog(env run.Env, store *storage.Store, self ids.BrokerID) (*metadataLog, ids.LeaderEpoch, error) {
	config := storage.DefaultLogConfig()
	config.Delete, config.RetentionMs, config.RetentionBytes, config.Internal = false, -1, -1, true
	log, err := store.OpenLog(ids.TopicPartition{Topic: metadataTopic}, metadataTopicID, config)
	if err != nil {
		return nil, 0, fmt.Errorf("open the metadata log: %w", err)
	}
	epoch := max(log.LatestEpoch(), 0) + 1
	nowMs := env.Now().UnixMilli()
	begin := metadata.LeaderChange(self, epoch, []ids.BrokerID{self}, nowMs)
	if _, err := log.Append(begin, epoch, nowMs); err != nil {
		return nil, 0, fmt.Errorf("begin epoch %d of the metadata log: %w", epoch, err)
	}
	log.Flush(true)
	return &metadataLog{log: log, env: env}, epoch, nil
}

// Append implements machine.Log.
func (m *metadataLog) Append(batch record.Batch, epoch ids.LeaderEpoch) (ids.Offset, error) {
	appended, err := m.log.Append(batch, epoch, m.env.Now().UnixMilli())
	if errors.Is(err, storage.ErrStaleEpoch) {
		return 0, fmt.Errorf("%w: %w", machine.ErrStaleEpoch, err)
	}
	if err != nil {
		return 0, err
	}
	m.log.Flush(true)
	return appended.BaseOffset, nil
}

// Read implements machine.Log.
func (m *metadataLog) Read(from ids.Offset) ([]byte, error) {
	region, err := m.log.Read(from, m.log.LogEnd(), metadataReadBytes, true)
	if err != nil {
		return nil, err
	}
	defer region.Release()
	if region.Size() == 0 {
		return nil, fmt.Errorf("nothing at offset %d of the metadata log, which ends at %d", from, m.log.LogEnd())
	}
	if cap(m.buffer) < region.Size() {
		m.buffer = make([]byte, region.Size())
	}
	source, position := region.Source()
	data := m.buffer[:region.Size()]
	if _, err := source.ReadAt(data, position); err != nil {
		return nil, fmt.Errorf("read the metadata log at offset %d: %w", from, err)
	}
	return data, nil
}

// Bounds implements machine.Log.
func (m *metadataLog) Bounds() (start, end ids.Offset) { return m.log.LogStart(), m.log.LogEnd() }

// Committed implements machine.Log.
func (m *metadataLog) Committed() (ids.Offset, error) { return m.log.DurableEnd(), m.log.Err() }

// OnCommitted implements machine.Log.
func (m *metadataLog) OnCommitted(changed func()) {
	m.log.OnDurable(func(end ids.Offset) {
		m.log.SetHighWatermark(end)
		changed()
	})
}

// snapshotsKept is how many snapshots stay: the newest, and one to fall back on.
const snapshotsKept = 2

// snapshotStore keeps snapshots as Kafka does: OFFSET-EPOCH.checkpoint in the partition's directory.
type snapshotStore struct {
	fs  vfs.FS
	dir string
}

// List implements machine.SnapshotStore.
func (s snapshotStore) List() ([]machine.SnapshotID, error) {
	entries, err := s.fs.List(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []machine.SnapshotID
	for _, entry := range entries {
		if id, ok := machine.ParseSnapshotName(entry.Name); ok {
			found = append(found, id)
		}
	}
	slices.Reverse(found) // names sort by offset
	return found, nil
}

// Open implements machine.SnapshotStore.
func (s snapshotStore) Open(id machine.SnapshotID) (io.ReadCloser, error) {
	file, err := s.fs.OpenReadOnly(s.dir + "/" + id.FileName())
	if err != nil {
		return nil, err
	}
	size, err := file.Size()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &sectionCloser{io.NewSectionReader(file, 0, size), file}, nil
}

type sectionCloser struct {
	*io.SectionReader
	io.Closer
}

// unfinished marks a snapshot that is being written; what a crash leaves of one is removed by the next Create.
const unfinished = ".part"

// Create implements machine.SnapshotStore: written beside, synced, renamed, and the directory synced.
func (s snapshotStore) Create(id machine.SnapshotID, write func(io.Writer) error) error {
	if err := s.removeOld(snapshotsKept); err != nil {
		return err
	}
	path := s.dir + "/" + id.FileName()
	file, err := s.fs.Create(path + unfinished)
	if err != nil {
		return err
	}
	err = errors.Join(write(&offsetWriter{file: file}), file.Sync(), file.Close())
	if err == nil {
		err = s.fs.Rename(path+unfinished, path)
	}
	if err == nil {
		err = s.fs.SyncDir(s.dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write snapshot %s: %w", path, err), s.fs.RemoveAll(path+unfinished))
	}
	return s.removeOld(snapshotsKept)
}

func (s snapshotStore) removeOld(keep int) error {
	all, err := s.List()
	if err != nil {
		return err
	}
	for _, id := range all[min(keep, len(all)):] {
		if err := s.fs.Remove(s.dir + "/" + id.FileName()); err != nil {
			return fmt.Errorf("remove old snapshot: %w", err)
		}
	}
	entries, err := s.fs.List(s.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name, ".checkpoint"+unfinished) {
			if err := s.fs.Remove(s.dir + "/" + entry.Name); err != nil {
				return fmt.Errorf("remove unfinished snapshot: %w", err)
			}
		}
	}
	return nil
}

// offsetWriter appends to a vfs.File.
type offsetWriter struct {
	file   vfs.File
	offset int64
}

func (w *offsetWriter) Write(p []byte) (int, error) {
	n, err := w.file.WriteAt(p, w.offset)
	w.offset += int64(n)
	return n, err
}
