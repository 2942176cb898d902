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
	unread := b.newUnreadScrape()
	for _, one := range all.reports {
		label := admin.Label{Name: "group", Value: one.Group}
		gauge("group_members", "Members of a group.", float64(one.Members), label)
		for _, lag := range b.lags(one.Read, unread) {
			topic := admin.Label{Name: "topic", Value: lag.topic}
			gauge("group_lag", "Records between what a group has committed and the end, over all partitions of a topic that this broker leads.", float64(lag.records), label, topic)
			if lag.known {
				gauge("group_lag_seconds", "How long the oldest record has waited that a group has not committed, of all partitions of a topic that this broker leads; to the accuracy of a batch.",
					lag.seconds, label, topic)
			}
		}
	}
	gauge("group_lag_unknown", "Partitions of groups whose oldest record that is not committed has no timestamp, or was not looked at in this scrape for want of time.", float64(unread.unknown))
	b.unread.keep(unread)
}

// topicLag is how far a group is behind in a topic.
type topicLag struct {
	topic   string
	records int64
	seconds float64 // of the partition that is furthest behind
	known   bool    // seconds is told of every partition that is behind
}

// lookTime bounds how long one scrape looks for timestamps that no scrape before it has found.
const lookTime = 50 * time.Millisecond

// unreadAt is the place of a record that a group has not committed.
type unreadAt struct {
	topic     string
	partition int32
	offset    ids.Offset
}

// unreadTimes remembers when the records were written at which groups stand, from one scrape to the next.
type unreadTimes struct {
	mu    sync.Mutex
	known map[unreadAt]int64 // ms
}

// keep remembers what a scrape needed, and nothing else.
func (u *unreadTimes) keep(scrape *unreadScrape) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.known = scrape.used
}

// unreadScrape is what one scrape knows of them.
type unreadScrape struct {
	b       *Broker
	nowMs   int64
	until   time.Duration
	known   map[unreadAt]int64 // not changed
	used    map[unreadAt]int64
	unknown int
}

func (b *Broker) newUnreadScrape() *unreadScrape {
	b.unread.mu.Lock()
	defer b.unread.mu.Unlock()
	return &unreadScrape{b: b, nowMs: b.doors.env.Now().UnixMilli(), until: b.doors.env.Monotonic() + lookTime, known: b.unread.known, used: map[unreadAt]int64{}}
}

// seconds is how long the record at a position has waited.
func (s *unreadScrape) seconds(position group.Position) (seconds float64, ok bool) {
	at := unreadAt{position.Topic, position.Partition, position.Offset}
	writtenMs, ok := s.known[at]
	if _, again := s.used[at]; !ok && again {
		writtenMs, ok = s.used[at], true
	}
	if !ok && s.b.doors.env.Monotonic() < s.until {
		writtenMs, ok = s.b.cluster.partitions.WrittenAt(&replication.Target{Topic: at.topic, Partition: at.partition}, at.offset)
	}
	if !ok {
		s.unknown++
		return 0, false
	}
	s.used[at] = writtenMs
	return max(float64(s.nowMs-writtenMs)/1000, 0), true
}

// lags sums up positions, which are sorted by topic.
func (b *Broker) lags(read []group.Position, unread *unreadScrape) (lags []topicLag) {
	for _, position := range read {
		q := replication.OffsetQuery{Target: replication.Target{Topic: position.Topic, Partition: position.Partition},
			CurrentLeaderEpoch: ids.NoLeaderEpoch, TimestampMs: replication.LatestTimestamp}
		var end replication.FoundOffset
		if b.cluster.partitions.ListOffset(&q, &end, nil); end.Error != wire.ErrorNone {
			continue // led by somebody else, or deleted
		}
		if n := len(lags); n == 0 || lags[n-1].topic != position.Topic {
			lags = append(lags, topicLag{topic: position.Topic, known: true})
		}
		lag := &lags[len(lags)-1]
		if end.Offset <= position.Offset {
			continue
		}
		lag.records += int64(end.Offset - position.Offset)
		var start replication.FoundOffset
		q.TimestampMs = replication.EarliestTimestamp
		if b.cluster.partitions.ListOffset(&q, &start, nil); start.Error == wire.ErrorNone {
			position.Offset = max(position.Offset, start.Offset) // what retention took is not waiting any more
		}
		seconds, ok := unread.seconds(position)
		lag.seconds, lag.known = max(lag.seconds, seconds), lag.known && ok
	}
	return lags
}
