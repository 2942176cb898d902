package group

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/wire"
)

// TestReportIsBounded: the first groups by name are told of, as far as their offsets fit the limit; the rest is counted.
func TestReportIsBounded(t *testing.T) {
	l := newLive(t)
	l.create("t", 3)
	for _, name := range []string{"c", "a", "b"} {
		req := &wire.OffsetCommitRequest{GroupId: name, GenerationIdOrMemberEpoch: -1, RetentionTimeMs: -1, Topics: []wire.OffsetCommitRequestTopic{{Name: "t"}}}
		for p := range int32(3) {
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, wire.OffsetCommitRequestPartition{PartitionIndex: p, CommittedOffset: int64(10 + p)})
		}
		records, _ := l.m.OffsetCommit(l.at, Client{Version: 8}, req)
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
