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
	// bulkReadBytes is one read of a connection that sends frames of about that size one after the other: it gets several at once.
	bulkReadBytes = 256 << 10
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
	b.mu.Lock()
	if !b.admit(c, 1<<class) {
		b.mu.Unlock()
		if !b.waitForGrant(c, 1<<class) {
			return nil
		}
		b.mu.Lock()
	}
	lent := b.take(class)
	b.mu.Unlock()
	return lent.orFresh(class)
}

// admit lets c have n bytes, if it may, ahead of nobody who waits.
func (b *buffers) admit(c *connection, n int64) bool {
	if b.used.Load()+n > b.limit || len(b.waiting) > 0 {
		if b.excused != c && (b.excused != nil || len(b.waiting) > 0) {
			return false
		}
		b.excused = c
	}
	b.used.Add(n)
	c.lent += n
	return true
}

// waitForGrant waits until a release has charged n bytes for c, or c is closed.
func (b *buffers) waitForGrant(c *connection, n int64) bool {
	signal := c.signal() // must exist before somebody wants to set it
	b.mu.Lock()
	c.wants, c.granted = n, false
	b.waiting = append(b.waiting, c)
	b.queued.Store(int32(len(b.waiting)))
	// What was released before the queue was seen not to be empty is found here.
	granted := b.grant()
	b.mu.Unlock()
	wakeReaders(granted)
	for {
		b.mu.Lock()
		if c.granted {
			b.mu.Unlock()
			return true
		}
		if c.isClosed() {
			b.waiting = slices.DeleteFunc(b.waiting, func(waiting *connection) bool { return waiting == c })
			b.queued.Store(int32(len(b.waiting)))
			granted = b.grant() // the next may need less
			b.mu.Unlock()
			wakeReaders(granted)
			return false
		}
		b.mu.Unlock()
		signal.Wait()
	}
}

// grant serves those who wait, in their order, as far as there is room. The caller wakes them without the lock.
func (b *buffers) grant() (granted []*connection) {
	for len(b.waiting) > 0 {
		c := b.waiting[0]
		if b.used.Load()+c.wants > b.limit {
			if b.excused != nil {
				break
			}
			b.excused = c
		}
		b.used.Add(c.wants)
		c.lent += c.wants
		c.granted = true
		b.waiting = slices.Delete(b.waiting, 0, 1)
		granted = append(granted, c)
	}
	b.queued.Store(int32(len(b.waiting)))
	return granted
}

func wakeReaders(granted []*connection) {
	for _, c := range granted {
		c.wakeReader()
	}
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
	b.used.Add(-size)
	if c != nil {
		c.lent -= size
		if c == b.excused && c.lent == 0 {
			b.excused = nil
		}
	}
	granted := b.grant()
	b.mu.Unlock()
	wakeReaders(granted)
}

// unexcuse lets another connection pass the limit: c makes a pause with what it has.
func (b *buffers) unexcuse(c *connection) {
	b.mu.Lock()
	if b.excused != c {
		b.mu.Unlock()
		return
	}
	b.excused = nil
	granted := b.grant()
	b.mu.Unlock()
	wakeReaders(granted)
}

// charge accounts for n bytes of replies, negative when they have left. It never waits.
func (b *buffers) charge(n int64) {
	b.used.Add(n)
	if n < 0 && b.queued.Load() > 0 {
		b.mu.Lock()
		granted := b.grant()
		b.mu.Unlock()
		wakeReaders(granted)
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
