package groups

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

// Commands are 'ottla group'.
func Commands(version string) []*cobra.Command {
	return []*cobra.Command{newGroupCommand(version)}
}

// groupFlags are the flags of commands about groups.
type groupFlags struct{ cli.ClientFlags }

func newGroupCommand(version string) *cobra.Command {
	cmd := cli.Parent("group", "Show consumer groups and how far they lag, move their offsets, delete them")
	cmd.AddCommand(newGroupList(version), newGroupDescribe(version), newGroupMembers(version), newGroupReset(version), newGroupUndo(version), newGroupDelete(version))
	return cmd
}

func newGroupList(version string) *cobra.Command {
	flags := groupFlags{cli.ClientFlags{Version: version}}
	var states []string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List groups",
		Args:    cobra.NoArgs,
		Example: "  ottla group list\n  ottla group list --state Empty -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.WithAdmin(cmd.Context(), func(ctx context.Context, admin *kadm.Client) error {
				groups, err := flags.ListGroups(ctx, admin, states...)
				if err != nil {
					return err
				}
				var listed []cli.ListedGroup
				rows := [][]string{{"GROUP", "TYPE", "STATE", "PROTOCOL", "COORDINATOR"}}
				for _, name := range slices.Sorted(maps.Keys(groups)) {
					row := groups[name]
					listed = append(listed, row)
					rows = append(rows, []string{row.Group, row.Type, row.State, cli.OrDash(row.ProtocolType), fmt.Sprint(row.Coordinator)})
				}
				return flags.Output.ShowTable(cmd, listed, rows)
			})
		},
	}
	flags.Register(cmd)
	cmd.Flags().StringSliceVar(&states, "state", nil, "only groups in one of these states: Empty, Stable, PreparingRebalance, …")
	return cmd
}

func newGroupDescribe(version string) *cobra.Command {
	flags := groupFlags{cli.ClientFlags{Version: version}}
	cmd := &cobra.Command{
		Use:   "describe [GROUP...]",
		Short: "Show how far groups lag, by partition",
		Long: "Show how far groups lag, by partition: all groups if none is named. Lag is what has been written and not read: in records\n" +
			"(by offsets: where a topic is compacted there are fewer), and in seconds since the oldest of them was written.",
		Example: "  ottla group describe billing\n  ottla group describe -o json",
		RunE: func(cmd *cobra.Command, names []string) error {
			return flags.withGroups(cmd, names, func(groups []groupView) error {
				return flags.Output.Show(cmd, groups, func(out io.Writer) error {
					for i := range groups {
						if i > 0 {
							fmt.Fprintln(out)
						}
						if err := groups[i].print(out); err != nil {
							return err
						}
					}
					return nil
				})
			})
		},
	}
	flags.Register(cmd)
	return cmd
}

// withGroups runs fn with a look at the named groups, all if there is none, and their lags.
func (f *groupFlags) withGroups(cmd *cobra.Command, names []string, fn func([]groupView) error) error {
	return f.WithClient(cmd.Context(), func(ctx context.Context, client *kgo.Client) error {
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

func (g *groupView) print(out io.Writer) error {
	fmt.Fprintf(out, "group %s: %s, %s, %s, coordinator %d\n", g.Group, g.Type, g.State, cli.Counted(len(g.Members), "member"), g.Coordinator)
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
		rows = append(rows, []string{p.Topic, fmt.Sprint(p.Partition), cli.OrNone(p.Committed), fmt.Sprint(p.End), cli.OrNone(p.Lag.Records), p.Lag.seconds(),
			cli.OrDash(p.Member), cli.OrDash(p.Client), cli.OrDash(p.Host), cli.OrDash(p.Software)})
	}
	return cli.PrintTable(out, rows)
}

func newGroupMembers(version string) *cobra.Command {
	flags := groupFlags{cli.ClientFlags{Version: version}}
	cmd := &cobra.Command{
		Use:     "members GROUP",
		Short:   "Show the members of a group, what they read and how far they lag",
		Args:    cobra.ExactArgs(1),
		Example: "  ottla group members billing",
		RunE: func(cmd *cobra.Command, names []string) error {
			return flags.withGroups(cmd, names, func(groups []groupView) error {
				members := groups[0].Members
				return flags.Output.Show(cmd, members, func(out io.Writer) error {
					if len(members) == 0 {
						_, err := fmt.Fprintf(out, "group %s has no members\n", names[0])
						return err
					}
					rows := [][]string{{"MEMBER", "INSTANCE", "CLIENT", "HOST", "SOFTWARE", "LAG", "SECONDS", "PARTITIONS"}}
					for _, m := range members {
						rows = append(rows, []string{m.Member, cli.OrDash(m.Instance), cli.OrDash(m.Client), m.Host, cli.OrDash(m.Software), cli.OrNone(m.Lag.Records), m.Lag.seconds(),
							cli.OrDash(m.assigned())})
					}
					return cli.PrintTable(out, rows)
				})
			})
		},
	}
	flags.Register(cmd)
	return cmd
}

func newGroupDelete(version string) *cobra.Command {
	flags := groupFlags{cli.ClientFlags{Version: version}}
	var topics []string
	cmd := &cobra.Command{
		Use:   "delete GROUP...",
		Short: "Delete groups without members, or only their offsets of some topics",
		Args:  cobra.MinimumNArgs(1),
		Example: "  ottla group delete billing-test\n" +
			"  ottla group delete billing --topic retired-orders",
		RunE: func(cmd *cobra.Command, names []string) error {
			return flags.WithAdmin(cmd.Context(), func(ctx context.Context, admin *kadm.Client) error {
				groups, err := flags.ListGroups(ctx, admin)
				if err != nil {
					return err
				}
				var deleted []string
				each := cli.Outcomes{Cmd: cmd, Output: flags.Output}
				for _, name := range names {
					if _, ok := groups[name]; !ok {
						each.Fail(cli.NoSuchGroup(name))
						continue
					}
					what, err := flags.deleteGroup(ctx, admin, name, topics)
					if err != nil {
						each.Fail(err)
						continue
					}
					deleted = append(deleted, name)
					each.Done(what)
				}
				return each.End(map[string][]string{"deleted": deleted})
			})
		},
	}
	flags.Register(cmd)
	cmd.Flags().StringSliceVar(&topics, "topic", nil, "forget only the offsets of these topics, which nobody in the group may read now")
	return cmd
}

// deleteGroup deletes a group, or its offsets of some topics, and says what it did.
func (f *groupFlags) deleteGroup(ctx context.Context, admin *kadm.Client, name string, topics []string) (string, error) {
	if len(topics) == 0 {
		answer, err := admin.DeleteGroup(ctx, name)
		if err == nil {
			err = answer.Err
		}
		return "deleted group " + name, f.GroupError("delete", name, err)
	}
	offsets, err := admin.FetchOffsets(ctx, name)
	if err != nil {
		return "", f.GroupError("read the offsets of", name, err)
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
	return fmt.Sprintf("deleted the offsets of group %s in %s", name, strings.Join(topics, ", ")), f.GroupError("delete the offsets of", name, err)
}
