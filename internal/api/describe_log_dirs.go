package api

import (
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/wire"
)

// DescribeLogDirs, key 35, versions 1-5. KIP-113, KIP-827 (space, v4), KIP-1066 (cordoned, v5; no directory can be cordoned yet). A directory
// that failed is KAFKA_STORAGE_ERROR and tells nothing of its logs; topics and partitions that are not here are left out. The copy of a log that moves to a
// directory is a future one there (KIP-113), with the offsets that it has not yet as its lag; all others have none.

func (t *Table) describeLogDirs(r *Request) Outcome {
	var (
		d    wire.Decoder
		req  wire.DescribeLogDirsRequest
		resp wire.DescribeLogDirsResponse
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	resp.Default()
	var wanted map[ids.TopicPartition]bool // nil: all
	if req.Topics != nil {
		wanted = make(map[ids.TopicPartition]bool)
		for i := range req.Topics {
			for _, p := range req.Topics[i].Partitions {
				wanted[ids.TopicPartition{Topic: req.Topics[i].Topic, Partition: p}] = true
			}
		}
	}
	for _, dir := range t.deps.Logs.Directories() {
		result := wire.DescribeLogDirsResponseDescribeLogDirsResult{LogDir: dir.Path, TotalBytes: dir.TotalBytes, UsableBytes: dir.UsableBytes}
		if dir.Offline != nil {
			result.ErrorCode = wire.ErrorKafkaStorageError
			resp.Results = append(resp.Results, result)
			continue
		}
		for _, log := range dir.Logs {
			if wanted != nil && !wanted[log.Name] {
				continue
			}
			at := len(result.Topics) - 1
			if at < 0 || result.Topics[at].Name != log.Name.Topic {
				result.Topics = append(result.Topics, wire.DescribeLogDirsResponseDescribeLogDirsTopic{Name: log.Name.Topic})
				at++
			}
			result.Topics[at].Partitions = append(result.Topics[at].Partitions, wire.DescribeLogDirsResponseDescribeLogDirsPartition{
				PartitionIndex: log.Name.Partition, PartitionSize: log.Bytes, OffsetLag: log.Lag, IsFutureKey: log.Future})
		}
		resp.Results = append(resp.Results, result)
	}
	return reply(r, &resp)
}
