package config

import "math"

// Durability is a value of ottla.durability.
type Durability uint8

// Fsync: a record counts once it is on disk. Replicated: once it is in the page cache, as in Kafka.
const (
	Fsync Durability = iota
	Replicated
)

// TopicConfig is what a topic's partitions obey. Times are milliseconds, sizes bytes; -1 is no limit where the
// setting says so, math.MaxInt64 is never.
type TopicConfig struct {
	SegmentBytes       int // internal.segment.bytes, where set, wins
	SegmentMs          int64
	SegmentJitterMs    int64 // at most SegmentMs
	SegmentIndexBytes  int
	FlushMessages      int64
	FlushMs            int64
	RetentionBytes     int64
	RetentionMs        int64
	MaxMessageBytes    int
	IndexIntervalBytes int
	FileDeleteDelayMs  int64
	Preallocate        bool

	Delete, Compact        bool // cleanup.policy
	DeleteRetentionMs      int64
	MinCompactionLagMs     int64
	MaxCompactionLagMs     int64
	MinCleanableDirtyRatio float64

	MinInsyncReplicas     int
	UncleanLeaderElection bool

	CompressionType  string // producer, uncompressed, gzip, snappy, lz4, zstd
	CompressionLevel int    // of CompressionType; 0 where it has none

	LogAppendTime              bool // message.timestamp.type
	TimestampBeforeMaxMs       int64
	TimestampAfterMaxMs        int64
	Durability                 Durability
	FullValidation             bool  // ottla.record.validation
	TrashMs                    int64 // ottla.topic.trash.ms
	DeletionProtection         bool  // ottla.topic.deletion.protection
	RemoteStorage              bool
	LeaderThrottledReplicas    []string
	FollowerThrottledReplicas  []string
	LocalRetentionBytes        int64
	LocalRetentionMs           int64
	RemoteCopyDisabled         bool
	RemoteDeleteOnDisableAsked bool
}

// TopicConfig resolves every topic setting.
func (l *Layers) TopicConfig() TopicConfig {
	number := func(name string) int64 { return l.value(Topic, name).Int }
	flag := func(name string) bool { return l.value(Topic, name).Bool }
	text := func(name string) string { return l.value(Topic, name).Text }
	c := TopicConfig{
		SegmentBytes: int(number("segment.bytes")), SegmentMs: number("segment.ms"), SegmentJitterMs: number("segment.jitter.ms"),
		SegmentIndexBytes: int(number("segment.index.bytes")), FlushMessages: number("flush.messages"), FlushMs: number("flush.ms"),
		RetentionBytes: number("retention.bytes"), RetentionMs: number("retention.ms"), MaxMessageBytes: int(number("max.message.bytes")),
		IndexIntervalBytes: int(number("index.interval.bytes")), FileDeleteDelayMs: number("file.delete.delay.ms"), Preallocate: flag("preallocate"),
		DeleteRetentionMs: number("delete.retention.ms"), MinCompactionLagMs: number("min.compaction.lag.ms"), MaxCompactionLagMs: number("max.compaction.lag.ms"),
		MinCleanableDirtyRatio: l.value(Topic, "min.cleanable.dirty.ratio").Double,
		MinInsyncReplicas:      int(number("min.insync.replicas")), UncleanLeaderElection: flag("unclean.leader.election.enable"),
		CompressionType: text("compression.type"), LogAppendTime: text("message.timestamp.type") == "LogAppendTime",
		TimestampBeforeMaxMs: number("message.timestamp.before.max.ms"), TimestampAfterMaxMs: number("message.timestamp.after.max.ms"),
		TrashMs: number("ottla.topic.trash.ms"), DeletionProtection: flag("ottla.topic.deletion.protection"),
		FullValidation: text("ottla.record.validation") == "full", RemoteStorage: flag("remote.storage.enable"),
		LeaderThrottledReplicas:   l.value(Topic, "leader.replication.throttled.replicas").List,
		FollowerThrottledReplicas: l.value(Topic, "follower.replication.throttled.replicas").List,
		LocalRetentionBytes:       number("local.retention.bytes"), LocalRetentionMs: number("local.retention.ms"),
		RemoteCopyDisabled: flag("remote.log.copy.disable"), RemoteDeleteOnDisableAsked: flag("remote.log.delete.on.disable"),
	}
	if internal := l.value(Topic, "internal.segment.bytes"); !internal.Null {
		c.SegmentBytes = int(internal.Int)
	}
	c.SegmentJitterMs = min(c.SegmentJitterMs, c.SegmentMs)
	if text("ottla.durability") == "replicated" {
		c.Durability = Replicated
	}
	for _, policy := range l.value(Topic, "cleanup.policy").List {
		c.Delete = c.Delete || policy == "delete"
		c.Compact = c.Compact || policy == "compact"
	}
	switch c.CompressionType {
	case "gzip", "lz4", "zstd":
		c.CompressionLevel = int(number("compression." + c.CompressionType + ".level"))
	}
	return c
}

// Cleaner is what bounds compaction.
type Cleaner struct {
	Enabled           bool
	BackoffMs         int64
	DedupeBufferBytes int64
	LoadFactor        float64 // 0 to 1
	BufferBytes       int
	MaxBytesPerSecond float64 // math.MaxFloat64: no limit
}

// ConnectionLimits bound the connections that may be open at once.
type ConnectionLimits struct {
	Max, MaxPerIP int
	PerSecond     int // that may come
	// PerIP are the limits of single addresses, in netip's form: before MaxPerIP.
	PerIP map[string]int
}

// ConnectionLimits resolves them.
func (l *Layers) ConnectionLimits() ConnectionLimits {
	c := ConnectionLimits{Max: int(l.value(Broker, "max.connections").Int), MaxPerIP: int(l.value(Broker, "max.connections.per.ip").Int),
		PerSecond: int(l.value(Broker, "max.connection.creation.rate").Int)}
	c.PerIP, _ = parseOverrides(l.value(Broker, "max.connections.per.ip.overrides").Text)
	return c
}

// BrokerConfig is what a broker obeys. Times are milliseconds, sizes bytes.
type BrokerConfig struct {
	NodeID              int32
	Rack                string // "" is none
	LogDirs             []string
	MetadataLogDir      string // "": the first of LogDirs
	Listeners           []string
	AdvertisedListeners []string // nil: the address at which the client reached us

	RequestMaxBytes         int32
	Connections             ConnectionLimits
	ConnectionMaxIdleMs     int64 // negative: never
	ConnectionMaxRequests   int
	ConnectionReplyBytes    int
	ServerMemoryBytes       int64
	UnauthenticatedMaxBytes int32
	UnauthenticatedMaxMs    int64
	DrainTimeoutMs          int64

	NumPartitions            int32
	DefaultReplicationFactor int16
	AutoCreateTopics         bool
	DeleteTopics             bool

	RetentionCheckIntervalMs     int64
	RecoveryCheckpointIntervalMs int64
	LogStartCheckpointIntervalMs int64
	FlushLingerMs                int64
	TrashMinFreeBytes            int64 // ottla.topic.trash.min.free.bytes
	Cleaner                      Cleaner

	FetchMaxBytes            int32
	FetchSessionSlots        int
	DescribePartitionsLimit  int
	ProducerIDExpirationMs   int64
	TelemetryMaxBytes        int32
	SnapshotMaxBytes         int64 // of metadata records between snapshots
	SnapshotMaxMs            int64 // 0: never by time
	MetricsJMXNames          bool
	AuditFile                string // "": none
	AuditFileBytes           int64
	AuditFiles               int
	Quota                    Quota
	DefaultTopicDurability   Durability
	DefaultTopicSegmentBytes int
}

// serverMemoryBytes is ottla.server.memory.bytes, or else Kafka's name of much the same.
func (l *Layers) serverMemoryBytes() int64 {
	ours, _ := l.Describe(Broker, "ottla.server.memory.bytes")
	if theirs := l.value(Broker, "queued.max.request.bytes").Int; theirs > 0 && ours.Source == Default {
		return max(theirs, 1<<20)
	}
	return l.value(Broker, "ottla.server.memory.bytes").Int
}

// logDirs are log.dirs, or else log.dir; nil if neither is set.
func (l *Layers) logDirs() []string {
	if dirs := l.value(Broker, "log.dirs"); !dirs.Null {
		return dirs.List
	}
	return l.value(Broker, "log.dir").List
}

// Quota are the windows over which client quotas are measured, all at least 1.
type Quota struct {
	Windows, WindowSeconds                     int
	ControllerWindows, ControllerWindowSeconds int // of controller_mutation_rate
}

// BrokerConfig resolves every broker setting that has a meaning here.
func (l *Layers) BrokerConfig() BrokerConfig {
	number := func(name string) int64 { return l.value(Broker, name).Int }
	topic := (&Layers{DynamicBroker: l.DynamicBroker, DynamicDefaultBroker: l.DynamicDefaultBroker, Static: l.Static}).TopicConfig()
	return BrokerConfig{
		NodeID: int32(number("node.id")), Rack: l.value(Broker, "broker.rack").Text, LogDirs: l.logDirs(),
		MetadataLogDir: l.value(Broker, "metadata.log.dir").Text,
		Listeners:      l.value(Broker, "listeners").List, AdvertisedListeners: l.value(Broker, "advertised.listeners").List,
		RequestMaxBytes: int32(number("socket.request.max.bytes")), Connections: l.ConnectionLimits(), ConnectionMaxIdleMs: number("connections.max.idle.ms"),
		ConnectionMaxRequests: int(number("ottla.connection.max.requests")), ConnectionReplyBytes: int(number("ottla.connection.reply.bytes")),
		ServerMemoryBytes: l.serverMemoryBytes(), UnauthenticatedMaxBytes: int32(number("ottla.unauthenticated.max.bytes")),
		UnauthenticatedMaxMs: number("ottla.unauthenticated.max.ms"), DrainTimeoutMs: number("ottla.drain.timeout.ms"),
		NumPartitions: int32(number("num.partitions")), DefaultReplicationFactor: int16(min(number("default.replication.factor"), math.MaxInt16)),
		AutoCreateTopics: l.value(Broker, "auto.create.topics.enable").Bool, DeleteTopics: l.value(Broker, "delete.topic.enable").Bool,
		RetentionCheckIntervalMs:     number("log.retention.check.interval.ms"),
		RecoveryCheckpointIntervalMs: number("log.flush.offset.checkpoint.interval.ms"),
		LogStartCheckpointIntervalMs: number("log.flush.start.offset.checkpoint.interval.ms"),
		FlushLingerMs:                number("ottla.flush.linger.ms"),
		TrashMinFreeBytes:            number("ottla.topic.trash.min.free.bytes"),
		Cleaner: Cleaner{
			Enabled: l.value(Broker, "log.cleaner.enable").Bool, BackoffMs: number("log.cleaner.backoff.ms"),
			DedupeBufferBytes: number("log.cleaner.dedupe.buffer.size"), LoadFactor: l.value(Broker, "log.cleaner.io.buffer.load.factor").Double,
			BufferBytes: int(number("log.cleaner.io.buffer.size")), MaxBytesPerSecond: l.value(Broker, "log.cleaner.io.max.bytes.per.second").Double,
		},
		FetchMaxBytes: int32(number("fetch.max.bytes")), FetchSessionSlots: int(number("max.incremental.fetch.session.cache.slots")),
		DescribePartitionsLimit: int(number("max.request.partition.size.limit")), ProducerIDExpirationMs: number("producer.id.expiration.ms"),
		SnapshotMaxBytes: number("metadata.log.max.record.bytes.between.snapshots"), SnapshotMaxMs: number("metadata.log.max.snapshot.interval.ms"),
		AuditFile: l.value(Broker, "ottla.audit.file").Text, AuditFileBytes: number("ottla.audit.file.bytes"), AuditFiles: int(number("ottla.audit.files")),
		TelemetryMaxBytes: int32(number("telemetry.max.bytes")), MetricsJMXNames: l.value(Broker, "ottla.metrics.jmx.names").Bool,
		Quota: Quota{
			Windows: int(number("quota.window.num")), WindowSeconds: int(number("quota.window.size.seconds")),
			ControllerWindows: int(number("controller.quota.window.num")), ControllerWindowSeconds: int(number("controller.quota.window.size.seconds")),
		},
		DefaultTopicDurability: topic.Durability, DefaultTopicSegmentBytes: topic.SegmentBytes,
	}
}
