package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"sort"

	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/vfs"
)

// spillEntries is how many entries are kept in memory before they go to the file: 4 KiB a log, 1 MiB of the log's bytes.
const spillEntries = 256

// indexBlock is how many entries a lookup in the file reads at once.
const indexBlock = 512

// indexBuffers hold one block of the wider index.
var indexBuffers = bufferPool{size: indexBlock * logfiles.WidestEntry}

// searchIndex finds the greatest of the first n entries of an index file with a key (byValue: a value) ≤ limit, and how many entries there are up
// to it, itself included; 0: none.
func searchIndex(k logfiles.IndexKind, h *handle, n int, limit int64, byValue bool) (logfiles.IndexEntry, int, error) {
	buf := indexBuffers.get()
	defer indexBuffers.put(buf)
	low, high := 0, n // entries before low are ≤ limit, those from high on are above
	for high-low > indexBlock {
		mid := low + (high-low)/2
		p := (*buf)[:k.Width]
		if err := vfs.ReadFull(h.file, p, int64(mid)*k.Width); err != nil {
			return logfiles.IndexEntry{}, 0, err
		}
		if k.Get(p).Field(byValue) <= limit {
			low = mid
		} else {
			high = mid
		}
	}
	p := (*buf)[:int64(high-low)*k.Width]
	if err := vfs.ReadFull(h.file, p, int64(low)*k.Width); err != nil {
		return logfiles.IndexEntry{}, 0, err
	}
	i := sort.Search(high-low, func(i int) bool { return k.Get(p[int64(i)*k.Width:]).Field(byValue) > limit })
	if i == 0 {
		return logfiles.IndexEntry{}, 0, nil
	}
	return k.Get(p[int64(i-1)*k.Width:]), low + i, nil
}

// loadIndex reads an index file's shape: how many good entries it has, from the front; none if there is no file.
func (s *segment) loadIndex(k logfiles.IndexKind, maxKey int64) (logfiles.SparseIndex, error) {
	data, err := vfs.ReadWhole(s.files.fs, s.path(k.Suffix), 1<<30)
	if errors.Is(err, fs.ErrNotExist) {
		return logfiles.SparseIndex{}, nil
	}
	if err != nil {
		return logfiles.SparseIndex{}, fmt.Errorf("load index: %w", err)
	}
	return k.Parse(data, maxKey, s.size.Load()), nil
}

// search is searchIndex over an index that lies wholly in its file.
func (s *segment) search(x *logfiles.SparseIndex, k logfiles.IndexKind, limit int64, byValue bool) (logfiles.IndexEntry, int, error) {
	if x.Written == 0 {
		return logfiles.IndexEntry{}, 0, nil
	}
	h, err := s.files.acquire(s.slot(k), readWrite, func() string { return s.path(k.Suffix) })
	if err != nil {
		return logfiles.IndexEntry{}, 0, err
	}
	defer h.release()
	return searchIndex(k, h, int(x.Written), limit, byValue)
}

// trimFile keeps the first n entries of an index file, durably: a stale entry that came back after a crash could lead into the middle of a batch.
func (s *segment) trimFile(k logfiles.IndexKind, n int) error {
	entry, err := s.files.fs.Stat(s.path(k.Suffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || entry.Size == int64(n)*k.Width {
		return err
	}
	h, err := s.files.acquire(s.slot(k), readWrite, func() string { return s.path(k.Suffix) })
	if err != nil {
		return err
	}
	defer h.release()
	if err := h.file.Truncate(int64(n) * k.Width); err != nil {
		return fmt.Errorf("trim %s: %w", s.path(k.Suffix), err)
	}
	if err := h.file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", s.path(k.Suffix), err)
	}
	return nil
}

// spill writes the tail to the file. sealing also cuts off whatever lies behind, as Kafka does when a segment stops being active.
func (s *segment) spill(x *logfiles.SparseIndex, k logfiles.IndexKind, sealing bool) error {
	if len(x.Tail) == 0 && !sealing {
		return nil
	}
	h, err := s.files.acquire(s.slot(k), readOrCreate, func() string { return s.path(k.Suffix) })
	if err != nil {
		return err
	}
	defer h.release()
	at := int64(x.Written) * k.Width
	if len(x.Tail) > 0 {
		if err := writeIndex(k, h, x.Tail, at); err != nil {
			return fmt.Errorf("write %s: %w", s.path(k.Suffix), err)
		}
		at += int64(len(x.Tail)) * k.Width
	}
	if sealing {
		if err := h.file.Truncate(at); err != nil {
			return fmt.Errorf("trim %s: %w", s.path(k.Suffix), err)
		}
	}
	s.mu.Lock()
	x.Written += int32(len(x.Tail))
	x.Tail = x.Tail[:0]
	s.mu.Unlock()
	return nil
}

func writeIndex(k logfiles.IndexKind, h *handle, entries []logfiles.IndexEntry, at int64) error {
	buf := indexBuffers.get()
	defer indexBuffers.put(buf)
	for len(entries) > 0 {
		n := min(len(entries), indexBlock)
		for i, e := range entries[:n] {
			k.Put((*buf)[int64(i)*k.Width:], e)
		}
		if _, err := h.file.WriteAt((*buf)[:int64(n)*k.Width], at); err != nil {
			return err
		}
		at += int64(n) * k.Width
		entries = entries[n:]
	}
	return nil
}
