// Package group is the machine of one partition of __consumer_offsets: the groups that live there, who their members are,
// which partitions each of them owns, and how far each group has read.
//
// A group is a classic one (JoinGroup, SyncGroup; the clients assign), a consumer group (KIP-848; the broker assigns), or
// neither, if somebody only commits offsets under its name. Its records have Kafka 4.3.1's layouts, so that tools that read
// the topic understand them.
//
// The state has two halves, and both are here:
//
//	durable   what Apply made of the records: offsets, the last GroupMetadataValue of a classic group, the records of a consumer
//	          group. Only Apply changes it, and replay of the log, compacted or not, gives the same.
//	volatile  members that wait to join or to sync, pending members, sessions, timers. Commands and Tick change it directly.
//	          After a load, Loaded builds it from the durable half: a classic group that was rebalancing is back in its last
//	          stable generation, and its members find out by their next request.
//
// Commands are methods that fit machine.Submit and machine.SubmitLater: requests come in as the newest version of Kafka's
// messages, records and responses go out, also as the newest version; api lowers both. Client.Version is the version that the
// request came in, because Kafka's rules differ by it. The package owns the rules and Kafka's codes for refusing. It must never
// touch a socket, a disk or a clock, start a goroutine, or draw random numbers but through Config. A topic's existence is asked
// of the image that Config gives. Package ottla runs one Machine per led partition in a machine.Runtime.
package group
