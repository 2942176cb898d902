package groups

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/ottla-io/ottla/test/broker"
	"github.com/ottla-io/ottla/test/results"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

// memberVariable makes this test binary a member of a group: CLIENT BOOTSTRAP GROUP TOPIC are its arguments then.
const memberVariable = "OTTLA_GROUP_MEMBER"

// command is the command line of a client's member.
func command(client, protocol, bootstrap, group, topic string) []string {
	cache, here := broker.Cache(), filepath.Join(broker.ModuleDir(), "groups")
	rest := []string{protocol, bootstrap, group, topic}
	switch client {
	case "librdkafka", "kafka-python", "aiokafka":
		return append([]string{filepath.Join(cache, "venv/bin/python3"), "-u", filepath.Join(here, "python/member.py"), client}, rest...)
	case "kafkajs", "platformatic":
		return append([]string{"node", filepath.Join(cache, "node/member.mjs"), client}, rest...)
	case "java":
		return append([]string{"java", "-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
			"-Dlog4j2.configurationFile=file:" + filepath.Join(broker.ModuleDir(), "kafka/log4j2-quiet.properties"),
			"-cp", filepath.Join(cache, "java") + ":" + filepath.Join(cache, "kafka") + "/*", "Member"}, rest...)
	case "kcat":
		return []string{"kcat", "-b", bootstrap, "-G", group, "-E", "-q", "-u", "-f", `%p %o %s\n`, "-X", "auto.offset.reset=earliest", "-X", "auto.commit.interval.ms=500",
			"-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=500", "-X", "reconnect.backoff.max.ms=500", "-X", "fetch.wait.max.ms=100", "-X", "log_level=0", topic}
	}
	return []string{os.Args[0], client, bootstrap, group, topic} // in Go: itself
}

// runMember is a member in Go, until SIGTERM.
func runMember(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	client, bootstrap, group, topic := args[0], args[1], args[2], args[3]
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	switch client {
	case "franz-go":
		return runFranz(ctx, out, bootstrap, group, topic)
	case "sarama":
		return runSarama(ctx, out, bootstrap, group, topic)
	case "kafka-go":
		return runSegmentio(ctx, out, bootstrap, group, topic)
	}
	return fmt.Errorf("no client %q", client)
}

func runFranz(ctx context.Context, out *bufio.Writer, bootstrap, group, topic string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(500*time.Millisecond), kgo.RebalanceTimeout(15*time.Second), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitMarks(), kgo.AutoCommitInterval(500*time.Millisecond), kgo.BlockRebalanceOnPoll(), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		fetches.EachRecord(func(r *kgo.Record) { fmt.Fprintf(out, "%d %d %s\n", r.Partition, r.Offset, r.Value) })
		if err := out.Flush(); err != nil {
			return err
		}
		client.MarkCommitRecords(fetches.Records()...)
		client.AllowRebalance()
	}
	return nil
}

type saramaHandler struct{ out *bufio.Writer }

func (saramaHandler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (saramaHandler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

// ConsumeClaim is called for each partition on a goroutine of its own; a line is written in one piece.
func (h saramaHandler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for m := range claim.Messages() {
		if _, err := fmt.Fprintf(os.Stdout, "%d %d %s\n", m.Partition, m.Offset, m.Value); err != nil {
			return err
		}
		session.MarkMessage(m, "")
	}
	return nil
}

func runSarama(ctx context.Context, out *bufio.Writer, bootstrap, group, topic string) error {
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Interval = 500 * time.Millisecond
	c.Consumer.Group.Session.Timeout, c.Consumer.Group.Heartbeat.Interval = 6*time.Second, 500*time.Millisecond
	c.Consumer.MaxWaitTime = 100 * time.Millisecond
	c.Metadata.Retry.Max, c.Metadata.Retry.Backoff = 100, 100*time.Millisecond
	var members sarama.ConsumerGroup
	var err error
	if members, err = sarama.NewConsumerGroup([]string{bootstrap}, group, c); err != nil {
		return err
	}
	defer members.Close()
	for ctx.Err() == nil {
		if err := members.Consume(ctx, []string{topic}, saramaHandler{out}); err != nil && !errors.Is(err, context.Canceled) {
			fmt.Fprintln(os.Stderr, err)
			select {
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

func runSegmentio(ctx context.Context, out *bufio.Writer, bootstrap, group, topic string) error {
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{bootstrap}, GroupID: group, Topic: topic, StartOffset: kafka.FirstOffset,
		SessionTimeout: 6 * time.Second, HeartbeatInterval: 500 * time.Millisecond, RebalanceTimeout: 15 * time.Second, MaxWait: 100 * time.Millisecond,
		CommitInterval: 500 * time.Millisecond, JoinGroupBackoff: 500 * time.Millisecond})
	defer r.Close()
	for {
		m, err := r.FetchMessage(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		fmt.Fprintf(out, "%d %d %s\n", m.Partition, m.Offset, m.Value)
		if err := out.Flush(); err != nil {
			return err
		}
		if err := r.CommitMessages(ctx, m); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// record writes down what the members of a group ran with, if the environment asks for it.
func (g *group) record(t *testing.T, watch *results.Watch) {
	t.Helper()
	if os.Getenv("OTTLA_RESULTS") == "" {
		return
	}
	software, apis := watch.Seen(func(r results.Request) bool {
		return r.ClientID != writerID && (r.Group == g.name || r.Topic == g.name)
	})
	program := cmp.Or(map[string]string{"java": "kafka", "platformatic": "@platformatic/kafka"}[g.client], g.client)
	results.Record(t, "results.json", results.Entry{Name: g.name, Version: results.Versions(t)[program], Clients: software, APIs: apis,
		Did: strings.Join(slices.Compact(slices.Clone(g.protocols[:])), ", then ")})
}
