package groups

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

type undoFlags struct {
	resetFlags
	back int
	list bool
}

func newGroupUndo(version string) *cobra.Command {
	flags := undoFlags{resetFlags: resetFlags{groupFlags: groupFlags{cli.ClientFlags{Version: version}}}}
	cmd := &cobra.Command{
		Use:   "undo GROUP",
		Short: "Take back a reset of a group's offsets, after a look at what that skips or replays",
		Long: "Take back the last reset of a group's offsets, or the last few, so that it goes on reading where it was before. Without --yes nothing is\n" +
			"changed. The broker remembers the last ten resets of each partition: those by 'ottla group reset', by Kafka's tools, and by whoever moves a\n" +
			"group without members back. Undoing is a reset, too: once more, and it is undone.",
		Args:    cobra.ExactArgs(1),
		Example: "  ottla group undo billing\n  ottla group undo billing --list\n  ottla group undo billing --back 1 --yes",
		RunE: func(cmd *cobra.Command, names []string) error {
			return flags.WithClient(cmd.Context(), func(ctx context.Context, client *kgo.Client) error {
				return runUndo(ctx, cmd, client, names[0], &flags)
			})
		},
	}
	flags.Register(cmd)
	cmd.Flags().IntVar(&flags.back, "back", 1, "how many resets to take back")
	cmd.Flags().BoolVar(&flags.list, "list", false, "only list the resets that are remembered, the last one first")
	cli.RegisterYes(cmd, &flags.yes, cli.DoIt)
	return cmd
}

// undoReport is the JSON of group undo.
type undoReport struct {
	Group string    `json:"group"`
	Done  bool      `json:"done"`
	Reset time.Time `json:"reset"` // the earliest that is taken back
	Moves []move    `json:"moves"`
}

// rememberedReset is a line of group undo --list.
type rememberedReset struct {
	Back       int       `json:"back"`
	Reset      time.Time `json:"reset"`
	Partitions int       `json:"partitions"`
}

// journaled is a partition with the resets that are remembered of it.
type journaled struct {
	move
	replaced []replacedOffset // the last one first
}

// replacedOffset is what a reset replaced; offset -1 is nothing.
type replacedOffset struct {
	resetMs, offset int64
	leaderEpoch     int32
	metadata        string
}

func runUndo(ctx context.Context, cmd *cobra.Command, client *kgo.Client, name string, flags *undoFlags) error {
	admin := kadm.NewClient(client)
	if _, err := flags.settled(ctx, admin, name); err != nil {
		return err
	}
	partitions, err := flags.journal(ctx, client, admin, name)
	if err != nil {
		return err
	}
	resets := resetsOf(partitions)
	if flags.list {
		rows := [][]string{{"BACK", "RESET", "PARTITIONS"}}
		for _, r := range resets {
			rows = append(rows, []string{fmt.Sprint(r.Back), r.Reset.Local().Format("2006-01-02 15:04:05.000"), fmt.Sprint(r.Partitions)})
		}
		return flags.Output.ShowTable(cmd, resets, rows)
	}
	if flags.back < 1 || flags.back > len(resets) {
		return fmt.Errorf("undo %s of group %s: %s remembered", cli.Counted(flags.back, "reset"), name, wereCounted(len(resets), "reset"))
	}
	since := resets[flags.back-1].Reset
	moves, err := flags.undone(ctx, admin, partitions, since.UnixMilli())
	if err != nil {
		return err
	}
	if flags.yes {
		if err := untilThere(ctx, func() error { return commitReset(ctx, client, name, moves) }); err != nil {
			return flags.GroupError("undo a reset of", name, err)
		}
	}
	return flags.Output.Show(cmd, undoReport{name, flags.yes, since, moves}, func(out io.Writer) error { return printMoves(out, moves, flags.yes) })
}

// wereCounted is cli.Counted with its verb.
func wereCounted(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return fmt.Sprintf("%d %ss are", n, what)
}

// journal asks the broker what it remembers of a group.
func (f *undoFlags) journal(ctx context.Context, client *kgo.Client, admin *kadm.Client, name string) ([]journaled, error) {
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		return nil, f.Explain("list topics", err)
	}
	names := map[[16]byte]string{}
	for _, t := range topics {
		names[t.ID] = t.Topic
	}
	req := kmsg.NewPtrOffsetFetchRequest()
	asked := kmsg.NewOffsetFetchRequestGroup()
	asked.Group = name
	asked.UnknownTags.Set(cli.OttlaTag, []byte{1})
	req.Groups = append(req.Groups, asked)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, f.GroupError("read the offsets of", name, err)
	}
	var partitions []journaled
	for _, group := range resp.Groups {
		if err := kerr.ErrorForCode(group.ErrorCode); err != nil {
			return nil, f.GroupError("read the offsets of", name, err)
		}
		for _, t := range group.Topics {
			for _, p := range t.Partitions {
				one := journaled{move: move{Topic: cmp.Or(t.Topic, names[t.TopicID]), Partition: p.Partition, Committed: p.Offset}}
				if one.replaced, err = readReplaced(&p.UnknownTags); err != nil {
					return nil, err
				}
				if len(one.replaced) > 0 {
					partitions = append(partitions, one)
				}
			}
		}
	}
	return partitions, nil
}

// readReplaced reads the tagged field of a partition in OffsetFetch.
func readReplaced(tags *kmsg.Tags) (replaced []replacedOffset, err error) {
	tags.Each(func(tag uint32, value []byte) {
		if tag != cli.OttlaTag {
			return
		}
		reader := kbin.Reader{Src: value}
		for n := reader.CompactArrayLen(); n > 0 && reader.Ok(); n-- {
			replaced = append(replaced, replacedOffset{reader.Int64(), reader.Int64(), reader.Int32(), reader.CompactString()})
			kmsg.SkipTags(&reader)
		}
		if bad := reader.Complete(); bad != nil {
			err = errors.Join(errors.New("the broker's answer about resets cannot be read"), bad)
		}
	})
	return replaced, err
}

// resetsOf are the resets that are remembered of all partitions, the last one first.
func resetsOf(partitions []journaled) []rememberedReset {
	count := map[int64]int{}
	for _, p := range partitions {
		for _, r := range p.replaced {
			count[r.resetMs]++
		}
	}
	resets := make([]rememberedReset, 0, len(count))
	for ms, n := range count {
		resets = append(resets, rememberedReset{Reset: time.UnixMilli(ms), Partitions: n})
	}
	slices.SortFunc(resets, func(a, b rememberedReset) int { return b.Reset.Compare(a.Reset) })
	for i := range resets {
		resets[i].Back = i + 1
	}
	return resets
}

// undone are the moves to what was committed before the first reset at or after a time.
func (f *undoFlags) undone(ctx context.Context, admin *kadm.Client, partitions []journaled, sinceMs int64) ([]move, error) {
	var moves []move
	for _, p := range partitions {
		at := -1
		for i, r := range p.replaced {
			if r.resetMs >= sinceMs {
				at = i
			}
		}
		if at >= 0 {
			m := p.move
			m.To, m.leaderEpoch, m.metadata = p.replaced[at].offset, p.replaced[at].leaderEpoch, p.replaced[at].metadata
			moves = append(moves, m)
		}
	}
	found, err := f.bounds(ctx, admin, movedTopics(moves), cli.Position{Kind: cli.AtOffset})
	if err != nil {
		return nil, err
	}
	for i := range moves {
		m := &moves[i]
		start, _ := found.starts.Lookup(m.Topic, m.Partition)
		end, _ := found.ends.Lookup(m.Topic, m.Partition)
		m.Start, m.End = start.Offset, end.Offset
		if m.Committed >= 0 && m.To >= 0 {
			m.count()
		}
	}
	slices.SortFunc(moves, func(a, b move) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return moves, nil
}
