package ottla

import (
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/config"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/partition"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/telemetry"
)

// cluster follows the committed metadata: it hands each change to the data plane, and then shows the new image to
// requests, so that a topic that Metadata names can be produced to. Only the controller's goroutine (Start's, before it
// runs) calls follow.
type cluster struct {
	self        ids.BrokerID
	static      atomic.Pointer[map[string]string] // broker settings of this process, which a reload replaces
	connections func(config.ConnectionLimits)     // takes the limits in force
	partitions  *replication.Manager
	store       *storage.Store
	logger      *slog.Logger
	groups      *coordinators
	telemetry   *telemetry.Manager
	quotas      *api.Quotas
	image       atomic.Pointer[metadata.Image]
	places      places
	offline     []string // directories that the log has named; of the goroutine that follows
}

// Image implements api.Cluster.
func (c *cluster) Image() *metadata.Image { return c.image.Load() }

// staticSettings are those from file, environment and flags.
func (c *cluster) staticSettings() map[string]string { return *c.static.Load() }

// layers are where a topic's settings come from; topic "" gives the broker's own.
func (c *cluster) layers(image *metadata.Image, topic string) *config.Layers {
	layers := &config.Layers{
		Static:               *c.static.Load(),
		DynamicBroker:        image.Config(metadata.ConfigResource{Type: metadata.ResourceBroker, Name: strconv.Itoa(int(c.self))}),
		DynamicDefaultBroker: image.Config(metadata.ConfigResource{Type: metadata.ResourceBroker}),
	}
	if topic != "" {
		layers.Topic = image.TopicConfig(topic)
	}
	return layers
}

func (c *cluster) topicSettings(image *metadata.Image, topic string) *replication.TopicSettings {
	return topicSettings(topic, c.layers(image, topic).TopicConfig())
}

// follow takes over an image. What cannot be done for one partition is logged and leaves the others alone: the partition answers
// KAFKA_STORAGE_ERROR.
func (c *cluster) follow(image *metadata.Image) {
	before := c.image.Load()
	if before == nil {
		before = metadata.Empty()
	}
	delta := metadata.Between(before, image)
	if c.image.Load() == nil {
		c.settleTrash(image)
	}
	c.removeDeleted(delta)
	c.purge(delta)
	c.openFound(image, delta)
	for _, topic := range delta.Created {
		c.assign(image, topic, nil, c.isNew(delta, topic))
	}
	for _, change := range delta.Changed {
		c.assign(image, change.After, change.Partitions, c.image.Load() != nil)
	}
	c.configure(image, delta)
	if len(delta.Quotas) > 0 {
		c.quotas.Set(limitsOf(image))
	}
	c.image.Store(image)
	c.reportPlaces()
	c.groups.follow(image, delta)
}

// openFound opens the logs of topics that are on disk already, at a start, several at a time.
func (c *cluster) openFound(image *metadata.Image, delta *metadata.Delta) {
	var wanted []storage.Wanted
	for _, topic := range delta.Created {
		isNew := c.isNew(delta, topic)
		settings := c.topicSettings(image, topic.Name)
		for n := range topic.Partitions {
			if dir, here := c.directory(&topic.Partitions[n]); here {
				wanted = append(wanted, storage.Wanted{Topic: ids.TopicPartition{Topic: topic.Name, Partition: int32(n)}, ID: topic.ID, Config: settings.Log,
					Directory: dir, New: isNew})
			}
		}
	}
	c.store.OpenFound(wanted)
}

// directory is the one on record for this broker's replica of a partition, if it has one.
func (c *cluster) directory(p *metadata.Partition) (dir ids.DirectoryID, here bool) {
	at := slices.Index(p.Replicas, c.self)
	if at >= 0 && at < len(p.Directories) {
		dir = p.Directories[at]
	}
	return dir, at >= 0
}

// assign hands over the partitions of a topic that have a replica here: those numbered, or all if numbers is nil. isNew tells that no log of them
// can exist anywhere.
func (c *cluster) assign(image *metadata.Image, topic *metadata.Topic, numbers []int32, isNew bool) {
	settings := c.topicSettings(image, topic.Name)
	for n := range topic.Partitions {
		p := &topic.Partitions[n]
		dir, here := c.directory(p)
		if !here || (numbers != nil && !slices.Contains(numbers, int32(n))) {
			continue
		}
		r := replication.Replica{
			Name: ids.TopicPartition{Topic: topic.Name, Partition: int32(n)}, Topic: topic.ID, Directory: dir, New: isNew,
			State: partition.State{Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch, Replicas: p.Replicas, ISR: p.ISR},
		}
		if err := c.partitions.Assign(r, settings); err != nil && c.isNews(err) {
			c.logger.Error("a partition cannot be served", "partition", r.Name, "error", err)
		}
		if lies, ok := c.partitions.Directory(topic.ID, int32(n)); ok && lies != dir {
			c.places.note(lies, topic.ID, int32(n))
		}
	}
}

// isNews tells whether the log has not said yet why a partition cannot be served: damage storage tells by itself, and a directory is named once for all its
// partitions.
func (c *cluster) isNews(err error) bool {
	var corrupt *storage.CorruptError
	if errors.As(err, &corrupt) {
		return false
	}
	var offline *storage.OfflineError
	if !errors.As(err, &offline) {
		return true
	}
	if slices.Contains(c.offline, offline.Path) {
		return false
	}
	c.offline = append(c.offline, offline.Path)
	return true
}

// configure hands over changed topic settings. A change of the broker's own may reach every topic.
func (c *cluster) configure(image *metadata.Image, delta *metadata.Delta) {
	every := false
	for _, resource := range delta.Configs {
		switch resource.Type {
		case metadata.ResourceTopic:
			c.partitions.Configure(resource.Name, c.topicSettings(image, resource.Name))
		case metadata.ResourceBroker:
			every = true
		case metadata.ResourceClientMetrics:
			c.subscribe(image, resource.Name)
		}
	}
	if every {
		c.configureBroker(image)
	}
}

// reload replaces the settings from file, environment and flags. static must not change any more. As follow, it is for the controller's goroutine.
func (c *cluster) reload(static map[string]string) {
	c.static.Store(&static)
	image := c.Image()
	c.configureBroker(image)
	c.groups.configure(image)
}

// configureBroker puts into force what may have changed of the broker's own settings, which reach every topic.
func (c *cluster) configureBroker(image *metadata.Image) {
	s := c.layers(image, "").BrokerConfig()
	c.store.SetCleaner(cleanerConfig(s.Cleaner))
	c.store.SetProducerExpiration(s.ProducerIDExpirationMs)
	c.connections(s.Connections)
	for _, topic := range image.Topics() {
		c.partitions.Configure(topic.Name, c.topicSettings(image, topic.Name))
	}
}

// quarantineStrays sets aside what lies on disk and the metadata does not know: never deleted, since the metadata may be what is
// wrong. It must be called with the whole metadata replayed and its partitions opened.
func (c *cluster) quarantineStrays() error {
	image := c.image.Load()
	var failed []error
	for _, found := range c.store.Found() {
		if found.Topic.Topic == metadataTopic {
			continue
		}
		topic, ok := image.TopicByID(found.ID)
		if _, trashed := image.Trashed(found.ID); trashed {
			continue // in a directory that is offline, or else settleTrash said why
		}
		if ok && topic.Name == found.Topic.Topic && int(found.Topic.Partition) < len(topic.Partitions) &&
			slices.Contains(topic.Partitions[found.Topic.Partition].Replicas, c.self) {
			continue // known, and refused when it was opened: it stays where the operator was told it is
		}
		if err := c.store.Quarantine(found.Topic); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}
