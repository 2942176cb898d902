package logfiles

import (
	"encoding/binary"
	"sort"
)

// IndexKind tells a segment's two indexes apart.
//
//	.index      8 bytes an entry:  relativeOffset int32 (of the batch's last offset) | position int32 (of the batch's first byte)
//	.timeindex  12 bytes an entry: timestamp int64 (largest so far) | relativeOffset int32 (of the last offset of the batch that holds it)
//
// All integers are big-endian. Keys are strictly increasing; in .index positions are too. An index is a hint: who follows one checks what he finds there.
type IndexKind struct {
	Suffix string
	Width  int64 // bytes of an entry
}

// The two kinds.
var (
	OffsetIndex = IndexKind{IndexSuffix, 8}
	TimeIndex   = IndexKind{TimeIndexSuffix, WidestEntry}
)

// WidestEntry is the bytes of an entry of the wider kind.
const WidestEntry = 12

// IndexEntry is one entry of either kind.
type IndexEntry struct {
	Key   int64 // relative offset, or timestamp
	Value int32 // position, or relative offset
}

// Field is the key, or the value.
func (e IndexEntry) Field(byValue bool) int64 {
	if byValue {
		return int64(e.Value)
	}
	return e.Key
}

// Put codes an entry into the first Width bytes of p.
func (k IndexKind) Put(p []byte, e IndexEntry) {
	if k.Width == 8 {
		binary.BigEndian.PutUint32(p, uint32(e.Key))
		binary.BigEndian.PutUint32(p[4:], uint32(e.Value))
		return
	}
	binary.BigEndian.PutUint64(p, uint64(e.Key))
	binary.BigEndian.PutUint32(p[8:], uint32(e.Value))
}

// Get reads the entry in the first Width bytes of p.
func (k IndexKind) Get(p []byte) IndexEntry {
	if k.Width == 8 {
		return IndexEntry{int64(int32(binary.BigEndian.Uint32(p))), int32(binary.BigEndian.Uint32(p[4:]))}
	}
	return IndexEntry{int64(binary.BigEndian.Uint64(p)), int32(binary.BigEndian.Uint32(p[8:]))}
}

// SparseIndex is one of a segment's two indexes: the first entries lie in its file, the newest few in memory.
type SparseIndex struct {
	Written int32 // entries in the file
	Last    IndexEntry
	Some    bool // Last is the newest entry; false: empty
	Tail    []IndexEntry
}

// Count is all entries, in file and memory.
func (x *SparseIndex) Count() int { return int(x.Written) + len(x.Tail) }

// Add appends an entry whose key is above the last one's; others are ignored, as in Kafka's time index. It tells whether it did.
func (x *SparseIndex) Add(e IndexEntry) bool {
	if x.Some && e.Key <= x.Last.Key {
		return false
	}
	x.Tail = append(x.Tail, e)
	x.Last, x.Some = e, true
	return true
}

// Below is the part of x that a lookup in memory can decide: the greatest tail entry with a key (or, byValue, a value) ≤ limit.
func (x *SparseIndex) Below(limit int64, byValue bool) (IndexEntry, bool) {
	i := sort.Search(len(x.Tail), func(i int) bool { return x.Tail[i].Field(byValue) > limit })
	if i == 0 {
		return IndexEntry{}, false
	}
	return x.Tail[i-1], true
}

// Parse reads an index file's shape: how many entries are strictly increasing, with keys up to maxKey and positions within the segment's size, from the front. A
// file that Kafka preallocated, or whose end was lost, ends at its first entry that isn't.
func (k IndexKind) Parse(data []byte, maxKey, segmentSize int64) (x SparseIndex) {
	for ; int64(len(data)) >= k.Width; data = data[k.Width:] {
		e := k.Get(data)
		if e.Value < 0 || e.Key < 0 && k.Width == 8 || e.Key > maxKey || x.Some && (e.Key <= x.Last.Key || e.Value <= x.Last.Value) {
			break
		}
		if k.Width == 8 && int64(e.Value) >= segmentSize {
			break
		}
		// A time index that Kafka made begins with no entry of all zeros, an offset index neither: offset 0 has no entry at position 0.
		if e == (IndexEntry{}) {
			break
		}
		x.Last, x.Some = e, true
		x.Written++
	}
	return x
}
