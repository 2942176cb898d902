package ottla

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla/internal/vfs"
	"github.com/ottla-io/ottla/internal/wire"
)

// produceReplies tells of each reply to Produce that a franz-go client gets, as long as there is room.
type produceReplies chan struct{}

func (p produceReplies) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	if key == wire.ProduceKey && e.Err() == nil {
		select {
		case p <- struct{}{}:
		default:
		}
	}
}

// TestRetryingClientOutlivesABadDisk: franz-go's idempotent producer meets a disk that is full, or slow, for a while. It is told so with codes that it retries on,
// and in the end each record is there once, in order.
func TestRetryingClientOutlivesABadDisk(t *testing.T) {
	const records = 30
	for name, spoil := range map[string]func(t *testing.T, faults *vfs.Fault, replies produceReplies) (undone func()){
		"full": func(t *testing.T, faults *vfs.Fault, _ produceReplies) func() {
			rule := faults.Add(vfs.Rule{Op: vfs.OpWrite, Glob: "data/t-0/*.log", Skip: 3, Limit: 4, Action: vfs.FailNoSpace})
			return func() {
				if rule.Hits() != 4 {
					t.Errorf("%d writes were refused, want 4", rule.Hits())
				}
			}
		},
		"slow": func(t *testing.T, faults *vfs.Fault, replies produceReplies) func() {
			var timedOut atomic.Int32
			var once sync.Once
			faults.Add(vfs.Rule{Op: vfs.OpSync, Glob: "data/t-0/*.log", Skip: 3, Action: vfs.Pass, Hook: func(vfs.Op, string) {
				once.Do(func() {
					for len(replies) > 0 {
						<-replies
					}
					limit := time.After(10 * time.Second)
					for range 2 {
						select {
						case <-replies:
							timedOut.Add(1)
						case <-limit:
						}
					}
				})
			}})
			return func() {
				if n := timedOut.Load(); n != 2 {
					t.Errorf("%d replies came while a sync took long, want 2 that say so", n)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := startOnDisk(t, vfs.NewMem(1))
			s := d.connect(t)
			if code := s.create("t", 1); code != wire.ErrorNone {
				t.Fatal(code.Name())
			}
			replies := make(produceReplies, 100)
			client, err := kgo.NewClient(kgo.SeedBrokers(d.Addr()), kgo.DefaultProduceTopic("t"), kgo.WithHooks(replies), kgo.ProduceRequestTimeout(100*time.Millisecond),
				kgo.RetryBackoffFn(func(int) time.Duration { return 5 * time.Millisecond }), kgo.MaxBufferedRecords(5), kgo.MetadataMinAge(10*time.Millisecond))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			undone := spoil(t, d.faults, replies)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			var want []string
			for i := range records {
				value := fmt.Sprint("record ", i)
				client.Produce(ctx, kgo.StringRecord(value), func(_ *kgo.Record, err error) {
					if err != nil {
						t.Errorf("%s: %v", value, err)
					}
				})
				want = append(want, value)
			}
			if err := client.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			undone()
			s.holds("t", 0, want)
		})
	}
}

// TestClientIsToldOfAnOfflineDirectory: what no retry can mend is an error that franz-go knows, once its retries are spent.
func TestClientIsToldOfAnOfflineDirectory(t *testing.T) {
	d := startOnDisk(t, vfs.NewMem(1))
	if code := d.connect(t).create("t", 1); code != wire.ErrorNone {
		t.Fatal(code.Name())
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(d.Addr()), kgo.DefaultProduceTopic("t"), kgo.RecordRetries(3), kgo.DisableIdempotentWrite(), kgo.MetadataMinAge(10*time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return time.Millisecond }))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	d.faults.Add(vfs.Rule{Op: vfs.OpSync, Glob: "data/t-0/*.log", Limit: 1})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := client.ProduceSync(ctx, kgo.StringRecord("v")).FirstErr(); kerr.ErrorForCode(int16(wire.ErrorKafkaStorageError)) != err {
		t.Errorf("produce to an offline directory: %v", err)
	}
}
