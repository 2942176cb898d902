package machine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ottla-io/ottla/internal/ids"
	"github.com/ottla-io/ottla/internal/run"
)

// table seats guests: whoever comes waits until it is full, or until the first one has waited patience. Who is seated then
// is in the log; who waits is not.
type table struct {
	sums
	seats    int
	patience time.Duration

	names   []string
	replies []*Reply[string] // who sits here
	since   time.Duration
	loads   int
	ticks   []time.Duration
}

func (t *table) Loaded(Moment) { t.loads++ }

func (t *table) Due() (time.Duration, bool) { return t.since + t.patience, len(t.names) > 0 }

func (t *table) Tick(at Moment) []Record {
	t.ticks = append(t.ticks, at.Monotonic)
	return t.seat()
}

func (t *table) join(name string) func(*table, Moment, *Reply[string]) []Record {
	return func(t *table, at Moment, reply *Reply[string]) []Record {
		if len(t.names) == 0 {
			t.since = at.Monotonic
		}
		t.names, t.replies = append(t.names, name), append(t.replies, reply)
		if len(t.names) < t.seats {
			return nil
		}
		return t.seat()
	}
}

func (t *table) seat() (records []Record) {
	all := strings.Join(t.names, " ")
	for i, name := range t.names {
		records = append(records, Record{Key: []byte(name), Value: []byte("1")})
		t.replies[i].Set(all)
	}
	t.names, t.replies = nil, nil
	return records
}

// tables makes a Config whose New gives each loaded machine to last.
func tables(env run.Env, log Log, seats int) (cfg Config[*table], last func() *table) {
	var newest *table
	return Config[*table]{Name: "table-0", Env: env, Log: log, New: func() *table {
		newest = &table{sums: *newSums(), seats: seats, patience: time.Minute}
		return newest
	}}, func() *table { return newest }
}

func pause(env run.Env, d time.Duration) { env.NewSignal().WaitFor(d) }

func TestLaterReplyWaitsForTheOthersAndTheCommit(t *testing.T) {
	simulate(1, func(env run.Env) {
		log := newFakeLog(env)
		log.hold = true
		cfg, last := tables(env, log, 2)
		r, err := Start(cfg)
		if err != nil {
			t.Error(err)
			return
		}
		var answers []string
		come := func(name string) {
			SubmitLater(r, last().join(name), func(all string, err error) { answers = append(answers, fmt.Sprint(name, ": ", all, " ", err)) })
		}
		come("ann")
		pause(env, time.Second)
		if len(answers) != 0 || log.appends != 0 {
			t.Errorf("one guest of two: answers %q, %d appends", answers, log.appends)
		}
		come("bob")
		Submit(r, func(m *table, _ Moment) ([]Record, int) { return nil, m.Sums["bob"] }, func(n int, err error) { answers = append(answers, fmt.Sprint("bobs ", n, " ", err)) })
		pause(env, time.Second)
		if len(answers) != 0 || log.appends != 1 {
			t.Errorf("before the commit: answers %q, %d appends", answers, log.appends)
		}
		log.release()
		pause(env, time.Second)
		if want := []string{"bobs 1 <nil>", "ann: ann bob <nil>", "bob: ann bob <nil>"}; !slices.Equal(answers, want) {
			t.Errorf("after the commit: %q", answers)
		}
		r.Close()
	})
}

func TestTickRunsWhenDue(t *testing.T) {
	simulate(1, func(env run.Env) {
		log := newFakeLog(env)
		cfg, last := tables(env, log, 9)
		r, err := Start(cfg)
		if err != nil {
			t.Error(err)
			return
		}
		came := env.Monotonic()
		answered := env.NewSignal()
		SubmitLater(r, last().join("ann"), func(string, error) { answered.Set() })
		answered.Wait()
		if ticks := last().ticks; len(ticks) != 1 || ticks[0] < came+time.Minute || ticks[0] > came+time.Minute+10*time.Millisecond {
			t.Errorf("came at %v, ticks at %v", came, ticks)
		}
		pause(env, time.Hour)
		if n := len(last().ticks); n != 1 || log.replay(t).Sums["ann"] != 1 {
			t.Errorf("%d ticks; the log says %v", n, log.replay(t).Sums)
		}
		r.Close()
	})
}

// TestRefusingLogKeepsTheMachine: commands end before they are decided, timers wait, and nothing is loaded anew when the log is ready again.
func TestRefusingLogKeepsTheMachine(t *testing.T) {
	simulate(1, func(env run.Env) {
		log := newFakeLog(env)
		cfg, last := tables(env, log, 2)
		r, err := Start(cfg)
		if err != nil {
			t.Error(err)
			return
		}
		var errs []error
		SubmitLater(r, last().join("ann"), func(_ string, err error) { errs = append(errs, err) }) // a timer would seat her alone
		pause(env, time.Second)
		log.refuses = errDisk
		before, appends := last(), log.appends
		if _, err := Do(r, func(*table, Moment) ([]Record, int) { t.Error("decided"); return nil, 0 }); !errors.Is(err, errDisk) {
			t.Errorf("a command on a log that refuses: %v", err)
		}
		pause(env, 2*time.Minute)
		if last() != before || len(last().ticks) != 0 || log.appends != appends || len(errs) != 0 {
			t.Errorf("while the log refuses: %d ticks, %d appends, answers %v", len(last().ticks), log.appends-appends, errs)
		}
		log.refuses = nil
		pause(env, 2*retryDelay)
		if last() != before || len(last().ticks) != 1 || len(errs) != 1 || errs[0] != nil {
			t.Errorf("when the log is ready again: %d ticks, answers %v", len(last().ticks), errs)
		}
		r.Close()
	})
}

func TestDropFailsLaterRepliesAndReloads(t *testing.T) {
	simulate(1, func(env run.Env) {
		log := newFakeLog(env)
		cfg, last := tables(env, log, 2)
		r, err := Start(cfg)
		if err != nil {
			t.Error(err)
			return
		}
		var errs []error
		come := func(name string) {
			SubmitLater(r, last().join(name), func(_ string, err error) { errs = append(errs, err) })
		}
		for _, name := range []string{"ann", "bob", "eve"} { // eve waits for one more
			log.failCommit = func() bool { return name == "eve" }
			come(name)
			pause(env, time.Second)
		}
		if len(errs) != 2 || errs[0] != nil || errs[1] != nil {
			t.Errorf("before the failure: %v", errs)
		}
		come("joe")
		pause(env, retryDelay/2)
		if len(errs) != 4 || !errors.Is(errs[2], errDisk) || !errors.Is(errs[3], errDisk) {
			t.Errorf("after the failure: %v", errs)
		}
		log.failCommit, log.failed = func() bool { return false }, nil
		before := last()
		pause(env, retryDelay)
		if now := last(); now == before || now.loads != 1 || now.Sums["bob"] != 1 || now.Sums["joe"] != 0 {
			t.Errorf("not loaded anew without a command: %+v", now)
		}
		come("kim")
		r.Close()
		if len(errs) != 5 || !errors.Is(errs[4], ErrClosed) {
			t.Errorf("closed while one waits: %v", errs)
		}
		come("late")
		if len(errs) != 6 || !errors.Is(errs[5], ErrClosed) {
			t.Errorf("after Close: %v", errs)
		}
	})
}

// TestLaterRandomRuns holds from many seeds, under failing appends and commits: each reply comes exactly once, a good one
// names committed guests, and the live durable state equals the replayed log.
func TestLaterRandomRuns(t *testing.T) {
	for seed := range uint64(100) {
		simulate(seed, func(env run.Env) {
			dice := rand.New(rand.NewPCG(seed, 11))
			log := newFakeLog(env)
			cfg, last := tables(env, log, 3)
			cfg.Committed = func(m *table) {
				if diff := cmp.Diff(log.replay(t), &m.sums); diff != "" {
					t.Errorf("seed %d: replayed log and live state differ:\n%s", seed, diff)
				}
			}
			r, err := Start(cfg)
			if err != nil {
				t.Errorf("seed %d: %v", seed, err)
				return
			}
			log.failAppend = func() bool { return dice.IntN(12) == 0 }
			log.failCommit = func() bool { return dice.IntN(12) == 0 }
			answers, good := map[string]int{}, 0
			const guests = 200
			for n := range guests {
				name := fmt.Sprint("guest", n)
				SubmitLater(r, last().join(name), func(all string, err error) {
					answers[name]++
					if err != nil {
						return
					}
					good++
					for _, guest := range strings.Split(all, " ") {
						if log.replay(t).Sums[guest] != 1 {
							t.Errorf("seed %d: %s was told of %s, which is not committed", seed, name, guest)
						}
					}
				})
				switch dice.IntN(6) {
				case 0:
					pause(env, time.Duration(dice.IntN(4))*time.Millisecond)
				case 1:
					pause(env, time.Duration(dice.IntN(90))*time.Second)
				}
			}
			pause(env, time.Hour)
			never := func() bool { return false }
			log.failAppend, log.failCommit = never, never
			r.Close()
			for name, n := range answers {
				if n != 1 {
					t.Errorf("seed %d: %s has %d answers", seed, name, n)
				}
			}
			if len(answers) != guests || good < guests/2 || good == guests {
				t.Errorf("seed %d: %d guests answered, %d well", seed, len(answers), good)
			}
		})
		if t.Failed() {
			return
		}
	}
}

// readNothing is a log whose last offsets were compacted away.
type readNothing struct {
	*fakeLog
	end ids.Offset
}

func (l readNothing) Bounds() (start, end ids.Offset) { return l.start, l.end }

func (l readNothing) Read(from ids.Offset) ([]byte, error) {
	if _, end := l.fakeLog.Bounds(); from >= end {
		return nil, nil
	}
	return l.fakeLog.Read(from)
}

func TestLoadOfALogWithoutItsLastBatches(t *testing.T) {
	simulate(1, func(env run.Env) {
		log := newFakeLog(env)
		r, err := Start(Config[*sums]{Name: "sums-0", Env: env, Log: log, New: newSums})
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := Do(r, add("a", 1)); err != nil {
			t.Error(err)
		}
		r.Close()
		log.committed = 7
		r, err = Start(Config[*sums]{Name: "sums-0", Env: env, Log: readNothing{log, 7}, New: newSums})
		if err != nil {
			t.Error(err)
			return
		}
		Submit(r, func(s *sums, at Moment) ([]Record, ids.Offset) { return nil, at.Next }, func(next ids.Offset, err error) {
			if next != 7 || err != nil {
				t.Errorf("the next offset is %d, %v", next, err)
			}
		})
		r.Close()
	})
}
