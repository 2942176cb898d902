package ottla_test

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla"
)

// TestConsumerGroupSettings: a consumer group obeys its own settings (resource type 32) from the next heartbeat on, and the broker's
// where it has none; it hears of new partitions; and all that outlives a restart.
func TestConsumerGroupSettings(t *testing.T) {
	dir := t.TempDir()
	start := func(listen string) *ottla.Broker {
		t.Helper()
		broker, err := ottla.Start(ottla.Config{DataDir: dir, NodeID: 1, Listen: listen, Settings: map[string]string{
			"group.consumer.assignment.interval.ms": "0", "group.consumer.heartbeat.interval.ms": "6000"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { broker.Close(context.Background()) })
		return broker
	}
	broker := start("")
	client := newClient(t, broker)
	admin := kadm.NewClient(client)
	ctx := patient(t)
	if _, err := admin.CreateTopic(ctx, 2, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	pause := func() {
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	beat := func(group string, epoch int32) *kmsg.ConsumerGroupHeartbeatResponse {
		t.Helper()
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Group, req.MemberID, req.MemberEpoch = group, "m", epoch
		if epoch == 0 {
			req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.Topics = 60_000, []string{"t"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		}
		for {
			resp, err := req.RequestWith(ctx, client)
			switch {
			case err == nil && resp.ErrorCode == 0:
				return resp
			case ctx.Err() != nil || err == nil && !kerr.IsRetriable(kerr.ErrorForCode(resp.ErrorCode)):
				t.Fatalf("heartbeat of %s at %d: %v %+v", group, epoch, err, resp)
			}
			pause() // the coordinator is about to be there
		}
	}
	own, other := beat("own", 0), beat("other", 0)
	if own.HeartbeatIntervalMillis != 6000 || len(own.Assignment.Topics) != 1 || len(own.Assignment.Topics[0].Partitions) != 2 {
		t.Fatalf("joined: %+v", own)
	}
	alter := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = 32, "own"
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	value := "9000"
	config.Name, config.Value = "consumer.heartbeat.interval.ms", &value
	resource.Configs = append(resource.Configs, config)
	alter.Resources = append(alter.Resources, resource)
	if altered, err := alter.RequestWith(ctx, client); err != nil || altered.Resources[0].ErrorCode != 0 {
		t.Fatalf("alter: %v %+v", err, altered)
	}
	if got := beat("own", own.MemberEpoch).HeartbeatIntervalMillis; got != 9000 {
		t.Errorf("the group's own interval is %d", got)
	}
	if got := beat("other", other.MemberEpoch).HeartbeatIntervalMillis; got != 6000 {
		t.Errorf("the other group's interval is %d", got)
	}
	if _, err := admin.CreatePartitions(ctx, 1, "t"); err != nil {
		t.Fatal(err)
	}
	grown := beat("own", own.MemberEpoch)
	for ; grown.Assignment == nil; grown = beat("own", grown.MemberEpoch) {
		if pause(); ctx.Err() != nil {
			t.Fatal("the member does not hear of the new partition")
		}
	}
	if n := len(grown.Assignment.Topics[0].Partitions); n != 3 || grown.MemberEpoch != own.MemberEpoch+1 {
		t.Errorf("after the topic grew: %+v", grown)
	}
	if err := broker.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	start(broker.Addr())
	if again := beat("own", grown.MemberEpoch); again.HeartbeatIntervalMillis != 9000 || again.MemberEpoch != grown.MemberEpoch || again.Assignment != nil {
		t.Errorf("after the restart: %+v", again)
	}
}
