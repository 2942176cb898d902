package inspect

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/producerstate"
	"github.com/ottla-io/ottla/internal/record"
)

// alwaysCompacted are the internal topics whose cleanup policy is fixed.
var alwaysCompacted = []string{"__consumer_offsets", "__transaction_state", "__share_group_state"}

// partition verifies one partition's directory: its segments in order, each with its indexes, then what spans them.
type partition struct {
	*verifier
	dir   string
	tp    ids.TopicPartition
	alone bool // one segment was asked for, not the whole log

	epochs        []epochStart // leader-epoch-checkpoint; nil if there is none
	epochsDurable ids.Offset   // the recovery point, 0 if unknown: below it, epochs must hold
	logStart      ids.Offset   // log-start-offset-checkpoint, 0 if it says nothing
	compacted     bool
	holes         []Finding // reported at the end, unless some batch shows that the log is compacted

	snapshots []producerSnapshot // by offset; those not yet compared
	state     *producerstate.State
	complete  bool // state saw all that matters: from offset 0, or from a snapshot

	next      ids.Offset // the offset that must follow; -1 before the first batch
	lastEpoch ids.LeaderEpoch
}

type producerSnapshot struct {
	name      string
	offset    ids.Offset
	data      []byte
	producers []producerstate.Producer
}

func (v *verifier) newPartition(dir string) *partition {
	p := &partition{verifier: v, dir: dir, next: -1, lastEpoch: ids.NoLeaderEpoch}
	p.tp, _ = partitionOf(dir)
	p.compacted = slices.Contains(alwaysCompacted, p.tp.Topic)
	return p
}

// verify checks the segments that begin at bases.
func (p *partition) verify(bases []ids.Offset) error {
	slices.Sort(bases)
	p.sum.Partitions++
	if err := p.load(bases[0]); err != nil {
		return err
	}
	for i, base := range bases {
		until := ids.Offset(math.MaxInt64)
		if i+1 < len(bases) {
			until = bases[i+1]
		}
		s := segment{partition: p, base: base, until: until}
		if err := s.verify(); err != nil {
			return err
		}
	}
	if p.next < 0 {
		p.next = bases[len(bases)-1]
	}
	if !p.compacted {
		for _, f := range p.holes {
			p.emit(f)
		}
	}
	if p.alone {
		return nil
	}
	for _, s := range p.snapshots {
		if s.offset > p.next {
			p.find(s.name, CheckProducers, -1, s.offset, "the snapshot is of offset %d, but the log ends at %d", s.offset, p.next)
			continue
		}
		p.compare(s)
	}
	for _, e := range p.epochs {
		if e.start > p.next {
			p.find(path.Join(p.dir, "leader-epoch-checkpoint"), CheckEpochs, -1, e.start, "epoch %d begins at offset %d, but the log ends at %d", e.epoch, e.start, p.next)
		}
	}
	return nil
}

// load reads what lies beside the segments, and in the data directory about this partition.
func (p *partition) load(first ids.Offset) error {
	name := path.Join(p.dir, "leader-epoch-checkpoint")
	data, err := p.readOptional(name)
	if err != nil {
		return err
	}
	if data != nil {
		if p.epochs, err = parseEpochs(data); err != nil {
			p.find(name, CheckEpochs, -1, -1, "%v", err)
			p.epochs = nil
		}
	}
	if err := p.loadCheckpoints(); err != nil {
		return err
	}
	if p.alone { // what came before the segment is unknown
		p.state = producerstate.New(math.MaxInt64)
		return nil
	}
	if start := max(first, p.logStart); len(p.epochs) > 0 && p.epochs[0].start > start {
		p.find(name, CheckEpochs, -1, start, "the first epoch begins at offset %d, but the log at %d", p.epochs[0].start, start)
	}
	return p.loadSnapshots(first)
}

// loadCheckpoints asks the data directory how far the partition was flushed and cleaned. Damage in these files is reported
// by whoever verifies the data directory.
func (p *partition) loadCheckpoints() error {
	if path.Base(p.dir) != p.tp.String() {
		return nil // they are about the partition that is served under this name
	}
	for file, use := range map[string]func(ids.Offset){
		"recovery-point-offset-checkpoint": func(o ids.Offset) { p.epochsDurable = o },
		"log-start-offset-checkpoint":      func(o ids.Offset) { p.logStart = o },
		"cleaner-offset-checkpoint":        func(ids.Offset) { p.compacted = true },
	} {
		data, err := p.readOptional(path.Join(path.Dir(p.dir), file))
		if err != nil {
			return err
		}
		offsets, err := parseOffsets(data)
		if err != nil {
			continue
		}
		for _, o := range offsets {
			if o.tp == p.tp {
				use(o.offset)
			}
		}
	}
	return nil
}

func (p *partition) loadSnapshots(first ids.Offset) error {
	entries, err := p.fsys.List(p.dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", p.dir, err)
	}
	p.state, p.complete = producerstate.New(math.MaxInt64), first == 0
	for _, e := range entries {
		offset, ok := baseOf(e.Name)
		if !ok || transition(e.Name) || kindOf(e.Name) != kindProducerSnapshot {
			continue
		}
		s := producerSnapshot{name: path.Join(p.dir, e.Name), offset: offset}
		if s.data, err = p.readOptional(s.name); err != nil {
			return err
		}
		if s.producers, err = producerstate.ParseSnapshot(s.data); err != nil {
			p.find(s.name, CheckProducers, -1, offset, "%v", err)
			continue
		}
		if offset == first {
			if p.state, err = producerstate.Load(s.data, offset, math.MaxInt64); err != nil {
				return fmt.Errorf("load %s: %w", s.name, err) // it was parsed: cannot fail
			}
			p.complete = true
		}
		if offset > first {
			p.snapshots = append(p.snapshots, s)
		}
	}
	slices.SortFunc(p.snapshots, func(a, b producerSnapshot) int { return cmp.Compare(a.offset, b.offset) })
	return nil
}

// compare holds a snapshot against the producers that the log up to its offset makes. Producers that are missing in it
// had expired; in a compacted log, and in one whose start is gone, little can be said.
func (p *partition) compare(s producerSnapshot) {
	if p.compacted {
		return
	}
	known := make(map[ids.ProducerID]producerstate.Producer)
	for _, q := range p.state.Producers() {
		known[q.ID] = q
	}
	for _, have := range s.producers {
		want, ok := known[have.ID]
		if !ok && !p.complete || ok && !p.complete && want.Batches == 0 {
			continue
		}
		want.Batches = min(want.Batches, 1)
		if have.CoordinatorEpoch < 0 { // the producer had expired since its last marker, and came back
			want.CoordinatorEpoch = have.CoordinatorEpoch
		}
		if !p.complete {
			want.CoordinatorEpoch, want.TxnFirstOffset = have.CoordinatorEpoch, have.TxnFirstOffset
		}
		if !ok || want != have {
			p.find(s.name, CheckProducers, -1, have.LastOffset, "producer %d is recorded as %+v, but the log up to offset %d says %+v", have.ID, have, s.offset, want)
		}
	}
}

// epochAt is the epoch that leader-epoch-checkpoint gives for offset; false if it says nothing about it.
func (p *partition) epochAt(offset ids.Offset) (ids.LeaderEpoch, bool) {
	i, found := slices.BinarySearchFunc(p.epochs, offset, func(e epochStart, o ids.Offset) int { return cmp.Compare(e.start, o) })
	if !found {
		i--
	}
	if i < 0 {
		return ids.NoLeaderEpoch, false
	}
	return p.epochs[i].epoch, true
}

// checkBatch holds a batch against those before it.
func (p *partition) checkBatch(name string, position int64, b record.Batch) {
	base, epoch := b.BaseOffset(), b.LeaderEpoch()
	switch {
	case b.LastOffsetDelta() < 0 || b.LastOffset() < base:
		p.find(name, CheckOffsets, position, base, "the batch ends at offset %d, before it begins", b.LastOffset())
		return
	case p.next >= 0 && base < p.next:
		p.find(name, CheckOffsets, position, base, "the batch begins at offset %d, but offset %d was to follow", base, p.next)
	case p.next >= 0 && base > p.next:
		p.holes = append(p.holes, Finding{Path: name, Check: CheckOffsets, Position: position, Offset: p.next,
			Message: fmt.Sprintf("offsets %d to %d are missing, and nothing shows that the log is compacted", p.next, base-1)})
	}
	if int64(b.Count()) < int64(b.LastOffsetDelta())+1 || b.HasDeleteHorizon() {
		p.compacted = true
	}
	if epoch < p.lastEpoch {
		p.find(name, CheckEpochs, position, base, "leader epoch %d follows epoch %d", epoch, p.lastEpoch)
	} else {
		p.checkEpoch(name, position, b)
	}
	p.next, p.lastEpoch = max(p.next, b.NextOffset()), max(p.lastEpoch, epoch)
}

// checkEpoch holds a batch against leader-epoch-checkpoint, at both its ends: epochs begin where batches do.
func (p *partition) checkEpoch(name string, position int64, b record.Batch) {
	epoch := b.LeaderEpoch()
	for _, offset := range [...]ids.Offset{b.BaseOffset(), b.LastOffset()} {
		want, ok := p.epochAt(offset)
		if !ok || want == epoch || epoch > want && offset >= p.epochsDurable {
			continue
		}
		p.find(name, CheckEpochs, position, offset, "the batch has leader epoch %d, leader-epoch-checkpoint says %d", epoch, want)
		return
	}
}

// checkRecords walks the records of a batch whose checksum is right.
func (v *verifier) checkRecords(name string, position int64, topic string, b record.Batch) {
	it := b.Records(record.Limits{})
	defer it.Close()
	previous := b.BaseOffset() - 1
	for it.Next() {
		r := it.Record()
		v.sum.Records++
		if r.Offset <= previous || r.Offset > b.LastOffset() {
			v.find(name, CheckRecords, position, r.Offset, "record after offset %d in the batch of offsets %d to %d", previous, b.BaseOffset(), b.LastOffset())
		}
		previous = r.Offset
		if _, err := decodePayload(topic, b.IsControl(), r); err != nil {
			v.find(name, CheckPayload, position, r.Offset, "%v", err)
		}
	}
	if err := it.Err(); err != nil {
		v.find(name, CheckRecords, position, b.BaseOffset(), "%v", err)
	}
}

// unframed reports bytes that are no batch; nothing after them can be told.
func (v *verifier) unframed(name string, s *scanner, position int64, err error) error {
	if !errors.Is(err, record.ErrCorrupt) && !errors.Is(err, record.ErrLegacyMagic) && !errors.Is(err, record.ErrTruncated) {
		return fmt.Errorf("verify %s: %w", name, err)
	}
	zeros, zerr := s.zeros()
	if zerr != nil {
		return fmt.Errorf("verify %s: %w", name, zerr)
	}
	rest := s.size - position
	switch {
	case zeros:
		v.find(name, CheckFraming, position, -1, "the last %d bytes are zeros", rest)
	case errors.Is(err, record.ErrTruncated):
		v.find(name, CheckFraming, position, -1, "the last %d bytes are the beginning of a batch only: a torn tail, which recovery cuts", rest)
	default:
		v.find(name, CheckFraming, position, -1, "%v; the last %d bytes cannot be read", err, rest)
	}
	return nil
}

// metadataSnapshot verifies a .checkpoint of the metadata log.
func (v *verifier) metadataSnapshot(name string) error {
	s, err := openScanner(v.fsys, name)
	if err != nil {
		return err
	}
	defer s.close()
	v.sum.Files++
	v.sum.Bytes += s.size
	id, named := machine.ParseSnapshotName(path.Base(name))
	next, first, last, footerAt := ids.Offset(-1), record.ControlType(-1), record.ControlType(-1), int64(0)
	for n := 0; ; n++ {
		b, position, err := s.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return v.unframed(name, s, position, err)
		}
		v.sum.Batches++
		if b.CRC() != b.ComputeCRC() {
			v.find(name, CheckChecksum, position, b.BaseOffset(), "stored %#x, computed %#x", b.CRC(), b.ComputeCRC())
			continue
		}
		if next >= 0 && b.BaseOffset() != next || next < 0 && b.BaseOffset() != 0 {
			v.find(name, CheckOffsets, position, b.BaseOffset(), "the batch begins at offset %d, but offset %d was to follow", b.BaseOffset(), max(next, 0))
		}
		next = b.NextOffset()
		if named && b.LeaderEpoch() != id.Epoch {
			v.find(name, CheckEpochs, position, b.BaseOffset(), "the batch has leader epoch %d, the file's name says %d", b.LeaderEpoch(), id.Epoch)
		}
		v.checkRecords(name, position, metadataTopic, b)
		if kind := controlOf(b); n == 0 {
			first, last = kind, kind
		} else {
			last = kind
		}
		footerAt = position
	}
	if path.Base(name) == "bootstrap.checkpoint" {
		return nil // written by the format step, and its epoch and frame are not those of a raft snapshot
	}
	if first != record.ControlSnapshotHeader {
		v.find(name, CheckFraming, 0, -1, "the first batch is no snapshot header")
	}
	if last != record.ControlSnapshotFooter {
		v.find(name, CheckFraming, footerAt, -1, "the last batch is no snapshot footer: the snapshot is incomplete")
	}
	return nil
}

// controlOf is the type of a control batch's first record, -1 for other batches.
func controlOf(b record.Batch) record.ControlType {
	if !b.IsControl() {
		return -1
	}
	it := b.Records(record.Limits{})
	defer it.Close()
	if !it.Next() {
		return -1
	}
	t, err := record.ParseControlKey(it.Record().Key)
	if err != nil {
		return -1
	}
	return t
}
