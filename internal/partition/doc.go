// Package partition holds the rules of one replica of one partition: who leads and in which epoch, who may append,
// how far the in-sync replicas have come, and what consumers may see. It decides; package replication acts.
//
// Invariant: logStart ≤ highWatermark ≤ end of every in-sync replica ≤ logEnd of the leader. What "end" means depends on
// the durability of the partition: with fsync it is the replica's durable end, so that the watermark covers only what
// every in-sync replica has on disk; with replicated it is the log's end, as in Kafka (KIP-101, KIP-966).
//
// It must never do I/O, start a goroutine, lock, or ask the time: its one caller, a replication.Partition, serialises all
// calls. Nothing here survives a crash except what storage has synced: the watermark starts again from the log.
package partition
