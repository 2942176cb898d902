package ottla

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
	"github.com/ottla-io/ottla/internal/vfs"
	"github.com/ottla-io/ottla/internal/wire"
)

// The tests of this file run a broker on three data directories, m, d1 and d2, and take one away.

func startOnDirs(t *testing.T, mem *vfs.Mem) *onDisk {
	t.Helper()
	d := &onDisk{mem: mem, faults: vfs.NewFault(mem), log: new(lines)}
	config := diskConfig(d.log)
	config.DataDir, config.Settings = "", map[string]string{"log.dirs": "m,d1,d2"}
	var err error
	if d.Broker, err = startWith(config, doors{env: run.OS(), disk: d.faults, network: transport.OS()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.stopNow() })
	return d
}

// partitionsIn are the numbers of a topic's partitions that have files in a directory.
func partitionsIn(t *testing.T, mem *vfs.Mem, dir, topic string, count int32) (numbers []int32) {
	t.Helper()
	entries, err := mem.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for n := range count {
		if slices.ContainsFunc(entries, func(e vfs.Entry) bool { return e.Name == fmt.Sprintf("%s-%d", topic, n) }) {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

func (s session) mustCreate(topic string, partitions int32) {
	s.t.Helper()
	if code := s.create(topic, partitions); code != wire.ErrorNone {
		s.t.Fatalf("create %s: %s", topic, code.Name())
	}
}

// fill sends one record to each partition, which must be taken.
func (s session) fill(topic string, partitions int32, value string) {
	s.t.Helper()
	for n := range partitions {
		if got := s.produce(topic, n, fmt.Sprint(value, n)); got.ErrorCode != wire.ErrorNone {
			s.t.Fatalf("produce to %s-%d: %s: %s", topic, n, got.ErrorCode.Name(), got.ErrorMessage.Value)
		}
	}
}

// served checks that the partitions lost answer KAFKA_STORAGE_ERROR, for produce, fetch and in their offline replicas, and the others what they hold.
func (s session) served(topic string, partitions int32, lost []int32, value string) {
	s.t.Helper()
	meta := new(wire.MetadataRequest)
	meta.Default()
	meta.Topics = []wire.MetadataRequestTopic{{Name: wire.SomeString(topic)}}
	var resp wire.MetadataResponse
	s.must(s.do(wire.MetadataKey, 9, meta, &resp))
	for n := range partitions {
		gone := slices.Contains(lost, n)
		at := slices.IndexFunc(resp.Topics[0].Partitions, func(p wire.MetadataResponsePartition) bool { return p.PartitionIndex == n })
		if offline := len(resp.Topics[0].Partitions[at].OfflineReplicas) > 0; offline != gone {
			s.t.Errorf("%s-%d: its directory is lost: %v, its replica is told to be offline: %v", topic, n, gone, offline)
		}
		if !gone {
			s.holds(topic, n, []string{fmt.Sprint(value, n)})
			continue
		}
		if got := s.produce(topic, n, "x"); got.ErrorCode != wire.ErrorKafkaStorageError {
			s.t.Errorf("produce to %s-%d, whose directory is lost: %s", topic, n, got.ErrorCode.Name())
		}
		if _, code := s.fetch(topic, n); code != wire.ErrorKafkaStorageError {
			s.t.Errorf("fetch from %s-%d, whose directory is lost: %s", topic, n, code.Name())
		}
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestDirectoryLostAtStart: what lies in a directory that is not there, or not itself, answers KAFKA_STORAGE_ERROR and is not begun anew; the rest serves, new
// topics are made beside it, and when it is back all is there. Topics deleted meanwhile stay deleted.
func TestDirectoryLostAtStart(t *testing.T) {
	const partitions = 12
	for name, lose := range map[string]func(mem *vfs.Mem){
		"a file in its place": func(mem *vfs.Mem) {
			f, err := mem.Create("d1")
			must(t, err, f.Close())
		},
		"an empty directory in its place": func(mem *vfs.Mem) { must(t, mem.MkdirAll("d1")) },
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem(3)
			d := startOnDirs(t, mem)
			s := d.connect(t)
			s.mustCreate("t", partitions)
			s.mustCreate("gone", partitions)
			s.fill("t", partitions, "old ")
			s.fill("gone", partitions, "old ")
			lost := partitionsIn(t, mem, "d1", "t", partitions)
			if len(lost) != partitions/3 {
				t.Fatalf("%d of %d partitions lie in one of three directories", len(lost), partitions)
			}
			must(t, d.stopNow(), mem.Rename("d1", "away"))
			lose(mem)

			d = startOnDirs(t, mem)
			s = d.connect(t)
			s.served("t", partitions, lost, "old ")
			if said := d.log.with("a partition cannot be served"); len(said) != 1 {
				t.Errorf("the log says of one directory %d times that a partition cannot be served: %q", len(said), said)
			}
			s.mustCreate("u", partitions)
			s.fill("u", partitions, "new ")
			if code := s.remove("gone"); code != wire.ErrorNone {
				t.Errorf("delete a topic with partitions in the lost directory: %s", code.Name())
			}
			s.mustCreate("gone", partitions)
			s.fill("gone", partitions, "new ")
			s.served("gone", partitions, nil, "new ")
			must(t, d.stopNow(), mem.Rename("d1", "spare"), mem.Rename("away", "d1"))

			d = startOnDirs(t, mem)
			s = d.connect(t)
			s.served("t", partitions, nil, "old ")
			if name == "a file in its place" {
				s.served("u", partitions, nil, "new ")
				s.served("gone", partitions, nil, "new ")
			}
			entries, err := mem.List("d1")
			must(t, err)
			strays := 0
			for _, e := range entries {
				if strings.HasPrefix(e.Name, "gone-") && strings.HasSuffix(e.Name, "-stray") {
					strays++
				}
			}
			if strays != partitions/3 {
				t.Errorf("%d partitions of the deleted topic were set aside, want %d", strays, partitions/3)
			}
			must(t, d.stopNow())
		})
	}
}

// TestDirectoryFailsWhileRunning: one failed sync, or a file system that became read-only, ends the service of one directory. The others go on, and new
// partitions go there.
func TestDirectoryFailsWhileRunning(t *testing.T) {
	const partitions = 6
	for name, rule := range map[string]vfs.Rule{
		"a sync fails":                   {Op: vfs.OpSync, Glob: "d2/t-*/*.log", Action: vfs.FailIO},
		"nothing new can be made there":  {Op: vfs.OpMkdir, Glob: "d2/*", Action: vfs.FailIO},
		"a file there cannot be opened":  {Op: vfs.OpOpen, Glob: "d2/t-*/*.log", Action: vfs.FailIO},
		"a new segment cannot be begun":  {Op: vfs.OpCreate, Glob: "d2/*/*.log", Action: vfs.FailIO},
		"its checkpoints can't be moved": {Op: vfs.OpRename, Glob: "d2/*", Action: vfs.FailIO},
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem(4)
			d := startOnDirs(t, mem)
			s := d.connect(t)
			s.mustCreate("t", partitions)
			s.mustCreate("late", partitions)
			s.fill("t", partitions, "old ")
			must(t, d.stopNow())
			d = startOnDirs(t, mem)
			s = d.connect(t)
			lost := partitionsIn(t, mem, "d2", "t", partitions)
			active := d.faults.Add(rule)
			// Whatever it takes for the disk to be asked: appends, and a deletion.
			down := false
			for round := 0; !down && round < 200; round++ {
				for n := range int32(partitions) {
					s.produce("late", n, "x")
					if slices.Contains(lost, n) {
						s.produce("t", n, "y")
					}
				}
				if round == 0 {
					s.mustCreate("brief", 3)
					s.remove("brief")
				}
				for _, dir := range d.store.Directories() {
					down = down || dir.Path == "d2" && dir.Offline != nil
				}
			}
			if !down || active.Hits() == 0 {
				t.Fatalf("the directory serves on, although its disk failed %d times", active.Hits())
			}
			for _, n := range lost {
				if got := s.produce("t", n, "z"); got.ErrorCode != wire.ErrorKafkaStorageError {
					t.Errorf("produce to t-%d in the failed directory: %s", n, got.ErrorCode.Name())
				}
			}
			s.mustCreate("u", partitions)
			s.fill("u", partitions, "new ")
			s.served("u", partitions, nil, "new ")
			if in := partitionsIn(t, mem, "d2", "u", partitions); len(in) > 0 {
				t.Errorf("partitions %v of a new topic are in the failed directory", in)
			}
			active.Remove()
			must(t, d.stopNow())

			d = startOnDirs(t, mem)
			s = d.connect(t)
			s.served("u", partitions, nil, "new ")
			for _, n := range lost {
				if got, code := s.fetch("t", n); code != wire.ErrorNone || len(got) == 0 || got[0] != fmt.Sprint("old ", n) {
					t.Errorf("t-%d after the directory came back: %s, %q", n, code.Name(), got)
				}
			}
			must(t, d.stopNow())
		})
	}
}
