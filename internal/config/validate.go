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
		if why := unsupportedName(e.Name); why != "" {
			return text + ": " + why
		}
	case Group:
		text = "Unknown group config name: " + e.Name
	}
	if e.Nearest != "" {
		text += " (did you mean " + e.Nearest + "?)"
	}
	return text
}

// unsupportedName says what is not there that a name outside of Kafka's table belongs to.
func unsupportedName(name string) string {
	switch {
	case strings.HasPrefix(name, "listener.name."):
		return "there is one listener, and no settings of single ones"
	case name == "super.users", name == "allow.everyone.if.no.acl.found":
		return "there is no authorization yet, and without it everybody could do everything"
	case strings.HasPrefix(name, "zookeeper."):
		return "there is no ZooKeeper; a cluster that has one must be migrated to KRaft with Kafka's own tools first"
	}
	return ""
}

// NotSupported is a value that relies on what is not there.
type NotSupported struct {
	Name, Why string
}

// Error does not quote the value, which may be a password.
func (e *NotSupported) Error() string {
	return "setting " + e.Name + ": " + e.Why + "; take it out to go without"
}

// supported refuses a valid value of a setting that only its default is supported of.
func (r *row) supported(v Value) error {
	if r.Unsupported == "" || r.Format(v) == r.Format(r.value) {
		return nil
	}
	return &NotSupported{Name: r.Name, Why: r.Unsupported}
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
		v, err := r.Parse(static[name])
		if err == nil {
			err = r.supported(v)
		}
		if err != nil {
			return nil, err
		}
		if r.Inert {
			inert = append(inert, r.Setting)
		}
	}
	layers := &Layers{Static: static}
	if id := layers.value(Broker, "broker.id").Int; id >= 0 && id != layers.value(Broker, "node.id").Int {
		return nil, conflict("You must set `node.id` to the same value as `broker.id`.")
	}
	if err := layers.ValidateTogether(); err != nil {
		return nil, err
	}
	return inert, nil
}

// ValidateTogether checks the broker's settings against each other, in Kafka's words.
func (l *Layers) ValidateTogether() error {
	if l.value(Broker, "max.connections.per.ip").Int == 0 && l.value(Broker, "max.connections.per.ip.overrides").Text == "" {
		return conflict("max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.")
	}
	b := l.GroupBrokerConfig()
	if b.MaxSessionMs < b.MinSessionMs {
		return conflict("group.max.session.timeout.ms must be greater than or equal to group.min.session.timeout.ms")
	}
	return checkConsumerTimes("group.", b.Consumer, b.ConsumerMin, b.ConsumerMax)
}
