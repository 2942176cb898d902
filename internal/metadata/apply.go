package metadata

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/quota"
	"github.com/ottla-io/ottla/internal/wire"
)

// MaxPartitions bounds a topic's partitions, so that a corrupt record cannot ask for all memory.
const MaxPartitions = 1 << 20

// noLeaderChange is PartitionChangeRecord's "the leader stays, and so does its epoch".
const noLeaderChange = -2

// Apply adds the records of one batch, or of one command's part of a batch, and returns the next Image. end is the offset
// after the last of them, epoch the batch's leader epoch. Records of an unfinished metadata transaction wait in the Image
// until the transaction ends. On an error (ErrCorrupt) i is still the state before.
func (i *Image) Apply(records []wire.MetadataRecord, end ids.Offset, epoch ids.LeaderEpoch) (*Image, error) {
	c := newChange(i)
	for _, r := range records {
		if err := c.record(r); err != nil {
			return nil, fmt.Errorf("apply %T before offset %d: %w", r, end, err)
		}
	}
	return c.image(end, epoch), nil
}

// change is an Image in the making.
type change struct {
	topics      *edit[string, *Topic]
	topicsByID  *edit[ids.TopicID, *Topic]
	trash       *edit[ids.TopicID, *Trashed]
	configs     *edit[ConfigResource, map[string]string]
	quotas      *edit[quota.Entity, map[string]float64]
	kept        *edit[string, wire.MetadataRecord]
	brokers     []*Broker
	features    map[string]int16
	producerIDs ProducerIDs
	transaction *transaction

	ownTopics               map[ids.TopicID]bool    // topics whose struct and partitions are already copies
	ownConfigs              map[ConfigResource]bool // maps that are already copies
	ownQuotas               map[quota.Entity]bool   // the same
	ownBrokers, ownFeatures bool
}

func newChange(i *Image) *change {
	return &change{topics: newEdit(i.topics), topicsByID: newEdit(i.topicsByID), trash: newEdit(i.trash), configs: newEdit(i.configs), quotas: newEdit(i.quotas),
		kept: newEdit(i.kept), brokers: i.brokers, features: i.features, producerIDs: i.producerIDs, transaction: i.transaction}
}

func (c *change) image(end ids.Offset, epoch ids.LeaderEpoch) *Image {
	return &Image{topics: c.topics.shards, topicsByID: c.topicsByID.shards, trash: c.trash.shards, configs: c.configs.shards, quotas: c.quotas.shards,
		kept: c.kept.shards, brokers: c.brokers, features: c.features, producerIDs: c.producerIDs, transaction: c.transaction, end: end, epoch: epoch}
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// record handles transactions (KIP-868): what lies inside one counts when it ends.
func (c *change) record(r wire.MetadataRecord) error {
	switch r.(type) {
	case *wire.BeginTransactionRecord:
		if c.transaction != nil {
			return corrupt("a metadata transaction begins inside another")
		}
		c.transaction = &transaction{}
		return nil
	case *wire.AbortTransactionRecord, *wire.EndTransactionRecord:
		if c.transaction == nil {
			return corrupt("a metadata transaction ends that never began")
		}
		records := c.transaction.records
		c.transaction = nil
		if _, aborted := r.(*wire.AbortTransactionRecord); aborted {
			return nil
		}
		for _, inner := range records {
			if err := c.effect(inner); err != nil {
				return err
			}
		}
		return nil
	}
	if t := c.transaction; t != nil {
		// Another Image may share the slice: never append in place.
		c.transaction = &transaction{records: append(slices.Clip(t.records), r)}
		return nil
	}
	return c.effect(r)
}

func (c *change) effect(r wire.MetadataRecord) error {
	switch r := r.(type) {
	case *wire.TopicRecord:
		return c.addTopic(r)
	case *wire.RemoveTopicRecord:
		return c.removeTopic(r)
	case *wire.PartitionRecord:
		return c.addPartition(r)
	case *wire.PartitionChangeRecord:
		return c.changePartition(r)
	case *wire.ClearElrRecord:
		return c.clearELR(r)
	case *wire.RegisterBrokerRecord, *wire.UnregisterBrokerRecord, *wire.FenceBrokerRecord, *wire.UnfenceBrokerRecord, *wire.BrokerRegistrationChangeRecord:
		return c.brokerRecord(r)
	case *wire.ConfigRecord:
		c.setConfig(r)
	case *wire.FeatureLevelRecord:
		if !c.ownFeatures {
			c.features, c.ownFeatures = maps.Clone(c.features), true
			if c.features == nil {
				c.features = make(map[string]int16)
			}
		}
		c.features[r.Name] = r.FeatureLevel
		if r.FeatureLevel == 0 {
			delete(c.features, r.Name)
		}
	case *wire.ProducerIdsRecord:
		c.producerIDs = ProducerIDs{Next: ids.ProducerID(r.NextProducerId), Broker: ids.BrokerID(r.BrokerId), BrokerEpoch: ids.BrokerEpoch(r.BrokerEpoch)}
	case *wire.ClientQuotaRecord:
		return c.setQuota(r)
	case *wire.NoOpRecord:
		c.purge(r)
	case *wire.ZkMigrationStateRecord:
	default:
		return c.keep(r)
	}
	return nil
}

func (c *change) addTopic(r *wire.TopicRecord) error {
	id := ids.TopicID(r.TopicId)
	if _, ok := c.topics.get(r.Name); ok {
		return corrupt("topic %q is created twice", r.Name)
	}
	if other, ok := c.topicsByID.get(id); ok {
		return corrupt("topic %q is created with the id %s of topic %q", r.Name, id, other.Name)
	}
	if _, ok := c.trash.get(id); ok {
		c.trash.remove(id) // restored: the records that follow say all about it
	}
	c.put(&Topic{Name: r.Name, ID: id})
	return nil
}

func (c *change) put(t *Topic) {
	if c.ownTopics == nil {
		c.ownTopics = make(map[ids.TopicID]bool)
	}
	c.ownTopics[t.ID] = true
	c.topics.set(t.Name, t)
	c.topicsByID.set(t.ID, t)
}

func (c *change) removeTopic(r *wire.RemoveTopicRecord) error {
	t, ok := c.topicsByID.get(ids.TopicID(r.TopicId))
	if !ok {
		return corrupt("topic %s is removed and does not exist", r.TopicId)
	}
	resource := ConfigResource{ResourceTopic, t.Name}
	if r.TrashedUntilMs > 0 {
		configs, _ := c.configs.get(resource)
		c.trash.set(t.ID, &Trashed{Topic: t, Configs: configs, TrashedMs: r.TrashedMs, UntilMs: r.TrashedUntilMs})
	}
	c.topics.remove(t.Name)
	c.topicsByID.remove(t.ID)
	c.configs.remove(resource)
	delete(c.ownTopics, t.ID)
	delete(c.ownConfigs, resource)
	return nil
}

// own returns the topic as a copy that may be changed until the Image is made.
func (c *change) own(id wire.UUID) (*Topic, error) {
	t, ok := c.topicsByID.get(ids.TopicID(id))
	if !ok {
		return nil, corrupt("a partition belongs to topic %s, which does not exist", id)
	}
	if !c.ownTopics[t.ID] {
		t = &Topic{Name: t.Name, ID: t.ID, Partitions: slices.Clone(t.Partitions)}
		c.put(t)
	}
	return t, nil
}

func (c *change) addPartition(r *wire.PartitionRecord) error {
	t, err := c.own(r.TopicId)
	if err != nil {
		return err
	}
	if r.PartitionId < 0 || r.PartitionId >= MaxPartitions || len(r.Replicas) == 0 {
		return corrupt("topic %q has a partition %d with %d replicas", t.Name, r.PartitionId, len(r.Replicas))
	}
	for int(r.PartitionId) >= len(t.Partitions) {
		t.Partitions = append(t.Partitions, Partition{Leader: ids.NoBroker, LeaderEpoch: ids.NoLeaderEpoch})
	}
	t.Partitions[r.PartitionId] = Partition{
		Replicas: brokerIDs(r.Replicas), ISR: brokerIDs(r.Isr), RemovingReplicas: brokerIDs(r.RemovingReplicas), AddingReplicas: brokerIDs(r.AddingReplicas),
		Leader: ids.BrokerID(r.Leader), LeaderEpoch: ids.LeaderEpoch(r.LeaderEpoch), PartitionEpoch: r.PartitionEpoch, Recovering: r.LeaderRecoveryState == 1,
		Directories: directoryIDs(r.Directories), ELR: brokerIDs(r.EligibleLeaderReplicas), LastKnownELR: brokerIDs(r.LastKnownElr),
	}
	return nil
}

func (c *change) changePartition(r *wire.PartitionChangeRecord) error {
	t, err := c.own(r.TopicId)
	if err != nil {
		return err
	}
	if r.PartitionId < 0 || int(r.PartitionId) >= len(t.Partitions) {
		return corrupt("partition %d of topic %q changes and does not exist", r.PartitionId, t.Name)
	}
	p := &t.Partitions[r.PartitionId]
	for _, f := range []struct {
		to   *[]ids.BrokerID
		from []int32
	}{{&p.ISR, r.Isr}, {&p.Replicas, r.Replicas}, {&p.RemovingReplicas, r.RemovingReplicas}, {&p.AddingReplicas, r.AddingReplicas},
		{&p.ELR, r.EligibleLeaderReplicas}, {&p.LastKnownELR, r.LastKnownElr}} {
		if f.from != nil {
			*f.to = brokerIDs(f.from)
		}
	}
	if r.Directories != nil {
		p.Directories = directoryIDs(r.Directories)
	}
	if r.Leader != noLeaderChange {
		p.Leader = ids.BrokerID(r.Leader)
		p.LeaderEpoch++
	}
	if r.LeaderRecoveryState >= 0 {
		p.Recovering = r.LeaderRecoveryState == 1
	}
	p.PartitionEpoch++
	return nil
}

// clearELR forgets the eligible leader replicas of one topic, or of all.
func (c *change) clearELR(r *wire.ClearElrRecord) error {
	clear := func(id ids.TopicID) error {
		t, err := c.own(wire.UUID(id))
		if err != nil {
			return err
		}
		for n := range t.Partitions {
			t.Partitions[n].ELR, t.Partitions[n].LastKnownELR = nil, nil
		}
		return nil
	}
	if r.TopicName != "" {
		t, ok := c.topics.get(r.TopicName)
		if !ok {
			return corrupt("the ELR of topic %q is cleared, which does not exist", r.TopicName)
		}
		return clear(t.ID)
	}
	var all []ids.TopicID
	for id := range c.topicsByID.all() {
		all = append(all, id)
	}
	for _, id := range all {
		if err := clear(id); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) setConfig(r *wire.ConfigRecord) {
	resource := ConfigResource{r.ResourceType, r.ResourceName}
	values, _ := c.configs.get(resource)
	if !c.ownConfigs[resource] {
		if c.ownConfigs == nil {
			c.ownConfigs = make(map[ConfigResource]bool)
		}
		c.ownConfigs[resource] = true
		values = maps.Clone(values)
	}
	if r.Value.Valid {
		if values == nil {
			values = make(map[string]string)
		}
		values[r.Name] = r.Value.Value
	} else {
		delete(values, r.Name)
	}
	if len(values) == 0 {
		c.configs.remove(resource)
		return
	}
	c.configs.set(resource, values)
}

func (c *change) brokerRecord(r wire.MetadataRecord) error {
	if !c.ownBrokers {
		c.brokers, c.ownBrokers = slices.Clone(c.brokers), true
	}
	find := func(id int32, epoch int64) (int, error) {
		at, ok := slices.BinarySearchFunc(c.brokers, ids.BrokerID(id), func(b *Broker, id ids.BrokerID) int { return cmp.Compare(b.ID, id) })
		if !ok {
			return at, corrupt("broker %d is not registered", id)
		}
		if c.brokers[at].Epoch != ids.BrokerEpoch(epoch) {
			return at, corrupt("broker %d is registered with epoch %d, not %d", id, c.brokers[at].Epoch, epoch)
		}
		return at, nil
	}
	change := func(id int32, epoch int64, do func(b *Broker)) error {
		at, err := find(id, epoch)
		if err != nil {
			return err
		}
		b := *c.brokers[at]
		do(&b)
		c.brokers[at] = &b
		return nil
	}
	switch r := r.(type) {
	case *wire.RegisterBrokerRecord:
		at, ok := slices.BinarySearchFunc(c.brokers, ids.BrokerID(r.BrokerId), func(b *Broker, id ids.BrokerID) int { return cmp.Compare(b.ID, id) })
		if ok {
			c.brokers[at] = newBroker(r)
			return nil
		}
		c.brokers = slices.Insert(c.brokers, at, newBroker(r))
	case *wire.UnregisterBrokerRecord:
		at, err := find(r.BrokerId, r.BrokerEpoch)
		if err != nil {
			return err
		}
		c.brokers = slices.Delete(c.brokers, at, at+1)
	case *wire.FenceBrokerRecord:
		return change(r.Id, r.Epoch, func(b *Broker) { b.Fenced = true })
	case *wire.UnfenceBrokerRecord:
		return change(r.Id, r.Epoch, func(b *Broker) { b.Fenced = false })
	case *wire.BrokerRegistrationChangeRecord:
		return change(r.BrokerId, r.BrokerEpoch, func(b *Broker) {
			if r.Fenced != 0 {
				b.Fenced = r.Fenced > 0
			}
			if r.InControlledShutdown != 0 {
				b.InControlledShutdown = r.InControlledShutdown > 0
			}
			if len(r.LogDirs) > 0 {
				b.Directories = directoryIDs(r.LogDirs)
			}
			if r.CordonedLogDirs != nil {
				b.CordonedDirectories = directoryIDs(r.CordonedLogDirs)
			}
		})
	}
	return nil
}

func newBroker(r *wire.RegisterBrokerRecord) *Broker {
	b := &Broker{ID: ids.BrokerID(r.BrokerId), Epoch: ids.BrokerEpoch(r.BrokerEpoch), IncarnationID: r.IncarnationId, Rack: r.Rack.Value,
		Fenced: r.Fenced, InControlledShutdown: r.InControlledShutdown, Directories: directoryIDs(r.LogDirs), CordonedDirectories: directoryIDs(r.CordonedLogDirs)}
	for _, e := range r.EndPoints {
		b.Endpoints = append(b.Endpoints, Endpoint{Name: e.Name, Host: e.Host, Port: e.Port, SecurityProtocol: e.SecurityProtocol})
	}
	for _, f := range r.Features {
		b.Features = append(b.Features, FeatureRange{Name: f.Name, Min: f.MinSupportedVersion, Max: f.MaxSupportedVersion})
	}
	slices.SortFunc(b.Features, func(x, y FeatureRange) int { return cmp.Compare(x.Name, y.Name) })
	return b
}

func brokerIDs(from []int32) []ids.BrokerID {
	if len(from) == 0 {
		return nil
	}
	to := make([]ids.BrokerID, len(from))
	for i, id := range from {
		to[i] = ids.BrokerID(id)
	}
	return to
}

func directoryIDs(from []wire.UUID) []ids.DirectoryID {
	if len(from) == 0 {
		return nil
	}
	to := make([]ids.DirectoryID, len(from))
	for i, id := range from {
		to[i] = ids.DirectoryID(id)
	}
	return to
}
