package group

import "time"

// Settings are the broker's settings that rule groups, by Kafka's names.
type Settings struct {
	MinSessionTimeoutMs     int32 // group.min.session.timeout.ms
	MaxSessionTimeoutMs     int32 // group.max.session.timeout.ms
	InitialRebalanceDelayMs int32 // group.initial.rebalance.delay.ms
	MaxSize                 int32 // group.max.size, of a classic group's members

	Consumer          ConsumerSettings // of a consumer group that has none of its own: group.consumer.*
	ConsumerMaxSize   int32            // group.consumer.max.size
	ConsumerAssignors []string         // group.consumer.assignors; the first one is used where members ask for none
	// A group may go from the classic protocol to that of KIP-848 while it has members, or back: group.consumer.migration.policy.
	UpgradeOnline, DowngradeOnline bool

	OffsetMetadataMaxBytes int   // offset.metadata.max.bytes
	OffsetsRetentionMs     int64 // offsets.retention.minutes, in milliseconds
	OffsetsCheckMs         int64 // offsets.retention.check.interval.ms
	// KeepOffsetsWithTopic keeps a group's offsets as long as their topics live: ottla.offsets.retention.with.topic.
	KeepOffsetsWithTopic bool
}

// ConsumerSettings are what a consumer group can have settings of its own for, in milliseconds: consumer.session.timeout.ms and
// so on.
type ConsumerSettings struct{ SessionMs, HeartbeatMs, AssignmentIntervalMs int32 }

// DefaultSettings are Kafka's.
func DefaultSettings() Settings {
	return Settings{
		MinSessionTimeoutMs: 6_000, MaxSessionTimeoutMs: 1_800_000, InitialRebalanceDelayMs: 3_000, MaxSize: 1<<31 - 1,
		Consumer:        ConsumerSettings{SessionMs: 45_000, HeartbeatMs: 5_000, AssignmentIntervalMs: 1_000},
		ConsumerMaxSize: 1<<31 - 1, ConsumerAssignors: []string{uniformAssignor, rangeAssignor}, UpgradeOnline: true, DowngradeOnline: true,
		OffsetMetadataMaxBytes: 4096, OffsetsRetentionMs: 7 * 24 * 3_600_000, OffsetsCheckMs: 600_000,
	}
}

// newMemberSession is how long a member that has just joined may wait for the others before its session counts: clients do
// not send heartbeats while they wait in JoinGroup (Kafka's CLASSIC_GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS).
const newMemberSession = 5 * time.Minute

func milliseconds[N int32 | int64](n N) time.Duration { return time.Duration(n) * time.Millisecond }
