package main

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The rows of consumer groups: heartbeats, consumers that have nothing to read, commits. All are of the classic protocol but where it is said.

func groupRows(o options) []row {
	var members []membership // of the row that is being measured
	var idlers []idler
	joined := func(groups, each int) func(addr, topic string) error {
		return func(addr, topic string) (err error) {
			members, err = joinGroups(addr, topic, groups, each)
			return err
		}
	}
	all := []row{
		{name: "B15", what: "heartbeats: 16 members of one group, 1 in flight each", mode: "fsync", partitions: 1, unit: "req", latency: true, brokersOnly: true,
			prepare: joined(1, 16), run: func(addr, _ string) (load, error) {
				return roundTrips(addr, func(i int) *request { return members[i].heartbeat() }, 16, 0, o.each)
			}},
		commits(o, 10),
	}
	if o.short {
		return all
	}
	modern := row{name: "B15", what: "heartbeats of KIP-848: 16 members of one group, 1 in flight each", mode: "fsync", partitions: 16, unit: "req", latency: true, brokersOnly: true,
		prepare: func(addr, topic string) (err error) {
			members, err = joinConsumers(addr, topic, 16)
			return err
		},
		run: func(addr, _ string) (load, error) {
			return roundTrips(addr, func(i int) *request { return members[i].consumerHeartbeat() }, 16, 0, o.each)
		}}
	idle := row{name: "B16", what: "1,000 idle consumers in 100 groups, each with a heartbeat every 3 s and a fetch that waits 500 ms; per second", mode: "fsync", partitions: 10, unit: "s",
		brokersOnly: true, ottlaOnly: true, // Kafka rebalances while they join, and puts out those that do not follow with heartbeats
		prepare: func(addr, topic string) (err error) {
			closeIdle(idlers)
			if err = joined(100, 10)(addr, topic); err == nil {
				idlers, err = connectIdle(addr, topic, members)
			}
			return err
		}, run: func(string, string) (load, error) { return idleConsumers(idlers, max(o.each, 6*time.Second)) }}
	return append(all, modern, commits(o, 1), commits(o, 100), idle)
}

// commits are those of 100 consumers that assign their partitions themselves, spread over groups, and so over partitions of __consumer_offsets.
func commits(o options, groups int) row {
	run := func(addr, topic string, perSecond int, limit time.Duration) (load, error) {
		return roundTrips(addr, func(n int) *request { return commitRequest(fmt.Sprintf("%s-%d", topic, n%groups), topic) }, 100, perSecond, limit)
	}
	return row{name: "B17", what: fmt.Sprintf("commits: 10,000 a second, from 100 consumers in %d groups with 1 in flight each", groups), mode: "fsync", partitions: 1, unit: "req",
		latency: true, brokersOnly: true,
		prepare: func(addr, topic string) error {
			for n := range groups {
				if err := findCoordinator(addr, fmt.Sprintf("%s-%d", topic, n)); err != nil {
					return err
				}
			}
			_, err := run(addr, topic, 0, 100*time.Millisecond)
			return err
		},
		run: func(addr, topic string) (load, error) { return run(addr, topic, 10_000, o.each) },
	}
}

// Kafka's error codes that are no failure here.
const unknownMember, rebalanceInProgress = 25, 27

// caller speaks to a broker one request at a time.
type caller struct {
	conn   net.Conn
	format *kmsg.RequestFormatter
	said   int32
	buf    []byte
}

func newCaller(addr string) (*caller, error) {
	conn, err := dial(addr)
	if err != nil {
		return nil, err
	}
	return &caller{conn: conn, format: kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID))}, nil
}

// ask sends one request of a version without flexible fields and reads its answer.
func (c *caller) ask(req kmsg.Request, resp kmsg.Response, version int16) error {
	return c.exchange(req, resp, version, 4)
}

// askFlexible is ask for versions with flexible fields, whose response header ends with tags.
func (c *caller) askFlexible(req kmsg.Request, resp kmsg.Response, version int16) error {
	return c.exchange(req, resp, version, 5)
}

func (c *caller) exchange(req kmsg.Request, resp kmsg.Response, version int16, header int) error {
	req.SetVersion(version)
	resp.SetVersion(version)
	c.said++
	if _, err := c.conn.Write(c.format.AppendRequest(nil, req, c.said)); err != nil {
		return err
	}
	var err error
	if c.buf, err = readResponse(c.conn, c.buf); err != nil {
		return err
	}
	return resp.ReadFrom(c.buf[header:])
}

// await asks until the coordinator is found, whose topic the first question makes, and has loaded the group.
func (c *caller) await(group string) error {
	for range 200 {
		req, resp := kmsg.NewPtrFindCoordinatorRequest(), kmsg.NewPtrFindCoordinatorResponse()
		req.CoordinatorKey = group
		if err := c.ask(req, resp, 2); err != nil {
			return err
		}
		if resp.ErrorCode == 0 {
			beat, beaten := kmsg.NewPtrHeartbeatRequest(), kmsg.NewPtrHeartbeatResponse()
			beat.Group, beat.MemberID = group, "nobody"
			if err := c.ask(beat, beaten, 3); err != nil {
				return err
			}
			if beaten.ErrorCode == unknownMember {
				return nil
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("group %s: no coordinator in ten seconds", group)
}

// membership is one member of a settled group.
type membership struct {
	group, id  string
	generation int32
}

func findCoordinator(addr, group string) error {
	c, err := newCaller(addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.conn.Close() }()
	return c.await(group)
}

// joinGroups makes members settle in groups, all at the same time, as processes that start together do. Those of a group follow each other.
func joinGroups(addr, topic string, groups, each int) ([]membership, error) {
	members, errs := make([]membership, groups*each), make([]error, groups*each)
	var wg sync.WaitGroup
	for i := range members {
		wg.Add(1)
		go func() {
			defer wg.Done()
			members[i], errs[i] = join(addr, fmt.Sprintf("%s-%d", topic, i/each))
		}()
	}
	wg.Wait()
	return members, errors.Join(errs...)
}

func join(addr, group string) (m membership, err error) {
	c, err := newCaller(addr)
	if err != nil {
		return m, err
	}
	defer func() { _ = c.conn.Close() }()
	if err := c.await(group); err != nil {
		return m, err
	}
	m.group = group
	for range 100 {
		req, resp := kmsg.NewPtrJoinGroupRequest(), kmsg.NewPtrJoinGroupResponse()
		req.Group, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis, req.MemberID, req.ProtocolType = group, 45_000, 60_000, m.id, "bench"
		req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "none"}}
		if err := c.ask(req, resp, 3); err != nil {
			return m, err
		}
		if resp.ErrorCode != 0 {
			return m, fmt.Errorf("join %s: error %d", group, resp.ErrorCode)
		}
		m.id, m.generation = resp.MemberID, resp.Generation
		sync, synced := kmsg.NewPtrSyncGroupRequest(), kmsg.NewPtrSyncGroupResponse()
		sync.Group, sync.Generation, sync.MemberID = group, m.generation, m.id
		if err := c.ask(sync, synced, 2); err != nil {
			return m, err
		}
		switch synced.ErrorCode {
		case 0:
			return m, nil
		case rebalanceInProgress:
		default:
			return m, fmt.Errorf("sync %s: error %d", group, synced.ErrorCode)
		}
	}
	return m, fmt.Errorf("group %s does not settle", group)
}

// joinConsumers makes n members settle in a group of KIP-848 that reads the topic, so that a heartbeat of each changes nothing.
func joinConsumers(addr, topic string, n int) ([]membership, error) {
	if err := findCoordinator(addr, topic); err != nil {
		return nil, err
	}
	c, err := newCaller(addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.conn.Close() }()
	members := make([]membership, n)
	owned := make([][]kmsg.ConsumerGroupHeartbeatRequestTopic, n)
	beat := func(i int) (changed bool, err error) {
		m := &members[i]
		req, resp := kmsg.NewPtrConsumerGroupHeartbeatRequest(), kmsg.NewPtrConsumerGroupHeartbeatResponse()
		req.Group, req.MemberID, req.MemberEpoch, req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.Topics = m.group, m.id, m.generation, 60_000, []string{topic}, owned[i]
		if err := c.askFlexible(req, resp, 0); err != nil {
			return false, err
		}
		if resp.ErrorCode != 0 {
			return false, fmt.Errorf("heartbeat of %s: error %d", m.id, resp.ErrorCode)
		}
		changed = m.generation != resp.MemberEpoch
		m.generation = resp.MemberEpoch
		if before := fmt.Sprint(owned[i]); resp.Assignment != nil { // a full request always gets one
			owned[i] = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
			for _, t := range resp.Assignment.Topics {
				owned[i] = append(owned[i], kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
			}
			changed = changed || fmt.Sprint(owned[i]) != before
		}
		return changed, nil
	}
	for i := range members {
		members[i] = membership{group: topic, id: fmt.Sprintf("%s-member-%d", topic, i)}
		owned[i] = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	}
	for quiet, round := 0, 0; quiet < 15*n; round++ {
		if round > 1000*n {
			return nil, fmt.Errorf("group %s does not settle", topic)
		}
		changed, err := beat(round % n)
		switch {
		case err != nil:
			return nil, err
		case changed:
			quiet = 0
		default:
			quiet++
		}
		if round%n == n-1 {
			time.Sleep(100 * time.Millisecond) // the assignment is computed at most once a second
		}
	}
	return members, nil
}

// consumerHeartbeat says that nothing changed.
func (m membership) consumerHeartbeat() *request {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch = m.group, m.id, m.generation
	// correlation, tags, throttle
	return &request{frame: kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, req, 0), errAt: 4 + 1 + 4}
}

func (m membership) heartbeat() *request {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.Generation, req.MemberID = 3, m.group, m.generation, m.id
	return &request{frame: kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, req, 0), errAt: 8}
}

// commitRequest commits offset 1 of partition 0, as a consumer does that assigns its partitions itself.
func commitRequest(group, topic string) *request {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = 7, group, -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = 1
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	// correlation, throttle, one topic and its name, one partition and its number
	return &request{frame: kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, req, 0), errAt: 4 + 4 + 4 + 2 + len(topic) + 4 + 4}
}

// idler is a member that has read everything: it has a connection on which it waits for records of one partition, and one for its heartbeats.
type idler struct {
	fetcher *fetcher
	beats   net.Conn
	beat    *request
}

// connectIdle makes both connections of each member and uses them once: what they cost afterwards is what waiting costs.
func connectIdle(addr, topic string, members []membership) ([]idler, error) {
	var wg sync.WaitGroup
	idlers, errs := make([]idler, len(members)), make([]error, len(members))
	for i, m := range members {
		wg.Go(func() {
			one := &idlers[i]
			one.beat = m.heartbeat()
			if one.fetcher, errs[i] = newFetcher(addr, topic, 1, 1<<20, 500*time.Millisecond); errs[i] != nil {
				return
			}
			if one.beats, errs[i] = dial(addr); errs[i] != nil {
				return
			}
			if _, _, errs[i] = one.fetcher.fetch(); errs[i] == nil {
				errs[i] = one.heartbeat()
			}
		})
	}
	wg.Wait()
	return idlers, errors.Join(errs...)
}

func closeIdle(idlers []idler) {
	for _, one := range idlers {
		if one.fetcher != nil {
			one.fetcher.close()
		}
		if one.beats != nil {
			_ = one.beats.Close()
		}
	}
}

// idleConsumers lets them wait. Requests are the seconds that passed, in full.
func idleConsumers(idlers []idler, limit time.Duration) (load, error) {
	var wg sync.WaitGroup
	errs := make([]error, 2*len(idlers))
	begin := time.Now()
	for i := range idlers {
		one := &idlers[i]
		wg.Go(func() {
			for time.Since(begin) < limit && errs[2*i] == nil {
				_, _, errs[2*i] = one.fetcher.fetch()
			}
		})
		wg.Go(func() {
			errs[2*i+1] = one.beatUntil(begin.Add(limit), time.Duration(i)*heartbeatEvery/time.Duration(len(idlers)))
		})
	}
	wg.Wait()
	took := time.Since(begin)
	return load{requests: int64(took.Round(time.Second) / time.Second), wall: took}, errors.Join(errs...)
}

// heartbeatEvery is the Java client's heartbeat.interval.ms.
const heartbeatEvery = 3 * time.Second

// beatUntil sends a heartbeat every three seconds, the first one after a while, so that those of all members are spread.
func (one *idler) beatUntil(end time.Time, first time.Duration) error {
	for at := time.Now().Add(first); at.Before(end); at = at.Add(heartbeatEvery) {
		time.Sleep(time.Until(at))
		if err := one.heartbeat(); err != nil {
			return err
		}
	}
	time.Sleep(time.Until(end))
	return nil
}

func (one *idler) heartbeat() error {
	if _, err := one.beats.Write(one.beat.frame); err != nil {
		return err
	}
	answer, err := readResponse(one.beats, nil)
	if err != nil {
		return err
	}
	return one.beat.checkResponse(answer, 0)
}
