package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"

	"github.com/ottla-io/ottla"
	"github.com/ottla-io/ottla/cmd/ottla/internal/settings"
)

// given is a value of one key, and where it comes from.
type given struct {
	value  string
	rank   int    // of sources: the highest counts
	source string // as it is shown
}

// Ranks of sources.
const (
	rankDefault = iota
	rankFile
	rankVariable
	rankFlag
)

// resolved is what serve was told, from all sources.
type resolved struct {
	config ottla.Config
	level  slog.Level
	// sources are those of Config.Settings and of the flags, by name.
	sources map[string]given
}

// twins are keys of our own and the settings of Kafka's that mean the same. The one from the higher source counts.
var twins = []struct{ key, setting string }{{"listen", "listeners"}, {"advertise", "advertised.listeners"}, {"node-id", "node.id"}}

// resolve merges the four sources: flags over environment over file over defaults.
func (flags *serveFlags) resolve(cmd *cobra.Command) (resolved, error) {
	all, err := flags.collect(cmd)
	if err != nil {
		return resolved{}, err
	}
	for _, twin := range twins {
		if err := settleTwins(all, twin.key, twin.setting); err != nil {
			return resolved{}, err
		}
	}
	r := resolved{sources: all}
	r.config = ottla.Config{DataDir: all["data"].value, Listen: all["listen"].value, Advertise: all["advertise"].value, Admin: all["admin"].value, Version: flags.version}
	if r.config.Admin == "none" {
		r.config.Admin = ""
	}
	nodeID, err := strconv.ParseInt(cmp.Or(all["node-id"].value, all["node.id"].value), 10, 32)
	if err != nil || nodeID < 0 {
		return resolved{}, errors.New("node-id: want a number from 0 on")
	}
	r.config.NodeID = int32(nodeID)
	if err := r.level.UnmarshalText([]byte(all["log-level"].value)); err != nil {
		return resolved{}, fmt.Errorf("log-level %q: want debug, info, warn or error", all["log-level"].value)
	}
	r.config.Settings = map[string]string{}
	for key, g := range all {
		if !slices.Contains(serveKeys, key) && key != "node.id" {
			r.config.Settings[key] = g.value
		}
	}
	r.config.Logger = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: &flags.level}))
	return r, nil
}

// Told is what serve would start with, for 'ottla config print'.
func (flags *serveFlags) Told(cmd *cobra.Command) (settings.Told, error) {
	r, err := flags.resolve(cmd)
	if err != nil {
		return settings.Told{}, err
	}
	told := settings.Told{NodeID: r.config.NodeID, Settings: r.config.Settings, Own: serveKeys, Values: map[string]settings.Value{}}
	for key, g := range r.sources {
		told.Values[key] = settings.Value{Text: g.value, Source: g.source}
	}
	return told, nil
}

// serveKeys are those of serve's own rather than settings.
var serveKeys = []string{"data", "listen", "advertise", "admin", "node-id", "log-level"}

// settleTwins leaves out the one of two keys of the same meaning that comes from the lower source.
func settleTwins(all map[string]given, key, setting string) error {
	ours, theirs := all[key], all[setting]
	_, both := all[setting]
	switch {
	case !both:
	case ours.rank == theirs.rank:
		return fmt.Errorf("%s and %s mean the same, and %s has both: leave one out", key, setting, ours.source)
	case ours.rank > theirs.rank:
		delete(all, setting)
	default:
		delete(all, key)
	}
	return nil
}

// collect reads all sources. Each key has the value of its highest.
func (flags *serveFlags) collect(cmd *cobra.Command) (map[string]given, error) {
	all := map[string]given{}
	if flags.file != "" {
		loaded, err := loadFile(flags.file)
		if err != nil {
			return nil, err
		}
		for key, value := range loaded {
			all[key] = given{value, rankFile, "file " + flags.file}
		}
	}
	variables := koanf.New("|") // keys contain dots, so the path delimiter is one that they never contain
	names := map[string]string{}
	if err := variables.Load(env.Provider("|", env.Opt{Prefix: "OTTLA_", TransformFunc: func(name, value string) (string, any) {
		key, _ := settingOfVariable(name, value)
		names[key] = name
		return key, value
	}}), nil); err != nil {
		return nil, fmt.Errorf("read OTTLA_* variables: %w", err)
	}
	if err := checkVariables(); err != nil {
		return nil, err
	}
	for key, value := range variables.All() {
		all[key] = given{fmt.Sprint(value), rankVariable, "variable " + names[key]}
	}
	for _, setting := range flags.settings {
		key, value, ok := strings.Cut(setting, "=")
		if !ok {
			return nil, fmt.Errorf("--set %s: want KEY=VALUE, such as log.retention.hours=24", setting)
		}
		all[key] = given{value, rankFlag, "flag --set"}
	}
	for key, value := range map[string]string{"data": flags.data, "listen": flags.listen, "advertise": flags.advertise, "admin": flags.admin,
		"node-id": strconv.Itoa(int(flags.nodeID)), "log-level": flags.logLevel} {
		if cmd.Flags().Changed(key) {
			all[key] = given{value, rankFlag, "flag --" + key}
		} else if _, ok := all[key]; !ok {
			all[key] = given{value, rankDefault, settings.SourceDefault}
		}
	}
	return all, nil
}

// loadFile reads a configuration file into flat keys.
func loadFile(path string) (map[string]string, error) {
	var parser koanf.Parser
	switch filepath.Ext(path) {
	case ".yaml", ".yml":
		parser = yaml.Parser()
	case ".toml":
		parser = toml.Parser()
	case ".properties":
		parser = properties{}
	default:
		return nil, fmt.Errorf("config file %s: want a name that ends in .yaml, .yml, .toml or .properties", path)
	}
	loaded := koanf.New("|")
	if err := loaded.Load(file.Provider(path), parser); err != nil {
		var missing *fs.PathError
		if errors.As(err, &missing) {
			return nil, fmt.Errorf("read config file %s: %w", path, missing.Err)
		}
		return nil, fmt.Errorf("config file %s is not valid %s: %w", path, strings.TrimPrefix(filepath.Ext(path), "."), err)
	}
	// Nested sections mean the same as dotted names: {log: {retention: {hours: 24}}} is log.retention.hours.
	flat := map[string]string{}
	for path, value := range loaded.All() {
		flat[strings.ReplaceAll(path, "|", ".")] = textOf(value)
	}
	return flat, nil
}

// textOf is a value of a file as a setting's text: the items of a list with commas between them.
func textOf(value any) string {
	if items, ok := value.([]any); ok {
		texts := make([]string, len(items))
		for i, item := range items {
			texts[i] = fmt.Sprint(item)
		}
		return strings.Join(texts, ",")
	}
	return fmt.Sprint(value)
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
