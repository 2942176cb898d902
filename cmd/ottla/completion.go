package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/internal/config"
)

// completionTimeout is how long a shell waits for a broker before it completes nothing.
const completionTimeout = time.Second

// completer tells what may stand in a place of the command line; nothing where it cannot tell, as a shell has no place for errors.
type completer func(cmd *cobra.Command, args []string) []string

func newCompletion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a script that completes commands, flags, topics, groups, settings and profiles in your shell",
		Long: "Print a script that completes commands, flags and what they name in your shell: topics and groups are asked of the broker, within\n" +
			"a second.\n\n" +
			"bash:  source <(ottla completion bash), in ~/.bashrc; needs the package bash-completion\n" +
			"zsh:   ottla completion zsh > \"${fpath[1]}/_ottla\"\n" +
			"fish:  ottla completion fish > ~/.config/fish/completions/ottla.fish",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"bash", "zsh", "fish"},
		Example:   "  ottla completion bash",
		RunE: func(cmd *cobra.Command, shells []string) error {
			out := cmd.OutOrStdout()
			switch shells[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(out, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(out)
			}
			return cmd.Root().GenFishCompletion(out, true)
		},
	}
}

// addCompletion has every command complete what its usage line names: TOPIC, GROUP, NAME of a profile, KEY and KEY=VALUE of settings;
// and the flags that are called after one of these.
func addCompletion(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		addCompletion(sub)
	}
	if words := argumentCompleters(cmd); words != nil && cmd.ValidArgsFunction == nil && len(cmd.ValidArgs) == 0 {
		cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			words := words[min(len(args), len(words)-1):]
			return finish(words[0](cmd, args))
		}
	}
	flags := map[string]completer{
		"topic": completeTopics, "group": completeGroups, "profile": completeProfiles,
		"output": func(*cobra.Command, []string) []string { return []string{"table", "json", "yaml"} },
	}
	if cmd.Name() == "create" {
		flags["config"] = settingsOf(config.Topic, "=")
	}
	cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
		complete := flags[flag.Name]
		if complete == nil {
			return
		}
		if _, has := cmd.GetFlagCompletionFunc(flag.Name); has {
			return
		}
		err := cmd.RegisterFlagCompletionFunc(flag.Name, func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return finish(complete(cmd, args))
		})
		if err != nil {
			panic(err) // the flag is there
		}
	})
}

// finish keeps the shell from completing files, and from adding a space behind KEY=.
func finish(words []string) ([]string, cobra.ShellCompDirective) {
	directive := cobra.ShellCompDirectiveNoFileComp
	if len(words) > 0 && strings.HasSuffix(words[0], "=") {
		directive |= cobra.ShellCompDirectiveNoSpace
	}
	return words, directive
}

// argumentCompleters are those of a command's arguments, by place; the last one serves the rest too. Nil is: files.
func argumentCompleters(cmd *cobra.Command) []completer {
	_, usage, _ := strings.Cut(cmd.Use, " ")
	path := cmd.CommandPath()
	switch {
	case strings.HasPrefix(path, "ottla topic create"), strings.HasPrefix(path, "ottla profile set"):
		return []completer{nothing} // new names
	case strings.HasPrefix(path, "ottla profile ") && strings.HasPrefix(usage, "NAME"):
		return []completer{completeProfiles, nothing}
	case strings.HasPrefix(path, "ottla config "):
		return configCompleters(cmd)
	}
	first, rest, _ := strings.Cut(usage, " ")
	first = strings.Trim(first, "[]")
	name, repeated := strings.CutSuffix(first, "...")
	complete := map[string]completer{"TOPIC": completeTopics, "GROUP": completeGroups}[name]
	switch {
	case complete == nil:
		return nil
	case repeated:
		return []completer{complete}
	case strings.Contains(rest, "KEY=VALUE"):
		return []completer{complete, settingsOf(config.Topic, "=")}
	}
	return []completer{complete, nothing}
}

// configCompleters are those of config get|set|unset topic|broker|group and of config explain.
func configCompleters(cmd *cobra.Command) []completer {
	suffix := ""
	switch cmd.Parent().Name() {
	case "set":
		suffix = "="
	case "unset":
		switch cmd.Name() {
		case "topic":
			return []completer{completeTopics, completeOwnSettings}
		case "group":
			return []completer{completeGroups, completeOwnSettings}
		case "broker":
			return []completer{completeOwnSettings}
		}
	}
	switch cmd.Name() {
	case "topic":
		return []completer{completeTopics, settingsOf(config.Topic, suffix)}
	case "group":
		return []completer{completeGroups, settingsOf(config.Group, suffix)}
	case "broker", "print":
		return []completer{settingsOf(config.Broker, suffix)}
	case "explain":
		return []completer{func(cmd *cobra.Command, args []string) []string {
			all := slices.Concat(settingsOf(config.Topic, "")(cmd, args), settingsOf(config.Broker, "")(cmd, args), settingsOf(config.Group, "")(cmd, args))
			slices.Sort(all)
			return slices.Compact(all)
		}}
	}
	return nil
}

func nothing(*cobra.Command, []string) []string { return nil }

// settingsOf are the names of settings by Kafka's names, which Ottla has in common with any Kafka.
func settingsOf(scope config.Scope, suffix string) completer {
	return func(*cobra.Command, []string) []string {
		var names []string
		for _, setting := range config.All(scope) {
			names = append(names, setting.Name+suffix)
		}
		return names
	}
}

func completeProfiles(*cobra.Command, []string) []string {
	file, _, err := loadProfiles()
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(file.Profiles))
}

func completeTopics(cmd *cobra.Command, args []string) []string {
	return askToComplete(cmd, func(ctx context.Context, _ *clientFlags, client *kgo.Client) []string {
		topics, err := kadm.NewClient(client).ListTopics(ctx)
		if err != nil {
			return nil
		}
		return slices.DeleteFunc(topics.Names(), func(name string) bool { return slices.Contains(args, name) })
	})
}

func completeGroups(cmd *cobra.Command, args []string) []string {
	return askToComplete(cmd, func(ctx context.Context, flags *clientFlags, client *kgo.Client) []string {
		groups, err := flags.listGroups(ctx, kadm.NewClient(client))
		if err != nil {
			return nil
		}
		return slices.DeleteFunc(slices.Sorted(maps.Keys(groups)), func(name string) bool { return slices.Contains(args, name) })
	})
}

// completeOwnSettings are the settings that a resource has of its own: those that can be taken back.
func completeOwnSettings(cmd *cobra.Command, args []string) []string {
	return askToComplete(cmd, func(ctx context.Context, flags *clientFlags, client *kgo.Client) (names []string) {
		r, given, err := configTarget(cmd.Name()).parse(args)
		if err != nil {
			return nil
		}
		described, err := flags.describeConfigs(ctx, client, r)
		if err != nil {
			return nil
		}
		own := kmsg.ConfigSourceDynamicTopicConfig
		switch {
		case r.kind == kmsg.ConfigResourceTypeGroupConfig:
			own = kmsg.ConfigSourceGroupConfig
		case r.kind == kmsg.ConfigResourceTypeBroker && r.name == "":
			own = kmsg.ConfigSourceDynamicDefaultBrokerConfig
		case r.kind == kmsg.ConfigResourceTypeBroker:
			own = kmsg.ConfigSourceDynamicBrokerConfig
		}
		for _, c := range described[r].Configs {
			if c.Source == own && !slices.Contains(given, c.Key) {
				names = append(names, c.Key)
			}
		}
		slices.Sort(names)
		return names
	})
}

// askToComplete asks the broker that the command would ask.
func askToComplete(cmd *cobra.Command, ask func(context.Context, *clientFlags, *kgo.Client) []string) []string {
	if err := resolveConnection(cmd); err != nil {
		return nil
	}
	flags := clientFlags{timeout: completionTimeout}
	for _, name := range []string{"bootstrap", "addr"} {
		if flag := cmd.Flags().Lookup(name); flag != nil {
			flags.bootstrap = strings.Split(strings.Trim(flag.Value.String(), "[]"), ",")
			break
		}
	}
	ctx, cancel := context.WithTimeout(cmp.Or(cmd.Context(), context.Background()), completionTimeout)
	defer cancel()
	var words []string
	_ = flags.withClient(ctx, func(ctx context.Context, client *kgo.Client) error { //nolint:errcheck // a shell has no place for errors
		words = ask(ctx, &flags, client)
		return nil
	})
	return words
}
