package inspect

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/vfs"
)

// Options say what Dump prints.
type Options struct {
	// JSON prints one object a line instead of text.
	JSON bool
	// Records prints every record, not only batches. Records of Kafka's internal topics are decoded.
	Records bool
	// Topics are those whose partitions are printed; none means all. Partitions likewise.
	Topics     []string
	Partitions []int32
	// From and To bound the offsets that are printed, of batches, records and index entries: from ≤ offset < to. To 0 is no bound. Where offsets are
	// bounded, or Topics or Partitions chosen, files that are about no partition's records are left out.
	From, To int64
	// Limits bound the opening of compressed batches; the zero value is record.MaxOutputBytes a batch.
	Limits record.Limits
}

// Dump prints the content of files, of partition directories and of data directories to w, in the order of paths and then of
// names. What cannot be read further is printed as an error line, and the dump goes on with the next file; the error that
// Dump returns then says in how many files that was. Other errors: a path that does not exist, and those of w.
func Dump(fsys vfs.FS, paths []string, opts Options, w io.Writer) error {
	d := &dumper{fsys: fsys, opts: opts, w: bufio.NewWriter(w)}
	for _, p := range paths {
		if err := walk(fsys, p, func(name string) error { return d.file(name, name == p) }); err != nil {
			return errors.Join(err, d.w.Flush())
		}
	}
	if err := d.w.Flush(); err != nil {
		return fmt.Errorf("write the dump: %w", err)
	}
	if d.damaged > 0 {
		return fmt.Errorf("%d files could not be read to their end", d.damaged)
	}
	return nil
}

// maxDepth bounds recursion into directories: data directory, partition.
const maxDepth = 4

// walk calls visit for the file at root, or for all files below it.
func walk(fsys vfs.FS, root string, visit func(name string) error) error {
	entry, err := fsys.Stat(root)
	if err != nil {
		return fmt.Errorf("inspect %s: %w", root, err)
	}
	if !entry.IsDir {
		return visit(root)
	}
	return walkDir(fsys, root, 0, visit)
}

func walkDir(fsys vfs.FS, dir string, depth int, visit func(name string) error) error {
	entries, err := fsys.List(dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name)
		switch {
		case !e.IsDir:
			err = visit(name)
		case depth < maxDepth:
			err = walkDir(fsys, name, depth+1, visit)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type dumper struct {
	fsys    vfs.FS
	opts    Options
	w       *bufio.Writer
	damaged int
}

// file dumps one file. Files of other kinds are an error only if the caller named them.
func (d *dumper) file(name string, named bool) error {
	k := kindOf(path.Base(name))
	if k == kindOther {
		if named {
			return fmt.Errorf("%s is no file of a log: want .log, .index, .timeindex, .txnindex, .snapshot, .checkpoint, a checkpoint or meta.properties", name)
		}
		return nil
	}
	if !d.wantsFile(name, k) {
		return nil
	}
	if !d.opts.JSON {
		fmt.Fprintf(d.w, "Dumping %s\n", name)
	}
	var err error
	if k == kindLog || k == kindMetadataSnapshot {
		err = d.log(name, k)
	} else {
		err = d.small(name, k)
	}
	if err != nil {
		d.damaged++
		return d.line(name, "error", object{{"error", err.Error()}})
	}
	return nil
}

// wants tells whether a partition was chosen.
func (d *dumper) wants(tp ids.TopicPartition) bool {
	return (len(d.opts.Topics) == 0 || slices.Contains(d.opts.Topics, tp.Topic)) &&
		(len(d.opts.Partitions) == 0 || slices.Contains(d.opts.Partitions, tp.Partition))
}

// wantsFile tells whether a file may hold something that was chosen.
func (d *dumper) wantsFile(name string, k kind) bool {
	chosen := len(d.opts.Topics) > 0 || len(d.opts.Partitions) > 0
	bounded := d.opts.From > 0 || d.opts.To > 0
	tp, inPartition := partitionOf(path.Dir(name))
	switch k {
	case kindOffsets, kindManifest: // of many partitions
		return !bounded
	case kindLog, kindOffsetIndex, kindTimeIndex, kindTxnIndex:
		if base, ok := baseOf(path.Base(name)); ok && d.opts.To > 0 && int64(base) >= d.opts.To {
			return false
		}
	default:
		if bounded {
			return false
		}
	}
	return !chosen || inPartition && d.wants(tp)
}

// overlaps tells whether some of the offsets from first to last are within the bounds.
func (d *dumper) overlaps(first, last ids.Offset) bool {
	return int64(last) >= d.opts.From && (d.opts.To <= 0 || int64(first) < d.opts.To)
}

// line prints one fact about a file.
func (d *dumper) line(file, what string, o object) error {
	if d.opts.JSON {
		p, err := json.Marshal(append(object{{"file", file}, {"kind", what}}, o...))
		if err != nil {
			return fmt.Errorf("dump %s: %w", file, err)
		}
		d.w.Write(p)
		return d.w.WriteByte('\n')
	}
	d.w.WriteString(what)
	for _, f := range o {
		text := fmt.Sprint(f.value)
		switch v := f.value.(type) {
		case nil:
			text = "null"
		case string:
			if v == "" || !printable([]byte(v)) || f.name == "key" || f.name == "value" {
				text = strconv.Quote(v)
			}
		case object, []any:
			p, err := json.Marshal(v)
			if err != nil {
				return fmt.Errorf("dump %s: %w", file, err)
			}
			text = string(p)
		}
		d.w.WriteString(" " + f.name + ": " + text)
	}
	return d.w.WriteByte('\n') // the writer keeps its first error
}

func (d *dumper) log(name string, k kind) error {
	s, err := openScanner(d.fsys, name)
	if err != nil {
		return err
	}
	defer s.close()
	topic := topicOf(name, k)
	for {
		b, position, err := s.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("at position %d: %w", position, err)
		}
		if !d.overlaps(b.BaseOffset(), b.LastOffset()) {
			continue
		}
		if err := d.line(name, "batch", batchObject(b, position)); err != nil {
			return err
		}
		if !d.opts.Records {
			continue
		}
		if err := d.records(name, topic, b); err != nil {
			return fmt.Errorf("batch at position %d: %w", position, err)
		}
	}
}

// topicOf is the topic whose record layout a log has, from its directory's name.
func topicOf(name string, k kind) string {
	if k == kindMetadataSnapshot {
		return metadataTopic
	}
	tp, _ := partitionOf(path.Dir(name))
	return tp.Topic
}

func batchObject(b record.Batch, position int64) object {
	o := object{
		{"baseOffset", b.BaseOffset()}, {"lastOffset", b.LastOffset()}, {"count", b.Count()},
		{"position", position}, {"size", len(b)}, {"partitionLeaderEpoch", b.LeaderEpoch()},
		{"producerId", b.ProducerID()}, {"producerEpoch", b.ProducerEpoch()},
		{"baseSequence", b.BaseSequence()}, {"lastSequence", b.LastSequence()},
		{"isTransactional", b.IsTransactional()}, {"isControl", b.IsControl()},
		{"timestampType", b.TimestampType().String()}, {"baseTimestamp", b.BaseTimestamp()}, {"maxTimestamp", b.MaxTimestamp()},
		{"compressCodec", b.Codec().String()}, {"crc", b.CRC()}, {"isValid", b.CRC() == b.ComputeCRC()},
	}
	if b.HasDeleteHorizon() {
		o = append(o, field{"deleteHorizonMs", b.DeleteHorizonMs()})
	}
	return o
}

func (d *dumper) records(name, topic string, b record.Batch) error {
	it := b.Records(d.opts.Limits)
	defer it.Close()
	for it.Next() {
		r := it.Record()
		if !d.overlaps(r.Offset, r.Offset) {
			continue
		}
		o := object{{"offset", r.Offset}, {"timestamp", r.TimestampMs}}
		payload, err := decodePayload(topic, b.IsControl(), r)
		switch {
		case err != nil:
			o = append(o, field{"undecodable", err.Error()}, field{"key", bytesValue(r.Key)}, field{"value", bytesValue(r.Value)})
		case payload != nil:
			o = append(o, payload...)
		default:
			o = append(o, field{"key", bytesValue(r.Key)}, field{"value", bytesValue(r.Value)})
		}
		if r.Headers.Len() > 0 {
			var headers []any
			for h := range r.Headers.All {
				headers = append(headers, object{{"key", bytesValue(h.Key)}, {"value", bytesValue(h.Value)}})
			}
			o = append(o, field{"headers", headers})
		}
		if err := d.line(name, "record", o); err != nil {
			return err
		}
	}
	return it.Err()
}

func (d *dumper) small(name string, k kind) error {
	data, err := readSmall(d.fsys, name)
	if err != nil {
		return err
	}
	base, _ := baseOf(path.Base(name))
	switch k {
	case kindOffsetIndex:
		return eachEntry(data, 8, func(p []byte) error {
			offset := base + ids.Offset(binary.BigEndian.Uint32(p))
			if !d.overlaps(offset, offset) {
				return nil
			}
			return d.line(name, "entry", object{{"offset", offset}, {"position", binary.BigEndian.Uint32(p[4:])}})
		})
	case kindTimeIndex:
		return eachEntry(data, 12, func(p []byte) error {
			offset := base + ids.Offset(binary.BigEndian.Uint32(p[8:]))
			if !d.overlaps(offset, offset) {
				return nil
			}
			return d.line(name, "entry", object{{"timestamp", int64(binary.BigEndian.Uint64(p))}, {"offset", offset}})
		})
	case kindTxnIndex:
		return eachEntry(data, producerstate.TxnIndexEntrySize, func(p []byte) error {
			t, err := producerstate.ParseTxnIndexEntry(p)
			if err != nil {
				return err
			}
			if !d.overlaps(t.FirstOffset, t.LastOffset) {
				return nil
			}
			return d.line(name, "abortedTransaction", object{{"producerId", t.ProducerID}, {"firstOffset", t.FirstOffset},
				{"lastOffset", t.LastOffset}, {"lastStableOffset", t.LastStableOffset}})
		})
	case kindProducerSnapshot:
		return d.producers(name, data)
	case kindEpochs:
		epochs, err := parseEpochs(data)
		for _, e := range epochs {
			if err := d.line(name, "epoch", object{{"epoch", e.epoch}, {"startOffset", e.start}}); err != nil {
				return err
			}
		}
		return err
	case kindOffsets:
		offsets, err := parseOffsets(data)
		for _, o := range offsets {
			if !d.wants(o.tp) {
				continue
			}
			if err := d.line(name, "checkpoint", object{{"topic", o.tp.Topic}, {"partition", o.tp.Partition}, {"offset", o.offset}}); err != nil {
				return err
			}
		}
		return err
	case kindPartitionMetadata:
		id, err := parsePartitionMetadata(data)
		if err != nil {
			return err
		}
		return d.line(name, "partition", object{{"topicId", id.String()}})
	case kindManifest:
		return d.manifest(name, data)
	case kindMeta:
		properties, err := parseProperties(data)
		for _, p := range properties {
			if err := d.line(name, "property", object{{"name", p.key}, {"value", p.value}}); err != nil {
				return err
			}
		}
		return err
	}
	if d.opts.JSON && json.Valid(data) {
		return d.line(name, "content", object{{"content", json.RawMessage(data)}})
	}
	return d.line(name, "content", object{{"content", string(data)}})
}

func (d *dumper) producers(name string, data []byte) error {
	producers, err := producerstate.ParseSnapshot(data)
	for _, p := range producers {
		o := object{{"producerId", p.ID}, {"producerEpoch", p.Epoch}, {"lastSequence", p.LastSequence}, {"lastOffset", p.LastOffset},
			{"offsetDelta", p.OffsetDelta}, {"lastTimestamp", p.LastTimestampMs}, {"coordinatorEpoch", p.CoordinatorEpoch},
			{"currentTxnFirstOffset", p.TxnFirstOffset}}
		if err := d.line(name, "producer", o); err != nil {
			return err
		}
	}
	return err
}

// eachEntry calls visit for every entry of an index that is in use; an index that is preallocated ends with zeros.
func eachEntry(data []byte, size int, visit func(p []byte) error) error {
	used := data[:usedBytes(data, size)]
	for ; len(used) >= size; used = used[size:] {
		if err := visit(used[:size]); err != nil {
			return err
		}
	}
	if len(data)%size != 0 {
		return fmt.Errorf("%d bytes are not a multiple of the entry size %d", len(data), size)
	}
	return nil
}

// usedBytes is where the zeros begin that preallocation left at an index's end, on an entry's boundary. A first
// entry of zeros is used only if another entry follows.
func usedBytes(data []byte, size int) int {
	used := len(data) - len(data)%size
	for used >= size && allZero(data[used-size:used]) {
		used -= size
	}
	return used
}

func allZero(p []byte) bool {
	for _, c := range p {
		if c != 0 {
			return false
		}
	}
	return true
}
