package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ottla-io/ottla/internal/vfs"
)

// handle is one open file, closed when its last user lets go. The cache is one user while it lists the handle.
type handle struct {
	file vfs.File
	refs atomic.Int32
	used atomic.Bool // since the cache's hand last passed
}

func (h *handle) retain() { h.refs.Add(1) }

func (h *handle) release() {
	if h.refs.Add(-1) == 0 {
		h.file.Close() //nolint:errcheck // nothing that we wrote and did not sync is ever released: see Log.unsynced
	}
}

// fileSlot is where a file's handle is found, if it is open.
type fileSlot struct {
	mu     sync.Mutex // held while opening
	handle *handle
	gone   bool // the file was deleted: never open it again, another may have its name
	listed bool // in openFiles.ring
}

// errGone means that the segment was deleted between finding it and opening it.
var errGone = errors.New("segment was deleted")

// openMode says what to do where there is no file, and what for.
type openMode uint8

const (
	readWrite    openMode = iota // an existing file
	createNew                    // empties one that is there
	readOrCreate                 // makes it if absent
)

// openFiles bounds the files that stay open between uses, by the clock algorithm. Handles in use don't count as victims.
type openFiles struct {
	fs    vfs.FS
	limit int

	mu   sync.Mutex // guards the rest; taken after no other lock, before fileSlot.mu
	ring []*fileSlot
	hand int
}

// acquire returns an open handle, retained for the caller.
func (c *openFiles) acquire(s *fileSlot, mode openMode, path func() string) (*handle, error) {
	s.mu.Lock()
	if h := s.handle; h != nil {
		h.retain()
		s.mu.Unlock()
		if !h.used.Load() {
			h.used.Store(true)
		}
		return h, nil
	}
	if s.gone {
		s.mu.Unlock()
		return nil, errGone
	}
	f, err := openFile(c.fs, path(), mode)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, vfs.ErrNoSpace) {
		// Perhaps the process has no descriptor left: that is no failure of the disk. The ring is shed without s, whose lock we hold.
		s.mu.Unlock()
		c.shed()
		s.mu.Lock()
		if s.handle != nil || s.gone {
			s.mu.Unlock()
			return c.acquire(s, mode, path)
		}
		f, err = openFile(c.fs, path(), mode)
	}
	if err != nil {
		s.mu.Unlock()
		return nil, fmt.Errorf("open segment file: %w", err)
	}
	h := &handle{file: f}
	h.refs.Store(2)
	h.used.Store(true)
	s.handle = h
	list := !s.listed
	s.listed = true
	s.mu.Unlock()
	if list {
		c.list(s)
	}
	return h, nil
}

func openFile(fsys vfs.FS, path string, mode openMode) (vfs.File, error) {
	switch mode {
	case createNew:
		f, err := fsys.Create(path)
		if errors.Is(err, fs.ErrExist) {
			// Only a failed roll leaves a file that no segment has: whatever it holds was never part of the log.
			if f, err = fsys.Open(path); err == nil {
				err = f.Truncate(0)
			}
		}
		return f, err
	case readOrCreate:
		return vfs.OpenOrCreate(fsys, path)
	default:
		return fsys.Open(path)
	}
}

func (c *openFiles) list(s *fileSlot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep(c.limit-1, evictTries)
	c.ring = append(c.ring, s)
}

// evictTries is how many files one that is opened may look at for one to close. Where more than the limit are in use, all would be in vain.
const evictTries = 32

// shrink closes files down to the limit, as far as it finds ones that are not in use among so many.
func (c *openFiles) shrink(tries int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep(c.limit, tries)
}

// sweep moves the hand on until at most so many files are listed, or it has looked at that many. The caller holds mu.
func (c *openFiles) sweep(most, tries int) {
	for ; len(c.ring) > most && tries > 0; tries-- {
		c.hand %= len(c.ring)
		if !c.ring[c.hand].evict(false) {
			c.hand++
			continue
		}
		last := len(c.ring) - 1
		c.ring[c.hand] = c.ring[last]
		c.ring[last] = nil
		c.ring = c.ring[:last]
	}
}

// evict closes the slot's file if nobody has used it lately; it reports whether the slot may leave the ring.
func (s *fileSlot) evict(force bool) bool {
	s.mu.Lock()
	h := s.handle
	if h == nil {
		s.listed = false
		s.mu.Unlock()
		return true
	}
	if !force && (h.refs.Load() > 1 || h.used.Swap(false)) {
		s.mu.Unlock()
		return false
	}
	s.handle = nil
	s.listed = false
	s.mu.Unlock()
	h.release()
	return true
}

// retire forbids opening the file from now on. Handles already out stay readable.
func (s *fileSlot) retire() {
	s.mu.Lock()
	h := s.handle
	s.handle = nil
	s.gone = true
	s.mu.Unlock()
	if h != nil {
		h.release()
	}
}

// shed closes every file that nobody uses.
func (c *openFiles) shed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ring = slices.DeleteFunc(c.ring, func(s *fileSlot) bool {
		s.mu.Lock()
		busy := s.handle != nil && s.handle.refs.Load() > 1
		s.mu.Unlock()
		return !busy && s.evict(true)
	})
	c.hand = 0
}

// closeAll closes what nobody uses, and forgets the rest.
func (c *openFiles) closeAll() {
	c.mu.Lock()
	ring := c.ring
	c.ring = nil
	c.mu.Unlock()
	for _, s := range ring {
		s.evict(true)
	}
}

// open is the number of listed files.
func (c *openFiles) open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ring)
}

// bufferPool lends byte slices of one size.
type bufferPool struct {
	pool sync.Pool
	size int
}

func (p *bufferPool) get() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, p.size)
	return &b
}

func (p *bufferPool) put(b *[]byte) { p.pool.Put(b) }
