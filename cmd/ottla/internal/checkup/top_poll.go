package checkup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
	"github.com/ottla-io/ottla/internal/top"
)

const (
	topPartitions = 2000 // partitions that are asked for in a round, besides those of a topic that is looked at
	topGroups     = 100  // groups that are asked for in a round
	topSeldom     = 5    // rounds between questions for what changes seldom
	topPatience   = 3 * time.Second
)

// topPoller asks a cluster, a round at a time. What is on the screen is asked for in every round, the rest in turn.
type topPoller struct {
	flags   *topFlags
	client  *kgo.Client
	admin   *kadm.Client
	all     bool // everything in every round
	round   int
	cluster *top.Cluster
	groups  []top.Group
	topics  map[string][]string // of a group, as far as it is known
	topic   int                 // whose turn it is
	group   int
}

// poll is one round. topics and groups are what is on the screen.
func (p *topPoller) poll(ctx context.Context, topics, groups []string) *top.Observation {
	ctx, cancel := context.WithTimeout(ctx, max(topPatience, p.flags.interval))
	defer cancel()
	o := &top.Observation{}
	err := p.ask(ctx, o, topics, groups)
	o.At = time.Now()
	p.round++
	if err != nil {
		p.round = 0 // when it answers again, all is asked anew
		o.Err = briefly(err)
		return o
	}
	p.askMetrics(ctx, o)
	return o
}

// briefly is an error in few words: a screen has one line for it.
func briefly(err error) string {
	var network *net.OpError
	switch {
	case errors.As(err, &network) && network.Addr != nil:
		return fmt.Sprintf("%s: %v", network.Addr, network.Err)
	case errors.Is(err, context.DeadlineExceeded):
		return "it takes too long"
	}
	return err.Error()
}

func (p *topPoller) ask(ctx context.Context, o *top.Observation, topics, groups []string) error {
	seldom := p.all || p.round%topSeldom == 0
	if seldom {
		if err := p.askCluster(ctx, o); err != nil {
			return err
		}
		if err := p.askGroups(ctx, o); err != nil {
			return err
		}
	}
	groups = p.groupsInTurn(groups)
	if err := p.askOffsets(ctx, o, groups); err != nil {
		return err
	}
	if seldom || p.round == 1 {
		p.askMembers(ctx, o, groups)
	}
	for _, group := range groups {
		topics = append(topics, p.topics[group]...)
	}
	which := p.topicsInTurn(topics)
	var err error
	if o.Ends, err = p.offsets(ctx, which, -1); err != nil {
		return err
	}
	if seldom {
		if o.Starts, err = p.offsets(ctx, which, -2); err != nil {
			return err
		}
		p.askSizes(ctx, o, which)
	}
	return nil
}

func (p *topPoller) askCluster(ctx context.Context, o *top.Observation) error {
	answer, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, p.client)
	if err != nil {
		return err
	}
	cluster := &top.Cluster{ID: cli.OrEmpty(answer.ClusterID), Controller: answer.ControllerID}
	for _, b := range answer.Brokers {
		cluster.Brokers = append(cluster.Brokers, top.Member{ID: b.NodeID, Address: net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))), Rack: cli.OrEmpty(b.Rack)})
	}
	for _, t := range answer.Topics {
		if t.Topic == nil || t.ErrorCode != 0 {
			continue
		}
		topic := top.Topic{Name: *t.Topic, Internal: t.IsInternal}
		for _, part := range t.Partitions {
			topic.Partitions = append(topic.Partitions, top.Replicas{Partition: part.Partition, Leader: part.Leader, Replicas: part.Replicas, InSync: part.ISR})
		}
		cluster.Topics = append(cluster.Topics, topic)
	}
	p.cluster, o.Cluster = cluster, cluster
	return nil
}

func (p *topPoller) askGroups(ctx context.Context, o *top.Observation) error {
	groups := []top.Group{}
	for _, shard := range p.client.RequestSharded(ctx, kmsg.NewPtrListGroupsRequest()) {
		if shard.Err != nil {
			return shard.Err
		}
		answer := shard.Resp.(*kmsg.ListGroupsResponse)
		if answer.ErrorCode != 0 {
			return nil // its coordinators are still loading, or we may not know: what was known stays
		}
		for _, g := range answer.Groups {
			kind := g.GroupType
			if kind == "" {
				kind = "classic" // brokers before ListGroups 5 know no other
			}
			groups = append(groups, top.Group{Name: g.Group, Type: kind, State: g.GroupState})
		}
	}
	p.groups, o.Groups = groups, groups
	return nil
}

// groupsInTurn are those on the screen, and some others.
func (p *topPoller) groupsInTurn(looked []string) (names []string) {
	chosen := map[string]bool{}
	there := map[string]bool{}
	for _, g := range p.groups {
		there[g.Name] = true
	}
	take := func(name string) {
		if there[name] && !chosen[name] {
			chosen[name] = true
			names = append(names, name)
		}
	}
	for _, name := range looked {
		take(name)
	}
	for range p.groups {
		if !p.all && len(names) >= topGroups {
			break
		}
		p.group = (p.group + 1) % len(p.groups)
		take(p.groups[p.group].Name)
	}
	return names
}

func (p *topPoller) askOffsets(ctx context.Context, o *top.Observation, groups []string) error {
	o.Offsets = map[string]map[top.Partition]int64{}
	if len(groups) == 0 {
		return nil
	}
	for _, answer := range p.admin.FetchManyOffsets(ctx, groups...) {
		var refused *kerr.Error
		switch {
		case answer.Err == nil:
		case errors.As(answer.Err, &refused):
			continue // it has been deleted, its coordinator moves, or it has no offsets: the next round says
		default:
			return answer.Err
		}
		offsets := map[top.Partition]int64{}
		topics := map[string]bool{}
		p.topics[answer.Group] = nil
		answer.Fetched.Each(func(at kadm.OffsetResponse) {
			if at.Err != nil || at.At < 0 {
				return
			}
			offsets[top.Partition{Topic: at.Topic, Partition: at.Partition}] = at.At
			if !topics[at.Topic] {
				topics[at.Topic] = true
				p.topics[answer.Group] = append(p.topics[answer.Group], at.Topic)
			}
		})
		o.Offsets[answer.Group] = offsets
	}
	return nil
}

// askMembers counts members. A group that does not say it leaves it as it was.
func (p *topPoller) askMembers(ctx context.Context, o *top.Observation, groups []string) {
	kind := map[string]string{}
	for _, g := range p.groups {
		kind[g.Name] = g.Type
	}
	var classic, consumer []string
	for _, name := range groups {
		switch kind[name] {
		case "classic":
			classic = append(classic, name)
		case "consumer":
			consumer = append(consumer, name)
		}
	}
	o.Members = map[string]int{}
	if len(classic) > 0 {
		described, _ := p.admin.DescribeGroups(ctx, classic...)
		for name, d := range described {
			if d.Err == nil {
				o.Members[name] = len(d.Members)
			}
		}
	}
	if len(consumer) > 0 {
		described, _ := p.admin.DescribeConsumerGroups(ctx, consumer...)
		for name, d := range described {
			if d.Err == nil {
				o.Members[name] = len(d.Members)
			}
		}
	}
}

// topicsInTurn are those on the screen, and some others, as many as have topPartitions partitions.
func (p *topPoller) topicsInTurn(looked []string) map[string]*top.Topic {
	chosen := map[string]*top.Topic{}
	byName := make(map[string]*top.Topic, len(p.cluster.Topics))
	for i := range p.cluster.Topics {
		byName[p.cluster.Topics[i].Name] = &p.cluster.Topics[i]
	}
	partitions := 0
	take := func(t *top.Topic) {
		if t != nil && chosen[t.Name] == nil {
			chosen[t.Name] = t
			partitions += len(t.Partitions)
		}
	}
	for _, name := range looked {
		take(byName[name])
	}
	for range p.cluster.Topics {
		if !p.all && partitions >= topPartitions {
			break
		}
		p.topic = (p.topic + 1) % len(p.cluster.Topics)
		take(&p.cluster.Topics[p.topic])
	}
	return chosen
}

// offsets asks leaders for the offsets at a timestamp: -1 is the end, -2 the start. A leader that does not answer, where others do, is left out.
func (p *topPoller) offsets(ctx context.Context, topics map[string]*top.Topic, timestamp int64) (map[top.Partition]int64, error) {
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1
	for name, t := range topics {
		asked := kmsg.NewListOffsetsRequestTopic()
		asked.Topic = name
		for _, r := range t.Partitions {
			if r.Leader >= 0 {
				partition := kmsg.NewListOffsetsRequestTopicPartition()
				partition.Partition, partition.Timestamp = r.Partition, timestamp
				asked.Partitions = append(asked.Partitions, partition)
			}
		}
		if len(asked.Partitions) > 0 {
			request.Topics = append(request.Topics, asked)
		}
	}
	found := map[top.Partition]int64{}
	if len(request.Topics) == 0 {
		return found, nil
	}
	var failed error
	answered := false
	for _, shard := range p.client.RequestSharded(ctx, request) {
		if shard.Err != nil {
			failed = shard.Err
			continue
		}
		answered = true
		for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, partition := range t.Partitions {
				if partition.ErrorCode == 0 && partition.Offset >= 0 {
					found[top.Partition{Topic: t.Topic, Partition: partition.Partition}] = partition.Offset
				}
			}
		}
	}
	if answered {
		failed = nil
	}
	return found, failed
}

// askSizes asks how large partitions are. Brokers that refuse to say it leave it unknown.
func (p *topPoller) askSizes(ctx context.Context, o *top.Observation, topics map[string]*top.Topic) {
	which := kadm.TopicsSet{}
	for name, t := range topics {
		for _, r := range t.Partitions {
			which.Add(name, r.Partition)
		}
	}
	if len(which) == 0 {
		return
	}
	dirs, err := p.admin.DescribeAllLogDirs(ctx, which)
	if err != nil && len(dirs) == 0 {
		return
	}
	o.Sizes = map[top.Partition]int64{}
	for _, broker := range dirs {
		broker.EachPartition(func(d kadm.DescribedLogDirPartition) {
			if !d.IsFuture {
				partition := top.Partition{Topic: d.Topic, Partition: d.Partition}
				o.Sizes[partition] = max(o.Sizes[partition], d.Size)
			}
		})
	}
}

// askMetrics asks the admin port: the one that was named; else the default one, if this machine's broker is asked, and it is of the same cluster.
func (p *topPoller) askMetrics(ctx context.Context, o *top.Observation) {
	if p.flags.admin == "none" || !p.flags.adminAsked && !p.flags.local() {
		return
	}
	s, err := scrapeAdmin(ctx, p.flags.admin)
	if err != nil || s.label("ottla_info", "cluster_id") != p.cluster.ID {
		if p.flags.adminAsked {
			o.Missing = fmt.Sprintf("the admin port %s is not of this cluster", p.flags.admin)
			if err != nil {
				o.Missing = "the admin port: " + err.Error()
			}
		}
		return
	}
	node, _ := strconv.ParseInt(s.label("ottla_info", "node_id"), 10, 32)
	_, counts := s.samples["ottla_topics_unreported"]
	o.Metrics = &top.Metrics{Node: int32(node), Version: s.label("ottla_info", "version"),
		RecordsIn: s.sum("ottla_produced_records_total"), BytesIn: s.sum("ottla_produced_bytes_total"), BytesOut: s.sum("ottla_fetched_bytes_total"),
		Requests: s.sum("ottla_requests_total"), CPUSeconds: s.sum("process_cpu_seconds_total"), Connections: s.sum("ottla_connections"),
		ResidentBytes: s.sum("process_resident_memory_bytes"), DiskFree: s.sum("ottla_disk_usable_bytes"),
		TopicBytesIn: s.by("ottla_topic_produced_bytes_total", "topic"), TopicBytesOut: s.by("ottla_topic_fetched_bytes_total", "topic"),
		AllTopics: counts && s.sum("ottla_topics_unreported") == 0}
}

// local says that the broker that is asked runs on this machine.
func (f *topFlags) local() bool {
	for _, addr := range f.Bootstrap {
		if host, _, err := net.SplitHostPort(addr); err == nil && isLoopback(host) {
			return true
		}
	}
	return false
}

// lookUp finds out when the records at offsets were written.
func (f *topFlags) lookUp(ctx context.Context, places []top.Place) *top.Observation {
	asked := make([]cli.Place, len(places))
	for i, p := range places {
		asked[i] = cli.Place{Topic: p.Topic, Partition: p.Partition.Partition, Offset: p.Offset}
	}
	written, err := f.FirstWritten(ctx, asked)
	if err != nil {
		return nil // then the next round says what is wrong
	}
	o := &top.Observation{At: time.Now(), Written: map[top.Place]time.Time{}}
	for at, first := range written {
		o.Written[top.Place{Partition: top.Partition{Topic: at.Topic, Partition: at.Partition}, Offset: at.Offset}] = first
	}
	return o
}
