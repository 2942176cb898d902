package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/wire"
)

// pass lets time go by, and does what is due as a Runtime would.
func (b *bench) pass(d time.Duration) {
	b.t.Helper()
	for end := b.at.Monotonic + d; ; {
		due, set := b.c.Due()
		if !set || due > end {
			b.at.NowMs += (end - b.at.Monotonic).Milliseconds()
			b.at.Monotonic = end
			return
		}
		if wait := due - b.at.Monotonic; wait > 0 {
			b.at.Monotonic, b.at.NowMs = due, b.at.NowMs+wait.Milliseconds()
		}
		b.run(b.c.Tick(b.at))
		if again, set := b.c.Due(); set && again <= b.at.Monotonic {
			b.t.Fatal("a timer that ran is due again")
		}
	}
}

func restored(id ids.TopicID, name string) wire.CreateTopicsRequestCreatableTopic {
	t := topic(name, -1, -1)
	t.RestoredTopicId = wire.UUID(id)
	return t
}

func (b *bench) drop(entries ...wire.DeleteTopicsRequestDeleteTopicState) []wire.DeleteTopicsResponseDeletableTopicResult {
	b.t.Helper()
	records, resp := b.c.DeleteTopics(&wire.DeleteTopicsRequest{Topics: entries}, nil, b.at)
	b.run(records)
	return resp.Responses
}

func named(name string) wire.DeleteTopicsRequestDeleteTopicState {
	return wire.DeleteTopicsRequestDeleteTopicState{Name: wire.SomeString(name)}
}

// inTrash are the names in the trash, oldest first.
func (b *bench) inTrash() string {
	var names []string
	for _, t := range b.c.Image().Trash() {
		names = append(names, t.Topic.Name)
	}
	return strings.Join(names, " ")
}

// TestTrash: each topic is purged when its own time is over, also if the machine was loaded meanwhile; 0 is Kafka's deletion.
func TestTrash(t *testing.T) {
	b := newBench(t, map[string]string{"ottla.topic.trash.ms": "7200000"}, 1)
	b.at.NowMs = 1_000_000
	b.create(false, topic("two", 1, 1), topic("five", 1, 1, "ottla.topic.trash.ms=18000000"), topic("none", 1, 1, "ottla.topic.trash.ms=0"),
		topic("ever", 1, 1, "ottla.topic.trash.ms=9223372036854775807"))
	b.drop(named("two"), named("five"), named("none"), named("ever"))
	for _, c := range []struct {
		pass time.Duration
		want string
	}{{0, "ever five two"}, {119 * time.Minute, "ever five two"}, {time.Minute, "ever five"}, {179 * time.Minute, "ever five"}, {time.Minute, "ever"}, {1000 * time.Hour, "ever"}} {
		b.pass(c.pass)
		if got := b.inTrash(); got != c.want {
			t.Errorf("after %v more: %q, want %q", c.pass, got, c.want)
		}
		again := New(b.cfg)
		if err := again.Apply(b.log, b.at.Next, 1); err != nil {
			t.Fatal(err)
		}
		again.Loaded(b.at)
		due, set := b.c.Due()
		if d, s := again.Due(); s != set || d > due+time.Hour {
			t.Errorf("after a load the trash is looked at in %v, and before in %v", d, due)
		}
		b.c = again
	}
}

// TestTrashOverflows: the oldest make room for more than the trash holds.
func TestTrashOverflows(t *testing.T) {
	b := newBench(t, nil, 1)
	for i := range maxTrashed + 3 {
		name := fmt.Sprint("t", i)
		b.create(false, topic(name, 1, 1))
		b.drop(named(name))
		b.at.NowMs++
	}
	trash := b.c.Image().Trash()
	if len(trash) != maxTrashed || trash[0].Topic.Name != "t3" {
		t.Fatalf("%d are in the trash, %s the first", len(trash), trash[0].Topic.Name)
	}
	b.create(false, topic("new", 1, 1))
	purge := wire.DeleteTopicsRequestDeleteTopicState{TopicId: wire.UUID(trash[0].Topic.ID), Purge: true}
	b.drop(purge, named("new"))
	if trash = b.c.Image().Trash(); len(trash) != maxTrashed || trash[0].Topic.Name != "t4" {
		t.Errorf("where one makes room already, %d are in the trash, %s the first", len(trash), trash[0].Topic.Name)
	}
}

// TestRestore: what comes back is what went, in a new leader epoch.
func TestRestore(t *testing.T) {
	b := newBench(t, nil, 1)
	b.create(false, topic("t", 3, 1, "retention.ms=5", "cleanup.policy=compact"))
	was, _ := b.c.Image().Topic("t")
	b.drop(named("t"))
	b.create(false, topic("t", 1, 1))
	again, _ := b.c.Image().Topic("t")
	b.drop(named("t"))
	if got := b.inTrash(); got != "t t" {
		t.Fatalf("in the trash: %q", got)
	}
	other := restored(was.ID, "x")
	other.NumPartitions = 5
	configured := restored(was.ID, "x")
	configured.Configs = topic("", 1, 1, "retention.ms=7").Configs
	for _, c := range []struct {
		topic wire.CreateTopicsRequestCreatableTopic
		code  wire.ErrorCode
	}{{restored(ids.TopicID{9}, "x"), wire.ErrorUnknownTopicID}, {restored(was.ID, "bad name"), wire.ErrorInvalidTopicException}, {other, wire.ErrorInvalidRequest}, {configured, wire.ErrorInvalidRequest}} {
		if got := b.create(false, c.topic).Topics[0]; got.ErrorCode != c.code || !got.ErrorMessage.Valid {
			t.Errorf("%s: %+v, want %s", c.topic.Name, got, c.code.Name())
		}
	}
	got := b.create(false, restored(was.ID, "x"), restored(was.ID, "y"), restored(again.ID, "t")).Topics
	if got[0].ErrorCode != 0 || got[0].NumPartitions != 3 || got[0].TopicId != wire.UUID(was.ID) || got[1].ErrorCode != wire.ErrorUnknownTopicID || got[2].ErrorCode != 0 {
		t.Errorf("restored: %+v", got)
	}
	now, _ := b.c.Image().Topic("x")
	for n := range was.Partitions {
		want := was.Partitions[n]
		want.LeaderEpoch++
		want.PartitionEpoch++
		if diff := cmp.Diff(want, now.Partitions[n]); diff != "" {
			t.Errorf("partition %d: %s", n, diff)
		}
	}
	if diff := cmp.Diff(map[string]string{"retention.ms": "5", "cleanup.policy": "compact"}, b.c.Image().TopicConfig("x")); diff != "" {
		t.Error(diff)
	}
	if b.inTrash() != "" || b.c.Image().TopicConfig("t") != nil {
		t.Errorf("left: %q, %v", b.inTrash(), b.c.Image().TopicConfig("t"))
	}
}

// TestPurge: for good are what asks for it, and the oldest of what is in the way.
func TestPurge(t *testing.T) {
	b := newBench(t, nil, 1)
	b.create(false, topic("a", 1, 1), topic("b", 1, 1), topic("c", 1, 1), topic("d", 1, 1, "ottla.topic.deletion.protection=true"))
	var all []ids.TopicID
	for _, name := range []string{"b", "c"} {
		one, _ := b.c.Image().Topic(name)
		all = append(all, one.ID)
		b.drop(named(name))
		b.pass(time.Minute)
	}
	purge := func(e wire.DeleteTopicsRequestDeleteTopicState) wire.DeleteTopicsRequestDeleteTopicState {
		e.Purge = true
		return e
	}
	if got := b.drop(purge(named("a")), purge(named("d"))); got[0].ErrorCode != 0 || got[1].ErrorCode != wire.ErrorPolicyViolation {
		t.Errorf("purge of live topics: %+v", got)
	}
	byID := wire.DeleteTopicsRequestDeleteTopicState{TopicId: wire.UUID(all[1])}
	if got := b.drop(byID); got[0].ErrorCode != wire.ErrorUnknownTopicID || b.inTrash() != "b c" {
		t.Errorf("deleted once more: %+v, %q", got, b.inTrash())
	}
	records, purged, found := b.c.PurgeOldest(all, b.at)
	b.run(records)
	if !found || purged.Topic.Name != "b" || b.inTrash() != "c" {
		t.Errorf("the oldest: %+v, %q", purged, b.inTrash())
	}
	if records, _, found := b.c.PurgeOldest(all[:1], b.at); found || records != nil {
		t.Error("what is not there is purged")
	}
	if got := b.drop(purge(byID)); got[0].ErrorCode != 0 || b.inTrash() != "" {
		t.Errorf("by id: %+v, %q", got, b.inTrash())
	}
}
