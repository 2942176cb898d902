package records

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
	"github.com/ottla-io/ottla/internal/bench"
)

// benchFlags say what is measured; every measurement is bounded by count or duration.
type benchFlags struct {
	cli.ClientFlags
	kind       string // produce, consume or e2e
	topic      string // "": one of its own, which is removed
	partitions int32
	replicas   int16
	settings   []string
	count      int64
	duration   time.Duration
	sizeBytes  int
	producers  int
	consumers  int
	rate       float64 // records/s of all producers together; 0: as fast as it goes
	acks       string
	codec      string
	linger     time.Duration
}

// benchResult is a measurement as it is printed.
type benchResult struct {
	Bench            string        `json:"bench"`
	Topic            string        `json:"topic"`
	Partitions       int           `json:"partitions"`
	Producers        int           `json:"producers,omitempty"`
	Consumers        int           `json:"consumers,omitempty"`
	RecordBytes      int           `json:"recordBytes,omitempty"`
	Acks             string        `json:"acks,omitempty"`
	Compression      string        `json:"compression,omitempty"`
	Rate             float64       `json:"askedRecordsPerSecond,omitempty"`
	Records          int64         `json:"records"`
	Failed           int64         `json:"failed"`
	Seconds          float64       `json:"seconds"`
	RecordsPerSecond float64       `json:"recordsPerSecond"`
	BytesPerSecond   float64       `json:"bytesPerSecond"`
	LatencyOf        string        `json:"latencyOf"`
	Latency          bench.Latency `json:"latency"`
	Client           bench.Client  `json:"client"`
}

func newBench(version string) *cobra.Command {
	cmd := cli.Parent("bench", "Measure how fast a broker takes, gives and passes on records")
	cmd.Long = "Measure how fast a broker takes (produce), gives (consume) and passes on (e2e) records: throughput and percentiles of\n" +
		"latency. It works against any Kafka broker. The topic is made for the measurement and deleted after it, unless --topic names\n" +
		"one. Where the figures say more about this client than about the broker, the last line says so.\n\n" +
		"Values are slices of generated JSON, which compresses to about a half."
	cmd.AddCommand(
		newBenchOf(version, "produce", "Measure producing: records acknowledged a second, and how long an ack takes",
			"Measure producing. Latency is from the moment at which a record was to leave until its ack. With --rate, that moment is\n"+
				"the record's place in an even pace, however late the client was: a broker that stalls is seen to stall. Without --rate,\n"+
				"producers hand over as fast as they are let, and latency is mostly the time in their own full buffers.",
			"  ottla bench produce --duration 2s --size 100 --partitions 6\n  ottla bench produce --rate 1000 --duration 2s --acks 1 -o json"),
		newBenchOf(version, "consume", "Measure reading: records read a second, and how long a poll waits",
			"Measure reading from the start of a topic: --topic as it is, or a new one that is filled first with --count records (256 MiB\n"+
				"of them by default), which is not measured. Latency is how long a poll waited for its records.",
			"  ottla bench consume --count 100000 --consumers 2 --partitions 4"),
		newBenchOf(version, "e2e", "Measure the way from producer to consumer",
			"Measure the way of records from a producer to a consumer, both in this process, so that one clock tells the time. Latency is\n"+
				"from the moment at which a record was to leave until a consumer has it.",
			"  ottla bench e2e --rate 500 --duration 2s"),
	)
	return cmd
}

func newBenchOf(version string, kind, short, long, example string) *cobra.Command {
	flags := benchFlags{ClientFlags: cli.ClientFlags{Version: version}, kind: kind}
	cmd := &cobra.Command{Use: kind, Short: short, Long: long, Example: example, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBench(cmd, &flags) }}
	flags.Register(cmd)
	set := cmd.Flags()
	set.StringVar(&flags.topic, "topic", "", "an existing topic to use, which is kept; by default one is made and deleted")
	set.Int32VarP(&flags.partitions, "partitions", "p", 1, "partitions of the topic that is made")
	set.Int16VarP(&flags.replicas, "replication-factor", "r", -1, "copies of each partition of the topic that is made; -1 is the broker's default")
	set.StringArrayVarP(&flags.settings, "config", "c", nil, "setting KEY=VALUE of the topic that is made; may be repeated")
	set.Int64VarP(&flags.count, "count", "n", 0, "end after this many records; 0: no bound")
	set.DurationVar(&flags.duration, "duration", 10*time.Second, "end after this long; 0: no bound")
	set.IntVar(&flags.sizeBytes, "size", 1024, "bytes of a record's value")
	set.IntVar(&flags.producers, "producers", 1, "producing clients")
	set.StringVar(&flags.acks, "acks", "all", "all, 1 or 0")
	set.StringVarP(&flags.codec, "compression", "z", "none", "none, gzip, snappy, lz4 or zstd")
	set.DurationVar(&flags.linger, "linger", 0, "how long a producer waits to fill a batch")
	if kind != "produce" {
		set.IntVar(&flags.consumers, "consumers", 1, "reading clients, which share the partitions")
	}
	if kind != "consume" {
		rate := map[string]float64{"produce": 0, "e2e": 1000}[kind]
		set.Float64Var(&flags.rate, "rate", rate, "records a second of all producers together, evenly paced; 0: as fast as it goes")
	}
	return cmd
}

// benchValueMax bounds --size: more would be refused by any broker that is not set up for it, and buffered by us.
const benchValueMax = 64 << 20

func (f *benchFlags) check() error {
	switch {
	case f.sizeBytes < benchHeaderBytes || f.sizeBytes > benchValueMax:
		return fmt.Errorf("--size %d: want %d to %d bytes", f.sizeBytes, benchHeaderBytes, benchValueMax)
	case f.producers < 1 || f.producers > 1000:
		return fmt.Errorf("--producers %d: want 1 to 1000", f.producers)
	case f.kind != "produce" && (f.consumers < 1 || f.consumers > 1000):
		return fmt.Errorf("--consumers %d: want 1 to 1000", f.consumers)
	case f.partitions < 1:
		return fmt.Errorf("--partitions %d: want 1 or more", f.partitions)
	case f.rate < 0 || f.rate > 1e9:
		return fmt.Errorf("--rate %g: want 0 to 1e9 records a second", f.rate)
	case f.count < 0 || f.duration < 0:
		return errors.New("--count and --duration must not be negative")
	case f.count == 0 && f.duration == 0:
		return errors.New("without bounds it would never end: give --count, --duration or both")
	}
	return nil
}

func runBench(cmd *cobra.Command, flags *benchFlags) (err error) {
	if err := flags.check(); err != nil {
		return err
	}
	settings, err := cli.ParseSettings(flags.settings)
	if err != nil {
		return err
	}
	client, err := flags.Open()
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	topic, ours := flags.topic, flags.topic == ""
	if ours {
		topic = fmt.Sprintf("ottla-bench-%08x", rand.Uint32())
		if _, err := admin.CreateTopic(cmd.Context(), flags.partitions, flags.replicas, settings, topic); err != nil {
			return flags.Explain("make topic "+topic, err)
		}
		defer func() {
			// Also after Ctrl-C, which has ended the command's context.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), flags.Timeout)
			defer cancel()
			if failed := removeTopic(ctx, admin, topic); failed != nil {
				err = errors.Join(err, flags.Explain("delete the benchmark's topic "+topic, failed))
			}
		}()
	}
	run := &benchRun{flags: flags, admin: admin, topic: topic, fill: ours}
	result, err := run.measure(cmd.Context())
	if err != nil {
		return err
	}
	return flags.Output.Show(cmd, result, result.print)
}

// disposable are settings of Ottla, which no other broker knows, of a topic that nobody will want back.
var disposable = map[string]string{"ottla.topic.trash.ms": "0", "ottla.topic.deletion.protection": "false"}

// removeTopic deletes a topic for good.
func removeTopic(ctx context.Context, admin *kadm.Client, topic string) error {
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return err
	}
	config, err := configs.On(topic, nil)
	if err != nil {
		return err
	}
	var alter []kadm.AlterConfig
	for _, setting := range config.Configs {
		if value, ours := disposable[setting.Key]; ours && setting.MaybeValue() != value {
			alter = append(alter, kadm.AlterConfig{Op: kadm.SetConfig, Name: setting.Key, Value: &value})
		}
	}
	if len(alter) > 0 {
		altered, err := admin.AlterTopicConfigs(ctx, alter, topic)
		if err == nil {
			_, err = altered.On(topic, func(r *kadm.AlterConfigsResponse) error { return r.Err })
		}
		if err != nil {
			return err
		}
	}
	_, err = admin.DeleteTopic(ctx, topic)
	return err
}

func (r *benchResult) print(out io.Writer) error {
	setup := []string{cli.Counted(r.Partitions, "partition")}
	if r.Producers > 0 {
		pace := "as fast as it goes"
		if r.Rate > 0 {
			pace = fmt.Sprintf("%g records/s", r.Rate)
		}
		setup = append(setup, cli.Counted(r.Producers, "producer"), fmt.Sprintf("%d B records", r.RecordBytes), "acks "+r.Acks, "compression "+r.Compression, pace)
	}
	if r.Consumers > 0 {
		setup = append(setup, cli.Counted(r.Consumers, "consumer"))
	}
	fmt.Fprintf(out, "%s %s: %s\n", r.Bench, r.Topic, strings.Join(setup, ", "))
	fmt.Fprintf(out, "  records     %d in %.2f s\n", r.Records, r.Seconds)
	fmt.Fprintf(out, "  throughput  %.0f records/s, %.2f MB/s\n", r.RecordsPerSecond, r.BytesPerSecond/1e6)
	fmt.Fprintf(out, "  latency     p50 %s  p95 %s  p99 %s  p99.9 %s  max %s: %s\n", ms(r.Latency.P50), ms(r.Latency.P95), ms(r.Latency.P99), ms(r.Latency.P999), ms(r.Latency.Max), r.LatencyOf)
	_, err := fmt.Fprintf(out, "  client      %.2f of %d cores\n", r.Client.Cores, r.Client.MayUse)
	if r.Client.Limit != "" {
		_, err = fmt.Fprintf(out, "  limited     %s\n", r.Client.Limit)
	}
	return err
}

// ms writes milliseconds with three digits or so.
func ms(ms float64) string {
	switch {
	case ms < 1:
		return fmt.Sprintf("%.0f µs", 1000*ms)
	case ms < 100:
		return fmt.Sprintf("%.2f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

// options are those of a producer.
func (f *benchFlags) options() ([]kgo.Opt, error) {
	produce := produceFlags{ClientFlags: f.ClientFlags, acks: f.acks, codec: f.codec}
	options, err := produce.options()
	if err != nil {
		return nil, err
	}
	batch := max(1_000_012, f.sizeBytes+1024)
	return append(options, kgo.ProducerLinger(f.linger), kgo.ProducerBatchMaxBytes(int32(batch)), kgo.BrokerMaxWriteBytes(int32(max(100<<20, batch+1024)))), nil
}
