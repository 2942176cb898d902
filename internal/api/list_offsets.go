package api

import (
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/wire"
)

// ListOffsets, key 2, versions 1-11. KIP-79 (by timestamp), KIP-98 (isolation, v2), KIP-320 (leader epochs, v4), KIP-734
// (-3, v7), KIP-405 (-4, v8), KIP-1005 (-5, v9), KIP-1075 (timeout, v10), KIP-1023 (-6, v11). A negative timestamp that the
// version does not know is UNSUPPORTED_VERSION, a partition named twice INVALID_REQUEST, once, and an isolation level that does not
// exist UNKNOWN_SERVER_ERROR for all. A topic named twice is answered once, one without partitions not at all.
//
// Without tiered storage the local log is the whole log: -4 answers as -2, and -5 and -6 find nothing (-1).
//
// Where we differ from Kafka 4.3.1, on purpose: while records that were appended wait for nothing but a flush, the reply
// waits for it, so that who wrote with acks=1 finds the end behind his records, as he would in Kafka. The
// replica id is ignored: nobody sees past the high watermark. And -3 never names a record that was deleted.

// flushWait bounds that wait. The request's timeout does not: it is for reads of tiered storage.
const flushWait = 5 * time.Second

func (t *Table) listOffsets(r *Request) Outcome {
	l := &listOffsetsRequest{offsets: t.deps.Offsets, partitions: t.deps.Partitions}
	var d wire.Decoder
	if err := decode(r, &d, &l.req); err != nil {
		return hangup(r, err)
	}
	l.ask(r.Version)
	r.Pending = l
	if l.park(t.deps.Env, r, flushWait, "ListOffsets flush") {
		return Parked
	}
	return l.Finish(r)
}

// listOffsetsRequest is the state of one ListOffsets request.
type listOffsetsRequest struct {
	gate
	offsets    Offsets
	partitions Partitions
	req        wire.ListOffsetsRequest
	resp       wire.ListOffsetsResponse
	waits      []listOffsetsWait
}

// listOffsetsWait is one partition that is asked again when its records are on disk.
type listOffsetsWait struct {
	slot *slot
	part listOffsetsPart
}

// listOffsetsPart is where a partition stands in the request, and where its answer goes.
type listOffsetsPart struct {
	topic, partition int // indexes in the request
	toTopic, to      int // indexes in the response
}

func (l *listOffsetsRequest) ask(version int16) {
	l.resp.Default()
	named := map[ids.TopicPartition]int{}
	total := map[string]int{} // partitions that a topic is answered with at most
	for i := range l.req.Topics {
		topic := &l.req.Topics[i]
		total[topic.Name] += len(topic.Partitions)
		for j := range topic.Partitions {
			named[ids.TopicPartition{Topic: topic.Name, Partition: topic.Partitions[j].PartitionIndex}]++
		}
	}
	known := l.req.IsolationLevel == readUncommitted || l.req.IsolationLevel == readCommitted
	answered := make(map[string]int, len(total)) // indexes in the response
	l.resp.Topics = make([]wire.ListOffsetsResponseListOffsetsTopicResponse, 0, len(total))
	for i := range l.req.Topics {
		topic := &l.req.Topics[i]
		at, ok := answered[topic.Name]
		if !ok && len(topic.Partitions) > 0 {
			at = len(l.resp.Topics)
			answered[topic.Name] = at
			l.resp.Topics = append(l.resp.Topics, wire.ListOffsetsResponseListOffsetsTopicResponse{Name: topic.Name,
				Partitions: make([]wire.ListOffsetsResponseListOffsetsPartitionResponse, 0, total[topic.Name])})
		}
		for j := range topic.Partitions {
			part := &topic.Partitions[j]
			name := ids.TopicPartition{Topic: topic.Name, Partition: part.PartitionIndex}
			times := named[name]
			if times == 0 {
				continue // answered already
			}
			to := l.add(at, part.PartitionIndex)
			switch {
			case !known:
				to.ErrorCode = wire.ErrorUnknownServerError
			case times > 1:
				to.ErrorCode = wire.ErrorInvalidRequest
				named[name] = 0
			case !knownTimestamp(part.Timestamp, version):
				to.ErrorCode = wire.ErrorUnsupportedVersion
			default:
				l.begin(listOffsetsPart{i, j, at, len(l.resp.Topics[at].Partitions) - 1})
			}
		}
	}
}

// add makes room for an answer.
func (l *listOffsetsRequest) add(topic int, partition int32) *wire.ListOffsetsResponseListOffsetsPartitionResponse {
	all := &l.resp.Topics[topic].Partitions
	*all = append(*all, wire.ListOffsetsResponseListOffsetsPartitionResponse{})
	to := &(*all)[len(*all)-1]
	to.Default()
	to.PartitionIndex = partition
	return to
}

// begin asks one partition, and remembers it if it waits for a flush.
func (l *listOffsetsRequest) begin(part listOffsetsPart) {
	s := &slot{gate: &l.gate}
	s.waiter.Owner = s
	l.expect(1) // before the call: the waiter may fire within it
	if l.look(part, &s.waiter) {
		l.waits = append(l.waits, listOffsetsWait{s, part})
	} else {
		l.expect(-1)
	}
}

// look asks one partition and writes the answer, unless it registered w.
func (l *listOffsetsRequest) look(at listOffsetsPart, w *replication.Waiter) (waiting bool) {
	part, to := &l.req.Topics[at.topic].Partitions[at.partition], &l.resp.Topics[at.toTopic].Partitions[at.to]
	query := replication.OffsetQuery{
		Target:             replication.Target{Topic: l.req.Topics[at.topic].Name, Partition: part.PartitionIndex},
		CurrentLeaderEpoch: ids.LeaderEpoch(part.CurrentLeaderEpoch), TimestampMs: part.Timestamp,
		ReadCommitted: l.req.IsolationLevel == readCommitted,
	}
	var found replication.FoundOffset
	if l.offsets.ListOffset(&query, &found, w) {
		return true
	}
	to.ErrorCode = found.Error
	if found.Error == wire.ErrorNone {
		to.Offset, to.Timestamp, to.LeaderEpoch = int64(found.Offset), found.TimestampMs, int32(found.LeaderEpoch)
	}
	return false
}

// knownTimestamp reports whether a version knows the meaning of a negative timestamp.
func knownTimestamp(ms int64, version int16) bool {
	switch ms {
	case replication.MaxTimestamp:
		return version >= 7
	case replication.EarliestLocalTimestamp:
		return version >= 8
	case replication.LatestTieredTimestamp:
		return version >= 9
	case replication.EarliestPendingTimestamp:
		return version >= 11
	}
	return ms >= replication.EarliestTimestamp
}

// Finish implements Pending. What a flush that did not end in time would have added is not seen.
func (l *listOffsetsRequest) Finish(r *Request) Outcome {
	l.end()
	for _, w := range l.waits {
		l.look(w.part, nil)
	}
	return reply(r, &l.resp)
}

// Cancel implements Pending.
func (l *listOffsetsRequest) Cancel() { l.end() }

func (l *listOffsetsRequest) end() {
	l.settle()
	for _, w := range l.waits {
		w.slot.outcome(l.partitions)
	}
}
