//go:build linux || darwin

package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	// sendFileMinBytes is from where on sendfile pays. Below it the copy through a pooled buffer costs the same two
	// system calls, and the reader finds the bytes in cache.
	sendFileMinBytes = 16 << 10
	// bulkSendBytes is the size of a SendFile that marks its connection as one that fetches in bulk.
	bulkSendBytes = 128 << 10
	// bulkSendBuffer is SO_SNDBUF of such a connection. SO_RCVBUF stays with the kernel's auto-tuning, always.
	bulkSendBuffer = 256 << 10
)

// osNetwork is TCP by the kernel.
type osNetwork struct {
	listen  net.ListenConfig
	buffers *sync.Pool // *[]byte of copyBufferBytes
}

// OS returns the real network: TCP, with TCP_NODELAY and keepalive set on every connection.
func OS() Network {
	return &osNetwork{
		listen:  net.ListenConfig{KeepAliveConfig: keepAlive()},
		buffers: newCopyBuffers(),
	}
}

// keepAlive finds a dead peer within two minutes.
func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 60 * time.Second, Interval: 15 * time.Second, Count: 4}
}

func (n *osNetwork) Listen(address string) (Listener, error) {
	l, err := n.listen.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	return &osListener{network: n, tcp: l.(*net.TCPListener)}, nil
}

func (n *osNetwork) Dial(address string, timeout time.Duration) (Conn, error) {
	dialer := net.Dialer{Timeout: timeout, KeepAliveConfig: keepAlive()}
	c, err := dialer.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return n.newConn(c.(*net.TCPConn))
}

type osListener struct {
	network *osNetwork
	tcp     *net.TCPListener
}

func (l *osListener) Accept() (Conn, error) {
	c, err := l.tcp.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return l.network.newConn(c)
}

func (l *osListener) Addr() net.Addr { return l.tcp.Addr() }
func (l *osListener) Close() error   { return l.tcp.Close() }

// osConn is one TCP connection. The functions that RawConn calls, and the state that they work on, are fields made once,
// so that no call allocates. Only the writer touches the second part.
type osConn struct {
	*net.TCPConn
	raw     syscall.RawConn
	network *osNetwork

	vector net.Buffers
	send   sendState
	bulk   bool
}

func (n *osNetwork) newConn(tcp *net.TCPConn) (Conn, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		tcp.Close()
		return nil, fmt.Errorf("reach the socket of %v: %w", tcp.RemoteAddr(), err)
	}
	// net sets TCP_NODELAY on every connection it makes; here it is said, because latency depends on it.
	if err := tcp.SetNoDelay(true); err != nil {
		tcp.Close()
		return nil, fmt.Errorf("set TCP_NODELAY for %v: %w", tcp.RemoteAddr(), err)
	}
	c := &osConn{TCPConn: tcp, raw: raw, network: n}
	c.send.init()
	return c, nil
}

func (c *osConn) WriteBuffers(buffers [][]byte) error {
	c.vector = buffers
	_, err := c.vector.WriteTo(c.TCPConn)
	c.vector = nil
	return err
}

func (c *osConn) SendFile(head []byte, source io.ReaderAt, offset, n int64) error {
	if n < 0 || offset < 0 {
		return fmt.Errorf("send %d bytes from offset %d: %w", n, offset, errors.ErrUnsupported)
	}
	if n >= bulkSendBytes && !c.bulk {
		c.bulk = true
		if err := c.SetWriteBuffer(bulkSendBuffer); err != nil {
			return fmt.Errorf("set SO_SNDBUF: %w", err)
		}
	}
	if n >= sendFileMinBytes {
		if file, ok := source.(interface{ Descriptor() (uintptr, bool) }); ok {
			if fd, ok := file.Descriptor(); ok && canSendFile {
				return c.sendFile(head, source, fd, offset, n)
			}
		}
	}
	return copyFile(c.TCPConn, c.network.buffers, head, source, offset, n)
}
