package record_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/transport"
)

// TestKafkaAgrees puts the table of rejections to a real broker: OTTLA_KAFKA=127.0.0.1:9092 go test -run KafkaAgrees.
// The broker must be Kafka 4.3.1 and throw-away: topics are made and left.
func TestKafkaAgrees(t *testing.T) {
	address := os.Getenv("OTTLA_KAFKA")
	if address == "" {
		t.Skip("OTTLA_KAFKA names no broker")
	}
	k := &kafkaClient{t: t, address: address}
	for i, tc := range rejections(time.Now().UnixMilli()) {
		name := fmt.Sprintf("rejections-%d-%d", time.Now().UnixNano(), i)
		k.createTopic(name, tc.rules)
		code, indexes, message := k.produce(name, tc.in, tc.rules.ZstdAllowed || tc.want != record.UnsupportedCodec)
		want := tc.want
		if tc.kafka != 0 || tc.why != "" {
			want = tc.kafka
		}
		if code != int16(want) || tc.why == "" && !slices.Equal(indexes, tc.indexes) {
			t.Errorf("%s: Kafka answers %d %v %q, the table says %d %v", tc.name, code, indexes, message, want, tc.indexes)
		} else {
			t.Logf("%s: %d %v %q", tc.name, code, indexes, message)
		}
	}
}

type kafkaClient struct {
	t       *testing.T
	address string
}

func (k *kafkaClient) roundTrip(request kmsg.Request, response kmsg.Response) error {
	conn, err := transport.OS().Dial(k.address, 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	frame := kmsg.NewRequestFormatter().AppendRequest(nil, request, 7)
	if _, err := conn.Write(frame); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	r := bufio.NewReader(conn)
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	skip := 4
	if response.IsFlexible() {
		skip = 5
	}
	return response.ReadFrom(body[skip:])
}

func (k *kafkaClient) createTopic(name string, rules record.Rules) {
	k.t.Helper()
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Version, request.TimeoutMillis = 5, 10_000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
	set := func(key, value string) {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = key, &value
		topic.Configs = append(topic.Configs, c)
	}
	if rules.MaxBatchBytes > 0 {
		set("max.message.bytes", strconv.Itoa(rules.MaxBatchBytes))
	}
	if rules.Compacted {
		set("cleanup.policy", "compact")
	}
	if rules.LogAppendTime {
		set("message.timestamp.type", "LogAppendTime")
	}
	if rules.CheckTimestamps {
		set("message.timestamp.before.max.ms", strconv.FormatInt(rules.BeforeMaxMs, 10))
		set("message.timestamp.after.max.ms", strconv.FormatInt(rules.AfterMaxMs, 10))
	} else {
		set("message.timestamp.after.max.ms", strconv.FormatInt(maxInt, 10))
	}
	request.Topics = append(request.Topics, topic)
	response := kmsg.NewPtrCreateTopicsResponse()
	response.Version = 5
	if err := k.roundTrip(request, response); err != nil || response.Topics[0].ErrorCode != 0 {
		k.t.Fatalf("create %s: %v %+v", name, err, response.Topics)
	}
}

// produce retries while the new topic is not known to the broker yet.
func (k *kafkaClient) produce(topic string, records []byte, v8 bool) (code int16, indexes []int, message string) {
	k.t.Helper()
	request := kmsg.NewPtrProduceRequest()
	request.Acks, request.TimeoutMillis, request.Version = 1, 10_000, 9
	if !v8 {
		request.Version = 6
	}
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = records
	if records == nil {
		p.Records = []byte{}
	}
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rt.Partitions = append(rt.Partitions, p)
	request.Topics = append(request.Topics, rt)
	for range 100 {
		response := kmsg.NewPtrProduceResponse()
		response.Version = request.Version
		if err := k.roundTrip(request, response); err != nil {
			if errors.Is(err, io.EOF) {
				return -99, nil, "closed the connection"
			}
			k.t.Fatal(err)
		}
		got := response.Topics[0].Partitions[0]
		if got.ErrorCode == 3 || got.ErrorCode == 6 {
			continue
		}
		for _, r := range got.ErrorRecords {
			indexes = append(indexes, int(r.RelativeOffset))
			if r.ErrorMessage != nil {
				message += *r.ErrorMessage + "; "
			}
		}
		if got.ErrorMessage != nil {
			message += *got.ErrorMessage
		}
		return got.ErrorCode, indexes, message
	}
	k.t.Fatalf("%s: not the leader for too long", topic)
	return 0, nil, ""
}
