package api

import (
	"io"
	"time"

	"github.com/ottla-io/ottla/internal/wire"
)

// Conn is what handlers may know of one client connection. The server makes it and is its only writer, except for the fields
// that ApiVersions fills. All handlers of one connection run on its reader's goroutine, one after the other.
type Conn struct {
	// ID is unique in this process; it appears in logs.
	ID uint64
	// Listener names the listener that accepted the connection, such as PLAINTEXT.
	Listener string
	// LocalHost and LocalPort are where the client reached us: what Metadata advertises unless an address is configured.
	LocalHost string
	LocalPort int32
	// RemoteHost is the client's address without its port.
	RemoteHost string
	// RemotePort is that port, 0 where there is none.
	RemotePort int32
	// SoftwareName and SoftwareVersion are what the client said in ApiVersions v3+ (KIP-511), "unknown" before.
	SoftwareName, SoftwareVersion string
	// Strings interns topic names and client ids, so that the steady path allocates no string.
	Strings wire.StringTable

	javaHost string // RemoteHost as groups remember it, once it was needed
	// flush says that requests of the present read wait for the disk. See Table.EndOfRead.
	flush bool
	// outsider is the group that was last committed to by somebody who is not a member. See outsideCommit.
	outsider string
}

// Request is one request in its connection's order. The server owns it and reuses it after the reply left.
type Request struct {
	Conn          *Conn
	Key           int16 // ApiKey
	Version       int16 // within the dispatch table's range, checked by the server
	CorrelationID int32
	ClientID      string
	// Body is what follows the request header. It aliases the connection's read buffer: it, and all that was decoded from
	// it without a copy, is valid until the handler returns, not after.
	Body []byte
	// SizeBytes is that of the request frame, without its length field.
	SizeBytes int
	// Received is Env.Monotonic() when the request's last byte was read.
	Received time.Duration
	// Reply takes the response body. The server has already written the response header; a handler only appends.
	Reply *wire.Encoder
	// Err is why, when the outcome is Hangup: one line for the log, for the operator.
	Err error

	// Acting is true from when the request is decoded until its reply is being encoded: the handler may hold locks then, or have
	// changed half of something. A panic outside that time is the request's alone.
	Acting bool

	// Trace, where the server has set it, is filled by decode and reply.
	Trace *Trace
	// MuteMs is for how many milliseconds the connection must not be listened to from when the handler, or Finish, has returned
	// (KIP-219); the server takes it, and sets it to 0.
	MuteMs int32
	meter  meter

	// Waker is set by the server. See Wake.
	Waker func(*Request)
	// Pending is set by the handler that returns Parked.
	Pending Pending
}

// Outcome is what a handler did with its request.
type Outcome uint8

const (
	// Replied: Reply holds the whole response body.
	Replied Outcome = iota
	// Parked: Pending is set and will be woken exactly once by Request.Wake; the reply is encoded by Pending.Finish then.
	Parked
	// Silent: the request gets no reply (Produce with acks=0).
	Silent
	// Hangup: the connection closes after the replies before this one, as Kafka does where no error code exists. Err says why.
	Hangup
)

// Pending is a request that waits for a watermark, a commit or a timer.
type Pending interface {
	// Finish encodes the response. It runs once, after Wake, on the writer goroutine of the request's connection, when
	// all earlier replies of the connection are ready. It may read files; it must not wait.
	Finish(r *Request) Outcome
	// Cancel tells that the connection is gone: nobody will read the reply. Wake may still be called, and does nothing.
	Cancel()
}

// Wake marks a parked request as ready to be finished. It may be called from any goroutine, also before the handler that
// parks the request has returned, but exactly once; it never blocks and never touches a socket.
func (r *Request) Wake() { r.Waker(r) }

// FileRegion is a wire.Region whose bytes lie in a file. The server sends it after the encoder's bytes before it and
// calls Release once, whether or not it was sent.
type FileRegion interface {
	wire.Region
	// Source is where to read Size() bytes from. The file stays readable until Release, whatever retention or roll do meanwhile.
	Source() (file io.ReaderAt, offset int64)
	Release()
}

// Handler serves one request type.
type Handler func(*Request) Outcome

// Entry is one line of the dispatch table.
type Entry struct {
	Key int16
	// Min and Max are the versions that are decoded and served; AdvertisedMin is what ApiVersions says (lower only for
	// Produce: KAFKA-18659). A request outside Min..Max closes the connection, except ApiVersions.
	Min, Max, AdvertisedMin int16
	// BodyMax is the largest request frame accepted, in bytes.
	BodyMax int32
	Handle  Handler
}
