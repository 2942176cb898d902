package inspect_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/inspect"
	"github.com/ottla-io/ottla/internal/vfs"
)

func stat(t *testing.T, fs vfs.FS, dir string, deep bool) ([]inspect.PartitionStat, []inspect.DirectoryStat) {
	t.Helper()
	var partitions []inspect.PartitionStat
	var directories []inspect.DirectoryStat
	err := inspect.Stat(fs, []string{dir}, deep,
		func(p inspect.PartitionStat) error { partitions = append(partitions, p); return nil },
		func(d inspect.DirectoryStat) error { directories = append(directories, d); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return partitions, directories
}

// The figures of the directory that Kafka wrote are those that its README and kafka-dump-log tell, with and without deep.
func TestStatOfKafkaData(t *testing.T) {
	for _, deep := range []bool{true, false} {
		partitions, directories := stat(t, vfs.OS(), kafkaData, deep)
		if len(partitions) != 4 || len(directories) != 1 {
			t.Fatalf("%d partitions, %d directories", len(partitions), len(directories))
		}
		want := inspect.PartitionStat{
			Path: kafkaData + "/t-0", Topic: "t", TopicID: "VWPSxmC7QtyHoMmHAiV9NQ", Segments: 1, LogBytes: 333098, IndexBytes: 3298, OtherBytes: 153,
			LogEnd: 3020, HighWatermark: 3020, RecoveryPoint: 3020, FirstTimestamp: 1795426365147, LastTimestamp: 1795426368326,
			FirstDirty: -1, DirtyRatio: -1, Producers: 2, OpenTransactions: 1, Batches: -1, Records: -1,
		}
		if deep {
			want.Batches, want.Records, want.Codecs = 329, 3020, map[string]int64{"none": 329}
		}
		if diff := cmp.Diff(want, partitions[3]); diff != "" {
			t.Errorf("deep=%v: (-want +got)\n%s", deep, diff)
		}
		if d := directories[0]; d.ClusterID != "vt-il7rmROW5QiXQgZR9lQ" || d.NodeID != "1" || d.LogBytes != 356003 {
			t.Errorf("directory: %+v", d)
		}
	}
}

// The cleaner's checkpoint splits a log into what it has seen and what it may see; files in transition and directories that are
// going are counted apart.
func TestStatOfCompactionAndTransition(t *testing.T) {
	d := newDirectory(t)
	d.write(t, "data/cleaner-offset-checkpoint", []byte("0\n1\nt 0 0\n"))
	d.write(t, "data/recovery-point-offset-checkpoint", []byte("0\n1\nt 0 5\n"))
	d.write(t, partitionDir+"00000000000000000000.log.deleted", make([]byte, 100))
	if err := d.fs.MkdirAll("data/old-3.0123456789abcdef0123456789abcdef-delete"); err != nil {
		t.Fatal(err)
	}
	partitions, directories := stat(t, d.fs, "data", false)
	if len(partitions) != 2 || directories[0].PendingBytes != 100 {
		t.Fatalf("%+v %+v", partitions, directories)
	}
	if old := partitions[0]; old.Topic != "old" || old.Partition != 3 || old.State != "delete" || old.LogEnd != -1 {
		t.Errorf("%+v", old)
	}
	p := partitions[1]
	if p.DirtyRatio != 1 || p.FirstDirty != 0 || p.UnsyncedBytes != p.LogBytes || p.Segments != 2 || p.FirstEpoch != 2 || p.LastEpoch != 5 {
		t.Errorf("%+v", p)
	}
	d.write(t, "data/cleaner-offset-checkpoint", []byte("0\n1\nt 0 13\n"))
	if partitions, _ = stat(t, d.fs, "data", false); partitions[1].DirtyRatio != 0 {
		t.Errorf("%+v", partitions[1])
	}
}

// Damage ends the counting of one partition, is told with its place, and leaves the rest alone.
func TestStatTellsDamage(t *testing.T) {
	d := newDirectory(t)
	name := partitionDir + "00000000000000000000.log"
	log := append([]byte(nil), d.files[name]...)
	log[16] = 9 // magic of the first batch
	d.write(t, name, log)
	partitions, _ := stat(t, d.fs, "data", true)
	if p := partitions[0]; p.Damage == "" || p.Batches != 0 {
		t.Errorf("%+v", p)
	}
}
