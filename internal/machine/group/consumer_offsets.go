package group

import (
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/wire"
)

// mayCommitConsumers tells whether a request may commit for a consumer group. A member whose epoch is behind may do so for
// partitions that it had at that epoch already: the answer is each then, by partition (KIP-1251).
func mayCommitConsumers(c *consumerGroup, client Client, req *wire.OffsetCommitRequest) (code wire.ErrorCode, each func(ids.TopicID, int32) wire.ErrorCode) {
	epoch := req.GenerationIdOrMemberEpoch
	if epoch < 0 && len(c.members) == 0 {
		return wire.ErrorNone, nil
	}
	one := c.members[req.MemberId]
	if one == nil {
		return wire.ErrorUnknownMemberID, nil
	}
	stale := wire.ErrorStaleMemberEpoch
	if one.classic != nil {
		stale = wire.ErrorIllegalGeneration
	}
	switch {
	case one.classic == nil && client.Version < commitOfModernGroups:
		return wire.ErrorUnsupportedVersion, nil
	case epoch == one.epoch:
		return wire.ErrorNone, nil
	case epoch > one.epoch:
		return stale, nil
	}
	return wire.ErrorNone, func(topic ids.TopicID, partition int32) wire.ErrorCode {
		since, owned := one.assigned.since(topic, partition)
		if !owned {
			since, owned = one.revoking.since(topic, partition)
		}
		if !owned || epoch < since {
			return stale
		}
		return wire.ErrorNone
	}
}

// since is the epoch at which the partition was assigned.
func (s share) since(topic ids.TopicID, partition int32) (epoch int32, ok bool) {
	if t := s.of(topic); t != nil {
		for i, p := range t.partitions {
			if p == partition {
				return t.epochs[i], true
			}
		}
	}
	return 0, false
}

// mayFetchConsumers tells whether a request may fetch offsets of a consumer group: anybody who does not say who it is, and
// members in their epoch.
func mayFetchConsumers(c *consumerGroup, asked *wire.OffsetFetchRequestGroup) wire.ErrorCode {
	if !asked.MemberId.Valid && asked.MemberEpoch < 0 {
		return wire.ErrorNone
	}
	one := c.members[asked.MemberId.Value]
	switch {
	case one == nil || !asked.MemberId.Valid:
		return wire.ErrorUnknownMemberID
	case one.epoch == asked.MemberEpoch:
		return wire.ErrorNone
	case one.classic != nil:
		return wire.ErrorIllegalGeneration
	}
	return wire.ErrorStaleMemberEpoch
}
