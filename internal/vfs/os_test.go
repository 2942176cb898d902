package vfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

func TestOSFile(t *testing.T) {
	fsys, dir := OS(), t.TempDir()
	name := dir + "/a/f"
	if _, err := fsys.Create(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("create without a parent: %v", err)
	}
	must(t, fsys.MkdirAll(dir+"/a"))
	file, err := fsys.Create(name)
	must(t, err)
	defer file.Close()
	if _, err := fsys.Create(name); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create over an existing file: %v", err)
	}
	if _, err := file.WriteAt([]byte("data"), 2); err != nil {
		t.Fatal(err)
	}
	must(t, file.Sync())
	must(t, fsys.SyncDir(dir+"/a"))
	if got, _ := content(t, fsys, name); got != "\x00\x00data" {
		t.Errorf("got %q", got)
	}
	fd, ok := file.(Descriptor).Descriptor()
	if !ok {
		t.Fatal("no descriptor")
	}
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(fd), &stat); err != nil || stat.Size != 6 {
		t.Errorf("the descriptor has %d bytes, %v", stat.Size, err)
	}
	if runtime.GOOS == "linux" {
		// Every descriptor must close on exec, or a child process would keep files and locks alive.
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFD, 0)
		if errno != 0 || flags&syscall.FD_CLOEXEC == 0 {
			t.Errorf("descriptor flags %x, %v", flags, errno)
		}
	}
	total, usable, err := fsys.Space(dir)
	if err != nil || total <= 0 || usable < 0 || usable > total {
		t.Errorf("space %d of %d, %v", usable, total, err)
	}
	if err := fsys.SyncDir(dir + "/missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("sync of a missing directory: %v", err)
	}
}

func TestOSSyncFSIsReleasedWithLock(t *testing.T) {
	if !canSyncFS() {
		t.Skip("this kernel has no syncfs that reports errors")
	}
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("no /proc to count descriptors in")
	}
	fsys, dir := OS(), t.TempDir()
	lock, err := fsys.Lock(dir + "/.lock")
	must(t, err)
	if open := openIn(t, dir); open != 2 {
		t.Errorf("%d descriptors with the lock held, want the lock and its directory", open)
	}
	must(t, lock.Close())
	if open := openIn(t, dir); open != 0 {
		t.Errorf("%d descriptors left after the lock", open)
	}
}

// openIn counts this process's descriptors at or below dir.
func openIn(t *testing.T, dir string) int {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	must(t, err)
	count := 0
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && (target == dir || filepath.Dir(target) == dir) {
			count++
		}
	}
	return count
}

// TestFullDiskIsErrNoSpace writes to the device that is always full.
func TestFullDiskIsErrNoSpace(t *testing.T) {
	file, err := OS().Open("/dev/full")
	if err != nil {
		t.Skip("no /dev/full here")
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte("x"), 0); !errors.Is(err, ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if err := wrap(&fs.PathError{Op: "write", Path: "f", Err: syscall.EDQUOT}); !errors.Is(err, ErrNoSpace) {
		t.Errorf("EDQUOT: %v", err)
	}
	if err := wrap(syscall.EIO); errors.Is(err, ErrNoSpace) {
		t.Errorf("EIO: %v", err)
	}
}
