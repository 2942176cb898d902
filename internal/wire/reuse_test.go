package wire_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/internal/wire"
)

// TestWarmStructsAllocateNothing decodes and encodes every message in every version again and again through the same
// struct, decoder and encoder.
func TestWarmStructsAllocateNothing(t *testing.T) {
	f := newFiller(seed(t))
	f.nulls = false
	f.minElements, f.words = 1, []string{"", "a", "topic-1", "group", "a-rather-long-name-of-a-consumer"}
	for _, m := range allMessages() {
		lowest, highest := m.Versions()
		for version := lowest; version <= highest; version++ {
			body := mustEncode(t, randomMessage(f, m, version), version)
			target := reflect.New(reflect.TypeOf(m).Elem()).Interface().(wire.Message)
			var table wire.StringTable
			d := wire.Decoder{Strings: &table}
			var e wire.Encoder
			allocations := testing.AllocsPerRun(10, func() {
				d.Reset(body)
				e.Reset()
				if target.Decode(&d, version) != nil || target.Encode(&e, version) != nil {
					t.Error("decode or encode failed")
				}
			})
			if allocations != 0 {
				t.Errorf("%T version %d: %v allocations", m, version, allocations)
			}
		}
	}
}

// hotRequests are what brokers decode all day, with one partition each.
func hotRequests() []struct {
	name    string
	version int16
	m       wire.Message
} {
	topic, id := "flights", wire.UUID{1, 2, 3}
	batch := make([]byte, 1000)
	fetchPartition := wire.FetchRequestFetchPartition{}
	fetchPartition.Default()
	fetch := wire.FetchRequest{}
	fetch.Default()
	fetch.Topics = []wire.FetchRequestFetchTopic{{Topic: topic, TopicId: id, Partitions: []wire.FetchRequestFetchPartition{fetchPartition}}}
	produce := &wire.ProduceRequest{Acks: -1, TimeoutMs: 30_000, TopicData: []wire.ProduceRequestTopicProduceData{
		{Name: topic, TopicId: id, PartitionData: []wire.ProduceRequestPartitionProduceData{{Index: 1, Records: wire.Records{Bytes: batch}}}}}}
	return []struct {
		name    string
		version int16
		m       wire.Message
	}{
		{"Produce", 7, produce},
		{"Produce", 9, produce},
		{"Produce", 13, produce},
		{"Fetch", 11, &fetch},
		{"Fetch", 12, &fetch},
		{"Fetch", 18, &fetch},
		{"ListOffsets", 11, &wire.ListOffsetsRequest{Topics: []wire.ListOffsetsRequestListOffsetsTopic{
			{Name: topic, Partitions: []wire.ListOffsetsRequestListOffsetsPartition{{Timestamp: -1}}}}}},
		{"Metadata", 13, &wire.MetadataRequest{Topics: []wire.MetadataRequestTopic{{Name: wire.SomeString(topic)}}}},
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, r := range hotRequests() {
		b.Run(fmt.Sprintf("%s/%d", r.name, r.version), func(b *testing.B) {
			body := mustEncode(b, r.m, r.version)
			target := reflect.New(reflect.TypeOf(r.m).Elem()).Interface().(wire.Message)
			var table wire.StringTable
			d := wire.Decoder{Strings: &table}
			b.ReportAllocs()
			for b.Loop() {
				d.Reset(body)
				if err := target.Decode(&d, r.version); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncodeResponse(b *testing.B) {
	partition := wire.FetchResponsePartitionData{}
	partition.Default()
	fetch := &wire.FetchResponse{Responses: []wire.FetchResponseFetchableTopicResponse{
		{Topic: "flights", Partitions: []wire.FetchResponsePartitionData{partition}}}}
	result := wire.ProduceResponsePartitionProduceResponse{}
	result.Default()
	produce := &wire.ProduceResponse{Responses: []wire.ProduceResponseTopicProduceResponse{
		{Name: "flights", PartitionResponses: []wire.ProduceResponsePartitionProduceResponse{result}}}}
	for name, c := range map[string]struct {
		m       wire.Message
		version int16
	}{"Fetch/18": {fetch, 18}, "Produce/13": {produce, 13}, "Produce/7": {produce, 7}} {
		b.Run(name, func(b *testing.B) {
			var e wire.Encoder
			b.ReportAllocs()
			for b.Loop() {
				e.Reset()
				if err := c.m.Encode(&e, c.version); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// region is a run of bytes elsewhere.
type region int

func (r region) Size() int { return int(r) }

// TestRegions holds that a region leaves its length in the buffer and its place in the splices, so that a reader sees
// what it would see had the bytes been encoded.
func TestRegions(t *testing.T) {
	for _, version := range []int16{4, 12, 18} {
		response := func(records ...wire.Records) *wire.FetchResponse {
			m := &wire.FetchResponse{Responses: []wire.FetchResponseFetchableTopicResponse{{Topic: "t"}}}
			for _, r := range records {
				p := wire.FetchResponsePartitionData{}
				p.Default()
				p.Records = r
				m.Responses[0].Partitions = append(m.Responses[0].Partitions, p)
			}
			return m
		}
		first, second := strings.Repeat("x", 300), strings.Repeat("y", 5)
		want := mustEncode(t, response(wire.Records{Bytes: []byte(first)}, wire.Records{Bytes: []byte(second)}), version)
		e := wire.Encoder{Buf: []byte("head")}
		if err := response(wire.Records{Region: region(len(first))}, wire.Records{Region: region(len(second))}).Encode(&e, version); err != nil {
			t.Fatal(err)
		}
		var got []byte
		at := 0
		for i, bytes := range []string{first, second} {
			got = append(append(got, e.Buf[at:e.Splices[i].At]...), bytes...)
			at = e.Splices[i].At
		}
		got = append(got, e.Buf[at:]...)
		if string(got) != "head"+string(want) {
			t.Errorf("version %d: spliced bytes differ\n% x\n% x", version, got, want)
		}
		if e.Size() != len(got) {
			t.Errorf("version %d: Size %d, want %d", version, e.Size(), len(got))
		}
		if e.Reset(); e.Size() != 0 || len(e.Splices) != 0 {
			t.Error("Reset leaves something")
		}
		if e.Splices[:1][0].Region != nil {
			t.Error("Reset keeps a region from the garbage collector")
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	var e wire.Encoder
	for name, c := range map[string]struct {
		m       wire.Message
		version int16
		want    error
	}{
		"null name before version 10":   {&wire.MetadataRequest{Topics: []wire.MetadataRequestTopic{{}}}, 9, wire.ErrNotNullable},
		"string over 32767, flexible":   {&wire.HeartbeatRequest{GroupId: strings.Repeat("x", 1<<15)}, 4, wire.ErrTooLong},
		"string over 32767, inflexible": {&wire.HeartbeatRequest{GroupId: strings.Repeat("x", 1<<15)}, 3, wire.ErrTooLong},
		"version":                       {&wire.HeartbeatRequest{}, 5, wire.ErrUnknownVersion},
	} {
		err := c.m.Encode(&e, c.version)
		if err == nil || !strings.Contains(err.Error(), c.want.Error()) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
	if err := (&wire.HeartbeatRequest{GroupId: strings.Repeat("x", 1<<15-1)}).Encode(&e, 4); err != nil {
		t.Errorf("after an error, a good message: %v", err)
	}
}

// TestStringTable holds that the table gives equal strings, keeps few of them, and that what it gave stays what it was
// when the input changes.
func TestStringTable(t *testing.T) {
	var table wire.StringTable
	d := wire.Decoder{Strings: &table}
	var m wire.SaslHandshakeRequest
	decode := func(s string) string {
		body := append([]byte{byte(len(s) >> 8), byte(len(s))}, s...)
		d.Reset(body)
		if err := m.Decode(&d, 1); err != nil {
			t.Fatal(err)
		}
		got := m.Mechanism
		clear(body)
		return got
	}
	for round := range 3 {
		for i := range 5000 {
			s := fmt.Sprintf("topic-%d-%s", i, strings.Repeat("z", i%300))
			if got := decode(s); got != s {
				t.Fatalf("round %d: %q became %q", round, s, got)
			}
		}
	}
	slots := reflect.ValueOf(&table).Elem().FieldByName("slots")
	kept := 0
	for i := range slots.Len() {
		kept += slots.Index(i).Len()
		if slots.Index(i).Len() > 256 {
			t.Errorf("it keeps a string of %d bytes", slots.Index(i).Len())
		}
	}
	if slots.Len() > 1024 || kept > 64<<10 {
		t.Errorf("%d slots with %d bytes after 15,000 strings", slots.Len(), kept)
	}
	// A working set that fits costs nothing.
	table = wire.StringTable{}
	bodies := make([][]byte, 30)
	for i := range bodies {
		bodies[i] = mustEncode(t, &wire.SaslHandshakeRequest{Mechanism: fmt.Sprintf("orders-%d", i)}, 1)
	}
	allocations := testing.AllocsPerRun(100, func() {
		for _, body := range bodies {
			d.Reset(body)
			if m.Decode(&d, 1) != nil {
				t.Error("decode failed")
			}
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations for 30 strings known before", allocations)
	}
}

// TestBytesAlias holds that bytes alias the input, and that appending to them does not write into it.
func TestBytesAlias(t *testing.T) {
	body := mustEncode(t, &wire.SaslAuthenticateRequest{AuthBytes: []byte("secret")}, 2)
	var d wire.Decoder
	d.Reset(body)
	var m wire.SaslAuthenticateRequest
	if err := m.Decode(&d, 2); err != nil {
		t.Fatal(err)
	}
	before := string(body)
	_ = append(m.AuthBytes, "more"...)
	if string(body) != before {
		t.Errorf("append wrote into the input: % x", body)
	}
	if m.AuthBytes[0] = 'S'; string(body) == before {
		t.Error("the bytes were copied")
	}
	// Default lets go of the input, so that nothing can be appended into it later.
	if m.Default(); cap(m.AuthBytes) != 0 {
		t.Error("Default keeps the input")
	}
}
