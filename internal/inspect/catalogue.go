package inspect

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/vfs"
	"github.com/ottla-io/ottla/internal/wire"
)

// catalogue is what the metadata log in one of the data directories says, nil where there is none or it cannot be read: what is wrong with it is found when it
// is verified itself.
func catalogue(fsys vfs.FS, dirs []string) *metadata.Image {
	for _, dir := range dirs {
		log := path.Join(dir, metadataTopic+"-0")
		if entry, err := fsys.Stat(log); err != nil || !entry.IsDir {
			continue
		}
		a := &adopter{fsys: fsys, metadataDir: log}
		state := &clusterState{image: metadata.Empty(), acls: make(map[wire.UUID]int), scram: make(map[string]int)}
		if err := a.loadMetadata(state); err == nil {
			return state.image
		}
	}
	return nil
}

// checkTopicID holds a partition's topic id against the metadata.
func (v *verifier) checkTopicID(dir string, data []byte) error {
	id, err := parsePartitionMetadata(data)
	tp, ok := partitionOf(dir)
	if err == nil && tp.Topic == metadataTopic && id != (ids.TopicID{15: 1}) {
		return fmt.Errorf("topic id %s, and Kafka reserves %s for the metadata log", id, ids.TopicID{15: 1})
	}
	if err != nil || v.image == nil || !ok || path.Base(dir) != tp.String() || tp.Topic == metadataTopic {
		return err
	}
	topic, ok := v.image.Topic(tp.Topic)
	switch {
	case !ok:
		v.find(dir, CheckMeta, -1, -1, "the metadata log has no topic %s", tp.Topic)
	case int(tp.Partition) >= len(topic.Partitions):
		v.find(dir, CheckMeta, -1, -1, "topic %s has %d partitions in the metadata log", tp.Topic, len(topic.Partitions))
	case topic.ID != id:
		return fmt.Errorf("topic id %s, and the metadata log says %s", id, topic.ID)
	}
	return nil
}

// checkRegistered holds meta.properties against the brokers' last registrations. A directory with nothing but the metadata log is not registered.
func (v *verifier) checkRegistered(dir string, data []byte) error {
	if v.image == nil || len(v.image.Brokers()) == 0 {
		return nil
	}
	properties, err := parseProperties(data)
	if err != nil {
		return err
	}
	values := make(map[string]string)
	for _, p := range properties {
		values[p.key] = p.value
	}
	node, err := strconv.ParseInt(values["node.id"], 10, 32)
	if err != nil {
		return err
	}
	broker, ok := v.image.Broker(ids.BrokerID(node))
	if !ok {
		return fmt.Errorf("node.id is %d, and the metadata log knows no such broker", node)
	}
	id, err := ids.ParseUUID(values["directory.id"])
	if err != nil {
		return err
	}
	entries, err := v.fsys.List(dir)
	if err != nil {
		return err
	}
	holds := func(e vfs.Entry) bool {
		_, ok := partitionOf(e.Name)
		return ok && e.IsDir && !strings.HasPrefix(e.Name, metadataTopic)
	}
	if len(broker.Directories) > 0 && !slices.Contains(broker.Directories, ids.DirectoryID(id)) && slices.ContainsFunc(entries, holds) {
		return fmt.Errorf("directory.id is %s, and the metadata log knows no such directory of broker %d", id, node)
	}
	return nil
}
