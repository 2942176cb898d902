package record

import (
	"encoding/binary"
	"fmt"

	"github.com/ottla-io/ottla/internal/ids"
)

// ControlType is what a control record says. Its key is: version int16 = 0 | type int16.
type ControlType int16

// Kafka's control record types.
const (
	ControlAbort          ControlType = 0
	ControlCommit         ControlType = 1
	ControlLeaderChange   ControlType = 2
	ControlSnapshotHeader ControlType = 3
	ControlSnapshotFooter ControlType = 4
	ControlKRaftVersion   ControlType = 5
	ControlKRaftVoters    ControlType = 6
)

// String names the type as Kafka's dump-log does.
func (t ControlType) String() string {
	switch t {
	case ControlAbort:
		return "ABORT"
	case ControlCommit:
		return "COMMIT"
	case ControlLeaderChange:
		return "LEADER_CHANGE"
	case ControlSnapshotHeader:
		return "SNAPSHOT_HEADER"
	case ControlSnapshotFooter:
		return "SNAPSHOT_FOOTER"
	case ControlKRaftVersion:
		return "KRAFT_VERSION"
	case ControlKRaftVoters:
		return "KRAFT_VOTERS"
	}
	return fmt.Sprintf("UNKNOWN_CONTROL_%d", int16(t))
}

// ParseControlKey reads a control record's key. Unknown types are no error: readers must skip them.
func ParseControlKey(key []byte) (ControlType, error) {
	if len(key) < 4 {
		return 0, fmt.Errorf("%w: control record key of %d bytes", ErrCorrupt, len(key))
	}
	if version := int16(binary.BigEndian.Uint16(key)); version < 0 {
		return 0, fmt.Errorf("%w: control record key version %d", ErrCorrupt, version)
	}
	return ControlType(binary.BigEndian.Uint16(key[2:])), nil
}

// ControlKey is the key of a control record of type t.
func ControlKey(t ControlType) []byte { return []byte{0, 0, byte(uint16(t) >> 8), byte(t)} }

// EndTransaction is the content of a transaction marker.
type EndTransaction struct {
	Type             ControlType // ControlAbort or ControlCommit
	CoordinatorEpoch int32
}

// ParseEndTransaction reads a transaction marker: value version int16 = 0 | coordinatorEpoch int32. ok is false for a
// control record of another type.
func ParseEndTransaction(key, value []byte) (marker EndTransaction, ok bool, err error) {
	t, err := ParseControlKey(key)
	if err != nil || t != ControlAbort && t != ControlCommit {
		return EndTransaction{}, false, err
	}
	if len(value) < 6 {
		return EndTransaction{}, false, fmt.Errorf("%w: transaction marker of %d bytes", ErrCorrupt, len(value))
	}
	if version := int16(binary.BigEndian.Uint16(value)); version < 0 {
		return EndTransaction{}, false, fmt.Errorf("%w: transaction marker version %d", ErrCorrupt, version)
	}
	return EndTransaction{Type: t, CoordinatorEpoch: int32(binary.BigEndian.Uint32(value[2:]))}, true, nil
}

// EndTransactionMarker makes the control batch that ends a producer's transaction in a partition (KIP-98).
func EndTransactionMarker(id ids.ProducerID, epoch ids.ProducerEpoch, marker EndTransaction, timestampMs int64) Batch {
	value := make([]byte, 6)
	binary.BigEndian.PutUint32(value[2:], uint32(marker.CoordinatorEpoch))
	b := NewBuilder(None, DefaultLevel)
	b.Producer(id, epoch, NoSequence)
	b.Transactional()
	return b.control(timestampMs, marker.Type, value)
}

// ControlBatch makes a control batch of one record; the caller gives the encoded value: LeaderChangeMessage,
// SnapshotHeaderRecord, SnapshotFooterRecord, KRaftVersionRecord or VotersRecord, whose encoding wire owns.
func ControlBatch(t ControlType, base ids.Offset, epoch ids.LeaderEpoch, timestampMs int64, value []byte) Batch {
	b := NewBuilder(None, DefaultLevel)
	b.At(base, epoch)
	return b.control(timestampMs, t, value)
}

func (b *Builder) control(timestampMs int64, t ControlType, value []byte) Batch {
	b.Control()
	b.Append(timestampMs, ControlKey(t), value)
	batch, err := b.Build()
	if err != nil {
		panic("record: control batch: " + err.Error()) // uncompressed and small: cannot fail
	}
	return batch
}
