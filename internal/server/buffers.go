package server

import (
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	// readBytes is one read, and the largest frame that needs no buffer of its own.
	readBytes = 64 << 10
	// stashBytes keeps the beginning of a frame while its client makes a pause, so that a slow client holds little.
	stashBytes = 4 << 10
	// growthFactor is how much larger than what has arrived a frame's buffer may be.
	growthFactor = 4

	smallestClass = 12 // 4 KiB
	largestClass  = 31
)

// buffer is borrowed memory; its length is its class's size, a power of two.
type buffer struct {
	bytes []byte
	class int
}

// buffers lends memory in size classes and keeps account of it, together with the replies that wait. A free list of its
// own, because sync.Pool forgets at each collection, and fresh megabytes cost hundreds of page faults.
type buffers struct {
	limit, retain int64
	used          atomic.Int64 // bytes lent and reply bytes
	queued        atomic.Int32 // len(waiting), for those who only want to know whether it is worth the lock

	mu      sync.Mutex
	free    [largestClass + 1][]*buffer
	lowest  [largestClass + 1]int // of len(free) since the last trim: what nobody needed
	kept    int64                 // bytes in free
	excused *connection           // the one that may pass the limit
	waiting []*connection         // first come, first served
}

func classOf(size int) int { return max(bits.Len(uint(size-1)), smallestClass) }

// borrow lends at least size bytes to c. It waits while the limit is reached, unless c is the excused one, and returns
// nil only when c is closed.
func (b *buffers) borrow(c *connection, size int) *buffer {
	class := classOf(size)
	for attempt := 0; ; attempt++ {
		b.mu.Lock()
		if attempt > 0 {
			b.waiting = append(b.waiting, c)
			b.queued.Store(int32(len(b.waiting)))
		}
		// The account is read after the entry in waiting, and those who lower it read the queue afterwards: one of both sees the other.
		if b.admit(c, 1<<class) {
			b.unqueue(c)
			lent := b.take(class)
			c.lent += 1 << class
			b.mu.Unlock()
			return lent.orFresh(class)
		}
		b.mu.Unlock()
		if attempt == 0 {
			c.signal() // must exist before somebody may want to set it
			continue
		}
		open := c.waitForMemory()
		b.forget(c)
		if !open {
			return nil
		}
	}
}

// admit reports whether c may have n bytes more, and charges them.
func (b *buffers) admit(c *connection, n int64) bool {
	if b.used.Load()+n > b.limit {
		if b.excused != nil && b.excused != c {
			return false
		}
		b.excused = c
	}
	b.used.Add(n)
	return true
}

// scratch lends a read buffer's worth without waiting: a writer needs it to free memory.
func (b *buffers) scratch() *buffer {
	class := classOf(readBytes)
	b.mu.Lock()
	b.used.Add(readBytes)
	lent := b.take(class)
	b.mu.Unlock()
	return lent.orFresh(class)
}

// orFresh is lent, or a new buffer if there was none: made without the lock, because large ones take their time.
func (lent *buffer) orFresh(class int) *buffer {
	if lent != nil {
		return lent
	}
	return &buffer{bytes: make([]byte, 1<<class), class: class}
}

func (b *buffers) take(class int) *buffer {
	list := b.free[class]
	if len(list) == 0 {
		return nil
	}
	last := len(list) - 1
	lent := list[last]
	list[last] = nil
	b.free[class] = list[:last]
	b.lowest[class] = min(b.lowest[class], last)
	b.kept -= 1 << class
	return lent
}

// giveBack ends a borrow of c, or of a scratch buffer where c is nil.
func (b *buffers) giveBack(c *connection, lent *buffer) {
	size := int64(1) << lent.class
	b.mu.Lock()
	if b.kept+size <= b.retain {
		b.free[lent.class] = append(b.free[lent.class], lent)
		b.kept += size
	}
	if c != nil {
		c.lent -= size
	}
	if c != nil && c == b.excused && c.lent == 0 {
		b.excused = nil
	}
	b.used.Add(-size)
	next := b.next()
	b.mu.Unlock()
	wakeMemory(next)
}

// charge accounts for n bytes of replies, negative when they have left. It never waits.
func (b *buffers) charge(n int64) {
	b.used.Add(n)
	if n < 0 && b.queued.Load() > 0 {
		b.mu.Lock()
		next := b.next()
		b.mu.Unlock()
		wakeMemory(next)
	}
}

// next returns who should try again, if anybody.
func (b *buffers) next() *connection {
	if len(b.waiting) == 0 || (b.used.Load()+readBytes > b.limit && b.excused != nil) {
		return nil
	}
	c := b.waiting[0]
	b.unqueue(c)
	return c
}

// unqueue removes c from those that wait and reports whether it was there.
func (b *buffers) unqueue(c *connection) bool {
	at := slices.Index(b.waiting, c)
	if at < 0 {
		return false
	}
	b.waiting = slices.Delete(b.waiting, at, at+1)
	b.queued.Store(int32(len(b.waiting)))
	return true
}

// forget ends a wait of c. If c was woken, not given up, and another could go on too, that one is woken.
func (b *buffers) forget(c *connection) {
	b.mu.Lock()
	var next *connection
	if !b.unqueue(c) {
		next = b.next()
	}
	b.mu.Unlock()
	wakeMemory(next)
}

func wakeMemory(c *connection) {
	if c != nil {
		c.wakeReader()
	}
}

// trim drops the free buffers that nobody needed since the last trim.
func (b *buffers) trim() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for class := range b.free {
		drop := b.lowest[class]
		list := b.free[class]
		clear(list[len(list)-drop:])
		b.free[class] = list[:len(list)-drop]
		b.kept -= int64(drop) << class
		b.lowest[class] = len(b.free[class])
	}
}

func (b *buffers) account() (used, kept int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used.Load(), b.kept
}
