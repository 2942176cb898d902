package api

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/wire"
)

// fill gives every array of a message n elements, every string a text.
func fill(v reflect.Value, n int) {
	for i := range v.NumField() {
		field := v.Field(i)
		switch {
		case !field.CanSet():
		case field.Kind() == reflect.Struct:
			fill(field, n)
		case field.Kind() == reflect.Slice && field.Type().Elem().Kind() != reflect.Uint8:
			field.Set(reflect.MakeSlice(field.Type(), n, n))
			for j := range n {
				if one := field.Index(j); one.Kind() == reflect.Struct {
					fill(one, n)
				} else if one.Kind() == reflect.String {
					one.SetString("x")
				}
			}
		case field.Kind() == reflect.String:
			field.SetString("x")
		}
	}
}

// TestTraceOfEveryMessage: whatever is in a message, a trace of it is bounded, and finds the topics of those that have some.
func TestTraceOfEveryMessage(t *testing.T) {
	table := NewTable(Deps{})
	topics := map[string]bool{}
	for i := range table.entries {
		key := table.entries[i].Key
		for _, m := range []wire.Message{wire.NewRequest(key), wire.NewResponse(key)} {
			for _, n := range []int{0, 1, 2 * tracedNames} {
				fill(reflect.ValueOf(m).Elem(), n)
				trace := new(Trace)
				trace.asked(m)
				trace.answered(m)
				if len(trace.Topics) > tracedNames || len(trace.Groups) > tracedNames {
					t.Errorf("%T: %d topics, %d groups", m, len(trace.Topics), len(trace.Groups))
				}
				for _, topic := range trace.Topics {
					topics[wire.APIName(key)] = true
					if len(topic.Partitions) > tracedNames {
						t.Errorf("%T: %d partitions of one topic", m, len(topic.Partitions))
					}
				}
			}
		}
	}
	for _, key := range []int16{wire.ProduceKey, wire.FetchKey, wire.ListOffsetsKey, wire.MetadataKey, wire.OffsetCommitKey, wire.OffsetFetchKey, wire.CreateTopicsKey, wire.DeleteTopicsKey,
		wire.CreatePartitionsKey, wire.DeleteRecordsKey, wire.OffsetDeleteKey, wire.ElectLeadersKey, wire.AlterPartitionReassignmentsKey, wire.DescribeTopicPartitionsKey,
		wire.OffsetForLeaderEpochKey, wire.DescribeProducersKey} {
		if !topics[wire.APIName(key)] {
			t.Errorf("no topic was found in %s", wire.APIName(key))
		}
	}
}

func TestTraceNames(t *testing.T) {
	fetch := &wire.FetchRequest{Topics: []wire.FetchRequestFetchTopic{{TopicId: wire.UUID(id(9)), Partitions: make([]wire.FetchRequestFetchPartition, tracedNames+3)}}}
	fetch.Topics[0].Partitions[1].Partition = 7
	trace := new(Trace)
	trace.asked(fetch)
	want := TracedTopic{ID: ids.TopicID(id(9)), Partitions: make([]int32, tracedNames), More: 3}
	want.Partitions[1] = 7
	if diff := cmp.Diff([]TracedTopic{want}, trace.Topics); diff != "" {
		t.Error(diff)
	}
	many := &wire.MetadataRequest{}
	for range tracedNames + 5 {
		many.Topics = append(many.Topics, wire.MetadataRequestTopic{Name: wire.SomeString("t")})
	}
	trace = new(Trace)
	trace.asked(many)
	if len(trace.Topics) != tracedNames || trace.MoreTopics != 5 || trace.Topics[0].Name != "t" {
		t.Errorf("%d topics, and %d more", len(trace.Topics), trace.MoreTopics)
	}
	var none *Trace
	none.asked(many) // nobody traces
}
