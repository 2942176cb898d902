package parity

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// silence is how long an answer may take before the transcript says that there is none.
const silence = 4 * time.Second

// exchange is one request and what came back, as text.
type exchange struct{ name, answer string }

// session runs one scenario against one broker and writes down its answers. Names of ids are given in the order in which the broker
// hands them out, so that transcripts of two brokers compare.
type session struct {
	t         *testing.T
	addr      string
	conn      net.Conn
	correlate int32
	exchanges []exchange
	topics    map[[16]byte]string // symbolic names of topic ids
	producers []int64
	sessions  []int32
	members   *[]string
	beganMs   int64
}

func newSession(t *testing.T, addr string) *session {
	return &session{t: t, addr: addr, topics: map[[16]byte]string{}, members: new([]string), beganMs: time.Now().UnixMilli()}
}

func (s *session) hangUp() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}

func (s *session) dial() net.Conn {
	if s.conn == nil {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			s.t.Fatalf("dial: %v", err)
		}
		s.conn = conn
	}
	return s.conn
}

func (s *session) note(name, answer string) {
	s.exchanges = append(s.exchanges, exchange{name, answer})
}

// frame is a request as it goes over the wire, without its length.
func (s *session) frame(req kmsg.Request) []byte {
	s.correlate++
	f := kmsg.NewRequestFormatter(kmsg.FormatterClientID("parity"))
	return f.AppendRequest(nil, req, s.correlate)[4:]
}

// send sends a request at a version and writes down the answer, which it also returns, nil if there was none.
func (s *session) send(name string, version int16, req kmsg.Request) kmsg.Response {
	s.t.Helper()
	req.SetVersion(version)
	return s.sendFrame(fmt.Sprintf("%s v%d", name, version), s.frame(req), req)
}

// sendFrame sends a frame that may be anything; req says how its answer is decoded.
func (s *session) sendFrame(name string, frame []byte, req kmsg.Request) kmsg.Response {
	s.t.Helper()
	body, err := s.roundTrip(frame)
	if err != nil {
		s.note(name, s.ending(err))
		return nil
	}
	resp, text := s.decode(body, req)
	s.note(name, text)
	return resp
}

// quiet sends a request that prepares others; what it answers is not written down.
func (s *session) quiet(version int16, req kmsg.Request) kmsg.Response {
	s.t.Helper()
	req.SetVersion(version)
	body, err := s.roundTrip(s.frame(req))
	if err != nil {
		s.t.Fatalf("%T: %v", req, err)
	}
	resp, _ := s.decode(body, req)
	if resp == nil {
		s.t.Fatalf("%T: no decodable answer", req)
	}
	return resp
}

// ending says how a connection without an answer ended, and opens another for the next request.
func (s *session) ending(err error) string {
	s.hangUp()
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer"
	default:
		return "closed"
	}
}

func (s *session) roundTrip(frame []byte) ([]byte, error) {
	conn := s.dial()
	if err := s.write(frame); err != nil {
		return nil, err
	}
	_ = conn.SetReadDeadline(time.Now().Add(silence))
	return readFrame(conn)
}

func (s *session) write(frame []byte) error {
	size := binary.BigEndian.AppendUint32(nil, uint32(len(frame)))
	_, err := s.dial().Write(append(size, frame...))
	return err
}

func readFrame(conn net.Conn) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > 64<<20 {
		return nil, fmt.Errorf("a response of %d bytes", n)
	}
	body := make([]byte, n)
	_, err := io.ReadFull(conn, body)
	return body, err
}

// decode reads a response with its header.
func (s *session) decode(body []byte, req kmsg.Request) (kmsg.Response, string) {
	if len(body) < 4 {
		return nil, "a response without header"
	}
	if got := int32(binary.BigEndian.Uint32(body)); got != s.correlate {
		return nil, fmt.Sprintf("correlation id %d instead of %d", got, s.correlate)
	}
	body = body[4:]
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if resp.IsFlexible() && resp.Key() != 18 {
		if len(body) == 0 || body[0] != 0 {
			return nil, "tags in the response header"
		}
		body = body[1:]
	}
	if resp.Key() == 18 && len(body) >= 2 && binary.BigEndian.Uint16(body) == 35 {
		resp.SetVersion(0) // KIP-511: the one layout that every client reads
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Sprintf("undecodable: %v: %x", err, body)
	}
	again := len(resp.AppendTo(nil))
	text := s.render(resp)
	if again != len(body) {
		text += fmt.Sprintf("\n(%d bytes too many)", len(body)-again)
	}
	return resp, text
}

// acksZero sends a frame that gets no answer, and another behind it on the same connection, to see whether the connection lives.
func (s *session) acksZero(name string, version int16, req kmsg.Request) {
	s.t.Helper()
	req.SetVersion(version)
	name = fmt.Sprintf("%s v%d", name, version)
	if err := s.write(s.frame(req)); err != nil {
		s.note(name, s.ending(err))
		return
	}
	if _, err := s.roundTrip(s.frame(kmsg.NewPtrApiVersionsRequest())); err != nil {
		s.note(name, s.ending(err))
		return
	}
	s.note(name, "silence")
}

// topic creates a topic and waits until it can be written and read. Its id gets its name in transcripts.
func (s *session) topic(name string, partitions int32, settings ...string) [16]byte {
	s.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 10_000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	for i := 0; i < len(settings); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = settings[i], &settings[i+1]
		topic.Configs = append(topic.Configs, c)
	}
	req.Topics = append(req.Topics, topic)
	resp := s.quiet(7, req).(*kmsg.CreateTopicsResponse)
	if code := resp.Topics[0].ErrorCode; code != 0 {
		s.t.Fatalf("create %s: %s %v", name, codeName(code), resp.Topics[0].ErrorMessage)
	}
	id := resp.Topics[0].TopicID
	s.topics[id] = name
	s.waitFor("topic "+name, func() bool { return s.servesAll(name, partitions) })
	return id
}

// servesAll asks the leader of every partition for its end.
func (s *session) servesAll(name string, partitions int32) bool {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = name
	for i := range partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.CurrentLeaderEpoch, p.Timestamp = i, -1, -1
		topic.Partitions = append(topic.Partitions, p)
	}
	req.Topics = append(req.Topics, topic)
	for _, t := range s.quiet(6, req).(*kmsg.ListOffsetsResponse).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				return false
			}
		}
	}
	return true
}

// gone waits until a topic is unknown to the broker.
func (s *session) gone(name string) {
	s.t.Helper()
	s.waitFor("end of topic "+name, func() bool {
		req := kmsg.NewPtrMetadataRequest()
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &name
		req.Topics = append(req.Topics, topic)
		resp := s.quiet(9, req).(*kmsg.MetadataResponse)
		return resp.Topics[0].ErrorCode == 3
	})
}

func (s *session) waitFor(what string, done func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: not there after 10 s", what)
		}
	}
}

// transcript is the text of the whole scenario.
func (s *session) transcript() string {
	var b strings.Builder
	for _, e := range s.exchanges {
		fmt.Fprintf(&b, "## %s\n%s\n", e.name, e.answer)
	}
	return b.String()
}

func setDeadline(conn net.Conn) { _ = conn.SetReadDeadline(time.Now().Add(silence)) }
