package quota

import (
	"cmp"
	"slices"
)

const (
	// idleMs is how long a subject is remembered that does nothing; Kafka's number.
	idleMs = 3_600_000
	// mostBytes bounds what a Book remembers: client ids come from the network, and each request may bring another.
	mostBytes = 8 << 20
	// clientBytes is about what one subject takes beside its names and windows.
	clientBytes = 256
	sampleBytes = 24
)

// Book is the use that subjects have made of one kind of quota. It remembers those that were active in the last hour, and forgets
// those that are idle for longest where they are too many.
type Book struct {
	windows Windows
	capMs   int64 // the longest throttling; 0 is no bound
	clients map[Subject]*client
	bytes   int
	// newest and oldest are the ends of a list in the order of the last use.
	newest, oldest *client
	forgotten      uint64
}

// client is what one subject has used.
type client struct {
	who          Subject
	rate         rate
	bucket       bucket
	limit        float64 // at its last use
	usedMs       int64
	throttles    uint64
	throttledMs  uint64
	newer, older *client
}

// NewBook is a Book of nobody.
func NewBook(kind Kind, windows Windows) *Book {
	b := &Book{windows: windows, clients: make(map[Subject]*client)}
	if kind == RequestTime || kind == ConnectionRate {
		b.capMs = windows.SizeMs
	}
	return b
}

// Charge adds to what a subject has used, and tells for how many milliseconds it must be quiet; 0 where it is within its limit.
func (b *Book) Charge(who Subject, limit, value float64, nowMs int64) (throttleMs int64) {
	c := b.use(who, limit, nowMs)
	c.rate.record(b.windows, value, nowMs)
	perSecond, overMs := c.rate.measure(b.windows, nowMs)
	throttleMs = throttle(perSecond, limit, overMs)
	if b.capMs > 0 {
		throttleMs = min(throttleMs, b.capMs)
	}
	return throttleMs
}

// Refund takes back what was charged a moment ago, for what was not done after all.
func (b *Book) Refund(who Subject, value float64, nowMs int64) {
	if c := b.clients[who]; c != nil {
		c.rate.record(b.windows, -value, nowMs)
	}
}

// Note counts a throttling, for Report.
func (b *Book) Note(who Subject, throttleMs int64) {
	if c := b.clients[who]; c != nil && throttleMs > 0 {
		c.throttles++
		c.throttledMs += uint64(throttleMs)
	}
}

// Most is how much a subject can be charged at once in unused windows without being throttled.
func (b *Book) Most(limit float64) float64 {
	return limit * float64(b.windows.Count-1) * float64(b.windows.SizeMs) / 1000
}

// Take takes tokens. Where there are fewer than none, strict refuses to, and throttleMs is the time until there are none; otherwise
// they are taken, and throttleMs is the time until there are none again, 0 if there are some left.
func (b *Book) Take(who Subject, limit float64, tokens int, strict bool, nowMs int64) (throttleMs int64, taken bool) {
	c := b.use(who, limit, nowMs)
	c.bucket.refill(b.windows, limit, nowMs)
	if strict {
		if ms := c.bucket.wait(limit); ms > 0 {
			return ms, false
		}
		c.bucket.tokens -= float64(tokens)
		return 0, true
	}
	c.bucket.tokens -= float64(tokens)
	return c.bucket.wait(limit), true
}

// use finds or makes a subject, as the one used last.
func (b *Book) use(who Subject, limit float64, nowMs int64) *client {
	c := b.clients[who]
	if c == nil {
		c = &client{who: who}
		b.clients[who] = c
		b.bytes += b.sizeOf(c)
	} else {
		b.unlink(c)
	}
	c.limit, c.usedMs = limit, nowMs
	c.older = b.newest
	if b.newest != nil {
		b.newest.newer = c
	}
	b.newest = c
	if b.oldest == nil {
		b.oldest = c
	}
	for o := b.oldest; o != c && (b.bytes > mostBytes || nowMs-o.usedMs > idleMs); o = b.oldest {
		b.unlink(o)
		delete(b.clients, o.who)
		b.bytes -= b.sizeOf(o)
		b.forgotten++
	}
	return c
}

func (b *Book) sizeOf(c *client) int {
	return clientBytes + len(c.who.User) + len(c.who.ClientID) + len(c.who.IP) + sampleBytes*min(b.windows.Count+1, mostBytes/sampleBytes)
}

func (b *Book) unlink(c *client) {
	if c.newer == nil {
		b.newest = c.older
	} else {
		c.newer.older = c.older
	}
	if c.older == nil {
		b.oldest = c.newer
	} else {
		c.older.newer = c.newer
	}
	c.newer, c.older = nil, nil
}

// Throttled is a subject that had to be quiet.
type Throttled struct {
	Who         Subject
	Limit       float64 // at its last use
	Used        float64 // a second, over the windows; for tokens, those that are left
	Throttles   uint64
	ThrottledMs uint64
}

// Report tells who was throttled since they are remembered, most throttled first and at most so many, how many more there are, and
// how many subjects are remembered.
func (b *Book) Report(kind Kind, most int, nowMs int64) (throttled []Throttled, more, remembered int) {
	for _, c := range b.clients {
		if c.throttles == 0 {
			continue
		}
		t := Throttled{Who: c.who, Limit: c.limit, Throttles: c.throttles, ThrottledMs: c.throttledMs}
		if kind == Mutations {
			t.Used = c.bucket.tokens
		} else {
			t.Used, _ = c.rate.measure(b.windows, nowMs)
		}
		throttled = append(throttled, t)
	}
	slices.SortFunc(throttled, func(x, y Throttled) int {
		return cmp.Or(cmp.Compare(y.ThrottledMs, x.ThrottledMs), cmp.Compare(x.Who.User, y.Who.User), cmp.Compare(x.Who.ClientID, y.Who.ClientID), cmp.Compare(x.Who.IP, y.Who.IP))
	})
	if len(throttled) > most {
		throttled, more = throttled[:most], len(throttled)-most
	}
	return throttled, more, len(b.clients)
}
