package manifest

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
)

// The file ottla.largest-timestamps, in a log directory, tells the largest timestamps of active segments below their recovery points, where the time index
// doesn't: it grows with each larger timestamp only, and its newest entries may be lost in a power cut, so recovery cannot tell an index that has no more
// entries from one that lost them, and would read a segment whose records all bear one time from that time's first record on. It is written before the
// recovery points, and believed for a log if both say the same; otherwise recovery reads more. Framed as the manifest is, with entries of
//
//	topic, partition, topic id                        uvarint length and bytes, uvarint, 16 bytes
//	segment's base, recovery point                    uvarints
//	largest timestamp, last offset of its batch       varint, uvarint
const largestMagic = "OTTLALT1"

// Largest is the largest timestamp of one log's active segment below the recovery point.
type Largest struct {
	ID        ids.TopicID
	Base      ids.Offset // the segment's
	Point     ids.Offset
	Timestamp int64
	Offset    ids.Offset
}

// LargestTimestamps is the file's content.
type LargestTimestamps map[ids.TopicPartition]Largest

// Encode makes the file.
func (t LargestTimestamps) Encode() []byte {
	entries := make([][]byte, 0, len(t))
	for _, tp := range slices.SortedFunc(maps.Keys(t), ids.TopicPartition.Compare) {
		e := t[tp]
		out := appendPartition(nil, tp, e.ID)
		out = binary.AppendUvarint(binary.AppendUvarint(out, uint64(e.Base)), uint64(e.Point))
		entries = append(entries, binary.AppendUvarint(binary.AppendVarint(out, e.Timestamp), uint64(e.Offset)))
	}
	return frame(largestMagic, entries)
}

// OpenLargest reads what Encode made.
func OpenLargest(data []byte) (LargestTimestamps, error) {
	entries, err := unframe(largestMagic, data)
	if err != nil {
		return nil, err
	}
	out := make(LargestTimestamps, len(entries))
	for _, entry := range entries {
		r := reader{data: entry}
		tp := r.partition()
		e := Largest{ID: r.topicID(), Base: ids.Offset(r.uvarint()), Point: ids.Offset(r.uvarint()), Timestamp: r.varint(), Offset: ids.Offset(r.uvarint())}
		if r.bad || len(r.data) > 0 {
			return nil, ErrDamaged
		}
		out[tp] = e
	}
	return out, nil
}
