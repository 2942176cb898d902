package group

import (
	"fmt"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/wire"
)

// bigGroup is a settled group of n members that share the partitions of one topic.
func bigGroup(tb testing.TB, n, partitions int) *live {
	l := newLive(tb)
	l.create("t", partitions)
	quiet := &bigLive{l: l, epochs: make([]int32, n), owns: make([][]wire.ConsumerGroupHeartbeatRequestTopicPartitions, n)}
	for range 6 {
		for i := range n {
			quiet.beat(i)
		}
		l.pass(5 * time.Second)
	}
	if state := l.m.groups["g"].state(); state != "Stable" {
		tb.Fatalf("the group is %s", state)
	}
	return l
}

type bigLive struct {
	l      *live
	epochs []int32
	owns   [][]wire.ConsumerGroupHeartbeatRequestTopicPartitions
}

func (b *bigLive) beat(i int) {
	req := &wire.ConsumerGroupHeartbeatRequest{GroupId: "g", MemberId: fmt.Sprintf("member-%04d", i), MemberEpoch: b.epochs[i], RebalanceTimeoutMs: -1,
		TopicPartitions: append([]wire.ConsumerGroupHeartbeatRequestTopicPartitions{}, b.owns[i]...)}
	if req.MemberEpoch == 0 {
		req.RebalanceTimeoutMs, req.SubscribedTopicNames = 60_000, []string{"t"}
	}
	records, resp := b.l.m.ConsumerGroupHeartbeat(b.l.at, Client{ID: "c", Host: "/127.0.0.1", Version: 1}, req)
	if resp.ErrorCode != 0 {
		b.l.t.Fatal(resp.ErrorMessage.Value)
	}
	b.l.at.Next += 1
	if err := b.l.m.Apply(records, b.l.at.Next, 0); err != nil {
		b.l.t.Fatal(err)
	}
	b.epochs[i] = resp.MemberEpoch
	if resp.Assignment != nil {
		b.owns[i] = nil
		for _, t := range resp.Assignment.TopicPartitions {
			b.owns[i] = append(b.owns[i], wire.ConsumerGroupHeartbeatRequestTopicPartitions(t))
		}
	}
}

// TestThousandConsumers: 1,000 members that come at once share 10,000 partitions, ten each, after a few heartbeats.
func TestThousandConsumers(t *testing.T) {
	l := bigGroup(t, 1000, 10_000)
	for _, one := range l.m.groups["g"].consumer.members {
		if n := one.assigned.size(); n != 10 {
			t.Fatalf("%s has %d partitions", one.id, n)
		}
	}
}

// BenchmarkConsumerHeartbeat is what members do all the time: nothing new.
func BenchmarkConsumerHeartbeat(b *testing.B) {
	l := bigGroup(b, 100, 100)
	req := &wire.ConsumerGroupHeartbeatRequest{GroupId: "g", MemberId: "member-0007", MemberEpoch: l.m.groups["g"].consumer.members["member-0007"].epoch, RebalanceTimeoutMs: -1}
	client := Client{ID: "c", Host: "/127.0.0.1", Version: 1}
	b.ReportAllocs()
	for b.Loop() {
		if records, resp := l.m.ConsumerGroupHeartbeat(l.at, client, req); len(records) > 0 || resp.ErrorCode != 0 {
			b.Fatal(resp)
		}
	}
}

// BenchmarkConsumerJoin is a member that joins a group of 1,000 with 10,000 partitions and makes the coordinator assign anew, with
// all the records of that.
func BenchmarkConsumerJoin(b *testing.B) {
	l := bigGroup(b, 1000, 10_000)
	client := Client{ID: "c", Host: "/127.0.0.1", Version: 1}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		req := &wire.ConsumerGroupHeartbeatRequest{GroupId: "g", MemberId: fmt.Sprint("new-", n), RebalanceTimeoutMs: 60_000, SubscribedTopicNames: []string{"t"},
			TopicPartitions: []wire.ConsumerGroupHeartbeatRequestTopicPartitions{}}
		records, resp := l.m.ConsumerGroupHeartbeat(l.at, client, req)
		if resp.ErrorCode != 0 || len(records) < 4 {
			b.Fatal(resp)
		}
		b.StopTimer() // it does not happen: the next one finds the same group
		l.m.stopConsumer(l.m.groups["g"], req.MemberId)
		b.StartTimer()
	}
}
