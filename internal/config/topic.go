package config

const (
	maxInt64Text = "9223372036854775807"
	maxInt32Text = "2147483647"
)

// broker names the broker setting that a topic setting falls back to, in the same unit.
func broker(name string) []Synonym { return []Synonym{{Name: name, Factor: 1}} }

const (
	hourMs   = 3_600_000
	minuteMs = 60_000
)

// topicSettings are those of Kafka 4.3.1, in the order in which Kafka validates them (the first bad one is named), then ours.
var topicSettings = []Setting{
	{Name: "segment.bytes", Type: Int, Default: "1073741824", Check: atLeast(1 << 20), Synonyms: broker("log.segment.bytes"),
		Doc: "Size in bytes at which the active segment file is closed and the next begun."},
	{Name: "segment.ms", Type: Long, Default: "604800000", Check: atLeast(1), Synonyms: []Synonym{{"log.roll.ms", 1}, {"log.roll.hours", hourMs}},
		Doc: "Age in milliseconds, by record timestamps, at which the active segment is closed even if it is not full."},
	{Name: "segment.jitter.ms", Type: Long, Default: "0", Check: atLeast(0), Synonyms: []Synonym{{"log.roll.jitter.ms", 1}, {"log.roll.jitter.hours", hourMs}},
		Doc: "Largest random amount taken off segment.ms, so that many partitions do not roll at the same moment."},
	{Name: "segment.index.bytes", Type: Int, Default: "10485760", Check: atLeast(4), Synonyms: broker("log.index.size.max.bytes"),
		Doc: "Size in bytes at which a full offset index makes the segment roll."},
	{Name: "flush.messages", Type: Long, Default: maxInt64Text, Check: atLeast(1), Synonyms: broker("log.flush.interval.messages"),
		Doc: "Number of records after which the log is synced whatever the durability mode. With ottla.durability=fsync, acknowledged records are synced anyway."},
	{Name: "flush.ms", Type: Long, Default: maxInt64Text, Check: atLeast(0), Synonyms: []Synonym{{"log.flush.interval.ms", 1}, {"log.flush.scheduler.interval.ms", 1}},
		Doc: "Time in milliseconds after which the log is synced whatever the durability mode."},
	{Name: "retention.bytes", Type: Long, Default: "-1", Synonyms: broker("log.retention.bytes"),
		Doc: "Size in bytes of a partition above which its oldest segments are deleted; -1 is no limit."},
	{Name: "retention.ms", Type: Long, Default: "604800000", Check: atLeast(-1), Synonyms: []Synonym{{"log.retention.ms", 1}, {"log.retention.minutes", minuteMs}, {"log.retention.hours", hourMs}},
		Doc: "Age in milliseconds, by record timestamps, above which whole segments are deleted; -1 is no limit."},
	{Name: "max.message.bytes", Type: Int, Default: "1048588", Check: atLeast(0), Synonyms: broker("message.max.bytes"),
		Doc: "Largest record batch in bytes, after compression, header included."},
	{Name: "index.interval.bytes", Type: Int, Default: "4096", Check: atLeast(0), Synonyms: broker("log.index.interval.bytes"),
		Doc: "Bytes of log between two entries of the offset index."},
	{Name: "delete.retention.ms", Type: Long, Default: "86400000", Check: atLeast(0), Synonyms: broker("log.cleaner.delete.retention.ms"),
		Doc: "Time in milliseconds that a tombstone stays in a compacted log."},
	{Name: "min.compaction.lag.ms", Type: Long, Default: "0", Check: atLeast(0), Synonyms: broker("log.cleaner.min.compaction.lag.ms"),
		Doc: "Time in milliseconds for which a record is certain not to be compacted away."},
	{Name: "max.compaction.lag.ms", Type: Long, Default: maxInt64Text, Check: atLeast(1), Synonyms: broker("log.cleaner.max.compaction.lag.ms"),
		Doc: "Time in milliseconds after which a record must have become eligible for compaction."},
	{Name: "file.delete.delay.ms", Type: Long, Default: "60000", Check: atLeast(0), Synonyms: broker("log.segment.delete.delay.ms"),
		Doc: "Time in milliseconds between renaming a file for deletion and deleting it."},
	{Name: "min.cleanable.dirty.ratio", Type: Double, Default: "0.5", Check: ratio, Synonyms: broker("log.cleaner.min.cleanable.ratio"),
		Doc: "Share of a compacted log that must be uncompacted before it is compacted again."},
	{Name: "cleanup.policy", Type: List, Default: "delete", Check: listOf("compact", "delete"), Synonyms: broker("log.cleanup.policy"),
		Doc: "What to do with old records: delete them by age and size, compact to the latest of each key, both, or (empty) nothing."},
	{Name: "unclean.leader.election.enable", Idle: true, Type: Boolean, Default: "false", Synonyms: broker("unclean.leader.election.enable"),
		Doc: "Whether a replica outside the in-sync set may become leader when nobody else can, losing records. It is stored, and does nothing yet: a single node is the only replica."},
	{Name: "min.insync.replicas", Type: Int, Default: "1", Check: atLeast(1), Synonyms: broker("min.insync.replicas"),
		Doc: "Number of in-sync replicas without which a produce with acks=all is refused."},
	{Name: "compression.type", Type: String, Default: "producer", Check: oneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"), Synonyms: broker("compression.type"),
		Doc: "Codec that batches are stored with; producer keeps what the producer chose."},
	{Name: "compression.gzip.level", Type: Int, Default: "-1", Check: gzipLevel, Synonyms: broker("compression.gzip.level"),
		Doc: "gzip level, 1 to 9, or -1 for the codec's default."},
	{Name: "compression.lz4.level", Type: Int, Default: "9", Check: between(1, 17), Synonyms: broker("compression.lz4.level"),
		Doc: "lz4 level, 1 to 17."},
	{Name: "compression.zstd.level", Type: Int, Default: "3", Check: between(-131072, 22), Synonyms: broker("compression.zstd.level"),
		Doc: "zstd level, -131072 to 22."},
	{Name: "preallocate", Idle: true, Type: Boolean, Default: "false", Synonyms: broker("log.preallocate"),
		Doc: "Whether segment files get their whole size at creation. It is stored, and does nothing."},
	{Name: "message.timestamp.type", Type: String, Default: "CreateTime", Check: oneOf("CreateTime", "LogAppendTime"), Synonyms: broker("log.message.timestamp.type"),
		Doc: "Whether a record's timestamp is the producer's (CreateTime) or the broker's at append (LogAppendTime)."},
	{Name: "message.timestamp.before.max.ms", Type: Long, Default: maxInt64Text, Check: atLeast(0), Synonyms: broker("log.message.timestamp.before.max.ms"),
		Doc: "How far in milliseconds a record's timestamp may lie behind the broker's clock."},
	{Name: "message.timestamp.after.max.ms", Type: Long, Default: "3600000", Check: atLeast(0), Synonyms: broker("log.message.timestamp.after.max.ms"),
		Doc: "How far in milliseconds a record's timestamp may lie ahead of the broker's clock."},
	{Name: "leader.replication.throttled.replicas", Idle: true, Type: List, Check: throttled("leader.replication.throttled.replicas"),
		Doc: "Replicas, as partition:broker or *, whose replication is throttled on the leader's side. It is stored, and does nothing yet: a single node replicates to no other."},
	{Name: "follower.replication.throttled.replicas", Idle: true, Type: List, Check: throttled("follower.replication.throttled.replicas"),
		Doc: "Replicas, as partition:broker or *, whose replication is throttled on the follower's side. It is stored, and does nothing yet: a single node replicates from no other."},
	{Name: "remote.storage.enable", Idle: true, Type: Boolean, Default: "false",
		Doc: "Whether segments are also kept in remote storage. Only false is accepted yet."},
	{Name: "local.retention.ms", Idle: true, Type: Long, Default: "-2", Check: atLeast(-2), Synonyms: broker("log.local.retention.ms"),
		Doc: "Age in milliseconds above which segments that remote storage holds are deleted locally; -2 is retention.ms. It is stored, and does nothing yet: there is no remote storage."},
	{Name: "local.retention.bytes", Idle: true, Type: Long, Default: "-2", Check: atLeast(-2), Synonyms: broker("log.local.retention.bytes"),
		Doc: "Size in bytes above which segments that remote storage holds are deleted locally; -2 is retention.bytes. It is stored, and does nothing yet: there is no remote storage."},
	{Name: "remote.log.copy.disable", Idle: true, Type: Boolean, Default: "false",
		Doc: "Whether no more segments are copied to remote storage. It is stored, and does nothing yet: there is none."},
	{Name: "remote.log.delete.on.disable", Idle: true, Type: Boolean, Default: "false",
		Doc: "Whether disabling remote storage deletes what it holds. It is stored, and does nothing yet: there is none."},
	{Name: "internal.segment.bytes", Type: Int, Null: true, Internal: true, Check: atLeast(1024),
		Doc: "segment.bytes without its lower limit, for tests."},

	{Name: "ottla.durability", Type: String, Default: "fsync", Check: oneOf("fsync", "replicated"), Synonyms: broker("ottla.durability"),
		Doc: "When a record counts as stored by a replica: fsync, once it is on its disk; replicated, once it is in its page cache, so that a power cut of all replicas loses what was acknowledged last."},
	{Name: "ottla.topic.trash.ms", Type: Long, Default: "86400000", Check: atLeast(0), Synonyms: broker("ottla.topic.trash.ms"),
		Doc: "Time in milliseconds for which a deleted topic can be restored from the trash; 0 deletes at once, as Kafka does. The value at the time of the deletion counts."},
	{Name: "ottla.topic.deletion.protection", Type: Boolean, Default: "false",
		Doc: "Whether the topic cannot be deleted (POLICY_VIOLATION). Records can still be deleted, by DeleteRecords and by retention."},
	{Name: "ottla.record.validation", Type: String, Default: "framing", Check: oneOf("framing", "full"), Synonyms: broker("ottla.record.validation"),
		Doc: "How deep a produced batch is checked: framing opens compressed batches only where the topic is compacted, full opens them all."},
}
