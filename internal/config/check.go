package config

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

func atLeast(low int64) Check {
	why := fmt.Sprintf("Value must be at least %d", low)
	return Check{limits: fmt.Sprintf("at least %d", low), refuse: func(v Value) string {
		if v.Int < low {
			return why
		}
		return ""
	}}
}

func between(low, high int64) Check {
	tooLow, tooHigh := fmt.Sprintf("Value must be at least %d", low), fmt.Sprintf("Value must be no more than %d", high)
	return Check{limits: fmt.Sprintf("%d to %d", low, high), refuse: func(v Value) string {
		switch {
		case v.Int < low:
			return tooLow
		case v.Int > high:
			return tooHigh
		}
		return ""
	}}
}

var ratio = Check{limits: "0 to 1", refuse: func(v Value) string {
	switch {
	case v.Double < 0:
		return "Value must be at least 0"
	case v.Double > 1:
		return "Value must be no more than 1"
	}
	return ""
}}

var gzipLevel = Check{limits: "1 to 9, or -1", refuse: func(v Value) string {
	if v.Int != -1 && (v.Int < 1 || v.Int > 9) {
		return "Value must be between 1 and 9 or equal to -1"
	}
	return ""
}}

// retentionTime holds Kafka's rule for the three broker forms of retention.ms: -1 or more than 0.
var retentionTime = Check{limits: "at least 1, or -1 for no limit", refuse: func(v Value) string {
	if v.Int == 0 || v.Int < -1 {
		return requirement + "log.retention.ms must be unlimited (-1) or, greater than or equal to 1"
	}
	return ""
}}

// requirement begins sentences that Kafka says without naming the value.
const requirement = "requirement failed: "

// required is atLeast for what Kafka checks outside of its table.
func required(name string, low int64) Check {
	why := fmt.Sprintf("%s%s must be greater than or equal to %d", requirement, name, low)
	return Check{limits: fmt.Sprintf("at least %d", low), refuse: func(v Value) string {
		if v.Int < low {
			return why
		}
		return ""
	}}
}

// connectionLimit refuses what would lock everybody out, who would change it back too. Kafka takes 0.
var connectionLimit = Check{limits: "at least 1", refuse: func(v Value) string {
	switch {
	case v.Int < 0:
		return "Value must be at least 0"
	case v.Int == 0:
		return "0 would let nobody connect; leave it out for no limit"
	}
	return ""
}}

// connectionOverrides checks max.connections.per.ip.overrides.
var connectionOverrides = Check{limits: "ADDRESS:NUMBER, comma-separated", refuse: func(v Value) string {
	_, why := parseOverrides(v.Text)
	return why
}}

// parseOverrides reads ADDRESS:NUMBER pairs. The addresses are in netip's form, those of IPv6 in brackets or not.
func parseOverrides(text string) (limits map[string]int, why string) {
	limits = map[string]int{}
	for _, item := range itemsOf(text) {
		at := strings.LastIndexByte(item, ':')
		if at < 0 {
			return nil, fmt.Sprintf("%q is not ADDRESS:NUMBER, such as 127.0.0.1:200", item)
		}
		address, err := netip.ParseAddr(strings.Trim(item[:at], "[]"))
		if err != nil {
			return nil, fmt.Sprintf("%q is not an IP address; names are not looked up", item[:at])
		}
		number, err := strconv.ParseInt(item[at+1:], 10, 32)
		if err != nil || number < 0 {
			return nil, fmt.Sprintf("%q is not a number from 0 to %d", item[at+1:], math.MaxInt32)
		}
		limits[address.Unmap().String()] = int(number)
	}
	return limits, ""
}

func oneOf(names ...string) Check {
	why := "String must be one of: " + strings.Join(names, ", ")
	known := func(text string) bool {
		for _, name := range names {
			if text == name {
				return true
			}
		}
		return false
	}
	return Check{limits: strings.Join(names, ", "), refuse: func(v Value) string {
		if v.List == nil && !known(v.Text) {
			return why
		}
		return ""
	}}
}

// anyCase is oneOf without regard to case.
func anyCase(names ...string) Check {
	why := "String must be one of (case insensitive): " + strings.ToUpper(strings.Join(names, ", "))
	return Check{limits: strings.Join(names, ", ") + "; in any case", refuse: func(v Value) string {
		for _, name := range names {
			if strings.EqualFold(v.Text, name) {
				return ""
			}
		}
		return why
	}}
}

func listOf(names ...string) Check {
	one := oneOf(names...)
	return Check{limits: "any of " + strings.Join(names, ", "), refuse: func(v Value) string {
		for _, item := range v.List {
			if why := one.refuse(Value{Text: item}); why != "" {
				return item + "\x00" + why
			}
		}
		return ""
	}}
}

// notEmpty refuses a list without items.
func notEmpty(name string) Check {
	why := name + " must name at least one"
	return Check{limits: "at least one item", refuse: func(v Value) string {
		if len(v.List) == 0 {
			return why
		}
		return ""
	}}
}

// throttled checks a list of throttled replicas: empty, the single item *, or partition:broker pairs (KIP-73).
func throttled(name string) Check {
	why := name + " must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."
	number := func(text string) bool {
		_, err := strconv.ParseUint(text, 10, 31)
		return err == nil
	}
	return Check{limits: "*, or PARTITION:BROKER pairs", refuse: func(v Value) string {
		if len(v.List) == 1 && v.List[0] == "*" {
			return ""
		}
		for _, item := range v.List {
			partition, broker, ok := strings.Cut(item, ":")
			if !ok || !number(partition) || !number(broker) {
				return why
			}
		}
		return ""
	}}
}
