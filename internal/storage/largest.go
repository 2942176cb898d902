package storage

import (
	"errors"
	"io/fs"
	"maps"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/manifest"
	"github.com/ottla-io/ottla/internal/vfs"
)

// farBytes is how much more of a segment recovery may read before an entry in the file is worth it.
const farBytes = 1 << 20

// durableMark is what a log's active segment held when a flush round captured it.
type durableMark struct {
	segment   *segment
	end       ids.Offset
	timestamp int64
	offset    ids.Offset
	far       bool // the time index ends far below end
}

// mark notes the largest timestamp so far. Called under the append lock.
func (s *segment) mark(end ids.Offset) durableMark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return durableMark{s, end, s.maxTimestamp, s.maxOffset, s.size.Load()-s.timesAt > farBytes && s.maxTimestamp >= 0}
}

// largestAt is the log's entry for a recovery point; false: the time index does, or it isn't known. Called under the append lock.
func (l *Log) largestAt(point ids.Offset) (manifest.Largest, bool) {
	m := &l.durableMark
	if m.segment == nil || m.segment != l.active() || m.end != point || !m.far {
		return manifest.Largest{}, false
	}
	return manifest.Largest{ID: l.id, Base: m.segment.base, Point: point, Timestamp: m.timestamp, Offset: m.offset}, true
}

// loadLargest reads the file; without it, recovery reads more.
func (d *directory) loadLargest() {
	d.largest = manifest.LargestTimestamps{}
	data, err := vfs.ReadWhole(d.store.cfg.FS, d.path+"/"+logfiles.LargestTimestamps, manifestLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var found manifest.LargestTimestamps
	if err == nil {
		found, err = manifest.OpenLargest(data)
	}
	if err != nil {
		d.store.problem("read "+logfiles.LargestTimestamps+" in "+d.path+"; recovery reads more instead", err)
		return
	}
	d.largest = found
}

// writeLargest replaces the file if its content changed; the caller holds mu.
func (d *directory) writeLargest(want manifest.LargestTimestamps) error {
	if maps.Equal(d.largest, want) {
		return nil
	}
	if err := vfs.Replace(d.store.cfg.FS, d.path, logfiles.LargestTimestamps, want.Encode()); err != nil {
		return err
	}
	d.largest = want
	return nil
}

// largestOf is what the file says of a log at its recovery point.
func (d *directory) largestOf(tp ids.TopicPartition, id ids.TopicID, point ids.Offset) (manifest.Largest, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, ok := d.largest[tp]
	return e, ok && e.ID == id && e.Point == point
}
