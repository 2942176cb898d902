package ottla

import (
	"cmp"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ottla-io/ottla/internal/admin"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/server"
)

// reportedTopics bounds the topics that have metrics of their own.
const reportedTopics = 1000

// topicMetrics tells about the first topics by name that somebody has used since the start.
func (b *Broker) topicMetrics(gauge, total func(name, help string, value float64, labels ...admin.Label)) {
	used, omitted := b.usedTopics()
	for i := range used {
		topic := admin.Label{Name: "topic", Value: used[i].Topic}
		total("topic_produced_bytes_total", "Bytes of record batches appended for producers, by topic.", float64(used[i].BytesIn), topic)
		total("topic_produced_records_total", "Records appended for producers, by topic.", float64(used[i].RecordsIn), topic)
		total("topic_fetched_bytes_total", "Bytes of record batches handed to consumers, by topic.", float64(used[i].BytesOut), topic)
	}
	gauge("topics_unreported", "Topics in use that have no metrics of their own, because there are more than a scrape tells of.", float64(omitted))
}

func (b *Broker) usedTopics() (used []replication.TopicCounters, omitted int) {
	used = slices.DeleteFunc(b.cluster.partitions.TopicCounters(), func(t replication.TopicCounters) bool { return t.Counters == (replication.Counters{}) })
	slices.SortFunc(used, func(a, b replication.TopicCounters) int { return cmp.Compare(a.Topic, b.Topic) })
	if len(used) > reportedTopics {
		used, omitted = used[:reportedTopics], len(used)-reportedTopics
	}
	return used, omitted
}

// flushes counts group commits.
type flushes struct {
	ns      atomic.Int64
	logs    atomic.Uint64
	buckets [server.LatencyBuckets]atomic.Uint64
}

func (f *flushes) add(took time.Duration, logs int) {
	f.ns.Add(int64(took))
	f.logs.Add(uint64(logs))
	f.buckets[min(bits.Len64(uint64(took/time.Microsecond)), server.LatencyBuckets-1)].Add(1)
}

func (f *flushes) snapshot() *server.Durations {
	all := &server.Durations{Sum: time.Duration(f.ns.Load())}
	for i := range f.buckets {
		all.Buckets[i] = f.buckets[i].Load()
	}
	return all
}
