package storage

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

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

// compaction is the compaction of one log, in steps: it reads the dirty part into the offset map, then rewrites the segments below its end in groups, each of
// which becomes one segment.
type compaction struct {
	cleanRange
	cfg      LogConfig
	nowMs    int64
	began    time.Duration
	segments []*segment // all below firstUncleanable
	ends     []ids.Offset
	newest   *offsetMap
	txns     *cleanedTxns
	buf      []byte // for reading; the reader's while there is one

	// While the map is made: the segment being read. Afterwards, that of its group.
	mapped  bool
	at      int
	reader  *batchReader
	handle  *handle
	groups  [][]*segment
	filter  *filter
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
func (c *cleaner) beginCompaction(r cleanRange, cfg CleanerConfig) *compaction {
	l, env := r.log, c.store.env()
	var random [16]byte
	env.Random(random[:])
	run := &compaction{
		cleanRange: r, cfg: l.Config(), nowMs: env.Now().UnixMilli(), began: env.Monotonic(),
		newest: newOffsetMap(cfg.DedupeBufferBytes, cfg.LoadFactor, random), txns: newCleanedTxns(),
		buf: make([]byte, cfg.bufferBytes()), outBuf: make([]byte, 0, cfg.bufferBytes()),
	}
	all := l.list()
	for i, s := range all {
		if i+1 < len(all) && all[i+1].base <= r.firstUncleanable {
			run.segments, run.ends = append(run.segments, s), append(run.ends, all[i+1].base)
		}
	}
	run.at = max(segmentAt(run.segments, r.firstDirty), 0)
	run.newest.latest = r.firstDirty - 1
	run.filter = &filter{newest: run.newest, txns: run.txns, nowMs: run.nowMs, deleteRetentionMs: run.cfg.DeleteRetentionMs,
		roundEnd: r.firstUncleanable, builder: record.NewBuilder(record.None, record.DefaultLevel)}
	run.result = Compaction{Log: l.tp, FirstDirty: r.firstDirty}
	return run
}

// step does a bounded piece of the work. done: the log is compacted. errStopped, wrapped or not: it must be looked at anew.
func (c *compaction) step(s *slice, spend func(int64)) (done bool, err error) {
	c.spent = spend
	if c.log.Err() != nil {
		return false, errStopped
	}
	for !c.mapped {
		if err := c.readDirty(s); err != nil || s.over() {
			return false, err
		}
	}
	for len(c.groups) > 0 {
		if err := c.rewrite(s); err != nil || s.over() {
			return false, err
		}
	}
	return true, c.complete()
}

// close gives back what the compaction holds, and removes what it has written and not swapped in.
func (c *compaction) close() {
	c.closeReader()
	if c.writer != nil {
		c.writer.discard()
		c.writer = nil
	}
}

func (c *compaction) closeReader() {
	if c.handle != nil {
		c.buf = c.reader.buf
		c.handle.release()
		c.reader, c.handle = nil, nil
	}
}

// open begins to read a segment at a position.
func (c *compaction) open(s *segment, from ids.Offset) error {
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
func (c *compaction) each(s *slice, fn func(record.Batch) (more bool, err error)) (ended bool, err error) {
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
			if s.over() {
				return false, nil
			}
		}
	}
}

// readDirty notes the newest offset of each key of the dirty part, as far as the map takes them.
func (c *compaction) readDirty(s *slice) error {
	if c.at >= len(c.segments) {
		return c.planGroups()
	}
	if c.reader == nil {
		if c.newest.entries == 0 && len(c.txns.aborted) == 0 {
			// The first one.
			if err := c.findAborted(c.segments[c.at], c.firstDirty, c.firstUncleanable); err != nil {
				return err
			}
		}
		if err := c.open(c.segments[c.at], c.firstDirty); err != nil {
			return err
		}
	}
	full := false
	ended, err := c.each(s, func(b record.Batch) (bool, error) {
		took, err := c.note(b)
		full = !took
		return took, err
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
		c.newest.latest = max(c.newest.latest, c.ends[c.at]-1)
		c.at++
	}
	return nil
}

// findAborted tells of the aborted transactions with data in [from, end), which begins in s. Their markers may lie anywhere behind.
func (c *compaction) findAborted(s *segment, from, end ids.Offset) error {
	all := c.log.list()
	i := slices.Index(all, s)
	if i < 0 {
		return errStopped
	}
	var found []producerstate.Completed
	err := c.log.abortedIn(all[i:], from, end, func(done producerstate.Completed) { found = append(found, done) })
	c.txns.add(found)
	return err
}

// note puts the keys of one batch into the map; false if it is full.
func (c *compaction) note(b record.Batch) (bool, error) {
	if b.IsControl() {
		if _, err := c.txns.control(b); err != nil {
			return false, fmt.Errorf("%w: %w", errTorn, err)
		}
	} else if !c.txns.data(b) {
		records := b.Records(record.Limits{})
		defer records.Close()
		for records.Next() {
			r := records.Record()
			if r.Key == nil || r.Offset < c.firstDirty {
				continue
			}
			if !c.newest.put(r.Key, r.Offset) {
				return false, nil
			}
			c.newest.latest = r.Offset
		}
		if err := records.Err(); err != nil {
			return false, fmt.Errorf("%w: %w", errTorn, err)
		}
	}
	c.newest.latest = max(c.newest.latest, b.LastOffset())
	return true, nil
}

// planGroups puts the segments below the map's end into groups that fit one segment each, as Kafka's groupSegmentsBySize.
func (c *compaction) planGroups() error {
	c.mapped = true
	c.result.End, c.result.MapUse = c.newest.latest+1, c.newest.utilization()
	n := 0
	for n < len(c.segments) && c.segments[n].base < c.result.End {
		n++
	}
	c.groups = groupSegments(c.segments[:n], c.ends, c.cfg)
	c.result.Segments = n
	for _, s := range c.segments[:n] {
		c.result.BytesBefore += s.size.Load()
	}
	c.at = 0
	c.txns = newCleanedTxns()
	c.filter.txns = c.txns
	return nil
}

// groupSegments: ends are the offsets where the segments end.
func groupSegments(segments []*segment, ends []ids.Offset, cfg LogConfig) [][]*segment {
	var groups [][]*segment
	for i := 0; i < len(segments); {
		first := i
		var bytes, offsets, times int64
		for ; i < len(segments); i++ {
			s := segments[i]
			size := s.size.Load()
			s.mu.Lock()
			offsetBytes, timeBytes := int64(s.offsets.Count())*logfiles.OffsetIndex.Width, int64(s.times.Count())*logfiles.TimeIndex.Width
			s.mu.Unlock()
			if i > first && (bytes+size > int64(cfg.SegmentBytes) || offsets+offsetBytes > int64(cfg.SegmentIndexBytes) ||
				times+timeBytes > int64(cfg.SegmentIndexBytes) || size > 0 && ends[i]-1-segments[first].base > math.MaxInt32) {
				break
			}
			bytes, offsets, times = bytes+size, offsets+offsetBytes, times+timeBytes
		}
		groups = append(groups, segments[first:i])
	}
	return groups
}

// rewrite goes on with the first group, and swaps its segment in at the end.
func (c *compaction) rewrite(s *slice) error {
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
		if s.over() {
			return nil
		}
	}
	return c.finishGroup(group)
}

func (c *compaction) beginGroup(group []*segment) error {
	c.at = 0
	l := c.log
	c.filter.producers = make(map[ids.ProducerID]producerstate.Producer)
	for _, p := range l.Producers() {
		c.filter.producers[p.ID] = p
	}
	w := &segmentWriter{log: l, segment: newSegment(&l.store.files, l.path, group[0].base), buf: c.outBuf[:0], limit: cap(c.outBuf),
		interval: c.cfg.IndexIntervalBytes}
	c.writer = w
	c.txns.keep = w.keep
	return w.begin()
}

// beginSource opens the next segment of the group.
func (c *compaction) beginSource(group []*segment) error {
	s := group[c.at]
	if err := c.findAborted(s, s.base, c.ends[slices.Index(c.segments, s)]); err != nil {
		return err
	}
	return c.open(s, s.base)
}

// copy brings what remains of one batch to the new segment.
func (c *compaction) copy(b record.Batch) (bool, error) {
	c.writer.spend = c.spent
	what, err := c.filter.decide(b)
	if err != nil {
		return false, err
	}
	switch what {
	case verbatim:
		err = c.writer.add(b)
	case rebuilt:
		err = c.writer.addBuilt(c.filter.builder.AppendTo)
	case emptied:
		err = c.writer.addBuilt(func(dst []byte) ([]byte, error) { return b.AppendEmptied(dst), nil })
	}
	return true, err
}

func (c *compaction) finishGroup(group []*segment) error {
	if !c.marked {
		// From the first swap on offsets may be missing, whatever the topic's policy is at the next start.
		if _, ok := c.log.dir.firstDirty(c.log.tp); !ok {
			if err := c.log.dir.setFirstDirty(c.log, c.firstDirty); err != nil {
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
func (c *compaction) complete() error {
	f := c.filter
	c.result.Records, c.result.Retained, c.result.Keyless = f.records, f.retained, f.keyless
	c.result.Took = c.log.store.env().Monotonic() - c.began
	return c.log.dir.setFirstDirty(c.log, c.result.End)
}
