package settings

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
	"github.com/ottla-io/ottla/internal/clusterfile"
)

type applyFlags struct {
	settingFlags
	prune bool
	yes   bool
}

// Register adds the flags, those of cli too.
func (f *applyFlags) Register(cmd *cobra.Command) {
	f.settingFlags.Register(cmd)
	cmd.Flags().BoolVar(&f.prune, "prune", false, "what the file does not name is to go, in the sections that it has")
}

const pruneHelp = "What the file does not name stays as it is: topics, settings, quotas. With --prune it is to go, in the sections that the file has.\n" +
	"docs/apply.md describes the file; 'ottla export' makes one. FILE may be - for standard input."

func newDiff(version string) *cobra.Command {
	flags := applyFlags{settingFlags: settingFlags{cli.ClientFlags{Version: version}}}
	cmd := &cobra.Command{
		Use:   "diff FILE",
		Short: "Show what 'ottla apply' would change",
		Long: "Show what 'ottla apply' would change in the cluster: + is new, - goes, ~ changes, ! cannot be changed. Exit code 1 if there is anything.\n\n" +
			pruneHelp,
		Args:    cobra.ExactArgs(1),
		Example: "  ottla export > cluster.yaml\n  ottla diff cluster.yaml\n  ottla diff cluster.yaml --prune -o json",
		RunE: func(cmd *cobra.Command, files []string) error {
			want, err := readFile(cmd, files[0])
			if err != nil {
				return err
			}
			return flags.WithClient(cmd.Context(), func(ctx context.Context, client *kgo.Client) error {
				d, err := flags.compare(ctx, cmd, client, want)
				if err != nil {
					return err
				}
				if err := flags.Output.Show(cmd, d, d.Print); err != nil {
					return err
				}
				if n := len(d.Changes) + len(d.Impossible); n > 0 {
					return fmt.Errorf("%s differs from the cluster in %s", files[0], cli.Counted(n, "thing"))
				}
				return nil
			})
		},
	}
	flags.Register(cmd)
	return cmd
}

func newApply(version string) *cobra.Command {
	flags := applyFlags{settingFlags: settingFlags{cli.ClientFlags{Version: version}}}
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "Make topics, settings and quotas what a file says",
		Long: "Show what separates the cluster from the file, as 'ottla diff' does, and make the changes: after a question on a terminal, and without one\n" +
			"with --yes. What would lose records always takes --yes. Partitions are added, never taken away; replicas are not moved. A change\n" +
			"that fails is told, and the others are made. Applied a second time, the same file changes nothing.\n\n" + pruneHelp,
		Args:    cobra.ExactArgs(1),
		Example: "  ottla export > cluster.yaml\n  ottla apply cluster.yaml\n  echo 'topics: {flights: {config: {segment.ms: 3600000}}}' | ottla apply - --yes",
		RunE: func(cmd *cobra.Command, files []string) error {
			want, err := readFile(cmd, files[0])
			if err != nil {
				return err
			}
			// The question may take longer than --timeout.
			client, err := flags.Open()
			if err != nil {
				return err
			}
			defer client.Close()
			return flags.apply(cmd, client, want)
		},
	}
	flags.Register(cmd)
	cli.RegisterYes(cmd, &flags.yes, "ask nothing, even if it loses records")
	return cmd
}

func readFile(cmd *cobra.Command, path string) (*clusterfile.File, error) {
	var text []byte
	var err error
	if path == "-" {
		text, err = io.ReadAll(cmd.InOrStdin())
	} else {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the file: %w", err)
	}
	file, err := clusterfile.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("file %s: %w; docs/apply.md describes it", path, err)
	}
	return file, nil
}

// compare finds what separates the cluster from the file, and what the changes would lose.
func (f *applyFlags) compare(ctx context.Context, cmd *cobra.Command, client *kgo.Client, want *clusterfile.File) (*clusterfile.Difference, error) {
	have, err := f.readCluster(ctx, client, cmd.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	if len(want.Quotas) > 0 && have.Quotas == nil {
		return nil, errors.New("the file has quotas, and the cluster serves none: take them out of the file")
	}
	d := clusterfile.Compare(have, want, f.prune)
	for i := range d.Changes {
		c := &d.Changes[i]
		r, ok := resourceOf(c)
		if !ok || c.Action != clusterfile.Alter {
			continue
		}
		lost, err := f.losses(ctx, client, r, alterations(c))
		if err != nil {
			return nil, err
		}
		c.Loses = append(c.Loses, lost...)
	}
	return &d, nil
}

// resourceOf is what has the settings that a change speaks of.
func resourceOf(c *clusterfile.Change) (configResource, bool) {
	switch {
	case c.Kind == clusterfile.TopicKind:
		return configResource{kmsg.ConfigResourceTypeTopic, c.Name}, true
	case c.Kind == clusterfile.GroupKind:
		return configResource{kmsg.ConfigResourceTypeGroupConfig, c.Name}, true
	case c.Kind == clusterfile.BrokerKind && c.Name == clusterfile.AllBrokers:
		return configResource{kind: kmsg.ConfigResourceTypeBroker}, true
	case c.Kind == clusterfile.BrokerKind:
		return configResource{kmsg.ConfigResourceTypeBroker, c.Name}, true
	}
	return configResource{}, false
}

// alterations are the settings that change.
func alterations(c *clusterfile.Change) (changes []kadm.AlterConfig) {
	for _, field := range c.Fields {
		switch {
		case field.Name == clusterfile.PartitionsField || field.Name == clusterfile.ReplicationFactorField:
		case field.To == nil:
			changes = append(changes, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: field.Name})
		default:
			changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: field.Name, Value: field.To})
		}
	}
	return changes
}

// numberOf is a field that is a number, or -1 if the change does not have it.
func numberOf(c *clusterfile.Change, name string) int {
	for _, field := range c.Fields {
		if field.Name == name && field.To != nil {
			if n, err := strconv.Atoi(*field.To); err == nil {
				return n
			}
		}
	}
	return -1
}

type applyReport struct {
	Done bool `json:"done"` // all changes were made
	*clusterfile.Difference
}

func (f *applyFlags) apply(cmd *cobra.Command, client *kgo.Client, want *clusterfile.File) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*f.Timeout)
	defer cancel()
	d, err := f.compare(ctx, cmd, client, want)
	if err != nil {
		return err
	}
	if f.Output == cli.OutputText {
		if err := d.Print(cmd.OutOrStdout()); err != nil {
			return err
		}
	}
	if err := f.mayApply(cmd, d); err != nil {
		if f.Output == cli.OutputJSON {
			err = errors.Join(cli.PrintJSON(cmd.OutOrStdout(), applyReport{false, d}), err)
		}
		return err
	}
	var failed []error
	for i := range d.Changes {
		if err := f.makeChange(cmd.Context(), client, &d.Changes[i]); err != nil {
			failed = append(failed, err)
		}
	}
	made := len(d.Changes) - len(failed)
	if len(failed) == 0 && made > 0 {
		failed = append(failed, f.untilSeen(cmd, client, want))
	}
	err = errors.Join(failed...)
	done := fmt.Sprintf("%s made", cli.Counted(made, "change"))
	if len(d.Changes) == 0 {
		done = "nothing to do"
	}
	return errors.Join(err, f.Output.Show(cmd, applyReport{err == nil, d}, func(out io.Writer) error {
		_, err := fmt.Fprintln(out, done)
		return err
	}))
}

// untilSeen waits until brokers show what was changed: those of Kafka follow their controller a moment later.
func (f *applyFlags) untilSeen(cmd *cobra.Command, client *kgo.Client, want *clusterfile.File) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), f.Timeout)
	defer cancel()
	for {
		have, err := f.readCluster(ctx, client, io.Discard)
		if err != nil {
			return err
		}
		d := clusterfile.Compare(have, want, f.prune)
		if len(d.Changes) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("all was accepted, but the cluster still differs in %s after %v: 'ottla diff' shows how", d.Changes[0].What(), f.Timeout)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// mayApply refuses what must not, or may not, be done.
func (f *applyFlags) mayApply(cmd *cobra.Command, d *clusterfile.Difference) error {
	loses := 0
	for _, c := range d.Changes {
		loses += len(c.Loses)
	}
	switch {
	case len(d.Impossible) > 0:
		return fmt.Errorf("nothing was changed: %s", strings.Join(d.Impossible, "; "))
	case f.yes || len(d.Changes) == 0:
		return nil
	case loses > 0:
		return errors.New("nothing was changed: it would lose data, and is done with --yes only")
	case f.Output == cli.OutputText && isTerminal(cmd.InOrStdin()):
		fmt.Fprintf(cmd.ErrOrStderr(), "make %s? [y/N] ", cli.Counted(len(d.Changes), "change"))
		answer, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n') // no answer is no
		if answer = strings.ToLower(strings.TrimSpace(answer)); answer == "y" || answer == "yes" {
			return nil
		}
		return errors.New("nothing was changed")
	}
	return errors.New("nothing was changed: --yes does it")
}

// isTerminal tells whether somebody can answer.
func isTerminal(in io.Reader) bool {
	file, ok := in.(interface{ Stat() (os.FileInfo, error) })
	if !ok {
		return false
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

func (f *applyFlags) makeChange(ctx context.Context, client *kgo.Client, c *clusterfile.Change) error {
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	admin := kadm.NewClient(client)
	switch {
	case c.Kind == clusterfile.QuotaKind:
		return f.changeQuota(ctx, admin, c)
	case c.Kind == clusterfile.TopicKind && c.Action == clusterfile.Create:
		configs := map[string]*string{}
		for _, change := range alterations(c) {
			configs[change.Name] = change.Value
		}
		answer, err := admin.CreateTopic(ctx, int32(numberOf(c, clusterfile.PartitionsField)), int16(numberOf(c, clusterfile.ReplicationFactorField)), configs, c.Name)
		return f.topicAnswer("create", c.Name, err, answer.Err, answer.ErrMessage)
	case c.Kind == clusterfile.TopicKind && c.Action == clusterfile.Delete:
		answer, err := admin.DeleteTopic(ctx, c.Name)
		return f.topicAnswer("delete", c.Name, err, answer.Err, answer.ErrMessage)
	}
	if n := numberOf(c, clusterfile.PartitionsField); n > 0 {
		answers, err := admin.UpdatePartitions(ctx, n, c.Name)
		answer := answers[c.Name]
		if err := f.topicAnswer("add partitions to", c.Name, err, answer.Err, answer.ErrMessage); err != nil {
			return err
		}
	}
	changes := alterations(c)
	if len(changes) == 0 {
		return nil
	}
	r, _ := resourceOf(c)
	return f.alterConfigs(ctx, client, r, changes)
}

// topicAnswer is the error of a request about one topic: the broker's own if it gave one.
func (f *applyFlags) topicAnswer(doing, topic string, err, own error, message string) error {
	if own != nil {
		return cli.TopicRefused(doing, topic, own, message)
	}
	return f.Explain(doing+" topic "+topic, err)
}

func (f *applyFlags) changeQuota(ctx context.Context, admin *kadm.Client, c *clusterfile.Change) error {
	entry := kadm.AlterClientQuotaEntry{}
	for kind, name := range c.Entity {
		entry.Entity = append(entry.Entity, kadm.ClientQuotaEntityComponent{Type: kind, Name: name})
	}
	for _, field := range c.Fields {
		op := kadm.AlterClientQuotaOp{Key: field.Name, Remove: field.To == nil}
		if field.To != nil {
			value, err := strconv.ParseFloat(*field.To, 64)
			if err != nil {
				return fmt.Errorf("change quota %s: %w", c.Name, err)
			}
			op.Value = value
		}
		entry.Ops = append(entry.Ops, op)
	}
	answers, err := admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{entry})
	if err != nil {
		return f.Explain("change quota "+c.Name, err)
	}
	for _, answer := range answers {
		if answer.Err != nil {
			return cli.Refused("change quota "+c.Name, answer.Err, answer.ErrMessage)
		}
	}
	return nil
}
