package ottla_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla"
	"github.com/ottla-io/ottla/ottlatest"
)

const patience = 20 * time.Second

func newClient(t *testing.T, broker *ottla.Broker, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(broker.Addr()), kgo.AllowAutoTopicCreation(), kgo.RetryTimeout(patience)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// produce sends n records to the topic and returns their offsets by partition.
func produce(t *testing.T, client *kgo.Client, topic string, from, n int) {
	t.Helper()
	var records []*kgo.Record
	for i := from; i < from+n; i++ {
		records = append(records, &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "k%d", i%17), Value: fmt.Appendf(nil, "v%d", i)})
	}
	if err := client.ProduceSync(patient(t), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// readAll returns how often each value occurs in the topic, from its start to the end it has now.
func readAll(t *testing.T, broker *ottla.Broker, topic string) map[string]int {
	t.Helper()
	client := newClient(t, broker, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ends, err := kadm.NewClient(client).ListEndOffsets(patient(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	var want int64
	ends.Each(func(end kadm.ListedOffset) { want += end.Offset })
	seen := map[string]int{}
	ctx := patient(t)
	for got := int64(0); got < want; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", got, want, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { seen[string(r.Value)]++; got++ })
	}
	return seen
}

func TestPublishAndReadBackAcrossARestart(t *testing.T) {
	dir := t.TempDir()
	start := func() *ottla.Broker {
		broker, err := ottla.Start(ottla.Config{DataDir: dir, NodeID: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { broker.Close(context.Background()) })
		return broker
	}
	first := start()
	client := newClient(t, first)
	admin := kadm.NewClient(client)
	created, err := admin.CreateTopic(patient(t), 3, 1, nil, "t")
	if err != nil {
		t.Fatal(err)
	}
	produce(t, client, "t", 0, 1000)
	cluster := first.ClusterID()
	if err := first.Close(patient(t)); err != nil {
		t.Fatal(err)
	}
	second := start()
	if second.ClusterID() != cluster {
		t.Errorf("cluster id changed from %s to %s", cluster, second.ClusterID())
	}
	client = newClient(t, second)
	topics, err := kadm.NewClient(client).ListTopics(patient(t), "t")
	if err != nil {
		t.Fatal(err)
	}
	if got := topics["t"]; got.ID != created.ID || len(got.Partitions) != 3 {
		t.Errorf("topic came back as %+v, was created as %+v", got, created)
	}
	for _, p := range topics["t"].Partitions {
		if p.LeaderEpoch < 1 {
			t.Errorf("partition %d: leader epoch %d after a restart, want a new one (design row 6)", p.Partition, p.LeaderEpoch)
		}
	}
	produce(t, client, "t", 1000, 1000)
	seen := readAll(t, second, "t")
	for i := range 2000 {
		if n := seen[fmt.Sprintf("v%d", i)]; n != 1 {
			t.Fatalf("record v%d came back %d times", i, n)
		}
	}
}

func TestDeletedTopicIsGoneAndItsNameIsFree(t *testing.T) {
	broker := ottlatest.Start(t)
	client := newClient(t, broker)
	admin := kadm.NewClient(client)
	first, err := admin.CreateTopic(patient(t), 1, 1, nil, "t")
	if err != nil {
		t.Fatal(err)
	}
	produce(t, client, "t", 0, 10)
	if _, err := admin.DeleteTopic(patient(t), "t"); err != nil {
		t.Fatal(err)
	}
	second, err := admin.CreateTopic(patient(t), 1, 1, nil, "t")
	if err != nil {
		t.Fatal(err)
	}
	if first.ID == second.ID {
		t.Error("the recreated topic has the deleted one's id")
	}
	ends, err := admin.ListEndOffsets(patient(t), "t")
	if err != nil {
		t.Fatal(err)
	}
	if end, _ := ends.Lookup("t", 0); end.Offset != 0 {
		t.Errorf("the recreated topic ends at %d: it has old records", end.Offset)
	}
}

func TestUnknownTopicWithoutAutoCreation(t *testing.T) {
	broker := ottlatest.Start(t, ottlatest.WithSetting("auto.create.topics.enable", "false"))
	client := newClient(t, broker, kgo.UnknownTopicRetries(1))
	err := client.ProduceSync(patient(t), &kgo.Record{Topic: "nope", Value: []byte("v")}).FirstErr()
	if err == nil || !strings.Contains(err.Error(), kerr.UnknownTopicOrPartition.Message) {
		t.Fatalf("produce to a topic that does not exist: %v, want %v", err, kerr.UnknownTopicOrPartition)
	}
}

// TestSeveralBrokersLeaveNothingBehind holds design row 12: no globals, and Close waits for all that Start began.
func TestSeveralBrokersLeaveNothingBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("three at once", func(t *testing.T) {
		var brokers []*ottla.Broker
		for range 3 {
			brokers = append(brokers, ottlatest.Start(t))
		}
		for i, broker := range brokers {
			client := newClient(t, broker)
			topic := fmt.Sprintf("t%d", i)
			produce(t, client, topic, 0, 10)
			if seen := readAll(t, broker, topic); len(seen) != 10 {
				t.Errorf("broker %d has %d records, want 10", i, len(seen))
			}
		}
	})
	deadline := time.Now().Add(patience)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if now := runtime.NumGoroutine(); now > before {
		stacks := make([]byte, 1<<20)
		t.Fatalf("%d goroutines before, %d after:\n%s", before, now, stacks[:runtime.Stack(stacks, true)])
	}
}

func TestSecondProcessOnTheSameDirectory(t *testing.T) {
	dir := t.TempDir()
	first, err := ottla.Start(ottla.Config{DataDir: dir, NodeID: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close(context.Background())
	if second, err := ottla.Start(ottla.Config{DataDir: dir, NodeID: 1}); err == nil {
		second.Close(context.Background())
		t.Fatal("two brokers run on one data directory")
	} else if !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
		t.Errorf("want one sentence that names the directory, got: %v", err)
	}
}

func TestRefusedConfigurations(t *testing.T) {
	for _, c := range []struct {
		name   string
		config ottla.Config
		want   string
	}{
		{"unknown setting", ottla.Config{Settings: map[string]string{"log.retention.hour": "1"}}, "log.retention.hours"},
		{"bad value", ottla.Config{Settings: map[string]string{"num.partitions": "many"}}, "num.partitions"},
		{"listen without port", ottla.Config{Listen: "localhost"}, "HOST:PORT"},
		{"advertise without host", ottla.Config{Advertise: ":9092"}, "advertise"},
		{"port in use is named", ottla.Config{Listen: "127.0.0.1:1"}, "127.0.0.1:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "port in use is named" {
				holder := ottlatest.Start(t)
				c.config.Listen, c.want = holder.Addr(), holder.Addr()
			}
			c.config.InMemory = true
			broker, err := ottla.Start(c.config)
			if err == nil {
				broker.Close(context.Background())
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v: does not name %q", err, c.want)
			}
		})
	}
}

func TestAdminEndpoints(t *testing.T) {
	broker, err := ottla.Start(ottla.Config{InMemory: true, Admin: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close(context.Background())
	produce(t, newClient(t, broker), "t", 0, 10)
	for path, want := range map[string]string{
		"/healthz": "", "/readyz": "", "/metrics": "ottla_produced_records_total 10", "/debug/pprof/": "goroutine",
	} {
		response, err := http.Get("http://" + broker.AdminAddr() + path)
		if err != nil {
			t.Fatal(err)
		}
		body := readBody(t, response)
		if response.StatusCode != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: status %d, want 200 and %q in:\n%.2000s", path, response.StatusCode, want, body)
		}
	}
}

func readBody(t *testing.T, response *http.Response) string {
	t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
