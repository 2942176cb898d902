package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// telemetrySettings are those of a broker that gets metrics from clients (KIP-714).
var telemetrySettings = []Setting{
	{Name: "telemetry.max.bytes", Type: Int, Default: "1048576", Check: atLeast(1),
		Doc: "Largest metrics in bytes that a client may push at once, before and after they are opened (KIP-714)."},
}

// clientMetricsSettings are those of a subscription of client metrics (KIP-714). Kafka has no synonyms for them.
var clientMetricsSettings = []Setting{
	{Name: "interval.ms", Type: Int, Default: "300000", Doc: "Milliseconds between two pushes of metrics by a client."},
	{Name: "match", Type: List, Default: "", Doc: "Which clients the subscription is for: selectors and regular expressions. Empty matches all."},
	{Name: "metrics", Type: List, Default: "", Doc: "Prefixes of the names of the metrics that clients shall push; * is all of them. Empty subscribes none."},
}

// ClientMetricsConfig is one subscription.
type ClientMetricsConfig struct {
	Metrics    []string // prefixes of names; the one item * means all
	IntervalMs int32
	// Match are the expressions that attributes of a client must match as a whole, by the attribute's name: client_instance_id,
	// client_id, client_software_name, client_software_version, client_source_address, client_source_port.
	Match map[string]*regexp.Regexp
}

// ClientMetricsConfig resolves the settings of a subscription. What does not parse is as if it were not set: it was checked when it was.
func (l *Layers) ClientMetricsConfig() ClientMetricsConfig {
	c := ClientMetricsConfig{Metrics: l.value(ClientMetrics, "metrics").List, IntervalMs: int32(l.value(ClientMetrics, "interval.ms").Int)}
	c.Match, _ = matchPatterns(l.value(ClientMetrics, "match").List)
	return c
}

// InvalidSubscription is a subscription that Kafka refuses with INVALID_REQUEST (42), in its words.
type InvalidSubscription string

// Error is Kafka's sentence.
func (e InvalidSubscription) Error() string { return string(e) }

// ValidateClientMetrics checks all settings that a subscription is to have. Every error is INVALID_CONFIG (40), but for InvalidSubscription.
func ValidateClientMetrics(values map[string]string) error {
	names := sortedNames(values)
	for _, name := range names {
		if settings.byName[key{ClientMetrics, name}] == nil {
			return InvalidSubscription("Unknown client metrics configuration: " + name)
		}
	}
	parsed := make(map[string]Value, len(names))
	for _, name := range names {
		v, err := settings.byName[key{ClientMetrics, name}].Parse(values[name])
		if err != nil {
			return err
		}
		parsed[name] = v
	}
	if v, ok := parsed["interval.ms"]; ok && (v.Int < 100 || v.Int > 3_600_000) {
		return InvalidSubscription(fmt.Sprintf("Invalid value %d for interval.ms, interval must be between 100 and 3600000 (1 hour)", v.Int))
	}
	_, err := matchPatterns(parsed["match"].List)
	return err
}

var clientAttributes = []string{"client_instance_id", "client_id", "client_software_name", "client_software_version", "client_source_address", "client_source_port"}

// matchPatterns reads ATTRIBUTE=EXPRESSION items; the last of an attribute counts. Expressions are RE2's: what only Java's can say is refused.
func matchPatterns(items []string) (map[string]*regexp.Regexp, error) {
	patterns := make(map[string]*regexp.Regexp, len(items))
	for _, item := range items {
		illegal := conflict("Illegal client matching pattern: " + item)
		attribute, expression, ok := strings.Cut(item, "=")
		attribute, expression = strings.TrimSpace(attribute), strings.TrimSpace(expression)
		if !ok || expression == "" || strings.Contains(expression, "=") || !slices.Contains(clientAttributes, attribute) {
			return nil, illegal
		}
		if _, err := regexp.Compile(expression); err != nil {
			return nil, illegal
		}
		whole, err := regexp.Compile("^(?:" + expression + ")$")
		if err != nil {
			return nil, illegal
		}
		patterns[attribute] = whole
	}
	return patterns, nil
}

// distinct are the items of a list, each once, as Kafka reads the lists of a subscription.
func distinct(items []string) []string {
	var out []string
	for _, item := range items {
		if !slices.Contains(out, item) {
			out = append(out, item)
		}
	}
	return out
}
