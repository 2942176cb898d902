package storage

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/vfs"
)

// checkpointLimit bounds what is read of a checkpoint file: 1 GiB is some ten million partitions.
const checkpointLimit = 1 << 30

// readOffsetCheckpoint returns an empty map where there is no file, or an empty one. The file is replaced atomically, so a damaged one is corruption.
func readOffsetCheckpoint(fsys vfs.FS, path string) (logfiles.OffsetCheckpoint, error) {
	data, err := vfs.ReadWhole(fsys, path, checkpointLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return logfiles.OffsetCheckpoint{}, nil
	}
	if err != nil {
		return nil, err
	}
	out, err := logfiles.ParseOffsets(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}

// readEpochs reads leader-epoch-checkpoint. Any error, fs.ErrNotExist included, means: derive the epochs from the batches.
func readEpochs(fsys vfs.FS, path string) ([]logfiles.EpochStart, error) {
	data, err := vfs.ReadWhole(fsys, path, 64<<20)
	if err != nil {
		return nil, err
	}
	entries, err := logfiles.ParseEpochs(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return entries, nil
}
