package group

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// software is what is told of the members of group g, by member id.
func (l *live) software() map[string]string {
	told := map[string]string{}
	for _, m := range l.m.DescribeGroups(Client{Version: 6}, []string{"g"})[0].Members {
		told[short(m.MemberId)] = m.ClientSoftware
	}
	for _, m := range l.m.ConsumerGroupDescribe([]string{"g"})[0].Members {
		told[short(m.MemberId)] = m.ClientSoftware
	}
	return told
}

// TestSoftwareOfMembers: what members say that they are goes with them from protocol to protocol, follows each heartbeat and is in no
// record, so that a group that was loaded knows it of those only that were heard of.
func TestSoftwareOfMembers(t *testing.T) {
	l := newLive(t)
	for _, step := range []struct {
		line string
		want map[string]string
	}{
		{"topic t partitions=2", map[string]string{}},
		{"set delay=0", map[string]string{}},
		{"join g v=3 software=kgo/1", map[string]string{"c-1": "kgo/1"}},
		{"pass 1s", map[string]string{"c-1": "kgo/1"}},
		{"sync g id=c-1 assign=c-1:", map[string]string{"c-1": "kgo/1"}},
		{"heartbeat g id=c-1 software=kgo/2", map[string]string{"c-1": "kgo/2"}},
		{"reload", map[string]string{"c-1": ""}},
		{"heartbeat g id=c-1 software=kgo/2", map[string]string{"c-1": "kgo/2"}},
		{"beat g id=n software=java/4", map[string]string{"c-1": "kgo/2", "n": "java/4"}},
		{"join g v=9 id=c-1 software=kgo/3", map[string]string{"c-1": "kgo/3", "n": "java/4"}},
		{"sync g id=c-1 generation=2", map[string]string{"c-1": "kgo/3", "n": "java/4"}},
		{"heartbeat g id=c-1 generation=2 software=kgo/4", map[string]string{"c-1": "kgo/4", "n": "java/4"}},
		{"heartbeat g id=c-1 generation=1 software=other/1", map[string]string{"c-1": "kgo/4", "n": "java/4"}}, // it is refused
		{"beat g id=n epoch=2 software=java/5", map[string]string{"c-1": "kgo/4", "n": "java/5"}},
		{"reload", map[string]string{"c-1": "", "n": ""}},
		{"beat g id=n epoch=2 software=java/5", map[string]string{"c-1": "", "n": "java/5"}},
		{"heartbeat g id=c-1 generation=2 software=kgo/4", map[string]string{"c-1": "kgo/4", "n": "java/5"}},
		{"beat g id=n epoch=-1", map[string]string{"c-1": "kgo/4"}},
	} {
		said := l.run(step.line)
		if diff := cmp.Diff(step.want, l.software()); diff != "" {
			t.Fatalf("after %s: -want +got\n%s\n%q", step.line, diff, said)
		}
	}
	if l.m.groups["g"].consumer != nil {
		t.Error("the group did not become a classic one again")
	}
	for i := range l.log {
		for _, word := range []string{"kgo", "java"} {
			if bytes.Contains(l.log[i].Key, []byte(word)) || bytes.Contains(l.log[i].Value, []byte(word)) {
				t.Errorf("record %d has it: %q %q", i, l.log[i].Key, l.log[i].Value)
			}
		}
	}
}

// TestSoftwareOfTheLastToDowngrade: a static member that takes the place of the group's last consumer, and makes it a classic group.
func TestSoftwareOfTheLastToDowngrade(t *testing.T) {
	l := newLive(t)
	for _, line := range []string{"topic t", "set delay=0", "beat g id=n static=s software=java/4"} {
		l.run(line)
	}
	said := l.run("join g v=9 static=s software=kgo/1")
	told := l.software()
	if len(told) != 1 || l.m.groups["g"].classic == nil {
		t.Fatalf("%v %q", told, said)
	}
	for id, software := range told {
		if software != "kgo/1" {
			t.Errorf("%s: %q", id, software)
		}
	}
}
