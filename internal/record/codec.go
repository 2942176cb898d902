package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Codec is how a batch's records are compressed: the low three attribute bits.
type Codec uint8

// Kafka's codecs.
const (
	None   Codec = 0
	Gzip   Codec = 1
	Snappy Codec = 2
	LZ4    Codec = 3
	Zstd   Codec = 4
)

// Known is false for the values 5 to 7 that no codec has.
func (c Codec) Known() bool { return c <= Zstd }

// String is Kafka's name in compression.type.
func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec %d", uint8(c))
}

// ParseCodec reads Kafka's name in compression.type.
func ParseCodec(name string) (Codec, bool) {
	for c := None; c <= Zstd; c++ {
		if c.String() == name {
			return c, true
		}
	}
	return None, false
}

// DefaultLevel asks for the codec's own default: gzip 6, lz4 fast, zstd 3.
const DefaultLevel = -1 << 31

// MaxOutputBytes bounds what one batch may decompress to, whatever the caller allows.
const MaxOutputBytes = 128 << 20

// Limits bound what opening a compressed batch may cost. The number of records is bounded by the header's count, which
// costs nothing: iteration allocates nothing per record.
type Limits struct {
	// OutputBytes is the most that the records may take uncompressed; 0 or more than MaxOutputBytes means MaxOutputBytes.
	OutputBytes int
}

func (l Limits) output() int {
	if l.OutputBytes <= 0 || l.OutputBytes > MaxOutputBytes {
		return MaxOutputBytes
	}
	return l.OutputBytes
}

// ErrTooMuch means that the uncompressed records would exceed the limit.
var ErrTooMuch = errors.New("decompressed size exceeds the limit")

// maxPooled is the largest buffer that goes back to a pool, in bytes: one bomb must not pin its memory.
const maxPooled = 1 << 20

// Codec state is expensive to make (zstd: hundreds of KB), so it is pooled. Pools hold no observable state.
var (
	scratchPool = sync.Pool{New: func() any { return new(scratch) }}
	gunzipPool  = sync.Pool{New: func() any { return new(gunzipper) }}
	unlz4Pool   = sync.Pool{New: func() any { return &unlz4er{r: lz4.NewReader(nil)} }}
	unzstdPool  = sync.Pool{New: func() any { return newUnzstd() }}
	gzipPools   [11]sync.Pool // by level + 1
	lz4Pool     = sync.Pool{New: func() any { return lz4.NewWriter(nil) }}
	zstdPools   [zstd.SpeedBestCompression + 1]sync.Pool
)

type scratch struct{ buf []byte }

func getScratch() *scratch { return scratchPool.Get().(*scratch) }

func (s *scratch) put() {
	if cap(s.buf) > maxPooled {
		s.buf = nil
	}
	scratchPool.Put(s)
}

// Decompress appends src, uncompressed, to dst, at most limit bytes of it: ErrTooMuch beyond. It takes what Kafka's
// clients write: gzip with several members, snappy raw and in xerial framing, lz4 frames, zstd frames.
// Memory stays below a small multiple of min(limit, the true output), whatever sizes src declares.
func Decompress(codec Codec, dst, src []byte, limit int) ([]byte, error) {
	return decompress(codec, dst, src, limit)
}

// ErrPanicked means that a decoder panicked. Most of what opens compressed records is libraries' code, and the bytes are anybody's: a
// mistake there must cost the batch, not the process. Nothing is shared with the decoder, and it is not used again. Fuzz targets
// take it for the bug that it is.
var ErrPanicked = errors.New("the decoder panicked")

func decompress(codec Codec, dst, src []byte, limit int) (out []byte, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			out, err = dst, fmt.Errorf("%v: %w: %v", codec, ErrPanicked, cause)
		}
	}()
	switch codec {
	case None:
		if len(src) > limit {
			return dst, ErrTooMuch
		}
		return append(dst, src...), nil
	case Gzip:
		g := gunzipPool.Get().(*gunzipper)
		out, err = g.decompress(dst, src, limit)
		gunzipPool.Put(g)
		return out, err
	case Snappy:
		return unsnappy(dst, src, limit)
	case LZ4:
		l := unlz4Pool.Get().(*unlz4er)
		out, err = l.decompress(dst, src, limit)
		unlz4Pool.Put(l)
		return out, err
	case Zstd:
		d := unzstdPool.Get().(*zstd.Decoder)
		out, err = unzstd(d, dst, src, limit)
		unzstdPool.Put(d)
		return out, err
	}
	return dst, fmt.Errorf("unknown compression type id: %d", codec)
}

// readBounded appends all of r to dst, growing by doubling, up to limit bytes.
func readBounded(dst []byte, r io.Reader, limit int) ([]byte, error) {
	start := len(dst)
	for {
		if len(dst) == cap(dst) {
			dst = grow(dst, max(512, min(len(dst)-start, limit+1-(len(dst)-start))))
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if len(dst)-start > limit {
			return dst, ErrTooMuch
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

type gunzipper struct {
	in bytes.Reader
	r  gzip.Reader
}

func (g *gunzipper) decompress(dst, src []byte, limit int) ([]byte, error) {
	g.in.Reset(src)
	defer g.in.Reset(nil)
	if err := g.r.Reset(&g.in); err != nil {
		return dst, fmt.Errorf("gzip: %w", unexpectedEnd(err))
	}
	dst, err := readBounded(dst, &g.r, limit)
	if err != nil && err != ErrTooMuch {
		err = fmt.Errorf("gzip: %w", err)
	}
	return dst, err
}

// unexpectedEnd is for streams that end before they began.
func unexpectedEnd(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// xerialMagic starts the framing of snappy-java's SnappyOutputStream: then version int32, oldest compatible version int32,
// then chunks of int32 length and raw snappy.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const (
	xerialHeader = 16
	xerialBlock  = 32 << 10 // uncompressed bytes per chunk, snappy-java's default
)

func unsnappy(dst, src []byte, limit int) ([]byte, error) {
	if !bytes.HasPrefix(src, xerialMagic) {
		return unsnappyBlock(dst, src, limit)
	}
	if len(src) < xerialHeader {
		return dst, fmt.Errorf("snappy: %w", io.ErrUnexpectedEOF)
	}
	start := len(dst)
	for src = src[xerialHeader:]; len(src) > 0; {
		if len(src) < 4 {
			return dst, fmt.Errorf("snappy: %w", io.ErrUnexpectedEOF)
		}
		n := binary.BigEndian.Uint32(src)
		if uint64(n) > uint64(len(src)-4) {
			return dst, fmt.Errorf("snappy: chunk of %d bytes where %d remain", n, len(src)-4)
		}
		var err error
		if dst, err = unsnappyBlock(dst, src[4:4+n], limit-(len(dst)-start)); err != nil {
			return dst, err
		}
		src = src[4+n:]
	}
	return dst, nil
}

// snappyMaxRatio bounds how much a valid block can expand: a copy of 64 bytes takes at least 3 (2 for up to 11).
// A declared length beyond it is a lie that must not size a buffer.
const snappyMaxRatio = 22

func unsnappyBlock(dst, src []byte, limit int) ([]byte, error) {
	n, err := s2.DecodedLen(src)
	if err != nil {
		return dst, fmt.Errorf("snappy: %w", err)
	}
	if n > limit {
		return dst, ErrTooMuch
	}
	if n > len(src)*snappyMaxRatio {
		return dst, fmt.Errorf("snappy: %d bytes cannot hold the declared %d", len(src), n)
	}
	at := len(dst)
	dst = grow(dst, n)
	out, err := s2.Decode(dst[at:at+n:at+n], src)
	if err != nil {
		return dst[:at], fmt.Errorf("snappy: %w", err)
	}
	if len(out) > 0 && &out[0] != &dst[at : at+1][0] {
		copy(dst[at:at+n], out)
	}
	return dst[:at+n], nil
}

// grow makes room for n more bytes.
func grow(dst []byte, n int) []byte {
	if cap(dst)-len(dst) >= n {
		return dst
	}
	bigger := make([]byte, len(dst), max(len(dst)+n, min(2*cap(dst), len(dst)+n+maxPooled)))
	copy(bigger, dst)
	return bigger
}

type unlz4er struct {
	in bytes.Reader
	r  *lz4.Reader
}

const lz4FrameMagic = 0x184D2204

func (l *unlz4er) decompress(dst, src []byte, limit int) ([]byte, error) {
	if len(src) < 7 || binary.LittleEndian.Uint32(src) != lz4FrameMagic {
		return dst, errors.New("lz4: no frame header")
	}
	// Kafka's own decoder knows neither linked blocks nor dictionaries, so no Java consumer could read them.
	if flags := src[4]; flags>>6 != 1 || flags&0x20 == 0 || flags&0x01 != 0 {
		return dst, fmt.Errorf("lz4: unsupported frame flags %#x", flags)
	}
	l.in.Reset(src)
	l.r.Reset(&l.in)
	defer func() { l.in.Reset(nil) }()
	dst, err := readBounded(dst, l.r, limit)
	if err != nil && err != ErrTooMuch {
		err = fmt.Errorf("lz4: %w", err)
	}
	return dst, err
}

// newUnzstd bounds the window by what zstd's highest level uses (27 bits). Concurrency 1 starts no goroutine.
func newUnzstd() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(128<<20), zstd.WithDecoderMaxMemory(MaxOutputBytes), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic("record: zstd decoder options: " + err.Error())
	}
	return d
}

// unzstd decodes into dst's capacity, and again into four times of it while that is too small: the decoder itself never
// allocates output, so no declared size can make it.
func unzstd(d *zstd.Decoder, dst, src []byte, limit int) ([]byte, error) {
	start := len(dst)
	room := min(limit, max(cap(dst)-start, 8*len(src), 4<<10))
	for {
		dst = grow(dst, room)
		room = min(limit, cap(dst)-start)
		out, err := d.DecodeAll(src, dst[:start:start+room])
		switch {
		case err == nil && len(out)-start <= limit:
			return out, nil
		case err == nil || tooSmall(err) && room >= limit:
			return dst, ErrTooMuch
		case tooSmall(err):
			room = min(limit, 4*room)
		default:
			return dst, fmt.Errorf("zstd: %w", err)
		}
	}
}

// tooSmall reports whether the decoder ran out of room. For frames that do not declare their size, as librdkafka streams
// them, it says so only in words.
func tooSmall(err error) bool {
	return errors.Is(err, zstd.ErrDecoderSizeExceeded) || strings.Contains(err.Error(), "output bigger than max block size")
}

// Compress appends src, compressed, to dst. Level is Kafka's compression.*.level: gzip 1 to 9, lz4 1 to 17, zstd
// -131072 to 22 (mapped to the four speeds of the encoder); DefaultLevel and levels outside mean the codec's default.
// Snappy is written in xerial framing, as the Java client and Kafka write it: every client reads it.
func Compress(codec Codec, level int, dst, src []byte) ([]byte, error) {
	switch codec {
	case None:
		return append(dst, src...), nil
	case Gzip:
		return gzipTo(level, dst, src)
	case Snappy:
		return snappyTo(dst, src), nil
	case LZ4:
		return lz4To(level, dst, src)
	case Zstd:
		return zstdTo(level, dst, src)
	}
	return dst, fmt.Errorf("unknown compression type id: %d", codec)
}

func gzipTo(level int, dst, src []byte) ([]byte, error) {
	if level < gzip.BestSpeed || level > gzip.BestCompression {
		level = gzip.DefaultCompression
	}
	out := bytes.NewBuffer(dst)
	pool := &gzipPools[level+1]
	w, ok := pool.Get().(*gzip.Writer)
	if ok {
		w.Reset(out)
	} else {
		var err error
		if w, err = gzip.NewWriterLevel(out, level); err != nil {
			return dst, err
		}
	}
	defer pool.Put(w)
	if _, err := w.Write(src); err != nil {
		return dst, err
	}
	if err := w.Close(); err != nil {
		return dst, err
	}
	return out.Bytes(), nil
}

func snappyTo(dst, src []byte) []byte {
	dst = append(dst, xerialMagic...)
	dst = append(dst, 0, 0, 0, 1, 0, 0, 0, 1)
	for {
		chunk := src[:min(len(src), xerialBlock)]
		at := len(dst)
		dst = grow(dst, 4+s2.MaxEncodedLen(len(chunk)))
		out := s2.EncodeSnappy(dst[at+4:cap(dst)], chunk)
		if len(out) > 0 && &out[0] != &dst[at+4 : at+5][0] {
			copy(dst[at+4:cap(dst)], out)
		}
		dst = dst[:at+4+len(out)]
		binary.BigEndian.PutUint32(dst[at:], uint32(len(out)))
		if src = src[len(chunk):]; len(src) == 0 {
			return dst
		}
	}
}

func lz4To(level int, dst, src []byte) ([]byte, error) {
	w := lz4Pool.Get().(*lz4.Writer)
	defer lz4Pool.Put(w)
	out := bytes.NewBuffer(dst)
	w.Reset(out)
	// Blocks of 64 KiB without checksums, as Kafka's encoder writes.
	if err := w.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false), lz4.ConcurrencyOption(1), lz4.CompressionLevelOption(lz4Level(level))); err != nil {
		return dst, err
	}
	if _, err := w.Write(src); err != nil {
		return dst, err
	}
	if err := w.Close(); err != nil {
		return dst, err
	}
	return out.Bytes(), nil
}

// lz4Level maps Kafka's 1 to 17 to the library's fast and nine hash-chain levels. Kafka's default 9 is its fast encoder.
func lz4Level(level int) lz4.CompressionLevel {
	if level <= 9 || level > 17 {
		return lz4.Fast
	}
	return lz4.CompressionLevel(1 << (8 + min(level-9, 9)))
}

func zstdTo(level int, dst, src []byte) ([]byte, error) {
	if level < -131072 || level > 22 {
		level = 3
	}
	speed := zstd.EncoderLevelFromZstd(level)
	pool := &zstdPools[speed]
	w, ok := pool.Get().(*zstd.Encoder)
	if !ok {
		var err error
		if w, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false)); err != nil {
			return dst, err
		}
	}
	defer pool.Put(w)
	return w.EncodeAll(src, dst), nil
}

// Recompress returns the batch with its records stored by another codec, in memory of its own; everything else of the header stays. Limits bound what opening may cost.
// It fails as Decompress and Compress do, and where the batch would pass 2 GiB.
func (b Batch) Recompress(codec Codec, level int, limits Limits) (Batch, error) {
	opened := []byte(b.Payload())
	if b.Codec() != None {
		scratch := getScratch()
		defer scratch.put()
		var err error
		opened, err = decompress(b.Codec(), scratch.buf[:0], b.Payload(), limits.output())
		scratch.buf = opened
		if err != nil {
			return nil, fmt.Errorf("open the %s-compressed records: %w", b.Codec(), err)
		}
	}
	out := append(make(Batch, 0, HeaderSize+len(b)), b[:HeaderSize]...)
	stored, err := Compress(codec, level, out, opened)
	if err != nil {
		return nil, fmt.Errorf("compress the records with %s: %w", codec, err)
	}
	if len(stored) > math.MaxInt32 {
		return nil, fmt.Errorf("compress the records with %s: %d bytes are more than a batch can hold", codec, len(stored))
	}
	out = stored
	binary.BigEndian.PutUint32(out[offLength:], uint32(len(out)-lengthOverhead))
	out[offAttributes+1] = out[offAttributes+1]&^attrCodec | byte(codec)
	out.sealCRC()
	return out, nil
}
