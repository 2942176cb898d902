package vfs

import (
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// unlimitedBytes is the size that a Mem without a capacity claims to have.
const unlimitedBytes = 1 << 40

// Mem is a file system in memory that can crash. It is meant for tests that cut the power, and as fast as a memory disk
// should be besides: reads and writes of different files don't meet, but for one read lock.
//
// What a crash may do to it:
//   - A file: content and size as of its last Sync (or SyncFS) are certain. Of what changed since, each 512-byte sector holds its old or its
//     new content, and the size is the old, the new, or one in between.
//   - A directory: entries as of its last SyncDir (or SyncFS) are certain. Each create, remove and rename since
//     happened or did not, each for itself; but a rename happens in one piece, and no change to a name happens without the
//     earlier changes to that name.
//   - A file whose bytes are synced and whose entry is not may be gone; so may everything in a directory whose own entry is not synced.
//
// Paths are rooted: "a/b" and "/a/b" are the same.
type Mem struct {
	seed   uint64
	tokens *atomic.Uint64 // source of ownership tokens, common to a Mem and all that its crashes leave

	// gate is held for reading by everything that changes the disk and for writing by Crash, which must see one moment.
	gate sync.RWMutex

	mu       sync.RWMutex // guards the name space: directories, links, locks
	root     *memDir
	lastSeq  uint64
	locks    map[string]bool
	crashes  uint64
	capacity atomic.Int64 // bytes; 0 means unlimited
	used     atomic.Int64 // bytes in pages of files that somebody can reach

	dirtyMu    sync.Mutex
	dirtyFiles map[*memInode]struct{}
	dirtyDirs  map[*memDir]struct{}

	ops  atomic.Int64
	hook atomic.Pointer[func(n int, op string)]
}

// NewMem makes an empty disk. All that its crashes decide at random follows from the seed and the number of the crash.
func NewMem(seed uint64) *Mem {
	m := newMem(seed, new(atomic.Uint64))
	m.root = newMemDir()
	return m
}

func newMem(seed uint64, tokens *atomic.Uint64) *Mem {
	return &Mem{
		seed:       seed,
		tokens:     tokens,
		locks:      make(map[string]bool),
		dirtyFiles: make(map[*memInode]struct{}),
		dirtyDirs:  make(map[*memDir]struct{}),
	}
}

// SetCapacity limits the disk to so many bytes, counted in pages of 4 KiB; 0 means no limit. A write that does not fit
// writes what fits and fails with ErrNoSpace, as a kernel does.
func (m *Mem) SetCapacity(bytes int64) { m.capacity.Store(bytes) }

// Ops is how many operations have changed or synced something so far. MkdirAll and RemoveAll count each of their steps.
func (m *Mem) Ops() int { return int(m.ops.Load()) }

// OnOp has fn called after each operation that Ops counts, with its number (from 1) and what it was, such as "write topic-0/x.log".
// No lock is held: fn may call Crash, and runs on each goroutine that uses the disk, several at once. nil stops it for operations that begin after.
func (m *Mem) OnOp(fn func(n int, op string)) {
	if fn == nil {
		m.hook.Store(nil)
		return
	}
	m.hook.Store(&fn)
}

// count ends an operation. The caller holds no lock.
func (m *Mem) count(op, path string) {
	n := m.ops.Add(1)
	if hook := m.hook.Load(); hook != nil {
		(*hook)(int(n), op+" "+path)
	}
}

// memEntry is what a name stands for: a directory, a file, or nothing.
type memEntry struct {
	dir  *memDir
	file *memInode
}

func (e memEntry) exists() bool { return e != memEntry{} }

// memDir is one directory, as programs see it and as a crash is sure to leave it.
type memDir struct {
	entries map[string]memEntry
	durable map[string]memEntry
	pending []*nameChange // those not yet durable, oldest first
	placed  *nameChange   // the last that gave this directory its own name; nil if durable
}

func newMemDir() *memDir {
	return &memDir{entries: make(map[string]memEntry), durable: make(map[string]memEntry)}
}

// nameChange is one create, remove or rename that a crash may undo.
type nameChange struct {
	seq      uint64
	effects  []nameEffect  // one, or two for a rename: what is gone, what is there
	needs    []*nameChange // the open ones that gave the directories of the effects their names
	synced   []*memDir     // of a rename across directories: the one that was synced already
	durable  bool
	survives bool // decided by a crash
}

type nameEffect struct {
	dir   *memDir
	name  string
	entry memEntry // zero: the name is gone
}

// change applies effects to what programs see and remembers them for a crash. The caller holds m.mu.
func (m *Mem) change(effects ...nameEffect) {
	m.lastSeq++
	c := &nameChange{seq: m.lastSeq, effects: effects}
	m.dirtyMu.Lock()
	for i, effect := range effects {
		m.dirtyDirs[effect.dir] = struct{}{}
		if i > 0 && effect.dir == effects[0].dir {
			continue
		}
		effect.dir.pending = append(effect.dir.pending, c)
		if effect.dir.placed != nil {
			c.needs = append(c.needs, effect.dir.placed)
		}
	}
	m.dirtyMu.Unlock()
	for _, effect := range effects {
		if effect.entry.exists() {
			effect.dir.entries[effect.name] = effect.entry
		} else {
			delete(effect.dir.entries, effect.name)
		}
		if effect.entry.dir != nil {
			effect.entry.dir.placed = c
		}
	}
}

// split cuts the first name off a path: "a/b/c" gives "a" and "b/c". Empty and "." names are skipped.
func split(path string) (first, rest string) {
	for path != "" {
		first, rest, _ = strings.Cut(path, "/")
		if first != "" && first != "." {
			return first, rest
		}
		path = rest
	}
	return "", ""
}

// find walks to a path. The caller holds m.mu. For the root it returns no parent.
func (m *Mem) find(path string) (parent *memDir, name string, entry memEntry, err error) {
	entry = memEntry{dir: m.root}
	for first, rest := split(path); first != ""; first, rest = split(rest) {
		if first == ".." {
			return nil, "", memEntry{}, fs.ErrInvalid
		}
		if parent != nil && !entry.exists() {
			return nil, "", memEntry{}, fs.ErrNotExist
		}
		if entry.dir == nil {
			return nil, "", memEntry{}, syscall.ENOTDIR
		}
		parent, name = entry.dir, first
		entry = parent.entries[name]
	}
	return parent, name, entry, nil
}

// existing is find for what must be there.
func (m *Mem) existing(path string) (parent *memDir, name string, entry memEntry, err error) {
	parent, name, entry, err = m.find(path)
	if err == nil && !entry.exists() {
		err = fs.ErrNotExist
	}
	return parent, name, entry, err
}

func pathError(op, path string, err error) error {
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// Create implements FS.
func (m *Mem) Create(path string) (File, error) {
	inode, err := m.create(path)
	if err != nil {
		return nil, pathError("create", path, err)
	}
	m.count("create", path)
	return &memFile{inode: inode, path: path, writable: true}, nil
}

func (m *Mem) create(path string) (*memInode, error) {
	m.gate.RLock()
	defer m.gate.RUnlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	parent, name, entry, err := m.find(path)
	if err != nil {
		return nil, err
	}
	if entry.exists() {
		return nil, fs.ErrExist
	}
	inode := m.newInode()
	inode.links, inode.handles = 1, 1
	m.change(nameEffect{parent, name, memEntry{file: inode}})
	return inode, nil
}

// Open implements FS.
func (m *Mem) Open(path string) (File, error) { return m.open(path, true) }

// OpenReadOnly implements FS.
func (m *Mem) OpenReadOnly(path string) (File, error) { return m.open(path, false) }

func (m *Mem) open(path string, writable bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _, entry, err := m.existing(path)
	if err == nil && entry.dir != nil {
		err = syscall.EISDIR
	}
	if err != nil {
		return nil, pathError("open", path, err)
	}
	entry.file.handles++
	return &memFile{inode: entry.file, path: path, writable: writable}, nil
}

// Rename implements FS.
func (m *Mem) Rename(oldPath, newPath string) error {
	if err := m.rename(oldPath, newPath); err != nil {
		return pathError("rename to "+newPath, oldPath, err)
	}
	m.count("rename", oldPath+" "+newPath)
	return nil
}

func (m *Mem) rename(oldPath, newPath string) error {
	m.gate.RLock()
	defer m.gate.RUnlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	from, oldName, moved, err := m.existing(oldPath)
	if err != nil {
		return err
	}
	to, newName, replaced, err := m.find(newPath)
	if err != nil {
		return err
	}
	switch {
	case from == nil || to == nil:
		return syscall.EBUSY
	case moved == replaced:
		return nil
	case moved.dir != nil && within(moved.dir, to):
		return fs.ErrInvalid
	case moved.dir != nil && replaced.file != nil:
		return syscall.ENOTDIR
	case moved.file != nil && replaced.dir != nil:
		return syscall.EISDIR
	case replaced.dir != nil && len(replaced.dir.entries) > 0:
		return syscall.ENOTEMPTY
	}
	m.change(nameEffect{from, oldName, memEntry{}}, nameEffect{to, newName, moved})
	m.unlink(replaced.file)
	return nil
}

// within reports whether dir is top or lies below it.
func within(top, dir *memDir) bool {
	if top == dir {
		return true
	}
	for _, entry := range top.entries {
		if entry.dir != nil && within(entry.dir, dir) {
			return true
		}
	}
	return false
}

// Remove implements FS.
func (m *Mem) Remove(path string) error {
	if err := m.remove(path); err != nil {
		return pathError("remove", path, err)
	}
	m.count("remove", path)
	return nil
}

func (m *Mem) remove(path string) error {
	m.gate.RLock()
	defer m.gate.RUnlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	parent, name, entry, err := m.existing(path)
	switch {
	case err != nil:
		return err
	case parent == nil:
		return syscall.EBUSY
	case entry.dir != nil && len(entry.dir.entries) > 0:
		return syscall.ENOTEMPTY
	}
	m.change(nameEffect{parent, name, memEntry{}})
	m.unlink(entry.file)
	return nil
}

// RemoveAll implements FS.
func (m *Mem) RemoveAll(path string) error {
	entry, err := m.Stat(path)
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if entry.IsDir {
		children, err := m.List(path)
		if err != nil {
			return err
		}
		for _, child := range children {
			if err := m.RemoveAll(path + "/" + child.Name); err != nil {
				return err
			}
		}
		if first, _ := split(path); first == "" {
			return nil // the root stays
		}
	}
	if err := m.Remove(path); err != nil && !isMissing(err) {
		return err
	}
	return nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(path string) error {
	for {
		made, err := m.mkdirFirst(path)
		if err != nil {
			return pathError("make directory", path, err)
		}
		if !made {
			return nil
		}
		m.count("mkdir", path)
	}
}

// mkdirFirst makes the first directory of path that is missing; false if none is.
func (m *Mem) mkdirFirst(path string) (bool, error) {
	m.gate.RLock()
	defer m.gate.RUnlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	dir := m.root
	for first, rest := split(path); first != ""; first, rest = split(rest) {
		entry := dir.entries[first]
		switch {
		case first == "..":
			return false, fs.ErrInvalid
		case entry.file != nil:
			return false, syscall.ENOTDIR
		case entry.dir == nil:
			m.change(nameEffect{dir, first, memEntry{dir: newMemDir()}})
			return true, nil
		}
		dir = entry.dir
	}
	return false, nil
}

// List implements FS.
func (m *Mem) List(dir string) ([]Entry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, _, found, err := m.existing(dir)
	if err == nil && found.dir == nil {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError("list", dir, err)
	}
	entries := make([]Entry, 0, len(found.dir.entries))
	for name, entry := range found.dir.entries {
		entries = append(entries, entry.describe(name))
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

func (e memEntry) describe(name string) Entry {
	if e.dir != nil {
		return Entry{Name: name, IsDir: true}
	}
	return Entry{Name: name, Size: e.file.length()}
}

// Stat implements FS.
func (m *Mem) Stat(path string) (Entry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	parent, name, entry, err := m.existing(path)
	if err != nil {
		return Entry{}, pathError("stat", path, err)
	}
	if parent == nil {
		name = "/"
	}
	return entry.describe(name), nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(dir string) error {
	if err := m.syncDir(dir); err != nil {
		return pathError("sync directory", dir, err)
	}
	m.count("syncdir", dir)
	return nil
}

func (m *Mem) syncDir(path string) error {
	m.gate.RLock()
	defer m.gate.RUnlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _, entry, err := m.existing(path)
	if err != nil {
		return err
	}
	if entry.dir == nil {
		return syscall.ENOTDIR
	}
	m.settle(entry.dir)
	return nil
}

// settle makes the changes of one directory durable. A rename across directories stays open until both are synced, unless a
// later change to the same name would overtake it. The caller holds m.mu.
func (m *Mem) settle(dir *memDir) {
	var open []*nameChange
	for i, c := range dir.pending {
		if c.durable {
			continue
		}
		across := len(c.effects) == 2 && c.effects[0].dir != c.effects[1].dir
		if across && !slices.ContainsFunc(c.synced, func(d *memDir) bool { return d != dir }) && !overtaken(c, dir, dir.pending[i+1:]) {
			c.synced = []*memDir{dir}
			open = append(open, c)
			continue
		}
		c.settle()
	}
	dir.pending = open
	if len(open) == 0 {
		m.dirtyMu.Lock()
		delete(m.dirtyDirs, dir)
		m.dirtyMu.Unlock()
	}
}

// overtaken reports whether one of the later changes touches the name that c touches in dir.
func overtaken(c *nameChange, dir *memDir, later []*nameChange) bool {
	for _, l := range later {
		for _, a := range l.effects {
			for _, b := range c.effects {
				if a.dir == dir && b.dir == dir && a.name == b.name {
					return true
				}
			}
		}
	}
	return false
}

func (c *nameChange) settle() {
	c.durable = true
	for _, effect := range c.effects {
		if effect.entry.exists() {
			effect.dir.durable[effect.name] = effect.entry
		} else {
			delete(effect.dir.durable, effect.name)
		}
		if effect.entry.dir != nil && effect.entry.dir.placed == c {
			effect.entry.dir.placed = nil
		}
	}
}

// SyncFS implements FS.
func (m *Mem) SyncFS(dir string) error {
	if err := m.syncFS(dir); err != nil {
		return pathError("sync file system of", dir, err)
	}
	m.count("syncfs", dir)
	return nil
}

func (m *Mem) syncFS(path string) error {
	m.gate.RLock()
	defer m.gate.RUnlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, _, _, err := m.existing(path); err != nil {
		return err
	}
	m.dirtyMu.Lock()
	files := make([]*memInode, 0, len(m.dirtyFiles))
	for file := range m.dirtyFiles {
		files = append(files, file)
	}
	changes := m.pendingChanges()
	clear(m.dirtyDirs)
	m.dirtyMu.Unlock()
	for _, c := range changes {
		for _, effect := range c.effects {
			effect.dir.pending = nil
		}
		c.settle()
	}
	for _, file := range files {
		file.sync()
	}
	return nil
}

// pendingChanges lists all changes of names that a crash may undo, oldest first. The caller holds m.mu and m.dirtyMu.
func (m *Mem) pendingChanges() []*nameChange {
	var changes []*nameChange
	for dir := range m.dirtyDirs {
		for _, c := range dir.pending {
			// A rename across directories is listed in both.
			if !c.durable && (c.effects[0].dir == dir || !slices.Contains(c.effects[0].dir.pending, c)) {
				changes = append(changes, c)
			}
		}
	}
	slices.SortFunc(changes, func(a, b *nameChange) int { return int(int64(a.seq) - int64(b.seq)) })
	return changes
}

// Lock implements FS. The lock is the Mem's: what a crash leaves is unlocked.
func (m *Mem) Lock(path string) (io.Closer, error) {
	file, err := m.Create(path)
	if err == nil {
		err = file.Close()
	} else if isExisting(err) {
		_, err = m.Stat(path)
	}
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := canonical(path)
	if m.locks[key] {
		return nil, pathError("lock", path, ErrLocked)
	}
	m.locks[key] = true
	return &memLock{mem: m, key: key}, nil
}

func canonical(path string) string {
	var names []string
	for first, rest := split(path); first != ""; first, rest = split(rest) {
		names = append(names, first)
	}
	return strings.Join(names, "/")
}

type memLock struct {
	mem  *Mem
	key  string
	once sync.Once
}

func (l *memLock) Close() error {
	l.once.Do(func() {
		l.mem.mu.Lock()
		delete(l.mem.locks, l.key)
		l.mem.mu.Unlock()
	})
	return nil
}

// Dedicated implements FS. A SyncFS of a Mem costs what each file would; tests that want it used wrap the Mem.
func (m *Mem) Dedicated(string) bool { return false }

// Space implements FS.
func (m *Mem) Space(string) (total, usable int64, err error) {
	total = m.capacity.Load()
	if total == 0 {
		total = unlimitedBytes
	}
	return total, max(0, total-m.used.Load()), nil
}

// reserve takes one page of the capacity.
func (m *Mem) reserve() bool {
	capacity := m.capacity.Load()
	if m.used.Add(memPageBytes) > capacity && capacity > 0 {
		m.used.Add(-memPageBytes)
		return false
	}
	return true
}

// unlink takes one name from a file, and its pages from the used space when that was the last and nobody has it open.
// The caller holds m.mu. A nil file is none.
func (m *Mem) unlink(file *memInode) {
	if file == nil {
		return
	}
	file.links--
	file.forget()
}
