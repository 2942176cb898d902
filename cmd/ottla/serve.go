package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"

	"github.com/ottla-io/ottla"
)

const (
	defaultDataDir = "ottla-data"
	defaultListen  = defaultBootstrap
	defaultAdmin   = "127.0.0.1:9642"
)

// drainTimeout is how long SIGTERM waits for replies that are on their way.
const drainTimeout = 30 * time.Second

type serveFlags struct {
	data, listen, advertise, admin, file, logLevel string
	nodeID                                         int32
	settings                                       []string
}

func newServe() *cobra.Command {
	var flags serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a broker",
		Long: "Run a broker until SIGTERM or Ctrl-C, which drain it. It prints one line when it is ready.\n\n" +
			"Settings have Kafka's names (log.retention.hours, num.partitions, …); Ottla's own begin with 'ottla.'. They come from --set,\n" +
			"else from OTTLA_* variables (OTTLA_LOG_RETENTION_HOURS=24, OTTLA_DATA=/var/lib/ottla), else from --config, a YAML or TOML\n" +
			"file whose keys are the flags' names (data, listen, advertise, admin, node-id) and settings.\n\n" +
			"It listens on loopback. For clients on other machines: --listen 0.0.0.0:9092 --advertise broker.example.org:9092, a name that they\n" +
			"can resolve; there is no TLS and no authentication yet.",
		Args: cobra.NoArgs,
		Example: "  ottla serve\n" +
			"  ottla serve --data other-data --set log.retention.hours=24 --set num.partitions=4",
		RunE: func(cmd *cobra.Command, _ []string) error { return runServe(cmd, &flags) },
	}
	cmd.Flags().StringVar(&flags.data, "data", defaultDataDir, "data directory, created if absent")
	cmd.Flags().StringVar(&flags.listen, "listen", defaultListen, "HOST:PORT for Kafka clients, plaintext; port 0 picks a free one")
	cmd.Flags().StringVar(&flags.advertise, "advertise", "", "HOST:PORT that clients are told to use; by default the address that each reached us at")
	cmd.Flags().StringVar(&flags.admin, "admin", defaultAdmin, "HOST:PORT for /metrics, /healthz, /readyz and /debug/pprof; 'none' for no such listener")
	cmd.Flags().Int32Var(&flags.nodeID, "node-id", 1, "this broker's id, node.id in Kafka's words")
	cmd.Flags().StringArrayVar(&flags.settings, "set", nil, "setting KEY=VALUE by Kafka's name; may be repeated")
	cmd.Flags().StringVar(&flags.file, "config", "", "configuration file, .yaml or .toml")
	cmd.Flags().StringVar(&flags.logLevel, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func runServe(cmd *cobra.Command, flags *serveFlags) error {
	config, err := flags.resolve(cmd)
	if err != nil {
		return err
	}
	broker, err := ottla.Start(config)
	if err != nil {
		return err
	}
	admin := ""
	if broker.AdminAddr() != "" {
		admin = ", admin http://" + broker.AdminAddr()
	}
	fmt.Fprintf(cmd.OutOrStdout(), "ottla %s ready: kafka %s%s, data %s\n", version(), broker.Addr(), admin, strings.Join(broker.DataDirs(), ","))
	<-cmd.Context().Done()
	// The command's context is over; draining gets a fresh one.
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := broker.Close(ctx); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}

// resolve merges the four sources: flags over environment over file over defaults.
func (flags *serveFlags) resolve(cmd *cobra.Command) (ottla.Config, error) {
	merged := koanf.New("|") // keys contain dots, so the path delimiter is one that they never contain
	if flags.file != "" {
		if err := loadFile(merged, flags.file); err != nil {
			return ottla.Config{}, err
		}
	}
	variables := env.Provider("|", env.Opt{Prefix: "OTTLA_", TransformFunc: settingOfVariable})
	if err := merged.Load(variables, nil); err != nil {
		return ottla.Config{}, fmt.Errorf("read OTTLA_* variables: %w", err)
	}
	if err := checkVariables(); err != nil {
		return ottla.Config{}, err
	}
	settings := map[string]string{}
	for key, value := range merged.All() {
		settings[key] = strings.Trim(fmt.Sprint(value), "[]")
	}
	for _, setting := range flags.settings {
		key, value, ok := strings.Cut(setting, "=")
		if !ok {
			return ottla.Config{}, fmt.Errorf("--set %s: want KEY=VALUE, such as log.retention.hours=24", setting)
		}
		settings[key] = value
	}
	take := func(flag string, value string) string {
		fromSource, ok := settings[flag]
		delete(settings, flag)
		if ok && !cmd.Flags().Changed(flag) {
			return fromSource
		}
		return value
	}
	config := ottla.Config{
		DataDir:   take("data", flags.data),
		Listen:    take("listen", flags.listen),
		Advertise: take("advertise", flags.advertise),
		Admin:     take("admin", flags.admin),
		Version:   version(),
	}
	if config.Admin == "none" {
		config.Admin = ""
	}
	nodeID, err := strconv.ParseInt(take("node-id", strconv.Itoa(int(flags.nodeID))), 10, 32)
	if err != nil || nodeID < 0 {
		return ottla.Config{}, fmt.Errorf("node-id: want a number from 0 on")
	}
	config.NodeID = int32(nodeID)
	config.Settings = settings
	var level slog.Level
	if err := level.UnmarshalText([]byte(take("log-level", flags.logLevel))); err != nil {
		return ottla.Config{}, fmt.Errorf("log-level %q: want debug, info, warn or error", flags.logLevel)
	}
	config.Logger = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
	return config, nil
}

func loadFile(into *koanf.Koanf, path string) error {
	var parser koanf.Parser
	switch filepath.Ext(path) {
	case ".yaml", ".yml":
		parser = yaml.Parser()
	case ".toml":
		parser = toml.Parser()
	default:
		return fmt.Errorf("config file %s: want a name that ends in .yaml, .yml or .toml", path)
	}
	loaded := koanf.New("|")
	if err := loaded.Load(file.Provider(path), parser); err != nil {
		var missing *fs.PathError
		if errors.As(err, &missing) {
			return fmt.Errorf("read config file %s: %w", path, missing.Err)
		}
		return fmt.Errorf("config file %s is not valid %s: %w", path, strings.TrimPrefix(filepath.Ext(path), "."), err)
	}
	// Nested sections mean the same as dotted names: {log: {retention: {hours: 24}}} is log.retention.hours.
	flat := map[string]any{}
	for path, value := range loaded.All() {
		flat[strings.ReplaceAll(path, "|", ".")] = value
	}
	for key, value := range flat {
		if err := into.Set(key, value); err != nil {
			return fmt.Errorf("config file %s: %w", path, err)
		}
	}
	return nil
}

// checkVariables names a variable that means nothing: a mistyped setting must not be lost in silence.
func checkVariables() error {
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, "OTTLA_") {
			continue
		}
		key, _ := settingOfVariable(name, "")
		switch key {
		case "", "data", "listen", "advertise", "admin", "node-id", "log-level":
			continue
		}
		if !ottla.KnownSetting(key) {
			return fmt.Errorf("variable %s: no setting is called %s; unset it, or see docs/settings.md for the names", name, key)
		}
	}
	return nil
}

// settingOfVariable turns OTTLA_LOG_RETENTION_HOURS into log.retention.hours, OTTLA_NODE_ID into node-id, and
// OTTLA_DURABILITY into ottla.durability. OTTLA_BOOTSTRAP and
// OTTLA_PROFILE belong to the client commands.
func settingOfVariable(name, value string) (string, any) {
	name = strings.ToLower(strings.TrimPrefix(name, "OTTLA_"))
	switch name {
	case "bootstrap", "profile":
		return "", nil
	case "data", "listen", "advertise", "admin":
		return name, value
	case "node_id", "log_level":
		return strings.ReplaceAll(name, "_", "-"), value
	}
	dotted := strings.ReplaceAll(name, "_", ".")
	if !ottla.KnownSetting(dotted) && ottla.KnownSetting("ottla."+dotted) {
		dotted = "ottla." + dotted
	}
	return dotted, value
}
