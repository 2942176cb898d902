package replication

import (
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/wire"
)

// Target names a partition as a request does: by topic id where TopicID is set (KIP-516), else by name.
type Target struct {
	Topic     string
	TopicID   ids.TopicID
	Partition int32
}

// Produce is one partition's part of a produce request.
type Produce struct {
	Target
	// Records is what the client sent for the partition. It is read, and its base offset and epoch are patched, during the call only.
	Records []byte
	// Acks is 0, 1 or -1 (all in-sync replicas).
	Acks int16
	// ZstdAllowed is false for Produce before version 7 (KIP-110).
	ZstdAllowed bool
}

// Produced is the answer to a Produce.
type Produced struct {
	Code    wire.ErrorCode
	Message string               // why, where Code alone does not tell; empty otherwise
	Records []record.RecordError // the offending records, by index in the batch (Produce v8+)
	// BaseOffset and LogAppendTimeMs are -1 on error; LogAppendTimeMs also for topics with CreateTime.
	BaseOffset      ids.Offset
	LogAppendTimeMs int64
	LogStart        ids.Offset // -1 on error
	Leader          Leader     // set with NOT_LEADER_OR_FOLLOWER and FENCED_LEADER_EPOCH
	// Waiting: acks=all, and the watermark has not passed the batch yet. The Wait given to Append has been registered.
	Waiting bool
}

// Leader tells who leads a partition, for errors that send the client elsewhere (KIP-951).
type Leader struct {
	Broker ids.BrokerID
	Epoch  ids.LeaderEpoch
}

// Fetch is one partition's part of a fetch request.
type Fetch struct {
	Target
	// Current is the leader epoch that the client believes in, or ids.NoLeaderEpoch (KIP-320).
	Current ids.LeaderEpoch
	From    ids.Offset
	// LastFetched is the epoch of the record before From, or ids.NoLeaderEpoch; a contradiction is answered with Diverging (KIP-595).
	LastFetched ids.LeaderEpoch
	// MaxBytes bounds the answer; with MinOne the first batch comes whole even if it is larger (KIP-74).
	MaxBytes int
	MinOne   bool
	// ReadCommitted limits the answer to the last stable offset.
	ReadCommitted bool
}

// Fetched is the answer to a Fetch. All offsets are -1 where the error leaves them unknown.
type Fetched struct {
	Code                                wire.ErrorCode
	HighWatermark, LastStable, LogStart ids.Offset
	// Diverging is set where LastFetched contradicts the log: the largest epoch not above it, and where that epoch ends.
	Diverging *EpochEnd
	Leader    Leader
	// Region is the batches; empty on error, and where there is nothing to read. It must be released.
	Region storage.Region
}

// EpochEnd is the end offset (exclusive) of a leader epoch in a log, as OffsetForLeaderEpoch answers (KIP-101).
type EpochEnd struct {
	Epoch ids.LeaderEpoch
	End   ids.Offset
}

// ListOffset asks for one offset.
type ListOffset struct {
	Target
	Current ids.LeaderEpoch
	// TimestampMs is a time, or one of the special values below.
	TimestampMs   int64
	ReadCommitted bool
}

// Special timestamps of ListOffsets.
const (
	Latest       int64 = -1
	Earliest     int64 = -2
	MaxTimestamp int64 = -3 // KIP-734
)

// ListedOffset is the answer to a ListOffset; -1 everywhere where no record matches.
type ListedOffset struct {
	Code        wire.ErrorCode
	Offset      ids.Offset
	TimestampMs int64
	Epoch       ids.LeaderEpoch // of the record found, not the current one
	// Waiting: the log has records that are not durable yet. The Wait given has been registered, at once flushed for; ask again when it
	// has fired, so that whoever wrote with acks=1 sees his records.
	Waiting bool
}

// TopicSettings is what a topic's configuration means to its partitions.
type TopicSettings struct {
	Log                     storage.LogConfig
	MaxMessageBytes         int  // max.message.bytes
	MinInSyncReplicas       int  // min.insync.replicas
	LogAppendTime           bool // message.timestamp.type
	TimestampBeforeMaxMs    int64
	TimestampAfterMaxMs     int64
	ValidateCompressedBatch bool // ottla.record.validation=full
	// RefuseClients is set for internal topics, to which clients may not produce.
	RefuseClients bool
}
