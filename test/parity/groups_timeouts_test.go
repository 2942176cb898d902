package parity

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// groupsTimeouts lets members be late, in groups side by side on one clock: each of them in its own way.
func groupsTimeouts(s *session) {
	s.coordinator()
	s.topic("late", 1)
	began := time.Now()
	at := func(d time.Duration) { <-time.After(time.Until(began.Add(d))) }
	hasty := func(group, member, instance string, protocols ...string) *kmsg.JoinGroupRequest {
		req := joinReq(group, member, instance, protocols...)
		req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 6_000, 3_000
		return req
	}
	joined := func(group, instance string) string {
		req := hasty(group, "", instance, "first")
		return s.quiet(3, req).(*kmsg.JoinGroupResponse).MemberID
	}
	if id := joined("late-warm", ""); id == "" {
		s.t.Fatal("no member id before version 4")
	}
	// pair makes a stable group of two.
	pair := func(group string) (first, second string) {
		first = joined(group, "")
		s.quiet(3, syncReq(group, 1, first, ""))
		other := s.peer()
		joining := other.park("join of the second", 3, hasty(group, "", "", "first"))
		s.waitFor("rebalance", func() bool {
			return s.quiet(3, heartbeatReq(group, 1, first, "")).(*kmsg.HeartbeatResponse).ErrorCode == 27
		})
		s.quiet(3, hasty(group, first, "", "first"))
		second = joining(s.peer()).(*kmsg.JoinGroupResponse).MemberID
		s.quiet(3, syncReq(group, 2, first, "", first, "one", second, "two"))
		s.quiet(3, syncReq(group, 2, second, ""))
		return first, second
	}
	timed := func(name string, since time.Time, answer func(into *session) kmsg.Response) {
		answer(s)
		s.note(name, fmt.Sprintf("answered after %v", time.Since(since).Round(time.Second)))
	}

	beating, silent := pair("late-beat")
	lead, follow := pair("late-join")
	pending := joined("late-id", "")
	s.quiet(3, syncReq("late-id", 1, pending, ""))
	static := joined("late-static", "instance")
	s.quiet(3, syncReq("late-static", 1, static, "instance"))
	unsynced := joined("late-sync", "")
	// Now all sessions begin.
	s.quiet(3, heartbeatReq("late-beat", 2, beating, ""))
	s.quiet(3, heartbeatReq("late-beat", 2, silent, ""))
	s.quiet(3, heartbeatReq("late-static", 1, static, "instance"))
	began = time.Now()

	// A follower that comes with other metadata waits for its leader, who does not.
	one := s.peer()
	changed := hasty("late-join", follow, "", "first")
	changed.Protocols[0].Metadata = []byte("changed")
	rejoining := one.park("join again, the other does not", 3, changed)
	// An id that is never used holds the others up.
	s.quiet(4, hasty("late-id", "", "", "first"))
	two := s.peer()
	patient := hasty("late-id", pending, "", "first")
	patient.RebalanceTimeoutMillis = 30_000
	waiting := two.park("join again, beside an unused id", 3, patient)

	at(2 * time.Second)
	s.send("beat before it syncs", 3, heartbeatReq("late-sync", 1, unsynced, ""))
	s.send("beat of one of two", 3, heartbeatReq("late-beat", 2, beating, ""))
	timed("join again, the other does not", began, rejoining)
	s.send("beat of who did not join again", 3, heartbeatReq("late-join", 2, lead, ""))
	s.send("describe who is left", 5, describeReq("late-join"))
	at(4500 * time.Millisecond)
	s.send("beat, too late to sync", 3, heartbeatReq("late-sync", 1, unsynced, ""))
	s.send("describe, nobody synced", 5, describeReq("late-sync"))
	s.send("beat of one of two", 3, heartbeatReq("late-beat", 2, beating, ""))
	timed("join again, beside an unused id", began, waiting)
	at(7500 * time.Millisecond)
	s.send("beat when the other is gone", 3, heartbeatReq("late-beat", 2, beating, ""))
	s.send("describe, one is gone", 5, describeReq("late-beat"))
	s.send("join again, alone", 3, hasty("late-beat", beating, "", "first"))
	s.send("describe, the static member is gone", 5, describeReq("late-static"))
	s.send("join of the gone static member", 3, hasty("late-static", static, "instance", "first"))
}
