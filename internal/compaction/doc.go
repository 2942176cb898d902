// Package compaction is the rules by which a compacted log keeps the newest record of each key: which logs are due, what a round remembers of a log, what
// becomes of each batch, which segments become one. They are those of Kafka's LogCleaner, Cleaner and MemoryRecords.filterTo, with KIP-534's delete horizons.
//
// It owns decisions, and the memory that they need. It is pure: no file, no lock, no clock, no goroutine. It must never know a log's segments as files, nor in
// which order a new one takes the place of others: storage, its one caller, reads the batches, checks that they are whole, writes what is decided, and swaps
// segments. Nothing here survives a crash: a Round that did not end is begun anew, from the first dirty offset that storage has written down.
//
// A round has two passes over the log, each in the order of offsets:
//
//	Note    batches from the first dirty offset on: the newest offset of each key, until the map is full or the range ends
//	Decide  batches from the log's start up to there: each stays as it is, loses records, its records, or goes
//
// An error of either is damage in the batch that it was given.
package compaction
