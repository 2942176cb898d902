// Package replication runs the partitions of this broker: it takes what producers send, hands out what consumers may see, and lets
// requests wait for a watermark.
//
// It owns one Partition for each replica that the metadata places here: the rules (package partition), the log (package
// storage), and the requests parked on it. Package ottla feeds it metadata; api reaches it through small interfaces. It must never
// know connections, versions or sessions, and never touches a socket: it marks parked requests, their connection does the rest.
//
//	logStart ≤ highWatermark ≤ logEnd; with ottla.durability=fsync also highWatermark ≤ durableEnd
//
// A Partition's mutex serialises its appends and changes of role; the list of parked requests has a lock of its own; fetches
// take neither, they read the watermark as an atomic. Lock order: Partition.mu before waitList.mu; neither is held when a
// parked request is woken.
//
// What survives a crash is the log's durable part. Watermarks and parked requests start anew.
package replication
