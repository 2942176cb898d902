package storage

import (
	"errors"
	"fmt"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/vfs"
)

var (
	// ErrOffsetOutOfRange: the offset is below logStart or above logEnd. Kafka's OFFSET_OUT_OF_RANGE (1).
	ErrOffsetOutOfRange = errors.New("offset out of range")
	// ErrStaleEpoch: the log already holds a batch of a later leader epoch.
	ErrStaleEpoch = errors.New("leader epoch is older than the log's")
	// ErrClosed: the log or store was closed, or the log deleted.
	ErrClosed = errors.New("log is closed")
	// ErrNoDirectory: none of the store's directories for all topics has that path. Kafka's LOG_DIR_NOT_FOUND (57).
	ErrNoDirectory = errors.New("no such log directory")
	// ErrBusy: the log is being truncated, or its last bytes follow it to another directory. It is over soon.
	ErrBusy = errors.New("the log's files are about to change")
	// ErrOutOfOrder: batches given with their offsets don't continue the log.
	ErrOutOfOrder = errors.New("batch offsets do not continue the log")
)

// OfflineError means that a directory, or one log in it, was taken out of service after a failure of the disk. Kafka's KAFKA_STORAGE_ERROR (56).
type OfflineError struct {
	Path string // the directory, or the log's directory
	Err  error  // the first failure
}

func (e *OfflineError) Error() string { return fmt.Sprintf("%s is offline: %v", e.Path, e.Err) }
func (e *OfflineError) Unwrap() error { return e.Err }

// CorruptError means bytes that were durable and are damaged. The log is not served and not changed.
type CorruptError struct {
	Log      ids.TopicPartition
	File     string
	Position int64      // bytes from the start of File
	Offset   ids.Offset // the offset expected there
	Reason   string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is corrupt: %s at byte %d, where offset %d should be: %s; restore the partition directory from a replica or backup, or move it away",
		e.Log, e.File, e.Position, e.Offset, e.Reason)
}

// LowSpaceError means that an append was refused to keep the reserve. It is a vfs.ErrNoSpace.
type LowSpaceError struct {
	Directory       string
	Usable, Reserve int64 // bytes
}

func (e *LowSpaceError) Error() string {
	return fmt.Sprintf("%s has %d bytes left, less than its reserve of %d: free space by deleting topics or records, or by lower retention",
		e.Directory, e.Usable, e.Reserve)
}
func (e *LowSpaceError) Unwrap() error { return vfs.ErrNoSpace }

// RefusedError is why a directory cannot be used at all: one sentence for the operator.
type RefusedError struct {
	Directory string
	Reason    string
	Err       error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("log directory %s: %s", e.Directory, e.Reason)
}
func (e *RefusedError) Unwrap() error { return e.Err }
