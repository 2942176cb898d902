package engines

import (
	"fmt"
	"testing"
)

// TestStorm: a topology of Kafka's spout and bolt in a LocalCluster copies a topic. The broker is killed in the middle, and later the topology,
// which is started again and goes on from the offsets that the spout had committed.
func TestStorm(t *testing.T) {
	b := newBench(t)
	for _, topic := range []string{"flights", "flights-storm"} {
		b.create(topic, 2)
	}
	topology := func() *process { return b.java("topology", "storm", "Flights", b.broker.Addr()) }
	b.publish("flights", b.flights[:7000])
	first := topology()
	b.until("the first flights are copied", func() bool { return b.size("flights-storm") >= 1000 }, first)
	b.crash()
	b.publish("flights", b.flights[7000:14_000])
	b.until("half is copied", func() bool { return b.size("flights-storm") >= 10_000 && b.committed("storm") >= 7000 }, first)
	first.kill()
	was := b.committed("storm")
	b.publish("flights", b.flights[14_000:])
	second := topology()
	_, copies := b.copied("flights-storm", second)
	b.until("the spout has committed all", func() bool { return b.committed("storm") == len(b.flights) }, second)
	second.kill()
	if copies > len(b.flights)-was {
		t.Errorf("%d flights are there again, but only %d had not been committed when the topology was killed", copies, len(b.flights)-was)
	}
	b.record("Storm", jarVersion(t, "storm", "storm-kafka-client"), fmt.Sprintf(
		"spout and bolt in a LocalCluster; broker killed, topology killed and started again from its committed offsets: no flight is missing; %d are there again", copies))
}

// committed is the sum of the offsets that a group has committed; while the broker is away, 0.
func (b *bench) committed(group string) int {
	offsets, err := b.admin.FetchOffsets(b.ctx, group)
	if err != nil {
		return 0
	}
	n := 0
	for _, partitions := range offsets {
		for _, o := range partitions {
			n += int(max(o.At, 0))
		}
	}
	return n
}
