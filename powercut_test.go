package ottla

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
	"github.com/ottla-io/ottla/internal/vfs"
)

const (
	cutRounds     = 40
	cutPartitions = 3
)

// TestPowerCutsUnderAForeignClient cuts the power of a broker under franz-go's idempotent producer, in real time, at random moments: what was acknowledged before
// the cut is on the disk that the cut leaves, once, in the order in which it was sent.
func TestPowerCutsUnderAForeignClient(t *testing.T) {
	rounds := cutRounds
	if testing.Short() {
		rounds = 10
	}
	acknowledged, extra := 0, 0
	for seed := range uint64(rounds) {
		c := cutRun{t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 3)), disk: vfs.NewMem(seed)}
		for life := range 2 + c.random.IntN(2) {
			c.life(life)
		}
		c.read()
		acknowledged, extra = acknowledged+c.acknowledged(), extra+c.found-c.acknowledged()
		if t.Failed() {
			return
		}
	}
	t.Logf("%d records were acknowledged before a cut; %d others survived", acknowledged, extra)
	if acknowledged < 50*rounds {
		t.Errorf("%d acknowledged records in %d rounds are too few to tell anything", acknowledged, rounds)
	}
}

// cutRun is one disk that lives through several power cuts.
type cutRun struct {
	t      *testing.T
	seed   uint64
	random *rand.Rand
	disk   *vfs.Mem
	found  int // records, at the last read

	mu   sync.Mutex
	acks [cutPartitions]map[string]int64 // offsets by value, of what was acknowledged before the cut
}

func (c *cutRun) acknowledged() (n int) {
	for _, acks := range c.acks {
		n += len(acks)
	}
	return n
}

func (c *cutRun) start() *Broker {
	c.t.Helper()
	b, err := startWith(Config{DataDir: "data", NodeID: 1, Settings: map[string]string{"num.partitions": fmt.Sprint(cutPartitions), "log.segment.bytes": "1048576"}},
		doors{env: run.OS(), disk: c.disk, network: transport.OS()})
	if err != nil {
		c.t.Fatalf("seed %d: %v", c.seed, err)
	}
	return b
}

func (c *cutRun) client(b *Broker, options ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addr()), kgo.AllowAutoTopicCreation()}, options...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	return client
}

// stop closes a broker that no client waits for: long polls of clients that are gone are not waited out.
func (c *cutRun) stop(b *Broker) {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		c.t.Errorf("seed %d: close: %v", c.seed, err)
	}
}

// life starts a broker, writes to it and cuts its power at a random operation of its disk.
func (c *cutRun) life(number int) {
	b := c.start()
	client := c.client(b, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	size := 1
	if c.seed%4 == 0 {
		size = 50 // segments roll
	}
	cutNow := make(chan struct{})
	var once sync.Once
	cut := false // guarded by c.mu
	at := c.disk.Ops() + 30 + c.random.IntN(130)
	var left *vfs.Mem
	c.disk.OnOp(func(n int, _ string) {
		if n < at {
			return
		}
		once.Do(func() {
			// An acknowledgement that comes in after this is one that the cut may take: it is not counted.
			c.mu.Lock()
			cut = true
			c.mu.Unlock()
			left = c.disk.Crash()
			close(cutNow)
		})
	})
	ctx, cancel := context.WithCancel(context.Background())
	var sent sync.WaitGroup
	for p := range int32(cutPartitions) {
		sent.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				value := fmt.Sprintf("%d/%d/%d %s", number, p, i, strings.Repeat("x", i*37%400*size))
				client.Produce(ctx, &kgo.Record{Topic: "t", Partition: p, Value: []byte(value)}, func(r *kgo.Record, err error) {
					if err == nil {
						c.note(r, &cut)
					}
				})
				if i%20 == 19 { // small batches, several in flight
					if err := client.Flush(ctx); err != nil {
						return
					}
				}
			}
		})
	}
	select {
	case <-cutNow:
	case <-time.After(20 * time.Second):
		c.t.Errorf("seed %d: the disk does nothing", c.seed)
	}
	cancel()
	client.CloseAllowingRebalance()
	sent.Wait()
	c.disk.OnOp(nil)
	c.stop(b)
	if left != nil {
		c.disk = left
	}
}

// note remembers an acknowledgement that came before the cut.
func (c *cutRun) note(r *kgo.Record, cut *bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *cut {
		return
	}
	if c.acks[r.Partition] == nil {
		c.acks[r.Partition] = make(map[string]int64)
	}
	c.acks[r.Partition][string(r.Value)] = r.Offset
}

// read checks all that the last cut left.
func (c *cutRun) read() {
	b := c.start()
	defer c.stop(b)
	client := c.client(b, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(context.Background(), "t")
	if err != nil {
		c.t.Fatalf("seed %d: %v", c.seed, err)
	}
	want := int64(0)
	ends.Each(func(end kadm.ListedOffset) {
		if end.Err != nil {
			c.t.Fatalf("seed %d: partition %d: %v", c.seed, end.Partition, end.Err)
		}
		want += end.Offset
	})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	seen := make(map[string]int64)
	var order [cutPartitions][2]int // the newest life and number
	for p := range order {
		order[p] = [2]int{-1, -1}
	}
	for c.found = 0; int64(c.found) < want; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			c.t.Fatalf("seed %d: after %d of %d records: %v", c.seed, c.found, want, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			c.found++
			value := string(r.Value)
			if first, twice := seen[value]; twice {
				c.t.Errorf("seed %d: partition %d: %.20q is at offset %d and again at %d", c.seed, r.Partition, value, first, r.Offset)
			}
			seen[value] = r.Offset
			var life, p, i int
			if _, err := fmt.Sscanf(value, "%d/%d/%d", &life, &p, &i); err != nil || int32(p) != r.Partition {
				c.t.Errorf("seed %d: partition %d holds %.20q: %v", c.seed, r.Partition, value, err)
				return
			}
			// Within a life nothing is missing between two records: a producer that lost one sends nothing after it.
			if last := order[p]; life < last[0] || life == last[0] && i != last[1]+1 || life > last[0] && i != 0 {
				c.t.Errorf("seed %d: partition %d: record %d of life %d follows record %d of life %d", c.seed, p, i, life, last[1], last[0])
			}
			order[p] = [2]int{life, i}
		})
	}
	for p, acks := range c.acks {
		for value, offset := range acks {
			if got, ok := seen[value]; !ok || got != offset {
				c.t.Errorf("seed %d: partition %d: %.20q was acknowledged at offset %d, and is at %d (found: %v)", c.seed, p, value, offset, got, ok)
			}
		}
	}
}
