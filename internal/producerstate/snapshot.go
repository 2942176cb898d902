package producerstate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/ottla-io/ottla/internal/ids"
)

const (
	snapshotVersion = 1
	snapshotHeader  = 10
	snapshotEntry   = 46
)

// ErrCorruptSnapshot means that a .snapshot file is not one: delete it and replay from an earlier one.
var ErrCorruptSnapshot = errors.New("corrupt producer snapshot")

// Kept as a variable only because Go has no constant tables; never written.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Snapshot encodes the state as Kafka's .snapshot file, producers by id. Name it by End.
func (s *State) Snapshot() []byte {
	all := s.Producers()
	out := make([]byte, snapshotHeader, snapshotHeader+len(all)*snapshotEntry)
	binary.BigEndian.PutUint16(out, snapshotVersion)
	binary.BigEndian.PutUint32(out[6:], uint32(len(all)))
	for _, p := range all {
		out = binary.BigEndian.AppendUint64(out, uint64(p.ID))
		out = binary.BigEndian.AppendUint16(out, uint16(p.Epoch))
		out = binary.BigEndian.AppendUint32(out, uint32(p.LastSequence))
		out = binary.BigEndian.AppendUint64(out, uint64(p.LastOffset))
		out = binary.BigEndian.AppendUint32(out, uint32(p.OffsetDelta))
		out = binary.BigEndian.AppendUint64(out, uint64(p.LastTimestampMs))
		out = binary.BigEndian.AppendUint32(out, uint32(p.CoordinatorEpoch))
		out = binary.BigEndian.AppendUint64(out, uint64(p.TxnFirstOffset))
	}
	binary.BigEndian.PutUint32(out[2:], crc32.Checksum(out[6:], castagnoli))
	return out
}

// ParseSnapshot reads Kafka's .snapshot file without making a State. Errors wrap ErrCorruptSnapshot.
func ParseSnapshot(data []byte) ([]Producer, error) {
	if len(data) < snapshotHeader {
		return nil, fmt.Errorf("%w: %d bytes", ErrCorruptSnapshot, len(data))
	}
	if v := int16(binary.BigEndian.Uint16(data)); v != snapshotVersion {
		return nil, fmt.Errorf("%w: version %d, want %d", ErrCorruptSnapshot, v, snapshotVersion)
	}
	if stored, computed := binary.BigEndian.Uint32(data[2:]), crc32.Checksum(data[6:], castagnoli); stored != computed {
		return nil, fmt.Errorf("%w: checksum %#x, computed %#x", ErrCorruptSnapshot, stored, computed)
	}
	count := int32(binary.BigEndian.Uint32(data[6:]))
	if int64(count)*snapshotEntry != int64(len(data)-snapshotHeader) {
		return nil, fmt.Errorf("%w: %d bytes cannot be %d entries", ErrCorruptSnapshot, len(data), count)
	}
	all := make([]Producer, 0, count)
	seen := make(map[ids.ProducerID]bool, count)
	for e := data[snapshotHeader:]; len(e) > 0; e = e[snapshotEntry:] {
		p := Producer{
			ID:               ids.ProducerID(binary.BigEndian.Uint64(e)),
			Epoch:            ids.ProducerEpoch(binary.BigEndian.Uint16(e[8:])),
			LastSequence:     int32(binary.BigEndian.Uint32(e[10:])),
			LastOffset:       ids.Offset(binary.BigEndian.Uint64(e[14:])),
			OffsetDelta:      int32(binary.BigEndian.Uint32(e[22:])),
			LastTimestampMs:  int64(binary.BigEndian.Uint64(e[26:])),
			CoordinatorEpoch: int32(binary.BigEndian.Uint32(e[34:])),
			TxnFirstOffset:   ids.Offset(binary.BigEndian.Uint64(e[38:])),
		}
		if p.LastOffset >= 0 {
			p.Batches = 1
		}
		if p.ID < 0 || p.OffsetDelta < 0 || seen[p.ID] {
			return nil, fmt.Errorf("%w: producer %d with offset delta %d, seen before: %t", ErrCorruptSnapshot, p.ID, p.OffsetDelta, seen[p.ID])
		}
		seen[p.ID] = true
		all = append(all, p)
	}
	return all, nil
}

// Load makes the state that a .snapshot file describes; end is the offset in the file's name. Nothing is expired yet.
// Replay the log from end on with Update, and, for the window of five, what lies below it with Backfill.
// Errors wrap ErrCorruptSnapshot.
func Load(data []byte, end ids.Offset, expirationMs int64) (*State, error) {
	all, err := ParseSnapshot(data)
	if err != nil {
		return nil, err
	}
	s := New(expirationMs)
	s.end = end
	for _, d := range all {
		p := newProducer()
		p.epoch, p.coordinatorEpoch, p.timestampMs = d.Epoch, d.CoordinatorEpoch, d.LastTimestampMs
		if d.Batches > 0 {
			p.push(batch{lastOffset: d.LastOffset, timestampMs: d.LastTimestampMs, lastSeq: d.LastSequence, delta: d.OffsetDelta})
		}
		if d.TxnFirstOffset >= 0 {
			p.firstTxnOffset = d.TxnFirstOffset
			s.begin(transaction{producer: d.ID, first: d.TxnFirstOffset, last: noOffset})
		}
		s.producers[d.ID] = p
	}
	return s, nil
}
