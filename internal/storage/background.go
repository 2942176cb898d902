package storage

import (
	"time"

	"github.com/ottla-io/ottla/internal/background"
)

// BackgroundKind names a kind of background work.
type BackgroundKind uint8

// The kinds, in the order of their priority.
const (
	BackgroundFlush      BackgroundKind = iota // rounds that flush.ms asks for
	BackgroundSpace                            // looking at directories below their reserve
	BackgroundCheckpoint                       // recovery points, log starts, watermarks
	BackgroundRemoval                          // files and directories that were deleted a while ago
	BackgroundRetention                        // retention.ms, retention.bytes
	BackgroundExpiry                           // idle producers
	BackgroundCompaction                       // compacted logs
	BackgroundMove                             // logs on their way to another directory
	backgroundKinds
)

// String is the kind as metrics and logs name it.
func (k BackgroundKind) String() string {
	return [...]string{"flush", "space", "checkpoint", "removal", "retention", "expiry", "compaction", "move"}[k]
}

// BackgroundStats is what one kind of background work did since the store was opened.
type BackgroundStats struct {
	Kind BackgroundKind
	background.Stats
}

// work is a store's background work, and its own jobs; those of a directory lie there.
type work struct {
	*background.Scheduler
	store    *Store
	removals removals

	flushes, spaces, removes *background.Task
}

func (w *work) init(s *Store) {
	w.store, w.removals.store = s, s
	w.Scheduler = background.New(s.env(), int(backgroundKinds), func(kind int, took time.Duration, bytes int64) {
		if f := s.cfg.Events.BackgroundStep; f != nil {
			f(BackgroundKind(kind), took, bytes)
		}
	})
	w.flushes = w.add(BackgroundFlush, background.Urgent, overdueFlushes{s})
	w.spaces = w.add(BackgroundSpace, background.Urgent, lowSpace{s})
	w.removes = w.add(BackgroundRemoval, background.Steady, &w.removals)
}

func (w *work) add(kind BackgroundKind, p background.Priority, j background.Job) *background.Task {
	return w.Add(int(kind), p, j)
}

// Background tells what the background work did, one entry for each kind.
func (s *Store) Background() []BackgroundStats {
	out := make([]BackgroundStats, backgroundKinds)
	for k := range out {
		out[k] = BackgroundStats{BackgroundKind(k), s.work.Stats(k)}
	}
	return out
}
