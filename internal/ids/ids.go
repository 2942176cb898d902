// Package ids holds the identifiers that travel through every layer, each as a type of its own, so
// that the compiler catches an offset passed where an epoch was meant.
//
// It owns the types and their text forms, nothing else: no state, no I/O, no other package of ours.
// Everybody may import it. Nothing here survives a crash, because nothing here is stored.
package ids

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// Offset is the position of a record in a partition's log, counted in records from 0.
type Offset int64

// LeaderEpoch numbers the successive leaders of one partition (KIP-101). It never falls.
type LeaderEpoch int32

// NoLeaderEpoch stands for "unknown" in requests and replies.
const NoLeaderEpoch LeaderEpoch = -1

// BrokerID is a broker's node.id, 0 or greater.
type BrokerID int32

// NoBroker stands for "none", such as the leader of a partition that has no leader.
const NoBroker BrokerID = -1

// BrokerEpoch is the metadata offset at which a broker's current incarnation registered (KIP-631).
type BrokerEpoch int64

// ProducerID identifies an idempotent or transactional producer (KIP-98).
type ProducerID int64

// NoProducerID is what a batch of a producer without idempotence carries.
const NoProducerID ProducerID = -1

// ProducerEpoch fences earlier incarnations of one ProducerID.
type ProducerEpoch int16

// UUID is a 128-bit identifier in Kafka's text form: base64url without padding, 22 characters.
type UUID [16]byte

// TopicID identifies one life of a topic: a recreated topic of the same name has another (KIP-516).
type TopicID UUID

// DirectoryID identifies one log directory of one broker (KIP-858).
type DirectoryID UUID

func (u UUID) String() string        { return base64.RawURLEncoding.EncodeToString(u[:]) }
func (t TopicID) String() string     { return UUID(t).String() }
func (d DirectoryID) String() string { return UUID(d).String() }

// IsZero reports whether t is the all-zero id, which Kafka uses for "not given".
func (t TopicID) IsZero() bool { return t == TopicID{} }

// Reserved reports whether d stands for no directory: the first hundred ids mean "unassigned", "lost" and so on (Kafka's DirectoryId).
func (d DirectoryID) Reserved() bool {
	return [15]byte(d[:15]) == [15]byte{} && d[15] < 100
}

// ParseUUID reads Kafka's 22-character text form.
func ParseUUID(text string) (UUID, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) != 16 {
		return UUID{}, fmt.Errorf("parse UUID %q: want 22 characters of base64url", text)
	}
	return UUID(raw), nil
}

// ParseTopicID reads a topic id from Kafka's text form.
func ParseTopicID(text string) (TopicID, error) {
	u, err := ParseUUID(text)
	return TopicID(u), err
}

// TopicPartition names a partition by its topic's name and its index, 0 or greater.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String is Kafka's form, which is also the name of the partition's directory: TOPIC-PARTITION.
func (tp TopicPartition) String() string {
	return tp.Topic + "-" + strconv.FormatInt(int64(tp.Partition), 10)
}

// Compare orders by topic, then by partition: what slices.SortFunc wants.
func (tp TopicPartition) Compare(other TopicPartition) int {
	return cmp.Or(strings.Compare(tp.Topic, other.Topic), cmp.Compare(tp.Partition, other.Partition))
}
