package api

import (
	"strconv"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/wire"
)

// groupStates are what groups have before they are deleted: their offsets, which is what is lost. nil for groups that are not there.
func groupStates(m *group.Machine, names []string) []State {
	states := make([]State, len(names))
	for i, name := range names[:min(len(names), mostChanges)] {
		if offsets, ok := m.Positions(name); ok {
			states[i] = offsetState(offsets)
		}
	}
	return states
}

// groupsDeleted tells about DeleteGroups: what one coordinator did, or that none was found.
func (a *audit) groupsDeleted(names []string, had []State, deleted []wire.DeleteGroupsResponseDeletableGroupResult, code wire.ErrorCode) {
	if a == nil {
		return
	}
	a = a.again()
	for i, name := range names {
		c := Change{Kind: "group", Name: name, Error: code}
		if code == wire.ErrorNone {
			c.Before, c.Error = had[i], deleted[i].ErrorCode
		}
		a.add(c)
	}
	a.tell()
}

// groupOffsets tells about offsets of one group that were changed from outside: of the partitions in request order.
func (a *audit) groupOffsets(name string, before, after []group.Position, code wire.ErrorCode) {
	c := Change{Kind: "group", Name: name, Before: offsetState(before), Error: code}
	if code == wire.ErrorNone {
		c.After = offsetState(after)
	}
	a.add(c)
	a.tell()
}

// outsideCommit watches a commit of somebody who is no member: an administrator who sets offsets, or a program that assigns itself
// partitions and commits all the time. So the first one of a connection and group is told, and those that go back. It lies in a request that is pooled,
// and costs no memory where there is nothing to tell.
type outsideCommit struct {
	watching bool
	first    bool
	audit    audit
	wanted   []group.Position // what the request asks for
	before   []group.Position // where the group stood, of the same partitions in the same order; not all of them have an offset
}

func (o *outsideCommit) begin(t *Table, r *Request, req *wire.OffsetCommitRequest) {
	o.watching = t.deps.Audit != nil && req.MemberId == "" && req.GenerationIdOrMemberEpoch < 0
	if !o.watching {
		return
	}
	o.audit.begin(t, r)
	o.first = r.Conn.outsider != req.GroupId
	r.Conn.outsider = req.GroupId
	o.wanted, o.before = o.wanted[:0], o.before[:0]
	for i := range req.Topics {
		topic := &req.Topics[i]
		name := topic.Name
		if known, ok := o.audit.before.TopicByID(topicID(topic.TopicId)); ok {
			name = known.Name
		}
		for k := range topic.Partitions {
			p := &topic.Partitions[k]
			o.wanted = append(o.wanted, group.Position{Topic: name, Partition: p.PartitionIndex, Offset: ids.Offset(p.CommittedOffset)})
		}
	}
}

// look notes where the group stands. On the machine's goroutine, before it decides.
func (o *outsideCommit) look(m *group.Machine, req *wire.OffsetCommitRequest) {
	if o.watching {
		o.before = m.Committed(req.GroupId, o.wanted, o.before)
	}
}

// back tells whether some partition would be read again.
func (o *outsideCommit) back() bool {
	before := o.before
	for _, now := range o.wanted {
		if len(before) == 0 {
			return false
		}
		if was := before[0]; was.Topic == now.Topic && was.Partition == now.Partition {
			if now.Offset < was.Offset {
				return true
			}
			before = before[1:]
		}
	}
	return false
}

// ended tells of the commit if it is news. resp counts only if code is ErrorNone.
func (o *outsideCommit) ended(req *wire.OffsetCommitRequest, resp *wire.OffsetCommitResponse, code wire.ErrorCode) {
	if !o.watching || !o.first && !o.back() {
		return
	}
	if code == wire.ErrorNone {
		code = firstCommitError(resp)
	}
	o.audit.groupOffsets(req.GroupId, o.before, o.wanted, code)
}

func firstCommitError(resp *wire.OffsetCommitResponse) wire.ErrorCode {
	for i := range resp.Topics {
		for _, p := range resp.Topics[i].Partitions {
			if p.ErrorCode != wire.ErrorNone {
				return p.ErrorCode
			}
		}
	}
	return wire.ErrorNone
}

// deletedPositions are the partitions whose offsets an OffsetDelete names.
func deletedPositions(req *wire.OffsetDeleteRequest) (positions []group.Position) {
	for i := range req.Topics {
		for _, p := range req.Topics[i].Partitions {
			positions = append(positions, group.Position{Topic: req.Topics[i].Name, Partition: p.PartitionIndex})
		}
	}
	return positions
}

// offsetsDeleted tells about OffsetDelete. resp is nil unless code is ErrorNone.
func (a *audit) offsetsDeleted(name string, before []group.Position, resp *wire.OffsetDeleteResponse, code wire.ErrorCode) {
	if a == nil {
		return
	}
	if resp != nil && code == wire.ErrorNone {
		code = firstDeleteError(resp)
	}
	a.groupOffsets(name, before, nil, code)
}

// firstDeleteError is the request's code, else the first of a partition.
func firstDeleteError(resp *wire.OffsetDeleteResponse) wire.ErrorCode {
	for i := range resp.Topics {
		for _, p := range resp.Topics[i].Partitions {
			if resp.ErrorCode == wire.ErrorNone && p.ErrorCode != wire.ErrorNone {
				return p.ErrorCode
			}
		}
	}
	return resp.ErrorCode
}

// membersRemoved tells about members that an administrator made leave.
func (a *audit) membersRemoved(req *wire.LeaveGroupRequest, resp *wire.LeaveGroupResponse, code wire.ErrorCode) {
	if a == nil {
		return
	}
	before := State{}
	for i := range req.Members {
		m := &req.Members[i]
		if len(before) == mostProperties {
			break
		}
		name := "member " + m.MemberId
		if m.MemberId == "" {
			name = "instance " + m.GroupInstanceId.Value
		}
		before[name] = "member"
	}
	c := Change{Kind: "group", Name: req.GroupId, Before: before, Error: code}
	if code == wire.ErrorNone {
		c.Error = resp.ErrorCode
		for i := range resp.Members {
			if c.Error == wire.ErrorNone {
				c.Error = resp.Members[i].ErrorCode
			}
		}
	}
	if c.Error == wire.ErrorNone {
		c.After = State{}
	}
	a.add(c)
	a.tell()
}

// recordsDeleted tells about DeleteRecords. starts are where the logs began when the request came.
func (a *audit) recordsDeleted(queries []replication.DeletionQuery, starts []replication.FoundOffset, results []replication.Deleted) {
	if a == nil {
		return
	}
	start := func(offset int64) State { return State{"logStart": strconv.FormatInt(offset, 10)} }
	for i := range results {
		q := &queries[i]
		c := Change{Kind: "partition", Name: q.Topic + "-" + strconv.Itoa(int(q.Partition)), Error: results[i].Error}
		if i < len(starts) && starts[i].Error == wire.ErrorNone {
			c.Before = start(int64(starts[i].Offset))
		}
		if c.Error == wire.ErrorNone {
			c.After = start(int64(results[i].LowWatermark))
		}
		a.add(c)
	}
	a.tell()
}

// logStarts are where the logs of the partitions begin that are to lose records; no more than an audit tells of.
func (t *Table) logStarts(a *audit, queries []replication.DeletionQuery) []replication.FoundOffset {
	if a == nil {
		return nil
	}
	starts := make([]replication.FoundOffset, min(len(queries), mostChanges))
	for i := range starts {
		q := replication.OffsetQuery{Target: queries[i].Target, CurrentLeaderEpoch: ids.NoLeaderEpoch, TimestampMs: replication.EarliestTimestamp}
		t.deps.Offsets.ListOffset(&q, &starts[i], nil)
	}
	return starts
}
