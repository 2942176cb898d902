package api

import (
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/quota"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/wire"
)

// noRecords is an empty record set: Kafka never answers null.
var noRecords = []byte{}

// answer replies with the last look and lets go of everything else.
func (f *fetchRequest) answer(r *Request) Outcome {
	f.resp.Default()
	if f.session != nil && (f.full || len(f.session.entries) > 0) {
		f.resp.SessionId = f.session.id
	}
	hinted := false
	for i := range f.results {
		res := &f.results[i]
		if f.full || f.tells(res) {
			f.add(res)
			hinted = hinted || res.Leader != ids.NoBroker
		}
	}
	if hinted && r.Version >= 16 {
		f.addEndpoints(r)
	}
	mark := r.Reply.Mark()
	outcome := reply(r, &f.resp)
	if outcome == Replied && f.overQuota(r, r.Reply.SizeFrom(mark)) {
		return f.answerThrottled(r, mark)
	}
	f.handOver()
	if f.session != nil {
		f.settle()
	}
	f.cleanUp()
	return outcome
}

// overQuota counts the answer, and reports whether its client is over a quota and must do without it (KIP-219).
func (f *fetchRequest) overQuota(r *Request, bytes int) bool {
	if r.meter.quotas == nil {
		return false
	}
	ms := r.chargeBytes(quota.Fetch, bytes)
	if ms > 0 {
		r.throttle(ms)
	}
	if r.meter.throttleMs == 0 {
		return false
	}
	r.refundBytes(quota.Fetch, bytes)
	return true
}

// answerThrottled replies with no partition instead of with what was found, which stays new to the client. A new session is not begun.
func (f *fetchRequest) answerThrottled(r *Request, mark wire.Mark) Outcome {
	r.Reply.Rewind(mark)
	f.forgetRegions()
	f.drop()
	f.resp.Default()
	if f.session != nil {
		if f.full {
			f.handler.sessions.end(f.session.id)
		} else {
			f.resp.SessionId = f.session.id
		}
	}
	outcome := reply(r, &f.resp)
	f.cleanUp()
	return outcome
}

// tells reports whether an incremental answer must mention the partition (KIP-227).
func (f *fetchRequest) tells(res *fetchResult) bool {
	return res.Region != nil || res.Error != wire.ErrorNone || res.DivergingEnd >= 0 ||
		res.HighWatermark != res.entry.toldHighWatermark || res.LogStart != res.entry.toldLogStart
}

// add appends one partition to the response. Neighbours of one topic share its entry.
func (f *fetchRequest) add(res *fetchResult) {
	q, topics := &res.entry.query, f.resp.Responses
	if n := len(topics); n == 0 || topics[n-1].Topic != q.Topic || topics[n-1].TopicId != wire.UUID(q.TopicID) {
		topics = resize(topics, n+1)
		topics[n].Topic, topics[n].TopicId = q.Topic, wire.UUID(q.TopicID)
		topics[n].Partitions = topics[n].Partitions[:0]
		f.resp.Responses = topics
	}
	topic := &topics[len(topics)-1]
	n := len(topic.Partitions)
	topic.Partitions = resize(topic.Partitions, n+1)
	fillPartition(&topic.Partitions[n], q, &res.Fetched)
}

func fillPartition(to *wire.FetchResponsePartitionData, q *replication.FetchQuery, res *replication.Fetched) {
	aborted := to.AbortedTransactions
	to.Default()
	to.PartitionIndex, to.ErrorCode = q.Partition, res.Error
	to.HighWatermark, to.LastStableOffset, to.LogStartOffset = -1, -1, -1
	to.Records = wire.Records{Bytes: noRecords}
	to.AbortedTransactions = nil
	switch {
	case absentPartition(res.Error):
		to.AbortedTransactions = resize(aborted, 0) // Kafka's default, as it does not look further
	case q.ReadCommitted && res.Error == wire.ErrorNone:
		to.AbortedTransactions = resize(aborted, len(res.Aborted))
		for i, a := range res.Aborted {
			to.AbortedTransactions[i] = wire.FetchResponseAbortedTransaction{ProducerId: int64(a.ProducerID), FirstOffset: int64(a.FirstOffset)}
		}
	}
	if res.Leader != ids.NoBroker {
		to.CurrentLeader.LeaderId, to.CurrentLeader.LeaderEpoch = int32(res.Leader), int32(res.LeaderEpoch)
	}
	if res.Error != wire.ErrorNone {
		return
	}
	to.HighWatermark, to.LastStableOffset, to.LogStartOffset = int64(res.HighWatermark), int64(res.LastStable), int64(res.LogStart)
	if res.DivergingEnd >= 0 {
		to.DivergingEpoch.Epoch, to.DivergingEpoch.EndOffset = int32(res.DivergingEpoch), int64(res.DivergingEnd)
	}
	if res.Region != nil {
		to.Records.Region = res.Region
	}
}

// absentPartition reports whether a code says that there is no such partition.
func absentPartition(code wire.ErrorCode) bool {
	return code == wire.ErrorUnknownTopicOrPartition || code == wire.ErrorUnknownTopicID || code == wire.ErrorInconsistentTopicID
}

// refuseAll answers the request as a whole, as Kafka does where it fails inside: before version 13 with the code at each partition, too.
func (f *fetchRequest) refuseAll(version int16, code wire.ErrorCode) {
	f.resp.Default()
	f.resp.ErrorCode, f.resp.SessionId = code, f.req.SessionId
	if version >= 13 {
		return
	}
	for i := range f.req.Topics {
		from := &f.req.Topics[i]
		topic := wire.FetchResponseFetchableTopicResponse{Topic: from.Topic, Partitions: make([]wire.FetchResponsePartitionData, len(from.Partitions))}
		for j := range from.Partitions {
			to := &topic.Partitions[j]
			to.Default()
			to.PartitionIndex, to.ErrorCode = from.Partitions[j].Partition, code
			to.HighWatermark, to.LastStableOffset, to.LogStartOffset = -1, -1, -1
			to.AbortedTransactions, to.Records = []wire.FetchResponseAbortedTransaction{}, wire.Records{Bytes: noRecords}
		}
		f.resp.Responses = append(f.resp.Responses, topic)
	}
}

// handOver forgets the regions, which the reply owns now.
func (f *fetchRequest) handOver() {
	for i := range f.results {
		f.results[i].hadRegion = f.results[i].Region != nil
		f.results[i].Region = nil
	}
	f.forgetRegions()
}

// forgetRegions takes the regions out of the response, which is kept for reuse.
func (f *fetchRequest) forgetRegions() {
	for i := range f.resp.Responses {
		parts := f.resp.Responses[i].Partitions
		for j := range parts {
			parts[j].Records.Region = nil
		}
	}
}

// settle remembers what the session's client knows now, and decides where each partition stands for the next request.
func (f *fetchRequest) settle() {
	for i := range f.results {
		res, e := &f.results[i], f.results[i].entry
		if res.Error != wire.ErrorNone || res.DivergingEnd >= 0 {
			e.toldHighWatermark, e.toldLogStart = -1, -1
			continue // dirty: the client is told again
		}
		e.toldHighWatermark, e.toldLogStart = res.HighWatermark, res.LogStart
		switch {
		case res.hadRegion:
			f.set.dirty.remove(e)
			f.set.dirty.pushBack(e)
		case f.set.watch(e, &res.Fetched, f.handler.deps.Partitions):
			f.set.dirty.remove(e)
		}
	}
}

// addEndpoints tells where the leaders are that the answers name (KIP-951).
func (f *fetchRequest) addEndpoints(r *Request) {
	v := view{image: f.handler.deps.Cluster.Image(), settings: &f.handler.deps.Settings, conn: r.Conn}
	for i := range f.results {
		id := f.results[i].Leader
		known := func(n wire.FetchResponseNodeEndpoint) bool { return n.NodeId == int32(id) }
		if id == ids.NoBroker || slices.ContainsFunc(f.resp.NodeEndpoints, known) {
			continue
		}
		if b, ok := v.image.Broker(id); ok {
			if a, ok := v.address(b); ok {
				f.resp.NodeEndpoints = append(f.resp.NodeEndpoints, wire.FetchResponseNodeEndpoint{NodeId: int32(id), Host: a.Host, Port: a.Port, Rack: rack(b)})
			}
		}
	}
}
