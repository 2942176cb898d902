package inspect

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/controller"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/wire"
)

// knownFeatures are the features of Kafka 4.3.1 and their highest levels. The state that they add is in logs that are kept as they are.
var knownFeatures = map[string]int16{
	"transaction.version": 2, "group.version": 1, "eligible.leader.replicas.version": 1, "share.version": 1, "streams.version": 1,
}

// clusterState is what the metadata's records say, as far as adoption asks.
type clusterState struct {
	image  *metadata.Image
	voters []ids.BrokerID    // of the last record that tells
	acls   map[wire.UUID]int // ids of access control entries
	scram  map[string]int
}

// metadata reads the newest snapshot and the log behind it, and judges the cluster that they describe.
func (a *adopter) metadata() error {
	state := &clusterState{image: metadata.Empty(), acls: make(map[wire.UUID]int), scram: make(map[string]int)}
	if err := a.loadMetadata(state); err != nil {
		return &Refusal{path.Dir(a.metadataDir), err.Error()}
	}
	if err := a.soleVoter(state.voters); err != nil {
		return err
	}
	if sentence := a.judge(state); sentence != "" {
		return &Refusal{path.Dir(a.metadataDir), sentence}
	}
	a.ScramUsers = len(state.scram)
	a.OnlyMetadata = a.onlyMetadata(state.image)
	a.compare(state.image)
	return nil
}

// loadMetadata fills state. A tail that cannot be read is recovery's to judge: it is cut if it was never durable, else refused.
func (a *adopter) loadMetadata(state *clusterState) error {
	entries, err := a.fsys.List(a.metadataDir)
	if err != nil {
		return err
	}
	var newest machine.SnapshotID
	var name string
	var logs []string
	for _, e := range entries { // sorted by name, and so by offset
		if id, ok := machine.ParseSnapshotName(e.Name); ok {
			newest, name = id, path.Join(a.metadataDir, e.Name)
		}
		if _, ok := baseOf(e.Name); ok && kindOf(e.Name) == kindLog && !transition(e.Name) {
			logs = append(logs, path.Join(a.metadataDir, e.Name))
		}
	}
	if name != "" {
		err := a.eachBatch(name, func(b record.Batch) error { return state.apply(b, newest.End, newest.Epoch) })
		if err != nil {
			return err
		}
	}
	for _, log := range logs {
		err := a.eachBatch(log, func(b record.Batch) error {
			if b.NextOffset() <= state.image.End() {
				return nil
			}
			return state.apply(b, b.NextOffset(), b.LeaderEpoch())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *adopter) eachBatch(name string, visit func(record.Batch) error) error {
	in, err := openScanner(a.fsys, name)
	if err != nil {
		return err
	}
	defer in.close()
	for {
		b, position, err := in.next()
		if err == io.EOF || errors.Is(err, record.ErrCorrupt) || errors.Is(err, record.ErrTruncated) || err == nil && b.CRC() != b.ComputeCRC() {
			return nil
		}
		if err != nil {
			return fmt.Errorf("its %s cannot be read (%w)", name, err)
		}
		if err := visit(b); err != nil {
			return fmt.Errorf("its metadata has a record that this version does not know (%s position %d: %w); it comes from a Kafka later than 4.3.1, or is damaged", path.Base(name), position, err)
		}
	}
}

// apply takes one batch in. Batches of a snapshot all make the state at its end.
func (s *clusterState) apply(b record.Batch, end ids.Offset, epoch ids.LeaderEpoch) error {
	if b.IsControl() {
		return s.control(b)
	}
	records, err := metadata.DecodeBatch(b)
	if err != nil {
		return err
	}
	for _, r := range records {
		switch r := r.(type) {
		case *wire.AccessControlEntryRecord:
			s.acls[r.Id] = 1
		case *wire.RemoveAccessControlEntryRecord:
			delete(s.acls, r.Id)
		case *wire.UserScramCredentialRecord:
			s.scram[fmt.Sprint(r.Mechanism, r.Name)] = 1
		case *wire.RemoveUserScramCredentialRecord:
			delete(s.scram, fmt.Sprint(r.Mechanism, r.Name))
		}
	}
	s.image, err = s.image.Apply(records, end, epoch)
	return err
}

func (s *clusterState) control(b record.Batch) error {
	it := b.Records(record.Limits{})
	defer it.Close()
	for it.Next() {
		r := it.Record()
		t, err := record.ParseControlKey(r.Key)
		if err != nil {
			return err
		}
		switch t {
		case record.ControlLeaderChange:
			m := new(wire.LeaderChangeMessage)
			if err := decodeControlValue(m, r.Value); err != nil {
				return err
			}
			s.voters = s.voters[:0]
			for _, v := range m.Voters {
				s.voters = append(s.voters, ids.BrokerID(v.VoterId))
			}
		case record.ControlKRaftVoters:
			m := new(wire.VotersRecord)
			if err := decodeControlValue(m, r.Value); err != nil {
				return err
			}
			s.voters = s.voters[:0]
			for _, v := range m.Voters {
				s.voters = append(s.voters, ids.BrokerID(v.VoterId))
			}
		}
	}
	return it.Err()
}

// judge returns the sentence that refuses the cluster, or "".
func (a *adopter) judge(s *clusterState) string {
	for name, level := range s.image.Features() {
		highest, known := knownFeatures[name]
		switch {
		case name == controller.MetadataVersionFeature && level < controller.MetadataVersion:
			return fmt.Sprintf("its metadata.version is %d, and only %d (Kafka 4.3) is served; run 'kafka-features upgrade --release-version 4.3' under Kafka 4.3.1 first", level, controller.MetadataVersion)
		case name == controller.MetadataVersionFeature && level > controller.MetadataVersion:
			return fmt.Sprintf("its metadata.version is %d, of a Kafka later than 4.3.1, and only %d is served; downgrade it with 'kafka-features downgrade' first, if Kafka can", level, controller.MetadataVersion)
		case name != controller.MetadataVersionFeature && (!known || level > highest):
			return fmt.Sprintf("its feature %s is at level %d, which this version does not know; downgrade it with 'kafka-features downgrade' first, if Kafka can", name, level)
		}
	}
	if n := len(s.acls); n > 0 {
		return fmt.Sprintf("it has %d access control entries, which this version would not enforce; remove them with kafka-acls first, if whoever reaches the port may do everything", n)
	}
	var others []ids.BrokerID
	for _, b := range s.image.Brokers() {
		if b.ID != a.node {
			others = append(others, b.ID)
		}
	}
	if len(others) > 0 {
		return fmt.Sprintf("its cluster has other brokers (%s), and Ottla takes over clusters of one node so far; move their partitions here and unregister them, or move the data with a mirror", joinIDs(others))
	}
	return a.judgeTopics(s)
}

func (a *adopter) judgeTopics(s *clusterState) string {
	for _, t := range s.image.Topics() {
		if strings.EqualFold(s.image.TopicConfig(t.Name)["remote.storage.enable"], "true") {
			return fmt.Sprintf("topic %s has tiered storage, and what lies in the remote tier cannot be read here; turn it off with remote.log.copy.disable and wait for local copies, or delete the topic", t.Name)
		}
		for n, p := range t.Partitions {
			tp := ids.TopicPartition{Topic: t.Name, Partition: int32(n)}
			if slices.ContainsFunc(p.Replicas, func(id ids.BrokerID) bool { return id != a.node }) {
				return fmt.Sprintf("partition %s has replicas on other nodes (%s); move them away with kafka-reassign-partitions first", tp, joinIDs(p.Replicas))
			}
			if _, here := a.found[tp]; here {
				continue
			}
			for _, id := range p.Directories {
				if !reserved(id) && !slices.Contains(slices.Collect(maps.Values(a.directories)), id) {
					return fmt.Sprintf("partition %s lies in a directory (id %s) that is not among the given ones; name all of Kafka's log.dirs in log.dirs", tp, ids.UUID(id))
				}
			}
		}
	}
	return ""
}

// onlyMetadata is the metadata log's directory, if the broker's registration does not name it among log.dirs.
func (a *adopter) onlyMetadata(image *metadata.Image) string {
	dir := path.Dir(a.metadataDir)
	b, ok := image.Broker(a.node)
	if !ok || len(b.Directories) == 0 || slices.Contains(b.Directories, a.directories[dir]) {
		return ""
	}
	return dir
}

// reserved tells the directory ids that name none: unassigned, lost, migrating, and those up to 100 that Kafka keeps.
func reserved(id ids.DirectoryID) bool { return allZero(id[:15]) && id[15] < 100 }

// compare holds the partitions on disk against those of the metadata.
func (a *adopter) compare(image *metadata.Image) {
	a.Topics = image.TopicCount()
	for _, t := range image.Topics() {
		a.Partitions += len(t.Partitions)
		for n := range t.Partitions {
			if tp := (ids.TopicPartition{Topic: t.Name, Partition: int32(n)}); a.found[tp] == "" {
				a.Empty = append(a.Empty, tp.String())
			}
		}
	}
	for tp, dir := range a.found {
		if t, ok := image.Topic(tp.Topic); !ok || int(tp.Partition) >= len(t.Partitions) {
			a.Strays = append(a.Strays, dir)
		}
	}
	slices.Sort(a.Strays)
}
