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
