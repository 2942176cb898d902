// Package storage keeps partition logs on disk, in Kafka's own layout, byte for byte: one directory a partition, segments with
// a sparse offset index and a sparse time index, leader epochs, producer snapshots.
//
// It owns everything below the data directories. It must never know the network, the wire protocol's requests, replicas or
// watermarks' rules: it is told an epoch and given whole, validated batches. replication appends and reads; the
// adapters of machines do so for internal topics; inspect reads the same files offline.
//
// What can be said without its locks and its files lies elsewhere: names and small formats in logfiles, manifest and producerstate, the rules of compaction in
// compaction, leader epochs in epochs, the scheduler of background work in background, whole files in vfs.
//
// # Offsets of one log
//
//	logStart ≤ durableEnd ≤ logEnd
//	logStart ≤ recoveryPoint ≤ durableEnd        recoveryPoint is what recovery-point-offset-checkpoint says
//
// logEnd moves with an append, durableEnd with a flush round that covered it, the recovery point with a checkpoint:
// after 16 MiB of flushed data, or a few seconds, so it lags behind durableEnd by no more than that.
//
// A round covers the logs that somebody asked for since the last one, and no others: one with Replicated durability, where nobody waits for the disk, is asked for
// when it has new files, 64 MiB, flush.messages or flush.ms behind it, or when too many such logs hold a file open.
//
// # What survives a crash
//
// Everything below durableEnd. Of the rest, any whole batches up to the first one that is damaged: recovery cuts there. A
// damaged batch below the recovery point is corruption, not a torn tail: the log is refused with a *CorruptError
// and left as it is. Between the recovery point and durableEnd the two cannot be told apart, which is why the point follows closely.
//
// What is derived of the batches follows the same line. Epochs, transaction indexes and the producer snapshots at segments' bases are durable up to the recovery
// point; what lies above the point recovery makes anew, or drops, with the files that a crash left without their segment.
// Indexes are hints: who follows an entry checks where it leads. Batches that lay on the disk through a stop are checked once, before they are sent.
//
// After a failed fsync the kernel may show bytes that the disk doesn't have, so nothing is believed that was not durable before:
// the directory goes offline, and the file ottla.failed-sync records where each log's durable part ends, if the disk still takes
// it. The next start cuts there. Should that file be lost too, recovery writes the bytes above the recovery point once more before
// it syncs them, so that what it then calls durable was really written.
//
// # Compaction
//
// A store compacts its logs in the background, one at a time (see cleaner, logCompaction and swap). What it does to them, by the rules of package compaction, is what Kafka's LogCleaner does: below the
// first dirty offset, which cleaner-offset-checkpoint holds, each key has its newest record only, but for tombstones and transaction markers whose time has not
// come. Offsets never change; some are missing. The last batch of each producer stays, without its records if need be, and so does the last of what was compacted.
//
//	logStart ≤ firstDirty ≤ firstUncleanable ≤ recoveryPoint
//
// A new segment takes the place of others whole, at each moment of a crash; readers keep the bytes that they have begun to read.
//
// # Locks
//
// Each log has one append lock (Log.mu), held across the one write of an append, and across one sync of its
// directory where it rolls again before a flush round has made the names of the last roll durable. Reads don't take it: they use the published
// size, the immutable list of segments and short locks that guard only memory. No lock is held while an owner's
// callback runs.
package storage
