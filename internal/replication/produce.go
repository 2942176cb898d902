package replication

import (
	"errors"
	"fmt"

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
	*r = Produced{Error: code, ErrorMessage: message, BaseOffset: noOffset, LogAppendTimeMs: record.NoTimestamp, LogStart: noOffset,
		Leader: ids.NoBroker, LeaderEpoch: ids.NoLeaderEpoch}
}

// Produce validates one partition's batch and appends it inline, on the caller's goroutine. With acks=-1 and the watermark
// still short of the batch it registers w and returns true: the batch is in the log, and w tells when every in-sync replica has it.
// The caller then calls Flush, once for all that it produces in one go.
func (m *Manager) Produce(q *ProduceQuery, res *Produced, w *Waiter) (waiting bool) {
	p, code := m.find(&q.Target)
	if code != wire.ErrorNone {
		m.gone.failedProduces.Add(1)
		res.refuse(code, "")
		return false
	}
	p.tally.produces.Add(1)
	settings := p.settings.Load()
	if settings.RefuseClients {
		p.tally.failedProduces.Add(1)
		res.refuse(wire.ErrorInvalidTopicException, "clients may not produce to internal topic "+p.name.Topic)
		return false
	}
	nowMs := m.env.Now().UnixMilli()
	rules := record.Rules{
		MaxBatchBytes: max(settings.MaxMessageBytes, 1), // a limit of 0 refuses every batch, as in Kafka
		Compacted:     settings.Log.Compact, LogAppendTime: settings.LogAppendTime,
		NowMs: nowMs, BeforeMaxMs: settings.TimestampBeforeMaxMs, AfterMaxMs: settings.TimestampAfterMaxMs, CheckTimestamps: true,
		OpenCompressed: settings.ValidateCompressedBatch, Limits: m.limitsOf(settings), ZstdAllowed: q.ZstdAllowed, Partition: p.name,
	}
	batch, err := p.prepare(q.Records, &rules, settings)
	if err != nil {
		p.tally.rejected(len(q.Records), err)
		m.refuseProduce(p, res, err)
		return false
	}
	if settings.LogAppendTime {
		batch.SetLogAppendTime(nowMs)
	}
	appended, err := p.append(batch, q.Acks, nowMs, res)
	if err != nil {
		m.refuseProduce(p, res, err)
		return false
	}
	if res.Error != wire.ErrorNone {
		p.tally.failedProduces.Add(1)
		return false
	}
	p.tally.appended(batch, appended.Duplicate)
	need := appended.LastOffset + 1
	if q.Acks == -1 && p.watermark() < need {
		return p.await(w, need, false)
	}
	if settings.Log.Durability == storage.Fsync {
		p.log().Flush(p.waiters.polls.Load() > 0)
	}
	return false
}

// prepare validates the batch and, where the topic has a codec of its own and the producer chose another, makes it anew.
func (p *Partition) prepare(records []byte, rules *record.Rules, settings *TopicSettings) (record.Batch, error) {
	if !settings.Recompress || len(records) < record.HeaderSize || record.Batch(records).Codec() == settings.Codec {
		return record.Validate(records, rules)
	}
	rules.OpenCompressed = true
	batch, err := record.Validate(records, rules)
	if err != nil {
		return nil, err
	}
	if batch, err = batch.Recompress(settings.Codec, settings.CompressionLevel, rules.Limits); err != nil {
		return nil, &record.Invalid{Reason: record.InvalidRecord, Message: err.Error()}
	}
	if len(batch) > rules.MaxBatchBytes {
		return nil, &record.Invalid{Reason: record.TooLarge, Message: fmt.Sprintf("Message batch size is %d bytes in append to partition %s which exceeds the maximum configured value of %d.",
			len(batch), p.name, rules.MaxBatchBytes)}
	}
	return batch, nil
}

// Batches that are opened may unpack to unpackFactor times what they may have as they come, and unpackFloor at least. Producers bound a
// record by its size before compression, so an honest batch stays far below.
const (
	unpackFactor = 16
	unpackFloor  = 16 << 20
)

func (m *Manager) limitsOf(settings *TopicSettings) record.Limits {
	limits := record.Limits{OutputBytes: min(max(unpackFactor*settings.MaxMessageBytes, unpackFloor), record.MaxOutputBytes)}
	if m.limits.OutputBytes > 0 {
		limits.OutputBytes = min(limits.OutputBytes, m.limits.OutputBytes)
	}
	return limits
}

// Flush starts to make durable what was produced so far.
func (m *Manager) Flush() { m.store.Flush() }

// append runs the rules and the log under the partition's lock. A refusal by the rules is in res; one of the log is returned.
func (p *Partition) append(batch record.Batch, acks int16, nowMs int64, res *Produced) (storage.Appended, error) {
	p.mu.Lock()
	state := p.replica.State()
	var refusal wire.ErrorCode
	switch {
	case p.removed:
		refusal = wire.ErrorUnknownTopicOrPartition
	case !p.replica.Leads():
		refusal = wire.ErrorNotLeaderOrFollower
	case p.log() == nil:
		p.mu.Unlock()
		return storage.Appended{}, p.broken
	case acks == -1 && !p.replica.EnoughInSync(min(p.settings.Load().MinInSyncReplicas, len(state.Replicas))):
		// No more than there are (KAFKA-15580): a topic of one replica takes writes whatever min.insync.replicas says.
		refusal = wire.ErrorNotEnoughReplicas
	}
	if refusal != wire.ErrorNone {
		p.mu.Unlock()
		res.refuse(refusal, "")
		switch refusal {
		case wire.ErrorNotLeaderOrFollower:
			res.Leader, res.LeaderEpoch = state.Leader, state.LeaderEpoch
		case wire.ErrorNotEnoughReplicas:
			res.LogStart = p.log().LogStart()
		}
		return storage.Appended{}, nil
	}
	appended, err := p.log().Append(batch, state.LeaderEpoch, nowMs)
	moved := err == nil && p.settings.Load().Log.Durability != storage.Fsync && p.advanceLocked(p.log().LogEnd())
	p.mu.Unlock()
	if err != nil {
		return appended, err
	}
	*res = Produced{BaseOffset: appended.BaseOffset, LogAppendTimeMs: record.NoTimestamp, LogStart: p.log().LogStart(), Leader: ids.NoBroker, LeaderEpoch: ids.NoLeaderEpoch}
	switch {
	case batch.TimestampType() == record.LogAppendTime:
		res.LogAppendTimeMs = appended.LogAppendTimeMs
	case appended.Duplicate:
		res.LogAppendTimeMs = batch.MaxTimestamp() // Kafka tells the time of the first append, whatever the topic's times are
	}
	if moved {
		p.waiters.advance(p.watermark())
	}
	return appended, nil
}

// refuseProduce turns an error of the record, the sequence check or the log into Kafka's code. As in Kafka, those that the log's own
// rules find come with the log's start.
func (m *Manager) refuseProduce(p *Partition, res *Produced, err error) {
	p.tally.failedProduces.Add(1)
	var invalid *record.Invalid
	var sequence *producerstate.SequenceError
	switch {
	case errors.As(err, &invalid):
		res.refuse(wire.ErrorCode(invalid.Reason), invalid.Message)
		res.RecordErrors = invalid.Records
		if !invalid.Framing && invalid.Reason != record.Corrupt && invalid.Reason != record.TooLarge && p.log() != nil {
			res.LogStart = p.log().LogStart()
		}
	case errors.As(err, &sequence):
		res.refuse(wire.ErrorCode(sequence.Code()), sequence.Error())
		res.LogStart = p.log().LogStart()
	case errors.Is(err, storage.ErrStaleEpoch), errors.Is(err, storage.ErrClosed):
		res.refuse(wire.ErrorNotLeaderOrFollower, "")
		_, res.Leader, res.LeaderEpoch = p.leading(ids.NoLeaderEpoch)
	default:
		// The disk: full, failed, or the log is corrupt. Clients retry KAFKA_STORAGE_ERROR; the operator reads the log.
		res.refuse(wire.ErrorKafkaStorageError, err.Error())
		if m.events.StorageError != nil && !errors.Is(err, vfs.ErrNoSpace) {
			m.events.StorageError(p.name, err)
		}
	}
	if m.events.Refused != nil {
		m.events.Refused(p.name, res.Error)
	}
}
