package api

import (
	"sync"

	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

// Table is the dispatch table: what is served, and nothing else is advertised.
type Table struct {
	deps      Deps
	waits     run.Env // has the timers of requests that wait often: they are coarse
	entries   []Entry
	byKey     [128]int8 // index in entries + 1; 0 is not served
	produce   produceHandler
	fetch     fetchHandler
	producers producerIDs

	commits    sync.Pool // of *commitRequest
	heartbeats sync.Pool // of *heartbeatRequest
}

// smallBody bounds requests that carry no records: 1 MiB names some ten thousand topics. Larger ones come from nobody who
// means it, and their decoded form would be many times that.
const smallBody = 1 << 20

// NewTable makes the handlers.
func NewTable(deps Deps) *Table {
	t := &Table{deps: deps, waits: run.Coarse(deps.Env)}
	t.produce.init(&t.deps)
	t.fetch.init(&t.deps, t.waits)
	t.producers.init(&t.deps)
	large := deps.Settings.RequestMaxBytes
	t.entries = []Entry{
		//                                            Min Max  advertised  largest request    handler
		{wire.ProduceKey, 3, 13, 0, large, t.produce.handle},
		{wire.FetchKey, 4, 18, 4, 16 * smallBody, t.fetch.handle},
		{wire.ListOffsetsKey, 1, 11, 1, 16 * smallBody, t.listOffsets},
		{wire.MetadataKey, 0, 13, 0, 16 * smallBody, t.metadata},
		{wire.OffsetCommitKey, 2, 10, 2, 16 * smallBody, t.offsetCommit},
		{wire.OffsetFetchKey, 1, 10, 1, 16 * smallBody, t.offsetFetch},
		{wire.FindCoordinatorKey, 0, 6, 0, smallBody, t.findCoordinator},
		{wire.JoinGroupKey, 0, 9, 0, 16 * smallBody, t.joinGroup},
		{wire.HeartbeatKey, 0, 4, 0, smallBody, t.heartbeat},
		{wire.LeaveGroupKey, 0, 5, 0, smallBody, t.leaveGroup},
		{wire.SyncGroupKey, 0, 5, 0, 16 * smallBody, t.syncGroup},
		{wire.DescribeGroupsKey, 0, 6, 0, smallBody, t.describeGroups},
		{wire.ListGroupsKey, 0, 5, 0, smallBody, t.listGroups},
		{wire.ApiVersionsKey, 0, 4, 0, smallBody, t.apiVersions},
		{wire.CreateTopicsKey, 2, 7, 2, 16 * smallBody, t.createTopics},
		{wire.DeleteTopicsKey, 1, 6, 1, 16 * smallBody, t.deleteTopics},
		{wire.DeleteRecordsKey, 0, 2, 0, 16 * smallBody, t.deleteRecords},
		{wire.InitProducerIdKey, 0, 5, 0, smallBody, t.initProducerID},
		{wire.OffsetForLeaderEpochKey, 2, 4, 2, 16 * smallBody, t.offsetForLeaderEpoch},
		{wire.DescribeAclsKey, 1, 3, 1, smallBody, t.describeACLs},
		{wire.CreateAclsKey, 1, 3, 1, smallBody, t.createACLs},
		{wire.DeleteAclsKey, 1, 3, 1, smallBody, t.deleteACLs},
		{wire.DescribeConfigsKey, 1, 4, 1, 16 * smallBody, t.describeConfigs},
		{wire.AlterConfigsKey, 0, 2, 0, 16 * smallBody, t.alterConfigs},
		{wire.AlterReplicaLogDirsKey, 1, 2, 1, 16 * smallBody, t.alterReplicaLogDirs},
		{wire.DescribeLogDirsKey, 1, 5, 1, 16 * smallBody, t.describeLogDirs},
		{wire.CreatePartitionsKey, 0, 3, 0, 16 * smallBody, t.createPartitions},
		{wire.DeleteGroupsKey, 0, 2, 0, smallBody, t.deleteGroups},
		{wire.ElectLeadersKey, 0, 2, 0, 16 * smallBody, t.electLeaders},
		{wire.IncrementalAlterConfigsKey, 0, 1, 0, 16 * smallBody, t.incrementalAlterConfigs},
		{wire.AlterPartitionReassignmentsKey, 0, 1, 0, 16 * smallBody, t.alterPartitionReassignments},
		{wire.ListPartitionReassignmentsKey, 0, 0, 0, 16 * smallBody, t.listPartitionReassignments},
		{wire.OffsetDeleteKey, 0, 0, 0, 16 * smallBody, t.offsetDelete},
		{wire.DescribeClientQuotasKey, 0, 1, 0, smallBody, t.describeClientQuotas},
		{wire.AlterClientQuotasKey, 0, 1, 0, 16 * smallBody, t.alterClientQuotas},
		{wire.DescribeUserScramCredentialsKey, 0, 0, 0, smallBody, t.describeUserScramCredentials},
		{wire.DescribeQuorumKey, 0, 2, 0, smallBody, t.describeQuorum},
		{wire.UpdateFeaturesKey, 0, 2, 0, smallBody, t.updateFeatures},
		{wire.DescribeClusterKey, 0, 2, 0, smallBody, t.describeCluster},
		{wire.DescribeProducersKey, 0, 0, 0, smallBody, t.describeProducers},
		{wire.ConsumerGroupHeartbeatKey, 0, 1, 0, 16 * smallBody, t.consumerGroupHeartbeat},
		{wire.ConsumerGroupDescribeKey, 0, 1, 0, smallBody, t.consumerGroupDescribe},
		{wire.GetTelemetrySubscriptionsKey, 0, 0, 0, smallBody, t.getTelemetrySubscriptions},
		{wire.PushTelemetryKey, 0, 0, 0, int32(min(int64(large), smallBody+int64(deps.Settings.TelemetryMaxBytes))), t.pushTelemetry},
		{wire.ListConfigResourcesKey, 0, 1, 0, smallBody, t.listConfigResources},
		{wire.DescribeTopicPartitionsKey, 0, 0, 0, 16 * smallBody, t.describeTopicPartitions},
	}
	for i := range t.entries {
		t.byKey[t.entries[i].Key] = int8(i + 1)
		t.entries[i].Handle = t.metered(t.entries[i].Handle)
	}
	return t
}

// Lookup finds the entry of an ApiKey.
func (t *Table) Lookup(key int16) (*Entry, bool) {
	if key < 0 || int(key) >= len(t.byKey) || t.byKey[key] == 0 {
		return nil, false
	}
	return &t.entries[t.byKey[key]-1], true
}

// EndOfRead starts one flush for all that the requests of a connection's read appended, so that many requests in flight share it
// (the Produce walk of the design).
func (t *Table) EndOfRead(c *Conn) {
	if c.flush {
		c.flush = false
		t.deps.Partitions.Flush()
	}
}

// Close ends what the handlers keep registered with partitions between requests: fetch sessions.
func (t *Table) Close() { t.fetch.sessions.close() }
