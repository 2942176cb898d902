package clusterfile

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Action is what a change does to a thing.
type Action string

// Actions.
const (
	Create Action = "create"
	Alter  Action = "change"
	Delete Action = "delete"
)

// Kind is a kind of thing.
type Kind string

// Kinds.
const (
	TopicKind  Kind = "topic"
	BrokerKind Kind = "broker"
	GroupKind  Kind = "group"
	QuotaKind  Kind = "quota"
)

// Names of fields that are no settings.
const (
	PartitionsField        = "partitions"
	ReplicationFactorField = "replicationFactor"
)

// Change is what separates one thing of a cluster from what the file says of it.
type Change struct {
	Action Action `json:"action"`
	Kind   Kind   `json:"kind"`
	// Name is the topic, the group, the broker's id or AllBrokers, or Quota.Name.
	Name string `json:"name"`
	// Entity is that of a quota.
	Entity map[string]*string `json:"entity,omitempty"`
	// Fields that change, in order.
	Fields []Field `json:"fields,omitempty"`
	// Loses says what would be lost, in sentences.
	Loses []string `json:"loses,omitempty"`
}

// Field is a setting, a limit, or one of the names above; nil is no value.
type Field struct {
	Name string  `json:"name"`
	From *string `json:"from"`
	To   *string `json:"to"`
}

// Difference is what separates a cluster from a file.
type Difference struct {
	// Changes in the order in which they are to be made.
	Changes []Change `json:"changes"`
	// Impossible are differences that no change can remove, in sentences.
	Impossible []string `json:"impossible,omitempty"`
	// Unlisted is what the cluster has and the file does not name. Without prune it stays.
	Unlisted []string `json:"unlisted,omitempty"`
}

// Compare finds what would make the cluster, which has have, into what the file wants. What the file does not name stays, or goes if prune says so:
// in the sections that the file has.
func Compare(have, want *File, prune bool) Difference {
	d := Difference{Changes: []Change{}}
	c := comparison{&d, prune}
	for _, section := range []struct {
		kind       Kind
		have, want map[string]Settings
	}{{BrokerKind, have.Brokers, want.Brokers}, {GroupKind, have.Groups, want.Groups}} {
		if section.want != nil {
			c.resources(section.kind, section.have, section.want)
		}
	}
	if want.Topics != nil {
		c.topics(have.Topics, want.Topics)
	}
	if want.Quotas != nil {
		c.quotas(have.Quotas, want.Quotas)
	}
	order := func(change Change) int { // what is deleted comes last, brokers' defaults before the topics that they are for
		place := slices.Index([]Kind{BrokerKind, TopicKind, GroupKind, QuotaKind}, change.Kind)
		if change.Action == Delete {
			return 10 - place
		}
		return place
	}
	slices.SortStableFunc(d.Changes, func(a, b Change) int { return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(a.Name, b.Name)) })
	return d
}

type comparison struct {
	*Difference
	prune bool
}

// settings are the fields in which the settings of one thing differ. Those that want does not name are told under the thing's name.
func (c *comparison) settings(thing string, have, want Settings) (fields []Field) {
	for _, key := range sortedUnion(have, want) {
		from, to := have[key], want[key]
		_, listed := want[key]
		switch {
		case !listed && !c.prune:
			c.Unlisted = append(c.Unlisted, thing+": "+key)
		case from == nil && to == nil, from != nil && to != nil && sameValue(*from, *to):
		default:
			fields = append(fields, Field{key, from, to})
		}
	}
	return fields
}

// resources compares brokers or groups, which are no more than their settings.
func (c *comparison) resources(kind Kind, have, want map[string]Settings) {
	for _, name := range sortedUnion(have, want) {
		if _, listed := want[name]; !listed && !c.prune {
			c.Unlisted = append(c.Unlisted, fmt.Sprintf("%s %s", kind, name))
			continue
		}
		if fields := c.settings(fmt.Sprintf("%s %s", kind, name), have[name], want[name]); len(fields) > 0 {
			c.Changes = append(c.Changes, Change{Action: Alter, Kind: kind, Name: name, Fields: fields})
		}
	}
}

func (c *comparison) topics(have, want map[string]Topic) {
	for _, name := range sortedUnion(have, want) {
		is, exists := have[name]
		to, listed := want[name]
		switch {
		case !listed && !c.prune:
			c.Unlisted = append(c.Unlisted, "topic "+name)
		case !listed:
			c.Changes = append(c.Changes, Change{Action: Delete, Kind: TopicKind, Name: name, Fields: []Field{{PartitionsField, number(int64(is.Partitions)), nil}},
				Loses: []string{"its records are deleted"}})
		case !exists:
			create := Change{Action: Create, Kind: TopicKind, Name: name}
			if to.Partitions > 0 {
				create.Fields = append(create.Fields, Field{PartitionsField, nil, number(int64(to.Partitions))})
			}
			if to.ReplicationFactor > 0 {
				create.Fields = append(create.Fields, Field{ReplicationFactorField, nil, number(int64(to.ReplicationFactor))})
			}
			create.Fields = append(create.Fields, c.settings("topic "+name, nil, to.Config)...)
			c.Changes = append(c.Changes, create)
		default:
			c.topic(name, is, to)
		}
	}
}

// topic compares one that exists.
func (c *comparison) topic(name string, is, to Topic) {
	var fields []Field
	switch {
	case to.Partitions > 0 && to.Partitions < is.Partitions:
		c.Impossible = append(c.Impossible, fmt.Sprintf("topic %s has %d partitions, not %d: partitions cannot be taken away; make a new topic, or change the file", name, is.Partitions, to.Partitions))
	case to.Partitions > is.Partitions:
		fields = append(fields, Field{PartitionsField, number(int64(is.Partitions)), number(int64(to.Partitions))})
	}
	if to.ReplicationFactor > 0 && to.ReplicationFactor != is.ReplicationFactor {
		c.Impossible = append(c.Impossible, fmt.Sprintf("topic %s has replication factor %d, not %d: apply moves no replicas; reassign its partitions, or change the file", name, is.ReplicationFactor, to.ReplicationFactor))
	}
	fields = append(fields, c.settings("topic "+name, is.Config, to.Config)...)
	if len(fields) > 0 {
		c.Changes = append(c.Changes, Change{Action: Alter, Kind: TopicKind, Name: name, Fields: fields})
	}
}

func (c *comparison) quotas(have, want []Quota) {
	byName := func(quotas []Quota) map[string]Quota {
		all := make(map[string]Quota, len(quotas))
		for _, q := range quotas {
			all[q.Name()] = q
		}
		return all
	}
	is, to := byName(have), byName(want)
	for _, name := range sortedUnion(is, to) {
		wanted, listed := to[name]
		if !listed && !c.prune {
			c.Unlisted = append(c.Unlisted, "quota "+name)
			continue
		}
		change := Change{Action: Alter, Kind: QuotaKind, Name: name, Entity: wanted.Entity}
		if !listed {
			change.Action, change.Entity = Delete, is[name].Entity
		}
		change.Fields = c.settings("quota "+name, is[name].Limits.settings(), wanted.Limits.settings())
		if len(change.Fields) > 0 {
			c.Changes = append(c.Changes, change)
		}
	}
}

// sameValue tells whether two texts are one value: brokers write lists, numbers and booleans in their own way.
func sameValue(a, b string) bool {
	if a == b {
		return true
	}
	if x, err := strconv.ParseInt(strings.TrimSpace(a), 10, 64); err == nil {
		y, err := strconv.ParseInt(strings.TrimSpace(b), 10, 64)
		return err == nil && x == y
	}
	if x, err := strconv.ParseFloat(strings.TrimSpace(a), 64); err == nil {
		y, err := strconv.ParseFloat(strings.TrimSpace(b), 64)
		return err == nil && x == y
	}
	plainList := func(text string) string {
		items := strings.Split(text, ",")
		for i := range items {
			items[i] = strings.TrimSpace(items[i])
		}
		if text = strings.Join(items, ","); strings.EqualFold(text, "true") || strings.EqualFold(text, "false") {
			return strings.ToLower(text)
		}
		return text
	}
	return plainList(a) == plainList(b)
}

func number(n int64) *string {
	text := strconv.FormatInt(n, 10)
	return &text
}

func sortedUnion[V any](a, b map[string]V) []string {
	all := make(map[string]bool, len(a)+len(b))
	for key := range a {
		all[key] = true
	}
	for key := range b {
		all[key] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// Print writes the difference for people: + is new, - goes, ~ changes, ! cannot be.
func (d *Difference) Print(out io.Writer) error {
	var text strings.Builder
	for i := range d.Changes {
		d.Changes[i].print(&text)
	}
	for _, sentence := range d.Impossible {
		fmt.Fprintf(&text, "! %s\n", sentence)
	}
	if n := len(d.Unlisted); n > 0 {
		some, more := d.Unlisted, ""
		if n > 10 {
			some, more = some[:10], fmt.Sprintf(" and %d more", n-10)
		}
		fmt.Fprintf(&text, "not in the file, and left as it is: %s%s\n", strings.Join(some, "; "), more)
	}
	_, err := io.WriteString(out, text.String())
	return err
}

var marks = map[Action]string{Create: "+", Alter: "~", Delete: "-"}

// What is the thing as text, such as topic flights.
func (c *Change) What() string {
	if c.Kind == BrokerKind && c.Name == AllBrokers {
		return "all brokers"
	}
	return fmt.Sprintf("%s %s", c.Kind, c.Name)
}

func (c *Change) print(text *strings.Builder) {
	fmt.Fprintf(text, "%s %s\n", marks[c.Action], c.What())
	for _, f := range c.Fields {
		switch {
		case f.From == nil:
			fmt.Fprintf(text, "    + %s: %s\n", f.Name, *f.To)
		case f.To == nil:
			fmt.Fprintf(text, "    - %s: %s\n", f.Name, *f.From)
		default:
			fmt.Fprintf(text, "    ~ %s: %s -> %s\n", f.Name, *f.From, *f.To)
		}
	}
	for _, sentence := range c.Loses {
		fmt.Fprintf(text, "    loses data: %s\n", sentence)
	}
}
