package storage

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ottla-io/ottla/internal/background"
	"github.com/ottla-io/ottla/internal/compaction"
	"github.com/ottla-io/ottla/internal/vfs"
)

// CleanerConfig is what bounds compaction, for all logs of a store together. Zero values mean the default.
type CleanerConfig struct {
	// Off: nothing is compacted; log.cleaner.enable=false.
	Off bool
	// DedupeBufferBytes bounds the memory of the offset map: log.cleaner.dedupe.buffer.size, 128 MiB. LoadFactor of it is used at most:
	// log.cleaner.io.buffer.load.factor, 0.9.
	DedupeBufferBytes int64
	LoadFactor        float64
	// BufferBytes are read and written at once, half of it each: log.cleaner.io.buffer.size, 512 KiB.
	BufferBytes int
	// MaxBytesPerSecond bounds what is read and written: log.cleaner.io.max.bytes.per.second; 0: no bound.
	MaxBytesPerSecond float64
	// BackoffMs is how often logs are looked at while none is due: log.cleaner.backoff.ms, 15,000.
	BackoffMs int64
}

func (c CleanerConfig) withDefaults() CleanerConfig {
	if c.DedupeBufferBytes <= 0 {
		c.DedupeBufferBytes = 128 << 20
	}
	if c.LoadFactor <= 0 {
		c.LoadFactor = 0.9
	}
	if c.BufferBytes <= 0 {
		c.BufferBytes = 512 << 10
	}
	if c.BackoffMs <= 0 {
		c.BackoffMs = 15_000
	}
	return c
}

// cleaner compacts the logs of a store, one at a time, that with the greatest share of dirty bytes first: Kafka's LogCleaner with one thread.
type cleaner struct {
	store *Store
	task  *background.Task

	// Only steps use these, and Close after the last.
	pass     background.Pass[*Log] // over the logs of all directories
	seen     CleanerStats
	best     cleanRange
	current  *logCompaction
	throttle compaction.Throttle

	mu    sync.Mutex // guards the rest; held for memory only
	cfg   CleanerConfig
	stats CleanerStats
}

// CleanerStats is what the last look at all logs found, and what was done.
type CleanerStats struct {
	// Logs are those whose cleanup.policy has compact.
	Logs int
	// MaxDirtyRatio is the greatest share of bytes of one log that no compaction has seen, among those that one may see.
	MaxDirtyRatio float64
	// Uncleanable logs could not be compacted and are not tried again before the next start.
	Uncleanable      int
	UncleanableBytes int64

	// Since the store was opened: compactions that were completed, and the bytes of the segments that they made others of.
	Compactions             int64
	BytesBefore, BytesAfter int64
}

// Cleaner tells what the last look at all logs found, and what was done.
func (s *Store) Cleaner() CleanerStats {
	c := &s.cleaner
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

func (c *cleaner) init(s *Store) {
	c.store, c.cfg = s, s.cfg.Cleaner
	c.task = s.work.add(BackgroundCompaction, background.Bulk, c)
	if !c.cfg.Off {
		s.work.WakeIn(c.task, c.cfg.backoff())
	}
}

// SetCleaner changes the bounds of compaction. A compaction that is under way keeps its memory.
func (s *Store) SetCleaner(cfg CleanerConfig) {
	c := &s.cleaner
	c.mu.Lock()
	c.cfg = cfg.withDefaults()
	off := c.cfg.Off
	c.mu.Unlock()
	if !off {
		s.work.Wake(c.task, 0)
	}
}

func (c *cleaner) config() CleanerConfig {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cfg
}

func (c CleanerConfig) backoff() time.Duration { return time.Duration(c.BackoffMs) * time.Millisecond }

// bufferBytes is the size of the buffer for reading, and of that for writing.
func (c CleanerConfig) bufferBytes() int { return max(c.BufferBytes/2, 4<<10) }

func (c *cleaner) Step(s *background.Slice) time.Duration {
	env, cfg := c.store.env(), c.config()
	if cfg.Off {
		return background.Never
	}
	if c.current == nil {
		if complete := c.look(s); !complete {
			return 0
		}
		if c.best.log == nil {
			return env.Monotonic() + cfg.backoff()
		}
		c.current = c.beginCompaction(c.best, cfg)
		c.best = cleanRange{}
	}
	if cfg.MaxBytesPerSecond > 0 {
		s.Limit(max(int64(cfg.MaxBytesPerSecond/4), stepBytes))
	}
	before := s.Spent()
	done, err := c.current.step(s, s.Spend)
	ended := false
	if done || err != nil {
		ended = c.end(err)
	}
	next := c.throttle.After(env.Monotonic(), s.Spent()-before, cfg.MaxBytesPerSecond)
	if ended {
		next = max(next, env.Monotonic()+cfg.backoff())
	}
	return next
}

// look goes over the logs for the one to compact, in bounded pieces; true once it has seen them all.
func (c *cleaner) look(s *background.Slice) bool {
	if c.pass.Idle() {
		c.best, c.seen = cleanRange{}, CleanerStats{}
		var logs []*Log
		for _, d := range c.store.dirs {
			if d.err() == nil {
				logs = append(logs, c.store.logsIn(d)...)
			}
		}
		c.pass.Begin(logs)
	}
	nowMs := c.store.env().Now().UnixMilli()
	if complete := c.pass.Each(s, func(l *Log) { c.consider(l, nowMs) }); !complete {
		return false
	}
	c.mu.Lock()
	c.seen.Compactions, c.seen.BytesBefore, c.seen.BytesAfter = c.stats.Compactions, c.stats.BytesBefore, c.stats.BytesAfter
	c.stats = c.seen
	c.mu.Unlock()
	return true
}

func (c *cleaner) consider(l *Log, nowMs int64) {
	cfg := l.Config()
	if !cfg.Compact || l.Err() != nil {
		return
	}
	c.seen.Logs++
	if l.uncleanable.Load() {
		c.seen.Uncleanable++
		c.seen.UncleanableBytes += l.Size()
		return
	}
	r, ok, err := l.cleanable(nowMs)
	if err != nil {
		c.failed(l, err)
		return
	}
	if !ok {
		return
	}
	c.seen.MaxDirtyRatio = max(c.seen.MaxDirtyRatio, r.Ratio())
	if r.Due(cfg.MinCleanableRatio) && (c.best.log == nil || r.Ratio() > c.best.Ratio()) {
		c.best = r
	}
}

// end finishes with the current compaction. It is true if the next look should wait.
func (c *cleaner) end(err error) (wait bool) {
	run := c.current
	c.current = nil
	run.close()
	l := run.log
	switch {
	case err == nil:
		c.mu.Lock()
		c.stats.Compactions++
		c.stats.BytesBefore += run.result.BytesBefore
		c.stats.BytesAfter += run.result.BytesAfter
		c.mu.Unlock()
		if f := c.store.cfg.Events.Compacted; f != nil {
			f(run.result)
		}
		return false
	case l.Err() != nil || errors.Is(err, errStopped):
		return false
	case errors.Is(err, vfs.ErrNoSpace):
		c.store.problem("compact "+l.tp.String()+"; it is tried again", err)
		return true
	}
	c.failed(l, err)
	return false
}

// failed takes the directory offline after a sync that failed, and otherwise leaves the log alone until the next start.
func (c *cleaner) failed(l *Log, err error) {
	if errors.Is(err, errGone) || l.Err() != nil {
		return
	}
	var sync *syncError
	if errors.As(err, &sync) {
		l.dir.fail(err)
		return
	}
	l.uncleanable.Store(true)
	err = l.asCorrupt(err, l.LogStart())
	var damage *CorruptError
	if errors.As(err, &damage) {
		c.store.corrupt(damage)
	}
	if f := c.store.cfg.Events.Uncleanable; f != nil {
		f(l.tp, fmt.Errorf("compact %s: %w", l.tp, err))
	}
}

// stop gives up what is under way. No step runs any more.
func (c *cleaner) stop() {
	if c.current != nil {
		c.current.close()
		c.current = nil
	}
}
