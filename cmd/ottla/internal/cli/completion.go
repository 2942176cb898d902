package cli

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

	"github.com/ottla-io/ottla/internal/config"
)

// completionTimeout is how long a shell waits for a broker before it completes nothing.
const completionTimeout = time.Second

// Completer tells what may stand in a place of the command line; nothing where it cannot tell, as a shell has no place for errors.
type Completer func(cmd *cobra.Command, args []string) []string

// addCompletion has every command complete what its usage line names, TOPIC or GROUP, and the flags that are called after these; but for those that
// have completers of their own.
func addCompletion(cmd *cobra.Command, version string) {
	for _, sub := range cmd.Commands() {
		addCompletion(sub, version)
	}
	if cmd.ValidArgsFunction == nil && len(cmd.ValidArgs) == 0 {
		if words := argumentCompleters(cmd, version); words != nil {
			CompleteArguments(cmd, words...)
		}
	}
	flags := map[string]Completer{
		"topic": CompleteTopics(version), "group": CompleteGroups(version), "profile": completeProfiles,
		"output": func(*cobra.Command, []string) []string { return []string{"table", "json", "yaml"} },
	}
	cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
		complete := flags[flag.Name]
		if complete == nil {
			return
		}
		if _, has := cmd.GetFlagCompletionFunc(flag.Name); !has {
			CompleteFlag(cmd, flag.Name, complete)
		}
	})
}

// argumentCompleters are those of a command whose usage line begins with TOPIC or GROUP. Nil is: files.
func argumentCompleters(cmd *cobra.Command, version string) []Completer {
	_, usage, _ := strings.Cut(cmd.Use, " ")
	first, _, _ := strings.Cut(usage, " ")
	name, repeated := strings.CutSuffix(strings.Trim(first, "[]"), "...")
	complete := map[string]Completer{"TOPIC": CompleteTopics(version), "GROUP": CompleteGroups(version)}[name]
	switch {
	case complete == nil:
		return nil
	case repeated:
		return []Completer{complete}
	}
	return []Completer{complete, CompleteNothing}
}

// CompleteArguments has a command complete its arguments, each by the completer of its place; the last one serves the rest too.
func CompleteArguments(cmd *cobra.Command, words ...Completer) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return finish(words[min(len(args), len(words)-1)](cmd, args))
	}
}

// CompleteFlag has a command complete the value of a flag that it has.
func CompleteFlag(cmd *cobra.Command, flag string, complete Completer) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return finish(complete(cmd, args))
	})
	if err != nil {
		panic(err) // the flag is there
	}
}

// finish keeps the shell from completing files, and from adding a space behind KEY=.
func finish(words []string) ([]string, cobra.ShellCompDirective) {
	directive := cobra.ShellCompDirectiveNoFileComp
	if len(words) > 0 && strings.HasSuffix(words[0], "=") {
		directive |= cobra.ShellCompDirectiveNoSpace
	}
	return words, directive
}

// CompleteNothing is the Completer of new names.
func CompleteNothing(*cobra.Command, []string) []string { return nil }

// CompleteSettings completes the names of settings, each with a suffix, by Kafka's names, which Ottla has in common with any Kafka.
func CompleteSettings(scope config.Scope, suffix string) Completer {
	return func(*cobra.Command, []string) []string {
		var names []string
		for _, setting := range config.All(scope) {
			names = append(names, setting.Name+suffix)
		}
		return names
	}
}

// CompleteTopics completes the topics of the cluster that are not on the command line yet.
func CompleteTopics(version string) Completer {
	return func(cmd *cobra.Command, args []string) []string {
		return AskToComplete(cmd, version, func(ctx context.Context, _ ClientFlags, client *kgo.Client) []string {
			topics, err := kadm.NewClient(client).ListTopics(ctx)
			if err != nil {
				return nil
			}
			return slices.DeleteFunc(topics.Names(), func(name string) bool { return slices.Contains(args, name) })
		})
	}
}

// CompleteGroups completes the groups of the cluster that are not on the command line yet.
func CompleteGroups(version string) Completer {
	return func(cmd *cobra.Command, args []string) []string {
		return AskToComplete(cmd, version, func(ctx context.Context, flags ClientFlags, client *kgo.Client) []string {
			groups, err := flags.ListGroups(ctx, kadm.NewClient(client))
			if err != nil {
				return nil
			}
			return slices.DeleteFunc(slices.Sorted(maps.Keys(groups)), func(name string) bool { return slices.Contains(args, name) })
		})
	}
}

// AskToComplete asks the broker that the command would ask. It is nil if there is no answer in time.
func AskToComplete(cmd *cobra.Command, version string, ask func(context.Context, ClientFlags, *kgo.Client) []string) []string {
	if err := resolveConnection(cmd); err != nil {
		return nil
	}
	flags := ClientFlags{Version: version, Timeout: completionTimeout}
	for _, name := range []string{"bootstrap", "addr"} {
		if flag := cmd.Flags().Lookup(name); flag != nil {
			flags.Bootstrap = strings.Split(strings.Trim(flag.Value.String(), "[]"), ",")
			break
		}
	}
	ctx, cancel := context.WithTimeout(cmp.Or(cmd.Context(), context.Background()), completionTimeout)
	defer cancel()
	var words []string
	_ = flags.WithClient(ctx, func(ctx context.Context, client *kgo.Client) error { //nolint:errcheck // a shell has no place for errors
		words = ask(ctx, flags, client)
		return nil
	})
	return words
}
