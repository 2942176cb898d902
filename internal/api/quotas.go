package api

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla-io/ottla/internal/machine/controller"
	"github.com/ottla-io/ottla/internal/quota"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

// Quotas applies the cluster's quotas to this broker's clients. The handlers charge it, the server asks it about new connections, and
// whoever follows the metadata tells it what the quotas are. All methods may be called from any goroutine.
//
// Where nothing is limited, a request costs one atomic load.
type Quotas struct {
	env    run.Env
	limits atomic.Pointer[quota.Limits] // nil while there are none
	books  [quota.Kinds]lockedBook
}

type lockedBook struct {
	mu sync.Mutex
	*quota.Book
}

// NewQuotas limits nothing yet. mutations are the windows of controller_mutation_rate, windows those of all others.
func NewQuotas(env run.Env, windows, mutations quota.Windows) *Quotas {
	q := &Quotas{env: env}
	for kind := range quota.Kinds {
		w := windows
		if kind == quota.Mutations {
			w = mutations
		}
		q.books[kind].Book = quota.NewBook(kind, w)
	}
	return q
}

// Set replaces the limits. What clients have used stays.
func (q *Quotas) Set(limits *quota.Limits) {
	if limits.Empty() {
		limits = nil
	}
	q.limits.Store(limits)
}

// Report tells who was throttled by one kind of quota: see quota.Book.
func (q *Quotas) Report(kind quota.Kind, most int) (throttled []quota.Throttled, more, remembered int) {
	b := &q.books[kind]
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Book.Report(kind, most, q.nowMs())
}

// Arrived counts a new connection from a host against connection_creation_rate (KIP-612). With a delay greater than 0 the connection
// is over the quota: it must be closed, after the delay, and does not count.
func (q *Quotas) Arrived(host string) (delay time.Duration) {
	limits := q.limits.Load()
	if limits == nil {
		return 0
	}
	limit, ok := limits.Connections(host)
	if !ok {
		return 0
	}
	who, now := quota.Subject{IP: host}, q.nowMs()
	b := &q.books[quota.ConnectionRate]
	b.mu.Lock()
	defer b.mu.Unlock()
	ms := b.Charge(who, limit, 1, now)
	if ms > 0 {
		b.Refund(who, 1, now)
		b.Note(who, ms)
	}
	return time.Duration(ms) * time.Millisecond
}

func (q *Quotas) nowMs() int64 { return q.env.Monotonic().Milliseconds() }

// charge adds to what a client has used of one kind, and tells for how long it must be quiet.
func (q *Quotas) charge(kind quota.Kind, limits *quota.Limits, clientID string, value float64) (throttleMs int32) {
	who, limit, ok := limits.Find(kind, user, clientID)
	if !ok {
		return 0
	}
	b := &q.books[kind]
	b.mu.Lock()
	defer b.mu.Unlock()
	ms := b.Charge(who, limit, value, q.nowMs())
	b.Note(who, ms)
	return int32(ms)
}

// user is whom every client is, as there is no authentication yet: Kafka's User:ANONYMOUS.
const user = "ANONYMOUS"

// meter is what one request costs its client. The zero value counts nothing.
type meter struct {
	quotas     *Quotas // nil where there are no limits
	limits     *quota.Limits
	began      time.Duration // Monotonic when the handler, or the second half of it, began
	spent      time.Duration // in the first half
	throttleMs int32         // what the client is told
	timed      bool          // some client's time is limited: no clock is read otherwise
	charged    bool          // for its time
}

// metered makes a handler one that counts what its requests cost, while there are limits.
func (t *Table) metered(handle Handler) Handler {
	q := t.deps.Quotas
	if q == nil {
		return handle
	}
	return func(r *Request) Outcome {
		limits := q.limits.Load()
		if limits == nil {
			return handle(r)
		}
		m := &r.meter
		m.quotas, m.limits = q, limits
		if m.timed = limits.Any(quota.RequestTime); m.timed {
			m.began = q.env.Monotonic()
		}
		outcome := handle(r)
		if m.timed && outcome == Parked {
			m.spent = q.env.Monotonic() - m.began
		}
		return outcome
	}
}

// Finish runs the second half of a request that was parked: see Pending.
func (r *Request) Finish() Outcome {
	if r.meter.timed {
		r.meter.began = r.meter.quotas.env.Monotonic()
	}
	return r.Pending.Finish(r)
}

// throttle has the client told to be quiet for so long, unless it is told a longer time, and the server not listen to it meanwhile.
func (r *Request) throttle(ms int32) {
	r.meter.throttleMs = max(r.meter.throttleMs, ms)
	r.MuteMs = max(r.MuteMs, ms)
}

// chargeBytes counts bytes of a request or a response; it does nothing without limits.
func (r *Request) chargeBytes(kind quota.Kind, bytes int) (throttleMs int32) {
	if r.meter.quotas == nil {
		return 0
	}
	return r.meter.quotas.charge(kind, r.meter.limits, r.ClientID, float64(bytes))
}

// refundBytes takes back what chargeBytes counted.
func (r *Request) refundBytes(kind quota.Kind, bytes int) {
	q := r.meter.quotas
	if who, _, ok := r.meter.limits.Find(kind, user, r.ClientID); ok {
		b := &q.books[kind]
		b.mu.Lock()
		b.Refund(who, float64(bytes), q.nowMs())
		b.mu.Unlock()
	}
}

// mostFetchBytes is most, or as much as a client may fetch at once without going over its quota by that alone.
func (r *Request) mostFetchBytes(most int) int {
	q := r.meter.quotas
	if q == nil {
		return most
	}
	_, limit, ok := r.meter.limits.Find(quota.Fetch, user, r.ClientID)
	if !ok {
		return most
	}
	// The windows never change: no lock.
	return int(min(float64(most), q.books[quota.Fetch].Most(limit)))
}

// chargeTime counts the time that the request's handler took until now (KIP-124), once.
func (r *Request) chargeTime() (throttleMs int32) {
	m := &r.meter
	if !m.timed || m.charged {
		return 0
	}
	m.charged = true
	took := m.spent + m.quotas.env.Monotonic() - m.began
	return m.quotas.charge(quota.RequestTime, m.limits, r.ClientID, float64(took)*100/float64(time.Second))
}

// tellThrottle counts the request's time and has its response say for how long the client must be quiet.
func (r *Request) tellThrottle(m wire.Message) {
	if ms := r.chargeTime(); ms > 0 {
		r.throttle(ms)
	}
	if r.meter.throttleMs > 0 {
		if response, ok := m.(wire.Throttled); ok {
			response.SetThrottleTimeMs(r.meter.throttleMs)
		}
	}
}

// mutations is what one request takes of controller_mutation_rate (KIP-599).
type mutations struct {
	quotas *Quotas
	who    quota.Subject
	limit  float64
	strict bool

	mu         sync.Mutex // the controller takes on a goroutine of its own
	throttleMs int64
	atMs       int64
}

// mutations is nil where nothing limits the client. From version strictSince on, a request that finds no token left is refused;
// before, its client is slowed down.
func (r *Request) mutations(strictSince int16) *mutations {
	m := &r.meter
	if m.quotas == nil {
		return nil
	}
	who, limit, ok := m.limits.Find(quota.Mutations, user, r.ClientID)
	if !ok {
		return nil
	}
	return &mutations{quotas: m.quotas, who: who, limit: limit, strict: r.Version >= strictSince}
}

// allow is what the controller asks before it creates or deletes partitions; nil allows all.
func (m *mutations) allow() controller.Allow {
	if m == nil {
		return nil
	}
	return m.take
}

func (m *mutations) take(partitions int) bool {
	b, now := &m.quotas.books[quota.Mutations], m.quotas.nowMs()
	b.mu.Lock()
	ms, taken := b.Take(m.who, m.limit, partitions, m.strict, now)
	b.mu.Unlock()
	if ms > 0 {
		m.mu.Lock()
		m.throttleMs, m.atMs = ms, now
		m.mu.Unlock()
	}
	return taken
}

// settle throttles the request's client for what is left of the time that the last refusal, or taking, asked for.
func (m *mutations) settle(r *Request) {
	if m == nil {
		return
	}
	m.mu.Lock()
	ms := m.throttleMs - (m.quotas.nowMs() - m.atMs)
	throttled := m.throttleMs > 0
	m.mu.Unlock()
	if !throttled || ms <= 0 {
		return
	}
	b := &m.quotas.books[quota.Mutations]
	b.mu.Lock()
	b.Note(m.who, ms)
	b.mu.Unlock()
	r.throttle(int32(ms))
}
