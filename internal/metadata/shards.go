package metadata

import (
	"iter"
	"maps"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/quota"
)

// shardCount is a compromise: copying 256 pointers and one shard of 10,000 / 256 entries per batch is microseconds.
const shardCount = 256

// shards is an immutable map in pieces, of which successive versions share those that did not change. The zero value is
// the empty map.
type shards[K comparable, V any] struct {
	size   int
	pieces *[shardCount]*piece[K, V] // nil: empty
}

// piece is compared by address: the same address means the same content.
type piece[K comparable, V any] struct{ entries map[K]V }

func (s shards[K, V]) get(k K) (v V, ok bool) {
	if s.pieces == nil {
		return v, false
	}
	p := s.pieces[shardOf(k)]
	if p == nil {
		return v, false
	}
	v, ok = p.entries[k]
	return v, ok
}

// all yields every entry, in no order.
func (s shards[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if s.pieces == nil {
			return
		}
		for _, p := range s.pieces {
			if p == nil {
				continue
			}
			for k, v := range p.entries {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

// edit makes the next version of a map. Pieces are copied at their first change.
type edit[K comparable, V any] struct {
	shards[K, V]
	own    bool
	copied [shardCount]bool
}

func newEdit[K comparable, V any](s shards[K, V]) *edit[K, V] { return &edit[K, V]{shards: s} }

func (e *edit[K, V]) piece(k K) map[K]V {
	if !e.own {
		e.own = true
		fresh := new([shardCount]*piece[K, V])
		if e.pieces != nil {
			*fresh = *e.pieces
		}
		e.pieces = fresh
	}
	i := shardOf(k)
	if !e.copied[i] {
		e.copied[i] = true
		fresh := &piece[K, V]{}
		if old := e.pieces[i]; old != nil {
			fresh.entries = maps.Clone(old.entries)
		} else {
			fresh.entries = make(map[K]V)
		}
		e.pieces[i] = fresh
	}
	return e.pieces[i].entries
}

func (e *edit[K, V]) set(k K, v V) {
	entries := e.piece(k)
	before := len(entries)
	entries[k] = v
	e.size += len(entries) - before
}

func (e *edit[K, V]) remove(k K) {
	if _, ok := e.get(k); !ok {
		return
	}
	delete(e.piece(k), k)
	e.size--
}

// difference yields the keys whose entry may differ between two versions: those of the pieces that they do not share.
func difference[K comparable, V any](a, b shards[K, V]) iter.Seq[K] {
	return func(yield func(K) bool) {
		for i := range shardCount {
			var x, y *piece[K, V]
			if a.pieces != nil {
				x = a.pieces[i]
			}
			if b.pieces != nil {
				y = b.pieces[i]
			}
			if x == y {
				continue
			}
			if x != nil {
				for k := range x.entries {
					if !yield(k) {
						return
					}
				}
			}
			if y == nil {
				continue
			}
			for k := range y.entries {
				if x != nil {
					if _, seen := x.entries[k]; seen {
						continue
					}
				}
				if !yield(k) {
					return
				}
			}
		}
	}
}

// shardOf spreads names by FNV-1a and ids by their bytes, which are random.
func shardOf[K comparable](k K) int {
	switch k := any(k).(type) {
	case string:
		return int(fold(14695981039346656037, k))
	case ConfigResource:
		return int(fold(14695981039346656037^uint64(k.Type), k.Name))
	case quota.Entity:
		return int(fold(14695981039346656037, k.User.Name+k.ClientID.Name+k.IP.Name))
	case ids.TopicID:
		return int(k[3] ^ k[11])
	}
	panic("metadata: a map over this type has no shards")
}

func fold(h uint64, text string) uint8 {
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return uint8(h ^ h>>32 ^ h>>16 ^ h>>8)
}
