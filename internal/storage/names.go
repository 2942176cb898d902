package storage

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/vfs"
)

// Names of Kafka's files. In a log directory:
const (
	recoveryPointFile = "recovery-point-offset-checkpoint"
	logStartFile      = "log-start-offset-checkpoint"
	highWatermarkFile = "replication-offset-checkpoint"
	cleanerFile       = "cleaner-offset-checkpoint"
	metaFile          = "meta.properties"
	cleanFile         = ".kafka_cleanshutdown"
	lockFile          = ".lock"
	// failedSyncFile is ours: where each log's durable part ends, written when an fsync failed.
	failedSyncFile = "ottla.failed-sync"
	// reserveFileName is ours: space to give back when the disk is full.
	reserveFileName = "ottla.reserve"
)

// In a partition's directory:
const (
	epochsFile            = "leader-epoch-checkpoint"
	partitionMetadataFile = "partition.metadata"
	// trashFile is ours: what the checkpoints said of a log when it went into the trash.
	trashFile = "ottla.trash"

	logSuffix       = ".log"
	indexSuffix     = ".index"
	timeIndexSuffix = ".timeindex"
	txnIndexSuffix  = ".txnindex"
	snapshotSuffix  = ".snapshot"
	deletedSuffix   = ".deleted"
	cleanedSuffix   = ".cleaned"
	swapSuffix      = ".swap"
	tempSuffix      = ".tmp"
)

// Suffixes of partition directories.
const (
	deleteDirSuffix = "-delete"
	strayDirSuffix  = "-stray"
	futureDirSuffix = "-future"
)

// segmentName is BASEOFFSET as 20 digits, then the suffix.
func segmentName(base ids.Offset, suffix string) string { return fmt.Sprintf("%020d%s", base, suffix) }

// parsePlain reads the name of a segment's file or of a producer snapshot.
func parsePlain(name string) (base ids.Offset, suffix string, ok bool) {
	for _, suffix := range segmentSuffixes {
		if base, ok := parseSegmentName(name, suffix); ok {
			return base, suffix, true
		}
	}
	return 0, "", false
}

// parseSegmentName is the inverse of segmentName.
func parseSegmentName(name, suffix string) (ids.Offset, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return ids.Offset(n), err == nil && n >= 0
}

// parsePartitionDir reads TOPIC-PARTITION; false for anything else that may lie in a log directory.
func parsePartitionDir(name string) (ids.TopicPartition, bool) {
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

var discardedDir = regexp.MustCompile(`^(.+)-(\d+)\.([0-9a-f]{32})-delete$`)

var strayDir = regexp.MustCompile(`^(.+)-(\d+)\.([0-9a-f]{32})-stray$`)

// discardedName is the name that a partition's directory takes before it is removed or set aside: TOPIC-P.UUIDHEX and the suffix, the topic
// cut where 255 bytes would not hold it all.
func discardedName(tp ids.TopicPartition, id ids.UUID, suffix string) string {
	tail := "-" + strconv.Itoa(int(tp.Partition)) + "." + hex.EncodeToString(id[:]) + suffix
	topic := tp.Topic
	if len(topic)+len(tail) > 255 {
		topic = topic[:255-len(tail)]
	}
	return topic + tail
}

// writeFileAtomically leaves either the old content or the new under path, also after a crash, and durably the new once it returns.
func writeFileAtomically(fsys vfs.FS, dir, name string, content []byte) error {
	temp := dir + "/" + name + tempSuffix
	if err := writeWholeFile(fsys, temp, content, true); err != nil {
		return fmt.Errorf("write %s: %w", temp, err)
	}
	if err := fsys.Rename(temp, dir+"/"+name); err != nil {
		return fmt.Errorf("replace %s/%s: %w", dir, name, err)
	}
	if err := fsys.SyncDir(dir); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// writeWholeFile makes path hold content, replacing what was there without any promise across a crash in between.
func writeWholeFile(fsys vfs.FS, path string, content []byte, sync bool) error {
	f, err := openOrCreate(fsys, path)
	if err != nil {
		return err
	}
	err = f.Truncate(0)
	if err == nil && len(content) > 0 {
		_, err = f.WriteAt(content, 0)
	}
	if err == nil && sync {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func openOrCreate(fsys vfs.FS, path string) (vfs.File, error) {
	f, err := fsys.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = fsys.Create(path)
	}
	return f, err
}

// makeDirDurably makes a directory and those above it that are missing.
func makeDirDurably(fsys vfs.FS, dir string) error {
	var parents []string
	for at := path.Clean(dir); ; at = path.Dir(at) {
		if _, err := fsys.Stat(at); err == nil || at == path.Dir(at) {
			break
		}
		parents = append(parents, path.Dir(at))
	}
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	for _, parent := range parents {
		if err := fsys.SyncDir(parent); err != nil {
			return err
		}
	}
	return nil
}

// readWholeFile reads a file of at most limit bytes.
func readWholeFile(fsys vfs.FS, path string, limit int64) ([]byte, error) {
	f, err := fsys.OpenReadOnly(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if size > limit {
		return nil, fmt.Errorf("read %s: %d bytes, more than the %d that it may have", path, size, limit)
	}
	data := make([]byte, size)
	if err := readFull(f, data, 0); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}
