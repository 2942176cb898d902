package clients

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ottla-io/ottla/test/broker"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	quotaBytes  = 1 << 20 // a second
	quotaRecord = 1000
	// With three windows the burst of a client that comes is over after two seconds' worth of bytes.
	quotaWindows = "3"
	quotaSettle  = 4 * time.Second
	quotaSpan    = 15 * time.Second
	// A consumer asks for as much at a time: with megabytes in three windows, it gets up to four tenths less, from Kafka, too.
	quotaFetch = "65536"
)

// TestQuotasSlowRealClients: producers and consumers of librdkafka and Java that have more to do than their quota come to within a tenth of
// it, each by itself; Kafka's own tool sets the quotas and shows them, also after a restart.
func TestQuotasSlowRealClients(t *testing.T) {
	b, err := broker.Start(broker.Config{Dir: t.TempDir(), Settings: map[string]string{"quota.window.num": quotaWindows}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Kill)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.AllowAutoTopicCreation(), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(16<<10))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	full := kgo.SliceRecord(make([]byte, quotaRecord))
	for i := range full.Value {
		full.Value[i] = 'x'
	}
	for range (quotaSettle + quotaSpan + 4*time.Second) / time.Second * quotaBytes / quotaRecord {
		client.Produce(t.Context(), &kgo.Record{Topic: "full", Value: full.Value}, nil)
	}
	if err := client.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"by-librdkafka", "by-java"} {
		if err := client.ProduceSync(testContext(t), &kgo.Record{Topic: topic, Value: full.Value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	configs := func(args ...string) string {
		return tool(t, "", append([]string{"configs", "--bootstrap-server", b.Addr()}, args...)...)
	}
	want(t, "configs --alter", configs("--alter", "--add-config", fmt.Sprintf("producer_byte_rate=%d,consumer_byte_rate=%d", quotaBytes, quotaBytes), "--entity-type", "clients", "--entity-default"),
		"Completed updating default config for clients")
	configs("--alter", "--add-config", "producer_byte_rate=1e12,consumer_byte_rate=1e12", "--entity-type", "clients", "--entity-name", "kgo")
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	want(t, "configs --describe", configs("--describe", "--entity-type", "clients"),
		`Quota configs for the default client-id are consumer_byte_rate=1048576.0, producer_byte_rate=1048576.0`, `Quota configs for client-id 'kgo' are`)

	ends := func(topic string) func() int64 {
		return func() int64 {
			found, err := kadm.NewClient(client).ListEndOffsets(testContext(t), topic)
			end, ok := found.Lookup(topic, 0)
			if err != nil || !ok {
				t.Errorf("end of %s: %v", topic, err)
			}
			return end.Offset * quotaRecord
		}
	}
	kafka := filepath.Join(broker.ModuleDir(), "kafka/kafka")
	var group sync.WaitGroup
	for name, run := range map[string]struct {
		command  []string
		produced func() int64 // nil: what comes out of the command counts
	}{
		"librdkafka producer": {[]string{filepath.Join(broker.Cache(), "rdkafka_performance"), "-P", "-t", "by-librdkafka", "-p", "0", "-s", fmt.Sprint(quotaRecord), "-c", "1000000", "-q", "-b", b.Addr(), "-X", "client.id=rdp"}, ends("by-librdkafka")},
		"Java producer":       {[]string{kafka, "producer-perf", "--topic", "by-java", "--num-records", "1000000", "--record-size", fmt.Sprint(quotaRecord), "--throughput", "-1", "--producer-props", "bootstrap.servers=" + b.Addr(), "client.id=jp"}, ends("by-java")},
		"librdkafka consumer": {[]string{"kcat", "-C", "-q", "-u", "-b", b.Addr(), "-t", "full", "-p", "0", "-o", "beginning", "-X", "client.id=rdc", "-X", "fetch.message.max.bytes=" + quotaFetch}, nil},
		"Java consumer":       {[]string{kafka, "console-consumer", "--bootstrap-server", b.Addr(), "--topic", "full", "--partition", "0", "--offset", "earliest", "--command-property", "client.id=jc", "--command-property", "max.partition.fetch.bytes=" + quotaFetch}, nil},
	} {
		group.Add(1)
		go func() {
			defer group.Done()
			least := 0.9
			if run.produced == nil { // a fetch waits until there is room for all of its answer: consumers stay a little lower
				least = 0.85
			}
			rate, complaints := slowed(t, run.command, run.produced)
			t.Logf("%s: %.3f of its quota", name, rate/quotaBytes)
			if rate < least*quotaBytes || rate > 1.1*quotaBytes {
				t.Errorf("%s: %.0f bytes a second, with a quota of %d\n%s", name, rate, quotaBytes, complaints)
			}
		}()
	}
	group.Wait()
}

// slowed runs a client and tells how many bytes a second it moves once its burst is over.
func slowed(t *testing.T, command []string, moved func() int64) (rate float64, complaints string) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	var stderr bytes.Buffer
	var out atomic.Int64
	cmd.Stderr, cmd.Stdout = &stderr, writerFunc(func(p []byte) (int, error) {
		out.Add(int64(len(p)))
		return len(p), nil
	})
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return 0, ""
	}
	if moved == nil {
		moved = out.Load
	}
	begin := moved()
	for deadline := time.After(time.Minute); moved() <= begin; { // a JVM takes its time
		select {
		case <-deadline:
			t.Errorf("%v moved nothing", command)
			cancel()
			_ = cmd.Wait()
			return 0, stderr.String()
		case <-time.After(20 * time.Millisecond):
		}
	}
	<-time.After(quotaSettle)
	rate = slope(moved)
	cancel()
	_ = cmd.Wait() // killed
	return rate, stderr.String()
}

// slope is the rate of what moves by bursts and pauses: that of the straight line nearest to it.
func slope(moved func() int64) float64 {
	var n, sumX, sumY, sumXX, sumXY float64
	start, first := time.Now(), moved()
	for x := 0.0; x < quotaSpan.Seconds(); x = time.Since(start).Seconds() {
		y := float64(moved() - first)
		n, sumX, sumY, sumXX, sumXY = n+1, sumX+x, sumY+y, sumXX+x*x, sumXY+x*y
		<-time.After(50 * time.Millisecond)
	}
	return (n*sumXY - sumX*sumY) / (n*sumXX - sumX*sumX)
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
