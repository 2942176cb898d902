package producerstate

import (
	"encoding/binary"
	"fmt"

	"github.com/ottla-io/ottla/internal/ids"
)

// TxnIndexEntrySize is the size in bytes of one entry of a .txnindex file:
//
//	version int16 = 0 | producerId int64 | firstOffset int64 | lastOffset int64 | lastStableOffset int64
const TxnIndexEntrySize = 34

// AppendTxnIndexEntry appends an aborted transaction's entry to dst.
func (c Completed) AppendTxnIndexEntry(dst []byte) []byte {
	dst = append(dst, 0, 0)
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.ProducerID))
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.FirstOffset))
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.LastOffset))
	return binary.BigEndian.AppendUint64(dst, uint64(c.LastStableOffset))
}

// ParseTxnIndexEntry reads the entry at the start of p.
func ParseTxnIndexEntry(p []byte) (Completed, error) {
	if len(p) < TxnIndexEntrySize {
		return Completed{}, fmt.Errorf("transaction index entry of %d bytes, want %d", len(p), TxnIndexEntrySize)
	}
	if v := int16(binary.BigEndian.Uint16(p)); v != 0 {
		return Completed{}, fmt.Errorf("transaction index entry of version %d, want 0", v)
	}
	return Completed{
		ProducerID:       ids.ProducerID(binary.BigEndian.Uint64(p[2:])),
		FirstOffset:      ids.Offset(binary.BigEndian.Uint64(p[10:])),
		LastOffset:       ids.Offset(binary.BigEndian.Uint64(p[18:])),
		LastStableOffset: ids.Offset(binary.BigEndian.Uint64(p[26:])),
		Aborted:          true,
	}, nil
}
