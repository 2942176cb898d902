package main

import (
	"fmt"
	"strings"
)

// keyValue cuts a setting as the command line has it.
func keyValue(setting string) (key, value string, err error) {
	key, value, ok := strings.Cut(setting, "=")
	if !ok {
		return "", "", fmt.Errorf("setting %q: want KEY=VALUE, such as retention.ms=86400000", setting)
	}
	return key, value, nil
}

// parseSettings are settings of a topic that is made.
func parseSettings(settings []string) (map[string]*string, error) {
	configs := make(map[string]*string, len(settings))
	for _, setting := range settings {
		key, value, err := keyValue(setting)
		if err != nil {
			return nil, err
		}
		configs[key] = &value
	}
	return configs, nil
}
