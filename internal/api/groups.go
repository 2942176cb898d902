package api

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ottla-io/ottla/internal/machine"
	"github.com/ottla-io/ottla/internal/machine/group"
	"github.com/ottla-io/ottla/internal/wire"
)

// commitWait bounds the wait for a command of a group, as Kafka's offsets.commit.timeout.ms does. What waits for other members waits
// as long as these may take.
const commitWait = 5 * time.Second

// groupCommand is what a request asks of the machine of its group.
type groupCommand func(m *group.Machine, at machine.Moment) []machine.Record

// groupRequest is a request that the coordinators of one or more groups answer: parked until each has.
type groupRequest struct {
	gate
	// answer makes the response of what the parts left.
	answer func() wire.Message
	parts  []groupPart
	ends   []groupEnd // of the parts, guarded by the gate's lock
}

// groupPart is what one coordinator does for a request.
type groupPart struct {
	// decide keeps what it has to say for take: it may run after the request was answered, and must touch nothing else of it.
	decide groupCommand
	// take puts what decide had to say into the answer; refuse puts code there, if the command did not happen or nobody knows.
	take   func()
	refuse func(code wire.ErrorCode)
	// ended, if set, is told how the command ended, before the answer is made, and also where nobody waits for that any more.
	ended func(code wire.ErrorCode)
}

// refused ends a part that no coordinator was asked for.
func (part *groupPart) refused(code wire.ErrorCode) {
	part.refuse(code)
	if part.ended != nil {
		part.ended(code)
	}
}

// groupEnd is how a command ended.
type groupEnd struct {
	done bool
	err  error
}

// client is who sent a request, as groups remember it.
func client(r *Request) group.Client {
	if r.Conn.javaHost == "" {
		r.Conn.javaHost = clientHost(r.Conn.RemoteHost)
	}
	return group.Client{ID: r.ClientID, Host: r.Conn.javaHost, Version: r.Version, Software: software(r)}
}

// software is what sent a request; nothing if the client did not say, or said that it does not know.
func software(r *Request) group.Software {
	if r.Conn.SoftwareName == "unknown" {
		return group.Software{}
	}
	return group.Software{Name: r.Conn.SoftwareName, Version: r.Conn.SoftwareVersion}
}

// isOurs tells whether a request is from Ottla's own command line, whose answers may have tagged fields that Kafka's have not.
func isOurs(r *Request) bool { return r.Conn.SoftwareName == "ottla" }

// clientHost is how Java writes an address: a slash, and all eight numbers of IPv6.
func clientHost(host string) string {
	addr, err := netip.ParseAddr(host)
	if err != nil || !addr.Is6() {
		return "/" + host
	}
	if addr.Is4In6() {
		return "/" + addr.Unmap().String()
	}
	p := addr.As16()
	text := ""
	for i := 0; i < len(p); i += 2 {
		text += fmt.Sprintf(":%x", uint16(p[i])<<8|uint16(p[i+1]))
	}
	return "/" + text[1:]
}

// inGroup answers a request by one command to one group's coordinator. answer, which follows a command that was committed, and
// refuse make the response.
func (t *Table) inGroup(r *Request, name string, decide groupCommand, answer groupAnswer, refuse groupRefusal) Outcome {
	return t.inGroupTold(r, name, decide, answer, refuse, nil)
}

// groupAnswer and groupRefusal are what inGroup makes a response of.
type (
	groupAnswer  = func() wire.Message
	groupRefusal = func(wire.ErrorCode) wire.Message
)

// inGroupTold is inGroup for what an audit wants to know: ended is told how the command ended. See groupPart.
func (t *Table) inGroupTold(r *Request, name string, decide groupCommand, answer groupAnswer, refuse groupRefusal, ended func(wire.ErrorCode)) Outcome {
	var resp wire.Message
	p := &groupRequest{answer: func() wire.Message { return resp }}
	t.ask(p, name, groupPart{decide: decide, take: func() { resp = answer() }, refuse: func(code wire.ErrorCode) { resp = refuse(code) }, ended: ended})
	return t.await(p, r, "group commit timeout")
}

// ask hands one command of a request to a group's coordinator. All are asked before await.
func (t *Table) ask(p *groupRequest, name string, part groupPart) {
	coordinator, code := t.deps.Groups.For(name)
	if code != wire.ErrorNone {
		part.refused(code)
		return
	}
	p.askOne(coordinator, part)
}

func (p *groupRequest) askOne(coordinator GroupCoordinator, part groupPart) {
	p.expect(1)
	p.mu.Lock()
	n := len(p.parts)
	p.parts, p.ends = append(p.parts, part), append(p.ends, groupEnd{})
	p.mu.Unlock()
	coordinator.Submit(part.decide, func(err error) {
		if part.ended != nil {
			part.ended(groupCode(err))
		}
		p.arrive(func() { p.ends[n] = groupEnd{true, err} })
	})
}

// askEach hands the groups of a request to their coordinators, all of one coordinator in one command. part makes it of their places in
// the request and their names. Groups that are named again are refused after maxRepeats.
func (t *Table) askEach(p *groupRequest, names []string, part func(which []int, names []string) groupPart) {
	type share struct {
		which []int
		names []string
	}
	shares := make(map[GroupCoordinator]*share)
	var order []GroupCoordinator
	repeats := newRepeats()
	for i, name := range names {
		if repeats.tooMany(name) {
			refused := part([]int{i}, []string{name})
			refused.refused(wire.ErrorInvalidRequest)
			continue
		}
		coordinator, code := t.deps.Groups.For(name)
		if code != wire.ErrorNone {
			refused := part([]int{i}, []string{name})
			refused.refused(code)
			continue
		}
		s := shares[coordinator]
		if s == nil {
			s = new(share)
			shares[coordinator], order = s, append(order, coordinator)
		}
		s.which, s.names = append(s.which, i), append(s.names, name)
	}
	for _, coordinator := range order {
		p.askOne(coordinator, part(shares[coordinator].which, shares[coordinator].names))
	}
}

// maxRepeats bounds the groups that a request may name again, of all together: a few bytes of it must not ask for megabytes each time.
const maxRepeats = 100

// repeats counts the groups that a request names again.
type repeats struct {
	seen  map[string]bool
	count int
}

func newRepeats() *repeats { return &repeats{seen: make(map[string]bool)} }

func (r *repeats) tooMany(name string) bool {
	if !r.seen[name] {
		r.seen[name] = true
		return false
	}
	r.count++
	return r.count > maxRepeats
}

// await answers now, or when all commands have ended.
func (t *Table) await(p *groupRequest, r *Request, name string) Outcome {
	r.Pending = p
	if p.park(t.waits, r, commitWait, name) {
		return Parked
	}
	return p.Finish(r)
}

// Finish implements Pending. A command that has not ended may yet happen: COORDINATOR_NOT_AVAILABLE, as in Kafka.
func (p *groupRequest) Finish(r *Request) Outcome {
	p.settle()
	p.mu.Lock()
	ends := slices.Clone(p.ends)
	p.mu.Unlock()
	for i, end := range ends {
		switch code := groupCode(end.err); {
		case !end.done:
			p.parts[i].refuse(wire.ErrorCoordinatorNotAvailable)
		case code != wire.ErrorNone:
			p.parts[i].refuse(code)
		default:
			p.parts[i].take()
		}
	}
	return reply(r, p.answer())
}

// Cancel implements Pending.
func (p *groupRequest) Cancel() { p.settle() }

// groupCode is what clients are told about a command that failed: all codes make them try again, after another look for the
// coordinator or, if there is just too much to do, without.
func groupCode(err error) wire.ErrorCode {
	switch {
	case err == nil:
		return wire.ErrorNone
	case errors.Is(err, machine.ErrBusy):
		return wire.ErrorCoordinatorLoadInProgress
	case errors.Is(err, machine.ErrStaleEpoch), errors.Is(err, machine.ErrClosed):
		return wire.ErrorNotCoordinator
	}
	return wire.ErrorCoordinatorNotAvailable
}

// laterRequest is a JoinGroup or SyncGroup: parked until other members have come, too. It has no timer of its own.
type laterRequest[R wire.Message] struct {
	gate
	resp R // the machine's, guarded by the gate's lock, as is err
	err  error
	// finish makes the response of the machine's, or of an error's code.
	finish func(resp R, code wire.ErrorCode) wire.Message
}

// laterReply is where the machine puts the answer. It implements group.Reply.
type laterReply[R any] struct {
	to       *R
	answered func()
}

func (l laterReply[R]) Set(resp R) {
	*l.to = resp
	l.answered()
}

// inGroupLater answers a request by a command to one group's coordinator, when the machine has an answer.
func inGroupLater[R wire.Message](t *Table, r *Request, name string, decide func(*group.Machine, machine.Moment, group.Reply[R]) []machine.Record,
	finish func(resp R, code wire.ErrorCode) wire.Message) Outcome {
	var none R
	coordinator, code := t.deps.Groups.For(name)
	if code != wire.ErrorNone {
		return reply(r, finish(none, code))
	}
	p := &laterRequest[R]{finish: finish}
	p.expect(1)
	answer := new(R)
	coordinator.SubmitLater(func(m *group.Machine, at machine.Moment, answered func()) []machine.Record {
		return decide(m, at, laterReply[R]{answer, answered})
	}, func(err error) {
		p.arrive(func() {
			if p.err = err; err == nil {
				p.resp = *answer
			}
		})
	})
	r.Pending = p
	if p.park(t.deps.Env, r, -1, "") {
		return Parked
	}
	return p.Finish(r)
}

// Finish implements Pending.
func (p *laterRequest[R]) Finish(r *Request) Outcome {
	p.settle()
	p.mu.Lock()
	resp, code := p.resp, groupCode(p.err)
	p.mu.Unlock()
	return reply(r, p.finish(resp, code))
}

// Cancel implements Pending. The member stays until its session ends, as in Kafka: it may have another connection.
func (p *laterRequest[R]) Cancel() { p.settle() }
