package group

import (
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
)

// reconcile brings a member closer to the target assignment, and records it:
//
//	               gave up what it must              all is free
//	UNREVOKED ──────────────────────────▶ UNRELEASED ───────────▶ STABLE
//	    ▲                                     ▲                      │ a new target
//	    └─────────────────────────────────────┴──────────────────────┘
//
// It stays in its epoch as long as it has to give up partitions, and goes to the target's when it has. A partition is only
// assigned when nobody owns it. changed tells that the member subscribes to something else: then it must at once give up what
// it does not subscribe to, whatever the target says.
func (b *beat) reconcile(one *consumer, targetEpoch int32, target share, changed bool) *consumer {
	if !changed && one.reconciledTo(targetEpoch) {
		return one
	}
	r := &reconciliation{b: b, one: one, epoch: targetEpoch, target: target}
	after := one
	switch one.state {
	case consumerStable:
		switch {
		case one.epoch != targetEpoch:
			after = r.next()
		case changed:
			after = r.shrink()
		}
	case consumerUnrevoked:
		switch {
		case !r.stillOwns(one.revoking):
			after = r.next()
		case changed:
			after = r.shrink()
		}
	default:
		after = r.next()
	}
	if after.sameAssignment(one) {
		return one
	}
	b.records = append(b.records, currentRecord(b.g.id, after))
	if after.classic == nil {
		b.succeeded = append(b.succeeded, func() {
			revoke := &b.m.liveOf(b.g, after.id).revoke
			b.m.timers.stop(revoke)
			if after.state == consumerUnrevoked {
				b.m.timers.set(revoke, b.at.Monotonic+milliseconds(after.rebalanceMs))
			}
		})
	}
	return after
}

// reconciliation is one step of a member towards its target.
type reconciliation struct {
	b      *beat
	one    *consumer
	epoch  int32 // of the target
	target share
}

// stillOwns tells whether the member owns some of what it has to give up, for all that we know.
func (r *reconciliation) stillOwns(revoking share) bool {
	if !r.b.owned.known {
		return true
	}
	for _, t := range r.b.owned.share {
		mine := revoking.of(t.topic)
		if mine != nil && slices.ContainsFunc(t.partitions, mine.has) {
			return true
		}
	}
	return false
}

// subscribes tells whether the member subscribes to a topic. One that does not exist any more is none.
func (r *reconciliation) subscribes(id ids.TopicID) bool {
	topic, ok := r.b.image.TopicByID(id)
	if !ok {
		return false
	}
	if _, ok := slices.BinarySearch(r.one.topics, topic.Name); ok {
		return true
	}
	if r.one.regex.Value == "" {
		return false
	}
	_, ok = slices.BinarySearch(r.b.regexes[r.one.regex.Value].topics, topic.Name)
	return ok
}

// shrink takes away what the member does not subscribe to any more.
func (r *reconciliation) shrink() *consumer {
	kept, revoking := share(nil), r.one.revoking
	for _, t := range r.one.assigned {
		if r.subscribes(t.topic) {
			kept = append(kept, t)
		} else {
			revoking = union(revoking, t)
		}
	}
	if len(kept) == len(r.one.assigned) {
		return r.one
	}
	after := *r.one
	after.previousEpoch, after.assigned = after.epoch, kept
	if r.stillOwns(revoking) {
		after.state, after.revoking = consumerUnrevoked, revoking
	}
	return &after
}

// union adds the partitions of a topic to a share.
func union(s share, t topicShare) share {
	at, ok := slices.BinarySearchFunc(s, t.topic, func(s topicShare, topic ids.TopicID) int { return compareTopics(s.topic, topic) })
	if !ok {
		return slices.Insert(slices.Clone(s), at, t)
	}
	merged := topicShare{topic: t.topic, partitions: slices.Clone(s[at].partitions), epochs: slices.Clone(s[at].epochs)}
	for i, p := range t.partitions {
		if k, ok := slices.BinarySearch(merged.partitions, p); !ok {
			merged.partitions, merged.epochs = slices.Insert(merged.partitions, k, p), slices.Insert(merged.epochs, k, t.epochs[i])
		}
	}
	s = slices.Clone(s)
	s[at] = merged
	return s
}

// next is the member with as much of the target as it can have now.
func (r *reconciliation) next() *consumer {
	var kept, full, revoking share
	gains, waits := false, false
	for _, topic := range r.topics() {
		target, current := r.target.of(topic), r.one.assigned.of(topic)
		if !r.subscribes(topic) {
			target = nil
		}
		keep, all, lose := topicShare{topic: topic}, topicShare{topic: topic}, topicShare{topic: topic}
		if current != nil {
			for i, p := range current.partitions {
				if target != nil && target.has(p) {
					keep.add(p, current.epochs[i])
				} else {
					lose.add(p, current.epochs[i])
				}
			}
		}
		if target != nil {
			for _, p := range target.partitions {
				switch i, has := slices.BinarySearch(keep.partitions, p); {
				case has:
					all.add(p, keep.epochs[i])
				case r.isFree(topic, p):
					all.add(p, r.epoch)
					gains = true
				default:
					waits = true
				}
			}
		}
		kept, full, revoking = kept.with(keep), full.with(all), revoking.with(lose)
	}
	after := *r.one
	after.previousEpoch = after.epoch
	if len(revoking) > 0 && r.stillOwns(revoking) {
		after.state, after.assigned, after.revoking = consumerUnrevoked, kept, revoking
		return &after
	}
	after.state, after.epoch, after.revoking, after.assigned = consumerStable, r.epoch, nil, kept
	if gains {
		after.assigned = full
	}
	if waits {
		after.state = consumerUnreleased
	}
	return &after
}

// topics are those of the target and of what the member has, in order.
func (r *reconciliation) topics() []ids.TopicID {
	topics := make([]ids.TopicID, 0, len(r.target)+len(r.one.assigned))
	for _, t := range r.target {
		topics = append(topics, t.topic)
	}
	for _, t := range r.one.assigned {
		topics = append(topics, t.topic)
	}
	slices.SortFunc(topics, compareTopics)
	return slices.Compact(topics)
}

// isFree tells whether the member can have a partition: nobody owns it, or it is its own, about to be given up.
func (r *reconciliation) isFree(topic ids.TopicID, partition int32) bool {
	_, isOwned := r.b.c.owner[topic][partition]
	return !isOwned || r.one.revoking.has(topic, partition)
}

func (t *topicShare) add(partition, epoch int32) {
	t.partitions, t.epochs = append(t.partitions, partition), append(t.epochs, epoch)
}

// with adds a topic that comes after all others, unless it has no partitions.
func (s share) with(t topicShare) share {
	if len(t.partitions) == 0 {
		return s
	}
	return append(s, t)
}
