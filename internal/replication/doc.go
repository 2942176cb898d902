// Package replication runs the partitions of this broker: it takes what producers send, hands out what consumers may see, and lets
// requests wait for a watermark.
//
// It owns one Partition for each replica that the metadata places here: the rules (package partition), the log (package
// storage), and the requests that wait for it. Package ottla feeds it metadata; api reaches it through small interfaces. It must never
// know connections, versions or sessions, and never touches a socket: it fires waiters, their connection does the rest.
//
//	logStart ≤ highWatermark ≤ logEnd; with ottla.durability=fsync also highWatermark ≤ durableEnd
//
// A Partition's mutex serialises its appends and changes of role; the list of waiters has a lock of its own; fetches
// take neither, they read the watermark as an atomic. Neither lock is held when a waiter
// is told.
//
// What survives a crash is the log's durable part. Watermarks and waiters start anew.
package replication
