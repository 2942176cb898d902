package api

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/quota"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/wire"
)

// Produce, key 0, versions 3-13; the advertised minimum is 0, as in Kafka: librdkafka before 2.11.1 compresses nothing
// otherwise (KAFKA-18659).
//
// KIP-98 (idempotence), KIP-110 (zstd from version 7, else UNSUPPORTED_COMPRESSION_TYPE), KIP-467 (offending records, v8),
// KIP-516 (topic ids, v13), KIP-951 (the new leader with NOT_LEADER_OR_FOLLOWER, v10).
//
// Where we differ from Kafka 4.3.1, on purpose:
//   - A partition named twice gets both batches, in order, and two answers. Kafka drops all but the last without a word.
//   - Null records are INVALID_RECORD. Kafka fails on them inside and never answers.
//   - ErrorMessage says more than Kafka's, which is mostly null.
//   - There is no transaction coordinator yet, so a transactional batch is TRANSACTIONAL_ID_AUTHORIZATION_FAILED with a
//     transactional id, too: the code that ends every client's transactional producer at once. None gets here by itself,
//     as InitProducerId refuses transactional ids first.

// produceHandler owns the pool of Produce requests.
type produceHandler struct {
	deps *Deps
	pool sync.Pool
}

func (h *produceHandler) init(deps *Deps) {
	h.deps = deps
	h.pool.New = func() any { return &produceRequest{handler: h} }
}

// produceRequest is all state of one Produce request, pooled.
type produceRequest struct {
	gate
	handler  *produceHandler
	decoder  wire.Decoder
	req      wire.ProduceRequest
	resp     wire.ProduceResponse
	query    replication.ProduceQuery
	produced replication.Produced
	slots    slots
	failed   wire.ErrorCode // the first error of a partition
	hinted   bool           // some partition tells of another leader
}

// handle serves one request.
func (h *produceHandler) handle(r *Request) Outcome {
	p := h.pool.Get().(*produceRequest)
	if err := decode(r, &p.decoder, &p.req); err != nil {
		p.release()
		return hangup(r, err)
	}
	p.prepare()
	switch refusal := p.refusal(); {
	case refusal != wire.ErrorNone:
		p.refuseAll(r, refusal)
	default:
		p.append(r)
	}
	if ms := r.chargeBytes(quota.Produce, r.SizeBytes); ms > 0 {
		r.throttle(ms)
	}
	if p.req.Acks == 0 {
		return p.silent(r)
	}
	r.Pending = p
	if p.park(h.deps.Env, r, time.Duration(max(p.req.TimeoutMs, 0))*time.Millisecond, "produce timeout") {
		return Parked
	}
	return p.Finish(r)
}

// prepare makes the response the image of the request, with no answers in it yet.
func (p *produceRequest) prepare() {
	// Kafka answers nothing about a topic of which no partition is named.
	p.req.TopicData = slices.DeleteFunc(p.req.TopicData, func(t wire.ProduceRequestTopicProduceData) bool { return len(t.PartitionData) == 0 })
	p.resp.Default()
	p.resp.Responses = resize(p.resp.Responses, len(p.req.TopicData))
	for i := range p.req.TopicData {
		from, to := &p.req.TopicData[i], &p.resp.Responses[i]
		to.Name, to.TopicId = from.Name, from.TopicId
		to.PartitionResponses = resize(to.PartitionResponses, len(from.PartitionData))
	}
}

// refusal is the code that all partitions get without being looked at.
func (p *produceRequest) refusal() wire.ErrorCode {
	for i := range p.req.TopicData {
		for j := range p.req.TopicData[i].PartitionData {
			if transactional(p.req.TopicData[i].PartitionData[j].Records.Bytes) {
				return wire.ErrorTransactionalIDAuthorizationFailed
			}
		}
	}
	if p.req.Acks < -1 || p.req.Acks > 1 {
		return wire.ErrorInvalidRequiredAcks
	}
	return wire.ErrorNone
}

// transactional looks at the attributes of the first batch, without trusting anything else of it.
func transactional(records []byte) bool {
	const magicAt = 16
	return len(records) >= record.HeaderSize && records[magicAt] == 2 && record.Batch(records).IsTransactional()
}

// refuseAll answers every partition with the refusal. Kafka looks for topics and partitions before the acks, and for transactional
// batches before either.
func (p *produceRequest) refuseAll(r *Request, refusal wire.ErrorCode) {
	p.failed = refusal
	for i := range p.req.TopicData {
		topic := &p.req.TopicData[i]
		for j := range topic.PartitionData {
			index := topic.PartitionData[j].Index
			code := refusal
			if refusal == wire.ErrorInvalidRequiredAcks {
				if absent := p.absent(r, topic, index); absent != wire.ErrorNone {
					code = absent
				}
			}
			p.produced = replication.Produced{Error: code, BaseOffset: -1, LogAppendTimeMs: -1, LogStart: -1, Leader: ids.NoBroker, LeaderEpoch: ids.NoLeaderEpoch}
			if refusal == wire.ErrorTransactionalIDAuthorizationFailed {
				p.produced.ErrorMessage = "this broker does not serve transactions yet"
			}
			p.answer(&p.resp.Responses[i].PartitionResponses[j], index)
		}
	}
}

// absent is the code for a partition that does not exist, ErrorNone for one that does.
func (p *produceRequest) absent(r *Request, named *wire.ProduceRequestTopicProduceData, index int32) wire.ErrorCode {
	image := p.handler.deps.Cluster.Image()
	topic, ok := image.Topic(named.Name)
	if r.Version >= 13 {
		if topic, ok = image.TopicByID(topicID(named.TopicId)); !ok {
			return wire.ErrorUnknownTopicID
		}
	}
	if !ok || index < 0 || int(index) >= len(topic.Partitions) {
		return wire.ErrorUnknownTopicOrPartition
	}
	return wire.ErrorNone
}

// append hands every partition its batch, in the request's order.
func (p *produceRequest) append(r *Request) {
	p.query.Acks, p.query.ZstdAllowed = p.req.Acks, r.Version >= 7
	byID := r.Version >= 13
	for i := range p.req.TopicData {
		topic := &p.req.TopicData[i]
		p.query.Topic, p.query.TopicID = topic.Name, topicID(topic.TopicId)
		for j := range topic.PartitionData {
			part := &topic.PartitionData[j]
			s := p.slots.next(&p.gate)
			if byID && p.query.TopicID.IsZero() {
				p.produced = replication.Produced{Error: wire.ErrorUnknownTopicID, BaseOffset: -1, LogAppendTimeMs: -1, LogStart: -1, Leader: ids.NoBroker, LeaderEpoch: ids.NoLeaderEpoch}
			} else {
				p.query.Partition, p.query.Records = part.Index, part.Records.Bytes
				p.expect(1) // before the call: the waiter may fire within it
				if s.waiting = p.handler.deps.Partitions.Produce(&p.query, &p.produced, &s.waiter); s.waiting {
					r.Conn.flush = true
				} else {
					p.expect(-1)
				}
			}
			p.answer(&p.resp.Responses[i].PartitionResponses[j], part.Index)
		}
	}
	p.query.Records = nil
}

// answer writes p.produced into the response.
func (p *produceRequest) answer(to *wire.ProduceResponsePartitionProduceResponse, index int32) {
	res := &p.produced
	to.Default()
	to.Index, to.ErrorCode = index, res.Error
	to.BaseOffset, to.LogAppendTimeMs, to.LogStartOffset = int64(res.BaseOffset), res.LogAppendTimeMs, int64(res.LogStart)
	if res.Error == wire.ErrorNone {
		return
	}
	if p.failed == wire.ErrorNone {
		p.failed = res.Error
	}
	to.ErrorMessage = wire.NullString{Value: res.ErrorMessage, Valid: res.ErrorMessage != ""}
	for _, bad := range res.RecordErrors {
		to.RecordErrors = append(to.RecordErrors, wire.ProduceResponseBatchIndexAndErrorMessage{
			BatchIndex: int32(bad.Index), BatchIndexErrorMessage: wire.NullString{Value: bad.Message, Valid: bad.Message != ""}})
	}
	if res.Leader != ids.NoBroker {
		to.CurrentLeader.LeaderId, to.CurrentLeader.LeaderEpoch = int32(res.Leader), int32(res.LeaderEpoch)
		p.hinted = true
	}
}

var errAcks0 = errors.New("a Produce with acks=0 failed, and the closed connection is all that can tell the client")

// silent ends a request with acks=0: no reply, and if something failed no connection.
func (p *produceRequest) silent(r *Request) Outcome {
	failed := p.failed
	p.release()
	if failed != wire.ErrorNone {
		return hangup(r, fmt.Errorf("%w: %w", errAcks0, failed))
	}
	return Silent
}

// Finish implements Pending. Waits that did not end are REQUEST_TIMED_OUT; the records stay in the log.
func (p *produceRequest) Finish(r *Request) Outcome {
	late := p.settle()
	at := 0
	for i := range p.resp.Responses {
		parts := p.resp.Responses[i].PartitionResponses
		for j := range parts {
			if at == p.slots.used {
				break // refused as a whole
			}
			s := p.slots.all[at]
			at++
			if !s.waiting {
				continue
			}
			code, coming := s.outcome(p.handler.deps.Partitions)
			late = late || coming
			if code != wire.ErrorNone {
				parts[j].ErrorCode = code
			}
		}
	}
	if p.hinted && r.Version >= 10 {
		p.addEndpoints(r)
	}
	outcome := reply(r, &p.resp)
	if !late {
		p.release()
	}
	return outcome
}

// addEndpoints tells where the leaders are that the answers name (KIP-951).
func (p *produceRequest) addEndpoints(r *Request) {
	v := view{image: p.handler.deps.Cluster.Image(), settings: &p.handler.deps.Settings, conn: r.Conn}
	for i := range p.resp.Responses {
		for _, part := range p.resp.Responses[i].PartitionResponses {
			id := part.CurrentLeader.LeaderId
			known := func(n wire.ProduceResponseNodeEndpoint) bool { return n.NodeId == id }
			if id < 0 || slices.ContainsFunc(p.resp.NodeEndpoints, known) {
				continue
			}
			if b, ok := v.image.Broker(ids.BrokerID(id)); ok {
				if a, ok := v.address(b); ok {
					p.resp.NodeEndpoints = append(p.resp.NodeEndpoints, wire.ProduceResponseNodeEndpoint{NodeId: id, Host: a.Host, Port: a.Port, Rack: rack(b)})
				}
			}
		}
	}
}

// Cancel implements Pending.
func (p *produceRequest) Cancel() {
	late := p.settle()
	for _, s := range p.slots.all[:p.slots.used] {
		if s.waiting {
			_, coming := s.outcome(p.handler.deps.Partitions)
			late = late || coming
		}
	}
	if !late {
		p.release()
	}
}

// release puts p back, if nobody can call it any more and it is not oversized. It must not keep the connection's buffer alive.
func (p *produceRequest) release() {
	if cap(p.req.TopicData) > retainTopics || len(p.slots.all) > retainPartitions {
		return
	}
	for i := range p.req.TopicData {
		parts := p.req.TopicData[i].PartitionData
		for j := range parts {
			parts[j].Records = wire.Records{}
		}
	}
	p.query, p.produced = replication.ProduceQuery{}, replication.Produced{}
	p.slots.used, p.failed, p.hinted = 0, wire.ErrorNone, false
	p.reset()
	p.handler.pool.Put(p)
}
