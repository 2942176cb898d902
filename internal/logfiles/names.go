package logfiles

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/ottla-io/ottla/internal/ids"
)

// Names of Kafka's files in a log directory.
const (
	RecoveryPoints = "recovery-point-offset-checkpoint"
	LogStarts      = "log-start-offset-checkpoint"
	HighWatermarks = "replication-offset-checkpoint"
	CleanerOffsets = "cleaner-offset-checkpoint"
	Meta           = "meta.properties"
	CleanMark      = ".kafka_cleanshutdown" // there only after a clean stop
	Lock           = ".lock"
)

// Names of our own files in a log directory.
const (
	// FailedSync is where each log's durable part ends, written when an fsync failed: an OffsetCheckpoint.
	FailedSync = "ottla.failed-sync"
	// Reserve is space to give back when the disk is full.
	Reserve = "ottla.reserve"
	// Moves are the logs that are moving here: see MoveRow.
	Moves             = "ottla.moves"
	Manifest          = "ottla.manifest"
	LargestTimestamps = "ottla.largest-timestamps"
)

// Names of files in a partition's directory.
const (
	Epochs            = "leader-epoch-checkpoint"
	PartitionMetadata = "partition.metadata"
	// Trash is ours: what the checkpoints said of a log when it went into the trash.
	Trash = "ottla.trash"
)

// Suffixes of the names of segments' files and of producer snapshots.
const (
	LogSuffix       = ".log"
	IndexSuffix     = ".index"
	TimeIndexSuffix = ".timeindex"
	TxnIndexSuffix  = ".txnindex"
	SnapshotSuffix  = ".snapshot"
)

// Suffixes that follow those while a file is being deleted or replaced.
const (
	DeletedSuffix = ".deleted"
	CleanedSuffix = ".cleaned"
	SwapSuffix    = ".swap"
)

// SegmentSuffixes are those of all files of one base offset, the log first.
var SegmentSuffixes = [...]string{LogSuffix, IndexSuffix, TimeIndexSuffix, TxnIndexSuffix, SnapshotSuffix}

// Suffixes of partition directories.
const (
	DeleteDirSuffix = "-delete"
	StrayDirSuffix  = "-stray"
	FutureDirSuffix = "-future"
)

// SegmentName is BASEOFFSET as 20 digits, then the suffix.
func SegmentName(base ids.Offset, suffix string) string { return fmt.Sprintf("%020d%s", base, suffix) }

// ParseSegmentName is the inverse of SegmentName.
func ParseSegmentName(name, suffix string) (ids.Offset, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return ids.Offset(n), err == nil && n >= 0
}

// ParsePlain reads the name of a segment's file or of a producer snapshot.
func ParsePlain(name string) (base ids.Offset, suffix string, ok bool) {
	for _, suffix := range SegmentSuffixes {
		if base, ok := ParseSegmentName(name, suffix); ok {
			return base, suffix, true
		}
	}
	return 0, "", false
}

// ParseTransitional reads BASE.KIND.SUFFIX; plain is the name without the suffix.
func ParseTransitional(name, suffix string) (base ids.Offset, plain string, ok bool) {
	if len(name) <= len(suffix) || name[len(name)-len(suffix):] != suffix {
		return 0, "", false
	}
	plain = name[:len(name)-len(suffix)]
	base, _, ok = ParsePlain(plain)
	return base, plain, ok
}

// ParsePartitionDir reads TOPIC-PARTITION; false for anything else that may lie in a log directory.
func ParsePartitionDir(name string) (ids.TopicPartition, bool) {
	dash := strings.LastIndexByte(name, '-')
	if dash <= 0 || dash == len(name)-1 {
		return ids.TopicPartition{}, false
	}
	n, err := strconv.ParseInt(name[dash+1:], 10, 32)
	if err != nil || n < 0 || name[dash+1:] != strconv.FormatInt(n, 10) {
		return ids.TopicPartition{}, false
	}
	return ids.TopicPartition{Topic: name[:dash], Partition: int32(n)}, true
}

var discardedDir = regexp.MustCompile(`^(.+)-(\d+)\.([0-9a-f]{32})(-delete|-stray)$`)

// DiscardedName is the name that a partition's directory takes before it is removed or set aside: TOPIC-P.UUIDHEX and the suffix, the topic
// cut where 255 bytes would not hold it all.
func DiscardedName(tp ids.TopicPartition, id ids.UUID, suffix string) string {
	tail := "-" + strconv.Itoa(int(tp.Partition)) + "." + hex.EncodeToString(id[:]) + suffix
	topic := tp.Topic
	if len(topic)+len(tail) > 255 {
		topic = topic[:255-len(tail)]
	}
	return topic + tail
}

// IsDeletedDir tells that a directory's name is one that DiscardedName makes with DeleteDirSuffix.
func IsDeletedDir(name string) bool {
	parts := discardedDir.FindStringSubmatch(name)
	return parts != nil && parts[4] == DeleteDirSuffix
}

// ParseStrayDir reads the name of a directory that DiscardedName makes with StrayDirSuffix. Its topic may be cut.
func ParseStrayDir(name string) (tp ids.TopicPartition, id ids.UUID, ok bool) {
	parts := discardedDir.FindStringSubmatch(name)
	if parts == nil || parts[4] != StrayDirSuffix {
		return tp, id, false
	}
	n, err := strconv.ParseInt(parts[2], 10, 32)
	if err != nil {
		return tp, id, false
	}
	_, err = hex.Decode(id[:], []byte(parts[3]))
	return ids.TopicPartition{Topic: parts[1], Partition: int32(n)}, id, err == nil
}
