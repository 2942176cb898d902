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
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla-io/ottla/test/broker"
	"github.com/twmb/franz-go/pkg/kadm"
)

// besidePhase is how long each phase of B4b is measured; what it begins with is left out, since the broker is told first.
const besidePhase, besideSettle = 4 * time.Second, time.Second

// measureBeside is the latency of produces, one at a time, while the same broker takes 6 MB/s for other topics: in phases in which those topics are kept, and in
// phases in which they are compacted and cut by retention all the time. What the two differ by is what background work costs whoever waits. The phases
// alternate within one broker, in the order ABBA, because a disk's latency drifts by more than the difference.
func measureBeside(o options, root string, report *report) error {
	if !o.wants("B4b") || !o.ottla || o.short && o.rows == "" { // a second of it would show nothing
		return nil
	}
	fmt.Printf("\nB4b latency from the intended time, 200 a second, 1 in flight, acks=all, beside 6 MB/s for other topics\n")
	for _, mode := range []string{"replicated", "fsync"} {
		if err := besideOthers(o, root, mode, report); err != nil {
			return fmt.Errorf("B4b [%s]: %w", mode, err)
		}
	}
	return nil
}

// besideTopics are the topics beside, with the settings that make work and those that make none.
var besideTopics = []struct {
	name       string
	work, rest map[string]string
}{
	{"kept", map[string]string{"retention.bytes": "4194304"}, map[string]string{"retention.bytes": "-1"}},
	{"compacted", map[string]string{"cleanup.policy": "compact"}, map[string]string{"cleanup.policy": "delete"}},
}

func besideOthers(o options, root, mode string, report *report) error {
	dir, err := os.MkdirTemp(root, "beside-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b, err := broker.Start(broker.Config{Kind: broker.Ottla, Dir: dir, Settings: map[string]string{
		"log.retention.check.interval.ms": "500", "log.cleaner.backoff.ms": "200", "ottla.durability": mode}})
	if err != nil {
		return err
	}
	defer b.Kill()
	for _, t := range besideTopics {
		if err := createWith(b.Addr(), t.name, 4, map[string]string{"segment.bytes": "1048576", "min.cleanable.dirty.ratio": "0.01", "file.delete.delay.ms": "100"}); err != nil {
			return err
		}
	}
	if err := createTopic(b.Addr(), "watched", 1); err != nil {
		return err
	}
	var stop atomic.Bool
	var feeders sync.WaitGroup
	failed := make([]error, len(besideTopics))
	for i, t := range besideTopics {
		feeders.Go(func() { failed[i] = feed(b.Addr(), t.name, 4, 3<<20, &stop) })
	}
	both, err := besidePhases(b, o.rounds)
	stop.Store(true)
	feeders.Wait()
	if err := errors.Join(append(failed, err)...); err != nil {
		return err
	}
	background, err := backgroundOf(b)
	if err != nil {
		return err
	}
	both.note(report, mode, background)
	return nil
}

// besideLatencies are the latencies of all phases together, and the p99 of each phase.
type besideLatencies struct {
	all [2][]time.Duration // at rest, at work
	p99 [2][]float64
}

// besidePhases goes through a rest, two works and a rest in each round.
func besidePhases(b *broker.Broker, rounds int) (r besideLatencies, err error) {
	ask := smallRequests("watched", -1, 1)[0]
	for range rounds {
		for _, work := range []int{0, 1, 1, 0} {
			for _, t := range besideTopics {
				if err := alterTopic(b.Addr(), t.name, [2]map[string]string{t.rest, t.work}[work]); err != nil {
					return r, err
				}
			}
			time.Sleep(besideSettle)
			l, err := roundTrips(b.Addr(), func(int) *request { return ask }, 1, 200, besidePhase)
			if err != nil {
				return r, err
			}
			one := sample{load: sorted(l)}
			r.all[work] = append(r.all[work], l.latencies...)
			r.p99[work] = append(r.p99[work], one.percentile(0.99))
		}
	}
	return r, nil
}

func (r besideLatencies) note(report *report, mode, background string) {
	for work, what := range []string{"kept", "compacted and retained"} {
		one := sample{load: sorted(load{latencies: r.all[work]})}
		report.note("B4b, a produce at a time beside 6 MB/s for other topics [%s], those %s: p50 %.0f, p99 %.0f, p99.9 %.0f µs; p99 of each phase %s", mode, what, one.percentile(0.5), one.percentile(0.99), one.percentile(0.999), spread(r.p99[work], "%.0f"))
	}
	var more []float64
	for i := range r.p99[0] {
		more = append(more, r.p99[1][i]-r.p99[0][i])
	}
	report.note("B4b [%s]: p99 more by %s µs in pairs of phases; background work: %s", mode, spread(more, "%.0f"), background)
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

func alterTopic(addr, topic string, configs map[string]string) error {
	return withAdmin(addr, func(ctx context.Context, admin *kadm.Client) error {
		var changes []kadm.AlterConfig
		for k, v := range configs {
			changes = append(changes, kadm.AlterConfig{Name: k, Value: &v})
		}
		answers, err := admin.AlterTopicConfigs(ctx, changes, topic)
		if err == nil && len(answers) == 1 {
			err = answers[0].Err
		}
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
