package api

import (
	"sync"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

// Fetch, key 1, versions 4-18.
//
// KIP-74 (bounds of bytes; the first batch comes whole), KIP-98 (isolation), KIP-227 (sessions, v7), KIP-320 (leader epochs,
// v9), KIP-516 (topic ids, v13: UNKNOWN_TOPIC_ID for an id that no topic has), KIP-595 (diverging epochs, v12), KIP-951 (the
// new leader, v16), KIP-1166 (the follower's high watermark, v18: nobody here waits for one to move).
//
// Where we differ from Kafka 4.3.1, on purpose:
//   - Everybody is a consumer: who names a replica id sees nothing past the high watermark either.
//   - The rack is ignored: replicas are read at the leader only (KIP-392 comes with followers).
//   - A request for a session whose last request is still waiting gets INVALID_FETCH_SESSION_EPOCH.
//   - A partition named twice is answered twice. Kafka takes the last.
//   - Only whole batches are sent, where Kafka fills the rest of the allowed bytes with a part of one.
//   - A long poll of a partition that does not exist is answered at once. Kafka lets it wait.
//   - A long poll that finds nothing is answered up to 1/32 later than the client asked, together with others. Kafka is exact to about a millisecond.

// Isolation levels (KIP-98).
const (
	readUncommitted int8 = 0
	readCommitted   int8 = 1
)

// fetchHandler owns the pool of Fetch requests and the fetch sessions.
type fetchHandler struct {
	deps     *Deps
	waits    run.Env // whose timers are coarse
	pool     sync.Pool
	sessions fetchSessions
}

func (h *fetchHandler) init(deps *Deps, waits run.Env) {
	h.deps, h.waits = deps, waits
	h.pool.New = func() any { return &fetchRequest{handler: h} }
	h.sessions = fetchSessions{env: deps.Env, slots: deps.Settings.FetchSessionSlots, partitions: deps.Partitions, byID: map[int32]*fetchSession{}}
}

// fetchRequest is all state of one Fetch request, pooled.
type fetchRequest struct {
	handler *fetchHandler
	decoder wire.Decoder
	req     wire.FetchRequest
	resp    wire.FetchResponse
	request *Request // that is parked

	session *fetchSession // nil without one
	set     *fetchSet     // the session's, or own
	own     fetchSet
	entries []*fetchEntry // of own: the first used ones
	used    int
	full    bool // every partition is answered, not only those with something to tell
	byID    bool // topics are named by id

	minBytes, maxBytes int
	anyByte            bool // see fetchEntry.Fired
	results            []fetchResult

	timer run.Timer
	armed bool
	// Guarded by set.mu: the timer ran; the connection went away while somebody looked.
	expired, cancelled bool
}

// fetchResult is what a look at one partition found.
type fetchResult struct {
	entry     *fetchEntry
	hadRegion bool
	replication.Fetched
}

// handle serves one request.
func (h *fetchHandler) handle(r *Request) Outcome {
	f := h.pool.Get().(*fetchRequest)
	if err := decode(r, &f.decoder, &f.req); err != nil {
		f.release()
		return hangup(r, err)
	}
	if level := f.req.IsolationLevel; level != readUncommitted && level != readCommitted {
		f.refuseAll(r.Version, wire.ErrorUnknownServerError)
		outcome := reply(r, &f.resp)
		f.release()
		return outcome
	}
	if code := f.begin(r); code != wire.ErrorNone {
		f.resp.Default()
		f.resp.ErrorCode = code
		outcome := reply(r, &f.resp)
		f.release()
		return outcome
	}
	f.maxBytes = r.mostFetchBytes(int(min(f.req.MaxBytes, h.deps.Settings.FetchMaxBytes)))
	f.minBytes = min(int(f.req.MinBytes), f.maxBytes)
	f.anyByte = f.minBytes <= 1 && f.req.IsolationLevel != readCommitted
	if f.req.MaxWaitMs <= 0 || f.minBytes <= 0 || f.isEmpty() {
		f.look()
		return f.answer(r)
	}
	return f.poll(r)
}

// begin resolves the session (KIP-227).
func (f *fetchRequest) begin(r *Request) wire.ErrorCode {
	req, sessions, byID := &f.req, &f.handler.sessions, r.Version >= 13
	f.session, f.full, f.byID = nil, true, byID
	if epoch := req.SessionEpoch; epoch != initialSessionEpoch && epoch != finalSessionEpoch {
		session, code := sessions.resume(req.SessionId, epoch, byID)
		if code != wire.ErrorNone {
			return code
		}
		f.full = false
		f.hold(session)
		return wire.ErrorNone
	}
	if req.SessionId != 0 {
		sessions.end(req.SessionId)
	}
	if req.SessionEpoch == initialSessionEpoch && r.Version >= 7 {
		count := 0
		for i := range req.Topics {
			count += len(req.Topics[i].Partitions)
		}
		if session := sessions.begin(count, byID); session != nil {
			f.hold(session)
			return wire.ErrorNone
		}
	}
	f.set = &f.own
	for i := range req.Topics {
		topic := &req.Topics[i]
		for j := range topic.Partitions {
			e := f.nextEntry()
			e.take(topic, &topic.Partitions[j])
			f.own.dirty.pushBack(e)
		}
	}
	return wire.ErrorNone
}

func (f *fetchRequest) hold(session *fetchSession) {
	f.session, f.set = session, &session.set
	session.update(&f.req, f.handler.deps.Partitions)
}

func (f *fetchRequest) nextEntry() *fetchEntry {
	if f.used == len(f.entries) {
		e := &fetchEntry{set: &f.own}
		e.waiter.Owner = e
		f.entries = append(f.entries, e)
	}
	e := f.entries[f.used]
	f.used++
	return e
}

func (f *fetchRequest) isEmpty() bool {
	if f.session != nil {
		return len(f.session.entries) == 0
	}
	return f.used == 0
}

// look asks the dirty partitions, in their order, and keeps what they give in f.results; whoever looks must answer with the
// regions, or drop them. It reports whether that is enough to answer: bytes, an error, or a diverging log.
func (f *fetchRequest) look() (enough bool) {
	f.set.drain()
	f.results = f.results[:0]
	left, found, urgent := f.maxBytes, 0, false
	for e := f.set.dirty.first; e != nil; e = e.next {
		if found > 0 && left <= 0 && !f.full {
			break // the rest is dirty still, and first at the next request
		}
		res := f.nextResult(e)
		limit := min(int(e.maxBytes), left)
		e.query.MaxBytes = max(limit, 0)
		e.query.WholeFirst = found == 0 && limit >= 0
		e.query.ReadCommitted = f.req.IsolationLevel == readCommitted
		f.fetch(e, &res.Fetched)
		if limit < 0 && res.Error == wire.ErrorNone && res.DivergingEnd < 0 && e.query.Offset < res.HighWatermark {
			// Kafka fails where it would read, and takes a negative limit of the whole answer for 0 from then on.
			res.Fetched = refusedFetch(wire.ErrorUnknownServerError, res.Aborted)
		}
		left = max(left, 0)
		if res.Region != nil {
			found += res.Region.Size()
			left = max(left-res.Region.Size(), 0)
		}
		urgent = urgent || res.Error != wire.ErrorNone || res.DivergingEnd >= 0
	}
	return urgent || found >= f.minBytes
}

func (f *fetchRequest) fetch(e *fetchEntry, res *replication.Fetched) {
	if f.byID && e.query.TopicID.IsZero() {
		// To the data plane, a zero id means that the name decides.
		*res = refusedFetch(wire.ErrorUnknownTopicID, res.Aborted)
		return
	}
	f.handler.deps.Partitions.Fetch(&e.query, res)
}

func refusedFetch(code wire.ErrorCode, aborted []replication.AbortedTransaction) replication.Fetched {
	return replication.Fetched{Error: code, HighWatermark: -1, LastStable: -1, LogStart: -1, DivergingEpoch: ids.NoLeaderEpoch,
		DivergingEnd: -1, Aborted: aborted[:0], Leader: ids.NoBroker, LeaderEpoch: ids.NoLeaderEpoch}
}

func (f *fetchRequest) nextResult(e *fetchEntry) *fetchResult {
	n := len(f.results)
	f.results = resize(f.results, n+1)
	res := &f.results[n]
	res.entry = e
	return res
}

// drop gives back the regions of the last look.
func (f *fetchRequest) drop() {
	for i := range f.results {
		if region := f.results[i].Region; region != nil {
			f.results[i].Region = nil
			region.Release()
		}
	}
}

// looksBeforeReply bounds how often news that come between a look and the registration make us look again. A stream of
// news without a byte for this client is answered early, with what there is.
const looksBeforeReply = 8

// poll answers if there is enough, else parks until there is, or the time is over.
func (f *fetchRequest) poll(r *Request) Outcome {
	f.request, r.Pending = r, f
	for range looksBeforeReply {
		if f.look() {
			return f.answer(r)
		}
		if !f.watchAll() {
			f.drop()
			continue
		}
		f.drop()
		if !f.armed {
			f.arm(time.Duration(f.req.MaxWaitMs) * time.Millisecond)
		}
		if parked, expired := f.park(); parked {
			return Parked
		} else if expired {
			break
		}
	}
	f.look()
	return f.answer(r)
}

// park makes the request one that news wake, unless there are some already.
func (f *fetchRequest) park() (parked, expired bool) {
	s := f.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.news != nil || f.expired {
		return false, f.expired
	}
	s.poll = f
	return true, false
}

// watchAll watches every partition that was looked at; false means that one of them has news. Those without data are
// clean from here on.
func (f *fetchRequest) watchAll() bool {
	all := true
	for i := range f.results {
		res := &f.results[i]
		switch {
		case !f.set.watch(res.entry, &res.Fetched, f.handler.deps.Partitions):
			all = false
		case res.Region == nil && !f.full:
			f.set.dirty.remove(res.entry)
		}
	}
	return all
}

// lookAgain runs on the goroutine that brought news of a poll, which it owns until it is told to stop looking.
func (f *fetchRequest) lookAgain() {
	s := f.set
	for looks := 1; ; looks++ {
		enough := f.look() || looks > looksBeforeReply
		quiet := enough || f.watchAll()
		f.drop()
		s.mu.Lock()
		switch {
		case f.cancelled:
			s.poll, s.looking = nil, false
			s.mu.Unlock()
			f.cleanUp()
			return
		case enough || f.expired:
			r := s.takeLocked()
			s.looking = false
			s.mu.Unlock()
			r.Wake()
			return
		case quiet && s.news == nil:
			s.looking = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
	}
}

func (f *fetchRequest) arm(wait time.Duration) {
	f.armed = true
	if f.timer == nil {
		f.timer = f.handler.waits.AfterFunc(wait, "fetch wait", f.expire)
	} else {
		f.timer.Reset(wait)
	}
}

// expire ends the wait. If f was answered meanwhile the set may serve another request, or none: then it does nothing.
func (f *fetchRequest) expire() {
	s := f.set
	s.mu.Lock()
	f.expired = true
	var r *Request
	if s.poll == f && !s.looking {
		r = s.takeLocked()
	}
	s.mu.Unlock()
	if r != nil {
		r.Wake()
	}
}

// disarm stops the timer. late means that it is about to run, so that f must not be reused.
func (f *fetchRequest) disarm() (late bool) {
	if !f.armed {
		return false
	}
	f.armed = false
	if f.timer.Stop() {
		return false
	}
	f.set.mu.Lock()
	defer f.set.mu.Unlock()
	return !f.expired
}

// Finish implements Pending.
func (f *fetchRequest) Finish(r *Request) Outcome {
	f.look()
	return f.answer(r)
}

// Cancel implements Pending.
func (f *fetchRequest) Cancel() {
	s := f.set
	s.mu.Lock()
	if s.poll == f {
		if s.looking {
			f.cancelled = true // whoever looks cleans up
			s.mu.Unlock()
			return
		}
		s.poll = nil
	}
	s.mu.Unlock()
	f.cleanUp()
}

// cleanUp lets go of everything that f holds.
func (f *fetchRequest) cleanUp() {
	f.drop()
	late := f.disarm()
	partitions := f.handler.deps.Partitions
	if f.session != nil {
		f.handler.sessions.idle(f.session, !f.full)
	}
	for _, e := range f.entries[:f.used] {
		if f.own.unwatch(e, partitions) {
			late = true
		}
	}
	if !late {
		f.release()
	}
}

// release puts f back into the pool. Nobody may be able to call it or its entries any more.
func (f *fetchRequest) release() {
	if cap(f.req.Topics) > retainTopics || len(f.entries) > retainPartitions || cap(f.results) > retainPartitions {
		return
	}
	for _, e := range f.entries[:f.used] {
		*e = fetchEntry{set: &f.own}
		e.waiter.Owner = e
	}
	f.own.dirty, f.own.news, f.own.poll, f.own.looking = dirtyList{}, nil, nil, false
	for i := range f.results {
		f.results[i].entry = nil
	}
	f.used, f.results = 0, f.results[:0]
	f.session, f.set, f.request = nil, nil, nil
	f.expired, f.cancelled = false, false
	f.handler.pool.Put(f)
}
