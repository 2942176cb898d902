package server

import (
	"time"

	"github.com/ottla-io/ottla/internal/api"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/transport"
)

// Table is the dispatch table. *api.Table is one.
type Table interface {
	// Lookup finds the entry of an ApiKey.
	Lookup(key int16) (*api.Entry, bool)
	// EndOfRead is called by a connection's reader when it has handled all complete requests of a read, before it waits for anything.
	EndOfRead(*api.Conn)
}

// Config is what a Server is made of. Env, Network and Table are required.
type Config struct {
	Env     run.Env
	Network transport.Network
	Table   Table
	Limits  Limits
	Events  Events
	// Arrivals, if not nil, is asked about every new connection.
	Arrivals Arrivals
}

// Arrivals limits how often clients may connect. *api.Quotas is one.
type Arrivals interface {
	// Arrived tells of a new connection from a host. With a delay greater than 0 it is refused, and closed after the delay
	// (KIP-612): a client that is told at once comes back at once.
	Arrived(host string) (delay time.Duration)
}

// Limits bounds what clients can make us hold. Zero fields mean the default in brackets.
type Limits struct {
	// RequestMaxBytes is Kafka's socket.request.max.bytes [100 MiB]; an Entry's BodyMax may be lower.
	RequestMaxBytes int
	// FirstRequestMaxBytes bounds the first frame of a connection, as long as its client has proved nothing [RequestMaxBytes].
	// Listeners that authenticate should set 64 KiB; on others a client's first request may be a full Produce (KafkaJS
	// asks ApiVersions of its first broker only).
	FirstRequestMaxBytes int
	// FirstRequestTime is how long a connection may take until its first request is complete [10 s].
	FirstRequestTime time.Duration
	// FrameTime is how long a begun frame may take to make 64 KiB of progress, or to end [30 s].
	FrameTime time.Duration
	// IdleTime is Kafka's connections.max.idle.ms [10 min]. A connection with a request in flight is not idle.
	IdleTime time.Duration
	// RestTime is how long a connection must be idle to rest, which saves memory (see rest.go): longer than the pauses of clients
	// that send heartbeats [5 s].
	RestTime time.Duration
	// StallTime is how long one write may take while the client does not read [10 min].
	StallTime time.Duration

	// RequestsInFlight bounds the slots of one connection's FIFO [128].
	RequestsInFlight int
	// ReplyBytesPerConnection bounds the encoded replies that wait for sending, regions not counted [1 MiB]. A single
	// reply may be larger; reading stops until it has left.
	ReplyBytesPerConnection int
	// MemoryBytes bounds read buffers and waiting replies of all connections [256 MiB]. At the bound reading stops, except
	// for one connection at a time, so that it always goes on.
	MemoryBytes int64
	// RetainBytes bounds the unused buffers kept for reuse [32 MiB].
	RetainBytes int64

	// Connections bounds those that are open at once [no bound]. SetConnectionLimits changes it.
	Connections ConnectionLimits
}

// ConnectionLimits bounds the connections that are open at once. The zero value means no bound; else 0 lets nobody in.
type ConnectionLimits struct {
	Max      int            // Kafka's max.connections
	MaxPerIP int            // Kafka's max.connections.per.ip
	PerIP    map[string]int // Kafka's max.connections.per.ip.overrides: addresses in netip's form. Never changed
	// PerSecond is Kafka's max.connection.creation.rate: those above it wait to be taken. 0 is no bound.
	PerSecond int
}

// of is the bound for one address.
func (l *ConnectionLimits) of(host string) int {
	if limit, ok := l.PerIP[host]; ok {
		return limit
	}
	return l.MaxPerIP
}

const (
	unbounded = 1<<31 - 1
	// frameProgressBytes is the progress that FrameTime asks for.
	frameProgressBytes = 64 << 10
)

func (l Limits) withDefaults() Limits {
	setInt(&l.RequestMaxBytes, 100<<20)
	setInt(&l.FirstRequestMaxBytes, l.RequestMaxBytes)
	setInt(&l.FirstRequestTime, 10*time.Second)
	setInt(&l.FrameTime, 30*time.Second)
	setInt(&l.IdleTime, 10*time.Minute)
	setInt(&l.RestTime, 5*time.Second)
	setInt(&l.StallTime, 10*time.Minute)
	setInt(&l.RequestsInFlight, 128)
	setInt(&l.ReplyBytesPerConnection, 1<<20)
	setInt(&l.MemoryBytes, 256<<20)
	setInt(&l.RetainBytes, 32<<20)
	if l.Connections.Max == 0 && l.Connections.MaxPerIP == 0 && l.Connections.PerIP == nil {
		l.Connections.Max, l.Connections.MaxPerIP = unbounded, unbounded
	}
	return l
}

func setInt[T ~int | ~int64](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// Reason is why a connection ended.
type Reason uint8

const (
	// PeerClosed is the ordinary end: the client closed, or its network did. It is counted and not reported.
	PeerClosed Reason = iota
	// ServerClosed is our own Drain or Close. It is counted and not reported.
	ServerClosed
	// IdleTooLong is connections.max.idle.ms.
	IdleTooLong
	// BadFrame is a length that is negative, too small for a header or too large, or a header that does not decode.
	BadFrame
	// UnknownAPI is an ApiKey or version that is not served.
	UnknownAPI
	// FirstRequestTooSlow and FrameTooSlow are the limits against slow-loris clients.
	FirstRequestTooSlow
	FrameTooSlow
	// ReaderStalled is a client that does not read its replies.
	ReaderStalled
	// HandlerHangup is a handler's Hangup.
	HandlerHangup
	// HandlerPanicked is a bug of ours that one request met: see the package's doc.
	HandlerPanicked
	// ReplyFailed is a reply that could not be built or sent whole, such as a region whose source was short.
	ReplyFailed
	// TooManyConnections and TooManyFromIP refuse a connection when it is accepted.
	TooManyConnections
	TooManyFromIP
	// TooManyNew refuses one for the rate of its address.
	TooManyNew

	reasons
)

func (r Reason) String() string {
	return [reasons]string{
		"peer closed", "server closed", "idle too long", "bad frame", "unknown api or version", "first request too slow",
		"frame too slow", "reader stalled", "handler hung up", "handler panicked", "reply failed", "too many connections", "too many connections from one address",
		"too many new connections from one address",
	}[r]
}

// Closed describes a connection that ended for a cause that an operator may want to know.
type Closed struct {
	ID                            uint64
	Listener, RemoteHost          string
	SoftwareName, SoftwareVersion string
	Reason                        Reason
	Err                           error
	// Suppressed counts the earlier ends that were not reported because there were too many.
	Suppressed int
}

// Events is what can be observed. Nil functions are skipped. They are called without locks held and must not wait.
type Events struct {
	// ConnectionClosed is called at most closedEventsPerSecond times a second.
	ConnectionClosed func(Closed)
	// AcceptFailed tells that a listener could not accept, such as for want of file descriptors; it tries again.
	AcceptFailed func(listener string, err error)
}
