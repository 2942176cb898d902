package checkup

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
	"github.com/ottla-io/ottla/internal/doctor"
)

const (
	memberMax  = 100  // brokers that are tried to be reached
	addressMax = 8    // addresses of this machine that are tried
	topicMax   = 1000 // topics whose settings are asked for
)

// askOnce asks one broker one thing, without trying again.
func (f *doctorFlags) askOnce(ctx context.Context, addr string, request kmsg.Request) (kmsg.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.SoftwareNameAndVersion("ottla", f.version), kgo.RequestRetries(0), kgo.DialTimeout(f.timeout), kgo.DisableClientMetrics())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return client.SeedBrokers()[0].Request(ctx, request)
}

func (f *doctorFlags) metadata(ctx context.Context, addr string, topics bool) (*kmsg.MetadataResponse, error) {
	request := kmsg.NewPtrMetadataRequest()
	if !topics {
		request.Topics = []kmsg.MetadataRequestTopic{}
	}
	answer, err := f.askOnce(ctx, addr, request)
	if err != nil {
		return nil, fmt.Errorf("a Kafka broker answers there, but not what it is asked (%w): it may want clients that log in", err)
	}
	return answer.(*kmsg.MetadataResponse), nil
}

// lookAtBroker asks a broker what it tells clients, and whether that is so.
func (f *doctorFlags) lookAtBroker(ctx context.Context) (*doctor.Broker, error) {
	host, port, err := net.SplitHostPort(f.addr)
	if err != nil {
		return nil, fmt.Errorf("--addr %s: want HOST:PORT", f.addr)
	}
	here := localAddresses()
	b := &doctor.Broker{Addr: f.addr, Asked: f.addrAsked, NodeID: -1, Loopback: isLoopback(host), Local: isLoopback(host) || slices.Contains(here, host)}
	if b.Stranger, err = f.meet(ctx, f.addr); err != nil {
		b.Err = err.Error()
		return b, nil
	}
	answer, err := f.metadata(ctx, f.addr, true)
	if err != nil {
		b.Err = err.Error()
		return b, nil
	}
	b.ClusterID = cli.OrEmpty(answer.ClusterID)
	b.Members = f.reach(ctx, answer.Brokers)
	for _, m := range answer.Brokers {
		if len(answer.Brokers) == 1 || net.JoinHostPort(m.Host, strconv.Itoa(int(m.Port))) == f.addr {
			b.NodeID = m.NodeID
		}
	}
	if b.Local && b.Loopback && b.NodeID >= 0 {
		b.Told = f.askElsewhere(ctx, here, port, b.NodeID)
	}
	b.Topics = topicsOf(answer.Topics)
	f.lookAtSettings(ctx, b)
	return b, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// localAddresses are those of this machine besides loopback.
func localAddresses() (addresses []string) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, one := range all {
		if network, ok := one.(*net.IPNet); ok && network.IP.IsGlobalUnicast() {
			addresses = append(addresses, network.IP.String())
		}
	}
	return addresses
}

// reach tries the addresses that clients are told.
func (f *doctorFlags) reach(ctx context.Context, brokers []kmsg.MetadataResponseBroker) []doctor.Member {
	members := make([]doctor.Member, len(brokers))
	var group sync.WaitGroup
	for i, told := range brokers {
		ip := net.ParseIP(told.Host)
		m := &members[i]
		*m = doctor.Member{ID: told.NodeID, Address: net.JoinHostPort(told.Host, strconv.Itoa(int(told.Port))), Loopback: isLoopback(told.Host),
			Wildcard: told.Host == "" || told.Port <= 0 || ip != nil && ip.IsUnspecified()}
		if m.Wildcard || i >= memberMax {
			continue
		}
		group.Go(func() {
			if _, err := f.meet(ctx, m.Address); err != nil {
				m.Err = err.Error()
				return
			}
			answer, err := f.metadata(ctx, m.Address, false)
			if err != nil {
				m.Err = err.Error()
				return
			}
			m.ClusterID = cli.OrEmpty(answer.ClusterID)
		})
	}
	group.Wait()
	return members
}

// askElsewhere asks the same broker at other addresses of this machine, as clients from elsewhere would.
func (f *doctorFlags) askElsewhere(ctx context.Context, addresses []string, port string, node int32) []doctor.Told {
	addresses = addresses[:min(len(addresses), addressMax)]
	told := make([]doctor.Told, len(addresses))
	var group sync.WaitGroup
	for i, address := range addresses {
		group.Go(func() {
			at := net.JoinHostPort(address, port)
			answer, err := f.metadata(ctx, at, false)
			if err != nil {
				return // it does not listen there
			}
			for _, b := range answer.Brokers {
				if b.NodeID == node {
					told[i] = doctor.Told{ReachedAt: at, Address: net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))), Loopback: isLoopback(b.Host)}
				}
			}
		})
	}
	group.Wait()
	return slices.DeleteFunc(told, func(t doctor.Told) bool { return t.ReachedAt == "" })
}

func topicsOf(answer []kmsg.MetadataResponseTopic) (topics []doctor.Topic) {
	for _, t := range answer {
		if t.Topic == nil || t.ErrorCode != 0 {
			continue
		}
		topic := doctor.Topic{Name: *t.Topic, Internal: t.IsInternal, Partitions: len(t.Partitions), RetentionMs: -1, RetentionBytes: -1}
		for i, p := range t.Partitions {
			if i == 0 {
				topic.Replicas = len(p.Replicas)
			}
			topic.InSync = append(topic.InSync, len(p.ISR))
			if p.Leader < 0 {
				topic.Leaderless++
			}
			if len(p.ISR) < len(p.Replicas) {
				topic.Under++
			}
		}
		topics = append(topics, topic)
	}
	return topics
}

// Resource types of DescribeConfigs.
const (
	topicResource  = kmsg.ConfigResourceTypeTopic
	brokerResource = kmsg.ConfigResourceTypeBroker
)

// lookAtSettings asks the broker itself, whatever address it tells clients, for what may be refused or missing: nothing is known then.
func (f *doctorFlags) lookAtSettings(ctx context.Context, b *doctor.Broker) {
	request := kmsg.NewPtrDescribeConfigsRequest()
	ask := func(kind kmsg.ConfigResourceType, name string) {
		resource := kmsg.NewDescribeConfigsRequestResource()
		resource.ResourceType, resource.ResourceName = kind, name
		request.Resources = append(request.Resources, resource)
	}
	if b.NodeID >= 0 {
		ask(brokerResource, strconv.Itoa(int(b.NodeID)))
	}
	byName := map[string]*doctor.Topic{}
	for i := range b.Topics[:min(len(b.Topics), topicMax)] {
		ask(topicResource, b.Topics[i].Name)
		byName[b.Topics[i].Name] = &b.Topics[i]
	}
	if answer, err := f.askOnce(ctx, f.addr, request); err == nil {
		for _, resource := range answer.(*kmsg.DescribeConfigsResponse).Resources {
			if resource.ErrorCode != 0 {
				continue
			}
			settings := map[string]string{}
			for _, setting := range resource.Configs {
				if setting.Value != nil {
					settings[setting.Name] = *setting.Value
				}
			}
			if topic := byName[resource.ResourceName]; resource.ResourceType == topicResource && topic != nil {
				settle(topic, settings)
			} else if resource.ResourceType == brokerResource {
				b.Settings = settings
			}
		}
	}
	dirs := kmsg.NewPtrDescribeLogDirsRequest()
	if answer, err := f.askOnce(ctx, f.addr, dirs); err == nil {
		b.Dirs = logDirs(answer.(*kmsg.DescribeLogDirsResponse), b.NodeID)
	}
}

func settle(t *doctor.Topic, settings map[string]string) {
	number := func(name string, unknown int64) int64 {
		if n, err := strconv.ParseInt(settings[name], 10, 64); err == nil {
			return n
		}
		return unknown
	}
	t.MinInsync = int(number("min.insync.replicas", 0))
	t.RetentionMs, t.RetentionBytes, t.Cleanup = number("retention.ms", -1), number("retention.bytes", -1), settings["cleanup.policy"]
	if t.MinInsync <= t.Replicas { // else it is a finding of its own
		for _, inSync := range t.InSync {
			if inSync < t.MinInsync {
				t.UnderMin++
			}
		}
	}
}

func logDirs(answer *kmsg.DescribeLogDirsResponse, node int32) (dirs []doctor.LogDir) {
	for _, d := range answer.Dirs {
		dir := doctor.LogDir{Broker: node, Path: d.Dir}
		if err := kerr.ErrorForCode(d.ErrorCode); err != nil {
			dir.Err = err.Error()
		}
		for _, t := range d.Topics {
			for _, p := range t.Partitions {
				dir.Bytes += p.Size
			}
		}
		dirs = append(dirs, dir)
	}
	return dirs
}

// lookAtAdmin asks the admin port. nil: none was named, and none of the broker's is where it would be by default.
func (f *doctorFlags) lookAtAdmin(ctx context.Context, b *doctor.Broker) *doctor.Admin {
	if f.admin == "none" || !f.adminAsked && b != nil && !b.Local {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	a := &doctor.Admin{Addr: f.admin, Asked: f.adminAsked}
	status, _, _, err := getAdmin(ctx, f.admin, "/metrics")
	if err != nil && status == 0 {
		if !f.adminAsked {
			return nil
		}
		a.Err = err.Error()
		return a
	}
	s, err := scrapeAdmin(ctx, f.admin)
	switch {
	case err != nil:
		a.Err, a.Foreign = err.Error(), true
		return a
	case s.label("ottla_info", "version") == "":
		a.Err, a.Foreign = "it has metrics, and none of Ottla's", true
		return a
	}
	if cluster := s.label("ottla_info", "cluster_id"); b != nil && b.Err == "" && cluster != b.ClusterID {
		if !f.adminAsked {
			return nil
		}
		a.Err, a.Foreign = "it is of cluster "+cluster, true
		return a
	}
	a.Version = s.label("ottla_info", "version")
	a.Metrics = map[string]float64{}
	for name := range s.samples {
		a.Metrics[name] = s.sum(name)
	}
	if !s.date.IsZero() {
		a.Skew = s.date.Sub(s.at.Truncate(time.Second))
		if start := a.Metrics["process_start_time_seconds"]; start > 0 {
			a.Uptime = s.date.Sub(time.UnixMilli(int64(start * 1000)))
		}
	}
	a.Failing, _ = readiness(ctx, f.admin)
	return a
}
