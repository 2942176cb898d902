// Package epochs knows which leader wrote which part of one log (KIP-101): the leader epochs of its batches, and where each begins.
//
// It owns the rules by which that list grows, is cut, and answers OffsetForLeaderEpoch (KIP-279). It is derived from the batches: it must never refuse what the
// log holds, and knows neither the log nor its file, leader-epoch-checkpoint, only whether the file lags behind. storage, its one caller, keeps one Cache for each
// log. Nothing here survives a crash: recovery fills a Cache from the file, which holds what lies below the recovery point, and from the batches above.
package epochs

import (
	"slices"
	"sort"
	"sync"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
)

// Cache is the leader epochs of one log: both fields of its entries strictly increasing. The zero value has none. All methods may be called concurrently.
type Cache struct {
	mu      sync.Mutex // guards the rest; held for memory only
	entries []logfiles.EpochStart
	dirty   bool // entries differ from the file
}

// Load fills an empty cache with what the file says; the slice is the Cache's from then on.
func (c *Cache) Load(entries []logfiles.EpochStart) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries = entries
}

// Latest returns the newest epoch, or NoLeaderEpoch for a log without any.
func (c *Cache) Latest() ids.LeaderEpoch {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) == 0 {
		return ids.NoLeaderEpoch
	}
	return c.entries[len(c.entries)-1].Epoch
}

// Assign notes that a batch of epoch begins at start. Epochs at or below the latest add nothing.
func (c *Cache) Assign(epoch ids.LeaderEpoch, start ids.Offset) {
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

// TruncateEnd drops the epochs that begin at or after end.
func (c *Cache) TruncateEnd(end ids.Offset) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := len(c.entries); n > 0 && c.entries[n-1].Start >= end; n = len(c.entries) {
		c.entries = c.entries[:n-1]
		c.dirty = true
	}
}

// TruncateStart drops the epochs that end at or before start; the one that contains start begins there from now on, as in Kafka.
func (c *Cache) TruncateStart(start ids.Offset) {
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

// Replace puts other entries in the place of all.
func (c *Cache) Replace(entries []logfiles.EpochStart) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries, c.dirty = entries, true
}

// At returns the epoch of the batch at offset, NoLeaderEpoch if unknown.
func (c *Cache) At(offset ids.Offset) ids.LeaderEpoch {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].Start > offset })
	if i == 0 {
		return ids.NoLeaderEpoch
	}
	return c.entries[i-1].Epoch
}

// EndOffset answers OffsetForLeaderEpoch as Kafka does (KIP-279): the largest epoch not above the asked one, and where it ends.
// An epoch above the latest is unknown: (-1, -1). One below the first answers itself with the first one's start.
func (c *Cache) EndOffset(epoch ids.LeaderEpoch, logEnd ids.Offset) (ids.LeaderEpoch, ids.Offset) {
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

// Snapshot returns the entries and whether the file lags behind.
func (c *Cache) Snapshot() ([]logfiles.EpochStart, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.entries), c.dirty
}

// Written notes that the file now holds entries; later changes keep it dirty.
func (c *Cache) Written(entries []logfiles.EpochStart) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Equal(c.entries, entries) {
		c.dirty = false
	}
}
