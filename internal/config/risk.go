package config

import (
	"fmt"
	"slices"
)

// Risk says what a change of a value can lose, as a sentence, or "" if nothing. It knows the values only: who knows what is stored may find
// that nothing of it is concerned.
type Risk func(from, to Value) string

// risks are the settings of topics with whose change records, or the promise about them, can be lost. The broker settings that are their
// defaults for all topics, in the same unit, have the same risk.
var risks = map[string]Risk{
	"retention.ms":    lower("records that are older than %d ms are deleted"),
	"retention.bytes": lower("the oldest records of each partition that holds more than %d bytes are deleted"),
	"cleanup.policy": func(from, to Value) string {
		added := func(policy string) bool {
			return slices.Contains(to.List, policy) && !slices.Contains(from.List, policy)
		}
		switch {
		case added("compact"):
			return "of records with the same key only the newest is kept, and records without a key are refused"
		case added("delete"):
			return "records past retention.ms or retention.bytes are deleted"
		}
		return ""
	},
	"delete.retention.ms": lower("a tombstone is dropped after %d ms: a reader that takes longer keeps what it deleted"),
	"segment.ms":          lower("segments end after %d ms, and records past their retention are deleted as soon as their segment has ended"),
	"segment.bytes":       lower("segments end after %d bytes, and records past their retention are deleted as soon as their segment has ended"),
	"min.insync.replicas": lower("acks=all is answered when %d replicas have a record: fewer failures lose what was acknowledged"),
	"unclean.leader.election.enable": func(from, to Value) string {
		if to.Bool && !from.Bool {
			return "a replica that lacks acknowledged records may become leader, and they are lost"
		}
		return ""
	},
	"ottla.durability": func(from, to Value) string {
		if to.Text == "replicated" && from.Text != to.Text {
			return "records are acknowledged from memory: a power cut of all replicas loses what was acknowledged last"
		}
		return ""
	},
}

// lower is the risk of a smaller number, where -1 is no limit. sentence takes the number.
func lower(sentence string) Risk {
	return func(from, to Value) string {
		if unlimited := to.Int < 0; unlimited || (from.Int >= 0 && to.Int >= from.Int) {
			return ""
		}
		return fmt.Sprintf(sentence, to.Int)
	}
}

// RiskOf is what Risk says of a change of a topic's or a broker's setting from one text to another; "" too for what is unknown or does not parse.
func RiskOf(scope Scope, name, from, to string) string {
	r, ok := settings.byName[key{scope, name}]
	if !ok || r.Risk == nil {
		return ""
	}
	before, err := r.Parse(from)
	if err != nil {
		return ""
	}
	after, err := r.Parse(to)
	if err != nil {
		return ""
	}
	return r.Risk(before, after)
}
