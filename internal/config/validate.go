package config

import (
	"fmt"
	"strings"
)

// Override is one setting that a request wants to have.
type Override struct {
	Name, Value string
	Null        bool // no value: Kafka refuses it on creation
}

// UnknownName is a name that no setting of the scope has.
type UnknownName struct {
	Scope   Scope
	Name    string
	Nearest string // "" if nothing is near
}

// Error is Kafka's sentence for topics, and names the nearest neighbour.
func (e *UnknownName) Error() string {
	text := "Unknown topic config name: " + e.Name
	switch e.Scope {
	case Broker:
		text = "Unknown broker setting " + e.Name
	case Group:
		text = "Unknown group config name: " + e.Name
	}
	if e.Nearest != "" {
		text += " (did you mean " + e.Nearest + "?)"
	}
	return text
}

// conflict is a set of values each of which is fine and which together are not.
type conflict string

func (c conflict) Error() string { return string(c) }

// ValidateTopic checks a new topic's overrides as Kafka 4.3.1 does and in its order: nulls, unknown names, each value,
// all together. Of several overrides of one name the last counts. Every error it returns is INVALID_CONFIG (40).
func ValidateTopic(overrides []Override) error {
	var nulls []string
	values := make(map[string]string, len(overrides))
	for _, o := range overrides {
		if o.Null {
			nulls = append(nulls, o.Name)
		}
		values[o.Name] = o.Value
	}
	if len(nulls) > 0 {
		return conflict("Null value not supported for topic configs: " + strings.Join(nulls, ","))
	}
	for _, o := range overrides {
		if _, ok := settings.byName[key{Topic, o.Name}]; !ok {
			return &UnknownName{Scope: Topic, Name: o.Name, Nearest: Nearest(Topic, o.Name)}
		}
	}
	for _, r := range settings.order {
		if text, ok := values[r.Name]; ok && r.Scope == Topic {
			if _, err := r.Parse(text); err != nil {
				return err
			}
		}
	}
	c := (&Layers{Topic: values}).TopicConfig()
	_, minSet := values["min.compaction.lag.ms"]
	_, maxSet := values["max.compaction.lag.ms"]
	switch {
	case (minSet || maxSet) && c.MinCompactionLagMs > c.MaxCompactionLagMs:
		return conflict(fmt.Sprintf("conflict topic config setting min.compaction.lag.ms (%d) > max.compaction.lag.ms (%d)", c.MinCompactionLagMs, c.MaxCompactionLagMs))
	case c.RemoteStorage:
		return conflict("Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.")
	}
	return nil
}

// ValidateBroker checks the static settings of a broker. The first bad one, in order of names, is the error.
// inert are those given that mean something to Kafka and nothing here: the caller should say so.
func ValidateBroker(static map[string]string) (inert []Setting, err error) {
	for _, name := range sortedNames(static) {
		r, ok := settings.byName[key{Broker, name}]
		if !ok {
			return nil, &UnknownName{Scope: Broker, Name: name, Nearest: Nearest(Broker, name)}
		}
		if _, err := r.Parse(static[name]); err != nil {
			return nil, err
		}
		if r.Inert {
			inert = append(inert, r.Setting)
		}
	}
	b := (&Layers{Static: static}).GroupBrokerConfig()
	if b.MaxSessionMs < b.MinSessionMs {
		return nil, conflict("group.max.session.timeout.ms must be greater than or equal to group.min.session.timeout.ms")
	}
	if err := checkConsumerTimes("group.", b.Consumer, b.ConsumerMin, b.ConsumerMax); err != nil {
		return nil, err
	}
	return inert, nil
}
