package top

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Rate is what is counted by the second, or any number that may be unknown, which is below zero. JSON shows that as null.
type Rate float64

const unknown Rate = -1

// MarshalJSON implements json.Marshaler.
func (r Rate) MarshalJSON() ([]byte, error) {
	if r < 0 {
		return []byte("null"), nil
	}
	return json.Marshal(float64(r))
}

// plus adds what is known.
func (r Rate) plus(other Rate) Rate {
	switch {
	case r < 0:
		return other
	case other < 0:
		return r
	}
	return r + other
}

// Snapshot is all that is known, at one time, ordered by name.
type Snapshot struct {
	At      time.Time   `json:"at"`
	Cluster string      `json:"cluster"`
	Brokers []BrokerRow `json:"brokers"`
	Topics  []TopicRow  `json:"topics"`
	Groups  []GroupRow  `json:"groups"`
}

// BrokerRow is a broker. What the admin port tells is unknown of brokers whose port is not asked.
type BrokerRow struct {
	ID              int32  `json:"id"`
	Address         string `json:"address"`
	Rack            string `json:"rack,omitempty"`
	Controller      bool   `json:"controller"`
	Version         string `json:"version,omitempty"`
	Leaders         int    `json:"leaders"`
	Replicas        int    `json:"replicas"`
	RecordsIn       Rate   `json:"recordsInPerSecond"`
	BytesIn         Rate   `json:"bytesInPerSecond"`
	BytesOut        Rate   `json:"bytesOutPerSecond"`
	Requests        Rate   `json:"requestsPerSecond"`
	Connections     Rate   `json:"connections"`
	CPU             Rate   `json:"cpuCores"`
	ResidentBytes   Rate   `json:"residentBytes"`
	DiskUsableBytes Rate   `json:"diskUsableBytes"`
}

// TopicRow is a topic.
type TopicRow struct {
	Topic      string `json:"topic"`
	Internal   bool   `json:"internal,omitempty"`
	Partitions int    `json:"partitions"`
	RecordsIn  Rate   `json:"recordsPerSecond"`
	BytesIn    Rate   `json:"bytesInPerSecond"`
	BytesOut   Rate   `json:"bytesOutPerSecond"`
	SizeBytes  Rate   `json:"sizeBytes"`
	Leaderless int    `json:"leaderless"`
	Under      int    `json:"underReplicated"`
}

// PartitionRow is a partition of a topic.
type PartitionRow struct {
	Partition int32
	Leader    int32
	Replicas  int
	InSync    int
	End       Rate
	RecordsIn Rate
	SizeBytes Rate
}

// GroupRow is a group. Lag is over all its partitions: all records, and the longest wait.
type GroupRow struct {
	Group      string `json:"group"`
	Type       string `json:"type"`
	State      string `json:"state"`
	Members    Rate   `json:"members"`
	Topics     int    `json:"topics"`
	Partitions int    `json:"partitions"`
	Lag        Rate   `json:"lag"`
	Seconds    Rate   `json:"lagSeconds"`
	Read       Rate   `json:"readPerSecond"`
	Written    Rate   `json:"writtenPerSecond"` // into the partitions that it reads
}

// PositionRow is how far a group has read a partition.
type PositionRow struct {
	Topic     string
	Partition int32
	Committed Rate
	End       Rate
	Lag       Rate
	Seconds   Rate
	Read      Rate
	Written   Rate
}

// Snapshot orders all that is known at a time.
func (m *Model) Snapshot(now time.Time) Snapshot {
	s := Snapshot{At: now, Cluster: m.cluster.ID, Brokers: m.brokers(), Topics: []TopicRow{}, Groups: []GroupRow{}}
	for name := range m.topics {
		s.Topics = append(s.Topics, m.topic(name))
	}
	for name := range m.groups {
		s.Groups = append(s.Groups, m.group(name))
	}
	slices.SortFunc(s.Topics, func(a, b TopicRow) int { return strings.Compare(a.Topic, b.Topic) })
	slices.SortFunc(s.Groups, func(a, b GroupRow) int { return strings.Compare(a.Group, b.Group) })
	return s
}

func (m *Model) brokers() []BrokerRow {
	leaders, replicas := map[int32]int{}, map[int32]int{}
	for _, t := range m.topics {
		for _, p := range t.Partitions {
			leaders[p.Leader]++
			for _, id := range p.Replicas {
				replicas[id]++
			}
		}
	}
	rows := []BrokerRow{}
	for _, b := range m.cluster.Brokers {
		row := BrokerRow{ID: b.ID, Address: b.Address, Rack: b.Rack, Controller: b.ID == m.cluster.Controller, Leaders: leaders[b.ID], Replicas: replicas[b.ID],
			RecordsIn: unknown, BytesIn: unknown, BytesOut: unknown, Requests: unknown, Connections: unknown, CPU: unknown, ResidentBytes: unknown, DiskUsableBytes: unknown}
		if now := m.metrics; now != nil && now.Node == b.ID {
			row.Version = now.Version
			row.Connections, row.ResidentBytes, row.DiskUsableBytes = Rate(now.Connections), Rate(now.ResidentBytes), Rate(now.DiskFree)
			if m.rated {
				row.RecordsIn, row.BytesIn, row.BytesOut = Rate(m.rates.RecordsIn), Rate(m.rates.BytesIn), Rate(m.rates.BytesOut)
				row.Requests, row.CPU = Rate(m.rates.Requests), Rate(m.rates.CPUSeconds)
			}
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b BrokerRow) int { return cmp.Compare(a.ID, b.ID) })
	return rows
}

func (m *Model) topic(name string) TopicRow {
	t := m.topics[name]
	row := TopicRow{Topic: name, Internal: t.Internal, Partitions: len(t.Partitions), RecordsIn: unknown, BytesIn: unknown, BytesOut: unknown, SizeBytes: unknown}
	for i := range t.Partitions {
		p := m.partition(name, &t.Partitions[i])
		row.RecordsIn, row.SizeBytes = row.RecordsIn.plus(p.RecordsIn), row.SizeBytes.plus(p.SizeBytes)
		if c := m.sizes[Partition{name, p.Partition}]; c != nil {
			row.BytesIn = row.BytesIn.plus(c.rate)
		}
		if p.Leader < 0 {
			row.Leaderless++
		}
		if p.InSync < p.Replicas {
			row.Under++
		}
	}
	if m.rated && len(m.cluster.Brokers) == 1 { // of several brokers, one counts its own share only
		if in, ok := m.rates.TopicBytesIn[name]; ok {
			row.BytesIn = Rate(in)
		}
		if out, ok := m.rates.TopicBytesOut[name]; ok || m.metrics.AllTopics {
			row.BytesOut = Rate(out)
		}
	}
	return row
}

func (m *Model) partition(topic string, r *Replicas) PartitionRow {
	row := PartitionRow{Partition: r.Partition, Leader: r.Leader, Replicas: len(r.Replicas), InSync: len(r.InSync), End: unknown, RecordsIn: unknown, SizeBytes: unknown}
	if c := m.ends[Partition{topic, r.Partition}]; c != nil {
		row.End, row.RecordsIn = Rate(c.value), c.rate
	}
	if c := m.sizes[Partition{topic, r.Partition}]; c != nil {
		row.SizeBytes = Rate(c.value)
	}
	return row
}

// Partitions are those of a topic.
func (m *Model) Partitions(topic string) (rows []PartitionRow) {
	t := m.topics[topic]
	for i := range t.Partitions {
		rows = append(rows, m.partition(topic, &t.Partitions[i]))
	}
	return rows
}

func (m *Model) group(name string) GroupRow {
	g := m.groups[name]
	row := GroupRow{Group: name, Type: g.Type, State: g.State, Members: Rate(g.members), Lag: unknown, Seconds: unknown, Read: unknown, Written: unknown}
	topics := map[string]bool{}
	for _, p := range m.Positions(name) {
		topics[p.Topic] = true
		row.Partitions++
		row.Lag, row.Read, row.Written = row.Lag.plus(p.Lag), row.Read.plus(p.Read), row.Written.plus(p.Written)
		row.Seconds = max(row.Seconds, p.Seconds)
	}
	row.Topics = len(topics)
	return row
}

// behind is how long before the end was asked for the next record was written. The group may have read on since that was looked up: then
// records are taken to have come evenly from that one to the end.
func (w written) behind(next int64, end *counter) Rate {
	if next < w.offset || end.value <= w.offset {
		return unknown
	}
	waited := end.at.Sub(w.at).Seconds()
	return Rate(max(0, waited*float64(end.value-next)/float64(end.value-w.offset)))
}

// Positions are how far a group has read its partitions.
func (m *Model) Positions(name string) (rows []PositionRow) {
	g := m.groups[name]
	if g == nil {
		return nil
	}
	for p, committed := range g.offsets {
		row := PositionRow{Topic: p.Topic, Partition: p.Partition, Committed: Rate(committed.value), End: unknown, Lag: unknown, Seconds: unknown, Read: committed.rate, Written: unknown}
		if end := m.ends[p]; end != nil {
			row.End, row.Written = Rate(end.value), end.rate
			// The two were asked for one after the other, so that a commit may be ahead of an end that was asked before it.
			next := m.next(p, committed.value)
			row.Lag = max(0, Rate(end.value-next))
			if w, ok := g.written[p]; row.Lag == 0 {
				row.Seconds = 0
			} else if ok {
				row.Seconds = w.behind(next, end)
			}
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b PositionRow) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return rows
}

// Behind are the next offsets of groups that lag, at most limit of them: when their records were written says for how long.
func (m *Model) Behind(groups []string, limit int) (places []Place) {
	seen := map[Place]bool{}
	for _, name := range groups {
		g := m.groups[name]
		if g == nil {
			continue
		}
		for p, committed := range g.offsets {
			place := Place{p, m.next(p, committed.value)}
			if end := m.ends[p]; end == nil || end.value <= place.Offset || seen[place] {
				continue
			}
			if len(places) == limit {
				return places
			}
			seen[place] = true
			places = append(places, place)
		}
	}
	return places
}
