package records

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

// lineBytesMax bounds one line of input: a broker's default message.max.bytes is 1 MiB.
const lineBytesMax = 64 << 20

type produceFlags struct {
	cli.ClientFlags
	key          string
	keyDelimiter string
	headers      []string
	partition    int32
	codec        string
	acks         string
	json         bool
	null         bool
	file         string
}

func newProduce(version string) *cobra.Command {
	flags := produceFlags{ClientFlags: cli.ClientFlags{Version: version}}
	cmd := &cobra.Command{
		Use:   "produce TOPIC",
		Short: "Publish records, one a line of standard input",
		Long: "Publish records, one a line of standard input. The topic is created by the broker if it allows that\n" +
			"(auto.create.topics.enable). A line is a value; with -K it is KEY DELIMITER VALUE; with --json it is an object\n" +
			`such as {"key":"k","value":"v","partition":0,"headers":[{"key":"a","value":"b"}]}, as consume -o json writes it.`,
		Args: cobra.ExactArgs(1),
		Example: "  echo hello | ottla produce greetings\n" +
			"  printf 'alice:1\\nbob:2\\n' | ottla produce scores -K : -z zstd -H source=cli",
		RunE: func(cmd *cobra.Command, args []string) error { return runProduce(cmd, args[0], &flags) },
	}
	flags.Register(cmd)
	cmd.Flags().StringVarP(&flags.key, "key", "k", "", "key of every record")
	cmd.Flags().StringVarP(&flags.keyDelimiter, "key-delimiter", "K", "", "what separates key and value in a line (\\t and such allowed)")
	cmd.Flags().StringArrayVarP(&flags.headers, "header", "H", nil, "header KEY=VALUE of every record; may be repeated")
	cmd.Flags().Int32VarP(&flags.partition, "partition", "p", -1, "partition; -1 lets the key decide as Kafka's clients do (murmur2)")
	cmd.Flags().StringVarP(&flags.codec, "compression", "z", "none", "none, gzip, snappy, lz4 or zstd")
	cmd.Flags().StringVar(&flags.acks, "acks", "all", "all (on disk on every in-sync replica, by Ottla's default), 1 or 0")
	cmd.Flags().BoolVar(&flags.json, "json", false, "lines are JSON objects")
	cmd.Flags().BoolVar(&flags.null, "null", false, "send one record with a null value (a tombstone) and read no input")
	cmd.Flags().StringVarP(&flags.file, "file", "f", "-", "read this file instead of standard input")
	return cmd
}

func (flags *produceFlags) options() ([]kgo.Opt, error) {
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	codec, ok := codecs[flags.codec]
	if !ok {
		return nil, fmt.Errorf("compression %q: want none, gzip, snappy, lz4 or zstd", flags.codec)
	}
	options := []kgo.Opt{kgo.AllowAutoTopicCreation(), kgo.ProducerBatchCompression(codec), kgo.RecordDeliveryTimeout(flags.Timeout), kgo.UnknownTopicRetries(10)}
	switch flags.acks {
	case "all", "-1":
		options = append(options, kgo.RequiredAcks(kgo.AllISRAcks()))
	case "1":
		options = append(options, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case "0":
		options = append(options, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	default:
		return nil, fmt.Errorf("acks %q: want all, 1 or 0", flags.acks)
	}
	return append(options, kgo.RecordPartitioner(keyOrGiven{kgo.StickyKeyPartitioner(nil)})), nil
}

// keyOrGiven sends a record to the partition that it names, and asks the key's partitioner for those that name none (-1).
type keyOrGiven struct{ byKey kgo.Partitioner }

func (p keyOrGiven) ForTopic(topic string) kgo.TopicPartitioner {
	return keyOrGivenTopic{p.byKey.ForTopic(topic)}
}

type keyOrGivenTopic struct{ kgo.TopicPartitioner }

func (p keyOrGivenTopic) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition >= 0 || p.TopicPartitioner.RequiresConsistency(r)
}

func (p keyOrGivenTopic) Partition(r *kgo.Record, count int) int {
	if r.Partition >= 0 {
		return int(r.Partition)
	}
	return p.TopicPartitioner.Partition(r, count)
}

func (p keyOrGivenTopic) OnNewBatch() {
	if sticky, ok := p.TopicPartitioner.(kgo.TopicPartitionerOnNewBatch); ok {
		sticky.OnNewBatch()
	}
}

func runProduce(cmd *cobra.Command, topic string, flags *produceFlags) error {
	options, err := flags.options()
	if err != nil {
		return err
	}
	parse, err := flags.parser()
	if err != nil {
		return err
	}
	input := cmd.InOrStdin()
	if flags.file != "-" {
		file, err := os.Open(flags.file)
		if err != nil {
			return fmt.Errorf("read records: %w", err)
		}
		defer file.Close()
		input = file
	}
	client, err := flags.Open(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	outcome := produced{perPartition: map[int32]int{}}
	send := func(record *kgo.Record) {
		record.Topic = topic
		client.Produce(cmd.Context(), record, outcome.note)
	}
	if flags.null {
		send(flags.record(nil))
	} else if err := eachLine(cmd.Context(), input, parse, send, &outcome); err != nil {
		return err
	}
	if err := client.Flush(cmd.Context()); err != nil {
		return fmt.Errorf("wait for acknowledgements: %w", err)
	}
	return outcome.report(cmd, topic, flags)
}

// record makes a record with the key and headers of the command line.
func (flags *produceFlags) record(value []byte) *kgo.Record {
	record := &kgo.Record{Value: value, Partition: flags.partition}
	if flags.key != "" {
		record.Key = []byte(flags.key)
	}
	for _, header := range flags.headers {
		key, value, _ := strings.Cut(header, "=")
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
	}
	return record
}

// parser turns one line into a record, by the flags.
func (flags *produceFlags) parser() (func(line []byte) (*kgo.Record, error), error) {
	for _, header := range flags.headers {
		if !strings.Contains(header, "=") {
			return nil, fmt.Errorf("header %q: want KEY=VALUE", header)
		}
	}
	if flags.json {
		return func(line []byte) (*kgo.Record, error) {
			record, err := parseJSONRecord(line)
			if err != nil {
				return nil, fmt.Errorf("not a JSON record: %w", err)
			}
			whole := flags.record(record.Value)
			whole.Headers = append(whole.Headers, record.Headers...)
			if record.Key != nil {
				whole.Key = record.Key
			}
			if record.Partition >= 0 {
				whole.Partition = record.Partition
			}
			return whole, nil
		}, nil
	}
	if flags.keyDelimiter == "" {
		return func(line []byte) (*kgo.Record, error) { return flags.record(bytes.Clone(line)), nil }, nil
	}
	unescaped, err := parseFormat(flags.keyDelimiter)
	if err != nil {
		return nil, err
	}
	var delimiter []byte
	for _, piece := range unescaped {
		delimiter = piece(delimiter, &kgo.Record{})
	}
	return func(line []byte) (*kgo.Record, error) {
		key, value, ok := bytes.Cut(bytes.Clone(line), delimiter)
		if !ok {
			return nil, fmt.Errorf("no key delimiter %q in it", flags.keyDelimiter)
		}
		record := flags.record(value)
		record.Key = key
		return record, nil
	}, nil
}

func eachLine(ctx context.Context, input io.Reader, parse func([]byte) (*kgo.Record, error), send func(*kgo.Record), outcome *produced) error {
	lines := bufio.NewScanner(input)
	lines.Buffer(make([]byte, 64<<10), lineBytesMax)
	for number := 1; lines.Scan(); number++ {
		record, err := parse(lines.Bytes())
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		send(record)
		if ctx.Err() != nil || outcome.failed() {
			break
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	return nil
}

// produced counts acknowledgements; franz-go calls note from its own goroutines.
type produced struct {
	mu           sync.Mutex
	count        int
	perPartition map[int32]int
	first        error // the first failure
	lost         int
}

func (p *produced) note(record *kgo.Record, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.lost++
		if p.first == nil {
			p.first = err
		}
		return
	}
	p.count++
	p.perPartition[record.Partition]++
}

func (p *produced) failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first != nil
}

func (p *produced) report(cmd *cobra.Command, topic string, flags *produceFlags) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if flags.Output == cli.OutputJSON {
		if err := cli.PrintJSON(cmd.OutOrStdout(), map[string]any{"topic": topic, "acknowledged": p.count, "failed": p.lost, "perPartition": p.perPartition}); err != nil {
			return err
		}
	}
	if p.first != nil {
		return flags.Explain(fmt.Sprintf("produce to %s (%d acknowledged, %d not)", topic, p.count, p.lost), p.first)
	}
	if flags.Output == cli.OutputText {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s acknowledged\n", cli.Counted(p.count, "record"))
	}
	return nil
}
