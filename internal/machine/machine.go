// Package machine runs replicated state machines: decide → append → apply → reply on commit.
//
// A Machine is pure: a command looks at its state and says which records would change it; applying those records is the
// only way it changes. The Runtime owns one Machine and the Log of the partition that holds its records:
//
//	commands ──▶ decide (records + reply) ──▶ apply ──▶ one batch ──▶ append ──▶ commit ──▶ publish ──▶ replies
//
// Commands that arrive while a batch is being committed share the next one. Every reply, also of a command that only
// read, waits until all that the machine had appended before is committed: nobody is told what a crash could undo.
// If an append or a commit fails, the machine is dropped, every waiting reply gets the error, and the next command finds
// a machine loaded anew from the log. Such a command may or may not have happened, as after any lost reply.
//
// A Timed machine has timers beside its records, and may answer a command later than it decided it (SubmitLater): a member
// that joins a group hears of it when the others have joined too. Such a reply waits for commits as every other.
//
// The package owns that order and nothing else. It must never know what the records mean, open a file, or read a clock
// other than its Env's. Package ottla starts a Runtime with a machine of machine/*, and with a Log and a SnapshotStore
// over storage (later replication, quorum). The log and its snapshots survive a crash; Load rebuilds the rest:
//
//	replay(log) == live state, after every committed batch
package machine

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
)

// Record is one record of a machine's log.
type Record struct {
	Key, Value []byte // nil is null
	// Offset and TimestampMs are the Runtime's to fill; Machine.Apply may read them.
	Offset      ids.Offset
	TimestampMs int64
	// Transaction is set on replay only: no machine appends transactions yet.
	Transaction Transaction
}

// Transaction is what a record has to do with a producer's transaction (KIP-98). The zero value is nothing.
type Transaction struct {
	Producer ids.ProducerID
	// State of a record with a key or a value is TransactionOpen: it counts when a marker of the same producer says so. A
	// marker has neither key nor value.
	State TransactionState
}

// TransactionState is what a record says about its transaction.
type TransactionState int8

// The states.
const (
	NoTransaction TransactionState = iota
	TransactionOpen
	TransactionCommitted // all records of the producer since its last marker count
	TransactionAborted   // they never will
)

// Machine is a state and the records that change it.
type Machine interface {
	// Apply changes the state by records that were appended, or are about to be: those of one batch on replay, of one
	// command's part of a batch live. end is the offset after them, epoch their leader epoch. Without records it says that
	// the log went on without changing anything. What it keeps of keys and values it must copy. An error means that the
	// log cannot have come from this machine (a damaged log, or one of a newer version).
	Apply(records []Record, end ids.Offset, epoch ids.LeaderEpoch) error
}

// Snapshotter is a Machine whose state can be stored, so that its log need not be replayed from the start.
type Snapshotter interface {
	Machine
	// Snapshot returns a function that writes the present state, which may run while the state goes on changing. It
	// returns nil if the state cannot be stored just now.
	Snapshot() func(w io.Writer) error
	// Restore replaces a new machine's state by one that a snapshot holds.
	Restore(r io.Reader, id SnapshotID) error
}

// SnapshotID names a snapshot: it holds the effect of all records below End, the last of which has leader epoch Epoch.
type SnapshotID struct {
	End   ids.Offset
	Epoch ids.LeaderEpoch
}

// FileName is Kafka's name of the snapshot's file.
func (id SnapshotID) FileName() string {
	return fmt.Sprintf("%020d-%010d.checkpoint", id.End, id.Epoch)
}

// ParseSnapshotName reads Kafka's name of a snapshot's file; ok is false for other names.
func ParseSnapshotName(name string) (id SnapshotID, ok bool) {
	n, err := fmt.Sscanf(name, "%020d-%010d.checkpoint", &id.End, &id.Epoch)
	return id, err == nil && n == 2 && id.End >= 0 && id.Epoch >= 0 && id.FileName() == name
}

// SnapshotStore keeps snapshots beside a log. It is called by one goroutine at a time.
type SnapshotStore interface {
	// List names the snapshots that are whole, newest first.
	List() ([]SnapshotID, error)
	// Open reads one.
	Open(id SnapshotID) (io.ReadCloser, error)
	// Create stores what write writes: whole and durable, or not at all. It may delete all but the newest few.
	Create(id SnapshotID, write func(w io.Writer) error) error
}

// Timed is a Machine that also has volatile state, with timers: sessions, members that wait for each other. Such state is
// not in the log: commands and Tick may change it directly, and a load finds it as Loaded makes it.
type Timed interface {
	Machine
	// Loaded is called after each load, before the first command: it starts the timers of what the log says.
	Loaded(at Moment)
	// Due is the monotonic time (Moment.Monotonic) of the earliest timer; ok is false if there is none.
	Due() (due time.Duration, ok bool)
	// Tick does what is due, as a command that nobody sent: it returns the records that change the durable state. A timer
	// that it leaves due runs in the next round, so a long task may be cut into slices.
	Tick(at Moment) []Record
}

// Log is what a Runtime needs of the partition that holds its records. Only the Runtime appends to it.
type Log interface {
	// Append adds one batch at the end, with base offset and epoch patched in place. An error means that the batch is
	// not in the log, or that the log is lost and every later call says so. A stale epoch is ErrStaleEpoch.
	Append(batch record.Batch, epoch ids.LeaderEpoch) (base ids.Offset, err error)
	// Read returns batches, the first of which contains from or is the next above it. The first one is whole; the last
	// one may be cut off. It is called for start ≤ from < end only. The bytes are valid until the next call.
	Read(from ids.Offset) ([]byte, error)
	// Bounds are the offsets of the first record and after the last one.
	Bounds() (start, end ids.Offset)
	// Committed is the offset below which nothing can be undone, by a crash or another leader. An error means that what
	// lies at or above it may never commit: the log failed, closed, or lost its epoch.
	Committed() (ids.Offset, error)
	// OnCommitted sets the function to call, holding no lock, whenever the answer of Committed changed.
	OnCommitted(changed func())
}

// Refuser is a Log that may know that it would refuse an append: its disk is full, its epoch is over. Commands then end with that error before
// they are decided, and timers wait, so that the machine need not be loaded anew for each of them.
type Refuser interface {
	Ready() error
}

// Errors that a command can end with, beside those of the Log.
var (
	ErrBusy       = errors.New("too many commands wait")                    // the queue is full; nothing happened
	ErrClosed     = errors.New("the machine is closed")                     // nothing happened
	ErrStaleEpoch = errors.New("another leader has taken over the log")     // returned by Logs
	ErrUnreadable = errors.New("the log cannot be loaded into the machine") // damaged, of a newer version, or cut below its snapshots
)

// Moment is when and where a command is decided.
type Moment struct {
	NowMs     int64         // the wall clock, which may jump: for what the log keeps
	Monotonic time.Duration // since the process started: for timers
	// Next is the offset that the command's first record will have.
	Next ids.Offset
}
