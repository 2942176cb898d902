package cli

import (
	"fmt"
	"strings"
)

// KeyValue cuts a setting KEY=VALUE of the command line.
func KeyValue(setting string) (key, value string, err error) {
	key, value, ok := strings.Cut(setting, "=")
	if !ok {
		return "", "", fmt.Errorf("setting %q: want KEY=VALUE, such as retention.ms=86400000", setting)
	}
	return key, value, nil
}

// ParseSettings are settings KEY=VALUE as requests that make topics take them.
func ParseSettings(settings []string) (map[string]*string, error) {
	configs := make(map[string]*string, len(settings))
	for _, setting := range settings {
		key, value, err := KeyValue(setting)
		if err != nil {
			return nil, err
		}
		configs[key] = &value
	}
	return configs, nil
}
