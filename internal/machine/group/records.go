package group

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/wire"
)

// A record of __consumer_offsets:
//
//	key    int16 type | the key's layout at version 0
//	value  int16 version | the value's layout; null is a tombstone

// ErrCorrupt means that a record is not what the log of groups can hold.
var ErrCorrupt = errors.New("corrupt record of __consumer_offsets")

// Versions that Kafka 4.3.1 writes. A commit with a retention of its own (OffsetCommit 2-4) is the only one that can say so.
const (
	offsetVersion             = 4
	offsetWithDeadlineVersion = 1
	groupMetadataVersion      = 3
)

// encode makes a record; a nil value makes a tombstone.
func encode(key, value wire.CoordinatorRecord, version int16) machine.Record {
	encoder := wire.Encoder{Buf: make([]byte, 0, usualBytes)}
	encodePart(&encoder, key.CoordinatorKey(), key, 0)
	middle := len(encoder.Buf)
	if value == nil {
		return machine.Record{Key: encoder.Buf[:middle:middle]}
	}
	encodePart(&encoder, version, value, version)
	return machine.Record{Key: encoder.Buf[:middle:middle], Value: encoder.Buf[middle:]}
}

// usualBytes is what key and value take in most records, so that one allocation does.
const usualBytes = 192

func tombstone(key wire.CoordinatorRecord) machine.Record { return encode(key, nil, 0) }

func encodePart(to *wire.Encoder, prefix int16, part wire.CoordinatorRecord, version int16) {
	to.Buf = binary.BigEndian.AppendUint16(to.Buf, uint16(prefix))
	if err := part.Encode(to, version); err != nil {
		panic(fmt.Sprintf("group: encode %T: %v", part, err)) // requests' strings fit, and the version is ours
	}
}

// decodeKey reads a key; nil without an error is one of a type that we do not know. The result owns its memory.
func decodeKey(data []byte) (wire.CoordinatorRecord, error) {
	if len(data) < 2 {
		return nil, fmt.Errorf("%w: key of %d bytes has no type", ErrCorrupt, len(data))
	}
	key := wire.NewConsumerOffsetsKey(int16(binary.BigEndian.Uint16(data)))
	if key == nil {
		return nil, nil
	}
	return key, decodePart(key, data[2:], 0)
}

// decodeValue reads a value, not null, of the type of the key. The result owns its memory.
func decodeValue(value wire.CoordinatorRecord, data []byte) error {
	if len(data) < 2 {
		return fmt.Errorf("%w: value of %d bytes has no version", ErrCorrupt, len(data))
	}
	return decodePart(value, data[2:], int16(binary.BigEndian.Uint16(data)))
}

func decodePart(part wire.CoordinatorRecord, data []byte, version int16) error {
	var decoder wire.Decoder
	decoder.Reset(bytes.Clone(data))
	if err := part.Decode(&decoder, version); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}

// applyRecord changes the durable half of one group. Types that we do not know are left alone, as Kafka's loader does.
func (m *Machine) applyRecord(r *machine.Record) error {
	if state := r.Transaction.State; state == machine.TransactionCommitted || state == machine.TransactionAborted {
		m.endTransaction(r.Transaction.Producer, state == machine.TransactionCommitted)
		return nil
	}
	var err error
	if isOffset(r.Key) {
		err = m.applyOffset(r)
	} else {
		err = m.applyGroup(r)
	}
	if err != nil {
		return fmt.Errorf("offset %d: %w", r.Offset, err)
	}
	return nil
}

// isOffset tells keys of committed offsets: type 1, or 0, whose layout is the same.
func isOffset(key []byte) bool { return len(key) > 2 && key[0] == 0 && key[1] <= 1 }

// offsetScratch decodes commits, of which there are many, with no allocation but for new names.
type offsetScratch struct {
	decoder wire.Decoder
	names   wire.StringTable
	key     wire.OffsetCommitRecordKey
	value   wire.OffsetCommitValue
}

func (m *Machine) applyOffset(r *machine.Record) error {
	d := &m.scratch
	d.decoder.Strings = &d.names
	d.decoder.Reset(r.Key[2:])
	if err := d.key.Decode(&d.decoder, 0); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	group, topic, partition := d.key.Group, d.key.Topic, d.key.Partition
	if r.Value == nil {
		if g := m.groups[group]; g != nil {
			g.removeOffset(topic, partition)
			m.removeUnstable(g, topic, partition)
			m.forget(g)
		}
		return nil
	}
	if len(r.Value) < 2 {
		return fmt.Errorf("%w: value of %d bytes has no version", ErrCorrupt, len(r.Value))
	}
	d.decoder.Reset(r.Value[2:])
	if err := d.value.Decode(&d.decoder, int16(binary.BigEndian.Uint16(r.Value))); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	v := &d.value
	c := Committed{Offset: ids.Offset(v.Offset), LeaderEpoch: ids.LeaderEpoch(v.LeaderEpoch), Metadata: v.Metadata,
		CommitMs: v.CommitTimestamp, ExpireMs: v.ExpireTimestamp, Topic: ids.TopicID(v.TopicId), Journal: newJournal(v.Replaced), at: r.Offset}
	if r.Transaction.State == machine.TransactionOpen {
		m.putUnstable(r.Transaction.Producer, group, ids.TopicPartition{Topic: topic, Partition: partition}, c)
		return nil
	}
	m.group(group).putOffset(topic, partition, c)
	return nil
}

func (m *Machine) applyGroup(r *machine.Record) error {
	key, err := decodeKey(r.Key)
	if err != nil {
		return err
	}
	if key, ok := key.(*wire.GroupMetadataKey); ok {
		return m.applyGroupMetadata(key.Group, r)
	}
	return m.applyConsumerRecord(key, r)
}

func (m *Machine) applyGroupMetadata(group string, r *machine.Record) error {
	if r.Value == nil {
		if g := m.groups[group]; g != nil {
			g.stored = nil
			m.forget(g)
		}
		return nil
	}
	var value wire.GroupMetadataValue
	if err := decodeValue(&value, r.Value); err != nil {
		return err
	}
	m.group(group).stored = bytes.Clone(r.Value)
	return nil
}
