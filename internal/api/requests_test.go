package api

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

func newApiVersions(name, version string) *wire.ApiVersionsRequest {
	req := new(wire.ApiVersionsRequest)
	req.Default()
	req.ClientSoftwareName, req.ClientSoftwareVersion = name, version
	return req
}

// TestApiVersionsUnknownVersion: the bytes that Kafka 4.3.1 sends: version 0, error 35, the range of key 18.
func TestApiVersionsUnknownVersion(t *testing.T) {
	g := newRig(t, run.OS())
	for _, version := range []int16{5, 9, 32767, -1} {
		c := g.startBody(wire.ApiVersionsKey, version, nil)
		if got := hex.EncodeToString(c.r.Reply.Buf); c.outcome != Replied || got != "002300000001001200000004" {
			t.Errorf("version %d: outcome %d, %s", version, c.outcome, got)
		}
	}
}

// TestApiVersionsRanges: exactly what is served, with Kafka 4.3.1's ranges, Produce from 0 (KAFKA-18659).
func TestApiVersionsRanges(t *testing.T) {
	g := newRig(t, run.OS())
	want := map[int16][2]int16{0: {0, 13}, 1: {4, 18}, 2: {1, 11}, 3: {0, 13}, 8: {2, 10}, 9: {1, 10}, 10: {0, 6},
		11: {0, 9}, 12: {0, 4}, 13: {0, 5}, 14: {0, 5}, 15: {0, 6}, 16: {0, 5}, 18: {0, 4}, 19: {2, 7}, 20: {1, 6}, 21: {0, 2}, 22: {0, 5}, 23: {2, 4},
		29: {1, 3}, 30: {1, 3}, 31: {1, 3}, 32: {1, 4}, 33: {0, 2}, 34: {1, 2}, 35: {1, 5}, 37: {0, 3}, 42: {0, 2}, 43: {0, 2}, 44: {0, 1}, 45: {0, 1}, 46: {0, 0}, 47: {0, 0}, 48: {0, 1}, 49: {0, 1}, 50: {0, 0}, 55: {0, 2}, 57: {0, 2}, 60: {0, 2},
		61: {0, 0}, 71: {0, 0}, 72: {0, 0}, 68: {0, 1}, 69: {0, 1}, 74: {0, 1}, 75: {0, 0}}
	for version := int16(0); version <= 4; version++ {
		var resp wire.ApiVersionsResponse
		g.do(wire.ApiVersionsKey, version, newApiVersions("ask", "1.0"), &resp)
		got := map[int16][2]int16{}
		for _, k := range resp.ApiKeys {
			got[k.ApiKey] = [2]int16{k.MinVersion, k.MaxVersion}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("version %d: %s", version, diff)
		}
		if version < 3 {
			continue
		}
		// A feature whose minimum is 0 is left out before version 4 (KIP-1022); the epoch is never "unknown".
		names := []string{"metadata.version", "zero"}
		if version == 3 {
			names = names[:1]
		}
		var supported []string
		for _, f := range resp.SupportedFeatures {
			supported = append(supported, f.Name)
		}
		if diff := cmp.Diff(names, supported); diff != "" || resp.FinalizedFeaturesEpoch < 0 {
			t.Errorf("version %d: epoch %d, %s", version, resp.FinalizedFeaturesEpoch, diff)
		}
		finalized := []wire.ApiVersionsResponseFinalizedFeatureKey{{Name: "group.version", MaxVersionLevel: 1, MinVersionLevel: 1}, {Name: "metadata.version", MaxVersionLevel: 30, MinVersionLevel: 30}}
		if diff := cmp.Diff(finalized, resp.FinalizedFeatures); diff != "" {
			t.Errorf("version %d: %s", version, diff)
		}
	}
}

func TestApiVersionsSoftwareName(t *testing.T) {
	for name, ok := range map[string]bool{"a": true, "apache-kafka-java": true, "4.3.1": true, "": false, "-a": false, "a-": false, ".a": false, "a.": false, "a b": false, "ä": false, "a_b": false} {
		g := newRig(t, run.OS())
		for i, req := range []*wire.ApiVersionsRequest{newApiVersions(name, "1"), newApiVersions("x", name)} {
			var resp wire.ApiVersionsResponse
			g.do(wire.ApiVersionsKey, 3, req, &resp)
			if (resp.ErrorCode == wire.ErrorNone) != ok || (!ok && resp.ErrorCode != wire.ErrorInvalidRequest) || (len(resp.ApiKeys) > 0) != ok {
				t.Errorf("%q: %v with %d keys", name, resp.ErrorCode, len(resp.ApiKeys))
			}
			if got := []string{g.conn.SoftwareName, g.conn.SoftwareVersion}[i]; ok && got != name {
				t.Errorf("%q is known as %q", name, got)
			}
		}
	}
}

// TestTable: what is served is within what wire can say, and nothing can be looked up that is not.
func TestTable(t *testing.T) {
	g := newRig(t, run.OS())
	for key := int16(-3); key < 200; key++ {
		entry, ok := g.table.Lookup(key)
		if !ok {
			continue
		}
		low, high, known := wire.SupportedVersions(key)
		if !known || entry.Key != key || entry.Min < low || entry.Max > high || entry.AdvertisedMin > entry.Min || entry.Handle == nil || entry.BodyMax <= 0 {
			t.Errorf("%s: %+v, wire knows %d to %d", wire.APIName(key), entry, low, high)
		}
	}
	for _, key := range []int16{-1, 4, 24, 17, 127, 128, 32767} {
		if _, ok := g.table.Lookup(key); ok {
			t.Errorf("key %d is served", key)
		}
	}
}

// TestTruncatedRequests: every request that we serve, cut at every byte, closes the connection or is answered: it never
// panics, and never parks on half a request.
func TestTruncatedRequests(t *testing.T) {
	g := newRig(t, run.OS())
	appends(g)
	produce, fetch := newProduce(1, 10), newFetch(fetchPart{"a", 0, 0})
	produceTo(produce, "a", id(1), producePart{0, batchOf(1, 5)})
	fetch.Topics[0].TopicId, fetch.MaxWaitMs = wire.UUID(id(1)), 0
	requests := map[int16]wire.Message{
		wire.ProduceKey: produce, wire.FetchKey: fetch, wire.MetadataKey: newMetadata([]string{"a"}), wire.ApiVersionsKey: newApiVersions("x", "1"),
		wire.ListOffsetsKey: newListOffsets(fetchPart{"a", 0, -1}), wire.InitProducerIdKey: newInitProducer(),
		wire.CreateTopicsKey:            &wire.CreateTopicsRequest{Topics: []wire.CreateTopicsRequestCreatableTopic{{Name: "x"}}},
		wire.DeleteTopicsKey:            &wire.DeleteTopicsRequest{TopicNames: []string{"x"}, Topics: []wire.DeleteTopicsRequestDeleteTopicState{{Name: wire.SomeString("x")}}},
		wire.DeleteRecordsKey:           &wire.DeleteRecordsRequest{Topics: []wire.DeleteRecordsRequestDeleteRecordsTopic{{Name: "a", Partitions: make([]wire.DeleteRecordsRequestDeleteRecordsPartition, 1)}}},
		wire.CreatePartitionsKey:        &wire.CreatePartitionsRequest{Topics: []wire.CreatePartitionsRequestCreatePartitionsTopic{{Name: "x", Count: 2, Assignments: make([]wire.CreatePartitionsRequestCreatePartitionsAssignment, 1)}}},
		wire.AlterConfigsKey:            &wire.AlterConfigsRequest{Resources: []wire.AlterConfigsRequestAlterConfigsResource{{ResourceName: "x", Configs: make([]wire.AlterConfigsRequestAlterableConfig, 1)}}},
		wire.IncrementalAlterConfigsKey: &wire.IncrementalAlterConfigsRequest{Resources: []wire.IncrementalAlterConfigsRequestAlterConfigsResource{{ResourceName: "x", Configs: make([]wire.IncrementalAlterConfigsRequestAlterableConfig, 1)}}},
		wire.OffsetForLeaderEpochKey:    &wire.OffsetForLeaderEpochRequest{Topics: []wire.OffsetForLeaderEpochRequestOffsetForLeaderTopic{{Topic: "a", Partitions: make([]wire.OffsetForLeaderEpochRequestOffsetForLeaderPartition, 1)}}},
		wire.DescribeConfigsKey:         &wire.DescribeConfigsRequest{Resources: []wire.DescribeConfigsRequestDescribeConfigsResource{{ResourceType: 2, ResourceName: "a"}}},
		wire.DescribeClusterKey:         &wire.DescribeClusterRequest{EndpointType: 1}, wire.DescribeTopicPartitionsKey: &wire.DescribeTopicPartitionsRequest{},
		wire.ListPartitionReassignmentsKey: &wire.ListPartitionReassignmentsRequest{}, wire.FindCoordinatorKey: &wire.FindCoordinatorRequest{Key: "g"},
	}
	addAdminRequests(requests)
	addGroupRequests(requests)
	for i := range g.table.entries {
		entry := &g.table.entries[i]
		req, ok := requests[entry.Key]
		if !ok {
			t.Fatalf("no request for %s", wire.APIName(entry.Key))
		}
		for version := entry.Min; version <= entry.Max; version++ {
			var e wire.Encoder
			if err := req.Encode(&e, version); err != nil {
				t.Fatal(err)
			}
			for cut := range len(e.Buf) {
				c := g.startBody(entry.Key, version, slices.Clone(e.Buf[:cut]))
				if c.outcome != Hangup || c.r.Err == nil {
					t.Errorf("%s version %d cut at %d of %d: outcome %d, %v", wire.APIName(entry.Key), version, cut, len(e.Buf), c.outcome, c.r.Err)
				}
			}
			if c := g.startBody(entry.Key, version, append(e.Buf, "trailing"...)); c.outcome == Hangup {
				t.Errorf("%s version %d with bytes after it: %v", wire.APIName(entry.Key), version, c.r.Err)
			}
		}
	}
	g.checkIdle(0)
}

// newListOffsets asks for offsets by timestamp: the offset field of a part is the timestamp.
func newListOffsets(parts ...fetchPart) *wire.ListOffsetsRequest {
	req := new(wire.ListOffsetsRequest)
	req.Default()
	for _, p := range parts {
		part := wire.ListOffsetsRequestListOffsetsPartition{PartitionIndex: p.partition, Timestamp: p.offset, CurrentLeaderEpoch: -1}
		req.Topics = append(req.Topics, wire.ListOffsetsRequestListOffsetsTopic{Name: p.topic, Partitions: []wire.ListOffsetsRequestListOffsetsPartition{part}})
	}
	return req
}

func listed(resp *wire.ListOffsetsResponse) (out []wire.ListOffsetsResponseListOffsetsPartitionResponse) {
	for _, topic := range resp.Topics {
		out = append(out, topic.Partitions...)
	}
	return out
}

// TestListOffsetsTimestamps: which special timestamps each version knows; others are UNSUPPORTED_VERSION, as Kafka 4.3.1.
func TestListOffsetsTimestamps(t *testing.T) {
	since := map[int64]int16{-1: 1, -2: 1, -3: 7, -4: 8, -5: 9, -6: 11, -7: 99, 0: 1, 1 << 60: 1}
	for version := int16(1); version <= 11; version++ {
		for timestamp, first := range since {
			g := newRig(t, run.OS())
			g.partitions.log("a", 0).found = replication.FoundOffset{Offset: 5, TimestampMs: 77, LeaderEpoch: 2}
			g.partitions.log("a", 0).watermark = 5
			var resp wire.ListOffsetsResponse
			req := newListOffsets(fetchPart{"a", 0, timestamp})
			req.IsolationLevel = 1
			g.do(wire.ListOffsetsKey, version, req, &resp)
			got := listed(&resp)[0]
			want := wire.ListOffsetsResponseListOffsetsPartitionResponse{Offset: 5, Timestamp: 77, LeaderEpoch: 2}
			if version < 4 {
				want.LeaderEpoch = -1
			}
			if version < first {
				want = wire.ListOffsetsResponseListOffsetsPartitionResponse{ErrorCode: wire.ErrorUnsupportedVersion, Offset: -1, Timestamp: -1, LeaderEpoch: -1}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("version %d timestamp %d: %s", version, timestamp, diff)
			}
			if asked := g.partitions.log("a", 0).offsets; version >= first && (asked[0].TimestampMs != timestamp || asked[0].ReadCommitted != (version >= 2)) {
				t.Errorf("version %d: %+v", version, asked)
			}
		}
	}
}

func TestListOffsetsErrors(t *testing.T) {
	g := newRig(t, run.OS())
	g.partitions.fail("b", 0, wire.ErrorNotLeaderOrFollower)
	req := newListOffsets(fetchPart{"a", 0, -1}, fetchPart{"a", 1, -1}, fetchPart{"a", 0, -2}, fetchPart{"nope", 0, -1}, fetchPart{"a", 9, -1}, fetchPart{"b", 0, -1})
	var resp wire.ListOffsetsResponse
	g.do(wire.ListOffsetsKey, 7, req, &resp)
	var got []wire.ErrorCode
	for _, p := range listed(&resp) {
		got = append(got, p.ErrorCode)
		if p.ErrorCode != 0 && (p.Offset != -1 || p.Timestamp != -1 || p.LeaderEpoch != -1) {
			t.Errorf("%+v", p)
		}
	}
	if diff := cmp.Diff([]wire.ErrorCode{42, 0, 3, 3, 6}, got); diff != "" { // "a" and its partition 9 come together
		t.Error("a partition named twice is INVALID_REQUEST, once: " + diff)
	}
	if len(resp.Topics) != 3 {
		t.Errorf("%d topics in the answer, want each once", len(resp.Topics))
	}
	req.IsolationLevel = 2
	g.do(wire.ListOffsetsKey, 7, req, &resp)
	if all := listed(&resp); len(all) != 6 {
		t.Errorf("%d answers to a request that is refused as a whole", len(all))
	}
	for _, p := range listed(&resp) {
		if p.ErrorCode != wire.ErrorUnknownServerError {
			t.Errorf("isolation level 2: %+v", p)
		}
	}
}

// TestListOffsetsWaitsForFlush: what was appended before the request is seen by it, if a flush is all that is missing.
func TestListOffsetsWaitsForFlush(t *testing.T) {
	for _, flushed := range []bool{true, false} {
		for _, version := range []int16{9, 10} {
			simulated(t, 1, func(env run.Env) {
				g := newRig(t, env)
				g.partitions.log("a", 0).flushing = true
				req := newListOffsets(fetchPart{"a", 0, -1}, fetchPart{"a", 1, -1})
				req.TimeoutMs = 2000
				c := g.start(wire.ListOffsetsKey, version, req)
				if c.outcome != Parked {
					t.Fatalf("outcome %d", c.outcome)
				}
				want, wait := int64(0), flushWait // version 10's timeout is for tiered storage
				if flushed {
					g.partitions.advance("a", 0, 4)
					want, wait = 4, 0
				}
				var resp wire.ListOffsetsResponse
				c.reply(&resp)
				if got := listed(&resp); got[0].Offset != want || got[0].ErrorCode != 0 || env.Monotonic() != wait {
					t.Errorf("version %d flushed %v: after %v %+v", version, flushed, env.Monotonic(), got)
				}
				g.checkIdle(0)
			})
		}
	}
}

func TestOffsetForLeaderEpoch(t *testing.T) {
	g := newRig(t, run.OS())
	g.partitions.log("a", 0).end = 10
	for version := int16(2); version <= 4; version++ {
		req := new(wire.OffsetForLeaderEpochRequest)
		req.Default()
		ask := func(topic string, partition, current, epoch int32) {
			req.Topics = append(req.Topics, wire.OffsetForLeaderEpochRequestOffsetForLeaderTopic{Topic: topic,
				Partitions: []wire.OffsetForLeaderEpochRequestOffsetForLeaderPartition{{Partition: partition, CurrentLeaderEpoch: current, LeaderEpoch: epoch}}})
		}
		ask("a", 0, -1, 3)
		ask("a", 0, -1, 5)
		ask("a", 0, 7, 3)
		ask("nope", 0, -1, 3)
		ask("a", 9, -1, 3)
		var resp wire.OffsetForLeaderEpochResponse
		g.do(wire.OffsetForLeaderEpochKey, version, req, &resp)
		var got []wire.OffsetForLeaderEpochResponseEpochEndOffset
		for _, topic := range resp.Topics {
			got = append(got, topic.Partitions...)
		}
		want := []wire.OffsetForLeaderEpochResponseEpochEndOffset{{Partition: 0, LeaderEpoch: 3, EndOffset: 10}, {LeaderEpoch: -1, EndOffset: -1},
			{ErrorCode: 75, LeaderEpoch: -1, EndOffset: -1}, {ErrorCode: 3, LeaderEpoch: -1, EndOffset: -1}, {ErrorCode: 3, Partition: 9, LeaderEpoch: -1, EndOffset: -1}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("version %d: %s", version, diff)
		}
	}
}

func newInitProducer() *wire.InitProducerIdRequest {
	req := new(wire.InitProducerIdRequest)
	req.Default()
	req.TransactionalId = wire.NullString{}
	return req
}

func TestInitProducerIDRules(t *testing.T) {
	tests := []struct {
		name   string
		adjust func(*wire.InitProducerIdRequest)
		want   wire.ErrorCode
	}{
		{"a transactional id is UNSUPPORTED_VERSION, fatal in every client", func(r *wire.InitProducerIdRequest) { r.TransactionalId = wire.SomeString("t") }, 35},
		{"an empty transactional id", func(r *wire.InitProducerIdRequest) { r.TransactionalId = wire.SomeString("") }, 42},
		{"an id without epoch", func(r *wire.InitProducerIdRequest) { r.ProducerId = 5 }, 42},
		{"an epoch without id", func(r *wire.InitProducerIdRequest) { r.ProducerEpoch = 5 }, 42},
		{"a reset (KIP-360)", func(r *wire.InitProducerIdRequest) { r.ProducerId, r.ProducerEpoch = 5, 32767 }, 0},
		{"no timeout", func(r *wire.InitProducerIdRequest) { r.TransactionTimeoutMs = -1 }, 0},
	}
	for _, test := range tests {
		g := newRig(t, run.OS())
		req := newInitProducer()
		test.adjust(req)
		c := g.start(wire.InitProducerIdKey, 5, req)
		if c.outcome == Parked {
			g.controller.blocks[0](1000, 10, wire.ErrorNone)
		}
		var resp wire.InitProducerIdResponse
		c.reply(&resp)
		if resp.ErrorCode != test.want || (test.want == 0) != (resp.ProducerId == 1000 && resp.ProducerEpoch == 0) || (test.want != 0 && (resp.ProducerId != -1 || resp.ProducerEpoch != -1)) {
			t.Errorf("%s: %+v", test.name, resp)
		}
	}
}

// TestInitProducerIDUnique: no id is given twice, whatever the size of the blocks and the order of requests.
func TestInitProducerIDUnique(t *testing.T) {
	g := newRig(t, run.OS())
	seen := map[int64]bool{}
	first := ids.ProducerID(0)
	for round := range 5 {
		var calls []*call
		for range 7 {
			calls = append(calls, g.start(wire.InitProducerIdKey, int16(round), newInitProducer()))
		}
		for len(g.controller.blocks) > 0 {
			done := g.controller.blocks[0]
			g.controller.blocks = g.controller.blocks[1:]
			if len(g.controller.blocks) != 0 {
				t.Fatal("asked for two blocks at once")
			}
			done(first, int32(round+1), wire.ErrorNone)
			first += ids.ProducerID(round + 1)
			if len(calls) < 10 {
				calls = append(calls, g.start(wire.InitProducerIdKey, int16(round), newInitProducer()))
			}
		}
		for _, c := range calls {
			var resp wire.InitProducerIdResponse
			c.reply(&resp)
			if resp.ErrorCode != 0 || seen[resp.ProducerId] || resp.ProducerId < 0 || resp.ProducerId >= int64(first) {
				t.Fatalf("%+v", resp)
			}
			seen[resp.ProducerId] = true
		}
	}
}

// TestInitProducerIDWithoutController: the client is told to try again, and the next try asks again.
func TestInitProducerIDWithoutController(t *testing.T) {
	simulated(t, 1, func(env run.Env) {
		g := newRig(t, env)
		failed, waits := g.start(wire.InitProducerIdKey, 5, newInitProducer()), g.start(wire.InitProducerIdKey, 5, newInitProducer())
		g.controller.blocks[0](0, 0, wire.ErrorNotController)
		for _, c := range []*call{failed, waits} {
			var resp wire.InitProducerIdResponse
			c.reply(&resp)
			if resp.ErrorCode != wire.ErrorCoordinatorLoadInProgress || resp.ProducerId != -1 {
				t.Errorf("%+v", resp)
			}
		}
		silent := g.start(wire.InitProducerIdKey, 5, newInitProducer())
		var resp wire.InitProducerIdResponse
		silent.reply(&resp)
		if resp.ErrorCode != wire.ErrorCoordinatorLoadInProgress || env.Monotonic() != controllerWait {
			t.Errorf("after %v %+v", env.Monotonic(), resp)
		}
		g.controller.blocks[1](50, 5, wire.ErrorNone)
		g.do(wire.InitProducerIdKey, 5, newInitProducer(), &resp)
		if resp.ErrorCode != 0 || resp.ProducerId != 51 {
			t.Errorf("the late block: %+v", resp)
		}
	})
}

func TestCreateTopics(t *testing.T) {
	for version := int16(2); version <= 7; version++ {
		simulated(t, 1, func(env run.Env) {
			g := newRig(t, env)
			req := &wire.CreateTopicsRequest{TimeoutMs: 3000, Topics: []wire.CreateTopicsRequestCreatableTopic{{Name: "x", NumPartitions: 2, ReplicationFactor: 1,
				Configs: []wire.CreateTopicsRequestCreatableTopicConfig{{Name: "cleanup.policy", Value: wire.SomeString("compact")}}}, {Name: "y"}}}
			c := g.start(wire.CreateTopicsKey, version, req)
			got := g.controller.creates[0].req
			if c.outcome != Parked || got.Topics[0].Name != "x" || got.Topics[0].NumPartitions != 2 || got.Topics[0].Configs[0].Value != wire.SomeString("compact") {
				t.Fatalf("outcome %d, %+v", c.outcome, got)
			}
			var result wire.CreateTopicsResponseCreatableTopicResult
			result.Default()
			result.Name, result.TopicId, result.NumPartitions = "x", wire.UUID(id(9)), 2
			g.controller.creates[0].done(&wire.CreateTopicsResponse{Topics: []wire.CreateTopicsResponseCreatableTopicResult{result}})
			var resp wire.CreateTopicsResponse
			c.reply(&resp)
			if len(resp.Topics) != 1 || resp.Topics[0].Name != "x" || (version >= 7) != (resp.Topics[0].TopicId == wire.UUID(id(9))) {
				t.Errorf("version %d: %+v", version, resp)
			}
			// A controller that is too slow: REQUEST_TIMED_OUT for each.
			c = g.start(wire.CreateTopicsKey, version, req)
			c.reply(&resp)
			if len(resp.Topics) != 2 || resp.Topics[1].Name != "y" || resp.Topics[1].ErrorCode != wire.ErrorRequestTimedOut || env.Monotonic() != 3*time.Second {
				t.Errorf("version %d after %v: %+v", version, env.Monotonic(), resp)
			}
			for _, timeout := range []int32{0, -1} {
				req.TimeoutMs = timeout
				g.do(wire.CreateTopicsKey, version, req, &resp)
				if len(resp.Topics) != 2 || resp.Topics[0].ErrorCode != wire.ErrorRequestTimedOut || resp.Topics[0].ErrorMessage.Valid || len(g.controller.creates) != 2 {
					t.Errorf("version %d timeout %d: %+v", version, timeout, resp)
				}
			}
		})
	}
}

func TestCreatePartitions(t *testing.T) {
	for version := int16(0); version <= 3; version++ {
		simulated(t, 1, func(env run.Env) {
			g := newRig(t, env)
			req := &wire.CreatePartitionsRequest{TimeoutMs: 3000, ValidateOnly: true, Topics: []wire.CreatePartitionsRequestCreatePartitionsTopic{
				{Name: "x", Count: 4}, {Name: "y", Count: 2, Assignments: []wire.CreatePartitionsRequestCreatePartitionsAssignment{{BrokerIds: []int32{1}}}}, {Name: "x"}}}
			c := g.start(wire.CreatePartitionsKey, version, req)
			if diff := cmp.Diff(req, g.controller.extends[0].req); diff != "" || c.outcome != Parked {
				t.Fatalf("version %d: outcome %d %s", version, c.outcome, diff)
			}
			answer := &wire.CreatePartitionsResponse{Results: []wire.CreatePartitionsResponseCreatePartitionsTopicResult{{Name: "x", ErrorCode: 37, ErrorMessage: wire.SomeString("no")}}}
			g.controller.extends[0].done(answer)
			var resp wire.CreatePartitionsResponse
			c.reply(&resp)
			if diff := cmp.Diff(answer.Results, resp.Results); diff != "" {
				t.Errorf("version %d: %s", version, diff)
			}
			// A controller that is too slow: REQUEST_TIMED_OUT once a name.
			c = g.start(wire.CreatePartitionsKey, version, req)
			c.reply(&resp)
			if len(resp.Results) != 2 || resp.Results[1].Name != "y" || resp.Results[1].ErrorCode != wire.ErrorRequestTimedOut || env.Monotonic() != 3*time.Second {
				t.Errorf("version %d after %v: %+v", version, env.Monotonic(), resp)
			}
			// No time: nothing is asked of the controller.
			req.TimeoutMs = 0
			g.do(wire.CreatePartitionsKey, version, req, &resp)
			if len(resp.Results) != 2 || resp.Results[0].ErrorCode != wire.ErrorRequestTimedOut || len(g.controller.extends) != 2 {
				t.Errorf("version %d without time: %+v", version, resp)
			}
		})
	}
}

func TestAlterConfigs(t *testing.T) {
	resource := wire.IncrementalAlterConfigsRequestAlterConfigsResource{ResourceType: 2, ResourceName: "a",
		Configs: []wire.IncrementalAlterConfigsRequestAlterableConfig{{Name: "retention.ms", Value: wire.SomeString("5")}, {Name: "segment.ms"}}}
	older := wire.AlterConfigsRequestAlterConfigsResource{ResourceType: 2, ResourceName: "a",
		Configs: []wire.AlterConfigsRequestAlterableConfig{{Name: "retention.ms", Value: wire.SomeString("5")}, {Name: "segment.ms"}}}
	answer := wire.IncrementalAlterConfigsResponseAlterConfigsResourceResponse{ResourceType: 2, ResourceName: "a", ErrorCode: 40, ErrorMessage: wire.SomeString("no")}
	late := answer
	late.ErrorCode, late.ErrorMessage = wire.ErrorRequestTimedOut, wire.SomeString(wire.ErrorRequestTimedOut.Message())
	for _, c := range []struct {
		key, versions int16
		req           wire.Message
	}{
		{wire.IncrementalAlterConfigsKey, 1, &wire.IncrementalAlterConfigsRequest{ValidateOnly: true, Resources: []wire.IncrementalAlterConfigsRequestAlterConfigsResource{resource}}},
		{wire.AlterConfigsKey, 2, &wire.AlterConfigsRequest{ValidateOnly: true, Resources: []wire.AlterConfigsRequestAlterConfigsResource{older}}},
	} {
		replace := c.key == wire.AlterConfigsKey
		for version := range c.versions + 1 {
			simulated(t, 1, func(env run.Env) {
				g := newRig(t, env)
				read := func(from *call) []wire.IncrementalAlterConfigsResponseAlterConfigsResourceResponse {
					if !replace {
						var resp wire.IncrementalAlterConfigsResponse
						from.reply(&resp)
						return resp.Responses
					}
					var resp wire.AlterConfigsResponse
					from.reply(&resp)
					var results []wire.IncrementalAlterConfigsResponseAlterConfigsResourceResponse
					for _, r := range resp.Responses {
						results = append(results, wire.IncrementalAlterConfigsResponseAlterConfigsResourceResponse(r))
					}
					return results
				}
				sent := g.start(c.key, version, c.req)
				got := g.controller.alters[0]
				want := &wire.IncrementalAlterConfigsRequest{ValidateOnly: true, Resources: []wire.IncrementalAlterConfigsRequestAlterConfigsResource{resource}}
				if diff := cmp.Diff(want, got.req); diff != "" || got.replace != replace || sent.outcome != Parked {
					t.Fatalf("key %d version %d: outcome %d, replace %v, %s", c.key, version, sent.outcome, got.replace, diff)
				}
				got.done(&wire.IncrementalAlterConfigsResponse{Responses: []wire.IncrementalAlterConfigsResponseAlterConfigsResourceResponse{answer}}, nil)
				if diff := cmp.Diff([]wire.IncrementalAlterConfigsResponseAlterConfigsResourceResponse{answer}, read(sent)); diff != "" {
					t.Errorf("key %d version %d: %s", c.key, version, diff)
				}
				// A controller that is too slow: the request has no timeout of its own, and is not kept for ever.
				sent = g.start(c.key, version, c.req)
				if diff := cmp.Diff([]wire.IncrementalAlterConfigsResponseAlterConfigsResourceResponse{late}, read(sent)); diff != "" || env.Monotonic() != time.Minute {
					t.Errorf("key %d version %d after %v: %s", c.key, version, env.Monotonic(), diff)
				}
			})
		}
	}
}

func TestDeleteTopics(t *testing.T) {
	for version := int16(1); version <= 6; version++ {
		simulated(t, 1, func(env run.Env) {
			g := newRig(t, env)
			req := &wire.DeleteTopicsRequest{TimeoutMs: 3000, TopicNames: []string{"a", "b"}}
			want := []wire.DeleteTopicsRequestDeleteTopicState{{Name: wire.SomeString("a")}, {Name: wire.SomeString("b")}}
			if version >= 6 {
				req.TopicNames, req.Topics = nil, []wire.DeleteTopicsRequestDeleteTopicState{{Name: wire.SomeString("a")}, {TopicId: wire.UUID(id(2))}}
				want = req.Topics
			}
			c := g.start(wire.DeleteTopicsKey, version, req)
			if diff := cmp.Diff(want, g.controller.deletes[0].req.Topics); diff != "" || c.outcome != Parked {
				t.Fatalf("version %d: outcome %d %s", version, c.outcome, diff)
			}
			g.controller.deletes[0].done(&wire.DeleteTopicsResponse{Responses: []wire.DeleteTopicsResponseDeletableTopicResult{{Name: wire.SomeString("a"), ErrorCode: 3}}})
			var resp wire.DeleteTopicsResponse
			c.reply(&resp)
			if len(resp.Responses) != 1 || resp.Responses[0].ErrorCode != 3 {
				t.Errorf("version %d: %+v", version, resp)
			}
			c = g.start(wire.DeleteTopicsKey, version, req)
			c.reply(&resp)
			if len(resp.Responses) != 2 || resp.Responses[1].ErrorCode != wire.ErrorRequestTimedOut || env.Monotonic() != 3*time.Second {
				t.Errorf("version %d after %v: %+v", version, env.Monotonic(), resp)
			}
			req.TimeoutMs = 0
			g.do(wire.DeleteTopicsKey, version, req, &resp)
			if len(resp.Responses) != 2 || resp.Responses[0].ErrorCode != wire.ErrorRequestTimedOut || resp.Responses[0].ErrorMessage.Valid || len(g.controller.deletes) != 2 {
				t.Errorf("version %d without time: %+v", version, resp)
			}
			// delete.topic.enable=false
			g = newRig(t, env, func(s *Settings) { s.DeleteTopics = false })
			g.do(wire.DeleteTopicsKey, version, req, &resp)
			code := wire.ErrorTopicDeletionDisabled
			if version < 3 {
				code = wire.ErrorInvalidRequest
			}
			if len(resp.Responses) != 2 || resp.Responses[0].ErrorCode != code || len(g.controller.deletes) != 0 {
				t.Errorf("version %d: %+v", version, resp)
			}
		})
	}
}

func TestDescribeCluster(t *testing.T) {
	g := newRig(t, run.OS())
	g.cluster.apply(t, brokerRecord(8, true))
	self := wire.DescribeClusterResponseDescribeClusterBroker{BrokerId: 7, Host: "10.0.0.1", Port: 1234}
	fenced := wire.DescribeClusterResponseDescribeClusterBroker{BrokerId: 8, Host: "host-8", Port: 9008, IsFenced: true}
	tests := []struct {
		version  int16
		endpoint int8
		fenced   bool
		code     wire.ErrorCode
		message  string
		want     []wire.DescribeClusterResponseDescribeClusterBroker
	}{
		{0, 1, false, 0, "", []wire.DescribeClusterResponseDescribeClusterBroker{self}},
		{1, 1, false, 0, "", []wire.DescribeClusterResponseDescribeClusterBroker{self}},
		{2, 1, false, 0, "", []wire.DescribeClusterResponseDescribeClusterBroker{self}},
		{2, 1, true, 0, "", []wire.DescribeClusterResponseDescribeClusterBroker{self, fenced}},
		{1, 2, false, 114, "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER", nil},
		{2, 3, false, 115, "Unsupported endpoint type 3", nil},
		{2, 0, false, 115, "Unsupported endpoint type 0", nil},
	}
	for _, test := range tests {
		req := &wire.DescribeClusterRequest{EndpointType: test.endpoint, IncludeFencedBrokers: test.fenced, IncludeClusterAuthorizedOperations: true}
		var resp wire.DescribeClusterResponse
		g.do(wire.DescribeClusterKey, test.version, req, &resp)
		wantID, wantController, wantOps := clusterID, int32(7), int32(8096)
		if test.code != 0 {
			wantID, wantController, wantOps = "", -1, noOperations
		}
		if diff := cmp.Diff(test.want, resp.Brokers, cmpopts.EquateEmpty()); diff != "" || resp.ErrorCode != test.code || resp.ErrorMessage.Value != test.message || resp.ClusterId != wantID ||
			resp.ControllerId != wantController || resp.ClusterAuthorizedOperations != wantOps || resp.EndpointType != 1 {
			t.Errorf("%+v: %+v %s", test, resp, diff)
		}
	}
}

// TestDescribeTopicPartitions: the pages that Kafka 4.3.1 makes.
func TestDescribeTopicPartitions(t *testing.T) {
	type cursor = wire.DescribeTopicPartitionsRequestCursor
	tests := []struct {
		name   string
		topics string
		limit  int32
		cursor *cursor
		want   string // name:code:partitions …, then > cursor
	}{
		{"sorted, once each", "b a b", 100, nil, "a:0:0,1 b:0:0"},
		{"unknown and bad names", "nope a bad*name", 100, nil, "a:0:0,1 bad*name:17: nope:3:"},
		{"a page ends inside a topic", "a", 1, nil, "a:0:0 > a 1"},
		{"the next page", "a", 1, &cursor{TopicName: "a", PartitionIndex: 1}, "a:0:1"},
		{"a page ends with a topic", "a b", 2, nil, "a:0:0,1 > b 0"},
		{"a full page ends before unknown topics too", "a aaa nope", 2, nil, "a:0:0,1 > aaa 0"},
		{"at least one partition", "a", 0, nil, "a:0:0 > a 1"},
		{"at least one partition, negative limit", "a", -1, nil, "a:0:0 > a 1"},
		{"a cursor behind the last partition", "a b", 1, &cursor{TopicName: "a", PartitionIndex: 7}, "a:0: b:0:0"},
		{"all", "", 2, nil, "a:0:0,1 > b 0"},
		{"all, from a topic that is gone", "", 2, &cursor{TopicName: "aa"}, "b:0:0"},
		{"a cursor at a topic that is gone", "azz b", 10, &cursor{TopicName: "azz"}, "azz:3: b:0:0"},
		{"a cursor outside the list", "a b", 10, &cursor{TopicName: "c"}, "a:42: b:42:"},
		{"a negative cursor", "a b", 10, &cursor{TopicName: "a", PartitionIndex: -1}, "a:42: b:42:"},
		{"the broker's limit", "a b", 100, nil, "a:0:0,1 > b 0"},
	}
	for _, test := range tests {
		g := newRig(t, run.OS(), func(s *Settings) {
			if test.name == "the broker's limit" {
				s.DescribePartitionsLimit = 2
			}
		})
		req := &wire.DescribeTopicPartitionsRequest{ResponsePartitionLimit: test.limit, Cursor: test.cursor}
		for _, name := range strings.Fields(test.topics) {
			req.Topics = append(req.Topics, wire.DescribeTopicPartitionsRequestTopicRequest{Name: name})
		}
		var resp wire.DescribeTopicPartitionsResponse
		g.do(wire.DescribeTopicPartitionsKey, 0, req, &resp)
		var out []string
		for _, topic := range resp.Topics {
			var parts []string
			for _, p := range topic.Partitions {
				parts = append(parts, fmt.Sprint(p.PartitionIndex))
				if p.LeaderId != 7 || p.LeaderEpoch != 3 || p.EligibleLeaderReplicas == nil {
					t.Errorf("%s: %+v", test.name, p)
				}
			}
			out = append(out, fmt.Sprintf("%s:%d:%s", topic.Name.Value, topic.ErrorCode, strings.Join(parts, ",")))
			if wantOps := topicOperations; topic.ErrorCode != 42 && topic.TopicAuthorizedOperations != wantOps {
				t.Errorf("%s: operations %d", test.name, topic.TopicAuthorizedOperations)
			}
		}
		got := strings.Join(out, " ")
		if resp.NextCursor != nil {
			got += fmt.Sprintf(" > %s %d", resp.NextCursor.TopicName, resp.NextCursor.PartitionIndex)
		}
		if got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}

func TestListPartitionReassignments(t *testing.T) {
	g := newRig(t, run.OS())
	moving := topicRecords("m", id(6), 2)
	p := moving[2].(*wire.PartitionRecord)
	p.Replicas, p.AddingReplicas, p.RemovingReplicas = []int32{8, 7}, []int32{8}, []int32{7}
	g.cluster.apply(t, moving...)
	want := []wire.ListPartitionReassignmentsResponseOngoingTopicReassignment{{Name: "m", Partitions: []wire.ListPartitionReassignmentsResponseOngoingPartitionReassignment{
		{PartitionIndex: 1, Replicas: []int32{8, 7}, AddingReplicas: []int32{8}, RemovingReplicas: []int32{7}}}}}
	type topics = []wire.ListPartitionReassignmentsRequestListPartitionReassignmentsTopics
	for name, test := range map[string]struct {
		ask  topics
		want []wire.ListPartitionReassignmentsResponseOngoingTopicReassignment
	}{
		"all":             {nil, want},
		"none":            {topics{}, nil},
		"named":           {topics{{Name: "m", PartitionIndexes: []int32{1, 0, 9, -1}}, {Name: "nope", PartitionIndexes: []int32{0}}}, want},
		"another":         {topics{{Name: "m", PartitionIndexes: []int32{0}}}, nil},
		"no partition":    {topics{{Name: "m"}}, nil},
		"not being moved": {topics{{Name: "a", PartitionIndexes: []int32{0}}}, nil},
	} {
		var resp wire.ListPartitionReassignmentsResponse
		g.do(wire.ListPartitionReassignmentsKey, 0, &wire.ListPartitionReassignmentsRequest{Topics: test.ask}, &resp)
		if diff := cmp.Diff(test.want, resp.Topics, cmpopts.EquateEmpty()); diff != "" || resp.ErrorCode != 0 || resp.ErrorMessage.Valid {
			t.Errorf("%s: %v %s", name, resp.ErrorCode, diff)
		}
	}
}

func describe(g *rig, version int16, kind int8, name string, keys ...string) wire.DescribeConfigsResponseDescribeConfigsResult {
	g.t.Helper()
	req := &wire.DescribeConfigsRequest{IncludeSynonyms: true, IncludeDocumentation: true,
		Resources: []wire.DescribeConfigsRequestDescribeConfigsResource{{ResourceType: kind, ResourceName: name, ConfigurationKeys: keys}}}
	var resp wire.DescribeConfigsResponse
	g.do(wire.DescribeConfigsKey, version, req, &resp)
	return resp.Results[0]
}

// TestDescribeConfigsErrors: Kafka 4.3.1's codes and words.
func TestDescribeConfigsErrors(t *testing.T) {
	g := newRig(t, run.OS())
	const malformed = "This most likely occurs because of a request being malformed by the client library or the message was sent to an incompatible broker. See the broker logs for more details."
	tests := []struct {
		kind    int8
		name    string
		code    wire.ErrorCode
		message string
	}{
		{2, "nope", 3, ""},
		{2, "bad name", 17, "Topic name is invalid: 'bad name' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
		{2, "", 17, "Topic name is invalid: the empty string is not allowed"},
		{4, "2", 42, "Unexpected broker id, expected 7 or empty string, but received 2"},
		{4, "x", 42, "Broker id must be an integer, but it is: x"},
		{8, "9", 42, "Unexpected broker id, expected 7 but received 9"},
		{8, "", 42, "Broker id must not be empty"},
		{16, "", 42, "Client metrics subscription name must not be empty"},
		{32, "", 42, "Group name must not be empty"},
		{16, "any", 0, ""},
		{32, "any", 0, ""},
		{0, "g", 42, malformed},
		{3, "g", 42, malformed},
		{99, "g", 42, malformed},
		{8, "7", 0, ""},
		{2, "a", 0, ""},
	}
	for _, test := range tests {
		got := describe(g, 4, test.kind, test.name)
		if got.ErrorCode != test.code || got.ErrorMessage != wire.SomeString(test.message) || got.ResourceType != test.kind || got.ResourceName != test.name || (test.code != 0 && len(got.Configs) != 0) {
			t.Errorf("%d %q: %v %q", test.kind, test.name, got.ErrorCode, got.ErrorMessage.Value)
		}
	}
}

// TestDescribeConfigsWhole: a resource type that does not exist refuses all, and groups, which any name makes, are bounded.
func TestDescribeConfigsWhole(t *testing.T) {
	g := newRig(t, run.OS())
	ask := func(resources ...wire.DescribeConfigsRequestDescribeConfigsResource) []wire.DescribeConfigsResponseDescribeConfigsResult {
		req := new(wire.DescribeConfigsRequest)
		req.Default()
		req.Resources = resources
		var resp wire.DescribeConfigsResponse
		g.do(wire.DescribeConfigsKey, 4, req, &resp)
		return resp.Results
	}
	topic := wire.DescribeConfigsRequestDescribeConfigsResource{ResourceType: 2, ResourceName: "a"}
	for i, result := range ask(topic, wire.DescribeConfigsRequestDescribeConfigsResource{ResourceType: 5, ResourceName: "x"}) {
		if result.ErrorCode != wire.ErrorInvalidRequest || len(result.Configs) != 0 {
			t.Errorf("resource %d beside one of an unknown type: %+v", i, result)
		}
	}
	var groups []wire.DescribeConfigsRequestDescribeConfigsResource
	for i := range describedDefaults + 2 {
		groups = append(groups, wire.DescribeConfigsRequestDescribeConfigsResource{ResourceType: metadata.ResourceGroup, ResourceName: strconv.Itoa(i)})
	}
	for i, result := range ask(append(groups, topic)...) {
		if refused := result.ErrorCode == wire.ErrorInvalidRequest; refused != (i >= describedDefaults && i < len(groups)) || (refused == (len(result.Configs) > 0)) {
			t.Fatalf("resource %d: %s with %d settings", i, result.ErrorCode, len(result.Configs))
		}
	}
}

// TestDescribeConfigsTopic: exactly "compact" for a compacted topic, with its synonyms, type and documentation; defaults for all
// the rest, the broker's own where it has one.
func TestDescribeConfigsTopic(t *testing.T) {
	for version := int16(1); version <= 4; version++ {
		g := newRig(t, run.OS(), func(s *Settings) {
			s.Static = func() map[string]string { return map[string]string{"log.retention.ms": "777"} }
		})
		g.cluster.apply(t, &wire.ConfigRecord{ResourceType: 2, ResourceName: "a", Name: "cleanup.policy", Value: wire.SomeString("compact")})
		got := describe(g, version, 2, "a", "cleanup.policy", "nope")
		if len(got.Configs) != 1 {
			t.Fatalf("%+v", got)
		}
		c := got.Configs[0]
		if c.Value != wire.SomeString("compact") || c.ConfigSource != 1 || c.ReadOnly || c.IsSensitive || (version >= 3) != (c.ConfigType == 7 && c.Documentation.Value != "") {
			t.Errorf("version %d: %+v", version, c)
		}
		want := []wire.DescribeConfigsResponseDescribeConfigsSynonym{{Name: "cleanup.policy", Value: wire.SomeString("compact"), Source: 1},
			{Name: "log.cleanup.policy", Value: wire.SomeString("delete"), Source: 5}}
		if diff := cmp.Diff(want, c.Synonyms); diff != "" {
			t.Errorf("version %d: %s", version, diff)
		}
		all := describe(g, version, 2, "a")
		values := map[string]wire.DescribeConfigsResponseDescribeConfigsResourceResult{}
		for _, c := range all.Configs {
			values[c.Name] = c
		}
		if len(values) < 30 || values["retention.ms"].Value.Value != "777" || values["retention.ms"].ConfigSource != 4 || values["segment.bytes"].Value.Value != "1073741824" || values["segment.bytes"].ConfigSource != 5 {
			t.Errorf("version %d: %d settings, %+v", version, len(values), values["retention.ms"])
		}
	}
}

func TestDescribeConfigsBroker(t *testing.T) {
	g := newRig(t, run.OS(), func(s *Settings) {
		s.Static = func() map[string]string { return map[string]string{"num.partitions": "9"} }
	})
	if got := describe(g, 4, 4, ""); got.ErrorCode != 0 || len(got.Configs) != 0 {
		t.Errorf("nothing is set for all brokers: %+v", got)
	}
	g.cluster.apply(t, &wire.ConfigRecord{ResourceType: 4, ResourceName: "", Name: "log.retention.ms", Value: wire.SomeString("5")})
	if got := describe(g, 4, 4, ""); len(got.Configs) != 1 || got.Configs[0].Name != "log.retention.ms" || got.Configs[0].ConfigSource != 3 {
		t.Errorf("%+v", got)
	}
	got := describe(g, 4, 4, "7", "num.partitions", "log.retention.ms")
	if len(got.Configs) != 2 {
		t.Fatalf("%+v", got)
	}
	for _, c := range got.Configs {
		want := map[string]string{"num.partitions": "9", "log.retention.ms": "5"}[c.Name]
		if c.Value.Value != want || (c.Name == "num.partitions") != c.ReadOnly {
			t.Errorf("%+v", c)
		}
	}
}

// TestDescribeConfigsLeavesOut what was not asked for: null documentation, no synonyms.
func TestDescribeConfigsLeavesOut(t *testing.T) {
	g := newRig(t, run.OS())
	req := &wire.DescribeConfigsRequest{Resources: []wire.DescribeConfigsRequestDescribeConfigsResource{{ResourceType: 2, ResourceName: "a"}}}
	var resp wire.DescribeConfigsResponse
	g.do(wire.DescribeConfigsKey, 4, req, &resp)
	for _, c := range resp.Results[0].Configs {
		if c.Documentation.Valid || len(c.Synonyms) != 0 {
			t.Errorf("%+v", c)
		}
	}
}

func TestTopicNames(t *testing.T) {
	for name, ok := range map[string]bool{"a": true, "A.b_c-9": true, strings.Repeat("x", 249): true, "...": true,
		"": false, ".": false, "..": false, "a b": false, "ä": false, "a/b": false, strings.Repeat("x", 250): false, "a\x00": false} {
		if got := topicNameProblem(name); (got == "") != ok {
			t.Errorf("%q: %q", name, got)
		}
	}
}
