package replication

import (
	"cmp"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/wire"
)

// Directory is a data directory with the logs in it.
type Directory struct {
	Path                    string
	Offline                 error     // nil while it serves
	TotalBytes, UsableBytes int64     // of its file system; -1 if it does not tell
	Logs                    []LogSize // sorted; none if it is offline
}

// LogSize is what one log takes.
type LogSize struct {
	Name  ids.TopicPartition
	Bytes int64
	// Future: it is the copy of a log that moves here; Lag is the offsets that it has not yet.
	Future bool
	Lag    int64
}

// Directories describes the data directories, in the order of the settings.
func (m *Manager) Directories() []Directory {
	var all []Directory
	at := make(map[ids.DirectoryID]int)
	for _, dir := range m.store.Directories() {
		if dir.OnlyMetadata {
			continue
		}
		d := Directory{Path: dir.Path, Offline: dir.Offline, TotalBytes: -1, UsableBytes: -1}
		if dir.Offline == nil {
			if total, usable, err := m.store.Space(dir.Path); err == nil {
				d.TotalBytes, d.UsableBytes = total, usable
			}
		}
		at[dir.ID] = len(all)
		all = append(all, d)
	}
	m.eachLog(func(name ids.TopicPartition, log *storage.Log) {
		if i, ok := at[log.Directory()]; ok && all[i].Offline == nil {
			all[i].Logs = append(all[i].Logs, LogSize{Name: name, Bytes: log.Size()})
		}
	})
	m.moving(at, all)
	for i := range all {
		slices.SortFunc(all[i].Logs, func(a, b LogSize) int {
			return cmp.Or(cmp.Compare(a.Name.Topic, b.Name.Topic), cmp.Compare(a.Name.Partition, b.Name.Partition))
		})
	}
	return all
}

// eachLog visits the logs of all partitions here.
func (m *Manager) eachLog(visit func(name ids.TopicPartition, log *storage.Log)) {
	m.mu.RLock()
	topics := make([][]*Partition, 0, len(m.byID))
	for _, t := range m.byID {
		topics = append(topics, t.partitions)
	}
	m.mu.RUnlock()
	for _, partitions := range topics {
		for _, p := range partitions {
			if p != nil && p.log() != nil {
				visit(p.name, p.log())
			}
		}
	}
}

// Producers are the producers that a partition led here remembers, by id.
func (m *Manager) Producers(target *Target) ([]producerstate.Producer, wire.ErrorCode) {
	p, code := m.find(target)
	if code == wire.ErrorNone {
		code, _, _ = p.leading(ids.NoLeaderEpoch)
	}
	if code != wire.ErrorNone {
		return nil, code
	}
	return p.log().Producers(), wire.ErrorNone
}
