package inspect_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/inspect"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/vfs"
)

const kafkaData = "../../testdata/kafka-4.3.1"

func TestKafkaDataIsGood(t *testing.T) {
	sum, err := inspect.Verify(vfs.OS(), []string{kafkaData}, func(f inspect.Finding) { t.Error(f) })
	if err != nil || sum.Partitions != 4 || sum.Batches < 400 || sum.Records < 3300 || sum.Findings != 0 {
		t.Fatalf("%+v %v", sum, err)
	}
	for _, name := range []string{"t-0", "t-0/00000000000000000000.log", "t-0/00000000000000000000.txnindex", "bootstrap.checkpoint", "meta.properties", "__cluster_metadata-0"} {
		if sum, err := inspect.Verify(vfs.OS(), []string{kafkaData + "/" + name}, func(f inspect.Finding) { t.Error(f) }); err != nil || sum.Files == 0 {
			t.Errorf("%s: %+v %v", name, sum, err)
		}
	}
}

// directory is a data directory in memory with one partition, t-0: two segments, two epochs, a transaction committed, one
// aborted, one open, all indexes.
type directory struct {
	fs    *vfs.Mem
	files map[string][]byte
}

const partitionDir = "data/t-0/"

func newDirectory(t *testing.T) *directory {
	t.Helper()
	d := &directory{fs: vfs.NewMem(1), files: map[string][]byte{}}
	state := producerstate.New(1 << 40)
	var base ids.Offset
	var log, index, times, aborted []byte
	stamp := int64(1_000_000)
	seal := func() {
		name := fmt.Sprintf("%s%020d", partitionDir, base)
		d.files[name+".log"], d.files[name+".index"], d.files[name+".timeindex"], d.files[name+".txnindex"] = log, index, times, aborted
		d.files[fmt.Sprintf("%s%020d.snapshot", partitionDir, state.End())] = state.Snapshot()
		base, log, index, times, aborted = state.End(), nil, nil, nil, nil
	}
	add := func(b record.Batch, epoch ids.LeaderEpoch) {
		b.SetBaseOffset(state.End())
		b.SetLeaderEpoch(epoch)
		if len(log) > 0 {
			index = binary.BigEndian.AppendUint32(index, uint32(b.LastOffset()-base))
			index = binary.BigEndian.AppendUint32(index, uint32(len(log)))
		}
		times = binary.BigEndian.AppendUint64(times, uint64(b.MaxTimestamp()))
		times = binary.BigEndian.AppendUint32(times, uint32(b.LastOffset()-base))
		log = append(log, b...)
		if done, ok := state.Update(b); ok && done.Aborted {
			aborted = done.AppendTxnIndexEntry(aborted)
		}
	}
	data := func(codec record.Codec, id ids.ProducerID, sequence int32, count int, txn bool) record.Batch {
		w := record.NewBuilder(codec, record.DefaultLevel)
		if id >= 0 {
			w.Producer(id, 0, sequence)
		}
		if txn {
			w.Transactional()
		}
		for i := range count {
			stamp++
			w.Append(stamp, []byte("key"), fmt.Appendf(nil, "value %d", i), record.Header{Key: []byte("h"), Value: nil})
		}
		b, err := w.Build()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	end := func(id ids.ProducerID, kind record.ControlType) record.Batch {
		stamp++
		return record.EndTransactionMarker(id, 0, record.EndTransaction{Type: kind, CoordinatorEpoch: 3}, stamp)
	}
	add(data(record.None, -1, 0, 3, false), 2)
	add(data(record.Gzip, 1, 0, 4, false), 2)
	add(data(record.None, 2, 0, 2, true), 2)
	add(data(record.None, 3, 0, 2, true), 2)
	add(end(2, record.ControlAbort), 2)
	seal()
	add(data(record.Zstd, 1, 4, 4, false), 2)
	add(end(3, record.ControlCommit), 5)
	add(data(record.LZ4, 3, 2, 2, true), 5)
	add(end(3, record.ControlAbort), 5)
	add(data(record.Snappy, 2, 2, 3, true), 5)
	seal()
	d.files[partitionDir+"leader-epoch-checkpoint"] = []byte("0\n2\n2 0\n5 16\n")
	d.files[partitionDir+"partition.metadata"] = []byte("version: 0\ntopic_id: VWPSxmC7QtyHoMmHAiV9NQ")
	for _, name := range []string{"recovery-point-offset-checkpoint", "replication-offset-checkpoint"} {
		d.files["data/"+name] = fmt.Appendf(nil, "0\n1\nt 0 %d\n", state.End())
	}
	d.files["data/meta.properties"] = []byte("version=1\nnode.id=1\ncluster.id=vt-il7rmROW5QiXQgZR9lQ\ndirectory.id=Rhan-zDDt0A6hxgnx9s0Cw\n")
	if err := d.fs.MkdirAll("data/t-0"); err != nil {
		t.Fatal(err)
	}
	for name, p := range d.files {
		d.write(t, name, p)
	}
	return d
}

func (d *directory) write(t *testing.T, name string, p []byte) {
	t.Helper()
	if err := d.fs.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
	f, err := d.fs.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(p, 0); err != nil {
		t.Fatal(err)
	}
}

func (d *directory) verify(t *testing.T, paths ...string) []inspect.Finding {
	t.Helper()
	if len(paths) == 0 {
		paths = []string{"data"}
	}
	var all []inspect.Finding
	sum, err := inspect.Verify(d.fs, paths, func(f inspect.Finding) { all = append(all, f) })
	if err != nil || int(sum.Findings) != len(all) {
		t.Fatalf("verify %v: %+v %v", paths, sum, err)
	}
	return all
}

func names(d *directory) []string {
	var all []string
	for name := range d.files {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// Every changed byte (one bit, another, all of them) in a log, an index, a producer snapshot or the epochs is found, and found in the file itself or in
// its neighbour that contradicts it. Text files are left out where a digit has no second copy: see Verify.
func TestEveryFlipIsFound(t *testing.T) {
	d := newDirectory(t)
	if all := d.verify(t); len(all) > 0 {
		t.Fatalf("the directory is not good to begin with: %v", all)
	}
	flips := 0
	for _, name := range names(d) {
		if !strings.HasPrefix(name, partitionDir) || strings.HasSuffix(name, "partition.metadata") {
			continue
		}
		good := d.files[name]
		for i := range good {
			for _, flip := range []byte{1 << (i % 8), 1 << ((i + 3) % 8), 0xff} {
				bad := slices.Clone(good)
				bad[i] ^= flip
				d.write(t, name, bad)
				flips++
				if all := d.verify(t); len(all) == 0 && !d.sameBatch(t, name, i, bad) {
					t.Errorf("%s: flip %#x of byte %d was not found", name, flip, i)
				}
			}
		}
		d.write(t, name, good)
	}
	if all := d.verify(t); len(all) > 0 || flips < 4_000 {
		t.Fatalf("after %d flips: %v", flips, all)
	}
}

// sameBatch reports whether the time index entry that holds byte i still names an offset of the same batch.
func (d *directory) sameBatch(t *testing.T, name string, i int, bad []byte) bool {
	t.Helper()
	log, ok := strings.CutSuffix(name, ".timeindex")
	if !ok || i%12 < 8 {
		return false
	}
	at := i / 12 * 12
	was, is := binary.BigEndian.Uint32(d.files[name][at+8:]), binary.BigEndian.Uint32(bad[at+8:])
	var first ids.Offset = -1
	for rest := d.files[log+".log"]; len(rest) > 0; {
		b, next, err := record.Next(rest)
		if err != nil {
			t.Fatal(err)
		}
		if first < 0 {
			first = b.BaseOffset()
		}
		from, to := uint32(b.BaseOffset()-first), uint32(b.LastOffset()-first)
		if from <= min(was, is) && max(was, is) <= to {
			return true
		}
		rest = next
	}
	return false
}

// Every changed byte (two bits of it) of the small files beside the partitions is found, by their layout or by what the metadata log and the logs say, but for those that are listed.
func TestEveryFlipOfTextIsFound(t *testing.T) {
	d := newDirectory(t)
	kafka := make(map[string][]byte)
	for _, name := range []string{"00000000000000000000.log", "partition.metadata", "quorum-state"} {
		data, err := os.ReadFile(kafkaData + "/__cluster_metadata-0/" + name)
		if err != nil {
			t.Fatal(err)
		}
		kafka["data/__cluster_metadata-0/"+name] = data
	}
	header := record.ControlBatch(record.ControlSnapshotHeader, 0, 1, 5, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0})
	footer := record.ControlBatch(record.ControlSnapshotFooter, 1, 1, 5, []byte{0, 0, 0})
	kafka["data/__cluster_metadata-0/00000000000000000012-0000000001.checkpoint"] = slices.Concat(header, footer)
	kafka["data/log-start-offset-checkpoint"] = []byte("0\n1\nt 0 3\n")
	kafka["data/cleaner-offset-checkpoint"] = []byte("0\n1\nt 0 3\n")
	kafka["data/.kafka_cleanshutdown"] = []byte(`{"version":0,"brokerEpoch":5}`)
	d.files[partitionDir+"leader-epoch-checkpoint"] = []byte("0\n2\n2 3\n5 16\n")
	kafka[partitionDir+"leader-epoch-checkpoint"] = d.files[partitionDir+"leader-epoch-checkpoint"]
	if err := d.fs.MkdirAll("data/__cluster_metadata-0"); err != nil {
		t.Fatal(err)
	}
	for name, data := range kafka {
		d.files[name] = data
		d.write(t, name, data)
	}
	if all := d.verify(t); len(all) > 0 {
		t.Fatalf("the directory is not good to begin with: %v", all)
	}
	unseen := map[string]int{
		"data/meta.properties":                   0, // the cluster's id, and names that nobody reads
		"data/log-start-offset-checkpoint":       0, // digits
		"data/cleaner-offset-checkpoint":         0, // digits
		"data/replication-offset-checkpoint":     0, // digits that lower it
		"data/recovery-point-offset-checkpoint":  0, // the names of its partition
		"data/.kafka_cleanshutdown":              0, // digits
		"data/__cluster_metadata-0/quorum-state": 0, // digits
	}
	flips := 0
	for _, name := range names(d) {
		if path.Dir(name) == path.Clean(partitionDir) && !strings.HasSuffix(name, "partition.metadata") || strings.HasSuffix(name, ".log") {
			continue
		}
		good := d.files[name]
		for i := range good {
			for _, bit := range []int{i % 8, (i + 2) % 8} {
				bad := slices.Clone(good)
				bad[i] ^= 1 << bit
				d.write(t, name, bad)
				flips++
				if all := d.verify(t); len(all) > 0 {
					continue
				}
				if strings.HasSuffix(name, "partition.metadata") && i == len(good)-1 {
					continue // bits of the last character that say nothing
				}
				if _, listed := unseen[name]; !listed {
					t.Errorf("%s: bit %d of byte %d was not found", name, bit, i)
				}
				unseen[name]++
			}
		}
		d.write(t, name, good)
	}
	t.Logf("%d flips, unseen: %v", flips, unseen)
	for name, n := range unseen {
		if n == 0 {
			t.Errorf("every flip of %s was found: take it out of the list", name)
		}
	}
}

// Every cut of a log is found, by its framing, its snapshot, its checkpoints or its indexes.
func TestEveryCutIsFound(t *testing.T) {
	d := newDirectory(t)
	for _, name := range names(d) {
		if !strings.HasSuffix(name, ".log") && !strings.HasSuffix(name, ".snapshot") {
			continue
		}
		for n := range d.files[name] {
			d.write(t, name, d.files[name][:n])
			if all := d.verify(t); len(all) == 0 {
				t.Errorf("%s cut to %d bytes was not found", name, n)
			}
		}
		d.write(t, name, d.files[name])
	}
}

func TestFindingsName(t *testing.T) {
	first, second := partitionDir+"00000000000000000000", partitionDir+"00000000000000000012"
	change := func(name string, at int, to ...byte) func(*testing.T, *directory) {
		return func(t *testing.T, d *directory) {
			p := slices.Clone(d.files[name])
			copy(p[at:], to)
			d.write(t, name, p)
		}
	}
	size := len(newDirectory(t).files[first+".log"])
	for _, tc := range []struct {
		name   string
		damage func(*testing.T, *directory)
		want   inspect.Finding // Message is a part of the message
	}{
		{"checksum", change(first+".log", 70, 0xee), inspect.Finding{Path: first + ".log", Check: inspect.CheckChecksum, Position: 0, Offset: 0, Message: "stored"}},
		{"framing", change(second+".log", 16, 9), inspect.Finding{Path: second + ".log", Check: inspect.CheckFraming, Position: 0, Offset: -1, Message: "magic 9"}},
		{"hole", change(second+".log", 7, 13), inspect.Finding{Path: second + ".log", Check: inspect.CheckOffsets, Position: 0, Offset: 12, Message: "12 to 12 are missing"}},
		{"overlap", change(second+".log", 7, 11), inspect.Finding{Path: second + ".log", Check: inspect.CheckOffsets, Position: 0, Offset: 11, Message: "offset 12 was to follow"}},
		{"epoch falls", change(second+".log", 15, 1), inspect.Finding{Path: second + ".log", Check: inspect.CheckEpochs, Position: 0, Offset: 12, Message: "epoch 1 follows epoch 2"}},
		{"index", change(first+".index", 3, 7), inspect.Finding{Path: first + ".index", Check: inspect.CheckIndex, Position: 0, Offset: 7, Message: "ends at offset 6, not 7"}},
		{"time index", change(first+".timeindex", 7, 9), inspect.Finding{Path: first + ".timeindex", Check: inspect.CheckTimeIndex, Position: 0, Offset: 2, Message: "timestamp"}},
		{"txn index", change(first+".txnindex", 9, 9), inspect.Finding{Path: first + ".txnindex", Check: inspect.CheckTxnIndex, Position: -1, Offset: 11, Message: "but the log says"}},
		{"txn index lost", func(t *testing.T, d *directory) { d.write(t, first+".txnindex", nil) },
			inspect.Finding{Path: first + ".log", Check: inspect.CheckTxnIndex, Position: int64(size - 78), Offset: 11, Message: "missing in the .txnindex"}},
		{"snapshot", change(second+".snapshot", 20, 1), inspect.Finding{Path: second + ".snapshot", Check: inspect.CheckProducers, Position: -1, Offset: 12, Message: "checksum"}},
		{"high watermark", func(t *testing.T, d *directory) {
			d.write(t, "data/replication-offset-checkpoint", []byte("0\n1\nt 0 99\n"))
		}, inspect.Finding{Path: "data/replication-offset-checkpoint", Check: inspect.CheckPoints, Position: -1, Offset: 99, Message: "its log ends at 23"}},
		{"checkpoint cut", func(t *testing.T, d *directory) {
			d.write(t, "data/recovery-point-offset-checkpoint", []byte("0\n2\nt 0 1\n"))
		}, inspect.Finding{Path: "data/recovery-point-offset-checkpoint", Check: inspect.CheckPoints, Position: -1, Offset: -1, Message: `announces "2" entries and has 1`}},
		{"topic id", change(partitionDir+"partition.metadata", 30, '!'), inspect.Finding{Path: partitionDir + "partition.metadata", Check: inspect.CheckMeta, Position: -1, Offset: -1, Message: "UUID"}},
		{"meta", change("data/meta.properties", 8, '2'), inspect.Finding{Path: "data/meta.properties", Check: inspect.CheckMeta, Position: -1, Offset: -1, Message: `version is "2"`}},
		{"zeros at the end", func(t *testing.T, d *directory) {
			d.write(t, second+".log", append(slices.Clone(d.files[second+".log"]), make([]byte, 5000)...))
		}, inspect.Finding{Path: second + ".log", Check: inspect.CheckFraming, Position: int64(len(newDirectory(t).files[second+".log"])), Offset: -1, Message: "last 5000 bytes are zeros"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDirectory(t)
			tc.damage(t, d)
			all := d.verify(t)
			for _, f := range all {
				if message := f.Message; strings.Contains(message, tc.want.Message) && f.Advice != "" {
					f.Message, f.Advice = tc.want.Message, ""
					if f == tc.want {
						return
					}
				}
			}
			t.Fatalf("got %v, want %v", all, tc.want)
		})
	}
}

// Preallocated indexes end with zeros, files in transition and directories being deleted or copied to are none of the log, an index may be missing.
func TestHarmless(t *testing.T) {
	d := newDirectory(t)
	first := partitionDir + "00000000000000000000"
	d.write(t, first+".index", append(slices.Clone(d.files[first+".index"]), make([]byte, 8000)...))
	d.write(t, first+".timeindex", append(slices.Clone(d.files[first+".timeindex"]), make([]byte, 12000)...))
	d.write(t, first+".log.deleted", []byte("garbage"))
	for _, suffix := range []string{"-delete", "-future"} {
		dir := "data/t-1.00112233445566778899aabbccddeeff" + suffix
		if err := d.fs.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
		d.write(t, dir+"/00000000000000000000.log", []byte("garbage"))
	}
	if all := d.verify(t); len(all) > 0 {
		t.Fatal(all)
	}
	if err := d.fs.Remove(first + ".index"); err != nil {
		t.Fatal(err)
	}
	if all := d.verify(t); len(all) > 0 {
		t.Fatal(all)
	}
}

// A hole is no corruption in a log that is known to be compacted.
func TestCompactedLog(t *testing.T) {
	d := newDirectory(t)
	second := partitionDir + "00000000000000000012"
	p := slices.Clone(d.files[second+".log"])
	_, rest, err := record.Next(p)
	if err != nil {
		t.Fatal(err)
	}
	d.write(t, second+".log", rest) // the first batch of the segment is gone
	for _, suffix := range []string{".index", ".timeindex", ".txnindex"} {
		if err := d.fs.Remove(second + suffix); err != nil {
			t.Fatal(err)
		}
	}
	holes := func() (n int) {
		for _, f := range d.verify(t) {
			if f.Check == inspect.CheckOffsets {
				n++
			}
		}
		return n
	}
	if n := holes(); n != 1 {
		t.Fatalf("%d holes found", n)
	}
	d.write(t, "data/cleaner-offset-checkpoint", []byte("0\n1\nt 0 16\n"))
	if n := holes(); n != 0 {
		t.Fatalf("%d holes found in a log that was cleaned", n)
	}
}

func TestMetadataSnapshot(t *testing.T) {
	d := newDirectory(t)
	header := record.ControlBatch(record.ControlSnapshotHeader, 0, 1, 5, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0})
	footer := record.ControlBatch(record.ControlSnapshotFooter, 1, 1, 5, []byte{0, 0, 0})
	name := "data/00000000000000000012-0000000001.checkpoint"
	d.write(t, name, slices.Concat(header, footer))
	if all := d.verify(t); len(all) > 0 {
		t.Fatal(all)
	}
	d.write(t, name, header)
	if all := d.verify(t, name); len(all) != 1 || !strings.Contains(all[0].Message, "incomplete") {
		t.Fatal(all)
	}
	d.write(t, name, footer)
	if all := d.verify(t, name); len(all) != 2 { // begins at offset 1, no header
		t.Fatal(all)
	}
}

func TestVerifyErrors(t *testing.T) {
	d := newDirectory(t)
	d.write(t, "data/notes.txt", []byte("x"))
	for _, name := range []string{"nowhere", "data/notes.txt", path.Join("data", "x.log")} {
		if _, err := inspect.Verify(d.fs, []string{name}, func(inspect.Finding) {}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	broken := vfs.NewFault(d.fs)
	if _, err := inspect.Verify(broken, []string{"data"}, func(f inspect.Finding) { t.Error(f) }); err != nil {
		t.Errorf("through a fault-free fault layer: %v", err)
	}
}

func TestDump(t *testing.T) {
	var text, lines bytes.Buffer
	if err := inspect.Dump(vfs.OS(), []string{kafkaData}, inspect.Options{Records: true}, &text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`record offset: 0 timestamp: 1795426365147 key: "DTW" value: "{\"date\":\"2001/01/01 00:47\"`,
		`headers: [{"key":"h","value":"v"}]`,
		`abortedTransaction producerId: 1 firstOffset: 3007 lastOffset: 3012 lastStableOffset: 3013`,
		`control: LEADER_CHANGE payload: {"type":"LeaderChangeMessage","version":0,"leaderId":1`,
		`control: COMMIT coordinatorEpoch: 0`,
		`keyType: 2 key: {"type":"GroupMetadataKey","group":"g1"} version: 3 payload: {"type":"GroupMetadataValue","protocolType":"consumer","generation":1`,
		`{"type":"OffsetCommitKey","group":"g1","topic":"t","partition":0}`,
		`key: {"type":"TransactionLogKey","transactionalId":"tx1"} version: 1`,
		`payload: {"type":"FeatureLevelRecord","name":"metadata.version","featureLevel":30}`,
		`payload: {"type":"TopicRecord","name":"t","topicId":"VWPSxmC7QtyHoMmHAiV9NQ"}`,
		"producer producerId: 1 producerEpoch: 0 lastSequence: 15 lastOffset: 3019",
		"partition topicId: VWPSxmC7QtyHoMmHAiV9NQ",
		`property name: cluster.id value: "vt-il7rmROW5QiXQgZR9lQ"`,
		"epoch epoch: 0 startOffset: 0",
		"checkpoint topic: t partition: 0 offset: 3020",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the dump lacks %q", want)
		}
	}
	if strings.Contains(text.String(), "undecodable") || strings.Contains(text.String(), "isValid: false") {
		t.Error("the dump calls something of Kafka's undecodable or invalid")
	}
	if err := inspect.Dump(vfs.OS(), []string{kafkaData}, inspect.Options{Records: true, JSON: true}, &lines); err != nil {
		t.Fatal(err)
	}
	records := 0
	for line := range strings.Lines(lines.String()) {
		var o struct{ File, Kind string }
		if err := json.Unmarshal([]byte(line), &o); err != nil || o.File == "" || o.Kind == "" {
			t.Fatalf("%q: %v", line, err)
		}
		if o.Kind == "record" {
			records++
		}
	}
	if records < 3300 {
		t.Errorf("%d records as JSON", records)
	}
}

// The lines of -o json have the fields that docs/inspect.md lists, in that order; those that it marks with a question mark may be absent.
func TestJSONIsAsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/inspect.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string][]string)
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| [^|]* \\| (`.*`) \\|$").FindAllStringSubmatch(string(page), -1) {
		for _, name := range strings.Split(row[2], ", ") {
			documented[row[1]] = append(documented[row[1]], strings.Trim(name, "`"))
		}
	}
	d := newDirectory(t)
	d.write(t, "data/ottla.manifest", manifest())
	d.write(t, "data/.kafka_cleanshutdown", []byte(`{"version":0,"brokerEpoch":5}`))
	d.write(t, partitionDir+"00000000000000000000.log", d.files[partitionDir+"00000000000000000000.log"][:200]) // for an error
	var lines bytes.Buffer
	if err := inspect.Dump(vfs.OS(), []string{kafkaData}, inspect.Options{Records: true, JSON: true}, &lines); err != nil {
		t.Fatal(err)
	}
	if err := inspect.Dump(d.fs, []string{"data"}, inspect.Options{JSON: true}, &lines); err == nil {
		t.Fatal("no error")
	}
	seen := make(map[string]bool)
	for line := range strings.Lines(lines.String()) {
		var kind struct{ Kind string }
		if err := json.Unmarshal([]byte(line), &kind); err != nil {
			t.Fatal(err)
		}
		seen[kind.Kind] = true
		fields := topLevelNames(t, line)
		rest := documented[kind.Kind]
		for _, name := range fields {
			for len(rest) > 0 && strings.TrimSuffix(rest[0], "?") != name && strings.HasSuffix(rest[0], "?") {
				rest = rest[1:]
			}
			if len(rest) == 0 || strings.TrimSuffix(rest[0], "?") != name {
				t.Fatalf("field %s of kind %s is not where docs/inspect.md has it (%v): %s", name, kind.Kind, documented[kind.Kind], line)
			}
			rest = rest[1:]
		}
		if slices.ContainsFunc(rest, func(name string) bool { return !strings.HasSuffix(name, "?") }) {
			t.Fatalf("kind %s lacks %v: %s", kind.Kind, rest, line)
		}
	}
	for kind := range documented {
		if !seen[kind] && !slices.Contains([]string{"finding", "summary", "partitionStat", "directory"}, kind) {
			t.Errorf("no line is of kind %s", kind)
		}
	}
}

// manifest is one of storage's with one log.
func manifest() []byte {
	entry := append([]byte{1, 't', 0}, make([]byte, 16+8)...)
	entry = append(entry, 0, 23)
	out := append([]byte("OTTLAMF1"), 1, byte(len(entry)))
	out = append(out, entry...)
	return binary.BigEndian.AppendUint32(out, crc32.Checksum(out, crc32.MakeTable(crc32.Castagnoli)))
}

func topLevelNames(t *testing.T, line string) (names []string) {
	t.Helper()
	in := json.NewDecoder(strings.NewReader(line))
	depth, name := 0, true
	for {
		token, err := in.Token()
		if err == io.EOF {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		switch d, ok := token.(json.Delim); {
		case ok && (d == '{' || d == '['):
			depth++
			name = depth == 1
		case ok:
			depth--
			name = depth == 1
		case depth == 1 && name:
			names = append(names, token.(string))
			name = false
		case depth == 1:
			name = true
		}
	}
}

// Filters leave out what was not chosen, and nothing else.
func TestDumpFilters(t *testing.T) {
	dump := func(options inspect.Options, paths ...string) string {
		t.Helper()
		var out bytes.Buffer
		if err := inspect.Dump(vfs.OS(), paths, options, &out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	got := dump(inspect.Options{Records: true, Topics: []string{"t"}, From: 3005, To: 3010}, kafkaData)
	for _, want := range []string{"record offset: 3005 ", "record offset: 3009 ", "abortedTransaction producerId: 1 firstOffset: 3007"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	for _, other := range []string{"record offset: 3004 ", "record offset: 3010 ", "__consumer_offsets", "checkpoint", "property", "producer producerId"} {
		if strings.Contains(got, other) {
			t.Errorf("%q is not wanted", other)
		}
	}
	if n := strings.Count(got, "record offset: "); n != 5 {
		t.Errorf("%d records", n)
	}
	got = dump(inspect.Options{Partitions: []int32{42, 45}}, kafkaData)
	for what, want := range map[string]int{"topic: t ": 0, "t-0/": 0, "__consumer_offsets-42/00000000000000000000.log": 1, "topic: __transaction_state partition: 45 offset: 11": 2} {
		if n := strings.Count(got, what); n != want {
			t.Errorf("%q %d times", what, n)
		}
	}
}

// A dump of a damaged file shows what can be read, says where it ends, goes on, and fails in the end.
func TestDumpDamaged(t *testing.T) {
	d := newDirectory(t)
	first := partitionDir + "00000000000000000000.log"
	d.write(t, first, d.files[first][:len(d.files[first])-5])
	var out bytes.Buffer
	err := inspect.Dump(d.fs, []string{"data"}, inspect.Options{}, &out)
	if err == nil || !strings.Contains(out.String(), "error error: at position") || !strings.Contains(out.String(), "baseOffset: 12 ") {
		t.Fatalf("%v\n%s", err, out.String())
	}
}

// Arbitrary bytes under every file name neither panic nor allocate without bound.
func FuzzVerify(f *testing.F) {
	kinds := []string{".log", ".index", ".timeindex", ".txnindex", ".snapshot", ".checkpoint"}
	for i := range kinds {
		f.Add(uint8(i), []byte("seed"))
	}
	f.Add(uint8(0), []byte(record.ControlBatch(record.ControlLeaderChange, 0, 0, 0, []byte{0, 0})))
	f.Fuzz(func(t *testing.T, k uint8, p []byte) {
		for _, topic := range []string{"t", "__cluster_metadata", "__consumer_offsets"} {
			fs := vfs.NewMem(1)
			if err := fs.MkdirAll("d/" + topic + "-0"); err != nil {
				t.Fatal(err)
			}
			d := &directory{fs: fs}
			name := "d/" + topic + "-0/00000000000000000000" + kinds[int(k)%len(kinds)]
			d.write(t, name, p)
			if _, err := inspect.Verify(fs, []string{"d", name}, func(inspect.Finding) {}); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := inspect.Dump(fs, []string{"d"}, inspect.Options{Records: true, JSON: true}, &out); err != nil && !strings.Contains(err.Error(), "could not be read") {
				t.Fatal(err)
			}
		}
	})
}

// The members of a classic consumer group are shown with what they subscribe to and what they were given.
func TestDumpOpensMembers(t *testing.T) {
	var out bytes.Buffer
	if err := inspect.Dump(vfs.OS(), []string{kafkaData + "/__consumer_offsets-42/00000000000000000000.log"}, inspect.Options{JSON: true, Records: true}, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"subscription":{"version":3,"type":"ConsumerProtocolSubscription","topics":["t"]`,
		`"assignment":{"version":0,"type":"ConsumerProtocolAssignment","assignedPartitions":[{"topic":"t","partitions":[0]}]`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is missing", want)
		}
	}
}
