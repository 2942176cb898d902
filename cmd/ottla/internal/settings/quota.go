package settings

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

// quotaKeys are the quotas of users and client ids, and the one of addresses.
var quotaKeys = []string{"producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate", "connection_creation_rate"}

const quotaHelp = "producer_byte_rate and consumer_byte_rate are bytes a second, request_percentage is time that the broker works for the client (100 is one\n" +
	"thread), controller_mutation_rate is partitions created and deleted a second; connection_creation_rate, of addresses, is connections a second."

func newQuota(version string) *cobra.Command {
	cmd := cli.Parent("quota", "Limit what users, client ids and addresses may use")
	cmd.AddCommand(newQuotaList(version), newQuotaSet(version), newQuotaUnset(version))
	return cmd
}

// quotaEntity are the flags that say whom quotas are for.
type quotaEntity struct {
	names    [3]string
	defaults [3]bool
}

var quotaEntityTypes = [3]string{"user", "client-id", "ip"}

func (e *quotaEntity) register(cmd *cobra.Command) {
	for i, what := range []string{"user", "client id", "address"} {
		kind := quotaEntityTypes[i]
		cmd.Flags().StringVar(&e.names[i], kind, "", what+" that the quotas are for")
		cmd.Flags().BoolVar(&e.defaults[i], kind+"-default", false, "quotas for every "+what+" without its own")
		cmd.MarkFlagsMutuallyExclusive(kind, kind+"-default")
	}
}

// parts are the parts of the entity that the flags name.
func (e *quotaEntity) parts(cmd *cobra.Command) (parts kadm.ClientQuotaEntity) {
	for i, kind := range quotaEntityTypes {
		switch {
		case cmd.Flags().Changed(kind):
			parts = append(parts, kadm.ClientQuotaEntityComponent{Type: kind, Name: &e.names[i]})
		case e.defaults[i]:
			parts = append(parts, kadm.ClientQuotaEntityComponent{Type: kind})
		}
	}
	return parts
}

// quotaFilter matches entities that have these parts.
func quotaFilter(parts kadm.ClientQuotaEntity) (filter []kadm.DescribeClientQuotaComponent) {
	for _, p := range parts {
		c := kadm.DescribeClientQuotaComponent{Type: p.Type, MatchName: p.Name}
		if p.Name == nil {
			c.MatchType = 1 // the default
		}
		filter = append(filter, c)
	}
	return filter
}

type shownQuotas struct {
	Entity map[string]*string `json:"entity"` // null is the default
	Quotas map[string]float64 `json:"quotas"`

	name string
}

// quotaName is an entity for people: user=alice, client-id=<default>.
func quotaName(parts kadm.ClientQuotaEntity) string {
	var texts []string
	for _, kind := range quotaEntityTypes {
		for _, p := range parts {
			if p.Type == kind {
				texts = append(texts, p.String())
			}
		}
	}
	return strings.Join(texts, ", ")
}

func newQuotaList(version string) *cobra.Command {
	flags := settingFlags{cli.ClientFlags{Version: version}}
	var entity quotaEntity
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List quotas",
		Long:    "List quotas: all, or those for whom the flags name, with the parts that they don't name.\n\n" + quotaHelp,
		Args:    cobra.NoArgs,
		Example: "  ottla quota list\n  ottla quota list --client-id reports -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.WithAdmin(cmd.Context(), func(ctx context.Context, admin *kadm.Client) error {
				found, err := admin.DescribeClientQuotas(ctx, false, quotaFilter(entity.parts(cmd)))
				if err != nil {
					return flags.Explain("list quotas", err)
				}
				shown := showQuotas(found)
				rows := [][]string{{"FOR", "QUOTA", "LIMIT"}}
				for _, q := range shown {
					for _, key := range slices.Sorted(maps.Keys(q.Quotas)) {
						rows = append(rows, []string{q.name, key, quotaText(q.Quotas[key])})
					}
				}
				return flags.Output.ShowTable(cmd, shown, rows)
			})
		},
	}
	flags.Register(cmd)
	entity.register(cmd)
	return cmd
}

// showQuotas sorts what a broker told.
func showQuotas(found kadm.DescribedClientQuotas) []shownQuotas {
	var shown []shownQuotas
	for _, one := range found {
		q := shownQuotas{Entity: map[string]*string{}, Quotas: map[string]float64{}, name: quotaName(one.Entity)}
		for _, p := range one.Entity {
			q.Entity[p.Type] = p.Name
		}
		for _, v := range one.Values {
			q.Quotas[v.Key] = v.Value
		}
		shown = append(shown, q)
	}
	slices.SortFunc(shown, func(a, b shownQuotas) int { return strings.Compare(a.name, b.name) })
	return shown
}

func quotaText(value float64) string { return strconv.FormatFloat(value, 'f', -1, 64) }

func newQuotaSet(version string) *cobra.Command {
	return newQuotaChange(version, &cobra.Command{
		Use:     "set KEY=VALUE...",
		Short:   "Set quotas",
		Long:    "Set quotas for a user, a client id, both together, or an address. They count at once, and for all brokers each by itself.\n\n" + quotaHelp,
		Args:    cobra.MinimumNArgs(1),
		Example: "  ottla quota set producer_byte_rate=1048576 --client-id reports\n  ottla quota set request_percentage=50 --user-default\n  ottla quota set connection_creation_rate=20 --ip 192.0.2.7",
	}, func(arg string) (kadm.AlterClientQuotaOp, error) {
		key, text, ok := strings.Cut(arg, "=")
		if !ok {
			return kadm.AlterClientQuotaOp{}, fmt.Errorf("%q is no KEY=VALUE, such as producer_byte_rate=1048576", arg)
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return kadm.AlterClientQuotaOp{}, fmt.Errorf("quota %s: %q is no number", key, text)
		}
		return kadm.AlterClientQuotaOp{Key: key, Value: value}, checkQuotaKey(key)
	})
}

func newQuotaUnset(version string) *cobra.Command {
	return newQuotaChange(version, &cobra.Command{
		Use:     "unset KEY...",
		Short:   "Take quotas away",
		Long:    "Take quotas away from a user, a client id, both together, or an address. Those of less specific ones, and defaults, count from then on.",
		Args:    cobra.MinimumNArgs(1),
		Example: "  ottla quota unset producer_byte_rate --client-id reports",
	}, func(key string) (kadm.AlterClientQuotaOp, error) {
		return kadm.AlterClientQuotaOp{Key: key, Remove: true}, checkQuotaKey(key)
	})
}

// checkQuotaKey names the quota that an unknown one was probably meant to be. The broker judges all others.
func checkQuotaKey(key string) error {
	if slices.Contains(quotaKeys, key) {
		return nil
	}
	if near, ok := cli.Nearest(key, quotaKeys); ok {
		return fmt.Errorf("there is no quota %s: did you mean %s?", key, near)
	}
	return fmt.Errorf("there is no quota %s: there are %s", key, strings.Join(quotaKeys, ", "))
}

// newQuotaChange is set or unset: read makes an operation of an argument.
func newQuotaChange(version string, cmd *cobra.Command, read func(arg string) (kadm.AlterClientQuotaOp, error)) *cobra.Command {
	flags := settingFlags{cli.ClientFlags{Version: version}}
	var entity quotaEntity
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		entry := kadm.AlterClientQuotaEntry{Entity: entity.parts(cmd)}
		if len(entry.Entity) == 0 {
			return errors.New("whose quotas? Give --user, --client-id or both, or --ip, or the default of one, such as --client-id-default")
		}
		for _, arg := range args {
			op, err := read(arg)
			if err != nil {
				return err
			}
			entry.Ops = append(entry.Ops, op)
		}
		return flags.WithAdmin(cmd.Context(), func(ctx context.Context, admin *kadm.Client) error {
			return flags.changeQuotas(ctx, cmd, admin, entry)
		})
	}
	flags.Register(cmd)
	entity.register(cmd)
	return cmd
}

func (f *settingFlags) changeQuotas(ctx context.Context, cmd *cobra.Command, admin *kadm.Client, entry kadm.AlterClientQuotaEntry) error {
	name := quotaName(entry.Entity)
	answers, err := admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{entry})
	if err != nil {
		return f.Explain("change the quotas of "+name, err)
	}
	for _, answer := range answers {
		if answer.Err != nil {
			return cli.Refused("change the quotas of "+name, answer.Err, answer.ErrMessage)
		}
	}
	found, err := admin.DescribeClientQuotas(ctx, true, quotaFilter(entry.Entity))
	if err != nil {
		return f.Explain("read the quotas of "+name, err)
	}
	return f.Output.Show(cmd, showQuotas(found), func(out io.Writer) error {
		var texts []string
		for _, q := range showQuotas(found) {
			for _, key := range slices.Sorted(maps.Keys(q.Quotas)) {
				texts = append(texts, key+"="+quotaText(q.Quotas[key]))
			}
		}
		if len(texts) == 0 {
			texts = []string{"no quotas"}
		}
		_, err := fmt.Fprintf(out, "%s has %s now\n", name, strings.Join(texts, ", "))
		return err
	})
}
