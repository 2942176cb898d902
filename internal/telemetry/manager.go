package telemetry

import (
	"container/list"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ottla-io/ottla/internal/config"
	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/wire"
)

const (
	// maxClients is Kafka's: those that were silent for longest are forgotten for new ones.
	maxClients = 16384
	// leastExpiry is Kafka's: how long a client is remembered whose interval is short.
	leastExpiry = time.Minute
	// sweepEvery is how often clients that are silent are looked for, at most.
	sweepEvery = 10 * time.Second
	// defaultInterval is Kafka's for clients that no subscription is for.
	defaultInterval = 5 * time.Minute
	// everything is the name of a metric that means all of them.
	everything = "*"
)

// Config is what a Manager needs to know.
type Config struct {
	// MaxBytes is telemetry.max.bytes: the most that a push may take, before and after it is opened.
	MaxBytes int32
	// Random fills p with random bytes, for ids of clients.
	Random func(p []byte)
}

// Manager is all that is known of clients' metrics.
type Manager struct {
	cfg Config

	mu            sync.Mutex // guards the rest
	subscriptions map[string]*config.ClientMetricsConfig
	version       uint64 // of subscriptions: clients evaluate them anew when it changed
	clients       map[ids.UUID]*list.Element
	order         *list.List // of *client, the one that was silent for longest first
	swept         time.Duration
	series        int // of all clients
	stats         Stats
}

// Stats are counted since the start, but for Clients and Series.
type Stats struct {
	Clients, Series int
	Subscriptions   int
	Pushes          uint64 // that were taken
	Refused         uint64 // pushes that were not
	Dropped         uint64 // points that were beyond a bound, or of a kind that is not kept
}

// Client is who asks, as its connection knows it.
type Client struct {
	ID, Software, SoftwareVersion, Host string
	Port                                int32
}

// client is what one client was told, and pushed.
type client struct {
	instance       ids.UUID
	version        uint64
	subscriptionID int32
	metrics        []string
	interval       time.Duration
	asked, pushed  time.Duration // when it last did; never before it did
	used           time.Duration
	ended          bool // by a terminating push
	last           wire.ErrorCode
	labels         []Label
	pushes         uint64 // that brought metrics
	series         map[string]*Series
}

// never is long before any time.
const never = -1 << 62

// New is a Manager without subscriptions.
func New(cfg Config) *Manager {
	return &Manager{cfg: cfg, subscriptions: map[string]*config.ClientMetricsConfig{}, clients: map[ids.UUID]*list.Element{}, order: list.New()}
}

// Set makes a subscription what its settings say. Nil ends it.
func (m *Manager) Set(name string, subscription *config.ClientMetricsConfig) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if subscription == nil {
		delete(m.subscriptions, name)
	} else {
		m.subscriptions[name] = subscription
	}
	m.version++
}

// Subscription is what a client is told to push.
type Subscription struct {
	Instance       ids.UUID
	SubscriptionID int32
	Metrics        []string // shared: do not change it
	PushIntervalMs int32
	MaxBytes       int32
}

// Subscribe tells a client what to push. It gives an id to one that has none. Who asks again before its interval is over is refused with
// THROTTLING_QUOTA_EXCEEDED, unless subscriptions changed, or its last push was refused for a reason that makes it ask.
func (m *Manager) Subscribe(from *Client, instance ids.UUID, now time.Duration) (Subscription, wire.ErrorCode) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if instance == (ids.UUID{}) {
		instance = m.newInstance()
	}
	c := m.client(from, instance, now)
	if now-max(c.asked, c.pushed) < c.interval && c.last != wire.ErrorUnknownSubscriptionID && c.last != wire.ErrorUnsupportedCompressionType {
		return Subscription{}, wire.ErrorThrottlingQuotaExceeded
	}
	c.asked, c.last = now, wire.ErrorNone
	return Subscription{Instance: instance, SubscriptionID: c.subscriptionID, Metrics: c.metrics,
		PushIntervalMs: int32(c.interval.Milliseconds()), MaxBytes: m.cfg.MaxBytes}, wire.ErrorNone
}

// newInstance makes an id that no client has: a version 4 UUID, as Kafka's, whose text no command line takes for an option.
func (m *Manager) newInstance() (id ids.UUID) {
	for {
		m.cfg.Random(id[:])
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
		if m.clients[id] == nil && id.String()[0] != '-' {
			return id
		}
	}
}

// Push is one PushTelemetry.
type Push struct {
	Instance       ids.UUID
	SubscriptionID int32
	Terminating    bool
	Codec          int8
	Metrics        []byte // as they came; not kept
}

// Push takes what a client pushes, or says why not: INVALID_REQUEST after the client's last push, THROTTLING_QUOTA_EXCEEDED before its
// interval is over, UNKNOWN_SUBSCRIPTION_ID, UNSUPPORTED_COMPRESSION_TYPE, TELEMETRY_TOO_LARGE, and INVALID_RECORD for what cannot be opened
// or read, or would be too large opened.
func (m *Manager) Push(from *Client, p *Push, now time.Duration) wire.ErrorCode {
	if reserved(p.Instance) {
		m.mu.Lock()
		m.stats.Refused++
		m.mu.Unlock()
		return wire.ErrorInvalidRequest
	}
	m.mu.Lock()
	c := m.client(from, p.Instance, now)
	code := m.mayPush(c, p, now)
	c.ended = p.Terminating
	c.last = code
	m.mu.Unlock()
	var points []point
	dropped := 0
	if code == wire.ErrorNone && len(p.Metrics) > 0 {
		opened, err := record.Decompress(record.Codec(p.Codec), nil, p.Metrics, int(m.cfg.MaxBytes))
		if err == nil {
			points, dropped, err = decode(opened)
		}
		if err != nil {
			code = wire.ErrorInvalidRecord
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.Dropped += uint64(dropped)
	if code != wire.ErrorNone {
		c.last = code
		m.stats.Refused++
		return code
	}
	m.stats.Pushes++
	if m.clients[p.Instance] != nil { // else it was forgotten meanwhile
		m.keep(m.clients[p.Instance].Value.(*client), points)
	}
	return wire.ErrorNone
}

// reserved are the ids that Kafka gives to nobody: the first hundred.
func reserved(id ids.UUID) bool {
	return binary.BigEndian.Uint64(id[:8]) == 0 && binary.BigEndian.Uint64(id[8:]) < 100
}

// mayPush judges a push by what the client was told. It holds Kafka's order of checks.
func (m *Manager) mayPush(c *client, p *Push, now time.Duration) wire.ErrorCode {
	if c.ended {
		return wire.ErrorInvalidRequest
	}
	inTime := c.asked > c.pushed || now-c.pushed >= c.interval // clients may push at once after they asked, for their jitter
	if inTime {
		c.pushed = now
	}
	switch {
	case !inTime && !p.Terminating:
		return wire.ErrorThrottlingQuotaExceeded
	case p.SubscriptionID != c.subscriptionID:
		return wire.ErrorUnknownSubscriptionID
	case p.Codec < int8(record.None) || p.Codec > int8(record.Zstd):
		return wire.ErrorUnsupportedCompressionType
	case len(p.Metrics) > int(m.cfg.MaxBytes):
		return wire.ErrorTelemetryTooLarge
	}
	return wire.ErrorNone
}

// client finds a client, or begins with it, and tells it the subscriptions that are in force.
func (m *Manager) client(from *Client, instance ids.UUID, now time.Duration) *client {
	m.sweep(now)
	at := m.clients[instance]
	if at == nil {
		if len(m.clients) >= maxClients {
			m.forget(m.order.Front())
		}
		at = m.order.PushBack(&client{instance: instance, asked: never, pushed: never})
		m.clients[instance] = at
		m.evaluate(at.Value.(*client), from)
	} else if c := at.Value.(*client); c.version != m.version {
		// As in Kafka, it is a new client but for its series: it may ask and push at once.
		c.asked, c.pushed, c.ended, c.last = never, never, false, wire.ErrorNone
		m.evaluate(c, from)
	}
	m.order.MoveToBack(at)
	c := at.Value.(*client)
	c.used = now
	return c
}

// evaluate finds the subscriptions that are for a client.
func (m *Manager) evaluate(c *client, from *Client) {
	attributes := map[string]string{
		"client_instance_id": c.instance.String(), "client_id": from.ID, "client_software_name": from.Software, "client_software_version": from.SoftwareVersion,
		"client_source_address": from.Host, "client_source_port": strconv.Itoa(int(from.Port)),
	}
	c.version, c.interval, c.metrics = m.version, defaultInterval, nil
	for _, s := range m.subscriptions {
		if !matches(s, attributes) {
			continue
		}
		c.metrics = append(c.metrics, s.Metrics...)
		c.interval = min(c.interval, time.Duration(s.IntervalMs)*time.Millisecond)
	}
	slices.Sort(c.metrics)
	c.metrics = slices.Compact(c.metrics)
	if slices.Contains(c.metrics, everything) {
		c.metrics = []string{everything}
	}
	// The id is Kafka's: a checksum of what was subscribed, with the client's id.
	told := "[" + strings.Join(c.metrics, ", ") + "]" + strconv.FormatInt(c.interval.Milliseconds(), 10)
	mixed := binary.BigEndian.Uint64(c.instance[:8]) ^ binary.BigEndian.Uint64(c.instance[8:])
	c.subscriptionID = int32(crc32.Checksum([]byte(told), crc32.MakeTable(crc32.Castagnoli)) ^ uint32(mixed>>32) ^ uint32(mixed))
	c.labels = labelsOf(c.instance, from)
}

func matches(s *config.ClientMetricsConfig, attributes map[string]string) bool {
	for name, expression := range s.Match {
		if !expression.MatchString(attributes[name]) {
			return false
		}
	}
	return true
}

// sweep forgets who was silent for too long.
func (m *Manager) sweep(now time.Duration) {
	if now-m.swept < sweepEvery {
		return
	}
	m.swept = now
	for at := m.order.Front(); at != nil; {
		c, next := at.Value.(*client), at.Next()
		if now-c.used >= max(leastExpiry, 3*c.interval) {
			m.forget(at)
		}
		at = next
	}
}

func (m *Manager) forget(at *list.Element) {
	c := m.order.Remove(at).(*client)
	delete(m.clients, c.instance)
	m.series -= len(c.series)
}

// Stats tells what there is now, and was counted so far.
func (m *Manager) Stats(now time.Duration) Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now)
	s := m.stats
	s.Clients, s.Series, s.Subscriptions = len(m.clients), m.series, len(m.subscriptions)
	return s
}
