package api

import (
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/wire"
)

// DeleteRecords, key 21, versions 0-2. KIP-107. A topic named twice is answered once, and of a partition named twice the last offset
// counts. Offset -1 is the high watermark; one above it, or below -1, is OFFSET_OUT_OF_RANGE, one below the log start changes nothing.
// Where cleanup.policy is compact alone a partition is POLICY_VIOLATION, one of an internal topic INVALID_TOPIC_EXCEPTION.
//
// Where we differ from Kafka 4.3.1, on purpose: topics and partitions come in the request's order (Kafka's come from a hash). The
// new log start is on disk when it is acknowledged (Kafka writes it within a minute), and the bytes of whole segments below it
// are freed at once (Kafka: at the next check of retention, and never those of the active segment). Records that were appended
// and wait for nothing but a flush are waited for, so that who wrote with acks=1 may delete what he wrote. The timeout is therefore at least 5 s; in Kafka it is for
// followers alone.

func (t *Table) deleteRecords(r *Request) Outcome {
	c := new(deleteRecordsRequest)
	var d wire.Decoder
	var req wire.DeleteRecordsRequest
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	c.resp.Default()
	c.list(&req)
	a := t.audit(r)
	starts := t.logStarts(a, c.queries)
	c.expect(1)
	t.deps.Deletions.DeleteRecords(c.queries, func(results []replication.Deleted) {
		a.recordsDeleted(c.queries, starts, results)
		c.arrive(func() { c.results = results })
	})
	r.Pending = c
	if c.park(t.deps.Env, r, max(time.Duration(req.TimeoutMs)*time.Millisecond, flushWait), "DeleteRecords timeout") {
		return Parked
	}
	return c.Finish(r)
}

// deleteRecordsRequest is the state of one DeleteRecords request.
type deleteRecordsRequest struct {
	gate
	queries []replication.DeletionQuery // not changed once they were asked
	// answers are where the outcomes of the queries go in resp.
	answers []deleteRecordsAnswer
	results []replication.Deleted // guarded by the gate's lock
	resp    wire.DeleteRecordsResponse
}

type deleteRecordsAnswer struct{ topic, partition int }

// list makes a query, and room for its answer, of each partition named.
func (c *deleteRecordsRequest) list(req *wire.DeleteRecordsRequest) {
	topics := make(map[string]int, len(req.Topics))        // indexes in the response
	named := make(map[ids.TopicPartition]int, len(topics)) // indexes of the queries
	for i := range req.Topics {
		topic := &req.Topics[i]
		for j := range topic.Partitions {
			name := ids.TopicPartition{Topic: topic.Name, Partition: topic.Partitions[j].PartitionIndex}
			before := ids.Offset(topic.Partitions[j].Offset)
			if at, ok := named[name]; ok {
				c.queries[at].Before = before
				continue
			}
			at, ok := topics[topic.Name]
			if !ok {
				at = len(c.resp.Topics)
				topics[topic.Name] = at
				c.resp.Topics = append(c.resp.Topics, wire.DeleteRecordsResponseDeleteRecordsTopicResult{Name: topic.Name})
			}
			named[name] = len(c.queries)
			c.queries = append(c.queries, replication.DeletionQuery{Target: replication.Target{Topic: name.Topic, Partition: name.Partition}, Before: before})
			c.answers = append(c.answers, deleteRecordsAnswer{at, len(c.resp.Topics[at].Partitions)})
			c.resp.Topics[at].Partitions = append(c.resp.Topics[at].Partitions, wire.DeleteRecordsResponseDeleteRecordsPartitionResult{
				PartitionIndex: name.Partition, LowWatermark: -1, ErrorCode: wire.ErrorRequestTimedOut})
		}
	}
}

// Finish implements Pending. What is not done in time is REQUEST_TIMED_OUT; it may yet happen.
func (c *deleteRecordsRequest) Finish(r *Request) Outcome {
	c.settle()
	c.mu.Lock()
	results := c.results
	c.mu.Unlock()
	for i := range results {
		to := &c.resp.Topics[c.answers[i].topic].Partitions[c.answers[i].partition]
		to.LowWatermark, to.ErrorCode = int64(results[i].LowWatermark), results[i].Error
	}
	return reply(r, &c.resp)
}

// Cancel implements Pending.
func (c *deleteRecordsRequest) Cancel() { c.settle() }
