package group

import (
	"maps"
	"slices"
	"strings"

	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// step is what one request does to a group's epochs.
type step struct {
	before, updated *consumer
	isNew           bool // the group has one member more

	namesChanged bool // topics that the member subscribes to by name
	regexChanged bool // the member's regular expression
	bump         bool
	epoch        int32 // of the group, after the request
	use          map[string]int
	subscribed   map[string]subscribers
}

// advance records what the request changed of the member, raises the group epoch if that or the metadata changed what there is
// to assign, computes the target assignment for it, and brings the member closer to that.
func (b *beat) advance(before, updated *consumer) (*consumer, *refusal) {
	s, refused := b.subscribe(before, updated)
	if refused != nil {
		return nil, refused
	}
	targetEpoch, target := b.target(s)
	after := b.reconcile(updated, targetEpoch, target, s.namesChanged || s.regexChanged)
	b.settle(s, after, targetEpoch)
	return after, nil
}

// subscribe is the first half of advance: what the request changed, and the group epoch.
func (b *beat) subscribe(before, updated *consumer) (*step, *refusal) {
	s := &step{before: before, updated: updated, epoch: b.c.epoch, use: b.c.regexUse, subscribed: b.c.subscribed,
		isNew: b.c.members[updated.id] == nil && b.c.static(updated.instance) == nil}
	if !updated.sameMetadata(before) {
		b.records = append(b.records, memberRecord(b.g.id, updated))
	}
	s.namesChanged = !slices.Equal(updated.topics, before.topics)
	if refused := b.lookUpRegexes(s); refused != nil {
		return nil, refused
	}
	if refused := b.checkBytes(s); refused != nil {
		return nil, refused
	}
	s.bump = s.bump || s.namesChanged
	if s.bump || s.regexChanged || b.g.live.image != b.image {
		b.raiseEpoch(s)
	}
	return s, nil
}

// checkBytes refuses what would make the group larger than maxMembersBytes, as for classic groups. The group's name is in each of its
// records.
func (b *beat) checkBytes(s *step) *refusal {
	if !s.namesChanged && !s.regexChanged && !s.isNew && s.updated.classic == nil {
		return nil
	}
	names := len(b.c.members) * len(b.g.id)
	before := b.c.bytes + names
	after := before + s.updated.size()
	if s.isNew {
		after += len(b.g.id)
	} else {
		after -= s.before.size()
	}
	for regex, r := range b.regexes {
		after += r.size() - b.c.regexes[regex].size()
	}
	if after > maxMembersBytes && after > before {
		return refuse(wire.ErrorGroupMaxSizeReached, "The consumer group has reached its maximum size of %d bytes.", maxMembersBytes)
	}
	return nil
}

// raiseEpoch sums up the subscriptions after the request, and raises the group epoch if that is wanted anyway or the topics'
// metadata is not what it was.
func (b *beat) raiseEpoch(s *step) {
	c := b.c
	if s.bump || s.regexChanged {
		s.subscribed = maps.Clone(c.subscribed)
		countNames(s.subscribed, s.before.topics, -1)
		countNames(s.subscribed, s.updated.topics, 1)
		for _, r := range c.regexes {
			countRegex(s.subscribed, r.topics, -1)
		}
		for _, r := range b.regexes {
			countRegex(s.subscribed, r.topics, 1)
		}
	}
	hash := b.m.metadataHash(b.image, s.subscribed)
	if hash != c.metadataHash {
		if !s.bump {
			b.begin("the metadata of topics changed")
		}
		s.bump = true
	}
	if s.bump {
		s.epoch++
		b.records = append(b.records, epochRecord(b.g.id, s.epoch, hash))
		b.begin(s.reason())
	}
	if c.legacy {
		b.records = append(b.records, tombstone(&wire.ConsumerGroupPartitionMetadataKey{GroupId: b.g.id}))
	}
	b.succeeded = append(b.succeeded, func() { b.g.live.image = b.image })
}

func (s *step) reason() string {
	switch {
	case s.isNew:
		return "member " + s.updated.id + " joined"
	case s.namesChanged || s.regexChanged:
		return "member " + s.updated.id + " changed its subscription"
	}
	return "other topics match a regular expression"
}

// subscribeAlike tells whether all members subscribe to the same topics, in a way that is quick to see.
func subscribeAlike(use map[string]int, subscribed map[string]subscribers, members int) bool {
	if len(use) == 0 {
		for _, s := range subscribed {
			if s.byName != members {
				return false
			}
		}
		return true
	}
	for _, n := range use {
		if n != members {
			return false
		}
	}
	for _, s := range subscribed {
		if s.byRegex != 1 || s.byName > 0 {
			return false
		}
	}
	return true
}

// target is the target assignment of the updated member, and its epoch: a new one if the group epoch has risen above it and the
// last one is old enough.
func (b *beat) target(s *step) (int32, share) {
	c := b.c
	if c.targetEpoch >= s.epoch || b.isTooEarly() {
		return c.targetEpoch, c.targetOf(s.updated)
	}
	members := len(c.members)
	if s.isNew {
		members++
	}
	r := b.roster(s.updated)
	r.same = subscribeAlike(s.use, s.subscribed, members)
	assigned := b.assignor(s)(r)
	var own share
	for i := range r.members {
		id := r.members[i].id
		if old, ok := c.target[id]; !ok || !old.equal(assigned[i]) {
			b.records = append(b.records, targetRecord(b.g.id, id, assigned[i]))
		}
		if id == s.updated.id {
			own = assigned[i]
		}
	}
	b.records = append(b.records, targetEpochRecord(b.g.id, s.epoch, b.at.NowMs))
	return s.epoch, own
}

// isTooEarly tells whether the last target assignment is younger than consumer.assignment.interval.ms.
func (b *beat) isTooEarly() bool {
	interval := b.m.consumerSettings(b.g, b.image).AssignmentIntervalMs
	return b.c.targetMs != 0 && interval != 0 && b.at.NowMs < b.c.targetMs+int64(interval)
}

// assignor is the one that most members want.
func (b *beat) assignor(s *step) assignor {
	votes := maps.Clone(b.c.assignors)
	if s.before.assignor.Valid {
		addTo(votes, s.before.assignor.Value, -1)
	}
	if s.updated.assignor.Valid {
		addTo(votes, s.updated.assignor.Value, 1)
	}
	return assignorOf(preferred(votes, b.settings.ConsumerAssignors))
}

// preferred is the assignor with the most votes, of those that the settings have; ties go to the one that they name first.
func preferred(votes map[string]int, known []string) string {
	best := uniformAssignor
	if i := slices.IndexFunc(known, func(name string) bool { return assignorOf(name) != nil }); i >= 0 {
		best = known[i]
	}
	for _, name := range known {
		if assignorOf(name) != nil && votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

// roster is the group as the assignors see it, with the updated member.
func (b *beat) roster(updated *consumer) *roster {
	members := b.c.sorted()
	members = slices.DeleteFunc(members, func(one *consumer) bool { return one.id == updated.id || one.id == b.replaced })
	at, _ := slices.BinarySearchFunc(members, updated.id, func(one *consumer, id string) int { return strings.Compare(one.id, id) })
	members = slices.Insert(members, at, updated)

	topics := make(map[string]*metadata.Topic) // that exist
	for _, one := range members {
		b.eachTopic(one, func(name string) {
			if _, seen := topics[name]; !seen {
				topics[name], _ = b.image.Topic(name)
			}
		})
	}
	r := &roster{members: make([]rosterMember, len(members))}
	hasRacks := slices.ContainsFunc(members, func(one *consumer) bool { return one.rack.Value != "" })
	for _, t := range topics {
		if t == nil {
			continue
		}
		one := rosterTopic{id: t.ID, partitions: len(t.Partitions)}
		if hasRacks {
			one.racks = racksOf(b.image, t)
		}
		r.topics = append(r.topics, one)
	}
	slices.SortFunc(r.topics, func(x, y rosterTopic) int { return compareTopics(x.id, y.id) })
	index := make(map[string]int, len(topics))
	for name, t := range topics {
		if t != nil {
			index[name], _ = r.find(t.ID)
		}
	}
	for i, one := range members {
		m := &r.members[i]
		m.id, m.instance, m.rack, m.before = one.id, one.instance.Value, one.rack.Value, b.c.target[one.id]
		if one.id == updated.id && b.replaced != "" {
			m.before = b.c.target[b.replaced]
		}
		b.eachTopic(one, func(name string) {
			if t, ok := index[name]; ok {
				m.topics = append(m.topics, t)
			}
		})
		slices.Sort(m.topics)
		m.topics = slices.Compact(m.topics)
		if i > 0 && slices.Equal(m.topics, r.members[i-1].topics) {
			m.topics = r.members[i-1].topics
		}
	}
	return r
}

// eachTopic visits the topics that a member subscribes to, by name or by its regular expression; some twice.
func (b *beat) eachTopic(one *consumer, visit func(name string)) {
	for _, name := range one.topics {
		visit(name)
	}
	if one.regex.Value != "" {
		for _, name := range b.regexes[one.regex.Value].topics {
			visit(name)
		}
	}
}
