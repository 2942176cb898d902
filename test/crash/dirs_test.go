package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ottla-io/ottla/test/broker"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestLostDirectory: a broker with three data directories is killed, and one of them is a file when it comes back. The partitions of the others serve; those
// of the lost one answer KAFKA_STORAGE_ERROR, and hold all that was acknowledged once it is back.
func TestLostDirectory(t *testing.T) {
	if broker.Peer() == broker.Kafka {
		t.Skip("Kafka records places otherwise")
	}
	const topic, partitions = "spread", 9
	root := t.TempDir()
	dirs := []string{filepath.Join(root, "m"), filepath.Join(root, "a"), filepath.Join(root, "b")}
	b, err := broker.Start(broker.Config{Kind: broker.Ottla, Dir: dirs[0], Settings: map[string]string{"log.dirs": dirs[0] + "," + dirs[1] + "," + dirs[2]}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Kill()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	connect := func() *kgo.Client { // a new one for each life of the broker: none of its retries is a broken connection's
		client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableIdempotentWrite(), kgo.RecordRetries(0),
			kgo.ProducerLinger(0))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		return client
	}
	client := connect()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	produce := func(p int) error {
		return client.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: int32(p), Value: fmt.Append(nil, p)}).FirstErr()
	}
	for p := range partitions {
		if err := produce(p); err != nil {
			t.Fatal(err)
		}
	}
	b.Kill()
	var lost []int
	for p := range partitions {
		if _, err := os.Stat(filepath.Join(dirs[1], fmt.Sprintf("%s-%d", topic, p))); err == nil {
			lost = append(lost, p)
		}
	}
	if len(lost) != partitions/3 {
		t.Fatalf("partitions %v are in one of three directories", lost)
	}
	if err := errors.Join(os.Rename(dirs[1], dirs[1]+".away"), os.WriteFile(dirs[1], []byte("no directory"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	client = connect()
	for p := range partitions {
		if err := produce(p); errors.Is(err, kerr.KafkaStorageError) != slices.Contains(lost, p) || err != nil && !slices.Contains(lost, p) {
			t.Errorf("produce to partition %d while %v are lost: %v", p, lost, err)
		}
	}
	if err := errors.Join(b.Stop(), os.Remove(dirs[1]), os.Rename(dirs[1]+".away", dirs[1]), b.Restart()); err != nil {
		t.Fatal(err)
	}
	ends, err := kadm.NewClient(connect()).ListEndOffsets(ctx, topic)
	if err := errors.Join(err, ends.Error()); err != nil {
		t.Fatal(err)
	}
	for p := range partitions {
		want := int64(2)
		if slices.Contains(lost, p) {
			want = 1
		}
		if end, _ := ends.Lookup(topic, int32(p)); end.Offset != want {
			t.Errorf("partition %d ends at %d, want %d", p, end.Offset, want)
		}
	}
}
