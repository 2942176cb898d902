package group

import (
	"cmp"
	"slices"
)

// maxBalanceRounds ends the balancing of members whose subscriptions overlap without being the same: each round about halves
// what is left to balance. Where all subscribers of a topic subscribe to the same topics, the first round does it all.
const maxBalanceRounds = 16

// balance is the uniform assignor for members that subscribe to different topics, as Kafka's does it: members keep what they
// have; free partitions go to the members with the fewest, topics with the most partitions per subscriber first; then
// partitions move from the members with the most to those with the fewest until no topic's subscribers differ by more than one.
type balance struct {
	r           *roster
	owners      owners
	sizes       []int   // of what each member has
	subscribers [][]int // of each topic, ascending
	level       leveller
}

func newBalance(r *roster) *balance {
	b := &balance{r: r, owners: r.noOwners(), sizes: make([]int, len(r.members)), subscribers: make([][]int, len(r.topics))}
	b.level.sizes = b.sizes
	for i := range r.members {
		for _, t := range r.members[i].topics {
			b.subscribers[t] = append(b.subscribers[t], i)
		}
	}
	return b
}

func (one *rosterMember) subscribes(topic int) bool {
	_, ok := slices.BinarySearch(one.topics, topic)
	return ok
}

func (b *balance) assign() []share {
	for i := range b.r.members {
		b.r.claim(b.owners, i)
	}
	for t := range b.owners {
		for _, owner := range b.owners[t] {
			if owner != noOwner {
				b.sizes[owner]++
			}
		}
	}
	var topics []int
	for t := range b.subscribers {
		if len(b.subscribers[t]) > 0 {
			topics = append(topics, t)
		}
	}
	slices.SortFunc(topics, b.compareTopics)
	b.giveFree(topics)
	topics = slices.DeleteFunc(topics, func(t int) bool { return len(b.subscribers[t]) < 2 })
	b.move(topics)
	return b.r.shares(b.owners)
}

// compareTopics orders by partitions per subscriber, descending; then by subscribers, ascending; then by id.
func (b *balance) compareTopics(x, y int) int {
	subscribersX, subscribersY := len(b.subscribers[x]), len(b.subscribers[y])
	perX, perY := float64(b.r.topics[x].partitions)/float64(subscribersX), float64(b.r.topics[y].partitions)/float64(subscribersY)
	return cmp.Or(cmp.Compare(perY, perX), cmp.Compare(subscribersX, subscribersY), cmp.Compare(x, y))
}

func (b *balance) giveFree(topics []int) {
	for _, t := range topics {
		if !slices.Contains(b.owners[t], noOwner) {
			continue
		}
		b.level.start(b.subscribers[t])
		for p, owner := range b.owners[t] {
			if owner == noOwner {
				b.give(t, p, b.level.least())
			}
		}
	}
}

func (b *balance) give(topic, partition, member int) {
	if owner := b.owners[topic][partition]; owner != noOwner {
		b.sizes[owner]--
	}
	b.owners[topic][partition] = int32(member)
	b.sizes[member]++
}

// move balances topic after topic until all of them in a row needed nothing.
func (b *balance) move(topics []int) {
	last := -1 // the topic that was the last to change, or the first
	for range maxBalanceRounds {
		for i, t := range topics {
			if i == last {
				return
			}
			if b.balanceTopic(t) || last < 0 {
				last = i
			}
		}
	}
}

// balanceTopic moves partitions of a topic from its subscribers with the most to those with the fewest partitions.
func (b *balance) balanceTopic(t int) (moved bool) {
	if b.level.start(b.subscribers[t]) <= 1 {
		return false
	}
	// Each owner gives its highest partitions first.
	having := make(map[int][]int32, len(b.subscribers[t]))
	for p, owner := range b.owners[t] {
		having[int(owner)] = append(having[int(owner)], int32(p))
	}
	for !b.level.isLevel() {
		from := b.level.most()
		for from >= 0 && len(having[from]) == 0 {
			b.level.exclude()
			from = b.level.most()
		}
		if from < 0 {
			break
		}
		own := having[from]
		partition := own[len(own)-1]
		having[from] = own[:len(own)-1]
		to := b.level.least()
		if b.level.isLevel() {
			break
		}
		b.give(t, int(partition), to)
		moved = true
	}
	return moved
}

// leveller names the members to give a partition to, and to take one from. It holds the members sorted by size, and two ranges
// of them, whose members all have the same size once everybody in the range had its turn:
//
//	size │          ▁▂▂▂▂▂
//	     │    ▁▁▁▁▁▁██████   members
//	     └[0, leastEnd)  [mostStart, mostEnd)
//
// The ranges grow towards each other as their levels meet those of their neighbours. It is level when the levels differ by one
// or less.
type leveller struct {
	sizes  []int // of all members; the caller's
	sorted []int

	leastEnd, leastLevel, nextLeast         int
	mostStart, mostEnd, mostLevel, nextMost int
}

// start begins with these members, and returns by how much their sizes differ.
func (l *leveller) start(members []int) int {
	l.sorted = append(l.sorted[:0], members...)
	slices.SortFunc(l.sorted, func(a, b int) int { return cmp.Or(cmp.Compare(l.sizes[a], l.sizes[b]), cmp.Compare(a, b)) })
	n := len(l.sorted)
	lowest, highest := l.sizes[l.sorted[0]], l.sizes[l.sorted[n-1]]
	l.leastEnd, l.leastLevel, l.nextLeast = 0, lowest-1, 0
	l.mostStart, l.mostEnd, l.mostLevel, l.nextMost = n, n, highest+1, n-1
	return highest - lowest
}

// least is the member to give the next partition to.
func (l *leveller) least() int {
	if l.nextLeast >= l.leastEnd {
		l.leastLevel++
		for l.leastEnd < len(l.sorted) && l.sizes[l.sorted[l.leastEnd]] == l.leastLevel {
			l.leastEnd++
		}
		l.nextLeast = 0
	}
	one := l.sorted[l.nextLeast]
	l.nextLeast++
	return one
}

// most is the member to take the next partition from; -1 if no member is left.
func (l *leveller) most() int {
	if l.nextMost < l.mostStart {
		if l.mostEnd <= l.mostStart && l.mostStart > 0 {
			l.mostLevel = l.sizes[l.sorted[l.mostStart-1]] // all of the range were excluded
		} else {
			l.mostLevel--
		}
		for l.mostStart > 0 && l.sizes[l.sorted[l.mostStart-1]] == l.mostLevel {
			l.mostStart--
		}
		l.nextMost = l.mostEnd - 1
	}
	if l.nextMost < 0 {
		return -1
	}
	one := l.sorted[l.nextMost]
	l.nextMost--
	return one
}

// exclude takes the member that most has just returned out of its range: it has nothing of the topic.
func (l *leveller) exclude() {
	at := l.nextMost + 1
	l.sorted[at], l.sorted[l.mostEnd-1] = l.sorted[l.mostEnd-1], l.sorted[at]
	l.mostEnd--
}

func (l *leveller) isLevel() bool { return l.mostLevel-l.leastLevel <= 1 }
