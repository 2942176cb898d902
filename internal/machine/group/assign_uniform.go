package group

// topicPartition is a partition, by the index of its topic in the roster.
type topicPartition struct{ topic, partition int32 }

// assignSame is the uniform assignor for members that subscribe to the same topics. Every member keeps what it has up to its
// quota: the partitions per member, and one more for as many members as there are partitions left over. Members that have the
// one more keep it before others get one.
func assignSame(r *roster) []share {
	o := r.noOwners()
	var free []topicPartition
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
		for _, s := range r.members[i].before {
			t, ok := r.find(s.topic)
			if !ok {
				continue
			}
			for _, p := range s.partitions {
				switch {
				case p < 0 || int(p) >= len(o[t]) || o[t][p] != int32(i):
				case quota > 0:
					quota--
				default:
					o[t][p] = noOwner
					free = append(free, topicPartition{int32(t), p})
				}
			}
		}
		if quota > 0 && hasExtra && len(r.members)-i > extra {
			quota, hasExtra = quota-1, false // left to a member further on; there are enough of them
		}
		quotas[i] = quota
		if hasExtra {
			extra--
		}
	}
	for i, quota := range quotas {
		n := min(quota, len(free))
		for _, tp := range free[:n] {
			o[tp.topic][tp.partition] = int32(i)
		}
		free = free[n:]
	}
	return r.shares(o)
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
