package controller

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/wire"
)

func (b *bench) extend(validateOnly bool, topics ...wire.CreatePartitionsRequestCreatePartitionsTopic) *wire.CreatePartitionsResponse {
	b.t.Helper()
	records, resp := b.c.CreatePartitions(&wire.CreatePartitionsRequest{Topics: topics, ValidateOnly: validateOnly}, nil, b.at)
	if validateOnly && len(records) > 0 {
		b.t.Fatal("records with ValidateOnly")
	}
	b.run(records)
	return resp
}

func grow(name string, count int32, replicas ...[]int32) wire.CreatePartitionsRequestCreatePartitionsTopic {
	t := wire.CreatePartitionsRequestCreatePartitionsTopic{Name: name, Count: count}
	for _, r := range replicas {
		t.Assignments = append(t.Assignments, wire.CreatePartitionsRequestCreatePartitionsAssignment{BrokerIds: r})
	}
	return t
}

func (b *bench) partitionsOf(name string) []ids.BrokerID {
	b.t.Helper()
	topic, ok := b.c.Image().Topic(name)
	if !ok {
		b.t.Fatalf("no topic %s", name)
	}
	var leaders []ids.BrokerID
	for _, p := range topic.Partitions {
		leaders = append(leaders, p.Leader)
	}
	return leaders
}

// TestCreatePartitionsRefusals are codes and sentences that a Kafka 4.3.1 of one broker, node 1, gave to the same requests.
func TestCreatePartitionsRefusals(t *testing.T) {
	b := newBench(t, nil, 1)
	b.create(false, topic("a", 2, 1), topic("__consumer_offsets", 3, 1))
	none := grow("a", 3)
	none.Assignments = []wire.CreatePartitionsRequestCreatePartitionsAssignment{}
	for _, c := range []struct {
		topic   wire.CreatePartitionsRequestCreatePartitionsTopic
		code    wire.ErrorCode
		message string
	}{
		{grow("a", 2), 37, "Topic already has 2 partition(s)."},
		{grow("a", 1), 37, "The topic a currently has 2 partition(s); 1 would not be an increase."},
		{grow("a", 0), 37, "The topic a currently has 2 partition(s); 0 would not be an increase."},
		{grow("a", -1), 37, "The topic a currently has 2 partition(s); -1 would not be an increase."},
		{grow("__consumer_offsets", 4), 42, "Topic __consumer_offsets cannot have more partitions: groups, transactions and the like are found by the number of partitions it began with."}, // ours
		{grow("zz", 2), 3, ""},
		{grow("", 2), 3, ""},
		{grow("a b", 2), 3, ""},
		{grow("__cluster_metadata", 2), 3, ""},
		{grow("a", 5, []int32{1}), 39, "Attempted to add 3 additional partition(s), but only 1 assignment(s) were specified."},
		{grow("a", 3, []int32{1}, []int32{1}), 39, "Attempted to add 1 additional partition(s), but only 2 assignment(s) were specified."},
		{none, 39, "Attempted to add 1 additional partition(s), but only 0 assignment(s) were specified."},
		{grow("a", 3, []int32{7}), 39, "The manual partition assignment includes broker 7, but no such broker is registered."},
		{grow("a", 3, []int32{1, 1}), 39, "The manual partition assignment includes the broker 1 more than once."},
		{grow("a", 3, []int32{}), 39, "The manual partition assignment includes an empty replica list."},
	} {
		for _, validateOnly := range []bool{true, false} {
			want := []wire.CreatePartitionsResponseCreatePartitionsTopicResult{{Name: c.topic.Name, ErrorCode: c.code,
				ErrorMessage: wire.NullString{Value: c.message, Valid: c.message != ""}}}
			if diff := cmp.Diff(want, b.extend(validateOnly, c.topic).Results); diff != "" {
				t.Errorf("%+v: %s", c.topic, diff)
			}
		}
	}
	if got := b.partitionsOf("a"); len(got) != 2 {
		t.Errorf("refusals left %d partitions", len(got))
	}
}

func TestCreatePartitions(t *testing.T) {
	b := newBench(t, nil, 1)
	b.create(false, topic("a", 2, 1), topic("b", 1, 1))
	before, _ := b.c.Image().Topic("a")
	if r := b.extend(true, grow("a", 4)).Results[0]; r.ErrorCode != 0 || len(b.partitionsOf("a")) != 2 {
		t.Errorf("only validated: %+v, %d partitions", r, len(b.partitionsOf("a")))
	}
	var got []string
	for _, r := range b.extend(false, grow("b", 3), grow("zz", 2), grow("a", 5), grow("a", 6)).Results {
		got = append(got, fmt.Sprint(r.Name, " ", int(r.ErrorCode), " ", r.ErrorMessage.Value))
	}
	if diff := cmp.Diff([]string{"b 0 ", "zz 3 ", "a 42 Duplicate topic name."}, got); diff != "" {
		t.Error(diff)
	}
	if a, b := b.partitionsOf("a"), b.partitionsOf("b"); len(a) != 2 || len(b) != 3 {
		t.Errorf("partitions of a %v, of b %v", a, b)
	}
	if r := b.extend(false, grow("a", 4, []int32{1}, []int32{1})).Results[0]; r.ErrorCode != 0 || r.ErrorMessage.Valid {
		t.Errorf("assigned: %+v", r)
	}
	after, _ := b.c.Image().Topic("a")
	if diff := cmp.Diff([]ids.BrokerID{1, 1, 1, 1}, b.partitionsOf("a")); diff != "" || after.ID != before.ID {
		t.Errorf("%s, ids %v and %v", diff, before.ID, after.ID)
	}
	if p := after.Partitions[3]; p.LeaderEpoch != 0 || len(p.Replicas) != 1 || len(p.ISR) != 1 || len(p.Directories) != 1 || p.Directories[0] == (ids.DirectoryID{}) {
		t.Errorf("a new partition is %+v", p)
	}
}

// TestCreatePartitionsOfManyReplicas: the topic's first partition tells how many replicas the new ones have.
func TestCreatePartitionsOfManyReplicas(t *testing.T) {
	b := newBench(t, nil, 1, 2, 3)
	b.create(false, topic("a", 1, 3))
	if r := b.extend(false, grow("a", 2, []int32{1, 2})).Results[0]; r.ErrorCode != 39 ||
		r.ErrorMessage.Value != "The manual partition assignment includes a partition with 2 replica(s), but this is not consistent with previous partitions, which have 3 replica(s)." {
		t.Errorf("unequal factors: %+v", r)
	}
	b.extend(false, grow("a", 7))
	topic, _ := b.c.Image().Topic("a")
	leaders := make(map[ids.BrokerID]int)
	for n, p := range topic.Partitions {
		if len(p.Replicas) != 3 || len(p.ISR) != 3 || p.Leader != p.Replicas[0] {
			t.Errorf("partition %d: %+v", n, p)
		}
		if n > 0 {
			leaders[p.Leader]++
		}
	}
	if diff := cmp.Diff(map[ids.BrokerID]int{1: 2, 2: 2, 3: 2}, leaders); diff != "" || len(topic.Partitions) != 7 {
		t.Errorf("leaders: %s", diff)
	}
}

// TestCreatePartitionsLimit: one request makes at most 10,000, and what fits is made.
func TestCreatePartitionsLimit(t *testing.T) {
	b := newBench(t, nil, 1)
	b.create(false, topic("a", 5, 1), topic("b", 1, 1))
	for _, c := range []struct {
		count int32
		code  wire.ErrorCode
	}{{10005, 0}, {10006, 44}, {1<<31 - 1, 44}} {
		if r := b.extend(true, grow("a", c.count)).Results[0]; r.ErrorCode != c.code {
			t.Errorf("%d: %+v", c.count, r)
		}
	}
	resp := b.extend(false, grow("a", 6005), grow("b", 4002))
	if resp.Results[0].ErrorCode != 0 || resp.Results[1].ErrorCode != 44 || len(b.partitionsOf("a")) != 6005 || len(b.partitionsOf("b")) != 1 {
		t.Errorf("%+v", resp.Results)
	}
}
