package transport

import (
	"net"
	"time"
)

// StdListener gives a Listener the shape that net/http wants.
func StdListener(l Listener) net.Listener { return stdListener{l} }

type stdListener struct{ Listener }

func (l stdListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return stdConn{c}, nil
}

type stdConn struct{ Conn }

func (c stdConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}
