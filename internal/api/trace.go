package api

import (
	"reflect"
	"slices"
	"strings"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/wire"
)

// Trace is what a request that is traced was about, for the few that are: it is found by the names of the messages' fields, so that no
// handler need know of it. The server sets it in Request; its fields are filled as the request is decoded and its reply encoded.
type Trace struct {
	// Topics are those that the request names, or if it names none (incremental fetches) the reply. MoreTopics is how many more there are.
	Topics     []TracedTopic
	MoreTopics int
	// Groups are the groups named, at most tracedNames.
	Groups []string
}

// TracedTopic is a topic of a Trace.
type TracedTopic struct {
	Name string      // "" where the message has only an id
	ID   ids.TopicID // zero where it has only a name
	// Partitions are those named, at most tracedNames; More is how many more there are.
	Partitions []int32
	More       int
}

// tracedNames bounds the topics, the partitions of each, and the groups of a Trace.
const tracedNames = 16

// asked notes what a request names.
func (t *Trace) asked(m wire.Message) {
	if t != nil {
		t.walk(reflect.ValueOf(m).Elem())
	}
}

// answered notes what a reply names, if the request named nothing.
func (t *Trace) answered(m wire.Message) {
	if t != nil && len(t.Topics) == 0 {
		t.walk(reflect.ValueOf(m).Elem())
	}
}

// walk looks for topics and groups in a message.
func (t *Trace) walk(v reflect.Value) {
	if strings.Contains(v.Type().Name(), "Topic") && t.topic(v) {
		return
	}
	for i := range v.NumField() {
		field, name := v.Field(i), v.Type().Field(i).Name
		switch {
		case name == "GroupId" && field.Kind() == reflect.String:
			t.group(field.String())
		case field.Kind() == reflect.Struct:
			t.walk(field)
		case field.Kind() != reflect.Slice:
		case field.Type().Elem().Kind() == reflect.Struct:
			t.walkEach(field)
		case field.Type().Elem().Kind() == reflect.String && (name == "Topics" || name == "TopicNames"):
			for j := range field.Len() {
				t.add(TracedTopic{Name: field.Index(j).String()})
			}
		case field.Type().Elem().Kind() == reflect.String && strings.HasPrefix(name, "Group"):
			for j := range min(field.Len(), tracedNames) {
				t.group(field.Index(j).String())
			}
		}
	}
}

// walkEach walks the elements of an array, but only counts those after enough were found.
func (t *Trace) walkEach(array reflect.Value) {
	for i := range array.Len() {
		if len(t.Topics) == tracedNames && strings.Contains(array.Type().Elem().Name(), "Topic") {
			t.MoreTopics += array.Len() - i
			return
		}
		t.walk(array.Index(i))
	}
}

func (t *Trace) group(name string) {
	if name != "" && len(t.Groups) < tracedNames && !slices.Contains(t.Groups, name) {
		t.Groups = append(t.Groups, name)
	}
}

func (t *Trace) add(topic TracedTopic) {
	if len(t.Topics) == tracedNames {
		t.MoreTopics++
		return
	}
	t.Topics = append(t.Topics, topic)
}

// topic takes v for a topic with its partitions, if it has a name or an id.
func (t *Trace) topic(v reflect.Value) bool {
	var topic TracedTopic
	for i := range v.NumField() {
		field := v.Field(i)
		switch name := v.Type().Field(i).Name; name {
		case "Name", "Topic", "TopicName":
			topic.Name = text(field)
		case "TopicId":
			if id, ok := field.Interface().(wire.UUID); ok {
				topic.ID = ids.TopicID(id)
			}
		default:
			if field.Kind() == reflect.Slice && strings.Contains(name, "Partition") {
				topic.partitions(field)
			}
		}
	}
	if topic.Name == "" && topic.ID.IsZero() {
		return false
	}
	t.add(topic)
	return true
}

// partitions takes the numbers of an array of partitions.
func (t *TracedTopic) partitions(array reflect.Value) {
	for i := range array.Len() {
		if len(t.Partitions) == tracedNames {
			t.More += array.Len() - i
			return
		}
		one := array.Index(i)
		if one.Kind() == reflect.Struct {
			for _, name := range []string{"Index", "Partition", "PartitionIndex", "PartitionId"} {
				if field := one.FieldByName(name); field.IsValid() {
					one = field
					break
				}
			}
		}
		if one.CanInt() {
			t.Partitions = append(t.Partitions, int32(one.Int()))
		}
	}
}

// text is a string, or one that may be null.
func text(v reflect.Value) string {
	if null, ok := v.Interface().(wire.NullString); ok {
		return null.Value
	}
	if v.Kind() == reflect.String {
		return v.String()
	}
	return ""
}
