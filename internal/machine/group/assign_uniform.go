package group

import (
	"cmp"
	"slices"
)

// topicPartition is a partition, by the index of its topic in the roster.
type topicPartition struct{ topic, partition int32 }

// assignSame is the uniform assignor for members that subscribe to the same topics. Every member keeps what it has up to its
// quota: the partitions per member, and one more for as many members as there are partitions left over. Members that have the
// one more keep it before others get one.
//
// Where racks are known, members give up partitions of other racks first, and take those of their own. Kafka 4.3.1's does not look
// at racks; without them, the result is the same. No partition moves only for the sake of its rack.
func assignSame(r *roster) []share {
	o := r.noOwners()
	var free, mine []topicPartition
	quotas, total := make([]int, len(r.members)), 0
	for i := range r.members {
		r.claim(o, i)
	}
	for _, t := range r.members[0].topics {
		total += len(o[t])
		for p, owner := range o[t] {
			if owner == noOwner {
				free = append(free, topicPartition{int32(t), int32(p)})
			}
		}
	}
	least, extra := total/len(r.members), total%len(r.members)
	for i := range r.members {
		quota, hasExtra := least, false
		if extra > 0 {
			quota, hasExtra = quota+1, true
		}
		mine = r.mine(mine[:0], o, i)
		if len(mine) > quota && r.members[i].rack != "" {
			slices.SortStableFunc(mine, func(a, b topicPartition) int { return cmp.Compare(r.distance(i, a), r.distance(i, b)) })
		}
		for _, tp := range mine[min(quota, len(mine)):] {
			o[tp.topic][tp.partition] = noOwner
			free = append(free, tp)
		}
		quota -= min(quota, len(mine))
		if quota > 0 && hasExtra && len(r.members)-i > extra {
			quota, hasExtra = quota-1, false // left to a member further on; there are enough of them
		}
		quotas[i] = quota
		if hasExtra {
			extra--
		}
	}
	free = r.giveLocal(o, free, quotas)
	for i, quota := range quotas {
		n := min(quota, len(free))
		for _, tp := range free[:n] {
			o[tp.topic][tp.partition] = int32(i)
		}
		free = free[n:]
	}
	return r.shares(o)
}

// mine adds what a member owns, in the order of what it had.
func (r *roster) mine(list []topicPartition, o owners, i int) []topicPartition {
	for _, s := range r.members[i].before {
		t, ok := r.find(s.topic)
		if !ok {
			continue
		}
		last := int32(-1)
		for _, p := range s.partitions {
			if p > last && int(p) < len(o[t]) && o[t][p] == int32(i) {
				list = append(list, topicPartition{int32(t), p})
			}
			last = max(last, p)
		}
	}
	return list
}

// distance is 0 for partitions of the member's rack, 1 for others.
func (r *roster) distance(member int, tp topicPartition) int {
	if r.isLocal(member, int(tp.topic), tp.partition) {
		return 0
	}
	return 1
}

// giveLocal gives members free partitions of their racks, up to their quotas, and returns what is left.
func (r *roster) giveLocal(o owners, free []topicPartition, quotas []int) []topicPartition {
	byRack := make(map[string][]topicPartition)
	for i := range r.members {
		if rack := r.members[i].rack; rack != "" && quotas[i] > 0 {
			byRack[rack] = nil
		}
	}
	if len(byRack) == 0 {
		return free
	}
	for _, tp := range free {
		if racks := r.topics[tp.topic].racks; racks != nil {
			for _, rack := range racks[tp.partition] {
				if list, wanted := byRack[rack]; wanted {
					byRack[rack] = append(list, tp)
				}
			}
		}
	}
	for i, quota := range quotas {
		list := byRack[r.members[i].rack]
		for ; quota > 0 && len(list) > 0; list = list[1:] {
			if tp := list[0]; o[tp.topic][tp.partition] == noOwner {
				o[tp.topic][tp.partition] = int32(i)
				quota--
			}
		}
		byRack[r.members[i].rack], quotas[i] = list, quota
	}
	return slices.DeleteFunc(free, func(tp topicPartition) bool { return o[tp.topic][tp.partition] != noOwner })
}

// claim lets a member keep what it had of the topics that it still subscribes to.
func (r *roster) claim(o owners, i int) {
	one := &r.members[i]
	for _, s := range one.before {
		t, ok := r.find(s.topic)
		if !ok || !one.subscribes(t) {
			continue
		}
		for _, p := range s.partitions {
			if p >= 0 && int(p) < len(o[t]) && o[t][p] == noOwner {
				o[t][p] = int32(i)
			}
		}
	}
}
