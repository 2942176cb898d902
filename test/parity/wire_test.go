package parity

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var wireScenarios = []scenario{
	{"versions", unsupportedVersions},
	{"frames", badFrames},
	{"bodies", badBodies},
	{"bodies-tags", tagCounts},
}

// rawFrame is a request with any header and body.
func (s *session) rawFrame(key, version int16, flexible bool, body []byte) []byte {
	s.correlate++
	b := binary.BigEndian.AppendUint16(nil, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(s.correlate))
	b = append(b, "\x00\x06parity"...)
	if flexible {
		b = append(b, 0)
	}
	return append(b, body...)
}

// ranges are the versions that both brokers serve.
var ranges = []struct {
	key, min, max int16
}{{0, 3, 13}, {1, 4, 18}, {2, 1, 11}, {3, 0, 13}, {19, 2, 7}, {20, 1, 6}, {22, 0, 5}, {23, 2, 4}, {32, 1, 4}, {46, 0, 0}, {60, 0, 2}, {75, 0, 0}}

func unsupportedVersions(s *session) {
	versionless := kmsg.NewPtrApiVersionsRequest()
	for _, r := range ranges {
		for _, v := range []int16{r.min - 1, r.max + 1, -1, 32767} {
			if r.key == 22 && v == 6 {
				continue // the answer depends on transactions
			}
			s.sendFrame(fmt.Sprintf("key %d version %d", r.key, v), s.rawFrame(r.key, v, v > r.max, make([]byte, 200)), versionless)
		}
	}
	for _, key := range []int16{-1, 4, 5, 6, 7, 62, 200, 32767, -32768} {
		s.sendFrame(fmt.Sprintf("key %d", key), s.rawFrame(key, 0, false, make([]byte, 100)), versionless)
	}
}

func badFrames(s *session) {
	any := kmsg.NewPtrApiVersionsRequest()
	raw := func(name string, b []byte) {
		if _, err := s.dial().Write(b); err != nil {
			s.note(name, s.ending(err))
			return
		}
		body, err := readWithin(s)
		if err != nil {
			s.note(name, s.ending(err))
			return
		}
		_, text := s.decode(body, any)
		s.note(name, text)
	}
	raw("length -1", []byte{0xff, 0xff, 0xff, 0xff})
	raw("length 0", []byte{0, 0, 0, 0})
	raw("length over the limit", []byte{0x06, 0x40, 0x00, 0x01})
	raw("an HTTP request", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	raw("a TLS hello", append([]byte{0x16, 0x03, 0x01, 0x02, 0x00, 0x01}, make([]byte, 512)...))
	for n := 1; n < 12; n++ {
		whole := s.rawFrame(18, 0, false, nil)
		s.sendFrame(fmt.Sprintf("header of %d bytes", n), whole[:n], any)
	}
	header := func(key, version int16, rest string) []byte {
		s.correlate++
		b := binary.BigEndian.AppendUint16(nil, uint16(key))
		b = binary.BigEndian.AppendUint16(b, uint16(version))
		b = binary.BigEndian.AppendUint32(b, uint32(s.correlate))
		return append(b, rest...)
	}
	s.sendFrame("null client id", header(18, 0, "\xff\xff"), any)
	s.sendFrame("empty client id", header(18, 0, "\x00\x00"), any)
	s.sendFrame("client id of length -2", header(18, 0, "\xff\xfe"), any)
	s.sendFrame("client id that is not UTF-8", header(18, 0, "\x00\x02\xff\xfe"), any)
	s.sendFrame("client id longer than the frame", header(18, 0, "\x00\x09abc"), any)
	s.sendFrame("long client id", header(18, 0, "\x7f\xff"+strings.Repeat("c", 0x7fff)), any)
	cluster := kmsg.NewPtrDescribeClusterRequest()
	s.sendFrame("no header tags", header(60, 0, "\x00\x00"), cluster)
	s.sendFrame("a header tag", header(60, 0, "\x00\x00\x01\x05\x02ab\x00\x00"), cluster)
	s.sendFrame("a header tag twice", header(60, 0, "\x00\x00\x02\x05\x01a\x05\x01b\x00\x00"), cluster)
	s.sendFrame("header tags out of order", header(60, 0, "\x00\x00\x02\x06\x01a\x05\x01b\x00\x00"), cluster)
	s.sendFrame("header tag longer than the frame", header(60, 0, "\x00\x00\x01\x05\x7fab"), cluster)
	s.sendFrame("huge count of header tags", header(60, 0, "\x00\x00\xff\xff\xff\xff\x0f"), cluster)
}

func readWithin(s *session) ([]byte, error) {
	setDeadline(s.conn)
	return readFrame(s.conn)
}

// goodRequests are requests of every kind, to be damaged.
func goodRequests(s *session, topic string) []kmsg.Request {
	id := s.topic(topic, 1)
	fetch := fetchReq(0, fetchOf(topic, id, 0, 0))
	offsets := listReq(-1, listOf(topic, listPart(0, -1)))
	epochs := epochReq(epochOf(topic, 0, -1, 0))
	produced := produceReq(-1, topic, id, 0, plain(s.beganMs, 1).bytes())
	producer := kmsg.NewPtrInitProducerIDRequest()
	producer.ProducerID, producer.ProducerEpoch, producer.TransactionTimeoutMillis = -1, -1, 1000
	moved := kmsg.NewPtrListPartitionReassignmentsRequest()
	t := kmsg.NewListPartitionReassignmentsRequestTopic()
	t.Topic, t.Partitions = topic, []int32{0}
	moved.Topics = append(moved.Topics, t)
	return []kmsg.Request{produced, fetch, offsets, metadataReq(named(topic)), createReq(newTopic(topic, 1, 1, "retention.ms", "1")), deleteReq("nobody"),
		producer, epochs, configsReq(false, resource(2, topic, "retention.ms")), moved, kmsg.NewPtrDescribeClusterRequest(), describePartitionsReq(5, nil, topic)}
}

func badBodies(s *session) {
	for _, req := range goodRequests(s, "damage") {
		r := ranges[0]
		for _, r = range ranges {
			if r.key == req.Key() {
				break
			}
		}
		for _, v := range []int16{r.min, r.max} {
			req.SetVersion(v)
			key := kmsg.NameForKey(r.key)
			cut := func(name string, change func(body []byte) []byte) {
				s.correlate++
				f := kmsg.NewRequestFormatter(kmsg.FormatterClientID("parity"))
				whole := f.AppendRequest(nil, req, s.correlate)[4:]
				head := 16
				if req.IsFlexible() {
					head++
				}
				body := change(append([]byte(nil), whole[head:]...))
				s.sendFrame(fmt.Sprintf("%s v%d %s", key, v, name), append(whole[:head:head], body...), req)
			}
			cut("whole", func(b []byte) []byte { return b })
			cut("without body", func(b []byte) []byte { return nil })
			cut("without last byte", func(b []byte) []byte { return b[:len(b)-1] })
			cut("half", func(b []byte) []byte { return b[:len(b)/2] })
			cut("with a byte more", func(b []byte) []byte { return append(b, 0) })
			cut("with 1000 bytes more", func(b []byte) []byte { return append(b, make([]byte, 1000)...) })
			cut("all ones", func(b []byte) []byte { return []byte(strings.Repeat("\xff", len(b))) })
			cut("all 7f", func(b []byte) []byte { return []byte(strings.Repeat("\x7f", len(b))) })
			if req.IsFlexible() {
				cut("with an unknown tag", func(b []byte) []byte { return append(b[:len(b)-1], 1, 99, 2, 'a', 'b') })
				cut("with a tag too long", func(b []byte) []byte { return append(b[:len(b)-1], 1, 99, 200, 'a', 'b') })
			}
		}
	}
}

// tagCounts are requests that end in a count of 2^32-1 tags, which Kafka takes for -1, and so for none, and of 2^31-1, which it believes.
func tagCounts(s *session) {
	for _, req := range goodRequests(s, "tags") {
		for _, r := range ranges {
			if r.key != req.Key() {
				continue
			}
			req.SetVersion(r.max)
			frame := s.frame(req)
			name := kmsg.NameForKey(r.key)
			s.sendFrame(name+" with 2^32-1 tags", append(frame[:len(frame)-1], 0xff, 0xff, 0xff, 0xff, 0x0f), req)
			frame = s.frame(req)
			s.sendFrame(name+" with 2^31-1 tags", append(frame[:len(frame)-1], 0xff, 0xff, 0xff, 0xff, 0x07), req)
		}
	}
}
