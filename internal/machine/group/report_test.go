package group

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/wire"
)

// TestForgettingIsCutUp: a topic with very many committed offsets is forgotten in several commands, each of which keeps its bound.
func TestForgettingIsCutUp(t *testing.T) {
	l := newLive(t)
	l.create("t", 1000)
	const groups = 25
	for g := range groups {
		req := &wire.OffsetCommitRequest{GroupId: fmt.Sprint("g", g), GenerationIdOrMemberEpoch: -1, RetentionTimeMs: -1, Topics: []wire.OffsetCommitRequestTopic{{Name: "t"}}}
		for p := range int32(1000) {
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, wire.OffsetCommitRequestPartition{PartitionIndex: p})
		}
		records, _ := l.offsetCommit(Client{Version: 8}, req)
		l.commit(records)
	}
	topic, _ := l.image.Topic("t")
	l.changeImage([]wire.MetadataRecord{&wire.RemoveTopicRecord{TopicId: wire.UUID(topic.ID)}})
	calls := 0
	l.forget(func() ([]machine.Record, bool) {
		calls++
		records, more := l.m.TopicsDeleted(map[string]ids.TopicID{"t": topic.ID})
		if len(records) > maxForgotten {
			t.Errorf("%d offsets at once", len(records))
		}
		return records, more
	})
	if s := l.m.Stats(); s.Offsets != 0 || calls != 3 {
		t.Errorf("%d offsets left after %d calls", s.Offsets, calls)
	}
}

// TestReportIsBounded: the first groups by name are told of, as far as their offsets fit the limit; the rest is counted.
func TestReportIsBounded(t *testing.T) {
	l := newLive(t)
	l.create("t", 3)
	for _, name := range []string{"c", "a", "b"} {
		req := &wire.OffsetCommitRequest{GroupId: name, GenerationIdOrMemberEpoch: -1, RetentionTimeMs: -1, Topics: []wire.OffsetCommitRequestTopic{{Name: "t"}}}
		for p := range int32(3) {
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, wire.OffsetCommitRequestPartition{PartitionIndex: p, CommittedOffset: int64(10 + p)})
		}
		records, _ := l.offsetCommit(Client{Version: 8}, req)
		l.commit(records)
	}
	read := []Position{{"t", 0, 10}, {"t", 1, 11}, {"t", 2, 12}}
	all := []Report{{"a", "Empty", 0, read}, {"b", "Empty", 0, read}, {"c", "Empty", 0, read}}
	for limit, want := range map[int]int{0: 0, 2: 0, 3: 1, 8: 2, 9: 3, 100: 3} {
		got, omitted := l.m.Report(limit)
		if diff := cmp.Diff(fmt.Sprint(all[:want]), fmt.Sprint(got)); diff != "" || omitted != 3-want {
			t.Errorf("limit %d: %d omitted, want %d\n%s", limit, omitted, 3-want, diff)
		}
	}
}
