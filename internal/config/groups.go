package config

import (
	"fmt"
	"strings"
)

// groupBrokerSettings are those by which a broker coordinates groups, and keeps their offsets.
var groupBrokerSettings = []Setting{
	{Name: "offsets.topic.num.partitions", Type: Int, Default: "50", Check: atLeast(1), Doc: "Number of partitions of __consumer_offsets, when it is first made."},
	{Name: "offsets.topic.replication.factor", Type: Short, Default: "3", Check: atLeast(1),
		Doc: "Number of replicas of __consumer_offsets, when it is first made. Where it is not set, a smaller cluster makes as many as it has brokers."},
	{Name: "offsets.topic.segment.bytes", Type: Int, Default: "104857600", Check: atLeast(1), Doc: "Size in bytes of a segment of __consumer_offsets, when the topic is first made: small, so that it is compacted soon."},
	{Name: "offsets.retention.minutes", Type: Int, Default: "10080", Check: atLeast(1),
		Doc: "Time in minutes that the committed offsets of a group without members, or of a topic that its group no longer subscribes to, are kept."},
	{Name: "offsets.retention.check.interval.ms", Type: Long, Default: "600000", Check: atLeast(1), Doc: "How often in milliseconds expired offsets are looked for."},
	{Name: "offset.metadata.max.bytes", Type: Int, Default: "4096", Doc: "Longest metadata text in bytes that a committed offset may carry."},
	{Name: "ottla.offsets.retention.with.topic", Type: Boolean, Default: "false",
		Doc: "Whether committed offsets are kept as long as their topic lives, whatever offsets.retention.minutes says."},

	{Name: "group.min.session.timeout.ms", Type: Int, Default: "6000", Doc: "Shortest session timeout in milliseconds that a member of a classic group may ask for."},
	{Name: "group.max.session.timeout.ms", Type: Int, Default: "1800000", Doc: "Longest session timeout in milliseconds that a member of a classic group may ask for."},
	{Name: "group.initial.rebalance.delay.ms", Type: Int, Default: "3000",
		Doc: "Time in milliseconds that an empty classic group waits for more members before its first rebalance; each one that comes prolongs it, up to the rebalance timeout."},
	{Name: "group.max.size", Type: Int, Default: maxInt32Text, Check: atLeast(1), Doc: "Most members of a classic group."},

	{Name: "group.consumer.session.timeout.ms", Type: Int, Default: "45000", Check: atLeast(1), Doc: "Time in milliseconds without a heartbeat after which a member of a consumer group is removed."},
	{Name: "group.consumer.min.session.timeout.ms", Type: Int, Default: "45000", Check: atLeast(1), Doc: "Smallest consumer.session.timeout.ms that a group can be given."},
	{Name: "group.consumer.max.session.timeout.ms", Type: Int, Default: "60000", Check: atLeast(1), Doc: "Largest consumer.session.timeout.ms that a group can be given."},
	{Name: "group.consumer.heartbeat.interval.ms", Type: Int, Default: "5000", Check: atLeast(1), Doc: "Time in milliseconds between heartbeats that members of consumer groups are told to keep."},
	{Name: "group.consumer.min.heartbeat.interval.ms", Type: Int, Default: "5000", Check: atLeast(1), Doc: "Smallest consumer.heartbeat.interval.ms that a group can be given."},
	{Name: "group.consumer.max.heartbeat.interval.ms", Type: Int, Default: "15000", Check: atLeast(1), Doc: "Largest consumer.heartbeat.interval.ms that a group can be given."},
	{Name: "group.consumer.max.size", Type: Int, Default: maxInt32Text, Check: atLeast(1), Doc: "Most members of a consumer group."},
	{Name: "group.consumer.assignors", Type: List, Default: "uniform,range", Check: listOf("uniform", "range"),
		Doc: "Assignors that consumer groups can choose; the first is the default."},
	{Name: "group.consumer.migration.policy", Type: String, Default: "bidirectional", Check: anyCase("bidirectional", "downgrade", "upgrade", "disabled"),
		Doc: "Which way a group may change between the classic and the consumer protocol while it has members: upgrade, downgrade, bidirectional or disabled."},
	{Name: "group.consumer.assignment.interval.ms", Type: Int, Default: "1000", Dynamic: true, Check: atLeast(0), Doc: "Least time in milliseconds between two computations of a consumer group's assignment."},
	{Name: "group.consumer.min.assignment.interval.ms", Type: Int, Default: "0", Check: atLeast(0), Doc: "Smallest consumer.assignment.interval.ms that a group can be given."},
	{Name: "group.consumer.max.assignment.interval.ms", Type: Int, Default: "15000", Check: atLeast(0), Doc: "Largest consumer.assignment.interval.ms that a group can be given."},

	{Name: "offsets.commit.timeout.ms", Type: Int, Default: "5000", Check: atLeast(1), Inert: true, Doc: "A commit is answered when it is on disk, or the disk failed."},
	{Name: "offsets.load.buffer.size", Type: Int, Default: "5242880", Check: atLeast(1), Inert: true, Doc: "Offsets are loaded a mebibyte at a time."},
	{Name: "offsets.topic.compression.codec", Type: Int, Default: "0", Inert: true, Doc: "Committed offsets are stored as they are."},
	{Name: "group.coordinator.rebalance.protocols", Type: List, Default: "classic,consumer,streams", Inert: true, Doc: "Classic and consumer groups are always served."},
	{Name: "group.coordinator.threads", Type: Int, Default: "4", Check: atLeast(1), Inert: true, Doc: "Each partition of __consumer_offsets that has groups has a goroutine of its own."},
	{Name: "group.coordinator.background.threads", Type: Int, Default: "2", Check: atLeast(1), Inert: true, Doc: "Group coordinators need no pool."},
	{Name: "group.coordinator.append.linger.ms", Type: Int, Default: "-1", Check: atLeast(-1), Inert: true, Doc: "Commits that arrive during a flush share the next."},
}

// groupSettings are those that one consumer group can be given (KIP-848), each a synonym of its broker's.
var groupSettings = []Setting{
	{Name: "consumer.assignment.interval.ms", Type: Int, Default: "1000", Check: atLeast(0), Synonyms: broker("group.consumer.assignment.interval.ms"),
		Doc: "Least time in milliseconds between two computations of the group's assignment."},
	{Name: "consumer.heartbeat.interval.ms", Type: Int, Default: "5000", Check: atLeast(1), Synonyms: broker("group.consumer.heartbeat.interval.ms"),
		Doc: "Time in milliseconds between heartbeats that the group's members are told to keep."},
	{Name: "consumer.session.timeout.ms", Type: Int, Default: "45000", Check: atLeast(1), Synonyms: broker("group.consumer.session.timeout.ms"),
		Doc: "Time in milliseconds without a heartbeat after which a member is removed from the group."},
}

// GroupBrokerConfig is what group coordinators obey. Times are milliseconds, sizes bytes.
type GroupBrokerConfig struct {
	OffsetsPartitions        int32
	OffsetsReplication       int16
	OffsetsReplicationSet    bool // somebody chose OffsetsReplication
	OffsetsSegmentBytes      int32
	OffsetsRetentionMs       int64
	OffsetsRetentionCheckMs  int64
	OffsetMetadataMaxBytes   int
	KeepOffsetsWithTopic     bool
	MinSessionMs             int32
	MaxSessionMs             int32
	InitialRebalanceDelayMs  int32
	MaxSize                  int
	ConsumerMaxSize          int
	ConsumerAssignors        []string
	ConsumerMigration        string      // lower case
	Consumer                 GroupConfig // what a group has that chooses nothing
	ConsumerMin, ConsumerMax GroupConfig // what a group may choose
}

// GroupConfig is what one consumer group obeys (KIP-848), in milliseconds.
type GroupConfig struct {
	SessionTimeoutMs, HeartbeatIntervalMs, AssignmentIntervalMs int32
}

// GroupBrokerConfig resolves a broker's settings of groups.
func (l *Layers) GroupBrokerConfig() GroupBrokerConfig {
	number := func(name string) int32 { return int32(l.value(Broker, name).Int) }
	e, _ := l.Describe(Broker, "offsets.topic.replication.factor")
	bounds := func(bound string) GroupConfig {
		return GroupConfig{SessionTimeoutMs: number("group.consumer." + bound + "session.timeout.ms"),
			HeartbeatIntervalMs:  number("group.consumer." + bound + "heartbeat.interval.ms"),
			AssignmentIntervalMs: number("group.consumer." + bound + "assignment.interval.ms")}
	}
	return GroupBrokerConfig{
		OffsetsPartitions: number("offsets.topic.num.partitions"), OffsetsReplication: int16(number("offsets.topic.replication.factor")),
		OffsetsReplicationSet: e.Source != Default, OffsetsSegmentBytes: number("offsets.topic.segment.bytes"),
		OffsetsRetentionMs: int64(number("offsets.retention.minutes")) * minuteMs, OffsetsRetentionCheckMs: l.value(Broker, "offsets.retention.check.interval.ms").Int,
		OffsetMetadataMaxBytes: int(number("offset.metadata.max.bytes")), KeepOffsetsWithTopic: l.value(Broker, "ottla.offsets.retention.with.topic").Bool,
		MinSessionMs: number("group.min.session.timeout.ms"), MaxSessionMs: number("group.max.session.timeout.ms"),
		InitialRebalanceDelayMs: number("group.initial.rebalance.delay.ms"), MaxSize: int(number("group.max.size")),
		ConsumerMaxSize: int(number("group.consumer.max.size")), ConsumerAssignors: l.value(Broker, "group.consumer.assignors").List,
		ConsumerMigration: strings.ToLower(l.value(Broker, "group.consumer.migration.policy").Text),
		Consumer:          bounds(""), ConsumerMin: bounds("min."), ConsumerMax: bounds("max."),
	}
}

// GroupConfig resolves the settings of one group. Bounds that a broker narrowed after they were set win.
func (l *Layers) GroupConfig() GroupConfig {
	b := l.GroupBrokerConfig()
	within := func(name string, low, high int32) int32 { return max(low, min(high, int32(l.value(Group, name).Int))) }
	return GroupConfig{
		SessionTimeoutMs:     within("consumer.session.timeout.ms", b.ConsumerMin.SessionTimeoutMs, b.ConsumerMax.SessionTimeoutMs),
		HeartbeatIntervalMs:  within("consumer.heartbeat.interval.ms", b.ConsumerMin.HeartbeatIntervalMs, b.ConsumerMax.HeartbeatIntervalMs),
		AssignmentIntervalMs: within("consumer.assignment.interval.ms", b.ConsumerMin.AssignmentIntervalMs, b.ConsumerMax.AssignmentIntervalMs),
	}
}

// ValidateGroup checks all settings that a group is to have: l.Group, over those of the broker. Every error is INVALID_CONFIG (40).
func (l *Layers) ValidateGroup() error {
	for _, name := range sortedNames(l.Group) {
		r, ok := settings.byName[key{Group, name}]
		if !ok {
			return &UnknownName{Scope: Group, Name: name, Nearest: Nearest(Group, name)}
		}
		if _, err := r.Parse(l.Group[name]); err != nil {
			return err
		}
	}
	b := l.GroupBrokerConfig()
	value := func(name string) int32 { return int32(l.value(Group, name).Int) }
	const session, heartbeat, interval = "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms", "consumer.assignment.interval.ms"
	return checkConsumerTimes("", GroupConfig{value(session), value(heartbeat), value(interval)}, b.ConsumerMin, b.ConsumerMax)
}

// checkConsumerTimes holds Kafka's bounds of the times of consumer groups, in its words. own begins the names of the times.
func checkConsumerTimes(own string, times, low, high GroupConfig) error {
	for _, c := range []struct {
		name            string
		value, low, max int32
	}{
		{"heartbeat.interval.ms", times.HeartbeatIntervalMs, low.HeartbeatIntervalMs, high.HeartbeatIntervalMs},
		{"session.timeout.ms", times.SessionTimeoutMs, low.SessionTimeoutMs, high.SessionTimeoutMs},
		{"assignment.interval.ms", times.AssignmentIntervalMs, low.AssignmentIntervalMs, high.AssignmentIntervalMs},
	} {
		switch {
		case c.value < c.low:
			return conflict(fmt.Sprintf("%sconsumer.%s must be greater than or equal to group.consumer.min.%s", own, c.name, c.name))
		case c.value > c.max:
			return conflict(fmt.Sprintf("%sconsumer.%s must be less than or equal to group.consumer.max.%s", own, c.name, c.name))
		}
	}
	if times.SessionTimeoutMs <= times.HeartbeatIntervalMs {
		return conflict(own + "consumer.session.timeout.ms must be greater than " + own + "consumer.heartbeat.interval.ms")
	}
	return nil
}
