package checkup

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/internal/doctor"
)

const (
	correlation = 0x4f54544c // of the one request of askVersions: nothing but its answer repeats it
	versionsMax = 1 << 20    // bytes of an answer to ApiVersions; Kafka 4.3's has less than 1 kB
	heardMax    = 256        // bytes that are kept of what a stranger says
)

// errNotKafka is that something was heard that is no answer of Kafka's protocol.
var errNotKafka = errors.New("not Kafka's protocol")

// meet tells who takes connections at addr: "" and nil for a Kafka broker, whatever it wants of its clients afterwards; "" and an error where nobody
// does; else a stranger, and an error that says so.
//
// A broker hears nothing but ApiVersions, in the version that all have. Only what does not answer that, in the time of an answer, is greeted in TLS and in
// HTTP, each on a connection of its own: most strangers wait for more of what they take for the beginning of their own protocol, and would stay unknown.
func (f *doctorFlags) meet(ctx context.Context, addr string) (doctor.Stranger, error) {
	kafka := f.speak(ctx, addr, askVersions)
	switch {
	case kafka.refused != nil:
		return "", kafka.refused
	case kafka.err == nil:
		return "", nil
	}
	var overTLS, overHTTP spoken
	var group sync.WaitGroup
	group.Go(func() { overTLS = f.speak(ctx, addr, greetTLS(addr)) })
	group.Go(func() { overHTTP = f.speak(ctx, addr, askHTTP) })
	group.Wait()
	stranger, heard := judge(kafka, overTLS, overHTTP)
	switch stranger {
	case doctor.SpeaksHTTP:
		line, _, _ := bytes.Cut(heard, []byte("\n"))
		return stranger, fmt.Errorf("an HTTP server answers there (%q)", bytes.TrimSpace(line))
	case doctor.SpeaksTLS:
		return stranger, errors.New("what answers there speaks TLS")
	case doctor.SpeaksOther:
		return stranger, fmt.Errorf("what answers there does not speak Kafka's protocol (it says %q)", heard)
	case doctor.Mute:
		return stranger, fmt.Errorf("something takes the connection there, and does not answer within %v", f.timeout)
	}
	return stranger, errors.New("something takes the connection there, and closes it without an answer")
}

// judge tells strangers apart by what was heard. TLS comes before HTTP, as servers of both answer plain HTTP in plain HTTP.
func judge(kafka, overTLS, overHTTP spoken) (stranger doctor.Stranger, heard []byte) {
	for _, kind := range []struct {
		stranger doctor.Stranger
		is       func(heard []byte) bool
	}{
		{doctor.SpeaksTLS, beginsTLS},
		{doctor.SpeaksHTTP, func(heard []byte) bool { return bytes.HasPrefix(heard, []byte("HTTP/")) }},
		{doctor.SpeaksOther, func(heard []byte) bool { return len(heard) > 0 }},
	} {
		for _, s := range []spoken{overHTTP, overTLS, kafka} {
			if kind.is(s.heard) {
				return kind.stranger, s.heard
			}
		}
	}
	if kafka.late {
		return doctor.Mute, nil
	}
	return doctor.Closes, nil
}

// beginsTLS is true of the beginning of a record of TLS.
//
//	record: uint8 type (21 alert, 22 handshake), uint8 major version (3 from SSL 3.0 to TLS 1.3), ...
func beginsTLS(heard []byte) bool {
	return len(heard) >= 2 && (heard[0] == 21 || heard[0] == 22) && heard[1] == 3
}

// spoken is what came of one connection.
type spoken struct {
	refused error  // why there was none; nil if there was
	err     error  // why what was heard is not what was asked for; nil if it is
	heard   []byte // the first bytes that came back, at most heardMax
	late    bool   // the time of an answer was over
}

// speak has talk use a connection for the time of an answer.
func (f *doctorFlags) speak(ctx context.Context, addr string, talk func(net.Conn) error) spoken {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return spoken{refused: err}
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })() // ends what reads and writes
	in := &ear{Conn: conn}
	err = talk(in)
	return spoken{err: err, heard: in.heard, late: ctx.Err() != nil}
}

// ear is a connection that keeps the first bytes that come.
type ear struct {
	net.Conn
	heard []byte
}

func (e *ear) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	e.heard = append(e.heard, p[:min(n, heardMax-len(e.heard))]...)
	return n, err
}

// askVersions is the first request of every client, ApiVersions 0, which a broker answers before it asks who it is that asks.
//
//	answer: int32 size, int32 correlation, then size-4 bytes of ApiVersionsResponse
func askVersions(conn net.Conn) error {
	formatter := kmsg.NewRequestFormatter(kmsg.FormatterClientID("ottla-doctor"))
	if _, err := conn.Write(formatter.AppendRequest(nil, kmsg.NewPtrApiVersionsRequest(), correlation)); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	var header [8]byte
	if _, err := io.ReadFull(in, header[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(header[:])
	if size < 4 || size > versionsMax || binary.BigEndian.Uint32(header[4:]) != correlation {
		return errNotKafka
	}
	answer := make([]byte, size-4)
	if _, err := io.ReadFull(in, answer); err != nil {
		return err
	}
	return kmsg.NewPtrApiVersionsResponse().ReadFrom(answer)
}

// greetTLS begins TLS. Whether it goes on does not matter: that its beginning is answered in TLS is what is to be heard.
func greetTLS(addr string) func(net.Conn) error {
	host, _, _ := net.SplitHostPort(addr)
	return func(conn net.Conn) error {
		return tls.Client(conn, &tls.Config{ServerName: host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}).Handshake()
	}
}

// askHTTP asks for a page, and hears the first line of the answer, as far as it is kept.
func askHTTP(conn net.Conn) error {
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	_, err := bufio.NewReaderSize(conn, heardMax).ReadSlice('\n')
	return err
}
