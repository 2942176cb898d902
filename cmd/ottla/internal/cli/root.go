package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ottla-io/ottla/internal/config"
)

// Assemble has root hold commands, and gives all of them what they have in common: -o yaml, profiles, completion, and errors that name what was
// probably meant. version is that of the binary, which brokers are told. No command has a PersistentPreRunE of its own.
func Assemble(root *cobra.Command, version string, commands ...*cobra.Command) {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.Args, root.RunE = cobra.ArbitraryArgs, runParent
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		rewriteOutput(cmd)
		return resolveConnection(cmd)
	}
	root.SetFlagErrorFunc(nearestFlag)
	root.PersistentFlags().String("profile", "", "profile of the cluster to work with ('ottla help profile')")
	root.AddCommand(commands...)
	addCompletion(root, version)
}

// Execute runs one command line of root, which may not run another afterwards, and returns the exit code: 0, or 1 with one sentence on stderr.
func Execute(ctx context.Context, root *cobra.Command, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
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

// Parent is a command that only holds others.
func Parent(use, short string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: runParent}
}

// runParent shows the help of a command that holds others, or names the command that an unknown one was probably meant to be.
func runParent(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	if near, ok := Nearest(args[0], names); ok {
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
	if near, ok := Nearest(wanted, names); ok {
		return fmt.Errorf("%s has no flag --%s: did you mean --%s?", cmd.CommandPath(), wanted, near)
	}
	return fmt.Errorf("%s has no flag --%s; see 'ottla help %s'", cmd.CommandPath(), wanted, strings.TrimPrefix(cmd.CommandPath(), "ottla "))
}

// Nearest names the candidate that a mistyped name was probably meant to be.
func Nearest(name string, candidates []string) (string, bool) {
	near := config.NearestOf(name, candidates)
	return near, near != ""
}
