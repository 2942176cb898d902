package inspect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/vfs"
)

// Check is which rule a Finding is about.
type Check string

// The rules that Verify holds.
const (
	CheckFraming   Check = "framing"    // the bytes of a batch can't be told from the file
	CheckChecksum  Check = "checksum"   // CRC-32C of a batch
	CheckRecords   Check = "records"    // the records inside a batch
	CheckPayload   Check = "payload"    // a record of an internal topic is not of its topic's layout
	CheckOffsets   Check = "offsets"    // offsets overlap or leave holes
	CheckEpochs    Check = "epochs"     // leader epochs fall, or disagree with leader-epoch-checkpoint
	CheckIndex     Check = "index"      // .index disagrees with the log
	CheckTimeIndex Check = "time index" // .timeindex disagrees with the log
	CheckTxnIndex  Check = "txn index"  // .txnindex disagrees with the markers in the log
	CheckProducers Check = "producers"  // .snapshot disagrees with the log
	CheckPoints    Check = "checkpoint" // a checkpoint is malformed or points beyond the log
	CheckMeta      Check = "meta"       // meta.properties, partition.metadata, and other small files
)

// Finding is one thing that is wrong.
type Finding struct {
	Path     string     `json:"path"`
	Check    Check      `json:"check"`
	Position int64      `json:"position"` // byte position in the file, -1 where it means nothing
	Offset   ids.Offset `json:"offset"`   // of the record or batch concerned, -1 where it means nothing
	Message  string     `json:"message"`
	Advice   string     `json:"advice"` // what to do
}

// String is one line for an operator.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.Path)
	if f.Position >= 0 {
		fmt.Fprintf(&b, " position %d", f.Position)
	}
	if f.Offset >= 0 {
		fmt.Fprintf(&b, " offset %d", f.Offset)
	}
	fmt.Fprintf(&b, ": %s: %s. To do: %s", f.Check, f.Message, f.Advice)
	return b.String()
}

// Summary counts what Verify saw.
type Summary struct {
	Files      int64 `json:"files"`
	Partitions int64 `json:"partitions"`
	Batches    int64 `json:"batches"`
	Records    int64 `json:"records"`
	Bytes      int64 `json:"bytes"`
	Findings   int64 `json:"findings"`
}

// Verify checks files, partition directories and data directories, and reports each corruption as it finds it. The error
// is for what kept it from looking: a path that does not exist, a disk that does not read.
//
// Checked are: framing, checksums and records of every batch (compressed ones are opened, up to
// record.MaxOutputBytes); offsets without overlaps and holes, epochs that never fall, across segments; agreement of index,
// time index, aborted-transaction index, producer snapshots and leader-epoch-checkpoint with the log; checkpoints that
// point beyond a log; the layout of small files and of records in internal topics. With a data directory that holds the metadata log, ids of topics,
// of the node and of its directories are held against it.
//
// What it cannot judge, and takes for good, docs/inspect.md lists: what no second copy tells, holes in a compacted log (its topic is known to be, its
// partition is in cleaner-offset-checkpoint, or some batch has lost records), epochs above the recovery point, because their file is written later. Files in
// transition (.deleted, .cleaned, .swap) and directories that are being deleted, or are the unfinished copy of a log that moves, are skipped. A time index entry may name any
// offset of its batch: Kafka's versions differ in which, and readers start at the batch in any case.
func Verify(fsys vfs.FS, paths []string, report func(Finding)) (Summary, error) {
	v := &verifier{fsys: fsys, report: report, image: catalogue(fsys, paths)}
	for _, p := range paths {
		entry, err := fsys.Stat(p)
		if err != nil {
			return v.sum, fmt.Errorf("verify %s: %w", p, err)
		}
		if entry.IsDir {
			err = v.directory(p, 0)
		} else {
			err = v.single(p)
		}
		if err != nil {
			return v.sum, err
		}
	}
	return v.sum, nil
}

type verifier struct {
	fsys   vfs.FS
	report func(Finding)
	sum    Summary
	image  *metadata.Image // what the metadata log says, nil where none is among the paths
}

func (v *verifier) find(name string, c Check, position int64, offset ids.Offset, format string, args ...any) {
	v.emit(Finding{Path: name, Check: c, Position: position, Offset: offset, Message: fmt.Sprintf(format, args...)})
}

func (v *verifier) emit(f Finding) {
	v.sum.Findings++
	f.Advice = f.advise()
	v.report(f)
}

// single verifies one file, with the log beside it where the file is about one.
func (v *verifier) single(name string) error {
	base := path.Base(name)
	switch kindOf(base) {
	case kindOther:
		return fmt.Errorf("verify %s: no file of a log", name)
	case kindLog, kindOffsetIndex, kindTimeIndex, kindTxnIndex:
		first, ok := baseOf(base)
		if !ok {
			return fmt.Errorf("verify %s: the name does not begin with an offset of 20 digits", name)
		}
		p := v.newPartition(path.Dir(name))
		p.alone = true
		return p.verify([]ids.Offset{first})
	case kindMetadataSnapshot:
		return v.metadataSnapshot(name)
	}
	return v.small(name)
}

// directory verifies a partition's directory, or all that lie in a data directory and its checkpoints.
func (v *verifier) directory(dir string, depth int) error {
	entries, err := v.fsys.List(dir)
	if err != nil {
		return fmt.Errorf("verify %s: %w", dir, err)
	}
	var bases []ids.Offset
	ends := make(map[ids.TopicPartition]ids.Offset)
	for _, e := range entries {
		name := path.Join(dir, e.Name)
		switch k := kindOf(e.Name); {
		case e.IsDir && depth < maxDepth && !strings.HasSuffix(e.Name, "-delete") && !strings.HasSuffix(e.Name, "-future"):
			if err := v.subdirectory(name, depth+1, ends); err != nil {
				return err
			}
		case e.IsDir || transition(e.Name):
		case k == kindLog:
			base, ok := baseOf(e.Name)
			if !ok {
				v.find(name, CheckFraming, -1, -1, "the name does not begin with an offset of 20 digits")
				continue
			}
			bases = append(bases, base)
		case k == kindMetadataSnapshot:
			if err := v.metadataSnapshot(name); err != nil {
				return err
			}
		case k == kindPartitionMetadata || k == kindMeta || k == kindJSON || k == kindManifest:
			if err := v.small(name); err != nil {
				return err
			}
		}
	}
	if len(bases) > 0 {
		p := v.newPartition(dir)
		if err := p.verify(bases); err != nil {
			return err
		}
	}
	return v.offsetCheckpoints(dir, entries, ends)
}

// subdirectory verifies dir, and notes in ends where its log ends if it is a partition's.
func (v *verifier) subdirectory(dir string, depth int, ends map[ids.TopicPartition]ids.Offset) error {
	tp, ok := partitionOf(dir)
	if !ok || path.Base(dir) != tp.String() {
		return v.directory(dir, depth)
	}
	entries, err := v.fsys.List(dir)
	if err != nil {
		return fmt.Errorf("verify %s: %w", dir, err)
	}
	p := v.newPartition(dir)
	var bases []ids.Offset
	for _, e := range entries {
		if base, ok := baseOf(e.Name); ok && kindOf(e.Name) == kindLog && !transition(e.Name) {
			bases = append(bases, base)
		}
	}
	if len(bases) == 0 {
		return v.directory(dir, depth)
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name)
		switch kindOf(e.Name) {
		case kindMetadataSnapshot:
			err = v.metadataSnapshot(name)
		case kindPartitionMetadata, kindJSON:
			err = v.small(name)
		}
		if err != nil {
			return err
		}
	}
	if err := p.verify(bases); err != nil {
		return err
	}
	ends[tp] = p.next
	return nil
}

func transition(name string) bool {
	return slices.Contains(transitional, path.Ext(name))
}

// offsetCheckpoints holds a data directory's checkpoints against where its logs end.
func (v *verifier) offsetCheckpoints(dir string, entries []vfs.Entry, ends map[ids.TopicPartition]ids.Offset) error {
	clean := slices.ContainsFunc(entries, func(e vfs.Entry) bool { return e.Name == ".kafka_cleanshutdown" })
	for _, e := range entries {
		if e.IsDir || kindOf(e.Name) != kindOffsets {
			continue
		}
		name := path.Join(dir, e.Name)
		v.sum.Files++
		data, err := readSmall(v.fsys, name)
		if err != nil {
			return err
		}
		offsets, err := parseOffsets(data)
		if err != nil {
			v.find(name, CheckPoints, -1, -1, "%v", err)
			continue
		}
		for _, o := range offsets {
			end, ok := ends[o.tp]
			// Kafka leaves the metadata log's as it was.
			if ok && clean && e.Name == "recovery-point-offset-checkpoint" && o.offset < end && o.tp.Topic != metadataTopic {
				v.find(name, CheckPoints, -1, o.offset, "%s is said to be flushed up to offset %d, but was stopped cleanly, and its log ends at %d", o.tp, o.offset, end)
			}
			if ok && o.offset > end {
				v.find(name, CheckPoints, -1, o.offset, "%s is said to reach offset %d, but its log ends at %d", o.tp, o.offset, end)
			}
		}
	}
	return nil
}

// small verifies the files that stand for themselves.
func (v *verifier) small(name string) error {
	v.sum.Files++
	data, err := readSmall(v.fsys, name)
	if err != nil {
		return err
	}
	v.sum.Bytes += int64(len(data))
	switch kindOf(path.Base(name)) {
	case kindPartitionMetadata:
		err = v.checkTopicID(path.Dir(name), data)
	case kindMeta:
		if err = checkMeta(data); err == nil {
			err = v.checkRegistered(path.Dir(name), data)
		}
	case kindManifest:
		_, err = parseManifest(data)
	case kindJSON:
		err = checkJSON(path.Base(name), data)
	case kindEpochs:
		if _, err := parseEpochs(data); err != nil {
			v.find(name, CheckEpochs, -1, -1, "%v", err)
		}
	case kindOffsets:
		if _, err := parseOffsets(data); err != nil {
			v.find(name, CheckPoints, -1, -1, "%v", err)
		}
	case kindProducerSnapshot:
		if _, err := producerstate.ParseSnapshot(data); err != nil {
			v.find(name, CheckProducers, -1, -1, "%v", err)
		}
	}
	if err != nil {
		v.find(name, CheckMeta, -1, -1, "%v", err)
	}
	return nil
}

// checkJSON wants what Kafka writes, and nothing else.
func checkJSON(name string, data []byte) error {
	var into any = new(struct {
		Version     *int   `json:"version"`
		BrokerEpoch *int64 `json:"brokerEpoch"`
	})
	if name == "quorum-state" {
		into = new(struct {
			ClusterID        *string `json:"clusterId"`
			LeaderID         *int    `json:"leaderId"`
			LeaderEpoch      *int    `json:"leaderEpoch"`
			VotedID          *int    `json:"votedId"`
			VotedDirectoryID *string `json:"votedDirectoryId"`
			AppliedOffset    *int64  `json:"appliedOffset"`
			CurrentVoters    []struct {
				VoterID *int `json:"voterId"`
			} `json:"currentVoters"`
			DataVersion *int `json:"data_version"`
		})
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// checkMeta wants the four properties that tell whose directory it is.
func checkMeta(data []byte) error {
	properties, err := parseProperties(data)
	if err != nil {
		return err
	}
	values := make(map[string]string)
	for _, p := range properties {
		if _, twice := values[p.key]; twice {
			return fmt.Errorf("%s is given twice", p.key)
		}
		values[p.key] = p.value
	}
	if values["version"] != "1" {
		return fmt.Errorf("version is %q, want 1", values["version"])
	}
	if values["cluster.id"] == "" {
		return errors.New("cluster.id is missing")
	}
	if n, err := strconv.ParseInt(values["node.id"], 10, 32); err != nil || n < 0 {
		return fmt.Errorf("node.id is %q, want a number from 0", values["node.id"])
	}
	if _, err := ids.ParseUUID(values["directory.id"]); err != nil {
		return fmt.Errorf("directory.id: %w", err)
	}
	return nil
}

// readOptional returns nil where there is no such file.
func (v *verifier) readOptional(name string) ([]byte, error) {
	data, err := readSmall(v.fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		v.sum.Files++
		v.sum.Bytes += int64(len(data))
	}
	return data, err
}
