package ottla

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
	"github.com/ottla-io/ottla/internal/vfs"
	"github.com/ottla-io/ottla/internal/wire"
)

// extent is where a topic's partition 0 begins and ends.
func (s session) extent(topic string) (start, end int64) {
	s.t.Helper()
	var found [2]int64
	for i, ms := range []int64{-2, -1} {
		req := &wire.ListOffsetsRequest{ReplicaId: -1, Topics: []wire.ListOffsetsRequestListOffsetsTopic{{Name: topic,
			Partitions: []wire.ListOffsetsRequestListOffsetsPartition{{CurrentLeaderEpoch: -1, Timestamp: ms}}}}}
		var resp wire.ListOffsetsResponse
		s.must(s.do(wire.ListOffsetsKey, 5, req, &resp))
		found[i] = resp.Topics[0].Partitions[0].Offset
	}
	return found[0], found[1]
}

func (s session) setConfig(kind int8, resource, name, value string) {
	s.t.Helper()
	req := &wire.IncrementalAlterConfigsRequest{Resources: []wire.IncrementalAlterConfigsRequestAlterConfigsResource{{
		ResourceType: kind, ResourceName: resource, Configs: []wire.IncrementalAlterConfigsRequestAlterableConfig{{Name: name, Value: wire.SomeString(value)}}}}}
	var resp wire.IncrementalAlterConfigsResponse
	s.must(s.do(wire.IncrementalAlterConfigsKey, 1, req, &resp))
	if code := resp.Responses[0].ErrorCode; code != wire.ErrorNone {
		s.t.Fatalf("set %s=%s: %s", name, value, code.Name())
	}
}

// TestRetentionOfTopicAndBroker: a topic's own retention, and else the broker's, as set at the start and as changed since, applied every
// log.retention.check.interval.ms; across a restart.
func TestRetentionOfTopicAndBroker(t *testing.T) {
	mem := vfs.NewMem(1)
	open := func() (*Broker, session) {
		config := diskConfig(new(lines))
		config.Admin = ""
		config.Settings = map[string]string{"log.retention.check.interval.ms": "20", "log.retention.bytes": "30000", "log.segment.bytes": "1048576"}
		b, err := startWith(config, doors{env: run.OS(), disk: mem, network: transport.OS()})
		if err != nil {
			t.Fatal(err)
		}
		client, err := dialWire(transport.OS(), b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.close)
		return b, session{t, client}
	}
	b, s := open()
	create := func(topic string, configs ...string) {
		var resp wire.CreateTopicsResponse
		s.must(s.do(wire.CreateTopicsKey, 7, createOne(topic, 1, append(configs, "internal.segment.bytes", "10000")...), &resp))
		if code := resp.Topics[0].ErrorCode; code != wire.ErrorNone {
			t.Fatal(topic, code.Name())
		}
		for range 100 {
			if got := s.produce(topic, 0, strings.Repeat("v", 1000)); got.ErrorCode != wire.ErrorNone {
				t.Fatal(got.ErrorCode.Name())
			}
		}
	}
	begins := func(topic string, from, to int64) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; {
			start, end := s.extent(topic)
			if start >= from && start <= to && end == 100 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s goes from %d to %d, want a start of %d to %d", topic, start, end, from, to)
			}
		}
	}
	create("kept", "retention.bytes", "-1", "retention.ms", "-1")
	create("own-bytes", "retention.bytes", "60000")
	create("own-time", "retention.bytes", "-1", "retention.ms", "1")
	create("brokers")
	begins("own-time", 100, 100) // the active segment, too
	begins("own-bytes", 30, 47)  // whole segments of nine records, at least 60,000 bytes left
	begins("brokers", 60, 74)
	begins("kept", 0, 0)
	s.setConfig(4, "", "log.retention.ms", "1")
	begins("brokers", 100, 100)
	begins("own-bytes", 100, 100)
	begins("kept", 0, 0)
	if err := b.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	b, s = open()
	defer b.Close(context.Background())
	begins("brokers", 100, 100)
	begins("kept", 0, 0)
	s.setConfig(2, "kept", "retention.bytes", "0")
	begins("kept", 100, 100)
}
