package group

import (
	"github.com/ottla-io/ottla/internal/machine"
)

// expiry walks over all groups every offsets.retention.check.interval.ms, in slices, so that it holds nobody up.
type expiry struct {
	timer timer
	next  []*Group // of the present walk
}

// maxExpired is how many records one slice of the walk makes before others have their turn.
const maxExpired = 1000

func (m *Machine) startExpiry(at machine.Moment) {
	m.expiry.timer.fire = m.expire
	m.timers.set(&m.expiry.timer, at.Monotonic+milliseconds(m.cfg.Settings().OffsetsCheckMs))
}

// expire forgets offsets that nobody has needed for offsets.retention.minutes, and groups that have neither offsets nor members.
func (m *Machine) expire(at machine.Moment) (records []machine.Record) {
	settings := m.cfg.Settings()
	if len(m.expiry.next) == 0 {
		m.expiry.next = m.sorted()
	}
	for len(m.expiry.next) > 0 && len(records) < maxExpired {
		g := m.expiry.next[0]
		m.expiry.next = m.expiry.next[1:]
		if m.groups[g.id] == g {
			records = append(records, m.expireGroup(at, g, settings)...)
		}
	}
	if len(m.expiry.next) > 0 {
		m.timers.set(&m.expiry.timer, at.Monotonic)
	} else {
		m.timers.set(&m.expiry.timer, at.Monotonic+milliseconds(settings.OffsetsCheckMs))
	}
	return records
}

func (m *Machine) expireGroup(at machine.Moment, g *Group, settings Settings) (records []machine.Record) {
	since, may := g.unneededSince()
	if !may {
		return nil
	}
	left := len(g.unstable) > 0
	for _, topic := range g.topics() {
		kept := g.subscribes(topic)
		now := m.topic(topic)
		for _, partition := range g.partitions(topic) {
			c := g.offsets[topic][partition]
			switch {
			case kept || g.isUnstable(topic, partition) || settings.KeepOffsetsWithTopic && (now != nil && c.of(now) || m.inTrash(c.Topic)) || !c.expired(at.NowMs, since, settings.OffsetsRetentionMs):
				left = true
			default:
				m.totals.Expired++
				records = append(records, offsetTombstone(g, topic, partition))
			}
		}
	}
	if !left && g.isEmpty() && g.classic.forgettable() {
		records = append(records, m.groupTombstones(g)...)
	}
	return records
}

// unneededSince tells whether offsets of the group may expire, and since when it needs none of them: -1 is since each was
// committed.
func (g *Group) unneededSince() (sinceMs int64, may bool) {
	c := g.classic
	switch {
	case c == nil || c.protocolType == "":
		return -1, true
	case c.state == empty:
		return c.stateChangedMs, true
	}
	// Offsets of topics to which a consumer group does not subscribe any more.
	return -1, c.state == stable && c.subscribedKnown
}

func (c Committed) expired(nowMs, sinceMs, retentionMs int64) bool {
	switch {
	case c.ExpireMs >= 0:
		return nowMs >= c.ExpireMs
	case sinceMs < 0:
		sinceMs = c.CommitMs
	}
	return nowMs-sinceMs >= retentionMs
}
