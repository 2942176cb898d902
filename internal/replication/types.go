package replication

import (
	"io"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/wire"
)

// This file holds the words that requests and partitions speak to each other. Queries and results are owned, and reused,
// by the caller; a method fills every field of its result. Nothing here refers to the request's bytes after the call.

// Target names a partition as a request did. Where TopicID is given (Produce v13+, Fetch v13+) it decides: an id that no
// topic has is UNKNOWN_TOPIC_ID, one that is not the id of the topic called Topic (if Topic is given too: fetch sessions)
// INCONSISTENT_TOPIC_ID. Otherwise Topic decides, and an unknown one is UNKNOWN_TOPIC_OR_PARTITION, as is an unknown index.
type Target struct {
	Topic     string      // "" if the request names topics by id
	TopicID   ids.TopicID // zero if the request names topics by name
	Partition int32
}

// Waiter is registered with a partition and fired once. It lies inside the state of the request that waits, so that waiting
// allocates nothing. While it is registered the partition owns all of it; before and after, the request does.
type Waiter struct {
	// Owner is told. Set before the registration.
	Owner WaiterOwner

	// Error is why the wait ended, if not because its condition came true: the partition lost its leadership, went
	// offline, was deleted (NOT_LEADER_OR_FOLLOWER, KAFKA_STORAGE_ERROR, UNKNOWN_TOPIC_OR_PARTITION …). Valid once fired.
	Error wire.ErrorCode
	// HighWatermark is the partition's when it fired.
	HighWatermark ids.Offset

	links waiterLinks
}

// waiterLinks is the partition's own: what the waiter waits for, and its place in the partition's list.
type waiterLinks struct {
	partition  *Partition
	need       ids.Offset // fires when highWatermark ≥ need
	poll       bool       // a long poll: appends are flushed at once for it
	linked     bool
	prev, next *Waiter
}

// WaiterOwner is told when its waiter fires.
type WaiterOwner interface {
	// Fired is called once per registration, from any goroutine, with no lock held, possibly before the call that
	// registered w has returned. It must not block. w is no longer registered.
	Fired(w *Waiter)
}

// ProduceQuery is one partition of a Produce request.
type ProduceQuery struct {
	Target
	// Records is the record set as it came, nil if null. It may be changed in place (base offset, leader epoch, log append
	// time) and is not referred to after the call.
	Records []byte
	// Acks is -1, 0 or 1.
	Acks int16
	// ZstdAllowed is false before Produce v7 (KIP-110).
	ZstdAllowed bool
}

// Produced is the outcome of a ProduceQuery at the time of the append.
type Produced struct {
	Error wire.ErrorCode
	// ErrorMessage is "" for the code's own sentence.
	ErrorMessage string
	// RecordErrors names the offending records, if Error concerns single records.
	RecordErrors []record.RecordError
	// BaseOffset of the appended batch, also of the original if it was a duplicate; -1 with an error.
	BaseOffset ids.Offset
	// LogAppendTimeMs is -1 unless the topic's timestamps are the broker's.
	LogAppendTimeMs int64
	// LogStart is the partition's log start offset; -1 with an error.
	LogStart ids.Offset
	// Leader and LeaderEpoch are the leader as far as known, with NOT_LEADER_OR_FOLLOWER and FENCED_LEADER_EPOCH (KIP-951);
	// else -1.
	Leader      ids.BrokerID
	LeaderEpoch ids.LeaderEpoch
}

// Region is a range of whole batches in a file: wire.Region for the encoder, and the FileRegion of package api.
type Region interface {
	wire.Region
	// Source is where the region's Size() bytes are. It stays readable until Release.
	Source() (file io.ReaderAt, offset int64)
	// Release is called exactly once by whoever got the region.
	Release()
}

// FetchQuery is one partition of a Fetch request.
type FetchQuery struct {
	Target
	// CurrentLeaderEpoch is what the client believes, ids.NoLeaderEpoch if it does not say (KIP-320).
	CurrentLeaderEpoch ids.LeaderEpoch
	Offset             ids.Offset
	// LastFetchedEpoch is the epoch of the record before Offset in the client's mind; ids.NoLeaderEpoch skips the check of
	// divergence (KIP-595).
	LastFetchedEpoch ids.LeaderEpoch
	// MaxBytes limits the region; the last batch may be cut. 0 gives no region, but all else.
	MaxBytes int
	// WholeFirst: the first batch comes whole even if it is larger than MaxBytes (KIP-74).
	WholeFirst bool
	// ReadCommitted: nothing at or past the last stable offset, and Aborted is filled.
	ReadCommitted bool
}

// Fetched is the outcome of a FetchQuery.
type Fetched struct {
	Error wire.ErrorCode
	// logStart ≤ LastStable ≤ HighWatermark; -1 each with an error.
	HighWatermark, LastStable, LogStart ids.Offset
	// Region is nil if there is nothing to read. The caller releases it.
	Region Region
	// DivergingEpoch and DivergingEnd say where the client's log leaves ours; -1 each if it does not.
	DivergingEpoch ids.LeaderEpoch
	DivergingEnd   ids.Offset
	// Aborted are the transactions aborted within the region's offsets; the slice's capacity is reused.
	Aborted []AbortedTransaction
	// Leader and LeaderEpoch are as in Produced.
	Leader      ids.BrokerID
	LeaderEpoch ids.LeaderEpoch
}

// AbortedTransaction is one that a read_committed consumer must skip.
type AbortedTransaction struct {
	ProducerID  ids.ProducerID
	FirstOffset ids.Offset
}

// Seen is what a waiting fetch knows of a partition.
type Seen struct {
	HighWatermark, LogStart ids.Offset
}

// Timestamps with a meaning of their own in ListOffsets.
const (
	LatestTimestamp          int64 = -1
	EarliestTimestamp        int64 = -2
	MaxTimestamp             int64 = -3 // KIP-734
	EarliestLocalTimestamp   int64 = -4 // KIP-405
	LatestTieredTimestamp    int64 = -5 // KIP-1005
	EarliestPendingTimestamp int64 = -6 // KIP-1023
)

// OffsetQuery is one partition of a ListOffsets request.
type OffsetQuery struct {
	Target
	CurrentLeaderEpoch ids.LeaderEpoch
	// TimestampMs is ≥ 0, or one of the constants above.
	TimestampMs   int64
	ReadCommitted bool
}

// FoundOffset is the outcome of an OffsetQuery.
type FoundOffset struct {
	Error wire.ErrorCode
	// Offset, TimestampMs and LeaderEpoch of the record found; -1 each if there is none. For a latest or earliest offset
	// TimestampMs is -1. LeaderEpoch is that of the record found, not the partition's (ListOffsets v4+).
	Offset      ids.Offset
	TimestampMs int64
	LeaderEpoch ids.LeaderEpoch
}

// EpochQuery is one partition of an OffsetForLeaderEpoch request.
type EpochQuery struct {
	Target
	CurrentLeaderEpoch ids.LeaderEpoch
	LeaderEpoch        ids.LeaderEpoch
}

// EpochEnd is the outcome of an EpochQuery: the largest epoch ≤ the one asked for that the log has, and the offset where it
// ends (the log's end for the newest). Both -1 if there is none.
type EpochEnd struct {
	Error       wire.ErrorCode
	LeaderEpoch ids.LeaderEpoch
	EndOffset   ids.Offset
}

// TopicSettings is what a topic's configuration means to its partitions. It is shared and never changed.
type TopicSettings struct {
	Log                     storage.LogConfig
	MaxMessageBytes         int  // max.message.bytes
	MinInSyncReplicas       int  // min.insync.replicas
	LogAppendTime           bool // message.timestamp.type
	TimestampBeforeMaxMs    int64
	TimestampAfterMaxMs     int64
	ValidateCompressedBatch bool // ottla.record.validation=full
	// Recompress stores every batch with Codec, at CompressionLevel, whatever its producer chose: compression.type other than producer.
	Recompress       bool
	Codec            record.Codec
	CompressionLevel int
	// RefuseClients is set for internal topics, to which clients may not produce.
	RefuseClients bool
}
