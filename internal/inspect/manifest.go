package inspect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/ottla-io/ottla/internal/ids"
)

// manifestLog is what ottla.manifest, which package manifest draws, says first of a log.
type manifestLog struct {
	tp         ids.TopicPartition
	id         ids.TopicID
	start, end ids.Offset
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// parseManifest reads the beginning of each entry of ottla.manifest; the rest of an entry is derived from the log's own files.
func parseManifest(data []byte) ([]manifestLog, error) {
	const magic = "OTTLAMF1"
	if len(data) < len(magic)+4 || string(data[:len(magic)]) != magic {
		return nil, fmt.Errorf("does not begin with %s", magic)
	}
	body := data[:len(data)-4]
	if stored, sum := binary.BigEndian.Uint32(data[len(body):]), crc32.Checksum(body, castagnoli); stored != sum {
		return nil, fmt.Errorf("checksum %#x, computed %#x", stored, sum)
	}
	r := &varints{data: body[len(magic):]}
	count := r.next()
	var out []manifestLog
	for range count {
		entry := &varints{data: r.take(r.next())}
		var l manifestLog
		l.tp.Topic = string(entry.take(entry.next()))
		l.tp.Partition = int32(entry.next())
		copy(l.id[:], entry.take(uint64(len(l.id))))
		entry.take(8) // a fingerprint of the partition's directory
		l.start, l.end = ids.Offset(entry.next()), ids.Offset(entry.next())
		if r.bad || entry.bad {
			return out, errors.New("ends in the middle of an entry")
		}
		out = append(out, l)
	}
	if r.bad || len(r.data) > 0 {
		return out, fmt.Errorf("%d bytes follow the last entry", len(r.data))
	}
	return out, nil
}

// varints reads uvarints and bytes; bad is set where there are none.
type varints struct {
	data []byte
	bad  bool
}

func (v *varints) next() uint64 {
	n, size := binary.Uvarint(v.data)
	if size <= 0 {
		v.bad, v.data = true, nil
		return 0
	}
	v.data = v.data[size:]
	return n
}

func (v *varints) take(n uint64) []byte {
	if n > uint64(len(v.data)) {
		v.bad, v.data = true, nil
		return nil
	}
	p := v.data[:n]
	v.data = v.data[n:]
	return p
}

func (d *dumper) manifest(name string, data []byte) error {
	logs, err := parseManifest(data)
	for _, l := range logs {
		if !d.wants(l.tp) {
			continue
		}
		o := object{{"topic", l.tp.Topic}, {"partition", l.tp.Partition}, {"topicId", l.id.String()}, {"logStart", l.start}, {"logEnd", l.end}}
		if err := d.line(name, "manifest", o); err != nil {
			return err
		}
	}
	return err
}
