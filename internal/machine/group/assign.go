package group

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
)

// share is partitions, by topic in the order of topic ids, those of a topic ascending, no topic without any. It never changes.
type share []topicShare

type topicShare struct {
	topic      ids.TopicID
	partitions []int32
	// epochs are the member epochs at which the partitions were assigned, where that matters: in what a member owns.
	epochs []int32
}

// of is what the share has of a topic; nil if nothing.
func (s share) of(topic ids.TopicID) *topicShare {
	at, ok := slices.BinarySearchFunc(s, topic, func(t topicShare, topic ids.TopicID) int { return compareTopics(t.topic, topic) })
	if !ok {
		return nil
	}
	return &s[at]
}

func (s share) has(topic ids.TopicID, partition int32) bool {
	t := s.of(topic)
	return t != nil && t.has(partition)
}

func (t *topicShare) has(partition int32) bool {
	_, ok := slices.BinarySearch(t.partitions, partition)
	return ok
}

func (s share) equal(other share) bool {
	return slices.EqualFunc(s, other, func(a, b topicShare) bool {
		return a.topic == b.topic && slices.Equal(a.partitions, b.partitions) && slices.Equal(a.epochs, b.epochs)
	})
}

func compareTopics(a, b ids.TopicID) int { return bytes.Compare(a[:], b[:]) }

// roster is what an assignor works on: the members in order of their ids, the topics that they subscribe to in order of theirs.
type roster struct {
	topics  []rosterTopic
	members []rosterMember
	// same tells that all members subscribe to the same topics.
	same bool
}

type rosterTopic struct {
	id         ids.TopicID
	partitions int
	racks      [][]string // by partition, those of its replicas; nil if that does not matter
}

type rosterMember struct {
	id       string
	instance string // "" for a dynamic member
	rack     string // "" if it does not say
	topics   []int  // indexes of the topics that it subscribes to, ascending
	before   share  // what it was assigned until now
}

// assignor shares all partitions of the topics among the members that subscribe to them, each to one of them. What it
// returns belongs to the members of the same index. The same input gives the same output.
type assignor func(r *roster) []share

// Names of the assignors that Kafka has, too.
const (
	uniformAssignor = "uniform"
	rangeAssignor   = "range"
)

func assignorOf(name string) assignor {
	switch name {
	case uniformAssignor:
		return assignUniform
	case rangeAssignor:
		return assignRange
	}
	return nil
}

// find is the index of a topic in the roster.
func (r *roster) find(topic ids.TopicID) (int, bool) {
	return slices.BinarySearchFunc(r.topics, topic, func(t rosterTopic, topic ids.TopicID) int { return compareTopics(t.id, topic) })
}

// isLocal tells whether a partition has a replica in the member's rack.
func (r *roster) isLocal(member, topic int, partition int32) bool {
	rack, racks := r.members[member].rack, r.topics[topic].racks
	return rack != "" && racks != nil && slices.Contains(racks[partition], rack)
}

// noOwner is in owners for a partition that nobody has.
const noOwner = -1

// owners are the members that have the partitions of each topic: by index of topic and partition, indexes of members.
type owners [][]int32

func (r *roster) noOwners() owners {
	total := 0
	for _, t := range r.topics {
		total += t.partitions
	}
	backing := make([]int32, total)
	for i := range backing {
		backing[i] = noOwner
	}
	o := make(owners, len(r.topics))
	for i, t := range r.topics {
		o[i], backing = backing[:t.partitions:t.partitions], backing[t.partitions:]
	}
	return o
}

// shares turns owners into what each member gets. A member whose partitions stay the same keeps the share it had.
func (r *roster) shares(o owners) []share {
	result := make([]share, len(r.members))
	for t := range o {
		for p, owner := range o[t] {
			if owner == noOwner {
				continue
			}
			s := &result[owner]
			if n := len(*s); n == 0 || (*s)[n-1].topic != r.topics[t].id {
				*s = append(*s, topicShare{topic: r.topics[t].id})
			}
			last := &(*s)[len(*s)-1]
			last.partitions = append(last.partitions, int32(p))
		}
	}
	for i := range result {
		if before := r.members[i].before; result[i].equal(before) {
			result[i] = before
		}
	}
	return result
}

// assignUniform gives every member as many partitions as the others, plus or minus one, and moves as few as it can: Kafka's
// UniformAssignor. Where members subscribe to different topics, the balance is as good as 16 rounds make it.
func assignUniform(r *roster) []share {
	if len(r.members) == 0 {
		return nil
	}
	if r.same {
		return assignSame(r)
	}
	return newBalance(r).assign()
}

// assignRange gives each member neighbouring partitions of each topic, and the first members the ones that are left over; so
// topics with equally many partitions and the same subscribers are shared in the same way: Kafka's RangeAssignor. Static
// members come first, in order of their instance ids, and so keep their ranges when they restart.
func assignRange(r *roster) []share {
	subscribers := make([]int, len(r.topics))
	for i := range r.members {
		for _, t := range r.members[i].topics {
			subscribers[t]++
		}
	}
	order := make([]int, len(r.members))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return compareStaticFirst(&r.members[a], &r.members[b]) })
	type progress struct{ next, extra int }
	at := make([]progress, len(r.topics))
	for t := range at {
		if subscribers[t] > 0 {
			at[t].extra = r.topics[t].partitions % subscribers[t]
		}
	}
	result := make([]share, len(r.members))
	for _, i := range order {
		for _, t := range r.members[i].topics {
			quota := r.topics[t].partitions / subscribers[t]
			if at[t].extra > 0 {
				at[t].extra--
				quota++
			}
			if quota == 0 {
				continue
			}
			partitions := make([]int32, quota)
			for k := range partitions {
				partitions[k] = int32(at[t].next + k)
			}
			at[t].next += quota
			result[i] = append(result[i], topicShare{topic: r.topics[t].id, partitions: partitions})
		}
	}
	return result
}

func compareStaticFirst(a, b *rosterMember) int {
	switch {
	case a.instance != "" && b.instance != "":
		return cmp.Compare(a.instance, b.instance)
	case a.instance != "":
		return -1
	case b.instance != "":
		return 1
	}
	return cmp.Compare(a.id, b.id)
}
