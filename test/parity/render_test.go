package parity

import (
	"encoding/binary"
	"fmt"
	"net"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// codeName is an error code's name in Kafka's words.
func codeName(code int16) string {
	if code == 0 {
		return "NONE"
	}
	if e := kerr.TypedErrorForCode(code); e != nil {
		return e.Message
	}
	return strconv.Itoa(int(code))
}

// render writes a response down: fields that have their default are left out, what differs from run to run has a symbolic name.
func (s *session) render(resp kmsg.Response) string {
	s.canonical(resp)
	return s.maskTimes(s.value("", reflect.ValueOf(resp).Elem(), ""))
}

// canonical puts partitions in order and under one topic: Kafka goes through hash tables, and adds what it refuses at the end.
func (s *session) canonical(resp kmsg.Response) {
	switch r := resp.(type) {
	case *kmsg.ConsumerGroupHeartbeatResponse:
		if a := r.Assignment; a != nil {
			slices.SortFunc(a.Topics, func(a, b kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic) int {
				return strings.Compare(s.topicName(a.TopicID), s.topicName(b.TopicID))
			})
		}
	case *kmsg.ConsumerGroupDescribeResponse:
		s.canonicalConsumers(r)
	case *kmsg.FetchResponse:
		r.Topics = merged(r.Topics, func(t *kmsg.FetchResponseTopic) (string, *[]kmsg.FetchResponseTopicPartition) {
			return t.Topic + s.topicName(t.TopicID), &t.Partitions
		}, func(p *kmsg.FetchResponseTopicPartition) int32 { return p.Partition })
	case *kmsg.ProduceResponse:
		r.Topics = merged(r.Topics, func(t *kmsg.ProduceResponseTopic) (string, *[]kmsg.ProduceResponseTopicPartition) {
			return t.Topic + s.topicName(t.TopicID), &t.Partitions
		}, func(p *kmsg.ProduceResponseTopicPartition) int32 { return p.Partition })
	case *kmsg.ListOffsetsResponse:
		r.Topics = merged(r.Topics, func(t *kmsg.ListOffsetsResponseTopic) (string, *[]kmsg.ListOffsetsResponseTopicPartition) {
			return t.Topic, &t.Partitions
		}, func(p *kmsg.ListOffsetsResponseTopicPartition) int32 { return p.Partition })
	}
}

func merged[T, P any](topics []T, of func(*T) (string, *[]P), index func(*P) int32) []T {
	var out []T
	for i := range topics {
		key, partitions := of(&topics[i])
		at := slices.IndexFunc(out, func(t T) bool { k, _ := of(&t); return k == key })
		if at < 0 {
			out = append(out, topics[i])
			continue
		}
		_, all := of(&out[at])
		*all = append(*all, *partitions...)
	}
	for i := range out {
		_, all := of(&out[i])
		slices.SortStableFunc(*all, func(a, b P) int { return int(index(&a)) - int(index(&b)) })
	}
	slices.SortStableFunc(out, func(a, b T) int {
		ka, _ := of(&a)
		kb, _ := of(&b)
		return strings.Compare(ka, kb)
	})
	return out
}

var (
	clocks = regexp.MustCompile(`-?\d{13,19}`)
	sums   = regexp.MustCompile(`crc = \d+`)
)

// maskTimes hides what clocks and checksums put into messages.
func (s *session) maskTimes(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.Contains(l, "Message:") {
			l = clocks.ReplaceAllStringFunc(l, func(n string) string {
				if n == "9223372036854775807" || n == "9223372036854775808" {
					return n
				}
				return "TIME"
			})
			lines[i] = sums.ReplaceAllString(l, "crc = N")
		}
	}
	return strings.Join(lines, "\n")
}

// unordered are the lists whose order Kafka leaves to a hash table.
var unordered = map[string]bool{
	"AlterClientQuotasResponseEntry":                        true,
	"AlterClientQuotasResponseEntryEntity":                  true,
	"DescribeUserSCRAMCredentialsResponseResult":            true,
	"DescribeClientQuotasResponseEntry":                     true,
	"DescribeClientQuotasResponseEntryEntity":               true,
	"DescribeClientQuotasResponseEntryValue":                true,
	"DescribeConfigsResponseResourceConfig":                 true,
	"AlterReplicaLogDirsResponseTopic":                      true,
	"AlterReplicaLogDirsResponseTopicPartition":             true,
	"DescribeLogDirsResponseDirTopic":                       true,
	"DescribeLogDirsResponseDirTopicPartition":              true,
	"DescribeProducersResponseTopic":                        true,
	"DescribeProducersResponseTopicPartitionActiveProducer": true,
	"ElectLeadersResponseTopic":                             true,
	"ElectLeadersResponseTopicPartition":                    true,
	"ListConfigResourcesResponseConfigResource":             true,
	"CreateTopicsResponseTopic":                             true,
	"CreateTopicsResponseTopicConfig":                       true,
	"OffsetForLeaderEpochResponseTopic":                     true,
	"DeleteTopicsResponseTopic":                             true,
	"MetadataResponseTopic":                                 true,
	"MetadataResponseTopicPartition":                        true,
	"ApiVersionsResponseFinalizedFeature":                   true,
	"ApiVersionsResponseSupportedFeature":                   true,
	"DeleteGroupsResponseGroup":                             true,
	"DescribeGroupsResponseGroup":                           true,
	"DescribeGroupsResponseGroupMember":                     true,
	"FindCoordinatorResponseCoordinator":                    true,
	"JoinGroupResponseMember":                               true,
	"LeaveGroupResponseMember":                              true,
	"ListGroupsResponseGroup":                               true,
	"OffsetCommitResponseTopic":                             true,
	"OffsetDeleteResponseTopic":                             true,
	"OffsetDeleteResponseTopicPartition":                    true,
	"OffsetFetchResponseGroup":                              true,
	"OffsetFetchResponseTopic":                              true,
	"OffsetFetchResponseTopicPartition":                     true,
	"OffsetFetchResponseGroupTopic":                         true,
	"OffsetFetchResponseGroupTopicPartition":                true,
}

func (s *session) value(field string, v reflect.Value, indent string) string {
	if text, ok := s.special(field, v); ok {
		return text
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return "null"
		}
		return s.value(field, v.Elem(), indent)
	case reflect.String:
		return strconv.Quote(v.String())
	case reflect.Slice:
		return s.list(field, v, indent)
	case reflect.Struct:
		return s.fields(v, indent)
	}
	return fmt.Sprint(v.Interface())
}

func (s *session) list(field string, v reflect.Value, indent string) string {
	if v.IsNil() {
		return "null"
	}
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return fmt.Sprintf("%x", v.Bytes())
	}
	items := make([]string, 0, v.Len())
	long := false
	for i := range v.Len() {
		text := s.value(field, v.Index(i), indent+"  ")
		if text == "" {
			continue
		}
		long = long || v.Type().Elem().Kind() == reflect.Struct
		items = append(items, text)
	}
	if unordered[v.Type().Elem().Name()] {
		slices.Sort(items)
	}
	if !long {
		return "[" + strings.Join(items, " ") + "]"
	}
	return "[\n" + indent + "  " + strings.Join(items, "\n"+indent+"  ") + "\n" + indent + "]"
}

func (s *session) fields(v reflect.Value, indent string) string {
	fresh := reflect.New(v.Type())
	if d, ok := fresh.Interface().(interface{ Default() }); ok {
		d.Default()
	}
	if key, ok := v.Interface().(kmsg.ApiVersionsResponseApiKey); ok && !served[key.ApiKey] {
		return ""
	}
	if r, ok := v.Interface().(kmsg.ListConfigResourcesResponseConfigResource); ok && r.Type == 2 && r.Name != "with-settings" {
		return "" // of another scenario
	}
	var parts []string
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		switch name {
		case "Version", "ThrottleMillis", "UnknownTags":
			continue
		}
		if v.Type().Name() == "DescribeQuorumResponseTopicPartition" && (name == "LeaderEpoch" || name == "HighWatermark") {
			parts = append(parts, fmt.Sprintf("%s:≥0:%v", name, v.Field(i).Int() >= 0))
			continue
		}
		if name == "ErrorCode" || !reflect.DeepEqual(v.Field(i).Interface(), fresh.Elem().Field(i).Interface()) {
			parts = append(parts, name+":"+s.value(name, v.Field(i), indent))
		}
	}
	return "{" + strings.Join(parts, " ") + "}"
}

// served are the APIs that Ottla has; ApiVersions' list is compared as far as they go.
var served = map[int16]bool{21: true, 8: true, 9: true, 11: true, 12: true, 13: true, 14: true, 15: true, 16: true, 42: true, 47: true, 48: true, 49: true, 50: true, 29: true, 30: true, 31: true, 34: true, 35: true, 43: true, 45: true, 55: true, 57: true, 61: true, 71: true, 72: true, 74: true, 10: true, 0: true, 1: true, 2: true, 3: true, 18: true, 19: true, 20: true, 22: true, 23: true, 32: true, 46: true, 60: true, 68: true, 69: true, 75: true}

// special renders what must not be compared as it is.
func (s *session) special(field string, v reflect.Value) (string, bool) {
	switch field {
	case "ErrorCode":
		return codeName(int16(v.Int())), true
	case "TopicID":
		return s.topicName(v.Interface().([16]byte)), true
	case "ProducerID":
		return symbolic("producer", &s.producers, v.Int()), true
	case "MemberID", "LeaderID":
		if v.Kind() == reflect.String && (len(v.String()) > 36 || len(v.String()) == 22) { // a name and a UUID, or a UUID in Kafka's form
			return numbered("member", s.members, v.String()), true
		}
	case "ClientInstanceID":
		return s.topicName(v.Interface().([16]byte)), true
	case "SubscriptionID":
		return fmt.Sprintf("≠0:%v", v.Int() != 0), true
	case "SessionID":
		return symbolic("session", &s.sessions, int32(v.Int())), true
	case "Host", "Port":
		if v.Kind() == reflect.Uint16 { // of a controller's listener, which has a port of its own in Kafka
			return fmt.Sprintf(">0:%v", v.Uint() > 0), true
		}
		host, port, _ := net.SplitHostPort(s.addr)
		if text := fmt.Sprint(v.Interface()); text == host || text == port {
			return "ours", true
		}
	case "ClusterID":
		for v.Kind() == reflect.Pointer && !v.IsNil() {
			v = v.Elem()
		}
		if v.Kind() == reflect.String && len(v.String()) == 22 {
			return "ours", true
		}
	case "FinalizedFeaturesEpoch":
		return fmt.Sprintf("≥0:%v", v.Int() >= 0), true
	case "LogAppendTime", "Timestamp", "LastTimestamp":
		return s.time(v.Int()), true
	case "LogDir", "Dir":
		return "ours", true
	case "TotalBytes", "UsableBytes":
		return fmt.Sprintf(">0:%v", v.Int() > 0), true
	case "LogEndOffset", "LastFetchTimestamp", "LastCaughtUpTimestamp":
		return fmt.Sprintf("≥0:%v", v.Int() >= 0), true
	case "ReplicaDirectoryID":
		return fmt.Sprintf("some:%v", v.Interface() != [16]byte{}), true
	case "Documentation":
		if v.Kind() == reflect.Pointer && !v.IsNil() && v.Elem().String() != "" {
			return "text", true
		}
	case "RecordBatches":
		if !v.IsNil() {
			return s.batches(v.Bytes()), true
		}
	}
	return "", false
}

func (s *session) topicName(id [16]byte) string {
	if name, ok := s.topics[id]; ok {
		return "id(" + name + ")"
	}
	if id == [16]byte{} {
		return "id(0)"
	}
	if id[0] == 0xee && id[15] == 0xee {
		return "id(madeUp)"
	}
	return "id(unknown)"
}

// symbolic numbers ids in the order in which they appear.
func symbolic[T int32 | int64](kind string, seen *[]T, id T) string {
	if id <= 0 && kind == "session" || id < 0 {
		return fmt.Sprint(id)
	}
	return numbered(kind, seen, id)
}

func numbered[T comparable](kind string, seen *[]T, id T) string {
	at := slices.Index(*seen, id)
	if at < 0 {
		at = len(*seen)
		*seen = append(*seen, id)
	}
	return fmt.Sprintf("%s#%d", kind, at)
}

// time is a time relative to the session's start if it can be one that the session sent; broker's clocks give "now".
func (s *session) time(ms int64) string {
	switch d := ms - s.beganMs; {
	case ms < 0 || ms < s.beganMs/2:
		return fmt.Sprint(ms)
	case d >= 0 && time.Duration(d)*time.Millisecond < 30*time.Second:
		return "now"
	default:
		return fmt.Sprintf("began%+d", d)
	}
}

// batches describes a record set as fetched.
func (s *session) batches(b []byte) string {
	var out []string
	for len(b) >= 61 {
		size := 12 + int(binary.BigEndian.Uint32(b[8:]))
		if size > len(b) {
			break
		}
		var batch kmsg.RecordBatch
		if err := batch.ReadFrom(b[:size]); err != nil {
			return fmt.Sprintf("unreadable batch: %v", err)
		}
		text := fmt.Sprintf("offset %d+%d", batch.FirstOffset, batch.LastOffsetDelta)
		if crc := checksum(b[:size]); crc != uint32(batch.CRC) {
			text += " BAD CRC"
		}
		if batch.PartitionLeaderEpoch != 0 {
			text += fmt.Sprintf(" epoch %d", batch.PartitionLeaderEpoch)
		}
		if batch.Attributes != 0 {
			text += fmt.Sprintf(" attributes %#x", batch.Attributes)
		}
		if batch.ProducerID >= 0 {
			text += fmt.Sprintf(" %s/%d#%d", symbolic("producer", &s.producers, batch.ProducerID), batch.ProducerEpoch, batch.FirstSequence)
		}
		out = append(out, fmt.Sprintf("%s of %d bytes", text, size))
		b = b[size:]
	}
	if len(b) > 0 {
		out = append(out, fmt.Sprintf("%d bytes of a batch", len(b)))
	}
	return "<" + strings.Join(out, "; ") + ">"
}
