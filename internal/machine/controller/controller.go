// Package controller is the machine that rules the cluster: it decides which topics, partitions, brokers, producer ids
// and features there are, and says so in records of __cluster_metadata-0.
//
// It owns the decisions and Kafka 4.3.1's words for refusing them. It must never touch a socket, a disk or a clock:
// requests come in as the newest version of Kafka's messages, records and replies go out, randomness is passed in. Package
// ottla runs it in a machine.Runtime; requests of other nodes and of clients reach it through api's Controller interface.
// Nothing of it survives a crash but those records: New plus replay is the whole state, a metadata.Image.
package controller

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/ottla-io/ottla/internal/config"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// Config is what a Controller needs to know.
type Config struct {
	ClusterID string
	NodeID    ids.BrokerID
	// Static gives the node's settings from file, environment and flags; topics inherit from them. What it gives is never changed.
	Static func() map[string]string
	// Random fills p with random bytes, for topic ids and placement.
	Random func(p []byte)
}

// Controller is the state and its rules. It is a machine.Snapshotter; one goroutine uses it at a time, while Images that
// it handed out may be read by any.
type Controller struct {
	cfg             Config
	image           *metadata.Image
	lastTimestampMs int64
	purge           purgeTimer
}

var _ machine.Timed = (*Controller)(nil)

// New is the controller of an empty log.
func New(cfg Config) *Controller { return &Controller{cfg: cfg, image: metadata.Empty()} }

// Image is the present state.
func (c *Controller) Image() *metadata.Image { return c.image }

// Apply implements machine.Machine.
func (c *Controller) Apply(records []machine.Record, end ids.Offset, epoch ids.LeaderEpoch) error {
	messages := make([]wire.MetadataRecord, len(records))
	for i := range records {
		var err error
		if messages[i], err = metadata.DecodeRecord(records[i].Value); err != nil {
			return fmt.Errorf("offset %d: %w", records[i].Offset, err)
		}
		c.lastTimestampMs = records[i].TimestampMs
	}
	image, err := c.image.Apply(messages, end, epoch)
	if err != nil {
		return err
	}
	c.image = image
	return nil
}

// Snapshot implements machine.Snapshotter.
func (c *Controller) Snapshot() func(io.Writer) error {
	image, timestampMs := c.image, c.lastTimestampMs
	if image.InTransaction() {
		return nil
	}
	return func(w io.Writer) error { return metadata.WriteSnapshot(w, image, timestampMs) }
}

// Restore implements machine.Snapshotter.
func (c *Controller) Restore(r io.Reader, id machine.SnapshotID) error {
	image, err := metadata.ReadSnapshot(r, id.End, id.Epoch)
	if err != nil {
		return err
	}
	c.image = image
	return nil
}

// settings are the layers that a topic's settings come from on this node.
func (c *Controller) settings(topic map[string]string) *config.Layers {
	return Layers(c.image, c.cfg.NodeID, c.cfg.Static(), topic)
}

// Layers are the layers that the settings of a node, and of a topic with these overrides (nil for none) on it, come from.
func Layers(image *metadata.Image, node ids.BrokerID, static, topic map[string]string) *config.Layers {
	return &config.Layers{
		Topic:                topic,
		DynamicBroker:        image.Config(metadata.ConfigResource{Type: metadata.ResourceBroker, Name: strconv.Itoa(int(node))}),
		DynamicDefaultBroker: image.Config(metadata.ConfigResource{Type: metadata.ResourceBroker}),
		Static:               static,
	}
}

// maxRecords is how many records one request may cause (Kafka's MAX_RECORDS_PER_USER_OP).
const maxRecords = 10_000

// accepted are the records of one request's changes that are not refused: at most maxRecords.
type accepted []wire.MetadataRecord

// add takes the records of one change, all or none of them, and says why none. refused is what was against it before.
func (a *accepted) add(records []wire.MetadataRecord, refused *problem) *problem {
	switch {
	case refused != nil:
		return refused
	case len(*a)+len(records) > maxRecords:
		return refuse(wire.ErrorPolicyViolation, "Unable to perform excessively large batch operation.")
	}
	*a = append(*a, records...)
	return nil
}

// encode turns messages into records of the log.
func encode(messages []wire.MetadataRecord) []machine.Record {
	if len(messages) == 0 {
		return nil
	}
	records := make([]machine.Record, len(messages))
	for i, m := range messages {
		records[i].Value = metadata.EncodeRecord(nil, m)
	}
	return records
}

// ErrorCode is what a client is told about a command that ended with err: retry elsewhere or later where nothing happened,
// a storage error where the log failed.
func ErrorCode(err error) wire.ErrorCode {
	switch {
	case err == nil:
		return wire.ErrorNone
	case errors.Is(err, machine.ErrBusy), errors.Is(err, machine.ErrClosed), errors.Is(err, machine.ErrStaleEpoch):
		return wire.ErrorNotController
	}
	return wire.ErrorKafkaStorageError
}

// problem is why one item of a request is refused.
type problem struct {
	code    wire.ErrorCode
	message string
}

func refuse(code wire.ErrorCode, format string, args ...any) *problem {
	return &problem{code, clip(fmt.Sprintf(format, args...))}
}

// maxMessageBytes is far above any sentence, and below what a string of the protocol holds.
const maxMessageBytes = 8 << 10

// clip shortens a sentence that quotes a client's names or values of many kilobytes: with them it might not fit a string of the
// protocol, and then there would be no answer.
func clip(message string) string {
	if len(message) <= maxMessageBytes {
		return message
	}
	return message[:maxMessageBytes] + "…"
}

// newTopicID makes a random id as Kafka does: a version 4 UUID, none of the first hundred (which Kafka reserves, and which
// version 4 excludes), and none whose text begins with '-', which command lines would take for an option.
func (c *Controller) newTopicID() ids.TopicID {
	for {
		var id ids.TopicID
		c.cfg.Random(id[:])
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		_, taken := c.image.TopicByID(id)
		if _, trashed := c.image.Trashed(id); !taken && !trashed && id.String()[0] != '-' {
			return id
		}
	}
}
