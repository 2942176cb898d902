package ottla

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/storage"
	"github.com/ottla-io/ottla/internal/vfs"
	"github.com/ottla-io/ottla/internal/wire"
)

// kafkaCopy copies the directory that Kafka 4.3.1 wrote.
func kafkaCopy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/kafka-4.3.1")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// contents is every file and directory below dir, with a hash of its bytes.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			all[path] = "directory"
			return err
		}
		data, err := os.ReadFile(path)
		all[path] = fmt.Sprintf("%d %x", len(data), sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// appendMetadata appends records to the metadata log as Kafka's controller would.
func appendMetadata(records ...wire.MetadataRecord) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		w := record.NewBuilder(record.None, record.DefaultLevel)
		for _, r := range records {
			w.Append(1_800_000_000_000, nil, metadata.EncodeRecord(nil, r))
		}
		b, err := w.Build()
		if err != nil {
			t.Fatal(err)
		}
		appendBatch(t, dir, b)
	}
}

func appendBatch(t *testing.T, dir string, b record.Batch) {
	t.Helper()
	name := dir + "/__cluster_metadata-0/00000000000000000000.log"
	log, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	end := ids.Offset(0)
	for rest := log; len(rest) > 0; {
		var last record.Batch
		if last, rest, err = record.Next(rest); err != nil {
			t.Fatal(err)
		}
		end = last.NextOffset()
	}
	b.SetBaseOffset(end)
	b.SetLeaderEpoch(1)
	write(t, name, append(log, b...))
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func replace(name, old, new string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		data, err := os.ReadFile(dir + "/" + name)
		if err != nil || !strings.Contains(string(data), old) {
			t.Fatalf("%q is not in %s: %v", old, name, err)
		}
		write(t, dir+"/"+name, []byte(strings.ReplaceAll(string(data), old, new)))
	}
}

// Each directory that cannot be served whole is refused with one sentence that names the cause and says what to do, and no byte of
// it changes.
func TestRefusedAdoptionChangesNothing(t *testing.T) {
	topic := wire.UUID{1, 2, 3}
	for _, tc := range []struct {
		name string
		make func(*testing.T, string)
		want string
	}{
		{"broker-only node", func(t *testing.T, dir string) {
			if err := os.RemoveAll(dir + "/__cluster_metadata-0"); err != nil {
				t.Fatal(err)
			}
		}, "its cluster's controllers are other nodes"},
		{"several voters", replace("__cluster_metadata-0/quorum-state", `[{"voterId":1}]`, `[{"voterId":1},{"voterId":2},{"voterId":3}]`), "its controllers are nodes 1, 2, 3"},
		{"several voters in the log", func(t *testing.T, dir string) {
			appendBatch(t, dir, metadata.LeaderChange(1, 1, []ids.BrokerID{1, 7}, 0))
		}, "its controllers are nodes 1, 7"},
		{"other node", replace("meta.properties", "node.id=1", "node.id=5"), "belongs to node 5, and this is node 1; start with --node-id 5"},
		{"ZooKeeper", replace("meta.properties", "version=1", "version=0"), "was written by Kafka with ZooKeeper"},
		{"unknown version", replace("meta.properties", "version=1", "version=2"), `version "2"`},
		{"damaged meta.properties", replace("meta.properties", "node.id=1", "node.id"), "meta.properties is damaged"},
		{"no cluster id", replace("meta.properties", "cluster.id=", "cluster.ie="), "no cluster.id"},
		{"no directory id", replace("meta.properties", "directory.id=", "directory.ie="), "no valid directory.id"},
		{"damaged quorum-state", replace("__cluster_metadata-0/quorum-state", "{", ""), "quorum-state cannot be read"},
		{"newer metadata.version", appendMetadata(&wire.FeatureLevelRecord{Name: "metadata.version", FeatureLevel: 33}), "metadata.version is 33"},
		{"older metadata.version", appendMetadata(&wire.FeatureLevelRecord{Name: "metadata.version", FeatureLevel: 25}), "kafka-features upgrade"},
		{"higher feature level", appendMetadata(&wire.FeatureLevelRecord{Name: "share.version", FeatureLevel: 2}), "share.version is at level 2"},
		{"unknown feature", appendMetadata(&wire.FeatureLevelRecord{Name: "warp.version", FeatureLevel: 1}), "warp.version"},
		{"unknown metadata record", func(t *testing.T, dir string) {
			w := record.NewBuilder(record.None, record.DefaultLevel)
			w.Append(0, nil, []byte{1, 99, 0, 0})
			b, err := w.Build()
			if err != nil {
				t.Fatal(err)
			}
			appendBatch(t, dir, b)
		}, "a record that this version does not know"},
		{"access control entries", appendMetadata(&wire.AccessControlEntryRecord{Id: topic}), "access control entries"},
		{"other brokers", appendMetadata(&wire.RegisterBrokerRecord{BrokerId: 4}), "other brokers (4)"},
		{"replicas elsewhere", appendMetadata(&wire.TopicRecord{Name: "x", TopicId: topic},
			&wire.PartitionRecord{TopicId: topic, Replicas: []int32{1, 2}, Isr: []int32{1}, Leader: 1}), "partition x-0 has replicas on other nodes"},
		{"directory not given", appendMetadata(&wire.TopicRecord{Name: "x", TopicId: topic},
			&wire.PartitionRecord{TopicId: topic, Replicas: []int32{1}, Isr: []int32{1}, Leader: 1, Directories: []wire.UUID{{9}}}), "name all of Kafka's log.dirs"},
		{"tiered topic", appendMetadata(&wire.ConfigRecord{ResourceType: metadata.ResourceTopic, ResourceName: "t", Name: "remote.storage.enable", Value: wire.SomeString("true")}),
			"topic t has tiered storage"},
		{"message format v1", func(t *testing.T, dir string) {
			name := dir + "/t-0/00000000000000000000.log"
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			data[16] = 1
			write(t, name, data)
		}, "messages in format v1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := kafkaCopy(t)
			tc.make(t, dir)
			refused(t, dir, tc.want)
		})
	}
	t.Run("locked", func(t *testing.T) {
		dir := kafkaCopy(t)
		lock, err := vfs.OS().Lock(dir + "/.lock")
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Close()
		refused(t, dir, "is in use by another process")
	})
}

func refused(t *testing.T, dir, want string) {
	t.Helper()
	before := contents(t, dir)
	b, err := Start(Config{DataDir: dir, NodeID: 1, Listen: "127.0.0.1:0"})
	if err == nil {
		b.Close(context.Background()) //nolint:errcheck // the test failed
		t.Fatal("was served")
	}
	if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %q, want %q in it", err, want)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("the directory changed:\n%s", diff)
	}
}

// A metadata.log.dir of its own is served as that, and new topics stay out of it; among log.dirs, where they would not, it is refused.
func TestAdoptionKeepsTheMetadataDirectoryApart(t *testing.T) {
	dir, metadataDir := kafkaCopy(t), t.TempDir()
	if err := os.Rename(dir+"/__cluster_metadata-0", metadataDir+"/__cluster_metadata-0"); err != nil {
		t.Fatal(err)
	}
	meta, err := os.ReadFile(dir + "/meta.properties")
	if err != nil {
		t.Fatal(err)
	}
	write(t, metadataDir+"/meta.properties", meta)
	replace("meta.properties", "Rhan-zDDt0A6hxgnx9s0Cw", "Rhan-zDDt0A6hxgnx9s0Dw")(t, metadataDir)
	before := contents(t, metadataDir)
	config := Config{NodeID: 1, Listen: "127.0.0.1:0", Settings: map[string]string{"log.dirs": dir + "," + metadataDir}}
	if _, err := Start(config); err == nil || !strings.Contains(err.Error(), "name it in metadata.log.dir") {
		t.Fatalf("as one of log.dirs: %v", err)
	}
	if diff := cmp.Diff(before, contents(t, metadataDir)); diff != "" {
		t.Errorf("the directory changed:\n%s", diff)
	}
	config.Settings = map[string]string{"log.dirs": dir, "metadata.log.dir": metadataDir}
	b, err := Start(config)
	if err != nil {
		t.Fatal(err)
	}
	for n := range int32(5) {
		if _, err := b.store.OpenLog(ids.TopicPartition{Topic: "new", Partition: n}, ids.TopicID{1}, storage.DefaultLogConfig()); err != nil {
			t.Fatal(err)
		}
	}
	own := b.store.Directories()[1]
	if own.Path != metadataDir || !own.OnlyMetadata {
		t.Errorf("%+v", own)
	}
	for _, l := range b.store.Found() {
		log, err := b.store.OpenLog(l.Topic, l.ID, storage.DefaultLogConfig())
		if err != nil || (log.Directory() == own.ID) != (l.Topic.Topic == metadataTopic) {
			t.Errorf("%s lies in directory %s: %v", l.Topic, ids.UUID(log.Directory()), err)
		}
	}
	if err := b.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// Once taken over, the directory is Ottla's: later starts do not judge it as Kafka's, old bytes of its segments stay, and its topic keeps
// its id.
func TestAdoptionKeepsWhatKafkaWrote(t *testing.T) {
	dir := kafkaCopy(t)
	logs := make(map[string][]byte)
	files, err := filepath.Glob(dir + "/*/*.log")
	if err != nil || len(files) != 4 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		if logs[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		b, err := Start(Config{DataDir: dir, NodeID: 1, Listen: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		topic, ok := b.cluster.Image().Topic("t")
		if !ok || topic.ID.String() != "VWPSxmC7QtyHoMmHAiV9NQ" || b.store.ClusterID() != "vt-il7rmROW5QiXQgZR9lQ" {
			t.Errorf("topic %+v, cluster %s", topic, b.store.ClusterID())
		}
		if err := b.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	for name, old := range logs {
		now, err := os.ReadFile(name)
		if err != nil || len(now) < len(old) || !slices.Equal(now[:len(old)], old) {
			t.Errorf("%s changed: %v", name, err)
		}
	}
}
