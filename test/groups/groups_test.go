package groups

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ottla-io/ottla/test/broker"
	"github.com/ottla-io/ottla/test/results"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestMain(m *testing.M) {
	if os.Getenv(memberVariable) != "" {
		if err := runMember(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

var only = flag.String("only", "", "the lineups to run, with commas; all if empty")

const (
	partitions = 4
	patience   = 90 * time.Second // of one step: members of 14 groups start on two cores
)

// lineups are the groups: a client, and the protocol of each of its three members. Where they differ, the group changes its protocol while
// it is in use (KIP-848).
var lineups = []struct {
	name, client string
	protocols    [3]string
}{
	{"kcat", "kcat", classic}, {"librdkafka", "librdkafka", classic}, {"kafka-python", "kafka-python", classic}, {"aiokafka", "aiokafka", classic},
	{"franz-go", "franz-go", classic}, {"sarama", "sarama", classic}, {"kafka-go", "kafka-go", classic},
	{"kafkajs", "kafkajs", classic}, {"platformatic", "platformatic", classic},
	{"java", "java", classic}, {"java-consumer", "java", consumer}, {"librdkafka-consumer", "librdkafka", consumer},
	{"java-migrates", "java", [3]string{"classic", "consumer", "classic"}}, {"librdkafka-migrates", "librdkafka", [3]string{"classic", "consumer", "classic"}},
}

var classic, consumer = [3]string{"classic", "classic", "classic"}, [3]string{"consumer", "consumer", "consumer"}

// TestGroups, in each group at the same time: a member reads; a second one joins, and both read; the first is killed, and the second reads
// all. A third one joins, and in the middle of that rebalance the broker is killed. Both go on; the second one leaves, and the third reads
// what is left.
func TestGroups(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	b, err := broker.Start(broker.Config{Dir: t.TempDir(), Settings: map[string]string{"group.initial.rebalance.delay.ms": "300",
		"group.consumer.session.timeout.ms": "6000", "group.consumer.min.session.timeout.ms": "6000",
		"group.consumer.heartbeat.interval.ms": "500", "group.consumer.min.heartbeat.interval.ms": "500"}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Kill()
	watch := results.Start(b.AdminAddr())
	defer watch.Stop()
	w := newWriter(t, b.Addr())
	var groups []*group
	for _, l := range lineups {
		if !strings.Contains(","+*only+",", ","+l.name+",") && *only != "" {
			continue
		}
		groups = append(groups, &group{t: t, ctx: ctx, name: l.name, client: l.client, protocols: l.protocols, addr: b.Addr(), w: w, seen: newSeen()})
		w.create(ctx, l.name)
	}
	w.start(ctx)
	each := func(stage string, do func(*group) error) {
		began := time.Now()
		var wg sync.WaitGroup
		for _, g := range groups {
			if g.err == nil {
				wg.Go(func() {
					if err := do(g); err != nil {
						g.err = fmt.Errorf("%s: %w", stage, err)
					}
				})
			}
		}
		wg.Wait()
		t.Logf("%s: %.1f s", stage, time.Since(began).Seconds())
	}
	each("a member reads", (*group).first)
	each("a second one joins", (*group).second)
	each("the first one is killed", (*group).killFirst)
	each("a third one joins", (*group).third)
	each("the broker is about to be killed", (*group).noteCommitted)
	b.Kill()
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	each("the broker was killed in mid-rebalance", (*group).both)
	each("the second one leaves", (*group).last)
	w.stop()
	each("the third one reads the rest", (*group).rest)
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			if g.err != nil {
				t.Error(g.err)
				for i, m := range g.members {
					t.Logf("member %d: %s", i, m.complaints())
				}
			}
			g.record(t, watch)
		})
		for _, m := range g.members {
			m.kill()
		}
	}
	if t.Failed() {
		t.Log("the broker said, at the end:", tail(b.Output()))
	}
}

func tail(text string) string { return text[max(0, len(text)-4000):] }

// writerID is the client id of the test itself, which is no member.
const writerID = "writer"

// writer writes a record into each topic all the time, and knows where they are.
type writer struct {
	t      *testing.T
	client *kgo.Client
	admin  *kadm.Client
	topics []string
	done   chan struct{}
	ended  sync.WaitGroup

	mu    sync.Mutex
	acked map[string]*[partitions]int64 // the next offset of each partition, by topic
}

func newWriter(t *testing.T, addr string) *writer {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ClientID(writerID), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.UnknownTopicRetries(-1), kgo.MetadataMinAge(50*time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &writer{t: t, client: client, admin: kadm.NewClient(client), done: make(chan struct{}), acked: map[string]*[partitions]int64{}}
}

func (w *writer) create(ctx context.Context, topic string) {
	if _, err := w.admin.CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		w.t.Fatal(err)
	}
	w.topics, w.acked[topic] = append(w.topics, topic), new([partitions]int64)
}

// value is what the record at an offset says.
func value(topic string, partition int32, offset int64) string {
	return fmt.Sprintf("%s/%d/%d", topic, partition, offset)
}

func (w *writer) start(ctx context.Context) {
	w.ended.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for n := int64(0); ; n++ {
			partition, offset := int32(n%partitions), n/partitions
			for _, topic := range w.topics {
				w.client.Produce(ctx, &kgo.Record{Topic: topic, Partition: partition, Value: []byte(value(topic, partition, offset))}, func(r *kgo.Record, err error) {
					w.mu.Lock()
					defer w.mu.Unlock()
					if err != nil || r.Offset != offset {
						w.t.Errorf("record %d of %s-%d is at %d: %v", offset, topic, partition, r.Offset, err)
						return
					}
					w.acked[topic][partition] = offset + 1
				})
			}
			select {
			case <-tick.C:
			case <-w.done:
				return
			}
		}
	})
}

func (w *writer) stop() {
	close(w.done)
	w.ended.Wait()
	if err := w.client.Flush(w.t.Context()); err != nil {
		w.t.Error(err)
	}
}

// ends are where a topic's partitions end, as acknowledged.
func (w *writer) ends(topic string) [partitions]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return *w.acked[topic]
}

// seen is what members of a group have read.
type seen struct {
	mu     sync.Mutex
	got    [partitions]map[int64]bool
	wrong  string
	change *sync.Cond
}

func newSeen() *seen {
	s := new(seen)
	s.change = sync.NewCond(&s.mu)
	for p := range s.got {
		s.got[p] = map[int64]bool{}
	}
	return s
}

// member is one process.
type member struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	exited chan struct{}

	// Guarded by seen.mu.
	next  [partitions]int64 // after the last record that it read
	count [partitions]int
	ended bool
}

func (m *member) complaints() string {
	m.kill()
	return tail(m.stderr.String())
}

func (m *member) kill() {
	_ = m.cmd.Process.Kill()
	<-m.exited
}

// leave ends a member in order, if it knows how: kcat commits a record that it got as SIGTERM came, and does not print it.
func (m *member) leave() error {
	if m.cmd.Args[0] == "kcat" {
		m.kill()
		return nil
	}
	_ = m.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-m.exited:
		return nil
	case <-time.After(20 * time.Second):
		m.kill()
		return fmt.Errorf("still there 20 s after SIGTERM")
	}
}

// group is one group and what became of it.
type group struct {
	t         *testing.T
	ctx       context.Context
	name      string // of the topic, too
	client    string
	protocols [3]string
	addr      string
	w         *writer
	seen      *seen
	members   []*member
	committed kadm.OffsetResponses
	err       error
}

// start starts the next member.
func (g *group) start() error {
	line := command(g.client, g.protocols[len(g.members)], g.addr, g.name, g.name)
	m := &member{cmd: exec.Command(line[0], line[1:]...), exited: make(chan struct{})}
	m.cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", memberVariable+"=1")
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	m.cmd.Stderr = &m.stderr
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := m.cmd.Start(); err != nil {
		return fmt.Errorf("%s (has test/install.sh run?): %w", line[0], err)
	}
	g.members = append(g.members, m)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			g.seen.note(m, g.name, lines.Text())
		}
		_ = m.cmd.Wait()
		g.seen.mu.Lock()
		m.ended = true
		g.seen.mu.Unlock()
		g.seen.change.Broadcast()
		close(m.exited)
	}()
	return nil
}

// note takes a line "partition offset value".
func (s *seen) note(m *member, topic, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var partition int32
	var offset int64
	var text string
	if _, err := fmt.Sscan(line, &partition, &offset, &text); err != nil || partition < 0 || partition >= partitions || text != value(topic, partition, offset) {
		s.wrong = fmt.Sprintf("a member said %q", line)
	} else {
		s.got[partition][offset] = true
		m.next[partition] = max(m.next[partition], offset+1)
		m.count[partition]++
	}
	s.change.Broadcast()
}

// until waits for a condition that members' lines bring about, and makes checks then. The seen's lock is held while they are asked.
func (g *group) until(what string, done func() bool, checks ...func() error) error {
	s := g.seen
	late := time.AfterFunc(patience, s.change.Broadcast)
	defer late.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for deadline := time.Now().Add(patience); !done(); s.change.Wait() {
		if s.wrong != "" {
			return fmt.Errorf("%s", s.wrong)
		}
		if g.members[len(g.members)-1].ended {
			return fmt.Errorf("%s: a member ended by itself", what)
		}
		if time.Now().After(deadline) || g.ctx.Err() != nil {
			return fmt.Errorf("%s: not after %v; ends %v, members read up to %s", what, patience, g.w.ends(g.name), g.progress())
		}
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (g *group) progress() string {
	var all []string
	for _, m := range g.members {
		all = append(all, fmt.Sprintf("%v (%v)%s", m.next, m.count, map[bool]string{true: " ended"}[m.ended]))
	}
	return strings.Join(all, ", ")
}

// readsAll waits until one of some members has read to where each partition ends now, and nothing below was left out.
func (g *group) readsAll(which ...*member) error {
	ends := g.w.ends(g.name)
	return g.until("all records are seen", func() bool {
		for p, end := range ends {
			there := false
			for _, m := range which {
				there = there || m.next[p] >= end
			}
			if !there {
				return false
			}
		}
		return true
	}, func() error {
		for p, end := range ends {
			if offset := g.seen.missing(p, end); offset >= 0 {
				return fmt.Errorf("record %d of partition %d was skipped: members read up to %s", offset, p, g.progress())
			}
		}
		return nil
	})
}

// missing is the first offset below end that no member saw; -1 if there is none.
func (s *seen) missing(partition int, end int64) int64 {
	for offset := range end {
		if !s.got[partition][offset] {
			return offset
		}
	}
	return -1
}

// reads waits until a member has read something new.
func (g *group) reads(m *member) error {
	g.seen.mu.Lock()
	before := m.count
	g.seen.mu.Unlock()
	return g.until("a member reads", func() bool { return m.count != before })
}

func (g *group) first() error {
	if err := g.start(); err != nil {
		return err
	}
	if err := g.until("a member reads of each partition", func() bool { return !slices.Contains(g.members[0].count[:], 0) }); err != nil {
		return err
	}
	return g.readsAll(g.members[0])
}

func (g *group) second() error {
	if err := g.start(); err != nil {
		return err
	}
	if err := g.reads(g.members[1]); err != nil {
		return err
	}
	if err := g.isType(g.protocols[1]); err != nil {
		return err
	}
	return g.readsAll(g.members[:2]...)
}

func (g *group) killFirst() error {
	g.members[0].kill()
	if err := g.checkCommitted(); err != nil {
		return err
	}
	return g.readsAll(g.members[1])
}

// third starts the last member and waits until the group is in the middle of the rebalance that this brings, or past it.
func (g *group) third() error {
	if err := g.start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		listed, err := g.w.admin.ListGroups(g.ctx)
		if err != nil {
			return err
		}
		if listed[g.name].State != "Stable" {
			return nil
		}
		g.seen.mu.Lock()
		past := g.members[2].count != [partitions]int{}
		g.seen.mu.Unlock()
		if past {
			return nil
		}
	}
	return fmt.Errorf("no rebalance after %v", patience)
}

// fetchCommitted asks until there is a coordinator.
func (g *group) fetchCommitted() (kadm.OffsetResponses, error) {
	for {
		offsets, err := g.w.admin.FetchOffsets(g.ctx, g.name)
		if err == nil || g.ctx.Err() != nil {
			return offsets, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// checkCommitted: nothing is committed that no member has seen, and nothing that was committed is lost.
func (g *group) checkCommitted() error {
	before := g.committed
	if err := g.noteCommitted(); err != nil {
		return err
	}
	g.seen.mu.Lock()
	defer g.seen.mu.Unlock()
	for _, o := range g.committed.Sorted() {
		if lost := g.seen.missing(int(o.Partition), o.At); lost >= 0 {
			return fmt.Errorf("partition %d is committed up to %d, and nobody has seen %d", o.Partition, o.At, lost)
		}
	}
	return g.goesBack(before, g.committed)
}

// goesBack says where what is committed is less than it was. @platformatic/kafka is let off: when a commit meets a rebalance, it joins anew and
// repeats the commit in the new generation, even if the partition is another member's by then, who has committed more (seen in 1.35.0, #commit
// of its consumer.js). In the classic protocol no coordinator can tell that from a member that reads again.
func (g *group) goesBack(before, after kadm.OffsetResponses) error {
	for _, o := range before.Sorted() {
		if now, ok := after.Lookup(o.Topic, o.Partition); !ok || now.At < o.At && g.client != "platformatic" {
			return fmt.Errorf("partition %d was committed up to %d, and now to %d", o.Partition, o.At, now.At)
		}
	}
	return nil
}

func (g *group) noteCommitted() (err error) {
	g.committed, err = g.fetchCommitted()
	return err
}

func (g *group) both() error {
	before := g.committed
	after, err := g.fetchCommitted()
	if err != nil {
		return err
	}
	if err := g.goesBack(before, after); err != nil {
		return err
	}
	if err := g.reads(g.members[2]); err != nil {
		return err
	}
	return g.readsAll(g.members[1:]...)
}

func (g *group) last() error {
	if err := g.members[1].leave(); err != nil {
		return err
	}
	if err := g.readsAll(g.members[2]); err != nil {
		return err
	}
	return g.isType(g.protocols[2])
}

// rest: all that was written is seen and committed.
func (g *group) rest() error {
	if err := g.readsAll(g.members[2]); err != nil {
		return err
	}
	ends := g.w.ends(g.name)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if err := g.checkCommitted(); err != nil {
			return err
		}
		behind := 0
		for p, end := range ends {
			if o, ok := g.committed.Lookup(g.name, int32(p)); !ok || o.At != end {
				behind++
			}
		}
		if behind == 0 {
			return g.members[2].leave()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d partitions are not committed to their ends %v", behind, ends)
		}
	}
}

// isType: the group is run by this protocol.
func (g *group) isType(protocol string) error {
	var types []string
	for _, kind := range []string{"classic", "consumer"} {
		listed, err := g.w.admin.ListGroupsByType(g.ctx, []string{kind})
		if err != nil {
			return err
		}
		if _, ok := listed[g.name]; ok {
			types = append(types, kind)
		}
	}
	if len(types) != 1 || types[0] != protocol {
		return fmt.Errorf("the group is of type %v, want %s", types, protocol)
	}
	return nil
}
