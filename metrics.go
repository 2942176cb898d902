package ottla

import (
	"github.com/ottla-io/ottla/internal/admin"
	"github.com/ottla-io/ottla/internal/server"
)

// metrics turns the rooms' counters into samples when somebody scrapes: nothing is counted twice, and nothing costs while idle.
func (b *Broker) metrics(emit func(admin.Sample)) {
	gauge := func(name, help string, value float64, labels ...admin.Label) {
		emit(admin.Sample{Name: "ottla_" + name, Help: help, Kind: admin.Gauge, Labels: labels, Value: value})
	}
	total := func(name, help string, value float64, labels ...admin.Label) {
		emit(admin.Sample{Name: "ottla_" + name, Help: help, Kind: admin.Counter, Labels: labels, Value: value})
	}
	image := b.cluster.Image()
	gauge("info", "Always 1; the labels say what runs.", 1,
		admin.Label{Name: "version", Value: b.config.Version}, admin.Label{Name: "cluster_id", Value: b.ClusterID()}, admin.Label{Name: "node_id", Value: b.nodeIDText()})
	gauge("brokers", "Registered brokers.", float64(len(image.Brokers())))
	gauge("topics", "Topics in the cluster.", float64(image.TopicCount()))
	trash := image.Trash()
	trashBytes := int64(0)
	if len(trash) > 0 {
		for _, size := range b.cluster.partitions.TrashBytes() {
			trashBytes += size
		}
	}
	gauge("trash_topics", "Deleted topics that can be restored.", float64(len(trash)))
	gauge("trash_bytes", "Bytes on this broker's disks of deleted topics that can be restored.", float64(trashBytes))
	gauge("metadata_end_offset", "End offset of the metadata that this broker has applied.", float64(image.End()))
	held, led, offline := b.cluster.partitions.Partitions()
	gauge("partitions", "Partition replicas that this broker holds.", float64(held))
	gauge("partition_leaders", "Partitions that this broker leads.", float64(led))
	gauge("partitions_offline", "Partition replicas that cannot be served: corrupt, or on a failed directory.", float64(offline))
	counters := b.cluster.partitions.Counters()
	b.topicMetrics(gauge, total)
	total("produced_bytes_total", "Bytes of record batches appended for producers.", float64(counters.BytesIn))
	total("produced_records_total", "Records appended for producers.", float64(counters.RecordsIn))
	total("produced_batches_total", "Record batches appended for producers.", float64(counters.BatchesIn))
	total("produced_duplicate_batches_total", "Batches that an idempotent producer had sent before.", float64(counters.Duplicates))
	total("fetched_bytes_total", "Bytes of record batches handed to consumers.", float64(counters.BytesOut))
	total("rejected_bytes_total", "Bytes of record batches refused because they were too large.", float64(counters.BytesRejected))
	total("produce_partition_failures_total", "Partitions of Produce requests that were answered with an error.", float64(counters.FailedProduces))
	total("fetch_partition_failures_total", "Partitions of Fetch requests that were answered with an error.", float64(counters.FailedFetches))
	emit(durationSample("flush_seconds", "How long one group commit took, of all data directories.", b.flushes.snapshot(), 1))
	total("flushed_logs_total", "Logs that group commits made durable, one for each log and commit.", float64(b.flushes.logs.Load()))
	usable, low := b.store.Usable()
	gauge("disk_usable_bytes", "Bytes left on the fullest data directory's file system.", float64(usable))
	gauge("disk_low", "1 while produce is refused because a disk is nearly full.", number(low))
	gauge("log_files_open", "Log files that are open now.", float64(b.store.OpenFiles()))
	for _, dir := range b.store.Directories() {
		gauge("log_directory_offline", "1 for a data directory that failed.", number(dir.Offline != nil), admin.Label{Name: "directory", Value: dir.Path})
	}
	for _, work := range b.store.Background() {
		label := admin.Label{Name: "work", Value: work.Kind.String()}
		gauge("background_active", "Steps of background work that run now.", float64(work.Active), label)
		total("background_steps_total", "Steps of background work.", float64(work.Steps), label)
		total("background_seconds_total", "Time inside of steps of background work.", work.Busy.Seconds(), label)
		total("background_wait_seconds_total", "Time that background work was due and waited for its budget, or for other such work.", work.Waited.Seconds(), label)
		total("background_bytes_total", "Bytes that background work read and wrote, where it counts them.", float64(work.Bytes), label)
	}
	total("audited_changes_total", "Changes that clients asked for and the audit tells of, whatever their outcome.", float64(b.audit.told.Load()))
	total("audit_lost_changes_total", "Changes that could not be written to the audit file; the log tells of them.", float64(b.audit.lost.Load()))
	b.compactionMetrics(gauge, total)
	b.groupMetrics(gauge, total)
	b.quotaMetrics(gauge, total)
	b.serverMetrics(gauge, total, emit)
	b.clientMetrics(gauge, total, emit)
}

func (b *Broker) compactionMetrics(gauge, total func(name, help string, value float64, labels ...admin.Label)) {
	stats := b.store.Cleaner()
	gauge("compacted_logs", "Logs whose cleanup.policy has compact.", float64(stats.Logs))
	gauge("compaction_max_dirty_ratio", "Greatest share of one log that no compaction has seen, of what one may see.", stats.MaxDirtyRatio)
	gauge("compaction_uncleanable_logs", "Logs that could not be compacted; the log says why.", float64(stats.Uncleanable))
	gauge("compaction_uncleanable_bytes", "Bytes of logs that could not be compacted.", float64(stats.UncleanableBytes))
	total("compactions_total", "Compactions of a log that were completed.", float64(stats.Compactions))
	total("compacted_bytes_total", "Bytes of segments before they were compacted.", float64(stats.BytesBefore))
	total("compaction_freed_bytes_total", "Bytes that compaction freed.", float64(stats.BytesBefore-stats.BytesAfter))
}

func (b *Broker) serverMetrics(gauge, total func(name, help string, value float64, labels ...admin.Label), emit func(admin.Sample)) {
	stats := b.server.Stats()
	gauge("connections", "Open client connections.", float64(stats.Open))
	total("connections_accepted_total", "Client connections accepted.", float64(stats.Accepted))
	for reason, n := range stats.Closed {
		total("connections_closed_total", "Client connections ended or refused, by reason.", float64(n), admin.Label{Name: "reason", Value: reason.String()})
	}
	total("received_bytes_total", "Bytes read from client sockets.", float64(stats.BytesIn))
	total("sent_bytes_total", "Bytes written to client sockets.", float64(stats.BytesOut))
	gauge("buffer_bytes", "Memory in read buffers and waiting replies.", float64(stats.MemoryUsed))
	for i := range stats.APIs {
		api := &stats.APIs[i]
		label := admin.Label{Name: "api", Value: api.Name}
		total("requests_total", "Requests handled.", float64(api.Requests), label)
		gauge("requests_waiting", "Requests that wait now, for a watermark, a commit, other members or a timer.", float64(api.Waiting), label)
		total("request_waits_total", "Replies that waited for a watermark, a commit or a timer.", float64(api.Waits), label)
		for code, n := range api.Errors {
			total("request_errors_total", "Error codes in replies, one for each partition, topic or group that was refused.", float64(n), label, admin.Label{Name: "code", Value: code.Name()})
		}
		emit(durationSample("request_seconds", "Time from a request read to its reply handed to the kernel.", &api.Latency, 1, label))
		for stage := range server.Stages {
			emit(durationSample("request_stage_seconds", "Parts of request_seconds: queue, local, wait, order, send.", &api.Stages[stage], stageBounds, label,
				admin.Label{Name: "stage", Value: stage.String()}))
		}
	}
}

// stageBounds is how many of the server's buckets are one bucket of a stage's histogram: there are five stages of each API.
const stageBounds = 2

// durationSample turns power-of-two buckets of microseconds into a histogram of seconds, merge of them into one.
func durationSample(name, help string, d *server.Durations, merge int, labels ...admin.Label) admin.Sample {
	sample := admin.Sample{Name: "ottla_" + name, Help: help, Kind: admin.Histogram, Labels: labels, Value: d.Sum.Seconds()}
	count := uint64(0)
	for i, n := range d.Buckets {
		count += n
		switch last := i == len(d.Buckets)-1; {
		case last:
			sample.Counts = append(sample.Counts, count)
		case i%merge == 0:
			sample.Bounds, sample.Counts = append(sample.Bounds, float64(uint64(1)<<i)/1e6), append(sample.Counts, count)
			count = 0
		}
	}
	return sample
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
