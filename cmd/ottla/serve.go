package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ottla-io/ottla"
	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

// drainTimeout is how long SIGTERM waits for replies that are on their way.
const drainTimeout = 30 * time.Second

type serveFlags struct {
	version                                        string // of this binary
	data, listen, advertise, admin, file, logLevel string
	nodeID                                         int32
	settings                                       []string
	level                                          slog.LevelVar // of the log
}

func newServe(version string) *cobra.Command {
	flags := serveFlags{version: version}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a broker",
		Long: "Run a broker until SIGTERM or Ctrl-C, which drain it. It prints one line when it is ready, and tells systemd (Type=notify).\n\n" +
			"Settings have Kafka's names (log.retention.hours, num.partitions, …); Ottla's own begin with 'ottla.'. They come from --set,\n" +
			"else from OTTLA_* variables (OTTLA_LOG_RETENTION_HOURS=24, OTTLA_DATA=/var/lib/ottla), else from --config, a YAML, TOML\n" +
			"or .properties file whose keys are the flags' names (data, listen, advertise, admin, node-id) and settings. A server.properties\n" +
			"of Kafka's will do. SIGHUP has the file read again: settings that may change in a running broker count at once, and the log\n" +
			"names those that wait for the next start. 'ottla config print' shows what counts, and where it comes from.\n\n" +
			"It listens on loopback. For clients on other machines: --listen 0.0.0.0:9092 --advertise broker.example.org:9092, a name that they\n" +
			"can resolve; there is no TLS and no authentication yet.",
		Args: cobra.NoArgs,
		Example: "  ottla serve\n" +
			"  ottla serve --data other-data --set log.retention.hours=24 --set num.partitions=4",
		RunE: func(cmd *cobra.Command, _ []string) error { return runServe(cmd, &flags) },
	}
	flags.Register(cmd)
	return cmd
}

// Register adds the flags of serve, to 'ottla config print' too.
func (flags *serveFlags) Register(cmd *cobra.Command) {
	cli.OwnConnection(cmd)
	cmd.Flags().StringVar(&flags.data, "data", cli.DefaultDataDir, "data directory, created if absent")
	cmd.Flags().StringVar(&flags.listen, "listen", cli.DefaultBootstrap, "HOST:PORT for Kafka clients, plaintext; port 0 picks a free one")
	cmd.Flags().StringVar(&flags.advertise, "advertise", "", "HOST:PORT that clients are told to use; by default the address that each reached us at")
	cmd.Flags().StringVar(&flags.admin, "admin", cli.DefaultAdmin, "HOST:PORT for /metrics, /healthz, /readyz, /trace and /debug/pprof; 'none' for no such listener")
	cmd.Flags().Int32Var(&flags.nodeID, "node-id", 1, "this broker's id, node.id in Kafka's words")
	cmd.Flags().StringArrayVar(&flags.settings, "set", nil, "setting KEY=VALUE by Kafka's name; may be repeated")
	cmd.Flags().StringVar(&flags.file, "config", "", "configuration file, .yaml, .toml or Kafka's .properties; SIGHUP has it read again")
	cmd.Flags().StringVar(&flags.logLevel, "log-level", "info", "debug, info, warn or error")
}

func runServe(cmd *cobra.Command, flags *serveFlags) error {
	r, err := flags.resolve(cmd)
	if err != nil {
		return err
	}
	flags.level.Set(r.level)
	hangups := make(chan os.Signal, 1) // one that comes while the broker starts must not end it
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	broker, err := ottla.Start(r.config)
	if err != nil {
		return err
	}
	admin := ""
	if broker.AdminAddr() != "" {
		admin = ", admin http://" + broker.AdminAddr()
	}
	fmt.Fprintf(cmd.OutOrStdout(), "ottla %s ready: kafka %s%s, data %s\n", flags.version, broker.Addr(), admin, strings.Join(broker.DataDirs(), ","))
	serving := []string{"READY=1", "STATUS=Serving Kafka clients at " + broker.Addr()}
	notify(r.config.Logger, serving...)
	flags.reloadUntilDone(cmd, hangups, serving, broker, r.config.Logger)
	notify(r.config.Logger, "STOPPING=1", "STATUS=Sending the replies that are on their way")
	// The command's context is over; draining gets a fresh one.
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := broker.Close(ctx); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}

// reloadUntilDone reads the configuration again at each SIGHUP, until the command is to end. serving is what the service manager is told after each.
func (flags *serveFlags) reloadUntilDone(cmd *cobra.Command, hangups <-chan os.Signal, serving []string, broker *ottla.Broker, logger *slog.Logger) {
	for {
		select {
		case <-cmd.Context().Done():
			return
		case <-hangups:
		}
		notify(logger, reloading()...)
		if err := flags.reload(cmd, broker, logger); err != nil {
			logger.Error("SIGHUP: the configuration cannot be used, and nothing changed", "error", err)
			notify(logger, "READY=1", serving[1]+"; the changed configuration is refused: see the log")
			continue
		}
		notify(logger, serving...)
	}
}

func (flags *serveFlags) reload(cmd *cobra.Command, broker *ottla.Broker, logger *slog.Logger) error {
	r, err := flags.resolve(cmd)
	if err != nil {
		return err
	}
	if err := broker.Reload(r.config); err != nil {
		return err
	}
	if before := flags.level.Level(); before != r.level {
		flags.level.Set(min(before, r.level)) // whichever lets the line through
		logger.Info("a setting changed", "setting", "log-level", "value", r.level)
		flags.level.Set(r.level)
	}
	return nil
}
