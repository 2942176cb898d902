package machine

import "slices"

// Reply is the answer of a command that SubmitLater queued.
type Reply[R any] struct {
	value R
	waits *deferred
	set   func(*deferred)
}

// Set gives the answer, once: in the command's own decide, in that of a later one, or in Tick. It leaves when all that was
// appended up to and including the present round is committed.
func (p *Reply[R]) Set(value R) {
	if p.waits.isSet {
		panic("machine: a reply was set twice")
	}
	p.value, p.waits.isSet = value, true
	p.set(p.waits)
}

// SubmitLater is Submit for commands that are answered when something else has happened: decide gets the reply to keep in
// the machine's volatile state. The answers of a round leave after those of its ordinary commands, in the order of Set. If
// the machine is dropped before, done gets the error; if it is closed with the reply unset, ErrClosed.
func SubmitLater[M Timed, R any](r *Runtime[M], decide func(m M, at Moment, reply *Reply[R]) []Record, done func(reply R, err error)) {
	reply := &Reply[R]{waits: &deferred{}, set: func(d *deferred) {
		r.unset.remove(d)
		r.set.add(d)
	}}
	reply.waits.done = func(err error) {
		if err != nil {
			var none R
			reply.value = none
		}
		done(reply.value, err)
	}
	decided := false
	r.submit(command[M]{
		decide: func(m M, at Moment) []Record {
			decided = true
			r.unset.add(reply.waits)
			return decide(m, at, reply)
		},
		done: func(err error) {
			if !decided {
				reply.waits.done(err)
			}
		},
	})
}

// deferred is one reply that waits in a list.
type deferred struct {
	done  func(err error)
	isSet bool
	index int // in its list
}

// waiting is a list of replies, in order of arrival. A removed one leaves a hole; holes go when they are the most.
type waiting struct {
	list  []*deferred
	holes int
}

func (w *waiting) add(d *deferred) {
	if w.holes > len(w.list)/2 {
		w.list = slices.DeleteFunc(w.list, func(d *deferred) bool { return d == nil })
		for i, d := range w.list {
			d.index = i
		}
		w.holes = 0
	}
	d.index = len(w.list)
	w.list = append(w.list, d)
}

func (w *waiting) remove(d *deferred) {
	w.list[d.index] = nil
	w.holes++
}

// end answers all of them, in order.
func (w *waiting) end(err error) {
	list := w.list
	*w = waiting{}
	for _, d := range list {
		if d != nil {
			d.done(err)
		}
	}
}
