package api

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/run"
	"github.com/ottla-io/ottla/internal/wire"
)

// begin starts a session over parts and returns its id.
func (g *rig) begin(parts ...fetchPart) int32 {
	g.t.Helper()
	req := session(newFetch(parts...), 0, 0)
	req.MaxWaitMs = 0
	var resp wire.FetchResponse
	g.do(wire.FetchKey, 12, req, &resp)
	if resp.SessionId == 0 || len(fetched(&resp)) != len(parts) {
		g.t.Fatalf("session %d with %d partitions", resp.SessionId, len(fetched(&resp)))
	}
	return resp.SessionId
}

// next is an incremental fetch that does not wait.
func (g *rig) next(id, epoch int32, parts ...fetchPart) *wire.FetchResponse {
	g.t.Helper()
	req := session(newFetch(parts...), id, epoch)
	req.MaxWaitMs = 0
	var resp wire.FetchResponse
	g.do(wire.FetchKey, 12, req, &resp)
	return &resp
}

// TestFetchSessionErrors holds the codes of KIP-227 and KIP-516: 70, 71 and 106, at the top, with no session and no topics.
func TestFetchSessionErrors(t *testing.T) {
	g := newRig(t, run.OS())
	a := fetchPart{"a", 0, 0}
	id := g.begin(a)
	byID := session(newFetch(), id, 1)
	tests := []struct {
		name    string
		version int16
		req     *wire.FetchRequest
		want    wire.ErrorCode
	}{
		{"unknown session", 12, session(newFetch(a), id+1, 1), wire.ErrorFetchSessionIDNotFound},
		{"no session", 12, session(newFetch(a), 0, 5), wire.ErrorFetchSessionIDNotFound},
		{"epoch ahead", 12, session(newFetch(a), id, 2), wire.ErrorInvalidFetchSessionEpoch},
		{"negative epoch", 12, session(newFetch(a), id, -7), wire.ErrorInvalidFetchSessionEpoch},
		{"by id in a session by name", 13, byID, wire.ErrorFetchSessionTopicIDError},
	}
	for _, test := range tests {
		var resp wire.FetchResponse
		g.do(wire.FetchKey, test.version, test.req, &resp)
		if resp.ErrorCode != test.want || resp.SessionId != 0 || len(resp.Responses) != 0 {
			t.Errorf("%s: %v, session %d, %d topics", test.name, resp.ErrorCode, resp.SessionId, len(resp.Responses))
		}
	}
	if resp := g.next(id, 1); resp.ErrorCode != 0 || resp.SessionId != id {
		t.Errorf("none of that may hurt the session: %v", resp.ErrorCode)
	}
	if resp := g.next(id, 1); resp.ErrorCode != wire.ErrorInvalidFetchSessionEpoch {
		t.Errorf("an epoch used twice: %v", resp.ErrorCode)
	}
	g.table.Close()
	g.checkIdle(0)
}

// TestFetchSessionTellsWhatChanged walks through the life of a session.
func TestFetchSessionTellsWhatChanged(t *testing.T) {
	g := newRig(t, run.OS())
	one := batchOf(1, 10)
	n := len(one)
	g.partitions.append("a", 0, one)
	id := g.begin(fetchPart{"a", 0, 0}, fetchPart{"a", 1, 0}, fetchPart{"b", 0, 0})
	epoch := int32(0)
	step := func(name string, want []fetchAnswer, parts ...fetchPart) {
		t.Helper()
		epoch++
		resp := g.next(id, epoch, parts...)
		if diff := cmp.Diff(want, fetched(resp)); diff != "" || resp.ErrorCode != 0 {
			t.Errorf("%s: %v %s", name, resp.ErrorCode, diff)
		}
	}
	step("data that was not taken comes again", []fetchAnswer{{"a", 0, 0, 1, n}})
	step("data that was taken does not", nil, fetchPart{"a", 0, 1})
	step("nothing new", nil)
	g.partitions.append("b", 0, one)
	step("new data", []fetchAnswer{{"b", 0, 0, 1, n}})
	g.partitions.append("a", 1, one)
	step("a watermark that moved, without data", []fetchAnswer{{"a", 1, 0, 1, 0}}, fetchPart{"b", 0, 1}, fetchPart{"a", 1, 1})
	g.partitions.log("a", 0).start = 1
	g.partitions.append("a", 0, one)
	step("data and a moved log start", []fetchAnswer{{"a", 0, 0, 2, n}})
	step("a position set back gives old data again", []fetchAnswer{{"b", 0, 0, 1, n}}, fetchPart{"b", 0, 0}, fetchPart{"a", 0, 2})
	g.partitions.fail("a", 1, wire.ErrorNotLeaderOrFollower)
	step("an error", []fetchAnswer{{"a", 1, 6, -1, 0}}, fetchPart{"b", 0, 1})
	step("an error is told until it is gone", []fetchAnswer{{"a", 1, 6, -1, 0}})
	g.partitions.fail("a", 1, 0)
	step("and then the watermark once", []fetchAnswer{{"a", 1, 0, 1, 0}})
	step("once", nil)
	g.table.Close()
	g.checkIdle(0)
}

// TestFetchSessionFairness: a partition that gave data is served after the others.
func TestFetchSessionFairness(t *testing.T) {
	g := newRig(t, run.OS())
	one := batchOf(1, 100)
	id := g.begin(fetchPart{"a", 0, 0}, fetchPart{"a", 1, 0}, fetchPart{"b", 0, 0})
	for range 3 {
		g.partitions.append("a", 0, one)
		g.partitions.append("a", 1, one)
		g.partitions.append("b", 0, one)
	}
	var served []ids.TopicPartition
	at := map[ids.TopicPartition]int64{}
	var parts []fetchPart
	for epoch := int32(1); epoch <= 9; epoch++ {
		req := session(newFetch(parts...), id, epoch)
		req.MaxBytes, req.MaxWaitMs = int32(len(one)), 0
		var resp wire.FetchResponse
		g.do(wire.FetchKey, 12, req, &resp)
		parts = nil
		for _, a := range fetched(&resp) {
			if a.Bytes > 0 {
				tp := ids.TopicPartition{Topic: a.Topic, Partition: a.Partition}
				served = append(served, tp)
				at[tp]++
				parts = append(parts, fetchPart{a.Topic, a.Partition, at[tp]})
			}
		}
	}
	a0, a1, b0 := ids.TopicPartition{Topic: "a"}, ids.TopicPartition{Topic: "a", Partition: 1}, ids.TopicPartition{Topic: "b"}
	if diff := cmp.Diff([]ids.TopicPartition{a0, a1, b0, a0, a1, b0, a0, a1, b0}, served); diff != "" {
		t.Error(diff)
	}
}

func TestFetchSessionForgets(t *testing.T) {
	g := newRig(t, run.OS())
	id := g.begin(fetchPart{"a", 0, 0}, fetchPart{"a", 1, 0})
	g.next(id, 1)
	g.checkIdle(2) // the session watches both
	req := session(newFetch(), id, 2)
	req.MaxWaitMs = 0
	req.ForgottenTopicsData = []wire.FetchRequestForgottenTopic{{Topic: "a", Partitions: []int32{0, 5}}, {Topic: "nope", Partitions: []int32{0}}}
	g.do(wire.FetchKey, 12, req, new(wire.FetchResponse))
	g.checkIdle(1)
	g.partitions.append("a", 0, batchOf(1, 1))
	if got := fetched(g.next(id, 3)); len(got) != 0 {
		t.Errorf("a forgotten partition: %+v", got)
	}
	// The last one ends the session.
	req = session(newFetch(), id, 4)
	req.ForgottenTopicsData = []wire.FetchRequestForgottenTopic{{Topic: "a", Partitions: []int32{1}}}
	var resp wire.FetchResponse
	g.do(wire.FetchKey, 12, req, &resp)
	if resp.SessionId != 0 || resp.ErrorCode != 0 {
		t.Errorf("session %d, %v", resp.SessionId, resp.ErrorCode)
	}
	if got := g.next(id, 5).ErrorCode; got != wire.ErrorFetchSessionIDNotFound {
		t.Error(got)
	}
	g.checkIdle(0)
}

// TestFetchSessionEnds: a full fetch that names a session ends it, with another session or with none.
func TestFetchSessionEnds(t *testing.T) {
	g := newRig(t, run.OS())
	for _, epoch := range []int32{initialSessionEpoch, finalSessionEpoch} {
		id := g.begin(fetchPart{"a", 0, 0})
		req := session(newFetch(fetchPart{"a", 1, 0}), id, epoch)
		req.MaxWaitMs = 0
		var resp wire.FetchResponse
		g.do(wire.FetchKey, 12, req, &resp)
		if (resp.SessionId != 0) != (epoch == initialSessionEpoch) || resp.SessionId == id {
			t.Errorf("epoch %d: session %d after %d", epoch, resp.SessionId, id)
		}
		if got := g.next(id, 1).ErrorCode; got != wire.ErrorFetchSessionIDNotFound {
			t.Errorf("epoch %d: %v", epoch, got)
		}
	}
	// An id that names nothing is no error in a full fetch.
	if resp := g.next(12345, 0, fetchPart{"a", 0, 0}); resp.ErrorCode != 0 || resp.SessionId == 0 {
		t.Errorf("%v", resp.ErrorCode)
	}
	// Before version 7 there are no sessions.
	var resp wire.FetchResponse
	req := newFetch(fetchPart{"a", 0, 0})
	req.MaxWaitMs = 0
	g.do(wire.FetchKey, 6, req, &resp)
	if resp.SessionId != 0 {
		t.Errorf("session %d", resp.SessionId)
	}
}

// TestFetchSessionBusy: a session ended, or asked again, under a waiting request. The waiting one is answered, and nothing
// stays registered.
func TestFetchSessionBusy(t *testing.T) {
	simulated(t, 1, func(env run.Env) {
		g := newRig(t, env)
		id := g.begin(fetchPart{"a", 0, 0})
		c := g.start(wire.FetchKey, 12, session(newFetch(), id, 1))
		if c.outcome != Parked {
			t.Fatalf("outcome %d", c.outcome)
		}
		if got := g.next(id, 2).ErrorCode; got != wire.ErrorInvalidFetchSessionEpoch {
			t.Errorf("a second fetch of a waiting session: %v", got)
		}
		if resp := g.next(id, -1, fetchPart{"b", 0, 0}); resp.ErrorCode != 0 {
			t.Error(resp.ErrorCode)
		}
		g.partitions.append("a", 0, batchOf(1, 1))
		var resp wire.FetchResponse
		c.reply(&resp)
		if got := fetched(&resp); len(got) != 1 || got[0].Bytes == 0 {
			t.Errorf("%+v", got)
		}
		g.checkIdle(0)
	})
}

// TestFetchSessionSlots: who gets a slot when there is none free.
func TestFetchSessionSlots(t *testing.T) {
	simulated(t, 1, func(env run.Env) {
		g := newRig(t, env, func(s *Settings) { s.FetchSessionSlots = 2 })
		small, large := g.begin(fetchPart{"a", 0, 0}), g.begin(fetchPart{"a", 0, 0}, fetchPart{"a", 1, 0})
		try := func(parts ...fetchPart) int32 {
			req := session(newFetch(parts...), 0, 0)
			req.MaxWaitMs = 0
			var resp wire.FetchResponse
			g.do(wire.FetchKey, 12, req, &resp)
			if len(fetched(&resp)) != len(parts) {
				t.Errorf("%+v", fetched(&resp))
			}
			return resp.SessionId
		}
		three := []fetchPart{{"a", 0, 0}, {"a", 1, 0}, {"b", 0, 0}}
		if got := try(three...); got != 0 {
			t.Error("young sessions must stay")
		}
		epochs := map[int32]int32{}
		touch := func(id int32) {
			epochs[id]++
			if got := g.next(id, epochs[id]).ErrorCode; got != 0 {
				t.Errorf("session %d: %v", id, got)
			}
		}
		for range 3 {
			env.NewSignal().WaitFor(sessionEvictionAge / 2)
			touch(small)
			touch(large)
		}
		if got := try(fetchPart{"a", 0, 0}); got != 0 {
			t.Error("a session no larger than the smallest must not displace it")
		}
		third := try(three...)
		if third == 0 {
			t.Fatal("a larger session must displace the smallest old one")
		}
		if got := g.next(small, 4).ErrorCode; got != wire.ErrorFetchSessionIDNotFound {
			t.Errorf("the smallest: %v", got)
		}
		touch(large)
		env.NewSignal().WaitFor(sessionEvictionAge/2 + time.Second)
		touch(large)
		env.NewSignal().WaitFor(sessionEvictionAge / 2)
		if try(fetchPart{"b", 0, 0}) == 0 {
			t.Error("an unused session must make room for any")
		}
		if got := g.next(third, 1).ErrorCode; got != wire.ErrorFetchSessionIDNotFound {
			t.Errorf("the unused: %v", got)
		}
		touch(large)
		g.table.Close()
		g.checkIdle(0)
	})
}

// TestFetchSessionsOff: without slots every answer is sessionless, and complete.
func TestFetchSessionsOff(t *testing.T) {
	g := newRig(t, run.OS(), func(s *Settings) { s.FetchSessionSlots = 0 })
	resp := g.next(0, 0, fetchPart{"a", 0, 0})
	if resp.SessionId != 0 || len(fetched(resp)) != 1 {
		t.Errorf("session %d, %+v", resp.SessionId, fetched(resp))
	}
	g.checkIdle(0)
}

// TestFetchSessionCost: a fetch of a session looks at what has news, not at what it subscribed to.
func TestFetchSessionCost(t *testing.T) {
	simulated(t, 1, func(env run.Env) {
		g := newRig(t, env)
		const partitions = 2000
		g.createTopic("wide", id(5), partitions)
		var parts []fetchPart
		for i := range partitions {
			parts = append(parts, fetchPart{"wide", int32(i), 0})
		}
		session1 := g.begin(parts...)
		g.next(session1, 1)
		g.partitions.fetches = 0
		if got := g.next(session1, 2); len(got.Responses) != 0 || g.partitions.fetches != 0 {
			t.Errorf("an empty fetch looked at %d partitions and answered %d", g.partitions.fetches, len(got.Responses))
		}
		g.partitions.append("wide", 17, batchOf(1, 1))
		g.partitions.append("wide", 1999, batchOf(1, 1))
		if got := fetched(g.next(session1, 3)); len(got) != 2 || g.partitions.fetches != 2 {
			t.Errorf("looked at %d partitions: %+v", g.partitions.fetches, got)
		}
		c := g.start(wire.FetchKey, 12, session(newFetch(fetchPart{"wide", 17, 1}, fetchPart{"wide", 1999, 1}), session1, 4))
		if c.outcome != Parked {
			t.Fatalf("outcome %d", c.outcome)
		}
		g.partitions.fetches = 0
		g.partitions.append("wide", 3, batchOf(1, 1))
		var resp wire.FetchResponse
		c.reply(&resp)
		if got := fetched(&resp); len(got) != 1 || g.partitions.fetches != 1 {
			t.Errorf("looked at %d partitions: %+v", g.partitions.fetches, got)
		}
		g.table.Close()
		g.checkIdle(0)
	})
}

// TestFetchSessionByTopicID: a session by ids outlives the topic, whose next life it does not read.
func TestFetchSessionByTopicID(t *testing.T) {
	g := newRig(t, run.OS())
	req := session(newFetch(), 0, 0)
	req.MaxWaitMs = 0
	addFetch(req, fetchPart{"", 0, 0}, id(1))
	var resp wire.FetchResponse
	g.do(wire.FetchKey, 13, req, &resp)
	delete(g.partitions.names, id(1))
	g.partitions.names[id(9)] = "a"
	g.partitions.fail("a", 0, wire.ErrorNone)
	g.partitions.append("a", 0, batchOf(1, 1))
	next := session(newFetch(), resp.SessionId, 1)
	g.do(wire.FetchKey, 13, next, &resp)
	if len(resp.Responses) != 1 || resp.Responses[0].TopicId != wire.UUID(id(1)) || resp.Responses[0].Partitions[0].ErrorCode != wire.ErrorUnknownTopicID {
		t.Error(fmt.Sprint(resp.Responses))
	}
}
