// Command ottla is the whole of Ottla in one binary: the broker (serve), a client for any Kafka broker (topic, produce,
// consume), and offline inspection of data directories (log).
//
// It owns flags, environment, configuration files and what is printed; everything else it asks of packages ottla (the
// broker), inspect (files) and franz-go (the client). It must never hold broker logic. It is the only place that may end the
// process or catch signals. Nothing here survives a crash.
package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(execute(ctx, newRoot(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "ottla",
		Short: "Ottla: an event-streaming platform that speaks Apache Kafka's protocol",
		Long:  "Ottla is a broker that speaks Apache Kafka's protocol, a client for any Kafka broker, and the tools to look into\nits files, in one binary.\n\nStart a broker:      ottla serve\nSend it a record:    echo hello | ottla produce greetings\nRead it back:        ottla consume greetings\n\n" + profileHelp,
	}
	release := version()
	assemble(root, release, slices.Concat(
		[]*cobra.Command{newServe(release), newProfile(), newCompletion(), newMan(), newVersion()},
		topicCommands(release, newTopicAlter(release)),
		groupCommands(release),
		settingCommands(release, &serveFlags{version: release}),
		recordCommands(release),
		checkupCommands(release),
		logCommands(),
	)...)
	return root
}
