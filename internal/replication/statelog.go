package replication

import (
	"errors"
	"fmt"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/wire"
)

// stateReadBytes is how much of a log one step of a replay reads.
const stateReadBytes = 1 << 20

// ErrNoReplica: this broker holds no replica of the partition, or its log could not be opened.
var ErrNoReplica = errors.New("this broker does not hold the partition")

// StateLog is machine.Log over a partition that this broker leads: what a coordinator writes and replays. It is bound to
// one leader epoch, and useless when that is over. Committed is the high watermark.
type StateLog struct {
	p     *Partition
	epoch ids.LeaderEpoch
}

// StateLog binds a log to the epoch in which this broker leads the partition. One at a time is told of commits: the newest.
func (m *Manager) StateLog(tp ids.TopicPartition, epoch ids.LeaderEpoch) (*StateLog, error) {
	p, _ := m.find(&Target{Topic: tp.Topic, Partition: tp.Partition})
	switch {
	case p == nil:
		return nil, fmt.Errorf("partition %s: %w", tp, ErrNoReplica)
	case p.log() == nil:
		return nil, fmt.Errorf("partition %s: %w: %w", tp, ErrNoReplica, p.broken)
	}
	return &StateLog{p: p, epoch: epoch}, nil
}

// standing tells why this broker may not act as the leader of l's epoch, if so.
func (l *StateLog) standing() error {
	role := l.p.role.Load()
	switch {
	case role.removed || !role.state.LedBy(l.p.manager.self) || role.state.LeaderEpoch != l.epoch:
		return fmt.Errorf("partition %s, epoch %d: %w", l.p.name, l.epoch, machine.ErrStaleEpoch)
	case errors.Is(l.p.log().Err(), storage.ErrClosed):
		return fmt.Errorf("partition %s: %w: %w", l.p.name, machine.ErrStaleEpoch, l.p.log().Err())
	}
	return l.p.log().Err()
}

// Ready implements machine.Refuser.
func (l *StateLog) Ready() error {
	if err := l.standing(); err != nil {
		return err
	}
	return l.p.log().Writable()
}

// Append implements machine.Log. It wants min.insync.replicas, as acks=all does, and asks for a flush at once.
func (l *StateLog) Append(batch record.Batch, epoch ids.LeaderEpoch) (ids.Offset, error) {
	if epoch != l.epoch {
		return 0, fmt.Errorf("partition %s: append in epoch %d through the log of epoch %d: %w", l.p.name, epoch, l.epoch, machine.ErrStaleEpoch)
	}
	p := l.p
	p.mu.Lock()
	appended, err := l.appendLocked(batch)
	moved := err == nil && p.settings.Load().Log.Durability != storage.Fsync && p.advanceLocked(p.log().LogEnd())
	p.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if moved {
		p.waiters.advance(p.watermark())
	}
	p.log().Flush(true)
	return appended.BaseOffset, nil
}

func (l *StateLog) appendLocked(batch record.Batch) (storage.Appended, error) {
	p := l.p
	if err := l.standing(); err != nil {
		return storage.Appended{}, err
	}
	if replicas := len(p.replica.State().Replicas); !p.replica.EnoughInSync(min(p.settings.Load().MinInSyncReplicas, replicas)) {
		return storage.Appended{}, fmt.Errorf("partition %s: %w", p.name, wire.ErrorNotEnoughReplicas)
	}
	appended, err := p.log().Append(batch, l.epoch, p.manager.env.Now().UnixMilli())
	if errors.Is(err, storage.ErrStaleEpoch) || errors.Is(err, storage.ErrClosed) {
		err = fmt.Errorf("%w: %w", machine.ErrStaleEpoch, err)
	}
	return appended, err
}

// Read implements machine.Log.
func (l *StateLog) Read(from ids.Offset) ([]byte, error) {
	log := l.p.log()
	region, err := log.Read(from, log.LogEnd(), stateReadBytes, true)
	if err != nil {
		return nil, err
	}
	defer region.Release()
	if region.Size() == 0 {
		return nil, nil // compacted away up to the end
	}
	data := make([]byte, region.Size()) // not kept: it would lie there long after the load, a mebibyte for each partition
	source, position := region.Source()
	if _, err := source.ReadAt(data, position); err != nil {
		return nil, fmt.Errorf("read partition %s at offset %d: %w", l.p.name, from, err)
	}
	return data, nil
}

// Bounds implements machine.Log.
func (l *StateLog) Bounds() (start, end ids.Offset) { return l.p.log().LogStart(), l.p.log().LogEnd() }

// Committed implements machine.Log.
func (l *StateLog) Committed() (ids.Offset, error) {
	// The watermark first: it belongs to this epoch if the epoch is still ours afterwards.
	watermark := l.p.watermark()
	return watermark, l.standing()
}

// OnCommitted implements machine.Log.
func (l *StateLog) OnCommitted(changed func()) { l.p.waiters.observer.Store(&changed) }
