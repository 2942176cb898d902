package settings

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
	"github.com/ottla-io/ottla/internal/config"
)

// printedSetting is a setting of a broker with the place that its value comes from.
type printedSetting struct {
	Name   string  `json:"name"`
	Value  *string `json:"value"` // null: none, or not to be shown
	Source string  `json:"source"`
	// Synonyms are all places that give it a value, the one that counts first. Of a running broker only.
	Synonyms []printedSynonym `json:"synonyms,omitempty"`
	Effect   bool             `json:"effect"` // false: it is accepted, and does nothing
}

type printedSynonym struct {
	Name   string  `json:"name"`
	Value  *string `json:"value"`
	Source string  `json:"source"`
}

// Serve is what 'ottla config print' asks of 'ottla serve', in whose stead it reads flags, variables and the file. A value is for one command.
type Serve interface {
	// Register adds the flags of serve to a command.
	Register(cmd *cobra.Command)
	// Told is what serve would be told if it were called as the command was.
	Told(cmd *cobra.Command) (Told, error)
}

// Told is what serve was told, from all sources.
type Told struct {
	NodeID   int32
	Settings map[string]string // of the broker; node.id is not among them
	Own      []string          // the names of what is no setting, such as data
	Values   map[string]Value  // of settings, node.id and Own, by name
}

// Value is the one that counts of a key, and where it comes from.
type Value struct{ Text, Source string }

// SourceDefault is the source of what nobody gave.
const SourceDefault = "default"

type printFlags struct {
	settingFlags
	serve Serve
	addr  string
	all   bool
}

func newConfigPrint(version string, serve Serve) *cobra.Command {
	flags := printFlags{settingFlags: settingFlags{cli.ClientFlags{Version: version}}, serve: serve}
	cmd := &cobra.Command{
		Use:   "print [KEY...]",
		Short: "Print a broker's settings, and where each value comes from",
		Long: "Print the settings that 'ottla serve' would have with the same flags, variables and file, and where each value comes from; no broker is\n" +
			"asked. What serve would refuse is refused. With --addr: those of the running broker there, and all places that give each a value,\n" +
			"the one that counts first. Shown are settings that have another value than the default, those named, or with --all every one.",
		Example: "  ottla config print --set log.retention.hours=24\n" +
			"  ottla config print num.partitions log.retention.hours -o json",
		RunE: func(cmd *cobra.Command, keys []string) error {
			var settings []printedSetting
			var err error
			if flags.addr != "" {
				settings, err = flags.running(cmd.Context())
			} else {
				settings, err = flags.offline(cmd)
			}
			if err != nil {
				return err
			}
			chosen, err := flags.choose(settings, keys)
			if err != nil {
				return err
			}
			return flags.Output.Show(cmd, chosen, func(out io.Writer) error { return flags.print(out, chosen) })
		},
	}
	flags.serve.Register(cmd)
	cmd.Flags().StringVar(&flags.addr, "addr", "", "HOST:PORT of a running broker whose settings to print")
	cmd.Flags().BoolVar(&flags.all, "all", false, "print those too that have their default")
	flags.Output.Register(cmd)
	cli.CompleteArguments(cmd, cli.CompleteSettings(config.Broker, ""))
	return cmd
}

// offline are the settings that serve would have.
func (f *printFlags) offline(cmd *cobra.Command) ([]printedSetting, error) {
	told, err := f.serve.Told(cmd)
	if err != nil {
		return nil, err
	}
	if _, err := config.ValidateBroker(withNodeID(told.Settings, told.NodeID)); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	layers := &config.Layers{Static: told.Settings}
	if _, err := layers.Endpoints(); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	var settings []printedSetting
	for _, key := range append(slices.Clone(told.Own), "node.id") {
		if v, ok := told.Values[key]; ok {
			settings = append(settings, printedSetting{Name: key, Value: &v.Text, Source: v.Source, Effect: true})
		}
	}
	for _, e := range layers.DescribeAll(config.Broker) {
		if e.Name == "node.id" { // it, or node-id, is above
			continue
		}
		s := printedSetting{Name: e.Name, Source: SourceDefault, Effect: !e.Inert}
		if !e.ValueNull {
			s.Value = &e.Value
		}
		if e.Source == config.StaticBroker {
			s.Source = told.Values[e.Name].Source
		}
		settings = append(settings, s)
	}
	return settings, nil
}

// withNodeID are settings with the node's id among them, which serve takes apart.
func withNodeID(static map[string]string, id int32) map[string]string {
	whole := map[string]string{"node.id": strconv.Itoa(int(id))}
	for key, value := range static {
		whole[key] = value
	}
	return whole
}

// running are the settings of a broker, as DescribeConfigs tells them.
func (f *printFlags) running(ctx context.Context) ([]printedSetting, error) {
	f.Bootstrap, f.Timeout = []string{f.addr}, 10*time.Second
	var settings []printedSetting
	err := f.WithClient(ctx, func(ctx context.Context, client *kgo.Client) error {
		described, err := f.effective(ctx, client, configResource{kind: kmsg.ConfigResourceTypeBroker})
		if err != nil {
			return err
		}
		for _, d := range described {
			known, ok := config.Lookup(config.Broker, d.Key)
			settings = append(settings, printedSetting{Name: d.Key, Value: d.Value, Source: configSource(d.Source), Synonyms: synonymsOf(&d), Effect: !ok || !known.Inert})
		}
		return nil
	})
	slices.SortFunc(settings, func(a, b printedSetting) int { return strings.Compare(a.Name, b.Name) })
	return settings, err
}

func synonymsOf(c *kadm.Config) (synonyms []printedSynonym) {
	for _, s := range c.Synonyms {
		synonyms = append(synonyms, printedSynonym{s.Key, s.Value, configSource(s.Source)})
	}
	return synonyms
}

// choose are those named, in that order; else all, or those that are not defaults.
func (f *printFlags) choose(settings []printedSetting, keys []string) ([]printedSetting, error) {
	if len(keys) == 0 {
		return slices.DeleteFunc(settings, func(s printedSetting) bool { return !f.all && s.Source == SourceDefault }), nil
	}
	chosen := make([]printedSetting, 0, len(keys))
	for _, key := range keys {
		at := slices.IndexFunc(settings, func(s printedSetting) bool { return s.Name == key })
		if at >= 0 {
			chosen = append(chosen, settings[at])
			continue
		}
		setting, ok := config.Lookup(config.Broker, key)
		if !ok {
			_, err := explainSetting(key)
			if err == nil {
				err = fmt.Errorf("%s is no setting of a broker", key)
			}
			return nil, err
		}
		s := printedSetting{Name: key, Source: SourceDefault, Effect: !setting.Inert}
		if !setting.Null {
			s.Value = &setting.Default
		}
		chosen = append(chosen, s)
	}
	return chosen, nil
}

func (f *printFlags) print(out io.Writer, settings []printedSetting) error {
	rows := [][]string{{"SETTING", "VALUE", "SOURCE", ""}}
	if f.addr != "" {
		rows[0][3] = "BEHIND IT"
	}
	for _, s := range settings {
		note := ""
		if len(s.Synonyms) > 1 {
			var behind []string
			for _, other := range s.Synonyms[1:] {
				text := other.Name + " hidden"
				if other.Value != nil {
					text = other.Name + "=" + *other.Value
				}
				behind = append(behind, text+" ("+other.Source+")")
			}
			note = strings.Join(behind, ", ")
		}
		if !s.Effect {
			note = strings.TrimPrefix(note+", does nothing here", ", ")
		}
		rows = append(rows, []string{s.Name, cli.OrEmpty(s.Value), s.Source, note})
	}
	return cli.PrintTable(out, rows)
}
