package api

import (
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/controller"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/telemetry"
	"github.com/ottla-io/ottla/internal/wire"
)

// Partitions is what Produce and Fetch need of the data plane. All methods may be called from any goroutine, none blocks
// on a disk sync or on another broker, and none of them allocates on the steady path.
type Partitions interface {
	// Produce validates and appends one partition's records and fills res at once. With acks=-1, no error, and a watermark
	// that has not passed the batch, it also registers w and returns true: w fires when the watermark has passed the
	// batch, or with the error that ended the wait; it may wait for ever unless Flush is called. Otherwise w is untouched. After an acks=-1 wait in which the ISR
	// shrank below min.insync.replicas, w.Error is NOT_ENOUGH_REPLICAS_AFTER_APPEND.
	Produce(q *replication.ProduceQuery, res *replication.Produced, w *replication.Waiter) (waiting bool)
	// Fetch looks at one partition.
	Fetch(q *replication.FetchQuery, res *replication.Fetched)
	// Watch registers w to be fired when the partition's high watermark differs from seen, or when a Fetch of it would now
	// be answered with another error than before (leadership, epoch, deletion, storage). It asks for a flush, as somebody
	// waits now. It returns false, without registering, if that is already so, if the log start differs from seen, or if
	// the partition is not led here.
	Watch(target *replication.Target, seen replication.Seen, w *replication.Waiter) bool
	// Unwatch takes back a registration (also Produce's and ListOffset's) and reports whether it did; false means that w
	// has been fired, or is about to be.
	Unwatch(w *replication.Waiter) bool
	// Flush starts to make durable what was produced so far. It does not wait.
	Flush()
}

// Offsets is what ListOffsets and OffsetForLeaderEpoch need of the data plane.
type Offsets interface {
	// ListOffset fills res. Where the answer depends on the watermark and appended records wait for nothing but a flush,
	// it may instead ask for the flush, register w and return true; when w has fired the caller asks again with a nil w,
	// which always answers at once.
	ListOffset(q *replication.OffsetQuery, res *replication.FoundOffset, w *replication.Waiter) (waiting bool)
	// EpochEnd fills res.
	EpochEnd(q *replication.EpochQuery, res *replication.EpochEnd)
}

// Deletions is what DeleteRecords needs of the data plane.
type Deletions interface {
	// DeleteRecords returns at once; done is called exactly once, from any goroutine, with the outcomes in the order of the queries,
	// also within the call. No partition is named twice.
	DeleteRecords(queries []replication.DeletionQuery, done func([]replication.Deleted))
}

// Controller is what requests need of the cluster's controller. Each call returns at once; done is called exactly once,
// from any goroutine, after the outcome is committed and Cluster.Image shows it (also within the call). It must not block.
// Requests and responses have the newest version's fields and belong to the receiver. What is to be created or deleted is
// asked for by allow, on any goroutine, unless it is nil.
type Controller interface {
	CreateTopics(req *wire.CreateTopicsRequest, allow controller.Allow, done func(*wire.CreateTopicsResponse))
	DeleteTopics(req *wire.DeleteTopicsRequest, allow controller.Allow, done func(*wire.DeleteTopicsResponse))
	CreatePartitions(req *wire.CreatePartitionsRequest, allow controller.Allow, done func(*wire.CreatePartitionsResponse))
	// AlterConfigs changes settings. With replace, all operations are SET, and what is not named loses its value. done also gets what
	// the controller decided on, for the audit; nil if it did not come to that.
	AlterConfigs(req *wire.IncrementalAlterConfigsRequest, replace bool, done func(resp *wire.IncrementalAlterConfigsResponse, before *metadata.Image))
	UpdateFeatures(req *wire.UpdateFeaturesRequest, done func(*wire.UpdateFeaturesResponse))
	AlterClientQuotas(req *wire.AlterClientQuotasRequest, done func(*wire.AlterClientQuotasResponse))
	// AllocateProducerIDs hands out a block of ids that nobody ever had: first … first+count-1, count > 0 unless code is
	// an error.
	AllocateProducerIDs(done func(first ids.ProducerID, count int32, code wire.ErrorCode))
}

// Logs is what an operator may ask of the logs here.
type Logs interface {
	// Directories are the data directories and the logs in each.
	Directories() []replication.Directory
	// TrashBytes are the bytes here of each topic in the trash.
	TrashBytes() map[ids.TopicID]int64
	// MoveLog begins to move a partition's log to the directory of that path, or ends a move if it lies there. It does not wait.
	MoveLog(target *replication.Target, path string) wire.ErrorCode
	// Producers are the producers that the leader of a partition remembers, by id.
	Producers(target *replication.Target) ([]producerstate.Producer, wire.ErrorCode)
}

// Groups is what requests need of the coordinators of groups: one for each partition of __consumer_offsets that this broker leads.
// All methods may be called from any goroutine and return at once.
type Groups interface {
	// Coordinator is the broker that coordinates a group. Its first call makes __consumer_offsets; until that is there, and while
	// the group's partition has no leader, the answer is COORDINATOR_NOT_AVAILABLE.
	Coordinator(group string) (ids.BrokerID, wire.ErrorCode)
	// For is this broker's coordinator of a group; nil with NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS or
	// COORDINATOR_NOT_AVAILABLE. Groups of one partition get one that compares equal.
	For(group string) (GroupCoordinator, wire.ErrorCode)
	// All are this broker's coordinators that are loaded, and code is COORDINATOR_LOAD_IN_PROGRESS if more are being loaded.
	All() (loaded []GroupCoordinator, code wire.ErrorCode)
}

// GroupCoordinator runs the machine of one partition's groups: machine.Submit and machine.SubmitLater over its Runtime. Each done
// is called exactly once, from any goroutine, also within the call; it must not block.
type GroupCoordinator interface {
	// Submit has decide look at the machine, or change it by the records that it returns; done follows when all that the
	// machine held then is committed. With an error the command may or may not have happened.
	Submit(decide func(m *group.Machine, at machine.Moment) []machine.Record, done func(error))
	// SubmitLater is the same for commands whose answer waits for other members: done follows after answered was called, by
	// decide or by what the machine does later, always on its goroutine and once.
	SubmitLater(decide func(m *group.Machine, at machine.Moment, answered func()) []machine.Record, done func(error))
}

// Telemetry is what requests need of what is known of clients' metrics (KIP-714). now is Env.Monotonic().
type Telemetry interface {
	// Subscribe tells a client what to push; it makes an id for one that has none.
	Subscribe(from *telemetry.Client, instance ids.UUID, now time.Duration) (telemetry.Subscription, wire.ErrorCode)
	// Push takes a client's metrics. It keeps nothing of the push's bytes.
	Push(from *telemetry.Client, p *telemetry.Push, now time.Duration) wire.ErrorCode
}

// Cluster is the current state of the cluster as this broker knows it.
type Cluster interface {
	Image() *metadata.Image
}

// Deps is all that the handlers need.
type Deps struct {
	Env        run.Env
	Partitions Partitions
	Offsets    Offsets
	Logs       Logs
	Deletions  Deletions
	Controller Controller
	Groups     Groups
	Telemetry  Telemetry
	Cluster    Cluster
	Quotas     *Quotas // nil: nothing is limited
	Settings   Settings
	// Audit, if set, is told of every change that a client asked for. It is called from any goroutine, with no lock held, and must not block.
	Audit func(AuditEvent)
}

// Settings are the broker settings that handlers obey. They don't change while the broker runs.
type Settings struct {
	NodeID    ids.BrokerID
	ClusterID string
	// Static gives the broker's settings from file, environment and flags, for DescribeConfigs; nil is none. Any goroutine may call it.
	Static func() map[string]string
	// Advertised is what clients of a listener are told about this broker (advertised.listeners). A listener without an
	// entry advertises the address at which each of its clients reached it.
	Advertised map[string]Address
	// RequestMaxBytes is socket.request.max.bytes.
	RequestMaxBytes int32
	// FetchMaxBytes is fetch.max.bytes, at least 1,024.
	FetchMaxBytes int32
	// FetchSessionSlots is max.incremental.fetch.session.cache.slots; 0 turns fetch sessions off.
	FetchSessionSlots int
	// DescribePartitionsLimit is max.request.partition.size.limit (KIP-966).
	DescribePartitionsLimit int
	// TelemetryMaxBytes is telemetry.max.bytes.
	TelemetryMaxBytes int32
	AutoCreateTopics  bool // auto.create.topics.enable
	DeleteTopics      bool // delete.topic.enable
}

// Address is where a broker is reached.
type Address struct {
	Host string
	Port int32
}
