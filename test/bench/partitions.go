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

// scale is how many partitions B11 and B12 are measured with, in how many topics.
type scale struct {
	topics, each int
	// used: a batch is written to each.
	used bool
	// kills: the process is killed, at rest and right after a batch to each.
	kills bool
}

func (s scale) partitions() int { return s.topics * s.each }

// scales are the row's sizes. Kafka gets half the partitions: they take it a minute already.
func (o options) scales(kind broker.Kind) []scale {
	switch {
	case kind == broker.Kafka:
		return []scale{{100, 50, true, false}}
	case o.short:
		return []scale{{100, 100, true, true}}
	default:
		return []scale{{10, 100, true, false}, {100, 100, true, true}, {100, 1000, false, false}}
	}
}

func manyTopic(n int) string { return fmt.Sprintf("many%02d", n) }

// measurePartitions is B11 and B12b: what many partitions cost at rest, in use, over stops and crashes, and to delete.
func measurePartitions(o options, root string, r *report) error {
	if !o.wants("B11") {
		return nil
	}
	fmt.Printf("\nB11 many partitions [Ottla: fsync]\n")
	for _, kind := range o.kinds() {
		for _, s := range o.scales(kind) {
			if err := measureScale(o, root, kind, s, r); err != nil {
				return err
			}
		}
	}
	return nil
}

func measureScale(o options, root string, kind broker.Kind, s scale, r *report) error {
	dir, err := os.MkdirTemp(root, "many-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b, _, err := broker.StartTimed(broker.Config{Kind: kind, Dir: dir, FullHeap: true}, answersMetadata)
	if err != nil {
		return err
	}
	defer b.Kill()
	if err := (life{o, b, s, r, fmt.Sprintf("B11, %s, %d partitions", kind, s.partitions())}).measure(); err != nil {
		return fmt.Errorf("B11: %w\n%s", err, lastOf(b.Output()))
	}
	return nil
}

func lastOf(text string) string { return text[max(0, len(text)-3000):] }

// life is one broker with many partitions, from their creation to their deletion.
type life struct {
	o      options
	b      *broker.Broker
	scale  scale
	report *report
	name   string
}

func (l life) measure() error {
	took, err := createMany(l.b.Addr(), l.scale)
	if err != nil {
		return err
	}
	if err := l.rest(fmt.Sprintf("created in %.2f s", took.Seconds())); err != nil {
		return err
	}
	if l.scale.used {
		start := time.Now()
		if err := produceEverywhere(l.b.Addr(), l.scale); err != nil {
			return err
		}
		if err := l.rest(fmt.Sprintf("one batch of 1 KiB to each partition, acks=all, in %.2f s", time.Since(start).Seconds())); err != nil {
			return err
		}
	}
	start := time.Now()
	if err := l.b.Stop(); err != nil {
		return err
	}
	if err := l.restart(fmt.Sprintf("stopped in %.0f ms", ms(time.Since(start)))); err != nil {
		return err
	}
	if l.scale.kills {
		l.b.Kill()
		if err := l.restart("killed at rest"); err != nil {
			return err
		}
		if err := produceEverywhere(l.b.Addr(), l.scale); err != nil {
			return err
		}
		l.b.Kill()
		if err := l.restart("killed right after a batch to each"); err != nil {
			return err
		}
	}
	if took, err = deleteMany(l.b.Addr(), l.scale); err != nil {
		return err
	}
	return l.rest(fmt.Sprintf("all deleted in %.2f s", took.Seconds()))
}

// restart is over once a partition takes a batch and gives it out.
func (l life) restart(after string) error {
	took, err := l.b.RestartTimed(func(addr string) bool { return producesAndFetches(addr, manyTopic(7)) })
	if err != nil {
		return err
	}
	return l.rest(fmt.Sprintf("%s, started again in %.0f ms", after, ms(took)))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// rest describes the process after it had a moment to settle: memory, descriptors, goroutines' work while nobody asks for anything.
func (l life) rest(after string) error {
	settle, watch := 2*time.Second, 5*time.Second
	if l.o.short {
		settle, watch = 500*time.Millisecond, time.Second
	}
	time.Sleep(settle)
	before, err := usageOf(l.b.PID())
	if err != nil {
		return err
	}
	time.Sleep(watch)
	used, err := usageOf(l.b.PID())
	if err != nil {
		return err
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", l.b.PID()))
	if err != nil {
		return err
	}
	l.report.note("%s, %s: RSS %.0f MB (peak %.0f), %d descriptors, idle CPU %.1f %%", l.name, after, used.rssMB, used.peakMB, len(files),
		100*(used.cpu-before.cpu).Seconds()/watch.Seconds())
	return nil
}

// createMany creates all topics with one request for each, as a script does, and waits until each partition has a leader that answers.
func createMany(addr string, s scale) (time.Duration, error) {
	start := time.Now()
	err := withAdmin(addr, func(ctx context.Context, admin *kadm.Client) error {
		for n := range s.topics {
			if _, err := admin.CreateTopic(ctx, int32(s.each), 1, nil, manyTopic(n)); err != nil {
				return err
			}
		}
		for n := range s.topics {
			if err := answers(ctx, admin, manyTopic(n), s.each); err != nil {
				return err
			}
		}
		return nil
	})
	return time.Since(start), err
}

func deleteMany(addr string, s scale) (time.Duration, error) {
	start := time.Now()
	err := withAdmin(addr, func(ctx context.Context, admin *kadm.Client) error {
		for n := range s.topics {
			if _, err := admin.DeleteTopic(ctx, manyTopic(n)); err != nil {
				return err
			}
		}
		return nil
	})
	return time.Since(start), err
}

func withAdmin(addr string, fn func(context.Context, *kadm.Client) error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.MetadataMinAge(20*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	return fn(ctx, kadm.NewClient(client))
}

// produceEverywhere sends one batch to each partition, 64 requests in flight.
func produceEverywhere(addr string, s scale) error {
	batch, _ := newBatch(1, 1024, 0)
	requests := make([]*request, 0, s.partitions())
	for n := range s.topics {
		for p := range s.each {
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
