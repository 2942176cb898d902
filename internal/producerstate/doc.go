// Package producerstate knows, for one partition, what each idempotent or transactional producer last appended (KIP-98):
// its epoch, its last five batches, and the transaction that it has open.
//
// It owns the rules of sequence numbers and epochs, the offsets below which transactions are decided, and the bytes of
// Kafka's .snapshot and .txnindex files. It is pure: no I/O, no clock, no goroutine, no lock; the log that
// owns a State guards it with its own append lock. It must never refuse what the log already holds: Check decides before
// an append, Update only records. storage calls it; inspect reads its formats.
//
// A State survives a crash as snapshot + replay of the log's batches from the snapshot's offset on. Kafka's snapshot keeps
// one batch per producer, so of the window of five only the last batch survives in the file. Backfill rebuilds the
// rest from the log below the snapshot, as far back as the caller cares to read.
//
// The snapshot file, all integers big-endian; CRC-32C of what follows it; named by the offset after the last covered one:
//
//	version int16 = 1 | crc uint32 | count int32 | count × 46 bytes:
//	producerId int64 | producerEpoch int16 | lastSequence int32 | lastOffset int64 | offsetDelta int32 |
//	timestamp int64 | coordinatorEpoch int32 (-1) | currentTxnFirstOffset int64 (-1)
//
// lastSequence and lastOffset are -1 for a producer of whom only a transaction marker is known.
package producerstate
