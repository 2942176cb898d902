// Command ottla is the whole of Ottla in one binary: the broker (serve), a client for any Kafka broker (topic, produce,
// consume), and offline inspection of data directories (log).
//
// It owns flags, environment, configuration files and what is printed; everything else it asks of packages ottla (the
// broker), inspect (files) and franz-go (the client). It must never hold broker logic. It is the only place that may end the
// process or catch signals. Nothing here survives a crash.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// execute runs one command line and returns the exit code: 0, or 1 with one sentence on stderr.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return 0 // the user pressed Ctrl-C
	}
	fmt.Fprintf(stderr, "ottla: %s\n", strings.TrimSpace(err.Error()))
	return 1
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "ottla",
		Short:         "Ottla: an event-streaming platform that speaks Apache Kafka's protocol",
		Long:          "Ottla is a broker that speaks Apache Kafka's protocol, a client for any Kafka broker, and the tools to look into\nits files, in one binary.\n\nStart a broker:      ottla serve\nSend it a record:    echo hello | ottla produce greetings\nRead it back:        ottla consume greetings\n\n" + profileHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          runGroup,
		// Runs before every command. No command has a hook of its own.
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			rewriteOutput(cmd)
			return resolveConnection(cmd)
		},
	}
	root.SetFlagErrorFunc(nearestFlag)
	root.PersistentFlags().String("profile", "", "profile of the cluster to work with ('ottla help profile')")
	root.AddCommand(
		newServe(),
		newTopic(),
		newConfig(),
		newProduce(),
		newConsume(),
		newGroupCommand(),
		newQuota(),
		newLog(),
		newTop(),
		newBench(),
		newDoctor(),
		newTrace(),
		newReady(),
		newCluster(),
		newProducers(),
		newExport(),
		newDiff(),
		newApply(),
		newProfile(),
		newCompletion(),
		newMan(),
		newVersion(),
	)
	addCompletion(root)
	return root
}

// newGroup is a command that only holds others.
func newGroup(use, short string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: runGroup}
}

// runGroup shows a group's help, or names the command that an unknown one was probably meant to be.
func runGroup(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	if near, ok := nearest(args[0], names); ok {
		return fmt.Errorf("%s has no command %s: did you mean %s?", cmd.CommandPath(), args[0], near)
	}
	return fmt.Errorf("%s has no command %s; see '%s --help'", cmd.CommandPath(), args[0], cmd.CommandPath())
}

// nearestFlag names the flag that an unknown one was probably meant to be.
func nearestFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return fmt.Errorf("%s: %w; see 'ottla help %s'", cmd.CommandPath(), err, strings.TrimPrefix(cmd.CommandPath(), "ottla "))
	}
	var names []string
	collect := func(f *pflag.Flag) { names = append(names, f.Name) }
	cmd.Flags().VisitAll(collect)
	cmd.InheritedFlags().VisitAll(collect)
	wanted := unknown.GetSpecifiedName()
	if near, ok := nearest(wanted, names); ok {
		return fmt.Errorf("%s has no flag --%s: did you mean --%s?", cmd.CommandPath(), wanted, near)
	}
	return fmt.Errorf("%s has no flag --%s; see 'ottla help %s'", cmd.CommandPath(), wanted, strings.TrimPrefix(cmd.CommandPath(), "ottla "))
}
