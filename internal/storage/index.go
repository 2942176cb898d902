package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"sort"
)

// sparseIndex is one of a segment's two indexes: the first entries lie in its file, the newest few in memory.
//
//	.index      8 bytes an entry:  relativeOffset int32 (of the batch's last offset) | position int32 (of the batch's first byte)
//	.timeindex  12 bytes an entry: timestamp int64 (largest so far) | relativeOffset int32 (of the last offset of the batch that holds it)
//
// Keys are strictly increasing; in .index positions are too. An index is a hint: who follows one checks what he finds there. The
// log's append lock guards changes, segment.mu what readers see; entries before written never change.
type sparseIndex struct {
	written int32 // entries in the file
	last    indexEntry
	some    bool // last is the newest entry; false: empty
	tail    []indexEntry
}

type indexEntry struct {
	key   int64 // relative offset, or timestamp
	value int32 // position, or relative offset
}

// indexKind tells the two apart.
type indexKind struct {
	suffix string
	width  int64
}

var (
	offsetIndexKind = indexKind{indexSuffix, 8}
	timeIndexKind   = indexKind{timeIndexSuffix, 12}
)

// spillEntries is how many entries are kept in memory before they go to the file: 4 KiB a log, 1 MiB of the log's bytes.
const spillEntries = 256

// indexBlock is how many entries a lookup in the file reads at once.
const indexBlock = 512

func (k indexKind) put(p []byte, e indexEntry) {
	if k.width == 8 {
		binary.BigEndian.PutUint32(p, uint32(e.key))
		binary.BigEndian.PutUint32(p[4:], uint32(e.value))
		return
	}
	binary.BigEndian.PutUint64(p, uint64(e.key))
	binary.BigEndian.PutUint32(p[8:], uint32(e.value))
}

func (k indexKind) get(p []byte) indexEntry {
	if k.width == 8 {
		return indexEntry{int64(int32(binary.BigEndian.Uint32(p))), int32(binary.BigEndian.Uint32(p[4:]))}
	}
	return indexEntry{int64(binary.BigEndian.Uint64(p)), int32(binary.BigEndian.Uint32(p[8:]))}
}

// count is all entries, in file and memory.
func (x *sparseIndex) count() int { return int(x.written) + len(x.tail) }

// add appends an entry whose key is above the last one's; others are ignored, as in Kafka's time index. It tells whether it did.
func (x *sparseIndex) add(e indexEntry) bool {
	if x.some && e.key <= x.last.key {
		return false
	}
	x.tail = append(x.tail, e)
	x.last, x.some = e, true
	return true
}

// below is the part of x that a lookup in memory can decide: the greatest tail entry with a key (or, byValue, a value) ≤ limit.
func (x *sparseIndex) below(limit int64, byValue bool) (indexEntry, bool) {
	i := sort.Search(len(x.tail), func(i int) bool { return x.tail[i].field(byValue) > limit })
	if i == 0 {
		return indexEntry{}, false
	}
	return x.tail[i-1], true
}

func (e indexEntry) field(byValue bool) int64 {
	if byValue {
		return int64(e.value)
	}
	return e.key
}

// indexBuffers hold one block of the wider index.
var indexBuffers = bufferPool{size: indexBlock * 12}

// searchFile finds the greatest of the first n entries of an index file with a key (byValue: a value) ≤ limit, and how many entries there are up
// to it, itself included; 0: none.
func (k indexKind) searchFile(h *handle, n int, limit int64, byValue bool) (indexEntry, int, error) {
	buf := indexBuffers.get()
	defer indexBuffers.put(buf)
	low, high := 0, n // entries before low are ≤ limit, those from high on are above
	for high-low > indexBlock {
		mid := low + (high-low)/2
		p := (*buf)[:k.width]
		if err := readFull(h.file, p, int64(mid)*k.width); err != nil {
			return indexEntry{}, 0, err
		}
		if k.get(p).field(byValue) <= limit {
			low = mid
		} else {
			high = mid
		}
	}
	p := (*buf)[:int64(high-low)*k.width]
	if err := readFull(h.file, p, int64(low)*k.width); err != nil {
		return indexEntry{}, 0, err
	}
	i := sort.Search(high-low, func(i int) bool { return k.get(p[int64(i)*k.width:]).field(byValue) > limit })
	if i == 0 {
		return indexEntry{}, 0, nil
	}
	return k.get(p[int64(i-1)*k.width:]), low + i, nil
}

// loadIndex reads an index file's shape: how many entries are strictly increasing and below the segment's size, from the front. A file that Kafka
// preallocated, or whose end was lost, ends at its first entry that isn't.
func (s *segment) loadIndex(k indexKind, maxKey int64) (sparseIndex, error) {
	data, err := readWholeFile(s.files.fs, s.path(k.suffix), 1<<30)
	if errors.Is(err, fs.ErrNotExist) {
		return sparseIndex{}, nil
	}
	if err != nil {
		return sparseIndex{}, fmt.Errorf("load index: %w", err)
	}
	var x sparseIndex
	for ; int64(len(data)) >= k.width; data = data[k.width:] {
		e := k.get(data)
		if e.value < 0 || e.key < 0 && k.width == 8 || e.key > maxKey || x.some && (e.key <= x.last.key || e.value <= x.last.value) {
			break
		}
		if k.width == 8 && int64(e.value) >= s.size.Load() {
			break
		}
		// A time index that Kafka made begins with no entry of all zeros, an offset index neither: offset 0 has no entry at position 0.
		if e == (indexEntry{}) {
			break
		}
		x.last, x.some = e, true
		x.written++
	}
	return x, nil
}

// search is searchFile over an index that lies wholly in its file.
func (s *segment) search(x *sparseIndex, k indexKind, limit int64, byValue bool) (indexEntry, int, error) {
	if x.written == 0 {
		return indexEntry{}, 0, nil
	}
	h, err := s.files.acquire(s.slot(k), readWrite, func() string { return s.path(k.suffix) })
	if err != nil {
		return indexEntry{}, 0, err
	}
	defer h.release()
	return k.searchFile(h, int(x.written), limit, byValue)
}

// trimFile keeps the first n entries of an index file, durably: a stale entry that came back after a crash could lead into the middle of a batch.
func (s *segment) trimFile(k indexKind, n int) error {
	entry, err := s.files.fs.Stat(s.path(k.suffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || entry.Size == int64(n)*k.width {
		return err
	}
	h, err := s.files.acquire(s.slot(k), readWrite, func() string { return s.path(k.suffix) })
	if err != nil {
		return err
	}
	defer h.release()
	if err := h.file.Truncate(int64(n) * k.width); err != nil {
		return fmt.Errorf("trim %s: %w", s.path(k.suffix), err)
	}
	if err := h.file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", s.path(k.suffix), err)
	}
	return nil
}

// spill writes the tail to the file. sealing also cuts off whatever lies behind, as Kafka does when a segment stops being active.
func (s *segment) spill(x *sparseIndex, k indexKind, sealing bool) error {
	if len(x.tail) == 0 && !sealing {
		return nil
	}
	h, err := s.files.acquire(s.slot(k), readOrCreate, func() string { return s.path(k.suffix) })
	if err != nil {
		return err
	}
	defer h.release()
	at := int64(x.written) * k.width
	if len(x.tail) > 0 {
		if err := k.write(h, x.tail, at); err != nil {
			return fmt.Errorf("write %s: %w", s.path(k.suffix), err)
		}
		at += int64(len(x.tail)) * k.width
	}
	if sealing {
		if err := h.file.Truncate(at); err != nil {
			return fmt.Errorf("trim %s: %w", s.path(k.suffix), err)
		}
	}
	s.mu.Lock()
	x.written += int32(len(x.tail))
	x.tail = x.tail[:0]
	s.mu.Unlock()
	return nil
}

func (k indexKind) write(h *handle, entries []indexEntry, at int64) error {
	buf := indexBuffers.get()
	defer indexBuffers.put(buf)
	for len(entries) > 0 {
		n := min(len(entries), indexBlock)
		for i, e := range entries[:n] {
			k.put((*buf)[int64(i)*k.width:], e)
		}
		if _, err := h.file.WriteAt((*buf)[:int64(n)*k.width], at); err != nil {
			return err
		}
		at += int64(n) * k.width
		entries = entries[n:]
	}
	return nil
}
