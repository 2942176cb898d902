package vfs

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// syncFile asks the drive to empty its cache too: fsync on macOS stops at the drive.
func syncFile(file *os.File) error {
	_, err := unix.FcntlInt(file.Fd(), unix.F_FULLFSYNC, 0)
	runtime.KeepAlive(file)
	return err
}

func syncDirectory(dir *os.File) error {
	return retryInterrupted(func() error { return syncFile(dir) })
}

func syncFS(*os.File) error { return errors.ErrUnsupported }

func canSyncFS() bool { return false }

func needsFlush(string) bool { return false }

func isDedicated(string) bool { return false }
