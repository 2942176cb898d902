package inspect

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/vfs"
)

// PartitionStat is what one partition's directory holds. Numbers that nothing on disk tells are -1.
type PartitionStat struct {
	Path      string `json:"path"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// State is "" for a partition that is served, else "delete", "future" or "stray", as the directory's name says.
	State   string `json:"state,omitempty"`
	TopicID string `json:"topicId"`

	Segments     int   `json:"segments"`
	LogBytes     int64 `json:"logBytes"`
	IndexBytes   int64 `json:"indexBytes"`   // .index, .timeindex and .txnindex, with what is preallocated
	OtherBytes   int64 `json:"otherBytes"`   // snapshots and checkpoints
	PendingBytes int64 `json:"pendingBytes"` // files that are being deleted, cleaned or swapped

	LogStart       ids.Offset `json:"logStart"` // log-start-offset-checkpoint, else where the first segment begins
	LogEnd         ids.Offset `json:"logEnd"`   // behind the last whole batch
	HighWatermark  ids.Offset `json:"highWatermark"`
	RecoveryPoint  ids.Offset `json:"recoveryPoint"`
	UnsyncedBytes  int64      `json:"unsyncedBytes"`  // from the recovery point's segment on: what a start after a crash scans
	FirstTimestamp int64      `json:"firstTimestamp"` // of the first batch, milliseconds
	LastTimestamp  int64      `json:"lastTimestamp"`  // the largest: exact with deep, else of the last segment

	FirstEpoch ids.LeaderEpoch `json:"firstEpoch"`
	LastEpoch  ids.LeaderEpoch `json:"lastEpoch"`

	FirstDirty ids.Offset `json:"firstDirty"` // cleaner-offset-checkpoint
	DirtyRatio float64    `json:"dirtyRatio"` // bytes that the cleaner has not seen, among those it may see: all but the last segment

	Producers        int `json:"producers"` // of the newest producer snapshot
	OpenTransactions int `json:"openTransactions"`

	Batches int64            `json:"batches"` // only with deep
	Records int64            `json:"records"`
	Codecs  map[string]int64 `json:"codecs,omitempty"` // batches of each codec, only with deep
	// Damage says why counting ended before the end of the log.
	Damage string `json:"damage,omitempty"`
}

// DirectoryStat sums up one data directory.
type DirectoryStat struct {
	Path          string `json:"path"`
	ClusterID     string `json:"clusterId"`
	NodeID        string `json:"nodeId"`
	Clean         bool   `json:"clean"` // the last stop was a clean one
	Partitions    int    `json:"partitions"`
	Segments      int    `json:"segments"`
	LogBytes      int64  `json:"logBytes"`
	IndexBytes    int64  `json:"indexBytes"`
	OtherBytes    int64  `json:"otherBytes"`
	PendingBytes  int64  `json:"pendingBytes"`
	UnsyncedBytes int64  `json:"unsyncedBytes"`
}

// Stat measures data directories and partition directories: partitions come sorted by topic and number, then their directory's
// sum. With deep every batch header is read, else only the last segment's from its last index entry on. Damage ends the counting of
// one partition and is told in it; the error is for what kept Stat from looking.
func Stat(fsys vfs.FS, paths []string, deep bool, partition func(PartitionStat) error, directory func(DirectoryStat) error) error {
	for _, p := range paths {
		s := &surveyor{fsys: fsys, deep: deep}
		entries, err := fsys.List(p)
		if err != nil {
			return fmt.Errorf("stat %s: %w", p, err)
		}
		if holdsSegments(entries) {
			s.checkpoints(path.Dir(p))
			one, err := s.partition(p)
			if err != nil {
				return err
			}
			if err := partition(one); err != nil {
				return err
			}
			continue
		}
		all, sum, err := s.directory(p, entries)
		if err != nil {
			return err
		}
		for _, one := range all {
			if err := partition(one); err != nil {
				return err
			}
		}
		if err := directory(sum); err != nil {
			return err
		}
	}
	return nil
}

func holdsSegments(entries []vfs.Entry) bool {
	return slices.ContainsFunc(entries, func(e vfs.Entry) bool {
		_, ok := baseOf(e.Name)
		return !e.IsDir && ok && kindOf(e.Name) == kindLog
	})
}

// surveyor measures what lies in one data directory.
type surveyor struct {
	fsys vfs.FS
	deep bool
	// What the directory's checkpoints say.
	starts, recovery, watermarks, cleaned map[ids.TopicPartition]ids.Offset
}

// checkpoints reads those of a data directory; what is absent or damaged says nothing, which verify reports.
func (s *surveyor) checkpoints(dir string) {
	read := func(name string) map[ids.TopicPartition]ids.Offset {
		out := make(map[ids.TopicPartition]ids.Offset)
		data, err := readSmall(s.fsys, path.Join(dir, name))
		if err != nil {
			return out
		}
		offsets, err := parseOffsets(data)
		if err != nil {
			return out
		}
		for _, o := range offsets {
			out[o.tp] = o.offset
		}
		return out
	}
	s.starts, s.recovery = read("log-start-offset-checkpoint"), read("recovery-point-offset-checkpoint")
	s.watermarks, s.cleaned = read("replication-offset-checkpoint"), read("cleaner-offset-checkpoint")
}

func (s *surveyor) directory(dir string, entries []vfs.Entry) ([]PartitionStat, DirectoryStat, error) {
	s.checkpoints(dir)
	sum := DirectoryStat{Path: dir}
	var all []PartitionStat
	for _, e := range entries {
		name := path.Join(dir, e.Name)
		switch {
		case e.Name == ".kafka_cleanshutdown":
			sum.Clean = true
		case e.Name == "meta.properties":
			s.identity(name, &sum)
		}
		if !e.IsDir {
			sum.OtherBytes += e.Size
			continue
		}
		if _, ok := partitionOf(name); !ok {
			continue
		}
		one, err := s.partition(name)
		if err != nil {
			return nil, sum, err
		}
		all = append(all, one)
		sum.Partitions++
		sum.Segments += one.Segments
		sum.LogBytes += one.LogBytes
		sum.IndexBytes += one.IndexBytes
		sum.OtherBytes += one.OtherBytes
		sum.PendingBytes += one.PendingBytes
		sum.UnsyncedBytes += max(one.UnsyncedBytes, 0)
	}
	slices.SortFunc(all, func(a, b PartitionStat) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Path, b.Path))
	})
	return all, sum, nil
}

func (s *surveyor) identity(name string, sum *DirectoryStat) {
	data, err := readSmall(s.fsys, name)
	if err != nil {
		return
	}
	properties, _ := parseProperties(data)
	for _, p := range properties {
		switch p.key {
		case "cluster.id":
			sum.ClusterID = p.value
		case "node.id":
			sum.NodeID = p.value
		}
	}
}

// segmentFile is one segment's log.
type segmentFile struct {
	base ids.Offset
	size int64
}

func (s *surveyor) partition(dir string) (PartitionStat, error) {
	tp, _ := partitionOf(dir)
	p := PartitionStat{Path: dir, Topic: tp.Topic, Partition: tp.Partition, State: stateOf(path.Base(dir)),
		LogStart: -1, LogEnd: -1, HighWatermark: -1, RecoveryPoint: -1, UnsyncedBytes: -1, FirstTimestamp: -1, LastTimestamp: -1,
		FirstEpoch: -1, LastEpoch: -1, FirstDirty: -1, DirtyRatio: -1, Batches: -1, Records: -1}
	entries, err := s.fsys.List(dir)
	if err != nil {
		return p, fmt.Errorf("stat %s: %w", dir, err)
	}
	segments, snapshot := p.sizes(entries)
	s.smallFiles(dir, snapshot, &p)
	s.points(tp, segments, &p)
	if len(segments) == 0 {
		return p, nil
	}
	if err := s.scan(dir, segments, &p); err != nil {
		return p, err
	}
	if p.RecoveryPoint >= p.LogEnd {
		p.UnsyncedBytes = 0
	}
	return p, nil
}

func stateOf(name string) string {
	for _, suffix := range []string{"-delete", "-future", "-stray"} {
		if strings.HasSuffix(name, suffix) {
			return suffix[1:]
		}
	}
	return ""
}

// sizes sums up the files, and returns the segments in order and the name of the newest producer snapshot.
func (p *PartitionStat) sizes(entries []vfs.Entry) (segments []segmentFile, snapshot string) {
	for _, e := range entries { // sorted by name, and so by base offset
		base, ok := baseOf(e.Name)
		switch k := kindOf(e.Name); {
		case e.IsDir:
		case transition(e.Name):
			p.PendingBytes += e.Size
		case k == kindLog && ok:
			segments = append(segments, segmentFile{base, e.Size})
			p.LogBytes += e.Size
		case k == kindOffsetIndex || k == kindTimeIndex || k == kindTxnIndex:
			p.IndexBytes += e.Size
		default:
			if k == kindProducerSnapshot && ok {
				snapshot = e.Name
			}
			p.OtherBytes += e.Size
		}
	}
	p.Segments = len(segments)
	return segments, snapshot
}

// smallFiles reads what the files beside the segments say.
func (s *surveyor) smallFiles(dir, snapshot string, p *PartitionStat) {
	if data, err := readSmall(s.fsys, path.Join(dir, "partition.metadata")); err == nil {
		if id, err := parsePartitionMetadata(data); err == nil {
			p.TopicID = id.String()
		}
	}
	if data, err := readSmall(s.fsys, path.Join(dir, "leader-epoch-checkpoint")); err == nil {
		if epochs, err := parseEpochs(data); err == nil && len(epochs) > 0 {
			p.FirstEpoch, p.LastEpoch = epochs[0].epoch, epochs[len(epochs)-1].epoch
		}
	}
	if snapshot == "" {
		return
	}
	data, err := readSmall(s.fsys, path.Join(dir, snapshot))
	if err != nil {
		return
	}
	producers, _ := producerstate.ParseSnapshot(data)
	p.Producers = len(producers)
	for _, one := range producers {
		if one.TxnFirstOffset >= 0 {
			p.OpenTransactions++
		}
	}
}

// points fills in what the checkpoints say.
func (s *surveyor) points(tp ids.TopicPartition, segments []segmentFile, p *PartitionStat) {
	if p.State != "" {
		return // the checkpoints are about the partition that is served under this name
	}
	for _, c := range []struct {
		from map[ids.TopicPartition]ids.Offset
		to   *ids.Offset
	}{{s.starts, &p.LogStart}, {s.recovery, &p.RecoveryPoint}, {s.watermarks, &p.HighWatermark}, {s.cleaned, &p.FirstDirty}} {
		if offset, ok := c.from[tp]; ok {
			*c.to = offset
		}
	}
	if len(segments) == 0 {
		return
	}
	p.LogStart = max(p.LogStart, segments[0].base)
	p.UnsyncedBytes = 0
	var clean, dirty int64
	for i, segment := range segments {
		last := i == len(segments)-1
		if last || segments[i+1].base > p.RecoveryPoint {
			p.UnsyncedBytes += segment.size
		}
		switch {
		case last:
		case segment.base < p.FirstDirty:
			clean += segment.size
		default:
			dirty += segment.size
		}
	}
	if p.FirstDirty >= 0 {
		p.DirtyRatio = float64(dirty) / float64(max(clean+dirty, 1))
	}
}

// scan reads batch headers: all of them with deep, else the first one and those of the last segment's tail.
func (s *surveyor) scan(dir string, segments []segmentFile, p *PartitionStat) error {
	if s.deep {
		p.Batches, p.Records, p.Codecs = 0, 0, make(map[string]int64)
	}
	last := len(segments) - 1
	p.LogEnd = segments[last].base
	for i, segment := range segments {
		if !s.deep && i != 0 && i != last {
			continue
		}
		name := path.Join(dir, fmt.Sprintf("%020d.log", segment.base))
		in, err := openScanner(s.fsys, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since the listing: a broker runs
		}
		if err != nil {
			return fmt.Errorf("stat %s: %w", name, err)
		}
		if !s.deep && i == last {
			err = s.scanTail(in, name, i == 0, p)
		} else {
			err = s.scanSegment(in, i == 0, i == last, p)
		}
		if cerr := in.close(); err == nil {
			err = cerr
		}
		if err != nil {
			p.Damage = fmt.Sprintf("%s position %d: %v", name, in.at, err)
			return nil
		}
	}
	return nil
}

// scanTail reads a segment's first header if it is wanted, then those from the last index entry on. An index that cannot be read
// saves nothing; one that is wrong shows as damage.
func (s *surveyor) scanTail(in *scanner, name string, first bool, p *PartitionStat) error {
	if first {
		b, _, err := in.next()
		if err != nil {
			return s.scanSegment(in, false, true, p) // an empty file, or damage at its very beginning
		}
		p.FirstTimestamp, p.LogEnd, p.LastTimestamp = b.BaseTimestamp(), b.NextOffset(), b.MaxTimestamp()
	}
	stem := strings.TrimSuffix(name, ".log")
	if data, err := readSmall(s.fsys, stem+".timeindex"); err == nil {
		if used := usedBytes(data, timeEntrySize); used > 0 {
			p.LastTimestamp = max(p.LastTimestamp, int64(binary.BigEndian.Uint64(data[used-timeEntrySize:])))
		}
	}
	if data, err := readSmall(s.fsys, stem+".index"); err == nil {
		if used := usedBytes(data, offsetEntrySize); used > 0 {
			if at := int64(binary.BigEndian.Uint32(data[used-4:])); at < in.size {
				in.at = max(in.at, at)
			}
		}
	}
	return s.scanSegment(in, false, true, p)
}

// Sizes of index entries.
const (
	offsetEntrySize = 8
	timeEntrySize   = 12
)

// scanSegment reads the headers that are wanted of one segment.
func (s *surveyor) scanSegment(in *scanner, first, last bool, p *PartitionStat) error {
	for {
		b, _, err := in.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if first && p.FirstTimestamp < 0 {
			p.FirstTimestamp = b.BaseTimestamp()
		}
		if !s.deep && !last {
			return nil
		}
		p.LogEnd, p.LastTimestamp = b.NextOffset(), max(p.LastTimestamp, b.MaxTimestamp())
		p.count(b)
	}
}

func (p *PartitionStat) count(b record.Batch) {
	if p.Codecs == nil {
		return
	}
	p.Batches++
	p.Records += int64(b.Count())
	p.Codecs[b.Codec().String()]++
}

// CodecMix is the share of each codec in words, sorted by name: "none 3, zstd 10".
func (p *PartitionStat) CodecMix() string {
	var words []string
	for _, codec := range slices.Sorted(maps.Keys(p.Codecs)) {
		words = append(words, fmt.Sprintf("%s %d", codec, p.Codecs[codec]))
	}
	return strings.Join(words, ", ")
}
