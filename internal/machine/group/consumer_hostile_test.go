package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"regexp/syntax"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/internal/machine"

	"github.com/ottla-io/ottla/internal/wire"
)

// TestRegexCost: a regular expression that would hold everybody up is refused.
func TestRegexCost(t *testing.T) {
	l := newLive(t)
	var topics []wire.MetadataRecord
	for i := range 1000 {
		id := topicID(i + 1)
		topics = append(topics, &wire.TopicRecord{Name: fmt.Sprintf("%0200d", i), TopicId: wire.UUID(id)},
			&wire.PartitionRecord{TopicId: wire.UUID(id), Replicas: []int32{1}, Isr: []int32{1}, Leader: 1})
	}
	l.changeImage(topics)
	var names []string
	for i := range 300 {
		names = append(names, fmt.Sprintf("orders-of-customer-%d", i))
	}
	for _, fine := range []string{".*", "0*7", strings.Join(names, "|"), "(?i)a{1000}"} {
		if err := checkRegex(fine, l.image); err != nil {
			t.Errorf("%.50s: %v", fine, err)
		}
	}
	for _, bad := range []string{strings.Repeat("(.?){1000}", 20), strings.Repeat("a{1000}", 100)} {
		if resp := l.beat(parseLine("g id=a regex=(" + strings.Repeat("x", 32_000))); resp.ErrorCode != wire.ErrorInvalidRegularExpression || resp.Encode(&wire.Encoder{}, 1) != nil {
			t.Errorf("%s %.100s", resp.ErrorCode.Name(), resp.ErrorMessage.Value)
		}
		var wrong *syntax.Error
		if err := checkRegex(bad, l.image); !errors.As(err, &wrong) || wrong.Code != syntax.ErrLarge {
			t.Errorf("%.50s: %v", bad, err)
		}
		resp := l.beat(parseLine("g id=a regex=" + bad))
		if resp.ErrorCode != wire.ErrorInvalidRegularExpression || !strings.HasSuffix(resp.ErrorMessage.Value, "expression too large.") {
			t.Errorf("%.50s: %s %.100s", bad, resp.ErrorCode.Name(), resp.ErrorMessage.Value)
		}
	}
}

// TestUpgradeJunk: what a classic leader has assigned may be anything; the consumer group that comes of it is sound.
func TestUpgradeJunk(t *testing.T) {
	assignment := func(lists ...[]int32) string {
		b := binary.BigEndian.AppendUint32([]byte{0, 0}, uint32(len(lists)))
		for _, list := range lists {
			b = binary.BigEndian.AppendUint32(append(b, 0, 1, 't'), uint32(len(list)))
			for _, p := range list {
				b = binary.BigEndian.AppendUint32(b, uint32(p))
			}
		}
		return string(append(b, 0xff, 0xff, 0xff, 0xff))
	}
	for name, given := range map[string][2]string{
		"the same to both":      {assignment([]int32{0, 1, 2}), assignment([]int32{2, 1, 0})},
		"a topic twice":         {assignment([]int32{0}, []int32{1}), assignment([]int32{2, 2, 2})},
		"partitions that miss":  {assignment([]int32{-1, 3, 1 << 30, 0}), assignment([]int32{-1 << 31})},
		"an empty one":          {assignment([]int32{}), assignment()},
		"no partitions at all":  {"", ""},
		"a version of tomorrow": {"\x00\x63" + assignment([]int32{0})[2:], ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLive(t)
			l.create("t", 3)
			l.run("set delay=0")
			l.run("join g v=3")
			l.run("join g v=3 client=d")
			l.run("pass 1s")
			l.commit(l.m.SyncGroup(l.at, &wire.SyncGroupRequest{GroupId: "g", GenerationId: 1, MemberId: long("c-1"), Assignments: []wire.SyncGroupRequestAssignment{
				{MemberId: long("c-1"), Assignment: []byte(given[0])}, {MemberId: long("d-2"), Assignment: []byte(given[1])}}},
				&answer[*wire.SyncGroupResponse]{tell: func(*wire.SyncGroupResponse) {}}))
			l.run("beat g id=n")
			c := l.m.groups["g"].consumer
			if c == nil || len(c.members) != 3 {
				t.Fatalf("%+v", c)
			}
			for _, err := range []error{l.consistent(), l.check()} {
				if err != nil {
					t.Fatal(err)
				}
			}
			var r []share
			for _, one := range c.sorted() {
				r = append(r, c.target[one.id])
			}
			for i, s := range r {
				if s.size() != 1 {
					t.Errorf("member %d is to have %v", i, s)
				}
			}
		})
	}
	// Junk in the log of somebody else is no reason to fail, either.
	r := &roster{topics: []rosterTopic{{id: topicID(1), partitions: 2}}, members: []rosterMember{
		{id: "a", topics: []int{0}, before: share{{topic: topicID(1), partitions: []int32{-5, -1, 0, 1, 1, 7}}}}, {id: "b", topics: []int{0}, before: share{{topic: topicID(1), partitions: []int32{0}}}}}}
	for _, same := range []bool{true, false} {
		r.same = same
		if err := everyPartitionOnce(r, assignUniform(r)); err != nil {
			t.Error(err)
		}
	}
}

// mixedGroup is a consumer group with members of all kinds.
func mixedGroup(t testing.TB) *live {
	l := newLive(t)
	for _, line := range []string{"topic t partitions=4", "topic u", "beat g id=a", "pass 5s", "beat g id=b static=two", "beat g id=a epoch=2 owns=t:0+1+2+3",
		"beat g id=a epoch=2 owns=t:0+1", "pass 5s", "join g v=3 client=c", "beat g id=r regex=u|t", "pass 5s", "beat g id=a epoch=3 owns=t:0+1"} {
		l.run(line)
	}
	return l
}

// FuzzApplyConsumers: one record of somebody else's, after those of a group, is refused or taken; and members can go on, whatever it
// has made of the group, until all of them are gone.
func FuzzApplyConsumers(f *testing.F) {
	seed := mixedGroup(f)
	for i := range seed.log {
		f.Add(seed.log[i].Key, seed.log[i].Value, true)
		f.Add(seed.log[i].Key, seed.log[i].Value, false)
	}
	f.Fuzz(func(t *testing.T, key, value []byte, alive bool) {
		l := mixedGroup(t)
		if !alive {
			value = nil
		}
		if l.m.Apply([]machine.Record{{Key: key, Value: value}}, 1, 0) != nil {
			return
		}
		l.m.Loaded(l.at)
		for _, line := range []string{"consumers g", "beat g id=a epoch=3 owns=t:0", "beat g id=b static=two epoch=3 owns=", "beat g id=r epoch=4", "beat g id=n assignor=uniform",
			"beat g id=m static=two", "join g v=3 client=d", "list", "describe g", "pass 6s", "beat g id=n", "pass 2m", "consumers g", "beat g id=n", "beat g id=n epoch=-1", "pass 200h"} {
			l.run(line)
		}
		if g := l.m.groups["g"]; g != nil {
			for _, one := range g.consumer.members {
				t.Fatalf("%s is still a member", one.id)
			}
		}
	})
}

// TestConsumersOfTooMuch: the longest strings that a request can carry fit; and members cannot make a group take memory without bounds.
func TestConsumersOfTooMuch(t *testing.T) {
	l := newLive(t)
	l.create("t", 1)
	long := strings.Repeat("n", 1<<15-1)
	join := func(member string, topics ...string) wire.ErrorCode {
		l.trace = nil
		records, resp := l.m.ConsumerGroupHeartbeat(l.at, Client{ID: long, Host: "/h", Version: 1}, &wire.ConsumerGroupHeartbeatRequest{GroupId: long, MemberId: member,
			InstanceId: wire.SomeString(member), RackId: wire.SomeString(long), RebalanceTimeoutMs: 1000, SubscribedTopicNames: topics,
			TopicPartitions: []wire.ConsumerGroupHeartbeatRequestTopicPartitions{}})
		l.commit(records)
		if resp.Encode(&wire.Encoder{}, 1) != nil {
			t.Errorf("the answer does not fit: %.100s", resp.ErrorMessage.Value)
		}
		return resp.ErrorCode
	}
	if code := join(long, long, "t"); code != 0 {
		t.Fatal(code)
	}
	if code := join(long, "t"); code != wire.ErrorUnreleasedInstanceID {
		t.Errorf("joined twice: %s", code.Name())
	}
	n := 1
	for ; n < 10_000; n++ {
		if code := join(fmt.Sprint("m", n), "t"); code != 0 {
			if code != wire.ErrorGroupMaxSizeReached {
				t.Fatal(code.Name())
			}
			break
		}
		l.at.NowMs += 10 // most join without a new assignment
	}
	g := l.m.groups[long]
	if n < 100 || n > 1000 || len(g.consumer.members) != n || g.consumer.bytes > maxMembersBytes {
		t.Errorf("%d members joined, the group has %d in %d bytes", n, len(g.consumer.members), g.consumer.bytes)
	}
	if err := l.consistent(); err != nil {
		t.Error(err)
	}
}
