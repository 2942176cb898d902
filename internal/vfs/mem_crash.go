package vfs

import "math/rand/v2"

// Crash returns the disk that a power cut at this moment would leave, everything on it durable. The Mem itself goes on
// undisturbed, so one run can be cut at each of its steps. Its cost follows the number of entries and the size of the changed files.
func (m *Mem) Crash() *Mem {
	m.gate.Lock()
	defer m.gate.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crashes++
	c := &crash{seed: mix(m.seed, m.crashes), left: newMem(mix(m.seed, m.crashes), m.tokens)}
	c.left.capacity.Store(m.capacity.Load())
	m.dirtyMu.Lock()
	changes := m.pendingChanges()
	m.dirtyMu.Unlock()
	c.decide(changes)
	c.left.root = c.copyDir(m.root, c.seed)
	return c.left
}

// mix derives one seed from another and a number (the finalizer of SplitMix64).
func mix(seed, n uint64) uint64 {
	z := seed + n*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// crash is one power cut being decided.
type crash struct {
	seed      uint64
	left      *Mem
	surviving map[*memDir]map[string]memEntry // changed names, as the crash leaves them
}

// decide tosses for each change of names, oldest first. A third of the crashes keep a prefix, as a journal does; the
// others toss for each change. No change survives without the earlier ones to the same name, nor without the directory that it is in.
func (c *crash) decide(changes []*nameChange) {
	if len(changes) == 0 {
		return
	}
	random := rand.New(rand.NewPCG(c.seed, 1))
	prefix, share := -1, random.IntN(5)
	if random.IntN(3) == 0 {
		prefix = random.IntN(len(changes) + 1)
	}
	c.surviving = make(map[*memDir]map[string]memEntry)
	last := make(map[*memDir]map[string]*nameChange)
	for i, change := range changes {
		if prefix >= 0 {
			change.survives = i < prefix
		} else {
			change.survives = random.IntN(4) < share
		}
		for _, effect := range change.effects {
			if earlier := last[effect.dir][effect.name]; earlier != nil && !earlier.survives {
				change.survives = false
			}
		}
		for _, needed := range change.needs {
			if !needed.durable && !needed.survives {
				change.survives = false
			}
		}
		for _, effect := range change.effects {
			put(last, effect.dir, effect.name, change)
			if change.survives {
				put(c.surviving, effect.dir, effect.name, effect.entry)
			}
		}
	}
}

func put[V any](names map[*memDir]map[string]V, dir *memDir, name string, value V) {
	if names[dir] == nil {
		names[dir] = make(map[string]V)
	}
	names[dir][name] = value
}

// copyDir makes what the crash leaves of dir. Randomness comes from the path, so that the order of a map does not matter.
func (c *crash) copyDir(dir *memDir, seed uint64) *memDir {
	left := &memDir{
		entries: make(map[string]memEntry, len(dir.durable)),
		durable: make(map[string]memEntry, len(dir.durable)),
	}
	add := func(name string, entry memEntry) {
		own := seed
		for _, b := range []byte(name) {
			own = mix(own, uint64(b)+1)
		}
		if entry.dir != nil {
			entry.dir = c.copyDir(entry.dir, own)
		} else {
			entry.file = c.copyFile(entry.file, own)
		}
		left.entries[name], left.durable[name] = entry, entry
	}
	changed := c.surviving[dir]
	for name, entry := range dir.durable {
		if _, ok := changed[name]; !ok {
			add(name, entry)
		}
	}
	for name, entry := range changed {
		if entry.exists() {
			add(name, entry)
		}
	}
	return left
}

// copyFile makes what the crash leaves of a file. Both sides get new tokens: neither owns the shared pages any more.
func (c *crash) copyFile(f *memInode, seed uint64) *memInode {
	left := &memInode{mem: c.left, links: 1, token: f.mem.tokens.Add(1)}
	f.token = f.mem.tokens.Add(1)
	if f.dirty {
		c.fillDirty(left, f, rand.New(rand.NewPCG(seed, 2)))
	} else {
		f.pagesShared, left.pagesShared = true, true
		left.pages, left.size = f.pages[:len(f.pages):len(f.pages)], f.size
	}
	left.durableSize, left.lowestSize, left.durablePages = left.size, left.size, len(left.pages)
	for _, page := range left.pages {
		if page.data != nil {
			c.left.used.Add(memPageBytes)
		}
	}
	return left
}

// survival is how the unsynced sectors of one file fare.
type survival struct {
	random *rand.Rand
	// share of 8: each sector survives with share/8; 0 none, 8 all.
	share int
	// cut, if not negative, is the offset up to which all survive and from which none do: a torn write.
	cut int64
}

func (s *survival) keeps(offset int64) bool {
	if s.cut >= 0 {
		return offset < s.cut
	}
	return s.share == 8 || s.share > 0 && s.random.IntN(8) < s.share
}

func (c *crash) fillDirty(left, f *memInode, random *rand.Rand) {
	s := survival{random: random, share: []int{0, 8, 4, 7, 1}[random.IntN(5)], cut: -1}
	if f.size > f.durableSize && random.IntN(4) == 0 {
		s.cut = f.durableSize + random.Int64N(f.size-f.durableSize+1)
	}
	left.size = f.survivingSize(&s)
	left.pages = make([]memPage, (left.size+memPageBytes-1)/memPageBytes)
	for i := range left.pages {
		left.pages[i].data = f.survivingPage(i, &s)
	}
	if within := left.size % memPageBytes; within > 0 {
		last := &left.pages[len(left.pages)-1]
		if last.data != nil {
			own := *last.data
			clear(own[within:])
			last.data = &own
		}
	}
}

// survivingSize tosses between the durable size, the present one and what lies between, but never goes below what is certain.
func (f *memInode) survivingSize(s *survival) int64 {
	switch {
	case s.cut < 0 && s.share == 0 || f.size == f.durableSize && f.lowestSize == f.size:
		return f.durableSize
	case s.cut < 0 && s.share == 8:
		return f.size
	}
	switch s.random.IntN(4) {
	case 0:
		return f.durableSize
	case 1:
		low, high := min(f.lowestSize, f.durableSize), max(f.size, f.durableSize)
		if f.lowestSize >= f.durableSize {
			low = f.durableSize
		}
		return low + s.random.Int64N(high-low+1)
	default:
		return f.size
	}
}

// survivingPage mixes the present and the durable content of page i by sectors.
func (f *memInode) survivingPage(i int, s *survival) *memBytes {
	var present, durable *memBytes
	if i < len(f.pages) {
		present = f.pages[i].data
	}
	if old, changed := f.undo[i]; changed {
		durable = old
	} else if i < f.durablePages {
		durable = present
	}
	if present == durable {
		return present
	}
	var kept [memPageBytes / memSectorBytes]bool
	count := 0
	for sector := range kept {
		if s.keeps(int64(i)*memPageBytes + int64(sector)*memSectorBytes) {
			kept[sector] = true
			count++
		}
	}
	switch count {
	case 0:
		return durable
	case len(kept):
		return present
	}
	mixed := new(memBytes)
	for sector, keep := range kept {
		from := durable
		if keep {
			from = present
		}
		if from != nil {
			at := sector * memSectorBytes
			copy(mixed[at:at+memSectorBytes], from[at:])
		}
	}
	return mixed
}
