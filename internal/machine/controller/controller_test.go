package controller

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// bench drives a controller as a Runtime does, and holds replay against the live state after every command.
type bench struct {
	t   testing.TB
	c   *Controller
	log []machine.Record
	at  machine.Moment
	cfg Config
}

func newBench(t testing.TB, static map[string]string, brokers ...int32) *bench {
	dice := rand.New(rand.NewPCG(1, 2))
	b := &bench{t: t, cfg: Config{ClusterID: "cluster", NodeID: 1, Static: func() map[string]string { return static }, Random: func(p []byte) {
		for i := range p {
			p[i] = byte(dice.Uint32())
		}
	}}}
	b.c = New(b.cfg)
	b.run(b.c.Bootstrap(b.at))
	for _, id := range brokers {
		if resp := b.register(id, 1, ""); resp.ErrorCode != 0 {
			t.Fatalf("register broker %d: %v", id, resp.ErrorCode)
		}
	}
	return b
}

func (b *bench) run(records []machine.Record) {
	b.t.Helper()
	for i := range records {
		records[i].Offset = b.at.Next + ids.Offset(i)
	}
	b.at.Next += ids.Offset(len(records))
	b.log = append(b.log, records...)
	if err := b.c.Apply(records, b.at.Next, 1); err != nil {
		b.t.Fatalf("decided on what cannot be applied: %v", err)
	}
}

func (b *bench) register(id int32, incarnation byte, rack string) *wire.BrokerRegistrationResponse {
	b.t.Helper()
	records, resp := b.c.RegisterBroker(&wire.BrokerRegistrationRequest{BrokerId: id, ClusterId: "cluster", IncarnationId: wire.UUID{incarnation},
		Listeners: []wire.BrokerRegistrationRequestListener{{Name: "PLAINTEXT", Host: "localhost", Port: 9092}},
		Features:  []wire.BrokerRegistrationRequestFeature{{Name: "metadata.version", MinSupportedVersion: 7, MaxSupportedVersion: 30}},
		Rack:      wire.NullString{Value: rack, Valid: rack != ""}, LogDirs: []wire.UUID{{200, byte(id)}}}, b.at)
	b.run(records)
	return resp
}

func (b *bench) create(validateOnly bool, topics ...wire.CreateTopicsRequestCreatableTopic) *wire.CreateTopicsResponse {
	b.t.Helper()
	records, resp := b.c.CreateTopics(&wire.CreateTopicsRequest{Topics: topics, ValidateOnly: validateOnly}, nil, b.at)
	if validateOnly && len(records) > 0 {
		b.t.Fatal("records with ValidateOnly")
	}
	b.run(records)
	return resp
}

func topic(name string, partitions int32, factor int16, configs ...string) wire.CreateTopicsRequestCreatableTopic {
	t := wire.CreateTopicsRequestCreatableTopic{Name: name, NumPartitions: partitions, ReplicationFactor: factor}
	for _, c := range configs {
		name, value, ok := strings.Cut(c, "=")
		t.Configs = append(t.Configs, wire.CreateTopicsRequestCreatableTopicConfig{Name: name, Value: wire.NullString{Value: value, Valid: ok}})
	}
	return t
}

func assigned(t wire.CreateTopicsRequestCreatableTopic, replicas ...[]int32) wire.CreateTopicsRequestCreatableTopic {
	for n, r := range replicas {
		t.Assignments = append(t.Assignments, wire.CreateTopicsRequestCreatableReplicaAssignment{PartitionIndex: int32(n), BrokerIds: r})
	}
	return t
}

func numbered(t wire.CreateTopicsRequestCreatableTopic, n ...int32) wire.CreateTopicsRequestCreatableTopic {
	for i := range n {
		t.Assignments[i].PartitionIndex = n[i]
	}
	return t
}

// TestCreateTopicsRefusals are codes and sentences that a Kafka 4.3.1 of one broker, node 1, gave to the same requests.
func TestCreateTopicsRefusals(t *testing.T) {
	long := strings.Repeat("x", 250)
	const (
		badFactor     = "Replication factor must be larger than 0, or -1 to use the default value."
		badPartitions = "Number of partitions was set to an invalid non-positive value."
		notThree      = "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because only 1 broker(s) are registered or some brokers have all their log directories cordoned."
		letters       = " contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
		withFactor    = "A manual partition assignment was specified, but replication factor was not set to -1."
	)
	for _, c := range []struct {
		topic   wire.CreateTopicsRequestCreatableTopic
		code    wire.ErrorCode
		message string
	}{
		{topic("", 1, 1), 17, "Topic name is invalid: the empty string is not allowed"},
		{topic(".", 1, 1), 17, "Topic name is invalid: '.' is not allowed"},
		{topic("..", 1, 1), 17, "Topic name is invalid: '..' is not allowed"},
		{topic("a b", 1, 1), 17, "Topic name is invalid: 'a b'" + letters},
		{topic("ä", 1, 1), 17, "Topic name is invalid: 'ä'" + letters},
		{topic("a/b", 1, 1), 17, "Topic name is invalid: 'a/b'" + letters},
		{topic(long, 1, 1), 17, "Topic name is invalid: the length of '" + long + "' is longer than the max allowed length 249"},
		{topic("__cluster_metadata", 1, 1), 42, "Creation of internal topic __cluster_metadata is prohibited."},
		{topic("old.name", 1, 1), 36, "Topic 'old.name' already exists."},
		{topic("old_name", 1, 1), 17, "Topic 'old_name' collides with existing topic: old.name"},
		{topic("old.name", 0, 1, "bogus=1"), 36, "Topic 'old.name' already exists."},
		{topic(".", 0, 1, "bogus=1"), 17, "Topic name is invalid: '.' is not allowed"},
		{topic("a", 0, 0), 38, badFactor},
		{topic("a", -1, -2), 38, badFactor},
		{topic("a", 0, 1), 37, badPartitions},
		{topic("a", -2, 3), 37, badPartitions},
		{topic("a", -1, 3), 38, notThree},
		{topic("a", 3, 3), 38, notThree},
		{topic("a", 100001, 1), 44, "Excessively large number of partitions per request."},
		{topic("a", 10001, 1), 44, "Excessively large number of partitions per request."},
		{topic("a", 10000, 1), 44, "Unable to perform excessively large batch operation."},
		{assigned(topic("a", 1, 1), []int32{1}), 42, withFactor},
		{assigned(topic("a", -1, 1), []int32{1}), 42, withFactor},
		{assigned(topic("a", 1, -1), []int32{1}), 42, "A manual partition assignment was specified, but numPartitions was not set to -1."},
		{assigned(topic("a", -1, -1), []int32{1}, []int32{1, 1}), 39, "The manual partition assignment includes the broker 1 more than once."},
		{assigned(topic("a", -1, -1), []int32{1, 1}), 39, "The manual partition assignment includes the broker 1 more than once."},
		{assigned(topic("a", -1, -1), []int32{1}, []int32{}), 39, "The manual partition assignment includes an empty replica list."},
		{assigned(topic("a", -1, -1), []int32{}), 39, "The manual partition assignment includes an empty replica list."},
		{assigned(topic("a", -1, -1), []int32{7}), 39, "The manual partition assignment includes broker 7, but no such broker is registered."},
		{assigned(topic("a", -1, -1), []int32{-7}), 39, "The manual partition assignment includes broker -7, but no such broker is registered."},
		{assigned(topic("a", -1, -1), []int32{1}, []int32{1, 7}), 39, "The manual partition assignment includes broker 7, but no such broker is registered."},
		{numbered(assigned(topic("a", -1, -1), []int32{1}, []int32{1}), 0, 2), 39, "partitions should be a consecutive 0-based integer sequence"},
		{numbered(assigned(topic("a", -1, -1), []int32{1}, []int32{1}), 0, -1), 39, "partitions should be a consecutive 0-based integer sequence"},
		{numbered(assigned(topic("a", -1, -1), []int32{1}, []int32{1}), 0, 0), 39, "Found multiple manual partition assignments for partition 0"},
		{topic("a", 1, 1, "bogus=1"), 40, "Unknown topic config name: bogus"},
		{topic("a", 0, 1, "bogus=1"), 40, "Unknown topic config name: bogus"},
		{assigned(topic("a", -1, -1, "bogus=1"), []int32{7}), 40, "Unknown topic config name: bogus"},
		{topic("a", 1, 1, "segment.bytes=10"), 40, "Invalid value 10 for configuration segment.bytes: Value must be at least 1048576"},
		{topic("a", 1, 1, "retention.ms"), 40, "Null value not supported for topic configs: retention.ms"},
	} {
		b := newBench(t, nil, 1)
		b.create(false, topic("old.name", 1, 1))
		for _, validateOnly := range []bool{true, false} {
			resp := b.create(validateOnly, c.topic)
			r := resp.Topics[0]
			if len(resp.Topics) != 1 || r.Name != c.topic.Name || r.ErrorCode != c.code || r.ErrorMessage != wire.SomeString(c.message) ||
				r.NumPartitions != -1 || r.ReplicationFactor != -1 || r.TopicId != (wire.UUID{}) || len(r.Configs) != 0 || r.TopicConfigErrorCode != 0 {
				t.Errorf("%.40q: got %+v\nwant %d %s", c.topic.Name, r, c.code, c.message)
			}
		}
		if n := b.c.Image().TopicCount(); n != 1 {
			t.Errorf("%.40q: %d topics after a refusal", c.topic.Name, n)
		}
	}
}

func TestCreateTopics(t *testing.T) {
	b := newBench(t, map[string]string{"num.partitions": "3", "log.retention.hours": "5"}, 1)
	dry := b.create(true, topic("a", 2, 1, "max.message.bytes=100"))
	if dry.Topics[0].ErrorCode != 0 || dry.Topics[0].TopicId == (wire.UUID{}) || b.c.Image().TopicCount() != 0 {
		t.Errorf("validate only: %+v", dry)
	}
	resp := b.create(false, topic("a", 2, 1, "max.message.bytes=5", "max.message.bytes=100"), topic("dup", 1, 1), topic("b", -1, -1), topic("dup", 2, 1), topic("c", 0, 1), assigned(topic("d", -1, -1), []int32{1}, []int32{1}))
	type result struct {
		name       string
		code       wire.ErrorCode
		partitions int32
		factor     int16
	}
	var got []result
	for _, r := range resp.Topics {
		got = append(got, result{r.Name, r.ErrorCode, r.NumPartitions, r.ReplicationFactor})
		if (r.ErrorCode == 0) == r.ErrorMessage.Valid {
			t.Errorf("%s: code %v and message %v", r.Name, r.ErrorCode, r.ErrorMessage)
		}
	}
	want := []result{{"a", 0, 2, 1}, {"dup", 42, -1, -1}, {"b", 0, 3, 1}, {"c", 37, -1, -1}, {"d", 0, 2, 1}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(result{})); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	a, _ := b.c.Image().Topic("a")
	if wire.UUID(a.ID) != resp.Topics[0].TopicId || len(a.Partitions) != 2 {
		t.Fatalf("topic %+v", a)
	}
	for n, p := range a.Partitions {
		if p.Leader != 1 || p.LeaderEpoch != 0 || p.PartitionEpoch != 0 || !cmp.Equal(p.ISR, []ids.BrokerID{1}) || !cmp.Equal(p.Directories, []ids.DirectoryID{{200, 1}}) {
			t.Errorf("partition %d: %+v", n, p)
		}
	}
	if got := b.c.Image().TopicConfig("a"); !cmp.Equal(got, map[string]string{"max.message.bytes": "100"}) {
		t.Errorf("configs %v", got)
	}
	shown := map[string]string{}
	for _, c := range resp.Topics[0].Configs {
		shown[c.Name] = fmt.Sprint(c.Value.Value, " ", c.ConfigSource)
	}
	for name, value := range map[string]string{"max.message.bytes": "100 1", "retention.ms": "18000000 4", "segment.bytes": "1073741824 5", "ottla.durability": "fsync 5"} {
		if shown[name] != value {
			t.Errorf("%s is shown as %q, want %q", name, shown[name], value)
		}
	}
	if empty := b.create(false); len(empty.Topics) != 0 {
		t.Errorf("empty request: %+v", empty)
	}
	if resp := b.create(false, topic("x", 6000, 1), topic("y", 6000, 1)); resp.Topics[0].ErrorCode != 44 || resp.Topics[1].ErrorCode != 44 {
		t.Errorf("two large topics: %+v", resp)
	}
}

func TestDefaultsAboveTheCluster(t *testing.T) {
	b := newBench(t, map[string]string{"default.replication.factor": "2"}, 1)
	r := b.create(false, topic("a", 1, -1)).Topics[0]
	if r.ErrorCode != 38 || !strings.HasPrefix(r.ErrorMessage.Value, "Unable to replicate the partition 2 time(s): The target replication factor of 2") {
		t.Errorf("%+v", r)
	}
	if r := newBench(t, nil).create(false, topic("a", 1, 1)).Topics[0]; r.ErrorCode != 38 {
		t.Errorf("no broker at all: %+v", r)
	}
}

func TestTopicIDs(t *testing.T) {
	draws := 0
	c := New(Config{Random: func(p []byte) {
		draws++
		for i := range p {
			p[i] = byte(draws * 37)
		}
		if draws < 3 {
			p[0] = 62 << 2 // '-'
		}
	}})
	if id := c.newTopicID(); draws != 3 || id.String()[0] == '-' || id[6]>>4 != 4 {
		t.Errorf("%s after %d draws", id, draws)
	}
}

// TestDeleteTopics are the answers of Kafka 4.3.1.
func TestDeleteTopics(t *testing.T) {
	type entry = wire.DeleteTopicsRequestDeleteTopicState
	type want struct {
		name    string // "" is null
		id      bool
		code    wire.ErrorCode
		message string
	}
	b := newBench(t, nil, 1)
	b.create(false, topic("d1", 1, 1, "retention.ms=1"), topic("d2", 1, 1), topic("d3", 1, 1), topic("d4", 1, 1), topic("d5", 1, 1))
	id := func(name string) wire.UUID {
		topic, _ := b.c.Image().Topic(name)
		return wire.UUID(topic.ID)
	}
	named := func(name string) entry { return entry{Name: wire.SomeString(name)} }
	d1, d3, d5 := id("d1"), id("d3"), id("d5")
	for _, c := range []struct {
		entries []entry
		want    []want
		left    int
	}{
		{[]entry{named("nope")}, []want{{"nope", false, 3, "This server does not host this topic-partition."}}, 5},
		{[]entry{named("__cluster_metadata")}, []want{{"__cluster_metadata", false, 3, "This server does not host this topic-partition."}}, 5},
		{[]entry{{TopicId: wire.UUID{9}}}, []want{{"", true, 100, "This server does not host this topic ID."}}, 5},
		{[]entry{{}}, []want{{"", false, 42, "Neither topic name nor id were specified."}}, 5},
		{[]entry{{Name: wire.SomeString("d1"), TopicId: d1}}, []want{{"d1", true, 42, "You may not specify both topic name and topic id."}}, 5},
		{[]entry{named("d1"), named("d1"), named("d2")}, []want{{"d1", false, 42, "Duplicate topic name."}, {"d2", true, 0, ""}}, 4},
		{[]entry{{TopicId: d1}, {TopicId: d1}}, []want{{"", true, 42, "Duplicate topic id."}}, 4},
		{[]entry{{TopicId: d3}, named("d3")}, []want{{"d3", true, 42, "The provided topic name maps to an ID that was already supplied."}}, 4},
		{[]entry{{TopicId: wire.UUID{9}}, {TopicId: wire.UUID{9}}, named("d4")}, []want{{"", true, 42, "Duplicate topic id."}, {"d4", true, 0, ""}}, 3},
		{[]entry{{TopicId: d5}, named("d1")}, []want{{"d5", true, 0, ""}, {"d1", true, 0, ""}}, 1},
		{nil, nil, 1},
	} {
		records, resp := b.c.DeleteTopics(&wire.DeleteTopicsRequest{Topics: c.entries}, nil, b.at)
		b.run(records)
		var got []want
		for _, r := range resp.Responses {
			got = append(got, want{r.Name.Value, r.TopicId != wire.UUID{}, r.ErrorCode, r.ErrorMessage.Value})
		}
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(want{})); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.entries, diff)
		}
		if n := b.c.Image().TopicCount(); n != c.left {
			t.Errorf("%v: %d topics left, want %d", c.entries, n, c.left)
		}
	}
	if b.c.Image().TopicConfig("d1") != nil {
		t.Error("a deleted topic's configs are left")
	}
	again := b.create(false, topic("d1", 1, 1))
	if again.Topics[0].ErrorCode != 0 || again.Topics[0].TopicId == d1 {
		t.Errorf("recreated: %+v", again.Topics[0])
	}

	off := newBench(t, map[string]string{"delete.topic.enable": "false"}, 1)
	off.create(false, topic("d1", 1, 1))
	records, resp := off.c.DeleteTopics(&wire.DeleteTopicsRequest{Topics: []entry{named("d1")}}, nil, off.at)
	if r := resp.Responses[0]; records != nil || r.ErrorCode != 73 || r.ErrorMessage.Valid {
		t.Errorf("deletion disabled: %+v", r)
	}
}

// TestRegisterBumpsLeaderEpochs is design row 6: a new incarnation appends in new epochs.
func TestRegisterBumpsLeaderEpochs(t *testing.T) {
	b := newBench(t, nil, 1, 2)
	b.create(false, assigned(topic("mine", -1, -1), []int32{1, 2}, []int32{1, 2}), assigned(topic("theirs", -1, -1), []int32{2, 1}))
	first, _ := b.c.Image().Broker(1)
	if resp := b.register(1, 1, ""); resp.BrokerEpoch != int64(first.Epoch) {
		t.Errorf("the same incarnation got epoch %d, had %d", resp.BrokerEpoch, first.Epoch)
	}
	at := b.at.Next
	resp := b.register(1, 2, "rack")
	if resp.ErrorCode != 0 || resp.BrokerEpoch != int64(at) {
		t.Errorf("broker epoch %d, want the record's offset %d", resp.BrokerEpoch, at)
	}
	now, _ := b.c.Image().Broker(1)
	if now.Fenced || now.Rack != "rack" || now.Epoch != ids.BrokerEpoch(at) || !cmp.Equal(now.Directories, []ids.DirectoryID{{200, 1}}) {
		t.Errorf("registered %+v", now)
	}
	for name, want := range map[string]ids.LeaderEpoch{"mine": 1, "theirs": 0} {
		topic, _ := b.c.Image().Topic(name)
		for n, p := range topic.Partitions {
			if p.LeaderEpoch != want {
				t.Errorf("%s-%d has leader epoch %d, want %d", name, n, p.LeaderEpoch, want)
			}
		}
	}
	if !strings.HasPrefix(fmt.Sprint(metadata.Between(metadata.Empty(), b.c.Image()).Brokers), "[1 2]") {
		t.Error("delta without brokers")
	}
}

// TestRegisterLeadsOrphans covers what a cleanly stopped Kafka leaves: no leader, no ISR, an eligible replica (KIP-966).
func TestRegisterLeadsOrphans(t *testing.T) {
	for _, c := range []struct {
		name   string
		isr    []int32
		elr    []int32
		leader ids.BrokerID
	}{
		{"in sync", []int32{1}, nil, 1}, {"eligible", nil, []int32{1, 2}, 1}, {"neither", nil, []int32{2}, ids.NoBroker}, {"others in sync", []int32{2}, []int32{1}, ids.NoBroker},
	} {
		b := newBench(t, nil, 1, 2)
		b.create(false, assigned(topic("a", -1, -1), []int32{1, 2}))
		a, _ := b.c.Image().Topic("a")
		gone := &wire.PartitionChangeRecord{TopicId: wire.UUID(a.ID), Leader: -1, LeaderRecoveryState: -1, Isr: append([]int32{}, c.isr...), EligibleLeaderReplicas: append([]int32{}, c.elr...)}
		b.run(encode([]wire.MetadataRecord{gone}))
		b.register(1, 9, "")
		p, _ := b.c.Image().Partition(ids.TopicPartition{Topic: "a"})
		if p.Leader != c.leader || p.Leader == 1 && len(p.ISR) != 1 || p.Leader == 1 && contains(p.ELR, 1) {
			t.Errorf("%s: %+v", c.name, p)
		}
	}
}

func TestRegisterRefusals(t *testing.T) {
	good := func() *wire.BrokerRegistrationRequest {
		return &wire.BrokerRegistrationRequest{BrokerId: 1, ClusterId: "cluster", Listeners: make([]wire.BrokerRegistrationRequestListener, 1),
			Features: []wire.BrokerRegistrationRequestFeature{{Name: "metadata.version", MinSupportedVersion: 7, MaxSupportedVersion: 30}}}
	}
	for name, c := range map[string]struct {
		spoil func(*wire.BrokerRegistrationRequest)
		code  wire.ErrorCode
	}{
		"other cluster": {func(r *wire.BrokerRegistrationRequest) { r.ClusterId = "x" }, wire.ErrorInconsistentClusterID},
		"no listener":   {func(r *wire.BrokerRegistrationRequest) { r.Listeners = nil }, wire.ErrorInvalidRegistration},
		"negative id":   {func(r *wire.BrokerRegistrationRequest) { r.BrokerId = -1 }, wire.ErrorInvalidRegistration},
		"too old":       {func(r *wire.BrokerRegistrationRequest) { r.Features[0].MaxSupportedVersion = 29 }, wire.ErrorUnsupportedVersion},
		"no features":   {func(r *wire.BrokerRegistrationRequest) { r.Features = nil }, wire.ErrorUnsupportedVersion},
		"fine":          {func(r *wire.BrokerRegistrationRequest) {}, wire.ErrorNone},
	} {
		b := newBench(t, nil)
		req := good()
		c.spoil(req)
		records, resp := b.c.RegisterBroker(req, b.at)
		if resp.ErrorCode != c.code || (len(records) > 0) != (c.code == 0) {
			t.Errorf("%s: %v, %d records", name, resp.ErrorCode, len(records))
		}
	}
}

func TestProducerIDs(t *testing.T) {
	b := newBench(t, nil, 1)
	broker, _ := b.c.Image().Broker(1)
	allocate := func(id int32, epoch int64) *wire.AllocateProducerIdsResponse {
		records, resp := b.c.AllocateProducerIDs(&wire.AllocateProducerIdsRequest{BrokerId: id, BrokerEpoch: epoch}, b.at)
		b.run(records)
		return resp
	}
	for want := int64(0); want < 3000; want += 1000 {
		if resp := allocate(1, int64(broker.Epoch)); resp.ErrorCode != 0 || resp.ProducerIdStart != want || resp.ProducerIdLen != 1000 {
			t.Errorf("block %d: %+v", want, resp)
		}
	}
	if resp := allocate(1, 99); resp.ErrorCode != wire.ErrorStaleBrokerEpoch {
		t.Errorf("stale epoch: %v", resp.ErrorCode)
	}
	if resp := allocate(7, 1); resp.ErrorCode != wire.ErrorBrokerIDNotRegistered {
		t.Errorf("unknown broker: %v", resp.ErrorCode)
	}
	b.run(encode([]wire.MetadataRecord{&wire.ProducerIdsRecord{BrokerId: 1, NextProducerId: 1<<63 - 500}}))
	if resp := allocate(1, int64(broker.Epoch)); resp.ErrorCode != wire.ErrorUnknownServerError {
		t.Errorf("out of ids: %+v", resp)
	}
}

// TestPlacement holds: replicas of a partition differ; leaders are spread evenly; with as many racks as replicas, no two
// replicas share a rack; a fenced broker never leads while others live.
func TestPlacement(t *testing.T) {
	b := newBench(t, nil)
	racks := map[ids.BrokerID]string{}
	for id := int32(1); id <= 6; id++ {
		rack := fmt.Sprintf("rack-%d", id%3)
		racks[ids.BrokerID(id)] = rack
		b.register(id, 1, rack)
	}
	b.create(false, topic("a", 60, 3))
	a, _ := b.c.Image().Topic("a")
	led := map[ids.BrokerID]int{}
	for n, p := range a.Partitions {
		led[p.Leader]++
		seen := map[string]bool{}
		for _, r := range p.Replicas {
			seen[racks[r]] = true
		}
		if len(seen) != 3 || len(p.ISR) != 3 || p.Leader != p.Replicas[0] {
			t.Errorf("partition %d: %+v", n, p)
		}
	}
	for id := range racks {
		if led[id] != 10 {
			t.Errorf("broker %d leads %d partitions of 60", id, led[id])
		}
	}
	five, _ := b.c.Image().Broker(5)
	b.run(encode([]wire.MetadataRecord{&wire.FenceBrokerRecord{Id: 5, Epoch: int64(five.Epoch)}}))
	if r := b.create(false, topic("b", 30, 6)).Topics[0]; r.ErrorCode != 0 {
		t.Fatalf("%+v", r)
	}
	topicB, _ := b.c.Image().Topic("b")
	for n, p := range topicB.Partitions {
		if p.Leader == 5 || contains(p.ISR, 5) || len(p.Replicas) != 6 || len(p.ISR) != 5 {
			t.Errorf("partition %d with a fenced broker: %+v", n, p)
		}
	}
	if r := b.create(false, assigned(topic("c", -1, -1), []int32{5})).Topics[0]; r.ErrorCode != 39 || !strings.Contains(r.ErrorMessage.Value, "fenced") {
		t.Errorf("assigned to a fenced broker only: %+v", r)
	}
	if r := b.create(false, assigned(topic("c", -1, -1), []int32{1, 2}, []int32{1})).Topics[0]; r.ErrorCode != 39 ||
		r.ErrorMessage.Value != "The manual partition assignment includes a partition with 1 replica(s), but this is not consistent with previous partitions, which have 2 replica(s)." {
		t.Errorf("unequal factors: %+v", r)
	}
}

// TestReplayEqualsLive drives random commands and holds replay(log) == live, and snapshot + tail == live (invariant 8).
func TestReplayEqualsLive(t *testing.T) {
	for seed := range uint64(10) {
		dice := rand.New(rand.NewPCG(seed, 3))
		b := newBench(t, nil, 1)
		var snapshot bytes.Buffer
		var snapshotID machine.SnapshotID
		for step := range 120 {
			b.pass(time.Duration(dice.IntN(3)) * time.Hour)
			switch dice.IntN(10) {
			case 8:
				b.alterQuotas(false, quotaEntry([]string{"user", fmt.Sprintf("u%d", dice.IntN(3))}, quotaOp("producer_byte_rate", float64(1+step))),
					quotaEntry([]string{"client-id", "<default>", "user", fmt.Sprintf("u%d", dice.IntN(3))}, quotaOp("request_percentage", 0.5), noQuota("producer_byte_rate")),
					quotaEntry([]string{"user", fmt.Sprintf("u%d", dice.IntN(3))}, noQuota("producer_byte_rate")))
			case 9:
				if trash := b.c.Image().Trash(); len(trash) > 0 {
					one := trash[dice.IntN(len(trash))]
					b.create(false, restored(one.Topic.ID, fmt.Sprintf("t%d", dice.IntN(30))))
				}
			case 0, 1, 2:
				b.create(dice.IntN(5) == 0, topic(fmt.Sprintf("t%d", dice.IntN(30)), 1+dice.Int32N(4), 1, "retention.ms=5"), topic("bad name", 1, 1))
			case 3:
				records, _ := b.c.DeleteTopics(&wire.DeleteTopicsRequest{Topics: []wire.DeleteTopicsRequestDeleteTopicState{{Name: wire.SomeString(fmt.Sprintf("t%d", dice.IntN(30)))}}}, nil, b.at)
				b.run(records)
			case 4:
				b.register(1, byte(step), "")
			case 7:
				b.alter(false, false, resource(onTopic, fmt.Sprintf("t%d", dice.IntN(30)), fmt.Sprintf("retention.bytes=%d", step), "-retention.ms"))
				b.alter(dice.IntN(2) == 0, false, resource(onBroker, "", fmt.Sprintf("log.retention.ms=%d", step+1)))
			case 6:
				b.extend(false, grow(fmt.Sprintf("t%d", dice.IntN(30)), 1+dice.Int32N(8)))
			case 5:
				broker, _ := b.c.Image().Broker(1)
				records, _ := b.c.AllocateProducerIDs(&wire.AllocateProducerIdsRequest{BrokerId: 1, BrokerEpoch: int64(broker.Epoch)}, b.at)
				b.run(records)
			}
			if step == 60 {
				snapshotID = machine.SnapshotID{End: b.at.Next, Epoch: 1}
				if err := b.c.Snapshot()(&snapshot); err != nil {
					t.Fatal(err)
				}
			}
		}
		live := snapshotOf(t, b.c)
		replayed := New(b.cfg)
		if err := replayed.Apply(b.log, b.at.Next, 1); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !bytes.Equal(live, snapshotOf(t, replayed)) {
			t.Errorf("seed %d: replay differs", seed)
		}
		restored := New(b.cfg)
		if err := restored.Restore(&snapshot, snapshotID); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := restored.Apply(b.log[snapshotID.End:], b.at.Next, 1); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !bytes.Equal(live, snapshotOf(t, restored)) {
			t.Errorf("seed %d: snapshot and tail differ", seed)
		}
	}
}

// snapshotOf is a canonical form of the state.
func snapshotOf(t *testing.T, c *Controller) []byte {
	var out bytes.Buffer
	if err := metadata.WriteSnapshot(&out, c.Image(), 0); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func BenchmarkCreateTopic(b *testing.B) {
	bench := newBench(b, nil, 1)
	for n := 0; b.Loop(); n++ {
		if r := bench.create(false, topic(fmt.Sprintf("topic.%d", n), 1, 1)); r.Topics[0].ErrorCode != 0 {
			b.Fatal(r)
		}
	}
}
