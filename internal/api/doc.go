// Package api answers Kafka's requests: one file a request type, named after it, and one dispatch table.
//
// It owns the meaning of requests: versions served, codes answered, fetch sessions, long polls, how long a request waits.
// It must never touch a socket, a file or a goroutine, never block the connection's reader on a disk sync or another
// broker, and know of partitions, the controller and the cluster's state only what the interfaces in deps.go say.
//
// The server calls a handler on the reader's goroutine of the connection, one request after the other. A handler either
// writes the whole reply, or parks: it leaves a Pending behind, which is woken once (by a watermark, a commit, a timer) and
// writes the reply when its turn has come. Package ottla builds the Table from Deps.
//
// # State of a request
//
// Produce and Fetch keep all state of a request in one pooled struct: decoded request, response, what it waits on. What
// waits lies inside it (replication.Waiter), so parking allocates nothing. A struct goes back to its pool only when nobody
// can call it any more; where a callback is still on its way (Unwatch or Timer.Stop came too late) it is left to the
// garbage collector instead. A mutex in each guards only the hand-over: whoever takes the parked request out of its gate
// wakes it, so that it is woken exactly once.
//
// Nothing here survives a crash. Clients whose fetch session is gone are told so (FETCH_SESSION_ID_NOT_FOUND) and start
// another; producer ids of an unused rest of a block are never given to anybody.
package api
