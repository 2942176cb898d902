// Command ottla is the whole of Ottla in one binary: the broker (serve), a client for any Kafka broker (topic, produce,
// consume), and offline inspection of data directories (log).
//
// It owns the process: the broker that serve runs, with its flags, environment and configuration files; signals, and what the service manager is told;
// version and manual. Families of commands are rooms below internal, each with what it asks and prints; cli has what they share. They ask the rest
// of packages ottla (the broker), inspect (files) and franz-go (the client). Nothing of it may ever hold broker logic. Package main is the only place that
// may end the process, and only it and what draws on a terminal catch signals. Nothing here survives a crash.
package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ottla-io/ottla/cmd/ottla/internal/checkup"
	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
	"github.com/ottla-io/ottla/cmd/ottla/internal/groups"
	"github.com/ottla-io/ottla/cmd/ottla/internal/logs"
	"github.com/ottla-io/ottla/cmd/ottla/internal/records"
	"github.com/ottla-io/ottla/cmd/ottla/internal/settings"
	"github.com/ottla-io/ottla/cmd/ottla/internal/topics"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(cli.Execute(ctx, newRoot(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "ottla",
		Short: "Ottla: an event-streaming platform that speaks Apache Kafka's protocol",
		Long:  "Ottla is a broker that speaks Apache Kafka's protocol, a client for any Kafka broker, and the tools to look into\nits files, in one binary.\n\nStart a broker:      ottla serve\nSend it a record:    echo hello | ottla produce greetings\nRead it back:        ottla consume greetings\n\n" + cli.ProfileHelp,
	}
	release := version()
	cli.Assemble(root, release, slices.Concat(
		[]*cobra.Command{newServe(release), cli.ProfileCommand(), newCompletion(), newMan(), newVersion()},
		topics.Commands(release, settings.Alter(release)),
		groups.Commands(release),
		settings.Commands(release, &serveFlags{version: release}),
		records.Commands(release),
		checkup.Commands(release),
		logs.Commands(),
	)...)
	return root
}
