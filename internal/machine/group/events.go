package group

import (
	"time"

	"github.com/ottla-io/ottla/internal/machine"
)

// Events tells what happens to groups. Nil functions are not called; none may block.
type Events struct {
	// Rebalanced is called when a group has settled again: every member has its assignment, or there is none left.
	Rebalanced func(Rebalance)
}

// Rebalance is why and how long the members of a group had to stop.
type Rebalance struct {
	Group      string
	Generation int32 // that began
	Members    int
	Reason     string // what started it
	// Joined, Left and TimedOut are members that came and went since the generation before, the first hundred of each.
	Joined, Left, TimedOut []string
	Paused                 time.Duration
}

// maxNoted bounds the members that a Rebalance names.
const maxNoted = 100

func (c *classic) note(list *[]string, one *member) {
	if len(*list) < maxNoted {
		*list = append(*list, one.id)
	}
}

// settled ends a rebalance.
func (m *Machine) settled(at machine.Moment, c *classic) {
	r := c.rebalance
	c.rebalance = Rebalance{}
	r.Group, r.Generation, r.Members, r.Paused = c.group.id, c.generation, len(c.members), at.Monotonic-c.paused
	m.totals.Rebalances++
	m.totals.Paused += r.Paused
	if m.cfg.Events.Rebalanced != nil {
		m.cfg.Events.Rebalanced(r)
	}
}

// Totals count since the machine was loaded.
type Totals struct {
	Rebalances int
	Paused     time.Duration // of all rebalances
	Commits    int           // of offsets, one per partition
	Expired    int           // offsets that nobody needed any more
}

// Stats are the groups now.
type Stats struct {
	Totals
	Groups  map[string]int // by state, in Kafka's words
	Members int
	Offsets int
}

// Stats counts.
func (m *Machine) Stats() Stats {
	s := Stats{Totals: m.totals, Groups: make(map[string]int)}
	for _, g := range m.groups {
		s.Groups[g.state()]++
		s.Members += g.memberCount()
		s.Offsets += g.offsetCount()
	}
	return s
}
