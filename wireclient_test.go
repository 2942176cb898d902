package ottla

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/transport"
	"github.com/ottla-io/ottla/internal/wire"
)

// wireClient is one connection whose frames a test makes by hand. It holds the broker to one reply a request, in order.
type wireClient struct {
	conn    transport.Conn
	lastID  int32
	pending []pendingReply
	encoder wire.Encoder
	input   []byte
}

type pendingReply struct {
	id           int32
	key, version int16
}

// errOrder means that the broker broke the order of replies: never the network's doing.
var errOrder = errors.New("a reply is not the one that is due")

func dialWire(network transport.Network, address string) (*wireClient, error) {
	conn, err := network.Dial(address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return &wireClient{conn: conn}, nil
}

// frame makes a whole request frame around a body.
func (c *wireClient) frame(key, version int16, body []byte) []byte {
	c.lastID++
	c.encoder.Reset()
	header := wire.RequestHeader{RequestApiKey: key, RequestApiVersion: version, CorrelationId: c.lastID, ClientId: wire.SomeString("test")}
	c.encoder.Buf = append(c.encoder.Buf, 0, 0, 0, 0)
	if err := header.Encode(&c.encoder, wire.RequestHeaderVersion(key, version)); err != nil {
		panic(err)
	}
	frame := append(c.encoder.Buf, body...)
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	return frame
}

// send sends one request. silent says that no reply must come.
func (c *wireClient) send(key, version int16, req wire.Message, silent bool) error {
	var body wire.Encoder
	if err := req.Encode(&body, version); err != nil {
		panic(err)
	}
	frame := c.frame(key, version, body.Buf)
	if !silent {
		c.pending = append(c.pending, pendingReply{c.lastID, key, version})
	}
	_, err := c.conn.Write(frame)
	return err
}

// receive reads the next reply, which must answer the oldest request that has none.
func (c *wireClient) receive(resp wire.Message) error {
	due := c.pending[0]
	c.pending = c.pending[1:]
	var length [4]byte
	if err := c.readFull(length[:]); err != nil {
		return err
	}
	size := int(binary.BigEndian.Uint32(length[:]))
	if cap(c.input) < size {
		c.input = make([]byte, size)
	}
	body := c.input[:size]
	if err := c.readFull(body); err != nil {
		return err
	}
	skip := 4
	if wire.ResponseHeaderVersion(due.key, due.version) >= 1 {
		skip++
	}
	if size < skip {
		return fmt.Errorf("%w: a reply of %d bytes", errOrder, size)
	}
	if id := int32(binary.BigEndian.Uint32(body)); id != due.id {
		return fmt.Errorf("%w: got that to request %d, due is %d (%s)", errOrder, id, due.id, wire.APIName(due.key))
	}
	var d wire.Decoder
	d.Reset(body[skip:])
	if err := resp.Decode(&d, due.version); err != nil {
		return fmt.Errorf("%w: %w", errOrder, err)
	}
	if d.Remaining() != 0 {
		return fmt.Errorf("%w: %d bytes after %s version %d", errOrder, d.Remaining(), wire.APIName(due.key), due.version)
	}
	return nil
}

func (c *wireClient) readFull(p []byte) error {
	for len(p) > 0 {
		n, err := c.conn.Read(p)
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrNoProgress
		}
		p = p[n:]
	}
	return nil
}

// do sends one request and reads its reply; nothing else may be in flight.
func (c *wireClient) do(key, version int16, req, resp wire.Message) error {
	if err := c.send(key, version, req, false); err != nil {
		return err
	}
	return c.receive(resp)
}

func (c *wireClient) close() { c.conn.Close() }

// produceOne is a Produce of one batch to one partition by the topic's name.
func produceOne(topic string, partition int32, acks int16, timeoutMs int32, batch record.Batch) *wire.ProduceRequest {
	return &wire.ProduceRequest{Acks: acks, TimeoutMs: timeoutMs, TopicData: []wire.ProduceRequestTopicProduceData{{
		Name: topic, PartitionData: []wire.ProduceRequestPartitionProduceData{{Index: partition, Records: wire.Records{Bytes: batch}}},
	}}}
}

// fetchOne is a sessionless Fetch of partitions 0 … len(offsets)-1 by the topic's name.
func fetchOne(topic string, offsets []int64, maxWaitMs int32) *wire.FetchRequest {
	req := new(wire.FetchRequest)
	req.Default()
	req.MaxWaitMs, req.MinBytes, req.MaxBytes = maxWaitMs, 1, 1<<20
	at := wire.FetchRequestFetchTopic{Topic: topic}
	for i, offset := range offsets {
		var p wire.FetchRequestFetchPartition
		p.Default()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = int32(i), offset, 1<<18, -1
		at.Partitions = append(at.Partitions, p)
	}
	req.Topics = []wire.FetchRequestFetchTopic{at}
	return req
}

// createOne is a CreateTopics of one topic with one replica.
func createOne(name string, partitions int32, configs ...string) *wire.CreateTopicsRequest {
	topic := wire.CreateTopicsRequestCreatableTopic{Name: name, NumPartitions: partitions, ReplicationFactor: 1}
	for i := 0; i+1 < len(configs); i += 2 {
		topic.Configs = append(topic.Configs, wire.CreateTopicsRequestCreatableTopicConfig{Name: configs[i], Value: wire.SomeString(configs[i+1])})
	}
	return &wire.CreateTopicsRequest{TimeoutMs: 30_000, Topics: []wire.CreateTopicsRequestCreatableTopic{topic}}
}
