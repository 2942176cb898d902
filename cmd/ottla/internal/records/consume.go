package records

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

type consumeFlags struct {
	cli.ClientFlags
	partitions []int32
	from       string
	until      string
	count      int64
	follow     bool
	format     string
	group      string

	stderr io.Writer
	told   time.Time // when it was last said that the broker is away
}

func newConsume(version string) *cobra.Command {
	flags := consumeFlags{ClientFlags: cli.ClientFlags{Version: version}}
	cmd := &cobra.Command{
		Use:   "consume TOPIC",
		Short: "Read records by partition and offset, or as a member of a group",
		Long: "Read records by partition and offset, up to where the topic ends now; --follow goes on.\n\n" +
			"With --group, read as a member of a consumer group: what other members don't read, from where the group has committed, or\n" +
			"where it has not, from --from (earliest or latest). What was printed is committed.\n\n" +
			"--from and --until take: earliest, latest, an offset, -N (N before the end), or @TIME, where TIME is milliseconds since\n" +
			"1970, an RFC 3339 time, or a duration ago such as @-1h. --until is exclusive.\n\n" +
			"Format escapes as kcat's: %s value, %S its length, %k key, %K its length, %t topic, %p partition, %o offset,\n" +
			"%T timestamp in ms, %h headers, %R value length as 4 bytes, %% and \\n \\r \\t \\0 \\\\ \\xNN.",
		Args: cobra.ExactArgs(1),
		Example: "  ottla consume greetings\n" +
			"  ottla consume scores -p 0 --from -10 --format '%o %k=%s\\n'\n" +
			"  ottla consume flights --from @-1h --follow -o json\n" +
			"  ottla consume orders --group billing --follow",
		RunE: func(cmd *cobra.Command, args []string) error { return runConsume(cmd, args[0], &flags) },
	}
	flags.Register(cmd)
	cmd.Flags().Int32SliceVarP(&flags.partitions, "partition", "p", nil, "partitions to read; all if none is given")
	cmd.Flags().StringVar(&flags.from, "from", "earliest", "where to start")
	cmd.Flags().StringVar(&flags.until, "until", "latest", "where to stop")
	cmd.Flags().Int64VarP(&flags.count, "count", "n", 0, "stop after this many records; 0 is no limit")
	cmd.Flags().BoolVar(&flags.follow, "follow", false, "wait for new records instead of stopping at the end, and for a broker that is away")
	cmd.Flags().StringVarP(&flags.group, "group", "g", "", "read as a member of this group, and commit what was printed")
	cmd.Flags().StringVarP(&flags.format, "format", "f", `%s\n`, "how to print a record")
	return cmd
}

// span is what to read of one partition: from ≤ offset < until; until < 0 means without end.
type span struct{ from, until int64 }

func runConsume(cmd *cobra.Command, topic string, flags *consumeFlags) error {
	flags.stderr = cmd.ErrOrStderr()
	format, err := parseFormat(flags.format)
	if err != nil {
		return err
	}
	if flags.Output == cli.OutputJSON {
		format = recordFormat{formatJSON}
	}
	from, err := cli.ParsePosition(flags.from, time.Now())
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	until, err := cli.ParsePosition(flags.until, time.Now())
	if err != nil {
		return fmt.Errorf("--until: %w", err)
	}
	if flags.follow && until.Kind != cli.AtEnd {
		return errors.New("--follow has no end: leave --until out")
	}
	if flags.group != "" {
		return runConsumeGroup(cmd, topic, flags, format, from, until)
	}
	spans, err := flags.spans(cmd.Context(), topic, from, until)
	if err != nil {
		return err
	}
	assignment := map[int32]kgo.Offset{}
	for partition, s := range spans {
		if flags.follow || s.from < s.until {
			assignment[partition] = kgo.NewOffset().At(s.from)
		}
	}
	if len(assignment) == 0 {
		return nil
	}
	client, err := flags.Open(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: assignment}),
		kgo.FetchMaxWait(500*time.Millisecond), kgo.KeepControlRecords())
	if err != nil {
		return err
	}
	defer client.Close()
	out := bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10)
	printer := printer{flags: flags, format: format, out: out, spans: spans, open: len(assignment)}
	err = printer.run(cmd.Context(), client)
	return errors.Join(err, out.Flush())
}

// spans resolves the two positions to offsets, with one lookup each for all partitions.
func (flags *consumeFlags) spans(ctx context.Context, topic string, from, until cli.Position) (map[int32]span, error) {
	spans := map[int32]span{}
	err := flags.WithAdmin(ctx, func(ctx context.Context, admin *kadm.Client) error {
		starts, err := admin.ListStartOffsets(ctx, topic)
		if err == nil {
			err = starts.Error()
		}
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("topic %s does not exist; 'ottla topic list' shows those that do", topic)
		}
		if err != nil {
			return flags.Explain("find where "+topic+" starts", err)
		}
		ends, err := admin.ListEndOffsets(ctx, topic)
		if err != nil {
			return flags.Explain("find where "+topic+" ends", err)
		}
		resolve := func(p cli.Position) (func(partition int32) int64, error) {
			var atTimes kadm.ListedOffsets
			if p.Kind == cli.AtTime {
				var err error
				if atTimes, err = admin.ListOffsetsAfterMilli(ctx, p.Offset, topic); err != nil {
					return nil, flags.Explain("look up the time", err)
				}
			}
			return func(partition int32) int64 {
				start, _ := starts.Lookup(topic, partition)
				end, _ := ends.Lookup(topic, partition)
				switch p.Kind {
				case cli.AtStart:
					return start.Offset
				case cli.AtOffset:
					return p.Offset
				case cli.BeforeEnd:
					return max(start.Offset, end.Offset-p.Offset)
				case cli.AtTime:
					at, _ := atTimes.Lookup(topic, partition)
					return at.Offset
				}
				return end.Offset
			}, nil
		}
		first, err := resolve(from)
		if err != nil {
			return err
		}
		last, err := resolve(until)
		if err != nil {
			return err
		}
		for _, start := range starts.Offsets().Sorted() {
			end, _ := ends.Lookup(topic, start.Partition)
			if len(flags.partitions) == 0 || slices.Contains(flags.partitions, start.Partition) {
				spans[start.Partition] = span{max(first(start.Partition), start.At), min(last(start.Partition), end.Offset)}
			}
		}
		for _, partition := range flags.partitions {
			if _, ok := spans[partition]; !ok {
				return fmt.Errorf("topic %s has no partition %d; it has %d", topic, partition, len(starts[topic]))
			}
		}
		return nil
	})
	return spans, err
}

// outlives tells that reading goes on after an error, as --follow means to: a broker that is away or starts again is waited for. It says so once a
// minute at most.
func (flags *consumeFlags) outlives(err error) bool {
	var network net.Error
	if !flags.follow || !(errors.As(err, &network) || kerr.IsRetriable(err) || errors.Is(err, io.EOF)) {
		return false
	}
	if now := time.Now(); now.Sub(flags.told) > time.Minute {
		flags.told = now
		fmt.Fprintf(flags.stderr, "ottla: %v; reading goes on when it is back (Ctrl-C ends)\n", err)
	}
	return true
}

// printer reads until every partition reached its end, or the count is full.
type printer struct {
	flags   *consumeFlags
	format  recordFormat
	out     *bufio.Writer
	spans   map[int32]span
	open    int // partitions that have not reached their end
	printed int64
	line    []byte
}

func (p *printer) run(ctx context.Context, client *kgo.Client) error {
	done := map[int32]bool{}
	for p.open > 0 || p.flags.follow {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		var failed error
		fetches.EachError(func(topic string, partition int32, err error) {
			if failed == nil {
				failed = p.flags.Explain(fmt.Sprintf("read %s-%d", topic, partition), err)
			}
		})
		if failed != nil && !p.flags.outlives(failed) {
			return failed
		}
		for records := fetches.RecordIter(); !records.Done(); {
			record := records.Next()
			end := p.spans[record.Partition].until
			if record.Offset < end || p.flags.follow {
				if full, err := p.print(record); full || err != nil {
					return err
				}
			}
			// Compaction and control records leave gaps: the end is reached by the first offset at or past the last wanted.
			if record.Offset+1 >= end && !p.flags.follow && !done[record.Partition] {
				done[record.Partition] = true
				p.open--
				client.PauseFetchPartitions(map[string][]int32{record.Topic: {record.Partition}})
			}
		}
		if err := p.out.Flush(); err != nil {
			return fmt.Errorf("print records: %w", err)
		}
	}
	return nil
}

// print writes one record and reports whether the count is full. Control records are read only to find the end.
func (p *printer) print(record *kgo.Record) (full bool, err error) {
	if record.Attrs.IsControl() {
		return false, nil
	}
	p.line = p.line[:0]
	for _, piece := range p.format {
		p.line = piece(p.line, record)
	}
	if _, err := p.out.Write(p.line); err != nil {
		return false, fmt.Errorf("print records: %w", err)
	}
	p.printed++
	return p.flags.count > 0 && p.printed >= p.flags.count, nil
}
