package api

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

func newDeleteRecords(timeoutMs int32, parts ...fetchPart) *wire.DeleteRecordsRequest {
	req := &wire.DeleteRecordsRequest{TimeoutMs: timeoutMs}
	for _, p := range parts {
		req.Topics = append(req.Topics, wire.DeleteRecordsRequestDeleteRecordsTopic{Name: p.topic,
			Partitions: []wire.DeleteRecordsRequestDeleteRecordsPartition{{PartitionIndex: p.partition, Offset: p.offset}}})
	}
	return req
}

// deletedPart is one partition of an answer.
type deletedPart struct {
	Topic        string
	Partition    int32
	LowWatermark int64
	Error        wire.ErrorCode
}

func deletedParts(resp *wire.DeleteRecordsResponse) (out []deletedPart) {
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			out = append(out, deletedPart{t.Name, p.PartitionIndex, p.LowWatermark, p.ErrorCode})
		}
	}
	return out
}

// TestDeleteRecords: each partition is asked for and answered once, the last of several offsets counts, and errors have no low watermark.
func TestDeleteRecords(t *testing.T) {
	for version := int16(0); version <= 2; version++ {
		g := newRig(t, run.OS())
		g.partitions.fail("b", 0, wire.ErrorPolicyViolation)
		req := newDeleteRecords(0, fetchPart{"a", 0, 7}, fetchPart{"b", 0, 1}, fetchPart{"a", 1, -1}, fetchPart{"nope", 0, 3}, fetchPart{"a", 0, 5})
		var resp wire.DeleteRecordsResponse
		g.do(wire.DeleteRecordsKey, version, req, &resp)
		want := []deletedPart{{"a", 0, 5, 0}, {"a", 1, -1, 0}, {"b", 0, -1, 44}, {"nope", 0, -1, 3}}
		if diff := cmp.Diff(want, deletedParts(&resp)); diff != "" {
			t.Errorf("version %d: %s", version, diff)
		}
		if len(resp.Topics) != 3 || len(g.partitions.deletions) != 4 || g.partitions.deletions[2].Before != replication.HighWatermark {
			t.Errorf("version %d: %d topics in the answer, asked %+v", version, len(resp.Topics), g.partitions.deletions)
		}
	}
}

// TestDeleteRecordsTimeout: the disk has at least flushWait, and what is not done then is REQUEST_TIMED_OUT.
func TestDeleteRecordsTimeout(t *testing.T) {
	for timeoutMs, limit := range map[int32]time.Duration{0: flushWait, -1: flushWait, 9000: 9 * time.Second} {
		for _, late := range []bool{false, true} {
			simulated(t, 1, func(env run.Env) {
				g := newRig(t, env)
				took := limit - time.Millisecond
				want := deletedPart{"a", 0, 3, 0}
				if late {
					took = limit + time.Second
					want = deletedPart{"a", 0, -1, wire.ErrorRequestTimedOut}
				}
				g.partitions.slowly = func(done func()) { env.AfterFunc(took, "slow disk", done) }
				c := g.start(wire.DeleteRecordsKey, 2, newDeleteRecords(timeoutMs, fetchPart{"a", 0, 3}))
				if c.outcome != Parked {
					t.Fatalf("outcome %d", c.outcome)
				}
				var resp wire.DeleteRecordsResponse
				c.reply(&resp)
				if diff := cmp.Diff([]deletedPart{want}, deletedParts(&resp)); diff != "" || env.Monotonic() != min(took, limit) {
					t.Errorf("timeout %d after %v: %s", timeoutMs, env.Monotonic(), diff)
				}
			})
		}
	}
}
