package ottla

import (
	"errors"
	"log/slog"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/config"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

// offsetsTopic is Kafka's: each of its partitions holds the groups whose names hash to it.
const offsetsTopic = "__consumer_offsets"

// groupLoads is how many partitions of __consumer_offsets are loaded at the same time.
const groupLoads = 4

// loadAgainAfter is how long the groups of a partition that could not be loaded are refused before a request has it tried again.
const loadAgainAfter = 10 * time.Second

// groupRuntime runs the groups of one partition of __consumer_offsets, and is api's GroupCoordinator; Submit is the Runtime's.
type groupRuntime struct {
	*machine.Runtime[*group.Machine]
}

// SubmitLater implements api.GroupCoordinator.
func (r groupRuntime) SubmitLater(decide func(m *group.Machine, at machine.Moment, answered func()) []machine.Record, done func(error)) {
	machine.SubmitLater(r.Runtime, func(m *group.Machine, at machine.Moment, reply *machine.Reply[struct{}]) []machine.Record {
		return decide(m, at, func() { reply.Set(struct{}{}) })
	}, func(_ struct{}, err error) { done(err) })
}

// coordinators runs a group coordinator for each partition of __consumer_offsets that this broker leads. One whose log is empty costs nothing
// until a group comes: its runtime starts with the first request. The others are loaded in the background.
type coordinators struct {
	env     run.Env
	logger  *slog.Logger
	cluster *cluster
	gate    *controllerGate
	workers *run.Group

	settings atomic.Pointer[group.Settings]
	all      atomic.Pointer[[]*coordinator] // by partition. The slice is never changed, and only grows

	mu       sync.Mutex // guards what follows, and what each coordinator says
	began    bool
	closed   bool
	creating bool           // of the topic
	queue    []*coordinator // busy ones that no worker has taken yet
	working  int            // workers
}

// coordinator is that of one partition, in whatever epoch this broker leads it, if any.
type coordinator struct {
	tp      ids.TopicPartition
	runtime atomic.Pointer[machine.Runtime[*group.Machine]] // nil unless it runs. One of an epoch that is over refuses by itself

	// waking is held while the runtime of an empty log starts, which takes no time: who comes second waits.
	waking sync.Mutex

	// Guarded by coordinators.mu.
	want, have leadership
	busy       bool // somebody is leading from have to want
	idle       bool // have, and the log is empty: no runtime until a request comes
	failed     bool // have, and the log could not be loaded
	retryAt    time.Duration
}

// leadership is one epoch of one life of __consumer_offsets; zero is none.
type leadership struct {
	topic ids.TopicID
	epoch ids.LeaderEpoch
}

func newCoordinators(env run.Env, logger *slog.Logger, cluster *cluster, gate *controllerGate) *coordinators {
	c := &coordinators{env: env, logger: logger, cluster: cluster, gate: gate, workers: run.NewGroup(env)}
	c.all.Store(new([]*coordinator))
	return c
}

// begin starts to serve. The broker is registered by now: its leader epochs are those of this incarnation.
func (c *coordinators) begin() {
	c.mu.Lock()
	c.began = true
	c.mu.Unlock()
	image := c.cluster.Image()
	c.follow(image, metadata.Between(metadata.Empty(), image))
}

// follow takes over an image that cluster shows already. Only the controller's goroutine calls it, and begin before anybody else
// changes the metadata.
func (c *coordinators) follow(image *metadata.Image, delta *metadata.Delta) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.began || c.closed {
		return
	}
	if len(delta.Configs) > 0 || c.settings.Load() == nil {
		c.configure(image)
	}
	deleted := make(map[string]ids.TopicID, len(delta.Deleted))
	for _, topic := range delta.Deleted {
		deleted[topic.Name] = topic.ID
	}
	untrashed := make([]string, len(delta.Untrashed))
	for i, trashed := range delta.Untrashed {
		untrashed[i] = trashed.Topic.Name
	}
	topic, ok := image.Topic(offsetsTopic)
	if !ok {
		topic = &metadata.Topic{}
	}
	all := *c.all.Load()
	for n := len(all); n < len(topic.Partitions); n++ {
		all = append(all[:n:n], &coordinator{tp: ids.TopicPartition{Topic: offsetsTopic, Partition: int32(n)}})
	}
	c.all.Store(&all)
	for n, one := range all {
		one.want = leadership{}
		if n < len(topic.Partitions) && topic.Partitions[n].Leader == c.cluster.self {
			one.want = leadership{topic.ID, topic.Partitions[n].LeaderEpoch}
		}
		if one.want != one.have && !one.busy {
			c.queueLocked(one)
		}
		if runtime := one.runtime.Load(); runtime != nil && len(deleted) > 0 {
			c.forget(one.tp, groupRuntime{runtime}, func(m *group.Machine) ([]machine.Record, bool) { return m.TopicsDeleted(deleted) })
		}
		if runtime := one.runtime.Load(); runtime != nil && len(untrashed) > 0 {
			c.forget(one.tp, groupRuntime{runtime}, func(m *group.Machine) ([]machine.Record, bool) { return m.TopicsUntrashed(untrashed) })
		}
	}
}

// configure takes the settings of groups that are in force.
func (c *coordinators) configure(image *metadata.Image) {
	s := groupSettings(c.cluster.layers(image, "").GroupBrokerConfig())
	c.settings.Store(&s)
}

// forget drops offsets of topics that are gone, some at a time. It does not matter if that fails: every load does it again.
func (c *coordinators) forget(tp ids.TopicPartition, runtime groupRuntime, which func(*group.Machine) (records []machine.Record, more bool)) {
	var more bool
	runtime.Submit(func(m *group.Machine, _ machine.Moment) (records []machine.Record) {
		records, more = which(m)
		return records
	}, func(err error) {
		switch {
		case err == nil && more:
			c.forget(tp, runtime, which)
		case err != nil:
			c.logger.Debug("the offsets of deleted topics stay until the partition is loaded again", "partition", tp, "error", err)
		}
	})
}

// queueLocked has a worker lead one from what it is to what it should be.
func (c *coordinators) queueLocked(one *coordinator) {
	one.busy = true
	c.queue = append(c.queue, one)
	if c.working < groupLoads && c.workers.Go("load groups", c.work) {
		c.working++
	}
}

func (c *coordinators) work() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) > 0 && !c.closed {
		one := c.queue[0]
		c.queue = c.queue[1:]
		want := one.want
		c.mu.Unlock()
		c.lead(one, want, false)
		c.mu.Lock()
		c.settleLocked(one)
	}
	c.working--
}

// settleLocked ends the work on one, unless it should be something else by now.
func (c *coordinators) settleLocked(one *coordinator) {
	one.busy = false
	if one.want != one.have && !c.closed {
		c.queueLocked(one)
	}
}

// lead ends what one has, and begins what it is to have. Whoever calls it made one busy. An empty log gets a runtime only if it is needed.
func (c *coordinators) lead(one *coordinator, want leadership, needed bool) {
	if old := one.runtime.Swap(nil); old != nil {
		old.Close()
	}
	var fresh *machine.Runtime[*group.Machine]
	var idle bool
	var err error
	if want != (leadership{}) {
		fresh, idle, err = c.load(one.tp, want.epoch, needed)
	}
	switch {
	case errors.Is(err, machine.ErrStaleEpoch):
		err = nil // what this broker should be is about to change
	case err != nil:
		c.logger.Error("the groups of a partition cannot be loaded: their members are refused until it works", "partition", one.tp, "error", err)
	}
	one.runtime.Store(fresh) // from now on, follow tells it of deleted topics
	if fresh != nil {
		c.forget(one.tp, groupRuntime{fresh}, (*group.Machine).ForgetMissingTopics)
	}
	c.mu.Lock()
	one.have, one.idle, one.failed = want, idle, err != nil
	one.retryAt = c.env.Monotonic() + loadAgainAfter
	c.mu.Unlock()
}

func (c *coordinators) load(tp ids.TopicPartition, epoch ids.LeaderEpoch, needed bool) (runtime *machine.Runtime[*group.Machine], idle bool, err error) {
	log, err := c.cluster.partitions.StateLog(tp, epoch)
	if err != nil {
		return nil, false, err
	}
	if _, end := log.Bounds(); end == 0 && !needed {
		return nil, true, nil
	}
	runtime, err = machine.Start(machine.Config[*group.Machine]{
		Name: tp.String(), Env: c.env, Log: log, Epoch: epoch, New: c.newMachine, Events: groupMachineEvents(c.env, c.logger, tp),
	})
	return runtime, false, err
}

func (c *coordinators) newMachine() *group.Machine {
	return group.New(group.Config{
		Random: c.env.Random, Image: c.cluster.Image, Events: groupEvents(c.logger),
		Settings:         func() group.Settings { return *c.settings.Load() },
		ConsumerSettings: c.consumerSettings,
	})
}

// consumerSettings are a consumer group's own settings (resource type 32), over those of the broker.
func (c *coordinators) consumerSettings(image *metadata.Image, name string) (s group.ConsumerSettings, own bool) {
	values := image.Config(metadata.ConfigResource{Type: metadata.ResourceGroup, Name: name})
	if len(values) == 0 {
		return s, false
	}
	layers := c.cluster.layers(image, "")
	layers.Group = values
	return groupConfig(layers.GroupConfig()), true
}

func groupConfig(c config.GroupConfig) group.ConsumerSettings {
	return group.ConsumerSettings{SessionMs: c.SessionTimeoutMs, HeartbeatMs: c.HeartbeatIntervalMs, AssignmentIntervalMs: c.AssignmentIntervalMs}
}

// For implements api.Groups.
func (c *coordinators) For(name string) (api.GroupCoordinator, wire.ErrorCode) {
	all := *c.all.Load()
	topic, ok := c.cluster.Image().Topic(offsetsTopic)
	if !ok {
		return nil, wire.ErrorNotCoordinator
	}
	n := groupPartition(name, len(topic.Partitions))
	if n >= len(all) {
		return nil, wire.ErrorNotCoordinator
	}
	one := all[n]
	if runtime := one.runtime.Load(); runtime != nil {
		return groupRuntime{runtime}, wire.ErrorNone
	}
	return c.wake(one)
}

// wake starts the runtime of a partition in which there was no group yet.
func (c *coordinators) wake(one *coordinator) (api.GroupCoordinator, wire.ErrorCode) {
	one.waking.Lock()
	defer one.waking.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, wire.ErrorCoordinatorNotAvailable
	case one.want == leadership{}:
		return nil, wire.ErrorNotCoordinator
	case one.busy:
		return nil, wire.ErrorCoordinatorLoadInProgress
	case one.failed && c.env.Monotonic() >= one.retryAt:
		c.queueLocked(one)
		return nil, wire.ErrorCoordinatorLoadInProgress
	case one.failed:
		return nil, wire.ErrorCoordinatorNotAvailable
	case one.idle:
		one.busy = true
		want := one.want
		c.mu.Unlock()
		c.lead(one, want, true)
		c.mu.Lock()
		c.settleLocked(one)
	}
	if runtime := one.runtime.Load(); runtime != nil {
		return groupRuntime{runtime}, wire.ErrorNone
	}
	return nil, wire.ErrorCoordinatorNotAvailable
}

// All implements api.Groups.
func (c *coordinators) All() (loaded []api.GroupCoordinator, code wire.ErrorCode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range *c.all.Load() {
		if runtime := one.runtime.Load(); runtime != nil {
			loaded = append(loaded, groupRuntime{runtime})
		} else if one.busy {
			code = wire.ErrorCoordinatorLoadInProgress
		}
	}
	return loaded, code
}

// Coordinator implements api.Groups.
func (c *coordinators) Coordinator(name string) (ids.BrokerID, wire.ErrorCode) {
	topic, ok := c.cluster.Image().Topic(offsetsTopic)
	if !ok {
		c.create()
		return ids.NoBroker, wire.ErrorCoordinatorNotAvailable
	}
	leader := topic.Partitions[groupPartition(name, len(topic.Partitions))].Leader
	if leader == ids.NoBroker {
		return ids.NoBroker, wire.ErrorCoordinatorNotAvailable
	}
	return leader, wire.ErrorNone
}

// create makes __consumer_offsets, with Kafka's settings.
func (c *coordinators) create() {
	c.mu.Lock()
	busy := c.creating || c.closed || !c.began
	c.creating = c.creating || !busy
	c.mu.Unlock()
	if busy {
		return
	}
	image := c.cluster.Image()
	s := c.cluster.layers(image, "").GroupBrokerConfig()
	replicas := s.OffsetsReplication
	if !s.OffsetsReplicationSet {
		replicas = int16(min(int(replicas), len(image.Brokers())))
	}
	req := new(wire.CreateTopicsRequest)
	req.Default()
	topic := wire.CreateTopicsRequestCreatableTopic{Name: offsetsTopic, NumPartitions: s.OffsetsPartitions, ReplicationFactor: replicas}
	for _, setting := range [][2]string{{"cleanup.policy", "compact"}, {"compression.type", "producer"}, {"segment.bytes", strconv.Itoa(int(s.OffsetsSegmentBytes))}} {
		topic.Configs = append(topic.Configs, wire.CreateTopicsRequestCreatableTopicConfig{Name: setting[0], Value: wire.SomeString(setting[1])})
	}
	req.Topics = append(req.Topics, topic)
	c.gate.CreateTopics(req, nil, func(resp *wire.CreateTopicsResponse) {
		switch code := resp.Topics[0].ErrorCode; code {
		case wire.ErrorNone, wire.ErrorTopicAlreadyExists:
			c.logger.Info("made the topic of committed offsets", "topic", offsetsTopic, "partitions", s.OffsetsPartitions, "replicas", replicas)
		default:
			c.logger.Error("consumer groups cannot be served: the topic of committed offsets cannot be made; change the offsets.topic settings", "topic", offsetsTopic,
				"code", code.Name(), "message", resp.Topics[0].ErrorMessage.Value)
		}
		c.mu.Lock()
		c.creating = false
		c.mu.Unlock()
	})
}

// close ends all runtimes. What was submitted before is committed and answered first; members that wait for others are sent away.
func (c *coordinators) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.workers.Close()
	for _, one := range *c.all.Load() {
		if runtime := one.runtime.Load(); runtime != nil {
			runtime.Close()
		}
	}
}

// groupSettings are the settings of groups in the machine's words.
func groupSettings(s config.GroupBrokerConfig) group.Settings {
	return group.Settings{
		MinSessionTimeoutMs: s.MinSessionMs, MaxSessionTimeoutMs: s.MaxSessionMs, InitialRebalanceDelayMs: s.InitialRebalanceDelayMs, MaxSize: int32(s.MaxSize),
		OffsetMetadataMaxBytes: s.OffsetMetadataMaxBytes, OffsetsRetentionMs: s.OffsetsRetentionMs, OffsetsCheckMs: s.OffsetsRetentionCheckMs,
		KeepOffsetsWithTopic: s.KeepOffsetsWithTopic,
		Consumer:             groupConfig(s.Consumer), ConsumerMaxSize: int32(s.ConsumerMaxSize), ConsumerAssignors: s.ConsumerAssignors,
		UpgradeOnline:   s.ConsumerMigration == "bidirectional" || s.ConsumerMigration == "upgrade",
		DowngradeOnline: s.ConsumerMigration == "bidirectional" || s.ConsumerMigration == "downgrade",
	}
}

// groupPartition is the partition of __consumer_offsets that holds a group: Java's hash of its name, as Kafka has it.
func groupPartition(name string, partitions int) int {
	var hash int32
	for _, r := range name {
		if hi, lo := utf16.EncodeRune(r); hi != utf8.RuneError {
			hash = 31*(31*hash+hi) + lo
		} else {
			hash = 31*hash + r
		}
	}
	if hash == math.MinInt32 || partitions == 0 {
		return 0
	}
	return int(max(hash, -hash)) % partitions
}
