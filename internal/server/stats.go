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
	// mostErrorCode is the highest code that has a counter of its own; UNKNOWN_SERVER_ERROR (-1) has the first.
	mostErrorCode = 150
)

// Stage is a part of a request's way. The stages of a request follow each other without gaps, so they add up to its latency.
type Stage uint8

const (
	// StageQueue is from when the request's last byte was read until its handler is called: handlers of the requests before it in the
	// same read, and the wait for room when too many replies are due.
	StageQueue Stage = iota
	// StageLocal is the handler.
	StageLocal
	// StageWait is how long a parked request waits for a watermark, a commit, other members or a timer: Kafka's RemoteTime.
	StageWait
	// StageOrder is how long a ready reply waits for those before it on its connection: Kafka's ResponseQueueTime.
	StageOrder
	// StageSend is from then until the kernel has taken the reply.
	StageSend

	// Stages is how many there are.
	Stages
)

func (s Stage) String() string { return [Stages]string{"queue", "local", "wait", "order", "send"}[s] }

// Path is what one request's time went into, by stage.
type Path [Stages]time.Duration

// Total is the request's latency.
func (p *Path) Total() (total time.Duration) {
	for _, part := range p {
		total += part
	}
	return total
}

type counters struct {
	accepted          atomic.Uint64
	bytesIn, bytesOut atomic.Uint64
	closed            [reasons]atomic.Uint64
	apis              [apiKeys]atomic.Pointer[apiCounters]
}

type apiCounters struct {
	requests, replies, silents, waits atomic.Uint64
	bytesIn, bytesOut                 atomic.Uint64
	waiting                           atomic.Int64 // parked, and not finished or cancelled yet
	latency                           durations
	stages                            [Stages]durations
	errors                            atomic.Pointer[errorCounters]
}

// errorCounters are made when an API first answers with an error; the code that stands at i is i-1.
type errorCounters [mostErrorCode + 2]atomic.Uint64

// durations is a histogram. Those below a microsecond are not counted in it: how many there are in all is known elsewhere.
type durations struct {
	ns      atomic.Uint64
	buckets [LatencyBuckets]atomic.Uint64
}

func (d *durations) add(took time.Duration) {
	if took == 0 {
		return
	}
	d.ns.Add(uint64(took))
	if bucket := bits.Len64(uint64(took / time.Microsecond)); bucket > 0 {
		d.buckets[min(bucket, LatencyBuckets-1)].Add(1)
	}
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

func (a *apiCounters) reply(s *slot, path Path) {
	a.replies.Add(1)
	a.bytesOut.Add(uint64(s.sent))
	if s.waited {
		a.waits.Add(1)
	}
	a.observe(&path)
	for _, tally := range s.encoder.Codes() {
		a.fail(tally)
	}
}

// silent counts a request without a reply. Whether it failed only its connection's end tells.
func (a *apiCounters) silent(path Path) {
	a.silents.Add(1)
	a.observe(&path)
}

func (a *apiCounters) observe(path *Path) {
	for i, took := range path {
		a.stages[i].add(took)
	}
	a.latency.add(path.Total())
}

func (a *apiCounters) fail(tally wire.CodeCount) {
	counts := a.errors.Load()
	if counts == nil {
		a.errors.CompareAndSwap(nil, new(errorCounters))
		counts = a.errors.Load()
	}
	at := min(max(int(tally.Code)+1, 0), len(counts)-1)
	counts[at].Add(uint64(tally.Count))
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

// Durations is a histogram of times.
type Durations struct {
	Sum     time.Duration
	Buckets [LatencyBuckets]uint64
}

// APIStats counts one request type. The clock is read once a read, after each handler, when a parked request wakes, and before and
// after each write.
type APIStats struct {
	Key  int16
	Name string
	// Requests that were handled; Replies that left; Waits are those of them that were parked.
	Requests, Replies, Waits uint64
	BytesIn, BytesOut        uint64
	// Waiting are parked now: Kafka's purgatory.
	Waiting int64
	// Latency is from read to sent, of replies that left and of requests that get none; Stages are its parts, by Stage.
	Latency Durations
	Stages  [Stages]Durations
	// Errors counts the codes in replies, ErrorNone left out: one for each partition, topic or group that was refused, or for the whole.
	Errors map[wire.ErrorCode]uint64
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
		Key: key, Name: wire.APIName(key), Requests: a.requests.Load(), Waits: a.waits.Load(), Waiting: a.waiting.Load(),
		BytesIn: a.bytesIn.Load(), BytesOut: a.bytesOut.Load(), Errors: map[wire.ErrorCode]uint64{},
	}
	stats.Latency = a.latency.snapshot()
	for i := range a.stages {
		stats.Stages[i] = a.stages[i].snapshot()
	}
	// They are counted before what they bound, and read after it.
	stats.Replies = a.replies.Load()
	observed := stats.Replies + a.silents.Load()
	stats.Latency.fill(observed)
	for i := range stats.Stages {
		stats.Stages[i].fill(observed)
	}
	if counts := a.errors.Load(); counts != nil {
		for i := range counts {
			if n := counts[i].Load(); n > 0 {
				stats.Errors[wire.ErrorCode(i-1)] = n
			}
		}
	}
	return stats
}

func (d *durations) snapshot() (all Durations) {
	all.Sum = time.Duration(d.ns.Load())
	for i := range d.buckets {
		all.Buckets[i] = d.buckets[i].Load()
	}
	return all
}

// fill puts into the first bucket those of count that are in no other.
func (d *Durations) fill(count uint64) {
	for _, n := range d.Buckets[1:] {
		count -= min(n, count)
	}
	d.Buckets[0] = count
}
