package logfiles

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ottla-io/ottla/internal/ids"
)

// EncodePartitionMetadata is Kafka's partition.metadata, with no newline at its end.
//
//	version: 0
//	topic_id: UUID
func EncodePartitionMetadata(id ids.TopicID) []byte {
	return []byte("version: 0\ntopic_id: " + id.String())
}

// ParsePartitionMetadata reads partition.metadata. Errors wrap ErrDamaged.
func ParsePartitionMetadata(data []byte) (ids.TopicID, error) {
	var version int
	var text string
	if _, err := fmt.Sscanf(string(data), "version: %d\ntopic_id: %s", &version, &text); err != nil || version != 0 {
		return ids.TopicID{}, fmt.Errorf("%w: not a version 0 with a topic id", ErrDamaged)
	}
	id, err := ids.ParseTopicID(text)
	if err != nil {
		return ids.TopicID{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return id, nil
}

// EncodeMeta is meta.properties, which says whose a log directory is.
//
//	version=1
//	cluster.id=UUID
//	node.id=NUMBER
//	directory.id=UUID
func EncodeMeta(clusterID string, nodeID ids.BrokerID, id ids.DirectoryID) []byte {
	return fmt.Appendf(nil, "version=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n", clusterID, nodeID, id)
}

// ParseProperties reads key=value lines; # begins a comment. What is no such line is skipped, as Java does.
func ParseProperties(text string) map[string]string {
	out := make(map[string]string)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if key, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			out[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return out
}

// Checkpointed is what the checkpoints say of one log; an offset below 0 is one that they don't know.
type Checkpointed struct {
	RecoveryPoint, LogStart, HighWatermark, FirstDirty ids.Offset
}

// EncodeTrash is ottla.trash: what the checkpoints said of a log when it went into the trash.
//
//	version=0
//	recovery-point=OFFSET
//	log-start=OFFSET
//	high-watermark=OFFSET     -1: unknown
//	first-dirty=OFFSET        if it was ever compacted
func EncodeTrash(c Checkpointed) []byte {
	text := fmt.Appendf(nil, "version=0\nrecovery-point=%d\nlog-start=%d\nhigh-watermark=%d\n", c.RecoveryPoint, c.LogStart, c.HighWatermark)
	if c.FirstDirty >= 0 {
		text = fmt.Appendf(text, "first-dirty=%d\n", c.FirstDirty)
	}
	return text
}

// ParseTrash reads what EncodeTrash made. What is missing or no offset is not known.
func ParseTrash(data []byte) Checkpointed {
	said := ParseProperties(string(data))
	number := func(key string) ids.Offset {
		n, err := strconv.ParseInt(said[key], 10, 64)
		if err != nil {
			return -1
		}
		return ids.Offset(n)
	}
	return Checkpointed{number("recovery-point"), number("log-start"), number("high-watermark"), number("first-dirty")}
}
