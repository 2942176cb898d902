package api

import (
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/wire"
)

// DescribeProducers, key 61, version 0. KIP-664: who writes to a partition with a producer id, for finding hanging transactions.

// describedProducers bounds one answer: a log remembers each producer for producer.id.expiration.ms, and may so know a million of them.
const describedProducers = 100_000

func (t *Table) describeProducers(r *Request) Outcome {
	var (
		d    wire.Decoder
		req  wire.DescribeProducersRequest
		resp wire.DescribeProducersResponse
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	resp.Default()
	image := t.deps.Cluster.Image()
	left := describedProducers
	for i := range req.Topics {
		name := req.Topics[i].Name
		to := wire.DescribeProducersResponseTopicResponse{Name: name}
		refusal := topicNameProblem(name)
		code := wire.ErrorInvalidTopicException
		if refusal == "" {
			if _, ok := image.Topic(name); !ok {
				code, refusal = wire.ErrorUnknownTopicOrPartition, wire.ErrorUnknownTopicOrPartition.Message()
			}
		}
		for _, index := range req.Topics[i].PartitionIndexes {
			p := wire.DescribeProducersResponsePartitionResponse{PartitionIndex: index}
			if refusal != "" {
				p.ErrorCode, p.ErrorMessage = code, wire.SomeString(refusal)
				to.Partitions = append(to.Partitions, p)
				continue
			}
			producers, code := t.deps.Logs.Producers(&replication.Target{Topic: name, Partition: index})
			if p.ErrorCode = code; len(producers) > left {
				p.ErrorCode = wire.ErrorInvalidRequest
				p.ErrorMessage = wire.SomeString("There are too many producers for one answer; ask for fewer partitions at once.")
				producers = nil
			}
			left -= len(producers)
			p.ActiveProducers = producerStates(producers)
			to.Partitions = append(to.Partitions, p)
		}
		resp.Topics = append(resp.Topics, to)
	}
	return reply(r, &resp)
}

func producerStates(from []producerstate.Producer) []wire.DescribeProducersResponseProducerState {
	to := make([]wire.DescribeProducersResponseProducerState, len(from))
	for i := range from {
		p := &from[i]
		to[i] = wire.DescribeProducersResponseProducerState{ProducerId: int64(p.ID), ProducerEpoch: int32(p.Epoch), LastSequence: p.LastSequence,
			LastTimestamp: p.LastTimestampMs, CoordinatorEpoch: p.CoordinatorEpoch, CurrentTxnStartOffset: int64(p.TxnFirstOffset)}
	}
	return to
}
