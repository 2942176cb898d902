package ottla_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla"
)

// TestTopicGrows: new partitions take records as soon as CreatePartitions has answered, the old ones keep theirs, and all
// are there after a restart.
func TestTopicGrows(t *testing.T) {
	dir := t.TempDir()
	start := func() *ottla.Broker {
		broker, err := ottla.Start(ottla.Config{DataDir: dir, NodeID: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { broker.Close(context.Background()) })
		return broker
	}
	broker := start()
	admin := kadm.NewClient(newClient(t, broker))
	if _, err := admin.CreateTopic(patient(t), 2, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	put := func(first, last int32) {
		t.Helper()
		client := newClient(t, broker, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.UnknownTopicRetries(0))
		for n := first; n <= last; n++ {
			if err := client.ProduceSync(patient(t), &kgo.Record{Topic: "t", Partition: n, Value: fmt.Appendf(nil, "p%d", n)}).FirstErr(); err != nil {
				t.Fatalf("partition %d: %v", n, err)
			}
		}
	}
	put(0, 1)
	refused, err := admin.UpdatePartitions(patient(t), 1, "t")
	if err != nil || !errors.Is(refused["t"].Err, kerr.InvalidPartitions) {
		t.Errorf("a topic that should shrink: %v, %+v", err, refused["t"])
	}
	if grown, err := admin.UpdatePartitions(patient(t), 5, "t"); err != nil || grown["t"].Err != nil {
		t.Fatalf("%v, %+v", err, grown["t"])
	}
	put(2, 4)
	if err := broker.Close(patient(t)); err != nil {
		t.Fatal(err)
	}
	broker = start()
	seen := readAll(t, broker, "t")
	for n := range 5 {
		if value := fmt.Sprintf("p%d", n); seen[value] != 1 {
			t.Errorf("%s was read %d times after the restart", value, seen[value])
		}
	}
}
