package clients

import (
	"errors"
	"fmt"
	"sync"
)

// Ledger is what the producer of one run was told, and the judge of what is read back: every acknowledged record is there at its offset, none
// twice, none out of order, none missing before one that is there.
type Ledger struct {
	mu     sync.Mutex
	acks   map[[2]int]int64 // partition, sequence → offset, −1 where the client tells none
	failed []string
	twice  int
	frozen bool
}

// NewLedger makes an empty ledger.
func NewLedger() *Ledger { return &Ledger{acks: map[[2]int]int64{}} }

// Ack notes an acknowledgement, unless the ledger is frozen.
func (l *Ledger) Ack(a Ack) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frozen {
		return
	}
	id := [2]int{a.Partition, a.Sequence}
	if _, ok := l.acks[id]; ok {
		l.twice++
	}
	if a.Err != "" {
		l.failed = append(l.failed, fmt.Sprintf("%d-%d: %s", a.Partition, a.Sequence, a.Err))
		return
	}
	l.acks[id] = a.Offset
}

// Freeze makes later acknowledgements count for nothing: what a broker says while its disk dies is no promise that a client heard in time.
func (l *Ledger) Freeze() {
	l.mu.Lock()
	l.frozen = true
	l.mu.Unlock()
}

// Len is how many records were acknowledged.
func (l *Ledger) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acks)
}

// Failed are the records that the client gave up, and how many were acknowledged twice.
func (l *Ledger) Failed() (failed []string, twice int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed, l.twice
}

// Check holds all records of a partition, as read back, against the ledger.
func (l *Ledger) Check(p int, records []Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	last, seen := -1, map[int]int64{}
	for i, record := range records {
		if record.Offset != int64(i) {
			errs = append(errs, fmt.Errorf("record %d read has offset %d", i, record.Offset))
		}
		partition, sequence, err := sequenceOf(record.Value)
		if err != nil || partition != p {
			return fmt.Errorf("offset %d holds %s", record.Offset, show(record))
		}
		earlier, again := seen[sequence]
		switch {
		case again:
			errs = append(errs, fmt.Errorf("record %d is at offset %d and again at %d", sequence, earlier, record.Offset))
		case sequence < last:
			errs = append(errs, fmt.Errorf("record %d at offset %d comes after record %d", sequence, record.Offset, last))
		case sequence > last+1:
			errs = append(errs, fmt.Errorf("record %d at offset %d follows record %d", sequence, record.Offset, last))
		}
		seen[sequence] = record.Offset
		last = max(last, sequence)
		if told, ok := l.acks[[2]int{p, sequence}]; ok && told >= 0 && told != record.Offset {
			errs = append(errs, fmt.Errorf("record %d is at offset %d, acknowledged at %d", sequence, record.Offset, told))
		}
	}
	lost, lowest := 0, -1
	for id := range l.acks {
		if _, ok := seen[id[1]]; id[0] == p && !ok {
			lost++
			if lowest < 0 || id[1] < lowest {
				lowest = id[1]
			}
		}
	}
	if lost > 0 {
		errs = append(errs, fmt.Errorf("%d acknowledged records LOST, the first is record %d (acknowledged at offset %d; %d records read)", lost, lowest, l.acks[[2]int{p, lowest}], len(records)))
	}
	if len(errs) > 4 {
		errs = append(errs[:3], fmt.Errorf("… %d complaints in all, the last: %w", len(errs), errs[len(errs)-1]))
	}
	return errors.Join(errs...)
}

func show(r Record) string {
	cut := func(b []byte) string {
		if b == nil {
			return "null"
		}
		if len(b) > 60 {
			return fmt.Sprintf("%q… (%d bytes)", b[:60], len(b))
		}
		return fmt.Sprintf("%q", b)
	}
	var headers []string
	for _, h := range r.Headers {
		headers = append(headers, h.Key+"="+cut(h.Value))
	}
	return fmt.Sprintf("{offset %d, timestamp %d, key %s, value %s, headers %v}", r.Offset, r.TimestampMs, cut(r.Key), cut(r.Value), headers)
}
