package server

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/ottla-io/ottla/internal/wire"
)

const (
	apiKeys = 128
	// LatencyBuckets are powers of two of microseconds: bucket i counts latencies < 2^i µs, the last one all others.
	LatencyBuckets = 26
)

type counters struct {
	accepted          atomic.Uint64
	bytesIn, bytesOut atomic.Uint64
	closed            [reasons]atomic.Uint64
	apis              [apiKeys]atomic.Pointer[apiCounters]
}

type apiCounters struct {
	requests, replies, waits  atomic.Uint64
	bytesIn, bytesOut         atomic.Uint64
	localNs, remoteNs, sendNs atomic.Uint64
	latency                   [LatencyBuckets]atomic.Uint64
}

// of finds the counters of an ApiKey that the table knows.
func (c *counters) of(key int16) *apiCounters {
	at := &c.apis[uint16(key)%apiKeys]
	if found := at.Load(); found != nil {
		return found
	}
	at.CompareAndSwap(nil, &apiCounters{})
	return at.Load()
}

func (a *apiCounters) request(bytes int) {
	a.requests.Add(1)
	a.bytesIn.Add(uint64(bytes))
}

func (a *apiCounters) reply(bytes int, waited bool, handling, sending time.Duration) {
	a.replies.Add(1)
	a.bytesOut.Add(uint64(bytes))
	if waited {
		a.waits.Add(1)
		a.remoteNs.Add(uint64(handling))
	} else {
		a.localNs.Add(uint64(handling))
	}
	a.sendNs.Add(uint64(sending))
	bucket := bits.Len64(uint64((handling + sending) / time.Microsecond))
	a.latency[min(bucket, LatencyBuckets-1)].Add(1)
}

// Stats is what the server has counted since it was made.
type Stats struct {
	// Open is the number of connections, Accepted of those ever admitted.
	Open     int
	Accepted uint64
	// Closed counts ends of connections, and refusals, by reason.
	Closed map[Reason]uint64
	// BytesIn and BytesOut are what was read from and written to sockets.
	BytesIn, BytesOut uint64
	// MemoryUsed is what buffers and waiting replies take of Limits.MemoryBytes; MemoryKept is kept for reuse beside it.
	MemoryUsed, MemoryKept int64
	APIs                   []APIStats
}

// APIStats counts one request type. Clocks are read once a read batch, so a request's time includes that of the requests
// before it in the same read. There is no queue between reader and handler, hence no queue time.
type APIStats struct {
	Key  int16
	Name string
	// Requests that were handled; Replies that left; Waits are those of them that were parked.
	Requests, Replies, Waits uint64
	BytesIn, BytesOut        uint64
	// Local is the time of replies that did not wait, until they could be sent; Remote the same for those that were parked.
	Local, Remote time.Duration
	// Send is the time from then until the kernel had taken them.
	Send time.Duration
	// Latency counts replies by time from read to sent.
	Latency [LatencyBuckets]uint64
}

// Stats takes a snapshot. Its numbers are read one after the other, not at one moment.
func (s *Server) Stats() Stats {
	snapshot := Stats{
		Accepted: s.stats.accepted.Load(),
		Closed:   make(map[Reason]uint64),
		BytesIn:  s.stats.bytesIn.Load(),
		BytesOut: s.stats.bytesOut.Load(),
	}
	s.mu.Lock()
	snapshot.Open = len(s.connections)
	s.mu.Unlock()
	snapshot.MemoryUsed, snapshot.MemoryKept = s.buffers.account()
	for reason := range reasons {
		if n := s.stats.closed[reason].Load(); n > 0 {
			snapshot.Closed[reason] = n
		}
	}
	for key := range s.stats.apis {
		if counted := s.stats.apis[key].Load(); counted != nil {
			snapshot.APIs = append(snapshot.APIs, counted.snapshot(int16(key)))
		}
	}
	return snapshot
}

func (a *apiCounters) snapshot(key int16) APIStats {
	stats := APIStats{
		Key: key, Name: wire.APIName(key),
		Requests: a.requests.Load(), Replies: a.replies.Load(), Waits: a.waits.Load(),
		BytesIn: a.bytesIn.Load(), BytesOut: a.bytesOut.Load(),
		Local: time.Duration(a.localNs.Load()), Remote: time.Duration(a.remoteNs.Load()), Send: time.Duration(a.sendNs.Load()),
	}
	for i := range a.latency {
		stats.Latency[i] = a.latency[i].Load()
	}
	return stats
}
