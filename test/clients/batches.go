package clients

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// batch is the head of a record batch as the broker serves it.
type batch struct {
	Base, Last  int64
	LeaderEpoch int32
	Codec       string
	Records     int32
	ProducerID  int64
}

// batchesOf fetches a partition raw, from its start to the high watermark, and checks each batch's frame: magic, CRC, contiguous offsets.
func batchesOf(ctx context.Context, addr, topic string, partition int32) ([]batch, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	meta := kmsg.NewPtrMetadataRequest()
	name := topic
	meta.Topics = []kmsg.MetadataRequestTopic{{Topic: &name}}
	described, err := meta.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	var batches []batch
	next := int64(0)
	for {
		req := kmsg.NewPtrFetchRequest()
		req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 0, 0, 64<<20
		req.SessionEpoch = -1
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, next, 64<<20
		req.Topics = []kmsg.FetchRequestTopic{{Topic: topic, TopicID: described.Topics[0].TopicID, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
		raw, err := client.Broker(int(described.Topics[0].Partitions[0].Leader)).Request(ctx, req)
		if err != nil {
			return nil, err
		}
		resp := raw.(*kmsg.FetchResponse)
		if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
			return nil, err
		}
		if len(resp.Topics) == 0 {
			return nil, fmt.Errorf("full fetch of %s-%d names no topic", topic, partition)
		}
		got := resp.Topics[0].Partitions[0]
		if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
			return nil, err
		}
		found, err := parseBatches(got.RecordBatches)
		if err != nil {
			return nil, err
		}
		for _, b := range found {
			if b.Base != next {
				return nil, fmt.Errorf("%s-%d: batch at %d where %d was due", topic, partition, b.Base, next)
			}
			next = b.Last + 1
		}
		batches = append(batches, found...)
		if next >= got.HighWatermark {
			return batches, nil
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%s-%d: no batch at %d below the high watermark %d", topic, partition, next, got.HighWatermark)
		}
	}
}

// parseBatches walks whole v2 batches; a cut one at the end is left out, as a fetch may end so.
func parseBatches(data []byte) ([]batch, error) {
	var batches []batch
	for len(data) >= 61 {
		size := 12 + int(binary.BigEndian.Uint32(data[8:]))
		if size > len(data) {
			break
		}
		frame := data[:size]
		data = data[size:]
		base := int64(binary.BigEndian.Uint64(frame))
		if frame[16] != 2 {
			return nil, fmt.Errorf("batch at %d has magic %d", base, frame[16])
		}
		if got, want := crc32.Checksum(frame[21:], crc32.MakeTable(crc32.Castagnoli)), binary.BigEndian.Uint32(frame[17:]); got != want {
			return nil, fmt.Errorf("batch at %d: CRC %08x, contents have %08x", base, want, got)
		}
		codec := int(binary.BigEndian.Uint16(frame[21:]) & 7)
		if codec >= len(allCodecs) {
			return nil, fmt.Errorf("batch at %d has codec %d", base, codec)
		}
		batches = append(batches, batch{
			Base: base, Last: base + int64(int32(binary.BigEndian.Uint32(frame[23:]))), LeaderEpoch: int32(binary.BigEndian.Uint32(frame[12:])),
			Codec: allCodecs[codec], ProducerID: int64(binary.BigEndian.Uint64(frame[43:])), Records: int32(binary.BigEndian.Uint32(frame[57:])),
		})
	}
	return batches, nil
}
