package storage

import (
	"fmt"
	"slices"
	"sort"
	"sync"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/vfs"
)

// epochCache is the leader epochs of one log (KIP-101), derived from its batches: both fields strictly increasing. The file
// leader-epoch-checkpoint holds what lies below the recovery point; recovery finds the rest in the batches.
type epochCache struct {
	mu      sync.Mutex // guards the rest; held for memory only
	entries []logfiles.EpochStart
	dirty   bool // entries differ from the file
}

// latest returns the newest epoch, or NoLeaderEpoch for a log without any.
func (c *epochCache) latest() ids.LeaderEpoch {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) == 0 {
		return ids.NoLeaderEpoch
	}
	return c.entries[len(c.entries)-1].Epoch
}

// assign notes that a batch of epoch begins at start. Epochs at or below the latest add nothing.
func (c *epochCache) assign(epoch ids.LeaderEpoch, start ids.Offset) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch < 0 {
		return
	}
	if n := len(c.entries); n > 0 && c.entries[n-1].Epoch >= epoch {
		return
	}
	// An epoch that would begin where an earlier one does has replaced it: no batch of the earlier one remains.
	for n := len(c.entries); n > 0 && c.entries[n-1].Start >= start; n = len(c.entries) {
		c.entries = c.entries[:n-1]
	}
	c.entries = append(c.entries, logfiles.EpochStart{Epoch: epoch, Start: start})
	c.dirty = true
}

// truncateEnd drops the epochs that begin at or after end.
func (c *epochCache) truncateEnd(end ids.Offset) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := len(c.entries); n > 0 && c.entries[n-1].Start >= end; n = len(c.entries) {
		c.entries = c.entries[:n-1]
		c.dirty = true
	}
}

// truncateStart drops the epochs that end at or before start; the one that contains start begins there from now on, as in Kafka.
func (c *epochCache) truncateStart(start ids.Offset) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].Start > start })
	if i == 0 || c.entries[i-1].Start == start && i == 1 {
		return
	}
	c.entries = slices.Delete(c.entries, 0, i-1)
	c.entries[0].Start = start
	c.dirty = true
}

// replace puts other entries in the place of all.
func (c *epochCache) replace(entries []logfiles.EpochStart) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries, c.dirty = entries, true
}

// at returns the epoch of the batch at offset, NoLeaderEpoch if unknown.
func (c *epochCache) at(offset ids.Offset) ids.LeaderEpoch {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].Start > offset })
	if i == 0 {
		return ids.NoLeaderEpoch
	}
	return c.entries[i-1].Epoch
}

// endOffset answers OffsetForLeaderEpoch as Kafka does (KIP-279): the largest epoch not above the asked one, and where it ends.
// An epoch above the latest is unknown: (-1, -1). One below the first answers itself with the first one's start.
func (c *epochCache) endOffset(epoch ids.LeaderEpoch, logEnd ids.Offset) (ids.LeaderEpoch, ids.Offset) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch < 0 || len(c.entries) == 0 {
		return ids.NoLeaderEpoch, -1
	}
	if last := c.entries[len(c.entries)-1].Epoch; epoch == last {
		return epoch, logEnd
	} else if epoch > last {
		return ids.NoLeaderEpoch, -1
	}
	i := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].Epoch > epoch })
	if i == 0 {
		return epoch, c.entries[0].Start
	}
	return c.entries[i-1].Epoch, c.entries[i].Start
}

// snapshot returns the entries and whether the file lags behind.
func (c *epochCache) snapshot() ([]logfiles.EpochStart, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.entries), c.dirty
}

// written notes that the file now holds entries; later changes keep it dirty.
func (c *epochCache) written(entries []logfiles.EpochStart) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Equal(c.entries, entries) {
		c.dirty = false
	}
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
