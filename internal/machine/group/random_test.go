package group

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	memberText = regexp.MustCompile(`member="?([a-z]+-\d+)`)
	epochText  = regexp.MustCompile(`^[^ ]+: epoch=(-?\d+)`)
)

// scripter writes random scripts in the language of the scenarios, about a few groups, and members that it has heard of.
type scripter struct {
	rng     *rand.Rand
	members []string
	epochs  map[string]string // of members of consumer groups, as they were last told
}

func (s *scripter) pick(of ...string) string { return of[s.rng.IntN(len(of))] }

func (s *scripter) group() string { return s.pick("g", "g", "h", "k") }

// member is one that exists or existed; rarely one that never did.
func (s *scripter) member() string {
	if len(s.members) == 0 || s.rng.IntN(20) == 0 {
		return "x-999"
	}
	recent := s.members[max(0, len(s.members)-12):]
	return recent[s.rng.IntN(len(recent))]
}

func (s *scripter) line() string {
	g, id := s.group(), s.member()
	static := ""
	if name, _, _ := strings.Cut(id, "-"); name == "sa" || name == "sb" {
		static = " static=" + name
	}
	generation := 1 + s.rng.IntN(4)
	switch n := s.rng.IntN(100); {
	case n < 22 && s.epochs != nil:
		return s.beat(g)
	case n < 12:
		return fmt.Sprintf("join %s v=%s client=%s%s session=%s rebalance=%s protocols=%s", g, s.pick("0", "3", "3", "5", "9"), s.pick("c", "d", "e"),
			s.pick("", "", "", " static=sa", " static=sb"), s.pick("6000", "10000", "30000"), s.pick("5000", "20000", "60000"), s.protocols())
	case n < 35:
		return fmt.Sprintf("join %s v=9 id=%s%s protocols=%s", g, id, static, s.protocols())
	case n < 50:
		return fmt.Sprintf("sync %s id=%s%s generation=%d assign=%s:%d,%s:y", g, id, static, generation, id, s.rng.IntN(9), s.member())
	case n < 60:
		return fmt.Sprintf("heartbeat %s id=%s%s generation=%d", g, id, static, generation)
	case n < 66:
		return fmt.Sprintf("leave %s %s%s", g, id, s.pick("", "", " /sa", " sb-1/sb"))
	case n < 74:
		return fmt.Sprintf("commit %s id=%s%s generation=%d t:%d:%d u:0:%d", g, id, static, generation, s.rng.IntN(3), s.rng.IntN(100), s.rng.IntN(100))
	case n < 78:
		return fmt.Sprintf("commit %s t:%d:%d reset=%s retention=%s", g, s.rng.IntN(3), s.rng.IntN(100), s.pick("yes", "no"), s.pick("-1", "-1", "1000", "86400000"))
	case n < 80:
		return "forget " + g + " " + s.pick("t:0", "t:1", "u:0")
	case n < 82:
		return "delete " + g
	case n < 84:
		return "reload"
	case n < 85:
		return "missing"
	case n < 88:
		return fmt.Sprintf("txn %d %s t:%d:%d t:%d:%d", s.rng.IntN(3), g, s.rng.IntN(3), s.rng.IntN(100), s.rng.IntN(3), s.rng.IntN(100))
	case n < 91:
		return fmt.Sprintf("txn %d end=%s", s.rng.IntN(3), s.pick("commit", "abort"))
	case n < 92:
		return s.pick("set keep=true", "set keep=false", "set maxSize=2", "set maxSize=9", "set delay=0", "set delay=3000")
	}
	return "pass " + s.pick("1ms", "100ms", "1s", "3s", "5s", "7s", "20s", "1m", "6m", "30h", "170h")
}

// beat is a heartbeat of one of a few consumers: mostly the one that it should send next.
func (s *scripter) beat(g string) string {
	id := s.pick("k-1001", "k-1002", "k-1003", "n-1004")
	if s.rng.IntN(5) == 0 {
		id = long(s.member()) // a member of the classic protocol changes sides
	}
	epoch := s.epochs[g+" "+id]
	if epoch == "" || s.rng.IntN(12) == 0 {
		epoch = s.pick("0", "0", "0", "-1", "3")
	}
	line := fmt.Sprintf("beat %s id=%s epoch=%s", g, id, epoch)
	if strings.HasPrefix(id, "n") {
		line += " static=inst" + s.pick("", "", "2")
	}
	if epoch == "0" {
		return line + s.pick("", " topics=t", " topics=t,u", " topics=u", " regex=t.*", " assignor=range", " rebalance=5000") + " owns="
	}
	return line + s.pick("", "", " topics=t", " topics=t,u", " topics=u", " regex=.*") + s.pick("", " owns=t:0", " owns=t:0+1+2", " owns=t:1,u:0", " owns=")
}

// hear learns ids and epochs from what a command said.
func (s *scripter) hear(line string, said []string) {
	text := strings.Join(said, "\n")
	for _, m := range memberText.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(s.members, m[1]) {
			s.members = append(s.members, m[1])
		}
	}
	if a := parseLine(line); s.epochs != nil && a.word(0) == "beat" {
		name := a.word(1) + " " + a.text("id", "")
		delete(s.epochs, name)
		if m := epochText.FindStringSubmatch(text); m != nil {
			s.epochs[name] = m[1]
		}
	}
}

func (s *scripter) protocols() string {
	return s.pick("range:t", "range:t", "range:t,sticky:t", "sticky:t+u,range:t", "range:t+u", "sticky:t", "range:junk")
}

// TestRandomScripts holds invariant 8 after each step of random scripts with time and reloads, what the volatile half must be
// in itself, and that nobody waits for ever.
func TestRandomScripts(t *testing.T) {
	seeds := 120
	if testing.Short() {
		seeds = 30
	}
	generations, told, mixed := 0, 0, 0
	for seed := range seeds {
		s := &scripter{rng: rand.New(rand.NewPCG(uint64(seed), 1))}
		if seed%2 == 1 {
			s.epochs = make(map[string]string) // consumers of both protocols
		}
		l := newLive(t)
		script := []string{"topic t partitions=3", "topic u"}
		fail := func(err error) {
			t.Fatalf("seed %d: %v\nafter:\n%s", seed, err, strings.Join(script, "\n"))
		}
		for i := range 150 {
			if i >= 2 {
				script = append(script, s.line())
			}
			s.hear(script[i], l.run(script[i]))
			if strings.HasPrefix(script[i], "beat") && strings.Contains(strings.Join(l.trace, "\n"), ": epoch=") {
				told++
			}
			if g := l.m.groups["g"]; g != nil && g.consumer != nil && g.consumer.classics > 0 {
				mixed++
			}
			if err := l.check(); err != nil {
				fail(err)
			}
			if err := l.consistent(); err != nil {
				fail(err)
			}
		}
		script = append(script, "pass 1h")
		l.run("pass 1h") // longer than any timeout
		if l.waiting != 0 {
			fail(fmt.Errorf("%d replies are still waited for", l.waiting))
		}
		if err := l.consistent(); err != nil {
			fail(err)
		}
		generations += l.m.totals.Rebalances
	}
	if generations < seeds || told < seeds || mixed < seeds {
		t.Errorf("in %d scripts only %d rebalances, %d good heartbeats of consumers, %d steps of groups with both protocols: they test little",
			seeds, generations, told, mixed)
	}
	t.Logf("%d rebalances, %d good heartbeats of consumers, %d steps of groups with both protocols", generations, told, mixed)
}

// consistent holds what the volatile half of each group must be at rest.
func (l *live) consistent() error {
	for _, g := range l.m.sorted() {
		if g.stored == nil && g.consumer == nil && len(g.live.members) == 0 && len(g.offsets) == 0 && len(g.unstable) == 0 && g.classic.forgettable() {
			return fmt.Errorf("%s has nothing and exists", g.id)
		}
		if g.consumer != nil {
			if err := g.consumer.consistent(g); err != nil {
				return fmt.Errorf("%s in %s: %w", g.id, g.state(), err)
			}
		}
		if g.classic == nil {
			continue
		}
		if err := g.classic.consistent(); err != nil {
			return fmt.Errorf("%s in %s: %w", g.id, g.classic.state, err)
		}
	}
	return nil
}

func (c *classic) consistent() error {
	joining, statics := 0, 0
	knowing := make(map[string]int)
	size := 0
	for _, one := range c.members {
		size += one.size()
		if one.join != nil {
			joining++
		}
		if one.instanceID.Valid {
			statics++
			if c.byStatic[one.instanceID.Value] != one {
				return fmt.Errorf("static member %s is not found by its name", one.id)
			}
		}
		if c.byID[one.id] != one {
			return fmt.Errorf("member %s is not found", one.id)
		}
		for _, p := range one.protocols {
			knowing[p.Name]++
		}
		waits := one.join != nil || one.sync != nil
		if !waits && one.session.index == 0 {
			return fmt.Errorf("member %s has no session", one.id)
		}
		if one.join != nil && c.state != preparingRebalance || one.sync != nil && c.state != completingRebalance {
			return fmt.Errorf("member %s waits", one.id)
		}
		if c.unsynced[one.id] && c.state != completingRebalance && c.state != stable {
			return fmt.Errorf("member %s is to sync", one.id)
		}
	}
	for id := range c.unsynced {
		if c.byID[id] == nil {
			return fmt.Errorf("%s is to sync and no member", id)
		}
	}
	switch {
	case size != c.bytes:
		return fmt.Errorf("counts %d bytes, has %d", c.bytes, size)
	case joining != c.joining, len(c.byID) != len(c.members), len(c.byStatic) != statics, fmt.Sprint(knowing) != fmt.Sprint(c.knowing):
		return fmt.Errorf("counts: joining %d, should be %d; %d ids of %d; %d static of %d; protocols %v, should be %v",
			c.joining, joining, len(c.byID), len(c.members), len(c.byStatic), statics, c.knowing, knowing)
	case (c.leader == "") != (len(c.members) == 0), c.leader != "" && c.byID[c.leader] == nil:
		return fmt.Errorf("leader %q of %d", c.leader, len(c.members))
	case (c.state == preparingRebalance) != (c.joinTimer.index > 0):
		return fmt.Errorf("the join timer is at %d", c.joinTimer.index)
	case (len(c.unsynced) > 0) != (c.syncTimer.index > 0), c.state == completingRebalance && !c.unsynced[c.leader]:
		return fmt.Errorf("the sync timer is at %d, unsynced %v", c.syncTimer.index, c.unsynced)
	case c.state == empty && len(c.members) > 0, c.state == stable && len(c.members) == 0:
		return fmt.Errorf("%d members", len(c.members))
	}
	return nil
}

// TestThousandJoin: 1,000 members that come at once, and 1,000 that come together to a group of one, settle in one generation
// each; a thousand that vanish cost one more.
func TestThousandJoin(t *testing.T) {
	l := newLive(t)
	l.run("topic t partitions=1000")
	joined := make(map[string]string) // member: generation
	hear := func(said []string) {
		for _, s := range said {
			if _, rest, ok := strings.Cut(s, "generation="); ok && strings.HasPrefix(s, "join g") {
				generation, rest, _ := strings.Cut(rest, " member=")
				id, _, _ := strings.Cut(rest, " ")
				joined[id] = generation
			}
		}
	}
	for range 1000 {
		l.run("join g v=9 session=30000")
	}
	for i := range 1000 {
		l.run(fmt.Sprintf("join g v=9 session=30000 id=c-%d", i+1))
		if i%100 == 99 {
			hear(l.run("pass 200ms"))
		}
	}
	hear(l.run("pass 10s"))
	if len(joined) != 1000 {
		t.Fatalf("%d of 1000 have joined", len(joined))
	}
	for id, generation := range joined {
		if generation != "1" {
			t.Fatalf("%s is in generation %s", id, generation)
		}
	}
	l.run("sync g id=c-1")
	if got := l.m.Stats(); got.Rebalances != 1 || got.Members != 1000 {
		t.Fatalf("after the first: %+v", got)
	}
	for i := 1; i < 1000; i++ {
		l.run(fmt.Sprintf("sync g id=c-%d", i+1))
	}
	// Half of them vanish; the others hear of it and join again.
	for range 4 {
		l.run("pass 10s")
		for i := range 500 {
			l.run(fmt.Sprintf("heartbeat g id=c-%d", i+1))
		}
	}
	clear(joined)
	for i := range 500 {
		hear(l.run(fmt.Sprintf("join g v=9 session=30000 id=c-%d", i+1)))
	}
	if len(joined) != 500 || joined["c-500"] != "2" {
		t.Fatalf("%d of 500 have joined again: %v %+v", len(joined), joined["c-500"], l.m.Stats())
	}
	if err := l.check(); err != nil {
		t.Fatal(err)
	}
}
