// Package record owns the bytes of record batches, format v2 (KIP-98), the only format that Kafka 4 writes: framing,
// header access, validation of what clients send, iteration, building, and the four compression codecs.
//
// It is pure: no I/O, no clock, no goroutine, nothing kept between calls but pools of codec state. It must never
// trust a length or a count from the bytes: every allocation is bounded by the bytes at hand or by Limits.
// It must never re-encode what passes through: the only bytes of a client's batch that change are those outside the
// CRC (base offset, leader epoch), and the timestamp fields where Kafka itself rewrites them.
//
// storage, producerstate, api, the machines and inspect call it. Nothing here survives a crash, because nothing is
// stored here; the bytes it makes and checks are what storage stores.
//
// A batch, all integers big-endian:
//
//	 0  baseOffset            int64   outside the CRC, patched at append
//	 8  batchLength           int32   bytes after this field
//	12  partitionLeaderEpoch  int32   outside the CRC, patched at append
//	16  magic                 int8    2
//	17  crc                   uint32  CRC-32C of everything from attributes to the end
//	21  attributes            int16   0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
//	23  lastOffsetDelta       int32
//	27  baseTimestamp         int64   the delete horizon if attribute bit 6 is set
//	35  maxTimestamp          int64
//	43  producerId            int64   -1 none
//	51  producerEpoch         int16
//	53  baseSequence          int32
//	57  recordCount           int32
//	61  records, compressed as a whole if codec is not 0
//
// A record, varints in zigzag:
//
//	length varint | attributes int8 | timestampDelta varlong | offsetDelta varint
//	keyLength varint (-1 null) key | valueLength varint (-1 null) value
//	headerCount varint | { keyLength varint, key | valueLength varint (-1 null), value }
package record
