package ottla_test

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla"
)

// TestGroupGoesOnAfterARestart: a consumer reads half, the broker stops and starts again, and the same consumer reads the rest; nothing twice,
// as all was committed, and the lag is zero.
func TestGroupGoesOnAfterARestart(t *testing.T) {
	dir := t.TempDir()
	start := func(listen string) *ottla.Broker {
		t.Helper()
		broker, err := ottla.Start(ottla.Config{DataDir: dir, NodeID: 1, Listen: listen, Settings: map[string]string{"group.initial.rebalance.delay.ms": "0"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { broker.Close(context.Background()) })
		return broker
	}
	broker := start("")
	producer := newClient(t, broker)
	produce(t, producer, "t", 0, 100)
	consumer := newClient(t, broker, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(200*time.Millisecond), kgo.HeartbeatInterval(100*time.Millisecond))
	seen := map[string]int{}
	ctx := patient(t)
	read := func(until int) {
		t.Helper()
		for len(seen) < until {
			fetches := consumer.PollRecords(ctx, 20)
			if ctx.Err() != nil {
				t.Fatalf("%d of %d records: %v", len(seen), until, fetches.Err())
			}
			fetches.EachRecord(func(r *kgo.Record) { seen[string(r.Value)]++ })
			if err := consumer.CommitUncommittedOffsets(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	read(60)
	if err := broker.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	broker = start(broker.Addr())
	produce(t, producer, "t", 100, 100)
	read(200)
	for value, n := range seen {
		if n > 1 {
			t.Errorf("%s was read %d times", value, n)
		}
	}
	lags, err := kadm.NewClient(newClient(t, broker)).Lag(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	if g := lags["g"]; g.Error() != nil || g.Lag.Total() != 0 || len(g.Members) != 1 || g.State != "Stable" {
		t.Errorf("group is %s with %d members, lag %d, %v", g.State, len(g.Members), g.Lag.Total(), g.Error())
	}
}

// TestCloseSendsWaitingMembersAway: a member that waits for others in JoinGroup does not hold up a stopping broker.
func TestCloseSendsWaitingMembersAway(t *testing.T) {
	broker, err := ottla.Start(ottla.Config{InMemory: true, Settings: map[string]string{"group.initial.rebalance.delay.ms": "60000", "ottla.drain.timeout.ms": "30000"}})
	if err != nil {
		t.Fatal(err)
	}
	client := newClient(t, broker)
	produce(t, client, "t", 0, 1)
	member := newClient(t, broker, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"))
	go member.PollFetches(context.Background())
	admin := kadm.NewClient(client)
	for ctx := patient(t); ; {
		described, err := admin.DescribeGroups(ctx, "g")
		if g := described["g"]; err == nil && len(g.Members) == 1 && g.State == "PreparingRebalance" {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("the member does not wait: %v, %+v", err, described)
		}
	}
	begun := time.Now()
	if err := broker.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("Close took %v", took)
	}
}
