package parity

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var adminScenarios = []scenario{
	{"acls", acls},
	{"describe-log-dirs", describeLogDirs},
	{"alter-replica-log-dirs", alterReplicaLogDirs},
	{"describe-producers", describeProducers},
	{"describe-quorum", describeQuorum},
	{"list-config-resources", listConfigResources},
	{"elect-leaders", electLeaders},
	{"alter-partition-reassignments", alterPartitionReassignments},
}

func acls(s *session) {
	for v := int16(1); v <= 3; v++ {
		describe := kmsg.NewPtrDescribeACLsRequest()
		describe.ResourceType, describe.Operation, describe.PermissionType = kmsg.ACLResourceTypeAny, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
		s.send("describe", v, describe)
		s.send("describe nothing that is", v, kmsg.NewPtrDescribeACLsRequest())
		for n := range 3 {
			create, remove := kmsg.NewPtrCreateACLsRequest(), kmsg.NewPtrDeleteACLsRequest()
			for range n {
				c := kmsg.NewCreateACLsRequestCreation()
				c.ResourceType, c.ResourceName, c.Principal, c.Host = kmsg.ACLResourceTypeTopic, "t", "User:ann", "*"
				c.Operation, c.PermissionType, c.ResourcePatternType = kmsg.ACLOperationRead, kmsg.ACLPermissionTypeAllow, kmsg.ACLResourcePatternTypeLiteral
				create.Creations = append(create.Creations, c)
				f := kmsg.NewDeleteACLsRequestFilter()
				f.ResourceType, f.Operation, f.PermissionType, f.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny, kmsg.ACLResourcePatternTypeAny
				remove.Filters = append(remove.Filters, f)
			}
			s.send(fmt.Sprintf("create %d", n), v, create)
			s.send(fmt.Sprintf("delete %d", n), v, remove)
		}
	}
}

func dirsReq(topics ...string) *kmsg.DescribeLogDirsRequest {
	req := kmsg.NewPtrDescribeLogDirsRequest()
	req.Topics = []kmsg.DescribeLogDirsRequestTopic{}
	for _, name := range topics {
		t := kmsg.NewDescribeLogDirsRequestTopic()
		t.Topic, t.Partitions = name, []int32{0, 1, 7}
		req.Topics = append(req.Topics, t)
	}
	return req
}

func describeLogDirs(s *session) {
	s.topic("dirs-one", 1)
	s.topic("dirs-two", 2)
	for v := int16(1); v <= 4; v++ { // franz-go knows no 5
		s.send("one", v, dirsReq("dirs-one"))
		s.send("two", v, dirsReq("dirs-two", "dirs-one"))
		s.send("nobody", v, dirsReq("dirs-nobody"))
		s.send("twice", v, dirsReq("dirs-one", "dirs-one"))
		s.send("none", v, dirsReq())
	}
}

// alterReplicaLogDirs asks a broker that has one directory.
func alterReplicaLogDirs(s *session) {
	s.topic("dirs-moved", 2)
	described := s.quiet(4, dirsReq("dirs-moved")).(*kmsg.DescribeLogDirsResponse)
	ours := described.Dirs[0].Dir
	type wish struct {
		dir, topic string
		partitions []int32
	}
	send := func(what string, wishes ...wish) {
		for v := int16(1); v <= 2; v++ {
			req := kmsg.NewPtrAlterReplicaLogDirsRequest()
			for _, w := range wishes {
				d := kmsg.NewAlterReplicaLogDirsRequestDir()
				t := kmsg.NewAlterReplicaLogDirsRequestDirTopic()
				d.Dir, t.Topic, t.Partitions = w.dir, w.topic, w.partitions
				d.Topics = append(d.Topics, t)
				req.Dirs = append(req.Dirs, d)
			}
			s.send(what, v, req)
		}
	}
	send("nothing")
	send("no partitions", wish{ours, "dirs-moved", nil})
	send("where it is", wish{ours, "dirs-moved", []int32{0, 1}})
	send("partitions that are not there", wish{ours, "dirs-moved", []int32{1, 2, -1}})
	send("a topic that is not there", wish{ours, "dirs-nobody", []int32{0}})
	send("a topic without name", wish{ours, "", []int32{0}})
	send("to nowhere", wish{"/nowhere", "dirs-moved", []int32{0, 7}})
	send("nobody to nowhere", wish{"/nowhere", "dirs-nobody", []int32{0}})
	send("to a directory without name", wish{"", "dirs-moved", []int32{0}})
	send("to a relative directory", wish{"nowhere", "dirs-moved", []int32{0}})
	send("to two places", wish{ours, "dirs-moved", []int32{0}}, wish{"/nowhere", "dirs-moved", []int32{1}})
	s.send("described after all", 4, dirsReq("dirs-moved"))
}

func describeProducers(s *session) {
	s.topic("producing", 2)
	req := func(names ...string) *kmsg.DescribeProducersRequest {
		req := kmsg.NewPtrDescribeProducersRequest()
		for _, name := range names {
			t := kmsg.NewDescribeProducersRequestTopic()
			t.Topic, t.Partitions = name, []int32{0, 1, 2, -1}
			req.Topics = append(req.Topics, t)
		}
		return req
	}
	s.send("nobody produced", 0, req("producing"))
	s.produceAs("producing", 0, 4242, 3, 0)
	s.produceAs("producing", 0, 4242, 3, 2)
	s.produceAs("producing", 0, 4241, 0, 7)
	s.send("two did", 0, req("producing"))
	s.send("unknown", 0, req("nobody", "a b", ""))
	s.send("twice", 0, req("producing", "producing"))
	s.send("none", 0, req())
}

func describeQuorum(s *session) {
	for v := int16(0); v <= 2; v++ {
		req := func(topics ...string) *kmsg.DescribeQuorumRequest {
			req := kmsg.NewPtrDescribeQuorumRequest()
			for _, name := range topics {
				t := kmsg.NewDescribeQuorumRequestTopic()
				t.Topic = name
				p := kmsg.NewDescribeQuorumRequestTopicPartition()
				t.Partitions = append(t.Partitions, p)
				req.Topics = append(req.Topics, t)
			}
			return req
		}
		s.send("metadata", v, req("__cluster_metadata"))
		s.send("another topic", v, req("nobody"))
		s.send("no topic", v, req())
		s.send("two topics", v, req("__cluster_metadata", "__cluster_metadata"))
		other := req("__cluster_metadata")
		other.Topics[0].Partitions[0].Partition = 1
		s.send("another partition", v, other)
	}
}

func listConfigResources(s *session) {
	s.topic("with-settings", 1)
	for v := int16(0); v <= 1; v++ {
		for _, types := range [][]int8{nil, {2}, {4}, {8}, {16}, {32}, {4, 8}, {2, 2}, {0}, {1}, {2, 3}, {-1}, {64}} {
			req := kmsg.NewPtrListConfigResourcesRequest()
			req.ResourceTypes = types
			if v == 0 && types != nil {
				continue
			}
			s.send(fmt.Sprintf("types %v", types), v, req)
		}
	}
}

func electLeaders(s *session) {
	s.topic("elected", 2)
	for v := int16(0); v <= 2; v++ {
		for _, kind := range []int8{0, 1, 2, -1} {
			if v == 0 && kind != 0 {
				continue
			}
			req := func(names ...string) *kmsg.ElectLeadersRequest {
				req := kmsg.NewPtrElectLeadersRequest()
				req.ElectionType, req.TimeoutMillis = kind, 5000
				req.Topics = []kmsg.ElectLeadersRequestTopic{}
				for _, name := range names {
					t := kmsg.NewElectLeadersRequestTopic()
					t.Topic, t.Partitions = name, []int32{0, 1, 2}
					req.Topics = append(req.Topics, t)
				}
				return req
			}
			s.send(fmt.Sprintf("type %d", kind), v, req("elected"))
			s.send(fmt.Sprintf("type %d, unknown", kind), v, req("nobody", ""))
			s.send(fmt.Sprintf("type %d, none", kind), v, req())
			s.send(fmt.Sprintf("type %d, twice", kind), v, req("elected", "elected"))
		}
	}
}

func alterPartitionReassignments(s *session) {
	s.topic("moved", 2)
	for v := int16(0); v <= 1; v++ {
		for _, allow := range []bool{true, false} {
			if v == 0 && !allow {
				continue
			}
			req := func(name string, partition int32, replicas []int32) *kmsg.AlterPartitionAssignmentsRequest {
				req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
				req.AllowReplicationFactorChange = allow
				t := kmsg.NewAlterPartitionAssignmentsRequestTopic()
				t.Topic = name
				p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
				p.Partition, p.Replicas = partition, replicas
				t.Partitions = append(t.Partitions, p)
				req.Topics = append(req.Topics, t)
				return req
			}
			for _, replicas := range [][]int32{nil, {}, {1}, {2}, {1, 2}, {1, 1}, {-1}, {2, 2}} {
				name := fmt.Sprintf("to %v", replicas)
				if replicas == nil {
					name = "cancel"
				}
				if !allow {
					name += ", same factor"
				}
				s.send(name, v, req("moved", 0, replicas))
			}
			s.send(fmt.Sprintf("unknown partition, %v", allow), v, req("moved", 2, []int32{1}))
			s.send(fmt.Sprintf("negative partition, %v", allow), v, req("moved", -1, []int32{1}))
			s.send(fmt.Sprintf("unknown topic, %v", allow), v, req("nobody", 0, []int32{1}))
			s.send(fmt.Sprintf("empty topic, %v", allow), v, req("", 0, nil))
			s.send(fmt.Sprintf("nothing, %v", allow), v, kmsg.NewPtrAlterPartitionAssignmentsRequest())
		}
	}
}
