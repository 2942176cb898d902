package config

import (
	"fmt"
	"slices"
)

// Risk says what a change of a setting can lose.
type Risk struct {
	// Doc says it in general, as a sentence. "" for settings with which nothing can be lost.
	Doc string
	// Loses tells what a change from one value to another can lose, as a part of a sentence; "" if nothing. It knows the values only: Of says what
	// else it takes.
	Loses func(from, to Value) string
	Of    Loss
}

// Loss is what must be there for a Risk to be one.
type Loss uint8

// Losses.
const (
	// Promise is always there: what is acknowledged from now on is less safe.
	Promise Loss = iota
	// AnyRecord: a topic that stores one.
	AnyRecord
	// OldRecord: a record that is older than the new value, in milliseconds.
	OldRecord
	// LargePartition: a partition of more bytes than the new value.
	LargePartition
	// PastRetention: a record that is older than the topic's retention.ms, and there only because its segment is.
	PastRetention
)

// risks are the settings of topics with whose change something can be lost. The broker settings that are their defaults for all topics, in the
// same unit, have the same risk.
var risks = map[string]Risk{
	"retention.ms":    {"A lower value deletes the records that are older.", lower("records older than %d ms are deleted"), OldRecord},
	"retention.bytes": {"A lower value deletes the oldest records of partitions that are larger.", lower("the oldest records of partitions larger than %d bytes are deleted"), LargePartition},
	"segment.ms":      {"A lower value ends segments sooner, and their records past retention.ms are deleted sooner.", lower("segments end after %d ms, and records past their retention are deleted with them"), PastRetention},
	"segment.bytes":   {"A lower value ends segments sooner, and their records past retention.ms are deleted sooner.", lower("segments end after %d bytes, and records past their retention are deleted with them"), PastRetention},
	"cleanup.policy": {"Adding delete deletes the records past retention.ms and retention.bytes; adding compact keeps only the newest record of each key.",
		func(from, to Value) string {
			added := func(policy string) bool {
				return slices.Contains(to.List, policy) && !slices.Contains(from.List, policy)
			}
			switch {
			case added("compact"):
				return "only the newest record of each key is kept"
			case added("delete"):
				return "records past retention.ms and retention.bytes are deleted"
			}
			return ""
		}, AnyRecord},
	"min.insync.replicas": {"A lower value acknowledges records that fewer replicas have.", lower("acks=all is answered once %d replicas have a record: fewer failures lose what was acknowledged"), Promise},
	"unclean.leader.election.enable": {"true lets a replica become leader that lacks acknowledged records.", func(from, to Value) string {
		if to.Bool && !from.Bool {
			return "a replica may become leader that lacks acknowledged records, and they are lost"
		}
		return ""
	}, Promise},
	"ottla.durability": {"replicated acknowledges records before they are on disk.", func(from, to Value) string {
		if to.Text == "replicated" && from.Text != to.Text {
			return "records are acknowledged before they are on disk: a power cut of all replicas loses what was acknowledged last"
		}
		return ""
	}, Promise},
}

// lower is the risk of a smaller number, where a negative one is no limit. sentence takes the number.
func lower(sentence string) func(from, to Value) string {
	return func(from, to Value) string {
		if to.Int < 0 || (from.Int >= 0 && to.Int >= from.Int) {
			return ""
		}
		return fmt.Sprintf(sentence, to.Int)
	}
}

// LossOf is what Risk.Loses says of a change from one text to another; "" too where one of them does not parse.
func (s *Setting) LossOf(from, to string) string {
	if s.Risk.Loses == nil {
		return ""
	}
	before, err := s.Parse(from)
	if err != nil {
		return ""
	}
	after, err := s.Parse(to)
	if err != nil {
		return ""
	}
	return s.Risk.Loses(before, after)
}
