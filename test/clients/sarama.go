package clients

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

type saramaClient struct{ addr string }

func newSarama(addr string) Client { return &saramaClient{addr} }

func (s *saramaClient) Name() string { return "sarama" }
func (s *saramaClient) Traits() Traits {
	// sarama encodes a nil header value as an empty one, and asks ListOffsets at a version too low for the largest timestamp.
	return Traits{Codecs: allCodecs, NoNullHeaders: true, NoMaxTimestamp: true}
}
func (s *saramaClient) Close() {}

func (s *saramaClient) config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	c.Metadata.Retry.Max = 300
	c.Metadata.Retry.Backoff = 100 * time.Millisecond
	c.Consumer.Return.Errors = true
	c.Consumer.MaxWaitTime = 100 * time.Millisecond
	return c
}

func (s *saramaClient) producerConfig(codec string, idempotent bool) *sarama.Config {
	c := s.config()
	c.Producer.Compression = map[string]sarama.CompressionCodec{"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP,
		"snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD}[codec]
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes, c.Producer.Return.Errors = true, true
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.Flush.Frequency = 20 * time.Millisecond
	c.Producer.Retry.Max = 600
	c.Producer.Retry.Backoff = 100 * time.Millisecond
	c.Producer.Idempotent = idempotent
	if idempotent {
		c.Net.MaxOpenRequests = 1
	}
	return c
}

func encoder(b []byte) sarama.Encoder {
	if b == nil {
		return nil
	}
	return sarama.ByteEncoder(b)
}

func (s *saramaClient) Produce(ctx context.Context, cfg ProduceConfig, records []Record) ([]int64, error) {
	p, err := sarama.NewAsyncProducer([]string{s.addr}, s.producerConfig(cfg.Codec, cfg.Idempotent))
	if err != nil {
		return nil, err
	}
	offsets := make([]int64, len(records))
	var (
		wg    sync.WaitGroup
		first error
		mu    sync.Mutex
	)
	wg.Add(2)
	go func() {
		defer wg.Done()
		for m := range p.Successes() {
			offsets[m.Metadata.(int)] = m.Offset
		}
	}()
	go func() {
		defer wg.Done()
		for e := range p.Errors() {
			mu.Lock()
			first = e
			mu.Unlock()
		}
	}()
	for i, r := range records {
		m := &sarama.ProducerMessage{Topic: cfg.Topic, Partition: r.Partition, Key: encoder(r.Key), Value: encoder(r.Value), Timestamp: time.UnixMilli(r.TimestampMs), Metadata: i}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value})
		}
		p.Input() <- m
	}
	p.AsyncClose()
	wg.Wait()
	return offsets, first
}

func (s *saramaClient) Run(ctx context.Context, cfg RunConfig, ack func(Ack)) error {
	p, err := sarama.NewAsyncProducer([]string{s.addr}, s.producerConfig(cfg.Codec, cfg.Idempotent))
	if err != nil {
		return err
	}
	var wg, outstanding sync.WaitGroup
	outstanding.Add(cfg.Count * cfg.Partitions)
	wg.Add(1)
	go func() {
		defer wg.Done()
		successes, failures := p.Successes(), p.Errors()
		for successes != nil || failures != nil {
			select {
			case m, ok := <-successes:
				if !ok {
					successes = nil
					continue
				}
				id := m.Metadata.([2]int)
				ack(Ack{Partition: id[0], Sequence: id[1], Offset: m.Offset})
				outstanding.Done()
			case e, ok := <-failures:
				if !ok {
					failures = nil
					continue
				}
				id := e.Msg.Metadata.([2]int)
				ack(Ack{Partition: id[0], Sequence: id[1], Err: e.Error()})
				outstanding.Done()
			}
		}
	}()
	pad := strings.Repeat("x", cfg.Pad)
	start := time.Now()
	for i := range cfg.Count {
		for partition := range cfg.Partitions {
			p.Input() <- &sarama.ProducerMessage{Topic: cfg.Topic, Partition: int32(partition),
				Value: sarama.ByteEncoder(fmt.Appendf(nil, "%d-%d-%s", partition, i, pad)), Metadata: [2]int{partition, i}}
		}
		pace(ctx, start, (i+1)*cfg.Partitions, cfg.Rate)
	}
	outstanding.Wait() // a close gives up on what is between two tries
	p.AsyncClose()
	wg.Wait()
	return nil
}

func (s *saramaClient) Consume(ctx context.Context, topic string, partition int32, from From, count int, ready func(int64)) ([]Record, error) {
	at := from.At
	if from.Kind != "offset" {
		ask := map[string]int64{"earliest": sarama.OffsetOldest, "latest": sarama.OffsetNewest, "timestamp": from.At}[from.Kind]
		found, err := s.Offsets(ctx, topic, partition, []int64{ask})
		if err != nil {
			return nil, err
		}
		at = found[0]
	}
	consumer, err := sarama.NewConsumer([]string{s.addr}, s.config())
	if err != nil {
		return nil, err
	}
	defer func() { _ = consumer.Close() }()
	pc, err := consumer.ConsumePartition(topic, partition, at)
	if err != nil {
		return nil, err
	}
	defer pc.AsyncClose()
	ready(at)
	var records []Record
	for len(records) < count {
		select {
		case m := <-pc.Messages():
			in := Record{Partition: m.Partition, Offset: m.Offset, TimestampMs: m.Timestamp.UnixMilli(), Key: m.Key, Value: m.Value}
			for _, h := range m.Headers {
				in.Headers = append(in.Headers, Header{string(h.Key), h.Value})
			}
			records = append(records, in)
		case e := <-pc.Errors():
			return records, e
		case <-ctx.Done():
			return records, fmt.Errorf("sarama: wants %d more records: %w", count-len(records), ctx.Err())
		}
	}
	return records, nil
}

func (s *saramaClient) Offsets(_ context.Context, topic string, partition int32, ats []int64) ([]int64, error) {
	client, err := sarama.NewClient([]string{s.addr}, s.config())
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	var found []int64
	for _, at := range ats {
		o, err := client.GetOffset(topic, partition, at)
		if err != nil {
			return nil, err
		}
		found = append(found, o)
	}
	return found, nil
}

func (s *saramaClient) withAdmin(do func(sarama.ClusterAdmin) error) error {
	admin, err := sarama.NewClusterAdmin([]string{s.addr}, s.config())
	if err != nil {
		return err
	}
	return errors.Join(do(admin), admin.Close())
}

func (s *saramaClient) CreateTopic(_ context.Context, topic string, partitions, replicas int, configs map[string]string) error {
	return s.withAdmin(func(a sarama.ClusterAdmin) error {
		d := &sarama.TopicDetail{NumPartitions: int32(partitions), ReplicationFactor: int16(replicas), ConfigEntries: map[string]*string{}}
		for k, v := range configs {
			d.ConfigEntries[k] = &v
		}
		return a.CreateTopic(topic, d, false)
	})
}

func (s *saramaClient) DeleteTopic(_ context.Context, topic string) error {
	return s.withAdmin(func(a sarama.ClusterAdmin) error { return a.DeleteTopic(topic) })
}

func (s *saramaClient) ListTopics(context.Context) (names []string, err error) {
	err = s.withAdmin(func(a sarama.ClusterAdmin) error {
		topics, err := a.ListTopics()
		for n := range topics {
			names = append(names, n)
		}
		return err
	})
	return names, err
}

func (s *saramaClient) DescribeTopic(_ context.Context, topic string) (d Description, err error) {
	err = s.withAdmin(func(a sarama.ClusterAdmin) error {
		topics, err := a.DescribeTopics([]string{topic})
		if err != nil {
			return err
		}
		if topics[0].Err != sarama.ErrNoError {
			return topics[0].Err
		}
		brokers, _, err := a.DescribeCluster()
		if err != nil {
			return err
		}
		d = Description{Partitions: len(topics[0].Partitions), Leader: int(topics[0].Partitions[0].Leader), Nodes: len(brokers), Configs: map[string]string{}}
		results, err := a.DescribeConfigs([]*sarama.ConfigResource{{Type: sarama.TopicResource, Name: topic}}, sarama.DescribeConfigsOptions{IncludeSynonyms: true, IncludeDocumentation: true})
		if err != nil {
			return err
		}
		for _, r := range results {
			if r.ErrorCode != sarama.ErrNoError {
				return r.ErrorCode
			}
			for _, e := range r.Configs {
				d.Configs[e.Name] = e.Value
			}
		}
		return nil
	})
	return d, err
}
