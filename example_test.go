package ottla_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla"
)

// A broker in this process, and a client that publishes to it and reads back.
func ExampleStart() {
	ctx := context.Background()
	broker, err := ottla.Start(ottla.Config{InMemory: true, Settings: map[string]string{"num.partitions": "3"}})
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close(ctx)

	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr()), kgo.AllowAutoTopicCreation(),
		kgo.ConsumeTopics("greetings"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	record := &kgo.Record{Topic: "greetings", Key: []byte("en"), Value: []byte("hello")}
	if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
		log.Fatal(err)
	}
	fetches := client.PollFetches(ctx)
	if err := fetches.Err(); err != nil {
		log.Fatal(err)
	}
	fetches.EachRecord(func(r *kgo.Record) { fmt.Printf("%s: %s\n", r.Key, r.Value) })
	// Output: en: hello
}

// A second life of the broker finds what the first one acknowledged.
func ExampleStart_dataDir() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "ottla-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	for life := 1; life <= 2; life++ {
		broker, err := ottla.Start(ottla.Config{DataDir: dir})
		if err != nil {
			log.Fatal(err)
		}
		client, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr()), kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("greetings"))
		if err != nil {
			log.Fatal(err)
		}
		record, err := client.ProduceSync(ctx, kgo.StringRecord("hello")).First()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("life %d: offset %d\n", life, record.Offset)
		client.Close()
		if err := broker.Close(ctx); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// life 1: offset 0
	// life 2: offset 1
}
