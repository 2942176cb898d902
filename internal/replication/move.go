package replication

import (
	"errors"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/wire"
)

// MoveLog begins to move a partition's log to another data directory of this broker (KIP-113), or, if that is where it lies, ends such a move. It returns at
// once: LOG_DIR_NOT_FOUND, KAFKA_STORAGE_ERROR if the directory, or the partition's own, is offline, UNKNOWN_TOPIC_OR_PARTITION.
func (m *Manager) MoveLog(target *Target, path string) wire.ErrorCode {
	dirs := m.store.Directories()
	for i := range dirs {
		if d := &dirs[i]; d.Path != path || d.OnlyMetadata {
			continue
		} else if d.Offline != nil {
			return wire.ErrorKafkaStorageError
		}
		p, code := m.find(target)
		if code != wire.ErrorNone {
			return code
		}
		log := p.log()
		if log == nil {
			return wire.ErrorKafkaStorageError
		}
		err := m.store.MoveLog(log, path, p.move)
		if err != nil && log != p.log() { // it has just moved
			err = m.store.MoveLog(p.log(), path, p.move)
		}
		if err != nil {
			return wire.ErrorKafkaStorageError
		}
		return wire.ErrorNone
	}
	return wire.ErrorLogDirNotFound
}

// move ends a move: nothing is appended while the log's last bytes follow it, and then all goes to the new one. Whoever waits for a watermark is told, as all
// is durable there.
func (p *Partition) move(m *storage.Move) {
	p.mu.Lock()
	if p.removed {
		p.mu.Unlock()
		return
	}
	log, err := m.Finish()
	if err != nil {
		p.mu.Unlock()
		return
	}
	log.OnDurable(p.durable)
	p.current.Store(log)
	moved := p.replica.Leads() && p.advanceLocked(p.end())
	p.mu.Unlock()
	log.SetConfig(p.settings.Load().Log) // they may have changed while it was opened
	if moved {
		p.waiters.advance(p.watermark())
	}
	m.Done()
	if f := p.manager.events.Moved; f != nil {
		f(p.name, p.topicID, log.Directory())
	}
}

// movedFrom is the log to try again where one failed because it was about to move, or has moved; else nil. It waits until the move is over.
func (p *Partition) movedFrom(log *storage.Log, err error) *storage.Log {
	if !errors.Is(err, storage.ErrBusy) && !errors.Is(err, storage.ErrClosed) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.removed || errors.Is(err, storage.ErrClosed) && p.log() == log {
		return nil
	}
	return p.log()
}

// moving adds the copies under way to the directories that they lie in.
func (m *Manager) moving(at map[ids.DirectoryID]int, all []Directory) {
	for _, move := range m.store.Moves() {
		if i, ok := at[move.To]; ok && all[i].Offline == nil {
			all[i].Logs = append(all[i].Logs, LogSize{Name: move.Topic, Bytes: move.Bytes, Future: true, Lag: int64(move.Lag)})
		}
	}
}
