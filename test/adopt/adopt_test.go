// Package adopt has Ottla take over what Kafka 4.3.1 wrote, and Kafka take it back. It changes nothing but copies in temporary directories.
package adopt

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/test/broker"
)

// dirs are the log directories below a broker's own; the metadata log has one to itself.
func dirs(dir string) []string {
	return []string{filepath.Join(dir, "log"), filepath.Join(dir, "log2"), filepath.Join(dir, "metadata")}
}

func kafka(dir string) broker.Config {
	all := dirs(dir)
	return broker.Config{Kind: broker.Kafka, Dir: dir, Settings: map[string]string{
		"log.dirs": all[0] + "," + all[1], "metadata.log.dir": all[2], "offsets.topic.num.partitions": "5", "transaction.state.log.num.partitions": "3",
		"log.cleaner.backoff.ms": "100", "log.initial.task.delay.ms": "100",
		"log.flush.start.offset.checkpoint.interval.ms": "100",
		"broker.session.timeout.ms":                     "2000", "broker.heartbeat.interval.ms": "500", // how long Kafka waits for the broker that was Ottla
	}}
}

func ottla(dir string) broker.Config {
	all := dirs(dir)
	return broker.Config{Kind: broker.Ottla, Dir: dir, Settings: map[string]string{"log.dirs": all[0] + "," + all[1], "metadata.log.dir": all[2], "log.cleaner.backoff.ms": "100"}}
}

// TestTakeOverAndBack: topics of every kind, written by Kafka into three directories and killed, are served whole by Ottla; what Ottla adds is
// served by Kafka, with all that was there before; and Ottla takes it all over again after Kafka's clean stop.
func TestTakeOverAndBack(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	origin, dir := t.TempDir(), t.TempDir()
	b := start(t, kafka(origin))
	fill(t, ctx, b.Addr())
	want := look(t, ctx, b.Addr())
	awaitStart(t, ctx, origin)
	b.Kill()
	if err := os.CopyFS(dir, os.DirFS(origin)); err != nil {
		t.Fatal(err)
	}
	before := segments(t, dir)

	dryRun(t, ctx, dir)
	b = start(t, ottla(dir))
	compare(t, "Ottla after Kafka's kill -9", want, look(t, ctx, b.Addr()))
	keepsBytes(t, before, segments(t, dir))
	hasCommitted(t, ctx, b.Addr(), "Ottla after Kafka's kill -9", 7)
	commit(t, ctx, b.Addr(), 9)
	add(t, ctx, b.Addr(), "by-ottla", "plain")
	compact(t, ctx, b.Addr())
	want = look(t, ctx, b.Addr())
	stop(t, b)
	verify(t, ctx, dir)

	b = start(t, kafka(dir))
	compare(t, "Kafka after Ottla", want, look(t, ctx, b.Addr()))
	hasCommitted(t, ctx, b.Addr(), "Kafka after Ottla", 9)
	add(t, ctx, b.Addr(), "by-kafka-again", "plain")
	want = look(t, ctx, b.Addr())
	stop(t, b)
	verify(t, ctx, dir)

	b = start(t, ottla(dir))
	compare(t, "Ottla after Kafka's clean stop", want, look(t, ctx, b.Addr()))
	hasCommitted(t, ctx, b.Addr(), "Ottla after Kafka's clean stop", 9)
	stop(t, b)
	if records := dumpsAgree(t, ctx, dir); records["plain"] != 1_700 || records["transactional"] < 92 || records["compacted"] == 0 {
		t.Errorf("dumped: %v", records)
	}
}

// awaitStart waits until Kafka has stored the start that DeleteRecords moved: until then it forgets it in a crash.
func awaitStart(t *testing.T, ctx context.Context, dir string) {
	t.Helper()
	for {
		for _, d := range dirs(dir) {
			data, err := os.ReadFile(filepath.Join(d, "log-start-offset-checkpoint"))
			if err == nil && bytes.Contains(data, []byte("deleted 0 1003\n")) {
				return
			}
		}
		select {
		case <-ctx.Done():
			t.Fatal("Kafka does not store the log start")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func start(t *testing.T, cfg broker.Config) *broker.Broker {
	t.Helper()
	b, err := broker.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Kill)
	return b
}

func stop(t *testing.T, b *broker.Broker) {
	t.Helper()
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
}

func client(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// topics are what fill makes.
var topics = []struct {
	name       string
	partitions int32
	configs    map[string]string
}{
	{"plain", 3, map[string]string{"segment.bytes": "1048576", "retention.ms": "-1"}},
	{"compacted", 1, map[string]string{"cleanup.policy": "compact", "segment.ms": "200", "min.cleanable.dirty.ratio": "0.01", "min.compaction.lag.ms": "0"}},
	{"transactional", 1, nil},
	{"deleted", 1, nil},
	{"empty", 2, map[string]string{"max.message.bytes": "2000000"}},
}

// fill makes topics in which there is something of everything.
func fill(t *testing.T, ctx context.Context, addr string) {
	t.Helper()
	admin := kadm.NewClient(client(t, addr))
	for _, topic := range topics {
		configs := make(map[string]*string)
		for k, v := range topic.configs {
			configs[k] = kadm.StringPtr(v)
		}
		if _, err := admin.CreateTopic(ctx, topic.partitions, 1, configs, topic.name); err != nil {
			t.Fatal(err)
		}
	}
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	for i, codec := range codecs {
		c := client(t, addr, kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(100_000))
		for n := range 300 {
			value := fmt.Appendf(nil, "codec %d record %d %s", i, n, strings.Repeat(fmt.Sprint(n*7919), 500))
			c.Produce(ctx, &kgo.Record{Topic: "plain", Partition: int32(n % 3), Key: fmt.Append(nil, n), Value: value, Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}}}, nil)
			c.Produce(ctx, &kgo.Record{Topic: "compacted", Key: fmt.Append(nil, n%10), Value: fmt.Append(nil, i, n)}, nil)
			c.Produce(ctx, &kgo.Record{Topic: "deleted", Value: fmt.Append(nil, n)}, nil)
		}
		if err := c.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		select { // so that the compacted topic's segments become old enough to roll
		case <-ctx.Done():
		case <-time.After(250 * time.Millisecond):
		}
	}
	transactions(t, ctx, addr)
	remove := make(kadm.Offsets)
	remove.Add(kadm.Offset{Topic: "deleted", At: 1003, LeaderEpoch: -1})
	if _, err := admin.DeleteRecords(ctx, remove); err != nil {
		t.Fatal(err)
	}
	commit(t, ctx, addr, 7)
	member := client(t, addr, kgo.ConsumerGroup("classic"), kgo.ConsumeTopics("transactional"), kgo.DisableAutoCommit())
	member.PollRecords(ctx, 1)
	var failed error
	member.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{"transactional": {0: {Epoch: -1, Offset: 50}}},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
			failed = err
			if err == nil && resp.Topics[0].Partitions[0].ErrorCode != 0 {
				failed = fmt.Errorf("commit: error %d", resp.Topics[0].Partitions[0].ErrorCode)
			}
		})
	if failed != nil {
		t.Fatal(failed)
	}
	member.LeaveGroup()
}

// transactions commits one, aborts one and leaves one open.
func transactions(t *testing.T, ctx context.Context, addr string) {
	t.Helper()
	for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		c := client(t, addr, kgo.TransactionalID(fmt.Sprint("tx", i)), kgo.TransactionTimeout(15*time.Minute))
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for n := range 30 {
			c.Produce(ctx, &kgo.Record{Topic: "transactional", Value: fmt.Append(nil, "transaction ", i, n)}, nil)
		}
		if err := c.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			return // left open
		}
		if err := c.EndTransaction(ctx, end); err != nil {
			t.Fatal(err)
		}
	}
}

// add makes one topic more, and records in it and in an old one, in its first two partitions, of which t has one.
func add(t *testing.T, ctx context.Context, addr, name, old string) {
	t.Helper()
	c := client(t, addr)
	if _, err := kadm.NewClient(c).CreateTopic(ctx, 2, 1, map[string]*string{"retention.ms": kadm.StringPtr("777777777")}, name); err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		for _, topic := range []string{name, old} {
			partition := int32(n % 2)
			if topic == "t" {
				partition = 0
			}
			c.Produce(ctx, &kgo.Record{Topic: topic, Partition: partition, Value: fmt.Append(nil, name, n)}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	if err := c.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// compact waits until all of the compacted topic but its last segment is compacted.
func compact(t *testing.T, ctx context.Context, addr string) {
	t.Helper()
	c := client(t, addr)
	for range 2 {
		for n := range 100 {
			c.Produce(ctx, &kgo.Record{Topic: "compacted", Key: fmt.Append(nil, n%10), Value: fmt.Append(nil, "by Ottla", n)}, nil)
		}
		c.Produce(ctx, &kgo.Record{Topic: "compacted", Key: []byte("0")}, nil) // a tombstone
		if err := c.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		select { // so that the segment becomes old enough to roll
		case <-ctx.Done():
		case <-time.After(250 * time.Millisecond):
		}
	}
	if err := c.ProduceSync(ctx, &kgo.Record{Topic: "compacted", Key: []byte("last"), Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	admin := kadm.NewClient(c)
	starts, ends := offsets(t, ctx, admin.ListStartOffsets, []string{"compacted"}), offsets(t, ctx, admin.ListEndOffsets, []string{"compacted"})
	for {
		n := len(read(t, ctx, addr, starts, ends, kgo.ReadUncommitted())["compacted/0"])
		if n == 11 { // ten keys, one of them with a tombstone, and the last
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d records are left of 10 keys", n)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// view is what a client sees of a cluster.
type view struct {
	Cluster   string
	TopicIDs  map[string]string
	Configs   map[string]map[string]string // those set on the topic
	Starts    map[string]int64
	Ends      map[string]int64
	Stable    map[string]int64
	All       map[string][]string // uncommitted and committed
	Committed map[string][]string
}

func look(t *testing.T, ctx context.Context, addr string) view {
	t.Helper()
	c := client(t, addr)
	admin := kadm.NewClient(c)
	v := view{TopicIDs: make(map[string]string), Configs: make(map[string]map[string]string)}
	metadata, err := admin.Metadata(ctx)
	if err != nil {
		t.Fatal(err)
	}
	v.Cluster = metadata.Cluster
	var names []string
	for name, topic := range metadata.Topics {
		if !topic.IsInternal {
			names = append(names, name)
			v.TopicIDs[name] = topic.ID.String()
		}
	}
	configs, err := admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range configs {
		v.Configs[topic.Name] = make(map[string]string)
		for _, c := range topic.Configs {
			if c.Source == kmsg.ConfigSourceDynamicTopicConfig {
				v.Configs[topic.Name][c.Key] = c.MaybeValue()
			}
		}
	}
	v.Starts, v.Ends, v.Stable = offsets(t, ctx, admin.ListStartOffsets, names), offsets(t, ctx, admin.ListEndOffsets, names), offsets(t, ctx, admin.ListCommittedOffsets, names)
	v.All = read(t, ctx, addr, v.Starts, v.Ends, kgo.ReadUncommitted())
	v.Committed = read(t, ctx, addr, v.Starts, v.Stable, kgo.ReadCommitted())
	return v
}

func offsets(t *testing.T, ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error), names []string) map[string]int64 {
	t.Helper()
	listed, err := list(ctx, names...)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]int64)
	listed.Each(func(o kadm.ListedOffset) { all[fmt.Sprintf("%s/%d", o.Topic, o.Partition)] = o.Offset })
	return all
}

// read reads every partition up to its end, control records too. The last record of a log is never compacted away.
func read(t *testing.T, ctx context.Context, addr string, starts, ends map[string]int64, level kgo.IsolationLevel) map[string][]string {
	t.Helper()
	from, left := make(map[string]map[int32]kgo.Offset), 0
	for name, end := range ends {
		topic, number, _ := strings.Cut(name, "/")
		var partition int32
		fmt.Sscan(number, &partition) //nolint:errcheck // it was printed by offsets
		if starts[name] < end {
			if from[topic] == nil {
				from[topic] = make(map[int32]kgo.Offset)
			}
			from[topic][partition], left = kgo.NewOffset().At(starts[name]), left+1
		}
	}
	c := client(t, addr, kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(level), kgo.KeepControlRecords())
	all := make(map[string][]string)
	for left > 0 {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read: %v; %d partitions are not read to their end", err, left)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			name := fmt.Sprintf("%s/%d", r.Topic, r.Partition)
			if r.Offset >= ends[name] {
				return
			}
			all[name] = append(all[name], fmt.Sprintf("%d %d %v %x %x %v", r.Offset, r.Timestamp.UnixMilli(), r.Attrs, r.Key, r.Value, r.Headers))
			if r.Offset == ends[name]-1 {
				left--
			}
		})
	}
	return all
}

func compare(t *testing.T, what string, want, got view) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s: (-before +now)\n%.4000s", what, diff)
	}
	if len(got.All["plain/0"]) < 500 || len(got.All["transactional/0"]) < 90 || len(got.Committed["transactional/0"]) > 40 || got.Starts["deleted/0"] != 1003 {
		t.Fatalf("%s: too little to compare: %d, %d, %d, %d", what, len(got.All["plain/0"]), len(got.All["transactional/0"]), len(got.Committed["transactional/0"]), got.Starts["deleted/0"])
	}
}

// commit commits an offset of plain for the group simple, which has no members.
func commit(t *testing.T, ctx context.Context, addr string, offset int64) {
	t.Helper()
	simple := make(kadm.Offsets)
	simple.Add(kadm.Offset{Topic: "plain", At: offset, LeaderEpoch: -1})
	if err := kadm.NewClient(client(t, addr)).CommitAllOffsets(ctx, "simple", simple); err != nil {
		t.Fatal(err)
	}
}

func hasCommitted(t *testing.T, ctx context.Context, addr, when string, simple int64) {
	t.Helper()
	if offsets := committed(t, ctx, addr); offsets["simple"] != simple || offsets["classic"] != 50 {
		t.Errorf("%s: committed offsets %v, want %d and 50", when, offsets, simple)
	}
}

// committed is the offset of each group in its one partition.
func committed(t *testing.T, ctx context.Context, addr string) map[string]int64 {
	t.Helper()
	admin := kadm.NewClient(client(t, addr))
	all := make(map[string]int64)
	for _, group := range []string{"simple", "classic"} {
		responses, err := admin.FetchOffsets(ctx, group)
		if err != nil {
			t.Fatal(err)
		}
		responses.Each(func(o kadm.OffsetResponse) { all[group] = o.At })
	}
	return all
}

// segments reads all logs below dir.
func segments(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*", "*.log"))
	if err != nil || len(files) < 16 {
		t.Fatalf("%d logs: %v", len(files), err)
	}
	all := make(map[string][]byte)
	for _, name := range files {
		if all[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func keepsBytes(t *testing.T, before, now map[string][]byte) {
	t.Helper()
	for name, old := range before {
		if strings.Contains(name, "/compacted-") {
			continue // cleaning replaces segments
		}
		if !bytes.HasPrefix(now[name], old) {
			t.Errorf("%s: bytes that Kafka wrote changed", name)
		}
	}
}

func dryRun(t *testing.T, ctx context.Context, dir string) {
	t.Helper()
	out := run(t, ctx, append([]string{"log", "adopt"}, dirs(dir)...)...)
	for _, want := range []string{"Kafka was killed", "would serve: 7 topics, 16 partitions",
		"--set log.dirs=" + filepath.Join(dir, "log") + "," + filepath.Join(dir, "log2") + " --set metadata.log.dir=" + filepath.Join(dir, "metadata")} {
		if !strings.Contains(out, want) {
			t.Errorf("log adopt: %q is missing in\n%s", want, out)
		}
	}
}

func verify(t *testing.T, ctx context.Context, dir string) {
	t.Helper()
	run(t, ctx, append([]string{"log", "verify"}, dirs(dir)...)...)
}

func run(t *testing.T, ctx context.Context, args ...string) string {
	t.Helper()
	bin, err := broker.Binary()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(ctx, bin, slices.Clip(args)...).CombinedOutput()
	if err != nil {
		t.Errorf("ottla %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
