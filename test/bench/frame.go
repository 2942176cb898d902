package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// The load's own client: Produce v9 frames, built once and sent again with only the correlation id changed, so that the generator costs next
// to nothing beside the broker. One batch, one partition, no producer id.

const clientID = "bench"

// request is a framed Produce request; bytes 8..11 are the correlation id.
type request struct {
	frame   []byte
	records int
	payload int64 // bytes of record values
	errAt   int   // where the partition's error code lies in the response body
}

func newRequest(topic string, partition int32, acks int16, batch []byte, records, valueBytes int) *request {
	b := []byte{0, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, 0) // Produce
	b = binary.BigEndian.AppendUint16(b, 9)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(clientID)))
	b = append(b, clientID...)
	b = append(b, 0) // header tags
	b = append(b, 0) // transactional id: null
	b = binary.BigEndian.AppendUint16(b, uint16(acks))
	b = binary.BigEndian.AppendUint32(b, 30_000)
	b = append(b, 2) // one topic
	b = binary.AppendUvarint(b, uint64(len(topic))+1)
	b = append(b, topic...)
	b = append(b, 2) // one partition
	b = binary.BigEndian.AppendUint32(b, uint32(partition))
	b = binary.AppendUvarint(b, uint64(len(batch))+1)
	b = append(b, batch...)
	b = append(b, 0, 0, 0) // tags of partition, topic, request
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return &request{frame: b, records: records, payload: int64(records) * int64(valueBytes), errAt: 4 + 1 + 1 + 1 + len(topic) + 1 + 4}
}

// newBatch builds an uncompressed v2 batch of n records with random values of size bytes, or as many as fit into maxBytes if n is 0.
func newBatch(n, size, maxBytes int) (batch []byte, records int) {
	return newKeyedBatch(n, size, maxBytes, 0)
}

// newKeyedBatch is newBatch with one of so many keys for each record; 0: none has a key.
func newKeyedBatch(n, size, maxBytes int, keys uint32) (batch []byte, records int) {
	random := rand.New(rand.NewPCG(1, uint64(size)))
	b := make([]byte, 61, 61+size+64)
	value := make([]byte, size)
	for n == 0 || records < n {
		for i := 0; i < size; i += 2 { // half of it compressible
			value[i] = byte(random.Uint32())
		}
		var body []byte
		body = append(body, 0)                           // attributes
		body = binary.AppendVarint(body, 0)              // timestamp delta
		body = binary.AppendVarint(body, int64(records)) // offset delta
		if keys == 0 {
			body = binary.AppendVarint(body, -1) // null key
		} else {
			body = binary.BigEndian.AppendUint32(binary.AppendVarint(body, 4), random.Uint32N(keys))
		}
		body = append(binary.AppendVarint(body, int64(size)), value...)
		body = binary.AppendVarint(body, 0) // headers
		next := append(binary.AppendVarint(b, int64(len(body))), body...)
		if n == 0 && len(next) > maxBytes {
			break
		}
		b = next
		records++
	}
	now := uint64(time.Now().UnixMilli())
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint32(b[12:], 0xffffffff)
	b[16] = 2
	binary.BigEndian.PutUint32(b[23:], uint32(records-1))
	binary.BigEndian.PutUint64(b[27:], now)
	binary.BigEndian.PutUint64(b[35:], now)
	binary.BigEndian.PutUint64(b[43:], 1<<64-1)
	binary.BigEndian.PutUint16(b[51:], 1<<16-1)
	binary.BigEndian.PutUint32(b[53:], 1<<32-1)
	binary.BigEndian.PutUint32(b[57:], uint32(records))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b, records
}

// compressed is the same batch with its records compressed; its payload counts as before.
func compressed(batch []byte, codec string) ([]byte, error) {
	var body bytes.Buffer
	records, attribute := batch[61:], byte(0)
	switch codec {
	case "snappy": // as librdkafka and Go clients write it: one raw block
		attribute = 2
		body.Write(s2.EncodeSnappy(nil, records))
	case "lz4":
		attribute = 3
		w := lz4.NewWriter(&body)
		if _, err := w.Write(records); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
	case "zstd":
		attribute = 4
		w, err := zstd.NewWriter(nil)
		if err != nil {
			return nil, err
		}
		body.Write(w.EncodeAll(records, nil))
	default:
		return nil, fmt.Errorf("codec %q", codec)
	}
	b := append(bytes.Clone(batch[:61]), body.Bytes()...)
	b[22] = attribute
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return b, nil
}

// checkResponse looks at a response without its length prefix.
func (r *request) checkResponse(body []byte, correlation uint32) error {
	if len(body) < r.errAt+2 {
		return fmt.Errorf("response of %d bytes", len(body))
	}
	if got := binary.BigEndian.Uint32(body); got != correlation {
		return fmt.Errorf("response %d where %d was due", got, correlation)
	}
	if code := int16(binary.BigEndian.Uint16(body[r.errAt:])); code != 0 {
		return fmt.Errorf("broker answers error %d", code)
	}
	return nil
}

// readResponse reads one framed response into buf, growing it as needed.
func readResponse(in io.Reader, buf []byte) ([]byte, error) {
	var prefix [4]byte
	if _, err := io.ReadFull(in, prefix[:]); err != nil {
		return buf, err
	}
	n := int(binary.BigEndian.Uint32(prefix[:]))
	if n > 1<<20 {
		return buf, errors.New("response longer than 1 MiB")
	}
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	_, err := io.ReadFull(in, buf)
	return buf, err
}

func dial(addr string) (net.Conn, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return conn, conn.(*net.TCPConn).SetNoDelay(true)
}
