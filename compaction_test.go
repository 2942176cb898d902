package ottla_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla"
)

// TestCompactedTopicShrinks under a running broker, and a consumer that reads it from the start takes the newest value of every key, before and after a restart.
func TestCompactedTopicShrinks(t *testing.T) {
	dir := t.TempDir()
	start := func() *ottla.Broker {
		broker, err := ottla.Start(ottla.Config{DataDir: dir, NodeID: 1, Settings: map[string]string{"log.cleaner.backoff.ms": "50"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { broker.Close(context.Background()) })
		return broker
	}
	broker := start()
	client := newClient(t, broker, kgo.ProducerBatchCompression(kgo.NoCompression()))
	admin := kadm.NewClient(client)
	compact, segment, ratio := "compact", "200000", "0.01"
	configs := map[string]*string{"cleanup.policy": &compact, "internal.segment.bytes": &segment, "min.cleanable.dirty.ratio": &ratio}
	if _, err := admin.CreateTopic(patient(t), 1, 1, configs, "t"); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(patient(t), &kgo.Record{Topic: "t", Value: []byte("no key")}).FirstErr(); !errors.Is(err, kerr.InvalidRecord) {
		t.Errorf("a record without a key: %v, want INVALID_RECORD", err)
	}
	const keys = 10
	want := map[string]string{}
	put := func(round int) {
		t.Helper()
		var records []*kgo.Record
		for i := range 40 {
			key, value := fmt.Sprintf("k%d", i%keys), fmt.Sprintf("round %d of %d: %0500d", round, i, 0)
			records = append(records, &kgo.Record{Topic: "t", Key: []byte(key), Value: []byte(value)})
			want[key] = value
		}
		if err := client.ProduceSync(patient(t), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 50 {
		put(round)
	}
	size := func() (bytes int64) {
		files, err := filepath.Glob(filepath.Join(dir, "t-0", "*.log"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if info, err := os.Stat(file); err == nil { // one may be compacted away meanwhile
				bytes += info.Size()
			}
		}
		return bytes
	}
	if before := size(); before < 40*50*500 {
		t.Fatalf("%d bytes are less than was produced", before)
	}
	for ctx := patient(t); size() > 250_000; {
		if err := ctx.Err(); err != nil {
			t.Fatalf("the topic still has %d bytes: %v", size(), err)
		}
		if _, err := admin.ListTopics(ctx); err != nil { // the time of a request
			t.Fatal(err)
		}
	}
	check := func(when string) {
		t.Helper()
		got := map[string]string{}
		reader := newClient(t, broker, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		ends, err := kadm.NewClient(reader).ListEndOffsets(patient(t), "t")
		if err != nil {
			t.Fatal(err)
		}
		end, _ := ends.Lookup("t", 0)
		for next, ctx := int64(0), patient(t); next < end.Offset; {
			fetches := reader.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			fetches.EachRecord(func(r *kgo.Record) { got[string(r.Key)], next = string(r.Value), r.Offset+1 })
		}
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s: the newest value of %s is %q, want %q", when, key, got[key], value)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d keys, want %d", when, len(got), len(want))
		}
	}
	check("compacted")
	if err := broker.Close(patient(t)); err != nil {
		t.Fatal(err)
	}
	broker = start()
	check("restarted")
	if now := size(); now > 450_000 {
		t.Errorf("%d bytes after the restart", now)
	}
}
