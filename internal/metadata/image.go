package metadata

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/quota"
	"github.com/ottla-io/ottla/internal/wire"
)

// Image is the cluster's state after some record of the metadata log. It never changes, nor does anything it hands out;
// any goroutine may read it. Successive Images share what did not change.
type Image struct {
	topics      shards[string, *Topic]
	topicsByID  shards[ids.TopicID, *Topic]
	trash       shards[ids.TopicID, *Trashed]
	configs     shards[ConfigResource, map[string]string]
	quotas      shards[quota.Entity, map[string]float64]
	kept        shards[string, wire.MetadataRecord] // records that nothing acts on yet, by kind and identity
	brokers     []*Broker                           // sorted by ID
	features    map[string]int16
	producerIDs ProducerIDs

	transaction *transaction // nil unless the last record lies inside a metadata transaction (KIP-868)
	end         ids.Offset
	epoch       ids.LeaderEpoch

	sorted atomic.Pointer[[]*Topic] // topics by name, made when first asked for
}

type transaction struct{ records []wire.MetadataRecord }

// Topic is one topic. Its partitions are indexed by their number.
type Topic struct {
	Name       string
	ID         ids.TopicID
	Partitions []Partition
}

// Partition is one partition's registration (KIP-631). Until its record was read, which within one batch may come after
// that of a higher partition, it has no replicas.
type Partition struct {
	Replicas         []ids.BrokerID
	ISR              []ids.BrokerID
	RemovingReplicas []ids.BrokerID
	AddingReplicas   []ids.BrokerID
	Leader           ids.BrokerID // ids.NoBroker if nobody leads
	LeaderEpoch      ids.LeaderEpoch
	PartitionEpoch   int32             // grows with every change
	Recovering       bool              // the leader was elected uncleanly and has not recovered yet (KIP-704)
	Directories      []ids.DirectoryID // of each replica (KIP-858)
	ELR              []ids.BrokerID    // eligible leader replicas (KIP-966)
	LastKnownELR     []ids.BrokerID
}

// Broker is one broker's registration.
type Broker struct {
	ID                   ids.BrokerID
	Epoch                ids.BrokerEpoch
	IncarnationID        ids.UUID
	Endpoints            []Endpoint
	Features             []FeatureRange // sorted by name
	Rack                 string         // "" is none
	Fenced               bool
	InControlledShutdown bool
	Directories          []ids.DirectoryID
	CordonedDirectories  []ids.DirectoryID
}

// Endpoint is where a broker listens.
type Endpoint struct {
	Name             string // of the listener
	Host             string
	Port             uint16
	SecurityProtocol int16 // 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL
}

// FeatureRange is what a broker supports of a feature (KIP-584).
type FeatureRange struct {
	Name     string
	Min, Max int16
}

// ConfigResource is what a configuration belongs to.
type ConfigResource struct {
	Type int8   // ResourceTopic, ResourceBroker …
	Name string // of a broker: its id, or "" for all brokers
}

// Types of config resources, as in DescribeConfigs.
const (
	ResourceTopic         int8 = 2
	ResourceBroker        int8 = 4
	ResourceClientMetrics int8 = 16
	ResourceGroup         int8 = 32
)

// ProducerIDs tells how far producer ids were handed out.
type ProducerIDs struct {
	Next        ids.ProducerID // the first id of the next block
	Broker      ids.BrokerID   // who got the last block
	BrokerEpoch ids.BrokerEpoch
}

// Empty is the state before the first record.
func Empty() *Image {
	return &Image{epoch: ids.NoLeaderEpoch, producerIDs: ProducerIDs{Broker: ids.NoBroker, BrokerEpoch: -1}}
}

// End is the offset after the last record that the Image holds: where replay goes on.
func (i *Image) End() ids.Offset { return i.end }

// Epoch is the leader epoch of the last record.
func (i *Image) Epoch() ids.LeaderEpoch { return i.epoch }

// InTransaction reports whether the last record lies inside a metadata transaction; no snapshot can be taken then.
func (i *Image) InTransaction() bool { return i.transaction != nil }

// Topic finds a topic by name.
func (i *Image) Topic(name string) (*Topic, bool) { return i.topics.get(name) }

// TopicByID finds a topic by id.
func (i *Image) TopicByID(id ids.TopicID) (*Topic, bool) { return i.topicsByID.get(id) }

// Partition finds a partition.
func (i *Image) Partition(tp ids.TopicPartition) (*Partition, bool) {
	topic, ok := i.topics.get(tp.Topic)
	if !ok || tp.Partition < 0 || int(tp.Partition) >= len(topic.Partitions) {
		return nil, false
	}
	return &topic.Partitions[tp.Partition], true
}

// TopicCount is the number of topics.
func (i *Image) TopicCount() int { return i.topics.size }

// Topics are all topics, sorted by name. The slice is shared: do not change it.
func (i *Image) Topics() []*Topic {
	if sorted := i.sorted.Load(); sorted != nil {
		return *sorted
	}
	topics := make([]*Topic, 0, i.topics.size)
	for _, t := range i.topics.all() {
		topics = append(topics, t)
	}
	slices.SortFunc(topics, func(a, b *Topic) int { return cmp.Compare(a.Name, b.Name) })
	i.sorted.Store(&topics) // two goroutines may both do this, with equal results
	return topics
}

// TopicsFrom yields the topics whose name is not below first, in order (DescribeTopicPartitions).
func (i *Image) TopicsFrom(first string) iter.Seq[*Topic] {
	return func(yield func(*Topic) bool) {
		topics := i.Topics()
		at, _ := slices.BinarySearchFunc(topics, first, func(t *Topic, name string) int { return cmp.Compare(t.Name, name) })
		for _, t := range topics[at:] {
			if !yield(t) {
				return
			}
		}
	}
}

// Brokers are all registered brokers, fenced ones too, sorted by id. The slice is shared: do not change it.
func (i *Image) Brokers() []*Broker { return i.brokers }

// Broker finds a broker.
func (i *Image) Broker(id ids.BrokerID) (*Broker, bool) {
	at, ok := i.brokerAt(id)
	if !ok {
		return nil, false
	}
	return i.brokers[at], true
}

func (i *Image) brokerAt(id ids.BrokerID) (int, bool) {
	return slices.BinarySearchFunc(i.brokers, id, func(b *Broker, id ids.BrokerID) int { return cmp.Compare(b.ID, id) })
}

// Config are the overrides of a resource, nil if there are none. The map is shared: do not change it.
func (i *Image) Config(r ConfigResource) map[string]string {
	values, _ := i.configs.get(r)
	return values
}

// Configured are the names of the resources of a type that have overrides, sorted.
func (i *Image) Configured(resourceType int8) []string {
	var names []string
	for r := range i.configs.all() {
		if r.Type == resourceType {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return names
}

// TopicConfig are a topic's overrides. The map is shared: do not change it.
func (i *Image) TopicConfig(topic string) map[string]string {
	return i.Config(ConfigResource{ResourceTopic, topic})
}

// Feature is the finalized level of a feature, 0 if it has none.
func (i *Image) Feature(name string) int16 { return i.features[name] }

// Features are the finalized features. Callers own the map.
func (i *Image) Features() map[string]int16 { return maps.Clone(i.features) }

// ProducerIDs tells how far producer ids were handed out.
func (i *Image) ProducerIDs() ProducerIDs { return i.producerIDs }

// EachTopic calls visit with every topic, in no order, until it returns false.
func (i *Image) EachTopic(visit func(*Topic) bool) {
	for _, t := range i.topics.all() {
		if !visit(t) {
			return
		}
	}
}
