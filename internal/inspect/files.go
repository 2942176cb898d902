package inspect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/vfs"
)

// kind is what a file's name says that it is.
type kind uint8

const (
	kindOther kind = iota
	kindLog
	kindOffsetIndex
	kindTimeIndex
	kindTxnIndex
	kindProducerSnapshot
	kindMetadataSnapshot // a .checkpoint: a log between header and footer
	kindEpochs
	kindPartitionMetadata
	kindOffsets // a checkpoint of offsets of many partitions
	kindMeta
	kindJSON     // quorum-state, .kafka_cleanshutdown
	kindManifest // Ottla's own
)

// transitional are the suffixes of segment files that are being replaced or deleted.
var transitional = []string{".deleted", ".cleaned", ".swap"}

// kindOf classifies a file by its base name.
func kindOf(name string) kind {
	switch name {
	case "leader-epoch-checkpoint":
		return kindEpochs
	case "partition.metadata":
		return kindPartitionMetadata
	case "recovery-point-offset-checkpoint", "log-start-offset-checkpoint", "replication-offset-checkpoint", "cleaner-offset-checkpoint", "ottla.failed-sync":
		return kindOffsets
	case "meta.properties":
		return kindMeta
	case "ottla.manifest":
		return kindManifest
	case "quorum-state", ".kafka_cleanshutdown":
		return kindJSON
	}
	for _, suffix := range transitional {
		name = strings.TrimSuffix(name, suffix)
	}
	switch path.Ext(name) {
	case ".log":
		return kindLog
	case ".index":
		return kindOffsetIndex
	case ".timeindex":
		return kindTimeIndex
	case ".txnindex":
		return kindTxnIndex
	case ".snapshot":
		return kindProducerSnapshot
	case ".checkpoint":
		return kindMetadataSnapshot
	}
	return kindOther
}

// baseOf reads the 20 digits that name a segment's files.
func baseOf(name string) (ids.Offset, bool) {
	if len(name) < 21 || name[20] != '.' {
		return 0, false
	}
	n, err := strconv.ParseInt(name[:20], 10, 64)
	return ids.Offset(n), err == nil && n >= 0
}

// partitionOf reads the name of a partition's directory, also of one that is being deleted, moved or is unknown.
func partitionOf(dir string) (ids.TopicPartition, bool) {
	name := path.Base(dir)
	for _, suffix := range []string{"-delete", "-future", "-stray"} {
		if rest, ok := strings.CutSuffix(name, suffix); ok {
			if dot := strings.LastIndexByte(rest, '.'); dot > 0 {
				rest = rest[:dot]
			}
			name = rest
		}
	}
	dash := strings.LastIndexByte(name, '-')
	if dash <= 0 {
		return ids.TopicPartition{}, false
	}
	n, err := strconv.ParseInt(name[dash+1:], 10, 32)
	return ids.TopicPartition{Topic: name[:dash], Partition: int32(n)}, err == nil && n >= 0
}

// smallFile bounds the files that are read whole: indexes of 1 GiB segments are 10 MiB, checkpoints of a million partitions 60 MB.
const smallFile = 256 << 20

func readSmall(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.OpenReadOnly(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("size of %s: %w", name, err)
	}
	if size > smallFile {
		return nil, fmt.Errorf("read %s: %d bytes are more than such a file can have", name, size)
	}
	data := make([]byte, size)
	if n, err := f.ReadAt(data, 0); n < len(data) {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

// scanner walks the batches of a log file. The batch that next returns is valid until the following call.
type scanner struct {
	file   vfs.File
	size   int64
	at     int64  // position of the next batch
	buf    []byte // what is read: file bytes from start on
	start  int64
	memory []byte
}

// window is how many bytes a read takes at least.
const window = 1 << 20

func openScanner(fsys vfs.FS, name string) (*scanner, error) {
	f, err := fsys.OpenReadOnly(name)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("size of %s: %w", name, err)
	}
	return &scanner{file: f, size: size}, nil
}

func (s *scanner) close() error { return s.file.Close() }

// peek returns n bytes from the current position, fewer at the end of the file.
func (s *scanner) peek(n int) ([]byte, error) {
	n = int(min(int64(n), s.size-s.at))
	if have := s.start + int64(len(s.buf)) - s.at; s.at < s.start || have < int64(n) {
		want := int(min(int64(max(n, window)), s.size-s.at))
		if cap(s.memory) < want {
			s.memory = make([]byte, want)
		}
		s.buf, s.start = s.memory[:want], s.at
		if got, err := s.file.ReadAt(s.buf, s.at); got < want {
			s.buf = nil
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("read at %d: %w", s.at, err)
		}
	}
	return s.buf[s.at-s.start:][:n], nil
}

// next returns the batch at the current position and moves behind it: io.EOF at the end; what Next of record says, with
// the position unchanged, where no batch can be framed.
func (s *scanner) next() (record.Batch, int64, error) {
	position := s.at
	if position == s.size {
		return nil, position, io.EOF
	}
	prefix, err := s.peek(record.PrefixSize)
	if err != nil {
		return nil, position, err
	}
	size, err := record.FrameSize(prefix)
	if err != nil {
		return nil, position, err
	}
	if int64(size) > s.size-position {
		return nil, position, record.ErrTruncated
	}
	p, err := s.peek(size)
	if err != nil {
		return nil, position, err
	}
	s.at += int64(size)
	return record.Batch(p), position, nil
}

// zeros reports whether nothing but zeros follows the current position: space that was allocated but never written.
func (s *scanner) zeros() (bool, error) {
	old := s.at
	defer func() { s.at = old }()
	for s.at < s.size {
		p, err := s.peek(window)
		if err != nil {
			return false, err
		}
		if len(bytes.Trim(p, "\x00")) > 0 {
			return false, nil
		}
		s.at += int64(len(p))
	}
	return true, nil
}

// rows reads Kafka's checkpoint text: version 0, a count, and that many lines of columns fields each.
// An empty file is one without entries: Kafka makes them so, and fills them at its first checkpoint.
func rows(data []byte, columns int) ([][]string, error) {
	if len(data) == 0 {
		return nil, nil
	}
	text, whole := strings.CutSuffix(string(data), "\n")
	lines := strings.Split(text, "\n")
	if !whole || len(lines) < 2 || lines[0] != "0" {
		return nil, errors.New("does not begin with version 0 and a count, or does not end with a line")
	}
	count, err := strconv.Atoi(lines[1])
	if err != nil || count != len(lines)-2 {
		return nil, fmt.Errorf("announces %q entries and has %d", lines[1], len(lines)-2)
	}
	out := make([][]string, count)
	for i, line := range lines[2:] {
		if out[i] = strings.Split(line, " "); len(out[i]) != columns {
			return nil, fmt.Errorf("line %d %q has not %d fields", i+3, line, columns)
		}
	}
	return out, nil
}

type epochStart struct {
	epoch ids.LeaderEpoch
	start ids.Offset
}

func parseEpochs(data []byte) ([]epochStart, error) {
	lines, err := rows(data, 2)
	if err != nil {
		return nil, err
	}
	out := make([]epochStart, len(lines))
	for i, f := range lines {
		epoch, err1 := strconv.ParseInt(f[0], 10, 32)
		start, err2 := strconv.ParseInt(f[1], 10, 64)
		if err1 != nil || err2 != nil || epoch < 0 || start < 0 {
			return nil, fmt.Errorf("line %d is not an epoch and an offset: %q", i+3, f)
		}
		out[i] = epochStart{ids.LeaderEpoch(epoch), ids.Offset(start)}
		if i > 0 && (out[i].epoch <= out[i-1].epoch || out[i].start <= out[i-1].start) {
			return nil, fmt.Errorf("epoch %d from offset %d follows epoch %d from offset %d: both must increase",
				epoch, start, out[i-1].epoch, out[i-1].start)
		}
	}
	return out, nil
}

type partitionOffset struct {
	tp     ids.TopicPartition
	offset ids.Offset
}

func parseOffsets(data []byte) ([]partitionOffset, error) {
	lines, err := rows(data, 3)
	if err != nil {
		return nil, err
	}
	out := make([]partitionOffset, len(lines))
	seen := make(map[ids.TopicPartition]bool, len(lines))
	for i, f := range lines {
		partition, err1 := strconv.ParseInt(f[1], 10, 32)
		offset, err2 := strconv.ParseInt(f[2], 10, 64)
		tp := ids.TopicPartition{Topic: f[0], Partition: int32(partition)}
		if err1 != nil || err2 != nil || partition < 0 || offset < 0 || f[0] == "" {
			return nil, fmt.Errorf("line %d is not a topic, a partition and an offset: %q", i+3, f)
		}
		if seen[tp] {
			return nil, fmt.Errorf("line %d names %s a second time", i+3, tp)
		}
		seen[tp] = true
		out[i] = partitionOffset{tp, ids.Offset(offset)}
	}
	return out, nil
}

func parsePartitionMetadata(data []byte) (ids.TopicID, error) {
	version, rest, _ := strings.Cut(string(data), "\n")
	id, ok := strings.CutPrefix(strings.TrimSuffix(rest, "\n"), "topic_id: ")
	if version != "version: 0" || !ok {
		return ids.TopicID{}, errors.New(`is not "version: 0" and a topic_id`)
	}
	topic, err := ids.ParseTopicID(id)
	if err == nil && topic.IsZero() {
		err = errors.New("the topic id is zero")
	}
	return topic, err
}

// property is one line of a Java properties file.
type property struct{ key, value string }

func parseProperties(data []byte) ([]property, error) {
	var out []property
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("line %d %q is not KEY=VALUE", i+1, line)
		}
		out = append(out, property{strings.TrimSpace(key), strings.TrimSpace(value)})
	}
	return out, nil
}
