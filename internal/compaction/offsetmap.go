package compaction

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"github.com/ottla-io/ottla/internal/ids"
)

// offsetMap knows the newest offset of each key in a part of a log: what Kafka's SkimpyOffsetMap is to its cleaner. An entry takes 24 bytes, whatever the size of its
// key: keys of up to 15 bytes are held as they are, longer ones as 120 bits of their SHA-256, so that no client can make two keys that are taken for one.
//
// It grows with what is put into it, up to a number of slots, in shards that grow one by one: never more than a small share of it is there twice.
type offsetMap struct {
	shards  []mapShard
	slots   int // that all shards may have together
	most    int // entries that it takes: slots × load factor
	entries int
	seed    [2]uint64
	// latest is the last offset up to which the map knows every key.
	latest ids.Offset
}

type mapShard struct {
	slots   []mapSlot
	entries int
}

// mapSlot is empty while next is 0.
type mapSlot struct {
	key  mapKey
	next int64 // the key's offset + 1
}

type mapKey [16]byte

const (
	mapSlotBytes = 24
	mapShards    = 64
	// manySlots is from how many slots on shards are worth it.
	manySlots     = 1 << 15
	longestPlain  = len(mapKey{}) - 1
	hashedKeyMark = 0xff
)

// newOffsetMap makes an empty one of at most bytes; random is any 16 bytes that clients don't know, against keys made to collide.
func newOffsetMap(bytes int64, loadFactor float64, random [16]byte) *offsetMap {
	m := &offsetMap{slots: int(max(bytes/mapSlotBytes, 4)), latest: -1}
	m.seed[0], m.seed[1] = binary.LittleEndian.Uint64(random[:]), binary.LittleEndian.Uint64(random[8:])
	m.most = max(min(int(float64(m.slots)*loadFactor), m.slots-1), 1)
	shards := 1
	if m.slots >= manySlots {
		shards = mapShards
	}
	m.shards = make([]mapShard, shards)
	return m
}

func keyOf(key []byte) (k mapKey) {
	if len(key) <= longestPlain {
		copy(k[:], key)
		k[longestPlain] = byte(len(key))
		return k
	}
	sum := sha256.Sum256(key)
	copy(k[:], sum[:])
	k[longestPlain] = hashedKeyMark
	return k
}

// place is the shard of a key, and a number whose upper bits tell where in it to begin.
func (m *offsetMap) place(k *mapKey) (*mapShard, uint64) {
	high, low := bits.Mul64(binary.LittleEndian.Uint64(k[:])^m.seed[0], binary.LittleEndian.Uint64(k[8:])^m.seed[1])
	high, low = bits.Mul64(high^low^m.seed[1], m.seed[0]|1)
	h := high ^ low
	if len(m.shards) == 1 {
		return &m.shards[0], h
	}
	return &m.shards[h%mapShards], h
}

// find returns the key's slot, or the empty one where it belongs; nil if the shard has no slot at all. A shard always keeps an empty slot.
func (s *mapShard) find(k *mapKey, h uint64) *mapSlot {
	n := uint64(len(s.slots))
	if n == 0 {
		return nil
	}
	at, _ := bits.Mul64(h, n)
	for {
		slot := &s.slots[at]
		if slot.next == 0 || slot.key == *k {
			return slot
		}
		if at++; at == n {
			at = 0
		}
	}
}

// put notes a key's offset, which is above all that were put before. false: the map is full, and lacks the key.
func (m *offsetMap) put(key []byte, offset ids.Offset) bool {
	k := keyOf(key)
	s, h := m.place(&k)
	slot := s.find(&k, h)
	if slot == nil || slot.next == 0 {
		if m.entries >= m.most {
			return false
		}
		if s.entries >= len(s.slots)-len(s.slots)/8-1 {
			if m.grow(s); s.entries >= len(s.slots)-1 {
				return false
			}
			slot = s.find(&k, h)
		}
		slot.key = k
		s.entries++
		m.entries++
	}
	slot.next = int64(offset) + 1
	return true
}

// grow doubles a shard, as far as it may.
func (m *offsetMap) grow(s *mapShard) {
	size := min(max(2*len(s.slots), 64), m.slots/len(m.shards))
	if size <= len(s.slots) {
		return
	}
	old := s.slots
	s.slots = make([]mapSlot, size)
	for i := range old {
		if old[i].next == 0 {
			continue
		}
		_, h := m.place(&old[i].key)
		*s.find(&old[i].key, h) = old[i]
	}
}

// get is the newest offset of a key, -1 if the map has none.
func (m *offsetMap) get(key []byte) ids.Offset {
	k := keyOf(key)
	s, h := m.place(&k)
	if slot := s.find(&k, h); slot != nil {
		return ids.Offset(slot.next - 1)
	}
	return -1
}

// utilization is the share of all slots that are taken.
func (m *offsetMap) utilization() float64 { return float64(m.entries) / float64(m.slots) }
