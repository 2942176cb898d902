package ottla_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla"
)

// places tells in which directory each partition of a topic lies, and which are on their way to another.
func places(t *testing.T, admin *kadm.Client, topic string) (at map[int32]string, moving int) {
	t.Helper()
	all, err := admin.DescribeAllLogDirs(patient(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	at = map[int32]string{}
	all.Each(func(d kadm.DescribedLogDir) {
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			switch {
			case p.Topic != topic:
			case p.IsFuture:
				moving++
			default:
				at[p.Partition] = d.Dir
			}
		})
	})
	return at, moving
}

// TestMoveUnderLoad: partitions move between data directories while an idempotent producer writes them and a consumer reads. Nothing is lost, nothing comes
// twice, the consumer sees all in order, and the next start finds each partition where it moved to.
func TestMoveUnderLoad(t *testing.T) {
	const topic, partitions = "moved", 3
	root := t.TempDir()
	dirs := []string{filepath.Join(root, "one"), filepath.Join(root, "two")}
	start := func() *ottla.Broker {
		broker, err := ottla.Start(ottla.Config{NodeID: 1, Settings: map[string]string{"log.dirs": dirs[0] + "," + dirs[1], "log.segment.bytes": "1048576"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { broker.Close(context.Background()) })
		return broker
	}
	broker := start()
	admin := kadm.NewClient(newClient(t, broker))
	if _, err := admin.CreateTopic(patient(t), partitions, 1, nil, topic); err != nil {
		t.Fatal(err)
	}

	producer := newClient(t, broker, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.ProducerLinger(time.Millisecond))
	stop, stopped := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				stopped <- n
				return
			default:
			}
			producer.Produce(context.Background(), &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "%d %0500d", n, 0)}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Errorf("produce: %v", err)
				}
			})
			if n%200 == 199 {
				if err := producer.Flush(context.Background()); err != nil {
					t.Errorf("flush: %v", err)
				}
			}
		}
	}()
	consumer := newClient(t, broker, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	reading, done := context.WithCancel(context.Background())
	var readers sync.WaitGroup
	readers.Go(func() {
		next := map[int32]int64{}
		for reading.Err() == nil {
			fetches := consumer.PollFetches(reading)
			for _, e := range fetches.Errors() {
				if reading.Err() == nil {
					t.Errorf("consume: %v", e.Err)
				}
			}
			fetches.EachRecord(func(r *kgo.Record) {
				if r.Offset != next[r.Partition] {
					t.Errorf("partition %d: offset %d after %d", r.Partition, r.Offset, next[r.Partition]-1)
				}
				next[r.Partition] = r.Offset + 1
			})
		}
	})

	for round := range 4 {
		at, _ := places(t, admin, topic)
		var req kadm.AlterReplicaLogDirsReq
		want := map[int32]string{}
		for p, dir := range at {
			want[p] = dirs[0]
			if dir == dirs[0] {
				want[p] = dirs[1]
			}
			req.Add(want[p], kadm.TopicsSet{topic: {p: {}}})
		}
		if len(want) != partitions {
			t.Fatalf("round %d: partitions lie in %v", round, at)
		}
		answers, err := admin.AlterBrokerReplicaLogDirs(patient(t), 1, req)
		if err != nil {
			t.Fatal(err)
		}
		answers.Each(func(a kadm.AlterReplicaLogDirsResponse) {
			if a.Err != nil {
				t.Errorf("round %d: move %s-%d to %s: %v", round, a.Topic, a.Partition, a.Dir, a.Err)
			}
		})
		deadline := time.Now().Add(patience)
		for {
			now, moving := places(t, admin, topic)
			if moving == 0 && fmt.Sprint(now) == fmt.Sprint(want) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("round %d: %d copies under way, partitions lie in %v, want %v", round, moving, now, want)
			}
		}
	}
	close(stop)
	sent := <-stopped
	if err := producer.Flush(patient(t)); err != nil {
		t.Fatal(err)
	}
	done()
	readers.Wait()
	check := func(when string) {
		t.Helper()
		seen := readAll(t, broker, topic)
		if len(seen) != sent {
			t.Errorf("%s: %d of %d records", when, len(seen), sent)
		}
		for value, times := range seen {
			if times != 1 {
				t.Fatalf("%s: %.20q comes %d times", when, value, times)
			}
		}
	}
	check("at once")
	before, _ := places(t, admin, topic)
	if err := broker.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	broker = start()
	check("after a restart")
	after, _ := places(t, kadm.NewClient(newClient(t, broker)), topic)
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("partitions lie in %v after a restart, and lay in %v", after, before)
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "ottla.moves")); err == nil {
			t.Errorf("%s/ottla.moves is left", dir)
		}
	}
}
