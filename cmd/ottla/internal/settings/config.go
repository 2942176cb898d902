package settings

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

// settingFlags are the flags of commands about settings.
type settingFlags struct{ cli.ClientFlags }

func newConfig(version string, serve Serve) *cobra.Command {
	config := cli.Parent("config", "Show and change the settings of topics, brokers and groups")
	get := cli.Parent("get", "Show settings that somebody set")
	set := cli.Parent("set", "Change settings")
	unset := cli.Parent("unset", "Take settings back, so that the next default counts")
	for _, of := range []configTarget{topicTarget, brokerTarget, groupTarget} {
		get.AddCommand(newConfigGet(version, of))
		set.AddCommand(newConfigChange(version, of, kadm.SetConfig))
		unset.AddCommand(newConfigChange(version, of, kadm.DeleteConfig))
	}
	config.AddCommand(get, set, unset, newConfigExplain(), newConfigPrint(version, serve))
	return config
}

// configTarget is a kind of thing that has settings, as a word of the command line.
type configTarget string

const (
	topicTarget  configTarget = "topic"
	brokerTarget configTarget = "broker"
	groupTarget  configTarget = "group"
)

// usage is how the command line names one of them.
func (of configTarget) usage() string {
	if of == brokerTarget {
		return "broker [ID]"
	}
	return string(of) + " NAME"
}

// what a help text says of them.
func (of configTarget) what() string {
	if of == brokerTarget {
		return "of a broker, or without an ID those that all brokers have unless they have their own"
	}
	return "of a " + string(of)
}

// examples are command lines: of the verb, with a setting that means something to the target, and a value for set.
func (of configTarget) examples(verb string) string {
	line := "  ottla config " + verb
	if of == brokerTarget && verb == "get" {
		return line + " broker\n" + line + " broker 1 log.retention.ms"
	}
	switch of {
	case topicTarget:
		return line + " topic flights retention.ms" + exampleValue(verb, "86400000")
	case groupTarget:
		return line + " group billing consumer.session.timeout.ms" + exampleValue(verb, "50000")
	default:
		return line + " broker log.retention.ms" + exampleValue(verb, "86400000") + "\n" + line + " broker 1 log.retention.ms" + exampleValue(verb, "86400000")
	}
}

func exampleValue(verb, value string) string {
	if verb == "set" {
		return "=" + value
	}
	return ""
}

// parse takes the resource off the arguments.
func (of configTarget) parse(args []string) (configResource, []string, error) {
	switch {
	case of == brokerTarget && len(args) > 0:
		// No setting's name is a number.
		if _, err := strconv.ParseInt(args[0], 10, 32); err == nil {
			return configResource{kmsg.ConfigResourceTypeBroker, args[0]}, args[1:], nil
		}
		return configResource{kind: kmsg.ConfigResourceTypeBroker}, args, nil
	case of == brokerTarget:
		return configResource{kind: kmsg.ConfigResourceTypeBroker}, args, nil
	case len(args) == 0:
		return configResource{}, nil, fmt.Errorf("which %s? want %s NAME", of, of)
	case of == groupTarget:
		return configResource{kmsg.ConfigResourceTypeGroupConfig, args[0]}, args[1:], nil
	}
	return configResource{kmsg.ConfigResourceTypeTopic, args[0]}, args[1:], nil
}

type shownSetting struct {
	Name   string  `json:"name"`
	Value  *string `json:"value"` // null: none, or not to be shown
	Source string  `json:"source"`
}

// configSource is Kafka's name of a source in lower case, such as dynamic topic.
func configSource(source kmsg.ConfigSource) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimSuffix(source.String(), "_CONFIG"), "_", " "))
}

func newConfigGet(version string, of configTarget) *cobra.Command {
	flags := settingFlags{cli.ClientFlags{Version: version}}
	var all bool
	cmd := &cobra.Command{
		Use:     of.usage() + " [KEY...]",
		Short:   "Show settings " + of.what(),
		Long:    "Show settings " + of.what() + ":\nthose that have another value than the default, those named, or with --all every one.",
		Args:    cobra.ArbitraryArgs,
		Example: of.examples("get"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, keys, err := of.parse(args)
			if err != nil {
				return err
			}
			return flags.WithClient(cmd.Context(), func(ctx context.Context, client *kgo.Client) error {
				doing := "read the settings of " + r.String()
				described, err := flags.describeConfigs(ctx, client, r)
				if err != nil {
					return err
				}
				if described[r].Err != nil {
					return cli.Refused(doing, described[r].Err, described[r].ErrMessage)
				}
				shown, err := chooseSettings(described[r].Configs, keys, all)
				if err != nil {
					return fmt.Errorf("%s: %w", doing, err)
				}
				rows := [][]string{{"SETTING", "VALUE", "SOURCE"}}
				for _, s := range shown {
					rows = append(rows, []string{s.Name, cli.OrEmpty(s.Value), s.Source})
				}
				return flags.Output.ShowTable(cmd, shown, rows)
			})
		},
	}
	flags.Register(cmd)
	cli.CompleteArguments(cmd, of.completers(version, "get")...)
	cmd.Flags().BoolVar(&all, "all", false, "show those too that have their default")
	return cmd
}

// chooseSettings are those named by keys, in that order, or if there are none all that are not defaults.
func chooseSettings(configs []kadm.Config, keys []string, all bool) ([]shownSetting, error) {
	var shown []shownSetting
	byName := make(map[string]shownSetting, len(configs))
	for _, c := range configs {
		s := shownSetting{c.Key, c.Value, configSource(c.Source)}
		byName[c.Key] = s
		if len(keys) == 0 && (all || c.Source != kmsg.ConfigSourceDefaultConfig) {
			shown = append(shown, s)
		}
	}
	for _, key := range keys {
		s, ok := byName[key]
		if !ok {
			return nil, fmt.Errorf("there is no setting %s", key)
		}
		shown = append(shown, s)
	}
	return shown, nil
}

type changedSettings struct {
	Resource string            `json:"resource"`
	Set      map[string]string `json:"set,omitempty"`
	Unset    []string          `json:"unset,omitempty"`
}

// newConfigChange is set or unset.
func newConfigChange(version string, of configTarget, op kadm.IncrementalOp) *cobra.Command {
	flags := settingFlags{cli.ClientFlags{Version: version}}
	var yes bool
	verb, arguments, short := "set", " KEY=VALUE...", "Change settings "
	if op == kadm.DeleteConfig {
		verb, arguments, short = "unset", " KEY...", "Take back settings "
	}
	cmd := &cobra.Command{
		Use:   of.usage() + arguments,
		Short: short + of.what(),
		Long: short + of.what() + ".\nIt counts at once. All of them change, or none. What would lose records, or makes it easier to lose them, is not done without --yes;\n" +
			"'ottla config explain KEY' tells.",
		Args:    cobra.ArbitraryArgs,
		Example: of.examples(verb),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, rest, err := of.parse(args)
			if err != nil {
				return err
			}
			if len(rest) == 0 {
				return fmt.Errorf("%s which settings of %s? want%s", verb, r, arguments)
			}
			changed := changedSettings{Resource: r.String()}
			changes, err := changed.read(op, rest)
			if err != nil {
				return err
			}
			return flags.changeSettings(cmd, r, changes, changed, verb+" "+strings.Join(rest, " "), yes)
		},
	}
	flags.Register(cmd)
	cli.CompleteArguments(cmd, of.completers(version, verb)...)
	cli.RegisterYes(cmd, &yes, despiteLosses)
	return cmd
}

// despiteLosses is what --yes means to a change of settings.
const despiteLosses = "do it, even if it loses records"

// changeSettings does it and says what it did.
func (f *settingFlags) changeSettings(cmd *cobra.Command, r configResource, changes []kadm.AlterConfig, changed changedSettings, what string, yes bool) error {
	return f.WithClient(cmd.Context(), func(ctx context.Context, client *kgo.Client) error {
		if !yes {
			if err := f.refuseLosses(ctx, client, r, changes); err != nil {
				return err
			}
		}
		if err := f.alterConfigs(ctx, client, r, changes); err != nil {
			return err
		}
		return f.Output.Show(cmd, changed, func(out io.Writer) error {
			_, err := fmt.Fprintf(out, "%s: %s\n", r, what)
			return err
		})
	})
}

// read turns arguments into changes and notes them.
func (c *changedSettings) read(op kadm.IncrementalOp, args []string) ([]kadm.AlterConfig, error) {
	var changes []kadm.AlterConfig
	for _, arg := range args {
		if op == kadm.DeleteConfig {
			c.Unset = append(c.Unset, arg)
			changes = append(changes, kadm.AlterConfig{Op: op, Name: arg})
			continue
		}
		key, value, err := cli.KeyValue(arg)
		if err != nil {
			return nil, err
		}
		if c.Set == nil {
			c.Set = map[string]string{}
		}
		c.Set[key] = value
		changes = append(changes, kadm.AlterConfig{Op: op, Name: key, Value: &value})
	}
	return changes, nil
}
