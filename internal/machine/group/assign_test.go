package group

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/internal/ids"
)

// TestAssignorsAsKafka holds the assignors against what Kafka 4.3.1's own gave, which testdata/assign/Assign.java has asked:
//
//	javac -cp "LIBS/*" Assign.java && java -cp "LIBS/*:." Assign 100 > kafka-4.3.1.txt
//
// Members are in order of their ids there, too, and topics in order of theirs, so that the answers are the same to the partition.
func TestAssignorsAsKafka(t *testing.T) {
	data, err := os.ReadFile("testdata/assign/kafka-4.3.1.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, text := range strings.Split(string(data), "case ")[1:] {
		title, body, _ := strings.Cut(text, "\n")
		r, want := readRoster(t, body)
		name, _, _ := strings.Cut(title, " ")
		for i, got := range assignorOf(name)(r) {
			if !got.equal(want[i]) {
				t.Errorf("%s: %s gets %v, Kafka gives it %v", title, r.members[i].id, got, want[i])
			}
		}
		cases++
	}
	if cases < 300 {
		t.Errorf("only %d cases", cases)
	}
}

// readRoster reads one case of kafka-4.3.1.txt, and what it gives each member.
func readRoster(t *testing.T, body string) (r *roster, after []share) {
	t.Helper()
	r = new(roster)
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	read := func(s string) (out share) {
		if s == "" {
			return nil
		}
		for _, part := range strings.Split(s, ";") {
			topic, list, _ := strings.Cut(part, ":")
			one := topicShare{topic: topicID(number(topic))}
			for _, p := range strings.Split(list, ",") {
				one.partitions = append(one.partitions, int32(number(p)))
			}
			out = append(out, one)
		}
		return out
	}
	for line := range strings.Lines(body) {
		a := parseLine(line)
		switch a.word(0) {
		case "topic":
			r.topics = append(r.topics, rosterTopic{id: topicID(number(a.word(1))), partitions: number(a.word(2))})
		case "member":
			one := rosterMember{id: a.word(1), instance: a.text("static", ""), before: read(a.text("before", ""))}
			for _, topic := range a.list("topics") {
				one.topics = append(one.topics, number(topic)-1)
			}
			r.members, after = append(r.members, one), append(after, read(a.text("after", "")))
		}
	}
	r.same = !slices.ContainsFunc(r.members, func(one rosterMember) bool { return !slices.Equal(one.topics, r.members[0].topics) })
	// A roster has the topics that somebody subscribes to.
	var used []rosterTopic
	place := make(map[int]int)
	for i, topic := range r.topics {
		if slices.ContainsFunc(r.members, func(one rosterMember) bool { return slices.Contains(one.topics, i) }) {
			place[i] = len(used)
			used = append(used, topic)
		}
	}
	r.topics = used
	for i := range r.members {
		for k, topic := range r.members[i].topics {
			r.members[i].topics[k] = place[topic]
		}
	}
	return r, after
}

// randomRoster is a group with its assignment of the time before, which may be anything that has no partition twice.
func randomRoster(rng *rand.Rand, maxMembers int) *roster {
	r := &roster{same: rng.IntN(2) == 0}
	for i := range 1 + rng.IntN(6) {
		r.topics = append(r.topics, rosterTopic{id: topicID(i + 1), partitions: rng.IntN(9)})
	}
	for i := range 1 + rng.IntN(maxMembers) {
		one := rosterMember{id: fmt.Sprintf("m%03d", i)}
		if rng.IntN(4) == 0 {
			one.instance = fmt.Sprintf("i%d", rng.IntN(1000))
		}
		for t := range r.topics {
			if r.same || rng.IntN(2) == 0 {
				one.topics = append(one.topics, t)
			}
		}
		r.members = append(r.members, one)
	}
	if rng.IntN(3) == 0 {
		for t := range r.topics {
			r.topics[t].racks = make([][]string, r.topics[t].partitions)
			for p := range r.topics[t].racks {
				r.topics[t].racks[p] = []string{fmt.Sprint("r", rng.IntN(3))}
			}
		}
		for i := range r.members {
			r.members[i].rack = []string{"", "r0", "r1", "r2", "elsewhere"}[rng.IntN(5)]
		}
	}
	was := r.noOwners()
	for t := range was {
		for p := range was[t] {
			if rng.IntN(3) > 0 {
				was[t][p] = int32(rng.IntN(len(r.members)))
			}
		}
	}
	before := r.shares(was)
	for i := range r.members {
		r.members[i].before = before[i]
		if rng.IntN(10) == 0 { // a topic that is gone
			r.members[i].before = append(slices.Clone(before[i]), topicShare{topic: topicID(99), partitions: []int32{int32(i)}})
		}
	}
	return r
}

// TestAssignorsProperties: every partition of a topic with subscribers goes to exactly one of them; the same input gives the same
// output; what the uniform assignor gave stays as it is; and it is as even as it can be.
func TestAssignorsProperties(t *testing.T) {
	for seed := range 2000 {
		for _, name := range []string{uniformAssignor, rangeAssignor} {
			r := randomRoster(rand.New(rand.NewPCG(uint64(seed), 2)), 12)
			got := assignorOf(name)(r)
			if err := everyPartitionOnce(r, got); err != nil {
				t.Fatalf("seed %d, %s: %v", seed, name, err)
			}
			if again := assignorOf(name)(r); !reflect.DeepEqual(again, got) {
				t.Fatalf("seed %d, %s: two answers: %v and %v", seed, name, got, again)
			}
			if name != uniformAssignor {
				continue
			}
			if err := isSticky(r, got); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			for i := range r.members {
				r.members[i].before = got[i]
			}
			if again := assignUniform(r); !slices.EqualFunc(again, got, share.equal) {
				t.Fatalf("seed %d: nothing changed, and it moves from %v to %v", seed, got, again)
			}
		}
	}
}

func everyPartitionOnce(r *roster, got []share) error {
	owned := make(map[ids.TopicID]map[int32]string)
	for i, s := range got {
		for _, t := range s {
			at, ok := r.find(t.topic)
			if !ok || !r.members[i].subscribes(at) {
				return fmt.Errorf("%s gets topic %v without subscribing to it", r.members[i].id, t.topic)
			}
			for _, p := range t.partitions {
				if other, taken := owned[t.topic][p]; taken || int(p) >= r.topics[at].partitions {
					return fmt.Errorf("%s gets partition %d, as does %q", r.members[i].id, p, other)
				}
				if owned[t.topic] == nil {
					owned[t.topic] = make(map[int32]string)
				}
				owned[t.topic][p] = r.members[i].id
			}
		}
	}
	for t := range r.topics {
		subscribed := slices.ContainsFunc(r.members, func(one rosterMember) bool { return one.subscribes(t) })
		if have := len(owned[r.topics[t].id]); subscribed && have != r.topics[t].partitions {
			return fmt.Errorf("%d of %d partitions of topic %d are assigned", have, r.topics[t].partitions, t)
		}
	}
	return nil
}

func (s share) size() (n int) {
	for _, t := range s {
		n += len(t.partitions)
	}
	return n
}

// isSticky holds that a balanced group's members lose nothing but what is above their quota.
func isSticky(r *roster, got []share) error {
	if !r.same {
		return nil
	}
	total := 0
	for _, t := range r.topics {
		total += t.partitions
	}
	least := total / len(r.members)
	for i, s := range got {
		if n := s.size(); n < least || n > least+1 || n == least+1 && total%len(r.members) == 0 {
			return fmt.Errorf("%s gets %d of %d partitions of %d members", r.members[i].id, n, total, len(r.members))
		}
		kept, had := 0, 0
		for _, t := range r.members[i].before {
			if _, ok := r.find(t.topic); !ok {
				continue
			}
			had += len(t.partitions)
			for _, p := range t.partitions {
				if s.has(t.topic, p) {
					kept++
				}
			}
		}
		if kept < min(had, least) {
			return fmt.Errorf("%s keeps %d of its %d partitions, with a quota of at least %d", r.members[i].id, kept, had, least)
		}
	}
	return nil
}

// TestUniformIsLocal: where each rack has as many replicas as its members can take, members that come at once get partitions of
// their racks only; members that come one after the other get most of them, where a third would be chance. Racks of nobody change
// nothing.
func TestUniformIsLocal(t *testing.T) {
	local := 0
	for seed := range 200 {
		rng := rand.New(rand.NewPCG(uint64(seed), 5))
		r := &roster{same: true, topics: []rosterTopic{{id: topicID(1), partitions: 12}, {id: topicID(2), partitions: 6}}}
		for t := range r.topics {
			racks := make([][]string, r.topics[t].partitions)
			for p, place := range rng.Perm(len(racks)) {
				racks[p] = []string{fmt.Sprint("r", place%3)}
			}
			r.topics[t].racks = racks
		}
		before := map[string]share{}
		for n, who := range rng.Perm(6) {
			one := rosterMember{id: fmt.Sprint("m", who), rack: fmt.Sprint("r", who%3), topics: []int{0, 1}}
			at, _ := slices.BinarySearchFunc(r.members, one.id, func(m rosterMember, id string) int { return strings.Compare(m.id, id) })
			r.members = slices.Insert(r.members, at, one)
			for i := range r.members {
				r.members[i].before = before[r.members[i].id]
			}
			got := assignUniform(r)
			if err := everyPartitionOnce(r, got); err != nil {
				t.Fatal(err)
			}
			for i := range r.members {
				before[r.members[i].id] = got[i]
			}
			if n == 5 {
				local += countLocal(r, got)
			}
		}
		for i := range r.members {
			r.members[i].before = nil
		}
		if n := countLocal(r, assignUniform(r)); n != 18 {
			t.Fatalf("seed %d: %d of 18 partitions are local", seed, n)
		}
		// Racks that nobody is in change nothing.
		plain := randomRoster(rng, 8)
		for i := range plain.members {
			plain.members[i].rack = ""
		}
		want := assignUniform(plain)
		for i := range plain.members {
			plain.members[i].rack = "nowhere"
		}
		if got := assignUniform(plain); !slices.EqualFunc(got, want, share.equal) {
			t.Fatalf("seed %d: %v with racks of nobody, %v without", seed, got, want)
		}
	}
	if all := 200 * 18; local*10 < all*6 {
		t.Errorf("only %d of %d partitions are local", local, all)
	}
}

func countLocal(r *roster, got []share) (n int) {
	for i, s := range got {
		for _, topic := range s {
			at, _ := r.find(topic.topic)
			for _, p := range topic.partitions {
				if r.isLocal(i, at, p) {
					n++
				}
			}
		}
	}
	return n
}

// TestUniformIsEven: where members subscribe to different topics, no move of one partition makes a group of two classes of
// subscribers more even.
func TestUniformIsEven(t *testing.T) {
	for seed := range 500 {
		rng := rand.New(rand.NewPCG(uint64(seed), 3))
		r := &roster{}
		for i := range 4 {
			r.topics = append(r.topics, rosterTopic{id: topicID(i + 1), partitions: 1 + rng.IntN(20)})
		}
		for i := range 2 + rng.IntN(10) {
			one := rosterMember{id: fmt.Sprintf("m%03d", i), topics: []int{0, 1, 2, 3}}
			if i%2 == 1 {
				one.topics = []int{2, 3}
			}
			r.members = append(r.members, one)
		}
		got := assignUniform(r)
		if err := everyPartitionOnce(r, got); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for i := range got {
			for k := range got {
				movable := slices.ContainsFunc(got[i], func(s topicShare) bool { at, _ := r.find(s.topic); return r.members[k].subscribes(at) })
				if movable && got[i].size() > got[k].size()+1 {
					t.Fatalf("seed %d: %s has %d, %s only %d", seed, r.members[i].id, got[i].size(), r.members[k].id, got[k].size())
				}
			}
		}
	}
}

// bigRoster is 1,000 members and 10,000 partitions, in ten topics. Without same, every tenth member leaves out one topic.
func bigRoster(same bool) *roster {
	r := &roster{same: same}
	for i := range 10 {
		r.topics = append(r.topics, rosterTopic{id: topicID(i + 1), partitions: 1000})
	}
	for i := range 1000 {
		one := rosterMember{id: fmt.Sprintf("member-%04d", i)}
		for t := range r.topics {
			if same || i%10 != 0 || t != i/10%10 {
				one.topics = append(one.topics, t)
			}
		}
		r.members = append(r.members, one)
	}
	return r
}

// BenchmarkAssign is one member more in a group of 1,000 with 10,000 partitions.
func BenchmarkAssign(b *testing.B) {
	for _, name := range []string{uniformAssignor, rangeAssignor} {
		for _, same := range []bool{true, false} {
			for _, before := range []string{"new", "one more"} {
				b.Run(fmt.Sprintf("%s/same=%t/%s", name, same, strings.ReplaceAll(before, " ", "-")), func(b *testing.B) {
					r := bigRoster(same)
					if before == "one more" {
						full := r.members
						r.members = full[:len(full)-1]
						got := assignorOf(name)(r)
						r.members = full
						for i, s := range got {
							r.members[i].before = s
						}
					}
					b.ReportAllocs()
					for b.Loop() {
						assignorOf(name)(r)
					}
				})
			}
		}
	}
}
