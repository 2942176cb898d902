package vfs

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// syncFile makes content and size durable; fdatasync leaves out only times.
func syncFile(file *os.File) error {
	err := unix.Fdatasync(int(file.Fd()))
	runtime.KeepAlive(file)
	return err
}

func syncDirectory(dir *os.File) error {
	return retryInterrupted(func() error { return unix.Fsync(int(dir.Fd())) })
}

func syncFS(dir *os.File) error {
	return retryInterrupted(func() error { return unix.Syncfs(int(dir.Fd())) })
}

// canSyncFS is true from Linux 5.8 on: before, syncfs did not report failed write-back (kernel commit 735e4ae5ba28).
var canSyncFS = sync.OnceValue(func() bool {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return false
	}
	return releaseAtLeast(name.Release[:], 5, 8)
})

// releaseAtLeast reads a kernel release such as "6.18.44-fc\x00".
func releaseAtLeast(release []byte, major, minor int) bool {
	first, rest, _ := bytes.Cut(release, []byte("."))
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		digits++
	}
	gotMajor, err := strconv.Atoi(string(first))
	if err != nil {
		return false
	}
	gotMinor, err := strconv.Atoi(string(rest[:digits]))
	if err != nil {
		return false
	}
	return gotMajor > major || gotMajor == major && gotMinor >= minor
}
