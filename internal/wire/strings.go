package wire

// Bounds of a StringTable: what one connection can make us keep is slots·16 bytes plus contentMax.
const (
	internMin     = 4        // slots of a table that holds something
	internMax     = 1024     // slots at most
	internTextMax = 256      // bytes of the longest string kept; Kafka's topic names have 249 at most
	contentMax    = 64 << 10 // bytes of all strings kept
)

// StringTable keeps strings that were decoded lately, so that decoding them again allocates nothing. It is a cache: it
// forgets when it is full, and forgetting costs an allocation, nothing else. The zero value is ready; it serves one
// goroutine.
type StringTable struct {
	slots   []string // a power of two; a string lives in the slot of its hash or in that slot's neighbour
	content int      // bytes of all strings in slots
}

// intern returns a string equal to b that does not alias it.
func (t *StringTable) intern(b []byte) string {
	if len(b) > internTextMax {
		return string(b)
	}
	if len(t.slots) == 0 {
		t.slots = make([]string, internMin)
	}
	at := hash(b) & uint32(len(t.slots)-1)
	if t.slots[at] == string(b) {
		return t.slots[at]
	}
	if t.slots[at^1] == string(b) {
		return t.slots[at^1]
	}
	s := string(b)
	t.put(at, s)
	return s
}

func (t *StringTable) put(at uint32, s string) {
	if t.content+len(s) > contentMax {
		clear(t.slots)
		t.content = 0
	}
	if t.slots[at] != "" {
		at ^= 1
	}
	if t.slots[at] != "" && len(t.slots) < internMax {
		t.grow()
		t.put(hash([]byte(s))&uint32(len(t.slots)-1), s)
		return
	}
	t.content += len(s) - len(t.slots[at])
	t.slots[at] = s
}

// grow doubles the slots; strings that collide there too are forgotten.
func (t *StringTable) grow() {
	old := t.slots
	t.slots = make([]string, 2*len(old))
	t.content = 0
	for _, s := range old {
		if s == "" {
			continue
		}
		at := hash([]byte(s)) & uint32(len(t.slots)-1)
		if t.slots[at] != "" {
			at ^= 1
		}
		t.content += len(s) - len(t.slots[at])
		t.slots[at] = s
	}
}

// hash need not resist an attacker: a collision costs him an allocation of his own string's length.
func hash(b []byte) uint32 {
	const prime = 0x9E3779B97F4A7C15
	h := uint64(len(b)) * prime
	for len(b) >= 8 {
		v := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		h = (h ^ v) * prime
		h ^= h >> 29
		b = b[8:]
	}
	var v uint64
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	h = (h ^ v) * prime
	return uint32(h >> 40)
}
