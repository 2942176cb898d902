package api

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ottla-io/ottla/internal/config"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// AuditEvent is one request that changed something an operator answers for, or tried to, with what became of it. It is told when the
// outcome is known, whether or not the client still waits for it, and before the client hears of it.
type AuditEvent struct {
	API     string
	Version int16
	// Principal is who asked, in Kafka's form.
	Principal string
	ClientID  string
	// SoftwareName and SoftwareVersion are what the client said in ApiVersions, "unknown" if it said nothing.
	SoftwareName, SoftwareVersion string
	// Listener, Host and Port say where the client came from, Connection which connection of this process it was.
	Listener, Host string
	Port           int32
	Connection     uint64
	// Changes are never empty. Omitted is how many more there were of the request.
	Changes []Change
	Omitted int
}

// Change is one thing that was changed, or was not.
type Change struct {
	// Kind is topic, partition, broker, group, feature, cluster, acl or quota; Name says which one: of a partition TOPIC-N, of all brokers "".
	Kind, Name string
	// Before and After are what is worth knowing of it; nil is that it was, or is, not there. After a failure After is nil.
	Before, After State
	Error         wire.ErrorCode
	Message       string
}

// State is some properties of a thing, by name.
type State map[string]string

const (
	// mostChanges and mostProperties bound what one request makes an audit say.
	mostChanges    = 1000
	mostProperties = 100
	// anonymous is everybody, as nobody proves who he is yet.
	anonymous = "User:ANONYMOUS"
	hidden    = "(hidden)"
)

// Mutates tells whether the requests of an API change what an operator answers for, and are told to Deps.Audit: topics, settings,
// partitions, records that are deleted, groups and offsets by others than their members, ACLs, features. Producing, consuming, the
// heartbeats and commits of members are not. known is false for an API about which nothing is said here: say it.
func Mutates(key int16) (yes, known bool) {
	switch key {
	case wire.CreateTopicsKey, wire.DeleteTopicsKey, wire.CreatePartitionsKey, wire.DeleteRecordsKey, wire.AlterConfigsKey, wire.IncrementalAlterConfigsKey,
		wire.DeleteGroupsKey, wire.OffsetDeleteKey, wire.CreateAclsKey, wire.DeleteAclsKey, wire.ElectLeadersKey, wire.AlterPartitionReassignmentsKey,
		wire.UpdateFeaturesKey, wire.AlterClientQuotasKey, wire.AlterReplicaLogDirsKey,
		wire.MetadataKey,     // when it creates a topic
		wire.OffsetCommitKey, // by others than members
		wire.LeaveGroupKey:   // when an administrator removes members
		return true, true
	case wire.ProduceKey, wire.FetchKey, wire.ListOffsetsKey, wire.OffsetFetchKey, wire.FindCoordinatorKey, wire.JoinGroupKey, wire.HeartbeatKey, wire.SyncGroupKey,
		wire.DescribeGroupsKey, wire.ListGroupsKey, wire.ApiVersionsKey, wire.InitProducerIdKey, wire.OffsetForLeaderEpochKey, wire.DescribeAclsKey,
		wire.DescribeConfigsKey, wire.DescribeLogDirsKey, wire.ListPartitionReassignmentsKey, wire.DescribeQuorumKey, wire.DescribeClusterKey,
		wire.DescribeProducersKey, wire.ConsumerGroupHeartbeatKey, wire.ConsumerGroupDescribeKey, wire.ListConfigResourcesKey, wire.DescribeTopicPartitionsKey,
		wire.DescribeClientQuotasKey, wire.DescribeUserScramCredentialsKey, wire.GetTelemetrySubscriptionsKey, wire.PushTelemetryKey:
		return false, true
	}
	return false, false
}

// audit gathers the event of one request. A nil one gathers nothing, so that callers need not ask whether somebody listens.
type audit struct {
	table  *Table
	event  AuditEvent
	before *metadata.Image // when the request came
}

// audit begins the event of a request. The request may be over when the event is told, so all that is needed of it is copied here.
func (t *Table) audit(r *Request) *audit {
	if t.deps.Audit == nil {
		return nil
	}
	a := new(audit)
	a.begin(t, r)
	return a
}

// auditUnless is audit, but nil for a request that only asks whether it would do.
func (t *Table) auditUnless(validateOnly bool, r *Request) *audit {
	if validateOnly {
		return nil
	}
	return t.audit(r)
}

func (a *audit) begin(t *Table, r *Request) {
	c := r.Conn
	*a = audit{table: t, before: t.deps.Cluster.Image(), event: AuditEvent{
		API: wire.APIName(r.Key), Version: r.Version, Principal: anonymous, ClientID: r.ClientID,
		SoftwareName: c.SoftwareName, SoftwareVersion: c.SoftwareVersion, Listener: c.Listener, Host: c.RemoteHost, Port: c.RemotePort, Connection: c.ID,
	}}
}

func (a *audit) add(c Change) {
	if len(a.event.Changes) == mostChanges {
		a.event.Omitted++
		return
	}
	a.event.Changes = append(a.event.Changes, c)
}

// decidedOn tells what the controller decided on, where it says: of changes that were in flight together it knows the order.
func (a *audit) decidedOn(before *metadata.Image) {
	if a != nil && before != nil {
		a.before = before
	}
}

// again is the same for another event of the request, where its parts end one by one.
func (a *audit) again() *audit { return &audit{table: a.table, event: a.event, before: a.before} }

// tell tells the event, if something was to be changed.
func (a *audit) tell() {
	if len(a.event.Changes) > 0 {
		a.table.deps.Audit(a.event)
	}
}

// topicState is what an audit says about a topic; nil if there is none.
func topicState(image *metadata.Image, name string) State {
	topic, ok := image.Topic(name)
	if !ok {
		return nil
	}
	state := State{"topicId": topic.ID.String(), "partitions": strconv.Itoa(len(topic.Partitions))}
	if len(topic.Partitions) > 0 {
		state["replicationFactor"] = strconv.Itoa(len(topic.Partitions[0].Replicas))
	}
	for setting, value := range image.TopicConfig(name) {
		state[setting] = shown(config.Topic, setting, value)
	}
	return state
}

// trashState is what an audit says about a topic in the trash; nil if it is not there.
func trashState(image *metadata.Image, id ids.TopicID) State {
	one, ok := image.Trashed(id)
	if !ok {
		return nil
	}
	return State{"topicId": id.String(), "name": one.Topic.Name, "partitions": strconv.Itoa(len(one.Topic.Partitions)),
		"inTrashUntil": time.UnixMilli(one.UntilMs).UTC().Format(time.RFC3339)}
}

// shown is a setting's value as an audit may show it.
func shown(scope config.Scope, name, value string) string {
	if s, ok := config.Lookup(scope, name); ok && s.Sensitive {
		return hidden
	}
	return value
}

// topicsCreated tells about CreateTopics, and about Metadata that creates.
func (a *audit) topicsCreated(resp *wire.CreateTopicsResponse) {
	if a == nil {
		return
	}
	image := a.table.deps.Cluster.Image()
	for i := range resp.Topics {
		result := &resp.Topics[i]
		c := Change{Kind: "topic", Name: result.Name, Error: result.ErrorCode, Message: result.ErrorMessage.Value}
		if c.Error == wire.ErrorNone {
			c.After = topicState(image, c.Name)
			if topic, ok := image.Topic(c.Name); ok {
				c.Before = trashState(a.before, topic.ID) // it was restored
			}
		} else {
			c.Before = topicState(a.before, c.Name)
		}
		a.add(c)
	}
	a.tell()
}

func (a *audit) topicsDeleted(resp *wire.DeleteTopicsResponse) {
	if a == nil {
		return
	}
	image := a.table.deps.Cluster.Image()
	for i := range resp.Responses {
		result := &resp.Responses[i]
		name, id := result.Name.Value, ids.TopicID(result.TopicId)
		if !result.Name.Valid {
			name = id.String()
		}
		c := Change{Kind: "topic", Name: name, Before: topicState(a.before, name), Error: result.ErrorCode, Message: result.ErrorMessage.Value}
		if topic, ok := a.before.Topic(name); ok {
			id = topic.ID
		} else {
			c.Before = trashState(a.before, id)
		}
		if c.Error == wire.ErrorNone {
			c.After = trashState(image, id)
		}
		a.add(c)
	}
	a.tell()
}

func (a *audit) partitionsCreated(resp *wire.CreatePartitionsResponse) {
	if a == nil {
		return
	}
	image := a.table.deps.Cluster.Image()
	count := func(image *metadata.Image, name string) State {
		if topic, ok := image.Topic(name); ok {
			return State{"partitions": strconv.Itoa(len(topic.Partitions))}
		}
		return nil
	}
	for i := range resp.Results {
		result := &resp.Results[i]
		c := Change{Kind: "topic", Name: result.Name, Before: count(a.before, result.Name), Error: result.ErrorCode, Message: result.ErrorMessage.Value}
		if c.Error == wire.ErrorNone {
			c.After = count(image, c.Name)
		}
		a.add(c)
	}
	a.tell()
}

// configKinds are the words for the types of config resources.
var configKinds = map[int8]string{metadata.ResourceTopic: "topic", metadata.ResourceBroker: "broker", metadata.ResourceGroup: "group", metadata.ResourceClientMetrics: "client-metrics"}

var configScopes = map[int8]config.Scope{metadata.ResourceTopic: config.Topic, metadata.ResourceBroker: config.Broker, metadata.ResourceGroup: config.Group,
	metadata.ResourceClientMetrics: config.ClientMetrics}

// configNames are the settings that a request names, by resource. It is made before the controller owns the request.
func configNames(req *wire.IncrementalAlterConfigsRequest) map[metadata.ConfigResource][]string {
	names := make(map[metadata.ConfigResource][]string, len(req.Resources))
	for i := range req.Resources {
		resource := &req.Resources[i]
		key := metadata.ConfigResource{Type: resource.ResourceType, Name: resource.ResourceName}
		for _, one := range resource.Configs {
			names[key] = append(names[key], one.Name)
		}
	}
	return names
}

// configsAltered tells about the settings that were named; with replace, those that were not may have lost their value, too.
func (a *audit) configsAltered(named map[metadata.ConfigResource][]string, replace bool, resp *wire.IncrementalAlterConfigsResponse) {
	if a == nil {
		return
	}
	image := a.table.deps.Cluster.Image()
	for i := range resp.Responses {
		result := &resp.Responses[i]
		key := metadata.ConfigResource{Type: result.ResourceType, Name: result.ResourceName}
		names := named[key]
		if replace {
			for name := range sorted(a.before.Config(key)) {
				names = append(names, name)
			}
		}
		kind := configKinds[key.Type]
		if kind == "" {
			kind = fmt.Sprintf("resource of type %d", key.Type)
		}
		c := Change{Kind: kind, Name: key.Name, Before: overrides(a.before, key, names), Error: result.ErrorCode, Message: result.ErrorMessage.Value}
		if c.Error == wire.ErrorNone {
			c.After = overrides(image, key, names)
		}
		a.add(c)
	}
	a.tell()
}

// overrides are those of a resource that were named and have a value of their own.
func overrides(image *metadata.Image, key metadata.ConfigResource, names []string) State {
	state := State{}
	values := image.Config(key)
	for _, name := range names {
		if value, ok := values[name]; ok && len(state) < mostProperties {
			state[name] = shown(configScopes[key.Type], name, value)
		}
	}
	return state
}

// featuresUpdated tells about the features that were named, with the request as a whole.
func (a *audit) featuresUpdated(named []string, resp *wire.UpdateFeaturesResponse) {
	if a == nil {
		return
	}
	image := a.table.deps.Cluster.Image()
	refused := make(map[string]*wire.UpdateFeaturesResponseUpdatableFeatureResult, len(resp.Results))
	for i := range resp.Results {
		refused[resp.Results[i].Feature] = &resp.Results[i]
	}
	for _, name := range named {
		c := Change{Kind: "feature", Name: name, Before: levelOf(a.before, name), Error: resp.ErrorCode, Message: resp.ErrorMessage.Value}
		if one := refused[name]; one != nil && one.ErrorCode != wire.ErrorNone {
			c.Error, c.Message = one.ErrorCode, one.ErrorMessage.Value
		}
		if c.Error == wire.ErrorNone {
			c.After = levelOf(image, name)
		}
		a.add(c)
	}
	a.tell()
}

func levelOf(image *metadata.Image, feature string) State {
	return State{"level": strconv.Itoa(int(image.Feature(feature)))}
}

// offsetState is what an audit says about offsets of a group. Past mostProperties it says how many more there are.
func offsetState(offsets []group.Position) State {
	state := State{}
	for i, p := range offsets {
		if i == mostProperties {
			state["more"] = strconv.Itoa(len(offsets) - i)
			break
		}
		state[p.Topic+"-"+strconv.Itoa(int(p.Partition))] = strconv.FormatInt(int64(p.Offset), 10)
	}
	return state
}

// removedByAdmin is how Kafka's AdminClient begins the reason why it has members leave.
const removedByAdmin = "member was removed by an admin"

// removesOthers tells whether the members of a LeaveGroup are taken out by an administrator. A member that leaves says its id.
func removesOthers(req *wire.LeaveGroupRequest) bool {
	for i := range req.Members {
		if m := &req.Members[i]; m.MemberId == "" && m.GroupInstanceId.Valid || strings.HasPrefix(m.Reason.Value, removedByAdmin) {
			return true
		}
	}
	return false
}
