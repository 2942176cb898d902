package group

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ottla-io/ottla/internal/wire"
)

// The scenarios' language for consumer groups:
//
//	beat GROUP id=ID epoch=N [topics=T,…] [regex=R] [owns=T:P+P,…] [static=I] [rack=R] [assignor=A] [rebalance=MS] [v=N]
//	consumers GROUP…     ConsumerGroupDescribe
//
// A beat at epoch 0 is a full one: it subscribes to topic t unless it says otherwise.

func (l *live) beatRequest(a args) *wire.ConsumerGroupHeartbeatRequest {
	req := &wire.ConsumerGroupHeartbeatRequest{GroupId: a.word(0), MemberId: a.text("id", ""), MemberEpoch: int32(a.number("epoch", 0)),
		InstanceId: a.nullable("static"), RackId: a.nullable("rack"), RebalanceTimeoutMs: -1, SubscribedTopicRegex: a.nullable("regex"), ServerAssignor: a.nullable("assignor")}
	if req.MemberEpoch == 0 {
		req.RebalanceTimeoutMs = 60_000
		req.TopicPartitions = []wire.ConsumerGroupHeartbeatRequestTopicPartitions{}
		if !req.SubscribedTopicRegex.Valid {
			req.SubscribedTopicNames = []string{"t"}
		}
	}
	req.RebalanceTimeoutMs = int32(a.number("rebalance", int64(req.RebalanceTimeoutMs)))
	if _, ok := a.named["topics"]; ok {
		req.SubscribedTopicNames = append([]string{}, a.list("topics")...)
	}
	if _, ok := a.named["owns"]; ok {
		req.TopicPartitions = []wire.ConsumerGroupHeartbeatRequestTopicPartitions{}
	}
	for _, owned := range a.list("owns") {
		name, list, _ := strings.Cut(owned, ":")
		t := wire.ConsumerGroupHeartbeatRequestTopicPartitions{TopicId: l.topicNamed(name)}
		for _, p := range strings.Split(list, "+") {
			n, err := strconv.Atoi(p)
			if err != nil {
				l.t.Fatal(err)
			}
			t.Partitions = append(t.Partitions, int32(n))
		}
		req.TopicPartitions = append(req.TopicPartitions, t)
	}
	return req
}

func (l *live) topicNamed(name string) wire.UUID {
	if topic, ok := l.image.Topic(name); ok {
		return wire.UUID(topic.ID)
	}
	_, id, _, _ := l.partition(name)
	return id
}

func (l *live) beat(a args) *wire.ConsumerGroupHeartbeatResponse {
	l.t.Helper()
	client := a.client()
	client.Version = int16(a.number("v", 1))
	records, resp := l.m.ConsumerGroupHeartbeat(l.at, client, l.beatRequest(a))
	l.commit(records)
	return resp
}

func (l *live) runBeat(a args) {
	resp := l.beat(a)
	switch {
	case resp.ErrorCode != 0:
		l.say("%s: %s", resp.ErrorCode.Name(), resp.ErrorMessage.Value)
	case resp.Assignment == nil:
		l.say("%s: epoch=%d", resp.MemberId.Value, resp.MemberEpoch)
	default:
		var shares []string
		for _, t := range resp.Assignment.TopicPartitions {
			shares = append(shares, l.showShare(t.TopicId, t.Partitions))
		}
		l.say("%s: epoch=%d %v", resp.MemberId.Value, resp.MemberEpoch, shares)
	}
}

// showShare names a topic, or its number if it is gone.
func (l *live) showShare(id wire.UUID, partitions []int32) string {
	name := nonzero(id)
	for _, t := range l.image.Topics() {
		if wire.UUID(t.ID) == id {
			name = t.Name
		}
	}
	return strings.ReplaceAll(fmt.Sprintf("%s:%v", name, partitions), " ", ",")
}

func (l *live) runConsumers(a args) {
	for _, g := range l.m.ConsumerGroupDescribe(a.words) {
		l.say("%s: %s %s state=%s epoch=%d target=%d assignor=%s", g.GroupId, g.ErrorCode.Name(), g.ErrorMessage.Value, g.GroupState, g.GroupEpoch, g.AssignmentEpoch, g.AssignorName)
		for _, m := range g.Members {
			show := func(topics []wire.ConsumerGroupDescribeResponseTopicPartitions) (shares []string) {
				for _, t := range topics {
					shares = append(shares, l.showShare(t.TopicId, t.Partitions))
				}
				return shares
			}
			l.say("    %s/%s epoch=%d rack=%s client=%s%s topics=%v regex=%q type=%d has=%v target=%v", m.MemberId, orNull(m.InstanceId), m.MemberEpoch, orNull(m.RackId),
				m.ClientId, m.ClientHost, m.SubscribedTopicNames, m.SubscribedTopicRegex.Value, m.MemberType, show(m.Assignment.TopicPartitions), show(m.TargetAssignment.TopicPartitions))
		}
	}
}

// showConsumerRecord shows the value of a consumer group's record; ok is false for other records.
func (l *live) showConsumerRecord(value wire.CoordinatorRecord) (text string, ok bool) {
	switch v := value.(type) {
	case *wire.ConsumerGroupMetadataValue:
		hash := "known"
		if v.MetadataHash == 0 {
			hash = "none"
		}
		return fmt.Sprintf("epoch=%d topics=%s", v.Epoch, hash), true
	case *wire.ConsumerGroupMemberMetadataValue:
		text = fmt.Sprintf("static=%s rack=%s topics=%v regex=%s rebalance=%d assignor=%s", orNull(v.InstanceId), orNull(v.RackId), v.SubscribedTopicNames, orNull(v.SubscribedTopicRegex), v.RebalanceTimeoutMs, orNull(v.ServerAssignor))
		if c := v.ClassicMemberMetadata; c != nil {
			text += fmt.Sprintf(" session=%d protocols=", c.SessionTimeoutMs)
			for _, p := range c.SupportedProtocols {
				text += fmt.Sprintf("%s(%d)", p.Name, len(p.Metadata))
			}
		}
		return text, true
	case *wire.ConsumerGroupTargetAssignmentMemberValue:
		var shares []string
		for _, t := range v.TopicPartitions {
			shares = append(shares, l.showShare(t.TopicId, t.Partitions))
		}
		return fmt.Sprint(shares), true
	case *wire.ConsumerGroupTargetAssignmentMetadataValue:
		at := "unknown"
		if v.AssignmentTimestamp != 0 {
			at = sinceStart(v.AssignmentTimestamp)
		}
		return fmt.Sprintf("epoch=%d at=%s", v.AssignmentEpoch, at), true
	case *wire.ConsumerGroupCurrentMemberAssignmentValue:
		show := func(topics []wire.ConsumerGroupCurrentMemberAssignmentValueTopicPartitions) (shares []string) {
			for _, t := range topics {
				shares = append(shares, fmt.Sprintf("%s@%v", l.showShare(t.TopicId, t.Partitions), t.AssignmentEpochs))
			}
			return shares
		}
		return fmt.Sprintf("epoch=%d previous=%d state=%d assigned=%v revoking=%v", v.MemberEpoch, v.PreviousMemberEpoch, v.State, show(v.AssignedPartitions), show(v.PartitionsPendingRevocation)), true
	case *wire.ConsumerGroupRegularExpressionValue:
		return fmt.Sprintf("topics=%v at=%s", v.Topics, sinceStart(v.Timestamp)), true
	}
	return "", false
}

// dumpConsumers is the durable half of a consumer group as text, with what sums it up.
func dumpConsumers(c *consumerGroup) string {
	if c == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\tepoch %d %t %x target %d %d legacy %t\n", c.epoch, c.stored, c.metadataHash, c.targetEpoch, c.targetMs, c.legacy)
	for _, one := range c.sorted() {
		shown := *one
		shown.classic = nil
		fmt.Fprintf(&b, "\t%+v %+v\n", shown, one.classic)
	}
	fmt.Fprintf(&b, "\t%v %v %v %v %v %v %v %v %d %v\n", c.target, c.regexes, c.byInstance, c.subscribed, c.regexUse, c.assignors, c.owner, c.stableAt, c.classics, c.protocols)
	return b.String()
}
