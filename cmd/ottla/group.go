package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func newGroupCommand() *cobra.Command {
	cmd := newGroup("group", "Show consumer groups and how far they lag, move their offsets, delete them")
	cmd.AddCommand(newGroupList(), newGroupDescribe(), newGroupMembers(), newGroupReset(), newGroupUndo(), newGroupDelete())
	return cmd
}

type listedGroup struct {
	Group        string `json:"group"`
	Type         string `json:"type"`
	State        string `json:"state"`
	ProtocolType string `json:"protocolType"`
	Coordinator  int32  `json:"coordinator"`
}

func newGroupList() *cobra.Command {
	var flags clientFlags
	var states []string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List groups",
		Args:    cobra.NoArgs,
		Example: "  ottla group list\n  ottla group list --state Empty -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.withAdmin(cmd.Context(), func(ctx context.Context, admin *kadm.Client) error {
				groups, err := flags.listGroups(ctx, admin, states...)
				if err != nil {
					return err
				}
				listed := []listedGroup{}
				rows := [][]string{{"GROUP", "TYPE", "STATE", "PROTOCOL", "COORDINATOR"}}
				for _, name := range slices.Sorted(maps.Keys(groups)) {
					row := groups[name]
					listed = append(listed, row)
					rows = append(rows, []string{row.Group, row.Type, row.State, orDash(row.ProtocolType), fmt.Sprint(row.Coordinator)})
				}
				if flags.output == outputJSON {
					return printJSON(cmd.OutOrStdout(), listed)
				}
				return printTable(cmd.OutOrStdout(), rows)
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().StringSliceVar(&states, "state", nil, "only groups in one of these states: Empty, Stable, PreparingRebalance, …")
	return cmd
}

// groupTypes are Kafka's. Brokers before ListGroups 5 don't know them and list all their groups, which are classic, every time.
var groupTypes = []string{"share", "streams", "consumer", "classic"}

// listGroups lists all groups, or those in one of the states, by name.
func (f *clientFlags) listGroups(ctx context.Context, admin *kadm.Client, states ...string) (map[string]listedGroup, error) {
	all := map[string]listedGroup{}
	for _, kind := range groupTypes {
		groups, err := admin.ListGroupsByType(ctx, []string{kind}, states...)
		if err != nil {
			return nil, f.explain("list groups", err)
		}
		for name, g := range groups {
			all[name] = listedGroup{name, kind, g.State, g.ProtocolType, g.Coordinator}
		}
	}
	return all, nil
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func newGroupDescribe() *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "describe [GROUP...]",
		Short: "Show how far groups lag, by partition",
		Long: "Show how far groups lag, by partition: all groups if none is named. Lag is what has been written and not read: in records\n" +
			"(by offsets: where a topic is compacted there are fewer), and in seconds since the oldest of them was written.",
		Example: "  ottla group describe billing\n  ottla group describe -o json",
		RunE: func(cmd *cobra.Command, names []string) error {
			return flags.withGroups(cmd, names, func(groups []groupView) error {
				if flags.output == outputJSON {
					return printJSON(cmd.OutOrStdout(), groups)
				}
				for i := range groups {
					if i > 0 {
						fmt.Fprintln(cmd.OutOrStdout())
					}
					if err := groups[i].print(cmd); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	flags.register(cmd)
	return cmd
}

// withGroups runs fn with a look at the named groups, all if there is none, and their lags.
func (f *clientFlags) withGroups(cmd *cobra.Command, names []string, fn func([]groupView) error) error {
	return f.withClient(cmd.Context(), func(ctx context.Context, client *kgo.Client) error {
		admin := kadm.NewClient(client)
		groups, err := f.viewGroups(ctx, admin, names)
		if err != nil {
			return err
		}
		if err := f.addSoftware(ctx, client, groups); err != nil {
			return err
		}
		if err := f.measure(ctx, admin, groups); err != nil {
			return err
		}
		return fn(groups)
	})
}

func (g *groupView) print(cmd *cobra.Command) error {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "group %s: %s, %s, %s, coordinator %d\n", g.Group, g.Type, g.State, counted(len(g.Members), "member"), g.Coordinator)
	if g.Assignor != "" {
		fmt.Fprintf(out, "  assignor %s\n", g.Assignor)
	}
	if len(g.Partitions) == 0 {
		fmt.Fprintln(out, "  no offsets")
		return nil
	}
	fmt.Fprintf(out, "  lag %s\n", g.Lag)
	rows := [][]string{{"TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "SECONDS", "MEMBER", "CLIENT", "HOST", "SOFTWARE"}}
	for _, p := range g.Partitions {
		rows = append(rows, []string{p.Topic, fmt.Sprint(p.Partition), orNone(p.Committed), fmt.Sprint(p.End), orNone(p.Lag.Records), p.Lag.seconds(),
			orDash(p.Member), orDash(p.Client), orDash(p.Host), orDash(p.Software)})
	}
	return printTable(out, rows)
}

// orNone shows what may be -1 for "there is none".
func orNone(n int64) string {
	if n < 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func newGroupMembers() *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:     "members GROUP",
		Short:   "Show the members of a group, what they read and how far they lag",
		Args:    cobra.ExactArgs(1),
		Example: "  ottla group members billing",
		RunE: func(cmd *cobra.Command, names []string) error {
			return flags.withGroups(cmd, names, func(groups []groupView) error {
				members := groups[0].Members
				if flags.output == outputJSON {
					return printJSON(cmd.OutOrStdout(), members)
				}
				if len(members) == 0 {
					fmt.Fprintf(cmd.OutOrStdout(), "group %s has no members\n", names[0])
					return nil
				}
				rows := [][]string{{"MEMBER", "INSTANCE", "CLIENT", "HOST", "SOFTWARE", "LAG", "SECONDS", "PARTITIONS"}}
				for _, m := range members {
					rows = append(rows, []string{m.Member, orDash(m.Instance), orDash(m.Client), m.Host, orDash(m.Software), orNone(m.Lag.Records), m.Lag.seconds(),
						orDash(m.assigned())})
				}
				return printTable(cmd.OutOrStdout(), rows)
			})
		},
	}
	flags.register(cmd)
	return cmd
}

func newGroupDelete() *cobra.Command {
	var flags clientFlags
	var topics []string
	cmd := &cobra.Command{
		Use:   "delete GROUP...",
		Short: "Delete groups without members, or only their offsets of some topics",
		Args:  cobra.MinimumNArgs(1),
		Example: "  ottla group delete billing-test\n" +
			"  ottla group delete billing --topic retired-orders",
		RunE: func(cmd *cobra.Command, names []string) error {
			return flags.withAdmin(cmd.Context(), func(ctx context.Context, admin *kadm.Client) error {
				groups, err := flags.listGroups(ctx, admin)
				if err != nil {
					return err
				}
				deleted := []string{}
				var failed []error
				for _, name := range names {
					if _, ok := groups[name]; !ok {
						failed = append(failed, noSuchGroup(name))
						continue
					}
					what, err := flags.deleteGroup(ctx, admin, name, topics)
					if err != nil {
						failed = append(failed, err)
						continue
					}
					deleted = append(deleted, name)
					if flags.output == outputText {
						fmt.Fprintln(cmd.OutOrStdout(), what)
					}
				}
				if flags.output == outputJSON {
					if err := printJSON(cmd.OutOrStdout(), map[string][]string{"deleted": deleted}); err != nil {
						return err
					}
				}
				return errors.Join(failed...)
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().StringSliceVar(&topics, "topic", nil, "forget only the offsets of these topics, which nobody in the group may read now")
	return cmd
}

// deleteGroup deletes a group, or its offsets of some topics, and says what it did.
func (f *clientFlags) deleteGroup(ctx context.Context, admin *kadm.Client, name string, topics []string) (string, error) {
	if len(topics) == 0 {
		answer, err := admin.DeleteGroup(ctx, name)
		if err == nil {
			err = answer.Err
		}
		return "deleted group " + name, f.groupError("delete", name, err)
	}
	offsets, err := admin.FetchOffsets(ctx, name)
	if err != nil {
		return "", f.groupError("read the offsets of", name, err)
	}
	var which kadm.TopicsSet
	offsets.Each(func(o kadm.OffsetResponse) {
		if slices.Contains(topics, o.Topic) {
			which.Add(o.Topic, o.Partition)
		}
	})
	if len(which) == 0 {
		return "", fmt.Errorf("group %s has no offsets of %s", name, strings.Join(topics, ", "))
	}
	answers, err := admin.DeleteOffsets(ctx, name, which)
	if err == nil {
		err = answers.Error()
	}
	return fmt.Sprintf("deleted the offsets of group %s in %s", name, strings.Join(topics, ", ")), f.groupError("delete the offsets of", name, err)
}

// groupError says what failed for a group, and what to do about it.
func (f *clientFlags) groupError(doing, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.GroupIDNotFound):
		return noSuchGroup(name)
	case errors.Is(err, kerr.NonEmptyGroup), errors.Is(err, kerr.UnknownMemberID):
		return fmt.Errorf("%s group %s: it has members: stop them first ('ottla group members %s' shows them)", doing, name, name)
	case errors.Is(err, kerr.GroupSubscribedToTopic):
		return fmt.Errorf("%s group %s: its members read that topic: stop them first ('ottla group members %s' shows them)", doing, name, name)
	}
	return f.explain(fmt.Sprintf("%s group %s", doing, name), err)
}

func noSuchGroup(name string) error {
	return fmt.Errorf("group %s does not exist; 'ottla group list' shows those that do", name)
}
