package storage

import (
	"fmt"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/ottla-io/ottla/internal/epochs"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/vfs"
)

// Log is one partition's log. All methods may be called concurrently.
type Log struct {
	store *Store
	dir   *directory
	tp    ids.TopicPartition
	id    ids.TopicID
	path  string

	logStart, logEnd, durable atomic.Int64
	highWatermark             atomic.Int64 // as the owner last told, for the checkpoint; -1: never
	firstUnstable             atomic.Int64 // first offset of the oldest open transaction, or noUnstable
	segments                  atomic.Pointer[[]*segment]
	failure                   atomic.Pointer[failure]
	onDurable                 atomic.Pointer[func(ids.Offset)]
	queue                     atomic.Int32 // in which of the flusher's lists it is: unqueued and the like
	unhurriedAt               int          // its index there; guarded by flusher.mu
	hints                     hints
	epochs                    epochs.Cache
	durableWaits              durableWaits
	truncations               atomic.Int64 // one more when a truncation begins and when it ends: odd while one is under way
	uncleanable               atomic.Bool  // compaction failed, and is not tried again

	// naming is held while files of sealed segments change their names or go, and by whoever ends the log: compaction, retention and deletion exclude each
	// other by it. Taken before mu, never on the append path.
	naming sync.Mutex

	mu               sync.Mutex // the append lock: guards the rest, and the files' writes
	cfg              LogConfig
	producers        producers
	unsynced         []*segment   // those with a pin, or with unsynced indexes, or as recovery found them
	created          bool         // the directory exists
	newFiles, newDir bool         // the directory's, or its parent's, entries are not synced yet
	namesInRound     bool         // a flush round is about to sync the directory's
	sinceSnapshot    int64        // bytes appended since the last producer snapshot
	lastSnapshot     ids.Offset   // its offset; -1: none
	olderSnapshot    ids.Offset   // the one before, while it is there; -1: it isn't
	newSnapshots     []ids.Offset // not synced yet
	truncating       bool         // the files change: retention, deletion and settling keep off
	unflushed        int64        // records appended since the last flush was asked for by flush.messages
	oldestUnflushed  int64        // ms, when the oldest of them came; for flush.ms
	jitterMs         int64
	durableMark      durableMark
	settling         bool // the epochs' file has its temporary name, at a clean stop
}

const noUnstable = int64(1<<63 - 1)

// failure is why a log or directory doesn't serve.
type failure struct{ err error }

// Topic is the log's topic and partition.
func (l *Log) Topic() ids.TopicPartition { return l.tp }

// ID is the topic's id.
func (l *Log) ID() ids.TopicID { return l.id }

// Directory is the id of the directory that holds the log.
func (l *Log) Directory() ids.DirectoryID { return l.dir.id }

// LogStart is the first offset that may be read.
func (l *Log) LogStart() ids.Offset { return ids.Offset(l.logStart.Load()) }

// LogEnd is the offset that the next record gets.
func (l *Log) LogEnd() ids.Offset { return ids.Offset(l.logEnd.Load()) }

// DurableEnd is the offset below which everything is on disk: a power cut cannot take it.
func (l *Log) DurableEnd() ids.Offset { return ids.Offset(l.durable.Load()) }

// LastStable is the offset below which no transaction is open: logStart ≤ LastStable ≤ highWatermark (KIP-98). A transaction may have begun in records that are
// deleted by now.
func (l *Log) LastStable(highWatermark ids.Offset) ids.Offset {
	return min(highWatermark, max(ids.Offset(l.firstUnstable.Load()), l.LogStart()))
}

// SetHighWatermark tells the watermark to write into replication-offset-checkpoint, and the bound of retention.
func (l *Log) SetHighWatermark(offset ids.Offset) {
	l.highWatermark.Store(int64(offset))
	if l.firstUnstable.Load() != noUnstable {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.producers.state.SetHighWatermark(offset)
		l.noteUnstable()
	}
}

// HighWatermark is what SetHighWatermark said last, in this life of the process or, by the checkpoint, in an earlier one; -1 if never.
func (l *Log) HighWatermark() ids.Offset { return ids.Offset(l.highWatermark.Load()) }

// EpochAt is the leader epoch of the batch at offset, NoLeaderEpoch if unknown.
func (l *Log) EpochAt(offset ids.Offset) ids.LeaderEpoch { return l.epochs.At(offset) }

// LatestEpoch is the newest epoch in the log, NoLeaderEpoch if it has none.
func (l *Log) LatestEpoch() ids.LeaderEpoch { return l.epochs.Latest() }

// EndOffsetForEpoch answers OffsetForLeaderEpoch: the largest epoch at or below the asked one, and the offset where it ends (KIP-101,
// KIP-279). (NoLeaderEpoch, -1) if the epoch is newer than the log's or unknown.
func (l *Log) EndOffsetForEpoch(epoch ids.LeaderEpoch) (ids.LeaderEpoch, ids.Offset) {
	return l.epochs.EndOffset(epoch, l.LogEnd())
}

// Err is why the log doesn't serve: *OfflineError, *CorruptError, ErrClosed, or nil.
func (l *Log) Err() error {
	if f := l.failure.Load(); f != nil {
		return f.err
	}
	return l.dir.err()
}

// fail takes the log out of service. The first reason stays.
func (l *Log) fail(err error) {
	l.failure.CompareAndSwap(nil, &failure{err})
	l.dir.flusher.forget(l)
}

// OnDurable sets the function that the flusher calls, without locks, each time DurableEnd moved, and once when the log or its directory failed: Err
// tells. Set it once, before the first append.
func (l *Log) OnDurable(fn func(end ids.Offset)) { l.onDurable.Store(&fn) }

func (l *Log) notify() {
	l.durableWaits.wake()
	if fn := l.onDurable.Load(); fn != nil {
		(*fn)(l.DurableEnd())
	}
}

// Flush asks that all that was appended become durable: now in a round that starts at once, or else within the linger. It doesn't wait.
func (l *Log) Flush(now bool) {
	if l.queue.Load() != unqueued {
		l.askForSync(now)
	}
}

// SetConfig replaces the topic's settings; they count from the next append on.
func (l *Log) SetConfig(cfg LogConfig) {
	l.mu.Lock()
	l.cfg = cfg.withDefaults()
	l.mu.Unlock()
	if cfg.Durability == Fsync { // which somebody may wait for, of what was appended without it
		l.Flush(false)
	}
	if l.dir.low.Load() { // perhaps it is a lower retention, to make room
		l.store.work.Wake(l.dir.retention.task, 0)
	}
}

// Config returns the settings in force.
func (l *Log) Config() LogConfig {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cfg
}

// Size is the bytes of all segments.
func (l *Log) Size() int64 {
	var sum int64
	for _, s := range l.list() {
		sum += s.size.Load()
	}
	return sum
}

// Segments is how many segments the log has.
func (l *Log) Segments() int { return len(l.list()) }

// list is the segments in order; the slice is never changed in place.
func (l *Log) list() []*segment {
	if p := l.segments.Load(); p != nil {
		return *p
	}
	return nil
}

func (l *Log) setSegments(segments []*segment) { l.segments.Store(&segments) }

// active is the last segment, nil before the first append.
func (l *Log) active() *segment {
	if s := l.list(); len(s) > 0 {
		return s[len(s)-1]
	}
	return nil
}

// segmentAt is the index of the segment whose range holds offset, -1 if offset lies before the first.
func segmentAt(segments []*segment, offset ids.Offset) int {
	return sort.Search(len(segments), func(i int) bool { return segments[i].base > offset }) - 1
}

// createDir makes the partition's directory with its topic id. The flush round syncs both before anything is called durable.
func (l *Log) createDir() error {
	if l.created {
		return nil
	}
	fs := l.store.cfg.FS
	// Else a directory whose disk was taken away would be made anew, somewhere else.
	if _, err := fs.Stat(l.dir.path + "/" + logfiles.Meta); err != nil {
		err = fmt.Errorf("create partition directory: %s is not the directory that it was at the start: %v", l.dir.path, err) //nolint:errorlint // not a file that deletion took
		return err
	}
	if err := fs.MkdirAll(l.path); err != nil {
		return fmt.Errorf("create partition directory: %w", err)
	}
	l.newDir, l.newFiles = true, true
	if err := vfs.WriteWhole(fs, l.path+"/"+logfiles.PartitionMetadata, logfiles.EncodePartitionMetadata(l.id), false); err != nil {
		return fmt.Errorf("write %s/%s: %w", l.path, logfiles.PartitionMetadata, err)
	}
	l.created = true
	return nil
}

// hints remember where batches begin, so that reads at the tail and reads that follow each other need no index.
type hints struct {
	mu      sync.Mutex // held for memory only
	entries *[12]hint  // nil until there is one
	next    [2]uint8
}

// hint says that the first batch that ends above offset begins at position in the segment. It names the segment itself, not its base: compaction puts
// another of the same base in its place.
type hint struct {
	segment  *segment // nil: an empty slot
	offset   ids.Offset
	position int64
}

const (
	byAppend = 0 // slots 0–3
	byRead   = 1 // slots 4–11
)

func (t *hints) add(by int, s *segment, offset ids.Offset, position int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slot := t.next[by] % 4
	if by == byRead {
		slot = 4 + t.next[by]%8
	}
	t.next[by]++
	if t.entries == nil {
		t.entries = new([12]hint)
	}
	t.entries[slot] = hint{s, offset, position}
}

// forget drops what is remembered of a segment.
func (t *hints) forget(s *segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entries == nil {
		return
	}
	for i := range t.entries {
		if t.entries[i].segment == s {
			t.entries[i] = hint{}
		}
	}
}

// find returns the position for exactly this offset.
func (t *hints) find(s *segment, offset ids.Offset) (int64, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entries == nil {
		return 0, false
	}
	for i := range t.entries {
		if h := &t.entries[i]; h.segment == s && h.offset == offset {
			return h.position, true
		}
	}
	return 0, false
}

// floor returns the greatest known position of the segment for an offset ≤ limit; 0 is always right.
func (t *hints) floor(s *segment, limit ids.Offset) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var best int64
	if t.entries == nil {
		return 0
	}
	for i := range t.entries {
		if h := &t.entries[i]; h.segment == s && h.offset <= limit && h.position > best {
			best = h.position
		}
	}
	return best
}
