package storage

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/logfiles"
	"github.com/ottla-io/ottla/internal/record"
)

// checkedBytes tells which bytes of a segment this process may send: those that it wrote or that recovery scanned, and those that were checked when
// somebody first read them. Bytes that lay on the disk through a stop may have rotted there, and a batch whose base offset did passes its readers'
// checksum, too.
//
//	0 ……… low ===== high ……… own ===== size          = may be sent, … was not read yet
//
// The zero value is a segment that this process made.
type checkedBytes struct {
	own atomic.Int64
	// until is where the segment's offsets ended when it was opened, 0 if that is not known, and txns the bytes of its transaction index. Set once,
	// before anybody reads.
	until ids.Offset
	txns  int64
	// Guarded by segment.mu:
	low, high int64
	next      ids.Offset // the one after the last of the batches before high
}

// noteForeign notes how far the segments of a log that was opened reach: there they hold what another process wrote.
func (l *Log) noteForeign() {
	until := l.LogEnd()
	for _, s := range slices.Backward(l.list()) {
		s.checked.until, s.checked.txns, until = until, s.txns.written, s.base
	}
}

// stretch is what Read is about to return of one segment.
type stretch struct {
	from     ids.Offset // what was asked for
	bound    ids.Offset // no batch may reach it
	position int64
	end      int64
}

// errMisled means that an index led to something that is no batch, or not the one that was asked for.
var errMisled = fmt.Errorf("%w: the index leads into a batch", errTorn)

// check reads what this process has not seen yet of a stretch, and of what lies between the index entry that led to it and its start: checksums, and
// what they don't cover, that offsets rise and leader epochs are those of leader-epoch-checkpoint. Damage is an error that wraps errTorn. Most
// stretches cost nothing: each byte is read once by each process, for the first of its readers.
func (l *Log) check(s *segment, h *handle, r stretch) error {
	own := s.checked.own.Load()
	if own == 0 || r.position > own {
		return nil
	}
	end := min(r.end, own)
	bound := r.bound
	if s.checked.until > 0 {
		bound = min(bound, s.checked.until)
	}
	begin, next, err := s.uncheckedFrom(h, r)
	if err != nil || begin >= end {
		return err
	}
	c := newScanner(h.file, s.size.Load())
	defer c.close()
	at, next, err := l.checkFrom(c, begin, next, end, bound, r)
	if at < r.position && errors.Is(err, errTorn) {
		// Damage before the stretch is no reason to refuse it, if it begins with the batch that was asked for.
		head, _, _ := c.batch(r.position)
		if len(head) > 0 && head.BaseOffset() <= r.from && r.from < head.NextOffset() {
			begin = r.position
			at, next, err = l.checkFrom(c, begin, head.BaseOffset(), end, bound, r)
		}
	}
	if err != nil {
		return l.checkFailed(s, at, r, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := &s.checked; begin > have.high || at < have.low {
		have.low, have.high, have.next = begin, at, next
	} else {
		have.low = min(have.low, begin)
		if at > have.high {
			have.high, have.next = at, next
		}
	}
	return nil
}

// checkFrom checks the batches from a position up to end, and that the one behind them follows. It returns where it got to, and the offset after the last.
func (l *Log) checkFrom(c *scanner, at int64, next ids.Offset, end int64, bound ids.Offset, r stretch) (int64, ids.Offset, error) {
	for at < end {
		b, size, err := c.batch(at)
		if err == nil {
			err = l.inPlace(b, next, bound)
		}
		if err == nil && at <= r.position && r.position < at+size && (at < r.position || b.NextOffset() <= r.from) {
			err = errMisled
		}
		if err != nil {
			return at, next, err
		}
		next, at = b.NextOffset(), at+size
	}
	if at > end {
		return end, next, errMisled
	}
	return at, next, c.follows(at, next)
}

// uncheckedFrom is where checking must begin, and the offset from which on batches may follow there; end or beyond if nothing is left.
func (s *segment) uncheckedFrom(h *handle, r stretch) (int64, ids.Offset, error) {
	s.mu.Lock()
	low, high, next := s.checked.low, s.checked.high, s.checked.next
	s.mu.Unlock()
	if high == 0 || low > r.position || r.position > high {
		return s.anchor(h, r)
	}
	// Batches before the stretch are the reason why it begins where it does: they must be checked, too.
	if at := s.positionAt(r.from); low <= at && at <= r.position {
		return high, next, nil
	}
	return s.anchor(h, r)
}

// anchor is the place before a stretch from which on batches are checked: that of the index entry at or below what was asked for, if a batch of that entry is
// there, else the segment's start.
func (s *segment) anchor(h *handle, r stretch) (int64, ids.Offset, error) {
	e, ok := s.lookup(&s.offsets, logfiles.OffsetIndex, int64(r.from-s.base), false)
	if !ok || e.Value < 0 || int64(e.Value) > r.position {
		return 0, s.base, nil
	}
	base, ok, err := s.batchAt(int64(e.Value), s.base+ids.Offset(e.Key))
	if err != nil || !ok {
		return 0, s.base, err
	}
	return int64(e.Value), base, nil
}

// inPlace checks what a batch's checksum doesn't cover.
func (l *Log) inPlace(b record.Batch, next, bound ids.Offset) error {
	if b.BaseOffset() < next {
		return fmt.Errorf("%w: offset %d follows offset %d", errTorn, b.BaseOffset(), next-1)
	}
	if b.LastOffset() >= bound {
		return fmt.Errorf("%w: offset %d lies before offset %d", errTorn, b.LastOffset(), bound)
	}
	if want, have := l.epochs.At(b.LastOffset()), b.LeaderEpoch(); want >= 0 && have != ids.NoLeaderEpoch && want != have {
		return fmt.Errorf("%w: offset %d has leader epoch %d, and %s says %d; if it is that file which is damaged, remove it while the broker is stopped", errTorn, b.BaseOffset(), have, logfiles.Epochs, want)
	}
	return nil
}

// follows checks that the batch behind a stretch begins at next or later: otherwise it is the span's last that is not in its place.
func (c *scanner) follows(at int64, next ids.Offset) error {
	if at+record.HeaderSize > c.end {
		return nil
	}
	head, err := c.at(at, record.HeaderSize)
	if err != nil {
		return err
	}
	if base := record.Batch(head).BaseOffset(); base < next {
		return fmt.Errorf("%w: offset %d follows offset %d", errTorn, base, next-1)
	}
	return nil
}

// checkNone checks why Read returns nothing of a segment: the batch at position, which reaches the limit, or, at the segment's end, that none before it holds
// offset from.
func (l *Log) checkNone(s *segment, h *handle, from ids.Offset, position int64) error {
	if own := s.checked.own.Load(); own == 0 || position > own {
		return nil
	}
	r := stretch{from, math.MaxInt64, position, position}
	if position < s.size.Load() {
		w := newWalker(h.file, s.size.Load())
		defer w.close()
		_, size, err := w.header(position)
		if err != nil {
			return s.damaged(position, err)
		}
		r.end += size
	}
	return l.check(s, h, r)
}

// checkFailed tells damage from a log that was cut or deleted meanwhile.
func (l *Log) checkFailed(s *segment, at int64, r stretch, err error) error {
	l.hints.forget(s) // what was learned on the way may be wrong
	if s.size.Load() < r.end || l.LogEnd() < r.bound && r.bound != math.MaxInt64 || l.Err() != nil {
		return errGone
	}
	if errors.Is(err, errTorn) {
		return s.damaged(at, err)
	}
	return err
}

// walkChecked is walk, but reads batches whole, and checks them, where this process did not write them.
func (s *segment) walkChecked(position int64, fn func(b record.Batch, position int64, h *handle) error) error {
	own := s.checked.own.Load()
	if position < own {
		h, err := s.open(readWrite)
		if err != nil {
			return err
		}
		defer h.release()
		if position, err = s.walkForeign(h, position, own, fn); err != nil {
			return err
		}
	}
	return s.walk(position, fn)
}

// walkForeign calls fn for each batch in [position, own), and returns where they end.
func (s *segment) walkForeign(h *handle, position, own int64, fn func(b record.Batch, position int64, h *handle) error) (int64, error) {
	c := newScanner(h.file, own)
	defer c.close()
	c.ahead = 32 << 10 // most walks end after an index interval
	following := newWalker(h.file, s.size.Load())
	defer following.close()
	for next := s.base; position < own; {
		b, size, err := c.batch(position)
		if err != nil {
			return position, s.damaged(position, err)
		}
		bound := s.checked.until
		if head, _, err := following.header(position + size); err == nil {
			bound = head.BaseOffset()
		}
		if b.BaseOffset() < next || bound > 0 && b.NextOffset() > bound {
			return position, s.damaged(position, fmt.Errorf("%w: offsets %d to %d between offsets %d and %d", errTorn, b.BaseOffset(), b.LastOffset(), next-1, bound))
		}
		if err := fn(b, position, h); err != nil {
			return position, err
		}
		next, position = b.NextOffset(), position+size
	}
	return position, nil
}

// holding returns the position and the header of the batch that holds offset, checked with all from the last index entry on; ok is false if there is none.
func (s *segment) holding(offset ids.Offset) (head record.Batch, position int64, ok bool, err error) {
	if s.size.Load() == 0 {
		return nil, 0, false, nil
	}
	h, err := s.open(readWrite)
	if err != nil {
		return nil, 0, false, err
	}
	begin, _, err := s.anchor(h, stretch{from: offset, position: s.size.Load()})
	h.release()
	if err != nil {
		return nil, 0, false, err
	}
	err = s.walkChecked(begin, func(b record.Batch, at int64, _ *handle) error {
		if b.LastOffset() < offset {
			return nil
		}
		if b.BaseOffset() <= offset {
			head, position, ok = slices.Clone(b[:record.HeaderSize]), at, true
		}
		return errFound
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return head, position, ok, err
}

// timeEntry is the position of the batch that an entry of the time index is about; ok is false if there is none: the entry is damaged, or the
// offset index was when it was looked up.
func (s *segment) timeEntry(e logfiles.IndexEntry) (position int64, ok bool, err error) {
	head, position, ok, err := s.holding(s.base + ids.Offset(e.Value))
	return position, ok && head.MaxTimestamp() == e.Key, err
}

// metDamage is the damaged places that readers met: clients come back to them many times a second, and it is told once.
type metDamage struct {
	mu     sync.Mutex // held for memory only
	places map[damagedPlace]bool
}

type damagedPlace struct {
	file     string
	position int64
}

func (m *metDamage) first(c *CorruptError) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	place := damagedPlace{c.File, c.Position}
	if m.places[place] {
		return false
	}
	if m.places == nil {
		m.places = make(map[damagedPlace]bool)
	}
	m.places[place] = true
	return true
}
