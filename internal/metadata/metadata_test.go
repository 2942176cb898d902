package metadata

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/quota"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/wire"
)

const golden = "../../testdata/kafka-4.3.1/"

// state is all that an Image says, in a form that cmp compares.
type state struct {
	Topics   map[string]*Topic
	ByID     map[ids.TopicID]string
	Trash    map[ids.TopicID]*Trashed
	Configs  map[ConfigResource]map[string]string
	Brokers  []*Broker
	Features map[string]int16
	Producer ProducerIDs
	Quotas   map[quota.Entity]map[string]float64
	Kept     map[string]wire.MetadataRecord
	End      ids.Offset
	Epoch    ids.LeaderEpoch
}

func stateOf(i *Image) state {
	s := state{Topics: map[string]*Topic{}, ByID: map[ids.TopicID]string{}, Trash: map[ids.TopicID]*Trashed{}, Configs: map[ConfigResource]map[string]string{}, Kept: map[string]wire.MetadataRecord{},
		Quotas:  map[quota.Entity]map[string]float64{},
		Brokers: append([]*Broker{}, i.Brokers()...), Features: map[string]int16{}, Producer: i.ProducerIDs(), End: i.End(), Epoch: i.Epoch()}
	for n, t := range i.topics.all() {
		s.Topics[n] = t
	}
	for id, t := range i.topicsByID.all() {
		s.ByID[id] = t.Name
	}
	for id, t := range i.trash.all() {
		s.Trash[id] = t
	}
	for r, v := range i.configs.all() {
		s.Configs[r] = v
	}
	for e, v := range i.quotas.all() {
		s.Quotas[e] = v
	}
	for k, r := range i.kept.all() {
		s.Kept[k] = r
	}
	for n, l := range i.features {
		s.Features[n] = l
	}
	return s
}

func replay(t *testing.T, path string) (*Image, int) {
	t.Helper()
	data, err := os.ReadFile(golden + path)
	if err != nil {
		t.Fatal(err)
	}
	image, records := Empty(), 0
	for len(data) > 0 {
		var b record.Batch
		if b, data, err = record.Next(data); err != nil {
			t.Fatal(err)
		}
		decoded, err := DecodeBatch(b)
		if err != nil {
			t.Fatal(err)
		}
		records += len(decoded)
		if image, err = image.Apply(decoded, b.NextOffset(), b.LeaderEpoch()); err != nil {
			t.Fatal(err)
		}
	}
	return image, records
}

func TestReplayKafkasLog(t *testing.T) {
	image, records := replay(t, "__cluster_metadata-0/00000000000000000000.log")
	if records < 300 {
		t.Errorf("%d records", records)
	}
	topic, ok := image.Topic("t")
	if !ok {
		t.Fatal("no topic t")
	}
	meta, err := os.ReadFile(golden + "t-0/partition.metadata")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("version: 0\ntopic_id: %s", topic.ID); string(meta) != want {
		t.Errorf("partition.metadata is %q, the log says %q", meta, want)
	}
	if len(topic.Partitions) != 1 {
		t.Fatalf("%d partitions", len(topic.Partitions))
	}
	// Kafka's controlled shutdown took the only replica out of the ISR and left it eligible (KIP-966).
	p := topic.Partitions[0]
	if p.Leader != ids.NoBroker || p.LeaderEpoch != 1 || p.PartitionEpoch != 1 || len(p.ISR) != 0 || len(p.ELR) != 1 || len(p.Directories) != 1 {
		t.Errorf("partition %+v", p)
	}
	if image.TopicConfig("t")["index.interval.bytes"] != "1000" {
		t.Errorf("configs of t: %v", image.TopicConfig("t"))
	}
	if len(image.Brokers()) != 1 || image.Brokers()[0].Endpoints[0].Port != 19092 {
		t.Errorf("brokers %+v", image.Brokers())
	}
	if image.Feature("metadata.version") != 30 || image.Feature("transaction.version") != 2 {
		t.Errorf("features %v", image.Features())
	}
	if image.ProducerIDs().Next == 0 || image.kept.size == 0 || image.InTransaction() {
		t.Errorf("producer ids %+v, %d records kept", image.ProducerIDs(), image.kept.size)
	}
	checkSnapshot(t, image)
}

func TestReadKafkasSnapshot(t *testing.T) {
	file, err := os.Open(golden + "bootstrap.checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	image, err := ReadSnapshot(file, 7, 1)
	if err != nil {
		t.Fatal(err)
	}
	if image.Feature("metadata.version") != 30 || len(image.Features()) != 6 || image.End() != 7 {
		t.Errorf("features %v", image.Features())
	}
}

func checkSnapshot(t *testing.T, image *Image) {
	t.Helper()
	var out bytes.Buffer
	if err := WriteSnapshot(&out, image, 1000); err != nil {
		t.Fatal(err)
	}
	back, err := ReadSnapshot(bytes.NewReader(out.Bytes()), image.End(), image.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stateOf(image), stateOf(back)); diff != "" {
		t.Fatalf("snapshot lost something (-image +back):\n%s", diff)
	}
	if d := Between(image, back); !deltaOfEqualStates(d) {
		t.Fatalf("equal images differ: %+v", d)
	}
}

// deltaOfEqualStates: brokers are compared by address, so those may be listed.
func deltaOfEqualStates(d *Delta) bool {
	return len(d.Created)+len(d.Deleted)+len(d.Changed)+len(d.Configs) == 0 && !d.Features && !d.ProducerIDs
}

// script makes random batches of records that can follow one another.
type script struct {
	r      *rand.Rand
	topics []*wire.TopicRecord
	trash  []*wire.TopicRecord
	names  map[wire.UUID]string
	parts  map[ids.TopicID]int32
	broker map[int32]int64
	next   int
}

func (s *script) batch() []wire.MetadataRecord {
	var out []wire.MetadataRecord
	for range 1 + s.r.IntN(8) {
		out = append(out, s.record()...)
	}
	if s.r.IntN(5) == 0 {
		out = append([]wire.MetadataRecord{&wire.BeginTransactionRecord{}}, append(out, &wire.EndTransactionRecord{})...)
	}
	return out
}

func (s *script) id() (u wire.UUID) {
	for i := range u {
		u[i] = byte(s.r.Uint32())
	}
	return u
}

func (s *script) record() []wire.MetadataRecord {
	one := func(r wire.MetadataRecord) []wire.MetadataRecord { return []wire.MetadataRecord{r} }
	pick := func() *wire.TopicRecord {
		if len(s.topics) == 0 {
			return nil
		}
		return s.topics[s.r.IntN(len(s.topics))]
	}
	switch n := s.r.IntN(24); {
	case n < 4:
		s.next++
		t := &wire.TopicRecord{Name: fmt.Sprintf("topic-%d", s.next), TopicId: s.id()}
		s.names[t.TopicId] = t.Name
		s.topics = append(s.topics, t)
		s.parts[ids.TopicID(t.TopicId)] = 2
		p := func(n int32) *wire.PartitionRecord {
			return &wire.PartitionRecord{PartitionId: n, TopicId: t.TopicId, Replicas: []int32{1, 2}, Isr: []int32{1}, Leader: 1, Directories: []wire.UUID{s.id(), s.id()}, EligibleLeaderReplicas: []int32{2}}
		}
		return []wire.MetadataRecord{t, p(1), p(0)} // not in order, as in Kafka's snapshots
	case n < 6:
		if t := pick(); t != nil {
			at := s.r.IntN(len(s.topics))
			t = s.topics[at]
			s.topics = append(s.topics[:at], s.topics[at+1:]...)
			if s.r.IntN(2) == 0 {
				s.trash = append(s.trash, t)
				s.next++
				return one(&wire.RemoveTopicRecord{TopicId: t.TopicId, TrashedMs: int64(s.next), TrashedUntilMs: 5})
			}
			return one(&wire.RemoveTopicRecord{TopicId: t.TopicId})
		}
	case n < 10:
		if t := pick(); t != nil {
			r := &wire.PartitionChangeRecord{PartitionId: s.r.Int32N(2), TopicId: t.TopicId, Leader: -2, LeaderRecoveryState: -1}
			switch s.r.IntN(4) {
			case 0:
				r.Leader = s.r.Int32N(3)
			case 1:
				r.Isr = []int32{1, 2}
			case 2:
				r.Replicas, r.Directories, r.AddingReplicas = []int32{3}, []wire.UUID{s.id()}, []int32{3}
			case 3:
				r.LeaderRecoveryState, r.LastKnownElr = int8(s.r.IntN(2)), []int32{4}
			}
			return one(r)
		}
	case n < 13:
		if t := pick(); t != nil {
			value := wire.SomeString(fmt.Sprint(s.r.IntN(100)))
			if s.r.IntN(3) == 0 {
				value = wire.NullString{}
			}
			return one(&wire.ConfigRecord{ResourceType: ResourceTopic, ResourceName: t.Name, Name: fmt.Sprintf("c%d", s.r.IntN(3)), Value: value})
		}
	case n < 15:
		id := s.r.Int32N(3)
		if epoch, ok := s.broker[id]; ok {
			switch s.r.IntN(4) {
			case 0:
				delete(s.broker, id)
				return one(&wire.UnregisterBrokerRecord{BrokerId: id, BrokerEpoch: epoch})
			case 1:
				return one(&wire.FenceBrokerRecord{Id: id, Epoch: epoch})
			case 2:
				return one(&wire.UnfenceBrokerRecord{Id: id, Epoch: epoch})
			case 3:
				return one(&wire.BrokerRegistrationChangeRecord{BrokerId: id, BrokerEpoch: epoch, Fenced: int8(s.r.IntN(3) - 1), CordonedLogDirs: []wire.UUID{s.id()}})
			}
		}
		s.broker[id]++
		return one(&wire.RegisterBrokerRecord{BrokerId: id, BrokerEpoch: s.broker[id], IncarnationId: s.id(), Fenced: true, Rack: wire.SomeString("r"),
			EndPoints: []wire.RegisterBrokerRecordBrokerEndpoint{{Name: "PLAINTEXT", Host: "h", Port: 1}}, Features: []wire.RegisterBrokerRecordBrokerFeature{{Name: "metadata.version", MinSupportedVersion: 7, MaxSupportedVersion: 30}}})
	case n < 16:
		return one(&wire.FeatureLevelRecord{Name: fmt.Sprintf("f%d", s.r.IntN(3)), FeatureLevel: int16(s.r.IntN(3))})
	case n < 17:
		return one(&wire.ProducerIdsRecord{BrokerId: 1, BrokerEpoch: 3, NextProducerId: int64(1000 * s.r.IntN(9))})
	case n < 19:
		return one(s.quota())
	case n < 20:
		return one(&wire.UserScramCredentialRecord{Name: "u", Mechanism: 1, Salt: []byte{1}, StoredKey: []byte{2}, ServerKey: []byte{3}, Iterations: 4096})
	case n < 23:
		if len(s.trash) > 0 {
			at := s.r.IntN(len(s.trash))
			t := s.trash[at]
			s.trash = append(s.trash[:at], s.trash[at+1:]...)
			if n == 20 {
				return one(&wire.NoOpRecord{PurgedTopicIds: []wire.UUID{t.TopicId}})
			}
			s.next++
			t = &wire.TopicRecord{Name: fmt.Sprintf("topic-%d", s.next), TopicId: t.TopicId}
			if n == 21 && !slices.ContainsFunc(s.topics, func(o *wire.TopicRecord) bool { return o.Name == s.names[t.TopicId] }) {
				t.Name = s.names[t.TopicId]
			}
			s.names[t.TopicId] = t.Name
			s.topics = append(s.topics, t)
			out := []wire.MetadataRecord{t}
			for n := range int32(2) {
				out = append(out, &wire.PartitionRecord{PartitionId: n, TopicId: t.TopicId, Replicas: []int32{1}, Isr: []int32{1}, Leader: 1, LeaderEpoch: 50, PartitionEpoch: int32(100 + s.next)})
			}
			return out
		}
	}
	return one(&wire.NoOpRecord{})
}

// quota sets or removes a quota of one of a few entities, whose parts come in any order.
func (s *script) quota() *wire.ClientQuotaRecord {
	name := func() wire.NullString {
		if s.r.IntN(2) == 0 {
			return wire.NullString{}
		}
		return wire.SomeString(fmt.Sprintf("n%d", s.r.IntN(2)))
	}
	parts := [][]string{{"user"}, {"client-id"}, {"user", "client-id"}, {"client-id", "user"}, {"ip"}}[s.r.IntN(5)]
	r := &wire.ClientQuotaRecord{Key: fmt.Sprintf("k%d", s.r.IntN(2)), Value: s.r.Float64(), Remove: s.r.IntN(2) == 0}
	for _, kind := range parts {
		r.Entity = append(r.Entity, wire.ClientQuotaRecordEntityData{EntityType: kind, EntityName: name()})
	}
	return r
}

// TestRandomHistories holds, after every batch of random histories: a snapshot reads back as the Image; the Delta names
// exactly what differs; older Images did not change.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(12) {
		s := &script{r: rand.New(rand.NewPCG(seed, 1)), parts: map[ids.TopicID]int32{}, broker: map[int32]int64{}, names: map[wire.UUID]string{}}
		image := Empty()
		end := ids.Offset(0)
		old, oldState := image, stateOf(image)
		for range 60 {
			var records []wire.MetadataRecord
			for _, r := range s.batch() { // through bytes, as a log has them
				back, err := DecodeRecord(EncodeRecord(nil, r))
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				records = append(records, back)
			}
			end += ids.Offset(len(records))
			next, err := image.Apply(records, end, 3)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			checkDelta(t, seed, image, next)
			image = next
			if s.r.IntN(8) == 0 {
				checkSnapshot(t, image)
				if diff := cmp.Diff(oldState, stateOf(old)); diff != "" {
					t.Fatalf("seed %d: an Image changed:\n%s", seed, diff)
				}
				old, oldState = image, stateOf(image)
			}
		}
	}
}

// checkDelta compares Between with a comparison of everything.
func checkDelta(t *testing.T, seed uint64, before, after *Image) {
	t.Helper()
	d := Between(before, after)
	a, b := stateOf(before), stateOf(after)
	created, deleted, changed := 0, 0, 0
	for name, now := range b.Topics {
		was := a.Topics[name]
		switch {
		case was == nil || was.ID != now.ID:
			created++
		case was != now && !reflect.DeepEqual(was, now):
			changed++
		}
	}
	for name, was := range a.Topics {
		if now := b.Topics[name]; now == nil || now.ID != was.ID {
			deleted++
		}
	}
	untrashed := 0
	for id := range a.Trash {
		if b.Trash[id] == nil {
			untrashed++
		}
	}
	configs := 0
	for r := range b.Configs {
		if !maps.Equal(a.Configs[r], b.Configs[r]) {
			configs++
		}
	}
	for r := range a.Configs {
		if b.Configs[r] == nil {
			configs++
		}
	}
	quotas := 0
	for e := range b.Quotas {
		if !maps.Equal(a.Quotas[e], b.Quotas[e]) {
			quotas++
		}
	}
	for e := range a.Quotas {
		if b.Quotas[e] == nil {
			quotas++
		}
	}
	if len(d.Quotas) != quotas {
		t.Fatalf("seed %d: delta names the quotas %v; want %d of them", seed, d.Quotas, quotas)
	}
	if len(d.Created) != created || len(d.Deleted) != deleted || len(d.Changed) != changed || len(d.Configs) != configs || len(d.Untrashed) != untrashed ||
		d.Features == cmp.Equal(a.Features, b.Features) || d.ProducerIDs == (a.Producer == b.Producer) {
		t.Fatalf("seed %d: delta %+v; want %d created, %d deleted, %d changed, %d configs", seed, d, created, deleted, changed, configs)
	}
	for _, c := range d.Changed {
		for n := range c.After.Partitions {
			differs := n >= len(c.Before.Partitions) || !reflect.DeepEqual(c.Before.Partitions[n], c.After.Partitions[n])
			listed := false
			for _, p := range c.Partitions {
				listed = listed || p == int32(n)
			}
			if differs != listed {
				t.Fatalf("seed %d: partition %s-%d differs %v, listed %v", seed, c.After.Name, n, differs, listed)
			}
		}
	}
	for id := ids.BrokerID(0); id < 3; id++ {
		was, _ := before.Broker(id)
		now, _ := after.Broker(id)
		listed := false
		for _, l := range d.Brokers {
			listed = listed || l == id
		}
		if !cmp.Equal(was, now) && !listed {
			t.Fatalf("seed %d: broker %d changed and is not listed", seed, id)
		}
	}
}

func TestTransactions(t *testing.T) {
	topic := &wire.TopicRecord{Name: "a", TopicId: wire.UUID{1}}
	apply := func(i *Image, r ...wire.MetadataRecord) *Image {
		t.Helper()
		next, err := i.Apply(r, i.End()+ids.Offset(len(r)), 0)
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	open := apply(Empty(), &wire.BeginTransactionRecord{}, topic)
	if _, ok := open.Topic("a"); ok || !open.InTransaction() {
		t.Error("a record counts before its transaction ended")
	}
	if err := WriteSnapshot(&bytes.Buffer{}, open, 0); err == nil {
		t.Error("snapshot inside a transaction")
	}
	// Two futures of one Image must not disturb each other.
	left := apply(open, &wire.TopicRecord{Name: "left", TopicId: wire.UUID{2}})
	right := apply(open, &wire.TopicRecord{Name: "right", TopicId: wire.UUID{3}})
	left, right = apply(left, &wire.EndTransactionRecord{}), apply(right, &wire.EndTransactionRecord{})
	if _, ok := left.Topic("left"); !ok || left.TopicCount() != 2 {
		t.Errorf("left has %d topics", left.TopicCount())
	}
	if _, ok := right.Topic("right"); !ok || right.TopicCount() != 2 {
		t.Errorf("right has %d topics", right.TopicCount())
	}
	if aborted := apply(open, &wire.AbortTransactionRecord{}); aborted.TopicCount() != 0 || aborted.InTransaction() {
		t.Error("an aborted transaction left something")
	}
}

func TestImpossibleRecords(t *testing.T) {
	base, err := Empty().Apply([]wire.MetadataRecord{&wire.TopicRecord{Name: "a", TopicId: wire.UUID{1}}, &wire.RegisterBrokerRecord{BrokerId: 1, BrokerEpoch: 5}}, 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []wire.MetadataRecord{
		&wire.TopicRecord{Name: "a", TopicId: wire.UUID{2}},
		&wire.TopicRecord{Name: "b", TopicId: wire.UUID{1}},
		&wire.RemoveTopicRecord{TopicId: wire.UUID{9}},
		&wire.PartitionRecord{TopicId: wire.UUID{9}, Replicas: []int32{1}},
		&wire.PartitionRecord{TopicId: wire.UUID{1}, PartitionId: -1, Replicas: []int32{1}},
		&wire.PartitionRecord{TopicId: wire.UUID{1}, PartitionId: 1 << 30, Replicas: []int32{1}},
		&wire.PartitionRecord{TopicId: wire.UUID{1}},
		&wire.PartitionChangeRecord{TopicId: wire.UUID{1}, PartitionId: 0},
		&wire.FenceBrokerRecord{Id: 1, Epoch: 4},
		&wire.UnfenceBrokerRecord{Id: 2, Epoch: 5},
		&wire.ClearElrRecord{TopicName: "nope"},
		&wire.EndTransactionRecord{},
		&wire.ClientQuotaRecord{Key: "k"},
		&wire.ClientQuotaRecord{Entity: []wire.ClientQuotaRecordEntityData{{EntityType: "galaxy"}}, Key: "k"},
	} {
		if _, err := base.Apply([]wire.MetadataRecord{r}, 3, 0); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%T %+v: %v", r, r, err)
		}
	}
}

func TestDamagedSnapshots(t *testing.T) {
	image, _ := replay(t, "__cluster_metadata-0/00000000000000000000.log")
	var out bytes.Buffer
	if err := WriteSnapshot(&out, image, 0); err != nil {
		t.Fatal(err)
	}
	whole := out.Bytes()
	for cut := 0; cut < len(whole); cut += 1 + len(whole)/200 {
		if _, err := ReadSnapshot(bytes.NewReader(whole[:cut]), 1, 1); err == nil {
			t.Fatalf("cut at %d of %d: no error", cut, len(whole))
		}
	}
	for at := 16; at < len(whole); at += 1 + len(whole)/200 { // base offset and leader epoch of the first batch are outside its CRC
		bad := bytes.Clone(whole)
		bad[at] ^= 0x10
		if got, err := ReadSnapshot(bytes.NewReader(bad), image.End(), image.Epoch()); err == nil && !cmp.Equal(stateOf(got), stateOf(image)) {
			t.Fatalf("flipped bit at %d: another state and no error", at)
		}
	}
	if _, err := ReadSnapshot(bytes.NewReader(append(bytes.Clone(whole), whole...)), 1, 1); err == nil {
		t.Error("bytes after the footer: no error")
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(EncodeRecord(nil, &wire.TopicRecord{Name: "a"}))
	f.Add([]byte{1, 3, 2})
	f.Fuzz(func(t *testing.T, value []byte) {
		m, err := DecodeRecord(value)
		if err != nil {
			return
		}
		again, err := DecodeRecord(EncodeRecord(nil, m))
		if err != nil {
			t.Fatalf("%T does not read back: %v", m, err)
		}
		_, _ = Empty().Apply([]wire.MetadataRecord{again}, 1, 0)
	})
}

// BenchmarkApply is one topic created among 10,000: the aim is at most 100 µs.
func BenchmarkApply(b *testing.B) {
	image := Empty()
	create := func(image *Image, n int) *Image {
		id := wire.UUID{byte(n), byte(n >> 8), byte(n >> 16), byte(n * 7), 1}
		next, err := image.Apply([]wire.MetadataRecord{&wire.TopicRecord{Name: fmt.Sprintf("topic-%d", n), TopicId: id},
			&wire.PartitionRecord{TopicId: id, Replicas: []int32{1}, Isr: []int32{1}, Leader: 1}}, image.End()+2, 0)
		if err != nil {
			b.Fatal(err)
		}
		return next
	}
	for n := range 10000 {
		image = create(image, n)
	}
	for n := 10000; b.Loop(); n++ {
		next := create(image, n)
		Between(image, next)
	}
}
