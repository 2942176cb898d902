package api

import (
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/replication"
	"github.com/ottla-io/ottla/internal/wire"
)

// AlterReplicaLogDirs, key 34, versions 1-2. KIP-113: moves partitions between the data directories of this broker. The answer comes when moves have begun:
// DescribeLogDirs shows the copies, as future ones, until they take the place of their originals. Asking for the directory in which a partition lies
// ends its move.
//
// Where we differ from Kafka 4.3.1, on purpose: a restart ends the moves that are under way (Kafka goes on with them), so they must be asked for again.

func (t *Table) alterReplicaLogDirs(r *Request) Outcome {
	var (
		d    wire.Decoder
		req  wire.AlterReplicaLogDirsRequest
		resp wire.AlterReplicaLogDirsResponse
	)
	if err := decode(r, &d, &req); err != nil {
		return hangup(r, err)
	}
	resp.Default()
	audit := t.audit(r)
	at := make(map[string]int) // of topics in the answer
	for i := range req.Dirs {
		path := req.Dirs[i].Path
		for j := range req.Dirs[i].Topics {
			name := req.Dirs[i].Topics[j].Name
			place, ok := at[name]
			if !ok && len(req.Dirs[i].Topics[j].Partitions) > 0 {
				place = len(resp.Results)
				at[name] = place
				resp.Results = append(resp.Results, wire.AlterReplicaLogDirsResponseAlterReplicaLogDirTopicResult{TopicName: name})
			}
			for _, n := range req.Dirs[i].Topics[j].Partitions {
				code := t.deps.Logs.MoveLog(&replication.Target{Topic: name, Partition: n}, path)
				resp.Results[place].Partitions = append(resp.Results[place].Partitions,
					wire.AlterReplicaLogDirsResponseAlterReplicaLogDirPartitionResult{PartitionIndex: n, ErrorCode: code})
				audit.logMoved(ids.TopicPartition{Topic: name, Partition: n}, path, code)
			}
		}
	}
	if audit != nil {
		audit.tell()
	}
	return reply(r, &resp)
}

// logMoved tells that a partition's log is to lie in a directory.
func (a *audit) logMoved(tp ids.TopicPartition, path string, code wire.ErrorCode) {
	if a == nil {
		return
	}
	c := Change{Kind: "partition", Name: tp.String(), Error: code}
	if code == wire.ErrorNone {
		c.After = State{"directory": path}
	}
	a.add(c)
}
