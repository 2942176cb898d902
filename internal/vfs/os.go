//go:build linux || darwin

package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// osFS is the real file system.
type osFS struct {
	mu sync.Mutex
	// volumes are descriptors for SyncFS, by directory. They stay open as long as the lock in their directory: the kernel reports a
	// failed write-back once to each descriptor that was open when it happened, so one opened for the call could miss it.
	volumes map[string]*volume
}

// volume is a file system that SyncFS syncs, by a descriptor of one of its directories.
type volume struct {
	*os.File
	flush bool // syncfs may leave something in the drive's cache: see needsFlush
}

// OS returns the real file system. Files and directories are made with modes 0644 and 0755, less the umask, and every
// descriptor closes on exec.
func OS() FS { return &osFS{volumes: make(map[string]*volume)} }

// FileLimit is how many files this process may have open (RLIMIT_NOFILE, the soft limit, which Go raises to the hard one at the start); 0 if that is unknown.
func FileLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<30))
}

func (f *osFS) Create(path string) (File, error) {
	return openFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (f *osFS) Open(path string) (File, error) { return openFile(path, os.O_RDWR) }

func (f *osFS) OpenReadOnly(path string) (File, error) { return openFile(path, os.O_RDONLY) }

func openFile(path string, flag int) (File, error) {
	file, err := os.OpenFile(path, flag, 0o644)
	if err != nil {
		return nil, wrap(err)
	}
	return &osFile{file: file, fd: file.Fd()}, nil
}

func (f *osFS) Rename(oldPath, newPath string) error { return wrap(os.Rename(oldPath, newPath)) }

func (f *osFS) Remove(path string) error { return wrap(os.Remove(path)) }

func (f *osFS) RemoveAll(path string) error { return wrap(os.RemoveAll(path)) }

func (f *osFS) MkdirAll(path string) error { return wrap(os.MkdirAll(path, 0o755)) }

func (f *osFS) List(dir string) ([]Entry, error) {
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil, wrap(err)
	}
	entries := make([]Entry, 0, len(found))
	for _, item := range found {
		info, err := item.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since the directory was read
		}
		if err != nil {
			return nil, wrap(err)
		}
		entries = append(entries, newEntry(info))
	}
	return entries, nil
}

func (f *osFS) Stat(path string) (Entry, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Entry{}, wrap(err)
	}
	return newEntry(info), nil
}

func newEntry(info fs.FileInfo) Entry {
	if info.IsDir() {
		return Entry{Name: info.Name(), IsDir: true}
	}
	return Entry{Name: info.Name(), Size: info.Size()}
}

func (f *osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return wrap(err)
	}
	defer d.Close()
	return wrapPath("sync directory", dir, syncDirectory(d))
}

func (f *osFS) SyncFS(dir string) error {
	if !canSyncFS() {
		return fmt.Errorf("sync file system of %s: %w", dir, errors.ErrUnsupported)
	}
	volume, err := f.volume(dir)
	if err != nil {
		return err
	}
	err = syncFS(volume.File)
	if err == nil && volume.flush {
		err = syncDirectory(volume.File)
	}
	runtime.KeepAlive(volume)
	return wrapPath("sync file system of", dir, err)
}

func (f *osFS) Dedicated(dir string) bool { return canSyncFS() && isDedicated(dir) }

func (f *osFS) volume(dir string) (*volume, error) {
	key := filepath.Clean(dir)
	f.mu.Lock()
	defer f.mu.Unlock()
	if known, ok := f.volumes[key]; ok {
		return known, nil
	}
	file, err := os.Open(dir)
	if err != nil {
		return nil, wrap(err)
	}
	opened := &volume{file, needsFlush(dir)}
	f.volumes[key] = opened
	return opened, nil
}

func (f *osFS) Lock(path string) (io.Closer, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, wrap(err)
	}
	err = retryInterrupted(func() error { return unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if err == unix.EWOULDBLOCK {
		err = ErrLocked
	}
	if err != nil {
		file.Close()
		return nil, wrapPath("lock", path, err)
	}
	if canSyncFS() {
		if _, err := f.volume(filepath.Dir(path)); err != nil {
			file.Close()
			return nil, err
		}
	}
	return &osLock{fs: f, file: file, dir: filepath.Dir(path)}, nil
}

type osLock struct {
	fs   *osFS
	file *os.File
	dir  string
}

// Close gives the lock up and lets go of the directory that SyncFS kept open, so that nothing stays behind.
func (l *osLock) Close() error {
	l.fs.mu.Lock()
	if volume, ok := l.fs.volumes[l.dir]; ok {
		volume.Close()
		delete(l.fs.volumes, l.dir)
	}
	l.fs.mu.Unlock()
	return l.file.Close()
}

func (f *osFS) Space(dir string) (total, usable int64, err error) {
	var stat unix.Statfs_t
	if err := retryInterrupted(func() error { return unix.Statfs(dir, &stat) }); err != nil {
		return 0, 0, wrapPath("read the space of", dir, err)
	}
	block := int64(stat.Bsize)
	return int64(stat.Blocks) * block, int64(stat.Bavail) * block, nil
}

// osFile keeps the descriptor beside the file, so that Sync and sendfile reach it without a detour. The owner closes a
// file only when nobody uses it any more (see File), so the number can't come to mean another file under a call.
type osFile struct {
	file *os.File
	fd   uintptr
}

func (f *osFile) ReadAt(p []byte, offset int64) (int, error) {
	n, err := f.file.ReadAt(p, offset)
	return n, wrap(err)
}

func (f *osFile) WriteAt(p []byte, offset int64) (int, error) {
	n, err := f.file.WriteAt(p, offset)
	return n, wrap(err)
}

func (f *osFile) Truncate(size int64) error { return wrap(f.file.Truncate(size)) }

func (f *osFile) Sync() error {
	err := retryInterrupted(func() error { return syncFile(f.file) })
	return wrapPath("sync", f.file.Name(), err)
}

func (f *osFile) Size() (int64, error) {
	info, err := f.file.Stat()
	if err != nil {
		return 0, wrap(err)
	}
	return info.Size(), nil
}

func (f *osFile) Close() error { return f.file.Close() }

// Descriptor is valid until Close.
func (f *osFile) Descriptor() (uintptr, bool) { return f.fd, true }

// retryInterrupted repeats a call that a signal interrupted, which says nothing about the disk.
func retryInterrupted(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// wrap marks the errors of a full disk with ErrNoSpace, those of a lack of descriptors with ErrTooManyFiles, and leaves all others, which package os has
// described, as they are.
func wrap(err error) error {
	if err != nil && (errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	if err != nil && (errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)) {
		return fmt.Errorf("%w: %w", ErrTooManyFiles, err)
	}
	return err
}

// wrapPath describes the error of a bare system call.
func wrapPath(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return wrap(&fs.PathError{Op: op, Path: path, Err: err})
}
