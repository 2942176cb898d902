package config

import (
	"fmt"
	"slices"
	"strings"
)

// Operation is what IncrementalAlterConfigs does to a value, numbered as there (KIP-339).
type Operation int8

// The operations. Append and Subtract work on the items of a LIST.
const (
	Set      Operation = 0
	Delete   Operation = 1
	Append   Operation = 2
	Subtract Operation = 3
)

var operationNames = [...]string{Set: "SET", Delete: "DELETE", Append: "APPEND", Subtract: "SUBTRACT"}

// Known reports whether there is such an operation.
func (o Operation) Known() bool { return o >= Set && o <= Subtract }

// String is Kafka's name of a known operation, as it appears in error sentences.
func (o Operation) String() string { return operationNames[o] }

// Edit appends items to the value of a list, or subtracts them: current is the value that the layer holds; ok is false
// if it holds none, and the table's default is edited, as in Kafka. An item that is there is not appended again. Every
// error is INVALID_CONFIG (40) and says in Kafka's words that the setting is no list.
func (o Operation) Edit(scope Scope, name, items, current string, ok bool) (string, error) {
	r, known := settings.byName[key{scope, name}]
	switch {
	case known && r.Type == List && scope != ClientMetrics: // Kafka 4.3.1 takes those lists for none
	case scope == Topic || scope == ClientMetrics:
		return "", conflict(fmt.Sprintf("Can't %s to key %s because its type is not LIST.", o, name))
	case !known:
		return "", conflict("Unknown config name: " + name)
	default:
		return "", conflict(fmt.Sprintf("Config value %s is not allowed for config key: %s", strings.ToLower(o.String()), name))
	}
	if !ok {
		current = r.Default
	}
	list := itemsOf(current)
	for _, item := range itemsOf(items) {
		at := slices.Index(list, item)
		switch {
		case o == Append && at < 0:
			list = append(list, item)
		case o == Subtract && at >= 0:
			list = slices.Delete(list, at, at+1)
		}
	}
	return strings.Join(list, ","), nil
}

// itemsOf are the items of a list's text that are not empty.
func itemsOf(text string) []string {
	var list []string
	for _, item := range strings.Split(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

// NotDynamic are broker settings that cannot change while a broker runs.
type NotDynamic []string

// Error is Kafka's sentence.
func (e NotDynamic) Error() string {
	return "Cannot update these configs dynamically: [" + strings.Join(e, ", ") + "]"
}

// ValidateDynamic checks all dynamic settings that a broker, or the default of all brokers, is to have. The error is
// *UnknownName (Kafka takes any name, and forgets it), NotDynamic, or says which value is bad.
func ValidateDynamic(values map[string]string) error {
	names := sortedNames(values)
	var fixed NotDynamic
	for _, name := range names {
		r, ok := settings.byName[key{Broker, name}]
		if !ok {
			return &UnknownName{Scope: Broker, Name: name, Nearest: Nearest(Broker, name)}
		}
		if !r.Dynamic {
			fixed = append(fixed, name)
		}
	}
	if len(fixed) > 0 {
		return fixed
	}
	for _, name := range names {
		r := settings.byName[key{Broker, name}]
		v, err := r.Parse(values[name])
		if err == nil {
			err = r.supported(v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
