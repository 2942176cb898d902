package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/vfs"
)

// checkpointLimit bounds what is read of a checkpoint file: 1 GiB is some ten million partitions.
const checkpointLimit = 1 << 30

// offsetCheckpoint is one of Kafka's checkpoint files:
//
//	0                       version
//	COUNT
//	TOPIC PARTITION OFFSET  COUNT times
type offsetCheckpoint map[ids.TopicPartition]ids.Offset

// sorted lists the partitions, so that the same content is always the same bytes.
func (c offsetCheckpoint) sorted() []ids.TopicPartition {
	return slices.SortedFunc(maps.Keys(c), compareTopicPartitions)
}

func (c offsetCheckpoint) encode() []byte {
	keys := c.sorted()
	out := make([]byte, 0, 16+len(keys)*32)
	out = append(out, "0\n"...)
	out = strconv.AppendInt(out, int64(len(keys)), 10)
	out = append(out, '\n')
	for _, tp := range keys {
		out = append(append(out, tp.Topic...), ' ')
		out = append(strconv.AppendInt(out, int64(tp.Partition), 10), ' ')
		out = append(strconv.AppendInt(out, int64(c[tp]), 10), '\n')
	}
	return out
}

// cloneWith is c with one entry more, or another.
func cloneWith(c offsetCheckpoint, tp ids.TopicPartition, offset ids.Offset) offsetCheckpoint {
	c = maps.Clone(c)
	if c == nil {
		c = make(offsetCheckpoint)
	}
	c[tp] = offset
	return c
}

func compareTopicPartitions(a, b ids.TopicPartition) int {
	if c := strings.Compare(a.Topic, b.Topic); c != 0 {
		return c
	}
	return int(a.Partition) - int(b.Partition)
}

// readOffsetCheckpoint returns an empty map where there is no file, or an empty one: Kafka makes its files so, before the first checkpoint. The file is replaced
// atomically, so a damaged one is corruption.
func readOffsetCheckpoint(fsys vfs.FS, path string) (offsetCheckpoint, error) {
	data, err := readWholeFile(fsys, path, checkpointLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return offsetCheckpoint{}, nil
	}
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return offsetCheckpoint{}, nil
	}
	rows, err := checkpointRows(string(data), 3)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, errDamagedFile, err)
	}
	out := make(offsetCheckpoint, len(rows)/3)
	for i := 0; i < len(rows); i += 3 {
		partition, err1 := strconv.ParseInt(rows[i+1], 10, 32)
		offset, err2 := strconv.ParseInt(rows[i+2], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", path, errDamagedFile, err)
		}
		out[ids.TopicPartition{Topic: rows[i], Partition: int32(partition)}] = ids.Offset(offset)
	}
	return out, nil
}

// checkpointRows splits a checkpoint file into its fields, checking version and count: a file cut short is an error.
func checkpointRows(text string, columns int) ([]string, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 2 || lines[0] != "0" {
		return nil, errors.New("checkpoint does not begin with version 0 and a count")
	}
	count, err := strconv.Atoi(lines[1])
	if err != nil || count != len(lines)-2 {
		return nil, fmt.Errorf("checkpoint announces %s entries and has %d", lines[1], len(lines)-2)
	}
	fields := make([]string, 0, count*columns)
	for _, line := range lines[2:] {
		row := strings.Fields(line)
		if len(row) != columns {
			return nil, fmt.Errorf("checkpoint line %q has not %d fields", line, columns)
		}
		fields = append(fields, row...)
	}
	return fields, nil
}
