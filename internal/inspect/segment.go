package inspect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
)

// segment verifies one segment's log, and its indexes against it, in one pass: the entries of each index are met in the
// order of the log.
type segment struct {
	*partition
	base, until ids.Offset // until is the next segment's base

	name    string
	offsets []offsetEntry
	times   []timeEntry
	aborted map[ids.Offset]producerstate.Completed // .txnindex by offset of the marker
	largest int64                                  // timestamp so far
}

type offsetEntry struct {
	offset   ids.Offset
	position int64
	at       int64 // in the index file
}

type timeEntry struct {
	timestamp int64
	offset    ids.Offset
	at        int64
}

func (s *segment) path(suffix string) string {
	return path.Join(s.dir, fmt.Sprintf("%020d%s", s.base, suffix))
}

func (s *segment) verify() error {
	s.name, s.largest = s.path(".log"), record.NoTimestamp
	if err := s.loadIndexes(); err != nil {
		return err
	}
	in, err := openScanner(s.fsys, s.name)
	if errors.Is(err, fs.ErrNotExist) {
		s.find(s.name, CheckFraming, -1, -1, "the log of these indexes is missing")
		return nil
	}
	if err != nil {
		return fmt.Errorf("verify %s: %w", s.name, err)
	}
	defer in.close()
	s.sum.Files++
	s.sum.Bytes += in.size
	if s.next > s.base {
		s.find(s.name, CheckOffsets, -1, s.base, "the segment begins at offset %d, but the one before it ends at %d", s.base, s.next)
	} else if !s.compacted || s.next < 0 {
		if s.next >= 0 && s.next < s.base {
			s.holes = append(s.holes, Finding{Path: s.name, Check: CheckOffsets, Position: -1, Offset: s.next,
				Message: fmt.Sprintf("offsets %d to %d are missing, and nothing shows that the log is compacted", s.next, s.base-1)})
		}
		s.next = s.base
	}
	for {
		b, position, err := in.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			if err := s.unframed(s.name, in, position, err); err != nil {
				return err
			}
			break
		}
		s.batch(b, position)
	}
	s.leftovers()
	return nil
}

// batch checks one batch by itself, against the log before it, and against what the indexes say of it.
func (s *segment) batch(b record.Batch, position int64) {
	s.sum.Batches++
	base := b.BaseOffset()
	if crc := b.ComputeCRC(); crc != b.CRC() {
		s.find(s.name, CheckChecksum, position, base, "stored %#x, computed %#x", b.CRC(), crc)
		s.skip(b, position)
		return
	}
	s.compareSnapshots(base)
	s.checkBatch(s.name, position, b)
	if b.LastOffset() >= s.until {
		s.find(s.name, CheckOffsets, position, base, "the batch ends at offset %d, but the next segment begins at %d", b.LastOffset(), s.until)
	}
	if !b.Codec().Known() {
		s.find(s.name, CheckRecords, position, base, "unknown compression type id %d", b.Codec())
	} else {
		s.checkRecords(s.name, position, s.tp.Topic, b)
	}
	s.largest = max(s.largest, b.MaxTimestamp())
	s.indexed(b, position)
	s.transaction(b, position)
}

// skip passes a batch whose bytes can't be trusted: index entries that point to it are neither right nor wrong.
func (s *segment) skip(b record.Batch, position int64) {
	for len(s.offsets) > 0 && s.offsets[0].position <= position {
		s.offsets = s.offsets[1:]
	}
	if b.LastOffsetDelta() >= 0 && b.BaseOffset() == s.next {
		s.next = b.NextOffset()
	} else {
		s.next = -1
	}
	for len(s.times) > 0 && (s.next < 0 || s.times[0].offset < s.next) {
		s.times = s.times[1:]
	}
	s.complete, s.snapshots = false, nil
}

// indexed checks the entries of .index and .timeindex up to this batch.
func (s *segment) indexed(b record.Batch, position int64) {
	for len(s.offsets) > 0 && s.offsets[0].position <= position {
		e := s.offsets[0]
		s.offsets = s.offsets[1:]
		if e.position != position {
			s.find(s.path(".index"), CheckIndex, e.at, e.offset, "no batch begins at position %d of the log", e.position)
		} else if e.offset != b.LastOffset() {
			s.find(s.path(".index"), CheckIndex, e.at, e.offset, "the batch at position %d of the log ends at offset %d, not %d", position, b.LastOffset(), e.offset)
		}
	}
	for len(s.times) > 0 && s.times[0].offset <= b.LastOffset() {
		e := s.times[0]
		s.times = s.times[1:]
		if e.offset < b.BaseOffset() {
			s.find(s.path(".timeindex"), CheckTimeIndex, e.at, e.offset, "no batch holds offset %d", e.offset)
		} else if e.timestamp != b.MaxTimestamp() || e.timestamp != s.largest {
			s.find(s.path(".timeindex"), CheckTimeIndex, e.at, e.offset, "timestamp %d, but the batch at offset %d has %d, and the largest up to there is %d",
				e.timestamp, b.BaseOffset(), b.MaxTimestamp(), s.largest)
		}
	}
}

// transaction follows producers through the log, and checks the entry of .txnindex for a marker that aborts.
func (s *segment) transaction(b record.Batch, position int64) {
	done, ended := s.state.Update(b)
	if !b.IsControl() || !b.HasProducer() || controlOf(b) != record.ControlAbort || s.aborted == nil {
		return
	}
	entry, indexed := s.aborted[b.BaseOffset()]
	delete(s.aborted, b.BaseOffset())
	switch {
	case ended && !indexed && s.complete:
		s.find(s.name, CheckTxnIndex, position, b.BaseOffset(), "the abort of producer %d is missing in the .txnindex", b.ProducerID())
	case indexed && s.complete && !ended:
		s.find(s.path(".txnindex"), CheckTxnIndex, -1, b.BaseOffset(), "producer %d had no transaction to abort", entry.ProducerID)
	case indexed && (s.complete && entry != done || entry.ProducerID != b.ProducerID()):
		s.find(s.path(".txnindex"), CheckTxnIndex, -1, b.BaseOffset(), "entry %+v, but the log says %+v", entry, done)
	}
}

// compareSnapshots compares the producer snapshots that were taken before the batch at offset.
func (s *segment) compareSnapshots(offset ids.Offset) {
	for len(s.snapshots) > 0 && s.snapshots[0].offset <= offset {
		snapshot := s.snapshots[0]
		s.snapshots = s.snapshots[1:]
		if snapshot.offset < s.state.End() {
			s.find(snapshot.name, CheckProducers, -1, snapshot.offset, "the snapshot's offset lies inside a batch")
			continue
		}
		s.compare(snapshot)
	}
}

// leftovers reports index entries for which no batch came.
func (s *segment) leftovers() {
	for _, e := range s.offsets {
		s.find(s.path(".index"), CheckIndex, e.at, e.offset, "no batch begins at position %d of the log", e.position)
	}
	for _, e := range s.times {
		s.find(s.path(".timeindex"), CheckTimeIndex, e.at, e.offset, "no batch holds offset %d", e.offset)
	}
	if s.compacted {
		return
	}
	for offset := range s.aborted {
		s.find(s.path(".txnindex"), CheckTxnIndex, -1, offset, "no transaction was aborted at offset %d", offset)
	}
}

func (s *segment) loadIndexes() error {
	data, err := s.readOptional(s.path(".index"))
	if err != nil {
		return err
	}
	s.loadOffsets(data)
	if data, err = s.readOptional(s.path(".timeindex")); err != nil {
		return err
	}
	s.loadTimes(data)
	if data, err = s.readOptional(s.path(".txnindex")); err != nil {
		return err
	}
	s.loadAborted(data)
	return nil
}

// entries calls each for every used entry of an index and reports a size that is no multiple of an entry's.
func (s *segment) entries(suffix string, c Check, data []byte, size int, each func(p []byte, at int64)) {
	if len(data)%size != 0 {
		s.find(s.path(suffix), c, int64(len(data)-len(data)%size), -1, "%d bytes are not a multiple of the entry size %d", len(data), size)
	}
	used := usedBytes(data, size)
	for at := 0; at < used; at += size {
		each(data[at:at+size], int64(at))
	}
}

// loadOffsets keeps the entries that are in order; the others are reported.
func (s *segment) loadOffsets(data []byte) {
	s.entries(".index", CheckIndex, data, 8, func(p []byte, at int64) {
		e := offsetEntry{s.base + ids.Offset(int32(binary.BigEndian.Uint32(p))), int64(int32(binary.BigEndian.Uint32(p[4:]))), at}
		if n := len(s.offsets); e.offset < s.base || e.position < 0 || n > 0 && (e.offset <= s.offsets[n-1].offset || e.position <= s.offsets[n-1].position) {
			s.find(s.path(".index"), CheckIndex, at, e.offset, "entry (%d, %d) is out of order", e.offset, e.position)
			return
		}
		s.offsets = append(s.offsets, e)
	})
}

func (s *segment) loadTimes(data []byte) {
	s.entries(".timeindex", CheckTimeIndex, data, 12, func(p []byte, at int64) {
		e := timeEntry{int64(binary.BigEndian.Uint64(p)), s.base + ids.Offset(int32(binary.BigEndian.Uint32(p[8:]))), at}
		if n := len(s.times); e.offset < s.base || n > 0 && (e.timestamp <= s.times[n-1].timestamp || e.offset < s.times[n-1].offset) {
			s.find(s.path(".timeindex"), CheckTimeIndex, at, e.offset, "entry (%d, %d) is out of order", e.timestamp, e.offset)
			return
		}
		s.times = append(s.times, e)
	})
}

// loadAborted leaves aborted nil where there is no file: it is derived, and made at the first abort.
func (s *segment) loadAborted(data []byte) {
	s.aborted = make(map[ids.Offset]producerstate.Completed)
	s.entries(".txnindex", CheckTxnIndex, data, producerstate.TxnIndexEntrySize, func(p []byte, at int64) {
		t, err := producerstate.ParseTxnIndexEntry(p)
		if _, twice := s.aborted[t.LastOffset]; err != nil || t.FirstOffset > t.LastOffset || t.LastOffset < s.base || twice {
			s.find(s.path(".txnindex"), CheckTxnIndex, at, t.LastOffset, "entry %+v: %v", t, err)
			return
		}
		s.aborted[t.LastOffset] = t
	})
}
