package parity

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// consumerScenarios are about groups of KIP-848. They run against a broker that computes assignments whenever there is a reason.
// Where several members share, they ask for the range assignor: Kafka's uniform one goes by its hash tables.
var consumerScenarios = []scenario{
	{"consumer-bad", consumerBad},
	{"consumer-one-member", consumerOneMember},
	{"consumer-two-members", consumerTwoMembers},
	{"consumer-static", consumerStatic},
	{"consumer-regex", consumerRegex},
	{"consumer-upgrade", consumerUpgrade},
	{"consumer-downgrade", consumerDowngrade},
	{"consumer-empty", consumerEmpty},
}

// beatReq is a heartbeat; at epoch 0 it joins, subscribing to the topic.
func beatReq(group, member string, epoch int32, topic string) *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch = group, member, epoch
	if epoch == 0 {
		rangeAssignor := "range"
		req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.ServerAssignor = 30_000, []string{topic}, &rangeAssignor
		req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	}
	return req
}

// owning is a heartbeat that says what the member has.
func owning(group, member string, epoch int32, id [16]byte, partitions ...int32) *kmsg.ConsumerGroupHeartbeatRequest {
	req := beatReq(group, member, epoch, "")
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	if len(partitions) > 0 {
		t := kmsg.NewConsumerGroupHeartbeatRequestTopic()
		t.TopicID, t.Partitions = id, partitions
		req.Topics = append(req.Topics, t)
	}
	return req
}

func describeConsumersReq(groups ...string) *kmsg.ConsumerGroupDescribeRequest {
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups, req.IncludeAuthorizedOperations = groups, true
	return req
}

func listGroupsReq(types ...string) *kmsg.ListGroupsRequest {
	req := kmsg.NewPtrListGroupsRequest()
	req.TypesFilter = types
	return req
}

func consumerBad(s *session) {
	s.coordinator()
	s.topic("consumed-bad", 1)
	for v := int16(0); v <= 1; v++ {
		group := fmt.Sprint("bad-consumers-", v)
		send := func(name string, epoch int32, change func(*kmsg.ConsumerGroupHeartbeatRequest)) {
			req := beatReq(group, "m", epoch, "consumed-bad")
			change(req)
			s.send(name, v, req)
		}
		blank, instance, unknown := " ", "i", "sticky"
		send("no group", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = "" })
		send("no member at 1", 1, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = "" })
		send("no member leaves", -1, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = "" })
		send("no member, static, leaves", -2, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID, r.InstanceID = "", &instance })
		send("blank instance", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID = &blank })
		send("blank rack", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RackID = &blank })
		send("no rebalance timeout", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RebalanceTimeoutMillis = -1 })
		send("no owned partitions", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Topics = nil })
		send("owned partitions", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) {
			r.Topics = owning("", "", 1, [16]byte{1}, 0).Topics
		})
		send("no subscription", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = nil })
		send("static leave without an instance", -2, func(r *kmsg.ConsumerGroupHeartbeatRequest) {})
		send("epoch -3", -3, func(r *kmsg.ConsumerGroupHeartbeatRequest) {})
		send("unknown assignor", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = &unknown })
		send("unknown group", 1, func(r *kmsg.ConsumerGroupHeartbeatRequest) {})
		send("unknown group leaves", -1, func(r *kmsg.ConsumerGroupHeartbeatRequest) {})
		if v >= 1 {
			for _, regex := range []string{"(", "a{1001}", "[", "*", `\8`, "(?<n>a)"} {
				send("regex "+regex, 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) {
					r.SubscribedTopicNames, r.SubscribedTopicRegex = nil, &regex
				})
			}
		}
		s.send("describe", v, describeConsumersReq(group, "", "unknown"))
	}
}

func consumerOneMember(s *session) {
	s.coordinator()
	id := s.topic("consumed", 3)
	for v := int16(0); v <= 1; v++ {
		group := fmt.Sprint("consumers-", v)
		member := "m"
		join := beatReq(group, "", 0, "consumed")
		join.ServerAssignor = nil
		if v >= 1 {
			join.MemberID = member
		}
		joined := s.send("join", v, join).(*kmsg.ConsumerGroupHeartbeatResponse)
		if joined.MemberID != nil {
			member = *joined.MemberID
		}
		epoch := joined.MemberEpoch
		if v == 0 {
			// The member's id is Kafka's, and so in no sentence.
			s.send("beat", v, beatReq(group, member, epoch, ""))
			s.send("describe", v, describeConsumersReq(group))
			s.send("leave", v, beatReq(group, member, -1, ""))
			continue
		}
		s.send("beat", v, beatReq(group, member, epoch, ""))
		s.send("beat with all", v, func() kmsg.Request {
			req := owning(group, member, epoch, id, 0, 1, 2)
			req.RebalanceTimeoutMillis, req.SubscribedTopicNames = 30_000, []string{"consumed"}
			return req
		}())
		s.send("beat of a later epoch", v, beatReq(group, member, epoch+1, ""))
		s.send("beat of an earlier epoch", v, beatReq(group, member, epoch-1, ""))
		s.send("beat of an earlier epoch, with its partitions", v, owning(group, member, epoch-1, id, 0))
		s.send("beat of nobody", v, beatReq(group, "nobody", epoch, ""))
		s.send("nobody leaves", v, beatReq(group, "nobody", -1, ""))
		s.send("join again", v, beatReq(group, member, 0, "consumed"))
		instance := "instance"
		static := beatReq(group, member, epoch, "")
		static.InstanceID = &instance
		s.send("beat as a static member", v, static)
		static.MemberEpoch = -2
		s.send("leave as a static member", v, static)
		for d := int16(0); d <= 1; d++ {
			s.send("describe", d, describeConsumersReq(group, "unknown"))
		}
		s.send("describe as a classic group", 5, describeReq(group))
		s.send("describe as a classic group", 6, describeReq(group))
		for _, types := range [][]string{{"consumer"}, {"Classic"}} {
			got := s.quiet(5, listGroupsReq(types...)).(*kmsg.ListGroupsResponse)
			text := "not there"
			if i := slices.IndexFunc(got.Groups, func(g kmsg.ListGroupsResponseGroup) bool { return g.Group == group }); i >= 0 {
				text = fmt.Sprintf("%+v", got.Groups[i])
			}
			s.note("list "+types[0], text)
		}
		for _, c := range []int16{8, 9, 10} {
			s.send("commit", c, commitReq(group, epoch, member, "consumed", id, 0, 17))
			s.send("commit of a later epoch", c, commitReq(group, epoch+1, member, "consumed", id, 0, 17))
			s.send("commit of an earlier epoch", c, commitReq(group, epoch-1, member, "consumed", id, 0, 17))
			s.send("commit of nobody", c, commitReq(group, epoch, "nobody", "consumed", id, 0, 17))
			s.send("commit of no member", c, commitReq(group, -1, "", "consumed", id, 0, 17))
			fetch := fetchOffsetsReq(c, group, "consumed", id, 0)
			s.send("fetch", c, fetch)
			if c < 9 {
				continue
			}
			for _, as := range []struct {
				member string
				epoch  int32
			}{{member, epoch}, {member, epoch + 1}, {member, epoch - 1}, {member, -1}, {"nobody", epoch}} {
				fetch.Groups[0].MemberID, fetch.Groups[0].MemberEpoch = optional(as.member), as.epoch
				s.send(fmt.Sprintf("fetch as %s at %d", as.member, as.epoch), c, fetch)
			}
		}
		s.send("delete offsets", 0, offsetDeleteReq(group, "consumed", 0))
		s.send("delete while it has a member", 2, deleteGroupsReq(group))
		other := beatReq(group, member, epoch, "")
		other.SubscribedTopicNames = []string{"missing"}
		s.send("subscribe to a topic that is not there", v, other)
		s.send("describe with something to give up", 1, describeConsumersReq(group))
		s.send("beat with nothing", v, owning(group, member, epoch, id))
		s.send("describe with nothing", 1, describeConsumersReq(group))
		s.send("leave", v, beatReq(group, member, -1, ""))
		s.send("leave again", v, beatReq(group, member, -1, ""))
		s.send("describe empty", 1, describeConsumersReq(group))
		s.send("commit of no member, empty", 9, commitReq(group, -1, "", "consumed", id, 0, 19))
		s.send("commit of a member, empty", 9, commitReq(group, epoch, member, "consumed", id, 0, 19))
		s.send("delete", 2, deleteGroupsReq(group))
		s.send("describe deleted", 1, describeConsumersReq(group))
	}
}

func offsetDeleteReq(group, topic string, partition int32) *kmsg.OffsetDeleteRequest {
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = group
	t := kmsg.NewOffsetDeleteRequestTopic()
	t.Topic = topic
	p := kmsg.NewOffsetDeleteRequestTopicPartition()
	p.Partition = partition
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

func consumerTwoMembers(s *session) {
	s.coordinator()
	id := s.topic("consumed-by-two", 4)
	const group = "two-consumers"
	s.send("a joins", 1, beatReq(group, "a", 0, "consumed-by-two"))
	s.send("b joins", 1, beatReq(group, "b", 0, "consumed-by-two"))
	s.send("describe", 1, describeConsumersReq(group))
	s.send("a does not say what it has", 1, beatReq(group, "a", 2, ""))
	s.send("describe while a gives up", 1, describeConsumersReq(group))
	s.send("b waits", 1, beatReq(group, "b", 3, ""))
	s.send("a still has all", 1, owning(group, "a", 2, id, 0, 1, 2, 3))
	s.send("a commits what it gives up", 9, commitReq(group, 2, "a", "consumed-by-two", id, 3, 5))
	s.send("a gave up", 1, owning(group, "a", 2, id, 0, 1))
	s.send("a's answer was lost", 1, owning(group, "a", 2, id, 0, 1))
	s.send("a's answer was lost, and it has more", 1, owning(group, "a", 2, id, 0, 1, 2))
	s.send("a commits what it has had, late", 9, commitReq(group, 2, "a", "consumed-by-two", id, 0, 5))
	s.send("a commits what it has not any more, late", 9, commitReq(group, 2, "a", "consumed-by-two", id, 3, 5))
	s.send("b gets the rest", 1, owning(group, "b", 3, id))
	s.send("b commits", 9, commitReq(group, 3, "b", "consumed-by-two", id, 3, 6))
	s.send("b commits, early", 9, commitReq(group, 2, "b", "consumed-by-two", id, 3, 6))
	s.send("describe when it is quiet", 1, describeConsumersReq(group))
	s.topic("consumed-by-b", 1)
	more := owning(group, "b", 3, id, 2, 3)
	more.SubscribedTopicNames = []string{"consumed-by-two", "consumed-by-b"}
	s.send("b subscribes to more", 1, more)
	s.send("a beats", 1, owning(group, "a", 3, id, 0, 1))
	s.send("describe with more", 1, describeConsumersReq(group))
	uniform := "uniform"
	for _, member := range []string{"a", "b"} {
		other := beatReq(group, member, 4, "")
		other.ServerAssignor = &uniform
		s.send(member+" wants another assignor", 1, other)
	}
	s.send("describe with another assignor", 1, describeConsumersReq(group))
	s.send("a leaves", 1, beatReq(group, "a", -1, ""))
	s.send("describe without a", 1, describeConsumersReq(group))
	s.send("b gets all", 1, owning(group, "b", 4, id, 2, 3))
	s.send("describe with b", 1, describeConsumersReq(group))
}

func consumerStatic(s *session) {
	s.coordinator()
	id := s.topic("consumed-static", 2)
	const group = "static-consumers"
	as := func(member, instance string, epoch int32) *kmsg.ConsumerGroupHeartbeatRequest {
		req := beatReq(group, member, epoch, "consumed-static")
		req.InstanceID = &instance
		return req
	}
	s.send("join", 1, as("a", "one", 0))
	s.send("another joins", 1, as("b", "one", 0))
	s.send("another beats", 1, as("b", "one", 2))
	s.send("another leaves", 1, as("b", "one", -1))
	s.send("another leaves for a while", 1, as("b", "one", -2))
	s.send("an unknown one beats", 1, as("a", "two", 2))
	s.send("an unknown one leaves", 1, as("a", "two", -1))
	s.send("beat", 1, as("a", "one", 2))
	s.send("leave for a while", 1, as("a", "one", -2))
	s.send("describe", 1, describeConsumersReq(group))
	s.send("commit while it is away", 9, commitReq(group, 2, "a", "consumed-static", id, 0, 5))
	s.send("join anew", 1, as("b", "one", 0))
	s.send("describe the new one", 1, describeConsumersReq(group))
	s.send("the old one beats", 1, as("a", "one", 2))
	s.send("commit", 9, commitReq(group, 2, "b", "consumed-static", id, 0, 5))
	s.send("leave for a while again", 1, as("b", "one", -2))
	s.send("join with the same id", 1, as("b", "one", 0))
	s.send("leave", 1, as("b", "one", -1))
	s.send("describe empty", 1, describeConsumersReq(group))
}

func consumerRegex(s *session) {
	s.coordinator()
	s.topic("regex-a", 1)
	s.topic("regex-b", 1)
	const group = "regex-consumers"
	regex := "regex-[ab]"
	join := beatReq(group, "m", 0, "")
	join.SubscribedTopicNames, join.SubscribedTopicRegex = nil, &regex
	s.quiet(1, join)
	// Kafka looks them up in the background, we at once.
	epoch := int32(0)
	s.waitFor("the assignment", func() bool {
		described := s.quiet(1, describeConsumersReq(group)).(*kmsg.ConsumerGroupDescribeResponse)
		for _, m := range described.Groups[0].Members {
			epoch = m.MemberEpoch
			if len(m.Assignment.TopicPartitions) == 2 {
				return true
			}
		}
		s.quiet(1, beatReq(group, "m", epoch, ""))
		return false
	})
	s.send("describe", 1, describeConsumersReq(group))
	none := ""
	change := beatReq(group, "m", epoch, "")
	change.SubscribedTopicRegex, change.SubscribedTopicNames = &none, []string{"regex-a"}
	s.send("subscribe by name", 1, change)
	s.send("describe by name", 1, describeConsumersReq(group))
	s.send("leave", 1, beatReq(group, "m", -1, ""))
}

// embedded is a classic consumer's subscription, or its assignment with partitions.
func embedded(topic string, partitions ...int32) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0, 1}, 1)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(topic))), topic...)
	if partitions != nil {
		b = binary.BigEndian.AppendUint32(b, uint32(len(partitions)))
		for _, p := range partitions {
			b = binary.BigEndian.AppendUint32(b, uint32(p))
		}
		return binary.BigEndian.AppendUint32(b, 0xffffffff)
	}
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, 0xffffffff), 0)
}

func joinConsumerReq(group, member, topic string) *kmsg.JoinGroupRequest {
	req := joinReq(group, member, "", "range")
	req.ProtocolType, req.Protocols[0].Metadata = "consumer", embedded(topic)
	return req
}

// classicMember is a classic group with one member, that has all of the topic's partitions.
func (s *session) classicMember(group, topic string, partitions ...int32) string {
	member := s.quiet(9, joinConsumerReq(group, "", topic)).(*kmsg.JoinGroupResponse).MemberID
	s.quiet(9, joinConsumerReq(group, member, topic))
	sync := syncReq(group, 1, member, "", member, string(embedded(topic, partitions...)))
	kind, protocol := "consumer", "range"
	sync.ProtocolType, sync.Protocol = &kind, &protocol
	s.send("classic member syncs", 5, sync)
	return member
}

func consumerUpgrade(s *session) {
	s.coordinator()
	id := s.topic("upgraded", 4)
	const group = "upgraded-consumers"
	old := s.classicMember(group, "upgraded", 0, 1, 2, 3)
	sync := func(generation int32, kind, protocol string) *kmsg.SyncGroupRequest {
		req := syncReq(group, generation, old, "")
		req.ProtocolType, req.Protocol = &kind, &protocol
		return req
	}
	s.send("an unknown one beats", 1, beatReq(group, "zz", 1, ""))
	s.send("an unknown one leaves", 1, beatReq(group, "zz", -1, ""))
	s.send("the new one joins", 1, beatReq(group, "zz", 0, "upgraded"))
	s.send("describe", 1, describeConsumersReq(group))
	s.send("describe as a classic group", 6, describeReq(group))
	s.send("the old one's heartbeat", 4, heartbeatReq(group, 1, old, ""))
	s.send("the old one's heartbeat of another generation", 4, heartbeatReq(group, 2, old, ""))
	s.send("the new one's heartbeat", 4, heartbeatReq(group, 2, "zz", ""))
	s.send("the old one syncs too early", 5, sync(1, "consumer", "range"))
	s.send("the old one commits", 8, commitReq(group, 1, old, "upgraded", id, 3, 5))
	s.send("the old one commits, early", 8, commitReq(group, 2, old, "upgraded", id, 3, 5))
	s.send("the old one joins", 9, joinConsumerReq(group, old, "upgraded"))
	s.send("describe with the old one", 1, describeConsumersReq(group))
	s.send("the old one syncs", 5, sync(2, "consumer", "range"))
	s.send("the old one syncs another protocol", 5, sync(2, "consumer", "other"))
	s.send("the old one syncs another type", 5, sync(2, "connect", "range"))
	s.send("the old one syncs another generation", 5, sync(9, "consumer", "range"))
	s.send("the old one's next heartbeat", 4, heartbeatReq(group, 2, old, ""))
	s.send("the new one gets its part", 1, owning(group, "zz", 2, id))
	s.send("describe when it is quiet", 1, describeConsumersReq(group))
	s.send("another type joins", 9, joinReq(group, "", "", "range"))
	another := joinConsumerReq(group, "", "upgraded")
	another.Protocols[0].Name = "other"
	s.send("another protocol joins", 9, another)
	s.send("another one joins, at first", 9, joinConsumerReq(group, "", "upgraded"))
	s.send("the old one leaves", 5, leaveReq(group, old, "nobody"))
	s.send("describe without the old one", 1, describeConsumersReq(group))
	s.send("the new one leaves", 1, beatReq(group, "zz", -1, ""))

	custom := "custom-classic"
	s.join("custom joins", 9, custom, "", "first")
	s.send("the new one joins a custom group", 1, beatReq(custom, "zz", 0, "upgraded"))
}

func consumerDowngrade(s *session) {
	s.coordinator()
	s.topic("downgraded", 2)
	const group = "downgraded-consumers"
	old := s.classicMember(group, "downgraded", 0, 1)
	s.quiet(1, beatReq(group, "zz", 0, "downgraded"))
	s.quiet(9, joinConsumerReq(group, old, "downgraded"))
	s.send("the new one leaves", 1, beatReq(group, "zz", -1, ""))
	s.send("describe", 6, describeReq(group))
	s.send("describe as a consumer group", 1, describeConsumersReq(group))
	s.send("the old one's heartbeat", 4, heartbeatReq(group, 2, old, ""))
	s.send("the old one joins", 9, joinConsumerReq(group, old, "downgraded"))
	s.send("the old one leaves", 5, leaveReq(group, old))
}

// consumerEmpty: what is empty goes from one protocol to the other.
func consumerEmpty(s *session) {
	s.coordinator()
	id := s.topic("emptied", 1)
	const group = "emptied-consumers"
	s.send("commit of no member", 9, commitReq(group, -1, "", "emptied", id, 0, 5))
	s.send("join", 1, beatReq(group, "m", 0, "emptied"))
	s.send("fetch", 9, fetchOffsetsReq(9, group, "emptied", id, 0))
	s.send("leave", 1, beatReq(group, "m", -1, ""))
	old := s.quiet(9, joinConsumerReq(group, "", "emptied")).(*kmsg.JoinGroupResponse).MemberID
	s.send("describe as a consumer group", 1, describeConsumersReq(group))
	s.send("classic join", 9, joinConsumerReq(group, old, "emptied"))
	s.send("describe as a classic group", 6, describeReq(group))
	s.send("classic leave", 5, leaveReq(group, old))
	s.send("join again", 1, beatReq(group, "m", 0, "emptied"))
	s.send("describe", 1, describeConsumersReq(group))
	s.send("leave again", 1, beatReq(group, "m", -1, ""))
	s.send("delete", 2, deleteGroupsReq(group))
	s.send("fetch deleted", 9, fetchOffsetsReq(9, group, "emptied", id, 0))
}

// canonicalConsumers puts groups, members and partitions in order.
func (s *session) canonicalConsumers(r *kmsg.ConsumerGroupDescribeResponse) {
	slices.SortFunc(r.Groups, func(a, b kmsg.ConsumerGroupDescribeResponseGroup) int { return strings.Compare(a.Group, b.Group) })
	for i := range r.Groups {
		members := r.Groups[i].Members
		slices.SortFunc(members, func(a, b kmsg.ConsumerGroupDescribeResponseGroupMember) int {
			return strings.Compare(a.MemberID, b.MemberID)
		})
		for k := range members {
			for _, a := range []*kmsg.Assignment{&members[k].Assignment, &members[k].TargetAssignment} {
				slices.SortFunc(a.TopicPartitions, func(a, b kmsg.AssignmentTopicPartition) int { return strings.Compare(a.Topic, b.Topic) })
				for t := range a.TopicPartitions {
					slices.Sort(a.TopicPartitions[t].Partitions)
				}
			}
			slices.Sort(members[k].SubscribedTopics)
		}
	}
}
