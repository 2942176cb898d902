package transport

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

type peekState [1]unix.PollFd

func readableNow(socket uintptr, polled *peekState) bool {
	polled[0] = unix.PollFd{Fd: int32(socket), Events: unix.POLLIN}
	for {
		n, err := unix.Poll(polled[:], 0)
		if err != unix.EINTR {
			return n != 0 || err != nil
		}
	}
}

// canSendFile is false: macOS is for development, and the copy through a buffer serves it.
const canSendFile = false

type sendState struct{}

func (sendState) init() {}

func (c *osConn) sendFile([]byte, io.ReaderAt, uintptr, int64, int64) error {
	return errors.ErrUnsupported
}
