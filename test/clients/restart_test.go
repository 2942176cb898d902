package clients

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ottla-io/ottla/test/broker"
)

// TestRestart: every client writes a long idempotent run into a topic of its own while the broker is killed (SIGKILL), started, told to end
// (SIGTERM) and started again. Afterwards each record is there once, in order, at the offset that its client was told.
func TestRestart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	b, err := broker.Start(broker.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Kill()
	const partitions, count, rate = 3, 2000, 1200 // five seconds a client
	runs := map[string]*run{}
	var wg sync.WaitGroup
	for i, client := range everyClient(b.Addr()) {
		r := &run{client: client, acks: map[[2]int]int64{}, cfg: RunConfig{Topic: "restart." + client.Name(), Partitions: partitions, Count: count,
			Rate: rate, Pad: 100, Codec: allCodecs[i%len(allCodecs)], Idempotent: true}}
		runs[client.Name()] = r
		createTopic(t, ctx, b.Addr(), r.cfg.Topic, partitions)
		wg.Add(1)
		go func() {
			defer wg.Done()
			r.err = client.Run(ctx, r.cfg, r.ack)
			client.Close()
		}()
	}
	// Mid-run is when every client that tells its acknowledgements has some, so that a slow start of a JVM does not move the kill before it.
	waitAcks(ctx, runs, partitions*count/8)
	b.Kill()
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	waitAcks(ctx, runs, partitions*count/2)
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	for name, r := range runs {
		t.Run(name, func(t *testing.T) { r.verify(t, ctx, b.Addr()) })
	}
	if t.Failed() {
		t.Log("the broker said, at the end:", lastLines(b.Output(), 30))
	}
}

// run is a long run of one client and what it was told.
type run struct {
	client Client
	cfg    RunConfig
	err    error

	mu     sync.Mutex
	acks   map[[2]int]int64 // partition, sequence → offset
	failed []string
	twice  int
}

func (r *run) ack(a Ack) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := [2]int{a.Partition, a.Sequence}
	if _, ok := r.acks[id]; ok {
		r.twice++
	}
	if a.Err != "" {
		r.failed = append(r.failed, fmt.Sprintf("%d-%d: %s", a.Partition, a.Sequence, a.Err))
		return
	}
	r.acks[id] = a.Offset
}

func waitAcks(ctx context.Context, runs map[string]*run, n int) {
	for ctx.Err() == nil {
		enough := true
		for _, r := range runs {
			r.mu.Lock()
			if len(r.acks) < n && !r.client.Traits().NoAckOffsets {
				enough = false
			}
			r.mu.Unlock()
		}
		if enough {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (r *run) verify(t *testing.T, ctx context.Context, addr string) {
	if r.err != nil {
		t.Errorf("run: %v", r.err)
	}
	if len(r.failed) > 0 {
		t.Errorf("%d records failed, first %s", len(r.failed), r.failed[0])
	}
	if want := r.cfg.Partitions * r.cfg.Count; len(r.acks) != want || r.twice > 0 {
		t.Errorf("%d records acknowledged, %d of them twice; want %d once", len(r.acks), r.twice, want)
	}
	franz := NewFranz(addr)
	for p := range r.cfg.Partitions {
		end, err := franz.Offsets(ctx, r.cfg.Topic, int32(p), []int64{-1})
		if err != nil {
			t.Fatal(err)
		}
		records, err := franz.Consume(ctx, r.cfg.Topic, int32(p), From{Kind: "earliest"}, int(end[0]), ignore)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.checkPartition(p, records); err != nil {
			t.Errorf("partition %d: %v", p, err)
		}
	}
}

// checkPartition holds the records read against the run: every acknowledged one is there at its offset, none twice, none out of order.
func (r *run) checkPartition(p int, records []Record) error {
	var errs []error
	last, seen := -1, map[int]int64{}
	for _, record := range records {
		partition, sequence, err := sequenceOf(record.Value)
		if err != nil || partition != p {
			return fmt.Errorf("offset %d holds %s", record.Offset, show(record))
		}
		if earlier, ok := seen[sequence]; ok {
			errs = append(errs, fmt.Errorf("record %d is at offset %d and again at %d", sequence, earlier, record.Offset))
		} else if sequence < last {
			errs = append(errs, fmt.Errorf("record %d at offset %d comes after record %d", sequence, record.Offset, last))
		}
		seen[sequence] = record.Offset
		last = max(last, sequence)
		if told, ok := r.acks[[2]int{p, sequence}]; ok && told >= 0 && told != record.Offset {
			errs = append(errs, fmt.Errorf("record %d is at offset %d, acknowledged at %d", sequence, record.Offset, told))
		}
	}
	lost := 0
	for id := range r.acks {
		if _, ok := seen[id[1]]; id[0] == p && !ok {
			lost++
		}
	}
	if lost > 0 {
		errs = append(errs, fmt.Errorf("%d acknowledged records lost", lost))
	}
	if len(errs) > 4 {
		errs = append(errs[:4], fmt.Errorf("… %d complaints in all", len(errs)))
	}
	return errors.Join(errs...)
}
