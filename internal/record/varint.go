package record

// varint reads a zigzag varint of at most 32 bits from p at i. next is 0 if p ends inside it or it has more than 5
// bytes, the limit of Kafka's ByteUtils.readVarint.
func varint(p []byte, i int) (v int32, next int) {
	if i < len(p) && p[i] < 0x80 { // nearly all lengths and deltas: small enough to be inlined
		u := uint32(p[i])
		return int32(u>>1) ^ -int32(u&1), i + 1
	}
	return varintSlow(p, i)
}

func varintSlow(p []byte, i int) (int32, int) {
	var u uint32
	for shift := uint(0); shift < 35; shift += 7 {
		if i >= len(p) {
			return 0, 0
		}
		c := p[i]
		i++
		u |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return int32(u>>1) ^ -int32(u&1), i
		}
	}
	return 0, 0
}

// varlong is varint for 64 bits, at most 10 bytes.
func varlong(p []byte, i int) (v int64, next int) {
	if i < len(p) && p[i] < 0x80 {
		u := uint64(p[i])
		return int64(u>>1) ^ -int64(u&1), i + 1
	}
	return varlongSlow(p, i)
}

func varlongSlow(p []byte, i int) (int64, int) {
	var u uint64
	for shift := uint(0); shift < 70; shift += 7 {
		if i >= len(p) {
			return 0, 0
		}
		c := p[i]
		i++
		u |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return int64(u>>1) ^ -int64(u&1), i
		}
	}
	return 0, 0
}

func appendVarint(dst []byte, v int32) []byte {
	return appendUvarint(dst, uint64(uint32(v<<1)^uint32(v>>31)))
}

func appendVarlong(dst []byte, v int64) []byte {
	return appendUvarint(dst, uint64(v<<1)^uint64(v>>63))
}

func appendUvarint(dst []byte, u uint64) []byte {
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

// sizeVarint is how many bytes appendVarint writes.
func sizeVarint(v int32) int {
	u, n := uint32(v<<1)^uint32(v>>31), 1
	for u >= 0x80 {
		u >>= 7
		n++
	}
	return n
}

func sizeVarlong(v int64) int {
	u, n := uint64(v<<1)^uint64(v>>63), 1
	for u >= 0x80 {
		u >>= 7
		n++
	}
	return n
}
