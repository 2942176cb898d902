package api

import "github.com/ottla-io/ottla/internal/config"

// defaultRow is a setting of a kind of resource that nothing can set here, with Kafka 4.3.1's default.
type defaultRow struct {
	name     string
	kind     config.Type
	value    string
	synonym  string // the broker setting that it falls back to, its own name if that is where its default is; "" if Kafka names none
	document string
}

func (d *defaultRow) entry() config.Entry {
	e := config.Entry{Setting: config.Setting{Name: d.name, Type: d.kind, Dynamic: true, Doc: d.document}, Value: d.value, Source: config.Default}
	if d.synonym != "" {
		e.Synonyms = []config.EntrySynonym{{Name: d.synonym, Value: d.value, Source: config.Default}}
	}
	return e
}

// groupDefaults are those of a share or streams group (KIP-932, KIP-1071).
var groupDefaults = []defaultRow{
	{"share.assignment.interval.ms", config.Int, "1000", "group.share.assignment.interval.ms", "Least time between two computations of a share group's assignment."},
	{"share.auto.offset.reset", config.String, "latest", "share.auto.offset.reset", "Where a share group begins to read: latest, earliest or by_duration:DURATION."},
	{"share.delivery.count.limit", config.Int, "5", "group.share.delivery.count.limit", "How often a share group gets a record before it is given up."},
	{"share.heartbeat.interval.ms", config.Int, "5000", "group.share.heartbeat.interval.ms", "Time between two heartbeats of a share group's member."},
	{"share.isolation.level", config.String, "read_uncommitted", "share.isolation.level", "Whether a share group sees records of transactions that are open or aborted."},
	{"share.partition.max.record.locks", config.Int, "2000", "group.share.partition.max.record.locks", "Most records of a partition that a share group holds at once."},
	{"share.record.lock.duration.ms", config.Int, "30000", "group.share.record.lock.duration.ms", "How long a share group's member holds a record."},
	{"share.renew.acknowledge.enable", config.Boolean, "true", "share.renew.acknowledge.enable", "Whether members may prolong their hold on a record."},
	{"share.session.timeout.ms", config.Int, "45000", "group.share.session.timeout.ms", "Time without a heartbeat after which a member leaves its share group."},
	{"streams.assignment.interval.ms", config.Int, "1000", "group.streams.assignment.interval.ms", "Least time between two computations of a streams group's assignment."},
	{"streams.heartbeat.interval.ms", config.Int, "5000", "group.streams.heartbeat.interval.ms", "Time between two heartbeats of a streams group's member."},
	{"streams.initial.rebalance.delay.ms", config.Int, "3000", "group.streams.initial.rebalance.delay.ms", "How long a new streams group waits for members before its first assignment."},
	{"streams.num.standby.replicas", config.Int, "0", "group.streams.num.standby.replicas", "Standby copies of each task of a streams group."},
	{"streams.session.timeout.ms", config.Int, "45000", "group.streams.session.timeout.ms", "Time without a heartbeat after which a member leaves its streams group."},
}
