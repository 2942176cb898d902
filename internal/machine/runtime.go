package machine

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/record"
	"github.com/ottla-io/ottla/internal/run"
)

// Defaults of Config.
const (
	DefaultQueueLimit         = 4096
	DefaultBatchBytes         = 1 << 20
	DefaultSnapshotBytes      = 20 << 20
	DefaultSnapshotCloseBytes = 64 << 10
)

// retryDelay is how long a Timed machine that was dropped, could not be loaded, or whose log refuses, waits before its timers try again, unless
// a command comes before.
const retryDelay = time.Second

// Config is what a Runtime is made of.
type Config[M Machine] struct {
	Name  string // in goroutine names and errors, such as __cluster_metadata-0
	Env   run.Env
	Log   Log
	Epoch ids.LeaderEpoch // that we append with
	New   func() M        // an empty machine

	// Committed, if set, is called with the machine whenever its state is committed and may have changed, before the
	// replies leave. It runs on the Runtime's goroutine (once in Start on the caller's): it may read the machine, must
	// not change it, and nothing goes on before it returns.
	Committed func(M)

	// Snapshots, if set, requires that M is a Snapshotter.
	Snapshots          SnapshotStore
	SnapshotBytes      int64 // of log between snapshots; 0 is DefaultSnapshotBytes
	SnapshotMs         int64 // between snapshots, if anything was appended since; 0 is never by time
	SnapshotCloseBytes int64 // of log since the last snapshot for which Close writes one; 0 is DefaultSnapshotCloseBytes

	QueueLimit int // commands waiting; 0 is DefaultQueueLimit
	BatchBytes int // of records after which no further command joins a batch; 0 is DefaultBatchBytes
	Events     Events
}

// Events tells what happens inside a Runtime. Nil functions are not called; none may block. The snapshot events may come
// from another goroutine than the rest.
type Events struct {
	Loaded         func(from SnapshotID, batches int, end ids.Offset) // from is zero without a snapshot
	SnapshotBad    func(id SnapshotID, err error)                     // unreadable: an older one is tried
	SnapshotStored func(id SnapshotID)
	SnapshotFailed func(id SnapshotID, err error) // the next one is tried in time
	Dropped        func(err error)                // an append or a commit failed; the next command loads the machine anew
	Batch          func(commands, records, bytes int)
}

// Runtime runs one machine on one goroutine.
type Runtime[M Machine] struct {
	cfg   Config[M]
	group *run.Group
	work  run.Signal // a command came, or Close
	moved run.Signal // the log's committed offset moved

	mu      sync.Mutex
	queue   []command[M]
	closing bool

	// The rest belongs to the goroutine.
	machine M
	loaded  bool
	end     ids.Offset      // after the last record that the machine holds
	epoch   ids.LeaderEpoch // of that record
	taken   []command[M]    // from the queue, not decided yet
	builder *record.Builder

	timed          bool          // M is a Timed machine
	retryAt        time.Duration // monotonic: before it, no timer of a Timed machine makes a round, and no load
	unset          waiting       // deferred replies that nobody has set
	set            waiting       // those to answer after this round
	tail           int64         // bytes of log since the last snapshot
	lastSnapshotMs int64
	snapshotting   bool // guarded by mu
}

type command[M Machine] struct {
	decide func(m M, at Moment) []Record
	done   func(err error)
}

// Start loads the machine, waits until what it loaded is committed, and begins to take commands. Close must be called.
func Start[M Machine](cfg Config[M]) (*Runtime[M], error) {
	orDefault := func(n *int64, value int64) {
		if *n == 0 {
			*n = value
		}
	}
	orDefault(&cfg.SnapshotBytes, DefaultSnapshotBytes)
	orDefault(&cfg.SnapshotCloseBytes, DefaultSnapshotCloseBytes)
	if cfg.QueueLimit == 0 {
		cfg.QueueLimit = DefaultQueueLimit
	}
	if cfg.BatchBytes == 0 {
		cfg.BatchBytes = DefaultBatchBytes
	}
	r := &Runtime[M]{cfg: cfg, group: run.NewGroup(cfg.Env), work: cfg.Env.NewSignal(), moved: cfg.Env.NewSignal(),
		builder: record.NewBuilder(record.None, record.DefaultLevel), lastSnapshotMs: cfg.Env.Now().UnixMilli()}
	cfg.Log.OnCommitted(r.moved.Set)
	err := r.load()
	if err == nil {
		err = r.awaitCommit()
	}
	if err != nil {
		return nil, fmt.Errorf("start machine of %s: %w", cfg.Name, err)
	}
	_, r.timed = any(r.machine).(Timed)
	r.publish()
	r.group.Go("machine "+cfg.Name, r.loop)
	return r, nil
}

// Submit queues a command. decide runs on the Runtime's goroutine: it may read the machine, must not change or keep it,
// and returns the records that change it (none: a read) and the reply. done gets the reply once it is safe to send, or an
// error; it runs on the Runtime's goroutine, or at once on the caller's if the command is refused, and must not block.
func Submit[M Machine, R any](r *Runtime[M], decide func(m M, at Moment) ([]Record, R), done func(reply R, err error)) {
	var reply R
	r.submit(command[M]{
		decide: func(m M, at Moment) (records []Record) {
			records, reply = decide(m, at)
			return records
		},
		done: func(err error) {
			if err != nil {
				var none R
				reply = none
			}
			done(reply, err)
		},
	})
}

// Submit is the function of that name for callers that keep the reply themselves: decide and done are called as they are, so that a command whose
// functions are made once costs no memory.
func (r *Runtime[M]) Submit(decide func(m M, at Moment) []Record, done func(err error)) {
	r.submit(command[M]{decide, done})
}

// Do is Submit for callers that can wait. It must not be called from the Runtime's goroutine.
func Do[M Machine, R any](r *Runtime[M], decide func(m M, at Moment) ([]Record, R)) (reply R, err error) {
	answered := r.cfg.Env.NewSignal()
	Submit(r, decide, func(got R, failed error) {
		reply, err = got, failed
		answered.Set()
	})
	answered.Wait()
	return reply, err
}

func (r *Runtime[M]) submit(c command[M]) {
	r.mu.Lock()
	var refused error
	switch {
	case r.closing:
		refused = ErrClosed
	case len(r.queue) >= r.cfg.QueueLimit:
		refused = ErrBusy
	default:
		r.queue = append(r.queue, c)
	}
	r.mu.Unlock()
	if refused != nil {
		c.done(fmt.Errorf("%s: %w", r.cfg.Name, refused))
		return
	}
	r.work.Set()
}

// Close finishes the commands that were submitted before it (replies that wait to be set end with ErrClosed), stores a snapshot if that is worth it, and waits. The log
// must stay open until Close returned; commands of a log that never commits or fails hold it up.
func (r *Runtime[M]) Close() {
	r.mu.Lock()
	r.closing = true
	r.mu.Unlock()
	r.work.Set()
	r.group.Close()
}

func (r *Runtime[M]) loop() {
	for {
		r.mu.Lock()
		if len(r.taken) == 0 {
			r.taken, r.queue = r.queue, r.taken[:0]
		}
		closing := r.closing
		r.mu.Unlock()
		switch {
		case len(r.taken) > 0:
			r.round()
		case closing:
			r.unset.end(fmt.Errorf("%s: %w", r.cfg.Name, ErrClosed))
			r.finish()
			return
		default:
			if r.idle() {
				r.round()
			}
		}
	}
}

// idle waits for work, at most until the machine's earliest timer; it reports whether that is due.
func (r *Runtime[M]) idle() (due bool) {
	at, ok := r.retryAt, r.timed
	if r.timed && r.loaded {
		at, ok = any(r.machine).(Timed).Due()
		at = max(at, r.retryAt)
	}
	if !ok {
		r.work.Wait()
		return false
	}
	wait := at - r.cfg.Env.Monotonic()
	return wait <= 0 || !r.work.WaitFor(wait)
}

// round takes what is due and the commands into one batch, commits it and answers them.
func (r *Runtime[M]) round() {
	if err := r.ready(); err != nil {
		r.retryAt = r.cfg.Env.Monotonic() + retryDelay
		r.answer(len(r.taken), err)
		return
	}
	n, batch := r.decide()
	var err error
	if batch != nil {
		err = r.append(batch)
	}
	if err == nil {
		err = r.awaitCommit()
	}
	if err != nil {
		r.drop(err)
	} else {
		if batch != nil {
			r.publish()
		}
		r.snapshotIfDue()
	}
	r.answer(n, err)
	if err != nil {
		r.set.end(err)
		r.unset.end(err)
	}
	r.set.end(nil)
}

// ready tells why no command can be decided now, if so. It loads a machine that was dropped.
func (r *Runtime[M]) ready() error {
	if refuser, ok := r.cfg.Log.(Refuser); ok {
		if err := refuser.Ready(); err != nil {
			return fmt.Errorf("%s: %w", r.cfg.Name, err)
		}
	}
	if r.loaded {
		return nil
	}
	return r.load()
}

// decide runs the timers that are due, then commands until their records fill a batch, applying each one's records before
// the next one looks.
func (r *Runtime[M]) decide() (commands int, batch record.Batch) {
	r.builder.Reset()
	at := r.moment()
	if m, ok := any(r.machine).(Timed); ok {
		if due, ok := m.Due(); ok && due <= at.Monotonic {
			r.take(m.Tick(at), &at)
		}
	}
	for commands < len(r.taken) && r.builder.Size() < r.cfg.BatchBytes {
		records := r.taken[commands].decide(r.machine, at)
		commands++
		r.take(records, &at)
	}
	if r.builder.Count() == 0 {
		return commands, nil
	}
	batch, err := r.builder.Build()
	if err != nil {
		panic("machine: build a batch: " + err.Error()) // uncompressed, and far from 2 GiB
	}
	if r.cfg.Events.Batch != nil {
		r.cfg.Events.Batch(commands, r.builder.Count(), len(batch))
	}
	return commands, batch
}

// take adds a command's records to the batch and applies them.
func (r *Runtime[M]) take(records []Record, at *Moment) {
	if len(records) == 0 {
		return
	}
	for i := range records {
		records[i].Offset, records[i].TimestampMs = at.Next, at.NowMs
		r.builder.Append(at.NowMs, records[i].Key, records[i].Value)
		at.Next++
	}
	if err := r.machine.Apply(records, at.Next, r.cfg.Epoch); err != nil {
		panic(fmt.Sprintf("machine: %s decided on records that it cannot apply: %v", r.cfg.Name, err))
	}
}

func (r *Runtime[M]) moment() Moment {
	return Moment{NowMs: r.cfg.Env.Now().UnixMilli(), Monotonic: r.cfg.Env.Monotonic(), Next: r.end}
}

func (r *Runtime[M]) append(batch record.Batch) error {
	size, count := int64(len(batch)), ids.Offset(batch.LastOffsetDelta())+1
	base, err := r.cfg.Log.Append(batch, r.cfg.Epoch)
	if err != nil {
		return fmt.Errorf("append to %s: %w", r.cfg.Name, err)
	}
	if base != r.end {
		panic(fmt.Sprintf("machine: %s appended at offset %d, expected %d: somebody else appends to this log", r.cfg.Name, base, r.end))
	}
	r.end, r.epoch = base+count, r.cfg.Epoch
	r.tail += size
	return nil
}

// awaitCommit waits until all that the machine holds is committed.
func (r *Runtime[M]) awaitCommit() error {
	for {
		committed, err := r.cfg.Log.Committed()
		if committed >= r.end {
			return nil
		}
		if err != nil {
			return fmt.Errorf("commit offset %d of %s: %w", r.end, r.cfg.Name, err)
		}
		r.moved.Wait()
	}
}

func (r *Runtime[M]) publish() {
	if r.cfg.Committed != nil {
		r.cfg.Committed(r.machine)
	}
}

// drop forgets the machine: it may hold what the log does not.
func (r *Runtime[M]) drop(err error) {
	var none M
	r.machine, r.loaded = none, false
	r.retryAt = r.cfg.Env.Monotonic() + retryDelay
	if r.cfg.Events.Dropped != nil {
		r.cfg.Events.Dropped(err)
	}
}

// answer ends the first n taken commands, in order.
func (r *Runtime[M]) answer(n int, err error) {
	for i := range n {
		r.taken[i].done(err)
	}
	clear(r.taken[:n])
	r.taken = slices.Delete(r.taken, 0, n)
}
