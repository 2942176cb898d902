package run

import (
	"slices"
	"sync"
)

// Group owns the goroutines of one component, so that its Close can wait for them. A goroutine that the component wants
// to end must be told so by other means (a closed connection, a signal and Closing); the Group only refuses new ones
// and waits.
type Group struct {
	env Env

	mu      sync.Mutex
	closing bool
	running map[string]int // goroutines by name
	count   int
	idle    []Signal // one for each Close that waits
}

// NewGroup makes an empty group whose goroutines run in env.
func NewGroup(env Env) *Group {
	return &Group{env: env, running: make(map[string]int)}
}

// Go runs fn on a goroutine called name. It returns false, and runs nothing, once Close has begun.
func (g *Group) Go(name string, fn func()) bool {
	g.mu.Lock()
	if g.closing {
		g.mu.Unlock()
		return false
	}
	g.running[name]++
	g.count++
	g.mu.Unlock()
	g.env.Go(name, func() {
		defer g.leave(name)
		fn()
	})
	return true
}

func (g *Group) leave(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running[name]--
	if g.running[name] == 0 {
		delete(g.running, name)
	}
	g.count--
	if g.count > 0 {
		return
	}
	for _, waiting := range g.idle {
		waiting.Set()
	}
	g.idle = nil
}

// Closing reports whether Close has begun. Loops of the group's goroutines ask it after each wait.
func (g *Group) Closing() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closing
}

// Close refuses new goroutines and waits for the running ones. It may be called more than once and from several
// goroutines, but not from one of the group's own, which would wait for itself.
func (g *Group) Close() {
	g.mu.Lock()
	g.closing = true
	if g.count == 0 {
		g.mu.Unlock()
		return
	}
	done := g.env.NewSignal()
	g.idle = append(g.idle, done)
	g.mu.Unlock()
	done.Wait()
}

// Names lists the goroutines that still run, sorted; one entry for each. It is empty after Close: leak audits print it
// when it is not.
func (g *Group) Names() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	names := make([]string, 0, g.count)
	for name, n := range g.running {
		for range n {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
