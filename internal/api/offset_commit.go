package api

import (
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/wire"
)

// OffsetCommit, key 8, versions 2-10. KIP-211 (no retention of its own since v5), KIP-320 (leader epochs, v6), KIP-345 (static
// members, v7), KIP-848 (member epochs and their codes, v9; topics by id, v10).
//
// Where we differ from Kafka 4.3.1, on purpose: what a reset replaces is remembered, the last ten times of each partition. A reset is a commit of somebody who is no
// member that has the tagged field 10000 Reset, or comes from a client whose id begins with adminclient, or moves a partition back.

// commitRequest is all state of one OffsetCommit, pooled.
type commitRequest struct {
	groupCall
	decoder wire.Decoder
	from    group.Client
	req     wire.OffsetCommitRequest
	resp    wire.OffsetCommitResponse // the machine's
	outside outsideCommit
}

func (t *Table) offsetCommit(r *Request) Outcome {
	c, _ := t.commits.Get().(*commitRequest)
	if c == nil {
		c = new(commitRequest)
		c.init(t, c.decide)
		c.end = c.ended
	}
	if err := decode(r, &c.decoder, &c.req); err != nil {
		c.release()
		return hangup(r, err)
	}
	c.from = client(r)
	c.outside.begin(t, r, &c.req)
	if code := c.ask(c.req.GroupId); code != wire.ErrorNone {
		c.outside.ended(&c.req, nil, code)
		outcome := reply(r, refusedCommit(&c.req, code))
		c.release()
		return outcome
	}
	return c.await(r, c)
}

func (c *commitRequest) decide(m *group.Machine, at machine.Moment) []machine.Record {
	c.outside.look(m, &c.req)
	return m.OffsetCommit(at, c.from, &c.req, &c.resp)
}

// ended tells what became of the command, also where nobody waits for it any more.
func (c *commitRequest) ended(err error) {
	c.outside.ended(&c.req, &c.resp, groupCode(err))
	c.groupCall.ended(err)
}

// Finish implements Pending. A command that has not ended may yet happen: COORDINATOR_NOT_AVAILABLE, as in Kafka.
func (c *commitRequest) Finish(r *Request) Outcome {
	code, free := c.close()
	resp := &c.resp
	if code != wire.ErrorNone {
		resp = refusedCommit(&c.req, code)
	}
	outcome := reply(r, resp)
	if free {
		c.release()
	}
	return outcome
}

// Cancel implements Pending.
func (c *commitRequest) Cancel() {
	if _, free := c.close(); free {
		c.release()
	}
}

// retainCommits bounds the partitions of a commit that is kept: each may have a text of the client's.
const retainCommits = 1024

// release puts c back, if it is not oversized.
func (c *commitRequest) release() {
	c.outside.audit = audit{}
	all := c.req.Topics[:cap(c.req.Topics)]
	size := len(all)
	for i := range all {
		size += cap(all[i].Partitions)
	}
	if size <= retainCommits {
		c.recycle(&c.table.commits, c)
	}
}

func refusedCommit(req *wire.OffsetCommitRequest, code wire.ErrorCode) *wire.OffsetCommitResponse {
	resp := &wire.OffsetCommitResponse{Topics: make([]wire.OffsetCommitResponseTopic, len(req.Topics))}
	for i := range req.Topics {
		from, to := &req.Topics[i], &resp.Topics[i]
		to.Name, to.TopicId, to.Partitions = from.Name, from.TopicId, make([]wire.OffsetCommitResponsePartition, len(from.Partitions))
		for k := range from.Partitions {
			to.Partitions[k] = wire.OffsetCommitResponsePartition{PartitionIndex: from.Partitions[k].PartitionIndex, ErrorCode: code}
		}
	}
	return resp
}
