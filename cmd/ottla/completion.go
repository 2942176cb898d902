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

	"github.com/ottla-io/ottla/internal/config"
)

// completionTimeout is how long a shell waits for a broker before it completes nothing.
const completionTimeout = time.Second

// completer tells what may stand in a place of the command line; nothing where it cannot tell, as a shell has no place for errors.
type completer func(cmd *cobra.Command, args []string) []string

// addCompletion has every command complete what its usage line names, TOPIC or GROUP, and the flags that are called after these; but for those that
// have completers of their own.
func addCompletion(cmd *cobra.Command, version string) {
	for _, sub := range cmd.Commands() {
		addCompletion(sub, version)
	}
	if cmd.ValidArgsFunction == nil && len(cmd.ValidArgs) == 0 {
		if words := argumentCompleters(cmd, version); words != nil {
			completeArguments(cmd, words...)
		}
	}
	flags := map[string]completer{
		"topic": completeTopics(version), "group": completeGroups(version), "profile": completeProfiles,
		"output": func(*cobra.Command, []string) []string { return []string{"table", "json", "yaml"} },
	}
	cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
		complete := flags[flag.Name]
		if complete == nil {
			return
		}
		if _, has := cmd.GetFlagCompletionFunc(flag.Name); !has {
			completeFlag(cmd, flag.Name, complete)
		}
	})
}

// argumentCompleters are those of a command whose usage line begins with TOPIC or GROUP. Nil is: files.
func argumentCompleters(cmd *cobra.Command, version string) []completer {
	_, usage, _ := strings.Cut(cmd.Use, " ")
	first, _, _ := strings.Cut(usage, " ")
	name, repeated := strings.CutSuffix(strings.Trim(first, "[]"), "...")
	complete := map[string]completer{"TOPIC": completeTopics(version), "GROUP": completeGroups(version)}[name]
	switch {
	case complete == nil:
		return nil
	case repeated:
		return []completer{complete}
	}
	return []completer{complete, completeNothing}
}

// completeArguments has a command complete its arguments, each by the completer of its place; the last one serves the rest too.
func completeArguments(cmd *cobra.Command, words ...completer) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return finish(words[min(len(args), len(words)-1)](cmd, args))
	}
}

// completeFlag has a command complete the value of a flag that it has.
func completeFlag(cmd *cobra.Command, flag string, complete completer) {
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

// completeNothing is for new names.
func completeNothing(*cobra.Command, []string) []string { return nil }

// completeSettings are the names of settings by Kafka's names, which Ottla has in common with any Kafka.
func completeSettings(scope config.Scope, suffix string) completer {
	return func(*cobra.Command, []string) []string {
		var names []string
		for _, setting := range config.All(scope) {
			names = append(names, setting.Name+suffix)
		}
		return names
	}
}

// completeTopics are the topics of the cluster that are not on the command line yet.
func completeTopics(version string) completer {
	return func(cmd *cobra.Command, args []string) []string {
		return askToComplete(cmd, version, func(ctx context.Context, _ clientFlags, client *kgo.Client) []string {
			topics, err := kadm.NewClient(client).ListTopics(ctx)
			if err != nil {
				return nil
			}
			return slices.DeleteFunc(topics.Names(), func(name string) bool { return slices.Contains(args, name) })
		})
	}
}

// completeGroups are the groups of the cluster that are not on the command line yet.
func completeGroups(version string) completer {
	return func(cmd *cobra.Command, args []string) []string {
		return askToComplete(cmd, version, func(ctx context.Context, flags clientFlags, client *kgo.Client) []string {
			groups, err := flags.listGroups(ctx, kadm.NewClient(client))
			if err != nil {
				return nil
			}
			return slices.DeleteFunc(slices.Sorted(maps.Keys(groups)), func(name string) bool { return slices.Contains(args, name) })
		})
	}
}

// askToComplete asks the broker that the command would ask. It is nil if there is no answer in time.
func askToComplete(cmd *cobra.Command, version string, ask func(context.Context, clientFlags, *kgo.Client) []string) []string {
	if err := resolveConnection(cmd); err != nil {
		return nil
	}
	flags := clientFlags{version: version, timeout: completionTimeout}
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
		words = ask(ctx, flags, client)
		return nil
	})
	return words
}
