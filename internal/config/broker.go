package config

// brokerSettings are the settings of a broker that no topic setting implies. Broker settings that are the same-unit
// synonym of a topic setting (log.segment.bytes …) are derived from it by table().
var brokerSettings = []Setting{
	// Identity and place.
	{Name: "node.id", Type: Int, Default: "1", Check: atLeast(0), Doc: "Number of this node in its cluster."},
	{Name: "broker.id", Type: Int, Default: "-1", Doc: "The older name of node.id, which it must not contradict."},
	{Name: "broker.rack", Type: String, Null: true, Doc: "Rack, zone or data centre of this node: replicas of a partition are spread over racks."},
	{Name: "log.dirs", Type: List, Null: true, Check: notEmpty("log.dirs"), Doc: "Directories that hold the partitions' logs, comma-separated."},
	{Name: "log.dir", Type: List, Null: true, Check: notEmpty("log.dir"), Doc: "As log.dirs, where that is not set."},
	{Name: "metadata.log.dir", Type: String, Null: true,
		Doc: "Directory of the cluster's metadata log. One that is not among log.dirs holds nothing else. Unset: the first of log.dirs."},

	// Listening.
	{Name: "listeners", Type: List, Default: "PLAINTEXT://127.0.0.1:9092", Check: notEmpty("listeners"),
		Doc: "Addresses to listen on, as NAME://HOST:PORT. An empty host is every interface."},
	{Name: "advertised.listeners", Type: List, Null: true, Check: notEmpty("advertised.listeners"),
		Doc: "Addresses that clients are told to connect to, as NAME://HOST:PORT. Unset: the address at which the client reached us."},
	{Name: "socket.request.max.bytes", Type: Int, Default: "104857600", Check: atLeast(1), Doc: "Largest request in bytes; a larger one closes its connection."},
	{Name: "max.connections", Type: Int, Default: maxInt32Text, Dynamic: true, Check: connectionLimit, Doc: "Number of connections that may be open at once. A lower limit ends none that is open."},
	{Name: "max.connections.per.ip", Type: Int, Default: maxInt32Text, Dynamic: true, Check: atLeast(0),
		Doc: "Number of connections that may be open at once from one address. It may be 0 if max.connections.per.ip.overrides lets somebody in."},
	{Name: "max.connections.per.ip.overrides", Type: String, Dynamic: true, Check: connectionOverrides,
		Doc: "Numbers for single addresses, before max.connections.per.ip: 127.0.0.1:200,10.0.0.7:5. Names are not looked up."},
	{Name: "connections.max.idle.ms", Type: Long, Default: "600000", Doc: "Time in milliseconds after which a connection that sent nothing is closed; a negative value keeps it."},
	{Name: "ottla.connection.max.requests", Type: Int, Default: "128", Check: between(1, 10000),
		Doc: "Number of requests of one connection that may await their replies before no more are read from it."},
	{Name: "ottla.connection.reply.bytes", Type: Int, Default: "1048576", Check: atLeast(1024),
		Doc: "Bytes of replies, file contents not counted, that may await sending on one connection before no more requests are read from it. One larger reply always passes."},
	{Name: "ottla.server.memory.bytes", Type: Long, Default: "268435456", Check: atLeast(1 << 20),
		Doc: "Bytes of requests and replies that all connections together may hold before reading stops on all but one."},
	{Name: "queued.max.request.bytes", Type: Long, Default: "-1", Doc: "As ottla.server.memory.bytes, where that is not set; 0 or less is unset, less than 1048576 is that."},
	{Name: "ottla.unauthenticated.max.bytes", Type: Int, Default: "104857600", Check: atLeast(1024),
		Doc: "Largest first request in bytes of a connection, whose client has proved nothing yet."},
	{Name: "ottla.unauthenticated.max.ms", Type: Long, Default: "10000", Check: atLeast(1),
		Doc: "Time in milliseconds that a new connection has to send its first whole request."},
	{Name: "ottla.drain.timeout.ms", Type: Long, Default: "10000", Check: atLeast(0),
		Doc: "Time in milliseconds that a stopping broker waits for the replies it owes."},

	// Topics.
	{Name: "num.partitions", Type: Int, Default: "1", Check: atLeast(1), Doc: "Number of partitions of a topic whose creator names none."},
	{Name: "default.replication.factor", Type: Int, Default: "1", Check: atLeast(1), Doc: "Number of replicas of a topic whose creator names none."},
	{Name: "auto.create.topics.enable", Type: Boolean, Default: "true", Doc: "Whether asking for the metadata of an unknown topic creates it."},
	{Name: "delete.topic.enable", Type: Boolean, Default: "true", Doc: "Whether topics can be deleted."},

	// The log: other units of topic settings, and what only a broker has.
	{Name: "log.roll.ms", Type: Long, Null: true, Dynamic: true, Check: required("log.roll.ms", 1), Synonyms: []Synonym{{"log.roll.hours", hourMs}}, Doc: "As segment.ms. Unset: log.roll.hours."},
	{Name: "log.roll.hours", Type: Int, Default: "168", Check: atLeast(1), Doc: "As segment.ms, in hours."},
	{Name: "log.roll.jitter.ms", Type: Long, Null: true, Dynamic: true, Check: required("log.roll.jitter.ms", 0), Synonyms: []Synonym{{"log.roll.jitter.hours", hourMs}}, Doc: "As segment.jitter.ms. Unset: log.roll.jitter.hours."},
	{Name: "log.roll.jitter.hours", Type: Int, Default: "0", Check: atLeast(0), Doc: "As segment.jitter.ms, in hours."},
	{Name: "log.retention.ms", Type: Long, Null: true, Dynamic: true, Check: retentionTime, Synonyms: []Synonym{{"log.retention.minutes", minuteMs}, {"log.retention.hours", hourMs}}, Doc: "As retention.ms. Unset: log.retention.minutes."},
	{Name: "log.retention.minutes", Type: Int, Null: true, Check: retentionTime, Doc: "As retention.ms, in minutes. Unset: log.retention.hours."},
	{Name: "log.retention.hours", Type: Int, Default: "168", Check: retentionTime, Doc: "As retention.ms, in hours."},
	{Name: "log.flush.interval.ms", Type: Long, Null: true, Dynamic: true, Check: atLeast(0), Synonyms: []Synonym{{"log.flush.scheduler.interval.ms", 1}}, Doc: "As flush.ms. Unset: log.flush.scheduler.interval.ms."},
	{Name: "log.flush.scheduler.interval.ms", Type: Long, Default: maxInt64Text, Check: atLeast(0), Doc: "How often in milliseconds it is checked whether a log must be synced."},
	{Name: "log.retention.check.interval.ms", Type: Long, Default: "300000", Check: atLeast(1), Doc: "How often in milliseconds retention looks for segments to delete."},
	{Name: "log.cleaner.enable", Type: Boolean, Default: "true", Doc: "Whether logs are compacted at all."},
	{Name: "log.cleaner.backoff.ms", Type: Long, Default: "15000", Dynamic: true, Check: atLeast(0), Doc: "How often in milliseconds compaction looks at the logs while none is due; 0 is taken for 1."},
	{Name: "log.cleaner.dedupe.buffer.size", Type: Long, Default: "134217728", Dynamic: true, Check: atLeast(1),
		Doc: "Most bytes of memory in which compaction remembers the newest offset of each key; 24 bytes a key. It grows up to that while a log is compacted."},
	{Name: "log.cleaner.io.buffer.load.factor", Type: Double, Default: "0.9", Dynamic: true, Check: ratio, Doc: "How full log.cleaner.dedupe.buffer.size may become."},
	{Name: "log.cleaner.io.buffer.size", Type: Int, Default: "524288", Dynamic: true, Check: atLeast(0), Doc: "Bytes of the buffers that compaction reads and writes with; at least 8192."},
	{Name: "log.cleaner.io.max.bytes.per.second", Type: Double, Default: "1.7976931348623157E308", Dynamic: true, Doc: "Most bytes a second that compaction reads and writes."},
	{Name: "log.flush.offset.checkpoint.interval.ms", Type: Int, Default: "60000", Check: atLeast(0),
		Doc: "Within how many milliseconds after a sync the recovery points are written; 5,000 if it is more than that."},
	{Name: "ottla.topic.trash.min.free.bytes", Type: Long, Default: "1073741824", Check: atLeast(0),
		Doc: "Free space in bytes below which a file system's oldest trash is purged early; at most a tenth of the file system. Trash is always purged before produce is refused for lack of space."},
	{Name: "ottla.flush.linger.ms", Type: Long, Default: "5", Check: between(0, 1000),
		Doc: "How long in milliseconds a record that nobody waits for (acks 0 or 1) may stay unsynced, and so unreadable, with ottla.durability=fsync."},

	// Reading and writing.
	{Name: "fetch.max.bytes", Type: Int, Default: "57671680", Check: atLeast(1024), Doc: "Most bytes of records that one fetch gets."},
	{Name: "max.incremental.fetch.session.cache.slots", Type: Int, Default: "1000", Check: atLeast(0), Doc: "Number of incremental fetch sessions kept (KIP-227)."},
	{Name: "max.request.partition.size.limit", Type: Int, Default: "2000", Check: atLeast(1), Doc: "Most partitions in one reply to DescribeTopicPartitions."},
	{Name: "producer.id.expiration.ms", Type: Int, Default: "86400000", Dynamic: true, Check: atLeast(1), Doc: "Time in milliseconds after which an idle idempotent producer is forgotten."},

	// Client quotas (KIP-13, KIP-599).
	{Name: "quota.window.num", Type: Int, Default: "11", Check: atLeast(1), Doc: "Windows over which the rates of client quotas are taken: the last one is still open."},
	{Name: "quota.window.size.seconds", Type: Int, Default: "1", Check: atLeast(1), Doc: "Seconds of one window of client quotas, and the longest throttling by request_percentage and connection_creation_rate."},
	{Name: "controller.quota.window.num", Type: Int, Default: "11", Check: atLeast(1), Doc: "Windows of controller_mutation_rate: that many times its size is what may be saved up for a burst."},
	{Name: "controller.quota.window.size.seconds", Type: Int, Default: "1", Check: atLeast(1), Doc: "Seconds of one window of controller_mutation_rate."},

	// The metadata log.
	{Name: "metadata.log.max.record.bytes.between.snapshots", Type: Long, Default: "20971520", Check: atLeast(1), Doc: "Bytes of metadata records after which a snapshot is written."},
	{Name: "metadata.log.max.snapshot.interval.ms", Type: Long, Default: "3600000", Check: atLeast(0), Doc: "Time in milliseconds after which a snapshot is written if there are new records; 0 is never by time."},

	// Being observed.
	{Name: "ottla.metrics.jmx.names", Type: Boolean, Default: "false", Doc: "Whether /metrics also tells everything under the names of Kafka's exporters; /metrics?names=jmx always does."},
	{Name: "ottla.audit.file", Type: String, Null: true, Doc: "File that every change of topics, settings, groups and the like is put on record in, a line of JSON each. Unset: only the log tells."},
	{Name: "ottla.audit.file.bytes", Type: Long, Default: "67108864", Check: atLeast(4096), Doc: "Size in bytes at which the audit file is put aside, as FILE.1, FILE.2 …, and a new one begun."},
	{Name: "ottla.audit.files", Type: Int, Default: "10", Check: between(1, 1000), Doc: "Number of audit files that are kept, the present one included."},

	// What Kafka has and one binary with goroutines has no use for.
	{Name: "process.roles", Type: List, Null: true, Check: listOf("broker", "controller"), Inert: true, Doc: "Every node is broker and controller."},
	{Name: "num.network.threads", Type: Int, Default: "3", Dynamic: true, Check: atLeast(1), Inert: true, Doc: "Connections have goroutines of their own."},
	{Name: "num.io.threads", Type: Int, Default: "8", Dynamic: true, Check: atLeast(1), Inert: true, Doc: "Requests run on their connection's goroutine."},
	{Name: "background.threads", Type: Int, Default: "10", Dynamic: true, Check: atLeast(1), Inert: true, Doc: "Background work needs no pool."},
	{Name: "controller.listener.names", Type: List, Null: true, Inert: true, Doc: "The controller has no listener of its own."},
	{Name: "controller.quorum.voters", Type: List, Null: true, Inert: true, Doc: "A single node is its own quorum."},
	{Name: "controller.quorum.bootstrap.servers", Type: List, Inert: true, Doc: "A single node is its own quorum."},
	{Name: "inter.broker.listener.name", Type: String, Null: true, Inert: true, Doc: "A single node speaks to no other."},
	{Name: "listener.security.protocol.map", Type: String, Null: true, Inert: true, Doc: "Listeners are plaintext yet; one that this maps to another protocol is refused."},
	{Name: "transaction.state.log.replication.factor", Type: Short, Default: "3", Check: atLeast(1), Inert: true, Doc: "There are no transactions yet."},
	{Name: "transaction.state.log.min.isr", Type: Int, Default: "2", Check: atLeast(1), Inert: true, Doc: "There are no transactions yet."},
	{Name: "share.coordinator.state.topic.replication.factor", Type: Short, Default: "3", Check: atLeast(1), Inert: true, Doc: "There are no share groups yet."},
	{Name: "share.coordinator.state.topic.min.isr", Type: Short, Default: "2", Check: atLeast(1), Inert: true, Doc: "There are no share groups yet."},
	{Name: "log.cleaner.threads", Type: Int, Default: "1", Dynamic: true, Check: atLeast(0), Inert: true, Doc: "One log is compacted at a time, within the budget of background work."},
	{Name: "num.replica.fetchers", Type: Int, Default: "1", Dynamic: true, Check: atLeast(1), Inert: true, Doc: "A single node replicates from no other."},
	{Name: "log.flush.start.offset.checkpoint.interval.ms", Type: Int, Default: "60000", Check: atLeast(0), Inert: true, Doc: "A new log start is written before DeleteRecords is acknowledged."},
	{Name: "auto.leader.rebalance.enable", Type: Boolean, Default: "true", Inert: true, Doc: "A single node leads every partition."},
	{Name: "queued.max.requests", Type: Int, Default: "500", Check: atLeast(1), Inert: true, Doc: "Each connection has a bound of its own, ottla.connection.max.requests."},
	{Name: "socket.send.buffer.bytes", Type: Int, Default: "102400", Inert: true, Doc: "The system sizes socket buffers by itself."},
	{Name: "socket.receive.buffer.bytes", Type: Int, Default: "102400", Inert: true, Doc: "The system sizes socket buffers by itself."},
	{Name: "num.recovery.threads.per.data.dir", Type: Int, Default: "2", Dynamic: true, Check: atLeast(1), Inert: true, Doc: "Recovery needs no pool."},
	{Name: "request.timeout.ms", Type: Int, Default: "30000", Inert: true, Doc: "A single node speaks to no other."},
	{Name: "socket.listen.backlog.size", Type: Int, Default: "50", Check: atLeast(1), Inert: true, Doc: "The system decides the accept queue."},
}
