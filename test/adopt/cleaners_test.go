package adopt

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla/test/broker"
)

// TestBothCleanersKeepTheSame: Kafka's log cleaner and ours get copies of one directory, with transactions, aborted ones too, tombstones, idempotent producers and
// all codecs, and leave the same: the same segments, of the same batches with the same headers, of the same records. Then both get the same records on
// top, and compact once more, with tombstones and markers that may go. Only where bytes lie and the times of delete horizons differ.
func TestBothCleanersKeepTheSame(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	origin, began := t.TempDir(), time.Now().Add(-time.Minute) // a producer that was idle for longer than a day would be forgotten
	config := func(kind broker.Kind, dir string, enable bool) broker.Config {
		settings := map[string]string{"log.dirs": filepath.Join(dir, "log"), "log.cleaner.backoff.ms": "50", "log.cleaner.enable": strconv.FormatBool(enable)}
		if kind == broker.Kafka {
			settings["transaction.state.log.num.partitions"], settings["offsets.topic.num.partitions"] = "1", "1"
		}
		return broker.Config{Kind: kind, Dir: dir, Settings: settings}
	}
	b := start(t, config(broker.Kafka, origin, false))
	admin := kadm.NewClient(client(t, b.Addr()))
	topics := map[string]map[string]*string{"kept": {}, "soon": {"delete.retention.ms": kadm.StringPtr("1")}}
	for name, configs := range topics {
		configs["cleanup.policy"], configs["internal.segment.bytes"] = kadm.StringPtr("compact"), kadm.StringPtr("10000")
		configs["min.cleanable.dirty.ratio"] = kadm.StringPtr("0.001")
		if _, err := admin.CreateTopic(ctx, 1, 1, configs, name); err != nil {
			t.Fatal(err)
		}
		fillForCleaners(t, ctx, random, b.Addr(), name, began)
	}
	stop(t, b)

	dirs := map[broker.Kind]string{broker.Kafka: t.TempDir(), broker.Ottla: t.TempDir()}
	for _, dir := range dirs {
		if err := os.CopyFS(dir, os.DirFS(origin)); err != nil {
			t.Fatal(err)
		}
	}
	more := random.Uint64()
	for round := range 2 {
		for kind, dir := range dirs {
			if round > 0 { // while nobody compacts, so that both do it once
				b := start(t, config(kind, dir, false))
				for name := range topics {
					addForCleaners(t, ctx, rand.New(rand.NewPCG(more, 1)), b.Addr(), name, began)
				}
				stop(t, b)
			}
			b := start(t, config(kind, dir, true))
			for name := range topics {
				awaitCleaner(t, ctx, kind, dir, name)
			}
			stop(t, b)
		}
		for name := range topics {
			want, have := dumpCleaned(t, ctx, dirs[broker.Kafka], name), dumpCleaned(t, ctx, dirs[broker.Ottla], name)
			if diff := cmp.Diff(want, have); diff != "" {
				t.Errorf("round %d, topic %q (-what Kafka's cleaner left +what ours did):\n%.6000s", round, name, diff)
			}
			before := dumpCleaned(t, ctx, origin, name)
			lines := func(dump map[string][]string) (n int) {
				for _, l := range dump {
					n += len(l)
				}
				return n
			}
			t.Logf("round %d, topic %q: %d of %d lines in %d segments", round, name, lines(want), lines(before), len(want))
			if round == 0 && lines(want) > lines(before)*2/3 {
				t.Errorf("topic %q was hardly compacted: %d of %d lines are left", name, lines(want), lines(before))
			}
		}
		dumpsAgree(t, ctx, filepath.Join(dirs[broker.Ottla], "log"))
	}
}

var codecs = []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}

// someRecords makes what becomes one batch.
func someRecords(random *rand.Rand, topic string, began time.Time, at int) (records []*kgo.Record) {
	for i := range 1 + random.IntN(5) {
		r := &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "key %d", random.IntN(40)), Timestamp: began.Add(time.Duration(at*10+i) * time.Millisecond)}
		if random.IntN(5) > 0 {
			r.Value = fmt.Appendf(nil, "value %d %s", at, strings.Repeat("v", random.IntN(150)))
		}
		if random.IntN(4) == 0 {
			r.Headers = []kgo.RecordHeader{{Key: "h", Value: r.Value}}
		}
		records = append(records, r)
	}
	return records
}

// fillForCleaners writes with several producers: transactional ones, which commit and abort, idempotent and plain ones.
func fillForCleaners(t *testing.T, ctx context.Context, random *rand.Rand, addr, topic string, began time.Time) {
	t.Helper()
	var clients []*kgo.Client
	for i := range 6 {
		options := []kgo.Opt{kgo.ProducerBatchCompression(codecs[i%len(codecs)])}
		switch {
		case i < 3:
			options = append(options, kgo.TransactionalID(fmt.Sprintf("%s-%d", topic, i)))
		case i == 5:
			options = append(options, kgo.DisableIdempotentWrite())
		}
		clients = append(clients, client(t, addr, options...))
	}
	for at := range 150 {
		n := random.IntN(len(clients))
		if n >= 3 {
			if err := clients[n].ProduceSync(ctx, someRecords(random, topic, began, at)...).FirstErr(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := clients[n].BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for range 1 + random.IntN(3) {
			if err := clients[n].ProduceSync(ctx, someRecords(random, topic, began, at)...).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := clients[n].EndTransaction(ctx, kgo.TransactionEndTry(random.IntN(2) == 0)); err != nil {
			t.Fatal(err)
		}
	}
}

// addForCleaners writes the same bytes to whoever gets them.
func addForCleaners(t *testing.T, ctx context.Context, random *rand.Rand, addr, topic string, began time.Time) {
	t.Helper()
	producer := client(t, addr, kgo.DisableIdempotentWrite(), kgo.ProducerBatchCompression(kgo.NoCompression()))
	for at := range 100 {
		if err := producer.ProduceSync(ctx, someRecords(random, topic, began, 1000+at)...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitCleaner waits until all segments but the last are compacted, as cleaner-offset-checkpoint says.
func awaitCleaner(t *testing.T, ctx context.Context, kind broker.Kind, dir, topic string) {
	t.Helper()
	for {
		files, err := filepath.Glob(filepath.Join(dir, "log", topic+"-0", "*.log"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no segments of %s: %v", topic, err)
		}
		slices.Sort(files)
		base, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(files[len(files)-1]), ".log"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		checkpoint, _ := os.ReadFile(filepath.Join(dir, "log", "cleaner-offset-checkpoint"))
		if strings.Contains(string(checkpoint), fmt.Sprintf("%s 0 %d\n", topic, base)) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s does not compact %s up to %d; its checkpoint is %q", kind, topic, base, checkpoint)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// What may differ: where a batch lies, when its tombstones may go, and who was the leader in the second round.
var differs = []*regexp.Regexp{regexp.MustCompile(` (position|size|crc|partitionLeaderEpoch): -?\d+`), regexp.MustCompile(`OptionalLong\[\d+\]()`)}

// dumpCleaned is what kafka-dump-log says of a topic, by segment.
func dumpCleaned(t *testing.T, ctx context.Context, dir, topic string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "log", topic+"-0", "*.log"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no segments of %s: %v", topic, err)
	}
	all := make(map[string][]string)
	for name, lines := range dumpKafka(t, ctx, "", files) {
		for i := range lines {
			lines[i] = differs[0].ReplaceAllString(lines[i], "")
			lines[i] = differs[1].ReplaceAllString(lines[i], "OptionalLong[some]")
		}
		all[filepath.Base(name)] = lines
	}
	return all
}
