package ottla

import (
	"strconv"
	"sync"
	"time"

	"github.com/ottla-io/ottla/internal/admin"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/server"
	"github.com/ottla-io/ottla/internal/wire"
)

// jmxMetrics tells what this broker knows under the names that Kafka's dashboards plot: those that the Prometheus JMX exporter makes of
// Kafka's beans with Strimzi's rules, and kafka_exporter's. What does not exist here has no sample. docs/metrics.md lists both.
func (b *Broker) jmxMetrics(emit func(admin.Sample)) {
	j := &jmx{emit: emit, image: b.cluster.Image()}
	j.topics(b)
	j.partitions(b)
	j.controller(b)
	j.network(b)
	j.disk(b)
	j.groups(b)
}

// jmx is one scrape by Kafka's names.
type jmx struct {
	emit  func(admin.Sample)
	image *metadata.Image
}

func (j *jmx) gauge(name string, value float64, labels ...string) {
	j.sample(admin.Gauge, name, value, labels)
}
func (j *jmx) total(name string, value float64, labels ...string) {
	j.sample(admin.Counter, name, value, labels)
}

// sample emits one value; labels are names and values in turn.
func (j *jmx) sample(kind admin.Kind, name string, value float64, labels []string) {
	s := admin.Sample{Name: "kafka_" + name, Help: "As Kafka's metric of this name; see docs/metrics.md of Ottla.", Kind: kind, Value: value}
	for i := 0; i < len(labels); i += 2 {
		s.Labels = append(s.Labels, admin.Label{Name: labels[i], Value: labels[i+1]})
	}
	j.emit(s)
}

// topics is BrokerTopicMetrics: of all topics, without a label, and of each.
func (j *jmx) topics(b *Broker) {
	j.topic(b.cluster.partitions.Counters())
	used, _ := b.usedTopics()
	for i := range used {
		j.topic(used[i].Counters, "topic", used[i].Topic)
	}
}

func (j *jmx) topic(c replication.Counters, labels ...string) {
	for _, one := range []struct {
		name  string
		value int64
	}{
		{"messagesin", c.RecordsIn}, {"bytesin", c.BytesIn}, {"bytesout", c.BytesOut}, {"bytesrejected", c.BytesRejected},
		{"totalproducerequests", c.Produces}, {"failedproducerequests", c.FailedProduces}, {"totalfetchrequests", c.Fetches}, {"failedfetchrequests", c.FailedFetches},
	} {
		j.total("server_brokertopicmetrics_"+one.name+"_total", float64(one.value), labels...)
	}
}

// partitions is ReplicaManager, Partition and Log, and kafka_exporter's view of topics.
func (j *jmx) partitions(b *Broker) {
	var held, led, offline, underReplicated, underMin, atMin int
	b.cluster.partitions.EachPartition(func(p replication.Status) {
		at := []string{"topic", p.Name.Topic, "partition", strconv.Itoa(int(p.Name.Partition))}
		held++
		if p.Offline {
			offline++
		} else {
			j.gauge("log_log_size", float64(p.SizeBytes), at...)
			j.gauge("log_log_logstartoffset", float64(p.Start), at...)
			j.gauge("log_log_logendoffset", float64(p.End), at...)
			j.gauge("log_log_numlogsegments", float64(p.Segments), at...)
			j.gauge("topic_partition_oldest_offset", float64(p.Start), at...)
			j.gauge("topic_partition_current_offset", float64(p.Watermark), at...)
		}
		j.gauge("topic_partition_leader", float64(p.Leader), at...)
		j.gauge("topic_partition_leader_is_preferred", number(p.Preferred), at...)
		j.gauge("topic_partition_replicas", float64(p.Replicas), at...)
		j.gauge("topic_partition_in_sync_replica", float64(p.ISR), at...)
		j.gauge("topic_partition_under_replicated_partition", number(p.ISR < p.Replicas), at...)
		if !p.Leads {
			return
		}
		led++
		underReplicated += count(p.ISR < p.Replicas)
		underMin += count(p.ISR < p.MinISR)
		atMin += count(p.ISR == p.MinISR)
		j.gauge("cluster_partition_underreplicated", number(p.ISR < p.Replicas), at...)
		j.gauge("cluster_partition_underminisr", number(p.ISR < p.MinISR), at...)
		j.gauge("cluster_partition_atminisr", number(p.ISR == p.MinISR), at...)
		j.gauge("cluster_partition_insyncreplicascount", float64(p.ISR), at...)
		j.gauge("cluster_partition_replicascount", float64(p.Replicas), at...)
	})
	j.gauge("server_replicamanager_partitioncount", float64(held))
	j.gauge("server_replicamanager_leadercount", float64(led))
	j.gauge("server_replicamanager_offlinereplicacount", float64(offline))
	j.gauge("server_replicamanager_underreplicatedpartitions", float64(underReplicated))
	j.gauge("server_replicamanager_underminisrpartitioncount", float64(underMin))
	j.gauge("server_replicamanager_atminisrpartitioncount", float64(atMin))
	shrinks, expands := b.cluster.partitions.ISRChanges()
	j.total("server_replicamanager_isrshrinks_total", float64(shrinks))
	j.total("server_replicamanager_isrexpands_total", float64(expands))
	for _, topic := range j.image.Topics() {
		j.gauge("topic_partitions", float64(len(topic.Partitions)), "topic", topic.Name)
	}
}

// controller is KafkaController, raft-metrics and broker-metadata-metrics. A single node is its own controller.
func (j *jmx) controller(b *Broker) {
	partitions, leaderless, imbalanced := 0, 0, 0
	for _, topic := range j.image.Topics() {
		partitions += len(topic.Partitions)
		for i := range topic.Partitions {
			p := &topic.Partitions[i]
			leaderless += count(p.Leader == ids.NoBroker)
			imbalanced += count(len(p.Replicas) > 0 && p.Replicas[0] != p.Leader)
		}
	}
	fenced := 0
	for _, broker := range j.image.Brokers() {
		fenced += count(broker.Fenced)
	}
	self, end := float64(b.config.NodeID), float64(j.image.End())
	j.gauge("controller_kafkacontroller_activecontrollercount", 1)
	j.gauge("controller_kafkacontroller_offlinepartitionscount", float64(leaderless))
	j.gauge("controller_kafkacontroller_preferredreplicaimbalancecount", float64(imbalanced))
	j.gauge("controller_kafkacontroller_globaltopiccount", float64(j.image.TopicCount()))
	j.gauge("controller_kafkacontroller_globalpartitioncount", float64(partitions))
	j.gauge("controller_kafkacontroller_activebrokercount", float64(len(j.image.Brokers())-fenced))
	j.gauge("controller_kafkacontroller_fencedbrokercount", float64(fenced))
	j.gauge("controller_kafkacontroller_lastappliedrecordoffset", end-1)
	j.gauge("server_raftmetrics_current_leader", self)
	j.gauge("server_raftmetrics_current_epoch", float64(j.image.Epoch()))
	j.gauge("server_raftmetrics_high_watermark", end)
	j.gauge("server_raftmetrics_log_end_offset", end)
	j.gauge("server_brokermetadatametrics_last_applied_record_offset", end-1)
	j.gauge("brokers", float64(len(j.image.Brokers())))
}

// network is RequestMetrics, SocketServer and the purgatories.
func (j *jmx) network(b *Broker) {
	stats := b.server.Stats()
	recent := b.recent.since(b.doors.env.Monotonic(), stats.APIs)
	for i := range stats.APIs {
		api := &stats.APIs[i]
		j.request(api, recent[api.Key], api.Name)
		if api.Key == wire.FetchKey {
			j.request(api, recent[api.Key], "FetchConsumer") // nobody fetches as a follower
		}
		if api.Key == wire.ProduceKey || api.Key == wire.FetchKey {
			j.gauge("server_delayedoperationpurgatory_purgatorysize", float64(api.Waiting), "delayedOperation", api.Name)
		}
	}
	j.gauge("server_socket_server_metrics_connection_count", float64(stats.Open), "listener", listenerName)
	j.total("server_socket_server_metrics_connection_creation_total", float64(stats.Accepted), "listener", listenerName)
	j.total("server_socket_server_metrics_incoming_byte_total", float64(stats.BytesIn), "listener", listenerName)
	j.total("server_socket_server_metrics_outgoing_byte_total", float64(stats.BytesOut), "listener", listenerName)
}

// stageNames are Kafka's for our stages.
var stageNames = [server.Stages]string{"requestqueuetimems", "localtimems", "remotetimems", "responsequeuetimems", "responsesendtimems"}

func (j *jmx) request(api, recent *server.APIStats, name string) {
	const metrics = "network_requestmetrics_"
	j.total(metrics+"requests_total", float64(api.Requests), "request", name)
	for code, n := range api.Errors {
		j.total(metrics+"errors_total", float64(n), "request", name, "error", code.Name())
	}
	j.summary(metrics+"totaltimems", &api.Latency, &recent.Latency, "request", name)
	for stage, called := range stageNames {
		j.summary(metrics+called, &api.Stages[stage], &recent.Stages[stage], "request", name)
	}
}

// quantiles are those of Kafka's histograms, by Strimzi's label.
var quantiles = []struct {
	label string
	q     float64
}{{"0.50", 0.5}, {"0.75", 0.75}, {"0.95", 0.95}, {"0.98", 0.98}, {"0.99", 0.99}, {"0.999", 0.999}}

// summary is a histogram of Kafka's: how many there were, and quantiles, in milliseconds, of the recent ones.
func (j *jmx) summary(name string, all, recent *server.Durations, labels ...string) {
	total := uint64(0)
	for _, n := range all.Buckets {
		total += n
	}
	j.total(name+"_count", float64(total), labels...)
	for _, quantile := range quantiles {
		j.gauge(name, quantileMs(recent, quantile.q), append(labels[:len(labels):len(labels)], "quantile", quantile.label)...)
	}
}

// quantileMs finds a quantile in milliseconds, between the bounds of its bucket as if all of that were spread evenly; 0 if there is nothing.
func quantileMs(d *server.Durations, q float64) float64 {
	total := uint64(0)
	for _, n := range d.Buckets {
		total += n
	}
	rank, seen := q*float64(total), 0.0
	for i, n := range d.Buckets {
		if n > 0 && seen+float64(n) >= rank {
			high := float64(uint64(1) << i)
			low := high / 2
			if i == 0 {
				low = 0
			}
			return (low + (high-low)*(rank-seen)/float64(n)) / 1000
		}
		seen += float64(n)
	}
	return 0
}

// disk is LogManager, LogFlushStats and LogCleanerManager.
func (j *jmx) disk(b *Broker) {
	offline := 0
	for _, dir := range b.store.Directories() {
		offline += count(dir.Offline != nil)
		j.gauge("log_logmanager_logdirectoryoffline", number(dir.Offline != nil), "logDirectory", dir.Path)
	}
	j.gauge("log_logmanager_offlinelogdirectorycount", float64(offline))
	flushed := server.APIStats{Latency: *b.flushes.snapshot()}
	recent := b.recentFlushes.since(b.doors.env.Monotonic(), []server.APIStats{flushed})
	j.summary("log_logflushstats_logflushrateandtimems", &flushed.Latency, &recent[flushed.Key].Latency)
	cleaner := b.store.Cleaner()
	j.gauge("log_logcleanermanager_uncleanable_partitions_count", float64(cleaner.Uncleanable))
	j.gauge("log_logcleanermanager_uncleanable_bytes", float64(cleaner.UncleanableBytes))
	j.gauge("log_logcleanermanager_max_dirty_percent", float64(int(100*cleaner.MaxDirtyRatio)))
}

// groups is GroupMetadataManager, and kafka_exporter's view of groups.
func (j *jmx) groups(b *Broker) {
	all := b.cluster.groups.census()
	groups := 0
	for _, n := range all.stats.Groups {
		groups += n
	}
	const manager = "coordinator_group_groupmetadatamanager_"
	j.gauge(manager+"numgroups", float64(groups))
	j.gauge(manager+"numoffsets", float64(all.stats.Offsets))
	j.gauge(manager+"numgroupspreparingrebalance", float64(all.stats.Groups["PreparingRebalance"]))
	j.gauge(manager+"numgroupscompletingrebalance", float64(all.stats.Groups["CompletingRebalance"]))
	for _, one := range all.reports {
		j.gauge("consumergroup_members", float64(one.Members), "consumergroup", one.Group)
		j.positions(b, one)
	}
}

// positions are the offsets and lags of one group, whose partitions are sorted by topic.
func (j *jmx) positions(b *Broker, one group.Report) {
	for len(one.Read) > 0 {
		topic, sum, lags := one.Read[0].Topic, int64(0), int64(0)
		for len(one.Read) > 0 && one.Read[0].Topic == topic {
			p := one.Read[0]
			one.Read = one.Read[1:]
			q := replication.OffsetQuery{Target: replication.Target{Topic: p.Topic, Partition: p.Partition},
				CurrentLeaderEpoch: ids.NoLeaderEpoch, TimestampMs: replication.LatestTimestamp}
			var end replication.FoundOffset
			if b.cluster.partitions.ListOffset(&q, &end, nil); end.Error != wire.ErrorNone {
				continue // led by somebody else, or deleted
			}
			at := []string{"consumergroup", one.Group, "topic", topic, "partition", strconv.Itoa(int(p.Partition))}
			lag := max(int64(end.Offset-p.Offset), 0)
			sum, lags = sum+int64(p.Offset), lags+lag
			j.gauge("consumergroup_current_offset", float64(p.Offset), at...)
			j.gauge("consumergroup_lag", float64(lag), at...)
		}
		j.gauge("consumergroup_current_offset_sum", float64(sum), "consumergroup", one.Group, "topic", topic)
		j.gauge("consumergroup_lag_sum", float64(lags), "consumergroup", one.Group, "topic", topic)
	}
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// recentTime is about how far the quantiles look back, as Kafka's histograms do; recentStep how often what they look back to is noted.
const (
	recentTime = 5 * time.Minute
	recentStep = time.Minute
)

// recentLatency remembers what was counted some minutes ago, so that quantiles can be told of what came since. Only scrapes feed it.
type recentLatency struct {
	mu    sync.Mutex
	noted []notedLatency // oldest first, a step apart
}

type notedLatency struct {
	at   time.Duration
	apis map[int16]server.APIStats
}

// since is what was counted since the oldest note that is not older than recentTime; all, where there is none.
func (r *recentLatency) since(now time.Duration, apis []server.APIStats) map[int16]*server.APIStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.noted) > 0 && now-r.noted[0].at > recentTime {
		r.noted = r.noted[1:]
	}
	recent := make(map[int16]*server.APIStats, len(apis))
	for i := range apis {
		one := apis[i]
		if len(r.noted) > 0 {
			before := r.noted[0].apis[one.Key]
			subtract(&one.Latency, &before.Latency)
			for stage := range one.Stages {
				subtract(&one.Stages[stage], &before.Stages[stage])
			}
		}
		recent[one.Key] = &one
	}
	if n := len(r.noted); n == 0 || now-r.noted[n-1].at >= recentStep {
		note := notedLatency{at: now, apis: make(map[int16]server.APIStats, len(apis))}
		for i := range apis {
			note.apis[apis[i].Key] = apis[i]
		}
		r.noted = append(r.noted, note)
	}
	return recent
}

// subtract takes out what had been counted before.
func subtract(from, before *server.Durations) {
	from.Sum -= before.Sum
	for i := range from.Buckets {
		from.Buckets[i] -= min(before.Buckets[i], from.Buckets[i])
	}
}
