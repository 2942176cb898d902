package groups

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

// groupView is a group of either protocol, as it is shown.
type groupView struct {
	Group       string          `json:"group"`
	Type        string          `json:"type"`
	State       string          `json:"state"`
	Assignor    string          `json:"assignor,omitempty"`
	Coordinator int32           `json:"coordinator"`
	Lag         lag             `json:"lag"`
	Members     []groupMember   `json:"members"`
	Partitions  []groupPosition `json:"partitions"`
}

// groupMember is one member, and what it reads.
type groupMember struct {
	Member     string             `json:"member"`
	Instance   string             `json:"instance,omitempty"`
	Client     string             `json:"client"`
	Host       string             `json:"host"`
	Software   string             `json:"software,omitempty"` // its client's name and version; Kafka does not tell
	Lag        lag                `json:"lag"`
	Partitions map[string][]int32 `json:"partitions"`
}

// groupPosition is how far a group has read a partition, and who reads it.
type groupPosition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed int64  `json:"committed"` // -1: nothing is committed
	Start     int64  `json:"start"`
	End       int64  `json:"end"`
	Lag       lag    `json:"lag"`
	Metadata  string `json:"metadata,omitempty"`
	Member    string `json:"member,omitempty"`
	Client    string `json:"client,omitempty"`
	Host      string `json:"host,omitempty"`
	Software  string `json:"software,omitempty"`
}

// assigned is what a member reads, as text: flights 0,1,4; orders 2.
func (m *groupMember) assigned() string {
	var topics []string
	for topic, partitions := range m.Partitions {
		text := strings.ReplaceAll(strings.Trim(fmt.Sprint(partitions), "[]"), " ", ",")
		topics = append(topics, topic+" "+text)
	}
	slices.Sort(topics)
	return strings.Join(topics, "; ")
}

// viewGroups asks for groups, all if none is named, without their positions.
func (f *groupFlags) viewGroups(ctx context.Context, admin *kadm.Client, names []string) ([]groupView, error) {
	listed, err := f.ListGroups(ctx, admin)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(listed))
	}
	var classic, consumer []string
	for _, name := range names {
		found, ok := listed[name]
		switch {
		case !ok:
			return nil, cli.NoSuchGroup(name)
		case found.Type == "consumer":
			consumer = append(consumer, name)
		default:
			classic = append(classic, name)
		}
	}
	views := make(map[string]groupView, len(names))
	if len(classic) > 0 {
		described, err := admin.DescribeGroups(ctx, classic...)
		if err != nil {
			return nil, f.Explain("describe groups", err)
		}
		for name, d := range described {
			if d.Err != nil {
				return nil, f.GroupError("describe", name, d.Err)
			}
			views[name] = classicView(&d, listed[name].Type)
		}
	}
	if len(consumer) > 0 {
		described, err := admin.DescribeConsumerGroups(ctx, consumer...)
		if err != nil {
			return nil, f.Explain("describe groups", err)
		}
		for name, d := range described {
			if d.Err != nil {
				return nil, f.GroupError("describe", name, d.Err)
			}
			views[name] = consumerView(&d)
		}
	}
	var ordered []groupView
	for _, name := range names {
		ordered = append(ordered, views[name])
	}
	return ordered, nil
}

func classicView(d *kadm.DescribedGroup, kind string) groupView {
	g := groupView{Group: d.Group, Type: kind, State: d.State, Assignor: d.Protocol, Coordinator: d.Coordinator.NodeID}
	for _, m := range d.Members {
		shown := groupMember{Member: m.MemberID, Instance: cli.OrEmpty(m.InstanceID), Client: m.ClientID, Host: strings.TrimPrefix(m.ClientHost, "/"), Partitions: map[string][]int32{}}
		if assignment, ok := m.Assigned.AsConsumer(); ok {
			for _, topic := range assignment.Topics {
				shown.Partitions[topic.Topic] = slices.Sorted(slices.Values(topic.Partitions))
			}
		}
		g.Members = append(g.Members, shown)
	}
	return g
}

func consumerView(d *kadm.DescribedConsumerGroup) groupView {
	g := groupView{Group: d.Group, Type: "consumer", State: d.State, Assignor: d.AssignorName, Coordinator: d.Coordinator.NodeID}
	for _, m := range d.Members {
		shown := groupMember{Member: m.MemberID, Instance: cli.OrEmpty(m.InstanceID), Client: m.ClientID, Host: strings.TrimPrefix(m.ClientHost, "/"), Partitions: map[string][]int32{}}
		for _, topic := range m.Assignment.Sorted() {
			shown.Partitions[topic.Topic] = slices.Sorted(slices.Values(topic.Partitions))
		}
		g.Members = append(g.Members, shown)
	}
	return g
}

// positions fills in how far a group has read, for all partitions that it has committed or its members read, and their lags in records.
func (g *groupView) positions(committed kadm.OffsetResponses, starts, ends kadm.ListedOffsets) {
	reader := map[string]map[int32]*groupMember{}
	for i := range g.Members {
		for topic, partitions := range g.Members[i].Partitions {
			for _, partition := range partitions {
				if reader[topic] == nil {
					reader[topic] = map[int32]*groupMember{}
				}
				reader[topic][partition] = &g.Members[i]
			}
		}
	}
	add := func(topic string, partition int32) {
		p := groupPosition{Topic: topic, Partition: partition, Committed: -1, Start: -1, End: -1, Lag: unknownLag}
		if at, ok := committed.Lookup(topic, partition); ok && at.Err == nil {
			p.Committed, p.Metadata = at.At, at.Metadata
		}
		if start, ok := starts.Lookup(topic, partition); ok && start.Err == nil {
			p.Start = start.Offset
		}
		if end, ok := ends.Lookup(topic, partition); ok && end.Err == nil {
			p.End = end.Offset
		}
		if p.Committed >= 0 && p.End >= 0 {
			p.Lag.Records = max(0, p.End-max(p.Committed, p.Start))
		}
		if m := reader[topic][partition]; m != nil {
			p.Member, p.Client, p.Host, p.Software = m.Member, m.Client, m.Host, m.Software
		}
		g.Partitions = append(g.Partitions, p)
	}
	committed.Each(func(o kadm.OffsetResponse) {
		if o.At >= 0 {
			add(o.Topic, o.Partition)
		}
	})
	for topic, partitions := range reader {
		for partition := range partitions {
			if at, ok := committed.Lookup(topic, partition); !ok || at.At < 0 {
				add(topic, partition)
			}
		}
	}
	slices.SortFunc(g.Partitions, func(a, b groupPosition) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
}
