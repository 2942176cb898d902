package record

// frame is where one record's parts lie in the bytes it was parsed from. Lengths of -1 stand for null.
type frame struct {
	timestampDelta int64
	offsetDelta    int32
	keyAt, keyLen  int
	valAt, valLen  int
	headersAt      int // position after the header count
	headers        int
	end            int // first byte after the record
}

// parse reads the record that starts at p[i]. It returns "" or what is wrong; headers are checked too, because one bad
// record wedges every consumer of its partition. It is the hot path of Produce: no allocation, one pass.
//
// Kafka takes any negative key or value length for null; some clients fail on other values than -1, so they are refused here.
func (f *frame) parse(p []byte, i int) string {
	size, at := varint(p, i)
	if at == 0 {
		return "the length of a record is malformed"
	}
	if size < 0 || int(size) > len(p)-at {
		return "a record's length goes past the end of the batch"
	}
	end := at + int(size)
	p = p[:end]
	if at >= end {
		return "a record is too short"
	}
	at++ // attributes: unused, ignored as Kafka does
	if f.timestampDelta, at = varlong(p, at); at == 0 {
		return "the timestamp of a record is malformed"
	}
	if f.offsetDelta, at = varint(p, at); at == 0 {
		return "the offset of a record is malformed"
	}
	n, at := varint(p, at)
	if at == 0 || n < -1 || int(n) > end-at {
		return "the key of a record goes past its end"
	}
	f.keyAt, f.keyLen = at, int(n)
	if n > 0 {
		at += int(n)
	}
	n, at = varint(p, at)
	if at == 0 || n < -1 || int(n) > end-at {
		return "the value of a record goes past its end"
	}
	f.valAt, f.valLen = at, int(n)
	if n > 0 {
		at += int(n)
	}
	n, at = varint(p, at)
	if at == 0 || n < 0 || int(n) > (end-at)/2 {
		return "the number of a record's headers is malformed"
	}
	f.headersAt, f.headers, f.end = at, int(n), end
	if n > 0 {
		for range n {
			if _, _, at = header(p, at); at == 0 {
				return "a header of a record goes past its end"
			}
		}
	}
	if at != end {
		return "a record is longer than its parts"
	}
	return ""
}

// header reads one header at p[i]; next is 0 if it is malformed. value is nil for null.
func header(p []byte, i int) (key, value []byte, next int) {
	n, at := varint(p, i)
	if at == 0 || n < 0 || int(n) > len(p)-at {
		return nil, nil, 0
	}
	key = p[at : at+int(n)]
	at += int(n)
	n, at = varint(p, at)
	if at == 0 || n < -1 || int(n) > len(p)-at {
		return nil, nil, 0
	}
	if n >= 0 {
		value = p[at : at+int(n) : at+int(n)]
		at += int(n)
	}
	return key, value, at
}

// two reads a varint of one or two bytes; more means that its value is above 14 bits. p[i+1] must exist.
func two(p []byte, i int) (u uint32, next int) {
	u = uint32(p[i])
	if u < 0x80 {
		return u, i + 1
	}
	return u&0x7f | uint32(p[i+1])<<7, i + 2
}

// skim is parse for the shape of nearly all records: every varint at most two bytes, no headers, everything in place. It
// reports false for any other, valid or not, which parse must judge. It sets what validation needs: the deltas, keyLen, end.
// Two to three times as fast as parse, it keeps the walk near 8 ns a record.
func (f *frame) skim(p []byte, i int) bool {
	if len(p)-i < 16 {
		return false
	}
	size, i := two(p, i)
	end := i + int(size>>1)
	timestamp, i := two(p, i+1)
	offset, i := two(p, i)
	key, i := two(p, i)
	// All bounds in one test: no continuation bit after two bytes, and no negative length (zigzag: odd) but a null key.
	if (size|timestamp|offset|key) >= 1<<14 || size&1 != 0 || end > len(p) || key&1 != 0 && key != 1 {
		return false
	}
	i += int(key >> 1)
	if i+2 > end {
		return false
	}
	value, i := two(p, i)
	i += int(value >> 1)
	if value >= 1<<14 || value&1 != 0 && value != 1 || i != end-1 || p[i] != 0 {
		return false
	}
	f.timestampDelta = int64(timestamp>>1) ^ -int64(timestamp&1)
	f.offsetDelta = int32(offset>>1) ^ -int32(offset&1)
	f.keyLen = int(key>>1) ^ -int(key&1)
	f.end = end
	return true
}
