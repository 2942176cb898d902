package config

import "slices"

// Source is where a value comes from, numbered as in DescribeConfigs (ConfigSource).
type Source int8

// Sources, first wins.
const (
	DynamicTopic         Source = 1
	DynamicBroker        Source = 2
	DynamicDefaultBroker Source = 3
	StaticBroker         Source = 4
	Default              Source = 5
	DynamicClientMetrics Source = 7
	DynamicGroup         Source = 8
)

// Layers are the places that a value can come from. Missing layers are nil. Values that do not parse are skipped:
// they were checked when they were set, and a log written by another version must still load.
type Layers struct {
	Topic                map[string]string // a topic's ConfigRecords
	Group                map[string]string // a group's ConfigRecords
	ClientMetrics        map[string]string // ConfigRecords of a subscription of client metrics
	DynamicBroker        map[string]string // ConfigRecords of this broker
	DynamicDefaultBroker map[string]string // ConfigRecords of all brokers (resource name "")
	Static               map[string]string // file, environment, flags
}

// EntrySynonym is one place that gives a value to a setting.
type EntrySynonym struct {
	Name, Value string // in the synonym's own unit
	Null        bool   // always, where the setting is sensitive
	Source      Source
}

// Entry is what DescribeConfigs and CreateTopics tell about one setting.
type Entry struct {
	Setting
	Value     string
	ValueNull bool // no value, or a sensitive one
	Source    Source
	// Synonyms begin with the one that counts. Where Kafka hides those of another unit behind an unset
	// log.retention.ms, log.roll.ms and the like (and so calls such a value a default), they are listed here.
	Synonyms []EntrySynonym
}

// ReadOnly reports whether the value cannot change while the broker runs.
func (e *Entry) ReadOnly() bool { return !e.Dynamic }

type candidate struct {
	row    *row // whose text it is
	factor int64
	value  Value
	source Source
}

// each calls use with every value that the layers give to r, the one that counts first, until use returns false. others has those of a broker
// setting of the same meaning in another unit come too, which don't count for it.
func (l *Layers) each(r *row, others bool, use func(candidate) bool) {
	try := func(layer map[string]string, from *row, factor int64, source Source) bool {
		text, ok := layer[from.Name]
		if !ok {
			return true
		}
		v, err := from.Parse(text)
		if err != nil {
			return true
		}
		if from.Scope == ClientMetrics {
			v.List = distinct(v.List)
		}
		return use(candidate{from, factor, v, source})
	}
	synonyms := r.Synonyms
	switch r.Scope {
	case Topic:
		if !try(l.Topic, r, 1, DynamicTopic) {
			return
		}
	case Group:
		if !try(l.Group, r, 1, DynamicGroup) {
			return
		}
	case ClientMetrics:
		if !try(l.ClientMetrics, r, 1, DynamicClientMetrics) {
			return
		}
	default:
		synonyms = []Synonym{{r.Name, 1}}
		if others {
			synonyms = append(synonyms, r.Synonyms...)
		}
	}
	layers := [...]map[string]string{l.DynamicBroker, l.DynamicDefaultBroker, l.Static}
	for i, layer := range layers {
		if len(layer) == 0 {
			continue
		}
		for _, s := range synonyms {
			if !try(layer, settings.byName[key{Broker, s.Name}], s.Factor, DynamicBroker+Source(i)) {
				return
			}
		}
	}
	for _, s := range synonyms {
		if from := settings.byName[key{Broker, s.Name}]; !from.value.Null && !use(candidate{from, s.Factor, from.value, Default}) {
			return
		}
	}
	if len(synonyms) == 0 && !r.value.Null {
		use(candidate{r, 1, r.value, Default})
	}
}

// convert turns a synonym's value into the unit of the setting; -1 means unlimited in every unit.
func (c candidate) convert() Value {
	v := c.value
	if c.factor != 1 && v.Int > 0 {
		v.Int *= c.factor // at most 2^31 hours: no overflow
	}
	return v
}

func (l *Layers) value(scope Scope, name string) Value {
	v := Value{Null: true}
	l.each(settings.byName[key{scope, name}], false, func(c candidate) bool {
		v = c.convert()
		return false
	})
	return v
}

// Describe tells everything about one setting; ok is false if no setting has that name.
func (l *Layers) Describe(scope Scope, name string) (e Entry, ok bool) {
	r, ok := settings.byName[key{scope, name}]
	if !ok {
		return Entry{}, false
	}
	return l.describe(r), true
}

func (l *Layers) describe(r *row) Entry {
	e := Entry{Setting: r.Setting, ValueNull: true, Source: Default}
	others := r.Scope == Broker && !l.value(Broker, r.Name).Null // as Kafka, which hides them behind an unset log.retention.ms
	l.each(r, others, func(c candidate) bool {
		if len(e.Synonyms) == 0 {
			e.Source = c.source
			if !r.Sensitive {
				e.Value, e.ValueNull = r.Format(c.convert()), false
			}
		}
		s := EntrySynonym{Name: c.row.Name, Null: r.Sensitive, Source: c.source}
		if !r.Sensitive {
			s.Value = c.row.Format(c.value)
		}
		e.Synonyms = append(e.Synonyms, s)
		return true
	})
	if r.Scope == ClientMetrics || r.Scope == Topic && len(r.Synonyms) == 0 { // of which Kafka never tells the default as a synonym
		e.Synonyms = slices.DeleteFunc(e.Synonyms, func(s EntrySynonym) bool { return s.Source == Default })
		if len(e.Synonyms) == 0 {
			e.Synonyms = nil
		}
	}
	return e
}

// DescribeAll tells about every setting of the scope that is not hidden, in the order of the table: internal and
// inert ones only if they are set.
func (l *Layers) DescribeAll(scope Scope) []Entry {
	entries := make([]Entry, 0, len(settings.order))
	for _, r := range settings.order {
		if r.Scope != scope {
			continue
		}
		e := l.describe(r)
		if (r.Internal || r.Inert) && e.Source == Default {
			continue
		}
		entries = append(entries, e)
	}
	return entries
}
