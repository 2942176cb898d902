package vfs

import (
	"errors"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"
)

const (
	memPageBytes   = 4096
	memSectorBytes = 512
	// memFileMax bounds a file, so that a write at a wild offset fails instead of taking memory for the page table.
	memFileMax = 64 << 30
)

type memBytes = [memPageBytes]byte

// memPage is one page of a file; nil data is a hole. Its file may write into it only while it owns it: owner == file.token.
// Otherwise a crash copy or the durable state shares it, and a write goes to a copy.
type memPage struct {
	data  *memBytes
	owner uint64
}

// memInode is one file. Bytes of a page past the file's size are zero.
type memInode struct {
	mem *Mem

	// links (names) and handles are guarded by mem.mu; forgotten says that its pages don't count any more.
	links, handles int
	forgotten      atomic.Bool

	mu          sync.RWMutex
	pages       []memPage
	pagesShared bool // the slice itself is shared with a crash copy
	token       uint64
	size        int64

	// dirty says that something below differs from the last Sync.
	dirty        bool
	durableSize  int64
	durablePages int   // len(pages) at the last Sync
	lowestSize   int64 // smallest size since the last Sync
	// undo holds what the pages that were written or cut since the last Sync were then; nil for a hole. Pages from durablePages on were holes.
	undo map[int]*memBytes
}

func (m *Mem) newInode() *memInode {
	return &memInode{mem: m, token: m.tokens.Add(1)}
}

func (f *memInode) length() int64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.size
}

// forget gives the file's space back once nobody can reach it. The caller holds mem.mu.
func (f *memInode) forget() {
	if f.links > 0 || f.handles > 0 || f.forgotten.Swap(true) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, page := range f.pages {
		if page.data != nil {
			f.mem.used.Add(-memPageBytes)
		}
	}
	f.mem.dirtyMu.Lock()
	delete(f.mem.dirtyFiles, f)
	f.mem.dirtyMu.Unlock()
}

// touch marks the file as changed. The caller holds f.mu.
func (f *memInode) touch() {
	if f.dirty {
		return
	}
	f.dirty = true
	f.mem.dirtyMu.Lock()
	f.mem.dirtyFiles[f] = struct{}{}
	f.mem.dirtyMu.Unlock()
}

// ownSlice makes the page table the file's own, with room for n pages. The caller holds f.mu.
func (f *memInode) ownSlice(n int) {
	if f.pagesShared {
		own := make([]memPage, len(f.pages), max(n, len(f.pages)+len(f.pages)/4))
		copy(own, f.pages)
		f.pages, f.pagesShared = own, false
	}
	for len(f.pages) < n {
		f.pages = append(f.pages, memPage{})
	}
}

// remember keeps what page i was at the last Sync before it changes. The caller holds f.mu.
func (f *memInode) remember(i int) {
	if i >= f.durablePages {
		return
	}
	if _, known := f.undo[i]; known {
		return
	}
	if f.undo == nil {
		f.undo = make(map[int]*memBytes)
	}
	f.undo[i] = f.pages[i].data
}

// page returns page i to write into; whole says that the caller overwrites all of it. Nil if the disk is full. The
// caller holds f.mu and has made room in the table.
func (f *memInode) page(i int, whole bool) *memBytes {
	page := &f.pages[i]
	if page.data != nil && page.owner == f.token {
		return page.data
	}
	if page.data == nil && !f.mem.reserve() {
		return nil
	}
	f.remember(i)
	data := new(memBytes)
	if page.data != nil && !whole {
		*data = *page.data
	}
	page.data, page.owner = data, f.token
	return data
}

func (f *memInode) writeAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, fs.ErrInvalid
	}
	if offset+int64(len(p)) > memFileMax {
		return 0, syscall.EFBIG
	}
	if len(p) == 0 {
		return 0, nil
	}
	f.mem.gate.RLock()
	defer f.mem.gate.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.touch()
	f.ownSlice(int((offset + int64(len(p)) + memPageBytes - 1) / memPageBytes))
	written := 0
	for written < len(p) {
		at := offset + int64(written)
		within := int(at % memPageBytes)
		n := min(len(p)-written, memPageBytes-within)
		data := f.page(int(at/memPageBytes), n == memPageBytes)
		if data == nil {
			break
		}
		copy(data[within:], p[written:written+n])
		written += n
	}
	if written > 0 {
		f.size = max(f.size, offset+int64(written))
	}
	if written < len(p) {
		return written, ErrNoSpace
	}
	return written, nil
}

func (f *memInode) readAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, fs.ErrInvalid
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	if offset >= f.size {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), f.size-offset)]
	for done := 0; done < len(want); {
		at := offset + int64(done)
		within := int(at % memPageBytes)
		rest := want[done:min(len(want), done+memPageBytes-within)]
		if i := int(at / memPageBytes); i < len(f.pages) && f.pages[i].data != nil {
			copy(rest, f.pages[i].data[within:])
		} else {
			clear(rest)
		}
		done += len(rest)
	}
	if len(want) < len(p) {
		return len(want), io.EOF
	}
	return len(want), nil
}

func (f *memInode) truncate(size int64) error {
	if size < 0 {
		return fs.ErrInvalid
	}
	if size > memFileMax {
		return syscall.EFBIG
	}
	f.mem.gate.RLock()
	defer f.mem.gate.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if size == f.size {
		return nil
	}
	f.touch()
	if size < f.size {
		f.cut(size)
	}
	f.size = size
	return nil
}

// cut drops what lies past size. The caller holds f.mu.
func (f *memInode) cut(size int64) {
	keep := int((size + memPageBytes - 1) / memPageBytes)
	if keep < len(f.pages) {
		f.ownSlice(0)
		for i := keep; i < len(f.pages); i++ {
			f.remember(i)
			if f.pages[i].data != nil {
				f.mem.used.Add(-memPageBytes)
			}
			f.pages[i] = memPage{}
		}
		f.pages = f.pages[:keep]
	}
	if within := int(size % memPageBytes); within > 0 && keep <= len(f.pages) && f.pages[keep-1].data != nil {
		f.ownSlice(0)
		clear(f.page(keep-1, false)[within:])
	}
	f.lowestSize = min(f.lowestSize, size)
}

// sync makes the present state the one that is certain to survive.
func (f *memInode) sync() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.dirty {
		return
	}
	f.dirty = false
	f.durableSize, f.lowestSize, f.durablePages = f.size, f.size, len(f.pages)
	f.undo = nil
	f.token = f.mem.tokens.Add(1)
	f.mem.dirtyMu.Lock()
	delete(f.mem.dirtyFiles, f)
	f.mem.dirtyMu.Unlock()
}

// memFile is an open file of a Mem.
type memFile struct {
	inode    *memInode
	path     string
	writable bool
	closed   atomic.Bool
}

func (h *memFile) check(write bool) error {
	if h.closed.Load() {
		return fs.ErrClosed
	}
	if write && !h.writable {
		return syscall.EBADF
	}
	return nil
}

func (h *memFile) ReadAt(p []byte, offset int64) (int, error) {
	if err := h.check(false); err != nil {
		return 0, pathError("read", h.path, err)
	}
	n, err := h.inode.readAt(p, offset)
	if err != nil && err != io.EOF {
		err = pathError("read", h.path, err)
	}
	return n, err
}

func (h *memFile) WriteAt(p []byte, offset int64) (int, error) {
	if err := h.check(true); err != nil {
		return 0, pathError("write", h.path, err)
	}
	n, err := h.inode.writeAt(p, offset)
	if n > 0 {
		h.inode.mem.count("write", h.path)
	}
	if err != nil {
		err = pathError("write", h.path, err)
	}
	return n, err
}

func (h *memFile) Truncate(size int64) error {
	if err := h.check(true); err != nil {
		return pathError("truncate", h.path, err)
	}
	if err := h.inode.truncate(size); err != nil {
		return pathError("truncate", h.path, err)
	}
	h.inode.mem.count("truncate", h.path)
	return nil
}

func (h *memFile) Sync() error {
	if err := h.check(false); err != nil {
		return pathError("sync", h.path, err)
	}
	h.inode.mem.gate.RLock()
	h.inode.sync()
	h.inode.mem.gate.RUnlock()
	h.inode.mem.count("sync", h.path)
	return nil
}

func (h *memFile) Size() (int64, error) {
	if err := h.check(false); err != nil {
		return 0, pathError("stat", h.path, err)
	}
	return h.inode.length(), nil
}

func (h *memFile) Close() error {
	if h.closed.Swap(true) {
		return pathError("close", h.path, fs.ErrClosed)
	}
	m := h.inode.mem
	m.mu.Lock()
	defer m.mu.Unlock()
	h.inode.handles--
	h.inode.forget()
	return nil
}

func isMissing(err error) bool  { return errors.Is(err, fs.ErrNotExist) }
func isExisting(err error) bool { return errors.Is(err, fs.ErrExist) }
