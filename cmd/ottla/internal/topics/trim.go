package topics

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

type trimFlags struct {
	cli.ClientFlags
	partitions []int32
	before     string
	yes        bool
}

func newTopicTrim(version string) *cobra.Command {
	flags := trimFlags{ClientFlags: cli.ClientFlags{Version: version}}
	cmd := &cobra.Command{
		Use:     "trim TOPIC... --before OFFSET|TIME|end",
		Aliases: []string{"delete-records"},
		Short:   "Delete the oldest records of topics, after a look at what that deletes",
		Long: "Delete the records of all partitions, or of those named, that lie before an offset or were written before a time.\n" +
			"Without --yes nothing is changed: you see what would be deleted. What is deleted cannot be brought back. Consumers that have\n" +
			"not read it yet go on at the first record that is left. An offset past a partition's end deletes all of it.",
		Args: cobra.MinimumNArgs(1),
		Example: "  ottla topic trim flights --before 2026-03-01T00:00:00Z\n" +
			"  ottla topic trim flights --partition 3 --before 1 --yes\n" +
			"  ottla topic trim flights orders --before end --yes",
		RunE: func(cmd *cobra.Command, names []string) error {
			return flags.WithAdmin(cmd.Context(), func(ctx context.Context, admin *kadm.Client) error {
				return runTrim(ctx, cmd, admin, names, &flags)
			})
		},
	}
	flags.Register(cmd)
	cmd.Flags().Int32SliceVar(&flags.partitions, "partition", nil, "partition to delete from; may be repeated; all if absent")
	cmd.Flags().StringVar(&flags.before, "before", "", "first offset that stays, or an RFC 3339 time, or end: all that consumers can see")
	cli.RegisterYes(cmd, &flags.yes, cli.DoIt)
	if err := cmd.MarkFlagRequired("before"); err != nil {
		panic(err) // the flag is registered above
	}
	return cmd
}

// trimmed is what a trim does to one partition.
type trimmed struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Start     int64  `json:"startOffset"`    // the first record that there is now
	To        int64  `json:"newStartOffset"` // the first that stays
	End       int64  `json:"endOffset"`
	Deleted   int64  `json:"deleted"` // by offsets: where a topic is compacted there are fewer
}

type trimReport struct {
	Done       bool      `json:"done"`
	Partitions []trimmed `json:"partitions"`
}

func runTrim(ctx context.Context, cmd *cobra.Command, admin *kadm.Client, names []string, flags *trimFlags) error {
	plan, err := flags.plan(ctx, admin, names)
	if err != nil {
		return err
	}
	var failed error
	if flags.yes {
		plan, failed = flags.trim(ctx, admin, plan)
	}
	err = flags.Output.Show(cmd, trimReport{flags.yes, plan}, func(out io.Writer) error {
		rows := [][]string{{"TOPIC", "PARTITION", "START", "NEW START", "END", ""}}
		for _, t := range plan {
			rows = append(rows, []string{t.Topic, fmt.Sprint(t.Partition), fmt.Sprint(t.Start), fmt.Sprint(t.To), fmt.Sprint(t.End), t.effect(flags.yes)})
		}
		return cli.PrintPlan(out, rows, flags.yes, "nothing was changed")
	})
	return errors.Join(err, failed)
}

func (t *trimmed) effect(done bool) string {
	switch {
	case t.Deleted == 0:
		return "stays"
	case done:
		return cli.Counted(int(t.Deleted), "record") + " deleted"
	}
	return "deletes " + cli.Counted(int(t.Deleted), "record")
}

// plan finds what would go.
func (f *trimFlags) plan(ctx context.Context, admin *kadm.Client, names []string) ([]trimmed, error) {
	offset, at, err := f.parseBefore()
	if err != nil {
		return nil, err
	}
	var starts, ends, times kadm.ListedOffsets
	if starts, err = admin.ListStartOffsets(ctx, names...); err == nil {
		ends, err = admin.ListEndOffsets(ctx, names...)
	}
	if err == nil && !at.IsZero() {
		times, err = admin.ListOffsetsAfterMilli(ctx, at.UnixMilli(), names...)
	}
	if err != nil {
		return nil, f.Explain("read the topics' offsets", err)
	}
	var plan []trimmed
	for _, name := range names {
		for _, wanted := range f.partitions {
			if _, ok := starts.Lookup(name, wanted); !ok {
				return nil, fmt.Errorf("trim topic %s: it has no partition %d", name, wanted)
			}
		}
		for partition, start := range starts[name] {
			if len(f.partitions) > 0 && !slices.Contains(f.partitions, partition) {
				continue
			}
			end, _ := ends.Lookup(name, partition)
			when, _ := times.Lookup(name, partition)
			if err := cmp.Or(start.Err, end.Err, when.Err); err != nil {
				return nil, cli.TopicRefused("trim", name, err, "")
			}
			t := trimmed{Topic: name, Partition: partition, Start: start.Offset, To: offset, End: end.Offset}
			switch {
			case !at.IsZero():
				t.To = when.Offset
			case f.before == "end":
				t.To = end.Offset
			}
			t.To = min(max(t.To, t.Start), t.End)
			t.Deleted = t.To - t.Start
			plan = append(plan, t)
		}
	}
	slices.SortFunc(plan, func(a, b trimmed) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return plan, nil
}

// parseBefore is the offset or the time that --before names; neither if it is end.
func (f *trimFlags) parseBefore() (offset int64, at time.Time, err error) {
	if f.before == "end" {
		return 0, at, nil
	}
	if offset, err = strconv.ParseInt(f.before, 10, 64); err == nil {
		if offset < 0 {
			return 0, at, fmt.Errorf("--before %s: an offset is 0 or more", f.before)
		}
		return offset, at, nil
	}
	if at, err = time.Parse(time.RFC3339, f.before); err != nil {
		return 0, at, fmt.Errorf("--before %s: want an offset, a time such as 2026-03-01T00:00:00Z, or end", f.before)
	}
	return 0, at, nil
}

// trim does it, and tells where partitions begin afterwards, of those where it worked.
func (f *trimFlags) trim(ctx context.Context, admin *kadm.Client, plan []trimmed) ([]trimmed, error) {
	admin.SetTimeoutMillis(int32(f.Timeout / time.Millisecond))
	offsets := make(kadm.Offsets)
	for _, t := range plan {
		if t.Deleted > 0 {
			offsets.AddOffset(t.Topic, t.Partition, t.To, -1)
		}
	}
	if len(offsets) == 0 {
		return plan, nil
	}
	answers, err := admin.DeleteRecords(ctx, offsets)
	if err != nil {
		return nil, f.Explain("trim", err)
	}
	var done []trimmed
	var failed []error
	for _, t := range plan {
		if t.Deleted == 0 {
			done = append(done, t)
			continue
		}
		answer, ok := answers.Lookup(t.Topic, t.Partition)
		if !ok || answer.Err != nil {
			failed = append(failed, cli.TopicRefused(fmt.Sprintf("trim partition %d of", t.Partition), t.Topic, answer.Err, ""))
			continue
		}
		t.To = answer.LowWatermark
		t.Deleted = max(0, t.To-t.Start)
		done = append(done, t)
	}
	return done, errors.Join(failed...)
}
