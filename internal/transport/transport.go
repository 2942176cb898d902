// Package transport is the only door to sockets.
//
// OS() listens and dials TCP. NewSim gives a network in memory on top of a run.Env, with delay, loss of
// connections and one-way cuts by rule. It must never know what the bytes mean: framing belongs to server and peer.
//
// server, peer and admin call it. Nothing here survives a crash.
package transport

import (
	"io"
	"net"
	"time"
)

// Network opens listeners and connections.
type Network interface {
	// Listen binds HOST:PORT; port 0 picks a free one, which Addr then tells.
	Listen(address string) (Listener, error)
	// Dial connects within the timeout.
	Dial(address string, timeout time.Duration) (Conn, error)
}

// Listener accepts connections.
type Listener interface {
	Accept() (Conn, error)
	Addr() net.Addr
	// Close stops accepting; a blocked Accept returns net.ErrClosed.
	Close() error
}

// Conn is one stream. One goroutine may read and another write at the same time; Close may come from any.
type Conn interface {
	Read(p []byte) (int, error)
	// Write writes all of p or returns an error, after which the stream is unusable.
	Write(p []byte) (int, error)
	// WriteBuffers writes all buffers in order, in one system call where it can, with the same rule. It may
	// overwrite the elements of buffers.
	WriteBuffers(buffers [][]byte) error
	// SendFile writes n bytes of source from offset, after head, which may be empty. It uses sendfile where source has a
	// Descriptor (see vfs.Descriptor) and the platform can, and copies otherwise. A short source is an error.
	SendFile(head []byte, source io.ReaderAt, offset, n int64) error
	// SetReadDeadline makes a pending or later Read fail with os.ErrDeadlineExceeded at t; zero means never.
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
	Close() error
}
