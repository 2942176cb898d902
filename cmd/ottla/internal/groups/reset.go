package groups

import (
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
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

type resetFlags struct {
	groupFlags
	to     string
	by     int64
	topics []string
	yes    bool
}

func newGroupReset(version string) *cobra.Command {
	flags := resetFlags{groupFlags: groupFlags{cli.ClientFlags{Version: version}}}
	cmd := &cobra.Command{
		Use:   "reset GROUP (--to POSITION | --by N)",
		Short: "Move where a group goes on reading, after a look at what that skips or replays",
		Long: "Move where a group without members goes on reading. Without --yes nothing is changed: you see what would be skipped or replayed.\n\n" +
			"--to takes: earliest, latest, an offset, or @TIME, where TIME is milliseconds since 1970, an RFC 3339 time, or a duration ago\n" +
			"such as @-1h: the first record at or after it. --by takes a number of records, forward or back. An offset that is before the\n" +
			"first record or after the last becomes that.",
		Args: cobra.ExactArgs(1),
		Example: "  ottla group reset billing --to earliest\n" +
			"  ottla group reset billing --to @-1h --topic orders --yes\n" +
			"  ottla group reset billing --by -100 --topic orders:0,3",
		RunE: func(cmd *cobra.Command, names []string) error {
			return flags.WithClient(cmd.Context(), func(ctx context.Context, client *kgo.Client) error {
				return runReset(ctx, cmd, client, names[0], &flags)
			})
		},
	}
	flags.Register(cmd)
	cmd.Flags().StringVar(&flags.to, "to", "", "earliest, latest, an offset or @TIME")
	cmd.Flags().Int64Var(&flags.by, "by", 0, "records forward, or back if negative")
	cmd.Flags().StringArrayVar(&flags.topics, "topic", nil, "TOPIC or TOPIC:PARTITION,…; may be repeated. All that the group has offsets of, if none is given")
	cli.RegisterYes(cmd, &flags.yes, cli.DoIt)
	cmd.MarkFlagsMutuallyExclusive("to", "by")
	cmd.MarkFlagsOneRequired("to", "by")
	return cmd
}

// move is what a reset does to one partition.
type move struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed int64  `json:"committed"` // -1: nothing was committed
	To        int64  `json:"to"`
	Start     int64  `json:"start"`
	End       int64  `json:"end"`
	// Skipped and Replayed count records by their offsets; where a topic is compacted there are fewer.
	Skipped  int64 `json:"skipped"`
	Replayed int64 `json:"replayed"`

	// leaderEpoch (-1: none) and metadata are committed with the offset.
	leaderEpoch int32
	metadata    string
}

// count tells what the move from a committed offset skips or replays.
func (m *move) count() {
	from, to := min(max(m.Committed, m.Start), m.End), min(max(m.To, m.Start), m.End)
	m.Skipped, m.Replayed = max(0, to-from), max(0, from-to)
}

type resetReport struct {
	Group string `json:"group"`
	Done  bool   `json:"done"`
	Moves []move `json:"moves"`
}

func runReset(ctx context.Context, cmd *cobra.Command, client *kgo.Client, name string, flags *resetFlags) error {
	moves, err := flags.plan(ctx, kadm.NewClient(client), name, time.Now())
	if err != nil {
		return err
	}
	if flags.yes {
		if err := untilThere(ctx, func() error { return commitReset(ctx, client, name, moves) }); err != nil {
			return flags.GroupError("reset", name, err)
		}
	}
	return flags.Output.Show(cmd, resetReport{name, flags.yes, moves}, func(out io.Writer) error {
		if err := printMoves(out, moves, flags.yes); err != nil || !flags.yes {
			return err
		}
		_, err := fmt.Fprintf(out, "'ottla group undo %s' takes that back\n", name)
		return err
	})
}

// printMoves says what a reset does.
func printMoves(out io.Writer, moves []move, done bool) error {
	rows := [][]string{{"TOPIC", "PARTITION", "COMMITTED", "TO", "END", ""}}
	for _, m := range moves {
		rows = append(rows, []string{m.Topic, fmt.Sprint(m.Partition), cli.OrNone(m.Committed), cli.OrNone(m.To), fmt.Sprint(m.End), m.effect()})
	}
	return cli.PrintPlan(out, rows, done, "nothing was changed")
}

// commitReset commits where the moves lead, and tells the broker that it is a reset (tagged field 10000 of OffsetCommit), so that it remembers what there was.
func commitReset(ctx context.Context, client *kgo.Client, name string, moves []move) error {
	topics, err := kadm.NewClient(client).ListTopics(ctx, movedTopics(moves)...)
	if err != nil {
		return err
	}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = name
	req.UnknownTags.Set(cli.OttlaTag, []byte{1})
	for i := range moves {
		m := &moves[i]
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = m.Partition, m.To, m.leaderEpoch, &m.metadata
		at := slices.IndexFunc(req.Topics, func(t kmsg.OffsetCommitRequestTopic) bool { return t.Topic == m.Topic })
		if at < 0 {
			t := kmsg.NewOffsetCommitRequestTopic()
			t.Topic, t.TopicID = m.Topic, topics[m.Topic].ID
			req.Topics, at = append(req.Topics, t), len(req.Topics)
		}
		req.Topics[at].Partitions = append(req.Topics[at].Partitions, p)
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return err
			}
		}
	}
	return nil
}

// movedTopics are the topics that moves are about.
func movedTopics(moves []move) (names []string) {
	for _, m := range moves {
		if !slices.Contains(names, m.Topic) {
			names = append(names, m.Topic)
		}
	}
	return names
}

func (m *move) effect() string {
	switch {
	case m.To < 0:
		return "nothing is committed"
	case m.Skipped > 0:
		return "skips " + cli.Counted(int(m.Skipped), "record")
	case m.Replayed > 0:
		return "replays " + cli.Counted(int(m.Replayed), "record")
	case m.Committed < 0:
		return "reads " + cli.Counted(int(m.End-m.To), "record")
	}
	return "stays"
}

// plan finds what would move where. The group must have no members, as the broker would refuse it then.
func (f *resetFlags) plan(ctx context.Context, admin *kadm.Client, name string, now time.Time) ([]move, error) {
	target := cli.Position{Kind: cli.AtOffset}
	if f.to != "" {
		var err error
		if target, err = cli.ParsePosition(f.to, now); err != nil {
			return nil, fmt.Errorf("--to: %w", err)
		}
		if target.Kind == cli.BeforeEnd {
			return nil, fmt.Errorf("--to %s: an offset is not negative; --by %s moves back from where the group is", f.to, f.to)
		}
	}
	committed, err := f.settled(ctx, admin, name)
	if err != nil {
		return nil, err
	}
	wanted, err := parseTopics(f.topics)
	if err != nil {
		return nil, err
	}
	topics := wanted.names()
	if len(topics) == 0 {
		for topic := range committed {
			topics = append(topics, topic)
		}
		if len(topics) == 0 {
			return nil, fmt.Errorf("group %s has no offsets: name the topics with --topic", name)
		}
	}
	bounds, err := f.bounds(ctx, admin, topics, target)
	if err != nil {
		return nil, err
	}
	var moves []move
	for _, end := range bounds.ends.Offsets().Sorted() {
		at, has := committed.Lookup(end.Topic, end.Partition)
		has = has && at.At >= 0
		if !wanted.has(end.Topic, end.Partition) || len(wanted) == 0 && !has {
			continue
		}
		m := move{Topic: end.Topic, Partition: end.Partition, Committed: -1, End: end.At, leaderEpoch: -1}
		if has {
			m.Committed = at.At
		}
		if m.To, m.Start, err = bounds.resolve(&m, target, f); err != nil {
			return nil, err
		}
		if has {
			m.count()
		}
		moves = append(moves, m)
	}
	return moves, wanted.missing(moves)
}

// settled are the offsets of a group, which may be new, without members.
func (f *resetFlags) settled(ctx context.Context, admin *kadm.Client, name string) (kadm.OffsetResponses, error) {
	listed, err := f.ListGroups(ctx, admin)
	if err != nil {
		return nil, err
	}
	if _, ok := listed[name]; ok {
		views, err := f.viewGroups(ctx, admin, []string{name})
		if err != nil {
			return nil, err
		}
		if n := len(views[0].Members); n > 0 {
			return nil, fmt.Errorf("reset group %s: it has %s: stop them first ('ottla group members %s' shows them)", name, cli.Counted(n, "member"), name)
		}
	} else if len(f.topics) == 0 {
		return nil, cli.NoSuchGroup(name)
	} else {
		return kadm.OffsetResponses{}, nil
	}
	offsets, err := admin.FetchOffsets(ctx, name)
	if err != nil {
		return nil, f.GroupError("read the offsets of", name, err)
	}
	return offsets, nil
}

// untilThere tries again while there is no coordinator: the first command about a group makes the topic that keeps them.
func untilThere(ctx context.Context, try func() error) error {
	for {
		err := try()
		if !errors.Is(err, kerr.CoordinatorNotAvailable) && !errors.Is(err, kerr.NotCoordinator) && !errors.Is(err, kerr.CoordinatorLoadInProgress) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// bounds are where partitions start and end, and where a time is.
type bounds struct{ starts, ends, times kadm.ListedOffsets }

func (f *resetFlags) bounds(ctx context.Context, admin *kadm.Client, topics []string, target cli.Position) (b bounds, err error) {
	if b.starts, err = admin.ListStartOffsets(ctx, topics...); err == nil {
		b.ends, err = admin.ListEndOffsets(ctx, topics...)
	}
	if err == nil && target.Kind == cli.AtTime {
		b.times, err = admin.ListOffsetsAfterMilli(ctx, target.Offset, topics...)
	}
	if err == nil {
		err = errors.Join(b.starts.Error(), b.ends.Error(), b.times.Error())
	}
	if err != nil {
		return b, f.Explain("find where "+strings.Join(topics, ", ")+" start and end", err)
	}
	return b, nil
}

// resolve is the offset that a partition moves to, within its bounds, and the first of them.
func (b *bounds) resolve(m *move, target cli.Position, f *resetFlags) (to, start int64, err error) {
	first, _ := b.starts.Lookup(m.Topic, m.Partition)
	start = first.Offset
	switch {
	case f.to == "" && m.Committed < 0:
		return 0, 0, fmt.Errorf("--by: nothing is committed of %s partition %d: use --to", m.Topic, m.Partition)
	case f.to == "":
		to = m.Committed + f.by
	case target.Kind == cli.AtStart:
		to = start
	case target.Kind == cli.AtEnd:
		to = m.End
	case target.Kind == cli.AtTime:
		at, _ := b.times.Lookup(m.Topic, m.Partition)
		to = at.Offset
	default:
		to = target.Offset
	}
	return min(max(to, start), m.End), start, nil
}

// chosen are the partitions that a reset is limited to, by topic; nil partitions are all of a topic. No topics is no limit.
type chosen map[string][]int32

func parseTopics(texts []string) (chosen, error) {
	all := chosen{}
	for _, text := range texts {
		topic, list, some := strings.Cut(text, ":")
		if !some {
			all[topic] = nil
			continue
		}
		for part := range strings.SplitSeq(list, ",") {
			n, err := strconv.ParseInt(part, 10, 32)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("--topic %s: want TOPIC or TOPIC:PARTITION,PARTITION", text)
			}
			all[topic] = append(all[topic], int32(n))
		}
	}
	return all, nil
}

func (c chosen) names() (names []string) {
	for name := range c {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (c chosen) has(topic string, partition int32) bool {
	partitions, ok := c[topic]
	return len(c) == 0 || ok && (partitions == nil || slices.Contains(partitions, partition))
}

// missing complains about partitions that do not exist.
func (c chosen) missing(moves []move) error {
	for topic, partitions := range c {
		for _, partition := range partitions {
			if !slices.ContainsFunc(moves, func(m move) bool { return m.Topic == topic && m.Partition == partition }) {
				return fmt.Errorf("topic %s has no partition %d", topic, partition)
			}
		}
	}
	return nil
}
