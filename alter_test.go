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
	"github.com/ottla-io/ottla/ottlatest"
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

// TestSettingsChangeAtOnce: a produce right after the answer is judged by the new settings, of the topic, the broker or all
// brokers, whichever counts; DescribeConfigs tells where they come from; a restart keeps them.
func TestSettingsChangeAtOnce(t *testing.T) {
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
	var client *kgo.Client
	var admin *kadm.Client
	connect := func() {
		client = newClient(t, broker, kgo.ProducerBatchCompression(kgo.NoCompression()))
		admin = kadm.NewClient(client)
	}
	connect()
	if _, err := admin.CreateTopic(patient(t), 1, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	alter := func(resource string, op kadm.IncrementalOp, key, value string) {
		t.Helper()
		change := []kadm.AlterConfig{{Op: op, Name: key, Value: &value}}
		var answers kadm.AlterConfigsResponses
		var err error
		switch resource {
		case "t":
			answers, err = admin.AlterTopicConfigs(patient(t), change, "t")
		case "":
			answers, err = admin.AlterBrokerConfigs(patient(t), change)
		default:
			answers, err = admin.AlterBrokerConfigs(patient(t), change, 1)
		}
		if err != nil || len(answers) != 1 || answers[0].Err != nil {
			t.Fatalf("%s %s=%s: %v, %+v", resource, key, value, err, answers)
		}
	}
	check := func(step string, fits bool, source string) {
		t.Helper()
		err := client.ProduceSync(patient(t), &kgo.Record{Topic: "t", Value: make([]byte, 2000)}).FirstErr()
		if fits && err != nil || !fits && !errors.Is(err, kerr.MessageTooLarge) {
			t.Errorf("%s: produce says %v", step, err)
		}
		described, err := admin.DescribeTopicConfigs(patient(t), "t")
		if err != nil {
			t.Fatal(err)
		}
		for _, config := range described[0].Configs {
			if config.Key == "max.message.bytes" && config.Source.String() != source {
				t.Errorf("%s: max.message.bytes is %s, from %s", step, config.MaybeValue(), config.Source)
			}
		}
	}
	check("at first", true, "DEFAULT_CONFIG")
	alter("", kadm.SetConfig, "message.max.bytes", "1000")
	check("all brokers", false, "DYNAMIC_DEFAULT_BROKER_CONFIG")
	alter("1", kadm.SetConfig, "message.max.bytes", "3000")
	check("this broker", true, "DYNAMIC_BROKER_CONFIG")
	alter("t", kadm.SetConfig, "max.message.bytes", "1000")
	check("the topic", false, "DYNAMIC_TOPIC_CONFIG")
	if err := broker.Close(patient(t)); err != nil {
		t.Fatal(err)
	}
	broker = start()
	connect()
	check("the topic, after a restart", false, "DYNAMIC_TOPIC_CONFIG")
	alter("t", kadm.DeleteConfig, "max.message.bytes", "")
	check("this broker again", true, "DYNAMIC_BROKER_CONFIG")
	alter("1", kadm.DeleteConfig, "message.max.bytes", "")
	check("all brokers again", false, "DYNAMIC_DEFAULT_BROKER_CONFIG")
	alter("", kadm.DeleteConfig, "message.max.bytes", "")
	check("at last", true, "DEFAULT_CONFIG")
}

// TestDurabilityChanges: a topic goes from the page cache to the disk and back while it is written; every write is
// acknowledged and read back.
func TestDurabilityChanges(t *testing.T) {
	broker := ottlatest.Start(t)
	client := newClient(t, broker)
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(patient(t), 1, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	const each = 20
	modes := []string{"replicated", "fsync", "replicated", "fsync"}
	for i, mode := range modes {
		answers, err := admin.AlterTopicConfigs(patient(t), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "ottla.durability", Value: &mode}}, "t")
		if err != nil || answers[0].Err != nil {
			t.Fatalf("%s: %v, %+v", mode, err, answers)
		}
		produce(t, client, "t", i*each, each)
	}
	if seen := readAll(t, broker, "t"); len(seen) != each*len(modes) {
		t.Errorf("%d values were read back, %d written", len(seen), each*len(modes))
	}
}
