package metadata

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ottla-io/ottla/internal/wire"
)

// A metadata record's key is null. Its value (KIP-631):
//
//	frameVersion uvarint = 1 | recordType uvarint | recordVersion uvarint | message
const frameVersion = 1

// ErrCorrupt means that a record is not what a metadata log can hold, or cannot follow those before it.
var ErrCorrupt = errors.New("corrupt metadata")

// EncodeRecord appends the value of a record of __cluster_metadata to dst, at the newest version of its layout: all
// nodes of metadata.version 30, the only one that we finalize, read that.
func EncodeRecord(dst []byte, message wire.MetadataRecord) []byte {
	_, version := message.Versions()
	dst = binary.AppendUvarint(dst, frameVersion)
	dst = binary.AppendUvarint(dst, uint64(message.MetadataKey()))
	dst = binary.AppendUvarint(dst, uint64(version))
	encoder := wire.Encoder{Buf: dst}
	if err := message.Encode(&encoder, version); err != nil {
		panic(fmt.Sprintf("metadata: encode %T: %v", message, err)) // the newest version can say everything
	}
	return encoder.Buf
}

// DecodeRecord reads the value of a record of __cluster_metadata. The result owns its memory.
func DecodeRecord(value []byte) (wire.MetadataRecord, error) {
	rest := bytes.Clone(value)
	var head [3]uint64
	for i, what := range [...]string{"frame version", "type", "version"} {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > 1<<15-1 {
			return nil, fmt.Errorf("%w: record of %d bytes has no %s", ErrCorrupt, len(value), what)
		}
		head[i], rest = n, rest[size:]
	}
	if head[0] != frameVersion {
		return nil, fmt.Errorf("%w: record frame version %d, want %d", ErrCorrupt, head[0], frameVersion)
	}
	message := wire.NewMetadataRecord(int16(head[1]))
	if message == nil {
		return nil, fmt.Errorf("%w: record type %d is unknown: was this log written by a newer version?", ErrCorrupt, head[1])
	}
	var decoder wire.Decoder
	decoder.Reset(rest)
	if err := message.Decode(&decoder, int16(head[2])); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if n := decoder.Remaining(); n != 0 {
		return nil, fmt.Errorf("%w: %d bytes after %T", ErrCorrupt, n, message)
	}
	return message, nil
}
