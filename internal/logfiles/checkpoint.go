package logfiles

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ottla-io/ottla/internal/ids"
)

// OffsetCheckpoint is one of Kafka's checkpoint files:
//
//	0                       version
//	COUNT
//	TOPIC PARTITION OFFSET  COUNT times
type OffsetCheckpoint map[ids.TopicPartition]ids.Offset

// Sorted lists the partitions, so that the same content is always the same bytes.
func (c OffsetCheckpoint) Sorted() []ids.TopicPartition {
	return slices.SortedFunc(maps.Keys(c), ids.TopicPartition.Compare)
}

// Encode makes the file.
func (c OffsetCheckpoint) Encode() []byte {
	keys := c.Sorted()
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

// With is c with one entry more, or another; c stays as it is.
func (c OffsetCheckpoint) With(tp ids.TopicPartition, offset ids.Offset) OffsetCheckpoint {
	c = maps.Clone(c)
	if c == nil {
		c = make(OffsetCheckpoint)
	}
	c[tp] = offset
	return c
}

// ParseOffsets reads what Encode made, and an empty file: Kafka makes its files so, before the first checkpoint. Errors wrap ErrDamaged.
func ParseOffsets(data []byte) (OffsetCheckpoint, error) {
	if len(data) == 0 {
		return OffsetCheckpoint{}, nil
	}
	rows, err := rows(string(data), 3)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	out := make(OffsetCheckpoint, len(rows)/3)
	for i := 0; i < len(rows); i += 3 {
		partition, err1 := strconv.ParseInt(rows[i+1], 10, 32)
		offset, err2 := strconv.ParseInt(rows[i+2], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		out[ids.TopicPartition{Topic: rows[i], Partition: int32(partition)}] = ids.Offset(offset)
	}
	return out, nil
}

// rows splits a checkpoint file into its fields, checking version and count: a file cut short is an error.
func rows(text string, columns int) ([]string, error) {
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

// MoveRow is one move of a log between directories; the zero one is none. The file Moves, in the directory that logs move to, is like Kafka's checkpoints:
//
//	0                                    version
//	COUNT
//	TOPIC PARTITION SOURCE COPY          COUNT times: the id of the directory that the log comes from, and the name of the copy
type MoveRow struct {
	From ids.DirectoryID
	Copy string // ends in FutureDirSuffix
}

// EncodeMoves makes the file, with the rows in no order.
func EncodeMoves(moves map[ids.TopicPartition]MoveRow) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "0\n%d\n", len(moves))
	for tp, row := range moves {
		fmt.Fprintf(&b, "%s %d %s %s\n", tp.Topic, tp.Partition, row.From, row.Copy)
	}
	return []byte(b.String())
}

// BadMoveError is a row that names no move.
type BadMoveError struct {
	Row string
	Err error // nil if only the names are wrong
}

func (e *BadMoveError) Error() string { return "a row names no move: " + e.Row }
func (e *BadMoveError) Unwrap() error { return e.Err }

// ParseMoves reads what EncodeMoves made. A *BadMoveError is about one row, other errors about the file.
func ParseMoves(data []byte) (map[ids.TopicPartition]MoveRow, error) {
	rows, err := rows(string(data), 4)
	if err != nil {
		return nil, err
	}
	moves := make(map[ids.TopicPartition]MoveRow)
	for i := 0; i < len(rows); i += 4 {
		tp, ok := ParsePartitionDir(rows[i] + "-" + rows[i+1])
		from, err := ids.ParseUUID(rows[i+2])
		if !ok || err != nil || strings.Contains(rows[i+3], "/") || !strings.HasSuffix(rows[i+3], FutureDirSuffix) {
			return nil, &BadMoveError{strings.Join(rows[i:i+4], " "), err}
		}
		moves[tp] = MoveRow{ids.DirectoryID(from), rows[i+3]}
	}
	return moves, nil
}
