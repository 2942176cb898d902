package ottlatest_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla/ottlatest"
)

// TestOrders is what a test of yours may look like.
func TestOrders(t *testing.T) {
	broker := ottlatest.Start(t, ottlatest.WithSetting("num.partitions", "3"))
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr()), kgo.AllowAutoTopicCreation(),
		kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	order := &kgo.Record{Topic: "orders", Key: []byte("42"), Value: []byte("one ticket to Oulu")}
	if err := client.ProduceSync(t.Context(), order).FirstErr(); err != nil {
		t.Fatal(err)
	}
	records := client.PollFetches(t.Context()).Records()
	if len(records) != 1 || string(records[0].Value) != "one ticket to Oulu" {
		t.Errorf("read back %v", records)
	}
}
