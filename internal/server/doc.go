// Package server is the edge that Kafka clients talk to: it accepts connections, cuts their bytes into requests, runs the
// handlers of package api, and sends the replies back in the order of the requests.
//
// One goroutine per connection reads. It reads much at once and runs the handlers of all complete requests of that read
// itself, one after the other; a handler never waits. A request that must wait (for a flush, a follower, a commit, more
// bytes to fetch) is parked in its slot of the connection's FIFO while the reader goes on with the next. What is ready at
// the head of the FIFO leaves in one vectored write: by the reader itself at the end of its batch, or, when a parked head
// wakes later, by a writer goroutine that is lent to the connection while something is ready.
//
// Writer goroutines are lent to connections and a few idle ones are kept, so that a wake costs no new goroutine.
//
// A connection that is idle for a while rests: see rest.go.
//
//	bytes ─→ reader ─→ handler ─→ slot ─┐ FIFO, bounded by requestsInFlight and replyBytesPerConnection
//	             └─── writes ready ←────┤
//	   Request.Wake ─→ writer ─→ Finish ┘
//
// Invariants (design §5, 4 and 7):
//
//   - replies leave in request order, exactly one for a request, none for a Silent one;
//   - of a parked request's Pending exactly one of Finish and Cancel is called, once;
//   - every FileRegion is released once, sent or not; a source shorter than its region closes the connection;
//   - !writing ∧ !inBatch ⇒ the head of the FIFO is not ready: nobody forgets a reply;
//   - bytes held for a frame ≤ 8 × bytes received of it + one read buffer, or what its client has filled before, whatever its length field says.
//
// A panic is a bug of ours and ends the process: whoever panics may hold locks or have changed half of something, and to go on from
// there is worse than a restart, which takes no time and loses nothing that was acknowledged. The exception is a panic while a request is
// decoded or its reply encoded (not Request.Acting): that code reads bytes from anybody, shares nothing and holds no lock, so it costs
// the one connection. It is counted as HandlerPanicked, and the first one is reported with its stack. (Package record does the
// same around decompressors.)
//
// It never looks inside a request's body, never touches a file but through FileRegion.Source, and knows no topic. Package
// ottla makes it and connects its Events. Nothing here survives a crash; a client whose connection ends asks again.
package server
