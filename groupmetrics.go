package ottla

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/ottla-io/ottla/internal/admin"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/wire"
)

const (
	// reportedOffsets bounds the committed offsets of which one scrape tells the lag, over all groups.
	reportedOffsets = 20_000
	// scrapeTime is how long a scrape waits for coordinators, whose answers wait for the disk as all answers do.
	scrapeTime = time.Second
)

// census is what the coordinators of this broker say at a scrape.
type census struct {
	stats   group.Stats
	reports []group.Report
	omitted int // groups that are not in reports
	silent  int // coordinators that did not answer in time
	loaded  int
}

func (c *census) add(stats group.Stats, reports []group.Report, omitted int) {
	for state, n := range stats.Groups {
		c.stats.Groups[state] += n
	}
	c.stats.Members += stats.Members
	c.stats.Offsets += stats.Offsets
	c.stats.Rebalances += stats.Rebalances
	c.stats.Paused += stats.Paused
	c.stats.Commits += stats.Commits
	c.stats.Expired += stats.Expired
	c.reports = append(c.reports, reports...)
	c.omitted += omitted
	c.silent--
}

// census asks all coordinators that run.
func (c *coordinators) census() census {
	loaded, _ := c.All()
	var mu sync.Mutex // guards what follows; answers may come after we have left
	sum := census{stats: group.Stats{Groups: map[string]int{}}, silent: len(loaded), loaded: len(loaded)}
	waiting := len(loaded)
	answered := c.env.NewSignal()
	for _, one := range loaded {
		var stats group.Stats
		var reports []group.Report
		var omitted int
		one.Submit(func(m *group.Machine, _ machine.Moment) []machine.Record {
			stats = m.Stats()
			reports, omitted = m.Report(reportedOffsets / len(loaded))
			return nil
		}, func(err error) {
			mu.Lock()
			if err == nil && waiting > 0 {
				sum.add(stats, reports, omitted)
			}
			waiting--
			mu.Unlock()
			answered.Set()
		})
	}
	mu.Lock()
	defer mu.Unlock()
	for deadline := c.env.Monotonic() + scrapeTime; waiting > 0; {
		left := deadline - c.env.Monotonic()
		if left <= 0 {
			waiting = 0 // what comes later is not added
			break
		}
		mu.Unlock()
		answered.WaitFor(left)
		mu.Lock()
	}
	slices.SortFunc(sum.reports, func(a, b group.Report) int { return cmp.Compare(a.Group, b.Group) })
	return sum
}

// groupStates are those that a group can be in, in Kafka's words.
var groupStates = []string{"Empty", "Assigning", "Reconciling", "PreparingRebalance", "CompletingRebalance", "Stable"}

func (b *Broker) groupMetrics(gauge, total func(name, help string, value float64, labels ...admin.Label)) {
	all := b.cluster.groups.census()
	for _, state := range groupStates {
		gauge("groups", "Groups that this broker coordinates, by state.", float64(all.stats.Groups[state]), admin.Label{Name: "state", Value: state})
	}
	gauge("group_coordinators", "Partitions of __consumer_offsets whose groups are loaded here.", float64(all.loaded))
	gauge("group_coordinators_silent", "Coordinators that did not answer this scrape in time: their groups are missing in it.", float64(all.silent))
	gauge("group_member_count", "Members of all groups.", float64(all.stats.Members))
	gauge("group_offsets", "Committed offsets of all groups.", float64(all.stats.Offsets))
	total("group_rebalances_total", "Rebalances since the groups were loaded.", float64(all.stats.Rebalances))
	total("group_paused_seconds_total", "Time that members could not consume because of rebalances, of all groups.", all.stats.Paused.Seconds())
	total("group_commits_total", "Offsets committed, one for each partition of a commit.", float64(all.stats.Commits))
	total("group_offsets_expired_total", "Committed offsets that nobody needed any more.", float64(all.stats.Expired))
	gauge("groups_unreported", "Groups without metrics of their own, because there are more committed offsets than one scrape looks at.", float64(all.omitted))
	for _, one := range all.reports {
		label := admin.Label{Name: "group", Value: one.Group}
		gauge("group_members", "Members of a group.", float64(one.Members), label)
		for _, lag := range b.lags(one.Read) {
			gauge("group_lag", "Records between what a group has committed and the end, over all partitions of a topic that this broker leads.", float64(lag.records), label,
				admin.Label{Name: "topic", Value: lag.topic})
		}
	}
}

type topicLag struct {
	topic   string
	records int64
}

// lags sums up positions, which are sorted by topic.
func (b *Broker) lags(read []group.Position) (lags []topicLag) {
	for _, position := range read {
		q := replication.OffsetQuery{Target: replication.Target{Topic: position.Topic, Partition: position.Partition},
			CurrentLeaderEpoch: ids.NoLeaderEpoch, TimestampMs: replication.LatestTimestamp}
		var end replication.FoundOffset
		if b.cluster.partitions.ListOffset(&q, &end, nil); end.Error != wire.ErrorNone {
			continue // led by somebody else, or deleted
		}
		if n := len(lags); n == 0 || lags[n-1].topic != position.Topic {
			lags = append(lags, topicLag{topic: position.Topic})
		}
		lags[len(lags)-1].records += max(int64(end.Offset-position.Offset), 0)
	}
	return lags
}
