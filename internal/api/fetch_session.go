package api

import (
	"encoding/binary"
	"math"
	"sync"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

// Epochs of a fetch session with a meaning of their own (KIP-227).
const (
	initialSessionEpoch int32 = 0  // a full fetch that asks for a session
	finalSessionEpoch   int32 = -1 // a full fetch without a session; ends the one that it names
)

// sessionEvictionAge is how long a session must exist, or be unused, before another may take its slot, as in Kafka.
const sessionEvictionAge = 120 * time.Second

// sessionPartitions bounds the partitions of all sessions, at some 400 bytes each. Kafka bounds the sessions only; a thousand that
// name a million partitions each would be one client's way to take all memory. Who finds no room fetches without a session.
const sessionPartitions = 500_000

// fetchKey is how a session's requests name a partition: by topic id in sessions begun by version 13+, else by name.
type fetchKey struct {
	topic     string
	id        ids.TopicID
	partition int32
}

// fetchSession is one client's list of partitions (KIP-227). The cache's lock guards epoch, busy, ended and used; whoever
// made it busy owns set and entries.
type fetchSession struct {
	id      int32
	byID    bool // names topics by id
	created time.Duration
	set     fetchSet
	entries map[fetchKey]*fetchEntry
	epoch   int32         // that the next request must have
	used    time.Duration // when the last request began
	size    int           // len(entries), as it was when the session was last idle
	busy    bool
	ended   bool // no longer in the cache
}

// fetchSessions is the cache of sessions, of max.incremental.fetch.session.cache.slots.
type fetchSessions struct {
	env        run.Env
	slots      int
	partitions Partitions

	mu    sync.Mutex
	byID  map[int32]*fetchSession
	total int // sum of the sizes
}

// resume finds the session of an incremental fetch and makes it busy. A request for a session that another request still
// holds is answered as one with a wrong epoch: no client has two fetches of one session in flight, and full fetches
// always work.
func (c *fetchSessions) resume(id, epoch int32, byID bool) (*fetchSession, wire.ErrorCode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.byID[id]
	switch {
	case !ok:
		return nil, wire.ErrorFetchSessionIDNotFound
	case s.epoch != epoch || s.busy:
		return nil, wire.ErrorInvalidFetchSessionEpoch
	case s.byID != byID:
		return nil, wire.ErrorFetchSessionTopicIDError
	}
	s.busy, s.used = true, c.env.Monotonic()
	s.epoch = nextSessionEpoch(epoch)
	return s, wire.ErrorNone
}

func nextSessionEpoch(epoch int32) int32 {
	if epoch == math.MaxInt32 {
		return 1
	}
	return epoch + 1
}

// begin makes a busy session of the given size, or returns nil if there is no slot for it.
func (c *fetchSessions) begin(size int, byID bool) *fetchSession {
	now := c.env.Monotonic()
	c.mu.Lock()
	victim, ok := c.victim(size, now)
	room := sessionPartitions - c.total
	if victim != nil {
		room += victim.size
	}
	if !ok || size > room {
		c.mu.Unlock()
		return nil
	}
	if victim != nil {
		c.dropLocked(victim)
	}
	s := &fetchSession{id: c.freeID(), byID: byID, created: now, used: now, epoch: nextSessionEpoch(initialSessionEpoch),
		entries: make(map[fetchKey]*fetchEntry, size), size: size, busy: true}
	c.byID[s.id] = s
	c.total += size
	c.mu.Unlock()
	if victim != nil {
		victim.unwatchAll(c.partitions)
	}
	return s
}

// victim is the session that must go for a new one, nil if there is a free slot; ok is false if there is neither. First the
// longest unused one, if that is long enough; else, of those that exist long enough, the smallest, if it is smaller than
// the new one. Sessions that a request holds stay.
func (c *fetchSessions) victim(size int, now time.Duration) (victim *fetchSession, ok bool) {
	if len(c.byID) < c.slots {
		return nil, true
	}
	var oldest, smallest *fetchSession
	for _, s := range c.byID {
		if s.busy {
			continue
		}
		if oldest == nil || s.used < oldest.used || (s.used == oldest.used && s.id < oldest.id) {
			oldest = s
		}
		if now-s.created > sessionEvictionAge && (smallest == nil || s.size < smallest.size || (s.size == smallest.size && s.id < smallest.id)) {
			smallest = s
		}
	}
	if oldest != nil && now-oldest.used > sessionEvictionAge {
		return oldest, true
	}
	if smallest != nil && smallest.size < size {
		return smallest, true
	}
	return nil, false
}

// freeID is random, so that a client of an earlier incarnation is not mistaken for one of ours.
func (c *fetchSessions) freeID() int32 {
	var raw [4]byte
	for {
		c.env.Random(raw[:])
		id := int32(binary.BigEndian.Uint32(raw[:]) & math.MaxInt32)
		if _, taken := c.byID[id]; id != 0 && !taken {
			return id
		}
	}
}

// end removes the session that a full fetch names. If another request holds it, that one cleans up.
func (c *fetchSessions) end(id int32) {
	c.mu.Lock()
	s, ok := c.byID[id]
	if ok {
		c.dropLocked(s)
	}
	idle := ok && !s.busy
	c.mu.Unlock()
	if idle {
		s.unwatchAll(c.partitions)
	}
}

func (c *fetchSessions) dropLocked(s *fetchSession) {
	delete(c.byID, s.id)
	c.total -= s.size
	s.ended = true
}

// idle gives a session back that the caller held. dropEmpty: an incremental fetch that forgot the last partition ends it.
func (c *fetchSessions) idle(s *fetchSession, dropEmpty bool) {
	c.mu.Lock()
	s.busy = false
	if !s.ended {
		c.total += len(s.entries) - s.size
		s.size = len(s.entries)
		// One that grew past the bound goes: its client is told that it does not exist, and begins anew.
		if dropEmpty && s.size == 0 || c.total > sessionPartitions {
			c.dropLocked(s)
		}
	}
	ended := s.ended
	c.mu.Unlock()
	if ended {
		s.unwatchAll(c.partitions)
	}
}

// close ends all sessions. No request may come any more.
func (c *fetchSessions) close() {
	c.mu.Lock()
	all := make([]*fetchSession, 0, len(c.byID))
	for _, s := range c.byID {
		if !s.busy {
			all = append(all, s)
		}
		c.dropLocked(s)
	}
	c.mu.Unlock()
	for _, s := range all {
		s.unwatchAll(c.partitions)
	}
}

// unwatchAll lets the partitions forget an ended session. A waiter that is about to fire finds nobody.
func (s *fetchSession) unwatchAll(partitions Partitions) {
	for _, e := range s.entries {
		s.set.unwatch(e, partitions)
	}
}

// update takes over what a request says: partitions to fetch from now on, from where, and partitions to forget. Named ones
// are dirty, and so looked at, whatever happened to them before.
func (s *fetchSession) update(req *wire.FetchRequest, partitions Partitions) {
	for i := range req.Topics {
		topic := &req.Topics[i]
		for j := range topic.Partitions {
			part := &topic.Partitions[j]
			key := fetchKey{topic.Topic, topicID(topic.TopicId), part.Partition}
			e, known := s.entries[key]
			if !known {
				e = &fetchEntry{set: &s.set, toldHighWatermark: -1, toldLogStart: -1}
				e.waiter.Owner = e
				s.entries[key] = e
			}
			e.take(topic, part)
			s.set.dirty.pushBack(e)
		}
	}
	for i := range req.ForgottenTopicsData {
		topic := &req.ForgottenTopicsData[i]
		for _, partition := range topic.Partitions {
			key := fetchKey{topic.Topic, topicID(topic.TopicId), partition}
			if e, known := s.entries[key]; known {
				delete(s.entries, key)
				s.set.dirty.remove(e)
				s.set.forget(e)
				s.set.unwatch(e, partitions)
			}
		}
	}
}

// take sets what the request says of the partition.
func (e *fetchEntry) take(topic *wire.FetchRequestFetchTopic, part *wire.FetchRequestFetchPartition) {
	q := &e.query
	q.Topic, q.TopicID, q.Partition = topic.Topic, topicID(topic.TopicId), part.Partition
	// To a fetch, unlike to ListOffsets, every negative epoch is none.
	q.CurrentLeaderEpoch = max(ids.LeaderEpoch(part.CurrentLeaderEpoch), ids.NoLeaderEpoch)
	q.LastFetchedEpoch = max(ids.LeaderEpoch(part.LastFetchedEpoch), ids.NoLeaderEpoch)
	q.Offset = ids.Offset(part.FetchOffset)
	e.maxBytes = part.PartitionMaxBytes
}
