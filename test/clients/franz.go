package clients

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type franz struct{ addr string }

// NewFranz is franz-go as a Client; it is also the suite's independent reader and writer.
func NewFranz(addr string) Client { return &franz{addr} }

func (f *franz) Name() string   { return "franz-go" }
func (f *franz) Traits() Traits { return Traits{Codecs: allCodecs} }
func (f *franz) Close()         {}

func (f *franz) client(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(f.addr), kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond })}, opts...)...)
}

func franzCodec(name string) kgo.CompressionCodec {
	switch name {
	case "gzip":
		return kgo.GzipCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	}
	return kgo.NoCompression()
}

func (f *franz) producer(codec string, idempotent bool) (*kgo.Client, error) {
	opts := []kgo.Opt{kgo.ProducerBatchCompression(franzCodec(codec)), kgo.ProducerLinger(20 * time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(900_000)}
	if !idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	return f.client(opts...)
}

func (f *franz) Produce(ctx context.Context, cfg ProduceConfig, records []Record) ([]int64, error) {
	client, err := f.producer(cfg.Codec, cfg.Idempotent)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var (
		mu    sync.Mutex
		first error
	)
	offsets := make([]int64, len(records))
	for i, r := range records {
		out := &kgo.Record{Topic: cfg.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: time.UnixMilli(r.TimestampMs)}
		for _, h := range r.Headers {
			out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		client.Produce(ctx, out, func(done *kgo.Record, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil && first == nil {
				first = err
			}
			offsets[i] = done.Offset
		})
	}
	if err := client.Flush(ctx); err != nil {
		return nil, err
	}
	return offsets, first
}

func (f *franz) Run(ctx context.Context, cfg RunConfig, ack func(Ack)) error {
	client, err := f.producer(cfg.Codec, cfg.Idempotent)
	if err != nil {
		return err
	}
	defer client.Close()
	pad := strings.Repeat("x", cfg.Pad)
	var mu sync.Mutex
	start := time.Now()
	for i := range cfg.Count {
		for p := range cfg.Partitions {
			client.Produce(ctx, &kgo.Record{Topic: cfg.Topic, Partition: int32(p), Value: fmt.Appendf(nil, "%d-%d-%s", p, i, pad)}, func(r *kgo.Record, err error) {
				mu.Lock()
				defer mu.Unlock()
				a := Ack{Partition: p, Sequence: i, Offset: r.Offset}
				if err != nil {
					a.Err = err.Error()
				}
				ack(a)
			})
		}
		pace(ctx, start, (i+1)*cfg.Partitions, cfg.Rate)
	}
	return client.Flush(ctx)
}

// pace waits until n records at rate a second are due.
func pace(ctx context.Context, start time.Time, n, rate int) {
	wait := time.Until(start.Add(time.Duration(n) * time.Second / time.Duration(rate)))
	if wait <= 0 {
		return
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
}

func (f *franz) Consume(ctx context.Context, topic string, partition int32, from From, count int, ready func(int64)) ([]Record, error) {
	at := from.At
	switch from.Kind {
	case "earliest", "latest", "timestamp":
		ask := map[string]int64{"earliest": -2, "latest": -1, "timestamp": from.At}[from.Kind]
		found, err := f.Offsets(ctx, topic, partition, []int64{ask})
		if err != nil {
			return nil, err
		}
		at = found[0]
	}
	client, err := f.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(at)}}),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ready(at)
	var records []Record
	for len(records) < count {
		fetches := client.PollFetches(ctx)
		for _, e := range fetches.Errors() {
			return records, fmt.Errorf("franz-go: %s-%d: %w", e.Topic, e.Partition, e.Err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if len(records) == count {
				return
			}
			in := Record{Partition: r.Partition, Offset: r.Offset, TimestampMs: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value}
			for _, h := range r.Headers {
				in.Headers = append(in.Headers, Header{h.Key, h.Value})
			}
			records = append(records, in)
		})
	}
	return records, nil
}

func (f *franz) admin() (*kadm.Client, error) {
	client, err := f.client()
	if err != nil {
		return nil, err
	}
	return kadm.NewClient(client), nil
}

func (f *franz) Offsets(ctx context.Context, topic string, partition int32, ats []int64) ([]int64, error) {
	admin, err := f.admin()
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	var found []int64
	for _, at := range ats {
		var listed kadm.ListedOffsets
		switch at {
		case -1:
			listed, err = admin.ListEndOffsets(ctx, topic)
		case -2:
			listed, err = admin.ListStartOffsets(ctx, topic)
		case -3:
			listed, err = admin.ListMaxTimestampOffsets(ctx, topic)
		default:
			listed, err = admin.ListOffsetsAfterMilli(ctx, at, topic)
		}
		if err != nil {
			return nil, err
		}
		o, ok := listed.Lookup(topic, partition)
		if !ok {
			return nil, fmt.Errorf("no offset for %s-%d", topic, partition)
		}
		if o.Err != nil {
			return nil, o.Err
		}
		found = append(found, o.Offset)
	}
	return found, nil
}

func (f *franz) CreateTopic(ctx context.Context, topic string, partitions, replicas int, configs map[string]string) error {
	admin, err := f.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	values := map[string]*string{}
	for k, v := range configs {
		values[k] = kadm.StringPtr(v)
	}
	_, err = admin.CreateTopic(ctx, int32(partitions), int16(replicas), values, topic)
	return err
}

func (f *franz) DeleteTopic(ctx context.Context, topic string) error {
	admin, err := f.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	_, err = admin.DeleteTopic(ctx, topic)
	return err
}

func (f *franz) ListTopics(ctx context.Context) ([]string, error) {
	admin, err := f.admin()
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	topics, err := admin.ListTopics(ctx)
	return topics.Names(), err
}

func (f *franz) DescribeTopic(ctx context.Context, topic string) (Description, error) {
	admin, err := f.admin()
	if err != nil {
		return Description{}, err
	}
	defer admin.Close()
	m, err := admin.Metadata(ctx, topic)
	if err != nil {
		return Description{}, err
	}
	detail := m.Topics[topic]
	if detail.Err != nil {
		return Description{}, detail.Err
	}
	d := Description{Partitions: len(detail.Partitions), Leader: int(detail.Partitions[0].Leader), Nodes: len(m.Brokers), Cluster: m.Cluster, Configs: map[string]string{}}
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return Description{}, err
	}
	for _, resource := range configs {
		if resource.Err != nil {
			return Description{}, resource.Err
		}
		for _, c := range resource.Configs {
			d.Configs[c.Key] = c.MaybeValue()
		}
	}
	return d, nil
}

// sequenceOf takes a run's value "partition-sequence-padding" apart.
func sequenceOf(value []byte) (partition, sequence int, err error) {
	parts := strings.SplitN(string(value), "-", 3)
	if len(parts) != 3 {
		return 0, 0, fmt.Errorf("value %q is not of a run", value)
	}
	if partition, err = strconv.Atoi(parts[0]); err != nil {
		return 0, 0, err
	}
	sequence, err = strconv.Atoi(parts[1])
	return partition, sequence, err
}
