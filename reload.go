package ottla

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/ottla-io/ottla/internal/config"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/controller"
)

// Reload takes over what changed of Config.Settings and may change in a running broker, and logs each change: those that count now, and
// those that wait for the next start. A Config that Start would refuse changes nothing, and the error says why.
//
// What AlterConfigs set, on this broker or on all, goes on counting before these.
func (b *Broker) Reload(next Config) error {
	s, err := next.resolve()
	if err != nil {
		return err
	}
	b.reloading.Lock()
	defer b.reloading.Unlock()
	if b.config.Admin != next.Admin {
		b.waitsForRestart("admin", slog.StringValue(b.config.Admin), slog.StringValue(next.Admin))
	}
	static, changed := b.mergeStatic(b.cluster.staticSettings(), s.static)
	if len(changed) == 0 {
		b.logger.Info("settings read again: none changed that can change in a running broker")
		return nil
	}
	// The controller's goroutine is the one that puts settings into force.
	if _, err := machine.Do(b.runtime, func(*controller.Controller, machine.Moment) ([]machine.Record, struct{}) {
		b.cluster.reload(static)
		return nil, struct{}{}
	}); err != nil {
		return fmt.Errorf("put changed settings into force: %w", err)
	}
	layers := b.cluster.layers(b.cluster.Image(), "")
	for _, name := range changed {
		attributes := []any{"setting", name, "value", shown(static, name)}
		if e, ok := layers.Describe(config.Broker, name); ok && e.Source < config.StaticBroker {
			attributes = append(attributes, "overruledBy", e.Value)
		}
		b.logger.Info("a setting changed", attributes...)
	}
	return nil
}

// mergeStatic is what of next counts beside before, and the names that it changes. It tells of what waits for the next start.
func (b *Broker) mergeStatic(before, next map[string]string) (merged map[string]string, changed []string) {
	merged = maps.Clone(before)
	names := maps.Clone(before)
	maps.Copy(names, next)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, had := before[name]
		is, has := next[name]
		if had == has && was == is {
			continue
		}
		setting, _ := config.Lookup(config.Broker, name)
		if !setting.Dynamic {
			b.waitsForRestart(name, shown(before, name), shown(next, name))
			continue
		}
		delete(merged, name)
		if has {
			merged[name] = is
		}
		changed = append(changed, name)
	}
	return merged, changed
}

// shown is a setting as the log tells it.
func shown(static map[string]string, name string) slog.Value {
	setting, _ := config.Lookup(config.Broker, name)
	value, ok := static[name]
	switch {
	case !ok:
		return slog.StringValue("(unset)")
	case setting.Sensitive:
		return slog.StringValue("(hidden)")
	}
	return slog.StringValue(value)
}

func (b *Broker) waitsForRestart(name string, from, to slog.Value) {
	b.logger.Warn("a changed setting counts from the next start on", "setting", name, "running", from, "configured", to)
}
