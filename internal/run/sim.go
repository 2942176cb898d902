package run

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// simStart is the wall clock when a simulation begins.
var simStart = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// Sim is an Env in which one goroutine runs at a time. The others wait for their turn; who is next is drawn from a seed, so
// that the same program with the same seed runs in the same order, and other seeds explore other orders.
//
// The turn passes on only where a goroutine waits on a Signal, ends or calls Yield. Time stands still while anybody can
// run and then jumps to the next timer. All methods but Run must be called from within Run, or before it by who calls it.
//
// A Sim is one machine with one process. Process adds more, each with its own clock error, that can be killed one by one.
type Sim struct {
	*Process
	seed     uint64
	schedule *rand.Rand
	content  *rand.ChaCha8 // what Random gives, apart from the schedule
	now      time.Duration
	timers   timerQueue
	lastSeq  uint64
	trace    uint64

	tasks    []*task // alive, in the order of their start
	ready    []*task
	current  *task
	main     *task
	stopping bool
	failure  error // a panic or a deadlock, which ends the run
}

// Process is a part of a simulation that dies as one.
type Process struct {
	sim  *Sim
	name string
	skew time.Duration
	dead bool
}

// task is one simulated goroutine.
type task struct {
	id      uint64
	name    string
	process *Process
	turn    chan struct{} // a token comes through here when it is this task's turn
	waits   *simSignal    // what it is parked on
	woken   bool          // the signal was set, as opposed to the limit reached
	limit   *simTimer     // of WaitFor
	killed  bool
}

// NewSim makes a simulation whose every decision follows from seed.
func NewSim(seed uint64) *Sim {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	s := &Sim{seed: seed, schedule: rand.New(rand.NewPCG(seed, 0x5eed)), content: rand.NewChaCha8(key), trace: 14695981039346656037}
	s.Process = s.NewProcess("sim")
	return s
}

// NewProcess adds a process. Its goroutines, timers and clock are its own.
func (s *Sim) NewProcess(name string) *Process { return &Process{sim: s, name: name} }

// Run calls main as the first goroutine and returns when main does. What still runs then is ended at the place where it waits,
// deferred calls included. A panic in any goroutine, and a deadlock (all wait, no timer pends), panic out of Run with the
// seed and the names.
func (s *Sim) Run(main func()) {
	if s.main != nil {
		panic("run: a Sim runs once")
	}
	s.main = s.newTask("main", s.Process)
	s.current = s.main
	defer func() {
		s.stop()
		if s.failure != nil {
			_ = recover() // the same failure, which took main out of its wait
			panic(s.failure)
		}
	}()
	main()
}

// Trace is a hash of all scheduling decisions so far. Two runs that differ in it took different ways.
func (s *Sim) Trace() uint64 { return s.trace }

// Yield lets another goroutine run, if one can.
func (s *Sim) Yield() {
	s.checkRunning("Yield")
	t := s.current
	if t.killed {
		runtime.Goexit()
	}
	s.ready = append(s.ready, t)
	s.switchFrom(t)
}

// Names lists the goroutines that are alive, in the order of their start, with what they do.
func (s *Sim) Names() []string {
	names := make([]string, len(s.tasks))
	for i, t := range s.tasks {
		names[i] = t.String()
	}
	return names
}

func (t *task) String() string {
	state := "ready"
	if t.waits != nil {
		state = "waits for a signal"
		if t.limit != nil {
			state = "waits for a signal or a timer"
		}
	}
	return fmt.Sprintf("%s/%s#%d (%s)", t.process.name, t.name, t.id, state)
}

// Kill ends the process as kill -9 does: its goroutines go on no further than where they wait, its timers never run. Their deferred calls
// do run, one goroutine after the other, when their turn comes. A goroutine that kills its own process ends at its next wait.
func (p *Process) Kill() {
	if p.dead {
		return
	}
	p.dead = true
	for _, t := range p.sim.tasks {
		if t.process == p && t != p.sim.main {
			p.sim.kill(t)
		}
	}
}

// kill marks a task to end when it next gets the turn, and makes that possible.
func (s *Sim) kill(t *task) {
	if t.killed {
		return
	}
	t.killed = true
	if t.waits != nil {
		t.waits.waiters = slices.DeleteFunc(t.waits.waiters, func(w *task) bool { return w == t })
		s.wake(t, false)
	}
}

// Dead reports whether the process was killed.
func (p *Process) Dead() bool { return p.dead }

// SkewClock moves the wall clock of the process by d, from what it is. Monotonic and timers don't notice.
func (p *Process) SkewClock(d time.Duration) { p.skew += d }

// Now implements Env.
func (p *Process) Now() time.Time { return simStart.Add(p.sim.now + p.skew) }

// Monotonic implements Env.
func (p *Process) Monotonic() time.Duration { return p.sim.now }

// Random implements Env.
func (p *Process) Random(b []byte) { _, _ = p.sim.content.Read(b) }

// Go implements Env. In a killed process it does nothing.
func (p *Process) Go(name string, fn func()) {
	if p.dead || p.sim.stopping {
		return
	}
	s := p.sim
	t := s.newTask(name, p)
	s.ready = append(s.ready, t)
	go s.runTask(t, fn)
}

// AfterFunc implements Env.
func (p *Process) AfterFunc(d time.Duration, name string, fn func()) Timer {
	timer := &simTimer{process: p, fire: func() { p.Go(name, fn) }, index: -1}
	timer.Reset(d)
	return timer
}

// NewSignal implements Env.
func (p *Process) NewSignal() Signal { return &simSignal{sim: p.sim} }

func (s *Sim) newTask(name string, p *Process) *task {
	s.lastSeq++
	t := &task{id: s.lastSeq, name: name, process: p, turn: make(chan struct{}, 1)}
	s.tasks = append(s.tasks, t)
	return t
}

// runTask is the life of every goroutine but main.
func (s *Sim) runTask(t *task, fn func()) {
	<-t.turn
	defer func() {
		if cause := recover(); cause != nil {
			s.fail(fmt.Errorf("run: seed %d: goroutine %q panicked: %v\n%s", s.seed, t.name, cause, debug.Stack()))
		}
		s.tasks = slices.DeleteFunc(s.tasks, func(other *task) bool { return other == t })
		s.next().turn <- struct{}{}
	}()
	if !t.killed {
		fn()
	}
}

// fail keeps the first failure. From then on the turn goes to main, which panics with it.
func (s *Sim) fail(err error) {
	if s.failure == nil {
		s.failure = err
	}
}

// stop ends all goroutines but main, on main's goroutine, one by one.
func (s *Sim) stop() {
	s.stopping = true
	for len(s.tasks) > 1 {
		t := s.tasks[len(s.tasks)-1]
		if t == s.main {
			t = s.tasks[0]
		}
		s.kill(t)
		s.current = t
		t.turn <- struct{}{}
		<-s.main.turn
	}
	s.timers, s.ready, s.current = nil, nil, nil
}

// switchFrom gives the turn to whoever is drawn and returns when it is t's again. For one that was killed it does not return.
func (s *Sim) switchFrom(t *task) {
	if next := s.next(); next != t {
		next.turn <- struct{}{}
		<-t.turn
	}
	if t == s.main && s.failure != nil {
		panic(s.failure)
	}
	if t.killed {
		runtime.Goexit()
	}
}

// next draws who runs next and makes it current. Time goes on only while nobody can run.
func (s *Sim) next() *task {
	if !s.stopping {
		s.fireTimers()
	}
	for len(s.ready) == 0 && s.failure == nil && !s.stopping {
		if len(s.timers) == 0 {
			s.fail(fmt.Errorf("run: seed %d: deadlock at %v: %s", s.seed, s.now, strings.Join(s.Names(), ", ")))
			break
		}
		s.now = s.timers[0].when
		s.fireTimers()
	}
	if s.stopping || s.failure != nil {
		s.current = s.main
		return s.main
	}
	i := s.schedule.IntN(len(s.ready))
	chosen := s.ready[i]
	s.ready = slices.Delete(s.ready, i, i+1)
	s.current = chosen
	s.trace = (s.trace ^ chosen.id) * 1099511628211
	s.trace = (s.trace ^ uint64(s.now)) * 1099511628211
	return chosen
}

// fireTimers makes all that is due ready, so that the draw decides the order of what falls on one instant.
func (s *Sim) fireTimers() {
	for len(s.timers) > 0 && s.timers[0].when <= s.now {
		timer := heap.Pop(&s.timers).(*simTimer)
		timer.fire()
	}
}

// wake makes a parked task ready.
func (s *Sim) wake(t *task, set bool) {
	t.waits, t.woken = nil, set
	if t.limit != nil {
		t.limit.Stop()
		t.limit = nil
	}
	s.ready = append(s.ready, t)
}

// simSignal is a Signal of a simulation.
type simSignal struct {
	sim     *Sim
	set     bool
	waiters []*task
}

func (g *simSignal) Set() {
	if len(g.waiters) == 0 {
		g.set = true
		return
	}
	i := g.sim.schedule.IntN(len(g.waiters))
	t := g.waiters[i]
	g.waiters = slices.Delete(g.waiters, i, i+1)
	g.sim.wake(t, true)
}

func (g *simSignal) Wait() { g.wait(-1) }

func (g *simSignal) WaitFor(d time.Duration) bool { return g.wait(max(d, 0)) }

// wait is where the turn passes on, also if the signal is set already. A negative limit is none.
func (g *simSignal) wait(limit time.Duration) bool {
	s := g.sim
	s.checkRunning("Wait")
	t := s.current
	if g.set || limit == 0 {
		set := g.set
		g.set = false
		s.Yield()
		return set
	}
	if t.killed {
		runtime.Goexit()
	}
	g.waiters = append(g.waiters, t)
	t.waits = g
	if limit > 0 {
		t.limit = &simTimer{process: t.process, index: -1, fire: func() {
			g.waiters = slices.DeleteFunc(g.waiters, func(w *task) bool { return w == t })
			s.wake(t, false)
		}}
		t.limit.Reset(limit)
	}
	s.switchFrom(t)
	return t.woken
}

// simTimer is a Timer of a simulation; index is its place in the queue, -1 if it is not pending.
type simTimer struct {
	process *Process
	when    time.Duration
	seq     uint64
	fire    func()
	index   int
}

func (t *simTimer) Stop() bool {
	if t.index < 0 {
		return false
	}
	heap.Remove(&t.process.sim.timers, t.index)
	return true
}

func (t *simTimer) Reset(d time.Duration) {
	t.Stop()
	s := t.process.sim
	s.lastSeq++
	t.when, t.seq = s.now+max(d, 0), s.lastSeq
	heap.Push(&s.timers, t)
}

// timerQueue is a heap, the next due first; of those due together, the one set first.
type timerQueue []*simTimer

func (q timerQueue) Len() int { return len(q) }
func (q timerQueue) Less(i, j int) bool {
	return q[i].when < q[j].when || q[i].when == q[j].when && q[i].seq < q[j].seq
}
func (q timerQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *timerQueue) Push(x any) {
	t := x.(*simTimer)
	t.index = len(*q)
	*q = append(*q, t)
}
func (q *timerQueue) Pop() any {
	old := *q
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	t.index = -1
	return t
}

// checkRunning finds calls from outside the simulation, which would corrupt it.
func (s *Sim) checkRunning(what string) {
	if s.current == nil {
		panic("run: " + what + " outside Sim.Run")
	}
}
