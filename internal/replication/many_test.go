package replication

import (
	"runtime"
	"testing"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/partition"
)

// TestManyPartitionsCostLinearly: a topic's partitions are assigned one by one, and the last must cost what the first did.
func TestManyPartitionsCostLinearly(t *testing.T) {
	b := newBench(t, fsync())
	settings := fsync()
	const count, most = 5000, 4096
	state := partition.State{Leader: self, Replicas: []ids.BrokerID{self}, ISR: []ids.BrokerID{self}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for n := range int32(count) {
		if err := b.Assign(Replica{Name: ids.TopicPartition{Topic: "many", Partition: n}, Topic: ids.TopicID{7}, State: state}, &settings); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if per := (after.TotalAlloc - before.TotalAlloc) / count; per > most {
		t.Errorf("%d partitions cost %d bytes each, want at most %d", count, per, most)
	}
	if held, led, _ := b.Partitions(); held != count+1 || led != held {
		t.Errorf("%d partitions held, %d led, want %d", held, led, count+1)
	}
}
