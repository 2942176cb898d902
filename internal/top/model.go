package top

import (
	"maps"
	"time"
)

// Partition names a partition of a topic.
type Partition struct {
	Topic     string
	Partition int32
}

// Observation is what one round of questions brought. A field that is nil was not asked for in this round, and what was known of it stays.
type Observation struct {
	At      time.Time
	Err     string // why the round brought nothing; "" if it did
	Missing string // what could not be asked besides; "" if nothing
	Cluster *Cluster
	Starts  map[Partition]int64 // first offsets
	Ends    map[Partition]int64 // end offsets
	Sizes   map[Partition]int64 // bytes, of one replica
	Groups  []Group             // all groups, without members and offsets
	Members map[string]int      // members of some groups
	Offsets map[string]map[Partition]int64
	Written map[Place]time.Time // when the record at an offset was written
	Metrics *Metrics
}

// Place is an offset of a partition.
type Place struct {
	Partition
	Offset int64
}

// Cluster is what clients are told of the cluster.
type Cluster struct {
	ID         string
	Controller int32
	Brokers    []Member
	Topics     []Topic
}

// Member is a broker of the cluster.
type Member struct {
	ID      int32
	Address string
	Rack    string
}

// Topic is a topic and its partitions.
type Topic struct {
	Name       string
	Internal   bool
	Partitions []Replicas
}

// Replicas says where a partition is.
type Replicas struct {
	Partition int32
	Leader    int32 // -1: none
	Replicas  []int32
	InSync    []int32
}

// Group is a group as it is listed.
type Group struct {
	Name  string
	Type  string
	State string
}

// Metrics is what the admin port of one broker says. Counters count from its start.
type Metrics struct {
	Node          int32
	Version       string
	RecordsIn     float64
	BytesIn       float64
	BytesOut      float64
	Requests      float64
	CPUSeconds    float64
	Connections   float64
	ResidentBytes float64
	DiskFree      float64
	TopicBytesIn  map[string]float64 // of topics that were used; nil: it does not say
	TopicBytesOut map[string]float64
	AllTopics     bool // a topic that is in neither was not used
}

// counter is a number that grows, and how fast.
type counter struct {
	at    time.Time
	value int64
	rate  Rate
}

func newCounter() counter { return counter{rate: unknown} }

// observe takes a new value. One that went back is that of something new: a topic that was made again.
func (c *counter) observe(at time.Time, value int64) {
	elapsed := at.Sub(c.at).Seconds()
	switch {
	case c.at.IsZero(), value < c.value:
		c.rate = unknown
	case elapsed <= 0:
		return
	default:
		c.rate = Rate(float64(value-c.value) / elapsed)
	}
	c.at, c.value = at, value
}

// Model is all that is known. It is for one goroutine.
type Model struct {
	cluster  Cluster
	topics   map[string]Topic
	starts   map[Partition]int64
	ends     map[Partition]*counter
	sizes    map[Partition]*counter
	groups   map[string]*group
	metrics  *Metrics
	rates    Metrics // a second, of what metrics counts
	rated    bool
	asked    time.Time // when metrics were observed
	lastGood time.Time
	missing  string
	err      string
	since    time.Time // of err
}

type group struct {
	Group
	members int // -1: not known
	offsets map[Partition]*counter
	written map[Partition]written
}

// written is when the record at an offset was written, which was the next to be read when that was asked.
type written struct {
	offset int64
	at     time.Time
}

// New is a model that knows nothing.
func New() *Model {
	return &Model{topics: map[string]Topic{}, starts: map[Partition]int64{}, ends: map[Partition]*counter{}, sizes: map[Partition]*counter{}, groups: map[string]*group{}}
}

// Observe takes in what a round brought.
func (m *Model) Observe(o *Observation) {
	if o.Err != "" {
		if m.err == "" {
			m.since = o.At
		}
		m.err = o.Err
		return
	}
	m.err, m.lastGood = "", o.At
	if o.Written == nil { // a round, not a look-up beside it
		m.missing = o.Missing
	}
	if o.Cluster != nil {
		m.observeCluster(o.Cluster)
	}
	maps.Copy(m.starts, o.Starts)
	count(m.ends, o.Ends, o.At)
	count(m.sizes, o.Sizes, o.At)
	if o.Groups != nil {
		m.observeGroups(o.Groups)
	}
	for name, members := range o.Members {
		if g := m.groups[name]; g != nil {
			g.members = members
		}
	}
	for name, offsets := range o.Offsets {
		if g := m.groups[name]; g != nil {
			for p := range g.offsets {
				if _, still := offsets[p]; !still {
					delete(g.offsets, p)
					delete(g.written, p)
				}
			}
			count(g.offsets, offsets, o.At)
		}
	}
	if o.Written != nil {
		for _, g := range m.groups {
			for p, offset := range g.offsets {
				if at, ok := o.Written[Place{p, m.next(p, offset.value)}]; ok {
					g.written[p] = written{m.next(p, offset.value), at}
				}
			}
		}
	}
	if o.Metrics != nil {
		m.observeMetrics(o.At, o.Metrics)
	}
}

// next is the offset that a group reads next.
func (m *Model) next(p Partition, committed int64) int64 { return max(committed, m.starts[p]) }

func count(counters map[Partition]*counter, values map[Partition]int64, at time.Time) {
	for p, value := range values {
		c := counters[p]
		if c == nil {
			c = new(newCounter())
			counters[p] = c
		}
		c.observe(at, value)
	}
}

func (m *Model) observeCluster(c *Cluster) {
	m.cluster = *c
	m.topics = make(map[string]Topic, len(c.Topics))
	for _, t := range c.Topics {
		m.topics[t.Name] = t
	}
	for p := range m.ends {
		if _, still := m.topics[p.Topic]; !still {
			delete(m.ends, p)
			delete(m.sizes, p)
			delete(m.starts, p)
		}
	}
}

func (m *Model) observeGroups(groups []Group) {
	listed := make(map[string]bool, len(groups))
	for _, g := range groups {
		listed[g.Name] = true
		if known := m.groups[g.Name]; known != nil {
			known.Group = g
			continue
		}
		m.groups[g.Name] = &group{Group: g, members: -1, offsets: map[Partition]*counter{}, written: map[Partition]written{}}
	}
	for name := range m.groups {
		if !listed[name] {
			delete(m.groups, name)
		}
	}
}

// observeMetrics turns counters into rates. A counter that went back is that of a broker that was started again.
func (m *Model) observeMetrics(at time.Time, now *Metrics) {
	before, elapsed := m.metrics, at.Sub(m.asked).Seconds()
	m.metrics, m.asked = now, at
	if before == nil || elapsed <= 0 || now.Requests < before.Requests {
		m.rated = false
		return
	}
	m.rated = true
	each := func(now, before float64) float64 { return max(0, now-before) / elapsed }
	m.rates = Metrics{RecordsIn: each(now.RecordsIn, before.RecordsIn), BytesIn: each(now.BytesIn, before.BytesIn), BytesOut: each(now.BytesOut, before.BytesOut),
		Requests: each(now.Requests, before.Requests), CPUSeconds: each(now.CPUSeconds, before.CPUSeconds)}
	byTopic := func(now, before map[string]float64) map[string]float64 {
		if now == nil {
			return nil
		}
		rates := make(map[string]float64, len(now))
		for topic, value := range now {
			rates[topic] = each(value, before[topic])
		}
		return rates
	}
	m.rates.TopicBytesIn, m.rates.TopicBytesOut = byTopic(now.TopicBytesIn, before.TopicBytesIn), byTopic(now.TopicBytesOut, before.TopicBytesOut)
}
