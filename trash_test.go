package ottla

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
	"github.com/ottla-io/ottla/internal/vfs"
	"github.com/ottla-io/ottla/internal/wire"
)

// trash lists what can be restored, as 'ottla topic trash list' does.
func (s session) trash() (listed []wire.DescribeTopicPartitionsResponseTrashedTopic) {
	s.t.Helper()
	var resp wire.DescribeTopicPartitionsResponse
	s.must(s.do(wire.DescribeTopicPartitionsKey, 0, &wire.DescribeTopicPartitionsRequest{ResponsePartitionLimit: 1, Trash: true}, &resp))
	if resp.Trash == nil || len(resp.Topics) > 0 {
		s.t.Errorf("the trash is not told, or topics beside it: %+v", resp)
	}
	return resp.Trash
}

func (s session) restore(id wire.UUID, name string) wire.ErrorCode {
	s.t.Helper()
	req := &wire.CreateTopicsRequest{TimeoutMs: 30_000, Topics: []wire.CreateTopicsRequestCreatableTopic{
		{Name: name, NumPartitions: -1, ReplicationFactor: -1, RestoredTopicId: id}}}
	var resp wire.CreateTopicsResponse
	s.must(s.do(wire.CreateTopicsKey, 7, req, &resp))
	return resp.Topics[0].ErrorCode
}

// removeWith is what DeleteTopics says to one entry.
func (s session) removeWith(entry wire.DeleteTopicsRequestDeleteTopicState) wire.DeleteTopicsResponseDeletableTopicResult {
	s.t.Helper()
	var resp wire.DeleteTopicsResponse
	s.must(s.do(wire.DeleteTopicsKey, 6, &wire.DeleteTopicsRequest{TimeoutMs: 30_000, Topics: []wire.DeleteTopicsRequestDeleteTopicState{entry}}, &resp))
	return resp.Responses[0]
}

// TestTrashIsRestored: a deleted topic comes back with its records, settings, id and groups' offsets, under a free name only, also after a restart, and nothing of
// it is in a new topic of its name.
func TestTrashIsRestored(t *testing.T) {
	mem := vfs.NewMem(1)
	d := startOnDisk(t, mem)
	s := d.connect(t)
	s.mustCreate("t", 2)
	s.setConfig(2, "t", "retention.ms", "123456789")
	s.produce("t", 1, "old")
	if code := s.commit("g", "t", 2, 1); code != wire.ErrorNone {
		t.Fatal(code.Name())
	}
	first := d.cluster.Image()
	if code := s.remove("t"); code != wire.ErrorNone {
		t.Fatal(code.Name())
	}
	topic, _ := first.Topic("t")
	if listed := s.trash(); len(listed) != 1 || listed[0].Name != "t" || listed[0].TopicId != wire.UUID(topic.ID) || listed[0].PartitionCount != 2 ||
		listed[0].UntilMs-listed[0].TrashedMs != 86_400_000 || listed[0].SizeBytes < 70 {
		t.Fatalf("trash: %+v", listed)
	}
	if got := s.removeWith(wire.DeleteTopicsRequestDeleteTopicState{TopicId: wire.UUID(topic.ID)}); got.ErrorCode != wire.ErrorUnknownTopicID {
		t.Errorf("Kafka's request about the deleted id: %s", got.ErrorCode.Name())
	}
	s.mustCreate("t", 1)
	s.produce("t", 0, "new")
	if got := s.committed("g", "t"); got != -1 {
		t.Errorf("the new topic inherits offset %d", got)
	}
	if code := s.restore(wire.UUID(topic.ID), "t"); code != wire.ErrorTopicAlreadyExists {
		t.Errorf("restored over another: %s", code.Name())
	}
	if err := d.stopNow(); err != nil {
		t.Fatal(err)
	}
	d = startOnDisk(t, mem)
	s = d.connect(t)
	if code := s.restore(wire.UUID(topic.ID), "back"); code != wire.ErrorNone {
		t.Fatal(code.Name())
	}
	s.holds("back", 1, []string{"old"})
	s.holds("back", 0, nil)
	s.holds("t", 0, []string{"new"})
	image := d.cluster.Image()
	back, _ := image.Topic("back")
	if back.ID != topic.ID || !maps.Equal(image.TopicConfig("back"), first.TopicConfig("t")) || len(image.TopicConfig("t")) != 0 {
		t.Errorf("restored as %s with %v", back.ID, image.TopicConfig("back"))
	}
	if got, other := s.committed("g", "back"), s.committed("g", "t"); got != 1 || other != -1 {
		t.Errorf("the group is at %d, and at %d of the new topic", got, other)
	}
	s.produce("back", 1, "more")
	s.holds("back", 1, []string{"old", "more"})
	if code := s.restore(wire.UUID(topic.ID), "again"); code != wire.ErrorUnknownTopicID || len(s.trash()) != 0 {
		t.Errorf("restored twice: %s, and in the trash are %d", code.Name(), len(s.trash()))
	}
}

// committed is the offset of a group in partition 0 of a topic; -1 if there is none.
func (s session) committed(name, topic string) int64 {
	s.t.Helper()
	req := &wire.OffsetFetchRequest{Groups: []wire.OffsetFetchRequestGroup{{GroupId: name, MemberEpoch: -1,
		Topics: []wire.OffsetFetchRequestTopics{{Name: topic, PartitionIndexes: []int32{0}}}}}}
	for deadline := time.Now().Add(10 * time.Second); ; {
		var resp wire.OffsetFetchResponse
		s.must(s.do(wire.OffsetFetchKey, 8, req, &resp))
		switch code := resp.Groups[0].ErrorCode; {
		case code == wire.ErrorNone:
			return resp.Groups[0].Topics[0].Partitions[0].CommittedOffset
		case !code.Retriable() || time.Now().After(deadline):
			s.t.Fatalf("offsets of %s: %s", name, code.Name())
		}
	}
}

// TestTrashCanBePurgedAndAvoided: for good, by id or by name, at once or with ottla.topic.trash.ms=0, and not at all where the topic is protected.
func TestTrashCanBePurgedAndAvoided(t *testing.T) {
	mem := vfs.NewMem(1)
	d := startOnDisk(t, mem)
	s := d.connect(t)
	for _, name := range []string{"purged", "past", "none", "protected"} {
		s.mustCreate(name, 1)
		s.produce(name, 0, "v")
	}
	s.setConfig(2, "none", trashSetting, "0")
	s.setConfig(2, "protected", "ottla.topic.deletion.protection", "true")
	if got := s.removeWith(wire.DeleteTopicsRequestDeleteTopicState{Name: wire.SomeString("protected"), Purge: true}); got.ErrorCode != wire.ErrorPolicyViolation ||
		!strings.Contains(got.ErrorMessage.Value, "ottla.topic.deletion.protection") {
		t.Errorf("a protected topic: %+v", got)
	}
	if code := s.remove("purged"); code != wire.ErrorNone {
		t.Fatal(code.Name())
	}
	for _, entry := range []wire.DeleteTopicsRequestDeleteTopicState{{Name: wire.SomeString("none")}, {Name: wire.SomeString("past"), Purge: true},
		{TopicId: s.trash()[0].TopicId, Purge: true}} {
		if got := s.removeWith(entry); got.ErrorCode != wire.ErrorNone {
			t.Errorf("%+v: %s", entry, got.ErrorCode.Name())
		}
	}
	if left := s.trash(); len(left) != 0 {
		t.Errorf("left in the trash: %+v", left)
	}
	s.holds("protected", 0, []string{"v"})
	s.setConfig(2, "protected", "ottla.topic.deletion.protection", "false")
	if code := s.remove("protected"); code != wire.ErrorNone {
		t.Error(code.Name())
	}
}

// TestTrashExpires: what nobody restores is purged when its time is over, also where the broker was down then, and its bytes go.
func TestTrashExpires(t *testing.T) {
	sim := run.NewSim(3)
	sim.Run(func() {
		mem := vfs.NewMem(1)
		net := transport.NewSim(sim)
		network, clients := net.Host("broker"), net.Host("client")
		start := func() (*Broker, session) {
			b, err := startWith(Config{DataDir: "data", NodeID: 1, Listen: simAddress,
				Settings: map[string]string{"log.message.timestamp.after.max.ms": "9223372036854775807"}}, doors{env: sim, disk: mem, network: network})
			if err != nil {
				t.Fatal(err)
			}
			client, err := dialWire(clients, simAddress)
			if err != nil {
				t.Fatal(err)
			}
			return b, session{t, client}
		}
		left := func() (names []string) {
			entries, err := mem.List("data")
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if strings.HasPrefix(e.Name, "t-") {
					names = append(names, e.Name)
				}
			}
			return names
		}
		b, s := start()
		for _, down := range []bool{false, true} {
			s.mustCreate("t", 1)
			if got := s.produce("t", 0, "v"); got.ErrorCode != wire.ErrorNone {
				t.Fatal(got.ErrorCode.Name())
			}
			if code := s.remove("t"); code != wire.ErrorNone {
				t.Fatal(code.Name())
			}
			s.close()
			if down {
				if err := b.Close(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			sim.NewSignal().WaitFor(23 * time.Hour)
			if got := left(); len(got) != 1 {
				t.Errorf("after 23 hours: %v", got)
			}
			sim.NewSignal().WaitFor(2 * time.Hour)
			if down {
				b, s = start()
				sim.NewSignal().WaitFor(time.Second)
				s.close()
			}
			if got := left(); len(got) != 0 || len(b.cluster.Image().Trash()) != 0 {
				t.Errorf("after 25 hours (down %v): %v, %v", down, got, b.cluster.Image().Trash())
			}
			client, err := dialWire(clients, simAddress)
			if err != nil {
				t.Fatal(err)
			}
			s = session{t, client}
		}
		s.close()
		if err := b.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestTrashAtEachCrash holds invariant 10: a topic is deleted, created anew, and the old one restored under another name. Whenever the power is cut, the start after
// it finds each topic's own records under its id, and what is in the trash can be restored.
func TestTrashAtEachCrash(t *testing.T) {
	mem := vfs.NewMem(5)
	d := startOnDisk(t, mem)
	s := d.connect(t)
	s.mustCreate("t", 1)
	s.produce("t", 0, "old")
	topic, _ := d.cluster.Image().Topic("t")
	type crash struct {
		op      string
		left    *vfs.Mem
		newDone bool // the new topic's record was acknowledged
	}
	var mu sync.Mutex // the flusher syncs several files at a time
	var crashes []crash
	var newDone bool
	mem.OnOp(func(_ int, op string) {
		mu.Lock()
		defer mu.Unlock()
		crashes = append(crashes, crash{op, mem.Crash(), newDone})
	})
	mustNone(t, s.remove("t"))
	s.mustCreate("t", 1)
	s.produce("t", 0, "new")
	mu.Lock()
	newDone = true
	mu.Unlock()
	mustNone(t, s.restore(wire.UUID(topic.ID), "old"))
	mustNone(t, s.remove("old"))
	mustNone(t, s.remove("t"))
	mem.OnOp(nil)
	d.stopNow() //nolint:errcheck // of no interest here; after it nothing records any more
	if len(crashes) < 20 {
		t.Errorf("only %d operations on the disk", len(crashes))
	}
	for _, c := range crashes {
		again := startOnDisk(t, c.left)
		checkTrashAfterCrash(t, again, topic.ID, c.op, c.newDone)
		again.stopNow() //nolint:errcheck // of no interest here
	}
	t.Logf("%d crashes", len(crashes))
}

func mustNone(t *testing.T, code wire.ErrorCode) {
	t.Helper()
	if code != wire.ErrorNone {
		t.Fatal(code.Name())
	}
}

// checkTrashAfterCrash restores all that is in the trash, and compares every topic with what its id stands for.
func checkTrashAfterCrash(t *testing.T, d *onDisk, old ids.TopicID, op string, newDone bool) {
	t.Helper()
	s := d.connect(t)
	for n, trashed := range s.trash() {
		mustNone(t, s.restore(trashed.TopicId, fmt.Sprint("restored-", n)))
	}
	foundOld, foundNew := false, false
	for _, topic := range d.cluster.Image().Topics() {
		values, code := s.fetch(topic.Name, 0)
		isOld := topic.ID == old
		foundOld, foundNew = foundOld || isOld, foundNew || !isOld && len(values) == 1
		want := []string{"new"}
		if isOld {
			want = []string{"old"}
		}
		if code != wire.ErrorNone || !slices.Equal(values, want) && (isOld || len(values) > 0) {
			t.Errorf("after a crash at %q, %s with the id of the old one %v: %s, %q", op, topic.Name, isOld, code.Name(), values)
		}
	}
	if !foundOld || newDone && !foundNew {
		t.Errorf("after a crash at %q: the old topic is there %v, the new one's record %v", op, foundOld, foundNew)
	}
}
