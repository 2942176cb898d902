package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"slices"
	"strings"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/vfs"
)

// The manifest, ottla.manifest in a log directory, remembers from a clean stop to the next start what the start would otherwise read from each log's files. It
// is a cache: a start without it, or with one that is damaged or of another time, does the same and takes longer. It is believed for a log only if the files
// of its directory have the very names and sizes of the stop, and the checkpoints say what they said; where they disagree, the directory wins. A start
// removes it, so that the one that is there was written by the last stop.
//
//	"OTTLAMF1"                      8 bytes
//	logs                            uvarint
//	  size of the entry             uvarint
//	  topic, partition, topic id    uvarint length and bytes, uvarint, 16 bytes
//	  listing                       8 bytes: FNV-1a of all names and sizes in the partition's directory
//	  logStart, logEnd              uvarints
//	  producers                     1 byte: 1 if the snapshot at logEnd names producers; 0 if there are none
//	  epochs                        uvarint, then (epoch, start) in uvarints
//	  segments                      uvarint, then (base, size, entries of .index, entries of .timeindex, bytes of .txnindex) in uvarints
//	  active segment                varints: last entry of .index, last entry of .timeindex, first timestamp, largest timestamp and its offset
//	CRC-32C of all that             4 bytes, big endian
const (
	manifestFile  = "ottla.manifest"
	manifestMagic = "OTTLAMF1"
	// manifestLimit bounds what is read of one: 1 GiB is some five million partitions.
	manifestLimit = 1 << 30
)

// manifest is the entries of a manifest that no log has used yet.
type manifest map[ids.TopicPartition][]byte

// manifestEntry is what the manifest says of one log.
type manifestEntry struct {
	tp               ids.TopicPartition
	id               ids.TopicID
	listing          uint64
	logStart, logEnd ids.Offset
	producers        bool
	epochs           []epochStart
	segments         []manifestSegment
	lastOffset       indexEntry
	lastTime         indexEntry
	first, max       int64
	maxOffset        ids.Offset
}

type manifestSegment struct {
	base                         ids.Offset
	size                         int64
	offsets, times, abortedBytes int64
}

func (e *manifestEntry) append(out []byte) []byte {
	u := func(values ...int64) {
		for _, v := range values {
			out = binary.AppendUvarint(out, uint64(v))
		}
	}
	u(int64(len(e.tp.Topic)))
	out = append(out, e.tp.Topic...)
	u(int64(e.tp.Partition))
	out = append(out, e.id[:]...)
	out = binary.BigEndian.AppendUint64(out, e.listing)
	u(int64(e.logStart), int64(e.logEnd))
	out = append(out, 0)
	if e.producers {
		out[len(out)-1] = 1
	}
	u(int64(len(e.epochs)))
	for _, s := range e.epochs {
		u(int64(s.Epoch), int64(s.Start))
	}
	u(int64(len(e.segments)))
	for _, s := range e.segments {
		u(int64(s.base), s.size, s.offsets, s.times, s.abortedBytes)
	}
	for _, v := range []int64{e.lastOffset.key, int64(e.lastOffset.value), e.lastTime.key, int64(e.lastTime.value), e.first, e.max, int64(e.maxOffset)} {
		out = binary.AppendVarint(out, v)
	}
	return out
}

var errManifest = errors.New("the manifest is damaged")

// manifestReader reads an entry; bad is set by the first thing that cannot be.
type manifestReader struct {
	data []byte
	bad  bool
}

func (r *manifestReader) uvarint() int64 {
	v, n := binary.Uvarint(r.data)
	if n <= 0 || v > 1<<62 {
		r.bad, r.data = true, nil
		return 0
	}
	r.data = r.data[n:]
	return int64(v)
}

func (r *manifestReader) varint() int64 {
	v, n := binary.Varint(r.data)
	if n <= 0 {
		r.bad, r.data = true, nil
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *manifestReader) bytes(n int64) []byte {
	if n > int64(len(r.data)) {
		r.bad, r.data = true, nil
		return make([]byte, min(n, 16))
	}
	p := r.data[:n]
	r.data = r.data[n:]
	return p
}

// count is the length of a list whose elements take at least size bytes each.
func (r *manifestReader) count(size int64) int {
	n := r.uvarint()
	if n*size > int64(len(r.data)) {
		r.bad, r.data = true, nil
		return 0
	}
	return int(n)
}

func (r *manifestReader) partition() ids.TopicPartition {
	topic := string(r.bytes(r.uvarint()))
	return ids.TopicPartition{Topic: topic, Partition: int32(r.uvarint())}
}

func decodeManifestEntry(data []byte) (manifestEntry, error) {
	r := manifestReader{data: data}
	e := manifestEntry{tp: r.partition()}
	copy(e.id[:], r.bytes(int64(len(e.id))))
	e.listing = binary.BigEndian.Uint64(r.bytes(8))
	e.logStart, e.logEnd = ids.Offset(r.uvarint()), ids.Offset(r.uvarint())
	e.producers = r.bytes(1)[0] == 1
	e.epochs = make([]epochStart, r.count(2))
	for i := range e.epochs {
		e.epochs[i] = epochStart{ids.LeaderEpoch(r.uvarint()), ids.Offset(r.uvarint())}
	}
	e.segments = make([]manifestSegment, r.count(5))
	for i := range e.segments {
		e.segments[i] = manifestSegment{ids.Offset(r.uvarint()), r.uvarint(), r.uvarint(), r.uvarint(), r.uvarint()}
	}
	e.lastOffset = indexEntry{r.varint(), int32(r.varint())}
	e.lastTime = indexEntry{r.varint(), int32(r.varint())}
	e.first, e.max, e.maxOffset = r.varint(), r.varint(), ids.Offset(r.varint())
	if r.bad || len(r.data) > 0 || len(e.segments) == 0 {
		return manifestEntry{}, errManifest
	}
	return e, nil
}

// readManifest splits a manifest into its entries. It aliases data.
func readManifest(data []byte) (manifest, error) {
	if len(data) < len(manifestMagic)+4 || string(data[:len(manifestMagic)]) != manifestMagic {
		return nil, errManifest
	}
	end := len(data) - 4
	if crc32.Checksum(data[:end], castagnoli) != binary.BigEndian.Uint32(data[end:]) {
		return nil, errManifest
	}
	r := manifestReader{data: data[len(manifestMagic):end]}
	n := r.count(1)
	m := make(manifest, n)
	for range n {
		entry := r.bytes(r.uvarint())
		named := manifestReader{data: entry}
		m[named.partition()] = entry
	}
	if r.bad || len(r.data) > 0 {
		return nil, errManifest
	}
	return m, nil
}

// loadManifest reads what the last stop left, if it was a clean one. Without it, each log is looked at.
func (d *directory) loadManifest() {
	data, err := readWholeFile(d.store.cfg.FS, d.path+"/"+manifestFile, manifestLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		d.manifest, err = readManifest(data)
	}
	if err != nil {
		d.store.problem("read "+manifestFile+" in "+d.path+"; each log is looked at instead", err)
	}
}

// takeManifestEntry hands out what the manifest says of a log, once.
func (d *directory) takeManifestEntry(tp ids.TopicPartition) (manifestEntry, bool) {
	d.mu.Lock()
	data := d.manifest[tp]
	delete(d.manifest, tp)
	if len(d.manifest) == 0 {
		d.manifest = nil
	}
	d.mu.Unlock()
	if data == nil {
		return manifestEntry{}, false
	}
	e, err := decodeManifestEntry(data)
	return e, err == nil && e.tp == tp
}

// hashListing is a fingerprint of a directory's names and sizes. The order of the entries is the file system's, so it must not matter.
func hashListing(entries []vfs.Entry) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	var sum uint64
	for _, e := range entries {
		h := uint64(offset)
		for _, c := range []byte(e.Name) {
			h = (h ^ uint64(c)) * prime
		}
		for n := e.Size; n != 0; n >>= 8 {
			h = (h ^ uint64(n&0xff)) * prime
		}
		sum += h
	}
	return sum
}

// fromManifest opens the log by its entry in the manifest, without opening a file. false: it must be looked at.
func (r *recovery) fromManifest() bool {
	l := r.log
	e, ok := l.dir.takeManifestEntry(l.tp)
	if !ok || e.id != l.id || e.logEnd != r.point || e.logStart != max(r.start, e.segments[0].base) {
		return false
	}
	entries, err := l.store.cfg.FS.List(l.path)
	if err != nil || hashListing(entries) != e.listing {
		return false
	}
	segments := make([]*segment, len(e.segments))
	for i, m := range e.segments {
		s := newSegment(&l.store.files, l.path, m.base)
		s.size.Store(m.size)
		s.checked.own.Store(m.size)
		s.synced = m.size
		s.offsets.written, s.times.written = int32(m.offsets), int32(m.times)
		s.txns.written = m.abortedBytes
		segments[i] = s
	}
	active := segments[len(segments)-1]
	active.offsets.last, active.offsets.some = e.lastOffset, active.offsets.written > 0
	active.times.last, active.times.some = e.lastTime, active.times.written > 0
	active.firstTimestamp, active.maxTimestamp, active.maxOffset = e.first, e.max, e.maxOffset
	active.statsKnown, active.trimmed = true, true
	active.bytesSinceIndex = int(active.size.Load()) - int(e.lastOffset.value)
	l.setSegments(segments)
	l.epochs.entries = e.epochs
	l.logStart.Store(int64(e.logStart))
	l.logEnd.Store(int64(e.logEnd))
	l.durable.Store(int64(e.logEnd))
	l.firstUnstable.Store(noUnstable)
	l.lastSnapshot = e.logEnd
	l.producers.unread = e.producers
	l.noteForeign()
	return true
}

// manifestEntry describes a log that was settled and has nothing unsynced. false: the next start has to look at it.
func (l *Log) manifestEntry() (manifestEntry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	active := l.active()
	if active == nil || l.failure.Load() != nil || l.LogEnd() != l.DurableEnd() || l.lastSnapshot != l.LogEnd() || l.firstUnstable.Load() != noUnstable {
		return manifestEntry{}, false
	}
	if all := l.list(); len(all) > 1 && all[1].base <= l.LogStart() {
		return manifestEntry{}, false // the first goes at the next start
	}
	entries, err := l.store.cfg.FS.List(l.path)
	if err != nil || !l.onlyItsFiles(entries) {
		return manifestEntry{}, false
	}
	epochs, dirty := l.epochs.snapshot()
	e := manifestEntry{
		tp: l.tp, id: l.id, listing: hashListing(entries), logStart: l.LogStart(), logEnd: l.LogEnd(),
		producers: l.producers.unread || l.producers.state != nil && l.producers.state.Len() > 0, epochs: epochs,
	}
	for _, s := range l.list() {
		s.mu.Lock()
		e.segments = append(e.segments, manifestSegment{s.base, s.size.Load(), int64(s.offsets.written), int64(s.times.written), s.txns.written})
		dirty = dirty || len(s.offsets.tail)+len(s.times.tail) > 0
		s.mu.Unlock()
	}
	e.lastOffset, e.lastTime = active.offsets.last, active.times.last
	e.first, e.max, e.maxOffset = active.firstTimestamp, active.maxTimestamp, active.maxOffset
	return e, !dirty
}

// onlyItsFiles tells that a start would find nothing to finish or to remove in the log's directory.
func (l *Log) onlyItsFiles(entries []vfs.Entry) bool {
	segments := l.list()
	for _, e := range entries {
		base, kind, ok := parsePlain(e.Name)
		var s *segment
		if i := segmentAt(segments, base); i >= 0 && segments[i].base == base {
			s = segments[i]
		}
		switch {
		case !ok:
			for _, suffix := range []string{deletedSuffix, cleanedSuffix, swapSuffix} {
				if strings.HasSuffix(e.Name, suffix) {
					return false
				}
			}
		case kind == snapshotSuffix:
			if e.Size == 0 || base > l.LogEnd() {
				return false
			}
		case s == nil || e.Size != s.sizeOf(kind):
			return false
		}
	}
	return true
}

// sizeOf is the bytes that a file of the segment should have.
func (s *segment) sizeOf(suffix string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch suffix {
	case logSuffix:
		return s.size.Load()
	case indexSuffix:
		return int64(s.offsets.written) * offsetIndexKind.width
	case timeIndexSuffix:
		return int64(s.times.written) * timeIndexKind.width
	default:
		return s.txns.written
	}
}

// writeManifest leaves what makes the next start quick.
func (d *directory) writeManifest() error {
	logs := d.store.logsIn(d)
	encoded := make([][]byte, len(logs))
	parallel(d.store.env(), len(logs), func(i int) {
		if e, ok := logs[i].manifestEntry(); ok {
			encoded[i] = e.append(nil)
		}
	})
	encoded = slices.DeleteFunc(encoded, func(e []byte) bool { return e == nil })
	out := binary.AppendUvarint([]byte(manifestMagic), uint64(len(encoded)))
	for _, e := range encoded {
		out = append(binary.AppendUvarint(out, uint64(len(e))), e...)
	}
	out = binary.BigEndian.AppendUint32(out, crc32.Checksum(out, castagnoli))
	if err := writeFileAtomically(d.store.cfg.FS, d.path, manifestFile, out); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	return nil
}
