package api

import (
	"fmt"
	"strconv"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/wire"
)

// What is answered at once, as it changes nothing on one broker: elections, reassignments and ACLs. Who tried is worth knowing.

func (a *audit) elected(req *wire.ElectLeadersRequest, resp *wire.ElectLeadersResponse) {
	if a == nil {
		return
	}
	if req.TopicPartitions == nil || resp.ErrorCode != wire.ErrorNone {
		a.add(Change{Kind: "cluster", Name: "elections of leaders of all partitions", Error: resp.ErrorCode})
	}
	for i := range resp.ReplicaElectionResults {
		topic := &resp.ReplicaElectionResults[i]
		for _, p := range topic.PartitionResult {
			a.add(a.partition(topic.Topic, p.PartitionId, "leader", p.ErrorCode, p.ErrorMessage.Value))
		}
	}
	a.tell()
}

func (a *audit) reassigned(resp *wire.AlterPartitionReassignmentsResponse) {
	if a == nil {
		return
	}
	for i := range resp.Responses {
		topic := &resp.Responses[i]
		for _, p := range topic.Partitions {
			a.add(a.partition(topic.Name, p.PartitionIndex, "replicas", p.ErrorCode, p.ErrorMessage.Value))
		}
	}
	a.tell()
}

// partition is a change of a partition's leader or replicas, by its state before and now.
func (a *audit) partition(topic string, index int32, property string, code wire.ErrorCode, message string) Change {
	tp := ids.TopicPartition{Topic: topic, Partition: index}
	c := Change{Kind: "partition", Name: tp.String(), Error: code, Message: message}
	p, ok := a.before.Partition(tp)
	if !ok {
		return c
	}
	value := strconv.Itoa(int(p.Leader))
	if property == "replicas" {
		value = fmt.Sprint(brokers(p.Replicas))
	}
	c.Before = State{property: value}
	if code == wire.ErrorNone {
		c.After = c.Before
	}
	return c
}

func (a *audit) aclsCreated(req *wire.CreateAclsRequest, resp *wire.CreateAclsResponse) {
	if a == nil {
		return
	}
	for i := range resp.Results {
		acl := &req.Creations[i]
		a.add(Change{Kind: "acl", Name: aclName(acl.Principal, acl.Host, acl.ResourceType, acl.ResourceName, acl.Operation),
			Error: resp.Results[i].ErrorCode, Message: resp.Results[i].ErrorMessage.Value})
	}
	a.tell()
}

func (a *audit) aclsDeleted(req *wire.DeleteAclsRequest, resp *wire.DeleteAclsResponse) {
	if a == nil {
		return
	}
	for i := range resp.FilterResults {
		f := &req.Filters[i]
		a.add(Change{Kind: "acl", Name: aclName(f.PrincipalFilter.Value, f.HostFilter.Value, f.ResourceTypeFilter, f.ResourceNameFilter.Value, f.Operation),
			Error: resp.FilterResults[i].ErrorCode, Message: resp.FilterResults[i].ErrorMessage.Value})
	}
	a.tell()
}

// aclName is an ACL, or a filter of them, in one line. An empty part of a filter is any.
func aclName(principal, host string, kind int8, name string, operation int8) string {
	words := func(all []string, n int8) string {
		if n < 0 || int(n) >= len(all) {
			return strconv.Itoa(int(n))
		}
		return all[n]
	}
	parts := []string{principal, host, words(aclOperations, operation), words(aclResources, kind), name}
	for i := range parts {
		if parts[i] == "" {
			parts[i] = "ANY"
		}
	}
	return fmt.Sprintf("%s from %s: %s on %s %s", parts[0], parts[1], parts[2], parts[3], parts[4])
}

// The words of Kafka's AclOperation and ResourceType, by their codes.
var (
	aclOperations = []string{"UNKNOWN", "ANY", "ALL", "READ", "WRITE", "CREATE", "DELETE", "ALTER", "DESCRIBE", "CLUSTER_ACTION", "DESCRIBE_CONFIGS", "ALTER_CONFIGS",
		"IDEMPOTENT_WRITE", "CREATE_TOKENS", "DESCRIBE_TOKENS", "TWO_PHASE_COMMIT"}
	aclResources = []string{"UNKNOWN", "ANY", "TOPIC", "GROUP", "CLUSTER", "TRANSACTIONAL_ID", "DELEGATION_TOKEN", "USER"}
)
