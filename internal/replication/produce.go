package replication

import (
	"errors"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
	"github.com/ottla-io/ottla/internal/wire"
)

// noOffset is what answers carry where no offset is known.
const noOffset ids.Offset = -1

func (r *Produced) refuse(code wire.ErrorCode, message string) {
	*r = Produced{Code: code, Message: message, BaseOffset: noOffset, LogAppendTimeMs: record.NoTimestamp, LogStart: noOffset}
}

// Append validates one partition's batch and appends it inline, on the caller's goroutine; nowMs is the wall clock. With acks=-1
// and the watermark still short of the batch, it registers w with parked and sets Waiting: the batch is in the log, and w tells when
// every in-sync replica has it.
func (m *Manager) Append(q *Produce, nowMs int64, parked *Parked, w *Wait, answer *Produced) {
	p, code := m.find(&q.Target)
	if code != wire.ErrorNone {
		answer.refuse(code, "")
		return
	}
	settings := p.settings.Load()
	if settings.RefuseClients {
		answer.refuse(wire.ErrorInvalidTopicException, "clients may not produce to internal topic "+p.name.Topic)
		return
	}
	rules := record.Rules{
		MaxBatchBytes: settings.MaxMessageBytes, Compacted: settings.Log.Compact, LogAppendTime: settings.LogAppendTime,
		NowMs: nowMs, BeforeMaxMs: settings.TimestampBeforeMaxMs, AfterMaxMs: settings.TimestampAfterMaxMs, CheckTimestamps: true,
		OpenCompressed: settings.ValidateCompressedBatch, Limits: m.limits, ZstdAllowed: q.ZstdAllowed,
	}
	batch, err := record.Validate(q.Records, &rules)
	if err != nil {
		m.refuseAppend(p, answer, err)
		return
	}
	if settings.LogAppendTime {
		batch.SetLogAppendTime(nowMs)
	}
	appended, err := p.append(batch, q.Acks, nowMs, answer)
	if err != nil {
		m.refuseAppend(p, answer, err)
		return
	}
	if answer.Code != wire.ErrorNone {
		return
	}
	m.appendedBatch(p, len(batch), int64(batch.Count()), appended.Duplicate)
	switch need := appended.LastOffset + 1; {
	case q.Acks == -1 && p.HighWatermark() < need:
		// The flush is asked for first: where it ends before the wait is linked, add sees the watermark.
		p.log.Flush(true)
		answer.Waiting = p.await(parked, w, need)
	case settings.Log.Durability == storage.Fsync:
		p.log.Flush(p.waits.streams.Load() > 0)
	}
}

// append runs the rules and the log under the partition's lock. A refusal by the rules is in answer; one of the log is returned.
func (p *Partition) append(batch record.Batch, acks int16, nowMs int64, answer *Produced) (storage.Appended, error) {
	p.mu.Lock()
	state := p.replica.State()
	switch {
	case p.removed:
		p.mu.Unlock()
		answer.refuse(wire.ErrorUnknownTopicOrPartition, "")
		return storage.Appended{}, nil
	case !p.replica.Leads():
		p.mu.Unlock()
		answer.refuse(wire.ErrorNotLeaderOrFollower, "")
		answer.Leader = Leader{Broker: state.Leader, Epoch: state.LeaderEpoch}
		return storage.Appended{}, nil
	case p.log == nil:
		p.mu.Unlock()
		return storage.Appended{}, p.broken
	case acks == -1 && !p.replica.EnoughInSync(p.settings.Load().MinInSyncReplicas):
		p.mu.Unlock()
		answer.refuse(wire.ErrorNotEnoughReplicas, "")
		return storage.Appended{}, nil
	}
	appended, err := p.log.Append(batch, state.LeaderEpoch, nowMs)
	moved, bytes := false, int64(0)
	if err == nil && !appended.Duplicate {
		p.appendedBytes += int64(len(batch))
		if p.settings.Load().Log.Durability != storage.Fsync {
			moved, bytes = p.advanceLocked(p.log.LogEnd())
		}
	}
	p.mu.Unlock()
	if err != nil {
		return appended, err
	}
	*answer = Produced{BaseOffset: appended.BaseOffset, LogAppendTimeMs: record.NoTimestamp, LogStart: p.log.LogStart()}
	if batch.TimestampType() == record.LogAppendTime {
		answer.LogAppendTimeMs = appended.LogAppendTimeMs
	}
	if moved {
		p.waits.advance(p.HighWatermark(), bytes)
	}
	return appended, nil
}

// refuseAppend turns an error of the record, the sequence check or the log into Kafka's code.
func (m *Manager) refuseAppend(p *Partition, answer *Produced, err error) {
	var invalid *record.Invalid
	var sequence *producerstate.SequenceError
	switch {
	case errors.As(err, &invalid):
		answer.refuse(wire.ErrorCode(invalid.Reason), invalid.Message)
		answer.Records = invalid.Records
	case errors.As(err, &sequence):
		answer.refuse(wire.ErrorCode(sequence.Code()), sequence.Error())
	case errors.Is(err, storage.ErrStaleEpoch), errors.Is(err, storage.ErrClosed):
		answer.refuse(wire.ErrorNotLeaderOrFollower, "")
		answer.Leader = *p.leader.Load()
	default:
		// The disk: full, failed, or the log is corrupt. Clients retry KAFKA_STORAGE_ERROR; the operator reads the log.
		answer.refuse(wire.ErrorKafkaStorageError, err.Error())
		if m.events.StorageError != nil && !errors.Is(err, vfs.ErrNoSpace) {
			m.events.StorageError(p.name, err)
		}
	}
	if m.events.Refused != nil {
		m.events.Refused(p.name, answer.Code)
	}
}
