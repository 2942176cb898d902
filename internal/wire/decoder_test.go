package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ottla-io/ottla/internal/wire"
)

// TestHostileCounts holds that a short body with a huge count is an error at once. The first one kept another codec busy
// for 98 seconds.
func TestHostileCounts(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x0f} // uvarint 2³²-1
	big := binary.AppendUvarint(nil, 1<<30)
	for name, c := range map[string]struct {
		m       wire.Message
		version int16
		body    []byte
		reason  string
	}{
		"ApiVersions tag count":        {&wire.ApiVersionsRequest{}, 3, append([]byte{1, 1}, huge...), "tagged field count"},
		"tag count, a few bytes there": {&wire.ApiVersionsRequest{}, 3, append(append([]byte{1, 1}, big...), 1, 1, 1, 1), "tagged field count"},
		"tag size":                     {&wire.ApiVersionsRequest{}, 3, append([]byte{1, 1, 1, 99}, append(huge, 0)...), "tagged field exceeds"},
		"string length":                {&wire.ApiVersionsRequest{}, 3, huge, "length exceeds"},
		"string longer than any that is not flexible": {&wire.JoinGroupRequest{}, 9, append(binary.AppendUvarint(nil, 32769), make([]byte, 40_000)...), "more than 32767"},
		"varint too long":   {&wire.ApiVersionsRequest{}, 3, bytes.Repeat([]byte{0xff}, 9), "varint longer"},
		"varint of 33 bits": {&wire.ApiVersionsRequest{}, 3, []byte{0xff, 0xff, 0xff, 0xff, 0x1f}, "varint longer"},
		"array count":       {&wire.MetadataRequest{}, 9, append(big, make([]byte, 100)...), "length exceeds"},
		"array count above what its elements take": {&wire.ProduceRequest{}, 3, append([]byte{0xff, 0xff, 0, 1, 0, 0, 0, 1, 0, 0, 0, 17}, make([]byte, 100)...), "array count exceeds"},
		"null array":  {&wire.ProduceRequest{}, 3, []byte{0xff, 0xff, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff}, "null where none"},
		"null string": {&wire.SaslHandshakeRequest{}, 1, []byte{0xff, 0xff}, "null where none"},
		"known tag shorter than its size": {&wire.FetchSnapshotRequest{}, 0,
			[]byte{0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 0, 3, 1, 7, 7}, "longer than its content"},
		"truncated int": {&wire.ProduceRequest{}, 3, []byte{0xff, 0xff, 0}, "truncated"},
		"empty body":    {&wire.ProduceRequest{}, 3, nil, "truncated"},
		"version below": {&wire.ProduceRequest{}, 2, make([]byte, 100), "unknown version"},
		"version above": {&wire.ProduceRequest{}, 14, make([]byte, 100), "unknown version"},
	} {
		t.Run(name, func(t *testing.T) {
			var d wire.Decoder
			d.Reset(c.body)
			start := time.Now()
			err := c.m.Decode(&d, c.version)
			elapsed := time.Since(start)
			var decodeError *wire.DecodeError
			if !errors.As(err, &decodeError) || !strings.Contains(decodeError.Reason, c.reason) {
				t.Errorf("error %v, want %q", err, c.reason)
			}
			if elapsed > 50*time.Millisecond { // it takes less than 1 µs; the rest is the machine's
				t.Errorf("took %v", elapsed)
			}
			if d.Remaining() != 0 || d.Rest() != nil {
				t.Error("something remains after a failure")
			}
			d.Reset([]byte{1, 1, 0})
			if err := (&wire.ApiVersionsRequest{}).Decode(&d, 3); err != nil {
				t.Errorf("the decoder does not recover: %v", err)
			}
		})
	}
}

// TestAmplification holds the budget: an array whose elements are mostly smaller on the wire than in memory is refused
// before it is allocated, and an honest one of the same length is not.
func TestAmplification(t *testing.T) {
	const elements = 1 << 20
	// StreamsGroupHeartbeat's copartition groups take 4 bytes each if empty, and 72 in memory.
	body := mustEncode(t, &wire.StreamsGroupTopologyValue{Subtopologies: []wire.StreamsGroupTopologyValueSubtopology{
		{CopartitionGroups: make([]wire.StreamsGroupTopologyValueCopartitionGroup, elements)}}}, 0)
	var d wire.Decoder
	d.Reset(body)
	var m wire.StreamsGroupTopologyValue
	err := m.Decode(&d, 0)
	if err == nil || !strings.Contains(err.Error(), "too large when decoded") {
		t.Errorf("%d bytes that would take %d: error %v", len(body), elements*72, err)
	}
	if cap(m.Subtopologies) > 0 && cap(m.Subtopologies[0].CopartitionGroups) > 0 {
		t.Error("it was allocated all the same")
	}

	request := wire.OffsetFetchRequest{GroupId: "g"}
	for i := range 100_000 {
		request.Topics = append(request.Topics, wire.OffsetFetchRequestTopic{Name: fmt.Sprintf("t%d", i), PartitionIndexes: []int32{0}})
	}
	d.Reset(mustEncode(t, &request, 7))
	var again wire.OffsetFetchRequest
	if err := again.Decode(&d, 7); err != nil {
		t.Errorf("100,000 topics of one partition: %v", err)
	}
}

// TestUnknownTags adds tagged fields that nobody knows wherever tagged fields may stand.
func TestUnknownTags(t *testing.T) {
	body := []byte{3, 'a', 'b', 2, 'c', 2, 50, 3, 1, 2, 3, 51, 0}
	var d wire.Decoder
	d.Reset(body)
	var m wire.ApiVersionsRequest
	if err := m.Decode(&d, 3); err != nil {
		t.Fatal(err)
	}
	if m.ClientSoftwareName != "ab" || m.ClientSoftwareVersion != "c" || d.Remaining() != 0 {
		t.Errorf("%+v, %d bytes remain", m, d.Remaining())
	}
	// Between known ones, in any order, and with a number that another version knows.
	body = []byte{0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 9, 1, 0xff, 0, 3, 3, 'i', 'd'}
	d.Reset(body)
	var snapshot wire.FetchSnapshotRequest
	if err := snapshot.Decode(&d, 0); err != nil {
		t.Fatal(err)
	}
	if snapshot.ClusterId != wire.SomeString("id") || d.Remaining() != 0 {
		t.Errorf("%+v, %d bytes remain", snapshot, d.Remaining())
	}
}

// TestDecodeOverwrites decodes one random value over another: nothing of the first may show.
func TestDecodeOverwrites(t *testing.T) {
	f := newFiller(seed(t))
	for _, m := range allMessages() {
		lowest, highest := m.Versions()
		for version := lowest; version <= highest; version++ {
			body := mustEncode(t, randomMessage(f, m, version), version)
			fresh := reflect.New(reflect.TypeOf(m).Elem()).Interface().(wire.Message)
			used := randomMessage(f, m, highest)
			for _, target := range []wire.Message{fresh, used} {
				var d wire.Decoder
				d.Reset(body)
				if err := target.Decode(&d, version); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(fresh, used, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%T version %d: -into a fresh struct +into a used one\n%s", m, version, diff)
			}
			// Where null and empty are not the same, the bytes tell.
			if got := mustEncode(t, used, version); !bytes.Equal(got, body) {
				t.Errorf("%T version %d: a used struct re-encodes otherwise\nwas % x\nis  % x", m, version, body, got)
			}
		}
	}
}

// TestDefaults holds schema defaults where they are not Go's zero, and that Default keeps capacity.
func TestDefaults(t *testing.T) {
	topics := make([]wire.FetchRequestFetchTopic, 3)
	fetch := wire.FetchRequest{Topics: topics, ClusterId: wire.SomeString("x")}
	fetch.Default()
	if fetch.MaxBytes != 0x7fffffff || fetch.SessionEpoch != -1 || fetch.ReplicaId != -1 || fetch.ClusterId.Valid ||
		fetch.ReplicaState != (wire.FetchRequestReplicaState{ReplicaId: -1, ReplicaEpoch: -1}) || len(fetch.Topics) != 0 || cap(fetch.Topics) != 3 {
		t.Errorf("%+v", fetch)
	}
	var partition wire.FetchResponsePartitionData
	partition.Default()
	if partition.DivergingEpoch != (wire.FetchResponseEpochEndOffset{Epoch: -1, EndOffset: -1}) || partition.PreferredReadReplica != -1 {
		t.Errorf("%+v", partition)
	}
	// What Default set is not written as tagged fields: throttle, error, session, one topic of one partition, no tags.
	response := wire.FetchResponse{Responses: []wire.FetchResponseFetchableTopicResponse{{Partitions: []wire.FetchResponsePartitionData{partition}}}}
	body := mustEncode(t, &response, 13)
	if want := 4 + 2 + 4 + 1 + 16 + 1 + (4 + 2 + 8 + 8 + 8 + 1 + 4 + 1 + 1) + 1 + 1; len(body) != want {
		t.Errorf("%d bytes, want %d: % x", len(body), want, body)
	}
	// Absent fields decode to their defaults.
	var d wire.Decoder
	d.Reset(mustEncode(t, &wire.MetadataRequest{}, 1))
	m := wire.MetadataRequest{Topics: []wire.MetadataRequestTopic{{}}}
	if err := m.Decode(&d, 1); err != nil || m.Topics != nil || !m.AllowAutoTopicCreation {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestRequestHeader(t *testing.T) {
	for _, c := range []struct{ key, version, request, response int16 }{
		{wire.ProduceKey, 8, 1, 0}, {wire.ProduceKey, 9, 2, 1}, {wire.ApiVersionsKey, 2, 1, 0}, {wire.ApiVersionsKey, 3, 2, 0},
		{wire.SaslHandshakeKey, 1, 1, 0}, {wire.MetadataKey, 13, 2, 1}, {999, 3, 1, 0},
	} {
		if got := wire.RequestHeaderVersion(c.key, c.version); got != c.request {
			t.Errorf("RequestHeaderVersion(%d, %d) = %d, want %d", c.key, c.version, got, c.request)
		}
		if got := wire.ResponseHeaderVersion(c.key, c.version); got != c.response {
			t.Errorf("ResponseHeaderVersion(%d, %d) = %d, want %d", c.key, c.version, got, c.response)
		}
	}
	// The client id keeps its two-byte length in the flexible header (KIP-482); tags follow it.
	frame := []byte{0, 18, 0, 3, 0, 0, 0, 7, 0, 2, 'm', 'e', 1, 9, 1, 0xff, 'r', 'e', 's', 't'}
	var strings wire.StringTable
	d := wire.Decoder{Strings: &strings}
	d.Reset(frame)
	var h wire.RequestHeader
	if err := h.Decode(&d, 2); err != nil {
		t.Fatal(err)
	}
	want := wire.RequestHeader{RequestApiKey: 18, RequestApiVersion: 3, CorrelationId: 7, ClientId: wire.SomeString("me")}
	if h != want || string(d.Rest()) != "rest" {
		t.Errorf("%+v, rest %q", h, d.Rest())
	}
	if n := testing.AllocsPerRun(100, func() {
		d.Reset(frame)
		if h.Decode(&d, 2) != nil {
			t.Error("does not decode")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTables(t *testing.T) {
	if got := wire.APIName(wire.ListOffsetsKey); got != "ListOffsets" {
		t.Error(got)
	}
	if got := wire.APIName(4); got != "" { // LeaderAndIsr, gone in Kafka 4
		t.Error(got)
	}
	if low, high, ok := wire.SupportedVersions(wire.ProduceKey); low != 3 || high != 13 || !ok {
		t.Error(low, high, ok)
	}
	if _, _, ok := wire.SupportedVersions(-1); ok {
		t.Error("key -1 has versions")
	}
	for key := int16(-1); key < 200; key++ {
		request, response := wire.NewRequest(key), wire.NewResponse(key)
		low, high, ok := wire.SupportedVersions(key)
		if (request != nil) != ok || (response != nil) != ok || (wire.APIName(key) != "") != ok {
			t.Errorf("the tables disagree about key %d", key)
		}
		if !ok {
			continue
		}
		if l, h := request.Versions(); l != low || h != high {
			t.Errorf("%s: versions %d-%d and %d-%d", wire.APIName(key), low, high, l, h)
		}
		if l, h := response.Versions(); l != low || h != high {
			t.Errorf("%s: the response has versions %d-%d", wire.APIName(key), l, h)
		}
	}
}

func TestErrorCodes(t *testing.T) {
	for _, c := range []struct {
		code      wire.ErrorCode
		name      string
		retriable bool
		sentence  string
	}{
		{wire.ErrorUnknownServerError, "UNKNOWN_SERVER_ERROR", false, "The server experienced an unexpected error when processing the request."},
		{wire.ErrorNone, "NONE", false, ""},
		{wire.ErrorUnknownTopicOrPartition, "UNKNOWN_TOPIC_OR_PARTITION", true, "This server does not host this topic-partition."},
		{wire.ErrorFetchSessionTopicIDError, "FETCH_SESSION_TOPIC_ID_ERROR", true, "The fetch session encountered inconsistent topic ID usage."},
		{wire.ErrorControllerIDNotRegistered, "CONTROLLER_ID_NOT_REGISTERED", false, "The controller ID is not registered."},
		{-2, "UNKNOWN_ERROR_CODE_-2", false, "The error code is not known."},
		{137, "UNKNOWN_ERROR_CODE_137", false, "The error code is not known."},
		{-32768, "UNKNOWN_ERROR_CODE_-32768", false, "The error code is not known."},
	} {
		if c.code.Name() != c.name || c.code.Retriable() != c.retriable || c.code.Message() != c.sentence {
			t.Errorf("%d: %s %t %q, want %s %t %q", c.code, c.code.Name(), c.code.Retriable(), c.code.Message(), c.name, c.retriable, c.sentence)
		}
	}
	if wire.ErrorUnknownTopicID != 100 || wire.ErrorKafkaStorageError != 56 || wire.ErrorSASLAuthenticationFailed != 58 {
		t.Error("codes have moved")
	}
	wrapped := fmt.Errorf("append: %w", wire.ErrorKafkaStorageError)
	if !errors.Is(wrapped, wire.ErrorKafkaStorageError) || !strings.Contains(wrapped.Error(), "KAFKA_STORAGE_ERROR: Disk error") {
		t.Error(wrapped)
	}
}
