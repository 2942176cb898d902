package clients

import (
	"context"
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
		r := &run{client: client, ledger: NewLedger(), cfg: RunConfig{Topic: "restart." + client.Name(), Partitions: partitions, Count: count,
			Rate: rate, Pad: 100, Codec: allCodecs[i%len(allCodecs)], Idempotent: true}}
		runs[client.Name()] = r
		createTopic(t, ctx, b.Addr(), r.cfg.Topic, partitions)
		wg.Add(1)
		go func() {
			defer wg.Done()
			r.err = client.Run(ctx, r.cfg, r.ledger.Ack)
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
	ledger *Ledger
}

func waitAcks(ctx context.Context, runs map[string]*run, n int) {
	for ctx.Err() == nil {
		enough := true
		for _, r := range runs {
			if r.ledger.Len() < n && !r.client.Traits().NoAckOffsets {
				enough = false
			}
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
	failed, twice := r.ledger.Failed()
	if len(failed) > 0 {
		t.Errorf("%d records failed, first %s", len(failed), failed[0])
	}
	if want := r.cfg.Partitions * r.cfg.Count; r.ledger.Len() != want || twice > 0 {
		t.Errorf("%d records acknowledged, %d of them twice; want %d once", r.ledger.Len(), twice, want)
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
		if err := r.ledger.Check(p, records); err != nil {
			t.Errorf("partition %d: %v", p, err)
		}
	}
}
