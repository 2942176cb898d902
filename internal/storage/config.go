package storage

import (
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/vfs"
)

// Durability says what an acknowledgement of this log stands for.
type Durability uint8

const (
	// Fsync: owners acknowledge and serve up to DurableEnd.
	Fsync Durability = iota
	// Replicated is Kafka's behaviour: owners use LogEnd, and the disk is written when the operating system or
	// FlushMessages, FlushMs or a roll say so.
	Replicated
)

// LogConfig is what a topic's settings say about its logs. Zero values of the first four mean Kafka's defaults.
type LogConfig struct {
	SegmentBytes       int   // segment.bytes, 1 GiB by default; 14 … 2^31-1
	SegmentMs          int64 // segment.ms, 7 days by default
	IndexIntervalBytes int   // index.interval.bytes, 4096 by default
	SegmentIndexBytes  int   // segment.index.bytes, 10 MiB by default
	SegmentJitterMs    int64 // segment.jitter.ms
	RetentionMs        int64 // retention.ms; negative: forever
	RetentionBytes     int64 // retention.bytes; negative: no limit
	Delete, Compact    bool  // cleanup.policy
	DeleteRetentionMs  int64 // delete.retention.ms: how long a tombstone stays after it was first compacted
	MinCompactionLagMs int64 // min.compaction.lag.ms
	MaxCompactionLagMs int64 // max.compaction.lag.ms; 0 or less: never
	// MinCleanableRatio is min.cleanable.dirty.ratio: a log is compacted once its dirty share is above it.
	MinCleanableRatio float64
	FileDeleteDelayMs int64 // file.delete.delay.ms: 0 removes at once
	FlushMessages     int64 // flush.messages: records between forced flushes, 0: never
	FlushMs           int64 // flush.ms, 0: never
	Durability        Durability
	// Internal logs may use the disk's reserve: metadata must be writable for deletes to be possible.
	Internal bool
}

// DefaultLogConfig is Kafka's defaults, with ottla.durability=fsync.
func DefaultLogConfig() LogConfig {
	return LogConfig{
		SegmentBytes: 1 << 30, SegmentMs: 7 * 24 * 3600 * 1000, IndexIntervalBytes: 4096, SegmentIndexBytes: 10 << 20,
		RetentionMs: 7 * 24 * 3600 * 1000, RetentionBytes: -1, Delete: true, FileDeleteDelayMs: 60_000,
		DeleteRetentionMs: 24 * 3600 * 1000, MinCleanableRatio: 0.5, MaxCompactionLagMs: longestMs,
	}
}

func (c LogConfig) withDefaults() LogConfig {
	d := DefaultLogConfig()
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = d.SegmentBytes
	}
	if c.SegmentMs <= 0 {
		c.SegmentMs = d.SegmentMs
	}
	if c.IndexIntervalBytes <= 0 {
		c.IndexIntervalBytes = d.IndexIntervalBytes
	}
	if c.SegmentIndexBytes <= 0 {
		c.SegmentIndexBytes = d.SegmentIndexBytes
	}
	if c.FlushMs >= longestMs {
		c.FlushMs = 0
	}
	c.SegmentMs, c.RetentionMs = min(c.SegmentMs, longestMs), min(c.RetentionMs, longestMs)
	c.DeleteRetentionMs, c.MinCompactionLagMs = min(c.DeleteRetentionMs, longestMs), min(c.MinCompactionLagMs, longestMs)
	c.MaxCompactionLagMs = min(c.MaxCompactionLagMs, longestMs)
	c.SegmentJitterMs, c.FileDeleteDelayMs = min(c.SegmentJitterMs, longestMs), min(c.FileDeleteDelayMs, longestMs)
	return c
}

// longestMs is about 278 years: Kafka's Long.MAX_VALUE means never, and would overflow when a clock is added to it.
const longestMs = int64(1) << 43

// MetadataTopic has one log, for which Config.MetadataDir is.
const MetadataTopic = "__cluster_metadata"

// Config is what a Store needs. Zero values of the numbers mean the default in the comment.
type Config struct {
	FS  vfs.FS
	Env run.Env
	// Dirs are the log directories (log.dirs), each made if absent; at least one.
	Dirs []string
	// MetadataDir (metadata.log.dir) is where the log of MetadataTopic is made. It may be one of Dirs; otherwise no other log is made
	// in it. Empty is the first of Dirs.
	MetadataDir string
	// NodeID must be the one that the directories were first used with.
	NodeID ids.BrokerID
	// ClusterID must be the directories' own; empty accepts it, and makes one for new directories.
	ClusterID string
	// FlushLingerMs is how long Flush(false) may be put off, ottla.flush.linger.ms: 5. NoLinger: not at all.
	FlushLingerMs int64
	// CheckpointBytes of flushed data, or CheckpointMs after it, move the recovery points: 16 MiB, 5,000.
	CheckpointBytes int64
	CheckpointMs    int64
	// RetentionCheckMs is log.retention.check.interval.ms: 300,000.
	RetentionCheckMs int64
	// ProducerExpirationMs is producer.id.expiration.ms: 86,400,000.
	ProducerExpirationMs int64
	// MaxOpenFiles bounds the files kept open between uses: 1,500. Files with unsynced data and those being sent come on top.
	MaxOpenFiles int
	// MaxUnsyncedLogs of a directory may have appends that nobody asked to have synced: 4,096. Each holds a file open; one more, and all are synced.
	MaxUnsyncedLogs int
	// ReserveBytes of each directory's file system are kept for internal logs and deletes; 0: no reserve. Appends of other logs
	// are refused below it, and accepted again a quarter of it above.
	ReserveBytes int64
	// ReserveFileBytes are held by a file in each directory and given back when ReserveBytes were not enough; 0: no such file.
	ReserveFileBytes int64
	// TrashFreeBytes is the usable space below which a directory that holds trash asks for it to be purged (Events.TrashInTheWay): at most a tenth of the
	// file system, and at least what ends a lack of space. 0: only a lack of space does.
	TrashFreeBytes int64
	Cleaner        CleanerConfig
	Events         Events
}

// NoLinger is the Config.FlushLingerMs that puts no flush off.
const NoLinger int64 = -1

func (c Config) withDefaults() Config {
	def := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	if c.FlushLingerMs == NoLinger {
		c.FlushLingerMs = 0
	} else {
		def(&c.FlushLingerMs, 5)
	}
	def(&c.CheckpointBytes, 16<<20)
	def(&c.CheckpointMs, 5_000)
	def(&c.RetentionCheckMs, 300_000)
	def(&c.ProducerExpirationMs, 86_400_000)
	c.Cleaner = c.Cleaner.withDefaults()
	if c.MaxOpenFiles <= 0 {
		c.MaxOpenFiles = 1_500
	}
	if c.MaxUnsyncedLogs <= 0 {
		c.MaxUnsyncedLogs = 4_096
	}
	return c
}

// Events are what can be observed. Each may be nil. They are called without locks held, on the goroutine that did the work.
type Events struct {
	// SegmentRolled tells the base offset of the new segment.
	SegmentRolled func(tp ids.TopicPartition, base ids.Offset)
	// FlushRound tells how long one round of a directory took, how many logs and files it covered.
	FlushRound func(dir string, took time.Duration, logs, files int)
	// Recovered is called for each log that was scanned at start.
	Recovered func(Recovery)
	// Corrupt is called once for a log that is refused, and once for each damaged place that a reader met.
	Corrupt func(*CorruptError)
	// DirectoryOffline tells that a directory failed; marked: the durable bounds could be recorded for the next start.
	DirectoryOffline func(dir string, err error, marked bool)
	// RetentionDeleted tells the segments and bytes that retention removed, and the new log start.
	RetentionDeleted func(tp ids.TopicPartition, segments int, bytes int64, logStart ids.Offset)
	// RecordsDeleted tells the segments and bytes that DeleteRecords removed, perhaps none, and the new log start.
	RecordsDeleted func(tp ids.TopicPartition, segments int, bytes int64, logStart ids.Offset)
	// Quarantined tells that a directory was set aside under a new name.
	Quarantined func(from, to, why string)
	// LowSpace is called when a directory falls below its reserve and when it is above it again.
	LowSpace func(dir string, low bool, usable int64)
	// TrashInTheWay asks for the oldest trash of a directory to be purged, once, until TrashSettled or a removal of files; then again, if it still is.
	TrashInTheWay func(dir ids.DirectoryID)
	// BackgroundStep tells how long a step of background work took, and the bytes that it read and wrote.
	BackgroundStep func(kind BackgroundKind, took time.Duration, bytes int64)
	// Compacted tells about a compaction that is complete.
	Compacted func(Compaction)
	// Uncleanable tells that a log could not be compacted, and is not tried again before the next start.
	Uncleanable func(tp ids.TopicPartition, err error)
	// Problem is something that was survived, such as an index that had to be rebuilt.
	Problem func(what string, err error)
}

// Recovery tells what start-up found in one log.
type Recovery struct {
	Log ids.TopicPartition
	// ScannedBytes were checked, batch by batch, from the recovery point on.
	ScannedBytes int64
	// CutBytes were removed from the tail, the first of them at CutOffset.
	CutBytes  int64
	CutOffset ids.Offset
	// ValidAfterCut tells that whole batches followed the damaged one: a torn write of a power cut, or rot above the recovery point.
	ValidAfterCut bool
	LogEnd        ids.Offset
	// Restored: it was in the trash, and not closed when it went there.
	Restored bool
	Took     time.Duration
}
