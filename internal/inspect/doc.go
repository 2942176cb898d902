// Package inspect reads the files of a data directory, of Ottla or of Kafka, while no broker uses them: Dump prints what
// they say, Verify names what in them is wrong, Stat sums them up, and Adopt tells whether Ottla can serve what Kafka wrote.
//
// It owns no format: record, producerstate, metadata and wire know the bytes. It reads indexes and checkpoints with code of
// its own, on purpose not with logfiles' and manifest's, which storage writes them with, so that it can tell when those are wrong. It must never write, never
// guess (what it cannot judge offline, doc comments of Verify list), and never use more memory than a batch and its
// decompressed records, whatever a file declares. cmd/ottla/internal/logs calls it (ottla log dump, verify,
// stat, adopt), and package ottla calls Adopt before it opens the storage. Nothing here
// survives a crash, because nothing is stored.
package inspect
