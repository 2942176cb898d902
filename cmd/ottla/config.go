package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newConfig() *cobra.Command {
	config := newGroup("config", "Show and change the settings of topics and brokers")
	get := newGroup("get", "Show settings that somebody set")
	set := newGroup("set", "Change settings")
	unset := newGroup("unset", "Take settings back, so that the next default counts")
	for _, of := range []configTarget{topicTarget, brokerTarget} {
		get.AddCommand(newConfigGet(of))
		set.AddCommand(newConfigChange(of, kadm.SetConfig))
		unset.AddCommand(newConfigChange(of, kadm.DeleteConfig))
	}
	config.AddCommand(get, set, unset)
	return config
}

// configTarget is a kind of thing that has settings, as a word of the command line.
type configTarget string

const (
	topicTarget  configTarget = "topic"
	brokerTarget configTarget = "broker"
)

// usage is how the command line names one of them.
func (of configTarget) usage() string {
	if of == topicTarget {
		return "topic NAME"
	}
	return "broker [ID]"
}

// what a help text says of them.
func (of configTarget) what() string {
	if of == topicTarget {
		return "of a topic"
	}
	return "of a broker, or without an ID those that all brokers have unless they have their own"
}

// resource is one topic, one broker, or (broker without id) the default of all brokers.
type resource struct {
	of   configTarget
	name string // the topic; "" otherwise
	ids  []int32
}

// parse takes the resource off the arguments.
func (of configTarget) parse(args []string) (resource, []string, error) {
	if of == topicTarget {
		if len(args) == 0 {
			return resource{}, nil, errors.New("which topic? want topic NAME")
		}
		return resource{of: of, name: args[0]}, args[1:], nil
	}
	if len(args) > 0 {
		// No setting's name is a number.
		if id, err := strconv.ParseInt(args[0], 10, 32); err == nil {
			return resource{of: of, ids: []int32{int32(id)}}, args[1:], nil
		}
	}
	return resource{of: of}, args, nil
}

func (r resource) String() string {
	switch {
	case r.of == topicTarget:
		return "topic " + r.name
	case len(r.ids) == 0:
		return "all brokers"
	}
	return fmt.Sprintf("broker %d", r.ids[0])
}

func (r resource) describe(ctx context.Context, admin *kadm.Client) (kadm.ResourceConfigs, error) {
	if r.of == topicTarget {
		return admin.DescribeTopicConfigs(ctx, r.name)
	}
	return admin.DescribeBrokerConfigs(ctx, r.ids...)
}

func (r resource) alter(ctx context.Context, admin *kadm.Client, changes []kadm.AlterConfig) (kadm.AlterConfigsResponses, error) {
	if r.of == topicTarget {
		return admin.AlterTopicConfigs(ctx, changes, r.name)
	}
	return admin.AlterBrokerConfigs(ctx, changes, r.ids...)
}

// configError joins what was tried, Kafka's code, and the broker's own sentence where it gave one.
func configError(doing string, err error, message string) error {
	var broker *kerr.Error
	if errors.As(err, &broker) {
		if message == "" {
			message = broker.Description
		}
		return fmt.Errorf("%s: %s: %s", doing, broker.Message, message)
	}
	return fmt.Errorf("%s: %w", doing, err)
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

func newConfigGet(of configTarget) *cobra.Command {
	var flags clientFlags
	var all bool
	cmd := &cobra.Command{
		Use:     of.usage() + " [KEY...]",
		Short:   "Show settings " + of.what(),
		Long:    "Show settings " + of.what() + ":\nthose that have another value than the default, those named, or with --all every one.",
		Args:    cobra.ArbitraryArgs,
		Example: "  ottla config get topic flights\n  ottla config get broker 1 log.retention.ms\n  ottla config get broker",
		RunE: func(cmd *cobra.Command, args []string) error {
			r, keys, err := of.parse(args)
			if err != nil {
				return err
			}
			return flags.withAdmin(cmd.Context(), func(ctx context.Context, admin *kadm.Client) error {
				doing := "read the settings of " + r.String()
				described, err := r.describe(ctx, admin)
				if err != nil {
					return flags.explain(doing, err)
				}
				if len(described) != 1 {
					return fmt.Errorf("%s: the broker told about %d resources", doing, len(described))
				}
				if described[0].Err != nil {
					return configError(doing, described[0].Err, described[0].ErrMessage)
				}
				shown, err := chooseSettings(described[0].Configs, keys, all)
				if err != nil {
					return fmt.Errorf("%s: %w", doing, err)
				}
				if flags.output == outputJSON {
					return printJSON(cmd.OutOrStdout(), shown)
				}
				rows := [][]string{{"SETTING", "VALUE", "SOURCE"}}
				for _, s := range shown {
					value := ""
					if s.Value != nil {
						value = *s.Value
					}
					rows = append(rows, []string{s.Name, value, s.Source})
				}
				return printTable(cmd.OutOrStdout(), rows)
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "show those too that have their default")
	return cmd
}

// chooseSettings are those named by keys, in that order, or if there are none all that are not defaults.
func chooseSettings(configs []kadm.Config, keys []string, all bool) ([]shownSetting, error) {
	shown := []shownSetting{}
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
func newConfigChange(of configTarget, op kadm.IncrementalOp) *cobra.Command {
	var flags clientFlags
	verb, arguments, short := "set", " KEY=VALUE...", "Change settings "
	example := "  ottla config set topic flights retention.ms=86400000\n  ottla config set broker log.retention.ms=86400000"
	if op == kadm.DeleteConfig {
		verb, arguments, short = "unset", " KEY...", "Take back settings "
		example = "  ottla config unset topic flights retention.ms"
	}
	cmd := &cobra.Command{
		Use:     of.usage() + arguments,
		Short:   short + of.what(),
		Long:    short + of.what() + ".\nIt counts at once. All of them change, or none.",
		Args:    cobra.ArbitraryArgs,
		Example: example,
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
			return flags.withAdmin(cmd.Context(), func(ctx context.Context, admin *kadm.Client) error {
				doing := verb + " settings of " + r.String()
				answers, err := r.alter(ctx, admin, changes)
				if err != nil {
					return flags.explain(doing, err)
				}
				for _, answer := range answers {
					if answer.Err != nil {
						return configError(doing, answer.Err, answer.ErrMessage)
					}
				}
				if flags.output == outputJSON {
					return printJSON(cmd.OutOrStdout(), changed)
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s %s\n", r, verb, strings.Join(rest, " "))
				return err
			})
		},
	}
	flags.register(cmd)
	return cmd
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
		key, value, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, fmt.Errorf("setting %q: want KEY=VALUE, such as retention.ms=86400000", arg)
		}
		if c.Set == nil {
			c.Set = map[string]string{}
		}
		c.Set[key] = value
		changes = append(changes, kadm.AlterConfig{Op: op, Name: key, Value: &value})
	}
	return changes, nil
}
