package group

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/wire"
)

// crowd is a group with clients that behave: they give up what they are told to before they say so, and use what they are given at
// once. Some speak the new protocol, some the classic one; answers get lost.
type crowd struct {
	t       testing.TB
	l       *live
	rng     *rand.Rand
	clients []*crowdClient
	script  []string
	next    []func() // what clients do because of an answer
	checks  int
	calm    bool // no answer is lost, nobody is slow
}

// crowdClient is one consumer, and what it believes.
type crowdClient struct {
	name    string
	classic bool
	static  string
	topics  []string
	regex   string
	gone    bool

	id     string // that the coordinator knows; "" before
	epoch  int32  // or generation; 0: to join
	owned  map[ids.TopicPartition]bool
	target map[ids.TopicPartition]bool // it has to get there
	waits  bool                        // a classic one, for an answer
	full   bool                        // it tells all, because an answer was lost
	leads  []string                    // a classic one that leads assigns for these
}

func (c *crowd) log(format string, a ...any) { c.script = append(c.script, fmt.Sprintf(format, a...)) }

func (c *crowd) fail(format string, a ...any) {
	c.t.Helper()
	c.t.Fatalf("%s\nafter:\n%s", fmt.Sprintf(format, a...), strings.Join(c.script[max(0, len(c.script)-60):], "\n"))
}

func (c *crowd) chance(n int) bool { return !c.calm && c.rng.IntN(n) == 0 }

// reset is what a client does that is no member any more: it stops using all that it had.
func (cl *crowdClient) reset() {
	cl.epoch, cl.owned, cl.target, cl.waits, cl.leads = 0, nil, nil, false, nil
	if cl.classic {
		cl.id = ""
	}
}

// beat is one heartbeat of a client of the new protocol.
func (c *crowd) beat(cl *crowdClient) {
	if cl.target != nil && !c.chance(3) { // it is ready with giving up
		cl.owned = maps.Clone(cl.target)
	}
	req := &wire.ConsumerGroupHeartbeatRequest{GroupId: "g", MemberId: cl.id, MemberEpoch: cl.epoch, RebalanceTimeoutMs: -1}
	if cl.static != "" {
		req.InstanceId = wire.SomeString(cl.static)
	}
	if cl.epoch == 0 || cl.full || c.chance(4) {
		req.RebalanceTimeoutMs, req.SubscribedTopicNames = 60_000, append([]string{}, cl.topics...)
		if cl.regex != "" {
			req.SubscribedTopicRegex = wire.SomeString(cl.regex)
		}
	}
	if cl.epoch == 0 || cl.full || c.calm || !c.chance(3) {
		req.TopicPartitions = c.owns(cl)
	}
	records, resp := c.l.m.ConsumerGroupHeartbeat(c.l.at, Client{ID: cl.name, Host: "/h", Version: 1}, req)
	c.l.commit(records)
	c.log("%s (%s) beats at epoch %d with %v: %s %s epoch %d %+v", cl.name, cl.id, req.MemberEpoch, keys(cl.owned), resp.ErrorCode.Name(), resp.ErrorMessage.Value, resp.MemberEpoch, resp.Assignment)
	if c.chance(8) {
		c.log("  lost")
		cl.full = true
		return
	}
	cl.full = false
	switch resp.ErrorCode {
	case wire.ErrorNone:
	case wire.ErrorFencedMemberEpoch, wire.ErrorUnknownMemberID, wire.ErrorGroupIDNotFound:
		cl.reset()
		return
	case wire.ErrorUnreleasedInstanceID, wire.ErrorFencedInstanceID:
		cl.reset()
		cl.id = c.newID()
		return
	default:
		c.fail("unexpected answer")
	}
	cl.epoch = resp.MemberEpoch
	if resp.Assignment != nil {
		cl.target = make(map[ids.TopicPartition]bool)
		for _, t := range resp.Assignment.TopicPartitions {
			for _, p := range t.Partitions {
				cl.target[c.named(t.TopicId, p)] = true
			}
		}
		if within(cl.owned, cl.target) {
			cl.owned = maps.Clone(cl.target)
		}
	}
}

func keys(m map[ids.TopicPartition]bool) []string {
	var list []string
	for tp := range m {
		list = append(list, tp.String())
	}
	slices.Sort(list)
	return list
}

func within(a, b map[ids.TopicPartition]bool) bool {
	for tp := range a {
		if !b[tp] {
			return false
		}
	}
	return true
}

func (c *crowd) named(id wire.UUID, partition int32) ids.TopicPartition {
	topic, ok := c.l.image.TopicByID(ids.TopicID(id))
	if !ok {
		c.fail("a topic that does not exist is assigned")
	}
	return ids.TopicPartition{Topic: topic.Name, Partition: partition}
}

func (c *crowd) owns(cl *crowdClient) []wire.ConsumerGroupHeartbeatRequestTopicPartitions {
	byTopic := map[string][]int32{}
	for tp := range cl.owned {
		byTopic[tp.Topic] = append(byTopic[tp.Topic], tp.Partition)
	}
	list := []wire.ConsumerGroupHeartbeatRequestTopicPartitions{}
	for _, name := range slices.Sorted(maps.Keys(byTopic)) {
		topic, _ := c.l.image.Topic(name)
		list = append(list, wire.ConsumerGroupHeartbeatRequestTopicPartitions{TopicId: wire.UUID(topic.ID), Partitions: byTopic[name]})
	}
	return list
}

func (c *crowd) newID() string {
	c.l.ids++
	return fmt.Sprintf("id-%d", c.l.ids)
}

// join is JoinGroup of a classic client, which gives up all first (an eager one).
func (c *crowd) join(cl *crowdClient) {
	cl.owned, cl.leads, cl.waits = nil, nil, true
	req := &wire.JoinGroupRequest{GroupId: "g", MemberId: cl.id, SessionTimeoutMs: 45_000, RebalanceTimeoutMs: 60_000, ProtocolType: "consumer",
		Protocols: []wire.JoinGroupRequestProtocol{{Name: "range", Metadata: subscribing(strings.Join(cl.topics, "+"))}}}
	if cl.static != "" {
		req.GroupInstanceId = wire.SomeString(cl.static)
	}
	c.log("%s (%s) joins", cl.name, cl.id)
	c.l.commit(c.l.m.JoinGroup(c.l.at, Client{ID: cl.name, Host: "/h", Version: 9}, req, &answer[*wire.JoinGroupResponse]{tell: func(r *wire.JoinGroupResponse) {
		c.next = append(c.next, func() { c.joined(cl, r) })
	}}))
	c.follow()
}

func (c *crowd) joined(cl *crowdClient, r *wire.JoinGroupResponse) {
	c.log("%s joined: %s member %s generation %d leader %q", cl.name, r.ErrorCode.Name(), r.MemberId, r.GenerationId, r.Leader)
	cl.waits = false
	switch r.ErrorCode {
	case wire.ErrorNone:
		cl.id, cl.epoch = r.MemberId, r.GenerationId
		for _, m := range r.Members {
			cl.leads = append(cl.leads, m.MemberId)
		}
		if r.SkipAssignment {
			cl.leads = nil
		}
		c.sync(cl)
	case wire.ErrorMemberIDRequired:
		cl.id = r.MemberId
		c.join(cl)
	case wire.ErrorRebalanceInProgress:
		cl.epoch = 0 // joins again with its id
	case wire.ErrorUnknownMemberID, wire.ErrorFencedInstanceID:
		cl.reset()
	default:
		c.fail("unexpected answer")
	}
}

func (c *crowd) sync(cl *crowdClient) {
	req := &wire.SyncGroupRequest{GroupId: "g", MemberId: cl.id, GenerationId: cl.epoch}
	if cl.static != "" {
		req.GroupInstanceId = wire.SomeString(cl.static)
	}
	for i, id := range cl.leads {
		req.Assignments = append(req.Assignments, wire.SyncGroupRequestAssignment{MemberId: id, Assignment: c.assignClassic(i, len(cl.leads))})
	}
	cl.waits = true
	c.l.commit(c.l.m.SyncGroup(c.l.at, req, &answer[*wire.SyncGroupResponse]{tell: func(r *wire.SyncGroupResponse) {
		c.next = append(c.next, func() { c.synced(cl, r) })
	}}))
	c.follow()
}

// assignClassic is what a classic leader gives the nth of all members: each nth partition.
func (c *crowd) assignClassic(n, all int) []byte {
	var s share
	for _, topic := range c.l.image.Topics() {
		one := topicShare{topic: topic.ID}
		for p := range topic.Partitions {
			if p%all == n {
				one.partitions = append(one.partitions, int32(p))
			}
		}
		s = s.with(one)
	}
	return embedAssignment(s, 0, c.l.image)
}

func (c *crowd) synced(cl *crowdClient, r *wire.SyncGroupResponse) {
	cl.waits = false
	assigned, ok := readAssignment(r.Assignment)
	c.log("%s synced: %s %+v", cl.name, r.ErrorCode.Name(), assigned.AssignedPartitions)
	switch r.ErrorCode {
	case wire.ErrorNone:
		if len(r.Assignment) > 0 && !ok {
			c.fail("an assignment that cannot be read")
		}
		cl.owned = make(map[ids.TopicPartition]bool)
		for _, t := range assigned.AssignedPartitions {
			for _, p := range t.Partitions {
				cl.owned[ids.TopicPartition{Topic: t.Topic, Partition: p}] = true
			}
		}
	case wire.ErrorRebalanceInProgress:
		cl.epoch = 0
	case wire.ErrorUnknownMemberID, wire.ErrorFencedInstanceID, wire.ErrorIllegalGeneration:
		cl.reset()
	default:
		c.fail("unexpected answer")
	}
}

// follow lets clients react to answers.
func (c *crowd) follow() {
	for len(c.next) > 0 {
		do := c.next[0]
		c.next = c.next[1:]
		do()
	}
}

// act lets a client do what it does every few seconds.
func (c *crowd) act(cl *crowdClient) {
	switch {
	case cl.waits || cl.gone:
	case !cl.classic:
		c.beat(cl)
	case cl.epoch == 0:
		c.join(cl)
	default:
		req := &wire.HeartbeatRequest{GroupId: "g", MemberId: cl.id, GenerationId: cl.epoch}
		if cl.static != "" {
			req.GroupInstanceId = wire.SomeString(cl.static)
		}
		code := c.l.m.Heartbeat(c.l.at, Software{}, req)
		c.log("%s (%s) heartbeat in %d: %s", cl.name, cl.id, cl.epoch, code.Name())
		switch code {
		case wire.ErrorNone:
		case wire.ErrorRebalanceInProgress:
			c.join(cl)
		case wire.ErrorUnknownMemberID, wire.ErrorFencedInstanceID, wire.ErrorIllegalGeneration:
			cl.reset()
		default:
			c.fail("unexpected answer")
		}
	}
}

func (c *crowd) leave(cl *crowdClient) {
	c.log("%s (%s) leaves", cl.name, cl.id)
	if cl.waits {
		return
	}
	instance := wire.NullString{Value: cl.static, Valid: cl.static != ""}
	switch {
	case cl.epoch == 0:
	case cl.classic:
		records, _ := c.l.m.LeaveGroup(c.l.at, &wire.LeaveGroupRequest{GroupId: "g", Members: []wire.LeaveGroupRequestMemberIdentity{{MemberId: cl.id, GroupInstanceId: instance}}})
		c.l.commit(records)
		c.follow()
	default:
		req := &wire.ConsumerGroupHeartbeatRequest{GroupId: "g", MemberId: cl.id, MemberEpoch: leavingEpoch, InstanceId: instance, RebalanceTimeoutMs: -1}
		if cl.static != "" && c.chance(2) {
			req.MemberEpoch = staticLeaveEpoch
		}
		records, _ := c.l.m.ConsumerGroupHeartbeat(c.l.at, Client{Version: 1}, req)
		c.l.commit(records)
	}
	cl.reset()
	cl.gone = true
}

// pass lets time go by. Who is out by then knows it: its session has ended for itself, too.
func (c *crowd) pass(d time.Duration) {
	c.log("pass %v", d)
	c.l.pass(d)
	c.follow()
	g := c.l.m.groups["g"]
	for _, cl := range c.clients {
		isMember := g != nil && (g.consumer != nil && g.consumer.members[cl.id] != nil || g.classic != nil && g.classic.byID[cl.id] != nil)
		if !isMember && cl.epoch != 0 {
			c.log("  %s (%s) is out", cl.name, cl.id)
			cl.reset()
		}
	}
}

// check holds that no partition is used by two clients, and what the group must be in itself.
func (c *crowd) check() {
	c.t.Helper()
	used := make(map[ids.TopicPartition]string)
	for _, cl := range c.clients {
		for tp := range cl.owned {
			if other, taken := used[tp]; taken {
				c.fail("%s and %s both use %v", other, cl.name, tp)
			}
			used[tp] = cl.name
		}
	}
	if c.checks++; c.checks%10 == 0 { // it replays the whole log
		if err := c.l.check(); err != nil {
			c.fail("%v", err)
		}
	}
	if err := c.l.consistent(); err != nil {
		c.fail("%v", err)
	}
}

// consistent holds what a consumer group must be: what sums it up does, epochs are in order, and no partition has two owners.
func (c *consumerGroup) consistent(g *Group) error {
	sum := newConsumerGroup()
	for _, one := range c.members {
		sum.put(one)
		if one.epoch != staticLeaveEpoch && (one.epoch < 0 || one.epoch > c.targetEpoch) || c.targetEpoch > c.epoch {
			return fmt.Errorf("member %s in epoch %d, target %d, group %d", one.id, one.epoch, c.targetEpoch, c.epoch)
		}
		if (one.state == consumerUnrevoked) != (len(one.revoking) > 0) && one.epoch != staticLeaveEpoch {
			return fmt.Errorf("member %s in state %d has to give up %v", one.id, one.state, one.revoking)
		}
		if t := g.live.members[one.id]; t == nil || t.session.index == 0 {
			return fmt.Errorf("member %s has no session", one.id)
		}
	}
	owned := 0
	for _, one := range c.members {
		owned += one.assigned.size() + one.revoking.size()
	}
	for _, partitions := range c.owner {
		owned -= len(partitions)
	}
	if owned != 0 {
		return fmt.Errorf("%d partitions have two owners: %v", owned, c.owner)
	}
	for id := range g.live.members {
		if c.members[id] == nil {
			return fmt.Errorf("%s has timers and is no member", id)
		}
	}
	for regex, r := range c.regexes {
		if c.regexUse[regex] == 0 {
			return fmt.Errorf("nobody uses regular expression %q", regex)
		}
		sum.putRegex(regex, r)
	}
	for regex := range c.regexUse {
		if _, ok := c.regexes[regex]; !ok {
			return fmt.Errorf("regular expression %q was not looked up", regex)
		}
	}
	for id := range c.target {
		if c.members[id] == nil {
			return fmt.Errorf("%s has a target and is no member", id)
		}
	}
	sums := func(c *consumerGroup) string {
		return fmt.Sprint(c.subscribed, c.regexUse, c.assignors, c.owner, c.stableAt, c.classics, c.protocols, c.byInstance, c.bytes)
	}
	if got, want := sums(c), sums(sum); got != want {
		return fmt.Errorf("the group sums up to %s, should be %s", got, want)
	}
	return nil
}

func newCrowd(t testing.TB, seed uint64) *crowd {
	l := newLive(t)
	l.set.InitialRebalanceDelayMs = 0
	c := &crowd{t: t, l: l, rng: rand.New(rand.NewPCG(seed, 4))}
	for _, topic := range []string{"t", "u", "v"} {
		l.create(topic, 1+c.rng.IntN(5))
	}
	return c
}

// arrive adds a client.
func (c *crowd) arrive(classic bool) {
	cl := &crowdClient{name: fmt.Sprintf("c%d", len(c.clients)), classic: classic, topics: c.subscription()}
	if !classic {
		cl.id = c.newID()
		if c.rng.IntN(4) == 0 {
			cl.topics, cl.regex = nil, []string{"t|u", ".*", "w.*"}[c.rng.IntN(3)]
		}
	}
	if c.rng.IntN(5) == 0 {
		cl.static = fmt.Sprintf("s%d", c.rng.IntN(2))
		for _, other := range c.clients {
			if other.static == cl.static && !other.gone {
				cl.static = ""
			}
		}
	}
	c.log("%s arrives: classic %t static %q topics %v regex %q", cl.name, cl.classic, cl.static, cl.topics, cl.regex)
	c.clients = append(c.clients, cl)
}

func (c *crowd) subscription() []string {
	return [][]string{{"t"}, {"t", "u"}, {"t", "u"}, {"u", "v"}, {"missing", "t"}, {}}[c.rng.IntN(6)]
}

// step is one thing that happens.
func (c *crowd) step(classics bool) {
	var here []*crowdClient
	for _, cl := range c.clients {
		if !cl.gone {
			here = append(here, cl)
		}
	}
	if len(here) == 0 || len(here) < 6 && c.rng.IntN(8) == 0 {
		c.arrive(classics && c.rng.IntN(2) == 0)
		return
	}
	cl := here[c.rng.IntN(len(here))]
	switch n := c.rng.IntN(100); {
	case n < 70:
		c.act(cl)
	case n < 82:
		c.pass([]time.Duration{time.Millisecond, time.Second, 5 * time.Second, 5 * time.Second, 20 * time.Second}[c.rng.IntN(5)])
	case n < 88:
		c.leave(cl)
	case n < 91 && !cl.waits: // it vanishes, and stops on its own
		c.log("%s (%s) vanishes", cl.name, cl.id)
		cl.reset()
		cl.gone = true
	case n < 94 && !cl.classic && cl.regex == "":
		cl.topics = c.subscription()
		c.log("%s subscribes to %v", cl.name, cl.topics)
		if cl.epoch > 0 {
			c.l.run(fmt.Sprintf("beat g id=%s epoch=%d topics=%s%s", cl.id, cl.epoch, strings.Join(cl.topics, ","), map[bool]string{true: " static=" + cl.static}[cl.static != ""]))
		}
	case n < 96:
		c.grow()
	case n < 97 && c.l.topics < 8:
		c.log("another topic")
		c.l.create(fmt.Sprintf("w%d", c.l.topics), 2)
	case n < 99:
		c.log("reload")
		c.l.run("reload")
		for _, cl := range c.clients {
			if cl.waits {
				cl.waits, cl.epoch = false, 0
			}
		}
	}
}

// grow gives topic t one more partition.
func (c *crowd) grow() {
	topic, _ := c.l.image.Topic("t")
	c.log("t grows")
	c.l.changeImage([]wire.MetadataRecord{&wire.PartitionRecord{PartitionId: int32(len(topic.Partitions)), TopicId: wire.UUID(topic.ID), Replicas: []int32{1}, Isr: []int32{1}, Leader: 1}})
}

// TestReconciliation: whatever comes and goes, no partition is used by two; and when it is quiet, all that somebody subscribes
// to is used.
func TestReconciliation(t *testing.T) {
	seeds := 40
	if testing.Short() {
		seeds = 20
	}
	rebalances, migrations := 0, 0
	for seed := range seeds {
		c := newCrowd(t, uint64(seed))
		c.log("seed %d", seed)
		kind := ""
		for range 200 {
			c.step(seed%2 == 1)
			c.check()
			if g := c.l.m.groups["g"]; g != nil && g.kind() != kind {
				kind = g.kind()
				migrations++
			}
		}
		c.settle()
		if g := c.l.m.groups["g"]; g != nil && g.consumer != nil {
			c.grow()
			c.settle()
		}
		rebalances += c.l.m.totals.Rebalances
	}
	if rebalances < seeds || migrations < seeds {
		t.Errorf("only %d rebalances and %d migrations in %d runs", rebalances, migrations, seeds)
	}
}

// settle lets everybody be quick and nothing get lost, until nothing changes any more.
func (c *crowd) settle() {
	c.t.Helper()
	c.calm = true
	c.log("calm")
	for range 30 {
		for _, cl := range c.clients {
			c.act(cl)
			c.check()
		}
		c.pass(5 * time.Second)
		c.check()
	}
	g := c.l.m.groups["g"]
	if g == nil {
		return
	}
	if state := g.state(); state != "Stable" && state != "Empty" {
		c.fail("the group is %s", state)
	}
	used := make(map[ids.TopicPartition]bool)
	wanted := make(map[string]bool)
	for _, cl := range c.clients {
		maps.Copy(used, cl.owned)
		if cl.gone {
			continue
		}
		for _, topic := range cl.topics {
			wanted[topic] = true
		}
		if cl.regex != "" {
			for _, topic := range matching(c.l.image, cl.regex) {
				wanted[topic] = true
			}
		}
	}
	for topic := range wanted {
		image, ok := c.l.image.Topic(topic)
		for p := 0; ok && p < len(image.Partitions); p++ {
			if tp := (ids.TopicPartition{Topic: topic, Partition: int32(p)}); !used[tp] {
				c.fail("nobody uses %v", tp)
			}
		}
	}
}
