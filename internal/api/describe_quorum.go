package api

import (
	"github.com/ottla-io/ottla/internal/wire"
)

// DescribeQuorum, key 55, versions 0-2. KIP-595, KIP-836 (times, v1), KIP-853 (directories and addresses, v2): the one node is the quorum's
// leader and only voter, and up to date. Kafka names its controller listener; there is none here, as the controller is reached through the broker's.

// metadataTopic is the quorum's log.
const metadataTopic = "__cluster_metadata"

func (t *Table) describeQuorum(r *Request) Outcome {
	var (
		d    wire.Decoder
		req  wire.DescribeQuorumRequest
		resp wire.DescribeQuorumResponse
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	resp.Default()
	// As in Kafka, the request must ask for exactly the one partition there is.
	alone := len(req.Topics) == 1 && len(req.Topics[0].Partitions) == 1
	found := false
	for i := range req.Topics {
		to := wire.DescribeQuorumResponseTopicData{TopicName: req.Topics[i].TopicName}
		for _, p := range req.Topics[i].Partitions {
			answer := wire.DescribeQuorumResponsePartitionData{PartitionIndex: p.PartitionIndex, ErrorMessage: wire.SomeString("")}
			if alone && to.TopicName == metadataTopic && p.PartitionIndex == 0 {
				found = true
				t.describeVoters(&answer)
			} else {
				answer.ErrorCode = wire.ErrorUnknownTopicOrPartition
				answer.ErrorMessage = wire.SomeString(wire.ErrorUnknownTopicOrPartition.Message())
			}
			to.Partitions = append(to.Partitions, answer)
		}
		resp.Topics = append(resp.Topics, to)
	}
	resp.ErrorMessage = wire.SomeString("")
	if found {
		self := t.view(r).self()
		resp.Nodes = []wire.DescribeQuorumResponseNode{{NodeId: int32(t.deps.Settings.NodeID), Listeners: []wire.DescribeQuorumResponseListener{
			{Name: r.Conn.Listener, Host: self.Host, Port: uint16(self.Port)}}}}
	}
	return reply(r, &resp)
}

// describeVoters fills in the quorum of one: what it has committed is all that it has.
func (t *Table) describeVoters(p *wire.DescribeQuorumResponsePartitionData) {
	image := t.deps.Cluster.Image()
	now := t.deps.Env.Now().UnixMilli()
	self := int32(t.deps.Settings.NodeID)
	p.LeaderId, p.LeaderEpoch, p.HighWatermark = self, int32(image.Epoch()), int64(image.End())
	p.CurrentVoters = []wire.DescribeQuorumResponseReplicaState{{ReplicaId: self, LogEndOffset: int64(image.End()),
		LastFetchTimestamp: now, LastCaughtUpTimestamp: now}}
}
