package group

import (
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"

	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// regexInterval is the least time between two look-ups of a group's regular expressions in new metadata.
const regexInterval = 10 * time.Second

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

// lookUpRegexes finds the topics of a regular expression that the group did not have before, and of all that it has if there
// is new metadata.
func (b *beat) lookUpRegexes(s *step) *refusal {
	c, was, is := b.c, s.before.regex.Value, s.updated.regex.Value
	s.regexChanged = s.before.regex != s.updated.regex
	if s.regexChanged {
		_, isKnown := c.regexes[is]
		s.bump = isKnown || is == "" && was != ""
		s.use = maps.Clone(c.regexUse)
		if was != "" {
			addTo(s.use, was, -1)
		}
		if is != "" {
			addTo(s.use, is, 1)
		}
		if was != "" && s.use[was] == 0 {
			b.setRegex(was, nil)
		}
		if s.use[is] == 1 {
			if err := checkRegex(is, b.image); err != nil {
				return refuse(wire.ErrorInvalidRegularExpression, "SubscribedTopicRegex `%s` is not a valid regular expression: %s.", is, describeRegex(err))
			}
		}
	}
	live := &b.g.live
	refresh := len(s.use) > 0 && live.regexImage != b.image && (live.regexImage == nil || b.at.Monotonic >= live.regexAt+regexInterval)
	for _, regex := range sortedKeys(s.use) {
		known, isKnown := b.regexes[regex]
		if isKnown && !refresh {
			continue
		}
		topics := matching(b.image, regex)
		if isKnown && slices.Equal(topics, known.topics) {
			continue
		}
		b.setRegex(regex, &resolvedRegex{topics: topics, version: int64(b.image.End()), atMs: b.at.NowMs})
		s.bump = s.bump || !slices.Equal(topics, known.topics)
	}
	if refresh {
		b.succeeded = append(b.succeeded, func() { live.regexImage, live.regexAt = b.image, b.at.Monotonic })
	}
	return nil
}

func (b *beat) setRegex(regex string, resolved *resolvedRegex) {
	b.regexes = maps.Clone(b.regexes)
	if resolved == nil {
		delete(b.regexes, regex)
		b.records = append(b.records, regexTombstone(b.g.id, regex))
		return
	}
	b.regexes[regex] = *resolved
	b.records = append(b.records, regexRecord(b.g.id, regex, *resolved))
}

// maxRegexSteps bounds what a regular expression may cost. RE2's matching takes at most the size of the program times the length of
// all topics' names; whoever joins a group must not hold up all that are coordinated with it.
const maxRegexSteps = 2_000_000_000

// checkRegex finds what is wrong with a regular expression.
func checkRegex(regex string, image *metadata.Image) error {
	parsed, err := syntax.Parse(regex, syntax.Perl)
	if err != nil {
		return err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return err
	}
	names := 0
	for _, topic := range image.Topics() {
		names += len(topic.Name)
	}
	if len(program.Inst)*names > maxRegexSteps {
		return &syntax.Error{Code: syntax.ErrLarge, Expr: regex}
	}
	return nil
}

// describeRegex is what is wrong with a regular expression, in RE2's words.
func describeRegex(err error) string {
	if e, ok := err.(*syntax.Error); ok {
		return e.Code.String()
	}
	return err.Error()
}

// matching are the topics whose whole name matches, sorted.
func matching(image *metadata.Image, regex string) (topics []string) {
	pattern, err := regexp.Compile(`\A(?:` + regex + `)\z`)
	if err != nil {
		return nil // in the log, from a coordinator that took it
	}
	for _, t := range image.Topics() {
		if pattern.MatchString(t.Name) {
			topics = append(topics, t.Name)
		}
	}
	return topics
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

// topicHash is the hash of a topic's metadata.
type topicHash struct {
	topic *metadata.Topic
	hash  uint64
}

// metadataHash sums up the topics that a group subscribes to: their ids, names, partitions, and the racks of those. Only we
// compare it, so it need not be Kafka's (XXH3): taking over a group of Kafka's costs it one rebalance. 0 is no topics.
func (m *Machine) metadataHash(image *metadata.Image, subscribed map[string]subscribers) int64 {
	if len(subscribed) == 0 {
		return 0
	}
	sum, found := fnvOffset, false
	for _, name := range sortedKeys(subscribed) {
		topic, ok := image.Topic(name)
		if !ok {
			delete(m.hashes, name)
			continue
		}
		found = true
		known := m.hashes[name]
		if known.topic != topic {
			known = topicHash{topic, hashTopic(image, topic)}
			m.hashes[name] = known
		}
		sum = sum.number(known.hash)
	}
	if !found {
		return 0
	}
	return int64(sum)
}

// racksOf are the racks of each partition's replicas, in order, each once.
func racksOf(image *metadata.Image, topic *metadata.Topic) [][]string {
	all := make([][]string, len(topic.Partitions))
	for i := range topic.Partitions {
		var racks []string
		for _, id := range topic.Partitions[i].Replicas {
			if broker, ok := image.Broker(id); ok && broker.Rack != "" {
				racks = append(racks, broker.Rack)
			}
		}
		all[i] = sortedNames(racks)
	}
	return all
}

func hashTopic(image *metadata.Image, topic *metadata.Topic) uint64 {
	sum := fnvOffset.bytes(string(topic.ID[:])).bytes(topic.Name).number(uint64(len(topic.Partitions)))
	for _, racks := range racksOf(image, topic) {
		sum = sum.number(uint64(len(racks)))
		for _, rack := range racks {
			sum = sum.bytes(rack)
		}
	}
	return uint64(sum)
}

// fnv is FNV-1a's sum, in 64 bits.
type fnv uint64

const (
	fnvOffset fnv = 14695981039346656037
	fnvPrime  fnv = 1099511628211
)

// bytes adds a string, with its length so that no two sequences of strings are the same bytes.
func (h fnv) bytes(s string) fnv {
	h = h.number(uint64(len(s)))
	for i := range len(s) {
		h = (h ^ fnv(s[i])) * fnvPrime
	}
	return h
}

func (h fnv) number(n uint64) fnv {
	for range 8 {
		h = (h ^ fnv(n&0xff)) * fnvPrime
		n >>= 8
	}
	return h
}
