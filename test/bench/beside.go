package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla-io/ottla/test/broker"
	"github.com/twmb/franz-go/pkg/kadm"
)

// printBeside is the latency of durable produces while the same broker takes 6 MB/s for other topics: once those topics are only kept, once they are compacted
// and cut by retention all the time. What the two differ by is what background work costs whoever waits.
func printBeside(o options, root string) error {
	if !o.wants("B4b") || !o.ottla || o.short && o.rows == "" { // a second of it would show nothing
		return nil
	}
	fmt.Printf("\nB4b latency from the intended time, 200 a second, 1 in flight, acks=all, beside 6 MB/s for other topics [fsync]\n")
	var quiet, busy []float64
	for range o.rounds {
		for _, leg := range []struct {
			what string
			p99  *[]float64
		}{{"kept", &quiet}, {"compacted and retained", &busy}} {
			r, err := besideOthers(o, root, leg.p99 == &busy)
			if err != nil {
				return fmt.Errorf("B4b, %s: %w", leg.what, err)
			}
			slices.Sort(r.load.latencies)
			one := sample{load: r.load}
			*leg.p99 = append(*leg.p99, one.percentile(0.99))
			fmt.Printf("  %-22s p50 %.0f, p99 %.0f, p99.9 %.0f µs; %s\n", leg.what, one.percentile(0.5), one.percentile(0.99), one.percentile(0.999), r.background)
		}
	}
	fmt.Printf("  p99 %s µs beside topics that are kept, %s µs beside background work\n", spread(quiet, "%.0f"), spread(busy, "%.0f"))
	return nil
}

type beside struct {
	load       load
	background string
}

func besideOthers(o options, root string, work bool) (beside, error) {
	var r beside
	dir, err := os.MkdirTemp(root, "beside-")
	if err != nil {
		return r, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b, err := broker.Start(broker.Config{Kind: broker.Ottla, Dir: dir, Settings: map[string]string{"log.retention.check.interval.ms": "500", "log.cleaner.backoff.ms": "200"}})
	if err != nil {
		return r, err
	}
	defer b.Kill()
	for topic, configs := range map[string]map[string]string{
		"kept":      {"segment.bytes": "1048576", "retention.bytes": "4194304", "file.delete.delay.ms": "100"},
		"compacted": {"segment.bytes": "1048576", "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "file.delete.delay.ms": "100"},
	} {
		if !work {
			configs = map[string]string{"segment.bytes": configs["segment.bytes"]}
		}
		if err := createWith(b.Addr(), topic, 4, configs); err != nil {
			return r, err
		}
	}
	if err := createTopic(b.Addr(), "watched", 1); err != nil {
		return r, err
	}
	var stop atomic.Bool
	var feeders sync.WaitGroup
	failed := make([]error, 2)
	for i, topic := range []string{"kept", "compacted"} {
		feeders.Go(func() { failed[i] = feed(b.Addr(), topic, 4, 3<<20, &stop) })
	}
	time.Sleep(3 * time.Second) // so that there is something to clean
	r.load, err = roundTrips(b.Addr(), func(int) *request { return smallRequests("watched", -1)[0] }, 1, 200, o.each)
	stop.Store(true)
	feeders.Wait()
	if err := errors.Join(append(failed, err)...); err != nil {
		return r, err
	}
	r.background, err = backgroundOf(b)
	return r, err
}

func createWith(addr, topic string, partitions int32, configs map[string]string) error {
	return withAdmin(addr, func(ctx context.Context, admin *kadm.Client) error {
		values := make(map[string]*string)
		for k, v := range configs {
			values[k] = &v
		}
		_, err := admin.CreateTopic(ctx, partitions, 1, values, topic)
		return err
	})
}

// feed sends batches of 16 KiB with keys, acks=1, at a rate, one at a time.
func feed(addr, topic string, partitions int32, perSecond int64, stop *atomic.Bool) error {
	conn, err := dial(addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	batch, records := newKeyedBatch(0, 1024, 16<<10, 500)
	requests := make([]*request, partitions)
	for p := range requests {
		requests[p] = newRequest(topic, int32(p), 1, batch, records, 1024)
	}
	in, buf := bufio.NewReader(conn), []byte(nil)
	start := time.Now()
	for i := 0; !stop.Load(); i++ {
		waitUntil(start.Add(time.Duration(int64(i)*int64(len(batch))) * time.Second / time.Duration(perSecond)))
		r := requests[i%len(requests)]
		binary.BigEndian.PutUint32(r.frame[8:], uint32(i))
		if _, err := conn.Write(r.frame); err != nil {
			return err
		}
		if buf, err = readResponse(in, buf); err == nil {
			err = r.checkResponse(buf, uint32(i))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// backgroundOf tells the time that the broker spent in each kind of background work.
func backgroundOf(b *broker.Broker) (string, error) {
	resp, err := http.Get("http://" + b.AdminAddr() + "/metrics")
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var all []string
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "ottla_background_seconds_total{work=\""); ok {
			kind, seconds, _ := strings.Cut(strings.TrimSpace(rest), "\"}")
			all = append(all, kind+strings.TrimRight(seconds, " ")+" s")
		}
	}
	return strings.Join(all, ", "), nil
}
