package storage

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/ottla-io/ottla/internal/background"
	"github.com/ottla-io/ottla/internal/compaction"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
)

// Compaction is what one compaction of a log did. Bytes are of segments' log files.
type Compaction struct {
	Log ids.TopicPartition
	// FirstDirty to End were looked at for the newest offset of each key; all of the log below End was rewritten.
	FirstDirty, End         ids.Offset
	BytesBefore, BytesAfter int64
	Segments, SegmentsAfter int
	Records, Retained       int64
	// Keyless records were dropped: no newest of their key can be told.
	Keyless int64
	// MapUse is the share of the offset map that was taken; a part of the log was left for the next compaction if the map was full.
	MapUse float64
	Took   time.Duration
}

// logCompaction is the compaction of one log, in steps: it shows the dirty part to a round, then rewrites the segments below the round's end in groups, each of
// which becomes one segment. What is decided is the round's, the files are its own.
type logCompaction struct {
	cleanRange
	cfg      LogConfig
	began    time.Duration
	segments []*segment // all below firstUncleanable
	ends     []ids.Offset
	round    *compaction.Round
	buf      []byte // for reading; the reader's while there is one

	// While the map is made: the segment being read. Afterwards, that of its group.
	told    bool // the round knows the aborted transactions of the dirty part
	mapped  bool
	at      int
	reader  *batchReader
	handle  *handle
	groups  [][]*segment
	writer  *segmentWriter
	outBuf  []byte
	marked  bool // the log is in cleaner-offset-checkpoint
	result  Compaction
	spent   func(int64)
	sinceIO int
}

// stepBytes is how much of a log is looked at between looks at the clock.
const stepBytes = 64 << 10

// beginCompaction prepares the compaction of a range that cleanable found.
func (c *cleaner) beginCompaction(r cleanRange, cfg CleanerConfig) *logCompaction {
	l, env := r.log, c.store.env()
	settings := compaction.Settings{FirstDirty: r.FirstDirty, End: r.FirstUncleanable, MapBytes: cfg.DedupeBufferBytes, LoadFactor: cfg.LoadFactor}
	env.Random(settings.Random[:])
	run := &logCompaction{
		cleanRange: r, cfg: l.Config(), began: env.Monotonic(), buf: make([]byte, cfg.bufferBytes()), outBuf: make([]byte, 0, cfg.bufferBytes()),
	}
	settings.NowMs, settings.DeleteRetentionMs = env.Now().UnixMilli(), run.cfg.DeleteRetentionMs
	run.round = compaction.NewRound(settings)
	all := l.list()
	for i, s := range all {
		if i+1 < len(all) && all[i+1].base <= r.FirstUncleanable {
			run.segments, run.ends = append(run.segments, s), append(run.ends, all[i+1].base)
		}
	}
	run.at = max(segmentAt(run.segments, r.FirstDirty), 0)
	run.result = Compaction{Log: l.tp, FirstDirty: r.FirstDirty}
	return run
}

// step does a bounded piece of the work. done: the log is compacted. errStopped, wrapped or not: it must be looked at anew.
func (c *logCompaction) step(s *background.Slice, spend func(int64)) (done bool, err error) {
	c.spent = spend
	if c.log.Err() != nil {
		return false, errStopped
	}
	for !c.mapped {
		if err := c.readDirty(s); err != nil || s.Over() {
			return false, err
		}
	}
	for len(c.groups) > 0 {
		if err := c.rewrite(s); err != nil || s.Over() {
			return false, err
		}
	}
	return true, c.complete()
}

// close gives back what the compaction holds, and removes what it has written and not swapped in.
func (c *logCompaction) close() {
	c.closeReader()
	if c.writer != nil {
		c.writer.discard()
		c.writer = nil
	}
}

func (c *logCompaction) closeReader() {
	if c.handle != nil {
		c.buf = c.reader.buf
		c.handle.release()
		c.reader, c.handle = nil, nil
	}
}

// open begins to read a segment at a position.
func (c *logCompaction) open(s *segment, from ids.Offset) error {
	position, err := s.seek(from)
	if err != nil {
		return stoppedIfGone(err)
	}
	h, err := s.open(readWrite)
	if err != nil {
		return stoppedIfGone(err)
	}
	c.handle = h
	c.reader = &batchReader{log: c.log, bound: c.ends[slices.Index(c.segments, s)], segment: s, handle: h, buf: c.buf, position: position, end: s.size.Load(), next: s.base, spend: c.spent}
	return nil
}

// stoppedIfGone: a segment that retention, a deletion or a truncation took.
func stoppedIfGone(err error) error {
	if errors.Is(err, errGone) {
		return errStopped
	}
	return err
}

// each calls fn for batches of the open segment until the slice is over or fn says so; ended tells that the segment was read to its end.
func (c *logCompaction) each(s *background.Slice, fn func(record.Batch) (more bool, err error)) (ended bool, err error) {
	c.reader.spend = c.spent
	for {
		b, err := c.reader.batch()
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		more, err := fn(b)
		if err != nil {
			if errors.Is(err, errTorn) {
				err = c.reader.segment.damaged(c.reader.position-int64(len(b)), err)
			}
			return false, err
		}
		if !more {
			return false, nil
		}
		if c.sinceIO += len(b); c.sinceIO >= stepBytes {
			c.sinceIO = 0
			if s.Over() {
				return false, nil
			}
		}
	}
}

// readDirty notes the newest offset of each key of the dirty part, as far as the map takes them.
func (c *logCompaction) readDirty(s *background.Slice) error {
	if c.at >= len(c.segments) {
		return c.planGroups()
	}
	if c.reader == nil {
		if !c.told {
			if err := c.findAborted(c.segments[c.at], c.FirstDirty, c.FirstUncleanable); err != nil {
				return err
			}
			c.told = true
		}
		if err := c.open(c.segments[c.at], c.FirstDirty); err != nil {
			return err
		}
	}
	full := false
	ended, err := c.each(s, func(b record.Batch) (bool, error) {
		took, err := c.round.Note(b)
		if err != nil {
			return false, fmt.Errorf("%w: %w", errTorn, err)
		}
		full = !took
		return took, nil
	})
	if err != nil {
		return err
	}
	if full {
		c.closeReader()
		return c.planGroups()
	}
	if ended {
		c.closeReader()
		c.round.Noted(c.ends[c.at])
		c.at++
	}
	return nil
}

// findAborted tells of the aborted transactions with data in [from, end), which begins in s. Their markers may lie anywhere behind.
func (c *logCompaction) findAborted(s *segment, from, end ids.Offset) error {
	all := c.log.list()
	i := slices.Index(all, s)
	if i < 0 {
		return errStopped
	}
	var found []producerstate.Completed
	err := c.log.abortedIn(all[i:], from, end, func(done producerstate.Completed) { found = append(found, done) })
	c.round.Aborted(found)
	return err
}

// planGroups puts the segments below the round's end into groups that fit one segment each.
func (c *logCompaction) planGroups() error {
	c.mapped = true
	c.result.End, c.result.MapUse = c.round.End(), c.round.MapUse()
	var sizes []compaction.Segment
	for i, s := range c.segments {
		if s.base >= c.result.End {
			break
		}
		s.mu.Lock()
		offsets, times := int64(s.offsets.Count()), int64(s.times.Count())
		s.mu.Unlock()
		sizes = append(sizes, compaction.Segment{Base: s.base, End: c.ends[i], Bytes: s.size.Load(),
			OffsetIndexBytes: offsets * logfiles.OffsetIndex.Width, TimeIndexBytes: times * logfiles.TimeIndex.Width})
		c.result.BytesBefore += s.size.Load()
	}
	c.result.Segments = len(sizes)
	left := c.segments
	for _, n := range compaction.Group(sizes, int64(c.cfg.SegmentBytes), int64(c.cfg.SegmentIndexBytes)) {
		c.groups, left = append(c.groups, left[:n]), left[n:]
	}
	c.at = 0
	c.round.BeginDeciding()
	return nil
}

// rewrite goes on with the first group, and swaps its segment in at the end.
func (c *logCompaction) rewrite(s *background.Slice) error {
	group := c.groups[0]
	if c.writer == nil {
		if err := c.beginGroup(group); err != nil {
			return err
		}
	}
	for c.at < len(group) {
		if c.reader == nil {
			if err := c.beginSource(group); err != nil {
				return err
			}
		}
		ended, err := c.each(s, c.copy)
		if err != nil {
			return err
		}
		if ended {
			c.closeReader()
			c.at++
		}
		if s.Over() {
			return nil
		}
	}
	return c.finishGroup(group)
}

func (c *logCompaction) beginGroup(group []*segment) error {
	c.at = 0
	l := c.log
	w := &segmentWriter{log: l, segment: newSegment(&l.store.files, l.path, group[0].base), buf: c.outBuf[:0], limit: cap(c.outBuf),
		interval: c.cfg.IndexIntervalBytes}
	c.writer = w
	c.round.BeginSegment(l.Producers(), w.keep)
	return w.begin()
}

// beginSource opens the next segment of the group.
func (c *logCompaction) beginSource(group []*segment) error {
	s := group[c.at]
	if err := c.findAborted(s, s.base, c.ends[slices.Index(c.segments, s)]); err != nil {
		return err
	}
	return c.open(s, s.base)
}

// copy brings what remains of one batch to the new segment.
func (c *logCompaction) copy(b record.Batch) (bool, error) {
	c.writer.spend = c.spent
	what, err := c.round.Decide(b)
	if err != nil {
		return false, fmt.Errorf("%w: %w", errTorn, err)
	}
	switch what {
	case compaction.Verbatim:
		err = c.writer.add(b)
	case compaction.Rebuilt:
		err = c.writer.addBuilt(c.round.AppendRebuilt)
	case compaction.Emptied:
		err = c.writer.addBuilt(func(dst []byte) ([]byte, error) { return b.AppendEmptied(dst), nil })
	}
	return true, err
}

func (c *logCompaction) finishGroup(group []*segment) error {
	if !c.marked {
		// From the first swap on offsets may be missing, whatever the topic's policy is at the next start.
		if _, ok := c.log.dir.firstDirty(c.log.tp); !ok {
			if err := c.log.dir.setFirstDirty(c.log, c.FirstDirty); err != nil {
				return err
			}
		}
		c.marked = true
	}
	w := c.writer
	w.spend = c.spent
	if err := w.finish(); err != nil {
		return err
	}
	if err := w.swapIn(group); err != nil {
		return err
	}
	c.result.BytesAfter += w.segment.size.Load()
	c.result.SegmentsAfter++
	c.outBuf = w.buf[:0]
	c.writer = nil
	c.groups = c.groups[1:]
	return nil
}

// complete moves the first dirty offset.
func (c *logCompaction) complete() error {
	c.result.Records, c.result.Retained, c.result.Keyless = c.round.Counts()
	c.result.Took = c.log.store.env().Monotonic() - c.began
	return c.log.dir.setFirstDirty(c.log, c.result.End)
}
