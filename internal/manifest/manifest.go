// Package manifest is the format of two files of a log directory that a start can do without, and is quicker with: the manifest of a clean stop, and the
// largest timestamps beside the recovery points. It is bytes to values and back, and reads no file: storage says when they are written, and when they are
// believed. Whatever bytes it is given, it ends, allocates in proportion to them, and says that they are damaged if they are.
package manifest

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/ottla-io/ottla/internal/ids"
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
//	  listing                       8 bytes: the sum of the FNV-1a of each name and size in the partition's directory
//	  logStart, logEnd              uvarints
//	  producers                     1 byte: 1 if the snapshot at logEnd names producers; 0 if there are none
//	  epochs                        uvarint, then (epoch, start) in uvarints
//	  segments                      uvarint, then (base, size, entries of .index, entries of .timeindex, bytes of .txnindex) in uvarints
//	  active segment                varints: last entry of .index, last entry of .timeindex, first timestamp, largest timestamp and its offset
//	CRC-32C of all that             4 bytes, big endian
const magic = "OTTLAMF1"

// Manifest is the entries that no log has used yet.
type Manifest map[ids.TopicPartition][]byte

// Log is what a manifest says of one log.
type Log struct {
	Topic            ids.TopicPartition
	ID               ids.TopicID
	Listing          Listing
	LogStart, LogEnd ids.Offset
	Producers        bool // the snapshot at LogEnd names some
	Epochs           []Epoch
	Segments         []Segment // at least one; the last is the active one, of which the rest speaks
	LastOffset       IndexEntry
	LastTime         IndexEntry
	FirstTimestamp   int64
	MaxTimestamp     int64
	MaxOffset        ids.Offset // of the batch that holds MaxTimestamp
}

// Listing is a fingerprint of the names and sizes of a directory's files. In which order they are added does not matter: a file system's is its own.
type Listing uint64

// Add takes one file into account.
func (l *Listing) Add(name string, size int64) {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for _, c := range []byte(name) {
		h = (h ^ uint64(c)) * prime
	}
	for n := size; n != 0; n >>= 8 {
		h = (h ^ uint64(n&0xff)) * prime
	}
	*l += Listing(h)
}

// Epoch says that the batches from Start on are of a leader epoch.
type Epoch struct {
	Epoch ids.LeaderEpoch
	Start ids.Offset
}

// Segment is one segment's files: bytes of .log, entries of both indexes, bytes of .txnindex.
type Segment struct {
	Base                         ids.Offset
	Size                         int64
	Offsets, Times, AbortedBytes int64
}

// IndexEntry is the last entry of an index, as it is in the file; zero if there is none.
type IndexEntry struct {
	Key   int64
	Value int32
}

// appendPartition writes what reader.partition and topicID read.
func appendPartition(out []byte, tp ids.TopicPartition, id ids.TopicID) []byte {
	out = append(binary.AppendUvarint(out, uint64(len(tp.Topic))), tp.Topic...)
	return append(binary.AppendUvarint(out, uint64(tp.Partition)), id[:]...)
}

func (e *Log) append(out []byte) []byte {
	u := func(values ...int64) {
		for _, v := range values {
			out = binary.AppendUvarint(out, uint64(v))
		}
	}
	out = appendPartition(out, e.Topic, e.ID)
	out = binary.BigEndian.AppendUint64(out, uint64(e.Listing))
	u(int64(e.LogStart), int64(e.LogEnd))
	out = append(out, 0)
	if e.Producers {
		out[len(out)-1] = 1
	}
	u(int64(len(e.Epochs)))
	for _, s := range e.Epochs {
		u(int64(s.Epoch), int64(s.Start))
	}
	u(int64(len(e.Segments)))
	for _, s := range e.Segments {
		u(int64(s.Base), s.Size, s.Offsets, s.Times, s.AbortedBytes)
	}
	for _, v := range []int64{e.LastOffset.Key, int64(e.LastOffset.Value), e.LastTime.Key, int64(e.LastTime.Value), e.FirstTimestamp, e.MaxTimestamp, int64(e.MaxOffset)} {
		out = binary.AppendVarint(out, v)
	}
	return out
}

// ErrDamaged means that the bytes are not what Encode made.
var ErrDamaged = errors.New("it is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// reader reads an entry; bad is set by the first thing that cannot be.
type reader struct {
	data []byte
	bad  bool
}

func (r *reader) uvarint() int64 {
	v, n := binary.Uvarint(r.data)
	if n <= 0 || v > 1<<62 {
		r.bad, r.data = true, nil
		return 0
	}
	r.data = r.data[n:]
	return int64(v)
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.data)
	if n <= 0 {
		r.bad, r.data = true, nil
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *reader) bytes(n int64) []byte {
	if n > int64(len(r.data)) {
		r.bad, r.data = true, nil
		return make([]byte, min(n, 16))
	}
	p := r.data[:n]
	r.data = r.data[n:]
	return p
}

// count is the length of a list whose elements take at least size bytes each.
func (r *reader) count(size int64) int {
	n := r.uvarint()
	if n*size > int64(len(r.data)) {
		r.bad, r.data = true, nil
		return 0
	}
	return int(n)
}

func (r *reader) partition() ids.TopicPartition {
	topic := string(r.bytes(r.uvarint()))
	return ids.TopicPartition{Topic: topic, Partition: int32(r.uvarint())}
}

func (r *reader) topicID() (id ids.TopicID) {
	copy(id[:], r.bytes(int64(len(id))))
	return id
}

// Take hands out what the manifest says of a log, once; false if that is nothing, or cannot be read.
func (m Manifest) Take(tp ids.TopicPartition) (Log, bool) {
	data, ok := m[tp]
	delete(m, tp)
	if !ok {
		return Log{}, false
	}
	e, err := decode(data)
	return e, err == nil && e.Topic == tp
}

func decode(data []byte) (Log, error) {
	r := reader{data: data}
	e := Log{Topic: r.partition()}
	e.ID = r.topicID()
	e.Listing = Listing(binary.BigEndian.Uint64(r.bytes(8)))
	e.LogStart, e.LogEnd = ids.Offset(r.uvarint()), ids.Offset(r.uvarint())
	e.Producers = r.bytes(1)[0] == 1
	e.Epochs = make([]Epoch, r.count(2))
	for i := range e.Epochs {
		e.Epochs[i] = Epoch{ids.LeaderEpoch(r.uvarint()), ids.Offset(r.uvarint())}
	}
	e.Segments = make([]Segment, r.count(5))
	for i := range e.Segments {
		e.Segments[i] = Segment{ids.Offset(r.uvarint()), r.uvarint(), r.uvarint(), r.uvarint(), r.uvarint()}
	}
	e.LastOffset = IndexEntry{r.varint(), int32(r.varint())}
	e.LastTime = IndexEntry{r.varint(), int32(r.varint())}
	e.FirstTimestamp, e.MaxTimestamp, e.MaxOffset = r.varint(), r.varint(), ids.Offset(r.varint())
	if r.bad || len(r.data) > 0 || len(e.Segments) == 0 {
		return Log{}, ErrDamaged
	}
	return e, nil
}

// frame puts entries behind a magic of eight bytes and before their checksum.
func frame(magic string, entries [][]byte) []byte {
	out := binary.AppendUvarint([]byte(magic), uint64(len(entries)))
	for _, e := range entries {
		out = append(binary.AppendUvarint(out, uint64(len(e))), e...)
	}
	return binary.BigEndian.AppendUint32(out, crc32.Checksum(out, castagnoli))
}

// unframe is the inverse of frame. The entries alias data.
func unframe(magic string, data []byte) ([][]byte, error) {
	end := len(data) - 4
	if end < len(magic) || string(data[:len(magic)]) != magic || crc32.Checksum(data[:end], castagnoli) != binary.BigEndian.Uint32(data[end:]) {
		return nil, ErrDamaged
	}
	r := reader{data: data[len(magic):end]}
	entries := make([][]byte, r.count(1))
	for i := range entries {
		entries[i] = r.bytes(r.uvarint())
	}
	if r.bad || len(r.data) > 0 {
		return nil, ErrDamaged
	}
	return entries, nil
}

// Encode makes a manifest.
func Encode(logs []Log) []byte {
	entries := make([][]byte, len(logs))
	for i := range logs {
		entries[i] = logs[i].append(nil)
	}
	return frame(magic, entries)
}

// Open splits a manifest into its entries, which alias data.
func Open(data []byte) (Manifest, error) {
	entries, err := unframe(magic, data)
	if err != nil {
		return nil, err
	}
	m := make(Manifest, len(entries))
	for _, entry := range entries {
		r := reader{data: entry}
		m[r.partition()] = entry
	}
	return m, nil
}
