// Package clients drives foreign Kafka clients against a broker in a process of its own and compares, byte for byte, what each writes and
// reads. Clients in Go run inside the test (franz.go, sarama.go); those of other languages are small programs under python/ and java/ that
// speak one line protocol (driver.go); kcat and Kafka's own tools are called as a person would call them.
//
// Everything reads by assignment; groups have a package of their own (../groups).
package clients

import (
	"context"
	"time"
)

// Header is one record header; a nil Value is a null.
type Header struct {
	Key   string `json:"k"`
	Value []byte `json:"v"`
}

// Record is one record as a client writes it (Offset unset) or reads it. Nil key and value are nulls.
type Record struct {
	Partition   int32    `json:"p"`
	Offset      int64    `json:"o"`
	TimestampMs int64    `json:"t"`
	Key         []byte   `json:"k"`
	Value       []byte   `json:"v"`
	Headers     []Header `json:"h"`
}

// From is where a reader begins.
type From struct {
	Kind string // earliest, latest, offset, timestamp
	At   int64  // offset, or milliseconds since 1970
}

// ProduceConfig says how a client writes.
type ProduceConfig struct {
	Topic      string
	Codec      string // none, gzip, snappy, lz4, zstd
	Idempotent bool
}

// RunConfig is a long produce run whose record values are "partition-sequence-padding" and whose keys are null.
type RunConfig struct {
	Topic      string
	Partitions int
	Count      int // records a partition
	Rate       int // records a second in all
	Pad        int // bytes of padding
	Codec      string
	Idempotent bool
}

// Ack is the fate of one record of a run: its offset, or the error that the client gave up with.
type Ack struct {
	Partition int
	Sequence  int
	Offset    int64
	Err       string
}

// Description is what a client's admin and metadata calls say of a topic and its cluster. Configs is nil where the client cannot tell.
type Description struct {
	Partitions int
	Leader     int
	Nodes      int
	Cluster    string
	Configs    map[string]string
}

// Traits are the limits of a client that the suite must respect; the zero value is a client that can do everything.
type Traits struct {
	Codecs         []string
	Librdkafka     bool // is librdkafka inside
	NoIdempotence  bool // has no idempotent producer
	NoTimestamps   bool // writes records with its own clock only
	NoNullHeaders  bool // cannot write or read a header with a null value
	TextOnly       bool // cannot carry arbitrary bytes or tell null from empty
	NoAckOffsets   bool // does not tell offsets of what it wrote
	NoAdmin        bool // cannot create or delete topics
	NoMaxTimestamp bool // cannot ask for the offset of the largest timestamp
	NoConfigs      bool // cannot describe configs
	NoRun          bool // cannot report each acknowledgement of a long run
}

// Client is one foreign client.
type Client interface {
	Name() string
	Traits() Traits
	// Produce writes the records in order and returns the offset of each (nil with NoAckOffsets).
	Produce(ctx context.Context, cfg ProduceConfig, records []Record) ([]int64, error)
	// Run writes a long run and calls ack for each record as its fate is known, from one goroutine at a time.
	Run(ctx context.Context, cfg RunConfig, ack func(Ack)) error
	// Consume reads count records of a partition by assignment; ready is called once with the position it begins at (-1 if the client cannot tell).
	Consume(ctx context.Context, topic string, partition int32, from From, count int, ready func(position int64)) ([]Record, error)
	// Offsets answers ListOffsets for each at: -1 latest, -2 earliest, -3 largest timestamp, else milliseconds.
	Offsets(ctx context.Context, topic string, partition int32, ats []int64) ([]int64, error)
	CreateTopic(ctx context.Context, topic string, partitions, replicas int, configs map[string]string) error
	DeleteTopic(ctx context.Context, topic string) error
	ListTopics(ctx context.Context) ([]string, error)
	DescribeTopic(ctx context.Context, topic string) (Description, error)
	Close()
}

// timeout of one operation of a client.
const timeout = 60 * time.Second

var allCodecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}
