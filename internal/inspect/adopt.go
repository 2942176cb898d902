package inspect

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/vfs"
)

// Adoption says what serving data directories that Kafka wrote would mean.
type Adoption struct {
	ClusterID string       `json:"clusterId"`
	NodeID    ids.BrokerID `json:"nodeId"`
	// FromKafka tells that Kafka was the last to serve the directories. Otherwise they are new, or Ottla's already, and were not
	// looked into.
	FromKafka  bool     `json:"fromKafka"`
	Topics     int      `json:"topics"` // of the metadata, the internal ones too
	Partitions int      `json:"partitions"`
	Segments   int      `json:"segments"`
	LogBytes   int64    `json:"logBytes"`
	Strays     []string `json:"strays,omitempty"`  // partition directories that the metadata does not know: they are set aside
	Empty      []string `json:"empty,omitempty"`   // partitions of the metadata without a directory: they begin empty
	Futures    []string `json:"futures,omitempty"` // copies that Kafka was making in another directory: they are left alone
	// OnlyMetadata is the directory that was Kafka's metadata.log.dir and none of its log.dirs, if it had one.
	OnlyMetadata string `json:"onlyMetadata,omitempty"`
	ScramUsers   int    `json:"scramUsers"` // whose credentials are kept, and mean nothing here
	// UncleanStop tells that Kafka was killed: its logs are recovered, as Kafka would.
	UncleanStop bool `json:"uncleanStop"`
}

// Refusal says in one sentence why a directory cannot be adopted, and what to do.
type Refusal struct{ Dir, Sentence string }

func (r *Refusal) Error() string { return fmt.Sprintf("data directory %s: %s", r.Dir, r.Sentence) }

// Adopt looks whether the broker nodeID can serve dirs, all the log directories of one broker, and what that would mean. It changes nothing: the
// .lock that Kafka's own start left is held while it looks, and none is made. A *Refusal says why the directories cannot be served.
//
// Where Kafka was the last to serve, it reads the metadata log whole, and the beginning of every segment. Where it was Ottla, it
// only lists the directories: Kafka's quorum-state names an older epoch than the metadata log then, or is not there.
func Adopt(fsys vfs.FS, dirs []string, nodeID int32) (*Adoption, error) {
	a := &adopter{fsys: fsys, node: ids.BrokerID(nodeID), directories: make(map[string]ids.DirectoryID), found: make(map[ids.TopicPartition]string)}
	defer a.unlock()
	for _, dir := range dirs {
		if err := a.directory(dir); err != nil {
			return nil, err
		}
	}
	a.NodeID = a.node
	if a.metadataDir == "" && !a.unreadable {
		for _, tp := range a.sorted() {
			return nil, &Refusal{path.Dir(a.found[tp]), fmt.Sprintf("has partitions (%s) but no %s-0, so its cluster's controllers are other nodes; Ottla takes over nodes "+
				"that are broker and controller in one: move the data with a mirror instead, or name its metadata.log.dir too", tp, metadataTopic)}
		}
	}
	if a.metadataDir == "" {
		return &a.Adoption, nil
	}
	var err error
	if a.FromKafka, err = a.kafkaWasLast(); err != nil || !a.FromKafka {
		return &a.Adoption, err
	}
	if a.double != nil {
		return nil, a.double
	}
	if err := a.quorum(); err != nil {
		return nil, err
	}
	if err := a.metadata(); err != nil {
		return nil, err
	}
	return &a.Adoption, a.partitions()
}

// adopter is the work of Adopt.
type adopter struct {
	Adoption
	fsys        vfs.FS
	node        ids.BrokerID
	locks       []io.Closer
	directories map[string]ids.DirectoryID    // by path
	found       map[ids.TopicPartition]string // the partitions' directories, without the metadata's
	metadataDir string
	unreadable  bool     // some directory
	double      *Refusal // a partition in two directories: where Ottla was the last to serve, storage tells which is the topic's
}

func (a *adopter) unlock() {
	for _, l := range a.locks {
		l.Close() //nolint:errcheck // it was only held
	}
}

// directory reads what one data directory says about itself.
func (a *adopter) directory(dir string) error {
	entries, err := a.fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it will be made
	}
	if err != nil {
		a.unreadable = true // storage judges whether the others can serve without it
		return nil
	}
	has := func(name string) bool {
		return slices.ContainsFunc(entries, func(e vfs.Entry) bool { return e.Name == name })
	}
	if has(".lock") {
		lock, err := a.fsys.Lock(path.Join(dir, ".lock"))
		if errors.Is(err, vfs.ErrLocked) {
			return &Refusal{dir, "is in use by another process; stop that one or use another directory"}
		}
		if err != nil {
			a.unreadable = true
			return nil
		}
		a.locks = append(a.locks, lock)
	}
	if has("meta.properties") {
		if err := a.identity(dir); err != nil {
			return err
		}
	}
	if !has(".kafka_cleanshutdown") {
		a.UncleanStop = true
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name)
		tp, ok := partitionOf(name)
		switch {
		case !e.IsDir || !ok:
		case stateOf(e.Name) == "future":
			a.Futures = append(a.Futures, name)
		case tp.String() != e.Name:
		case tp.Topic == metadataTopic:
			if a.metadataDir != "" {
				return &Refusal{dir, fmt.Sprintf("and %s both hold %s; move one of the two away", path.Dir(a.metadataDir), tp)}
			}
			a.metadataDir = name
		default:
			if other, ok := a.found[tp]; ok {
				a.double = &Refusal{dir, fmt.Sprintf("and %s both hold partition %s; move one of the two away", path.Dir(other), tp)}
			}
			a.found[tp] = name
		}
	}
	return nil
}

// identity holds meta.properties against the node and the other directories.
func (a *adopter) identity(dir string) error {
	data, err := readSmall(a.fsys, path.Join(dir, "meta.properties"))
	if err != nil {
		a.unreadable = true
		return nil
	}
	properties, err := parseProperties(data)
	if err != nil {
		return &Refusal{dir, fmt.Sprintf("its meta.properties is damaged (%v); restore it from a backup", err)}
	}
	meta := make(map[string]string)
	for _, p := range properties {
		meta[p.key] = p.value
	}
	switch version := meta["version"]; {
	case version == "0":
		return &Refusal{dir, "was written by Kafka with ZooKeeper (meta.properties has version 0); migrate the cluster to KRaft with Kafka 3.9, then upgrade it to 4.3.1"}
	case version != "1":
		return &Refusal{dir, fmt.Sprintf("meta.properties has version %q, and only 1 is known; restore it from a backup", version)}
	case meta["node.id"] != strconv.Itoa(int(a.node)):
		return &Refusal{dir, fmt.Sprintf("belongs to node %s, and this is node %d; start with --node-id %s or use another directory", meta["node.id"], a.node, meta["node.id"])}
	case meta["cluster.id"] == "":
		return &Refusal{dir, "its meta.properties has no cluster.id; restore it from a backup"}
	case a.ClusterID != "" && a.ClusterID != meta["cluster.id"]:
		return &Refusal{dir, fmt.Sprintf("belongs to cluster %s, and the directories before it to cluster %s; name the directories of one broker", meta["cluster.id"], a.ClusterID)}
	}
	id, err := ids.ParseUUID(meta["directory.id"])
	if err != nil {
		return &Refusal{dir, fmt.Sprintf("its meta.properties has no valid directory.id (%v); start Kafka 4.3.1 on it once, which adds one, or restore it from a backup", err)}
	}
	a.ClusterID = meta["cluster.id"]
	a.directories[dir] = ids.DirectoryID(id)
	return nil
}

// quorumState is Kafka's quorum-state file. Version 1 of it has no voters.
type quorumState struct {
	LeaderEpoch   ids.LeaderEpoch `json:"leaderEpoch"`
	CurrentVoters []struct {
		VoterID ids.BrokerID `json:"voterId"`
	} `json:"currentVoters"`
}

func (a *adopter) quorumState() (state quorumState, ok bool, err error) {
	data, err := readSmall(a.fsys, path.Join(a.metadataDir, "quorum-state"))
	if errors.Is(err, fs.ErrNotExist) {
		return state, false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &state)
	}
	if err != nil {
		return state, false, &Refusal{path.Dir(a.metadataDir), fmt.Sprintf("its quorum-state cannot be read (%v); restore it from a backup", err)}
	}
	return state, true, nil
}

// kafkaWasLast tells whether Kafka, and not Ottla, began the metadata log's last epoch. Kafka writes each epoch to quorum-state before
// it begins; Ottla never does.
func (a *adopter) kafkaWasLast() (bool, error) {
	state, ok, err := a.quorumState()
	if err != nil || !ok {
		return false, err
	}
	data, err := readSmall(a.fsys, path.Join(a.metadataDir, "leader-epoch-checkpoint"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	epochs, err := parseEpochs(data)
	return err != nil || len(epochs) == 0 || epochs[len(epochs)-1].epoch <= state.LeaderEpoch, nil
}

func (a *adopter) quorum() error {
	state, _, err := a.quorumState()
	if err != nil {
		return err
	}
	var voters []ids.BrokerID
	for _, v := range state.CurrentVoters {
		voters = append(voters, v.VoterID)
	}
	return a.soleVoter(voters)
}

// soleVoter refuses a quorum of others; nil is one that is not told.
func (a *adopter) soleVoter(voters []ids.BrokerID) error {
	if len(voters) == 0 || len(voters) == 1 && voters[0] == a.node {
		return nil
	}
	return &Refusal{path.Dir(a.metadataDir), fmt.Sprintf("its controllers are nodes %s, and Ottla takes over clusters of one node so far; "+
		"move the data with a mirror instead", joinIDs(voters))}
}

func joinIDs(all []ids.BrokerID) string {
	text := ""
	for i, id := range all {
		if i > 0 {
			text += ", "
		}
		text += strconv.Itoa(int(id))
	}
	return text
}

// sorted are the partitions found, by topic and number.
func (a *adopter) sorted() []ids.TopicPartition {
	return slices.SortedFunc(maps.Keys(a.found), func(x, y ids.TopicPartition) int {
		return cmp.Or(cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition))
	})
}

// partitions looks at the beginning of every segment.
func (a *adopter) partitions() error {
	for _, tp := range a.sorted() {
		dir := a.found[tp]
		entries, err := a.fsys.List(dir)
		if err != nil {
			return &Refusal{path.Dir(dir), fmt.Sprintf("partition %s cannot be read (%v)", tp, err)}
		}
		for _, e := range entries {
			if _, ok := baseOf(e.Name); !ok || kindOf(e.Name) != kindLog || transition(e.Name) {
				continue
			}
			a.Segments++
			a.LogBytes += e.Size
			if err := a.format(path.Join(dir, e.Name), tp); err != nil {
				return err
			}
		}
	}
	return nil
}

// format refuses a segment that begins in a format older than record batches.
func (a *adopter) format(name string, tp ids.TopicPartition) error {
	f, err := a.fsys.OpenReadOnly(name)
	if err != nil {
		return &Refusal{path.Dir(path.Dir(name)), fmt.Sprintf("partition %s cannot be read (%v)", tp, err)}
	}
	defer f.Close()
	var prefix [record.PrefixSize]byte
	if n, _ := f.ReadAt(prefix[:], 0); n < len(prefix) {
		return nil // empty, or a torn tail, which recovery judges
	}
	if _, err := record.FrameSize(prefix[:]); errors.Is(err, record.ErrLegacyMagic) {
		return &Refusal{path.Dir(path.Dir(name)), fmt.Sprintf("partition %s has messages in format v%d (%s), which Kafka 4 converts no longer and Ottla does not read; "+
			"copy the topic with a client of Kafka 3, or delete it", tp, prefix[len(prefix)-1], path.Base(name))}
	}
	return nil
}
