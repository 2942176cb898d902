package group

import (
	"time"

	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
)

// consumerLive is the volatile half of a consumer group: what a coordinator that loads the group starts anew.
type consumerLive struct {
	members map[string]*liveConsumer // of those that are members, or are about to be
	// image is the metadata for which the group's metadata hash was last compared.
	image *metadata.Image
	// regexImage is the metadata in which the group's regular expressions were last looked up, at regexAt.
	regexImage *metadata.Image
	regexAt    time.Duration

	// own are the group's own settings in the metadata ownImage, if hasOwn.
	own      ConsumerSettings
	hasOwn   bool
	ownImage *metadata.Image

	rebalance Rebalance // the present one; without a reason there is none
	since     time.Duration
}

// liveConsumer is what is volatile of one member: timers, each of which fences it, and what it last said that it is.
type liveConsumer struct {
	session timer
	revoke  timer // it has to give up partitions
	join    timer // a classic member has to join again
	sync    timer // a classic member has to ask for its assignment

	software Software
}

// liveOf is what is volatile of a member, made if there is none.
func (m *Machine) liveOf(g *Group, id string) *liveConsumer {
	t := g.live.members[id]
	if t == nil {
		t = new(liveConsumer)
		why := map[*timer]string{&t.session: "was not heard of in time", &t.revoke: "did not give up its partitions in time",
			&t.join: "did not join again in time", &t.sync: "did not ask for its assignment in time"}
		for one, reason := range why {
			one.group = g
			one.fire = func(at machine.Moment) []machine.Record { return m.consumerTimedOut(at, g, id, reason) }
		}
		if g.live.members == nil {
			g.live.members = make(map[string]*liveConsumer)
		}
		g.live.members[id] = t
	}
	return t
}

func (m *Machine) touchConsumer(at machine.Moment, g *Group, id string, session time.Duration) {
	m.timers.set(&m.liveOf(g, id).session, at.Monotonic+session)
}

// softwareOf is what a member last said that it is; nothing until it is heard of again after the group was loaded.
func (l *consumerLive) softwareOf(id string) Software {
	if t := l.members[id]; t != nil {
		return t.software
	}
	return Software{}
}

func (m *Machine) stopConsumer(g *Group, id string) {
	if t := g.live.members[id]; t != nil {
		for _, one := range [...]*timer{&t.session, &t.revoke, &t.join, &t.sync} {
			m.timers.stop(one)
		}
		delete(g.live.members, id)
	}
}

// loadConsumers gives every member of a consumer group a new session.
func (m *Machine) loadConsumers(at machine.Moment, g *Group) {
	if g.consumer == nil {
		return
	}
	session := milliseconds(m.consumerSettings(g, m.image()).SessionMs)
	for _, one := range g.consumer.sorted() {
		m.touchConsumer(at, g, one.id, session)
		if one.state == consumerUnrevoked && one.classic == nil {
			m.timers.set(&m.liveOf(g, one.id).revoke, at.Monotonic+milliseconds(one.rebalanceMs))
		}
	}
}

// consumerSettings are the group's own, or those of all.
func (m *Machine) consumerSettings(g *Group, image *metadata.Image) ConsumerSettings {
	if m.cfg.ConsumerSettings != nil && g.live.ownImage != image {
		g.live.own, g.live.hasOwn = m.cfg.ConsumerSettings(image, g.id)
		g.live.ownImage = image
	}
	if g.live.hasOwn {
		return g.live.own
	}
	return m.cfg.Settings().Consumer
}

// consumerTimedOut fences a member.
func (m *Machine) consumerTimedOut(at machine.Moment, g *Group, id, reason string) []machine.Record {
	if g.consumer == nil || g.consumer.members[id] == nil {
		m.stopConsumer(g, id)
		m.forget(g)
		return nil
	}
	one := g.consumer.members[id]
	noteID(&g.live.rebalance.TimedOut, id)
	return m.fence(at, g, []*consumer{one}, "member "+id+" "+reason)
}
