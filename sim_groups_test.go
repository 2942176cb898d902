package ottla

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/wire"
)

const (
	simGroup     = "readers"
	simMembers   = 3
	simFeeds     = 30  // batches that the feeder gets acknowledged
	simSession   = 150 // milliseconds
	simRebalance = 300
)

// TestGroupsInASimulation: three members of a group read a topic that grows, join, leave, fall silent and come back, while the power of the
// broker is cut at random operations of its disk, also in mid-rebalance.
//
//	a commit that was acknowledged is never lost, and never goes back
//	in one generation, a partition has one owner
//	every record below a committed offset was seen by a member, so in the end all are
func TestGroupsInASimulation(t *testing.T) { simulateGroupsOften(t, (*simMember).live) }

// TestConsumerGroupsInASimulation is the same with members of KIP-848's protocol; there, a partition goes to its next owner only when the one before has
// given it back, or its session is over.
func TestConsumerGroupsInASimulation(t *testing.T) { simulateGroupsOften(t, (*simMember).liveModern) }

func simulateGroupsOften(t *testing.T, live func(*simMember)) {
	seeds := 200
	if testing.Short() {
		seeds = 20
	}
	var sum groupWorld
	for seed := range uint64(seeds) {
		g := simulateGroups(t, seed, live)
		sum.commits, sum.joins, sum.cuts, sum.silences = sum.commits+g.commits, sum.joins+g.joins, sum.cuts+g.world.cuts, sum.silences+g.silences
		if seed%10 == 0 {
			again := simulateGroups(t, seed, live)
			if g.sim.Trace() != again.sim.Trace() || g.events != again.events {
				t.Errorf("seed %d took two ways: trace %x and %x, events %x and %x", seed, g.sim.Trace(), again.sim.Trace(), g.events, again.events)
			}
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d power cuts, %d generations joined, %d commits acknowledged, %d members that fell silent", sum.cuts, sum.joins, sum.commits, sum.silences)
	if sum.cuts < seeds || sum.joins < 10*seeds || sum.commits < 10*seeds || sum.silences < seeds/2 {
		t.Error("too little happened")
	}
}

// groupWorld is a world with a group in it, and what was promised to its members.
type groupWorld struct {
	*world
	cuts, joins, commits, silences int

	fed       [simPartitions]int64 // end of what was acknowledged to the feeder
	seen      [simPartitions]map[int64]bool
	committed [simPartitions]int64
	owners    map[ownership]string
	members   []*simMember
}

// ownership is a partition in a generation.
type ownership struct{ generation, partition int32 }

func simulateGroups(t *testing.T, seed uint64, live func(*simMember)) *groupWorld {
	g := &groupWorld{world: newWorld(t, seed), owners: map[ownership]string{}}
	for p := range g.seen {
		g.seen[p] = map[int64]bool{}
	}
	g.cast = func() {
		g.client("feeder", func(c *simClient) { (&simMember{simClient: c, group: g}).feed() })
		for i := range simMembers {
			g.client(fmt.Sprintf("member %d", i), func(c *simClient) {
				m := &simMember{simClient: c, group: g}
				g.members = append(g.members, m)
				for !m.ending && !m.topics[simTopic] {
					m.pause(10)
				}
				live(m)
			})
		}
	}
	g.endless = simMembers
	g.audit = func() {}
	g.sim.Run(g.main)
	return g
}

// simMember is one client of the group.
type simMember struct {
	*simClient
	group      *groupWorld
	id         string
	generation int32
	plan       []wire.SyncGroupRequestAssignment // the leader's
	owned      []int32                           // partitions
	positions  [simPartitions]int64              // of those

	modern  bool          // of KIP-848: generation is the member's epoch
	alive   time.Duration // modern: the coordinator has heard of it at this time or later
	topicID wire.UUID     // modern: of what it owns
}

// feed fills the topic, and is through when the group has committed all of it.
func (m *simMember) feed() {
	m.create(simTopic, simPartitions)
	for n := 0; n < simFeeds && !m.ending; n++ {
		p := int32(m.random.IntN(simPartitions))
		b := record.NewBuilder(record.None, record.DefaultLevel)
		for range 1 + m.random.IntN(3) {
			b.Append(m.sim.Now().UnixMilli(), nil, []byte("x"))
		}
		batch, err := b.Build()
		if err != nil {
			panic(err)
		}
		var resp wire.ProduceResponse
		if !m.do(wire.ProduceKey, 9, produceOne(simTopic, p, -1, 10_000, batch), &resp) {
			return
		}
		answer := &resp.Responses[0].PartitionResponses[0]
		if answer.ErrorCode != wire.ErrorNone {
			m.failf("produce: %s", answer.ErrorCode.Name())
			return
		}
		m.group.fed[p] = max(m.group.fed[p], answer.BaseOffset+int64(batch.Count()))
		m.pause(30)
	}
	for !m.ending && m.group.committed != m.group.fed {
		if m.sim.Monotonic() > 5*time.Minute {
			m.failf("the group has committed %v of %v, and does not go on", m.group.committed, m.group.fed)
		}
		m.pause(50)
	}
	for p := range m.group.fed {
		for offset := range m.group.committed[p] {
			if !m.group.seen[p][offset] {
				m.failf("the group committed %d in partition %d, and nobody saw the record at %d", m.group.committed[p], p, offset)
			}
		}
	}
}

func (m *simMember) pause(mostMs int) {
	m.sim.NewSignal().WaitFor(time.Duration(1+m.random.IntN(mostMs)) * time.Millisecond)
}

// live is a member's whole life: generation after generation.
func (m *simMember) live() {
	for !m.ending && m.connected() {
		if m.join() && m.sync() && m.begin(m.owned) {
			m.read()
		}
		m.pause(10)
		if m.random.IntN(8) == 0 {
			m.vanish()
		}
	}
}

// vanish lets the session end, as a killed client does: whoever comes back is somebody else.
func (m *simMember) vanish() {
	if m.conn != nil {
		m.conn.close()
		m.conn = nil
	}
	m.id, m.owned = "", nil
	m.group.silences++
	m.saw("%s vanishes", m.name)
	m.pause(2 * simSession)
}

// ask is one request; false if the connection broke.
func (m *simMember) ask(key, version int16, req, resp wire.Message) bool {
	if m.ending || !m.connected() {
		return false
	}
	if err := m.conn.do(key, version, req, resp); err != nil {
		m.lost(err)
		return false
	}
	return true
}

// goes tells whether the member may go on after a reply, and forgets itself where it is not known any more.
func (m *simMember) goes(what string, code wire.ErrorCode) bool {
	m.saw("%s %s: %s", m.name, what, code.Name())
	switch code {
	case wire.ErrorNone:
		return true
	case wire.ErrorUnknownMemberID, wire.ErrorIllegalGeneration, wire.ErrorFencedMemberEpoch:
		m.id = ""
	case wire.ErrorStaleMemberEpoch, wire.ErrorRebalanceInProgress, wire.ErrorNotCoordinator, wire.ErrorCoordinatorLoadInProgress, wire.ErrorCoordinatorNotAvailable:
	default:
		m.failf("%s: %s: %s", m.name, what, code.Name())
	}
	return false
}

var simSubscription = append([]byte{0, 0, 0, 0, 0, 1, 0, byte(len(simTopic))}, simTopic+"\xff\xff\xff\xff"...)

// find asks who coordinates the group; the first question makes __consumer_offsets.
func (m *simMember) find() bool {
	find := wire.FindCoordinatorRequest{CoordinatorKeys: []string{simGroup}}
	var found wire.FindCoordinatorResponse
	return m.ask(wire.FindCoordinatorKey, 4, &find, &found) && m.goes("find", found.Coordinators[0].ErrorCode)
}

func (m *simMember) join() bool {
	if !m.find() {
		return false
	}
	req := wire.JoinGroupRequest{GroupId: simGroup, SessionTimeoutMs: simSession, RebalanceTimeoutMs: simRebalance, MemberId: m.id, ProtocolType: "consumer",
		Protocols: []wire.JoinGroupRequestProtocol{{Name: "sim", Metadata: simSubscription}}}
	var resp wire.JoinGroupResponse
	if !m.ask(wire.JoinGroupKey, 9, &req, &resp) {
		return false
	}
	if resp.ErrorCode == wire.ErrorMemberIDRequired {
		m.id = resp.MemberId
		req.MemberId = m.id
		if !m.ask(wire.JoinGroupKey, 9, &req, &resp) {
			return false
		}
	}
	if !m.goes("join", resp.ErrorCode) {
		return false
	}
	m.id, m.generation = resp.MemberId, resp.GenerationId
	m.group.joins++
	m.plan = nil
	if resp.Leader == m.id {
		m.assign(&resp)
	}
	return true
}

// assign is the leader's part: it deals the partitions out.
func (m *simMember) assign(resp *wire.JoinGroupResponse) {
	var members []string
	for i := range resp.Members {
		members = append(members, resp.Members[i].MemberId)
	}
	slices.Sort(members)
	m.plan = make([]wire.SyncGroupRequestAssignment, len(members))
	for i, id := range members {
		m.plan[i].MemberId = id
		m.plan[i].Assignment = []byte{}
	}
	for p := range simPartitions {
		at := &m.plan[(p+int(m.generation))%len(members)]
		at.Assignment = append(at.Assignment, byte(p))
	}
}

// sync learns what the member owns in this generation.
func (m *simMember) sync() bool {
	req := wire.SyncGroupRequest{GroupId: simGroup, GenerationId: m.generation, MemberId: m.id, ProtocolType: wire.SomeString("consumer"),
		ProtocolName: wire.SomeString("sim"), Assignments: m.plan}
	var resp wire.SyncGroupResponse
	if !m.ask(wire.SyncGroupKey, 5, &req, &resp) || !m.goes("sync", resp.ErrorCode) {
		return false
	}
	m.owned = m.owned[:0]
	for _, p := range resp.Assignment {
		m.owned = append(m.owned, int32(p))
		at := ownership{m.generation, int32(p)}
		if other := m.group.owners[at]; other != "" && other != m.id {
			m.failf("generation %d: partition %d belongs to %s and to %s", m.generation, p, other, m.id)
		}
		m.group.owners[at] = m.id
	}
	return true
}

// begin finds out where to go on. What was acknowledged to anybody before the question must be in the answer.
func (m *simMember) begin(partitions []int32) bool {
	known := m.group.committed
	req := wire.OffsetFetchRequest{Groups: []wire.OffsetFetchRequestGroup{{GroupId: simGroup, MemberEpoch: -1, Topics: []wire.OffsetFetchRequestTopics{{Name: simTopic, PartitionIndexes: partitions}}}}}
	if len(partitions) == 0 {
		req.Groups[0].Topics = nil
	}
	version := int16(8)
	if m.modern {
		version = 9
		req.Groups[0].MemberId, req.Groups[0].MemberEpoch = wire.SomeString(m.id), m.generation
	}
	var resp wire.OffsetFetchResponse
	if !m.ask(wire.OffsetFetchKey, version, &req, &resp) || !m.goes("fetch offsets", resp.Groups[0].ErrorCode) {
		return false
	}
	for i := range resp.Groups[0].Topics {
		for _, p := range resp.Groups[0].Topics[i].Partitions {
			if p.ErrorCode != wire.ErrorNone || p.CommittedOffset < known[p.PartitionIndex] && known[p.PartitionIndex] > 0 {
				m.failf("partition %d is committed up to %d (%s), and %d was acknowledged", p.PartitionIndex, p.CommittedOffset, p.ErrorCode.Name(), known[p.PartitionIndex])
			}
			m.positions[p.PartitionIndex] = max(p.CommittedOffset, 0)
		}
	}
	return true
}

// read consumes and commits until the generation is over, or the member has enough.
func (m *simMember) read() {
	for !m.ending {
		if len(m.owned) > 0 && !(m.fetch() && m.commit()) {
			return
		}
		req := wire.HeartbeatRequest{GroupId: simGroup, GenerationId: m.generation, MemberId: m.id}
		var resp wire.HeartbeatResponse
		if !m.ask(wire.HeartbeatKey, 4, &req, &resp) || !m.goes("heartbeat", resp.ErrorCode) {
			return
		}
		switch m.random.IntN(30) {
		case 0:
			m.leave()
			return
		case 1:
			m.vanish()
			return
		}
		m.pause(20)
	}
}

func (m *simMember) fetch() bool {
	var resp wire.FetchResponse
	if !m.ask(wire.FetchKey, 12, fetchOne(simTopic, m.positions[:], 5), &resp) {
		return false
	}
	for i := range resp.Responses[0].Partitions {
		p := &resp.Responses[0].Partitions[i]
		if !slices.Contains(m.owned, p.PartitionIndex) {
			continue
		}
		if p.ErrorCode != wire.ErrorNone {
			m.failf("%s: fetch partition %d at %d: %s", m.name, p.PartitionIndex, m.positions[p.PartitionIndex], p.ErrorCode.Name())
			return false
		}
		for rest := p.Records.Bytes; len(rest) > 0; {
			var b record.Batch
			var err error
			if b, rest, err = record.Next(rest); err != nil {
				break // cut off
			}
			for offset := int64(b.BaseOffset()); offset <= int64(b.LastOffset()); offset++ {
				m.group.seen[p.PartitionIndex][offset] = true
			}
			m.positions[p.PartitionIndex] = int64(b.LastOffset()) + 1
		}
	}
	return true
}

func (m *simMember) commit() bool {
	req := commitOf(simGroup, simTopic, 0, 0)
	req.MemberId, req.GenerationIdOrMemberEpoch = m.id, m.generation
	for _, p := range m.owned {
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, wire.OffsetCommitRequestPartition{PartitionIndex: p, CommittedOffset: m.positions[p], CommittedLeaderEpoch: -1})
	}
	var resp wire.OffsetCommitResponse
	version := int16(8)
	if m.modern {
		version = 9
	}
	if !m.ask(wire.OffsetCommitKey, version, req, &resp) {
		return false
	}
	for _, p := range resp.Topics[0].Partitions {
		if !m.goes("commit", p.ErrorCode) {
			return false
		}
		// The reply may come when the next owner has committed more.
		m.group.committed[p.PartitionIndex] = max(m.group.committed[p.PartitionIndex], m.positions[p.PartitionIndex])
		m.group.commits++
	}
	return true
}

func (m *simMember) leave() {
	req := wire.LeaveGroupRequest{GroupId: simGroup, Members: []wire.LeaveGroupRequestMemberIdentity{{MemberId: m.id}}}
	var resp wire.LeaveGroupResponse
	if m.ask(wire.LeaveGroupKey, 5, &req, &resp) {
		m.goes("leave", resp.ErrorCode)
	}
	m.id = ""
}

// liveModern is a member's life in KIP-848's protocol: heartbeats bring its partitions and take them.
func (m *simMember) liveModern() {
	m.modern = true
	for !m.ending && !m.find() {
		m.pause(10)
	}
	for !m.ending && m.connected() {
		if m.id == "" {
			m.id, m.generation, m.owned = fmt.Sprintf("%s-%x", m.name, m.random.Uint64()), 0, nil
		}
		resp, ok := m.beat()
		if !ok || resp.Assignment != nil && !m.reconcile(resp.Assignment) || len(m.owned) > 0 && !(m.fetch() && m.commit()) {
			if m.id == "" {
				m.owned = nil // fenced: whatever it had is somebody else's
			}
			m.pause(10)
			continue
		}
		switch m.random.IntN(40) {
		case 0:
			m.generation = -1
			m.owned = nil
			m.beat()
			m.id = ""
		case 1:
			m.vanish()
		}
		m.pause(20)
	}
}

// beat sends all that a member has to say.
func (m *simMember) beat() (resp wire.ConsumerGroupHeartbeatResponse, ok bool) {
	req := wire.ConsumerGroupHeartbeatRequest{GroupId: simGroup, MemberId: m.id, MemberEpoch: m.generation, RebalanceTimeoutMs: simRebalance,
		SubscribedTopicNames: []string{simTopic}, TopicPartitions: []wire.ConsumerGroupHeartbeatRequestTopicPartitions{}}
	if len(m.owned) > 0 {
		req.TopicPartitions = append(req.TopicPartitions, wire.ConsumerGroupHeartbeatRequestTopicPartitions{TopicId: m.topicID, Partitions: m.owned})
	}
	sent := m.sim.Monotonic()
	if !m.ask(wire.ConsumerGroupHeartbeatKey, 1, &req, &resp) || !m.goes("heartbeat", resp.ErrorCode) {
		return resp, false
	}
	if m.generation != resp.MemberEpoch {
		m.group.joins++
	}
	m.generation, m.alive = resp.MemberEpoch, sent
	return resp, true
}

// reconcile gives back what the member should not have any more, and says so before it takes what is new.
func (m *simMember) reconcile(target *wire.ConsumerGroupHeartbeatResponseAssignment) bool {
	var wanted []int32
	for i := range target.TopicPartitions {
		m.topicID = target.TopicPartitions[i].TopicId // there is but one
		wanted = append(wanted, target.TopicPartitions[i].Partitions...)
	}
	m.saw("%s is to own %v and owns %v", m.name, wanted, m.owned)
	kept := slices.DeleteFunc(slices.Clone(m.owned), func(p int32) bool { return !slices.Contains(wanted, p) })
	if len(kept) < len(m.owned) && !m.commit() {
		return false
	}
	fresh := slices.DeleteFunc(wanted, func(p int32) bool { return slices.Contains(kept, p) })
	m.owned = kept
	if len(fresh) == 0 {
		return true
	}
	for _, other := range m.group.members {
		for _, p := range other.owned {
			if other != m && slices.Contains(fresh, p) && m.sim.Monotonic()-other.alive < simSession*time.Millisecond {
				m.failf("%s is to take partition %d, which %s owns; it was heard of %v ago", m.name, p, other.name, m.sim.Monotonic()-other.alive)
			}
		}
	}
	if !m.begin(fresh) {
		return false
	}
	m.owned = append(m.owned, fresh...)
	return true
}
