package transport

import (
	"io"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

const canSendFile = true

// sendFileChunk bounds one system call, and with it how long a cold file keeps a thread.
const sendFileChunk = 4 << 20

// sendState is one SendFile in progress: what is left of head and of the range, and why it stopped.
type sendState struct {
	head   []byte
	fd     int
	offset int64
	left   int64
	err    error
	// step makes progress on a socket until it is done, fails (true) or would block (false).
	step func(socket uintptr) bool
}

func (s *sendState) init() { s.step = s.advance }

func (s *sendState) advance(socket uintptr) bool {
	for len(s.head) > 0 {
		// MSG_MORE holds the head back until the file's bytes join it, so that both share a segment.
		n, err := unix.SendmsgN(int(socket), s.head, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN {
			return false
		}
		if err != nil {
			s.err = err
			return true
		}
		s.head = s.head[n:]
	}
	for s.left > 0 {
		// With an explicit offset the kernel leaves the file's own position alone: many fetches share one descriptor.
		n, err := syscall.Sendfile(int(socket), s.fd, &s.offset, int(min(s.left, sendFileChunk)))
		if n > 0 {
			s.left -= int64(n)
			continue
		}
		if err == syscall.EINTR {
			continue
		}
		if err == syscall.EAGAIN {
			return false
		}
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		s.err = err
		return true
	}
	return true
}

func (c *osConn) sendFile(head []byte, source io.ReaderAt, fd uintptr, offset, n int64) error {
	s := &c.send
	s.head, s.fd, s.offset, s.left, s.err = head, int(fd), offset, n, nil
	err := c.raw.Write(s.step)
	runtime.KeepAlive(source)
	s.head = nil
	switch {
	case err != nil:
		return err
	case s.err == io.ErrUnexpectedEOF:
		return shortSource(s.offset, s.left, s.err)
	default:
		return s.err
	}
}
