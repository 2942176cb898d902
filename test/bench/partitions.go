package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/ottla-io/ottla/test/broker"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// manyTopics and partitionsEach are the 10,000 partitions of B11 and B12.
const (
	manyTopics     = 100
	partitionsEach = 100
)

func manyTopic(n int) string { return fmt.Sprintf("many%02d", n) }

// measurePartitions is B11 and B12b: what 10,000 partitions cost at rest, in use, over stops and crashes, and to delete.
func measurePartitions(o options, root string, r *report) error {
	if !o.wants("B11") || !o.ottla {
		return nil
	}
	fmt.Printf("\nB11 %d topics of %d partitions [fsync]\n", manyTopics, partitionsEach)
	dir, err := os.MkdirTemp(root, "many-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b, _, err := broker.StartTimed(broker.Config{Kind: broker.Ottla, Dir: dir}, answersMetadata)
	if err != nil {
		return err
	}
	defer b.Kill()
	if err := measureLife(o, b, r); err != nil {
		return fmt.Errorf("B11: %w\n%s", err, lastOf(b.Output()))
	}
	return nil
}

func lastOf(text string) string { return text[max(0, len(text)-3000):] }

func measureLife(o options, b *broker.Broker, report *report) error {
	took, err := createMany(b.Addr())
	if err != nil {
		return err
	}
	if err := measureRest(o, b, report, fmt.Sprintf("created in %.2f s", took.Seconds())); err != nil {
		return err
	}
	start := time.Now()
	if err := produceEverywhere(b.Addr()); err != nil {
		return err
	}
	if err := measureRest(o, b, report, fmt.Sprintf("one batch of 1 KiB to each partition, acks=all, in %.2f s", time.Since(start).Seconds())); err != nil {
		return err
	}
	start = time.Now()
	if err := b.Stop(); err != nil {
		return err
	}
	stopped := time.Since(start)
	ready := func(addr string) bool { return producesAndFetches(addr, manyTopic(7)) }
	if took, err = b.RestartTimed(ready); err != nil {
		return err
	}
	if err := measureRest(o, b, report, fmt.Sprintf("stopped in %.0f ms, started again in %.0f ms", ms(stopped), ms(took))); err != nil {
		return err
	}
	b.Kill()
	if took, err = b.RestartTimed(ready); err != nil {
		return err
	}
	if err := measureRest(o, b, report, fmt.Sprintf("killed at rest, started again in %.0f ms", ms(took))); err != nil {
		return err
	}
	if err := produceEverywhere(b.Addr()); err != nil {
		return err
	}
	b.Kill()
	if took, err = b.RestartTimed(ready); err != nil {
		return err
	}
	if err := measureRest(o, b, report, fmt.Sprintf("killed right after a batch to each, started again in %.0f ms", ms(took))); err != nil {
		return err
	}
	if took, err = deleteMany(b.Addr()); err != nil {
		return err
	}
	return measureRest(o, b, report, fmt.Sprintf("all deleted in %.2f s", took.Seconds()))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// measureRest describes the process after it had a moment to settle: memory, descriptors, goroutines' work while nobody asks for anything.
func measureRest(o options, b *broker.Broker, r *report, after string) error {
	settle, watch := 2*time.Second, 5*time.Second
	if o.short {
		settle, watch = 500*time.Millisecond, time.Second
	}
	time.Sleep(settle)
	before, err := usageOf(b.PID())
	if err != nil {
		return err
	}
	time.Sleep(watch)
	used, err := usageOf(b.PID())
	if err != nil {
		return err
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", b.PID()))
	if err != nil {
		return err
	}
	r.note("B11, 10,000 partitions, %s: RSS %.0f MB (peak %.0f), %d descriptors, idle CPU %.1f %%", after, used.rssMB, used.peakMB, len(files),
		100*(used.cpu-before.cpu).Seconds()/watch.Seconds())
	return nil
}

// createMany creates all topics with one request for each, as a script does, and waits for the last.
func createMany(addr string) (time.Duration, error) {
	start := time.Now()
	err := withAdmin(addr, func(ctx context.Context, admin *kadm.Client) error {
		for n := range manyTopics {
			if _, err := admin.CreateTopic(ctx, partitionsEach, 1, nil, manyTopic(n)); err != nil {
				return err
			}
		}
		return nil
	})
	return time.Since(start), err
}

func deleteMany(addr string) (time.Duration, error) {
	start := time.Now()
	err := withAdmin(addr, func(ctx context.Context, admin *kadm.Client) error {
		for n := range manyTopics {
			if _, err := admin.DeleteTopic(ctx, manyTopic(n)); err != nil {
				return err
			}
		}
		return nil
	})
	return time.Since(start), err
}

func withAdmin(addr string, fn func(context.Context, *kadm.Client) error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	return fn(ctx, kadm.NewClient(client))
}

// produceEverywhere sends one batch to each partition, 64 requests in flight.
func produceEverywhere(addr string) error {
	batch, _ := newBatch(1, 1024, 0)
	requests := make([]*request, 0, manyTopics*partitionsEach)
	for n := range manyTopics {
		for p := range partitionsEach {
			requests = append(requests, newRequest(manyTopic(n), int32(p), -1, batch, 1, 1024))
		}
	}
	_, err := pipelined(addr, requests, 64, int64(len(requests))*1024, 0)
	return err
}

// producesAndFetches tells whether the broker takes a batch for partition 0 of an existing topic and gives it out again, over one bare socket.
func producesAndFetches(addr, topic string) bool {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	in := bufio.NewReader(conn)
	batch, records := newBatch(1, 1024, 0)
	produce := newRequest(topic, 0, -1, batch, records, 1024)
	binary.BigEndian.PutUint32(produce.frame[8:], 0)
	if _, err := conn.Write(produce.frame); err != nil {
		return false
	}
	body, err := readResponse(in, nil)
	if err != nil || produce.checkResponse(body, 0) != nil {
		return false
	}
	return fetchesFirst(conn, in, topic) == nil
}

func fetchesFirst(conn net.Conn, in *bufio.Reader, topic string) error {
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version, fetch.MinBytes, fetch.MaxWaitMillis, fetch.MaxBytes = 12, 1, 1000, 64<<10
	part := kmsg.NewFetchRequestTopicPartition()
	part.PartitionMaxBytes = 64 << 10
	asked := kmsg.NewFetchRequestTopic()
	asked.Topic, asked.Partitions = topic, []kmsg.FetchRequestTopicPartition{part}
	fetch.Topics = []kmsg.FetchRequestTopic{asked}
	if _, err := conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, fetch, 1)); err != nil {
		return err
	}
	body, err := readResponse(in, nil)
	if err != nil {
		return err
	}
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = 12
	if err := resp.ReadFrom(body[5:]); err != nil {
		return err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 || len(resp.Topics[0].Partitions[0].RecordBatches) == 0 {
		return errors.New("the fetch returned nothing")
	}
	return nil
}
