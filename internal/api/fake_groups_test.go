package api

import (
	"sync"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

// fakeGroups coordinates groups with the real machine, and a log that commits at once, or when the test says so. Groups whose name begins
// with "x" have a coordinator of their own, those of refused none.
type fakeGroups struct {
	at      map[string]ids.BrokerID // Coordinator's; others are not available
	refused map[string]wire.ErrorCode
	loading wire.ErrorCode // All's
	here, x *fakeCoordinator
}

func newFakeGroups(env run.Env, cluster *fakeCluster) *fakeGroups {
	f := &fakeGroups{refused: map[string]wire.ErrorCode{}}
	for _, c := range []**fakeCoordinator{&f.here, &f.x} {
		*c = &fakeCoordinator{env: env, machine: group.New(group.Config{Random: env.Random, Image: cluster.Image, Settings: func() group.Settings {
			s := group.DefaultSettings()
			s.InitialRebalanceDelayMs = 0
			return s
		}})}
	}
	return f
}

func (f *fakeGroups) Coordinator(name string) (ids.BrokerID, wire.ErrorCode) {
	if id, ok := f.at[name]; ok {
		return id, wire.ErrorNone
	}
	return ids.NoBroker, wire.ErrorCoordinatorNotAvailable
}

func (f *fakeGroups) For(name string) (GroupCoordinator, wire.ErrorCode) {
	if code, ok := f.refused[name]; ok {
		return nil, code
	}
	if name != "" && name[0] == 'x' {
		return f.x, wire.ErrorNone
	}
	return f.here, wire.ErrorNone
}

func (f *fakeGroups) All() ([]GroupCoordinator, wire.ErrorCode) {
	return []GroupCoordinator{f.here, f.x}, f.loading
}

// fakeCoordinator runs commands when they come. With hold it keeps the ends of commands until release.
type fakeCoordinator struct {
	env     run.Env
	machine *group.Machine

	mu    sync.Mutex
	hold  bool
	fail  error // of every command, which does not happen
	held  []func()
	next  ids.Offset
	asked int // commands
}

func (c *fakeCoordinator) moment() machine.Moment {
	return machine.Moment{NowMs: c.env.Now().UnixMilli(), Monotonic: c.env.Monotonic(), Next: c.next}
}

func (c *fakeCoordinator) apply(records []machine.Record) {
	c.next += ids.Offset(len(records))
	if err := c.machine.Apply(records, c.next, 0); err != nil {
		panic(err)
	}
}

func (c *fakeCoordinator) end(done func()) {
	c.mu.Lock()
	if c.hold {
		c.held = append(c.held, done)
		done = func() {}
	}
	c.mu.Unlock()
	done()
}

// release ends what was held.
func (c *fakeCoordinator) release() {
	c.mu.Lock()
	held := c.held
	c.held, c.hold = nil, false
	c.mu.Unlock()
	for _, done := range held {
		done()
	}
}

func (c *fakeCoordinator) Submit(decide func(*group.Machine, machine.Moment) []machine.Record, done func(error)) {
	c.asked++
	if c.fail != nil {
		done(c.fail)
		return
	}
	c.apply(decide(c.machine, c.moment()))
	c.end(func() { done(nil) })
}

func (c *fakeCoordinator) SubmitLater(decide func(*group.Machine, machine.Moment, func()) []machine.Record, done func(error)) {
	c.asked++
	if c.fail != nil {
		done(c.fail)
		return
	}
	var answered []func()
	deciding := true
	records := decide(c.machine, c.moment(), func() {
		end := func() { c.end(func() { done(nil) }) }
		if deciding {
			answered = append(answered, end)
			return
		}
		end()
	})
	deciding = false
	c.apply(records)
	for _, end := range answered {
		end()
	}
}

// tick runs the machine's timers that are due.
func (c *fakeCoordinator) tick() { c.apply(c.machine.Tick(c.moment())) }
