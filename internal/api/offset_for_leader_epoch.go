package api

import (
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/wire"
)

// OffsetForLeaderEpoch, key 23, versions 2-4. KIP-101, KIP-279, KIP-320 (the client's own epoch is fenced). The replica id
// (v3) is ignored.

func (t *Table) offsetForLeaderEpoch(r *Request) Outcome {
	var (
		d    wire.Decoder
		req  wire.OffsetForLeaderEpochRequest
		resp wire.OffsetForLeaderEpochResponse
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	resp.Default()
	resp.Topics = make([]wire.OffsetForLeaderEpochResponseOffsetForLeaderTopicResult, len(req.Topics))
	for i := range req.Topics {
		topic := &req.Topics[i]
		resp.Topics[i].Topic = topic.Topic
		resp.Topics[i].Partitions = make([]wire.OffsetForLeaderEpochResponseEpochEndOffset, len(topic.Partitions))
		for j := range topic.Partitions {
			part, to := &topic.Partitions[j], &resp.Topics[i].Partitions[j]
			query := replication.EpochQuery{
				Target:             replication.Target{Topic: topic.Topic, Partition: part.Partition},
				CurrentLeaderEpoch: ids.LeaderEpoch(part.CurrentLeaderEpoch), LeaderEpoch: ids.LeaderEpoch(part.LeaderEpoch),
			}
			var end replication.EpochEnd
			t.deps.Offsets.EpochEnd(&query, &end)
			to.Default()
			to.Partition, to.ErrorCode = part.Partition, end.Error
			if end.Error == wire.ErrorNone {
				to.LeaderEpoch, to.EndOffset = int32(end.LeaderEpoch), int64(end.EndOffset)
			}
		}
	}
	return reply(r, &resp)
}
