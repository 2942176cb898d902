package adopt

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// consumers are members of one group of KIP-848 that outlive their brokers.
type consumers struct {
	t       *testing.T
	ctx     context.Context
	client  *kgo.Client
	members map[string]*consumer
}

type consumer struct {
	epoch int32
	owned []kmsg.ConsumerGroupHeartbeatRequestTopic
}

const consumerGroup = "of-kip-848"

// TestConsumersStay: members of a consumer group go on, with the partitions that they have, when Ottla takes over from Kafka and Kafka
// from Ottla; and each shows the group as the other left it.
func TestConsumersStay(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir := t.TempDir()
	g := &consumers{t: t, ctx: ctx, members: map[string]*consumer{"a": {}, "b": {}}}
	b := start(t, kafka(dir))
	g.client = client(t, b.Addr())
	if _, err := kadm.NewClient(g.client).CreateTopic(ctx, 7, 1, nil, "consumed"); err != nil {
		t.Fatal(err)
	}
	g.settle()
	want := g.shown()
	stop(t, b)

	b = start(t, ottla(dir))
	g.client = client(t, b.Addr())
	if diff := cmp.Diff(want, g.shown()); diff != "" {
		t.Errorf("Ottla after Kafka (-Kafka +Ottla)\n%s", diff)
	}
	kept := g.owned()
	g.settle()
	if diff := cmp.Diff(kept, g.owned()); diff != "" {
		t.Errorf("partitions moved when Ottla took over\n%s", diff)
	}
	g.members["c"] = &consumer{}
	g.settle()
	want = g.shown()
	stop(t, b)

	b = start(t, kafka(dir))
	g.client = client(t, b.Addr())
	if diff := cmp.Diff(want, g.shown()); diff != "" {
		t.Errorf("Kafka after Ottla (-Ottla +Kafka)\n%s", diff)
	}
	kept = g.owned()
	g.settle()
	if diff := cmp.Diff(kept, g.owned()); diff != "" {
		t.Errorf("partitions moved when Kafka took over\n%s", diff)
	}
	stop(t, b)
}

// settle lets the members send heartbeats until all have what they are to have.
func (g *consumers) settle() {
	g.t.Helper()
	for {
		for id, m := range g.members {
			g.beat(id, m)
		}
		if d := g.describe(); d.State == "Stable" && len(d.Members) == len(g.members) {
			for id, m := range g.members {
				g.beat(id, m) // one that was stable before the others learns its epoch
			}
			if again := g.describe(); again.State == "Stable" && again.Epoch == d.Epoch {
				return
			}
		}
		select {
		case <-g.ctx.Done():
			g.t.Fatalf("the group does not settle: %+v", g.describe())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (g *consumers) beat(id string, m *consumer) {
	g.t.Helper()
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch = consumerGroup, id, m.epoch
	req.Topics = append([]kmsg.ConsumerGroupHeartbeatRequestTopic{}, m.owned...)
	if m.epoch == 0 {
		req.RebalanceTimeoutMillis, req.SubscribedTopicNames = 60_000, []string{"consumed"}
	}
	resp, err := req.RequestWith(g.ctx, g.client)
	switch {
	case g.ctx.Err() != nil:
		g.t.Fatal("no answer: ", err)
	case err != nil || kerr.IsRetriable(kerr.ErrorForCode(resp.ErrorCode)):
		return // the coordinator is not there yet
	case resp.ErrorCode != 0:
		g.t.Fatalf("%s: %v", id, kerr.ErrorForCode(resp.ErrorCode))
	}
	m.epoch = resp.MemberEpoch
	if resp.Assignment != nil {
		m.owned = nil
		for _, topic := range resp.Assignment.Topics {
			t := kmsg.NewConsumerGroupHeartbeatRequestTopic()
			t.TopicID, t.Partitions = topic.TopicID, slices.Sorted(slices.Values(topic.Partitions))
			m.owned = append(m.owned, t)
		}
	}
}

func (g *consumers) owned() map[string][]int32 {
	owned := map[string][]int32{}
	for id, m := range g.members {
		for _, t := range m.owned {
			owned[id] = append(owned[id], t.Partitions...)
		}
	}
	return owned
}

// shown is the group as text, a line for each member.
func (g *consumers) shown() (lines []string) {
	g.t.Helper()
	d := g.describe()
	members := d.Members
	d.Members = nil
	for _, one := range shownParts(d, members) {
		text, err := json.Marshal(one)
		if err != nil {
			g.t.Fatal(err)
		}
		lines = append(lines, string(text))
	}
	return lines
}

func shownParts(group any, members []kmsg.ConsumerGroupDescribeResponseGroupMember) []any {
	parts := []any{group}
	for _, m := range members {
		parts = append(parts, m)
	}
	return parts
}

// describe is the group as the broker shows it, in order.
func (g *consumers) describe() kmsg.ConsumerGroupDescribeResponseGroup {
	g.t.Helper()
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups = []string{consumerGroup}
	for {
		resp, err := req.RequestWith(g.ctx, g.client)
		if g.ctx.Err() != nil {
			g.t.Fatal("no answer: ", err)
		}
		if err == nil && len(resp.Groups) == 1 && !kerr.IsRetriable(kerr.ErrorForCode(resp.Groups[0].ErrorCode)) {
			one := resp.Groups[0]
			slices.SortFunc(one.Members, func(a, b kmsg.ConsumerGroupDescribeResponseGroupMember) int {
				return strings.Compare(a.MemberID, b.MemberID)
			})
			for i := range one.Members {
				for _, a := range []*kmsg.Assignment{&one.Members[i].Assignment, &one.Members[i].TargetAssignment} {
					for k := range a.TopicPartitions {
						slices.Sort(a.TopicPartitions[k].Partitions)
					}
				}
			}
			return one
		}
		select {
		case <-g.ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}
