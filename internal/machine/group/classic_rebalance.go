package group

import (
	"fmt"
	"strings"
	"time"

	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/wire"
)

// allJoined tells whether nobody is awaited who might still join.
func (c *classic) allJoined() bool { return c.joining == len(c.members) && len(c.pending) == 0 }

// rebalanceTimeout is how long members have for coming back: the longest that one of them asked for.
func (c *classic) rebalanceTimeout() time.Duration {
	var longestMs int32
	for _, one := range c.members {
		longestMs = max(longestMs, one.rebalanceTimeoutMs)
	}
	return milliseconds(longestMs)
}

func (c *classic) transition(at machine.Moment, to state) {
	c.state, c.stateChangedMs = to, at.NowMs
}

// rebalanceOrComplete reacts to a member that came, went or changed.
func (m *Machine) rebalanceOrComplete(at machine.Moment, c *classic, reason string) []machine.Record {
	if c.state == preparingRebalance {
		return m.maybeCompleteJoin(at, c)
	}
	return m.prepareRebalance(at, c, reason)
}

// maybeCompleteJoin ends the joining early if everybody is there. An initial rebalance waits for its delay anyway.
func (m *Machine) maybeCompleteJoin(at machine.Moment, c *classic) []machine.Record {
	if c.state != preparingRebalance || c.initial || !c.allJoined() {
		return nil
	}
	return m.completeJoin(at, c)
}

// prepareRebalance asks all members to join again, from any state but PreparingRebalance.
func (m *Machine) prepareRebalance(at machine.Moment, c *classic, reason string) []machine.Record {
	if c.state == completingRebalance {
		for _, one := range c.members {
			one.assignment = nil
			if one.sync != nil {
				answerSync(one, &wire.SyncGroupResponse{ErrorCode: wire.ErrorRebalanceInProgress, Assignment: []byte{}})
				m.touch(at, c, one)
			}
		}
	} else {
		c.paused = at.Monotonic
	}
	if c.rebalance.Reason == "" {
		c.rebalance.Reason = reason
	}
	clear(c.unsynced)
	m.timers.stop(&c.syncTimer)
	c.initial = c.state == empty
	c.transition(at, preparingRebalance)
	switch {
	case c.initial:
		delay := milliseconds(m.cfg.Settings().InitialRebalanceDelayMs)
		c.newMember = false
		m.delayInitial(at, c, delay, max(c.rebalanceTimeout()-delay, 0))
		return nil
	case c.allJoined():
		return m.completeJoin(at, c)
	}
	m.awaitJoins(at, c)
	return nil
}

// delayInitial waits for more members of a group that was empty: another delay as long as somebody comes in each, up to the
// rebalance timeout. remaining is what is left of that after this delay.
func (m *Machine) delayInitial(at machine.Moment, c *classic, delay, remaining time.Duration) {
	c.joinTimer.fire = func(at machine.Moment) []machine.Record {
		if !c.newMember || remaining == 0 {
			return m.completeJoin(at, c)
		}
		c.newMember = false
		next := min(milliseconds(m.cfg.Settings().InitialRebalanceDelayMs), remaining)
		m.delayInitial(at, c, next, max(remaining-delay, 0))
		return nil
	}
	m.timers.set(&c.joinTimer, at.Monotonic+delay)
}

func (m *Machine) awaitJoins(at machine.Moment, c *classic) {
	c.joinTimer.fire = func(at machine.Moment) []machine.Record { return m.completeJoin(at, c) }
	m.timers.stop(&c.joinTimer)
	m.timers.set(&c.joinTimer, at.Monotonic+c.rebalanceTimeout())
}

// completeJoin begins the next generation with those who have joined, and the static members; the others are out.
func (m *Machine) completeJoin(at machine.Moment, c *classic) []machine.Record {
	m.timers.stop(&c.joinTimer)
	var late []*member
	for _, one := range c.members {
		if one.join == nil && !one.instanceID.Valid {
			late = append(late, one)
		}
	}
	for _, one := range late {
		c.note(&c.rebalance.TimedOut, one)
		m.remove(c, one)
	}
	if len(c.members) > 0 && !c.electLeader() {
		m.awaitJoins(at, c) // static members only, none of whom has come back
		return nil
	}
	c.initial = false
	c.generation++
	clear(c.unsynced)
	if len(c.members) == 0 {
		c.protocol = wire.NullString{}
		c.subscribe()
		c.transition(at, empty)
		m.settled(at, c)
		return []machine.Record{c.record()}
	}
	c.protocol = wire.SomeString(c.elect())
	c.subscribe()
	c.transition(at, completingRebalance)
	for _, one := range c.members {
		answer := c.joined(one)
		if one.id == c.leader {
			answer.Members = c.joinedMembers()
		}
		c.answerJoin(one, answer)
		m.touch(at, c, one)
		one.isNew = false
		c.unsynced[one.id] = true
	}
	generation := c.generation
	c.syncTimer.fire = func(at machine.Moment) []machine.Record { return m.syncEnded(at, c, generation) }
	m.timers.set(&c.syncTimer, at.Monotonic+c.rebalanceTimeout())
	return nil
}

// electLeader lets somebody lead who has joined; false if nobody has.
func (c *classic) electLeader() bool {
	if c.byID[c.leader].join != nil {
		return true
	}
	for _, one := range c.members {
		if one.join != nil {
			c.leader = one.id
			return true
		}
	}
	return false
}

// syncEnded removes those who have joined and never asked for their assignment.
func (m *Machine) syncEnded(at machine.Moment, c *classic, generation int32) []machine.Record {
	if c.generation != generation || len(c.unsynced) == 0 {
		return nil
	}
	var late []*member
	var names []string
	for _, one := range c.members {
		if c.unsynced[one.id] {
			late, names = append(late, one), append(names, one.id)
		}
	}
	for _, one := range late {
		c.note(&c.rebalance.TimedOut, one)
		m.remove(c, one)
	}
	return m.prepareRebalance(at, c, "no SyncGroup in time from "+strings.Join(names[:min(len(names), maxNoted)], ", "))
}

// sessionEnded removes a member that was not heard of.
func (m *Machine) sessionEnded(at machine.Moment, c *classic, one *member) []machine.Record {
	if c.byID[one.id] != one || !one.isNew && (one.join != nil || one.sync != nil) {
		return nil // a member that waits for our answer need not send heartbeats
	}
	c.note(&c.rebalance.TimedOut, one)
	m.remove(c, one)
	if c.state == preparingRebalance {
		if c.allJoined() {
			return m.completeJoin(at, c)
		}
		return nil
	}
	return m.prepareRebalance(at, c, fmt.Sprintf("member %s was not heard of for %d ms", one.id, one.sessionTimeoutMs))
}

// pendingEnded forgets a member id that was given and not used.
func (m *Machine) pendingEnded(at machine.Moment, c *classic, id string) []machine.Record {
	m.removePending(c, id)
	if c.state == preparingRebalance && c.allJoined() {
		return m.completeJoin(at, c)
	}
	m.forget(c.group)
	return nil
}

func (m *Machine) removePending(c *classic, id string) {
	if t := c.pending[id]; t != nil {
		m.timers.stop(t)
		delete(c.pending, id)
	}
}
